//! QUIC passed on: a connection keeps its member when its client's address changes.
//!
//! A client that moves is a new flow, and the kernel may give it to another worker. What stays is the connection id, of which the pool
//! names a part. By that part a new flow finds its member, in this order:
//! 1. the member that the part is known of ([`Cids`], shared by all workers);
//! 2. where it is not, the member that the part hashes to, the same in every worker and on every node;
//! 3. where a packet has no such part, the member that its client's address says.
//!
//! Parts become known in two ways, because members choose their own ids: a member says its id in long headers while a connection is
//! set up; and a client that has an answer may change to another id of its member's (which was told to it in secret) before it moves.
//! Of a member whose ids all have the same part, one connection makes all known; RFC 9000 section 5.1 leaves it the choice. A client that
//! changes address and id at once, to an id whose part was never seen, is placed by its hash.
//!
//! A known flow is not placed anew by what its packets say: a part is short, and two connections may share one.
//!
//! Locks: one of [`SHARDS`] is taken for a new flow, for a part that becomes known, and once in [`REFRESH_MS`] for a flow that goes on;
//! not for a packet. Source: behaviour/features.md section 2 ("QUIC pool", "QUIC CID hash").

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use balance::{CidKey, FlowTable, MemberIndex, MemberSlot, mix::mix_bytes};
use model::MemberId;
use plan::TargetPlan;
use wire::quic::{self, Header};

use crate::target::{Target, Tried};

/// Parts of connection ids that are known of a target's members.
const KNOWN_MAX: u32 = 1 << 17;

/// How often a flow says that it still goes on.
const REFRESH_MS: u64 = 60_000;

/// For how long a part is known after it was last said to go on: the longest idle timeout, and the time until that is said again.
const KNOWN_MS: u64 = 4_000_000 + REFRESH_MS;

/// Parts that one flow's client may make known, so that nobody fills the table alone.
const BY_CLIENT_MAX: u8 = 8;

const SHARDS: usize = 16;

/// Which part of a connection id places it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CidPart {
    /// In bytes, 1 to 20.
    pub(crate) length: usize,
    /// The first of them, 0 to 19.
    pub(crate) offset: usize,
}

impl CidPart {
    /// That of a target that places by it.
    pub(crate) fn of(plan: &TargetPlan) -> Option<Self> {
        let hash = plan.quic_cid_hash?;
        Some(Self { length: hash.length.value().into(), offset: hash.offset.value().into() })
    }
}

/// Whose connection ids are known, for all workers.
pub(crate) struct Cids {
    pub(crate) part: CidPart,
    shards: [Mutex<FlowTable<CidKey, MemberId, RandomState>>; SHARDS],
    /// Says which shard; another hash than those within.
    hasher: RandomState,
}

/// What a flow knows of its connection.
pub(super) struct Connection {
    /// The part that was last made known.
    known: Option<CidKey>,
    known_ms: u64,
    /// How many its client has made known since.
    by_client: u8,
    answered: bool,
}

impl Cids {
    pub(crate) fn new(part: CidPart) -> Self {
        let per_shard = KNOWN_MAX / SHARDS as u32;
        let shard = |_| Mutex::new(FlowTable::new(per_shard, KNOWN_MS, RandomState::new()));
        Self { part, shards: std::array::from_fn(shard), hasher: RandomState::new() }
    }

    /// The part of a client's packet.
    pub(super) fn of_client(&self, packet: &[u8]) -> Option<CidKey> {
        CidKey::new(quic::cid_key(packet, self.part.length, self.part.offset)?)
    }

    /// The member of a new flow whose first packet has this part; none: it is placed as any datagram. `keeps` says of a member, by its
    /// place, whether it still serves what it has.
    pub(super) fn place(
        &self,
        target: &Target,
        now: u64,
        part: &CidKey,
        tried: &Tried,
        keeps: impl Fn(usize) -> bool,
    ) -> Option<MemberIndex> {
        let TargetPlan { members, maglev, .. } = &*target.shared.plan;
        let usable = |index: usize| target.is_usable(index, tried);
        let known = self.find(now, part).and_then(|id| members.iter().position(|member| member.id == id));
        let known = known.filter(|&index| usable(index) && keeps(index));
        let hashed = || maglev.as_ref()?.pick_hash(mix_bytes(part.as_bytes()), usable);
        known.or_else(hashed).and_then(|index| MemberIndex::try_from(index).ok())
    }

