//! The rules of listeners, row by row.

use model::{
    Description, ExchangeTimeout, IdleTimeout, MemberPatch, NewPool, Port, Transport,
    listener::InsertHeadersPatch,
    load_balancer::{Protection, ProtectionPatch},
    pool::PoolKind,
};

use super::*;
use crate::{
    member, pool,
    testing::{
        NETWORK, OTHER_NETWORK, World, http, new_listener, new_load_balancer, new_member, new_pool, tag,
    },
};

const NOBODY: PoolId = PoolId::new(Uuid::from_u128(0xdead));

#[test]
fn a_create_is_held_to_its_rules() {
    type Adjust = fn(&mut NewListener);
    for (why, adjust, expect) in [
        ("TCP", (|_| {}) as Adjust, "ok"),
        ("HTTP", |new| new.service = http(), "ok"),
        ("TCP idle for 10 s", |new| new.idle_timeout = IdleTimeout::of(10), "ok"),
        ("TCP idle for 9 s", |new| new.idle_timeout = IdleTimeout::of(9), "keepalive_timeout"),
        ("TCP idle for 4000 s", |new| new.idle_timeout = IdleTimeout::MAX, "ok"),
        ("HTTP never kept", |new| (new.service, new.idle_timeout) = (http(), IdleTimeout::of(0)), "ok"),
        (
            "a load balancer that is not there",
            |new| new.load_balancer = LoadBalancerId::new(Uuid::nil()),
            "not_found",
        ),
        ("a pool that is not there", |new| new.default_pool = Some(NOBODY), "not_found"),
        ("twenty tags", |new| new.tags = (0..20).map(|n| tag(&n.to_string())).collect(), "ok"),
        ("a key twice", |new| new.tags = vec![tag("k"), tag("k")], "tags"),
        (
            "a reason with markup",
            |new| new.protection = Protection::Console { reason: ">".try_into().unwrap() },
            "protection_reason",
        ),
    ] {
        let mut world = World::new();
        let mut new = new_listener(world.load_balancer().id, 80);
        adjust(&mut new);
        assert_eq!(world.blame(|draft| create(draft, new)), expect, "{why}");
    }
}

#[test]
fn a_port_is_one_listeners_per_load_balancer_whatever_it_speaks() {
    let mut world = World::new();
    let (lb, other) = (world.load_balancer(), world.load_balancer());
    let first = world.listener(lb.id, 80);
    let twin = NewListener { service: http(), ..new_listener(lb.id, 80) };
    match world.run(|draft| create(draft, twin)) {
        Err(Error::PortTaken { port, transport, holder }) => {
            assert_eq!((port, transport, holder), (Port::of(80), Transport::Tcp, first.id));
        }
        other => panic!("{other:?}"),
    }
    world.listener(lb.id, 81);
    world.listener(other.id, 80);
    world.run(|draft| delete(draft, first.id)).unwrap();
    world.listener(lb.id, 80);
}

#[test]
fn a_layer_needs_its_flavor() {
    use model::{FlavorLayer, flavor::site_default};
    for (layer, tcp, over_http) in [(FlavorLayer::L4, "ok", "protocol"), (FlavorLayer::L7, "protocol", "ok")]
    {
        let mut world = World::new();
        let lb = world.load_balancer_with(|new| match layer {
            FlavorLayer::L4 => new.l4_flavor = Some(site_default(layer).id),
            FlavorLayer::L7 => new.l7_flavor = Some(site_default(layer).id),
        });
        assert_eq!(world.blame(|draft| create(draft, new_listener(lb.id, 80))), tcp, "{layer:?}");
        let new = NewListener { service: http(), ..new_listener(lb.id, 81) };
        assert_eq!(world.blame(|draft| create(draft, new)), over_http, "{layer:?}");
    }
}

