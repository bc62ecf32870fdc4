//! Waiting for the rest of a head without reading it again and again.

use super::Limits;

/// How far an incomplete head was looked at. 4 bytes, to be kept beside the bytes themselves.
///
/// A client that sends its head byte by byte would otherwise make us parse all of it for each byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadScan {
    seen: u32,
}

impl HeadScan {
    pub(super) fn after(buf: &[u8]) -> Self {
        Self { seen: buf.len() as u32 }
    }

    /// Is it worth parsing again? `buf` holds all bytes of the message so far, the new ones at its end.
    ///
    /// True when the head is complete, over its limit, or certainly wrong; a parse then says which. It may also be
    /// true for an empty line before the request line, so a parse can be `Partial` once more; it gives a new scan.
    pub fn is_ready(&mut self, buf: &[u8], limits: &Limits) -> bool {
        if buf.len() >= limits.head_bytes() {
            return true;
        }
        let from = (self.seen as usize).min(buf.len());
        self.seen = buf.len() as u32;
        memchr::memchr_iter(b'\n', &buf[from..]).any(|n| {
            let before = &buf[..from + n];
            match before {
                [] => true,
                [.., b'\n', b'\r'] | [b'\r'] => true,
                [.., b'\r'] => false,
                _ => true,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_at_the_end_of_the_head_or_at_a_bare_line_feed() {
        for (why, seen, buf, want) in [
            ("nothing new", 5, &b"GET /"[..], false),
            ("first line only", 5, b"GET / HTTP/1.1\r\n", false),
            ("the empty line", 16, b"GET / HTTP/1.1\r\n\r\n", true),
            ("the empty line, cut before its line feed", 17, b"GET / HTTP/1.1\r\n\r\n", true),
            ("a bare line feed", 5, b"GET / HTTP/1.1\n", true),
            ("an empty line before the request line", 1, b"\r\n", true),
            ("a line feed first", 0, b"\n", true),
        ] {
            let mut scan = HeadScan { seen };
            assert_eq!(scan.is_ready(buf, &Limits::default()), want, "{why}");
        }
    }
}