    /// Whose a part is, as far as known. That counts as use.
    fn find(&self, now: u64, part: &CidKey) -> Option<MemberId> {
        let mut shard = self.shard(part);
        shard.handle_datagram(now, part).map(|(_, _, member)| *member)
    }

    /// A part is a member's from now on. What only clients said, not `by_member`, is the first to go when the table is full.
    fn learn(&self, now: u64, part: CidKey, member: MemberId, by_member: bool) {
        let mut shard = self.shard(&part);
        let id = match shard.handle_datagram(now, &part) {
            Some((id, _, known)) => {
                *known = member;
                id
            }
            None => {
                // Two go for one that comes, if their time is over.
                let _over = [shard.poll_expired(now), shard.poll_expired(now)];
                shard.begin(now, part, ALL, member).0
            }
        };
        if by_member {
            shard.handle_answer(now, id);
        }
    }

    fn shard(&self, part: &CidKey) -> MutexGuard<'_, FlowTable<CidKey, MemberId, RandomState>> {
        let shard = self.hasher.hash_one(part) as usize % SHARDS;
        // A panic while the lock is held is a defect of the table, whose other entries are still good.
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    pub(super) const fn new() -> Self {
        Self { known: None, known_ms: 0, by_client: 0, answered: false }
    }

    /// A client's packet in a flow of this member.
    #[inline]
    pub(super) fn handle_packet(&mut self, cids: &Cids, now: u64, packet: &[u8], member: MemberId) {
        // Ids in long headers were made up by the client, or said by the member.
        if !self.answered || !matches!(Header::parse(packet), Some(Header::Short(_))) {
            return;
        }
        let Some(part) = quic::cid_key(packet, cids.part.length, cids.part.offset) else { return };
        let is_fresh = now.saturating_sub(self.known_ms) < REFRESH_MS;
        if is_fresh && (self.is_known(part) || self.by_client == BY_CLIENT_MAX) {
            return;
        }
        self.by_client = if is_fresh { self.by_client + 1 } else { 0 };
        self.make_known(cids, now, part, member, false);
    }

    /// The member's packet in a flow.
    #[inline]
    pub(super) fn handle_answer(&mut self, cids: &Cids, now: u64, packet: &[u8], member: MemberId) {
        self.answered = true;
        if let Some(part) = quic::sender_key(packet, cids.part.length, cids.part.offset)
            && !self.is_known(part)
        {
            self.make_known(cids, now, part, member, true);
        }
    }

    fn is_known(&self, part: &[u8]) -> bool {
        self.known.as_ref().is_some_and(|known| known.as_bytes() == part)
    }

    #[cold]
    fn make_known(&mut self, cids: &Cids, now: u64, part: &[u8], member: MemberId, by_member: bool) {
        let Some(part) = CidKey::new(part) else { return };
        cids.learn(now, part, member, by_member);
        (self.known, self.known_ms) = (Some(part), now);
    }
}

