//! `fixed_response_config`: an answer of the load balancer's own.

use model::policy::{FixedResponse, FixedResponsePatch, HeaderEdits, RateLimit};
use serde::Serialize;

use crate::v3::{
    fields::{Fields, Refusal},
    policy::{extras, headers},
};

// ---- wire ----

/// A fixed response as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Wire {
    status_code: String,
    content_type: String,
    message_body: String,
    insert_headers_config: Option<headers::WireInsert>,
    remove_headers_config: Option<headers::WireRemove>,
    traffic_limit_config: Option<extras::WireLimit>,
}

// ---- decode ----

const CONTENT_TYPE_DEFAULT: &str = "text/plain";
const CONTENT_TYPES: &[(&str, Option<&str>)] = &[
    (CONTENT_TYPE_DEFAULT, Some(CONTENT_TYPE_DEFAULT)),
    ("text/css", Some("text/css")),
    ("text/html", Some("text/html")),
    ("application/javascript", Some("application/javascript")),
    ("application/json", Some("application/json")),
];

/// The field `fixed_response_config` of a policy that has the limit `now` so far.
pub(super) fn decode(
    policy: &mut Fields<'_>,
    now: Option<RateLimit>,
) -> Result<Option<FixedResponsePatch>, Refusal> {
    policy.object("fixed_response_config")?.map(|fields| read(fields, now)).transpose()
}

/// The fields inside it.
pub(crate) fn read(mut fields: Fields<'_>, now: Option<RateLimit>) -> Result<FixedResponsePatch, Refusal> {
    let patch = FixedResponsePatch {
        status: status(&mut fields)?,
        content_type: fields.choice("content_type", CONTENT_TYPES)?.map(str::to_owned),
        body: fields.string("message_body", 0..=1024)?,
        insert_headers: headers::decode_insert(&mut fields)?,
        remove_headers: headers::decode_remove(&mut fields)?,
        limit: extras::decode_limit(&mut fields, now)?,
    };
    fields.done()?;
    Ok(patch)
}

fn status(fields: &mut Fields<'_>) -> Result<Option<u16>, Refusal> {
    let Some(text) = fields.string("status_code", 1..=16)? else { return Ok(None) };
    match text.parse::<u16>() {
        Ok(status @ (200..=299 | 400..=599)) if text.len() == 3 => Ok(Some(status)),
        _ => Err(fields.refuse("status_code", "must be from 200 to 299 or from 400 to 599, as a string")),
    }
}

/// The answer of a new policy.
pub(super) fn into_new(patch: FixedResponsePatch, policy: &Fields<'_>) -> Result<FixedResponse, Refusal> {
    Ok(FixedResponse {
        status: policy.required("fixed_response_config.status_code", patch.status)?,
        content_type: patch.content_type.unwrap_or_else(|| CONTENT_TYPE_DEFAULT.to_owned()),
        body: patch.body.unwrap_or_default(),
        headers: HeaderEdits {
            insert: patch.insert_headers.into_option().unwrap_or_default(),
            remove: patch.remove_headers.into_option().unwrap_or_default(),
        },
        limit: patch.limit.into_option(),
    })
}

// ---- encode ----

/// The answer as answers show it.
pub(super) fn encode(response: &FixedResponse) -> Wire {
    Wire {
        status_code: response.status.to_string(),
        content_type: response.content_type.clone(),
        message_body: response.body.clone(),
        insert_headers_config: headers::encode_insert(&response.headers),
        remove_headers_config: headers::encode_remove(&response.headers),
        traffic_limit_config: response.limit.map(extras::encode_limit),
    }
}
