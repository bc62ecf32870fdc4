//! Request heads: RFC 9112 §3 and everything that decides how to treat the request.

use super::bytes::{query_start, target_end, token_end};
use super::connection::{Options, read_upgrade};
use super::framing::declared;
use super::table::{line_error, read_lines};
use super::target::{AuthorityAt, expects_continue, read_target};
use super::{
    Authority, EMPTY_LINES_MAX, Framing, HeadError, Header, HeaderId, Headers, Limits, METHOD_BYTES_MAX,
    Method, MethodKind, Parsed, TargetForm, UpgradeToken, Version,
};

/// Reads a request head from the start of `buf`, which may hold more. `headers` is overwritten.
///
/// # Errors
/// The first rule that the head breaks. Which one does not depend on how the bytes were cut into reads.
#[inline]
pub fn parse_request<'b>(
    buf: &'b [u8],
    headers: &'b mut Headers,
    limits: &Limits,
) -> Result<Parsed<RequestHead<'b>>, HeadError> {
    match read_request(limits.window(buf), headers, limits)? {
        Some(facts) => Ok(Parsed::Complete(RequestHead { buf, headers, facts })),
        None => limits.partial(buf),
    }
}

/// A parsed request head. Borrows the bytes and the table; everything else is decided and stored.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'b> {
    buf: &'b [u8],
    headers: &'b Headers,
    facts: RequestFacts,
}

/// What a parse found out, as offsets and decisions: borrows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFacts {
    /// Where the request line begins: behind the empty lines that were skipped.
    start: u32,
    head_len: u32,
    target_start: u32,
    target_end: u32,
    path_start: u32,
    /// Where the query begins, with its question mark; `target_end` when there is none.
    query_start: u32,
    host: Option<AuthorityAt>,
    method: MethodKind,
    form: TargetForm,
    version: Version,
    framing: Framing,
    keep_alive: bool,
    expect_continue: bool,
    upgrade: Option<UpgradeToken>,
}

impl RequestFacts {
    /// The head again, over the same bytes (which may have moved) and the table that they were parsed with.
    ///
    /// # Panics
    /// If `buf` is shorter than the head.
    pub fn head<'b>(&self, buf: &'b [u8], headers: &'b Headers) -> RequestHead<'b> {
        assert!(buf.len() >= self.head_len as usize, "the caller gives the bytes that were parsed");
        RequestHead { buf, headers, facts: *self }
    }
}

impl<'b> RequestHead<'b> {
    /// Length of the head in bytes, with skipped empty lines and the final empty line: the body begins there.
    #[allow(clippy::len_without_is_empty, reason = "a head is never empty")]
    #[inline]
    pub fn len(&self) -> usize {
        self.facts.head_len as usize
    }

    /// What to keep when the bytes move.
    pub fn facts(&self) -> RequestFacts {
        self.facts
    }

