//! HTTP/3 of clients.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "rig/h3.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod quic;
mod rig;
#[path = "rig/tls.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod secured;

use std::{
    io::{BufReader, Read, Write},
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h3::error::{Code as ClientCode, StreamError};
use http::{HeaderMap, Method};
use plan::{ListenerPlan, ServicePlan, TlsPlan};
use quic::{Client, endpoint, fields, frame, raw, request, run, settings, stream_of, trusting, whole};
use quinn::{ConnectionError, ReadError, VarInt};
use rig::{Member, Rig, again, free_address, http as http_listener, http_plan, ok};
use secured::{certificate, over_tls, tls_plan};
use sha1::Digest;
use wire::h3::{Code, kind, stream_type};

/// A listener of HTTP/3 before these members.
fn listener(address: SocketAddr, members: &[SocketAddr]) -> ListenerPlan {
    let plain = http_listener(address, members);
    over_tls(
        ListenerPlan { service: ServicePlan::Quic(http_plan()), ..plain },
        tls_plan(&certificate(&["t"]), &[]),
    )
}

/// A data plane of two workers with it in force.
fn serving(members: &[SocketAddr]) -> (Rig, SocketAddr) {
    let address = free_address();
    (Rig::serving(listener(address, members)), address)
}

#[test]
fn streams_of_many_connections_are_requests_of_their_own() {
    let member = Member::http(|request| ok(request.head.split(' ').nth(1).unwrap()));
    let (_rig, address) = serving(&[member.address]);
    run(async {
        let mut clients = Vec::new();
        for _ in 0..8 {
            clients.push(Client::connect(address).await);
        }
        for client in &mut clients {
            let mut asked = Vec::new();
            for n in 0..50 {
                asked.push(client.send(request(Method::GET, &format!("/{n}?x"))).await);
            }
            for (n, stream) in asked.iter_mut().enumerate() {
                let (head, body, trailers) = whole(stream).await;
                assert_eq!(
                    (head.status().as_u16(), body, trailers),
                    (200, format!("/{n}?x").into_bytes(), None)
                );
                assert_eq!(head.headers()["server"], "elb");
                assert!(!head.headers().contains_key("connection"));
            }
        }
    });
    let heads = member.heads.lock().unwrap();
    assert_eq!(heads.len(), 400);
    assert!(
        heads.iter().all(|head| {
            head.contains("Host: example.test\r\n")
                && head.contains("X-Forwarded-For: 127.0.0.1\r\n")
                && !head.contains("chunked")
        }),
        "{heads:?}"
    );
}

#[test]
fn bodies_and_trailers_go_both_ways() {
    let member = Member::http(|request| {
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n".to_vec();
        for piece in request.body.chunks(1000) {
            wire::h1::push_chunk(&mut answer, piece);
        }
        answer.extend_from_slice(b"0\r\nX-Sum: 42\r\n\r\n");
        answer
    });
    let (_rig, address) = serving(&[member.address]);
    let sent: Bytes = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    for length_said in [true, false] {
        let sent = sent.clone();
        run(async move {
            let mut client = Client::connect(address).await;
            let mut post = request(Method::POST, "/");
            if length_said {
                post.headers_mut().insert("content-length", sent.len().into());
            }
            let asked = client.requests.send_request(post).await.unwrap();
            let (mut up, mut down) = asked.split();
            let sending = sent.clone();
            tokio::task::spawn_local(async move {
                for piece in sending.chunks(100_000) {
                    up.send_data(Bytes::copy_from_slice(piece)).await.unwrap();
                }
                if !length_said {
                    let mut trailers = HeaderMap::new();
                    trailers.insert("x-request-sum", "7".parse().unwrap());
                    up.send_trailers(trailers).await.unwrap();
                }
                up.finish().await.unwrap();
            });
            assert_eq!(down.recv_response().await.unwrap().status().as_u16(), 200);
            let mut body = Vec::new();
            while let Some(mut data) = down.recv_data().await.unwrap() {
                let bytes = bytes::Buf::remaining(&data);
                body.extend_from_slice(&bytes::Buf::copy_to_bytes(&mut data, bytes));
            }
            assert!(body == sent, "the body comes back, whether its length was said: {length_said}");
            assert_eq!(down.recv_trailers().await.unwrap().unwrap()["x-sum"], "42");
        });
    }
}

#[test]
fn a_client_that_reads_nothing_gets_no_more_than_its_window() {
    let written = Arc::new(AtomicUsize::new(0));
    let counted = written.clone();
    let member = Member::start(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        rig::Request::read(&mut reader).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[7; 65536]).is_ok() {
            counted.fetch_add(65536, Ordering::SeqCst);
        }
    });
    let (rig, address) = serving(&[member.address]);
    run(async {
        let mut client = Client::with(address, settings(trusting(), 64 << 10)).await;
        let mut asked = client.send(request(Method::GET, "/")).await;
        assert_eq!(asked.recv_response().await.unwrap().status().as_u16(), 200);
        let (mut before, mut same) = (0, 0);
        while same < 20 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = written.load(Ordering::SeqCst);
            same = if now == before { same + 1 } else { 0 };
            before = now;
        }
        // The client's window, what QUIC keeps for it, and the sockets' buffers between us and the member.
        assert!(before < 24 << 20, "{before} bytes");
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
        let mut client = Client::connect(address).await;
        let mut asked = client.send(request(Method::GET, "/")).await;
        quic::eventually("the member is asked", || member.connection_count() > 0).await;
        asked.stop_sending(ClientCode::H3_REQUEST_CANCELLED);
        quic::eventually("the member is told", || *ended.lock().unwrap()).await;
    });
}

