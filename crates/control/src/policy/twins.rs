//! Policies with the same conditions: the later one is faulty and not applied (huawei/behaviours.md section 9).
//!
//! "Later" is the one that was made or changed last, and it stays faulty until it is changed itself, also when its twin goes
//! (behaviour/forwarding.md, Matching order). With advanced forwarding the priority says which of two is asked first, so there the
//! rule is the same: the second could never be asked.

use std::{collections::BTreeSet, sync::Arc};

use model::{Action, Compare, Kind, Object, Policy, PolicyId, RuleSubject, Snapshot};

use crate::{Error, command::Draft};

/// Marks a policy that was made or changed as faulty, or takes the mark away, and answers the policy as it is then.
pub(crate) fn settle(draft: &mut Draft<'_>, id: PolicyId) -> Result<Arc<Policy>, Error> {
    let policy = draft.state.policy(id).cloned().ok_or_else(|| Error::not_found(Kind::Policy, id))?;
    let conditions = conditions(&draft.state, &policy);
    let twin = |other: &Arc<Policy>| {
        other.id != id && !other.faulty && self::conditions(&draft.state, other) == conditions
    };
    // Without conditions a policy is not finished yet, and nothing tells it apart from others that are not either.
    let faulty = conditions.is_some() && draft.state.policies_of(policy.listener).any(twin);
    if faulty == policy.faulty {
        return Ok(policy);
    }
    let settled = Arc::new(Policy { faulty, ..Policy::clone(&policy) });
    draft.put(Object::Policy(settled.clone()));
    Ok(settled)
}

/// What a policy looks for, however it is written; none: nothing.
#[derive(PartialEq, Eq)]
enum Conditions {
    /// All requests, as redirects to a listener do.
    All,
    /// Requests that keep these.
    Rules(BTreeSet<(RuleSubject, Compare, Option<String>, BTreeSet<String>)>),
}

fn conditions(state: &Snapshot, policy: &Policy) -> Option<Conditions> {
    if matches!(policy.action, Action::ToListener(_)) {
        return Some(Conditions::All);
    }
    let rules: BTreeSet<_> = state
        .rules_of(policy.id)
        .map(|rule| {
            // Hosts and names of headers are compared without regard to case.
            let key = rule.key().map(|key| match rule.subject {
                RuleSubject::Header => key.to_ascii_lowercase(),
                _ => key.to_owned(),
            });
            let value = |value: &str| match (rule.subject, rule.compare) {
                (RuleSubject::Host, Compare::Equal) => value.to_ascii_lowercase(),
                _ => value.to_owned(),
            };
            (rule.subject, rule.compare, key, rule.values().map(value).collect())
        })
        .collect();
    (!rules.is_empty()).then_some(Conditions::Rules(rules))
}
