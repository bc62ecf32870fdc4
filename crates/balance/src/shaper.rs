//! Limits per second of a listener or load balancer: new connections, requests, bytes. One limit, shared by all workers.
//!
//! A limit is a bucket that fills at `rate` and holds `burst`. So that workers do not fight for it, each borrows from it in chunks
//! (about a thousandth of a second's worth) and spends these from a [`Share`] of its own; the bucket is asked about a thousand times per
//! second, however many bytes pass. Where the rate is so low or the burst so small that chunks would be unfair, a chunk is one token.
//!
//! Invariants (property tests below): over any time of T seconds all workers together pass at most `rate × T + burst`, what is in
//! their shares included; under constant demand at least that rate less a thousandth; nobody allocates.
//!
//! Over the limit: new connections and requests are refused, bytes wait (behaviour/features.md section 9: established ones are
//! kept). Where several limits hold (the listener's and the load balancer's), take from one after the other and give back what the
//! next refuses.
//!
//! What it does not do: it knows no clock and no queue; who waits and in which order is the caller's. How many connections there may
//! be at a time is a count, not a rate. For limits per client see [`crate::RateLimiter`].
//!
//! # How to drive it
//!
//! For a connection or a request: [`Share::take`] one. For bytes: [`Share::take_up_to`] as many as could be read now, read no more
//! than were given, and [`Share::give_back`] what was not read. When nothing is given, wait until [`Shaper::ready_at`]. Stop reading
//! meanwhile: what stands in the socket's buffer slows the sender down.

use std::{num::NonZeroU64, sync::atomic::AtomicU64};

use crate::pace::Pace;

/// A limit; shared by all workers.
#[derive(Debug)]
#[repr(align(64))]
pub struct Shaper {
    /// In chunks.
    bucket: AtomicU64,
    pace: Pace,
    /// Tokens of a chunk.
    chunk: u64,
}

/// What one worker has borrowed from a [`Shaper`], and not spent. One per worker and limit; starts empty.
#[derive(Clone, Debug, Default)]
pub struct Share {
    tokens: u64,
}

impl Shaper {
    /// A limit of `rate` tokens per second, full at the start. `burst`: how many may pass at once after a pause (at least 1; a second's
    /// worth is usual). `workers`: how many share it.
    pub fn new(rate: NonZeroU64, burst: u64, workers: u16) -> Self {
        let (burst, workers) = (burst.max(1), u64::from(workers.max(1)));
        // What may lie in the shares of all is a quarter of the burst at most.
        let chunk = (rate.get() / CHUNKS_PER_SECOND).min(burst / (4 * workers)).max(1);
        let chunk_ns = (u128::from(chunk) * SECOND_NS).div_ceil(rate.get().into());
        let chunk_ns = u64::try_from(chunk_ns).unwrap_or(u64::MAX);
        // A share never keeps a whole chunk.
        let capacity = burst.saturating_sub(workers * (chunk - 1)) / chunk;
        Self { bucket: AtomicU64::new(0), pace: Pace::new(chunk_ns, capacity), chunk }
    }

    /// When `tokens` of them will be there for the asking (those beyond the burst not counted), if nobody else takes any. In
    /// nanoseconds of the caller's clock; a time that is over: now.
    pub fn ready_at(&self, tokens: u64) -> u64 {
        self.pace.ready_at(&self.bucket, tokens.div_ceil(self.chunk))
    }
}

impl Share {
    /// Takes a token for a connection or a request; false: over the limit. `now_ns`: nanoseconds of a clock that never goes back, the
    /// same for all workers; a worker may be a little late with it.
    pub fn take(&mut self, shaper: &Shaper, now_ns: u64) -> bool {
        self.take_up_to(shaper, now_ns, 1) == 1
    }

