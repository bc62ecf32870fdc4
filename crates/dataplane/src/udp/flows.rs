//! The flows of a listener in one worker, and what becomes of them when members change.

use std::{hash::RandomState, io, ops::Range, rc::Rc};

use balance::{
    Draining, FlowId, FlowKey, FlowTable, MemberSlot,
    drain::{Cause, DrainRules, Fate, Traffic},
};
use rustix::net::SendFlags;
use telemetry::ListenerCounters;

use super::{DRAIN_IDLE_MS, FLOWS_MAX, PortIndex, Upstream, quic::Connection, upstream};
use crate::{
    layer4::Open,
    member::Member,
    service::Service,
    sys::datagrams::Batch,
    target::{Tried, Work},
    worker::{FlowCount, Worker},
};

/// The flows, whose they are, and by which plan.
pub(super) struct Flows {
    pub(super) table: FlowTable<FlowKey, Forwarding, RandomState>,
    /// The service that the members were last looked at by.
    pub(super) service: Rc<Service>,
    /// How long flows of members that leave may last; of the last pool, if there is none now.
    rules: DrainRules,
    /// Members that have or had flows; the index is their slot in the table.
    members: Vec<Served>,
    /// Flows that end with the next turns.
    doomed: Vec<FlowId>,
    all_doomed: bool,
    draining: bool,
    /// The number of the turn in which answers are taken; after the last one comes the first.
    turn: u16,
}

/// A member that has or had flows.
struct Served {
    member: Rc<Member>,
    /// Its place in the present plan; none: it is not there any more.
    index: Option<u16>,
    draining: Draining,
    /// Until when (in milliseconds) it is taken to refuse.
    rests_until: u64,
}

/// A flow's way to its member. It ends when this is dropped.
pub(super) struct Forwarding {
    pub(super) upstream: Upstream,
    pub(super) work: Work,
    /// What is known of its connection, where it is one of QUIC.
    quic: Option<Box<Connection>>,
    /// Its member has said something.
    answered: bool,
    /// When its member was heard last, there was more than one datagram at once.
    says_much: bool,
    /// The turn in which its member was heard last.
    turn: u16,
    /// Where its client came in.
    pub(super) port: PortIndex,
    _open: Open,
    _count: FlowCount,
}

/// A member has refused a datagram, or one before.
pub(super) struct Refusal {
    pub(super) error: io::Error,
}

impl Flows {
    pub(super) fn new(service: Rc<Service>) -> Self {
        Self {
            table: FlowTable::new(FLOWS_MAX, idle_ms(&service), RandomState::new()),
            rules: drain_rules(&service).unwrap_or(DrainRules { traffic: Traffic::Datagrams, delay: None }),
            service,
            members: Vec::new(),
            doomed: Vec::new(),
            all_doomed: false,
            draining: false,
            turn: 0,
        }
    }

