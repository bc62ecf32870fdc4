//! The rounds of a worker: no listener keeps the others waiting for long.
//!
//! A worker runs its tasks in the order in which they became ready. With that alone, a listener of which a thousand connections become
//! ready at once has them all served before the one request that comes to another listener. So every listener has a share of a round.
//! Connections beyond it wait for the next rounds, first come, first served; a round is over when all that was ready had its turn.
//! Between rounds the system is asked for what is ready now.
//!
//! Invariants: a connection that waits is woken in a later round; a round serves at least one that waits of every listener that has some.
//! While one listener has the worker for itself, nobody waits.
//!
//! How to drive it: a connection's task asks [`Rounds::poll_turn`] before it does anything, and says by [`Share::charge`] when its turn
//! was no ordinary one. One task of the worker runs [`Rounds::run`].
//!
//! What it does not do: shares are not weighted; datagrams of UDP and QUIC's packets are taken by other bounds.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    num::NonZeroU32,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use crate::table::Table;

/// What a listener gets in a round. A unit is about what a small request costs in one of its turns, some ten microseconds.
pub(crate) const SHARE_UNITS: u32 = 8;

/// A handshake of TLS, beside its turns.
pub(crate) const HANDSHAKE_UNITS: u32 = 12;

/// A connection that is made to a member, beside the turn in which that is done.
pub(crate) const CONNECT_UNITS: u32 = 2;

/// Bytes that a connection may move each way in one turn, where bandwidth is not limited. Its listener is charged for them afterwards.
pub(crate) const TURN_BYTES: u64 = 2 * 1024 * 1024;

/// Bytes that are moved in a unit, as a power of two: 32 KiB.
const MOVED_BITS: u32 = 15;

/// What a turn is taken to be worth of a listener of which nobody waited before.
const WORTH_AT_FIRST: u32 = 4;

/// How long listeners are taken to be at work beside others after both had something to do in one round, in ticks: 10 s.
const SHARED_TICKS: u32 = 100;

/// The rounds of one worker.
pub(crate) struct Rounds {
    table: Rc<Table>,
    number: Cell<u32>,
    /// Listeners that had something to do in this round.
    active: Cell<u32>,
    /// Until when (in ticks) listeners are taken to be at work beside others.
    shared_until: Cell<u32>,
    /// Those of which connections wait.
    waiting: RefCell<Vec<Rc<Share>>>,
    /// The task that begins rounds, once it runs.
    task: RefCell<Option<Waker>>,
    over: Cell<bool>,
}

/// A listener's share of the rounds of its worker.
#[derive(Default)]
pub(crate) struct Share {
    /// The round that `used` is about.
    round: Cell<u32>,
    /// Units; at least [`SHARE_UNITS`] while connections wait, so that who comes new waits behind them.
    used: Cell<u32>,
    waiting: RefCell<VecDeque<Waker>>,
    /// The place of the one that began to wait last.
    last: Cell<u32>,
    /// How many were woken for the present round, and what one of them was worth before.
    woken: Cell<u32>,
    worth: Cell<u32>,
}

/// A connection's place among those of its listener that wait, if it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place(Option<NonZeroU32>);

impl Share {
    /// A turn was worth so much more than one unit.
    #[inline]
    pub(crate) fn charge(&self, units: u32) {
        self.used.set(self.used.get().saturating_add(units));
    }

    /// As [`Share::charge`], for so many bytes that were moved.
    #[inline]
    pub(crate) fn charge_moved(&self, bytes: u64) {
        let units = bytes >> MOVED_BITS;
        if units > 0 {
            self.charge(u32::try_from(units).unwrap_or(u32::MAX));
        }
    }

    /// Whether a place is among those that wait still.
    fn holds(&self, place: NonZeroU32) -> bool {
        let behind = self.last.get().wrapping_sub(place.get()) as usize;
        behind < self.waiting.borrow().len()
    }

    /// The place of one that begins to wait.
    fn take_place(&self, waker: Waker) -> Place {
        self.waiting.borrow_mut().push_back(waker);
        let place = NonZeroU32::new(self.last.get().wrapping_add(1)).unwrap_or(NonZeroU32::MIN);
        self.last.set(place.get());
        Place(Some(place))
    }

    /// How many may be woken for a round: as many as are worth a share, going by those of the last one.
    fn count_for_a_round(&self) -> usize {
        let spent = self.used.get().saturating_sub(SHARE_UNITS);
        if let woken @ 1.. = self.woken.get() {
            self.worth.set(spent.div_ceil(woken));
        }
        let worth = if self.worth.get() == 0 { WORTH_AT_FIRST } else { self.worth.get() };
        (SHARE_UNITS / worth).max(1) as usize
    }
}

