//! The rules of load balancers, row by row.

use model::{
    Description, Name,
    load_balancer::{Protection, ProtectionPatch},
    pool::PoolKind,
};

use super::*;
use crate::testing::{
    NETWORK, OTHER_NETWORK, OTHER_SUBNET, PUBLIC_SUBNET, SECOND_SUBNET, SUBNET, SUBNET_V6, World, http,
    new_listener, new_load_balancer, new_pool, tag,
};

const NOBODY: SubnetId = SubnetId::new(Uuid::from_u128(0xdead));

type Adjust = fn(&mut NewLoadBalancer);
type Change = fn(&mut LoadBalancerPatch);

#[test]
fn a_create_is_held_to_its_rules() {
    let wrong_layer = flavor::site_default(FlavorLayer::L4).id;
    for (why, adjust, expect) in [
        ("a subnet alone is enough", (|_| {}) as Adjust, "ok"),
        ("so is a network alone", |new| (new.vip_subnet, new.network) = (None, Some(NETWORK)), "ok"),
        ("or an IPv6 subnet", |new| (new.vip_subnet, new.vip_v6_subnet) = (None, Some(SUBNET_V6)), "ok"),
        ("both families, one network", |new| new.vip_v6_subnet = Some(SUBNET_V6), "ok"),
        ("network and subnet that belong together", |new| new.network = Some(NETWORK), "ok"),
        ("nothing to live in", |new| new.vip_subnet = None, "vpc_id"),
        ("a subnet of another network", |new| new.network = Some(OTHER_NETWORK), "vpc_id"),
        ("a network that is not there", |new| new.network = Some(NetworkId::new(Uuid::nil())), "not_found"),
        ("a subnet that is not there", |new| new.vip_subnet = Some(NOBODY), "not_found"),
        ("a pool of public addresses", |new| new.vip_subnet = Some(PUBLIC_SUBNET), "vip_subnet_cidr_id"),
        ("an IPv6 subnet for IPv4", |new| new.vip_subnet = Some(SUBNET_V6), "vip_subnet_cidr_id"),
        ("an IPv4 subnet for IPv6", |new| new.vip_v6_subnet = Some(SUBNET), "subnet_not_v6"),
        ("a wanted address", |new| new.vip_address = Some([127, 88, 7, 7].into()), "ok"),
        ("an address outside", |new| new.vip_address = Some([127, 89, 7, 7].into()), "vip_address"),
        (
            "an address without a subnet",
            |new| {
                (new.vip_subnet, new.network) = (None, Some(NETWORK));
                new.vip_address = Some([127, 88, 7, 7].into());
            },
            "vip_address",
        ),
        (
            "an IPv6 address without a subnet",
            |new| new.vip_v6_address = Some(Ipv6Addr::LOCALHOST),
            "ipv6_vip_address",
        ),
        ("two zones", |new| new.zones = vec!["a".to_owned(), "b".to_owned()], "ok"),
        ("no zone", |new| new.zones = Vec::new(), "availability_zone_list"),
        ("an unknown zone", |new| new.zones.push("c".to_owned()), "availability_zone_list"),
        ("subnets to reach members from", |new| new.member_subnets = vec![SECOND_SUBNET.uuid()], "ok"),
        ("of another network", |new| new.member_subnets = vec![OTHER_SUBNET.uuid()], "elb_virsubnet_ids"),
        ("that are not there", |new| new.member_subnets = vec![NOBODY.uuid()], "not_found"),
        ("twenty tags", |new| new.tags = (0..20).map(|n| tag(&n.to_string())).collect(), "ok"),
        ("one more", |new| new.tags = (0..21).map(|n| tag(&n.to_string())).collect(), "tags"),
        ("a key twice", |new| new.tags = vec![tag("k"), tag("k")], "tags"),
        ("an unknown flavor", |new| new.l7_flavor = Some(FlavorId::new(Uuid::nil())), "l7_flavor_id"),
        (
            "a reason without markup",
            |new| new.protection = Protection::Console { reason: "why".try_into().unwrap() },
            "ok",
        ),
        (
            "a reason with markup",
            |new| new.protection = Protection::Console { reason: "<b>".try_into().unwrap() },
            "protection_reason",
        ),
    ] {
        let mut new = new_load_balancer();
        adjust(&mut new);
        assert_eq!(World::new().blame(|draft| create(draft, new)), expect, "{why}");
    }
    let new = NewLoadBalancer { l7_flavor: Some(wrong_layer), ..new_load_balancer() };
    assert_eq!(World::new().blame(|draft| create(draft, new)), "l7_flavor_id", "a flavor of the other layer");
}

