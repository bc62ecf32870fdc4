//! Networks and subnets: where VIPs come from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use model::Name;

use super::{names, reader::Section};

/// A network (VPC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkConfig {
    /// Its name, unique.
    pub(crate) name: Name,
    /// Its address space, of one family; all subnets of that family lie inside.
    pub(crate) cidr: IpNet,
    /// Its subnets; at least one.
    pub(crate) subnets: Vec<SubnetConfig>,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubnetConfig {
    /// Its name, unique in its network.
    pub(crate) name: Name,
    /// Its addresses; overlaps no other subnet of any network.
    pub(crate) cidr: IpNet,
    /// The address that is never given out.
    pub(crate) gateway: IpAddr,
    /// Whether VIPs from here are public.
    pub(crate) public: bool,
}

/// The networks of the document, or the default ones. None comes with a mistake noted.
pub(super) fn read(root: &mut Section<'_, '_>) -> Option<Vec<NetworkConfig>> {
    let Some(sections) = root.sections("networks") else { return Some(default_networks()) };
    if sections.is_empty() {
        root.mistake(root.at, "networks is empty; leave it out for the default ones");
        return None;
    }
    let mut networks: Vec<NetworkConfig> = Vec::new();
    let mut whole = true;
    for mut section in sections {
        let at = section.at;
        let Some(network) = network(&mut section, &networks) else {
            whole = false;
            section.finish();
            continue;
        };
        if networks.iter().any(|other| other.name == network.name) {
            section.mistake(at, format!("networks.name = {:?} is used twice", network.name.as_str()));
        }
        networks.push(network);
        section.finish();
    }
    whole.then_some(networks)
}

fn network(section: &mut Section<'_, '_>, before: &[NetworkConfig]) -> Option<NetworkConfig> {
    let at = section.at;
    let name = section.required("name", names::name);
    let cidr = section.text("cidr", |text| text.parse::<IpNet>().ok());
    let mut subnets: Vec<SubnetConfig> = Vec::new();
    let mut whole = true;
    let sections = section.sections("subnets").unwrap_or_default();
    if sections.is_empty() {
        section.mistake(
            at,
            "networks.subnets is missing; a network needs at least one table [[networks.subnets]]",
        );
        whole = false;
    }
    for mut below in sections {
        let at = below.at;
        let subnet = subnet(&mut below);
        if let Some(subnet) = subnet {
            let others = before.iter().flat_map(|network| &network.subnets).chain(&subnets);
            for other in others.filter(|other| overlap(&other.cidr, &subnet.cidr)) {
                let words = format!("networks.subnets.cidr = {} overlaps {}", subnet.cidr, other.cidr);
                below.mistake(at, words);
            }
            if subnets.iter().any(|other| other.name == subnet.name) {
                below
                    .mistake(at, format!("networks.subnets.name = {:?} is used twice", subnet.name.as_str()));
            }
            subnets.push(subnet);
        } else {
            whole = false;
        }
        below.finish();
    }
    let (name, at) = (name?.value, cidr.as_ref().map_or(at, |cidr| cidr.at));
    let cidr = match cidr {
        Some(cidr) => cidr.value.trunc(),
        None => supernet(subnets.iter().map(|subnet| subnet.cidr))?,
    };
    for subnet in outside(&cidr, &subnets) {
        section.mistake(at, format!("networks.cidr = {cidr} does not hold the subnet {}", subnet.cidr));
    }
    whole.then_some(NetworkConfig { name, cidr, subnets })
}

/// Subnets that do not lie inside the network's block. It is of one family, and does not speak of subnets of the other, as long as there are
/// some of its own.
fn outside<'s>(block: &IpNet, subnets: &'s [SubnetConfig]) -> impl Iterator<Item = &'s SubnetConfig> {
    let block = *block;
    let same = move |subnet: &SubnetConfig| subnet.cidr.max_prefix_len() == block.max_prefix_len();
    let none = !subnets.iter().any(same);
    subnets.iter().filter(move |subnet| (none || same(subnet)) && !block.contains(&subnet.cidr))
}

fn subnet(section: &mut Section<'_, '_>) -> Option<SubnetConfig> {
    let name = section.required("name", names::name);
    let cidr = section.required("cidr", block);
    let public = section.boolean("public").unwrap_or(false);
    let given = cidr.as_ref().map(|cidr| cidr.value);
    let gateway = section.text("gateway", |text| {
        let address: IpAddr = text.parse().ok()?;
        given.is_none_or(|cidr| cidr.contains(&address)).then_some(address)
    });
    let (name, cidr) = (name?.value, cidr?.value);
    let gateway = gateway.map(|gateway| gateway.value).or_else(|| gateway_of(cidr))?;
    Some(SubnetConfig { name, cidr, gateway, public })
}

/// A block with room for a gateway and a VIP.
fn block(text: &str) -> Option<IpNet> {
    let block: IpNet = text.parse().ok()?;
    (block.max_prefix_len() - block.prefix_len() >= 2).then(|| block.trunc())
}

