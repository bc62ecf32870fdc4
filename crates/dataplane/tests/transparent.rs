//! Members that see the client's address as the source: on loopback, where every address is this machine's. The ways of real networks are
//! in tests/traffic. Needs CAP_NET_ADMIN or CAP_NET_RAW, as the feature does.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod rig;

use std::{
    io::Read,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::mpsc::{Receiver, channel},
    thread,
};

use dataplane::Config;
use model::{PoolProtocol, ProxyAccept};
use plan::{ListenerPlan, ServicePlan};
use rig::{Client, Member, PATIENCE, Rig, free_address, listener, tcp, with_target};
use socket2::{Domain, Socket, Type};
use wire::proxy_protocol::{Endpoints, Origin, Transport, write_v1};

fn keeping(wanted: bool) -> Rig {
    Rig::with_config(Config { workers: 2, transparent_client_address: wanted, ..Config::default() })
}

/// The listener, whose plan says that its members are to see the client.
fn transparent(plan: ListenerPlan) -> ListenerPlan {
    with_target(plan, |target| target.members.iter_mut().for_each(|member| member.transparent = true))
}

/// A member that tells whom each connection comes from, and keeps it.
fn witness() -> (Member, Receiver<SocketAddr>) {
    let (told, hear) = channel();
    let member = Member::start(move |mut stream| {
        told.send(stream.peer_addr().unwrap()).unwrap();
        let _ = std::io::Write::write_all(&mut stream, b"seen");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    (member, hear)
}

fn client_from(source: IpAddr, address: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    Client::of(socket.into())
}

/// A member's word reaches the client: the way back is there, too.
fn hear(client: &mut Client) {
    let mut word = [0; 4];
    client.reader.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"seen");
}

#[test]
fn a_connection_comes_from_its_client_where_plan_and_node_say_so() {
    for (why, in_plan, on_node, seen) in [
        ("both", true, true, true),
        ("the node does not", true, false, false),
        ("the plan does not", false, true, false),
    ] {
        let (member, peers) = witness();
        let address = free_address();
        let rig = keeping(on_node);
        let plan = tcp(address, &[member.address]);
        let _ = rig.apply([if in_plan { transparent(plan) } else { plan }]);
        let source = free_address().ip();
        let mut client = client_from(source, address);
        hear(&mut client);
        assert_eq!(peers.recv_timeout(PATIENCE).unwrap().ip() == source, seen, "{why}");
    }
}

#[test]
fn a_change_of_the_plan_holds_from_the_next_connection_on() {
    let (member, peers) = witness();
    let address = free_address();
    let rig = keeping(true);
    let plan = tcp(address, &[member.address]);
    let source = free_address().ip();
    for wanted in [false, true, false] {
        let plan = rig::again(&plan);
        let _ = rig.apply([if wanted { transparent(plan) } else { plan }]);
        hear(&mut client_from(source, address));
        assert_eq!(peers.recv_timeout(PATIENCE).unwrap().ip() == source, wanted);
    }
}

#[test]
fn the_port_is_the_clients_own_unless_it_leads_to_the_member_already() {
    let (member, peers) = witness();
    let address = free_address();
    let rig = keeping(true);
    let plan = ListenerPlan {
        proxy_accept: Some(ProxyAccept::default()),
        ..transparent(tcp(address, &[member.address]))
    };
    let _ = rig.apply([plan]);
    // Somebody else is this client, so its port is free here, as it is on a node.
    let source = SocketAddr::new(free_address().ip(), 4711);
    let said = |source: SocketAddr| {
        let mut client = Client::connect(address);
        let ends = Endpoints { transport: Transport::Stream, source, destination: address };
        let mut header = Vec::new();
        write_v1(&Origin::Client(ends), &mut header);
        client.send(&header);
        hear(&mut client);
        (client, peers.recv_timeout(PATIENCE).unwrap())
    };
    let (_first, seen) = said(source);
    assert_eq!(seen, source);
    let (_second, seen) = said(source);
    assert_eq!(seen.ip(), source.ip());
    assert_ne!(seen.port(), source.port());
    let low = SocketAddr::new(source.ip(), 99);
    assert_eq!(said(low).1.ip(), source.ip());
    let far = "198.51.100.7:4711".parse().unwrap();
    assert!(said(far).1.ip().is_loopback(), "no way leads back to there from a member on this machine");
}

#[test]
fn a_flow_comes_from_its_client() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let member = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut bytes = [0; 100];
        while let Ok((_, from)) = socket.recv_from(&mut bytes) {
            let _ = socket.send_to(from.to_string().as_bytes(), from);
        }
    });
    for wanted in [true, false] {
        let address = free_address();
        let rig = keeping(wanted);
        let plan = listener(address, &[member], ServicePlan::Udp, PoolProtocol::Udp);
        let _ = rig.apply([transparent(plan)]);
        let source = free_address().ip();
        for _ in 0..2 {
            let client = UdpSocket::bind((source, 0)).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.connect(address).unwrap();
            for _ in 0..3 {
                client.send(b"who am I?").unwrap();
                let mut answer = [0; 100];
                let length = client.recv(&mut answer).unwrap();
                let seen: SocketAddr = std::str::from_utf8(&answer[..length]).unwrap().parse().unwrap();
                assert_eq!(seen.ip() == source, wanted, "{seen}");
            }
        }
    }
}
