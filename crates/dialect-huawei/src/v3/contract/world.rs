//! One object of every noun, for the answers that show them.

use std::{net::Ipv4Addr, sync::Arc};

use control::View;
use model::{
    AccessLog, AccessLogId, Action, Algorithm, Certificate, CertificateFacts, CertificateId, CertificateKind,
    Compare, Facts, Fault, HealthMonitor, HealthMonitorId, IpEntry, IpGroup, IpGroupId, Listener, ListenerId,
    LoadBalancer, LoadBalancerId, Member, MemberHealth, MemberId, MemberRole, Network, NetworkId, Policy,
    PolicyId, Pool, PoolId, PoolProtocol, Port, Priority, ProbeFailure, ProbeFailureCode, ProjectId,
    RequestRate, Rule, RuleId, RuleSubject, Secret, SecurityPolicy, SecurityPolicyId, Snapshot, Subnet,
    SubnetId, SystemSecurityPolicy, Tag, TargetId, TargetOverride, Timestamp, TlsVersion, Verdict, Weight,
    certificate::EncryptionPair,
    flavor,
    health_monitor::{ExpectedStatuses, HttpProbe, ProbeMethod, ProbePath},
    listener::{
        AccessControl, AccessMode, HttpService, HttpsService, InsertHeaders, Service, SniMatch, TlsHeader,
        TlsHeaderSwitch, TlsService,
    },
    load_balancer::{Protection, Vip, WafFailure},
    policy::{
        Extras, FixedResponse, Forward, HeaderEdits, PoolStickiness, RateLimit, UrlRedirect, WeightedPool,
    },
    pool::{Drain, SlowStart, Stickiness},
    range::{
        DrainTimeout, IdleTimeout, ProbeInterval, ProbeThreshold, ProbeTimeout, SlowStartDuration,
        StickyMinutes,
    },
    rule::Condition,
    target::ProbeSettings,
};
use uuid::Uuid;

use crate::v3::{certificate as v3_certificate, policy as v3_policy, pool};

pub(super) const AT: Timestamp = Timestamp::from_millis(1_627_267_591_000);

pub(super) fn id(n: u128) -> Uuid {
    Uuid::from_u128(0xa000_0000_0000_4000_8000_0000_0000_0000 + n)
}
pub(super) fn project() -> ProjectId {
    ProjectId::new(Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef))
}

/// A load balancer with an HTTP, a TCP and an HTTPS listener, a policy with a rule, a pool, a monitor.
pub(super) fn world() -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.put(
        Network {
            id: NetworkId::new(id(1)),
            name: "default".try_into().unwrap(),
            cidr: "127.0.0.0/8".parse().unwrap(),
            created_at: AT,
        }
        .into(),
    );
    snapshot.put(
        Subnet {
            id: SubnetId::new(id(2)),
            network: NetworkId::new(id(1)),
            name: "default".try_into().unwrap(),
            cidr: "127.88.0.0/16".parse().unwrap(),
            gateway: [127, 88, 0, 1].into(),
            public: false,
            created_at: AT,
        }
        .into(),
    );
    snapshot.put(load_balancer().into());
    snapshot.put(http_listener().into());
    snapshot.put(tcp_listener().into());
    snapshot.put(https_listener().into());
    snapshot.put(policy().into());
    snapshot.put(rule().into());
    snapshot.put(pool().into());
    snapshot.put(Pool { id: PoolId::new(id(31)), ..pool() }.into());
    snapshot.put(monitor().into());
    snapshot.put(member().into());
    snapshot.put(standby_pool().into());
    for member in standby_members() {
        snapshot.put(member.into());
    }
    let monitor = HealthMonitor { id: HealthMonitorId::new(id(41)), pool: standby_pool().id, ..monitor() };
    snapshot.put(monitor.into());
    snapshot
}

