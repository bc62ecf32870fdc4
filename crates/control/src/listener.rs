//! The verbs of listeners (huawei/behaviours.md section 6).

use std::sync::Arc;

use identity::{Action, Caller, Verb};
use model::{
    Listener, ListenerId, ListenerPatch, ListenerProtocol, LoadBalancer, LoadBalancerId, Member, NewListener,
    Object, Patch, Pool, PoolId, PoolProtocol, Port, QuotaKey, listener::Service, pool::PoolKind,
};
use uuid::Uuid;

use crate::{
    Control, Error, audit,
    command::{Draft, command},
    load_balancer::check_tags,
    protection, relations,
};

/// Makes a listener.
pub async fn listener_create(
    control: &Control,
    caller: &Caller,
    new: NewListener,
) -> Result<Arc<Listener>, Error> {
    command(control, caller, action(Verb::Create), |draft| create(draft, new.clone())).await
}

/// Changes a listener.
pub async fn listener_update(
    control: &Control,
    caller: &Caller,
    id: ListenerId,
    patch: ListenerPatch,
) -> Result<Arc<Listener>, Error> {
    command(control, caller, action(Verb::Put), |draft| update(draft, id, patch.clone())).await
}

/// Deletes a listener whose default pool has no members. The pool stays.
pub async fn listener_delete(control: &Control, caller: &Caller, id: ListenerId) -> Result<(), Error> {
    command(control, caller, action(Verb::Delete), |draft| delete(draft, id)).await
}

/// Deletes a listener whatever its pool has. The pool stays with its members.
pub async fn listener_delete_force(control: &Control, caller: &Caller, id: ListenerId) -> Result<(), Error> {
    command(control, caller, action(Verb::Delete), |draft| delete_force(draft, id)).await
}

const fn action(verb: Verb) -> Action {
    Action::elb("listeners", verb)
}

pub(crate) fn create(draft: &mut Draft<'_>, new: NewListener) -> Result<Arc<Listener>, Error> {
    let project = draft.caller.project;
    let lb = draft.load_balancer(new.load_balancer)?;
    draft.quota_for_one_more(QuotaKey::Listener)?;
    check_tags(&new.tags)?;
    protection::check(&new.protection)?;
    let protocol = new.service.protocol();
    check_layer(&lb, protocol)?;
    check_idle_timeout(protocol, new.idle_timeout.value())?;
    if let Some(holder) = draft.state.listeners_of(lb.id).find(|other| other.port == new.port) {
        return Err(Error::PortTaken { port: new.port, holder: holder.id });
    }
    if let Some(pool) = new.default_pool {
        check_default_pool(draft, &lb, protocol, pool)?;
    }
    let id = ListenerId::new(Uuid::new_v4());
    draft.claim(port_claim(lb.id, new.port), id);
    let made = Arc::new(Listener {
        id,
        project,
        load_balancer: lb.id,
        name: new.name,
        description: new.description,
        admin_up: new.admin_up,
        port: new.port,
        service: new.service,
        default_pool: new.default_pool,
        target: new.target,
        idle_timeout: new.idle_timeout,
        connect_timeout: new.connect_timeout,
        access: new.access,
        transparent_client_ip: new.transparent_client_ip,
        connections_max: new.connections_max,
        connections_per_second_max: new.connections_per_second_max,
        protection: new.protection,
        enterprise_project: lb.enterprise_project,
        tags: new.tags,
        created_at: draft.now,
        updated_at: draft.now,
    });
    draft.put(Object::Listener(made.clone()));
    audit::record(draft, "createListener", "listener", id, made.name.as_str(), Some(&made));
    Ok(made)
}

