//! Members that fail the work that they are given, whatever probes say, are left out for a while.
//!
//! A member is ejected after so many failed connects in a row, or so many answers of the 500s; at first for the base time, then for
//! twice that and so on. Each base time that it serves without another ejection takes one off the count again. Never more members are
//! ejected at a time than a share of the group (though one, whatever the share), and never the last that is left. When the time is
//! over the member is tried again like any other.
//!
//! This is an addition of ours and off unless it is asked for; the documents know probes alone. It resembles what Envoy calls outlier
//! detection, whose defaults ours are ([`OutlierDetection`]).
//!
//! Invariants (property tests below): at most the share is ejected; somebody who is usable is left; who is ejected comes back by its
//! time; no time is longer than the longest.
//! What it does not do: it writes no health. Whoever owns [`Outliers`] makes "healthy and not ejected" of both.
//!
//! # How to drive it
//!
//! Each worker has a [`Streak`] per member and tells it of every outcome; that is a plain count and shares nothing. When a streak says
//! that it is enough, the one owner of the target's [`Outliers`] is told ([`Outliers::handle_streak`]). It asks
//! [`Outliers::poll_return`] at [`Outliers::poll_timeout`]. Workers count alone, so a row of failures may be longer over all workers
//! than the settings say, never shorter.

use std::time::Duration;

use model::OutlierDetection;

/// When a member is ejected, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierSettings {
    /// Failed connects in a row; 0: they do not count.
    pub connect_failures: u16,
    /// Answers of the 500s in a row; 0: they do not count.
    pub server_errors: u16,
    /// Time of the first ejection.
    pub ejection_base: Duration,
    /// Longest time of one.
    pub ejection_max: Duration,
    /// How many of the members may be ejected at a time, in percent (0–100).
    pub ejected_percent_max: u8,
}

impl From<&OutlierDetection> for OutlierSettings {
    fn from(detection: &OutlierDetection) -> Self {
        Self {
            connect_failures: detection.connect_failures.value(),
            server_errors: detection.server_errors.value(),
            ejection_base: detection.ejection_time.duration(),
            ejection_max: detection.ejection_time_max.duration(),
            ejected_percent_max: detection.ejected_percent_max.value(),
        }
    }
}

/// What became of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkOutcome {
    /// The member did it.
    Served,
    /// The member could not be reached.
    ConnectFailed,
    /// The member answered with a status of the 500s.
    ServerError,
}

/// Failures in a row of one member, as one worker saw them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    connect_failures: u16,
    server_errors: u16,
}

impl Streak {
    /// Counts an outcome. Some: there were as many as the settings want; counting begins anew.
    pub fn after(&mut self, outcome: WorkOutcome, settings: &OutlierSettings) -> Option<WorkOutcome> {
        let (count, enough) = match outcome {
            WorkOutcome::Served => {
                *self = Self::default();
                return None;
            }
            WorkOutcome::ConnectFailed => (&mut self.connect_failures, settings.connect_failures),
            WorkOutcome::ServerError => {
                // It was reached.
                self.connect_failures = 0;
                (&mut self.server_errors, settings.server_errors)
            }
        };
        *count = count.saturating_add(1);
        if enough == 0 || *count < enough {
            return None;
        }
        *self = Self::default();
        Some(outcome)
    }
}

/// Who is ejected, of one target's members.
#[derive(Clone, Debug)]
pub struct Outliers {
    settings: OutlierSettings,
    members: Box<[Standing]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    /// Ejected until then.
    until_ms: Option<u64>,
    /// How often, less what was served off by `returned_ms`.
    times: u32,
    /// When it came back last.
    returned_ms: u64,
}

/// What becomes of a member that failed too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sentence {
    /// It is ejected.
    Ejected {
        /// Until then, in milliseconds of the caller's clock.
        until_ms: u64,
    },
    /// It is ejected already; other workers saw the same failures.
    Already,
    /// It stays, as too many are ejected or nobody else is left.
    Spared,
}

