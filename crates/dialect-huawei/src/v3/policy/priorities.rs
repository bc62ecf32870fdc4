//! Setting the priorities of several policies in one call: all or nothing.

use axum::response::Response;
use control::BATCH_MAX;
use http::StatusCode;
use model::{PolicyId, Priority};

use crate::v3::{
    answer,
    call::Call,
    errors::Problem,
    fields::{Fields, Refusal},
};

/// One of the policies and its new priority.
pub(crate) fn decode(mut fields: Fields<'_>) -> Result<(PolicyId, Priority), Refusal> {
    let id = fields.id("id")?;
    let priority = super::priority(&mut fields)?;
    let wish = (fields.required("id", id)?, fields.required("priority", priority)?);
    fields.done()?;
    Ok(wish)
}

/// `POST …/l7policies/batch-update-priority`; it answers 202 with the request's id alone.
pub(crate) async fn update(call: Call) -> Result<Response, Problem> {
    let items = call.items("l7policies", BATCH_MAX)?;
    let wishes = items.into_iter().map(decode).collect::<Result<_, _>>()?;
    control::policy_priorities_update(call.control(), &call.caller, wishes).await?;
    let body = serde_json::json!({ "request_id": call.request_id() });
    Ok(answer::json(StatusCode::ACCEPTED, &body, call.request_id()))
}
