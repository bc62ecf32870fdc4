//! The verbs of pools (huawei/behaviours.md section 7).

mod member_tls;
mod outlier_detection;

use std::sync::Arc;

use identity::{Action, Caller, Verb};
use model::{
    Algorithm, Kind, Listener, NewPool, Object, Patch, Pool, PoolId, PoolPatch, PoolProtocol, QuotaKey,
    StickyMinutes,
    pool::{PoolKind, Stickiness},
};
use uuid::Uuid;

use crate::{
    BatchOutcome, Control, Error, audit,
    command::{Draft, command},
    health_monitor, listener, member,
    member::check_batch,
    protection,
};

/// Makes a pool; with `listener` it becomes that listener's default pool.
pub async fn pool_create(control: &Control, caller: &Caller, new: NewPool) -> Result<Arc<Pool>, Error> {
    command(control, caller, action(Verb::Create), |draft| create(draft, new.clone())).await
}

/// Changes a pool.
pub async fn pool_update(
    control: &Control,
    caller: &Caller,
    id: PoolId,
    patch: PoolPatch,
) -> Result<Arc<Pool>, Error> {
    command(control, caller, action(Verb::Put), |draft| update(draft, id, patch.clone())).await
}

/// Deletes a pool that has neither members nor a health monitor and that no policy names. Listeners lose it as their default.
pub async fn pool_delete(control: &Control, caller: &Caller, id: PoolId) -> Result<(), Error> {
    command(control, caller, action(Verb::Delete), |draft| delete(draft, id)).await
}

/// Deletes a pool that no policy names, with its members and its health monitor.
pub async fn pool_delete_cascade(control: &Control, caller: &Caller, id: PoolId) -> Result<(), Error> {
    command(control, caller, action(Verb::Delete), |draft| delete_cascade(draft, id)).await
}

/// Deletes several pools at once, under the rule of [`pool_delete`]; all or none of those that exist.
pub async fn pool_delete_batch(
    control: &Control,
    caller: &Caller,
    ids: Vec<PoolId>,
) -> Result<Vec<(PoolId, BatchOutcome)>, Error> {
    command(control, caller, action(Verb::Delete), |draft| delete_batch(draft, &ids)).await
}

const fn action(verb: Verb) -> Action {
    Action::elb("pools", verb)
}

pub(crate) fn create(draft: &mut Draft<'_>, new: NewPool) -> Result<Arc<Pool>, Error> {
    make(draft, new, false)
}

/// Makes a pool, maybe an active/standby one, still without members.
pub(crate) fn make(draft: &mut Draft<'_>, new: NewPool, standby: bool) -> Result<Arc<Pool>, Error> {
    let project = draft.caller.project;
    draft.quota_for_one_more(QuotaKey::Pool)?;
    protection::check(&new.protection)?;
    let listener = new.listener.map(|id| draft.listener(id)).transpose()?;
    let lb = new.load_balancer.map(|id| draft.load_balancer(id)).transpose()?;
    if listener.is_none() && lb.is_none() && new.kind == PoolKind::Any {
        return Err(Error::invalid("type", "one of listener_id, loadbalancer_id and type is needed"));
    }
    if let Some(listener) = &listener {
        free_for_default(listener)?;
        if lb.as_ref().is_some_and(|lb| lb.id != listener.load_balancer) {
            return Err(Error::invalid(
                "listener_id",
                "the listener belongs to another load balancer than loadbalancer_id",
            ));
        }
    }
    if let Some(network) = new.network
        && draft.state.network(network).is_none()
    {
        return Err(Error::not_found(Kind::Network, network));
    }
    let made = Arc::new(Pool {
        id: PoolId::new(Uuid::new_v4()),
        project,
        name: new.name,
        description: new.description,
        admin_up: new.admin_up,
        protocol: new.protocol,
        algorithm: new.algorithm,
        stickiness: stickiness(new.protocol, new.stickiness)?,
        ip_version: new.ip_version,
        slow_start: new.slow_start,
        member_deletion_protection: new.member_deletion_protection,
        network: new.network,
        kind: new.kind,
        any_port: new.any_port,
        drain: new.drain,
        all_down_forward: new.all_down_forward,
        member_tls: new.member_tls,
        member_proxy_protocol: new.member_proxy_protocol,
        quic_cid_hash: match new.protocol {
            PoolProtocol::Quic => Some(new.quic_cid_hash.unwrap_or_default()),
            _ => new.quic_cid_hash,
        },
        standby,
        outlier_detection: new.outlier_detection,
        load_balancer: new.load_balancer,
        protection: new.protection,
        enterprise_project: new.enterprise_project,
        created_at: draft.now,
        updated_at: draft.now,
    });
    check(&made)?;
    member_tls::check(draft, &made)?;
    if let Some(lb) = &lb {
        listener::reach::check_members(draft, lb, &made, "vpc_id")?;
    }
    draft.put(Object::Pool(made.clone()));
    if let Some(listener) = &listener {
        listener::adopt(draft, listener, made.id)?;
    }
    audit::record(draft, "createPool", "pool", made.id, made.name.as_str(), Some(&made));
    Ok(made)
}

