//! What comes on a stream of HTTP/2 or HTTP/3, read as the bytes of HTTP/1.1: a head, then its body in the framing that the head says.
//!
//! The peer's window opens only as bytes are read, so whoever does not read holds the peer back.

use std::{
    io,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use h2::RecvStream;
use http::HeaderMap;
use wire::h1::SizeLine;

use super::{broken, request::say_field};
use crate::buffer::Buffers;

/// How a body is framed in HTTP/1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// Its bytes alone; the head says how many.
    Plain,
    /// In chunks; trailers follow.
    Chunked,
    /// Bytes of another protocol, once both sides agreed to it; before, nothing may be read.
    Tunnel,
}

/// Where a body comes from.
pub(crate) trait Body {
    /// The next data, never empty for long; none: they have ended.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>>;

    /// The trailers behind the data, if there are some.
    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<HeaderMap>>>;

    /// Lets the peer send so many bytes more.
    fn release(&mut self, bytes: usize) -> io::Result<()>;
}

impl Body for RecvStream {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.poll_data(cx).map(|data| data.map(|data| data.map_err(broken)))
    }

    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<HeaderMap>>> {
        self.poll_trailers(cx).map_err(broken)
    }

    fn release(&mut self, bytes: usize) -> io::Result<()> {
        self.flow_control().release_capacity(bytes).map_err(broken)
    }
}

/// What comes on a stream.
pub(crate) struct Incoming<B> {
    /// What is to be read first: a head, trailers.
    text: Vec<u8>,
    at: usize,
    body: Option<B>,
    /// Came, and was not read.
    data: Bytes,
    framing: Framing,
    phase: Phase,
    /// Another protocol was agreed to.
    tunnel: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Data,
    Trailers,
    Done,
}

/// A chunk's size in at most 16 digits, and two ends of lines.
const CHUNK_BYTES: usize = 20;

impl<B: Body> Incoming<B> {
    /// A head, and the body that follows it.
    pub(crate) fn new(text: Vec<u8>, body: B, framing: Framing) -> Self {
        let phase = if framing == Framing::None { Phase::Done } else { Phase::Data };
        Self { text, at: 0, body: Some(body), data: Bytes::new(), framing, phase, tunnel: false }
    }

    /// Nothing came yet, not even a head.
    pub(crate) fn none() -> Self {
        Self {
            text: Vec::new(),
            at: 0,
            body: None,
            data: Bytes::new(),
            framing: Framing::None,
            phase: Phase::Done,
            tunnel: false,
        }
    }

    /// Both sides agreed to another protocol: its bytes may be read.
    pub(crate) fn open_tunnel(&mut self) {
        (self.framing, self.tunnel) = (Framing::Plain, true);
    }

    /// Nothing more of a request is read. (A tunnel ends on each side for itself.)
    pub(crate) fn close_unless_tunnel(&mut self) {
        if !self.tunnel {
            self.close();
        }
    }

    /// Where the body comes from.
    pub(crate) fn body(&mut self) -> Option<&mut B> {
        self.body.as_mut()
    }

    /// Nothing more is read.
    pub(crate) fn close(&mut self) {
        (self.phase, self.text, self.data) = (Phase::Done, Vec::new(), Bytes::new());
    }

    /// Reads into `buffer`; `Ready(Ok(0))` is the end.
    pub(crate) fn poll_read(
        &mut self,
        buffers: &Buffers,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut filled = 0;
        loop {
            let read = self.poll_more(buffers, cx, &mut buffer[filled..]);
            return match read {
                Poll::Ready(Ok(bytes)) if bytes > 0 => {
                    filled += bytes;
                    if buffer.len() - filled <= CHUNK_BYTES {
                        return Poll::Ready(Ok(filled));
                    }
                    continue;
                }
                // An end or an error is told again by the next read.
                Poll::Ready(_) | Poll::Pending if filled > 0 => Poll::Ready(Ok(filled)),
                other => other,
            };
        }
    }

    fn poll_more(
        &mut self,
        buffers: &Buffers,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.at < self.text.len() {
                let length = buffer.len().min(self.text.len() - self.at);
                buffer[..length].copy_from_slice(&self.text[self.at..self.at + length]);
                self.at += length;
                if self.at == self.text.len() {
                    self.at = 0;
                    buffers.give_back(std::mem::take(&mut self.text));
                }
                return Poll::Ready(Ok(length));
            }
            if self.framing == Framing::Tunnel && self.phase != Phase::Done {
                return Poll::Pending;
            }
            if !self.data.is_empty() {
                if let Some(length) = self.take_data(buffer)? {
                    return Poll::Ready(Ok(length));
                }
                continue;
            }
            let Some(body) = &mut self.body else { return Poll::Ready(Ok(0)) };
            match self.phase {
                Phase::Done => return Poll::Ready(Ok(0)),
                Phase::Data => match ready!(body.poll_data(cx)) {
                    Some(Ok(data)) => self.data = data,
                    Some(Err(error)) => return Poll::Ready(Err(error)),
                    None => self.phase = Phase::Trailers,
                },
                Phase::Trailers => {
                    let trailers = ready!(body.poll_trailers(cx))?;
                    self.phase = Phase::Done;
                    if self.framing == Framing::Chunked {
                        self.text = buffers.keep(b"0\r\n");
                        // Behind a body of a known length HTTP/1.1 has no place for them; they may be dropped
                        // (RFC 9110 section 6.5.1).
                        for (name, value) in trailers.iter().flatten() {
                            say_field(&mut self.text, name, value)
                                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                        }
                        self.text.extend_from_slice(b"\r\n");
                    }
                }
            }
        }
    }

    /// Moves data; none when the buffer has no room for a chunk, which is then text.
    fn take_data(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let chunked = self.framing == Framing::Chunked;
        let room = if chunked { buffer.len().saturating_sub(CHUNK_BYTES) } else { buffer.len() };
        if room == 0 {
            let part = self.data.split_to(self.data.len().min(1024));
            self.text.clear();
            wire::h1::push_chunk(&mut self.text, &part);
            self.release(part.len())?;
            return Ok(None);
        }
        let length = room.min(self.data.len());
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            buffer[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        if chunked {
            put(SizeLine::open(length as u64).as_bytes());
        }
        put(&self.data[..length]);
        if chunked {
            put(b"\r\n");
        }
        self.data.advance(length);
        self.release(length)?;
        Ok(Some(at))
    }

    /// Lets the peer send so many bytes more.
    fn release(&mut self, bytes: usize) -> io::Result<()> {
        match &mut self.body {
            Some(body) => body.release(bytes),
            None => Ok(()),
        }
    }
}
