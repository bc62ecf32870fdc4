//! UDP flows: found by their key, ended by silence, displaced in order, given back by member.

mod simulation;

use std::{hash::RandomState, net::SocketAddr};

use balance::{CidKey, FlowKey, FlowTable, MemberSlot, mix::mix};
use simulation::{Event, Simulation};

const MEMBER: MemberSlot = MemberSlot(0);

fn table(flows_max: u32, idle_ms: u64) -> FlowTable<u32, &'static str, RandomState> {
    FlowTable::new(flows_max, idle_ms, RandomState::new())
}

#[test]
fn a_table_does_what_a_plain_list_would_do() {
    for seed in 0..40u64 {
        let outcome = std::panic::catch_unwind(|| {
            let mut simulation = Simulation::new((seed % 4 * 8) as u32);
            let mut random = seed;
            for _ in 0..2000 {
                random = mix(random);
                let [.., a, b, c, d] = random.to_be_bytes();
                simulation.handle(Event::of([a, b, c, d]));
            }
        });
        assert!(outcome.is_ok(), "the seed is {seed}");
    }
}

#[test]
fn a_flow_lives_as_long_as_one_side_speaks() {
    let mut flows = table(10, 1000);
    let (id, _) = flows.begin(0, 1, MEMBER, "flow");
    for (why, now, client, lives) in [
        ("the client speaks", 999, true, true),
        ("the member speaks", 1998, false, true),
        ("both at the last moment", 2997, false, true),
        ("nobody for the timeout: the flow is over", 3997, true, false),
        ("and stays so, though nobody polled", 3998, false, false),
    ] {
        let found = if client {
            flows.handle_datagram(now, &1).is_some()
        } else {
            flows.handle_answer(now, id).is_some()
        };
        assert_eq!(found, lives, "{why}");
    }
    assert_eq!(flows.poll_timeout(), Some(3997));
    assert_eq!(flows.poll_expired(3998).map(|flow| flow.value), Some("flow"));
    assert_eq!((flows.poll_expired(3998), flows.poll_timeout()), (None, None));
}

#[test]
fn an_ended_flow_is_not_taken_for_the_one_in_its_place() {
    let mut flows = table(1, 1000);
    let (old, _) = flows.begin(0, 1, MEMBER, "old");
    let (new, displaced) = flows.begin(0, 2, MEMBER, "new");
    assert_eq!(displaced.map(|flow| flow.value), Some("old"));
    assert_eq!(flows.handle_answer(0, old), None);
    assert_eq!(flows.value_mut(old), None);
    assert_eq!(flows.end(old), None);
    assert_eq!(flows.handle_answer(0, new).copied(), Some("new"));
}

#[test]
fn a_flood_from_made_up_addresses_leaves_conversations_alone() {
    let mut flows = table(100, 300_000);
    let talk = |flows: &mut FlowTable<u32, _, _>, now, client| match flows.handle_datagram(now, &client) {
        Some((id, ..)) => flows.handle_answer(now, id).is_some(),
        None => {
            let (id, _) = flows.begin(now, client, MEMBER, "talk");
            flows.handle_answer(now, id);
            false
        }
    };
    (0..50).for_each(|client| {
        talk(&mut flows, 0, client);
    });
    (0..50).for_each(|client| assert!(talk(&mut flows, 10, client)));
    for made_up in 0..10_000 {
        let (id, _) = flows.begin(20, 1000 + made_up, MEMBER, "flood");
        // Even if the member answers: the answer goes to somebody else.
        flows.handle_answer(20, id);
    }
    assert_eq!(flows.len(), 100);
    (0..50).for_each(|client| assert!(talk(&mut flows, 30, client), "{client}"));
}

#[test]
fn a_member_lets_go_of_its_own_flows_only() {
    let mut flows = table(1000, 1000);
    for client in 0..300 {
        flows.begin(0, client, MemberSlot((client % 3) as u16), "flow");
    }
    let mut gone: Vec<_> =
        std::iter::from_fn(|| flows.poll_member(MemberSlot(1))).map(|flow| flow.key).collect();
    gone.sort_unstable();
    assert_eq!(gone, (0..300).filter(|client| client % 3 == 1).collect::<Vec<_>>());
    assert_eq!([0, 1, 2, 3].map(|n| flows.member_len(MemberSlot(n))), [100, 0, 100, 0]);
    assert!((0..300).all(|client| flows.handle_datagram(1, &client).is_some() == (client % 3 != 1)));
}

#[test]
fn lower_limits_hold_for_the_flows_that_are_there() {
    let mut flows = table(1000, 1000);
    (0..10).for_each(|client| {
        flows.begin(client.into(), client, MEMBER, "flow");
    });
    flows.set_limits(4, 1000);
    let gone: Vec<_> = std::iter::from_fn(|| flows.poll_expired(20)).map(|flow| flow.key).collect();
    assert_eq!(gone, [0, 1, 2, 3, 4, 5], "the oldest first");
    flows.set_limits(4, 12);
    let gone: Vec<_> = std::iter::from_fn(|| flows.poll_expired(20)).map(|flow| flow.key).collect();
    assert_eq!(gone, [6, 7, 8], "idle for 12 ms or more");
}

#[test]
fn a_hundred_thousand_flows_are_found_and_all_end() {
    let mut flows: FlowTable<FlowKey, u32, _> = FlowTable::new(100_000, 60_000, RandomState::new());
    let local: SocketAddr = "192.0.2.1:53".parse().unwrap();
    let key = |n: u32| {
        FlowKey::new(SocketAddr::new(std::net::Ipv4Addr::from(n % 50_000).into(), (n / 50_000) as u16), local)
    };
    (0..100_000).for_each(|n| {
        flows.begin((n / 10).into(), key(n), MemberSlot((n % 7) as u16), n);
    });
    flows.check_invariants();
    assert!(
        (0..100_000).all(|n| flows.handle_datagram(10_000, &key(n)).is_some_and(|(_, _, value)| *value == n))
    );
    let ended = std::iter::from_fn(|| flows.poll_expired(70_000)).count();
    assert_eq!((ended, flows.len(), flows.poll_timeout()), (100_000, 0, None));
    flows.check_invariants();
}

#[test]
fn keys_tell_flows_apart() {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let key = |client, local| FlowKey::new(address(client), address(local));
    let one = key("192.0.2.1:1000", "198.51.100.1:53");
    for (why, other, same) in [
        ("the same", key("192.0.2.1:1000", "198.51.100.1:53"), true),
        ("mapped into IPv6", key("[::ffff:192.0.2.1]:1000", "[::ffff:198.51.100.1]:53"), true),
        ("another client", key("192.0.2.2:1000", "198.51.100.1:53"), false),
        ("another port of the client", key("192.0.2.1:1001", "198.51.100.1:53"), false),
        ("another VIP", key("192.0.2.1:1000", "198.51.100.2:53"), false),
        ("another port of the listener", key("192.0.2.1:1000", "198.51.100.1:54"), false),
    ] {
        assert_eq!(one == other, same, "{why}");
    }
    assert_eq!((one.client(), one.local()), (address("192.0.2.1:1000"), address("198.51.100.1:53")));
    assert_eq!((CidKey::new(&[]), CidKey::new(&[0; 21])), (None, None));
    assert_ne!(CidKey::new(&[1]), CidKey::new(&[1, 0]), "an end of zeros counts");
    assert_eq!(CidKey::new(&[7; 20]).unwrap().as_bytes(), [7; 20]);
}