impl Rounds {
    pub(crate) fn new(table: Rc<Table>) -> Self {
        Self {
            table,
            // A share that is new was in no round.
            number: Cell::new(1),
            active: Cell::new(0),
            shared_until: Cell::new(0),
            waiting: RefCell::default(),
            task: RefCell::default(),
            over: Cell::new(false),
        }
    }

    /// Ready when a connection of this listener may do something now; else its task is woken when it may. `place` is the connection's.
    #[inline]
    pub(crate) fn poll_turn(&self, share: &Rc<Share>, place: &mut Place, cx: &Context<'_>) -> Poll<()> {
        if share.round.get() != self.number.get() {
            self.enter(share);
        }
        let used = share.used.get();
        if used < SHARE_UNITS {
            share.used.set(used + 1);
            *place = Place(None);
            return Poll::Ready(());
        }
        self.poll_turn_beyond(share, place, cx)
    }

    #[cold]
    fn poll_turn_beyond(&self, share: &Rc<Share>, place: &mut Place, cx: &Context<'_>) -> Poll<()> {
        if self.over.get() || self.table.now() >= self.shared_until.get() {
            self.next();
            self.enter(share);
            share.used.set(1);
            *place = Place(None);
            return Poll::Ready(());
        }
        match place.0 {
            // Something else woke it.
            Some(waits) if share.holds(waits) => return Poll::Pending,
            Some(_) => {
                share.charge(1);
                *place = Place(None);
                return Poll::Ready(());
            }
            None => {}
        }
        if share.waiting.borrow().is_empty() {
            self.waiting.borrow_mut().push(share.clone());
        }
        *place = share.take_place(cx.waker().clone());
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
        Poll::Pending
    }

