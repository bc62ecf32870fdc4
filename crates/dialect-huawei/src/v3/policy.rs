//! The forwarding policy in v3 words: an L7 policy.

pub(crate) mod extras;
pub(crate) mod fixed_response;
mod headers;
pub(crate) mod pools;
pub(crate) mod priorities;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod url;

use axum::response::Response;
use control::View;
use http::StatusCode;
use identity::Verb;
use model::{
    Action, ListenerId, NewPolicy, NewRule, Patch, Policy, PolicyPatch, PoolId, Priority, Snapshot,
    policy::Forward,
};
use serde::Serialize;

use crate::v3::{
    answer::{self, Ref},
    call::Call,
    errors::Problem,
    fields::{Fields, Harmless, Refusal},
    list::{Filter, each, either, enterprise_project, maybe, nothing, one},
    marks, rule,
};

const WRAPPER: &str = "l7policy";
const RESOURCE: &str = "l7policies";

// ---- wire ----

/// A policy as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    id: String,
    name: String,
    description: String,
    project_id: String,
    enterprise_project_id: String,
    admin_state_up: bool,
    listener_id: String,
    position: u16,
    priority: u16,
    action: &'static str,
    redirect_pool_id: Option<String>,
    redirect_pools_config: Vec<pools::Wire>,
    redirect_pools_sticky_session_config: Option<pools::WireStickiness>,
    redirect_pools_extend_config: Option<extras::Wire>,
    redirect_listener_id: Option<String>,
    redirect_url: Option<String>,
    redirect_url_config: Option<url::Wire>,
    fixed_response_config: Option<fixed_response::Wire>,
    rules: Rules,
    provisioning_status: &'static str,
    created_at: String,
    updated_at: String,
}

/// The rules of a policy: their ids, or all of them where the caller asks for that.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Rules {
    Ids(Vec<Ref>),
    Whole(Vec<rule::Wire>),
}

// ---- decode ----

/// The four things that a policy can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ToPool,
    ToListener,
    ToUrl,
    Fixed,
}

const KINDS: &[(&str, Option<Kind>)] = &[
    ("REDIRECT_TO_POOL", Some(Kind::ToPool)),
    ("REDIRECT_TO_LISTENER", Some(Kind::ToListener)),
    ("REDIRECT_TO_URL", Some(Kind::ToUrl)),
    ("FIXED_RESPONSE", Some(Kind::Fixed)),
];
/// The field that says more about each.
const PARTS: &[(&str, Kind)] = &[
    ("redirect_pool_id", Kind::ToPool),
    ("redirect_pools_config", Kind::ToPool),
    ("redirect_pools_sticky_session_config", Kind::ToPool),
    ("redirect_pools_extend_config", Kind::ToPool),
    ("redirect_listener_id", Kind::ToListener),
    ("redirect_url_config", Kind::ToUrl),
    ("fixed_response_config", Kind::Fixed),
];
/// Most rules of a policy.
const RULES_MAX: usize = 10;
/// An obsolete order; kept and shown.
const POSITION_DEFAULT: i64 = 100;

/// The body of a create.
pub(crate) fn decode_new(mut fields: Fields<'_>) -> Result<NewPolicy, Refusal> {
    marks::project(&mut fields)?;
    fields.only_true("admin_state_up")?;
    fields.only_harmless("redirect_url", Harmless::Empty, "obsolete; redirect_url_config has its place")?;
    let kind = fields.choice("action", KINDS)?;
    let kind = fields.required("action", kind)?;
    let foreign = PARTS.iter().find(|(name, of)| *of != kind && fields.says(name));
    if let Some((name, _)) = foreign {
        return Err(fields.refuse(name, "belongs to another action; leave it out"));
    }
    let listener = fields.id::<ListenerId>("listener_id")?;
    let position = fields.integer("position", 1..=100)?.unwrap_or(POSITION_DEFAULT);
    let new = NewPolicy {
        listener: fields.required("listener_id", listener)?,
        name: marks::name(&mut fields)?.unwrap_or_default(),
        description: marks::description(&mut fields)?.unwrap_or_default(),
        position: fields.typed("position", position)?,
        priority: priority(&mut fields)?,
        action: decode_action(&mut fields, kind)?,
        rules: decode_rules(&mut fields)?.unwrap_or_default(),
    };
    fields.done()?;
    Ok(new)
}

