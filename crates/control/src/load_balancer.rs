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
    Control, Error, address, audit,
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
mod tests {
    use model::{
        Description, Name,
        load_balancer::{Protection, ProtectionPatch},
        pool::PoolKind,
    };

    use super::*;
    use crate::testing::{
        NETWORK, OTHER_NETWORK, OTHER_SUBNET, PUBLIC_SUBNET, SECOND_SUBNET, SUBNET, SUBNET_V6, World, http,
        new_listener, new_load_balancer, new_pool, tag,
    };

    const NOBODY: SubnetId = SubnetId::new(Uuid::from_u128(0xdead));

    type Adjust = fn(&mut NewLoadBalancer);
    type Change = fn(&mut LoadBalancerPatch);

    #[test]
    fn a_create_is_held_to_its_rules() {
        let wrong_layer = flavor::site_default(FlavorLayer::L4).id;
        for (why, adjust, expect) in [
            ("a subnet alone is enough", (|_| {}) as Adjust, "ok"),
            ("so is a network alone", |new| (new.vip_subnet, new.network) = (None, Some(NETWORK)), "ok"),
            ("or an IPv6 subnet", |new| (new.vip_subnet, new.vip_v6_subnet) = (None, Some(SUBNET_V6)), "ok"),
            ("both families, one network", |new| new.vip_v6_subnet = Some(SUBNET_V6), "ok"),
            ("network and subnet that belong together", |new| new.network = Some(NETWORK), "ok"),
            ("nothing to live in", |new| new.vip_subnet = None, "vpc_id"),
            ("a subnet of another network", |new| new.network = Some(OTHER_NETWORK), "vpc_id"),
            (
                "a network that is not there",
                |new| new.network = Some(NetworkId::new(Uuid::nil())),
                "not_found",
            ),
            ("a subnet that is not there", |new| new.vip_subnet = Some(NOBODY), "not_found"),
            ("a pool of public addresses", |new| new.vip_subnet = Some(PUBLIC_SUBNET), "vip_subnet_cidr_id"),
            ("an IPv6 subnet for IPv4", |new| new.vip_subnet = Some(SUBNET_V6), "vip_subnet_cidr_id"),
            ("an IPv4 subnet for IPv6", |new| new.vip_v6_subnet = Some(SUBNET), "subnet_not_v6"),
            ("a wanted address", |new| new.vip_address = Some([127, 88, 7, 7].into()), "ok"),
            ("an address outside", |new| new.vip_address = Some([127, 89, 7, 7].into()), "vip_address"),
            (
                "an address without a subnet",
                |new| {
                    (new.vip_subnet, new.network) = (None, Some(NETWORK));
                    new.vip_address = Some([127, 88, 7, 7].into());
                },
                "vip_address",
            ),
            (
                "an IPv6 address without a subnet",
                |new| new.vip_v6_address = Some(Ipv6Addr::LOCALHOST),
                "ipv6_vip_address",
            ),
            ("two zones", |new| new.zones = vec!["a".to_owned(), "b".to_owned()], "ok"),
            ("no zone", |new| new.zones = Vec::new(), "availability_zone_list"),
            ("an unknown zone", |new| new.zones.push("c".to_owned()), "availability_zone_list"),
            ("subnets to reach members from", |new| new.member_subnets = vec![SECOND_SUBNET.uuid()], "ok"),
            ("of another network", |new| new.member_subnets = vec![OTHER_SUBNET.uuid()], "elb_virsubnet_ids"),
            ("that are not there", |new| new.member_subnets = vec![NOBODY.uuid()], "not_found"),
            ("twenty tags", |new| new.tags = (0..20).map(|n| tag(&n.to_string())).collect(), "ok"),
            ("one more", |new| new.tags = (0..21).map(|n| tag(&n.to_string())).collect(), "tags"),
            ("a key twice", |new| new.tags = vec![tag("k"), tag("k")], "tags"),
            ("an unknown flavor", |new| new.l7_flavor = Some(FlavorId::new(Uuid::nil())), "l7_flavor_id"),
            (
                "a reason without markup",
                |new| new.protection = Protection::Console { reason: "why".try_into().unwrap() },
                "ok",
            ),
            (
                "a reason with markup",
                |new| new.protection = Protection::Console { reason: "<b>".try_into().unwrap() },
                "protection_reason",
            ),
        ] {
            let mut new = new_load_balancer();
            adjust(&mut new);
            assert_eq!(World::new().blame(|draft| create(draft, new)), expect, "{why}");
        }
        let new = NewLoadBalancer { l7_flavor: Some(wrong_layer), ..new_load_balancer() };
        assert_eq!(
            World::new().blame(|draft| create(draft, new)),
            "l7_flavor_id",
            "a flavor of the other layer"
        );
    }

