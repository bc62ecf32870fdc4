//! Who counts what: all counter blocks, by owner.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use model::{CertificateId, ListenerId, MemberId, TargetId};

use crate::{CertificateCounters, ListenerCounters, MemberCounters};

/// All counter blocks of this process. A clone is another handle on the same.
///
/// How to drive it: the data plane asks for a block per (owner, worker) when an owner appears, and counts into it; asking again
/// gives the same block, so a series goes on over changes of its owner. When the owner is gone, the data plane says so and its
/// series end; blocks that a worker still holds are counted into to no effect.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Mutex<Blocks>>);

/// A member in a target: health and counters are kept per pair.
pub(crate) type MemberKey = (TargetId, MemberId);

#[derive(Debug, Default)]
struct Blocks {
    listeners: BTreeMap<ListenerId, Vec<Option<Arc<ListenerCounters>>>>,
    members: BTreeMap<MemberKey, Vec<Option<Arc<MemberCounters>>>>,
    certificates: BTreeMap<CertificateId, Arc<CertificateCounters>>,
}

impl Registry {
    /// The block of a listener in a worker, made when it is new.
    pub fn listener(&self, listener: ListenerId, worker: usize) -> Arc<ListenerCounters> {
        block(self.blocks().listeners.entry(listener).or_default(), worker)
    }

    /// The block of a member of a target in a worker, made when it is new.
    pub fn member(&self, target: TargetId, member: MemberId, worker: usize) -> Arc<MemberCounters> {
        block(self.blocks().members.entry((target, member)).or_default(), worker)
    }

    /// The block of a certificate, made when it is new.
    pub fn certificate(&self, certificate: CertificateId) -> Arc<CertificateCounters> {
        self.blocks().certificates.entry(certificate).or_default().clone()
    }

    /// Ends the series of a listener; those of its members are ended one by one.
    pub fn listener_gone(&self, listener: ListenerId) {
        self.blocks().listeners.remove(&listener);
    }

    /// Ends the series of a member of a target.
    pub fn member_gone(&self, target: TargetId, member: MemberId) {
        self.blocks().members.remove(&(target, member));
    }

    /// Ends the series of a certificate.
    pub fn certificate_gone(&self, certificate: CertificateId) {
        self.blocks().certificates.remove(&certificate);
    }

    /// Every certificate with its block, in order of id.
    pub(crate) fn certificates(&self) -> Vec<(CertificateId, Arc<CertificateCounters>)> {
        self.blocks().certificates.iter().map(|(id, of)| (*id, of.clone())).collect()
    }

    /// Every listener with its blocks, in order of id.
    pub(crate) fn listeners(&self) -> Vec<(ListenerId, Vec<Arc<ListenerCounters>>)> {
        let blocks = self.blocks();
        blocks.listeners.iter().map(|(id, of)| (*id, of.iter().flatten().cloned().collect())).collect()
    }

    /// Every member with its blocks, in order of target and id.
    pub(crate) fn members(&self) -> Vec<(MemberKey, Vec<Arc<MemberCounters>>)> {
        let blocks = self.blocks();
        blocks.members.iter().map(|(id, of)| (*id, of.iter().flatten().cloned().collect())).collect()
    }

    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        // A panic while the lock is held leaves maps that are whole: each change is one insertion or removal.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn block<T: Default>(of: &mut Vec<Option<Arc<T>>>, worker: usize) -> Arc<T> {
    if of.len() <= worker {
        of.resize_with(worker + 1, || None);
    }
    of[worker].get_or_insert_with(Arc::default).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_goes_on_when_its_owner_changes_and_ends_when_it_is_gone() {
        let registry = Registry::default();
        let id = ListenerId::new(uuid(1));
        registry.listener(id, 1).connections.inc();
        registry.listener(id, 0).connections.inc();
        registry.listener(id, 1).connections.inc();
        let total = || {
            registry
                .listeners()
                .iter()
                .map(|(_, of)| of.iter().map(|c| c.connections.value()).sum())
                .collect()
        };
        let one: Vec<u64> = total();
        assert_eq!(one, [3]);
        registry.listener_gone(id);
        let none: Vec<u64> = total();
        assert!(none.is_empty());
    }

    fn uuid(n: u128) -> uuid::Uuid {
        uuid::Uuid::from_u128(n)
    }
}
