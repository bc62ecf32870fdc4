//! Version 1: one line of text (section 2.1).

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use super::{
    Endpoints, Origin, ProxyHeader, ProxyParse, ProxyProtocolError, ProxyProtocolError::*, Transport, Version,
};

/// Longest line, its end included (section 2.1: an UNKNOWN with IPv6 addresses).
pub const V1_BYTES_MAX: usize = 107;
/// Shortest line: `PROXY UNKNOWN`.
pub(super) const BYTES_MIN: usize = 15;

pub(super) const START: &[u8] = b"PROXY ";

pub(super) fn parse(buf: &[u8]) -> Result<ProxyParse<'_>, ProxyProtocolError> {
    if !buf.starts_with(&START[..START.len().min(buf.len())]) {
        return Err(NoHeader);
    }
    let seen = &buf[..buf.len().min(V1_BYTES_MAX)];
    let Some(at) = memchr::memchr2(b'\r', b'\n', seen) else {
        return match seen.len() == V1_BYTES_MAX {
            true => Err(LineTooLong),
            false => Ok(ProxyParse::Partial { needed: BYTES_MIN.max(seen.len() + 1) }),
        };
    };
    match (seen[at], seen.get(at + 1)) {
        (b'\r', Some(b'\n')) => {}
        (b'\r', None) if seen.len() < V1_BYTES_MAX => {
            return Ok(ProxyParse::Partial { needed: BYTES_MIN.max(at + 2) });
        }
        (b'\r', None) => return Err(LineTooLong),
        _ => return Err(BadLineEnd),
    }
    let fields = seen.get(START.len()..at).ok_or(BadLine)?;
    let origin = origin(fields)?;
    Ok(ProxyParse::Complete(ProxyHeader { origin, version: Version::V1, length: at + 2, tlvs: &[] }))
}

fn origin(fields: &[u8]) -> Result<Origin, ProxyProtocolError> {
    let mut fields = fields.split(|&b| b == b' ');
    let read: fn(&[u8]) -> Result<IpAddr, ProxyProtocolError> = match fields.next() {
        Some(b"TCP4") => |text| address::<Ipv4Addr>(text),
        Some(b"TCP6") => |text| address::<Ipv6Addr>(text),
        // Whatever else is in the line is not for us.
        Some(b"UNKNOWN") => return Ok(Origin::Unknown),
        _ => return Err(BadLine),
    };
    let mut field = || fields.next().ok_or(BadLine);
    let (source, destination) = (field()?, field()?);
    let (source_port, destination_port) = (field()?, field()?);
    if fields.next().is_some() {
        return Err(BadLine);
    }
    Ok(Origin::Client(Endpoints {
        transport: Transport::Stream,
        source: SocketAddr::new(read(source)?, port(source_port)?),
        destination: SocketAddr::new(read(destination)?, port(destination_port)?),
    }))
}

fn address<A: FromStr + Into<IpAddr>>(text: &[u8]) -> Result<IpAddr, ProxyProtocolError> {
    let text = str::from_utf8(text).map_err(|_| BadAddress)?;
    text.parse::<A>().map(Into::into).map_err(|_| BadAddress)
}

fn port(text: &[u8]) -> Result<u16, ProxyProtocolError> {
    let canonical = text.iter().all(u8::is_ascii_digit) && (text.len() == 1 || text.first() != Some(&b'0'));
    let text = str::from_utf8(text).ok().filter(|_| canonical).ok_or(BadPort)?;
    text.parse().map_err(|_| BadPort)
}
