//! The prober: one thread that probes every member of every target with a health monitor.
//!
//! Each (target, member) has a task: it waits for its moment ([`ProbeSchedule`]), probes, and feeds the outcome to the state
//! machine ([`Health`]). A changed verdict becomes a bit that workers read, and a [`HealthChange`] with its reason.
//!
//! Over changes of the plan a member keeps its verdict: with the same settings its row of probes goes on; with others the
//! verdict holds until the first new result, which counts at once. A member that is new in a probed target gets no work before
//! its first result (open-questions.md row 22), except in the first plan of a process: there, what was in force before the
//! restart is taken to be usable until a probe says otherwise. After an upgrade the verdicts of the process before hold, and the
//! thresholds count from them.
//!
//! Where a pool leaves members out that fail their work, workers report here, too, as one must decide what both mean ([`Ejections`]).
//!
//! What it does not do: it keeps no history, and it does not know which traffic a member gets.

mod datagram;
mod ejections;
mod grpc;
mod http;
mod once;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use balance::{Health, Probe, ProbeSchedule, Thresholds};
use model::{
    MemberHealth, MemberId, ProbeFailure, TargetId, Timestamp, Verdict, member_check::ProbeOutcome,
    target::ProbeSettings,
};
use telemetry::Registry;
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{Semaphore, mpsc, oneshot},
    task::AbortHandle,
};

use self::{ejections::Ejections, once::Manner};
use crate::{
    clock,
    handover::Verdicts,
    target::{Report, Reports, SharedTarget},
};

/// News about a member's health in a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthChange {
    /// The target.
    pub target: TargetId,
    /// The member.
    pub member: MemberId,
    /// Its health; none: it is no longer probed, and is not left out for failing its work.
    pub health: Option<MemberHealth>,
}

/// Targets that changed; none: the target is gone.
pub(crate) struct Order {
    pub(crate) targets: Vec<(TargetId, Option<Arc<SharedTarget>>)>,
    /// Verdicts of the process before this one, for members that are not probed yet.
    pub(crate) known: Arc<Verdicts>,
    /// Told when the tables of the new targets hold what is known.
    pub(crate) done: oneshot::Sender<()>,
}

/// The wish to probe a member once more, without any effect on its verdict.
pub(crate) struct Ask {
    pub(crate) target: TargetId,
    pub(crate) member: MemberId,
    /// Gets the outcome; it is dropped when the probe could not be made.
    pub(crate) answer: oneshot::Sender<ProbeOutcome>,
}

/// Probes that may be under way at a time; more wait, so that thousands of dead members do not take all descriptors.
const UNDER_WAY_MAX: usize = 1024;

/// Ways to and from the prober.
pub(crate) struct Lines {
    pub(crate) orders: mpsc::UnboundedSender<Order>,
    pub(crate) asks: mpsc::UnboundedSender<Ask>,
    pub(crate) reports: Reports,
    pub(crate) news: mpsc::UnboundedReceiver<HealthChange>,
}

/// Starts the prober's thread. It counts into `block` of members' counters; `background` also runs there.
pub(crate) fn start(
    now: fn() -> Timestamp,
    registry: Registry,
    block: usize,
    background: impl Future<Output = ()> + Send + 'static,
) -> io::Result<Lines> {
    let (orders, inbox) = mpsc::unbounded_channel();
    let (asks, asked) = mpsc::unbounded_channel();
    let (reports, rows) = mpsc::unbounded_channel();
    let (news, reader) = mpsc::unbounded_channel();
    let (ready, started) = std::sync::mpsc::sync_channel(1);
    thread::Builder::new().name("prober".to_owned()).spawn(move || {
        match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Err(error) => drop(ready.send(Err(error))),
            Ok(runtime) => runtime.block_on(async move {
                let kit = match once::Kit::new() {
                    Ok(kit) => kit,
                    Err(error) => return drop(ready.send(Err(error))),
                };
                // The one who waits for this is gone only when the whole data plane is.
                let _ = ready.send(Ok(()));
                tokio::task::spawn_local(background);
                let permits = Semaphore::new(UNDER_WAY_MAX);
                let shared = Rc::new(Shared { now, news, permits, kit, registry, block });
                let prober = Prober { shared, targets: HashMap::new(), ejections: HashMap::new() };
                prober.run(inbox, asked, rows).await;
            }),
        }
    })?;
    started.recv().map_err(|_| io::Error::other("the prober ended before it began"))??;
    Ok(Lines { orders, asks, reports, news: reader })
}

