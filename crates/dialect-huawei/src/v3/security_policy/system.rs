//! The system's security policies: they are there from the start, and are the same for all.

use axum::response::Response;
use http::StatusCode;
use identity::Verb;
use model::{ProjectId, SystemSecurityPolicy};
use serde::Serialize;

use crate::v3::{call::Call, errors::Problem};

// ---- wire ----

/// A policy of the system as answers show it: its lists are texts.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    name: &'static str,
    protocols: String,
    ciphers: &'static str,
    project_id: String,
}

// ---- encode ----

/// A policy of the system as the project sees it.
pub(crate) fn encode(policy: SystemSecurityPolicy, project: ProjectId) -> Wire {
    let versions: Vec<_> = policy.versions().iter().map(|version| version.as_str()).collect();
    Wire {
        name: policy.as_str(),
        protocols: versions.join(" "),
        ciphers: policy.suites(),
        project_id: project.simple(),
    }
}

// ---- operations ----

/// `GET …/system-security-policies`.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let view = call.view("security-policies", Verb::List)?;
    let all: Vec<_> = SystemSecurityPolicy::ALL.iter().map(|policy| encode(*policy, view.project)).collect();
    Ok(call.one(StatusCode::OK, "system_security_policies", all))
}
