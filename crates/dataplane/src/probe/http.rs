//! What an HTTP probe says, and the little of the answer that it reads: the status line.

use std::net::SocketAddr;

use model::health_monitor::{HttpProbe, ProbeMethod};

/// Longest beginning of an answer that is looked at.
pub(crate) const STATUS_LINE_BYTES_MAX: usize = 1024;

/// The request. HTTP/1.0 for pools of HTTP, 1.1 for others; Host is always sent (open-questions.md rows 17 and 19).
pub(crate) fn request(address: SocketAddr, probe: &HttpProbe, http10: bool) -> String {
    let version = if http10 { "1.0" } else { "1.1" };
    let host = probe.host.as_ref().map_or_else(|| address.to_string(), |host| host.as_str().to_owned());
    let length = match probe.method {
        ProbeMethod::Post => "Content-Length: 0\r\n",
        ProbeMethod::Get | ProbeMethod::Head => "",
    };
    format!(
        "{} {} HTTP/{version}\r\nHost: {host}\r\nUser-Agent: fulcrum-probe\r\nAccept: */*\r\n{length}Connection: close\r\n\r\n",
        probe.method,
        probe.path.as_str(),
    )
}

/// What the beginning of an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Its status.
    Is(u16),
    /// It is no answer of HTTP/1.
    NoHttp,
    /// More bytes are needed.
    More,
}

/// Reads the status line: `HTTP/1.x SSS` and a space or the end of the line.
pub(crate) fn status(answer: &[u8]) -> Status {
    let known = answer.len().min(VERSION.len());
    if answer[..known] != VERSION[..known] {
        return Status::NoHttp;
    }
    let Some(rest) = answer.get(VERSION.len()..) else { return Status::More };
    match rest {
        [minor, b' ', a, b, c, end, ..] => {
            let digits = [minor, a, b, c].iter().all(|digit| digit.is_ascii_digit());
            if !digits || !matches!(end, b' ' | b'\r' | b'\n') {
                return Status::NoHttp;
            }
            Status::Is([a, b, c].iter().fold(0, |status, digit| status * 10 + u16::from(*digit - b'0')))
        }
        short if short.len() < 6 => Status::More,
        _ => Status::NoHttp,
    }
}

const VERSION: &[u8] = b"HTTP/1.";

#[cfg(test)]
mod tests {
    use model::health_monitor::{ExpectedStatuses, ProbePath};

    use super::*;

    #[test]
    fn the_status_is_read_as_soon_as_it_is_there() {
        for (answer, expect) in [
            ("", Status::More),
            ("HTT", Status::More),
            ("HTTP/1.1 20", Status::More),
            ("HTTP/1.1 200", Status::More),
            ("HTTP/1.1 200 OK\r\n", Status::Is(200)),
            ("HTTP/1.0 503\r\n", Status::Is(503)),
            ("HTTP/2 200 OK", Status::NoHttp),
            ("SSH-2.0-OpenSSH", Status::NoHttp),
            ("HTTP/1.1 2000 OK", Status::NoHttp),
            ("HTTP/1.1  200 OK", Status::NoHttp),
        ] {
            assert_eq!(status(answer.as_bytes()), expect, "{answer:?}");
        }
    }

    #[test]
    fn the_request_names_a_host_and_says_that_it_is_the_only_one() {
        let probe = HttpProbe {
            method: ProbeMethod::Post,
            path: ProbePath::root(),
            host: None,
            expected: ExpectedStatuses::ok(),
        };
        let text = request("192.0.2.1:81".parse().unwrap(), &probe, true);
        assert!(text.starts_with("POST / HTTP/1.0\r\nHost: 192.0.2.1:81\r\n"), "{text}");
        assert!(
            text.contains("Content-Length: 0\r\n") && text.ends_with("Connection: close\r\n\r\n"),
            "{text}"
        );
    }
}
