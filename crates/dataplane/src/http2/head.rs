//! Heads of HTTP/1.1, as `http` writes them, taken apart for HTTP/2 and HTTP/3.
//!
//! These bytes are our own serialisation (`wire::h1`): one line per field, `name: value`. So there is no second parser of what
//! others say; what does not have this form is a fault, and ends the stream.

use std::io;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use wire::h1::{Body, Framing, ResponseFraming};

use super::request::is_of_one_connection;

/// A head of a response.
pub(crate) struct ResponseHead {
    pub(crate) response: Response<()>,
    /// The body that follows.
    pub(crate) body: Body,
    /// What `Sec-WebSocket-Accept` says.
    pub(crate) accept: Option<HeaderValue>,
}

/// Takes a response's head apart. `head_only`: it answers HEAD.
pub(crate) fn response(head: &Bytes, head_only: bool) -> io::Result<ResponseHead> {
    let (line, mut at) = line(head, 0)?;
    let status = line.get(9..12).and_then(|digits| StatusCode::from_bytes(digits).ok());
    let status = status.ok_or_else(|| invalid("no status"))?;
    let mut fields = HeaderMap::with_capacity(fields_max(head));
    let (mut framing, mut accept) = (ResponseFraming::UntilClose, None);
    while let Some((name, value, next)) = field(head, at)? {
        at = next;
        match name {
            header::TRANSFER_ENCODING => framing = ResponseFraming::Chunked,
            header::SEC_WEBSOCKET_ACCEPT if status == StatusCode::SWITCHING_PROTOCOLS => accept = Some(value),
            ref name if is_of_one_connection(name) => {}
            _ => {
                if name == header::CONTENT_LENGTH {
                    framing = ResponseFraming::Length(length(&value)?);
                }
                fields.append(name, value);
            }
        }
    }
    let bodiless = head_only
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if bodiless {
        framing = ResponseFraming::None;
    }
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = Version::HTTP_2;
    *response.headers_mut() = fields;
    Ok(ResponseHead { response, body: Body::for_response(framing), accept })
}

/// A head of a request.
pub(crate) struct RequestHead {
    pub(crate) request: Request<()>,
    /// The body that follows.
    pub(crate) body: Body,
}

/// Takes a request's head apart, for a member that is spoken to in clear.
pub(crate) fn request(head: &Bytes) -> io::Result<RequestHead> {
    let (line, mut at) = line(head, 0)?;
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Err(invalid("no target")) };
    let method = Method::from_bytes(method).map_err(invalid)?;
    let path = PathAndQuery::from_maybe_shared(head.slice_ref(target)).map_err(invalid)?;
    let mut fields = HeaderMap::with_capacity(fields_max(head));
    let (mut framing, mut authority) = (Framing::None, None);
    while let Some((name, value, next)) = field(head, at)? {
        at = next;
        match name {
            header::HOST => {
                authority = Some(Authority::try_from(value.as_bytes()).map_err(invalid)?);
            }
            header::TRANSFER_ENCODING => framing = Framing::Chunked,
            ref name if is_of_one_connection(name) => {}
            _ => {
                if name == header::CONTENT_LENGTH {
                    framing = Framing::Length(length(&value)?);
                }
                fields.append(name, value);
            }
        }
    }
    fields.insert(header::TE, HeaderValue::from_static("trailers"));
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = authority;
    uri.path_and_query = Some(path);
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_parts(uri).map_err(invalid)?;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = fields;
    Ok(RequestHead { request, body: Body::for_request(framing) })
}

/// The line at `at`, and where the next one begins.
fn line(head: &Bytes, at: usize) -> io::Result<(&[u8], usize)> {
    let rest = &head[at..];
    match memchr::memchr(b'\n', rest) {
        Some(end) if end > 0 && rest[end - 1] == b'\r' => Ok((&rest[..end - 1], at + end + 1)),
        _ => Err(invalid("no line")),
    }
}

/// The field at `at`, and where the next one begins; none at the head's end.
fn field(head: &Bytes, at: usize) -> io::Result<Option<(HeaderName, HeaderValue, usize)>> {
    let (line, next) = line(head, at)?;
    if line.is_empty() {
        return Ok(None);
    }
    let colon = memchr::memchr(b':', line).ok_or_else(|| invalid("no colon"))?;
    let name = HeaderName::from_bytes(&line[..colon]).map_err(invalid)?;
    let value = line[colon + 1..].trim_ascii();
    // The bytes of the head are shared, not copied.
    let value = HeaderValue::from_maybe_shared(head.slice_ref(value)).map_err(invalid)?;
    Ok(Some((name, value, next)))
}

/// The fields are fewer than the lines: room for the usual few is much cheaper than room for many.
fn fields_max(head: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', head).count().saturating_sub(1)
}

fn length(value: &HeaderValue) -> io::Result<u64> {
    let text = value.to_str().map_err(invalid)?;
    text.parse().map_err(invalid)
}

/// What was to be sent does not have the form that it must have.
pub(crate) fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_responses_lose_what_is_for_one_connection_and_keep_their_framing() {
        for (why, head, head_only, fields, remaining) in [
            (
                "a length",
                "HTTP/1.1 200 OK\r\nServer: elb\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
                false,
                &[("server", "elb"), ("content-length", "5")][..],
                Some(5),
            ),
            (
                "chunks",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nx-a: 2\r\n\r\n",
                false,
                &[("x-a", "1"), ("x-a", "2")],
                Some(0),
            ),
            (
                "HEAD",
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                true,
                &[("content-length", "5")],
                Some(0),
            ),
            ("no content", "HTTP/1.1 204 \r\nKeep-Alive: 5\r\n\r\n", false, &[], Some(0)),
        ] {
            let head = response(&Bytes::from_static(head.as_bytes()), head_only).unwrap();
            let got: Vec<_> =
                head.response.headers().iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
            assert_eq!(got, fields, "{why}");
            assert_eq!(head.body.opaque_remaining(), remaining, "{why}");
        }
    }

    #[test]
    fn heads_of_requests_ask_for_trailers() {
        let head = request(&Bytes::from_static(
            b"POST /a.B/C?x=1 HTTP/1.1\r\nHost: h:80\r\ncontent-type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n",
        ))
        .unwrap();
        assert_eq!(head.request.uri(), "http://h:80/a.B/C?x=1");
        assert_eq!(head.request.headers()["te"], "trailers");
        assert!(!head.request.headers().contains_key("host"));
        assert!(matches!(head.body, Body::Chunked(_)));
    }

    #[test]
    fn what_has_another_form_is_a_fault() {
        for head in
            ["HTTP/1.1 x\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "HTTP/1.1 200 OK\n\n", "\r\n"]
        {
            assert!(response(&Bytes::from_static(head.as_bytes()), false).is_err(), "{head:?}");
        }
        assert!(request(&Bytes::from_static(b"GET\r\n\r\n")).is_err());
    }
}
