//! What a pool may be set to, by its protocol and its members.

use super::*;

#[test]
fn stickiness_is_what_the_protocol_has() {
    let source = |m| Stickiness::SourceIp { minutes: minutes(m) };
    let own = |m| Stickiness::HttpCookie { minutes: minutes(m) };
    for (protocol, wanted, expect) in [
        (PoolProtocol::Tcp, source(60), Some(source(60))),
        (PoolProtocol::Tcp, source(61), None),
        (PoolProtocol::Tcp, own(5), Some(source(5))),
        (PoolProtocol::Tcp, own(1440), None),
        (PoolProtocol::Tcp, cookie(), Some(source(1))),
        (PoolProtocol::Http, source(5), None),
        (PoolProtocol::Http, own(1440), Some(own(1440))),
        (PoolProtocol::Http, cookie(), Some(cookie())),
    ] {
        for algorithm in [Algorithm::RoundRobin, Algorithm::LeastConnections, Algorithm::SourceIp] {
            // With SOURCE_IP some consoles refuse it; the API does not (huawei/behaviours.md section 7).
            let mut world = World::new();
            let lb = world.load_balancer().id;
            let new = NewPool { load_balancer: Some(lb), protocol, algorithm, ..new_pool() };
            let sticky = NewPool { stickiness: Some(wanted.clone()), ..new.clone() };
            let made = world.run(|draft| create(draft, sticky)).ok().map(|pool| pool.stickiness.clone());
            assert_eq!(made, expect.clone().map(Some), "{protocol:?} {wanted:?}, at creation");
            let id = world.run(|draft| create(draft, new)).unwrap().id;
            let patch = PoolPatch { stickiness: Patch::Set(wanted.clone()), ..Default::default() };
            let after = world.run(|draft| update(draft, id, patch)).ok().map(|pool| pool.stickiness.clone());
            assert_eq!(after, expect.clone().map(Some), "{protocol:?} {wanted:?}, later");
            let off = PoolPatch { stickiness: Patch::Clear, ..Default::default() };
            assert_eq!(world.run(|draft| update(draft, id, off)).unwrap().stickiness, None);
        }
    }
}

#[test]
fn type_and_network_can_be_given_once() {
    let set = |kind, network| PoolPatch { kind, network, ..PoolPatch::default() };
    for (why, patch, expect) in [
        ("nothing", set(None, None), "ok"),
        ("servers of a network", set(Some(PoolKind::Instance), Some(NETWORK)), "ok"),
        ("servers of none", set(Some(PoolKind::Instance), None), "vpc_id"),
        ("bare addresses", set(Some(PoolKind::Ip), None), "ok"),
        ("bare addresses of a network", set(Some(PoolKind::Ip), Some(NETWORK)), "vpc_id"),
        ("a network", set(None, Some(NETWORK)), "ok"),
        ("another than its load balancer's", set(None, Some(OTHER_NETWORK)), "vpc_id"),
        ("one that is not there", set(None, Some(NetworkId::new(Uuid::nil()))), "not_found"),
    ] {
        let mut world = World::new();
        let lb = world.load_balancer().id;
        let id = world.pool(lb).id;
        assert_eq!(world.blame(|draft| update(draft, id, patch)), expect, "{why}");
    }
    let mut world = World::new();
    let id = world.shared_pool().id;
    for (why, patch, expect) in [
        ("the same again", set(Some(PoolKind::Instance), Some(NETWORK)), "ok"),
        ("another type", set(Some(PoolKind::Ip), None), "type"),
        ("no type", set(Some(PoolKind::Any), None), "type"),
        ("another network", set(None, Some(OTHER_NETWORK)), "vpc_id"),
    ] {
        assert_eq!(world.blame(|draft| update(draft, id, patch)), expect, "{why}");
    }
}

