//! The rules of pools, row by row.

mod settings;

use model::{
    Algorithm, CertificateId, DrainTimeout, ListenerId, LoadBalancerId, MemberTls, NetworkId, NewListener,
    OutlierDetection, SlowStartDuration,
    load_balancer::Protection,
    pool::{Drain, IpVersion, SlowStart},
    range::{EjectionTime, FailureRow},
};

use super::*;
use crate::{
    certificate, health_monitor,
    testing::{NETWORK, OTHER_NETWORK, World, http, new_listener, new_member, new_monitor, new_pool, probe},
};

const SLOW_START: SlowStart = SlowStart { enabled: true, duration: SlowStartDuration::of(30) };

fn minutes(minutes: u32) -> StickyMinutes {
    StickyMinutes::of(minutes)
}

fn cookie() -> Stickiness {
    Stickiness::AppCookie { name: "session".to_owned() }
}

#[test]
fn a_create_is_held_to_its_rules() {
    type Adjust = fn(&mut NewPool, LoadBalancerId);
    for (why, adjust, expect) in [
        ("for a load balancer", (|new, lb| new.load_balancer = Some(lb)) as Adjust, "ok"),
        ("for nothing", |_, _| {}, "type"),
        ("bare addresses", |new, _| new.kind = PoolKind::Ip, "ok"),
        (
            "bare addresses in a network",
            |new, _| (new.kind, new.network) = (PoolKind::Ip, Some(NETWORK)),
            "vpc_id",
        ),
        ("servers of no network", |new, _| new.kind = PoolKind::Instance, "vpc_id"),
        (
            "servers of a network",
            |new, _| (new.kind, new.network) = (PoolKind::Instance, Some(NETWORK)),
            "ok",
        ),
        (
            "of a network that is not there",
            |new, _| (new.kind, new.network) = (PoolKind::Instance, Some(NetworkId::new(Uuid::nil()))),
            "not_found",
        ),
        (
            "of another network than the load balancer",
            |new, lb| (new.load_balancer, new.network) = (Some(lb), Some(OTHER_NETWORK)),
            "vpc_id",
        ),
        (
            "for a load balancer that is not there",
            |new, _| new.load_balancer = Some(LoadBalancerId::new(Uuid::nil())),
            "not_found",
        ),
        (
            "for a listener that is not there",
            |new, _| new.listener = Some(ListenerId::new(Uuid::nil())),
            "not_found",
        ),
        ("any port, TCP", |new, lb| (new.load_balancer, new.any_port) = (Some(lb), true), "ok"),
        (
            "any port, HTTP",
            |new, lb| {
                (new.load_balancer, new.any_port) = (Some(lb), true);
                new.protocol = PoolProtocol::Http;
            },
            "any_port_enable",
        ),
        (
            "slow start, HTTP",
            |new, lb| {
                (new.load_balancer, new.slow_start) = (Some(lb), Some(SLOW_START));
                new.protocol = PoolProtocol::Http;
            },
            "ok",
        ),
        (
            "slow start, TCP",
            |new, lb| (new.load_balancer, new.slow_start) = (Some(lb), Some(SLOW_START)),
            "slow_start",
        ),
        (
            "a reason with markup",
            |new, lb| {
                new.load_balancer = Some(lb);
                new.protection = Protection::Console { reason: "<".try_into().unwrap() };
            },
            "protection_reason",
        ),
    ] {
        let mut world = World::new();
        let lb = world.load_balancer().id;
        let mut new = new_pool();
        adjust(&mut new, lb);
        assert_eq!(world.blame(|draft| create(draft, new)), expect, "{why}");
    }
}

#[test]
fn for_a_listener_it_becomes_the_default_pool_if_there_is_none() {
    let mut world = World::new();
    let (lb, other) = (world.load_balancer().id, world.load_balancer().id);
    let (tcp, over_http) = (
        world.listener(lb, 80).id,
        world
            .run(|draft| listener::create(draft, NewListener { service: http(), ..new_listener(lb, 81) }))
            .unwrap()
            .id,
    );
    for (why, listener, lb, expect) in [
        ("of another protocol", over_http, None, "default_pool_id"),
        ("of another load balancer", tcp, Some(other), "listener_id"),
        ("of its load balancer", tcp, Some(lb), "ok"),
        ("which has a pool now", tcp, None, "in_use"),
    ] {
        let new = NewPool { listener: Some(listener), load_balancer: lb, ..new_pool() };
        assert_eq!(world.blame(|draft| create(draft, new)), expect, "{why}");
    }
    let made = world.state.listener(tcp).unwrap().default_pool.unwrap();
    assert_eq!(world.state.pool(made).unwrap().load_balancer, Some(lb));
    assert_eq!(world.state.pools().len(), 1);
}