    #[test]
    fn without_a_flavor_it_gets_both_of_the_site_and_with_one_only_that() {
        let mut world = World::new();
        let lb = world.load_balancer();
        assert_eq!(
            (lb.l4_flavor, lb.l7_flavor),
            (Some(flavor::site_default(FlavorLayer::L4).id), Some(flavor::site_default(FlavorLayer::L7).id))
        );
        let small = flavor::CATALOGUE[0].id;
        let lb = world.load_balancer_with(|new| new.l4_flavor = Some(small));
        assert_eq!((lb.l4_flavor, lb.l7_flavor), (Some(small), None));
        let new = model::NewListener { service: http(), ..new_listener(lb.id, 80) };
        assert_eq!(world.blame(|draft| listener::create(draft, new)), "protocol", "no layer 7, no HTTP");
        world.listener(lb.id, 80);
    }

    #[test]
    fn the_addresses_come_from_the_subnets_and_are_held() {
        let mut world = World::new();
        let lb = world.load_balancer_with(|new| new.vip_v6_subnet = Some(SUBNET_V6));
        assert_eq!(lb.vips().map(|vip| vip.to_string()).collect::<Vec<_>>(), ["127.88.0.2", "fd00:88::2"]);
        let twin = NewLoadBalancer { vip_address: Some([127, 88, 0, 2].into()), ..new_load_balancer() };
        assert_eq!(world.code(|draft| create(draft, twin)), "address_taken");
        let bare = world.load_balancer_with(|new| (new.vip_subnet, new.network) = (None, Some(NETWORK)));
        assert_eq!((bare.network, bare.vip, bare.vip_v6), (NETWORK, None, None));
    }

    #[test]
    fn an_update_is_held_to_its_rules() {
        let reason = |text: &str| ProtectionPatch { reason: Some(text.try_into().unwrap()), console: None };
        for (why, change, expect) in [
            ("nothing said", (|_| {}) as Change, "ok"),
            ("a name", |patch| patch.name = Some(Name::try_from("x").unwrap()), "ok"),
            ("bare members, on", |patch| patch.ip_targets = Some(true), "ok"),
            ("a flavor of the layer", |patch| patch.l4_flavor = Some(flavor::CATALOGUE[1].id), "ok"),
            ("of the other", |patch| patch.l4_flavor = Some(flavor::CATALOGUE[13].id), "l4_flavor_id"),
            ("the VIP given up", |patch| patch.vip_subnet = Patch::Clear, "ok"),
            ("another subnet", |patch| patch.vip_subnet = Patch::Set(SECOND_SUBNET), "ok"),
            ("of another network", |patch| patch.vip_subnet = Patch::Set(OTHER_SUBNET), "vpc_id"),
            ("another address", |patch| patch.vip_address = Some([127, 88, 9, 9].into()), "ok"),
            ("outside", |patch| patch.vip_address = Some([127, 89, 0, 9].into()), "vip_address"),
            (
                "an address without a subnet",
                |patch| {
                    patch.vip_subnet = Patch::Clear;
                    patch.vip_address = Some([127, 88, 9, 9].into());
                },
                "vip_address",
            ),
            ("IPv6 as well", |patch| patch.vip_v6_subnet = Patch::Set(SUBNET_V6), "ok"),
            ("subnets of members", |patch| patch.member_subnets = Some(vec![NOBODY.uuid()]), "not_found"),
            ("protected", |patch| patch.protection.console = Some(true), "ok"),
        ] {
            let mut world = World::new();
            let id = world.load_balancer().id;
            let mut patch = LoadBalancerPatch::default();
            change(&mut patch);
            assert_eq!(world.blame(|draft| update(draft, id, patch)), expect, "{why}");
        }
        let mut world = World::new();
        let id = world.load_balancer().id;
        let patch = LoadBalancerPatch { protection: reason("why"), ..Default::default() };
        assert_eq!(world.blame(|draft| update(draft, id, patch.clone())), "protection_reason", "unprotected");
    }

