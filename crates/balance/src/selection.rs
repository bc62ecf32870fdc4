//! The choice of a member for a piece of new work: a TCP connection or an HTTP request.
//!
//! Members of weight 0 take no new work, nor do members without health, nor those already tried for this piece of work.
//! Where the pool says so, a group without any healthy member is used as if all were healthy (behaviour/features.md section 7,
//! "All-down forwarding"; `pool_health.minimum_healthy_member_count` = 1). A member of weight 0 counts neither as healthy nor as
//! a way out: it would get no work anyhow.
//!
//! Stickiness asks before [`Picker::pick`], by [`Picker::pick_by`], so that the same members count for it.
//!
//! While members warm up, the weights are those of [`crate::SlowStart`]. Of an active/standby group ([`Standby`]) only the serving
//! member is ever picked: neither weights nor a failed attempt move work to the other.

use std::{net::IpAddr, sync::Arc};

use model::Weight;

use crate::{Connections, HealthTable, LeastConnections, Maglev, RoundRobin, Standby, Start};

/// The place of a member in its group; it means nothing outside the plan that it is from.
pub type MemberIndex = u16;

/// How a group's members are chosen.
#[derive(Clone, Copy, Debug)]
pub enum Placement<'a> {
    /// In turn, in proportion to weight.
    RoundRobin,
    /// The fewest connections for the weight.
    LeastConnections,
    /// By the client's address, with the group's table.
    SourceIp(&'a Arc<Maglev>),
    /// The master, or the slave while the master is down.
    Standby(Standby),
}

/// Chooses members of one group; each worker has its own.
#[derive(Clone, Debug)]
pub struct Picker {
    choice: Choice,
    weights: Box<[Weight]>,
    all_down_forward: bool,
}

#[derive(Clone, Debug)]
enum Choice {
    RoundRobin(RoundRobin),
    LeastConnections(LeastConnections),
    SourceIp(Arc<Maglev>),
    Standby(Standby),
}

/// What a choice depends on besides the group.
#[derive(Clone, Copy, Debug)]
pub struct PickContext<'a> {
    /// The client's address.
    pub client: IpAddr,
    /// Members that were tried for this piece of work and failed.
    pub tried: &'a [MemberIndex],
    /// Who is healthy.
    pub health: &'a HealthTable,
    /// How many connections each member has; only [`Placement::LeastConnections`] looks.
    pub connections: &'a Connections,
}

impl Picker {
    /// A picker over members of these weights. `previous` is this worker's picker of the group before the members or settings
    /// changed: turns of a round robin go on where they were.
    pub fn new(
        placement: Placement<'_>,
        weights: &[Weight],
        all_down_forward: bool,
        start: Start,
        previous: Option<&Self>,
    ) -> Self {
        let choice = match (placement, previous.map(|picker| &picker.choice)) {
            (Placement::RoundRobin, Some(Choice::RoundRobin(turn))) => {
                Choice::RoundRobin(turn.with_members(weights))
            }
            (Placement::RoundRobin, _) => Choice::RoundRobin(RoundRobin::new(weights, start)),
            (Placement::LeastConnections, _) => {
                Choice::LeastConnections(LeastConnections::new(weights, start))
            }
            (Placement::SourceIp(table), _) => Choice::SourceIp(Arc::clone(table)),
            (Placement::Standby(standby), _) => Choice::Standby(standby),
        };
        Self { choice, weights: weights.into(), all_down_forward }
    }

    /// A member for a piece of new work; none when nobody may get it. Costs no allocation.
    pub fn pick(&mut self, context: &PickContext<'_>) -> Option<MemberIndex> {
        let untried = |member: usize| !context.tried.iter().any(|&tried| usize::from(tried) == member);
        let healthy = |member: usize| context.health.is_usable(member);
        if let Choice::Standby(standby) = &self.choice {
            return standby.serving(healthy).filter(|&member| untried(member.into()));
        }
        let picked = self.choose(context, |member| healthy(member) && untried(member));
        if picked.is_none() && self.uses_unhealthy(context.health) {
            return self.choose(context, untried);
        }
        picked
    }

    /// A choice by something else than the pool's algorithm, such as [`crate::Stickiness`], among those whom [`Picker::pick`] would
    /// take; weights apart. `choose` is given who these are, and asked again with all untried members where nobody healthy is
    /// left and the pool uses all then.
    pub fn pick_by<T>(
        &self,
        context: &PickContext<'_>,
        mut choose: impl FnMut(&dyn Fn(usize) -> bool) -> Option<T>,
    ) -> Option<T> {
        let untried = |member: usize| !context.tried.iter().any(|&tried| usize::from(tried) == member);
        let healthy = |member: usize| context.health.is_usable(member);
        if let Choice::Standby(standby) = &self.choice {
            let serving = standby.serving(healthy).map(usize::from);
            return choose(&|member| serving == Some(member) && untried(member));
        }
        let chosen = choose(&|member| healthy(member) && untried(member));
        if chosen.is_none() && self.uses_unhealthy(context.health) {
            return choose(&untried);
        }
        chosen
    }

