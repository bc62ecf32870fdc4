//! Who may connect: asked once, when a connection comes in.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod rig;

use std::{net::SocketAddr, sync::Arc};

use model::listener::AccessMode;
use plan::AclPlan;
use rig::{Client, ListenerPlan, Member, Rig, again, eventually, free_address, get, http, tcp};

fn with_acl(mut listener: ListenerPlan, mode: AccessMode, spans: &[&str]) -> ListenerPlan {
    let spans = spans.iter().map(|span| span.parse().unwrap());
    listener.acl = Some(Arc::new(AclPlan::new(mode, Vec::new(), spans)));
    listener
}

/// Connects from an address of this machine's own network.
fn connect_from(from: [u8; 4], to: SocketAddr) -> Client {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    Client::of(socket.into())
}

#[test]
fn who_is_not_admitted_gets_a_reset_and_no_answer() {
    let member = Member::named("x");
    for (why, mode, spans, near, far) in [
        ("white", AccessMode::White, &["127.0.0.1"][..], true, false),
        ("black", AccessMode::Black, &["127.0.0.1"], false, true),
        ("an empty white list admits nobody", AccessMode::White, &[], false, false),
        ("an empty black list admits everybody", AccessMode::Black, &[], true, true),
    ] {
        let address = free_address();
        let listener = with_acl(http(address, &[member.address]), mode, spans);
        let id = listener.id;
        let rig = Rig::serving(listener);
        let mut refused = 0;
        for (from, admitted) in [([127, 0, 0, 1], near), ([127, 0, 0, 2], far)] {
            let mut client = connect_from(from, address);
            if admitted {
                assert_eq!(client.get("/").status(), 200, "{why}");
                continue;
            }
            refused += 1;
            assert!(client.is_reset(), "{why}");
        }
        eventually("counted", || {
            (0..2).map(|worker| rig.registry.listener(id, worker).denied.value()).sum::<u64>() == refused
        });
    }
}

#[test]
fn a_changed_list_holds_for_new_connections_and_leaves_open_ones_alone() {
    let member = Member::named("x");
    let address = free_address();
    let rig = Rig::start();
    let listener = http(address, &[member.address]);
    rig.apply([again(&listener)]);
    let mut open = Client::connect(address);
    assert_eq!(open.get("/").status(), 200);
    rig.apply([with_acl(again(&listener), AccessMode::White, &[])]);
    assert!(Client::connect(address).is_reset());
    assert_eq!(open.get("/").status(), 200);
    rig.apply([again(&listener)]);
    assert_eq!(get(address).status(), 200);
}

#[test]
fn layer_4_asks_too() {
    let member = Member::named("x");
    let address = free_address();
    let _rig = Rig::serving(with_acl(tcp(address, &[member.address]), AccessMode::White, &[]));
    assert!(Client::connect(address).is_reset());
    assert_eq!(member.connection_count(), 0);
}