pub(crate) fn update(draft: &mut Draft<'_>, id: PoolId, patch: PoolPatch) -> Result<Arc<Pool>, Error> {
    let mut pool = Pool::clone(&*ordinary(draft, id)?);
    if let Some(network) = patch.network
        && pool.network != Some(network)
    {
        if pool.network.is_some() {
            return Err(Error::Immutable { field: "vpc_id", reason: "the pool is in a VPC already" });
        }
        if draft.state.network(network).is_none() {
            return Err(Error::not_found(Kind::Network, network));
        }
        pool.network = Some(network);
    }
    if let Some(kind) = patch.kind
        && kind != pool.kind
    {
        if pool.kind != PoolKind::Any {
            return Err(Error::Immutable { field: "type", reason: "it can only be set while it is empty" });
        }
        let unfit =
            |subnet: bool| (kind == PoolKind::Instance && !subnet) || (kind == PoolKind::Ip && subnet);
        if draft.state.members_of(id).any(|member| unfit(member.subnet.is_some())) {
            return Err(Error::invalid("type", "the pool has members of the other type"));
        }
        pool.kind = kind;
    }
    if let Some(any_port) = patch.any_port
        && any_port != pool.any_port
    {
        if draft.state.member_count(id) > 0 {
            return Err(Error::invalid("any_port_enable", "cannot change while the pool has members"));
        }
        if any_port && draft.state.monitor_of(id).is_some_and(|monitor| monitor.probe.port.is_none()) {
            return Err(Error::invalid("any_port_enable", "the health monitor needs a monitor_port first"));
        }
        pool.any_port = any_port;
    }
    match patch.stickiness {
        Patch::Set(wanted) => pool.stickiness = stickiness(pool.protocol, Some(wanted))?,
        Patch::Clear => pool.stickiness = None,
        Patch::Keep => {}
    }
    patch.slow_start.apply(&mut pool.slow_start);
    patch.drain.apply(&mut pool.drain);
    patch.member_tls.apply(&mut pool.member_tls);
    patch.outlier_detection.apply(&mut pool.outlier_detection);
    pool.protection = protection::patched(&pool.protection, patch.protection)?;
    pool.name = patch.name.unwrap_or(pool.name);
    pool.description = patch.description.unwrap_or(pool.description);
    pool.admin_up = patch.admin_up.unwrap_or(pool.admin_up);
    pool.algorithm = patch.algorithm.unwrap_or(pool.algorithm);
    pool.member_deletion_protection =
        patch.member_deletion_protection.unwrap_or(pool.member_deletion_protection);
    pool.all_down_forward = patch.all_down_forward.unwrap_or(pool.all_down_forward);
    patch.member_proxy_protocol.apply(&mut pool.member_proxy_protocol);
    pool.quic_cid_hash = patch.quic_cid_hash.or(pool.quic_cid_hash);
    pool.updated_at = draft.now;
    check(&pool)?;
    member_tls::check(draft, &pool)?;
    for lb in draft.load_balancers_of(&pool) {
        if pool.network.is_some_and(|network| network != lb.network) {
            return Err(Error::invalid(
                "vpc_id",
                format!("the pool serves load balancer {}, which is in another VPC", lb.id),
            ));
        }
    }
    let changed = Arc::new(pool);
    draft.put(Object::Pool(changed.clone()));
    audit::record(draft, "updatePool", "pool", id, changed.name.as_str(), Some(&changed));
    Ok(changed)
}

