//! What a client, or a member, may make us hold or do.

use std::{
    io::{BufReader, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Method;
use plan::{HttpPlan, ServicePlan};
use quinn::{ConnectionError, VarInt};
use wire::h3::Code;

use crate::{
    GET, listener,
    quic::{Client, endpoint, fields, raw, request, settings, trusting},
    rig::{self, Member, Rig, eventually_async, free_address, http_plan, run},
    serving,
};

#[test]
fn a_client_that_reads_nothing_gets_no_more_than_its_window() {
    // The client's window, what QUIC keeps for it, and the sockets' buffers between us and the member.
    const HELD_BYTES_MAX: usize = 24 << 20;
    let (written, stuck) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, told) = (written.clone(), stuck.clone());
    let member = Member::start(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        rig::Request::read(&mut reader).unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while let Ok(bytes) = stream.write(&[7; 65536])
            && counted.fetch_add(bytes, Ordering::SeqCst) <= HELD_BYTES_MAX
        {}
        told.store(true, Ordering::SeqCst);
        // The response is not over.
        std::thread::park_timeout(rig::PATIENCE);
    });
    let (rig, address) = serving(&[member.address]);
    run(async {
        let mut client = Client::with(address, settings(trusting(), 64 << 10)).await;
        let mut asked = client.send(request(Method::GET, "/")).await;
        assert_eq!(asked.recv_response().await.unwrap().status().as_u16(), 200);
        eventually_async("nobody takes more of the member", || stuck.load(Ordering::SeqCst)).await;
        let written = written.load(Ordering::SeqCst);
        assert!(written < HELD_BYTES_MAX, "{written} bytes");
        assert!(asked.recv_data().await.unwrap().is_some(), "what came is there to be read");
    });
    drop(rig);
}

#[test]
fn a_member_that_reads_nothing_holds_its_client_back() {
    let member = Member::start(|mut stream| {
        let mut reader = BufReader::with_capacity(512, stream.try_clone().unwrap());
        rig::read_head(&mut reader).unwrap();
        std::thread::park_timeout(rig::PATIENCE);
        let _ = stream.write_all(b"");
    });
    let (_rig, address) = serving(&[member.address]);
    run(async {
        let mut client = Client::connect(address).await;
        let mut asked = client.requests.send_request(request(Method::POST, "/")).await.unwrap();
        let mut sent = 0;
        let piece = Bytes::from(vec![7; 65536]);
        while tokio::time::timeout(Duration::from_millis(500), asked.send_data(piece.clone())).await.is_ok() {
            sent += piece.len();
            assert!(sent < 64 << 20, "somebody took all that");
        }
    });
}

#[test]
fn requests_that_are_given_up_all_the_time_end_the_connection() {
    let member = Member::named("one");
    let (_rig, address) = serving(&[member.address]);
    run(async {
        let (_endpoint, connection) = raw(address).await;
        for asked in 0.. {
            assert!(asked < 5000, "somebody took all that");
            let Ok((mut up, mut down)) = connection.open_bi().await else { break };
            let code = VarInt::from_u32(0x10c);
            let _ = (up.write_all(&fields(&GET)).await, up.reset(code), down.stop(code));
        }
        let closed = connection.closed().await;
        assert!(
            matches!(&closed, ConnectionError::ApplicationClosed(close)
                if close.error_code.into_inner() == Code::EXCESSIVE_LOAD.0),
            "{closed}"
        );
    });
}

#[test]
fn with_many_handshakes_under_way_clients_have_to_show_where_they_are() {
    let member = Member::named("one");
    let address = free_address();
    let rig = Rig::with_workers(1);
    let mut listener = listener(address, &[member.address]);
    // No handshake ends by itself meanwhile.
    let request_timeout = Duration::from_secs(60);
    listener.service = ServicePlan::Quic(HttpPlan { request_timeout, ..http_plan() });
    assert_eq!(rig.apply([listener]), dataplane::Applied::default());
    run(async {
        // Clients whose first words are kept and said again by somebody who never goes on.
        const CLIENTS: usize = 300;
        let ear = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let endpoint = endpoint(settings(trusting(), 1 << 20));
        let mut connecting = Vec::new();
        let mut words = std::collections::BTreeMap::new();
        let mut piece = [0; 2048];
        while words.len() < CLIENTS {
            connecting.push(endpoint.connect(ear.local_addr().unwrap(), "t").unwrap());
            let bytes = ear.recv(&mut piece).await.unwrap();
            let id = piece[6..14].to_vec();
            words.entry(id).or_insert_with(|| piece[..bytes].to_vec());
        }
        let mouth = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut retries = 0;
        for word in words.values() {
            mouth.send_to(word, address).await.unwrap();
            // Behind the id that it made up for us is its own, by which it is answered (RFC 9000 section 17.2).
            let own = 6 + usize::from(word[5]);
            let own = &word[own..=own + usize::from(word[own])];
            loop {
                mouth.recv(&mut piece).await.unwrap();
                if piece[5..].starts_with(own) {
                    break;
                }
            }
            // The kind of a packet is not hidden (RFC 9000 section 17.2.5).
            retries += usize::from(piece[0] & 0xb0 == 0xb0);
        }
        assert!((1..=CLIENTS - 256).contains(&retries), "{retries} of {CLIENTS}");
        // Who shows it gets in.
        let mut client = Client::connect(address).await;
        assert_eq!(client.get("/").await.0.status().as_u16(), 200);
        drop(connecting);
    });
}
