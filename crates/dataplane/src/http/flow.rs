//! A body on its way from one socket to another, in either direction.
//!
//! It comes through the worker's scratch buffer, through the body's own parser, and goes out at once; what the receiver does
//! not take waits, and nothing more is read until it is gone. Bytes that need no look (the rest of a length or of a chunk) go
//! through a pipe when one read showed that they come in bulk.
//!
//! Under a limit of bandwidth its owner says before every poll how much may be read ([`Flow::turn`]), and has it polled again when it is
//! [`Flow::held`].

use std::{
    io::IoSlice,
    task::{Context, Poll, ready},
};

use tokio::net::TcpStream;
use wire::h1::{Body, LAST_CHUNK, SizeLine, Transfer};

use super::{encoder::Encoder, fault::Fault, mirror::Tap};
use crate::{buffer::Pending, io, pipe::Pipe, rounds::TURN_BYTES, stream::Stream, worker::Worker};

/// What a read of a body asks for; one that is filled means bulk.
pub(super) const WINDOW_BYTES: usize = 128 * 1024;

/// What one asks for at least, however little may be read.
const WINDOW_BYTES_MIN: u64 = 4 * 1024;

/// Fewer certain bytes than this are not worth a pipe.
const SPLICE_BYTES_MIN: u64 = 64 * 1024;

/// Up to so many bytes of a body are copied behind their head.
const COPY_BYTES_MAX: usize = 4096;

/// A chunk's size line and end.
const CHUNK_OVERHEAD_BYTES: usize = 32;

/// A body on its way.
pub(super) struct Flow {
    body: Body,
    transfer: Transfer,
    pending: Pending,
    pipe: Option<Pipe>,
    /// What the body goes through, for [`Transfer::Recode`].
    encoder: Option<Box<Encoder>>,
    /// What is collected for a copy; the body's bytes are then all seen.
    tap: Option<Box<Tap>>,
    bulk: bool,
    /// The end was seen and sent (or is in `pending`).
    closed: bool,
    failed: Option<Fault>,
    /// Waiting for the sender rather than for the receiver.
    pub(super) starved: bool,
    /// About how much may be read in a poll. With none, whoever polls sees to it that it goes on.
    pub(super) turn: u64,
    /// Nothing might be read in a poll. Its owner takes it back.
    pub(super) held: bool,
    /// The sender's connection broke off in the other direction: an end of it is none.
    pub(super) cut: bool,
    /// Bytes of the body read so far, framing included.
    pub(super) read: u64,
    /// Bytes read and bytes written that were not counted yet.
    pub(super) uncounted: (u64, u64),
}

impl Flow {
    /// A body of which nothing was read yet.
    pub(super) fn new(body: Body, transfer: Transfer) -> Self {
        Self {
            body,
            transfer,
            pending: Pending::default(),
            pipe: None,
            encoder: None,
            tap: None,
            bulk: false,
            closed: false,
            failed: None,
            starved: false,
            turn: TURN_BYTES,
            held: false,
            cut: false,
            read: 0,
            uncounted: (0, 0),
        }
    }

    /// No body, and nothing to send.
    pub(super) fn none() -> Self {
        Self { closed: true, ..Self::new(Body::for_request(wire::h1::Framing::None), Transfer::None) }
    }

    /// From now on, what is sent is collected for a copy.
    pub(super) fn tap(&mut self) {
        self.tap = Some(Box::default());
    }

    /// What was collected.
    pub(super) fn take_tap(&mut self) -> Option<Box<Tap>> {
        self.tap.take()
    }

    /// Whether all of the body came in. (It may not have gone out yet.)
    pub(super) fn is_read(&self) -> bool {
        self.closed
    }

    /// Whether all of the body went out.
    pub(super) fn is_done(&self) -> bool {
        self.closed && self.is_flushed()
    }

    /// Whether all that came in went out.
    pub(super) fn is_flushed(&self) -> bool {
        self.pending.is_empty() && self.pipe.as_ref().is_none_or(|pipe| pipe.held() == 0)
    }

    /// What waits to go out, for a receiver that could not be reached.
    pub(super) fn pending(&mut self) -> &mut Pending {
        &mut self.pending
    }

    /// Replaces the body whose turn it is; what waits goes out before it.
    ///
    /// `bulk`: the read that brought the beginning of the body filled its window.
    pub(super) fn follow_with(&mut self, body: Body, transfer: Transfer, bulk: bool) {
        self.body = body;
        self.transfer = transfer;
        self.bulk = bulk;
        self.closed = false;
    }

