//! The PROXY protocol: whose connection this is, said by a load balancer in front in the first bytes. Versions 1 (a line of text) and 2
//! (binary), read and written.
//!
//! Invariants (property tests, fuzz target):
//! - cutting the bytes changes nothing: a prefix is incomplete or has the outcome of the whole;
//! - what was written is read again as the same;
//! - input never panics, and neither way allocates (writing appends to the caller's buffer).
//!
//! Strict, as a header decides who a client is: one space where one is due, numbers without leading zeros, both ends of a line, no
//! unassigned value, no byte of the length that is not accounted for.
//!
//! What it does not do: it does not say whom to believe. Who may send a header is a matter of configuration, never to be guessed from
//! whether there is one: else every client names its own address. It neither checks nor writes checksums (type 0x03), which are for
//! the receiver to support or not; TCP has its own.
//! Source: proxy-protocol.txt of HAProxy, "The PROXY protocol, versions 1 & 2", sections 2.1 and 2.2.
//!
//! # How to drive it
//!
//! Call [`ProxyHeader::parse`] on all bytes read so far, as long as it gives [`ProxyParse::Partial`]; the sender writes a header at
//! once, so a short deadline is right. [`ProxyHeader::length`] bytes are the header's, whatever comes behind is the connection's.
//! Towards members, [`write_v1`] or [`write_v2`] goes before everything else.

mod error;
mod v1;
mod v2;
mod write;

use std::net::SocketAddr;

pub use error::ProxyProtocolError;
pub use v1::V1_BYTES_MAX;
pub use v2::{Tlv, Tlvs};
pub use write::{ClientCertificate, Extensions, TLV_BYTES_MAX, TlsFacts, write_v1, write_v2};

/// Most bytes of a header that is read. Real ones of version 2 have up to some hundred; the format could say 64 KiB.
pub const PROXY_HEADER_BYTES_MAX: usize = 4096;

/// Outcome of a look at the first bytes that found nothing wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyParse<'b> {
    /// The whole header was there.
    Complete(ProxyHeader<'b>),
    /// The bytes end before the header does. It is not whole before there are `needed` bytes in all (though it may be seen to be wrong).
    Partial {
        /// Number of bytes from the connection's first; more than there were, at most [`PROXY_HEADER_BYTES_MAX`].
        needed: usize,
    },
}

/// What the first bytes of a connection said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader<'b> {
    /// Where the connection is from.
    pub origin: Origin,
    /// Which version was spoken.
    pub version: Version,
    /// How many bytes the header has; the connection's own begin behind them.
    pub length: usize,
    tlvs: &'b [u8],
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Where a connection is from, as its header has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the sender itself, for a health check say (version 2, LOCAL). The connection's own addresses hold.
    Local,
    /// The sender does not know, or says it in a way that is not for IP: the connection's own addresses hold.
    Unknown,
    /// From a client of the sender.
    Client(Endpoints),
}

/// Both ends of a client's connection. An address that is an IPv4-mapped IPv6 one was sent so; writing makes it IPv4 again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// What the client speaks.
    pub transport: Transport,
    /// The client.
    pub source: SocketAddr,
    /// Whom the client spoke to; of the same family as `source` when it was read.
    pub destination: SocketAddr,
}

/// What carries a client's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP.
    Stream,
    /// UDP; version 1 has no word for it.
    Datagram,
}

impl<'b> ProxyHeader<'b> {
    /// Reads the header at the start of a connection (or datagram); `buf` holds every byte of it so far.
    pub fn parse(buf: &'b [u8]) -> Result<ProxyParse<'b>, ProxyProtocolError> {
        match buf.first() {
            None => Ok(ProxyParse::Partial { needed: v1::BYTES_MIN }),
            Some(b'P') => v1::parse(buf),
            Some(b'\r') => v2::parse(buf),
            Some(_) => Err(ProxyProtocolError::NoHeader),
        }
    }

    /// What more was said (version 2), in the sender's order; each fits, what is in it was not looked at. Nothing unless the origin
    /// is a client, as it cannot be told where else they begin.
    pub fn tlvs(&self) -> Tlvs<'b> {
        Tlvs::new(self.tlvs)
    }
}
