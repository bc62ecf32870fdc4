//! Clients that go away while a member works for them: their requests are given up at once, counted and written down once.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

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
    net::{Shutdown, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use http2::{connect, request};
use records::{logging, records};
use rig::{Client, Member, Rig, eventually, free_address, http, ok, reset, run, with_http};
use secured::{Like, TlsClient, certificate, client_config, over_tls, tls_plan};

const GET: &str = "GET /slow HTTP/1.1\r\nHost: t\r\n\r\n";

/// A member that sends these bytes when it has a request, and then nothing; it counts connections that were closed then.
struct Silent {
    member: Member,
    asked: Arc<AtomicU64>,
    given_up: Arc<AtomicU64>,
}

impl Silent {
    fn start(first: &'static [u8]) -> Self {
        let (asked, given_up): (Arc<AtomicU64>, Arc<AtomicU64>) = Default::default();
        let (saw, ended) = (asked.clone(), given_up.clone());
        let member = Member::start(move |mut stream| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            if rig::read_head(&mut reader).is_none() {
                return;
            }
            saw.fetch_add(1, SeqCst);
            stream.write_all(first).unwrap();
            // A body may come, then an end or a reset.
            while matches!(reader.read(&mut [0; 1024]), Ok(1..)) {}
            ended.fetch_add(1, SeqCst);
        });
        Self { member, asked, given_up }
    }

    fn wait_until_asked(&self, times: u64) {
        eventually("the member has the request", || self.asked.load(SeqCst) == times);
    }

    fn wait_until_given_up(&self, times: u64) {
        eventually("the member's connection is closed", || self.given_up.load(SeqCst) == times);
    }
}

/// A listener whose timeouts no test waits for.
fn patient(listener: plan::ListenerPlan) -> plan::ListenerPlan {
    let listener = with_http(listener, |http| {
        http.response_timeout = Duration::from_secs(300);
        http.request_timeout = Duration::from_secs(300);
    });
    plan::ListenerPlan { idle_timeout: Duration::from_secs(300), ..listener }
}

/// What was counted: requests, clients gone, connections that are open, requests that members have in work.
fn counted(rig: &Rig, listener: &plan::ListenerPlan) -> [u64; 4] {
    let target = listener.default_target.as_ref().unwrap();
    let mut counted = [0; 4];
    for worker in 0..2 {
        let of = rig.registry.listener(listener.id, worker);
        let member = rig.registry.member(target.id, target.members[0].id, worker);
        let now = [of.requests(), of.client_gone(), of.active.value(), member.active.value()];
        for (sum, more) in counted.iter_mut().zip(now) {
            *sum += more;
        }
    }
    counted
}

fn wait_until_counted(rig: &Rig, listener: &plan::ListenerPlan, expected: [u64; 4]) {
    let mut last = [0; 4];
    eventually(&format!("{expected:?} are counted"), || {
        last = counted(rig, listener);
        last == expected
    });
}

