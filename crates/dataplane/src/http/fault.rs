//! Why a body cannot go on from one socket to another.

use std::io;

use wire::h1::BodyError;

use crate::stream::Stream;

/// Why a body cannot go on.
#[derive(Debug)]
pub(super) enum Fault {
    /// The sender broke the connection.
    Source,
    /// What the sender sent is no body, or it ended too early.
    Malformed(BodyError),
    /// The receiver broke the connection. `cut`: see [`Stream::is_cut_by`].
    Sink { cut: bool },
}

impl Fault {
    /// What it means that this receiver could not be written to.
    pub(super) fn sink(to: &Stream, error: &io::Error) -> Self {
        Self::Sink { cut: to.is_cut_by(error) }
    }
}
