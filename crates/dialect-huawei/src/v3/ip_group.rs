//! The IP group in v3 words.

pub(crate) mod entries;

use axum::response::Response;
use control::View;
use http::StatusCode;
use identity::Verb;
use model::{IpGroup, IpGroupPatch, NewIpGroup, Snapshot};
use serde::Serialize;

use crate::v3::{
    answer::{self, Ref},
    call::Call,
    errors::Problem,
    fields::{Fields, Refusal},
    list::{Filter, each, enterprise_project, one},
    marks,
};

pub(super) const WRAPPER: &str = "ipgroup";
const RESOURCE: &str = "ipgroups";

// ---- wire ----

/// An IP group as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    id: String,
    name: String,
    description: String,
    project_id: String,
    enterprise_project_id: String,
    ip_list: Vec<entries::Wire>,
    listeners: Vec<Ref>,
    created_at: String,
    updated_at: String,
}

// ---- decode ----

/// The body of a create.
pub(crate) fn decode_new(mut fields: Fields<'_>) -> Result<NewIpGroup, Refusal> {
    marks::project(&mut fields)?;
    let entries = entries::decode(&mut fields)?;
    let new = NewIpGroup {
        name: marks::name(&mut fields)?.unwrap_or_default(),
        description: marks::description(&mut fields)?.unwrap_or_default(),
        entries: fields.required("ip_list", entries)?,
        enterprise_project: marks::enterprise_project(&mut fields)?,
    };
    fields.done()?;
    Ok(new)
}

/// Fixed at creation (behaviours.md section 4).
pub(crate) const FIXED: &[&str] = &["project_id", "enterprise_project_id"];

/// The body of an update, and of a call that adds entries.
pub(crate) fn decode_patch(mut fields: Fields<'_>) -> Result<IpGroupPatch, Refusal> {
    fields.fixed(FIXED)?;
    let patch = IpGroupPatch {
        name: marks::name(&mut fields)?,
        description: marks::description(&mut fields)?,
        entries: entries::decode(&mut fields)?,
    };
    fields.done()?;
    Ok(patch)
}

// ---- encode ----

/// The IP group as answers show it.
pub(crate) fn encode(snapshot: &Snapshot, group: &IpGroup) -> Wire {
    Wire {
        id: group.id.to_string(),
        name: group.name.to_string(),
        description: group.description.to_string(),
        project_id: group.project.simple(),
        enterprise_project_id: answer::enterprise_project(group.enterprise_project),
        ip_list: group.entries.iter().map(entries::encode).collect(),
        listeners: listeners(snapshot, group),
        created_at: answer::time(group.created_at),
        updated_at: answer::time(group.updated_at),
    }
}

fn listeners(snapshot: &Snapshot, group: &IpGroup) -> Vec<Ref> {
    answer::refs(snapshot.listeners_with_ip_group(group.id).map(|listener| listener.id))
}

// ---- list ----

/// What its list can be filtered by.
pub(crate) const FILTERS: &[Filter<View, IpGroup>] = &[
    Filter::text("id", |_, group| one(group.id)),
    Filter::text("name", |_, group| one(&group.name)),
    Filter::text("description", |_, group| one(&group.description)),
    Filter::text("ip_list", |_, group| each(group.entries.iter().map(|entry| entry.span))),
    Filter::text("enterprise_project_id", |_, group| enterprise_project(group.enterprise_project)),
];

// ---- operations ----

/// `GET …/ipgroups`.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::List)?;
    let all = view.snapshot.ip_groups().values().map(AsRef::as_ref);
    let own = all.filter(|group: &&IpGroup| group.project == view.project).collect();
    call.page(RESOURCE, &view, FILTERS, |group| group.id, own, |group| encode(&view.snapshot, group))
}

/// `POST …/ipgroups`.
pub(crate) async fn create(call: Call) -> Result<Response, Problem> {
    let new = decode_new(call.fields(WRAPPER)?)?;
    let made = control::ip_group_create(call.control(), &call.caller, new).await?;
    Ok(call.one(StatusCode::CREATED, WRAPPER, encode(&call.now().snapshot, &made)))
}

/// `GET …/ipgroups/{ipgroup_id}`.
pub(crate) async fn show(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::Get)?;
    let found = view.ip_group(call.id("ipgroup_id")?)?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(&view.snapshot, found)))
}

/// `PUT …/ipgroups/{ipgroup_id}`.
pub(crate) async fn update(call: Call) -> Result<Response, Problem> {
    let id = call.id("ipgroup_id")?;
    let patch = decode_patch(call.fields(WRAPPER)?)?;
    let changed = control::ip_group_update(call.control(), &call.caller, id, patch).await?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(&call.now().snapshot, &changed)))
}

/// `DELETE …/ipgroups/{ipgroup_id}`.
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    control::ip_group_delete(call.control(), &call.caller, call.id("ipgroup_id")?).await?;
    Ok(call.gone())
}

/// `GET …/ipgroups/{ipgroup_id}/related-listeners`; documented without the request's id.
pub(crate) async fn related_listeners(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::Get)?;
    let found = view.ip_group(call.id("ipgroup_id")?)?;
    Ok(answer::bare("listeners", listeners(&view.snapshot, found), call.request_id()))
}
