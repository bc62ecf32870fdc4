//! TLS pools: what clients of a TLS listener say goes to its members over TLS.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod rig;
#[path = "rig/tls.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod secured;

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Barrier,
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

use model::{PoolProtocol, ProxyVersion, ServerName};
use plan::{CertificatePlan, ListenerPlan, MemberTlsPlan, ServicePlan, TlsPlan};
use rig::{Member, PATIENCE, Rig, again, eventually, free_address, with_target};
use rustls::{
    HandshakeKind, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
    version::{TLS12, TLS13},
};
use secured::{Authority, Like, TlsClient, certificate, client_config, over_tls, tls_plan};

type Session = StreamOwned<ServerConnection, TcpStream>;

/// A member that ends TLS itself, shows this certificate, and does this with each session; `first` gets the bytes in clear before.
fn secure_member(
    shown: &CertificatePlan,
    version: &'static SupportedProtocolVersion,
    clear: usize,
    serve: impl Fn(Session, Vec<u8>) + Send + Sync + 'static,
) -> Member {
    let chain = shown.chain_der.iter().cloned().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::try_from(shown.key_der.clone()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"smtp".to_vec()];
    let config = Arc::new(config);
    Member::start(move |mut stream| {
        let mut header = vec![0; clear];
        if stream.read_exact(&mut header).is_err() {
            return;
        }
        let session = ServerConnection::new(config.clone()).unwrap();
        serve(StreamOwned::new(session, stream), header);
    })
}

/// Sends back what comes, and says a word at the end.
fn echo(mut session: Session, _: Vec<u8>) {
    let mut bytes = vec![0; 65536];
    while let Ok(n) = session.read(&mut bytes) {
        if n == 0 {
            let _ = session.write_all(b"end");
            session.conn.send_close_notify();
            let _ = session.flush();
            return;
        }
        if session.write_all(&bytes[..n]).and_then(|()| session.flush()).is_err() {
            return;
        }
    }
}

/// A TLS listener before a TLS pool of these members.
fn tls(address: SocketAddr, members: &[SocketAddr]) -> ListenerPlan {
    let listener = rig::listener(address, members, ServicePlan::Tls, PoolProtocol::Tls);
    over_tls(listener, TlsPlan { http: false, ..tls_plan(&certificate(&["front"]), &[]) })
}

fn client(address: SocketAddr) -> TlsClient {
    TlsClient::connect(address, &Arc::new(client_config(Like::default())), "front")
}

fn exactly(client: &mut TlsClient, length: usize) -> Vec<u8> {
    let mut got = vec![0; length];
    client.reader.read_exact(&mut got).unwrap();
    got
}

/// Whether the connection ended with a reset, and nothing was said before.
fn is_reset(client: &mut TlsClient) -> bool {
    matches!(client.reader.read(&mut [0]), Err(error) if error.kind() == ErrorKind::ConnectionReset)
}

