//! Connection and Upgrade: what holds for this hop only (RFC 9110 §7.6.1, §7.8).

use super::bytes::{is_token, trim};
use super::{HeadError, HeaderId, Headers, Version};

/// A protocol to switch to, such as `websocket` or `SPDY/3.1`: `name[/version]`, at most 23 bytes.
///
/// It only comes out of a parsed request ([`RequestHead::upgrade`](super::RequestHead::upgrade)), so nothing can
/// ask a member for an upgrade that the client did not ask for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UpgradeToken {
    len: u8,
    bytes: [u8; 23],
}

impl UpgradeToken {
    /// The protocol as the client spelled it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Is it `websocket`, in any case?
    pub fn is_websocket(&self) -> bool {
        self.as_bytes().eq_ignore_ascii_case(b"websocket")
    }

    pub(super) fn new(protocol: &[u8]) -> Option<Self> {
        let mut bytes = [0; 23];
        bytes.get_mut(..protocol.len())?.copy_from_slice(protocol);
        Some(Self { len: protocol.len() as u8, bytes })
    }
}

impl std::fmt::Debug for UpgradeToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UpgradeToken({})", self.as_bytes().escape_ascii())
    }
}

/// What the Connection lines of one head say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    close: bool,
    keep_alive: bool,
    pub(super) upgrade: bool,
}

impl Options {
    /// Reads all Connection lines, and marks in `headers` what they nominate.
    #[inline]
    pub(super) fn read(buf: &[u8], headers: &mut Headers) -> Result<Self, HeadError> {
        let options = Self::default();
        let Some(first) = headers.first(HeaderId::CONNECTION) else { return Ok(options) };
        if !headers.repeated().contains(HeaderId::CONNECTION) {
            // Nearly all that is ever sent.
            match first.value(buf) {
                b"keep-alive" | b"Keep-Alive" => return Ok(Self { keep_alive: true, ..options }),
                b"close" => return Ok(Self { close: true, ..options }),
                _ => {}
            }
        }
        Self::read_list(buf, headers)
    }

    fn read_list(buf: &[u8], headers: &mut Headers) -> Result<Self, HeadError> {
        let mut options = Self::default();
        let mut nominated = headers.nominated;
        let mut others: [&[u8]; NOMINATED_MAX] = [b""; NOMINATED_MAX];
        let mut others_len = 0;
        for slot in headers.all(HeaderId::CONNECTION) {
            for option in slot.value(buf).split(|&b| b == b',').map(trim) {
                if option.eq_ignore_ascii_case(b"keep-alive") {
                    options.keep_alive = true;
                } else if option.eq_ignore_ascii_case(b"close") {
                    options.close = true;
                } else if option.eq_ignore_ascii_case(b"upgrade") {
                    options.upgrade = true;
                } else if option.is_empty() {
                    continue;
                } else if !is_token(option) {
                    return Err(HeadError::BadConnection);
                } else {
                    let id = HeaderId::of(option);
                    if id != HeaderId::OTHER {
                        nominated.insert(id);
                        continue;
                    }
                    *others.get_mut(others_len).ok_or(HeadError::TooManyConnectionOptions)? = option;
                    others_len += 1;
                }
            }
        }
        headers.nominated = nominated;
        for name in &others[..others_len] {
            headers.nominate(buf, name);
        }
        Ok(options)
    }

    /// May another message follow on this connection, as far as this message's head says (RFC 9112 §9.3)?
    pub(super) fn keep_alive(self, version: Version) -> bool {
        match version {
            Version::Http11 => !self.close,
            Version::Http10 => self.keep_alive && !self.close,
        }
    }
}

/// The protocol that the Upgrade lines name, when they name exactly one that can be tunnelled.
///
/// A server may ignore Upgrade (RFC 9110 §7.8). We ignore lists of several protocols, names over 23 bytes, and
/// everything that would turn the connection to the member into HTTP by another framing (`h2c`, `HTTP/2.0`):
/// requests inside such a tunnel would pass by all rules.
pub(super) fn read_upgrade(buf: &[u8], headers: &Headers) -> Result<Option<UpgradeToken>, HeadError> {
    let mut only = None;
    let mut count = 0;
    for slot in headers.all(HeaderId::UPGRADE) {
        for protocol in slot.value(buf).split(|&b| b == b',').map(trim) {
            let mut parts = protocol.splitn(2, |&b| b == b'/');
            let (name, version) = (parts.next().unwrap_or_default(), parts.next());
            if !is_token(name) || version.is_some_and(|v| !is_token(v)) {
                return Err(HeadError::BadUpgrade);
            }
            count += 1;
            let http = name.eq_ignore_ascii_case(b"http")
                || name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"h2"))
                || name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"h3"));
            only = if http { None } else { UpgradeToken::new(protocol) };
        }
    }
    Ok(if count == 1 { only } else { None })
}

/// Most names, beside the known ones, that Connection may nominate. Each costs a walk over all header lines.
pub(super) const NOMINATED_MAX: usize = 16;
