//! `redirect_pools_extend_config`: what a policy changes on the way to its pools.

use model::{
    Patch, PoolId, RequestRate,
    policy::{Cors, Extras, ExtrasPatch, HeaderEdits, Mirror, RateLimit, Rewrite},
};
use serde::Serialize;

use crate::v3::{
    fields::{Fields, Refusal},
    policy::headers,
};

// ---- wire ----

/// The changes as answers show them; parts that are not set are null.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Wire {
    rewrite_url_enable: bool,
    rewrite_url_config: Option<WireRewrite>,
    insert_headers_config: Option<headers::WireInsert>,
    remove_headers_config: Option<headers::WireRemove>,
    traffic_limit_config: Option<WireLimit>,
    cors_config: Option<WireCors>,
    traffic_mirror_config: Option<WireMirror>,
}

#[derive(Clone, Debug, Serialize)]
struct WireRewrite {
    host: String,
    path: String,
    query: String,
}

/// A limit as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct WireLimit {
    qps: u32,
    per_source_ip_qps: u32,
    burst: u32,
}

#[derive(Clone, Debug, Serialize)]
struct WireCors {
    allow_origin: Vec<String>,
    allow_methods: Vec<String>,
    allow_headers: Vec<String>,
    expose_headers: Vec<String>,
    allow_credentials: bool,
    max_age: i32,
}

#[derive(Clone, Debug, Serialize)]
struct WireMirror {
    target_ids: Vec<String>,
    mirror_request_body_enable: bool,
}

// ---- decode ----

/// The changes of a policy that has `now` so far.
pub(super) fn decode(policy: &mut Fields<'_>, now: Option<&Extras>) -> Result<Option<ExtrasPatch>, Refusal> {
    policy.object("redirect_pools_extend_config")?.map(|fields| read(fields, now)).transpose()
}

/// The fields inside it.
pub(crate) fn read(mut fields: Fields<'_>, now: Option<&Extras>) -> Result<ExtrasPatch, Refusal> {
    let patch = ExtrasPatch {
        rewrite: decode_rewrite(&mut fields, now.and_then(|now| now.rewrite.as_ref()))?,
        rewrite_enabled: fields.flag("rewrite_url_enable")?,
        insert_headers: headers::decode_insert(&mut fields)?,
        remove_headers: headers::decode_remove(&mut fields)?,
        limit: decode_limit(&mut fields, now.and_then(|now| now.limit))?,
        cors: decode_cors(&mut fields, now.and_then(|now| now.cors.as_ref()))?,
        mirror: decode_mirror(&mut fields, now.and_then(|now| now.mirror.as_ref()))?,
    };
    fields.done()?;
    Ok(patch)
}

/// The changes of a new policy.
pub(super) fn into_new(patch: ExtrasPatch) -> Extras {
    Extras {
        rewrite: patch.rewrite.into_option(),
        rewrite_enabled: patch.rewrite_enabled.unwrap_or(false),
        headers: HeaderEdits {
            insert: patch.insert_headers.into_option().unwrap_or_default(),
            remove: patch.remove_headers.into_option().unwrap_or_default(),
        },
        limit: patch.limit.into_option(),
        cors: patch.cors.into_option(),
        mirror: patch.mirror.into_option(),
    }
}

fn decode_rewrite(extras: &mut Fields<'_>, now: Option<&Rewrite>) -> Result<Patch<Rewrite>, Refusal> {
    part(extras, "rewrite_url_config", |fields| {
        let mut text = |name: &str, now: Option<&String>, same: &str| -> Result<String, Refusal> {
            let said = fields.string(name, 0..=128)?;
            Ok(said.or_else(|| now.cloned()).unwrap_or_else(|| same.to_owned()))
        };
        Ok(Rewrite {
            host: text("host", now.map(|now| &now.host), "${host}")?,
            path: text("path", now.map(|now| &now.path), "${path}")?,
            query: text("query", now.map(|now| &now.query), "${query}")?,
        })
    })
}

/// `traffic_limit_config` of a policy that has `now` so far; what nobody said is 0, no limit.
pub(super) fn decode_limit(
    config: &mut Fields<'_>,
    now: Option<RateLimit>,
) -> Result<Patch<RateLimit>, Refusal> {
    part(config, "traffic_limit_config", |fields| {
        let mut rate = |name: &str, now: Option<RequestRate>| -> Result<RequestRate, Refusal> {
            match fields.integer(name, 0..=100_000)? {
                Some(rate) => fields.typed(name, rate),
                None => Ok(now.unwrap_or(RequestRate::of(0))),
            }
        };
        Ok(RateLimit {
            qps: rate("qps", now.map(|now| now.qps))?,
            per_source_qps: rate("per_source_ip_qps", now.map(|now| now.per_source_qps))?,
            burst: rate("burst", now.map(|now| now.burst))?,
        })
    })
}

