//! Layer 4, QUIC, limits: what the plan says of them.

use std::net::SocketAddr;

use balance::{Standby, drain::Traffic};
use model::{
    Algorithm, DrainTimeout, FlavorLayer, MemberRole, PoolProtocol, Port, ProxyAccept, ProxyVersion,
    QuicCidHash, SlowStartDuration, SubnetId, Transport, flavor,
    listener::Service,
    pool::{Drain, SlowStart, Stickiness},
    range::StickyMinutes,
};
use plan::{Endpoint, Limits, ListenerLimits, ListenerPlan, ServicePlan, TargetPlan, compile};

use crate::objects::{Objects, https, https_upgrading_to, listener_id, ports, quic};

/// Two load balancers, and pool 1 of that protocol with members 1 and 2.
fn objects(protocol: PoolProtocol) -> Objects {
    let mut objects = Objects::default();
    objects.load_balancer(1, |_| ());
    objects.load_balancer(2, |_| ());
    objects.pool(1, |pool| pool.protocol = protocol);
    objects.member(1, 1, |member| member.subnet = Some(SubnetId::new(uuid::Uuid::from_u128(1))));
    objects.member(2, 1, |_| ());
    for n in 1..=2 {
        objects.certificate(n, "a.example.com", |_| ());
    }
    objects
}

fn listener(objects: &Objects, n: u64) -> ListenerPlan {
    ListenerPlan::clone(&compile(&objects.snapshot, None).listeners[&listener_id(n)])
}

fn target(objects: &Objects) -> TargetPlan {
    TargetPlan::clone(listener(objects, 1).default_target.as_ref().unwrap())
}

#[test]
fn what_is_spoken_decides_what_carries_it() {
    let mut objects = objects(PoolProtocol::Tcp);
    let tls = || Service::Tls(https(1, &[]).tls.into());
    for (service, transport, has_tls) in [
        (Service::Tcp, Transport::Tcp, false),
        (Service::Udp, Transport::Udp, false),
        (tls(), Transport::Tcp, true),
        (quic(1), Transport::Udp, true),
    ] {
        objects.listener(1, 1, Some(1), |listener| listener.service = service.clone());
        let plan = listener(&objects, 1);
        assert_eq!(plan.service.transport(), transport, "{service:?}");
        assert_eq!(plan.endpoints[0].transport, transport, "{service:?}");
        assert_eq!(plan.tls.is_some(), has_tls, "{service:?}");
        assert_eq!(plan.http().is_some(), matches!(plan.service, ServicePlan::Quic(_)), "{service:?}");
        assert!(plan.tls.is_none_or(|tls| !tls.alpn_h2), "{service:?}: HTTP/2 is not spoken there");
    }
}

#[test]
fn ranges_are_endpoints_and_their_members_are_reached_on_the_clients_port() {
    let mut objects = objects(PoolProtocol::Udp);
    objects.pool(1, |pool| (pool.protocol, pool.any_port) = (PoolProtocol::Udp, true));
    objects.monitor(1, 1, |monitor| monitor.probe.port = Some(Port::of(7)));
    objects.listener(1, 1, Some(1), |listener| {
        (listener.service, listener.ports) = (Service::Udp, ports(&[(53, 53), (1000, 1002)]));
    });
    let plan = listener(&objects, 1);
    let vip = plan.endpoints[0].address.ip();
    let at = |port, last_port| Endpoint {
        transport: Transport::Udp,
        address: SocketAddr::new(vip, port),
        last_port,
    };
    assert_eq!(plan.endpoints, [at(53, None), at(1000, Some(1002))]);
    let sockets: Vec<u16> =
        plan.endpoints.iter().flat_map(Endpoint::addresses).map(|address| address.port()).collect();
    assert_eq!(sockets, [53, 1000, 1001, 1002]);
    let member = &target(&objects).members[0];
    assert_eq!((member.address.port(), member.probe_address.port()), (0, 7));
    assert_eq!(member.address_for(1001), SocketAddr::new(member.address.ip(), 1001));

    objects.pool(1, |pool| pool.protocol = PoolProtocol::Udp);
    let member = &target(&objects).members[0];
    assert_eq!(member.address_for(1001), member.address, "a member with a port of its own keeps it");
}

