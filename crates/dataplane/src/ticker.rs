//! A timer of the kernel in the worker's reactor.
//!
//! tokio's own timers would make every turn of the runtime ask for the time; this one costs a turn only when it fires.

use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use crate::sys::watched::Watched;

/// A timer that fires again and again while it is on, or once.
pub(crate) struct Ticker(Watched);

impl Ticker {
    /// A timer that is off. Must be made inside a runtime with I/O.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self(Watched::new(rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?)?))
    }

    /// Switches it on with this period, or off.
    pub(crate) fn set(&self, period: Option<Duration>) -> io::Result<()> {
        let period = period.unwrap_or_default();
        self.set_to(period, period)
    }

    /// Lets it fire once, so long from now; zero is never.
    pub(crate) fn set_once(&self, wait: Duration) -> io::Result<()> {
        self.set_to(wait, Duration::ZERO)
    }

    fn set_to(&self, wait: Duration, period: Duration) -> io::Result<()> {
        let time = |time: Duration| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        let spec = Itimerspec { it_interval: time(period), it_value: time(wait) };
        rustix::time::timerfd_settime(self.0.get(), TimerfdTimerFlags::empty(), &spec)?;
        Ok(())
    }

    /// Ready when it has fired since it was last ready.
    pub(crate) fn poll_tick(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_take(cx, |timer| {
            let mut expirations = [0; 8];
            rustix::io::read(timer, &mut expirations)?;
            Ok(((), false))
        })
    }
}
