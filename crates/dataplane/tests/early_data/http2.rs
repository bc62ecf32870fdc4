//! Early data of HTTP/2.

use std::{io::Read, net::SocketAddr, sync::Arc, thread, time::Duration};

use plan::TlsPlan;
use rustls::ClientConfig;

use crate::{
    Early, early_plan, mark, marks,
    rig::{Member, Rig, free_address, http},
    secured::{TlsClient, over_tls},
    speaking_early,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// HEADERS that end their stream: `method` by its place in HPACK's table, https, `/`, the host `t`.
fn headers(stream: u8, method: u8) -> Vec<u8> {
    let block = [0x80 | method, 0x87, 0x84, 0x41, 1, b't'];
    [&[0, 0, block.len() as u8, 1, 0x5, 0, 0, 0, stream][..], &block].concat()
}

const HPACK_GET: u8 = 2;
const HPACK_POST: u8 = 3;

/// Takes frames until the stream's response ended.
fn h2_response(client: &mut Early, stream: u8) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        while client.heard.len() < 9 {
            assert!(client.hear(), "the end instead of a response");
        }
        let length = u32::from_be_bytes([0, client.heard[0], client.heard[1], client.heard[2]]) as usize;
        while client.heard.len() < 9 + length {
            assert!(client.hear());
        }
        let frame: Vec<u8> = client.heard.drain(..9 + length).collect();
        if frame[8] == stream {
            match frame[3] {
                0 => body.extend_from_slice(&frame[9..]),
                1 => assert_eq!(frame[9], 0x88, ":status 200"),
                other => panic!("a frame of type {other}"),
            }
            if frame[4] & 1 != 0 {
                return body;
            }
        }
    }
}

/// A listener of HTTP/2, and a client that was here before.
fn serving_h2(member: &Member) -> (Rig, SocketAddr, Arc<ClientConfig>) {
    let address = free_address();
    let plan = TlsPlan { alpn_h2: true, ..early_plan() };
    let rig = Rig::serving(over_tls(http(address, &[member.address]), plan));
    let config = speaking_early(&["h2"]);
    let mut first = TlsClient::connect(address, &config, "t");
    first.send(PREFACE);
    first.reader.read_exact(&mut [0; 9]).unwrap();
    assert_eq!(first.session().alpn_protocol(), Some(&b"h2"[..]));
    (rig, address, config)
}

#[test]
fn streams_of_http_2_are_judged_one_by_one() {
    let member = Member::named("a");
    let (_rig, address, config) = serving_h2(&member);
    let said = [PREFACE, &headers(1, HPACK_POST), &headers(3, HPACK_GET)].concat();
    let mut client = Early::saying(address, &config, said);
    assert_eq!(h2_response(&mut client, 3), b"a", "the second is not held up by the first");
    thread::park_timeout(Duration::from_millis(100));
    assert_eq!(marks(&member), [mark("GET /", Some("1"))]);
    client.go_on();
    assert_eq!(h2_response(&mut client, 1), b"a");
    client.say(headers(5, HPACK_GET));
    assert_eq!(h2_response(&mut client, 5), b"a");
    assert_eq!(marks(&member), [mark("GET /", Some("1")), mark("POST /", None), mark("GET /", None)]);
}

#[test]
fn streams_that_wait_are_forgotten_when_the_handshake_fails() {
    let member = Member::named("a");
    let (_rig, address, config) = serving_h2(&member);
    let said = [PREFACE, &headers(1, HPACK_POST), &headers(3, HPACK_GET)].concat();
    let mut client = Early::saying(address, &config, said);
    assert_eq!(h2_response(&mut client, 3), b"a");
    assert!(client.break_off().to_string().contains("BadRecordMac"));
    thread::park_timeout(Duration::from_millis(100));
    assert_eq!(marks(&member), [mark("GET /", Some("1"))]);
}
