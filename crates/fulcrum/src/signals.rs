//! Being asked to end.

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

/// The signals that end the process. From its making on they no longer kill it.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::Drain,
            _ = self.interrupt.recv() => Stop::Hurry,
        }
    }
}
