//! The TLS ClientHello, read from the first bytes of a connection: to choose who serves the connection, and to name the client.
//!
//! Nothing is consumed: whoever serves the connection reads the same bytes again. A hello that is well-formed here may still be
//! refused there. Invariants (property tests, fuzz target):
//! - cutting the bytes changes nothing: a prefix is incomplete or has the outcome of the whole;
//! - how the hello is spread over records changes no fact;
//! - input never panics, and a hello in one record (every usual one) is read without allocation.
//!
//! What it does not do: it knows no SSL 2.0 hello, no DTLS, no QUIC; it does not check what only a server's choice can tell
//! (key shares, the binders of a pre-shared key), and it reads nothing behind the hello.
//! Sources: RFC 8446 §4.1.2, §4.2, §5.1; RFC 5246 §7.4.1.2; RFC 6066 §3; RFC 7301; RFC 8422 §5.1.
//!
//! # How to drive it
//!
//! Call [`ClientHello::parse`] on all bytes read so far. [`HelloParse::Partial`] says how many bytes there must be before another
//! try is worth it: read until then. Give a client that never gets there the deadline of a handshake; the length is bounded
//! ([`CLIENT_HELLO_BYTES_MAX`]). The hello borrows the bytes; [`ClientHello::into_owned`] parts it from them.

mod error;
mod extensions;
mod fingerprint;
mod fit;
mod host_name;
mod reader;
mod records;

use std::borrow::Cow;

pub use error::ClientHelloError;
use extensions::Extensions;
pub use fit::{KeyKind, Misfit, Offer};
pub use host_name::is_host_name;
use reader::{Reader, Span, U16s};
use records::Found;

/// Most bytes of a connection that are read for its hello, record headers included. Real hellos have up to about 2 KiB.
pub const CLIENT_HELLO_BYTES_MAX: usize = 64 << 10;
/// Most records that a hello may be spread over. One is usual; some clients cut it into a few to hide its name.
pub const RECORDS_MAX: usize = 256;
/// Most extensions of a hello. Browsers send about 20.
pub const EXTENSIONS_MAX: usize = 128;

/// Outcome of a look at the first bytes that found nothing wrong.
#[derive(Clone, Debug)]
pub enum HelloParse<'b> {
    /// The whole hello was there.
    Complete(ClientHello<'b>),
    /// The bytes end before the hello does. It is not whole before there are `needed` bytes in all (though it may be seen to be wrong).
    Partial {
        /// Number of bytes from the connection's first; more than there were, at most [`CLIENT_HELLO_BYTES_MAX`].
        needed: usize,
    },
    /// Somebody speaks, but not TLS.
    NotTls(NotTls),
}

/// What was spoken in place of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTls {
    /// HTTP in clear: the client can be told so in its own words (400, as nginx does).
    Http,
    /// Anything else.
    Other,
}

/// What a client says about itself. All lists are in the client's order and may have values that nobody knows.
#[derive(Clone, Debug)]
pub struct ClientHello<'b> {
    /// The handshake message without its header of four bytes.
    message: Cow<'b, [u8]>,
    legacy_version: u16,
    cipher_suites: Span,
    null_compression: bool,
    extensions: Extensions,
}

impl<'b> ClientHello<'b> {
    /// Reads the hello at the start of what a client sent; `buf` holds every byte of the connection so far.
    pub fn parse(buf: &'b [u8]) -> Result<HelloParse<'b>, ClientHelloError> {
        match buf.first() {
            None => Ok(HelloParse::Partial { needed: 1 }),
            Some(&records::HANDSHAKE) => match records::first_message(buf)? {
                Found::Whole(message) => Self::read(message).map(HelloParse::Complete),
                Found::Partial { needed } => Ok(HelloParse::Partial { needed }),
            },
            Some(&(records::CHANGE_CIPHER_SPEC..=records::APPLICATION_DATA)) => match buf.get(1) {
                None => Ok(HelloParse::Partial { needed: 2 }),
                Some(&3) => Err(ClientHelloError::UnexpectedRecord),
                Some(_) => Ok(HelloParse::NotTls(NotTls::Other)),
            },
            Some(_) => Ok(not_tls(buf)),
        }
    }

    fn read(message: Cow<'b, [u8]>) -> Result<Self, ClientHelloError> {
        let mut reader = Reader::new(&message);
        let legacy_version = reader.u16()?;
        reader.skip(RANDOM_BYTES)?;
        if reader.list_of_bytes(0)?.len() > SESSION_ID_BYTES_MAX {
            return Err(ClientHelloError::BadLength);
        }
        let cipher_suites = reader.list_of_u16s()?;
        let null_compression = reader.list_of_bytes(1)?.of(&message).contains(&0);
        // A client of TLS 1.0 or 1.1 may end here (RFC 5246 §7.4.1.2).
        let extensions =
            if reader.is_empty() { Extensions::default() } else { Extensions::read(&mut reader)? };
        reader.end()?;
        Ok(Self { message, legacy_version, cipher_suites, null_compression, extensions })
    }

    /// The same without the bytes that it was read from.
    pub fn into_owned(self) -> ClientHello<'static> {
        ClientHello {
            message: Cow::Owned(self.message.into_owned()),
            legacy_version: self.legacy_version,
            cipher_suites: self.cipher_suites,
            null_compression: self.null_compression,
            extensions: self.extensions,
        }
    }