/// The world as its project sees it; the member is down.
pub(super) fn view() -> View {
    let failure = ProbeFailure {
        code: ProbeFailureCode::ResponseMismatch,
        expected: "200".to_owned(),
        got: "503".to_owned(),
        detail: "the member answered 503".to_owned(),
    };
    let target = TargetId { listener: ListenerId::new(id(20)), pool: PoolId::new(id(30)) };
    let health = MemberHealth { verdict: Verdict::Down, since: AT, failure: Some(failure) };
    let fault = Fault { reason: "cannot listen on 127.88.0.2:9000: in use".to_owned(), since: AT };
    let facts = Facts {
        applied: Default::default(),
        faults: [(ListenerId::new(id(21)), fault)].into_iter().collect(),
        health: [((target, MemberId::new(id(50))), health)].into_iter().collect(),
    };
    View { snapshot: Arc::new(world()), facts: Arc::new(facts), project: project(), site: Default::default() }
}

pub(super) fn member() -> Member {
    Member {
        id: MemberId::new(id(50)),
        pool: PoolId::new(id(30)),
        project: project(),
        name: "one".try_into().unwrap(),
        address: [127, 88, 9, 1].into(),
        port: Some(Port::of(8080)),
        weight: Weight::of(10),
        subnet: Some(SubnetId::new(id(2))),
        zone: None,
        admin_up: true,
        role: None,
        created_at: AT,
        updated_at: AT,
    }
}

/// An active/standby pool, which [`world`] has with two members and a monitor.
pub(super) fn standby_pool() -> Pool {
    Pool {
        id: PoolId::new(id(32)),
        protocol: PoolProtocol::Tcp,
        algorithm: Algorithm::SourceIp,
        stickiness: None,
        slow_start: None,
        kind: model::pool::PoolKind::Instance,
        standby: true,
        ..pool()
    }
}

/// The members of [`standby_pool`].
fn standby_members() -> [Member; 2] {
    let of = |n, role| Member {
        id: MemberId::new(id(n)),
        pool: standby_pool().id,
        address: [127, 88, 9, n as u8].into(),
        role: Some(role),
        ..member()
    };
    [of(52, MemberRole::Master), of(53, MemberRole::Slave)]
}

pub(super) fn load_balancer() -> LoadBalancer {
    LoadBalancer {
        id: LoadBalancerId::new(id(10)),
        project: project(),
        name: "web".try_into().unwrap(),
        description: Default::default(),
        admin_up: true,
        network: NetworkId::new(id(1)),
        vip: Some(Vip {
            subnet: SubnetId::new(id(2)),
            address: Ipv4Addr::new(127, 88, 0, 2),
            port_id: id(11),
        }),
        vip_v6: None,
        zones: vec!["local-1a".to_owned()],
        l4_flavor: None,
        l7_flavor: Some(flavor::CATALOGUE[7].id),
        bits_per_second_max: 0,
        member_subnets: Vec::new(),
        ip_targets: false,
        deletion_protection: false,
        protection: Protection::Console { reason: "in use".try_into().unwrap() },
        waf_failure: WafFailure::Forward,
        enterprise_project: None,
        tags: vec![Tag::new("team".to_owned(), "a".to_owned()).unwrap()],
        created_at: AT,
        updated_at: AT,
    }
}

pub(super) fn http_listener() -> Listener {
    Listener {
        id: ListenerId::new(id(20)),
        project: project(),
        load_balancer: LoadBalancerId::new(id(10)),
        name: "http".try_into().unwrap(),
        description: "front".try_into().unwrap(),
        admin_up: true,
        ports: Port::of(80).into(),
        service: Service::Http(HttpService {
            request_timeout: HttpService::EXCHANGE_TIMEOUT_DEFAULT,
            response_timeout: HttpService::EXCHANGE_TIMEOUT_DEFAULT,
            member_retry: true,
            insert_headers: InsertHeaders::default(),
            gzip: false,
            http2: false,
            enhanced_policies: false,
            desync: Default::default(),
        }),
        default_pool: Some(PoolId::new(id(30))),
        target: TargetOverride::default(),
        idle_timeout: IdleTimeout::of(60),
        connect_timeout: model::NewListener::CONNECT_TIMEOUT_DEFAULT,
        transparent_client_ip: true,
        connections_max: 0,
        connections_per_second_max: 0,
        bits_per_second_max: 0,
        proxy_accept: None,
        access: None,
        protection: Protection::None,
        enterprise_project: None,
        tags: Vec::new(),
        created_at: AT,
        updated_at: AT,
    }
}

