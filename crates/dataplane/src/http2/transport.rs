//! A connection below HTTP/2: a [`Stream`] as the h2 crate wants it.
//!
//! What the crate writes is gathered, and goes out once a turn: many frames in one call to the system, or in one record of TLS.

use std::{
    cell::{Cell, RefCell},
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::guard::{Flood, Guard};
use crate::{buffer::Pending, stream::Stream, worker::Worker};

/// A connection, as its task and the h2 crate share it.
pub(super) struct Socket {
    worker: Rc<Worker>,
    stream: RefCell<Stream>,
    pending: RefCell<Pending>,
    guard: Option<RefCell<Guard>>,
    /// Bytes went out since this was asked last.
    moved: Cell<bool>,
    /// Bytes that were read for nobody.
    dropped: Cell<usize>,
}

/// So many bytes are gathered before they go out.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// What is read of a connection that has ended, so that the client sees its end.
const DROPPED_BYTES_MAX: usize = 1 << 20;

/// Pieces that are written at once.
const PIECES_MAX: usize = 8;

impl Socket {
    /// `guarded`: what comes is counted, see [`Guard`].
    pub(super) fn new(worker: Rc<Worker>, stream: Stream, guarded: bool) -> Rc<Self> {
        let guard = guarded.then(|| RefCell::new(Guard::new(worker.table.now())));
        Rc::new(Self {
            worker,
            stream: RefCell::new(stream),
            pending: RefCell::default(),
            guard,
            moved: Cell::new(false),
            dropped: Cell::new(0),
        })
    }

    /// What the h2 crate is given.
    pub(super) fn transport(self: &Rc<Self>) -> Transport {
        Transport(self.clone())
    }

    /// Sends what was gathered. To be called after every turn of the h2 crate.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = self.stream.borrow_mut();
        let mut pending = self.pending.borrow_mut();
        while !pending.is_empty() {
            let written = pending.flush(&self.worker.buffers, &mut stream)?;
            self.moved.set(self.moved.get() || written > 0);
            if !pending.is_empty() {
                ready!(stream.poll_writable(cx))?;
            }
        }
        stream.poll_flush(cx)
    }

    /// Whether bytes went out since this was asked last.
    pub(super) fn take_moved(&self) -> bool {
        self.moved.take()
    }

    /// Whether something waits to go out.
    pub(super) fn is_stuck(&self) -> bool {
        !self.pending.borrow().is_empty()
    }

    /// Whether a request or data moved since this was asked last.
    pub(super) fn take_worked(&self) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.borrow_mut().take_worked())
    }

    /// What there was too much of.
    pub(super) fn flood(&self) -> Option<Flood> {
        self.guard.as_ref().and_then(|guard| guard.borrow().flood())
    }

    /// Says that nothing more comes.
    pub(super) fn finish(&self) {
        self.stream.borrow_mut().finish();
    }

    /// Reads and drops what comes. Ready at the end, or when it is too much.
    pub(super) fn poll_drop(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = self.worker.buffers.scratch.borrow_mut();
        loop {
            match self.stream.borrow_mut().poll_read(cx, &mut scratch) {
                Poll::Ready(Ok(bytes)) if bytes > 0 && self.dropped.get() < DROPPED_BYTES_MAX => {
                    self.dropped.set(self.dropped.get() + bytes);
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// See [`Stream::is_early`].
    pub(super) fn is_early(&self) -> bool {
        self.stream.borrow().is_early()
    }

    pub(super) fn rtt_micros(&self) -> Option<u32> {
        self.stream.borrow().rtt_micros()
    }

    /// Takes bytes; those that were counted.
    fn poll_put(&self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let pieces = &pieces[..pieces.len().min(PIECES_MAX)];
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        let gathered = self.pending.borrow().len();
        let taken = if gathered + total <= GATHERED_BYTES_MAX {
            self.pending.borrow_mut().keep(&self.worker.buffers, pieces, 0);
            total
        } else {
            if gathered > 0 {
                ready!(self.poll_send(cx))?;
            }
            let mut stream = self.stream.borrow_mut();
            loop {
                match stream.write(pieces)? {
                    0 => ready!(stream.poll_writable(cx))?,
                    written => break written,
                }
            }
        };
        if let Some(guard) = &self.guard {
            let (mut guard, mut left) = (guard.borrow_mut(), taken);
            for piece in pieces {
                let length = left.min(piece.len());
                guard.sent(self.worker.table.now(), &piece[..length]);
                left -= length;
            }
        }
        Poll::Ready(Ok(taken))
    }
}

/// A connection as the h2 crate wants it. Its flush does nothing, but at the end: [`Socket::poll_send`] does.
pub(super) struct Transport(Rc<Socket>);

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = &*self.0;
        if socket.flood().is_some() {
            // The connection's task ends it; what still comes is not looked at.
            return Poll::Pending;
        }
        let mut scratch = socket.worker.buffers.scratch.borrow_mut();
        let length = buffer.remaining().min(scratch.len());
        let read = socket.stream.borrow_mut().poll_read(cx, &mut scratch[..length]);
        let bytes = ready!(read)?;
        if let Some(guard) = &socket.guard {
            let mut guard = guard.borrow_mut();
            guard.received(socket.worker.table.now(), &scratch[..bytes]);
            if guard.flood().is_some() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        buffer.put_slice(&scratch[..bytes]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_put(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_put(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_send(cx))?;
        self.0.finish();
        Poll::Ready(Ok(()))
    }
}