#[test]
fn a_type_must_fit_the_members_that_there_are() {
    for (subnet, servers, bare) in [(true, "ok", "type"), (false, "type", "ok")] {
        for (kind, expect) in [(PoolKind::Instance, servers), (PoolKind::Ip, bare)] {
            let mut world = World::new();
            let lb = world.load_balancer_with(|new| new.ip_targets = true).id;
            let id = world.pool(lb).id;
            let mut new = new_member("127.88.1.1", 80);
            if !subnet {
                new.subnet = None;
            }
            world.run(|draft| member::create(draft, id, new)).unwrap();
            let network = (kind == PoolKind::Instance).then_some(NETWORK);
            let patch = PoolPatch { kind: Some(kind), network, ..PoolPatch::default() };
            assert_eq!(world.blame(|draft| update(draft, id, patch)), expect, "{kind:?}, subnet: {subnet}");
        }
    }
}

#[test]
fn any_port_goes_on_and_off_only_while_there_are_no_members() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let id = world.pool(lb).id;
    let to = |any_port| PoolPatch { any_port: Some(any_port), ..PoolPatch::default() };
    let monitor = world.monitor(id).id;
    assert_eq!(world.blame(|draft| update(draft, id, to(true))), "any_port_enable", "the probes need a port");
    world.run(|draft| health_monitor::delete(draft, monitor)).unwrap();
    let new = model::NewHealthMonitor { probe: probe(Some(81)), ..new_monitor(id) };
    world.run(|draft| health_monitor::create(draft, new)).unwrap();
    assert_eq!(world.blame(|draft| update(draft, id, to(true))), "ok");
    world.member(id, "127.88.1.1", 80);
    assert_eq!(world.blame(|draft| update(draft, id, to(false))), "any_port_enable");
    assert_eq!(world.blame(|draft| update(draft, id, to(true))), "ok", "as it is");
}

#[test]
fn slow_start_and_drain_are_set_and_cleared() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let tcp = world.pool(lb).id;
    let over_http =
        world.pool_with(|new| (new.load_balancer, new.protocol) = (Some(lb), PoolProtocol::Http)).id;
    let drain = Drain { enabled: true, timeout: model::DrainTimeout::of(10) };
    for (why, id, slow_start, expect) in [
        ("TCP has none", tcp, Patch::Set(SLOW_START), "slow_start"),
        ("clearing what is not there", tcp, Patch::Clear, "ok"),
        ("HTTP has one", over_http, Patch::Set(SLOW_START), "ok"),
    ] {
        let patch = PoolPatch { slow_start, drain: Patch::Set(drain), ..Default::default() };
        assert_eq!(world.blame(|draft| update(draft, id, patch)), expect, "{why}");
    }
    assert_eq!(world.state.pool(over_http).unwrap().slow_start, Some(SLOW_START));
    assert_eq!(world.state.pool(over_http).unwrap().drain, Some(drain));
    let off = PoolPatch { slow_start: Patch::Clear, drain: Patch::Clear, ..Default::default() };
    let after = world.run(|draft| update(draft, over_http, off)).unwrap();
    assert_eq!((after.slow_start, after.drain), (None, None));
}

#[test]
fn members_of_https_pools_can_be_verified_by_an_authority() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let (authority, server) = (world.client_ca().id, world.certificate(&[]).id);
    let nobody = CertificateId::new(Uuid::nil());
    let by = |authority| Some(MemberTls { authority, server_name: None });
    for (why, protocol, member_tls, expect) in [
        ("an authority", PoolProtocol::Https, by(authority), "ok"),
        ("none", PoolProtocol::Https, None, "ok"),
        ("a server's certificate", PoolProtocol::Https, by(server), "member_tls"),
        ("one that is not there", PoolProtocol::Https, by(nobody), "not_found"),
        ("in clear", PoolProtocol::Http, by(authority), "member_tls"),
        ("in clear, none", PoolProtocol::Http, None, "ok"),
        ("gRPC in clear", PoolProtocol::Grpc, by(authority), "member_tls"),
        ("bytes", PoolProtocol::Tcp, by(authority), "member_tls"),
    ] {
        let new = NewPool { load_balancer: Some(lb), protocol, member_tls: member_tls.clone(), ..new_pool() };
        assert_eq!(world.blame(|draft| create(draft, new)), expect, "created: {why}");
        let id = world.pool_with(|new| (new.load_balancer, new.protocol) = (Some(lb), protocol)).id;
        let patch = PoolPatch {
            member_tls: member_tls.clone().map_or(Patch::Clear, Patch::Set),
            ..PoolPatch::default()
        };
        assert_eq!(world.blame(|draft| update(draft, id, patch)), expect, "changed: {why}");
        if expect == "ok" {
            assert_eq!(world.state.pool(id).unwrap().member_tls, member_tls, "{why}");
        }
    }
}

