//! Placement by source address: the same client keeps its member, on every node, while the pool's members allow.
//!
//! The table is that of "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016), section 3.4: each member has
//! its own permutation of the table's entries, and members in turn take their next free one. A table of a prime size above
//! 100 × members makes shares differ by at most 1 %. A member is known by its address and port, never by its index or id, so
//! equal pools give equal tables everywhere, and a member that is made anew gets its old clients back.
//!
//! Whoever is out for a while (unhealthy, or just tried and failed) stays in the table. Only its own clients go elsewhere: to
//! the usable member with the highest random weight for that client. So no client of a usable member moves.
//!
//! Measured (test `few_flows_move_when_members_leave`), share of the entries of members that stay which change nevertheless:
//!
//! | members | leave | entries 2,039 | 65,537 | 655,373 |
//! |--:|--:|--:|--:|--:|
//! | 5 | 1 | 1.5 % | | |
//! | 20 | 1 | 2.5 % | | |
//! | 500 | 1 | | 1.0 % | |
//! | 1,000 | 1 | | 0.6 % | |
//! | 1,000 | 10 | | 2.5 % | 0.6 % |
//! | 1,000 | 50 | | 3.5 % | |
//!
//! The paper's section 5.3 has the same setting (1,000 backends, both sizes) and the same finding: the larger the table, the
//! fewer entries move; its 65,537 entries are the default because members rarely leave many at a time.
//!
//! A table is small for small pools, as thousands of pools may have one. Its size depends on the number of members alone; when
//! that number passes 20, 655 or 6,553, the size changes and most clients move once.
//!
//! Source: behaviour/features.md section 6 (SOURCE_IP: weight ignored, except 0 = excluded); open-questions.md row 7.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use crate::{
    MEMBERS_MAX,
    mix::{mix, mix_address, mix_socket_address},
};

/// What a member is known by: a hash of where it is reached.
pub const fn member_key(address: SocketAddr) -> u64 {
    mix_socket_address(address)
}

/// The lookup table of a group.
#[derive(PartialEq, Eq)]
pub struct Maglev {
    /// A member's index per entry; empty for groups of at most one member.
    entries: Box<[u16]>,
    /// The members that take part.
    members: Box<[Placed]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Placed {
    key: u64,
    member: u16,
}

impl Maglev {
    /// The table of a group; `members` gives the key ([`member_key`]) of each, or none for one that takes no part (weight 0).
    /// Only the first [`MEMBERS_MAX`] members count.
    pub fn new(members: impl IntoIterator<Item = Option<u64>>) -> Self {
        let members = members.into_iter().take(MEMBERS_MAX).enumerate();
        let mut placed: Vec<Placed> = members
            .filter_map(|(member, key)| key.map(|key| Placed { key, member: member as u16 }))
            .collect();
        // By key, so that the table depends on who the members are and not on their order.
        placed.sort_unstable_by_key(|placed| placed.key);
        Self { entries: fill(&placed, size_for(placed.len())), members: placed.into() }
    }

    /// The member of a client; none when no member of the table is usable.
    pub fn pick(&self, client: IpAddr, usable: impl Fn(usize) -> bool) -> Option<usize> {
        self.pick_hash(mix_address(client), usable)
    }

    /// The member of a flow that has this hash.
    pub fn pick_hash(&self, hash: u64, usable: impl Fn(usize) -> bool) -> Option<usize> {
        if !self.entries.is_empty() {
            let entry = (u128::from(hash) * self.entries.len() as u128) >> 64;
            let member = usize::from(self.entries[entry as usize]);
            if usable(member) {
                return Some(member);
            }
        }
        let others = self.members.iter().filter(|placed| usable(usize::from(placed.member)));
        others.max_by_key(|placed| mix(placed.key ^ hash)).map(|placed| usize::from(placed.member))
    }

