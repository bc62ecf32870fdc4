//! TCP listeners.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod rig;

use std::{
    io::{Read, Write},
    net::Shutdown,
    sync::{Arc, Barrier},
    time::{Duration, Instant},
};

use rig::{Client, FullQueue, Member, Rig, free_address, tcp};

/// A member that echoes, and says a word at the end.
fn echo() -> Member {
    Member::start(|mut stream| {
        let mut bytes = vec![0; 65536];
        while let Ok(n) = stream.read(&mut bytes) {
            if n == 0 {
                let _ = stream.write_all(b"end");
                return;
            }
            if stream.write_all(&bytes[..n]).is_err() {
                return;
            }
        }
    })
}

#[test]
fn bytes_pass_both_ways_and_an_end_is_half_an_end() {
    let member = echo();
    let address = free_address();
    let _rig = Rig::serving(tcp(address, &[member.address]));
    let mut client = Client::connect(address);
    for word in ["one", "two", "three"] {
        client.send(word);
        let mut got = vec![0; word.len()];
        client.reader.read_exact(&mut got).unwrap();
        assert_eq!(got, word.as_bytes());
    }
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"end", "the member answers after the client's end");
}

#[test]
fn bulk_arrives_whole_in_both_directions_at_once() {
    const BYTES: usize = 64 << 20;
    let member = echo();
    let address = free_address();
    let _rig = Rig::serving(tcp(address, &[member.address]));
    let mut client = Client::connect(address);
    let mut writer = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        let mut state = 1u32;
        for _ in 0..BYTES / 65536 {
            let piece: Vec<u8> = (0..65536).map(|_| next(&mut state)).collect();
            writer.write_all(&piece).unwrap();
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let (mut state, mut total) = (1u32, 0);
    let mut piece = vec![0; 1 << 20];
    while total < BYTES {
        let n = client.reader.read(&mut piece).unwrap();
        assert!(n > 0, "ended after {total}");
        let n = n.min(BYTES - total);
        assert!(piece[..n].iter().all(|byte| *byte == next(&mut state)), "other bytes near {total}");
        total += n;
        if total % (16 << 20) < n {
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
    sending.join().unwrap();
}

fn next(state: &mut u32) -> u8 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    (*state >> 24) as u8
}

#[test]
fn a_reset_is_passed_on_as_a_reset() {
    let resetting = Member::start(|mut stream| {
        let _ = stream.read(&mut [0; 16]);
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let address = free_address();
    let rig = Rig::serving(tcp(address, &[resetting.address]));
    let mut client = Client::connect(address);
    client.send("x");
    assert!(client.is_reset(), "from the member to the client");

    let (told, hear) = std::sync::mpsc::channel();
    let listening = Member::start(move |mut stream| {
        let end = loop {
            match stream.read(&mut [0; 16]) {
                Ok(0) => break None,
                Ok(_) => {}
                Err(error) => break Some(error.kind()),
            }
        };
        told.send(end).unwrap();
    });
    rig.apply([tcp(address, &[listening.address])]);
    let mut client = Client::connect(address);
    client.send("x");
    rig::eventually("the member has it", || listening.connection_count() == 1);
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let end = hear.recv_timeout(rig::PATIENCE).unwrap();
    assert_eq!(end, Some(std::io::ErrorKind::ConnectionReset), "from the client to the member");
}

#[test]
fn a_silent_connection_is_reset_on_both_sides_in_time() {
    let (told, hear) = std::sync::mpsc::channel();
    let member = Member::start(move |mut stream| {
        told.send(stream.read(&mut [0; 16]).map_err(|error| error.kind())).unwrap();
    });
    let address = free_address();
    let mut listener = tcp(address, &[member.address]);
    listener.idle_timeout = Duration::from_millis(300);
    let _rig = Rig::serving(listener);
    let began = Instant::now();
    let mut client = Client::connect(address);
    assert!(client.is_reset());
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(250) && took < rig::BEFORE_OTHER_LIMITS, "{took:?}");
    assert_eq!(hear.recv_timeout(rig::PATIENCE).unwrap(), Err(std::io::ErrorKind::ConnectionReset));
}

#[test]
fn a_member_that_refuses_is_passed_over_and_nobody_is_a_reset() {
    let alive = echo();
    let address = free_address();
    let rig = Rig::serving(tcp(address, &[free_address(), alive.address]));
    for _ in 0..6 {
        let mut client = Client::connect(address);
        client.send("x");
        client.reader.read_exact(&mut [0]).unwrap();
    }
    for members in [vec![], vec![free_address()]] {
        rig.apply([tcp(address, &members)]);
        assert!(Client::connect(address).is_reset(), "{members:?}");
    }
}

#[test]
fn a_member_that_refuses_late_is_passed_over_with_what_the_client_said_meanwhile() {
    let (full, alive) = (FullQueue::start(), echo());
    let address = free_address();
    let _rig = Rig::serving(tcp(address, &[full.address, alive.address]));
    let mut clients = [Client::connect(address), Client::connect(address)];
    clients.iter_mut().for_each(|client| client.send("x"));
    rig::eventually("one of them is served", || alive.connection_count() == 1);
    drop(full);
    for client in &mut clients {
        let mut got = [0];
        client.reader.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"x");
    }
    assert_eq!(alive.connection_count(), 2);
}

#[test]
fn a_member_that_breaks_off_while_bytes_wait_for_it_has_not_ended() {
    let broken = Arc::new(Barrier::new(2));
    let waits = broken.clone();
    let member = Member::start(move |mut stream| {
        stream.write_all(b"part").unwrap();
        waits.wait();
        stream.write_all(b"last").unwrap();
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let address = free_address();
    let _rig = Rig::serving(tcp(address, &[member.address]));
    rig::assert_no_end_when_broken_off(address, &broken);
}

#[test]
fn the_same_client_stays_with_its_member_by_source_hash() {
    let members = [Member::named("a"), Member::named("b"), Member::named("c")];
    let address = free_address();
    let listener = rig::with_target(tcp(address, &members.each_ref().map(|m| m.address)), |target| {
        target.algorithm = model::Algorithm::SourceIp;
        let keys = target.members.iter().map(|member| Some(balance::member_key(member.address)));
        target.maglev = Some(std::sync::Arc::new(balance::Maglev::new(keys)));
    });
    let _rig = Rig::serving(listener);
    let first = rig::get(address).text().to_owned();
    for _ in 0..10 {
        assert_eq!(rig::get(address).text(), first);
    }
}

#[test]
fn a_deleted_listener_ends_its_connections_at_once() {
    let member = echo();
    let address = free_address();
    let rig = Rig::serving(tcp(address, &[member.address]));
    let mut client = Client::connect(address);
    client.send("x");
    client.reader.read_exact(&mut [0]).unwrap();
    let began = Instant::now();
    rig.apply([]);
    assert!(client.is_reset());
    assert!(began.elapsed() < rig::BEFORE_OTHER_LIMITS);
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_flow_goes_on_when_its_member_is_removed() {
    let member = echo();
    let address = free_address();
    let listener = tcp(address, &[member.address]);
    let rig = Rig::start();
    rig.apply([rig::again(&listener)]);
    let mut client = Client::connect(address);
    client.send("x");
    client.reader.read_exact(&mut [0]).unwrap();
    rig.apply([rig::with_target(listener, |target| target.members.clear())]);
    client.send("y");
    client.reader.read_exact(&mut [0]).unwrap();
    assert!(Client::connect(address).is_reset(), "nobody for new ones");
}
