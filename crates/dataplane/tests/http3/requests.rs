//! Requests, answers, tunnels.

use std::{
    io::{BufReader, Read, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use h3::error::{Code as ClientCode, StreamError};
use http::{HeaderMap, Method};
use quinn::VarInt;
use wire::h3::kind;

use crate::{
    echo::{body_member, long_body, websocket_member},
    quic::{Client, frame, raw, request, websocket, whole},
    rig::{self, Member, eventually_async, ok, run},
    serving,
};

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
    let member = body_member();
    let (_rig, address) = serving(&[member.address]);
    let sent = long_body();
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
        eventually_async("the member is asked", || member.connection_count() > 0).await;
        asked.stop_sending(ClientCode::H3_REQUEST_CANCELLED);
        eventually_async("the member is told", || *ended.lock().unwrap()).await;
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
        eventually_async("the member is asked", || member.connection_count() == 5).await;
        client.connection.close(VarInt::from_u32(0x100), b"");
        eventually_async("the member is told", || ended.load(Ordering::SeqCst) == 5).await;
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
    let member = websocket_member("");
    let (_rig, address) = serving(&[member.address]);
    run(async {
        let (_endpoint, connection) = raw(address).await;
        let ((mut up, mut down), block) = websocket(&connection).await;
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
