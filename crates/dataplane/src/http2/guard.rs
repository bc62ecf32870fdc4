//! Floods: frames that cost us work and bring none about.
//!
//! The h2 crate bounds CONTINUATION frames of one block, the length of a header list, data in tiny or empty frames, streams that
//! were reset before they were looked at, and resets for errors that it found. What it lets pass is counted here, on the frames'
//! headers, in both directions: a reset costs the same whoever made it (a client can bring us to make them). Each kind has a
//! credit that time and honest work restore.
//!
//! Source: CVE-2019-9511 to 9518, CVE-2023-44487 (rapid reset), CVE-2024-27316 (CONTINUATION), CVE-2025-8671 (resets made by us).

/// Counts the frames of one connection.
pub(super) struct Guard {
    received: Scan,
    sent: Scan,
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

struct Credit {
    left: u32,
    most: u32,
    /// Restored each tick.
    each_tick: u32,
}

impl Credit {
    const fn new(most: u32, each_tick: u32) -> Self {
        Self { left: most, most, each_tick }
    }

    fn restore(&mut self, by: u32) {
        self.left = self.left.saturating_add(by).min(self.most);
    }

    /// False when there is none left.
    fn spend(&mut self) -> bool {
        let enough = self.left > 0;
        self.left = self.left.saturating_sub(1);
        enough
    }
}

impl Guard {
    pub(super) fn new(now: u32) -> Self {
        Self {
            received: Scan::after(PREFACE_BYTES),
            sent: Scan::after(0),
            restored: now,
            // 256 at once, 100 a second.
            resets: Credit::new(256, 10),
            // 1,024 at once, 200 a second; what measures round trips by PING does so while data goes.
            control: Credit::new(1024, 20),
            windows: Credit::new(4096, 400),
            flood: None,
            worked: false,
        }
    }

    /// Looks at what came.
    pub(super) fn received(&mut self, now: u32, mut bytes: &[u8]) {
        self.restore(now);
        while let Some(frame) = self.received.next(&mut bytes) {
            let enough = match frame.kind {
                DATA | HEADERS if frame.length > 0 || frame.flags & END_STREAM != 0 => {
                    self.worked = true;
                    self.control.restore(1);
                    true
                }
                RST_STREAM => self.resets.spend(),
                WINDOW_UPDATE => self.windows.spend(),
                _ => self.control.spend(),
            };
            if !enough && self.flood.is_none() {
                self.flood = Some(match frame.kind {
                    RST_STREAM => Flood::Resets,
                    WINDOW_UPDATE => Flood::Windows,
                    _ => Flood::Control,
                });
            }
        }
    }

    /// Looks at what goes out.
    pub(super) fn sent(&mut self, now: u32, mut bytes: &[u8]) {
        self.restore(now);
        while let Some(frame) = self.sent.next(&mut bytes) {
            match frame.kind {
                DATA | HEADERS => {
                    self.worked = true;
                    self.control.restore(1);
                    self.windows.restore(4);
                }
                // A reset without an error ends an upload that nobody needs; the client did nothing for it.
                RST_STREAM if frame.code != NO_ERROR && !self.resets.spend() => {
                    self.flood.get_or_insert(Flood::Resets);
                }
                _ => {}
            }
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

/// Finds the frames in a stream of bytes.
struct Scan {
    header: [u8; FRAME_BYTES + CODE_BYTES],
    have: usize,
    skip: usize,
}

/// What is looked at of a frame.
struct Frame {
    length: u32,
    kind: u8,
    flags: u8,
    /// Of RST_STREAM.
    code: u32,
}

impl Scan {
    fn after(skip: usize) -> Self {
        Self { header: [0; FRAME_BYTES + CODE_BYTES], have: 0, skip }
    }

    /// The next frame whose header is whole; none: the bytes are used up.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        *bytes = &bytes[skipped..];
        loop {
            let needed = match self.header {
                [0, 0, 4, RST_STREAM, ..] if self.have >= FRAME_BYTES => FRAME_BYTES + CODE_BYTES,
                _ => FRAME_BYTES,
            };
            let taken = (needed - self.have).min(bytes.len());
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            *bytes = &bytes[taken..];
            if self.have < needed {
                return None;
            }
            let [a, b, c, kind, flags, _, _, _, _, code @ ..] = self.header;
            let length = u32::from_be_bytes([0, a, b, c]);
            if self.have == FRAME_BYTES && kind == RST_STREAM && length == CODE_BYTES as u32 {
                continue;
            }
            let code = if self.have > FRAME_BYTES { u32::from_be_bytes(code) } else { 0 };
            self.skip = length as usize - (self.have - FRAME_BYTES);
            self.have = 0;
            return Some(Frame { length, kind, flags, code });
        }
    }
}

const PREFACE_BYTES: usize = 24;
const FRAME_BYTES: usize = 9;
const CODE_BYTES: usize = 4;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const NO_ERROR: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.extend(payload);
        frame
    }

    fn frames_until_flood(frames: &[Vec<u8>], most: usize) -> Option<usize> {
        let mut guard = Guard::new(0);
        guard.received(0, &[0; PREFACE_BYTES]);
        (0..most).find(|_| {
            frames.iter().for_each(|frame| guard.received(0, frame));
            guard.flood().is_some()
        })
    }

    #[test]
    fn each_flood_is_found_and_honest_work_is_none() {
        let headers = frame(HEADERS, 5, b"xyz");
        for (why, frames, found) in [
            ("rapid reset", vec![headers.clone(), frame(RST_STREAM, 0, &[0, 0, 0, 8])], Some(256)),
            ("settings", vec![frame(4, 0, &[0; 6])], Some(1024)),
            ("pings", vec![frame(6, 0, &[0; 8])], Some(1024)),
            ("priorities", vec![frame(2, 0, &[0; 5])], Some(1024)),
            ("frames of no known kind", vec![frame(200, 0, b"")], Some(1024)),
            ("empty data", vec![frame(DATA, 0, b"")], Some(1024)),
            ("continuations", vec![frame(9, 0, b"x")], Some(1024)),
            ("windows", vec![frame(WINDOW_UPDATE, 0, &[0, 0, 0, 1])], Some(4096)),
            ("requests", vec![headers.clone()], None),
            ("a ping for each request", vec![headers, frame(6, 0, &[0; 8])], None),
        ] {
            assert_eq!(frames_until_flood(&frames, 10_000), found, "{why}");
        }
    }

    #[test]
    fn resets_that_we_make_count_but_for_those_without_an_error() {
        for (code, floods) in [(1, true), (0, false)] {
            let mut guard = Guard::new(0);
            (0..300).for_each(|_| guard.sent(0, &frame(RST_STREAM, 0, &[0, 0, 0, code])));
            assert_eq!(guard.flood().is_some(), floods, "code {code}");
        }
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut_and_time_restores_credit() {
        let mut bytes = vec![0; PREFACE_BYTES];
        (0..20).for_each(|_| {
            bytes.extend(frame(DATA, 0, &[3; 70]));
            bytes.extend(frame(RST_STREAM, 0, &[0, 0, 0, 8]));
        });
        for cut in 1..40 {
            let mut guard = Guard::new(0);
            bytes.chunks(cut).for_each(|bytes| guard.received(0, bytes));
            assert_eq!(guard.resets.left, 236, "cut every {cut}");
            guard.received(1, b"");
            assert_eq!(guard.resets.left, 246);
        }
    }
}
