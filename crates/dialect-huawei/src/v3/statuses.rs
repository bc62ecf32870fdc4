//! The status tree of a load balancer (behaviours.md section 11). DEGRADED and DISABLED are shown here only.

use std::sync::Arc;

use axum::response::Response;
use control::statuses::{ListenerStatus, LoadBalancerStatus, PolicyStatus, PoolStatus, load_balancer_status};
use http::StatusCode;
use identity::Verb;
use model::{HealthMonitor, Member, OperatingStatus, ProvisioningStatus, Rule};
use serde::Serialize;

use crate::v3::{
    call::Call,
    errors::Problem,
    health_monitor,
    member::{shown_port, status::word},
    policy, rule,
};

// ---- wire ----

/// The tree.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Tree {
    loadbalancer: OfLoadBalancer,
}

#[derive(Clone, Debug, Serialize)]
struct OfLoadBalancer {
    id: String,
    name: String,
    provisioning_status: &'static str,
    operating_status: &'static str,
    listeners: Vec<OfListener>,
    pools: Vec<OfPool>,
}

#[derive(Clone, Debug, Serialize)]
struct OfListener {
    id: String,
    name: String,
    provisioning_status: &'static str,
    /// Why it is in ERROR, in words; not in the vendor's schema, and left out while it is ACTIVE.
    #[serde(skip_serializing_if = "Option::is_none")]
    provisioning_reason: Option<String>,
    operating_status: &'static str,
    pools: Vec<OfPool>,
    l7policies: Vec<OfPolicy>,
}

#[derive(Clone, Debug, Serialize)]
struct OfPolicy {
    id: String,
    name: String,
    action: &'static str,
    provisioning_status: &'static str,
    rules: Vec<OfRule>,
}

#[derive(Clone, Debug, Serialize)]
struct OfRule {
    id: String,
    #[serde(rename = "type")]
    subject: &'static str,
    provisioning_status: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct OfPool {
    id: String,
    name: String,
    provisioning_status: &'static str,
    operating_status: &'static str,
    healthmonitor: Option<OfMonitor>,
    members: Vec<OfMember>,
}

#[derive(Clone, Debug, Serialize)]
struct OfMonitor {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    provisioning_status: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct OfMember {
    id: String,
    address: String,
    protocol_port: u16,
    provisioning_status: &'static str,
    operating_status: &'static str,
}

// ---- encode ----

/// The tree of a load balancer.
pub(crate) fn encode(status: &LoadBalancerStatus) -> Tree {
    Tree {
        loadbalancer: OfLoadBalancer {
            id: status.load_balancer.id.to_string(),
            name: status.load_balancer.name.to_string(),
            provisioning_status: provisioning(status.provisioning),
            operating_status: word(status.operating),
            listeners: status.listeners.iter().map(listener).collect(),
            pools: status.pools.iter().map(pool).collect(),
        },
    }
}

fn listener(status: &ListenerStatus) -> OfListener {
    OfListener {
        id: status.listener.id.to_string(),
        name: status.listener.name.to_string(),
        provisioning_status: provisioning(status.provisioning),
        provisioning_reason: status.fault.clone(),
        operating_status: word(status.operating),
        pools: status.pools.iter().map(pool).collect(),
        l7policies: status.policies.iter().map(policy).collect(),
    }
}

/// The rules of a policy that is not applied are not either.
fn policy(status: &PolicyStatus) -> OfPolicy {
    let provisioning_status = provisioning(status.provisioning);
    let rule = |rule: &Arc<Rule>| OfRule {
        id: rule.id.to_string(),
        subject: rule::subject(rule.subject),
        provisioning_status,
    };
    OfPolicy {
        id: status.policy.id.to_string(),
        name: status.policy.name.to_string(),
        action: policy::action(&status.policy),
        provisioning_status,
        rules: status.rules.iter().map(rule).collect(),
    }
}

fn pool(status: &PoolStatus) -> OfPool {
    OfPool {
        id: status.pool.id.to_string(),
        name: status.pool.name.to_string(),
        provisioning_status: ACTIVE,
        operating_status: word(status.operating),
        healthmonitor: status.monitor.as_deref().map(monitor),
        members: status.members.iter().map(|(one, status)| member(one, *status)).collect(),
    }
}

fn monitor(monitor: &HealthMonitor) -> OfMonitor {
    OfMonitor {
        id: monitor.id.to_string(),
        name: monitor.name.to_string(),
        kind: health_monitor::kind(monitor.probe.kind),
        provisioning_status: ACTIVE,
    }
}

fn member(member: &Member, operating: OperatingStatus) -> OfMember {
    OfMember {
        id: member.id.to_string(),
        address: member.address.to_string(),
        protocol_port: shown_port(member),
        provisioning_status: ACTIVE,
        operating_status: word(operating),
    }
}

/// What is neither listener nor policy has nothing that could fail on the node.
const ACTIVE: &str = "ACTIVE";

fn provisioning(status: ProvisioningStatus) -> &'static str {
    match status {
        ProvisioningStatus::Active => ACTIVE,
        ProvisioningStatus::Error => "ERROR",
    }
}

// ---- operations ----

/// `GET …/loadbalancers/{loadbalancer_id}/statuses`.
pub(crate) async fn show(call: Call) -> Result<Response, Problem> {
    let view = call.view("loadbalancers", Verb::Get)?;
    let status = load_balancer_status(&view, view.load_balancer(call.id("loadbalancer_id")?)?);
    Ok(call.one(StatusCode::OK, "statuses", encode(&status)))
}