    /// What the body goes through on its way; to be said before its head is sent.
    pub(super) fn encode_with(&mut self, encoder: Encoder) {
        self.encoder = Some(Box::new(encoder));
    }

    /// Sends a head that has no body, before the one whose turn it is.
    pub(super) fn send_head(&mut self, worker: &Worker, head: &[u8], to: &mut Stream) -> Result<(), Fault> {
        self.put(worker, &[IoSlice::new(head)], |pieces| {
            to.write(pieces).map_err(|error| Fault::sink(to, &error))
        })
    }

    /// The body cannot go on; the next poll says so.
    pub(super) fn fail(&mut self, fault: Fault) {
        self.failed = Some(fault);
    }

    /// Takes a head and the input behind it, and gives both to `send`; how much of the input was the body's.
    ///
    /// `send` is called with the pieces to write, and whether they are all; it says how many bytes the receiver took. What it did
    /// not take waits.
    /// At most one piece of a body goes with the head, the usual case; for what is left, and for the body's end, call
    /// [`Flow::feed`]. A small piece is copied behind the head: that is cheaper than a second piece to write.
    pub(super) fn begin(
        &mut self,
        worker: &Worker,
        head: &mut Vec<u8>,
        input: &[u8],
        send: impl FnOnce(&[IoSlice<'_>], bool) -> Result<usize, Fault>,
    ) -> Result<usize, Fault> {
        self.closed = self.transfer == Transfer::None || self.body.is_done();
        if self.closed || input.is_empty() || self.encoder.is_some() {
            let all = self.closed;
            self.put(worker, &[IoSlice::new(head)], |pieces| send(pieces, all))?;
            return Ok(0);
        }
        let step = self.step(input)?;
        let all = self.transfer == Transfer::Relay && self.body.is_done() && self.body.tail().is_empty();
        let (line, data, end) = (step.line.as_bytes(), step.data, step.end);
        if data.len() <= COPY_BYTES_MAX {
            head.extend_from_slice(line);
            head.extend_from_slice(data);
            head.extend_from_slice(end);
            self.put(worker, &[IoSlice::new(head)], |pieces| send(pieces, all))?;
        } else {
            head.extend_from_slice(line);
            let pieces = [IoSlice::new(head), IoSlice::new(data), IoSlice::new(end)];
            let count = if end.is_empty() { 2 } else { 3 };
            self.put(worker, &pieces[..count], |pieces| send(pieces, all))?;
        }
        Ok(step.consumed)
    }

    /// Takes input that is already in the scratch buffer; how much of it was the body's.
    pub(super) fn feed(&mut self, worker: &Worker, input: &[u8], to: &mut Stream) -> Result<usize, Fault> {
        let mut at = 0;
        if self.encoder.is_some() {
            return self.feed_encoder(worker, input, to);
        }
        while at < input.len() && !self.body.is_done() {
            let step = self.step(&input[at..])?;
            at += step.consumed;
            let pieces =
                [IoSlice::new(step.line.as_bytes()), IoSlice::new(step.data), IoSlice::new(step.end)];
            self.put(worker, &pieces, |pieces| to.write(pieces).map_err(|error| Fault::sink(to, &error)))?;
        }
        self.close_if_done(worker, to)?;
        Ok(at)
    }

    /// As [`Flow::feed`], through the encoder.
    fn feed_encoder(&mut self, worker: &Worker, input: &[u8], to: &mut Stream) -> Result<usize, Fault> {
        let mut at = 0;
        while at < input.len() && !self.body.is_done() {
            let decoded = self.body.decode(&input[at..]).map_err(Fault::Malformed)?;
            at += decoded.consumed;
            if let Some(encoder) = &mut self.encoder {
                encoder.push(decoded.data).map_err(|_| Fault::Source)?;
            }
        }
        self.count_read(at);
        let done = self.body.is_done();
        let out = match &mut self.encoder {
            Some(encoder) if !done => chunk(encoder.take_if_large()),
            Some(_) | None => self.encoded_end()?,
        };
        self.put(worker, &[IoSlice::new(&out)], |pieces| {
            to.write(pieces).map_err(|error| Fault::sink(to, &error))
        })?;
        self.closed |= done;
        Ok(at)
    }

    /// What the encoder still holds, as chunks up to the last one. The encoder is not needed any more.
    fn encoded_end(&mut self) -> Result<Vec<u8>, Fault> {
        let Some(mut encoder) = self.encoder.take() else { return Ok(Vec::new()) };
        encoder.finish().map_err(|_| Fault::Source)?;
        let mut end = chunk(encoder.take());
        end.extend_from_slice(LAST_CHUNK);
        Ok(end)
    }

    /// Brings out what the encoder holds, when the sender pauses.
    fn flush_encoder(&mut self, worker: &Worker) -> Result<(), Fault> {
        if let Some(encoder) = &mut self.encoder {
            encoder.flush().map_err(|_| Fault::Source)?;
            self.pending.keep(&worker.buffers, &[IoSlice::new(&chunk(encoder.take()))], 0);
        }
        Ok(())
    }

    /// Moves what can be moved now, and sees to it that the task is woken when more can be. Ready when the body is done.
    /// Bytes of the sender that are not the body's go to `surplus`.
    pub(super) fn poll(
        &mut self,
        worker: &Worker,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        surplus: &mut Vec<u8>,
    ) -> Poll<Result<(), Fault>> {
        let turn_ends = self.read + self.turn;
        loop {
            ready!(self.poll_flush(worker, cx, to))?;
            if let Some(fault) = self.failed.take() {
                return Poll::Ready(Err(fault));
            }
            if self.closed {
                self.pipe = None;
                return Poll::Ready(Ok(()));
            }
            let Some(left) = turn_ends.checked_sub(self.read).filter(|&left| left > 0) else {
                self.held = self.turn == 0;
                if !self.held {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            };
            self.starved = true;
            if self.may_splice()
                && let (Some(source), Some(_)) = (from.plain(), to.plain())
            {
                ready!(self.poll_splice(worker, cx, source, left))?;
            } else {
                ready!(self.poll_copy(worker, cx, from, to, surplus, left))?;
            }
            self.starved = false;
        }
    }

    /// Sends what waits. Ready when nothing waits.
    pub(super) fn poll_flush(
        &mut self,
        worker: &Worker,
        cx: &mut Context<'_>,
        to: &mut Stream,
    ) -> Poll<Result<(), Fault>> {
        while !self.is_flushed() {
            let written = match (&mut self.pipe, to.plain()) {
                (Some(pipe), Some(socket)) if self.pending.is_empty() => io::empty(socket, pipe),
                _ => self.pending.flush(&worker.buffers, to),
            };
            let written = written.map_err(|error| Fault::sink(to, &error))?;
            self.uncounted.1 += written as u64;
            if written == 0 {
                self.starved = false;
                // A connection that failed is ready, too; the next write tells.
                ready!(to.poll_writable(cx)).map_err(|error| Fault::sink(to, &error))?;
            }
        }
        let flushed = to.poll_flush(cx).map_err(|error| Fault::sink(to, &error));
        self.starved &= flushed.is_ready();
        flushed
    }

    fn may_splice(&mut self) -> bool {
        self.bulk
            && self.transfer == Transfer::Relay
            && self.tap.as_ref().is_none_or(|tap| tap.is_over())
            && self.body.opaque_remaining().is_none_or(|bytes| bytes >= SPLICE_BYTES_MIN)
    }

    fn poll_splice(
        &mut self,
        worker: &Worker,
        cx: &mut Context<'_>,
        from: &TcpStream,
        left: u64,
    ) -> Poll<Result<(), Fault>> {
        if self.pipe.is_none() {
            self.pipe = worker.pipes.take();
        }
        let Some(pipe) = &mut self.pipe else {
            self.bulk = false;
            return Poll::Ready(Ok(()));
        };
        let bytes_max = self.body.opaque_remaining().map_or(left, |bytes| bytes.min(left));
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let filled = match io::poll_fill(from, cx, pipe, bytes_max) {
            Poll::Ready(filled) => filled,
            Poll::Pending => {
                // The sender pauses: the pipe, which is empty, goes back meanwhile.
                self.pipe = None;
                return Poll::Pending;
            }
        };
        match filled {
            Ok(0) => self.end_of_source(worker)?,
            Ok(bytes) => {
                self.body.skip(bytes as u64);
                self.count_read(bytes);
                self.closed = self.body.is_done();
            }
            Err(_) => return Poll::Ready(Err(Fault::Source)),
        }
        Poll::Ready(Ok(()))
    }

    fn poll_copy(
        &mut self,
        worker: &Worker,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        surplus: &mut Vec<u8>,
        left: u64,
    ) -> Poll<Result<(), Fault>> {
        let mut scratch = worker.buffers.scratch.borrow_mut();
        let window_bytes = left.clamp(WINDOW_BYTES_MIN, WINDOW_BYTES as u64) as usize;
        let window = &mut scratch[..window_bytes.min(from.read_max()).min(to.ahead_max())];
        let bytes = match from.poll_read(cx, window) {
            Poll::Ready(Ok(0)) => {
                self.end_of_source(worker)?;
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Ok(bytes)) => bytes,
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Fault::Source)),
            Poll::Pending if self.encoder.as_ref().is_some_and(|encoder| encoder.is_dirty()) => {
                self.flush_encoder(worker)?;
                return Poll::Ready(Ok(()));
            }
            Poll::Pending => return Poll::Pending,
        };
        self.bulk = bytes == WINDOW_BYTES;
        let taken = self.feed(worker, &window[..bytes], to)?;
        if taken < bytes {
            worker.buffers.add(surplus, &window[taken..bytes]);
        }
        Poll::Ready(Ok(()))
    }

    /// The sender has said all.
    fn end_of_source(&mut self, worker: &Worker) -> Result<(), Fault> {
        if self.cut {
            return Err(Fault::Source);
        }
        self.body.handle_eof().map_err(Fault::Malformed)?;
        match self.transfer {
            Transfer::Enchunk => self.pending.keep(&worker.buffers, &[IoSlice::new(LAST_CHUNK)], 0),
            Transfer::Recode => {
                let end = self.encoded_end()?;
                self.pending.keep(&worker.buffers, &[IoSlice::new(&end)], 0);
            }
            Transfer::None | Transfer::Relay | Transfer::Dechunk => {}
        }
        self.closed = true;
        Ok(())
    }

    /// One step of the body's parser.
    fn step<'b>(&mut self, input: &'b [u8]) -> Result<Step<'b>, Fault> {
        let step = match self.transfer {
            Transfer::Relay | Transfer::None => {
                let relayed = self.body.relay(input).map_err(Fault::Malformed)?;
                Step { consumed: relayed.consumed, line: relayed.prefix, data: relayed.span, end: b"" }
            }
            Transfer::Dechunk | Transfer::Recode => {
                let decoded = self.body.decode(input).map_err(Fault::Malformed)?;
                Step { consumed: decoded.consumed, line: SizeLine::EMPTY, data: decoded.data, end: b"" }
            }
            Transfer::Enchunk => {
                let decoded = self.body.decode(input).map_err(Fault::Malformed)?;
                let (line, end): (_, &[u8]) = match decoded.data.len() as u64 {
                    0 => (SizeLine::EMPTY, b""),
                    length => (SizeLine::open(length), b"\r\n"),
                };
                Step { consumed: decoded.consumed, line, data: decoded.data, end }
            }
        };
        self.count_read(step.consumed);
        Ok(step)
    }

    /// Sends the end of a body that has just been read to its end.
    fn close_if_done(&mut self, worker: &Worker, to: &mut Stream) -> Result<(), Fault> {
        if self.closed || !self.body.is_done() {
            return Ok(());
        }
        self.closed = true;
        if self.transfer == Transfer::Relay && !self.body.tail().is_empty() {
            let piece = [IoSlice::new(self.body.tail())];
            if let Some(tap) = &mut self.tap {
                tap.take(worker, &piece);
            }
            let written = match self.pending.is_empty() {
                true => to.write(&piece).map_err(|error| Fault::sink(to, &error))?,
                false => 0,
            };
            self.uncounted.1 += written as u64;
            self.pending.keep(&worker.buffers, &piece, written);
        }
        Ok(())
    }

    /// Sends pieces, behind what waits.
    fn put(
        &mut self,
        worker: &Worker,
        pieces: &[IoSlice<'_>],
        send: impl FnOnce(&[IoSlice<'_>]) -> Result<usize, Fault>,
    ) -> Result<(), Fault> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if length == 0 {
            return Ok(());
        }
        if let Some(tap) = &mut self.tap {
            tap.take(worker, pieces);
        }
        let written = if self.is_flushed() { send(pieces)? } else { 0 };
        self.uncounted.1 += written as u64;
        if written < length {
            self.pending.keep(&worker.buffers, pieces, written);
        }
        Ok(())
    }

    fn count_read(&mut self, bytes: usize) {
        self.read += bytes as u64;
        self.uncounted.0 += bytes as u64;
    }
}

/// Data as a chunk; no data gives nothing, as that would be the end of the body.
fn chunk(data: Vec<u8>) -> Vec<u8> {
    if data.is_empty() {
        return data;
    }
    let mut chunk = Vec::with_capacity(data.len() + CHUNK_OVERHEAD_BYTES);
    chunk.extend_from_slice(SizeLine::open(data.len() as u64).as_bytes());
    chunk.extend_from_slice(&data);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// What the parser made of some input.
struct Step<'b> {
    consumed: usize,
    line: SizeLine,
    data: &'b [u8],
    end: &'static [u8],
}
