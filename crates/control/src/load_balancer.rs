//! The verbs of load balancers (huawei/behaviours.md section 5).

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use identity::{Action, Caller, Verb};
use model::{
    FlavorId, FlavorLayer, Kind, LoadBalancer, LoadBalancerId, LoadBalancerPatch, NetworkId, NewLoadBalancer,
    Object, Patch, Pool, QuotaKey, Subnet, SubnetId, Tag, flavor, load_balancer::Vip,
};
use uuid::Uuid;

use crate::{
    Control, Error, access_log, address, audit,
    command::{Draft, command},
    listener, pool, protection, relations,
};

/// What happens to the pools of a load balancer that is deleted with all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cascade {
    /// Pools that no other load balancer uses. Pools that another one uses are only unbound.
    pub pools: CascadePools,
}

/// See [`Cascade::pools`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CascadePools {
    /// They go too, with members and monitors.
    Delete,
    /// They stay, bound to nothing.
    Unbind,
}

/// Makes a load balancer.
pub async fn load_balancer_create(
    control: &Control,
    caller: &Caller,
    new: NewLoadBalancer,
) -> Result<Arc<LoadBalancer>, Error> {
    command(control, caller, action(Verb::Create), |draft| create(draft, new.clone())).await
}

/// Changes a load balancer.
pub async fn load_balancer_update(
    control: &Control,
    caller: &Caller,
    id: LoadBalancerId,
    patch: LoadBalancerPatch,
) -> Result<Arc<LoadBalancer>, Error> {
    command(control, caller, action(Verb::Put), |draft| update(draft, id, patch.clone())).await
}

/// Deletes a load balancer that has no listeners. Pools made for it stay, bound to nothing.
pub async fn load_balancer_delete(
    control: &Control,
    caller: &Caller,
    id: LoadBalancerId,
) -> Result<(), Error> {
    command(control, caller, action(Verb::Delete), |draft| delete(draft, id)).await
}

/// Deletes a load balancer with its listeners and, as `cascade` says, its pools.
pub async fn load_balancer_delete_cascade(
    control: &Control,
    caller: &Caller,
    id: LoadBalancerId,
    cascade: Cascade,
) -> Result<(), Error> {
    command(control, caller, action(Verb::Delete), |draft| delete_cascade(draft, id, cascade)).await
}

const fn action(verb: Verb) -> Action {
    Action::elb("loadbalancers", verb)
}

pub(crate) fn create(draft: &mut Draft<'_>, new: NewLoadBalancer) -> Result<Arc<LoadBalancer>, Error> {
    let project = draft.caller.project;
    draft.quota_for_one_more(QuotaKey::Loadbalancer)?;
    check_zones(draft, &new.zones)?;
    check_tags(&new.tags)?;
    protection::check(&new.protection)?;
    if new.vip_address.is_some() && new.vip_subnet.is_none() {
        return Err(needs_subnet::<Ipv4Addr>());
    }
    if new.vip_v6_address.is_some() && new.vip_v6_subnet.is_none() {
        return Err(needs_subnet::<Ipv6Addr>());
    }
    let v4 = new.vip_subnet.map(|id| address::subnet(&draft.state, id, false).cloned()).transpose()?;
    let v6 = new.vip_v6_subnet.map(|id| address::subnet(&draft.state, id, true).cloned()).transpose()?;
    let named: Vec<&Subnet> = v4.iter().chain(&v6).collect();
    let network = address::network(&draft.state, new.network, &named)?;
    check_member_subnets(draft, network, &new.member_subnets)?;
    let (l4_flavor, l7_flavor) = match (new.l4_flavor, new.l7_flavor) {
        (None, None) => {
            (Some(flavor::site_default(FlavorLayer::L4).id), Some(flavor::site_default(FlavorLayer::L7).id))
        }
        (l4, l7) => {
            check_flavor("l4_flavor_id", l4, FlavorLayer::L4)?;
            check_flavor("l7_flavor_id", l7, FlavorLayer::L7)?;
            (l4, l7)
        }
    };
    let id = LoadBalancerId::new(Uuid::new_v4());
    let vip = v4.map(|subnet| hold(draft, id, &subnet, new.vip_address)).transpose()?;
    let vip_v6 = v6.map(|subnet| hold(draft, id, &subnet, new.vip_v6_address)).transpose()?;
    let made = Arc::new(LoadBalancer {
        id,
        project,
        name: new.name,
        description: new.description,
        admin_up: new.admin_up,
        network,
        vip,
        vip_v6,
        zones: new.zones,
        l4_flavor,
        l7_flavor,
        bits_per_second_max: new.bits_per_second_max,
        member_subnets: new.member_subnets,
        ip_targets: new.ip_targets,
        deletion_protection: new.deletion_protection,
        protection: new.protection,
        waf_failure: new.waf_failure,
        enterprise_project: new.enterprise_project,
        tags: new.tags,
        created_at: draft.now,
        updated_at: draft.now,
    });
    draft.put(Object::LoadBalancer(made.clone()));
    audit::record(draft, "createLoadbalancer", "loadbalancer", id, made.name.as_str(), Some(&made));
    Ok(made)
}

