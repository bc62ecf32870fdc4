//! What a worker is told.

use std::{io, net::SocketAddr, sync::Arc};

use model::ListenerId;
use plan::ListenerPlan;
use tokio::sync::oneshot;

use crate::{
    handover::{ListeningSocket, Opened},
    http3,
    limits::Bounds,
    target::SharedTarget,
    tls::Terms,
};

/// Changes to be carried out together.
pub(crate) struct Order {
    pub(crate) changes: Vec<Change>,
    /// Told when it is done.
    pub(crate) done: oneshot::Sender<()>,
}

/// One change.
pub(crate) enum Change {
    /// A listener is new or has another plan.
    Listener {
        plan: Arc<ListenerPlan>,
        /// The targets that the plan names, each once.
        targets: Vec<Arc<SharedTarget>>,
        /// What bounds its work.
        bounds: Bounds,
        /// The terms of its TLS, if it has TLS whose terms can be carried out.
        tls: Option<Arc<Terms>>,
        /// Sockets to accept from, in addition to those that stay.
        opened: Vec<(SocketAddr, Opened)>,
        /// The same of QUIC.
        opened_quic: Vec<Arc<http3::Sockets>>,
        /// Addresses to stop accepting from.
        closed: Vec<SocketAddr>,
    },
    /// A listener is gone.
    Removed(ListenerId),
    /// New connections are left in the kernel's queues from now on, or taken again.
    Hold(bool),
    /// Asks for other descriptors of all listening sockets.
    Lend(oneshot::Sender<io::Result<Lent>>),
    /// No new work. Answered when the last connection has ended.
    Drain(Farewell),
}

/// Other descriptors of a worker's listening sockets.
#[derive(Default)]
pub(crate) struct Lent {
    pub(crate) sockets: Vec<ListeningSocket>,
    pub(crate) quic: Vec<http3::LentSocket>,
}

/// What becomes of listening sockets when a worker drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Connections that the kernel has already made are taken, then nobody gets in any more.
    Close,
    /// They were lent to another process, which accepts from them.
    Leave,
}
