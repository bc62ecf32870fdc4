//! The rules of UDP, TLS and QUIC listeners, of port ranges and of PROXY headers, row by row.

use model::{
    CertificatePatch, NewCertificate, PortRange, Ports, ProxyAccept, ProxyVersion, Secret,
    SystemSecurityPolicy, Transport,
    listener::QuicUpgrade,
    pool::{IpVersion, Stickiness},
};

use super::*;
use crate::{
    certificate,
    testing::{RSA, SERVER, World, http, https, new_certificate, new_listener, ports, quic, tls},
};

fn patch() -> ListenerPatch {
    ListenerPatch::default()
}

/// A world with a load balancer, and a certificate with an RSA key.
fn world() -> (World, LoadBalancerId, model::CertificateId) {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let rsa = world.rsa_certificate(&[]).id;
    (world, lb, rsa)
}

#[test]
fn a_port_is_one_listeners_per_transport() {
    let (mut world, lb, rsa) = world();
    let mut add = |service: Service, ports: Ports| {
        let new = NewListener { service, ports, ..new_listener(lb, 1) };
        match world.run(|draft| create(draft, new)) {
            Ok(_) => Ok(()),
            Err(Error::PortTaken { port, transport, .. }) => Err((port.value(), transport)),
            Err(other) => panic!("{other}"),
        }
    };
    let one = |port| Ports::One(model::Port::of(port));
    for (why, service, ports, expect) in [
        ("TCP", Service::Tcp, ports(&[(100, 110), (200, 210)]), Ok(())),
        ("UDP has ports of its own", Service::Udp, ports(&[(105, 105)]), Ok(())),
        ("inside a range", Service::Tcp, one(205), Err((205, Transport::Tcp))),
        ("TLS is on TCP", tls(rsa), one(100), Err((100, Transport::Tcp))),
        ("HTTP, too", http(), one(110), Err((110, Transport::Tcp))),
        ("QUIC is on UDP", quic(rsa), one(105), Err((105, Transport::Udp))),
        ("a range over a port", Service::Udp, ports(&[(1, 200)]), Err((105, Transport::Udp))),
        ("between the ranges", tls(rsa), ports(&[(111, 199)]), Ok(())),
        ("the number that TCP has", quic(rsa), one(100), Ok(())),
    ] {
        assert_eq!(add(service, ports), expect, "{why}");
    }
}

#[test]
fn ranges_are_for_layer_4_and_free_their_ports() {
    let (mut world, lb, rsa) = world();
    for (service, expect) in [
        (Service::Tcp, "ok"),
        (Service::Udp, "ok"),
        (tls(rsa), "ok"),
        (http(), "port_ranges"),
        (https(rsa), "port_ranges"),
        (quic(rsa), "port_ranges"),
    ] {
        let protocol = service.protocol();
        let new = NewListener { service, ports: ports(&[(10, 20)]), ..new_listener(lb, 1) };
        let made = world.run(|draft| create(draft, new)).map(|made| made.id);
        assert_eq!(made.is_ok(), expect == "ok", "{protocol:?}");
        match made {
            Ok(id) => world.run(|draft| delete(draft, id)).unwrap(),
            Err(error) => assert!(error.to_string().starts_with(expect), "{error}"),
        }
    }
    for (ports, expect) in
        [(Ports::One(model::Port::of(4789)), "protocol_port"), (ports(&[(4000, 5000)]), "ok")]
    {
        let new = NewListener { service: Service::Udp, ports, ..new_listener(lb, 1) };
        assert_eq!(world.blame(|draft| create(draft, new)), expect);
    }
    assert!(PortRange::new(model::Port::of(2), model::Port::of(1)).is_err());
}

#[test]
fn idle_times_and_flavors_go_by_the_layer() {
    use model::{FlavorLayer, IdleTimeout, flavor::site_default};
    let (mut world, lb, rsa) = world();
    for (n, (service, layer)) in
        [(Service::Udp, FlavorLayer::L4), (tls(rsa), FlavorLayer::L4), (quic(rsa), FlavorLayer::L7)]
            .into_iter()
            .enumerate()
    {
        let what = format!("{:?}", service.protocol());
        let new = NewListener {
            service: service.clone(),
            idle_timeout: IdleTimeout::of(9),
            ..new_listener(lb, 80 + n as u16)
        };
        let expect = if layer == FlavorLayer::L4 { "keepalive_timeout" } else { "ok" };
        assert_eq!(world.blame(|draft| create(draft, new)), expect, "{what}");
        for flavor in [FlavorLayer::L4, FlavorLayer::L7] {
            let only = world.load_balancer_with(|new| match flavor {
                FlavorLayer::L4 => new.l4_flavor = Some(site_default(flavor).id),
                FlavorLayer::L7 => new.l7_flavor = Some(site_default(flavor).id),
            });
            let new = NewListener { service: service.clone(), ..new_listener(only.id, 80) };
            let expect = if flavor == layer { "ok" } else { "protocol" };
            assert_eq!(world.blame(|draft| create(draft, new)), expect, "{what} with {flavor:?} alone");
        }
    }
}

