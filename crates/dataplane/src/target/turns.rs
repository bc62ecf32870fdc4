//! Whose turn it is among a target's members, in one worker.
//!
//! Shares are those of the members' weights, but while a member's slow start goes on: they then follow it, step by step
//! ([`Turns::follow`]).

use std::cell::{Cell, RefCell};

use balance::{HealthTable, MemberIndex, PickContext, Picker, Placement, Start};
use model::{Algorithm, Weight};
use plan::TargetPlan;

use super::SharedTarget;

/// Turns of one worker.
pub(crate) struct Turns {
    picker: RefCell<Picker>,
    weights: Box<[Weight]>,
    start: Start,
    /// When shares change next by themselves.
    next_step_ms: Cell<Option<u64>>,
    /// Up to which change of somebody's health shares are followed.
    followed: Cell<u64>,
}

impl Turns {
    /// `former`: the turns before members or settings changed.
    pub(super) fn new(shared: &SharedTarget, start: Start, former: Option<&Self>, now_ms: u64) -> Self {
        let followed = shared.health.generation();
        let weights: Box<[_]> = shared.plan.members.iter().map(|member| member.weight).collect();
        let former = former.map(|former| former.picker.borrow());
        let picker = picker(shared, &weights, start, former.as_deref(), now_ms);
        let next_step_ms = shared.slow_start.as_ref().and_then(|slow| slow.next_step_ms(now_ms));
        Self {
            picker: picker.into(),
            weights,
            start,
            next_step_ms: next_step_ms.into(),
            followed: followed.into(),
        }
    }

    /// Who gets a piece of new work.
    #[inline]
    pub(super) fn pick(&self, context: &PickContext<'_>) -> Option<MemberIndex> {
        self.picker.borrow_mut().pick(context)
    }

    /// See [`Picker::serves`].
    pub(super) fn serves(&self, health: &HealthTable) -> bool {
        self.picker.borrow().serves(health)
    }

    /// See [`Picker::uses_unhealthy`].
    pub(super) fn uses_unhealthy(&self, health: &HealthTable) -> bool {
        self.picker.borrow().uses_unhealthy(health)
    }

    /// Takes in how far slow starts are. Nothing is to be done between two steps of one, unless somebody's health changed.
    pub(super) fn follow(&self, shared: &SharedTarget, now_ms: u64) {
        let Some(slow_start) = &shared.slow_start else { return };
        let health = shared.health.generation();
        if self.followed.replace(health) == health && self.next_step_ms.get().is_none_or(|due| now_ms < due) {
            return;
        }
        self.next_step_ms.set(slow_start.next_step_ms(now_ms));
        let mut turn = self.picker.borrow_mut();
        *turn = picker(shared, &self.weights, self.start, Some(&turn), now_ms);
    }
}

