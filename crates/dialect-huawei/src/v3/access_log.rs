//! The access log of a load balancer in v3 words: a log tank.

use axum::response::Response;
use control::View;
use http::StatusCode;
use identity::Verb;
use model::{AccessLog, AccessLogPatch, NewAccessLog};
use serde::Serialize;

use crate::v3::{
    call::Call,
    errors::Problem,
    fields::{Fields, Refusal},
    list::{Filter, enterprise_project, one},
};

const WRAPPER: &str = "logtank";
const RESOURCE: &str = "logtanks";

// ---- wire ----

/// An access log as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    id: String,
    project_id: String,
    loadbalancer_id: String,
    log_group_id: String,
    log_topic_id: String,
}

// ---- decode ----

/// The body of a create.
pub(crate) fn decode_new(mut fields: Fields<'_>) -> Result<NewAccessLog, Refusal> {
    let load_balancer = fields.id("loadbalancer_id")?;
    let group = fields.string("log_group_id", 1..=36)?;
    let topic = fields.string("log_topic_id", 1..=36)?;
    let new = NewAccessLog {
        load_balancer: fields.required("loadbalancer_id", load_balancer)?,
        group: fields.required("log_group_id", group)?,
        topic: fields.required("log_topic_id", topic)?,
    };
    fields.done()?;
    Ok(new)
}

/// Fixed at creation (behaviours.md section 4).
pub(crate) const FIXED: &[&str] = &["loadbalancer_id"];

/// The body of an update.
pub(crate) fn decode_patch(mut fields: Fields<'_>) -> Result<AccessLogPatch, Refusal> {
    fields.fixed(FIXED)?;
    let patch = AccessLogPatch {
        group: fields.string("log_group_id", 1..=36)?,
        topic: fields.string("log_topic_id", 1..=36)?,
    };
    fields.done()?;
    Ok(patch)
}

// ---- encode ----

/// The access log as answers show it.
pub(crate) fn encode(log: &AccessLog) -> Wire {
    Wire {
        id: log.id.to_string(),
        project_id: log.project.simple(),
        loadbalancer_id: log.load_balancer.to_string(),
        log_group_id: log.group.clone(),
        log_topic_id: log.topic.clone(),
    }
}

// ---- list ----

/// What its list can be filtered by.
pub(crate) const FILTERS: &[Filter<View, AccessLog>] = &[
    Filter::text("id", |_, log| one(log.id)),
    // It has no project of that kind of its own; its load balancer's counts.
    Filter::text("enterprise_project_id", |view, log| {
        let load_balancer = view.snapshot.load_balancer(log.load_balancer);
        enterprise_project(load_balancer.and_then(|load_balancer| load_balancer.enterprise_project))
    }),
    Filter::text("loadbalancer_id", |_, log| one(log.load_balancer)),
    Filter::text("log_group_id", |_, log| one(&log.group)),
    Filter::text("log_topic_id", |_, log| one(&log.topic)),
];

// ---- operations ----

/// `GET …/logtanks`.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::List)?;
    let all = view.snapshot.access_logs().values().map(AsRef::as_ref);
    let own = all.filter(|log: &&AccessLog| log.project == view.project).collect();
    call.page(RESOURCE, &view, FILTERS, |log| log.id, own, encode)
}

/// `POST …/logtanks`.
pub(crate) async fn create(call: Call) -> Result<Response, Problem> {
    let new = decode_new(call.fields(WRAPPER)?)?;
    let made = control::access_log_create(call.control(), &call.caller, new).await?;
    Ok(call.one(StatusCode::CREATED, WRAPPER, encode(&made)))
}

/// `GET …/logtanks/{logtank_id}`.
pub(crate) async fn show(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::Get)?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(view.access_log(call.id("logtank_id")?)?)))
}

/// `PUT …/logtanks/{logtank_id}`.
pub(crate) async fn update(call: Call) -> Result<Response, Problem> {
    let id = call.id("logtank_id")?;
    let patch = decode_patch(call.fields(WRAPPER)?)?;
    let changed = control::access_log_update(call.control(), &call.caller, id, patch).await?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(&changed)))
}

/// `DELETE …/logtanks/{logtank_id}`.
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    control::access_log_delete(call.control(), &call.caller, call.id("logtank_id")?).await?;
    Ok(call.gone())
}
