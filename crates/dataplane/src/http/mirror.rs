//! Copies of requests for another pool, whose answers are thrown away (behaviour/forwarding.md, Extras, Mirror).
//!
//! A copy is what the member of the original sees, byte for byte. It is sent when all of the request is there, by a task of its own, so
//! it neither delays nor fails the original; the original's body is collected for it as it passes. A body longer than
//! [`BODY_BYTES_MAX`] is not: its request has no copy, because half a body would be another request. Nor is there a copy when
//! [`UNDER_WAY_MAX`] are under way in this worker, when no member of the pool can take it, and of a request that asks for another
//! protocol. Where the policy says so, copies go without their bodies.
//!
//! The copies that were due and not sent are counted (`mirrors_left_out`). Nothing is tried again, but for a kept connection that
//! turns out to be closed.

use std::{cell::Cell, future::poll_fn, io::IoSlice, net::SocketAddr, rc::Rc, task::Poll};

use telemetry::Attempt;
use wire::h1::{Body, Headers, Parsed, parse_response};

use super::connection::response_timeout;
use crate::{
    acceptor::Door,
    blame,
    service::Service,
    stream::Stream,
    table::Seat,
    target::{Target, Tried},
    worker::Worker,
};

/// Copies under way in a worker.
const UNDER_WAY_MAX: usize = 512;

/// The longest body that is collected for a copy, framing and head included.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What is collected of a request on its way to its member.
#[derive(Default)]
pub(super) struct Tap {
    bytes: Vec<u8>,
    over: bool,
}

impl Tap {
    pub(super) fn take(&mut self, worker: &Worker, pieces: &[IoSlice<'_>]) {
        let more: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.over |= self.bytes.len() + more > BODY_BYTES_MAX;
        if self.over {
            return worker.buffers.give_back(std::mem::take(&mut self.bytes));
        }
        for piece in pieces {
            worker.buffers.add(&mut self.bytes, piece);
        }
    }

    /// Whether more came than is collected.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }
}

/// A copy that is due.
pub(super) struct Copy {
    pub(super) target: Rc<Target>,
    pub(super) client: SocketAddr,
    pub(super) wire: wire::h1::Exchange,
}

impl Copy {
    /// Sends what was collected of a whole request.
    pub(super) fn send(self, door: &Rc<Door>, service: &Rc<Service>, tap: Tap) {
        if tap.over {
            return service.counters.mirrors_left_out.inc();
        }
        self.start(door, service, tap.bytes);
    }

    /// Sends a request without its body.
    pub(super) fn send_head(self, door: &Rc<Door>, service: &Rc<Service>, head: &[u8]) {
        self.start(door, service, without_body(head));
    }

    fn start(self, door: &Rc<Door>, service: &Rc<Service>, bytes: Vec<u8>) {
        let Some(under_way) = UnderWay::begin(&door.worker) else {
            return service.counters.mirrors_left_out.inc();
        };
        let (door, service) = (door.clone(), service.clone());
        tokio::task::spawn_local(async move {
            let worker = under_way.0.clone();
            let seat = Seat::take(&worker.table, door.slot.group());
            seat.occupy().await;
            if !self.carry_out(&worker, &seat, &service, &bytes).await {
                service.counters.mirrors_left_out.inc();
            }
            worker.buffers.give_back(bytes);
        });
    }

