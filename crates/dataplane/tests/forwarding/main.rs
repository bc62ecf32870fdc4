//! Requests and responses through an HTTP listener.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../rig/mod.rs"]
mod rig;

mod bodies;

use std::io::{Read, Write};

use model::listener::DesyncMode;
use rig::{Client, Member, Request, Rig, free_address, get, http, ok, with_http};

#[test]
fn a_request_reaches_a_member_with_our_headers_and_without_those_of_the_hop() {
    let member = Member::named("one");
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    let response = Client::connect(address).ask(
        "GET /path?query HTTP/1.1\r\nHost: example.test\r\nX-Forwarded-For: 192.0.2.9\r\nX-Real-IP: 192.0.2.9\r\n\
         X_Real_IP: 192.0.2.9\r\nX-Forwarded-Proto: https\r\nConnection: x-private\r\nX-Private: 1\r\nTE: trailers\r\n\
         Keep-Alive: 5\r\nX-Other: kept\r\n\r\n",
    );
    assert_eq!((response.status(), response.text()), (200, "one"));
    assert_eq!(response.header("server").as_deref(), Some("elb"));
    let head = member.heads.lock().unwrap().remove(0);
    assert!(head.starts_with("GET /path?query HTTP/1.1\r\nHost: example.test\r\n"), "{head}");
    for (name, value) in [
        ("x-forwarded-for", Some("192.0.2.9, 127.0.0.1")),
        ("x-real-ip", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("example.test")),
        ("x-other", Some("kept")),
        ("x_real_ip", None),
        ("x-private", None),
        ("te", None),
        ("keep-alive", None),
        ("connection", None),
    ] {
        assert_eq!(rig::header(&head, name).as_deref(), value, "{name} in {head}");
    }
}

#[test]
fn connections_are_kept_on_both_sides() {
    let member = Member::named("kept");
    let address = free_address();
    let _rig = Rig::with_workers(1);
    _rig.apply([http(address, &[member.address])]);
    let mut client = Client::connect(address);
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "kept");
    }
    for _ in 0..3 {
        assert_eq!(get(address).text(), "kept");
    }
    assert_eq!(member.connection_count(), 1);
}

#[test]
fn new_work_goes_round() {
    let members = [Member::named("a"), Member::named("b"), Member::named("c")];
    let address = free_address();
    let _rig = Rig::serving(http(address, &members.each_ref().map(|member| member.address)));
    let mut client = Client::connect(address);
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..30 {
        *counts.entry(client.get("/").text().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [10, 10, 10]);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let member = Member::http(|request| ok(request.head.split(' ').nth(1).unwrap()));
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    let mut client = Client::connect(address);
    let requests: String = (0..20)
        .map(|n| match n % 2 {
            0 => format!("GET /{n} HTTP/1.1\r\nHost: t\r\n\r\n"),
            _ => format!("POST /{n} HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc"),
        })
        .collect();
    client.send(requests);
    for n in 0..20 {
        assert_eq!(client.response().text(), format!("/{n}"));
    }
}

#[test]
fn a_request_may_come_in_any_pieces() {
    let member = Member::http(|request| ok(&format!("{}:{}", request.body.len(), request.text())));
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    let mut client = Client::connect(address);
    let request = "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0002\r\nde\r\n0\r\n\r\n";
    for byte in request.bytes() {
        client.send([byte]);
        std::thread::yield_now();
    }
    assert_eq!(client.response().text(), "5:abcde");
    for split in 1..request.len() {
        client.send(&request[..split]);
        std::thread::yield_now();
        client.send(&request[split..]);
        assert_eq!(client.response().text(), "5:abcde", "split at {split}");
    }
}

#[test]
fn a_response_may_come_in_any_pieces() {
    let member = Member::start(|mut stream| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        while Request::read(&mut reader).is_some() {
            let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n";
            for byte in response.bytes() {
                stream.write_all(&[byte]).unwrap();
                std::thread::yield_now();
            }
        }
    });
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    let mut client = Client::connect(address);
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "abcde");
    }
}

