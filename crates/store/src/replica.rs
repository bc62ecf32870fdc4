//! The replica: the whole snapshot in memory, kept current by the feed.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use model::{Revision, Snapshot};
use tokio::sync::watch;

use crate::{Error, Feed, Store};

/// The newest snapshot of a store. Clones share it; it follows the store until the last clone is gone.
///
/// While the database is away it stands still and serves what it has; when the database is back it catches up.
#[derive(Clone)]
pub struct Replica {
    inner: Arc<Inner>,
}

struct Inner {
    now: ArcSwap<Snapshot>,
    published: watch::Sender<Arc<Snapshot>>,
}

impl Replica {
    /// Reads the first snapshot, then follows the feed.
    pub async fn start(store: Store) -> Result<Self, Error> {
        let revisions = store.revisions();
        let first = Arc::new(store.snapshot().await?);
        let (published, _) = watch::channel(first.clone());
        let inner = Arc::new(Inner { now: ArcSwap::new(first), published });
        tokio::spawn(follow(Arc::downgrade(&inner), store, revisions));
        Ok(Self { inner })
    }

    /// The newest snapshot.
    pub fn now(&self) -> Arc<Snapshot> {
        self.inner.now.load_full()
    }

    /// Wakes on every new snapshot; in between, several commits may have landed.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.inner.published.subscribe()
    }

    /// The newest snapshot, once it holds that revision: reads your own writes.
    pub async fn at_least(&self, revision: Revision) -> Arc<Snapshot> {
        let now = self.now();
        if now.revision >= revision {
            return now;
        }
        let mut published = self.watch();
        // The sender lives as long as `self`, so the wait cannot fail; the fallback is the newest there is.
        match published.wait_for(|snapshot| snapshot.revision >= revision).await {
            Ok(snapshot) => snapshot.clone(),
            Err(_) => self.now(),
        }
    }
}

async fn follow(inner: std::sync::Weak<Inner>, store: Store, mut revisions: watch::Receiver<Revision>) {
    loop {
        let Some(replica) = inner.upgrade() else { return };
        let now = replica.now.load_full();
        if *revisions.borrow_and_update() > now.revision {
            match next(&store, &now).await {
                Ok(snapshot) => {
                    let snapshot = Arc::new(snapshot);
                    replica.now.store(snapshot.clone());
                    replica.published.send_replace(snapshot);
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot follow the store; trying again"
                    );
                    tokio::time::sleep(AGAIN).await;
                }
            }
            continue;
        }
        drop(replica);
        if revisions.changed().await.is_err() {
            return;
        }
    }
}

/// The newest snapshot, from an older one and the feed where the feed reaches so far back.
async fn next(store: &Store, from: &Snapshot) -> Result<Snapshot, Error> {
    let Feed::Changes { changes, upto } = store.changes_after(from.revision).await? else {
        return store.snapshot().await;
    };
    let mut snapshot = from.clone();
    for change in changes {
        match change.object {
            Some(object) => snapshot.put(object),
            None => snapshot.remove(&change.key),
        }
    }
    snapshot.revision = upto;
    Ok(snapshot)
}

const AGAIN: Duration = Duration::from_millis(500);
