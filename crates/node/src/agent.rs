//! The agent: compile, apply, report.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use dataplane::{Dataplane, HealthChange};
use model::{Facts, Fault, ListenerId, MemberHealth, MemberId, Revision, Snapshot, TargetId, Timestamp};
use plan::Plan;
use store::{MasterKey, Replica};
use tokio::{
    sync::{Mutex, mpsc, oneshot, watch},
    time::Instant,
};

use crate::LastGood;

/// What a node needs to know of its machine.
#[derive(Clone)]
pub struct Config {
    /// Where the last good plan is kept.
    pub last_good: PathBuf,
    /// Seals the private keys in it.
    pub key: MasterKey,
    /// The clock, for the moments in facts.
    pub now: fn() -> Timestamp,
    /// What the process before this one knew of members, in an upgrade; what is not of the last good plan is left out.
    pub health: Vec<((TargetId, MemberId), MemberHealth)>,
}

/// A running agent. Clones share it.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    dataplane: Dataplane,
    last_good: LastGood,
    now: fn() -> Timestamp,
    facts: watch::Sender<Arc<Facts>>,
    to_save: watch::Sender<Option<Arc<Snapshot>>>,
    /// The revision on disk. One write at a time.
    saved: Mutex<Option<Revision>>,
    /// Follows a replica until something is sent here or it is dropped; tells when it does so no more by dropping its end.
    following: Mutex<Option<oneshot::Sender<oneshot::Sender<()>>>>,
    /// What runs. One apply at a time.
    running: Mutex<Arc<Plan>>,
    restored: Option<Revision>,
}

/// Serves the last good plan, if there is one, and begins to report. A plan that cannot be read is told in the log and left.
pub async fn start(config: Config, dataplane: Dataplane) -> (Node, watch::Receiver<Arc<Facts>>) {
    let last_good = LastGood::new(config.last_good, config.key);
    let restored = last_good.load().unwrap_or_else(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the last good plan cannot be used; waiting for the store"
        );
        None
    });
    let (facts, reported) = watch::channel(Arc::new(Facts::default()));
    let (to_save, saves) = watch::channel(None);
    let verdicts = dataplane.health();
    let node = Node {
        inner: Arc::new(Inner {
            dataplane,
            last_good,
            now: config.now,
            facts,
            to_save,
            saved: Mutex::new(restored.as_ref().map(|snapshot| snapshot.revision)),
            following: Mutex::default(),
            running: Mutex::default(),
            restored: restored.as_ref().map(|snapshot| snapshot.revision),
        }),
    };
    if let Some(snapshot) = &restored {
        node.inner.apply(snapshot).await;
        node.inner.note_known(config.health).await;
    }
    if let Some(verdicts) = verdicts {
        tokio::spawn(report_health(node.inner.clone(), verdicts));
    }
    tokio::spawn(report_faults(node.inner.clone()));
    tokio::spawn(keep(node.inner.clone(), saves));
    (node, reported)
}

impl Node {
    /// The revision of the last good plan that was served at start; none: there was none.
    pub fn restored(&self) -> Option<Revision> {
        self.inner.restored
    }

    /// Follows a replica from now on, and no other any more; ends with the replica.
    pub async fn follow(&self, replica: Replica) {
        self.rest().await;
        let (stop, stopped) = oneshot::channel();
        *self.inner.following.lock().await = Some(stop);
        tokio::spawn(follow(self.inner.clone(), replica, stopped));
    }

    /// Follows nothing any more. When this answers, traffic runs on what it ran on last, and that does not change.
    pub async fn rest(&self) {
        let Some(stop) = self.inner.following.lock().await.take() else { return };
        let (done, is_done) = oneshot::channel();
        if stop.send(done).is_ok() {
            // It is dropped in any case; then it is done.
            let _ = is_done.await;
        }
    }

    /// Writes the last good plan now, if a newer one waits to be written. For an orderly end.
    pub async fn save(&self) {
        self.inner.save().await;
    }
}

impl Inner {
    /// Makes the data plane run on a snapshot, and reports it.
    async fn apply(&self, snapshot: &Snapshot) {
        let mut running = self.running.lock().await;
        let plan = Arc::new(plan::compile(snapshot, Some(&running)));
        let applied = self.dataplane.apply(plan.clone()).await;
        *running = plan;
        self.facts.send_modify(|facts| {
            let facts = Arc::make_mut(facts);
            facts.applied = snapshot.revision;
            note_faults(facts, applied.faults, (self.now)());
        });
    }