#[test]
fn a_connection_that_is_closed_gives_up_its_streams() {
    let ended = Arc::new(AtomicUsize::new(0));
    let seen = ended.clone();
    let member = Member::start(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        rig::Request::read(&mut reader).unwrap();
        let _ = stream.read(&mut [0; 16]);
        seen.fetch_add(1, Ordering::SeqCst);
    });
    let (_rig, address) = serving(&[member.address]);
    run(async {
        let mut client = Client::connect(address).await;
        let mut asked = Vec::new();
        for _ in 0..5 {
            asked.push(client.send(request(Method::GET, "/")).await);
        }
        quic::eventually("the member is asked", || member.connection_count() == 5).await;
        client.connection.close(VarInt::from_u32(0x100), b"");
        quic::eventually("the member is told", || ended.load(Ordering::SeqCst) == 5).await;
    });
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
        let mut client = Client::connect(address).await;
        let mut asked = client.send(request(Method::GET, "/")).await;
        let broken = match asked.recv_response().await {
            // The reset may overtake the head.
            Err(error) => error,
            Ok(_) => loop {
                match asked.recv_data().await {
                    Ok(data) => assert!(data.is_some(), "no clean end"),
                    Err(error) => break error,
                }
            },
        };
        let code = match &broken {
            StreamError::RemoteTerminate { code, .. } => Some(*code),
            _ => None,
        };
        assert_eq!(code, Some(ClientCode::H3_INTERNAL_ERROR), "{broken:?}");
    });
}

#[test]
fn own_answers_and_answers_to_head_are_answers_of_http_3() {
    let (_rig, address) = serving(&[]);
    let member = Member::http(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec());
    let (_other, with_member) = serving(&[member.address]);
    run(async {
        let mut client = Client::connect(address).await;
        let (head, body) = client.get("/").await;
        assert_eq!(
            (head.status().as_u16(), head.headers()["x-router-code"].as_bytes()),
            (404, &b"40000"[..])
        );
        assert!(body.starts_with(b"<html>"));
        let mut client = Client::connect(with_member).await;
        let mut asked = client.send(request(Method::HEAD, "/")).await;
        let (head, body, _) = whole(&mut asked).await;
        assert_eq!((head.headers()["content-length"].as_bytes(), body.len()), (&b"5"[..], 0));
    });
}