#[test]
fn outlier_detection_needs_something_that_counts() {
    let set = |change: fn(&mut OutlierDetection)| {
        let mut detection = OutlierDetection::default();
        change(&mut detection);
        Some(detection)
    };
    let mut world = World::new();
    let lb = world.load_balancer().id;
    for (why, protocol, detection, expect) in [
        ("as it is by default", PoolProtocol::Http, set(|_| {}), "ok"),
        ("none", PoolProtocol::Udp, None, "ok"),
        ("bytes", PoolProtocol::Tcp, set(|_| {}), "ok"),
        ("bytes over TLS", PoolProtocol::Tls, set(|_| {}), "ok"),
        ("datagrams", PoolProtocol::Udp, set(|_| {}), "ok"),
        (
            "only errors of datagrams",
            PoolProtocol::Udp,
            set(|d| d.connect_failures = FailureRow::of(0)),
            "outlier_detection",
        ),
        ("only errors", PoolProtocol::Http, set(|d| d.connect_failures = FailureRow::of(0)), "ok"),
        (
            "only errors of what has no answers",
            PoolProtocol::Tcp,
            set(|d| d.connect_failures = FailureRow::of(0)),
            "outlier_detection",
        ),
        (
            "nothing that counts",
            PoolProtocol::Grpc,
            set(|d| (d.connect_failures, d.server_errors) = (FailureRow::of(0), FailureRow::of(0))),
            "outlier_detection",
        ),
        (
            "nothing that counts, and off",
            PoolProtocol::Grpc,
            set(|d| {
                (d.connect_failures, d.server_errors) = (FailureRow::of(0), FailureRow::of(0));
                d.enabled = false;
            }),
            "ok",
        ),
        ("times that are the same", PoolProtocol::Http, set(|d| d.ejection_time_max = d.ejection_time), "ok"),
        (
            "a longest time below the first",
            PoolProtocol::Http,
            set(|d| d.ejection_time_max = EjectionTime::of(29)),
            "outlier_detection",
        ),
    ] {
        let new = NewPool { load_balancer: Some(lb), protocol, outlier_detection: detection, ..new_pool() };
        assert_eq!(world.blame(|draft| create(draft, new)), expect, "created: {why}");
        let id = world.pool_with(|new| (new.load_balancer, new.protocol) = (Some(lb), protocol)).id;
        let outlier_detection = detection.map_or(Patch::Clear, Patch::Set);
        let patch = PoolPatch { outlier_detection, ..PoolPatch::default() };
        assert_eq!(world.blame(|draft| update(draft, id, patch)), expect, "changed: {why}");
        if expect == "ok" {
            assert_eq!(world.state.pool(id).unwrap().outlier_detection, detection, "{why}");
        }
    }
}

#[test]
fn an_authority_of_members_stays_until_no_pool_names_it() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let (first, second) = (world.client_ca().id, world.client_ca().id);
    let by = |authority| MemberTls { authority, server_name: None };
    let id = world
        .pool_with(|new| {
            (new.load_balancer, new.protocol) = (Some(lb), PoolProtocol::Https);
            new.member_tls = Some(by(first));
        })
        .id;
    let say = |member_tls| PoolPatch { member_tls, ..PoolPatch::default() };
    assert_eq!(world.code(|draft| certificate::delete(draft, first)), "in_use");
    world.run(|draft| update(draft, id, say(Patch::Keep))).unwrap();
    assert_eq!(world.code(|draft| certificate::delete(draft, first)), "in_use", "nothing was said");
    world.run(|draft| update(draft, id, say(Patch::Set(by(second))))).unwrap();
    assert_eq!(world.code(|draft| certificate::delete(draft, first)), "ok", "another one has its place");
    assert_eq!(world.code(|draft| certificate::delete(draft, second)), "in_use");
    world.run(|draft| delete(draft, id)).unwrap();
    assert_eq!(world.code(|draft| certificate::delete(draft, second)), "ok", "the pool is gone");
}

