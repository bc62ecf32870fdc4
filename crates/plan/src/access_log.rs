//! The access log of a listener's load balancer.

use std::sync::Arc;

use model::{AccessLog, AccessLogId, LoadBalancerId, ProjectId};
use serde::Serialize;

use crate::listener::same_or_new;

/// Where requests are written down, and under which names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessLogPlan {
    /// Which log.
    pub id: AccessLogId,
    /// Whose requests; names the file.
    pub load_balancer: LoadBalancerId,
    /// The owning project; written into each record.
    pub project: ProjectId,
    /// The log group.
    pub group: String,
    /// The log topic; written into each record.
    pub topic: String,
}

impl AccessLogPlan {
    pub(crate) fn compile(log: &AccessLog, before: Option<&Arc<Self>>) -> Arc<Self> {
        let plan = Self {
            id: log.id,
            load_balancer: log.load_balancer,
            project: log.project,
            group: log.group.clone(),
            topic: log.topic.clone(),
        };
        same_or_new(before, plan)
    }
}
