//! The chunked transfer coding (RFC 9112 §7.1): reading it strictly, in any pieces, and passing it on.
//!
//! Passing on needs no copy: where the sender's chunks are spelled as we would spell them (a size in lower case without
//! leading zeros or extensions), the bytes themselves are the canonical serialisation and go out as one span, however many
//! chunks they hold. Only sizes that were cut by a read, extensions, and trailers are written anew.

use super::bytes::token_end;
use super::trailers::Trailers;
use super::{BodyError, Decoded, Header, Relayed};

/// Reads a chunked body: by [`relay`](Self::relay) for a receiver that gets it chunked, by
/// [`decode`](Self::decode) for its bare data. Both take a part of the input and say how much; call again with the
/// rest. Input is never kept back by the caller: what cannot be sent on yet is kept here, in a few bytes.
///
/// Chunk extensions are checked, bounded and dropped: one may be ahead of the data received so far by at most
/// `CHUNK_EXTENSION_BYTES_MAX` bytes in sum, so a body of nothing but extensions ends soon.
#[derive(Clone, Debug)]
pub struct ChunkedDecoder {
    state: State,
    /// In `Size`: the number so far. In `Data`: bytes that are still to come.
    size: u64,
    /// Hexadecimal digits of the size so far.
    digits: u8,
    /// Bytes of extensions that no data has made up for.
    extension_bytes: u32,
    /// Did the last span hold the end of the body, so that there is no tail to send?
    end_sent: bool,
    /// Only for bodies that have trailers.
    trailers: Option<Box<Trailers>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    /// Behind `;`: a name must begin.
    ExtensionNameStart,
    ExtensionName,
    /// Behind `=`: a token or quoted string must begin.
    ExtensionValueStart,
    ExtensionValue,
    Quoted,
    QuotedPair,
    /// Behind the closing quote.
    QuotedEnd,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
}

/// A chunk size with its CRLF, such as `1f4\r\n`; may be empty. At most 18 bytes, kept inline.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SizeLine {
    bytes: [u8; 18],
    start: u8,
}

impl SizeLine {
    /// Nothing to send.
    pub const EMPTY: Self = Self { bytes: [0; 18], start: 18 };

    /// The line that opens a chunk of `len` bytes; the chunk's data and `\r\n` must follow. `len` must not be 0,
    /// which would be the end of the body: for that see [`LAST_CHUNK`]. Gives the empty line for 0.
    pub fn open(len: u64) -> Self {
        let mut line = Self::EMPTY;
        if len == 0 {
            return line;
        }
        line.bytes[16..].copy_from_slice(b"\r\n");
        let mut at = 16;
        let mut rest = len;
        while rest > 0 {
            at -= 1;
            line.bytes[at] = b"0123456789abcdef"[(rest & 15) as usize];
            rest >>= 4;
        }
        line.start = at as u8;
        line
    }

    /// The bytes to send.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..]
    }
}

impl std::fmt::Debug for SizeLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SizeLine({})", self.as_bytes().escape_ascii())
    }
}

impl Default for ChunkedDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl ChunkedDecoder {
    /// At the start of a body.
    pub fn new() -> Self {
        Self { state: State::Size, size: 0, digits: 0, extension_bytes: 0, end_sent: false, trailers: None }
    }

    /// Has the body ended?
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes of the current chunk that are certain to follow. They need no look at them: a caller may splice them
    /// and say so with [`skip`](Self::skip).
    pub fn chunk_remaining(&self) -> u64 {
        if self.state == State::Data { self.size } else { 0 }
    }

    /// `n` bytes of the current chunk's data went by without being shown here.
    ///
    /// # Panics
    /// If `n` is over [`chunk_remaining`](Self::chunk_remaining).
    pub fn skip(&mut self, n: u64) {
        assert!(n <= self.chunk_remaining(), "the caller moves no more than the chunk has");
        self.take_data(n);
    }

