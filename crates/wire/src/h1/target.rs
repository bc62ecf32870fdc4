//! Methods, request targets and authorities (RFC 9112 §3, RFC 3986 §3.2).

use super::HeadError;
use super::bytes::{is_token, reg_name_end, target_end, trim};

/// A request method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method<'b> {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `CONNECT`
    Connect,
    /// `OPTIONS`
    Options,
    /// `TRACE`
    Trace,
    /// `PATCH`
    Patch,
    /// Any other token, as received: methods are case-sensitive, so `get` is here.
    Other(&'b [u8]),
}

/// A [`Method`] without the bytes of an unknown one, to be kept beside a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the same names as in Method")]
pub enum MethodKind {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    Other,
}

impl<'b> Method<'b> {
    /// The method that `token` names.
    pub fn of(token: &'b [u8]) -> Self {
        match token {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            other => Self::Other(other),
        }
    }

    /// The method's name.
    pub fn as_bytes(&self) -> &'b [u8] {
        match self {
            Self::Get => b"GET",
            Self::Head => b"HEAD",
            Self::Post => b"POST",
            Self::Put => b"PUT",
            Self::Delete => b"DELETE",
            Self::Connect => b"CONNECT",
            Self::Options => b"OPTIONS",
            Self::Trace => b"TRACE",
            Self::Patch => b"PATCH",
            Self::Other(name) => name,
        }
    }

    /// The kind to keep.
    pub fn kind(&self) -> MethodKind {
        match self {
            Self::Get => MethodKind::Get,
            Self::Head => MethodKind::Head,
            Self::Post => MethodKind::Post,
            Self::Put => MethodKind::Put,
            Self::Delete => MethodKind::Delete,
            Self::Connect => MethodKind::Connect,
            Self::Options => MethodKind::Options,
            Self::Trace => MethodKind::Trace,
            Self::Patch => MethodKind::Patch,
            Self::Other(_) => MethodKind::Other,
        }
    }
}

impl MethodKind {
    /// May the request be sent again though a member may have acted on it (RFC 9110 §9.2.2)?
    pub fn is_idempotent(self) -> bool {
        match self {
            Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace => true,
            Self::Post | Self::Patch | Self::Connect | Self::Other => false,
        }
    }
}

/// The four forms of a request target (RFC 9112 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetForm {
    /// `/path?query`
    Origin,
    /// `http://host/path?query`: written upstream in origin form, its host as Host.
    Absolute,
    /// `host:port`, with CONNECT only.
    Authority,
    /// `*`, with OPTIONS only.
    Asterisk,
}

/// A checked `host[:port]`.
///
/// Host is a name or IPv4 address of letters, digits and `-._~!$&'()*+;=`, or an IPv6 address in brackets. What
/// RFC 3986 allows beyond that is refused: percent-encoding (clients resolve it before sending), the comma (two Host
/// lines joined by a hop before us look so), zone identifiers, IPvFuture, an empty host, an empty port.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Authority<'b> {
    bytes: &'b [u8],
    host_len: usize,
    port: Option<u16>,
}

impl<'b> Authority<'b> {
    /// Checks a Host value or the authority of a target. [`HeadError::BadHost`] when it is none.
    #[inline]
    pub fn parse(bytes: &'b [u8]) -> Result<Self, HeadError> {
        let host_len = if bytes.first() == Some(&b'[') {
            ipv6_literal_len(bytes).ok_or(HeadError::BadHost)?
        } else {
            let len = reg_name_end(bytes);
            if len == 0 || len > HOST_BYTES_MAX {
                return Err(HeadError::BadHost);
            }
            len
        };
        let port = match &bytes[host_len..] {
            [] => None,
            [b':', digits @ ..] => Some(port(digits).ok_or(HeadError::BadHost)?),
            _ => return Err(HeadError::BadHost),
        };
        Ok(Self { bytes, host_len, port })
    }

    /// `host[:port]` as received; compare hosts without regard to case.
    pub fn as_bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// The host alone; an IPv6 address with its brackets.
    pub fn host(&self) -> &'b [u8] {
        &self.bytes[..self.host_len]
    }

    /// The port, when given: 0 to 65535.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

/// Where a checked authority is in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AuthorityAt {
    start: u32,
    end: u32,
    host_len: u16,
    port: Option<u16>,
}

