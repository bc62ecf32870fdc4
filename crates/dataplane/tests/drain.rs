//! What members and listeners have when they get no more: it ends by the delay, and nobody else's does.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod rig;

use std::{
    io::{Read, Write},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use model::{DrainTimeout, MonitorType, Weight, pool::Drain};
use plan::{MemberPlan, TargetPlan};
use rig::{Client, ListenerPlan, Member, Rig, again, eventually, free_address, http, tcp, with_target};

/// Shorter than every other limit of the rig's listeners.
const ON: Drain = Drain { enabled: true, timeout: DrainTimeout::of(1) };
const OFF: Drain = Drain { enabled: false, timeout: DrainTimeout::of(1) };

fn echo() -> Member {
    Member::start(|mut stream| {
        let mut buffer = [0; 1024];
        while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..bytes]).is_err() {
                return;
            }
        }
    })
}

/// Whether what is said comes back.
fn echoes(client: &mut Client) -> bool {
    let mut back = [0];
    client.stream.write_all(b"x").is_ok() && client.reader.read_exact(&mut back).is_ok() && back == *b"x"
}

/// A listener of TCP before one member, with a flow.
struct Flow {
    address: SocketAddr,
    listener: ListenerPlan,
    client: Client,
}

impl Flow {
    /// `rig` serves these listeners from now on.
    fn begin(rig: &Rig, members: &[&Member], drains: &[Option<Drain>]) -> Vec<Self> {
        let listeners: Vec<_> = members
            .iter()
            .zip(drains)
            .map(|(member, drain)| {
                let address = free_address();
                (address, with_target(tcp(address, &[member.address]), |target| target.drain = *drain))
            })
            .collect();
        rig.apply(listeners.iter().map(|(_, listener)| again(listener)));
        let begun = listeners.into_iter().map(|(address, listener)| {
            let mut client = Client::connect(address);
            assert!(echoes(&mut client));
            Self { address, listener, client }
        });
        begun.collect()
    }
}

/// The same listeners, each with a change of its target.
fn change(rig: &Rig, flows: &[Flow], change: impl Fn(&mut TargetPlan)) {
    rig.apply(flows.iter().map(|flow| with_target(again(&flow.listener), &change)));
}

#[test]
fn flows_of_a_member_that_gets_no_more_end_by_the_delay() {
    let member = echo();
    let removed = |target: &mut TargetPlan| target.members.clear();
    let stopped = |target: &mut TargetPlan| target.members[0].weight = Weight::of(0);
    for (why, ends_at_once, off_stays, leave) in
        [("removed", true, false, &removed as &dyn Fn(&mut TargetPlan)), ("weight 0", false, true, &stopped)]
    {
        let rig = Rig::start();
        let mut flows = Flow::begin(&rig, &[&member; 3], &[Some(ON), Some(OFF), None]);
        change(&rig, &flows, leave);
        assert!(echoes(&mut flows[0].client), "{why}: the delay has begun");
        assert!(Client::connect(flows[0].address).is_reset(), "{why}: nobody new");
        assert_eq!(echoes(&mut flows[1].client), !ends_at_once, "{why}: without a delay");
        assert!(flows[0].client.is_reset(), "{why}: the delay is over");
        assert_eq!(echoes(&mut flows[1].client), off_stays, "{why}: without a delay");
        assert!(echoes(&mut flows[2].client), "{why}: where nothing was said, it is longer");
    }
}

#[test]
fn a_member_that_is_wanted_again_keeps_its_flows() {
    let member = echo();
    let rig = Rig::start();
    let mut flows = Flow::begin(&rig, &[&member; 2], &[Some(ON); 2]);
    change(&rig, &flows, |target| target.members[0].weight = Weight::of(0));
    let first = flows[0].listener.default_target.as_ref().unwrap().id;
    change(&rig, &flows, |target| target.members[0].weight = Weight::of(u16::from(target.id == first)));
    assert!(flows[1].client.is_reset(), "the time is over for the other one");
    assert!(echoes(&mut flows[0].client));
}

#[test]
fn a_delay_that_is_made_shorter_holds_for_what_drains() {
    let member = echo();
    let rig = Rig::start();
    let mut flows = Flow::begin(&rig, &[&member], &[None]);
    change(&rig, &flows, |target| target.members.clear());
    assert!(echoes(&mut flows[0].client));
    change(&rig, &flows, |target| (target.members, target.drain) = (Vec::new(), Some(ON)));
    assert!(flows[0].client.is_reset());
}

#[test]
fn a_pool_that_goes_drains_as_its_members_would() {
    let member = echo();
    let rig = Rig::start();
    let mut flows = Flow::begin(&rig, &[&member; 2], &[Some(ON), None]);
    rig.apply(flows.iter().map(|flow| ListenerPlan { default_target: None, ..again(&flow.listener) }));
    assert!(flows[0].client.is_reset());
    assert!(echoes(&mut flows[1].client));
}

fn probe(target: &mut TargetPlan) {
    target.probe = Some(rig::probe(MonitorType::Http));
}

