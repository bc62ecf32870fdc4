//! What is counted for a listener, by one worker.

use std::sync::OnceLock;

use crate::{Counter, Gauge, TlsCounters};

/// A listener's counters in one worker. Aligned so that two workers' blocks share no pair of cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ListenerCounters {
    /// Connections accepted; of UDP, flows begun.
    pub connections: Counter,
    /// Connections, or datagrams, refused by the access control; they do not count as accepted.
    pub denied: Counter,
    /// Connections closed because their PROXY header did not come or was none.
    pub not_introduced: Counter,
    /// Connections refused, and datagrams of new flows dropped, as the listener, its flavor or its load balancer allows no more; they
    /// do not count as accepted.
    pub over_limit: Counter,
    /// Requests answered 503 because they were over the limit of a policy, or of a flavor.
    pub limited: Counter,
    /// Copies of requests (mirrors) that were due and could not be sent: a long body, no member, too many under way.
    pub mirrors_left_out: Counter,
    /// Connections, or flows, open now.
    pub active: Gauge,
    /// Bytes read from clients.
    pub bytes_in: Counter,
    /// Bytes written to clients.
    pub bytes_out: Counter,
    /// Datagrams of clients that were passed on.
    pub datagrams_in: Counter,
    /// Datagrams of members that were passed on.
    pub datagrams_out: Counter,
    /// Datagrams, of clients and of members, dropped because the bandwidth of the listener, its flavor or its load balancer was used up.
    pub datagrams_over_limit: Counter,
    /// How often a connection or a request waited for bandwidth, a few milliseconds each time.
    pub bandwidth_waits: Counter,
    /// Flows of UDP that ended before their time, so that new ones have room.
    pub flows_displaced: Counter,
    /// Further attempts on a member after a failed one.
    pub retries: Counter,
    /// Layer 4: connections closed, and datagrams dropped, because no member could take them.
    pub unserved: Counter,
    /// Connections ended with a reset passed on from, or caused by, the client.
    pub client_resets: Counter,
    /// Connections ended with a reset passed on from, or caused by, a member.
    pub member_resets: Counter,
    /// Requests that were odd without being wrong, by their place in [`ODDITIES`].
    pub oddities: [Counter; ODDITIES.len()],
    requests: Counter,
    classes: [Counter; 6],
    own: [Counter; OwnAnswer::COUNT],
    policy_answers: Counter,
    client_gone: Counter,
    /// Made with the first handshake: most listeners have none.
    tls: OnceLock<Box<TlsCounters>>,
}

/// The classes of requests that are odd without being wrong, as metrics name them.
pub const ODDITIES: [&str; 7] = [
    "body_without_meaning",
    "hosts_differ",
    "old_version_body",
    "http2_offer",
    "connection_hides_header",
    "look_alike_name",
    "ambiguous_path",
];

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The member's answer with this status went to the client.
    Answered(u16),
    /// The load balancer answered by itself.
    Own(OwnAnswer),
    /// A policy answered with this status: a redirect, a fixed response, or for a preflight.
    Policy(u16),
    /// The client went away before the answer was complete (499 in the logs of others).
    ClientGone,
}

/// Answers that the load balancer makes (behaviour/errors.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnAnswer {
    /// 400: the request violates HTTP.
    BadRequest,
    /// 404: there is no pool, or it has no members.
    NotFound,
    /// 408: the request did not come in time.
    RequestTimeout,
    /// 413: the body is longer than the limit.
    BodyTooLong,
    /// 414: the URI is longer than the limit.
    UriTooLong,
    /// 417: an expectation other than 100-continue.
    ExpectationFailed,
    /// 501: a transfer coding that is not known.
    NotImplemented,
    /// 502: no member could be reached, or its answer was no HTTP.
    BadGateway,
    /// 503: no member is usable.
    Unavailable,
    /// 504: the member did not answer in time.
    GatewayTimeout,
    /// 505: a version of HTTP that is not spoken.
    VersionNotSupported,
}

