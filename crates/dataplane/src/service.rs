//! A listener at work in one worker.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
};

use balance::StickyKey;
use model::PolicyId;
use plan::{ListenerPlan, ServicePlan, TargetPlan};
use telemetry::ListenerCounters;

use crate::{
    http::{Inserted, PolicyWork},
    limits::PolicyLimit,
    target::Target,
    tls::Terms,
};

/// A listener's plan with what this worker needs to carry it out. Never changes; a new plan makes a new service.
pub(crate) struct Service {
    pub(crate) plan: Arc<ListenerPlan>,
    pub(crate) counters: Arc<ListenerCounters>,
    /// Where traffic goes that nothing sends elsewhere.
    pub(crate) target: Option<Rc<Target>>,
    /// The targets that policies name, as in the plan.
    pub(crate) targets: Box<[Rc<Target>]>,
    /// The policies, as in the plan.
    pub(crate) policies: Box<[PolicyWork]>,
    /// The terms of its TLS.
    pub(crate) tls: Option<Arc<Terms>>,
    /// What an HTTP listener writes into requests.
    pub(crate) inserted: Inserted,
}

impl Service {
    /// The service of a plan; `targets` are those that the plan names, in any order.
    pub(crate) fn new(
        plan: Arc<ListenerPlan>,
        counters: Arc<ListenerCounters>,
        targets: &[Rc<Target>],
        limiters: &BTreeMap<PolicyId, Arc<PolicyLimit>>,
        sticky_key: &StickyKey,
        tls: Option<Arc<Terms>>,
    ) -> Rc<Self> {
        let find = |plan: &Arc<TargetPlan>| targets.iter().find(|target| target.id() == plan.id).cloned();
        let target = plan.default_target.as_ref().and_then(find);
        let named: Box<[_]> = plan.targets.iter().filter_map(find).collect();
        debug_assert_eq!(named.len(), plan.targets.len(), "every target that the plan names is given");
        let inserted = plan.http().map(Inserted::new).unwrap_or_default();
        let policies =
            plan.policies.iter().map(|policy| PolicyWork::new(&plan, policy, limiters, sticky_key)).collect();
        Rc::new(Self { plan, counters, target, targets: named, policies, tls, inserted })
    }

    /// Every target; one that is the default and a policy's comes twice.
    pub(crate) fn all_targets(&self) -> impl Iterator<Item = &Rc<Target>> {
        self.target.iter().chain(&self.targets)
    }

    /// Whether connections go on when the listener is deleted: kept HTTP connections do, until they are idle; layer 4 stops at
    /// once (behaviour/features.md section 3).
    pub(crate) fn outlives_its_listener(&self) -> bool {
        match self.plan.service {
            ServicePlan::Http(_) => true,
            // Those of QUIC are told to go, and what they were asked by then is answered: their sockets may be wanted.
            ServicePlan::Tcp | ServicePlan::Udp | ServicePlan::Tls | ServicePlan::Quic(_) => false,
        }
    }
}

/// Where the connections of a listener find its present service. A connection looks once per request, so a request ends on
/// the plan that it began with.
pub(crate) struct Slot {
    service: RefCell<Rc<Service>>,
    retired: Cell<bool>,
    group: u32,
}

impl Slot {
    pub(crate) fn new(service: Rc<Service>, group: u32) -> Rc<Self> {
        Rc::new(Self { service: RefCell::new(service), retired: Cell::new(false), group })
    }

    /// The present service.
    #[inline]
    pub(crate) fn service(&self) -> Rc<Service> {
        self.service.borrow().clone()
    }

    pub(crate) fn set_service(&self, service: Rc<Service>) {
        self.service.replace(service);
    }

    /// The listener is gone.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
    }

    /// Whether the listener is gone.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.get()
    }

    /// Names the connections of this listener in the worker's table.
    pub(crate) fn group(&self) -> u32 {
        self.group
    }
}
