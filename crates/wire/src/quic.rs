//! What a QUIC packet shows to everybody: the form of its header, version and connection ids. For passing QUIC on without taking part
//! in it, placed by connection id, so that a client whose address changes keeps its member.
//!
//! Reads what all versions have in common (RFC 8999) and the same place in the older Google versions of the contract: Q050 is as RFC
//! 8999 has it; Q046 packs both lengths of a long header into one byte; Q043 has no long header, and its connection id, if it has one,
//! is where a short header has its own.
//!
//! Invariants (property tests, fuzz target): no input panics; a connection id is a part of the packet at the place that its form
//! demands; what is written so is read again.
//! What it does not do: it decrypts nothing and so cannot tell a good packet from a made-up one; it does not walk the packets that
//! share a datagram (RFC 9000 §12.2: all have the same destination id).
//! Source: behaviour/features.md section 2 ("QUIC pool", "QUIC CID hash"); RFC 8999 §5; RFC 9000 §17; RFC 9369 §3.

/// Longest connection id of the versions that we know (RFC 9000 §17.2). Others may have up to 255 bytes.
pub const CID_BYTES_MAX: usize = 20;

/// A packet's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header<'p> {
    /// Of a connection that is being set up.
    Long(LongHeader<'p>),
    /// Of a connection that is set up.
    Short(ShortHeader<'p>),
}

/// The header of packets while a connection is being set up (RFC 8999 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongHeader<'p> {
    first: u8,
    /// The version; 0 in a server's list of those that it speaks (RFC 8999 §6).
    pub version: u32,
    /// Whom the packet is for, by the id that the receiver chose; in a client's first packets by one that the client made up.
    pub destination_cid: &'p [u8],
    /// By which id the sender wants to be called. May be empty.
    pub source_cid: &'p [u8],
}

/// The header of packets of a connection that is set up (RFC 8999 §5.2). How long its id is, only the receiver knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortHeader<'p> {
    /// The id and all behind it.
    rest: &'p [u8],
}

impl<'p> Header<'p> {
    /// The header of the first packet in a datagram; none when there is none.
    pub fn parse(packet: &'p [u8]) -> Option<Self> {
        let (&first, rest) = packet.split_first()?;
        if first & FORM_LONG == 0 {
            return Some(Self::Short(ShortHeader { rest }));
        }
        let (version, rest) = rest.split_first_chunk()?;
        let version = u32::from_be_bytes(*version);
        let (destination_cid, source_cid) = match version {
            Q046 => {
                let (&lengths, rest) = rest.split_first()?;
                let (destination, rest) = rest.split_at_checked(q046_length(lengths >> 4))?;
                (destination, rest.get(..q046_length(lengths & 0x0f))?)
            }
            _ => {
                let (destination, rest) = counted(rest)?;
                (destination, counted(rest)?.0)
            }
        };
        let known = matches!(version, VERSION_1 | VERSION_2);
        if known && destination_cid.len().max(source_cid.len()) > CID_BYTES_MAX {
            return None;
        }
        Some(Self::Long(LongHeader { first, version, destination_cid, source_cid }))
    }
}

impl LongHeader<'_> {
    /// Does a client begin a connection with it? Told for versions 1 and 2 alone.
    pub fn is_initial(&self) -> bool {
        let kind = self.first & FIXED_AND_KIND;
        (self.version == VERSION_1 && kind == FIXED) || (self.version == VERSION_2 && kind == FIXED | 0x10)
    }
}

impl<'p> ShortHeader<'p> {
    /// The id, if it has `length` bytes; none when the packet is too short for that, as an id is never all of a packet.
    pub fn destination_cid(&self, length: usize) -> Option<&'p [u8]> {
        self.rest.get(..length).filter(|_| length < self.rest.len())
    }
}

/// The part of a packet's destination id that places it: `length` bytes (1–20) from `offset` (0–19) on. None when the id is too short
/// for that, or would have to be longer than [`CID_BYTES_MAX`]: the packet is to be placed by its addresses then.
///
/// In short headers the id is not delimited; that it reaches so far is what the pool's settings promise.
pub fn cid_key(packet: &[u8], length: usize, offset: usize) -> Option<&[u8]> {
    let end = offset.checked_add(length).filter(|&end| end <= CID_BYTES_MAX && length > 0)?;
    let cid = match Header::parse(packet)? {
        Header::Long(header) => header.destination_cid,
        Header::Short(header) => header.destination_cid(end)?,
    };
    cid.get(offset..end)
}

/// The same part of the id by which a packet's sender wants to be called, so that what is sent to it then has this key. None where a
/// packet does not say it: only long headers do, and a list of versions (version 0) repeats an id of the other side.
pub fn sender_key(packet: &[u8], length: usize, offset: usize) -> Option<&[u8]> {
    let end = offset.checked_add(length).filter(|&end| end <= CID_BYTES_MAX && length > 0)?;
    match Header::parse(packet)? {
        Header::Long(header) if header.version != 0 => header.source_cid.get(offset..end),
        Header::Long(_) | Header::Short(_) => None,
    }
}

/// A length in one byte and as many bytes, then the rest.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    rest.split_at_checked(length.into())
}

/// Lengths from 4 to 18 in four bits, or nothing (draft-ietf-quic-invariants-06 §4.1).
fn q046_length(bits: u8) -> usize {
    if bits == 0 { 0 } else { usize::from(bits) + 3 }
}

/// QUIC version 1 (RFC 9000).
pub const VERSION_1: u32 = 1;
/// QUIC version 2 (RFC 9369).
pub const VERSION_2: u32 = 0x6b33_43cf;
/// Google's version Q046, which has its own long header.
const Q046: u32 = u32::from_be_bytes(*b"Q046");

const FORM_LONG: u8 = 0x80;
const FIXED: u8 = 0x40;
const FIXED_AND_KIND: u8 = 0x70;
