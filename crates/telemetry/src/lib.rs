//! Counters, and what is made of them.
//!
//! The data plane counts into blocks that belong to one worker each ([`ListenerCounters`], [`MemberCounters`]); the reader sums
//! over workers. So counting costs a plain addition, and no two cores write to one cache line.
//!
//! Each request is counted once, from its outcome ([`ListenerCounters::record`]): increments sprinkled over branches drift.
//!
//! Requests are written down by [`access_log`].
//!
//! What it does not do: it holds no history (whoever scrapes does), and it knows no socket.

pub mod access_log;
mod certificate;
mod counter;
mod listener;
mod member;
mod openmetrics;
mod process;
mod registry;
mod tls;

pub use access_log::AccessLogs;
pub use certificate::CertificateCounters;
pub use counter::{Counter, Gauge};
pub use listener::{ListenerCounters, ODDITIES, Outcome, OwnAnswer};
pub use member::{Attempt, MemberCounters};
pub use openmetrics::render_openmetrics;
pub use registry::Registry;
pub use tls::{TlsCounters, TlsFailure};
