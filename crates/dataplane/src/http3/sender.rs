//! What goes out on a stream: frames, as far as QUIC's windows let them.
//!
//! What was taken and QUIC has no room for waits here, and nothing more is taken meanwhile.

use std::{
    io,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use quinn::{SendStream, WriteError};
use wire::h3::{Code, kind, push_frame_header};

use super::{message, said};
use crate::{
    http2::{in_hand::InHand, outgoing::Sink},
    worker::Worker,
};

/// The sending half of a stream.
pub(super) struct Sender {
    worker: Rc<Worker>,
    stream: SendStream,
    /// Taken, and not yet QUIC's.
    waiting: Waiting,
    /// Nothing follows.
    last: bool,
    /// QUIC knows that nothing follows, or that it is not all.
    ended: bool,
}

/// Bytes that wait, as the connection knows.
struct Waiting {
    pieces: Vec<Bytes>,
    bytes: usize,
    in_hand: Rc<InHand>,
}

/// What is taken at a time.
const TAKEN_BYTES_MAX: usize = 128 * 1024;

impl Sender {
    pub(super) fn new(worker: Rc<Worker>, stream: SendStream, in_hand: Rc<InHand>) -> Self {
        let waiting = Waiting { pieces: Vec::new(), bytes: 0, in_hand };
        Self { worker, stream, waiting, last: false, ended: false }
    }

    /// Takes bytes.
    pub(super) fn put(&mut self, bytes: Bytes) -> io::Result<()> {
        self.waiting.pieces.push(bytes);
        self.send()
    }

    /// Takes note that nothing follows.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.last = true;
        self.send()
    }

    /// The client must not take what it has for all.
    pub(super) fn reset(&mut self, code: Code) {
        self.waiting.pieces.clear();
        self.waiting.note();
        if !std::mem::replace(&mut self.ended, true) {
            // It is closed already: the client gave it up.
            let _closed = self.stream.reset(said(code));
        }
    }

    /// Ready when QUIC has all that was taken.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.pieces.is_empty() {
            let written = pin!(self.stream.write_chunks(&mut self.waiting.pieces)).poll(cx);
            if let Poll::Ready(Ok(written)) = &written {
                self.waiting.pieces.drain(..written.chunks);
            }
            self.waiting.note();
            ready!(written).map_err(lost)?;
        }
        if self.last && !std::mem::replace(&mut self.ended, true) {
            // The client gave it up, which is no matter any more.
            let _closed = self.stream.finish();
        }
        Poll::Ready(Ok(()))
    }

    /// As [`Sender::poll_send`]; whoever wants to know more asks that.
    fn send(&mut self) -> io::Result<()> {
        match self.poll_send(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        }
    }

    /// Whether QUIC has all that was taken.
    pub(super) fn is_sent(&self) -> bool {
        self.waiting.pieces.is_empty() && (self.ended || !self.last)
    }

    /// QUIC's side of it.
    pub(super) fn stream(&self) -> &SendStream {
        &self.stream
    }

    /// The same, when it is needed for nothing else.
    pub(super) fn into_stream(self) -> SendStream {
        self.stream
    }
}

impl Sink for Sender {
    fn room(&mut self, _: usize) -> usize {
        if self.waiting.pieces.is_empty() { TAKEN_BYTES_MAX } else { 0 }
    }

    fn send_data(&mut self, data: BytesMut, end: bool) -> io::Result<()> {
        if !data.is_empty() {
            let mut header = Vec::with_capacity(9);
            push_frame_header(&mut header, kind::DATA, data.len() as u64);
            self.waiting.pieces.push(self.worker.buffers.share(&header));
            self.waiting.pieces.push(data.freeze());
        }
        self.last |= end;
        self.send()
    }

    fn send_trailers(&mut self, trailers: HeaderMap) -> io::Result<()> {
        self.waiting.pieces.push(message::trailers_frame(&trailers));
        self.finish()
    }

    fn poll_room(&mut self, cx: &mut Context<'_>, _: usize) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }
}

impl Waiting {
    /// Tells the connection how much it is.
    fn note(&mut self) {
        let now = self.pieces.iter().map(Bytes::len).sum();
        self.in_hand.set_beside(&mut self.bytes, now);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.in_hand.set_beside(&mut self.bytes, 0);
    }
}

fn lost(error: WriteError) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}
