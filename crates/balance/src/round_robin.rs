//! Weighted round robin: new work in turn, in proportion to weight, smoothly.
//!
//! With equal weights the members simply take turns. With different weights each member has a timetable: in a cycle of length
//! one, a member of weight `w` is due `w` times at even distances, and members of the same weight are shifted against each
//! other so that they do not come in bunches. A pick takes whoever is due first. This gives the smoothness of nginx's smooth
//! weighted round robin, but a pick costs O(log members) instead of O(members), and the place within the cycle is one number:
//! so a worker can start anywhere in the cycle, and the place survives a change of members.
//!
//! Invariants (property tests below):
//! - any row of picks as long as the sum of the weights (divided by their greatest common divisor) gives each member exactly
//!   its weight, as long as all are usable;
//! - workers that start at `Start { worker, workers }` together go through the cycle evenly: when each has made its part of a
//!   cycle's picks, their sum is one cycle;
//! - a member that was out and comes back gets its share from then on, not the turns that it missed.
//!
//! Source: behaviour/features.md section 6 (ROUND_ROBIN: proportional to weight; equal weights = plain round robin).
//! One value belongs to one worker; there is nothing shared. Does not know health: the caller says who is usable.

mod timetable;

use model::Weight;

use crate::MEMBERS_MAX;
use timetable::{CYCLE, Timetable};

/// The turn of one worker in one group.
#[derive(Clone, Debug)]
pub struct RoundRobin(Order);

/// Where in the cycle a worker begins: worker `worker` of `workers` after `worker / workers` of its picks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// This worker's number, from 0.
    pub worker: u16,
    /// How many workers there are; at least 1 (0 is taken as 1).
    pub workers: u16,
}

impl RoundRobin {
    /// A turn over members of these weights; those of weight 0 take none. Only the first [`MEMBERS_MAX`] members count.
    pub fn new(weights: &[Weight], start: Start) -> Self {
        let workers = u64::from(start.workers.max(1));
        let worker = u64::from(start.worker) % workers;
        let mut turn = Self::at(weights, 0);
        match &mut turn.0 {
            Order::Even(rotation) => rotation.go_to_part(worker, workers),
            Order::Weighted(timetable) => timetable.go_to_part(worker, workers),
        }
        turn
    }

    /// The turn over changed members, at the same place of the cycle.
    pub fn with_members(&self, weights: &[Weight]) -> Self {
        Self::at(weights, self.place())
    }

    /// The next usable member; none when no member of a weight above 0 is usable. The next turn is another's.
    pub fn pick(&mut self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        match &mut self.0 {
            Order::Even(rotation) => rotation.pick(usable),
            Order::Weighted(timetable) => timetable.pick(usable),
        }
    }

    fn at(weights: &[Weight], place: u64) -> Self {
        let weights = &weights[..weights.len().min(MEMBERS_MAX)];
        let working = || weights.iter().enumerate().filter(|(_, weight)| weight.value() > 0);
        let members: Box<[u16]> = working().map(|(member, _)| member as u16).collect();
        let mut values = working().map(|(_, weight)| weight.value());
        let first = values.next();
        Self(match values.all(|weight| Some(weight) == first) {
            true => Order::Even(Rotation::at(members, place)),
            false => Order::Weighted(Timetable::at(&members, weights, place)),
        })
    }

    /// The place in the cycle, from 0 up to but not including [`CYCLE`].
    fn place(&self) -> u64 {
        match &self.0 {
            Order::Even(rotation) => rotation.place(),
            Order::Weighted(timetable) => timetable.place(),
        }
    }
}

#[derive(Clone, Debug)]
enum Order {
    Even(Rotation),
    Weighted(Timetable),
}

/// Equal weights: one after the other.
#[derive(Clone, Debug)]
struct Rotation {
    members: Box<[u16]>,
    next: usize,
}

impl Rotation {
    fn at(members: Box<[u16]>, place: u64) -> Self {
        let next = (place * members.len() as u64 / CYCLE) as usize;
        Self { members, next }
    }

    fn place(&self) -> u64 {
        // Rounded up, so that `at` finds the same member again when their number has not changed.
        (self.next as u64 * CYCLE).div_ceil(self.members.len().max(1) as u64)
    }

    /// As [`Timetable::go_to_part`]. A place is rounded; this is exact.
    fn go_to_part(&mut self, part: u64, parts: u64) {
        self.next = (self.members.len() as u64 * part / parts) as usize;
    }