struct Prober {
    shared: Rc<Shared>,
    targets: HashMap<TargetId, HashMap<MemberId, Row>>,
    /// Of targets that leave members out.
    ejections: HashMap<TargetId, Rc<RefCell<Ejections>>>,
}

struct Shared {
    now: fn() -> Timestamp,
    news: mpsc::UnboundedSender<HealthChange>,
    permits: Semaphore,
    kit: once::Kit,
    registry: Registry,
    block: usize,
}

/// The probes of one member in one target.
struct Row {
    about: Rc<About>,
    state: Rc<State>,
    task: AbortHandle,
}

/// What is probed, and how. A change of it begins a new row.
#[derive(PartialEq)]
struct About {
    target: TargetId,
    member: MemberId,
    address: SocketAddr,
    settings: ProbeSettings,
    manner: Manner,
}

/// What is known, and where the verdict is written.
struct State {
    health: Cell<Health>,
    /// The last verdict, even of a former row; none before the first.
    verdict: RefCell<Option<MemberHealth>>,
    place: RefCell<Place>,
}

/// A member's place in its target.
#[derive(Clone)]
struct Place {
    target: Arc<SharedTarget>,
    index: usize,
    ejections: Option<Rc<RefCell<Ejections>>>,
}

impl State {
    fn write(&self, health: MemberHealth) {
        let (healthy, now_ms) = (health.verdict == Verdict::Up, clock::now_ms());
        self.verdict.replace(Some(health));
        let Place { target, index, ejections } = &*self.place.borrow();
        match ejections {
            Some(ejections) => ejections.borrow_mut().handle_verdict(*index, healthy, now_ms),
            None => target.handle_health(*index, healthy, healthy, now_ms),
        }
    }
}

impl Prober {
    async fn run(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<Order>,
        mut asked: mpsc::UnboundedReceiver<Ask>,
        mut reports: mpsc::UnboundedReceiver<Report>,
    ) {
        loop {
            let due_ms =
                self.ejections.values().filter_map(|ejections| ejections.borrow().poll_timeout()).min();
            tokio::select! {
                order = inbox.recv() => match order {
                    Some(order) => self.carry_out(order),
                    None => return,
                },
                Some(ask) = asked.recv() => self.probe_once(ask),
                Some(report) = reports.recv() => self.handle_report(&report),
                () = until(due_ms) => self.return_members(),
            }
        }
    }

    fn carry_out(&mut self, order: Order) {
        for (id, target) in order.targets {
            match target {
                Some(target) => self.set(id, &target, &order.known),
                None => self.remove(id),
            }
        }
        // Whoever gave the order may have stopped waiting.
        let _ = order.done.send(());
    }

    fn probe_once(&self, ask: Ask) {
        let Some(row) = self.targets.get(&ask.target).and_then(|rows| rows.get(&ask.member)) else {
            // Whoever asked may have stopped waiting; so below.
            return drop(ask.answer.send(None));
        };
        let (shared, about) = (self.shared.clone(), row.about.clone());
        tokio::task::spawn_local(async move {
            let Ok(_permit) = shared.permits.acquire().await else { return };
            match once::probe(&shared.kit, about.address, &about.settings, about.manner).await {
                once::Outcome::Passed => drop(ask.answer.send(Some(Ok(())))),
                once::Outcome::Failed(failure) => drop(ask.answer.send(Some(Err(failure)))),
                once::Outcome::NotMade(error) => {
                    tracing::warn!(address = %about.address, %error, "a probe on demand could not be made");
                }
            }
        });
    }

