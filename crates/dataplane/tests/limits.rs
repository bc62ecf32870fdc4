//! What listeners may take at most.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "rig/h3.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod quic;
mod rig;
#[path = "rig/tls.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod secured;

use std::{
    io::{Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use model::{FlavorLayer, PoolProtocol};
use plan::{FlavorLimits, Limits, ListenerLimits, ListenerPlan, ServicePlan};
use rig::{Client, Member, Rig, again, eventually, free_address, http, http_plan, listener, tcp};
use telemetry::ListenerCounters;

fn echo() -> Member {
    Member::start(|mut stream| {
        let mut bytes = vec![0; 65536];
        while let Ok(n @ 1..) = stream.read(&mut bytes) {
            if stream.write_all(&bytes[..n]).is_err() {
                return;
            }
        }
    })
}

fn limited(plan: ListenerPlan, limits: Limits) -> ListenerPlan {
    let limits = ListenerLimits { own: limits, ..ListenerLimits::default() };
    ListenerPlan { limits, ..plan }
}

fn counted(rig: &Rig, plan: &ListenerPlan, of: fn(&ListenerCounters) -> u64) -> u64 {
    (0..2).map(|worker| of(&rig.registry.listener(plan.id, worker))).sum()
}

fn echoes(client: &mut Client) -> bool {
    let mut back = [0; 4];
    client.stream.write_all(b"ping").is_ok() && client.reader.read_exact(&mut back).is_ok()
}

#[test]
fn connections_beyond_the_limit_are_reset_and_those_before_go_on() {
    let member = echo();
    let address = free_address();
    let plan = limited(tcp(address, &[member.address]), Limits { connections: Some(3), ..Limits::default() });
    let rig = Rig::serving(again(&plan));
    let mut open: Vec<Client> = (0..3).map(|_| Client::connect(address)).collect();
    assert!(open.iter_mut().all(echoes));
    for _ in 0..5 {
        assert!(!echoes(&mut Client::connect(address)), "three are all");
    }
    assert!(open.iter_mut().all(echoes), "they are not touched");
    assert_eq!(counted(&rig, &plan, |c| c.over_limit.value()), 5);
    assert_eq!(counted(&rig, &plan, |c| c.connections.value()), 3);
    open.pop();
    eventually("a place is free", || echoes(&mut Client::connect(address)));
}

#[test]
fn new_connections_beyond_the_rate_are_reset() {
    let member = Member::named("m");
    let address = free_address();
    let limits = Limits { connections_per_second: Some(5), ..Limits::default() };
    let plan = limited(http(address, &[member.address]), limits);
    let rig = Rig::serving(again(&plan));
    let began = Instant::now();
    let mut kept = Client::connect(address);
    assert_eq!(kept.get("/").text(), "m");
    for _ in 0..50 {
        let mut client = Client::connect(address);
        let _ = client.stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        let _ = client.is_reset();
    }
    let passed = counted(&rig, &plan, |c| c.connections.value());
    let most = 5 + 5 * began.elapsed().as_secs() + 5;
    assert!((5..=most).contains(&passed), "{passed} of 51 in {:?}", began.elapsed());
    assert_eq!(passed + counted(&rig, &plan, |c| c.over_limit.value()), 51);
    assert_eq!(kept.get("/").text(), "m", "requests of old connections are no new connections");
}

#[test]
fn requests_beyond_the_rate_are_answered_503() {
    let member = Member::named("m");
    let address = free_address();
    let limits = Limits { requests_per_second: Some(10), ..Limits::default() };
    let plan = limited(http(address, &[member.address]), limits);
    let rig = Rig::serving(again(&plan));
    let mut client = Client::connect(address);
    let refused = (0..100).filter(|_| client.get("/").head.starts_with("HTTP/1.1 503")).count() as u64;
    assert!(refused > 0);
    assert_eq!(counted(&rig, &plan, |c| c.limited.value()), refused);
    eventually("it is served again", || client.get("/").head.starts_with("HTTP/1.1 200"));
}

#[test]
fn bytes_beyond_the_rate_wait_and_none_is_lost() {
    const BYTES: usize = 1 << 20;
    let member = echo();
    let address = free_address();
    let limits = Limits { bits_per_second: Some(8 * BYTES as u64), ..Limits::default() };
    let rig = Rig::serving(limited(tcp(address, &[member.address]), limits));
    let mut client = Client::connect(address);
    let mut writer = client.stream.try_clone().unwrap();
    let began = Instant::now();
    let sending = std::thread::spawn(move || writer.write_all(&[7; 2 * BYTES]).unwrap());
    let mut back = vec![0; 2 * BYTES];
    client.reader.read_exact(&mut back).unwrap();
    sending.join().unwrap();
    assert!(back.iter().all(|byte| *byte == 7));
    // A quarter of a second's worth may pass at once; of two seconds' worth the rest takes its time, however slow the machine is.
    assert!(began.elapsed() >= Duration::from_millis(1500), "{:?}", began.elapsed());
    drop(rig);
}

fn http3(address: SocketAddr, member: SocketAddr, limits: ListenerLimits) -> ListenerPlan {
    let plain = listener(address, &[member], ServicePlan::Quic(http_plan()), PoolProtocol::Http);
    let tls = secured::tls_plan(&secured::certificate(&["t"]), &[]);
    secured::over_tls(ListenerPlan { limits, ..plain }, tls)
}

/// Whether a client of HTTP/3 gets a connection.
async fn may_come(address: SocketAddr) -> Option<quic::Client> {
    let endpoint = quic::endpoint(quic::settings(quic::trusting(), 1 << 20));
    let connection = endpoint.connect(address, "t").unwrap().await.ok()?;
    Some(quic::Client::over(endpoint, connection).await)
}

#[test]
fn handshakes_of_quic_beyond_the_limit_are_refused_and_connections_before_go_on() {
    let member = Member::named("m");
    let address = free_address();
    let own = Limits { connections: Some(2), ..Limits::default() };
    let plan = http3(address, member.address, ListenerLimits { own, ..ListenerLimits::default() });
    let rig = Rig::serving(again(&plan));
    rig::run(async {
        let mut first = may_come(address).await.expect("the first");
        let mut second = may_come(address).await.expect("the second");
        assert!(may_come(address).await.is_none() && may_come(address).await.is_none(), "two are all");
        assert_eq!(counted(&rig, &plan, |c| c.over_limit.value()), 2);
        for client in [&mut first, &mut second] {
            assert_eq!(client.get("/").await.1, b"m", "they are not touched");
        }
        first.connection.close(0_u32.into(), b"");
        rig::eventually_async("a place is free", || counted(&rig, &plan, |c| c.active.value()) == 1).await;
        let mut third = may_come(address).await.expect("a place is free");
        assert_eq!(third.get("/").await.1, b"m");
    });
}

#[test]
fn a_flavor_limits_new_connections_and_requests_of_quic() {
    let member = Member::named("m");
    let address = free_address();
    let total =
        Limits { connections_per_second: Some(30), requests_per_second: Some(20), ..Limits::default() };
    // As HTTPS, a connection counts as ten, and a request as two.
    let flavor = FlavorLimits { layer: FlavorLayer::L7, total, connection_cost: 10, request_cost: 2 };
    let limits = ListenerLimits { flavor: Some(flavor), ..ListenerLimits::default() };
    let plan = http3(address, member.address, limits);
    let rig = Rig::serving(again(&plan));
    rig::run(async {
        let mut client = may_come(address).await.expect("the first");
        let mut refused = 0;
        let began = Instant::now();
        for _ in 0..40 {
            match client.get("/").await.0.status().as_u16() {
                200 => {}
                503 => refused += 1,
                other => panic!("{other}"),
            }
        }
        let most = 10 * (began.elapsed().as_secs() + 2);
        assert!(refused > 0 && 40 - refused <= most, "{refused} of 40 in {:?}", began.elapsed());
        assert_eq!(counted(&rig, &plan, |c| c.limited.value()), refused);
        let began = Instant::now();
        let mut came = 0;
        for _ in 0..20 {
            came += u64::from(may_come(address).await.is_some());
        }
        let most = 3 * (began.elapsed().as_secs() + 2);
        assert!(came <= most, "{came} of 20 in {:?}", began.elapsed());
        assert_eq!(came + counted(&rig, &plan, |c| c.over_limit.value()), 20);
    });
}
