//! The handle on the data plane: start it, give it plans, hear of health, let it drain.

mod agreed_tls;
mod change;
mod state;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::Duration,
};

use model::{ListenerId, MemberId, TargetId, Timestamp, member_check::ProbeOutcome};
use plan::Plan;
use telemetry::Registry;
use tokio::sync::{mpsc, oneshot, watch};

use self::{change::Changes, state::State};
use crate::{
    Config, HealthChange,
    handover::{Heirlooms, Inheritance},
    http3,
    limits::Limits,
    ocsp, probe, source,
    target::Reports,
    tls::ShownCertificates,
    worker::{self, Change, Farewell},
};

/// The running data plane. A clone is another handle on the same.
#[derive(Clone)]
pub struct Dataplane(Arc<Inner>);

/// What came of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Listeners that are not, or not wholly, in force, with the reason in words.
    pub faults: Vec<(ListenerId, String)>,
}

struct Inner {
    config: Config,
    registry: Registry,
    workers: Vec<mpsc::UnboundedSender<worker::Order>>,
    certificates: ShownCertificates,
    prober: mpsc::UnboundedSender<probe::Order>,
    asks: mpsc::UnboundedSender<probe::Ask>,
    /// Where workers tell of members that fail.
    reports: Reports,
    news: Mutex<Option<mpsc::UnboundedReceiver<HealthChange>>>,
    faults: watch::Sender<Vec<(ListenerId, String)>>,
    state: tokio::sync::Mutex<State>,
}

/// How often addresses that could not be listened on are tried again.
const REBIND_EVERY: Duration = Duration::from_secs(2);

/// Starts workers and prober. `registry` gets the counters, `now` says the time of verdicts.
///
/// # Errors
/// When a thread or a runtime cannot be had, or the process may not do what the configuration asks for.
pub fn start(config: Config, registry: Registry, now: fn() -> Timestamp) -> io::Result<Dataplane> {
    begin(config, registry, now, None)
}

/// As [`start`], with what another process had. Nothing is accepted before [`Dataplane::accept`].
///
/// # Errors
/// When a thread or a runtime cannot be had, or the process may not do what the configuration asks for.
pub fn take_over(
    config: Config,
    registry: Registry,
    now: fn() -> Timestamp,
    inheritance: Inheritance,
) -> io::Result<Dataplane> {
    begin(config, registry, now, Some(inheritance))
}

fn begin(
    config: Config,
    registry: Registry,
    now: fn() -> Timestamp,
    inheritance: Option<Inheritance>,
) -> io::Result<Dataplane> {
    let config = Config { workers: config.workers.max(1), ..config };
    if config.transparent_client_address {
        source::check()?;
    }
    let limits = Arc::new(Limits::new(config.connections_max, config.workers));
    let inner: Arc<OnceLock<Weak<Inner>>> = Arc::default();
    let probe::Lines { orders: prober, asks, reports, news } =
        probe::start(now, registry.clone(), config.workers, keep_binding(inner.clone()))?;
    let stapler =
        config.ocsp_stapling.map(|settings| ocsp::start(settings, registry.clone(), now)).transpose()?;
    let workers = (0..config.workers)
        .map(|index| {
            worker::start(index, config.clone(), limits.clone(), registry.clone(), inheritance.is_some())
        })
        .collect::<io::Result<_>>()?;
    let dataplane = Dataplane(Arc::new(Inner {
        config,
        registry,
        workers,
        certificates: ShownCertificates::new(stapler),
        prober,
        asks,
        reports,
        news: Mutex::new(Some(news)),
        faults: watch::Sender::default(),
        state: tokio::sync::Mutex::new(State {
            took_over: inheritance.is_some(),
            heirlooms: inheritance.map(Heirlooms::from).unwrap_or_default(),
            ..State::default()
        }),
    }));
    inner.get_or_init(|| Arc::downgrade(&dataplane.0));
    Ok(dataplane)
}

impl Dataplane {
    /// Puts a plan in force: what changed since the plan before, and nothing else. Answers when every worker runs on it.
    ///
    /// Listeners that cannot be bound are faults, not errors: they are tried again with the next plan and every 2 s, and
    /// [`Dataplane::faults`] tells when that changes.
    pub async fn apply(&self, plan: Arc<Plan>) -> Applied {
        let mut state = self.0.state.lock().await;
        let changes = state.changes_to(&plan);
        state.plan = Some(plan);
        self.carry_out(&mut state, changes).await;
        let faults = state.faults();
        self.publish(&faults);
        Applied { faults }
    }

