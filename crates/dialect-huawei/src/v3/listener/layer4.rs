//! The settings of a listener around TCP and UDP: ports, PROXY headers, bandwidth, and the upgrade to QUIC.

use ipnet::IpNet;
use model::{
    Listener, ListenerId, ListenerProtocol, Patch, Port, PortRange, PortRanges, Ports, ProxyAccept,
    ProxyVersion, listener::QuicUpgrade,
};
use serde::Serialize;

use crate::v3::fields::{Fields, Refusal};

// ---- wire ----

/// A range of ports as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Range {
    start_port: u16,
    end_port: u16,
}

/// The upgrade to QUIC as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct QuicConfig {
    quic_listener_id: String,
    enable_quic_upgrade: bool,
}

/// Ours: that PROXY headers are taken, as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Accept {
    trusted: Vec<String>,
}

// ---- decode ----

/// `protocol_port`, or `port_ranges` with a port of 0 or none.
pub(super) fn decode_ports(fields: &mut Fields<'_>) -> Result<Ports, Refusal> {
    let port = fields.integer("protocol_port", 0..=65535)?;
    let ranges = fields.objects("port_ranges", PortRanges::MAX)?.unwrap_or_default();
    match (port.filter(|port| *port != 0), ranges.is_empty()) {
        (Some(port), true) => fields.typed::<_, Port>("protocol_port", port).map(Ports::One),
        (Some(_), false) => {
            Err(fields.refuse("port_ranges", "only legal with protocol_port 0, or without it"))
        }
        (None, true) => Err(fields.refuse("protocol_port", "a port is required, or port_ranges")),
        (None, false) => {
            let ranges = ranges.into_iter().map(read_range).collect::<Result<Vec<PortRange>, _>>()?;
            fields.typed::<_, PortRanges>("port_ranges", ranges).map(Ports::Ranges)
        }
    }
}

fn read_range(mut fields: Fields<'_>) -> Result<PortRange, Refusal> {
    let (first, last) = (fields.integer("start_port", 1..=65535)?, fields.integer("end_port", 1..=65535)?);
    let first = fields.typed::<_, Port>("start_port", fields.required("start_port", first)?)?;
    let last = fields.typed::<_, Port>("end_port", fields.required("end_port", last)?)?;
    let range = PortRange::new(first, last).map_err(|error| fields.refuse("end_port", error.to_string()))?;
    fields.done()?;
    Ok(range)
}

/// `proxy_protocol_enable`: members are sent PROXY headers, of version 2 (open-questions.md row 57). On listeners that cannot it is
/// documented to be ignored.
pub(super) fn decode_proxy_sent(
    fields: &mut Fields<'_>,
    protocol: ListenerProtocol,
) -> Result<Patch<ProxyVersion>, Refusal> {
    let said = fields.flag("proxy_protocol_enable")?;
    Ok(match (protocol, said) {
        (ListenerProtocol::Tcp | ListenerProtocol::Tls, Some(true)) => Patch::Set(ProxyVersion::V2),
        (ListenerProtocol::Tcp | ListenerProtocol::Tls, Some(false)) => Patch::Clear,
        (
            ListenerProtocol::Udp | ListenerProtocol::Http | ListenerProtocol::Https | ListenerProtocol::Quic,
            _,
        )
        | (_, None) => Patch::Keep,
    })
}

/// Ours, `proxy_protocol_accept`: null, or `{"trusted": ["10.0.0.0/8", …]}`; without prefixes everybody is trusted.
pub(super) fn decode_proxy_accept(fields: &mut Fields<'_>) -> Result<Patch<ProxyAccept>, Refusal> {
    let mut accept = match fields.nullable_object("proxy_protocol_accept")? {
        Patch::Keep => return Ok(Patch::Keep),
        Patch::Clear => return Ok(Patch::Clear),
        Patch::Set(accept) => accept,
    };
    let trusted =
        accept.parsed_list::<IpNet>("trusted", ProxyAccept::TRUSTED_MAX, "a prefix, such as 10.0.0.0/8")?;
    let trusted = accept.typed("trusted", trusted.unwrap_or_default())?;
    accept.done()?;
    Ok(Patch::Set(trusted))
}