impl OwnAnswer {
    const COUNT: usize = Self::ALL.len();

    /// Every answer, in order of status.
    pub const ALL: [Self; 11] = [
        Self::BadRequest,
        Self::NotFound,
        Self::RequestTimeout,
        Self::BodyTooLong,
        Self::UriTooLong,
        Self::ExpectationFailed,
        Self::NotImplemented,
        Self::BadGateway,
        Self::Unavailable,
        Self::GatewayTimeout,
        Self::VersionNotSupported,
    ];

    /// The status code.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::NotFound => 404,
            Self::RequestTimeout => 408,
            Self::BodyTooLong => 413,
            Self::UriTooLong => 414,
            Self::ExpectationFailed => 417,
            Self::NotImplemented => 501,
            Self::BadGateway => 502,
            Self::Unavailable => 503,
            Self::GatewayTimeout => 504,
            Self::VersionNotSupported => 505,
        }
    }
}

impl ListenerCounters {
    /// Counts a request, once, when it has ended.
    #[inline]
    pub fn record(&self, outcome: Outcome) {
        self.requests.inc();
        match outcome {
            Outcome::Answered(status) => self.classes[class(status)].inc(),
            Outcome::Own(answer) => {
                self.classes[class(answer.status())].inc();
                self.own[answer as usize].inc();
            }
            Outcome::Policy(status) => {
                self.classes[class(status)].inc();
                self.policy_answers.inc();
            }
            Outcome::ClientGone => self.client_gone.inc(),
        }
    }

    /// Handshakes of TLS.
    pub fn tls(&self) -> &TlsCounters {
        self.tls.get_or_init(Box::default)
    }

    /// Handshakes of TLS, where there was one.
    pub(crate) fn tls_if_any(&self) -> Option<&TlsCounters> {
        self.tls.get().map(AsRef::as_ref)
    }

    /// Requests that ended, by any outcome.
    pub fn requests(&self) -> u64 {
        self.requests.value()
    }

    /// Answers to clients whose status begins with this digit (1–5); 0 counts all others.
    pub fn class(&self, digit: usize) -> u64 {
        self.classes.get(digit).map_or(0, Counter::value)
    }

    /// Answers of this kind that the load balancer made.
    pub fn own(&self, answer: OwnAnswer) -> u64 {
        self.own[answer as usize].value()
    }

    /// Answers that policies made: redirects, fixed responses, answers to preflights.
    pub fn policy_answers(&self) -> u64 {
        self.policy_answers.value()
    }

    /// Requests whose client went away before the answer was complete.
    pub fn client_gone(&self) -> u64 {
        self.client_gone.value()
    }
}

/// The first digit of a status, 0 for one outside 100–599.
#[inline]
pub(crate) fn class(status: u16) -> usize {
    match status {
        100..=599 => usize::from(status / 100),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_once_and_where_its_outcome_belongs() {
        let counters = ListenerCounters::default();
        counters.record(Outcome::Answered(204));
        counters.record(Outcome::Answered(999));
        counters.record(Outcome::Own(OwnAnswer::Unavailable));
        counters.record(Outcome::ClientGone);
        counters.record(Outcome::Policy(301));
        assert_eq!(counters.requests(), 5);
        assert_eq!([0, 1, 2, 3, 4, 5].map(|digit| counters.class(digit)), [1, 0, 1, 1, 0, 1]);
        assert_eq!(counters.policy_answers(), 1);
        assert_eq!(counters.own(OwnAnswer::Unavailable), 1);
        assert_eq!(counters.own(OwnAnswer::BadGateway), 0);
        assert_eq!(counters.client_gone(), 1);
    }

    #[test]
    fn own_answers_are_listed_in_order_of_their_place() {
        for (place, answer) in OwnAnswer::ALL.into_iter().enumerate() {
            assert_eq!(answer as usize, place, "{answer:?}");
        }
        assert!(OwnAnswer::ALL.is_sorted_by_key(|answer| answer.status()));
    }
}