    /// How many entries the table has.
    pub fn entries(&self) -> usize {
        self.entries.len()
    }
}

impl fmt::Debug for Maglev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Maglev({} members, {} entries)", self.members.len(), self.entries.len())
    }
}

/// (most members, entries): entries are prime and at least 100 × members. 65,537 is the paper's own size and 655,373 its large
/// one. The last serves [`MEMBERS_MAX`].
const SIZES: [(usize, usize); 4] = [(20, 2_039), (655, 65_537), (6_553, 655_373), (MEMBERS_MAX, 6_553_577)];

fn size_for(members: usize) -> usize {
    SIZES.into_iter().find(|(most, _)| members <= *most).unwrap_or(SIZES[3]).1
}

fn fill(members: &[Placed], size: usize) -> Box<[u16]> {
    if members.len() < 2 {
        return [].into();
    }
    /// Marks a free entry; no member has this index.
    const FREE: u16 = u16::MAX;
    let mut entries = vec![FREE; size].into_boxed_slice();
    let size = size as u64;
    // Where each member looks next, and how far apart it looks: the paper's offset and skip.
    let mut looks: Vec<(u64, u64)> =
        members.iter().map(|m| (mix(m.key ^ OFFSET) % size, mix(m.key ^ SKIP) % (size - 1) + 1)).collect();
    let mut free = entries.len();
    loop {
        for (placed, (next, skip)) in members.iter().zip(&mut looks) {
            // Ends, as the size is prime: each member's walk visits every entry, and one is free.
            loop {
                let entry = &mut entries[*next as usize];
                *next += *skip;
                if *next >= size {
                    *next -= size;
                }
                if *entry == FREE {
                    *entry = placed.member;
                    break;
                }
            }
            free -= 1;
            if free == 0 {
                return entries;
            }
        }
    }
}

