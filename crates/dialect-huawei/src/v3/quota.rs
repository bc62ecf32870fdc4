//! Quotas in v3 words: the limits of a project, and how much of them is used.

use std::collections::BTreeMap;

use axum::response::Response;
use http::StatusCode;
use identity::Verb;
use model::{ProjectId, QuotaKey};
use serde::Serialize;

use crate::v3::{call::Call, errors::Problem, list};

const RESOURCE: &str = "quotas";

// ---- wire ----

/// All limits of a project; -1 is no limit.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Limits {
    project_id: String,
    #[serde(flatten)]
    limits: BTreeMap<&'static str, i64>,
}

/// One limit and its use.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Detail {
    quota_key: &'static str,
    quota_limit: i64,
    used: i64,
    unit: &'static str,
}

// ---- encode ----

/// A limit with its use: (what, most, used).
pub(crate) type Usage = (QuotaKey, i64, i64);

/// All limits of a project.
pub(crate) fn encode_limits(project: ProjectId, usage: &[Usage]) -> Limits {
    let limits = usage.iter().map(|(key, limit, _)| (key.as_str(), *limit)).collect();
    Limits { project_id: project.simple(), limits }
}

/// One limit and its use.
pub(crate) fn encode_detail(&(key, quota_limit, used): &Usage) -> Detail {
    Detail { quota_key: key.as_str(), quota_limit, used, unit: "count" }
}

// ---- list ----

/// What the details can be filtered by.
pub(crate) const FILTERS: &[list::Filter<(), Usage>] =
    &[list::Filter::text("quota_key", |_, (key, _, _)| list::one(key.as_str()))];

// ---- operations ----

/// `GET …/quotas`.
pub(crate) async fn show(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::List)?;
    let usage = control::quota_usage(&view);
    Ok(call.one(StatusCode::OK, "quota", encode_limits(view.project, &usage)))
}

/// `GET …/quotas/details`.
pub(crate) async fn details(call: Call) -> Result<Response, Problem> {
    let usage = control::quota_usage(&call.view(RESOURCE, Verb::List)?);
    let wanted = list::filtered(&call.query, &(), FILTERS, &usage)?;
    let details: Vec<_> = wanted.into_iter().map(encode_detail).collect();
    Ok(call.one(StatusCode::OK, RESOURCE, details))
}