    /// Answers are taken again.
    pub(super) fn next_turn(&mut self) -> u16 {
        self.turn = self.turn.wrapping_add(1);
        self.turn
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The number of a member that gets a flow.
    pub(super) fn slot_of(&mut self, member: &Rc<Member>) -> MemberSlot {
        let known = self.members.iter().position(|served| Rc::ptr_eq(&served.member, member));
        let slot = known.unwrap_or_else(|| {
            let served = Served::new(member.clone(), &self.service);
            let slot_is_free = |slot: &usize| self.table.member_len(MemberSlot(*slot as u16)) == 0;
            let gone = |slot: &usize| self.members[*slot].index.is_none() && slot_is_free(slot);
            match (0..self.members.len()).find(gone) {
                Some(slot) => {
                    self.members[slot] = served;
                    slot
                }
                None => {
                    self.members.push(served);
                    self.members.len() - 1
                }
            }
        });
        // A plan has fewer members than that, and those that left give their slots back; beyond it, they would share the last one.
        MemberSlot(u16::try_from(slot).unwrap_or(u16::MAX))
    }

    /// The members that new flows should not go to for now.
    pub(super) fn tried(&self, now: u64) -> Tried {
        let mut tried = Tried::default();
        let resting = self.members.iter().filter(|served| served.rests_until > now);
        for index in resting.filter_map(|served| served.index) {
            if !tried.add(index) {
                break;
            }
        }
        tried
    }

    /// Whether a member, by its place in the present plan, still serves what it has.
    pub(super) fn keeps(&self, index: usize, now: u64) -> bool {
        let mut those = self.members.iter().filter(|served| served.index.map(usize::from) == Some(index));
        !those.any(|served| served.is_over(self.rules, now))
    }

    /// New flows do not go to this member for some time, if there are others.
    pub(super) fn rest(&mut self, slot: MemberSlot, until: u64) {
        if let Some(served) = self.members.get_mut(usize::from(slot.0)) {
            served.rests_until = until;
        }
    }

    /// Ends the flow that is missed least; none when there is no flow.
    pub(super) fn displace(&mut self, now: u64) -> Option<()> {
        self.table.displace(now)?;
        self.service.counters.flows_displaced.inc();
        Some(())
    }

    /// The listener has a new service.
    pub(super) fn change(&mut self, service: Rc<Service>, now: u64) {
        if Rc::ptr_eq(&service, &self.service) {
            return;
        }
        self.rules = drain_rules(&service).unwrap_or(self.rules);
        self.service = service;
        self.set_limits();
        for served in &mut self.members {
            served.index = place_in(&self.service, &served.member);
        }
        self.look_at_members(now);
    }

    pub(super) fn drain(&mut self) {
        self.draining = true;
        self.set_limits();
    }

    fn set_limits(&mut self) {
        let idle = idle_ms(&self.service);
        self.table.set_limits(FLOWS_MAX, if self.draining { idle.min(DRAIN_IDLE_MS) } else { idle });
    }

    /// Notes which members drain since when, by plan and health.
    pub(super) fn look_at_members(&mut self, now: u64) {
        let target = self.service.target.as_ref();
        for served in &mut self.members {
            let index = served.index.map(usize::from);
            let by_weight = target.filter(|target| target.shared.plan.standby.is_none());
            let weight =
                index.and_then(|index| Some(by_weight?.shared.plan.members.get(index)?.weight.value()));
            let unhealthy = index.is_some_and(|index| {
                // Where nobody is healthy, another member would serve no better.
                target.is_some_and(|target| !target.shared.health.is_usable(index) && target.serves())
            });
            for (cause, is_there) in [
                (Cause::Removed, index.is_none()),
                (Cause::WeightZero, weight == Some(0)),
                (Cause::Unhealthy, unhealthy),
            ] {
                match is_there {
                    true => served.draining.begin(cause, now),
                    false => served.draining.end(cause),
                }
            }
        }
    }

    /// The flows at an address of the listener end with the next turns.
    pub(super) fn doom_those_at(&mut self, address: std::net::SocketAddr) {
        let slots = (0..self.members.len()).map(|slot| MemberSlot(slot as u16));
        let flows = slots.flat_map(|slot| self.table.flows_of(slot));
        let doomed = flows.filter(|(_, key, _)| key.local() == address).map(|(id, ..)| id);
        self.doomed.extend(doomed.collect::<Vec<_>>());
    }

    /// All flows end with the next turns.
    pub(super) fn doom_all(&mut self) {
        self.all_doomed = true;
    }

    /// Ends flows whose time is over, at most so many; whether there are more.
    pub(super) fn end_some(&mut self, now: u64, most: usize) -> bool {
        let mut left = most;
        while left > 0 {
            let ended = if self.all_doomed {
                self.table.displace(now).is_some()
            } else if let Some(id) = self.doomed.pop() {
                // It may have ended by itself.
                self.table.end(id);
                true
            } else {
                self.table.poll_expired(now).is_some()
            };
            if !ended {
                break;
            }
            left -= 1;
        }
        for (slot, served) in
            self.members.iter().enumerate().filter(|(_, served)| served.draining.is_draining())
        {
            let is_over = served.is_over(self.rules, now);
            while left > 0 && is_over && self.table.poll_member(MemberSlot(slot as u16)).is_some() {
                left -= 1;
            }
        }
        left == 0
    }
}

impl Served {
    fn new(member: Rc<Member>, service: &Service) -> Self {
        Self { index: place_in(service, &member), member, draining: Draining::default(), rests_until: 0 }
    }

