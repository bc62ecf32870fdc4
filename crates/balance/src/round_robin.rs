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

use model::Weight;

use crate::MEMBERS_MAX;

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
        let mut turn = Self::at(weights, CYCLE * worker / workers);
        if let Order::Weighted(timetable) = &mut turn.0 {
            timetable.go_to_part(worker, workers);
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
            Order::Weighted(timetable) => timetable.now % CYCLE,
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

/// Different weights: whoever is due first. The earliest is found by a tournament: a binary tree whose inner nodes name the
/// earlier of their two children.
#[derive(Clone, Debug)]
struct Timetable {
    turns: Box<[Turns]>,
    /// Node 1 is the root, node `n` has the children `2n` and `2n + 1`; the second half are the leaves.
    tree: Box<[u16]>,
    /// Just after the last pick. Whoever is due earlier missed turns while it was not usable.
    now: u64,
}

/// The timetable of one member: in each cycle it is due at `(turn + (rank + ½) / peers) / weight` for each `turn < weight`.
/// The lowest bits of a time are the member's own, so no two members are due at the same time.
#[derive(Clone, Copy, Debug)]
struct Turns {
    /// When it is due next: whole cycles, and the part of a cycle in the lower 48 bits.
    due: u64,
    /// Its place in [`Timetable::turns`].
    own: u16,
    member: u16,
    weight: u16,
    /// The turn of the cycle that `due` is.
    turn: u16,
    /// Its number among the members of its weight.
    rank: u16,
    /// How many members have its weight.
    peers: u16,
}

/// The length of a cycle.
const CYCLE: u64 = 1 << (32 + OWN_BITS);
/// The lowest bits of a time, see [`Turns`].
const OWN_BITS: u32 = 16;
/// How many unusable members a pick steps over one by one before it looks at all at once.
const STEPS_MAX: usize = 8;
/// Marks a leaf without a member.
const NONE: u16 = u16::MAX;

impl Timetable {
    fn at(members: &[u16], weights: &[Weight], place: u64) -> Self {
        let value = |member: u16| weights[usize::from(member)].value();
        let divisor = members.iter().fold(0, |divisor, &member| gcd(divisor, value(member)));
        let mut peers = [0u16; Weight::MAX.value() as usize + 1];
        let mut turns: Box<[Turns]> = members
            .iter()
            .zip(0..)
            .map(|(&member, own)| {
                let weight = value(member) / divisor;
                let rank = peers[usize::from(weight)];
                peers[usize::from(weight)] += 1;
                Turns { due: 0, own, member, weight, turn: 0, rank, peers: 0 }
            })
            .collect();
        for turns in &mut turns {
            turns.peers = peers[usize::from(turns.weight)];
            turns.forward(place);
        }
        let leaves = turns.len().next_power_of_two();
        let mut timetable = Self { turns, tree: vec![NONE; 2 * leaves].into(), now: place };
        timetable.grow();
        timetable
    }

    fn pick(&mut self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        if self.now >= u64::MAX / 2 {
            self.rebase();
        }
        for _ in 0..STEPS_MAX {
            let first = self.tree[1];
            let turns = &mut self.turns[usize::from(first)];
            if turns.due < self.now {
                turns.forward(self.now);
                self.settle(first);
                continue;
            }
            self.now = turns.due + 1;
            turns.advance();
            let member = usize::from(turns.member);
            self.settle(first);
            if usable(member) {
                return Some(member);
            }
        }
        self.pick_among_all(usable)
    }

    /// To the state after `part / parts` of a cycle's picks. Picks are not quite even in time, so the clock is set a little
    /// before the wanted pick, and then picks are made up to it.
    fn go_to_part(&mut self, part: u64, parts: u64) {
        let length: u64 = self.turns.iter().map(|turns| u64::from(turns.weight)).sum();
        let wanted = length * part / parts;
        let mut kinds: Vec<u16> = self.turns.iter().map(|turns| turns.weight).collect();
        kinds.sort_unstable();
        kinds.dedup();
        // Members of one weight together are at most half a pick off the clock, and rounding adds one.
        let early = wanted.saturating_sub(kinds.len() as u64 / 2 + 1);
        self.now = (CYCLE / length) * early;
        self.turns.iter_mut().for_each(|turns| turns.forward(self.now));
        self.grow();
        let made: u64 = self.turns.iter().map(Turns::made_in_first_cycle).sum();
        for _ in made..wanted {
            self.pick(|_| true);
        }
    }

    /// For the case that many members are out: bounds the cost of a pick by one look at each member.
    fn pick_among_all(&mut self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let mut best: Option<(u64, u16)> = None;
        for index in 0..self.turns.len() as u16 {
            let turns = &mut self.turns[usize::from(index)];
            if !usable(usize::from(turns.member)) {
                continue;
            }
            if turns.due < self.now {
                turns.forward(self.now);
                self.settle(index);
            }
            let due = self.turns[usize::from(index)].due;
            if best.is_none_or(|(earliest, _)| due < earliest) {
                best = Some((due, index));
            }
        }
        let (due, index) = best?;
        self.now = due + 1;
        self.turns[usize::from(index)].advance();
        self.settle(index);
        Some(usize::from(self.turns[usize::from(index)].member))
    }

    /// Plays the games of one leaf's path again.
    fn settle(&mut self, leaf: u16) {
        let mut node = (self.tree.len() / 2 + usize::from(leaf)) / 2;
        while node > 0 {
            self.tree[node] = self.earlier(self.tree[2 * node], self.tree[2 * node + 1]);
            node /= 2;
        }
    }

    /// Plays all games.
    fn grow(&mut self) {
        let leaves = self.tree.len() / 2;
        for leaf in 0..self.turns.len() {
            self.tree[leaves + leaf] = leaf as u16;
        }
        for node in (1..leaves).rev() {
            self.tree[node] = self.earlier(self.tree[2 * node], self.tree[2 * node + 1]);
        }
    }

    fn earlier(&self, left: u16, right: u16) -> u16 {
        // Leaves fill from the left, so a left child without a member has a right one without, too.
        if right == NONE || self.turns[usize::from(left)].due <= self.turns[usize::from(right)].due {
            left
        } else {
            right
        }
    }

    /// Takes whole cycles off all times before the clock runs over.
    fn rebase(&mut self) {
        let past = self.now - self.now % CYCLE;
        self.now -= past;
        for turns in &mut self.turns {
            turns.due = turns.due.saturating_sub(past);
        }
        self.grow();
    }
}

impl Turns {
    /// To the next turn.
    fn advance(&mut self) {
        let cycle = self.due - self.due % CYCLE;
        if self.turn + 1 < self.weight {
            self.turn += 1;
            self.due = cycle + self.time_of(self.turn);
        } else {
            self.turn = 0;
            self.due = cycle + CYCLE + self.time_of(0);
        }
    }

    /// To the first turn that is not before `time`.
    fn forward(&mut self, time: u64) {
        let (cycle, part) = (time - time % CYCLE, time % CYCLE);
        // A lower bound: the rank shifts a turn by less than one distance.
        self.turn = (part * u64::from(self.weight) / CYCLE).saturating_sub(1) as u16;
        while self.turn < self.weight && self.time_of(self.turn) < part {
            self.turn += 1;
        }
        if self.turn < self.weight {
            self.due = cycle + self.time_of(self.turn);
        } else {
            self.turn = 0;
            self.due = cycle + CYCLE + self.time_of(0);
        }
    }

    /// How many turns of the first cycle are over.
    fn made_in_first_cycle(&self) -> u64 {
        u64::from(if self.due < CYCLE { self.turn } else { self.weight })
    }

    /// When a turn is due within its cycle.
    fn time_of(&self, turn: u16) -> u64 {
        let (turn, rank, peers) = (u64::from(turn), u64::from(self.rank), u64::from(self.peers));
        // At most 2^(1 + 16 + 8) turns, so the shift by 32 fits.
        let time = ((2 * peers * turn + 2 * rank + 1) << 32) / (2 * peers * u64::from(self.weight));
        (time << OWN_BITS) + u64::from(self.own)
    }
}

fn gcd(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
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
    fn the_clock_does_not_run_over() {
        let mut turn = RoundRobin::new(&weights(&[3, 1]), ALONE);
        let Order::Weighted(timetable) = &mut turn.0 else { panic!("different weights") };
        let late = (u64::MAX / 2) - (u64::MAX / 2) % CYCLE;
        timetable.now = late;
        timetable.turns.iter_mut().for_each(|turns| turns.forward(late));
        timetable.grow();
        assert_eq!(counts(&picks(&mut turn, 40), 2), [30, 10]);
        let Order::Weighted(timetable) = &turn.0 else { panic!("different weights") };
        assert!(timetable.now < 20 * CYCLE);
    }

    #[test]
    fn workers_begin_at_different_members() {
        let all = weights(&[1; 8]);
        let first: Vec<_> = (0..4)
            .map(|worker| RoundRobin::new(&all, Start { worker, workers: 4 }).pick(|_| true).unwrap())
            .collect();
        assert_eq!(first, [0, 2, 4, 6]);
        RoundRobin::new(&all, Start { worker: 3, workers: 0 });
    }

    #[test]
    fn workers_with_equal_weights_are_within_one_of_exact_at_every_moment() {
        for (members, workers) in [(3, 2), (8, 4), (5, 8), (7, 16)] {
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