    /// The method.
    #[inline]
    pub fn method(&self) -> Method<'b> {
        match self.facts.method {
            MethodKind::Get => Method::Get,
            MethodKind::Head => Method::Head,
            MethodKind::Post => Method::Post,
            MethodKind::Put => Method::Put,
            MethodKind::Delete => Method::Delete,
            MethodKind::Connect => Method::Connect,
            MethodKind::Options => Method::Options,
            MethodKind::Trace => Method::Trace,
            MethodKind::Patch => Method::Patch,
            MethodKind::Other => {
                Method::Other(&self.buf[self.facts.start as usize..self.facts.target_start as usize - 1])
            }
        }
    }

    /// The kind of method, to be kept.
    #[inline]
    pub fn method_kind(&self) -> MethodKind {
        self.facts.method
    }

    /// The target as received: visible ASCII without `#`. For the log.
    #[inline]
    pub fn target(&self) -> &'b [u8] {
        &self.buf[self.facts.target_start as usize..self.facts.target_end as usize]
    }

    /// The target's form.
    #[inline]
    pub fn form(&self) -> TargetForm {
        self.facts.form
    }

    /// What is asked for, without scheme and host: path and query; `*`; or `host:port` for CONNECT.
    ///
    /// An absolute target without a path gives `/` (`*` for OPTIONS). One with a query right behind the host gives
    /// `?query`, for nothing is copied here; its `/` is written by `write_request`, and [`path`](Self::path) says `/`.
    #[inline]
    pub fn path_and_query(&self) -> &'b [u8] {
        let rest = &self.buf[self.facts.path_start as usize..self.facts.target_end as usize];
        match (self.facts.form, rest) {
            (TargetForm::Authority, _) => self.target(),
            (TargetForm::Absolute, []) if self.facts.method == MethodKind::Options => b"*",
            (TargetForm::Absolute, []) => b"/",
            _ => rest,
        }
    }

    /// The path, for routing: as received, neither decoded nor normalised. Empty for CONNECT.
    #[inline]
    pub fn path(&self) -> &'b [u8] {
        let (start, end) = self.path_range();
        match self.facts.form {
            TargetForm::Authority => b"",
            TargetForm::Absolute if start == end => match self.query() {
                Some(_) => b"/",
                None => self.path_and_query(),
            },
            _ => &self.buf[start..end],
        }
    }

    /// The query behind the first `?`, without it.
    pub fn query(&self) -> Option<&'b [u8]> {
        let (start, end) = (self.facts.query_start as usize, self.facts.target_end as usize);
        (start < end).then(|| &self.buf[start + 1..end])
    }

    /// The version.
    #[inline]
    pub fn version(&self) -> Version {
        self.facts.version
    }

    /// The host that the request is for: the target's authority where it has one, else Host. `None` only for
    /// HTTP/1.0 requests without Host.
    #[inline]
    pub fn host(&self) -> Option<Authority<'b>> {
        self.facts.host.map(|host| host.of(self.buf))
    }

    /// How the body is delimited.
    #[inline]
    pub fn framing(&self) -> Framing {
        self.facts.framing
    }

    /// May another request follow on this connection, as far as the client says?
    #[inline]
    pub fn keep_alive(&self) -> bool {
        self.facts.keep_alive
    }

    /// Does the client wait for `100 Continue` before it sends the body? Only for HTTP/1.1 requests with a body.
    #[inline]
    pub fn expect_continue(&self) -> bool {
        self.facts.expect_continue
    }

    /// The one protocol that the client asks to switch to: only for HTTP/1.1 requests without a body whose
    /// Connection lists `upgrade`. Lists of protocols and HTTP itself (`h2c`) are ignored, as RFC 9110 §7.8 allows.
    #[inline]
    pub fn upgrade(&self) -> Option<UpgradeToken> {
        self.facts.upgrade
    }

    /// The table: which names are there.
    #[inline]
    pub fn table(&self) -> &'b Headers {
        self.headers
    }

    /// All header lines, in order, those of this hop included.
    pub fn headers(&self) -> impl Iterator<Item = Header<'b>> + use<'b> {
        let buf = self.buf;
        self.headers.slots().iter().map(move |slot| slot.header(buf))
    }

    /// The value of the first line with a known name.
    #[inline]
    pub fn header(&self, id: HeaderId) -> Option<&'b [u8]> {
        self.headers.first(id).map(|slot| slot.value(self.buf))
    }

    /// The values of all lines with a known name, in order.
    pub fn values(&self, id: HeaderId) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        let buf = self.buf;
        self.headers.all(id).map(move |slot| slot.value(buf))
    }

    /// The values of all lines with this name in any case, in order. For names that are no [`HeaderId`].
    pub fn values_named<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = &'b [u8]> + use<'b, 'n> {
        self.headers().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    /// Does Connection name this header as one of this hop? Such lines are never written on.
    pub fn is_nominated(&self, name: &[u8]) -> bool {
        self.headers.is_nominated(self.buf, name)
    }

    /// Where the path is in `buf`, as far as the target has one.
    #[inline]
    pub(super) fn path_range(&self) -> (usize, usize) {
        (self.facts.path_start as usize, self.facts.query_start as usize)
    }

    #[inline]
    pub(super) fn buf(&self) -> &'b [u8] {
        self.buf
    }

    /// The request line with its CRLF, when it is as we would write it.
    #[inline]
    pub(super) fn canonical_line(&self) -> Option<(usize, usize)> {
        if self.facts.version == Version::Http11 && self.facts.form != TargetForm::Absolute {
            return Some((self.facts.start as usize, self.facts.target_end as usize + REST_OF_LINE));
        }
        None
    }
}