#[test]
fn what_a_pool_may_have_goes_by_what_its_members_speak() {
    use PoolProtocol::{Grpc, Http, Https, Quic, Tcp, Tls, Udp};
    let sticky = || Some(Stickiness::SourceIp { minutes: minutes(1) });
    type Adjust = fn(&mut NewPool);
    for (why, adjust, fit, blame) in [
        (
            "the client's port",
            (|new| new.any_port = true) as Adjust,
            &[Tcp, Udp, Quic][..],
            "any_port_enable",
        ),
        ("a slow start", |new| new.slow_start = Some(SLOW_START), &[Http, Https, Grpc], "slow_start"),
        ("connection ids", |new| new.algorithm = Algorithm::QuicCid, &[Quic], "lb_algorithm"),
        (
            "a part of them",
            |new| new.quic_cid_hash = Some(Default::default()),
            &[Quic],
            "quic_cid_hash_strategy",
        ),
        (
            "PROXY headers",
            |new| new.member_proxy_protocol = Some(model::ProxyVersion::V1),
            &[Tcp, Tls],
            "member_proxy_protocol",
        ),
        (
            "stickiness by address",
            |new| new.stickiness = Some(Stickiness::SourceIp { minutes: StickyMinutes::of(60) }),
            &[Tcp, Udp, Tls, Quic],
            "session_persistence",
        ),
        (
            "no stickiness",
            |new| new.stickiness = None,
            &[Tcp, Udp, Tls, Http, Https, Grpc],
            "session_persistence",
        ),
        (
            "a cookie acts as the address",
            |new| new.stickiness = Some(cookie()),
            &[Tcp, Udp, Tls, Quic, Http, Https, Grpc],
            "",
        ),
        (
            "a delay",
            |new| new.drain = Some(Drain { enabled: true, timeout: DrainTimeout::of(10) }),
            &[Tcp, Udp, Tls, Quic, Http, Https, Grpc],
            "",
        ),
    ] {
        for protocol in [Tcp, Udp, Tls, Quic, Http, Https, Grpc] {
            let mut world = World::new();
            let lb = world.load_balancer().id;
            let mut new = NewPool { load_balancer: Some(lb), protocol, ..new_pool() };
            new.stickiness = if protocol == Quic { sticky() } else { None };
            adjust(&mut new);
            let expect = if fit.contains(&protocol) { "ok" } else { blame };
            assert_eq!(world.blame(|draft| create(draft, new)), expect, "{why}, {protocol:?}");
        }
    }
}

#[test]
fn a_quic_pool_keeps_what_it_cannot_be_without() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let pool = world.pool_with(|new| {
        (new.load_balancer, new.protocol) = (Some(lb), PoolProtocol::Quic);
        new.stickiness = Some(cookie());
    });
    assert_eq!(pool.quic_cid_hash, Some(Default::default()), "there is a default");
    assert_eq!(pool.stickiness, Some(Stickiness::SourceIp { minutes: StickyMinutes::MIN }));
    let without = PoolPatch { stickiness: Patch::Clear, ..PoolPatch::default() };
    assert_eq!(world.blame(|draft| update(draft, pool.id, without)), "session_persistence");
    let hash = model::QuicCidHash { length: model::CidLength::of(8), offset: model::CidOffset::of(0) };
    let other =
        PoolPatch { quic_cid_hash: Some(hash), algorithm: Some(Algorithm::QuicCid), ..PoolPatch::default() };
    let changed = world.run(|draft| update(draft, pool.id, other)).unwrap();
    assert_eq!((changed.quic_cid_hash, changed.algorithm), (Some(hash), Algorithm::QuicCid));
}
