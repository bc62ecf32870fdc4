//! Draining: what becomes of the work that a member has when it gets no more.
//!
//! A member drains while there is a cause: it was removed, it is unhealthy, or its weight is 0. Then it takes no new work: no
//! connection, no flow, and no request, not even of a client that sticks to it, or on a connection that other requests went over.
//! What it has already (a connection, a flow, a request that it is answering) meets one of three fates, by this table:
//!
//! | cause | delay on, layer 4 | delay off, TCP | delay off, UDP | layer 7 |
//! |---|---|---|---|---|
//! | removed | ends by the delay | ends at once | ends at once | ends by the delay, or [`DELAY_DEFAULT_S`] |
//! | unhealthy | ends by the delay | stays | ends at once | stays |
//! | weight 0 | ends by the delay | stays | stays | stays |
//!
//! Staying work ends by itself: by its idle timeout, at layer 7 also by the timeouts of an exchange. Flows of UDP do not stay with an
//! unhealthy member: nothing would break them, and the client's next datagram can go to a healthy one. At layer 7 a removed member's
//! requests end soon; the delay is for tunnels and streams. With several causes the earliest end holds; a member that is well again
//! drains no more.
//!
//! When the listener goes, its connections of layer 4 end at once, those of layer 7 as those of a removed member.
//!
//! Source: behaviour/features.md sections 3 ("Deleted listener"), 6 ("Weight", "Sticky to") and 7 ("Deregistration delay");
//! open-questions.md row 52.
//! Knows no clock and closes nothing: the caller says what time it is and asks.

use model::range::DrainTimeout;

/// Delay at layer 7, where pools have none of their own, in seconds (behaviour/features.md section 7: 300 in consoles).
pub const DELAY_DEFAULT_S: u32 = 300;

/// What the work of a target is, and how long it may last when its member leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainRules {
    /// What is passed on.
    pub traffic: Traffic,
    /// The pool's deregistration delay; none where it is switched off.
    pub delay: Option<DrainTimeout>,
}

/// What a target passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Traffic {
    /// TCP connections, those included whose TLS ends here.
    Streams,
    /// UDP flows, QUIC that is passed on included.
    Datagrams,
    /// Requests, and tunnels that began as requests.
    Requests,
}

/// Why a member gets no new work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It is no longer in the pool, or the pool no longer at the listener.
    Removed,
    /// Its monitor says that it is down.
    Unhealthy,
    /// Its weight is 0.
    WeightZero,
}

/// What becomes of existing work; the earlier end is the lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It ends now.
    Ends,
    /// It ends by then, if not before.
    EndsBy {
        /// In milliseconds of the caller's clock.
        deadline_ms: u64,
    },
    /// It goes on until it ends by itself.
    Stays,
}

/// The draining of one member in one target: which causes there are, and since when. By default there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draining {
    since_ms: [Option<u64>; CAUSES.len()],
}

impl DrainRules {
    /// What becomes of a member's work by one cause that there is since `since_ms`.
    pub fn fate(self, cause: Cause, since_ms: u64) -> Fate {
        let by =
            |seconds: u32| Fate::EndsBy { deadline_ms: since_ms.saturating_add(u64::from(seconds) * 1000) };
        match (self.traffic, cause, self.delay) {
            (Traffic::Requests, Cause::Removed, delay) => {
                by(delay.map_or(DELAY_DEFAULT_S, DrainTimeout::value))
            }
            (Traffic::Requests, Cause::Unhealthy | Cause::WeightZero, _) => Fate::Stays,
            (Traffic::Streams | Traffic::Datagrams, _, Some(delay)) => by(delay.value()),
            (Traffic::Streams | Traffic::Datagrams, Cause::Removed, None) => Fate::Ends,
            (Traffic::Datagrams, Cause::Unhealthy, None) => Fate::Ends,
            (Traffic::Streams, Cause::Unhealthy, None) => Fate::Stays,
            (Traffic::Streams | Traffic::Datagrams, Cause::WeightZero, None) => Fate::Stays,
        }
    }

    /// What becomes of a listener's work when the listener goes.
    pub fn fate_without_listener(self, since_ms: u64) -> Fate {
        match self.traffic {
            Traffic::Streams | Traffic::Datagrams => Fate::Ends,
            Traffic::Requests => self.fate(Cause::Removed, since_ms),
        }
    }
}

impl Draining {
    /// A cause is there from now on; one that was there before keeps its time.
    pub fn begin(&mut self, cause: Cause, now_ms: u64) {
        self.since_ms[cause as usize].get_or_insert(now_ms);
    }

