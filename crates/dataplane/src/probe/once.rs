//! One probe of one member.

use std::{future::poll_fn, io, io::IoSlice, net::SocketAddr, rc::Rc, task::ready, time::Duration};

use model::{MonitorType, ProbeFailure, ProbeFailureCode, ProxyVersion, target::ProbeSettings};
use tokio::{
    net::TcpStream,
    time::{Instant, error::Elapsed, timeout_at},
};
use wire::proxy_protocol::{Extensions, Origin, write_v1, write_v2};

use super::{datagram, grpc, http};
use crate::{
    blame,
    stream::Stream,
    tls::{MemberTls, TlsScratch},
};

/// What probes share.
pub(crate) struct Kit {
    http: MemberTls,
    bytes: MemberTls,
    scratch: Rc<TlsScratch>,
}

impl Kit {
    /// # Errors
    /// When the cryptography of this machine cannot be had.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { http: MemberTls::for_http()?, bytes: MemberTls::for_bytes()?, scratch: Rc::default() })
    }
}

/// How a probe ended, or that it could not be made.
pub(crate) enum Outcome {
    /// As a healthy member would have it.
    Passed,
    /// In any other way.
    Failed(ProbeFailure),
    /// This machine could not make the probe (no descriptor, no memory, no free port): it says nothing about the member.
    NotMade(io::Error),
}

impl From<Result<(), ProbeFailure>> for Outcome {
    fn from(result: Result<(), ProbeFailure>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Passed)
    }
}

/// How a member wants to be spoken to, beside what its monitor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Requests are of HTTP/1.0.
    pub(crate) http10: bool,
    /// The PROXY header that comes before all else; none: nothing.
    pub(crate) proxy_protocol: Option<ProxyVersion>,
}

/// Probes; the timeout holds for the whole.
///
/// A probe that says anything begins with the PROXY header that the member waits for; it says that the connection is our own.
///
/// A TCP probe passes when the connection is made; it is then reset, so that the member keeps nothing of it. A TLS probe passes when
/// the session is made, whatever certificate the member shows. An HTTP or HTTPS probe passes when the status is an expected one
/// (behaviour/features.md section 8).
pub(crate) async fn probe(
    kit: &Kit,
    address: SocketAddr,
    settings: &ProbeSettings,
    manner: Manner,
) -> Outcome {
    let limit = settings.timeout.duration();
    let deadline = Instant::now() + limit;
    if settings.kind == MonitorType::Udp {
        return datagram::probe(address, settings.datagram.as_ref(), deadline, limit).await;
    }
    let stream = match timeout_at(deadline, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if blame::is_lack(&error) => return Outcome::NotMade(error),
        Ok(Err(error)) => return Outcome::Failed(not_connected(address, &error)),
        Err(_) => {
            let detail = format!("no connection to {address} within {} s", limit.as_secs());
            return Outcome::Failed(failure(ProbeFailureCode::ConnectTimeout, detail));
        }
    };
    crate::io::reset_on_close(&stream);
    let speaks = settings.kind != MonitorType::Tcp;
    if let Some(version) = manner.proxy_protocol.filter(|_| speaks) {
        let introduced = timeout_at(deadline, introduce(&stream, version)).await;
        if let Err(failure) = sent(introduced, address, limit) {
            return Outcome::Failed(failure);
        }
    }
    let http10 = manner.http10;
    match settings.kind {
        MonitorType::Tcp | MonitorType::Udp => Outcome::Passed,
        MonitorType::Http => ask(stream.into(), address, settings, http10, deadline, limit).await.into(),
        MonitorType::Grpc => grpc::ask(stream, address, settings, deadline, limit).await.into(),
        MonitorType::Tls => {
            secure(&kit.bytes, &kit.scratch, stream, address, deadline, limit).await.map(|_| ()).into()
        }
        MonitorType::Https => match secure(&kit.http, &kit.scratch, stream, address, deadline, limit).await {
            Ok(session) => ask(session, address, settings, http10, deadline, limit).await.into(),
            Err(failure) => Outcome::Failed(failure),
        },
    }
}