#[test]
fn listeners_and_pools_pair_by_what_they_speak() {
    use PoolProtocol::{Grpc, Http, Https, Quic, Tcp, Tls, Udp};
    let (mut world, lb, rsa) = world();
    for (service, fit) in [
        (Service::Tcp, &[Tcp][..]),
        (Service::Udp, &[Udp, Quic]),
        (tls(rsa), &[Tls, Tcp]),
        (http(), &[Http]),
        (https(rsa), &[Http, Https, Grpc]),
        (quic(rsa), &[Http, Https, Grpc]),
    ] {
        for protocol in [Tcp, Udp, Tls, Quic, Http, Https, Grpc] {
            let pool = world.pool_with(|new| {
                (new.load_balancer, new.protocol, new.ip_version) = (Some(lb), protocol, IpVersion::V4);
                new.stickiness =
                    (protocol == Quic).then_some(Stickiness::SourceIp { minutes: model::StickyMinutes::MIN });
            });
            let new =
                NewListener { service: service.clone(), default_pool: Some(pool.id), ..new_listener(lb, 80) };
            let made = world.run(|draft| create(draft, new));
            assert_eq!(made.is_ok(), fit.contains(&protocol), "{:?} to {protocol:?}", service.protocol());
            if let Ok(listener) = made {
                world.run(|draft| delete(draft, listener.id)).unwrap();
            }
        }
    }
    let dual = world.pool_with(|new| new.load_balancer = Some(lb)).id;
    let new = NewListener { service: tls(rsa), default_pool: Some(dual), ..new_listener(lb, 80) };
    assert_eq!(world.blame(|draft| create(draft, new)), "default_pool_id", "TLS takes TCP pools of v4 alone");
}

#[test]
fn a_quic_listener_has_less_tls_than_others() {
    let (mut world, lb, rsa) = world();
    let (ecc, ca) = (world.certificate(&["a.example.com"]).id, world.client_ca().id);
    let policy = world.security_policy(&["TLSv1.3"], &["TLS_AES_128_GCM_SHA256"]).id;
    let id = world.listener_of(lb, 443, quic(rsa)).id;
    for (why, said, expect) in [
        ("a name", ListenerPatch { name: Some("q".try_into().unwrap()), ..patch() }, "ok"),
        ("what it has", ListenerPatch { http2: Some(true), gzip: Some(true), ..patch() }, "ok"),
        ("HTTP before 2", ListenerPatch { http2: Some(false), ..patch() }, "http2_enable"),
        ("mutual TLS", ListenerPatch { client_ca: Patch::Set(ca), ..patch() }, "client_ca_tls_container_ref"),
        (
            "a security policy",
            ListenerPatch { security_policy: Patch::Set(policy), ..patch() },
            "security_policy_id",
        ),
        (
            "the system's",
            ListenerPatch { system_policy: Some(SystemSecurityPolicy::Tls12FsWith13), ..patch() },
            "tls_ciphers_policy",
        ),
        (
            "an ECC certificate",
            ListenerPatch { certificate: Some(ecc), ..patch() },
            "default_tls_container_ref",
        ),
        (
            "an ECC certificate by name",
            ListenerPatch { sni_certificates: Some(vec![ecc]), ..patch() },
            "sni_container_refs",
        ),
    ] {
        assert_eq!(world.blame(|draft| update(draft, id, said)), expect, "{why}");
    }
    let to_ecc = CertificatePatch {
        pem: Some(SERVER.pem.clone()),
        private_key: Some(Secret::new(SERVER.key.clone())),
        ..CertificatePatch::default()
    };
    assert_eq!(world.code(|draft| certificate::update(draft, rsa, to_ecc)), "in_use", "it must stay RSA");
    let again = CertificatePatch {
        pem: Some(RSA.pem.clone()),
        private_key: Some(Secret::new(RSA.key.clone())),
        ..CertificatePatch::default()
    };
    assert_eq!(world.code(|draft| certificate::update(draft, rsa, again)), "ok");
}

