//! Response heads: RFC 9112 §4, and §6.3 for where the body ends.

use super::bytes::field_end;
use super::connection::{Options, read_upgrade};
use super::framing::declared;
use super::table::{line_error, read_lines};
use super::{
    Framing, HeadError, Header, HeaderId, Headers, Limits, MethodKind, Parsed, ResponseFraming, UpgradeToken,
    Version,
};

/// What a response answers: its framing depends on it. [`write_request`](super::write_request) gives it for what it
/// wrote; [`Exchange::new`] is for requests written by other means (probes), which cannot ask for an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    pub(super) method: MethodKind,
    pub(super) upgrade: Option<UpgradeToken>,
}

impl Exchange {
    /// A request with this method and without Upgrade.
    pub fn new(method: MethodKind) -> Self {
        Self { method, upgrade: None }
    }

    /// A GET that asks for an upgrade to WebSocket.
    pub fn for_websocket() -> Self {
        Self { method: MethodKind::Get, upgrade: UpgradeToken::new(b"websocket") }
    }

    /// The request's method.
    pub fn method(&self) -> MethodKind {
        self.method
    }

    /// Was the member asked to switch protocols?
    pub fn asks_for_upgrade(&self) -> bool {
        self.upgrade.is_some()
    }
}

/// Proof that the member agreed to a tunnel: 101 with the protocol that was asked for, or 2xx to CONNECT. Nothing
/// else makes one, so code that copies bytes both ways should demand it as an argument.
#[derive(Debug, PartialEq, Eq)]
pub struct Tunnel {
    made_by_parse_response: (),
}

/// Reads a response head from the start of `buf`, which may hold more. `headers` is overwritten.
///
/// # Errors
/// The first rule that the head breaks; the client gets a 502 (contract `behaviour/errors.md`).
#[inline]
pub fn parse_response<'b>(
    buf: &'b [u8],
    headers: &'b mut Headers,
    limits: &Limits,
    exchange: &Exchange,
) -> Result<Parsed<ResponseHead<'b>>, HeadError> {
    match read_response(limits.window(buf), headers, limits, exchange)? {
        Some(facts) => Ok(Parsed::Complete(ResponseHead { buf, headers, facts })),
        None => limits.partial(buf),
    }
}

/// A parsed response head. Borrows the bytes and the table; everything else is decided and stored.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'b> {
    buf: &'b [u8],
    headers: &'b Headers,
    facts: ResponseFacts,
}

/// What a parse found out, as offsets and decisions: borrows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseFacts {
    head_len: u32,
    /// Where the reason phrase ends, and with it the status line but for CRLF.
    reason_end: u32,
    status: u16,
    version: Version,
    /// The space behind the status, which must be there even without a reason phrase, was missing.
    short_line: bool,
    declared: Framing,
    framing: ResponseFraming,
    keep_alive: bool,
    switched: Option<UpgradeToken>,
    connected: bool,
}

impl ResponseFacts {
    /// The head again, over the same bytes (which may have moved) and the table that they were parsed with.
    ///
    /// # Panics
    /// If `buf` is shorter than the head.
    pub fn head<'b>(&self, buf: &'b [u8], headers: &'b Headers) -> ResponseHead<'b> {
        assert!(buf.len() >= self.head_len as usize, "the caller gives the bytes that were parsed");
        ResponseHead { buf, headers, facts: *self }
    }
}

impl<'b> ResponseHead<'b> {
    /// Length of the head in bytes, with the final empty line: the body begins there.
    #[allow(clippy::len_without_is_empty, reason = "a head is never empty")]
    #[inline]
    pub fn len(&self) -> usize {
        self.facts.head_len as usize
    }

    /// What to keep when the bytes move.
    pub fn facts(&self) -> ResponseFacts {
        self.facts
    }

    /// The status: 100 to 999.
    #[inline]
    pub fn status(&self) -> u16 {
        self.facts.status
    }

    /// The reason phrase; often empty.
    pub fn reason(&self) -> &'b [u8] {
        let start = if self.facts.short_line { STATUS_END } else { STATUS_END + 1 };
        &self.buf[start..self.facts.reason_end as usize]
    }

    /// The version.
    #[inline]
    pub fn version(&self) -> Version {
        self.facts.version
    }

    /// How the body is delimited.
    #[inline]
    pub fn framing(&self) -> ResponseFraming {
        self.facts.framing
    }

    /// What the headers say about a body, also where there is none (HEAD, 304): for the client to know.
    #[inline]
    pub fn declared(&self) -> Framing {
        self.facts.declared
    }

    /// May the connection to the member carry another request, once this exchange is complete and no byte is left
    /// over? Never after a tunnel or a body that ends by closing.
    #[inline]
    pub fn keep_alive(&self) -> bool {
        self.facts.keep_alive
    }

    /// Is it a 1xx answer that another answer follows? 101 is none.
    #[inline]
    pub fn is_interim(&self) -> bool {
        self.facts.status < 200 && self.facts.switched.is_none()
    }

    /// The tunnel that begins behind this head, when the member agreed to the one that was asked for.
    pub fn tunnel(&self) -> Option<Tunnel> {
        (self.facts.switched.is_some() || self.facts.connected)
            .then_some(Tunnel { made_by_parse_response: () })
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

    #[inline]
    pub(super) fn buf(&self) -> &'b [u8] {
        self.buf
    }

    #[inline]
    pub(super) fn switched(&self) -> Option<UpgradeToken> {
        self.facts.switched
    }

    /// End of the status line with its CRLF, when it is as we would write it.
    #[inline]
    pub(super) fn canonical_line(&self) -> Option<usize> {
        let canonical = self.facts.version == Version::Http11 && !self.facts.short_line;
        canonical.then_some(self.facts.reason_end as usize + 2)
    }
}

