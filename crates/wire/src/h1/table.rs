//! The header lines of one head: a reusable table of offsets, and the strict reading of lines into it.
//!
//! The table borrows nothing and allocates only once, so a worker keeps one per direction and uses it for every
//! message. Rules: RFC 9112 §5, without obs-fold, bare CR or LF.

use super::bytes::{field_end, name_end};
use super::{HeadError, HeaderId, HeaderSet};

/// Where the header lines of one head are: filled by a parse, read through the head that the parse gave.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    slots: Vec<Slot>,
    seen: HeaderSet,
    repeated: HeaderSet,
    /// Index of the first line of each name in `seen`; stale for the others.
    first: FirstLines,
    pub(super) nominated: HeaderSet,
    /// Did any line get `Slot::UNDERSCORE`?
    pub(super) underscores: bool,
}

/// One header line, as the message has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'b> {
    /// Which name it is.
    pub id: HeaderId,
    /// The name as received: a token of at least one byte.
    pub name: &'b [u8],
    /// The value without white space around it: no control byte but HTAB inside; may be empty or not UTF-8.
    pub value: &'b [u8],
}

impl Headers {
    /// An empty table with room for 64 lines; it grows, once, up to `Limits::headers_max`.
    pub fn new() -> Self {
        Self { slots: Vec::with_capacity(64), ..Self::default() }
    }

    /// Number of header lines.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Has the head no header line?
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The known names that the head has.
    pub fn seen(&self) -> HeaderSet {
        self.seen
    }

    /// The known names that more than one line has.
    pub fn repeated(&self) -> HeaderSet {
        self.repeated
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.seen = HeaderSet::EMPTY;
        self.repeated = HeaderSet::EMPTY;
        self.nominated = HeaderSet::EMPTY;
        self.underscores = false;
    }

    #[inline]
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    #[inline]
    pub(super) fn first(&self, id: HeaderId) -> Option<&Slot> {
        if self.seen.contains(id) { self.slots.get(usize::from(self.first.0[id.index()])) } else { None }
    }

    /// The lines of one known name, in order.
    pub(super) fn all(&self, id: HeaderId) -> impl Iterator<Item = &Slot> {
        let from =
            if self.seen.contains(id) { usize::from(self.first.0[id.index()]) } else { self.slots.len() };
        let count = if self.repeated.contains(id) { usize::MAX } else { 1 };
        self.slots[from..].iter().filter(move |slot| slot.id == id.raw()).take(count)
    }

    /// Marks every line of this name, which is none of the known ones, as belonging to this hop.
    pub(super) fn nominate(&mut self, buf: &[u8], name: &[u8]) {
        for slot in &mut self.slots {
            if slot.id == HeaderId::OTHER.raw() && slot.name(buf).eq_ignore_ascii_case(name) {
                slot.flags |= Slot::NOMINATED;
            }
        }
    }

    pub(super) fn is_nominated(&self, buf: &[u8], name: &[u8]) -> bool {
        let id = HeaderId::of(name);
        if id != HeaderId::OTHER {
            return self.nominated.contains(id);
        }
        let same = |slot: &&Slot| slot.name(buf).eq_ignore_ascii_case(name);
        self.slots.iter().filter(same).any(|slot| slot.has(Slot::NOMINATED))
    }

    #[inline]
    fn push(&mut self, slot: Slot) {
        let id = HeaderId::from_raw(slot.id);
        if self.seen.contains(id) {
            self.repeated.insert(id);
        } else {
            self.first.0[id.index()] = self.slots.len() as u16;
            self.seen.insert(id);
        }
        self.slots.push(slot);
    }
}

#[derive(Clone, Copy, Debug)]
struct FirstLines([u16; 64]);

impl Default for FirstLines {
    fn default() -> Self {
        Self([0; 64])
    }
}

/// Offsets of one line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// Also where the line begins.
    pub(super) name_start: u32,
    pub(super) value_start: u32,
    pub(super) value_end: u32,
    pub(super) name_len: u16,
    pub(super) id: u8,
    pub(super) flags: u8,
}

impl Slot {
    /// The bytes on the wire are exactly `Name: value\r\n`.
    pub(super) const CANONICAL: u8 = 1;
    /// Connection names it (for `HeaderId::OTHER` only; known names are in `Headers::nominated`).
    pub(super) const NOMINATED: u8 = 2;
    /// The name has `_`, so somebody may take it for a name with `-`.
    pub(super) const UNDERSCORE: u8 = 4;

    #[inline]
    pub(super) fn name<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        let start = self.name_start as usize;
        &buf[start..start + usize::from(self.name_len)]
    }

    #[inline]
    pub(super) fn value<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        &buf[self.value_start as usize..self.value_end as usize]
    }

    #[inline]
    pub(super) fn header<'b>(&self, buf: &'b [u8]) -> Header<'b> {
        Header { id: HeaderId::from_raw(self.id), name: self.name(buf), value: self.value(buf) }
    }

    #[inline]
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// For a name with `_`: the known name that it is with `-` instead.
    pub(super) fn look_alike(&self, buf: &[u8]) -> HeaderId {
        let mut dashed = [0u8; 32];
        let name = self.name(buf);
        let Some(dashed) = dashed.get_mut(..name.len()) else { return HeaderId::OTHER };
        for (to, &from) in dashed.iter_mut().zip(name) {
            *to = if from == b'_' { b'-' } else { from };
        }
        HeaderId::of(dashed)
    }
}

