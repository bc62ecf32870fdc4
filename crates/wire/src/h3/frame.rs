//! Frames of a stream (RFC 9114 section 7), as they come.

use super::{Code, push_varint, read_varint};

/// Kinds of frames (RFC 9114 section 7.2).
pub mod kind {
    /// Content.
    pub const DATA: u64 = 0x0;
    /// The head of a message, or its trailers.
    pub const HEADERS: u64 = 0x1;
    /// Takes back a promise.
    pub const CANCEL_PUSH: u64 = 0x3;
    /// What an endpoint wants of the other.
    pub const SETTINGS: u64 = 0x4;
    /// Of servers alone.
    pub const PUSH_PROMISE: u64 = 0x5;
    /// No more requests.
    pub const GOAWAY: u64 = 0x7;
    /// How many promises a server may make.
    pub const MAX_PUSH_ID: u64 = 0xd;
}

/// Types of streams that go one way (RFC 9114 section 6.2, RFC 9204 section 4.2).
pub mod stream_type {
    /// Settings and GOAWAY.
    pub const CONTROL: u64 = 0x0;
    /// Of servers alone.
    pub const PUSH: u64 = 0x1;
    /// What changes the other's dynamic table.
    pub const QPACK_ENCODER: u64 = 0x2;
    /// What was made of it.
    pub const QPACK_DECODER: u64 = 0x3;
}

/// What the header of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// See [`kind`]; others are to be passed over.
    pub kind: u64,
    /// Of its payload, in bytes.
    pub length: u64,
}

impl Frame {
    /// Whether it is one that HTTP/2 had and HTTP/3 forbids (RFC 9114 section 7.2.8).
    #[must_use]
    pub const fn is_forbidden(&self) -> bool {
        matches!(self.kind, 0x2 | 0x6 | 0x8 | 0x9)
    }

    /// Whether it means anything to us.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        use kind::{CANCEL_PUSH, DATA, GOAWAY, HEADERS, MAX_PUSH_ID, PUSH_PROMISE, SETTINGS};
        matches!(self.kind, DATA | HEADERS | CANCEL_PUSH | SETTINGS | PUSH_PROMISE | GOAWAY | MAX_PUSH_ID)
    }
}

/// Appends the header of a frame.
pub fn push_frame_header(out: &mut Vec<u8>, kind: u64, length: u64) {
    push_varint(out, kind);
    push_varint(out, length);
}

/// Where a stream stands among its frames.
#[derive(Debug, Default)]
pub struct Frames {
    /// The beginning of a header that is not whole.
    header: [u8; HEADER_BYTES_MAX],
    header_bytes: usize,
    /// The frame that goes on, and what is left of it.
    frame: Option<Frame>,
    left: u64,
}

/// What comes next on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A frame begins, whose payload follows: as many [`Piece::Payload`]s as it takes, none for an empty one.
    Begins(Frame),
    /// So many of the following bytes are payload; the flag: they are the last of their frame.
    Payload(usize, bool),
    /// All bytes were used.
    More,
}

/// Two integers of eight bytes.
const HEADER_BYTES_MAX: usize = 16;

impl Frames {
    /// Looks at what comes next: how many bytes of `input` were used for it, and what it is. The payload is not among the bytes used:
    /// the caller takes it off.
    ///
    /// # Errors
    /// The frame is one that HTTP/3 forbids; the connection is to be ended.
    pub fn read(&mut self, input: &[u8]) -> Result<(usize, Piece), Code> {
        if self.left > 0 {
            if input.is_empty() {
                return Ok((0, Piece::More));
            }
            let bytes = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
            self.left -= bytes as u64;
            return Ok((0, Piece::Payload(bytes, self.left == 0)));
        }
        self.frame = None;
        let before = self.header_bytes;
        let taken = (HEADER_BYTES_MAX - before).min(input.len());
        self.header[before..before + taken].copy_from_slice(&input[..taken]);
        let header = &self.header[..before + taken];
        let Some((kind, at)) = read_varint(header) else { return Ok(self.want_more(taken)) };
        let Some((length, after)) = read_varint(&header[at..]) else { return Ok(self.want_more(taken)) };
        let frame = Frame { kind, length };
        if frame.is_forbidden() {
            return Err(Code::FRAME_UNEXPECTED);
        }
        (self.header_bytes, self.left, self.frame) = (0, length, Some(frame));
        Ok((at + after - before, Piece::Begins(frame)))
    }

    fn want_more(&mut self, taken: usize) -> (usize, Piece) {
        self.header_bytes += taken;
        (taken, Piece::More)
    }

    /// Whether a stream may end here: between two frames.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.left == 0 && self.header_bytes == 0
    }

    /// The frame that began last, while its payload lasts.
    #[must_use]
    pub fn frame(&self) -> Option<Frame> {
        self.frame
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Kinds and payloads of frames, and whether the stream may end behind them.
    type Seen = (Vec<(u64, Vec<u8>)>, bool);

    /// All frames of a stream that comes in these pieces.
    fn frames(pieces: &[&[u8]]) -> Result<Seen, Code> {
        let (mut frames, mut seen) = (Frames::default(), Vec::new());
        for piece in pieces {
            let mut input = *piece;
            loop {
                let (used, next) = frames.read(input)?;
                input = &input[used..];
                match next {
                    Piece::Begins(frame) => seen.push((frame.kind, Vec::new())),
                    Piece::Payload(bytes, last) => {
                        seen.last_mut().unwrap().1.extend_from_slice(&input[..bytes]);
                        input = &input[bytes..];
                        assert!(!last || frames.is_between());
                    }
                    Piece::More => break,
                }
            }
            assert!(input.is_empty());
        }
        Ok((seen, frames.is_between()))
    }

    #[test]
    fn frames_of_http_2_are_forbidden() {
        for kind in [0x2, 0x6, 0x8, 0x9] {
            assert_eq!(frames(&[&[kind, 0]]), Err(Code::FRAME_UNEXPECTED));
        }
        assert_eq!(
            frames(&[&[0x21, 1, 7]]),
            Ok((vec![(0x21, vec![7])], true)),
            "unknown ones are passed over"
        );
    }

    #[test]
    fn a_stream_may_not_end_within_a_frame() {
        assert!(!frames(&[&[0, 2, 1]]).unwrap().1);
        assert!(!frames(&[&[0x40]]).unwrap().1);
        assert_eq!(frames(&[&[0, 0]]), Ok((vec![(0, vec![])], true)));
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_changes_nothing(
            sent in prop::collection::vec((0_u64..20_000, prop::collection::vec(any::<u8>(), 0..80)), 0..8),
            cuts in prop::collection::vec(0_usize..600, 0..12),
        ) {
            let sent: Vec<_> = sent.into_iter().filter(|(kind, _)| !matches!(kind, 2 | 6 | 8 | 9)).collect();
            let mut bytes = Vec::new();
            for (kind, payload) in &sent {
                push_frame_header(&mut bytes, *kind, payload.len() as u64);
                bytes.extend_from_slice(payload);
            }
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
            prop_assert_eq!(frames(&pieces), Ok((sent, true)));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _outcome = frames(&[&bytes]);
        }
    }
}
