//! The settings of a pool that are objects of their own: stickiness, slow start, drain, health, zone affinity.
//!
//! In an update, what an object leaves open stays as the pool has it.

use model::{
    CidLength, CidOffset, Patch, PoolProtocol, ProxyVersion, QuicCidHash, SlowStartDuration, StickyMinutes,
    pool::{Drain, SlowStart as ModelSlowStart, Stickiness},
};
use serde::Serialize;

use crate::v3::fields::{Fields, Harmless, Refusal};

// ---- wire ----

/// How clients stay with a member.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SessionPersistence {
    #[serde(rename = "type")]
    kind: &'static str,
    cookie_name: Option<String>,
    persistence_timeout: Option<u32>,
}

/// A share that grows.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SlowStart {
    enable: bool,
    duration: u32,
}

/// Deregistration delay.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ConnectionDrain {
    enable: bool,
    timeout: u32,
}

/// What happens when no member is healthy.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PoolHealth {
    minimum_healthy_member_count: u8,
}

/// The part of a connection id that places a connection.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct QuicCidHashStrategy {
    len: u8,
    offset: u8,
}

/// Preference for members of the own zone; not built, so always off.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AzAffinity {
    enable: bool,
    az_minimum_healthy_member_percentage: i32,
    az_minimum_healthy_member_count: i32,
    az_unhealthy_fallback_strategy: &'static str,
}

impl AzAffinity {
    /// Off, with the documented defaults.
    pub(crate) const OFF: Self = Self {
        enable: false,
        az_minimum_healthy_member_percentage: -1,
        az_minimum_healthy_member_count: -1,
        az_unhealthy_fallback_strategy: "forward_to_all_member_of_local_az",
    };

