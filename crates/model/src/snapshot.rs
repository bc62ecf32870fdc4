//! The snapshot: all of the model at one revision.
//!
//! The maps are persistent (they share structure), so a clone costs nothing worth counting, a change costs O(log n), and the
//! difference of two snapshots is found without walking what they share (`OrdMap::diff`). Iteration is in order of id, which
//! is the order of the APIs' lists.
//!
//! Invariant: the indices (`listeners_of`, …) always agree with the maps, because [`Snapshot::put`] and [`Snapshot::remove`]
//! are the only ways to change either.

mod change;
mod file;
mod relations;

use std::{fmt, net::IpAddr, sync::Arc};

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use crate::{
    AccessKey, AccessKeyId, AccessLog, AccessLogId, Certificate, CertificateId, HealthMonitor,
    HealthMonitorId, IpGroup, IpGroupId, Kind, Listener, ListenerId, LoadBalancer, LoadBalancerId, Member,
    MemberId, Network, NetworkId, Object, ObjectKey, Policy, PolicyId, Pool, PoolId, Port, Priority, Project,
    ProjectId, Quota, Rule, RuleId, SecurityPolicy, SecurityPolicyId, Subnet, SubnetId, User, UserId,
};

pub use file::DataPlaneSnapshot;

/// The number of a committed command; 0 is the empty store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// The next revision.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// All of the model at one revision.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// Which revision it is.
    pub revision: Revision,
    load_balancers: OrdMap<LoadBalancerId, Arc<LoadBalancer>>,
    listeners: OrdMap<ListenerId, Arc<Listener>>,
    pools: OrdMap<PoolId, Arc<Pool>>,
    members: OrdMap<MemberId, Arc<Member>>,
    health_monitors: OrdMap<HealthMonitorId, Arc<HealthMonitor>>,
    policies: OrdMap<PolicyId, Arc<Policy>>,
    rules: OrdMap<RuleId, Arc<Rule>>,
    certificates: OrdMap<CertificateId, Arc<Certificate>>,
    security_policies: OrdMap<SecurityPolicyId, Arc<SecurityPolicy>>,
    ip_groups: OrdMap<IpGroupId, Arc<IpGroup>>,
    access_logs: OrdMap<AccessLogId, Arc<AccessLog>>,
    networks: OrdMap<NetworkId, Arc<Network>>,
    subnets: OrdMap<SubnetId, Arc<Subnet>>,
    projects: OrdMap<ProjectId, Arc<Project>>,
    users: OrdMap<UserId, Arc<User>>,
    access_keys: OrdMap<AccessKeyId, Arc<AccessKey>>,
    quotas: OrdMap<ProjectId, Arc<Quota>>,
    by_load_balancer: OrdSet<(LoadBalancerId, ListenerId)>,
    by_default_pool: OrdSet<(PoolId, ListenerId)>,
    bound_pools: OrdSet<(LoadBalancerId, PoolId)>,
    by_pool: OrdSet<(PoolId, MemberId)>,
    monitor_by_pool: OrdMap<PoolId, HealthMonitorId>,
    by_listener: OrdSet<(ListenerId, PolicyId)>,
    policy_counts: OrdMap<ListenerId, usize>,
    by_priority: OrdSet<(ListenerId, Priority, PolicyId)>,
    /// What a policy's rules ask for, as [`Rule::likeness`] puts it; policies without rules are not here.
    likeness: OrdMap<PolicyId, (ListenerId, u64)>,
    by_likeness: OrdSet<(ListenerId, u64, PolicyId)>,
    /// How often a listener's policies name a pool.
    pool_uses: OrdMap<(PoolId, ListenerId), usize>,
    by_policy_pool: OrdSet<(PoolId, PolicyId)>,
    by_redirect: OrdSet<(ListenerId, PolicyId)>,
    by_policy: OrdSet<(PolicyId, RuleId)>,
    by_certificate: OrdSet<(CertificateId, ListenerId)>,
    by_authority: OrdSet<(CertificateId, PoolId)>,
    by_security_policy: OrdSet<(SecurityPolicyId, ListenerId)>,
    by_ip_group: OrdSet<(IpGroupId, ListenerId)>,
    by_quic_listener: OrdSet<(ListenerId, ListenerId)>,
    log_by_load_balancer: OrdMap<LoadBalancerId, AccessLogId>,
    by_address: OrdMap<IpAddr, LoadBalancerId>,
    by_pool_address: OrdMap<(PoolId, IpAddr, Option<Port>), MemberId>,
    owned: OrdMap<(ProjectId, Kind), usize>,
}

