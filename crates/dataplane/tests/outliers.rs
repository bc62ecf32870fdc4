//! Members that fail the work that they are given are left out for a while, where their pool wants that.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod rig;

use std::{
    io::{Read, Write},
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use dataplane::HealthChange;
use model::{
    MonitorType, OutlierDetection, PoolProtocol, ProbeFailureCode, Verdict,
    range::{EjectedPercent, EjectionTime, FailureRow},
};
use plan::ServicePlan;
use rig::{
    Client, ListenerPlan, Member, Rig, again, eventually, free_address, get, http, ok, tcp, with_target,
};
use tokio::sync::mpsc::UnboundedReceiver;

const QUICK: OutlierDetection = OutlierDetection {
    enabled: true,
    connect_failures: FailureRow::of(2),
    server_errors: FailureRow::of(3),
    ejection_time: EjectionTime::of(1),
    ejection_time_max: EjectionTime::of(300),
    ejected_percent_max: EjectedPercent::of(50),
};

/// So long that no test sees its end.
const LONG: OutlierDetection = OutlierDetection { ejection_time: EjectionTime::of(300), ..QUICK };

fn detecting(listener: ListenerPlan, detection: OutlierDetection) -> ListenerPlan {
    with_target(listener, |target| target.outlier_detection = Some(detection))
}

/// A member that fails while the switch is on.
fn failing() -> (Member, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(true));
    let switch = fails.clone();
    let member = Member::http(move |_| match switch.load(SeqCst) {
        true => b"HTTP/1.1 500 Failed\r\nContent-Length: 0\r\n\r\n".to_vec(),
        false => ok("back"),
    });
    (member, fails)
}

fn times_left_out(rig: &Rig, listener: &ListenerPlan, member: usize) -> u64 {
    let target = listener.default_target.as_ref().unwrap();
    (0..3)
        .map(|block| rig.registry.member(target.id, target.members[member].id, block).ejections.value())
        .sum()
}

/// The next change of health.
fn news(rig: &Rig, changes: &mut UnboundedReceiver<HealthChange>) -> HealthChange {
    rig.runtime
        .block_on(async { tokio::time::timeout(rig::PATIENCE, changes.recv()).await.unwrap().unwrap() })
}

#[test]
fn a_member_that_answers_with_errors_is_left_out_for_its_time_and_then_tried_again() {
    let (bad, fails) = failing();
    let good = Member::named("good");
    let address = free_address();
    let listener = detecting(http(address, &[bad.address, good.address]), QUICK);
    let rig = Rig::serving(again(&listener));
    let mut changes = rig.dataplane.health().unwrap();
    eventually("it is left out", || {
        get(address);
        times_left_out(&rig, &listener, 0) == 1
    });
    let out = news(&rig, &mut changes);
    let said = out.health.unwrap();
    let failure = said.failure.unwrap();
    assert_eq!(
        (out.member, said.verdict),
        (listener.default_target.as_ref().unwrap().members[0].id, Verdict::Down)
    );
    assert_eq!(failure.code, ProbeFailureCode::ResponseMismatch, "{failure:?}");
    fails.store(false, SeqCst);
    let back = news(&rig, &mut changes);
    assert_eq!((back.member, back.health), (out.member, None), "nobody probes it");
    eventually("it is tried again", || get(address).text() == "back");
}

#[test]
fn who_is_left_out_gets_nothing_and_as_many_stay_as_the_pool_wants() {
    let (bad, worse, good) = (failing().0, failing().0, Member::named("good"));
    let address = free_address();
    let third = OutlierDetection { ejected_percent_max: EjectedPercent::of(34), ..LONG };
    let listener = detecting(http(address, &[bad.address, worse.address, good.address]), third);
    let rig = Rig::serving(again(&listener));
    let out = |member| times_left_out(&rig, &listener, member);
    eventually("one of both is left out", || {
        get(address);
        out(0) + out(1) == 1
    });
    let (left_out, stays) = if out(0) == 1 { (&bad, &worse) } else { (&worse, &bad) };
    let had = left_out.heads.lock().unwrap().len();
    for _ in 0..30 {
        get(address);
    }
    assert_eq!(left_out.heads.lock().unwrap().len(), had);
    assert!(stays.heads.lock().unwrap().len() > 10, "no more than a third");
    assert_eq!((out(0) + out(1), out(2)), (1, 0));
}

