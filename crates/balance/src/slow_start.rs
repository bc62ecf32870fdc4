//! Slow start: a member that is new in a pool takes a share of work that grows to its weight.
//!
//! A member waits until it is healthy (one without a monitor is so at once), then its share grows in a straight line over the pool's
//! duration, in steps of a hundredth of it or of a second, whichever is longer; it begins with one step. When the time is over, or as
//! soon as the member is unhealthy, its slow start has ended for good. The first members of a pool start at once, as nobody else is
//! there to take the work.
//!
//! Weights are whole numbers and most often 1, so while anybody warms, all weights of the group are scaled up, as far as a
//! [`Weight`] goes; proportions among the others stay. It works with every algorithm that looks at weights (the documents offer it
//! with round robin alone).
//!
//! Invariants (property tests below): a share never shrinks as time goes on; nobody's weight is 0 that was not 0 before; without
//! anybody warming the weights are those of the members.
//! Source: behaviour/features.md section 7 (Slow start: 30–1200 s); open-questions.md row 53.
//!
//! # How to drive it
//!
//! A target that wants it has one [`SlowStart`] beside its health table, shared by workers. Who writes verdicts there tells them to
//! [`SlowStart::handle_health`], too. A worker makes its [`Picker`](crate::Picker) anew, from the former one, with
//! [`SlowStart::weights`] at each [`SlowStart::next_step_ms`] (and looks again for one after a verdict or a change of the plan).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use model::{Weight, range::SlowStartDuration};

/// The slow start of a group's members.
#[derive(Debug)]
pub struct SlowStart {
    duration_ms: u64,
    /// When each began, or one of [`WAITING`] and [`WARM`].
    members: Box<[AtomicU64]>,
}

/// How far a member's slow start is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warmth {
    /// It begins when the member is healthy.
    Waiting,
    /// It has begun.
    Warming {
        /// When, in milliseconds of the caller's clock.
        since_ms: u64,
    },
    /// It has ended, or there was none.
    Warm,
}

impl Warmth {
    /// Of a member that was added to a pool. `pool_works`: another member is healthy; `healthy`: the member itself is already, for
    /// nobody probes it.
    pub fn of_new_member(pool_works: bool, healthy: bool, now_ms: u64) -> Self {
        match (pool_works, healthy) {
            (false, _) => Self::Warm,
            (true, true) => Self::Warming { since_ms: now_ms },
            (true, false) => Self::Waiting,
        }
    }

    /// After a verdict about the member.
    pub fn after(self, healthy: bool, now_ms: u64) -> Self {
        match (self, healthy) {
            (Self::Waiting, true) => Self::Warming { since_ms: now_ms },
            (Self::Waiting, false) => Self::Waiting,
            (Self::Warming { since_ms }, true) => Self::Warming { since_ms },
            (Self::Warming { .. }, false) | (Self::Warm, _) => Self::Warm,
        }
    }
}

impl SlowStart {
    /// The slow start of a group with so many members; `warmth` says what is known of each, from the group before or from
    /// [`Warmth::of_new_member`].
    pub fn new(duration: SlowStartDuration, members: usize, warmth: impl Fn(usize) -> Warmth) -> Self {
        let duration_ms = u64::from(duration.value()) * 1000;
        Self {
            duration_ms,
            members: (0..members).map(|member| AtomicU64::new(pack(warmth(member)))).collect(),
        }
    }

    /// How far a member is; warm outside the group.
    pub fn warmth(&self, member: usize) -> Warmth {
        self.members.get(member).map_or(Warmth::Warm, |state| unpack(state.load(Relaxed)))
    }

    /// A verdict about a member. To be called by one thread at a time. Says whether weights change by it.
    pub fn handle_health(&self, member: usize, healthy: bool, now_ms: u64) -> bool {
        let Some(state) = self.members.get(member) else { return false };
        let before = unpack(state.load(Relaxed));
        let after = before.after(healthy, now_ms);
        state.store(pack(after), Relaxed);
        before != after
    }

