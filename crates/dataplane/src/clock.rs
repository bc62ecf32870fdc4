//! The time that all threads of the process share.

use std::{sync::LazyLock, time::Instant};

/// Milliseconds since the process first asked.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(BEGAN.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The same in nanoseconds.
pub(crate) fn now_ns() -> u64 {
    u64::try_from(BEGAN.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
