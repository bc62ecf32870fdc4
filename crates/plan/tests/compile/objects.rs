//! Small snapshots, object by object. Numbers become ids whose first digits tell the kind.
#![allow(dead_code, reason = "each user of this file needs a part of it")]

use std::net::{IpAddr, Ipv4Addr};

use model::{
    Algorithm, ConnectTimeout, HealthMonitor, HealthMonitorId, IdleTimeout, Kind, Listener, ListenerId,
    LoadBalancer, LoadBalancerId, Member, MemberId, MonitorType, NetworkId, Object, ObjectKey, Pool, PoolId,
    PoolProtocol, Port, ProbeInterval, ProbeThreshold, ProbeTimeout, ProjectId, Snapshot, SubnetId,
    Timestamp, Weight,
    health_monitor::{ExpectedStatuses, HttpProbe, ProbeMethod, ProbePath},
    listener::{HttpService, InsertHeaders, Service},
    load_balancer::{Protection, Vip, WafFailure},
    pool::{IpVersion, PoolKind},
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
            port: Port::of(8000 + (n % 1000) as u16),
            service: Service::Http(HttpService {
                desync: Default::default(),
                request_timeout: HttpService::EXCHANGE_TIMEOUT_DEFAULT,
                response_timeout: HttpService::EXCHANGE_TIMEOUT_DEFAULT,
                member_retry: true,
                insert_headers: InsertHeaders::default(),
                gzip: false,
                http2: false,
                enhanced_policies: false,
            }),
            default_pool: pool.map(pool_id),
            target: Default::default(),
            idle_timeout: IdleTimeout::of(60),
            connect_timeout: ConnectTimeout::of(5),
            transparent_client_ip: false,
            connections_max: 0,
            connections_per_second_max: 0,
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
    fn remove(&mut self, kind: Kind, id: String) {
        self.snapshot.remove(&ObjectKey { kind, id });
    }

    /// The objects of one kind, for a look at what there is.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = Object> {
        self.snapshot.objects().filter(move |object| object.kind() == kind)
    }
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

fn project() -> ProjectId {
    ProjectId::new(uuid(0x9, 1))
}
fn vip(n: u64) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x7f58_0000 + n as u32)
}
fn uuid(kind: u8, n: u64) -> Uuid {
    Uuid::from_u128(u128::from(kind) << 124 | u128::from(n))
}
