//! The flows of a UDP listener in one worker: which member has the datagrams of a client, until neither side says anything for a while.
//!
//! A flow is found by a key: both addresses ([`FlowKey`]), or the part of a QUIC connection id that places it ([`CidKey`], in a table
//! of its own). It belongs to a member and carries whatever the caller needs to forward it.
//!
//! **Idle.** A flow ends when neither side has sent anything for the idle timeout. All flows of a table have the same timeout, so
//! lists in the order of their last datagram say at once who is next: no timing wheel, no rounding.
//!
//! **Full.** When the table is full, a new flow displaces the one that was idle longest; first among those whose client has not
//! spoken again after an answer. So a flood from made-up addresses, which cannot go on with a conversation, displaces itself and not
//! the flows that work.
//!
//! Costs: a datagram is one look-up by hash and at most one move in a list, whatever the number of flows; nothing is allocated but
//! when there are more flows than ever before. The index grows by one bucket at a time (linear hashing, Litwin 1980), so there is no
//! moment in which all flows are sorted anew.
//!
//! Invariants ([`FlowTable::check_invariants`], held by simulation and fuzz target): every flow is found by its key, is in one list by
//! age and in its member's list; ages are in order; never more flows than allowed; a flow ends no sooner than its timeout unless it
//! is displaced, and each ended flow is given to the caller exactly once.
//!
//! What it does not do: it knows no socket and does not choose members. It is not shared between workers.
//! Source: behaviour/features.md section 3 (UDP idle timeout 10–4000 s, default 300) and section 7 (deregistration delay).
//!
//! # How to drive it
//!
//! For a client's datagram ask [`FlowTable::handle_datagram`]; when there is no flow, choose a member and [`FlowTable::begin`]. For a
//! member's datagram call [`FlowTable::handle_answer`]. Call [`FlowTable::poll_expired`] until it gives none, at the latest at
//! [`FlowTable::poll_timeout`]. When a member has to let go of its flows, call [`FlowTable::poll_member`] until it gives none (in
//! portions, if there may be many). Short of sockets, [`FlowTable::displace`] one. Whatever these give back has ended: close its socket.

mod index;
mod key;
mod list;

use std::hash::{BuildHasher, Hash};

use index::Index;
pub use key::{CidKey, FlowKey};
use list::{Link, List, NIL};

/// The flows of one listener in one worker.
///
/// Clients choose the keys, so `S` must be a keyed hash such as that of `std::hash::RandomState`.
#[derive(Debug)]
pub struct FlowTable<K, V, S> {
    slots: Vec<Slot<K, V>>,
    /// The first free slot; those behind it follow by `Slot::chain`.
    free: u32,
    index: Index,
    /// By age, oldest first: flows whose client may be made up, and those that are a conversation.
    tentative: List,
    established: List,
    members: Vec<List>,
    flows_max: u32,
    idle_timeout_ms: u64,
    now_ms: u64,
    hasher: S,
}

/// Names a flow for as long as it lives. What named an ended flow names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowId {
    slot: u32,
    generation: u32,
}

impl FlowId {
    /// It as one number, for whoever can keep only that.
    pub const fn to_bits(self) -> u64 {
        (self.slot as u64) << 32 | self.generation as u64
    }

    /// The reverse of [`FlowId::to_bits`]. A number that did not come from there names some flow, or none.
    pub const fn from_bits(bits: u64) -> Self {
        Self { slot: (bits >> 32) as u32, generation: bits as u32 }
    }
}

/// The number that the caller gives to a member for as long as it has flows, across changes of the plan (a
/// [`MemberIndex`](crate::MemberIndex) means something in one plan only). Small numbers, as there is a list for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberSlot(pub u16);

/// A flow that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow<K, V> {
    /// By what it was found.
    pub key: K,
    /// Whose it was.
    pub member: MemberSlot,
    /// What the caller kept with it.
    pub value: V,
}

/// How far a conversation came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The client spoke.
    Opened,
    /// Then the member.
    Answered,
    /// Then the client again: its address is its own.
    Established,
}

#[derive(Debug)]
struct Slot<K, V> {
    generation: u32,
    hash: u32,
    /// The next slot of the same bucket, or the next free one.
    chain: u32,
    age: Link,
    sibling: Link,
    seen_ms: u64,
    stage: Stage,
    flow: Option<Flow<K, V>>,
}

