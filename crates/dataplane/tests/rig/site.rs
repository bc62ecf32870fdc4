//! Plans from snapshots, for what only a compilation makes: routers.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "each test file uses its part"
)]

use std::{net::SocketAddr, sync::Arc};

use model::{
    Action, Compare, Port, RuleSubject, SubnetId, Weight,
    load_balancer::Vip,
    policy::{Extras, Forward, WeightedPool},
};
use plan::Plan;
use uuid::Uuid;

use crate::{
    objects::{Objects, enhanced, pool_id},
    rig::Rig,
};

/// A snapshot with one HTTP listener, number 1, on an address of this machine.
pub struct Site {
    pub objects: Objects,
    pub address: SocketAddr,
    next: u64,
}

impl Site {
    /// Before these members, which are pool 1, the default; with priorities of policies.
    pub fn new(address: SocketAddr, members: &[SocketAddr]) -> Self {
        let mut objects = Objects::default();
        objects.load_balancer(1, |load_balancer| {
            load_balancer.vip = Some(Vip {
                subnet: SubnetId::new(Uuid::nil()),
                address: match address {
                    SocketAddr::V4(v4) => *v4.ip(),
                    SocketAddr::V6(_) => panic!("tests have IPv4 addresses"),
                },
                port_id: Uuid::nil(),
            });
        });
        objects.listener(1, 1, Some(1), |listener| {
            listener.ports = Port::of(address.port()).into();
            listener.service = enhanced();
        });
        let mut site = Self { objects, address, next: 1 };
        site.pool(1, members);
        site
    }

    /// A pool with these members, of weight 1.
    pub fn pool(&mut self, pool: u64, members: &[SocketAddr]) {
        self.objects.pool(pool, |_| ());
        for member in members {
            self.next += 1;
            self.objects.member(self.next, pool, |it| {
                it.address = member.ip();
                it.port = Some(Port::of(member.port()));
            });
        }
    }

    /// A policy for a path.
    pub fn policy(&mut self, policy: u64, path: &str, action: Action) {
        self.objects.policy(policy, 1, |it| it.action = action);
        self.objects.rule(policy, policy, RuleSubject::Path, Compare::Equal, path);
    }

    /// Puts it in force.
    pub fn apply(&self, rig: &Rig) {
        let plan = plan::compile(&self.objects.snapshot, None);
        assert_eq!(rig.apply_plan(plan), dataplane::Applied::default());
    }

    /// A data plane of one worker with it in force.
    pub fn serve(&self) -> Rig {
        let rig = Rig::with_workers(1);
        self.apply(&rig);
        rig
    }
}

/// To these pools, with their shares.
pub fn to_pools(pools: &[(u64, u16)], extras: Extras) -> Action {
    let weighted =
        |&(pool, weight): &(u64, u16)| WeightedPool { pool: pool_id(pool), weight: Weight::of(weight) };
    Action::Forward(Forward { pools: pools.iter().map(weighted).collect(), extras, ..Forward::default() })
}

impl Rig {
    /// Puts a compiled plan in force.
    pub fn apply_plan(&self, plan: Plan) -> dataplane::Applied {
        self.runtime.block_on(self.dataplane.apply(Arc::new(plan)))
    }
}
