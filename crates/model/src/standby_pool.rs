//! An active/standby pool: a [`crate::Pool`] of exactly two members, of which one serves and the other waits, and a health monitor that
//! says when to change over. It is made whole and never changes (huawei/behaviours.md section 8; slb/mapping.md, Pool and Member).

use crate::{Name, NewMember, NewPool, target::ProbeSettings};

/// What a caller says to create an active/standby pool; defaults are already filled in by the dialect.
#[derive(Clone, Debug)]
pub struct NewStandbyPool {
    /// The pool.
    pub pool: NewPool,
    /// The member that serves while it is healthy; its weight does not count.
    pub master: NewMember,
    /// The member that serves while the master does not.
    pub slave: NewMember,
    /// The name of the health monitor.
    pub monitor_name: Name,
    /// How both are probed.
    pub probe: ProbeSettings,
}