/// Whether what the client says first is met by a reset, which writing or reading may tell.
fn is_refused(client: &mut TlsClient) -> bool {
    let told = client.try_send("x").and_then(|()| client.reader.read(&mut [0]));
    matches!(told, Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
}

#[test]
fn bytes_pass_both_ways_and_an_end_is_half_an_end() {
    for version in [&TLS13, &TLS12] {
        let member = secure_member(&certificate(&["m"]), version, 0, echo);
        let address = free_address();
        let rig = Rig::serving(tls(address, &[member.address]));
        let mut client = client(address);
        for length in [1, 1000, 65536] {
            let words: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            client.send(&words);
            assert!(exactly(&mut client, length) == words, "{length} bytes");
        }
        client.session().send_close_notify();
        assert_eq!(client.rest(), b"end", "the member answers after the client's end");
        drop(rig);
    }
}

#[test]
fn bulk_arrives_whole_in_both_directions_at_once() {
    const BYTES: usize = 24 << 20;
    let pattern = |from: usize, length: usize| -> Vec<u8> {
        (from..from + length).map(|n| (n % 65521 % 251) as u8).collect()
    };
    let member = secure_member(&certificate(&["m"]), &TLS13, 0, move |mut session, _| {
        // What it says does not wait for what it hears.
        for from in (0..BYTES).step_by(1 << 16) {
            session.write_all(&pattern(from, 1 << 16)).unwrap();
            let mut got = vec![0; 1 << 16];
            session.read_exact(&mut got).unwrap();
            assert!(got == pattern(from, 1 << 16), "near {from}");
        }
        session.conn.send_close_notify();
        session.flush().unwrap();
    });
    let address = free_address();
    let _rig = Rig::serving(tls(address, &[member.address]));
    let mut client = client(address);
    for from in (0..BYTES).step_by(1 << 16) {
        client.send(pattern(from, 1 << 16));
        assert!(exactly(&mut client, 1 << 16) == pattern(from, 1 << 16), "near {from}");
    }
    assert!(client.rest().is_empty());
}

#[test]
fn the_member_may_speak_first_and_is_told_no_protocol_and_no_name() {
    let (told, hear) = channel();
    let member = secure_member(&certificate(&["m"]), &TLS13, 0, move |mut session, _| {
        session.write_all(b"220 ready\r\n").unwrap();
        let name = session.conn.server_name().map(str::to_owned);
        told.send((session.conn.alpn_protocol().map(<[u8]>::to_vec), name)).unwrap();
    });
    let address = free_address();
    let _rig = Rig::serving(tls(address, &[member.address]));
    let mut client = client(address);
    client.send("");
    assert_eq!(exactly(&mut client, 11), b"220 ready\r\n");
    assert_eq!(hear.recv_timeout(PATIENCE).unwrap(), (None, None));
}

#[test]
fn sessions_with_members_are_resumed() {
    for version in [&TLS13, &TLS12] {
        let (told, hear) = channel();
        let member = secure_member(&certificate(&["m"]), version, 0, move |mut session, header| {
            let mut first = [0];
            if session.read_exact(&mut first).is_ok() {
                told.send(session.conn.handshake_kind()).unwrap();
                session.write_all(&first).unwrap();
                echo(session, header);
            }
        });
        let address = free_address();
        let rig = Rig::with_workers(1);
        let _ = rig.apply([tls(address, &[member.address])]);
        for expect in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut client = client(address);
            client.send("x");
            exactly(&mut client, 1);
            assert_eq!(hear.recv_timeout(PATIENCE).unwrap(), Some(expect));
        }
    }
}

