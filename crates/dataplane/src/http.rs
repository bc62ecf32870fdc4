//! HTTP/1: connections of clients, their requests one after another, and each request's exchange with a member.
//!
//! The ordinary request costs two turns of its task and four calls to the system: read the request, write it to a kept
//! connection; read the response, write it. Everything else (a body that goes on, a new connection, a retry, an answer of our
//! own, a tunnel) is the same code taking another round.
//!
//! - Parsing and writing heads is `wire::h1`'s: what goes on is always its serialisation, so nothing can be smuggled.
//! - Both directions stream at the same time, with back-pressure: a side is read only when all before was taken.
//! - A connection to a member is kept only after a response that was read to its exact end.
//!
//! Source: behaviour/errors.md, features.md sections 3 and 5; RFC 9112.

mod answer;
mod client_tls;
mod coding;
mod connection;
mod cors;
mod desync;
mod early;
mod edits;
mod encoder;
mod exchange;
mod fault;
mod flow;
mod inserted;
mod log;
mod mirror;
mod policy;
mod runners;
mod secured;
mod sticky;

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
};

use tokio::net::TcpStream;
use wire::h1::{HeaderLines, Headers, Limits};

pub(crate) use {
    client_tls::ClientTls,
    connection::{request_timeout, response_timeout},
    early::EarlyStreams,
    encoder::EncoderRoom,
    inserted::Inserted,
    policy::PolicyWork,
    runners::Runners,
    secured::{client_tls, wants_hello},
    sticky::Sticky,
};

use crate::{acceptor::Door, http2, layer4::Open, stream::Stream, table::Seat};

/// What a worker's HTTP needs once, and never while it waits.
pub(crate) struct HttpScratch {
    request: RefCell<Headers>,
    response: RefCell<Headers>,
    lines: RefCell<HeaderLines>,
    drafts: log::Drafts,
    /// Copies of requests under way.
    mirrors: Cell<usize>,
    /// For the choice among a policy's pools.
    dice: RefCell<balance::Dice>,
    /// `Server: elb`, on every answer (behaviour/errors.md).
    server: HeaderLines,
    limits: Limits,
}

impl HttpScratch {
    /// For the worker of this number.
    pub(crate) fn new(worker: usize) -> Self {
        let mut server = HeaderLines::new();
        server.push(b"Server", b"elb").expect("the name and the value are well-formed and not reserved");
        Self {
            request: RefCell::new(Headers::new()),
            response: RefCell::new(Headers::new()),
            lines: RefCell::default(),
            drafts: log::Drafts::default(),
            mirrors: Cell::new(0),
            dice: RefCell::new(policy::dice(worker)),
            server,
            limits: Limits::default(),
        }
    }
}

/// What answers of a listener get in place of [`HttpScratch::server`]: that, and where HTTP/3 is spoken.
pub(crate) fn announced(plan: &plan::HttpPlan) -> Option<HeaderLines> {
    let alt_svc = plan.alt_svc.as_deref()?;
    let mut lines = HeaderLines::new();
    for (name, value) in [(&b"Server"[..], &b"elb"[..]), (b"Alt-Svc", alt_svc.as_bytes())] {
        if let Err(error) = lines.push(name, value) {
            tracing::error!(alt_svc, %error, "a plan has a header that cannot be written");
            return None;
        }
    }
    Some(lines)
}

/// A member's own, which speaks of another address, goes where ours is written.
const DROPPED_WHEN_ANNOUNCED: &[&[u8]] = &[b"alt-svc"];

/// The longest request body: 10 GiB (behaviour/errors.md, 413).
const BODY_BYTES_MAX: u64 = 10 << 30;

/// Serves one connection to its end.
pub(crate) fn serve(
    door: Rc<Door>,
    client: Stream,
    peer: SocketAddr,
    open: Open,
) -> impl Future<Output = ()> {
    connection::Life::Ordinary(connection::Connection::new(door, client, peer, open))
}

/// Serves one stream of an HTTP/2 or HTTP/3 connection, which is one request.
pub(crate) fn serve_stream(door: Rc<Door>, client: Stream, peer: SocketAddr) -> impl Future<Output = ()> {
    connection::Life::Ordinary(connection::Connection::of_stream(door, client, peer))
}

/// As [`serve`], for a connection that begins with TLS.
pub(crate) fn serve_secured(
    door: Rc<Door>,
    client: TcpStream,
    peer: SocketAddr,
    open: Open,
) -> impl Future<Output = ()> {
    let seat = Seat::take(&door.worker.table, door.slot.group());
    connection::Life::rare(door.clone(), secured::begin(door, client, peer, seat, open))
}

/// As [`serve`], for a client that speaks HTTP/2 in clear.
pub(crate) fn serve_http2(
    door: Rc<Door>,
    client: TcpStream,
    peer: SocketAddr,
    open: Open,
) -> impl Future<Output = ()> {
    let seat = Seat::take(&door.worker.table, door.slot.group());
    connection::Life::rare(door.clone(), async move {
        http2::serve(door, client.into(), peer, seat, open).await;
        None
    })
}

#[cfg(test)]
mod tests {
    use super::connection::Life;

    #[test]
    fn an_idle_connection_costs_little_beside_its_socket() {
        // With tokio's own 256 bytes and the allocator's share this keeps the promise of 1 KiB (design section 12).
        assert!(size_of::<Life>() <= 256, "{} bytes", size_of::<Life>());
    }
}
