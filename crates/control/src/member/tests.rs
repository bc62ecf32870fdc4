//! The rules of members, row by row.

use model::{NewPool, PoolProtocol, SubnetId, Weight};

use super::{
    batch::{create_batch, delete_batch, update_batch},
    *,
};
use crate::{
    pool,
    testing::{NETWORK, OTHER_SUBNET, SECOND_SUBNET, SUBNET_V6, World, new_listener, new_member, new_pool},
};

const NOBODY: MemberId = MemberId::new(Uuid::from_u128(0xdead));

fn bare(address: &str) -> NewMember {
    NewMember { subnet: None, ..new_member(address, 80) }
}

#[test]
fn a_create_is_held_to_its_rules() {
    let of = |address: &str, subnet: SubnetId| NewMember { subnet: Some(subnet), ..new_member(address, 80) };
    let nowhere = SubnetId::new(Uuid::nil());
    for (why, new, expect) in [
        ("a server of the subnet", new_member("127.88.1.1", 80), "ok"),
        ("of another subnet of the network", of("127.89.0.7", SECOND_SUBNET), "ok"),
        ("with an IPv6 address", of("fd00:88::7", SUBNET_V6), "ok"),
        ("outside the subnet", new_member("127.89.1.1", 80), "address"),
        ("of the other family", new_member("fd00:88::7", 80), "address"),
        ("of a subnet of another network", of("127.77.0.7", OTHER_SUBNET), "subnet_cidr_id"),
        ("of a subnet that is not there", of("127.88.1.1", nowhere), "not_found"),
        ("no port", NewMember { port: None, ..new_member("127.88.1.1", 80) }, "protocol_port"),
        ("weight 0", NewMember { weight: Weight::of(0), ..new_member("127.88.1.1", 80) }, "ok"),
        ("everybody", bare("0.0.0.0"), "address"),
        ("a group", bare("224.0.0.1"), "address"),
        ("all of a link", bare("255.255.255.255"), "address"),
    ] {
        let mut world = World::new();
        let lb = world.load_balancer_with(|new| new.ip_targets = true).id;
        let pool = world.pool(lb).id;
        assert_eq!(world.blame(|draft| create(draft, pool, new)), expect, "{why}");
    }
}

#[test]
fn a_bare_address_is_private_ipv4() {
    for (address, expect) in [
        ("10.0.0.1", "ok"),
        ("172.16.0.1", "ok"),
        ("172.31.255.254", "ok"),
        ("172.32.0.1", "address"),
        ("192.168.3.4", "ok"),
        ("100.64.0.1", "ok"),
        ("100.127.255.254", "ok"),
        ("100.128.0.1", "address"),
        ("127.0.0.1", "ok"),
        ("8.8.8.8", "address"),
        ("fd00::1", "address"),
    ] {
        let mut world = World::new();
        let lb = world.load_balancer_with(|new| new.ip_targets = true).id;
        let pool = world.pool(lb).id;
        assert_eq!(world.blame(|draft| create(draft, pool, bare(address))), expect, "{address}");
    }
}

#[test]
fn bare_addresses_need_every_load_balancer_of_the_pool_to_take_them() {
    let mut world = World::new();
    let (open, plain) = (world.load_balancer_with(|new| new.ip_targets = true).id, world.load_balancer().id);
    let pool = world.pool_with(|new| new.kind = PoolKind::Ip).id;
    assert_eq!(world.code(|draft| create(draft, pool, bare("10.0.0.1"))), "ok", "decided when bound");
    world.listener_to(open, 80, pool);
    assert_eq!(world.code(|draft| create(draft, pool, bare("10.0.0.2"))), "ok");
    let shut = world.pool(plain).id;
    assert_eq!(world.code(|draft| create(draft, shut, bare("10.0.0.1"))), "ip_targets_off");
    let shared = world.shared_pool().id;
    world.listener_to(open, 81, shared);
    world.listener_to(plain, 81, shared);
    assert_eq!(
        world.blame(|draft| create(draft, shared, bare("10.0.0.1"))),
        "subnet_cidr_id",
        "a pool of servers needs their subnet"
    );
    let on = model::LoadBalancerPatch { ip_targets: Some(true), ..Default::default() };
    world.run(|draft| crate::load_balancer::update(draft, plain, on)).unwrap();
    assert_eq!(world.code(|draft| create(draft, shut, bare("10.0.0.1"))), "ok");
}