#[test]
fn a_websocket_is_a_stream_of_its_own() {
    let member = Member::start(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let head = rig::read_head(&mut reader).unwrap();
        let key = rig::header(&head, "sec-websocket-key").unwrap();
        let hash = sha1::Sha1::new().chain_update(key);
        let hash = hash.chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
        let accept = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hash);
        write!(stream, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n").unwrap();
        let mut piece = [0; 1024];
        while let Ok(bytes @ 1..) = reader.read(&mut piece) {
            stream.write_all(&piece[..bytes]).unwrap();
        }
    });
    let (_rig, address) = serving(&[member.address]);
    run(async {
        let (_endpoint, connection) = raw(address).await;
        let (mut up, mut down) = connection.open_bi().await.unwrap();
        let connect = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":authority", "t"),
            (":path", "/chat"),
            ("sec-websocket-version", "13"),
        ];
        up.write_all(&fields(&connect)).await.unwrap();
        let mut head = [0; 2];
        down.read_exact(&mut head).await.unwrap();
        assert_eq!(u64::from(head[0]), kind::HEADERS);
        let mut block = vec![0; head[1].into()];
        down.read_exact(&mut block).await.unwrap();
        let mut status = None;
        wire::h3::qpack::decode(&block, 1 << 16, &mut Vec::new(), |name, value| {
            if name == b":status" {
                status = Some(value.to_vec());
            }
        })
        .unwrap();
        assert_eq!(status.as_deref(), Some(&b"200"[..]));
        for word in ["one", "two", "three"] {
            let said = frame(kind::DATA, word.as_bytes());
            up.write_all(&said).await.unwrap();
            let mut back = vec![0; said.len()];
            down.read_exact(&mut back).await.unwrap();
            assert_eq!(back, said);
        }
        up.finish().unwrap();
        assert_eq!(down.read_to_end(100).await.unwrap(), b"", "the end comes back");
    });
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "t"), (":path", "/")];

/// What becomes of a stream on which these bytes are all: the code that it is reset with, or the status of its answer.
async fn outcome(connection: &quinn::Connection, bytes: &[u8]) -> Result<u16, u64> {
    let (mut up, mut down) = connection.open_bi().await.unwrap();
    // The answer may come before all was said.
    let _ = up.write_all(bytes).await;
    let _ = up.finish();
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match down.read(&mut piece).await {
            Ok(Some(bytes)) => answer.extend_from_slice(&piece[..bytes]),
            Ok(None) => break,
            Err(ReadError::Reset(code)) => return Err(code.into_inner()),
            Err(ReadError::ConnectionLost(ConnectionError::ApplicationClosed(close))) => {
                return Err(close.error_code.into_inner());
            }
            Err(error) => panic!("{error}"),
        }
    }
    let mut frames = wire::h3::Frames::default();
    let (used, _) = frames.read(&answer).unwrap();
    let length = usize::try_from(frames.frame().unwrap().length).unwrap();
    let mut status = 0;
    wire::h3::qpack::decode(&answer[used..used + length], 1 << 16, &mut Vec::new(), |name, value| {
        if name == b":status" {
            status = std::str::from_utf8(value).unwrap().parse().unwrap();
        }
    })
    .unwrap();
    Ok(status)
}

