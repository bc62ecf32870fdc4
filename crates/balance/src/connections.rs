//! How many connections (or requests, as the caller counts) each member of a group has, over all workers.
//!
//! Every worker writes its own counts and nobody else's, so a count is a plain load and store: no locked instruction and no
//! line that two writers fight for. A reader sums over workers with relaxed loads and may be a moment behind.
//!
//! A member keeps its counts when the group's members change: [`Connections::with_members`] shares the counts of members that
//! stay. A connection is ended ([`Connections::end`]) on the very table on which it began, with the index of that time.
//!
//! Counts are kept in blocks of 16 members, one cache line per worker: 64 bytes × workers for each 16 members.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// The connections of one group's members. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub struct Connections {
    blocks: Arc<[Arc<Block>]>,
    /// Where each member's counts are.
    slots: Arc<[Slot]>,
    /// Slots of members that left with the change that made this table; they rest for one change, because workers may still
    /// begin connections on the table before.
    resting: Arc<[Slot]>,
    workers: u16,
}

/// Counts of [`BLOCK`] members: one line per worker.
#[derive(Debug)]
struct Block(Box<[Line]>);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU32; BLOCK]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    block: u16,
    place: u8,
}

/// Members per block: as many counts as fill a cache line.
const BLOCK: usize = 16;

impl Connections {
    /// A table of zeros for so many workers (at least one).
    pub fn new(workers: u16, members: usize) -> Self {
        let workers = workers.max(1);
        let none = Self { blocks: [].into(), slots: [].into(), resting: [].into(), workers };
        none.with_members(members, |_| None)
    }

    /// The table for changed members: `before(i)` is the index that member `i` had in this table, if it was there.
    /// Counts of those that stay go on; the others begin at zero. To be called by one thread at a time.
    pub fn with_members(&self, members: usize, before: impl Fn(usize) -> Option<usize>) -> Self {
        let kept: Vec<Option<Slot>> =
            (0..members).map(|member| before(member).and_then(|old| self.slots.get(old).copied())).collect();
        let mut taken: Vec<Slot> = kept.iter().flatten().copied().collect();
        taken.sort_unstable();
        let leaving = self.slots.iter().filter(|slot| taken.binary_search(slot).is_err());
        let resting: Arc<[Slot]> = leaving.copied().collect();
        taken.extend_from_slice(&resting);
        taken.extend_from_slice(&self.resting);
        taken.sort_unstable();

        let mut blocks = self.blocks.to_vec();
        let mut free = 0..;
        let slots = kept
            .into_iter()
            .map(|slot| {
                slot.unwrap_or_else(|| {
                    loop {
                        let slot = Slot::numbered(free.next().expect("the range has no end"));
                        if usize::from(slot.block) == blocks.len() {
                            blocks.push(Arc::new(Block::new(self.workers)));
                        }
                        let idle = blocks[usize::from(slot.block)].sum(slot.place) == 0;
                        if idle && taken.binary_search(&slot).is_err() {
                            break slot;
                        }
                    }
                })
            })
            .collect();
        Self { blocks: blocks.into(), slots, resting, workers: self.workers }
    }

    /// How many members the table has.
    pub fn members(&self) -> usize {
        self.slots.len()
    }

    /// A connection to a member begins on a worker. To be called on that worker's thread only.
    pub fn begin(&self, worker: u16, member: usize) {
        self.change(worker, member, |count| count.saturating_add(1));
    }

    /// A connection that began on this worker and this table ends.
    pub fn end(&self, worker: u16, member: usize) {
        self.change(worker, member, |count| count.saturating_sub(1));
    }

    /// The connections of a member, over all workers; 0 for an index outside the table.
    pub fn count(&self, member: usize) -> u32 {
        self.slots.get(member).map_or(0, |slot| self.blocks[usize::from(slot.block)].sum(slot.place))
    }

