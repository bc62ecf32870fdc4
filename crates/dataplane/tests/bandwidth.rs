//! Limits of bandwidth: bytes wait, datagrams are dropped, and everybody gets a share.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "rig/h2.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod frames;
#[path = "rig/h3.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod quic;
mod rig;
#[path = "rig/tls.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod secured;

use std::{
    cell::Cell,
    future::poll_fn,
    io::Read,
    net::{SocketAddr, UdpSocket},
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::client::SendRequest;
use http::Method;
use model::PoolProtocol;
use plan::{Limits, ListenerLimits, ListenerPlan, ServicePlan};
use rig::{
    Client, Member, PATIENCE, Rig, again, eventually, free_address, http as http_listener, http_plan, ok,
    with_http,
};
use telemetry::ListenerCounters;

/// Bytes per second that the listeners of these tests let through; a quarter of it may pass at once.
const RATE: usize = 2 << 20;

/// What takes at least [`AT_LEAST`] at that rate, however slow the machine is: a second's worth, less the quarter.
const BODY: usize = RATE;
const AT_LEAST: Duration = Duration::from_millis(740);

fn limited(plan: ListenerPlan, bytes_per_second: usize) -> ListenerPlan {
    let own = Limits { bits_per_second: Some(8 * bytes_per_second as u64), ..Limits::default() };
    ListenerPlan { limits: ListenerLimits { own, ..ListenerLimits::default() }, ..plan }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Spoken {
    Http1,
    Http2,
    Http3,
}

fn listener(spoken: Spoken, address: SocketAddr, members: &[SocketAddr]) -> ListenerPlan {
    let plain = http_listener(address, members);
    match spoken {
        Spoken::Http1 => plain,
        Spoken::Http2 => with_http(plain, |http| http.http2 = true),
        Spoken::Http3 => secured::over_tls(
            ListenerPlan { service: ServicePlan::Quic(http_plan()), ..plain },
            secured::tls_plan(&secured::certificate(&["t"]), &[]),
        ),
    }
}

/// A member that says how long what it got was, and answers with so many bytes where its path names a number.
fn member() -> Member {
    Member::http(|request| {
        let path = request.head.split(' ').nth(1).unwrap();
        match path.trim_start_matches('/').parse() {
            Ok(length) => ok(&"x".repeat(length)),
            Err(_) => ok(&request.body.len().to_string()),
        }
    })
}

fn counted(rig: &Rig, plan: &ListenerPlan, of: fn(&ListenerCounters) -> u64) -> u64 {
    (0..2).map(|worker| of(&rig.registry.listener(plan.id, worker))).sum()
}

/// The length of the answer to one request, with a body where there is one.
fn ask(spoken: Spoken, address: SocketAddr, path: &str, body: &[u8]) -> Vec<u8> {
    match spoken {
        Spoken::Http1 => {
            let head = format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len());
            Client::connect(address).ask([head.as_bytes(), body].concat()).body
        }
        Spoken::Http2 => rig::run(async {
            let (mut client, _connection) = frames::connect(address).await;
            let (response, mut up) = client.send_request(frames::request(Method::POST, path), false).unwrap();
            let mut rest = Bytes::copy_from_slice(body);
            while !rest.is_empty() {
                up.reserve_capacity(rest.len());
                let room = poll_fn(|cx| up.poll_capacity(cx)).await.unwrap().unwrap();
                up.send_data(rest.split_to(room.min(rest.len())), false).unwrap();
            }
            up.send_data(Bytes::new(), true).unwrap();
            let mut got = Vec::new();
            frames_of(response.await.unwrap().into_body(), |bytes| got.extend_from_slice(bytes)).await;
            got
        }),
        Spoken::Http3 => rig::run(async {
            let mut client = quic::Client::connect(address).await;
            let mut asked = client.requests.send_request(quic::request(Method::POST, path)).await.unwrap();
            asked.send_data(Bytes::copy_from_slice(body)).await.unwrap();
            asked.finish().await.unwrap();
            quic::whole(&mut asked).await.1
        }),
    }
}

/// Takes a body of HTTP/2 to its end.
async fn frames_of(mut body: h2::RecvStream, mut take: impl FnMut(&[u8])) {
    while let Some(frame) = body.data().await {
        let frame = frame.unwrap();
        body.flow_control().release_capacity(frame.len()).unwrap();
        take(&frame);
    }
}

#[test]
fn bodies_take_their_time_in_both_directions_and_lose_nothing() {
    let member = member();
    for spoken in [Spoken::Http1, Spoken::Http2, Spoken::Http3] {
        let address = free_address();
        let plan = limited(listener(spoken, address, &[member.address]), RATE);
        let rig = Rig::serving(again(&plan));
        let began = Instant::now();
        assert_eq!(ask(spoken, address, &format!("/{BODY}"), b""), "x".repeat(BODY).as_bytes(), "{spoken:?}");
        assert!(began.elapsed() >= AT_LEAST, "{spoken:?}: an answer after {:?}", began.elapsed());
        let began = Instant::now();
        let said = ask(spoken, address, "/up", &vec![7; BODY]);
        assert_eq!(String::from_utf8(said).unwrap(), BODY.to_string(), "{spoken:?}");
        assert!(began.elapsed() >= AT_LEAST, "{spoken:?}: a request after {:?}", began.elapsed());
        assert!(counted(&rig, &plan, |c| c.bandwidth_waits.value()) > 0, "{spoken:?}");
    }
}

#[test]
fn requests_that_are_small_take_their_time_together() {
    const SMALL: usize = 1000;
    const RATE: usize = 250_000;
    let member = member();
    let address = free_address();
    let rig = Rig::serving(limited(http_listener(address, &[member.address]), RATE));
    let began = Instant::now();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                let mut client = Client::connect(address);
                (0..75).for_each(|_| assert_eq!(client.get(&format!("/{SMALL}")).body.len(), SMALL));
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    // 300,000 bytes, of which a quarter of a second's worth was there; what each worker reads at once may be owed at the end.
    let least = (300 * SMALL - RATE / 4 - 2 * 4 * SMALL) as f64 / RATE as f64;
    assert!(began.elapsed().as_secs_f64() >= least, "{:?} of {least}", began.elapsed());
    drop(rig);
}

#[test]
fn a_large_answer_leaves_other_streams_of_its_connection_their_share() {
    let member = member();
    let address = free_address();
    let _rig = Rig::serving(limited(listener(Spoken::Http2, address, &[member.address]), RATE));
    rig::run(async {
        let (mut client, _connection) = frames::connect(address).await;
        let large = get(&mut client, &format!("/{}", 2 * RATE));
        let over = Rc::new(Cell::new(false));
        let (seen, begun) = (over.clone(), Rc::new(Cell::new(0)));
        let got = begun.clone();
        let reading = tokio::task::spawn_local(async move {
            frames_of(large.await.unwrap().into_body(), |bytes| got.set(got.get() + bytes.len())).await;
            seen.set(true);
        });
        // The bucket is empty from then on.
        while begun.get() < RATE / 2 {
            tokio::task::yield_now().await;
        }
        for _ in 0..5 {
            let mut length = 0;
            let small = get(&mut client, "/100").await.unwrap();
            frames_of(small.into_body(), |bytes| length += bytes.len()).await;
            assert_eq!(length, 100);
            assert!(!over.get(), "it was answered beside the large one, not behind it");
        }
        reading.await.unwrap();
        assert_eq!(begun.get(), 2 * RATE);
    });
}

fn get(client: &mut SendRequest<Bytes>, path: &str) -> h2::client::ResponseFuture {
    client.send_request(frames::request(Method::GET, path), true).unwrap().0
}

#[test]
fn connections_get_equal_shares() {
    let member = member();
    let address = free_address();
    // Of one worker. Workers share alike whatever each has.
    let rig = Rig::with_workers(1);
    rig.apply([limited(http_listener(address, &[member.address]), RATE)]);
    let total = RATE / 2;
    let got: Vec<_> = (0..6).map(|_| std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0))).collect();
    let began = Instant::now();
    let readers: Vec<_> = got
        .iter()
        .map(|got| {
            let got = got.clone();
            thread::spawn(move || {
                let mut client = Client::connect(address);
                client.send(format!("GET /{total} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"));
                let mut bytes = vec![0; 16 << 10];
                while let Ok(read @ 1..) = client.stream.read(&mut bytes) {
                    got.fetch_add(read, std::sync::atomic::Ordering::SeqCst);
                }
            })
        })
        .collect();
    let now = || got.iter().map(|got| got.load(std::sync::atomic::Ordering::SeqCst)).collect::<Vec<_>>();
    eventually("somebody has all", || now().iter().any(|&got| got >= total));
    let seen = now();
    assert!(seen.iter().all(|&got| got >= total / 4), "{seen:?} of {total} after {:?}", began.elapsed());
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    assert!(now().iter().all(|&got| got > total));
}

