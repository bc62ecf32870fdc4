//! How a member does, over all and for each listener that reaches it (behaviours.md section 8).

use control::{View, statuses};
use model::{Member, MemberHealth, OperatingStatus};
use serde::Serialize;

use crate::v3::answer;

// ---- wire ----

/// How a member does.
pub(crate) struct Status {
    /// `operating_status`.
    pub(crate) overall: &'static str,
    /// `reason`: why it is offline.
    pub(crate) reason: Option<Reason>,
    /// `status`.
    pub(crate) of_listeners: Vec<OfListener>,
}

/// How a member does for one listener.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OfListener {
    listener_id: String,
    operating_status: &'static str,
    reason: Option<Reason>,
    created_at: String,
    updated_at: String,
}

/// Why probes fail.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Reason {
    reason_code: &'static str,
    expected_response: String,
    healthcheck_response: String,
}

// ---- encode ----

/// How the member does.
pub(crate) fn encode(view: &View, member: &Member) -> Status {
    let status = statuses::member_status(view, member);
    let of_listener = |one: &statuses::MemberOfListener| OfListener {
        listener_id: one.listener.to_string(),
        operating_status: word(one.operating),
        reason: reason(one.health.as_ref()),
        created_at: answer::time(member.created_at),
        updated_at: answer::time(one.health.as_ref().map_or(member.updated_at, |health| health.since)),
    };
    Status {
        overall: word(status.operating),
        reason: status.listeners.iter().find_map(|one| reason(one.health.as_ref())),
        of_listeners: status.listeners.iter().map(of_listener).collect(),
    }
}

fn reason(health: Option<&MemberHealth>) -> Option<Reason> {
    let failure = health?.failure.as_ref()?;
    Some(Reason {
        reason_code: failure.code.as_str(),
        expected_response: failure.expected.clone(),
        healthcheck_response: failure.got.clone(),
    })
}

/// An operating status in the vendor's words.
pub(crate) fn word(status: OperatingStatus) -> &'static str {
    match status {
        OperatingStatus::Online => "ONLINE",
        OperatingStatus::Degraded => "DEGRADED",
        OperatingStatus::Disabled => "DISABLED",
        OperatingStatus::Offline => "OFFLINE",
        OperatingStatus::NoMonitor => "NO_MONITOR",
        OperatingStatus::Initial => "INITIAL",
        OperatingStatus::Unknown => "UNKNOWN",
    }
}
