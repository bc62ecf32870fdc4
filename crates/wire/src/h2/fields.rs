//! Blocks of compressed fields (RFC 7541), checked and not unpacked: that they can be unpacked, and that names and values are ones.
//!
//! Of the dynamic table only what is needed for that is kept: how large each entry is, what kind of name it has, and whether it
//! can be used.

use std::collections::VecDeque;

use crate::huffman;

/// The dynamic table of one direction of a connection.
#[derive(Debug)]
pub(super) struct Fields {
    /// The newest first.
    entries: VecDeque<Entry>,
    bytes: usize,
    bytes_max: usize,
}

/// What the engine is to be given for a block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The block itself.
    Fine,
    /// This instead: it does the same to the table, and an engine finds it malformed without failing to unpack it.
    Malformed(Vec<u8>),
}

/// A block that cannot be unpacked: from now on nobody knows what fields the client means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undecodable;

/// An entry of a table.
#[derive(Clone, Copy, Debug)]
struct Entry {
    name: Name,
    name_bytes: usize,
    value_bytes: usize,
    /// The value is one that its name may have.
    usable: bool,
}

/// What is known of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Field,
    /// `:method`
    Method,
    /// `:authority`, `:path`, `:protocol`, `:scheme`.
    Pseudo,
    /// No name, or none of requests.
    Unusable,
}

/// A string as it is in a block.
#[derive(Clone, Copy)]
struct Text<'b> {
    coded: &'b [u8],
    huffman: bool,
}

/// What `SETTINGS_HEADER_TABLE_SIZE` is unless said otherwise, and nobody says so.
const TABLE_BYTES_MAX: usize = 4096;

/// Counted for each entry beside its name and value (RFC 7541 section 4.1).
const ENTRY_BYTES: usize = 32;

/// Longer names are none; engines have such a bound, too.
const NAME_BYTES_MAX: usize = 32 << 10;

/// A field that no request may have (RFC 9113 section 8.2.2), as a literal without indexing.
const FORBIDDEN: &[u8] = b"\x00\x0aconnection\x05close";

impl Fields {
    pub(super) fn new() -> Self {
        Self { entries: VecDeque::new(), bytes: 0, bytes_max: TABLE_BYTES_MAX }
    }

    /// Looks at a whole block. `trailers`: it may not have pseudo-header fields.
    pub(super) fn read(&mut self, block: &[u8], trailers: bool) -> Result<Verdict, Undecodable> {
        let (mut at, mut resizable) = (0, true);
        // What is handed on instead, from the first that cannot be used on.
        let mut instead: Option<Vec<u8>> = None;
        let mut forbidden = false;
        while let Some(&first) = block.get(at) {
            let from = at;
            let (entry, kept) = match first {
                0x80.. => {
                    let index = integer(block, &mut at, 7)?;
                    (self.entry(index)?, false)
                }
                0x20..0x40 => {
                    let size = integer(block, &mut at, 5)?;
                    if !resizable || size > TABLE_BYTES_MAX {
                        return Err(Undecodable);
                    }
                    self.bytes_max = size;
                    self.evict(size);
                    if let Some(instead) = &mut instead {
                        instead.extend_from_slice(&block[from..at]);
                    }
                    continue;
                }
                _ => {
                    let kept = first >= 0x40;
                    let index = integer(block, &mut at, if kept { 6 } else { 4 })?;
                    let (name, name_bytes) = match index {
                        0 => name(string(block, &mut at)?)?,
                        index => {
                            self.entry(index).map(|entry| (entry.name_for_others(), entry.name_bytes))?
                        }
                    };
                    let (usable, value_bytes) = value(string(block, &mut at)?, name)?;
                    if kept && name_bytes + value_bytes == 0 {
                        // No field that can be used takes as little room, so nothing could stand for it.
                        return Err(Undecodable);
                    }
                    (Entry { name, name_bytes, value_bytes, usable }, kept)
                }
            };
            resizable = false;
            forbidden |= trailers && entry.name != Name::Field;
            if kept {
                self.insert(entry);
            }
            if !entry.usable && instead.is_none() {
                instead = Some(block[..from].to_vec());
            }
            if let Some(instead) = &mut instead {
                match entry.usable {
                    true => instead.extend_from_slice(&block[from..at]),
                    false if kept => entry.push_dummy(instead),
                    false => {}
                }
            }
        }
        let malformed = instead.or_else(|| forbidden.then(|| block.to_vec()));
        Ok(malformed.map_or(Verdict::Fine, |mut instead| {
            instead.extend_from_slice(FORBIDDEN);
            Verdict::Malformed(instead)
        }))
    }

    /// The entry of an index (RFC 7541 section 2.3.3).
    fn entry(&self, index: usize) -> Result<Entry, Undecodable> {
        let place = index.checked_sub(1).ok_or(Undecodable)?;
        match STATIC_NAMES_BYTES.get(place) {
            Some(bytes) => {
                let name = match index {
                    2 | 3 => Name::Method,
                    1 | 4..=7 => Name::Pseudo,
                    8..=14 => Name::Unusable,
                    _ => Name::Field,
                };
                let usable = name != Name::Unusable;
                Ok(Entry { name, name_bytes: usize::from(*bytes), value_bytes: 0, usable })
            }
            None => self.entries.get(place - STATIC_NAMES_BYTES.len()).copied().ok_or(Undecodable),
        }
    }