/// Reads header lines from `at` to the empty line that ends them. Gives the index after that empty line, or `None`
/// when `buf` ends before it. Adds to `headers`, at most up to `headers_max` lines.
///
/// `buf` must be shorter than 4 GiB (`Limits` sees to it).
#[inline]
pub(super) fn read_lines(
    buf: &[u8],
    mut at: usize,
    headers: &mut Headers,
    headers_max: usize,
) -> Result<Option<usize>, HeadError> {
    loop {
        let (name_end, odd) = name_end(buf, at);
        if name_end == buf.len() {
            return if name_end - at > NAME_BYTES_MAX { Err(HeadError::BadHeaderName) } else { Ok(None) };
        }
        if buf[name_end] != b':' || name_end == at {
            return end_or_error(buf, at, name_end);
        }
        let name = &buf[at..name_end];
        if name.len() > NAME_BYTES_MAX {
            return Err(HeadError::BadHeaderName);
        }
        let after_colon = name_end + 1;
        let mut value_start = after_colon;
        while let Some(b' ' | b'\t') = buf.get(value_start) {
            value_start += 1;
        }
        let line_end = field_end(buf, value_start);
        match buf.get(line_end..line_end + 2) {
            Some(b"\r\n") => {}
            _ => return line_error(buf, line_end).map(|()| None),
        }
        let mut value_end = line_end;
        while value_end > value_start && matches!(buf[value_end - 1], b' ' | b'\t') {
            value_end -= 1;
        }
        let mut flags = 0;
        if value_start == after_colon + 1 && buf[after_colon] == b' ' && value_end == line_end {
            flags |= Slot::CANONICAL;
        }
        let id = HeaderId::of(name);
        if odd && id == HeaderId::OTHER && name.contains(&b'_') {
            flags |= Slot::UNDERSCORE;
            headers.underscores = true;
        }
        if headers.slots.len() >= headers_max {
            return Err(HeadError::TooManyHeaders);
        }
        headers.push(Slot {
            name_start: at as u32,
            value_start: value_start as u32,
            value_end: value_end as u32,
            name_len: name.len() as u16,
            id: id.raw(),
            flags,
        });
        at = line_end + 2;
    }
}

/// The line at `at` has no name with a colon behind it: is it the empty line, and if not, what is wrong?
#[cold]
fn not_a_header(buf: &[u8], at: usize, name_end: usize) -> HeadError {
    match buf[name_end] {
        b' ' | b'\t' if name_end == at => HeadError::ObsFold,
        b' ' | b'\t' => {
            // `Name : value` is the well-known trick; a name with a space inside is just a bad name.
            let rest = &buf[name_end..];
            match rest.iter().find(|b| !matches!(b, b' ' | b'\t')) {
                Some(b':') | None => HeadError::SpaceBeforeColon,
                Some(_) => HeadError::BadHeaderName,
            }
        }
        b'\r' => HeadError::NoColon,
        b'\n' => HeadError::BareLf,
        _ => HeadError::BadHeaderName,
    }
}

#[inline]
fn end_or_error(buf: &[u8], at: usize, name_end: usize) -> Result<Option<usize>, HeadError> {
    if name_end == at && buf[at] == b'\r' {
        return match buf.get(at + 1) {
            Some(b'\n') => Ok(Some(at + 2)),
            Some(_) => Err(HeadError::BareCr),
            None => Ok(None),
        };
    }
    let error = not_a_header(buf, at, name_end);
    match (error, buf.get(name_end + 1)) {
        // Too early to say which error it is: more bytes decide, and feeding in pieces must end as feeding whole.
        (HeadError::NoColon, None) => Ok(None),
        (HeadError::NoColon, Some(next)) if *next != b'\n' => Err(HeadError::BareCr),
        (HeadError::SpaceBeforeColon, _) if buf[name_end..].iter().all(|b| matches!(b, b' ' | b'\t')) => {
            Ok(None)
        }
        _ => Err(error),
    }
}

/// `at` is where text had to end with CRLF, and it does not: `Ok` when `buf` only ends too early.
#[cold]
pub(super) fn line_error(buf: &[u8], at: usize) -> Result<(), HeadError> {
    match (buf.get(at), buf.get(at + 1)) {
        (None, _) | (Some(b'\r'), None) => Ok(()),
        (Some(b'\r'), Some(_)) => Err(HeadError::BareCr),
        (Some(b'\n'), _) => Err(HeadError::BareLf),
        (Some(_), _) => Err(HeadError::ControlByte),
    }
}

/// The longest header name that we accept, in bytes; the longest registered one has fewer than 50.
const NAME_BYTES_MAX: usize = 1024;
