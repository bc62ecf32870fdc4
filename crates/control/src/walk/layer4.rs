//! The steps of layer 4 and of QUIC.

use model::{
    Algorithm, HealthMonitorPatch, ListenerPatch, MonitorType, NewHealthMonitor, NewListener, NewPool,
    NewStandbyPool, Patch, PoolPatch, PoolProtocol, Ports, ProxyAccept, ProxyVersion, StickyMinutes,
    health_monitor::ExpectedStatuses,
    listener::{QuicUpgrade, Service},
    pool::{IpVersion, PoolKind, Stickiness},
};

use super::{Step, nth, one_of};
use crate::{
    health_monitor, listener, pool, standby_pool,
    testing::{NETWORK, World, new_listener, new_member, new_monitor, new_pool, ports, probe, quic, tls},
};

/// Does a step; one that has nothing to work on does nothing.
pub(super) fn take(world: &mut World, (what, a, b, c, d): Step) {
    let state = world.state.clone();
    let lb = nth(state.load_balancers().keys().copied(), a);
    let a_listener = nth(state.listeners().keys().copied(), a);
    let other_listener = nth(state.listeners().keys().copied(), b);
    let a_pool = nth(state.pools().keys().copied(), b);
    let monitor = nth(state.health_monitors().keys().copied(), a);
    let certificate = nth(state.certificates().keys().copied(), b);
    let kinds = [
        MonitorType::Tcp,
        MonitorType::Http,
        MonitorType::Https,
        MonitorType::Tls,
        MonitorType::Grpc,
        MonitorType::Udp,
    ];
    let kind = one_of(&kinds, c);
    let version = one_of(&[ProxyVersion::V1, ProxyVersion::V2], d);
    let sticky = Stickiness::SourceIp { minutes: StickyMinutes::of(1) };
    match what % 10 {
        0..=2 => {
            let Some(lb) = lb else { return };
            let service = match (c % 4, certificate) {
                (0, _) | (_, None) => Service::Udp,
                (1, _) => Service::Tcp,
                (2, Some(certificate)) => tls(certificate),
                (_, Some(certificate)) => quic(certificate),
            };
            let new = NewListener {
                service,
                ports: [
                    ports(&[(80, 82)]),
                    ports(&[(81, 81), (90, 99)]),
                    Ports::One(model::Port::of(80 + u16::from(d % 4))),
                ][usize::from(d % 3)]
                .clone(),
                default_pool: a_pool.filter(|_| b % 2 == 0),
                proxy_accept: (b % 7 == 0).then(ProxyAccept::default),
                ..new_listener(lb, 80)
            };
            let _ = world.run(|draft| listener::create(draft, new));
        }
        3 => {
            let (Some(id), Some(to)) = (a_listener, other_listener) else { return };
            let upgrade = QuicUpgrade { listener: to, enabled: d % 2 == 0 };
            let patch = ListenerPatch {
                quic: if d % 3 == 0 { Patch::Clear } else { Patch::Set(upgrade) },
                ..ListenerPatch::default()
            };
            let _ = world.run(|draft| listener::update(draft, id, patch));
        }
        4 => {
            let Some(id) = a_listener else { return };
            let patch = ListenerPatch {
                proxy_accept: if d % 3 == 0 { Patch::Set(ProxyAccept::default()) } else { Patch::Clear },
                member_proxy_protocol: if c % 3 == 0 { Patch::Set(version) } else { Patch::Clear },
                bits_per_second_max: Some(u64::from(d)),
                ..ListenerPatch::default()
            };
            let _ = world.run(|draft| listener::update(draft, id, patch));
        }
        5 => {
            let protocol =
                one_of(&[PoolProtocol::Udp, PoolProtocol::Tls, PoolProtocol::Quic, PoolProtocol::Tcp], c);
            let new = NewPool {
                load_balancer: lb,
                listener: a_listener.filter(|_| d % 3 == 0),
                protocol,
                algorithm: if d % 5 == 0 { Algorithm::QuicCid } else { Algorithm::RoundRobin },
                stickiness: (d % 4 != 0).then(|| sticky.clone()),
                any_port: b % 5 == 0,
                ip_version: if b % 2 == 0 { IpVersion::V4 } else { IpVersion::Dualstack },
                ..new_pool()
            };
            let _ = world.run(|draft| pool::create(draft, new));
        }
        6 => {
            let Some(id) = a_pool else { return };
            let patch = PoolPatch {
                algorithm: (d % 3 == 0).then_some(Algorithm::QuicCid),
                stickiness: if c % 3 == 1 { Patch::Clear } else { Patch::Set(sticky) },
                member_proxy_protocol: if d % 2 == 0 { Patch::Set(version) } else { Patch::Clear },
                quic_cid_hash: (d % 5 == 0).then(Default::default),
                ..PoolPatch::default()
            };
            let _ = world.run(|draft| pool::update(draft, id, patch));
        }
        7 => {
            let Some(id) = a_pool else { return };
            let _ = world.run(|draft| standby_pool::delete(draft, id));
        }
        8 => {
            let protocol = one_of(&[PoolProtocol::Tcp, PoolProtocol::Udp, PoolProtocol::Http], c);
            let mut probe = probe((d % 2 == 0).then_some(7));
            probe.kind = if protocol == PoolProtocol::Udp { MonitorType::Udp } else { MonitorType::Tcp };
            let new = NewStandbyPool {
                pool: NewPool {
                    protocol,
                    any_port: d % 3 == 0,
                    kind: PoolKind::Instance,
                    network: Some(NETWORK),
                    listener: a_listener.filter(|_| a % 2 == 0),
                    ..new_pool()
                },
                master: new_member("127.88.1.1", 80),
                slave: new_member("127.88.1.2", 80),
                monitor_name: Default::default(),
                probe,
            };
            let _ = world.run(|draft| standby_pool::create(draft, new));
        }
        _ => {
            let codes = |text: &str| text.parse::<ExpectedStatuses>().unwrap();
            let _ = match (monitor, a_pool) {
                (Some(id), _) if d % 2 == 0 => {
                    let patch = HealthMonitorPatch {
                        kind: Some(kind),
                        expected: (d % 3 == 0).then(|| codes(one_of(&["0", "200"], b))),
                        ..HealthMonitorPatch::default()
                    };
                    world.run(|draft| health_monitor::update(draft, id, patch)).map(drop)
                }
                (_, Some(pool)) => {
                    let mut settings = probe((d % 3 == 0).then_some(81));
                    settings.kind = kind;
                    settings.http.expected =
                        kind.codes().map_or_else(ExpectedStatuses::ok, ExpectedStatuses::default_of);
                    let new = NewHealthMonitor { probe: settings, ..new_monitor(pool) };
                    world.run(|draft| health_monitor::create(draft, new)).map(drop)
                }
                _ => Ok(()),
            };
        }
    }
}
