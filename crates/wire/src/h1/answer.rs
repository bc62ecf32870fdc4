//! Answers that the load balancer makes itself (contract `behaviour/errors.md`).

use super::bytes::push_decimal;
use super::{HeaderId, HeaderLines, HeaderSet, Version};

/// One complete answer of our own.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The status: 200 to 999, not an interim one.
    pub status: u16,
    /// Further headers, such as x-router-code or Location.
    pub lines: &'a HeaderLines,
    /// Which of `Server` and `Content-Type` are left out, as `lines` has its own or there shall be none.
    pub omit: HeaderSet,
    /// The body.
    pub body: AnswerBody<'a>,
    /// The request was HEAD: the answer has the headers of its body, and no body.
    pub head_only: bool,
    /// The client's version.
    pub downstream: Version,
    /// May the client send another request? `false` writes `Connection: close`.
    pub keep_alive: bool,
}

/// The body of an [`Answer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerBody<'a> {
    /// A small HTML page that says the status.
    Page,
    /// These bytes, with this Content-Type (a valid field value; one with control bytes is left out).
    Bytes {
        /// Such as `text/plain`.
        content_type: &'a [u8],
        /// The body.
        bytes: &'a [u8],
    },
}

/// Appends a whole answer: `Server: elb`, framing, body. 204 and 304 have no body.
pub fn write_answer(out: &mut Vec<u8>, answer: &Answer<'_>) {
    let mut digits = Vec::new();
    push_decimal(&mut digits, u64::from(answer.status.clamp(200, 999)));
    let reason = reason_phrase(answer.status).as_bytes();

    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&digits);
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
    if !answer.omit.contains(HeaderId::SERVER) {
        out.extend_from_slice(b"Server: elb\r\n");
    }
    out.extend_from_slice(answer.lines.as_bytes());

    let page: [&[u8]; 9] = [
        b"<html>\r\n<head><title>",
        &digits,
        b" ",
        reason,
        b"</title></head>\r\n<body>\r\n<center><h1>",
        &digits,
        b" ",
        reason,
        b"</h1></center>\r\n<hr><center>elb</center>\r\n</body>\r\n</html>\r\n",
    ];
    let (content_type, parts): (&[u8], &[&[u8]]) = match &answer.body {
        AnswerBody::Page => (b"text/html", &page),
        AnswerBody::Bytes { content_type, bytes } => (content_type, std::slice::from_ref(bytes)),
    };
    let bodiless = matches!(answer.status, 204 | 304);
    if !bodiless {
        let typed = !content_type.is_empty() && !answer.omit.contains(HeaderId::CONTENT_TYPE);
        if typed && super::bytes::field_end(content_type, 0) == content_type.len() {
            out.extend_from_slice(b"Content-Type: ");
            out.extend_from_slice(content_type);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"Content-Length: ");
        push_decimal(out, parts.iter().map(|part| part.len() as u64).sum());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(connection_line(answer.downstream, answer.keep_alive));
    out.extend_from_slice(b"\r\n");
    if !bodiless && !answer.head_only {
        for part in parts {
            out.extend_from_slice(part);
        }
    }
}

/// The Connection line of an answer to the client.
pub(super) fn connection_line(downstream: Version, keep_alive: bool) -> &'static [u8] {
    match (downstream, keep_alive) {
        (Version::Http11, true) => b"",
        (Version::Http10, true) => b"Connection: keep-alive\r\n",
        (_, false) => b"Connection: close\r\n",
    }
}

/// The registered reason phrase of a status; empty for one that we do not know.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
