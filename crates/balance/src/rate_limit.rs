//! How many requests a policy lets through: of all clients together, and of each client address.
//!
//! A limit is a bucket of tokens that fills at `rate` tokens per second; each request takes one, and one that finds none is over the
//! limit. A bucket for all holds one second's worth, that of a source one second's worth and `burst` more. So after a pause a whole
//! second's requests may come at once; over any longer time the rate holds. A bucket is one number (`pace.rs`), and there is
//! nothing to do while nobody asks.
//!
//! One [`RateLimiter`] belongs to a policy and is shared by all workers without a lock, as only the sum over workers counts. Sources
//! are kept in a table of a fixed size: when it is full, the source whose bucket is nearest to full is forgotten, so who asks most
//! is forgotten last. A forgotten source starts with a full bucket.
//!
//! Invariants (tests below): never more than `rate × seconds + what the bucket holds`; who stays below the rate is never over the
//! limit; a request that is over one limit takes nothing of the other; no allocation after [`RateLimiter::new`].
//!
//! Source: behaviour/forwarding.md, Extras, Limit (over it: 503; 0 = none; the key is the client's address).
//! Knows no clock: the caller says what time it is.

use std::{
    fmt,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use model::policy::RateLimit;

use crate::{
    mix::{mix, mix_address},
    pace::Pace,
};

/// Most sources that a policy's table keeps apart: 64 KiB.
pub const SOURCES_MAX: usize = 4096;

/// The limits of a policy and what was used of them.
pub struct RateLimiter {
    all: Option<(Pace, AtomicU64)>,
    sources: Option<Sources>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is let through.
    Admitted,
    /// All clients together are over the limit.
    OverTotal,
    /// Its client is over the limit.
    OverSource,
}

impl RateLimiter {
    /// The limiter for a policy's limits; none when there are none. `seed` keeps clients from aiming at one place of the table:
    /// take one at random for each process.
    pub fn new(limit: &RateLimit, seed: u64) -> Option<Self> {
        let all = pace(limit.qps.value(), 0).map(|pace| (pace, AtomicU64::new(0)));
        let source = pace(limit.per_source_qps.value(), limit.burst.value());
        let sources = source.map(|pace| Sources::new(pace, seed));
        (all.is_some() || sources.is_some()).then_some(Self { all, sources })
    }

    /// May a request of this client go on? `now_ns`: nanoseconds of a clock that never goes back, of any origin, the same for all
    /// workers; a worker may be a little late with it.
    pub fn admit(&self, client: IpAddr, now_ns: u64) -> Admission {
        let source = match &self.sources {
            Some(sources) => match sources.take(client, now_ns) {
                Some(bucket) => Some((sources.pace, bucket)),
                None => return Admission::OverSource,
            },
            None => None,
        };
        if self.all.as_ref().is_none_or(|(pace, bucket)| pace.take(bucket, now_ns)) {
            return Admission::Admitted;
        }
        if let Some((pace, bucket)) = source {
            pace.give_back(bucket, 1);
        }
        Admission::OverTotal
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, source) =
            (self.all.as_ref().map(|all| all.0), self.sources.as_ref().map(|sources| sources.pace));
        f.debug_struct("RateLimiter").field("all", &all).field("source", &source).finish_non_exhaustive()
    }
}

/// `rate` tokens per second, at most `rate + burst` of them; none for a rate of 0, which is no limit.
fn pace(rate: u32, burst: u32) -> Option<Pace> {
    let token_ns = 1_000_000_000u64.checked_div(rate.into())?;
    Some(Pace::new(token_ns, u64::from(rate) + u64::from(burst)))
}

/// The buckets of sources. A source has its place in one of the sets, which its hash names.
///
/// Two workers that put sources into one place at the same moment may count a request too few or too many; both are harmless.
struct Sources {
    pace: Pace,
    seed: u64,
    sets: Box<[[Source; WAYS]]>,
}

/// Places in a set: few enough to look at all of them.
const WAYS: usize = 8;

#[derive(Default)]
struct Source {
    /// The hash of the address; 0: nobody.
    key: AtomicU64,
    bucket: AtomicU64,
}

impl Sources {
    fn new(pace: Pace, seed: u64) -> Self {
        let sets = (0..SOURCES_MAX / WAYS).map(|_| Default::default()).collect();
        Self { pace, seed, sets }
    }

