//! The targets of a worker, as long as a listener names them.

use std::{rc::Rc, sync::Arc};

use model::ListenerId;

use super::Worker;
use crate::{
    clock,
    drain::Here,
    target::{SharedTarget, Target},
};

impl Worker {
    /// The target as this worker runs it, taking over what its former self had.
    pub(super) fn set_target(self: &Rc<Self>, shared: Arc<SharedTarget>) -> Rc<Target> {
        let mut targets = self.targets.borrow_mut();
        let former = targets.get(&shared.plan.id);
        if let Some(same) = former.filter(|former| Arc::ptr_eq(&former.shared, &shared)) {
            return same.clone();
        }
        let target = Target::new(self, shared, former.map(Rc::as_ref));
        if let Some(former) = former {
            target.drain_since(former, self.here(target.id().listener));
        }
        targets.insert(target.id(), target.clone());
        let mut followed = self.followed.borrow_mut();
        followed.retain(|other| other.id() != target.id());
        if target.shared.is_to_be_followed() {
            followed.push(target.clone());
        }
        target
    }

    /// Where and when something of a listener drains.
    pub(super) fn here(&self, listener: ListenerId) -> Here<'_> {
        let group = self.slots.borrow().get(&listener).map_or(0, |listening| listening.slot.group());
        Here { drains: &self.drains, group, now_ms: clock::now_ms() }
    }

    /// Forgets a target that nothing names any more; exchanges under way keep it to their end.
    pub(super) fn drop_target(&self, target: &Target, here: Here<'_>) {
        target.drain_all(here);
        self.targets.borrow_mut().remove(&target.id());
        self.followed.borrow_mut().retain(|other| other.id() != target.id());
        target.close_idle();
    }

    /// Takes in what changes by itself.
    pub(super) fn follow(&self) {
        self.drains.handle_tick(clock::now_ms);
        for target in self.followed.borrow().iter() {
            target.follow(self.here(target.id().listener));
        }
    }

    /// Closes connections to members that are not needed; how many are still kept.
    pub(super) fn sweep(&self, before: u32) -> usize {
        self.targets.borrow().values().map(|target| target.sweep(before)).sum()
    }
}
