//! A client's connection of HTTP/2: its streams, its end.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    server::{Builder, Connection, SendResponse},
};
use http::{Request, Response, StatusCode};
use telemetry::{Outcome, OwnAnswer};

use super::{
    in_hand::{IN_HAND_BYTES_MAX, InHand},
    request::{self, Unsayable},
    stream::H2Stream,
    transport::{Socket, Transport},
};
use crate::{
    acceptor::Door,
    http as http1,
    http::{ClientTls, EarlyStreams},
    layer4::Open,
    stream::Stream,
    table::Seat,
};

/// Streams that a client may have open at once.
const STREAMS_MAX: u32 = 128;

/// The longest list of fields, as HTTP/2 counts it (behaviour/errors.md: heads of 64 KiB).
const HEADERS_BYTES_MAX: u32 = 64 << 10;

/// What a client may send unasked: on a stream, on all together.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// What one stream may have in hand for a client that has room.
const SEND_BYTES_MAX: usize = 256 << 10;

/// Resets for errors that the h2 crate found, in the life of a connection. [`super::guard`] bounds their rate.
const ERROR_RESETS_MAX: usize = 4096;

/// How long a client may take for its end once it was told of ours.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What the streams of a connection share.
pub(super) struct Session {
    pub(super) door: Rc<Door>,
    pub(super) socket: Rc<Socket>,
    /// What is known of the client's TLS.
    pub(super) tls: Option<Rc<ClientTls>>,
    peer: SocketAddr,
    pub(super) in_hand: Rc<InHand>,
    streams: Cell<usize>,
    early: EarlyStreams,
}

impl Session {
    pub(super) fn begin(&self) {
        self.streams.set(self.streams.get() + 1);
    }

    pub(super) fn end(&self) {
        self.streams.set(self.streams.get() - 1);
    }

    /// How much of a body one stream may have that its member did not take.
    pub(super) fn share(&self) -> usize {
        IN_HAND_BYTES_MAX / self.streams.get().max(1)
    }

    /// For a stream: ready when the client's handshake is over, which the connection's task carries on.
    pub(super) fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.early.poll(cx, self.socket.is_early())
    }
}

/// Serves a client's connection to its end. Its first bytes are the preface of HTTP/2.
pub(crate) async fn serve(door: Rc<Door>, stream: Stream, peer: SocketAddr, seat: Seat, _open: Open) {
    let service = door.slot.service();
    let tls = stream.shared_tls();
    let socket = Socket::new(door.worker.clone(), stream, true);
    seat.occupy().await;
    seat.expire_after(http1::request_timeout(&service));
    let mut handshake = Builder::new()
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(SEND_BYTES_MAX)
        .max_local_error_reset_streams(Some(ERROR_RESETS_MAX))
        .enable_connect_protocol()
        .handshake::<_, Bytes>(socket.transport());
    let connection = poll_fn(|cx| {
        let made = std::pin::Pin::new(&mut handshake).poll(cx);
        let sent = socket.poll_send(cx);
        match (made, sent) {
            (Poll::Ready(Ok(connection)), _) => Poll::Ready(Some(connection)),
            (Poll::Ready(Err(error)), _) => {
                tracing::debug!(client = %peer, %error, "no preface of HTTP/2");
                Poll::Ready(None)
            }
            (Poll::Pending, Poll::Ready(Err(_))) => Poll::Ready(None),
            (Poll::Pending, _) if door.worker.poll_drain_grace(cx).is_ready() => Poll::Ready(None),
            (Poll::Pending, _) => seat.poll_expired().map(|()| None),
        }
    })
    .await;
    let Some(connection) = connection else { return };
    seat.expire_after(service.plan.idle_timeout.max(http1::request_timeout(&service)));
    let session = Rc::new(Session {
        door,
        socket,
        tls,
        peer,
        in_hand: InHand::new(),
        streams: Cell::new(0),
        early: EarlyStreams::default(),
    });
    let mut life = Life { session: session.clone(), connection, seat, state: State::Open };
    poll_fn(|cx| {
        let over = life.poll(cx);
        match over {
            Poll::Ready(()) => {
                session.early.end();
                session.in_hand.end();
            }
            Poll::Pending => session.early.wake(|| session.socket.is_early()),
        }
        over
    })
    .await;
}

