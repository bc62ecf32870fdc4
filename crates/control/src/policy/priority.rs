//! The places of policies (behaviour/forwarding.md, Matching order).
//!
//! Without advanced forwarding the order is computed and no policy has a priority. With it every policy has one, and no two of a
//! listener the same.

use std::{cmp::Reverse, sync::Arc};

use model::{Action, Compare, Listener, ListenerId, NewPolicy, Policy, Priority, RuleSubject, Snapshot};

use crate::{Error, command::Draft};

/// The priority of a policy that is made; none where the order is computed.
pub(super) fn of_new(
    draft: &Draft<'_>,
    listener: &Listener,
    new: &NewPolicy,
) -> Result<Option<Priority>, Error> {
    if !listener.http().is_some_and(|http| http.enhanced_policies) {
        return match new.priority {
            None => Ok(None),
            Some(_) => Err(not_enhanced()),
        };
    }
    let wanted = match new.priority {
        Some(wanted) => wanted,
        None if matches!(new.action, Action::ToListener(_)) => Priority::MIN,
        None => {
            let last = draft.state.last_priority(listener.id);
            let next = i64::from(last.unwrap_or(Priority::MIN)) + 1;
            Priority::try_from(next).map_err(|_| {
                Error::invalid(
                    "priority",
                    format!("{} is taken, so there is no next one; name a free one", Priority::MAX),
                )
            })?
        }
    };
    check_range(&new.action, wanted)?;
    check_free(draft, listener.id, wanted)?;
    Ok(Some(wanted))
}

/// Makes room for new priorities of some policies of a listener, and claims them. The caller puts the policies.
pub(super) fn set(
    draft: &mut Draft<'_>,
    listener: &Listener,
    wishes: &[(Arc<Policy>, Priority)],
) -> Result<(), Error> {
    if !listener.http().is_some_and(|http| http.enhanced_policies) {
        return Err(not_enhanced());
    }
    let moving = |policy: &Policy| wishes.iter().any(|(other, _)| other.id == policy.id);
    for (n, (policy, wanted)) in wishes.iter().enumerate() {
        check_range(&policy.action, *wanted)?;
        let twice = wishes[..n].iter().find(|(_, other)| other == wanted).map(|(other, _)| other.id);
        let taken =
            draft.state.policies_at(listener.id, *wanted).find(|other| !moving(other)).map(|other| other.id);
        if let Some(holder) = twice.or(taken) {
            return Err(Error::PriorityTaken { priority: *wanted, holder });
        }
    }
    for (policy, _) in wishes {
        if let Some(now) = policy.priority {
            draft.release(claim(listener.id, now));
        }
    }
    for (policy, wanted) in wishes {
        draft.claim(claim(listener.id, *wanted), policy.id);
    }
    Ok(())
}

/// Gives the policies of a listener priorities when advanced forwarding is switched on: in the order that was computed before, so
/// that traffic goes where it went.
pub(crate) fn listener_changed(draft: &mut Draft<'_>, before: &Listener, after: &Listener) {
    let enhanced = |listener: &Listener| listener.http().is_some_and(|http| http.enhanced_policies);
    if enhanced(before) || !enhanced(after) {
        return;
    }
    let mut policies: Vec<_> = draft.state.policies_of(after.id).cloned().collect();
    policies.sort_by_key(|policy| (Specificity::of(&draft.state, policy), policy.created_at, policy.id));
    let (redirects, others): (Vec<_>, Vec<_>) =
        policies.into_iter().partition(|policy| matches!(policy.action, Action::ToListener(_)));
    // A second redirect is faulty and only needs a place of its own.
    let places = i64::from(u8::from(redirects.is_empty()))..;
    for (place, policy) in places.zip(redirects.into_iter().chain(others)) {
        // A listener has far fewer policies than there are priorities (quota l7policies_per_listener); one without stays so.
        if let Ok(priority) = Priority::try_from(place) {
            draft.claim(claim(after.id, priority), policy.id);
            draft.put(Policy { priority: Some(priority), ..Policy::clone(&policy) });
        }
    }
}

/// No two policies of a listener have one priority.
pub(crate) fn claim(listener: ListenerId, priority: Priority) -> String {
    format!("priority/{listener}/{priority}")
}

/// How special a policy's conditions are; what is smaller is asked first. Policies with a domain go before those without; of those
/// with the same domain an exact path before a prefix before a regular expression, and a longer one before a shorter one. A domain
/// without path is a prefix `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Specificity {
    without_domain: bool,
    path: PathKind,
    length: Reverse<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PathKind {
    Exact,
    Prefix,
    Regex,
}

impl Specificity {
    fn of(state: &Snapshot, policy: &Policy) -> Self {
        let rule = |subject| state.rules_of(policy.id).find(|rule| rule.subject == subject);
        let path = rule(RuleSubject::Path);
        let kind = match path.map(|rule| rule.compare) {
            Some(Compare::Equal) => PathKind::Exact,
            Some(Compare::Prefix) | None => PathKind::Prefix,
            Some(Compare::Regex) => PathKind::Regex,
        };
        let length = path.and_then(|rule| rule.values().map(str::len).max()).unwrap_or(1);
        Self { without_domain: rule(RuleSubject::Host).is_none(), path: kind, length: Reverse(length) }
    }
}

/// 1–10000; redirects to a listener also 0.
fn check_range(action: &Action, wanted: Priority) -> Result<(), Error> {
    if wanted == Priority::MIN && !matches!(action, Action::ToListener(_)) {
        let reason = format!("is {wanted}; it must be from 1 to {} for this action", Priority::MAX);
        return Err(Error::invalid("priority", reason));
    }
    Ok(())
}

fn check_free(draft: &Draft<'_>, listener: ListenerId, wanted: Priority) -> Result<(), Error> {
    match draft.state.policies_at(listener, wanted).next() {
        None => Ok(()),
        Some(other) => Err(Error::PriorityTaken { priority: wanted, holder: other.id }),
    }
}

fn not_enhanced() -> Error {
    Error::invalid("priority", "the order is computed; switch enhance_l7policy_enable on to choose it")
}
