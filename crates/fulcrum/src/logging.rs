//! Logs: one line each, to standard error.

use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

/// Starts logging; `filter` was checked with the configuration (key `log`).
pub(crate) fn start(filter: &str) {
    let targets: Targets = filter.parse().unwrap_or_default();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    // Only a second call could fail, and there is none.
    let _ = tracing_subscriber::registry().with(lines).with(targets).try_init();
}