#[test]
fn flows_of_an_unhealthy_member_end_by_the_delay_unless_it_gets_work_all_the_same() {
    let member = echo();
    let well = Arc::new(AtomicBool::new(true));
    let says = well.clone();
    let prober = Member::http(move |_| match says.load(Ordering::SeqCst) {
        true => rig::ok("well"),
        false => b"HTTP/1.1 503 Unwell\r\nContent-Length: 0\r\n\r\n".to_vec(),
    });
    let rig = Rig::start();
    let always_well = Member::named("well");
    let mut flows = Flow::begin(&rig, &[&member; 4], &[Some(ON), Some(OFF), Some(ON), Some(ON)]);
    let id = |flow: &Flow| flow.listener.default_target.as_ref().unwrap().id;
    let (all_down, all_but_one) = (id(&flows[2]), id(&flows[3]));
    change(&rig, &flows, |target| {
        probe(target);
        target.all_down_forward = target.id == all_down || target.id == all_but_one;
        target.members[0].probe_address = prober.address;
        if target.id == all_but_one {
            let idle = rig::member_plan(always_well.address);
            target.members.push(MemberPlan { weight: Weight::of(0), ..idle });
        }
    });
    for flow in &mut flows {
        let opened = || echoes(&mut Client::connect(flow.address));
        eventually("the first probe passes", opened);
    }
    well.store(false, Ordering::SeqCst);
    assert!(flows[0].client.is_reset());
    assert!(echoes(&mut flows[1].client), "without a delay");
    assert!(echoes(&mut flows[2].client), "with all members down, all work");
    assert!(echoes(&mut Client::connect(flows[2].address)));
    assert!(echoes(&mut flows[3].client), "a healthy member that takes no work is no way out");
    assert!(echoes(&mut Client::connect(flows[3].address)));
}

/// A member that begins a tunnel where one is asked for, and answers others when it is let.
fn web() -> (Member, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (begin, begun) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let member = Member::start(move |stream| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        while let Some(head) = rig::read_head(&mut reader) {
            begin.send(()).unwrap();
            if head.contains("/tunnel") {
                let agreed = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
                writer.write_all(agreed).unwrap();
                return drop(std::io::copy(&mut reader, &mut writer));
            }
            if head.contains("/gate") {
                // Nobody says go: the test is over.
                let _ = gate.lock().unwrap().recv();
            }
            if writer.write_all(&rig::ok("done")).is_err() {
                return;
            }
        }
    });
    (member, begun, go)
}

fn tunnel(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.send("GET /tunnel HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    assert!(rig::read_head(&mut client.reader).unwrap().contains(" 101 "));
    assert!(echoes(&mut client));
    client
}

#[test]
fn requests_of_a_removed_member_are_answered_and_tunnels_end_by_the_delay() {
    let ((member, begun, go), other) = (web(), Member::named("other"));
    let address = free_address();
    let listener = with_target(http(address, &[member.address]), |target| {
        target.drain = Some(Drain { timeout: DrainTimeout::of(2), ..ON })
    });
    let rig = Rig::serving(again(&listener));
    let mut slow = Client::connect(address);
    slow.send("GET /gate HTTP/1.1\r\nHost: t\r\n\r\n");
    begun.recv_timeout(rig::PATIENCE).unwrap();
    let mut tunnel = tunnel(address);
    rig.apply([with_target(again(&listener), |target| {
        target.members = vec![rig::member_plan(other.address)]
    })]);
    assert!(echoes(&mut tunnel));
    assert_eq!(rig::get(address).text(), "other", "new requests are another's");
    go.send(()).unwrap();
    let answer = slow.response();
    assert_eq!((answer.text(), answer.header("connection")), ("done", None));
    assert_eq!(slow.get("/").text(), "other", "the client's connection goes on");
    let mut late = Client::connect(address);
    assert_eq!(late.get("/").text(), "other");
    assert!(tunnel.is_reset());
    assert_eq!(late.get("/").text(), "other");
}

#[test]
fn a_request_that_has_no_answer_by_the_delay_gets_ours() {
    let (member, begun, _go) = web();
    let address = free_address();
    let listener = with_target(http(address, &[member.address]), |target| target.drain = Some(ON));
    let rig = Rig::serving(again(&listener));
    let mut slow = Client::connect(address);
    slow.send("GET /gate HTTP/1.1\r\nHost: t\r\n\r\n");
    begun.recv_timeout(rig::PATIENCE).unwrap();
    rig.apply([with_target(again(&listener), |target| target.members.clear())]);
    assert_eq!(slow.response().status(), 504);
}

#[test]
fn when_an_http_listener_goes_each_connection_has_one_more_answer_and_tunnels_their_delay() {
    let (member, begun, go) = web();
    let (address, staying) = (free_address(), free_address());
    let drains = |target: &mut TargetPlan| target.drain = Some(Drain { timeout: DrainTimeout::of(2), ..ON });
    let listener = with_target(http(address, &[member.address]), drains);
    let stays = http(staying, &[member.address]);
    let rig = Rig::start();
    rig.apply([again(&listener), again(&stays)]);
    let mut unconcerned = tunnel(staying);
    let mut tunnel = tunnel(address);
    let mut idle: Vec<_> = (0..2).map(|_| Client::connect(address)).collect();
    for client in &mut idle {
        assert_eq!(client.get("/").header("connection"), None);
    }
    let mut slow = Client::connect(address);
    begun.try_iter().for_each(drop);
    slow.send("GET /gate HTTP/1.1\r\nHost: t\r\n\r\n");
    begun.recv_timeout(rig::PATIENCE).unwrap();
    rig.apply([again(&stays)]);
    assert!(std::net::TcpStream::connect(address).is_err());
    go.send(()).unwrap();
    for answer in [slow.response(), idle[0].get("/")] {
        assert_eq!((answer.text(), answer.header("connection").as_deref()), ("done", Some("close")));
    }
    assert_eq!((slow.rest().len(), idle[0].rest().len()), (0, 0));
    assert!(echoes(&mut tunnel));
    assert!(tunnel.is_reset(), "at the end of the delay");
    assert_eq!(idle[1].rest().len(), 0, "and so does what is idle");
    assert!(echoes(&mut unconcerned));
}