/// A connection at work.
struct Life {
    session: Rc<Session>,
    connection: Connection<Transport, Bytes>,
    seat: Seat,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The client was told that no more streams are served.
    GoingAway,
    /// It was told that we end now.
    Ending,
    /// The h2 crate has nothing more to say.
    Said,
}

impl Life {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state != State::Said && self.poll_streams(cx) {
            self.state = State::Said;
            self.seat.expire_after(LAST_WORDS);
        }
        let socket = &self.session.socket;
        self.session.in_hand.call();
        match socket.poll_send(cx) {
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Ready(Ok(())) if self.state == State::Said => {
                // Closing while something unread is there would reset the connection, and what we said might be lost.
                socket.finish();
                if socket.poll_drop(cx).is_ready() {
                    return Poll::Ready(());
                }
            }
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        if self.state == State::Said {
            return self.seat.poll_expired();
        }
        if self.look_after(cx) { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Moves the h2 crate on, and begins the streams that came; whether the connection is over.
    fn poll_streams(&mut self, cx: &mut Context<'_>) -> bool {
        // All of them: the h2 crate takes streams that are reset before we know of them for an attack. What may come in a turn has a bound
        // (`transport`), and each stream waits for its own turn.
        loop {
            match self.connection.poll_accept(cx) {
                Poll::Pending => return false,
                Poll::Ready(None) => return true,
                Poll::Ready(Some(Ok((request, respond)))) => begin(&self.session, request, respond),
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(client = %self.session.peer, %error, "a connection of HTTP/2 broke");
                    return true;
                }
            }
        }
    }

    /// Misdeeds, drain, deadlines. False: the connection is to be dropped.
    fn look_after(&mut self, cx: &mut Context<'_>) -> bool {
        let session = &*self.session;
        if self.state != State::Ending
            && let Some(misdeed) = session.socket.misdeed()
        {
            tracing::debug!(client = %session.peer, why = %misdeed, "what a client sent ends its connection");
            self.state = State::Ending;
            self.seat.expire_after(LAST_WORDS);
            self.connection.abrupt_shutdown(misdeed.reason());
            cx.waker().wake_by_ref();
            return true;
        }
        let busy = session.streams.get() > 0;
        if self.state == State::Open && session.door.is_leaving() {
            self.go_away(cx);
            return true;
        }
        let idle = || session.door.slot.service().plan.idle_timeout;
        let (moved, worked) = (session.socket.take_moved(), session.socket.take_worked());
        match self.state {
            State::Open if worked || moved && busy => self.seat.expire_after(idle()),
            State::GoingAway if busy && (moved || worked) => self.seat.expire_after(idle()),
            _ => {}
        }
        if !self.seat.expired() {
            return true;
        }
        match self.state {
            // The streams keep their own deadlines, which end them unless the client takes nothing at all.
            State::Open | State::GoingAway if busy && !session.socket.is_stuck() => {
                self.seat.expire_after(idle());
                true
            }
            State::Open if !busy => {
                self.go_away(cx);
                true
            }
            State::Open | State::GoingAway | State::Ending | State::Said => false,
        }
    }

    fn go_away(&mut self, cx: &mut Context<'_>) {
        self.state = State::GoingAway;
        self.seat.expire_after(LAST_WORDS);
        self.connection.graceful_shutdown();
        cx.waker().wake_by_ref();
    }
}

/// Begins a stream.
fn begin(session: &Rc<Session>, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (head, body) = request.into_parts();
    let buffers = &session.door.worker.buffers;
    let mut text = buffers.keep(b"");
    match request::say(&mut text, &head, body.is_end_stream()) {
        Ok(said) => {
            let stream = H2Stream::of_client(session.clone(), text, said, body, respond);
            let stream = Stream::H2(Box::new(stream));
            session.door.worker.runners.serve(session.door.clone(), stream, session.peer);
        }
        Err(error) => {
            tracing::debug!(client = %session.peer, %error, "a request of HTTP/2 was refused");
            buffers.give_back(text);
            session.door.slot.service().counters.record(Outcome::Own(OwnAnswer::BadRequest));
            match error {
                Unsayable::UnknownProtocol => {
                    let mut response = Response::new(());
                    *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
                    let _gone_already = respond.send_response(response, true);
                }
                _ => respond.send_reset(Reason::PROTOCOL_ERROR),
            }
        }
    }
}
