//! One request and its response: sent to a member, relayed back; sent again to another where that is safe.
//!
//! A request is repeated only when no byte of it was taken, or when it has no body, its method is idempotent and nothing of a
//! response was seen. A kept connection that turns out to be closed says nothing bad about its member: the repetition goes to a
//! new connection and needs no leave of the listener's.
//!
//! Source: behaviour/errors.md; features.md section 3 (timeouts, retry); RFC 9110 section 9.2.2, RFC 9112 section 9.3.1.

mod attempt;
mod outcome;
mod request;
mod response;
mod watch;

use std::{
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use telemetry::{Attempt, Outcome, OwnAnswer};
use wire::content_coding::ContentCoding;
use wire::h1::{HeadScan, HeaderLines, Tunnel, Version};

use self::{attempt::State, response::HeadFault};
use super::{
    answer::Own,
    connection::{Connection, request_timeout},
    fault::Fault,
    flow::Flow,
    log::Draft,
    mirror::Copy,
    sticky::Stuck,
};
use crate::{
    acceptor::Door,
    limits::{Caps, Direction, Ticket},
    rounds::TURN_BYTES,
    service::Service,
    stream::Stream,
    target::{Tried, Work},
};

/// A request under way.
pub(super) struct Exchange {
    door: Rc<Door>,
    pub(super) service: Rc<Service>,
    pub(super) work: Work,
    pub(super) stream: Stream,
    wire: wire::h1::Exchange,
    version: Version,
    /// Whether the client's connection goes on afterwards.
    keep_alive: bool,
    /// What the access log wants of it; none: nothing.
    pub(super) log: Option<Box<Draft>>,
    logged: Logged,
    /// A copy of it that is due when it is whole.
    copy: Option<Box<Copy>>,
    /// What is done to its answer because of policies or stickiness; none: nothing.
    changes: Option<Box<AnswerChanges>>,
    /// Which coding the client takes, where the listener compresses; none: it does not, or the client is of HTTP/1.0.
    compression: Option<Option<ContentCoding>>,
    /// Whether the client waits for `100 Continue` with its body.
    awaits_continue: bool,
    attempt: State,
    tried: Tried,
    /// The head as it was sent, while it may be sent again.
    replay: Vec<u8>,
    up: Flow,
    up_state: UpState,
    /// The client has said all, not only of this request.
    client_ended: bool,
    down: Flow,
    /// The beginning of a response head; behind a 101, the beginning of the tunnel.
    pub(super) early: Vec<u8>,
    early_scan: Option<HeadScan>,
    /// The response's status; 0 until its head was read.
    status: u16,
    /// Whether the member's connection may be kept.
    reusable: bool,
    tunnel: Option<Tunnel>,
    /// Its place among those who wait for bandwidth.
    ticket: Ticket,
}

/// What is done to an answer.
struct AnswerChanges {
    /// Lines that are added.
    lines: HeaderLines,
    /// Names of the member's that go.
    drop_names: &'static [&'static [u8]],
    /// What stickiness found out about the client.
    stuck: Option<Stuck>,
}

/// What is added up for the access log.
#[derive(Clone, Copy, Default)]
struct Logged {
    /// Bytes sent to the client.
    sent: u64,
    /// How many of them are the head of the response.
    head_sent: u64,
    /// The status of the record.
    status: u16,
}

/// How far the request is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UpState {
    /// Its body goes on.
    Open,
    /// All of it was sent.
    Sent,
    /// The member took no more.
    Refused,
}

/// What may move in a poll.
struct Turns {
    up: u64,
    down: u64,
    /// What allows it.
    caps: Rc<Caps>,
}

/// How an exchange ended.
pub(super) enum Ended {
    /// The client may send another request.
    Next,
    /// The connection is to be closed.
    Close,
    /// It is to be closed while the client may still be sending.
    Linger,
    /// It is to be reset: the client did not get all.
    Reset,
    /// We answer.
    Own(Own),
    /// The member agreed to another protocol.
    Tunnel(Tunnel),
}

