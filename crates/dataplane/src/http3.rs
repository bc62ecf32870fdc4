//! HTTP/3 of clients.
//!
//! Like HTTP/2 it joins the one path for HTTP: every stream takes the place of a connection ([`H3Stream`]), and what is said on it
//! is said as HTTP/1.1 by what `http2` has for that: `request`, `incoming`, `head` and `outgoing` know no frames.
//!
//! - [`sockets`] are one per worker for each address, and a client's packets find its worker by connection id, also when its address
//!   changes. A worker's [`endpoint`] on one is quinn's, driven by the worker's own runtime ([`runtime`]); so a connection never leaves
//!   its thread.
//!   After an upgrade connections go on in the process in which they began, to which the new one passes their packets ([`socket`]).
//! - [`connection`] is a client's connection from handshake to end, [`control`] its streams beside those of requests.
//! - [`receiver`] and [`sender`] are the two directions of a request's stream: frames (`wire::h3`) on what quinn gives. Nothing is
//!   kept of a body but what QUIC's own windows let in.
//! - WebSocket (RFC 9220) becomes an upgrade, as in HTTP/2.
//!
//! What it does not do: server push, datagrams, priorities, a dynamic table for fields.
//! Source: RFC 9114, RFC 9220, RFC 9000; behaviour/features.md section 3.

mod connection;
mod control;
mod endpoint;
mod former;
mod ids;
mod message;
mod receiver;
mod runtime;
mod sender;
mod socket;
mod sockets;
mod stream;

use quinn::VarInt;
use wire::h3::Code;

pub(crate) use endpoint::Endpoint;
pub(crate) use runtime::Runtime;
pub(crate) use sockets::{LentSocket, Sockets};
pub(crate) use stream::H3Stream;

/// A code as QUIC says it.
fn said(code: Code) -> VarInt {
    VarInt::from_u64(code.0).unwrap_or(VarInt::MAX)
}
