//! Which members of a group get new work, as bits that workers read and the prober writes.
//!
//! The table belongs to one plan of a group: its size never changes. When members come or go, the next plan gets a new table,
//! made with what is known by then, and both are swapped together.
//!
//! Reads are relaxed loads: a worker may see a verdict a moment late, never a wrong one, and two verdicts of one moment need
//! not become visible together.

use std::sync::atomic::{AtomicU64, Ordering};

/// One bit per member: set for "gets new work".
#[derive(Debug)]
pub struct HealthTable {
    words: Box<[AtomicU64]>,
    members: usize,
    generation: AtomicU64,
}

impl HealthTable {
    /// A table with the bit of member `i` as `usable(i)` says.
    pub fn new(members: usize, usable: impl Fn(usize) -> bool) -> Self {
        let word = |w: usize| {
            let from = w * 64;
            let to = members.min(from + 64);
            (from..to).filter(|&member| usable(member)).fold(0, |bits, member| bits | 1 << (member - from))
        };
        let words = (0..members.div_ceil(64)).map(|w| AtomicU64::new(word(w))).collect();
        Self { words, members, generation: AtomicU64::new(0) }
    }

    /// All members get work: there is no health monitor (open-questions.md row 22).
    pub fn all_usable(members: usize) -> Self {
        Self::new(members, |_| true)
    }

    /// No member gets work yet: a monitor is there, and no probe has ended.
    pub fn none_usable(members: usize) -> Self {
        Self::new(members, |_| false)
    }

    /// How many members the table has.
    pub fn members(&self) -> usize {
        self.members
    }

    /// Whether a member gets new work; an index outside the table gets none.
    pub fn is_usable(&self, member: usize) -> bool {
        self.words.get(member / 64).is_some_and(|word| word.load(Ordering::Relaxed) >> (member % 64) & 1 == 1)
    }

    /// Whether any member gets new work.
    pub fn any_usable(&self) -> bool {
        self.words.iter().any(|word| word.load(Ordering::Relaxed) != 0)
    }

    /// How many members get new work.
    pub fn usable_count(&self) -> usize {
        self.words.iter().map(|word| word.load(Ordering::Relaxed).count_ones() as usize).sum()
    }

    /// Writes a verdict; says whether it was a change. An index outside the table is no member and changes nothing.
    pub fn set_usable(&self, member: usize, usable: bool) -> bool {
        if member >= self.members {
            return false;
        }
        let (word, bit) = (&self.words[member / 64], 1 << (member % 64));
        let before = match usable {
            true => word.fetch_or(bit, Ordering::Relaxed),
            false => word.fetch_and(!bit, Ordering::Relaxed),
        };
        let changed = (before & bit != 0) != usable;
        if changed {
            // Release: who sees the new generation sees the bit, too.
            self.generation.fetch_add(1, Ordering::Release);
        }
        changed
    }

    /// Grows with each change of a bit, for whoever keeps something derived from the bits.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_member_has_its_own_bit() {
        for members in [0, 1, 63, 64, 65, 500] {
            let table = HealthTable::none_usable(members);
            assert!(!table.any_usable());
            for member in 0..members {
                assert!(table.set_usable(member, true));
                assert_eq!(table.usable_count(), member + 1);
                assert!(table.is_usable(member) && !table.is_usable(member + 1));
            }
            assert_eq!(HealthTable::all_usable(members).usable_count(), members);
        }
    }

    #[test]
    fn only_a_change_moves_the_generation() {
        let table = HealthTable::new(3, |member| member == 1);
        for (why, member, usable, changes) in [
            ("already up", 1, true, false),
            ("already down", 0, false, false),
            ("comes up", 0, true, true),
            ("goes down", 1, false, true),
            ("no such member", 3, true, false),
            ("no such word", 64, true, false),
        ] {
            let before = table.generation();
            assert_eq!(table.set_usable(member, usable), changes, "{why}");
            assert_eq!(table.generation() != before, changes, "{why}");
        }
        assert!(!table.is_usable(64) && !table.is_usable(usize::MAX));
    }

    #[test]
    fn threads_that_write_neighbouring_bits_lose_nothing() {
        let table = HealthTable::none_usable(64);
        std::thread::scope(|scope| {
            for part in 0..4 {
                let table = &table;
                scope.spawn(move || {
                    for member in (part..64).step_by(4) {
                        table.set_usable(member, true);
                    }
                });
            }
        });
        assert_eq!((table.usable_count(), table.generation()), (64, 64));
    }
}
