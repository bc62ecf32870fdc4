//! A member: an address that does a pool's work.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{MemberId, Name, PoolId, Port, ProjectId, SubnetId, Timestamp, Weight};

/// A member of a pool. (address, port) is unique in the pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// The pool that it belongs to.
    pub pool: PoolId,
    /// The owning project, that of its pool.
    pub project: ProjectId,
    /// What people call it; need not be unique.
    pub name: Name,
    /// Its address.
    pub address: IpAddr,
    /// Its port; none: the target's port (any-port pools, or a port kept on the listener).
    pub port: Option<Port>,
    /// Its share of new work.
    pub weight: Weight,
    /// The subnet that the address is in; none: a bare address ("IP target").
    pub subnet: Option<SubnetId>,
    /// The zone that it is in, where said.
    pub zone: Option<String>,
    /// Down: gets no new work.
    pub admin_up: bool,
    /// Its part in an active/standby pool; members of other pools have none.
    #[serde(default)]
    pub role: Option<MemberRole>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed by a caller.
    pub updated_at: Timestamp,
}

/// The part of a member in an active/standby pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberRole {
    /// Serves while it is healthy.
    Master,
    /// Serves while the master is not.
    Slave,
}

/// What a caller says to create a member; defaults are already filled in by the dialect.
#[derive(Clone, Debug)]
pub struct NewMember {
    /// See [`Member::name`].
    pub name: Name,
    /// See [`Member::address`].
    pub address: IpAddr,
    /// See [`Member::port`].
    pub port: Option<Port>,
    /// See [`Member::weight`].
    pub weight: Weight,
    /// See [`Member::subnet`].
    pub subnet: Option<SubnetId>,
    /// See [`Member::zone`].
    pub zone: Option<String>,
    /// See [`Member::admin_up`].
    pub admin_up: bool,
}

/// What a caller says to change a member.
#[derive(Clone, Debug, Default)]
pub struct MemberPatch {
    /// See [`Member::name`].
    pub name: Option<Name>,
    /// See [`Member::port`].
    pub port: Option<Port>,
    /// See [`Member::weight`].
    pub weight: Option<Weight>,
    /// See [`Member::zone`].
    pub zone: Option<String>,
    /// See [`Member::admin_up`].
    pub admin_up: Option<bool>,
}
