//! The choice between the pools of a policy: at random, in proportion to weight.
//!
//! Each request is chosen for alone; over many requests each pool gets its share. Where the policy keeps a client on a pool, a
//! [`crate::Stickiness`] over the pools (group: the policy's id) is asked first, with a cookie of its own name; what it does not
//! answer is chosen here.
//!
//! Source: behaviour/forwarding.md (Actions, REDIRECT_TO_POOL); open-questions.md row 54: weighted random per request, seedable.
//! Does not know health: the caller says which pools count.

use model::Weight;

/// The pools of a policy by their weights; shared by all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedPools {
    weights: Box<[u16]>,
}

/// A row of random numbers that follows from its seed; each worker has its own.
///
/// SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014). Not for secrets.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The row of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, every value with the same chance.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut v = self.0;
        v = (v ^ (v >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        v = (v ^ (v >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        v ^ (v >> 31)
    }

    /// A number below `end`; 0 when that is 0.
    pub const fn below(&mut self, end: u32) -> u32 {
        // The chances of two results differ by less than end / 2^64.
        ((self.roll() as u128 * end as u128) >> 64) as u32
    }
}

impl WeightedPools {
    /// Pools of these weights, in the policy's order; those of weight 0 get nothing.
    pub fn new(weights: impl IntoIterator<Item = Weight>) -> Self {
        Self { weights: weights.into_iter().map(Weight::value).collect() }
    }

    /// The place of a pool that counts, each with a chance in proportion to its weight; none when no pool of a weight above 0
    /// counts. Costs one look at each pool, of which a policy has at most 5.
    pub fn pick(&self, dice: &mut Dice, counts: impl Fn(usize) -> bool) -> Option<usize> {
        let pools = || self.weights.iter().enumerate().filter(|(pool, _)| counts(*pool));
        let sum: u32 = pools().map(|(_, &weight)| u32::from(weight)).sum();
        if sum == 0 {
            return None;
        }
        let mut rest = dice.below(sum);
        let chosen = pools().find(|(_, weight)| match rest.checked_sub(u32::from(**weight)) {
            Some(less) => {
                rest = less;
                false
            }
            None => true,
        });
        chosen.map(|(pool, _)| pool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pools(weights: &[u16]) -> WeightedPools {
        WeightedPools::new(weights.iter().map(|&weight| Weight::of(weight)))
    }

    #[test]
    fn pools_get_requests_by_weight() {
        for (why, weights, out, expect) in [
            ("by weight", &[70, 20, 10][..], None, &[70, 20, 10][..]),
            ("equal", &[1, 1], None, &[50, 50]),
            ("weight 0 gets nothing", &[0, 100, 0], None, &[0, 100, 0]),
            ("one that does not count is as if it were not there", &[50, 30, 20], Some(0), &[0, 60, 40]),
            ("alone", &[5], None, &[100]),
        ] {
            let mut dice = Dice::new(1);
            let mut got = vec![0u32; weights.len()];
            for _ in 0..10_000 {
                got[pools(weights).pick(&mut dice, |pool| Some(pool) != out).unwrap()] += 1;
            }
            for (got, expect) in got.iter().zip(expect) {
                assert!(got.abs_diff(expect * 100) <= 250 && (*expect > 0 || *got == 0), "{why}: {got}");
            }
        }
    }

    #[test]
    fn no_pool_is_chosen_when_none_counts() {
        for weights in [&[][..], &[0, 0], &[1]] {
            assert_eq!(pools(weights).pick(&mut Dice::new(1), |_| false), None);
        }
        assert_eq!(pools(&[0, 0]).pick(&mut Dice::new(1), |_| true), None);
    }

    #[test]
    fn the_dice_roll_as_published() {
        // The reference implementation's row for this seed.
        let mut dice = Dice::new(1_234_567);
        assert_eq!([dice.roll(), dice.roll()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
        assert_eq!(dice.below(0), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_seed_gives_one_row_and_only_pools_that_count(weights in proptest::collection::vec(0u16..=100, 0..6), seed in any::<u64>(), out in any::<u8>()) {
            let pools = pools(&weights);
            let counts = |pool: usize| out >> pool & 1 == 0;
            let row = || {
                let mut dice = Dice::new(seed);
                (0..20).map(|_| pools.pick(&mut dice, counts)).collect::<Vec<_>>()
            };
            prop_assert_eq!(row(), row());
            let somebody = (0..weights.len()).any(|pool| weights[pool] > 0 && counts(pool));
            for picked in row() {
                prop_assert_eq!(picked.is_some(), somebody);
                prop_assert!(picked.is_none_or(|pool| weights[pool] > 0 && counts(pool)));
            }
        }
    }
}
