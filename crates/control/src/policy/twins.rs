//! Policies with the same conditions: the later one is faulty and not applied (huawei/behaviours.md section 9).
//!
//! "Later" is the one that was made or changed last, and it stays faulty until it is changed itself, also when its twin goes
//! (behaviour/forwarding.md, Matching order). With advanced forwarding the priority says which of two is asked first, so there the
//! rule is the same: the second could never be asked.

use std::{collections::BTreeSet, sync::Arc};

use model::{Action, Compare, Kind, Object, Policy, PolicyId, Rule, RuleSubject};

use crate::{Error, command::Draft};

/// Marks a policy that was made or changed as faulty, or takes the mark away, and answers the policy as it is then.
pub(crate) fn settle(draft: &mut Draft<'_>, id: PolicyId) -> Result<Arc<Policy>, Error> {
    let policy = draft.state.policy(id).cloned().ok_or_else(|| Error::not_found(Kind::Policy, id))?;
    let faulty = has_twin(draft, &policy);
    if faulty == policy.faulty {
        return Ok(policy);
    }
    let settled = Arc::new(Policy { faulty, ..Policy::clone(&policy) });
    draft.put(Object::Policy(settled.clone()));
    Ok(settled)
}

fn has_twin(draft: &Draft<'_>, policy: &Policy) -> bool {
    let takes_all = |policy: &Policy| matches!(policy.action, Action::ToListener(_));
    if takes_all(policy) {
        let mut others = draft.state.policies_of(policy.listener);
        return others.any(|other| other.id != policy.id && !other.faulty && takes_all(other));
    }
    let conditions = |id| {
        let mut conditions: Vec<_> = draft.state.rules_of(id).map(|rule| Condition::of(rule)).collect();
        conditions.sort_unstable();
        conditions
    };
    let own = conditions(policy.id);
    // Without conditions a policy is not finished yet, and nothing tells it apart from others that are not either; it is like none.
    let mut others = draft.state.policies_like(policy.id);
    others.any(|other| !other.faulty && conditions(other.id) == own)
}

/// What a rule asks for, however it is written: hosts and names of headers have no case, and values no order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Condition {
    subject: RuleSubject,
    compare: Compare,
    key: Option<String>,
    values: BTreeSet<String>,
}

impl Condition {
    fn of(rule: &Rule) -> Self {
        let key = rule.key().map(|key| match rule.subject {
            RuleSubject::Header => key.to_ascii_lowercase(),
            _ => key.to_owned(),
        });
        let value = |value: &str| match (rule.subject, rule.compare) {
            (RuleSubject::Host, Compare::Equal) => value.to_ascii_lowercase(),
            _ => value.to_owned(),
        };
        let values = rule.values().map(value).collect();
        Self { subject: rule.subject, compare: rule.compare, key, values }
    }
}
