//! What is counted of TLS handshakes: each once, by what came of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod rig;
#[path = "rig/tls.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod secured;

use std::{io::Write, net::SocketAddr, sync::Arc, time::Duration};

use model::{ListenerId, TlsVersion};
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};
use rig::{Client, Member, Rig, eventually, free_address, http, with_http};
use rustls::{
    CipherSuite, ClientConfig, RootCertStore,
    version::{TLS12, TLS13},
};
use secured::{Authority, Like, TlsClient, certificate, client_config, over_tls, rsa_certificate, tls_plan};
use telemetry::TlsFailure;

/// What was counted of a listener: sessions (version, resumed, how many), failures (reason, how many).
type Counted = (Vec<(TlsVersion, bool, u64)>, Vec<(TlsFailure, u64)>);

fn counted(rig: &Rig, listener: ListenerId) -> Counted {
    let blocks = [0, 1].map(|worker| rig.registry.listener(listener, worker));
    let stand = TlsVersion::ALL
        .into_iter()
        .flat_map(|version| [false, true].map(|resumed| (version, resumed)))
        .map(|(version, resumed)| {
            (version, resumed, blocks.iter().map(|of| of.tls().standing(version, resumed)).sum())
        })
        .filter(|(.., count)| *count > 0);
    let failed = TlsFailure::ALL
        .into_iter()
        .map(|why| (why, blocks.iter().map(|of| of.tls().failures(why)).sum()))
        .filter(|(_, count)| *count > 0);
    (stand.collect(), failed.collect())
}

fn wait_until_counted(why: &str, rig: &Rig, listener: ListenerId, expected: Counted) {
    let mut last = Counted::default();
    eventually(&format!("{why}: {expected:?} is counted"), || {
        last = counted(rig, listener);
        last == expected
    });
}

#[test]
fn sessions_are_counted_by_version_and_whether_one_was_resumed() {
    let member = Member::named("x");
    let address = free_address();
    let listener = over_tls(http(address, &[member.address]), tls_plan(&certificate(&["t"]), &[]));
    let id = listener.id;
    let rig = Rig::serving(listener);
    for (version, times) in [(&TLS12, 3), (&TLS13, 2)] {
        let config = Arc::new(client_config(Like { version, ..Like::default() }));
        for _ in 0..times {
            let mut client = TlsClient::connect(address, &config, "t");
            // Requests on a session are no handshakes.
            assert_eq!(client.get("/").text(), "x");
            assert_eq!(client.get("/").text(), "x");
        }
    }
    let (v12, v13) = (TlsVersion::V12, TlsVersion::V13);
    let sessions = vec![(v12, false, 1), (v12, true, 2), (v13, false, 1), (v13, true, 1)];
    wait_until_counted("all", &rig, id, (sessions, Vec::new()));
}

