//! Judges frames of a client, and keeps what it needs for that: the table of fields, a block that is not whole, which streams are
//! half-closed.

use super::{
    fields::{Fields, Undecodable, Verdict},
    frame::{ACK, END_HEADERS, END_STREAM, Frame, HEADER_BYTES, PADDED, PRIORITY, Scan, kind},
};

/// Judges what a client sends on one connection. See the module.
#[derive(Debug)]
pub struct Referee {
    /// Of the client's preface.
    preface_left: usize,
    /// Whether the client's first SETTINGS came.
    begun: bool,
    /// The beginning of a frame.
    partial: Vec<u8>,
    /// Of a frame that is not gathered.
    rest: usize,
    rest_passes: bool,
    block: Option<Block>,
    fields: Fields,
    /// The highest stream that the client began.
    highest: u32,
    /// Streams that neither side ended or reset for good.
    open: Vec<Open>,
    sent: Scan,
}

/// A connection error (RFC 9113 section 5.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A frame that is not allowed there, or says what is not allowed.
    #[error("a frame that is not allowed")]
    Protocol,
    /// A window that cannot be.
    #[error("a window that is too large")]
    FlowControl,
    /// A frame on a stream that the client ended.
    #[error("a frame on a stream that was ended")]
    StreamClosed,
    /// A frame that is too long, or too short.
    #[error("a frame of a wrong size")]
    FrameSize,
    /// Fields that cannot be unpacked.
    #[error("fields that cannot be unpacked")]
    Compression,
    /// More than anybody needs.
    #[error("a block of fields that is too long")]
    Excess,
}

impl Fault {
    /// The error code of GOAWAY (RFC 9113 section 7).
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::Protocol => 1,
            Self::FlowControl => 3,
            Self::StreamClosed => 5,
            Self::FrameSize => 6,
            Self::Compression => 9,
            Self::Excess => 11,
        }
    }
}

impl From<Undecodable> for Fault {
    fn from(_: Undecodable) -> Self {
        Self::Compression
    }
}

/// A block of fields that is not whole.
#[derive(Debug)]
struct Block {
    stream: u32,
    flags: u8,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    stream: u32,
    /// The client ended its side.
    ended: bool,
}

const PREFACE_BYTES: usize = 24;

/// What no setting of ours changes (RFC 9113 section 6.5.2).
const FRAME_BYTES_MAX: usize = 16 << 10;

/// Of one block, as it comes.
const BLOCK_BYTES_MAX: usize = 5 * FRAME_BYTES_MAX;

/// More than an engine serves at once. Beyond it the oldest is forgotten: then the engine says what becomes of its frames.
const OPEN_MAX: usize = 512;

/// A value of SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 section 6.9.2).
const WINDOW_MAX: u32 = 0x7fff_ffff;

impl Default for Referee {
    fn default() -> Self {
        Self::new()
    }
}

impl Referee {
    /// For a connection on which nothing came yet, not even the preface.
    #[must_use]
    pub fn new() -> Self {
        Self {
            preface_left: PREFACE_BYTES,
            begun: false,
            partial: Vec::new(),
            rest: 0,
            rest_passes: false,
            block: None,
            fields: Fields::new(),
            highest: 0,
            open: Vec::new(),
            sent: Scan::default(),
        }
    }

    /// Looks at what came. `seen` is told of each frame, `forward` is given what the engine is to see.
    ///
    /// # Errors
    /// A connection error. What came before the frame at fault was handed on.
    pub fn received(
        &mut self,
        mut input: &[u8],
        mut seen: impl FnMut(Frame),
        mut forward: impl FnMut(&[u8]),
    ) -> Result<(), Fault> {
        while !input.is_empty() {
            let passing = self.preface_left.max(self.rest).min(input.len());
            if passing > 0 {
                // The engine looks at the preface.
                if self.preface_left > 0 || self.rest_passes {
                    forward(&input[..passing]);
                }
                self.preface_left = self.preface_left.saturating_sub(passing);
                self.rest = self.rest.saturating_sub(passing);
                input = &input[passing..];
                continue;
            }
            if self.partial.is_empty()
                && let Some((header, _)) = input.split_first_chunk()
            {
                let frame = Frame::read(header);
                let gathered = gathered_bytes(&frame)?;
                if let Some((bytes, rest)) = input.split_at_checked(gathered) {
                    input = rest;
                    self.take(frame, bytes, &mut seen, &mut forward)?;
                    continue;
                }
            }
            let wanted = match self.partial.first_chunk() {
                Some(header) => gathered_bytes(&Frame::read(header))?,
                None => HEADER_BYTES,
            };
            let (bytes, rest) = input.split_at((wanted - self.partial.len()).min(input.len()));
            self.partial.extend_from_slice(bytes);
            input = rest;
            if let Some(header) = self.partial.first_chunk() {
                let frame = Frame::read(header);
                if self.partial.len() == gathered_bytes(&frame)? {
                    let bytes = std::mem::take(&mut self.partial);
                    self.take(frame, &bytes, &mut seen, &mut forward)?;
                }
            }
        }
        Ok(())
    }