    /// Takes a token of a source; gives its bucket, or nothing when it has no token.
    fn take(&self, client: IpAddr, now_ns: u64) -> Option<&AtomicU64> {
        let key = mix(mix_address(client) ^ self.seed).max(1);
        let set = &self.sets[(key >> 32) as usize % self.sets.len()];
        // Another worker may take the place that was found; then there is another one.
        for _ in 0..WAYS {
            if let Some(source) = set.iter().find(|source| source.key.load(Relaxed) == key) {
                return self.pace.take(&source.bucket, now_ns).then_some(&source.bucket);
            }
            let Some(fullest) = set.iter().min_by_key(|source| source.bucket.load(Relaxed)) else { break };
            let before = fullest.key.load(Relaxed);
            if fullest.key.compare_exchange(before, key, Relaxed, Relaxed).is_ok() {
                fullest.bucket.store(now_ns, Relaxed);
                self.pace.take(&fullest.bucket, now_ns);
                return Some(&fullest.bucket);
            }
        }
        // So many new sources in one moment: this one is let through uncounted.
        set.first().map(|source| &source.bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Admission::{Admitted, OverSource, OverTotal};
    use model::RequestRate;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn limiter(qps: u32, per_source: u32, burst: u32) -> RateLimiter {
        made(qps, per_source, burst).unwrap()
    }
    fn made(qps: u32, per_source: u32, burst: u32) -> Option<RateLimiter> {
        let rate = |value: u32| RequestRate::try_from(i64::from(value)).unwrap();
        let limit = RateLimit { qps: rate(qps), per_source_qps: rate(per_source), burst: rate(burst) };
        RateLimiter::new(&limit, 42)
    }
    fn client(n: u32) -> IpAddr {
        IpAddr::from(0x0a00_0000u32.wrapping_add(n).to_be_bytes())
    }
    /// How many of `count` requests at one moment are let through.
    fn admitted(limiter: &RateLimiter, client: IpAddr, count: usize, now_ns: u64) -> usize {
        (0..count).filter(|_| limiter.admit(client, now_ns) == Admitted).count()
    }

    #[test]
    fn requests_above_the_rate_are_refused() {
        let one = client(1);
        for (why, (qps, per_source, burst), steps) in [
            ("a second's worth at once", (5, 0, 0), &[(0, 20, 5)][..]),
            ("and as many a second later", (5, 0, 0), &[(0, 20, 5), (SECOND, 20, 5), (2 * SECOND, 5, 5)]),
            (
                "a part of a second, a part of them",
                (10, 0, 0),
                &[(0, 10, 10), (SECOND / 2, 10, 5), (SECOND / 2, 1, 0)],
            ),
            ("a long pause is worth no more", (5, 0, 0), &[(0, 5, 5), (1000 * SECOND, 20, 5)]),
            ("one per second", (1, 0, 0), &[(0, 2, 1), (SECOND - 1, 1, 0), (SECOND, 2, 1)]),
            ("of a source", (0, 5, 0), &[(0, 20, 5), (SECOND, 20, 5)]),
            ("with a burst", (0, 5, 10), &[(0, 20, 15), (SECOND, 20, 5), (10 * SECOND, 20, 15)]),
            ("the burst is for sources alone", (20, 5, 100), &[(0, 50, 20)]),
            ("the highest rate", (100_000, 0, 0), &[(0, 200_000, 100_000), (10_000, 9, 1)]),
            ("the slowest with the longest burst", (0, 1, 100_000), &[(0, 200_000, 100_001), (SECOND, 2, 1)]),
        ] {
            let limiter = limiter(qps, per_source, burst);
            for &(now, sent, expect) in steps {
                assert_eq!(admitted(&limiter, one, sent, now), expect, "{why}, at {now}");
            }
        }
    }

    #[test]
    fn it_is_said_which_limit_was_met() {
        let limiter = limiter(3, 2, 0);
        let said: Vec<_> = [1, 1, 1, 2, 2, 3].map(|n| limiter.admit(client(n), 0)).to_vec();
        assert_eq!(said, [Admitted, Admitted, OverSource, Admitted, OverTotal, OverTotal]);
        // What the limit of all refused was no request of the source: it has both tokens when there is room again.
        assert_eq!(admitted(&limiter, client(3), 2, SECOND), 2);
    }

    #[test]
    fn zero_is_no_limit() {
        assert!(made(0, 0, 9).is_none(), "a burst alone limits nothing");
        assert_eq!(
            admitted(&limiter(0, 1, 0), client(1), 9, 0) + admitted(&limiter(1, 0, 0), client(1), 9, 0),
            2
        );
    }

    #[test]
    fn sources_do_not_share() {
        let limiter = limiter(0, 2, 0);
        for n in 0..100 {
            assert_eq!(admitted(&limiter, client(n), 5, 0), 2, "{n}");
        }
        let mapped: IpAddr = "::ffff:10.0.0.7".parse().unwrap();
        assert_eq!(limiter.admit(mapped, 0), OverSource, "the same client by another name");
    }

    #[test]
    fn who_asks_most_is_remembered_among_many_others() {
        let limiter = limiter(0, 10, 10);
        let heavy = client(0);
        let mut through = 0;
        for tick in 0..1000u64 {
            let now = tick * SECOND / 100;
            through += admitted(&limiter, heavy, 5, now);
            // 40 new clients per tick, 40,000 in all, ten times what the table holds.
            (0..40).for_each(|n| assert_eq!(limiter.admit(client(1 + tick as u32 * 40 + n), now), Admitted));
        }
        assert!((100..=125).contains(&through), "{through}");
    }

    #[test]
    fn workers_share_a_limit() {
        let limiter = limiter(1000, 600, 0);
        let limiter = &limiter;
        let through: usize = std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..4).map(|n| scope.spawn(move || admitted(limiter, client(n % 2), 1000, SECOND))).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!(through, 1000);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_rate_holds_over_any_time(rate in 1u32..2000, burst in 0u32..50, gaps in proptest::collection::vec(0u64..3_000_000, 1..400)) {
            let limiter = limiter(0, rate, burst);
            let (mut now, mut through) = (0, 0u64);
            for gap in gaps {
                now += gap;
                through += u64::from(limiter.admit(client(1), now) == Admitted);
                // A token takes a whole number of nanoseconds, so a rate may be off by one part in a million.
                let most = now as f64 / SECOND as f64 * f64::from(rate) * 1.000_01 + f64::from(rate + burst);
                prop_assert!(through as f64 <= most, "{} > {}", through, most);
            }
        }

        #[test]
        fn who_stays_below_the_rate_is_never_refused(rate in 1u32..2000, early in 0u64..SECOND, count in 1usize..300) {
            let limiter = limiter(rate, rate, 0);
            let mut now = early;
            for _ in 0..count {
                prop_assert_eq!(limiter.admit(client(1), now), Admitted);
                now += SECOND.div_ceil(u64::from(rate));
            }
        }
    }
}