#[test]
fn failures_are_counted_by_reason() {
    let (ours, others) = (Authority::new(), Authority::new());
    let settings = |like: Like| Arc::new(client_config(like));
    let tls = |like: Like| {
        let config = settings(like);
        move |address: SocketAddr| {
            let mut client = TlsClient::connect(address, &config, "t");
            let said = client.try_send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
            let heard = std::io::Read::read(&mut client.reader, &mut [0]);
            assert!(said.is_err() || !matches!(heard, Ok(1..)), "an answer came");
        }
    };
    type Behaviour = Box<dyn Fn(SocketAddr)>;
    let rows: Vec<(&str, bool, TlsFailure, Behaviour)> = vec![
        (
            "TLS 1.2 alone",
            false,
            TlsFailure::Version,
            Box::new(tls(Like { version: &TLS12, ..Like::default() })),
        ),
        (
            "a suite that is not allowed",
            false,
            TlsFailure::Suite,
            Box::new(tls(Like {
                suite: Some(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
                ..Like::default()
            })),
        ),
        ("no certificate", true, TlsFailure::NoClientCertificate, Box::new(tls(Like::default()))),
        (
            "a certificate of somebody else's",
            true,
            TlsFailure::BadClientCertificate,
            Box::new(tls(Like { identity: Some(others.client()), ..Like::default() })),
        ),
        (
            "a client that does not trust us",
            false,
            TlsFailure::ClientAlert,
            Box::new(move |address| {
                let mut roots = RootCertStore::empty();
                roots.add(others.plan.authorities_der[0].clone().into()).unwrap();
                let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
                let mut client = TlsClient::connect(address, &Arc::new(config), "t");
                assert!(client.try_send("GET / HTTP/1.1\r\nHost: t\r\n\r\n").is_err());
            }),
        ),
        (
            "a client that says nothing and goes",
            false,
            TlsFailure::ClientGone,
            Box::new(|address| drop(Client::connect(address))),
        ),
        (
            "a client that goes in the middle",
            false,
            TlsFailure::ClientGone,
            Box::new(|address| Client::connect(address).send([22, 3, 1, 2, 0, 1, 0, 1])),
        ),
        (
            "a client that resets",
            false,
            TlsFailure::ClientGone,
            Box::new(|address| {
                let mut client = Client::connect(address);
                client.send([22, 3, 1]);
                rig::reset(client);
            }),
        ),
        (
            "a client that does not go on",
            false,
            TlsFailure::Timeout,
            Box::new(|address| {
                let mut client = Client::connect(address);
                client.send([22, 3, 1]);
                let _end = client.rest();
            }),
        ),
        (
            "something that is no TLS",
            false,
            TlsFailure::Other,
            Box::new(|address| {
                let mut client = Client::connect(address);
                client.stream.write_all(b"SSH-2.0-client\r\n").unwrap();
                let _alert_and_end = std::io::Read::read_to_end(&mut client.reader, &mut Vec::new());
            }),
        ),
    ];
    for (why, wants_certificate, reason, behave) in rows {
        let member = Member::named("x");
        let address = free_address();
        let mut plan = tls_plan(&certificate(&["t"]), &[]);
        plan.versions = vec![TlsVersion::V13];
        plan.suites = vec!["TLS_AES_128_GCM_SHA256".to_owned()];
        plan.client_ca = wants_certificate.then(|| ours.plan.clone());
        let listener = with_http(http(address, &[member.address]), |http| {
            http.request_timeout =
                Duration::from_millis(if reason == TlsFailure::Timeout { 200 } else { 60_000 });
        });
        let listener = over_tls(listener, plan);
        let id = listener.id;
        let rig = Rig::serving(listener);
        behave(address);
        wait_until_counted(why, &rig, id, (Vec::new(), vec![(reason, 1)]));
        if wants_certificate {
            let mut client = TlsClient::connect(
                address,
                &settings(Like { identity: Some(ours.client()), ..Like::default() }),
                "t",
            );
            assert_eq!(client.get("/").text(), "x", "{why}");
            wait_until_counted(why, &rig, id, (vec![(TlsVersion::V13, false, 1)], vec![(reason, 1)]));
        }
    }
}

#[test]
fn clients_that_openssl_serves_are_counted_with_the_others() {
    let ours = Authority::new();
    let member = Member::named("x");
    let address = free_address();
    let shown = rsa_certificate(&["t"]);
    let member_plan = http(address, &[member.address]);
    let id = member_plan.id;
    let rig = Rig::start();
    let listener = |ca: bool| {
        let mut plan = tls_plan(&shown, &[]);
        plan.versions = TlsVersion::ALL.into_iter().rev().collect();
        plan.suites.extend(["ECDHE-RSA-AES128-SHA", "AES128-SHA"].map(str::to_owned));
        plan.client_ca = ca.then(|| ours.plan.clone());
        over_tls(rig::again(&member_plan), plan)
    };
    let connect = || {
        let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
        connector.set_security_level(0);
        connector.set_verify(SslVerifyMode::NONE);
        connector.set_min_proto_version(Some(SslVersion::TLS1_2)).unwrap();
        connector.set_max_proto_version(Some(SslVersion::TLS1_2)).unwrap();
        connector.set_cipher_list("ECDHE-RSA-AES128-SHA:@SECLEVEL=0").unwrap();
        let tcp = std::net::TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(rig::PATIENCE)).unwrap();
        connector.build().connect("t", tcp).is_ok()
    };
    rig.apply([listener(false)]);
    assert!(connect());
    let session = (TlsVersion::V12, false, 1);
    wait_until_counted("it stands", &rig, id, (vec![session], Vec::new()));
    rig.apply([listener(true)]);
    assert!(!connect());
    let failed = (TlsFailure::NoClientCertificate, 1);
    wait_until_counted("no certificate", &rig, id, (vec![session], vec![failed]));
}

#[test]
fn a_slow_client_that_connected_before_a_drain_is_served() {
    let member = Member::named("x");
    let address = free_address();
    let listener = over_tls(http(address, &[member.address]), tls_plan(&certificate(&["t"]), &[]));
    let rig = Rig::serving(listener);
    let config = Arc::new(client_config(Like { version: &TLS12, ..Like::default() }));
    let mut client = TlsClient::connect(address, &config, "t");
    std::thread::scope(|scope| {
        scope.spawn(|| rig.runtime.block_on(rig.dataplane.drain(rig::PATIENCE)));
        eventually("nobody gets in any more", || std::net::TcpStream::connect(address).is_err());
        // What a client takes for its first words, and then for its next: more than a tick of the worker, and much less than the second
        // that it has.
        let pause = || std::thread::park_timeout(Duration::from_millis(150));
        pause();
        client.say_hello();
        pause();
        assert_eq!(client.get("/").text(), "x");
    });
}