#[test]
fn without_a_flavor_it_gets_both_of_the_site_and_with_one_only_that() {
    let mut world = World::new();
    let lb = world.load_balancer();
    assert_eq!(
        (lb.l4_flavor, lb.l7_flavor),
        (Some(flavor::site_default(FlavorLayer::L4).id), Some(flavor::site_default(FlavorLayer::L7).id))
    );
    let small = flavor::CATALOGUE[0].id;
    let lb = world.load_balancer_with(|new| new.l4_flavor = Some(small));
    assert_eq!((lb.l4_flavor, lb.l7_flavor), (Some(small), None));
    let new = model::NewListener { service: http(), ..new_listener(lb.id, 80) };
    assert_eq!(world.blame(|draft| listener::create(draft, new)), "protocol", "no layer 7, no HTTP");
    world.listener(lb.id, 80);
}

#[test]
fn the_addresses_come_from_the_subnets_and_are_held() {
    let mut world = World::new();
    let lb = world.load_balancer_with(|new| new.vip_v6_subnet = Some(SUBNET_V6));
    assert_eq!(lb.vips().map(|vip| vip.to_string()).collect::<Vec<_>>(), ["127.88.0.2", "fd00:88::2"]);
    let twin = NewLoadBalancer { vip_address: Some([127, 88, 0, 2].into()), ..new_load_balancer() };
    assert_eq!(world.code(|draft| create(draft, twin)), "address_taken");
    let bare = world.load_balancer_with(|new| (new.vip_subnet, new.network) = (None, Some(NETWORK)));
    assert_eq!((bare.network, bare.vip, bare.vip_v6), (NETWORK, None, None));
}

#[test]
fn an_update_is_held_to_its_rules() {
    let reason = |text: &str| ProtectionPatch { reason: Some(text.try_into().unwrap()), console: None };
    for (why, change, expect) in [
        ("nothing said", (|_| {}) as Change, "ok"),
        ("a name", |patch| patch.name = Some(Name::try_from("x").unwrap()), "ok"),
        ("bare members, on", |patch| patch.ip_targets = Some(true), "ok"),
        ("a flavor of the layer", |patch| patch.l4_flavor = Some(flavor::CATALOGUE[1].id), "ok"),
        ("of the other", |patch| patch.l4_flavor = Some(flavor::CATALOGUE[13].id), "l4_flavor_id"),
        ("the VIP given up", |patch| patch.vip_subnet = Patch::Clear, "ok"),
        ("another subnet", |patch| patch.vip_subnet = Patch::Set(SECOND_SUBNET), "ok"),
        ("of another network", |patch| patch.vip_subnet = Patch::Set(OTHER_SUBNET), "vpc_id"),
        ("another address", |patch| patch.vip_address = Some([127, 88, 9, 9].into()), "ok"),
        ("outside", |patch| patch.vip_address = Some([127, 89, 0, 9].into()), "vip_address"),
        (
            "an address without a subnet",
            |patch| {
                patch.vip_subnet = Patch::Clear;
                patch.vip_address = Some([127, 88, 9, 9].into());
            },
            "vip_address",
        ),
        ("IPv6 as well", |patch| patch.vip_v6_subnet = Patch::Set(SUBNET_V6), "ok"),
        ("subnets of members", |patch| patch.member_subnets = Some(vec![NOBODY.uuid()]), "not_found"),
        ("protected", |patch| patch.protection.console = Some(true), "ok"),
    ] {
        let mut world = World::new();
        let id = world.load_balancer().id;
        let mut patch = LoadBalancerPatch::default();
        change(&mut patch);
        assert_eq!(world.blame(|draft| update(draft, id, patch)), expect, "{why}");
    }
    let mut world = World::new();
    let id = world.load_balancer().id;
    let patch = LoadBalancerPatch { protection: reason("why"), ..Default::default() };
    assert_eq!(world.blame(|draft| update(draft, id, patch.clone())), "protection_reason", "unprotected");
}

