//! Health: probes decide who gets new work.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod rig;

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

use dataplane::HealthChange;
use model::{
    MonitorType, ProbeFailureCode, ProbeInterval, ProbeTimeout, ProxyVersion, Verdict, target::ProbeSettings,
};
use rig::{Member, Rig, again, free_address, get, http, probe, tcp, with_target};
use tokio::sync::mpsc::UnboundedReceiver;

fn news(rig: &Rig, health: &mut UnboundedReceiver<HealthChange>) -> HealthChange {
    rig.runtime.block_on(async {
        tokio::time::timeout(rig::PATIENCE, health.recv()).await.expect("news in time").expect("a prober")
    })
}

/// A member whose status can be changed.
fn switchable(status: u16) -> (Member, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(status));
    let shown = status.clone();
    let member = Member::http(move |_| {
        format!("HTTP/1.1 {} X\r\nContent-Length: 1\r\n\r\nx", shown.load(Ordering::SeqCst)).into_bytes()
    });
    (member, status)
}

#[test]
fn a_member_goes_down_and_comes_back_with_its_probes() {
    let (member, status) = switchable(200);
    let address = free_address();
    let rig = Rig::start();
    let mut health = rig.dataplane.health().unwrap();
    assert!(rig.dataplane.health().is_none(), "taken once");
    // The first plan is what was in force before; a new listener comes with the second.
    rig.apply([]);
    let listener =
        with_target(http(address, &[member.address]), |t| t.probe = Some(probe(MonitorType::Http)));
    let (target, id) = {
        let target = listener.default_target.as_ref().unwrap();
        (target.id, target.members[0].id)
    };
    rig.apply([again(&listener)]);
    let first = news(&rig, &mut health);
    assert_eq!((first.target, first.member), (target, id));
    assert_eq!(first.health.unwrap().verdict, Verdict::Up);
    assert_eq!(get(address).status(), 200);

    status.store(500, Ordering::SeqCst);
    let down = news(&rig, &mut health).health.unwrap();
    let failure = down.failure.unwrap();
    assert_eq!((down.verdict, failure.code), (Verdict::Down, ProbeFailureCode::ResponseMismatch));
    assert_eq!((failure.expected.as_str(), failure.got.as_str()), ("200", "500"));
    let answer = get(address);
    assert_eq!((answer.status(), answer.header("x-router-code").as_deref()), (503, Some("50000")));

    rig.apply([again(&listener)]);
    assert_eq!(get(address).status(), 503, "a verdict outlives plans");

    rig.apply([with_target(again(&listener), |target| target.all_down_forward = true)]);
    assert_eq!(get(address).status(), 500, "all are used when none is healthy, where the pool says so");

    rig.apply([again(&listener)]);
    status.store(200, Ordering::SeqCst);
    assert_eq!(news(&rig, &mut health).health.unwrap().verdict, Verdict::Up);
    assert_eq!(get(address).status(), 200);

    rig.apply([with_target(again(&listener), |target| target.probe = None)]);
    assert_eq!(news(&rig, &mut health).health, None);
    assert_eq!(get(address).status(), 200, "members that are not probed count as healthy");
}

#[test]
fn a_failure_says_what_happened() {
    let rig = Rig::start();
    let mut health = rig.dataplane.health().unwrap();
    rig.apply([]);
    let closed = free_address();
    let garbage = Member::start(|mut stream| {
        use std::io::Write;
        let _ = stream.write_all(b"220 mail ready\r\n");
        rig::read_head(&mut std::io::BufReader::new(stream));
    });
    let hanging_up = Member::start(|stream| {
        rig::read_head(&mut std::io::BufReader::new(stream));
    });
    let silent = Member::start(|stream| {
        let mut reader = std::io::BufReader::new(stream);
        while rig::read_head(&mut reader).is_some() {}
    });
    for (member, kind, code, words) in [
        (
            closed,
            MonitorType::Tcp,
            ProbeFailureCode::ConnectRefused,
            format!("connection refused by {closed}"),
        ),
        (
            closed,
            MonitorType::Http,
            ProbeFailureCode::ConnectRefused,
            format!("connection refused by {closed}"),
        ),
        (
            garbage.address,
            MonitorType::Http,
            ProbeFailureCode::ResponseFormatError,
            format!("the answer of {} is no HTTP", garbage.address),
        ),
        (
            hanging_up.address,
            MonitorType::Http,
            ProbeFailureCode::ConnectInterrupt,
            format!("{} closed the connection without an answer", hanging_up.address),
        ),
        (
            silent.address,
            MonitorType::Http,
            ProbeFailureCode::RecvResponseTimeout,
            format!("no answer from {} within 1 s", silent.address),
        ),
    ] {
        rig.apply([with_target(http(free_address(), &[member]), |target| target.probe = Some(probe(kind)))]);
        let failure = loop {
            if let Some(failure) = news(&rig, &mut health).health.and_then(|health| health.failure) {
                break failure;
            }
        };
        assert_eq!((failure.code, failure.detail), (code, words));
    }
}

