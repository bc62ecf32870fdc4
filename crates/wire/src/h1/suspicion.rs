//! What is odd about a request that the parser accepts: things that the standard allows, or leaves open, and that servers along the
//! way have read in different ways. A listener's strictness decides what follows.
//!
//! What would let two parsers disagree on where a message ends is no suspicion: it is refused by the parser.

use super::bytes::plain_end;
use super::table::Slot;
use super::{Framing, HeaderId, HeaderSet, MethodKind, RequestHead, TargetForm, Version};

/// A class of oddity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Suspicion {
    /// A body on a method that gives it no meaning: GET, HEAD (RFC 9110 sections 9.3.1 and 9.3.2).
    BodyWithoutMeaning,
    /// The target names one host and Host another (RFC 9112 section 3.2.2: the target counts).
    HostsDiffer,
    /// A body on a kept HTTP/1.0 connection.
    OldVersionBody,
    /// An offer of HTTP/2 in clear, which another proxy on the way might accept.
    Http2Offer,
    /// Connection names a header that is not of one hop: a server behind would not see it.
    ConnectionHidesHeader,
    /// A name that is a well-known one with `_` for `-`, such as `X_Forwarded_For`.
    LookAlikeName,
    /// A path with `.` or `..` as a segment, a backslash, or one of them or a slash in percent-encoding: servers differ in what it names.
    AmbiguousPath,
}

impl Suspicion {
    /// Every class.
    pub const ALL: [Self; 7] = [
        Self::BodyWithoutMeaning,
        Self::HostsDiffer,
        Self::OldVersionBody,
        Self::Http2Offer,
        Self::ConnectionHidesHeader,
        Self::LookAlikeName,
        Self::AmbiguousPath,
    ];

    /// A stable name, for logs and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::BodyWithoutMeaning => "body_without_meaning",
            Self::HostsDiffer => "hosts_differ",
            Self::OldVersionBody => "old_version_body",
            Self::Http2Offer => "http2_offer",
            Self::ConnectionHidesHeader => "connection_hides_header",
            Self::LookAlikeName => "look_alike_name",
            Self::AmbiguousPath => "ambiguous_path",
        }
    }
}

/// Names that Connection has no business with.
const END_TO_END: HeaderSet = HeaderSet::of(&[
    HeaderId::HOST,
    HeaderId::CONTENT_LENGTH,
    HeaderId::CONTENT_TYPE,
    HeaderId::COOKIE,
    HeaderId::AUTHORIZATION,
    HeaderId::ORIGIN,
    HeaderId::RANGE,
    HeaderId::FORWARDED,
    HeaderId::X_FORWARDED_FOR,
    HeaderId::X_FORWARDED_HOST,
    HeaderId::X_FORWARDED_PORT,
    HeaderId::X_FORWARDED_PROTO,
    HeaderId::X_REAL_IP,
]);

impl RequestHead<'_> {
    /// The first class that the request falls into; none: an ordinary request. Costs a few comparisons and a look at the path.
    pub fn suspicion(&self) -> Option<Suspicion> {
        let table = self.table();
        let has_body = !matches!(self.framing(), Framing::None | Framing::Length(0));
        if has_body && matches!(self.method_kind(), MethodKind::Get | MethodKind::Head) {
            return Some(Suspicion::BodyWithoutMeaning);
        }
        if has_body && self.version() == Version::Http10 && self.keep_alive() {
            return Some(Suspicion::OldVersionBody);
        }
        if self.form() == TargetForm::Absolute && self.hosts_differ() {
            return Some(Suspicion::HostsDiffer);
        }
        if table.seen().contains(HeaderId::HTTP2_SETTINGS)
            || self.values(HeaderId::UPGRADE).any(|value| lists(value, b"h2c"))
        {
            return Some(Suspicion::Http2Offer);
        }
        if !table.nominated.intersection(END_TO_END).is_empty() {
            return Some(Suspicion::ConnectionHidesHeader);
        }
        if table.underscores && self.has_look_alike() {
            return Some(Suspicion::LookAlikeName);
        }
        self.is_ambiguous().then_some(Suspicion::AmbiguousPath)
    }

    /// Whether servers may differ in what the path names.
    fn is_ambiguous(&self) -> bool {
        let (start, end) = self.path_range();
        let buf = &self.buf()[..end];
        let mut at = plain_end(buf, start);
        while at < end {
            let rest = &buf[at..];
            let odd = match rest {
                [b'%', high, low, ..] => {
                    matches!([*high, low.to_ascii_lowercase()], [b'2', b'e' | b'f'] | [b'5', b'c'])
                }
                [b'.', ..] => {
                    let segment = rest.split(|&byte| byte == b'/').next().unwrap_or_default();
                    at > start && buf[at - 1] == b'/' && matches!(segment, b"." | b"..")
                }
                [b'\\', ..] => true,
                _ => false,
            };
            if odd {
                return true;
            }
            at = plain_end(buf, at + 1);
        }
        false
    }

    fn has_look_alike(&self) -> bool {
        let (table, buf) = (self.table(), self.buf());
        let underscored = |slot: &&Slot| slot.has(Slot::UNDERSCORE);
        table.slots().iter().filter(underscored).any(|slot| slot.look_alike(buf) != HeaderId::OTHER)
    }

    fn hosts_differ(&self) -> bool {
        let (Some(target), Some(header)) = (self.host(), self.header(HeaderId::HOST)) else { return false };
        !target.as_bytes().eq_ignore_ascii_case(header)
    }
}