#[test]
fn what_cannot_be_said_in_http_1_is_refused_and_the_connection_goes_on() {
    let member = Member::named("one");
    let (_rig, address) = serving(&[member.address]);
    let with = |more: &[(&'static str, &'static str)]| fields(&[&GET[..], more].concat());
    let body = |length: &'static str, data: &[u8]| {
        [with(&[("content-length", length)]), frame(kind::DATA, data)].concat()
    };
    run(async {
        let (_endpoint, connection) = raw(address).await;
        for (why, said, expect) in [
            ("two hosts", with(&[("host", "u")]), Err(Code::MESSAGE_ERROR)),
            ("a capital letter", with(&[("X", "1")]), Err(Code::MESSAGE_ERROR)),
            ("of one connection", with(&[("connection", "close")]), Err(Code::MESSAGE_ERROR)),
            ("a coding of the transfer", with(&[("transfer-encoding", "chunked")]), Err(Code::MESSAGE_ERROR)),
            ("twice", with(&[(":path", "/")]), Err(Code::MESSAGE_ERROR)),
            ("behind others", fields(&[&[("x", "y")], &GET[..]].concat()), Err(Code::MESSAGE_ERROR)),
            ("no method", fields(&GET[1..]), Err(Code::MESSAGE_ERROR)),
            ("a line's end", with(&[("x", "a\r\nb: c")]), Err(Code::MESSAGE_ERROR)),
            ("a fragment", fields(&[GET[0], GET[1], GET[2], (":path", "/#x")]), Err(Code::MESSAGE_ERROR)),
            ("more than was said", body("3", b"four"), Err(Code::MESSAGE_ERROR)),
            ("no number", body("x", b"four"), Ok(400)),
            ("no head", vec![], Err(Code::REQUEST_INCOMPLETE)),
            (
                "an unknown protocol",
                fields(&[(":method", "CONNECT"), GET[1], GET[2], GET[3], (":protocol", "x")]),
                Ok(501),
            ),
            ("too many fields", with(&[("x", "y"); 2000]), Ok(431)),
            ("a block too long", frame(kind::HEADERS, &[0; 70_000]), Ok(431)),
            ("nothing wrong", fields(&GET), Ok(200)),
            (
                "unknown frames between",
                [frame(0x21, b"x"), fields(&GET), frame(0x40, &[0; 5000])].concat(),
                Ok(200),
            ),
        ] {
            let got = outcome(&connection, &said).await;
            assert_eq!(got, expect.map_err(|code| code.0), "{why}");
        }
        let fewer = outcome(&connection, &body("5", b"four")).await;
        assert_eq!(fewer, Err(Code::MESSAGE_ERROR.0), "fewer than was said");
    });
    let heads = member.heads.lock().unwrap();
    assert!(heads.iter().all(|head| head.starts_with("GET / HTTP/1.1\r\n")), "{heads:?}");
}

