//! What a worker has, what a member has, and what should be true of both.

use std::hash::RandomState;

use balance::{Connections, Draining, FlowTable, Health, Picker, Start, Streak};

use crate::{
    rules::{Reasons, Warming},
    target::{Name, Settings},
};

/// What one worker has.
pub(crate) struct Worker {
    pub(crate) start: Start,
    pub(crate) picker: Picker,
    /// Flows of UDP.
    pub(crate) flows: FlowTable<u32, Work, RandomState>,
    /// Connections or requests.
    pub(crate) open: Vec<Work>,
    /// Up to which change of health, and until when, its picker holds.
    pub(crate) followed: u64,
    pub(crate) next_step_ms: Option<u64>,
}

/// A piece of work, as whoever carries it out keeps it.
pub(crate) struct Work {
    pub(crate) number: u64,
    pub(crate) name: Name,
    pub(crate) connections: Connections,
    pub(crate) worker: u16,
    pub(crate) place: usize,
}

/// A member that is there, or was.
pub(crate) struct Member {
    pub(crate) health: Health,
    pub(crate) draining: Draining,
    pub(crate) streaks: Vec<Streak>,
    /// Work that it is given fails.
    pub(crate) breaks: bool,
    /// What should be true of it.
    pub(crate) reasons: Reasons,
    pub(crate) warming: Warming,
    pub(crate) ejected: bool,
}

/// What should be true of a piece of work.
pub(crate) struct UnderWay {
    pub(crate) name: Name,
    pub(crate) worker: usize,
    /// Of a flow: whose it is, and when somebody spoke last.
    pub(crate) flow: Option<(u32, u64)>,
}

/// Why work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    ByItself,
    Idle,
    Displaced,
    Drained,
}

impl Member {
    /// New in the pool, and not probed yet.
    pub(crate) fn new(workers: u16) -> Self {
        Self {
            health: Health::Unknown,
            draining: Draining::default(),
            streaks: vec![Streak::default(); workers.into()],
            breaks: false,
            reasons: Reasons::default(),
            warming: Warming::Over,
            ejected: false,
        }
    }

    pub(crate) fn is_usable(&self, settings: &Settings) -> bool {
        !self.ejected && (settings.probed.is_none() || self.health.is_usable())
    }
}
