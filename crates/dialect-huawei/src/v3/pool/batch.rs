//! Deleting several pools in one call.

use axum::response::Response;
use control::BatchOutcome;
use http::StatusCode;
use serde::Serialize;

use crate::v3::{call::Call, errors::Problem};

/// Most pools of one call.
const POOLS_MAX: usize = 200;

// ---- wire ----

/// What became of one pool.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    id: String,
    ret_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ret_code: Option<&'static str>,
}

// ---- encode ----

/// What became of one pool, as the answer shows it.
pub(crate) fn encode(id: impl ToString, outcome: BatchOutcome) -> Wire {
    let (ret_status, ret_code) = match outcome {
        BatchOutcome::Done => ("successful", None),
        BatchOutcome::NotFound => ("not found", Some("ELB.9903")),
    };
    Wire { id: id.to_string(), ret_status, ret_code }
}

// ---- operations ----

/// `POST …/pools/batch-delete`.
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    let ids = call.id_list("pools", POOLS_MAX)?;
    let outcomes = control::pool_delete_batch(call.control(), &call.caller, ids).await?;
    let wire: Vec<_> = outcomes.into_iter().map(|(id, outcome)| encode(id, outcome)).collect();
    Ok(call.one(StatusCode::OK, "pools", wire))
}
