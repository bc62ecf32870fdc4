//! What a project may see.

use std::sync::Arc;

use model::{
    AccessLog, AccessLogId, Certificate, CertificateId, Facts, HealthMonitor, HealthMonitorId, IpGroup,
    IpGroupId, Kind, Listener, ListenerId, LoadBalancer, LoadBalancerId, Member, MemberId, Policy, PolicyId,
    Pool, PoolId, ProjectId, Rule, RuleId, SecurityPolicy, SecurityPolicyId, Snapshot,
};

use crate::{Error, Site};

/// The newest state, for one project. Lookups answer `NotFound` for other projects' objects, as if they were not there; whoever
/// walks `snapshot` filters by `project`.
#[derive(Clone)]
pub struct View {
    /// All of the model.
    pub snapshot: Arc<Snapshot>,
    /// What the node reported.
    pub facts: Arc<Facts>,
    /// Whose view it is.
    pub project: ProjectId,
    /// The site.
    pub site: Arc<Site>,
}

impl View {
    /// A load balancer of the project.
    pub fn load_balancer(&self, id: LoadBalancerId) -> Result<&Arc<LoadBalancer>, Error> {
        let found = self.snapshot.load_balancer(id).filter(|o| o.project == self.project);
        found.ok_or_else(|| Error::not_found(Kind::LoadBalancer, id))
    }

    /// A listener of the project.
    pub fn listener(&self, id: ListenerId) -> Result<&Arc<Listener>, Error> {
        let found = self.snapshot.listener(id).filter(|o| o.project == self.project);
        found.ok_or_else(|| Error::not_found(Kind::Listener, id))
    }

    /// A pool of the project; active/standby pools are not among them.
    pub fn pool(&self, id: PoolId) -> Result<&Arc<Pool>, Error> {
        let found = self.snapshot.pool(id).filter(|o| o.project == self.project && !o.standby);
        found.ok_or_else(|| Error::not_found(Kind::Pool, id))
    }

    /// An active/standby pool of the project.
    pub fn standby_pool(&self, id: PoolId) -> Result<&Arc<Pool>, Error> {
        let found = self.snapshot.pool(id).filter(|o| o.project == self.project && o.standby);
        found.ok_or_else(|| Error::not_found(Kind::Pool, id))
    }

    /// A member of a pool of the project.
    pub fn member(&self, pool: PoolId, id: MemberId) -> Result<&Arc<Member>, Error> {
        let pool = self.pool(pool)?.id;
        let found = self.snapshot.member(id).filter(|o| o.pool == pool);
        found.ok_or_else(|| Error::not_found(Kind::Member, id))
    }

    /// A health monitor of the project.
    pub fn health_monitor(&self, id: HealthMonitorId) -> Result<&Arc<HealthMonitor>, Error> {
        let found = self.snapshot.health_monitor(id).filter(|o| o.project == self.project);
        found.ok_or_else(|| Error::not_found(Kind::HealthMonitor, id))
    }

    /// A certificate of the project.
    pub fn certificate(&self, id: CertificateId) -> Result<&Arc<Certificate>, Error> {
        let found = self.snapshot.certificate(id).filter(|o| o.project == self.project);
        found.ok_or_else(|| Error::not_found(Kind::Certificate, id))
    }

    /// Whether the project's private keys may be shown; else a dialect shows stars.
    pub fn private_key_echo(&self) -> bool {
        self.snapshot.project(self.project).is_none_or(|project| project.private_key_echo)
    }

    /// A security policy of the project.
    pub fn security_policy(&self, id: SecurityPolicyId) -> Result<&Arc<SecurityPolicy>, Error> {
        let found = self.snapshot.security_policy(id).filter(|o| o.project == self.project);
        found.ok_or_else(|| Error::not_found(Kind::SecurityPolicy, id))
    }

    /// An IP group of the project.
    pub fn ip_group(&self, id: IpGroupId) -> Result<&Arc<IpGroup>, Error> {
        let found = self.snapshot.ip_group(id).filter(|o| o.project == self.project);
        found.ok_or_else(|| Error::not_found(Kind::IpGroup, id))
    }

    /// A policy of the project.
    pub fn policy(&self, id: PolicyId) -> Result<&Arc<Policy>, Error> {
        let found = self.snapshot.policy(id).filter(|o| o.project == self.project);
        found.ok_or_else(|| Error::not_found(Kind::Policy, id))
    }

    /// A rule of a policy of the project.
    pub fn rule(&self, policy: PolicyId, id: RuleId) -> Result<&Arc<Rule>, Error> {
        let found = self.snapshot.rule(id).filter(|o| o.project == self.project && o.policy == policy);
        found.ok_or_else(|| Error::not_found(Kind::Rule, id))
    }

    /// An access log of the project.
    pub fn access_log(&self, id: AccessLogId) -> Result<&Arc<AccessLog>, Error> {
        let found = self.snapshot.access_log(id).filter(|o| o.project == self.project);
        found.ok_or_else(|| Error::not_found(Kind::AccessLog, id))
    }
}
