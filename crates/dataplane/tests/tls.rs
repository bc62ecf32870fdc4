//! TLS towards clients: what is agreed to, which certificate is shown, and what breaks nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "rig/heir.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod heir;
mod rig;
#[path = "rig/tls.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod secured;

use std::{
    io::{Read, Write},
    sync::Arc,
    thread,
    time::Duration,
};

use heir::{accept, successor};
use model::listener::SniMatch;
use plan::TlsPlan;
use rig::{Client, Member, Rig, free_address, http, ok};
use rustls::{
    CipherSuite, HandshakeKind, SignatureScheme,
    version::{TLS12, TLS13},
};
use secured::{Authority, Like, TlsClient, certificate, client_config, over_tls, rsa_certificate, tls_plan};

#[test]
fn every_suite_carries_requests_and_large_bodies_both_ways() {
    let member = Member::http(|request| {
        let body = if request.body.is_empty() { vec![b'd'; 3_000_000] } else { request.body.clone() };
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        answer.extend(body);
        answer
    });
    let address = free_address();
    let mut plan = tls_plan(&certificate(&["t"]), &[]);
    plan.certificates.push(rsa_certificate(&["t"]));
    plan.default = vec![0, 1];
    let _rig = Rig::serving(over_tls(http(address, &[member.address]), plan));
    for (version, suite) in [
        (&TLS13, CipherSuite::TLS13_AES_128_GCM_SHA256),
        (&TLS13, CipherSuite::TLS13_AES_256_GCM_SHA384),
        (&TLS13, CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
        (&TLS12, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        (&TLS12, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
        (&TLS12, CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
        (&TLS12, CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
        (&TLS12, CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
        (&TLS12, CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ] {
        let config = Arc::new(client_config(Like { version, suite: Some(suite), ..Like::default() }));
        let mut client = TlsClient::connect(address, &config, "t");
        assert_eq!(client.get("/").body, vec![b'd'; 3_000_000], "{suite:?}");
        let body: Vec<u8> = (0..2_000_000_u32).map(|n| (n % 251) as u8).collect();
        let head = format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len());
        client.send(head);
        client.send(&body);
        assert!(client.response().body == body, "{suite:?}");
        assert_eq!(client.session().negotiated_cipher_suite().unwrap().suite(), suite);
    }
}

#[test]
fn the_name_picks_the_certificate_and_the_clients_schemes_its_key() {
    let member = Member::named("a");
    let address = free_address();
    let (default, exact, wild) = (certificate(&["d"]), certificate(&["a.t.com"]), certificate(&["*.t.com"]));
    let rsa = rsa_certificate(&["a.t.com"]);
    let named = [("a.t.com", &exact), ("a.t.com", &rsa), ("*.t.com", &wild)];
    let listener = http(address, &[member.address]);
    let plan = TlsPlan { sni_match: SniMatch::LongestSuffix, ..tls_plan(&default, &named) };
    let _rig = Rig::serving(over_tls(listener, plan));
    let only_rsa = || Some(vec![SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256]);
    for (why, name, version, schemes, expect) in [
        ("no such name", "x.org", &TLS13, None, &default),
        ("exact, ECC preferred", "a.t.com", &TLS13, None, &exact),
        ("exact, ECC preferred in 1.2", "A.T.com", &TLS12, None, &exact),
        ("exact, RSA alone", "a.t.com", &TLS13, only_rsa(), &rsa),
        ("exact, RSA alone in 1.2", "a.t.com", &TLS12, only_rsa(), &rsa),
        ("suffix", "x.y.t.com", &TLS13, None, &wild),
    ] {
        let config = Arc::new(client_config(Like { version, schemes, ..Like::default() }));
        let mut client = TlsClient::connect(address, &config, name);
        assert_eq!(client.get("/").text(), "a", "{why}");
        assert!(client.shown() == expect.chain_der[0], "{why}");
    }
}

#[test]
fn a_client_of_the_authority_is_let_in_and_no_other() {
    let member = Member::named("a");
    let address = free_address();
    let (ours, theirs) = (Authority::new(), Authority::new());
    let plan = TlsPlan { client_ca: Some(ours.plan.clone()), ..tls_plan(&certificate(&["t"]), &[]) };
    let _rig = Rig::serving(over_tls(http(address, &[member.address]), plan));
    for version in [&TLS12, &TLS13] {
        for (why, identity, let_in) in [
            ("of ours", Some(ours.client()), true),
            ("none", None, false),
            ("of another's", Some(theirs.client()), false),
        ] {
            let config = Arc::new(client_config(Like { version, identity, ..Like::default() }));
            let mut client = TlsClient::connect(address, &config, "t");
            let sent = client.try_send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
            let mut byte = [0];
            let told = sent.and_then(|()| client.reader.read_exact(&mut byte));
            match told {
                Ok(()) => assert!(let_in, "{why}"),
                Err(error) => {
                    assert!(!let_in, "{why}: {error}");
                    assert!(error.to_string().contains("alert"), "{why}: {error}");
                }
            }
        }
    }
}

#[test]
fn plain_http_on_a_port_of_tls_is_told_so() {
    let address = free_address();
    let _rig = Rig::serving(over_tls(http(address, &[]), tls_plan(&certificate(&["t"]), &[])));
    let mut client = Client::connect(address);
    assert_eq!(client.get("/").status(), 400);
    assert!(client.rest().is_empty());
    let mut client = Client::connect(address);
    client.send([0x99, 1, 2]);
    assert!(client.rest().len() < 16, "at most an alert");
}

#[test]
fn sessions_are_resumed_by_every_worker() {
    let member = Member::named("a");
    let address = free_address();
    let _rig = Rig::serving(over_tls(http(address, &[member.address]), tls_plan(&certificate(&["t"]), &[])));
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(client_config(Like { version, ..Like::default() }));
        for attempt in 0..12 {
            let mut client = TlsClient::connect(address, &config, "t");
            assert_eq!(client.get("/").text(), "a");
            let expect = if attempt == 0 { HandshakeKind::Full } else { HandshakeKind::Resumed };
            assert_eq!(client.session().handshake_kind(), Some(expect), "{version:?}, {attempt}");
        }
    }
}

#[test]
fn sessions_are_resumed_in_the_next_process_unless_other_clients_are_let_in_there() {
    let member = Member::named("a");
    let address = free_address();
    let plain = http(address, &[member.address]);
    let listener = over_tls(plain.clone(), tls_plan(&certificate(&["t"]), &[]));
    let mutual = TlsPlan { client_ca: Some(Authority::new().plan), ..tls_plan(&certificate(&["t"]), &[]) };
    let mutual = over_tls(plain, mutual);
    let mut serving = Rig::serving(listener.clone());
    let configs =
        [&TLS12, &TLS13].map(|version| Arc::new(client_config(Like { version, ..Like::default() })));
    for upgrades in 0..3 {
        for config in &configs {
            let mut client = TlsClient::connect(address, config, "t");
            assert_eq!(client.get("/").text(), "a");
            let expect = if upgrades == 0 { HandshakeKind::Full } else { HandshakeKind::Resumed };
            assert_eq!(client.session().handshake_kind(), Some(expect), "{upgrades}");
        }
        let next = successor(&serving, 2, &[if upgrades == 2 { &mutual } else { &listener }]);
        accept(&next);
        serving = next;
    }
    for config in &configs {
        let mut client = TlsClient::connect(address, config, "t");
        // In TLS 1.3 the refusal comes behind the handshake.
        let refused = client.try_send("GET / HTTP/1.1\r\nHost: t\r\n\r\n").is_err();
        assert!(refused || rig::Request::read(&mut client.reader).is_none());
        assert_ne!(client.session().handshake_kind(), Some(HandshakeKind::Resumed));
    }
}

#[test]
fn a_new_certificate_is_for_new_handshakes_and_old_connections_live() {
    let member = Member::named("a");
    let address = free_address();
    let (old, new) = (certificate(&["t"]), certificate(&["t"]));
    let listener = over_tls(http(address, &[member.address]), tls_plan(&old, &[]));
    let rig = Rig::serving(listener.clone());
    let config = || Arc::new(client_config(Like::default()));
    let mut before = TlsClient::connect(address, &config(), "t");
    before.get("/");
    rig.apply([over_tls(listener, tls_plan(&new, &[]))]);
    let mut after = TlsClient::connect(address, &config(), "t");
    assert_eq!((before.get("/").text(), after.get("/").text()), ("a", "a"));
    assert!(before.shown() == old.chain_der[0] && after.shown() == new.chain_der[0]);
}

#[test]
fn terms_that_cannot_be_carried_out_are_a_fault_and_what_was_before_goes_on() {
    let member = Member::named("a");
    let address = free_address();
    let (good, other) = (certificate(&["t"]), certificate(&["t"]));
    let listener = over_tls(http(address, &[member.address]), tls_plan(&good, &[]));
    let rig = Rig::serving(listener.clone());
    let mixed = Arc::new(plan::CertificatePlan {
        id: good.id,
        chain_der: good.chain_der.clone(),
        key_der: other.key_der.clone(),
    });
    let applied = rig.apply([over_tls(listener, tls_plan(&mixed, &[]))]);
    assert!(applied.faults[0].1.contains(&good.id.to_string()), "{:?}", applied.faults);
    let mut client = TlsClient::connect(address, &Arc::new(client_config(Like::default())), "t");
    assert_eq!(client.get("/").text(), "a");
}

#[test]
fn keys_are_renewed_when_the_client_wants_it() {
    let member = Member::named("a");
    let address = free_address();
    let _rig = Rig::serving(over_tls(http(address, &[member.address]), tls_plan(&certificate(&["t"]), &[])));
    let mut client = TlsClient::connect(address, &Arc::new(client_config(Like::default())), "t");
    for _ in 0..5 {
        assert_eq!(client.get("/").text(), "a");
        client.session().refresh_traffic_keys().unwrap();
    }
    assert_eq!(client.get("/").text(), "a");
}

#[test]
fn the_end_is_said_by_tls_itself() {
    let member = Member::named("a");
    let address = free_address();
    let _rig = Rig::serving(over_tls(http(address, &[member.address]), tls_plan(&certificate(&["t"]), &[])));
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(client_config(Like { version, ..Like::default() }));
        let mut client = TlsClient::connect(address, &config, "t");
        client.send("GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        assert_eq!(client.response().text(), "a");
        assert!(client.rest().is_empty());
        let mut client = TlsClient::connect(address, &config, "t");
        client.send("nonsense\r\n\r\n");
        assert_eq!(client.response().status(), 400, "our own answers, too");
        assert!(client.rest().is_empty());
    }
}

#[test]
fn records_may_come_a_byte_at_a_time_and_go_to_a_slow_reader() {
    let member = Member::http(|_| ok(&"x".repeat(4_000_000)));
    let address = free_address();
    let _rig = Rig::serving(over_tls(http(address, &[member.address]), tls_plan(&certificate(&["t"]), &[])));
    let config = Arc::new(client_config(Like::default()));
    let mut client = TlsClient::connect(address, &config, "t");
    // The handshake whole, then the request's record by bytes.
    client.session().writer().write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    while client.session().is_handshaking() {
        let StreamOf { conn, sock } = split(&mut client);
        conn.complete_io(sock).unwrap();
    }
    let mut wire = Vec::new();
    client.session().writer().write_all(b"GET /2 HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    client.session().write_tls(&mut wire).unwrap();
    for byte in &wire {
        client.reader.get_mut().sock.write_all(&[*byte]).unwrap();
    }
    thread::park_timeout(Duration::from_millis(300));
    for _ in 0..2 {
        assert_eq!(client.response().body.len(), 4_000_000);
    }
}

struct StreamOf<'a> {
    conn: &'a mut rustls::ClientConnection,
    sock: &'a mut std::net::TcpStream,
}

fn split(client: &mut TlsClient) -> StreamOf<'_> {
    let owned = client.reader.get_mut();
    StreamOf { conn: &mut owned.conn, sock: &mut owned.sock }
}

#[test]
fn a_changed_record_ends_the_session_with_an_alert() {
    let member = Member::named("a");
    let address = free_address();
    let _rig = Rig::serving(over_tls(http(address, &[member.address]), tls_plan(&certificate(&["t"]), &[])));
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(client_config(Like { version, ..Like::default() }));
        let mut client = TlsClient::connect(address, &config, "t");
        client.get("/");
        let mut wire = Vec::new();
        client.session().writer().write_all(b"GET /2 HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
        client.session().write_tls(&mut wire).unwrap();
        let last = wire.len() - 1;
        wire[last] ^= 1;
        client.reader.get_mut().sock.write_all(&wire).unwrap();
        let mut byte = [0];
        let error = client.reader.read_exact(&mut byte).unwrap_err();
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
    }
}

#[test]
fn a_client_that_says_nothing_or_half_a_hello_is_not_waited_for_longer_than_for_a_request() {
    let address = free_address();
    let listener =
        rig::with_http(http(address, &[]), |http| http.request_timeout = Duration::from_millis(300));
    let _rig = Rig::serving(over_tls(listener, tls_plan(&certificate(&["t"]), &[])));
    for said in [&b""[..], &[0x16, 3, 1, 0, 200, 1, 0]] {
        let mut client = Client::connect(address);
        client.send(said);
        assert!(client.rest().is_empty());
    }
}

#[test]
fn members_of_an_https_pool_are_spoken_to_over_tls() {
    let member = Member::named("inside");
    let secured = free_address();
    let plan = tls_plan(&certificate(&["member"]), &[]);
    let _members = Rig::serving(over_tls(http(secured, &[member.address]), plan));
    let address = free_address();
    let listener =
        rig::with_target(http(address, &[secured]), |target| target.protocol = model::PoolProtocol::Https);
    let _rig = Rig::serving(listener);
    let mut client = Client::connect(address);
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "inside");
    }
    let body = "x".repeat(200_000);
    let posted =
        client.ask(format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    assert_eq!(posted.text(), "inside");
    assert_eq!(member.heads.lock().unwrap().len(), 4);

    let in_clear = free_address();
    let plain = rig::with_target(http(in_clear, &[member.address]), |target| {
        target.protocol = model::PoolProtocol::Https
    });
    let _other = Rig::serving(plain);
    assert_eq!(rig::get(in_clear).status(), 502, "a member that speaks no TLS");
}

#[test]
fn http_2_is_agreed_on_where_it_is_offered() {
    let member = Member::named("one");
    let address = free_address();
    let plan = TlsPlan { alpn_h2: true, ..tls_plan(&certificate(&["t"]), &[]) };
    let _rig = Rig::serving(over_tls(http(address, &[member.address]), plan));
    for (offered, agreed) in [(&["h2", "http/1.1"][..], &b"h2"[..]), (&["http/1.1"][..], &b"http/1.1"[..])] {
        let mut config = client_config(Like::default());
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut client = TlsClient::connect(address, &Arc::new(config), "t");
        client.send(if agreed == b"h2" {
            &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..]
        } else {
            b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
        });
        let mut first = [0; 9];
        client.reader.read_exact(&mut first).unwrap();
        assert_eq!(client.session().alpn_protocol(), Some(agreed));
        match agreed {
            b"h2" => assert_eq!(first[3], 4, "SETTINGS come first"),
            _ => assert_eq!(&first, b"HTTP/1.1 "),
        }
    }
}
