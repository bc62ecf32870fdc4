//! Members that see the client's address as the source of what they get, not the node's (IP_TRANSPARENT, ip(7)).
//!
//! Who sees it: members that the plan marks (`MemberPlan::transparent`: layer 4, with a subnet), on nodes that are told to
//! ([`Config::transparent_client_address`](crate::Config)), where the network can carry it: client and member are of one family, and
//! both are on this machine's loopback or neither is, and the client's is an address of one machine. All others see the node's address.
//!
//! The member's answers must come back to this node; that is the network's affair (docs/guide/client-address.md). Probes always come
//! from the node's own address, so a member is told apart from the way back to it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
};

use plan::MemberPlan;
use rustix::{
    io::Errno,
    net::{SocketType, sockopt},
};
use socket2::{Domain, Socket, Type};

/// Whom a member is to see as the source of this client's work; none: the node.
#[inline]
pub(crate) fn of(client: SocketAddr, member: &MemberPlan, wanted: bool) -> Option<SocketAddr> {
    if !wanted || !member.transparent {
        return None;
    }
    let (client_ip, member_ip) = (client.ip(), member.address.ip());
    let carried = client_ip.is_ipv4() == member_ip.is_ipv4()
        && client_ip.is_loopback() == member_ip.is_loopback()
        && can_be_answered(client_ip);
    carried.then_some(client)
}

/// Whether packets from this address may be on the way between machines. A trusted peer may name any address as the client's.
fn can_be_answered(client: IpAddr) -> bool {
    match client {
        IpAddr::V4(ip) => !(ip.octets()[0] == 0 || ip.is_multicast() || ip.is_broadcast()),
        IpAddr::V6(ip) => !(ip.is_unspecified() || ip.is_unicast_link_local() || ip.is_multicast()),
    }
}

/// Begins a connection from the client's address to a member, from the client's port if that can be had: it cannot while it leads to
/// the same member in another connection, or lately did.
pub(crate) fn connect(client: SocketAddr, member: SocketAddr) -> io::Result<OwnedFd> {
    from_client(SocketType::STREAM, client, member)
}

/// As [`connect`], for the datagrams of a flow.
pub(crate) fn connect_datagrams(client: SocketAddr, member: SocketAddr) -> io::Result<OwnedFd> {
    from_client(SocketType::DGRAM, client, member)
}

fn from_client(kind: SocketType, client: SocketAddr, member: SocketAddr) -> io::Result<OwnedFd> {
    match begin(kind, client, member) {
        Err(Errno::ADDRINUSE | Errno::ADDRNOTAVAIL | Errno::ACCESS) => {
            Ok(begin(kind, SocketAddr::new(client.ip(), 0), member)?)
        }
        begun => Ok(begun?),
    }
}