    /// Looks at what goes to the client. `seen` is told of each frame.
    pub fn sent(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Frame)) {
        while let Some(frame) = self.sent.next(&mut bytes) {
            if frame.ends_stream() || frame.kind == kind::RST_STREAM {
                self.forget(frame.stream);
            }
            seen(frame);
        }
    }

    /// Judges a frame of which all is there, or of DATA and unknown kinds the beginning.
    fn take(
        &mut self,
        frame: Frame,
        bytes: &[u8],
        seen: &mut impl FnMut(Frame),
        forward: &mut impl FnMut(&[u8]),
    ) -> Result<(), Fault> {
        let payload = &bytes[HEADER_BYTES..];
        self.rest = frame.length as usize - payload.len();
        self.rest_passes = true;
        if !self.begun {
            self.begun = frame.kind == kind::SETTINGS && frame.flags & ACK == 0;
            if !self.begun {
                return Err(Fault::Protocol);
            }
        }
        match &self.block {
            Some(block) if frame.kind != kind::CONTINUATION || frame.stream != block.stream => {
                return Err(Fault::Protocol);
            }
            None if frame.kind == kind::CONTINUATION => return Err(Fault::Protocol),
            Some(_) | None => {}
        }
        seen(frame);
        match frame.kind {
            kind::DATA => {
                if frame.flags & PADDED != 0 {
                    let pad = payload.first().ok_or(Fault::FrameSize)?;
                    if u32::from(*pad) >= frame.length {
                        return Err(Fault::Protocol);
                    }
                }
                self.more_on_stream(&frame)?;
            }
            kind::HEADERS => return self.take_headers(frame, bytes, forward),
            kind::CONTINUATION => return self.take_continuation(frame, payload, forward),
            kind::RST_STREAM => {
                sized(payload, 4)?;
                self.forget(frame.stream);
            }
            kind::PRIORITY => sized(payload, 5)?,
            kind::WINDOW_UPDATE => sized(payload, 4)?,
            kind::SETTINGS => settings(&frame, payload)?,
            kind::PING => sized(payload, 8)?,
            kind::GOAWAY if payload.len() < 8 => return Err(Fault::FrameSize),
            kind::GOAWAY => {}
            kind::PUSH_PROMISE => return Err(Fault::Protocol),
            // Unknown kinds are for nobody (section 5.5).
            _ => {
                self.rest_passes = false;
                return Ok(());
            }
        }
        forward(bytes);
        Ok(())
    }

    fn take_headers(
        &mut self,
        frame: Frame,
        bytes: &[u8],
        forward: &mut impl FnMut(&[u8]),
    ) -> Result<(), Fault> {
        if frame.stream == 0 {
            return Err(Fault::Protocol);
        }
        let fragment = fragment(&frame, &bytes[HEADER_BYTES..])?;
        if frame.flags & END_HEADERS == 0 {
            let flags = frame.flags & END_STREAM;
            self.block = Some(Block { stream: frame.stream, flags, bytes: fragment.to_vec() });
            return Ok(());
        }
        let verdict = self.fields.read(fragment, self.is_open(frame.stream))?;
        self.begin_or_end(&frame)?;
        match verdict {
            Verdict::Fine => forward(bytes),
            Verdict::Malformed(instead) => {
                push_block(frame.stream, frame.flags & END_STREAM, &instead, forward)
            }
        }
        Ok(())
    }

    fn take_continuation(
        &mut self,
        frame: Frame,
        payload: &[u8],
        forward: &mut impl FnMut(&[u8]),
    ) -> Result<(), Fault> {
        let Some(block) = &mut self.block else { return Err(Fault::Protocol) };
        if block.bytes.len() + payload.len() > BLOCK_BYTES_MAX {
            return Err(Fault::Excess);
        }
        block.bytes.extend_from_slice(payload);
        if frame.flags & END_HEADERS == 0 {
            return Ok(());
        }
        let Some(Block { stream, flags, mut bytes }) = self.block.take() else { return Err(Fault::Protocol) };
        if let Verdict::Malformed(instead) = self.fields.read(&bytes, self.is_open(stream))? {
            bytes = instead;
        }
        self.begin_or_end(&Frame { kind: kind::HEADERS, flags, ..frame })?;
        push_block(stream, flags, &bytes, forward);
        Ok(())
    }

    /// A whole block of fields begins a stream, or ends it as trailers.
    fn begin_or_end(&mut self, frame: &Frame) -> Result<(), Fault> {
        if frame.stream <= self.highest || frame.stream.is_multiple_of(2) {
            return self.more_on_stream(frame);
        }
        self.highest = frame.stream;
        if self.open.len() == OPEN_MAX {
            self.open.remove(0);
        }
        self.open.push(Open { stream: frame.stream, ended: frame.ends_stream() });
        Ok(())
    }

    /// DATA and trailers: not once the client ended the stream (section 5.1, half-closed (remote)).
    fn more_on_stream(&mut self, frame: &Frame) -> Result<(), Fault> {
        match self.open.iter_mut().rev().find(|open| open.stream == frame.stream) {
            Some(Open { ended: true, .. }) => Err(Fault::StreamClosed),
            Some(open) => {
                open.ended = frame.ends_stream();
                Ok(())
            }
            // The engine knows whether it is idle or closed.
            None => Ok(()),
        }
    }

    /// Whether fields on that stream are trailers.
    fn is_open(&self, stream: u32) -> bool {
        stream <= self.highest && self.open.iter().any(|open| open.stream == stream)
    }

    fn forget(&mut self, stream: u32) {
        if let Some(place) = self.open.iter().rposition(|open| open.stream == stream) {
            self.open.remove(place);
        }
    }
}

