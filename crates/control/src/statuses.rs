//! How things do: the status tree of a load balancer (huawei/behaviours.md section 11, the table in `model::status`).
//!
//! Health belongs to a (listener, pool) target and a member. Below a listener a pool and its members are shown as that listener
//! finds them; beside the listeners, over all of them.

use std::{collections::BTreeSet, sync::Arc};

use model::{
    HealthMonitor, Listener, ListenerId, LoadBalancer, Member, MemberHealth, OperatingStatus, Policy, Pool,
    ProvisioningStatus, Rule, Target, TargetId, Verdict,
};

use crate::{View, relations};

/// How a load balancer and all below it do.
#[derive(Clone, Debug)]
pub struct LoadBalancerStatus {
    /// Which one.
    pub load_balancer: Arc<LoadBalancer>,
    /// Whether it is in force.
    pub provisioning: ProvisioningStatus,
    /// Whether it works.
    pub operating: OperatingStatus,
    /// Its listeners.
    pub listeners: Vec<ListenerStatus>,
    /// All pools that it uses.
    pub pools: Vec<PoolStatus>,
}

/// How a listener does.
#[derive(Clone, Debug)]
pub struct ListenerStatus {
    /// Which one.
    pub listener: Arc<Listener>,
    /// Whether it is in force.
    pub provisioning: ProvisioningStatus,
    /// Why it is not, in words.
    pub fault: Option<String>,
    /// Whether it works.
    pub operating: OperatingStatus,
    /// The pools that it sends to, by default and by policies, as this listener sees them.
    pub pools: Vec<PoolStatus>,
    /// Its policies.
    pub policies: Vec<PolicyStatus>,
}

/// How a policy does.
#[derive(Clone, Debug)]
pub struct PolicyStatus {
    /// Which one.
    pub policy: Arc<Policy>,
    /// Whether it is in force, and its rules with it.
    pub provisioning: ProvisioningStatus,
    /// Its rules.
    pub rules: Vec<Arc<Rule>>,
}

/// How a pool does.
#[derive(Clone, Debug)]
pub struct PoolStatus {
    /// Which one.
    pub pool: Arc<Pool>,
    /// Whether it works.
    pub operating: OperatingStatus,
    /// Its health monitor.
    pub monitor: Option<Arc<HealthMonitor>>,
    /// Its members.
    pub members: Vec<(Arc<Member>, OperatingStatus)>,
}

/// How a member does.
#[derive(Clone, Debug)]
pub struct MemberStatus {
    /// Over all listeners: offline if it is for one of them. Switched-off objects do not show here, only in the tree.
    pub operating: OperatingStatus,
    /// For each listener that uses its pool.
    pub listeners: Vec<MemberOfListener>,
}

/// How a member does for one listener.
#[derive(Clone, Debug)]
pub struct MemberOfListener {
    /// Which listener.
    pub listener: ListenerId,
    /// How it does.
    pub operating: OperatingStatus,
    /// The verdict behind it.
    pub health: Option<MemberHealth>,
}

/// The status tree.
pub fn load_balancer_status(view: &View, load_balancer: &Arc<LoadBalancer>) -> LoadBalancerStatus {
    let up = load_balancer.admin_up;
    let listeners: Vec<_> = view
        .snapshot
        .listeners_of(load_balancer.id)
        .map(|listener| listener_status(view, up, listener))
        .collect();
    let ids = relations::pools_of_load_balancer(&view.snapshot, load_balancer);
    let pools: Vec<_> = ids
        .into_iter()
        .filter_map(|id| view.snapshot.pool(id))
        .map(|pool| pool_status(view, up, pool, None))
        .collect();
    let faulty = listeners.iter().any(|one| one.provisioning == ProvisioningStatus::Error);
    let parts = listeners.iter().map(|one| one.operating).chain(pools.iter().map(|one| one.operating));
    LoadBalancerStatus {
        load_balancer: load_balancer.clone(),
        provisioning: if faulty { ProvisioningStatus::Error } else { ProvisioningStatus::Active },
        operating: summary(up, faulty, parts),
        listeners,
        pools,
    }
}

