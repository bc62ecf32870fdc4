//! The header names that a proxy cares about, as numbers, so that nobody compares strings twice.

/// A header name that something in the proxy looks for. Every other name is [`HeaderId::OTHER`].
///
/// Names are matched without regard to case. `X_Forwarded_For` is *not* `X-Forwarded-For`; see
/// [`Edits`](super::Edits) for how a look-alike is kept from passing for the real one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct HeaderId(u8);

macro_rules! header_ids {
    ($($constant:ident = $name:literal,)*) => {
        impl HeaderId {
            $(#[doc = concat!("`", $name, "`")] pub const $constant: Self = Self(Place::$constant as u8);)*
        }
        #[allow(non_camel_case_types, dead_code, clippy::upper_case_acronyms)]
        enum Place { OTHER, $($constant,)* }
        const NAMES: [&str; header_ids!(@count $($constant)*) + 1] = ["", $($name,)*];
    };
    (@count) => { 0 };
    (@count $head:ident $($tail:ident)*) => { 1 + header_ids!(@count $($tail)*) };
}

header_ids! {
    HOST = "host",
    CONNECTION = "connection",
    KEEP_ALIVE = "keep-alive",
    PROXY_CONNECTION = "proxy-connection",
    TE = "te",
    TRAILER = "trailer",
    TRANSFER_ENCODING = "transfer-encoding",
    UPGRADE = "upgrade",
    HTTP2_SETTINGS = "http2-settings",
    CONTENT_LENGTH = "content-length",
    EXPECT = "expect",
    ACCEPT = "accept",
    ACCEPT_ENCODING = "accept-encoding",
    ACCEPT_LANGUAGE = "accept-language",
    AUTHORIZATION = "authorization",
    CACHE_CONTROL = "cache-control",
    CONTENT_ENCODING = "content-encoding",
    CONTENT_LOCATION = "content-location",
    CONTENT_RANGE = "content-range",
    CONTENT_TYPE = "content-type",
    COOKIE = "cookie",
    DATE = "date",
    ETAG = "etag",
    FORWARDED = "forwarded",
    IF_MODIFIED_SINCE = "if-modified-since",
    IF_NONE_MATCH = "if-none-match",
    LAST_MODIFIED = "last-modified",
    LOCATION = "location",
    MAX_FORWARDS = "max-forwards",
    ORIGIN = "origin",
    PRAGMA = "pragma",
    PROXY_AUTHENTICATE = "proxy-authenticate",
    PROXY_AUTHORIZATION = "proxy-authorization",
    RANGE = "range",
    REFERER = "referer",
    RETRY_AFTER = "retry-after",
    SEC_WEBSOCKET_ACCEPT = "sec-websocket-accept",
    SEC_WEBSOCKET_KEY = "sec-websocket-key",
    SEC_WEBSOCKET_VERSION = "sec-websocket-version",
    SERVER = "server",
    SET_COOKIE = "set-cookie",
    TRACEPARENT = "traceparent",
    USER_AGENT = "user-agent",
    VARY = "vary",
    VIA = "via",
    WWW_AUTHENTICATE = "www-authenticate",
    X_FORWARDED_ELB_ID = "x-forwarded-elb-id",
    X_FORWARDED_ELB_IP = "x-forwarded-elb-ip",
    X_FORWARDED_ELB_VIP = "x-forwarded-elb-vip",
    X_FORWARDED_FOR = "x-forwarded-for",
    X_FORWARDED_FOR_PORT = "x-forwarded-for-port",
    X_FORWARDED_HOST = "x-forwarded-host",
    X_FORWARDED_PORT = "x-forwarded-port",
    X_FORWARDED_PROTO = "x-forwarded-proto",
    X_REAL_IP = "x-real-ip",
    X_REQUEST_ID = "x-request-id",
    X_ROUTER_CODE = "x-router-code",
}

impl HeaderId {
    /// A name that nothing in the proxy looks for.
    pub const OTHER: Self = Self(0);

    /// Which name this is. `name` in any case; need not be a valid name.
    #[inline]
    pub fn of(name: &[u8]) -> Self {
        if name.len() < NAME_MIN || name.len() > NAME_MAX {
            return Self::OTHER;
        }
        let id = TABLE[hash(name)];
        let known = &KNOWN[(id & 63) as usize];
        if known.len as usize != name.len() {
            return Self::OTHER;
        }
        let (head, tail) = key(name);
        if head | known.fold.0 == known.key.0 && tail | known.fold.1 == known.key.1 {
            Self(id)
        } else {
            Self::OTHER
        }
    }

    /// The name in lower case; empty for [`HeaderId::OTHER`].
    pub fn name(self) -> &'static str {
        NAMES[self.0 as usize]
    }

    #[inline]
    pub(super) fn index(self) -> usize {
        (self.0 & 63) as usize
    }

    #[inline]
    pub(super) fn raw(self) -> u8 {
        self.0
    }

    #[inline]
    pub(super) fn from_raw(raw: u8) -> Self {
        Self(raw)
    }
}

/// A set of [`HeaderId`]s. [`HeaderId::OTHER`] is never a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderSet(u64);

impl HeaderSet {
    /// No name.
    pub const EMPTY: Self = Self(0);