    /// News of health; the receiver can be taken once.
    pub fn health(&self) -> Option<mpsc::UnboundedReceiver<HealthChange>> {
        self.0.news.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Listeners that are not in force, with the reason; changes whenever that changes.
    pub fn faults(&self) -> watch::Receiver<Vec<(ListenerId, String)>> {
        self.0.faults.subscribe()
    }

    /// What a process that takes over gets of this one, but for the health of members, which is the caller's to add: other descriptors
    /// of all listening sockets, and what clients resume sessions by. Until [`Dataplane::accept`] nothing that failed is bound again.
    ///
    /// # Errors
    /// When descriptors run out, or a worker has ended.
    pub async fn lend(&self) -> io::Result<Inheritance> {
        let mut state = self.0.state.lock().await;
        state.lent = true;
        let mut answers = Vec::new();
        let ordered = self.order(|| {
            let (to, answer) = oneshot::channel();
            answers.push(answer);
            vec![Change::Lend(to)]
        });
        wait(ordered).await;
        let mut inheritance = Inheritance::default();
        let mut quic: BTreeMap<SocketAddr, Vec<http3::LentSocket>> = BTreeMap::new();
        for answer in answers {
            let lent = answer.await.map_err(|_| io::Error::other("a worker has ended"))??;
            inheritance.sockets.extend(lent.sockets);
            for socket in lent.quic {
                quic.entry(socket.sockets.address).or_default().push(socket);
            }
        }
        for lent in quic.into_values() {
            if let Some(sockets) = lent.first().map(|socket| socket.sockets.clone()) {
                inheritance.quic.push(sockets.lend(lent)?);
            }
        }
        inheritance.resumptions = state.lend_resumptions();
        Ok(inheritance)
    }

    /// Leaves new connections in the kernel's queues from now on. Connections that are open go on.
    pub async fn hold(&self) {
        wait(self.order(|| vec![Change::Hold(true)])).await;
    }

    /// Takes new connections, after [`Dataplane::hold`] or [`take_over`]. What was inherited and is not in use is let go.
    pub async fn accept(&self) {
        let mut state = self.0.state.lock().await;
        state.lent = false;
        for address in std::mem::take(&mut state.heirlooms).unclaimed() {
            tracing::info!(%address, "no listener wants this inherited socket; it is closed");
        }
        state.place_quic();
        wait(self.order(|| vec![Change::Hold(false)])).await;
    }

    /// Stops accepting, closes idle connections, and returns when all others have ended or `limit` is over.
    pub async fn drain(&self, limit: Duration) {
        self.end(Farewell::Close, limit).await;
    }

    /// As [`Dataplane::drain`], when another process accepts from the same sockets: they are left as they are.
    pub async fn drain_after_handover(&self, limit: Duration) {
        self.end(Farewell::Leave, limit).await;
    }

    async fn end(&self, farewell: Farewell, limit: Duration) {
        let mut state = self.0.state.lock().await;
        if state.draining {
            return;
        }
        state.draining = true;
        let done = self.order(|| vec![Change::Drain(farewell)]);
        // At the limit the process ends, and with it what is left.
        let _ = tokio::time::timeout(limit, wait(done)).await;
    }

    /// Probes a member now, as the health monitor of its target says, without any effect on its verdict. None when the probe could not
    /// be made.
    pub async fn probe(&self, target: TargetId, member: MemberId) -> Option<ProbeOutcome> {
        let (answer, outcome) = oneshot::channel();
        self.0.asks.send(probe::Ask { target, member, answer }).ok()?;
        outcome.await.ok()
    }

    /// Tries again to bind what could not be bound.
    async fn rebind(&self) {
        let mut state = self.0.state.lock().await;
        if state.draining || state.lent {
            return;
        }
        let failed = state.failed();
        if failed.is_empty() {
            return;
        }
        let changes = Changes { set: failed, removed: Vec::new(), first: false };
        self.carry_out(&mut state, changes).await;
        self.publish(&state.faults());
    }

    /// Gives every worker an order.
    fn order(&self, mut changes: impl FnMut() -> Vec<Change>) -> Vec<oneshot::Receiver<()>> {
        let order = |worker: &mpsc::UnboundedSender<worker::Order>| {
            let (done, wait) = oneshot::channel();
            // A worker that is gone is noticed by whoever waits.
            let _ = worker.send(worker::Order { changes: changes(), done });
            wait
        };
        self.0.workers.iter().map(order).collect()
    }

    fn publish(&self, faults: &[(ListenerId, String)]) {
        self.0.faults.send_if_modified(|known| {
            let changed = known != faults;
            if changed {
                *known = faults.to_vec();
            }
            changed
        });
    }
}

async fn wait(done: Vec<oneshot::Receiver<()>>) {
    for worker in done {
        if worker.await.is_err() {
            tracing::error!("a worker has ended; its share of new connections is lost until the restart");
        }
    }
}

async fn keep_binding(dataplane: Arc<OnceLock<Weak<Inner>>>) {
    let mut every = tokio::time::interval(REBIND_EVERY);
    loop {
        every.tick().await;
        let Some(weak) = dataplane.get() else { continue };
        let Some(inner) = weak.upgrade() else { return };
        Dataplane(inner).rebind().await;
    }
}