pub(super) fn https_listener() -> Listener {
    let Service::Http(http) = http_listener().service else { unreachable!("an HTTP listener") };
    let mut insert_headers = InsertHeaders::default();
    let switch = TlsHeaderSwitch { enabled: true, alias: Some("x-sni".to_owned()) };
    insert_headers.tls.insert(TlsHeader::Sni, switch);
    let tls = TlsService {
        certificate: certificate().id,
        sni_certificates: vec![certificate().id],
        sni_match: SniMatch::LongestSuffix,
        client_ca: Some(authority().id),
        system_policy: SystemSecurityPolicy::Tls12,
        security_policy: Some(security_policy().id),
        early_data: true,
    };
    let http = HttpService { http2: true, enhanced_policies: true, insert_headers, ..http };
    Listener {
        id: ListenerId::new(id(22)),
        name: "https".try_into().unwrap(),
        ports: Port::of(443).into(),
        service: Service::Https(Box::new(HttpsService { http, tls, quic: None })),
        access: Some(AccessControl { groups: vec![ip_group().id], enabled: true, mode: AccessMode::Black }),
        ..http_listener()
    }
}

pub(super) fn certificate() -> Certificate {
    Certificate {
        id: CertificateId::new(id(60)),
        project: project(),
        name: "site".try_into().unwrap(),
        domains: vec!["example.com".to_owned(), "*.example.com".to_owned()],
        scm_id: Some("scs1600000000000".to_owned()),
        facts: CertificateFacts {
            common_name: "example.com".to_owned(),
            alternative_names: vec!["example.com".to_owned(), "*.example.com".to_owned()],
            fingerprint: "01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef:01:23:45:67".to_owned(),
            not_before: AT,
            not_after: AT,
            key: Default::default(),
        },
        ..v3_certificate::tests::certificate(CertificateKind::Server)
    }
}

pub(super) fn pair() -> Certificate {
    let encryption = EncryptionPair { pem: "a chain".to_owned(), private_key: Secret::new("a key") };
    Certificate { kind: CertificateKind::ServerSm, encryption: Some(encryption), ..certificate() }
}

pub(super) fn authority() -> Certificate {
    Certificate {
        id: CertificateId::new(id(61)),
        project: project(),
        ..v3_certificate::tests::certificate(CertificateKind::ClientCa)
    }
}

pub(super) fn security_policy() -> SecurityPolicy {
    SecurityPolicy {
        id: SecurityPolicyId::new(id(62)),
        project: project(),
        name: "strict".try_into().unwrap(),
        description: Default::default(),
        versions: vec![TlsVersion::V12, TlsVersion::V13],
        suites: ["ECDHE-RSA-AES256-GCM-SHA384", "TLS_AES_256_GCM_SHA384"]
            .map(|suite| suite.parse().unwrap())
            .into(),
        enterprise_project: None,
        created_at: AT,
        updated_at: AT,
    }
}

pub(super) fn ip_group() -> IpGroup {
    let entry = |span: &str, description: &str| IpEntry {
        span: span.parse().unwrap(),
        description: description.try_into().unwrap(),
    };
    IpGroup {
        id: IpGroupId::new(id(63)),
        project: project(),
        name: "office".try_into().unwrap(),
        description: Default::default(),
        entries: vec![entry("10.0.0.0/8", "inside"), entry("2001:db8::1", ""), entry("1.2.3.4-1.2.3.9", "")],
        enterprise_project: None,
        created_at: AT,
        updated_at: AT,
    }
}

