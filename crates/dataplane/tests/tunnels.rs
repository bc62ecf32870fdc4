//! Upgrades: bytes both ways, but only after the member agreed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod rig;

use std::{
    io::{BufReader, Read, Write},
    time::Duration,
};

use rig::{Client, Member, Rig, free_address, http, ok};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const AGREED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// A member that agrees to every upgrade, says a word and then echoes.
fn echo() -> Member {
    Member::start(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let head = rig::read_head(&mut reader).unwrap();
        assert_eq!(rig::header(&head, "upgrade").as_deref(), Some("websocket"), "{head}");
        stream.write_all(&[AGREED, b"hello"].concat()).unwrap();
        let mut bytes = [0; 4096];
        loop {
            match reader.read(&mut bytes) {
                Ok(0) | Err(_) => break,
                Ok(n) => stream.write_all(&bytes[..n]).unwrap(),
            }
        }
        stream.write_all(b"bye").unwrap();
    })
}

#[test]
fn after_the_members_101_bytes_pass_both_ways_until_both_have_said_all() {
    let member = echo();
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    let mut client = Client::connect(address);
    client.send(UPGRADE);
    let head = rig::read_head(&mut client.reader).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(rig::header(&head, "upgrade").as_deref(), Some("websocket"));
    for word in ["hello", "one", "GET / HTTP/1.1\r\n\r\n"] {
        if word != "hello" {
            client.send(word);
        }
        let mut got = vec![0; word.len()];
        client.reader.read_exact(&mut got).unwrap();
        assert_eq!(got, word.as_bytes());
    }
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"bye");
}

#[test]
fn a_member_that_does_not_agree_gets_no_tunnel() {
    // What follows the upgrade request is a request of its own, not the tunnel's.
    let member = Member::http(|request| ok(request.head.split(' ').nth(1).unwrap()));
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    let mut client = Client::connect(address);
    client.send(format!("{UPGRADE}GET /next HTTP/1.1\r\nHost: t\r\n\r\n"));
    assert_eq!(client.response().text(), "/chat");
    assert_eq!(client.response().text(), "/next");
    let heads = member.heads.lock().unwrap();
    assert_eq!(
        rig::header(&heads[1], "x-forwarded-for").as_deref(),
        Some("127.0.0.1"),
        "parsed as a request"
    );
}

#[test]
fn a_member_that_agrees_to_something_else_gets_no_tunnel() {
    let member = Member::http(|_| {
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n".to_vec()
    });
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    assert_eq!(Client::connect(address).ask(UPGRADE).status(), 502);
}

#[test]
fn a_tunnel_outlives_its_listener_and_every_change_of_it() {
    let member = echo();
    let address = free_address();
    let rig = Rig::start();
    let listener = http(address, &[member.address]);
    rig.apply([rig::again(&listener)]);
    let mut client = Client::connect(address);
    client.send(UPGRADE);
    rig::read_head(&mut client.reader).unwrap();
    client.reader.read_exact(&mut [0; 5]).unwrap();
    rig.apply([rig::with_target(listener, |target| target.members.clear())]);
    rig.apply([]);
    client.send("still there");
    let mut got = [0; 11];
    client.reader.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"still there");
}

#[test]
fn a_silent_tunnel_ends_in_time() {
    let member = echo();
    let address = free_address();
    let mut listener = rig::with_http(http(address, &[member.address]), |http| {
        http.response_timeout = Duration::from_millis(200);
    });
    listener.idle_timeout = Duration::from_millis(300);
    let _rig = Rig::serving(listener);
    let mut client = Client::connect(address);
    client.send(UPGRADE);
    rig::read_head(&mut client.reader).unwrap();
    client.reader.read_exact(&mut [0; 5]).unwrap();
    assert!(client.is_reset());
}
