//! What callers say to create things, with defaults.

use control::bootstrap::network_id;
use model::{
    Algorithm, IdleTimeout, LoadBalancerId, NewHealthMonitor, NewListener, NewLoadBalancer, NewMember,
    NewPool, PoolId, PoolProtocol, Port, ProbeInterval, ProbeThreshold, ProbeTimeout, TargetOverride, Weight,
    health_monitor::{ExpectedStatuses, HttpProbe, MonitorType, ProbeMethod, ProbePath},
    listener::Service,
    load_balancer::{Protection, WafFailure},
    pool::{IpVersion, PoolKind},
    target::ProbeSettings,
};

use crate::{name, server, subnet};

/// With a VIP of the default subnet.
pub(crate) fn load_balancer() -> NewLoadBalancer {
    NewLoadBalancer {
        name: name("lb"),
        description: Default::default(),
        admin_up: true,
        network: Some(network_id(&name("default"))),
        vip_subnet: Some(subnet()),
        vip_address: None,
        vip_v6_subnet: None,
        vip_v6_address: None,
        zones: vec!["local-1a".to_owned()],
        l4_flavor: None,
        l7_flavor: None,
        member_subnets: Vec::new(),
        ip_targets: false,
        deletion_protection: false,
        protection: Protection::None,
        waf_failure: WafFailure::Forward,
        enterprise_project: None,
        tags: Vec::new(),
    }
}

/// TCP, on a port.
pub(crate) fn listener(load_balancer: LoadBalancerId, port: u16) -> NewListener {
    NewListener {
        access: None,
        load_balancer,
        name: name("listener"),
        description: Default::default(),
        admin_up: true,
        port: Port::of(port),
        service: Service::Tcp,
        default_pool: None,
        target: TargetOverride::default(),
        idle_timeout: IdleTimeout::of(300),
        connect_timeout: NewListener::CONNECT_TIMEOUT_DEFAULT,
        transparent_client_ip: true,
        connections_max: 0,
        connections_per_second_max: 0,
        protection: Protection::None,
        tags: Vec::new(),
    }
}

/// TCP, made for a load balancer.
pub(crate) fn pool(load_balancer: LoadBalancerId) -> NewPool {
    NewPool {
        name: name("pool"),
        description: Default::default(),
        admin_up: true,
        protocol: PoolProtocol::Tcp,
        algorithm: Algorithm::RoundRobin,
        stickiness: None,
        ip_version: IpVersion::Dualstack,
        slow_start: None,
        member_deletion_protection: false,
        network: None,
        kind: PoolKind::Any,
        any_port: false,
        drain: None,
        all_down_forward: false,
        load_balancer: Some(load_balancer),
        listener: None,
        protection: Protection::None,
        enterprise_project: None,
    }
}

/// Of the default subnet, on port 80.
pub(crate) fn member(last: u8) -> NewMember {
    NewMember {
        name: name("member"),
        address: server(last),
        port: Some(Port::of(80)),
        weight: Weight::of(1),
        subnet: Some(subnet()),
        zone: None,
        admin_up: true,
    }
}

/// A TCP monitor.
pub(crate) fn health_monitor(pool: PoolId) -> NewHealthMonitor {
    let http = HttpProbe {
        method: ProbeMethod::Get,
        path: ProbePath::root(),
        host: None,
        expected: ExpectedStatuses::ok(),
    };
    let probe = ProbeSettings {
        kind: MonitorType::Tcp,
        interval: ProbeInterval::of(5),
        timeout: ProbeTimeout::of(3),
        rise: ProbeThreshold::of(3),
        fall: ProbeThreshold::of(3),
        port: None,
        http,
    };
    NewHealthMonitor { pool, name: name("monitor"), admin_up: true, probe }
}