    /// The weights that hold now, in place of `weights`, which are the members'. Equal to them when nobody warms.
    pub fn weights(&self, weights: &[Weight], now_ms: u64) -> Box<[Weight]> {
        let steps = |member| self.steps_done(member, now_ms);
        if (0..weights.len()).all(|member| steps(member).is_none()) {
            return weights.into();
        }
        let heaviest = weights.iter().map(|weight| weight.value()).max().unwrap_or(0).max(1);
        let scale = u64::from(Weight::MAX.value() / heaviest);
        let scaled = weights.iter().enumerate().map(|(member, weight)| {
            let full = u64::from(weight.value()) * scale;
            let share = match steps(member) {
                Some(steps) => (full * steps * self.step_ms()).div_ceil(self.duration_ms),
                None => full,
            };
            // Not above `full`, as fewer steps than all are done.
            Weight::of(share.min(full) as u16)
        });
        scaled.collect()
    }

    /// When weights change next by themselves; none when nobody warms.
    pub fn next_step_ms(&self, now_ms: u64) -> Option<u64> {
        let step_ms = self.step_ms();
        let next = |member| match self.warmth(member) {
            Warmth::Warming { since_ms } => {
                let done = now_ms.saturating_sub(since_ms) / step_ms;
                let end = since_ms.saturating_add(self.duration_ms);
                (now_ms < end).then(|| since_ms.saturating_add((done + 1) * step_ms).min(end))
            }
            Warmth::Waiting | Warmth::Warm => None,
        };
        (0..self.members.len()).filter_map(next).min()
    }

    /// How many steps of its share a member may take; none when it may take all.
    fn steps_done(&self, member: usize, now_ms: u64) -> Option<u64> {
        let elapsed_ms = match self.warmth(member) {
            Warmth::Warm => return None,
            Warmth::Waiting => 0,
            Warmth::Warming { since_ms } => now_ms.saturating_sub(since_ms),
        };
        (elapsed_ms < self.duration_ms).then(|| (elapsed_ms / self.step_ms()).max(1))
    }

    fn step_ms(&self) -> u64 {
        (self.duration_ms / STEPS).max(STEP_MS_MIN)
    }
}

fn pack(warmth: Warmth) -> u64 {
    match warmth {
        Warmth::Waiting => WAITING,
        Warmth::Warming { since_ms } => since_ms.min(WAITING - 1),
        Warmth::Warm => WARM,
    }
}

fn unpack(state: u64) -> Warmth {
    match state {
        WAITING => Warmth::Waiting,
        WARM => Warmth::Warm,
        since_ms => Warmth::Warming { since_ms },
    }
}

const WARM: u64 = u64::MAX;
const WAITING: u64 = u64::MAX - 1;

