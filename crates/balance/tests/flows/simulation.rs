//! A flow table beside a plain list that says what it should do, both given the same events. Driven by seeds (the tests here) and by
//! a fuzzer (fuzz/fuzz_targets/udp_flows.rs).

use std::hash::{BuildHasher, Hasher};

use balance::{Flow, FlowId, FlowTable, MemberSlot};

/// What both sides are told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// Time goes on; or stands still, when it goes back.
    Clock { ms: i32 },
    /// A client's datagram; one that has no flow begins one, of this member.
    Datagram { key: u8, member: u8 },
    /// A new flow, whether there is one of this key or not.
    Begin { key: u8, member: u8 },
    /// A member's datagram, of any flow that there ever was.
    Answer { flow: u16 },
    /// A flow is ended, any that there ever was.
    End { flow: u16 },
    /// All that must end ends.
    Expire,
    /// A flow makes room.
    Displace,
    /// A member lets go of this many flows.
    Leave { member: u8, count: u8 },
    /// Other limits.
    Limits { flows_max: u8, idle_ms: u16 },
}

impl Event {
    /// Four bytes make an event.
    pub(crate) fn of([kind, a, b, c]: [u8; 4]) -> Self {
        let pair = u16::from_le_bytes([a, b]);
        let (key, member) = (a % 96, b % 5);
        match kind % 32 {
            0..=3 => Self::Clock { ms: i32::from(pair % 400) },
            4 => Self::Clock { ms: i32::from(pair) },
            5 => Self::Clock { ms: -i32::from(a) },
            6..=19 => Self::Datagram { key, member },
            20 => Self::Begin { key, member },
            21..=26 => Self::Answer { flow: pair },
            27 => Self::End { flow: pair },
            28 => Self::Expire,
            29 if c % 2 == 0 => Self::Expire,
            29 => Self::Displace,
            30 => Self::Leave { member, count: c % 8 },
            _ => Self::Limits { flows_max: c % 64, idle_ms: pair % 2000 },
        }
    }
}

/// The table and the list.
pub(crate) struct Simulation {
    table: FlowTable<u8, u32, BadHasher>,
    list: Vec<Expected>,
    /// The id of every flow that there ever was, by its value.
    ids: Vec<FlowId>,
    flows_max: usize,
    idle_ms: u64,
    clock_ms: i64,
    latest_ms: u64,
}

#[derive(Clone, Debug)]
struct Expected {
    key: u8,
    member: MemberSlot,
    /// Also its number.
    value: u32,
    seen_ms: u64,
    answered: bool,
    established: bool,
}

impl Simulation {
    /// Both empty. `collisions`: how many bits of a key's hash are lost, so that chains are long.
    pub(crate) fn new(collisions: u32) -> Self {
        let (flows_max, idle_ms) = (24, 1000);
        Self {
            table: FlowTable::new(flows_max as u32, idle_ms, BadHasher(collisions)),
            list: Vec::new(),
            ids: Vec::new(),
            flows_max,
            idle_ms,
            clock_ms: 0,
            latest_ms: 0,
        }
    }

    /// Tells both of an event. Panics where they differ, or the table is not what it should be.
    pub(crate) fn handle(&mut self, event: Event) {
        let now = self.clock_ms.max(0) as u64;
        let told = match event {
            Event::Datagram { .. } | Event::Begin { .. } | Event::Expire | Event::Displace => true,
            Event::Answer { .. } => !self.ids.is_empty(),
            Event::Clock { .. } | Event::End { .. } | Event::Leave { .. } | Event::Limits { .. } => false,
        };
        if told {
            self.latest_ms = self.latest_ms.max(now);
        }
        match event {
            Event::Clock { ms } => self.clock_ms += i64::from(ms),
            Event::Datagram { key, member } => {
                let found =
                    self.table.handle_datagram(now, &key).map(|(id, member, value)| (id, member, *value));
                let latest = self.latest_ms;
                let expected = self.list.iter().position(|flow| flow.key == key && !self.is_over(flow));
                let expected = expected.map(|at| {
                    let flow = &mut self.list[at];
                    flow.seen_ms = latest;
                    flow.established |= flow.answered;
                    (self.ids[flow.value as usize], flow.member, flow.value)
                });
                assert_eq!(found, expected);
                if found.is_none() {
                    self.begin(now, key, MemberSlot(member.into()));
                }
            }
            Event::Begin { key, member } => self.begin(now, key, MemberSlot(member.into())),
            Event::Answer { flow } => {
                let Some((number, id)) = self.flow(flow) else { return };
                let found = self.table.handle_answer(now, id).map(|value| *value);
                let latest = self.latest_ms;
                let expected = self.list.iter().position(|flow| flow.value == number && !self.is_over(flow));
                assert_eq!(found, expected.map(|_| number));
                if let Some(at) = expected {
                    (self.list[at].seen_ms, self.list[at].answered) = (latest, true);
                }
            }
            Event::End { flow } => {
                let Some((number, id)) = self.flow(flow) else { return };
                let expected = self.list.iter().any(|flow| flow.value == number);
                assert_eq!(self.table.value_mut(id).is_some(), expected);
                assert_eq!(self.table.get(FlowId::from_bits(id.to_bits())).is_some(), expected);
                let ended = self.table.end(id);
                assert_eq!(ended.is_some(), expected);
                if let Some(flow) = ended {
                    self.ended(&flow);
                }
            }
            Event::Expire => {
                while let Some(flow) = self.table.poll_expired(now) {
                    let too_many = self.list.len() > self.flows_max;
                    let candidates = self.to_displace();
                    let flow = self.ended(&flow);
                    assert!(self.is_over(&flow) || too_many, "{flow:?} ended too soon");
                    assert!(!too_many || candidates.contains(&flow.value), "{flow:?} before its turn");
                }
                assert!(
                    self.list.len() <= self.flows_max && !self.list.iter().any(|flow| self.is_over(flow))
                );
            }
            Event::Displace => {
                let candidates = self.to_displace();
                let displaced = self.table.displace(now);
                assert_eq!(displaced.is_some(), !candidates.is_empty());
                if let Some(flow) = displaced {
                    assert!(
                        candidates.contains(&flow.value),
                        "{flow:?} displaced, not one of {candidates:?}"
                    );
                    self.ended(&flow);
                }
            }
            Event::Leave { member, count } => {
                let member = MemberSlot(member.into());
                for _ in 0..count {
                    let expected = self.list.iter().any(|flow| flow.member == member);
                    let ended = self.table.poll_member(member);
                    assert_eq!(ended.is_some(), expected);
                    ended.into_iter().for_each(|flow| assert_eq!(self.ended(&flow).member, member));
                }
            }
            Event::Limits { flows_max, idle_ms } => {
                self.table.set_limits(flows_max.into(), idle_ms.into());
                (self.flows_max, self.idle_ms) = (usize::from(flows_max).max(1), u64::from(idle_ms).max(1));
            }
        }
        self.check();
    }

