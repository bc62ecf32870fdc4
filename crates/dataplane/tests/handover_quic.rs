//! Connections of QUIC while the sockets change hands: each goes on in the process in which it began.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "rig/echo.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod echo;
#[path = "rig/heir.rs"]
mod heir;
#[path = "rig/h3.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod quic;
mod rig;
#[path = "rig/tls.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod secured;

use std::{
    io::{BufReader, Write},
    net::{SocketAddr, UdpSocket},
    thread,
    time::Duration,
};

use echo::websocket;
use heir::{accept, leave, successor};
use model::TlsVersion;
use plan::ServicePlan;
use quic::{Client, frame};
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use rig::{ListenerPlan, Member, Rig, again, free_address, http as http_listener, http_plan, ok, run};
use secured::{certificate, over_tls, tls_plan};
use wire::h3::{Frames, Piece, kind};

/// A listener of HTTP/3 before these members.
fn listener(address: SocketAddr, members: &[SocketAddr]) -> ListenerPlan {
    let plain = http_listener(address, members);
    let plain = ListenerPlan { service: ServicePlan::Quic(http_plan()), ..plain };
    over_tls(plain, tls_plan(&certificate(&["t"]), &[]))
}

/// A member that says its name, or repeats what comes on a WebSocket.
fn member(name: &'static str) -> Member {
    Member::start(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Some(head) = rig::read_head(&mut reader) {
            let Some(key) = rig::header(&head, "sec-websocket-key") else {
                stream.write_all(&ok(name)).unwrap();
                continue;
            };
            return websocket(&mut stream, &mut reader, &key, "");
        }
    })
}

/// A WebSocket over HTTP/3.
struct Tunnel {
    endpoint: Endpoint,
    connection: Connection,
    up: SendStream,
    down: RecvStream,
    frames: Frames,
}

impl Tunnel {
    async fn open(address: SocketAddr) -> Self {
        let (endpoint, connection) = quic::raw(address).await;
        let ((up, down), _) = quic::websocket(&connection).await;
        Self { endpoint, connection, up, down, frames: Frames::default() }
    }

    async fn echo(&mut self, word: &[u8]) {
        self.up.write_all(&frame(kind::DATA, word)).await.unwrap();
        let mut back = Vec::new();
        let mut piece = [0; 4096];
        while back.len() < word.len() {
            let bytes = self.down.read(&mut piece).await.unwrap().expect("no end");
            let mut rest = &piece[..bytes];
            while !rest.is_empty() {
                let (used, piece) = self.frames.read(rest).unwrap();
                rest = &rest[used..];
                if let Piece::Payload(bytes, _) = piece {
                    back.extend_from_slice(&rest[..bytes]);
                    rest = &rest[bytes..];
                }
            }
        }
        assert!(back == word);
    }

    async fn close(self) {
        self.connection.close(0x100_u32.into(), b"");
        self.endpoint.wait_idle().await;
    }

