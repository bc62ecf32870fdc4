//! What comes on the stream of a request: its head, then data, then trailers, as frames.
//!
//! Only a block of fields is ever kept until it is whole, and that is bounded. QUIC's window opens as data are taken, so whoever does
//! not take them holds the client back.

use std::{
    io,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, request::Parts};
use quinn::{ReadError, RecvStream};
use wire::h3::{Code, Frame, Frames, Piece, kind};

use super::{
    connection::Session,
    message::{self, BadFields, FIELDS_BYTES_MAX},
    said,
};
use crate::http2::incoming::Body;

/// The receiving half of a request's stream.
pub(super) struct Receiver {
    session: Rc<Session>,
    stream: RecvStream,
    /// Came, and was not looked at.
    chunk: Bytes,
    frames: Frames,
    stage: Stage,
    /// A block of fields that is not whole.
    block: Vec<u8>,
    /// What comes next, if somebody looked ahead.
    next: Option<Event>,
    trailers: Option<HeaderMap>,
    /// What is left of a body whose length was said.
    left: Option<u64>,
    tunnel: bool,
    /// What the stream has to be reset with, if its client broke a rule.
    wrong: Option<Code>,
    /// QUIC has nothing more to say of it.
    over: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Body,
    /// Behind trailers nothing comes that means anything.
    Behind,
}

/// What came.
enum Event {
    /// A block of fields.
    Fields(Vec<u8>),
    Data(Bytes),
    End,
}

