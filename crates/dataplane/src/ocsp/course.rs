//! When a responder is asked again, and when a staple is taken off. Pure: times are seconds of Unix time, and arguments.

use wire::ocsp::{LEFT_SECONDS_MIN, Statement};

/// Between two tries pass at least so many seconds.
const TRY_EVERY_MIN: i64 = 300;
/// After failures, at most so many.
const TRY_EVERY_MAX: i64 = 3600;

/// Where the stapling of a certificate stands.
#[derive(Debug)]
pub(super) struct Course {
    next_try: i64,
    failures: u32,
    /// When the present staple must be off.
    lapses: Option<i64>,
}

impl Course {
    /// The first try is at once.
    pub(super) fn new(now: i64) -> Self {
        Self { next_try: now, failures: 0, lapses: None }
    }

    /// An answer was stapled. The next is asked for at half of its life, or of what is left of it if that is over; up to a tenth
    /// sooner, by a random number, so that many certificates do not ask at once.
    pub(super) fn succeeded(&mut self, now: i64, statement: &Statement, random: u64) {
        let Statement { this_update, valid_until, .. } = *statement;
        let middle = this_update + (valid_until - this_update) / 2;
        let wait = if middle > now { middle - now } else { (valid_until - now) / 2 };
        self.failures = 0;
        self.next_try = now + (wait - up_to(wait / 10, random)).max(TRY_EVERY_MIN);
        self.lapses = Some(valid_until - LEFT_SECONDS_MIN);
    }

    /// Nothing came that could be stapled: the wait doubles with every failure in a row.
    pub(super) fn failed(&mut self, now: i64, random: u64) {
        let wait = (TRY_EVERY_MIN << self.failures.min(8)).min(TRY_EVERY_MAX);
        self.failures = self.failures.saturating_add(1);
        self.next_try = now + (wait + up_to(wait / 10, random)).min(TRY_EVERY_MAX);
    }

    /// Whether the present staple must be taken off.
    pub(super) fn has_lapsed(&self, now: i64) -> bool {
        self.lapses.is_some_and(|lapses| now >= lapses)
    }

    /// There is no staple any more.
    pub(super) fn take_off(&mut self) {
        self.lapses = None;
    }

    pub(super) fn next_try(&self) -> i64 {
        self.next_try
    }

    /// When the present staple must be taken off; none: there is none.
    pub(super) fn lapses(&self) -> Option<i64> {
        self.lapses
    }
}

fn up_to(most: i64, random: u64) -> i64 {
    let most = u64::try_from(most).unwrap_or(0);
    i64::try_from(random % (most + 1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use wire::ocsp::CertificateStatus;

    use super::*;

    const DAY: i64 = 86_400;

    fn statement(this_update: i64, valid_until: i64) -> Statement {
        Statement { status: CertificateStatus::Good, this_update, valid_until }
    }

    #[test]
    fn the_next_answer_is_asked_for_at_half_of_the_life_of_this_one() {
        for (why, now, from, until, soonest, latest) in [
            ("fresh", 0, 0, 10 * DAY, 9 * DAY / 2, 5 * DAY),
            ("made a day ago", DAY, 0, 10 * DAY, DAY + 4 * DAY * 9 / 10, 5 * DAY),
            ("past its middle: half of the rest", 6 * DAY, 0, 10 * DAY, 6 * DAY + 2 * DAY * 9 / 10, 8 * DAY),
            ("so short that it ends before", 0, 0, 60, 300, 300),
            ("a clock that is ahead", 0, 200, 3800, 1800, 2000),
        ] {
            for random in [0, 1, 12_345, u64::MAX] {
                let mut course = Course::new(now);
                course.succeeded(now, &statement(from, until), random);
                assert!((soonest..=latest).contains(&course.next_try()), "{why}: {course:?}");
            }
        }
    }

    #[test]
    fn failures_in_a_row_wait_longer_up_to_an_hour_and_a_success_forgets_them() {
        let mut course = Course::new(0);
        assert_eq!(course.next_try(), 0, "the first try is at once");
        let mut waits = Vec::new();
        for _ in 0..40 {
            course.failed(0, 0);
            waits.push(course.next_try());
        }
        assert_eq!(waits[..6], [300, 600, 1200, 2400, 3600, 3600]);
        assert_eq!(waits[39], 3600);
        course.succeeded(0, &statement(0, DAY), 0);
        course.failed(0, 30);
        assert_eq!(course.next_try(), 330, "spread by up to a tenth");
    }

    #[test]
    fn a_staple_is_off_before_it_ends() {
        let mut course = Course::new(0);
        assert!(!course.has_lapsed(i64::MAX), "there is none");
        course.succeeded(0, &statement(0, 1000), 0);
        course.failed(900, 0);
        assert_eq!(course.lapses(), Some(990), "a failure changes nothing of it");
        assert!(!course.has_lapsed(989) && course.has_lapsed(990));
        course.take_off();
        assert!(!course.has_lapsed(2000));
    }
}