fn decode_action(fields: &mut Fields<'_>, kind: Kind) -> Result<Action, Refusal> {
    // Fields of other actions are not there, as they were refused; null is read as what it is.
    let pool = fields.id::<PoolId>("redirect_pool_id")?;
    let pools = pools::decode(fields)?;
    let stickiness = pools::decode_stickiness(fields, None)?;
    let extras = extras::decode(fields, None)?;
    let to_listener = fields.id::<ListenerId>("redirect_listener_id")?;
    let to_url = url::decode(fields)?;
    let fixed = fixed_response::decode(fields, None)?;
    Ok(match kind {
        Kind::ToPool => {
            if pool.is_none() && pools.as_ref().is_none_or(Vec::is_empty) {
                return Err(fields.refuse("redirect_pool_id", "is required, or redirect_pools_config"));
            }
            Action::Forward(Forward {
                pool,
                pools: pools.unwrap_or_default(),
                stickiness,
                extras: extras.map(extras::into_new).unwrap_or_default(),
            })
        }
        Kind::ToListener => Action::ToListener(fields.required("redirect_listener_id", to_listener)?),
        Kind::ToUrl => {
            let config = fields.required("redirect_url_config", to_url)?;
            Action::ToUrl(url::into_new(config, fields)?)
        }
        Kind::Fixed => {
            let config = fields.required("fixed_response_config", fixed)?;
            Action::Fixed(fixed_response::into_new(config, fields)?)
        }
    })
}

/// Fixed at creation (behaviours.md section 4).
pub(crate) const FIXED: &[&str] = &["listener_id", "action", "position", "redirect_url", "project_id"];

/// The body of an update of that policy; what the body leaves open inside a setting stays as the policy has it.
pub(crate) fn decode_patch(mut fields: Fields<'_>, policy: &Policy) -> Result<PolicyPatch, Refusal> {
    fields.fixed(FIXED)?;
    fields.only_true("admin_state_up")?;
    let forward = match &policy.action {
        Action::Forward(forward) => Some(forward),
        Action::ToListener(_) | Action::ToUrl(_) | Action::Fixed(_) => None,
    };
    let limit = match &policy.action {
        Action::Fixed(fixed) => fixed.limit,
        Action::Forward(_) | Action::ToListener(_) | Action::ToUrl(_) => None,
    };
    let stickiness = pools::decode_stickiness(&mut fields, forward.and_then(|forward| forward.stickiness))?;
    let extras = extras::decode(&mut fields, forward.map(|forward| &forward.extras))?;
    let patch = PolicyPatch {
        name: marks::name(&mut fields)?,
        description: marks::description(&mut fields)?,
        priority: priority(&mut fields)?,
        pool: fields.nullable_id::<PoolId>("redirect_pool_id")?,
        pools: pools::decode(&mut fields)?.map_or(Patch::Keep, Patch::Set),
        stickiness: stickiness.map_or(Patch::Keep, Patch::Set),
        extras: extras.map_or(Patch::Keep, Patch::Set),
        to_listener: fields.id::<ListenerId>("redirect_listener_id")?,
        to_url: url::decode(&mut fields)?,
        fixed: fixed_response::decode(&mut fields, limit)?,
        rules: decode_rules(&mut fields)?,
    };
    fields.done()?;
    Ok(patch)
}

fn priority(fields: &mut Fields<'_>) -> Result<Option<Priority>, Refusal> {
    let priority = fields.integer("priority", 0..=10_000)?;
    priority.map(|priority| fields.typed("priority", priority)).transpose()
}

fn decode_rules(fields: &mut Fields<'_>) -> Result<Option<Vec<NewRule>>, Refusal> {
    let Some(items) = fields.objects("rules", RULES_MAX)? else { return Ok(None) };
    items.into_iter().map(rule::decode_new).collect::<Result<_, _>>().map(Some)
}

// ---- encode ----

/// The policy as answers show it.
pub(crate) fn encode(snapshot: &Snapshot, policy: &Policy, whole_rules: bool) -> Wire {
    let forward = match &policy.action {
        Action::Forward(forward) => Some(forward),
        Action::ToListener(_) | Action::ToUrl(_) | Action::Fixed(_) => None,
    };
    let rules = snapshot.rules_of(policy.id);
    Wire {
        id: policy.id.to_string(),
        name: policy.name.to_string(),
        description: policy.description.to_string(),
        project_id: policy.project.simple(),
        enterprise_project_id: answer::enterprise_project(enterprise_project_of(snapshot, policy)),
        admin_state_up: true,
        listener_id: policy.listener.to_string(),
        position: policy.position,
        priority: shown_priority(policy),
        action: action(policy),
        redirect_pool_id: redirect_pool(policy).map(|pool| pool.to_string()),
        redirect_pools_config: forward.map(|forward| pools::encode(&forward.pools)).unwrap_or_default(),
        redirect_pools_sticky_session_config: forward
            .and_then(|forward| forward.stickiness)
            .map(pools::encode_stickiness),
        redirect_pools_extend_config: forward.and_then(|forward| extras::encode(&forward.extras)),
        redirect_listener_id: redirect_listener(policy).map(|listener| listener.to_string()),
        redirect_url: None,
        redirect_url_config: match &policy.action {
            Action::ToUrl(redirect) => Some(url::encode(redirect)),
            Action::Forward(_) | Action::ToListener(_) | Action::Fixed(_) => None,
        },
        fixed_response_config: match &policy.action {
            Action::Fixed(response) => Some(fixed_response::encode(response)),
            Action::Forward(_) | Action::ToListener(_) | Action::ToUrl(_) => None,
        },
        rules: match whole_rules {
            true => Rules::Whole(rules.map(|rule| rule::encode(snapshot, rule)).collect()),
            false => Rules::Ids(answer::refs(rules.map(|rule| rule.id))),
        },
        provisioning_status: rule::status(policy.faulty),
        created_at: answer::time(policy.created_at),
        updated_at: answer::time(policy.updated_at),
    }
}

