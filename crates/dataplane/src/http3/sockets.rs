//! The sockets of an address: one for each worker, in one group of the kernel's. In an upgrade they change hands, all together.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use aws_lc_rs::{hkdf, hmac};
use quinn::crypto::{HandshakeTokenKey, HmacKey};

use super::{
    former::Former,
    ids::{IdKey, Secret, draw_secret},
};
use crate::{
    bind::{CannotListen, bind_datagrams},
    handover::{QuicFormer, QuicSockets},
    sys::reuseport::place_by_connection_id,
};

/// The sockets of one address. They stay open together as long as a worker needs one, because the kernel counts their places: a gap
/// would move packets to another worker.
pub(crate) struct Sockets {
    pub(crate) address: SocketAddr,
    /// Marks the ids of this process' connections.
    pub(super) id_key: Arc<IdKey>,
    keys: Keys,
    /// By place.
    descriptors: Vec<UdpSocket>,
    /// Whether the kernel has yet to be told how many they are.
    to_be_placed: AtomicBool,
    /// Whether they were another process' before. Then their places are what that said.
    pub(super) inherited: bool,
    /// Those who had the sockets before, the last first.
    formers: Mutex<Vec<Arc<Former>>>,
}

/// A socket that was lent: its place as its worker knows it, and the link to there.
pub(crate) struct LentSocket {
    pub(crate) sockets: Arc<Sockets>,
    pub(super) index: usize,
    pub(super) place: u16,
    pub(super) link: OwnedFd,
}

impl Sockets {
    /// Binds a socket for each worker.
    pub(crate) fn bind(address: SocketAddr, workers: usize) -> Result<Arc<Self>, CannotListen> {
        let descriptors = (0..workers).map(|_| bind_datagrams(address)).collect::<Result<Vec<_>, _>>()?;
        let drawn = Keys::draw().and_then(|keys| Ok((keys, IdKey::new(draw_secret()?))));
        let (keys, id_key) = drawn.map_err(|error| CannotListen::new(address, &error))?;
        let sockets = Self {
            address,
            id_key: Arc::new(id_key),
            keys,
            descriptors,
            to_be_placed: AtomicBool::new(true),
            inherited: false,
            formers: Mutex::default(),
        };
        sockets.place();
        Ok(Arc::new(sockets))
    }

    /// Takes another process' sockets over; with more workers than it had, some join.
    pub(crate) fn inherit(lent: QuicSockets, workers: usize) -> Result<Arc<Self>, CannotListen> {
        let QuicSockets { address, descriptors, secrets, formers } = lent;
        let drawn = draw_secret().map_err(|error| CannotListen::new(address, &error))?;
        let mut descriptors: Vec<UdpSocket> = descriptors.into_iter().map(UdpSocket::from).collect();
        let before = descriptors.len();
        while descriptors.len() < workers {
            match bind_datagrams(address) {
                Ok(socket) => descriptors.push(socket),
                Err(error) => {
                    tracing::warn!(%error, "a worker has no share in a listener; the others serve it");
                    break;
                }
            }
        }
        Ok(Arc::new(Self {
            address,
            id_key: Arc::new(IdKey::new(drawn)),
            keys: Keys::new(secrets),
            to_be_placed: AtomicBool::new(descriptors.len() > before),
            descriptors,
            inherited: true,
            formers: Mutex::new(formers.into_iter().map(|former| Arc::new(former.into())).collect()),
        }))
    }

    /// Has the kernel place packets in all of the sockets. Those that joined inherited ones get nothing before.
    pub(crate) fn place(&self) {
        if let Some(first) = self.descriptors.first()
            && self.to_be_placed.swap(false, Relaxed)
            && let Err(error) = place_by_connection_id(first, self.descriptors.len() as u32)
        {
            static TOLD: Once = Once::new();
            TOLD.call_once(|| {
                tracing::warn!(%error, "QUIC packets cannot be placed by connection id; clients whose address changes connect anew");
            });
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.descriptors.len()
    }

    /// A descriptor of its own for the socket in a place.
    pub(super) fn get(&self, index: usize) -> io::Result<UdpSocket> {
        self.descriptors.get(index).ok_or(io::ErrorKind::NotFound)?.try_clone()
    }

    /// Seals what clients show to prove where they are.
    pub(super) fn token_key(&self) -> Arc<dyn HandshakeTokenKey> {
        self.keys.token.clone()
    }

    /// Makes what tells a client that its connection is not known here (RFC 9000 section 10.3).
    pub(super) fn reset_key(&self) -> Arc<dyn HmacKey> {
        self.keys.reset.clone()
    }

    /// Those who had the sockets before and have connections.
    pub(super) fn formers(&self) -> MutexGuard<'_, Vec<Arc<Former>>> {
        let mut formers = self.formers.lock().unwrap_or_else(PoisonError::into_inner);
        formers.retain(|former| !former.is_over());
        formers
    }

    /// What a process gets that takes over, of the sockets that its workers lend.
    pub(crate) fn lend(&self, mut lent: Vec<LentSocket>) -> io::Result<QuicSockets> {
        // As the kernel counts them, if all is known of that.
        lent.sort_by_key(|socket| (socket.place, socket.index));
        let descriptors = lent.iter().map(|socket| Ok(self.get(socket.index)?.into()));
        let descriptors = descriptors.collect::<io::Result<_>>()?;
        let links = lent.into_iter().map(|socket| socket.link).collect();
        let mut formers = vec![QuicFormer { id_secret: self.id_key.secret(), links }];
        for former in self.formers().iter() {
            formers.push(former.lend()?);
        }
        Ok(QuicSockets { address: self.address, descriptors, secrets: self.keys.secrets, formers })
    }
}

/// What clients keep of an address beyond one process.
struct Keys {
    secrets: [Secret; 2],
    token: Arc<hkdf::Prk>,
    reset: Arc<hmac::Key>,
}

impl Keys {
    fn draw() -> io::Result<Self> {
        Ok(Self::new([draw_secret()?, draw_secret()?]))
    }

    fn new(secrets: [Secret; 2]) -> Self {
        Self {
            token: Arc::new(hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&secrets[0])),
            reset: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &secrets[1])),
            secrets,
        }
    }
}
