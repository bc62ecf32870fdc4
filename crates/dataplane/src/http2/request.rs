//! A request of HTTP/2 or HTTP/3 said as a canonical HTTP/1.1 request.
//!
//! Checked beside what the h2 crate and `http3` check (order and number of pseudo-header fields, fields that belong to one connection, TE,
//! Content-Length against DATA): that there is one host, that it is one in both places, that the path is one, that
//! Content-Length is there once, that no value begins or ends with a blank. All else is judged by `wire::h1`, which reads what is
//! said here.
//!
//! Source: RFC 9113 sections 8.2 and 8.3, RFC 8441.

use base64::{Engine, engine::general_purpose::STANDARD};
use h2::ext::Protocol;
use http::{HeaderName, HeaderValue, Method, header, request::Parts};
use sha1::{Digest, Sha1};
use uuid::Uuid;
use wire::h1::Authority;

use super::incoming::Framing;

/// A request as it was said.
#[derive(Debug)]
pub(crate) struct Said {
    /// How its body is framed.
    pub(crate) framing: Framing,
    /// The answer has no body whatever it says.
    pub(crate) head_only: bool,
    /// It is a call of gRPC.
    pub(crate) grpc: bool,
    /// For extended CONNECT: what the member has to answer.
    pub(crate) accept: Option<Box<str>>,
}

/// Why a request was not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsayable {
    #[error("neither :authority nor Host names a host")]
    NoHost,
    #[error("the host is not one host: {0}")]
    BadHost(&'static str),
    #[error("the :path is neither a path nor the asterisk of OPTIONS")]
    BadPath,
    #[error("the :scheme is not http or https")]
    BadScheme,
    #[error("more than one Content-Length")]
    LengthRepeated,
    #[error("a field that belongs to one connection")]
    ConnectionField,
    #[error("a value begins or ends with a blank, or holds a forbidden byte")]
    BadValue,
    #[error("the :protocol is not websocket")]
    UnknownProtocol,
    #[error("a request to switch to websocket that cannot be")]
    BadWebSocket,
}

