//! A target at work: which member gets the next piece of work.
//!
//! What all workers share is in a [`SharedTarget`], made anew with every plan of the target; what one worker has is in a
//! [`Target`], which takes over its former self's members (with their kept connections) and turn.

mod turns;
mod watch;

use std::{cell::Cell, net::IpAddr, rc::Rc, sync::Arc};

use balance::{
    Connections, HealthTable, MemberIndex, OutlierSettings, PickContext, SlowStart, Start, Warmth,
    drain::{Cause, Fate},
    outliers::WorkOutcome,
};
use model::{MemberId, TargetId};
use plan::TargetPlan;
use telemetry::Attempt;

pub(crate) use self::watch::{Report, Reports};
use self::{turns::Turns, watch::Watch};
use crate::{
    clock,
    drain::{Here, Leaving, Whose},
    http::Sticky,
    member::Member,
    tls::MemberTerms,
    udp::quic::{CidPart, Cids},
    worker::Worker,
};

/// A target's plan with what all workers share: members, health and counts change together.
pub(crate) struct SharedTarget {
    pub(crate) plan: Arc<TargetPlan>,
    /// How members are verified; the same while their plan is.
    terms: Option<Arc<MemberTerms>>,
    pub(crate) health: HealthTable,
    pub(crate) connections: Connections,
    /// Whose QUIC connections are known, where connection ids place them.
    pub(crate) cids: Option<Arc<Cids>>,
    /// How far new members are, where their shares grow.
    slow_start: Option<SlowStart>,
    /// Where members that fail their work are left out.
    watch: Option<Watch>,
}

impl SharedTarget {
    /// The state for a plan. A member keeps what is known of it; a member that is new gets no work before its first probe,
    /// unless `trusts` says that traffic must not wait for it, or nothing probes.
    pub(crate) fn new(
        plan: Arc<TargetPlan>,
        workers: usize,
        former: Option<&Self>,
        trusts: impl Fn(MemberId) -> bool,
        reports: &Reports,
        now_ms: u64,
    ) -> Arc<Self> {
        let before: Vec<Option<usize>> = plan
            .members
            .iter()
            .map(|member| {
                former.and_then(|former| former.plan.members.iter().position(|m| m.id == member.id))
            })
            .collect();
        let usable = |index: usize| match (former, before[index]) {
            (Some(former), Some(old)) => former.health.is_usable(old),
            _ => trusts(plan.members[index].id),
        };
        let health = match plan.probe {
            Some(_) => HealthTable::new(plan.members.len(), usable),
            None => HealthTable::all_usable(plan.members.len()),
        };
        let connections = match former {
            Some(former) => former.connections.with_members(plan.members.len(), |index| before[index]),
            None => Connections::new(workers as u16, plan.members.len()),
        };
        let former_terms = former.and_then(|former| former.terms.as_ref());
        let terms = plan.member_tls.as_ref().map(|wanted| match former_terms {
            Some(same) if same.plan == *wanted => same.clone(),
            Some(_) | None => MemberTerms::new(wanted),
        });
        let slow_start = plan.slow_start.map(|duration| {
            SlowStart::new(duration, plan.members.len(), |index| match (former, before[index]) {
                (None, _) => Warmth::Warm,
                (Some(former), Some(old)) => {
                    former.slow_start.as_ref().map_or(Warmth::Warm, |slow_start| slow_start.warmth(old))
                }
                (Some(former), None) => {
                    Warmth::of_new_member(former.health.any_usable(), health.is_usable(index), now_ms)
                }
            })
        });
        let watch = plan
            .outlier_detection
            .as_ref()
            .map(|wanted| Watch { settings: OutlierSettings::from(wanted), reports: reports.clone() });
        let cids = CidPart::of(&plan).map(|part| {
            let former = former.and_then(|former| former.cids.as_ref());
            former.filter(|former| former.part == part).cloned().unwrap_or_else(|| Arc::new(Cids::new(part)))
        });
        Arc::new(Self { plan, terms, health, connections, cids, slow_start, watch })
    }

    /// Takes in a verdict about a member. `usable`: whether it gets new work by it. To be called by one thread at a time.
    pub(crate) fn handle_health(&self, member: usize, healthy: bool, usable: bool, now_ms: u64) {
        if let Some(slow_start) = &self.slow_start {
            // Before the health table: whoever sees its change sees this one, too.
            slow_start.handle_health(member, healthy, now_ms);
        }
        self.health.set_usable(member, usable);
    }

    /// When and for how long members that fail their work are left out; none: never.
    pub(crate) fn outlier_settings(&self) -> Option<&OutlierSettings> {
        self.watch.as_ref().map(|watch| &watch.settings)
    }

    /// Whether something about it changes by itself: shares, or who drains because of a probe.
    pub(crate) fn is_to_be_followed(&self) -> bool {
        self.slow_start.is_some() || self.drains_unhealthy()
    }

