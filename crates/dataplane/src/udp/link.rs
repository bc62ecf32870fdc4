//! The way of datagrams between two processes of which one took over the sockets from the other.
//!
//! The one that took over reads all that clients send. A datagram of a flow that it does not know goes over the link to the former
//! process. That sends it on, if the flow is its own; if not, the datagram comes back the same way and begins a flow. So flows go on where
//! they began until they end, and with them, or the former process, the link.
//!
//! A message is a datagram with its client's address behind it. An end of the link shows as a message of no bytes.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    os::fd::AsFd,
};

use rustix::net::SendAncillaryBuffer;

pub(super) use crate::handover::link::pair;
use crate::{
    handover::link::{ADDRESS_BYTES, FLAGS, address_bytes, address_of},
    sys::datagrams::Batch,
};

/// Sends a datagram of this client over a link. `WouldBlock`: it is full; otherwise a failure is its end.
pub(super) fn send(link: impl AsFd, datagram: &[u8], client: SocketAddr) -> io::Result<()> {
    let trailer = address_bytes(client);
    let pieces = [IoSlice::new(datagram), IoSlice::new(&trailer)];
    rustix::net::sendmsg(link, &pieces, &mut SendAncillaryBuffer::default(), FLAGS)?;
    Ok(())
}

/// Sends a message back that came over a link.
pub(super) fn send_back(link: impl AsFd, message: &[u8]) -> io::Result<()> {
    rustix::net::send(link, message, FLAGS)?;
    Ok(())
}

/// The length of the datagram in a message, and its client.
pub(super) fn open(message: &[u8]) -> Option<(usize, SocketAddr)> {
    let (datagram, trailer) = message.split_last_chunk::<ADDRESS_BYTES>()?;
    Some((datagram.len(), address_of(trailer)?))
}

/// As [`open`], for the message in a place of a batch, which then holds the datagram alone.
pub(super) fn take(batch: &mut Batch, place: usize) -> Option<SocketAddr> {
    let (length, client) = open(batch.datagram(place))?;
    batch.cut(place, length);
    Some(client)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, SocketAddrV6};

    use super::*;

    #[test]
    fn datagrams_cross_with_their_clients_and_an_end_shows() {
        let (here, there) = pair().unwrap();
        let mut batch = Batch::new();
        let scoped = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 9, 7, 3).into();
        let longest = vec![7; 65_507];
        for client in ["127.0.0.1:53".parse().unwrap(), "[2001:db8::1]:443".parse().unwrap(), scoped] {
            for datagram in [&b"said"[..], b"", &longest] {
                send(&here, datagram, client).unwrap();
                assert_eq!(batch.receive(&there, 0).unwrap(), 1);
                send_back(&there, batch.datagram(0)).unwrap();
                assert_eq!(batch.receive(&here, 1).unwrap(), 1);
                assert_eq!(take(&mut batch, 1), Some(client));
                assert_eq!(batch.datagram(1), datagram);
            }
        }
        drop(there);
        assert!(batch.receive(&here, 0).unwrap() > 0 && batch.datagram(0).is_empty());
        assert!(send(&here, b"x", scoped).is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock));
        assert_eq!(open(b"too short"), None);
    }
}