/// How a member does, over all and for each listener.
pub fn member_status(view: &View, member: &Member) -> MemberStatus {
    let Some(pool) = view.snapshot.pool(member.pool) else {
        return MemberStatus { operating: OperatingStatus::Unknown, listeners: Vec::new() };
    };
    let of_listener = |listener: &Arc<Listener>| {
        let target = Target::of(listener, pool, view.snapshot.monitor_of(pool.id).map(|monitor| &**monitor));
        let health =
            view.facts.health.get(&(TargetId { listener: listener.id, pool: pool.id }, member.id)).cloned();
        let left_out = pool.outlier_detection.is_some_and(|detection| detection.enabled);
        let operating = match (&target.probe, &health) {
            // Nobody probes it, so it is down only while it is left out for failing its work.
            (None, Some(MemberHealth { verdict: Verdict::Down, .. })) if left_out => OperatingStatus::Offline,
            (None, _) => OperatingStatus::NoMonitor,
            (Some(_), None) => OperatingStatus::Initial,
            (Some(_), Some(health)) => match health.verdict {
                Verdict::Up => OperatingStatus::Online,
                Verdict::Down => OperatingStatus::Offline,
            },
        };
        MemberOfListener { listener: listener.id, operating, health }
    };
    let listeners: Vec<_> = view.snapshot.listeners_reaching(pool.id).map(of_listener).collect();
    let any = |status| listeners.iter().any(|one| one.operating == status);
    let operating = if listeners.is_empty() {
        // Nobody probes a pool that no listener uses.
        match view.snapshot.monitor_of(pool.id).filter(|monitor| monitor.admin_up) {
            None => OperatingStatus::NoMonitor,
            Some(_) => OperatingStatus::Unknown,
        }
    } else {
        [OperatingStatus::Offline, OperatingStatus::Initial, OperatingStatus::Online]
            .into_iter()
            .find(|&status| any(status))
            .unwrap_or(OperatingStatus::NoMonitor)
    };
    MemberStatus { operating, listeners }
}

fn listener_status(view: &View, above: bool, listener: &Arc<Listener>) -> ListenerStatus {
    let up = above && listener.admin_up;
    let fault = view.facts.faults.get(&listener.id).map(|fault| fault.reason.clone());
    let ids: BTreeSet<_> = relations::pools_of_listener(&view.snapshot, listener).collect();
    let pools: Vec<_> = ids
        .into_iter()
        .filter_map(|id| view.snapshot.pool(id))
        .map(|pool| pool_status(view, up, pool, Some(listener.id)))
        .collect();
    let policies: Vec<_> =
        view.snapshot.policies_of(listener.id).map(|policy| policy_status(view, policy)).collect();
    let hurt = fault.is_some() || policies.iter().any(|one| one.provisioning == ProvisioningStatus::Error);
    ListenerStatus {
        listener: listener.clone(),
        provisioning: if fault.is_some() { ProvisioningStatus::Error } else { ProvisioningStatus::Active },
        operating: summary(up, hurt, pools.iter().map(|pool| pool.operating)),
        fault,
        pools,
        policies,
    }
}

/// How a policy does.
pub fn policy_status(view: &View, policy: &Arc<Policy>) -> PolicyStatus {
    PolicyStatus {
        policy: policy.clone(),
        provisioning: if policy.faulty { ProvisioningStatus::Error } else { ProvisioningStatus::Active },
        rules: view.snapshot.rules_of(policy.id).cloned().collect(),
    }
}

/// `seen_by`: the one listener that is asked; none: all that use the pool.
fn pool_status(view: &View, above: bool, pool: &Arc<Pool>, seen_by: Option<ListenerId>) -> PoolStatus {
    let up = above && pool.admin_up;
    let shown = |member: &Arc<Member>| {
        let found = member_status(view, member);
        let here = found.listeners.iter().find(|one| Some(one.listener) == seen_by);
        let status = match (up && member.admin_up, here) {
            (false, _) => OperatingStatus::Disabled,
            (true, Some(here)) => here.operating,
            (true, None) => found.operating,
        };
        (member.clone(), status)
    };
    let members: Vec<_> = view.snapshot.members_of(pool.id).map(shown).collect();
    PoolStatus {
        pool: pool.clone(),
        operating: summary(up, false, members.iter().map(|(_, status)| *status)),
        monitor: view.snapshot.monitor_of(pool.id).cloned(),
        members,
    }
}

/// The status of a whole from its parts.
fn summary(up: bool, faulty: bool, mut parts: impl Iterator<Item = OperatingStatus>) -> OperatingStatus {
    let hurt = |status| matches!(status, OperatingStatus::Offline | OperatingStatus::Degraded);
    if !up {
        OperatingStatus::Disabled
    } else if faulty || parts.any(hurt) {
        OperatingStatus::Degraded
    } else {
        OperatingStatus::Online
    }
}
