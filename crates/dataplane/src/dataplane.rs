//! The handle on the data plane: start it, give it plans, hear of health, let it drain.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::Duration,
};

use imbl::ordmap::DiffItem;
use model::{ListenerId, MemberId, PolicyId, TargetId, Timestamp, Verdict, member_check::ProbeOutcome};
use plan::{ListenerPlan, Plan, ServicePlan, TargetPlan, TlsPlan};
use telemetry::Registry;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    Config, HealthChange,
    bind::CannotListen,
    carried_out, clock,
    handover::{Heirlooms, Inheritance, ListeningSocket},
    http3,
    limits::{AllCaps, Bounds, Limits, PolicyLimit},
    ocsp, probe,
    target::{Reports, SharedTarget},
    tls::{ShownCertificates, Terms},
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

/// What is in force.
#[derive(Default)]
struct State {
    plan: Option<Arc<Plan>>,
    listeners: BTreeMap<ListenerId, InForce>,
    heirlooms: Heirlooms,
    caps: AllCaps,
    /// Sockets of QUIC, also those that serve the last clients of a listener that is gone.
    quic: BTreeMap<SocketAddr, Weak<http3::Sockets>>,
    /// Whether the sockets were lent to a process that takes over: none is bound beside them.
    lent: bool,
    draining: bool,
}

struct InForce {
    bound: BTreeSet<SocketAddr>,
    targets: Targets,
    limiters: Limiters,
    tls: AgreedTls,
    /// What the plan says by itself that it cannot do.
    plan_fault: Option<String>,
    /// Why an address is not listened on; that may heal by itself.
    bind_fault: Option<String>,
}

impl InForce {
    fn fault(&self) -> Option<&String> {
        self.plan_fault.as_ref().or(self.tls.fault()).or(self.bind_fault.as_ref())
    }
}

/// The TLS of a listener.
#[derive(Clone, Default)]
struct AgreedTls {
    terms: Option<Arc<Terms>>,
    /// The newest plan, if it cannot be carried out, and why. That does not heal by itself.
    unfit: Option<(Arc<TlsPlan>, String)>,
}

/// The targets of a listener: of its default pool and of the pools that its policies name.
type Targets = BTreeMap<TargetId, Arc<SharedTarget>>;

/// The limiters of a listener's policies that have limits. A limiter lives as long as its limit stays the same, so that a change of
/// something else gives nobody anew what they used.
type Limiters = BTreeMap<PolicyId, Arc<PolicyLimit>>;

/// How often addresses that could not be listened on are tried again.
const REBIND_EVERY: Duration = Duration::from_secs(2);

/// Starts workers and prober. `registry` gets the counters, `now` says the time of verdicts.
///
/// # Errors
/// When a thread or a runtime cannot be had.
pub fn start(config: Config, registry: Registry, now: fn() -> Timestamp) -> io::Result<Dataplane> {
    begin(config, registry, now, None)
}