#[test]
fn what_breaks_the_protocol_ends_the_connection_with_its_code() {
    let member = Member::named("one");
    let (_rig, address) = serving(&[member.address]);
    let settings = frame(kind::SETTINGS, b"");
    run(async {
        for (why, said, expect) in [
            ("data without a head", frame(kind::DATA, b"x"), Code::FRAME_UNEXPECTED),
            ("settings on a request", settings.clone(), Code::FRAME_UNEXPECTED),
            ("a frame of HTTP/2", frame(0x8, b"1234"), Code::FRAME_UNEXPECTED),
            ("an end within a frame", fields(&GET)[..5].to_vec(), Code::FRAME_ERROR),
            ("a dynamic entry", frame(kind::HEADERS, &[0, 0, 0x80]), Code::QPACK_DECOMPRESSION_FAILED),
            (
                "data behind trailers",
                [fields(&GET), fields(&[("a", "b")]), frame(kind::DATA, b"x")].concat(),
                Code::FRAME_UNEXPECTED,
            ),
        ] {
            let (_endpoint, connection) = raw(address).await;
            let got = outcome(&connection, &said).await;
            assert_eq!(got, Err(expect.0), "{why}");
        }
        for (why, streams, expect) in [
            ("no settings", vec![stream_of(0, &frame(kind::GOAWAY, &[0]))], Code::MISSING_SETTINGS),
            (
                "settings twice",
                vec![stream_of(0, &[settings.clone(), settings.clone()].concat())],
                Code::FRAME_UNEXPECTED,
            ),
            ("wrong settings", vec![stream_of(0, &frame(kind::SETTINGS, &[2, 0]))], Code::SETTINGS_ERROR),
            ("two control streams", vec![stream_of(0, &settings); 2], Code::STREAM_CREATION_ERROR),
            ("a push", vec![stream_of(stream_type::PUSH, &[0])], Code::STREAM_CREATION_ERROR),
            (
                "a request on it",
                vec![stream_of(0, &[settings.clone(), fields(&GET)].concat())],
                Code::FRAME_UNEXPECTED,
            ),
            ("entries", vec![stream_of(2, &[0x4a])], Code::QPACK_ENCODER_STREAM_ERROR),
            ("acknowledged entries", vec![stream_of(3, &[0x84])], Code::QPACK_DECODER_STREAM_ERROR),
        ] {
            let (_endpoint, connection) = raw(address).await;
            for bytes in streams {
                let mut stream = connection.open_uni().await.unwrap();
                stream.write_all(&bytes).await.unwrap();
                // It stays open: its end would be an error of its own.
                std::mem::forget(stream);
            }
            match connection.closed().await {
                ConnectionError::ApplicationClosed(close) => {
                    assert_eq!(close.error_code.into_inner(), expect.0, "{why}");
                }
                other => panic!("{why}: {other}"),
            }
        }
        let (_endpoint, connection) = raw(address).await;
        let mut stream = connection.open_uni().await.unwrap();
        stream.write_all(&stream_of(0, &settings)).await.unwrap();
        stream.finish().unwrap();
        let closed = connection.closed().await;
        assert!(
            matches!(&closed, ConnectionError::ApplicationClosed(close)
                if close.error_code.into_inner() == Code::CLOSED_CRITICAL_STREAM.0),
            "{closed}"
        );
    });
    assert_eq!(member.heads.lock().unwrap().len(), 0);
}

#[test]
fn a_client_whose_address_changes_keeps_its_connection() {
    let member = Member::named("one");
    let (_rig, address) = serving(&[member.address]);
    run(async {
        for _ in 0..4 {
            let mut client = Client::connect(address).await;
            for _ in 0..6 {
                assert_eq!(client.get("/").await.0.status().as_u16(), 200);
                client.endpoint.rebind(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
            }
            assert_eq!(client.get("/").await.0.status().as_u16(), 200);
            assert!(client.connection.close_reason().is_none());
        }
    });
}

fn shown(connection: &quinn::Connection) -> Vec<u8> {
    let chain = connection.peer_identity().unwrap();
    chain.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>().unwrap()[0].to_vec()
}

#[test]
fn another_certificate_is_shown_at_once_and_connections_go_on() {
    let member = Member::named("one");
    let address = free_address();
    let before = listener(address, &[member.address]);
    let rig = Rig::serving(again(&before));
    let old = before.tls.as_ref().unwrap().certificates[0].chain_der[0].clone();
    run(async {
        let mut client = Client::connect(address).await;
        assert_eq!(shown(&client.connection), old);
        let new = certificate(&["t"]);
        let applied = apply(&rig, vec![over_tls(again(&before), tls_plan(&new, &[]))]);
        assert_eq!(applied, dataplane::Applied::default());
        assert_eq!(client.get("/").await.0.status().as_u16(), 200);
        let mut another = Client::connect(address).await;
        assert_eq!(shown(&another.connection), new.chain_der[0]);
        assert_eq!(another.get("/").await.0.status().as_u16(), 200);
        assert!(client.connection.close_reason().is_none());
    });
}

/// A member that answers `/slow` when it is let go.
fn slow(answer: String) -> (Member, Arc<AtomicBool>) {
    let go = Arc::new(AtomicBool::new(false));
    let told = go.clone();
    let member = Member::http(move |request| {
        while request.head.starts_with("GET /slow") && !told.load(Ordering::SeqCst) {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        ok(&answer)
    });
    (member, go)
}

#[test]
fn draining_answers_what_was_asked_and_then_ends_the_connection() {
    let (member, go) = slow("x".repeat(300_000));
    let (rig, address) = serving(&[member.address]);
    run(async {
        let mut client = Client::connect(address).await;
        let mut idle = Client::connect(address).await;
        assert_eq!(idle.get("/").await.0.status().as_u16(), 200);
        let mut asked = client.send(request(Method::GET, "/slow")).await;
        quic::eventually("the member is asked", || member.heads.lock().unwrap().len() == 2).await;
        let dataplane = rig.dataplane.clone();
        let drained = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(dataplane.drain(rig::PATIENCE));
        });
        let closed = idle.connection.closed().await;
        assert!(is_no_error(&closed), "{closed}");
        go.store(true, Ordering::SeqCst);
        let (head, body, _) = whole(&mut asked).await;
        assert_eq!((head.status().as_u16(), body.len()), (200, 300_000));
        let closed = client.connection.closed().await;
        assert!(is_no_error(&closed), "{closed}");
        quic::eventually("all has ended", || drained.is_finished()).await;
    });
    drop(rig);
}

