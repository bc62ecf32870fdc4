//! The settings of a pool that are objects of their own, but stickiness: slow start, drain, health, zone affinity.
//!
//! In an update, what an object leaves open stays as the pool has it.

use model::{
    CidLength, CidOffset, Patch, PoolProtocol, ProxyVersion, QuicCidHash, SlowStartDuration,
    pool::{Drain, SlowStart as ModelSlowStart},
};
use serde::Serialize;

use crate::v3::fields::{Fields, Harmless, Refusal};

// ---- wire ----

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

const SLOW_START_DEFAULT: SlowStartDuration = SlowStartDuration::of(30);

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
    use serde_json::json;

    use super::*;
    use crate::v3::fields::tests::read;

    #[test]
    fn an_update_keeps_what_it_leaves_open() {
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
