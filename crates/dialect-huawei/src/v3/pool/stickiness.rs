//! Stickiness of a pool: `session_persistence`.
//!
//! In an update, what it leaves open stays as the pool has it.

use model::{Patch, PoolProtocol, StickyMinutes, pool::Stickiness};
use serde::Serialize;

use crate::v3::fields::{Fields, Refusal};

// ---- wire ----

/// How clients stay with a member.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SessionPersistence {
    #[serde(rename = "type")]
    kind: &'static str,
    cookie_name: Option<String>,
    persistence_timeout: Option<u32>,
}

// ---- decode ----

/// The three kinds of stickiness in the vendor's words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StickyKind {
    SourceIp,
    HttpCookie,
    AppCookie,
}

const STICKY_KINDS: &[(&str, Option<StickyKind>)] = &[
    ("SOURCE_IP", Some(StickyKind::SourceIp)),
    ("HTTP_COOKIE", Some(StickyKind::HttpCookie)),
    ("APP_COOKIE", Some(StickyKind::AppCookie)),
];
const LAYER4_STICKY_DEFAULT: StickyMinutes = StickyMinutes::of(1);
const HTTP_STICKY_DEFAULT: StickyMinutes = StickyMinutes::of(1440);

/// `session_persistence` of a pool of that protocol, which has `now` so far (behaviours.md section 7):
/// Layer 4 always sticks by source address, whatever type is given; HTTP by a cookie of ours or of the members.
pub(crate) fn decode(
    pool: &mut Fields<'_>,
    protocol: PoolProtocol,
    now: Option<&Stickiness>,
) -> Result<Patch<Stickiness>, Refusal> {
    let mut fields = match pool.nullable_object("session_persistence")? {
        Patch::Keep => return Ok(Patch::Keep),
        Patch::Clear => return Ok(Patch::Clear),
        Patch::Set(fields) => fields,
    };
    let kind = fields.choice("type", STICKY_KINDS)?.or(now.map(kind_of));
    let kind = fields.required("type", kind)?;
    let (longest, default) = match protocol.is_layer7() {
        false => (60, LAYER4_STICKY_DEFAULT),
        true => (1440, HTTP_STICKY_DEFAULT),
    };
    let minutes = fields.integer("persistence_timeout", 1..=longest)?;
    let minutes: Option<StickyMinutes> =
        minutes.map(|minutes| fields.typed("persistence_timeout", minutes)).transpose()?;
    let cookie = fields.string("cookie_name", 1..=1024)?;
    let lawful = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if cookie.as_ref().is_some_and(|name| !lawful(name)) {
        return Err(
            fields.refuse("cookie_name", "a cookie's name holds letters, digits, '_', '.' and '-' only")
        );
    }
    if cookie.is_some() && kind != StickyKind::AppCookie {
        return Err(fields.refuse("cookie_name", "only legal with type APP_COOKIE"));
    }
    let kept_minutes = now.and_then(minutes_of).filter(|kept| i64::from(*kept) <= longest);
    let minutes_or_default = || minutes.or(kept_minutes).unwrap_or(default);
    let stickiness = match (protocol.is_layer7(), kind) {
        (false, _) => Stickiness::SourceIp { minutes: minutes_or_default() },
        (true, StickyKind::SourceIp) => {
            return Err(
                fields.refuse("type", "HTTP, HTTPS and GRPC pools stick by HTTP_COOKIE or APP_COOKIE")
            );
        }
        (true, StickyKind::HttpCookie) => Stickiness::HttpCookie { minutes: minutes_or_default() },
        (true, StickyKind::AppCookie) => {
            if minutes.is_some() {
                return Err(fields.refuse("persistence_timeout", "not legal with type APP_COOKIE"));
            }
            let name = cookie.or_else(|| now.and_then(cookie_of));
            Stickiness::AppCookie { name: fields.required("cookie_name", name)? }
        }
    };
    fields.done()?;
    Ok(Patch::Set(stickiness))
}

fn kind_of(stickiness: &Stickiness) -> StickyKind {
    match stickiness {
        Stickiness::SourceIp { .. } => StickyKind::SourceIp,
        Stickiness::HttpCookie { .. } => StickyKind::HttpCookie,
        Stickiness::AppCookie { .. } => StickyKind::AppCookie,
    }
}

fn minutes_of(stickiness: &Stickiness) -> Option<StickyMinutes> {
    match stickiness {
        Stickiness::SourceIp { minutes } | Stickiness::HttpCookie { minutes } => Some(*minutes),
        Stickiness::AppCookie { .. } => None,
    }
}

fn cookie_of(stickiness: &Stickiness) -> Option<String> {
    match stickiness {
        Stickiness::AppCookie { name } => Some(name.clone()),
        Stickiness::SourceIp { .. } | Stickiness::HttpCookie { .. } => None,
    }
}

