//! The lists of projects and domains that a caller can work in. SDKs ask for them to find the ids that they were not given.

use std::sync::Arc;

use axum::response::Response;
use hyper::StatusCode;
use model::Project;
use serde_json::{Value, json};

use super::{Call, Refused};
use crate::errors;

/// `GET /v3/projects`: the caller's projects, filtered by `name`, `domain_id`, `enabled`, each exactly.
pub(super) fn list(call: &Call<'_>) -> Result<Response, Refused> {
    let (name, domain, enabled) = (call.query("name"), call.query("domain_id"), call.query("enabled"));
    let enabled = match enabled.map(|text| text.to_ascii_lowercase()).as_deref() {
        None => None,
        Some("true" | "1" | "") => Some(true),
        Some("false" | "0") => Some(false),
        Some(other) => return Err(Refused::bad(format!("enabled is '{other}'; it must be true or false"))),
    };
    answer(call, "projects", |project| {
        name.as_deref().is_none_or(|name| project.name.as_str() == name)
            && domain.as_deref().is_none_or(|domain| project.domain.id.simple() == domain)
            && enabled.is_none_or(|enabled| project.enabled == enabled)
    })
}

/// `GET /v3/auth/projects`: the projects that the caller can have a token for.
pub(super) fn mine(call: &Call<'_>) -> Result<Response, Refused> {
    answer(call, "auth/projects", |project| project.enabled)
}

/// `GET /v3/auth/domains`: the domain that the caller belongs to.
pub(super) fn my_domains(call: &Call<'_>) -> Result<Response, Refused> {
    let known = call.known()?;
    let domain = &known.user.domain;
    let base = call.identity_base();
    let entry = json!({
        "id": domain.id.simple(),
        "name": domain.name.as_str(),
        "enabled": true,
        "description": "",
        "links": { "self": format!("{base}/v3/domains/{}", domain.id.simple()) },
    });
    Ok(errors::json_answer(
        StatusCode::OK,
        &json!({ "links": links(&base, "auth/domains"), "domains": [entry] }),
    ))
}

fn answer(call: &Call<'_>, path: &str, wanted: impl Fn(&Project) -> bool) -> Result<Response, Refused> {
    let known = call.known()?;
    let base = call.identity_base();
    let snapshot = call.api.snapshot();
    let projects: Vec<Value> = known
        .projects(&snapshot)
        .into_iter()
        .filter(|project| wanted(project))
        .map(|project| entry(project, &base))
        .collect();
    Ok(errors::json_answer(StatusCode::OK, &json!({ "links": links(&base, path), "projects": projects })))
}

fn entry(project: &Arc<Project>, base: &str) -> Value {
    let (id, domain) = (project.id.simple(), project.domain.id.simple());
    json!({
        "id": id,
        "name": project.name.as_str(),
        "domain_id": domain,
        "parent_id": domain,
        "is_domain": false,
        "enabled": project.enabled,
        "description": project.description.as_str(),
        "links": { "self": format!("{base}/v3/projects/{id}") },
    })
}

fn links(base: &str, path: &str) -> Value {
    json!({ "self": format!("{base}/v3/{path}"), "previous": null, "next": null })
}