/// `quic_config` of a listener that has `now` so far; null and `{}` take it away.
pub(super) fn decode_quic(
    fields: &mut Fields<'_>,
    now: Option<QuicUpgrade>,
) -> Result<Patch<QuicUpgrade>, Refusal> {
    let mut quic = match fields.nullable_object("quic_config")? {
        Patch::Keep => return Ok(Patch::Keep),
        Patch::Clear => return Ok(Patch::Clear),
        Patch::Set(quic) if quic.is_empty() => return Ok(Patch::Clear),
        Patch::Set(quic) => quic,
    };
    let listener = quic.id::<ListenerId>("quic_listener_id")?.or(now.map(|now| now.listener));
    let upgrade = QuicUpgrade {
        listener: quic.required("quic_listener_id", listener)?,
        enabled: quic.flag("enable_quic_upgrade")?.or(now.map(|now| now.enabled)).unwrap_or(false),
    };
    quic.done()?;
    Ok(Patch::Set(upgrade))
}

/// Ours, `bandwidth`: kbit/s in each direction, as flavors say it; 0 is no limit. In bits.
pub(crate) fn decode_bandwidth(fields: &mut Fields<'_>) -> Result<Option<u64>, Refusal> {
    let kilobits = fields.integer("bandwidth", 0..=BANDWIDTH_MAX)?;
    kilobits
        .map(|kilobits| fields.typed::<_, u64>("bandwidth", kilobits))
        .transpose()
        .map(|k| k.map(|k| k * 1000))
}

/// 1 Tbit/s: more than any machine has.
const BANDWIDTH_MAX: i64 = 1_000_000_000;

// ---- encode ----

/// `protocol_port`; of ranges 0.
pub(super) fn port(listener: &Listener) -> u16 {
    listener.ports.one().map_or(0, Port::value)
}

/// `port_ranges`; of one port none.
pub(super) fn port_ranges(listener: &Listener) -> Vec<Range> {
    let ranges = listener.ports.ranges().filter(|_| listener.ports.one().is_none());
    ranges.map(|range| Range { start_port: range.first().value(), end_port: range.last().value() }).collect()
}

/// `quic_config`.
pub(super) fn quic(listener: &Listener) -> Option<QuicConfig> {
    listener.quic_upgrade().map(|upgrade| QuicConfig {
        quic_listener_id: upgrade.listener.to_string(),
        enable_quic_upgrade: upgrade.enabled,
    })
}

/// `proxy_protocol_enable`.
pub(super) fn proxy_sent(listener: &Listener) -> bool {
    listener.target.member_proxy_protocol.is_some()
}

/// `proxy_protocol_accept`.
pub(super) fn proxy_accept(listener: &Listener) -> Option<Accept> {
    let accept = listener.proxy_accept.as_ref()?;
    Some(Accept { trusted: accept.trusted().iter().map(ToString::to_string).collect() })
}

/// `bandwidth`.
pub(crate) fn bandwidth(bits_per_second: u64) -> u64 {
    bits_per_second / 1000
}

#[cfg(test)]
mod tests {
    use model::{NewListener, listener::Service};
    use serde_json::{Value, json};

    use super::*;
    use crate::v3::{
        fields::tests::read,
        listener::{decode_new, decode_patch, encode, tests::listener},
    };

    const ID: &str = "0123abcd-0123-4567-89ab-0123456789ab";

    fn content(protocol: &str, more: &Value) -> Value {
        let mut content = json!({"loadbalancer_id": ID, "protocol": protocol, "protocol_port": 80});
        if ["HTTPS", "TLS", "QUIC"].contains(&protocol) {
            content["default_tls_container_ref"] = json!(ID);
        }
        content.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        content
    }

    fn new(protocol: &str, more: Value) -> Result<NewListener, String> {
        read(content(protocol, &more), decode_new)
    }

