//! The verbs of members (huawei/behaviours.md section 8).

pub(crate) mod batch;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use identity::{Action, Caller, Verb};
use model::{
    Kind, LoadBalancer, Member, MemberId, MemberPatch, MemberRole, NetworkId, NewMember, Object, Pool,
    PoolId, Port, QuotaKey,
    pool::{IpVersion, PoolKind},
};
use uuid::Uuid;

pub(crate) use batch::check_batch;
pub use batch::{
    BATCH_MAX, BatchCreated, BatchOutcome, MemberRef, member_create_batch, member_delete_batch,
    member_update_batch,
};

use crate::{
    Control, Error, audit,
    command::{Draft, command},
    pool::ordinary,
};

/// Adds a member to a pool.
pub async fn member_create(
    control: &Control,
    caller: &Caller,
    pool: PoolId,
    new: NewMember,
) -> Result<Arc<Member>, Error> {
    command(control, caller, action(Verb::Create), |draft| create(draft, pool, new.clone())).await
}

/// Changes a member.
pub async fn member_update(
    control: &Control,
    caller: &Caller,
    pool: PoolId,
    id: MemberId,
    patch: MemberPatch,
) -> Result<Arc<Member>, Error> {
    command(control, caller, action(Verb::Put), |draft| update(draft, pool, id, patch.clone())).await
}

/// Removes a member.
pub async fn member_delete(
    control: &Control,
    caller: &Caller,
    pool: PoolId,
    id: MemberId,
) -> Result<(), Error> {
    command(control, caller, action(Verb::Delete), |draft| delete(draft, pool, id)).await
}

const fn action(verb: Verb) -> Action {
    Action::elb("members", verb)
}

pub(crate) fn create(draft: &mut Draft<'_>, pool: PoolId, new: NewMember) -> Result<Arc<Member>, Error> {
    let pool = ordinary(draft, pool)?;
    add(draft, pool, new, None)
}

/// Adds a member to a pool, with its part in an active/standby one.
pub(crate) fn add(
    draft: &mut Draft<'_>,
    mut pool: Arc<Pool>,
    new: NewMember,
    role: Option<MemberRole>,
) -> Result<Arc<Member>, Error> {
    let project = draft.caller.project;
    draft.quota_for_one_more(QuotaKey::Member)?;
    draft.quota(QuotaKey::MembersPerPool, draft.state.member_count(pool.id) + 1)?;
    if pool.ip_version == IpVersion::V4 && new.address.is_ipv6() {
        return Err(Error::MemberNotV4 { address: new.address, pool: pool.id });
    }
    if new.address.is_unspecified()
        || new.address.is_multicast()
        || new.address == IpAddr::V4(Ipv4Addr::BROADCAST)
    {
        return Err(Error::invalid("address", format!("{} is no address of a server", new.address)));
    }
    let port = match (pool.any_port, new.port) {
        (true, _) => None,
        (false, Some(port)) => Some(port),
        (false, None) => return Err(Error::invalid("protocol_port", "is needed")),
    };
    let servers = draft.load_balancers_of(&pool);
    match new.subnet {
        Some(subnet) => {
            let network = check_subnet(draft, &pool, &servers, subnet, new.address)?;
            if pool.network.is_none() {
                pool = Arc::new(Pool { network: Some(network), ..Pool::clone(&pool) });
                draft.put(Object::Pool(pool.clone()));
            }
        }
        None => check_bare(&pool, &servers, new.address)?,
    }
    check_unique(draft, pool.id, new.address, port)?;
    let made = Arc::new(Member {
        id: MemberId::new(Uuid::new_v4()),
        pool: pool.id,
        project,
        name: new.name,
        address: new.address,
        port,
        weight: new.weight,
        subnet: new.subnet,
        zone: new.zone,
        admin_up: new.admin_up,
        role,
        created_at: draft.now,
        updated_at: draft.now,
    });
    draft.claim(claim(&made), made.id);
    draft.put(Object::Member(made.clone()));
    audit::record(draft, "createMember", "member", made.id, made.name.as_str(), Some(&made));
    Ok(made)
}

