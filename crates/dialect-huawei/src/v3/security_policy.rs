//! The TLS security policy in v3 words.

pub(crate) mod system;

use axum::response::Response;
use control::View;
use http::StatusCode;
use identity::Verb;
use model::{CipherSuite, NewSecurityPolicy, SecurityPolicy, SecurityPolicyPatch, Snapshot, TlsVersion};
use serde::Serialize;

use crate::v3::{
    answer::{self, Ref},
    call::Call,
    errors::Problem,
    fields::{Fields, Refusal},
    list::{Filter, each, one},
    marks,
};

const WRAPPER: &str = "security_policy";
const LIST: &str = "security_policies";
const RESOURCE: &str = "security-policies";

// ---- wire ----

/// A security policy as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    id: String,
    name: String,
    description: String,
    project_id: String,
    enterprise_project_id: String,
    listeners: Vec<Ref>,
    protocols: Vec<&'static str>,
    ciphers: Vec<&'static str>,
    created_at: String,
    updated_at: String,
}

// ---- decode ----

/// Most items of the two lists.
const VERSIONS_MAX: usize = 5;
const SUITES_MAX: usize = 30;

/// The body of a create.
pub(crate) fn decode_new(mut fields: Fields<'_>) -> Result<NewSecurityPolicy, Refusal> {
    let versions = versions(&mut fields)?;
    let suites = suites(&mut fields)?;
    let new = NewSecurityPolicy {
        name: marks::name(&mut fields)?.unwrap_or_default(),
        description: marks::description(&mut fields)?.unwrap_or_default(),
        versions: fields.required("protocols", versions)?,
        suites: fields.required("ciphers", suites)?,
        enterprise_project: marks::enterprise_project(&mut fields)?,
    };
    fields.done()?;
    Ok(new)
}

/// Fixed at creation (behaviours.md section 4).
pub(crate) const FIXED: &[&str] = &["enterprise_project_id"];

/// The body of an update.
pub(crate) fn decode_patch(mut fields: Fields<'_>) -> Result<SecurityPolicyPatch, Refusal> {
    fields.fixed(FIXED)?;
    let patch = SecurityPolicyPatch {
        name: marks::name(&mut fields)?,
        description: marks::description(&mut fields)?,
        versions: versions(&mut fields)?,
        suites: suites(&mut fields)?,
    };
    fields.done()?;
    Ok(patch)
}

fn versions(fields: &mut Fields<'_>) -> Result<Option<Vec<TlsVersion>>, Refusal> {
    fields.parsed_list("protocols", VERSIONS_MAX, "one of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3")
}

fn suites(fields: &mut Fields<'_>) -> Result<Option<Vec<CipherSuite>>, Refusal> {
    fields.parsed_list("ciphers", SUITES_MAX, "a suite that security policies may name")
}

// ---- encode ----

/// The security policy as answers show it.
pub(crate) fn encode(snapshot: &Snapshot, policy: &SecurityPolicy) -> Wire {
    Wire {
        id: policy.id.to_string(),
        name: policy.name.to_string(),
        description: policy.description.to_string(),
        project_id: policy.project.simple(),
        enterprise_project_id: answer::enterprise_project(policy.enterprise_project),
        listeners: answer::refs(
            snapshot.listeners_with_security_policy(policy.id).map(|listener| listener.id),
        ),
        protocols: policy.versions.iter().map(|version| version.as_str()).collect(),
        ciphers: policy.suites.iter().map(|suite| suite.as_str()).collect(),
        created_at: answer::time(policy.created_at),
        updated_at: answer::time(policy.updated_at),
    }
}

// ---- list ----

/// What its list can be filtered by.
pub(crate) const FILTERS: &[Filter<View, SecurityPolicy>] = &[
    Filter::text("id", |_, policy| one(policy.id)),
    Filter::text("name", |_, policy| one(&policy.name)),
    Filter::text("description", |_, policy| one(&policy.description)),
    Filter::text("protocols", |_, policy| each(policy.versions.iter().map(|version| version.as_str()))),
    Filter::text("ciphers", |_, policy| each(policy.suites.iter().map(|suite| suite.as_str()))),
];

// ---- operations ----

/// `GET …/security-policies`.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::List)?;
    let all = view.snapshot.security_policies().values().map(AsRef::as_ref);
    let own = all.filter(|policy: &&SecurityPolicy| policy.project == view.project).collect();
    call.page(LIST, &view, FILTERS, |policy| policy.id, own, |policy| encode(&view.snapshot, policy))
}

/// `POST …/security-policies`.
pub(crate) async fn create(call: Call) -> Result<Response, Problem> {
    let new = decode_new(call.fields(WRAPPER)?)?;
    let made = control::security_policy_create(call.control(), &call.caller, new).await?;
    Ok(call.one(StatusCode::CREATED, WRAPPER, encode(&call.now().snapshot, &made)))
}

/// `GET …/security-policies/{security_policy_id}`.
pub(crate) async fn show(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::Get)?;
    let found = view.security_policy(call.id("security_policy_id")?)?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(&view.snapshot, found)))
}

/// `PUT …/security-policies/{security_policy_id}`.
pub(crate) async fn update(call: Call) -> Result<Response, Problem> {
    let id = call.id("security_policy_id")?;
    let patch = decode_patch(call.fields(WRAPPER)?)?;
    let changed = control::security_policy_update(call.control(), &call.caller, id, patch).await?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(&call.now().snapshot, &changed)))
}

/// `DELETE …/security-policies/{security_policy_id}`.
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    control::security_policy_delete(call.control(), &call.caller, call.id("security_policy_id")?).await?;
    Ok(call.gone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::v3::fields::tests::read;

    #[test]
    fn a_version_or_suite_that_is_not_known_is_named() {
        for (content, expect) in [
            (json!({"protocols": ["TLSv1.2"], "ciphers": ["AES128-SHA"]}), Ok(())),
            (json!({"protocols": ["TLSv1.2", "SSLv3"], "ciphers": ["AES128-SHA"]}), Err("protocols[1]")),
            (json!({"protocols": ["TLSv1.2"], "ciphers": ["RC4-SHA"]}), Err("ciphers[0]")),
            (json!({"protocols": "TLSv1.2", "ciphers": []}), Err("protocols")),
            (json!({"protocols": ["TLSv1.2"]}), Err("ciphers")),
        ] {
            assert_eq!(
                read(content.clone(), decode_new).map(drop),
                expect.map_err(str::to_owned),
                "{content}"
            );
        }
    }
}
