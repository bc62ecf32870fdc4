//! Who waits for bandwidth, and is woken in turn.
//!
//! Whoever may move nothing now takes a ticket of its listener's [`Queue`] and is woken in that order, so that who waited longest
//! goes first and everybody gets as much as the others. A [`Pacer`] wakes the first of every queue about a hundred times a second,
//! and costs nothing while nobody waits.
//!
//! Workers share a limit, and whoever asks first after a pause gets what has come together meanwhile. So they look at odd times:
//! else one that always looked a little after another would get nothing.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    io,
    rc::Rc,
    task::Waker,
    time::Duration,
};

use balance::Dice;

use crate::ticker::Ticker;

/// Those of one listener in one worker who wait.
#[derive(Default)]
pub(crate) struct Queue(RefCell<VecDeque<(Ticket, Waker)>>);

/// A place in some queue of a worker: rising, never given twice. 0 is none.
pub(crate) type Ticket = u64;

/// What wakes those in a worker's queues.
pub(crate) struct Pacer {
    ticker: Ticker,
    /// Those that are not empty.
    queues: RefCell<Vec<Rc<Queue>>>,
    given: Cell<Ticket>,
    dice: RefCell<Dice>,
}

/// When the next of a queue are woken: at some time between these.
const PAUSE_MS: std::ops::Range<u32> = 5..15;

/// How many of a queue are woken at once. They may move a megabyte at least, and much more under a limit that allows much more; those
/// behind would find nothing left and ask for nothing.
const WOKEN_MAX: usize = 64;

impl Pacer {
    /// The pacer of the worker of this number. Must be made inside its runtime.
    pub(crate) fn new(worker: usize) -> io::Result<Self> {
        Ok(Self {
            ticker: Ticker::new()?,
            queues: RefCell::default(),
            given: Cell::new(0),
            dice: RefCell::new(Dice::new(worker as u64)),
        })
    }

    /// Has a task woken when it is its turn. `ticket` is its own, and is replaced; while it still waits with it, nothing changes.
    pub(crate) fn wait(&self, queue: &Rc<Queue>, ticket: &mut Ticket, waker: &Waker) {
        let mut waiting = queue.0.borrow_mut();
        if waiting.binary_search_by_key(ticket, |(ticket, _)| *ticket).is_ok() {
            return;
        }
        self.given.set(self.given.get() + 1);
        *ticket = self.given.get();
        waiting.push_back((*ticket, waker.clone()));
        if waiting.len() == 1 {
            let mut queues = self.queues.borrow_mut();
            queues.push(queue.clone());
            if queues.len() == 1 {
                self.arm();
            }
        }
    }

    /// Wakes whose turn it is, for ever.
    pub(crate) async fn run(&self) {
        loop {
            if poll_fn(|cx| self.ticker.poll_tick(cx)).await.is_err() {
                // A timer that cannot be read is a defect of the system; without it nobody would ever go on.
                tracing::error!("the timer of limited connections failed; they stand still");
                return;
            }
            let mut queues = self.queues.borrow_mut();
            queues.retain(|queue| {
                let mut waiting = queue.0.borrow_mut();
                let first = waiting.len().min(WOKEN_MAX);
                waiting.drain(..first).for_each(|(_, waker)| waker.wake());
                !waiting.is_empty()
            });
            if !queues.is_empty() {
                self.arm();
            }
        }
    }

    fn arm(&self) {
        let pause = PAUSE_MS.start + self.dice.borrow_mut().below(PAUSE_MS.end - PAUSE_MS.start);
        if let Err(error) = self.ticker.set_once(Duration::from_millis(pause.into())) {
            tracing::error!(%error, "cannot set the timer of limited connections");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc, Mutex,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        task::Wake,
    };

    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    /// Notes in which order it and others are woken.
    struct Noted(usize, Arc<Mutex<Vec<usize>>>);

    impl Wake for Noted {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    #[test]
    fn all_are_woken_once_for_a_ticket_and_in_order() {
        const COUNT: usize = 3 * WOKEN_MAX;
        let woken = Arc::new(Mutex::new(Vec::new()));
        let runtime = Builder::new_current_thread().enable_io().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let pacer = Rc::new(Pacer::new(0).unwrap());
            let running = pacer.clone();
            tokio::task::spawn_local(async move { running.run().await });
            let queue = Rc::new(Queue::default());
            for number in 0..COUNT {
                let waker = Waker::from(Arc::new(Noted(number, woken.clone())));
                let mut ticket = 0;
                pacer.wait(&queue, &mut ticket, &waker);
                let mine = ticket;
                pacer.wait(&queue, &mut ticket, &waker);
                assert_eq!(ticket, mine, "whoever waits does not wait twice");
            }
            let rounds = AtomicUsize::new(0);
            while woken.lock().unwrap().len() < COUNT {
                // The last of this row is woken behind all before it.
                let mut ticket = 0;
                let mut asked = false;
                poll_fn(|cx| match std::mem::replace(&mut asked, true) {
                    true => std::task::Poll::Ready(()),
                    false => {
                        pacer.wait(&queue, &mut ticket, cx.waker());
                        std::task::Poll::Pending
                    }
                })
                .await;
                rounds.fetch_add(1, SeqCst);
            }
            assert!(rounds.load(SeqCst) >= 1);
        });
        assert_eq!(*woken.lock().unwrap(), (0..COUNT).collect::<Vec<_>>());
    }
}
