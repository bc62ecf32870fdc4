//! What is in force: the plan, and what was bound and made for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Weak},
};

use model::{ListenerId, PolicyId, TargetId};
use plan::{ListenerPlan, Plan};

use super::agreed_tls::AgreedTls;
use crate::{
    bind::{CannotListen, check_unshared},
    handover::Heirlooms,
    http3,
    limits::{AllCaps, PolicyLimit},
    target::SharedTarget,
    tls::LentResumption,
};

/// Sessions that count once are handed over up to this many bytes: some 40,000. Whoever has another makes a whole handshake.
const SESSIONS_LENT_BYTES_MAX: usize = 16 << 20;

/// What is in force.
#[derive(Default)]
pub(super) struct State {
    pub(super) plan: Option<Arc<Plan>>,
    pub(super) listeners: BTreeMap<ListenerId, InForce>,
    pub(super) heirlooms: Heirlooms,
    pub(super) caps: AllCaps,
    /// Sockets of QUIC, also those that serve the last clients of a listener that is gone.
    pub(super) quic: BTreeMap<SocketAddr, Weak<http3::Sockets>>,
    /// Whether there was a process before this one. It may have sockets of QUIC that were not handed over, for the last clients of a
    /// listener that was gone by then; they share no address with ours, because the kernel would place packets in either.
    pub(super) took_over: bool,
    /// Where QUIC was served since: nobody before us is there.
    pub(super) quic_ours: BTreeSet<SocketAddr>,
    /// Whether the sockets were lent to a process that takes over: none is bound beside them.
    pub(super) lent: bool,
    pub(super) draining: bool,
}

pub(super) struct InForce {
    pub(super) bound: BTreeSet<SocketAddr>,
    pub(super) targets: Targets,
    pub(super) limiters: Limiters,
    pub(super) tls: AgreedTls,
    /// What the plan says by itself that it cannot do.
    pub(super) plan_fault: Option<String>,
    /// Why an address is not listened on; that may heal by itself.
    pub(super) bind_fault: Option<String>,
}

impl InForce {
    pub(super) fn fault(&self) -> Option<&String> {
        self.plan_fault.as_ref().or(self.tls.fault()).or(self.bind_fault.as_ref())
    }
}

/// The targets of a listener: of its default pool and of the pools that its policies name.
pub(super) type Targets = BTreeMap<TargetId, Arc<SharedTarget>>;

/// The limiters of a listener's policies that have limits. A limiter lives as long as its limit stays the same, so that a change of
/// something else gives nobody anew what they used.
pub(super) type Limiters = BTreeMap<PolicyId, Arc<PolicyLimit>>;

impl State {
    /// The sockets of an address of QUIC: those that are there, or new ones.
    pub(super) fn quic_sockets(
        &mut self,
        address: SocketAddr,
        workers: usize,
    ) -> Result<Arc<http3::Sockets>, CannotListen> {
        if let Some(sockets) = self.quic.get(&address).and_then(Weak::upgrade) {
            return Ok(sockets);
        }
        let sockets = match self.heirlooms.quic(address) {
            Some(lent) => http3::Sockets::inherit(lent, workers)?,
            None => {
                if self.took_over && !self.quic_ours.contains(&address) {
                    check_unshared(address)?;
                }
                http3::Sockets::bind(address, workers)?
            }
        };
        if self.took_over {
            self.quic_ours.insert(address);
        }
        self.quic.retain(|_, known| known.strong_count() > 0);
        self.quic.insert(address, Arc::downgrade(&sockets));
        Ok(sockets)
    }

    /// Has the kernel use all sockets of QUIC, now that they are ours.
    pub(super) fn place_quic(&self) {
        self.quic.values().filter_map(Weak::upgrade).for_each(|sockets| sockets.place());
    }

    /// What clients resume their sessions by, for a process that takes over.
    pub(super) fn lend_resumptions(&self) -> Vec<LentResumption> {
        let mut room = SESSIONS_LENT_BYTES_MAX;
        let terms =
            self.listeners.iter().filter_map(|(id, listener)| Some((id, listener.tls.terms.as_ref()?)));
        terms.map(|(id, terms)| terms.resumption.lend(*id, &mut room)).collect()
    }

    /// The plans of the listeners that wait for an address.
    pub(super) fn failed(&self) -> Vec<Arc<ListenerPlan>> {
        let Some(plan) = &self.plan else { return Vec::new() };
        let failed = self.listeners.iter().filter(|(_, listener)| listener.bind_fault.is_some());
        failed.filter_map(|(id, _)| plan.listeners.get(id).cloned()).collect()
    }

    pub(super) fn faults(&self) -> Vec<(ListenerId, String)> {
        let fault = |(id, listener): (&ListenerId, &InForce)| Some((*id, listener.fault()?.clone()));
        self.listeners.iter().filter_map(fault).collect()
    }
}
