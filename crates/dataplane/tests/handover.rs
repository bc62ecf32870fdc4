//! One data plane takes over from another: nobody who connects is turned away, and what is open goes on where it is.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "rig/heir.rs"]
mod heir;
mod rig;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use dataplane::{Inheritance, Verdicts};
use heir::{accept, leave, successor};
use model::{MonitorType, ProbeThreshold, Verdict, target::ProbeSettings};
use rig::{Client, ListenerPlan, Member, Rig, again, free_address, get, http, tcp, with_target};

#[test]
fn connections_that_wait_in_the_queues_are_the_successors_however_many_workers_it_has() {
    let member = Member::named("x");
    let address = free_address();
    let listener = http(address, &[member.address]);
    let mut serving = Rig::with_workers(3);
    serving.apply([again(&listener)]);
    for workers in [1, 4, 2] {
        let next = successor(&serving, workers, &[&listener]);
        let mut waiting: Vec<_> = (0..40).map(|_| Client::connect(address)).collect();
        for client in &mut waiting {
            client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
        }
        let seen = member.heads.lock().unwrap().len();
        thread::park_timeout(Duration::from_millis(50));
        assert_eq!(member.heads.lock().unwrap().len(), seen, "nobody accepts in between");
        accept(&next);
        leave(&serving);
        for client in &mut waiting {
            let response = client.response();
            assert_eq!((response.status(), response.header("connection")), (200, None), "{workers} workers");
        }
        serving = next;
    }
    assert_eq!(get(address).text(), "x");
}

#[test]
fn a_successor_that_fails_leaves_everything_as_it_was() {
    let member = Member::named("x");
    let address = free_address();
    let listener = http(address, &[member.address]);
    let serving = Rig::serving(again(&listener));
    let mut kept = Client::connect(address);
    kept.get("/");
    for _ in 0..3 {
        drop(successor(&serving, 2, &[&listener]));
        let mut waiting = Client::connect(address);
        waiting.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
        accept(&serving);
        assert_eq!(waiting.response().text(), "x");
        assert_eq!(kept.get("/").header("connection"), None);
    }
}

#[test]
fn what_is_open_ends_where_it_began() {
    let echo = Member::start(|mut stream| {
        let mut buffer = [0; 1024];
        while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
            stream.write_all(&buffer[..bytes]).unwrap();
        }
    });
    let (begin, begun) = std::sync::mpsc::channel();
    let slow = Member::http(move |request| {
        if request.head.contains("/slow") {
            begin.send(()).unwrap();
            thread::park_timeout(Duration::from_millis(500));
        }
        rig::ok("x")
    });
    let (flows, web) = (free_address(), free_address());
    let (flows_plan, web_plan) = (tcp(flows, &[echo.address]), http(web, &[slow.address]));
    let serving = Rig::start();
    serving.apply([again(&flows_plan), again(&web_plan)]);
    let mut flow = TcpStream::connect(flows).unwrap();
    let mut busy = Client::connect(web);
    busy.send("GET /slow HTTP/1.1\r\nHost: t\r\n\r\n");
    let mut idle = Client::connect(web);
    idle.get("/");
    begun.recv_timeout(rig::PATIENCE).unwrap();

    let next = successor(&serving, 2, &[&flows_plan, &web_plan]);
    accept(&next);
    let left = thread::spawn(move || leave(&serving));
    let closing = |answer: &rig::Request| answer.header("connection").as_deref() == Some("close");
    let last = (0..10_000).map(|_| idle.get("/")).find(closing).expect("it is told that this was the last");
    assert_eq!(last.text(), "x");
    assert_eq!(busy.response().text(), "x");
    for _ in 0..20 {
        let mut back = [0; 4];
        flow.write_all(b"flow").unwrap();
        flow.read_exact(&mut back).unwrap();
        assert_eq!(get(web).header("connection"), None, "new connections are the successor's");
    }
    assert!(!left.is_finished(), "it waits for the flow");
    drop(flow);
    left.join().unwrap();
}

/// A member that answers each question with it and the port that it came from, and does not answer what only keeps a flow alive.
fn mirror() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut bytes = [0; 100];
        while let Ok((length, from)) = socket.recv_from(&mut bytes) {
            let said = std::str::from_utf8(&bytes[..length]).unwrap();
            if said != ALIVE {
                let _ = socket.send_to(format!("{said} {}", from.port()).as_bytes(), from);
            }
        }
    });
    address
}

const ALIVE: &str = "alive";

/// The port from which a client's datagrams reach the member: that of its flow.
fn flow_of(client: &UdpSocket) -> String {
    let mut bytes = [0; 100];
    // A datagram may be lost, but not again and again; its answer may be late.
    for _ in 0..20 {
        let question = rig::number().to_string();
        client.send(question.as_bytes()).unwrap();
        while let Ok(length) = client.recv(&mut bytes) {
            let (asked, port) = std::str::from_utf8(&bytes[..length]).unwrap().split_once(' ').unwrap();
            if asked == question {
                return port.to_owned();
            }
        }
    }
    panic!("no answer");
}

fn flows_of(clients: &[UdpSocket]) -> Vec<String> {
    clients.iter().map(flow_of).collect()
}

fn udp_client(address: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    client.connect(address).unwrap();
    client
}

