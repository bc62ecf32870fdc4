//! What is held against the rules.

use balance::MemberIndex;

use crate::{
    parts::Worker,
    rules::{Candidate, who_may},
    shares::{self, Share},
    target::{Algorithm, Name},
    world::World,
};

impl World {
    pub(crate) fn check(&self) {
        for (number, work) in &self.work {
            let over_at = self.over_at(work.name);
            assert!(over_at > self.now_ms, "work {number} of {} goes on behind {over_at}", work.name);
        }
        for (place, name) in self.target.names.iter().enumerate() {
            let open = self.work.values().filter(|work| work.name == *name).count();
            assert_eq!(self.target.connections.count(place) as usize, open, "what {name} has");
            let usable = self.members[name].is_usable(&self.settings);
            assert_eq!(self.target.health.is_usable(place), usable, "whether {name} is usable");
        }
        let kept = |worker: &Worker| worker.flows.len() + worker.open.len();
        assert_eq!(self.workers.iter().map(kept).sum::<usize>(), self.work.len(), "what is under way");
        self.workers.iter().for_each(|worker| worker.flows.check_invariants());
    }

    /// Least connections goes to the fewest for the weight.
    pub(crate) fn check_least(&self, picked: usize, may: &[usize]) {
        if self.settings.algorithm != Algorithm::LeastConnections {
            return;
        }
        let weights = self.target.weights_now(self.now_ms);
        let load = |place: usize| {
            f64::from(self.target.connections.count(place)) / f64::from(weights[place].value())
        };
        for &other in may {
            assert!(load(picked) <= load(other), "{picked} has more than {other}");
        }
    }

    /// Turns are in proportion to weights and to how far slow starts are.
    pub(crate) fn check_shares(&mut self, worker: usize) {
        let names = &self.target.names;
        let all_usable = (0..names.len()).all(|place| self.target.health.is_usable(place));
        if self.settings.algorithm != Algorithm::RoundRobin || !all_usable {
            return;
        }
        let mut picker = self.workers[worker].picker.clone();
        let mut picks = vec![0; names.len()];
        for _ in 0..400 {
            if let Some(place) = self.target.pick(&mut picker, 0, &[]) {
                picks[place] += 1;
            }
        }
        let share = |(place, picks): (usize, u32)| {
            let warming = self.members[&names[place]].warming;
            Share { weight: self.target.weights[place].value(), warming, picks }
        };
        let shares: Vec<_> = picks.into_iter().enumerate().map(share).collect();
        shares::check(&shares, self.settings.slow_start_s, self.now_ms);
    }

    /// Whom some clients belong to by their hash.
    pub(crate) fn hashed(&mut self) -> Vec<Option<usize>> {
        if self.settings.algorithm != Algorithm::SourceIp {
            return Vec::new();
        }
        let mut picker = self.workers[0].picker.clone();
        let picked = (0..12).map(|client| self.target.pick(&mut picker, client, &[]));
        picked.collect()
    }

    pub(crate) fn who_may(&self, tried: &[MemberIndex]) -> Vec<usize> {
        who_may(&self.candidates(tried), self.is_standby(), self.settings.all_down_forward)
    }

    pub(crate) fn candidates(&self, tried: &[MemberIndex]) -> Vec<Candidate> {
        let candidate = |(place, name): (usize, &Name)| Candidate {
            weight: self.target.weights[place].value(),
            usable: self.members[name].is_usable(&self.settings),
            tried: tried.contains(&(place as MemberIndex)),
        };
        self.target.names.iter().enumerate().map(candidate).collect()
    }

    pub(crate) fn is_standby(&self) -> bool {
        self.settings.algorithm == Algorithm::Standby && !self.target.names.is_empty()
    }
}
