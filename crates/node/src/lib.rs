//! One machine's agent: it follows the feed, compiles, applies, and reports facts.
//!
//! [`start`] comes before the store is opened: the last good plan is read from disk and served at once, so traffic needs neither
//! store nor control plane (static stability). [`Node::follow`] then reconciles with every snapshot of the replica: the same
//! path at start, after a change and after a missed message, because each time the whole snapshot is compiled against what runs.
//! Before a process gives its place to another, [`Node::rest`] ends that.
//!
//! What is kept on disk is the snapshot's data-plane part, not the compiled plan: compiling takes milliseconds and is the same code
//! for every source.

mod agent;
mod last_good;

pub use agent::{Config, Node, start};
pub use last_good::{LastGood, LastGoodError};