    /// A cause is there no more.
    pub fn end(&mut self, cause: Cause) {
        self.since_ms[cause as usize] = None;
    }

    /// Whether the member drains: it gets no new work of any kind.
    pub fn is_draining(&self) -> bool {
        self.since_ms.iter().any(Option::is_some)
    }

    /// What becomes of the work that the member has; it stays while the member does not drain. Asked anew when the pool's delay
    /// changes, as that holds from when the cause began.
    pub fn fate(&self, rules: DrainRules) -> Fate {
        let fates =
            CAUSES.iter().zip(self.since_ms).filter_map(|(&cause, since)| Some(rules.fate(cause, since?)));
        fates.min().unwrap_or(Fate::Stays)
    }
}

/// All, in the order of their numbers.
const CAUSES: [Cause; 3] = [Cause::Removed, Cause::Unhealthy, Cause::WeightZero];

#[cfg(test)]
mod tests {
    use super::*;
    use Cause::{Removed, Unhealthy, WeightZero};
    use Fate::{Ends, EndsBy, Stays};
    use Traffic::{Datagrams, Requests, Streams};
    use proptest::prelude::*;

    fn rules(traffic: Traffic, delay: Option<u32>) -> DrainRules {
        DrainRules { traffic, delay: delay.map(DrainTimeout::of) }
    }

    #[test]
    fn every_cause_has_its_fate() {
        let at = |deadline_ms| EndsBy { deadline_ms };
        for (traffic, delay, removed, unhealthy, weight_zero, no_listener) in [
            (Streams, Some(10), at(15_000), at(15_000), at(15_000), Ends),
            (Datagrams, Some(10), at(15_000), at(15_000), at(15_000), Ends),
            (Streams, None, Ends, Stays, Stays, Ends),
            (Datagrams, None, Ends, Ends, Stays, Ends),
            (Requests, Some(10), at(15_000), Stays, Stays, at(15_000)),
            (Requests, None, at(305_000), Stays, Stays, at(305_000)),
            (Streams, Some(0), at(5000), at(5000), at(5000), Ends),
        ] {
            let rules = rules(traffic, delay);
            let fates = [Removed, Unhealthy, WeightZero].map(|cause| rules.fate(cause, 5000));
            assert_eq!(fates, [removed, unhealthy, weight_zero], "{rules:?}");
            assert_eq!(rules.fate_without_listener(5000), no_listener, "{rules:?}");
        }
    }

    #[test]
    fn a_member_drains_while_there_is_a_cause() {
        let rules = rules(Streams, Some(100));
        let mut draining = Draining::default();
        assert_eq!((draining.is_draining(), draining.fate(rules)), (false, Stays));
        for (why, begins, cause, now, expect) in [
            ("weight 0", true, WeightZero, 1000, Some(101_000)),
            ("said again: the time goes on", true, WeightZero, 9000, Some(101_000)),
            ("another cause, later", true, Unhealthy, 20_000, Some(101_000)),
            ("the first is gone, the other stays", false, WeightZero, 30_000, Some(120_000)),
            ("well again", false, Unhealthy, 40_000, None),
            ("the time begins anew", true, WeightZero, 50_000, Some(150_000)),
        ] {
            if begins {
                draining.begin(cause, now)
            } else {
                draining.end(cause)
            }
            assert_eq!(draining.is_draining(), expect.is_some(), "{why}");
            let expect = expect.map_or(Stays, |deadline_ms| EndsBy { deadline_ms });
            assert_eq!(draining.fate(rules), expect, "{why}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn with_several_causes_the_earliest_end_holds(
            since in proptest::collection::vec(proptest::option::of(0u64..1_000_000), 3), delay in proptest::option::of(0u32..=4000),
            traffic in prop_oneof![Just(Streams), Just(Datagrams), Just(Requests)],
        ) {
            let rules = rules(traffic, delay);
            let mut draining = Draining::default();
            let mut alone = vec![Stays];
            for (cause, since) in CAUSES.into_iter().zip(since) {
                if let Some(since) = since {
                    draining.begin(cause, since);
                    alone.push(rules.fate(cause, since));
                }
            }
            let rank = |fate: &Fate| match fate {
                Ends => (0, 0),
                EndsBy { deadline_ms } => (1, *deadline_ms),
                Stays => (2, 0),
            };
            alone.sort_by_key(rank);
            prop_assert_eq!(draining.fate(rules), alone[0]);
            prop_assert_eq!(draining.is_draining(), alone.len() > 1);
        }
    }
}