impl Exchange {
    /// Moves both directions on, and keeps the deadline.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<Ended> {
        loop {
            let turns = self.take_turns();
            let ended = self.advance(cx, connection);
            let moved = self.count(turns.as_ref());
            if ended.is_ready() {
                return ended;
            }
            if self.poll_client_gone(cx, connection).is_ready() {
                return Poll::Ready(self.client_gone());
            }
            if self.work.is_over() {
                return Poll::Ready(self.cut_off());
            }
            let waits = self.wait_for_turn(turns.as_ref(), cx);
            if moved {
                connection.seat.expire_after(self.patience());
                return Poll::Pending;
            }
            if waits {
                // Neither the client nor the member is late.
                return Poll::Pending;
            }
            ready!(connection.seat.poll_expired());
            if let Err(ended) = self.expire(connection) {
                return Poll::Ready(ended);
            }
            // Another member has it now.
            connection.seat.expire_after(self.patience());
        }
    }

    /// How many bytes may move now in each direction, where that is limited by the listener's present plan.
    #[inline]
    fn take_turns(&mut self) -> Option<Turns> {
        (self.up.held, self.down.held) = (false, false);
        let Some(caps) = self.door.slot.byte_caps() else {
            (self.up.turn, self.down.turn) = (TURN_BYTES, TURN_BYTES);
            return None;
        };
        (self.up.turn, self.down.turn) = (caps.turn(Direction::In), caps.turn(Direction::Out));
        Some(Turns { up: self.up.turn, down: self.down.turn, caps })
    }

    /// Whether something waits for bandwidth; then the task is woken when it is its turn.
    fn wait_for_turn(&mut self, turns: Option<&Turns>, cx: &mut Context<'_>) -> bool {
        let Some(Turns { caps, .. }) = turns else { return false };
        let waits = self.up.held || self.down.held;
        if waits {
            self.service.counters.bandwidth_waits.inc();
            caps.wait(&self.door.worker.pacer, &mut self.ticket, cx.waker());
        }
        waits
    }

    /// After [`Ended::Next`] or [`Ended::Close`]: keeps the member's connection where that is possible.
    pub(super) fn finish(self) {
        if self.reusable && self.early.is_empty() {
            self.work.member().keep_idle(&self.door.worker, self.stream);
        }
    }

    fn advance(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<Ended> {
        let door = self.door.clone();
        let worker = &*door.worker;
        loop {
            if self.attempt.connecting {
                let sent = self.up.poll_flush(worker, cx, &mut self.stream);
                if let Poll::Ready(Err(_)) = sent {
                    self.work.member().note_unreached(worker, &self.stream);
                    match self.failed(connection, Attempt::ConnectFailed, OwnAnswer::BadGateway) {
                        Ok(()) => continue,
                        Err(ended) => return Poll::Ready(ended),
                    }
                }
                if self.up.uncounted.1 > 0 {
                    (self.attempt.connecting, self.attempt.sent) = (false, true);
                    if let Some(log) = &mut self.log {
                        log.connected();
                    }
                }
                ready!(sent).ok();
            }
            if self.up_state == UpState::Open
                && let Some(ended) = self.advance_request(cx, connection)
            {
                return Poll::Ready(ended);
            }
            if self.status == 0 {
                match self.poll_head(cx, connection) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(HeadFault::Client)) => return Poll::Ready(self.client_gone()),
                    Poll::Ready(Err(HeadFault::Broken)) => {
                        match self.failed(connection, Attempt::Broken, OwnAnswer::BadGateway) {
                            Ok(()) => continue,
                            Err(ended) => return Poll::Ready(ended),
                        }
                    }
                    Poll::Ready(Err(HeadFault::Malformed)) => {
                        self.work.record(Attempt::Broken);
                        return Poll::Ready(self.own(OwnAnswer::BadGateway, None));
                    }
                }
            }
            let mut surplus = std::mem::take(&mut self.early);
            let down = self.down.poll(worker, cx, &mut self.stream, &mut connection.client, &mut surplus);
            self.early = surplus;
            return match ready!(down) {
                Ok(()) => self.completed(connection),
                Err(Fault::Sink { .. }) => Poll::Ready(self.client_gone()),
                Err(Fault::Source | Fault::Malformed(_)) => {
                    tracing::debug!(member = %self.work.member().plan.address, "a response broke off");
                    self.record(Outcome::Answered(self.status), Attempt::Broken);
                    Poll::Ready(Ended::Reset)
                }
            };
        }
    }

    /// The deadline is over. `Ok`: another attempt is under way.
    fn expire(&mut self, connection: &mut Connection) -> Result<(), Ended> {
        if self.attempt.connecting {
            return self.failed(connection, Attempt::ConnectFailed, OwnAnswer::GatewayTimeout);
        }
        if self.up_state == UpState::Open && self.up.starved {
            return Err(self.give_up(OwnAnswer::RequestTimeout));
        }
        if self.status == 0 {
            return self.failed(connection, Attempt::TimedOut, OwnAnswer::GatewayTimeout);
        }
        if self.down.starved {
            self.record(Outcome::Answered(self.status), Attempt::TimedOut);
            return Err(Ended::Reset);
        }
        Err(self.client_gone())
    }

    /// How long the exchange may go without anything moving.
    fn patience(&self) -> Duration {
        let plan = &self.service.plan;
        if self.attempt.connecting {
            return plan.connect_timeout;
        }
        match plan.http() {
            Some(http) if !(self.up_state == UpState::Open && self.up.starved) => http.response_timeout,
            _ => request_timeout(&self.service),
        }
    }
}
