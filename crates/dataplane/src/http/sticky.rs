//! Cookies that keep a client with its member or its pool (behaviour/features.md section 6).
//!
//! - A load balancer's cookie ([`COOKIE`]) is set when the client has none that names its member, and lives as long as the pool says
//!   from then on.
//! - An application's cookie gets a mark behind its value on the way to the client, and loses it on the way to the member.
//! - A policy's choice among several pools is kept in a cookie of its own ([`POOL_COOKIE`]).
//!
//! Nobody remembers clients: what a value says follows from a key (`balance::stickiness`).

use std::{
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use balance::{MemberIndex, StickyKey};
use model::pool;
use plan::TargetPlan;
use wire::{
    cookie::{self, Rewritten, affinity},
    h1::{HeaderId, HeaderLines, HeaderSet, RequestHead, ResponseHead},
};

use crate::target::{Target, Tried};

/// The load balancer's cookie (open-questions.md row 3).
pub(super) const COOKIE: &[u8] = b"name";
/// The cookie that keeps a client on one of a policy's pools. No source says its name.
pub(super) const POOL_COOKIE: &[u8] = b"elb_pool";

/// How the clients of a target stay with a member.
pub(crate) struct Sticky {
    values: balance::Stickiness,
    by: pool::Stickiness,
}

/// What a request's stickiness found out, for its answer.
pub(super) struct Stuck {
    /// The member that the client belongs to and that takes work.
    pub(super) member: Option<MemberIndex>,
    /// The member that the client's cookie names; its answer sets no other.
    named: Option<MemberIndex>,
}

impl Sticky {
    /// The stickiness of a target that has one.
    pub(crate) fn new(plan: &TargetPlan, key: &StickyKey) -> Option<Self> {
        let mut by = plan.stickiness.clone()?;
        if let (false, pool::Stickiness::HttpCookie { minutes }) = (plan.protocol.is_layer7(), &by) {
            // Where there are no cookies, every kind counts as that by address (behaviour/features.md section 6).
            by = pool::Stickiness::SourceIp { minutes: *minutes };
        }
        let members = plan.members.iter().map(|member| (member.id.uuid().into_bytes(), member.weight));
        Some(Self { values: balance::Stickiness::new(key, plan.id.pool.uuid().into_bytes(), members), by })
    }

    /// The member for a client by its address, where that is what counts.
    pub(crate) fn by_source(&self, client: IpAddr, usable: impl Fn(usize) -> bool) -> Option<MemberIndex> {
        match self.by {
            pool::Stickiness::SourceIp { .. } => self.values.by_source(client, usable),
            pool::Stickiness::HttpCookie { .. } | pool::Stickiness::AppCookie { .. } => None,
        }
    }
}

/// Whom a request's cookies name.
pub(super) fn look(target: &Target, sticky: &Sticky, head: &RequestHead<'_>, client: IpAddr) -> Stuck {
    let tried = Tried::default();
    let usable = |member: usize| target.is_usable(member, &tried);
    let cookies = || head.values(HeaderId::COOKIE);
    let stick = match &sticky.by {
        pool::Stickiness::SourceIp { .. } => None,
        pool::Stickiness::HttpCookie { .. } => {
            cookie::find(cookies(), COOKIE).and_then(|value| sticky.values.by_cookie(value, client, usable))
        }
        pool::Stickiness::AppCookie { name } => cookie::find(cookies(), name.as_bytes()).and_then(|value| {
            let (session, mark) = affinity::split(value);
            sticky.values.by_session(session, mark, usable)
        }),
    };
    let named = stick.filter(|stick| !stick.needs_cookie()).map(|stick| stick.member());
    Stuck { member: stick.map(|stick| stick.member()), named }
}

/// Takes our marks off the application's cookie: what goes to the member is what it set. Appends the new Cookie line, where there is
/// one; whether the lines of the request go.
pub(super) fn unmark(sticky: &Sticky, head: &RequestHead<'_>, lines: &mut HeaderLines) -> bool {
    let pool::Stickiness::AppCookie { name } = &sticky.by else { return false };
    let mut line = Vec::new();
    let is_ours = |mark| sticky.values.is_ours(mark);
    match affinity::remove(head.values(HeaderId::COOKIE), name.as_bytes(), is_ours, &mut line) {
        Rewritten::Unchanged => false,
        Rewritten::Empty => true,
        // The parser let no byte in that could end the line.
        Rewritten::Changed => lines.push(b"Cookie", &line).is_ok(),
    }
}

/// Appends the cookies that an answer of this member sets, and gives what is taken out of its head in exchange.
pub(super) fn set_cookies(
    sticky: &Sticky,
    stuck: &Stuck,
    member: MemberIndex,
    head: &ResponseHead<'_>,
    lines: &mut HeaderLines,
) -> HeaderSet {
    match &sticky.by {
        pool::Stickiness::SourceIp { .. } => {}
        pool::Stickiness::HttpCookie { minutes } => {
            if stuck.named != Some(member)
                && let Some(value) = sticky.values.cookie_value(member)
            {
                let life = Duration::from_secs(60 * u64::from(minutes.value()));
                CookieDue::new(COOKIE, value, life).push(lines);
            }
        }
        pool::Stickiness::AppCookie { name } => {
            let Some(mark) = sticky.values.mark(member) else { return HeaderSet::EMPTY };
            let set = || head.values(HeaderId::SET_COOKIE);
            let mut line = Vec::new();
            if !set().any(|value| affinity::add(value, name.as_bytes(), mark, &mut line)) {
                return HeaderSet::EMPTY;
            }
            for value in set() {
                line.clear();
                let marked = affinity::add(value, name.as_bytes(), mark, &mut line);
                // The parser let no byte in that could end the line.
                let _well_formed = lines.push(b"Set-Cookie", if marked { &line } else { value });
            }
            return HeaderSet::of(&[HeaderId::SET_COOKIE]);
        }
    }
    HeaderSet::EMPTY
}

/// A cookie that is to be set.
pub(super) struct CookieDue {
    line: Vec<u8>,
}

impl CookieDue {
    /// A cookie that lives so long from now on.
    pub(super) fn new(name: &[u8], value: &str, life: Duration) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut line = Vec::with_capacity(96);
        line.extend_from_slice(name);
        line.push(b'=');
        line.extend_from_slice(value.as_bytes());
        line.extend_from_slice(b"; path=/; Expires=");
        line.extend_from_slice(http_date((since + life).as_secs()).as_bytes());
        Self { line }
    }

    pub(super) fn push(&self, lines: &mut HeaderLines) {
        // Ours, and well-formed.
        let _well_formed = lines.push(b"Set-Cookie", &self.line);
    }
}

/// A moment as HTTP writes it (RFC 9110 section 5.6.7), from seconds since the epoch.
fn http_date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March, counted from the year 0: the leap day is the last of its year.
    let from_zero = days + 719_468;
    let (era, day) = (from_zero / 146_097, from_zero % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let year = 400 * era + year + u64::from(month >= 10);
    format!(
        "{}, {day_of_month:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        DAYS[(days % 7) as usize],
        MONTHS[month as usize],
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_http_writes_them() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (1_735_689_600, "Wed, 01 Jan 2025 00:00:00 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            assert_eq!(http_date(seconds), text);
        }
    }
}
