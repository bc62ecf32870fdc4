//! A network (VPC): the address space that load balancers and members of one kind share. Configured by the operator.

use serde::{Deserialize, Serialize};

use crate::{Name, NetworkId, Timestamp};

/// A network. Networks belong to the site, not to a project: every project sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its id; what dialects call `vpc_id`.
    pub id: NetworkId,
    /// What people call it.
    pub name: Name,
    /// The address space, in CIDR form; subnets lie inside.
    pub cidr: ipnet::IpNet,
    /// When the operator's configuration first named it.
    pub created_at: Timestamp,
}
