//! Bodies: who waits for whom, and what becomes of those that end in another way than they should.

use std::{
    io::{Read, Write},
    sync::Arc,
};

use crate::rig::{self, Client, Member, Request, Rig, free_address, http, ok};

#[test]
fn the_member_is_asked_before_a_client_sends_its_body() {
    let member = Member::start(|mut stream| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        let head = rig::read_head(&mut reader).unwrap();
        assert_eq!(rig::header(&head, "expect").as_deref(), Some("100-continue"));
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        let mut body = [0; 5];
        reader.read_exact(&mut body).unwrap();
        stream.write_all(&ok(std::str::from_utf8(&body).unwrap())).unwrap();
    });
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    let mut client = Client::connect(address);
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(rig::read_head(&mut client.reader).unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    let response = client.ask("hello");
    assert_eq!((response.text(), response.header("connection")), ("hello", None));
}

#[test]
fn a_client_that_is_refused_its_body_is_told_that_the_connection_ends() {
    let member = Member::http(|_| b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n".to_vec());
    // Our member reads bodies whole, so this one is read by its head only.
    let refusing = Member::start(|mut stream| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        rig::read_head(&mut reader).unwrap();
        stream.write_all(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n").unwrap();
        let _ = reader.read(&mut [0; 16]);
    });
    drop(member);
    let address = free_address();
    let _rig = Rig::serving(http(address, &[refusing.address]));
    let mut client = Client::connect(address);
    let response =
        client.ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!((response.status(), response.header("connection").as_deref()), (403, Some("close")));
    assert_eq!(client.rest(), b"");
}

#[test]
fn an_answer_before_the_end_of_the_request_reaches_the_client() {
    let member = Member::start(|mut stream| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        rig::read_head(&mut reader).unwrap();
        stream
            .write_all(b"HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\nConnection: close\r\n\r\nstop")
            .unwrap();
    });
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    let mut client = Client::connect(address);
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100000000\r\n\r\nbeginning");
    let response = client.response();
    assert_eq!((response.status(), response.text()), (413, "stop"));
}

#[test]
fn both_directions_stream_at_the_same_time() {
    let member = Member::start(|mut stream| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        rig::read_head(&mut reader).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").unwrap();
        for _ in 0..3 {
            let mut piece = [0; 3];
            reader.read_exact(&mut piece).unwrap();
            stream.write_all(&piece).unwrap();
        }
    });
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    let mut client = Client::connect(address);
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n");
    assert!(rig::read_head(&mut client.reader).unwrap().starts_with("HTTP/1.1 200"));
    for piece in ["abc", "def", "ghi"] {
        client.send(piece);
        let mut echo = [0; 3];
        client.reader.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, piece.as_bytes(), "an echo before the request is complete");
    }
}

#[test]
fn large_bodies_arrive_whole_in_both_directions_and_past_slow_readers() {
    const BYTES: usize = 24 << 20;
    // Made once and compared as a whole, so that the listener's timeouts do not depend on how fast a test counts bytes.
    let bytes_of = |lap: usize| -> Arc<Vec<u8>> {
        let lap: Vec<u8> = (0..lap).map(|n| n as u8).collect();
        Arc::new(lap.iter().copied().cycle().take(BYTES).collect())
    };
    let (up, down) = (bytes_of(253), bytes_of(251));
    let (asked, answer) = (up.clone(), down.clone());
    let member = Member::start(move |mut stream| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        let mut body = vec![0; BYTES];
        while rig::read_head(&mut reader).is_some() {
            body.fill(0);
            reader.read_exact(&mut body).unwrap();
            let whole = body == *asked;
            let head = format!("HTTP/1.1 200 OK\r\nX-Whole: {whole}\r\nContent-Length: {BYTES}\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    let mut client = Client::connect(address);
    let mut got = vec![0; BYTES];
    for pause_every in [BYTES, 1 << 20] {
        client.send(format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {BYTES}\r\n\r\n"));
        client.send(&*up);
        let head = rig::read_head(&mut client.reader).unwrap();
        assert_eq!(rig::header(&head, "x-whole").as_deref(), Some("true"));
        got.fill(0);
        for (n, piece) in got.chunks_mut(pause_every).enumerate() {
            client.reader.read_exact(piece).unwrap();
            if n % 4 == 1 {
                std::thread::park_timeout(std::time::Duration::from_millis(20));
            }
        }
        assert!(got == *down, "the answer is whole");
    }
}

#[test]
fn a_connection_with_bytes_left_over_is_never_used_again() {
    let member = Member::http(|_| {
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
            .to_vec()
    });
    let address = free_address();
    let _rig = Rig::with_workers(1);
    _rig.apply([http(address, &[member.address])]);
    let mut client = Client::connect(address);
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "ok");
    }
    assert_eq!(member.connection_count(), 3);
}

#[test]
fn a_response_that_breaks_off_is_seen_to_break_off() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let member = Member::start(move |mut stream| {
            let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
            Request::read(&mut reader);
            stream.write_all(response.as_bytes()).unwrap();
        });
        let address = free_address();
        let _rig = Rig::serving(http(address, &[member.address]));
        let mut client = Client::connect(address);
        client.send("GET / HTTP/1.0\r\n\r\n");
        assert!(client.is_reset(), "{response:?}");
    }
}

#[test]
fn an_answer_is_not_lost_when_the_client_sends_more_than_it_is_asked_for() {
    let body = "x".repeat(100_000);
    let answer = body.clone();
    let member = Member::http(move |_| ok(&answer));
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    for (why, request) in [
        (
            "a stray line end",
            "POST / HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 1\r\n\r\na\r\n".to_owned(),
        ),
        ("much", format!("GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n{}", "y".repeat(300_000))),
        ("the end", "GET / HTTP/1.0\r\n\r\n".to_owned()),
    ] {
        for _ in 0..20 {
            let mut client = Client::connect(address);
            client.send(&request);
            if why == "the end" {
                client.stream.shutdown(std::net::Shutdown::Write).unwrap();
            }
            let response = client.rest();
            assert!(response.ends_with(body.as_bytes()), "{why}: {} bytes", response.len());
        }
    }
}
