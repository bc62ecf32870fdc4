//! The control plane of this process: opened beside traffic, closed when another process takes over, opened again when that fails.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use control::{Control, Probes, bootstrap};
use dataplane::Dataplane;
use gateway::Parts;
use identity::{Caller, token::TokenKey};
use model::{
    Facts, Snapshot, SubnetId,
    member_check::{ProbeOutcome, ProbeWish},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{AbortHandle, JoinHandle},
};

use super::{Site, account, site, store};
use crate::{say, sd_notify};

/// How long the start waits for the node to run on what the store holds.
const APPLY_WAIT: Duration = Duration::from_secs(30);
/// How long the end waits for what goes into the store behind answers.
const SETTLE_WAIT: Duration = Duration::from_secs(2);
/// How often old entries of the feed are removed.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

/// The control plane of a process.
pub(super) struct ControlPlane {
    site: Arc<Site>,
    state: State,
    /// Whether somebody was told that it is open.
    announced: bool,
}

enum State {
    /// It is being opened.
    Opening(JoinHandle<anyhow::Result<Opened>>),
    /// The API is served.
    Open(Box<Opened>),
    /// Nobody here uses the store.
    Closed,
}

/// An open control plane.
struct Opened {
    store: ::store::Store,
    pruning: AbortHandle,
    endpoint: String,
    /// For the demo: who makes it, and where.
    control: Control,
    caller: Caller,
    subnet: SubnetId,
}

impl ControlPlane {
    /// Begins to open it. A store that is away is waited for where `waits`, else it ends the start.
    pub(super) fn open(site: Arc<Site>, waits: bool) -> Self {
        let state = State::Opening(tokio::spawn(open(site.clone(), waits)));
        Self { site, state, announced: false }
    }

    /// Begins to open it in a process that had it open before.
    pub(super) fn open_again(site: Arc<Site>) -> Self {
        let state = State::Opening(tokio::spawn(open(site.clone(), true)));
        Self { site, state, announced: true }
    }

    /// Waits until it is open.
    pub(super) async fn opened(&mut self) -> anyhow::Result<()> {
        if let State::Opening(opening) = &mut self.state {
            let opened = opening.await.context("opening the control plane")?;
            self.state = State::Open(Box::new(opened?));
        }
        Ok(())
    }

    /// Tells when it is open. Answers when it cannot be opened.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        let told = async {
            self.opened().await?;
            if let (State::Open(opened), false) = (&self.state, self.announced) {
                self.announced = true;
                announce(&self.site, opened).await?;
            }
            anyhow::Ok(())
        };
        match told.await {
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        }
    }

    /// Lets go of the store. Whether it was in use.
    pub(super) async fn close(&mut self) -> bool {
        let opened = match std::mem::replace(&mut self.state, State::Closed) {
            State::Closed => None,
            State::Open(opened) => Some(opened),
            State::Opening(opening) => {
                opening.abort();
                opening.await.ok().and_then(Result::ok).map(Box::new)
            }
        };
        let Some(opened) = opened else { return false };
        opened.pruning.abort();
        if tokio::time::timeout(SETTLE_WAIT, opened.control.settled()).await.is_err() {
            tracing::warn!("refused commands are not all in the audit");
        }
        if tokio::time::timeout(SETTLE_WAIT, opened.store.close()).await.is_err() {
            tracing::warn!("the database does not answer; its connections end with this process");
        }
        true
    }
}

/// Opens the store, makes what every site has, and opens the API.
async fn open(here: Arc<Site>, waits: bool) -> anyhow::Result<Opened> {
    let Site { config, traffic, gateway, .. } = &*here;
    let opened = store::open(config, &traffic.key, waits).await?;
    let replica = &opened.replica;
    here.shown.set(replica.clone());
    traffic.node.follow(replica.clone()).await;
    let control =
        Control::new(opened.store.clone(), replica.clone(), traffic.facts.clone(), site::site(config));
    control.probe_by(probes(traffic.dataplane.clone()));
    let (account, credentials) = account::first(config, here.address, &replica.now())?;
    let wanted = site::wanted(config, account, &replica.now())?;
    bootstrap::ensure(&control, &wanted)
        .await
        .context("the first account and the networks cannot be made")?;
    for difference in site::differences(config, &replica.now()) {
        tracing::warn!("the configuration says otherwise, but {difference}");
    }
    let pruning = tokio::spawn(prune(opened.store.clone(), config.store.keep_revisions)).abort_handle();
    let options = dialect_huawei::Options { strict_fields: config.api.strict_fields };
    gateway.open(Parts {
        snapshots: replica.watch(),
        token_key: TokenKey::new(traffic.key.derive("token")),
        region: config.region.to_string(),
        huawei: dialect_huawei::router(control.clone(), options),
    });
    wait_applied(&traffic.facts, &replica.now()).await;
    Ok(Opened {
        store: opened.store,
        pruning,
        endpoint: credentials.endpoint,
        control,
        caller: wanted.account.caller("demo"),
        subnet: credentials.subnet_id.parse()?,
    })
}

/// Where wishes for probes go: to this process's data plane.
fn probes(dataplane: Dataplane) -> Probes {
    let (wishes, mut wished) = mpsc::unbounded_channel::<ProbeWish<oneshot::Sender<ProbeOutcome>>>();
    tokio::spawn(async move {
        while let Some(ProbeWish { target, member, answer }) = wished.recv().await {
            let dataplane = dataplane.clone();
            tokio::spawn(async move {
                if let Some(outcome) = dataplane.probe(target, member).await {
                    // Whoever wished may have stopped waiting.
                    let _ = answer.send(outcome);
                }
            });
        }
    });
    wishes
}

/// Says that all is served, and what the demo is.
async fn announce(here: &Site, opened: &Opened) -> anyhow::Result<()> {
    sd_notify::ready();
    say(&format!("fulcrum: ready {}", opened.endpoint))?;
    if let (Some(sample), Some(zone)) = (&here.sample, here.config.zones.first()) {
        let Opened { control, caller, subnet, .. } = opened;
        let line = sample.balance(control, caller, *subnet, zone, &here.traffic.facts).await;
        let line = line.context("the demo cannot be set up")?;
        say(&format!("fulcrum: demo   {line}"))?;
    }
    Ok(())
}

/// Ready means that traffic runs on what the store holds. A node that does not get there is told, and readiness stays false
/// (`/readyz`), but the API helps to mend it.
async fn wait_applied(facts: &watch::Receiver<Arc<Facts>>, snapshot: &Snapshot) {
    let mut facts = facts.clone();
    let applied = facts.wait_for(|facts| facts.applied >= snapshot.revision);
    if tokio::time::timeout(APPLY_WAIT, applied).await.is_err() {
        tracing::error!(revision = %snapshot.revision, "traffic does not run on the newest revision yet");
    }
}

async fn prune(store: ::store::Store, keep: u64) {
    let mut turns = tokio::time::interval(PRUNE_EVERY);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        if let Err(error) = store.prune(keep).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "old entries of the change feed stay for now"
            );
        }
    }
}
