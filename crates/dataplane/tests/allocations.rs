//! What the path of a request, of relayed bytes and of a datagram allocates once it is warm: the state of the request, which is one block,
//! and else nothing. The whole process counts, so client and member here allocate nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod rig;

use std::{
    alloc::System,
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::{Mutex, PoisonError},
    thread,
};

use plan::ServicePlan;
use rig::{Member, Rig, free_address, http, tcp};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One test at a time: all share the allocator.
static ALONE: Mutex<()> = Mutex::new(());

const WARM: usize = 200;
const ROUNDS: usize = 1000;
/// What a tick of a worker or the test's own machinery may do meanwhile. Far less than one for each round.
const BESIDE: usize = 20;

/// Runs rounds, and holds that each allocated so much at most.
fn allocates(what: &str, each: usize, mut round: impl FnMut()) {
    (0..WARM).for_each(|_| round());
    let region = Region::new(COUNTED);
    (0..ROUNDS).for_each(|_| round());
    let change = region.change();
    let made = change.allocations + change.reallocations;
    assert!(made <= each * ROUNDS + BESIDE, "{what}: {made} allocations in {ROUNDS} rounds");
}

/// Answers each `question` with `answer`.
fn answering(question: usize, answer: &'static [u8]) -> Member {
    Member::start(move |mut stream| {
        let mut bytes = [0; 4096];
        let mut have = 0;
        while let Ok(read @ 1..) = stream.read(&mut bytes) {
            have += read;
            if have >= question {
                have = 0;
                if stream.write_all(answer).is_err() {
                    return;
                }
            }
        }
    })
}

fn exchange(stream: &mut TcpStream, question: &[u8], answer: &mut [u8]) {
    stream.write_all(question).unwrap();
    stream.read_exact(answer).unwrap();
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(rig::PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

#[test]
fn a_request_on_kept_connections_allocates_one_block() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    // The head is longer when it comes; any end of a head will do.
    let member = answering(1, ANSWER);
    let address = free_address();
    let _rig = Rig::serving(http(address, &[member.address]));
    let mut client = connect(address);
    let mut answer = [0; 4096];
    allocates("HTTP", 1, || {
        client.write_all(b"GET /path HTTP/1.1\r\nHost: t.example\r\nAccept: */*\r\n\r\n").unwrap();
        let mut have = 0;
        while !answer[..have].ends_with(b"\r\n\r\nhello") {
            have += client.read(&mut answer[have..]).unwrap();
        }
    });
}

#[test]
fn bytes_of_a_tcp_connection_allocate_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let member = answering(100, &[7; 300]);
    let address = free_address();
    let _rig = Rig::serving(tcp(address, &[member.address]));
    let mut client = connect(address);
    let mut answer = [0; 300];
    allocates("TCP", 0, || exchange(&mut client, &[1; 100], &mut answer));
}

#[test]
fn datagrams_of_a_flow_allocate_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let member = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = member.local_addr().unwrap();
    thread::spawn(move || {
        let mut bytes = [0; 2048];
        while let Ok((length, from)) = member.recv_from(&mut bytes) {
            if member.send_to(&bytes[..length], from).is_err() {
                return;
            }
        }
    });
    let address = free_address();
    let _rig = Rig::serving(rig::listener(address, &[at], ServicePlan::Udp, model::PoolProtocol::Udp));
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(rig::PATIENCE)).unwrap();
    client.connect(address).unwrap();
    let mut answer = [0; 2048];
    allocates("UDP", 0, || {
        client.send(&[3; 512]).unwrap();
        assert_eq!(client.recv(&mut answer).unwrap(), 512);
    });
}
