//! The rule of a forwarding policy in v3 words.

pub(crate) mod all;

use axum::response::Response;
use control::View;
use http::StatusCode;
use identity::Verb;
use model::{
    Compare, NewRule, Patch, Policy, PolicyId, Rule, RulePatch, RuleSubject, Snapshot, rule::Condition,
};
use serde::Serialize;

use crate::v3::{
    answer,
    call::Call,
    errors::Problem,
    fields::{Fields, Harmless, Refusal},
    list::{Filter, each, enterprise_project, maybe, one},
    marks,
};

const WRAPPER: &str = "rule";
const LIST: &str = "rules";
const RESOURCE: &str = "l7rules";

// ---- wire ----

/// A rule as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    id: String,
    project_id: String,
    admin_state_up: bool,
    #[serde(rename = "type")]
    subject: &'static str,
    compare_type: &'static str,
    invert: bool,
    key: Option<String>,
    value: String,
    conditions: Vec<WireCondition>,
    provisioning_status: &'static str,
    created_at: String,
    updated_at: String,
}

/// One value of a rule.
#[derive(Clone, Debug, Serialize)]
struct WireCondition {
    key: String,
    value: String,
}

// ---- decode ----

const SUBJECTS: &[(&str, Option<RuleSubject>)] = &[
    ("HOST_NAME", Some(RuleSubject::Host)),
    ("PATH", Some(RuleSubject::Path)),
    ("METHOD", Some(RuleSubject::Method)),
    ("HEADER", Some(RuleSubject::Header)),
    ("QUERY_STRING", Some(RuleSubject::Query)),
    ("SOURCE_IP", Some(RuleSubject::SourceIp)),
    ("COOKIE", Some(RuleSubject::Cookie)),
];
const COMPARES: &[(&str, Option<Compare>)] = &[
    ("EQUAL_TO", Some(Compare::Equal)),
    ("STARTS_WITH", Some(Compare::Prefix)),
    ("REGEX", Some(Compare::Regex)),
];
/// Most values of a rule.
const CONDITIONS_MAX: usize = 10;

/// The body of a create, alone or among the rules of a policy.
pub(crate) fn decode_new(mut fields: Fields<'_>) -> Result<NewRule, Refusal> {
    marks::project(&mut fields)?;
    decode_fixed_values(&mut fields)?;
    let subject = fields.choice("type", SUBJECTS)?;
    let compare = fields.choice("compare_type", COMPARES)?;
    let value = fields.string("value", 1..=128)?;
    let new = NewRule {
        subject: fields.required("type", subject)?,
        compare: fields.required("compare_type", compare)?,
        key: key(&mut fields, 255)?.into_option(),
        value: fields.required("value", value)?,
        conditions: conditions(&mut fields)?.unwrap_or_default(),
    };
    fields.done()?;
    Ok(new)
}

/// Fixed at creation (behaviours.md section 4).
pub(crate) const FIXED: &[&str] = &["type", "project_id"];

/// The body of an update.
pub(crate) fn decode_patch(mut fields: Fields<'_>) -> Result<RulePatch, Refusal> {
    fields.fixed(FIXED)?;
    decode_fixed_values(&mut fields)?;
    let patch = RulePatch {
        compare: fields.choice("compare_type", COMPARES)?,
        key: key(&mut fields, 255)?,
        value: fields.string("value", 1..=128)?,
        conditions: conditions(&mut fields)?,
    };
    fields.done()?;
    Ok(patch)
}

/// Fields of which one value is legal alone.
fn decode_fixed_values(fields: &mut Fields<'_>) -> Result<(), Refusal> {
    fields.only_true("admin_state_up")?;
    fields.only_harmless("invert", Harmless::Off, "rules that hold when nothing matches do not exist")
}

/// `key`; the empty string is none.
fn key(fields: &mut Fields<'_>, longest: usize) -> Result<Patch<String>, Refusal> {
    Ok(match fields.string("key", 0..=longest)? {
        None => Patch::Keep,
        Some(key) if key.is_empty() => Patch::Clear,
        Some(key) => Patch::Set(key),
    })
}

fn conditions(fields: &mut Fields<'_>) -> Result<Option<Vec<Condition>>, Refusal> {
    let Some(items) = fields.objects("conditions", CONDITIONS_MAX)? else { return Ok(None) };
    items.into_iter().map(decode_condition).collect::<Result<_, _>>().map(Some)
}

/// One of the conditions.
pub(crate) fn decode_condition(mut fields: Fields<'_>) -> Result<Condition, Refusal> {
    let value = fields.string("value", 1..=128)?;
    let key = key(&mut fields, 128)?.into_option();
    let condition = Condition { key, value: fields.required("value", value)? };
    fields.done()?;
    Ok(condition)
}

// ---- encode ----

/// The rule as answers show it; the rules of a faulty policy are faulty, too.
pub(crate) fn encode(snapshot: &Snapshot, rule: &Rule) -> Wire {
    Wire {
        id: rule.id.to_string(),
        project_id: rule.project.simple(),
        admin_state_up: true,
        subject: subject(rule.subject),
        compare_type: compare(rule.compare),
        invert: false,
        key: rule.key.clone(),
        value: rule.value.clone(),
        conditions: rule.conditions.iter().map(condition).collect(),
        provisioning_status: provisioning_status(snapshot, rule),
        created_at: answer::time(rule.created_at),
        updated_at: answer::time(rule.updated_at),
    }
}

