//! Answers that the load balancer makes, and closing so that they arrive.

use std::{future::poll_fn, io::IoSlice, rc::Rc, task::Poll, time::Duration};

use plan::ActionPlan;
use telemetry::{Outcome, OwnAnswer};
use wire::h1::{Answer, AnswerBody, HeaderLines, HeaderSet, Version, write_answer};

use super::{
    connection::{Connection, request_timeout},
    log::{self, Draft, Ending},
    policy::PolicyAnswer,
};
use crate::{buffer::Pending, limits::Direction, service::Service};

/// An answer to be made.
pub(super) struct Own {
    pub(super) reply: Reply,
    pub(super) router_code: Option<RouterCode>,
    pub(super) version: Version,
    /// The request was HEAD.
    pub(super) head_only: bool,
    /// Whether another request may follow: the client wants it and all of this one was read.
    pub(super) keep_alive: bool,
    pub(super) service: Rc<Service>,
    /// What the access log wants of the request; none: nothing.
    pub(super) log: Option<Box<Draft>>,
}

/// What is answered.
pub(super) enum Reply {
    /// One of the answers for what cannot be served.
    Own(OwnAnswer),
    /// A policy's.
    Policy(Box<PolicyAnswer>),
}

impl From<OwnAnswer> for Reply {
    fn from(answer: OwnAnswer) -> Self {
        Self::Own(answer)
    }
}

impl Reply {
    fn status(&self) -> u16 {
        match self {
            Self::Own(answer) => answer.status(),
            Self::Policy(answer) => answer.status,
        }
    }

    fn outcome(&self) -> Outcome {
        match self {
            Self::Own(answer) => Outcome::Own(*answer),
            Self::Policy(answer) => Outcome::Policy(answer.status),
        }
    }
}

/// The value of `x-router-code` (behaviour/errors.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouterCode {
    /// 40000: no pool, or one without members.
    NoPool,
    /// 40001: a policy names no pool, or one without members.
    NoPoolOfPolicy,
    /// 50000: no member is usable.
    NoneUsable,
}

impl RouterCode {
    fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::NoPool => b"40000",
            Self::NoPoolOfPolicy => b"40001",
            Self::NoneUsable => b"50000",
        }
    }
}

impl Own {
    /// An answer after which the connection is closed, to a request of which nothing is known.
    pub(super) fn closing(answer: OwnAnswer, service: Rc<Service>) -> Self {
        Self {
            reply: answer.into(),
            router_code: None,
            version: Version::Http11,
            head_only: false,
            keep_alive: false,
            service,
            log: None,
        }
    }
}