/// Keep the two hashes of a member apart; arbitrary numbers.
const OFFSET: u64 = 0x2545_f491_4f6c_dd1d;
const SKIP: u64 = 0xd6e8_feb8_6659_fd93;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(n: usize) -> SocketAddr {
        SocketAddr::from(([10, 0, (n / 250) as u8, (n % 250) as u8], 8080))
    }
    fn keys(members: impl IntoIterator<Item = usize>) -> Vec<Option<u64>> {
        members.into_iter().map(|n| Some(member_key(address(n)))).collect()
    }
    fn client(n: u32) -> IpAddr {
        IpAddr::from((0xc0a8_0000u32.wrapping_add(n)).to_be_bytes())
    }
    fn counts(table: &Maglev, members: usize) -> Vec<usize> {
        let mut counts = vec![0; members];
        table.entries.iter().for_each(|&member| counts[usize::from(member)] += 1);
        counts
    }

    #[test]
    fn sizes_are_prime_and_a_hundred_times_the_members() {
        for (most, size) in SIZES {
            assert!(size >= 100 * most, "{size}");
            assert!((2..).take_while(|d| d * d <= size).all(|d| size % d != 0), "{size} is prime");
        }
    }

    #[test]
    fn shares_differ_by_one_entry_at_most() {
        for members in [2, 3, 20, 21, 100, 500] {
            let counts = counts(&Maglev::new(keys(0..members)), members);
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(most - least <= 1, "{members} members: {least} to {most} entries");
        }
    }

    #[test]
    fn clients_of_one_network_spread_over_all_members() {
        let table = Maglev::new(keys(0..10));
        let mut counts = [0u32; 10];
        (0..65_536).for_each(|n| counts[table.pick(client(n), |_| true).unwrap()] += 1);
        assert!(counts.iter().all(|&n| n.abs_diff(6_554) < 400), "{counts:?}");
    }

    /// When `gone` of `members` leave: the share of the entries of those that stay which change, in percent.
    fn moved(members: usize, gone: usize, size: usize) -> f64 {
        let before: Vec<Placed> =
            (0..members).map(|n| Placed { key: member_key(address(n)), member: n as u16 }).collect();
        let leaves = |placed: &Placed| usize::from(placed.member) * gone % members < gone;
        let after: Vec<Placed> = before.iter().copied().filter(|placed| !leaves(placed)).collect();
        assert_eq!(after.len(), members - gone);
        let (old, new) = (fill(&before, size), fill(&after, size));
        let mut stay =
            old.iter().zip(&new).filter(|(old, _)| !leaves(&before[usize::from(**old)])).peekable();
        assert!(stay.peek().is_some());
        let (mut all, mut changed) = (0u32, 0u32);
        stay.for_each(|(old, new)| (all, changed) = (all + 1, changed + u32::from(old != new)));
        100.0 * f64::from(changed) / f64::from(all)
    }

    #[test]
    fn few_flows_move_when_members_leave() {
        // Bounds a little above what was measured.
        for (members, gone, size, percent_max) in [
            (1_000, 1, 65_537, 1.0),
            (1_000, 10, 65_537, 3.0),
            (1_000, 50, 65_537, 4.0),
            (1_000, 10, 655_373, 1.0),
            (5, 1, 2_039, 2.0),
            (20, 1, 2_039, 3.0),
            (100, 1, 65_537, 1.0),
            (500, 1, 65_537, 1.5),
            (500, 5, 65_537, 2.0),
        ] {
            let percent = moved(members, gone, size);
            println!(
                "{members} members, {gone} leave, {size} entries: {percent:.2} % of the others' entries change"
            );
            assert!(
                percent <= percent_max,
                "{members} members, {gone} leave, {size} entries: {percent:.2} %"
            );
        }
    }

    #[test]
    fn the_table_depends_on_who_the_members_are_and_not_on_their_order() {
        let (forward, backward) = (Maglev::new(keys(0..9)), Maglev::new(keys((0..9).rev())));
        for n in 0..1_000 {
            let there = forward.pick(client(n), |_| true).unwrap();
            assert_eq!(backward.pick(client(n), |_| true), Some(8 - there));
        }
    }

    #[test]
    fn small_groups_and_members_that_take_no_part() {
        let one = Maglev::new(keys([7]));
        assert_eq!((one.pick(client(1), |_| true), one.pick(client(1), |_| false)), (Some(0), None));
        assert_eq!(Maglev::new([]).pick(client(1), |_| true), None);
        let mut drained = keys(0..3);
        drained[1] = None;
        let table = Maglev::new(drained);
        assert!((0..1_000).all(|n| table.pick(client(n), |_| true) != Some(1)), "weight 0 is excluded");
        let twins = Maglev::new([Some(1), Some(1)]);
        assert_eq!(counts(&twins, 2), [1020, 1019], "equal keys do no harm");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_member_that_is_out_moves_its_own_clients_only(members in 1usize..40, out in any::<u64>(), from in any::<u32>()) {
            let usable = |member: usize| out >> member & 1 == 1;
            let table = Maglev::new(keys(0..members));
            for n in 0..200 {
                let client = client(from.wrapping_add(n));
                let own = table.pick(client, |_| true).unwrap();
                match table.pick(client, usable) {
                    Some(member) if usable(own) => prop_assert_eq!(member, own),
                    Some(member) => prop_assert!(usable(member)),
                    None => prop_assert!(!(0..members).any(usable)),
                }
            }
        }

        #[test]
        fn clients_of_a_member_that_is_out_spread_over_the_others(members in 3usize..12, out in 0usize..3) {
            let table = Maglev::new(keys(0..members));
            let mut counts = vec![0u32; members];
            let own = (0..).map(client).filter(|c| table.pick(*c, |_| true) == Some(out)).take(4_000);
            own.for_each(|c| counts[table.pick(c, |m| m != out).unwrap()] += 1);
            counts.remove(out);
            let mean = 4_000 / counts.len() as u32;
            prop_assert!(counts.iter().all(|&n| n.abs_diff(mean) < mean / 3), "{:?}", counts);
        }
    }
}
