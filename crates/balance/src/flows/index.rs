//! From a hash to slots: chains, one per bucket, and as many buckets as there ever were flows (linear hashing).
//!
//! The buckets below the last power of two are split one by one, in turn; so the index grows with the flows and never all at once.

use super::list::{NIL, present};

#[derive(Debug)]
pub(super) struct Index {
    /// The first slot of each bucket's chain. Never empty.
    firsts: Vec<u32>,
}

/// Slots as members of chains.
pub(super) trait Chained {
    /// The hash of what is in a slot.
    fn hash(&self, slot: u32) -> u32;
    /// The slot behind it in its chain.
    fn next(&mut self, slot: u32) -> &mut u32;
}

impl Index {
    pub(super) fn new() -> Self {
        Self { firsts: vec![NIL] }
    }

    pub(super) fn buckets(&self) -> usize {
        self.firsts.len()
    }

    /// The first slot of the chain that a hash is in.
    pub(super) fn first(&self, hash: u32) -> u32 {
        self.firsts[self.bucket(hash)]
    }

    pub(super) fn insert(&mut self, hash: u32, slot: u32, slots: &mut impl Chained) {
        let bucket = self.bucket(hash);
        *slots.next(slot) = std::mem::replace(&mut self.firsts[bucket], slot);
    }

    pub(super) fn remove(&mut self, hash: u32, slot: u32, slots: &mut impl Chained) {
        let next = *slots.next(slot);
        let bucket = self.bucket(hash);
        if self.firsts[bucket] == slot {
            self.firsts[bucket] = next;
            return;
        }
        let mut at = self.firsts[bucket];
        while let Some(before) = present(at) {
            let link = slots.next(before);
            if *link == slot {
                *link = next;
                return;
            }
            at = *link;
        }
    }

    /// One bucket more: the next in turn gives it about half of its slots.
    pub(super) fn grow(&mut self, slots: &mut impl Chained) {
        let added = self.firsts.len();
        let split = added - self.power();
        let mut rest = std::mem::replace(&mut self.firsts[split], NIL);
        self.firsts.push(NIL);
        while let Some(slot) = present(rest) {
            rest = *slots.next(slot);
            let hash = slots.hash(slot);
            self.insert(hash, slot, slots);
        }
    }

    fn bucket(&self, hash: u32) -> usize {
        let power = self.power();
        let bucket = hash as usize & (2 * power - 1);
        // Not split yet: still in the bucket that it will be split from.
        if bucket < self.firsts.len() { bucket } else { bucket - power }
    }

    /// The largest power of two that is not above the number of buckets.
    fn power(&self) -> usize {
        1 << self.firsts.len().ilog2()
    }
}