/// The word of what a policy does.
pub(crate) fn action(policy: &Policy) -> &'static str {
    match &policy.action {
        Action::Forward(_) => "REDIRECT_TO_POOL",
        Action::ToListener(_) => "REDIRECT_TO_LISTENER",
        Action::ToUrl(_) => "REDIRECT_TO_URL",
        Action::Fixed(_) => "FIXED_RESPONSE",
    }
}

/// Where the order is computed, answers show 1 (behaviours.md section 9).
fn shown_priority(policy: &Policy) -> u16 {
    policy.priority.map_or(1, Priority::value)
}

fn redirect_pool(policy: &Policy) -> Option<PoolId> {
    match &policy.action {
        Action::Forward(forward) => forward.pool,
        Action::ToListener(_) | Action::ToUrl(_) | Action::Fixed(_) => None,
    }
}

fn redirect_listener(policy: &Policy) -> Option<ListenerId> {
    match &policy.action {
        Action::ToListener(listener) => Some(*listener),
        Action::Forward(_) | Action::ToUrl(_) | Action::Fixed(_) => None,
    }
}

/// A policy has none of its own; its listener's counts.
fn enterprise_project_of(snapshot: &Snapshot, policy: &Policy) -> Option<uuid::Uuid> {
    snapshot.listener(policy.listener).and_then(|listener| listener.enterprise_project)
}

// ---- list ----

/// What its list can be filtered by.
pub(crate) const FILTERS: &[Filter<View, Policy>] = &[
    Filter::text("enterprise_project_id", |view, policy| {
        enterprise_project(enterprise_project_of(&view.snapshot, policy))
    }),
    Filter::text("id", |_, policy| one(policy.id)),
    Filter::text("name", |_, policy| one(&policy.name)),
    Filter::text("description", |_, policy| one(&policy.description)),
    Filter::flag("admin_state_up", |_, _| one(true)),
    Filter::text("listener_id", |_, policy| one(policy.listener)),
    Filter::integer("position", |_, policy| one(policy.position)),
    Filter::text("action", |_, policy| one(action(policy))),
    Filter::text("redirect_url", |_, _| nothing()),
    // Every pool that gets its requests.
    Filter::text("redirect_pool_id", |_, policy| match &policy.action {
        Action::Forward(forward) => {
            each(forward.pool.into_iter().chain(forward.pools.iter().map(|weighted| weighted.pool)))
        }
        Action::ToListener(_) | Action::ToUrl(_) | Action::Fixed(_) => nothing(),
    }),
    Filter::text("redirect_listener_id", |_, policy| maybe(redirect_listener(policy))),
    Filter::text("provisioning_status", |_, policy| one(rule::status(policy.faulty))),
    // It says how policies are shown, not which.
    Filter::flag("display_all_rules", |_, _| either()),
    Filter::integer("priority", |_, policy| one(shown_priority(policy))),
];

// ---- operations ----

/// `GET …/l7policies`.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::List)?;
    let all = view.snapshot.policies().values().map(AsRef::as_ref);
    let own = all.filter(|policy: &&Policy| policy.project == view.project).collect();
    let whole = call.query.last("display_all_rules").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
    let encode = |policy| encode(&view.snapshot, policy, whole);
    call.page(RESOURCE, &view, FILTERS, |policy| policy.id, own, encode)
}

/// `POST …/l7policies`.
pub(crate) async fn create(call: Call) -> Result<Response, Problem> {
    let new = decode_new(call.fields(WRAPPER)?)?;
    let made = control::policy_create(call.control(), &call.caller, new).await?;
    Ok(call.one(StatusCode::CREATED, WRAPPER, encode(&call.now().snapshot, &made, false)))
}

/// `GET …/l7policies/{l7policy_id}`.
pub(crate) async fn show(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::Get)?;
    let found = view.policy(call.id("l7policy_id")?)?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(&view.snapshot, found, false)))
}

/// `PUT …/l7policies/{l7policy_id}`.
pub(crate) async fn update(call: Call) -> Result<Response, Problem> {
    let id = call.id("l7policy_id")?;
    let patch = decode_patch(call.fields(WRAPPER)?, call.now().policy(id)?)?;
    let changed = control::policy_update(call.control(), &call.caller, id, patch).await?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(&call.now().snapshot, &changed, false)))
}

/// `DELETE …/l7policies/{l7policy_id}`.
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    control::policy_delete(call.control(), &call.caller, call.id("l7policy_id")?).await?;
    Ok(call.gone())
}
