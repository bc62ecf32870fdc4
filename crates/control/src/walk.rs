//! A random walk over all verbs: whatever is asked for in whatever order, what must always hold holds ([`World::run`] looks after
//! each command). A failure prints the shortest walk that proptest finds.

mod layer4;
mod layer7;

use model::{
    HealthMonitorPatch, ListenerPatch, LoadBalancerPatch, MemberPatch, NewHealthMonitor, NewListener,
    NewLoadBalancer, NewMember, NewPool, Patch, PoolPatch, PoolProtocol, Port, QuotaKey, pool::PoolKind,
};
use proptest::prelude::*;

use crate::{
    Cascade, CascadePools, MemberRef, health_monitor, listener, load_balancer,
    member::{self, batch},
    pool,
    testing::{
        NETWORK, OTHER_NETWORK, OTHER_SUBNET, PUBLIC_SUBNET, SECOND_SUBNET, SUBNET, SUBNET_V6, World,
        new_listener, new_load_balancer, new_member, new_monitor, new_pool, probe,
    },
};

/// One step: what to do, and four numbers that choose with what.
type Step = (u8, u8, u8, u8, u8);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_walk_leads_to_a_state_that_must_not_be(
        furnished in any::<bool>(),
        steps in prop::collection::vec(any::<Step>(), 1..120),
    ) {
        let mut world = World::new();
        // Small limits, so that walks meet them.
        world.site.quotas.extend([
            (QuotaKey::MembersPerPool, 3),
            (QuotaKey::ListenersPerPool, 3),
            (QuotaKey::IpgroupBindings, 2),
            (QuotaKey::IpgroupMaxLength, 4),
            (QuotaKey::ConditionPerPolicy, 3),
            (QuotaKey::L7policiesPerListener, 4),
        ]);
        if furnished {
            layer7::furnish(&mut world);
        }
        for step in steps {
            let take = one_of(&[take, layer4::take, layer7::take], step.0);
            take(&mut world, (step.0 / 3, step.1, step.2, step.3, step.4));
        }
    }
}

/// The n-th of some things, if there are any.
fn nth<T: Clone>(things: impl Iterator<Item = T>, n: u8) -> Option<T> {
    let all: Vec<T> = things.collect();
    (!all.is_empty()).then(|| all[usize::from(n) % all.len()].clone())
}

fn one_of<T: Copy>(things: &[T], n: u8) -> T {
    things[usize::from(n) % things.len()]
}