    /// One that is larger than the table empties it (RFC 7541 section 4.4).
    fn insert(&mut self, entry: Entry) {
        let bytes = entry.bytes();
        self.evict(self.bytes_max.saturating_sub(bytes));
        if bytes <= self.bytes_max {
            self.bytes += bytes;
            self.entries.push_front(entry);
        }
    }

    fn evict(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some(entry) = self.entries.pop_back()
        {
            self.bytes -= entry.bytes();
        }
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        self.name_bytes + self.value_bytes + ENTRY_BYTES
    }

    /// What is known of its name, where another field takes it over. The engine has something else in place of an entry that cannot
    /// be used.
    fn name_for_others(&self) -> Name {
        if self.usable { self.name } else { Name::Unusable }
    }

    /// Appends a literal with indexing that takes as much of the table.
    fn push_dummy(&self, out: &mut Vec<u8>) {
        let value_bytes = (self.name_bytes + self.value_bytes).saturating_sub(1).min(TABLE_BYTES_MAX);
        out.extend_from_slice(b"\x40\x01x");
        push_integer(out, value_bytes, 7);
        out.resize(out.len() + value_bytes, b'x');
    }
}

/// An integer with a prefix of so many bits (RFC 7541 section 5.1). At most four bytes follow the prefix: nothing is so large.
fn integer(block: &[u8], at: &mut usize, prefix: u32) -> Result<usize, Undecodable> {
    let most = (1 << prefix) - 1;
    let mut next = || {
        let byte = block.get(*at).copied().ok_or(Undecodable)?;
        *at += 1;
        Ok(usize::from(byte))
    };
    let mut value = next()? & most;
    if value < most {
        return Ok(value);
    }
    for shift in [0, 7, 14, 21] {
        let byte = next()?;
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Undecodable)
}

/// Appends an integer whose first byte has nothing else in it.
fn push_integer(out: &mut Vec<u8>, mut value: usize, prefix: u32) {
    let most = (1 << prefix) - 1;
    if value < most {
        return out.push(value as u8);
    }
    out.push(most as u8);
    value -= most;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A string literal (RFC 7541 section 5.2).
fn string<'b>(block: &'b [u8], at: &mut usize) -> Result<Text<'b>, Undecodable> {
    let huffman = block.get(*at).is_some_and(|first| first & 0x80 != 0);
    let length = integer(block, at, 7)?;
    let coded = block.get(*at..).and_then(|rest| rest.get(..length)).ok_or(Undecodable)?;
    *at += length;
    Ok(Text { coded, huffman })
}

impl Text<'_> {
    /// Hands on its bytes.
    fn each(self, mut each: impl FnMut(u8)) -> Result<(), Undecodable> {
        if self.huffman {
            return huffman::decode(self.coded, each).ok_or(Undecodable);
        }
        self.coded.iter().for_each(|byte| each(*byte));
        Ok(())
    }
}

/// What a name is, and how long.
fn name(text: Text<'_>) -> Result<(Name, usize), Undecodable> {
    let (mut bytes, mut token, mut begin) = (0, true, [0; PSEUDO_BYTES_MAX]);
    text.each(|byte| {
        if let Some(place) = begin.get_mut(bytes) {
            *place = byte;
        }
        bytes += 1;
        token &= is_token(byte) && !byte.is_ascii_uppercase();
    })?;
    let name = match begin.get(..bytes).unwrap_or_default() {
        b":method" => Name::Method,
        b":authority" | b":path" | b":protocol" | b":scheme" => Name::Pseudo,
        _ if token && bytes > 0 && bytes <= NAME_BYTES_MAX => Name::Field,
        _ => Name::Unusable,
    };
    Ok((name, bytes))
}