/// The tables have one list of all.
const ALL: MemberSlot = MemberSlot(0);

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const PART: CidPart = CidPart { length: 3, offset: 1 };

    fn member(n: u128) -> MemberId {
        MemberId::new(Uuid::from_u128(n))
    }

    fn key(part: &[u8]) -> CidKey {
        CidKey::new(part).unwrap()
    }

    /// A packet of a connection that is set up.
    fn short(cid: &[u8]) -> Vec<u8> {
        [&[0x41][..], cid, b"payload"].concat()
    }

    /// A packet of a server while a connection is set up.
    fn hello(cid: &[u8]) -> Vec<u8> {
        let length = cid.len() as u8;
        [&[0xe0, 0, 0, 0, 1, 2][..], b"me", &[length], cid, b"payload"].concat()
    }

    #[test]
    fn the_id_that_a_member_says_is_known_at_once() {
        let cids = Cids::new(PART);
        let mut flow = Connection::new();
        assert_eq!(cids.find(0, &key(b"111")), None);
        flow.handle_answer(&cids, 0, &hello(b"x111yyyy"), member(1));
        assert_eq!(cids.find(1, &key(b"111")), Some(member(1)));
        assert_eq!(cids.of_client(&short(b"x111zzzz")), Some(key(b"111")));
        // Said again elsewhere: the latest word counts.
        Connection::new().handle_answer(&cids, 2, &hello(b"x111yyyy"), member(2));
        assert_eq!(cids.find(3, &key(b"111")), Some(member(2)));
    }

    #[test]
    fn an_id_that_a_client_changes_to_is_known_once_it_was_answered() {
        let cids = Cids::new(PART);
        let mut flow = Connection::new();
        flow.handle_packet(&cids, 0, &short(b"x111yyyy"), member(1));
        assert_eq!(cids.find(0, &key(b"111")), None, "a client that was never answered makes nothing known");
        flow.handle_answer(&cids, 1, &short(b"client"), member(1));
        flow.handle_packet(&cids, 2, &short(b"x222yyyy"), member(1));
        assert_eq!(cids.find(3, &key(b"222")), Some(member(1)));
    }

    #[test]
    fn a_client_makes_few_ids_known_at_a_time() {
        let cids = Cids::new(PART);
        let mut flow = Connection::new();
        flow.handle_answer(&cids, 0, &hello(b"x___yyyy"), member(1));
        let part = |n: u8| [b'a', b'a', n];
        let known = |now| (0..40).filter(|&n| cids.find(now, &key(&part(n))).is_some()).count();
        for n in 0..40 {
            flow.handle_packet(&cids, 1, &short(&[&b"x"[..], &part(n), b"yyyy"].concat()), member(1));
        }
        assert_eq!(known(2), usize::from(BY_CLIENT_MAX));
        flow.handle_packet(
            &cids,
            REFRESH_MS + 1,
            &short(&[&b"x"[..], &part(39), b"yyyy"].concat()),
            member(1),
        );
        assert_eq!(known(REFRESH_MS + 2), usize::from(BY_CLIENT_MAX) + 1, "later it may say more");
    }

    #[test]
    fn an_id_is_known_while_its_flow_goes_on_and_forgotten_afterwards() {
        let cids = Cids::new(PART);
        let mut flow = Connection::new();
        flow.handle_answer(&cids, 0, &hello(b"x111yyyy"), member(1));
        let mut now = 0;
        for _ in 0..300 {
            now += 30_000;
            flow.handle_packet(&cids, now, &short(b"x111yyyy"), member(1));
        }
        assert!(now > 2 * KNOWN_MS);
        let later = now + KNOWN_MS - REFRESH_MS;
        assert!(cids.shard(&key(b"111")).poll_expired(later).is_none());
        assert!(cids.shard(&key(b"111")).poll_expired(later + KNOWN_MS).is_some());
    }

    #[test]
    fn what_clients_alone_say_goes_first_when_the_table_is_full() {
        let cids = Cids::new(PART);
        let said = |n: u32| [&b"x"[..], &n.to_be_bytes()[1..], b"yyyy"].concat();
        let mut good = Connection::new();
        good.handle_answer(&cids, 0, &hello(&said(0)), member(1));
        good.handle_packet(&cids, REFRESH_MS, &short(&said(0)), member(1));
        for n in 1..2 * KNOWN_MAX {
            cids.learn(REFRESH_MS + u64::from(n), key(&n.to_be_bytes()[1..]), member(2), false);
        }
        assert_eq!(cids.find(4 * REFRESH_MS, &key(&[0, 0, 0])), Some(member(1)));
    }
}
