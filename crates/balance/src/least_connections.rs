//! Weighted least connections: new work to the member with the fewest connections for its weight.
//!
//! Source: behaviour/features.md section 6 (LEAST_CONNECTIONS: lowest connections ÷ weight). Ratios are compared by
//! cross-multiplication, without division. Members that tie (an idle group, for example) take turns by weight, so that short
//! connections do not all end on the first member.
//! Does not count: the caller says how many connections each member has, see [`Connections`](crate::Connections).

use model::Weight;

use crate::{MEMBERS_MAX, RoundRobin, Start};

/// The choice of one worker in one group.
#[derive(Clone, Debug)]
pub struct LeastConnections {
    weights: Box<[Weight]>,
    ties: RoundRobin,
}

impl LeastConnections {
    /// A choice among members of these weights; those of weight 0 take no work. Only the first [`MEMBERS_MAX`] members count.
    pub fn new(weights: &[Weight], start: Start) -> Self {
        Self { weights: counted(weights), ties: RoundRobin::new(weights, start) }
    }

    /// The choice among changed members; ties go on in turn.
    pub fn with_members(&self, weights: &[Weight]) -> Self {
        Self { weights: counted(weights), ties: self.ties.with_members(weights) }
    }

    /// The usable member with the fewest connections for its weight; none when no member of a weight above 0 is usable.
    pub fn pick(&mut self, usable: impl Fn(usize) -> bool, count: impl Fn(usize) -> u32) -> Option<usize> {
        let mut best: Option<Load> = None;
        let (mut first, mut ties) = (0, 0);
        for (member, weight) in self.weights.iter().enumerate() {
            if weight.value() == 0 || !usable(member) {
                continue;
            }
            let load = Load { count: count(member), weight: weight.value() };
            match best {
                Some(best) if best.is_below(load) => {}
                Some(best) if !load.is_below(best) => ties += 1,
                _ => (best, first, ties) = (Some(load), member, 1),
            }
        }
        let best = best?;
        if ties == 1 {
            return Some(first);
        }
        let tied = |member: usize| {
            let load = Load { count: count(member), weight: self.weights[member].value() };
            usable(member) && !best.is_below(load)
        };
        // Counts of other workers may have moved since the loop; then the first of the tied ones is as good.
        self.ties.pick(tied).or(Some(first))
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

fn counted(weights: &[Weight]) -> Box<[Weight]> {
    weights[..weights.len().min(MEMBERS_MAX)].into()
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
