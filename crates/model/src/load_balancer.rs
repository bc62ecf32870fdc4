//! A load balancer: the address (VIP) on which listeners are reached, and what holds for all of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Description, FlavorId, LoadBalancerId, Name, NetworkId, Patch, ProjectId, SubnetId, Tag, Timestamp,
};

/// A load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// Its id.
    pub id: LoadBalancerId,
    /// The owning project.
    pub project: ProjectId,
    /// What people call it; need not be unique.
    pub name: Name,
    /// A remark.
    pub description: Description,
    /// Down: no listener of it takes traffic.
    pub admin_up: bool,
    /// The network that its VIPs and members live in.
    pub network: NetworkId,
    /// Its private IPv4 VIP; none while no IPv4 subnet is bound.
    pub vip: Option<Vip<Ipv4Addr>>,
    /// Its IPv6 VIP.
    pub vip_v6: Option<Vip<Ipv6Addr>>,
    /// Zone codes that it serves from; never empty.
    pub zones: Vec<String>,
    /// Size for listeners of layer 4; none: no such listeners.
    pub l4_flavor: Option<FlavorId>,
    /// Size for listeners of layer 7; none: no such listeners.
    pub l7_flavor: Option<FlavorId>,
    /// Most bits per second of all its listeners together, of each direction; 0: no limit but those of its flavors.
    #[serde(default)]
    pub bits_per_second_max: u64,
    /// Subnets that it reaches members from, as said by the caller.
    pub member_subnets: Vec<Uuid>,
    /// Whether members may be bare addresses outside the network. Never goes back to false.
    pub ip_targets: bool,
    /// True: it cannot be deleted by any call.
    pub deletion_protection: bool,
    /// A mark that consoles honour.
    pub protection: Protection,
    /// What happens to requests when a web application firewall does not answer; kept for the operator.
    pub waf_failure: WafFailure,
    /// A grouping over regions; none is written "0".
    pub enterprise_project: Option<Uuid>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed by a caller.
    pub updated_at: Timestamp,
}

impl LoadBalancer {
    /// All addresses on which it is reached.
    pub fn vips(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.vip.as_ref().map(|vip| IpAddr::V4(vip.address));
        let v6 = self.vip_v6.as_ref().map(|vip| IpAddr::V6(vip.address));
        v4.into_iter().chain(v6)
    }
}

/// A VIP: an address of a subnet, held by one load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vip<A> {
    /// The subnet that the address is from.
    pub subnet: SubnetId,
    /// The address.
    pub address: A,
    /// Names the attachment (`vip_port_id`).
    pub port_id: Uuid,
}

/// Modification protection: kept and shown; consoles honour it, the APIs do not (huawei/behaviours.md section 5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protection {
    /// Not protected.
    #[default]
    None,
    /// Protected in the console, with the reason given.
    Console {
        /// Why; maybe empty.
        reason: Description,
    },
}

/// A change of [`Protection`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProtectionPatch {
    /// Protect or not; not protecting clears the reason.
    pub console: Option<bool>,
    /// Why; only legal while protected.
    pub reason: Option<Description>,
}

/// What to do with requests while the web application firewall is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WafFailure {
    /// Send them to members.
    #[default]
    Forward,
    /// Drop them.
    Discard,
}

/// What a caller says to create a load balancer; defaults are already filled in by the dialect.
#[derive(Clone, Debug)]
pub struct NewLoadBalancer {
    /// See [`LoadBalancer::name`].
    pub name: Name,
    /// See [`LoadBalancer::description`].
    pub description: Description,
    /// See [`LoadBalancer::admin_up`].
    pub admin_up: bool,
    /// The network; none: taken from a subnet.
    pub network: Option<NetworkId>,
    /// The subnet for the IPv4 VIP; none: no IPv4 VIP.
    pub vip_subnet: Option<SubnetId>,
    /// The wanted address in `vip_subnet`; none: a free one is taken.
    pub vip_address: Option<Ipv4Addr>,
    /// The subnet for the IPv6 VIP; none: no IPv6 VIP.
    pub vip_v6_subnet: Option<SubnetId>,
    /// The wanted address in `vip_v6_subnet`.
    pub vip_v6_address: Option<Ipv6Addr>,
    /// See [`LoadBalancer::zones`].
    pub zones: Vec<String>,
    /// See [`LoadBalancer::l4_flavor`]; with neither flavor the site's default pair is used.
    pub l4_flavor: Option<FlavorId>,
    /// See [`LoadBalancer::l7_flavor`].
    pub l7_flavor: Option<FlavorId>,
    /// See [`LoadBalancer::bits_per_second_max`].
    pub bits_per_second_max: u64,
    /// See [`LoadBalancer::member_subnets`].
    pub member_subnets: Vec<Uuid>,
    /// See [`LoadBalancer::ip_targets`].
    pub ip_targets: bool,
    /// See [`LoadBalancer::deletion_protection`].
    pub deletion_protection: bool,
    /// See [`LoadBalancer::protection`].
    pub protection: Protection,
    /// See [`LoadBalancer::waf_failure`].
    pub waf_failure: WafFailure,
    /// See [`LoadBalancer::enterprise_project`].
    pub enterprise_project: Option<Uuid>,
    /// See [`LoadBalancer::tags`].
    pub tags: Vec<Tag>,
}

/// What a caller says to change a load balancer; `None` and [`Patch::Keep`] leave a field as it is.
#[derive(Clone, Debug, Default)]
pub struct LoadBalancerPatch {
    /// See [`LoadBalancer::name`].
    pub name: Option<Name>,
    /// See [`LoadBalancer::description`].
    pub description: Option<Description>,
    /// See [`LoadBalancer::admin_up`].
    pub admin_up: Option<bool>,
    /// The subnet of the IPv4 VIP; clearing gives the VIP up.
    pub vip_subnet: Patch<SubnetId>,
    /// The IPv4 VIP's address in the (new) subnet.
    pub vip_address: Option<Ipv4Addr>,
    /// The subnet of the IPv6 VIP; clearing gives the VIP up.
    pub vip_v6_subnet: Patch<SubnetId>,
    /// The IPv6 VIP's address in the (new) subnet.
    pub vip_v6_address: Option<Ipv6Addr>,
    /// See [`LoadBalancer::l4_flavor`].
    pub l4_flavor: Option<FlavorId>,
    /// See [`LoadBalancer::l7_flavor`].
    pub l7_flavor: Option<FlavorId>,
    /// See [`LoadBalancer::bits_per_second_max`].
    pub bits_per_second_max: Option<u64>,
    /// See [`LoadBalancer::member_subnets`]; replaces the whole list.
    pub member_subnets: Option<Vec<Uuid>>,
    /// See [`LoadBalancer::ip_targets`].
    pub ip_targets: Option<bool>,
    /// See [`LoadBalancer::deletion_protection`].
    pub deletion_protection: Option<bool>,
    /// See [`LoadBalancer::protection`].
    pub protection: ProtectionPatch,
    /// See [`LoadBalancer::waf_failure`].
    pub waf_failure: Option<WafFailure>,
}
