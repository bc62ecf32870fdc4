//! A check of a member on demand: what keeps it from getting a listener's traffic, in words.
//!
//! Checks are not stored: a process remembers its own for a while (`control::member_check`).

use crate::{ListenerId, MemberCheckId, MemberId, ProbeFailure, ProjectId, TargetId, Timestamp};

/// A check of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberCheck {
    /// Its id.
    pub id: MemberCheckId,
    /// Whose member it is.
    pub project: ProjectId,
    /// For which listener's traffic.
    pub listener: ListenerId,
    /// Which member.
    pub member: MemberId,
    /// What is looked at.
    pub subject: CheckSubject,
    /// How far it is.
    pub state: CheckState,
    /// What was found so far; what is as it must be is not told.
    pub findings: Vec<Finding>,
    /// How many things are looked at.
    pub items_total: usize,
    /// How many of them were.
    pub items_done: usize,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last heard of.
    pub updated_at: Timestamp,
}

/// What a check looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckSubject {
    /// Everything.
    All,
    /// What is configured here, and whether the member answers a probe.
    Config,
    /// The network's lists of who may pass; there are none here, so nothing is found.
    NetworkAcl,
    /// The members' firewalls; none that are known here, so nothing is found.
    SecurityGroup,
}

/// How far a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckState {
    /// It runs.
    Running,
    /// It ended.
    Done,
    /// It could not be carried out; its last finding says why.
    Failed,
}

/// Something that keeps traffic from a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at; stable, scripts may rely on it.
    pub name: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong and how to mend it.
    pub reason: String,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The member gets no traffic by it.
    Major,
    /// It gets less, or may get none.
    Minor,
}

/// The wish to probe a member now, as the health monitor of its target says, without any effect on its health.
#[derive(Debug)]
pub struct ProbeWish<Answer> {
    /// For which target.
    pub target: TargetId,
    /// Which member.
    pub member: MemberId,
    /// Where the outcome goes.
    pub answer: Answer,
}

/// The outcome of a [`ProbeWish`]: passed, or failed so; none: this node does not probe it.
pub type ProbeOutcome = Option<Result<(), ProbeFailure>>;
