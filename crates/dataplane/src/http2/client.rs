//! Connections of HTTP/2 to a member: many requests on one, spoken in clear with prior knowledge (RFC 9113 section 3.3).
//!
//! A worker has one connection to a member; another one is made when the streams that the member allows are in use.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use h2::{
    SendStream,
    client::{Builder, Connection, ResponseFuture, SendRequest},
};
use http::Request;

use super::{
    broken,
    in_hand::InHand,
    stream::H2Stream,
    transport::{Socket, Transport},
};
use crate::{stream::Stream, worker::Worker};

/// What a member may send unasked: on a stream, on all together.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// The longest list of fields of a response.
const HEADERS_BYTES_MAX: u32 = 64 << 10;

/// What one stream may have in hand for a member that has room.
const SEND_BYTES_MAX: usize = 256 << 10;

/// Streams that are begun before a member said how many it allows.
const STREAMS_AT_FIRST: usize = 100;

/// How long a connection may be in the making before another one is begun in its place, in ticks.
const CONNECTING_TICKS_MAX: u32 = 50;

/// Streams in a row that end without a word of the member before a connection is given up.
const UNANSWERED_MAX: u32 = 3;

/// The connections of one worker to one member.
pub(crate) struct Links {
    worker: Weak<Worker>,
    links: RefCell<Vec<Rc<Link>>>,
    /// Streams that the member allows on one connection, as it said last.
    streams_max: Rc<Cell<usize>>,
}

impl Links {
    pub(crate) fn new(worker: &Rc<Worker>) -> Self {
        Self {
            worker: Rc::downgrade(worker),
            links: RefCell::default(),
            streams_max: Rc::new(Cell::new(STREAMS_AT_FIRST)),
        }
    }

    /// A stream to the member, and whether a connection is being made for it.
    ///
    /// # Errors
    /// When a connection was to be made and could not even be begun.
    pub(crate) fn open(&self, address: SocketAddr) -> io::Result<(Stream, bool)> {
        let worker = self.worker.upgrade().ok_or(io::ErrorKind::NotConnected)?;
        let mut links = self.links.borrow_mut();
        links.iter().filter(|link| link.is_overdue()).for_each(|link| link.close());
        links.retain(|link| link.is_usable());
        let (link, is_new) = match links.iter().find(|link| link.has_room()) {
            Some(link) => (link.clone(), false),
            None => {
                let link = Link::begin_to(&worker, address, self.streams_max.clone())?;
                links.push(link.clone());
                (link, true)
            }
        };
        Ok((Stream::H2(Box::new(H2Stream::to_member(worker, link))), is_new))
    }

    /// Ends connections that carry nothing and did not since `before` (in ticks); how many stay.
    pub(crate) fn sweep(&self, before: u32) -> usize {
        let mut links = self.links.borrow_mut();
        links.retain(|link| link.is_usable());
        links
            .iter()
            .filter(|link| link.streams.get() == 0 && link.used.get() < before)
            .for_each(|link| link.close());
        links.retain(|link| link.is_usable());
        links.len()
    }

    /// No further streams; connections end when those that they carry have ended.
    pub(crate) fn close(&self) {
        self.links.borrow_mut().drain(..).for_each(|link| link.close());
    }
}

/// A connection to a member.
pub(super) struct Link {
    worker: Rc<Worker>,
    state: RefCell<State>,
    /// What is held for the member.
    pub(super) in_hand: Rc<InHand>,
    streams: Cell<usize>,
    streams_max: Rc<Cell<usize>>,
    /// When a stream began or ended last, in ticks.
    used: Cell<u32>,
    /// When it was begun, in ticks.
    begun: u32,
    /// Streams in a row that ended before the member said anything.
    unanswered: Cell<u32>,
    /// The task that drives it.
    driver: RefCell<Option<Waker>>,
}

enum State {
    /// It is being made; who waits for it.
    Connecting(Vec<Waker>),
    Ready(SendRequest<Bytes>),
    /// It takes no further streams: none was made, or it ends.
    Closed,
}

