//! Work: how it begins and how it ends.

use balance::{
    Connections, MemberIndex, MemberSlot,
    drain::Traffic,
    outliers::{Sentence, WorkOutcome},
};

use crate::{
    parts::{UnderWay, Why, Work},
    target::Name,
    world::{FLOWS_MAX, IDLE_MS, World},
};

/// Members that are tried for a piece of work.
const ATTEMPTS_MAX: usize = 4;

impl World {
    /// A client brings something.
    pub(crate) fn handle_client(&mut self, client: u32) {
        let at = client as usize % self.workers.len();
        if self.settings.traffic != Traffic::Datagrams {
            if let Some(work) = self.begin(at, client, None) {
                self.workers[at].open.push(work);
            }
            return;
        }
        let now_ms = self.now_ms;
        let belongs = |work: &&mut UnderWay| {
            work.flow.is_some_and(|(whose, seen_ms)| whose == client && now_ms - seen_ms < IDLE_MS)
        };
        let known = self.work.values_mut().find(belongs);
        let found = self.workers[at].flows.handle_datagram(now_ms, &client);
        match (found, known) {
            (Some((_, slot, work)), Some(known)) => {
                assert_eq!((slot, work.name), (MemberSlot(known.name), known.name), "a flow has moved");
                known.flow = Some((client, now_ms));
            }
            (None, None) => {
                let Some(work) = self.begin(at, client, Some((client, now_ms))) else { return };
                let flows = &mut self.workers[at].flows;
                let is_full = flows.len() == FLOWS_MAX as usize;
                let (_, former) = flows.begin(now_ms, client, MemberSlot(work.name), work);
                if let Some(former) = former {
                    assert!(is_full || former.key == client, "a flow ended for no reason");
                    self.note_end(former.value, if is_full { Why::Displaced } else { Why::Idle });
                }
            }
            (Some(_), None) => panic!("a flow of client {client} that has ended"),
            (None, Some(_)) => panic!("the flow of client {client} is lost"),
        }
    }

    /// Begins a connection or a request in the target before the last change.
    pub(crate) fn begin_late(&mut self, nth: u64) {
        let Some(former) = self.former.as_ref().filter(|_| self.settings.traffic != Traffic::Datagrams)
        else {
            return;
        };
        let (at, count) = (nth as usize % self.workers.len(), former.names.len().max(1));
        let place = nth as usize % count;
        let Some(&name) = former.names.get(place) else { return };
        let connections = former.connections.clone();
        let work = self.note_begin(at, name, connections, place, None);
        self.workers[at].open.push(work);
    }

    /// Finds a member for a piece of new work.
    pub(crate) fn begin(&mut self, at: usize, client: u32, flow: Option<(u32, u64)>) -> Option<Work> {
        let mut tried: Vec<MemberIndex> = Vec::new();
        while tried.len() < ATTEMPTS_MAX {
            let may = self.who_may(&tried);
            let Some(place) = self.target.pick(&mut self.workers[at].picker, client, &tried) else {
                assert!(may.is_empty(), "nobody got it, though {may:?} may");
                return None;
            };
            assert!(may.contains(&place), "{place} got it, though only {may:?} may");
            self.check_least(place, &may);
            let name = self.target.names[place];
            let member = self.members.get_mut(&name).unwrap();
            assert!(
                !member.draining.is_draining() && !member.reasons.any(),
                "{name} drains: {:?}",
                member.reasons
            );
            if member.breaks {
                self.note_failure(at, place);
                tried.push(place as MemberIndex);
                continue;
            }
            if let Some(outliers) = &self.settings.outliers {
                member.streaks[at].after(WorkOutcome::Served, outliers);
            }
            let connections = self.target.connections.clone();
            return Some(self.note_begin(at, name, connections, place, flow));
        }
        None
    }

    fn note_begin(
        &mut self,
        at: usize,
        name: Name,
        connections: Connections,
        place: usize,
        flow: Option<(u32, u64)>,
    ) -> Work {
        let worker = at as u16;
        connections.begin(worker, place);
        self.begun += 1;
        self.work.insert(self.begun, UnderWay { name, worker: at, flow });
        Work { number: self.begun, name, connections, worker, place }
    }

