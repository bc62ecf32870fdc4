//! HTTP/2 towards clients (after TLS agreed to it) and towards the members of gRPC pools.
//!
//! There is one path for HTTP, `http`, and it speaks HTTP/1.1. So every stream of HTTP/2 takes the place of a connection
//! ([`H2Stream`]): what comes on it is said as a canonical request (or response) of HTTP/1.1, and what `http` writes is taken
//! apart again into HEADERS, DATA and trailers. What cannot be said cleanly is refused. Since every request has a stream for
//! itself, which ends behind it, no byte of one can be taken for another's.
//!
//! - Back-pressure goes from end to end by the windows of HTTP/2: see [`incoming`] and [`outgoing`]. As a peer may open its windows as wide as
//!   it likes, what a connection holds has a bound of ours, too: [`in_hand`].
//! - Frames are the h2 crate's. What a client may not say is found before, by `wire::h2`; floods that nobody else minds are
//!   [`guard`]'s; [`transport`] shows both what goes by.
//! - WebSocket (RFC 8441) becomes an upgrade with a key of ours.
//!
//! What it does not do: server push, priorities, cleartext HTTP/2 for clients.
//! Source: RFC 9113, RFC 8441; behaviour/features.md section 3.

mod client;
pub(crate) mod guard;
pub(crate) mod head;
pub(crate) mod in_hand;
pub(crate) mod incoming;
pub(crate) mod outgoing;
pub(crate) mod request;
mod sending;
mod server;
mod stream;
mod transport;

use std::io;

pub(crate) use client::Links;
pub(crate) use server::serve;
pub(crate) use stream::H2Stream;

/// What the h2 crate complains of, as a stream's user wants it.
fn broken(error: h2::Error) -> io::Error {
    match error.is_io() {
        true => error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into()),
        false => io::Error::new(io::ErrorKind::ConnectionReset, error),
    }
}
