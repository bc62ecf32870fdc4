//! Version 2: binary (section 2.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{
    Endpoints, Origin, PROXY_HEADER_BYTES_MAX, ProxyHeader, ProxyParse, ProxyProtocolError,
    ProxyProtocolError::*, Transport, Version,
};

pub(super) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, length of the rest.
pub(super) const HEAD_BYTES: usize = 16;

pub(super) const LOCAL: u8 = 0x20;
pub(super) const PROXY: u8 = 0x21;

pub(super) const UNSPECIFIED: u8 = 0x00;
pub(super) const TCP4: u8 = 0x11;
pub(super) const UDP4: u8 = 0x12;
pub(super) const TCP6: u8 = 0x21;
pub(super) const UDP6: u8 = 0x22;

/// Two addresses and two ports.
const ADDRESSES_V4_BYTES: usize = 12;
const ADDRESSES_V6_BYTES: usize = 36;
/// Two paths.
const ADDRESSES_UNIX_BYTES: usize = 216;

/// A further thing that a sender says (type, length, value).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'b> {
    /// What it is, such as 0x01 for ALPN, 0x02 for the host name, 0x20 for TLS.
    pub kind: u8,
    /// Its bytes.
    pub value: &'b [u8],
}

/// The further things of a header, in turn.
#[derive(Clone, Debug)]
pub struct Tlvs<'b> {
    rest: &'b [u8],
}

impl<'b> Tlvs<'b> {
    pub(super) fn new(rest: &'b [u8]) -> Self {
        Self { rest }
    }
}

impl<'b> Iterator for Tlvs<'b> {
    type Item = Tlv<'b>;

    fn next(&mut self) -> Option<Tlv<'b>> {
        let (&[kind, high, low], behind) = self.rest.split_first_chunk()?;
        let (value, rest) = behind.split_at_checked(u16::from_be_bytes([high, low]).into())?;
        self.rest = rest;
        Some(Tlv { kind, value })
    }
}

pub(super) fn parse(buf: &[u8]) -> Result<ProxyParse<'_>, ProxyProtocolError> {
    if !buf.starts_with(&SIGNATURE[..SIGNATURE.len().min(buf.len())]) {
        return Err(NoHeader);
    }
    let Some(&[version_command, family, high, low]) = buf.get(SIGNATURE.len()..HEAD_BYTES) else {
        return Ok(ProxyParse::Partial { needed: HEAD_BYTES });
    };
    if version_command & 0xf0 != 0x20 {
        return Err(BadVersion);
    }
    let length = HEAD_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if length > PROXY_HEADER_BYTES_MAX {
        return Err(TooLong);
    }
    let announced = match version_command {
        // Its family is to be ignored.
        LOCAL => None,
        PROXY => Some(family),
        _ => return Err(BadCommand),
    };
    if announced.is_some_and(|family| family >> 4 > 3 || family & 0x0f > 2) {
        return Err(BadFamily);
    }
    let Some(body) = buf.get(HEAD_BYTES..length) else { return Ok(ProxyParse::Partial { needed: length }) };
    let (origin, tlvs) = match announced {
        None => (Origin::Local, &[][..]),
        Some(family) => client(family, body)?,
    };
    let mut fields = Tlvs::new(tlvs);
    fields.by_ref().for_each(drop);
    if !fields.rest.is_empty() {
        return Err(BadTlv);
    }
    Ok(ProxyParse::Complete(ProxyHeader { origin, version: Version::V2, length, tlvs }))
}

/// The client, and what follows its addresses.
fn client(family: u8, body: &[u8]) -> Result<(Origin, &[u8]), ProxyProtocolError> {
    let transport = match family & 0x0f {
        1 => Transport::Stream,
        2 => Transport::Datagram,
        _ => return Ok((Origin::Unknown, &[])),
    };
    let (source, destination, tlvs) = match family >> 4 {
        1 => {
            let (addresses, tlvs) = body.split_first_chunk::<ADDRESSES_V4_BYTES>().ok_or(TooShort)?;
            let &[a, b, c, d, e, f, g, h, ports @ ..] = addresses;
            let [source, destination] = self::ports(ports);
            let v4 = |bytes: [u8; 4], port| SocketAddr::new(IpAddr::V4(Ipv4Addr::from(bytes)), port);
            (v4([a, b, c, d], source), v4([e, f, g, h], destination), tlvs)
        }
        2 => {
            let (addresses, tlvs) = body.split_first_chunk::<ADDRESSES_V6_BYTES>().ok_or(TooShort)?;
            let v6 = |from: usize, port| {
                let mut bytes = [0; 16];
                bytes.copy_from_slice(&addresses[from..from + 16]);
                SocketAddr::new(IpAddr::V6(Ipv6Addr::from(bytes)), port)
            };
            let [.., a, b, c, d] = *addresses;
            let [source, destination] = self::ports([a, b, c, d]);
            (v6(0, source), v6(16, destination), tlvs)
        }
        3 if body.len() < ADDRESSES_UNIX_BYTES => return Err(TooShort),
        _ => return Ok((Origin::Unknown, &[])),
    };
    Ok((Origin::Client(Endpoints { transport, source, destination }), tlvs))
}

fn ports([a, b, c, d]: [u8; 4]) -> [u16; 2] {
    [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
}
