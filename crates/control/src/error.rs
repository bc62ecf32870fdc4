//! Why a command was refused. No variant knows of HTTP: each dialect maps them to its statuses and codes.

use std::net::IpAddr;

use model::{Kind, ListenerId, PolicyId, PoolId, Port, Priority, QuotaKey, SubnetId, Transport};

use crate::certificate::PemFault;

/// Why a command was refused; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object is not there, or is another project's.
    #[error("{} {id} does not exist", kind.as_str().replace('_', " "))]
    NotFound {
        /// What was looked for.
        kind: Kind,
        /// Its id, as given.
        id: String,
    },
    /// The caller's role does not allow it.
    #[error(transparent)]
    Denied(#[from] identity::Denied),
    /// A value does not fit the rules.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field, as Huawei's API v3 calls it (the first dialect; another one translates).
        field: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// The field cannot be changed any more.
    #[error("{field} cannot be changed: {reason}")]
    Immutable {
        /// The field, as Huawei's API v3 calls it.
        field: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// Something still refers to the object.
    #[error("{what} is in use: {by}")]
    InUse {
        /// The object.
        what: String,
        /// Who uses it and what to do first.
        by: String,
    },
    /// The port is another listener's.
    #[error(
        "port {port}/{transport} is taken by listener {holder}; choose another port or delete that listener"
    )]
    PortTaken {
        /// The port.
        port: Port,
        /// What it is a port of.
        transport: Transport,
        /// Who has it.
        holder: ListenerId,
    },
    /// A certificate or key is not as it must be.
    #[error("{field}: {fault}")]
    Certificate {
        /// The field, as Huawei's API v3 calls it.
        field: &'static str,
        /// What is wrong with it.
        fault: PemFault,
    },
    /// The priority is another policy's of the listener.
    #[error(
        "priority {priority} is taken by policy {holder}; choose another, or set both priorities at once"
    )]
    PriorityTaken {
        /// The priority.
        priority: Priority,
        /// Who has it.
        holder: PolicyId,
    },
    /// The address is another load balancer's, or none is left.
    #[error("{reason}")]
    AddressTaken {
        /// Which address or subnet, and what to do.
        reason: String,
    },
    /// The pool has a member of that address and port.
    #[error("the pool has a member {address} already; choose another address or port")]
    MemberExists {
        /// Address and port.
        address: String,
    },
    /// The project may not own more.
    #[error("the quota '{}' of {limit} is used up; delete something or ask for more", key.as_str())]
    QuotaExceeded {
        /// Which quota.
        key: QuotaKey,
        /// The limit.
        limit: i64,
    },
    /// The load balancer is protected from deletion.
    #[error("load balancer {id} has deletion protection; switch it off first")]
    DeletionProtected {
        /// Its id.
        id: String,
    },
    /// The pool's members are protected from removal.
    #[error("the members of pool {pool} have removal protection; switch it off first")]
    MemberProtected {
        /// The pool's id.
        pool: String,
    },
    /// A member without a subnet needs a load balancer that allows bare addresses.
    #[error(
        "load balancer {load_balancer} does not take bare addresses as members; enable IP targets on it or give a subnet"
    )]
    IpTargetsOff {
        /// The load balancer's id.
        load_balancer: String,
    },
    /// An IPv6 VIP was wanted from a subnet that has no IPv6 addresses.
    #[error("subnet {subnet} has no IPv6 addresses; choose a subnet that has")]
    SubnetNotV6 {
        /// The subnet's id.
        subnet: SubnetId,
    },
    /// A member with an IPv6 address, in a pool of IPv4.
    #[error("address {address} is IPv6, and pool {pool} takes IPv4 members only; give an IPv4 address")]
    MemberNotV4 {
        /// The member's address.
        address: IpAddr,
        /// The pool's id.
        pool: PoolId,
    },
    /// Another object holds what the command claims, though nothing else shows it.
    #[error("{what} is held by {holder}; choose another")]
    Taken {
        /// The claim.
        what: String,
        /// Who holds it.
        holder: String,
    },
    /// The check is not one that this process remembers, or is another project's.
    #[error("check {id} is not known; begin another one")]
    UnknownCheck {
        /// Its id.
        id: String,
    },
    /// Other commands kept coming first.
    #[error("too many other changes at the same time; try again")]
    Busy,
    /// The store failed; the text is for the log, not for callers.
    #[error("the store failed; the change was not made as far as is known")]
    Store(#[source] store::Error),
}

impl Error {
    /// The error's stable name; docs and tests rely on it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::Denied(_) => "denied",
            Self::Invalid { .. } => "invalid",
            Self::Immutable { .. } => "immutable",
            Self::InUse { .. } => "in_use",
            Self::PortTaken { .. } => "port_taken",
            Self::Certificate { fault, .. } => fault.code(),
            Self::PriorityTaken { .. } => "priority_taken",
            Self::AddressTaken { .. } => "address_taken",
            Self::MemberExists { .. } => "member_exists",
            Self::QuotaExceeded { .. } => "quota_exceeded",
            Self::DeletionProtected { .. } => "deletion_protected",
            Self::MemberProtected { .. } => "member_protected",
            Self::IpTargetsOff { .. } => "ip_targets_off",
            Self::SubnetNotV6 { .. } => "subnet_not_v6",
            Self::MemberNotV4 { .. } => "member_not_v4",
            Self::Taken { .. } => "taken",
            Self::UnknownCheck { .. } => "unknown_check",
            Self::Busy => "busy",
            Self::Store(_) => "store",
        }
    }

    pub(crate) fn not_found(kind: Kind, id: impl ToString) -> Self {
        Self::NotFound { kind, id: id.to_string() }
    }

    pub(crate) fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { field, reason: reason.into() }
    }
}
