//! Watching what becomes of the work of members, where those that fail are left out for a while.
//!
//! Each worker counts alone, in what is its own; only a row of failures that is long enough is told, to whoever decides
//! ([`crate::probe`]).

use std::cell::Cell;

use balance::{OutlierSettings, Streak, outliers::WorkOutcome};
use model::{MemberId, TargetId};
use telemetry::Attempt;
use tokio::sync::mpsc;

/// A row of failures of a member, as one worker saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) target: TargetId,
    pub(crate) member: MemberId,
    /// What the last of them was.
    pub(crate) failure: WorkOutcome,
}

/// Where reports go.
pub(crate) type Reports = mpsc::UnboundedSender<Report>;

/// What is watched of a target's members.
pub(crate) struct Watch {
    pub(crate) settings: OutlierSettings,
    pub(crate) reports: Reports,
}

impl Watch {
    /// Counts an outcome; some: what is to be told.
    #[inline]
    pub(super) fn count(&self, streak: &Cell<Streak>, outcome: WorkOutcome) -> Option<WorkOutcome> {
        let mut row = streak.get();
        let enough = row.after(outcome, &self.settings);
        streak.set(row);
        enough
    }
}

/// What an attempt says of the member; none: nothing.
pub(super) fn outcome(attempt: Attempt) -> Option<WorkOutcome> {
    match attempt {
        Attempt::Answered(500..=599) | Attempt::TimedOut | Attempt::Broken => Some(WorkOutcome::ServerError),
        Attempt::Answered(_) => Some(WorkOutcome::Served),
        Attempt::ConnectFailed => Some(WorkOutcome::ConnectFailed),
        Attempt::NotMade | Attempt::Abandoned => None,
    }
}
