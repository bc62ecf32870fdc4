//! The probe of a member that speaks gRPC: one call over HTTP/2 in clear, whose status counts (behaviour/features.md section 8).
//!
//! Where no method of its own is named, it is `grpc.health.v1.Health/Check`; then the answer must say SERVING, too.

use std::{future::poll_fn, net::SocketAddr, pin::pin, task::Poll, time::Duration};

use bytes::{Buf, Bytes};
use http::{Method, Request, Version, header};
use model::{ProbeFailure, ProbeFailureCode, target::ProbeSettings};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::once::failure;

/// Asks over a connection that stands, until `deadline`; the whole probe may take `limit`.
pub(super) async fn ask(
    stream: TcpStream,
    address: SocketAddr,
    settings: &ProbeSettings,
    deadline: Instant,
    limit: Duration,
) -> Result<(), ProbeFailure> {
    let told = timeout_at(deadline, call(stream, address, settings)).await.unwrap_or_else(|_| {
        let detail = format!("no answer from {address} within {} s", limit.as_secs());
        Err(failure(ProbeFailureCode::RecvResponseTimeout, detail))
    })?;
    judge(&told, address, settings)
}

/// What a member answered.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// The status of the call; none: there was none.
    status: Option<u16>,
    /// The status of HTTP.
    http: u16,
    /// The first message, as far as it matters.
    message: Vec<u8>,
}

async fn call(
    stream: TcpStream,
    address: SocketAddr,
    settings: &ProbeSettings,
) -> Result<Told, ProbeFailure> {
    let broken = |error: h2::Error| {
        let detail = format!("{address} does not speak HTTP/2 as gRPC needs it: {error}");
        failure(ProbeFailureCode::ResponseFormatError, detail)
    };
    let request = request(address, settings)?;
    let (mut sender, connection) = h2::client::handshake(stream).await.map_err(broken)?;
    let talk = async {
        poll_fn(|cx| sender.poll_ready(cx)).await?;
        let (answer, mut body) = sender.send_request(request, false)?;
        body.send_data(Bytes::from_static(EMPTY_MESSAGE), true)?;
        let answer = answer.await?;
        let mut told =
            Told { status: status_of(answer.headers()), http: answer.status().as_u16(), message: Vec::new() };
        let mut body = answer.into_body();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            let room = MESSAGE_BYTES_MAX - told.message.len();
            told.message.extend_from_slice(&data[..data.len().min(room)]);
        }
        if let Some(trailers) = body.trailers().await? {
            told.status = status_of(&trailers).or(told.status);
        }
        Ok(told)
    };
    let (mut talk, mut connection) = (pin!(talk), pin!(connection));
    poll_fn(|cx| {
        let ended = connection.as_mut().poll(cx);
        match (talk.as_mut().poll(cx), ended) {
            (Poll::Ready(told), _) => Poll::Ready(told.map_err(broken)),
            (Poll::Pending, Poll::Ready(_)) => {
                let detail = format!("{address} closed the connection without an answer");
                Poll::Ready(Err(failure(ProbeFailureCode::ConnectInterrupt, detail)))
            }
            (Poll::Pending, Poll::Pending) => Poll::Pending,
        }
    })
    .await
}

/// The method of the health service; a message of its request that names no service is empty.
const CHECK: &str = "/grpc.health.v1.Health/Check";

/// A message of no bytes, not compressed.
const EMPTY_MESSAGE: &[u8] = &[0; 5];

/// More of an answer than this does not matter.
const MESSAGE_BYTES_MAX: usize = 64;

fn request(address: SocketAddr, settings: &ProbeSettings) -> Result<Request<()>, ProbeFailure> {
    let probe = &settings.http;
    let host = probe.host.as_ref().map_or_else(|| address.to_string(), |host| host.as_str().to_owned());
    let request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("http://{host}{}", method(settings)))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, "fulcrum-probe")
        .body(());
    request.map_err(|error| {
        let detail = format!("host and path of the probe make no request of HTTP/2: {error}");
        failure(ProbeFailureCode::SendRequestFailed, detail)
    })
}

fn method(settings: &ProbeSettings) -> &str {
    match settings.http.path.as_str() {
        "/" => CHECK,
        path => path,
    }
}

fn status_of(headers: &http::HeaderMap) -> Option<u16> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

fn judge(told: &Told, address: SocketAddr, settings: &ProbeSettings) -> Result<(), ProbeFailure> {
    let expected = &settings.http.expected;
    let mismatch = |got: String, detail: String| ProbeFailure {
        code: ProbeFailureCode::ResponseMismatch,
        expected: expected.as_str().to_owned(),
        got,
        detail,
    };
    let Some(status) = told.status else {
        let detail = format!("the answer of {address} is no gRPC; its status of HTTP is {}", told.http);
        return Err(failure(ProbeFailureCode::ResponseFormatError, detail));
    };
    if !expected.contains(status) {
        let detail = format!("{address} answered with gRPC status {status}; expected: {}", expected.as_str());
        return Err(mismatch(status.to_string(), detail));
    }
    if status == 0 && method(settings) == CHECK && !is_serving(&told.message) {
        let detail = format!("the health service of {address} does not say SERVING");
        return Err(mismatch("not SERVING".to_owned(), detail));
    }
    Ok(())
}

/// Whether a framed `HealthCheckResponse` has status SERVING: field 1, a varint, of value 1. The last of several counts.
fn is_serving(mut message: &[u8]) -> bool {
    if message.len() < EMPTY_MESSAGE.len() || message[0] != 0 {
        return false;
    }
    let length = u32::from_be_bytes([message[1], message[2], message[3], message[4]]) as usize;
    message.advance(EMPTY_MESSAGE.len());
    let Some(mut fields) = message.get(..length) else { return false };
    let mut serving = false;
    while let [key, value, rest @ ..] = fields {
        // Any other field is none of this message, and a longer value is none of its values.
        if *key != 0x08 || *value >= 0x80 {
            return false;
        }
        serving = *value == 1;
        fields = rest;
    }
    serving
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_serving_is_serving() {
        for (message, serving) in [
            (&[0, 0, 0, 0, 2, 8, 1][..], true),
            (&[0, 0, 0, 0, 2, 8, 2], false),
            (&[0, 0, 0, 0, 4, 8, 2, 8, 1], true),
            (&[0, 0, 0, 0, 0], false),
            (&[1, 0, 0, 0, 2, 8, 1], false),
            (&[0, 0, 0, 0, 9, 8, 1], false),
            (&[0, 0, 0, 0, 2, 16, 1], false),
            (&[0, 0], false),
            (&[], false),
        ] {
            assert_eq!(is_serving(message), serving, "{message:?}");
        }
    }
}
