//! The verbs of forwarding policies (huawei/behaviours.md section 9, behaviour/forwarding.md).
//!
//! A policy is made with its rules; they are objects of their own, with verbs in `rule`.

mod action;
mod change;
mod extras;
mod priority;
mod twins;
mod url;

use std::sync::Arc;

use identity::{Action as Permission, Caller, Verb};
use model::{
    Action, Listener, NewPolicy, NewRule, Object, Policy, PolicyId, PolicyPatch, Priority, QuotaKey,
    listener::HttpService,
};
use uuid::Uuid;

pub(crate) use action::needs_enhanced;
pub(crate) use priority::{claim, listener_changed};
pub(crate) use twins::settle;

use crate::{
    Control, Error, audit,
    command::{Draft, command},
    member::check_batch,
    rule,
};

/// Makes a policy with its rules. One with the rules of another one is made, too, but marked as faulty and not applied.
pub async fn policy_create(control: &Control, caller: &Caller, new: NewPolicy) -> Result<Arc<Policy>, Error> {
    command(control, caller, permission(Verb::Create), |draft| create(draft, new.clone())).await
}

/// Changes a policy; rules that are said replace all that were.
pub async fn policy_update(
    control: &Control,
    caller: &Caller,
    id: PolicyId,
    patch: PolicyPatch,
) -> Result<Arc<Policy>, Error> {
    command(control, caller, permission(Verb::Put), |draft| update(draft, id, patch.clone())).await
}

/// Deletes a policy with its rules.
pub async fn policy_delete(control: &Control, caller: &Caller, id: PolicyId) -> Result<(), Error> {
    command(control, caller, permission(Verb::Delete), |draft| delete(draft, id)).await
}

/// Sets the priorities of several policies at once, so that they may change places; all or none. At most [`crate::BATCH_MAX`].
pub async fn policy_priorities_update(
    control: &Control,
    caller: &Caller,
    priorities: Vec<(PolicyId, Priority)>,
) -> Result<(), Error> {
    command(control, caller, permission(Verb::Put), |draft| update_priorities(draft, &priorities)).await
}

const fn permission(verb: Verb) -> Permission {
    Permission::elb("l7policies", verb)
}

pub(crate) fn create(draft: &mut Draft<'_>, new: NewPolicy) -> Result<Arc<Policy>, Error> {
    let project = draft.caller.project;
    let listener = draft.listener(new.listener)?;
    let http = http_of(&listener)?;
    draft.quota_for_one_more(QuotaKey::L7policy)?;
    let siblings = draft.state.policy_count(listener.id);
    draft.quota(QuotaKey::L7policiesPerListener, siblings + 1)?;
    if matches!(&new.action, Action::Forward(forward) if forward.pools().next().is_none()) {
        return Err(Error::invalid("redirect_pool_id", "is needed, or redirect_pools_config"));
    }
    action::check(draft, &listener, &new.action)?;
    let priority = priority::of_new(draft, &listener, &new)?;
    let id = PolicyId::new(Uuid::new_v4());
    if let Some(priority) = priority {
        draft.claim(claim(listener.id, priority), id);
    }
    let made = Policy {
        id,
        project,
        listener: listener.id,
        name: new.name,
        description: new.description,
        position: new.position,
        priority,
        action: new.action,
        faulty: false,
        created_at: draft.now,
        updated_at: draft.now,
    };
    draft.put(made.clone());
    put_rules(draft, &made, http, new.rules)?;
    let made = settle(draft, id)?;
    audit::record(draft, "createL7policy", "l7policy", id, made.name.as_str(), Some(&made));
    Ok(made)
}

pub(crate) fn update(
    draft: &mut Draft<'_>,
    id: PolicyId,
    mut patch: PolicyPatch,
) -> Result<Arc<Policy>, Error> {
    let before = draft.policy(id)?;
    let listener = draft.listener(before.listener)?;
    let http = http_of(&listener)?;
    let mut policy = Policy::clone(&before);
    change::action(&mut policy.action, &mut patch)?;
    if policy.action != before.action {
        action::check(draft, &listener, &policy.action)?;
    }
    if let Some(wanted) = patch.priority {
        priority::set(draft, &listener, &[(before.clone(), wanted)])?;
        policy.priority = Some(wanted);
    }
    policy.name = patch.name.unwrap_or(policy.name);
    policy.description = patch.description.unwrap_or(policy.description);
    policy.updated_at = draft.now;
    draft.put(policy.clone());
    if let Some(rules) = patch.rules {
        let old: Vec<_> = draft.state.rules_of(id).cloned().collect();
        old.iter().for_each(|rule| rule::remove(draft, rule));
        put_rules(draft, &policy, http, rules)?;
    }
    let changed = settle(draft, id)?;
    audit::record(draft, "updateL7policy", "l7policy", id, changed.name.as_str(), Some(&changed));
    Ok(changed)
}

pub(crate) fn delete(draft: &mut Draft<'_>, id: PolicyId) -> Result<(), Error> {
    let policy = draft.policy(id)?;
    remove(draft, &policy);
    Ok(())
}

/// Removes a policy with its rules.
pub(crate) fn remove(draft: &mut Draft<'_>, policy: &Arc<Policy>) {
    let rules: Vec<_> = draft.state.rules_of(policy.id).cloned().collect();
    rules.iter().for_each(|rule| rule::remove(draft, rule));
    if let Some(priority) = policy.priority {
        draft.release(claim(policy.listener, priority));
    }
    draft.delete(Object::Policy(policy.clone()));
    audit::record(draft, "deleteL7policy", "l7policy", policy.id, policy.name.as_str(), audit::NOTHING);
}

pub(crate) fn update_priorities(
    draft: &mut Draft<'_>,
    priorities: &[(PolicyId, Priority)],
) -> Result<(), Error> {
    check_batch("l7policies", priorities.len())?;
    let mut wishes: std::collections::BTreeMap<_, Vec<_>> = Default::default();
    for (n, (id, priority)) in priorities.iter().enumerate() {
        if priorities[..n].iter().any(|(other, _)| other == id) {
            return Err(Error::invalid("l7policies", format!("policy {id} stands twice")));
        }
        let policy = draft.policy(*id)?;
        wishes.entry(policy.listener).or_default().push((policy, *priority));
    }
    for (listener, wishes) in wishes {
        let listener = draft.listener(listener)?;
        priority::set(draft, &listener, &wishes)?;
        for (policy, priority) in wishes {
            let changed = Arc::new(Policy {
                priority: Some(priority),
                updated_at: draft.now,
                ..Policy::clone(&policy)
            });
            draft.put(Object::Policy(changed.clone()));
            let name = changed.name.as_str();
            audit::record(draft, "updateL7policy", "l7policy", changed.id, name, Some(&changed));
        }
    }
    Ok(())
}

/// The HTTP settings of a policy's listener.
pub(crate) fn http_of(listener: &Listener) -> Result<&HttpService, Error> {
    listener.http().ok_or_else(|| {
        Error::invalid(
            "listener_id",
            format!(
                "listener {} is {:?}; only HTTP and HTTPS listeners have policies",
                listener.id,
                listener.protocol()
            ),
        )
    })
}

fn put_rules(
    draft: &mut Draft<'_>,
    policy: &Policy,
    http: &HttpService,
    rules: Vec<NewRule>,
) -> Result<(), Error> {
    for new in rules {
        rule::put(draft, policy, http, new)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