fn is_no_error(closed: &ConnectionError) -> bool {
    matches!(closed, ConnectionError::ApplicationClosed(close) if close.error_code.into_inner() == Code::NO_ERROR.0)
}

#[test]
fn a_listener_that_is_deleted_and_made_anew_serves_new_clients_while_old_ones_end() {
    let (member, go) = slow("one".to_owned());
    let address = free_address();
    let first = listener(address, &[member.address]);
    let rig = Rig::serving(first);
    run(async {
        let mut client = Client::connect(address).await;
        let mut asked = client.send(request(Method::GET, "/slow")).await;
        quic::eventually("the member is asked", || member.heads.lock().unwrap().len() == 1).await;
        apply(&rig, vec![]);
        apply(&rig, vec![listener(address, &[member.address])]);
        for _ in 0..8 {
            let mut another = Client::connect(address).await;
            assert_eq!(another.get("/").await.0.status().as_u16(), 200);
        }
        go.store(true, Ordering::SeqCst);
        let (head, _, _) = whole(&mut asked).await;
        assert_eq!(head.status().as_u16(), 200, "what was asked before is answered");
        let closed = client.connection.closed().await;
        assert!(is_no_error(&closed), "{closed}");
    });
}

#[test]
fn an_address_that_another_process_leaves_is_served_by_the_next() {
    let member = Member::named("one");
    let (first, address) = serving(&[member.address]);
    // It binds beside the first one, as a process does that takes over.
    let second = Rig::serving(listener(address, &[member.address]));
    run(async {
        let mut client = Client::connect(address).await;
        assert_eq!(client.get("/").await.0.status().as_u16(), 200);
        let dataplane = first.dataplane.clone();
        let drained = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(dataplane.drain(rig::PATIENCE));
        });
        let closed = client.connection.closed().await;
        assert!(is_no_error(&closed), "{closed}");
        quic::eventually("the first one is gone", || drained.is_finished()).await;
        for _ in 0..8 {
            let mut client = loop {
                let endpoint = endpoint(settings(trusting(), 1 << 20));
                let connecting = endpoint.connect(address, "t").unwrap();
                // A packet may still meet the first one's sockets.
                if let Ok(Ok(connection)) = tokio::time::timeout(Duration::from_secs(2), connecting).await {
                    break Client::over(endpoint, connection).await;
                }
            };
            for _ in 0..4 {
                assert_eq!(client.get("/").await.0.status().as_u16(), 200);
                client.endpoint.rebind(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
            }
        }
    });
    drop((first, second));
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
    assert_eq!(rig.apply([listener(address, &[member.address])]), dataplane::Applied::default());
    run(async {
        // Clients whose first words are kept and said again by somebody who never goes on.
        let ear = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let endpoint = endpoint(settings(trusting(), 1 << 20));
        let mut connecting = Vec::new();
        let mut words = std::collections::BTreeMap::new();
        let mut piece = [0; 2048];
        while words.len() < 400 {
            connecting.push(endpoint.connect(ear.local_addr().unwrap(), "t").unwrap());
            let bytes = ear.recv(&mut piece).await.unwrap();
            let id = piece[6..14].to_vec();
            words.entry(id).or_insert_with(|| piece[..bytes].to_vec());
        }
        let mouth = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut retries = 0;
        // The kind of a packet is not hidden (RFC 9000 section 17.2.5).
        let mut note = |first: u8| retries += usize::from(first & 0xb0 == 0xb0);
        for word in words.values() {
            mouth.send_to(word, address).await.unwrap();
            mouth.readable().await.unwrap();
            while mouth.try_recv(&mut piece).is_ok() {
                note(piece[0]);
            }
        }
        let late = async {
            while mouth.recv(&mut piece).await.is_ok() {
                note(piece[0]);
            }
        };
        let _over = tokio::time::timeout(Duration::from_millis(300), late).await;
        assert!((1..=400 - 256).contains(&retries), "{retries} of 400");
        // Who shows it gets in.
        let mut client = Client::connect(address).await;
        assert_eq!(client.get("/").await.0.status().as_u16(), 200);
        drop(connecting);
    });
}

