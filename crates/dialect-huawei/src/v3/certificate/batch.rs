//! Deleting several certificates in one call.

use axum::response::Response;
use control::{BATCH_MAX, Error};
use http::StatusCode;
use model::CertificateId;
use serde::Serialize;

use crate::v3::{call::Call, errors::Problem};

// ---- wire ----

/// What became of one certificate.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    id: String,
    ret_status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ret_code: Option<&'static str>,
}

// ---- encode ----

/// What became of one certificate, as the answer shows it. What a failure's `ret_status` says is not documented: the reason.
pub(crate) fn encode(id: CertificateId, outcome: Result<(), Error>) -> Wire {
    let (ret_status, ret_code) = match outcome {
        Ok(()) => ("successful".to_owned(), None),
        Err(Error::NotFound { .. }) => ("not found".to_owned(), Some("ELB.9903")),
        Err(error) => (error.to_string(), Some(Problem::from(error).code())),
    };
    Wire { id: id.simple(), ret_status, ret_code }
}

// ---- operations ----

/// `POST …/certificates/batch-delete`.
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    let ids = call.id_list("certificates", BATCH_MAX)?;
    let outcomes = control::certificate_delete_batch(call.control(), &call.caller, ids).await?;
    let wire: Vec<_> = outcomes.into_iter().map(|(id, outcome)| encode(id, outcome)).collect();
    Ok(call.one(StatusCode::OK, "certificates", wire))
}