    #[test]
    fn an_update_changes_what_was_said_and_nothing_else() {
        let mut world = World::new();
        let before = world.load_balancer_with(|new| new.vip_v6_subnet = Some(SUBNET_V6));
        let patch = LoadBalancerPatch {
            name: Some("renamed".try_into().unwrap()),
            admin_up: Some(false),
            ..LoadBalancerPatch::default()
        };
        let after = world.run(|draft| update(draft, before.id, patch)).unwrap();
        assert!(after.updated_at > before.updated_at);
        let expect = LoadBalancer {
            name: "renamed".try_into().unwrap(),
            admin_up: false,
            updated_at: after.updated_at,
            ..LoadBalancer::clone(&before)
        };
        assert_eq!(*after, expect);
    }

    #[test]
    fn bare_members_are_never_switched_off_again() {
        let mut world = World::new();
        let id = world.load_balancer_with(|new| new.ip_targets = true).id;
        let off = LoadBalancerPatch { ip_targets: Some(false), ..Default::default() };
        assert_eq!(world.code(|draft| update(draft, id, off)), "immutable");
        let id = world.load_balancer().id;
        let off = LoadBalancerPatch { ip_targets: Some(false), ..Default::default() };
        assert_eq!(world.code(|draft| update(draft, id, off)), "ok", "what is off may be told to be off");
    }

    #[test]
    fn a_vip_moves_and_its_old_address_is_free_again() {
        let mut world = World::new();
        let lb = world.load_balancer();
        let old = lb.vip.unwrap();
        let same = LoadBalancerPatch { vip_subnet: Patch::Set(SUBNET), ..Default::default() };
        assert_eq!(
            world.run(|draft| update(draft, lb.id, same)).unwrap().vip,
            Some(old),
            "no reason to move"
        );
        let own = LoadBalancerPatch { vip_address: Some(old.address), ..Default::default() };
        assert_eq!(world.run(|draft| update(draft, lb.id, own)).unwrap().vip, Some(old), "its own address");
        let away = LoadBalancerPatch { vip_subnet: Patch::Set(SECOND_SUBNET), ..Default::default() };
        let moved = world.run(|draft| update(draft, lb.id, away)).unwrap().vip.unwrap();
        assert_eq!((moved.subnet, moved.address), (SECOND_SUBNET, [127, 89, 0, 2].into()));
        assert_eq!(world.load_balancer().vip.unwrap().address, old.address, "given to the next");
        let back = LoadBalancerPatch {
            vip_subnet: Patch::Set(SUBNET),
            vip_address: Some(old.address),
            ..Default::default()
        };
        assert_eq!(world.code(|draft| update(draft, lb.id, back)), "address_taken");
        let gone = LoadBalancerPatch { vip_subnet: Patch::Clear, ..Default::default() };
        assert_eq!(world.run(|draft| update(draft, lb.id, gone)).unwrap().vip, None);
    }