/// Steps from nothing to a full share, for long durations.
const STEPS: u64 = 100;
/// Shortest step: a worker makes its picker anew at each.
const STEP_MS_MIN: u64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RoundRobin, Start};
    use proptest::prelude::*;

    fn duration(seconds: u32) -> SlowStartDuration {
        SlowStartDuration::of(seconds)
    }
    fn weights(values: &[u16]) -> Vec<Weight> {
        values.iter().map(|&value| Weight::of(value)).collect()
    }
    fn values(weights: &[Weight]) -> Vec<u16> {
        weights.iter().map(|weight| weight.value()).collect()
    }

    #[test]
    fn a_share_grows_in_a_straight_line() {
        let start = SlowStart::new(duration(100), 2, |member| match member {
            0 => Warmth::Warm,
            _ => Warmth::Warming { since_ms: 5000 },
        });
        for (why, now, own, expect) in [
            ("one step at first", 5000, &[1, 1][..], &[256, 3][..]),
            ("a quarter", 30_000, &[1, 1], &[256, 64]),
            ("a half", 55_000, &[1, 1], &[256, 128]),
            ("just before the end", 104_999, &[1, 1], &[256, 254]),
            ("at the end all weights are the members' own", 105_000, &[1, 1], &[1, 1]),
            ("of its weight", 55_000, &[1, 3], &[85, 128]),
            ("where weights are at their bound", 55_000, &[256, 256], &[256, 128]),
            ("a light member among heavy ones has its least at once", 5000, &[256, 1], &[256, 1]),
            ("weight 0 stays", 55_000, &[1, 0], &[256, 0]),
            ("a clock that is late", 0, &[1, 1], &[256, 3]),
        ] {
            assert_eq!(values(&start.weights(&weights(own), now)), expect, "{why}");
        }
    }

    #[test]
    fn a_slow_start_begins_and_ends_with_health() {
        for (why, pool_works, healthy, verdicts, expect) in [
            ("the first member of a pool", false, false, &[(9, true)][..], Warmth::Warm),
            ("not probed: at once", true, true, &[], Warmth::Warming { since_ms: 7 }),
            ("waits to be healthy", true, false, &[(9, false)], Warmth::Waiting),
            ("begins when it is", true, false, &[(9, false), (11, true)], Warmth::Warming { since_ms: 11 }),
            ("only once", true, false, &[(9, true), (11, true)], Warmth::Warming { since_ms: 9 }),
            ("ends when it is unhealthy", true, false, &[(9, true), (11, false)], Warmth::Warm),
            ("and does not begin again", true, false, &[(9, true), (11, false), (13, true)], Warmth::Warm),
        ] {
            let start = SlowStart::new(duration(30), 1, |_| Warmth::of_new_member(pool_works, healthy, 7));
            for &(now, healthy) in verdicts {
                let before = start.warmth(0);
                assert_eq!(start.handle_health(0, healthy, now), start.warmth(0) != before, "{why}");
            }
            assert_eq!(start.warmth(0), expect, "{why}");
        }
        assert!(
            !SlowStart::new(duration(30), 1, |_| Warmth::Waiting).handle_health(1, true, 0),
            "no such member"
        );
    }

    #[test]
    fn round_robin_gives_a_member_its_growing_share() {
        let start = SlowStart::new(duration(100), 4, |member| match member {
            3 => Warmth::Warming { since_ms: 0 },
            _ => Warmth::Warm,
        });
        let own = weights(&[1, 1, 1, 1]);
        let mut turn = RoundRobin::new(&own, Start { worker: 0, workers: 1 });
        let mut shares = Vec::new();
        for second in (0..=120).step_by(20) {
            turn = turn.with_members(&start.weights(&own, second * 1000));
            let picks: Vec<_> = (0..2000).filter_map(|_| turn.pick(|_| true)).collect();
            shares.push(picks.iter().filter(|&&member| member == 3).count());
        }
        for (share, part) in shares.iter().zip([0.01, 0.2, 0.4, 0.6, 0.8, 1.0, 1.0]) {
            let exact = 2000.0 * part / (3.0 + part);
            assert!((*share as f64 - exact).abs() < 8.0, "{share} for {exact}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn following_the_steps_misses_no_change(
            seconds in 30u32..=1200, own in proptest::collection::vec(0u16..=256, 1..6), since in proptest::collection::vec(0u64..2_000_000, 6),
        ) {
            let start = SlowStart::new(duration(seconds), own.len(), |member| Warmth::Warming { since_ms: since[member] });
            let own = weights(&own);
            let mut now = since.iter().copied().min().unwrap();
            let mut before = start.weights(&own, now);
            let mut steps = 0;
            while let Some(next) = start.next_step_ms(now) {
                prop_assert!(next > now);
                prop_assert_eq!(&start.weights(&own, next - 1), &before, "a change between steps");
                now = next;
                let after = start.weights(&own, now);
                let warming = start.next_step_ms(now).is_some();
                for (member, (after, before)) in after.iter().zip(&before).enumerate() {
                    prop_assert!(!warming || after >= before, "a share shrank");
                    prop_assert_eq!(after.value() == 0, own[member].value() == 0);
                }
                before = after;
                steps += 1;
                prop_assert!(steps <= 101 * since.len(), "too many steps");
            }
            prop_assert_eq!(&*before, &*own, "the last step leads to the members' weights");
        }
    }
}
