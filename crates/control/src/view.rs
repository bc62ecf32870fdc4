//! What a project may see.

use std::sync::Arc;

use model::{
    Facts, HealthMonitor, HealthMonitorId, Kind, Listener, ListenerId, LoadBalancer, LoadBalancerId, Member,
    MemberId, Pool, PoolId, ProjectId, Snapshot,
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

    /// A pool of the project.
    pub fn pool(&self, id: PoolId) -> Result<&Arc<Pool>, Error> {
        let found = self.snapshot.pool(id).filter(|o| o.project == self.project);
        found.ok_or_else(|| Error::not_found(Kind::Pool, id))
    }

    /// A member of a pool of the project.
    pub fn member(&self, pool: PoolId, id: MemberId) -> Result<&Arc<Member>, Error> {
        let found = self.snapshot.member(id).filter(|o| o.project == self.project && o.pool == pool);
        found.ok_or_else(|| Error::not_found(Kind::Member, id))
    }

    /// A health monitor of the project.
    pub fn health_monitor(&self, id: HealthMonitorId) -> Result<&Arc<HealthMonitor>, Error> {
        let found = self.snapshot.health_monitor(id).filter(|o| o.project == self.project);
        found.ok_or_else(|| Error::not_found(Kind::HealthMonitor, id))
    }
}