    fn begin(&mut self, now: u64, key: u8, member: MemberSlot) {
        let value = self.ids.len() as u32;
        let former = self.list.iter().find(|flow| flow.key == key).map(|flow| flow.value);
        let candidates = match former {
            Some(former) => vec![former],
            None if self.list.len() >= self.flows_max => self.to_displace(),
            None => vec![],
        };
        let (id, displaced) = self.table.begin(now, key, member, value);
        assert_eq!(displaced.is_some(), !candidates.is_empty());
        if let Some(flow) = displaced {
            assert!(candidates.contains(&flow.value), "{flow:?} displaced, not one of {candidates:?}");
            self.ended(&flow);
        }
        self.ids.push(id);
        let seen_ms = self.latest_ms;
        self.list.push(Expected { key, member, value, seen_ms, answered: false, established: false });
    }

    /// Whom the rule of a full table names; several, where they were idle equally long.
    fn to_displace(&self) -> Vec<u32> {
        let oldest = |of: &dyn Fn(&Expected) -> bool| {
            let least = self.list.iter().filter(|flow| of(flow)).map(|flow| flow.seen_ms).min();
            let oldest = self.list.iter().filter(|flow| of(flow) && Some(flow.seen_ms) == least);
            oldest.map(|flow| flow.value).collect::<Vec<_>>()
        };
        let ways: [&dyn Fn(&Expected) -> bool; 3] =
            [&|flow| self.is_over(flow), &|flow| !flow.established, &|_| true];
        ways.into_iter().map(oldest).find(|found| !found.is_empty()).unwrap_or_default()
    }

    fn is_over(&self, flow: &Expected) -> bool {
        self.latest_ms - flow.seen_ms >= self.idle_ms
    }

    /// Any flow that there ever was: recent ones more often, as old ones are all ended.
    fn flow(&self, number: u16) -> Option<(u32, FlowId)> {
        let back = usize::from(number) % 64 % self.ids.len().max(1);
        let number = self.ids.len().checked_sub(1 + back)?;
        Some((number as u32, self.ids[number]))
    }

    fn ended(&mut self, flow: &Flow<u8, u32>) -> Expected {
        let at = self.list.iter().position(|expected| expected.value == flow.value);
        let expected = self.list.swap_remove(at.expect("a flow ends once"));
        assert_eq!((flow.key, flow.member), (expected.key, expected.member));
        expected
    }

    fn check(&self) {
        self.table.check_invariants();
        assert_eq!((self.table.len(), self.table.is_empty()), (self.list.len(), self.list.is_empty()));
        let next = self.list.iter().map(|flow| flow.seen_ms + self.idle_ms).min();
        assert_eq!(self.table.poll_timeout(), next);
        for member in (0..5).map(MemberSlot) {
            let mut expected: Vec<_> = self
                .list
                .iter()
                .filter(|flow| flow.member == member)
                .map(|flow| (flow.key, flow.value))
                .collect();
            let mut found: Vec<_> =
                self.table.flows_of(member).map(|(_, key, value)| (*key, *value)).collect();
            expected.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, expected);
            assert_eq!(self.table.member_len(member), expected.len());
        }
    }
}

/// A hash whose lowest bits are all the same.
#[derive(Debug)]
struct BadHasher(u32);

struct Bad {
    lost: u32,
    hash: u64,
}

impl BuildHasher for BadHasher {
    type Hasher = Bad;

    fn build_hasher(&self) -> Bad {
        Bad { lost: self.0, hash: 0 }
    }
}

impl Hasher for Bad {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.hash = balance::mix::mix(self.hash ^ u64::from(byte)));
    }

    fn finish(&self) -> u64 {
        // The table folds the upper half into the lower.
        (self.hash & 0xffff_ffff) << self.lost & 0xffff_ffff
    }
}
