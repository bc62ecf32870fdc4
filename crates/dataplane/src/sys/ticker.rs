//! A periodic timer of the kernel in the worker's reactor.
//!
//! tokio's own timers would make every turn of the runtime ask for the time; this one costs a turn only when it fires.

#![allow(unsafe_code)]

use std::{
    io,
    os::fd::OwnedFd,
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use tokio::io::{Interest, unix::AsyncFd};

/// A timer that fires again and again while it is on.
pub(crate) struct Ticker(AsyncFd<OwnedFd>);

impl Ticker {
    /// A timer that is off. Must be made inside a runtime with I/O.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // SAFETY: an `OwnedFd` is open and the same description until it is dropped, its `as_raw_fd` always gives the same
        // descriptor, and it is owned by the `AsyncFd`, which gives out shared references only.
        // There is no safe way to register a descriptor that is no socket, pipe or file.
        let registered = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) };
        Ok(Self(registered.map_err(|error| io::Error::other(error.to_string()))?))
    }

    /// Switches it on with this period, or off.
    pub(crate) fn set(&self, period: Option<Duration>) -> io::Result<()> {
        let period = period.unwrap_or_default();
        let period = Timespec { tv_sec: period.as_secs() as i64, tv_nsec: period.subsec_nanos().into() };
        let spec = Itimerspec { it_interval: period, it_value: period };
        rustix::time::timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &spec)?;
        Ok(())
    }

    /// Ready when it has fired since it was last ready.
    pub(crate) fn poll_tick(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            let mut expirations = [0; 8];
            match guard.try_io(|timer| Ok(rustix::io::read(timer, &mut expirations)?)) {
                Ok(read) => return Poll::Ready(read.map(drop)),
                Err(_would_block) => continue,
            }
        }
    }
}