/// Does a step; one that has nothing to work on does nothing. Refusals are as good as anything.
fn take(world: &mut World, (what, a, b, c, d): Step) {
    let state = world.state.clone();
    let lb = nth(state.load_balancers().keys().copied(), a);
    let listener = nth(state.listeners().keys().copied(), a);
    let a_pool = nth(state.pools().keys().copied(), b);
    let a_member = nth(state.members().values().cloned(), c);
    let monitor = nth(state.health_monitors().keys().copied(), a);
    let subnets = [SUBNET, SECOND_SUBNET, OTHER_SUBNET, PUBLIC_SUBNET, SUBNET_V6];
    let port = 80 + u16::from(c % 3);
    let kind = one_of(&[PoolKind::Any, PoolKind::Instance, PoolKind::Ip], c);
    let network = one_of(&[None, Some(NETWORK), Some(OTHER_NETWORK)], d);
    let address = format!("127.{}.1.{}", one_of(&[88, 89, 77], c), d % 4);
    let new_one = NewMember {
        subnet: nth(subnets.into_iter().map(Some).chain([None, None]), a).flatten(),
        ..new_member(&address, port)
    };
    let patch_kind = PoolPatch {
        kind: (a % 2 == 0).then_some(kind),
        network,
        any_port: (c % 4 == 0).then_some(d % 2 == 0),
        member_deletion_protection: (d % 5 == 0).then_some(c % 2 == 0),
        ..PoolPatch::default()
    };
    let cascade = Cascade { pools: one_of(&[CascadePools::Delete, CascadePools::Unbind], d) };
    let to_port =
        (a_member.as_ref().map(|m| m.id), MemberPatch { port: Some(Port::of(port)), ..Default::default() });
    match (what % 22, lb, listener, a_pool, a_member, monitor) {
        (0 | 1, ..) => {
            let new = NewLoadBalancer {
                vip_subnet: Some(one_of(&subnets, b % 3)),
                vip_address: (c % 3 == 0).then(|| [127, one_of(&[88, 89, 77], b), 0, 2 + d % 3].into()),
                vip_v6_subnet: (d % 3 == 0).then_some(SUBNET_V6),
                ip_targets: a % 2 == 0,
                ..new_load_balancer()
            };
            let _ = world.run(|draft| load_balancer::create(draft, new));
        }
        (2, Some(lb), ..) => {
            let patch = LoadBalancerPatch {
                vip_subnet: nth([Patch::Keep, Patch::Clear].into_iter().chain(subnets.map(Patch::Set)), b)
                    .unwrap_or_default(),
                vip_address: (c % 2 == 0).then(|| [127, one_of(&[88, 89], b), 0, 2 + d % 3].into()),
                vip_v6_subnet: nth([Patch::Keep, Patch::Clear, Patch::Set(SUBNET_V6)].into_iter(), c)
                    .unwrap_or_default(),
                ip_targets: (d % 3 == 0).then_some(true),
                ..LoadBalancerPatch::default()
            };
            let _ = world.run(|draft| load_balancer::update(draft, lb, patch));
        }
        (3, Some(lb), ..) => drop(world.run(|draft| load_balancer::delete(draft, lb))),
        // Not too often, or nothing ever stands long enough.
        (4, Some(lb), ..) if b % 4 == 0 => {
            drop(world.run(|draft| load_balancer::delete_cascade(draft, lb, cascade)))
        }
        (5 | 6, Some(lb), _, pool, ..) => {
            let new = NewListener { default_pool: pool.filter(|_| d % 2 == 0), ..new_listener(lb, port) };
            let _ = world.run(|draft| listener::create(draft, new));
        }
        (7, _, Some(listener), Some(pool), ..) => {
            let default_pool = one_of(&[0, 1], d);
            let patch = ListenerPatch {
                default_pool: if default_pool == 0 { Patch::Clear } else { Patch::Set(pool) },
                ..ListenerPatch::default()
            };
            let _ = world.run(|draft| listener::update(draft, listener, patch));
        }
        (8, _, Some(listener), ..) => drop(world.run(|draft| listener::delete(draft, listener))),
        (9, _, Some(listener), ..) => drop(world.run(|draft| listener::delete_force(draft, listener))),
        (10 | 11, lb, listener, ..) => {
            let new = NewPool {
                load_balancer: lb.filter(|_| c % 2 == 0),
                listener: listener.filter(|_| d % 3 == 0),
                any_port: b % 4 == 0,
                protocol: one_of(&[PoolProtocol::Tcp, PoolProtocol::Http, PoolProtocol::Grpc], d / 3),
                kind,
                network,
                ..new_pool()
            };
            let _ = world.run(|draft| pool::create(draft, new));
        }
        (12, _, _, Some(pool), ..) => drop(world.run(|draft| pool::update(draft, pool, patch_kind))),
        (13, _, _, Some(pool), ..) => drop(world.run(|draft| pool::delete(draft, pool))),
        (14, _, _, Some(pool), ..) => drop(world.run(|draft| pool::delete_cascade(draft, pool))),
        (15 | 16, _, _, Some(pool), ..) => drop(world.run(|draft| member::create(draft, pool, new_one))),
        (17, _, _, Some(pool), ..) => {
            let more = NewMember { port: Some(Port::of(443)), ..new_one.clone() };
            let _ = world.run(|draft| batch::create_batch(draft, pool, &[new_one.clone(), more, new_one]));
        }
        (18, _, _, _, Some(member), _) => {
            let other = MemberPatch { port: Some(Port::of(7)), ..Default::default() };
            if let (Some(id), patch) = to_port {
                let patches = [(id, patch.clone()), (id, other), (id, patch)];
                let _ = world.run(|draft| batch::update_batch(draft, member.pool, &patches));
            }
        }
        (19, _, _, _, Some(member), _) => {
            let wishes = [MemberRef::Address(member.address, member.port), MemberRef::Id(member.id)];
            let _ = world.run(|draft| batch::delete_batch(draft, member.pool, &wishes));
        }
        (20, _, _, Some(pool), ..) => {
            let new = NewHealthMonitor { probe: probe((d % 2 == 0).then_some(81)), ..new_monitor(pool) };
            let _ = world.run(|draft| health_monitor::create(draft, new));
        }
        (21, .., Some(monitor)) => {
            let port = one_of(&[0, 1], d);
            let patch = HealthMonitorPatch {
                port: if port == 0 { Patch::Clear } else { Patch::Set(Port::of(82)) },
                ..HealthMonitorPatch::default()
            };
            let _ = if c % 2 == 0 {
                world.run(|draft| health_monitor::delete(draft, monitor))
            } else {
                world.run(|draft| health_monitor::update(draft, monitor, patch)).map(drop)
            };
        }
        _ => {}
    }
}
