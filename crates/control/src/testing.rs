//! A small world to try rules in, without a store: a site, two projects, and after every command a look at what must always hold.

mod invariants;
mod layer7;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use identity::{Caller, Origin};
use model::{
    Algorithm, Domain, DomainId, HealthMonitor, IdleTimeout, Listener, LoadBalancer, LoadBalancerId, Member,
    MonitorType, Network, NetworkId, NewHealthMonitor, NewListener, NewLoadBalancer, NewMember, NewPool,
    Pool, PoolId, PoolProtocol, Port, ProbeInterval, ProbeThreshold, ProbeTimeout, ProjectId, Role, Snapshot,
    Subnet, SubnetId, Tag, TargetOverride, Timestamp, Trace, UserId, Weight, Zone,
    health_monitor::{ExpectedStatuses, HttpProbe, ProbeMethod, ProbePath},
    listener::{HttpService, InsertHeaders, Service},
    load_balancer::{Protection, Vip, WafFailure},
    pool::{IpVersion, PoolKind},
    target::ProbeSettings,
};
use uuid::Uuid;

use crate::{Error, Site, command::Draft, health_monitor, listener, load_balancer, member, pool};
pub(crate) use layer7::{
    AUTHORITY, RSA, SERVER, authority, authority_params, enhanced, entries, https, new_certificate,
    new_client_ca, new_ip_group, new_policy, new_security_policy, params, ports, prefix, quic, rule,
    self_signed, tls, to_pool, to_pools, white,
};

pub(crate) const NETWORK: NetworkId = NetworkId::new(Uuid::from_u128(0x10));
pub(crate) const OTHER_NETWORK: NetworkId = NetworkId::new(Uuid::from_u128(0x20));
/// 127.88.0.0/16 of [`NETWORK`].
pub(crate) const SUBNET: SubnetId = SubnetId::new(Uuid::from_u128(0x11));
/// fd00:88::/64 of [`NETWORK`].
pub(crate) const SUBNET_V6: SubnetId = SubnetId::new(Uuid::from_u128(0x12));
/// 127.89.0.0/24, also of [`NETWORK`].
pub(crate) const SECOND_SUBNET: SubnetId = SubnetId::new(Uuid::from_u128(0x13));
/// 127.99.0.0/16, the public addresses of [`NETWORK`].
pub(crate) const PUBLIC_SUBNET: SubnetId = SubnetId::new(Uuid::from_u128(0x14));
/// 127.77.0.0/16 of [`OTHER_NETWORK`].
pub(crate) const OTHER_SUBNET: SubnetId = SubnetId::new(Uuid::from_u128(0x21));

