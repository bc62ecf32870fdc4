//! Headers towards members.

use std::{
    io::Write,
    net::{IpAddr, SocketAddr},
};

use super::{Endpoints, Origin, Transport, v2};

/// Longest value of an additional field; so a header with all of them stays below [`PROXY_HEADER_BYTES_MAX`](super::PROXY_HEADER_BYTES_MAX).
pub const TLV_BYTES_MAX: usize = 512;

/// What is said of a connection beside its addresses, in version 2. A value longer than [`TLV_BYTES_MAX`] is left out: a member loses
/// an ornament, not the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions<'a> {
    /// The application protocol that was agreed upon (ALPN).
    pub alpn: Option<&'a [u8]>,
    /// The host name that the client asked for (SNI).
    pub authority: Option<&'a [u8]>,
    /// That the client spoke TLS, and how.
    pub tls: Option<TlsFacts<'a>>,
}

/// A client's TLS, as members are told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsFacts<'a> {
    /// As `TLSv1.3`.
    pub version: &'a [u8],
    /// The suite by its OpenSSL name.
    pub cipher: Option<&'a [u8]>,
    /// What the client has shown.
    pub certificate: ClientCertificate<'a>,
}

/// Whether a client has shown a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate<'a> {
    /// It has not.
    None,
    /// It has. The session may have been resumed; then it was shown when the session began.
    Shown {
        /// Whether an authority of the listener stands for it.
        verified: bool,
        /// Whether the session was resumed.
        resumed: bool,
        /// The common name of its subject.
        common_name: Option<&'a [u8]>,
    },
}

/// Appends a header of version 1. What it has no word for (UDP, the sender itself) is UNKNOWN.
pub fn write_v1(origin: &Origin, out: &mut Vec<u8>) {
    let written = match origin {
        Origin::Client(Endpoints { transport: Transport::Stream, source, destination }) => {
            let (from, to) = one_family(*source, *destination);
            let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            write!(out, "PROXY {family} {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port())
        }
        Origin::Client(_) | Origin::Local | Origin::Unknown => out.write_all(b"PROXY UNKNOWN\r\n"),
    };
    // A Vec takes everything.
    let _ = written;
}

/// Appends a header of version 2. Extensions are for clients; with another origin there are none.
pub fn write_v2(origin: &Origin, extensions: &Extensions<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(&v2::SIGNATURE);
    match origin {
        Origin::Local => out.extend_from_slice(&[v2::LOCAL, v2::UNSPECIFIED, 0, 0]),
        Origin::Unknown => out.extend_from_slice(&[v2::PROXY, v2::UNSPECIFIED, 0, 0]),
        Origin::Client(endpoints) => {
            let (from, to) = one_family(endpoints.source, endpoints.destination);
            let family = match (from.is_ipv4(), endpoints.transport) {
                (true, Transport::Stream) => v2::TCP4,
                (true, Transport::Datagram) => v2::UDP4,
                (false, Transport::Stream) => v2::TCP6,
                (false, Transport::Datagram) => v2::UDP6,
            };
            out.extend_from_slice(&[v2::PROXY, family]);
            with_length(out, |out| {
                for address in [from, to] {
                    match address.ip() {
                        IpAddr::V4(v4) => out.extend_from_slice(&v4.octets()),
                        IpAddr::V6(v6) => out.extend_from_slice(&v6.octets()),
                    }
                }
                out.extend_from_slice(&from.port().to_be_bytes());
                out.extend_from_slice(&to.port().to_be_bytes());
                write_extensions(extensions, out);
            });
        }
    }
}

fn write_extensions(extensions: &Extensions<'_>, out: &mut Vec<u8>) {
    write_tlv(ALPN, extensions.alpn, out);
    write_tlv(AUTHORITY, extensions.authority, out);
    let Some(tls) = &extensions.tls else { return };
    let (mut client, mut verified, mut name) = (CLIENT_TLS, false, None);
    if let ClientCertificate::Shown { verified: good, resumed, common_name } = tls.certificate {
        client |=
            if resumed { CERTIFICATE_IN_SESSION } else { CERTIFICATE_IN_CONNECTION | CERTIFICATE_IN_SESSION };
        (verified, name) = (good, common_name);
    }
    out.push(TLS);
    with_length(out, |out| {
        out.push(client);
        out.extend_from_slice(&u32::from(!verified).to_be_bytes());
        write_tlv(TLS_VERSION, Some(tls.version), out);
        write_tlv(TLS_COMMON_NAME, name, out);
        write_tlv(TLS_CIPHER, tls.cipher, out);
    });
}

fn write_tlv(kind: u8, value: Option<&[u8]>, out: &mut Vec<u8>) {
    if let Some(value) = value.filter(|value| value.len() <= TLV_BYTES_MAX) {
        out.push(kind);
        with_length(out, |out| out.extend_from_slice(value));
    }
}

/// Appends what `write` appends, behind its length in two bytes.
fn with_length(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0, 0]);
    write(out);
    let length =
        u16::try_from(out.len() - at - 2).expect("fewer than six values, none longer than TLV_BYTES_MAX");
    out[at..at + 2].copy_from_slice(&length.to_be_bytes());
}

/// Both addresses in one family, as a header has only one: IPv4 where both are, or are mapped into IPv6; else IPv6.
fn one_family(from: SocketAddr, to: SocketAddr) -> (SocketAddr, SocketAddr) {
    let in_v6 = |address: SocketAddr| match address.ip() {
        IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(v6) => SocketAddr::new(v6.into(), address.port()),
    };
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    match (canonical(from), canonical(to)) {
        (from, to) if from.is_ipv4() && to.is_ipv4() => (from, to),
        (from, to) => (in_v6(from), in_v6(to)),
    }
}

const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const TLS: u8 = 0x20;
const TLS_VERSION: u8 = 0x21;
const TLS_COMMON_NAME: u8 = 0x22;
const TLS_CIPHER: u8 = 0x23;

const CLIENT_TLS: u8 = 0x01;
const CERTIFICATE_IN_CONNECTION: u8 = 0x02;
const CERTIFICATE_IN_SESSION: u8 = 0x04;
