//! Giving out VIPs.

use std::{collections::HashSet, net::IpAddr};

use model::{Kind, NetworkId, Snapshot, Subnet, SubnetId};

use crate::Error;

/// The claim on a VIP.
pub(crate) fn claim(subnet: SubnetId, address: IpAddr) -> String {
    format!("vip/{subnet}/{address}")
}

/// A subnet that VIPs may come from, of the wanted family.
pub(crate) fn subnet(state: &Snapshot, id: SubnetId, v6: bool) -> Result<&Subnet, Error> {
    let subnet = state.subnet(id).ok_or_else(|| Error::not_found(Kind::Subnet, id))?;
    let field = if v6 { "ipv6_vip_virsubnet_id" } else { "vip_subnet_cidr_id" };
    if subnet.public {
        return Err(Error::invalid(
            field,
            "that subnet is the pool of public addresses; choose a private subnet",
        ));
    }
    if subnet.cidr.network().is_ipv6() != v6 {
        let family = if v6 { "IPv6" } else { "IPv4" };
        return Err(Error::invalid(field, format!("subnet {id} has no {family} addresses")));
    }
    Ok(subnet)
}

/// The one network that all named places are in.
pub(crate) fn network(
    state: &Snapshot,
    said: Option<NetworkId>,
    subnets: &[&Subnet],
) -> Result<NetworkId, Error> {
    if let Some(id) = said
        && state.network(id).is_none()
    {
        return Err(Error::not_found(Kind::Network, id));
    }
    let mut all = said.into_iter().chain(subnets.iter().map(|subnet| subnet.network));
    let Some(network) = all.next() else {
        return Err(Error::invalid(
            "vpc_id",
            "one of vpc_id, vip_subnet_cidr_id and ipv6_vip_virsubnet_id is needed",
        ));
    };
    if all.any(|other| other != network) {
        return Err(Error::invalid("vpc_id", "the subnets and the VPC must belong together"));
    }
    Ok(network)
}

/// The wanted address if it is free, else the lowest free one.
pub(crate) fn allot(state: &Snapshot, subnet: &Subnet, wanted: Option<IpAddr>) -> Result<IpAddr, Error> {
    let taken: HashSet<IpAddr> =
        state.load_balancers().values().flat_map(|lb| lb.vips().collect::<Vec<_>>()).collect();
    let field = if subnet.cidr.network().is_ipv6() { "ipv6_vip_address" } else { "vip_address" };
    match wanted {
        Some(address) if !subnet.offers(address) => Err(Error::invalid(
            field,
            format!("{address} is no usable address of the subnet {}", subnet.cidr),
        )),
        Some(address) if taken.contains(&address) => Err(Error::AddressTaken {
            reason: format!(
                "address {address} belongs to another load balancer; choose a free one or leave it out"
            ),
        }),
        Some(address) => Ok(address),
        None => subnet
            .cidr
            .hosts()
            .find(|address| subnet.offers(*address) && !taken.contains(address))
            .ok_or_else(|| Error::AddressTaken {
                reason: format!("subnet {} has no free address left; choose another", subnet.cidr),
            }),
    }
}