#[test]
fn an_update_changes_what_was_said_and_nothing_else() {
    let mut world = World::new();
    let before = world.load_balancer_with(|new| new.vip_v6_subnet = Some(SUBNET_V6));
    let patch = LoadBalancerPatch {
        name: Some("renamed".try_into().unwrap()),
        admin_up: Some(false),
        ..LoadBalancerPatch::default()
    };
    let after = world.run(|draft| update(draft, before.id, patch)).unwrap();
    assert!(after.updated_at > before.updated_at);
    let expect = LoadBalancer {
        name: "renamed".try_into().unwrap(),
        admin_up: false,
        updated_at: after.updated_at,
        ..LoadBalancer::clone(&before)
    };
    assert_eq!(*after, expect);
}

#[test]
fn bare_members_are_never_switched_off_again() {
    let mut world = World::new();
    let id = world.load_balancer_with(|new| new.ip_targets = true).id;
    let off = LoadBalancerPatch { ip_targets: Some(false), ..Default::default() };
    assert_eq!(world.code(|draft| update(draft, id, off)), "immutable");
    let id = world.load_balancer().id;
    let off = LoadBalancerPatch { ip_targets: Some(false), ..Default::default() };
    assert_eq!(world.code(|draft| update(draft, id, off)), "ok", "what is off may be told to be off");
}

#[test]
fn a_vip_moves_and_its_old_address_is_free_again() {
    let mut world = World::new();
    let lb = world.load_balancer();
    let old = lb.vip.unwrap();
    let same = LoadBalancerPatch { vip_subnet: Patch::Set(SUBNET), ..Default::default() };
    assert_eq!(world.run(|draft| update(draft, lb.id, same)).unwrap().vip, Some(old), "no reason to move");
    let own = LoadBalancerPatch { vip_address: Some(old.address), ..Default::default() };
    assert_eq!(world.run(|draft| update(draft, lb.id, own)).unwrap().vip, Some(old), "its own address");
    let away = LoadBalancerPatch { vip_subnet: Patch::Set(SECOND_SUBNET), ..Default::default() };
    let moved = world.run(|draft| update(draft, lb.id, away)).unwrap().vip.unwrap();
    assert_eq!((moved.subnet, moved.address), (SECOND_SUBNET, [127, 89, 0, 2].into()));
    assert_eq!(world.load_balancer().vip.unwrap().address, old.address, "given to the next");
    let back = LoadBalancerPatch {
        vip_subnet: Patch::Set(SUBNET),
        vip_address: Some(old.address),
        ..Default::default()
    };
    assert_eq!(world.code(|draft| update(draft, lb.id, back)), "address_taken");
    let gone = LoadBalancerPatch { vip_subnet: Patch::Clear, ..Default::default() };
    assert_eq!(world.run(|draft| update(draft, lb.id, gone)).unwrap().vip, None);
}