    fn set(&mut self, id: TargetId, target: &Arc<SharedTarget>, known: &Verdicts) {
        let former = self.ejections.remove(&id);
        if let Some(settings) = target.outlier_settings() {
            let former = former.as_ref().map(|former| former.borrow());
            let ejections = Ejections::new(target.clone(), *settings, former.as_deref());
            self.ejections.insert(id, Rc::new(RefCell::new(ejections)));
        } else if let Some(former) = &former {
            former.borrow().release(target);
        }
        self.set_probes(id, target, known);
        let ejected = |of: Option<&Rc<RefCell<Ejections>>>| -> Vec<MemberId> {
            of.map(|ejections| ejections.borrow().ejected().collect()).unwrap_or_default()
        };
        let mut told = ejected(former.as_ref());
        told.extend(ejected(self.ejections.get(&id)));
        told.into_iter().for_each(|member| self.tell_of(id, member));
    }

    fn set_probes(&mut self, id: TargetId, target: &Arc<SharedTarget>, known: &Verdicts) {
        let Some(settings) = &target.plan.probe else { return self.forget_probes(id) };
        let ejections = self.ejections.get(&id).cloned();
        let mut before = self.targets.remove(&id).unwrap_or_default();
        let mut rows = HashMap::with_capacity(target.plan.members.len());
        for (index, member) in target.plan.members.iter().enumerate() {
            let about = About {
                target: id,
                member: member.id,
                address: member.probe_address,
                settings: settings.clone(),
                manner: Manner {
                    http10: target.plan.protocol == model::PoolProtocol::Http,
                    // A port of the monitor's own is not that on which traffic comes with headers.
                    proxy_protocol: target
                        .plan
                        .proxy_protocol
                        .filter(|_| member.probe_address == member.address),
                },
            };
            let place = Place { target: target.clone(), index, ejections: ejections.clone() };
            let row = match before.remove(&member.id) {
                Some(row) if *row.about == about => {
                    row.state.place.replace(place);
                    let verdict = row.state.verdict.borrow().clone();
                    if let Some(verdict) = verdict {
                        row.state.write(verdict);
                    }
                    row
                }
                Some(other) => {
                    other.task.abort();
                    let verdict = other.state.verdict.take();
                    self.begin(about, place, Health::default(), verdict)
                }
                None => {
                    let verdict = known.get(&(id, member.id)).copied();
                    let health = verdict.map_or_else(Health::default, Health::from);
                    let since = (self.shared.now)();
                    let verdict = verdict.map(|verdict| MemberHealth { verdict, since, failure: None });
                    self.begin(about, place, health, verdict)
                }
            };
            rows.insert(member.id, row);
        }
        self.targets.insert(id, rows);
        self.forget(id, before);
    }

    /// Takes in a row of failures of a member.
    fn handle_report(&mut self, report: &Report) {
        let Some(ejections) = self.ejections.get(&report.target) else { return };
        let ejected = ejections.borrow_mut().handle_report(report, clock::now_ms(), (self.shared.now)());
        if ejected {
            let Shared { registry, block, .. } = &*self.shared;
            registry.member(report.target, report.member, *block).ejections.inc();
            self.tell_of(report.target, report.member);
        }
    }

    /// Gives members work again whose time is over.
    fn return_members(&mut self) {
        let now_ms = clock::now_ms();
        for (&id, ejections) in &self.ejections {
            loop {
                let returned = ejections.borrow_mut().poll_return(now_ms);
                let Some(member) = returned else { break };
                self.tell_of(id, member);
            }
        }
    }

    /// Says what there is to say of a member now.
    fn tell_of(&self, target: TargetId, member: MemberId) {
        let row = self.targets.get(&target).and_then(|rows| rows.get(&member));
        let probed = row.and_then(|row| row.state.verdict.borrow().clone());
        let ejections = self.ejections.get(&target);
        let ejected = ejections.and_then(|ejections| ejections.borrow().said(member).cloned());
        self.shared.say(target, member, most_telling(probed, ejected));
    }

    fn remove(&mut self, id: TargetId) {
        let former = self.ejections.remove(&id);
        self.forget_probes(id);
        if let Some(former) = former {
            former.borrow().ejected().for_each(|member| self.shared.say(id, member, None));
        }
    }

    fn forget_probes(&mut self, id: TargetId) {
        if let Some(rows) = self.targets.remove(&id) {
            self.forget(id, rows);
        }
    }