#[test]
fn a_member_without_a_session_is_passed_over_and_nothing_of_the_client_is_lost() {
    let closing = Member::start(drop);
    let plain = Member::start(|mut stream| {
        let _ = stream.write_all(b"220 plain\r\n");
        let _ = stream.read(&mut [0; 1000]);
    });
    let silent = Member::start(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    for (why, bad) in [
        ("nobody is there", free_address()),
        ("it closes", closing.address),
        ("it speaks in clear", plain.address),
        ("it does not answer", silent.address),
    ] {
        let good = secure_member(&certificate(&["m"]), &TLS13, 0, echo);
        let address = free_address();
        let listener = ListenerPlan {
            connect_timeout: Duration::from_millis(300),
            ..tls(address, &[bad, good.address])
        };
        let rig = Rig::with_workers(1);
        let _ = rig.apply([again(&listener)]);
        for _ in 0..2 {
            let mut client = client(address);
            client.send("the client's first words");
            assert_eq!(exactly(&mut client, 24), b"the client's first words", "{why}");
        }
        let target = listener.default_target.as_ref().unwrap();
        let failed = rig.registry.member(target.id, target.members[0].id, 0);
        assert!(failed.connect_failures() > 0, "{why}");
    }
}

#[test]
fn with_no_member_left_the_client_is_reset() {
    let closing = Member::start(drop);
    let address = free_address();
    let _rig = Rig::serving(tls(address, &[closing.address]));
    assert!(is_refused(&mut client(address)));
}

#[test]
fn a_silent_session_stands_longer_than_a_connection_may_take_to_be_made() {
    let member = secure_member(&certificate(&["m"]), &TLS13, 0, |mut session, header| {
        while session.conn.is_handshaking() {
            session.conn.complete_io(&mut session.sock).unwrap();
        }
        echo(session, header);
    });
    let address = free_address();
    let made = Duration::from_millis(200);
    let _rig = Rig::serving(ListenerPlan { connect_timeout: made, ..tls(address, &[member.address]) });
    let mut client = client(address);
    client.send("");
    std::thread::park_timeout(made * 4);
    client.send("x");
    assert_eq!(exactly(&mut client, 1), b"x");
}

#[test]
fn a_silent_connection_is_reset_on_both_sides_in_time() {
    let (told, hear) = channel();
    let member = secure_member(&certificate(&["m"]), &TLS13, 0, move |mut session, _| {
        session.read_exact(&mut [0]).unwrap();
        session.write_all(b"y").unwrap();
        told.send(session.read(&mut [0]).map_err(|error| error.kind())).unwrap();
    });
    let address = free_address();
    let listener =
        ListenerPlan { idle_timeout: Duration::from_millis(300), ..tls(address, &[member.address]) };
    let _rig = Rig::serving(listener);
    let mut client = client(address);
    client.send("x");
    let began = Instant::now();
    assert_eq!(exactly(&mut client, 1), b"y");
    assert!(is_reset(&mut client));
    assert!(began.elapsed() < rig::BEFORE_OTHER_LIMITS);
    assert_eq!(hear.recv_timeout(PATIENCE).unwrap(), Err(ErrorKind::ConnectionReset));
}

#[test]
fn a_reset_of_a_member_is_passed_on() {
    let member = secure_member(&certificate(&["m"]), &TLS13, 0, |mut session, _| {
        let _ = session.read(&mut [0; 16]);
        socket2::SockRef::from(&session.sock).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let address = free_address();
    let _rig = Rig::serving(tls(address, &[member.address]));
    let mut client = client(address);
    client.send("x");
    assert!(is_reset(&mut client));
}

#[test]
fn a_member_that_breaks_off_while_bytes_wait_for_it_has_not_ended() {
    let broken = Arc::new(Barrier::new(2));
    let waits = broken.clone();
    let member = secure_member(&certificate(&["m"]), &TLS13, 0, move |mut session, _| {
        session.write_all(b"part").and_then(|()| session.flush()).unwrap();
        waits.wait();
        session.write_all(b"last").and_then(|()| session.flush()).unwrap();
        socket2::SockRef::from(&session.sock).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let address = free_address();
    // The client's side is plain, so that an end of it needs no words.
    let _rig = Rig::serving(rig::listener(address, &[member.address], ServicePlan::Tcp, PoolProtocol::Tls));
    rig::assert_no_end_when_broken_off(address, &broken);
}

#[test]
fn a_proxy_header_goes_in_clear_before_each_session() {
    const V1: &str = "PROXY TCP4 127.0.0.1 ";
    let closing = Member::start(|mut stream| {
        let _ = stream.read(&mut [0; 10]);
    });
    for first in [None, Some(closing.address)] {
        let (told, hear): (_, Receiver<Vec<u8>>) = channel();
        let good = secure_member(&certificate(&["m"]), &TLS13, V1.len(), move |mut session, mut header| {
            // The rest of the line.
            while !header.ends_with(b"\r\n") {
                let mut byte = [0];
                session.sock.read_exact(&mut byte).unwrap();
                header.extend(byte);
            }
            told.send(header).unwrap();
            echo(session, Vec::new());
        });
        let address = free_address();
        let members: Vec<SocketAddr> = first.into_iter().chain([good.address]).collect();
        let listener =
            with_target(tls(address, &members), |target| target.proxy_protocol = Some(ProxyVersion::V1));
        let rig = Rig::with_workers(1);
        let _ = rig.apply([listener]);
        for _ in 0..2 {
            let mut client = client(address);
            let own = client.reader.get_ref().sock.local_addr().unwrap();
            client.send("words");
            assert_eq!(exactly(&mut client, 5), b"words");
            let header = String::from_utf8(hear.recv_timeout(PATIENCE).unwrap()).unwrap();
            let expect = format!("{V1}{} {} {}\r\n", address.ip(), own.port(), address.port());
            assert_eq!(header, expect);
        }
    }
}

#[test]
fn only_a_member_that_proves_who_it_is_hears_the_client() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    for (why, shown, served) in [
        ("from the authority, with the name", ours.member(&["db.internal"], false), true),
        ("another authority", theirs.member(&["db.internal"], false), false),
        ("another name", ours.member(&["web.internal"], false), false),
    ] {
        let member = secure_member(&shown, &TLS13, 0, echo);
        let terms = Arc::new(MemberTlsPlan {
            authority: ours.plan.id,
            authorities_der: ours.plan.authorities_der.clone(),
            server_name: Some(ServerName::try_from("db.internal").unwrap()),
        });
        let address = free_address();
        let listener = with_target(tls(address, &[member.address]), |target| target.member_tls = Some(terms));
        let rig = Rig::serving(again(&listener));
        let mut client = client(address);
        match served {
            true => {
                client.send("x");
                assert_eq!(exactly(&mut client, 1), b"x", "{why}");
            }
            false => assert!(is_refused(&mut client), "{why}"),
        }
        let target = listener.default_target.as_ref().unwrap();
        let unverified = || -> u64 {
            let of = |worker| rig.registry.member(target.id, target.members[0].id, worker).unverified.value();
            (0..2).map(of).sum()
        };
        eventually(why, || unverified() == u64::from(!served));
    }
}
