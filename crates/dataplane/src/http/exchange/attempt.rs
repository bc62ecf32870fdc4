//! Attempts: a member is given the request; another one, where that is safe, when the first fails.

use std::{io::IoSlice, net::SocketAddr, rc::Rc};

use balance::MemberIndex;
use telemetry::{Attempt, OwnAnswer};

use super::{Ended, Exchange, UpState};
use crate::{
    blame,
    http::{answer::RouterCode, connection::Connection, log::Draft},
    service::Service,
    stream::Stream,
    target::{Target, Tried, Unserved, Work},
    worker::Worker,
};

/// What is known of the present attempt.
#[derive(Clone, Copy)]
pub(super) struct State {
    /// The connection does not stand yet.
    pub(super) connecting: bool,
    /// It was a kept connection.
    pub(super) kept: bool,
    /// The system has taken a byte.
    pub(super) sent: bool,
}

/// A connection to a member on which the beginning of a request was sent.
pub(super) struct Opened {
    pub(super) work: Work,
    pub(super) stream: Stream,
    pub(super) written: usize,
    pub(super) state: State,
}

/// Why no member could be given the request.
pub(super) type Refused = (OwnAnswer, Option<RouterCode>);

impl Exchange {
    /// An attempt failed before anything of a response was seen. `Ok`: another is under way.
    pub(super) fn failed(
        &mut self,
        connection: &mut Connection,
        attempt: Attempt,
        answer: OwnAnswer,
    ) -> Result<(), Ended> {
        if let Some(log) = &mut self.log {
            log.over(answer.status());
        }
        let stale = self.attempt.kept && attempt == Attempt::Broken && self.early.is_empty();
        if stale {
            // A member may close a connection that it was not asked anything on: no failure of its work.
            self.work.member().counters.record(attempt);
        } else {
            self.work.record(attempt);
        }
        let untouched = !self.attempt.sent;
        let repeatable = (untouched || !self.replay.is_empty()) && self.early.is_empty();
        // A sticky client waits for its own member (behaviour/features.md section 3).
        let waited = attempt == Attempt::TimedOut && self.work.target().sticky.is_some();
        let allowed = stale || !waited && (self.may_retry() && self.tried.add(self.work.index()));
        if !repeatable || !allowed {
            return Err(self.own(answer, None));
        }
        let door = self.door.clone();
        let target = self.work.target().clone();
        let replay = std::mem::take(&mut self.replay);
        let pending = self.up.pending().take();
        let bytes = if untouched { &pending } else { &replay };
        let pieces = [IoSlice::new(bytes)];
        let asked = Asked {
            worker: &door.worker,
            service: &self.service,
            target: &target,
            client: connection.peer,
            wanted: None,
        };
        match open(&asked, &mut self.tried, true, &pieces, &mut self.log) {
            Ok(opened) => {
                self.service.counters.retries.inc();
                self.up.pending().keep(&door.worker.buffers, &pieces, opened.written);
                self.up.uncounted.1 += opened.written as u64;
                self.work = opened.work;
                self.stream = opened.stream;
                self.attempt = opened.state;
                self.down.cut = false;
                self.replay = replay;
                if self.up.is_read() {
                    self.up_state = if self.up.is_done() { UpState::Sent } else { UpState::Open };
                }
                Ok(())
            }
            Err(_) => Err(self.own(answer, None)),
        }
    }

    fn may_retry(&self) -> bool {
        self.service.plan.http().is_some_and(|http| http.member_retry)
    }
}

/// Who asks whom.
pub(super) struct Asked<'a> {
    pub(super) worker: &'a Worker,
    pub(super) service: &'a Service,
    pub(super) target: &'a Rc<Target>,
    pub(super) client: SocketAddr,
    /// The member that the client belongs to.
    pub(super) wanted: Option<MemberIndex>,
}

/// Gives the beginning of a request to a member: on a kept connection, unless `fresh` is wanted, or on a new one. The next
/// member is tried when one cannot be reached at once.
pub(super) fn open(
    asked: &Asked<'_>,
    tried: &mut Tried,
    fresh: bool,
    pieces: &[IoSlice<'_>],
    log: &mut Option<Box<Draft>>,
) -> Result<Opened, Refused> {
    let Asked { worker, service, target, client, wanted } = *asked;
    loop {
        let work = match target.begin(client.ip(), tried, wanted) {
            Ok(work) => work,
            Err(Unserved::NoMembers) => return Err((OwnAnswer::NotFound, Some(RouterCode::NoPool))),
            Err(Unserved::NoneUsable) if tried.is_empty() => {
                return Err((OwnAnswer::Unavailable, Some(RouterCode::NoneUsable)));
            }
            Err(Unserved::NoneUsable) => return Err((OwnAnswer::BadGateway, None)),
        };
        let member = work.member();
        while let Some(mut stream) = if fresh { None } else { member.take_idle() } {
            // A kept connection that fails at once has taken nothing.
            if let Ok(written) = stream.write(pieces) {
                let state = State { connecting: false, kept: true, sent: written > 0 };
                if let Some(log) = log {
                    log.attempt(target, member.plan.address);
                }
                return Ok(Opened { work, stream, written, state });
            }
        }
        if let Some(log) = log {
            log.attempt(target, member.plan.address);
        }
        let opened = member.open(worker, target.shared.plan.protocol).and_then(|(mut stream, is_new)| {
            stream.send_at_once();
            stream.write_at_once(pieces).map(|written| (stream, written, is_new))
        });
        match opened {
            Ok((stream, written, is_new)) => {
                member.counters.connections.add(is_new.into());
                let state = State { connecting: written == 0, kept: false, sent: written > 0 };
                return Ok(Opened { work, stream, written, state });
            }
            Err(error) => {
                tracing::debug!(member = %member.plan.address, %error, "cannot reach a member");
                work.record(blame::attempt(&error));
                if let Some(log) = log {
                    log.over(OwnAnswer::BadGateway.status());
                }
                let retry = service.plan.http().is_some_and(|http| http.member_retry);
                if !retry || !tried.add(work.index()) {
                    return Err((OwnAnswer::BadGateway, None));
                }
                service.counters.retries.inc();
            }
        }
    }
}
