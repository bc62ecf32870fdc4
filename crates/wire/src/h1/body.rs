//! A body of any framing on its way through: how much of the input belongs to it, and what to send on.

use super::{BodyError, ChunkedDecoder, Framing, Header, ResponseFraming, SizeLine};

/// What a body made of some input, for a receiver that gets it with the framing that it came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed<'b> {
    /// So many bytes of the input were taken: call again with the rest, while there is one and not `done`.
    pub consumed: usize,
    /// To be sent first; often empty.
    pub prefix: SizeLine,
    /// To be sent next: a part of the input, unchanged. May be empty.
    pub span: &'b [u8],
    /// The body has ended: send [`Body::tail`], feed no more. What is left of the input is not the body's.
    pub done: bool,
}

/// What a body made of some input, for a receiver that gets the bare data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded<'b> {
    /// So many bytes of the input were taken: call again with the rest, while there is one and not `done`.
    pub consumed: usize,
    /// A part of the input: data. May be empty.
    pub data: &'b [u8],
    /// The body has ended. What is left of the input is not the body's.
    pub done: bool,
}

/// A body that is being read. Begin with [`Body::for_request`] or [`Body::for_response`]; ask [`Body::is_done`] before
/// the first input, for a body may be empty.
#[derive(Clone, Debug)]
pub enum Body {
    /// So many bytes.
    Length(LengthBody),
    /// Chunks.
    Chunked(ChunkedDecoder),
    /// All bytes until the connection closes; `true` once it did.
    UntilClose(bool),
}

/// Counts the bytes of a body of known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthBody {
    remaining: u64,
}

impl LengthBody {
    /// A body of so many bytes.
    pub fn new(length: u64) -> Self {
        Self { remaining: length }
    }

    /// Bytes still to come.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Takes the part of `input` that belongs to the body; the rest of `input` does not.
    pub fn take<'b>(&mut self, input: &'b [u8]) -> &'b [u8] {
        let n = self.remaining.min(input.len() as u64);
        self.remaining -= n;
        &input[..n as usize]
    }

    /// `n` bytes of the body went by without being shown here.
    ///
    /// # Panics
    /// If `n` is over [`remaining`](Self::remaining).
    pub fn skip(&mut self, n: u64) {
        assert!(n <= self.remaining, "the caller moves no more than the body has");
        self.remaining -= n;
    }
}

impl Body {
    /// The body of a request.
    pub fn for_request(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Length(LengthBody::new(0)),
            Framing::Length(length) => Self::Length(LengthBody::new(length)),
            Framing::Chunked => Self::Chunked(ChunkedDecoder::new()),
        }
    }

    /// The body of a response.
    pub fn for_response(framing: ResponseFraming) -> Self {
        match framing {
            ResponseFraming::None => Self::Length(LengthBody::new(0)),
            ResponseFraming::Length(length) => Self::Length(LengthBody::new(length)),
            ResponseFraming::Chunked => Self::Chunked(ChunkedDecoder::new()),
            ResponseFraming::UntilClose => Self::UntilClose(false),
        }
    }

    /// Has the body ended?
    pub fn is_done(&self) -> bool {
        match self {
            Self::Length(body) => body.remaining == 0,
            Self::Chunked(body) => body.is_done(),
            Self::UntilClose(closed) => *closed,
        }
    }

    /// Bytes that certainly belong to the body and need no look at them, so they may be spliced: the rest of the
    /// length or of the current chunk; `None` for all bytes until the connection closes.
    pub fn opaque_remaining(&self) -> Option<u64> {
        match self {
            Self::Length(body) => Some(body.remaining),
            Self::Chunked(body) => Some(body.chunk_remaining()),
            Self::UntilClose(_) => None,
        }
    }

    /// `n` of the opaque bytes went by without being shown here.
    ///
    /// # Panics
    /// If `n` is over [`opaque_remaining`](Self::opaque_remaining).
    pub fn skip(&mut self, n: u64) {
        match self {
            Self::Length(body) => body.skip(n),
            Self::Chunked(body) => body.skip(n),
            Self::UntilClose(_) => {}
        }
    }

    /// Takes input for a receiver that gets the body with the framing that it came with.
    ///
    /// # Errors
    /// The input does not follow the framing: see [`BodyError`]. Nothing more may be fed.
    pub fn relay<'b>(&mut self, input: &'b [u8]) -> Result<Relayed<'b>, BodyError> {
        match self {
            Self::Chunked(body) => body.relay(input),
            Self::Length(_) | Self::UntilClose(_) => {
                let Decoded { consumed, data, done } = self.decode(input)?;
                Ok(Relayed { consumed, prefix: SizeLine::EMPTY, span: data, done })
            }
        }
    }

    /// Takes input for a receiver that gets the bare data.
    ///
    /// # Errors
    /// The input does not follow the framing: see [`BodyError`]. Nothing more may be fed.
    pub fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Decoded<'b>, BodyError> {
        match self {
            Self::Length(body) => {
                let data = body.take(input);
                Ok(Decoded { consumed: data.len(), data, done: body.remaining == 0 })
            }
            Self::Chunked(body) => body.decode(input),
            Self::UntilClose(closed) => Ok(Decoded { consumed: input.len(), data: input, done: *closed }),
        }
    }

    /// The connection has ended.
    ///
    /// # Errors
    /// [`BodyError::Truncated`] when the body has not.
    pub fn handle_eof(&mut self) -> Result<(), BodyError> {
        if let Self::UntilClose(closed) = self {
            *closed = true;
        }
        if self.is_done() { Ok(()) } else { Err(BodyError::Truncated) }
    }

    /// What is left to send after [`relay`](Self::relay) said `done`: a chunked body's end, unless the last span had
    /// it; else nothing.
    pub fn tail(&self) -> &[u8] {
        match self {
            Self::Chunked(body) => body.tail(),
            Self::Length(_) | Self::UntilClose(_) => b"",
        }
    }

    /// The trailers that may be passed on, once the body is done.
    pub fn trailers(&self) -> impl Iterator<Item = Header<'_>> {
        let chunked = match self {
            Self::Chunked(body) => Some(body),
            Self::Length(_) | Self::UntilClose(_) => None,
        };
        chunked.into_iter().flat_map(ChunkedDecoder::trailers)
    }
}

/// Appends `data` as one chunk, or, for empty `data`, nothing. For a body that is chunked by us and small enough to
/// copy; for a large one send [`SizeLine::open`], the data and CRLF in one writev.
pub fn push_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    out.extend_from_slice(SizeLine::open(data.len() as u64).as_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}