    /// The version field, 0x0303 for TLS 1.2. Clients that send [`ClientHello::supported_versions`] mean those instead.
    pub fn legacy_version(&self) -> u16 {
        self.legacy_version
    }

    /// The versions that the client speaks, best first; empty when it did not say (before TLS 1.3).
    pub fn supported_versions(&self) -> impl Iterator<Item = u16> + Clone + '_ {
        self.u16s(self.extensions.supported_versions)
    }

    /// Does the client speak this version (0x0301 for TLS 1.0 up to 0x0304 for TLS 1.3)?
    pub fn speaks(&self, version: u16) -> bool {
        match self.extensions.supported_versions {
            Some(_) => self.supported_versions().any(|spoken| spoken == version),
            None => version <= self.legacy_version.min(TLS12),
        }
    }

    /// Suites by IANA id ([`crate::tls_suites`]); never empty. Also has the two signalling values 0x00ff and 0x5600.
    pub fn cipher_suites(&self) -> impl Iterator<Item = u16> + Clone + '_ {
        self.u16s(Some(self.cipher_suites))
    }

    /// Groups for the key exchange, by IANA id.
    pub fn groups(&self) -> impl Iterator<Item = u16> + Clone + '_ {
        self.u16s(self.extensions.groups)
    }

    /// Signature schemes that the client can check, by IANA id.
    pub fn signature_schemes(&self) -> impl Iterator<Item = u16> + Clone + '_ {
        self.u16s(self.extensions.signature_schemes)
    }

    /// Point formats of elliptic curves: 0 is the one in use.
    pub fn point_formats(&self) -> &[u8] {
        self.bytes(self.extensions.point_formats)
    }

    /// The host name that the client asks for, without a final dot, in the case it was sent in. None when there is none or it
    /// is no host name ([`is_host_name`]; addresses are none, RFC 6066 §3).
    pub fn sni(&self) -> Option<&str> {
        host_name::read(self.sni_bytes()?)
    }

    /// What the client sent for a host name, whatever that is.
    pub fn sni_bytes(&self) -> Option<&[u8]> {
        self.extensions.host_name.map(|name| name.of(&self.message))
    }

    /// Application protocols that the client speaks (ALPN), best first: `h2`, `http/1.1`. None is empty.
    pub fn alpn(&self) -> impl Iterator<Item = &[u8]> + Clone + '_ {
        let mut rest = self.bytes(self.extensions.alpn);
        std::iter::from_fn(move || {
            let (&length, behind) = rest.split_first()?;
            let (name, after) = behind.split_at_checked(usize::from(length))?;
            rest = after;
            Some(name)
        })
    }

    /// Does the client know session tickets (RFC 5077)?
    pub fn knows_tickets(&self) -> bool {
        self.extensions.session_ticket.is_some()
    }

    /// Does it bring a ticket of TLS 1.2 to resume with?
    pub fn has_ticket(&self) -> bool {
        self.extensions.session_ticket.is_some_and(|ticket| ticket.len() > 0)
    }

    /// Does it bring a pre-shared key, such as a ticket of TLS 1.3?
    pub fn has_psk(&self) -> bool {
        self.extensions.has(extensions::PRE_SHARED_KEY, &self.message)
    }

    /// Does it send a request along with the hello (0-RTT)?
    pub fn has_early_data(&self) -> bool {
        self.extensions.has(extensions::EARLY_DATA, &self.message)
    }

    /// The types of all extensions.
    pub fn extensions(&self) -> impl Iterator<Item = u16> + Clone + '_ {
        self.extensions.types(&self.message)
    }

    fn u16s(&self, list: Option<Span>) -> U16s<'_> {
        U16s::new(self.bytes(list))
    }

    fn bytes(&self, list: Option<Span>) -> &[u8] {
        list.map_or(&[], |list| list.of(&self.message))
    }
}

/// TLS 1.2 as versions are written.
pub const TLS12: u16 = 0x0303;
/// TLS 1.3 as versions are written.
pub const TLS13: u16 = 0x0304;

/// Names one of the values that clients invent to keep servers tolerant (RFC 8701).
fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

fn not_tls<'b>(buf: &[u8]) -> HelloParse<'b> {
    if HTTP_STARTS.iter().any(|start| buf.starts_with(start)) {
        return HelloParse::NotTls(NotTls::Http);
    }
    let could_become = HTTP_STARTS.iter().filter(|start| start.starts_with(buf));
    match could_become.map(|start| start.len()).min() {
        Some(needed) => HelloParse::Partial { needed },
        None => HelloParse::NotTls(NotTls::Other),
    }
}

/// How requests of HTTP/1 and HTTP/2 begin. No start is the start of another.
const HTTP_STARTS: [&[u8]; 10] = [
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
    b"PRI * HTTP/2.0",
];

/// Length of the random (RFC 8446 §4.1.2).
const RANDOM_BYTES: usize = 32;
/// Longest session id (RFC 8446 §4.1.2).
const SESSION_ID_BYTES_MAX: usize = 32;
