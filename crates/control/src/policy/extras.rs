//! The rules of what a policy changes on the way (behaviour/forwarding.md, Extras).

use std::collections::BTreeSet;

use model::{
    Listener,
    policy::{Cors, Extras, HeaderEdits, InsertedValue, RateLimit, SystemValue},
};

use super::url;
use crate::Error;

/// What a caller is told when an extra is wrong.
pub(super) const FIELD: &str = "redirect_pools_extend_config";

/// Whether the extras of a forwarding policy fit. The mirror's pool is looked at with the other pools.
pub(super) fn check(extras: &Extras, listener: &Listener) -> Result<(), Error> {
    match &extras.rewrite {
        Some(rewrite) => url::check_rewrite(rewrite, FIELD)?,
        None if extras.rewrite_enabled => {
            return Err(Error::invalid(FIELD, "rewrite_url_enable needs rewrite_url_config"));
        }
        None => {}
    }
    check_headers(&extras.headers, listener, FIELD)?;
    check_limit(extras.limit.as_ref(), FIELD)?;
    if let Some(cors) = &extras.cors {
        check_cors(cors)?;
    }
    match &extras.mirror {
        Some(mirror) if mirror.pools.len() != 1 => {
            Err(Error::invalid(FIELD, "traffic_mirror_config needs target_ids with one pool"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether headers may be written and removed so.
pub(super) fn check_headers(
    edits: &HeaderEdits,
    listener: &Listener,
    field: &'static str,
) -> Result<(), Error> {
    let invalid = |reason: String| Err(Error::invalid(field, reason));
    let mut written = BTreeSet::new();
    for header in &edits.insert {
        check_key(&header.name, field)?;
        if !written.insert(header.name.to_ascii_lowercase()) {
            return invalid(format!("the header {} is written twice", header.name));
        }
        match &header.value {
            InsertedValue::Text(value) => {
                let printable = value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
                if !(1..=VALUE_MAX).contains(&value.len()) || !printable || value.trim() != value {
                    return invalid(format!(
                        "the value of {} must have 1 to {VALUE_MAX} printable characters and no space at its ends",
                        header.name
                    ));
                }
            }
            InsertedValue::Header(name) => {
                if !is_name(name) || name.eq_ignore_ascii_case("transparent") {
                    return invalid(format!("the value of {} must name a header", header.name));
                }
            }
            InsertedValue::System(value) => {
                if needs_tls(*value) && listener.tls().is_none() {
                    return invalid(format!("only HTTPS listeners know {value:?} for {}", header.name));
                }
            }
        }
    }
    let mut removed = BTreeSet::new();
    for name in &edits.remove {
        check_key(name, field)?;
        if !removed.insert(name.to_ascii_lowercase()) {
            return invalid(format!("the header {name} is removed twice"));
        }
    }
    if edits.insert.len() > EDITS_MAX || edits.remove.len() > EDITS_MAX {
        return invalid(format!("at most {EDITS_MAX} headers may be written and as many removed"));
    }
    Ok(())
}

/// A limit per source above that of all could never be reached.
pub(super) fn check_limit(limit: Option<&RateLimit>, field: &'static str) -> Result<(), Error> {
    match limit {
        Some(limit) if limit.qps.value() != 0 && limit.per_source_qps >= limit.qps => Err(Error::invalid(
            field,
            format!("per_source_ip_qps is {}; it must be below qps, {}", limit.per_source_qps, limit.qps),
        )),
        Some(_) | None => Ok(()),
    }
}

fn check_key(name: &str, field: &'static str) -> Result<(), Error> {
    if !is_name(name) {
        return Err(Error::invalid(
            field,
            format!("a header's key must have 1 to {KEY_MAX} letters, digits, '-' or '_'"),
        ));
    }
    if FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden)) {
        return Err(Error::invalid(field, format!("the header {name} may be neither written nor removed")));
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=KEY_MAX).contains(&name.len()) && name.bytes().all(fits)
}

fn needs_tls(value: SystemValue) -> bool {
    match value {
        SystemValue::ClientPort
        | SystemValue::ClientIp
        | SystemValue::ElbProtocol
        | SystemValue::ElbId
        | SystemValue::ElbPort
        | SystemValue::ElbEip
        | SystemValue::ElbVip => false,
        SystemValue::TlsProtocol
        | SystemValue::TlsCipher
        | SystemValue::ClientcertSubjectdn
        | SystemValue::ClientcertIssuerdn
        | SystemValue::ClientcertFingerprint
        | SystemValue::ClientcertClientverify
        | SystemValue::ClientcertSerialnumber
        | SystemValue::Clientcert
        | SystemValue::ClientcertCiphers
        | SystemValue::ClientcertEnd
        | SystemValue::TlsAlpnProtocol
        | SystemValue::TlsSni
        | SystemValue::TlsJa3
        | SystemValue::TlsJa4 => true,
    }
}

fn check_cors(cors: &Cors) -> Result<(), Error> {
    let invalid = |reason: String| Err(Error::invalid(FIELD, reason));
    let lists = [
        ("allow_origin", &cors.allow_origin),
        ("allow_methods", &cors.allow_methods),
        ("allow_headers", &cors.allow_headers),
        ("expose_headers", &cors.expose_headers),
    ];
    for (what, list) in lists {
        if list.len() > CORS_LIST_MAX {
            return invalid(format!("cors_config: {what} has more than {CORS_LIST_MAX} entries"));
        }
    }
    if cors.allow_origin.is_empty() {
        return invalid("cors_config: allow_origin needs '*' or at least one origin".to_owned());
    }
    let any = cors.allow_origin.iter().any(|origin| origin == "*");
    if any && cors.allow_origin.len() > 1 {
        return invalid("cors_config: allow_origin is either '*' or a list of origins".to_owned());
    }
    if !any && let Some(wrong) = cors.allow_origin.iter().find(|origin| !is_origin(origin)) {
        let shown: String = wrong.chars().take(ORIGIN_MAX).collect();
        return invalid(format!(
            "cors_config: '{shown}' is no origin such as https://www.example.com:8443 or https://*.example.com"
        ));
    }
    let method = |method: &&String| *method != "*" && !CORS_METHODS.contains(&method.as_str());
    if let Some(wrong) = cors.allow_methods.iter().find(method) {
        let shown: String = wrong.chars().take(KEY_MAX).collect();
        let known = CORS_METHODS.join(", ");
        return invalid(format!("cors_config: allow_methods: '{shown}' is none of {known}, *"));
    }
    let name = |name: &&String| *name != "*" && !is_name(name);
    if let Some(wrong) = cors.allow_headers.iter().chain(&cors.expose_headers).find(name) {
        let shown: String = wrong.chars().take(KEY_MAX).collect();
        return invalid(format!("cors_config: '{shown}' is no header's name"));
    }
    if !(-1..=CORS_AGE_MAX).contains(&cors.max_age) {
        let age = cors.max_age;
        return invalid(format!("cors_config: max_age is {age}; it must be from -1 to {CORS_AGE_MAX}"));
    }
    Ok(())
}

/// `http(s)://name[:port]`, where the name's first label may be `*`.
fn is_origin(origin: &str) -> bool {
    let Some(rest) = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")) else {
        return false;
    };
    let (name, port) = match rest.split_once(':') {
        None => (rest, None),
        Some((name, port)) => (name, Some(port)),
    };
    let label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(fits)
    };
    let name = name.strip_prefix("*.").unwrap_or(name);
    let port_fits = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    origin.len() <= ORIGIN_MAX && name.split('.').all(label) && port.is_none_or(port_fits)
}

/// Headers that carry the exchange itself or that listeners write, and so no policy may touch.
const FORBIDDEN: [&str; 24] = [
    "connection",
    "upgrade",
    "content-length",
    "transfer-encoding",
    "keep-alive",
    "te",
    "host",
    "cookie",
    "remoteip",
    "authority",
    "x-forwarded-host",
    "x-forwarded-for",
    "x-forwarded-for-port",
    "x-forwarded-tls-certificate-id",
    "x-forwarded-tls-protocol",
    "x-forwarded-tls-cipher",
    "x-forwarded-elb-ip",
    "x-forwarded-port",
    "x-forwarded-elb-id",
    "x-forwarded-elb-vip",
    "x-real-ip",
    "x-forwarded-proto",
    "x-nuwa-trace-ne-in",
    "x-nuwa-trace-ne-out",
];
/// Characters of a header's name.
const KEY_MAX: usize = 40;
/// Characters of a header's value.
const VALUE_MAX: usize = 128;
/// Headers that are written, and as many that are removed; no contract has a number, so this one is ours.
const EDITS_MAX: usize = 20;
/// Methods that pages may be allowed.
const CORS_METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"];
/// Entries of a CORS list; ours.
const CORS_LIST_MAX: usize = 50;
/// Characters of an origin; ours.
const ORIGIN_MAX: usize = 255;
/// Seconds that a preflight's answer may be kept.
const CORS_AGE_MAX: i32 = 172_800;