/// Why nothing more comes.
pub(super) enum Fault {
    /// The client broke a rule, which ends its connection.
    Connection(Code, &'static str),
    /// It broke one that ends this stream.
    Stream(Code, &'static str),
    /// A head is longer than we take.
    TooLong,
    /// The stream was reset, or its connection ended.
    Lost(io::Error),
}

/// What is taken of QUIC at a time.
const CHUNK_BYTES: usize = 64 * 1024;

impl Receiver {
    pub(super) fn new(session: Rc<Session>, stream: RecvStream) -> Self {
        Self {
            session,
            stream,
            chunk: Bytes::new(),
            frames: Frames::default(),
            stage: Stage::Head,
            block: Vec::new(),
            next: None,
            trailers: None,
            left: None,
            tunnel: false,
            wrong: None,
            over: false,
        }
    }

    /// The head of the request.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Parts, Fault>> {
        let block = match ready!(self.poll_event(cx))? {
            Event::Fields(block) => block,
            // Data in front of a head are refused where their frame begins.
            Event::Data(_) | Event::End => {
                return Poll::Ready(Err(Fault::Stream(Code::REQUEST_INCOMPLETE, "a request without a head")));
            }
        };
        self.stage = Stage::Body;
        let mut text = self.session.door.worker.buffers.keep(b"");
        let parts = message::request(&block, &mut text);
        self.session.door.worker.buffers.give_back(text);
        Poll::Ready(parts.map_err(|bad| match bad {
            BadFields::TooLong => Fault::TooLong,
            other => fault_of(other),
        }))
    }

    /// Whether the request has no body; ready when that is known.
    pub(super) fn poll_is_bare(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Fault>> {
        if self.next.is_none() {
            self.next = Some(ready!(self.poll_event(cx))?);
        }
        Poll::Ready(Ok(matches!(self.next, Some(Event::End))))
    }

    /// How long the body is said to be; none: nothing is said.
    pub(super) fn expect(&mut self, length: Option<u64>) {
        self.left = length;
    }

    /// What comes are bytes of a tunnel, which has no trailers.
    pub(super) fn expect_tunnel(&mut self) {
        self.tunnel = true;
    }

    /// What the stream has to be reset with, if its client broke a rule.
    pub(super) fn wrong(&self) -> Option<Code> {
        self.wrong
    }

    /// Tells the client that nothing more is taken, if it has more to say.
    pub(super) fn stop(&mut self, code: Code) {
        if !std::mem::replace(&mut self.over, true) {
            // It ended by itself.
            let _closed = self.stream.stop(said(code));
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Fault>> {
        if let Some(event) = self.next.take() {
            return Poll::Ready(Ok(event));
        }
        loop {
            if self.chunk.is_empty() && !self.over {
                match ready!(pin!(self.stream.read_chunk(CHUNK_BYTES, true)).poll(cx)) {
                    Ok(Some(chunk)) => self.chunk = chunk.bytes,
                    Ok(None) => self.over = true,
                    Err(error) => {
                        self.over = true;
                        return Poll::Ready(Err(Fault::Lost(lost(error))));
                    }
                }
            }
            if self.chunk.is_empty() && self.over {
                return Poll::Ready(self.end());
            }
            let (used, piece) = self
                .frames
                .read(&self.chunk)
                .map_err(|code| Fault::Connection(code, "a frame that HTTP/3 forbids"))?;
            self.chunk.advance(used);
            match piece {
                Piece::More => {}
                Piece::Begins(frame) => {
                    self.check(frame)?;
                    if frame.kind == kind::HEADERS && frame.length == 0 {
                        return Poll::Ready(Ok(self.fields()));
                    }
                }
                Piece::Payload(bytes, last) => {
                    let part = self.chunk.split_to(bytes);
                    match self.frames.frame().map(|frame| frame.kind) {
                        Some(kind::DATA) => return Poll::Ready(Ok(Event::Data(part))),
                        Some(kind::HEADERS) => {
                            self.block.extend_from_slice(&part);
                            if last {
                                return Poll::Ready(Ok(self.fields()));
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn fields(&mut self) -> Event {
        if self.stage == Stage::Body {
            self.stage = Stage::Behind;
        }
        Event::Fields(std::mem::take(&mut self.block))
    }

    /// Whether a frame may come now (RFC 9114 sections 4.1 and 7).
    fn check(&self, frame: Frame) -> Result<(), Fault> {
        let fits = match (frame.kind, self.stage) {
            (kind::HEADERS, Stage::Head) => true,
            (kind::HEADERS, Stage::Body) => !self.tunnel,
            (kind::DATA, Stage::Body) => {
                if self.left.is_some_and(|left| frame.length > left) {
                    return Err(Fault::Stream(Code::MESSAGE_ERROR, "more data than Content-Length says"));
                }
                true
            }
            _ => !frame.is_known(),
        };
        if !fits {
            return Err(Fault::Connection(Code::FRAME_UNEXPECTED, "a frame at the wrong place of a request"));
        }
        if frame.kind == kind::HEADERS && frame.length > FIELDS_BYTES_MAX as u64 {
            return Err(match self.stage {
                Stage::Head => Fault::TooLong,
                _ => Fault::Stream(Code::EXCESSIVE_LOAD, "trailers longer than we take"),
            });
        }
        Ok(())
    }

    fn end(&self) -> Result<Event, Fault> {
        if !self.frames.is_between() {
            return Err(Fault::Connection(Code::FRAME_ERROR, "a stream ends within a frame"));
        }
        if self.stage == Stage::Head {
            return Err(Fault::Stream(Code::REQUEST_INCOMPLETE, "a request without a head"));
        }
        Ok(Event::End)
    }

    /// Sees to a fault, and says it to whoever reads.
    pub(super) fn fail(&mut self, fault: Fault) -> io::Error {
        let (code, why) = match fault {
            Fault::Connection(code, why) => {
                self.session.fail(code, why);
                (code, why)
            }
            Fault::Stream(code, why) => (code, why),
            Fault::TooLong => (Code::EXCESSIVE_LOAD, "a head longer than we take"),
            Fault::Lost(error) => return error,
        };
        self.wrong = Some(code);
        tracing::debug!(client = %self.session.peer, why, "what a client sent ends its stream");
        io::Error::new(io::ErrorKind::InvalidData, why)
    }

    /// Notes what is left of the body.
    fn count(&mut self, bytes: usize) -> Result<(), Fault> {
        if let Some(left) = &mut self.left {
            let more = || Fault::Stream(Code::MESSAGE_ERROR, "more data than Content-Length says");
            *left = left.checked_sub(bytes as u64).ok_or_else(more)?;
        }
        Ok(())
    }

    fn data_ended(&self) -> Result<(), Fault> {
        match self.left {
            Some(1..) => Err(Fault::Stream(Code::MESSAGE_ERROR, "fewer data than Content-Length says")),
            _ => Ok(()),
        }
    }

    /// The next data; none: they have ended.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        Poll::Ready(match ready!(self.poll_event(cx))? {
            Event::Data(data) => {
                self.count(data.len())?;
                Ok(Some(data))
            }
            Event::End => {
                // It is told again.
                self.next = Some(Event::End);
                self.data_ended()?;
                Ok(None)
            }
            Event::Fields(block) => {
                self.data_ended()?;
                let mut text = self.session.door.worker.buffers.keep(b"");
                let trailers = message::trailers(&block, &mut text);
                self.session.door.worker.buffers.give_back(text);
                self.trailers = Some(trailers.map_err(fault_of)?);
                Ok(None)
            }
        })
    }
}

impl Body for Receiver {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let data = ready!(self.poll_next(cx)).map_err(|fault| self.fail(fault));
        Poll::Ready(data.transpose())
    }

    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<HeaderMap>>> {
        // What is behind them has to be nothing.
        loop {
            match ready!(self.poll_event(cx)) {
                Ok(Event::End) => {
                    self.next = Some(Event::End);
                    return Poll::Ready(Ok(self.trailers.take()));
                }
                // Their frames are refused where they begin.
                Ok(Event::Data(_) | Event::Fields(_)) => {}
                Err(fault) => return Poll::Ready(Err(self.fail(fault))),
            }
        }
    }

    fn release(&mut self, _: usize) -> io::Result<()> {
        // QUIC's window opens when data are taken out of it.
        Ok(())
    }
}

fn fault_of(bad: BadFields) -> Fault {
    match bad {
        BadFields::Undecodable => {
            Fault::Connection(Code::QPACK_DECOMPRESSION_FAILED, "fields that cannot be unpacked")
        }
        BadFields::TooLong => Fault::Stream(Code::EXCESSIVE_LOAD, "more fields than we take"),
        BadFields::Malformed(why) => Fault::Stream(Code::MESSAGE_ERROR, why),
    }
}

fn lost(error: ReadError) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}
