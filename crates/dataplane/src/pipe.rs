//! Pipes between two sockets: splice(2) moves pages through them and copies nothing.
//!
//! A pipe costs two descriptors and a few calls, so workers keep emptied ones ([`Pipes`]). Splicing pays for bulk only; for
//! small messages a copy is cheaper (design section 12).

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use rustix::pipe::{PipeFlags, SpliceFlags};

/// How many bytes a pipe is asked to hold.
pub(crate) const PIPE_BYTES: usize = 256 * 1024;

/// Emptied pipes that a worker keeps.
const PIPES_KEPT: usize = 32;

/// Pipes that a worker may have in use; above that, bytes are copied.
const PIPES_MAX: usize = 512;

/// A pipe. Whoever holds it knows how many bytes are inside.
pub(crate) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // A system that refuses gives a smaller pipe, which only moves less at a time.
        let _kept_small = rustix::pipe::fcntl_setpipe_size(&writer, PIPE_BYTES);
        Ok(Self { reader, writer })
    }

    /// Moves at most so many bytes from a socket into the pipe. "Would block" speaks of the socket while the pipe is empty.
    pub(crate) fn fill_from(&self, socket: BorrowedFd<'_>, bytes_max: usize) -> io::Result<usize> {
        let length = bytes_max.min(PIPE_BYTES);
        Ok(rustix::pipe::splice(socket, None, &self.writer, None, length, MOVE)?)
    }

    /// Moves at most so many bytes from the pipe into a socket.
    pub(crate) fn empty_into(&self, socket: BorrowedFd<'_>, bytes_max: usize) -> io::Result<usize> {
        Ok(rustix::pipe::splice(&self.reader, None, socket, None, bytes_max, MOVE)?)
    }
}

const MOVE: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// The pipes of one worker.
#[derive(Default)]
pub(crate) struct Pipes {
    kept: RefCell<Vec<Pipe>>,
    in_use: Cell<usize>,
}

impl Pipes {
    /// An empty pipe; none when too many are in use or the system has none.
    pub(crate) fn take(&self) -> Option<Pipe> {
        if self.in_use.get() >= PIPES_MAX {
            return None;
        }
        let pipe = self.kept.borrow_mut().pop().or_else(|| Pipe::new().ok())?;
        self.in_use.set(self.in_use.get() + 1);
        Some(pipe)
    }

    /// Takes a pipe back; one that is not empty is closed.
    pub(crate) fn give_back(&self, pipe: Pipe, is_empty: bool) {
        self.in_use.set(self.in_use.get() - 1);
        let mut kept = self.kept.borrow_mut();
        if is_empty && kept.len() < PIPES_KEPT {
            kept.push(pipe);
        }
    }
}
