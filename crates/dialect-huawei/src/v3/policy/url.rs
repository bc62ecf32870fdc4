//! `redirect_url_config`: a redirect to another URL.

use model::policy::{HeaderEdits, UrlRedirect, UrlRedirectPatch};
use serde::Serialize;

use crate::v3::{
    fields::{Fields, Refusal},
    policy::headers,
};

// ---- wire ----

/// A redirect as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Wire {
    protocol: String,
    host: String,
    port: String,
    path: String,
    query: String,
    status_code: String,
    insert_headers_config: Option<headers::WireInsert>,
    remove_headers_config: Option<headers::WireRemove>,
}

// ---- decode ----

const PROTOCOLS: &[(&str, Option<&str>)] =
    &[("HTTP", Some("HTTP")), ("HTTPS", Some("HTTPS")), ("${protocol}", Some("${protocol}"))];
const STATUSES: &[(&str, Option<u16>)] =
    &[("301", Some(301)), ("302", Some(302)), ("303", Some(303)), ("307", Some(307)), ("308", Some(308))];

/// The field `redirect_url_config` of a policy.
pub(super) fn decode(policy: &mut Fields<'_>) -> Result<Option<UrlRedirectPatch>, Refusal> {
    policy.object("redirect_url_config")?.map(read).transpose()
}

/// The fields inside it.
pub(crate) fn read(mut fields: Fields<'_>) -> Result<UrlRedirectPatch, Refusal> {
    let patch = UrlRedirectPatch {
        protocol: fields.choice("protocol", PROTOCOLS)?.map(str::to_owned),
        host: fields.string("host", 1..=128)?,
        port: port(&mut fields)?,
        path: fields.string("path", 1..=128)?,
        query: fields.string("query", 0..=128)?,
        status: fields.choice("status_code", STATUSES)?,
        insert_headers: headers::decode_insert(&mut fields)?,
        remove_headers: headers::decode_remove(&mut fields)?,
    };
    fields.done()?;
    Ok(patch)
}

fn port(fields: &mut Fields<'_>) -> Result<Option<String>, Refusal> {
    let Some(port) = fields.string("port", 1..=16)? else { return Ok(None) };
    match port.as_str() {
        "${port}" => Ok(Some(port)),
        digits if digits.parse::<u16>().is_ok_and(|port| port > 0 && port.to_string() == digits) => {
            Ok(Some(port))
        }
        _ => Err(fields.refuse("port", "must be ${port} or a port from 1 to 65535")),
    }
}

/// The redirect of a new policy; parts that are not said stay as the request has them.
pub(super) fn into_new(patch: UrlRedirectPatch, policy: &Fields<'_>) -> Result<UrlRedirect, Refusal> {
    let same = |said: Option<String>, variable: &str| said.unwrap_or_else(|| variable.to_owned());
    Ok(UrlRedirect {
        protocol: same(patch.protocol, "${protocol}"),
        host: same(patch.host, "${host}"),
        port: same(patch.port, "${port}"),
        path: same(patch.path, "${path}"),
        query: same(patch.query, "${query}"),
        status: policy.required("redirect_url_config.status_code", patch.status)?,
        headers: HeaderEdits {
            insert: patch.insert_headers.into_option().unwrap_or_default(),
            remove: patch.remove_headers.into_option().unwrap_or_default(),
        },
    })
}

// ---- encode ----

/// The redirect as answers show it.
pub(super) fn encode(redirect: &UrlRedirect) -> Wire {
    Wire {
        protocol: redirect.protocol.clone(),
        host: redirect.host.clone(),
        port: redirect.port.clone(),
        path: redirect.path.clone(),
        query: redirect.query.clone(),
        status_code: redirect.status.to_string(),
        insert_headers_config: headers::encode_insert(&redirect.headers),
        remove_headers_config: headers::encode_remove(&redirect.headers),
    }
}
