//! Compressed answers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "rig/h2.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod h2_client;
mod rig;

use std::{
    io::{BufReader, Read, Write},
    sync::{Arc, Condvar, Mutex},
};

use ::http::Method;
use rig::{Client, Member, Request, Rig, free_address, http, with_http};
use tokio::task::JoinSet;

fn decoded(response: &Request) -> Vec<u8> {
    let mut out = Vec::new();
    match response.header("content-encoding").as_deref() {
        None => return response.body.clone(),
        Some("gzip") => flate2::read::GzDecoder::new(&response.body[..]).read_to_end(&mut out).unwrap(),
        Some("br") => return brotli_decoded(&response.body),
        Some("zstd") => {
            zstd::stream::read::Decoder::new(&response.body[..]).unwrap().read_to_end(&mut out).unwrap()
        }
        Some(other) => panic!("{other}"),
    };
    out
}

fn brotli_decoded(coded: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    brotli::Decompressor::new(coded, 4096).read_to_end(&mut out).unwrap();
    out
}

fn text(bytes: usize) -> String {
    "all work and no play makes a dull body\n".chars().cycle().take(bytes).collect()
}

/// A listener that compresses, before a member that answers each request with this head and body.
fn serving(head: &'static str, body: String) -> (Rig, std::net::SocketAddr) {
    let member = Member::http(move |_| {
        format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into()
    });
    let address = free_address();
    (Rig::serving(with_http(http(address, &[member.address]), |http| http.gzip = true)), address)
}

#[test]
fn a_client_gets_the_coding_that_it_asks_for() {
    let body = text(300_000);
    let (_rig, address) = serving("200 OK\r\nContent-Type: text/html\r\nETag: \"v1\"", body.clone());
    let mut client = Client::connect(address);
    for (accept, coding) in
        [("gzip", Some("gzip")), ("br", Some("br")), ("zstd, gzip", Some("zstd")), ("identity", None)]
    {
        let response = client.ask(format!("GET / HTTP/1.1\r\nHost: t\r\nAccept-Encoding: {accept}\r\n\r\n"));
        assert_eq!(response.header("content-encoding").as_deref(), coding, "{accept}");
        assert_eq!(response.header("vary").as_deref(), Some("Accept-Encoding"), "{accept}");
        assert_eq!(response.header("content-length").is_none(), coding.is_some(), "{accept}");
        assert_eq!(
            response.header("etag").as_deref(),
            Some(if coding.is_some() { "W/\"v1\"" } else { "\"v1\"" })
        );
        assert!(
            coding.is_none() || response.body.len() < body.len() / 10,
            "{accept}: {} bytes",
            response.body.len()
        );
        assert_eq!(decoded(&response), body.as_bytes(), "{accept}");
    }
}

#[test]
fn what_must_not_be_changed_or_gains_nothing_passes_as_it_is() {
    for (why, head, bytes, request) in [
        (
            "coded already",
            "200 OK\r\nContent-Type: text/html\r\nContent-Encoding: br",
            1000,
            "GET / HTTP/1.1",
        ),
        (
            "a part",
            "206 Partial\r\nContent-Type: text/html\r\nContent-Range: bytes 0-999/2000",
            1000,
            "GET / HTTP/1.1",
        ),
        (
            "not to be changed",
            "200 OK\r\nContent-Type: text/html\r\nCache-Control: no-transform",
            1000,
            "GET / HTTP/1.1",
        ),
        ("no text", "200 OK\r\nContent-Type: image/png", 1000, "GET / HTTP/1.1"),
        ("of unknown type", "200 OK\r\nX: y", 1000, "GET / HTTP/1.1"),
        ("small", "200 OK\r\nContent-Type: text/html", 255, "GET / HTTP/1.1"),
        ("for an old client", "200 OK\r\nContent-Type: text/html", 1000, "GET / HTTP/1.0"),
    ] {
        let (_rig, address) = serving(head, text(bytes));
        let response =
            Client::connect(address).ask(format!("{request}\r\nHost: t\r\nAccept-Encoding: gzip\r\n\r\n"));
        assert_eq!(response.header("content-length"), Some(bytes.to_string()), "{why}");
        assert_eq!(response.body, text(bytes).as_bytes(), "{why}");
    }
}

