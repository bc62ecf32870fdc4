//! The timetable of members with different weights, and who of them is due first. See the module above.

use model::Weight;

/// Different weights: whoever is due first. The earliest is found by a tournament: a binary tree whose inner nodes name the
/// earlier of their two children.
#[derive(Clone, Debug)]
pub(super) struct Timetable {
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
pub(super) const CYCLE: u64 = 1 << (32 + OWN_BITS);
/// The lowest bits of a time, see [`Turns`].
const OWN_BITS: u32 = 16;
/// How many unusable members a pick steps over one by one before it looks at all at once.
const STEPS_MAX: usize = 8;
/// Marks a leaf without a member.
const NONE: u16 = u16::MAX;

impl Timetable {
    pub(super) fn at(members: &[u16], weights: &[Weight], place: u64) -> Self {
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

    pub(super) fn pick(&mut self, usable: impl Fn(usize) -> bool) -> Option<usize> {
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

    /// The place in the cycle, from 0 up to but not including [`CYCLE`].
    pub(super) fn place(&self) -> u64 {
        self.now % CYCLE
    }

    /// To the state after `part / parts` of a cycle's picks. Picks are not quite even in time, so the clock is set a little
    /// before the wanted pick, and then picks are made up to it.
    pub(super) fn go_to_part(&mut self, part: u64, parts: u64) {
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

pub(super) fn gcd(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_does_not_run_over() {
        let weights = [3, 1].map(Weight::of);
        let late = (u64::MAX / 2) - (u64::MAX / 2) % CYCLE;
        let mut timetable = Timetable::at(&[0, 1], &weights, late);
        let picks: Vec<_> = (0..40).filter_map(|_| timetable.pick(|_| true)).collect();
        assert_eq!(picks.iter().filter(|&&pick| pick == 0).count(), 30);
        assert_eq!(picks.len(), 40);
        assert!(timetable.now < 20 * CYCLE);
    }
}
