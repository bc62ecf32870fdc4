//! Pipes between two sockets: splice(2) moves pages through them and copies nothing.
//!
//! A pipe costs two descriptors and a few calls, so workers keep emptied ones ([`Pipes`]). Splicing pays for bulk only; for
//! small messages a copy is cheaper (design section 12).

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::{BorrowedFd, OwnedFd},
    rc::Rc,
};

use rustix::pipe::{PipeFlags, SpliceFlags};

/// How many bytes a pipe is asked to hold.
pub(crate) const PIPE_BYTES: usize = 256 * 1024;

/// Emptied pipes that a worker keeps.
const PIPES_KEPT: usize = 32;

/// Pipes that a worker may have in use; above that, bytes are copied.
const PIPES_MAX: usize = 512;

/// A pipe of the system.
struct Raw {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Raw {
    fn new() -> io::Result<Self> {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // A system that refuses gives a smaller pipe, which only moves less at a time.
        let _kept_small = rustix::pipe::fcntl_setpipe_size(&writer, PIPE_BYTES);
        Ok(Self { reader, writer })
    }
}

/// A pipe in use. When dropped, it goes back to its worker if it is empty, else it is closed.
pub(crate) struct Pipe {
    raw: Option<Raw>,
    held: usize,
    home: Rc<Pipes>,
}

impl Pipe {
    /// Bytes inside.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Moves at most so many bytes from a socket into the pipe. "Would block" speaks of the socket while the pipe is empty.
    pub(crate) fn fill_from(&mut self, socket: BorrowedFd<'_>, bytes_max: usize) -> io::Result<usize> {
        let Some(raw) = &self.raw else { return Ok(0) };
        let bytes = rustix::pipe::splice(socket, None, &raw.writer, None, bytes_max.min(PIPE_BYTES), MOVE)?;
        self.held += bytes;
        Ok(bytes)
    }

    /// Moves bytes from the pipe into a socket.
    pub(crate) fn empty_into(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let Some(raw) = &self.raw else { return Ok(0) };
        let bytes = rustix::pipe::splice(&raw.reader, None, socket, None, self.held, MOVE)?;
        self.held -= bytes;
        Ok(bytes)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.home.in_use.set(self.home.in_use.get() - 1);
        let mut kept = self.home.kept.borrow_mut();
        if self.held == 0 && kept.len() < PIPES_KEPT {
            kept.extend(self.raw.take());
        }
    }
}

const MOVE: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// The pipes of one worker.
#[derive(Default)]
pub(crate) struct Pipes {
    kept: RefCell<Vec<Raw>>,
    in_use: Cell<usize>,
}

impl Pipes {
    /// An empty pipe; none when too many are in use or the system has none.
    pub(crate) fn take(self: &Rc<Self>) -> Option<Pipe> {
        if self.in_use.get() >= PIPES_MAX {
            return None;
        }
        let raw = self.kept.borrow_mut().pop().or_else(|| Raw::new().ok())?;
        self.in_use.set(self.in_use.get() + 1);
        Some(Pipe { raw: Some(raw), held: 0, home: self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::{fd::AsFd, unix::net::UnixStream},
    };

    use super::*;

    #[test]
    fn bytes_pass_and_only_an_empty_pipe_is_used_again() {
        let pipes = Rc::new(Pipes::default());
        let (mut source, from) = UnixStream::pair().unwrap();
        let (to, mut sink) = UnixStream::pair().unwrap();
        let mut pipe = pipes.take().unwrap();
        source.write_all(b"abc").unwrap();
        assert_eq!((pipe.fill_from(from.as_fd(), 2).unwrap(), pipe.held()), (2, 2));
        assert_eq!((pipe.empty_into(to.as_fd()).unwrap(), pipe.held()), (2, 0));
        let mut got = [0; 2];
        sink.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"ab");
        drop(pipe);
        assert_eq!((pipes.kept.borrow().len(), pipes.in_use.get()), (1, 0));
        let mut pipe = pipes.take().unwrap();
        pipe.fill_from(from.as_fd(), 9).unwrap();
        drop(pipe);
        assert_eq!((pipes.kept.borrow().len(), pipes.in_use.get()), (0, 0), "nobody gets another's bytes");
    }
}
