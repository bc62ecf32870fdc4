//! The trailer section of a chunked body (RFC 9112 §7.1.2): collected, checked as header lines are, filtered.

use super::table::read_lines;
use super::{BodyError, Header, HeaderId, HeaderSet, Headers};

/// A trailer section that is being read, then the end of the body as we write it.
#[derive(Clone, Debug, Default)]
pub(super) struct Trailers {
    /// As received; once done, `0 CRLF`, the lines that are passed on, and CRLF.
    bytes: Vec<u8>,
    line_start: usize,
    done: bool,
}

impl Trailers {
    /// Takes input up to the end of the section, and says how much that was.
    pub(super) fn read(&mut self, input: &[u8]) -> Result<usize, BodyError> {
        let mut at = 0;
        while at < input.len() && !self.done {
            let feed = memchr::memchr(b'\n', &input[at..]);
            let end = feed.map_or(input.len(), |n| at + n + 1);
            if self.bytes.len() + (end - at) > TRAILER_BYTES_MAX {
                return Err(BodyError::TrailersTooLarge);
            }
            self.bytes.extend_from_slice(&input[at..end]);
            at = end;
            if feed.is_some() {
                match &self.bytes[self.line_start..] {
                    [b'\r', b'\n'] => self.finish()?,
                    [.., b'\r', b'\n'] => self.line_start = self.bytes.len(),
                    _ => return Err(BodyError::BadTrailer(super::HeadError::BareLf)),
                }
            }
        }
        Ok(at)
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// The end of the body, to be sent on; empty before it is known.
    pub(super) fn tail(&self) -> &[u8] {
        if self.done { &self.bytes } else { b"" }
    }

    pub(super) fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        let lines = self.tail().split(|&b| b == b'\n').skip(1);
        lines.filter_map(|line| {
            let line = line.strip_suffix(b"\r")?;
            let colon = memchr::memchr(b':', line)?;
            let (name, value) = (&line[..colon], line.get(colon + 2..)?);
            Some(Header { id: HeaderId::of(name), name, value })
        })
    }

    fn finish(&mut self) -> Result<(), BodyError> {
        let mut headers = Headers::default();
        read_lines(&self.bytes, 0, &mut headers, TRAILERS_MAX).map_err(BodyError::BadTrailer)?;
        let mut tail = Vec::with_capacity(self.bytes.len() + 3);
        tail.extend_from_slice(b"0\r\n");
        for slot in headers.slots() {
            let header = slot.header(&self.bytes);
            let id = if header.id == HeaderId::OTHER { slot.look_alike(&self.bytes) } else { header.id };
            if FORBIDDEN.contains(id)
                || FORBIDDEN_NAMES.iter().any(|name| header.name.eq_ignore_ascii_case(name))
            {
                continue;
            }
            tail.extend_from_slice(header.name);
            tail.extend_from_slice(b": ");
            tail.extend_from_slice(header.value);
            tail.extend_from_slice(b"\r\n");
        }
        tail.extend_from_slice(b"\r\n");
        self.bytes = tail;
        self.done = true;
        Ok(())
    }
}

/// Trailers that are never passed on (RFC 9110 §6.5.1): framing, routing, request modifiers, authentication,
/// response control, and how to read the body. A receiver that merges trailers into the headers would obey them.
const FORBIDDEN: HeaderSet = HeaderSet::of(&[
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
    HeaderId::AUTHORIZATION,
    HeaderId::CACHE_CONTROL,
    HeaderId::CONTENT_ENCODING,
    HeaderId::CONTENT_LOCATION,
    HeaderId::CONTENT_RANGE,
    HeaderId::CONTENT_TYPE,
    HeaderId::COOKIE,
    HeaderId::DATE,
    HeaderId::FORWARDED,
    HeaderId::IF_MODIFIED_SINCE,
    HeaderId::IF_NONE_MATCH,
    HeaderId::LOCATION,
    HeaderId::MAX_FORWARDS,
    HeaderId::ORIGIN,
    HeaderId::PRAGMA,
    HeaderId::PROXY_AUTHENTICATE,
    HeaderId::PROXY_AUTHORIZATION,
    HeaderId::RANGE,
    HeaderId::REFERER,
    HeaderId::RETRY_AFTER,
    HeaderId::SEC_WEBSOCKET_ACCEPT,
    HeaderId::SEC_WEBSOCKET_KEY,
    HeaderId::SEC_WEBSOCKET_VERSION,
    HeaderId::SERVER,
    HeaderId::SET_COOKIE,
    HeaderId::USER_AGENT,
    HeaderId::VARY,
    HeaderId::VIA,
    HeaderId::WWW_AUTHENTICATE,
    HeaderId::X_FORWARDED_ELB_ID,
    HeaderId::X_FORWARDED_ELB_IP,
    HeaderId::X_FORWARDED_ELB_VIP,
    HeaderId::X_FORWARDED_FOR,
    HeaderId::X_FORWARDED_FOR_PORT,
    HeaderId::X_FORWARDED_HOST,
    HeaderId::X_FORWARDED_PORT,
    HeaderId::X_FORWARDED_PROTO,
    HeaderId::X_REAL_IP,
    HeaderId::X_ROUTER_CODE,
]);
const FORBIDDEN_NAMES: [&[u8]; 6] =
    [b"age", b"expires", b"if-match", b"if-range", b"if-unmodified-since", b"authentication-info"];
pub(super) const TRAILER_BYTES_MAX: usize = 8 << 10;
/// Most trailer lines. 8 KiB hold no more than 2,048.
const TRAILERS_MAX: usize = 128;