/// Says that the connection is from the load balancer itself.
async fn introduce(stream: &TcpStream, version: ProxyVersion) -> io::Result<()> {
    let mut header = Vec::new();
    match version {
        ProxyVersion::V1 => write_v1(&Origin::Local, &mut header),
        ProxyVersion::V2 => write_v2(&Origin::Local, &Extensions::default(), &mut header),
    }
    let mut rest = &*header;
    while !rest.is_empty() {
        stream.writable().await?;
        match stream.try_write(rest) {
            Ok(bytes) => rest = &rest[bytes..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What became of bytes that were to be sent.
fn sent(
    result: Result<io::Result<()>, Elapsed>,
    address: SocketAddr,
    limit: Duration,
) -> Result<(), ProbeFailure> {
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => failed(
            ProbeFailureCode::SendRequestFailed,
            format!("the request could not be sent to {address}: {error}"),
        ),
        Err(_) => failed(
            ProbeFailureCode::SendRequestTimeout,
            format!("the request could not be sent to {address} within {} s", limit.as_secs()),
        ),
    }
}

/// Makes a TLS session.
async fn secure(
    tls: &MemberTls,
    scratch: &Rc<TlsScratch>,
    tcp: TcpStream,
    address: SocketAddr,
    deadline: Instant,
    limit: Duration,
) -> Result<Stream, ProbeFailure> {
    let fault = |why: &dyn std::fmt::Display| {
        failure(ProbeFailureCode::SslHandshakeError, format!("no TLS session with {address}: {why}"))
    };
    let mut session = tls.secure(tcp, address, scratch.clone()).map_err(|error| fault(&error))?;
    match timeout_at(deadline, poll_fn(|cx| session.poll_writable(cx))).await {
        Ok(Ok(())) => Ok(Stream::Tls(Box::new(session))),
        Ok(Err(error)) => Err(fault(&error)),
        Err(_) => Err(fault(&format!("it was not made within {} s", limit.as_secs()))),
    }
}

async fn ask(
    mut stream: Stream,
    address: SocketAddr,
    settings: &ProbeSettings,
    http10: bool,
    deadline: Instant,
    limit: Duration,
) -> Result<(), ProbeFailure> {
    let request = http::request(address, &settings.http, http10);
    sent(timeout_at(deadline, write_all(&mut stream, request.as_bytes())).await, address, limit)?;
    let mut answer = [0; http::STATUS_LINE_BYTES_MAX];
    let mut length = 0;
    loop {
        match http::status(&answer[..length]) {
            http::Status::Is(status) if settings.http.expected.contains(status) => return Ok(()),
            http::Status::Is(status) => {
                let expected = settings.http.expected.as_str();
                return Err(ProbeFailure {
                    code: ProbeFailureCode::ResponseMismatch,
                    expected: expected.to_owned(),
                    got: status.to_string(),
                    detail: format!("{address} answered with status {status}; expected: {expected}"),
                });
            }
            http::Status::NoHttp => {
                return failed(
                    ProbeFailureCode::ResponseFormatError,
                    format!("the answer of {address} is no HTTP"),
                );
            }
            http::Status::More => {}
        }
        match timeout_at(deadline, poll_fn(|cx| stream.poll_read(cx, &mut answer[length..]))).await {
            Ok(Ok(0)) => {
                return failed(
                    ProbeFailureCode::ConnectInterrupt,
                    format!("{address} closed the connection without an answer"),
                );
            }
            Ok(Ok(bytes)) => length += bytes,
            Ok(Err(error)) if crate::io::is_reset(&error) => {
                return failed(
                    ProbeFailureCode::ConnectInterrupt,
                    format!("{address} reset the connection without an answer"),
                );
            }
            Ok(Err(error)) => {
                return failed(
                    ProbeFailureCode::RecvResponseFailed,
                    format!("the answer of {address} could not be read: {error}"),
                );
            }
            Err(_) => {
                return failed(
                    ProbeFailureCode::RecvResponseTimeout,
                    format!("no answer from {address} within {} s", limit.as_secs()),
                );
            }
        }
    }
}

async fn write_all(stream: &mut Stream, mut bytes: &[u8]) -> io::Result<()> {
    poll_fn(|cx| {
        while !bytes.is_empty() {
            ready!(stream.poll_writable(cx))?;
            let written = stream.write(&[IoSlice::new(bytes)])?;
            bytes = &bytes[written..];
        }
        stream.poll_flush(cx)
    })
    .await
}

fn not_connected(address: SocketAddr, error: &io::Error) -> ProbeFailure {
    let (code, detail) = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            (ProbeFailureCode::ConnectRefused, format!("connection refused by {address}"))
        }
        io::ErrorKind::TimedOut => {
            (ProbeFailureCode::ConnectTimeout, format!("no connection to {address}: {error}"))
        }
        _ => (ProbeFailureCode::ConnectFailed, format!("cannot connect to {address}: {error}")),
    };
    failure(code, detail)
}

fn failed(code: ProbeFailureCode, detail: String) -> Result<(), ProbeFailure> {
    Err(failure(code, detail))
}

pub(super) fn failure(code: ProbeFailureCode, detail: String) -> ProbeFailure {
    ProbeFailure { code, expected: String::new(), got: String::new(), detail }
}
