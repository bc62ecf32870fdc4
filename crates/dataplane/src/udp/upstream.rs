//! Sockets to members.

use std::{io, net::SocketAddr, os::fd::OwnedFd};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType},
};

use crate::source;

/// A connected socket to a member: from this client, if one is given, else from the node, on a port that the kernel chooses.
pub(super) fn connect(client: Option<SocketAddr>, member: SocketAddr) -> io::Result<OwnedFd> {
    if let Some(client) = client {
        return source::connect_datagrams(client, member);
    }
    let family = if member.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
    rustix::net::connect(&socket, &member)?;
    Ok(socket)
}

/// Whether a member, or a machine on the way to it, says that nobody listens there.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(
            Errno::CONNREFUSED
                | Errno::HOSTUNREACH
                | Errno::HOSTDOWN
                | Errno::NETUNREACH
                | Errno::NETDOWN
                | Errno::ADDRNOTAVAIL
        )
    )
}
