//! What is counted for a member of a target, by one worker.

use crate::{Counter, Gauge, listener::class};

/// A member's counters in one worker and one target.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct MemberCounters {
    /// Connections made to it; of UDP, flows.
    pub connections: Counter,
    /// Requests (layer 7) or connections (layer 4) that it works on now.
    pub active: Gauge,
    /// Bytes sent to it.
    pub bytes_out: Counter,
    /// Bytes received from it.
    pub bytes_in: Counter,
    /// Datagrams sent to it.
    pub datagrams_out: Counter,
    /// Datagrams received from it.
    pub datagrams_in: Counter,
    /// Sessions of TLS that were not made because its certificate does not verify.
    pub unverified: Counter,
    /// Times that it was left out for failing its work.
    pub ejections: Counter,
    requests: Counter,
    classes: [Counter; 6],
    connect_failures: Counter,
    not_made: Counter,
    response_timeouts: Counter,
    broken: Counter,
}

/// How one attempt on a member ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It answered with this status.
    Answered(u16),
    /// No connection could be made to it.
    ConnectFailed,
    /// This node could not begin it (no descriptor, memory, port, or leave to do so): nothing is known of the member.
    NotMade,
    /// It did not answer in time.
    TimedOut,
    /// It broke the connection, or its answer was no HTTP.
    Broken,
    /// The client went away first.
    Abandoned,
}

impl MemberCounters {
    /// Counts an attempt, once, when it has ended.
    #[inline]
    pub fn record(&self, attempt: Attempt) {
        self.requests.inc();
        match attempt {
            Attempt::Answered(status) => self.classes[class(status)].inc(),
            Attempt::ConnectFailed => self.connect_failures.inc(),
            Attempt::NotMade => self.not_made.inc(),
            Attempt::TimedOut => self.response_timeouts.inc(),
            Attempt::Broken => self.broken.inc(),
            Attempt::Abandoned => {}
        }
    }

    /// Attempts that ended, by any outcome.
    pub fn requests(&self) -> u64 {
        self.requests.value()
    }
    /// Answers whose status begins with this digit (1–5); 0 counts all others.
    pub fn class(&self, digit: usize) -> u64 {
        self.classes.get(digit).map_or(0, Counter::value)
    }
    /// Connections that could not be made.
    pub fn connect_failures(&self) -> u64 {
        self.connect_failures.value()
    }
    /// Connections that this node could not begin, which is no fault of the member.
    pub fn not_made(&self) -> u64 {
        self.not_made.value()
    }
    /// Answers that did not come in time.
    pub fn response_timeouts(&self) -> u64 {
        self.response_timeouts.value()
    }
    /// Connections that broke before the end of an answer, and answers that were no HTTP.
    pub fn broken(&self) -> u64 {
        self.broken.value()
    }
}