    /// Whether the work of an unhealthy member ends before it ends by itself.
    fn drains_unhealthy(&self) -> bool {
        self.plan.probe.is_some() && self.plan.drain_rules().fate(Cause::Unhealthy, 0) != Fate::Stays
    }
}

/// A target in one worker.
pub(crate) struct Target {
    pub(crate) shared: Arc<SharedTarget>,
    worker: u16,
    turns: Turns,
    members: Box<[Rc<Member>]>,
    /// Up to which change of somebody's health it is known who drains.
    drained: Cell<Option<u64>>,
    /// How clients stay with a member.
    pub(crate) sticky: Option<Sticky>,
}

/// Nobody may get the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unserved {
    /// The target has no members.
    NoMembers,
    /// It has, but none that is usable, or all were tried.
    NoneUsable,
}

impl Target {
    pub(crate) fn new(worker: &Rc<Worker>, shared: Arc<SharedTarget>, former: Option<&Self>) -> Rc<Self> {
        let plan = &shared.plan;
        let terms = shared.terms.as_ref();
        // What was made under other terms is not used again.
        let lasting = former.filter(|former| match (&former.shared.terms, terms) {
            (None, None) => true,
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (None, Some(_)) | (Some(_), None) => false,
        });
        let members: Box<[_]> = plan
            .members
            .iter()
            .map(|member| {
                let kept = lasting.and_then(|former| former.members.iter().find(|m| m.is_still(member)));
                let counters = || worker.registry.member(plan.id, member.id, worker.index);
                let terms = terms.map(Arc::as_ref);
                let known = || {
                    let same =
                        former.and_then(|former| former.members.iter().find(|m| m.plan.id == member.id));
                    same.map_or_else(Rc::default, |same| same.leaving.clone())
                };
                kept.cloned().unwrap_or_else(|| {
                    let plans = (member.clone(), plan.protocol);
                    Member::new(worker, plans, terms, counters(), known())
                })
            })
            .collect();
        if let Some(former) = former {
            let stays = |old: &Rc<Member>| members.iter().any(|member| Rc::ptr_eq(member, old));
            former.members.iter().filter(|old| !stays(old)).for_each(|old| old.close_idle());
        }
        let start = Start { worker: worker.index as u16, workers: worker.config.workers as u16 };
        let turns = Turns::new(&shared, start, former.map(|former| &former.turns), clock::now_ms());
        let sticky = Sticky::new(plan, &worker.config.sticky_key);
        Rc::new(Self {
            worker: worker.index as u16,
            turns,
            members,
            drained: Cell::default(),
            sticky,
            shared,
        })
    }

    pub(crate) fn id(&self) -> TargetId {
        self.shared.plan.id
    }

    /// A member for a piece of work of this client; the work counts as its own until it is dropped. `wanted`: the member that the
    /// client belongs to by what it brought; it was found usable.
    #[inline]
    pub(crate) fn begin(
        self: &Rc<Self>,
        client: IpAddr,
        tried: &Tried,
        wanted: Option<MemberIndex>,
    ) -> Result<Work, Unserved> {
        let SharedTarget { health, connections, .. } = &*self.shared;
        let wanted = match &self.sticky {
            None => wanted,
            Some(sticky) => wanted
                .filter(|&member| self.is_usable(member.into(), tried))
                .or_else(|| sticky.by_source(client, |member| self.is_usable(member, tried))),
        };
        let context = PickContext { client, tried: tried.indices(), health, connections };
        let Some(index) = wanted.or_else(|| self.turns.pick(&context)) else {
            return Err(if self.members.is_empty() { Unserved::NoMembers } else { Unserved::NoneUsable });
        };
        connections.begin(self.worker, usize::from(index));
        self.members[usize::from(index)].counters.active.rise();
        Ok(Work { target: self.clone(), index })
    }

    /// Whether a member may get a piece of work, weights apart.
    pub(crate) fn is_usable(&self, member: usize, tried: &Tried) -> bool {
        self.shared.health.is_usable(member)
            && !tried.indices().iter().any(|&tried| usize::from(tried) == member)
    }

    /// Takes in what changes by itself: how far slow starts are, and who drains because of a probe.
    pub(crate) fn follow(&self, here: Here<'_>) {
        self.turns.follow(&self.shared, here.now_ms);
        if self.shared.drains_unhealthy() {
            self.drain_unhealthy(here);
        }
    }

    fn drain_unhealthy(&self, here: Here<'_>) {
        let health = &self.shared.health;
        let seen = Some(health.generation());
        if self.drained.replace(seen) == seen {
            return;
        }
        // Whoever gets work although it is unhealthy does not drain.
        let all_work = self.turns.uses_unhealthy(health);
        for (index, member) in self.members.iter().enumerate() {
            let is_there = !health.is_usable(index) && !all_work;
            self.note(&member.leaving, Cause::Unhealthy, is_there, here);
        }
    }