pub(crate) fn update(
    draft: &mut Draft<'_>,
    id: LoadBalancerId,
    patch: LoadBalancerPatch,
) -> Result<Arc<LoadBalancer>, Error> {
    let mut lb = LoadBalancer::clone(&*draft.load_balancer(id)?);
    check_flavor("l4_flavor_id", patch.l4_flavor, FlavorLayer::L4)?;
    check_flavor("l7_flavor_id", patch.l7_flavor, FlavorLayer::L7)?;
    if lb.ip_targets && patch.ip_targets == Some(false) {
        return Err(Error::Immutable {
            field: "ip_target_enable",
            reason: "it cannot be switched off again",
        });
    }
    lb.protection = protection::patched(&lb.protection, patch.protection)?;
    lb.vip = moved(draft, &lb, lb.vip, patch.vip_subnet, patch.vip_address)?;
    lb.vip_v6 = moved(draft, &lb, lb.vip_v6, patch.vip_v6_subnet, patch.vip_v6_address)?;
    if let Some(subnets) = &patch.member_subnets {
        check_member_subnets(draft, lb.network, subnets)?;
    }
    lb.name = patch.name.unwrap_or(lb.name);
    lb.description = patch.description.unwrap_or(lb.description);
    lb.admin_up = patch.admin_up.unwrap_or(lb.admin_up);
    lb.l4_flavor = patch.l4_flavor.or(lb.l4_flavor);
    lb.l7_flavor = patch.l7_flavor.or(lb.l7_flavor);
    lb.bits_per_second_max = patch.bits_per_second_max.unwrap_or(lb.bits_per_second_max);
    lb.member_subnets = patch.member_subnets.unwrap_or(lb.member_subnets);
    lb.ip_targets = patch.ip_targets.unwrap_or(lb.ip_targets);
    lb.deletion_protection = patch.deletion_protection.unwrap_or(lb.deletion_protection);
    lb.waf_failure = patch.waf_failure.unwrap_or(lb.waf_failure);
    lb.updated_at = draft.now;
    let changed = Arc::new(lb);
    draft.put(Object::LoadBalancer(changed.clone()));
    audit::record(draft, "updateLoadbalancer", "loadbalancer", id, changed.name.as_str(), Some(&changed));
    Ok(changed)
}

pub(crate) fn delete(draft: &mut Draft<'_>, id: LoadBalancerId) -> Result<(), Error> {
    let lb = deletable(draft, id)?;
    if let Some(listener) = draft.state.listeners_of(id).next() {
        return Err(Error::InUse {
            what: format!("load balancer {id}"),
            by: format!(
                "it has listeners, for example {}; delete them first or use the cascade",
                listener.id
            ),
        });
    }
    unbind_pools(draft, id);
    remove(draft, &lb);
    Ok(())
}