#[test]
fn the_pools_type_and_family_are_kept() {
    for (why, adjust, new, expect) in [
        (
            "a pool of bare addresses and a subnet",
            (|new: &mut NewPool| new.kind = PoolKind::Ip) as fn(&mut NewPool),
            new_member("127.88.1.1", 80),
            "subnet_cidr_id",
        ),
        (
            "a pool of servers",
            |new| (new.kind, new.network) = (PoolKind::Instance, Some(NETWORK)),
            new_member("127.88.1.1", 80),
            "ok",
        ),
        (
            "a pool of IPv4",
            |new| {
                (new.kind, new.network, new.ip_version) = (PoolKind::Instance, Some(NETWORK), IpVersion::V4)
            },
            NewMember { subnet: Some(SUBNET_V6), ..new_member("fd00:88::7", 80) },
            "member_not_v4",
        ),
    ] {
        let mut world = World::new();
        let pool = world.pool_with(adjust).id;
        assert_eq!(world.blame(|draft| create(draft, pool, new)), expect, "{why}");
    }
}

#[test]
fn the_first_server_gives_the_pool_its_network() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let pool = world.pool(lb).id;
    assert_eq!(world.state.pool(pool).unwrap().network, None);
    world.member(pool, "127.88.1.1", 80);
    assert_eq!(world.state.pool(pool).unwrap().network, Some(NETWORK));
}

#[test]
fn address_and_port_are_one_members_in_a_pool() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let (pool, other) = (world.pool(lb).id, world.pool(lb).id);
    let first = world.member(pool, "127.88.1.1", 80).id;
    let again = |world: &mut World, pool, address, port| {
        world.code(|draft| create(draft, pool, new_member(address, port)))
    };
    assert_eq!(again(&mut world, pool, "127.88.1.1", 80), "member_exists");
    assert_eq!(again(&mut world, pool, "127.88.1.1", 81), "ok");
    assert_eq!(again(&mut world, pool, "127.88.1.2", 80), "ok");
    assert_eq!(again(&mut world, other, "127.88.1.1", 80), "ok");
    world.run(|draft| delete(draft, pool, first)).unwrap();
    assert_eq!(again(&mut world, pool, "127.88.1.1", 80), "ok", "free again");
}

#[test]
fn members_of_any_port_pools_have_none_of_their_own() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let pool = world.pool_with(|new| (new.load_balancer, new.any_port) = (Some(lb), true)).id;
    let member = world.member(pool, "127.88.1.1", 80);
    assert_eq!(member.port, None, "what is said is not kept");
    assert_eq!(world.code(|draft| create(draft, pool, new_member("127.88.1.1", 81))), "member_exists");
    let patch = MemberPatch { port: Some(Port::of(81)), ..Default::default() };
    assert_eq!(world.blame(|draft| update(draft, pool, member.id, patch)), "protocol_port");
    let patch = MemberPatch { weight: Some(Weight::of(5)), ..Default::default() };
    assert_eq!(world.blame(|draft| update(draft, pool, member.id, patch)), "ok");
}

#[test]
fn an_update_changes_what_was_said_and_nothing_else() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let pool = world.pool(lb).id;
    let before = world.member(pool, "127.88.1.1", 80);
    let patch = MemberPatch { weight: Some(Weight::of(0)), port: Some(Port::of(81)), ..Default::default() };
    let after = world.run(|draft| update(draft, pool, before.id, patch)).unwrap();
    let expect = Member {
        weight: Weight::of(0),
        port: Some(Port::of(81)),
        updated_at: after.updated_at,
        ..Member::clone(&before)
    };
    assert_eq!(*after, expect);
    let other = world.member(pool, "127.88.1.1", 80).id;
    let to_taken = MemberPatch { port: Some(Port::of(81)), ..Default::default() };
    assert_eq!(world.code(|draft| update(draft, pool, other, to_taken.clone())), "member_exists");
    assert_eq!(world.code(|draft| update(draft, pool, before.id, to_taken)), "ok", "its own port");
}

