//! How many connections may be open, and how many requests policies let through, over all workers; what listeners may take: `caps`.
//!
//! Connections of clients and of members are paired, so each costs two descriptors; listening sockets cost one. At the limit new
//! connections wait in the kernel's queues, and work in hand goes on.

mod caps;
mod pacer;

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use balance::{Admission, RateLimiter};
use model::{PolicyId, policy::RateLimit};
use plan::PolicyPlan;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::config::DESCRIPTORS_RESERVED;

pub(crate) use caps::{AllCaps, Applied, Caps, Counted, Direction};
pub(crate) use pacer::{Pacer, Ticket};

/// The limit, and what counts against it. A worker below its share looks at nothing of the others'.
pub(crate) struct Limits {
    /// Said by the configuration.
    connections_max: Option<usize>,
    descriptors: usize,
    workers: Box<[Use]>,
}

/// What one worker uses; it alone writes.
#[derive(Default)]
#[repr(align(128))]
struct Use {
    connections: AtomicUsize,
    sockets: AtomicUsize,
}

impl Limits {
    /// A limit for so many workers. Raises the limit of open files as far as the system allows.
    pub(crate) fn new(connections_max: Option<usize>, workers: usize) -> Self {
        let descriptors = raise_descriptors().saturating_sub(DESCRIPTORS_RESERVED);
        Self { connections_max, descriptors, workers: (0..workers).map(|_| Use::default()).collect() }
    }

    /// Notes how many connections (flows of UDP included) and listening sockets a worker has.
    pub(crate) fn note(&self, worker: usize, connections: usize, sockets: usize) {
        let Some(used) = self.workers.get(worker) else { return };
        used.connections.store(connections, Relaxed);
        used.sockets.store(sockets, Relaxed);
    }

    /// How many flows of UDP a worker may have: half of its share, so that datagrams do not shut connections out. At least 1.
    pub(crate) fn flows_max(&self) -> usize {
        let connections = self.connections_max.unwrap_or(usize::MAX).min(self.descriptors / 2);
        (connections / self.workers.len().max(1) / 2).max(1)
    }

    /// Whether another connection may be opened.
    pub(crate) fn allows_another(&self) -> bool {
        let sum = |of: fn(&Use) -> &AtomicUsize| {
            self.workers.iter().map(|used| of(used).load(Relaxed)).sum::<usize>()
        };
        let by_descriptors = self.descriptors.saturating_sub(sum(|used| &used.sockets)) / 2;
        sum(|used| &used.connections) < self.connections_max.unwrap_or(usize::MAX).min(by_descriptors).max(1)
    }
}

/// What bounds a listener's work, over all workers.
#[derive(Clone)]
pub(crate) struct Bounds {
    /// The limits of policies that have some.
    pub(crate) policies: BTreeMap<PolicyId, Arc<PolicyLimit>>,
    /// What it may take at most.
    pub(crate) caps: Vec<Applied>,
}

/// The limits of one policy, shared by all workers.
pub(crate) struct PolicyLimit {
    of: RateLimit,
    limiter: RateLimiter,
    /// What its clock counts from.
    origin: Instant,
}

impl PolicyLimit {
    /// The limits of a policy that has some.
    pub(crate) fn new(policy: &PolicyPlan) -> Option<Self> {
        let of = policy.limit?;
        // Different in every process, so that no client can aim at a place of the table.
        let seed = RandomState::new().hash_one(policy.id);
        Some(Self { of, limiter: RateLimiter::new(&of, seed)?, origin: Instant::now() })
    }

    /// Whether a policy still has these limits.
    pub(crate) fn is_of(&self, policy: &PolicyPlan) -> bool {
        policy.limit == Some(self.of)
    }

    /// Whether a request of this client goes on.
    pub(crate) fn admits(&self, client: IpAddr) -> bool {
        let now_ns = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.limiter.admit(client, now_ns) == Admission::Admitted
    }
}

/// Raises the limit of open files to what the system allows; what it is then. No limit reads as a million.
fn raise_descriptors() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files cannot be raised");
        }
    }
    getrlimit(Resource::Nofile).current.map_or(1_000_000, |files| files as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_all_workers_count_together_and_sockets_take_from_them() {
        let workers = (0..2).map(|_| Use::default()).collect();
        let limits = Limits { connections_max: None, descriptors: 25, workers };
        for (why, first, second, allowed) in [
            ("nothing is open", (0, 0), (0, 0), true),
            ("one below", (10, 0), (1, 0), true),
            ("at the limit", (11, 0), (1, 0), false),
            ("sockets cost one each", (8, 6), (0, 3), false),
            ("one is always allowed", (0, 100), (0, 0), true),
        ] {
            limits.note(0, first.0, first.1);
            limits.note(1, second.0, second.1);
            assert_eq!(limits.allows_another(), allowed, "{why}");
        }
    }
}
