//! Whether answers show private keys: a switch of the project.

use axum::response::Response;
use http::StatusCode;
use identity::Verb;

use crate::v3::{
    call::Call,
    errors::Problem,
    fields::{Fields, Refusal},
};

const FIELD: &str = "private_key_echo";

/// The body of a change; it has no wrapper.
pub(crate) fn decode(mut fields: Fields<'_>) -> Result<bool, Refusal> {
    let shown = fields.flag(FIELD)?;
    let shown = fields.required(FIELD, shown)?;
    fields.done()?;
    Ok(shown)
}

/// `GET …/certificates/settings/private-key-echo`.
pub(crate) async fn show(call: Call) -> Result<Response, Problem> {
    let view = call.view("certificates", Verb::Get)?;
    Ok(call.one(StatusCode::OK, FIELD, view.private_key_echo()))
}

/// `POST …/certificates/settings/private-key-echo`.
pub(crate) async fn update(call: Call) -> Result<Response, Problem> {
    let shown = decode(call.bare_fields()?)?;
    control::private_key_echo_update(call.control(), &call.caller, shown).await?;
    Ok(call.one(StatusCode::CREATED, FIELD, shown))
}
