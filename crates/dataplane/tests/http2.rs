//! HTTP/2 of clients. (In clear, which only plans made by hand allow; what is below the frames is tested elsewhere.)
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "rig/h2.rs"]
mod client;
#[path = "rig/echo.rs"]
mod echo;
mod rig;

use std::{
    future::poll_fn,
    io::{BufReader, Read, Write},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use client::{connect, request, websocket, whole};
use echo::{body_member, long_body, websocket_member};
use h2::client::Builder;
use http::{HeaderMap, Method};
use rig::{
    Member, Rig, eventually, eventually_async, free_address, http as http_listener, ok, run, with_http,
};

/// A listener of HTTP/2 before these members.
fn serving(members: &[SocketAddr]) -> (Rig, SocketAddr) {
    let address = free_address();
    (Rig::serving(with_http(http_listener(address, members), |http| http.http2 = true)), address)
}

#[test]
fn streams_of_one_connection_are_requests_of_their_own() {
    let member = Member::http(|request| ok(request.head.split(' ').nth(1).unwrap()));
    let (_rig, address) = serving(&[member.address]);
    run(async {
        let mut client = connect(address).await.0;
        let asked: Vec<_> = (0..50)
            .map(|n| client.send_request(request(Method::GET, &format!("/{n}?x")), true).unwrap().0)
            .collect();
        for (n, response) in asked.into_iter().enumerate() {
            let (head, body, trailers) = whole(response).await;
            assert_eq!((head.status().as_u16(), body, trailers), (200, format!("/{n}?x").into_bytes(), None));
            assert_eq!(head.headers()["server"], "elb");
            assert!(!head.headers().contains_key("connection"));
        }
    });
    let heads = member.heads.lock().unwrap();
    assert!(
        heads
            .iter()
            .all(|head| head.contains("Host: example.test\r\n")
                && head.contains("X-Forwarded-For: 127.0.0.1\r\n")),
        "{heads:?}"
    );
}

#[test]
fn bodies_and_trailers_go_both_ways() {
    let member = body_member();
    let (_rig, address) = serving(&[member.address]);
    let sent = long_body();
    for length_said in [true, false] {
        let sent = sent.clone();
        run(async move {
            let mut client = connect(address).await.0;
            let mut post = request(Method::POST, "/");
            if length_said {
                post.headers_mut().insert("content-length", sent.len().into());
            }
            let (response, mut body) = client.send_request(post, false).unwrap();
            let sending = sent.clone();
            tokio::task::spawn_local(async move {
                let mut rest = sending;
                while !rest.is_empty() {
                    body.reserve_capacity(rest.len());
                    let room = poll_fn(|cx| body.poll_capacity(cx)).await.unwrap().unwrap();
                    body.send_data(rest.split_to(room.min(rest.len())), rest.is_empty() && length_said)
                        .unwrap();
                }
                if !length_said {
                    let mut trailers = HeaderMap::new();
                    trailers.insert("x-request-sum", "7".parse().unwrap());
                    body.send_trailers(trailers).unwrap();
                }
            });
            let (head, body, trailers) = whole(response).await;
            assert_eq!(head.status().as_u16(), 200);
            assert!(body == sent, "the body comes back, whether its length was said: {length_said}");
            assert_eq!(trailers.unwrap()["x-sum"], "42");
        });
    }
}

#[test]
fn a_client_that_reads_nothing_gets_no_more_than_its_window() {
    let member = Member::start(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        rig::Request::read(&mut reader).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[7; 65536]).is_ok() {}
    });
    let (rig, address) = serving(&[member.address]);
    run(async {
        let mut client = connect(address).await.0;
        let (response, _) = client.send_request(request(Method::GET, "/"), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        let mut seen = 0;
        // The window of a client that says nothing else is 64 KiB.
        while let Ok(Some(frame)) = tokio::time::timeout(Duration::from_millis(300), body.data()).await {
            seen += frame.unwrap().len();
        }
        assert!(seen <= 65_535, "{seen} bytes");
    });
    drop(rig);
}