    /// Whether its flows end.
    fn is_over(&self, rules: DrainRules, now: u64) -> bool {
        match self.draining.fate(rules) {
            Fate::Ends => true,
            Fate::EndsBy { deadline_ms } => deadline_ms <= now,
            Fate::Stays => false,
        }
    }
}

impl Forwarding {
    pub(super) fn new(
        worker: &Rc<Worker>,
        upstream: Upstream,
        work: Work,
        port: PortIndex,
        open: Open,
    ) -> Self {
        let quic = work.target().shared.cids.is_some().then(|| Box::new(Connection::new()));
        Self {
            upstream,
            work,
            quic,
            answered: false,
            says_much: false,
            turn: 0,
            port,
            _open: open,
            _count: FlowCount::new(worker),
        }
    }

    /// Takes in what these datagrams of its client say of their connection.
    #[inline]
    pub(super) fn look_at_client(&mut self, batch: &Batch, places: Range<usize>, now: u64) {
        if let Some(quic) = &mut self.quic
            && let Some(cids) = &self.work.target().shared.cids
        {
            let member = self.work.member().plan.id;
            places.for_each(|place| quic.handle_packet(cids, now, batch.datagram(place), member));
        }
    }

    /// Takes in what these datagrams of its member say of their connection.
    #[inline]
    pub(super) fn look_at_member(&mut self, batch: &Batch, places: Range<usize>, now: u64) {
        if let Some(quic) = &mut self.quic
            && let Some(cids) = &self.work.target().shared.cids
        {
            let member = self.work.member().plan.id;
            places.for_each(|place| quic.handle_answer(cids, now, batch.datagram(place), member));
        }
    }

    /// Sends a client's datagrams on. When the member refuses, `places` holds what was not sent.
    #[inline]
    pub(super) fn send(
        &self,
        batch: &mut Batch,
        places: &mut Range<usize>,
        listener: &ListenerCounters,
    ) -> Result<(), Refusal> {
        while places.start < places.end {
            // One call for one datagram costs less than one for many.
            let sent = match places.len() {
                1 => rustix::net::send(&self.upstream, batch.datagram(places.start), SEND)
                    .map(|_| 1)
                    .map_err(io::Error::from),
                _ => batch.send(&self.upstream, places.clone()),
            };
            match sent {
                Ok(count) => {
                    let sent = places.start..places.start + count.max(1).min(places.len());
                    let bytes: usize = sent.clone().map(|place| batch.datagram(place).len()).sum();
                    places.start = sent.end;
                    let member = &self.work.member().counters;
                    listener.bytes_in.add(bytes as u64);
                    listener.datagrams_in.add(sent.len() as u64);
                    member.bytes_out.add(bytes as u64);
                    member.datagrams_out.add(sent.len() as u64);
                }
                Err(error) if upstream::is_refusal(&error) => return Err(Refusal { error }),
                // Too long for the way, or no room in a queue: lost, as on any way.
                Err(_) => places.start += 1,
            }
        }
        Ok(())
    }

    /// Takes what its member has said, or a part of it, into a batch's places from this one on; how many.
    #[inline]
    pub(super) fn receive(&mut self, batch: &mut Batch, first: usize, turn: u16) -> io::Result<usize> {
        // One call for one datagram costs less than one for many. If there are more, we are told of this flow again in this turn.
        if !self.says_much && self.turn != turn {
            self.turn = turn;
            batch.receive_one(&self.upstream, first)?;
            return Ok(1);
        }
        let count = batch.receive(&self.upstream, first)?;
        self.says_much = count > 1;
        Ok(count)
    }

    /// Counts what the member said.
    #[inline]
    pub(super) fn note_answers(&mut self, batch: &Batch, places: Range<usize>) {
        if !std::mem::replace(&mut self.answered, true) {
            self.work.note_reached();
        }
        let member = &self.work.member().counters;
        member.datagrams_in.add(places.len() as u64);
        member.bytes_in.add(places.map(|place| batch.datagram(place).len() as u64).sum());
    }
}

const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// Where a member is in the present plan.
fn place_in(service: &Service, member: &Member) -> Option<u16> {
    let members = &service.target.as_ref()?.shared.plan.members;
    let same = |one: &plan::MemberPlan| one.id == member.plan.id && one.address == member.plan.address;
    members.iter().position(same).and_then(|index| u16::try_from(index).ok())
}

/// None: there is no pool, of whose members something could be said.
fn drain_rules(service: &Service) -> Option<DrainRules> {
    Some(service.target.as_ref()?.shared.plan.drain_rules())
}

fn idle_ms(service: &Service) -> u64 {
    u64::try_from(service.plan.idle_timeout.as_millis()).unwrap_or(u64::MAX)
}
