//! How an exchange ends, and where that is counted.

use std::net::SocketAddr;

use telemetry::{Attempt, Outcome, OwnAnswer};
use wire::h1::MethodKind;

use super::{Ended, Exchange, Logged, Turns};
use crate::{
    http::{
        answer::{Own, RouterCode},
        log::{Due, Ending},
    },
    limits::Direction,
    stream::Stream,
    sys::rtt::RoundTrip,
};

impl Exchange {
    /// The client's request is at fault: it is answered, if no answer has begun.
    pub(super) fn give_up(&mut self, answer: OwnAnswer) -> Ended {
        if self.status == 0 {
            self.work.record(Attempt::Abandoned);
            return self.own(answer, None);
        }
        self.record(Outcome::Answered(self.status), Attempt::Abandoned);
        if self.down.is_done() { Ended::Linger } else { Ended::Reset }
    }

    /// Its member leaves, and the time that it had for its last work is over.
    pub(super) fn cut_off(&mut self) -> Ended {
        if self.status == 0 {
            self.work.member().counters.record(Attempt::TimedOut);
            return self.own(OwnAnswer::GatewayTimeout, None);
        }
        self.record(Outcome::Answered(self.status), Attempt::TimedOut);
        Ended::Reset
    }

    pub(super) fn client_gone(&mut self) -> Ended {
        self.record(Outcome::ClientGone, Attempt::Abandoned);
        Ended::Reset
    }

    pub(super) fn own(&mut self, answer: OwnAnswer, router_code: Option<RouterCode>) -> Ended {
        if let Some(log) = &mut self.log {
            log.received = self.up.read;
        }
        Ended::Own(Own {
            log: self.log.take(),
            reply: answer.into(),
            router_code,
            version: self.version,
            head_only: self.wire.method() == MethodKind::Head,
            keep_alive: self.keep_alive && self.up.is_read(),
            service: self.service.clone(),
        })
    }

    pub(super) fn record(&mut self, outcome: Outcome, attempt: Attempt) {
        self.logged.status = match outcome {
            Outcome::Answered(status) => status,
            Outcome::Own(answer) => answer.status(),
            Outcome::Policy(status) => status,
            Outcome::ClientGone => CLIENT_GONE,
        };
        self.service.counters.record(outcome);
        self.work.record(attempt);
    }

    /// Writes the request down, where that is wanted. To be called once, when it has ended.
    pub(in crate::http) fn write_log(&mut self, peer: SocketAddr, client: &Stream, rtt: &RoundTrip) {
        if let Some(record) = self.take_record() {
            record.write(&self.door, &self.service, peer, client, rtt);
        }
    }

    /// The record of the exchange so far, where one is wanted; for what goes on as something else.
    pub(in crate::http) fn take_record(&mut self) -> Option<Due> {
        let mut draft = self.log.take()?;
        draft.received = self.up.read;
        let Logged { sent, head_sent, status } = self.logged;
        Some(Due { draft, ending: Ending { status, sent, head_sent } })
    }

    /// Counts bytes, against the turns that were taken for them, too; whether any moved since the last time.
    pub(super) fn count(&mut self, turns: Option<&Turns>) -> bool {
        let (from_client, to_member) = std::mem::take(&mut self.up.uncounted);
        let (from_member, to_client) = std::mem::take(&mut self.down.uncounted);
        let (listener, member) = (&self.service.counters, &self.work.member().counters);
        listener.bytes_in.add(from_client);
        listener.bytes_out.add(to_client);
        member.bytes_in.add(from_member);
        member.bytes_out.add(to_member);
        if let Some(Turns { up, down, caps }) = turns {
            caps.settle(Direction::In, *up, from_client);
            caps.settle(Direction::Out, *down, to_client);
        }
        self.logged.sent += to_client;
        let moved = from_client | to_member | from_member | to_client;
        self.door.slot.share().charge_moved(moved);
        moved != 0
    }
}

/// The status of a record whose client went away before the answer was complete (behaviour/errors.md).
const CLIENT_GONE: u16 = 499;