#[test]
fn early_requests_are_served_where_that_is_safe() {
    let member = Member::named("one");
    let address = free_address();
    let plan = listener(address, &[member.address]);
    let early = TlsPlan { early_data: true, ..tls_plan(&certificate(&["t"]), &[]) };
    let _rig = Rig::serving(over_tls(plan, early));
    run(async {
        let mut tls = trusting();
        tls.enable_early_data = true;
        let endpoint = endpoint(settings(tls, 1 << 20));
        let first = endpoint.connect(address, "t").unwrap().await.unwrap();
        let mut client = Client::over(endpoint.clone(), first).await;
        assert_eq!(client.get("/first").await.0.status().as_u16(), 200);
        for (method, path) in [(Method::GET, "/get"), (Method::POST, "/post")] {
            let connecting = endpoint.connect(address, "t").unwrap();
            let (connection, accepted) = connecting.into_0rtt().map_err(|_| "no session").unwrap();
            let mut client = Client::over(endpoint.clone(), connection).await;
            let mut asked = client.send(request(method, path)).await;
            assert!(accepted.await, "early data of {path} were taken");
            let (head, _, _) = whole(&mut asked).await;
            assert_eq!(head.status().as_u16(), 200, "{path}");
        }
    });
    let heads = member.heads.lock().unwrap();
    let marked: Vec<_> = heads.iter().map(|head| rig::header(head, "early-data")).collect();
    assert_eq!(marked, [None, Some("1".to_owned()), None], "{heads:?}");
}

#[test]
fn without_leave_nothing_is_taken_early() {
    let member = Member::named("one");
    let (_rig, address) = serving(&[member.address]);
    run(async {
        let mut tls = trusting();
        tls.enable_early_data = true;
        let endpoint = endpoint(settings(tls, 1 << 20));
        let first = endpoint.connect(address, "t").unwrap().await.unwrap();
        let mut client = Client::over(endpoint.clone(), first).await;
        assert_eq!(client.get("/").await.0.status().as_u16(), 200);
        assert!(endpoint.connect(address, "t").unwrap().into_0rtt().is_err());
    });
}

/// Puts these listeners in force, from within a client's runtime.
fn apply(rig: &Rig, listeners: Vec<ListenerPlan>) -> dataplane::Applied {
    std::thread::scope(|scope| scope.spawn(|| rig.apply(listeners)).join().unwrap())
}
