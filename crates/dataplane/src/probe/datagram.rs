//! The probe of a member that speaks UDP (behaviour/features.md section 8): an echo by ICMP that has to come back, then a datagram
//! that must not be answered by "port unreachable". Silence is healthy: a service may say nothing to what it does not know.
//!
//! The echo needs a right that not every process has: a group of `net.ipv4.ping_group_range`, or CAP_NET_RAW. Without, the
//! datagram alone decides (open-questions.md row 56).

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd,
    time::Duration,
};

use model::{ProbeFailure, ProbeFailureCode, health_monitor::DatagramProbe};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout_at},
};

use super::once::{Outcome, failure};
use crate::blame;

/// Probes until `deadline`, which is `limit` from now. Where an answer is expected, it alone decides.
pub(super) async fn probe(
    address: SocketAddr,
    expected: Option<&DatagramProbe>,
    deadline: Instant,
    limit: Duration,
) -> Outcome {
    if let Some(expected) = expected {
        return outcome(address, expect(address, expected, deadline, limit).await);
    }
    match echo(address.ip(), deadline).await {
        Ok(true) => {}
        Ok(false) => {
            let detail = format!("{} sent no ICMP echo back within {} s", address.ip(), limit.as_secs());
            return Outcome::Failed(failure(ProbeFailureCode::RecvResponseTimeout, detail));
        }
        Err(error) if blame::is_lack(&error) => return Outcome::NotMade(error),
        Err(error) => {
            tracing::debug!(%address, %error, "no ICMP echo can be sent; a datagram decides");
        }
    }
    outcome(address, ask(address, deadline).await.map(Ok))
}

fn outcome(address: SocketAddr, asked: io::Result<Result<(), ProbeFailure>>) -> Outcome {
    match asked {
        Ok(told) => told.into(),
        Err(error) if blame::is_lack(&error) => Outcome::NotMade(error),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Outcome::Failed(failure(
            ProbeFailureCode::ConnectRefused,
            format!("{address} answered a datagram with \"port unreachable\""),
        )),
        Err(error) => Outcome::Failed(failure(
            ProbeFailureCode::SendRequestFailed,
            format!("no datagram could be sent to {address}: {error}"),
        )),
    }
}

/// Sends a datagram and waits for the answer that it should have.
async fn expect(
    address: SocketAddr,
    probe: &DatagramProbe,
    deadline: Instant,
    limit: Duration,
) -> io::Result<Result<(), ProbeFailure>> {
    let socket = towards(address).await?;
    socket.send(probe.send.as_str().as_bytes()).await?;
    let expected = probe.expect.as_str();
    let mut answer = [0; 512];
    let Ok(received) = timeout_at(deadline, socket.recv(&mut answer)).await else {
        let detail = format!("no answer from {address} within {} s", limit.as_secs());
        return Ok(Err(failure(ProbeFailureCode::RecvResponseTimeout, detail)));
    };
    let answer = &answer[..received?];
    if answer.starts_with(expected.as_bytes()) {
        return Ok(Ok(()));
    }
    let got = String::from_utf8_lossy(answer).into_owned();
    let detail = format!("the answer of {address} does not begin with '{expected}'");
    let code = ProbeFailureCode::ResponseMismatch;
    Ok(Err(ProbeFailure { code, expected: expected.to_owned(), got, detail }))
}

/// Sends a datagram; an error when it is refused. Silence until the deadline, or any answer, is fine.
async fn ask(address: SocketAddr, deadline: Instant) -> io::Result<()> {
    let socket = towards(address).await?;
    socket.send(&[]).await?;
    match timeout_at(deadline, socket.recv(&mut [0; 64])).await {
        Ok(answer) => answer.map(|_| ()),
        Err(_) => Ok(()),
    }
}