impl Outliers {
    /// Nobody of so many members is ejected.
    pub fn new(settings: OutlierSettings, members: usize) -> Self {
        Self { settings, members: vec![Standing::default(); members].into() }
    }

    /// The same for changed members or settings: `before(i)` is the index that member `i` had here, if it was there. Times that
    /// run, run on.
    pub fn with_members(
        &self,
        settings: OutlierSettings,
        members: usize,
        before: impl Fn(usize) -> Option<usize>,
    ) -> Self {
        let standing =
            |member| before(member).and_then(|old| self.members.get(old).copied()).unwrap_or_default();
        Self { settings, members: (0..members).map(standing).collect() }
    }

    /// Whether a member is ejected.
    pub fn is_ejected(&self, member: usize) -> bool {
        self.members.get(member).is_some_and(|standing| standing.until_ms.is_some())
    }

    /// A streak of a member was long enough. `usable`: who may get new work, ejections apart.
    pub fn handle_streak(&mut self, member: usize, now_ms: u64, usable: impl Fn(usize) -> bool) -> Sentence {
        let share = self.members.len() * usize::from(self.settings.ejected_percent_max.min(100)) / 100;
        let ejected = (0..self.members.len()).filter(|&other| self.is_ejected(other)).count();
        let somebody_else =
            (0..self.members.len()).any(|other| other != member && usable(other) && !self.is_ejected(other));
        let (base_ms, longest_ms) = (millis(self.settings.ejection_base), millis(self.settings.ejection_max));
        let Some(standing) = self.members.get_mut(member) else { return Sentence::Spared };
        if standing.until_ms.is_some() {
            return Sentence::Already;
        }
        if ejected >= share.max(1) || !somebody_else {
            return Sentence::Spared;
        }
        let served_off = now_ms.saturating_sub(standing.returned_ms) / base_ms;
        let served_off = u32::try_from(served_off).unwrap_or(u32::MAX);
        standing.times = standing.times.saturating_sub(served_off).saturating_add(1);
        let time_ms = base_ms.saturating_mul(standing.times.into()).min(longest_ms);
        let until_ms = now_ms.saturating_add(time_ms);
        standing.until_ms = Some(until_ms);
        Sentence::Ejected { until_ms }
    }

    /// A member whose time is over; it is ejected no more. None: no more for now.
    pub fn poll_return(&mut self, now_ms: u64) -> Option<usize> {
        let over = |standing: &Standing| standing.until_ms.is_some_and(|until_ms| until_ms <= now_ms);
        let member = self.members.iter().position(over)?;
        let standing = &mut self.members[member];
        (standing.until_ms, standing.returned_ms) = (None, now_ms);
        Some(member)
    }

    /// When the next member returns; none while nobody is ejected.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.members.iter().filter_map(|standing| standing.until_ms).min()
    }
}