#[inline(always)]
fn read_request(
    buf: &[u8],
    headers: &mut Headers,
    limits: &Limits,
) -> Result<Option<RequestFacts>, HeadError> {
    headers.clear();
    let Some(start) = skip_empty_lines(buf)? else { return Ok(None) };

    let method_end = token_end(buf, start);
    if method_end - start > METHOD_BYTES_MAX {
        return Err(HeadError::BadMethod);
    }
    if method_end == buf.len() {
        return Ok(None);
    }
    if buf[method_end] != b' ' || method_end == start {
        return Err(if buf[method_end] == b'\n' { HeadError::BareLf } else { HeadError::BadMethod });
    }
    let method = Method::of(&buf[start..method_end]).kind();

    let target_start = method_end + 1;
    let target_end = target_end(buf, target_start);
    if target_end - target_start > limits.uri_bytes_max {
        return Err(HeadError::TargetTooLong);
    }
    if target_end == buf.len() {
        return Ok(None);
    }
    if buf[target_end] != b' ' || target_end == target_start {
        return bad_target(buf, target_start, target_end);
    }
    let Some(version) = read_version_line(buf, target_end + 1)? else { return Ok(None) };
    let target = read_target(&buf[target_start..target_end], method)?;

    let lines_start = target_end + REST_OF_LINE;
    let Some(end) = read_lines(buf, lines_start, headers, limits.header_lines())? else { return Ok(None) };

    let host = read_host(buf, headers, version)?;
    let host = match target.authority {
        Some((from, to)) => Some(AuthorityAt::check(buf, target_start + from, target_start + to)?),
        None => host,
    };
    let framing = declared(buf, headers, version)?;
    if method == MethodKind::Connect && framing != Framing::None {
        return Err(HeadError::ConnectWithBody);
    }
    let options = Options::read(buf, headers)?;
    let seen = headers.seen();
    let mut upgrade = None;
    if seen.contains(HeaderId::UPGRADE) {
        let protocol = read_upgrade(buf, headers)?;
        let no_body = matches!(framing, Framing::None | Framing::Length(0)) && method != MethodKind::Connect;
        if options.upgrade && version == Version::Http11 && no_body {
            upgrade = protocol;
        }
    }
    let mut expect_continue = false;
    if seen.contains(HeaderId::EXPECT) {
        for slot in headers.all(HeaderId::EXPECT) {
            expect_continue |= expects_continue(slot.value(buf))?;
        }
        expect_continue &=
            version == Version::Http11 && !matches!(framing, Framing::None | Framing::Length(0));
    }

    Ok(Some(RequestFacts {
        start: start as u32,
        head_len: end as u32,
        target_start: target_start as u32,
        target_end: target_end as u32,
        path_start: (target_start + target.path) as u32,
        query_start: query_start(&buf[..target_end], target_start + target.path) as u32,
        host,
        method,
        form: target.form,
        version,
        framing,
        keep_alive: options.keep_alive(version),
        expect_continue,
        upgrade,
    }))
}

/// Where the request line begins, or `None` when `buf` ends before it.
#[inline]
fn skip_empty_lines(buf: &[u8]) -> Result<Option<usize>, HeadError> {
    let mut at = 0;
    loop {
        match (buf.get(at), buf.get(at + 1)) {
            (Some(b'\r'), Some(b'\n')) if at == EMPTY_LINES_MAX * 2 => return Err(HeadError::EmptyLines),
            (Some(b'\r'), Some(b'\n')) => at += 2,
            (Some(b'\r'), Some(_)) => return Err(HeadError::BareCr),
            (Some(b'\n'), _) => return Err(HeadError::BareLf),
            (Some(b'\r'), None) | (None, _) => return Ok(None),
            (Some(_), _) => return Ok(Some(at)),
        }
    }
}

/// The byte at `end` ends the target, and it should not, or not there.
#[cold]
fn bad_target(buf: &[u8], start: usize, end: usize) -> Result<Option<RequestFacts>, HeadError> {
    match buf[end] {
        b'#' => Err(HeadError::TargetFragment),
        b' ' | b'\t' | 0x80.. => Err(HeadError::BadTarget),
        // `GET /` alone was HTTP/0.9.
        b'\r' if buf.get(end + 1) == Some(&b'\n') => {
            Err(if start == end { HeadError::BadTarget } else { HeadError::BadVersion })
        }
        _ => line_error(buf, end).map(|()| None),
    }
}

/// Reads `HTTP/1.x CRLF` at `at`.
#[inline]
fn read_version_line(buf: &[u8], at: usize) -> Result<Option<Version>, HeadError> {
    match buf.get(at..at + VERSION_LINE.len()) {
        Some(b"HTTP/1.1\r\n") => Ok(Some(Version::Http11)),
        Some(b"HTTP/1.0\r\n") => Ok(Some(Version::Http10)),
        _ => odd_version_line(&buf[at..]),
    }
}

#[cold]
fn odd_version_line(rest: &[u8]) -> Result<Option<Version>, HeadError> {
    for (place, &want) in VERSION_LINE.iter().enumerate() {
        let Some(&byte) = rest.get(place) else { return Ok(None) };
        let fits = if want == b'0' { byte.is_ascii_digit() } else { byte == want };
        if fits {
            continue;
        }
        return Err(match (want, byte) {
            (b'\n', _) => HeadError::BareCr,
            (_, b'\n') => HeadError::BareLf,
            _ => HeadError::BadVersion,
        });
    }
    Err(HeadError::UnsupportedVersion)
}

/// Where the one Host value is, checked.
#[inline(always)]
fn read_host(buf: &[u8], headers: &Headers, version: Version) -> Result<Option<AuthorityAt>, HeadError> {
    let Some(slot) = headers.first(HeaderId::HOST) else {
        return if version == Version::Http11 { Err(HeadError::HostMissing) } else { Ok(None) };
    };
    if headers.repeated().contains(HeaderId::HOST) {
        return Err(HeadError::HostRepeated);
    }
    AuthorityAt::check(buf, slot.value_start as usize, slot.value_end as usize).map(Some)
}

/// ` HTTP/1.1\r\n`
const REST_OF_LINE: usize = 11;
/// The shape of a version and the end of its line; `0` stands for a digit.
const VERSION_LINE: &[u8; 10] = b"HTTP/0.0\r\n";