impl Link {
    fn begin_to(
        worker: &Rc<Worker>,
        address: SocketAddr,
        streams_max: Rc<Cell<usize>>,
    ) -> io::Result<Rc<Self>> {
        let mut stream = Stream::connect(address)?;
        stream.send_at_once();
        let link = Rc::new(Self {
            worker: worker.clone(),
            state: RefCell::new(State::Connecting(Vec::new())),
            in_hand: InHand::new(),
            streams: Cell::new(0),
            streams_max,
            used: Cell::new(worker.table.now()),
            begun: worker.table.now(),
            unanswered: Cell::new(0),
            driver: RefCell::default(),
        });
        tokio::task::spawn_local(drive(link.clone(), stream));
        Ok(link)
    }

    pub(super) fn begin(&self) {
        self.streams.set(self.streams.get() + 1);
        self.used.set(self.worker.table.now());
    }

    pub(super) fn end(&self) {
        self.streams.set(self.streams.get() - 1);
        self.used.set(self.worker.table.now());
    }

    /// Whether it stands.
    ///
    /// # Errors
    /// When it never will, or no longer does.
    pub(super) fn is_ready(&self) -> io::Result<bool> {
        match &*self.state.borrow() {
            State::Connecting(_) => Ok(false),
            State::Ready(_) => Ok(true),
            State::Closed => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    /// Ready when it stands, or never will.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.state.borrow_mut() {
            State::Connecting(waiting) => {
                if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    waiting.push(cx.waker().clone());
                }
                Poll::Pending
            }
            State::Ready(_) => Poll::Ready(Ok(())),
            State::Closed => Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into())),
        }
    }

    pub(super) fn send_request(
        &self,
        request: Request<()>,
        ended: bool,
    ) -> io::Result<(ResponseFuture, SendStream<Bytes>)> {
        match &mut *self.state.borrow_mut() {
            State::Ready(requests) => requests.send_request(request, ended).map_err(broken),
            State::Connecting(_) | State::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Notes whether the member said anything on a stream. After some on which it did not, new ones go to another connection: this
    /// one may lead nowhere, which only time would show.
    pub(super) fn note_answer(&self, came: bool) {
        self.unanswered.set(if came { 0 } else { self.unanswered.get() + 1 });
        if self.unanswered.get() >= UNANSWERED_MAX {
            self.close();
        }
    }

    /// Whether it is being made for so long that another try is better.
    fn is_overdue(&self) -> bool {
        let age = self.worker.table.now().saturating_sub(self.begun);
        matches!(*self.state.borrow(), State::Connecting(_)) && age > CONNECTING_TICKS_MAX
    }

    fn is_usable(&self) -> bool {
        !matches!(*self.state.borrow(), State::Closed)
    }

    fn has_room(&self) -> bool {
        self.streams.get() < self.streams_max.get()
    }

    fn set_state(&self, state: State) {
        if let State::Connecting(waiting) = self.state.replace(state) {
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// No further streams.
    fn close(&self) {
        self.set_state(State::Closed);
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }
}

/// Makes a connection, and moves it on until it ends.
async fn drive(link: Rc<Link>, mut stream: Stream) {
    let worker = link.worker.clone();
    if poll_fn(|cx| stream.poll_writable(cx)).await.is_err()
        || !poll_fn(|cx| Poll::Ready(stream.is_connected(cx))).await
    {
        return link.close();
    }
    if !link.is_usable() {
        // It was given up meanwhile.
        return;
    }
    let socket = Socket::new(worker, stream, false);
    let made = Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .max_send_buffer_size(SEND_BYTES_MAX)
        .initial_max_send_streams(link.streams_max.get())
        .handshake::<_, Bytes>(socket.transport())
        .await;
    let Ok((requests, mut connection)) = made else { return link.close() };
    if !link.is_usable() {
        return;
    }
    link.set_state(State::Ready(requests));
    poll_fn(|cx| poll_link(&link, &socket, &mut connection, cx)).await;
    link.in_hand.end();
    link.close();
}

fn poll_link(
    link: &Link,
    socket: &Socket,
    connection: &mut Connection<Transport, Bytes>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    link.driver.replace(Some(cx.waker().clone()));
    let over = match Pin::new(&mut *connection).poll(cx) {
        Poll::Ready(Err(error)) => {
            tracing::debug!(%error, "a connection of HTTP/2 to a member broke");
            true
        }
        Poll::Ready(Ok(())) => true,
        Poll::Pending => false,
    };
    // A member that allows none for a while makes calls wait, not connections multiply.
    link.streams_max.set(connection.max_concurrent_send_streams().max(1));
    let sent = socket.poll_send(cx);
    link.in_hand.call();
    match over || matches!(sent, Poll::Ready(Err(_))) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    }
}