/// As [`start`], with what another process had. Nothing is accepted before [`Dataplane::accept`].
///
/// # Errors
/// When a thread or a runtime cannot be had.
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

    /// Other descriptors of all listening sockets, for a process that takes over. Until [`Dataplane::accept`] nothing that failed
    /// is bound again.
    ///
    /// # Errors
    /// When descriptors run out, or a worker has ended.
    pub async fn lend(&self) -> io::Result<Vec<ListeningSocket>> {
        self.0.state.lock().await.lent = true;
        let mut answers = Vec::new();
        let ordered = self.order(|| {
            let (to, answer) = oneshot::channel();
            answers.push(answer);
            vec![Change::Lend(to)]
        });
        wait(ordered).await;
        let mut lent = Vec::new();
        for answer in answers {
            let sockets = answer.await.map_err(|_| io::Error::other("a worker has ended"))??;
            lent.extend(sockets);
        }
        Ok(lent)
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
        let is_bound = |listener: &InForce| listener.bind_fault.is_none();
        if state.draining || state.lent || state.listeners.values().all(is_bound) {
            return;
        }
        let plan = state.plan.clone().unwrap_or_default();
        let failed = state.listeners.iter().filter(|(_, listener)| listener.bind_fault.is_some());
        let changes = Changes {
            set: failed.filter_map(|(id, _)| plan.listeners.get(id).cloned()).collect(),
            removed: Vec::new(),
            first: false,
        };
        self.carry_out(&mut state, changes).await;
        self.publish(&state.faults());
    }

    async fn carry_out(&self, state: &mut State, changes: Changes) {
        let mut for_workers: Vec<Vec<Change>> = self.0.workers.iter().map(|_| Vec::new()).collect();
        let mut for_prober: Vec<(TargetId, Option<Arc<SharedTarget>>)> = Vec::new();
        let mut gone: Vec<Gone> = Vec::new();
        for id in changes.removed {
            let Some(listener) = state.listeners.remove(&id) else { continue };
            for worker in &mut for_workers {
                worker.push(Change::Removed(id));
            }
            gone.push(Gone::Listener(id));
            for (id, target) in listener.targets {
                gone.extend(members_gone(&target.plan, None));
                for_prober.push((id, None));
            }
        }
        for (count, plan) in changes.set.into_iter().enumerate() {
            if count % BINDS_PER_TURN == BINDS_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            self.set(state, plan, changes.first, &mut for_workers, &mut for_prober, &mut gone);
        }
        if !for_prober.is_empty() {
            let (done, prober_done) = oneshot::channel();
            // A prober that is gone leaves verdicts as they are.
            let known = state.heirlooms.health.clone();
            let _ = self.0.prober.send(probe::Order { targets: for_prober, known, done });
            let _ = prober_done.await;
        }
        if for_workers.iter().any(|changes| !changes.is_empty()) {
            let mut for_workers = for_workers.into_iter();
            wait(self.order(|| for_workers.next().unwrap_or_default())).await;
        }
        for gone in gone {
            match gone {
                Gone::Listener(id) => self.0.registry.listener_gone(id),
                Gone::Member(target, member) => self.0.registry.member_gone(target, member),
            }
        }
    }

    fn set(
        &self,
        state: &mut State,
        plan: Arc<ListenerPlan>,
        trust: bool,
        for_workers: &mut [Vec<Change>],
        for_prober: &mut Vec<(TargetId, Option<Arc<SharedTarget>>)>,
        gone: &mut Vec<Gone>,
    ) {
        let former = state.listeners.remove(&plan.id);
        let (mut bound, former_targets, former_limiters, former_tls) =
            former.map(|f| (f.bound, f.targets, f.limiters, f.tls)).unwrap_or_default();

        let missing = carried_out::missing(&plan);
        let wanted: BTreeSet<SocketAddr> = match &missing {
            None => plan.endpoints.iter().flat_map(|endpoint| endpoint.addresses()).collect(),
            Some(_) => BTreeSet::new(),
        };
        let closed: Vec<SocketAddr> = bound.difference(&wanted).copied().collect();
        let quic = matches!(plan.service, ServicePlan::Quic(_));
        let (mut opened, mut opened_quic, mut bind_fault) = (Vec::new(), Vec::new(), None);
        for address in wanted.difference(&bound).copied() {
            if quic {
                match state.quic_sockets(address, for_workers.len()) {
                    Ok(sockets) => opened_quic.push(sockets),
                    Err(error) => bind_fault = Some(error.to_string()),
                }
                continue;
            }
            match state.heirlooms.sockets(plan.service.transport(), address, for_workers.len()) {
                Ok(sockets) => opened.push((address, sockets)),
                Err(error) => bind_fault = Some(error.to_string()),
            }
        }
        let tls = former_tls.next(plan.tls.as_ref(), |plan, former| {
            let make = if quic { Terms::of_quic } else { Terms::new };
            make(&self.0.certificates, plan, former).map_err(|error| in_words(&error))
        });
        let plan_fault = missing.or(plan.faults.first().cloned());
        bound.retain(|address| wanted.contains(address));
        bound.extend(opened.iter().map(|(address, _)| *address));
        bound.extend(opened_quic.iter().map(|sockets| sockets.address));

        // A listener that is moved to another pool, or gets one more, serves on while the first probes run.
        let trust_new = trust || !former_targets.is_empty();
        let mut targets = Targets::new();
        for target in plan.default_target.iter().chain(&plan.targets) {
            targets.entry(target.id).or_insert_with(|| match former_targets.get(&target.id) {
                Some(same) if Arc::ptr_eq(&same.plan, target) => same.clone(),
                former => {
                    let trust = if former.is_some() { trust } else { trust_new };
                    let known = |member| state.heirlooms.health.get(&(target.id, member));
                    let trusts = |member| known(member).map_or(trust, |verdict| *verdict == Verdict::Up);
                    SharedTarget::new(
                        target.clone(),
                        self.0.config.workers,
                        former.map(Arc::as_ref),
                        trusts,
                        &self.0.reports,
                        clock::now_ms(),
                    )
                }
            });
        }
        for (id, former) in &former_targets {
            let now = targets.get(id);
            gone.extend(members_gone(&former.plan, now.map(|target| &*target.plan)));
            if now.is_none() {
                for_prober.push((*id, None));
            }
        }
        for (id, target) in &targets {
            if former_targets.get(id).is_none_or(|former| !Arc::ptr_eq(former, target)) {
                for_prober.push((*id, Some(target.clone())));
            }
        }

        let limiters: Limiters = plan
            .policies
            .iter()
            .filter_map(|policy| {
                let former = former_limiters.get(&policy.id).filter(|former| former.is_of(policy));
                Some((policy.id, former.cloned().or_else(|| PolicyLimit::new(policy).map(Arc::new))?))
            })
            .collect();
        let caps = state.caps.of(&plan, self.0.config.workers as u16);
        for (worker, changes) in for_workers.iter_mut().enumerate().rev() {
            let opened = opened
                .iter_mut()
                .flat_map(|(address, sockets)| {
                    debug_assert_eq!(
                        sockets.len(),
                        worker + 1,
                        "a share for every worker that has not got one"
                    );
                    sockets.pop().unwrap_or_default().into_iter().map(|socket| (*address, socket))
                })
                .collect();
            let targets = targets.values().cloned().collect();
            let (plan, closed) = (plan.clone(), closed.clone());
            let bounds = Bounds { policies: limiters.clone(), caps: caps.clone() };
            let (tls, opened_quic) = (tls.terms.clone(), opened_quic.clone());
            changes.push(Change::Listener { plan, targets, bounds, tls, opened, opened_quic, closed });
        }
        state.listeners.insert(plan.id, InForce { bound, targets, limiters, tls, plan_fault, bind_fault });
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

impl AgreedTls {
    /// What the next plan makes of it. Where a plan cannot be carried out, what was agreed to before goes on; `build` is asked once
    /// about a plan.
    fn next(
        self,
        plan: Option<&Arc<TlsPlan>>,
        build: impl FnOnce(&Arc<TlsPlan>, Option<&Terms>) -> Result<Arc<Terms>, String>,
    ) -> Self {
        let Some(plan) = plan else { return Self::default() };
        if self.unfit.as_ref().is_some_and(|(unfit, _)| Arc::ptr_eq(unfit, plan)) {
            return self;
        }
        if self.terms.as_ref().is_some_and(|terms| Arc::ptr_eq(&terms.plan, plan)) {
            return Self { unfit: None, ..self };
        }
        match build(plan, self.terms.as_deref()) {
            Ok(terms) => Self { terms: Some(terms), unfit: None },
            Err(why) => Self { unfit: Some((plan.clone(), why)), ..self },
        }
    }

    fn fault(&self) -> Option<&String> {
        self.unfit.as_ref().map(|(_, why)| why)
    }
}

/// An error with its causes.
fn in_words(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Listeners handled between two chances for other tasks of the caller's runtime.
const BINDS_PER_TURN: usize = 256;

/// What differs between the plan in force and the next.
struct Changes {
    set: Vec<Arc<ListenerPlan>>,
    removed: Vec<ListenerId>,
    /// Whether nothing was in force before: what is in the plan was in force before a restart.
    first: bool,
}

/// Whose series of counters end when workers no longer count into them.
enum Gone {
    Listener(ListenerId),
    Member(TargetId, model::MemberId),
}

fn members_gone(former: &TargetPlan, now: Option<&TargetPlan>) -> Vec<Gone> {
    let stays = |id| now.is_some_and(|now| now.id == former.id && now.members.iter().any(|m| m.id == id));
    let left = former.members.iter().filter(|member| !stays(member.id));
    left.map(|member| Gone::Member(former.id, member.id)).collect()
}

impl State {
    /// The sockets of an address of QUIC: those that are there, or new ones.
    fn quic_sockets(
        &mut self,
        address: SocketAddr,
        workers: usize,
    ) -> Result<Arc<http3::Sockets>, CannotListen> {
        if let Some(sockets) = self.quic.get(&address).and_then(Weak::upgrade) {
            return Ok(sockets);
        }
        let sockets = http3::Sockets::bind(address, workers)?;
        self.quic.retain(|_, known| known.strong_count() > 0);
        self.quic.insert(address, Arc::downgrade(&sockets));
        Ok(sockets)
    }

    fn changes_to(&self, plan: &Plan) -> Changes {
        let Some(before) = &self.plan else {
            return Changes { set: plan.listeners.values().cloned().collect(), removed: vec![], first: true };
        };
        let mut changes = Changes { set: vec![], removed: vec![], first: false };
        for item in before.listeners.diff(&plan.listeners) {
            match item {
                DiffItem::Add(_, listener) => changes.set.push(listener.clone()),
                DiffItem::Update { old: (_, old), new: (_, new) } => {
                    if speaks_alike(old, new) {
                        changes.set.push(new.clone());
                    } else {
                        changes.removed.push(old.id);
                        changes.set.push(new.clone());
                    }
                }
                DiffItem::Remove(id, _) => changes.removed.push(*id),
            }
        }
        let failed = self.listeners.iter().filter(|(_, listener)| listener.bind_fault.is_some());
        for (id, _) in failed {
            if let Some(listener) = plan.listeners.get(id)
                && !changes.set.iter().any(|set| set.id == *id)
            {
                changes.set.push(listener.clone());
            }
        }
        changes
    }

    fn faults(&self) -> Vec<(ListenerId, String)> {
        let fault = |(id, listener): (&ListenerId, &InForce)| Some((*id, listener.fault()?.clone()));
        self.listeners.iter().filter_map(fault).collect()
    }
}

/// Whether two plans of a listener speak the same protocol. (It is immutable by the API; a restored store may differ.)
fn speaks_alike(one: &ListenerPlan, other: &ListenerPlan) -> bool {
    let alike = match &one.service {
        ServicePlan::Tcp => matches!(other.service, ServicePlan::Tcp),
        ServicePlan::Udp => matches!(other.service, ServicePlan::Udp),
        ServicePlan::Tls => matches!(other.service, ServicePlan::Tls),
        ServicePlan::Http(_) => matches!(other.service, ServicePlan::Http(_)),
        ServicePlan::Quic(_) => matches!(other.service, ServicePlan::Quic(_)),
    };
    alike && one.tls.is_some() == other.tls.is_some()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Arc<TlsPlan> {
        Arc::new(TlsPlan {
            certificates: Vec::new(),
            default: Vec::new(),
            names: BTreeMap::new(),
            sni_match: model::listener::SniMatch::Wildcard,
            client_ca: None,
            versions: vec![model::TlsVersion::V13],
            suites: vec!["TLS_AES_128_GCM_SHA256".to_owned()],
            http: true,
            alpn_h2: false,
            early_data: false,
        })
    }

    #[test]
    fn terms_that_cannot_be_made_are_tried_once_for_each_plan() {
        let certificates = ShownCertificates::new(None);
        let asked = std::cell::Cell::new(0);
        let refuse = |_: &Arc<TlsPlan>, _: Option<&Terms>| {
            asked.set(asked.get() + 1);
            Err(format!("refused {} times", asked.get()))
        };
        let make = |plan: &Arc<TlsPlan>, former: Option<&Terms>| {
            asked.set(asked.get() + 1);
            Terms::new(&certificates, plan, former).map_err(|error| in_words(&error))
        };
        let (bad, good, other) = (plan(), plan(), plan());
        let unfit = AgreedTls::default().next(Some(&bad), refuse);
        let again = unfit.clone().next(Some(&bad), refuse);
        assert_eq!((asked.get(), again.fault().map(String::as_str)), (1, Some("refused 1 times")));
        assert!(again.terms.is_none());

        let agreed = again.next(Some(&good), make);
        assert_eq!((asked.get(), agreed.fault()), (2, None));
        let kept = agreed.next(Some(&other), refuse);
        assert_eq!(kept.fault().map(String::as_str), Some("refused 3 times"));
        assert!(
            kept.terms.as_ref().is_some_and(|terms| Arc::ptr_eq(&terms.plan, &good)),
            "what was agreed to goes on"
        );
        let back = kept.next(Some(&good), refuse);
        assert_eq!((asked.get(), back.fault()), (3, None), "what is in force needs no making");
        assert!(back.next(None, refuse).terms.is_none());
    }
}
