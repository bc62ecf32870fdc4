//! Choosing a member: algorithms, the health state machine, when to probe.
//!
//! This crate decides and does nothing: it knows no socket, clock, thread or random source. Time and seeds are arguments.
//! Members are named by their index in the group that they were compiled into (`plan`); an index means nothing outside it.
//!
//! How it is driven. For each target the data plane keeps one [`HealthTable`] and one [`Connections`], shared by all workers,
//! and one [`Picker`] per worker. The prober feeds [`Health::after`] and writes verdicts into the table; a worker asks
//! [`Picker::pick`] for each piece of new work and tells `Connections` when it begins and ends.
//!
//! Before that, [`Stickiness`] may know the member of a client that was here before, and [`WeightedPools`] the pool of a request;
//! [`RateLimiter`] says whether a request is let through at all, [`Shaper`] what a listener or load balancer lets through per second.
//!
//! Some targets have more beside these: [`SlowStart`] changes the weights, [`Standby`] replaces the algorithm, [`Outliers`] takes
//! members out that fail their work, [`Draining`] says what becomes of the work of a member that leaves. [`FlowTable`] remembers
//! where the datagrams of a client go.

pub mod connections;
pub mod drain;
pub mod flows;
pub mod health;
pub mod health_table;
pub mod least_connections;
pub mod maglev;
pub mod mix;
pub mod outliers;
mod pace;
pub mod probe_schedule;
pub mod rate_limit;
pub mod round_robin;
pub mod selection;
pub mod shaper;
pub mod slow_start;
pub mod standby;
pub mod stickiness;
pub mod weighted_pools;

pub use connections::Connections;
pub use drain::{DrainRules, Draining};
pub use flows::{CidKey, Flow, FlowId, FlowKey, FlowTable, MemberSlot};
pub use health::{Health, Probe, Step, Thresholds};
pub use health_table::HealthTable;
pub use least_connections::LeastConnections;
pub use maglev::{Maglev, member_key};
pub use outliers::{OutlierSettings, Outliers, Streak};
pub use probe_schedule::ProbeSchedule;
pub use rate_limit::{Admission, RateLimiter};
pub use round_robin::{RoundRobin, Start};
pub use selection::{MemberIndex, PickContext, Picker, Placement};
pub use shaper::{Shaper, Share};
pub use slow_start::{SlowStart, Warmth};
pub use standby::Standby;
pub use stickiness::{Stick, Stickiness, StickyKey};
pub use weighted_pools::{Dice, WeightedPools};

/// Most members that a group can have: an index is a `u16`, and one value of it stands for "none".
/// Far above every quota (500 by default, behaviour/features.md section 12).
pub const MEMBERS_MAX: usize = u16::MAX as usize;