    #[test]
    fn unprotecting_clears_the_reason() {
        let mut world = World::new();
        let id = world.load_balancer().id;
        let mut after = |console, reason: Option<&str>| {
            let reason = reason.map(|text| Description::try_from(text).unwrap());
            let protection = ProtectionPatch { console, reason };
            let patch = LoadBalancerPatch { protection, ..Default::default() };
            world.run(|draft| update(draft, id, patch)).map(|lb| lb.protection.clone()).ok()
        };
        let protected = |text: &str| Some(Protection::Console { reason: text.try_into().unwrap() });
        assert_eq!(after(Some(true), Some("why")), protected("why"));
        assert_eq!(after(None, Some("because")), protected("because"));
        assert_eq!(after(None, Some("<")), None);
        assert_eq!(after(Some(true), None), protected("because"));
        assert_eq!(after(Some(false), Some("why")), None, "a reason for no protection");
        assert_eq!(after(Some(false), None), Some(Protection::None));
        assert_eq!(after(Some(true), None), protected(""));
    }

    #[test]
    fn deletion_protection_blocks_every_way_to_delete() {
        let mut world = World::new();
        let id = world.load_balancer_with(|new| new.deletion_protection = true).id;
        assert_eq!(world.code(|draft| delete(draft, id)), "deletion_protected");
        for pools in [CascadePools::Delete, CascadePools::Unbind] {
            assert_eq!(
                world.code(|draft| delete_cascade(draft, id, Cascade { pools })),
                "deletion_protected"
            );
        }
        let off = LoadBalancerPatch { deletion_protection: Some(false), ..Default::default() };
        world.run(|draft| update(draft, id, off)).unwrap();
        assert_eq!(world.code(|draft| delete(draft, id)), "ok");
    }

    #[test]
    fn modification_protection_blocks_nothing() {
        let mut world = World::new();
        let protection = Protection::Console { reason: Description::default() };
        let id = world.load_balancer_with(|new| new.protection = protection).id;
        let patch = LoadBalancerPatch { admin_up: Some(false), ..Default::default() };
        assert_eq!(world.code(|draft| update(draft, id, patch)), "ok");
        assert_eq!(world.code(|draft| delete(draft, id)), "ok");
    }

    #[test]
    fn a_delete_needs_its_listeners_gone_and_unbinds_its_pools() {
        let mut world = World::new();
        let lb = world.load_balancer();
        let pool = world.pool(lb.id);
        let listener = world.listener(lb.id, 80);
        assert_eq!(world.code(|draft| delete(draft, lb.id)), "in_use");
        world.run(|draft| listener::delete(draft, listener.id)).unwrap();
        world.run(|draft| delete(draft, lb.id)).unwrap();
        assert_eq!(world.state.load_balancer(lb.id), None);
        assert_eq!(world.state.pool(pool.id).unwrap().load_balancer, None);
        assert_eq!(world.code(|draft| delete(draft, lb.id)), "not_found", "a second time");
    }

    /// A load balancer with a pool of its own (a member, a monitor) behind a listener, and one pool shared with another.
    fn busy(world: &mut World) -> (Arc<LoadBalancer>, Arc<Pool>, Arc<Pool>) {
        let (lb, other) = (world.load_balancer(), world.load_balancer());
        let (own, shared) = (world.pool(lb.id), world.shared_pool());
        world.listener_to(lb.id, 80, own.id);
        world.listener_to(lb.id, 81, shared.id);
        world.listener_to(other.id, 80, shared.id);
        for pool in [&own, &shared] {
            world.member(pool.id, "127.88.1.1", 8080);
            world.monitor(pool.id);
        }
        (lb, own, shared)
    }

    #[test]
    fn a_cascade_deletes_its_own_pools_and_unbinds_shared_ones() {
        let mut world = World::new();
        let (lb, own, shared) = busy(&mut world);
        world.run(|draft| delete_cascade(draft, lb.id, Cascade { pools: CascadePools::Delete })).unwrap();
        assert_eq!((world.state.load_balancers().len(), world.state.listeners().len()), (1, 1));
        assert!(world.state.pool(own.id).is_none() && world.state.monitor_of(own.id).is_none());
        assert_eq!((world.state.member_count(own.id), world.state.member_count(shared.id)), (0, 1));
        assert_eq!(world.state.listeners_using(shared.id).count(), 1, "the other load balancer's");
    }