    /// Takes as many tokens as there are, at most `most`: 0 to `most`.
    pub fn take_up_to(&mut self, shaper: &Shaper, now_ns: u64, most: u64) -> u64 {
        if let Some(short) = most.checked_sub(self.tokens).filter(|&short| short > 0) {
            let chunks = shaper.pace.take_up_to(&shaper.bucket, now_ns, short.div_ceil(shaper.chunk));
            self.tokens += chunks * shaper.chunk;
        }
        let given = self.tokens.min(most);
        self.tokens -= given;
        given
    }

    /// Puts back tokens that were taken and not used.
    pub fn give_back(&mut self, shaper: &Shaper, tokens: u64) {
        self.tokens = self.tokens.saturating_add(tokens);
        let chunks = self.tokens / shaper.chunk;
        if chunks > 0 {
            self.tokens -= chunks * shaper.chunk;
            shaper.pace.give_back(&shaper.bucket, chunks);
        }
    }
}

/// A worker's errand to the bucket costs nothing at this rate, and a chunk is too small to be missed by the others.
const CHUNKS_PER_SECOND: u64 = 1000;
const SECOND_NS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dice;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1000 * MS;

    fn shaper(rate: u64, burst: u64, workers: u16) -> Shaper {
        Shaper::new(NonZeroU64::new(rate).unwrap(), burst, workers)
    }

    #[test]
    fn connections_above_the_rate_are_refused() {
        for (why, rate, burst, workers, steps) in [
            ("a burst at once", 5, 5, 1, &[(0, 5), (SECOND, 5), (SECOND, 0)][..]),
            ("a part of a second, a part of them", 10, 10, 1, &[(0, 10), (SECOND / 2, 5)]),
            ("a small burst", 1000, 1, 4, &[(0, 1), (MS, 1), (MS, 0), (2 * MS, 1)]),
            ("a long pause is worth no more than the burst", 5, 8, 1, &[(0, 8), (1000 * SECOND, 8)]),
            ("without burst one is let through", 1, 0, 1, &[(0, 1), (SECOND - 1, 0), (SECOND, 1)]),
            ("in chunks", 400_000, 400_000, 1, &[(0, 400_000), (MS, 400), (3 * MS, 800)]),
        ] {
            let shaper = shaper(rate, burst, workers);
            let mut share = Share::default();
            for &(now, expect) in steps {
                let passed = (0..expect + 1000).filter(|_| share.take(&shaper, now)).count() as u64;
                // What chunks keep back for other workers is not there for one alone.
                assert!(passed <= expect && passed >= expect - expect / 100, "{why}: {passed} at {now}");
            }
        }
    }

    #[test]
    fn it_is_said_when_to_ask_again() {
        let (rate, burst) = (1_000_000, 100_000);
        let shaper = shaper(rate, burst, 1);
        let mut share = Share::default();
        let mut now = 0;
        let mut passed = share.take_up_to(&shaper, now, u64::from(u32::MAX));
        let first = passed;
        for wanted in [1, 1000, 50_000, 7] {
            assert_eq!(share.take_up_to(&shaper, now, 1), 0, "there is nothing now");
            let ready = shaper.ready_at(wanted);
            assert!(ready > now && ready <= now + wanted.max(1000) * SECOND / rate, "{wanted} at {ready}");
            assert_eq!(
                share.take_up_to(&shaper, ready - 1, wanted).min(wanted - 1),
                share_before(wanted),
                "not before"
            );
            now = ready;
            let given = share.take_up_to(&shaper, now, u64::from(u32::MAX));
            passed += given + share_before(wanted);
            assert!(given + share_before(wanted) >= wanted, "{wanted}");
        }
        assert!(passed <= first + now * rate / SECOND, "{passed}");
        assert!(
            shaper.ready_at(1 << 60) <= now + burst * SECOND / rate,
            "more than there ever is: when it is full"
        );
    }

    /// What a look one nanosecond early gives of so many tokens: the chunks before the last.
    fn share_before(wanted: u64) -> u64 {
        (wanted - 1) / 1000 * 1000
    }

    #[test]
    fn what_is_given_back_is_there_again() {
        let shaper = shaper(1_000_000, 10_000, 1);
        let (mut one, mut other) = (Share::default(), Share::default());
        let given = one.take_up_to(&shaper, 0, 1 << 20);
        assert_eq!(other.take_up_to(&shaper, 0, 1), 0);
        one.give_back(&shaper, given);
        assert_eq!(other.take_up_to(&shaper, 0, 1 << 20), given, "for the others, too");
    }

    /// How many pass in each millisecond, with workers that want tokens as `wants` says (worker, millisecond).
    fn passed(shaper: &Shaper, workers: u16, wants: &[Vec<u64>], unused: u64) -> Vec<u64> {
        let mut shares = vec![Share::default(); workers.into()];
        let mut dice = Dice::new(unused);
        let pass = |(ms, wants): (usize, &Vec<u64>)| {
            let pass = |(worker, &want): (usize, &u64)| {
                let share: &mut Share = &mut shares[worker % usize::from(workers)];
                let given = share.take_up_to(shaper, ms as u64 * MS, want);
                assert!(given <= want);
                let back = if unused > 0 { u64::from(dice.below(4) == 0) * (given / 2) } else { 0 };
                share.give_back(shaper, back);
                assert!(share.tokens < shaper.chunk, "a share keeps a whole chunk");
                given - back
            };
            wants.iter().enumerate().map(pass).sum()
        };
        wants.iter().enumerate().map(pass).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn over_any_time_no_more_than_the_rate_and_the_burst(
            rate in prop_oneof![1u64..2000, 1u64..2_000_000_000], burst in prop_oneof![0u64..100, 0u64..2_000_000_000], workers in 1u16..=8,
            wants in proptest::collection::vec(proptest::collection::vec(prop_oneof![Just(0u64), 1u64..10, 1u64..10_000_000], 1..=8), 1..120),
            unused in 0u64..3,
        ) {
            let shaper = shaper(rate, burst, workers);
            let passed = passed(&shaper, workers, &wants, unused);
            for from in 0..passed.len() {
                let mut sum = 0u128;
                for (ms, &count) in passed[from..].iter().enumerate() {
                    sum += u128::from(count);
                    let most = u128::from(rate) * ms as u128 / 1000 + u128::from(burst.max(1)) + 1;
                    prop_assert!(sum <= most, "{} from {} for {} ms, at most {}", sum, from, ms, most);
                }
            }
        }

        #[test]
        fn under_constant_demand_the_rate_is_reached(
            rate in 1000u64..2_000_000_000, workers in 1u16..=8, burst_ms in 20u64..2000, idle in any::<bool>(),
        ) {
            let burst = rate * burst_ms / 1000;
            let shaper = shaper(rate, burst, workers);
            // Each wants the whole limit; or all but one go silent after a while, and keep what they have borrowed.
            let wants = |ms| {
                let silent = |worker| idle && worker > 0 && ms > 500;
                (0..workers).map(|worker| if silent(worker) { 0 } else { rate / 100 + 1 }).collect()
            };
            let wants: Vec<Vec<u64>> = (0..2000).map(wants).collect();
            let passed: u64 = passed(&shaper, workers, &wants, 0).iter().sum();
            let least = rate as f64 * 1.999 * 0.999 - f64::from(workers) * shaper.chunk as f64 - 1.0;
            prop_assert!(passed as f64 >= least, "{} of {}", passed, least);
        }
    }

    #[test]
    fn threads_share_a_limit() {
        let shaper = shaper(1_000_000, 1_000_000, 4);
        let shaper = &shaper;
        let passed: u64 = std::thread::scope(|scope| {
            let worker = || {
                let mut share = Share::default();
                (0..400_000).filter(|_| share.take(shaper, 0)).count() as u64
            };
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert!((990_000..=1_000_000).contains(&passed), "{passed}");
    }
}