#[test]
fn a_default_pool_must_fit() {
    type Adjust = fn(&mut NewPool);
    for (why, adjust, tcp, over_http) in [
        ("TCP goes to TCP", (|_| {}) as Adjust, "ok", "default_pool_id"),
        ("HTTP goes to HTTP", |new| new.protocol = PoolProtocol::Http, "default_pool_id", "ok"),
        ("the same network", |new| new.network = Some(NETWORK), "ok", "default_pool_id"),
        ("another network", |new| new.network = Some(OTHER_NETWORK), "default_pool_id", "default_pool_id"),
    ] {
        for (service, expect) in [(Service::Tcp, tcp), (http(), over_http)] {
            let mut world = World::new();
            let lb = world.load_balancer();
            let pool = world.pool_with(|new| {
                new.kind = PoolKind::Ip;
                adjust(new);
                if new.network.is_some() {
                    new.kind = PoolKind::Instance;
                }
            });
            let new = NewListener { service, default_pool: Some(pool.id), ..new_listener(lb.id, 80) };
            assert_eq!(world.blame(|draft| create(draft, new.clone())), expect, "{why}, at creation");
            let later = world.run(|draft| {
                create(draft, NewListener { default_pool: None, ports: Port::of(81).into(), ..new })
            });
            let id = later.unwrap().id;
            let patch = ListenerPatch { default_pool: Patch::Set(pool.id), ..Default::default() };
            assert_eq!(world.blame(|draft| update(draft, id, patch)), expect, "{why}, later");
        }
    }
}

#[test]
fn a_pool_of_another_project_does_not_exist() {
    let mut world = World::new();
    let pool = world.shared_pool().id;
    world.as_other_project();
    let lb = world.load_balancer().id;
    let new = NewListener { default_pool: Some(pool), ..new_listener(lb, 80) };
    assert_eq!(world.code(|draft| create(draft, new)), "not_found");
    let id = world.listener(lb, 80).id;
    let patch = ListenerPatch { default_pool: Patch::Set(pool), ..Default::default() };
    assert_eq!(world.code(|draft| update(draft, id, patch)), "not_found");
}

#[test]
fn a_pool_without_a_type_serves_one_load_balancer_and_one_with_a_type_any_number() {
    let mut world = World::new();
    let (lb, other) = (world.load_balancer(), world.load_balancer());
    let (old_way, shared) = (world.pool(lb.id), world.shared_pool());
    for (port, pool, on_other) in [(80, &old_way, "in_use"), (81, &shared, "ok")] {
        world.listener_to(lb.id, port, pool.id);
        world.listener_to(lb.id, port + 100, pool.id);
        let new = NewListener { default_pool: Some(pool.id), ..new_listener(other.id, port) };
        assert_eq!(world.code(|draft| create(draft, new)), on_other);
    }
    let typed = model::PoolPatch {
        kind: Some(PoolKind::Instance),
        network: Some(NETWORK),
        ..model::PoolPatch::default()
    };
    world.run(|draft| pool::update(draft, old_way.id, typed)).unwrap();
    world.listener_to(other.id, 80, old_way.id);
}

#[test]
fn bare_members_need_a_load_balancer_that_takes_them() {
    let mut world = World::new();
    let (plain, open) = (world.load_balancer(), world.load_balancer_with(|new| new.ip_targets = true));
    let pool = world.pool_with(|new| new.kind = PoolKind::Ip);
    let bare = model::NewMember { subnet: None, ..new_member("10.1.2.3", 80) };
    world.run(|draft| member::create(draft, pool.id, bare)).unwrap();
    for (lb, expect) in [(plain.id, "ip_targets_off"), (open.id, "ok")] {
        let new = NewListener { default_pool: Some(pool.id), ..new_listener(lb, 80) };
        assert_eq!(world.code(|draft| create(draft, new)), expect);
    }
}