/// Sends an answer; the connection, when it goes on.
pub(super) async fn send(mut connection: Connection, mut own: Box<Own>) -> Option<Connection> {
    own.service.counters.record(own.reply.outcome());
    let worker = connection.door.worker.clone();
    let mut pending = Pending::default();
    {
        let mut out = worker.buffers.head.borrow_mut();
        out.clear();
        let status = own.reply.status();
        let (mut lines, mut omit, mut body) = (HeaderLines::new(), HeaderSet::EMPTY, AnswerBody::Page);
        if let Reply::Policy(answer) = &mut own.reply {
            lines = std::mem::take(&mut answer.lines);
            omit = answer.omit;
            let policy = answer.fixed.and_then(|policy| own.service.plan.policies.get(policy));
            if let Some(ActionPlan::Fixed(fixed)) = policy.map(|policy| &policy.action) {
                let (content_type, bytes) = (fixed.content_type.as_bytes(), fixed.body.as_bytes());
                body = AnswerBody::Bytes { content_type, bytes };
            }
        }
        if let Some(code) = own.router_code {
            lines.push(b"x-router-code", code.as_bytes()).ok()?;
        }
        let grpc = match &own.reply {
            Reply::Own(answer) if connection.client.is_grpc() => Some(grpc_status(*answer)),
            Reply::Own(_) | Reply::Policy(_) => None,
        };
        let status = if grpc.is_some() { 200 } else { status };
        if let Some((code, message)) = grpc {
            lines.push(b"grpc-status", code).ok()?;
            lines.push(b"grpc-message", message).ok()?;
            body = AnswerBody::Bytes { content_type: b"application/grpc", bytes: b"" };
        }
        if let Some(alt_svc) = own.service.plan.http().and_then(|http| http.alt_svc.as_deref()) {
            lines.push(b"Alt-Svc", alt_svc.as_bytes()).ok()?;
        }
        let answer = Answer {
            status,
            lines: &lines,
            omit,
            body,
            head_only: own.head_only,
            downstream: own.version,
            keep_alive: own.keep_alive,
        };
        write_answer(&mut out, &answer);
        if let Some(draft) = own.log.take() {
            let head_sent = memchr::memmem::find(&out, b"\r\n\r\n").map_or(out.len(), |end| end + 4) as u64;
            let ending = Ending { status, sent: out.len() as u64, head_sent };
            let Connection { door, peer, client, rtt, .. } = &connection;
            log::write(door, &own.service, *peer, client, rtt, draft, &ending);
        }
        let piece = [IoSlice::new(&out)];
        let written = connection.client.write(&piece).ok()?;
        own.service.counters.bytes_out.add(written as u64);
        if let Some(caps) = &own.service.caps {
            // All of it goes out at once, or as soon as the client takes it.
            caps.owe(Direction::Out, out.len() as u64);
        }
        pending.keep(&worker.buffers, &piece, written);
    }
    connection.seat.expire_after(request_timeout(&own.service));
    poll_fn(|cx| {
        loop {
            match pending.flush(&worker.buffers, &mut connection.client) {
                Ok(written) => own.service.counters.bytes_out.add(written as u64),
                Err(_) => return Poll::Ready(None),
            }
            if pending.is_empty() {
                return match connection.client.poll_flush(cx) {
                    Poll::Ready(flushed) => Poll::Ready(flushed.ok()),
                    Poll::Pending => connection.seat.poll_expired().map(|()| None),
                };
            }
            if connection.client.poll_writable(cx).is_pending() {
                return connection.seat.poll_expired().map(|()| None);
            }
        }
    })
    .await?;
    if own.keep_alive {
        return Some(connection);
    }
    linger(connection).await
}

/// An answer as a client of gRPC understands it: a status that is all of the answer (gRPC over HTTP/2, "Trailers-Only"), of the
/// codes of grpc-status.
fn grpc_status(answer: OwnAnswer) -> (&'static [u8], &'static [u8]) {
    match answer {
        OwnAnswer::RequestTimeout => (b"4", b"the request did not come in time"),
        OwnAnswer::GatewayTimeout => (b"4", b"the member did not answer in time"),
        OwnAnswer::BodyTooLong | OwnAnswer::UriTooLong => (b"8", b"the request is too long"),
        OwnAnswer::NotImplemented => (b"12", b"not implemented"),
        OwnAnswer::BadRequest | OwnAnswer::ExpectationFailed | OwnAnswer::VersionNotSupported => {
            (b"13", b"the request is malformed")
        }
        OwnAnswer::NotFound | OwnAnswer::Unavailable => (b"14", b"no member is available"),
        OwnAnswer::BadGateway => (b"14", b"no member could be reached, or it broke off"),
    }
}

/// Closes after an answer to a request that was not read to its end. Closing at once would reset the connection, and the
/// client might never see the answer; so the end is said, and what still comes is read and dropped for a while.
pub(super) async fn linger(mut connection: Connection) -> Option<Connection> {
    connection.client.finish();
    connection.seat.expire_after(LINGER);
    let worker = connection.door.worker.clone();
    let mut dropped = 0;
    poll_fn(|cx| {
        loop {
            let mut scratch = worker.buffers.scratch.borrow_mut();
            match connection.client.poll_read(cx, &mut scratch) {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(bytes)) => dropped += bytes,
                Poll::Pending => return connection.seat.poll_expired(),
            }
            if dropped > LINGER_BYTES_MAX {
                return Poll::Ready(());
            }
        }
    })
    .await;
    None
}

/// How long, and how many bytes, are read and dropped before a connection is closed all the same.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 16 << 20;
