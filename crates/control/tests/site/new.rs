//! What callers say to create things, with defaults.

use std::sync::LazyLock;

use control::bootstrap::network_id;
use model::{
    AccessLogPatch, Action, Algorithm, CertificateKind, Compare, IdleTimeout, IpEntry, ListenerId,
    LoadBalancerId, NewAccessLog, NewCertificate, NewHealthMonitor, NewIpGroup, NewListener, NewLoadBalancer,
    NewMember, NewPolicy, NewPool, NewRule, NewSecurityPolicy, NewStandbyPool, PoolId, PoolProtocol, Port,
    ProbeInterval, ProbeThreshold, ProbeTimeout, RuleSubject, Secret, TargetOverride, TlsVersion, Weight,
    health_monitor::{ExpectedStatuses, HttpProbe, MonitorType, ProbeMethod, ProbePath},
    listener::{HttpService, InsertHeaders, Service},
    load_balancer::{Protection, WafFailure},
    policy::Forward,
    pool::{IpVersion, PoolKind},
    target::ProbeSettings,
};
use uuid::Uuid;

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
        bits_per_second_max: 0,
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
        ports: Port::of(port).into(),
        service: Service::Tcp,
        default_pool: None,
        target: TargetOverride::default(),
        idle_timeout: IdleTimeout::of(300),
        connect_timeout: NewListener::CONNECT_TIMEOUT_DEFAULT,
        transparent_client_ip: true,
        connections_max: 0,
        connections_per_second_max: 0,
        bits_per_second_max: 0,
        proxy_accept: None,
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
        member_tls: None,
        member_proxy_protocol: None,
        quic_cid_hash: None,
        outlier_detection: None,
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
        datagram: None,
        http,
    };
    NewHealthMonitor { pool, name: name("monitor"), admin_up: true, probe }
}

/// Active/standby, with its members and its monitor.
pub(crate) fn standby_pool(load_balancer: LoadBalancerId) -> NewStandbyPool {
    let kind = PoolKind::Instance;
    let pool = NewPool { kind, network: Some(network_id(&name("default"))), ..pool(load_balancer) };
    let monitor = health_monitor(PoolId::new(Uuid::nil()));
    NewStandbyPool {
        pool,
        master: member(8),
        slave: member(9),
        monitor_name: monitor.name,
        probe: monitor.probe,
    }
}

/// HTTP with advanced forwarding.
pub(crate) fn web(load_balancer: LoadBalancerId, port: u16) -> NewListener {
    let service = Service::Http(HttpService {
        request_timeout: HttpService::EXCHANGE_TIMEOUT_DEFAULT,
        response_timeout: HttpService::EXCHANGE_TIMEOUT_DEFAULT,
        member_retry: true,
        insert_headers: InsertHeaders::default(),
        gzip: false,
        http2: false,
        enhanced_policies: true,
        desync: Default::default(),
    });
    NewListener { service, ..listener(load_balancer, port) }
}

/// HTTP, made for a load balancer.
pub(crate) fn web_pool(load_balancer: LoadBalancerId) -> NewPool {
    NewPool { protocol: PoolProtocol::Http, ..pool(load_balancer) }
}

/// For one path.
pub(crate) fn policy(listener: ListenerId, pool: PoolId, path: &str) -> NewPolicy {
    NewPolicy {
        listener,
        name: name("policy"),
        description: Default::default(),
        position: 100,
        priority: None,
        action: Action::Forward(Forward { pool: Some(pool), ..Forward::default() }),
        rules: vec![rule(RuleSubject::Path, path)],
    }
}

pub(crate) fn rule(subject: RuleSubject, value: &str) -> NewRule {
    NewRule { subject, compare: Compare::Equal, key: None, value: value.to_owned(), conditions: Vec::new() }
}

/// Made once, as keys take time.
static PAIR: LazyLock<(String, String)> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(vec!["www.example.com".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
});

/// A server's, of its own making.
pub(crate) fn certificate() -> NewCertificate {
    NewCertificate {
        name: name("certificate"),
        description: Default::default(),
        kind: CertificateKind::Server,
        pem: PAIR.0.clone(),
        private_key: Some(Secret::new(PAIR.1.clone())),
        domains: Vec::new(),
        encryption: None,
        scm_id: None,
        protection: Protection::None,
        enterprise_project: None,
    }
}

pub(crate) fn security_policy() -> NewSecurityPolicy {
    NewSecurityPolicy {
        name: name("security policy"),
        description: Default::default(),
        versions: vec![TlsVersion::V13],
        suites: vec!["TLS_AES_128_GCM_SHA256".parse().unwrap()],
        enterprise_project: None,
    }
}

/// Of one address.
pub(crate) fn ip_group() -> NewIpGroup {
    NewIpGroup {
        name: name("group"),
        description: Default::default(),
        entries: vec![IpEntry { span: "10.0.0.1".parse().unwrap(), description: Default::default() }],
        enterprise_project: None,
    }
}

pub(crate) fn access_log(load_balancer: LoadBalancerId) -> NewAccessLog {
    NewAccessLog { load_balancer, group: "group".to_owned(), topic: "topic".to_owned() }
}

/// A change; a log has no time of its last change, so saying nothing would change nothing.
pub(crate) fn other_topic() -> AccessLogPatch {
    AccessLogPatch { topic: Some("other".to_owned()), ..AccessLogPatch::default() }
}
