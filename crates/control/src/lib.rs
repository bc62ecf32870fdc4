//! The verbs and the rules: the only writer of the model.
//!
//! One command = one transaction = one revision = one audit trace. A command looks up what it touches, holds the rules
//! (references, clashes, quotas, protection), writes, and answers when the change is durable and the local node runs on it.
//! A refused command changes nothing.
//!
//! Verbs are functions named noun first (`pool_create`); each noun has its file. They know no wire format and no HTTP: a dialect
//! translates, and turns an [`Error`] into its vendor's status and code in one place.
//!
//! Reads go through a [`View`]: the newest snapshot and the newest facts, as one project may see them. Whether the caller may
//! read at all is asked of `identity::authorize` by the dialect, with the action of the operation.
//!
//! Source of the rules: huawei/behaviours.md; where a rule is its reader's inference there, the comment says so.

mod address;
mod audit;
pub mod bootstrap;
mod command;
mod control;
mod error;
mod health_monitor;
mod listener;
mod load_balancer;
mod member;
mod pool;
mod protection;
mod quota;
pub mod relations;
pub mod statuses;
#[cfg(test)]
mod testing;
mod view;
#[cfg(test)]
mod walk;

pub use control::{Control, Site};
pub use error::Error;
pub use health_monitor::{health_monitor_create, health_monitor_delete, health_monitor_update};
pub use listener::{listener_create, listener_delete, listener_delete_force, listener_update};
pub use load_balancer::{
    Cascade, CascadePools, load_balancer_create, load_balancer_delete, load_balancer_delete_cascade,
    load_balancer_update,
};
pub use member::{
    BATCH_MAX, BatchCreated, BatchOutcome, MemberRef, member_create, member_create_batch, member_delete,
    member_delete_batch, member_update, member_update_batch,
};
pub use pool::{pool_create, pool_delete, pool_delete_batch, pool_delete_cascade, pool_update};
pub use quota::{quota_update, quota_usage};
pub use view::View;