/// The first address after the network's own, for both families: IPv6 blocks have no network address, but routers take that one.
/// 127.0.0.1 is this machine's own and may well be wanted as VIP; there the last address is kept free.
fn gateway_of(block: IpNet) -> Option<IpAddr> {
    match block {
        IpNet::V4(block) => {
            let first = Ipv4Addr::from_bits(block.network().to_bits().checked_add(1)?);
            let last = Ipv4Addr::from_bits(block.broadcast().to_bits().checked_sub(1)?);
            Some(if first == Ipv4Addr::LOCALHOST { last } else { first }.into())
        }
        IpNet::V6(block) => Some(Ipv6Addr::from_bits(block.network().to_bits().checked_add(1)?).into()),
    }
}

fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

/// The smallest block that holds all; of the IPv4 ones, if both families are there.
fn supernet(blocks: impl Iterator<Item = IpNet> + Clone) -> Option<IpNet> {
    let first =
        blocks.clone().find(|block| matches!(block, IpNet::V4(_))).or_else(|| blocks.clone().next())?;
    let same = |block: &IpNet| block.max_prefix_len() == first.max_prefix_len();
    let mut whole = first;
    for block in blocks.filter(same) {
        while !whole.contains(&block) {
            whole = whole.supernet()?;
        }
    }
    Some(whole)
}

fn default_networks() -> Vec<NetworkConfig> {
    let name = |text: &str| names::name(text).expect("the default is legal");
    let subnet = |text: &str, second: u8, public: bool| SubnetConfig {
        name: name(text),
        cidr: IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, second, 0, 0), 16)),
        gateway: Ipv4Addr::new(127, second, 0, 1).into(),
        public,
    };
    let network = |text: &str, subnet: SubnetConfig| NetworkConfig {
        name: name(text),
        cidr: subnet.cidr,
        subnets: vec![subnet],
    };
    vec![network("default", subnet("default", 88, false)), network("public", subnet("public", 99, true))]
}

#[cfg(test)]
mod tests {
    use ipnet::Ipv6Net;

    use super::*;

    #[test]
    fn the_smallest_block_holds_all_and_is_no_larger_than_needed() {
        for (blocks, expect) in [
            (vec!["127.88.0.0/16"], Some("127.88.0.0/16")),
            (vec!["127.88.0.0/16", "127.99.0.0/16"], Some("127.64.0.0/10")),
            (vec!["10.0.0.0/24", "10.0.1.0/24"], Some("10.0.0.0/23")),
            (vec!["fd00::/64", "10.0.0.0/24"], Some("10.0.0.0/24")),
            (vec!["fd00::/64", "fd00:0:0:1::/64"], Some("fd00::/63")),
            (vec![], None),
        ] {
            let parsed: Vec<IpNet> = blocks.iter().map(|block| block.parse().unwrap()).collect();
            assert_eq!(
                supernet(parsed.into_iter()),
                expect.map(|block| block.parse().unwrap()),
                "{blocks:?}"
            );
        }
    }

    #[test]
    fn a_network_may_have_subnets_of_both_families_and_its_block_holds_those_of_its_own() {
        for (cidr, subnets, expect) in [
            ("10.0.0.0/16", &["10.0.1.0/24", "fd00::/64"][..], &[][..]),
            ("fd00::/48", &["10.0.1.0/24", "fd00::/64"], &[]),
            ("10.0.0.0/16", &["10.1.0.0/24", "fd00::/64"], &["10.1.0.0/24"]),
            ("fd00::/48", &["10.0.1.0/24"], &["10.0.1.0/24"]),
        ] {
            let subnets: Vec<_> = subnets
                .iter()
                .map(|cidr| SubnetConfig {
                    name: names::name("n").unwrap(),
                    cidr: cidr.parse().unwrap(),
                    gateway: Ipv4Addr::LOCALHOST.into(),
                    public: false,
                })
                .collect();
            let found: Vec<_> =
                outside(&cidr.parse().unwrap(), &subnets).map(|subnet| subnet.cidr.to_string()).collect();
            assert_eq!(found, expect, "{cidr}");
        }
    }

    #[test]
    fn the_gateway_is_the_first_address_that_is_not_this_machine() {
        for (block, expect) in
            [("127.88.0.0/16", "127.88.0.1"), ("fd00::/64", "fd00::1"), ("127.0.0.0/8", "127.255.255.254")]
        {
            assert_eq!(gateway_of(block.parse().unwrap()), Some(expect.parse().unwrap()), "{block}");
        }
    }

    #[test]
    fn both_families_count_as_blocks() {
        let v6 = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 127));
        for (text, fits) in
            [("127.0.0.0/8", true), ("10.0.0.0/30", true), ("10.0.0.0/31", false), (&v6.to_string(), false)]
        {
            assert_eq!(block(text).is_some(), fits, "{text}");
        }
    }
}