#[test]
fn trailers_pass_in_both_directions() {
    let member = Member::start(|mut stream| {
        let mut bytes = [0; 4096];
        let mut length = 0;
        while !bytes[..length].ends_with(b"X-Up: 1\r\n\r\n") {
            length += stream.read(&mut bytes[length..]).unwrap();
        }
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Down: 2\r\n\r\n",
            )
            .unwrap();
        let _ = stream.read(&mut bytes);
    });
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    let mut client = Client::connect(address);
    client.send("PUT / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\nb\r\n0\r\nX-Up: 1\r\n\r\n");
    let response = String::from_utf8(client.rest()).unwrap();
    assert!(response.ends_with("1\r\na\r\n0\r\nX-Down: 2\r\n\r\n"), "{response}");
}

#[test]
fn responses_without_a_body_end_with_their_head() {
    let member = Member::http(|request| {
        match request.head.split(' ').nth(1).unwrap() {
            "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
            "/304" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
            "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        }
        .into()
    });
    let address = free_address();
    let _rig = Rig::with_workers(1);
    _rig.apply([http(address, &[member.address])]);
    let mut client = Client::connect(address);
    for (request, status) in [("GET /204", 204), ("GET /304", 304), ("HEAD /head", 200), ("GET /0", 200)] {
        client.send(format!("{request} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let head = rig::read_head(&mut client.reader).unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {head}");
    }
    assert_eq!(member.connection_count(), 1, "each response ended where it ends");
}

#[test]
fn clients_of_http_1_0_are_served_their_way() {
    let member = Member::http(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".to_vec()
    });
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.0\r\n\r\n");
    let response = String::from_utf8(client.rest()).unwrap();
    assert!(response.ends_with("\r\n\r\nabcde"), "chunks are not for HTTP/1.0: {response}");
    assert!(!response.to_ascii_lowercase().contains("transfer-encoding"), "{response}");
    let head = member.heads.lock().unwrap().remove(0);
    assert_eq!(rig::header(&head, "host"), Some(address.to_string()), "a request without Host gets one");
}

#[test]
fn a_client_of_http_1_0_may_keep_its_connection() {
    let member = Member::named("x");
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    let mut client = Client::connect(address);
    for _ in 0..2 {
        let response = client.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(response.header("connection").as_deref(), Some("keep-alive"));
    }
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert!(client.rest().ends_with(b"x"));
}

#[test]
fn a_member_of_http_1_0_that_closes_is_passed_on_in_chunks() {
    let member = Member::start(|mut stream| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        Request::read(&mut reader);
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nall until the end").unwrap();
    });
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    let mut client = Client::connect(address);
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!(response.text(), "all until the end");
        assert_eq!(response.header("transfer-encoding").as_deref(), Some("chunked"));
    }
}

#[test]
fn a_client_that_wants_to_close_is_closed_after_the_answer() {
    let member = Member::named("bye");
    let address = free_address();
    let rig = Rig::start();
    let listener = http(address, &[member.address]);
    rig.apply([rig::again(&listener)]);
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    let response = String::from_utf8(client.rest()).unwrap();
    assert!(response.contains("Connection: close\r\n") && response.ends_with("bye"), "{response}");

    rig.apply([rig::ListenerPlan { idle_timeout: std::time::Duration::ZERO, ..rig::again(&listener) }]);
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(client.rest().ends_with(b"bye"), "an idle timeout of 0 keeps nothing");
}

