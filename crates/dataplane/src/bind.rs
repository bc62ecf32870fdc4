//! Listening sockets, and why one cannot be had, in words for the owner of the listener.

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
};

use rustix::{io::Errno, net::sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{BACKLOG, DATAGRAM_QUEUE_BYTES};

/// A socket for one worker. Several workers bind the same address; the kernel spreads connections over them.
///
/// Accepted sockets inherit TCP_NODELAY.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, CannotListen> {
    listen(address).map_err(|error| CannotListen::new(address, &error))
}

/// As [`bind`], for datagrams. The kernel gives all datagrams of a client's port to the same worker.
pub(crate) fn bind_datagrams(address: SocketAddr) -> Result<UdpSocket, CannotListen> {
    receive(address).map_err(|error| CannotListen::new(address, &error))
}

/// Refuses an address for datagrams that somebody has who would share it: the kernel would give what comes to both.
pub(crate) fn check_unshared(address: SocketAddr) -> Result<(), CannotListen> {
    let bound = datagram_socket(address).and_then(|socket| socket.bind(&address.into()));
    bound.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => CannotListen {
            address,
            why: "the address is still in use, perhaps by the process before an upgrade for connections of a listener that is gone; \
                  it is tried again until they have ended"
                .to_owned(),
        },
        _ => CannotListen::new(address, &error),
    })
}

fn datagram_socket(address: SocketAddr) -> io::Result<Socket> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn receive(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = datagram_socket(address)?;
    socket.set_reuse_port(true)?;
    // More than net.core.rmem_max needs a privilege; without it the kernel gives what it may.
    if sockopt::set_socket_recv_buffer_size_force(&socket, DATAGRAM_QUEUE_BYTES).is_err() {
        socket.set_recv_buffer_size(DATAGRAM_QUEUE_BYTES)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Why an address cannot be listened on, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot listen on {address}: {why}")]
pub(crate) struct CannotListen {
    address: SocketAddr,
    why: String,
}

impl CannotListen {
    pub(crate) fn new(address: SocketAddr, error: &io::Error) -> Self {
        let why = match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::ACCESS | Errno::PERM) => {
                "permission denied; run with CAP_NET_BIND_SERVICE or lower net.ipv4.ip_unprivileged_port_start"
                    .to_owned()
            }
            Some(Errno::ADDRINUSE) => {
                "the address is in use by another program; stop it or choose another port".to_owned()
            }
            Some(Errno::ADDRNOTAVAIL) => {
                "the address is not on this machine; add it to an interface or choose a VIP that is".to_owned()
            }
            Some(Errno::MFILE | Errno::NFILE) => {
                "too many open files; raise the limit (ulimit -n, LimitNOFILE) or use fewer listeners".to_owned()
            }
            _ => error.to_string(),
        };
        Self { address, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_workers_share_an_address_and_another_program_cannot_be_shared_with() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        assert!(bind(address).is_ok());
        let other = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        drop(first);
        let foreign = TcpListener::bind(other).unwrap();
        let error = bind(foreign.local_addr().unwrap()).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "cannot listen on {other}: the address is in use by another program; stop it or choose another port"
            )
        );
    }

    #[test]
    fn workers_share_an_address_for_datagrams_and_beside_one_for_connections() {
        let connections = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = connections.local_addr().unwrap();
        check_unshared(address).unwrap();
        let datagrams = [bind_datagrams(address).unwrap(), bind_datagrams(address).unwrap()];
        assert!(check_unshared(address).unwrap_err().to_string().contains("still in use"));
        drop(datagrams);
        check_unshared(address).unwrap();
        let foreign = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let _foreign = UdpSocket::bind(foreign).unwrap();
        assert!(bind_datagrams(foreign).unwrap_err().to_string().contains("in use by another program"));
    }

    #[test]
    fn the_words_say_how_to_mend_it() {
        for (errno, words) in [
            (Errno::ACCESS, "CAP_NET_BIND_SERVICE"),
            (Errno::ADDRNOTAVAIL, "not on this machine"),
            (Errno::MFILE, "LimitNOFILE"),
            (Errno::NOMEM, "memory"),
        ] {
            let error = CannotListen::new("127.88.0.2:80".parse().unwrap(), &errno.into()).to_string();
            assert!(
                error.starts_with("cannot listen on 127.88.0.2:80: ") && error.contains(words),
                "{error}"
            );
        }
    }
}