pub(crate) fn delete_cascade(
    draft: &mut Draft<'_>,
    id: LoadBalancerId,
    cascade: Cascade,
) -> Result<(), Error> {
    let lb = deletable(draft, id)?;
    let ids = relations::pools_of_load_balancer(&draft.state, &lb);
    let pools: Vec<Arc<Pool>> = ids.into_iter().filter_map(|id| draft.state.pool(id).cloned()).collect();
    if let Some(pool) = pools.iter().find(|pool| pool.member_deletion_protection) {
        return Err(Error::MemberProtected { pool: pool.id.to_string() });
    }
    let listeners: Vec<_> = draft.state.listeners_of(id).cloned().collect();
    listeners.iter().for_each(|listener| listener::remove(draft, listener));
    unbind_pools(draft, id);
    if cascade.pools == CascadePools::Delete {
        for pool in pools {
            // What is left of its relations after the unbinding are other load balancers.
            let pool = draft.pool(pool.id)?;
            if relations::load_balancers_of_pool(&draft.state, &pool).is_empty() {
                pool::remove(draft, &pool);
            }
        }
    }
    remove(draft, &lb);
    Ok(())
}

fn deletable(draft: &Draft<'_>, id: LoadBalancerId) -> Result<Arc<LoadBalancer>, Error> {
    let lb = draft.load_balancer(id)?;
    if lb.deletion_protection { Err(Error::DeletionProtected { id: id.to_string() }) } else { Ok(lb) }
}

fn unbind_pools(draft: &mut Draft<'_>, id: LoadBalancerId) {
    let bound: Vec<_> = draft.state.pools_bound_to(id).cloned().collect();
    for pool in bound {
        draft.put(Pool { load_balancer: None, ..Pool::clone(&pool) });
    }
}

fn remove(draft: &mut Draft<'_>, lb: &Arc<LoadBalancer>) {
    if let Some(log) = draft.state.access_log_of(lb.id).cloned() {
        access_log::remove(draft, &log);
    }
    if let Some(vip) = lb.vip {
        draft.release(address::claim(vip.subnet, vip.address.into()));
    }
    if let Some(vip) = lb.vip_v6 {
        draft.release(address::claim(vip.subnet, vip.address.into()));
    }
    draft.delete(Object::LoadBalancer(lb.clone()));
    audit::record(draft, "deleteLoadbalancer", "loadbalancer", lb.id, lb.name.as_str(), audit::NOTHING);
}

/// The VIP of one family after a change. Giving the subnet up gives the VIP up; in the same subnet the address stays unless
/// another one is wanted.
fn moved<A: Family>(
    draft: &mut Draft<'_>,
    lb: &LoadBalancer,
    now: Option<Vip<A>>,
    subnet: Patch<SubnetId>,
    wanted: Option<A>,
) -> Result<Option<Vip<A>>, Error> {
    let subnet_now = now.map(|vip| vip.subnet);
    let subnet = match subnet.resolve(subnet_now.as_ref()) {
        None if wanted.is_some() => return Err(needs_subnet::<A>()),
        None => None,
        Some(&id) => {
            let stays = |vip: Vip<A>| vip.subnet == id && wanted.is_none_or(|wanted| wanted == vip.address);
            if now.is_some_and(stays) {
                return Ok(now);
            }
            let subnet = address::subnet(&draft.state, id, A::V6)?.clone();
            address::network(&draft.state, Some(lb.network), &[&subnet])?;
            Some(subnet)
        }
    };
    let after = subnet.map(|subnet| hold(draft, lb.id, &subnet, wanted)).transpose()?;
    if let Some(vip) = now {
        draft.release(address::claim(vip.subnet, vip.address.into()));
    }
    Ok(after)
}

