//! A target: what all workers share of a pool's members. Made anew with every change, as the documents of its parts say.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use balance::{
    Connections, HealthTable, Maglev, MemberIndex, OutlierSettings, Outliers, PickContext, Picker, Placement,
    SlowStart, Standby, Start, Thresholds, Warmth,
    drain::{DrainRules, Traffic},
    member_key,
    standby::Role,
};
use model::{
    Weight,
    range::{DrainTimeout, SlowStartDuration},
};

/// Which member it is, for all time.
pub(crate) type Name = u16;

/// How members are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    RoundRobin,
    LeastConnections,
    SourceIp,
    Standby,
}

/// What a pool is set to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) traffic: Traffic,
    pub(crate) algorithm: Algorithm,
    pub(crate) all_down_forward: bool,
    pub(crate) delay_s: Option<u32>,
    pub(crate) slow_start_s: Option<u32>,
    /// None: nobody probes.
    pub(crate) probed: Option<Thresholds>,
    pub(crate) outliers: Option<OutlierSettings>,
}

impl Settings {
    pub(crate) fn drain_rules(&self) -> DrainRules {
        DrainRules { traffic: self.traffic, delay: self.delay_s.map(DrainTimeout::of) }
    }
}

/// The members of a pool and what is shared about them.
pub(crate) struct Target {
    pub(crate) names: Vec<Name>,
    pub(crate) weights: Vec<Weight>,
    pub(crate) health: HealthTable,
    pub(crate) connections: Connections,
    pub(crate) slow_start: Option<SlowStart>,
    pub(crate) outliers: Option<Outliers>,
    maglev: Arc<Maglev>,
    standby: Option<Standby>,
}

impl Target {
    /// The target for these members; `former`: the one before, if there was one.
    pub(crate) fn new(
        members: &[(Name, u16)],
        settings: &Settings,
        workers: u16,
        former: Option<&Self>,
        now_ms: u64,
    ) -> Self {
        let count = members.len();
        let before = |place: usize| former.and_then(|former| former.place_of(members[place].0));
        let health = HealthTable::new(count, |place| match former.zip(before(place)) {
            Some((former, old)) => former.health.is_usable(old),
            None => former.is_none() || settings.probed.is_none(),
        });
        let connections = match former {
            Some(former) => former.connections.with_members(count, before),
            None => Connections::new(workers, count),
        };
        let warmth = |place| match (former, before(place)) {
            (None, _) => Warmth::Warm,
            (Some(former), Some(old)) => {
                former.slow_start.as_ref().map_or(Warmth::Warm, |slow_start| slow_start.warmth(old))
            }
            (Some(former), None) => {
                Warmth::of_new_member(former.health.any_usable(), health.is_usable(place), now_ms)
            }
        };
        let slow_start = settings
            .slow_start_s
            .map(|seconds| SlowStart::new(SlowStartDuration::of(seconds), count, warmth));
        let outliers =
            settings.outliers.map(|outliers| match former.and_then(|former| former.outliers.as_ref()) {
                Some(former) => former.with_members(outliers, count, before),
                None => Outliers::new(outliers, count),
            });
        let key = |name: Name| member_key(SocketAddr::from(([10, 0, (name >> 8) as u8, name as u8], 80)));
        let maglev = Maglev::new(members.iter().map(|&(name, weight)| (weight > 0).then(|| key(name))));
        let roles: Vec<_> =
            (0..count).map(|place| if place == 0 { Role::Master } else { Role::Slave }).collect();
        Self {
            names: members.iter().map(|&(name, _)| name).collect(),
            weights: members.iter().map(|&(_, weight)| Weight::of(weight)).collect(),
            health,
            connections,
            slow_start,
            outliers,
            maglev: Arc::new(maglev),
            standby: Standby::new(&roles).filter(|_| settings.algorithm == Algorithm::Standby),
        }
    }

    pub(crate) fn place_of(&self, name: Name) -> Option<usize> {
        self.names.iter().position(|&other| other == name)
    }

    /// The members with their weights.
    pub(crate) fn members(&self) -> Vec<(Name, u16)> {
        self.names.iter().copied().zip(self.weights.iter().map(|weight| weight.value())).collect()
    }

    /// The weights that hold now.
    pub(crate) fn weights_now(&self, now_ms: u64) -> Box<[Weight]> {
        match &self.slow_start {
            Some(slow_start) => slow_start.weights(&self.weights, now_ms),
            None => self.weights.clone().into(),
        }
    }

    /// Whom a picker chooses, by place.
    pub(crate) fn pick(&self, picker: &mut Picker, client: u32, tried: &[MemberIndex]) -> Option<usize> {
        let client = IpAddr::from((0xc000_0200 + client).to_be_bytes());
        let (health, connections) = (&self.health, &self.connections);
        picker.pick(&PickContext { client, tried, health, connections }).map(usize::from)
    }

    /// A worker's picker, in place of `former`.
    pub(crate) fn picker(
        &self,
        settings: &Settings,
        start: Start,
        former: Option<&Picker>,
        now_ms: u64,
    ) -> Picker {
        let placement = match (settings.algorithm, self.standby) {
            (Algorithm::Standby, Some(standby)) => Placement::Standby(standby),
            (Algorithm::RoundRobin, _) | (Algorithm::Standby, None) => Placement::RoundRobin,
            (Algorithm::LeastConnections, _) => Placement::LeastConnections,
            (Algorithm::SourceIp, _) => Placement::SourceIp(&self.maglev),
        };
        Picker::new(placement, &self.weights_now(now_ms), settings.all_down_forward, start, former)
    }
}