pub(crate) fn update(
    draft: &mut Draft<'_>,
    id: ListenerId,
    patch: ListenerPatch,
) -> Result<Arc<Listener>, Error> {
    let mut listener = Listener::clone(&*draft.listener(id)?);
    let lb = draft.load_balancer(listener.load_balancer)?;
    let protocol = listener.protocol();
    match patch.default_pool {
        Patch::Set(pool) if listener.default_pool != Some(pool) => {
            check_default_pool(draft, &lb, protocol, pool)?;
            listener.default_pool = Some(pool);
        }
        Patch::Clear => listener.default_pool = None,
        Patch::Set(_) | Patch::Keep => {}
    }
    if let Some(timeout) = patch.idle_timeout {
        check_idle_timeout(protocol, timeout.value())?;
        listener.idle_timeout = timeout;
    }
    let http = match &mut listener.service {
        Service::Tcp => None,
        Service::Http(http) => Some(http),
        Service::Https(https) => Some(&mut https.http),
    };
    match http {
        None => {
            let http_only = [
                ("client_timeout", patch.request_timeout.is_some()),
                ("member_timeout", patch.response_timeout.is_some()),
                ("enable_member_retry", patch.member_retry == Some(true)),
                ("insert_headers", patch.insert_headers.is_some()),
                ("gzip_enable", patch.gzip == Some(true)),
                ("enhance_l7policy_enable", patch.enhanced_policies == Some(true)),
            ];
            if let Some((field, _)) = http_only.into_iter().find(|(_, said)| *said) {
                return Err(Error::invalid(field, "only HTTP listeners have this setting"));
            }
        }
        Some(http) => {
            if http.enhanced_policies && patch.enhanced_policies == Some(false) {
                return Err(Error::Immutable {
                    field: "enhance_l7policy_enable",
                    reason: "it cannot be switched off again",
                });
            }
            http.request_timeout = patch.request_timeout.unwrap_or(http.request_timeout);
            http.response_timeout = patch.response_timeout.unwrap_or(http.response_timeout);
            http.member_retry = patch.member_retry.unwrap_or(http.member_retry);
            if let Some(change) = patch.insert_headers {
                http.insert_headers = change.apply(http.insert_headers.clone());
            }
            http.gzip = patch.gzip.unwrap_or(http.gzip);
            http.http2 = patch.http2.unwrap_or(http.http2);
            http.enhanced_policies = patch.enhanced_policies.unwrap_or(http.enhanced_policies);
        }
    }
    listener.protection = protection::patched(&listener.protection, patch.protection)?;
    listener.name = patch.name.unwrap_or(listener.name);
    listener.description = patch.description.unwrap_or(listener.description);
    listener.admin_up = patch.admin_up.unwrap_or(listener.admin_up);
    listener.connect_timeout = patch.connect_timeout.unwrap_or(listener.connect_timeout);
    listener.transparent_client_ip = patch.transparent_client_ip.unwrap_or(listener.transparent_client_ip);
    listener.connections_max = patch.connections_max.unwrap_or(listener.connections_max);
    listener.connections_per_second_max =
        patch.connections_per_second_max.unwrap_or(listener.connections_per_second_max);
    listener.updated_at = draft.now;
    let changed = Arc::new(listener);
    draft.put(Object::Listener(changed.clone()));
    audit::record(draft, "updateListener", "listener", id, changed.name.as_str(), Some(&changed));
    Ok(changed)
}

pub(crate) fn delete(draft: &mut Draft<'_>, id: ListenerId) -> Result<(), Error> {
    let listener = draft.listener(id)?;
    if let Some(pool) = listener.default_pool
        && draft.state.member_count(pool) > 0
    {
        return Err(Error::InUse {
            what: format!("listener {id}"),
            by: format!("its default pool {pool} has members; remove them first or force the deletion"),
        });
    }
    remove(draft, &listener);
    Ok(())
}

pub(crate) fn delete_force(draft: &mut Draft<'_>, id: ListenerId) -> Result<(), Error> {
    let listener = draft.listener(id)?;
    if let Some(pool) = listener.default_pool.and_then(|pool| draft.state.pool(pool))
        && pool.member_deletion_protection
    {
        return Err(Error::MemberProtected { pool: pool.id.to_string() });
    }
    remove(draft, &listener);
    Ok(())
}

/// Makes a pool the default pool of a listener that has none; part of creating the pool.
pub(crate) fn adopt(draft: &mut Draft<'_>, listener: &Arc<Listener>, pool: PoolId) -> Result<(), Error> {
    let lb = draft.load_balancer(listener.load_balancer)?;
    check_default_pool(draft, &lb, listener.protocol(), pool)?;
    draft.put(Listener { default_pool: Some(pool), updated_at: draft.now, ..Listener::clone(listener) });
    Ok(())
}

