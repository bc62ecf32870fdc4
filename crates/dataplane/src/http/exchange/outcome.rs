//! How an exchange ends, and where that is counted.

use telemetry::{Attempt, Outcome, OwnAnswer};
use wire::h1::MethodKind;

use super::{Ended, Exchange};
use crate::http::answer::{Own, RouterCode};

impl Exchange {
    /// The client's request is at fault: it is answered, if no answer has begun.
    pub(super) fn give_up(&mut self, answer: OwnAnswer) -> Ended {
        if self.status == 0 {
            self.work.member().counters.record(Attempt::Abandoned);
            return self.own(answer, None);
        }
        self.record(Outcome::Answered(self.status), Attempt::Abandoned);
        if self.down.is_done() { Ended::Linger } else { Ended::Reset }
    }

    pub(super) fn client_gone(&mut self) -> Ended {
        self.record(Outcome::ClientGone, Attempt::Abandoned);
        Ended::Reset
    }

    pub(super) fn own(&self, answer: OwnAnswer, router_code: Option<RouterCode>) -> Ended {
        Ended::Own(Own {
            answer,
            router_code,
            version: self.version,
            head_only: self.wire.method() == MethodKind::Head,
            keep_alive: self.keep_alive && self.up.is_read(),
            service: self.service.clone(),
        })
    }

    pub(super) fn record(&self, outcome: Outcome, attempt: Attempt) {
        self.service.counters.record(outcome);
        self.work.member().counters.record(attempt);
    }

    /// Counts bytes; whether any moved since the last time.
    pub(super) fn count(&mut self) -> bool {
        let (from_client, to_member) = std::mem::take(&mut self.up.uncounted);
        let (from_member, to_client) = std::mem::take(&mut self.down.uncounted);
        let (listener, member) = (&self.service.counters, &self.work.member().counters);
        listener.bytes_in.add(from_client);
        listener.bytes_out.add(to_client);
        member.bytes_in.add(from_member);
        member.bytes_out.add(to_member);
        from_client | to_member | from_member | to_client != 0
    }
}
