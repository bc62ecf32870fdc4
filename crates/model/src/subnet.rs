//! A subnet of a network: where VIPs come from.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Name, NetworkId, SubnetId, Timestamp};

/// A subnet. One id serves for what other clouds tell apart (subnet, its neutron subnet, its neutron network).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its id; what dialects call `vip_subnet_cidr_id` or `subnet_id`.
    pub id: SubnetId,
    /// The network that it is part of.
    pub network: NetworkId,
    /// What people call it.
    pub name: Name,
    /// Its addresses. VIPs are taken from here.
    pub cidr: ipnet::IpNet,
    /// The first address, kept free for a router.
    pub gateway: IpAddr,
    /// Whether VIPs from here are public (an elastic IP pool) rather than private.
    pub public: bool,
    /// When the operator's configuration first named it.
    pub created_at: Timestamp,
}

impl Subnet {
    /// Whether an address may become a VIP here: inside, and none of network address, broadcast address and gateway.
    pub fn offers(&self, address: IpAddr) -> bool {
        self.cidr.contains(&address)
            && address != self.cidr.network()
            && address != self.cidr.broadcast()
            && address != self.gateway
    }
}
