//! Descriptors in the worker's reactor that tokio has no type for, or whose type asks the system more than is needed.

#![allow(unsafe_code)]

use std::{
    io,
    os::fd::OwnedFd,
    task::{Context, Poll, ready},
};

use tokio::io::{Interest, unix::AsyncFd};

/// A descriptor whose becoming readable wakes a task.
pub(crate) struct Watched(AsyncFd<OwnedFd>);

impl Watched {
    /// Watches a non-blocking descriptor. Must be called inside a runtime with I/O.
    pub(crate) fn new(descriptor: OwnedFd) -> io::Result<Self> {
        // SAFETY: an `OwnedFd` is open and the same description until it is dropped, its `as_raw_fd` always gives the same
        // descriptor, and it is owned by the `AsyncFd`, which gives out shared references only.
        // There is no safe way to register a descriptor that is no socket, pipe or file of tokio's.
        let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
        Ok(Self(registered.map_err(|error| io::Error::other(error.to_string()))?))
    }

    /// The descriptor.
    pub(crate) fn get(&self) -> &OwnedFd {
        self.0.get_ref()
    }

    /// Ready when there may be something to take.
    pub(crate) fn poll_takeable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(cx).map_ok(|_| ())
    }

    /// Takes something from the descriptor when there may be something. `take` also says whether there may be more: when not,
    /// nobody asks before the reactor has news.
    pub(crate) fn poll_take<T>(
        &self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(&OwnedFd) -> io::Result<(T, bool)>,
    ) -> Poll<io::Result<T>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            match take(self.0.get_ref()) {
                Ok((taken, more)) => {
                    if !more {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(taken));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}