pub(super) fn policy() -> Policy {
    let weighted = |n, weight| WeightedPool { pool: PoolId::new(id(n)), weight: Weight::of(weight) };
    let minutes = StickyMinutes::of(20);
    let limit = RateLimit {
        qps: RequestRate::of(100),
        per_source_qps: RequestRate::of(10),
        burst: RequestRate::of(0),
    };
    Policy {
        id: PolicyId::new(id(70)),
        project: project(),
        listener: ListenerId::new(id(22)),
        name: "shop".try_into().unwrap(),
        priority: Some(Priority::of(3)),
        action: Action::Forward(Forward {
            pool: None,
            pools: vec![weighted(30, 90), weighted(31, 10)],
            stickiness: Some(PoolStickiness { enabled: true, minutes }),
            extras: Extras { limit: Some(limit), ..Extras::default() },
        }),
        ..v3_policy::tests::policy()
    }
}

pub(super) fn policy_to_url() -> Policy {
    let text = str::to_owned;
    let redirect = UrlRedirect {
        protocol: text("HTTPS"),
        host: text("${host}"),
        port: text("443"),
        path: text("${path}"),
        query: text("${query}"),
        status: 308,
        headers: HeaderEdits { insert: Vec::new(), remove: vec![text("server")] },
    };
    Policy { action: Action::ToUrl(redirect), ..policy() }
}

pub(super) fn policy_fixed() -> Policy {
    let response = FixedResponse {
        status: 404,
        content_type: "text/html".to_owned(),
        body: "<p>gone</p>".to_owned(),
        headers: HeaderEdits::default(),
        limit: None,
    };
    Policy { action: Action::Fixed(response), priority: None, faulty: true, ..policy() }
}

pub(super) fn rule() -> Rule {
    let condition = |value: &str| Condition { key: None, value: value.to_owned() };
    Rule {
        id: RuleId::new(id(71)),
        project: project(),
        policy: policy().id,
        subject: RuleSubject::Path,
        compare: Compare::Prefix,
        key: None,
        value: "/shop".to_owned(),
        conditions: vec![condition("/shop"), condition("/cart")],
        created_at: AT,
        updated_at: AT,
    }
}

pub(super) fn access_log() -> AccessLog {
    AccessLog {
        id: AccessLogId::new(id(80)),
        project: project(),
        load_balancer: LoadBalancerId::new(id(10)),
        group: "group".to_owned(),
        topic: "topic".to_owned(),
    }
}

pub(super) fn tcp_listener() -> Listener {
    Listener {
        id: ListenerId::new(id(21)),
        name: "tcp".try_into().unwrap(),
        ports: Port::of(9000).into(),
        service: Service::Tcp,
        default_pool: None,
        idle_timeout: IdleTimeout::of(300),
        ..http_listener()
    }
}

pub(super) fn pool() -> Pool {
    Pool {
        id: PoolId::new(id(30)),
        project: project(),
        name: "servers".try_into().unwrap(),
        algorithm: Algorithm::LeastConnections,
        stickiness: Some(Stickiness::HttpCookie { minutes: StickyMinutes::of(1440) }),
        slow_start: Some(SlowStart { enabled: true, duration: SlowStartDuration::of(30) }),
        drain: Some(Drain { enabled: true, timeout: DrainTimeout::of(10) }),
        ..pool::tests::pool(PoolProtocol::Http)
    }
}

pub(super) fn monitor() -> HealthMonitor {
    HealthMonitor {
        id: HealthMonitorId::new(id(40)),
        pool: PoolId::new(id(30)),
        project: project(),
        name: Default::default(),
        admin_up: true,
        probe: ProbeSettings {
            kind: model::MonitorType::Http,
            interval: ProbeInterval::of(5),
            timeout: ProbeTimeout::of(3),
            rise: ProbeThreshold::of(3),
            fall: ProbeThreshold::of(3),
            port: None,
            datagram: None,
            http: HttpProbe {
                method: ProbeMethod::Get,
                path: ProbePath::root(),
                host: None,
                expected: ExpectedStatuses::ok(),
            },
        },
        created_at: AT,
        updated_at: AT,
    }
}
