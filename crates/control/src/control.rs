//! What every verb needs: the store, its replica, the node's facts, the site.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use identity::Caller;
use model::{Facts, QuotaKey, Revision, Snapshot, Zone};
use store::{Replica, Store};
use tokio::sync::{Mutex, watch};

use crate::{View, audit::Refusals, member_check::Checks};

/// The control plane of a site. Clones share it.
#[derive(Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) replica: Replica,
    pub(crate) site: Arc<Site>,
    /// Commands of this process take turns, so that they do not make each other stale.
    pub(crate) turn: Mutex<()>,
    pub(crate) refusals: Refusals,
    facts: watch::Receiver<Arc<Facts>>,
    pub(crate) checks: Checks,
}

/// What the operator's configuration says about the site.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// The region's name.
    pub region: String,
    /// Its zones; all of one set.
    pub zones: Vec<Zone>,
    /// Limits for projects without a quota of their own; a key that is not here has the built-in default.
    pub quotas: BTreeMap<QuotaKey, i64>,
}

impl Control {
    /// Puts the parts together. `facts` comes from the local node; when its sender is gone, commands answer after their commit.
    pub fn new(store: Store, replica: Replica, facts: watch::Receiver<Arc<Facts>>, site: Site) -> Self {
        let (site, turn, refusals) = (Arc::new(site), Mutex::new(()), Refusals::default());
        let checks = Checks::default();
        let inner = Inner { store, replica, site, turn, refusals, facts, checks };
        Self { inner: Arc::new(inner) }
    }

    /// Waits until what goes into the store behind an answer, traces of refused commands, is there.
    pub async fn settled(&self) {
        self.inner.refusals.written().await;
    }

    /// What a caller's project may see now.
    pub fn view(&self, caller: &Caller) -> View {
        View {
            snapshot: self.snapshot(),
            facts: self.facts(),
            project: caller.project,
            site: self.inner.site.clone(),
        }
    }

    /// The newest snapshot, of all projects.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.replica.now()
    }

    /// The newest facts of the local node.
    pub fn facts(&self) -> Arc<Facts> {
        self.inner.facts.borrow().clone()
    }

    /// The site.
    pub fn site(&self) -> &Site {
        &self.inner.site
    }

    /// The store, for what needs no rule: reading audit traces.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Waits until the local node runs on a revision. Traffic may lag behind a durable change, so the wait is bounded.
    pub(crate) async fn applied(&self, revision: Revision) {
        let mut facts = self.inner.facts.clone();
        let wait = facts.wait_for(|facts| facts.applied >= revision);
        if tokio::time::timeout(APPLY_WAIT, wait).await.is_err() {
            tracing::warn!(%revision, "the change is durable, but the node does not run on it yet");
        }
    }
}

const APPLY_WAIT: Duration = Duration::from_secs(5);