#[test]
fn a_stream_that_the_client_gives_up_is_given_up_at_the_member() {
    let ended = Arc::new(Mutex::new(false));
    let seen = ended.clone();
    let member = Member::start(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        rig::Request::read(&mut reader).unwrap();
        // Nothing is answered; the connection ends when nobody waits any more.
        let _ = stream.read(&mut [0; 16]);
        *seen.lock().unwrap() = true;
    });
    let (_rig, address) = serving(&[member.address]);
    run(async {
        let mut client = connect(address).await.0;
        let (response, mut stream) = client.send_request(request(Method::GET, "/"), true).unwrap();
        eventually_async("the member is asked", || member.connection_count() > 0).await;
        stream.send_reset(h2::Reason::CANCEL);
        drop(response);
        eventually_async("the member is told", || *ended.lock().unwrap()).await;
    });
}

#[test]
fn what_cannot_be_said_in_http_1_is_refused_and_the_connection_goes_on() {
    let member = Member::named("one");
    let (_rig, address) = serving(&[member.address]);
    run(async {
        let mut client = connect(address).await.0;
        let mut odd = request(Method::GET, "/");
        odd.headers_mut().insert("host", "another.test".parse().unwrap());
        let refused = client.send_request(odd, true).unwrap().0.await.unwrap_err();
        assert_eq!(refused.reason(), Some(h2::Reason::PROTOCOL_ERROR));
        let (head, body, _) = whole(client.send_request(request(Method::GET, "/"), true).unwrap().0).await;
        assert_eq!((head.status().as_u16(), &body[..]), (200, &b"one"[..]));
    });
    assert_eq!(member.heads.lock().unwrap().len(), 1);
}

#[test]
fn a_response_that_breaks_off_never_looks_whole() {
    let member = Member::start(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        rig::Request::read(&mut reader).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    });
    let (_rig, address) = serving(&[member.address]);
    run(async {
        let mut client = connect(address).await.0;
        let broken = match client.send_request(request(Method::GET, "/"), true).unwrap().0.await {
            // The reset may overtake the head.
            Err(error) => error,
            Ok(response) => {
                let mut body = response.into_body();
                loop {
                    match body.data().await.expect("no clean end") {
                        Ok(_) => {}
                        Err(error) => break error,
                    }
                }
            }
        };
        assert_eq!(broken.reason(), Some(h2::Reason::INTERNAL_ERROR));
    });
}

#[test]
fn own_answers_and_answers_to_head_are_answers_of_http_2() {
    let (_rig, address) = serving(&[]);
    let member = Member::http(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec());
    let (_other, with_member) = serving(&[member.address]);
    run(async {
        let mut client = connect(address).await.0;
        let (head, body, _) = whole(client.send_request(request(Method::GET, "/"), true).unwrap().0).await;
        assert_eq!(
            (head.status().as_u16(), head.headers()["x-router-code"].as_bytes()),
            (404, &b"40000"[..])
        );
        assert!(body.starts_with(b"<html>"));
        let mut client = connect(with_member).await.0;
        let (head, body, _) = whole(client.send_request(request(Method::HEAD, "/"), true).unwrap().0).await;
        assert_eq!((head.headers()["content-length"].as_bytes(), body.len()), (&b"5"[..], 0));
    });
}

#[test]
fn a_websocket_is_a_stream_of_its_own() {
    let member = websocket_member("");
    let (_rig, address) = serving(&[member.address]);
    run(async {
        let mut client = connect(address).await.0;
        let asked = websocket(&client, "/chat").await;
        let (response, mut up) = client.send_request(asked, false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        let mut down = response.into_body();
        for word in ["one", "two", "three"] {
            up.send_data(word.into(), false).unwrap();
            assert_eq!(down.data().await.unwrap().unwrap(), word);
        }
        up.send_data(Bytes::new(), true).unwrap();
        let end = down.data().await;
        assert!(
            end.as_ref().is_none_or(|end| end.as_ref().is_ok_and(Bytes::is_empty)),
            "the end comes back: {end:?}"
        );
    });
}

#[test]
fn a_flood_of_pings_ends_its_connection() {
    let member = Member::named("one");
    let (_rig, address) = serving(&[member.address]);
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(rig::PATIENCE)).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut reader = stream.try_clone().unwrap();
    let ended = std::thread::spawn(move || {
        let mut piece = [0; 65536];
        while let Ok(1..) = reader.read(&mut piece) {}
    });
    let ping = [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], &[0; 8]].concat().repeat(1000);
    let sent = (0..1000).take_while(|_| stream.write_all(&ping).is_ok()).count();
    assert!(sent < 1000, "somebody took a million pings");
    ended.join().unwrap();
}

