//! What quinn needs of a worker: its tasks run on the worker's thread, its timers are rows of one timer of the kernel.
//!
//! The worker's runtime has no timers of tokio's (see `ticker`), and the table of deadlines is too coarse for a protocol that
//! recovers from loss. Here a turn asks for the time only when a timer of QUIC is set, and the kernel's timer is set anew only for
//! an earlier time than it is set for.

use std::{
    collections::BTreeMap,
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Instant,
};

use quinn::{AsyncTimer, AsyncUdpSocket, TokioRuntime};

use crate::ticker::Ticker;

/// The runtime of one worker. A clone is the same.
#[derive(Clone)]
pub(crate) struct Runtime(Arc<Timers>);

struct Timers {
    set: Mutex<Set>,
    ticker: Ticker,
}

/// Only one thread ever asks, so the lock is free; quinn's types want it to be there.
#[derive(Default)]
struct Set {
    /// Those that are waited for: when, and which.
    waiting: BTreeMap<(Instant, u64), Waker>,
    last: u64,
    /// What the kernel's timer is set for.
    armed: Option<Instant>,
}

impl Runtime {
    /// Must be made inside the worker's runtime, whose thread drives it.
    pub(crate) fn new() -> io::Result<Self> {
        let timers = Arc::new(Timers { set: Mutex::default(), ticker: Ticker::new()? });
        let driven = timers.clone();
        tokio::task::spawn_local(async move {
            loop {
                if std::future::poll_fn(|cx| driven.ticker.poll_tick(cx)).await.is_err() {
                    return tracing::error!("the worker's timer of QUIC failed; its connections will hang");
                }
                driven.fire();
            }
        });
        Ok(Self(timers))
    }
}

impl Timers {
    fn set(&self) -> MutexGuard<'_, Set> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those whose time has come, and sets the kernel's timer for the next.
    fn fire(&self) {
        let now = Instant::now();
        let mut set = self.set();
        set.armed = None;
        while let Some(first) = set.waiting.first_entry()
            && first.key().0 <= now
        {
            first.remove().wake();
        }
        if let Some((next, _)) = set.waiting.first_key_value().map(|(key, _)| *key) {
            self.arm(&mut set, now, next);
        }
    }

    fn arm(&self, set: &mut Set, now: Instant, at: Instant) {
        if set.armed.is_some_and(|armed| armed <= at) {
            return;
        }
        // A timer that is set for no time at all would be off.
        let wait = at.saturating_duration_since(now).max(std::time::Duration::from_micros(1));
        match self.ticker.set_once(wait) {
            Ok(()) => set.armed = Some(at),
            Err(error) => tracing::error!(%error, "cannot set the worker's timer of QUIC"),
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

impl quinn::Runtime for Runtime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        let mut set = self.0.set();
        set.last += 1;
        Box::pin(Timer { timers: self.0.clone(), number: set.last, at, waits: false })
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        drop(tokio::task::spawn_local(future));
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(socket)
    }
}

/// A timer of quinn's.
struct Timer {
    timers: Arc<Timers>,
    number: u64,
    at: Instant,
    /// It is in the set.
    waits: bool,
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Timer {
    fn leave(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.timers.set().waiting.remove(&(self.at, self.number));
        }
    }
}

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.leave();
        self.at = at;
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        if self.at <= now {
            self.leave();
            return Poll::Ready(());
        }
        let key = (self.at, self.number);
        {
            let mut set = self.timers.set();
            match set.waiting.get(&key) {
                Some(known) if known.will_wake(cx.waker()) => {}
                _ => drop(set.waiting.insert(key, cx.waker().clone())),
            }
            self.timers.arm(&mut set, now, key.0);
        }
        self.waits = true;
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use quinn::Runtime as _;
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    fn within_worker<F: Future>(work: impl FnOnce(Runtime) -> F) -> F::Output {
        let runtime = Builder::new_current_thread().enable_io().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async { work(Runtime::new().unwrap()).await })
    }

    #[test]
    fn timers_come_in_the_order_of_their_times_and_never_early() {
        within_worker(|runtime| async move {
            let began = Instant::now();
            let mut waits = Vec::new();
            for ms in [30, 10, 20] {
                let mut timer = runtime.new_timer(began + Duration::from_millis(ms));
                waits.push(tokio::task::spawn_local(async move {
                    poll_fn(|cx| timer.as_mut().poll(cx)).await;
                    (Instant::now(), ms)
                }));
            }
            let mut fired = Vec::new();
            for wait in waits {
                fired.push(wait.await.unwrap());
            }
            fired.sort();
            assert_eq!(fired.iter().map(|(_, ms)| *ms).collect::<Vec<_>>(), [10, 20, 30]);
            assert!(fired.iter().all(|(at, ms)| *at >= began + Duration::from_millis(*ms)));
        });
    }

    #[test]
    fn a_timer_that_was_set_anew_or_dropped_leaves_nothing_behind() {
        within_worker(|runtime| async move {
            let soon = Instant::now() + Duration::from_millis(5);
            let mut timer = runtime.new_timer(soon + Duration::from_secs(3600));
            let mut dropped = runtime.new_timer(soon);
            poll_fn(|cx| {
                assert!(timer.as_mut().poll(cx).is_pending());
                let _either = dropped.as_mut().poll(cx);
                Poll::Ready(())
            })
            .await;
            drop(dropped);
            timer.as_mut().reset(soon);
            poll_fn(|cx| timer.as_mut().poll(cx)).await;
            assert!(runtime.0.set().waiting.is_empty());
        });
    }
}