fn udp(address: SocketAddr, member: SocketAddr) -> ListenerPlan {
    rig::listener(address, &[member], ServicePlan::Udp, PoolProtocol::Udp)
}

/// A member that answers every datagram with one of this length.
fn answering(length: usize) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut bytes = [0; 2048];
        while let Ok((_, peer)) = socket.recv_from(&mut bytes) {
            socket.send_to(&bytes[..length], peer).unwrap();
        }
    });
    address
}

#[test]
fn datagrams_beyond_the_rate_are_dropped_and_counted() {
    const LONG: usize = 1200;
    const COUNT: u64 = 80;
    // 64 KiB may pass at once, which is less than all of them.
    const RATE: usize = 20_000;
    for (why, said, answered) in [("from clients", LONG, 1), ("to clients", 1, LONG)] {
        let address = free_address();
        let plan = limited(udp(address, answering(answered)), RATE);
        let rig = Rig::serving(again(&plan));
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let began = Instant::now();
        for sent in 1..=COUNT {
            client.send(&vec![0; said]).unwrap();
            // Nothing may be lost elsewhere.
            eventually("it was looked at", || {
                let passed = counted(&rig, &plan, |c| c.datagrams_out.value());
                passed + counted(&rig, &plan, |c| c.datagrams_over_limit.value()) == sent
            });
        }
        let most = (65_536 + RATE as u64 * (began.elapsed().as_secs() + 1)) / LONG as u64;
        let passed = counted(&rig, &plan, |c| c.datagrams_out.value());
        let dropped = counted(&rig, &plan, |c| c.datagrams_over_limit.value());
        assert!((50..=most).contains(&passed), "{why}: {passed} of {COUNT}, at most {most}");
        assert_eq!(passed + dropped, COUNT, "{why}");
        let mut bytes = [0; 2048];
        for _ in 0..passed {
            assert_eq!(client.recv(&mut bytes).unwrap(), answered, "{why}");
        }
        client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        eventually("datagrams pass again", || {
            client.send(&vec![0; said]).unwrap();
            client.recv(&mut bytes).is_ok()
        });
    }
}

#[test]
fn a_limit_that_changes_holds_for_what_is_under_way() {
    const LONG: usize = 200_000;
    let member = member();
    for make in [http_listener, rig::tcp] {
        let address = free_address();
        let plain = make(address, &[member.address]);
        let plan = limited(again(&plain), 1000);
        let rig = Rig::serving(again(&plain));
        let mut client = Client::connect(address);
        assert_eq!(client.get("/10").body.len(), 10);
        rig.apply([again(&plan)]);
        // 64 KiB at once, and some minutes for the rest.
        client.send(format!("GET /{LONG} HTTP/1.1\r\nHost: t\r\n\r\n"));
        eventually("it waits", || counted(&rig, &plan, |c| c.bandwidth_waits.value()) > 0);
        assert!(counted(&rig, &plan, |c| c.bytes_out.value()) < LONG as u64);
        rig.apply([again(&plain)]);
        assert_eq!(client.response().body.len(), LONG);
        assert_eq!(client.get(&format!("/{LONG}")).body.len(), LONG);
    }
}