impl<K, V> Slot<K, V> {
    fn age(&mut self) -> &mut Link {
        &mut self.age
    }

    fn sibling(&mut self) -> &mut Link {
        &mut self.sibling
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> FlowTable<K, V, S> {
    /// An empty table for at most `flows_max` flows (1 to 2³² − 2; others are taken as the nearest), each of which ends after
    /// `idle_timeout_ms` without a datagram (0 is taken as 1).
    pub fn new(flows_max: u32, idle_timeout_ms: u64, hasher: S) -> Self {
        Self {
            slots: Vec::new(),
            free: NIL,
            index: Index::new(),
            tentative: List::new(),
            established: List::new(),
            members: Vec::new(),
            flows_max: flows_max.clamp(1, NIL - 1),
            idle_timeout_ms: idle_timeout_ms.max(1),
            now_ms: 0,
            hasher,
        }
    }

    /// Changes the limits; they hold for the flows that are there. Those that are too many now are given by
    /// [`FlowTable::poll_expired`].
    pub fn set_limits(&mut self, flows_max: u32, idle_timeout_ms: u64) {
        self.flows_max = flows_max.clamp(1, NIL - 1);
        self.idle_timeout_ms = idle_timeout_ms.max(1);
    }

    /// How many flows there are, those included whose time is over and that were not polled yet.
    pub fn len(&self) -> usize {
        (self.tentative.count + self.established.count) as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many flows a member has.
    pub fn member_len(&self, member: MemberSlot) -> usize {
        self.members.get(usize::from(member.0)).map_or(0, |list| list.count as usize)
    }

    /// A client's datagram: its flow, which lives on from now; none when it is the first, or the flow's time is over. `now_ms`:
    /// milliseconds of any clock, the same for all calls; going back counts as standing still.
    pub fn handle_datagram(&mut self, now_ms: u64, key: &K) -> Option<(FlowId, MemberSlot, &mut V)> {
        self.advance(now_ms);
        let slot = self.find(self.hash(key), key).filter(|&slot| !self.is_over(slot))?;
        let stage = match self.slots[slot as usize].stage {
            Stage::Opened => Stage::Opened,
            Stage::Answered | Stage::Established => Stage::Established,
        };
        self.touch(slot, stage);
        let Slot { generation, flow, .. } = &mut self.slots[slot as usize];
        let flow = flow.as_mut()?;
        Some((FlowId { slot, generation: *generation }, flow.member, &mut flow.value))
    }

    /// A member's datagram of a flow, which lives on from now; none when the flow has ended.
    pub fn handle_answer(&mut self, now_ms: u64, id: FlowId) -> Option<&mut V> {
        self.advance(now_ms);
        let slot = self.living(id).filter(|&slot| !self.is_over(slot))?;
        let stage = match self.slots[slot as usize].stage {
            Stage::Opened | Stage::Answered => Stage::Answered,
            Stage::Established => Stage::Established,
        };
        self.touch(slot, stage);
        self.slots[slot as usize].flow.as_mut().map(|flow| &mut flow.value)
    }

    /// A new flow. Also gives what ended for it: the flow that had this key before, or, of a full table, the one that was idle
    /// longest.
    pub fn begin(
        &mut self,
        now_ms: u64,
        key: K,
        member: MemberSlot,
        value: V,
    ) -> (FlowId, Option<Flow<K, V>>) {
        self.advance(now_ms);
        let hash = self.hash(&key);
        let displaced = match self.find(hash, &key) {
            Some(former) => Some(former),
            None if self.len() >= self.flows_max as usize => self.oldest_to_displace(),
            None => None,
        };
        let displaced = displaced.and_then(|slot| self.remove(slot));
        let slot = self.place(hash, Flow { key, member, value });
        (FlowId { slot, generation: self.slots[slot as usize].generation }, displaced)
    }

    /// Ends a flow; none when it has ended already.
    pub fn end(&mut self, id: FlowId) -> Option<Flow<K, V>> {
        self.living(id).and_then(|slot| self.remove(slot))
    }

    /// What the caller keeps with a flow; none when it has ended.
    pub fn value_mut(&mut self, id: FlowId) -> Option<&mut V> {
        let slot = self.living(id)?;
        self.slots[slot as usize].flow.as_mut().map(|flow| &mut flow.value)
    }

    /// By what a flow is found, and whose it is; none when it has ended.
    pub fn get(&self, id: FlowId) -> Option<(&K, MemberSlot)> {
        let slot = self.living(id)?;
        self.slots[slot as usize].flow.as_ref().map(|flow| (&flow.key, flow.member))
    }

    /// Ends the flow that a new one would displace in a full table, for a caller that is short of something else than places; none
    /// when there is no flow.
    pub fn displace(&mut self, now_ms: u64) -> Option<Flow<K, V>> {
        self.advance(now_ms);
        self.oldest_to_displace().and_then(|slot| self.remove(slot))
    }

    /// Ends one flow that must end: idle for too long, or the oldest while there are more than allowed. None: no more for now.
    pub fn poll_expired(&mut self, now_ms: u64) -> Option<Flow<K, V>> {
        self.advance(now_ms);
        let slot = match self.len() > self.flows_max as usize {
            true => self.oldest_to_displace(),
            false => self.oldest().filter(|&slot| self.is_over(slot)),
        };
        slot.and_then(|slot| self.remove(slot))
    }

    /// When the next flow's time will be over, if none says anything by then; none without flows.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.oldest().map(|slot| self.slots[slot as usize].seen_ms.saturating_add(self.idle_timeout_ms))
    }

    /// Ends one flow of a member; none when it has no more.
    pub fn poll_member(&mut self, member: MemberSlot) -> Option<Flow<K, V>> {
        let first = self.members.get(usize::from(member.0))?.first()?;
        self.remove(first)
    }

    /// The flows of a member, in no order that means anything.
    pub fn flows_of(&self, member: MemberSlot) -> impl Iterator<Item = (FlowId, &K, &V)> {
        let first = self.members.get(usize::from(member.0)).and_then(List::first);
        std::iter::successors(first, |&slot| list::present(self.slots[slot as usize].sibling.next))
            .filter_map(|slot| {
                let Slot { generation, flow, .. } = &self.slots[slot as usize];
                let flow = flow.as_ref()?;
                Some((FlowId { slot, generation: *generation }, &flow.key, &flow.value))
            })
    }

    fn advance(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    fn hash(&self, key: &K) -> u32 {
        let hash = self.hasher.hash_one(key);
        (hash ^ hash >> 32) as u32
    }

    fn find(&self, hash: u32, key: &K) -> Option<u32> {
        let first = list::present(self.index.first(hash));
        std::iter::successors(first, |&slot| list::present(self.slots[slot as usize].chain)).find(|&slot| {
            let slot = &self.slots[slot as usize];
            slot.hash == hash && slot.flow.as_ref().is_some_and(|flow| flow.key == *key)
        })
    }

    fn living(&self, id: FlowId) -> Option<u32> {
        let slot = self.slots.get(id.slot as usize)?;
        (slot.generation == id.generation && slot.flow.is_some()).then_some(id.slot)
    }

    fn is_over(&self, slot: u32) -> bool {
        self.now_ms - self.slots[slot as usize].seen_ms >= self.idle_timeout_ms
    }

    /// The flow that was idle longest of all.
    fn oldest(&self) -> Option<u32> {
        let seen = |slot: &u32| self.slots[*slot as usize].seen_ms;
        [self.tentative.first(), self.established.first()].into_iter().flatten().min_by_key(seen)
    }

    /// Whom a new flow displaces.
    fn oldest_to_displace(&self) -> Option<u32> {
        // One whose time is over is no loss, whatever it was.
        let over = self.oldest().filter(|&slot| self.is_over(slot));
        over.or(self.tentative.first()).or(self.established.first())
    }

    /// A flow lives on from now.
    fn touch(&mut self, slot: u32, stage: Stage) {
        let now_ms = self.now_ms;
        let Slot { seen_ms, stage: former, .. } = &mut self.slots[slot as usize];
        let same_list = (*former == Stage::Established) == (stage == Stage::Established);
        // Among datagrams of one millisecond there is no order.
        if same_list && *seen_ms == now_ms {
            *former = stage;
            return;
        }
        self.leave_age(slot);
        let Slot { seen_ms, stage: former, .. } = &mut self.slots[slot as usize];
        (*seen_ms, *former) = (now_ms, stage);
        self.join_age(slot);
    }

    fn place(&mut self, hash: u32, flow: Flow<K, V>) -> u32 {
        let member = usize::from(flow.member.0);
        if self.members.len() <= member {
            self.members.resize_with(member + 1, List::new);
        }
        let slot = match list::present(self.free) {
            Some(slot) => {
                self.free = self.slots[slot as usize].chain;
                slot
            }
            None => {
                let (age, sibling) = (Link::NONE, Link::NONE);
                let (stage, seen_ms) = (Stage::Opened, 0);
                self.slots.push(Slot {
                    generation: 0,
                    hash,
                    chain: NIL,
                    age,
                    sibling,
                    seen_ms,
                    stage,
                    flow: None,
                });
                self.slots.len() as u32 - 1
            }
        };
        let now_ms = self.now_ms;
        let place = &mut self.slots[slot as usize];
        (place.hash, place.seen_ms, place.stage, place.flow) = (hash, now_ms, Stage::Opened, Some(flow));
        self.index.insert(hash, slot, &mut self.slots);
        self.join_age(slot);
        self.members[member].push_back(slot, &mut self.slots, Slot::sibling);
        if self.len() > self.index.buckets() {
            self.index.grow(&mut self.slots);
        }
        slot
    }

    fn remove(&mut self, slot: u32) -> Option<Flow<K, V>> {
        let place = &mut self.slots[slot as usize];
        let flow = place.flow.take()?;
        place.generation = place.generation.wrapping_add(1);
        let hash = place.hash;
        self.index.remove(hash, slot, &mut self.slots);
        self.leave_age(slot);
        let siblings = &mut self.members[usize::from(flow.member.0)];
        siblings.remove(slot, &mut self.slots, Slot::sibling);
        self.slots[slot as usize].chain = self.free;
        self.free = slot;
        Some(flow)
    }

    fn join_age(&mut self, slot: u32) {
        let list = match self.slots[slot as usize].stage {
            Stage::Opened | Stage::Answered => &mut self.tentative,
            Stage::Established => &mut self.established,
        };
        list.push_back(slot, &mut self.slots, Slot::age);
    }

    fn leave_age(&mut self, slot: u32) {
        let list = match self.slots[slot as usize].stage {
            Stage::Opened | Stage::Answered => &mut self.tentative,
            Stage::Established => &mut self.established,
        };
        list.remove(slot, &mut self.slots, Slot::age);
    }

    /// Panics when the table is not what it should be. For simulations and fuzzers; looks at every flow.
    pub fn check_invariants(&self) {
        let mut by_age = 0;
        for (list, established) in [(&self.tentative, false), (&self.established, true)] {
            let mut before = 0;
            by_age += list.check(
                |slot| self.slots[slot as usize].age,
                |slot| {
                    let slot = &self.slots[slot as usize];
                    assert!(slot.flow.is_some(), "an ended flow has an age");
                    assert_eq!(slot.stage == Stage::Established, established, "in the other list");
                    assert!(before <= slot.seen_ms && slot.seen_ms <= self.now_ms, "ages are out of order");
                    before = slot.seen_ms;
                },
            );
        }
        let mut by_member = 0;
        for (member, list) in self.members.iter().enumerate() {
            by_member += list.check(
                |slot| self.slots[slot as usize].sibling,
                |slot| {
                    let flow = self.slots[slot as usize].flow.as_ref();
                    assert!(flow.is_some_and(|flow| usize::from(flow.member.0) == member), "another's flow");
                },
            );
        }
        let by_key = self.slots.iter().enumerate().filter(|(at, slot)| {
            let found = slot.flow.as_ref().and_then(|flow| self.find(self.hash(&flow.key), &flow.key));
            assert_eq!(found, slot.flow.is_some().then_some(*at as u32), "found by its key");
            found.is_some()
        });
        assert_eq!([by_age, by_member, by_key.count()], [self.len(); 3], "by age, by member, by key");
        let free = std::iter::successors(list::present(self.free), |&slot| {
            list::present(self.slots[slot as usize].chain)
        });
        let free =
            free.inspect(|&slot| assert!(self.slots[slot as usize].flow.is_none(), "a free slot has a flow"));
        assert_eq!(free.count() + self.len(), self.slots.len(), "a slot is lost");
    }
}

impl<K, V> index::Chained for Vec<Slot<K, V>> {
    fn hash(&self, slot: u32) -> u32 {
        self[slot as usize].hash
    }

    fn next(&mut self, slot: u32) -> &mut u32 {
        &mut self[slot as usize].chain
    }
}
