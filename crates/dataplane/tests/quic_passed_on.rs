//! QUIC passed on by UDP listeners. Clients and members speak its headers and nothing else of it, as that is all that is looked at.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod rig;

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use model::{
    Algorithm, CidLength, CidOffset, ListenerId, PoolId, PoolProtocol, QuicCidHash, TargetId, Weight,
};
use plan::{ListenerPlan, ServicePlan, TargetPlan};
use rig::{PATIENCE, Rig, again, eventually, free_address, member_plan, number, with_target};
use uuid::Uuid;
use wire::quic::{Header, VERSION_1};

/// A different id each time.
fn fresh_cid() -> [u8; 8] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut state = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state ^= state >> 29;
    state.wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes()
}

fn long(destination: &[u8], source: &[u8], payload: &str) -> Vec<u8> {
    let (d, s) = (destination.len() as u8, source.len() as u8);
    [&[0xc0][..], &VERSION_1.to_be_bytes(), &[d], destination, &[s], source, payload.as_bytes()].concat()
}

fn short(cid: &[u8], payload: &str) -> Vec<u8> {
    [&[0x41][..], cid, payload.as_bytes()].concat()
}

/// A member that sets a connection up with an id of its own choice, and answers what comes with its name.
struct Server {
    address: SocketAddr,
}

impl Server {
    fn start(name: &'static str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut bytes = vec![0; 2048];
            while let Ok((length, peer)) = socket.recv_from(&mut bytes) {
                let answer = match Header::parse(&bytes[..length]) {
                    Some(Header::Long(header)) => long(header.source_cid, &fresh_cid(), name),
                    _ => short(b"client", name),
                };
                socket.send_to(&answer, peer).unwrap();
            }
        });
        Self { address }
    }
}

/// A client's way: an address and a port of its own.
struct Path(UdpSocket);

impl Path {
    fn to(listener: SocketAddr) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let host = NEXT.fetch_add(1, Ordering::Relaxed) % 250;
        let socket = UdpSocket::bind((IpAddr::from([127, 0, 11, host as u8 + 1]), 0)).unwrap();
        socket.connect(listener).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    fn ask(&self, packet: &[u8]) -> Vec<u8> {
        self.0.send(packet).unwrap();
        let mut bytes = vec![0; 2048];
        let length = self.0.recv(&mut bytes).unwrap();
        bytes.truncate(length);
        bytes
    }

    /// Sets a connection up; the id that the member wants to be called by, and the member's name.
    fn connect(&self) -> (Vec<u8>, String) {
        let answer = self.ask(&long(&fresh_cid(), b"client", "hello"));
        let Some(Header::Long(header)) = Header::parse(&answer) else { panic!("{answer:?}") };
        let name = answer[1 + 4 + 1 + header.destination_cid.len() + 1 + header.source_cid.len()..].to_vec();
        (header.source_cid.to_vec(), String::from_utf8(name).unwrap())
    }

    /// Who answers to this id.
    fn say(&self, cid: &[u8]) -> String {
        String::from_utf8(self.ask(&short(cid, "more"))[1 + b"client".len()..].to_vec()).unwrap()
    }
}

fn listener(address: SocketAddr, members: &[SocketAddr]) -> ListenerPlan {
    let id = ListenerId::new(Uuid::from_u128(number()));
    let target = TargetPlan {
        algorithm: Algorithm::QuicCid,
        quic_cid_hash: Some(QuicCidHash { length: CidLength::of(7), offset: CidOffset::of(1) }),
        ..TargetPlan::by_hand(
            TargetId { listener: id, pool: PoolId::new(Uuid::from_u128(number())) },
            PoolProtocol::Quic,
            members.iter().copied().map(member_plan).collect(),
        )
    };
    let plan = ListenerPlan {
        idle_timeout: Duration::from_secs(30),
        ..ListenerPlan::by_hand(id, address, ServicePlan::Udp, Some(target))
    };
    with_target(plan, tabulate)
}