pub(crate) fn update(
    draft: &mut Draft<'_>,
    pool: PoolId,
    id: MemberId,
    patch: MemberPatch,
) -> Result<Arc<Member>, Error> {
    let pool = ordinary(draft, pool)?;
    let before = draft.member(pool.id, id)?;
    let mut member = Member::clone(&before);
    if let Some(port) = patch.port
        && member.port != Some(port)
    {
        if pool.any_port {
            return Err(Error::invalid(
                "protocol_port",
                "the pool keeps the client's port; its members have none",
            ));
        }
        check_unique(draft, pool.id, member.address, Some(port))?;
        draft.release(claim(&member));
        member.port = Some(port);
        draft.claim(claim(&member), id);
    }
    member.name = patch.name.unwrap_or(member.name);
    member.weight = patch.weight.unwrap_or(member.weight);
    member.zone = patch.zone.or(member.zone);
    member.admin_up = patch.admin_up.unwrap_or(member.admin_up);
    member.updated_at = draft.now;
    let changed = Arc::new(member);
    draft.put(Object::Member(changed.clone()));
    audit::record(draft, "updateMember", "member", id, changed.name.as_str(), Some(&changed));
    Ok(changed)
}

pub(crate) fn delete(draft: &mut Draft<'_>, pool: PoolId, id: MemberId) -> Result<(), Error> {
    let pool = unprotected(draft, pool)?;
    let member = draft.member(pool.id, id)?;
    remove(draft, &member);
    Ok(())
}

pub(crate) fn remove(draft: &mut Draft<'_>, member: &Arc<Member>) {
    draft.release(claim(member));
    draft.delete(Object::Member(member.clone()));
    audit::record(draft, "deleteMember", "member", member.id, member.name.as_str(), audit::NOTHING);
}

/// A pool whose members may be removed.
fn unprotected(draft: &Draft<'_>, pool: PoolId) -> Result<Arc<Pool>, Error> {
    let pool = ordinary(draft, pool)?;
    if pool.member_deletion_protection {
        Err(Error::MemberProtected { pool: pool.id.to_string() })
    } else {
        Ok(pool)
    }
}

pub(crate) fn claim(member: &Member) -> String {
    format!("member/{}/{}", member.pool, written(member.address, member.port))
}

/// Address and port as people write them; `*` for any port.
fn written(address: IpAddr, port: Option<Port>) -> String {
    match (address, port) {
        (IpAddr::V4(address), Some(port)) => format!("{address}:{port}"),
        (IpAddr::V6(address), Some(port)) => format!("[{address}]:{port}"),
        (address, None) => format!("{address}:*"),
    }
}

fn check_unique(draft: &Draft<'_>, pool: PoolId, address: IpAddr, port: Option<Port>) -> Result<(), Error> {
    match draft.state.member_at(pool, address, port) {
        Some(_) => Err(Error::MemberExists { address: written(address, port) }),
        None => Ok(()),
    }
}

/// A member of a subnet: inside it, and in the network of the pool and of all load balancers that it serves.
fn check_subnet(
    draft: &Draft<'_>,
    pool: &Pool,
    servers: &[Arc<LoadBalancer>],
    subnet: model::SubnetId,
    address: IpAddr,
) -> Result<NetworkId, Error> {
    let subnet = draft.state.subnet(subnet).ok_or_else(|| Error::not_found(Kind::Subnet, subnet))?;
    if pool.kind == PoolKind::Ip {
        return Err(Error::invalid(
            "subnet_cidr_id",
            "a pool of type ip takes bare addresses; leave the subnet out",
        ));
    }
    if !subnet.cidr.contains(&address) {
        return Err(Error::invalid("address", format!("{address} is not inside the subnet {}", subnet.cidr)));
    }
    let elsewhere = |network: NetworkId| network != subnet.network;
    if pool.network.is_some_and(elsewhere) || servers.iter().any(|lb| elsewhere(lb.network)) {
        return Err(Error::invalid("subnet_cidr_id", "the subnet is in another VPC than the pool"));
    }
    Ok(subnet.network)
}

/// A bare address: private IPv4, and allowed by every load balancer that the pool serves. A pool that serves none yet is asked
/// again when it is bound.
fn check_bare(pool: &Pool, servers: &[Arc<LoadBalancer>], address: IpAddr) -> Result<(), Error> {
    if pool.kind == PoolKind::Instance {
        return Err(Error::invalid("subnet_cidr_id", "a pool of type instance needs the member's subnet"));
    }
    if let Some(lb) = servers.iter().find(|lb| !lb.ip_targets) {
        return Err(Error::IpTargetsOff { load_balancer: lb.id.to_string() });
    }
    match address {
        IpAddr::V4(v4) if is_private(v4) => Ok(()),
        _ => Err(Error::invalid("address", format!("{address} is no private IPv4 address; give its subnet"))),
    }
}

/// RFC 1918, RFC 6598 (shared by carriers) and loopback, which is where a first run's networks are.
fn is_private(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    address.is_private() || address.is_loopback() || (a == 100 && (64..128).contains(&b))
}

#[cfg(test)]
mod tests;