pub(crate) fn delete(draft: &mut Draft<'_>, id: PoolId) -> Result<(), Error> {
    let pool = ordinary(draft, id)?;
    let by = if draft.state.member_count(id) > 0 {
        "it has members; remove them first"
    } else if draft.state.monitor_of(id).is_some() {
        "it has a health monitor; delete that first"
    } else {
        check_no_policies(draft, id)?;
        remove(draft, &pool);
        return Ok(());
    };
    Err(Error::InUse { what: format!("pool {id}"), by: by.to_owned() })
}

/// A pool that policies name stays.
fn check_no_policies(draft: &Draft<'_>, id: PoolId) -> Result<(), Error> {
    match draft.state.policies_using(id).next() {
        None => Ok(()),
        Some(policy) => Err(Error::InUse {
            what: format!("pool {id}"),
            by: format!(
                "policy {} of listener {} sends to it; change that first",
                policy.id, policy.listener
            ),
        }),
    }
}

pub(crate) fn delete_cascade(draft: &mut Draft<'_>, id: PoolId) -> Result<(), Error> {
    let pool = ordinary(draft, id)?;
    if pool.member_deletion_protection {
        return Err(Error::MemberProtected { pool: id.to_string() });
    }
    check_no_policies(draft, id)?;
    remove(draft, &pool);
    Ok(())
}

pub(crate) fn delete_batch(
    draft: &mut Draft<'_>,
    ids: &[PoolId],
) -> Result<Vec<(PoolId, BatchOutcome)>, Error> {
    check_batch("pools", ids.len())?;
    let one = |&id: &PoolId| match delete(draft, id) {
        Ok(()) => Ok((id, BatchOutcome::Done)),
        Err(Error::NotFound { .. }) => Ok((id, BatchOutcome::NotFound)),
        Err(error) => Err(error),
    };
    ids.iter().map(one).collect()
}

/// Removes a pool with all that hangs below it; listeners lose it as their default.
pub(crate) fn remove(draft: &mut Draft<'_>, pool: &Arc<Pool>) {
    let members: Vec<_> = draft.state.members_of(pool.id).cloned().collect();
    members.iter().for_each(|member| member::remove(draft, member));
    if let Some(monitor) = draft.state.monitor_of(pool.id).cloned() {
        health_monitor::remove(draft, &monitor);
    }
    let listeners: Vec<_> = draft.state.listeners_using(pool.id).cloned().collect();
    for listener in listeners {
        draft.put(Listener { default_pool: None, updated_at: draft.now, ..Listener::clone(&listener) });
    }
    draft.delete(Object::Pool(pool.clone()));
    audit::record(draft, "deletePool", "pool", pool.id, pool.name.as_str(), audit::NOTHING);
}

/// A pool that is not active/standby: those have verbs of their own.
pub(crate) fn ordinary(draft: &Draft<'_>, id: PoolId) -> Result<Arc<Pool>, Error> {
    let pool = draft.pool(id)?;
    if pool.standby { Err(Error::not_found(Kind::Pool, id)) } else { Ok(pool) }
}

