//! Being asked to end, or to be replaced.

use std::{io, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How the process should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// SIGTERM: let work in hand end, within the configured time.
    Drain,
    /// SIGINT: end now; what can end within [`Stop::HURRY`] does.
    Hurry,
}

impl Stop {
    /// How long work may last after SIGINT.
    pub(crate) const HURRY: Duration = Duration::from_millis(500);
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// SIGTERM, SIGINT.
    Stop(Stop),
    /// SIGUSR2: start the binary anew, and give the place to it.
    Upgrade,
}

/// The signals that are heard. From its making on they no longer kill the process.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    upgrade: Signal,
}

impl Signals {
    /// Takes the signals over.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop(Stop::Drain),
            _ = self.interrupt.recv() => Asked::Stop(Stop::Hurry),
            _ = self.upgrade.recv() => Asked::Upgrade,
        }
    }

    /// The next one that ends the process; others have no effect meanwhile.
    pub(crate) async fn next_stop(&mut self) -> Stop {
        loop {
            if let Asked::Stop(stop) = self.next().await {
                return stop;
            }
        }
    }
}
