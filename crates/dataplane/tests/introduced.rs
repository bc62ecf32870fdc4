//! Listeners that take PROXY headers from those who connect.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod rig;

use std::net::SocketAddr;

use model::ProxyAccept;
use plan::ListenerPlan;
use rig::{Client, Member, Rig, again, eventually, free_address, http};
use wire::proxy_protocol::{Endpoints, Extensions, Origin, Transport, write_v1, write_v2};

fn accepting(plan: ListenerPlan, trusted: &[&str]) -> ListenerPlan {
    let trusted: Vec<_> = trusted.iter().map(|prefix| prefix.parse().unwrap()).collect();
    let accept = ProxyAccept::try_from(trusted).unwrap();
    ListenerPlan { proxy_accept: Some(accept), ..plan }
}

/// Answers with whom the request is said to be from.
fn teller() -> Member {
    Member::http(|request| rig::ok(request.header("x-forwarded-for").as_deref().unwrap_or("nobody")))
}

fn origin(client: &str, reached: SocketAddr) -> Origin {
    Origin::Client(Endpoints {
        transport: Transport::Stream,
        source: client.parse().unwrap(),
        destination: reached,
    })
}

const GET: &str = "GET / HTTP/1.1\r\nHost: t\r\n\r\n";

#[test]
fn both_versions_say_who_the_client_is_in_pieces_of_any_size() {
    let member = teller();
    let address = free_address();
    let _rig = Rig::serving(accepting(http(address, &[member.address]), &[]));
    let from = origin("198.51.100.7:4711", address);
    let (mut text, mut binary) = (Vec::new(), Vec::new());
    write_v1(&from, &mut text);
    write_v2(&from, &Extensions { authority: Some(b"a.example"), ..Extensions::default() }, &mut binary);
    for header in [text, binary] {
        for piece in [1, 7, 1000] {
            let mut client = Client::connect(address);
            let whole = [&header[..], GET.as_bytes()].concat();
            whole.chunks(piece).for_each(|piece| client.send(piece));
            assert_eq!(client.response().text(), "198.51.100.7");
            assert_eq!(client.get("/").text(), "198.51.100.7", "it holds for the connection");
        }
    }
}

#[test]
fn who_says_nothing_of_a_client_speaks_for_itself() {
    let member = teller();
    let address = free_address();
    let _rig = Rig::serving(accepting(http(address, &[member.address]), &[]));
    let (mut local, mut unknown) = (Vec::new(), Vec::new());
    write_v2(&Origin::Local, &Extensions::default(), &mut local);
    write_v1(&Origin::Unknown, &mut unknown);
    for header in [local, unknown] {
        let mut client = Client::connect(address);
        client.send(&header);
        assert_eq!(client.get("/").text(), "127.0.0.1");
    }
}

#[test]
fn a_trusted_peer_without_a_header_is_reset_and_counted() {
    let member = teller();
    let address = free_address();
    let plan = accepting(http(address, &[member.address]), &[]);
    let rig = Rig::serving(again(&plan));
    for (count, bad) in [GET, "PROXY TCP4 1.2.3.4\r\n", "\r\n\r\n\0\r\nQUIT\nxxxx"].into_iter().enumerate() {
        let mut client = Client::connect(address);
        client.send(bad);
        assert!(client.is_reset(), "{bad:?}");
        eventually("it is counted", || {
            (0..2).map(|worker| rig.registry.listener(plan.id, worker).not_introduced.value()).sum::<u64>()
                == count as u64 + 1
        });
    }
}

#[test]
fn what_others_say_is_not_believed() {
    let member = teller();
    let address = free_address();
    let _rig = Rig::serving(accepting(http(address, &[member.address]), &["192.0.2.0/24"]));
    assert_eq!(Client::connect(address).get("/").text(), "127.0.0.1", "no header is expected");
    let mut client = Client::connect(address);
    let mut header = Vec::new();
    write_v1(&origin("198.51.100.7:4711", address), &mut header);
    client.send(&header);
    client.send(GET);
    assert!(client.response().head.starts_with("HTTP/1.1 400"), "the header is a bad request");
}
