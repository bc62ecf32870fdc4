//! Weighted least connections: new work to the member with the fewest connections for its weight.
//!
//! Source: behaviour/features.md section 6 (LEAST_CONNECTIONS: lowest connections ÷ weight). Ratios are compared by
//! cross-multiplication, without division. Members that tie (an idle group, for example) take turns by weight, so that short
//! connections do not all end on the first member.
//! Does not count: the caller says how many connections each member has, see [`Connections`](crate::Connections).

use model::Weight;

use crate::{MEMBERS_MAX, Start};

/// The choice of one worker in one group.
#[derive(Clone, Debug)]
pub struct LeastConnections {
    members: Box<[Member]>,
    /// The turn that was taken last among members that tied.
    now: u64,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    weight: Weight,
    /// Among members that tie, the one with the earliest turn is picked; then its turn comes later, by [`TURN`] ÷ weight.
    turn: u64,
}

/// How much later the next turn of a member of weight 1 comes. Coarse enough that turns do not run over: even a worker that
/// makes a million picks per second for one member takes half a year to 2^44 turns.
const TURN: u64 = 1 << 20;

impl LeastConnections {
    /// A choice among members of these weights; those of weight 0 take no work. Only the first [`MEMBERS_MAX`] members count.
    pub fn new(weights: &[Weight], start: Start) -> Self {
        let count = weights.len().min(MEMBERS_MAX) as u64;
        let workers = u64::from(start.workers.max(1));
        let first = count * (u64::from(start.worker) % workers) / workers;
        let member = |(index, &weight)| {
            // First turns are spread over one round and begin, for this worker, with member `first`.
            let place = (index as u64 + count - first) % count;
            Member { weight, turn: TURN / u64::from(weight.value().max(1)) * place / count }
        };
        Self { members: weights.iter().take(MEMBERS_MAX).enumerate().map(member).collect(), now: 0 }
    }

    /// The usable member with the fewest connections for its weight; none when no member of a weight above 0 is usable.
    pub fn pick(&mut self, usable: impl Fn(usize) -> bool, count: impl Fn(usize) -> u32) -> Option<usize> {
        let mut best: Option<(Load, u64, usize)> = None;
        let mut tied = false;
        for (index, member) in self.members.iter().enumerate() {
            if member.weight.value() == 0 || !usable(index) {
                continue;
            }
            let load = Load { count: count(index), weight: member.weight.value() };
            // Turns that passed while others had fewer connections are not made up for.
            let turn = member.turn.max(self.now);
            match best {
                Some((least, ..)) if least.is_below(load) => {}
                Some((least, earliest, _)) if !load.is_below(least) => {
                    tied = true;
                    if turn < earliest {
                        best = Some((load, turn, index));
                    }
                }
                _ => (best, tied) = (Some((load, turn, index)), false),
            }
        }
        let (_, turn, index) = best?;
        if tied {
            let member = &mut self.members[index];
            self.now = turn;
            member.turn = turn.saturating_add(TURN / u64::from(member.weight.value()));
        }
        Some(index)
    }
}

/// Connections for a weight above 0.
#[derive(Clone, Copy)]
struct Load {
    count: u32,
    weight: u16,
}

impl Load {
    fn is_below(self, other: Self) -> bool {
        u64::from(self.count) * u64::from(other.weight) < u64::from(other.count) * u64::from(self.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALONE: Start = Start { worker: 0, workers: 1 };

    fn choice(weights: &[u16]) -> LeastConnections {
        LeastConnections::new(&weights.iter().map(|&w| Weight::of(w)).collect::<Vec<_>>(), ALONE)
    }

    #[test]
    fn the_fewest_connections_for_the_weight_win() {
        for (why, weights, counts, out, expect) in [
            ("fewest", &[1, 1, 1][..], &[3, 1, 2][..], &[][..], Some(1)),
            ("for the weight", &[10, 1], &[9, 1], &[], Some(0)),
            ("just above its share", &[10, 1], &[11, 1], &[], Some(1)),
            ("unusable does not count", &[1, 1, 1], &[3, 1, 2], &[1], Some(2)),
            ("weight 0 takes none", &[0, 1], &[0, 100], &[], Some(1)),
            ("nobody is usable", &[1, 1], &[0, 0], &[0, 1], None),
            ("only weights of 0", &[0, 0], &[0, 0], &[], None),
            ("no members", &[], &[], &[], None),
            ("large counts do not run over", &[256, 255], &[u32::MAX, u32::MAX], &[], Some(0)),
        ] {
            assert_eq!(choice(weights).pick(|m| !out.contains(&m), |m| counts[m]), expect, "{why}");
        }
    }

    #[test]
    fn ties_take_turns_by_weight() {
        let mut idle = choice(&[1, 1, 1]);
        let picks: Vec<_> = (0..6).map(|_| idle.pick(|_| true, |_| 0).unwrap()).collect();
        assert_eq!(picks, [0, 1, 2, 0, 1, 2], "short connections spread over an idle group");
        let mut idle = choice(&[3, 1]);
        let heavy = (0..40).filter(|_| idle.pick(|_| true, |_| 0) == Some(0)).count();
        assert_eq!(heavy, 30);
        let mut part = choice(&[1, 1, 1]);
        let picks: Vec<_> = (0..4).map(|_| part.pick(|_| true, |m| [0, 5, 0][m]).unwrap()).collect();
        assert_eq!(picks, [0, 2, 0, 2], "only the tied take part");
    }

    #[test]
    fn workers_begin_their_ties_at_different_members() {
        let all = [Weight::of(1); 8];
        let first = (0..4).map(|worker| {
            LeastConnections::new(&all, Start { worker, workers: 4 }).pick(|_| true, |_| 0).unwrap()
        });
        assert_eq!(first.collect::<Vec<_>>(), [0, 2, 4, 6]);
    }

    #[test]
    fn a_member_that_was_busy_does_not_take_all_turns_when_it_is_idle_again() {
        let mut choice = choice(&[1, 1, 1]);
        (0..100).for_each(|_| assert_ne!(choice.pick(|_| true, |m| [1, 0, 0][m]), Some(0)));
        let picks: Vec<_> = (0..30).map(|_| choice.pick(|_| true, |_| 0).unwrap()).collect();
        let of = |member| picks.iter().filter(|&&pick| pick == member).count();
        assert!((0..3).all(|member| of(member).abs_diff(10) <= 1), "{picks:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn connections_that_stay_fill_members_in_proportion_to_weight(
            weights in proptest::collection::vec(1u16..=20, 1..20), rounds in 1u32..10,
        ) {
            let mut choice = choice(&weights);
            let mut counts = vec![0u32; weights.len()];
            let sum: u32 = weights.iter().map(|&w| u32::from(w)).sum();
            for _ in 0..rounds * sum {
                let pick = choice.pick(|_| true, |m| counts[m]).unwrap();
                counts[pick] += 1;
            }
            for (count, weight) in counts.iter().zip(&weights) {
                prop_assert!(count.abs_diff(rounds * u32::from(*weight)) <= 1, "{:?} for {:?}", counts, weights);
            }
        }
    }
}
