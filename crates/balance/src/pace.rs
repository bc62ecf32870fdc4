//! A bucket of tokens that fills at an even pace, as one number.
//!
//! Instead of a count a bucket keeps the time in nanoseconds at which it will be full again (the generic cell rate algorithm, ITU-T
//! I.371): nothing to do while nobody asks, and one compare-and-swap for who does. Shared by [`crate::RateLimiter`] and
//! [`crate::Shaper`], which say what a token is.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// What one token costs in time; at least 1.
    token_ns: u64,
    /// How long before it is full a bucket still has a token.
    tolerance_ns: u64,
}

impl Pace {
    /// A token each `token_ns`, at most `capacity` of them at once (both at least 1).
    pub(crate) fn new(token_ns: u64, capacity: u64) -> Self {
        let token_ns = token_ns.max(1);
        Self { token_ns, tolerance_ns: token_ns.saturating_mul(capacity.max(1) - 1) }
    }

    /// Takes a token; false when there is none.
    pub(crate) fn take(self, bucket: &AtomicU64, now_ns: u64) -> bool {
        self.take_up_to(bucket, now_ns, 1) == 1
    }

    /// Takes as many tokens as there are, at most `most`; says how many.
    pub(crate) fn take_up_to(self, bucket: &AtomicU64, now_ns: u64, most: u64) -> u64 {
        let mut taken = 0;
        let updated = bucket.fetch_update(Relaxed, Relaxed, |full_at| {
            let full_at = full_at.max(now_ns);
            let left_ns = self.tolerance_ns.checked_sub(full_at - now_ns)?;
            taken = (left_ns / self.token_ns).saturating_add(1).min(most);
            (taken > 0).then(|| full_at.saturating_add(self.token_ns.saturating_mul(taken)))
        });
        if updated.is_ok() { taken } else { 0 }
    }

    /// Puts back tokens that were taken.
    pub(crate) fn give_back(self, bucket: &AtomicU64, tokens: u64) {
        let cost_ns = self.token_ns.saturating_mul(tokens);
        // The update always gives a value, so it does not fail.
        let _ = bucket.fetch_update(Relaxed, Relaxed, |full_at| Some(full_at.saturating_sub(cost_ns)));
    }

    /// When so many tokens will be there (at least 1; no more than the bucket holds), if nobody takes any; maybe long ago.
    pub(crate) fn ready_at(self, bucket: &AtomicU64, tokens: u64) -> u64 {
        let before_full_ns =
            self.tolerance_ns.saturating_sub(self.token_ns.saturating_mul(tokens.max(1) - 1));
        bucket.load(Relaxed).saturating_sub(before_full_ns)
    }
}