#[test]
fn draining_ends_connections_when_their_streams_have_ended() {
    let member = Member::named("one");
    let (rig, address) = serving(&[member.address]);
    let mut client = std::net::TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(rig::PATIENCE)).unwrap();
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut first = [0; 9];
    client.read_exact(&mut first).unwrap();
    let dataplane = rig.dataplane.clone();
    rig.runtime.block_on(dataplane.drain(Duration::from_secs(5)));
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    assert!(rest.windows(9).any(|frame| frame[3] == 7), "a GOAWAY among {rest:?}");
    eventually("nothing is open", || std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_listener_that_goes_says_so_and_its_streams_end_first() {
    let (begin, begun) = std::sync::mpsc::channel();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let member = Member::http(move |_| {
        begin.send(()).unwrap();
        gate.lock().unwrap().recv().unwrap();
        ok("done")
    });
    let (rig, address) = serving(&[member.address]);
    run(async {
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut client, connection) = Builder::new().handshake::<_, Bytes>(tcp).await.unwrap();
        let ended = tokio::task::spawn_local(connection);
        let (answer, _) = client.send_request(request(Method::GET, "/"), true).unwrap();
        tokio::task::spawn_blocking(move || begun.recv_timeout(rig::PATIENCE)).await.unwrap().unwrap();
        std::thread::scope(|scope| scope.spawn(|| rig.apply([])).join().unwrap());
        go.send(()).unwrap();
        assert_eq!(answer.await.unwrap().status(), 200);
        ended.await.unwrap().expect("a clean end of the connection, though the client would keep it");
        drop(client);
    });
}

#[test]
fn what_was_meant_for_a_websocket_that_is_refused_is_read_by_nobody() {
    let member = Member::named("no");
    let (_rig, address) = serving(&[member.address]);
    run(async {
        let mut client = connect(address).await.0;
        let asked = websocket(&client, "/chat").await;
        let (response, mut up) = client.send_request(asked, false).unwrap();
        up.send_data("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n".into(), false).unwrap();
        let (head, body, _) = whole(response).await;
        assert_eq!((head.status().as_u16(), &body[..]), (200, &b"no"[..]));
        let (head, ..) = whole(client.send_request(request(Method::GET, "/after"), true).unwrap().0).await;
        assert_eq!(head.status().as_u16(), 200);
    });
    let heads = member.heads.lock().unwrap();
    let targets: Vec<_> = heads.iter().map(|head| head.split(' ').nth(1).unwrap()).collect();
    assert_eq!(targets, ["/chat", "/after"]);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// What a client hears, as it comes.
struct Heard {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: std::thread::JoinHandle<()>,
}

impl Heard {
    fn has(&self, frame: &[u8]) -> bool {
        self.bytes.lock().unwrap().windows(frame.len()).any(|bytes| bytes == frame)
    }

    /// Everything, at the end of the connection.
    fn join(self) -> Vec<u8> {
        self.thread.join().unwrap();
        std::mem::take(&mut self.bytes.lock().unwrap())
    }
}

/// A connection that said its preface.
fn raw(address: SocketAddr) -> (std::net::TcpStream, Heard) {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(rig::PATIENCE)).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.write_all(&frame(4, 0, 0, &[])).unwrap();
    let mut reader = stream.try_clone().unwrap();
    let bytes: Arc<Mutex<Vec<u8>>> = Arc::default();
    let heard = bytes.clone();
    let thread = std::thread::spawn(move || {
        let mut piece = [0; 65536];
        while let Ok(count @ 1..) = reader.read(&mut piece) {
            heard.lock().unwrap().extend_from_slice(&piece[..count]);
        }
    });
    (stream, Heard { bytes, thread })
}

/// GET / of http://a, in HPACK's static table.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'a'];