    fn pick(&mut self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        for _ in 0..self.members.len() {
            let member = usize::from(self.members[self.next]);
            self.next = if self.next + 1 == self.members.len() { 0 } else { self.next + 1 };
            if usable(member) {
                return Some(member);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::timetable::gcd;
    use super::*;
    use proptest::prelude::*;

    const ALONE: Start = Start { worker: 0, workers: 1 };

    fn weights(values: &[u16]) -> Vec<Weight> {
        values.iter().map(|&value| Weight::of(value)).collect()
    }
    fn picks(turn: &mut RoundRobin, count: usize) -> Vec<usize> {
        (0..count).map(|_| turn.pick(|_| true).unwrap()).collect()
    }
    fn counts(picks: &[usize], members: usize) -> Vec<usize> {
        (0..members).map(|member| picks.iter().filter(|&&pick| pick == member).count()).collect()
    }
    /// The length of a cycle in picks, and what each member gets of it.
    fn shares(values: &[u16]) -> (usize, Vec<usize>) {
        let divisor = values.iter().fold(0, |divisor, &value| gcd(divisor, value)).max(1);
        let shares: Vec<usize> = values.iter().map(|&value| usize::from(value / divisor)).collect();
        (shares.iter().sum(), shares)
    }

    #[test]
    fn members_take_turns_by_weight() {
        for (why, values, expect) in [
            ("equal weights rotate", &[1, 1, 1][..], &[0, 1, 2, 0, 1, 2][..]),
            ("equal heavy weights rotate alike", &[100, 100], &[0, 1, 0, 1]),
            ("weights give shares", &[3, 1], &[0, 0, 1, 0]),
            ("no bunches: the light ones are spread", &[5, 1, 1], &[0, 1, 0, 0, 0, 2, 0]),
            ("a common divisor changes nothing", &[50, 10, 10], &[0, 1, 0, 0, 0, 2, 0]),
            ("zero weight takes no work", &[1, 0], &[0, 0, 0, 0]),
            ("zero weight among equal ones", &[2, 0, 2], &[0, 2, 0, 2]),
            ("one member takes all", &[7], &[0, 0]),
        ] {
            let mut turn = RoundRobin::new(&weights(values), ALONE);
            assert_eq!(picks(&mut turn, expect.len()), expect, "{why}");
        }
    }

    #[test]
    fn nobody_usable_is_nobody_picked() {
        for values in [&[][..], &[0, 0], &[1, 1], &[1, 2, 256]] {
            let mut turn = RoundRobin::new(&weights(values), ALONE);
            assert_eq!(turn.pick(|_| false), None, "{values:?}");
        }
    }

    #[test]
    fn an_unusable_member_is_stepped_over_and_the_others_keep_their_proportion() {
        for (values, out, expect) in [
            (&[1, 1, 1, 1][..], 1, [1, 0, 1, 1]),
            (&[1, 2, 4, 1], 2, [1, 2, 0, 1]),
            (&[8, 1, 1, 2], 0, [0, 1, 1, 2]),
        ] {
            let mut turn = RoundRobin::new(&weights(values), ALONE);
            let usable: usize = expect.iter().sum();
            let picks: Vec<_> = (0..10 * usable).map(|_| turn.pick(|m| m != out).unwrap()).collect();
            assert_eq!(counts(&picks, 4), expect.map(|n| 10 * n), "{values:?} without {out}");
        }
    }

    #[test]
    fn a_member_that_comes_back_does_not_catch_up() {
        let mut turn = RoundRobin::new(&weights(&[2, 1, 1]), ALONE);
        for _ in 0..1000 {
            turn.pick(|member| member != 0);
        }
        let back = picks(&mut turn, 40);
        let got = counts(&back, 3);
        assert!(got[0].abs_diff(20) <= 1 && got[1].abs_diff(10) <= 1, "{got:?}");
    }

    #[test]
    fn one_light_member_among_many_heavy_ones_that_are_out_is_found() {
        let mut values = vec![256; 499];
        values.push(1);
        let mut turn = RoundRobin::new(&weights(&values), ALONE);
        assert!((0..100).all(|_| turn.pick(|member| member == 499) == Some(499)));
        let (length, expect) = shares(&values);
        assert_eq!(counts(&picks(&mut turn, length), 500), expect, "and all are back at once");
    }

    #[test]
    fn workers_begin_at_different_members() {
        let all = weights(&[1; 8]);
        let first: Vec<_> = (0..4)
            .map(|worker| RoundRobin::new(&all, Start { worker, workers: 4 }).pick(|_| true).unwrap())
            .collect();
        assert_eq!(first, [0, 2, 4, 6]);
        for workers in 1..100 {
            let all = weights(&vec![1; workers.into()]);
            for worker in 0..workers {
                let first = RoundRobin::new(&all, Start { worker, workers }).pick(|_| true);
                assert_eq!(first, Some(worker.into()), "of {workers}: each worker has a member of its own");
            }
        }
        RoundRobin::new(&all, Start { worker: 3, workers: 0 });
    }

    #[test]
    fn workers_with_equal_weights_are_within_one_of_exact_at_every_moment() {
        for (members, workers) in [(3, 2), (3, 3), (8, 4), (9, 3), (5, 8), (6, 9), (7, 16)] {
            let all = weights(&vec![1; members]);
            let mut turns: Vec<_> =
                (0..workers).map(|worker| RoundRobin::new(&all, Start { worker, workers })).collect();
            let mut got = vec![0; members];
            for _ in 0..40 {
                turns.iter_mut().for_each(|turn| got[turn.pick(|_| true).unwrap()] += 1);
                let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
                assert!(most - least <= 1, "{members} members, {workers} workers: {got:?}");
            }
        }
    }

    #[test]
    fn the_first_picks_of_many_workers_have_the_proportion_of_the_weights() {
        let all = weights(&[3, 1]);
        let first: Vec<_> = (0..16)
            .map(|worker| RoundRobin::new(&all, Start { worker, workers: 16 }).pick(|_| true).unwrap())
            .collect();
        assert_eq!(counts(&first, 2), [12, 4]);
    }

    #[test]
    fn a_change_of_members_keeps_the_place() {
        let mut turn = RoundRobin::new(&weights(&[1; 5]), ALONE);
        for round in 0..23 {
            assert_eq!(turn.pick(|_| true), Some(round % 5));
            turn = turn.with_members(&weights(&[1; 5]));
        }
        let values = weights(&[3, 1, 6]);
        let (mut turn, mut steady) = (RoundRobin::new(&values, ALONE), RoundRobin::new(&values, ALONE));
        for _ in 0..50 {
            assert_eq!(turn.pick(|_| true), steady.pick(|_| true));
            turn = turn.with_members(&values);
        }
    }

    fn some_weights() -> impl Strategy<Value = Vec<u16>> {
        let light = proptest::collection::vec(0u16..=5, 1..12);
        let wide = proptest::collection::vec(0u16..=256, 1..30);
        prop_oneof![light, wide].prop_filter("somebody works", |values| values.iter().any(|&value| value > 0))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_window_of_one_cycle_gives_exact_shares(values in some_weights(), skip in 0usize..500, worker in 0u16..8) {
            let (length, expect) = shares(&values);
            let mut turn = RoundRobin::new(&weights(&values), Start { worker, workers: 8 });
            picks(&mut turn, skip);
            prop_assert_eq!(counts(&picks(&mut turn, length), values.len()), expect);
        }

        #[test]
        fn at_every_moment_each_member_is_near_its_exact_share(values in some_weights()) {
            let (length, expect) = shares(&values);
            let mut turn = RoundRobin::new(&weights(&values), ALONE);
            let mut got = vec![0usize; values.len()];
            for done in 1..=length.min(2000) {
                got[turn.pick(|_| true).unwrap()] += 1;
                for (member, &share) in expect.iter().enumerate() {
                    let exact = (done * share) as f64 / length as f64;
                    // A member alone in a class of weights is within one half of its timetable; the clock itself is
                    // within half a turn per class of the number of picks.
                    prop_assert!((got[member] as f64 - exact).abs() < 2.0, "member {} has {} not {} of {}", member, got[member], exact, done);
                }
            }
        }

        #[test]
        fn workers_together_make_exactly_one_cycle(values in some_weights(), workers in 1u16..=16) {
            let (length, expect) = shares(&values);
            let part = |worker: u16| length * usize::from(worker) / usize::from(workers);
            let mut got = vec![0usize; values.len()];
            for worker in 0..workers {
                let mut turn = RoundRobin::new(&weights(&values), Start { worker, workers });
                picks(&mut turn, part(worker + 1) - part(worker)).into_iter().for_each(|pick| got[pick] += 1);
            }
            prop_assert_eq!(got, expect);
        }

        #[test]
        fn whoever_is_usable_is_found(values in some_weights(), out in any::<u64>(), rounds in 1usize..50) {
            let usable = |member: usize| out >> (member % 64) & 1 == 1;
            let somebody = values.iter().enumerate().any(|(member, &value)| value > 0 && usable(member));
            let mut turn = RoundRobin::new(&weights(&values), ALONE);
            for _ in 0..rounds {
                let pick = turn.pick(usable);
                prop_assert_eq!(pick.is_some(), somebody);
                prop_assert!(pick.is_none_or(|member| usable(member) && values[member] > 0));
            }
        }
    }
}
