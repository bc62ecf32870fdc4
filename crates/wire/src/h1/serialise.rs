//! Writing heads on: always in our own words, from what the parse decided.
//!
//! A line that is already spelled as we would spell it is copied, and neighbours are copied together, so an ordinary
//! request costs two or three `memcpy`. What belongs to the hop it came on never passes (RFC 9110 §7.6.1).

use super::answer::{connection_line, reason_phrase};
use super::bytes::push_decimal;
use super::table::{Headers, Slot};
use super::{
    Authority, Exchange, Framing, HeaderId, HeaderLines, HeaderSet, OriginForm, RequestHead, ResponseFraming,
    ResponseHead, TargetForm, UpgradeToken, Version,
};

/// Changes to the headers on the way. To replace a header, drop it and append the new one.
///
/// Framing, Host and what is for one hop cannot be changed here: naming them in a drop has no effect.
#[derive(Clone, Copy, Debug)]
pub struct Edits<'a> {
    /// Known names to leave out. Names that only have `_` for `-` go too (`X_Real_IP`): many applications cannot tell
    /// the two apart, and a client could pass its own for ours.
    pub drop: HeaderSet,
    /// Names to leave out that are no [`HeaderId`], in any case, `_` for `-` as above. Each costs a comparison with
    /// every line.
    pub drop_names: &'a [&'a [u8]],
    /// Lines to add, behind all others.
    pub append: &'a HeaderLines,
}

impl Edits<'static> {
    /// No change.
    pub fn none() -> Self {
        static NO_LINES: HeaderLines = HeaderLines::new();
        Self { drop: HeaderSet::EMPTY, drop_names: &[], append: &NO_LINES }
    }
}

/// What to ask of the connection to the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamConnection {
    /// Nothing: HTTP/1.1 keeps the connection.
    KeepAlive,
    /// `Connection: close`.
    Close,
    /// `Connection: Upgrade` to the protocol that the client asked for.
    Upgrade(UpgradeToken),
}

/// How to write a request on.
#[derive(Clone, Copy, Debug)]
pub struct RequestOut<'a> {
    /// Host for requests that have none (HTTP/1.0): the address that the client connected to, say.
    pub host_default: Authority<'a>,
    /// Host instead of the request's own.
    pub host: Option<Authority<'a>>,
    /// Target instead of the request's own, if that is in origin or absolute form.
    pub target: Option<OriginForm<'a>>,
    /// What to ask of the connection.
    pub connection: UpstreamConnection,
    /// Changes to the headers.
    pub edits: Edits<'a>,
}

/// How to write a response on.
#[derive(Clone, Copy, Debug)]
pub struct ResponseOut<'a> {
    /// The client's version.
    pub downstream: Version,
    /// May the client's connection go on, as far as the client and we ourselves want?
    pub keep_alive: bool,
    /// The body will be coded anew, so that its length is not known: only for HTTP/1.1 clients, and without effect on a response that
    /// has no body.
    pub recode: bool,
    /// Changes to the headers.
    pub edits: Edits<'a>,
}

/// How to send the response's body on, and what becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Delivery {
    /// How to send the body.
    pub transfer: Transfer,
    /// May the client's connection go on after the body? `false`: close it then; that may be what ends the body.
    pub keep_alive: bool,
}

/// How to send a response's body on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// There is none.
    None,
    /// As it comes: [`Body::relay`](super::Body::relay), then [`Body::tail`](super::Body::tail).
    Relay,
    /// Its bare data, [`Body::decode`](super::Body::decode): chunks for an HTTP/1.0 client, ended by closing.
    Dechunk,
    /// Each piece as a chunk ([`SizeLine::open`](super::SizeLine::open), data, CRLF), then
    /// [`LAST_CHUNK`](super::LAST_CHUNK) if the member closed properly: a body without length for an HTTP/1.1 client.
    Enchunk,
    /// Its bare data, coded anew, as chunks as above; trailers are left out.
    Recode,
}