    /// Begins to drain what is to drain by this plan and was not by the former one, and ends what is to drain no more.
    pub(crate) fn drain_since(&self, former: &Self, here: Here<'_>) {
        let rules = self.shared.plan.drain_rules();
        if rules != former.shared.plan.drain_rules() {
            let fate = |leaving: &Leaving| leaving.draining().fate(rules);
            here.drains.settle_target(self.id(), fate, here.now_ms);
            self.members.iter().for_each(|member| self.settle(&member.leaving, here));
        }
        // The plan that a member has kept may be older than its weight.
        for (member, plan) in self.members.iter().zip(&self.shared.plan.members) {
            let stopped = plan.weight.value() == 0 && self.shared.plan.standby.is_none();
            self.note(&member.leaving, Cause::WeightZero, stopped, here);
        }
        let stays = |old: &Member| self.members.iter().any(|member| member.plan.id == old.plan.id);
        for gone in former.members.iter().filter(|old| !stays(old)) {
            self.note(&gone.leaving, Cause::Removed, true, here);
        }
    }

    /// Drains all members: the listener has no more work for them.
    pub(crate) fn drain_all(&self, here: Here<'_>) {
        for member in &self.members {
            self.note(&member.leaving, Cause::Removed, true, here);
        }
    }

    fn note(&self, leaving: &Rc<Leaving>, cause: Cause, is_there: bool, here: Here<'_>) {
        if leaving.note(cause, is_there, here.now_ms) {
            self.settle(leaving, here);
        }
    }

    fn settle(&self, leaving: &Rc<Leaving>, here: Here<'_>) {
        let whose = Whose { target: Some(self.id()), group: here.group };
        let fate = leaving.draining().fate(self.shared.plan.drain_rules());
        here.drains.settle(whose, leaving, fate, here.now_ms);
    }

    /// Whether a healthy member takes new work.
    pub(crate) fn serves(&self) -> bool {
        self.turns.serves(&self.shared.health)
    }

    /// See [`Member::sweep`].
    pub(crate) fn sweep(&self, before: u32) -> usize {
        self.members.iter().map(|member| member.sweep(before)).sum()
    }

    /// Closes all kept connections.
    pub(crate) fn close_idle(&self) {
        self.members.iter().for_each(|member| member.close_idle());
    }
}

/// A piece of work that a member has: a request, or a connection of layer 4.
pub(crate) struct Work {
    target: Rc<Target>,
    index: MemberIndex,
}

impl Work {
    #[inline]
    pub(crate) fn member(&self) -> &Rc<Member> {
        &self.target.members[usize::from(self.index)]
    }

    /// Whether it is to end now, as its member gets no more work.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.member().leaving.is_over()
    }

    /// The target that it was begun in.
    pub(crate) fn target(&self) -> &Rc<Target> {
        &self.target
    }

    pub(crate) fn index(&self) -> MemberIndex {
        self.index
    }

    /// Counts an attempt on the member, once, when it has ended.
    #[inline]
    pub(crate) fn record(&self, attempt: Attempt) {
        self.member().counters.record(attempt);
        if let Some(watch) = &self.target.shared.watch
            && let Some(outcome) = watch::outcome(attempt)
        {
            self.note_watched(watch, outcome);
        }
    }

    /// Notes that the member could be reached, where no attempt is counted for that.
    pub(crate) fn note_reached(&self) {
        if let Some(watch) = &self.target.shared.watch {
            self.note_watched(watch, WorkOutcome::Served);
        }
    }

    fn note_watched(&self, watch: &Watch, outcome: WorkOutcome) {
        let (shared, member) = (&self.target.shared, self.member());
        // Who is out already needs no more words; so what waits to be heard stays little.
        if let Some(failure) = watch.count(&member.streak, outcome)
            && shared.health.is_usable(self.index.into())
        {
            // Whoever hears it is gone only when the data plane ends.
            let _ = watch.reports.send(Report { target: shared.plan.id, member: member.plan.id, failure });
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.target.shared.connections.end(self.target.worker, usize::from(self.index));
        self.member().counters.active.fall();
    }
}

/// Members that failed for a piece of work.
#[derive(Default)]
pub(crate) struct Tried {
    indices: [MemberIndex; ATTEMPTS_MAX - 1],
    count: u8,
}

/// Members that are tried for one piece of work before it is given up.
pub(crate) const ATTEMPTS_MAX: usize = 4;

impl Tried {
    /// Adds a member; false when no more may be tried.
    pub(crate) fn add(&mut self, index: MemberIndex) -> bool {
        let Some(place) = self.indices.get_mut(usize::from(self.count)) else { return false };
        *place = index;
        self.count += 1;
        true
    }

    fn indices(&self) -> &[MemberIndex] {
        &self.indices[..usize::from(self.count)]
    }

    /// Whether this is the first attempt.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }
}
