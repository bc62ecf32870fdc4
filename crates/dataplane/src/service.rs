//! A listener at work in one worker.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use balance::{
    DrainRules, StickyKey,
    drain::{Cause, Fate, Traffic},
};
use plan::{ListenerPlan, ServicePlan, TargetPlan};
use telemetry::ListenerCounters;
use wire::h1::HeaderLines;

use crate::{
    drain::{Drains, Leaving, Whose},
    http::{self, Inserted, PolicyWork},
    limits::{Bounds, Caps},
    rounds::Share,
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
    /// What it may take; none: nothing is limited.
    pub(crate) caps: Option<Rc<Caps>>,
    /// What an HTTP listener writes into requests.
    pub(crate) inserted: Inserted,
    /// What its answers get; none: what all get.
    pub(crate) announced: Option<HeaderLines>,
}

impl Service {
    /// The service of a plan; `targets` are those that the plan names, in any order.
    pub(crate) fn new(
        plan: Arc<ListenerPlan>,
        counters: Arc<ListenerCounters>,
        targets: &[Rc<Target>],
        bounds: &Bounds,
        sticky_key: &StickyKey,
        tls: Option<Arc<Terms>>,
    ) -> Rc<Self> {
        let find = |plan: &Arc<TargetPlan>| targets.iter().find(|target| target.id() == plan.id).cloned();
        let target = plan.default_target.as_ref().and_then(find);
        let named: Box<[_]> = plan.targets.iter().filter_map(find).collect();
        debug_assert_eq!(named.len(), plan.targets.len(), "every target that the plan names is given");
        let inserted = plan.http().map(Inserted::new).unwrap_or_default();
        let announced = plan.http().and_then(http::announced);
        let policies = plan
            .policies
            .iter()
            .map(|policy| PolicyWork::new(&plan, policy, &bounds.policies, sticky_key))
            .collect();
        let caps = Caps::new(&bounds.caps).map(Rc::new);
        Rc::new(Self { plan, counters, target, targets: named, policies, tls, caps, inserted, announced })
    }

    /// Every target; one that is the default and a policy's comes twice.
    pub(crate) fn all_targets(&self) -> impl Iterator<Item = &Rc<Target>> {
        self.target.iter().chain(&self.targets)
    }

    /// What becomes of connections when the listener is deleted: kept HTTP connections go on, until they are idle; layer 4 stops
    /// at once (behaviour/features.md section 3).
    pub(crate) fn fate_without_listener(&self, now_ms: u64) -> Fate {
        let traffic = match self.plan.service {
            ServicePlan::Http(_) | ServicePlan::Quic(_) => Traffic::Requests,
            ServicePlan::Tcp | ServicePlan::Tls => Traffic::Streams,
            ServicePlan::Udp => Traffic::Datagrams,
        };
        let rules = |delay| DrainRules { traffic, delay };
        let of_targets = self.all_targets().map(|target| rules(target.shared.plan.drain_rules().delay));
        // A connection may have work of any of them.
        let fates = of_targets.map(|rules| rules.fate_without_listener(now_ms));
        fates.max().unwrap_or_else(|| rules(None).fate_without_listener(now_ms))
    }
}

/// Where the connections of a listener find its present service. A connection looks once per request, so a request ends on
/// the plan that it began with.
pub(crate) struct Slot {
    service: RefCell<Rc<Service>>,
    leaving: Rc<Leaving>,
    group: u32,
    share: Rc<Share>,
}

impl Slot {
    pub(crate) fn new(service: Rc<Service>, group: u32) -> Rc<Self> {
        Rc::new(Self { service: RefCell::new(service), leaving: Rc::default(), group, share: Rc::default() })
    }

    /// The present service.
    #[inline]
    pub(crate) fn service(&self) -> Rc<Service> {
        self.service.borrow().clone()
    }

    /// The caps of the present service, where they limit bytes.
    #[inline]
    pub(crate) fn byte_caps(&self) -> Option<Rc<Caps>> {
        self.service.borrow().caps.as_ref().filter(|caps| caps.limit_bytes()).cloned()
    }

    pub(crate) fn set_service(&self, service: Rc<Service>) {
        self.service.replace(service);
    }

    /// Drains: the listener is gone.
    pub(crate) fn retire(&self, drains: &Drains, now_ms: u64) {
        self.leaving.note(Cause::Removed, true, now_ms);
        let whose = Whose { target: None, group: self.group };
        drains.settle(whose, &self.leaving, self.service().fate_without_listener(now_ms), now_ms);
    }

    /// Whether the listener is gone: what is open ends when its present work ends.
    #[inline]
    pub(crate) fn is_retired(&self) -> bool {
        self.leaving.is_draining()
    }

    /// Whether what is open is to end now.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.leaving.is_over()
    }

    /// What this listener gets of the worker's rounds.
    #[inline]
    pub(crate) fn share(&self) -> &Rc<Share> {
        &self.share
    }

    /// Names the connections of this listener in the worker's table.
    pub(crate) fn group(&self) -> u32 {
        self.group
    }
}