/// Appends the request's head as HTTP/1.1 in origin form, Host first, and gives what its answer must be parsed with.
///
/// The body follows as [`Body::relay`](super::Body::relay) gives it. `Expect` and `Trailer` stay where they mean
/// something, so the member's `100 Continue` can be passed back.
#[must_use = "the response must be parsed with it"]
#[inline]
pub fn write_request(out: &mut Vec<u8>, head: &RequestHead<'_>, how: &RequestOut<'_>) -> Exchange {
    let (buf, table) = (head.buf(), head.table());
    let mut lines = Lines::new(buf, table, &how.edits);

    match head.canonical_line() {
        Some(line) if how.target.is_none() => lines.run = line,
        _ => write_request_line(out, head, how.target),
    }

    let first_is_host = table.slots().first().is_some_and(|slot| slot.id == HeaderId::HOST.raw());
    if how.host.is_some() || head.form() == TargetForm::Absolute || !first_is_host {
        lines.flush(out);
        out.extend_from_slice(b"Host: ");
        out.extend_from_slice(how.host.or(head.host()).unwrap_or(how.host_default).as_bytes());
        out.extend_from_slice(b"\r\n");
    } else {
        lines.keep(HeaderId::HOST);
    }
    let framing_line = lines.keep_framing(head.framing());
    if head.framing() == Framing::Chunked {
        lines.keep_unless_edited(HeaderId::TRAILER);
    }
    if head.expect_continue() {
        lines.keep(HeaderId::EXPECT);
    }
    lines.write(out);
    out.extend_from_slice(how.edits.append.as_bytes());
    if framing_line == FramingLine::ToBeWritten {
        write_framing(out, head.framing());
    }
    let mut upgrade = None;
    match how.connection {
        UpstreamConnection::KeepAlive => {}
        UpstreamConnection::Close => out.extend_from_slice(b"Connection: close\r\n"),
        UpstreamConnection::Upgrade(token) => {
            write_upgrade(out, token);
            upgrade = Some(token);
        }
    }
    out.extend_from_slice(b"\r\n");
    Exchange { method: head.method_kind(), upgrade }
}

/// Appends the response's head as HTTP/1.1 (every server names its own version, RFC 9110 §2.5), framed so that the
/// client's version understands it.
///
/// Do not write an interim response to an HTTP/1.0 client (RFC 9110 §15.2).
#[inline]
pub fn write_response(out: &mut Vec<u8>, head: &ResponseHead<'_>, how: &ResponseOut<'_>) -> Delivery {
    let mut lines = Lines::new(head.buf(), head.table(), &how.edits);
    match head.canonical_line() {
        Some(end) => lines.run = (0, end),
        None => write_status_line(out, head),
    }

    let (transfer, framing, delimited) = match (head.framing(), how.downstream) {
        (ResponseFraming::None, version) => {
            // HEAD and 304 tell what the body would have been; 1xx, 204 and tunnels must not.
            let silent = head.status() < 200 || head.status() == 204 || head.tunnel().is_some();
            let declared = match (head.declared(), version) {
                _ if silent => Framing::None,
                (Framing::Chunked, Version::Http10) => Framing::None,
                (declared, _) => declared,
            };
            (Transfer::None, declared, true)
        }
        (_, Version::Http11) if how.recode => (Transfer::Recode, Framing::Chunked, true),
        (ResponseFraming::Length(n), _) => (Transfer::Relay, Framing::Length(n), true),
        (ResponseFraming::Chunked, Version::Http11) => (Transfer::Relay, Framing::Chunked, true),
        (ResponseFraming::Chunked, Version::Http10) => (Transfer::Dechunk, Framing::None, false),
        (ResponseFraming::UntilClose, Version::Http11) => (Transfer::Enchunk, Framing::Chunked, true),
        (ResponseFraming::UntilClose, Version::Http10) => (Transfer::Relay, Framing::None, false),
    };
    let framing_line = lines.keep_framing(framing);
    if head.framing() == ResponseFraming::Chunked && transfer == Transfer::Relay {
        lines.keep_unless_edited(HeaderId::TRAILER);
    }
    lines.write(out);
    out.extend_from_slice(how.edits.append.as_bytes());
    if framing_line == FramingLine::ToBeWritten {
        write_framing(out, framing);
    }
    let tunnel = head.tunnel().is_some();
    let keep_alive = how.keep_alive && delimited && !tunnel;
    if let Some(token) = head.switched() {
        write_upgrade(out, token);
    } else if !head.is_interim() && !tunnel {
        out.extend_from_slice(connection_line(how.downstream, keep_alive));
    }
    out.extend_from_slice(b"\r\n");
    Delivery { transfer, keep_alive }
}

/// The header lines of a head on their way out.
struct Lines<'a> {
    buf: &'a [u8],
    table: &'a Headers,
    edits: &'a Edits<'a>,
    drop: HeaderSet,
    /// Bytes of `buf` that are to be copied next: from, to.
    run: (usize, usize),
}

#[derive(PartialEq, Eq)]
enum FramingLine {
    /// Among the lines that are kept, or not needed.
    Kept,
    ToBeWritten,
}

impl<'a> Lines<'a> {
    #[inline]
    fn new(buf: &'a [u8], table: &'a Headers, edits: &'a Edits<'a>) -> Self {
        let drop = NEVER_AS_RECEIVED.union(table.nominated).union(edits.drop);
        Self { buf, table, edits, drop, run: (0, 0) }
    }