    #[test]
    fn a_listener_has_a_port_or_ranges() {
        let range = |start: i64, end: i64| json!({"start_port": start, "end_port": end});
        let many: Vec<_> = (1..=11).map(|n| range(n, n)).collect();
        for (why, more, expect) in [
            ("a port", json!({}), Ok("80")),
            (
                "ranges",
                json!({"protocol_port": 0, "port_ranges": [range(1, 9), range(20, 20)]}),
                Ok("1-9,20-20"),
            ),
            ("neither", json!({"protocol_port": 0}), Err("protocol_port")),
            ("both", json!({"port_ranges": [range(1, 9)]}), Err("port_ranges")),
            (
                "reversed",
                json!({"protocol_port": 0, "port_ranges": [range(9, 1)]}),
                Err("port_ranges[0].end_port"),
            ),
            (
                "no end",
                json!({"protocol_port": 0, "port_ranges": [{"start_port": 1}]}),
                Err("port_ranges[0].end_port"),
            ),
            (
                "port 0",
                json!({"protocol_port": 0, "port_ranges": [range(0, 1)]}),
                Err("port_ranges[0].start_port"),
            ),
            (
                "overlapping",
                json!({"protocol_port": 0, "port_ranges": [range(1, 9), range(9, 10)]}),
                Err("port_ranges"),
            ),
            ("too many", json!({"protocol_port": 0, "port_ranges": many}), Err("port_ranges")),
        ] {
            let ports = new("TCP", more).map(|new| new.ports.to_string());
            assert_eq!(ports, expect.map(str::to_owned).map_err(str::to_owned), "{why}");
        }
        let mut without = content("UDP", &json!({"port_ranges": [range(53, 54)]}));
        without.as_object_mut().unwrap().remove("protocol_port");
        let ranged = read(without, decode_new).unwrap();
        let shown = Listener { ports: ranged.ports, ..listener(ListenerProtocol::Tcp) };
        let wire = serde_json::to_value(encode(&shown)).unwrap();
        assert_eq!((&wire["protocol_port"], &wire["port_ranges"]), (&json!(0), &json!([range(53, 54)])));
    }

    #[test]
    fn settings_belong_to_a_protocol() {
        for (why, protocol, more, expect) in [
            ("UDP idles for 10 s at least", "UDP", json!({"keepalive_timeout": 9}), Err("keepalive_timeout")),
            ("QUIC need not be kept", "QUIC", json!({"keepalive_timeout": 0}), Ok(())),
            (
                "UDP has no certificate",
                "UDP",
                json!({"default_tls_container_ref": ID}),
                Err("default_tls_container_ref"),
            ),
            (
                "TLS has",
                "TLS",
                json!({"sni_container_refs": [ID], "client_ca_tls_container_ref": ID}),
                Ok(()),
            ),
            (
                "TLS has no early data",
                "TLS",
                json!({"ssl_early_data_enable": true}),
                Err("ssl_early_data_enable"),
            ),
            ("TLS has no requests", "TLS", json!({"client_timeout": 5}), Err("client_timeout")),
            ("QUIC has", "QUIC", json!({"client_timeout": 5, "gzip_enable": true}), Ok(())),
            (
                "QUIC has no authority",
                "QUIC",
                json!({"client_ca_tls_container_ref": ID}),
                Err("client_ca_tls_container_ref"),
            ),
            ("QUIC has no policy", "QUIC", json!({"security_policy_id": ID}), Err("security_policy_id")),
            ("nor the system's", "QUIC", json!({"tls_ciphers_policy": "tls-1-0"}), Err("tls_ciphers_policy")),
            ("the default says nothing", "QUIC", json!({"tls_ciphers_policy": "tls-1-2"}), Ok(())),
            (
                "QUIC writes headers",
                "QUIC",
                json!({"insert_headers": {"X-Forwarded-Tls-Sni-enable": true}}),
                Ok(()),
            ),
        ] {
            assert_eq!(new(protocol, more).map(drop), expect.map_err(str::to_owned), "{why}");
        }
        for (protocol, seconds) in [("UDP", 300), ("TLS", 300), ("QUIC", 60)] {
            assert_eq!(new(protocol, json!({})).unwrap().idle_timeout.value(), seconds, "{protocol}");
        }
        let Service::Quic(quic) = new("QUIC", json!({})).unwrap().service else { panic!("a QUIC listener") };
        assert!(quic.http.http2, "there is nothing older");
    }

