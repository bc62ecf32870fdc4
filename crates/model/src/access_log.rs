//! The access log of a load balancer: that its requests are written down, and under which names.

use serde::{Deserialize, Serialize};

use crate::{AccessLogId, LoadBalancerId, ProjectId};

/// The access log of a load balancer; at most one each. Group and topic are opaque names of the operator's log service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLog {
    /// Its id.
    pub id: AccessLogId,
    /// The owning project.
    pub project: ProjectId,
    /// Whose requests.
    pub load_balancer: LoadBalancerId,
    /// The log group, 1–36 characters.
    pub group: String,
    /// The log topic, 1–36 characters; written into each record.
    pub topic: String,
}

/// What a caller says to create an access log.
#[derive(Clone, Debug)]
pub struct NewAccessLog {
    /// See [`AccessLog::load_balancer`].
    pub load_balancer: LoadBalancerId,
    /// See [`AccessLog::group`].
    pub group: String,
    /// See [`AccessLog::topic`].
    pub topic: String,
}

/// What a caller says to change an access log.
#[derive(Clone, Debug, Default)]
pub struct AccessLogPatch {
    /// See [`AccessLog::group`].
    pub group: Option<String>,
    /// See [`AccessLog::topic`].
    pub topic: Option<String>,
}