#[test]
fn an_https_listener_tells_of_a_quic_listener_beside_it() {
    let (mut world, lb, rsa) = world();
    let elsewhere = world.load_balancer().id;
    let (quic_id, other) =
        (world.listener_of(lb, 443, quic(rsa)).id, world.listener_of(elsewhere, 443, quic(rsa)).id);
    let (plain, tcp) = (world.listener_of(lb, 80, http()).id, world.listener(lb, 81).id);
    let secure = world.listener_of(lb, 443, https(rsa)).id;
    let to =
        |listener| ListenerPatch { quic: Patch::Set(QuicUpgrade { listener, enabled: true }), ..patch() };
    for (why, of, listener, expect) in [
        ("beside it", secure, quic_id, "ok"),
        ("of another load balancer", secure, other, "quic_config"),
        ("no QUIC", secure, tcp, "quic_config"),
        ("itself", secure, secure, "quic_config"),
        ("not there", secure, ListenerId::new(Uuid::nil()), "not_found"),
        ("HTTP tells nothing", plain, quic_id, "quic_config"),
        ("TCP tells nothing", tcp, quic_id, "quic_config"),
        ("QUIC tells nothing", quic_id, other, "quic_config"),
    ] {
        assert_eq!(world.blame(|draft| update(draft, of, to(listener))), expect, "{why}");
    }
    assert_eq!(world.code(|draft| delete(draft, quic_id)), "in_use");
    assert_eq!(world.code(|draft| delete_force(draft, quic_id)), "in_use");
    let not_any_more = ListenerPatch { quic: Patch::Clear, ..patch() };
    world.run(|draft| update(draft, secure, not_any_more)).unwrap();
    assert_eq!(world.code(|draft| delete(draft, quic_id)), "ok");
}

#[test]
fn proxy_headers_are_taken_over_tcp_and_sent_by_layer_4() {
    let (mut world, lb, rsa) = world();
    for (n, (service, taken, sent)) in [
        (Service::Tcp, "ok", "ok"),
        (tls(rsa), "ok", "ok"),
        (http(), "ok", "proxy_protocol_enable"),
        (https(rsa), "ok", "proxy_protocol_enable"),
        (Service::Udp, "proxy_protocol_accept", "proxy_protocol_enable"),
        (quic(rsa), "proxy_protocol_accept", "proxy_protocol_enable"),
    ]
    .into_iter()
    .enumerate()
    {
        let what = format!("{:?}", service.protocol());
        let accept = NewListener {
            service: service.clone(),
            proxy_accept: Some(ProxyAccept::default()),
            ..new_listener(lb, 1000 + n as u16)
        };
        assert_eq!(world.blame(|draft| create(draft, accept)), taken, "{what} takes");
        let id = world.listener_of(lb, 2000 + n as u16, service).id;
        let accept = ListenerPatch { proxy_accept: Patch::Set(ProxyAccept::default()), ..patch() };
        assert_eq!(world.blame(|draft| update(draft, id, accept)), taken, "{what} takes, later");
        let send = ListenerPatch { member_proxy_protocol: Patch::Set(ProxyVersion::V2), ..patch() };
        assert_eq!(world.blame(|draft| update(draft, id, send)), sent, "{what} sends");
    }
}

#[test]
fn limits_are_kept() {
    let (mut world, lb, _) = world();
    let new = NewListener { bits_per_second_max: 7, ..new_listener(lb, 80) };
    let made = world.run(|draft| create(draft, new)).unwrap();
    assert_eq!(made.bits_per_second_max, 7);
    let more = ListenerPatch { bits_per_second_max: Some(9), connections_max: Some(3), ..patch() };
    let changed = world.run(|draft| update(draft, made.id, more)).unwrap();
    assert_eq!((changed.bits_per_second_max, changed.connections_max), (9, 3));
    let kept = world.run(|draft| update(draft, made.id, patch())).unwrap();
    assert_eq!((kept.bits_per_second_max, kept.connections_max), (9, 3));
}

#[test]
fn a_tls_listener_has_certificates_and_no_early_data() {
    let (mut world, lb, rsa) = world();
    let id = world.listener_of(lb, 443, tls(rsa)).id;
    let ca = world.client_ca().id;
    let named = NewCertificate { ..new_certificate(&["a.example.com"]) };
    let named = world.run(|draft| certificate::create(draft, named)).unwrap().id;
    let early = ListenerPatch {
        early_data: Some(true),
        system_policy: Some(SystemSecurityPolicy::Tls12FsWith13),
        ..patch()
    };
    for (why, said, expect) in [
        ("mutual TLS", ListenerPatch { client_ca: Patch::Set(ca), ..patch() }, "ok"),
        ("SNI", ListenerPatch { sni_certificates: Some(vec![named]), ..patch() }, "ok"),
        (
            "an authority as server",
            ListenerPatch { certificate: Some(ca), ..patch() },
            "default_tls_container_ref",
        ),
        ("early data", early, "ssl_early_data_enable"),
        ("what only HTTP has", ListenerPatch { gzip: Some(true), ..patch() }, "gzip_enable"),
    ] {
        assert_eq!(world.blame(|draft| update(draft, id, said)), expect, "{why}");
    }
    assert_eq!(world.code(|draft| certificate::delete(draft, rsa)), "in_use");
}
