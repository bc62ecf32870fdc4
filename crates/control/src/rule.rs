//! The verbs of rules (huawei/behaviours.md section 9, behaviour/forwarding.md, Conditions). What a value may be is in `value`.

mod value;

use std::sync::Arc;

use identity::{Action as Permission, Caller, Verb};
use model::{
    Action, NewRule, Object, Policy, PolicyId, QuotaKey, Rule, RuleId, RulePatch, RuleSubject,
    listener::HttpService,
};
use uuid::Uuid;

use crate::{
    Control, Error, audit,
    command::{Draft, command},
    policy::{http_of, settle},
};

/// Adds a rule to a policy.
pub async fn rule_create(
    control: &Control,
    caller: &Caller,
    policy: PolicyId,
    new: NewRule,
) -> Result<Arc<Rule>, Error> {
    command(control, caller, permission(Verb::Create), |draft| create(draft, policy, new.clone())).await
}

/// Changes a rule.
pub async fn rule_update(
    control: &Control,
    caller: &Caller,
    policy: PolicyId,
    id: RuleId,
    patch: RulePatch,
) -> Result<Arc<Rule>, Error> {
    command(control, caller, permission(Verb::Put), |draft| update(draft, policy, id, patch.clone())).await
}

/// Takes a rule away from a policy.
pub async fn rule_delete(
    control: &Control,
    caller: &Caller,
    policy: PolicyId,
    id: RuleId,
) -> Result<(), Error> {
    command(control, caller, permission(Verb::Delete), |draft| delete(draft, policy, id)).await
}

const fn permission(verb: Verb) -> Permission {
    Permission::elb("l7rules", verb)
}

pub(crate) fn create(draft: &mut Draft<'_>, policy: PolicyId, new: NewRule) -> Result<Arc<Rule>, Error> {
    let policy = draft.policy(policy)?;
    let listener = draft.listener(policy.listener)?;
    let made = put(draft, &policy, http_of(&listener)?, new)?;
    settle(draft, policy.id)?;
    Ok(made)
}

pub(crate) fn update(
    draft: &mut Draft<'_>,
    policy: PolicyId,
    id: RuleId,
    patch: RulePatch,
) -> Result<Arc<Rule>, Error> {
    let policy = draft.policy(policy)?;
    let listener = draft.listener(policy.listener)?;
    let mut rule = Rule::clone(&*draft.rule(policy.id, id)?);
    rule.compare = patch.compare.unwrap_or(rule.compare);
    patch.key.apply(&mut rule.key);
    rule.value = patch.value.unwrap_or(rule.value);
    rule.conditions = patch.conditions.unwrap_or(rule.conditions);
    rule.updated_at = draft.now;
    normalise(&mut rule);
    check(draft, &policy, http_of(&listener)?, &rule)?;
    let changed = Arc::new(rule);
    draft.put(Object::Rule(changed.clone()));
    settle(draft, policy.id)?;
    audit::record(draft, "updateL7rule", "l7rule", id, "", Some(&changed));
    Ok(changed)
}

pub(crate) fn delete(draft: &mut Draft<'_>, policy: PolicyId, id: RuleId) -> Result<(), Error> {
    let rule = draft.rule(policy, id)?;
    remove(draft, &rule);
    settle(draft, policy)?;
    Ok(())
}

/// Adds a rule to a policy; whoever calls it settles the policy.
pub(crate) fn put(
    draft: &mut Draft<'_>,
    policy: &Policy,
    http: &HttpService,
    new: NewRule,
) -> Result<Arc<Rule>, Error> {
    let mut made = Rule {
        id: RuleId::new(Uuid::new_v4()),
        project: policy.project,
        policy: policy.id,
        subject: new.subject,
        compare: new.compare,
        key: new.key,
        value: new.value,
        conditions: new.conditions,
        created_at: draft.now,
        updated_at: draft.now,
    };
    normalise(&mut made);
    check(draft, policy, http, &made)?;
    let made = Arc::new(made);
    draft.put(Object::Rule(made.clone()));
    audit::record(draft, "createl7rule", "l7rule", made.id, "", Some(&made));
    Ok(made)
}

/// Removes a rule; whoever calls it settles the policy, if that stays.
pub(crate) fn remove(draft: &mut Draft<'_>, rule: &Arc<Rule>) {
    draft.delete(Object::Rule(rule.clone()));
    audit::record(draft, "deleteL7rule", "l7rule", rule.id, "", audit::NOTHING);
}

/// An empty key is none.
fn normalise(rule: &mut Rule) {
    let keys = rule.conditions.iter_mut().map(|condition| &mut condition.key);
    for key in keys.chain([&mut rule.key]) {
        if key.as_deref() == Some("") {
            *key = None;
        }
    }
}

/// Whether a rule, which may be there already, fits its policy.
fn check(draft: &Draft<'_>, policy: &Policy, http: &HttpService, rule: &Rule) -> Result<(), Error> {
    if matches!(policy.action, Action::ToListener(_)) {
        return Err(Error::invalid("rules", "a policy that redirects to a listener has no rules"));
    }
    value::check(rule, http.enhanced_policies)?;
    let others = || draft.state.rules_of(policy.id).filter(|other| other.id != rule.id);
    let once = match rule.subject {
        RuleSubject::Host | RuleSubject::Path | RuleSubject::Method | RuleSubject::SourceIp => true,
        RuleSubject::Header | RuleSubject::Query | RuleSubject::Cookie => false,
    };
    if once && let Some(other) = others().find(|other| other.subject == rule.subject) {
        let reason = format!("the policy has a rule of that type, {}; add conditions to that one", other.id);
        return Err(Error::invalid("type", reason));
    }
    let conditions = |rule: &Rule| rule.values().count();
    let total = others().map(|other| conditions(other)).sum::<usize>() + conditions(rule);
    draft.quota(QuotaKey::ConditionPerPolicy, total)
}

#[cfg(test)]
mod tests;