/// The state, and what the store would hold beside it.
pub(crate) struct World {
    pub(crate) state: Snapshot,
    pub(crate) site: Site,
    pub(crate) caller: Caller,
    /// The traces of the last command.
    pub(crate) traces: Vec<Trace>,
    claims: BTreeMap<String, String>,
    clock: i64,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut state = Snapshot::default();
        for (id, name) in [(NETWORK, "default"), (OTHER_NETWORK, "other")] {
            state.put(network(id, name).into());
        }
        for (id, network, cidr, public) in [
            (SUBNET, NETWORK, "127.88.0.0/16", false),
            (SUBNET_V6, NETWORK, "fd00:88::/64", false),
            (SECOND_SUBNET, NETWORK, "127.89.0.0/24", false),
            (PUBLIC_SUBNET, NETWORK, "127.99.0.0/16", true),
            (OTHER_SUBNET, OTHER_NETWORK, "127.77.0.0/16", false),
        ] {
            state.put(Subnet { id, network, public, ..subnet(cidr) }.into());
        }
        let zones = ["a", "b"].map(|code| Zone { code: code.to_owned() }).to_vec();
        Self {
            state,
            site: Site { region: "local-1".to_owned(), zones, quotas: BTreeMap::new() },
            caller: caller(1, Role::Member),
            traces: Vec::new(),
            claims: BTreeMap::new(),
            clock: 0,
        }
    }

    /// Runs a command and lands it as the store would.
    pub(crate) fn run<T>(
        &mut self,
        decide: impl FnOnce(&mut Draft<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.clock += 1;
        let now = Timestamp::from_millis(self.clock);
        let mut draft = Draft::new(&self.state, &self.caller, &self.site, now);
        let outcome = decide(&mut draft)?;
        let wished = draft.state.clone();
        let batch = draft.finish();
        for key in &batch.releases {
            // One that the same command took and gave up again is not there; what is left over shows below.
            self.claims.remove(key);
        }
        for claim in &batch.claims {
            let before = self.claims.insert(claim.key.clone(), claim.holder.clone());
            assert_eq!(before, None, "{} was held", claim.key);
        }
        batch.deletes.iter().for_each(|key| self.state.remove(key));
        batch.puts.into_iter().for_each(|object| self.state.put(object));
        assert!(self.state.objects().eq(wished.objects()), "the batch leads to what the rules looked at");
        self.traces = batch.traces;
        self.check_invariants();
        Ok(outcome)
    }

    /// The code of the refusal; `ok` for none.
    pub(crate) fn code<T>(
        &mut self,
        decide: impl FnOnce(&mut Draft<'_>) -> Result<T, Error>,
    ) -> &'static str {
        self.run(decide).map_or_else(|error| error.code(), |_| "ok")
    }

    /// What the refusal names: the field of an `invalid` or `immutable`, else the code; `ok` for none.
    pub(crate) fn blame<T>(
        &mut self,
        decide: impl FnOnce(&mut Draft<'_>) -> Result<T, Error>,
    ) -> &'static str {
        match self.run(decide) {
            Ok(_) => "ok",
            Err(Error::Invalid { field, .. } | Error::Immutable { field, .. }) => field,
            Err(error) => error.code(),
        }
    }

    /// Goes on as a user of another project.
    pub(crate) fn as_other_project(&mut self) {
        self.caller = caller(2, Role::Member);
    }

    pub(crate) fn load_balancer(&mut self) -> Arc<LoadBalancer> {
        self.load_balancer_with(|_| {})
    }

    pub(crate) fn load_balancer_with(
        &mut self,
        adjust: impl FnOnce(&mut NewLoadBalancer),
    ) -> Arc<LoadBalancer> {
        let mut new = new_load_balancer();
        adjust(&mut new);
        self.run(|draft| load_balancer::create(draft, new)).unwrap()
    }

    /// A TCP listener.
    pub(crate) fn listener(&mut self, load_balancer: LoadBalancerId, port: u16) -> Arc<Listener> {
        self.run(|draft| listener::create(draft, new_listener(load_balancer, port))).unwrap()
    }

    /// A TCP pool for a load balancer.
    pub(crate) fn pool(&mut self, load_balancer: LoadBalancerId) -> Arc<Pool> {
        self.pool_with(|new| new.load_balancer = Some(load_balancer))
    }

    /// A TCP pool that any load balancer of [`NETWORK`] may use.
    pub(crate) fn shared_pool(&mut self) -> Arc<Pool> {
        self.pool_with(|new| (new.kind, new.network) = (PoolKind::Instance, Some(NETWORK)))
    }

    pub(crate) fn pool_with(&mut self, adjust: impl FnOnce(&mut NewPool)) -> Arc<Pool> {
        let mut new = new_pool();
        adjust(&mut new);
        self.run(|draft| pool::create(draft, new)).unwrap()
    }

    /// A listener with that pool.
    pub(crate) fn listener_to(&mut self, lb: LoadBalancerId, port: u16, pool: PoolId) -> Arc<Listener> {
        let new = NewListener { default_pool: Some(pool), ..new_listener(lb, port) };
        self.run(|draft| listener::create(draft, new)).unwrap()
    }

    pub(crate) fn member(&mut self, pool: PoolId, address: &str, port: u16) -> Arc<Member> {
        self.run(|draft| member::create(draft, pool, new_member(address, port))).unwrap()
    }

    pub(crate) fn monitor(&mut self, pool: PoolId) -> Arc<HealthMonitor> {
        self.run(|draft| health_monitor::create(draft, new_monitor(pool))).unwrap()
    }
}

pub(crate) fn caller(project: u128, role: Role) -> Caller {
    let id = Uuid::from_u128(project);
    Caller {
        user: UserId::new(id),
        user_name: "ada".to_owned(),
        domain: Domain { id: DomainId::new(id), name: "default".try_into().unwrap() },
        project: ProjectId::new(id),
        role,
        origin: Origin { request_id: "0".repeat(32), source_ip: None, api_version: "v3" },
    }
}