fn decode_cors(extras: &mut Fields<'_>, now: Option<&Cors>) -> Result<Patch<Cors>, Refusal> {
    part(extras, "cors_config", |fields| {
        let mut texts = |name: &str, now: Option<&Vec<String>>| -> Result<Vec<String>, Refusal> {
            let said = fields.strings(name, LIST_MAX, 1..=255)?;
            Ok(said.or_else(|| now.cloned()).unwrap_or_default())
        };
        let (allow_origin, allow_methods, allow_headers, expose_headers) = (
            texts("allow_origin", now.map(|now| &now.allow_origin))?,
            texts("allow_methods", now.map(|now| &now.allow_methods))?,
            texts("allow_headers", now.map(|now| &now.allow_headers))?,
            texts("expose_headers", now.map(|now| &now.expose_headers))?,
        );
        let credentials = fields.flag("allow_credentials")?.or(now.map(|now| now.allow_credentials));
        let max_age = fields.integer("max_age", -1..=172_800)?;
        let max_age = max_age.map(|seconds| fields.typed("max_age", seconds)).transpose()?;
        Ok(Cors {
            allow_origin,
            allow_methods,
            allow_headers,
            expose_headers,
            allow_credentials: credentials.unwrap_or(false),
            max_age: max_age.or(now.map(|now| now.max_age)).unwrap_or(MAX_AGE_DEFAULT),
        })
    })
}

/// Most items of a list about origins.
const LIST_MAX: usize = 100;
/// The documents name no default; -1 forbids browsers to keep a preflight's answer, so that a change counts at once.
const MAX_AGE_DEFAULT: i32 = -1;

fn decode_mirror(extras: &mut Fields<'_>, now: Option<&Mirror>) -> Result<Patch<Mirror>, Refusal> {
    part(extras, "traffic_mirror_config", |fields| {
        let pools = fields.parsed_list::<PoolId>("target_ids", 5, "an id (uuid)")?;
        let body = fields.flag("mirror_request_body_enable")?;
        Ok(Mirror {
            pools: pools.or_else(|| now.map(|now| now.pools.clone())).unwrap_or_default(),
            body: body.or(now.map(|now| now.body)).unwrap_or(true),
        })
    })
}

/// A part that can be taken away by null or `{}`.
fn part<T>(
    config: &mut Fields<'_>,
    name: &str,
    read: impl FnOnce(&mut Fields<'_>) -> Result<T, Refusal>,
) -> Result<Patch<T>, Refusal> {
    let mut fields = match config.nullable_object(name)? {
        Patch::Keep => return Ok(Patch::Keep),
        Patch::Clear => return Ok(Patch::Clear),
        Patch::Set(fields) if fields.is_empty() => return Ok(Patch::Clear),
        Patch::Set(fields) => fields,
    };
    let value = read(&mut fields)?;
    fields.done()?;
    Ok(Patch::Set(value))
}

// ---- encode ----

/// The changes as answers show them; null when there are none.
pub(super) fn encode(extras: &Extras) -> Option<Wire> {
    if *extras == Extras::default() {
        return None;
    }
    Some(Wire {
        rewrite_url_enable: extras.rewrite_enabled,
        rewrite_url_config: extras.rewrite.as_ref().map(|rewrite| WireRewrite {
            host: rewrite.host.clone(),
            path: rewrite.path.clone(),
            query: rewrite.query.clone(),
        }),
        insert_headers_config: headers::encode_insert(&extras.headers),
        remove_headers_config: headers::encode_remove(&extras.headers),
        traffic_limit_config: extras.limit.map(encode_limit),
        cors_config: extras.cors.as_ref().map(|cors| WireCors {
            allow_origin: cors.allow_origin.clone(),
            allow_methods: cors.allow_methods.clone(),
            allow_headers: cors.allow_headers.clone(),
            expose_headers: cors.expose_headers.clone(),
            allow_credentials: cors.allow_credentials,
            max_age: cors.max_age,
        }),
        traffic_mirror_config: extras.mirror.as_ref().map(|mirror| WireMirror {
            target_ids: mirror.pools.iter().map(ToString::to_string).collect(),
            mirror_request_body_enable: mirror.body,
        }),
    })
}

/// A limit as answers show it.
pub(super) fn encode_limit(limit: RateLimit) -> WireLimit {
    WireLimit {
        qps: limit.qps.value(),
        per_source_ip_qps: limit.per_source_qps.value(),
        burst: limit.burst.value(),
    }
}
