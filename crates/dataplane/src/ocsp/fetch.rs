//! Asking a responder: one POST on a connection of its own.
//!
//! The address comes from a certificate, and that from whoever may make certificates here. So the answer is only read by who checks
//! its signature, redirects are not followed, and this machine itself is not spoken to unless that is wanted ([`may_reach`]).

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use wire::{
    h1::{Body, Decoded, Exchange, Headers, Limits, MethodKind, Parsed, parse_response},
    ocsp::Responder,
};

/// How long the whole may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer; those of one certificate have 500 to 4000 bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 4;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchFault {
    /// The name has no address.
    #[error("the responder's name cannot be looked up ({0})")]
    Lookup(io::Error),
    /// It is at an address that is not spoken to.
    #[error(
        "the responder is at {0}, which is this machine or its link; if that is meant, set tls.ocsp_local_responders = true"
    )]
    Forbidden(IpAddr),
    /// No connection.
    #[error("the responder cannot be reached ({0})")]
    Connect(io::Error),
    /// It took too long.
    #[error("the responder does not answer within {} s", FETCH_TIMEOUT.as_secs())]
    Timeout,
    /// The connection broke.
    #[error("the connection to the responder broke ({0})")]
    Broken(io::Error),
    /// The answer is no HTTP.
    #[error("the responder does not speak HTTP/1")]
    NotHttp,
    /// The answer is of another kind.
    #[error("the responder answers with the HTTP status {0}")]
    Status(u16),
    /// The answer does not end.
    #[error("the responder's answer has more than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
}

impl FetchFault {
    /// A word for logs; never changes.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Lookup(_) => "ocsp_lookup",
            Self::Forbidden(_) => "ocsp_forbidden_address",
            Self::Connect(_) => "ocsp_connect",
            Self::Timeout => "ocsp_timeout",
            Self::Broken(_) => "ocsp_broken",
            Self::NotHttp => "ocsp_not_http",
            Self::Status(_) => "ocsp_http_status",
            Self::TooLong => "ocsp_too_long",
        }
    }
}

/// What a responder answers to a request. `local`: it may be this machine.
pub(super) async fn fetch(responder: &Responder, request: &[u8], local: bool) -> Result<Vec<u8>, FetchFault> {
    timeout(FETCH_TIMEOUT, ask(responder, request, local)).await.unwrap_or(Err(FetchFault::Timeout))
}

async fn ask(responder: &Responder, request: &[u8], local: bool) -> Result<Vec<u8>, FetchFault> {
    let mut stream = connect(responder, local).await?;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: fulcrum-ocsp\r\nAccept: application/ocsp-response\r\n\
         Content-Type: application/ocsp-request\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        responder.target(),
        responder.authority(),
        request.len()
    );
    stream.write_all(&[head.as_bytes(), request].concat()).await.map_err(FetchFault::Broken)?;
    let mut input = Vec::new();
    let mut body = read_head(&mut stream, &mut input).await?;
    let mut answer = Vec::new();
    loop {
        loop {
            let Decoded { consumed, data, done } = body.decode(&input).map_err(|_| FetchFault::NotHttp)?;
            answer.extend_from_slice(data);
            if answer.len() > ANSWER_BYTES_MAX {
                return Err(FetchFault::TooLong);
            }
            if done {
                return Ok(answer);
            }
            input.drain(..consumed);
            if consumed == 0 || input.is_empty() {
                break;
            }
        }
        if !more(&mut stream, &mut input).await? {
            body.handle_eof().map_err(|_| FetchFault::Broken(io::ErrorKind::UnexpectedEof.into()))?;
            return Ok(answer);
        }
    }
}

/// Reads the head of the answer; what follows it stays in `input`.
async fn read_head(stream: &mut TcpStream, input: &mut Vec<u8>) -> Result<Body, FetchFault> {
    let mut headers = Headers::default();
    let limits = Limits { head_bytes_max: HEAD_BYTES_MAX, ..Limits::default() };
    let exchange = Exchange::new(MethodKind::Post);
    loop {
        let (length, body) = match parse_response(input, &mut headers, &limits, &exchange) {
            Err(_) => return Err(FetchFault::NotHttp),
            Ok(Parsed::Partial(_)) => {
                if !more(stream, input).await? {
                    return Err(FetchFault::Broken(io::ErrorKind::UnexpectedEof.into()));
                }
                continue;
            }
            Ok(Parsed::Complete(head)) if head.is_interim() => (head.len(), None),
            Ok(Parsed::Complete(head)) if head.status() == 200 => {
                (head.len(), Some(Body::for_response(head.framing())))
            }
            Ok(Parsed::Complete(head)) => return Err(FetchFault::Status(head.status())),
        };
        input.drain(..length);
        if let Some(body) = body {
            return Ok(body);
        }
    }
}

/// Reads some bytes; whether there were any.
async fn more(stream: &mut TcpStream, input: &mut Vec<u8>) -> Result<bool, FetchFault> {
    Ok(stream.read_buf(input).await.map_err(FetchFault::Broken)? > 0)
}

async fn connect(responder: &Responder, local: bool) -> Result<TcpStream, FetchFault> {
    let found = tokio::net::lookup_host((responder.host(), responder.port()));
    let found: Vec<SocketAddr> = found.await.map_err(FetchFault::Lookup)?.take(ADDRESSES_MAX).collect();
    let mut fault = FetchFault::Lookup(io::ErrorKind::NotFound.into());
    for address in found {
        if !may_reach(address.ip(), local) {
            fault = FetchFault::Forbidden(address.ip());
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => fault = FetchFault::Connect(error),
        }
    }
    Err(fault)
}

/// Whether a responder may be at that address. Private networks may have authorities of their own; this machine and its link (where
/// clouds keep the metadata of a machine) only when the configuration says so (`local`).
fn may_reach(address: IpAddr, local: bool) -> bool {
    let (nowhere, here) = match address.to_canonical() {
        IpAddr::V4(v4) => (
            v4.is_broadcast() || v4.is_multicast() || v4.octets()[0] == 0,
            v4.is_loopback() || v4.is_link_local(),
        ),
        IpAddr::V6(v6) => {
            (v6.is_unspecified() || v6.is_multicast(), v6.is_loopback() || v6.is_unicast_link_local())
        }
    };
    !nowhere && (local || !here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_reached_only_when_that_is_allowed() {
        for (address, expect) in [
            ("192.0.2.1", [true, true]),
            ("10.0.0.1", [true, true]),
            ("2001:db8::1", [true, true]),
            ("fd00::1", [true, true]),
            ("127.0.0.1", [false, true]),
            ("127.88.0.1", [false, true]),
            ("169.254.169.254", [false, true]),
            ("::1", [false, true]),
            ("fe80::1", [false, true]),
            ("::ffff:127.0.0.1", [false, true]),
            ("::ffff:169.254.169.254", [false, true]),
            ("0.0.0.0", [false, false]),
            ("0.1.2.3", [false, false]),
            ("::", [false, false]),
            ("::ffff:0.0.0.0", [false, false]),
            ("255.255.255.255", [false, false]),
            ("224.0.0.1", [false, false]),
            ("ff02::1", [false, false]),
        ] {
            let ip: IpAddr = address.parse().unwrap();
            assert_eq!([may_reach(ip, false), may_reach(ip, true)], expect, "{address}");
        }
    }
}
