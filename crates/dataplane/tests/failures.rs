//! What clients get when members fail, and what is tried before.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod rig;

use std::{
    io::{BufReader, Read, Write},
    net::SocketAddr,
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use model::Weight;
use rig::{
    BEFORE_OTHER_LIMITS, Client, FullQueue, ListenerPlan, Member, Request, Rig, again, free_address, get,
    http, ok, with_http, with_target,
};

/// A member that takes requests and says nothing.
fn silent() -> Member {
    Member::start(|stream| {
        let mut reader = BufReader::new(stream);
        while Request::read(&mut reader).is_some() {}
    })
}

/// A member that closes after reading a request.
fn closing() -> Member {
    Member::start(|stream| {
        Request::read(&mut BufReader::new(stream));
    })
}

fn nobody() -> SocketAddr {
    free_address()
}

#[test]
fn an_answer_of_our_own_says_why() {
    let member = Member::named("x");
    let address = free_address();
    let plain = http(address, &[member.address]);
    let rig = Rig::start();
    type Change = fn(ListenerPlan) -> ListenerPlan;
    for (why, change, status, code) in [
        (
            "no pool",
            (|listener| ListenerPlan { default_target: None, ..listener }) as Change,
            404,
            Some("40000"),
        ),
        ("no members", |listener| with_target(listener, |target| target.members.clear()), 404, Some("40000")),
        (
            "weight 0 only",
            |listener| with_target(listener, |target| target.members[0].weight = Weight::of(0)),
            503,
            Some("50000"),
        ),
        (
            "a port that is closed",
            |listener| with_target(listener, |target| target.members[0].address = nobody()),
            502,
            None,
        ),
    ] {
        rig.apply([change(again(&plain))]);
        let mut client = Client::connect(address);
        for _ in 0..2 {
            let response = client.get("/");
            assert_eq!(response.status(), status, "{why}");
            assert_eq!(response.header("x-router-code").as_deref(), code, "{why}");
            assert_eq!(response.header("server").as_deref(), Some("elb"), "{why}");
            assert_eq!(response.header("connection"), None, "{why}: the connection goes on");
        }
        client.send("HEAD / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        assert!(client.rest().ends_with(b"\r\n\r\n"), "{why}: no body for HEAD");
    }
}

#[test]
fn a_member_that_answers_no_http_is_a_bad_gateway() {
    for garbage in
        ["SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", ""]
    {
        let member = Member::start(move |mut stream| {
            Request::read(&mut BufReader::new(stream.try_clone().unwrap()));
            stream.write_all(garbage.as_bytes()).unwrap();
        });
        let address = free_address();
        let _rig = Rig::serving(http(address, &[member.address]));
        assert_eq!(get(address).status(), 502, "{garbage:?}");
    }
}

#[test]
fn a_switch_of_protocol_that_nobody_asked_for_is_a_bad_gateway() {
    let member = Member::http(|_| {
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n".to_vec()
    });
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    assert_eq!(get(address).status(), 502);
}

#[test]
fn another_member_is_tried_when_one_cannot_be_reached() {
    let member = Member::named("alive");
    let address = free_address();
    let rig = Rig::with_workers(1);
    let listener = http(address, &[nobody(), nobody(), member.address]);
    rig.apply([again(&listener)]);
    for _ in 0..10 {
        assert_eq!(get(address).text(), "alive");
        let post = Client::connect(address).ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nab");
        assert_eq!(post.text(), "alive", "nothing was sent, so every method may be repeated");
    }
    assert!(member.heads.lock().unwrap().len() == 20);

    rig.apply([with_http(again(&listener), |http| http.member_retry = false)]);
    let statuses: Vec<u16> = (0..9).map(|_| get(address).status()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 502).count(), 6, "{statuses:?}");
}

#[test]
fn another_member_is_tried_when_one_refuses_late() {
    let (full, alive) = (FullQueue::start(), Member::named("alive"));
    let address = free_address();
    let rig = Rig::with_workers(1);
    rig.apply([http(address, &[full.address, alive.address])]);
    let mut clients = [Client::connect(address), Client::connect(address)];
    clients
        .iter_mut()
        .for_each(|client| client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nab"));
    rig::eventually("one of them is served", || alive.connection_count() == 1);
    drop(full);
    for client in &mut clients {
        assert_eq!(client.response().text(), "alive");
    }
    assert_eq!(alive.heads.lock().unwrap().len(), 2);
}

#[test]
fn a_kept_connection_that_the_member_closed_fails_no_request() {
    let member = Member::start(|mut stream| {
        // Answers one request without a word of closing, and closes a moment later.
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        if Request::read(&mut reader).is_some() {
            stream.write_all(&ok("once")).unwrap();
        }
    });
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    let mut client = Client::connect(address);
    for _ in 0..200 {
        assert_eq!(client.get("/").text(), "once");
    }
}

#[test]
fn only_what_is_safe_is_sent_twice() {
    let seen = Arc::new(AtomicU64::new(0));
    let counted = seen.clone();
    let breaking = Member::start(move |stream| {
        // Counted before the connection ends, which is what the client is told of.
        if Request::read(&mut BufReader::new(&stream)).is_some() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let address = free_address();
    let _rig = Rig::with_workers(1);
    let listener = http(address, &[breaking.address, breaking.address]);
    _rig.apply([listener]);
    for (request, attempts) in [
        ("GET / HTTP/1.1\r\nHost: t\r\n\r\n", 2),
        ("DELETE / HTTP/1.1\r\nHost: t\r\n\r\n", 2),
        ("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n", 1),
        ("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nab", 1),
        ("PATCH / HTTP/1.1\r\nHost: t\r\n\r\n", 1),
    ] {
        seen.store(0, Ordering::SeqCst);
        assert_eq!(Client::connect(address).ask(request).status(), 502, "{request:?}");
        assert_eq!(seen.load(Ordering::SeqCst), attempts, "{request:?}");
    }
}

#[test]
fn a_member_that_breaks_is_replaced_by_another() {
    let alive = Member::named("alive");
    let address = free_address();
    let _rig = Rig::serving(http(address, &[closing().address, alive.address]));
    for _ in 0..6 {
        assert_eq!(get(address).text(), "alive");
    }
}

#[test]
fn a_member_that_does_not_answer_in_time_is_replaced_or_answered_for() {
    let alive = Member::named("alive");
    let address = free_address();
    let soon = |listener| with_http(listener, |http| http.response_timeout = Duration::from_millis(200));
    let rig = Rig::with_workers(1);
    rig.apply([soon(http(address, &[silent().address, alive.address]))]);
    for _ in 0..4 {
        assert_eq!(get(address).text(), "alive");
    }
    for (members, attempts) in [(vec![silent().address], 1), (vec![silent().address, silent().address], 2)] {
        rig.apply([soon(http(address, &members))]);
        let began = Instant::now();
        assert_eq!(get(address).status(), 504);
        let (took, wanted) = (began.elapsed(), Duration::from_millis(200) * attempts);
        assert!(took >= wanted && took < BEFORE_OTHER_LIMITS, "{took:?} for {attempts}");
    }
    let members = [silent(), silent()];
    rig.apply([soon(http(address, &members.each_ref().map(|member| member.address)))]);
    let mut post = Client::connect(address);
    assert_eq!(post.ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\na").status(), 504);
    assert_eq!(members.iter().map(Member::connection_count).sum::<u64>(), 1, "sent once");
}

#[test]
fn a_member_that_cannot_be_connected_to_in_time_is_a_gateway_timeout() {
    let full = FullQueue::start();
    let address = free_address();
    let rig = Rig::start();
    let soon = |mut listener: ListenerPlan| {
        listener.connect_timeout = Duration::from_millis(200);
        listener
    };
    rig.apply([soon(http(address, &[full.address]))]);
    let began = Instant::now();
    assert_eq!(get(address).status(), 504);
    assert!(began.elapsed() < BEFORE_OTHER_LIMITS, "{:?}", began.elapsed());

    let alive = Member::named("alive");
    rig.apply([soon(http(address, &[full.address, alive.address]))]);
    for _ in 0..4 {
        let post = Client::connect(address).ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nab");
        assert_eq!(post.text(), "alive");
    }
}

#[test]
fn requests_that_do_not_come_in_time_are_told_so() {
    let member = Member::named("x");
    let address = free_address();
    let _rig = Rig::serving(with_http(http(address, &[member.address]), |http| {
        http.request_timeout = Duration::from_millis(300);
    }));
    for (why, first, beginning, answered) in [
        ("half a head", "", "GET / HTTP/1.1\r\nHo", true),
        ("half a head, later", "GET / HTTP/1.1\r\nHost: t\r\n\r\n", "GET / HTTP/1.1\r\nHo", true),
        ("half a body", "", "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc", true),
        ("nothing", "", "", false),
    ] {
        let mut client = Client::connect(address);
        if !first.is_empty() {
            assert_eq!(client.ask(first).status(), 200, "{why}");
        }
        let began = Instant::now();
        client.send(beginning);
        let rest = String::from_utf8(client.rest()).unwrap();
        let took = began.elapsed();
        assert_eq!(rest.starts_with("HTTP/1.1 408 "), answered, "{why}: {rest}");
        assert_eq!(rest.is_empty(), !answered, "{why}: {rest}");
        assert!(took >= Duration::from_millis(250) && took < BEFORE_OTHER_LIMITS, "{why}: {took:?}");
    }
}

#[test]
fn a_slow_but_steady_body_is_no_timeout_and_a_slow_head_is_one() {
    let member = Member::named("x");
    let address = free_address();
    let _rig = Rig::serving(with_http(http(address, &[member.address]), |http| {
        http.request_timeout = Duration::from_millis(400);
    }));
    let drip = |client: &mut Client, bytes: &[u8]| {
        for byte in bytes {
            if client.stream.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
    };
    let mut client = Client::connect(address);
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n");
    drip(&mut client, b"0123456789");
    assert_eq!(client.response().status(), 200);
    let mut client = Client::connect(address);
    drip(&mut client, b"GET / HTTP/1.1");
    assert!(client.rest().starts_with(b"HTTP/1.1 408 "));
}

#[test]
fn idle_connections_are_closed_in_time() {
    let member = Member::named("x");
    let address = free_address();
    let mut listener = http(address, &[member.address]);
    listener.idle_timeout = Duration::from_millis(300);
    let _rig = Rig::serving(listener);
    let mut client = Client::connect(address);
    client.get("/");
    let began = Instant::now();
    assert_eq!(client.rest(), b"");
    let took = began.elapsed();
    assert!(took > Duration::from_millis(250) && took < BEFORE_OTHER_LIMITS, "{took:?}");
}

#[test]
fn a_response_that_stalls_is_cut_off_in_time() {
    let member = Member::start(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        Request::read(&mut reader);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome").unwrap();
        Request::read(&mut reader);
    });
    let address = free_address();
    let _rig = Rig::serving(with_http(http(address, &[member.address]), |http| {
        http.response_timeout = Duration::from_millis(200);
    }));
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(client.is_reset());
}

#[test]
fn a_response_to_the_end_of_a_connection_that_breaks_off_never_looks_whole() {
    let broken = Arc::new(Barrier::new(2));
    let waits = broken.clone();
    let member = Member::start(move |mut stream| {
        rig::read_head(&mut BufReader::with_capacity(512, stream.try_clone().unwrap()));
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\npart").unwrap();
        waits.wait();
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    let mut client = Client::connect(address);
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000000\r\n\r\n");
    assert!(rig::read_head(&mut client.reader).unwrap().contains("Transfer-Encoding: chunked"));
    let mut part = [0; 9];
    client.reader.read_exact(&mut part).unwrap();
    assert_eq!(&part, b"4\r\npart\r\n");
    // The news of the reset comes to a write, and the read after it finds an end.
    client.send_all_that_is_taken();
    broken.wait();
    assert!(client.is_reset());
}

#[test]
fn every_request_is_counted_once() {
    let member = Member::http(|request| match request.head.contains("/404") {
        true => b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_vec(),
        false => ok("x"),
    });
    let address = free_address();
    let rig = Rig::with_workers(1);
    let listener = http(address, &[member.address]);
    let id = listener.id;
    rig.apply([listener]);
    let mut client = Client::connect(address);
    client.get("/");
    client.get("/404");
    client.send("nonsense\r\n\r\n");
    client.rest();
    let counters = rig.registry.listener(id, 0);
    rig::eventually("all is counted", || counters.active.value() == 0);
    assert_eq!((counters.requests(), counters.class(2), counters.class(4)), (3, 1, 2));
    assert_eq!(counters.own(telemetry::OwnAnswer::BadRequest), 1);
    assert_eq!(counters.connections.value(), 1);
}
