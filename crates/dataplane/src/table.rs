//! The connections of one worker: their deadlines and how to wake them.
//!
//! A request arms no timer. Each connection has a seat in a table; the seat holds one deadline, a number in a row of numbers,
//! and a tick walks the row ten times a second while there are connections. So a deadline costs a store, and fires at most
//! [`TICK`] + 100 ms late, never early.
//!
//! How to drive it: take a [`Seat`] when a connection begins, [`Seat::occupy`] it once with the task's waker, then
//! [`Seat::expire_after`] whenever something is waited for, and look at [`Seat::expired`] when woken without progress.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    rc::Rc,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use crate::ticker::Ticker;

/// How often deadlines are looked at.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// A deadline that never comes.
const NEVER: u32 = u32::MAX;

/// The table. Times are counted in ticks since the worker began; 32 bits last for 13 years.
pub(crate) struct Table {
    began: Instant,
    now: Cell<u32>,
    due: RefCell<Vec<u32>>,
    seats: RefCell<Vec<Occupant>>,
    free: RefCell<Vec<u32>>,
    /// Those who wait for the next tick, whatever their deadlines.
    waiting: RefCell<Vec<Waker>>,
    taken: Cell<usize>,
    armed: Cell<bool>,
    ticker: Ticker,
}

#[derive(Default)]
struct Occupant {
    waker: Option<Waker>,
    group: u32,
}

impl Table {
    /// An empty table. Must be made inside the worker's runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            began: Instant::now(),
            now: Cell::new(0),
            due: RefCell::default(),
            seats: RefCell::default(),
            free: RefCell::default(),
            waiting: RefCell::default(),
            taken: Cell::new(0),
            armed: Cell::new(false),
            ticker: Ticker::new()?,
        })
    }

    /// The present, in ticks; as old as the last tick.
    pub(crate) fn now(&self) -> u32 {
        self.now.get()
    }

    /// The present, in ticks; as new as can be.
    pub(crate) fn look(&self) -> u32 {
        self.look_at_clock();
        self.now.get()
    }

    /// Connections open now.
    pub(crate) fn taken(&self) -> usize {
        self.taken.get()
    }

    /// Wakes every connection of a group.
    pub(crate) fn wake_group(&self, group: u32) {
        for seat in self.seats.borrow().iter().filter(|seat| seat.group == group) {
            if let Some(waker) = &seat.waker {
                waker.wake_by_ref();
            }
        }
    }

    /// Wakes a connection with the next tick.
    pub(crate) fn wake_with_tick(&self, waker: &Waker) {
        self.waiting.borrow_mut().push(waker.clone());
    }

    /// Wakes every connection.
    pub(crate) fn wake_all(&self) {
        self.seats.borrow().iter().filter_map(|seat| seat.waker.as_ref()).for_each(Waker::wake_by_ref);
    }

    /// Walks the deadlines, tick by tick, for ever. `each_tick` is called after every walk; without connections there is another
    /// tick only if it says so.
    pub(crate) async fn run(&self, mut each_tick: impl FnMut(&Self) -> bool) {
        loop {
            if poll_fn(|cx| self.ticker.poll_tick(cx)).await.is_err() {
                // A timer that cannot be read is a defect of the system; without it no deadline would ever come.
                tracing::error!("the worker's timer failed; deadlines are no longer kept");
                return;
            }
            self.tick();
            let wanted = each_tick(self);
            if self.taken.get() == 0 && !wanted {
                self.arm(false);
            }
        }
    }

    fn tick(&self) {
        self.look_at_clock();
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
        let now = self.now.get();
        let seats = self.seats.borrow();
        for (place, due) in self.due.borrow().iter().enumerate() {
            if *due <= now
                && let Some(waker) = &seats[place].waker
            {
                waker.wake_by_ref();
            }
        }
    }

    fn look_at_clock(&self) {
        let ticks = self.began.elapsed().as_millis() / TICK.as_millis();
        self.now.set(u32::try_from(ticks).unwrap_or(NEVER - 1));
    }

    fn take(&self, group: u32) -> u32 {
        if self.taken.replace(self.taken.get() + 1) == 0 {
            self.look_at_clock();
            self.arm(true);
        }
        let occupant = Occupant { waker: None, group };
        if let Some(place) = self.free.borrow_mut().pop() {
            self.seats.borrow_mut()[place as usize] = occupant;
            return place;
        }
        let mut seats = self.seats.borrow_mut();
        seats.push(occupant);
        self.due.borrow_mut().push(NEVER);
        seats.len() as u32 - 1
    }

    fn leave(&self, place: u32) {
        self.due.borrow_mut()[place as usize] = NEVER;
        self.seats.borrow_mut()[place as usize] = Occupant::default();
        self.free.borrow_mut().push(place);
        self.taken.set(self.taken.get() - 1);
    }

    fn arm(&self, on: bool) {
        if self.armed.replace(on) == on {
            return;
        }
        if let Err(error) = self.ticker.set(on.then_some(TICK)) {
            tracing::error!(%error, "cannot set the worker's timer");
        }
    }
}