#[test]
fn a_member_is_looked_for_in_its_pool_and_project() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let (pool, other) = (world.pool(lb).id, world.pool(lb).id);
    let member = world.member(pool, "127.88.1.1", 80).id;
    for (why, pool, member) in [("another pool's", other, member), ("nobody's", pool, NOBODY)] {
        assert_eq!(
            world.code(|draft| update(draft, pool, member, MemberPatch::default())),
            "not_found",
            "{why}"
        );
        assert_eq!(world.code(|draft| delete(draft, pool, member)), "not_found", "{why}");
    }
    world.as_other_project();
    assert_eq!(world.code(|draft| update(draft, pool, member, MemberPatch::default())), "not_found");
    assert_eq!(world.code(|draft| delete(draft, pool, member)), "not_found");
    assert_eq!(world.code(|draft| create_batch(draft, pool, &[])), "not_found");
    assert_eq!(world.code(|draft| delete_batch(draft, pool, &[])), "not_found");
}

#[test]
fn protected_members_are_not_removed_by_any_call() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let pool = world.pool(lb).id;
    let member = world.member(pool, "127.88.1.1", 80).id;
    let protect = |on| model::PoolPatch { member_deletion_protection: Some(on), ..Default::default() };
    world.run(|draft| pool::update(draft, pool, protect(true))).unwrap();
    assert_eq!(world.code(|draft| delete(draft, pool, member)), "member_protected");
    assert_eq!(world.code(|draft| delete_batch(draft, pool, &[MemberRef::Id(member)])), "member_protected");
    world.member(pool, "127.88.1.2", 80);
    let patch = MemberPatch { weight: Some(Weight::of(0)), ..Default::default() };
    assert_eq!(world.code(|draft| update(draft, pool, member, patch)), "ok");
    world.run(|draft| pool::update(draft, pool, protect(false))).unwrap();
    assert_eq!(world.code(|draft| delete(draft, pool, member)), "ok");
}

#[test]
fn members_count_towards_project_and_pool() {
    for key in [QuotaKey::Member, QuotaKey::MembersPerPool] {
        let mut world = World::new();
        world.site.quotas.insert(key, 1);
        let lb = world.load_balancer().id;
        let (pool, other) = (world.pool(lb).id, world.pool(lb).id);
        world.member(pool, "127.88.1.1", 80);
        assert_eq!(world.code(|draft| create(draft, pool, new_member("127.88.1.2", 80))), "quota_exceeded");
        let elsewhere = world.code(|draft| create(draft, other, new_member("127.88.1.2", 80)));
        assert_eq!(elsewhere, if key == QuotaKey::Member { "quota_exceeded" } else { "ok" });
    }
}

#[test]
fn a_batch_adds_what_is_missing_and_tells_what_was_there() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let pool = world.pool(lb).id;
    let there = world.member(pool, "127.88.1.1", 80);
    let new = [new_member("127.88.1.1", 80), new_member("127.88.1.2", 80), new_member("127.88.1.2", 80)];
    let made = world.run(|draft| create_batch(draft, pool, &new)).unwrap();
    let outcomes: Vec<_> = made.iter().map(|(_, created)| *created).collect();
    assert_eq!(outcomes, [BatchCreated::Existed, BatchCreated::Created, BatchCreated::Existed]);
    assert_eq!((made[0].0.id, made[1].0.id), (there.id, made[2].0.id));
    assert_eq!((world.state.member_count(pool), world.traces.len()), (2, 1), "what was there is not traced");
    let half_bad = [new_member("127.88.1.3", 80), new_member("10.0.0.1", 80)];
    assert_eq!(world.blame(|draft| create_batch(draft, pool, &half_bad)), "address");
    assert_eq!(world.state.member_count(pool), 2, "all or nothing");
}