/// Keeps flows from being idle until it is dropped, however long questions take.
struct Alive {
    ended: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Alive {
    fn keep<'a>(clients: impl IntoIterator<Item = &'a UdpSocket>) -> Self {
        let clients: Vec<_> = clients.into_iter().map(|client| client.try_clone().unwrap()).collect();
        let ended = Arc::new(AtomicBool::new(false));
        let seen = ended.clone();
        let thread = thread::spawn(move || {
            while !seen.load(Ordering::SeqCst) {
                for client in &clients {
                    client.send(ALIVE.as_bytes()).unwrap();
                }
                thread::park_timeout(Duration::from_millis(100));
            }
        });
        Self { ended, thread: Some(thread) }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let thread = self.thread.take().unwrap();
        thread.thread().unpark();
        let _ = thread.join();
    }
}

/// The flows that a data plane ever began.
fn flows_begun(rig: &Rig, listener: &ListenerPlan) -> u64 {
    let target = listener.default_target.as_ref().unwrap();
    let of_worker = |worker| rig.registry.member(target.id, target.members[0].id, worker).connections.value();
    (0..2).map(of_worker).sum()
}

#[test]
fn flows_of_udp_go_on_where_they_began_until_they_end() {
    let address = free_address();
    let mut listener = tcp(address, &[mirror()]);
    listener.service = plan::ServicePlan::Udp;
    listener.idle_timeout = Duration::from_secs(2);
    let mut target = plan::TargetPlan::clone(listener.default_target.as_ref().unwrap());
    target.protocol = model::PoolProtocol::Udp;
    listener.default_target = Some(Arc::new(target));
    let serving = Rig::serving(again(&listener));
    let old: Vec<_> = (0..8).map(|_| udp_client(address)).collect();
    let kept = Alive::keep(&old);
    let flows = flows_of(&old);

    let next = successor(&serving, 2, &[&listener]);
    accept(&next);
    let left = thread::spawn(move || leave(&serving));
    let newer: Vec<_> = (0..8).map(|_| udp_client(address)).collect();
    let newer_kept = Alive::keep(&newer);
    let newer_flows = flows_of(&newer);
    let last = successor(&next, 2, &[&listener]);
    accept(&last);
    let left_too = thread::spawn(move || leave(&next));
    let newest = udp_client(address);
    let _newest_kept = Alive::keep([&newest]);
    let newest_flow = flow_of(&newest);
    for _ in 0..3 {
        assert_eq!(flows_of(&old), flows, "of the first process");
        assert_eq!(flows_of(&newer), newer_flows, "of the second");
        assert_eq!(flow_of(&newest), newest_flow, "of the last");
    }
    assert!(!left.is_finished() && !left_too.is_finished(), "they wait for their flows");
    assert_eq!(flows_begun(&last, &listener), 1);
    drop((kept, newer_kept));
    left.join().unwrap();
    left_too.join().unwrap();
    flows_of(&old);
    assert!(flows_begun(&last, &listener) > 8, "they begin anew after their end");
}

#[test]
fn under_load_no_request_fails_and_no_connection_is_refused() {
    let member = Member::named("x");
    let address = free_address();
    let listener = http(address, &[member.address]);
    let mut serving = Rig::serving(again(&listener));
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..4)
        .map(|n| {
            let (stop, asked) = (stop.clone(), asked.clone());
            thread::spawn(move || {
                let mut client = Client::connect(address);
                while !stop.load(Ordering::SeqCst) {
                    let response = client.get("/");
                    assert_eq!(response.text(), "x");
                    asked.fetch_add(1, Ordering::SeqCst);
                    if n == 0 || response.header("connection").is_some() {
                        client = Client::connect(address);
                    }
                }
            })
        })
        .collect();
    for _ in 0..5 {
        let next = successor(&serving, 2, &[&listener]);
        accept(&next);
        leave(&serving);
        serving = next;
        let before = asked.load(Ordering::SeqCst);
        rig::eventually("the load goes on", || asked.load(Ordering::SeqCst) > before + 50);
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().unwrap();
    }
}

#[test]
fn what_probes_found_holds_until_they_find_something_else_often_enough() {
    let (up, down) = (Member::named("up"), Member::named("down"));
    let address = free_address();
    let listener = with_target(http(address, &[up.address, down.address]), |target| {
        target.probe = Some(ProbeSettings {
            rise: ProbeThreshold::of(2),
            fall: ProbeThreshold::of(10),
            ..rig::probe(MonitorType::Http)
        });
        // Nobody answers there: the first probe fails, and would count at once if nothing were known.
        target.members[0].probe_address = free_address();
    });
    let target = listener.default_target.as_ref().unwrap();
    let health = Verdicts::from([
        ((target.id, target.members[0].id), Verdict::Up),
        ((target.id, target.members[1].id), Verdict::Down),
    ]);
    let rig = Rig::taking_over(2, Inheritance { health, ..Inheritance::default() });
    let mut news = rig.dataplane.health().unwrap();
    rig.apply([again(&listener)]);
    accept(&rig);
    for _ in 0..10 {
        assert_eq!(get(address).text(), "up");
    }
    let first = rig.runtime.block_on(async {
        tokio::time::timeout(rig::PATIENCE, news.recv()).await.expect("news in time").expect("a prober")
    });
    assert_eq!(first.member, target.members[1].id, "the one that was up is so after its failed probes");
    assert_eq!(first.health.unwrap().verdict, Verdict::Up, "it came back after two probes");
    let mut seen = [false; 2];
    rig::eventually("both serve", || {
        seen[usize::from(get(address).text() == "down")] = true;
        seen == [true, true]
    });
}