    #[test]
    fn proxy_headers_are_sent_where_they_can_be() {
        for (protocol, expect) in [
            ("TCP", Some(ProxyVersion::V2)),
            ("TLS", Some(ProxyVersion::V2)),
            ("UDP", None),
            ("HTTP", None),
            ("HTTPS", None),
            ("QUIC", None),
        ] {
            let sent = new(protocol, json!({"proxy_protocol_enable": true})).unwrap();
            assert_eq!(sent.target.member_proxy_protocol, expect, "{protocol}");
        }
        let patch = |content| read(content, |fields| decode_patch(fields, &listener(ListenerProtocol::Tcp)));
        let sent = |content| patch(content).unwrap().member_proxy_protocol;
        assert_eq!(sent(json!({})), Patch::Keep);
        assert_eq!(sent(json!({"proxy_protocol_enable": false})), Patch::Clear);
    }

    #[test]
    fn proxy_headers_are_taken_from_whom_the_caller_names() {
        for (said, expect) in [
            (json!(null), Ok(None)),
            (json!({}), Ok(Some(vec![]))),
            (json!({"trusted": ["10.0.0.0/8", "::1/128"]}), Ok(Some(vec!["10.0.0.0/8", "::1/128"]))),
            (json!({"trusted": ["10.0.0.1"]}), Err("proxy_protocol_accept.trusted[0]")),
            (json!({"trusted": [], "more": 1}), Err("proxy_protocol_accept.more")),
        ] {
            let accept = new("HTTP", json!({"proxy_protocol_accept": said})).map(|new| {
                let shown = Listener { proxy_accept: new.proxy_accept, ..listener(ListenerProtocol::Http) };
                proxy_accept(&shown).map(|shown| shown.trusted)
            });
            let expect = expect.map(|trusted| trusted.map(|t| t.iter().map(ToString::to_string).collect()));
            assert_eq!(accept, expect.map_err(str::to_owned), "{said}");
        }
    }

    #[test]
    fn an_https_listener_names_its_quic_listener() {
        let of = |content: Value| {
            new("HTTPS", json!({"quic_config": content})).map(|new| match new.service {
                Service::Https(https) => https.quic.map(|quic| quic.enabled),
                other => panic!("{other:?}"),
            })
        };
        for (said, expect) in [
            (json!(null), Ok(None)),
            (json!({}), Ok(None)),
            (json!({"quic_listener_id": ID}), Ok(Some(false))),
            (json!({"quic_listener_id": ID, "enable_quic_upgrade": true}), Ok(Some(true))),
            (json!({"enable_quic_upgrade": true}), Err("quic_config.quic_listener_id".to_owned())),
        ] {
            assert_eq!(of(said.clone()), expect, "{said}");
        }
        let now = QuicUpgrade { listener: ID.parse().unwrap(), enabled: true };
        let mut bound = listener(ListenerProtocol::Https);
        let Service::Https(https) = &mut bound.service else { panic!("an HTTPS listener") };
        https.quic = Some(now);
        let patch = |content| read(content, |fields| decode_patch(fields, &bound)).unwrap().quic;
        let off = QuicUpgrade { enabled: false, ..now };
        assert_eq!(
            patch(json!({"quic_config": {"enable_quic_upgrade": false}})),
            Patch::Set(off),
            "the rest stays"
        );
        assert_eq!(patch(json!({"quic_config": null})), Patch::Clear);
        let wire = serde_json::to_value(encode(&bound)).unwrap();
        assert_eq!(wire["quic_config"], json!({"quic_listener_id": ID, "enable_quic_upgrade": true}));
    }

    #[test]
    fn bandwidth_is_said_in_kilobits() {
        let made = new("TCP", json!({"bandwidth": 5000})).unwrap();
        assert_eq!(made.bits_per_second_max, 5_000_000);
        let shown = Listener { bits_per_second_max: 5_000_000, ..listener(ListenerProtocol::Tcp) };
        assert_eq!(serde_json::to_value(encode(&shown)).unwrap()["bandwidth"], json!(5000));
        assert_eq!(new("TCP", json!({"bandwidth": -1})).map(drop), Err("bandwidth".to_owned()));
    }
}