/// At least 1.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use WorkOutcome::{ConnectFailed as C, Served as S, ServerError as E};
    use proptest::prelude::*;

    fn settings(percent: u8) -> OutlierSettings {
        OutlierSettings {
            connect_failures: 3,
            server_errors: 4,
            ejection_base: Duration::from_secs(10),
            ejection_max: Duration::from_secs(35),
            ejected_percent_max: percent,
        }
    }

    #[test]
    fn only_failures_in_a_row_count() {
        for (why, outcomes, expect) in [
            ("three failed connects", &[C, C, C][..], Some(C)),
            ("two", &[C, C], None),
            ("broken by a success", &[C, C, S, C, C], None),
            ("an error is an answer", &[C, C, E, C, C], None),
            ("four errors", &[E, E, E, E], Some(E)),
            ("broken by a success", &[E, E, E, S, E], None),
            ("a failed connect is no answer", &[E, E, C, E, E], Some(E)),
            ("it begins anew", &[C, C, C, C, C], None),
            ("again", &[C, C, C, C, C, C], Some(C)),
        ] {
            let mut streak = Streak::default();
            let said: Vec<_> = outcomes.iter().map(|&outcome| streak.after(outcome, &settings(50))).collect();
            assert_eq!(said.last().copied().flatten(), expect, "{why}");
        }
        let off = OutlierSettings { connect_failures: 0, server_errors: 0, ..settings(50) };
        let mut streak = Streak::default();
        assert!(
            (0..70_000).all(|_| streak.after(C, &off).is_none() && streak.after(E, &off).is_none()),
            "off"
        );
    }

    #[test]
    fn ejections_grow_and_are_served_off() {
        let mut outliers = Outliers::new(settings(50), 2);
        let mut now = 0;
        for (why, pause_s, time_s) in [
            ("the first", 0, 10),
            ("again at once", 0, 20),
            ("and again", 9, 30),
            ("the longest", 0, 35),
            ("good for two base times", 20, 30),
            ("good for long", 1000, 10),
        ] {
            now += pause_s * 1000;
            let until_ms = now + time_s * 1000;
            assert_eq!(outliers.handle_streak(0, now, |_| true), Sentence::Ejected { until_ms }, "{why}");
            assert_eq!(outliers.handle_streak(0, now, |_| true), Sentence::Already, "{why}");
            assert_eq!(outliers.poll_timeout(), Some(until_ms), "{why}");
            assert_eq!(outliers.poll_return(until_ms - 1), None, "{why}");
            assert!(outliers.is_ejected(0), "{why}");
            assert_eq!(
                (outliers.poll_return(until_ms), outliers.poll_return(until_ms)),
                (Some(0), None),
                "{why}"
            );
            now = until_ms;
        }
        assert_eq!(outliers.poll_timeout(), None);
    }

    #[test]
    fn enough_members_stay() {
        for (why, members, percent, usable, ejected) in [
            ("a half", 4, 50, &[0, 1, 2, 3][..], 2),
            ("a share below one is one", 4, 10, &[0, 1, 2, 3], 1),
            ("even 0", 4, 0, &[0, 1, 2, 3], 1),
            ("all but the last", 4, 100, &[0, 1, 2, 3], 3),
            ("but the last that is healthy", 4, 100, &[0, 1], 1),
            ("the only member", 1, 100, &[0], 0),
            ("no such member", 0, 100, &[], 0),
        ] {
            let mut outliers = Outliers::new(settings(percent), members);
            for &member in usable {
                outliers.handle_streak(member, 0, |other| usable.contains(&other));
            }
            let count = (0..members).filter(|&member| outliers.is_ejected(member)).count();
            assert_eq!(count, ejected, "{why}");
        }
    }

    #[test]
    fn a_change_of_members_moves_no_time() {
        let mut before = Outliers::new(settings(50), 3);
        before.handle_streak(2, 5000, |_| true);
        let mut after =
            before.with_members(settings(50), 3, |member| member.checked_sub(1).map(|old| old * 2));
        assert_eq!([0, 1, 2].map(|member| after.is_ejected(member)), [false, false, true]);
        assert_eq!((after.poll_timeout(), after.poll_return(15_000)), (Some(15_000), Some(2)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn the_share_holds_and_everybody_returns(
            members in 1usize..12, percent in 0u8..=100, down in any::<u16>(),
            steps in proptest::collection::vec((0usize..12, 0u64..20_000), 1..100),
        ) {
            let mut outliers = Outliers::new(settings(percent), members);
            let usable = |member: usize| down >> member & 1 == 0;
            let most = (members * usize::from(percent) / 100).max(1);
            let mut now = 0;
            for (member, pause) in steps {
                now += pause;
                while let Some(back) = outliers.poll_return(now) {
                    prop_assert!(!outliers.is_ejected(back));
                }
                prop_assert!(outliers.poll_timeout().is_none_or(|next| next > now && next <= now + 35_000));
                let sentence = outliers.handle_streak(member, now, usable);
                let ejected = (0..members).filter(|&member| outliers.is_ejected(member)).count();
                prop_assert!(ejected <= most);
                if let Sentence::Ejected { .. } = sentence {
                    prop_assert!((0..members).any(|other| usable(other) && !outliers.is_ejected(other)), "nobody is left");
                }
            }
        }
    }
}