/// Makes the table anew, as the plan does.
fn tabulate(target: &mut TargetPlan) {
    let working = |member: &plan::MemberPlan| member.weight.value() > 0;
    let keys = target.members.iter().map(|m| working(m).then(|| balance::member_key(m.address)));
    target.maglev = Some(Arc::new(balance::Maglev::new(keys)));
}

/// Three members and a data plane with several workers before them.
fn site() -> (Rig, ListenerPlan, SocketAddr) {
    let servers = ["a", "b", "c"].map(Server::start);
    let address = free_address();
    let plan = listener(address, &servers.each_ref().map(|server| server.address));
    let rig = Rig::with_workers(3);
    rig.apply([again(&plan)]);
    (rig, plan, address)
}

#[test]
fn a_client_whose_address_changes_keeps_its_member() {
    let (_rig, _, address) = site();
    let mut members = BTreeSet::new();
    for _ in 0..60 {
        let (cid, name) = Path::to(address).connect();
        for _ in 0..4 {
            assert_eq!(Path::to(address).say(&cid), name, "from another address, likely by another worker");
        }
        members.insert(name);
    }
    assert_eq!(members.len(), 3, "connections are shared out");
}

#[test]
fn a_client_that_changes_its_id_before_it_moves_keeps_its_member() {
    let (_rig, _, address) = site();
    for _ in 0..20 {
        let path = Path::to(address);
        let (cid, name) = path.connect();
        assert_eq!(path.say(&cid), name);
        let another = fresh_cid();
        assert_eq!(path.say(&another), name);
        assert_eq!(Path::to(address).say(&another), name);
    }
}

#[test]
fn an_id_that_nobody_knows_is_placed_alike_by_every_worker() {
    let (_rig, _, address) = site();
    let mut members = BTreeSet::new();
    for _ in 0..40 {
        let cid = fresh_cid();
        let names: BTreeSet<_> = (0..5).map(|_| Path::to(address).say(&cid)).collect();
        assert_eq!(names.len(), 1);
        members.extend(names);
    }
    assert_eq!(members.len(), 3, "ids are shared out");
}

#[test]
fn what_has_no_id_is_served_as_any_datagram() {
    let (_rig, _, address) = site();
    for packet in [&b""[..], b"A", b"short", &[0xc0, 0, 0, 0, 1, 0, 0]] {
        let path = Path::to(address);
        assert!(!path.ask(packet).is_empty(), "{packet:?}");
    }
}

#[test]
fn a_change_of_members_moves_no_connection_but_those_of_the_member_that_left() {
    let (rig, plan, address) = site();
    let connections: Vec<_> = (0..30).map(|_| Path::to(address).connect()).collect();
    let newcomer = Server::start("d");
    let more = with_target(again(&plan), |target| {
        target.members.push(member_plan(newcomer.address));
        // a takes nothing new, and keeps what it has.
        target.members[0].weight = Weight::of(0);
        tabulate(target);
    });
    rig.apply([again(&more)]);
    for (cid, name) in &connections {
        assert_eq!(Path::to(address).say(cid), *name);
    }
    assert!((0..30).all(|_| Path::to(address).connect().1 != "a"));
    rig.apply([with_target(again(&more), |target| {
        target.members.remove(0);
        tabulate(target);
    })]);
    for (cid, name) in &connections {
        let now = Path::to(address).say(cid);
        assert!(if name == "a" { now != "a" } else { now == *name }, "{name} → {now}");
    }
}

#[test]
fn a_member_that_refuses_loses_its_connections() {
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
    let alive = Server::start("alive");
    let address = free_address();
    let plan = listener(address, &[dead.local_addr().unwrap(), alive.address]);
    let _rig = Rig::serving(again(&plan));
    drop(dead);
    eventually("clients are served by the other one", || {
        let path = Path::to(address);
        path.0.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        (0..10).all(|_| {
            path.0.send(&long(&fresh_cid(), b"client", "hello")).unwrap();
            path.0.recv(&mut [0; 64]).is_ok()
        })
    });
}
