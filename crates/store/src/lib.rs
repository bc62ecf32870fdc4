//! Objects, claims, the change feed and the audit traces, in one transaction; on SQLite or PostgreSQL.
//!
//! One commit is one command is one revision. A commit names the revision that it was decided on and is refused when that is
//! not the newest any more ([`CommitError::Stale`]): so a rule that was checked holds when the change lands, and revisions
//! become visible in order, without gaps, for whoever follows the feed.
//!
//! [`Replica`] is the reader's side: the whole snapshot in memory, kept current by the feed.
//!
//! What it does not do: it knows no rule of the model. Whether a listener may exist is `control`'s business; here only claims
//! (`port/<lb>/tcp/443`) are unique, because the database alone can decide a race between two control planes.
//!
//! Both databases run the same statements through sqlx's `Any` driver. SQLite runs in WAL mode with `synchronous=FULL`: a
//! commit that answered survives a crash of the process and of the machine.

mod batch;
mod body;
mod database;
mod error;
mod feed;
mod key;
mod replica;
mod seal;
mod store;
mod traces;

pub use batch::{Batch, Claim};
pub use body::{opened_keys, sealed_keys};
pub use database::Location;
pub use error::{CommitError, Error, OpenError};
pub use feed::{Change, Feed};
pub use key::{KeyError, MasterKey};
pub use replica::Replica;
pub use seal::{BadSeal, open, seal};
pub use store::Store;
pub use traces::TraceFilter;
