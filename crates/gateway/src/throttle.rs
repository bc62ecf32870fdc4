//! Slowing down whoever guesses passwords.
//!
//! Failed logins are counted per (source address, user name) and per source address; each count loses one per
//! [`FORGIVE_EVERY`]. Over its limit, a login is refused without looking at the password. A login that succeeds clears
//! the pair's count. Memory is bounded: at [`ENTRIES_MAX`] the counts that are lowest go first, so a flood of invented names pushes
//! out its own entries.
//!
//! At most [`HASHES_AT_ONCE`] passwords are hashed at a time, as each takes 19 MiB and a core.
//!
//! Signatures and tokens are not throttled: they cannot be guessed, and checking one costs microseconds.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Semaphore, time::Instant};

/// Failures of one user name from one source that are let through at once.
const FAILURES_PER_USER: u32 = 10;
/// Failures of all user names from one source that are let through at once.
const FAILURES_PER_SOURCE: u32 = 100;
/// Time after which one failure is forgotten.
pub(crate) const FORGIVE_EVERY: Duration = Duration::from_secs(6);
/// Most counts that are kept.
const ENTRIES_MAX: usize = 8192;
/// Passwords that are hashed at a time.
const HASHES_AT_ONCE: usize = 2;

/// The counts of failed logins.
pub(crate) struct Logins {
    failures: Mutex<HashMap<Key, Failures>>,
    /// Held while a password is hashed.
    pub(crate) hashing: Semaphore,
}

type Key = (Option<IpAddr>, Option<String>);

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    /// When `count` was true.
    at: Instant,
}

impl Failures {
    fn now(self, now: Instant) -> u32 {
        let forgiven = now.saturating_duration_since(self.at).as_secs() / FORGIVE_EVERY.as_secs();
        self.count.saturating_sub(forgiven.try_into().unwrap_or(u32::MAX))
    }
}

impl Logins {
    pub(crate) fn new() -> Self {
        Self { failures: Mutex::new(HashMap::new()), hashing: Semaphore::new(HASHES_AT_ONCE) }
    }

    /// Whether a login may be tried now; if not, it may after [`FORGIVE_EVERY`].
    pub(crate) fn allow(&self, source: Option<IpAddr>, user: &str, now: Instant) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |key: &Key, max: u32| failures.get(key).is_some_and(|counted| counted.now(now) >= max);
        !over(&(source, Some(shortened(user))), FAILURES_PER_USER)
            && !over(&(source, None), FAILURES_PER_SOURCE)
    }

    /// A login failed.
    pub(crate) fn failed(&self, source: Option<IpAddr>, user: &str, now: Instant) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for key in [(source, Some(shortened(user))), (source, None)] {
            if failures.len() >= ENTRIES_MAX && !failures.contains_key(&key) {
                make_room(&mut failures, now);
            }
            let counted = failures.entry(key).or_insert(Failures { count: 0, at: now });
            *counted = Failures { count: counted.now(now).saturating_add(1), at: now };
        }
    }

    /// A login succeeded.
    pub(crate) fn succeeded(&self, source: Option<IpAddr>, user: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(&(source, Some(shortened(user))));
    }
}

/// Forgets what has run out, and if that is not half of all, the lower half.
fn make_room(failures: &mut HashMap<Key, Failures>, now: Instant) {
    failures.retain(|_, counted| counted.now(now) > 0);
    if failures.len() > ENTRIES_MAX / 2 {
        let mut counts: Vec<u32> = failures.values().map(|counted| counted.now(now)).collect();
        counts.sort_unstable();
        let middle = counts[counts.len() / 2];
        let mut spare = failures.len() - ENTRIES_MAX / 2;
        failures.retain(|_, counted| {
            let goes = spare > 0 && counted.now(now) <= middle;
            spare -= usize::from(goes);
            !goes
        });
    }
}

/// Names are at most 64 characters in the counts; longer ones share a count with their beginning.
fn shortened(user: &str) -> String {
    user.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    const THERE: Option<IpAddr> = None;

    #[tokio::test(start_paused = true)]
    async fn a_guesser_is_stopped_and_others_are_not() {
        let (logins, now) = (Logins::new(), Instant::now());
        for attempt in 0..FAILURES_PER_USER {
            assert!(logins.allow(HERE, "ada", now), "attempt {attempt}");
            logins.failed(HERE, "ada", now);
        }
        assert!(!logins.allow(HERE, "ada", now));
        assert!(logins.allow(HERE, "bob", now), "another user");
        assert!(logins.allow(THERE, "ada", now), "another source");
        assert!(logins.allow(HERE, "ada", now + FORGIVE_EVERY), "one is forgiven in time");
    }

    #[tokio::test(start_paused = true)]
    async fn success_clears_the_users_count() {
        let (logins, now) = (Logins::new(), Instant::now());
        (1..FAILURES_PER_USER).for_each(|_| logins.failed(HERE, "ada", now));
        logins.succeeded(HERE, "ada");
        logins.failed(HERE, "ada", now);
        assert!(logins.allow(HERE, "ada", now));
    }

    #[tokio::test(start_paused = true)]
    async fn trying_many_names_is_stopped_by_source() {
        let (logins, now) = (Logins::new(), Instant::now());
        (0..FAILURES_PER_SOURCE).for_each(|n| logins.failed(HERE, &n.to_string(), now));
        assert!(!logins.allow(HERE, "ada", now));
        assert!(logins.allow(THERE, "ada", now));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_a_flood_does_not_free_the_guesser() {
        let (logins, now) = (Logins::new(), Instant::now());
        (0..FAILURES_PER_USER).for_each(|_| logins.failed(HERE, "ada", now));
        for n in 0..3 * ENTRIES_MAX {
            logins.failed(THERE, &n.to_string(), now);
        }
        assert!(logins.failures.lock().unwrap().len() <= ENTRIES_MAX);
        assert!(!logins.allow(HERE, "ada", now));
    }
}