#[test]
fn unprotecting_clears_the_reason() {
    let mut world = World::new();
    let id = world.load_balancer().id;
    let mut after = |console, reason: Option<&str>| {
        let reason = reason.map(|text| Description::try_from(text).unwrap());
        let protection = ProtectionPatch { console, reason };
        let patch = LoadBalancerPatch { protection, ..Default::default() };
        world.run(|draft| update(draft, id, patch)).map(|lb| lb.protection.clone()).ok()
    };
    let protected = |text: &str| Some(Protection::Console { reason: text.try_into().unwrap() });
    assert_eq!(after(Some(true), Some("why")), protected("why"));
    assert_eq!(after(None, Some("because")), protected("because"));
    assert_eq!(after(None, Some("<")), None);
    assert_eq!(after(Some(true), None), protected("because"));
    assert_eq!(after(Some(false), Some("why")), None, "a reason for no protection");
    assert_eq!(after(Some(false), None), Some(Protection::None));
    assert_eq!(after(Some(true), None), protected(""));
}

#[test]
fn deletion_protection_blocks_every_way_to_delete() {
    let mut world = World::new();
    let id = world.load_balancer_with(|new| new.deletion_protection = true).id;
    assert_eq!(world.code(|draft| delete(draft, id)), "deletion_protected");
    for pools in [CascadePools::Delete, CascadePools::Unbind] {
        assert_eq!(world.code(|draft| delete_cascade(draft, id, Cascade { pools })), "deletion_protected");
    }
    let off = LoadBalancerPatch { deletion_protection: Some(false), ..Default::default() };
    world.run(|draft| update(draft, id, off)).unwrap();
    assert_eq!(world.code(|draft| delete(draft, id)), "ok");
}

#[test]
fn modification_protection_blocks_nothing() {
    let mut world = World::new();
    let protection = Protection::Console { reason: Description::default() };
    let id = world.load_balancer_with(|new| new.protection = protection).id;
    let patch = LoadBalancerPatch { admin_up: Some(false), ..Default::default() };
    assert_eq!(world.code(|draft| update(draft, id, patch)), "ok");
    assert_eq!(world.code(|draft| delete(draft, id)), "ok");
}

#[test]
fn a_delete_needs_its_listeners_gone_and_unbinds_its_pools() {
    let mut world = World::new();
    let lb = world.load_balancer();
    let pool = world.pool(lb.id);
    let listener = world.listener(lb.id, 80);
    assert_eq!(world.code(|draft| delete(draft, lb.id)), "in_use");
    world.run(|draft| listener::delete(draft, listener.id)).unwrap();
    world.run(|draft| delete(draft, lb.id)).unwrap();
    assert_eq!(world.state.load_balancer(lb.id), None);
    assert_eq!(world.state.pool(pool.id).unwrap().load_balancer, None);
    assert_eq!(world.code(|draft| delete(draft, lb.id)), "not_found", "a second time");
}

/// A load balancer with a pool of its own (a member, a monitor) behind a listener, and one pool shared with another.
fn busy(world: &mut World) -> (Arc<LoadBalancer>, Arc<Pool>, Arc<Pool>) {
    let (lb, other) = (world.load_balancer(), world.load_balancer());
    let (own, shared) = (world.pool(lb.id), world.shared_pool());
    world.listener_to(lb.id, 80, own.id);
    world.listener_to(lb.id, 81, shared.id);
    world.listener_to(other.id, 80, shared.id);
    for pool in [&own, &shared] {
        world.member(pool.id, "127.88.1.1", 8080);
        world.monitor(pool.id);
    }
    (lb, own, shared)
}

#[test]
fn a_cascade_deletes_its_own_pools_and_unbinds_shared_ones() {
    let mut world = World::new();
    let (lb, own, shared) = busy(&mut world);
    world.run(|draft| delete_cascade(draft, lb.id, Cascade { pools: CascadePools::Delete })).unwrap();
    assert_eq!((world.state.load_balancers().len(), world.state.listeners().len()), (1, 1));
    assert!(world.state.pool(own.id).is_none() && world.state.monitor_of(own.id).is_none());
    assert_eq!((world.state.member_count(own.id), world.state.member_count(shared.id)), (0, 1));
    assert_eq!(world.state.listeners_using(shared.id).count(), 1, "the other load balancer's");
}

