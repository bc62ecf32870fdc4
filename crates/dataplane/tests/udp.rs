//! UDP listeners.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod rig;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use model::{Algorithm, ListenerId, PoolId, PoolProtocol, TargetId, Weight, pool::Drain};
use plan::{ListenerPlan, ServicePlan, TargetPlan};
use rig::{PATIENCE, Rig, again, eventually, free_address, member_plan, number, with_target};
use uuid::Uuid;

/// A member that answers each datagram with its name and what it got, and remembers who spoke to it.
struct Echo {
    address: SocketAddr,
    peers: Arc<Mutex<BTreeSet<SocketAddr>>>,
    heard: Arc<AtomicU64>,
}

impl Echo {
    fn start(name: &'static str) -> Self {
        Self::at(name, "127.0.0.1:0".parse().unwrap())
    }

    fn at(name: &'static str, address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        let address = socket.local_addr().unwrap();
        let peers: Arc<Mutex<BTreeSet<SocketAddr>>> = Arc::default();
        let heard: Arc<AtomicU64> = Arc::default();
        let (spoke, counted) = (peers.clone(), heard.clone());
        thread::spawn(move || {
            let mut bytes = vec![0; 70_000];
            while let Ok((length, peer)) = socket.recv_from(&mut bytes) {
                spoke.lock().unwrap().insert(peer);
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = [name.as_bytes(), &bytes[..length]].concat();
                socket.send_to(&answer, peer).unwrap();
            }
        });
        Self { address, peers, heard }
    }

    fn flows(&self) -> usize {
        self.peers.lock().unwrap().len()
    }

    fn heard(&self) -> u64 {
        self.heard.load(Ordering::SeqCst)
    }
}

/// A client on a port of its own.
fn client(listener: SocketAddr) -> UdpSocket {
    client_from(IpAddr::from([127, 0, 0, 1]), listener)
}

