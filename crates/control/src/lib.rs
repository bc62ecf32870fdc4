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

mod access_log;
mod address;
mod audit;
pub mod bootstrap;
mod certificate;
mod command;
mod control;
mod error;
mod health_monitor;
mod ip_group;
mod listener;
mod load_balancer;
mod member;
mod member_check;
mod policy;
mod pool;
mod protection;
mod quota;
pub mod relations;
mod rule;
mod security_policy;
mod standby_pool;
pub mod statuses;
#[cfg(test)]
mod testing;
mod view;
#[cfg(test)]
mod walk;

pub use access_log::{access_log_create, access_log_delete, access_log_update};
pub use certificate::{
    CertificatesDeleted, PemFault, certificate_create, certificate_delete, certificate_delete_batch,
    certificate_facts, certificate_update, private_key_echo_update,
};
pub use control::{Control, Site};
pub use error::Error;
pub use health_monitor::{health_monitor_create, health_monitor_delete, health_monitor_update};
pub use ip_group::{
    ip_group_create, ip_group_delete, ip_group_entries_put, ip_group_entries_remove, ip_group_update,
};
pub use listener::{listener_create, listener_delete, listener_delete_force, listener_update};
pub use load_balancer::{
    Cascade, CascadePools, load_balancer_create, load_balancer_delete, load_balancer_delete_cascade,
    load_balancer_update,
};
pub use member::{
    BATCH_MAX, BatchCreated, BatchOutcome, MemberRef, member_create, member_create_batch, member_delete,
    member_delete_batch, member_update, member_update_batch,
};
pub use member_check::{Probes, member_check, member_check_create};
pub use policy::{policy_create, policy_delete, policy_priorities_update, policy_update};
pub use pool::{pool_create, pool_delete, pool_delete_batch, pool_delete_cascade, pool_update};
pub use quota::{quota_update, quota_usage};
pub use rule::{rule_create, rule_delete, rule_update};
pub use security_policy::{security_policy_create, security_policy_delete, security_policy_update};
pub use standby_pool::{standby_pool_create, standby_pool_delete};
pub use view::View;