fn hold<A: Family>(
    draft: &mut Draft<'_>,
    id: LoadBalancerId,
    subnet: &Subnet,
    wanted: Option<A>,
) -> Result<Vip<A>, Error> {
    let given = address::allot(&draft.state, subnet, wanted.map(Into::into))?;
    let address = A::of(given)
        .ok_or_else(|| Error::invalid(A::SUBNET, "that subnet has addresses of the other family"))?;
    draft.claim(address::claim(subnet.id, given), id);
    Ok(Vip { subnet: subnet.id, address, port_id: Uuid::new_v4() })
}

fn needs_subnet<A: Family>() -> Error {
    Error::invalid(A::ADDRESS, format!("an address needs {}", A::SUBNET))
}

/// IPv4 or IPv6: what differs between the two VIPs of a load balancer.
trait Family: Copy + PartialEq + Into<IpAddr> {
    const V6: bool;
    /// What the API calls the VIP's subnet.
    const SUBNET: &'static str = if Self::V6 { "ipv6_vip_virsubnet_id" } else { "vip_subnet_cidr_id" };
    /// What the API calls the VIP.
    const ADDRESS: &'static str = if Self::V6 { "ipv6_vip_address" } else { "vip_address" };
    fn of(address: IpAddr) -> Option<Self>;
}

impl Family for Ipv4Addr {
    const V6: bool = false;
    fn of(address: IpAddr) -> Option<Self> {
        if let IpAddr::V4(address) = address { Some(address) } else { None }
    }
}

impl Family for Ipv6Addr {
    const V6: bool = true;
    fn of(address: IpAddr) -> Option<Self> {
        if let IpAddr::V6(address) = address { Some(address) } else { None }
    }
}

/// The subnets that members are reached from must be of the load balancer's network.
fn check_member_subnets(draft: &Draft<'_>, network: NetworkId, subnets: &[Uuid]) -> Result<(), Error> {
    for id in subnets.iter().copied().map(SubnetId::new) {
        let subnet = draft.state.subnet(id).ok_or_else(|| Error::not_found(Kind::Subnet, id))?;
        if subnet.network != network {
            return Err(Error::invalid(
                "elb_virsubnet_ids",
                format!("subnet {id} is in another VPC than the load balancer"),
            ));
        }
    }
    Ok(())
}

fn check_zones(draft: &Draft<'_>, zones: &[String]) -> Result<(), Error> {
    if zones.is_empty() {
        return Err(Error::invalid("availability_zone_list", "at least one zone is needed"));
    }
    let known = |code: &&String| !draft.site.zones.iter().any(|zone| zone.code == **code);
    match zones.iter().find(known) {
        Some(code) => Err(Error::invalid("availability_zone_list", format!("there is no zone '{code}'"))),
        None => Ok(()),
    }
}

/// At most 20, no key twice (huawei/behaviours.md section 16).
pub(crate) fn check_tags(tags: &[Tag]) -> Result<(), Error> {
    if tags.len() > Tag::PER_OBJECT_MAX {
        return Err(Error::invalid("tags", format!("at most {} tags are allowed", Tag::PER_OBJECT_MAX)));
    }
    let mut keys = HashSet::new();
    match tags.iter().find(|tag| !keys.insert(tag.key())) {
        Some(tag) => Err(Error::invalid("tags", format!("the key '{}' stands twice", tag.key()))),
        None => Ok(()),
    }
}

fn check_flavor(field: &'static str, id: Option<FlavorId>, layer: FlavorLayer) -> Result<(), Error> {
    let Some(id) = id else { return Ok(()) };
    match flavor::by_id(id) {
        Some(flavor) if flavor.layer == layer => Ok(()),
        Some(flavor) => Err(Error::invalid(
            field,
            format!("flavor {} is for {:?}, not {layer:?}", flavor.name, flavor.layer),
        )),
        None => Err(Error::invalid(field, format!("there is no flavor {id}"))),
    }
}

#[cfg(test)]
mod tests;
