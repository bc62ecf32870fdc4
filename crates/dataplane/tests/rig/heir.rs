//! One data plane that takes over from another, in one process.

use super::rig::{self, ListenerPlan, Rig, again};

/// What a successor with so many workers gets from a data plane that serves these listeners; both are in force, none accepts.
pub(crate) fn successor(former: &Rig, workers: usize, listeners: &[&ListenerPlan]) -> Rig {
    let lent = former.runtime.block_on(former.dataplane.lend()).unwrap();
    let next = Rig::taking_over(workers, lent);
    let applied = next.apply(listeners.iter().map(|listener| again(listener)));
    assert!(applied.faults.is_empty(), "{:?}", applied.faults);
    former.runtime.block_on(former.dataplane.hold());
    next
}

pub(crate) fn accept(rig: &Rig) {
    rig.runtime.block_on(rig.dataplane.accept());
}

/// Drains to the end of what is there. The limit is for what never ends.
pub(crate) fn leave(rig: &Rig) {
    rig.runtime.block_on(rig.dataplane.drain_after_handover(rig::PATIENCE * 6));
}
