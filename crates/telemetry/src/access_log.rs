//! Access logs: one line per request, to a file per load balancer, off the request path.
//!
//! The way of a record: a worker writes the finished line into its own [`Lane`]'s buffer; a full buffer, or one that has waited for a
//! moment, goes through a bounded queue to the one writer thread, which appends it to `DIR/<load balancer>.log` and rotates. A full
//! queue drops the buffer and counts its lines: traffic never waits for a disk.
//!
//! The fields and their order are those of behaviour/access-log.md.

mod lane;
mod record;
mod writer;

pub use lane::Lane;
pub use record::{Attempt, Record, Tls};
pub use writer::{AccessLogs, Rotation};