/// Port 0: one that nobody has at that address.
fn begin(kind: SocketType, source: SocketAddr, member: SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = transparent(kind, source.is_ipv4())?;
    if kind == SocketType::STREAM && source.port() != 0 {
        // The client's port may lead to several members. For datagrams the system would not tell two flows to one member apart.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &source)?;
    match rustix::net::connect(&socket, &member) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// A socket that may be bound to addresses that are not this machine's.
fn transparent(kind: SocketType, v4: bool) -> Result<OwnedFd, Errno> {
    let made = || {
        let domain = if v4 { Domain::IPV4 } else { Domain::IPV6 };
        let kind = if kind == SocketType::STREAM { Type::STREAM } else { Type::DGRAM };
        let socket = Socket::new(domain, kind.nonblocking().cloexec(), None)?;
        match v4 {
            true => socket.set_ip_transparent_v4(true)?,
            false => socket.set_ip_transparent_v6(true)?,
        }
        Ok(OwnedFd::from(socket))
    };
    made().map_err(|error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Whether this process may do so at all.
///
/// # Errors
/// When it may not, with what it needs.
pub(crate) fn check() -> io::Result<()> {
    transparent(SocketType::STREAM, true).map(drop).map_err(|error| {
        let why = match error {
            Errno::PERM => {
                "permission denied; run with CAP_NET_ADMIN or CAP_NET_RAW, or switch it off".to_owned()
            }
            other => other.to_string(),
        };
        io::Error::new(
            error.kind(),
            format!("members cannot be shown the addresses of clients (transparent_client_address): {why}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, UdpSocket},
        thread,
    };

    use model::MemberId;
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    use telemetry::Attempt;
    use uuid::Uuid;

    use super::*;
    use crate::blame;

    #[test]
    fn a_process_that_may_not_do_so_is_itself_to_blame() {
        // Privileges are a thread's own.
        let unprivileged = thread::spawn(|| {
            let mut privileges = capabilities(None).unwrap();
            privileges.effective.remove(CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW);
            set_capabilities(None, privileges).unwrap();
            assert!(check().unwrap_err().to_string().contains("run with CAP_NET_ADMIN or CAP_NET_RAW"));
            let (client, member) = ("198.51.100.7:4711".parse().unwrap(), "127.0.0.1:9".parse().unwrap());
            for connect in [connect, connect_datagrams] {
                assert_eq!(blame::attempt(&connect(client, member).unwrap_err()), Attempt::NotMade);
            }
        });
        unprivileged.join().unwrap();
    }

    #[test]
    fn members_see_the_client_where_plan_and_node_want_it_and_the_network_carries_it() {
        for (why, client, member, in_plan, on_node, expect) in [
            ("wanted", "192.0.2.1:99", "10.0.0.1:80", true, true, true),
            ("wanted, IPv6", "[2001:db8::1]:99", "[fd00::1]:80", true, true, true),
            ("not on this node", "192.0.2.1:99", "10.0.0.1:80", true, false, false),
            ("not this member", "192.0.2.1:99", "10.0.0.1:80", false, true, false),
            ("families differ", "[2001:db8::1]:99", "10.0.0.1:80", true, true, false),
            ("families differ", "192.0.2.1:99", "[fd00::1]:80", true, true, false),
            ("the client is this machine", "127.0.0.1:99", "10.0.0.1:80", true, true, false),
            ("the member is this machine", "192.0.2.1:99", "127.0.0.1:80", true, true, false),
            ("both are", "127.0.0.9:99", "127.0.0.1:80", true, true, true),
            ("the client is nobody", "0.0.0.0:99", "10.0.0.1:80", true, true, false),
            ("the client is many", "224.0.0.1:99", "10.0.0.1:80", true, true, false),
            ("the client is many, IPv6", "[ff02::1]:99", "[fd00::1]:80", true, true, false),
            ("the client is everybody", "255.255.255.255:99", "10.0.0.1:80", true, true, false),
            ("the client's address holds on its link", "[fe80::1]:99", "[fd00::1]:80", true, true, false),
        ] {
            let client: SocketAddr = client.parse().unwrap();
            let member = MemberPlan::by_hand(MemberId::new(Uuid::nil()), member.parse().unwrap());
            let member = MemberPlan { transparent: in_plan, ..member };
            assert_eq!(of(client, &member, on_node), expect.then_some(client), "{why}");
        }
    }

    #[test]
    fn the_source_may_be_an_address_of_another_machine_and_its_port_is_used_once_towards_a_member() {
        for (client, here) in [("198.51.100.7:4711", "127.0.0.1:0"), ("[2001:db8::7]:4711", "[::1]:0")] {
            let client: SocketAddr = client.parse().unwrap();
            let (listening, datagrams) = (TcpListener::bind(here).unwrap(), UdpSocket::bind(here).unwrap());
            let member = [listening.local_addr().unwrap(), datagrams.local_addr().unwrap()];
            for (connect, member) in [(connect as fn(_, _) -> _, member[0]), (connect_datagrams, member[1])] {
                let sockets: [io::Result<OwnedFd>; 2] = [connect(client, member), connect(client, member)];
                let [first, second] = sockets.map(|socket| {
                    SocketAddr::try_from(rustix::net::getsockname(socket.unwrap()).unwrap()).unwrap()
                });
                assert_eq!(first, client);
                assert_eq!(second.ip(), client.ip());
                assert_ne!(second.port(), client.port());
            }
        }
    }
}
