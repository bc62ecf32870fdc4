//! Small snapshots, object by object. Numbers become ids whose first digits tell the kind.
#![allow(dead_code, reason = "each user of this file needs a part of it")]

use std::net::{IpAddr, Ipv4Addr};

use model::{
    AccessLog, AccessLogId, Action, Algorithm, Certificate, CertificateId, CertificateKind, CipherSuite,
    Compare, ConnectTimeout, HealthMonitor, HealthMonitorId, IdleTimeout, IpEntry, IpGroup, IpGroupId, Kind,
    Listener, ListenerId, LoadBalancer, LoadBalancerId, Member, MemberId, MemberTls, MonitorType, NetworkId,
    Object, ObjectKey, Policy, PolicyId, Pool, PoolId, PoolProtocol, Port, PortRange, Ports, ProbeInterval,
    ProbeThreshold, ProbeTimeout, ProjectId, Quota, QuotaKey, Rule, RuleId, RuleSubject, Secret,
    SecurityPolicy, SecurityPolicyId, Snapshot, SubnetId, SystemSecurityPolicy, Timestamp, TlsVersion,
    Weight,
    health_monitor::{ExpectedStatuses, HttpProbe, ProbeMethod, ProbePath},
    listener::{
        AccessControl, AccessMode, HttpService, HttpsService, InsertHeaders, QuicService, QuicUpgrade,
        Service, SniMatch, TlsService,
    },
    load_balancer::{Protection, Vip, WafFailure},
    policy::{Extras, FixedResponse, Forward, HeaderEdits, Mirror},
    pool::{IpVersion, PoolKind},
    rule::Condition,
    target::ProbeSettings,
};
use uuid::Uuid;

/// A snapshot under construction; each call puts an object, with what `change` makes different from the plainest one.
#[derive(Clone, Default)]
pub(crate) struct Objects {
    pub(crate) snapshot: Snapshot,
}