    /// A member did not take its work.
    pub(crate) fn note_failure(&mut self, at: usize, place: usize) {
        let (Some(settings), Some(outliers)) = (&self.settings.outliers, &mut self.target.outliers) else {
            return;
        };
        let name = self.target.names[place];
        let member = self.members.get_mut(&name).unwrap();
        if member.streaks[at].after(WorkOutcome::ConnectFailed, settings).is_none() {
            return;
        }
        let names = &self.target.names;
        let healthy = |place: usize| {
            let member = &self.members[&names[place]];
            self.settings.probed.is_none() || member.health.is_usable()
        };
        let share = (names.len() * usize::from(settings.ejected_percent_max) / 100).max(1);
        match outliers.handle_streak(place, self.now_ms, healthy) {
            Sentence::Ejected { until_ms } => {
                assert!(until_ms > self.now_ms && until_ms <= self.now_ms + 90_000, "for how long");
                self.members.get_mut(&name).unwrap().ejected = true;
                self.set_usable(place);
                assert!(self.target.health.any_usable(), "the last one was ejected");
                let ejected = self.target.names.iter().filter(|name| self.members[name].ejected).count();
                assert!(ejected <= share, "{ejected} are ejected, at most {share} may be");
            }
            Sentence::Already | Sentence::Spared => {}
        }
    }

    /// Some work ends, or a member says something.
    pub(crate) fn end_by_itself(&mut self, nth: u64) {
        let count = self.work.len().max(1);
        let Some((&number, work)) = self.work.iter_mut().nth(nth as usize % count) else { return };
        let Some((client, seen_ms)) = &mut work.flow else { return self.end_number(number) };
        let flows = &mut self.workers[work.worker].flows;
        let slot = MemberSlot(work.name);
        let id = flows.flows_of(slot).find(|(_, key, _)| **key == *client).map(|(id, ..)| id);
        let id = id.expect("a living flow is its member's");
        if nth.is_multiple_of(4) {
            return self.end_number(number);
        }
        let lives = flows.handle_answer(self.now_ms, id).is_some();
        assert_eq!(lives, self.now_ms - *seen_ms < IDLE_MS, "whether the flow of {client} lives");
        *seen_ms = self.now_ms;
    }

    pub(crate) fn end_number(&mut self, number: u64) {
        let UnderWay { worker, name, flow } = &self.work[&number];
        let worker = &mut self.workers[*worker];
        let work = match flow {
            Some((client, _)) => {
                let mut flows = worker.flows.flows_of(MemberSlot(*name));
                let id = flows.find(|(_, key, _)| *key == client).map(|(id, ..)| id);
                drop(flows);
                id.and_then(|id| worker.flows.end(id)).map(|flow| flow.value)
            }
            None => {
                let place = worker.open.iter().position(|work| work.number == number);
                place.map(|place| worker.open.swap_remove(place))
            }
        };
        self.note_end(work.expect("what is under way is kept by its worker"), Why::ByItself);
    }

    pub(crate) fn note_end(&mut self, work: Work, why: Why) {
        work.connections.end(work.worker, work.place);
        let under_way = self.work.remove(&work.number).expect("work ends once");
        let over_at = self.over_at(work.name);
        match (why, under_way.flow) {
            (Why::Drained, _) => {
                assert!(over_at <= self.now_ms, "cut off at {}, before {over_at}", self.now_ms)
            }
            (Why::Idle, Some((_, seen_ms))) => assert!(self.now_ms - seen_ms >= IDLE_MS, "not idle"),
            (Why::Idle, None) => panic!("only flows end by being idle"),
            (Why::ByItself | Why::Displaced, _) => {}
        }
    }

    pub(crate) fn over_at(&self, name: Name) -> u64 {
        self.members[&name].reasons.work_is_over_at(self.settings.traffic, self.settings.delay_s)
    }
}