pub(crate) fn remove(draft: &mut Draft<'_>, listener: &Arc<Listener>) {
    draft.release(port_claim(listener.load_balancer, listener.port));
    draft.delete(Object::Listener(listener.clone()));
    audit::record(draft, "deleteListener", "listener", listener.id, listener.name.as_str(), audit::NOTHING);
}

pub(crate) fn port_claim(load_balancer: LoadBalancerId, port: Port) -> String {
    format!("port/{load_balancer}/tcp/{port}")
}

/// A load balancer has listeners of a layer only with a flavor of that layer (huawei/behaviours.md section 3).
fn check_layer(lb: &LoadBalancer, protocol: ListenerProtocol) -> Result<(), Error> {
    let (has, layer) = match protocol {
        ListenerProtocol::Tcp => (lb.l4_flavor.is_some(), "l4_flavor_id"),
        ListenerProtocol::Http | ListenerProtocol::Https => (lb.l7_flavor.is_some(), "l7_flavor_id"),
    };
    if has {
        return Ok(());
    }
    Err(Error::invalid(
        "protocol",
        format!("load balancer {} has no {layer}, so it takes no such listener", lb.id),
    ))
}

/// TCP 10–4000 s, HTTP 0–4000 s (behaviour/features.md section 3). The upper end is the type's.
fn check_idle_timeout(protocol: ListenerProtocol, seconds: u32) -> Result<(), Error> {
    match protocol {
        ListenerProtocol::Tcp if seconds < 10 => Err(Error::invalid(
            "keepalive_timeout",
            format!("is {seconds}; for TCP it must be from 10 to 4000"),
        )),
        ListenerProtocol::Tcp | ListenerProtocol::Http | ListenerProtocol::Https => Ok(()),
    }
}

/// Whether a pool may take a listener's traffic: same project, protocols that pair, same network, members that the load balancer
/// takes, and not too many listeners.
fn check_default_pool(
    draft: &Draft<'_>,
    lb: &LoadBalancer,
    protocol: ListenerProtocol,
    id: PoolId,
) -> Result<(), Error> {
    let pool = draft.pool(id)?;
    let pair = match protocol {
        ListenerProtocol::Tcp => PoolProtocol::Tcp,
        ListenerProtocol::Http | ListenerProtocol::Https => PoolProtocol::Http,
    };
    if pool.protocol != pair {
        return Err(Error::invalid(
            "default_pool_id",
            format!("a {protocol:?} listener needs a {pair:?} pool; pool {id} is {:?}", pool.protocol),
        ));
    }
    check_reach(draft, lb, &pool, "default_pool_id")?;
    check_sole(draft, lb, &pool)?;
    draft.quota(QuotaKey::ListenersPerPool, draft.state.listeners_using(id).count() + 1)
}

/// A pool that was made without a type serves one load balancer; one with a type any number (huawei/behaviours.md section 7).
fn check_sole(draft: &Draft<'_>, lb: &LoadBalancer, pool: &Pool) -> Result<(), Error> {
    let others = || relations::load_balancers_of_pool(&draft.state, pool).into_iter().find(|&id| id != lb.id);
    match pool.kind {
        PoolKind::Instance | PoolKind::Ip => Ok(()),
        PoolKind::Any => match others() {
            None => Ok(()),
            Some(other) => Err(Error::InUse {
                what: format!("pool {}", pool.id),
                by: format!(
                    "it serves load balancer {other}, and only a pool with a type may serve several; set its type first"
                ),
            }),
        },
    }
}

/// Whether a load balancer may use a pool with the members that it has. `field` is what brought them together.
pub(crate) fn check_reach(
    draft: &Draft<'_>,
    lb: &LoadBalancer,
    pool: &Pool,
    field: &'static str,
) -> Result<(), Error> {
    if pool.network.is_some_and(|network| network != lb.network) {
        return Err(Error::invalid(
            field,
            format!("pool {} is in another VPC than load balancer {}", pool.id, lb.id),
        ));
    }
    let bare = |member: &&Arc<Member>| member.subnet.is_none();
    if !lb.ip_targets && draft.state.members_of(pool.id).any(|member| bare(&member)) {
        return Err(Error::IpTargetsOff { load_balancer: lb.id.to_string() });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