#[test]
fn a_cascade_may_leave_the_pools() {
    let mut world = World::new();
    let (lb, own, shared) = busy(&mut world);
    world.run(|draft| delete_cascade(draft, lb.id, Cascade { pools: CascadePools::Unbind })).unwrap();
    assert_eq!(world.state.load_balancers().len(), 1);
    for pool in [own.id, shared.id] {
        assert_eq!(world.state.member_count(pool), 1);
        assert!(world.state.monitor_of(pool).is_some());
    }
    assert_eq!(world.state.pool(own.id).unwrap().load_balancer, None);
    assert_eq!(world.state.listeners_using(own.id).count(), 0);
}

#[test]
fn a_pool_that_was_made_for_it_but_serves_another_is_only_unbound() {
    let mut world = World::new();
    let (lb, other) = (world.load_balancer(), world.load_balancer());
    let pool = world.pool_with(|new| {
        (new.kind, new.network) = (PoolKind::Instance, Some(NETWORK));
        new.load_balancer = Some(lb.id);
    });
    world.listener_to(other.id, 80, pool.id);
    world.run(|draft| delete_cascade(draft, lb.id, Cascade { pools: CascadePools::Delete })).unwrap();
    assert_eq!(world.state.pool(pool.id).unwrap().load_balancer, None);
    assert_eq!(world.state.listeners_using(pool.id).count(), 1);
}

#[test]
fn protected_members_of_any_of_its_pools_stop_a_cascade_whole() {
    for pools in [CascadePools::Delete, CascadePools::Unbind] {
        let mut world = World::new();
        let (lb, ..) = busy(&mut world);
        let new =
            model::NewPool { load_balancer: Some(lb.id), member_deletion_protection: true, ..new_pool() };
        world.run(|draft| pool::create(draft, new)).unwrap();
        let before = world.state.clone();
        assert_eq!(world.code(|draft| delete_cascade(draft, lb.id, Cascade { pools })), "member_protected");
        assert!(world.state.objects().eq(before.objects()));
    }
}

#[test]
fn another_projects_load_balancer_is_not_there() {
    let mut world = World::new();
    let id = world.load_balancer().id;
    world.as_other_project();
    assert_eq!(world.code(|draft| update(draft, id, LoadBalancerPatch::default())), "not_found");
    assert_eq!(world.code(|draft| delete(draft, id)), "not_found");
    let cascade = Cascade { pools: CascadePools::Delete };
    assert_eq!(world.code(|draft| delete_cascade(draft, id, cascade)), "not_found");
    assert_eq!(world.code(|draft| listener::create(draft, new_listener(id, 80))), "not_found");
    let pool = model::NewPool { load_balancer: Some(id), ..new_pool() };
    assert_eq!(world.code(|draft| pool::create(draft, pool)), "not_found");
}

#[test]
fn a_quota_is_a_limit_and_minus_one_is_none() {
    for (limit, expect) in [(0, "quota_exceeded"), (1, "ok"), (-1, "ok")] {
        let mut world = World::new();
        world.site.quotas.insert(QuotaKey::Loadbalancer, limit);
        assert_eq!(world.code(|draft| create(draft, new_load_balancer())), expect, "{limit}");
    }
    let mut world = World::new();
    world.site.quotas.insert(QuotaKey::Loadbalancer, 1);
    let id = world.load_balancer().id;
    assert_eq!(world.code(|draft| create(draft, new_load_balancer())), "quota_exceeded");
    world.run(|draft| delete(draft, id)).unwrap();
    world.load_balancer();
    world.as_other_project();
    assert_eq!(world.code(|draft| create(draft, new_load_balancer())), "ok", "each project has its own");
}