    /// Sends a copy and reads its answer; whether it was sent.
    async fn carry_out(&self, worker: &Worker, seat: &Seat, service: &Service, bytes: &[u8]) -> bool {
        let Ok(work) = self.target.begin(self.client.ip(), &Tried::default(), None) else { return false };
        let member = work.member();
        let mut kept = member.take_idle();
        loop {
            let fresh = kept.is_none();
            let stream = match kept.take() {
                Some(stream) => Ok(stream),
                None => member.open(worker, self.target.shared.plan.protocol).map(|(mut stream, is_new)| {
                    stream.send_at_once();
                    member.counters.connections.add(is_new.into());
                    stream
                }),
            };
            let mut stream = match stream {
                Ok(stream) => stream,
                Err(error) => {
                    work.record(blame::attempt(&error));
                    return false;
                }
            };
            seat.expire_after(response_timeout(service));
            let answer = exchange(worker, seat, &mut stream, bytes, &self.wire).await;
            match answer {
                Answer::Read { status, reusable } => {
                    work.record(Attempt::Answered(status));
                    if reusable {
                        member.keep_idle(worker, stream);
                    }
                    return true;
                }
                Answer::Broken { read: 0 } | Answer::Unreached if !fresh => continue,
                Answer::Unreached => {
                    member.note_unreached(worker, &stream);
                    work.record(Attempt::ConnectFailed);
                }
                Answer::Broken { .. } => work.record(Attempt::Broken),
                Answer::Late => work.record(Attempt::TimedOut),
            }
            return answer.was_sent();
        }
    }
}

/// How a copy was answered.
enum Answer {
    /// Nothing of it could be said.
    Unreached,
    Read {
        status: u16,
        reusable: bool,
    },
    /// The connection broke, or what came is no HTTP.
    Broken {
        /// Bytes that had come.
        read: usize,
    },
    Late,
}

impl Answer {
    fn was_sent(&self) -> bool {
        match self {
            Self::Read { .. } | Self::Late => true,
            Self::Broken { read } => *read > 0,
            Self::Unreached => false,
        }
    }
}

/// Sends a request and reads its response to the end.
async fn exchange(
    worker: &Worker,
    seat: &Seat,
    stream: &mut Stream,
    request: &[u8],
    wire: &wire::h1::Exchange,
) -> Answer {
    let (mut written, mut read) = (0, 0);
    let mut state = Reading::Head(Vec::new());
    poll_fn(|cx| {
        loop {
            if worker.is_draining() {
                return Poll::Ready(Answer::Late);
            }
            if written < request.len() {
                match stream.write(&[IoSlice::new(&request[written..])]) {
                    Ok(0) => match stream.poll_writable(cx) {
                        Poll::Ready(Ok(())) => continue,
                        Poll::Ready(Err(_)) if written == 0 => return Poll::Ready(Answer::Unreached),
                        Poll::Ready(Err(_)) => return Poll::Ready(Answer::Broken { read }),
                        Poll::Pending => return seat.poll_expired().map(|()| Answer::Late),
                    },
                    Ok(bytes) => {
                        written += bytes;
                        continue;
                    }
                    Err(_) => return Poll::Ready(Answer::Broken { read }),
                }
            }
            let flushed = stream.poll_flush(cx);
            let mut scratch = worker.buffers.scratch.borrow_mut();
            let bytes = match stream.poll_read(cx, &mut scratch) {
                Poll::Ready(Ok(bytes)) => bytes,
                Poll::Ready(Err(_)) => return Poll::Ready(Answer::Broken { read }),
                Poll::Pending => return seat.poll_expired().map(|()| Answer::Late),
            };
            if matches!(flushed, Poll::Ready(Err(_))) {
                return Poll::Ready(Answer::Broken { read });
            }
            read += bytes;
            let over = if bytes == 0 { state.end() } else { state.take(worker, wire, &scratch[..bytes]) };
            match over {
                None if bytes > 0 => {}
                Some((status, reusable)) => return Poll::Ready(Answer::Read { status, reusable }),
                None => return Poll::Ready(Answer::Broken { read }),
            }
        }
    })
    .await
}

/// How far the reading of a response is.
enum Reading {
    /// What came of its head.
    Head(Vec<u8>),
    Body {
        status: u16,
        body: Body,
        reusable: bool,
    },
    /// It cannot be read.
    Refused,
}

impl Reading {
    /// Takes more of it; its status and whether its connection can be kept, once it is whole or cannot be read on.
    fn take(&mut self, worker: &Worker, wire: &wire::h1::Exchange, mut input: &[u8]) -> Option<(u16, bool)> {
        if let Self::Head(head) = self {
            head.extend_from_slice(input);
            let mut headers = Headers::new();
            let mut at = 0;
            loop {
                match parse_response(&head[at..], &mut headers, &worker.http.limits, wire) {
                    Ok(Parsed::Partial(_)) => {
                        head.drain(..at);
                        return None;
                    }
                    Ok(Parsed::Complete(response)) if response.is_interim() => at += response.len(),
                    Ok(Parsed::Complete(response)) => {
                        let body = Body::for_response(response.framing());
                        let (status, reusable) = (response.status(), response.keep_alive());
                        let rest = head.split_off(at + response.len());
                        *self = Self::Body { status, body, reusable };
                        return self.take(worker, wire, &rest);
                    }
                    Err(_) => {
                        *self = Self::Refused;
                        return Some((502, false));
                    }
                }
            }
        }
        let Self::Body { status, body, reusable } = self else { return Some((502, false)) };
        while !body.is_done() {
            if input.is_empty() {
                return None;
            }
            match body.decode(input) {
                Ok(decoded) => input = &input[decoded.consumed..],
                Err(_) => return Some((*status, false)),
            }
        }
        Some((*status, *reusable && input.is_empty()))
    }

    /// The member said all; the status, if that ends a response.
    fn end(&mut self) -> Option<(u16, bool)> {
        let Self::Body { status, body, .. } = self else { return None };
        body.handle_eof().ok().map(|()| (*status, false))
    }
}

/// Counts a copy as under way until it is dropped.
struct UnderWay(Rc<Worker>);

impl UnderWay {
    fn begin(worker: &Rc<Worker>) -> Option<Self> {
        let count: &Cell<usize> = &worker.http.mirrors;
        if count.get() >= UNDER_WAY_MAX || worker.is_draining() {
            return None;
        }
        count.set(count.get() + 1);
        Some(Self(worker.clone()))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.http.mirrors.set(self.0.http.mirrors.get() - 1);
    }
}

/// A head as we write it, without what says that a body follows.
fn without_body(head: &[u8]) -> Vec<u8> {
    let mut bare = Vec::with_capacity(head.len() + 32);
    let is = |line: &[u8], name: &[u8]| {
        line.len() > name.len() && line[name.len()] == b':' && line[..name.len()].eq_ignore_ascii_case(name)
    };
    for line in head.split_inclusive(|&byte| byte == b'\n') {
        let framing: [&[u8]; 4] = [b"content-length", b"transfer-encoding", b"trailer", b"expect"];
        if line == b"\r\n" {
            break;
        }
        if !framing.iter().any(|name| is(line, name)) {
            bare.extend_from_slice(line);
        }
    }
    bare.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_without_its_body_says_so() {
        let head = b"POST /a HTTP/1.1\r\nHost: t\r\nX-Content-Length: 1\r\ncontent-length: 3\r\nExpect: 100-continue\r\n\r\nabc";
        assert_eq!(
            without_body(head).escape_ascii().to_string(),
            b"POST /a HTTP/1.1\r\nHost: t\r\nX-Content-Length: 1\r\nContent-Length: 0\r\n\r\n"
                .escape_ascii()
                .to_string()
        );
    }
}