fn free_for_default(listener: &Listener) -> Result<(), Error> {
    match listener.default_pool {
        None => Ok(()),
        Some(pool) => Err(Error::InUse {
            what: format!("listener {}", listener.id),
            by: format!("it has the default pool {pool}; update the listener to change it"),
        }),
    }
}

/// What holds for a pool by itself.
fn check(pool: &Pool) -> Result<(), Error> {
    match pool.kind {
        PoolKind::Instance if pool.network.is_none() => {
            return Err(Error::invalid("vpc_id", "a pool of type instance needs a VPC"));
        }
        PoolKind::Ip if pool.network.is_some() => {
            return Err(Error::invalid("vpc_id", "a pool of type ip has no VPC"));
        }
        PoolKind::Any | PoolKind::Instance | PoolKind::Ip => {}
    }
    let quic = pool.protocol == PoolProtocol::Quic;
    let source_ip = matches!(pool.stickiness, Some(Stickiness::SourceIp { .. }));
    let (protocol, misplaced) = (pool.protocol, Error::invalid);
    match protocol {
        PoolProtocol::Tcp | PoolProtocol::Udp | PoolProtocol::Quic => {}
        PoolProtocol::Http | PoolProtocol::Https | PoolProtocol::Grpc | PoolProtocol::Tls
            if pool.any_port =>
        {
            return Err(misplaced(
                "any_port_enable",
                "only TCP, UDP and QUIC pools can keep the client's port",
            ));
        }
        PoolProtocol::Http | PoolProtocol::Https | PoolProtocol::Grpc | PoolProtocol::Tls => {}
    }
    if !protocol.is_layer7() && pool.slow_start.is_some() {
        return Err(misplaced("slow_start", "only HTTP, HTTPS and GRPC pools have a slow start"));
    }
    if pool.algorithm == Algorithm::QuicCid && !quic {
        return Err(misplaced("lb_algorithm", "QUIC_CID is for QUIC pools"));
    }
    if pool.quic_cid_hash.is_some() && !quic {
        return Err(misplaced("quic_cid_hash_strategy", "only QUIC pools have this setting"));
    }
    if quic && !source_ip {
        return Err(misplaced("session_persistence", "a QUIC pool needs it, of type SOURCE_IP"));
    }
    if pool.member_proxy_protocol.is_some() && !matches!(protocol, PoolProtocol::Tcp | PoolProtocol::Tls) {
        return Err(misplaced("member_proxy_protocol", "only members of TCP and TLS pools can be sent it"));
    }
    outlier_detection::check(pool)
}

/// The stickiness that a protocol has: on layer 4 every type acts as source IP, for at most an hour (huawei/behaviours.md section 7).
fn stickiness(protocol: PoolProtocol, wanted: Option<Stickiness>) -> Result<Option<Stickiness>, Error> {
    const LAYER4_MAX: u32 = 60;
    let Some(wanted) = wanted else { return Ok(None) };
    match (protocol.is_layer7(), wanted) {
        (false, Stickiness::SourceIp { minutes } | Stickiness::HttpCookie { minutes }) => {
            if minutes.value() > LAYER4_MAX {
                return Err(Error::invalid(
                    "session_persistence",
                    format!(
                        "persistence_timeout is {minutes}; for {protocol:?} it must be from 1 to {LAYER4_MAX}"
                    ),
                ));
            }
            Ok(Some(Stickiness::SourceIp { minutes }))
        }
        (false, Stickiness::AppCookie { .. }) => {
            Ok(Some(Stickiness::SourceIp { minutes: StickyMinutes::MIN }))
        }
        (true, Stickiness::SourceIp { .. }) => {
            Err(Error::invalid("session_persistence", "HTTP pools have HTTP_COOKIE or APP_COOKIE"))
        }
        (true, cookie) => Ok(Some(cookie)),
    }
}

#[cfg(test)]
mod tests;