fn condition(condition: &Condition) -> WireCondition {
    WireCondition { key: condition.key.clone().unwrap_or_default(), value: condition.value.clone() }
}

/// The word of a subject.
pub(crate) fn subject(subject: RuleSubject) -> &'static str {
    match subject {
        RuleSubject::Host => "HOST_NAME",
        RuleSubject::Path => "PATH",
        RuleSubject::Method => "METHOD",
        RuleSubject::Header => "HEADER",
        RuleSubject::Query => "QUERY_STRING",
        RuleSubject::SourceIp => "SOURCE_IP",
        RuleSubject::Cookie => "COOKIE",
    }
}

fn compare(compare: Compare) -> &'static str {
    match compare {
        Compare::Equal => "EQUAL_TO",
        Compare::Prefix => "STARTS_WITH",
        Compare::Regex => "REGEX",
    }
}

fn provisioning_status(snapshot: &Snapshot, rule: &Rule) -> &'static str {
    status(snapshot.policy(rule.policy).is_some_and(|policy| policy.faulty))
}

/// The status of what is applied or not.
pub(crate) fn status(faulty: bool) -> &'static str {
    if faulty { "ERROR" } else { "ACTIVE" }
}

// ---- list ----

/// What the list of a policy's rules can be filtered by.
pub(crate) const FILTERS: &[Filter<View, Rule>] = &[
    Filter::text("id", |_, rule| one(rule.id)),
    Filter::text("compare_type", |_, rule| one(compare(rule.compare))),
    Filter::text("provisioning_status", |view, rule| one(provisioning_status(&view.snapshot, rule))),
    Filter::flag("invert", |_, _| one(false)),
    Filter::flag("admin_state_up", |_, _| one(true)),
    // A rule of several values is found by each of them.
    Filter::text("value", |_, rule| each(std::iter::once(rule.value.as_str()).chain(rule.values()))),
    Filter::text("key", |_, rule| maybe(rule.key())),
    Filter::text("type", |_, rule| one(subject(rule.subject))),
    Filter::text("enterprise_project_id", |view, rule| {
        let policy = view.snapshot.policy(rule.policy);
        let listener = policy.and_then(|policy| view.snapshot.listener(policy.listener));
        enterprise_project(listener.and_then(|listener| listener.enterprise_project))
    }),
];

// ---- operations ----

/// The policy in the path, if it is the caller's.
fn policy<'a>(call: &Call, view: &'a View) -> Result<&'a Policy, Problem> {
    Ok(view.policy(call.id::<PolicyId>("l7policy_id")?)?)
}

/// `GET …/l7policies/{l7policy_id}/rules`.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::List)?;
    let rules = view.snapshot.rules_of(policy(&call, &view)?.id).map(AsRef::as_ref).collect();
    call.page(LIST, &view, FILTERS, |rule: &Rule| rule.id, rules, |rule| encode(&view.snapshot, rule))
}

/// `POST …/l7policies/{l7policy_id}/rules`.
pub(crate) async fn create(call: Call) -> Result<Response, Problem> {
    let policy = policy(&call, &call.now())?.id;
    let new = decode_new(call.fields(WRAPPER)?)?;
    let made = control::rule_create(call.control(), &call.caller, policy, new).await?;
    Ok(call.one(StatusCode::CREATED, WRAPPER, encode(&call.now().snapshot, &made)))
}

/// `GET …/l7policies/{l7policy_id}/rules/{l7rule_id}`.
pub(crate) async fn show(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::Get)?;
    let found = view.rule(policy(&call, &view)?.id, call.id("l7rule_id")?)?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(&view.snapshot, found)))
}

/// `PUT …/l7policies/{l7policy_id}/rules/{l7rule_id}`.
pub(crate) async fn update(call: Call) -> Result<Response, Problem> {
    let (policy, id) = (policy(&call, &call.now())?.id, call.id("l7rule_id")?);
    let patch = decode_patch(call.fields(WRAPPER)?)?;
    let changed = control::rule_update(call.control(), &call.caller, policy, id, patch).await?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(&call.now().snapshot, &changed)))
}

/// `DELETE …/l7policies/{l7policy_id}/rules/{l7rule_id}`.
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    let (policy, id) = (policy(&call, &call.now())?.id, call.id("l7rule_id")?);
    control::rule_delete(call.control(), &call.caller, policy, id).await?;
    Ok(call.gone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::v3::fields::tests::read;

    #[test]
    fn an_empty_key_is_none() {
        let base = |key| json!({"type": "HEADER", "compare_type": "EQUAL_TO", "value": "a", "conditions": [{"key": key, "value": "b"}]});
        let read = |content| read(content, decode_new).unwrap().conditions;
        assert_eq!(read(base("")), [Condition { key: None, value: "b".to_owned() }]);
        assert_eq!(read(base("x")), [Condition { key: Some("x".to_owned()), value: "b".to_owned() }]);
    }

    #[test]
    fn a_rule_cannot_be_turned_around() {
        let content = json!({"type": "PATH", "compare_type": "EQUAL_TO", "value": "/", "invert": true});
        assert_eq!(read(content, decode_new).map(drop), Err("invert".to_owned()));
        assert_eq!(read(json!({"invert": false}), decode_patch).map(drop), Ok(()));
        assert_eq!(read(json!({"type": "PATH"}), decode_patch).map(drop), Err("type".to_owned()));
    }
}
