//! The way of datagrams between two processes of which one took over the sockets from the other.
//!
//! The one that took over reads all that clients send, and passes over the link what belongs to the other ([`crate::udp`], and
//! [`crate::http3`] for QUIC, each with messages of its own). An end of the link shows as a message of no bytes.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6},
    os::fd::OwnedFd,
};

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};

/// How messages are sent: a queue that is full loses datagrams, as any queue on their way does.
pub(crate) const FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// Address, port, flow, scope and family.
pub(crate) const ADDRESS_BYTES: usize = 16 + 2 + 4 + 4 + 1;

/// A link, and its other end.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// A client's address, as messages say it.
pub(crate) fn address_bytes(client: SocketAddr) -> [u8; ADDRESS_BYTES] {
    let (ip, flow, scope, family) = match client {
        SocketAddr::V4(client) => (client.ip().to_ipv6_mapped(), 0, 0, 4),
        SocketAddr::V6(client) => (*client.ip(), client.flowinfo(), client.scope_id(), 6),
    };
    let mut bytes = [0; ADDRESS_BYTES];
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..18].copy_from_slice(&client.port().to_be_bytes());
    bytes[18..22].copy_from_slice(&u32::to_be_bytes(flow));
    bytes[22..26].copy_from_slice(&u32::to_be_bytes(scope));
    bytes[26] = family;
    bytes
}

/// A client's address; none: these bytes are no such.
pub(crate) fn address_of(bytes: &[u8; ADDRESS_BYTES]) -> Option<SocketAddr> {
    let (ip, rest) = bytes.split_first_chunk::<16>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (flow, rest) = rest.split_first_chunk::<4>()?;
    let (scope, family) = rest.split_first_chunk::<4>()?;
    let (ip, port) = (Ipv6Addr::from(*ip), u16::from_be_bytes(*port));
    match family {
        [4] => Some(SocketAddr::new(IpAddr::V4(ip.to_ipv4_mapped()?), port)),
        [6] => {
            Some(SocketAddrV6::new(ip, port, u32::from_be_bytes(*flow), u32::from_be_bytes(*scope)).into())
        }
        _ => None,
    }
}