#[test]
fn https_answers_tell_of_a_quic_listener_that_is_at_work() {
    for (why, quic_lb, on, enabled, expect) in [
        ("at work", 1, true, true, Some("h3=\":8002\"; ma=86400")),
        ("switched off", 1, false, true, None),
        ("the upgrade is off", 1, true, false, None),
        ("another host", 2, true, true, None),
    ] {
        let mut objects = objects(PoolProtocol::Http);
        objects.listener(1, 1, None, |listener| listener.service = https_upgrading_to(2, enabled));
        objects.listener(2, quic_lb, None, |listener| {
            (listener.service, listener.admin_up) = (quic(1), on);
        });
        let plan = listener(&objects, 1);
        assert_eq!(plan.http().unwrap().alt_svc.as_deref(), expect, "{why}");
        objects.listener(2, quic_lb, None, |_| ());
        assert_eq!(listener(&objects, 1).http().unwrap().alt_svc, None, "{why}: no QUIC listener any more");
    }
}

#[test]
fn limits_are_a_listeners_own_its_flavors_and_its_load_balancers() {
    let mut objects = objects(PoolProtocol::Http);
    objects.listener(1, 1, None, |_| ());
    assert_eq!(listener(&objects, 1).limits, ListenerLimits::default(), "nothing is limited");

    objects.load_balancer(1, |lb| {
        (lb.l4_flavor, lb.l7_flavor) = (Some(flavor::CATALOGUE[0].id), Some(flavor::CATALOGUE[7].id));
        lb.bits_per_second_max = 5_000_000;
    });
    let own = |listener: &mut model::Listener| {
        listener.connections_max = 3;
        listener.connections_per_second_max = 4;
        listener.bits_per_second_max = 1_000_000;
    };
    for (service, layer, rates, costs) in [
        (None, FlavorLayer::L7, (2_000, Some(4_000)), (1, 1)),
        (Some(Service::Https(https(1, &[]).into())), FlavorLayer::L7, (2_000, Some(4_000)), (10, 2)),
        (Some(quic(1)), FlavorLayer::L7, (2_000, Some(4_000)), (10, 2)),
        (Some(Service::Tcp), FlavorLayer::L4, (10_000, None), (1, 1)),
        (Some(Service::Tls(https(1, &[]).tls.into())), FlavorLayer::L4, (10_000, None), (1, 1)),
    ] {
        objects.listener(1, 1, None, |listener| {
            own(listener);
            listener.service = service.clone().unwrap_or(listener.service.clone());
        });
        let limits = listener(&objects, 1).limits;
        let expect = Limits {
            connections: Some(3),
            connections_per_second: Some(4),
            requests_per_second: None,
            bits_per_second: Some(1_000_000),
        };
        assert_eq!(limits.own, expect);
        assert_eq!(limits.load_balancer, Limits { bits_per_second: Some(5_000_000), ..Limits::default() });
        let flavor = limits.flavor.unwrap();
        assert_eq!(flavor.layer, layer, "{service:?}");
        let total = flavor.total;
        assert_eq!((total.connections_per_second, total.requests_per_second), (Some(rates.0), rates.1));
        assert_eq!(total.bits_per_second, Some(50_000_000), "{service:?}");
        assert_eq!((flavor.connection_cost, flavor.request_cost), costs, "{service:?}");
    }
}

#[test]
fn a_listeners_proxy_header_beats_its_pools() {
    let mut objects = objects(PoolProtocol::Tcp);
    for (pool, listener, expect) in [
        (None, None, None),
        (Some(ProxyVersion::V1), None, Some(ProxyVersion::V1)),
        (Some(ProxyVersion::V1), Some(ProxyVersion::V2), Some(ProxyVersion::V2)),
        (None, Some(ProxyVersion::V2), Some(ProxyVersion::V2)),
    ] {
        objects.pool(1, |p| (p.protocol, p.member_proxy_protocol) = (PoolProtocol::Tcp, pool));
        objects.listener(1, 1, Some(1), |l| {
            l.service = Service::Tcp;
            l.target.member_proxy_protocol = listener;
            l.proxy_accept = Some(ProxyAccept::default());
        });
        assert_eq!(target(&objects).proxy_protocol, expect);
    }
    assert_eq!(listener(&objects, 1).proxy_accept, Some(ProxyAccept::default()));
}

#[test]
fn the_clients_address_is_kept_towards_members_of_a_subnet_at_layer_4() {
    let mut objects = objects(PoolProtocol::Tcp);
    for (service, wanted, expect) in [
        (Service::Tcp, true, [true, false]),
        (Service::Udp, true, [true, false]),
        (Service::Tcp, false, [false, false]),
        (Service::Tls(https(1, &[]).tls.into()), true, [false, false]),
        (Service::Https(https(1, &[]).into()), true, [false, false]),
    ] {
        objects.listener(1, 1, Some(1), |listener| {
            (listener.service, listener.transparent_client_ip) = (service.clone(), wanted);
        });
        let transparent: Vec<bool> =
            target(&objects).members.iter().map(|member| member.transparent).collect();
        assert_eq!(transparent, expect, "{service:?}");
    }
}

