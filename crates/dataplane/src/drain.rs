//! Draining in one worker: the work of a member that gets no more of it, and the connections of a listener that is gone.
//!
//! What becomes of them is decided by [`balance::drain`]; here it is carried out. A piece of work looks at [`Leaving::is_over`]
//! whenever it is woken; it is woken when the answer changes. Deadlines are looked at with the worker's tick, so work ends up to 100 ms
//! late, never early, and a connection pays nothing for them.
//!
//! What it does not do: it takes nobody out of the choice for new work. Plans, weights and the health table do that.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use balance::{
    Draining,
    drain::{Cause, Fate},
};
use model::TargetId;

use crate::table::Table;

/// How a member or a listener leaves, as its work sees it.
#[derive(Default)]
pub(crate) struct Leaving {
    draining: Cell<Draining>,
    over: Cell<bool>,
}

impl Leaving {
    /// Whether its work is to end now.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.over.get()
    }

    /// Whether it gets no new work.
    #[inline]
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get().is_draining()
    }

    /// Notes that a cause is there, or there no more. Whether that changes anything; then [`Drains::settle`] is due.
    pub(crate) fn note(&self, cause: Cause, is_there: bool, now_ms: u64) -> bool {
        let before = self.draining.get();
        let mut draining = before;
        match is_there {
            true => draining.begin(cause, now_ms),
            false => draining.end(cause),
        }
        self.draining.set(draining);
        draining != before
    }

    /// How it leaves.
    pub(crate) fn draining(&self) -> Draining {
        self.draining.get()
    }
}

/// The deadlines of a worker.
pub(crate) struct Drains {
    table: Rc<Table>,
    deadlines: RefCell<Vec<Deadline>>,
}

struct Deadline {
    whose: Whose,
    leaving: Rc<Leaving>,
    due_ms: u64,
}

/// Whose work it is, and how it is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whose {
    /// The target of a member; none: a listener.
    pub(crate) target: Option<TargetId>,
    /// The listener's connections in the worker's table.
    pub(crate) group: u32,
}

/// Where and when something drains.
#[derive(Clone, Copy)]
pub(crate) struct Here<'a> {
    pub(crate) drains: &'a Drains,
    /// The listener's connections in the worker's table.
    pub(crate) group: u32,
    pub(crate) now_ms: u64,
}

impl Drains {
    /// Nobody drains. Work has seats in this table.
    pub(crate) fn new(table: Rc<Table>) -> Self {
        Self { table, deadlines: RefCell::default() }
    }

    /// Sees to it that work ends as its fate says, in place of what was said before.
    pub(crate) fn settle(&self, whose: Whose, leaving: &Rc<Leaving>, fate: Fate, now_ms: u64) {
        // What nobody has any more needs no end.
        self.deadlines.borrow_mut().retain(|waiting| {
            !Rc::ptr_eq(&waiting.leaving, leaving) && Rc::strong_count(&waiting.leaving) > 1
        });
        let due_ms = match fate {
            Fate::Stays => return leaving.over.set(false),
            Fate::Ends => now_ms,
            Fate::EndsBy { deadline_ms } => deadline_ms,
        };
        let over = due_ms <= now_ms;
        leaving.over.set(over);
        if over {
            self.table.wake_group(whose.group);
        } else {
            self.deadlines.borrow_mut().push(Deadline { whose, leaving: leaving.clone(), due_ms });
        }
    }

    /// Settles anew what members of a target have, `fate` being what it is now.
    pub(crate) fn settle_target(&self, id: TargetId, fate: impl Fn(&Leaving) -> Fate, now_ms: u64) {
        let waiting: Vec<_> = {
            let deadlines = self.deadlines.borrow();
            let of_target = deadlines.iter().filter(|deadline| deadline.whose.target == Some(id));
            of_target.map(|deadline| (deadline.whose, deadline.leaving.clone())).collect()
        };
        for (whose, leaving) in waiting {
            self.settle(whose, &leaving, fate(&leaving), now_ms);
        }
    }

    /// Ends what is due. To be called with each tick.
    pub(crate) fn handle_tick(&self, now_ms: impl Fn() -> u64) {
        if self.deadlines.borrow().is_empty() {
            return;
        }
        let now_ms = now_ms();
        let mut deadlines = self.deadlines.borrow_mut();
        let mut woken = Vec::new();
        for due in deadlines.extract_if(.., |deadline| deadline.due_ms <= now_ms) {
            due.leaving.over.set(true);
            if !woken.contains(&due.whose.group) {
                woken.push(due.whose.group);
                self.table.wake_group(due.whose.group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use balance::{DrainRules, drain::Traffic};
    use model::range::DrainTimeout;

    use super::*;

    const WHOSE: Whose = Whose { target: None, group: 7 };

    fn rules(seconds: u32) -> DrainRules {
        DrainRules { traffic: Traffic::Streams, delay: Some(DrainTimeout::of(seconds)) }
    }

    #[tokio::test]
    async fn work_is_over_with_its_deadline_unless_its_cause_ends_before() {
        let drains = Drains::new(Rc::new(Table::new().unwrap()));
        let leaving = Rc::new(Leaving::default());
        let (at, tick) = (1000, |now_ms| drains.handle_tick(|| now_ms));
        for (why, ends_before) in [("it comes back", true), ("it does not", false)] {
            assert!(leaving.note(Cause::WeightZero, true, at), "{why}");
            assert!(!leaving.note(Cause::WeightZero, true, at + 1), "{why}: said again");
            drains.settle(WHOSE, &leaving, leaving.draining().fate(rules(10)), at);
            tick(10_999);
            assert!(leaving.is_draining() && !leaving.is_over(), "{why}");
            if ends_before {
                assert!(leaving.note(Cause::WeightZero, false, at));
                drains.settle(WHOSE, &leaving, leaving.draining().fate(rules(10)), 10_999);
            }
            tick(11_000);
            assert_eq!(leaving.is_over(), !ends_before, "{why}");
        }
    }

    #[tokio::test]
    async fn a_delay_that_changes_holds_from_when_the_cause_began() {
        let drains = Drains::new(Rc::new(Table::new().unwrap()));
        let leaving = Rc::new(Leaving::default());
        let target = TargetId {
            listener: model::ListenerId::new(uuid::Uuid::from_u128(1)),
            pool: model::PoolId::new(uuid::Uuid::from_u128(2)),
        };
        let whose = Whose { target: Some(target), group: 7 };
        leaving.note(Cause::Removed, true, 0);
        drains.settle(whose, &leaving, leaving.draining().fate(rules(10)), 0);
        let settle = |seconds, now_ms| {
            drains.settle_target(target, |leaving| leaving.draining().fate(rules(seconds)), now_ms);
        };
        settle(20, 5_000);
        drains.handle_tick(|| 19_999);
        assert!(!leaving.is_over(), "longer");
        settle(3, 19_999);
        assert!(leaving.is_over(), "shorter, and past already");
    }

    #[tokio::test]
    async fn what_nobody_has_any_more_is_forgotten() {
        let drains = Drains::new(Rc::new(Table::new().unwrap()));
        for _ in 0..100 {
            let leaving = Rc::new(Leaving::default());
            leaving.note(Cause::Removed, true, 0);
            drains.settle(WHOSE, &leaving, leaving.draining().fate(rules(10)), 0);
        }
        assert!(drains.deadlines.borrow().len() <= 2);
    }
}
