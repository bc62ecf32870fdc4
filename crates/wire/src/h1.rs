//! HTTP/1.0 and HTTP/1.1 as a strict load balancer speaks it: parse once, decide once, write our own words.
//!
//! Invariants, each held by a property test or a fuzz target:
//! - A message's framing is decided from its head once; what is written on is always the canonical serialisation of
//!   that decision, so two parsers along the way cannot disagree (request smuggling is impossible by construction).
//! - Feeding a message in any pieces gives the result of feeding it whole. Nothing is consumed beyond its end.
//! - Input never panics and never makes the parser allocate, but for trailers and for growing a [`Headers`] once.
//! - A tunnel begins with a [`Tunnel`], which only a member's accepted 101 (or 2xx to CONNECT) gives.
//!
//! What it does not do: no I/O, no clock (so no Date), no HTTP/2 (`PRI *` is refused with 505, `h2c` upgrades are
//! ignored), no content codings, no limit on a body's length, no decision what to do with CONNECT.
//! Sources: RFC 9110, RFC 9112; contract `behaviour/errors.md` (statuses, header limits).
//!
//! # How to drive it
//!
//! Per worker: one [`Headers`] for requests, one for responses, one [`HeaderLines`] for what is added, a [`Limits`].
//!
//! **Request head.** Call [`parse_request`] on what was read, from the message's first byte.
//! - [`Parsed::Complete`]: the [`RequestHead`] borrows buffer and table; `buf[head.len()..]` is the body, then the
//!   next request. Use it before the next await, or keep [`RequestHead::facts`] and make the head again with
//!   [`RequestFacts::head`] over the same bytes (moved is fine) and an own table.
//! - [`Parsed::Partial`]: keep the bytes and the [`HeadScan`]. When more came, [`HeadScan::is_ready`] looks at the new
//!   bytes only; parse again (from the first byte) once it says so.
//! - `Err`: answer with [`HeadError::status`] ([`write_answer`], keep-alive off), close.
//!
//! **Forwarding.** [`write_request`] appends the head for the member and gives the [`Exchange`] that its answer must be
//! parsed with. Make a [`Body`] with [`Body::for_request`]; for each piece of input call [`Body::relay`], send its
//! `prefix` and `span` (one writev), and go on with the input behind `consumed`. When it says `done`, send
//! [`Body::tail`] and stop: what is left of the input is the next request (pipelining), never part of this one.
//!
//! **Response.** [`parse_response`] with the `Exchange`. Errors, also in the body, are the member's: 502 if nothing was
//! sent yet, else close. [`ResponseHead::is_interim`]: write it on (not to an HTTP/1.0 client) and parse the next
//! head with the same `Exchange`. [`write_response`] gives a [`Delivery`]: how to send the body on
//! ([`Transfer`]), and whether the client's connection goes on. [`Body::for_response`] as above; at end of file call
//! [`Body::handle_eof`]. The member's connection may be reused only if [`ResponseHead::keep_alive`] and the request
//! was sent whole and the body is done and no byte is left over.
//!
//! **Tunnel.** [`ResponseHead::tunnel`] gives a [`Tunnel`]; code that copies bytes both ways should demand it as an
//! argument. Until then, bytes behind an upgrade request are the next request and must not be sent on.

mod answer;
mod body;
mod bytes;
mod chunked;
mod connection;
mod error;
mod framing;
mod header;
mod lines;
mod request;
mod response;
mod scan;
mod serialise;
mod suspicion;
mod table;
mod target;
mod trailers;

pub use answer::{Answer, AnswerBody, reason_phrase, write_answer};
pub use body::{Body, Decoded, LengthBody, Relayed, push_chunk};
pub use chunked::{ChunkedDecoder, LAST_CHUNK, SizeLine};
pub use connection::UpgradeToken;
pub use error::{BodyError, HeadError};
pub use framing::{Framing, ResponseFraming};
pub use header::{HeaderId, HeaderSet};
pub use lines::{BadHeaderLine, HeaderLines};
pub use request::{RequestFacts, RequestHead, parse_request};
pub use response::{Exchange, ResponseFacts, ResponseHead, Tunnel, parse_response};
pub use scan::HeadScan;
pub use serialise::{
    Delivery, Edits, RequestOut, ResponseOut, Transfer, UpstreamConnection, write_request, write_response,
};
pub use suspicion::Suspicion;
pub use table::{Header, Headers};
pub use target::{Authority, Method, MethodKind, OriginForm, TargetForm};

/// The interim answer that invites a body (RFC 9110 §15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Bounds on a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest head in bytes, first line and final empty line included; more is `HeadTooLarge`.
    /// Default 64 KiB (contract `behaviour/errors.md`); values over 16 MiB count as 16 MiB.
    pub head_bytes_max: usize,
    /// Most header lines; more is `TooManyHeaders`. Default 128; values over 65,535 count as 65,535.
    pub headers_max: usize,
    /// Longest request target in bytes; more is `TargetTooLong` (414). Default 32 KiB (contract as above).
    pub uri_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_bytes_max: 64 << 10, headers_max: 128, uri_bytes_max: 32 << 10 }
    }
}

impl Limits {
    /// The part of `buf` that a head may take. Offsets into it fit into the table.
    #[inline]
    fn window<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        &buf[..buf.len().min(self.head_bytes())]
    }

    #[inline]
    fn head_bytes(&self) -> usize {
        self.head_bytes_max.min(16 << 20)
    }

    #[inline]
    fn header_lines(&self) -> usize {
        self.headers_max.min(usize::from(u16::MAX))
    }

    /// What a parse that ran out of bytes means.
    fn partial<T>(&self, buf: &[u8]) -> Result<Parsed<T>, HeadError> {
        if buf.len() >= self.head_bytes() {
            return Err(HeadError::HeadTooLarge);
        }
        Ok(Parsed::Partial(HeadScan::after(buf)))
    }
}

/// A version that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// Outcome of a parse that found nothing wrong.
#[derive(Clone, Copy, Debug)]
pub enum Parsed<T> {
    /// The whole head was there.
    Complete(T),
    /// The bytes end before the head does.
    Partial(HeadScan),
}

/// Most empty lines that are skipped before a request line (RFC 9112 §2.2).
pub const EMPTY_LINES_MAX: usize = 4;
/// Longest method in bytes.
pub const METHOD_BYTES_MAX: usize = 32;
/// Most headers, beside those with a [`HeaderId`], that Connection may name.
pub const NOMINATED_MAX: usize = connection::NOMINATED_MAX;
/// Longest trailer section in bytes, as received.
pub const TRAILER_BYTES_MAX: usize = trailers::TRAILER_BYTES_MAX;
/// Most bytes of chunk extensions that a body may be ahead of its data by; see [`ChunkedDecoder`].
pub const CHUNK_EXTENSION_BYTES_MAX: usize = chunked::CHUNK_EXTENSION_BYTES_MAX;