    /// Exactly these names.
    pub const fn of(ids: &[HeaderId]) -> Self {
        let mut set = 0u64;
        let mut i = 0;
        while i < ids.len() {
            set |= 1 << ids[i].0;
            i += 1;
        }
        Self(set & !1)
    }

    /// Adds a name. [`HeaderId::OTHER`] changes nothing.
    #[inline]
    pub fn insert(&mut self, id: HeaderId) {
        self.0 |= (1 << id.index()) & !1;
    }

    /// Is this name in the set?
    #[inline]
    pub const fn contains(self, id: HeaderId) -> bool {
        self.0 >> (id.0 & 63) & 1 != 0
    }

    /// Names in either.
    #[inline]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Names in both.
    #[inline]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Names here that are not in `other`.
    #[inline]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Is the set empty?
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

struct Known {
    len: u8,
    /// `key` of the name in lower case.
    key: (u128, u128),
    /// 0x20 for each letter of `key`: or-ing it in folds upper case letters and nothing else onto the key.
    fold: (u128, u128),
}

static KNOWN: [Known; 64] = {
    const NONE: Known = Known { len: 0, key: (0, 0), fold: (0, 0) };
    let mut known = [NONE; 64];
    let mut id = 1;
    while id < NAMES.len() {
        let name = NAMES[id].as_bytes();
        let mut folds = [0u8; NAME_MAX];
        let mut i = 0;
        while i < name.len() {
            folds[i] = if name[i].is_ascii_lowercase() { 0x20 } else { 0 };
            i += 1;
        }
        let (folds, _) = folds.split_at(name.len());
        known[id] = Known { len: name.len() as u8, key: key(name), fold: key(folds) };
        id += 1;
    }
    known
};

/// `hash` → id, without collisions: checked when this is compiled.
static TABLE: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut id = 1;
    while id < NAMES.len() {
        let name = NAMES[id].as_bytes();
        assert!(name.len() >= NAME_MIN && name.len() <= NAME_MAX, "a known name is 2 to 32 bytes long");
        let at = hash(name);
        assert!(table[at] == 0, "two known names hash alike: choose other factors in `hash`");
        table[at] = id as u8;
        id += 1;
    }
    assert!(NAMES.len() <= 64, "HeaderSet holds 63 names");
    table
};

/// The factors were found by trial: they keep all known names apart.
#[inline]
const fn hash(name: &[u8]) -> usize {
    let len = name.len();
    let first = (name[0] | 0x20) as usize;
    let last = (name[len - 1] | 0x20) as usize;
    let inner = (name[len * 3 / 4] | 0x20) as usize;
    (len * 230 + first * 1971 + last * 3564 + inner * 1494) & 255
}

/// All bytes of a name of 2 to 32 bytes, in two numbers: its beginning and its end, which may overlap.
#[inline]
const fn key(name: &[u8]) -> (u128, u128) {
    if let (Some(head), Some(tail)) = (name.first_chunk::<16>(), name.last_chunk::<16>()) {
        (u128::from_le_bytes(*head), u128::from_le_bytes(*tail))
    } else if let (Some(head), Some(tail)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (u64::from_le_bytes(*head) as u128, u64::from_le_bytes(*tail) as u128)
    } else if let (Some(head), Some(tail)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        (u32::from_le_bytes(*head) as u128, u32::from_le_bytes(*tail) as u128)
    } else if let (Some(head), Some(tail)) = (name.first_chunk::<2>(), name.last_chunk::<2>()) {
        (u16::from_le_bytes(*head) as u128, u16::from_le_bytes(*tail) as u128)
    } else {
        (0, 0)
    }
}

const NAME_MIN: usize = 2;
const NAME_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_any_case_and_nothing_near_it_is() {
        for (id, name) in NAMES.iter().enumerate().skip(1) {
            let id = HeaderId(id as u8);
            assert_eq!(HeaderId::of(name.as_bytes()), id, "{name}");
            assert_eq!(HeaderId::of(name.to_ascii_uppercase().as_bytes()), id, "{name}");
            assert_eq!(id.name(), *name);
            for place in 0..name.len() {
                for byte in 0..=255u8 {
                    let mut near = name.as_bytes().to_vec();
                    near[place] = byte;
                    if !near.eq_ignore_ascii_case(name.as_bytes()) {
                        assert_ne!(HeaderId::of(&near), id, "{name}: {byte:#x} at {place}");
                    }
                }
            }
            assert_ne!(HeaderId::of(format!("x{name}").as_bytes()), id);
            assert_ne!(HeaderId::of(format!("{name}x").as_bytes()), id);
        }
        for other in ["", "x", "x-unknown", "host\r", "a-name-that-is-far-longer-than-thirty-two-bytes"] {
            assert_eq!(HeaderId::of(other.as_bytes()), HeaderId::OTHER, "{other}");
        }
    }

    #[test]
    fn a_set_never_holds_other() {
        let mut set = HeaderSet::of(&[HeaderId::HOST, HeaderId::OTHER]);
        set.insert(HeaderId::OTHER);
        assert!(set.contains(HeaderId::HOST) && !set.contains(HeaderId::OTHER));
        assert!(set.without(HeaderSet::of(&[HeaderId::HOST])).is_empty());
    }
}