#[test]
fn a_pool_serves_as_many_listeners_as_the_quota_says() {
    let mut world = World::new();
    world.site.quotas.insert(QuotaKey::ListenersPerPool, 2);
    let lb = world.load_balancer().id;
    let pool = world.pool(lb).id;
    let listener = world.listener_to(lb, 80, pool);
    world.listener_to(lb, 81, pool);
    let third = NewListener { default_pool: Some(pool), ..new_listener(lb, 82) };
    assert_eq!(world.code(|draft| create(draft, third)), "quota_exceeded");
    let again = ListenerPatch { default_pool: Patch::Set(pool), ..Default::default() };
    assert_eq!(world.code(|draft| update(draft, listener.id, again)), "ok", "it has that pool already");
}

#[test]
fn listeners_count_towards_the_project_and_not_the_load_balancer() {
    let mut world = World::new();
    world.site.quotas.insert(QuotaKey::ListenersPerLoadbalancer, 0);
    world.site.quotas.insert(QuotaKey::Listener, 1);
    let (lb, other) = (world.load_balancer().id, world.load_balancer().id);
    world.listener(lb, 80);
    assert_eq!(world.code(|draft| create(draft, new_listener(other, 80))), "quota_exceeded");
}

#[test]
fn an_update_is_held_to_the_protocols_settings() {
    type Change = fn(&mut ListenerPatch);
    for (why, change, tcp, over_http) in [
        ("nothing said", (|_| {}) as Change, "ok", "ok"),
        (
            "the request timeout",
            |patch| patch.request_timeout = Some(ExchangeTimeout::of(1)),
            "client_timeout",
            "ok",
        ),
        (
            "the response timeout",
            |patch| patch.response_timeout = Some(ExchangeTimeout::of(300)),
            "member_timeout",
            "ok",
        ),
        ("retries on", |patch| patch.member_retry = Some(true), "enable_member_retry", "ok"),
        ("retries off", |patch| patch.member_retry = Some(false), "ok", "ok"),
        (
            "headers",
            |patch| patch.insert_headers = Some(InsertHeadersPatch::default()),
            "insert_headers",
            "ok",
        ),
        ("compression", |patch| patch.gzip = Some(true), "gzip_enable", "ok"),
        ("wide policies", |patch| patch.enhanced_policies = Some(true), "enhance_l7policy_enable", "ok"),
        ("idle for 9 s", |patch| patch.idle_timeout = Some(IdleTimeout::of(9)), "keepalive_timeout", "ok"),
        ("a name", |patch| patch.name = Some("x".try_into().unwrap()), "ok", "ok"),
        (
            "a reason alone",
            |patch| patch.protection.reason = Some("why".try_into().unwrap()),
            "protection_reason",
            "protection_reason",
        ),
        (
            "protection with a reason",
            |patch| {
                let reason = Some(Description::try_from("why").unwrap());
                patch.protection = ProtectionPatch { console: Some(true), reason };
            },
            "ok",
            "ok",
        ),
    ] {
        for (service, expect) in [(Service::Tcp, tcp), (http(), over_http)] {
            let mut world = World::new();
            let lb = world.load_balancer().id;
            let new = NewListener { service, ..new_listener(lb, 80) };
            let id = world.run(|draft| create(draft, new)).unwrap().id;
            let mut patch = ListenerPatch::default();
            change(&mut patch);
            assert_eq!(world.blame(|draft| update(draft, id, patch)), expect, "{why}");
        }
    }
}

#[test]
fn an_update_changes_what_was_said_and_nothing_else() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let new = NewListener { service: http(), ..new_listener(lb, 80) };
    let before = world.run(|draft| create(draft, new)).unwrap();
    let headers = InsertHeadersPatch { elb_id: Some(true), ..InsertHeadersPatch::default() };
    let patch = ListenerPatch {
        response_timeout: Some(ExchangeTimeout::of(7)),
        insert_headers: Some(headers),
        connections_max: Some(9),
        ..ListenerPatch::default()
    };
    let after = world.run(|draft| update(draft, before.id, patch)).unwrap();
    let mut expect = Listener::clone(&before);
    expect.connections_max = 9;
    expect.updated_at = after.updated_at;
    if let Service::Http(http) = &mut expect.service {
        http.response_timeout = ExchangeTimeout::of(7);
        http.insert_headers.elb_id = true;
    }
    assert_eq!(*after, expect);
    assert!(after.updated_at > before.updated_at);
}

