//! HTTP/3: how streams of QUIC carry frames and settings, and how fields are packed. It is a codec; the streams are the caller's.
//!
//! How it is driven: a stream's bytes go to [`Frames::read`], which says where frames begin and hands on what is inside them,
//! as it comes; what has to be whole to be read (a block of fields, settings) the caller keeps, and bounds. Blocks of fields are unpacked by
//! [`qpack::decode`] and packed by [`qpack::Packer`].
//!
//! Invariants (property tests, fuzz target): no input panics; how the bytes are cut changes nothing; what is packed is unpacked the
//! same; a block never unpacks to more than the bound that the caller gives.
//!
//! What it does not do: it knows no message (what a request must have is for its reader to say); no dynamic table (we say so in our settings, so a peer has none either), no push, no datagrams.
//! Source: RFC 9114, RFC 9204, RFC 9220.

mod frame;
pub mod qpack;
mod settings;
mod static_table;
mod varint;

pub use frame::{Frame, Frames, Piece, kind, push_frame_header, stream_type};
pub use settings::{Settings, push_settings};
pub use varint::{push_varint, read_varint};

/// Error codes of a connection or a stream (RFC 9114 section 8.1, RFC 9204 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u64);

impl Code {
    /// Nothing is wrong: the end is due.
    pub const NO_ERROR: Self = Self(0x100);
    /// The peer breaks the protocol in a way that has no code of its own.
    pub const GENERAL_PROTOCOL_ERROR: Self = Self(0x101);
    /// Something failed here.
    pub const INTERNAL_ERROR: Self = Self(0x102);
    /// The peer opened a stream that it may not open.
    pub const STREAM_CREATION_ERROR: Self = Self(0x103);
    /// A stream ended that has to live as long as its connection.
    pub const CLOSED_CRITICAL_STREAM: Self = Self(0x104);
    /// A frame has no place where it came.
    pub const FRAME_UNEXPECTED: Self = Self(0x105);
    /// A frame is not what its kind demands.
    pub const FRAME_ERROR: Self = Self(0x106);
    /// The peer makes more work than is sensible.
    pub const EXCESSIVE_LOAD: Self = Self(0x107);
    /// An id is used that was not given, or goes the wrong way.
    pub const ID_ERROR: Self = Self(0x108);
    /// Settings are wrong.
    pub const SETTINGS_ERROR: Self = Self(0x109);
    /// A control stream does not begin with settings.
    pub const MISSING_SETTINGS: Self = Self(0x10a);
    /// A request was not looked at: it may be sent again.
    pub const REQUEST_REJECTED: Self = Self(0x10b);
    /// Whoever asked wants no answer, or will not get all of it.
    pub const REQUEST_CANCELLED: Self = Self(0x10c);
    /// A request ended in the middle.
    pub const REQUEST_INCOMPLETE: Self = Self(0x10d);
    /// A message is malformed.
    pub const MESSAGE_ERROR: Self = Self(0x10e);
    /// A block of fields cannot be unpacked.
    pub const QPACK_DECOMPRESSION_FAILED: Self = Self(0x200);
    /// The peer's encoder says what it may not say to a decoder without a table.
    pub const QPACK_ENCODER_STREAM_ERROR: Self = Self(0x201);
    /// The peer's decoder speaks of entries that do not exist.
    pub const QPACK_DECODER_STREAM_ERROR: Self = Self(0x202);
}
