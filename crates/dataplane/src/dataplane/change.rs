//! From one plan to the next: what differs, and carrying it out.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use imbl::ordmap::DiffItem;
use model::{ListenerId, MemberId, TargetId, Verdict};
use plan::{ListenerPlan, Plan, PolicyPlan, ServicePlan, TargetPlan};
use tokio::sync::oneshot;

use super::{
    Dataplane,
    agreed_tls::in_words,
    state::{InForce, Limiters, State, Targets},
    wait,
};
use crate::{
    clock,
    handover::Opened,
    http3,
    limits::{Bounds, PolicyLimit},
    probe,
    target::SharedTarget,
    tls::Terms,
    worker::Change,
};

/// What differs between the plan in force and the next.
pub(super) struct Changes {
    pub(super) set: Vec<Arc<ListenerPlan>>,
    pub(super) removed: Vec<ListenerId>,
    /// Whether nothing was in force before: what is in the plan was in force before a restart.
    pub(super) first: bool,
}

/// What others are to be told of changes.
struct Orders {
    /// For each worker.
    workers: Vec<Vec<Change>>,
    /// Targets that are new or changed, or gone.
    prober: Vec<(TargetId, Option<Arc<SharedTarget>>)>,
    gone: Vec<Gone>,
}

/// Whose series of counters end when workers no longer count into them.
enum Gone {
    Listener(ListenerId),
    Member(TargetId, MemberId),
}

/// Sockets for a listener, in addition to those that stay.
#[derive(Default)]
struct OpenedFor {
    /// For each address, and there for each worker.
    sockets: Vec<(SocketAddr, Vec<Vec<Opened>>)>,
    /// The same of QUIC.
    quic: Vec<Arc<http3::Sockets>>,
    /// Why the last address of those that cannot be had cannot.
    fault: Option<String>,
}

/// Listeners handled between two chances for other tasks of the caller's runtime.
const BINDS_PER_TURN: usize = 256;

impl Dataplane {
    pub(super) async fn carry_out(&self, state: &mut State, changes: Changes) {
        let mut orders = Orders {
            workers: self.0.workers.iter().map(|_| Vec::new()).collect(),
            prober: Vec::new(),
            gone: Vec::new(),
        };
        for id in changes.removed {
            if let Some(listener) = state.listeners.remove(&id) {
                orders.note_removed(id, listener);
            }
        }
        for (count, plan) in changes.set.into_iter().enumerate() {
            if count % BINDS_PER_TURN == BINDS_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            self.set(state, plan, changes.first, &mut orders);
        }
        if !orders.prober.is_empty() {
            let (done, prober_done) = oneshot::channel();
            // A prober that is gone leaves verdicts as they are.
            let known = state.heirlooms.health.clone();
            let _ = self.0.prober.send(probe::Order { targets: orders.prober, known, done });
            let _ = prober_done.await;
        }
        if orders.workers.iter().any(|changes| !changes.is_empty()) {
            let mut workers = orders.workers.into_iter();
            wait(self.order(|| workers.next().unwrap_or_default())).await;
        }
        for gone in orders.gone {
            match gone {
                Gone::Listener(id) => self.0.registry.listener_gone(id),
                Gone::Member(target, member) => self.0.registry.member_gone(target, member),
            }
        }
    }

    /// Puts a listener's plan in force. `trust`: its members are taken to be well until they were probed.
    fn set(&self, state: &mut State, plan: Arc<ListenerPlan>, trust: bool, orders: &mut Orders) {
        let former = state.listeners.remove(&plan.id);
        let (mut bound, former_targets, former_limiters, former_tls) =
            former.map(|f| (f.bound, f.targets, f.limiters, f.tls)).unwrap_or_default();

        let wanted: BTreeSet<SocketAddr> =
            plan.endpoints.iter().flat_map(|endpoint| endpoint.addresses()).collect();
        let closed: Vec<SocketAddr> = bound.difference(&wanted).copied().collect();
        let mut opened = state.open(&plan.service, wanted.difference(&bound), orders.workers.len());
        bound.retain(|address| wanted.contains(address));
        bound.extend(opened.sockets.iter().map(|(address, _)| *address));
        bound.extend(opened.quic.iter().map(|sockets| sockets.address));

        let quic = matches!(plan.service, ServicePlan::Quic(_));
        let listener = plan.id;
        let tls = former_tls.next(plan.tls.as_ref(), |plan, former| {
            let make = if quic { Terms::of_quic } else { Terms::new };
            let inherited = if former.is_none() { state.heirlooms.resumption(listener) } else { None };
            let resumption = former.map(|former| &former.resumption).or(inherited.as_ref());
            make(&self.0.certificates, plan, resumption).map_err(|error| in_words(&error))
        });
        let targets = self.targets(state, &plan, &former_targets, trust);
        orders.note_targets(&former_targets, &targets);
        let limiters = limiters(&plan, &former_limiters);
        let caps = state.caps.of(&plan, self.0.config.workers as u16);
        for (worker, changes) in orders.workers.iter_mut().enumerate().rev() {
            let (plan, closed) = (plan.clone(), closed.clone());
            let targets = targets.values().cloned().collect();
            let bounds = Bounds { policies: limiters.clone(), caps: caps.clone() };
            let (tls, opened_quic) = (tls.terms.clone(), opened.quic.clone());
            let opened = opened.share_of(worker);
            changes.push(Change::Listener { plan, targets, bounds, tls, opened, opened_quic, closed });
        }
        let (plan_fault, bind_fault) = (plan.faults.first().cloned(), opened.fault);
        state.listeners.insert(plan.id, InForce { bound, targets, limiters, tls, plan_fault, bind_fault });
    }