    /// Whether a healthy member takes new work.
    pub fn serves(&self, health: &HealthTable) -> bool {
        let healthy = |member: usize| health.is_usable(member);
        if let Choice::Standby(standby) = &self.choice {
            return standby.serving(healthy).is_some();
        }
        let mut working = self.weights.iter().enumerate().filter(|(_, weight)| weight.value() > 0);
        working.any(|(member, _)| healthy(member))
    }

    /// Whether members get new work although they are unhealthy, for no healthy one takes any: then being unhealthy is no reason to
    /// end the work that they have.
    pub fn uses_unhealthy(&self, health: &HealthTable) -> bool {
        let is_standby = matches!(self.choice, Choice::Standby(_));
        self.all_down_forward && !is_standby && !self.serves(health)
    }

    fn choose(&mut self, context: &PickContext<'_>, usable: impl Fn(usize) -> bool) -> Option<MemberIndex> {
        let picked = match &mut self.choice {
            Choice::RoundRobin(turn) => turn.pick(usable),
            Choice::LeastConnections(least) => least.pick(usable, |member| context.connections.count(member)),
            Choice::SourceIp(table) => table.pick(context.client, usable),
            Choice::Standby(standby) => standby.serving(usable).map(usize::from),
        };
        picked.map(|member| member as MemberIndex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Stickiness, StickyKey, member_key};

    const START: Start = Start { worker: 0, workers: 1 };

    struct Group {
        weights: Vec<Weight>,
        maglev: Arc<Maglev>,
        health: HealthTable,
        connections: Connections,
    }

    impl Group {
        fn new(weights: &[u16], healthy: &[usize]) -> Self {
            let key = |n: usize| member_key(([10, 0, 0, n as u8], 80).into());
            let keys = weights.iter().enumerate().map(|(n, &weight)| (weight > 0).then(|| key(n)));
            Self {
                weights: weights.iter().map(|&weight| Weight::of(weight)).collect(),
                maglev: Arc::new(Maglev::new(keys)),
                health: HealthTable::new(weights.len(), |member| healthy.contains(&member)),
                connections: Connections::new(1, weights.len()),
            }
        }

        /// Who is picked at least once in many picks for many clients, for each algorithm; they must agree.
        fn picked(&self, all_down_forward: bool, tried: &[MemberIndex]) -> Vec<MemberIndex> {
            let all = [Placement::RoundRobin, Placement::LeastConnections, Placement::SourceIp(&self.maglev)];
            let picked = all.map(|placement| {
                let mut picker = Picker::new(placement, &self.weights, all_down_forward, START, None);
                let mut picked: Vec<_> = (0..200u8)
                    .filter_map(|n| {
                        let client = IpAddr::from([192, 0, 2, n]);
                        let (health, connections) = (&self.health, &self.connections);
                        picker.pick(&PickContext { client, tried, health, connections })
                    })
                    .collect();
                picked.sort_unstable();
                picked.dedup();
                picked
            });
            assert!(picked.iter().all(|of_one| *of_one == picked[0]), "the algorithms differ: {picked:?}");
            picked[0].clone()
        }
    }

    #[test]
    fn new_work_goes_to_whoever_may_get_it_with_every_algorithm() {
        for (why, weights, healthy, forward, tried, expect) in [
            ("all healthy", &[1, 1, 1][..], &[0, 1, 2][..], false, &[][..], &[0, 1, 2][..]),
            ("unhealthy gets none", &[1, 1, 1], &[0, 2], false, &[], &[0, 2]),
            ("weight 0 gets none", &[1, 0, 1], &[0, 1, 2], false, &[], &[0, 2]),
            ("tried is not tried again", &[1, 1, 1], &[0, 1, 2], false, &[1], &[0, 2]),
            ("all tried", &[1, 1], &[0, 1], false, &[0, 1], &[]),
            ("nobody healthy", &[1, 1], &[], false, &[], &[]),
            ("nobody healthy, forward to all", &[1, 1, 1], &[], true, &[], &[0, 1, 2]),
            ("forward to all but weight 0", &[1, 0, 1], &[], true, &[], &[0, 2]),
            ("forward to all but the tried", &[1, 1, 1], &[], true, &[2], &[0, 1]),
            ("the healthy one was tried: the unhealthy are no way out", &[1, 1], &[0], true, &[0], &[]),
            ("only a member of weight 0 is healthy", &[1, 0], &[1], true, &[], &[0]),
            ("the same without forwarding", &[1, 0], &[1], false, &[], &[]),
            ("a group without members", &[], &[], true, &[], &[]),
        ] {
            let group = Group::new(weights, healthy);
            assert_eq!(group.picked(forward, tried), expect, "{why}");
            let picker = Picker::new(Placement::RoundRobin, &group.weights, forward, START, None);
            let all = expect.iter().any(|&member| !healthy.contains(&member.into()));
            assert!(!all || picker.uses_unhealthy(&group.health), "{why}: the unhealthy are used");
            assert!(
                !picker.uses_unhealthy(&group.health) || forward && !picker.serves(&group.health),
                "{why}"
            );
        }
    }

    #[test]
    fn another_choice_is_among_the_same_members() {
        for (why, weights, healthy, forward, tried) in [
            ("all healthy", &[1, 1, 1][..], &[0, 1, 2][..], false, &[][..]),
            ("unhealthy", &[1, 1, 1], &[0, 2], false, &[]),
            ("weight 0", &[1, 0, 1], &[0, 1, 2], true, &[]),
            ("tried", &[1, 1, 1], &[0, 1, 2], false, &[1]),
            ("nobody healthy", &[1, 1], &[], false, &[]),
            ("nobody healthy, forward to all", &[1, 1, 0], &[], true, &[]),
            ("the healthy one was tried", &[1, 1], &[0], true, &[0]),
        ] {
            let group = Group::new(weights, healthy);
            let ids = (0..).map(|n| [n; 16]).zip(group.weights.iter().copied());
            let stickiness = Stickiness::new(&StickyKey::new([1; 32]), [0; 16], ids);
            let picker = Picker::new(Placement::RoundRobin, &group.weights, forward, START, None);
            let mut picked: Vec<_> = (0..200u8)
                .filter_map(|n| {
                    let client = IpAddr::from([192, 0, 2, n]);
                    let (health, connections) = (&group.health, &group.connections);
                    let context = PickContext { client, tried, health, connections };
                    picker.pick_by(&context, |usable| stickiness.by_source(client, usable))
                })
                .collect();
            picked.sort_unstable();
            picked.dedup();
            assert_eq!(picked, group.picked(forward, tried), "{why}");
        }
    }

    #[test]
    fn of_active_and_standby_only_health_decides() {
        let standby = Standby { master: 1, slave: Some(0) };
        for (why, weights, healthy, forward, tried, expect) in [
            ("the master", &[1, 1][..], &[0, 1][..], false, &[][..], Some(1)),
            ("the master is down", &[1, 1], &[0], false, &[], Some(0)),
            ("both are down", &[1, 1], &[], true, &[], None),
            ("a failed attempt does not switch over", &[1, 1], &[0, 1], false, &[1], None),
            ("nor does one to the slave", &[1, 1], &[0], false, &[0], None),
            ("weights do not count", &[1, 0], &[0, 1], false, &[], Some(1)),
        ] {
            let group = Group::new(weights, healthy);
            let mut picker = Picker::new(Placement::Standby(standby), &group.weights, forward, START, None);
            let healthy_is_empty = healthy.is_empty();
            let (health, connections) = (&group.health, &group.connections);
            let context = PickContext { client: IpAddr::from([192, 0, 2, 1]), tried, health, connections };
            assert_eq!(picker.pick(&context), expect, "{why}");
            let by = picker.pick_by(&context, |usable| (0..2).find(|&member| usable(member)));
            assert_eq!(by, expect.map(usize::from), "{why}, by another choice");
            assert_eq!(picker.serves(health), !healthy_is_empty, "{why}");
            assert!(!picker.uses_unhealthy(health), "{why}");
        }
    }

    #[test]
    fn a_change_of_the_group_goes_on_in_turn() {
        let group = Group::new(&[1, 1, 1], &[0, 1, 2]);
        let client = IpAddr::from([192, 0, 2, 1]);
        let context =
            PickContext { client, tried: &[], health: &group.health, connections: &group.connections };
        let mut picker = Picker::new(Placement::RoundRobin, &group.weights, false, START, None);
        let mut picked = Vec::new();
        for _ in 0..6 {
            picked.extend(picker.pick(&context));
            picker = Picker::new(Placement::RoundRobin, &group.weights, false, START, Some(&picker));
        }
        assert_eq!(picked, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn least_connections_reads_the_shared_counts() {
        let group = Group::new(&[1, 1], &[0, 1]);
        let client = IpAddr::from([192, 0, 2, 1]);
        let mut picker = Picker::new(Placement::LeastConnections, &group.weights, false, START, None);
        group.connections.begin(0, 0);
        let context =
            PickContext { client, tried: &[], health: &group.health, connections: &group.connections };
        assert_eq!((picker.pick(&context), picker.pick(&context)), (Some(1), Some(1)));
    }
}