    fn forget(&self, target: TargetId, rows: HashMap<MemberId, Row>) {
        for (member, row) in rows {
            row.task.abort();
            self.shared.say(target, member, None);
        }
    }

    fn begin(&self, about: About, place: Place, health: Health, verdict: Option<MemberHealth>) -> Row {
        let state = Rc::new(State { health: health.into(), verdict: None.into(), place: place.into() });
        if let Some(verdict) = verdict {
            state.write(verdict);
        }
        let about = Rc::new(about);
        let task = tokio::task::spawn_local(probe_on(self.shared.clone(), about.clone(), state.clone()));
        Row { about, state, task: task.abort_handle() }
    }
}

impl Shared {
    fn say(&self, target: TargetId, member: MemberId, health: Option<MemberHealth>) {
        // Nobody may be listening; verdicts work without.
        let _ = self.news.send(HealthChange { target, member, health });
    }
}

/// What is told of a member that probes and ejections say something of: a probe that fails says more of why.
fn most_telling(probed: Option<MemberHealth>, ejected: Option<MemberHealth>) -> Option<MemberHealth> {
    match (probed, ejected) {
        (Some(probed), Some(_)) if probed.verdict == Verdict::Down => Some(probed),
        (probed, ejected) => ejected.or(probed),
    }
}

/// Waits for a moment of [`clock`]; none: for ever.
async fn until(due_ms: Option<u64>) {
    match due_ms {
        Some(due_ms) => {
            tokio::time::sleep(Duration::from_millis(due_ms.saturating_sub(clock::now_ms()))).await;
        }
        None => std::future::pending().await,
    }
}

/// Probes a member for ever.
async fn probe_on(shared: Rc<Shared>, about: Rc<About>, state: Rc<State>) {
    let interval = about.settings.interval.duration();
    let mut schedule = ProbeSchedule::new(seed(&about));
    let mut wait = schedule.first(interval);
    loop {
        tokio::time::sleep(wait).await;
        let Ok(permit) = shared.permits.acquire().await else { return };
        let began = Instant::now();
        let outcome = once::probe(&shared.kit, about.address, &about.settings, about.manner).await;
        drop(permit);
        match outcome {
            once::Outcome::Passed => tell(&shared, &about, &state, None),
            once::Outcome::Failed(failure) => tell(&shared, &about, &state, Some(failure)),
            once::Outcome::NotMade(error) => {
                tracing::warn!(address = %about.address, %error, "a probe could not be made; the verdict stays");
            }
        }
        wait = schedule.next(interval).saturating_sub(began.elapsed()).max(SHORTEST_REST);
    }
}

/// The shortest rest between two probes of a member, however long a probe took.
const SHORTEST_REST: Duration = Duration::from_millis(10);

/// Takes in the outcome of a probe: passed, or failed so.
fn tell(shared: &Shared, about: &About, state: &State, failure: Option<ProbeFailure>) {
    let probe = if failure.is_none() { Probe::Passed } else { Probe::Failed };
    let step = state.health.get().after(probe, Thresholds::from(&about.settings));
    state.health.set(step.health);
    let Some(verdict) = step.changed else { return };
    let before = state.verdict.take().filter(|before| before.verdict == verdict);
    let news = before.is_none();
    if news {
        let detail = failure.as_ref().map(|failure| failure.detail.as_str()).unwrap_or_default();
        tracing::info!(member = %about.member, address = %about.address, ?verdict, detail, "a member's health changed");
    }
    let health = before.unwrap_or_else(|| MemberHealth { verdict, since: (shared.now)(), failure });
    state.write(health.clone());
    if news {
        let place = state.place.borrow();
        let ejections = place.ejections.as_ref();
        let ejected = ejections.and_then(|ejections| ejections.borrow().said(about.member).cloned());
        shared.say(about.target, about.member, most_telling(Some(health), ejected));
    }
}

/// Different for every member of every target, the same after a restart.
fn seed(about: &About) -> u64 {
    let [a, b] = [about.target.listener.uuid(), about.member.uuid()].map(|id| id.as_u64_pair());
    a.0 ^ a.1.rotate_left(17) ^ b.0.rotate_left(31) ^ b.1
}
