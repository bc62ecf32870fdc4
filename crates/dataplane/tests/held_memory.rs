//! What a client of HTTP/2 may make us hold that opens all windows and reads nothing: bytes of the heap, of the whole process. So client and
//! members here hold next to nothing themselves.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "rig/h2.rs"]
#[allow(dead_code, reason = "its connections read all the time")]
mod client;
#[path = "rig/echo.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod echo;
mod rig;

use std::{
    alloc::System,
    cell::{Cell, RefCell},
    io::{self, BufReader, Write},
    net::{SocketAddr, TcpStream},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use client::{request, websocket, whole};
use h2::{
    RecvStream,
    client::{Builder, SendRequest},
};
use http::{Method, Response};
use plan::ListenerPlan;
use rig::{Member, Rig, eventually_async, free_address, http as http_listener, run, with_http};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One test at a time: all share the allocator.
static ALONE: Mutex<()> = Mutex::new(());

const STREAMS: usize = 100;
const ANSWER_BYTES: usize = 1 << 20;

/// What a connection has in hand, what is read ahead for each stream, and what the streams, the client and the members are. Without a
/// bound it is 384 KiB for each stream.
const HELD_BYTES_MAX: usize = 5 << 20;

/// Bytes in use.
fn in_use() -> usize {
    let stats = COUNTED.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// A client's socket, from which nothing is read while its gate is shut.
struct Gated {
    tcp: tokio::net::TcpStream,
    gate: Rc<Gate>,
}

#[derive(Default)]
struct Gate {
    shut: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Gate {
    fn open(&self) {
        self.shut.set(false);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

impl AsyncRead for Gated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.gate.shut.get() {
            self.gate.waiting.replace(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Gated {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// A client that opens all windows as wide as they go, and its gate.
async fn connect(address: SocketAddr) -> (SendRequest<Bytes>, Rc<Gate>) {
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    socket2::SockRef::from(&tcp).set_recv_buffer_size(64 << 10).unwrap();
    let gate = Rc::new(Gate::default());
    let (client, connection) = Builder::new()
        .initial_window_size((1 << 31) - 1)
        .initial_connection_window_size((1 << 31) - 1)
        .handshake(Gated { tcp, gate: gate.clone() })
        .await
        .unwrap();
    tokio::task::spawn_local(async move { drop(connection.await) });
    (client.ready().await.unwrap(), gate)
}

/// Counts what a member could say.
#[derive(Clone, Default)]
struct Said(Arc<AtomicUsize>);

impl Said {
    /// Says all of it in small writes, as far as anybody takes it.
    fn say(&self, stream: &mut TcpStream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Ok(written) = stream.write(&bytes[..bytes.len().min(16 << 10)]) else { return };
            self.0.fetch_add(written, SeqCst);
            bytes = &bytes[written..];
        }
    }

    /// Waits until nobody takes more, and returns how much was taken.
    async fn stops(&self) -> usize {
        let (mut before, mut still) = (0, 0);
        eventually_async("nobody takes more of the members", || {
            let now = self.0.load(SeqCst);
            still = if now == before && now > 0 { still + 1 } else { 0 };
            before = now;
            still > 100
        })
        .await;
        before
    }
}

static BODY: [u8; ANSWER_BYTES] = [7; ANSWER_BYTES];

/// A member that answers with a long body behind this head; `chunk`: in chunks of this size.
fn answering(head: &'static str, chunk: Option<usize>) -> (Member, Said) {
    let said = Said::default();
    let counted = said.clone();
    let text: Arc<[u8]> = match chunk {
        None => BODY.as_slice().into(),
        Some(size) => {
            let mut text = Vec::new();
            BODY.chunks(size).for_each(|data| wire::h1::push_chunk(&mut text, data));
            text.extend_from_slice(b"0\r\nX-Sum: 42\r\n\r\n");
            text.into()
        }
    };
    let member = Member::start(move |mut stream| {
        socket2::SockRef::from(&stream).set_send_buffer_size(16 << 10).unwrap();
        let mut reader = BufReader::with_capacity(512, stream.try_clone().unwrap());
        while rig::read_head(&mut reader).is_some() {
            let _ = stream.write_all(head.as_bytes());
            counted.say(&mut stream, &text);
        }
    });
    (member, said)
}

fn serving(member: &Member) -> (Rig, SocketAddr) {
    let address = free_address();
    (Rig::serving(http2_listener(address, member)), address)
}

fn http2_listener(address: SocketAddr, member: &Member) -> ListenerPlan {
    with_http(http_listener(address, &[member.address]), |http| {
        http.http2 = true;
        http.response_timeout = 3 * rig::PATIENCE;
    })
}

async fn read(response: impl Future<Output = Result<Response<RecvStream>, h2::Error>>) -> usize {
    whole(response).await.1.len()
}

#[test]
fn answers_that_nobody_reads_are_left_with_the_members_and_come_when_they_are_read() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (why, head, chunk) in [
        ("of a known length", "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n", None),
        ("in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Some(30_000)),
        ("in small chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Some(100)),
    ] {
        let (member, said) = answering(head, chunk);
        let (_rig, address) = serving(&member);
        run(async {
            let (mut client, gate) = connect(address).await;
            assert_eq!(
                read(client.send_request(request(Method::GET, "/"), true).unwrap().0).await,
                ANSWER_BYTES
            );
            let before = in_use();
            gate.shut.set(true);
            said.0.store(0, SeqCst);
            let mut asked: Vec<_> =
                (0..STREAMS).map(|_| client.send_request(request(Method::GET, "/"), true).unwrap()).collect();
            let said = said.stops().await;
            let held = in_use().saturating_sub(before);
            assert!(held < HELD_BYTES_MAX, "{why}: {held} bytes are held");
            assert!(said < STREAMS * ANSWER_BYTES / 2, "{why}: {said} bytes were taken");
            // Some are given up, which frees what was held for them and holds nobody up.
            for (response, mut stream) in asked.drain(..STREAMS / 4) {
                stream.send_reset(h2::Reason::CANCEL);
                drop(response);
            }
            gate.open();
            for (response, _) in asked {
                let (head, body, trailers) = whole(response).await;
                assert_eq!((head.status().as_u16(), body.len()), (200, ANSWER_BYTES), "{why}");
                assert_eq!(trailers.is_some(), chunk.is_some(), "{why}");
            }
            assert_eq!(
                read(client.send_request(request(Method::GET, "/"), true).unwrap().0).await,
                ANSWER_BYTES
            );
        });
    }
}

#[test]
fn long_heads_and_small_answers_that_nobody_reads_come_when_they_are_read() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let long = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\nContent-Length: 2\r\n\r\nok", "a".repeat(50_000));
    let member = Member::http(move |request| match request.head.starts_with("GET /long") {
        true => long.clone().into_bytes(),
        false => rig::ok("ok"),
    });
    let (_rig, address) = serving(&member);
    run(async {
        let (mut client, gate) = connect(address).await;
        assert_eq!(read(client.send_request(request(Method::GET, "/long"), true).unwrap().0).await, 2);
        gate.shut.set(true);
        let path = |n| if n % 2 == 0 { "/long" } else { "/small" };
        let asked: Vec<_> = (0..STREAMS)
            .map(|n| client.send_request(request(Method::GET, path(n)), true).unwrap().0)
            .collect();
        eventually_async("all were asked", || member.heads.lock().unwrap().len() == STREAMS + 1).await;
        gate.open();
        for response in asked {
            assert_eq!(read(response).await, 2);
        }
    });
}

#[test]
fn tunnels_that_nobody_reads_are_left_with_the_members_and_go_on_when_they_are_read() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let member = echo::websocket_member("");
    let address = free_address();
    let listener = http2_listener(address, &member);
    let id = listener.id;
    let rig = Rig::serving(listener);
    let came = || (0..2).map(|worker| rig.registry.listener(id, worker).bytes_in.value()).sum::<u64>();
    run(async {
        let (mut client, gate) = connect(address).await;
        let mut tunnels = Vec::new();
        for _ in 0..STREAMS {
            let asked = websocket(&client, "/chat").await;
            let (response, up) = client.send_request(asked, false).unwrap();
            tunnels.push((response.await.unwrap().into_body(), up));
        }
        gate.shut.set(true);
        // The client sends as much as our windows allow at first, as it reads of no more.
        let piece = Bytes::from_static(&BODY[..48 << 10]);
        for (_, up) in &mut tunnels {
            up.send_data(piece.clone(), false).unwrap();
        }
        eventually_async("much is on its way back to nobody", || came() > 512 << 10).await;
        gate.open();
        for (down, up) in &mut tunnels {
            let mut came = 0;
            while came < piece.len() {
                let bytes = down.data().await.unwrap().unwrap();
                down.flow_control().release_capacity(bytes.len()).unwrap();
                came += bytes.len();
            }
            up.send_data(Bytes::new(), true).unwrap();
        }
    });
}