    #[inline]
    fn keep(&mut self, id: HeaderId) {
        self.drop = self.drop.without(HeaderSet::of(&[id]));
    }

    fn keep_unless_edited(&mut self, id: HeaderId) {
        if !self.edits.drop.contains(id) && !self.table.nominated.contains(id) {
            self.keep(id);
        }
    }

    /// Keeps the line that declares this framing, if it is spelled as we spell it.
    #[inline]
    fn keep_framing(&mut self, framing: Framing) -> FramingLine {
        let id = match framing {
            Framing::None => return FramingLine::Kept,
            Framing::Length(_) => HeaderId::CONTENT_LENGTH,
            Framing::Chunked => HeaderId::TRANSFER_ENCODING,
        };
        let Some(slot) = self.table.first(id) else { return FramingLine::ToBeWritten };
        let canonical = match (framing, slot.value(self.buf)) {
            (Framing::Length(_), value) => value.len() == 1 || value.first() != Some(&b'0'),
            (_, value) => value == b"chunked",
        };
        if !canonical {
            return FramingLine::ToBeWritten;
        }
        self.keep(id);
        FramingLine::Kept
    }

    #[inline]
    fn write(&mut self, out: &mut Vec<u8>) {
        for slot in self.table.slots() {
            let simple = slot.flags == Slot::CANONICAL && self.edits.drop_names.is_empty();
            if self.drop.contains(HeaderId::from_raw(slot.id)) || !(simple || self.passes(slot)) {
                continue;
            }
            let (start, end) = (slot.name_start as usize, slot.value_end as usize + 2);
            if !slot.has(Slot::CANONICAL) {
                self.flush(out);
                out.extend_from_slice(slot.name(self.buf));
                out.extend_from_slice(b": ");
                out.extend_from_slice(slot.value(self.buf));
                out.extend_from_slice(b"\r\n");
            } else if start == self.run.1 {
                self.run.1 = end;
            } else {
                self.flush(out);
                self.run = (start, end);
            }
        }
        self.flush(out);
    }

    #[inline]
    fn flush(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.buf[self.run.0..self.run.1]);
        self.run = (0, 0);
    }

    /// Does a line pass that is not dropped by its known name?
    fn passes(&self, slot: &Slot) -> bool {
        if slot.has(Slot::NOMINATED)
            || slot.has(Slot::UNDERSCORE) && self.edits.drop.contains(slot.look_alike(self.buf))
        {
            return false;
        }
        let name = slot.name(self.buf);
        UNTOUCHABLE.contains(HeaderId::from_raw(slot.id))
            || !self.edits.drop_names.iter().any(|dropped| same_name(name, dropped))
    }
}

/// Equal but for case and `_` for `-`?
fn same_name(a: &[u8], b: &[u8]) -> bool {
    let fold = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    a.len() == b.len() && a.iter().map(fold).eq(b.iter().map(fold))
}

fn write_request_line(out: &mut Vec<u8>, head: &RequestHead<'_>, target: Option<OriginForm<'_>>) {
    out.extend_from_slice(head.method().as_bytes());
    out.push(b' ');
    match (target, head.form()) {
        (Some(target), TargetForm::Origin | TargetForm::Absolute) => out.extend_from_slice(target.as_bytes()),
        _ => {
            let target = head.path_and_query();
            if target.first() == Some(&b'?') {
                out.push(b'/');
            }
            out.extend_from_slice(target);
        }
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

fn write_status_line(out: &mut Vec<u8>, head: &ResponseHead<'_>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(out, u64::from(head.status()));
    out.push(b' ');
    let reason = head.reason();
    out.extend_from_slice(if reason.is_empty() { reason_phrase(head.status()).as_bytes() } else { reason });
    out.extend_from_slice(b"\r\n");
}

fn write_framing(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::None => {}
        Framing::Length(n) => {
            out.extend_from_slice(b"Content-Length: ");
            push_decimal(out, n);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
}

fn write_upgrade(out: &mut Vec<u8>, token: UpgradeToken) {
    out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: ");
    out.extend_from_slice(token.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Names that are for one hop (RFC 9110 §7.6.1, and RFC 2616 §13.5.1 for the two of proxy authentication), or that
/// we write ourselves from what was decided.
const NEVER_AS_RECEIVED: HeaderSet = HeaderSet::of(&[
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
    HeaderId::PROXY_AUTHENTICATE,
    HeaderId::PROXY_AUTHORIZATION,
]);

/// Names that no edit drops.
const UNTOUCHABLE: HeaderSet =
    HeaderSet::of(&[HeaderId::HOST, HeaderId::TRANSFER_ENCODING, HeaderId::CONTENT_LENGTH, HeaderId::EXPECT]);
