//! A node follows its store, and serves without it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../../plan/tests/compile/objects.rs"]
mod objects;

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use dataplane::Dataplane;
use model::{Facts, Object, PoolProtocol, Port, Revision, Timestamp, listener::Service};
use node::Node;
use objects::Objects;
use store::{Batch, Location, MasterKey, Replica, Store};
use tokio::sync::watch;

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_is_served_and_served_again_without_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let (vip, member) = (free_port(Ipv4Addr::new(127, 88, 77, 1)), echo());
    let (node, mut facts, dataplane) = start(directory.path()).await;
    assert_eq!(node.restored(), None);

    let location = Location::Sqlite(directory.path().join("fulcrum.db"));
    let store = Store::open(&location, &MasterKey::new([7; 32])).await.unwrap();
    let replica = Replica::start(store.clone()).await.unwrap();
    node.follow(replica.clone()).await;

    let revision = commit(&store, site(vip, member)).await;
    applied(&mut facts, revision).await;
    assert_eq!(echoed(vip), "hello");

    node.save().await;
    drop((node, facts, replica, store));
    dataplane.drain(PATIENCE).await;
    assert!(TcpStream::connect(vip).is_err(), "nobody serves in between");
    std::fs::remove_file(directory.path().join("fulcrum.db")).unwrap();

    let (node, mut facts, _dataplane) = start(directory.path()).await;
    assert_eq!(node.restored(), Some(revision));
    assert_eq!(facts.borrow_and_update().applied, revision, "in force before anything else");
    assert_eq!(echoed(vip), "hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_left_out_and_a_listener_that_cannot_be_bound_is_a_fault() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(directory.path().join("plan")).unwrap();
    std::fs::write(directory.path().join("plan/last-good-plan"), "damaged").unwrap();
    let (node, mut facts, _dataplane) = start(directory.path()).await;
    assert_eq!(node.restored(), None);

    let vip = free_port(Ipv4Addr::new(127, 88, 77, 2));
    let foreign = TcpListener::bind(vip).unwrap();
    let location = Location::Sqlite(directory.path().join("fulcrum.db"));
    let store = Store::open(&location, &MasterKey::new([7; 32])).await.unwrap();
    node.follow(Replica::start(store.clone()).await.unwrap()).await;
    let revision = commit(&store, site(vip, echo())).await;
    applied(&mut facts, revision).await;
    let fault = facts.borrow_and_update().faults.get(&objects::listener_id(1)).cloned().unwrap();
    assert!(fault.reason.starts_with(&format!("cannot listen on {vip}: ")), "{}", fault.reason);

    drop(foreign);
    wait(&mut facts, |facts| facts.faults.is_empty()).await;
    assert_eq!(echoed(vip), "hello");
}

async fn start(directory: &Path) -> (Node, watch::Receiver<Arc<Facts>>, Dataplane) {
    let now = || Timestamp::from_millis(1);
    let config = dataplane::Config { workers: 1, ..Default::default() };
    let dataplane = dataplane::start(config, telemetry::Registry::default(), now).unwrap();
    let config = node::Config {
        last_good: directory.join("plan"),
        key: store::MasterKey::new([7; 32]),
        now,
        health: Vec::new(),
    };
    let (node, facts) = node::start(config, dataplane.clone()).await;
    (node, facts, dataplane)
}

/// A load balancer with a TCP listener before one member.
fn site(vip: SocketAddr, member: SocketAddr) -> Vec<Object> {
    let mut objects = Objects::default();
    let SocketAddr::V4(vip) = vip else { panic!("the VIP is IPv4") };
    objects.load_balancer(1, |load_balancer| {
        load_balancer.vip = load_balancer.vip.map(|v| model::load_balancer::Vip { address: *vip.ip(), ..v });
    });
    objects.pool(1, |pool| pool.protocol = PoolProtocol::Tcp);
    objects.member(1, 1, |of| {
        of.address = member.ip();
        of.port = Some(Port::of(member.port()));
    });
    objects.listener(1, 1, Some(1), |listener| {
        listener.ports = Port::of(vip.port()).into();
        listener.service = Service::Tcp;
    });
    objects.snapshot.objects().collect()
}

async fn commit(store: &Store, puts: Vec<Object>) -> Revision {
    let based_on = store.newest().await.unwrap();
    store.commit(Batch { based_on, puts, ..Batch::default() }).await.unwrap()
}

async fn applied(facts: &mut watch::Receiver<Arc<Facts>>, revision: Revision) {
    wait(facts, |facts| facts.applied >= revision).await;
}

async fn wait(facts: &mut watch::Receiver<Arc<Facts>>, holds: impl Fn(&Facts) -> bool) {
    let wait = facts.wait_for(|facts| holds(facts));
    tokio::time::timeout(PATIENCE, wait).await.expect("in time").unwrap();
}

fn free_port(ip: Ipv4Addr) -> SocketAddr {
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}

/// A member that echoes.
fn echo() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in socket.incoming().flatten() {
            std::thread::spawn(move || {
                let mut bytes = [0; 64];
                while let Ok(n @ 1..) = stream.read(&mut bytes) {
                    if stream.write_all(&bytes[..n]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn echoed(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut bytes = [0; 5];
    stream.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_at_rest_follows_nothing_until_it_is_given_a_replica_again() {
    let directory = tempfile::tempdir().unwrap();
    let (vip, later) = (free_port(Ipv4Addr::new(127, 88, 77, 3)), free_port(Ipv4Addr::new(127, 88, 77, 4)));
    let (node, mut facts, _dataplane) = start(directory.path()).await;
    let location = Location::Sqlite(directory.path().join("fulcrum.db"));
    let key = MasterKey::new([7; 32]);
    let store = Store::open(&location, &key).await.unwrap();
    node.follow(Replica::start(store.clone()).await.unwrap()).await;
    let first = commit(&store, site(vip, echo())).await;
    applied(&mut facts, first).await;

    node.rest().await;
    node.rest().await;
    let second = commit(&store, site(later, echo())).await;
    store.close().await;
    assert!(store.snapshot().await.is_err(), "a closed store is not used any more");
    assert_eq!(facts.borrow().applied, first);

    let store = Store::open(&location, &key).await.unwrap();
    node.follow(Replica::start(store).await.unwrap()).await;
    applied(&mut facts, second).await;
    assert_eq!(echoed(later), "hello");
}
