//! Fields packed and unpacked (RFC 9204) without a dynamic table.

use super::static_table::{self, ENTRIES};
use crate::huffman;

/// What a list of fields is counted by: the bytes of each name and value, and these for each (RFC 9114 section 4.2.2).
pub const FIELD_BYTES: usize = 32;

/// Why a block was not unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It cannot be: nobody knows what the peer means.
    Undecodable,
    /// It has more fields than the bound allows.
    TooLong,
}

/// Unpacks a whole block, and hands on each name and value. `bytes_max`: how long the list may be, as [`FIELD_BYTES`] says. `text`: room
/// for names and values; what is in it is lost.
///
/// # Errors
/// See [`Fault`]. The fields before it were handed on.
pub fn decode(
    block: &[u8],
    bytes_max: usize,
    text: &mut Vec<u8>,
    mut each: impl FnMut(&[u8], &[u8]),
) -> Result<(), Fault> {
    let mut block = Block(block);
    // Nothing is ever inserted, so nothing is required (RFC 9204 section 4.5.1).
    let (_, required) = block.integer(8)?;
    let (sign, _base) = block.integer(7)?;
    if required != 0 || sign & 0x80 != 0 {
        return Err(Fault::Undecodable);
    }
    let mut left = bytes_max;
    while let Some(&first) = block.0.first() {
        text.clear();
        let mut room = left.checked_sub(FIELD_BYTES).ok_or(Fault::TooLong)?;
        if first & 0xc0 == 0xc0 {
            let (name, value) = block.entry(6)?;
            left = room.checked_sub(name.len() + value.len()).ok_or(Fault::TooLong)?;
            each(name, value);
            continue;
        }
        let known = match first {
            0x50..=0x5f | 0x70..=0x7f => Some(block.entry(4)?.0),
            0x20..=0x3f => {
                block.string(3, &mut room, text)?;
                None
            }
            // All other forms name entries of the dynamic table.
            _ => return Err(Fault::Undecodable),
        };
        let at = text.len();
        if let Some(known) = known {
            room = room.checked_sub(known.len()).ok_or(Fault::TooLong)?;
        }
        block.string(7, &mut room, text)?;
        let (literal, value) = text.split_at(at);
        each(known.unwrap_or(literal), value);
        left = room;
    }
    Ok(())
}

/// A block, or what is left of it.
struct Block<'b>(&'b [u8]);

impl<'b> Block<'b> {
    /// The first byte, and the integer in its last bits (RFC 7541 section 5.1). More than four bytes behind them are none of ours.
    fn integer(&mut self, prefix: u32) -> Result<(u8, usize), Fault> {
        let (&first, mut rest) = self.0.split_first().ok_or(Fault::Undecodable)?;
        let most = (1_usize << prefix) - 1;
        let mut value = usize::from(first) & most;
        if value == most {
            for shift in [0, 7, 14, 21, 28] {
                let (&byte, behind) = rest.split_first().ok_or(Fault::Undecodable)?;
                rest = behind;
                if shift == 28 {
                    return Err(Fault::Undecodable);
                }
                value += usize::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
        }
        self.0 = rest;
        Ok((first, value))
    }

    /// An entry of the static table, by an integer in the last bits.
    fn entry(&mut self, prefix: u32) -> Result<(&'static [u8], &'static [u8]), Fault> {
        let (_, index) = self.integer(prefix)?;
        ENTRIES.get(index).copied().ok_or(Fault::Undecodable)
    }

    /// Appends a string to `text`; `room` is how long it may be, and becomes what is left of that.
    fn string(&mut self, prefix: u32, room: &mut usize, text: &mut Vec<u8>) -> Result<(), Fault> {
        let (first, length) = self.integer(prefix)?;
        let (coded, rest): (&'b [u8], _) = self.0.split_at_checked(length).ok_or(Fault::Undecodable)?;
        self.0 = rest;
        if first >> prefix & 1 == 0 {
            *room = room.checked_sub(length).ok_or(Fault::TooLong)?;
            text.extend_from_slice(coded);
            return Ok(());
        }
        let mut fits = true;
        let decoded = huffman::decode(coded, |byte| match room.checked_sub(1) {
            Some(less) => {
                *room = less;
                text.push(byte);
            }
            None => fits = false,
        });
        decoded.ok_or(Fault::Undecodable)?;
        if fits { Ok(()) } else { Err(Fault::TooLong) }
    }
}

/// Packs fields into a block. Only the static table is used.
pub struct Packer<'o> {
    out: &'o mut Vec<u8>,
    bytes: usize,
}

impl<'o> Packer<'o> {
    /// Begins a block at the end of `out`.
    pub fn new(out: &'o mut Vec<u8>) -> Self {
        out.extend_from_slice(&[0, 0]);
        Self { out, bytes: 0 }
    }

