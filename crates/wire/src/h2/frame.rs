//! Headers of frames (RFC 9113 section 4.1).

/// Kinds of frames (RFC 9113 section 6).
pub mod kind {
    /// Content.
    pub const DATA: u8 = 0;
    /// The beginning of a request, or its trailers.
    pub const HEADERS: u8 = 1;
    /// Deprecated, and without effect.
    pub const PRIORITY: u8 = 2;
    /// The end of a stream before its time.
    pub const RST_STREAM: u8 = 3;
    /// What an endpoint wants of the other.
    pub const SETTINGS: u8 = 4;
    /// Of servers alone.
    pub const PUSH_PROMISE: u8 = 5;
    /// Is answered.
    pub const PING: u8 = 6;
    /// No more streams.
    pub const GOAWAY: u8 = 7;
    /// Leave to send more.
    pub const WINDOW_UPDATE: u8 = 8;
    /// More of a block of fields.
    pub const CONTINUATION: u8 = 9;
}

pub(super) const HEADER_BYTES: usize = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const PRIORITY: u8 = 32;
const CODE_BYTES: usize = 4;

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Of the payload, in bytes.
    pub length: u32,
    /// See [`kind`].
    pub kind: u8,
    /// What they mean depends on the kind.
    pub flags: u8,
    /// The stream, without the reserved bit; 0 is the connection.
    pub stream: u32,
    /// The error code of RST_STREAM; 0 in others.
    pub code: u32,
}

impl Frame {
    pub(super) fn read(header: &[u8; HEADER_BYTES]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = *header;
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        Self { length: u32::from_be_bytes([0, a, b, c]), kind, flags, stream, code: 0 }
    }

    /// Whether DATA or HEADERS end their stream.
    #[must_use]
    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & END_STREAM != 0
    }
}

/// Finds the frames in a stream of bytes, however they are cut.
#[derive(Debug, Default)]
pub struct Scan {
    header: [u8; HEADER_BYTES + CODE_BYTES],
    have: usize,
    skip: usize,
}

impl Scan {
    /// The next frame whose header is whole, and of RST_STREAM the payload too; none: the bytes are used up.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        *bytes = &bytes[skipped..];
        loop {
            let needed = match self.header {
                [0, 0, 4, kind::RST_STREAM, ..] if self.have >= HEADER_BYTES => HEADER_BYTES + CODE_BYTES,
                _ => HEADER_BYTES,
            };
            let taken = (needed - self.have).min(bytes.len());
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            *bytes = &bytes[taken..];
            if self.have < needed {
                return None;
            }
            let [a, b, c, d, e, f, g, h, i, code @ ..] = self.header;
            let mut frame = Frame::read(&[a, b, c, d, e, f, g, h, i]);
            if self.have == HEADER_BYTES
                && frame.kind == kind::RST_STREAM
                && frame.length == CODE_BYTES as u32
            {
                continue;
            }
            if self.have > HEADER_BYTES {
                frame.code = u32::from_be_bytes(code);
            }
            self.skip = frame.length as usize - (self.have - HEADER_BYTES);
            self.have = 0;
            return Some(frame);
        }
    }
}