/// Whether a list of protocols has one of that name.
fn lists(value: &[u8], name: &[u8]) -> bool {
    value.split(|&byte| byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::super::{Headers, Limits, Parsed, parse_request};
    use super::*;

    fn of(head: &str) -> Option<Suspicion> {
        let bytes = head.replace('\n', "\r\n");
        let mut headers = Headers::new();
        match parse_request(bytes.as_bytes(), &mut headers, &Limits::default()) {
            Ok(Parsed::Complete(head)) => head.suspicion(),
            other => panic!("{other:?}: {head}"),
        }
    }

    #[test]
    fn each_class_is_found_and_its_harmless_neighbour_is_not() {
        use Suspicion as S;
        for (head, expect) in [
            ("GET / HTTP/1.1\nHost: a\nContent-Length: 1\n\n", Some(S::BodyWithoutMeaning)),
            ("HEAD / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n", Some(S::BodyWithoutMeaning)),
            ("GET / HTTP/1.1\nHost: a\nContent-Length: 0\n\n", None),
            ("DELETE / HTTP/1.1\nHost: a\nContent-Length: 1\n\n", None),
            (
                "POST / HTTP/1.0\nHost: a\nConnection: keep-alive\nContent-Length: 1\n\n",
                Some(S::OldVersionBody),
            ),
            ("POST / HTTP/1.0\nHost: a\nContent-Length: 1\n\n", None),
            ("GET http://a/ HTTP/1.1\nHost: b\n\n", Some(S::HostsDiffer)),
            ("GET http://a:80/ HTTP/1.1\nHost: A:80\n\n", None),
            ("GET / HTTP/1.1\nHost: a\nHTTP2-Settings: AAMAAABk\n\n", Some(S::Http2Offer)),
            (
                "GET / HTTP/1.1\nHost: a\nConnection: upgrade\nUpgrade: websocket, h2c\n\n",
                Some(S::Http2Offer),
            ),
            ("GET / HTTP/1.1\nHost: a\nConnection: upgrade\nUpgrade: websocket\n\n", None),
            (
                "GET / HTTP/1.1\nHost: a\nConnection: close, X-Forwarded-For\n\n",
                Some(S::ConnectionHidesHeader),
            ),
            ("GET / HTTP/1.1\nHost: a\nConnection: close, X-Own\nX-Own: 1\n\n", None),
            ("GET / HTTP/1.1\nHost: a\nX_Real_IP: 1.2.3.4\n\n", Some(S::LookAlikeName)),
            ("GET / HTTP/1.1\nHost: a\nmy_own: 1\n\n", None),
            ("GET /a/../b HTTP/1.1\nHost: a\n\n", Some(S::AmbiguousPath)),
            ("GET /a/. HTTP/1.1\nHost: a\n\n", Some(S::AmbiguousPath)),
            ("GET /a%2Fb HTTP/1.1\nHost: a\n\n", Some(S::AmbiguousPath)),
            ("GET /%2e%2E/x HTTP/1.1\nHost: a\n\n", Some(S::AmbiguousPath)),
            ("GET /a\\b HTTP/1.1\nHost: a\n\n", Some(S::AmbiguousPath)),
            ("GET /a%20b/.well-known/..x/c.html?x=../%2f HTTP/1.1\nHost: a\n\n", None),
            ("GET / HTTP/1.1\nHost: a\n\n", None),
        ] {
            assert_eq!(of(head), expect, "{head}");
        }
    }

    #[test]
    fn every_class_has_a_name_of_its_own() {
        let codes: std::collections::BTreeSet<_> = Suspicion::ALL.iter().map(|class| class.code()).collect();
        assert_eq!(codes.len(), Suspicion::ALL.len());
    }
}