/// A connection's place in the table of its worker; given back when dropped.
pub(crate) struct Seat {
    table: Rc<Table>,
    place: u32,
}

impl Seat {
    /// A seat for a new connection; connections of one listener have one `group`.
    pub(crate) fn take(table: &Rc<Table>, group: u32) -> Self {
        Self { table: table.clone(), place: table.take(group) }
    }

    /// Remembers how the connection's task is woken. Must be done once inside the task, before anything is waited for.
    pub(crate) async fn occupy(&self) {
        poll_fn(|cx| {
            self.occupy_with(cx.waker());
            Poll::Ready(())
        })
        .await;
    }

    /// As [`Seat::occupy`], within a poll.
    pub(crate) fn occupy_with(&self, waker: &Waker) {
        self.table.seats.borrow_mut()[self.place as usize].waker = Some(waker.clone());
    }

    /// The connection is woken after this time, unless something else is said before.
    #[inline]
    pub(crate) fn expire_after(&self, time: Duration) {
        // One tick more, because the present may be as old as one tick.
        let ticks = time.as_millis().div_ceil(TICK.as_millis()) as u32 + 1;
        self.table.due.borrow_mut()[self.place as usize] = self.table.now.get().saturating_add(ticks);
    }

    /// The connection has no deadline from now on.
    #[inline]
    pub(crate) fn expire_never(&self) {
        self.table.due.borrow_mut()[self.place as usize] = NEVER;
    }

    /// Whether the deadline is over.
    #[inline]
    pub(crate) fn expired(&self) -> bool {
        self.table.due.borrow()[self.place as usize] <= self.table.now.get()
    }

    /// Ready when the deadline is over.
    #[inline]
    pub(crate) fn poll_expired(&self) -> Poll<()> {
        if self.expired() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits, without anything else to wait for.
    pub(crate) async fn pause(&self, time: Duration) {
        self.expire_after(time);
        poll_fn(|_| self.poll_expired()).await;
        self.expire_never();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.table.leave(self.place);
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    fn within_worker<F: Future>(work: impl FnOnce(Rc<Table>) -> F) -> F::Output {
        let runtime = Builder::new_current_thread().enable_io().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let table = Rc::new(Table::new().unwrap());
            let ticking = table.clone();
            tokio::task::spawn_local(async move { ticking.run(|_| false).await });
            work(table).await
        })
    }

    #[test]
    fn a_deadline_comes_never_early_and_at_most_two_ticks_late() {
        within_worker(|table| async move {
            let seat = Seat::take(&table, 0);
            seat.occupy().await;
            for wanted in [1, 150, 300].map(Duration::from_millis) {
                let began = Instant::now();
                seat.pause(wanted).await;
                let took = began.elapsed();
                assert!(took >= wanted, "{wanted:?} came after {took:?}");
                assert!(took < wanted + 4 * TICK, "{wanted:?} came after {took:?}");
            }
        });
    }

    #[test]
    fn seats_are_given_back_and_taken_again() {
        within_worker(|table| async move {
            let first = Seat::take(&table, 1);
            let second = Seat::take(&table, 1);
            assert_eq!((table.taken(), first.place, second.place), (2, 0, 1));
            first.expire_after(Duration::ZERO);
            drop(first);
            let third = Seat::take(&table, 2);
            assert_eq!((table.taken(), third.place), (2, 0));
            assert!(!third.expired(), "the deadline of a former occupant does not hold");
        });
    }
}
