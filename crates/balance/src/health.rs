//! The health of one member in one target: what a row of probes means.
//!
//! Source: behaviour/features.md section 8 ("First result": a new member is healthy after one success; later changes need the
//! thresholds) and open-questions.md rows 21 and 22 (before the first result a member gets no work).
//! Does not probe and keeps no time: the prober calls [`Health::after`] once per finished probe.

use model::{Verdict, target::ProbeSettings};

/// What is known about a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// No probe has ended yet; the member gets no new work.
    #[default]
    Unknown,
    /// The member gets new work.
    Up {
        /// Failed probes in a row.
        failed: u8,
    },
    /// The member gets no new work.
    Down {
        /// Passed probes in a row.
        passed: u8,
    },
}

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// As a healthy member would have it.
    Passed,
    /// In any other way, a timeout included.
    Failed,
}

/// How many probes in a row change the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Passed probes that bring a member back; 1–10.
    pub rise: u8,
    /// Failed probes that take a member out; 1–10.
    pub fall: u8,
}

/// A state and whether its verdict is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The state after the probe.
    pub health: Health,
    /// The verdict, where it differs from the one before.
    pub changed: Option<Verdict>,
}

impl Health {
    /// The state after one more probe. The first verdict counts at once; then `fall` failures in a row take a member down,
    /// and `rise` passes in a row bring it back.
    pub fn after(self, probe: Probe, thresholds: Thresholds) -> Step {
        let health = match (self, probe) {
            (Self::Unknown | Self::Up { .. }, Probe::Passed) => Self::Up { failed: 0 },
            (Self::Unknown | Self::Down { .. }, Probe::Failed) => Self::Down { passed: 0 },
            (Self::Up { failed }, Probe::Failed) if failed.saturating_add(1) < thresholds.fall => {
                Self::Up { failed: failed + 1 }
            }
            (Self::Up { .. }, Probe::Failed) => Self::Down { passed: 0 },
            (Self::Down { passed }, Probe::Passed) if passed.saturating_add(1) < thresholds.rise => {
                Self::Down { passed: passed + 1 }
            }
            (Self::Down { .. }, Probe::Passed) => Self::Up { failed: 0 },
        };
        let changed = health.verdict().filter(|_| health.verdict() != self.verdict());
        Step { health, changed }
    }

    /// The verdict so far; none before the first probe has ended.
    pub fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Unknown => None,
            Self::Up { .. } => Some(Verdict::Up),
            Self::Down { .. } => Some(Verdict::Down),
        }
    }

    /// Whether a probed member in this state gets new work.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Up { .. })
    }
}

impl From<Verdict> for Health {
    /// The state in which a verdict was just reached.
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Up => Self::Up { failed: 0 },
            Verdict::Down => Self::Down { passed: 0 },
        }
    }
}

impl From<&ProbeSettings> for Thresholds {
    fn from(settings: &ProbeSettings) -> Self {
        Self { rise: settings.rise.value(), fall: settings.fall.value() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Probe::{Failed as F, Passed as P};
    use proptest::prelude::*;

    /// The verdict after each probe, as a text: `+` up, `-` down, with `!` where a change was reported.
    fn run(rise: u8, fall: u8, probes: &[Probe]) -> String {
        let mut health = Health::default();
        let mut text = String::new();
        for &probe in probes {
            let step = health.after(probe, Thresholds { rise, fall });
            health = step.health;
            text.push(if health.is_usable() { '+' } else { '-' });
            if step.changed.is_some() {
                assert_eq!(step.changed, health.verdict());
                text.push('!');
            }
        }
        text
    }

    #[test]
    fn verdicts_change_at_the_thresholds_and_not_before() {
        for (why, rise, fall, probes, expect) in [
            ("the first success counts at once", 3, 3, &[P][..], "+!"),
            ("the first failure counts at once", 3, 3, &[F], "-!"),
            ("fall failures take it down", 3, 3, &[P, F, F, F, F], "+!++-!-"),
            ("a success between starts the count anew", 3, 3, &[P, F, F, P, F, F], "+!+++++"),
            ("rise successes bring it back", 3, 3, &[F, P, P, P, P], "-!--+!+"),
            ("a failure between starts the count anew", 3, 3, &[F, P, P, F, P, P], "-!-----"),
            ("thresholds of one follow each probe", 1, 1, &[P, F, P, F], "+!-!+!-!"),
            ("rise and fall are separate", 1, 2, &[P, F, F, P], "+!+-!+!"),
            ("the largest thresholds", 10, 10, &[P, F, F, F, F, F, F, F, F, F, F], "+!+++++++++-!"),
        ] {
            assert_eq!(run(rise, fall, probes), expect, "{why}");
        }
    }

    #[test]
    fn before_the_first_result_a_member_is_not_used_and_has_no_verdict() {
        assert!(!Health::default().is_usable());
        assert_eq!(Health::default().verdict(), None);
    }

    #[test]
    fn lowered_thresholds_count_from_the_next_probe() {
        let waiting = Health::Up { failed: 5 };
        let step = waiting.after(F, Thresholds { rise: 1, fall: 2 });
        assert_eq!(step, Step { health: Health::Down { passed: 0 }, changed: Some(Verdict::Down) });
    }

    proptest! {
        #[test]
        fn the_verdict_is_that_of_the_last_long_enough_row(
            rise in 1u8..=10, fall in 1u8..=10, probes in proptest::collection::vec(any::<bool>(), 1..60),
        ) {
            let mut health = Health::default();
            let mut expect = probes[0];
            let (mut row, mut last) = (0, probes[0]);
            for &passed in &probes {
                row = if passed == last { row + 1 } else { 1 };
                last = passed;
                if row >= if passed { rise } else { fall } {
                    expect = passed;
                }
                let probe = if passed { P } else { F };
                health = health.after(probe, Thresholds { rise, fall }).health;
                prop_assert_eq!(health.is_usable(), expect);
            }
        }
    }
}
