//! How a command runs: decide on a draft, commit, wait for the node.

use std::time::{SystemTime, UNIX_EPOCH};

use identity::{Action, Caller, authorize};
use model::{
    HealthMonitor, HealthMonitorId, Kind, Listener, ListenerId, LoadBalancer, LoadBalancerId, Member,
    MemberId, Object, ObjectKey, Pool, PoolId, QuotaKey, Snapshot, Timestamp, Trace,
};
use std::sync::Arc;
use store::{Batch, Claim, CommitError};

use crate::{Control, Error, Site, relations};

/// A command while it is decided: the state as it will be, and the batch that leads there.
///
/// `put` and `delete` change `state` as they go, so rules always look at the state as it will be. Deciding has no other effect,
/// because a command whose base was overtaken is decided again.
pub(crate) struct Draft<'a> {
    pub(crate) state: Snapshot,
    pub(crate) caller: &'a Caller,
    pub(crate) site: &'a Site,
    pub(crate) now: Timestamp,
    batch: Batch,
}

/// Decides and lands a command.
pub(crate) async fn command<T>(
    control: &Control,
    caller: &Caller,
    action: Action,
    decide: impl Fn(&mut Draft<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    authorize(caller, action)?;
    let (outcome, revision) = {
        let _turn = control.inner().turn.lock().await;
        land(control, caller, decide).await?
    };
    control.applied(revision).await;
    Ok(outcome)
}

async fn land<T>(
    control: &Control,
    caller: &Caller,
    decide: impl Fn(&mut Draft<'_>) -> Result<T, Error>,
) -> Result<(T, model::Revision), Error> {
    let parts = control.inner();
    for _ in 0..TRIES {
        let base = parts.replica.now();
        let mut draft = Draft::new(Snapshot::clone(&base), caller, &parts.site, now());
        let outcome = decide(&mut draft)?;
        if draft.is_empty() {
            return Ok((outcome, base.revision));
        }
        match parts.store.commit(draft.batch).await {
            Ok(revision) => {
                parts.replica.at_least(revision).await;
                return Ok((outcome, revision));
            }
            Err(CommitError::Stale { current }) => {
                parts.replica.at_least(current).await;
            }
            Err(CommitError::ClaimTaken { key, holder }) => return Err(Error::Taken { what: key, holder }),
            Err(CommitError::Failed(error)) => return Err(Error::Store(error)),
        }
    }
    Err(Error::Busy)
}

impl<'a> Draft<'a> {
    pub(crate) fn new(state: Snapshot, caller: &'a Caller, site: &'a Site, now: Timestamp) -> Self {
        let batch = Batch { based_on: state.revision, ..Batch::default() };
        Self { state, caller, site, now, batch }
    }

    fn is_empty(&self) -> bool {
        let Batch { based_on: _, puts, deletes, releases, claims, traces: _ } = &self.batch;
        puts.is_empty() && deletes.is_empty() && releases.is_empty() && claims.is_empty()
    }

    /// Adds or replaces an object.
    pub(crate) fn put(&mut self, object: impl Into<Object>) {
        let object = object.into();
        self.state.put(object.clone());
        let key = object.key();
        self.batch.puts.retain(|earlier| earlier.key() != key);
        self.batch.puts.push(object);
    }

    /// Removes an object.
    pub(crate) fn delete(&mut self, key: ObjectKey) {
        self.state.remove(&key);
        self.batch.puts.retain(|earlier| earlier.key() != key);
        self.batch.deletes.push(key);
    }

    /// Takes something of which there is only one.
    pub(crate) fn claim(&mut self, key: String, holder: impl ToString) {
        self.batch.claims.push(Claim { key, holder: holder.to_string() });
    }

    /// Gives a claim up.
    pub(crate) fn release(&mut self, key: String) {
        self.batch.releases.push(key);
    }

    /// Adds an audit record.
    pub(crate) fn trace(&mut self, trace: Trace) {
        self.batch.traces.push(trace);
    }

    /// Refuses when the project would own more than its quota allows; `owned` counts the new ones too.
    pub(crate) fn quota(&self, key: QuotaKey, owned: usize) -> Result<(), Error> {
        let limit = crate::quota::limit(&self.state, self.site, self.caller.project, key);
        if limit >= 0 && owned as i64 > limit { Err(Error::QuotaExceeded { key, limit }) } else { Ok(()) }
    }

    pub(crate) fn load_balancer(&self, id: LoadBalancerId) -> Result<Arc<LoadBalancer>, Error> {
        let found = self.state.load_balancer(id).filter(|o| o.project == self.caller.project);
        found.cloned().ok_or_else(|| Error::not_found(Kind::LoadBalancer, id))
    }

    pub(crate) fn listener(&self, id: ListenerId) -> Result<Arc<Listener>, Error> {
        let found = self.state.listener(id).filter(|o| o.project == self.caller.project);
        found.cloned().ok_or_else(|| Error::not_found(Kind::Listener, id))
    }

    pub(crate) fn pool(&self, id: PoolId) -> Result<Arc<Pool>, Error> {
        let found = self.state.pool(id).filter(|o| o.project == self.caller.project);
        found.cloned().ok_or_else(|| Error::not_found(Kind::Pool, id))
    }

    pub(crate) fn member(&self, pool: PoolId, id: MemberId) -> Result<Arc<Member>, Error> {
        let found = self.state.member(id).filter(|o| o.project == self.caller.project && o.pool == pool);
        found.cloned().ok_or_else(|| Error::not_found(Kind::Member, id))
    }

    pub(crate) fn health_monitor(&self, id: HealthMonitorId) -> Result<Arc<HealthMonitor>, Error> {
        let found = self.state.health_monitor(id).filter(|o| o.project == self.caller.project);
        found.cloned().ok_or_else(|| Error::not_found(Kind::HealthMonitor, id))
    }

    /// The load balancers that a pool serves.
    pub(crate) fn load_balancers_of(&self, pool: &Pool) -> Vec<Arc<LoadBalancer>> {
        let ids = relations::load_balancers_of_pool(&self.state, pool);
        ids.into_iter().filter_map(|id| self.state.load_balancer(id).cloned()).collect()
    }

    #[cfg(test)]
    pub(crate) fn into_batch(self) -> Batch {
        self.batch
    }
}

/// The time of now.
pub(crate) fn now() -> Timestamp {
    // A clock before 1970 is a broken machine; the epoch is as good an answer as any.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(since.as_millis() as i64)
}

/// How often a command whose base was overtaken by another process is decided again.
const TRIES: u32 = 50;