fn client_from(source: IpAddr, listener: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((source, 0)).unwrap();
    socket.connect(listener).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// What comes back.
fn answer(client: &UdpSocket) -> String {
    let mut bytes = [0; 2048];
    let length = client.recv(&mut bytes).unwrap();
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

fn ask(client: &UdpSocket, word: &str) -> String {
    client.send(word.as_bytes()).unwrap();
    answer(client)
}

/// As [`ask`], for when datagrams may be lost on the way: says it again until an answer comes.
fn ask_again(client: &UdpSocket, word: &str) -> String {
    let until = Instant::now() + PATIENCE;
    client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut bytes = [0; 2048];
    loop {
        assert!(Instant::now() < until, "no answer");
        client.send(word.as_bytes()).unwrap();
        if let Ok(length) = client.recv(&mut bytes) {
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            return String::from_utf8(bytes[..length].to_vec()).unwrap();
        }
    }
}

/// Whether nothing comes back for a while.
fn is_silent(client: &UdpSocket, word: &str) -> bool {
    client.send(word.as_bytes()).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let silent = client.recv(&mut [0; 16]).is_err();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    silent
}

fn udp(address: SocketAddr, members: &[SocketAddr]) -> ListenerPlan {
    let id = ListenerId::new(Uuid::from_u128(number()));
    let target = TargetPlan::by_hand(
        TargetId { listener: id, pool: PoolId::new(Uuid::from_u128(number())) },
        PoolProtocol::Udp,
        members.iter().copied().map(member_plan).collect(),
    );
    ListenerPlan {
        idle_timeout: Duration::from_secs(30),
        ..ListenerPlan::by_hand(id, address, ServicePlan::Udp, Some(target))
    }
}

/// The sum over workers of a listener's counter.
fn counted(rig: &Rig, listener: &ListenerPlan, of: fn(&telemetry::ListenerCounters) -> u64) -> u64 {
    (0..2).map(|worker| of(&rig.registry.listener(listener.id, worker))).sum()
}

#[test]
fn datagrams_go_to_a_member_and_answers_come_back_from_where_they_were_asked() {
    let member = Echo::start("m:");
    for address in [free_address(), "[::1]:0".parse().unwrap()].map(with_port) {
        let listener = udp(address, &[member.address]);
        let rig = Rig::serving(again(&listener));
        let source = if address.is_ipv4() { "127.0.0.1" } else { "::1" };
        let client = client_from(source.parse().unwrap(), address);
        for word in ["one", "", "three"] {
            assert_eq!(ask(&client, word), format!("m:{word}"), "a connected socket hears its peer alone");
        }
        let long = vec![b'x'; 60_000];
        client.send(&long).unwrap();
        let mut got = vec![0; 70_000];
        assert_eq!(client.recv(&mut got).unwrap(), long.len() + 2);
        for (why, of, expect) in [
            ("flows", (|c| c.connections.value()) as fn(&telemetry::ListenerCounters) -> u64, 1),
            ("flows open", |c| c.active.value(), 1),
            ("datagrams in", |c| c.datagrams_in.value(), 4),
            ("datagrams out", |c| c.datagrams_out.value(), 4),
            ("bytes in", |c| c.bytes_in.value(), 60_008),
            ("bytes out", |c| c.bytes_out.value(), 60_016),
            ("dropped", |c| c.unserved.value(), 0),
        ] {
            eventually(why, || counted(&rig, &listener, of) == expect);
        }
    }
    assert_eq!(member.flows(), 2);
}

/// The address with a port that nobody uses for UDP.
fn with_port(address: SocketAddr) -> SocketAddr {
    UdpSocket::bind((address.ip(), 0)).unwrap().local_addr().unwrap()
}

#[test]
fn each_client_has_a_flow_and_keeps_its_member() {
    let members = [Echo::start("a"), Echo::start("b"), Echo::start("c")];
    let address = free_address();
    let _rig = Rig::serving(udp(address, &members.each_ref().map(|member| member.address)));
    let clients: Vec<_> = (0..300).map(|_| client(address)).collect();
    let first: Vec<_> = clients.iter().map(|client| ask(client, "")).collect();
    for round in 0..3 {
        for client in &clients {
            client.send(b"").unwrap();
        }
        let now: Vec<_> = clients.iter().map(answer).collect();
        assert_eq!(now, first, "round {round}");
    }
    let flows = members.each_ref().map(Echo::flows);
    assert_eq!(flows.iter().sum::<usize>(), 300, "a socket for each flow");
    // Each of two workers takes turns by itself.
    assert!(flows.iter().all(|flows| (98..=102).contains(flows)), "{flows:?}");
}

#[test]
fn weights_give_shares_and_a_weight_of_zero_gets_nothing() {
    let members = [Echo::start("a"), Echo::start("b"), Echo::start("c")];
    let address = free_address();
    let listener = with_target(udp(address, &members.each_ref().map(|member| member.address)), |target| {
        for (member, weight) in target.members.iter_mut().zip([3, 1, 0]) {
            member.weight = Weight::of(weight);
        }
    });
    let _rig = Rig::serving(listener);
    for _ in 0..80 {
        ask(&client(address), "x");
    }
    let flows = members.each_ref().map(Echo::flows);
    assert!((56..=64).contains(&flows[0]) && flows[2] == 0, "{flows:?}");
}

#[test]
fn a_burst_of_one_client_arrives_whole_and_in_order() {
    let member = Echo::start("");
    let address = free_address();
    let _rig = Rig::serving(udp(address, &[member.address]));
    let client = client(address);
    for round in 0..20 {
        let words: Vec<_> = (0..100).map(|n| format!("{round}/{n}")).collect();
        for word in &words {
            client.send(word.as_bytes()).unwrap();
        }
        let answers: Vec<_> = words.iter().map(|_| answer(&client)).collect();
        assert_eq!(answers, words);
    }
    assert_eq!(member.flows(), 1);
}

#[test]
fn a_silent_flow_ends_and_its_client_begins_another() {
    let member = Echo::start("");
    let address = free_address();
    let listener =
        ListenerPlan { idle_timeout: Duration::from_millis(300), ..udp(address, &[member.address]) };
    let rig = Rig::serving(again(&listener));
    let client = client(address);
    ask(&client, "x");
    eventually("the flow ends", || counted(&rig, &listener, |c| c.active.value()) == 0);
    ask(&client, "x");
    assert_eq!(counted(&rig, &listener, |c| c.connections.value()), 2);
}

#[test]
fn a_clients_address_decides_where_the_pool_says_so() {
    let members = [Echo::start("a"), Echo::start("b"), Echo::start("c"), Echo::start("d")];
    let addresses = members.each_ref().map(|member| member.address);
    let by_hash = |target: &mut TargetPlan| {
        target.algorithm = Algorithm::SourceIp;
        let keys = target.members.iter().map(|member| Some(balance::member_key(member.address)));
        target.maglev = Some(Arc::new(balance::Maglev::new(keys)));
    };
    let sticky = |target: &mut TargetPlan| {
        target.stickiness =
            Some(model::pool::Stickiness::SourceIp { minutes: model::range::StickyMinutes::of(5) });
    };
    for (why, change) in
        [("hash", &by_hash as &dyn Fn(&mut TargetPlan)), ("stickiness", &sticky as &dyn Fn(&mut TargetPlan))]
    {
        let address = free_address();
        let _rig = Rig::serving(with_target(udp(address, &addresses), change));
        let mut of_sources = BTreeMap::new();
        for source in 1..=40 {
            let source = IpAddr::from([127, 0, 7, source]);
            let got: BTreeSet<_> = (0..4).map(|_| ask(&client_from(source, address), "")).collect();
            assert_eq!(got.len(), 1, "{why}: {source} reaches one member from whatever port");
            of_sources.insert(source, got);
        }
        let reached: BTreeSet<_> = of_sources.values().collect();
        assert!(reached.len() > 2, "{why}: {reached:?}");
    }
}

#[test]
fn a_change_of_weights_and_members_moves_no_living_flow() {
    let members = [Echo::start("a"), Echo::start("b")];
    let addresses = members.each_ref().map(|member| member.address);
    let address = free_address();
    let listener = udp(address, &addresses);
    let rig = Rig::serving(again(&listener));
    let old: Vec<_> = (0..20).map(|_| client(address)).collect();
    let first: Vec<_> = old.iter().map(|client| ask(client, "")).collect();
    let newcomer = Echo::start("c");
    let changed = with_target(again(&listener), |target| {
        target.members[0].weight = Weight::of(0);
        target.members.push(member_plan(newcomer.address));
    });
    rig.apply([changed]);
    let now: Vec<_> = old.iter().map(|client| ask(client, "")).collect();
    assert_eq!(now, first);
    let fresh: BTreeSet<_> = (0..20).map(|_| ask(&client(address), "")).collect();
    assert_eq!(fresh, BTreeSet::from(["b".to_owned(), "c".to_owned()]), "new flows by the new weights");
    assert_eq!(members[0].flows() + members[1].flows() + newcomer.flows(), 40);
}

#[test]
fn a_removed_members_flows_end_at_once_or_when_the_delay_is_over() {
    for delay in [None, Some(1)] {
        let members = [Echo::start("a"), Echo::start("b")];
        let address = free_address();
        let listener = with_target(udp(address, &members.each_ref().map(|m| m.address)), |target| {
            let timeout = model::range::DrainTimeout::of(delay.unwrap_or(300));
            target.drain = Some(Drain { enabled: delay.is_some(), timeout });
        });
        let rig = Rig::serving(again(&listener));
        let clients: Vec<_> = (0..8).map(|_| client(address)).collect();
        let on_a: Vec<_> = clients.iter().filter(|client| ask(client, "") == "a").collect();
        assert!(!on_a.is_empty());
        let began = Instant::now();
        rig.apply([with_target(again(&listener), |target| {
            target.members.remove(0);
        })]);
        if delay.is_some() {
            let still = on_a.iter().all(|client| ask(client, "") == "a");
            assert!(still || began.elapsed() > Duration::from_millis(900), "living flows drain");
        }
        eventually("the flows have gone to the other member", || {
            on_a.iter().all(|client| ask_again(client, "") == "b")
        });
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(delay.unwrap_or(0).into()), "{took:?}");
        eventually("nothing is left", || counted(&rig, &listener, |c| c.active.value()) == 8);
    }
}

#[test]
fn a_member_that_refuses_is_left_at_once() {
    let alive = Echo::start("alive");
    let refusing = with_port(free_address());
    let address = free_address();
    let listener = udp(address, &[refusing, alive.address]);
    let rig = Rig::serving(again(&listener));
    for _ in 0..10 {
        assert_eq!(ask_again(&client(address), ""), "alive");
    }
    let target = listener.default_target.as_ref().unwrap();
    let failures: u64 = (0..2)
        .map(|worker| rig.registry.member(target.id, target.members[0].id, worker).connect_failures())
        .sum();
    assert!(failures > 0);
    // Each of two workers asked it at most a few times, as it rests after each refusal.
    assert!(failures < 10, "{failures}");
    // It comes back.
    let back = Echo::at("back", refusing);
    eventually("the member is asked again", || {
        ask_again(&client(address), "");
        back.heard() > 0
    });
}

#[test]
fn without_a_member_datagrams_are_dropped_and_counted() {
    let address = free_address();
    let listener = udp(address, &[]);
    let rig = Rig::serving(again(&listener));
    let client = client(address);
    assert!(is_silent(&client, "x"));
    assert_eq!(counted(&rig, &listener, |c| c.unserved.value()), 1);
    // With the next plan the same client is served.
    let member = Echo::start("m");
    rig.apply([with_target(again(&listener), |target| target.members.push(member_plan(member.address)))]);
    assert_eq!(ask(&client, ""), "m");
}

#[test]
fn who_may_not_is_not_served() {
    let member = Echo::start("m");
    let address = free_address();
    let listener = udp(address, &[member.address]);
    let spans = ["127.0.9.0/24".parse().unwrap()];
    let acl = plan::AclPlan::new(model::listener::AccessMode::Black, Vec::new(), spans);
    let denying = ListenerPlan { acl: Some(Arc::new(acl)), ..again(&listener) };
    let rig = Rig::serving(again(&denying));
    let denied = client_from(IpAddr::from([127, 0, 9, 1]), address);
    assert!(is_silent(&denied, "x"));
    assert_eq!(ask(&client(address), ""), "m");
    assert_eq!(counted(&rig, &listener, |c| c.denied.value()), 1);
    assert_eq!(counted(&rig, &listener, |c| c.connections.value()), 1);
    rig.apply([again(&listener)]);
    assert_eq!(ask(&denied, ""), "m");
}

#[test]
fn a_deleted_listener_is_silent_and_its_address_free() {
    let member = Echo::start("m");
    let address = free_address();
    let listener = udp(address, &[member.address]);
    let rig = Rig::serving(again(&listener));
    let client = client(address);
    ask(&client, "");
    rig.apply([]);
    eventually("the address is free", || UdpSocket::bind(address).is_ok());
    rig.apply([udp(address, &[member.address])]);
    assert_eq!(ask_again(&client, ""), "m");
}

#[test]
fn a_listener_of_tcp_and_one_of_udp_share_a_port() {
    let (datagrams, connections) = (Echo::start("m"), rig::Member::named("tcp"));
    let address = free_address();
    let rig = Rig::start();
    let applied = rig.apply([udp(address, &[datagrams.address]), rig::tcp(address, &[connections.address])]);
    assert_eq!(applied, dataplane::Applied::default());
    assert_eq!(ask(&client(address), ""), "m");
    assert_eq!(rig::get(address).text(), "tcp");
}

#[test]
fn living_flows_go_on_while_the_data_plane_drains_and_new_ones_do_not_begin() {
    let member = Echo::start("m");
    let address = free_address();
    let rig = Rig::serving(udp(address, &[member.address]));
    let old = client(address);
    ask(&old, "");
    let draining = rig.dataplane.clone();
    let drain = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(draining.drain(Duration::from_secs(60)));
    });
    eventually("nobody new is served", || is_silent(&client(address), ""));
    assert_eq!(ask(&old, ""), "m");
    assert!(!drain.is_finished(), "it waits for the flow");
    // The flow ends by being idle, long before the listener's timeout and the drain's limit.
    let began = Instant::now();
    drain.join().unwrap();
    assert!(began.elapsed() < Duration::from_secs(20));
    eventually("the address is free", || UdpSocket::bind(address).is_ok());
}

#[test]
fn more_flows_than_there_is_room_for_displace_those_that_nobody_misses() {
    let member = Echo::start("m");
    let address = free_address();
    let listener = udp(address, &[member.address]);
    // Of 40 connections, half may be flows, and a worker has half of those.
    let rig = Rig::with_config(dataplane::Config {
        workers: 2,
        connections_max: Some(40),
        ..dataplane::Config::default()
    });
    rig.apply([again(&listener)]);
    let living = client(address);
    for _ in 0..3 {
        ask(&living, "");
    }
    // They stay, as a port that is used again would be the same client.
    let others: Vec<_> = (0..60).map(|_| client(address)).collect();
    for other in &others {
        assert_eq!(ask(other, ""), "m", "every new client is served");
    }
    ask(&living, "");
    let begun = counted(&rig, &listener, |c| c.connections.value());
    assert_eq!(begun, 61, "the conversation went on as it was");
    assert!(counted(&rig, &listener, |c| c.flows_displaced.value()) >= 40);
    assert!(counted(&rig, &listener, |c| c.active.value()) <= 20);
}
