//! HTTP/2 of clients: each stream of a connection becomes an HTTP/1.1 request on a [`crate::stream::Stream`], which `http` serves as any
//! other (docs/adr/0004-one-http-path.md).
//!
//! The h2 crate frames and compresses headers; here is what a request and a response are said as ([`request`], [`response`]), the
//! stream that stands between ([`stream`]), and what is not put up with ([`guard`]).
//!
//! Source: RFC 9113, RFC 8441.

mod guard;
mod request;
mod response;
mod stream;

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
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
use telemetry::{Outcome, OwnAnswer};
use wire::h1::Headers;

pub(crate) use self::stream::H2Stream;
use self::{guard::Guarded, request::Translated};
use crate::{
    acceptor::Door,
    http::{self, ClientTls},
    layer4::Open,
    stream::Stream,
    table::{Seat, TICK},
};

/// Streams of one connection at a time (the number that most servers allow).
const STREAMS_MAX: u32 = 128;
/// Longest list of headers of a request, as HTTP/1's head (behaviour/errors.md).
const HEADER_LIST_BYTES_MAX: u32 = 64 << 10;
/// What a client may send ahead, per stream and per connection. It bounds what a connection can make us keep.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// What we frame ahead of a slow client, per stream.
const SEND_BUFFER_BYTES: usize = 128 << 10;
/// Streams that a client may have reset before they were looked at; more end the connection (rapid reset).
const RESETS_PENDING_MAX: usize = 32;
/// Streams that we reset for a client's faults; more end the connection, as resets that a client provokes cost as much as its own.
const RESETS_LOCAL_MAX: usize = 256;

/// How long a client may take to see that a connection without streams is at its end.
const LINGER: Duration = Duration::from_secs(2);

/// Serves a connection whose client agreed to HTTP/2, to its end.
pub(crate) async fn serve(door: Rc<Door>, client: Stream, peer: SocketAddr, seat: Seat, _open: Open) {
    let service = door.slot.service();
    let tls = client.shared_tls();
    seat.occupy().await;
    seat.expire_after(http::request_timeout(&service));
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(Some(RESETS_LOCAL_MAX))
        .enable_connect_protocol();
    let mut handshake = std::pin::pin!(builder.handshake::<_, Bytes>(Guarded::new(client)));
    let connection = poll_fn(|cx| match handshake.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(done.ok()),
        Poll::Pending => seat.poll_expired().map(|()| None),
    });
    let Some(connection) = connection.await else { return };
    seat.expire_after(service.plan.idle_timeout.max(TICK));
    Session { door, peer, tls, seat, connection, streams: Rc::default(), ending: false }.run().await;
}

/// A connection that stands.
struct Session {
    door: Rc<Door>,
    peer: SocketAddr,
    /// What is known of the client's TLS.
    tls: Option<Rc<ClientTls>>,
    seat: Seat,
    connection: Connection<Guarded, Bytes>,
    streams: Rc<Streams>,
    /// GOAWAY was said.
    ending: bool,
}

/// What a connection knows of its streams.
#[derive(Default)]
struct Streams {
    /// Streams that are served now.
    active: Cell<usize>,
    /// Whether one ended since the last look.
    ended: Cell<bool>,
    /// Where heads of responses are noted while they are turned.
    tables: Rc<RefCell<Headers>>,
}

impl Session {
    async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    /// Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => self.begin(request, respond),
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(client = %self.peer, %error, "an HTTP/2 connection ended");
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending if self.ending => return self.poll_ended(),
                Poll::Pending => {
                    if !self.must_end() {
                        return Poll::Pending;
                    }
                    // What is under way goes on; the next look writes the GOAWAY.
                    self.ending = true;
                    self.seat.expire_after(LINGER);
                    self.connection.graceful_shutdown();
                }
            }
        }
    }

    /// After GOAWAY: ready when no stream is left and the client had its time to see it.
    fn poll_ended(&mut self) -> Poll<()> {
        if self.streams.active.get() > 0 {
            self.seat.expire_after(LINGER);
        }
        self.seat.poll_expired()
    }

    /// Whether it is time to say GOAWAY: the worker drains, or the connection was idle for long.
    fn must_end(&mut self) -> bool {
        if self.door.worker.is_draining() {
            return true;
        }
        let idle = self.streams.active.get() == 0;
        if !idle || self.streams.ended.replace(false) {
            self.seat.expire_after(self.door.slot.service().plan.idle_timeout.max(TICK));
            return false;
        }
        self.seat.poll_expired().is_ready()
    }

    /// Serves a stream in a task of its own.
    fn begin(&self, request: ::http::Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let (parts, body) = request.into_parts();
        let Translated { head, method, framing, websocket } =
            match request::translate(&parts, body.is_end_stream()) {
                Ok(translated) => translated,
                Err(fault) => {
                    tracing::debug!(client = %self.peer, %fault, "an HTTP/2 request was refused");
                    self.door.slot.service().counters.record(Outcome::Own(OwnAnswer::BadRequest));
                    respond.send_reset(Reason::PROTOCOL_ERROR);
                    return;
                }
            };
        let streams = self.streams.clone();
        streams.active.set(streams.active.get() + 1);
        let stream = H2Stream::new(head, framing, body, respond, method, websocket, streams.tables.clone())
            .over(self.tls.clone());
        let served = http::serve_stream(self.door.clone(), Stream::H2(Box::new(stream)), self.peer);
        tokio::task::spawn_local(async move {
            served.await;
            streams.active.set(streams.active.get() - 1);
            streams.ended.set(true);
        });
    }
}
