//! Header lines that we add ourselves, checked when they are made.

use super::bytes::{field_end, is_token};
use super::{HeaderId, HeaderSet};

/// Complete header lines (`Name: value\r\n` …) to be appended to a head. Nothing that comes in here can end a line
/// early or touch the framing, whatever the value was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderLines {
    bytes: Vec<u8>,
}

/// A header line that we must not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadHeaderLine {
    /// The name is no token.
    #[error("the header name is empty or holds a byte that no name has")]
    Name,
    /// The value holds a control byte.
    #[error("the header value holds a control byte")]
    Value,
    /// The serialiser alone writes this one: Host, framing, and what is for one hop.
    #[error("this header is written by the proxy itself and cannot be added")]
    Reserved,
}

impl HeaderLines {
    /// No line.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Forgets all lines and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Is there no line?
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The lines.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a line.
    ///
    /// # Errors
    /// The line is one that we must not write; nothing is added then.
    #[inline]
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadHeaderLine> {
        self.push_joined(name, std::iter::empty(), value)
    }

    /// Adds one line whose value is all of `values`, then `last`, with `, ` between: as X-Forwarded-For is appended
    /// to. Empty values are left out.
    ///
    /// # Errors
    /// The line is one that we must not write; nothing is added then.
    #[inline]
    pub fn push_joined<'v>(
        &mut self,
        name: &[u8],
        values: impl IntoIterator<Item = &'v [u8]>,
        last: &'v [u8],
    ) -> Result<(), BadHeaderLine> {
        if RESERVED.contains(HeaderId::of(name)) {
            return Err(BadHeaderLine::Reserved);
        }
        if !is_token(name) {
            return Err(BadHeaderLine::Name);
        }
        let before = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        let mut first = true;
        for value in values.into_iter().chain(std::iter::once(last)) {
            if field_end(value, 0) != value.len() {
                self.bytes.truncate(before);
                return Err(BadHeaderLine::Value);
            }
            if value.is_empty() {
                continue;
            }
            if !first {
                self.bytes.extend_from_slice(b", ");
            }
            first = false;
            self.bytes.extend_from_slice(value);
        }
        self.bytes.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Adds all lines of `other`, such as those of a plan that were made once.
    pub fn extend(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
    }
}

const RESERVED: HeaderSet = HeaderSet::of(&[
    HeaderId::HOST,
    HeaderId::CONNECTION,
    HeaderId::KEEP_ALIVE,
    HeaderId::PROXY_CONNECTION,
    HeaderId::TE,
    HeaderId::TRAILER,
    HeaderId::TRANSFER_ENCODING,
    HeaderId::UPGRADE,
    HeaderId::HTTP2_SETTINGS,
    HeaderId::CONTENT_LENGTH,
    HeaderId::EXPECT,
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_be_broken_or_touch_the_framing() {
        let mut lines = HeaderLines::new();
        for (name, value, want) in [
            ("X-Real-IP", "127.0.0.1", Ok(())),
            ("X-Empty", "", Ok(())),
            ("X-A", "a\r\nHost: b", Err(BadHeaderLine::Value)),
            ("X-A", "a\0", Err(BadHeaderLine::Value)),
            ("X A", "a", Err(BadHeaderLine::Name)),
            ("", "a", Err(BadHeaderLine::Name)),
            ("X-A:", "a", Err(BadHeaderLine::Name)),
            ("content-length", "5", Err(BadHeaderLine::Reserved)),
            ("Transfer-Encoding", "chunked", Err(BadHeaderLine::Reserved)),
            ("HOST", "a", Err(BadHeaderLine::Reserved)),
        ] {
            assert_eq!(lines.push(name.as_bytes(), value.as_bytes()), want, "{name}: {value}");
        }
        assert_eq!(lines.as_bytes(), b"X-Real-IP: 127.0.0.1\r\nX-Empty: \r\n");
    }

    #[test]
    fn joining_appends_to_what_hops_before_wrote() {
        let mut lines = HeaderLines::new();
        let earlier = [&b"10.0.0.1"[..], b"", b"10.0.0.2, 10.0.0.3"];
        lines.push_joined(b"X-Forwarded-For", earlier, b"10.0.0.4").expect("legal");
        assert_eq!(lines.as_bytes(), b"X-Forwarded-For: 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4\r\n");
    }
}
