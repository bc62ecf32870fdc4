//! Giving out VIPs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Kind, NetworkId, Snapshot, Subnet, SubnetId};
use uuid::Uuid;

use crate::Error;

/// The claim on a VIP.
pub(crate) fn claim(subnet: SubnetId, address: IpAddr) -> String {
    format!("vip/{subnet}/{address}")
}

/// A subnet that VIPs may come from, of the wanted family.
pub(crate) fn subnet(state: &Snapshot, id: SubnetId, v6: bool) -> Result<&Subnet, Error> {
    let subnet = state.subnet(id).ok_or_else(|| Error::not_found(Kind::Subnet, id))?;
    let field = if v6 { "ipv6_vip_virsubnet_id" } else { "vip_subnet_cidr_id" };
    if v6 && subnet.cidr.network().is_ipv4() {
        return Err(Error::SubnetNotV6 { subnet: id });
    }
    if subnet.public {
        return Err(Error::invalid(
            field,
            "that subnet is the pool of public addresses; choose a private subnet",
        ));
    }
    if !v6 && subnet.cidr.network().is_ipv6() {
        return Err(Error::invalid(
            field,
            format!("subnet {id} has no IPv4 addresses; choose a subnet that has"),
        ));
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

/// The wanted address if it is free; none wanted: a low one while there are free ones, so that addresses stay easy to read
/// and to guess on a first run, else any free one.
pub(crate) fn allot(state: &Snapshot, subnet: &Subnet, wanted: Option<IpAddr>) -> Result<IpAddr, Error> {
    let field = if subnet.cidr.network().is_ipv6() { "ipv6_vip_address" } else { "vip_address" };
    let is_taken = |address| state.load_balancer_at(address).is_some();
    match wanted {
        Some(address) if !subnet.offers(address) => Err(Error::invalid(
            field,
            format!("{address} is no usable address of the subnet {}", subnet.cidr),
        )),
        Some(address) if is_taken(address) => Err(taken(address)),
        Some(address) => Ok(address),
        None => free(subnet, Uuid::new_v4().as_u128(), is_taken).ok_or_else(|| Error::AddressTaken {
            reason: format!("subnet {} has no free address left; choose another", subnet.cidr),
        }),
    }
}

/// The refusal of an address that another load balancer has. One machine may hold the VIPs of all networks, so an address is
/// taken in whatever subnet it is taken.
pub(crate) fn taken(address: IpAddr) -> Error {
    Error::AddressTaken {
        reason: format!(
            "address {address} belongs to another load balancer; choose a free one or leave it out"
        ),
    }
}

/// A free address: the lowest where it is among the first few, else the first free one on a walk from a random place. The walk
/// goes in steps of about 0.618 of the subnet, so wherever the gaps are it soon meets one; as the step is odd and the size a
/// power of two, it meets every address once.
fn free(subnet: &Subnet, random: u128, is_taken: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let (first, bits) = match subnet.cidr.network() {
        IpAddr::V4(first) => (u128::from(first.to_bits()), 32 - subnet.cidr.prefix_len()),
        IpAddr::V6(first) => (first.to_bits(), 128 - subnet.cidr.prefix_len()),
    };
    // More addresses than anybody takes; it keeps the sums below inside their 128 bits.
    let bits = bits.min(64);
    let (size, step) = (1_u128 << bits, (GOLDEN >> (64 - bits)) | 1);
    let address = |offset: u128| match subnet.cidr.network() {
        // The sum stays inside the subnet, which is inside 32 bits.
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits((first + offset) as u32)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(first + offset)),
    };
    let start = random % size;
    let lowest = (0..LOWEST.min(size)).map(address);
    let anywhere = (0..size).map(|turn| address((start + turn * step) % size));
    lowest.chain(anywhere).find(|&it| subnet.offers(it) && !is_taken(it))
}

/// So many addresses from the subnet's first are given out in order.
const LOWEST: u128 = 64;
/// 2^64 divided by the golden ratio.
const GOLDEN: u128 = 0x9E37_79B9_7F4A_7C15;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::testing::{self, World};

    fn taken_by_each(world: &mut World, subnet: &Subnet, count: usize) -> Vec<IpAddr> {
        let give = |_| {
            let address = allot(&world.state, subnet, None).unwrap();
            world.state.put(testing::load_balancer_at(address).into());
            address
        };
        (0..count).map(give).collect()
    }

    #[test]
    fn the_first_addresses_are_given_out_in_order_and_given_back_ones_again() {
        let mut world = World::new();
        let subnet = testing::subnet("127.88.0.0/16");
        let given = taken_by_each(&mut world, &subnet, 3);
        assert_eq!(
            given,
            ["127.88.0.2", "127.88.0.3", "127.88.0.4"].map(|text| text.parse::<IpAddr>().unwrap())
        );
        world.state.remove(&model::Object::from(testing::load_balancer_at(given[1])).key());
        assert_eq!(allot(&world.state, &subnet, None).unwrap(), given[1]);
    }

    #[test]
    fn every_offered_address_is_given_out_once_and_then_none() {
        for (cidr, offered) in [("10.0.0.0/29", 5), ("10.1.0.0/22", 1021), ("fd00::/120", 253)] {
            let mut world = World::new();
            let subnet = testing::subnet(cidr);
            let given: HashSet<_> = taken_by_each(&mut world, &subnet, offered).into_iter().collect();
            assert_eq!(given.len(), offered, "{cidr}");
            assert!(given.iter().all(|&address| subnet.offers(address)), "{cidr}");
            let refused = allot(&world.state, &subnet, None).unwrap_err();
            assert_eq!(refused.code(), "address_taken", "{cidr}: {refused}");
        }
    }

    #[test]
    fn huge_subnets_are_no_trouble() {
        for cidr in ["10.0.0.0/8", "fd00::/8", "::/0", "0.0.0.0/0"] {
            let mut world = World::new();
            let given = taken_by_each(&mut world, &testing::subnet(cidr), 300);
            assert_eq!(given.iter().collect::<HashSet<_>>().len(), 300, "{cidr}");
        }
    }

    #[test]
    fn a_nearly_full_subnet_takes_few_looks_wherever_its_gaps_are() {
        let subnet = testing::subnet("127.88.0.0/16");
        let place = |address: IpAddr| match address {
            IpAddr::V4(address) => address.to_bits() & 0xffff,
            IpAddr::V6(_) => unreachable!("the subnet is IPv4"),
        };
        for (why, is_taken) in [
            ("gaps at the end", (|place| place < 60_000) as fn(u32) -> bool),
            ("in the middle", |place| !(30_000..35_000).contains(&place)),
            ("spread evenly", |place| place % 12 != 11),
        ] {
            for random in [0, 1, 2_345, 40_000, 65_535, u128::MAX] {
                let looks = std::cell::Cell::new(0);
                let found = free(&subnet, random, |address| {
                    looks.set(looks.get() + 1);
                    place(address) < 256 || is_taken(place(address))
                });
                assert!(found.is_some() && looks.get() < 200, "{why}, from {random}: {} looks", looks.get());
            }
        }
    }

    #[test]
    fn a_wanted_address_must_be_offered_and_free() {
        let mut world = World::new();
        let subnet = testing::subnet("127.88.0.0/24");
        world.state.put(testing::load_balancer_at([127, 88, 0, 9].into()).into());
        for (why, wanted, expect) in [
            ("a free one", "127.88.0.10", "ok"),
            ("the last one", "127.88.0.254", "ok"),
            ("another's", "127.88.0.9", "address_taken"),
            ("the network's own", "127.88.0.0", "invalid"),
            ("the gateway's", "127.88.0.1", "invalid"),
            ("the broadcast address", "127.88.0.255", "invalid"),
            ("outside", "127.88.1.2", "invalid"),
            ("of the other family", "fd00::7", "invalid"),
        ] {
            let given = allot(&world.state, &subnet, Some(wanted.parse().unwrap()));
            assert_eq!(given.map_or_else(|error| error.code(), |_| "ok"), expect, "{why}");
        }
    }
}
