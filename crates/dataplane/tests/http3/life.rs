//! Connections whose client moves, and listeners that change or go.

use std::{
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Method;
use plan::ListenerPlan;
use quinn::ConnectionError;
use wire::h3::Code;

use crate::{
    listener,
    quic::{Client, endpoint, request, settings, trusting, whole},
    rig::{self, Member, Rig, again, eventually_async, free_address, ok, run},
    secured::{certificate, over_tls, tls_plan},
    serving,
};

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
        eventually_async("the member is asked", || member.heads.lock().unwrap().len() == 2).await;
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
        eventually_async("all has ended", || drained.is_finished()).await;
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
        eventually_async("the member is asked", || member.heads.lock().unwrap().len() == 1).await;
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
        eventually_async("the first one is gone", || drained.is_finished()).await;
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

/// Puts these listeners in force, from within a client's runtime.
fn apply(rig: &Rig, listeners: Vec<ListenerPlan>) -> dataplane::Applied {
    std::thread::scope(|scope| scope.spawn(|| rig.apply(listeners)).join().unwrap())
}