#[test]
fn errors_count_only_where_the_pool_wants_it_and_only_in_a_row() {
    let off = OutlierDetection { server_errors: FailureRow::of(0), ..LONG };
    for (why, detection, in_a_row) in [
        ("nothing is said", None, true),
        ("errors do not count", Some(off), true),
        ("now and then", Some(LONG), false),
    ] {
        let count = std::sync::atomic::AtomicU64::new(0);
        let bad = Member::http(move |_| match in_a_row || !count.fetch_add(1, SeqCst).is_multiple_of(3) {
            true => b"HTTP/1.1 503 Failed\r\nContent-Length: 0\r\n\r\n".to_vec(),
            false => ok("well"),
        });
        let good = Member::named("good");
        let address = free_address();
        let listener = http(address, &[bad.address, good.address]);
        let listener = with_target(listener, |target| target.outlier_detection = detection);
        // One worker: it sees every answer.
        let rig = Rig::with_workers(1);
        rig.apply([again(&listener)]);
        let mut client = Client::connect(address);
        for _ in 0..40 {
            client.get("/");
        }
        assert_eq!(bad.heads.lock().unwrap().len(), 20, "{why}");
        assert_eq!(times_left_out(&rig, &listener, 0), 0, "{why}");
    }
}

#[test]
fn a_member_that_cannot_be_reached_is_left_out_at_layer_7_and_4() {
    for (why, layer4, probed) in
        [("requests", false, false), ("requests, though probes pass", false, true), ("bytes", true, false)]
    {
        let good = Member::start(|mut stream| {
            let _asked = stream.read(&mut [0; 1000]);
            // A probe asks nothing and is gone.
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        });
        let (gone, address): (SocketAddr, _) = (free_address(), free_address());
        let of = if layer4 { tcp } else { http };
        let listener = detecting(of(address, &[gone, good.address]), LONG);
        let listener = with_target(again(&listener), |target| {
            target.probe = probed.then(|| rig::probe(MonitorType::Tcp));
            target.members[0].probe_address = if probed { good.address } else { gone };
        });
        let rig = Rig::start();
        rig.apply([again(&listener)]);
        let mut changes = rig.dataplane.health().unwrap();
        eventually("it is left out", || {
            assert_eq!(get(address).status(), 204, "{why}: the other one is tried");
            times_left_out(&rig, &listener, 0) == 1
        });
        let failure = loop {
            let change = news(&rig, &mut changes);
            if let Some(failure) = change.health.and_then(|health| health.failure) {
                break failure;
            }
        };
        assert!(failure.detail.contains("2 connections in a row"), "{why}: {failure:?}");
        let target = listener.default_target.as_ref().unwrap();
        let tries = || -> u64 {
            let blocks = (0..2).map(|worker| rig.registry.member(target.id, target.members[0].id, worker));
            blocks.map(|of| of.connect_failures()).sum()
        };
        let before = tries();
        for _ in 0..20 {
            assert_eq!(get(address).status(), 204);
        }
        assert_eq!(tries(), before, "{why}");
    }
}

#[test]
fn a_setting_that_is_switched_off_brings_members_back_at_once() {
    let (bad, good) = (failing().0, Member::named("good"));
    let address = free_address();
    let listener = detecting(http(address, &[bad.address, good.address]), LONG);
    let rig = Rig::serving(again(&listener));
    eventually("it is left out", || {
        get(address);
        times_left_out(&rig, &listener, 0) == 1
    });
    let mut changes = rig.dataplane.health().unwrap();
    assert_eq!(news(&rig, &mut changes).health.unwrap().verdict, Verdict::Down);
    rig.apply([with_target(again(&listener), |target| target.outlier_detection = None)]);
    assert_eq!(news(&rig, &mut changes).health, None);
    let had = bad.heads.lock().unwrap().len();
    for _ in 0..10 {
        get(address);
    }
    assert!(bad.heads.lock().unwrap().len() > had);
}

#[test]
fn a_member_that_refuses_datagrams_is_left_out() {
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let good = answering();
    let address = free_address();
    let members = [nobody, good];
    let listener = detecting(rig::listener(address, &members, ServicePlan::Udp, PoolProtocol::Udp), LONG);
    let rig = Rig::serving(again(&listener));
    // Each is a flow of its own; of one that began with the member that refuses, the second datagram tells.
    let ask = || {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        client.send(b"?").unwrap();
        client.recv(&mut [0; 16]).is_ok()
    };
    eventually("it is left out", || {
        ask();
        times_left_out(&rig, &listener, 0) == 1
    });
    eventually("the other one serves", ask);
    assert!((0..20).all(|_| ask()), "all of it");
    assert_eq!(times_left_out(&rig, &listener, 1), 0);
}

/// A member that answers every datagram.
fn answering() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 64];
        while let Ok((length, peer)) = socket.recv_from(&mut bytes) {
            socket.send_to(&bytes[..length], peer).unwrap();
        }
    });
    address
}