impl Objects {
    pub(crate) fn load_balancer(&mut self, n: u64, change: impl FnOnce(&mut LoadBalancer)) {
        let mut load_balancer = LoadBalancer {
            id: load_balancer_id(n),
            project: project(),
            name: Default::default(),
            description: Default::default(),
            admin_up: true,
            network: NetworkId::new(uuid(0xe, 1)),
            vip: Some(Vip { subnet: SubnetId::new(uuid(0xf, 1)), address: vip(n), port_id: uuid(0xd, n) }),
            vip_v6: None,
            zones: vec!["zone-1".to_owned()],
            l4_flavor: None,
            l7_flavor: None,
            bits_per_second_max: 0,
            member_subnets: Vec::new(),
            ip_targets: true,
            deletion_protection: false,
            protection: Protection::None,
            waf_failure: WafFailure::Forward,
            enterprise_project: None,
            tags: Vec::new(),
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        change(&mut load_balancer);
        self.snapshot.put(load_balancer.into());
    }

    pub(crate) fn listener(
        &mut self,
        n: u64,
        load_balancer: u64,
        pool: Option<u64>,
        change: impl FnOnce(&mut Listener),
    ) {
        let mut listener = Listener {
            access: None,
            id: listener_id(n),
            project: project(),
            load_balancer: load_balancer_id(load_balancer),
            name: Default::default(),
            description: Default::default(),
            admin_up: true,
            ports: Port::of(8000 + (n % 1000) as u16).into(),
            service: Service::Http(http()),
            default_pool: pool.map(pool_id),
            target: Default::default(),
            idle_timeout: IdleTimeout::of(60),
            connect_timeout: ConnectTimeout::of(5),
            transparent_client_ip: false,
            connections_max: 0,
            connections_per_second_max: 0,
            bits_per_second_max: 0,
            proxy_accept: None,
            protection: Protection::None,
            enterprise_project: None,
            tags: Vec::new(),
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        change(&mut listener);
        self.snapshot.put(listener.into());
    }

    pub(crate) fn pool(&mut self, n: u64, change: impl FnOnce(&mut Pool)) {
        let mut pool = Pool {
            id: pool_id(n),
            project: project(),
            name: Default::default(),
            description: Default::default(),
            admin_up: true,
            protocol: PoolProtocol::Http,
            algorithm: Algorithm::RoundRobin,
            stickiness: None,
            ip_version: IpVersion::V4,
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
            standby: false,
            outlier_detection: None,
            load_balancer: None,
            protection: Protection::None,
            enterprise_project: None,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        change(&mut pool);
        self.snapshot.put(pool.into());
    }

    pub(crate) fn member(&mut self, n: u64, pool: u64, change: impl FnOnce(&mut Member)) {
        let mut member = Member {
            id: member_id(n),
            pool: pool_id(pool),
            project: project(),
            name: Default::default(),
            address: IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n as u32)),
            port: Some(Port::of(8080)),
            weight: Weight::of(1),
            subnet: None,
            zone: None,
            admin_up: true,
            role: None,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        change(&mut member);
        self.snapshot.put(member.into());
    }

    pub(crate) fn monitor(&mut self, n: u64, pool: u64, change: impl FnOnce(&mut HealthMonitor)) {
        let mut monitor = HealthMonitor {
            id: monitor_id(n),
            pool: pool_id(pool),
            project: project(),
            name: Default::default(),
            admin_up: true,
            probe: probe(),
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        change(&mut monitor);
        self.snapshot.put(monitor.into());
    }

    /// A policy that answers with a text, without rules; numbers are the order in which policies were made.
    pub(crate) fn policy(&mut self, n: u64, listener: u64, change: impl FnOnce(&mut Policy)) {
        let mut policy = Policy {
            id: policy_id(n),
            project: project(),
            listener: listener_id(listener),
            name: Default::default(),
            description: Default::default(),
            position: 100,
            priority: None,
            action: Action::Fixed(FixedResponse {
                status: 200,
                content_type: "text/plain".to_owned(),
                body: n.to_string(),
                headers: HeaderEdits::default(),
                limit: None,
            }),
            faulty: false,
            created_at: Timestamp::from_millis(n as i64),
            updated_at: Timestamp::default(),
        };
        change(&mut policy);
        self.snapshot.put(policy.into());
    }

    /// A rule of one value.
    pub(crate) fn rule(&mut self, n: u64, policy: u64, subject: RuleSubject, compare: Compare, value: &str) {
        self.rule_of(n, policy, subject, compare, None, &[value]);
    }

    /// A rule of any number of values, all with one key.
    pub(crate) fn rule_of(
        &mut self,
        n: u64,
        policy: u64,
        subject: RuleSubject,
        compare: Compare,
        key: Option<&str>,
        values: &[&str],
    ) {
        let key = key.map(str::to_owned);
        let condition = |value: &&str| Condition { key: key.clone(), value: (*value).to_owned() };
        let rule = Rule {
            id: rule_id(n),
            project: project(),
            policy: policy_id(policy),
            subject,
            compare,
            key: key.clone(),
            value: String::new(),
            conditions: values.iter().map(condition).collect(),
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        self.snapshot.put(rule.into());
    }

    /// A certificate for one name; its bytes are no real certificate, which nobody looks at here.
    pub(crate) fn certificate(&mut self, n: u64, name: &str, change: impl FnOnce(&mut Certificate)) {
        let mut certificate = Certificate {
            id: certificate_id(n),
            project: project(),
            name: Default::default(),
            description: Default::default(),
            kind: CertificateKind::Server,
            pem: "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n".to_owned(),
            private_key: Some(Secret::new("-----BEGIN PRIVATE KEY-----\nBAUG\n-----END PRIVATE KEY-----\n")),
            domains: vec![name.to_owned()],
            encryption: None,
            scm_id: None,
            facts: Default::default(),
            protection: Protection::None,
            enterprise_project: None,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        change(&mut certificate);
        self.snapshot.put(certificate.into());
    }

    pub(crate) fn security_policy(&mut self, n: u64, version: TlsVersion, suite: &str) {
        let policy = SecurityPolicy {
            id: security_policy_id(n),
            project: project(),
            name: Default::default(),
            description: Default::default(),
            versions: vec![version],
            suites: vec![suite.parse::<CipherSuite>().expect("a suite")],
            enterprise_project: None,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        self.snapshot.put(policy.into());
    }

    pub(crate) fn ip_group(&mut self, n: u64, spans: &[&str]) {
        let entry =
            |span: &&str| IpEntry { span: span.parse().expect("a span"), description: Default::default() };
        let group = IpGroup {
            id: ip_group_id(n),
            project: project(),
            name: Default::default(),
            description: Default::default(),
            entries: spans.iter().map(entry).collect(),
            enterprise_project: None,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        self.snapshot.put(group.into());
    }

    pub(crate) fn access_log(&mut self, n: u64, load_balancer: u64, topic: &str) {
        let log = AccessLog {
            id: access_log_id(n),
            project: project(),
            load_balancer: load_balancer_id(load_balancer),
            group: "group".to_owned(),
            topic: topic.to_owned(),
        };
        self.snapshot.put(log.into());
    }

    /// The most policies that a listener may have; -1: any number.
    pub(crate) fn policies_max(&mut self, limit: i64) {
        let limits = [(QuotaKey::L7policiesPerListener, limit)].into();
        self.snapshot.put(Quota { project: project(), limits }.into());
    }

    pub(crate) fn remove_load_balancer(&mut self, n: u64) {
        self.remove(Kind::LoadBalancer, load_balancer_id(n).to_string());
    }
    pub(crate) fn remove_listener(&mut self, n: u64) {
        self.remove(Kind::Listener, listener_id(n).to_string());
    }
    pub(crate) fn remove_pool(&mut self, n: u64) {
        self.remove(Kind::Pool, pool_id(n).to_string());
    }
    pub(crate) fn remove_member(&mut self, n: u64) {
        self.remove(Kind::Member, member_id(n).to_string());
    }
    pub(crate) fn remove_monitor(&mut self, n: u64) {
        self.remove(Kind::HealthMonitor, monitor_id(n).to_string());
    }
    pub(crate) fn remove_policy(&mut self, n: u64) {
        self.remove(Kind::Policy, policy_id(n).to_string());
    }
    pub(crate) fn remove_rule(&mut self, n: u64) {
        self.remove(Kind::Rule, rule_id(n).to_string());
    }
    pub(crate) fn remove_access_log(&mut self, n: u64) {
        self.remove(Kind::AccessLog, access_log_id(n).to_string());
    }
    fn remove(&mut self, kind: Kind, id: String) {
        self.snapshot.remove(&ObjectKey { kind, id });
    }

    /// The objects of one kind, for a look at what there is.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = Object> {
        self.snapshot.objects().filter(move |object| object.kind() == kind)
    }
}

/// HTTP with the defaults of the API.
pub(crate) fn http() -> HttpService {
    HttpService {
        request_timeout: HttpService::EXCHANGE_TIMEOUT_DEFAULT,
        response_timeout: HttpService::EXCHANGE_TIMEOUT_DEFAULT,
        member_retry: true,
        insert_headers: InsertHeaders::default(),
        gzip: false,
        http2: false,
        enhanced_policies: false,
        desync: Default::default(),
    }
}

/// HTTP whose policies have priorities.
pub(crate) fn enhanced() -> Service {
    Service::Http(HttpService { enhanced_policies: true, ..http() })
}

/// HTTPS with certificates: the default one, and those by name.
pub(crate) fn https(certificate: u64, by_name: &[u64]) -> HttpsService {
    HttpsService {
        http: http(),
        tls: TlsService {
            certificate: certificate_id(certificate),
            sni_certificates: by_name.iter().copied().map(certificate_id).collect(),
            sni_match: SniMatch::Wildcard,
            client_ca: None,
            system_policy: SystemSecurityPolicy::Tls12StrictNoCbc,
            security_policy: None,
            early_data: false,
        },
        quic: None,
    }
}

/// A listener of port ranges.
pub(crate) fn ports(ranges: &[(u16, u16)]) -> Ports {
    let range =
        |&(first, last): &(u16, u16)| PortRange::new(Port::of(first), Port::of(last)).expect("lawful ranges");
    Ports::Ranges(ranges.iter().map(range).collect::<Vec<_>>().try_into().expect("lawful ranges"))
}

/// HTTP/3 with that certificate.
pub(crate) fn quic(certificate: u64) -> Service {
    let HttpsService { http, tls, quic: _ } = https(certificate, &[]);
    Service::Quic(QuicService { http: HttpService { http2: true, ..http }, tls }.into())
}

/// HTTPS whose answers tell of a QUIC listener.
pub(crate) fn https_upgrading_to(listener: u64, enabled: bool) -> Service {
    let quic = Some(QuicUpgrade { listener: listener_id(listener), enabled });
    Service::Https(HttpsService { quic, ..https(1, &[]) }.into())
}

/// Members whose chains lead to a certificate's authorities.
pub(crate) fn verified_by(certificate: u64) -> MemberTls {
    MemberTls { authority: certificate_id(certificate), server_name: None }
}

/// To one pool.
pub(crate) fn forward(pool: u64) -> Action {
    Action::Forward(Forward { pool: Some(pool_id(pool)), ..Forward::default() })
}

/// To one pool, with a copy to another.
pub(crate) fn forward_and_mirror(pool: u64, mirror: u64) -> Action {
    let mirror = Mirror { pools: vec![pool_id(mirror)], body: true };
    let extras = Extras { mirror: Some(mirror), ..Extras::default() };
    Action::Forward(Forward { pool: Some(pool_id(pool)), extras, ..Forward::default() })
}

/// An access control that is on.
pub(crate) fn access(mode: AccessMode, groups: &[u64]) -> AccessControl {
    AccessControl { groups: groups.iter().copied().map(ip_group_id).collect(), enabled: true, mode }
}

/// A TCP probe with the console's numbers (behaviour/features.md section 8).
pub(crate) fn probe() -> ProbeSettings {
    ProbeSettings {
        kind: MonitorType::Tcp,
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
    }
}

pub(crate) fn load_balancer_id(n: u64) -> LoadBalancerId {
    LoadBalancerId::new(uuid(0xa, n))
}
pub(crate) fn listener_id(n: u64) -> ListenerId {
    ListenerId::new(uuid(0xb, n))
}
pub(crate) fn pool_id(n: u64) -> PoolId {
    PoolId::new(uuid(0xc, n))
}
pub(crate) fn member_id(n: u64) -> MemberId {
    MemberId::new(uuid(0x1, n))
}
pub(crate) fn monitor_id(n: u64) -> HealthMonitorId {
    HealthMonitorId::new(uuid(0x2, n))
}

pub(crate) fn policy_id(n: u64) -> PolicyId {
    PolicyId::new(uuid(0x3, n))
}
pub(crate) fn rule_id(n: u64) -> RuleId {
    RuleId::new(uuid(0x4, n))
}
pub(crate) fn certificate_id(n: u64) -> CertificateId {
    CertificateId::new(uuid(0x5, n))
}
pub(crate) fn security_policy_id(n: u64) -> SecurityPolicyId {
    SecurityPolicyId::new(uuid(0x6, n))
}
pub(crate) fn ip_group_id(n: u64) -> IpGroupId {
    IpGroupId::new(uuid(0x7, n))
}
pub(crate) fn access_log_id(n: u64) -> AccessLogId {
    AccessLogId::new(uuid(0x8, n))
}

fn project() -> ProjectId {
    ProjectId::new(uuid(0x9, 1))
}
fn vip(n: u64) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x7f58_0000 + n as u32)
}
fn uuid(kind: u8, n: u64) -> Uuid {
    Uuid::from_u128(u128::from(kind) << 124 | u128::from(n))
}