    fn move_elsewhere(&self) {
        self.endpoint.rebind(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
    }
}

/// The next process takes over, and what becomes of the former one then.
async fn take_over(
    former: Rig,
    workers: usize,
    listener: &ListenerPlan,
    then: impl FnOnce(Rig) + Send + 'static,
) -> (Rig, thread::JoinHandle<()>) {
    let listener = again(listener);
    let taken = tokio::task::spawn_blocking(move || {
        let next = successor(&former, workers, &[&listener]);
        accept(&next);
        (next, thread::spawn(move || then(former)))
    });
    taken.await.unwrap()
}

/// It drains, and ends.
fn drains(former: Rig) {
    leave(&former);
}

async fn name_at(address: SocketAddr) -> Vec<u8> {
    Client::connect(address).await.get("/").await.1
}

#[test]
fn connections_go_on_where_they_began_and_new_ones_begin_in_the_newest_process() {
    const NAMES: [&str; 6] = ["first", "second", "third", "fourth", "fifth", "sixth"];
    // As many as before, fewer, more.
    const WORKERS: [usize; 5] = [2, 2, 1, 4, 3];
    let members = NAMES.map(member);
    let address = free_address();
    let listeners: Vec<_> = members.iter().map(|member| listener(address, &[member.address])).collect();
    let first = Rig::serving(again(&listeners[0]));
    let (last, left) = run(async {
        let (mut serving, mut left) = (first, Vec::new());
        let mut tunnels: Vec<Tunnel> = Vec::new();
        for (process, name) in NAMES.iter().enumerate() {
            for turn in 0..3 {
                assert_eq!(name_at(address).await, name.as_bytes());
                tunnels.push(Tunnel::open(address).await);
                for tunnel in &mut tunnels {
                    tunnel.echo(&[turn; 16_000]).await;
                    tunnel.move_elsewhere();
                    tunnel.echo(b"from elsewhere").await;
                }
            }
            let Some(workers) = WORKERS.get(process) else { break };
            let talk = async {
                for _ in 0..10 {
                    for tunnel in &mut tunnels {
                        tunnel.echo(b"meanwhile").await;
                    }
                }
            };
            let upgrade = take_over(serving, *workers, &listeners[process + 1], drains);
            let ((next, former), ()) = tokio::join!(upgrade, talk);
            serving = next;
            left.push(former);
        }
        assert!(left.iter().all(|left| !left.is_finished()), "each waits for its connections");
        for tunnel in tunnels {
            assert!(tunnel.connection.close_reason().is_none());
            tunnel.close().await;
        }
        (serving, left)
    });
    left.into_iter().for_each(|left| left.join().unwrap());
    drop(last);
}

#[test]
fn clients_of_a_process_that_is_gone_hear_so_from_its_successor() {
    let member = member("one");
    let address = free_address();
    let plan = listener(address, &[member.address]);
    let first = Rig::serving(again(&plan));
    let (first, second) = run(async {
        let mut tunnel = Tunnel::open(address).await;
        tunnel.echo(b"here").await;
        let plan = again(&plan);
        let taken = tokio::task::spawn_blocking(move || {
            let mut lent = first.runtime.block_on(first.dataplane.lend()).unwrap();
            // It ends without a word, and with it its ends of the links.
            lent.quic.iter_mut().for_each(|sockets| sockets.formers.clear());
            first.runtime.block_on(first.dataplane.hold());
            let second = Rig::taking_over(2, lent);
            assert!(second.apply([plan]).faults.is_empty());
            accept(&second);
            (first, second)
        });
        let (first, second) = taken.await.unwrap();
        let lost = tunnel.connection.closed();
        let talk = async {
            loop {
                // The connection ends.
                let _lost = tunnel.up.write_all(&frame(kind::DATA, b"anybody?")).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let lost = tokio::select! {
            lost = lost => lost,
            () = talk => unreachable!("it goes on for ever"),
        };
        assert_eq!(lost, ConnectionError::Reset);
        assert_eq!(name_at(address).await, b"one");
        (first, second)
    });
    drop((first, second));
}

#[test]
fn sessions_are_resumed_in_the_next_process() {
    let member = member("one");
    let address = free_address();
    let plan = listener(address, &[member.address]);
    let first = Rig::serving(again(&plan));
    let next = run(async {
        let config = quic::settings(quic::trusting(), 1 << 20);
        Client::with(address, config.clone()).await.get("/").await;
        let (next, _) = take_over(first, 2, &plan, drains).await;
        Client::with(address, config).await.get("/").await;
        next
    });
    let blocks = [0, 1].map(|worker| next.registry.listener(plan.id, worker));
    let stands = |resumed| blocks.iter().map(|of| of.tls().standing(TlsVersion::V13, resumed)).sum::<u64>();
    rig::eventually("it is resumed", || (stands(false), stands(true)) == (0, 1));
}

#[test]
fn an_address_whose_last_clients_are_a_former_process_waits_for_their_end() {
    let (old, new) = (member("old"), member("new"));
    let address = free_address();
    let plan = listener(address, &[old.address]);
    let first = Rig::serving(again(&plan));
    let (next, former) = run(async {
        let mut tunnel = Tunnel::open(address).await;
        tunnel.echo(b"here").await;
        let taken = tokio::task::spawn_blocking(move || {
            // The listener is deleted before the upgrade, and made again after it.
            first.apply([]);
            let next = successor(&first, 3, &[]);
            accept(&next);
            let former = thread::spawn(move || leave(&first));
            let applied = next.apply([listener(address, &[new.address])]);
            assert_eq!(applied.faults.len(), 1);
            assert!(applied.faults[0].1.contains("still in use"), "{:?}", applied.faults);
            (next, former)
        });
        let (next, former) = taken.await.unwrap();
        for _ in 0..10 {
            tunnel.move_elsewhere();
            tunnel.echo(b"nobody takes its packets").await;
        }
        tunnel.close().await;
        (next, former)
    });
    former.join().unwrap();
    rig::eventually("it is tried again", || next.dataplane.faults().borrow().is_empty());
    assert_eq!(run(name_at(address)), b"new");
}

#[test]
fn a_successor_that_fails_leaves_connections_and_new_clients_as_they_were() {
    let member = member("one");
    let address = free_address();
    let plan = listener(address, &[member.address]);
    let first = Rig::serving(again(&plan));
    let (next, former) = run(async {
        let mut first = first;
        let mut tunnel = Tunnel::open(address).await;
        for workers in [2, 4, 1] {
            let plan = again(&plan);
            let taken = tokio::task::spawn_blocking(move || {
                drop(successor(&first, workers, &[&plan]));
                accept(&first);
                first
            });
            first = taken.await.unwrap();
            tunnel.echo(b"as before").await;
            tunnel.move_elsewhere();
            tunnel.echo(b"also from elsewhere").await;
            for _ in 0..5 {
                assert_eq!(name_at(address).await, b"one");
            }
        }
        let (next, former) = take_over(first, 2, &plan, drains).await;
        tunnel.echo(b"and by way of a good one").await;
        assert_eq!(name_at(address).await, b"one");
        assert!(!former.is_finished(), "it waits for its connection");
        tunnel.close().await;
        (next, former)
    });
    former.join().unwrap();
    drop(next);
}