#[test]
fn head_tells_the_length_of_the_plain_answer_and_a_listener_without_the_switch_changes_nothing() {
    let (_rig, address) = serving("200 OK\r\nContent-Type: text/html", text(1000));
    let mut client = Client::connect(address);
    client.send("HEAD / HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip\r\n\r\n");
    let head = rig::read_head(&mut client.reader).unwrap();
    assert_eq!(
        (rig::header(&head, "content-length").as_deref(), rig::header(&head, "content-encoding")),
        (Some("1000"), None)
    );

    let member = Member::http(|_| {
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n"
            .iter()
            .copied()
            .chain(text(1000).into_bytes())
            .collect()
    });
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    let response = Client::connect(address).ask("GET / HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!(
        (response.header("content-encoding"), response.header("vary"), response.body.len()),
        (None, None, 1000)
    );
}

#[test]
fn a_member_that_pauses_keeps_nobody_waiting_for_what_it_said() {
    let member = Member::start(|mut stream| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        Request::read(&mut reader).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").unwrap();
        // Only when the client has seen the first part does it ask for the second.
        Request::read(&mut reader);
    });
    let address = free_address();
    let _rig = Rig::serving(with_http(http(address, &[member.address]), |http| http.gzip = true));
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip\r\n\r\n");
    rig::read_head(&mut client.reader).unwrap();
    let mut seen = Vec::new();
    let mut plain = [0; 5];
    rig::eventually("the first part decodes", || {
        let mut piece = [0; 1024];
        let bytes = client.reader.read(&mut piece).unwrap();
        seen.extend_from_slice(&piece[..bytes]);
        // Behind the size line of the chunk.
        let from = seen.windows(2).position(|pair| pair == b"\r\n").map_or(seen.len(), |at| at + 2);
        flate2::read::GzDecoder::new(&seen[from..]).read_exact(&mut plain).is_ok()
    });
    assert_eq!(&plain, b"first");
}

#[test]
fn a_body_that_ends_with_its_connection_and_a_slow_reader_come_out_whole() {
    let body = text(3_000_000);
    let sent = body.clone();
    let member = Member::start(move |mut stream| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        Request::read(&mut reader).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n").unwrap();
        let _ = stream.write_all(sent.as_bytes());
    });
    let address = free_address();
    let _rig = Rig::serving(with_http(http(address, &[member.address]), |http| http.gzip = true));
    let response = Client::connect(address).ask("GET / HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip\r\n\r\n");
    assert!(decoded(&response) == body.as_bytes(), "the body is whole");
}

#[test]
fn a_connection_with_many_answers_has_room_to_compress_some_of_them_at_once() {
    let body = text(10_000);
    let released = Arc::new((Mutex::new(false), Condvar::new()));
    let (said, waits) = (body.clone(), released.clone());
    let member = Member::start(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while rig::read_head(&mut reader).is_some() {
            let mut answer =
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            wire::h1::push_chunk(&mut answer, said.as_bytes());
            stream.write_all(&answer).unwrap();
            drop(waits.1.wait_while(waits.0.lock().unwrap(), |released| !*released).unwrap());
            stream.write_all(b"0\r\n\r\n").unwrap();
        }
    });
    let address = free_address();
    let _rig = Rig::serving(with_http(http(address, &[member.address]), |http| {
        http.gzip = true;
        http.http2 = true;
    }));
    rig::run(async {
        let (mut client, _connection) = h2_client::connect(address).await;
        let mut ask = || {
            let mut asked = h2_client::request(Method::GET, "/");
            asked.headers_mut().insert("accept-encoding", "br".parse().unwrap());
            client.send_request(asked, true).unwrap().0
        };
        let mut begun = Vec::new();
        for response in (0..20).map(|_| ask()).collect::<Vec<_>>() {
            let response = response.await.unwrap();
            assert_eq!(response.headers()["vary"], "Accept-Encoding");
            begun.push(response);
        }
        let coded = |response: &::http::Response<_>| response.headers().contains_key("content-encoding");
        assert_eq!(begun.iter().filter(|response| coded(response)).count(), 8);
        *released.0.lock().unwrap() = true;
        released.1.notify_all();
        // All at once: the bodies together are more than the connection's window, and
        // those that wait to be read would starve the one that is.
        let mut reading = JoinSet::new();
        for response in begun {
            reading.spawn_local(async move {
                let coded = coded(&response);
                (coded, h2_client::whole(async { Ok(response) }).await.1)
            });
        }
        while let Some(read) = reading.join_next().await {
            let (coded, came) = read.unwrap();
            let came = if coded { brotli_decoded(&came) } else { came };
            assert!(came == body.as_bytes(), "coded: {coded}, {} bytes", came.len());
        }
        assert!(coded(&ask().await.unwrap()), "the room is free again");
    });
}