#[test]
fn requests_that_could_be_smuggled_are_refused_and_reach_nobody() {
    let member = Member::named("reached");
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    for (why, request, status) in [
        (
            "two framings",
            "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "two lengths",
            "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
            400,
        ),
        ("odd length", "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: +4\r\n\r\nabcd", 400),
        ("space before the colon", "GET / HTTP/1.1\r\nHost : t\r\n\r\n", 400),
        ("folded line", "GET / HTTP/1.1\r\nHost: t\r\nX: a\r\n b\r\n\r\n", 400),
        ("bare line feed", "GET / HTTP/1.1\nHost: t\n\n", 400),
        ("bare carriage return", "GET / HTTP/1.1\r\nHost: t\r\nX: a\rb\r\n\r\n", 400),
        ("no host", "GET / HTTP/1.1\r\n\r\n", 400),
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("unknown coding", "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ("bad chunk size", "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
        ("other version", "GET / HTTP/2.0\r\nHost: t\r\n\r\n", 505),
        ("a tunnel by CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501),
        (
            "an unknown expectation",
            "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nExpect: x\r\n\r\na",
            417,
        ),
    ] {
        let mut client = Client::connect(address);
        let response = client.ask(request);
        assert_eq!(response.status(), status, "{why}");
        assert_eq!(response.header("server").as_deref(), Some("elb"), "{why}");
        assert_eq!(response.header("connection").as_deref(), Some("close"), "{why}");
        assert_eq!(client.rest(), b"", "{why}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: t\r\n\r\n", "a".repeat(40_000));
    assert_eq!(Client::connect(address).ask(long).status(), 414);
    let large = format!("GET / HTTP/1.1\r\nHost: t\r\nX: {}\r\n\r\n", "a".repeat(70_000));
    assert_eq!(Client::connect(address).ask(large).status(), 400);
    assert_eq!(
        Client::connect(address)
            .ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 20000000000\r\n\r\n")
            .status(),
        413
    );
    assert!(member.heads.lock().unwrap().is_empty());
}

#[test]
fn header_switches_decide_what_members_see() {
    let member = Member::named("x");
    let address = free_address();
    let rig = Rig::start();
    let listener = http(address, &[member.address]);
    let request =
        "GET / HTTP/1.1\r\nHost: h.test\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Host: spoof\r\n\r\n";
    use model::listener::ForwardedFor::{Append, Preserve, Remove};
    for (mode, host_on, forwarded_for, host) in [
        (Append, true, Some("9.9.9.9, 127.0.0.1"), Some("h.test")),
        (Remove, false, None, Some("spoof")),
        (Preserve, true, Some("9.9.9.9"), Some("h.test")),
    ] {
        rig.apply([with_http(rig::again(&listener), |http| {
            http.insert_headers.forwarded_for = mode;
            http.insert_headers.forwarded_host = host_on;
            http.insert_headers.forwarded_for_port = true;
            http.insert_headers.elb_ip = true;
        })]);
        let mut client = Client::connect(address);
        client.ask(request);
        let head = member.heads.lock().unwrap().pop().unwrap();
        assert_eq!(rig::header(&head, "x-forwarded-for").as_deref(), forwarded_for, "{mode:?}");
        assert_eq!(rig::header(&head, "x-forwarded-host").as_deref(), host, "{mode:?}");
        let port = client.stream.local_addr().unwrap().port().to_string();
        assert_eq!(rig::header(&head, "x-forwarded-for-port"), Some(port));
        assert_eq!(rig::header(&head, "x-forwarded-elb-ip"), Some(address.ip().to_string()));
    }
}

#[test]
fn an_odd_request_is_treated_as_its_listener_says() {
    let odd = "GET /a/../b HTTP/1.1\r\nHost: t\r\n\r\n";
    for (mode, status, goes_on) in [
        (DesyncMode::Monitor, 200, true),
        (DesyncMode::Defensive, 200, false),
        (DesyncMode::Strictest, 400, false),
    ] {
        let member = Member::named("one");
        let address = free_address();
        let listener = with_http(http(address, &[member.address]), |http| http.desync = mode);
        let id = listener.id;
        let rig = Rig::serving(listener);
        let mut client = Client::connect(address);
        assert_eq!(client.get("/b").status(), 200, "{mode:?}: an ordinary one");
        let response = client.ask(odd);
        assert_eq!(response.status(), status, "{mode:?}");
        assert_eq!(response.header("connection").as_deref() != Some("close"), goes_on, "{mode:?}");
        if goes_on {
            assert_eq!(client.get("/b").status(), 200, "{mode:?}: the next one");
        } else {
            assert_eq!(client.rest(), b"", "{mode:?}: the end");
        }
        let counted: u64 = (0..2).map(|worker| rig.registry.listener(id, worker).oddities[6].value()).sum();
        assert_eq!(counted, 1, "{mode:?}");
    }
}