    /// Packs a field. The name is in lower case.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.bytes += name.len() + value.len() + FIELD_BYTES;
        match static_table::find(name, value) {
            Some((index, true)) => return self.integer(0xc0, 6, index),
            Some((index, false)) => self.integer(0x50, 4, index),
            None => {
                self.integer(0x20, 3, name.len());
                self.out.extend_from_slice(name);
            }
        }
        self.integer(0, 7, value.len());
        self.out.extend_from_slice(value);
    }

    /// How long the list is by now, as [`FIELD_BYTES`] says.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn integer(&mut self, first: u8, prefix: u32, mut value: usize) {
        let most = (1 << prefix) - 1;
        if value < most {
            return self.out.push(first | value as u8);
        }
        self.out.push(first | most as u8);
        value -= most;
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Fields = Vec<(Vec<u8>, Vec<u8>)>;

    fn unpacked(block: &[u8], bytes_max: usize) -> Result<Fields, Fault> {
        let mut fields = Vec::new();
        decode(block, bytes_max, &mut Vec::new(), |name, value| {
            fields.push((name.to_vec(), value.to_vec()))
        })?;
        Ok(fields)
    }

    fn packed(fields: &Fields) -> (Vec<u8>, usize) {
        let mut out = Vec::new();
        let mut packer = Packer::new(&mut out);
        for (name, value) in fields {
            packer.push(name, value);
        }
        let bytes = packer.bytes();
        (out, bytes)
    }

    fn field(name: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
        (name.into(), value.into())
    }

    #[test]
    fn each_form_is_read() {
        let huffman = |text: &str| huffman::encode(text.as_bytes());
        let coded = huffman("custom-key");
        let mut both = vec![0, 0, 0x28 | 7, coded.len() as u8 - 7];
        both.extend_from_slice(&coded);
        both.push(0x80 | huffman("x").len() as u8);
        both.extend(huffman("x"));
        for (why, block, expect) in [
            ("nothing", vec![0, 0], vec![]),
            ("an entry", vec![0, 0, 0xc0 | 17], vec![field(":method", "GET")]),
            ("an entry behind the prefix", vec![0, 0, 0xff, 0], vec![field(":status", "100")]),
            (
                "the name of an entry (RFC 9204 B.1)",
                b"\0\0\x51\x0b/index.html".to_vec(),
                vec![field(":path", "/index.html")],
            ),
            ("never to be kept", b"\0\0\x71\x01/".to_vec(), vec![field(":path", "/")]),
            ("a name and a value", b"\0\0\x21a\x01b".to_vec(), vec![field("a", "b")]),
            ("both coded", both, vec![field("custom-key", "x")]),
        ] {
            assert_eq!(unpacked(&block, 1000), Ok(expect), "{why}");
        }
    }

    #[test]
    fn what_needs_a_dynamic_table_or_is_cut_cannot_be_unpacked() {
        for (why, block) in [
            ("no prefix", &[][..]),
            ("half a prefix", &[0]),
            ("something is required", &[1, 0]),
            ("a negative base", &[0, 0x80]),
            ("a dynamic entry", &[0, 0, 0x80]),
            ("the name of a dynamic entry", &[0, 0, 0x40, 1, b'x']),
            ("an entry behind the base", &[0, 0, 0x10]),
            ("a name behind the base", &[0, 0, 0x00, 1, b'x']),
            ("behind the static table", &[0, 0, 0xff, 99 - 63]),
            ("no value", b"\0\0\x21a"),
            ("half a value", b"\0\0\x21a\x02b"),
            ("half a name", b"\0\0\x22a"),
            ("a number too large", &[0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            ("a number without an end", &[0, 0, 0xff, 0xff]),
            ("no code", &[0, 0, 0x50, 0x81, 0x00]),
        ] {
            assert_eq!(unpacked(block, 1000), Err(Fault::Undecodable), "{why}");
        }
    }

    #[test]
    fn the_bound_holds_for_the_list_as_it_is_unpacked() {
        let fields = vec![field("a", "b"), field(":path", "/x"), field(":method", "GET")];
        let (block, bytes) = packed(&fields);
        assert_eq!(bytes, 3 * FIELD_BYTES + 2 + 7 + 10);
        assert_eq!(unpacked(&block, bytes), Ok(fields));
        for bytes_max in 0..bytes {
            assert_eq!(unpacked(&block, bytes_max), Err(Fault::TooLong), "{bytes_max}");
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(fields: Fields) {
            let (block, bytes) = packed(&fields);
            prop_assert_eq!(unpacked(&block, bytes), Ok(fields));
        }

        #[test]
        fn no_block_panics_or_goes_beyond_its_bound(block: Vec<u8>, bytes_max in 0_usize..300) {
            if let Ok(fields) = unpacked(&block, bytes_max) {
                let bytes: usize = fields.iter().map(|(n, v)| n.len() + v.len() + FIELD_BYTES).sum();
                prop_assert!(bytes <= bytes_max);
            }
        }
    }
}
