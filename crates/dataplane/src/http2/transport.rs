//! A connection below HTTP/2: a [`Stream`] as the h2 crate wants it.
//!
//! What the crate writes is gathered, and goes out once a turn: many frames in one call to the system, or in one record of TLS.
//! What a client says goes by a [`Watch`] first, so that the crate sees no frame that it would take, or name, wrongly.

use std::{
    cell::{Cell, RefCell},
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use h2::Reason;
use wire::h2::{Fault, Referee};

use super::guard::{Flood, Guard};
use crate::{buffer::Pending, stream::Stream, sys::rtt::RoundTrip, worker::Worker};

/// A connection, as its task and the h2 crate share it.
pub(super) struct Socket {
    worker: Rc<Worker>,
    stream: RefCell<Stream>,
    pending: RefCell<Pending>,
    watch: Option<RefCell<Watch>>,
    /// Bytes went out since this was asked last.
    moved: Cell<bool>,
    /// Bytes that were read in this turn.
    read: Cell<usize>,
    /// Bytes that were read for nobody.
    dropped: Cell<usize>,
    rtt: RoundTrip,
}

/// Looks at all that goes between a client and the h2 crate.
struct Watch {
    referee: Referee,
    guard: Guard,
    fault: Option<Fault>,
    /// What the h2 crate is to be given and had no room for.
    held: Vec<u8>,
    held_at: usize,
}

/// Why a connection has to end.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum Misdeed {
    #[error(transparent)]
    Fault(Fault),
    #[error("too many frames that bring nothing about: {0:?}")]
    Flood(Flood),
}

/// So many bytes are gathered before they go out.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// So many bytes are read before others get their turn.
const TURN_BYTES: usize = 128 * 1024;

/// What is read of a connection that has ended, so that the client sees its end.
const DROPPED_BYTES_MAX: usize = 1 << 20;

/// Pieces that are written at once.
const PIECES_MAX: usize = 8;

impl Socket {
    /// `watched`: it is a client's, see [`Watch`].
    pub(super) fn new(worker: Rc<Worker>, stream: Stream, watched: bool) -> Rc<Self> {
        let watch = watched.then(|| RefCell::new(Watch::new(worker.table.now())));
        Rc::new(Self {
            worker,
            stream: RefCell::new(stream),
            pending: RefCell::default(),
            watch,
            moved: Cell::new(false),
            read: Cell::new(0),
            dropped: Cell::new(0),
            rtt: RoundTrip::default(),
        })
    }

    /// What the h2 crate is given.
    pub(super) fn transport(self: &Rc<Self>) -> Transport {
        Transport(self.clone())
    }

    /// Sends what was gathered. To be called after every turn of the h2 crate.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.read.set(0);
        self.poll_write_out(cx)
    }

    fn poll_write_out(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
        self.watch.as_ref().is_some_and(|watch| watch.borrow_mut().guard.take_worked())
    }

    /// Why the connection has to end.
    pub(super) fn misdeed(&self) -> Option<Misdeed> {
        self.watch.as_ref().and_then(|watch| watch.borrow().misdeed())
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
        self.rtt.micros(self.worker.table.now(), || self.stream.borrow().rtt_micros())
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
                ready!(self.poll_write_out(cx))?;
            }
            let mut stream = self.stream.borrow_mut();
            loop {
                match stream.write(pieces)? {
                    0 => ready!(stream.poll_writable(cx))?,
                    written => break written,
                }
            }
        };
        if let Some(watch) = &self.watch {
            let (mut watch, mut left) = (watch.borrow_mut(), taken);
            for piece in pieces {
                let length = left.min(piece.len());
                watch.sent(self.worker.table.now(), &piece[..length]);
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
        loop {
            if let Some(watch) = &socket.watch {
                let watch = &mut *watch.borrow_mut();
                if watch.give_held(buffer) {
                    return Poll::Ready(Ok(()));
                }
                if watch.misdeed().is_some() {
                    // The connection's task ends it in this same turn; what still comes is not looked at.
                    return Poll::Pending;
                }
            }
            if socket.read.get() >= TURN_BYTES {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let mut scratch = socket.worker.buffers.scratch.borrow_mut();
            let length = buffer.remaining().min(scratch.len());
            let read = socket.stream.borrow_mut().poll_read(cx, &mut scratch[..length]);
            let bytes = ready!(read)?;
            socket.read.set(socket.read.get() + bytes);
            match &socket.watch {
                Some(watch) if bytes > 0 => {
                    let before = buffer.filled().len();
                    watch.borrow_mut().received(socket.worker.table.now(), &scratch[..bytes], buffer);
                    // What is held until more of it comes is not the end.
                    if buffer.filled().len() > before {
                        return Poll::Ready(Ok(()));
                    }
                }
                _ => {
                    buffer.put_slice(&scratch[..bytes]);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl Watch {
    fn new(now: u32) -> Self {
        Self { referee: Referee::new(), guard: Guard::new(now), fault: None, held: Vec::new(), held_at: 0 }
    }

    fn misdeed(&self) -> Option<Misdeed> {
        self.fault.map(Misdeed::Fault).or(self.guard.flood().map(Misdeed::Flood))
    }

    /// Looks at what came, and puts what the h2 crate may see into `buffer`, or holds it.
    fn received(&mut self, now: u32, bytes: &[u8], buffer: &mut ReadBuf<'_>) {
        let (guard, held) = (&mut self.guard, &mut self.held);
        let judged = self.referee.received(
            bytes,
            |frame| guard.received(now, &frame),
            |bytes| {
                let room = if held.is_empty() { bytes.len().min(buffer.remaining()) } else { 0 };
                buffer.put_slice(&bytes[..room]);
                held.extend_from_slice(&bytes[room..]);
            },
        );
        self.fault = judged.err();
    }

    fn sent(&mut self, now: u32, bytes: &[u8]) {
        let guard = &mut self.guard;
        self.referee.sent(bytes, |frame| guard.sent(now, &frame));
    }

    /// Gives what is held; whether there was something.
    fn give_held(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let held = &self.held[self.held_at..];
        let length = held.len().min(buffer.remaining());
        buffer.put_slice(&held[..length]);
        self.held_at += length;
        if self.held_at == self.held.len() {
            (self.held, self.held_at) = (Vec::new(), 0);
        }
        length > 0
    }
}

impl Misdeed {
    /// What the client is told.
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::Fault(fault) => fault.code().into(),
            Self::Flood(_) => Reason::ENHANCE_YOUR_CALM,
        }
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
