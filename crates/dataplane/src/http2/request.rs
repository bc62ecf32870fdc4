//! An HTTP/2 request said in HTTP/1.1. What cannot be said cleanly is a fault and never said in another way; what is said is read
//! again by the strict parser of `wire::h1`, so every rule for requests of HTTP/1.1 holds here, too.
//!
//! Source: RFC 9113 sections 8.2 and 8.3; RFC 8441 section 4.

use std::fmt;

use ::http::{Method, header, request::Parts};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};
use wire::h1::{Framing, MethodKind};

/// A request in HTTP/1.1's words.
#[derive(Debug)]
pub(super) struct Translated {
    /// The head with its empty line.
    pub(super) head: Vec<u8>,
    /// The method in the head.
    pub(super) method: MethodKind,
    /// How the body behind it is delimited.
    pub(super) framing: Framing,
    /// For a WebSocket: what the member's Sec-WebSocket-Accept must be.
    pub(super) websocket: Option<String>,
}

/// Why a request is malformed (RFC 9113 section 8.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Pseudo(&'static str),
    Host(&'static str),
    HopHeader,
    Te,
    Length,
    Protocol,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pseudo(which) => write!(f, "the pseudo header {which} is missing or not allowed here"),
            Self::Host(why) => f.write_str(why),
            Self::HopHeader => f.write_str("a header that belongs to one HTTP/1.1 hop"),
            Self::Te => f.write_str("TE may only be 'trailers'"),
            Self::Length => f.write_str("Content-Length is no number, is there twice, or is not the body's"),
            Self::Protocol => f.write_str("CONNECT to a protocol other than websocket"),
        }
    }
}

/// Says a request in HTTP/1.1's words; `ended`: it has no body.
pub(super) fn translate(parts: &Parts, ended: bool) -> Result<Translated, Fault> {
    let protocol = parts.extensions.get::<h2::ext::Protocol>();
    let websocket = match protocol {
        None => None,
        Some(protocol) if parts.method == Method::CONNECT => {
            match protocol.as_str().eq_ignore_ascii_case("websocket") {
                true => Some(nonce()),
                false => return Err(Fault::Protocol),
            }
        }
        Some(_) => return Err(Fault::Pseudo(":protocol")),
    };
    let connect = parts.method == Method::CONNECT && websocket.is_none();
    let mut head = Vec::with_capacity(512);
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let host = host(parts, authority)?;
    let method = if websocket.is_some() { "GET" } else { parts.method.as_str() };
    head.extend_from_slice(method.as_bytes());
    head.push(b' ');
    if connect {
        // Not served; `http` says so.
        head.extend_from_slice(authority.ok_or(Fault::Pseudo(":authority"))?.as_bytes());
    } else {
        if !matches!(parts.uri.scheme_str(), Some("http" | "https")) {
            return Err(Fault::Pseudo(":scheme"));
        }
        let target = parts.uri.path_and_query().ok_or(Fault::Pseudo(":path"))?.as_str();
        if !(target.starts_with('/') || target == "*" && parts.method == Method::OPTIONS) {
            return Err(Fault::Pseudo(":path"));
        }
        head.extend_from_slice(target.as_bytes());
    }
    head.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    head.extend_from_slice(host);
    head.extend_from_slice(b"\r\n");
    let length = headers(parts, &mut head)?;
    let framing = match (length, ended) {
        _ if websocket.is_some() || connect => Framing::None,
        (None | Some(0), true) => Framing::None,
        (Some(_), true) => return Err(Fault::Length),
        (Some(length), false) => Framing::Length(length),
        (None, false) => Framing::Chunked,
    };
    match framing {
        Framing::Chunked => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Length(length) => head.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes()),
        Framing::None if length == Some(0) => head.extend_from_slice(b"Content-Length: 0\r\n"),
        Framing::None => {}
    }
    if let Some(key) = &websocket {
        head.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ");
        head.extend_from_slice(key.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    let kind = match method {
        "HEAD" => MethodKind::Head,
        "GET" => MethodKind::Get,
        _ if connect => MethodKind::Connect,
        _ => MethodKind::Other,
    };
    Ok(Translated { head, method: kind, framing, websocket: websocket.map(|key| accept(&key)) })
}

/// The host that the request is for; `:authority` and Host say the same when both are there.
fn host<'a>(parts: &'a Parts, authority: Option<&'a str>) -> Result<&'a [u8], Fault> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return Err(Fault::Host("Host is there twice"));
    }
    match (authority, host) {
        (Some(authority), _) if authority.contains('@') => Err(Fault::Host("the authority names a user")),
        (Some(authority), Some(host)) if !authority.as_bytes().eq_ignore_ascii_case(host.as_bytes()) => {
            Err(Fault::Host("the authority and Host differ"))
        }
        (Some(authority), _) => Ok(authority.as_bytes()),
        (None, Some(host)) => Ok(host.as_bytes()),
        (None, None) => Err(Fault::Host("there is neither an authority nor Host")),
    }
}