    /// Takes over what is known of the members that are probed.
    async fn note_known(&self, known: Vec<((TargetId, MemberId), MemberHealth)>) {
        let running = self.running.lock().await;
        let is_probed = |((target, member), _): &((TargetId, MemberId), MemberHealth)| {
            let listener = running.listeners.get(&target.listener);
            let mut targets = listener.into_iter().flat_map(|l| l.default_target.iter().chain(&l.targets));
            targets.any(|t| t.id == *target && t.probe.is_some() && t.members.iter().any(|m| m.id == *member))
        };
        let known = known.into_iter().filter(is_probed).collect();
        self.facts.send_modify(|facts| Arc::make_mut(facts).health = known);
    }

    /// Writes the newest snapshot to disk, unless it is there.
    async fn save(&self) {
        let mut saved = self.saved.lock().await;
        let newest = self.to_save.borrow().clone();
        if let Some(snapshot) = newest.filter(|snapshot| *saved != Some(snapshot.revision)) {
            let revision = snapshot.revision;
            if write(self.last_good.clone(), snapshot).await {
                *saved = Some(revision);
            }
        }
    }
}

async fn follow(inner: Arc<Inner>, replica: Replica, mut stopped: oneshot::Receiver<oneshot::Sender<()>>) {
    let mut snapshots = replica.watch();
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        inner.apply(&snapshot).await;
        inner.to_save.send_replace(Some(snapshot));
        tokio::select! {
            changed = snapshots.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(FULL_LOOK_EVERY) => {}
            done = &mut stopped => return drop(done),
        }
    }
}

/// Keeps the faults of the facts equal to what the data plane tells; a fault keeps the moment when it began.
fn note_faults(facts: &mut Facts, told: Vec<(ListenerId, String)>, now: Timestamp) {
    let named: BTreeSet<ListenerId> = told.iter().map(|(id, _)| *id).collect();
    let gone: Vec<_> = facts.faults.keys().filter(|id| !named.contains(id)).copied().collect();
    for id in gone {
        facts.faults.remove(&id);
        tracing::info!(listener = %id, "the listener works now");
    }
    for (id, reason) in told {
        if facts.faults.get(&id).is_none_or(|fault| fault.reason != reason) {
            tracing::error!(listener = %id, reason, "the listener does not work");
            facts.faults.insert(id, Fault { reason, since: now });
        }
    }
}

/// Binding is tried again by the data plane itself; what comes of it is reported here.
async fn report_faults(inner: Arc<Inner>) {
    let mut told = inner.dataplane.faults();
    while told.changed().await.is_ok() {
        let faults = told.borrow_and_update().clone();
        inner.facts.send_modify(|facts| note_faults(Arc::make_mut(facts), faults, (inner.now)()));
    }
}

async fn report_health(inner: Arc<Inner>, mut verdicts: mpsc::UnboundedReceiver<HealthChange>) {
    let mut batch = Vec::new();
    while verdicts.recv_many(&mut batch, HEALTH_BATCH).await > 0 {
        inner.facts.send_modify(|facts| {
            let health = &mut Arc::make_mut(facts).health;
            for change in batch.drain(..) {
                let key = (change.target, change.member);
                match change.health {
                    Some(verdict) => health.insert(key, verdict),
                    None => health.remove(&key),
                };
            }
        });
    }
}

/// Writes the newest snapshot to disk, off the way of changes. The first change of a burst is written at once; then comes a pause in
/// proportion to what the write cost, so a small site is nearly always up to date on disk, and a large one spends little on it.
async fn keep(inner: Arc<Inner>, mut saves: watch::Receiver<Option<Arc<Snapshot>>>) {
    while saves.changed().await.is_ok() {
        saves.mark_unchanged();
        let begin = Instant::now();
        inner.save().await;
        let took = begin.elapsed();
        let rest = if took < SAVE_CHEAP { took } else { took * SAVE_REST };
        tokio::time::sleep(rest.min(SAVE_PAUSE_MAX)).await;
    }
}

/// Whether it is on disk now.
async fn write(last_good: LastGood, snapshot: Arc<Snapshot>) -> bool {
    let written = tokio::task::spawn_blocking(move || last_good.save(&snapshot)).await;
    if let Ok(Err(error)) = &written {
        tracing::error!(error = error as &dyn std::error::Error, "the last good plan could not be written");
    }
    matches!(written, Ok(Ok(())))
}

/// A notification may be lost; this look finds what it would have told.
const FULL_LOOK_EVERY: Duration = Duration::from_secs(30);
/// A write that is quicker is followed by a pause as long as itself, a slower one by a pause that many times as long. A restart within the
/// pause finds the older plan, and the store's feed brings the rest.
const SAVE_CHEAP: Duration = Duration::from_millis(20);
const SAVE_REST: u32 = 8;
const SAVE_PAUSE_MAX: Duration = Duration::from_secs(1);
const HEALTH_BATCH: usize = 1024;