#[test]
fn a_batch_changes_all_or_nothing() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let pool = world.pool(lb).id;
    let (one, two) = (world.member(pool, "127.88.1.1", 80).id, world.member(pool, "127.88.1.1", 81).id);
    let weight = |id, weight| (id, MemberPatch { weight: Some(Weight::of(weight)), ..Default::default() });
    assert_eq!(
        world.code(|draft| update_batch(draft, pool, &[weight(one, 7), weight(NOBODY, 7)])),
        "not_found"
    );
    assert_eq!(world.state.member(one).unwrap().weight, Weight::of(1));
    world.run(|draft| update_batch(draft, pool, &[weight(one, 7), weight(two, 8), weight(one, 9)])).unwrap();
    assert_eq!(world.state.member(one).unwrap().weight, Weight::of(9), "in order");
    let port = |id, port| (id, MemberPatch { port: Some(Port::of(port)), ..Default::default() });
    world.run(|draft| update_batch(draft, pool, &[port(two, 82), port(one, 81), port(one, 83)])).unwrap();
    assert_eq!(world.state.member(two).unwrap().port, Some(Port::of(82)));
    assert_eq!(world.code(|draft| create(draft, pool, new_member("127.88.1.1", 81))), "ok", "passed by only");
}

#[test]
fn a_batch_removes_by_id_and_by_address() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let pool = world.pool(lb).id;
    let (one, two) = (world.member(pool, "127.88.1.1", 80).id, world.member(pool, "127.88.1.2", 80).id);
    let left = world.member(pool, "127.88.1.3", 80).id;
    let at = |address: &str, port| MemberRef::Address(address.parse().unwrap(), Some(Port::of(port)));
    let wishes = [
        MemberRef::Id(one),
        at("127.88.1.2", 80),
        at("127.88.1.2", 81),
        MemberRef::Id(NOBODY),
        MemberRef::Id(one),
    ];
    let outcomes = world.run(|draft| delete_batch(draft, pool, &wishes)).unwrap();
    let expect = [
        (Some(one), BatchOutcome::Done),
        (Some(two), BatchOutcome::Done),
        (None, BatchOutcome::NotFound),
        (Some(NOBODY), BatchOutcome::NotFound),
        (Some(one), BatchOutcome::NotFound),
    ];
    assert_eq!(outcomes, expect);
    assert_eq!(world.state.members_of(pool).map(|member| member.id).collect::<Vec<_>>(), [left]);
}

#[test]
fn a_batch_has_at_most_two_hundred_entries() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let pool = world.pool_with(|new| {
        (new.load_balancer, new.protocol) = (Some(lb), PoolProtocol::Http);
    });
    let pool = pool.id;
    let many = |count: u16| (1..=count).map(|port| new_member("127.88.1.1", port)).collect::<Vec<_>>();
    assert_eq!(world.blame(|draft| create_batch(draft, pool, &many(201))), "members");
    assert_eq!(world.blame(|draft| create_batch(draft, pool, &many(200))), "ok");
    let nobody = MemberRef::Id(NOBODY);
    assert_eq!(world.blame(|draft| delete_batch(draft, pool, &[nobody; 201])), "members");
    let patches = vec![(NOBODY, MemberPatch::default()); 201];
    assert_eq!(world.blame(|draft| update_batch(draft, pool, &patches)), "members");
}

#[test]
fn a_pool_in_another_network_than_its_member_cannot_be() {
    let mut world = World::new();
    let pool = world.pool_with(|new| new.kind = PoolKind::Ip).id;
    let lb = world.load_balancer().id;
    assert_eq!(world.code(|draft| create(draft, pool, bare("10.0.0.1"))), "ok");
    let bound = model::NewListener { default_pool: Some(pool), ..new_listener(lb, 80) };
    assert_eq!(world.code(|draft| crate::listener::create(draft, bound)), "ip_targets_off");
    let new = NewPool { load_balancer: Some(lb), ..new_pool() };
    let other = world.run(|draft| pool::create(draft, new)).unwrap().id;
    let outside = NewMember { subnet: Some(OTHER_SUBNET), ..new_member("127.77.0.9", 80) };
    assert_eq!(world.blame(|draft| create(draft, other, outside)), "subnet_cidr_id");
}