fn network(id: NetworkId, name: &str) -> Network {
    let cidr = "127.0.0.0/8".parse().unwrap();
    Network { id, name: name.try_into().unwrap(), cidr, created_at: Timestamp::default() }
}

/// A subnet whose gateway is its first address.
pub(crate) fn subnet(cidr: &str) -> Subnet {
    let cidr: ipnet::IpNet = cidr.parse().unwrap();
    Subnet {
        id: SubnetId::new(Uuid::from_u128(1)),
        network: NETWORK,
        name: "subnet".try_into().unwrap(),
        gateway: cidr.hosts().nth(usize::from(cidr.network().is_ipv6())).unwrap(),
        cidr,
        public: false,
        created_at: Timestamp::default(),
    }
}

/// A load balancer that does nothing but hold an address; its id follows from that.
pub(crate) fn load_balancer_at(address: IpAddr) -> LoadBalancer {
    let (bits, vip, vip_v6) = match address {
        IpAddr::V4(address) => {
            let vip = Vip { subnet: SUBNET, address, port_id: Uuid::nil() };
            (u128::from(address.to_bits()), Some(vip), None)
        }
        IpAddr::V6(address) => {
            let vip = Vip { subnet: SUBNET, address, port_id: Uuid::nil() };
            (address.to_bits(), None, Some(vip))
        }
    };
    LoadBalancer {
        id: LoadBalancerId::new(Uuid::from_u128(bits)),
        project: ProjectId::new(Uuid::from_u128(1)),
        name: Default::default(),
        description: Default::default(),
        admin_up: true,
        network: NETWORK,
        vip,
        vip_v6,
        zones: Vec::new(),
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
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}

pub(crate) fn tag(key: &str) -> Tag {
    Tag::new(key.to_owned(), String::new()).unwrap()
}

pub(crate) fn new_load_balancer() -> NewLoadBalancer {
    NewLoadBalancer {
        name: Default::default(),
        description: Default::default(),
        admin_up: true,
        network: None,
        vip_subnet: Some(SUBNET),
        vip_address: None,
        vip_v6_subnet: None,
        vip_v6_address: None,
        zones: vec!["a".to_owned()],
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

pub(crate) fn http() -> Service {
    Service::Http(HttpService {
        desync: Default::default(),
        request_timeout: HttpService::EXCHANGE_TIMEOUT_DEFAULT,
        response_timeout: HttpService::EXCHANGE_TIMEOUT_DEFAULT,
        member_retry: true,
        insert_headers: InsertHeaders::default(),
        gzip: false,
        http2: false,
        enhanced_policies: false,
    })
}

/// TCP.
pub(crate) fn new_listener(load_balancer: LoadBalancerId, port: u16) -> NewListener {
    NewListener {
        access: None,
        load_balancer,
        name: Default::default(),
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

/// TCP, and nothing that it is for.
pub(crate) fn new_pool() -> NewPool {
    NewPool {
        name: Default::default(),
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
        load_balancer: None,
        listener: None,
        protection: Protection::None,
        enterprise_project: None,
    }
}

/// A member of [`SUBNET`].
pub(crate) fn new_member(address: &str, port: u16) -> NewMember {
    NewMember {
        name: Default::default(),
        address: address.parse().unwrap(),
        port: Some(Port::of(port)),
        weight: Weight::of(1),
        subnet: Some(SUBNET),
        zone: None,
        admin_up: true,
    }
}

pub(crate) fn new_monitor(pool: PoolId) -> NewHealthMonitor {
    NewHealthMonitor { pool, name: Default::default(), admin_up: true, probe: probe(None) }
}

pub(crate) fn probe(port: Option<u16>) -> ProbeSettings {
    ProbeSettings {
        kind: MonitorType::Tcp,
        interval: ProbeInterval::of(5),
        timeout: ProbeTimeout::of(3),
        rise: ProbeThreshold::of(3),
        fall: ProbeThreshold::of(3),
        port: port.map(Port::of),
        datagram: None,
        http: HttpProbe {
            method: ProbeMethod::Get,
            path: ProbePath::root(),
            host: None,
            expected: ExpectedStatuses::ok(),
        },
    }
}
