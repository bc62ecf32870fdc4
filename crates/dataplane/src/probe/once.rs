//! One probe of one member.

use std::{io, net::SocketAddr, time::Duration};

use model::{MonitorType, ProbeFailure, ProbeFailureCode, target::ProbeSettings};
use rustix::io::Errno;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::http;

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

/// Probes; the timeout holds for the whole.
///
/// A TCP probe passes when the connection is made; it is then reset, so that the member keeps nothing of it. An HTTP probe
/// passes when the status is an expected one (behaviour/features.md section 8).
pub(crate) async fn probe(address: SocketAddr, settings: &ProbeSettings, http10: bool) -> Outcome {
    let limit = settings.timeout.duration();
    let deadline = Instant::now() + limit;
    let stream = match timeout_at(deadline, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if is_ours(&error) => return Outcome::NotMade(error),
        Ok(Err(error)) => return Outcome::Failed(not_connected(address, &error)),
        Err(_) => {
            let detail = format!("no connection to {address} within {} s", limit.as_secs());
            return Outcome::Failed(failure(ProbeFailureCode::ConnectTimeout, detail));
        }
    };
    crate::io::reset_on_close(&stream);
    match settings.kind {
        MonitorType::Tcp => Outcome::Passed,
        MonitorType::Http => ask(stream, address, settings, http10, deadline, limit).await.into(),
    }
}

async fn ask(
    mut stream: TcpStream,
    address: SocketAddr,
    settings: &ProbeSettings,
    http10: bool,
    deadline: Instant,
    limit: Duration,
) -> Result<(), ProbeFailure> {
    let request = http::request(address, &settings.http, http10);
    match timeout_at(deadline, stream.write_all(request.as_bytes())).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            return failed(
                ProbeFailureCode::SendRequestFailed,
                format!("the request could not be sent to {address}: {error}"),
            );
        }
        Err(_) => {
            return failed(
                ProbeFailureCode::SendRequestTimeout,
                format!("the request could not be sent to {address} within {} s", limit.as_secs()),
            );
        }
    }
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
        match timeout_at(deadline, stream.read(&mut answer[length..])).await {
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

/// Whether a connection failed for want of something of this machine.
fn is_ours(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRNOTAVAIL | Errno::AGAIN)
    )
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

fn failure(code: ProbeFailureCode, detail: String) -> ProbeFailure {
    ProbeFailure { code, expected: String::new(), got: String::new(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_lacks_is_no_failure_of_the_member() {
        for (errno, ours) in [
            (Errno::MFILE, true),
            (Errno::ADDRNOTAVAIL, true),
            (Errno::CONNREFUSED, false),
            (Errno::HOSTUNREACH, false),
            (Errno::CONNRESET, false),
        ] {
            assert_eq!(is_ours(&errno.into()), ours, "{errno}");
        }
    }
}