    /// Takes input for a receiver that gets the body chunked; see [`Relayed`] for what to send.
    ///
    /// # Errors
    /// The input is no chunked body. Nothing more may be fed.
    pub fn relay<'b>(&mut self, input: &'b [u8]) -> Result<Relayed<'b>, BodyError> {
        let mut prefix = SizeLine::EMPTY;
        let (mut start, mut at) = (0, 0);
        while at < input.len() {
            match self.state {
                State::Data => at += self.take_data((input.len() - at) as u64) as usize,
                State::DataCr | State::DataLf => at = self.read_data_end(input, at)?,
                State::Size if self.digits == 0 => {
                    if let Some((size, end)) = canonical_line(input, at) {
                        if size > 0 {
                            at = end;
                            self.begin_data(size);
                            continue;
                        }
                        if input[end..].starts_with(b"\r\n") {
                            self.state = State::Done;
                            self.end_sent = true;
                            at = end + 2;
                            break;
                        }
                    }
                    if at > 0 {
                        // What is before the line goes first; the next call begins with the line.
                        break;
                    }
                    (prefix, at) = self.relay_line(input)?;
                    start = at;
                }
                State::Trailers if at > start || prefix != SizeLine::EMPTY => break,
                State::Trailers => {
                    at = self.read_trailers(input, at)?;
                    start = at;
                }
                State::Done => break,
                // Within a line that began in earlier input: only at the start of this one.
                _ => {
                    (prefix, at) = self.relay_line(input)?;
                    start = at;
                }
            }
        }
        Ok(Relayed { consumed: at, prefix, span: &input[start..at], done: self.is_done() })
    }

    /// Takes input for a receiver that gets the bare data.
    ///
    /// # Errors
    /// The input is no chunked body. Nothing more may be fed.
    pub fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Decoded<'b>, BodyError> {
        let mut at = 0;
        while at < input.len() {
            match self.state {
                State::Data => {
                    let from = at;
                    at += self.take_data((input.len() - at) as u64) as usize;
                    return Ok(Decoded { consumed: at, data: &input[from..at], done: false });
                }
                State::DataCr | State::DataLf => at = self.read_data_end(input, at)?,
                State::Trailers => at = self.read_trailers(input, at)?,
                State::Done => break,
                _ => at = self.read_line(input, at)?,
            }
        }
        Ok(Decoded { consumed: at, data: b"", done: self.is_done() })
    }

    /// What is left to send after `relay` said `done`: the last chunk and the trailers, unless the last span had
    /// them. Empty before.
    pub fn tail(&self) -> &[u8] {
        match (&self.trailers, self.end_sent || !self.is_done()) {
            (_, true) => b"",
            (Some(trailers), false) => trailers.tail(),
            (None, false) => LAST_CHUNK,
        }
    }

    /// The trailers that may be passed on, once the body is done (RFC 9110 §6.5.1). Those that frame, route,
    /// authenticate, or tell how to read the body are dropped.
    pub fn trailers(&self) -> impl Iterator<Item = Header<'_>> {
        self.trailers.iter().flat_map(|trailers| trailers.headers())
    }

    /// Takes up to `available` bytes of the chunk's data.
    #[inline]
    fn take_data(&mut self, available: u64) -> u64 {
        let n = self.size.min(available);
        self.size -= n;
        if self.extension_bytes > 0 {
            self.extension_bytes = u64::from(self.extension_bytes).saturating_sub(n) as u32;
        }
        if self.size == 0 {
            self.state = State::DataCr;
        }
        n
    }

    #[inline]
    fn begin_data(&mut self, size: u64) {
        self.state = State::Data;
        self.size = size;
    }

    /// Reads the CRLF behind data, or the part of it that is there.
    #[inline]
    fn read_data_end(&mut self, input: &[u8], mut at: usize) -> Result<usize, BodyError> {
        while let Some(&byte) = input.get(at) {
            match (self.state, byte) {
                (State::DataCr, b'\r') => self.state = State::DataLf,
                (State::DataLf, b'\n') => {
                    self.state = State::Size;
                    self.digits = 0;
                    return Ok(at + 1);
                }
                _ => return Err(BodyError::BadChunkEnd),
            }
            at += 1;
        }
        Ok(at)
    }

    /// Reads a line at the start of `input` and gives how we spell it, when it is complete and opens a chunk.
    fn relay_line(&mut self, input: &[u8]) -> Result<(SizeLine, usize), BodyError> {
        let end = self.read_line(input, 0)?;
        let prefix = if self.state == State::Data { SizeLine::open(self.size) } else { SizeLine::EMPTY };
        Ok((prefix, end))
    }

    /// Reads a size line, or the part of it that is there: the state says which.
    fn read_line(&mut self, input: &[u8], mut at: usize) -> Result<usize, BodyError> {
        while let Some(&byte) = input.get(at) {
            at += 1;
            self.state = match self.state {
                State::Size => match byte {
                    b'\r' if self.digits > 0 => State::SizeLf,
                    b';' if self.digits > 0 => self.extension(State::ExtensionNameStart)?,
                    _ => {
                        let digit = (byte as char).to_digit(16).ok_or(BodyError::BadChunkSize)?;
                        if self.digits == 0 {
                            self.size = 0;
                        }
                        self.digits += 1;
                        self.size = self.size << 4 | u64::from(digit);
                        if self.digits > SIZE_DIGITS_MAX || self.size > super::bytes::LENGTH_MAX {
                            return Err(BodyError::BadChunkSize);
                        }
                        State::Size
                    }
                },
                State::ExtensionNameStart | State::ExtensionName => match byte {
                    b'\r' if self.state == State::ExtensionName => State::SizeLf,
                    b';' if self.state == State::ExtensionName => {
                        self.extension(State::ExtensionNameStart)?
                    }
                    b'=' if self.state == State::ExtensionName => {
                        self.extension(State::ExtensionValueStart)?
                    }
                    _ => self.extension_token(byte, State::ExtensionName)?,
                },
                State::ExtensionValueStart => match byte {
                    b'"' => self.extension(State::Quoted)?,
                    _ => self.extension_token(byte, State::ExtensionValue)?,
                },
                State::ExtensionValue => match byte {
                    b'\r' => State::SizeLf,
                    b';' => self.extension(State::ExtensionNameStart)?,
                    _ => self.extension_token(byte, State::ExtensionValue)?,
                },
                State::Quoted => match byte {
                    b'"' => self.extension(State::QuotedEnd)?,
                    b'\\' => self.extension(State::QuotedPair)?,
                    b'\t' | 0x20..=0x7e | 0x80.. => self.extension(State::Quoted)?,
                    _ => return Err(BodyError::BadChunkExtension),
                },
                State::QuotedPair => match byte {
                    b'\t' | 0x20..=0x7e | 0x80.. => self.extension(State::Quoted)?,
                    _ => return Err(BodyError::BadChunkExtension),
                },
                State::QuotedEnd => match byte {
                    b'\r' => State::SizeLf,
                    b';' => self.extension(State::ExtensionNameStart)?,
                    _ => return Err(BodyError::BadChunkExtension),
                },
                State::SizeLf if byte == b'\n' => {
                    self.digits = 0;
                    self.state = if self.size == 0 { State::Trailers } else { State::Data };
                    return Ok(at);
                }
                State::SizeLf => return Err(BodyError::BadChunkSize),
                State::Data | State::DataCr | State::DataLf | State::Trailers | State::Done => {
                    return Ok(at - 1);
                }
            };
        }
        Ok(at)
    }

    /// One more byte of an extension.
    fn extension(&mut self, next: State) -> Result<State, BodyError> {
        self.extension_bytes += 1;
        if self.extension_bytes as usize > CHUNK_EXTENSION_BYTES_MAX {
            return Err(BodyError::ChunkExtensionTooLong);
        }
        Ok(next)
    }

    fn extension_token(&mut self, byte: u8, next: State) -> Result<State, BodyError> {
        if token_end(&[byte], 0) == 0 {
            return Err(BodyError::BadChunkExtension);
        }
        self.extension(next)
    }

    fn read_trailers(&mut self, input: &[u8], at: usize) -> Result<usize, BodyError> {
        if self.trailers.is_none() && input[at..].starts_with(b"\r\n") {
            self.state = State::Done;
            return Ok(at + 2);
        }
        let trailers = self.trailers.get_or_insert_default();
        let end = at + trailers.read(&input[at..])?;
        if trailers.is_done() {
            self.state = State::Done;
        }
        Ok(end)
    }
}

/// The size line at `at`, if it is complete and spelled as we spell it: no leading zero, no upper case, no extension.
#[inline]
fn canonical_line(input: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut size = 0u64;
    let mut end = at;
    loop {
        let byte = *input.get(end)?;
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'\r' if end > at && input.get(end + 1) == Some(&b'\n') => break,
            _ => return None,
        };
        if (end > at && size == 0) || size > super::bytes::LENGTH_MAX >> 4 {
            return None;
        }
        size = size << 4 | u64::from(digit);
        end += 1;
    }
    Some((size, end + 2))
}

/// The end of a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// See [`ChunkedDecoder`]. Go and others were bitten by unbounded ones (CVE-2023-39326).
pub(super) const CHUNK_EXTENSION_BYTES_MAX: usize = 4096;
/// Digits of the largest size with 64 bits.
const SIZE_DIGITS_MAX: u8 = 16;