#[inline]
fn read_response(
    buf: &[u8],
    headers: &mut Headers,
    limits: &Limits,
    exchange: &Exchange,
) -> Result<Option<ResponseFacts>, HeadError> {
    headers.clear();
    let Some((version, status)) = read_status(buf)? else { return Ok(None) };
    let short_line = buf[STATUS_END] == b'\r';
    let reason_end = field_end(buf, STATUS_END);
    match buf.get(reason_end..reason_end + 2) {
        Some(b"\r\n") => {}
        _ => return line_error(buf, reason_end).map(|()| None),
    }
    let Some(end) = read_lines(buf, reason_end + 2, headers, limits.header_lines())? else { return Ok(None) };

    let declared = declared(buf, headers, version)?;
    let options = Options::read(buf, headers)?;
    let mut switched = None;
    if status == 101 {
        let asked = exchange.upgrade.ok_or(HeadError::UnexpectedUpgrade)?;
        let got = read_upgrade(buf, headers)?.ok_or(HeadError::UpgradeMismatch)?;
        if !options.upgrade
            || version != Version::Http11
            || !got.as_bytes().eq_ignore_ascii_case(asked.as_bytes())
        {
            return Err(HeadError::UpgradeMismatch);
        }
        switched = Some(got);
    }
    if status < 200 && declared != Framing::None {
        return Err(HeadError::InterimWithBody);
    }
    let connected = exchange.method == MethodKind::Connect && (200..300).contains(&status);
    let bodiless =
        status < 200 || status == 204 || status == 304 || exchange.method == MethodKind::Head || connected;
    let framing = match declared {
        _ if bodiless => ResponseFraming::None,
        Framing::None => ResponseFraming::UntilClose,
        Framing::Length(n) => ResponseFraming::Length(n),
        Framing::Chunked => ResponseFraming::Chunked,
    };
    // A 204 must not declare a body. Where it does, one may follow, so the connection is not to be trusted again.
    let doubtful = status == 204 && !matches!(declared, Framing::None | Framing::Length(0));
    let keep_alive = options.keep_alive(version)
        && framing != ResponseFraming::UntilClose
        && switched.is_none()
        && !connected
        && !doubtful;

    Ok(Some(ResponseFacts {
        head_len: end as u32,
        reason_end: reason_end as u32,
        status,
        version,
        short_line,
        declared,
        framing,
        keep_alive,
        switched,
        connected,
    }))
}

/// Reads `HTTP/1.x 200` and sees that a space or the line's end follows.
#[inline]
fn read_status(buf: &[u8]) -> Result<Option<(Version, u16)>, HeadError> {
    let Some([start @ .., a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ' | b'\r']) =
        buf.first_chunk::<{ STATUS_END + 1 }>()
    else {
        return odd_status_line(buf);
    };
    let version = match start {
        b"HTTP/1.1 " => Version::Http11,
        b"HTTP/1.0 " => Version::Http10,
        _ => return odd_status_line(buf),
    };
    let digit = |d: u8| u16::from(d - b'0');
    Ok(Some((version, digit(*a) * 100 + digit(*b) * 10 + digit(*c))))
}

/// Says what is wrong with a status line, or that it ends too early. The first wrong byte decides.
#[cold]
fn odd_status_line(buf: &[u8]) -> Result<Option<(Version, u16)>, HeadError> {
    for (place, &want) in STATUS_LINE.iter().enumerate() {
        let Some(&byte) = buf.get(place) else { return Ok(None) };
        let fits = match want {
            b'0' => byte.is_ascii_digit(),
            b'1' => byte.is_ascii_digit() && byte != b'0',
            _ => byte == want,
        };
        if fits {
            continue;
        }
        return Err(if place < VERSION_END { HeadError::BadVersion } else { HeadError::BadStatus });
    }
    match buf.get(STATUS_END) {
        None => Ok(None),
        Some(b' ' | b'\r') => Err(HeadError::UnsupportedVersion),
        Some(b'\n') => Err(HeadError::BareLf),
        Some(_) => Err(HeadError::BadStatus),
    }
}

/// Length of `HTTP/1.1 200`.
const STATUS_END: usize = 12;
/// Length of `HTTP/1.1`.
const VERSION_END: usize = 8;
/// The shape of a status line; `0` stands for a digit, `1` for one that is not zero.
const STATUS_LINE: &[u8; STATUS_END] = b"HTTP/0.0 100";