async fn towards(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// Whether an echo came back before the deadline.
///
/// # Errors
/// When none may be sent.
async fn echo(address: IpAddr, deadline: Instant) -> io::Result<bool> {
    let (socket, raw) = echo_socket(address)?;
    // Of all programs' echoes with this address, ours are told apart by it.
    let id = (socket.as_raw_fd() as u16).to_be_bytes();
    let request = request(address, id);
    socket.send(&request).await?;
    let mut answer = [0; 256];
    loop {
        let Ok(received) = timeout_at(deadline, socket.recv(&mut answer)).await else { return Ok(false) };
        match received {
            Ok(bytes) if is_reply(address, raw, id, &answer[..bytes]) => return Ok(true),
            Ok(_) => {}
            // What the network says of the address.
            Err(error) if !blame::is_lack(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// A socket for echoes with one address, and whether it is raw: then the kernel fills nothing in.
fn echo_socket(address: IpAddr) -> io::Result<(UdpSocket, bool)> {
    let (domain, protocol) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let open = |kind: Type| Socket::new(domain, kind.nonblocking().cloexec(), Some(protocol));
    let (socket, raw) = match open(Type::DGRAM) {
        Ok(socket) => (socket, false),
        Err(error) if may_not(&error) => (open(Type::RAW)?, true),
        Err(error) => return Err(error),
    };
    socket.connect(&SocketAddr::new(address, 0).into())?;
    Ok((UdpSocket::from_std(socket.into())?, raw))
}

fn may_not(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw_os_error), Some(Errno::ACCESS | Errno::PERM))
}

/// An echo request (RFC 792, RFC 4443 section 4.1). The kernel replaces the id of a socket that is not raw, and computes the checksum
/// but that of a raw socket of IPv4.
fn request(address: IpAddr, id: [u8; 2]) -> [u8; 16] {
    let kind = if address.is_ipv4() { 8 } else { 128 };
    let mut message = [kind, 0, 0, 0, id[0], id[1], 0, 1, b'f', b'u', b'l', b'c', b'r', b'u', b'm', 0];
    if address.is_ipv4() {
        let sum: u32 =
            message.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        let folded = (folded & 0xffff) + (folded >> 16);
        [message[2], message[3]] = (!(folded as u16)).to_be_bytes();
    }
    message
}

/// Whether this is the reply to our request. A raw socket sees other programs' replies, too, and on IPv4 the header before them.
fn is_reply(address: IpAddr, raw: bool, id: [u8; 2], packet: &[u8]) -> bool {
    let message = match (address, raw) {
        (IpAddr::V4(_), true) => {
            let Some(first) = packet.first() else { return false };
            packet.get(usize::from(first & 0x0f) * 4..).unwrap_or_default()
        }
        _ => packet,
    };
    let kind = if address.is_ipv4() { 0 } else { 129 };
    message.len() >= 8 && message[0] == kind && (!raw || message[4..6] == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_ipv4_has_a_sum_that_checks_out() {
        let message = request(IpAddr::from([192, 0, 2, 1]), [0xab, 0xcd]);
        let sum: u32 =
            message.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }

    #[test]
    fn only_our_own_reply_counts() {
        let (v4, v6) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([0_u16; 8]));
        let reply = [0, 0, 1, 2, 7, 8, 0, 1];
        let mut with_header = [0_u8; 28];
        with_header[0] = 0x45;
        with_header[20..].copy_from_slice(&reply);
        for (why, address, raw, packet, expect) in [
            ("the reply", v4, false, &reply[..], true),
            ("behind its header", v4, true, &with_header, true),
            (
                "of another program",
                v4,
                true,
                &{
                    let mut other = with_header;
                    other[24] = 9;
                    other
                },
                false,
            ),
            ("a request that we see ourselves", v4, false, &[8, 0, 1, 2, 7, 8, 0, 1], false),
            ("cut short", v4, false, &reply[..6], false),
            ("nothing", v4, true, &[], false),
            ("of IPv6", v6, true, &[129, 0, 1, 2, 7, 8, 0, 1], true),
        ] {
            assert_eq!(is_reply(address, raw, [7, 8], packet), expect, "{why}");
        }
    }
}
