//! Floods: frames that cost us work and bring none about.
//!
//! The h2 crate bounds the length of a header list, data in tiny or empty frames, streams that were reset before they were looked
//! at, and resets for errors that it found; `wire::h2` bounds a block of fields. What they let pass is counted here, on the
//! frames' headers, in both directions: a reset costs the same whoever made it (a client can bring us to make them). Each kind has
//! a credit that time and honest work restore.
//!
//! Source: CVE-2019-9511 to 9518, CVE-2023-44487 (rapid reset), CVE-2024-27316 (CONTINUATION), CVE-2025-8671 (resets made by us).

use wire::h2::{Frame, kind};

/// Counts the frames of one connection.
pub(super) struct Guard {
    /// When credit was restored last, in ticks.
    restored: u32,
    resets: Credit,
    control: Credit,
    windows: Credit,
    flood: Option<Flood>,
    /// Whether a request or data moved since this was asked last.
    worked: bool,
}

/// Which kind of frames came too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flood {
    Resets,
    /// SETTINGS, PING, PRIORITY, frames of no known kind, empty frames.
    Control,
    Windows,
}

/// What may happen at once, and again after a while.
pub(crate) struct Credit {
    left: u32,
    most: u32,
    /// Restored each tick.
    each_tick: u32,
}

impl Credit {
    pub(crate) const fn new(most: u32, each_tick: u32) -> Self {
        Self { left: most, most, each_tick }
    }

    /// Of streams that end before their time: 256 at once, 100 a second.
    pub(crate) const fn of_resets() -> Self {
        Self::new(256, 10)
    }

    /// Restores what so many ticks restore.
    pub(crate) fn restore_for(&mut self, ticks: u32) {
        self.restore(self.each_tick.saturating_mul(ticks));
    }

    pub(crate) fn restore(&mut self, by: u32) {
        self.left = self.left.saturating_add(by).min(self.most);
    }

    /// False when there is none left.
    pub(crate) fn spend(&mut self) -> bool {
        let enough = self.left > 0;
        self.left = self.left.saturating_sub(1);
        enough
    }
}

impl Guard {
    pub(super) fn new(now: u32) -> Self {
        Self {
            restored: now,
            resets: Credit::of_resets(),
            // 1,024 at once, 200 a second; what measures round trips by PING does so while data goes.
            control: Credit::new(1024, 20),
            windows: Credit::new(4096, 400),
            flood: None,
            worked: false,
        }
    }

    /// Looks at a frame that came.
    pub(super) fn received(&mut self, now: u32, frame: &Frame) {
        self.restore(now);
        let enough = match frame.kind {
            kind::DATA | kind::HEADERS if frame.length > 0 || frame.ends_stream() => {
                self.worked = true;
                self.control.restore(1);
                true
            }
            kind::RST_STREAM => self.resets.spend(),
            kind::WINDOW_UPDATE => self.windows.spend(),
            _ => self.control.spend(),
        };
        if !enough && self.flood.is_none() {
            self.flood = Some(match frame.kind {
                kind::RST_STREAM => Flood::Resets,
                kind::WINDOW_UPDATE => Flood::Windows,
                _ => Flood::Control,
            });
        }
    }

    /// Looks at a frame that goes out.
    pub(super) fn sent(&mut self, now: u32, frame: &Frame) {
        self.restore(now);
        match frame.kind {
            kind::DATA | kind::HEADERS => {
                self.worked = true;
                self.control.restore(1);
                self.windows.restore(4);
            }
            // A reset without an error ends an upload that nobody needs; the client did nothing for it.
            kind::RST_STREAM if frame.code != NO_ERROR && !self.resets.spend() => {
                self.flood.get_or_insert(Flood::Resets);
            }
            _ => {}
        }
    }

    /// What there was too much of.
    pub(super) fn flood(&self) -> Option<Flood> {
        self.flood
    }

    /// Whether a request or data moved since this was asked last.
    pub(super) fn take_worked(&mut self) -> bool {
        std::mem::take(&mut self.worked)
    }

    fn restore(&mut self, now: u32) {
        let ticks = now.saturating_sub(self.restored);
        if ticks > 0 {
            self.restored = now;
            for credit in [&mut self.resets, &mut self.control, &mut self.windows] {
                credit.restore(credit.each_tick.saturating_mul(ticks));
            }
        }
    }
}

const NO_ERROR: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u32) -> Frame {
        Frame { length, kind, flags, stream: 1, code: 0 }
    }

    fn frames_until_flood(frames: &[Frame], most: usize) -> Option<usize> {
        let mut guard = Guard::new(0);
        (0..most).find(|_| {
            frames.iter().for_each(|frame| guard.received(0, frame));
            guard.flood().is_some()
        })
    }

    #[test]
    fn each_flood_is_found_and_honest_work_is_none() {
        let headers = frame(kind::HEADERS, 5, 3);
        for (why, frames, found) in [
            ("rapid reset", vec![headers, frame(kind::RST_STREAM, 0, 4)], Some(256)),
            ("settings", vec![frame(kind::SETTINGS, 0, 6)], Some(1024)),
            ("pings", vec![frame(kind::PING, 0, 8)], Some(1024)),
            ("priorities", vec![frame(kind::PRIORITY, 0, 5)], Some(1024)),
            ("frames of no known kind", vec![frame(200, 0, 0)], Some(1024)),
            ("empty data", vec![frame(kind::DATA, 0, 0)], Some(1024)),
            ("continuations", vec![frame(kind::CONTINUATION, 0, 1)], Some(1024)),
            ("windows", vec![frame(kind::WINDOW_UPDATE, 0, 4)], Some(4096)),
            ("requests", vec![headers], None),
            ("a ping for each request", vec![headers, frame(kind::PING, 0, 8)], None),
        ] {
            assert_eq!(frames_until_flood(&frames, 10_000), found, "{why}");
        }
    }

    #[test]
    fn resets_that_we_make_count_but_for_those_without_an_error() {
        for (code, floods) in [(1, true), (0, false)] {
            let mut guard = Guard::new(0);
            let reset = Frame { code, ..frame(kind::RST_STREAM, 0, 4) };
            (0..300).for_each(|_| guard.sent(0, &reset));
            assert_eq!(guard.flood().is_some(), floods, "code {code}");
        }
    }

    #[test]
    fn time_restores_credit() {
        let mut guard = Guard::new(0);
        (0..20).for_each(|_| guard.received(0, &frame(kind::RST_STREAM, 0, 4)));
        assert_eq!(guard.resets.left, 236);
        guard.received(1, &frame(kind::HEADERS, 5, 3));
        assert_eq!(guard.resets.left, 246);
    }
}