// ---- encode ----

/// Stickiness as answers show it.
pub(crate) fn encode(stickiness: &Stickiness) -> SessionPersistence {
    SessionPersistence {
        kind: match stickiness {
            Stickiness::SourceIp { .. } => "SOURCE_IP",
            Stickiness::HttpCookie { .. } => "HTTP_COOKIE",
            Stickiness::AppCookie { .. } => "APP_COOKIE",
        },
        cookie_name: cookie_of(stickiness),
        persistence_timeout: minutes_of(stickiness).map(StickyMinutes::value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::v3::fields::tests::read;

    fn sticky(
        protocol: PoolProtocol,
        now: Option<&Stickiness>,
        content: Value,
    ) -> Result<Patch<Stickiness>, String> {
        read(json!({ "session_persistence": content }), |mut pool| decode(&mut pool, protocol, now))
    }
    fn minutes(minutes: u32) -> StickyMinutes {
        StickyMinutes::of(minutes)
    }

    #[test]
    fn stickiness_fits_the_protocol() {
        use PoolProtocol::{Http, Tcp};
        let app = |name: &str| Stickiness::AppCookie { name: name.to_owned() };
        for (why, protocol, content, expect) in [
            (
                "the default of HTTP",
                Http,
                json!({"type": "HTTP_COOKIE"}),
                Ok(Stickiness::HttpCookie { minutes: minutes(1440) }),
            ),
            (
                "a time",
                Http,
                json!({"type": "HTTP_COOKIE", "persistence_timeout": 1}),
                Ok(Stickiness::HttpCookie { minutes: minutes(1) }),
            ),
            (
                "too long",
                Http,
                json!({"type": "HTTP_COOKIE", "persistence_timeout": 1441}),
                Err("persistence_timeout"),
            ),
            (
                "a cookie of the members",
                Http,
                json!({"type": "APP_COOKIE", "cookie_name": "SID"}),
                Ok(app("SID")),
            ),
            ("it needs its name", Http, json!({"type": "APP_COOKIE"}), Err("cookie_name")),
            (
                "it has no time",
                Http,
                json!({"type": "APP_COOKIE", "cookie_name": "a", "persistence_timeout": 5}),
                Err("persistence_timeout"),
            ),
            ("a lawful name", Http, json!({"type": "APP_COOKIE", "cookie_name": "a b"}), Err("cookie_name")),
            (
                "a name for another type",
                Http,
                json!({"type": "HTTP_COOKIE", "cookie_name": "a"}),
                Err("cookie_name"),
            ),
            ("HTTP has cookies", Http, json!({"type": "SOURCE_IP"}), Err("type")),
            ("the type is needed", Http, json!({"persistence_timeout": 5}), Err("type")),
            (
                "the default of TCP",
                Tcp,
                json!({"type": "SOURCE_IP"}),
                Ok(Stickiness::SourceIp { minutes: minutes(1) }),
            ),
            (
                "TCP sticks by address, whatever is asked",
                Tcp,
                json!({"type": "HTTP_COOKIE"}),
                Ok(Stickiness::SourceIp { minutes: minutes(1) }),
            ),
            (
                "an hour at most",
                Tcp,
                json!({"type": "SOURCE_IP", "persistence_timeout": 61}),
                Err("persistence_timeout"),
            ),
        ] {
            let expect = expect.map(Patch::Set).map_err(|field: &str| format!("session_persistence.{field}"));
            assert_eq!(sticky(protocol, None, content,), expect, "{why}");
        }
        assert_eq!(sticky(Http, None, Value::Null), Ok(Patch::Clear));
    }

    #[test]
    fn an_update_keeps_what_it_leaves_open() {
        let now = Stickiness::HttpCookie { minutes: minutes(30) };
        let patch = |content| sticky(PoolProtocol::Http, Some(&now), content);
        assert_eq!(patch(json!({})), Ok(Patch::Set(now.clone())));
        let longer = Stickiness::HttpCookie { minutes: minutes(60) };
        assert_eq!(patch(json!({"persistence_timeout": 60})), Ok(Patch::Set(longer)));
        let app = Stickiness::AppCookie { name: "SID".to_owned() };
        assert_eq!(patch(json!({"type": "APP_COOKIE", "cookie_name": "SID"})), Ok(Patch::Set(app)));
    }

    #[test]
    fn layer_4_sticks_by_address() {
        use PoolProtocol::{Quic, Tcp, Tls, Udp};
        for protocol in [Tcp, Udp, Tls, Quic] {
            let minute = Stickiness::SourceIp { minutes: minutes(1) };
            assert_eq!(sticky(protocol, None, json!({"type": "HTTP_COOKIE"})), Ok(Patch::Set(minute)));
        }
    }
}