fn picker(
    shared: &SharedTarget,
    weights: &[Weight],
    start: Start,
    previous: Option<&Picker>,
    now_ms: u64,
) -> Picker {
    let TargetPlan { algorithm, maglev, standby, all_down_forward, .. } = &*shared.plan;
    let placement = match (standby, algorithm, maglev) {
        (Some(standby), ..) => Placement::Standby(*standby),
        (None, Algorithm::SourceIp | Algorithm::QuicCid, Some(maglev)) => Placement::SourceIp(maglev),
        (None, Algorithm::LeastConnections, _) => Placement::LeastConnections,
        // A plan for the hash always has its table; without one, turns are a fair substitute.
        (None, Algorithm::RoundRobin, _) | (None, Algorithm::SourceIp | Algorithm::QuicCid, None) => {
            Placement::RoundRobin
        }
    };
    match &shared.slow_start {
        Some(slow) => {
            Picker::new(placement, &slow.weights(weights, now_ms), *all_down_forward, start, previous)
        }
        None => Picker::new(placement, weights, *all_down_forward, start, previous),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{
        ListenerId, MemberId, MonitorType, PoolId, PoolProtocol, ProbeInterval, ProbeThreshold, ProbeTimeout,
        SlowStartDuration, TargetId, Weight,
        health_monitor::{ExpectedStatuses, HttpProbe, ProbeMethod, ProbePath},
        target::ProbeSettings,
    };
    use plan::MemberPlan;
    use tokio::sync::mpsc;
    use uuid::Uuid;

    use super::*;

    const DURATION_S: u32 = 100;

    /// A group in one worker, at a moment.
    struct Group {
        shared: Arc<SharedTarget>,
        turns: Turns,
        now_ms: u64,
    }

    const START: Start = Start { worker: 0, workers: 1 };

    fn plan(members: &[(u128, u16)], change: impl FnOnce(&mut TargetPlan)) -> Arc<TargetPlan> {
        let members = members.iter().map(|&(number, weight)| {
            let address = ([10, 0, 0, number as u8], 80).into();
            let id = MemberId::new(Uuid::from_u128(number));
            MemberPlan { weight: Weight::of(weight), ..MemberPlan::by_hand(id, address) }
        });
        let id =
            TargetId { listener: ListenerId::new(Uuid::from_u128(1)), pool: PoolId::new(Uuid::from_u128(2)) };
        let mut plan = TargetPlan::by_hand(id, PoolProtocol::Http, members.collect());
        plan.slow_start = Some(SlowStartDuration::of(DURATION_S));
        change(&mut plan);
        Arc::new(plan)
    }

    fn probed(plan: &mut TargetPlan) {
        plan.probe = Some(ProbeSettings {
            kind: MonitorType::Tcp,
            interval: ProbeInterval::of(1),
            timeout: ProbeTimeout::of(1),
            rise: ProbeThreshold::of(1),
            fall: ProbeThreshold::of(1),
            port: None,
            datagram: None,
            http: HttpProbe {
                method: ProbeMethod::Get,
                path: ProbePath::root(),
                host: None,
                expected: ExpectedStatuses::ok(),
            },
        });
    }

    impl Group {
        fn start(plan: Arc<TargetPlan>) -> Self {
            let shared = SharedTarget::new(plan, 1, None, |_| true, &mpsc::unbounded_channel().0, 0);
            Self { turns: Turns::new(&shared, START, None, 0), shared, now_ms: 0 }
        }

        fn change(&mut self, plan: Arc<TargetPlan>) {
            let reports = mpsc::unbounded_channel().0;
            self.shared = SharedTarget::new(plan, 1, Some(&self.shared), |_| false, &reports, self.now_ms);
            self.turns = Turns::new(&self.shared, START, Some(&self.turns), self.now_ms);
        }

        /// Lets so many seconds go by, tick by tick.
        fn wait(&mut self, seconds: u64) {
            for _ in 0..seconds * 10 {
                self.now_ms += 100;
                self.turns.follow(&self.shared, self.now_ms);
            }
        }

        fn verdict(&mut self, member: usize, healthy: bool) {
            self.shared.handle_health(member, healthy, healthy, self.now_ms);
            self.turns.follow(&self.shared, self.now_ms);
        }

        /// What a member has of the work, in percent of what each of the others has on average.
        fn percent_of_others(&self, member: usize) -> usize {
            let picks = 4000;
            let own = (0..picks)
                .filter(|_| {
                    let SharedTarget { health, connections, .. } = &*self.shared;
                    let client = [192, 0, 2, 1].into();
                    self.turns.pick(&PickContext { client, tried: &[], health, connections })
                        == Some(member as MemberIndex)
                })
                .count();
            let others = self.shared.health.usable_count() - 1;
            (own * 100 * others + (picks - own) / 2) / (picks - own)
        }
    }

    fn about(share: usize, wanted: usize) -> bool {
        share.abs_diff(wanted) <= 1
    }

    #[test]
    fn a_new_members_share_grows_to_its_weight() {
        let mut group = Group::start(plan(&[(1, 1), (2, 1), (3, 1)], |_| {}));
        assert!(about(group.percent_of_others(0), 100), "the first members have all at once");
        group.change(plan(&[(1, 1), (2, 1), (3, 1), (4, 1)], |_| {}));
        for (seconds, percent) in [(0, 1), (20, 20), (30, 50), (49, 99), (1, 100), (500, 100)] {
            group.wait(seconds);
            let share = group.percent_of_others(3);
            assert!(about(share, percent), "{share} at {} ms", group.now_ms);
        }
    }

    #[test]
    fn a_slow_start_begins_with_health_and_ends_without() {
        let mut group = Group::start(plan(&[(1, 1), (2, 1)], probed));
        group.change(plan(&[(1, 1), (2, 1), (3, 1)], probed));
        group.wait(50);
        assert_eq!(group.percent_of_others(2), 0, "nothing is known of it");
        group.verdict(2, true);
        assert!(about(group.percent_of_others(2), 1), "it begins now");
        group.wait(50);
        assert!(about(group.percent_of_others(2), 50));
        group.verdict(0, false);
        assert!(about(group.percent_of_others(2), 50), "another's health changes nothing of it");
        group.verdict(2, false);
        group.verdict(2, true);
        assert!(about(group.percent_of_others(2), 100), "it is not new any more");
    }

    #[test]
    fn a_slow_start_goes_on_over_changes_of_the_plan() {
        let mut group = Group::start(plan(&[(2, 1), (3, 1)], |_| {}));
        group.change(plan(&[(1, 1), (2, 1), (3, 1)], |_| {}));
        group.wait(40);
        group.change(plan(&[(1, 1), (3, 1)], |_| {}));
        assert!(about(group.percent_of_others(0), 40), "with others beside it");
        group.change(plan(&[(1, 2), (3, 2)], |_| {}));
        assert!(about(group.percent_of_others(0), 40), "with other weights");
        group.wait(10);
        assert!(about(group.percent_of_others(0), 50));
        group.change(plan(&[(1, 1), (3, 1)], |plan| plan.slow_start = None));
        assert!(about(group.percent_of_others(0), 100), "switched off");
        group.change(plan(&[(1, 1), (3, 1)], |_| {}));
        assert!(about(group.percent_of_others(0), 100), "nobody is new");
    }

    #[test]
    fn all_of_a_pool_that_nobody_served_have_their_shares_at_once() {
        for (why, change) in [("it was empty", &[][..]), ("nobody was healthy", &[(1, 1)])] {
            let mut group = Group::start(plan(change, probed));
            if !change.is_empty() {
                group.verdict(0, false);
            }
            group.change(plan(&[(1, 1), (2, 1), (3, 1)], probed));
            for member in 0..3 {
                group.verdict(member, true);
            }
            assert!(about(group.percent_of_others(1), 100), "{why}");
        }
    }
}
