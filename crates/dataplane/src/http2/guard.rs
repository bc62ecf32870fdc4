//! What is between the h2 crate and the bytes: it counts frames that cost us work and move nothing.
//!
//! The h2 crate bounds header blocks (CONTINUATION), streams reset before they are looked at, and small DATA frames by itself.
//! Counted here is what is left: PING, SETTINGS, PRIORITY, RST_STREAM, WINDOW_UPDATE, and frames without content.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::Stream;

/// A client's connection as the h2 crate wants it.
pub(super) struct Guarded {
    stream: Stream,
    frames: FrameCount,
}

impl Guarded {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, frames: FrameCount::new() }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let free = buffer.initialize_unfilled();
        if free.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let bytes = ready!(self.stream.poll_read(cx, free))?;
        let fine = self.frames.see(&free[..bytes]);
        buffer.advance(bytes);
        match fine {
            true => Poll::Ready(Ok(())),
            false => Poll::Ready(Err(io::Error::other("too many frames that move nothing"))),
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let written = self.stream.write(pieces)?;
            if written > 0 || pieces.iter().all(|piece| piece.is_empty()) {
                return Poll::Ready(Ok(written));
            }
            ready!(self.stream.poll_writable(cx))?;
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.stream.poll_flush(cx))?;
        self.stream.finish();
        Poll::Ready(Ok(()))
    }
}

/// Frames that move nothing, allowed per [`WINDOW`] beyond those that moving something brings along.
const IDLE_FRAMES_MAX: u32 = 2_000;
const WINDOW: Duration = Duration::from_secs(10);
/// Each frame with content pays for so many without.
const CREDIT: u32 = 4;

/// Looks at the headers of frames as they pass (RFC 9113 section 4.1).
struct FrameCount {
    /// The header that is being read, and how much of it is there.
    header: [u8; FRAME_HEADER_BYTES],
    have: usize,
    /// Bytes to pass before the next header: first the preface.
    skip: usize,
    idle: u32,
    since: Instant,
}

const FRAME_HEADER_BYTES: usize = 9;
const PREFACE_BYTES: usize = 24;

impl FrameCount {
    fn new() -> Self {
        Self { header: [0; FRAME_HEADER_BYTES], have: 0, skip: PREFACE_BYTES, idle: 0, since: Instant::now() }
    }

    /// Whether what came may be put up with.
    fn see(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let passed = self.skip.min(bytes.len());
                self.skip -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            let taken = (FRAME_HEADER_BYTES - self.have).min(bytes.len());
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == FRAME_HEADER_BYTES {
                self.have = 0;
                let [a, b, c, kind, flags, ..] = self.header;
                self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                if !self.count(kind, flags) {
                    return false;
                }
            }
        }
        true
    }

    fn count(&mut self, kind: u8, flags: u8) -> bool {
        const DATA: u8 = 0;
        const HEADERS: u8 = 1;
        const CONTINUATION: u8 = 9;
        let ends_something = flags & 0x5 != 0;
        let moves = match kind {
            DATA | HEADERS | CONTINUATION => self.skip > 0 || ends_something,
            _ => false,
        };
        if moves {
            self.idle = self.idle.saturating_sub(CREDIT);
            return true;
        }
        self.idle += 1;
        if self.idle <= IDLE_FRAMES_MAX {
            return true;
        }
        // Many over a long time are no flood.
        let fine = self.since.elapsed() >= WINDOW;
        (self.idle, self.since) = (0, Instant::now());
        fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, (payload.len() >> 8) as u8, payload.len() as u8, kind, flags, 0, 0, 0, 1];
        frame.extend_from_slice(payload);
        frame
    }

    fn seen(frames: impl Iterator<Item = Vec<u8>>, piece: usize) -> bool {
        let bytes: Vec<u8> = [0; PREFACE_BYTES].into_iter().chain(frames.flatten()).collect();
        let mut count = FrameCount::new();
        bytes.chunks(piece).all(|piece| count.see(piece))
    }

    #[test]
    fn floods_are_seen_in_whatever_pieces_they_come_and_work_is_not_taken_for_one() {
        for piece in [1, 7, 16384] {
            for (why, kind, payload) in [
                ("PING", 6, &[0; 8][..]),
                ("SETTINGS", 4, &[]),
                ("RST_STREAM", 3, &[0; 4]),
                ("PRIORITY", 2, &[0; 5]),
                ("empty DATA", 0, &[]),
                ("WINDOW_UPDATE", 8, &[0; 4]),
            ] {
                assert!(seen((0..1000).map(|_| frame(kind, 0, payload)), piece), "a few of {why}");
                assert!(!seen((0..10_000).map(|_| frame(kind, 0, payload)), piece), "a flood of {why}");
            }
            let work = (0..20_000).map(|n| if n % 3 == 0 { frame(1, 5, b"x") } else { frame(8, 0, &[0; 4]) });
            assert!(seen(work, piece), "requests, each with two updates of windows");
            let body =
                (0..20_000).map(|n| if n % 2 == 0 { frame(0, 0, &[1; 100]) } else { frame(6, 0, &[0; 8]) });
            assert!(seen(body, piece), "a body with pings");
        }
    }
}