#[test]
fn a_monitor_added_later_takes_no_member_out_before_its_first_result() {
    let member = Member::named("x");
    let address = free_address();
    let rig = Rig::start();
    rig.apply([]);
    let listener = http(address, &[member.address]);
    rig.apply([again(&listener)]);
    rig.apply([with_target(again(&listener), |target| target.probe = Some(probe(MonitorType::Tcp)))]);
    for _ in 0..50 {
        assert_eq!(get(address).status(), 200);
    }
}

#[test]
fn a_new_member_gets_no_work_before_its_first_result() {
    let old = Member::named("old");
    let new = Member::start(drop);
    let address = free_address();
    let rig = Rig::start();
    let mut health = rig.dataplane.health().unwrap();
    let mut settings = probe(MonitorType::Http);
    settings.interval = ProbeInterval::of(60);
    let listener = with_target(http(address, &[old.address]), |target| target.probe = Some(settings));
    rig.apply([again(&listener)]);
    news(&rig, &mut health);
    rig.apply([with_target(again(&listener), |target| target.members.push(rig::member_plan(new.address)))]);
    for _ in 0..20 {
        assert_eq!(get(address).text(), "old");
    }
    assert_eq!(news(&rig, &mut health).health.unwrap().verdict, Verdict::Down);
    assert_eq!(get(address).text(), "old");
}

#[test]
fn members_that_wait_for_a_proxy_header_get_one_from_probes_too() {
    let waiting = |header: &'static [u8]| {
        Member::start(move |mut stream| {
            use std::io::{Read, Write};
            let mut got = vec![0; header.len()];
            if stream.read_exact(&mut got).is_ok() && got == header {
                rig::read_head(&mut std::io::BufReader::new(&stream));
                let _ = stream.write_all(&rig::ok("x"));
            }
        })
    };
    let (v1, v2) = (waiting(b"PROXY UNKNOWN\r\n"), waiting(b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0"));
    let plain = Member::http(|_| rig::ok("x"));
    for (why, version, member, at, expect) in [
        ("version 1", Some(ProxyVersion::V1), &v1, None, Verdict::Up),
        ("version 2", Some(ProxyVersion::V2), &v2, None, Verdict::Up),
        ("the other version", Some(ProxyVersion::V2), &v1, None, Verdict::Down),
        ("none is sent to who gets none", None, &v1, None, Verdict::Down),
        ("a port of the monitor's own", Some(ProxyVersion::V2), &v2, Some(plain.address), Verdict::Up),
    ] {
        let rig = Rig::start();
        let mut health = rig.dataplane.health().unwrap();
        rig.apply([]);
        rig.apply([with_target(tcp(free_address(), &[member.address]), |target| {
            target.proxy_protocol = version;
            target.probe = Some(probe(MonitorType::Http));
            if let Some(at) = at {
                target.members[0].probe_address = at;
            }
        })]);
        assert_eq!(news(&rig, &mut health).health.unwrap().verdict, expect, "{why}");
    }
}

#[test]
fn many_members_are_all_probed() {
    let member = Member::start(drop);
    let rig = Rig::start();
    let mut health = rig.dataplane.health().unwrap();
    // The member's queue of connections is short, so some are asked for twice.
    let settings = ProbeSettings { timeout: ProbeTimeout::of(10), ..probe(MonitorType::Tcp) };
    rig.apply([with_target(http(free_address(), &[member.address; 500]), |target| {
        target.probe = Some(settings);
    })]);
    for _ in 0..500 {
        assert_eq!(news(&rig, &mut health).health.unwrap().verdict, Verdict::Up);
    }
}