    /// Its fields, as filters name them.
    pub(crate) fn pairs(&self) -> Vec<String> {
        vec![
            format!("enable={}", self.enable),
            format!("az_minimum_healthy_member_percentage={}", self.az_minimum_healthy_member_percentage),
            format!("az_minimum_healthy_member_count={}", self.az_minimum_healthy_member_count),
            format!("az_unhealthy_fallback_strategy={}", self.az_unhealthy_fallback_strategy),
        ]
    }
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
const SLOW_START_DEFAULT: SlowStartDuration = SlowStartDuration::of(30);

/// `session_persistence` of a pool of that protocol, which has `now` so far (behaviours.md section 7):
/// Layer 4 always sticks by source address, whatever type is given; HTTP by a cookie of ours or of the members.
pub(crate) fn decode_stickiness(
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

/// `slow_start`: HTTP pools only.
pub(crate) fn decode_slow_start(
    pool: &mut Fields<'_>,
    protocol: PoolProtocol,
    now: Option<ModelSlowStart>,
) -> Result<Patch<ModelSlowStart>, Refusal> {
    let mut fields = match pool.nullable_object("slow_start")? {
        Patch::Keep => return Ok(Patch::Keep),
        Patch::Clear => return Ok(Patch::Clear),
        Patch::Set(fields) => fields,
    };
    let enabled = fields.flag("enable")?.or(now.map(|now| now.enabled)).unwrap_or(false);
    let duration = fields.integer("duration", 30..=1200)?;
    let duration = duration.map(|seconds| fields.typed("duration", seconds)).transpose()?;
    let duration = duration.or(now.map(|now| now.duration)).unwrap_or(SLOW_START_DEFAULT);
    fields.done()?;
    match protocol.is_layer7() {
        true => Ok(Patch::Set(ModelSlowStart { enabled, duration })),
        false if enabled => Err(pool.refuse("slow_start", "only HTTP pools can start slowly")),
        false => Ok(Patch::Clear),
    }
}

/// `connection_drain`; none: nothing was said.
pub(crate) fn decode_drain(pool: &mut Fields<'_>, now: Option<Drain>) -> Result<Option<Drain>, Refusal> {
    let Some(mut fields) = pool.object("connection_drain")? else { return Ok(None) };
    let now = now.unwrap_or_default();
    let enabled = fields.flag("enable")?.unwrap_or(now.enabled);
    let timeout = fields.integer("timeout", 10..=4000)?;
    let timeout = timeout.map(|seconds| fields.typed("timeout", seconds)).transpose()?;
    let timeout = timeout.unwrap_or(now.timeout);
    fields.done()?;
    Ok(Some(Drain { enabled, timeout }))
}

/// `pool_health`: whether all members are used while none is healthy.
pub(crate) fn decode_pool_health(pool: &mut Fields<'_>) -> Result<Option<bool>, Refusal> {
    let Some(mut fields) = pool.object("pool_health")? else { return Ok(None) };
    let count = fields.integer("minimum_healthy_member_count", 0..=1)?;
    fields.done()?;
    Ok(count.map(|count| count == 1))
}

/// `any_port_enable`: TCP, UDP and QUIC pools only.
pub(crate) fn decode_any_port(
    pool: &mut Fields<'_>,
    protocol: PoolProtocol,
) -> Result<Option<bool>, Refusal> {
    match (protocol, pool.flag("any_port_enable")?) {
        (PoolProtocol::Http | PoolProtocol::Https | PoolProtocol::Grpc | PoolProtocol::Tls, Some(true)) => {
            Err(pool.refuse(
                "any_port_enable",
                "HTTP, HTTPS, GRPC and TLS pools cannot have this; their members have a port",
            ))
        }
        (_, said) => Ok(said),
    }
}

/// `quic_cid_hash_strategy` of a pool that has `now` so far.
pub(crate) fn decode_quic_cid_hash(
    pool: &mut Fields<'_>,
    now: Option<QuicCidHash>,
) -> Result<Option<QuicCidHash>, Refusal> {
    let Patch::Set(mut fields) = pool.nullable_object("quic_cid_hash_strategy")? else { return Ok(None) };
    let now = now.unwrap_or_default();
    let (length, offset) = (fields.integer("len", 1..=20)?, fields.integer("offset", 0..=19)?);
    let hash = QuicCidHash {
        length: length.map_or(Ok(now.length), |n| fields.typed::<_, CidLength>("len", n))?,
        offset: offset.map_or(Ok(now.offset), |n| fields.typed::<_, CidOffset>("offset", n))?,
    };
    fields.done()?;
    Ok(Some(hash))
}

/// Ours, `member_proxy_protocol`: null, `v1` or `v2`.
pub(crate) fn decode_proxy_protocol(pool: &mut Fields<'_>) -> Result<Patch<ProxyVersion>, Refusal> {
    if !pool.says("member_proxy_protocol") {
        // Absent, or null.
        let said = pool.nullable_string("member_proxy_protocol", 0..=0)?;
        return Ok(if said.is_said() { Patch::Clear } else { Patch::Keep });
    }
    let version = pool
        .choice("member_proxy_protocol", &[("v1", Some(ProxyVersion::V1)), ("v2", Some(ProxyVersion::V2))])?;
    Ok(version.map_or(Patch::Keep, Patch::Set))
}

/// Fields of features that are not built, the same in create and update.
pub(crate) fn decode_later(pool: &mut Fields<'_>) -> Result<(), Refusal> {
    let Patch::Set(mut affinity) = pool.nullable_object("az_affinity")? else { return Ok(()) };
    affinity.later("enable", Harmless::Off)?;
    // While it is off the rest says nothing; it must still be lawful.
    affinity.nullable_integer("az_minimum_healthy_member_percentage", -1..=100)?;
    affinity.nullable_integer("az_minimum_healthy_member_count", -1..=10_000)?;
    affinity.choice("az_unhealthy_fallback_strategy", FALLBACKS)?;
    affinity.done()
}

const FALLBACKS: &[(&str, Option<()>)] = &[
    ("forward_to_all_member_of_local_az", Some(())),
    ("forward_to_healthy_member_of_remote_az", Some(())),
    ("forward_to_all_healthy_member", Some(())),
    ("forward_to_all_member", Some(())),
];

// ---- encode ----

/// Stickiness as answers show it.
pub(crate) fn encode_stickiness(stickiness: &Stickiness) -> SessionPersistence {
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

/// Slow start as answers show it.
pub(crate) fn encode_slow_start(slow_start: ModelSlowStart) -> SlowStart {
    SlowStart { enable: slow_start.enabled, duration: slow_start.duration.value() }
}

/// Deregistration delay as answers show it.
pub(crate) fn encode_drain(drain: Option<Drain>) -> ConnectionDrain {
    let drain = drain.unwrap_or_default();
    ConnectionDrain { enable: drain.enabled, timeout: drain.timeout.value() }
}

/// The part of a connection id as answers show it.
pub(crate) fn encode_quic_cid_hash(hash: QuicCidHash) -> QuicCidHashStrategy {
    QuicCidHashStrategy { len: hash.length.value(), offset: hash.offset.value() }
}

/// The word of a version.
pub(crate) fn proxy_protocol(version: ProxyVersion) -> &'static str {
    match version {
        ProxyVersion::V1 => "v1",
        ProxyVersion::V2 => "v2",
    }
}

/// The pool's health rule as answers show it.
pub(crate) fn encode_pool_health(all_down_forward: bool) -> PoolHealth {
    PoolHealth { minimum_healthy_member_count: u8::from(all_down_forward) }
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
        read(json!({ "session_persistence": content }), |mut pool| {
            decode_stickiness(&mut pool, protocol, now)
        })
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

        let now = Drain { enabled: true, timeout: model::DrainTimeout::of(10) };
        let off = read(json!({"connection_drain": {"enable": false}}), |mut pool| {
            decode_drain(&mut pool, Some(now))
        });
        assert_eq!(off, Ok(Some(Drain { enabled: false, timeout: model::DrainTimeout::of(10) })));

        let now = ModelSlowStart { enabled: false, duration: SlowStartDuration::of(99) };
        let on = read(json!({"slow_start": {"enable": true}}), |mut pool| {
            decode_slow_start(&mut pool, PoolProtocol::Http, Some(now))
        });
        assert_eq!(on, Ok(Patch::Set(ModelSlowStart { enabled: true, duration: SlowStartDuration::of(99) })));
    }

    #[test]
    fn slow_start_and_any_port_belong_to_a_protocol() {
        let slow = |protocol, content| {
            read(json!({ "slow_start": content }), |mut pool| decode_slow_start(&mut pool, protocol, None))
        };
        let on = ModelSlowStart { enabled: true, duration: SlowStartDuration::of(30) };
        assert_eq!(slow(PoolProtocol::Http, json!({"enable": true})), Ok(Patch::Set(on)));
        assert_eq!(slow(PoolProtocol::Tcp, json!({"enable": true})), Err("slow_start".to_owned()));
        assert_eq!(slow(PoolProtocol::Tcp, json!({"enable": false})), Ok(Patch::Clear));
        let any = |protocol| {
            read(json!({"any_port_enable": true}), |mut pool| decode_any_port(&mut pool, protocol))
        };
        assert_eq!(any(PoolProtocol::Tcp), Ok(Some(true)));
        assert_eq!(any(PoolProtocol::Http), Err("any_port_enable".to_owned()));
    }

    #[test]
    fn layer_4_has_settings_of_its_own() {
        use PoolProtocol::{Grpc, Http, Https, Quic, Tcp, Tls, Udp};
        for protocol in [Tcp, Udp, Tls, Quic] {
            let minute = Stickiness::SourceIp { minutes: minutes(1) };
            assert_eq!(sticky(protocol, None, json!({"type": "HTTP_COOKIE"})), Ok(Patch::Set(minute)));
        }
        for protocol in [Tcp, Udp, Tls, Quic, Http, Https, Grpc] {
            let any = read(json!({"any_port_enable": true}), |mut pool| decode_any_port(&mut pool, protocol));
            assert_eq!(any.is_ok(), [Tcp, Udp, Quic].contains(&protocol), "{protocol:?}");
        }
        let hash = |content, now| {
            read(json!({ "quic_cid_hash_strategy": content }), |mut pool| {
                decode_quic_cid_hash(&mut pool, now)
            })
        };
        let of = |len, offset| QuicCidHash { length: CidLength::of(len), offset: CidOffset::of(offset) };
        for (content, now, expect) in [
            (json!({}), None, Ok(Some(of(3, 1)))),
            (json!({"len": 20, "offset": 0}), None, Ok(Some(of(20, 0)))),
            (json!({"len": 5}), Some(of(8, 2)), Ok(Some(of(5, 2)))),
            (json!({"len": 21}), None, Err("quic_cid_hash_strategy.len")),
            (json!({"offset": 20}), None, Err("quic_cid_hash_strategy.offset")),
            (json!(null), None, Ok(None)),
        ] {
            assert_eq!(hash(content.clone(), now), expect.map_err(str::to_owned), "{content}");
        }
        let proxy = |content| read(content, |mut pool| decode_proxy_protocol(&mut pool));
        for (content, expect) in [
            (json!({}), Ok(Patch::Keep)),
            (json!({"member_proxy_protocol": null}), Ok(Patch::Clear)),
            (json!({"member_proxy_protocol": "v1"}), Ok(Patch::Set(ProxyVersion::V1))),
            (json!({"member_proxy_protocol": "v2"}), Ok(Patch::Set(ProxyVersion::V2))),
            (json!({"member_proxy_protocol": "v3"}), Err("member_proxy_protocol".to_owned())),
        ] {
            assert_eq!(proxy(content.clone()), expect, "{content}");
        }
    }

    #[test]
    fn zone_affinity_may_be_named_while_it_is_off() {
        let later = |content| read(content, |mut pool| decode_later(&mut pool));
        let off = json!({"az_affinity": {"enable": false, "az_minimum_healthy_member_count": -1,
            "az_minimum_healthy_member_percentage": -1, "az_unhealthy_fallback_strategy": "forward_to_all_member"}});
        assert_eq!(later(off), Ok(()));
        assert_eq!(later(json!({"az_affinity": {"enable": true}})), Err("az_affinity.enable".to_owned()));
        assert_eq!(
            later(json!({"az_affinity": {"enable": false, "az_minimum_healthy_member_count": "1"}})),
            Err("az_affinity.az_minimum_healthy_member_count".to_owned())
        );
    }
}
