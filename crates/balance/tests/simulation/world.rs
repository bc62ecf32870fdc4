//! The pool, its workers and everything under way, beside what should be true of them.

use std::{collections::BTreeMap, hash::RandomState, time::Duration};

use balance::{
    FlowTable, Health, MemberSlot, OutlierSettings, Probe, Start, Thresholds,
    drain::{Cause, Fate, Traffic},
};
use model::Verdict;

use crate::{
    chance::Chance,
    parts::{Member, UnderWay, Why, Worker},
    rules::{Reasons, Warming},
    step::Step,
    target::{Algorithm, Name, Settings, Target},
};

/// Flows of UDP end when they are idle for so long; a worker has at most so many.
pub(crate) const IDLE_MS: u64 = 60_000;
pub(crate) const FLOWS_MAX: u32 = 24;
const MEMBERS_MAX: usize = 8;

/// A pool at work.
pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) now_ms: u64,
    pub(crate) settings: Settings,
    pub(crate) target: Target,
    /// The target before the last change.
    pub(crate) former: Option<Target>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) members: BTreeMap<Name, Member>,
    pub(crate) names: Name,
    /// Everything under way, by its number.
    pub(crate) work: BTreeMap<u64, UnderWay>,
    pub(crate) begun: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let outliers = OutlierSettings {
            connect_failures: 2,
            server_errors: 0,
            ejection_base: Duration::from_secs(30),
            ejection_max: Duration::from_secs(90),
            ejected_percent_max: chance.one_of(&[10, 50, 100]),
        };
        let settings = Settings {
            traffic: chance.one_of(&[Traffic::Streams, Traffic::Datagrams, Traffic::Requests]),
            algorithm: chance.one_of(&[
                Algorithm::RoundRobin,
                Algorithm::LeastConnections,
                Algorithm::SourceIp,
            ]),
            all_down_forward: chance.one_in(2),
            delay_s: chance.one_of(&[None, Some(0), Some(10), Some(300)]),
            slow_start_s: chance.one_of(&[None, Some(30), Some(200)]),
            probed: (!chance.one_in(4)).then_some(Thresholds { rise: 2, fall: 3 }),
            outliers: chance.one_in(2).then_some(outliers),
        };
        let first: Vec<(Name, u16)> = (0..3).map(|name| (name, chance.one_of(&[1, 1, 5, 100]))).collect();
        let count = chance.one_of(&[1u16, 2, 3]);
        let target = Target::new(&first, &settings, count, None, 0);
        let workers = (0..count)
            .map(|worker| {
                let start = Start { worker, workers: count };
                Worker {
                    start,
                    picker: target.picker(&settings, start, None, 0),
                    flows: FlowTable::new(FLOWS_MAX, IDLE_MS, RandomState::new()),
                    open: Vec::new(),
                    followed: target.health.generation(),
                    next_step_ms: None,
                }
            })
            .collect();
        let member = |&(name, _): &(Name, u16)| {
            let up = Member { health: Health::Up { failed: 0 }, ..Member::new(count) };
            (name, Member { warming: Warming::Over, ..up })
        };
        let members = first.iter().map(member).collect();
        let mut world = Self {
            chance,
            now_ms: 1_000_000,
            settings,
            target,
            former: None,
            workers,
            members,
            names: 3,
            work: BTreeMap::new(),
            begun: 0,
        };
        world.settle();
        world
    }

    /// What happens next.
    pub(crate) fn next_step(&mut self) -> Step {
        Step::next(&mut self.chance)
    }

    /// Lets it happen, and holds what came of it against the rules.
    pub(crate) fn take(&mut self, step: Step) {
        match step {
            Step::Pass { ms } => self.pass(ms),
            Step::Work { client } => self.handle_client(client),
            Step::Over { nth } => self.end_by_itself(nth),
            Step::Probe { nth, passes } => self.probe(nth, passes),
            Step::Join { weight } => {
                let mut members = self.target.members();
                if members.len() < MEMBERS_MAX {
                    members.push((self.names, weight));
                    self.names += 1;
                    self.change(&members);
                }
            }
            Step::Leave { nth } => {
                let mut members = self.target.members();
                if !members.is_empty() {
                    members.remove(nth as usize % members.len());
                    self.change(&members);
                }
            }
            Step::Weight { nth, weight } => {
                let mut members = self.target.members();
                let count = members.len().max(1);
                if let Some(member) = members.get_mut(nth as usize % count) {
                    member.1 = weight;
                    self.change(&members);
                }
            }
            Step::Delay { seconds } => self.set(Settings { delay_s: seconds, ..self.settings }),
            Step::SlowStart { seconds } => self.set(Settings { slow_start_s: seconds, ..self.settings }),
            Step::Algorithm { algorithm } => self.set(Settings { algorithm, ..self.settings }),
            Step::AllDownForward { on } => self.set(Settings { all_down_forward: on, ..self.settings }),
            Step::Breaks { nth, breaks } => {
                if let Some(place) = self.some_place(nth) {
                    self.members.get_mut(&self.target.names[place]).unwrap().breaks = breaks;
                }
            }
            Step::Replace { nth } => {
                let mut members = self.target.members();
                let count = members.len().max(1);
                if let Some(member) = members.get_mut(nth as usize % count) {
                    member.0 = self.names;
                    self.names += 1;
                    self.change(&members);
                    if self.chance.one_in(2) {
                        // Of the one that has left.
                        self.begin_late(nth);
                    }
                }
            }
            Step::Late { nth } => self.begin_late(nth),
            Step::Shares { worker } => self.check_shares(worker as usize % self.workers.len()),
        }
        self.settle();
        self.check();
    }

    /// All work ends: by itself, or because all members leave.
    pub(crate) fn end_all(&mut self) {
        if self.chance.one_in(2) {
            while !self.work.is_empty() {
                let Some(number) = self.work.keys().next().copied() else { break };
                self.end_number(number);
            }
        } else {
            self.change(&[]);
            self.settle();
            self.pass(1000 * u64::from(self.settings.delay_s.unwrap_or(0).max(300)));
            self.settle();
        }
        self.check();
        assert!(self.work.is_empty(), "work without members");
        for place in 0..self.target.names.len() {
            assert_eq!(self.target.connections.count(place), 0, "a count that nothing is under way for");
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        for worker in 0..self.workers.len() {
            while let Some(flow) = self.workers[worker].flows.poll_expired(self.now_ms) {
                self.note_end(flow.value, Why::Idle);
            }
        }
        let due = |target: &mut Target, now_ms| target.outliers.as_mut()?.poll_return(now_ms);
        while let Some(place) = due(&mut self.target, self.now_ms) {
            let name = self.target.names[place];
            self.members.get_mut(&name).unwrap().ejected = false;
            self.set_usable(place);
        }
    }

    /// A verdict of the prober, or an ejection, comes into the table.
    pub(crate) fn set_usable(&mut self, place: usize) {
        let name = self.target.names[place];
        let before = self.hashed();
        let usable = self.members[&name].is_usable(&self.settings);
        self.target.health.set_usable(place, usable);
        for (client, (before, after)) in before.into_iter().zip(self.hashed()).enumerate() {
            let stays = before.is_none_or(|before| !self.target.health.is_usable(before));
            assert!(
                stays || before == after || after == Some(place) && usable,
                "client {client} moved from {before:?} to {after:?}, when {place} became usable: {usable}"
            );
        }
        self.note_reasons();
        self.follow();
    }

    fn probe(&mut self, nth: u64, passes: bool) {
        let (Some(thresholds), Some(place)) = (self.settings.probed, self.some_place(nth)) else { return };
        let now_ms = self.now_ms;
        let member = self.members.get_mut(&self.target.names[place]).unwrap();
        let step = member.health.after(if passes { Probe::Passed } else { Probe::Failed }, thresholds);
        member.health = step.health;
        if let Some(verdict) = step.changed {
            let healthy = verdict == Verdict::Up;
            member.warming = member.warming.heard(healthy, now_ms);
            if let Some(slow_start) = &self.target.slow_start {
                slow_start.handle_health(place, healthy, now_ms);
            }
            self.set_usable(place);
        }
    }

    fn set(&mut self, settings: Settings) {
        let members = self.target.members();
        if settings.slow_start_s.is_none() {
            self.members.values_mut().for_each(|member| member.warming = Warming::Over);
        }
        self.settings = settings;
        self.change(&members);
    }

    /// Other members, weights or settings.
    fn change(&mut self, members: &[(Name, u16)]) {
        let pool_works = self.target.health.any_usable();
        for (name, _) in members {
            let workers = self.workers.len() as u16;
            let member = self.members.entry(*name).or_insert_with(|| Member::new(workers));
            if self.target.place_of(*name).is_none() {
                member.warming = match (self.settings.slow_start_s, pool_works, self.settings.probed) {
                    (None, ..) | (_, false, _) => Warming::Over,
                    (Some(_), true, Some(_)) => Warming::Waits,
                    (Some(_), true, None) => Warming::Since(self.now_ms),
                };
            }
        }
        let workers = self.workers.len() as u16;
        let next = Target::new(members, &self.settings, workers, Some(&self.target), self.now_ms);
        self.former = Some(std::mem::replace(&mut self.target, next));
        let Self { target, settings, now_ms, .. } = self;
        for worker in &mut self.workers {
            worker.picker = target.picker(settings, worker.start, Some(&worker.picker), *now_ms);
            worker.next_step_ms = target.slow_start.as_ref().and_then(|slow| slow.next_step_ms(*now_ms));
            worker.followed = target.health.generation();
        }
    }

    /// Workers take in how far slow starts are.
    fn follow(&mut self) {
        let Self { target, settings, now_ms, .. } = self;
        let Some(slow_start) = &target.slow_start else { return };
        let generation = target.health.generation();
        for worker in &mut self.workers {
            let unchanged = std::mem::replace(&mut worker.followed, generation) == generation;
            if unchanged && worker.next_step_ms.is_none_or(|due| *now_ms < due) {
                continue;
            }
            worker.next_step_ms = slow_start.next_step_ms(*now_ms);
            worker.picker = target.picker(settings, worker.start, Some(&worker.picker), *now_ms);
        }
    }

    /// Takes in who drains, and ends what is over by that.
    fn settle(&mut self) {
        self.note_reasons();
        self.follow();
        let rules = self.settings.drain_rules();
        let mut over = Vec::new();
        for (name, member) in &self.members {
            let ends = match member.draining.fate(rules) {
                Fate::Ends => true,
                Fate::EndsBy { deadline_ms } => deadline_ms <= self.now_ms,
                Fate::Stays => false,
            };
            if ends {
                for worker in &mut self.workers {
                    over.extend(
                        std::iter::from_fn(|| worker.flows.poll_member(MemberSlot(*name)))
                            .map(|flow| flow.value),
                    );
                    over.extend(worker.open.extract_if(.., |work| work.name == *name));
                }
            }
        }
        over.into_iter().for_each(|work| self.note_end(work, Why::Drained));
    }

    fn note_reasons(&mut self) {
        let standby = self.is_standby();
        let uses_all = self.workers[0].picker.uses_unhealthy(&self.target.health);
        for (name, member) in &mut self.members {
            let place = self.target.place_of(*name);
            let weight_zero = place.is_some_and(|place| self.target.weights[place].value() == 0) && !standby;
            let unhealthy = place.is_some_and(|place| !self.target.health.is_usable(place)) && !uses_all;
            let Reasons { removed, unhealthy: ill, weight_zero: zero } = &mut member.reasons;
            for (cause, is_there, since) in [
                (Cause::Removed, place.is_none(), removed),
                (Cause::Unhealthy, unhealthy, ill),
                (Cause::WeightZero, weight_zero, zero),
            ] {
                match is_there {
                    true => member.draining.begin(cause, self.now_ms),
                    false => member.draining.end(cause),
                }
                *since = is_there.then(|| since.unwrap_or(self.now_ms));
            }
        }
    }

    pub(crate) fn some_place(&self, nth: u64) -> Option<usize> {
        let count = self.target.names.len();
        (count > 0).then(|| nth as usize % count)
    }
}