    fn change(&self, worker: u16, member: usize, change: impl Fn(u32) -> u32) {
        let Some(slot) = self.slots.get(member) else { return };
        let Some(line) = self.blocks[usize::from(slot.block)].0.get(usize::from(worker)) else { return };
        let count = &line.0[usize::from(slot.place) % BLOCK];
        // One writer per line: nothing can come between the load and the store.
        count.store(change(count.load(Ordering::Relaxed)), Ordering::Relaxed);
    }
}

impl Block {
    fn new(workers: u16) -> Self {
        Self((0..workers).map(|_| Line::default()).collect())
    }

    fn sum(&self, place: u8) -> u32 {
        let count = |line: &Line| line.0[usize::from(place) % BLOCK].load(Ordering::Relaxed);
        self.0.iter().map(count).fold(0, u32::saturating_add)
    }
}

impl Slot {
    fn numbered(number: usize) -> Self {
        Self { block: (number / BLOCK) as u16, place: (number % BLOCK) as u8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_count_is_the_sum_over_workers() {
        let table = Connections::new(3, 20);
        for (worker, member) in [(0, 0), (1, 0), (2, 19), (2, 19)] {
            table.begin(worker, member);
        }
        assert_eq!([table.count(0), table.count(1), table.count(19), table.count(20)], [2, 0, 2, 0]);
        table.end(1, 0);
        assert_eq!(table.count(0), 1);
    }

    #[test]
    fn strangers_change_nothing() {
        let table = Connections::new(1, 1);
        table.begin(1, 0);
        table.begin(0, 1);
        table.end(0, 0);
        assert_eq!(table.count(0), 0);
    }

    #[test]
    fn members_that_stay_keep_their_counts_and_old_connections_still_end_in_them() {
        let old = Connections::new(1, 3);
        (0..3).for_each(|member| old.begin(0, member));
        // Member 0 leaves, 1 and 2 stay, one is new between them.
        let new = old.with_members(3, |member| [Some(1), None, Some(2)][member]);
        assert_eq!([new.count(0), new.count(1), new.count(2)], [1, 0, 1]);
        old.end(0, 1);
        old.end(0, 0);
        assert_eq!([new.count(0), new.count(1), new.count(2)], [0, 0, 1]);
    }

    #[test]
    fn a_table_does_not_grow_with_changes() {
        let mut table = Connections::new(2, 10);
        for round in 0..1000 {
            table = table.with_members(10, |member| (member != round % 10).then_some(member));
        }
        assert_eq!(table.blocks.len(), 1);
    }

    #[test]
    fn workers_do_not_share_a_line() {
        assert_eq!((size_of::<Line>(), align_of::<Line>()), (64, 64));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Random beginnings, ends and changes of members: each member's count is the number of its open connections.
        #[test]
        fn counts_follow_their_members_through_changes(steps in proptest::collection::vec((0u8..4, any::<u16>()), 1..200)) {
            let mut names: Vec<u32> = (0..5).collect();
            let mut next_name = 5;
            let mut table = Connections::new(2, names.len());
            let mut open: Vec<(Connections, u16, usize, u32)> = Vec::new();
            for (step, random) in steps {
                let random = usize::from(random);
                match step {
                    0 | 1 if !names.is_empty() => {
                        let member = random % names.len();
                        table.begin(random as u16 % 2, member);
                        open.push((table.clone(), random as u16 % 2, member, names[member]));
                    }
                    2 if !open.is_empty() => {
                        let (table, worker, member, _) = open.swap_remove(random % open.len());
                        table.end(worker, member);
                    }
                    _ => {
                        let mut changed = names.clone();
                        if !changed.is_empty() {
                            changed.remove(random % changed.len());
                        }
                        changed.extend(next_name..next_name + (random % 4) as u32);
                        next_name += 4;
                        table = table.with_members(changed.len(), |m| names.iter().position(|n| *n == changed[m]));
                        names = changed;
                    }
                }
                let mut expect = BTreeMap::new();
                open.iter().for_each(|(.., name)| *expect.entry(*name).or_insert(0u32) += 1);
                for (member, name) in names.iter().enumerate() {
                    prop_assert_eq!(table.count(member), expect.get(name).copied().unwrap_or(0));
                }
            }
        }
    }
}