    #[test]
    fn a_cascade_may_leave_the_pools() {
        let mut world = World::new();
        let (lb, own, shared) = busy(&mut world);
        world.run(|draft| delete_cascade(draft, lb.id, Cascade { pools: CascadePools::Unbind })).unwrap();
        assert_eq!(world.state.load_balancers().len(), 1);
        for pool in [own.id, shared.id] {
            assert_eq!(world.state.member_count(pool), 1);
            assert!(world.state.monitor_of(pool).is_some());
        }
        assert_eq!(world.state.pool(own.id).unwrap().load_balancer, None);
        assert_eq!(world.state.listeners_using(own.id).count(), 0);
    }

    #[test]
    fn a_pool_that_was_made_for_it_but_serves_another_is_only_unbound() {
        let mut world = World::new();
        let (lb, other) = (world.load_balancer(), world.load_balancer());
        let pool = world.pool_with(|new| {
            (new.kind, new.network) = (PoolKind::Instance, Some(NETWORK));
            new.load_balancer = Some(lb.id);
        });
        world.listener_to(other.id, 80, pool.id);
        world.run(|draft| delete_cascade(draft, lb.id, Cascade { pools: CascadePools::Delete })).unwrap();
        assert_eq!(world.state.pool(pool.id).unwrap().load_balancer, None);
        assert_eq!(world.state.listeners_using(pool.id).count(), 1);
    }

    #[test]
    fn protected_members_of_any_of_its_pools_stop_a_cascade_whole() {
        for pools in [CascadePools::Delete, CascadePools::Unbind] {
            let mut world = World::new();
            let (lb, ..) = busy(&mut world);
            let new =
                model::NewPool { load_balancer: Some(lb.id), member_deletion_protection: true, ..new_pool() };
            world.run(|draft| pool::create(draft, new)).unwrap();
            let before = world.state.clone();
            assert_eq!(
                world.code(|draft| delete_cascade(draft, lb.id, Cascade { pools })),
                "member_protected"
            );
            assert!(world.state.objects().eq(before.objects()));
        }
    }

    #[test]
    fn another_projects_load_balancer_is_not_there() {
        let mut world = World::new();
        let id = world.load_balancer().id;
        world.as_other_project();
        assert_eq!(world.code(|draft| update(draft, id, LoadBalancerPatch::default())), "not_found");
        assert_eq!(world.code(|draft| delete(draft, id)), "not_found");
        let cascade = Cascade { pools: CascadePools::Delete };
        assert_eq!(world.code(|draft| delete_cascade(draft, id, cascade)), "not_found");
        assert_eq!(world.code(|draft| listener::create(draft, new_listener(id, 80))), "not_found");
        let pool = model::NewPool { load_balancer: Some(id), ..new_pool() };
        assert_eq!(world.code(|draft| pool::create(draft, pool)), "not_found");
    }

    #[test]
    fn a_quota_is_a_limit_and_minus_one_is_none() {
        for (limit, expect) in [(0, "quota_exceeded"), (1, "ok"), (-1, "ok")] {
            let mut world = World::new();
            world.site.quotas.insert(QuotaKey::Loadbalancer, limit);
            assert_eq!(world.code(|draft| create(draft, new_load_balancer())), expect, "{limit}");
        }
        let mut world = World::new();
        world.site.quotas.insert(QuotaKey::Loadbalancer, 1);
        let id = world.load_balancer().id;
        assert_eq!(world.code(|draft| create(draft, new_load_balancer())), "quota_exceeded");
        world.run(|draft| delete(draft, id)).unwrap();
        world.load_balancer();
        world.as_other_project();
        assert_eq!(world.code(|draft| create(draft, new_load_balancer())), "ok", "each project has its own");
    }
}