/// Writes the header lines; the Content-Length among them, which is not written.
fn headers(parts: &Parts, head: &mut Vec<u8>) -> Result<Option<u64>, Fault> {
    let mut length = None;
    for (name, value) in &parts.headers {
        match *name {
            header::HOST | header::COOKIE => continue,
            header::CONTENT_LENGTH => {
                let text = value
                    .to_str()
                    .ok()
                    .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
                let said = text.and_then(|text| text.parse::<u64>().ok()).ok_or(Fault::Length)?;
                if length.replace(said).is_some() {
                    return Err(Fault::Length);
                }
                continue;
            }
            header::CONNECTION | header::TRANSFER_ENCODING | header::UPGRADE => return Err(Fault::HopHeader),
            header::TE if !value.as_bytes().eq_ignore_ascii_case(b"trailers") => return Err(Fault::Te),
            header::TE => continue,
            _ if matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings") => {
                return Err(Fault::HopHeader);
            }
            // Ours, where it is needed.
            header::SEC_WEBSOCKET_KEY => continue,
            _ => {}
        }
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    // HTTP/2 lets a client cut its cookies into lines; members want one (RFC 9113 section 8.2.3).
    let mut cookies = parts.headers.get_all(header::COOKIE).iter().peekable();
    if cookies.peek().is_some() {
        head.extend_from_slice(b"cookie: ");
        for (at, crumb) in cookies.enumerate() {
            if at > 0 {
                head.extend_from_slice(b"; ");
            }
            head.extend_from_slice(crumb.as_bytes());
        }
        head.extend_from_slice(b"\r\n");
    }
    Ok(length)
}

/// A Sec-WebSocket-Key: 16 bytes that nobody reuses. They protect from caches, not from attackers, so a UUID will do.
fn nonce() -> String {
    STANDARD.encode(uuid::Uuid::new_v4().as_bytes())
}

/// What a member makes of the key (RFC 6455 section 4.2.2).
fn accept(key: &str) -> String {
    let hash = Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    STANDARD.encode(hash)
}

#[cfg(test)]
mod tests {
    use ::http::Request;

    use super::*;

    fn said(request: ::http::request::Builder, ended: bool) -> Result<String, Fault> {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        translate(&parts, ended).map(|translated| String::from_utf8(translated.head).unwrap())
    }

    fn get() -> ::http::request::Builder {
        Request::builder().method("GET").uri("https://a.test/p?q=1")
    }

    #[test]
    fn a_request_is_said_in_the_words_of_http_1() {
        for (request, ended, expect) in [
            (get().header("x-a", "1"), true, "GET /p?q=1 HTTP/1.1\r\nHost: a.test\r\nx-a: 1\r\n\r\n"),
            (
                get().header("cookie", "a=1").header("x", "y").header("cookie", "b=2"),
                true,
                "GET /p?q=1 HTTP/1.1\r\nHost: a.test\r\nx: y\r\ncookie: a=1; b=2\r\n\r\n",
            ),
            (
                get().method("POST").header("content-length", "3"),
                false,
                "POST /p?q=1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\n",
            ),
            (
                get().method("POST").header("te", "trailers"),
                false,
                "POST /p?q=1 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
            (
                get().method("POST").header("content-length", "0"),
                true,
                "POST /p?q=1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n",
            ),
            (get().header("host", "A.test"), true, "GET /p?q=1 HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        ] {
            assert_eq!(said(request, ended).as_deref(), Ok(expect));
        }
    }

    #[test]
    fn what_cannot_be_said_cleanly_is_refused() {
        for (why, request, ended) in [
            ("another host", get().header("host", "b.test"), true),
            ("two hosts", get().header("host", "a.test").header("host", "a.test"), true),
            ("a user in the authority", Request::builder().uri("https://me@a.test/"), true),
            ("a scheme that is none of ours", Request::builder().uri("ftp://a.test/"), true),
            ("a connection header", get().header("connection", "close"), true),
            ("keep-alive", get().header("keep-alive", "1"), true),
            ("a transfer coding", get().header("transfer-encoding", "chunked"), false),
            ("an upgrade", get().header("upgrade", "h2c"), true),
            ("TE with more than trailers", get().header("te", "gzip"), true),
            ("a length that is none", get().header("content-length", "+1"), false),
            ("two lengths", get().header("content-length", "1").header("content-length", "1"), false),
            ("a length without a body", get().header("content-length", "1"), true),
        ] {
            assert!(said(request, ended).is_err(), "{why}");
        }
    }

    #[test]
    fn a_websocket_is_said_as_the_upgrade_that_it_stands_for() {
        let request = get().method("CONNECT").header("sec-websocket-version", "13");
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts.extensions.insert(h2::ext::Protocol::from_static("websocket"));
        let translated = translate(&parts, false).unwrap();
        let head = String::from_utf8(translated.head).unwrap();
        assert!(head.starts_with("GET /p?q=1 HTTP/1.1\r\nHost: a.test\r\nsec-websocket-version: 13\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: "), "{head}");
        assert_eq!(translated.framing, Framing::None);
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        parts.extensions.insert(h2::ext::Protocol::from_static("connect-udp"));
        assert!(matches!(translate(&parts, false), Err(Fault::Protocol)));
    }
}
