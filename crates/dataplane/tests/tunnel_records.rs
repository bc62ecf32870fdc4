//! Records of tunnels: one for each, when it has ended, and with the bytes that went through it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "rig/echo.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod echo;
#[path = "rig/h2.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod http2;
#[path = "rig/records.rs"]
mod records;
mod rig;
#[path = "rig/tls.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod secured;

use std::{
    io::{BufReader, Read, Write},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use echo::websocket_member;
use http2::{connect, websocket};
use plan::TlsPlan;
use records::{logging, records};
use rig::{Client, Member, eventually, free_address, http, run, with_http};
use secured::{Like, TlsClient, certificate, client_config, over_tls, tls_plan};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// What goes through a tunnel: more than any buffer holds, in both directions.
const BYTES: usize = 3_000_000;

/// The record's status, and its bytes: of the request, sent, sent without head, of the request's head.
fn bytes_of(record: &str) -> (u16, [u64; 4]) {
    let (before, behind) = record.split_once(" \"GET http").unwrap();
    let status = before.rsplit(' ').next().unwrap().parse().unwrap();
    let (_, numbers) = behind.split_once("\" ").unwrap();
    let number = |place| numbers.split(' ').nth(place).unwrap().parse().unwrap();
    let from_end: Vec<&str> = record.rsplit(' ').collect();
    (status, [number(0), number(1), number(2), from_end[3].parse().unwrap()])
}

#[test]
fn a_tunnels_record_comes_at_its_end_with_all_of_its_bytes() {
    let member = websocket_member("hello");
    let address = free_address();
    let (_rig, dir) = logging(http(address, &[member.address]));
    let mut client = Client::connect(address);
    // The first word of the tunnel comes with the request.
    client.send(format!("{UPGRADE}early"));
    let head = rig::read_head(&mut client.reader).unwrap();
    let mut word = [0; 10];
    client.reader.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"helloearly");
    let mut sending = client.stream.try_clone().unwrap();
    let sent = std::thread::spawn(move || {
        sending.write_all(&vec![b'x'; BYTES]).unwrap();
        sending.shutdown(std::net::Shutdown::Write).unwrap();
    });
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing has ended");
    assert_eq!(client.rest().len(), BYTES);
    sent.join().unwrap();
    let records = records(&dir, 1);
    let (status, [request, sent, body, request_head]) = bytes_of(&records[0]);
    let bytes = BYTES as u64;
    assert_eq!(status, 101, "{records:?}");
    assert_eq!(request, UPGRADE.len() as u64 + 5 + bytes, "{records:?}");
    assert_eq!(request_head, UPGRADE.len() as u64, "{records:?}");
    assert_eq!((sent, body), (head.len() as u64 + 10 + bytes, 10 + bytes), "{records:?}");
}

#[test]
fn a_tunnel_over_tls_has_its_plain_bytes_in_its_record() {
    let member = websocket_member("hello");
    let address = free_address();
    let plan: TlsPlan = tls_plan(&certificate(&["t"]), &[]);
    let (_rig, dir) = logging(over_tls(http(address, &[member.address]), plan));
    let mut client = TlsClient::connect(address, &Arc::new(client_config(Like::default())), "t");
    client.send(UPGRADE);
    let head = rig::read_head(&mut client.reader).unwrap();
    client.reader.read_exact(&mut [0; 5]).unwrap();
    for _ in 0..10 {
        client.send([b'x'; 5000]);
        client.reader.read_exact(&mut [0; 5000]).unwrap();
    }
    client.session().send_close_notify();
    client.send("");
    assert_eq!(client.rest(), b"");
    let records = records(&dir, 1);
    let expected = [UPGRADE.len() as u64 + 50_000, head.len() as u64 + 50_005, 50_005, UPGRADE.len() as u64];
    assert_eq!(bytes_of(&records[0]), (101, expected), "{records:?}");
}

#[test]
fn a_tunnel_of_http2_has_the_status_that_its_client_saw_and_its_bytes() {
    let member = websocket_member("hello");
    let address = free_address();
    let (_rig, dir) = logging(with_http(http(address, &[member.address]), |http| http.http2 = true));
    run(async {
        let (mut client, _connection) = connect(address).await;
        let asked = websocket(&client, "/chat").await;
        let (response, mut up) = client.send_request(asked, false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        let mut down = response.into_body();
        let mut got = Vec::new();
        up.send_data(Bytes::from_static(&[b'x'; 10_000]), true).unwrap();
        while let Some(piece) = down.data().await {
            let piece = piece.unwrap();
            down.flow_control().release_capacity(piece.len()).unwrap();
            got.extend_from_slice(&piece);
        }
        assert_eq!(got.len(), 10_005);
    });
    let records = records(&dir, 1);
    let (status, [request, sent, body, head]) = bytes_of(&records[0]);
    assert_eq!(status, 200, "{records:?}");
    assert_eq!((request - head, body), (10_000, 10_005), "{records:?}");
    assert!(sent > body, "{records:?}");
}

#[test]
fn a_websocket_of_http2_that_the_member_answers_wrongly_is_a_502_in_the_record() {
    let member = Member::start(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        rig::read_head(&mut reader).unwrap();
        stream
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                  Sec-WebSocket-Accept: d3Jvbmc=\r\n\r\n",
            )
            .unwrap();
        let _ended = reader.read(&mut [0]);
    });
    let address = free_address();
    let listener = with_http(http(address, &[member.address]), |http| http.http2 = true);
    let id = listener.id;
    let (rig, dir) = logging(listener);
    run(async {
        let (mut client, _connection) = connect(address).await;
        let asked = websocket(&client, "/chat").await;
        let (response, _up) = client.send_request(asked, false).unwrap();
        assert_eq!(response.await.unwrap().status().as_u16(), 502);
    });
    let records = records(&dir, 1);
    assert_eq!(bytes_of(&records[0]).0, 502, "{records:?}");
    let count = |class| (0..2).map(|worker| rig.registry.listener(id, worker).class(class)).sum::<u64>();
    assert_eq!((count(1), count(2), count(5)), (0, 0, 1));
}

#[test]
fn a_tunnel_that_is_broken_has_its_record_with_what_went_through() {
    let member = websocket_member("hello");
    let address = free_address();
    let mut listener = with_http(http(address, &[member.address]), |http| {
        http.response_timeout = Duration::from_millis(300)
    });
    listener.idle_timeout = Duration::from_millis(300);
    let (_rig, dir) = logging(listener);
    // One is reset by its client, the other by us, because nothing moves.
    for (why, reset) in [("reset", true), ("idle", false)] {
        let mut client = Client::connect(address);
        client.send(UPGRADE);
        rig::read_head(&mut client.reader).unwrap();
        client.send("abc");
        client.reader.read_exact(&mut [0; 8]).unwrap();
        if reset {
            rig::reset(client);
        } else {
            assert!(client.is_reset(), "{why}");
        }
    }
    for record in records(&dir, 2) {
        let (status, [request, _, body, head]) = bytes_of(&record);
        assert_eq!((status, request - head, body), (101, 3, 8), "{record}");
    }
    eventually("nothing is in work", || member.connection_count() == 2);
}