impl AuthorityAt {
    /// Checks the bytes from `start` to `end`, which are below 4 GiB.
    #[inline]
    pub(super) fn check(buf: &[u8], start: usize, end: usize) -> Result<Self, HeadError> {
        let Authority { host_len, port, .. } = Authority::parse(&buf[start..end])?;
        Ok(Self { start: start as u32, end: end as u32, host_len: host_len as u16, port })
    }

    /// It, in the buffer that was checked.
    #[inline]
    pub(super) fn of<'b>(&self, buf: &'b [u8]) -> Authority<'b> {
        let bytes = &buf[self.start as usize..self.end as usize];
        Authority { bytes, host_len: self.host_len.into(), port: self.port }
    }
}

impl std::fmt::Debug for Authority<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.bytes.escape_ascii())
    }
}

/// A checked target in origin form, for rewriting: `/path` or `/path?query`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OriginForm<'a>(&'a [u8]);

impl<'a> OriginForm<'a> {
    /// `None` unless `target` begins with `/` and holds visible ASCII other than `#` only.
    pub fn new(target: &'a [u8]) -> Option<Self> {
        (target.first() == Some(&b'/') && target_end(target, 0) == target.len()).then_some(Self(target))
    }

    /// The target.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

/// A target taken apart. Offsets are into the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) form: TargetForm,
    /// Where the host is, for absolute and authority form.
    pub(super) authority: Option<(usize, usize)>,
    /// Where path and query begin, for origin and absolute form; the target's length when there is none.
    pub(super) path: usize,
}

/// Takes a target apart. `target` holds target bytes only and is not empty.
#[inline]
pub(super) fn read_target(target: &[u8], method: MethodKind) -> Result<Target, HeadError> {
    if target.first() == Some(&b'/') && method != MethodKind::Connect {
        return Ok(Target { form: TargetForm::Origin, authority: None, path: 0 });
    }
    read_rare_target(target, method)
}

#[cold]
fn read_rare_target(target: &[u8], method: MethodKind) -> Result<Target, HeadError> {
    if method == MethodKind::Connect {
        let authority = Authority::parse(target).map_err(|_| HeadError::BadTargetForm)?;
        authority.port().ok_or(HeadError::BadTargetForm)?;
        let whole = Some((0, target.len()));
        return Ok(Target { form: TargetForm::Authority, authority: whole, path: target.len() });
    }
    if target == b"*" {
        return match method {
            MethodKind::Options => Ok(Target { form: TargetForm::Asterisk, authority: None, path: 0 }),
            _ => Err(HeadError::BadTargetForm),
        };
    }
    let Some(colon) = memchr::memmem::find(target, b"://") else { return Err(HeadError::BadTargetForm) };
    let scheme = &target[..colon];
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return Err(if is_token(scheme) { HeadError::BadScheme } else { HeadError::BadTargetForm });
    }
    let start = colon + 3;
    let end = memchr::memchr2(b'/', b'?', &target[start..]).map_or(target.len(), |n| start + n);
    let authority = &target[start..end];
    if memchr::memchr(b'@', authority).is_some() {
        return Err(HeadError::UserInfo);
    }
    Authority::parse(authority)?;
    Ok(Target { form: TargetForm::Absolute, authority: Some((start, end)), path: end })
}

/// Length of the `[IPv6 address]` that `bytes` begin with.
fn ipv6_literal_len(bytes: &[u8]) -> Option<usize> {
    let close = memchr::memchr(b']', bytes)?;
    let text = std::str::from_utf8(&bytes[1..close]).ok()?;
    text.parse::<std::net::Ipv6Addr>().ok()?;
    Some(close + 1)
}

fn port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 {
        return None;
    }
    digits.iter().try_fold(0u16, |n, &b| {
        if !b.is_ascii_digit() {
            return None;
        }
        n.checked_mul(10)?.checked_add(u16::from(b - b'0'))
    })
}

/// Does an Expect value ask for `100 Continue`? Any other expectation is an error.
pub(super) fn expects_continue(value: &[u8]) -> Result<bool, HeadError> {
    if trim(value).eq_ignore_ascii_case(b"100-continue") {
        Ok(true)
    } else {
        Err(HeadError::UnknownExpectation)
    }
}

/// The longest host that we accept, in bytes: DNS names have at most 253, with a dot at the end 254.
const HOST_BYTES_MAX: usize = 255;