    /// The targets of a listener's plan; those that are as before are the same.
    fn targets(&self, state: &State, plan: &ListenerPlan, former: &Targets, trust: bool) -> Targets {
        // A listener that is moved to another pool, or gets one more, serves on while the first probes run.
        let trust_new = trust || !former.is_empty();
        let mut targets = Targets::new();
        for target in plan.default_target.iter().chain(&plan.targets) {
            targets.entry(target.id).or_insert_with(|| match former.get(&target.id) {
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
        targets
    }
}

impl Orders {
    fn note_removed(&mut self, id: ListenerId, listener: InForce) {
        for worker in &mut self.workers {
            worker.push(Change::Removed(id));
        }
        self.gone.push(Gone::Listener(id));
        for (id, target) in listener.targets {
            self.gone.extend(members_gone(&target.plan, None));
            self.prober.push((id, None));
        }
    }

    fn note_targets(&mut self, former: &Targets, targets: &Targets) {
        for (id, former) in former {
            let now = targets.get(id);
            self.gone.extend(members_gone(&former.plan, now.map(|target| &*target.plan)));
            if now.is_none() {
                self.prober.push((*id, None));
            }
        }
        for (id, target) in targets {
            if former.get(id).is_none_or(|former| !Arc::ptr_eq(former, target)) {
                self.prober.push((*id, Some(target.clone())));
            }
        }
    }
}

impl OpenedFor {
    /// The sockets of a worker. To be asked once for each, from the last to the first.
    fn share_of(&mut self, worker: usize) -> Vec<(SocketAddr, Opened)> {
        let share = |(address, sockets): &mut (SocketAddr, Vec<Vec<Opened>>)| {
            debug_assert_eq!(sockets.len(), worker + 1, "a share for every worker that has not got one");
            let address = *address;
            sockets.pop().unwrap_or_default().into_iter().map(move |socket| (address, socket))
        };
        self.sockets.iter_mut().flat_map(share).collect()
    }
}

impl State {
    /// Sockets of these addresses.
    fn open<'a>(
        &mut self,
        service: &ServicePlan,
        addresses: impl Iterator<Item = &'a SocketAddr>,
        workers: usize,
    ) -> OpenedFor {
        let mut opened = OpenedFor::default();
        for address in addresses.copied() {
            let result = if let ServicePlan::Quic(_) = service {
                self.quic_sockets(address, workers).map(|sockets| opened.quic.push(sockets))
            } else {
                let sockets = self.heirlooms.sockets(service.transport(), address, workers);
                sockets.map(|sockets| opened.sockets.push((address, sockets)))
            };
            if let Err(error) = result {
                opened.fault = Some(error.to_string());
            }
        }
        opened
    }

    pub(super) fn changes_to(&self, plan: &Plan) -> Changes {
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
}

fn members_gone(former: &TargetPlan, now: Option<&TargetPlan>) -> Vec<Gone> {
    let stays = |id| now.is_some_and(|now| now.id == former.id && now.members.iter().any(|m| m.id == id));
    let left = former.members.iter().filter(|member| !stays(member.id));
    left.map(|member| Gone::Member(former.id, member.id)).collect()
}

/// The limiters of a listener's plan; those whose limits are as before are the same.
fn limiters(plan: &ListenerPlan, former: &Limiters) -> Limiters {
    let limiter = |policy: &Arc<PolicyPlan>| {
        let same = former.get(&policy.id).filter(|former| former.is_of(policy));
        Some((policy.id, same.cloned().or_else(|| PolicyLimit::new(policy).map(Arc::new))?))
    };
    plan.policies.iter().filter_map(limiter).collect()
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
