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
//! What it does not do: it keeps no history, and it does not know which traffic a member gets.

mod datagram;
mod grpc;
mod http;
mod once;

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use balance::{Health, Probe, ProbeSchedule, Thresholds};
use model::{MemberHealth, MemberId, ProbeFailure, TargetId, Timestamp, Verdict, target::ProbeSettings};
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{Semaphore, mpsc, oneshot},
    task::AbortHandle,
};

use crate::{clock, handover::Verdicts, target::SharedTarget};

/// News about a member's health in a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthChange {
    /// The target.
    pub target: TargetId,
    /// The member.
    pub member: MemberId,
    /// Its health; none: it is no longer probed.
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

/// Probes that may be under way at a time; more wait, so that thousands of dead members do not take all descriptors.
const UNDER_WAY_MAX: usize = 1024;

/// Starts the prober's thread. `background` also runs there.
pub(crate) fn start(
    now: fn() -> Timestamp,
    background: impl Future<Output = ()> + Send + 'static,
) -> io::Result<(mpsc::UnboundedSender<Order>, mpsc::UnboundedReceiver<HealthChange>)> {
    let (orders, inbox) = mpsc::unbounded_channel();
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
                let shared = Rc::new(Shared { now, news, permits: Semaphore::new(UNDER_WAY_MAX), kit });
                Prober { shared, targets: HashMap::new() }.run(inbox).await;
            }),
        }
    })?;
    started.recv().map_err(|_| io::Error::other("the prober ended before it began"))??;
    Ok((orders, reader))
}

struct Prober {
    shared: Rc<Shared>,
    targets: HashMap<TargetId, HashMap<MemberId, Row>>,
}

struct Shared {
    now: fn() -> Timestamp,
    news: mpsc::UnboundedSender<HealthChange>,
    permits: Semaphore,
    kit: once::Kit,
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
    http10: bool,
}

/// What is known, and where the verdict is written.
struct State {
    health: std::cell::Cell<Health>,
    /// The last verdict, even of a former row; none before the first.
    verdict: std::cell::Cell<Option<Verdict>>,
    place: std::cell::RefCell<(Arc<SharedTarget>, usize)>,
}

impl State {
    fn write(&self, verdict: Verdict) {
        self.verdict.set(Some(verdict));
        let place = self.place.borrow();
        place.0.handle_health(place.1, verdict == Verdict::Up, clock::now_ms());
    }
}

impl Prober {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Order>) {
        while let Some(order) = inbox.recv().await {
            for (id, target) in order.targets {
                match target {
                    Some(target) => self.set(id, &target, &order.known),
                    None => self.remove(id),
                }
            }
            // Whoever gave the order may have stopped waiting.
            let _ = order.done.send(());
        }
    }

    fn set(&mut self, id: TargetId, target: &Arc<SharedTarget>, known: &Verdicts) {
        let Some(settings) = &target.plan.probe else { return self.remove(id) };
        let mut before = self.targets.remove(&id).unwrap_or_default();
        let mut rows = HashMap::with_capacity(target.plan.members.len());
        for (index, member) in target.plan.members.iter().enumerate() {
            let about = About {
                target: id,
                member: member.id,
                address: member.probe_address,
                settings: settings.clone(),
                http10: target.plan.protocol == model::PoolProtocol::Http,
            };
            let place = (target.clone(), index);
            let row = match before.remove(&member.id) {
                Some(row) if *row.about == about => {
                    row.state.place.replace(place);
                    if let Some(verdict) = row.state.verdict.get() {
                        row.state.write(verdict);
                    }
                    row
                }
                Some(other) => {
                    other.task.abort();
                    self.begin(about, place, Health::default(), other.state.verdict.get())
                }
                None => {
                    let verdict = known.get(&(id, member.id)).copied();
                    let health = verdict.map_or_else(Health::default, Health::from);
                    self.begin(about, place, health, verdict)
                }
            };
            rows.insert(member.id, row);
        }
        self.targets.insert(id, rows);
        self.forget(id, before);
    }

    fn remove(&mut self, id: TargetId) {
        if let Some(rows) = self.targets.remove(&id) {
            self.forget(id, rows);
        }
    }

    fn forget(&self, target: TargetId, rows: HashMap<MemberId, Row>) {
        for (member, row) in rows {
            row.task.abort();
            // Nobody may be listening; verdicts work without.
            let _ = self.shared.news.send(HealthChange { target, member, health: None });
        }
    }

    fn begin(
        &self,
        about: About,
        place: (Arc<SharedTarget>, usize),
        health: Health,
        verdict: Option<Verdict>,
    ) -> Row {
        let state = Rc::new(State { health: health.into(), verdict: None.into(), place: place.into() });
        if let Some(verdict) = verdict {
            state.write(verdict);
        }
        let about = Rc::new(about);
        let task = tokio::task::spawn_local(probe_on(self.shared.clone(), about.clone(), state.clone()));
        Row { about, state, task: task.abort_handle() }
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
        let outcome = once::probe(&shared.kit, about.address, &about.settings, about.http10).await;
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
    let news = state.verdict.get() != Some(verdict);
    state.write(verdict);
    if news {
        let detail = failure.as_ref().map(|failure| failure.detail.as_str()).unwrap_or_default();
        tracing::info!(member = %about.member, address = %about.address, ?verdict, detail, "a member's health changed");
        let health = Some(MemberHealth { verdict, since: (shared.now)(), failure });
        let _ = shared.news.send(HealthChange { target: about.target, member: about.member, health });
    }
}

/// Different for every member of every target, the same after a restart.
fn seed(about: &About) -> u64 {
    let [a, b] = [about.target.listener.uuid(), about.member.uuid()].map(|id| id.as_u64_pair());
    a.0 ^ a.1.rotate_left(17) ^ b.0.rotate_left(31) ^ b.1
}