#[test]
fn floods_end_their_connection_with_a_word_and_hurt_no_other() {
    let member = Member::named("one");
    let (_rig, address) = serving(&[member.address]);
    const CALM: u8 = 11;
    for (why, calm, flood) in [
        (
            "rapid reset",
            true,
            &(|n: u32| [frame(1, 5, 2 * n + 1, GET), frame(3, 0, 2 * n + 1, &[0, 0, 0, 8])].concat())
                as &dyn Fn(u32) -> Vec<u8>,
        ),
        // A window that is opened by nothing is an error of the stream, which we reset.
        ("resets that we are brought to make", false, &|n| {
            [frame(1, 4, 2 * n + 1, GET), frame(8, 0, 2 * n + 1, &[0; 4])].concat()
        }),
        ("settings", true, &|_| frame(4, 0, 0, &[0, 4, 0, 1, 0, 0])),
        ("empty data", true, &|n| match n {
            0 => frame(1, 4, 1, &[&[0x83], &GET[1..]].concat()),
            _ => frame(0, 0, 1, &[]),
        }),
        ("continuations", true, &|n| match n {
            0 => frame(1, 0, 1, GET),
            _ => frame(9, 0, 1, &[0x40, 1, b'x', 1, b'y']),
        }),
        ("windows", true, &|_| frame(8, 0, 0, &[0, 0, 0, 1])),
        ("a header list without end", false, &|n| match n {
            0 => frame(1, 0, 1, GET),
            _ => frame(9, 0, 1, &[&[0x40, 1, b'x', 0x7f, 0x81, 0x7d][..], &[b'y'; 16256]].concat()),
        }),
    ] {
        let (mut stream, heard) = raw(address);
        let sent = (0..200_000).take_while(|n| stream.write_all(&flood(*n)).is_ok()).count();
        assert!(sent < 200_000, "{why}: all was taken");
        let heard = heard.join();
        let goaway = heard.windows(17).rfind(|frame| frame[..4] == [0, 0, 8, 7] && frame[4] == 0);
        if let Some(goaway) = goaway {
            assert!(!calm || goaway[16] == CALM, "{why}: code {}", goaway[16]);
        }
    }
    run(async {
        let mut client = connect(address).await.0;
        let (head, ..) = whole(client.send_request(request(Method::GET, "/"), true).unwrap().0).await;
        assert_eq!(head.status().as_u16(), 200);
    });
}

#[test]
fn a_request_that_names_its_host_by_a_field_alone_is_served() {
    let member = Member::named("one");
    let (_rig, address) = serving(&[member.address]);
    let (mut stream, heard) = raw(address);
    stream.write_all(&frame(1, 5, 1, &[0x82, 0x86, 0x84, 0x66, 1, b'b'])).unwrap();
    eventually("the answer comes", || heard.has(b"one"));
    assert!(member.heads.lock().unwrap()[0].contains("Host: b\r\n"));
}

#[test]
fn an_idle_connection_is_told_before_it_ends() {
    let member = Member::named("one");
    let address = free_address();
    let mut listener = with_http(http_listener(address, &[member.address]), |http| http.http2 = true);
    listener.idle_timeout = Duration::from_millis(200);
    listener = with_http(listener, |http| http.request_timeout = Duration::from_millis(200));
    let _rig = Rig::serving(listener);
    let (mut stream, heard) = raw(address);
    stream.write_all(&frame(1, 5, 1, GET)).unwrap();
    let heard = heard.join();
    assert!(heard.windows(9).any(|frame| frame[..5] == [0, 0, 8, 7, 0]), "a GOAWAY among {heard:?}");
}

#[test]
fn a_window_that_stays_shut_holds_nothing_for_longer_than_the_response_timeout() {
    let ended = Arc::new(Mutex::new(false));
    let seen = ended.clone();
    let member = Member::start(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        rig::Request::read(&mut reader).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[7; 65536]).is_ok() {}
        *seen.lock().unwrap() = true;
    });
    let address = free_address();
    let _rig = Rig::serving(with_http(http_listener(address, &[member.address]), |http| {
        http.http2 = true;
        http.response_timeout = Duration::from_millis(300);
    }));
    let (mut stream, heard) = raw(address);
    // No stream gets a window, and PINGs show a client that lives.
    stream.write_all(&frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])).unwrap();
    stream.write_all(&frame(1, 5, 1, GET)).unwrap();
    let reset = [0, 0, 4, 3, 0, 0, 0, 0, 1];
    eventually("the member is freed, and the client told of its stream's end", || {
        let _ = stream.write_all(&frame(6, 0, 0, &[0; 8]));
        *ended.lock().unwrap() && heard.has(&reset)
    });
}
