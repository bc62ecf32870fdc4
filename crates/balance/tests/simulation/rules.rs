//! What is true of a pool, said once more and as plainly as can be.

use balance::drain::Traffic;

/// Why a member gets no new work, and since when each reason holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reasons {
    pub(crate) removed: Option<u64>,
    pub(crate) unhealthy: Option<u64>,
    pub(crate) weight_zero: Option<u64>,
}

impl Reasons {
    pub(crate) fn any(&self) -> bool {
        self.removed.or(self.unhealthy).or(self.weight_zero).is_some()
    }

    /// When the work that such a member has is to be over (`u64::MAX`: it may go on as long as it likes). `delay_s`: the pool's
    /// deregistration delay, if it has one.
    pub(crate) fn work_is_over_at(&self, traffic: Traffic, delay_s: Option<u32>) -> u64 {
        let never = u64::MAX;
        let behind = |since: u64, seconds: u32| since + 1000 * u64::from(seconds);
        let removed = self.removed.map_or(never, |since| match (traffic, delay_s) {
            (_, Some(delay)) => behind(since, delay),
            (Traffic::Requests, None) => behind(since, 300),
            (Traffic::Streams | Traffic::Datagrams, None) => since,
        });
        let unhealthy = self.unhealthy.map_or(never, |since| match (traffic, delay_s) {
            (Traffic::Requests, _) | (Traffic::Streams, None) => never,
            (Traffic::Streams | Traffic::Datagrams, Some(delay)) => behind(since, delay),
            (Traffic::Datagrams, None) => since,
        });
        let weight_zero = self.weight_zero.map_or(never, |since| match (traffic, delay_s) {
            (Traffic::Requests, _) | (_, None) => never,
            (Traffic::Streams | Traffic::Datagrams, Some(delay)) => behind(since, delay),
        });
        removed.min(unhealthy).min(weight_zero)
    }
}

/// How far a member's slow start is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warming {
    /// It begins when the member is healthy.
    Waits,
    Since(u64),
    /// It is over, or there was none.
    Over,
}

impl Warming {
    pub(crate) fn heard(self, healthy: bool, now_ms: u64) -> Self {
        match self {
            Self::Waits if healthy => Self::Since(now_ms),
            Self::Since(_) if !healthy => Self::Over,
            same => same,
        }
    }

    /// The part of its weight that the member may use, in steps.
    pub(crate) fn part(self, duration_s: Option<u32>, now_ms: u64) -> f64 {
        let Some(duration_s) = duration_s else { return 1.0 };
        let duration_ms = 1000 * u64::from(duration_s);
        let step_ms = (duration_ms / 100).max(1000);
        let elapsed_ms = match self {
            Self::Waits => 0,
            Self::Since(since) => now_ms - since,
            Self::Over => return 1.0,
        };
        let steps = (elapsed_ms / step_ms).max(1);
        ((steps * step_ms) as f64 / duration_ms as f64).min(1.0)
    }
}

/// A member, as whoever gives out new work sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) weight: u16,
    /// Healthy and not ejected.
    pub(crate) usable: bool,
    pub(crate) tried: bool,
}

/// Who may get a piece of new work, by place. `standby`: the first member serves, the second while the first is down.
pub(crate) fn who_may(members: &[Candidate], standby: bool, all_down_forward: bool) -> Vec<usize> {
    let places = 0..members.len();
    if standby {
        let serving = places.take(2).find(|&place| members[place].usable);
        return serving.filter(|&place| !members[place].tried).into_iter().collect();
    }
    let works = |place: &usize| members[*place].weight > 0;
    let nobody = !places.clone().filter(works).any(|place| members[place].usable);
    let all = all_down_forward && nobody;
    places.filter(works).filter(|&place| (all || members[place].usable) && !members[place].tried).collect()
}
