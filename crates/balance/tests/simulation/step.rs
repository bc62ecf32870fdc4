//! What can happen to a pool.

use crate::{chance::Chance, target::Algorithm};

/// Clients that there are.
const CLIENTS: u64 = 90;

/// What happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Pass {
        ms: u64,
    },
    /// A client brings a connection, a request, or a datagram.
    Work {
        client: u32,
    },
    /// A piece of work ends by itself; of UDP, a member says something.
    Over {
        nth: u64,
    },
    Probe {
        nth: u64,
        passes: bool,
    },
    Join {
        weight: u16,
    },
    Leave {
        nth: u64,
    },
    Weight {
        nth: u64,
        weight: u16,
    },
    Delay {
        seconds: Option<u32>,
    },
    SlowStart {
        seconds: Option<u32>,
    },
    Algorithm {
        algorithm: Algorithm,
    },
    AllDownForward {
        on: bool,
    },
    /// Work that a member is given fails from now on, or does no more.
    Breaks {
        nth: u64,
        breaks: bool,
    },
    /// One leaves and another joins in the same change.
    Replace {
        nth: u64,
    },
    /// A worker that has not heard of the last change begins something.
    Late {
        nth: u64,
    },
    /// Many picks, looked at together.
    Shares {
        worker: u64,
    },
}

impl Step {
    /// What happens next.
    pub(crate) fn next(chance: &mut Chance) -> Self {
        let nth = chance.below(1000);
        let weight = chance.one_of(&[0, 1, 1, 2, 5, 100, 256]);
        match chance.below(100) {
            0..=19 => Step::Pass { ms: chance.below(2000) },
            20..=22 => Step::Pass { ms: chance.below(70_000) },
            23..=54 => Step::Work { client: chance.below(CLIENTS) as u32 },
            55..=67 => Step::Over { nth },
            68..=81 => Step::Probe { nth: nth % 3, passes: chance.below(100) < 60 },
            82..=84 => Step::Join { weight },
            85..=86 => Step::Leave { nth },
            87..=89 => Step::Weight { nth, weight },
            90 => Step::Delay { seconds: chance.one_of(&[None, Some(0), Some(1), Some(10), Some(300)]) },
            91 => Step::SlowStart { seconds: chance.one_of(&[None, Some(30), Some(200), Some(1200)]) },
            92 => Step::Algorithm {
                algorithm: chance.one_of(&[
                    Algorithm::RoundRobin,
                    Algorithm::RoundRobin,
                    Algorithm::LeastConnections,
                    Algorithm::SourceIp,
                    Algorithm::Standby,
                ]),
            },
            93 => Step::AllDownForward { on: chance.one_in(2) },
            94..=95 => Step::Breaks { nth, breaks: chance.one_in(2) },
            96 => Step::Late { nth },
            97 => Step::Replace { nth },
            _ => Step::Shares { worker: nth },
        }
    }
}