/// Whether a value is one for such a name, and how long it is.
fn value(text: Text<'_>, name: Name) -> Result<(bool, usize), Undecodable> {
    let (mut bytes, mut usable) = (0, true);
    text.each(|byte| {
        bytes += 1;
        usable &= match name {
            Name::Field => byte == b'\t' || byte >= b' ' && byte != 0x7f,
            Name::Method => is_token(byte),
            // What a path and a host may be is judged where they are read.
            Name::Pseudo => byte.is_ascii(),
            Name::Unusable => false,
        };
    })?;
    let usable = match name {
        Name::Method | Name::Unusable => usable && bytes > 0,
        Name::Field | Name::Pseudo => usable,
    };
    Ok((usable, bytes))
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

const PSEUDO_BYTES_MAX: usize = b":authority".len();

/// How long the names of the static table are (RFC 7541 appendix A).
const STATIC_NAMES_BYTES: [u8; 61] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14, 16, 13,
    12, 6, 4, 4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10, 25, 17, 10, 4, 3,
    16,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(first: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        for text in [name, value] {
            push_integer(&mut out, text.len(), 7);
            out.extend_from_slice(text);
        }
        out
    }

    fn read(blocks: &[Vec<u8>]) -> Result<Verdict, Undecodable> {
        let mut fields = Fields::new();
        let mut last = Ok(Verdict::Fine);
        for block in blocks {
            last = fields.read(block, false);
            check(&fields);
        }
        last
    }

    fn check(fields: &Fields) {
        assert_eq!(fields.bytes, fields.entries.iter().map(Entry::bytes).sum::<usize>());
        assert!(fields.bytes <= fields.bytes_max && fields.bytes_max <= TABLE_BYTES_MAX);
    }

    #[test]
    fn the_requests_of_the_rfc_are_fine() {
        // RFC 7541 appendix C.3 and C.4: three requests each that share a table.
        for blocks in [
            [
                "828684410f7777772e6578616d706c652e636f6d",
                "828684be58086e6f2d6361636865",
                "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
            ],
            [
                "828684418cf1e3c2e5f23a6ba0ab90f4ff",
                "828684be5886a8eb10649cbf",
                "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
            ],
        ] {
            let mut fields = Fields::new();
            for (block, bytes) in blocks.iter().zip([57, 110, 164]) {
                assert_eq!(fields.read(&hex::decode(block).unwrap(), false), Ok(Verdict::Fine));
                assert_eq!(fields.bytes, bytes);
                check(&fields);
            }
        }
    }

    #[test]
    fn blocks_that_cannot_be_unpacked() {
        let kept = literal(0x40, b"a", b"b");
        for (why, blocks) in [
            ("index 0", vec![vec![0x80]]),
            ("behind the static table", vec![vec![0xbe]]),
            ("behind the dynamic table", vec![kept.clone(), vec![0xbf]]),
            ("a name behind the table", vec![vec![0x7e, 1, b'x']]),
            ("a size behind a field", vec![vec![0x82, 0x20]]),
            ("a size above the limit", vec![vec![0x3f, 0xe2, 0x1f]]),
            ("an index that was dropped", vec![kept, vec![0x20, 0x3f, 0xe1, 0x1f, 0xbe]]),
            ("a number without an end", vec![vec![0xff, 0xff]]),
            ("a number too large", vec![vec![0xff, 0xff, 0xff, 0xff, 0xff, 0x00]]),
            ("a text longer than the block", vec![vec![0, 5, b'x']]),
            ("no value", vec![vec![0, 1, b'x']]),
            ("padding too long", vec![vec![0, 1, b'x', 0x82, 0x07, 0xff]]),
        ] {
            assert_eq!(read(&blocks), Err(Undecodable), "{why}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_left_out_and_takes_its_room_in_the_table() {
        let dummy = |bytes: usize| literal(0x40, b"x", &vec![b'x'; bytes - 1]);
        let good = literal(0x40, b"a", b"b");
        for (why, bad, stands) in [
            ("a capital letter", literal(0x40, b"Xyz", b"1"), dummy(4)),
            ("not kept", literal(0x00, b"Xyz", b"1"), vec![]),
            ("no name", literal(0x00, b"", b"1"), vec![]),
            ("a zero in a value", literal(0x40, b"x", b"\0"), dummy(2)),
            ("an unknown pseudo-header field", literal(0x10, b":test", b"1"), vec![]),
            ("a status", vec![0x88], vec![]),
            ("a method that is none", literal(0x40, b":method", b"A B"), dummy(10)),
            ("a long path", literal(0x40, b":path", &[0xe9; 6000]), dummy(4097)),
        ] {
            let block = [good.clone(), bad, good.clone()].concat();
            let instead = [good.clone(), stands, good.clone(), FORBIDDEN.to_vec()].concat();
            let mut fields = Fields::new();
            let verdict = fields.read(&block, false);
            assert_eq!(verdict, Ok(Verdict::Malformed(instead.clone())), "{why}");
            let mut engine = Fields::new();
            assert_eq!(engine.read(&instead, false), Ok(Verdict::Fine), "{why}");
            let sizes = |fields: &Fields| fields.entries.iter().map(Entry::bytes).collect::<Vec<_>>();
            assert_eq!(sizes(&fields), sizes(&engine), "{why}");
        }
    }

    #[test]
    fn an_entry_that_cannot_be_used_cannot_be_used_later() {
        let mut fields = Fields::new();
        assert!(matches!(fields.read(&literal(0x40, b"X", b"1"), false), Ok(Verdict::Malformed(_))));
        assert_eq!(fields.read(&[0xbe], false), Ok(Verdict::Malformed(FORBIDDEN.to_vec())));
        assert!(matches!(fields.read(&[0x7e, 1, b'y'], false), Ok(Verdict::Malformed(_))), "nor its name");
        assert_eq!(fields.read(&[0x82], false), Ok(Verdict::Fine));
    }

    #[test]
    fn trailers_have_no_pseudo_header_fields() {
        let mut fields = Fields::new();
        let instead = [&[0x82][..], FORBIDDEN].concat();
        assert_eq!(fields.read(&[0x82], true), Ok(Verdict::Malformed(instead)));
        assert_eq!(fields.read(&literal(0, b"x", b"y"), true), Ok(Verdict::Fine));
    }
}
