//! Changes under load: what did not change goes on.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod rig;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use rig::{Client, Member, Rig, again, free_address, get, http, with_target};

#[test]
fn edits_under_load_fail_no_request_and_close_no_connection() {
    let members: Vec<Member> = (0..4).map(|_| Member::named("x")).collect();
    let addresses: Vec<_> = members.iter().map(|member| member.address).collect();
    let address = free_address();
    let rig = Rig::start();
    let listener = http(address, &addresses);
    rig.apply([again(&listener)]);
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..4)
        .map(|n| {
            let (stop, asked) = (stop.clone(), asked.clone());
            thread::spawn(move || {
                let mut client = Client::connect(address);
                while !stop.load(Ordering::Relaxed) {
                    if n == 0 {
                        client = Client::connect(address);
                    }
                    let response = match n {
                        1 => client.ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nbody"),
                        _ => client.get("/"),
                    };
                    assert_eq!(response.text(), "x");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let others: Vec<_> = (0..4).map(|_| free_address()).collect();
    for step in 0..200 {
        let mut listeners = vec![with_target(again(&listener), |target| {
            if step % 3 == 0 {
                target.members.remove(step % 4);
            }
            target.members[0].weight = model::Weight::of(1 + step as u16 % 5);
            if step % 5 == 0 {
                target.algorithm = model::Algorithm::LeastConnections;
            }
        })];
        listeners.extend(others[..step % 5].iter().map(|other| http(*other, &addresses)));
        assert_eq!(rig.apply(listeners).faults, []);
        thread::park_timeout(Duration::from_millis(2));
    }
    let before = asked.load(Ordering::Relaxed);
    rig::eventually("the load goes on", || asked.load(Ordering::Relaxed) > before + 100);
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn a_kept_connection_outlives_its_listener_for_a_last_request() {
    let member = Member::named("x");
    let address = free_address();
    let mut listener = http(address, &[member.address]);
    listener.idle_timeout = Duration::from_millis(500);
    let rig = Rig::serving(listener);
    let mut client = Client::connect(address);
    client.get("/");
    rig.apply([]);
    let last = client.get("/");
    assert_eq!(last.text(), "x", "as behaviour/features.md section 3 says");
    assert_eq!(last.header("connection").as_deref(), Some("close"));
    assert!(std::net::TcpStream::connect(address).is_err(), "no new ones");
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_request_ends_on_the_plan_that_it_began_with() {
    let (begin, begun) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel();
    let released = std::sync::Mutex::new(released);
    let slow = Member::http(move |_| {
        begin.send(()).unwrap();
        released.lock().unwrap().recv().unwrap();
        rig::ok("old")
    });
    let new = Member::named("new");
    let address = free_address();
    let listener = http(address, &[slow.address]);
    let rig = Rig::start();
    rig.apply([again(&listener)]);
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    begun.recv_timeout(rig::PATIENCE).unwrap();
    rig.apply([with_target(listener, |target| target.members = vec![rig::member_plan(new.address)])]);
    release.send(()).unwrap();
    assert_eq!(client.response().text(), "old");
    assert_eq!(client.get("/").text(), "new");
}

#[test]
fn an_address_that_is_taken_is_told_and_taken_over_when_it_is_free() {
    let member = Member::named("x");
    let address = free_address();
    let foreign = std::net::TcpListener::bind(address).unwrap();
    let rig = Rig::start();
    let listener = http(address, &[member.address]);
    let id = listener.id;
    let other = free_address();
    let applied = rig.apply([listener, http(other, &[member.address])]);
    let words = format!(
        "cannot listen on {address}: the address is in use by another program; stop it or choose another port"
    );
    assert_eq!(applied.faults, [(id, words)]);
    assert_eq!(get(other).text(), "x", "others are in force");
    let mut faults = rig.dataplane.faults();
    drop(foreign);
    rig.runtime.block_on(async {
        let mended = async { faults.wait_for(|faults| faults.is_empty()).await.map(drop) };
        tokio::time::timeout(rig::PATIENCE, mended).await.expect("in time").unwrap();
    });
    assert_eq!(get(address).text(), "x");
}

#[test]
fn listeners_move_between_addresses() {
    let member = Member::named("x");
    let (first, second) = (free_address(), free_address());
    let rig = Rig::start();
    let listener = http(first, &[member.address]);
    rig.apply([again(&listener)]);
    let mut kept = Client::connect(first);
    kept.get("/");
    let mut moved = again(&listener);
    moved.endpoints[0].address = second;
    rig.apply([moved]);
    assert_eq!(get(second).text(), "x");
    assert_eq!(kept.get("/").text(), "x");
    assert!(std::net::TcpStream::connect(first).is_err());
}

#[test]
fn draining_ends_what_is_idle_and_waits_for_what_is_not() {
    let ((begin, begun), (go, wait)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
    let wait = std::sync::Mutex::new(wait);
    let slow = Member::http(move |request| {
        if request.head.contains("/slow") {
            begin.send(()).unwrap();
            wait.lock().unwrap().recv().unwrap();
        }
        rig::ok("x")
    });
    let address = free_address();
    let rig = Rig::serving(http(address, &[slow.address]));
    let mut idle = Client::connect(address);
    idle.get("/");
    let mut silent = Client::connect(address);
    let mut busy = Client::connect(address);
    busy.send("GET /slow HTTP/1.1\r\nHost: t\r\n\r\n");
    begun.recv_timeout(rig::PATIENCE).unwrap();
    thread::scope(|scope| {
        let draining = scope.spawn(|| rig.runtime.block_on(rig.dataplane.drain(rig::PATIENCE * 100)));
        assert_eq!((idle.rest(), silent.rest()), (vec![], vec![]));
        assert!(!draining.is_finished(), "somebody waits for an answer");
        go.send(()).unwrap();
        let response = busy.response();
        assert_eq!((response.text(), response.header("connection").as_deref()), ("x", Some("close")));
        assert_eq!(busy.rest(), vec![]);
        draining.join().unwrap();
    });
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn applying_the_same_again_changes_nothing() {
    let member = Member::named("x");
    let address = free_address();
    let rig = Rig::with_workers(1);
    let listener = http(address, &[member.address]);
    for _ in 0..5 {
        rig.apply([again(&listener)]);
        assert_eq!(get(address).text(), "x");
    }
    assert_eq!(member.connection_count(), 1, "kept connections to members survive");
}