#[test]
fn wide_policies_are_never_switched_off_again() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let new = NewListener { service: http(), ..new_listener(lb, 80) };
    let id = world.run(|draft| create(draft, new)).unwrap().id;
    for (say, expect) in [(false, "ok"), (true, "ok"), (true, "ok"), (false, "immutable")] {
        let patch = ListenerPatch { enhanced_policies: Some(say), ..Default::default() };
        assert_eq!(world.code(|draft| update(draft, id, patch)), expect, "{say}");
    }
}

#[test]
fn a_delete_is_refused_while_the_pool_has_members_and_leaves_the_pool() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let pool = world.pool(lb).id;
    let listener = world.listener_to(lb, 80, pool).id;
    let member = world.member(pool, "127.88.1.1", 80).id;
    world.monitor(pool);
    assert_eq!(world.code(|draft| delete(draft, listener)), "in_use");
    world.run(|draft| member::delete(draft, pool, member)).unwrap();
    world.run(|draft| delete(draft, listener)).unwrap();
    assert!(world.state.pool(pool).is_some() && world.state.monitor_of(pool).is_some());
    assert_eq!(world.code(|draft| delete(draft, listener)), "not_found", "a second time");
}

#[test]
fn a_forced_delete_leaves_the_pool_with_its_members_unless_they_are_protected() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    for (protected, expect) in [(false, "ok"), (true, "member_protected")] {
        let new = NewPool { load_balancer: Some(lb), member_deletion_protection: protected, ..new_pool() };
        let pool = world.run(|draft| pool::create(draft, new)).unwrap().id;
        let listener = world.listener_to(lb, 80, pool).id;
        world.member(pool, "127.88.1.1", 80);
        assert_eq!(world.code(|draft| delete_force(draft, listener)), expect);
        assert_eq!(
            (world.state.member_count(pool), world.state.listener(listener).is_some()),
            (1, protected)
        );
    }
}

#[test]
fn the_default_pool_can_be_changed_and_cleared() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let (first, second) = (world.pool(lb).id, world.pool(lb).id);
    let id = world.listener_to(lb, 80, first).id;
    for (wish, expect) in [
        (Patch::Keep, Some(first)),
        (Patch::Set(second), Some(second)),
        (Patch::Clear, None),
        (Patch::Clear, None),
        (Patch::Set(first), Some(first)),
    ] {
        let patch = ListenerPatch { default_pool: wish.clone(), ..Default::default() };
        let after = world.run(|draft| update(draft, id, patch)).unwrap();
        assert_eq!(after.default_pool, expect, "{wish:?}");
    }
}

#[test]
fn another_projects_listener_is_not_there() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let id = world.listener(lb, 80).id;
    world.as_other_project();
    assert_eq!(world.code(|draft| update(draft, id, ListenerPatch::default())), "not_found");
    assert_eq!(world.code(|draft| delete(draft, id)), "not_found");
    assert_eq!(world.code(|draft| delete_force(draft, id)), "not_found");
    let pool = NewPool { listener: Some(id), ..new_pool() };
    assert_eq!(world.code(|draft| pool::create(draft, pool)), "not_found");
    let own = world.load_balancer_with(|new| *new = new_load_balancer()).id;
    world.listener(own, 80);
    let unused = MemberPatch::default();
    assert_eq!(
        world.code(|draft| member::update(draft, NOBODY, model::MemberId::new(Uuid::nil()), unused)),
        "not_found"
    );
}
