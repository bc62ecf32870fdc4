//! What one process hands to the next in an upgrade, and what becomes of it there.
//!
//! A listening socket is handed over itself, not bound anew: a connection that waits in its queue would be reset with the last
//! descriptor of it. So every socket of the former process is accepted from, however many workers there are now: a worker may have
//! several sockets of one address, and one that would have none gets a new one.
//!
//! Sockets are named by transport and address, never by what they are for; so sockets of datagrams are handed over in the same way.

pub(crate) mod link;

use std::{collections::BTreeMap, fmt, net::SocketAddr, os::fd::OwnedFd, sync::Arc};

use model::{ListenerId, MemberId, TargetId, Transport, Verdict};

use crate::{
    bind::{CannotListen, bind, bind_datagrams},
    tls::{LentResumption, Resumption},
};

/// Verdicts of health by target and member.
pub type Verdicts = BTreeMap<(TargetId, MemberId), Verdict>;

/// What a process has from the one before it.
#[derive(Debug, Default)]
pub struct Inheritance {
    /// Listening sockets; a socket that no listener of the plan wants is closed by [`Dataplane::accept`](crate::Dataplane::accept).
    pub sockets: Vec<ListeningSocket>,
    /// The same of QUIC.
    pub quic: Vec<QuicSockets>,
    /// What clients resume their sessions of TLS by.
    pub resumptions: Vec<LentResumption>,
    /// What probes found. It holds until they find something else, as often in a row as the thresholds say.
    pub health: Verdicts,
}

/// A socket on which clients arrive.
#[derive(Debug)]
pub struct ListeningSocket {
    /// What is spoken on it.
    pub transport: Transport,
    /// The address that it is bound to.
    pub address: SocketAddr,
    /// The socket, non-blocking.
    pub descriptor: OwnedFd,
    /// For datagrams: the ways to processes that had the socket before, and may have flows on it; the last one first.
    pub links: Vec<OwnedFd>,
}

/// The sockets of an address of QUIC. They are handed over together, as the kernel counts them.
pub struct QuicSockets {
    /// The address that they are bound to.
    pub address: SocketAddr,
    /// The sockets by their places, non-blocking.
    pub descriptors: Vec<OwnedFd>,
    /// What seals the proofs of clients' addresses, and what tells clients that their connection is not known. Both last longer than
    /// a process.
    pub secrets: [[u8; 32]; 2],
    /// Processes that had the sockets before, and may have connections; the last one first.
    pub formers: Vec<QuicFormer>,
}

/// A process that has connections of QUIC on sockets that another reads.
pub struct QuicFormer {
    /// What marks the connection ids that it made.
    pub id_secret: [u8; 32],
    /// The ways to it, by the place that an id names.
    pub links: Vec<OwnedFd>,
}

impl fmt::Debug for QuicSockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicSockets").field("address", &self.address).finish_non_exhaustive()
    }
}

impl fmt::Debug for QuicFormer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicFormer").field("links", &self.links).finish_non_exhaustive()
    }
}

/// A socket for a worker; see [`ListeningSocket`].
pub(crate) struct Opened {
    pub(crate) socket: OwnedFd,
    pub(crate) links: Vec<OwnedFd>,
}

/// An inheritance, until nothing of it is wanted any more.
#[derive(Default)]
pub(crate) struct Heirlooms {
    sockets: BTreeMap<(Transport, SocketAddr), Vec<Opened>>,
    quic: BTreeMap<SocketAddr, QuicSockets>,
    resumptions: BTreeMap<ListenerId, LentResumption>,
    pub(crate) health: Arc<Verdicts>,
}

impl From<Inheritance> for Heirlooms {
    fn from(inheritance: Inheritance) -> Self {
        let mut sockets: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for ListeningSocket { transport, address, descriptor, links } in inheritance.sockets {
            sockets.entry((transport, address)).or_default().push(Opened { socket: descriptor, links });
        }
        let quic = inheritance.quic.into_iter().map(|sockets| (sockets.address, sockets)).collect();
        let resumptions = inheritance.resumptions.into_iter().map(|lent| (lent.listener, lent)).collect();
        Self { sockets, quic, resumptions, health: Arc::new(inheritance.health) }
    }
}

impl Heirlooms {
    /// The sockets of each of so many workers for an address, at least one each: inherited ones, else new ones.
    pub(crate) fn sockets(
        &mut self,
        transport: Transport,
        address: SocketAddr,
        workers: usize,
    ) -> Result<Vec<Vec<Opened>>, CannotListen> {
        let mut sockets: Vec<Vec<Opened>> = (0..workers).map(|_| Vec::new()).collect();
        let inherited = self.sockets.remove(&(transport, address)).unwrap_or_default();
        let inherits = !inherited.is_empty();
        for (at, socket) in inherited.into_iter().enumerate() {
            sockets[at % workers].push(socket);
        }
        for without in sockets.iter_mut().filter(|sockets| sockets.is_empty()) {
            let bound = match transport {
                Transport::Tcp => bind(address).map(OwnedFd::from),
                Transport::Udp => bind_datagrams(address).map(OwnedFd::from),
            };
            match bound {
                Ok(socket) => without.push(Opened { socket, links: Vec::new() }),
                Err(error) if inherits => {
                    tracing::warn!(%error, "a worker has no share in a listener; the others serve it");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(sockets)
    }

    /// The inherited sockets of an address of QUIC.
    pub(crate) fn quic(&mut self, address: SocketAddr) -> Option<QuicSockets> {
        self.quic.remove(&address)
    }

    /// What clients of a listener resume their sessions by.
    pub(crate) fn resumption(&mut self, listener: ListenerId) -> Option<Resumption> {
        Resumption::inherit(&self.resumptions.remove(&listener)?)
    }

    /// The addresses of sockets that nobody asked for.
    pub(crate) fn unclaimed(&self) -> impl Iterator<Item = &SocketAddr> {
        self.sockets.keys().map(|(_, address)| address).chain(self.quic.keys())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_inherited_socket_gets_a_worker_and_every_worker_a_socket() {
        for (why, inherited, workers, expect) in [
            ("nothing is inherited", 0, 2, &[1, 1][..]),
            ("as many", 2, 2, &[1, 1][..]),
            ("more workers than before", 1, 3, &[1, 1, 1][..]),
            ("fewer workers than before", 3, 2, &[2, 1][..]),
        ] {
            let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = first.local_addr().unwrap();
            let others = (1..inherited).map(|_| bind(address).unwrap());
            let all = std::iter::once(first).chain(others).take(inherited);
            let handed = |socket: std::net::TcpListener| ListeningSocket {
                transport: Transport::Tcp,
                address,
                descriptor: socket.into(),
                links: Vec::new(),
            };
            let sockets = all.map(handed).collect();
            let mut heirlooms = Heirlooms::from(Inheritance { sockets, ..Inheritance::default() });
            // A socket of datagrams on the same address is another socket.
            let datagrams = heirlooms.sockets(Transport::Udp, address, workers).unwrap();
            assert!(datagrams.iter().all(|sockets| sockets.len() == 1), "{why}");
            let shares = heirlooms.sockets(Transport::Tcp, address, workers).unwrap();
            let shares: Vec<_> = shares.iter().map(Vec::len).collect();
            assert_eq!(shares, expect, "{why}");
            assert_eq!(heirlooms.unclaimed().count(), 0, "{why}");
        }
    }
}
