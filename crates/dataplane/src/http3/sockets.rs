//! The sockets of an address: one for each worker, in one group of the kernel's.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Once,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
};

use aws_lc_rs::{hkdf, hmac, rand};
use quinn::{
    ConnectionId, ConnectionIdGenerator,
    crypto::{HandshakeTokenKey, HmacKey},
};
use uuid::Uuid;

use crate::{
    bind::{CannotListen, bind_datagrams},
    sys::reuseport::place_by_connection_id,
};

/// The sockets of one address. They stay open together as long as a worker needs one, because the kernel counts their places: a gap
/// would move packets to another worker.
pub(crate) struct Sockets {
    pub(crate) address: SocketAddr,
    /// Seals what clients show to prove where they are.
    pub(super) token_key: Arc<dyn HandshakeTokenKey>,
    /// Makes what tells a client that its connection is not known here (RFC 9000 section 10.3).
    pub(super) reset_key: Arc<dyn HmacKey>,
    of_workers: Vec<UdpSocket>,
}

impl Sockets {
    /// Binds a socket for each worker.
    pub(crate) fn bind(address: SocketAddr, workers: usize) -> Result<Arc<Self>, CannotListen> {
        let of_workers = (0..workers).map(|_| bind_datagrams(address)).collect::<Result<Vec<_>, _>>()?;
        if let Some(first) = of_workers.first()
            && let Err(error) = place_by_connection_id(first, workers as u32)
        {
            static TOLD: Once = Once::new();
            TOLD.call_once(|| {
                tracing::warn!(%error, "QUIC packets cannot be placed by connection id; clients whose address changes connect anew");
            });
        }
        let keys = Keys::draw().map_err(|error| CannotListen::new(address, &error))?;
        Ok(Arc::new(Self {
            address,
            token_key: Arc::new(keys.token),
            reset_key: Arc::new(keys.reset),
            of_workers,
        }))
    }

    /// The socket of a worker.
    pub(crate) fn of_worker(&self, index: usize) -> io::Result<UdpSocket> {
        self.of_workers.get(index).ok_or(io::ErrorKind::NotFound)?.try_clone()
    }
}

struct Keys {
    token: hkdf::Prk,
    reset: hmac::Key,
}

impl Keys {
    fn draw() -> io::Result<Self> {
        let mut secrets = [[0; 64]; 2];
        for secret in &mut secrets {
            rand::fill(secret).map_err(|_| io::Error::other("the system gives no random numbers"))?;
        }
        Ok(Self {
            token: hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&secrets[0]),
            reset: hmac::Key::new(hmac::HMAC_SHA256, &secrets[1]),
        })
    }
}

/// Makes connection ids that bring their packets to one worker. Beyond that they tell nothing: all is random.
pub(super) struct WorkerIds {
    /// The place of the worker's socket among all.
    pub(super) place: Arc<AtomicU16>,
    /// How many sockets there are.
    pub(super) sockets: u16,
}

/// The place of the socket to which an id brings its packets: as [`place_by_connection_id`] has it.
pub(super) fn place_of(id: &[u8], sockets: u16) -> u16 {
    id.first_chunk().map_or(0, |begin| u16::from_be_bytes(*begin)) % sockets.max(1)
}

/// As many as make guessing one hopeless (RFC 9000 section 21.5 leaves the number open).
const ID_BYTES: usize = 8;

impl ConnectionIdGenerator for WorkerIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let random = *Uuid::new_v4().as_bytes();
        // The bytes behind these say that it is a UUID of version 4.
        let mut id = [0; ID_BYTES];
        id[..6].copy_from_slice(&random[..6]);
        id[6..].copy_from_slice(&random[10..12]);
        let sockets = self.sockets.max(1);
        let drawn = u16::from_be_bytes([id[0], id[1]]);
        // The highest multiple that leaves no room for every place is not used.
        let turn = (drawn / sockets).min(u16::MAX / sockets - 1);
        id[..2].copy_from_slice(&(turn * sockets + self.place.load(Relaxed) % sockets).to_be_bytes());
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_name_their_worker_and_are_all_different() {
        for sockets in [1_u16, 2, 3, 7, 64, 300] {
            for place in [0, sockets / 2, sockets - 1] {
                let mut ids = WorkerIds { place: Arc::new(AtomicU16::new(place)), sockets };
                let made: Vec<ConnectionId> = (0..100).map(|_| ids.generate_cid()).collect();
                for id in &made {
                    assert_eq!(id.len(), ids.cid_len());
                    assert_eq!(place_of(id, sockets), place);
                }
                let different: std::collections::HashSet<&[u8]> = made.iter().map(|id| &**id).collect();
                assert_eq!(different.len(), made.len());
            }
        }
    }
}