/// Appends the request to `out`. `ended`: it has no body.
///
/// # Errors
/// When it could not be said cleanly. Then `out` holds nothing of use.
pub(crate) fn say(out: &mut Vec<u8>, head: &Parts, ended: bool) -> Result<Said, Unsayable> {
    let protocol = head.extensions.get::<Protocol>();
    let connect = head.method == Method::CONNECT && protocol.is_none();
    match protocol {
        Some(protocol) if !protocol.as_str().eq_ignore_ascii_case("websocket") => {
            return Err(Unsayable::UnknownProtocol);
        }
        Some(_) if ended => return Err(Unsayable::BadWebSocket),
        _ => {}
    }
    let host = host(head)?;
    let method = if protocol.is_some() { "GET" } else { head.method.as_str() };
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    if connect {
        out.extend_from_slice(host);
    } else {
        if let Some(scheme) = head.uri.scheme_str()
            && !matches!(scheme, "http" | "https")
        {
            return Err(Unsayable::BadScheme);
        }
        let path = head.uri.path_and_query().map_or("", |path| path.as_str()).as_bytes();
        let asterisk = path == b"*" && head.method == Method::OPTIONS;
        let visible = |byte: &u8| byte.is_ascii_graphic() && *byte != b'#';
        if !asterisk && (path.first() != Some(&b'/') || !path.iter().all(visible)) {
            return Err(Unsayable::BadPath);
        }
        out.extend_from_slice(path);
    }
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(host);
    out.extend_from_slice(b"\r\n");
    let (mut cookies, mut length, mut version) = (0, false, false);
    for (name, value) in &head.headers {
        match *name {
            header::HOST | header::TE => continue,
            header::COOKIE => {
                cookies += 1;
                continue;
            }
            header::CONTENT_LENGTH if std::mem::replace(&mut length, true) => {
                return Err(Unsayable::LengthRepeated);
            }
            header::CONTENT_LENGTH if protocol.is_some() || connect => return Err(Unsayable::BadWebSocket),
            header::SEC_WEBSOCKET_KEY if protocol.is_some() => continue,
            header::SEC_WEBSOCKET_VERSION => version = true,
            _ if is_of_one_connection(name) => return Err(Unsayable::ConnectionField),
            _ => {}
        }
        say_field(out, name, value)?;
    }
    if cookies > 0 {
        say_cookies(out, head)?;
    }
    let head_only = head.method == Method::HEAD;
    let content_type = head.headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let grpc = content_type.starts_with(b"application/grpc");
    let mut said = Said { framing: Framing::None, head_only, grpc, accept: None };
    if protocol.is_some() {
        let key = websocket_key();
        let accept = websocket_accept(key.as_bytes());
        out.extend_from_slice(b"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: ");
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(if version { b"\r\n" } else { b"\r\nsec-websocket-version: 13\r\n" });
        (said.framing, said.accept) = (Framing::Tunnel, Some(accept.into()));
    } else if !ended && !connect {
        said.framing = if length { Framing::Plain } else { Framing::Chunked };
        if !length {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(said)
}

/// Appends a field's line.
pub(crate) fn say_field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) -> Result<(), Unsayable> {
    let value = value.as_bytes();
    check_value(value)?;
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Whether a field means something on one connection only (RFC 9113 section 8.2.2).
pub(crate) fn is_of_one_connection(name: &HeaderName) -> bool {
    matches!(*name, header::CONNECTION | header::TRANSFER_ENCODING | header::UPGRADE)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
}

/// The crumbs of Cookie in one line (RFC 9113 section 8.2.3).
fn say_cookies(out: &mut Vec<u8>, head: &Parts) -> Result<(), Unsayable> {
    out.extend_from_slice(b"cookie: ");
    for (place, crumb) in head.headers.get_all(header::COOKIE).iter().enumerate() {
        check_value(crumb.as_bytes())?;
        if place > 0 {
            out.extend_from_slice(b"; ");
        }
        out.extend_from_slice(crumb.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// `HeaderValue` lets no control byte in but the tab; blanks at the ends are for us to see (RFC 9113 section 8.2.1).
fn check_value(value: &[u8]) -> Result<(), Unsayable> {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if blank(value.first()) || blank(value.last()) {
        return Err(Unsayable::BadValue);
    }
    Ok(())
}

/// The one host that `:authority` and Host name.
fn host(head: &Parts) -> Result<&[u8], Unsayable> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return Err(Unsayable::BadHost("Host is there more than once"));
    }
    let host = match (head.uri.authority().map(|authority| authority.as_str().as_bytes()), host) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            return Err(Unsayable::BadHost(":authority and Host differ"));
        }
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => return Err(Unsayable::NoHost),
    };
    Authority::parse(host).map_err(|_| Unsayable::BadHost("no name or address with an optional port"))?;
    Ok(host)
}

/// A fresh key: 16 bytes that nobody uses again. They protect from caches, not from attackers, so a UUID will do.
fn websocket_key() -> String {
    STANDARD.encode(Uuid::new_v4().as_bytes())
}

/// What answers a key (RFC 6455 section 4.2.2).
fn websocket_accept(key: &[u8]) -> String {
    let hash = Sha1::new().chain_update(key).chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    STANDARD.encode(hash)
}

#[cfg(test)]
mod tests {
    use http::Request;
    use wire::h1::{Headers, Limits, Parsed, parse_request};

    use super::*;

    fn head(method: &str, uri: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn requests_are_said_in_one_way() {
        for (why, method, uri, fields, ended, expect) in [
            ("no body", "GET", "https://a/", &[][..], true, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (
                "the host may come as a field alone",
                "GET",
                "/p?q=1",
                &[("host", "b:81"), ("x-a", "1")],
                true,
                "GET /p?q=1 HTTP/1.1\r\nHost: b:81\r\nx-a: 1\r\n\r\n",
            ),
            (
                "a length stays",
                "POST",
                "https://a/",
                &[("content-length", "3")],
                false,
                "POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 3\r\n\r\n",
            ),
            (
                "a body without one is chunked",
                "PUT",
                "https://a/",
                &[("te", "trailers")],
                false,
                "PUT / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n",
            ),
            (
                "crumbs are joined",
                "GET",
                "https://a/",
                &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")],
                true,
                "GET / HTTP/1.1\r\nHost: a\r\nx: y\r\ncookie: a=1; b=2\r\n\r\n",
            ),
            ("asterisk", "OPTIONS", "*", &[("host", "a")], true, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("equal hosts", "GET", "https://A/", &[("host", "a")], true, "GET / HTTP/1.1\r\nHost: A\r\n\r\n"),
        ] {
            let mut out = Vec::new();
            say(&mut out, &head(method, uri, fields), ended).unwrap();
            assert_eq!(String::from_utf8_lossy(&out), expect, "{why}");
            let mut table = Headers::new();
            let parsed = parse_request(&out, &mut table, &Limits::default());
            assert!(matches!(parsed, Ok(Parsed::Complete(_))), "{why}: {parsed:?}");
        }
    }

    #[test]
    fn what_cannot_be_said_cleanly_is_refused() {
        for (why, method, uri, fields) in [
            ("no host", "GET", "/", &[][..]),
            ("two hosts that differ", "GET", "https://a/", &[("host", "b")]),
            ("Host twice", "GET", "/", &[("host", "a"), ("host", "a")]),
            ("a list for a host", "GET", "/", &[("host", "a,b")]),
            ("user information", "GET", "https://me@a/", &[]),
            ("another scheme", "GET", "ftp://a/", &[]),
            ("asterisk without OPTIONS", "GET", "*", &[("host", "a")]),
            ("two lengths", "POST", "https://a/", &[("content-length", "3"), ("content-length", "3")]),
            ("a coding of the transfer", "POST", "https://a/", &[("transfer-encoding", "chunked")]),
            ("Connection", "GET", "https://a/", &[("connection", "x")]),
            ("Keep-Alive", "GET", "https://a/", &[("keep-alive", "1")]),
            ("Upgrade", "GET", "https://a/", &[("upgrade", "websocket")]),
            ("a blank before a value", "GET", "https://a/", &[("x", " y")]),
            ("a tab behind a crumb", "GET", "https://a/", &[("cookie", "a=b\t")]),
        ] {
            let said = say(&mut Vec::new(), &head(method, uri, fields), true);
            assert!(said.is_err(), "{why}: {said:?}");
        }
    }

    #[test]
    fn extended_connect_becomes_an_upgrade_with_a_key_of_ours() {
        let mut parts =
            head("CONNECT", "https://a/chat", &[("sec-websocket-version", "13"), ("origin", "o")]);
        parts.extensions.insert(Protocol::from_static("websocket"));
        let mut out = Vec::new();
        let said = say(&mut out, &parts, false).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("GET /chat HTTP/1.1\r\nHost: a\r\n"), "{text}");
        let key = text.split("sec-websocket-key: ").nth(1).unwrap().split("\r\n").next().unwrap();
        assert_eq!(said.accept.as_deref(), Some(websocket_accept(key.as_bytes()).as_str()));
        assert_eq!(said.framing, Framing::Tunnel);
        // The example of RFC 6455 section 1.3.
        assert_eq!(websocket_accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        parts.extensions.insert(Protocol::from_static("connect-udp"));
        assert_eq!(say(&mut Vec::new(), &parts, false).unwrap_err(), Unsayable::UnknownProtocol);
    }
}