/// So many bytes of a frame are looked at together.
fn gathered_bytes(frame: &Frame) -> Result<usize, Fault> {
    let length = frame.length as usize;
    if length > FRAME_BYTES_MAX {
        return Err(Fault::FrameSize);
    }
    Ok(HEADER_BYTES
        + match frame.kind {
            kind::DATA if frame.flags & PADDED != 0 => length.min(1),
            kind::DATA => 0,
            kind::HEADERS..=kind::CONTINUATION => length,
            _ => 0,
        })
}

/// What HEADERS have of a block (section 6.2).
fn fragment<'p>(frame: &Frame, payload: &'p [u8]) -> Result<&'p [u8], Fault> {
    let (mut rest, mut pad) = (payload, 0);
    if frame.flags & PADDED != 0 {
        let (first, behind) = rest.split_first().ok_or(Fault::FrameSize)?;
        (rest, pad) = (behind, usize::from(*first));
    }
    if frame.flags & PRIORITY != 0 {
        rest = rest.get(5..).ok_or(Fault::FrameSize)?;
    }
    let end = rest.len().checked_sub(pad).ok_or(Fault::Protocol)?;
    Ok(&rest[..end])
}

/// Writes a block as frames of its own.
fn push_block(stream: u32, flags: u8, block: &[u8], forward: &mut impl FnMut(&[u8])) {
    let (mut rest, mut kind, mut flags) = (block, kind::HEADERS, flags);
    loop {
        let (piece, behind) = rest.split_at(rest.len().min(FRAME_BYTES_MAX));
        if behind.is_empty() {
            flags |= END_HEADERS;
        }
        let [_, length @ ..] = (piece.len() as u32).to_be_bytes();
        forward(&length);
        forward(&[kind, flags]);
        forward(&stream.to_be_bytes());
        forward(piece);
        if behind.is_empty() {
            return;
        }
        (rest, kind, flags) = (behind, kind::CONTINUATION, 0);
    }
}

fn sized(payload: &[u8], bytes: usize) -> Result<(), Fault> {
    if payload.len() == bytes { Ok(()) } else { Err(Fault::FrameSize) }
}

/// Section 6.5. What is wrong with a value has a code of its own.
fn settings(frame: &Frame, payload: &[u8]) -> Result<(), Fault> {
    if frame.stream != 0 {
        return Err(Fault::Protocol);
    }
    let (pairs, rest) = payload.as_chunks::<6>();
    if !rest.is_empty() || frame.flags & ACK != 0 && !pairs.is_empty() {
        return Err(Fault::FrameSize);
    }
    for [a, b, value @ ..] in pairs {
        let value = u32::from_be_bytes(*value);
        match u16::from_be_bytes([*a, *b]) {
            ENABLE_PUSH if value > 1 => return Err(Fault::Protocol),
            INITIAL_WINDOW_SIZE if value > WINDOW_MAX => return Err(Fault::FlowControl),
            MAX_FRAME_SIZE if !(FRAME_BYTES_MAX as u32..1 << 24).contains(&value) => {
                return Err(Fault::Protocol);
            }
            _ => {}
        }
    }
    Ok(())
}

const ENABLE_PUSH: u16 = 2;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