    /// Begins rounds, for ever.
    pub(crate) async fn run(&self) {
        loop {
            poll_fn(|cx| {
                if self.waiting.borrow().is_empty() {
                    self.task.replace(Some(cx.waker().clone()));
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
            // The runtime asks the system for events before it goes on with this, so who comes new does not wait for many rounds.
            tokio::task::yield_now().await;
            self.release();
        }
    }

    /// From now on nobody waits.
    pub(crate) fn end(&self) {
        self.over.set(true);
        for share in self.waiting.take() {
            share.waiting.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Begins a round, and wakes those who waited and have room in it.
    fn release(&self) {
        self.next();
        self.waiting.borrow_mut().retain(|share| {
            let count = share.count_for_a_round();
            self.enter(share);
            let mut waiting = share.waiting.borrow_mut();
            let woken = waiting.len().min(count);
            share.used.set(SHARE_UNITS);
            share.woken.set(woken as u32);
            waiting.drain(..woken).for_each(Waker::wake);
            !waiting.is_empty()
        });
    }

    fn next(&self) {
        self.number.set(self.number.get().wrapping_add(1));
        self.active.set(0);
    }

    /// A listener has something to do in this round.
    fn enter(&self, share: &Share) {
        share.round.set(self.number.get());
        share.used.set(0);
        share.woken.set(0);
        self.active.set(self.active.get() + 1);
        if self.active.get() > 1 {
            self.shared_until.set(self.table.now().saturating_add(SHARED_TICKS));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    /// What was served, in order: whose, and which.
    type Served = Rc<RefCell<Vec<(char, u32)>>>;

    /// Listeners in a worker, and how often their connections asked for a turn.
    struct Scene {
        rounds: Rc<Rounds>,
        served: Served,
        asked: Rc<Cell<u32>>,
    }

    impl Scene {
        /// A connection of this listener is ready; each of its turns is worth so many units.
        fn ready(&self, share: &Rc<Share>, name: (char, u32), units: u32) {
            let (rounds, served, asked, share) =
                (self.rounds.clone(), self.served.clone(), self.asked.clone(), share.clone());
            let mut place = Place::default();
            tokio::task::spawn_local(poll_fn(move |cx| {
                asked.set(asked.get() + 1);
                std::task::ready!(rounds.poll_turn(&share, &mut place, cx));
                share.charge(units - 1);
                served.borrow_mut().push(name);
                Poll::Ready(())
            }));
        }

        async fn until(&self, served: usize) {
            while self.served.borrow().len() < served {
                tokio::task::yield_now().await;
            }
        }

        fn place(&self, name: (char, u32)) -> usize {
            self.served.borrow().iter().position(|served| *served == name).unwrap()
        }
    }

    fn within_worker<F: Future>(work: impl FnOnce(Scene) -> F) -> F::Output {
        let runtime = Builder::new_current_thread().enable_io().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let rounds = Rc::new(Rounds::new(Rc::new(Table::new().unwrap())));
            let running = rounds.clone();
            tokio::task::spawn_local(async move { running.run().await });
            tokio::task::yield_now().await;
            work(Scene { rounds, served: Served::default(), asked: Rc::default() }).await
        })
    }

    #[test]
    fn a_listener_with_much_to_do_lets_the_others_through_and_serves_its_own_in_order() {
        for (why, units) in
            [("ordinary turns", 1), ("turns worth several units", 5), ("more than a share", 40)]
        {
            within_worker(async |scene: Scene| {
                let [many, one] = [(); 2].map(|()| Rc::<Share>::default());
                scene.ready(&one, ('b', 0), 1);
                scene.ready(&many, ('a', 0), 1);
                scene.until(2).await;
                (1..=200).for_each(|number| scene.ready(&many, ('a', number), units));
                scene.ready(&one, ('b', 1), 1);
                scene.until(203).await;
                // Two rounds at most: that which goes on, and the next.
                let before = 2 + 2 * SHARE_UNITS.div_ceil(units) as usize;
                assert!(scene.place(('b', 1)) <= before, "{why}: {:?}", scene.served.borrow());
                let order: Vec<_> =
                    scene.served.borrow().iter().filter(|one| one.0 == 'a').copied().collect();
                assert!(order.is_sorted(), "{why}: {order:?}");
                assert_eq!(order.len(), 201, "{why}");
            });
        }
    }

    #[test]
    fn who_comes_while_some_wait_waits_behind_them() {
        within_worker(async |scene: Scene| {
            let [many, one] = [(); 2].map(|()| Rc::<Share>::default());
            scene.ready(&one, ('b', 0), 1);
            (0..60).for_each(|number| scene.ready(&many, ('a', number), 1));
            scene.until(40).await;
            (60..100).for_each(|number| scene.ready(&many, ('a', number), 1));
            scene.until(101).await;
            let order: Vec<_> = scene.served.borrow().iter().filter(|one| one.0 == 'a').copied().collect();
            assert!(order.is_sorted(), "{order:?}");
        });
    }

    #[test]
    fn who_waits_has_one_place_however_often_it_is_woken() {
        within_worker(async |scene: Scene| {
            let [many, one] = [(); 2].map(|()| Rc::<Share>::default());
            scene.ready(&one, ('b', 0), 1);
            (0..SHARE_UNITS).for_each(|number| scene.ready(&many, ('a', number), 1));
            scene.until(1 + SHARE_UNITS as usize).await;
            // Within one poll, so no round begins meanwhile.
            poll_fn(|cx| {
                let (mut first, mut second) = (Place::default(), Place::default());
                for _ in 0..100 {
                    assert_eq!(scene.rounds.poll_turn(&many, &mut first, cx), Poll::Pending);
                    assert_eq!(scene.rounds.poll_turn(&many, &mut second, cx), Poll::Pending);
                }
                assert_eq!(many.waiting.borrow().len(), 2);
                scene.rounds.release();
                assert_eq!(
                    scene.rounds.poll_turn(&many, &mut Place::default(), cx),
                    Poll::Pending,
                    "behind them"
                );
                for place in [&mut first, &mut second] {
                    assert_eq!(scene.rounds.poll_turn(&many, place, cx), Poll::Ready(()));
                    assert_eq!(*place, Place::default());
                }
                Poll::Ready(())
            })
            .await;
        });
    }

    #[test]
    fn a_listener_alone_never_waits() {
        within_worker(async |scene: Scene| {
            let alone = Rc::<Share>::default();
            (0..500).for_each(|number| scene.ready(&alone, ('a', number), 1));
            scene.until(500).await;
            assert_eq!(scene.asked.get(), 500, "nobody is asked to come again");
        });
    }

    #[test]
    fn nobody_waits_once_rounds_have_ended() {
        within_worker(async |scene: Scene| {
            let [many, one] = [(); 2].map(|()| Rc::<Share>::default());
            scene.ready(&one, ('b', 0), 1);
            (0..100).for_each(|number| scene.ready(&many, ('a', number), 1));
            scene.until(2).await;
            scene.rounds.end();
            let asked = scene.asked.get();
            (100..200).for_each(|number| scene.ready(&many, ('a', number), 1));
            scene.until(201).await;
            assert!(scene.asked.get() - asked <= 200, "{} after {asked}", scene.asked.get());
        });
    }
}
