//! When a member is probed next.
//!
//! The first probe comes almost at once, so that a new member works soon; a small random delay keeps thousands of members from
//! being probed in one instant at start. Later probes come one interval after the last one *began*, up to a tenth sooner or
//! later, so that members that began together drift apart. (behaviour/features.md section 8, "First check", has a random moment
//! within the first interval; ours is inside it, only early.)
//!
//! How it is driven: one schedule per probed member, seeded with something of the member's own. The prober waits
//! [`ProbeSchedule::first`], then after each probe's begin [`ProbeSchedule::next`]. A probe that lasts longer than that delay
//! is followed by the next at its end, never by two at once: that is up to the prober.

use std::time::Duration;

use crate::mix::mix;

/// The row of delays of one member.
#[derive(Clone, Debug)]
pub struct ProbeSchedule {
    seed: u64,
    drawn: u64,
}

impl ProbeSchedule {
    /// Longest delay before a first probe.
    pub const FIRST_DELAY_MAX: Duration = Duration::from_millis(200);

    /// A schedule; equal seeds give equal rows.
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// How long to wait before the first probe: less than the interval and than [`Self::FIRST_DELAY_MAX`].
    pub fn first(&mut self, interval: Duration) -> Duration {
        interval.min(Self::FIRST_DELAY_MAX).mul_f64(self.draw())
    }

    /// How long after a probe began the next one begins: the interval, up to 10 % sooner or later.
    pub fn next(&mut self, interval: Duration) -> Duration {
        interval.mul_f64(0.9 + 0.2 * self.draw())
    }

    /// The next number of the row, from 0 up to but not including 1.
    fn draw(&mut self) -> f64 {
        self.drawn = self.drawn.wrapping_add(1);
        // 53 bits fill the mantissa of an f64 exactly.
        (mix(self.seed ^ mix(self.drawn)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn delays_keep_their_bounds(seed in any::<u64>(), seconds in 1u64..=65_535) {
            let interval = Duration::from_secs(seconds);
            let mut schedule = ProbeSchedule::new(seed);
            prop_assert!(schedule.first(interval) < ProbeSchedule::FIRST_DELAY_MAX);
            for _ in 0..20 {
                let delay = schedule.next(interval);
                prop_assert!(delay >= interval.mul_f64(0.9) && delay <= interval.mul_f64(1.1));
            }
        }
    }

    #[test]
    fn members_of_one_start_are_spread_and_drift_apart() {
        let interval = Duration::from_secs(5);
        let first: Vec<_> = (0..1000).map(|seed| ProbeSchedule::new(seed).first(interval)).collect();
        for part in 0..10 {
            let from = Duration::from_millis(20 * part);
            let inside =
                first.iter().filter(|d| (from..from + Duration::from_millis(20)).contains(*d)).count();
            assert!((60..=140).contains(&inside), "{inside} of 1000 in a tenth of the span");
        }
        let mut schedule = ProbeSchedule::new(7);
        let row: Vec<_> = (0..100).map(|_| schedule.next(interval)).collect();
        let mean = row.iter().sum::<Duration>() / 100;
        assert!(mean.abs_diff(interval) < Duration::from_millis(100), "no drift of the mean: {mean:?}");
        assert!(row.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn an_interval_shorter_than_the_first_delay_bounds_it() {
        let interval = Duration::from_millis(50);
        assert!((0..100).all(|seed| ProbeSchedule::new(seed).first(interval) < interval));
    }
}
