//! Content codings: what a client takes, and which answers are worth compressing (RFC 9110 sections 8.4, 12.5.3 and 8.8.1).
//!
//! What it does not do: it compresses nothing.

/// A coding that an answer can be sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ContentCoding {
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

impl ContentCoding {
    /// The name in Content-Encoding.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    fn of(name: &[u8]) -> Option<Self> {
        match name {
            name if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => {
                Some(Self::Gzip)
            }
            name if name.eq_ignore_ascii_case(b"br") => Some(Self::Brotli),
            name if name.eq_ignore_ascii_case(b"zstd") => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Ours, the one that we like best first: at the levels used for traffic, zstd costs least for what it saves, then gzip.
const PREFERENCE: [ContentCoding; 3] = [ContentCoding::Zstd, ContentCoding::Brotli, ContentCoding::Gzip];

/// The coding for a client, from the values of its Accept-Encoding lines; none: the answer goes as it is.
///
/// The highest weight wins, ours among equals. `*` stands for codings that are not named. What cannot be read counts as not said, and
/// a client that said nothing gets nothing.
pub fn negotiate<'a>(accept_encoding: impl IntoIterator<Item = &'a [u8]>) -> Option<ContentCoding> {
    let mut weights = [None::<u16>; 3];
    let mut others = None;
    for item in accept_encoding.into_iter().flat_map(|value| value.split(|&byte| byte == b',')) {
        let mut parts = item.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let Some(weight) = weight(parts) else { continue };
        if name == b"*" {
            others = Some(weight);
        } else if let Some(coding) = ContentCoding::of(name) {
            weights[coding as usize] = Some(weight);
        }
    }
    let weight = |coding: ContentCoding| weights[coding as usize].or(others).unwrap_or(0);
    let best = PREFERENCE.into_iter().map(weight).max().filter(|&best| best > 0)?;
    PREFERENCE.into_iter().find(|&coding| weight(coding) == best)
}

/// The `q` among an item's parameters in thousandths, 1000 without one; none: it cannot be read.
fn weight<'a>(parameters: impl Iterator<Item = &'a [u8]>) -> Option<u16> {
    let mut weight = 1000;
    for parameter in parameters {
        let Some(text) = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q=")) else {
            continue;
        };
        weight = thousandths(text)?;
    }
    Some(weight)
}

/// `0`, `1`, or with up to three decimals, at most 1.
fn thousandths(text: &[u8]) -> Option<u16> {
    let (whole, decimals) = match text.iter().position(|&byte| byte == b'.') {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &b""[..]),
    };
    let whole = match whole {
        b"0" => 0,
        b"1" => 1000,
        _ => return None,
    };
    if decimals.len() > 3 || !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let part =
        [100, 10, 1].iter().zip(decimals).map(|(unit, digit)| unit * u16::from(digit - b'0')).sum::<u16>();
    (whole + part <= 1000).then_some(whole + part)
}

/// Whether a Content-Type is one that compression shrinks: text, and formats that are text inside.
pub fn is_compressible(content_type: &[u8]) -> bool {
    let kind = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let begins = |with: &[u8]| kind.len() >= with.len() && kind[..with.len()].eq_ignore_ascii_case(with);
    let ends =
        |with: &[u8]| kind.len() >= with.len() && kind[kind.len() - with.len()..].eq_ignore_ascii_case(with);
    // A stream of events must not wait in a compressor.
    if begins(b"text/") {
        return !kind.eq_ignore_ascii_case(b"text/event-stream");
    }
    const KINDS: [&[u8]; 12] = [
        b"application/json",
        b"application/javascript",
        b"application/x-javascript",
        b"application/xml",
        b"application/wasm",
        b"application/x-ndjson",
        b"application/yaml",
        b"application/manifest+json",
        b"application/vnd.ms-fontobject",
        b"image/svg+xml",
        b"image/bmp",
        b"font/ttf",
    ];
    KINDS.iter().any(|known| kind.eq_ignore_ascii_case(known)) || ends(b"+json") || ends(b"+xml")
}

/// Whether a Cache-Control line forbids changing the body (`no-transform`).
pub fn forbids_transform(cache_control: &[u8]) -> bool {
    cache_control
        .split(|&byte| byte == b',')
        .any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

/// The prefix that makes an entity tag a weak one, as a compressed answer is another representation; empty for one that is weak.
pub fn weakening(etag: &[u8]) -> &'static [u8] {
    if etag.starts_with(b"W/") { b"" } else { b"W/" }
}

/// Whether Vary lines say already that the answer depends on Accept-Encoding.
pub fn varies<'a>(vary: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let names = vary.into_iter().flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
    names.into_iter().any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_weight_wins_and_ours_among_equals() {
        use ContentCoding as C;
        for (lines, expect) in [
            (&[][..], None),
            (&["gzip"][..], Some(C::Gzip)),
            (&["gzip, deflate, br"][..], Some(C::Brotli)),
            (&["gzip, deflate, br, zstd"][..], Some(C::Zstd)),
            (&["gzip", "zstd"][..], Some(C::Zstd)),
            (&["gzip;q=1.0, br;q=0.9"][..], Some(C::Gzip)),
            (&["GZIP ; Q=0.5 , br;q=0.500"][..], Some(C::Brotli)),
            (&["x-gzip"][..], Some(C::Gzip)),
            (&["*"][..], Some(C::Zstd)),
            (&["*, zstd;q=0"][..], Some(C::Brotli)),
            (&["*;q=0"][..], None),
            (&["gzip;q=0"][..], None),
            (&["gzip;q=0.001"][..], Some(C::Gzip)),
            (&["identity, deflate, compress"][..], None),
            (&["gzip;q=2", "br;q=0.1234", "zstd;q=x"][..], None),
            (&["gzip;q=1.001"][..], None),
            (&[";;,,gzip,,"][..], Some(C::Gzip)),
        ] {
            assert_eq!(negotiate(lines.iter().map(|line| line.as_bytes())), expect, "{lines:?}");
        }
    }

    #[test]
    fn what_is_text_inside_is_compressible() {
        for (kind, expect) in [
            ("text/html; charset=utf-8", true),
            ("TEXT/css", true),
            ("application/json", true),
            ("application/problem+json;x=y", true),
            ("application/atom+xml", true),
            ("image/svg+xml", true),
            ("text/event-stream", false),
            ("image/png", false),
            ("video/mp4", false),
            ("application/octet-stream", false),
            ("application/grpc", false),
            ("", false),
        ] {
            assert_eq!(is_compressible(kind.as_bytes()), expect, "{kind}");
        }
    }

    #[test]
    fn headers_about_representations_are_read_without_regard_to_case_and_space() {
        assert!(forbids_transform(b"public , No-Transform") && !forbids_transform(b"no-store"));
        assert!(
            varies([&b"Origin"[..], b"accept-Encoding"]) && varies([&b"*"[..]]) && !varies([&b"Origin"[..]])
        );
        assert_eq!((weakening(b"\"a\""), weakening(b"W/\"a\"")), (&b"W/"[..], &b""[..]));
    }
}