macro_rules! maps {
    ($($(#[$doc:meta])* $map:ident, $(#[$one_doc:meta])* $one:ident: $id:ty => $noun:ty;)+) => {
        impl Snapshot {
            $(
                $(#[$doc])*
                pub fn $map(&self) -> &OrdMap<$id, Arc<$noun>> { &self.$map }
                $(#[$one_doc])*
                pub fn $one(&self, id: $id) -> Option<&Arc<$noun>> { self.$map.get(&id) }
            )+
        }
    };
}

maps! {
    /// All load balancers.
    load_balancers, /** One load balancer. */ load_balancer: LoadBalancerId => LoadBalancer;
    /// All listeners.
    listeners, /** One listener. */ listener: ListenerId => Listener;
    /// All pools.
    pools, /** One pool. */ pool: PoolId => Pool;
    /// All members.
    members, /** One member. */ member: MemberId => Member;
    /// All health monitors.
    health_monitors, /** One health monitor. */ health_monitor: HealthMonitorId => HealthMonitor;
    /// All policies.
    policies, /** One policy. */ policy: PolicyId => Policy;
    /// All rules.
    rules, /** One rule. */ rule: RuleId => Rule;
    /// All certificates.
    certificates, /** One certificate. */ certificate: CertificateId => Certificate;
    /// All custom security policies.
    security_policies, /** One custom security policy. */ security_policy: SecurityPolicyId => SecurityPolicy;
    /// All IP groups.
    ip_groups, /** One IP group. */ ip_group: IpGroupId => IpGroup;
    /// All access logs.
    access_logs, /** One access log. */ access_log: AccessLogId => AccessLog;
    /// All networks.
    networks, /** One network. */ network: NetworkId => Network;
    /// All subnets.
    subnets, /** One subnet. */ subnet: SubnetId => Subnet;
    /// All projects.
    projects, /** One project. */ project: ProjectId => Project;
    /// All users.
    users, /** One user. */ user: UserId => User;
    /// All quotas that differ from the default.
    quotas, /** A project's quota. */ quota: ProjectId => Quota;
}

impl Snapshot {
    /// All access keys.
    pub fn access_keys(&self) -> &OrdMap<AccessKeyId, Arc<AccessKey>> {
        &self.access_keys
    }
    /// One access key.
    pub fn access_key(&self, id: &AccessKeyId) -> Option<&Arc<AccessKey>> {
        self.access_keys.get(id)
    }

    /// An object by its key.
    pub fn object(&self, key: &ObjectKey) -> Option<Object> {
        let id = key.id.as_str();
        match key.kind {
            Kind::LoadBalancer => {
                id.parse().ok().and_then(|id| self.load_balancer(id)).cloned().map(Object::LoadBalancer)
            }
            Kind::Listener => id.parse().ok().and_then(|id| self.listener(id)).cloned().map(Object::Listener),
            Kind::Pool => id.parse().ok().and_then(|id| self.pool(id)).cloned().map(Object::Pool),
            Kind::Member => id.parse().ok().and_then(|id| self.member(id)).cloned().map(Object::Member),
            Kind::HealthMonitor => {
                id.parse().ok().and_then(|id| self.health_monitor(id)).cloned().map(Object::HealthMonitor)
            }
            Kind::Policy => id.parse().ok().and_then(|id| self.policy(id)).cloned().map(Object::Policy),
            Kind::Rule => id.parse().ok().and_then(|id| self.rule(id)).cloned().map(Object::Rule),
            Kind::Certificate => {
                id.parse().ok().and_then(|id| self.certificate(id)).cloned().map(Object::Certificate)
            }
            Kind::SecurityPolicy => {
                id.parse().ok().and_then(|id| self.security_policy(id)).cloned().map(Object::SecurityPolicy)
            }
            Kind::IpGroup => id.parse().ok().and_then(|id| self.ip_group(id)).cloned().map(Object::IpGroup),
            Kind::AccessLog => {
                id.parse().ok().and_then(|id| self.access_log(id)).cloned().map(Object::AccessLog)
            }
            Kind::Network => id.parse().ok().and_then(|id| self.network(id)).cloned().map(Object::Network),
            Kind::Subnet => id.parse().ok().and_then(|id| self.subnet(id)).cloned().map(Object::Subnet),
            Kind::Project => id.parse().ok().and_then(|id| self.project(id)).cloned().map(Object::Project),
            Kind::User => id.parse().ok().and_then(|id| self.user(id)).cloned().map(Object::User),
            Kind::AccessKey => {
                id.parse().ok().and_then(|id| self.access_key(&id)).cloned().map(Object::AccessKey)
            }
            Kind::Quota => id.parse().ok().and_then(|id| self.quota(id)).cloned().map(Object::Quota),
        }
    }

    /// Every object, kind by kind and in order of id.
    pub fn objects(&self) -> impl Iterator<Item = Object> {
        let load_balancers = self.load_balancers.values().cloned().map(Object::LoadBalancer);
        load_balancers
            .chain(self.listeners.values().cloned().map(Object::Listener))
            .chain(self.pools.values().cloned().map(Object::Pool))
            .chain(self.members.values().cloned().map(Object::Member))
            .chain(self.health_monitors.values().cloned().map(Object::HealthMonitor))
            .chain(self.policies.values().cloned().map(Object::Policy))
            .chain(self.rules.values().cloned().map(Object::Rule))
            .chain(self.certificates.values().cloned().map(Object::Certificate))
            .chain(self.security_policies.values().cloned().map(Object::SecurityPolicy))
            .chain(self.ip_groups.values().cloned().map(Object::IpGroup))
            .chain(self.access_logs.values().cloned().map(Object::AccessLog))
            .chain(self.networks.values().cloned().map(Object::Network))
            .chain(self.subnets.values().cloned().map(Object::Subnet))
            .chain(self.projects.values().cloned().map(Object::Project))
            .chain(self.users.values().cloned().map(Object::User))
            .chain(self.access_keys.values().cloned().map(Object::AccessKey))
            .chain(self.quotas.values().cloned().map(Object::Quota))
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot(revision {}, {} objects)", self.revision, self.objects().count())
    }
}