#[test]
fn an_update_changes_what_was_said_and_nothing_else() {
    let mut world = World::new();
    let before = world.pool_with(|new| {
        (new.kind, new.network) = (PoolKind::Instance, Some(NETWORK));
        new.stickiness = Some(Stickiness::SourceIp { minutes: minutes(7) });
        new.ip_version = IpVersion::V4;
    });
    let patch = PoolPatch {
        algorithm: Some(Algorithm::LeastConnections),
        all_down_forward: Some(true),
        ..PoolPatch::default()
    };
    let after = world.run(|draft| update(draft, before.id, patch)).unwrap();
    let expect = Pool {
        algorithm: Algorithm::LeastConnections,
        all_down_forward: true,
        updated_at: after.updated_at,
        ..Pool::clone(&before)
    };
    assert_eq!(*after, expect);
    assert!(after.updated_at > before.updated_at);
}

#[test]
fn a_delete_needs_members_and_monitor_gone_and_clears_the_listeners_default() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let id = world.pool(lb).id;
    let listener = world.listener_to(lb, 80, id).id;
    let (member, monitor) = (world.member(id, "127.88.1.1", 80).id, world.monitor(id).id);
    assert_eq!(world.code(|draft| delete(draft, id)), "in_use", "member and monitor");
    world.run(|draft| member::delete(draft, id, member)).unwrap();
    assert_eq!(world.code(|draft| delete(draft, id)), "in_use", "a monitor");
    world.run(|draft| health_monitor::delete(draft, monitor)).unwrap();
    assert_eq!(world.code(|draft| delete(draft, id)), "ok");
    assert_eq!(world.state.listener(listener).unwrap().default_pool, None);
    assert_eq!(world.code(|draft| delete(draft, id)), "not_found", "a second time");
}

#[test]
fn a_cascade_takes_members_and_monitor_unless_members_are_protected() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let id = world.pool(lb).id;
    let listener = world.listener_to(lb, 80, id).id;
    world.member(id, "127.88.1.1", 80);
    world.monitor(id);
    let protect = |on| PoolPatch { member_deletion_protection: Some(on), ..Default::default() };
    world.run(|draft| update(draft, id, protect(true))).unwrap();
    assert_eq!(world.code(|draft| delete_cascade(draft, id)), "member_protected");
    world.run(|draft| update(draft, id, protect(false))).unwrap();
    world.run(|draft| delete_cascade(draft, id)).unwrap();
    assert_eq!((world.state.members().len(), world.state.health_monitors().len()), (0, 0));
    assert_eq!(world.state.listener(listener).unwrap().default_pool, None);
}

#[test]
fn a_batch_deletes_all_that_are_there_or_nothing() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let (one, two, busy) = (world.pool(lb).id, world.pool(lb).id, world.pool(lb).id);
    let nobody = PoolId::new(Uuid::nil());
    world.member(busy, "127.88.1.1", 80);
    assert_eq!(world.code(|draft| delete_batch(draft, &[one, busy])), "in_use");
    assert_eq!(world.state.pools().len(), 3, "nothing changed");
    let outcomes = world.run(|draft| delete_batch(draft, &[one, nobody, two, one])).unwrap();
    let expect = [
        (one, BatchOutcome::Done),
        (nobody, BatchOutcome::NotFound),
        (two, BatchOutcome::Done),
        (one, BatchOutcome::NotFound),
    ];
    assert_eq!(outcomes, expect);
    assert_eq!(world.blame(|draft| delete_batch(draft, &[nobody; 201])), "pools");
    assert_eq!(world.blame(|draft| delete_batch(draft, &[nobody; 200])), "ok");
}

#[test]
fn another_projects_pool_is_not_there() {
    let mut world = World::new();
    let id = world.shared_pool().id;
    world.as_other_project();
    assert_eq!(world.code(|draft| update(draft, id, PoolPatch::default())), "not_found");
    assert_eq!(world.code(|draft| delete(draft, id)), "not_found");
    assert_eq!(world.code(|draft| delete_cascade(draft, id)), "not_found");
    let outcome = world.run(|draft| delete_batch(draft, &[id])).unwrap();
    assert_eq!(outcome, [(id, BatchOutcome::NotFound)]);
    assert_eq!(world.code(|draft| health_monitor::create(draft, new_monitor(id))), "not_found");
    assert_eq!(world.code(|draft| member::create(draft, id, new_member("127.88.1.1", 80))), "not_found");
}

#[test]
fn pools_count_towards_their_quota() {
    let mut world = World::new();
    world.site.quotas.insert(QuotaKey::Pool, 1);
    let lb = world.load_balancer().id;
    world.pool(lb);
    let new = NewPool { load_balancer: Some(lb), ..new_pool() };
    assert_eq!(world.code(|draft| create(draft, new)), "quota_exceeded");
}