#[test]
fn a_client_that_resets_gives_its_request_up_at_once() {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome";
    for (why, sent, first) in [
        ("before the answer", GET.to_owned(), &b""[..]),
        ("in the middle of the answer", GET.to_owned(), HEAD),
        ("with a request in the pipeline", format!("{GET}{GET}"), b""),
        (
            "with a body that is whole",
            "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
            b"",
        ),
        (
            "with an upgrade asked for",
            GET.replace("\r\n\r\n", "\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
            b"",
        ),
    ] {
        let silent = Silent::start(first);
        let address = free_address();
        let listener = patient(http(address, &[silent.member.address]));
        let (rig, dir) = logging(rig::again(&listener));
        let mut client = Client::connect(address);
        client.send(sent);
        silent.wait_until_asked(1);
        if !first.is_empty() {
            client.reader.read_exact(&mut vec![0; first.len()]).unwrap();
        }
        reset(client);
        silent.wait_until_given_up(1);
        wait_until_counted(&rig, &listener, [1, 1, 0, 0]);
        let record = &records(&dir, 1)[0];
        assert!(record.contains(" 499 \""), "{why}: {record}");
    }
}

#[test]
fn a_reset_is_noticed_behind_requests_that_were_sent_while_another_was_served() {
    let silent = Silent::start(b"");
    let address = free_address();
    let listener = patient(http(address, &[silent.member.address]));
    let rig = Rig::serving(rig::again(&listener));
    let mut client = Client::connect(address);
    client.send(GET);
    silent.wait_until_asked(1);
    client.send(GET);
    reset(client);
    silent.wait_until_given_up(1);
    wait_until_counted(&rig, &listener, [1, 1, 0, 0]);
}

#[test]
fn a_client_of_tls_that_resets_gives_its_request_up_at_once() {
    let silent = Silent::start(b"");
    let address = free_address();
    let plain = patient(http(address, &[silent.member.address]));
    let listener = over_tls(rig::again(&plain), tls_plan(&certificate(&["t"]), &[]));
    let (rig, dir) = logging(listener);
    let mut client = TlsClient::connect(address, &Arc::new(client_config(Like::default())), "t");
    client.send(GET);
    silent.wait_until_asked(1);
    let tcp: &TcpStream = &client.reader.get_ref().sock;
    socket2::SockRef::from(tcp).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    silent.wait_until_given_up(1);
    wait_until_counted(&rig, &plain, [1, 1, 0, 0]);
    let record = &records(&dir, 1)[0];
    assert!(record.contains(" 499 \"GET "), "{record}");
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answers() {
    let member = Member::http(|request| ok(request.head.split(' ').nth(1).unwrap()));
    let address = free_address();
    let listener = patient(http(address, &[member.address]));
    let rig = Rig::serving(rig::again(&listener));
    for (why, sent, answers) in [
        ("one", "GET /1 HTTP/1.1\r\nHost: t\r\n\r\n".to_owned(), &["/1"][..]),
        (
            "some",
            ["/1", "/2", "/3"].map(|path| format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n")).concat(),
            &["/1", "/2", "/3"],
        ),
    ] {
        let mut client = Client::connect(address);
        client.send(sent);
        client.stream.shutdown(Shutdown::Write).unwrap();
        for answer in answers {
            assert_eq!(client.response().text(), *answer, "{why}");
        }
        assert_eq!(client.rest(), b"", "{why}");
    }
    wait_until_counted(&rig, &listener, [4, 0, 0, 0]);
}

#[test]
fn a_half_closed_client_gets_an_answer_that_comes_later() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let member = Member::http(move |_| {
        wait.lock().unwrap().recv().unwrap();
        ok("late")
    });
    let address = free_address();
    let listener = patient(http(address, &[member.address]));
    let rig = Rig::serving(rig::again(&listener));
    let mut client = Client::connect(address);
    client.send(GET);
    eventually("the member has it", || !member.heads.lock().unwrap().is_empty());
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(counted(&rig, &listener)[..2], [0, 0]);
    go.send(()).unwrap();
    assert_eq!(client.response().text(), "late");
    assert_eq!(client.rest(), b"");
    wait_until_counted(&rig, &listener, [1, 0, 0, 0]);
}

#[test]
fn requests_sent_while_another_was_served_are_served_in_turn() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let member = Member::http(move |request| {
        let path = request.head.split(' ').nth(1).unwrap();
        if path == "/0" {
            wait.lock().unwrap().recv().unwrap();
        }
        ok(&format!("{path}:{}", request.body.len()))
    });
    let address = free_address();
    let _rig = Rig::serving(patient(http(address, &[member.address])));
    let mut client = Client::connect(address);
    client.send("GET /0 HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("the member has the first", || member.heads.lock().unwrap().len() == 1);
    // More than is read before its turn, cut in the middle of a head.
    let large =
        format!("POST /1 HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000));
    client.send(large);
    client.send("GET /2 HTTP/1.1\r\nHo");
    go.send(()).unwrap();
    assert_eq!(client.response().text(), "/0:0");
    assert_eq!(client.response().text(), "/1:100000");
    client.send("st: t\r\n\r\n");
    assert_eq!(client.response().text(), "/2:0");
}

#[test]
fn a_stream_of_http2_that_its_client_resets_is_counted_and_written_down_once() {
    let silent = Silent::start(b"");
    let address = free_address();
    let listener = patient(with_http(http(address, &[silent.member.address]), |http| http.http2 = true));
    let (rig, dir) = logging(rig::again(&listener));
    run(async {
        let (mut client, _connection) = connect(address).await;
        for (times, (method, whole)) in
            [(::http::Method::GET, true), (::http::Method::POST, false)].into_iter().enumerate()
        {
            let (response, mut stream) = client.send_request(request(method, "/"), whole).unwrap();
            while silent.asked.load(SeqCst) == times as u64 {
                tokio::task::yield_now().await;
            }
            stream.send_reset(h2::Reason::CANCEL);
            assert!(response.await.is_err());
            while silent.given_up.load(SeqCst) == times as u64 {
                tokio::task::yield_now().await;
            }
        }
    });
    for record in records(&dir, 2) {
        assert!(record.contains(" 499 \"") && record.contains(" HTTP/2.0\" "), "{record}");
    }
    wait_until_counted(&rig, &listener, [2, 2, 0, 0]);
}

#[test]
fn a_stream_of_http2_that_is_reset_with_its_head_is_counted_and_written_down_once() {
    let silent = Silent::start(b"");
    let address = free_address();
    let listener = patient(with_http(http(address, &[silent.member.address]), |http| http.http2 = true));
    let (rig, dir) = logging(rig::again(&listener));
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream][..], payload].concat()
    };
    // GET / of http://a, in HPACK's static table; then RST_STREAM with CANCEL.
    let asked = frame(1, 5, 1, &[0x82, 0x86, 0x84, 0x41, 1, b'a']);
    let mut stream = TcpStream::connect(address).unwrap();
    let all = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &frame(4, 0, 0, &[])[..],
        &asked,
        &frame(3, 0, 1, &[0, 0, 0, 8]),
    ];
    stream.write_all(&all.concat()).unwrap();
    let record = &records(&dir, 1)[0];
    assert!(record.contains(" 499 \"GET http://a/ HTTP/2.0\" "), "{record}");
    wait_until_counted(&rig, &listener, [1, 1, 1, 0]);
}

#[test]
fn streams_of_an_http2_connection_that_breaks_are_counted_and_written_down_once_each() {
    let silent = Silent::start(b"");
    let address = free_address();
    let listener = patient(with_http(http(address, &[silent.member.address]), |http| http.http2 = true));
    let (rig, dir) = logging(rig::again(&listener));
    run(async {
        let (mut client, connection) = connect(address).await;
        let waiting: Vec<_> =
            (0..3).map(|_| client.send_request(request(::http::Method::GET, "/"), true).unwrap()).collect();
        while silent.asked.load(SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
        connection.abort();
        drop(waiting);
    });
    silent.wait_until_given_up(3);
    for record in records(&dir, 3) {
        assert!(record.contains(" 499 \""), "{record}");
    }
    wait_until_counted(&rig, &listener, [3, 3, 0, 0]);
}