#[test]
fn connection_ids_place_what_a_quic_pool_gets() {
    let mut objects = objects(PoolProtocol::Quic);
    objects.listener(1, 1, Some(1), |listener| listener.service = Service::Udp);
    let by = |objects: &mut Objects, algorithm| {
        objects.pool(1, |pool| {
            (pool.protocol, pool.algorithm) = (PoolProtocol::Quic, algorithm);
            pool.quic_cid_hash = Some(QuicCidHash::default());
            pool.stickiness = Some(Stickiness::SourceIp { minutes: StickyMinutes::of(1) });
        });
        target(objects)
    };
    let placed = by(&mut objects, Algorithm::QuicCid);
    assert_eq!(placed.quic_cid_hash, Some(QuicCidHash::default()));
    assert!(placed.maglev.is_some() && placed.stickiness.is_some());
    let hashed = by(&mut objects, Algorithm::SourceIp);
    assert!(hashed.maglev.is_some() && hashed.stickiness.is_none() && hashed.quic_cid_hash.is_none());
    assert_eq!(by(&mut objects, Algorithm::RoundRobin).quic_cid_hash, None);
}

#[test]
fn of_an_active_standby_pool_one_serves_and_one_waits() {
    use MemberRole::{Master, Slave};
    for (why, roles, up, expect) in [
        ("both", [Slave, Master], [true, true], Some((1, Some(0)))),
        ("the other way round", [Master, Slave], [true, true], Some((0, Some(1)))),
        ("the slave is switched off", [Master, Slave], [true, false], Some((0, None))),
        ("the master is switched off", [Master, Slave], [false, true], Some((0, None))),
        ("both are switched off", [Master, Slave], [false, false], None),
    ] {
        let mut objects = objects(PoolProtocol::Tcp);
        objects.pool(1, |pool| {
            (pool.protocol, pool.standby, pool.algorithm) = (PoolProtocol::Tcp, true, Algorithm::SourceIp);
            pool.stickiness = Some(Stickiness::SourceIp { minutes: StickyMinutes::of(1) });
        });
        for n in 0..2 {
            objects.member(n as u64 + 1, 1, |member| {
                (member.role, member.admin_up) = (Some(roles[n]), up[n]);
            });
        }
        objects.listener(1, 1, Some(1), |listener| listener.service = Service::Tcp);
        let target = target(&objects);
        let expect = expect.map(|(master, slave)| Standby { master, slave });
        assert_eq!(target.standby, expect, "{why}");
        assert!(target.stickiness.is_none() || target.standby.is_none(), "{why}: nothing to choose from");
    }
}

#[test]
fn slow_start_and_drain_are_as_the_pool_says() {
    let mut objects = objects(PoolProtocol::Http);
    objects.listener(1, 1, Some(1), |_| ());
    let on = SlowStart { enabled: true, duration: SlowStartDuration::of(60) };
    for (why, slow, algorithm, expect) in [
        ("on", Some(on), Algorithm::RoundRobin, Some(SlowStartDuration::of(60))),
        ("off", Some(SlowStart { enabled: false, ..on }), Algorithm::RoundRobin, None),
        ("never said", None, Algorithm::RoundRobin, None),
        ("weights do not count", Some(on), Algorithm::SourceIp, None),
    ] {
        objects.pool(1, |pool| (pool.slow_start, pool.algorithm) = (slow, algorithm));
        assert_eq!(target(&objects).slow_start, expect, "{why}");
    }
    let on = Drain { enabled: true, timeout: DrainTimeout::of(10) };
    for (protocol, drain, traffic, delay) in [
        (PoolProtocol::Tcp, Some(on), Traffic::Streams, Some(DrainTimeout::of(10))),
        (PoolProtocol::Tls, None, Traffic::Streams, Some(DrainTimeout::of(300))),
        (PoolProtocol::Udp, Some(Drain { enabled: false, ..on }), Traffic::Datagrams, None),
        (PoolProtocol::Quic, Some(on), Traffic::Datagrams, Some(DrainTimeout::of(10))),
        (PoolProtocol::Grpc, Some(on), Traffic::Requests, Some(DrainTimeout::of(10))),
    ] {
        objects.pool(1, |pool| (pool.protocol, pool.drain) = (protocol, drain));
        let rules = target(&objects).drain_rules();
        assert_eq!((rules.traffic, rules.delay), (traffic, delay), "{protocol:?} {drain:?}");
    }
}
