//! The verbs of listeners (huawei/behaviours.md section 6).

mod access;
mod headers;
mod ports;
mod proxy_protocol;
mod quic;
pub(crate) mod reach;
pub(crate) mod tls;

use std::sync::Arc;

use identity::{Action, Caller, Verb};
use model::{
    FlavorLayer, Listener, ListenerId, ListenerPatch, ListenerProtocol, LoadBalancer, LoadBalancerId,
    NewListener, Object, Patch, PoolId, PoolProtocol, QuotaKey,
    listener::{HttpsService, Service},
};
use uuid::Uuid;

pub(crate) use ports::claim_of as claim;

use crate::{
    Control, Error, audit,
    command::{Draft, command},
    load_balancer::check_tags,
    policy, protection,
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

/// Deletes a listener that has no policies and whose default pool has no members. The pool stays.
pub async fn listener_delete(control: &Control, caller: &Caller, id: ListenerId) -> Result<(), Error> {
    command(control, caller, action(Verb::Delete), |draft| delete(draft, id)).await
}

/// Deletes a listener with its policies, whatever its pools have. The pools stay with their members.
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
    ports::check(draft, lb.id, protocol, &new.ports)?;
    check_service(draft, lb.id, &new.service)?;
    proxy_protocol::check(protocol, new.proxy_accept.as_ref(), new.target.member_proxy_protocol)?;
    if let Some(access) = &new.access {
        access::check(draft, access, None)?;
    }
    if let Some(pool) = new.default_pool {
        let user = reach::User { load_balancer: &lb, service: &new.service, listener: None };
        reach::check_pool(draft, &user, pool, "default_pool_id")?;
    }
    let id = ListenerId::new(Uuid::new_v4());
    draft.claim(ports::claim(lb.id, protocol.transport(), &new.ports), id);
    let made = Arc::new(Listener {
        id,
        project,
        load_balancer: lb.id,
        name: new.name,
        description: new.description,
        admin_up: new.admin_up,
        ports: new.ports,
        service: new.service,
        default_pool: new.default_pool,
        target: new.target,
        idle_timeout: new.idle_timeout,
        connect_timeout: new.connect_timeout,
        access: new.access,
        transparent_client_ip: new.transparent_client_ip,
        connections_max: new.connections_max,
        connections_per_second_max: new.connections_per_second_max,
        bits_per_second_max: new.bits_per_second_max,
        proxy_accept: new.proxy_accept,
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
    let before = draft.listener(id)?;
    let mut listener = Listener::clone(&before);
    let lb = draft.load_balancer(listener.load_balancer)?;
    change_service(&mut listener.service, &patch)?;
    check_service(draft, lb.id, &listener.service)?;
    let user = reach::User { load_balancer: &lb, service: &listener.service, listener: Some(id) };
    match patch.default_pool {
        Patch::Set(pool) if listener.default_pool != Some(pool) => {
            reach::check_pool(draft, &user, pool, "default_pool_id")?;
            listener.default_pool = Some(pool);
        }
        Patch::Clear => listener.default_pool = None,
        Patch::Set(_) | Patch::Keep => {}
    }
    if let Some(timeout) = patch.idle_timeout {
        check_idle_timeout(listener.protocol(), timeout.value())?;
        listener.idle_timeout = timeout;
    }
    if let Patch::Set(access) = &patch.access {
        access::check(draft, access, Some(id))?;
    }
    patch.access.apply(&mut listener.access);
    patch.proxy_accept.apply(&mut listener.proxy_accept);
    patch.member_proxy_protocol.apply(&mut listener.target.member_proxy_protocol);
    let (accepted, sent) = (listener.proxy_accept.as_ref(), listener.target.member_proxy_protocol);
    proxy_protocol::check(listener.protocol(), accepted, sent)?;
    listener.protection = protection::patched(&listener.protection, patch.protection)?;
    listener.name = patch.name.unwrap_or(listener.name);
    listener.description = patch.description.unwrap_or(listener.description);
    listener.admin_up = patch.admin_up.unwrap_or(listener.admin_up);
    listener.connect_timeout = patch.connect_timeout.unwrap_or(listener.connect_timeout);
    listener.transparent_client_ip = patch.transparent_client_ip.unwrap_or(listener.transparent_client_ip);
    listener.connections_max = patch.connections_max.unwrap_or(listener.connections_max);
    listener.connections_per_second_max =
        patch.connections_per_second_max.unwrap_or(listener.connections_per_second_max);
    listener.bits_per_second_max = patch.bits_per_second_max.unwrap_or(listener.bits_per_second_max);
    listener.updated_at = draft.now;
    let changed = Arc::new(listener);
    draft.put(Object::Listener(changed.clone()));
    check_grpc(draft, &changed)?;
    policy::listener_changed(draft, &before, &changed);
    audit::record(draft, "updateListener", "listener", id, changed.name.as_str(), Some(&changed));
    Ok(changed)
}

pub(crate) fn delete(draft: &mut Draft<'_>, id: ListenerId) -> Result<(), Error> {
    let listener = draft.listener(id)?;
    check_no_redirects(draft, id)?;
    quic::check_no_upgrades(draft, id)?;
    let in_use = |by| Err(Error::InUse { what: format!("listener {id}"), by });
    if let Some(policy) = draft.state.policies_of(id).next() {
        return in_use(format!(
            "it has policies, for example {}; delete them first or force the deletion",
            policy.id
        ));
    }
    if let Some(pool) = listener.default_pool
        && draft.state.member_count(pool) > 0
    {
        return in_use(format!(
            "its default pool {pool} has members; remove them first or force the deletion"
        ));
    }
    remove(draft, &listener);
    Ok(())
}

pub(crate) fn delete_force(draft: &mut Draft<'_>, id: ListenerId) -> Result<(), Error> {
    let listener = draft.listener(id)?;
    check_no_redirects(draft, id)?;
    quic::check_no_upgrades(draft, id)?;
    for pool in reach::pools_of(draft, &listener) {
        if draft.state.pool(pool).is_some_and(|pool| pool.member_deletion_protection) {
            return Err(Error::MemberProtected { pool: pool.to_string() });
        }
    }
    remove(draft, &listener);
    Ok(())
}

/// Makes a pool the default pool of a listener that has none; part of creating the pool.
pub(crate) fn adopt(draft: &mut Draft<'_>, listener: &Arc<Listener>, pool: PoolId) -> Result<(), Error> {
    let lb = draft.load_balancer(listener.load_balancer)?;
    let user = reach::User { load_balancer: &lb, service: &listener.service, listener: Some(listener.id) };
    reach::check_pool(draft, &user, pool, "default_pool_id")?;
    draft.put(Listener { default_pool: Some(pool), updated_at: draft.now, ..Listener::clone(listener) });
    Ok(())
}

/// Removes a listener with its policies.
pub(crate) fn remove(draft: &mut Draft<'_>, listener: &Arc<Listener>) {
    let policies: Vec<_> = draft.state.policies_of(listener.id).cloned().collect();
    policies.iter().for_each(|policy| policy::remove(draft, policy));
    draft.release(claim(listener));
    draft.delete(Object::Listener(listener.clone()));
    audit::record(draft, "deleteListener", "listener", listener.id, listener.name.as_str(), audit::NOTHING);
}

/// A listener that others redirect to stays, or they would lead nowhere (huawei/behaviours.md section 6, inferred there).
fn check_no_redirects(draft: &Draft<'_>, id: ListenerId) -> Result<(), Error> {
    match draft.state.policies_redirecting_to(id).next() {
        None => Ok(()),
        Some(policy) => Err(Error::InUse {
            what: format!("listener {id}"),
            by: format!(
                "policy {} of listener {} redirects to it; delete that first",
                policy.id, policy.listener
            ),
        }),
    }
}

/// Applies the part of a change that depends on the protocol.
fn change_service(service: &mut Service, patch: &ListenerPatch) -> Result<(), Error> {
    let (http, tls, quic) = match service {
        Service::Tcp | Service::Udp => (None, None, None),
        Service::Tls(tls) => (None, Some(&mut **tls), None),
        Service::Http(http) => (Some(http), None, None),
        Service::Https(https) => {
            let HttpsService { http, tls, quic } = &mut **https;
            (Some(http), Some(tls), Some(quic))
        }
        Service::Quic(quic) => {
            quic::check_patch(patch)?;
            (Some(&mut quic.http), Some(&mut quic.tls), None)
        }
    };
    match (quic, patch.quic.resolve(None)) {
        (Some(quic), _) => patch.quic.clone().apply(quic),
        (None, None) => {}
        (None, Some(_)) => {
            return Err(Error::invalid("quic_config", "only HTTPS listeners have this setting"));
        }
    }
    match tls {
        Some(tls) => tls::change(tls, patch),
        None => tls::refuse(patch)?,
    }
    let Some(http) = http else {
        let http_only = [
            ("client_timeout", patch.request_timeout.is_some()),
            ("member_timeout", patch.response_timeout.is_some()),
            ("enable_member_retry", patch.member_retry == Some(true)),
            ("insert_headers", patch.insert_headers.is_some()),
            ("gzip_enable", patch.gzip == Some(true)),
            ("enhance_l7policy_enable", patch.enhanced_policies == Some(true)),
            ("desync_mode", patch.desync.is_some()),
        ];
        if let Some((field, _)) = http_only.into_iter().find(|(_, said)| *said) {
            return Err(Error::invalid(field, "only HTTP listeners have this setting"));
        }
        return Ok(());
    };
    if http.enhanced_policies && patch.enhanced_policies == Some(false) {
        return Err(Error::Immutable {
            field: "enhance_l7policy_enable",
            reason: "it cannot be switched off again",
        });
    }
    http.request_timeout = patch.request_timeout.unwrap_or(http.request_timeout);
    http.response_timeout = patch.response_timeout.unwrap_or(http.response_timeout);
    http.member_retry = patch.member_retry.unwrap_or(http.member_retry);
    if let Some(change) = &patch.insert_headers {
        http.insert_headers = change.clone().apply(http.insert_headers.clone());
    }
    http.gzip = patch.gzip.unwrap_or(http.gzip);
    http.http2 = patch.http2.unwrap_or(http.http2);
    http.enhanced_policies = patch.enhanced_policies.unwrap_or(http.enhanced_policies);
    http.desync = patch.desync.unwrap_or(http.desync);
    Ok(())
}

/// What holds for the settings of a protocol by themselves and for what they name.
fn check_service(draft: &Draft<'_>, load_balancer: LoadBalancerId, service: &Service) -> Result<(), Error> {
    match service {
        Service::Tcp | Service::Udp => Ok(()),
        Service::Tls(tls) => {
            if tls.early_data {
                return Err(Error::invalid(
                    "ssl_early_data_enable",
                    "only HTTPS listeners have this setting",
                ));
            }
            tls::check(draft, tls)
        }
        Service::Http(http) => headers::check(&http.insert_headers, false),
        Service::Https(https) => {
            headers::check(&https.http.insert_headers, true)?;
            tls::check(draft, &https.tls)?;
            https.quic.map_or(Ok(()), |upgrade| quic::check_upgrade(draft, load_balancer, upgrade))
        }
        Service::Quic(quic) => {
            headers::check(&quic.http.insert_headers, true)?;
            tls::check(draft, &quic.tls)?;
            quic::check(draft, quic)
        }
    }
}

/// gRPC members need clients that speak HTTP/2 (huawei/behaviours.md section 3).
fn check_grpc(draft: &Draft<'_>, listener: &Listener) -> Result<(), Error> {
    if listener.http().is_none_or(|http| http.http2) {
        return Ok(());
    }
    let grpc = |id: &PoolId| draft.state.pool(*id).is_some_and(|pool| pool.protocol == PoolProtocol::Grpc);
    match reach::pools_of(draft, listener).into_iter().find(grpc) {
        None => Ok(()),
        Some(pool) => Err(Error::invalid(
            "http2_enable",
            format!("pool {pool} of the listener is gRPC, which needs HTTP/2; take the pool away first"),
        )),
    }
}

/// A load balancer has listeners of a layer only with a flavor of that layer (huawei/behaviours.md section 3).
fn check_layer(lb: &LoadBalancer, protocol: ListenerProtocol) -> Result<(), Error> {
    let (has, layer) = match protocol.layer() {
        FlavorLayer::L4 => (lb.l4_flavor.is_some(), "l4_flavor_id"),
        FlavorLayer::L7 => (lb.l7_flavor.is_some(), "l7_flavor_id"),
    };
    if has {
        return Ok(());
    }
    Err(Error::invalid(
        "protocol",
        format!("load balancer {} has no {layer}, so it takes no such listener", lb.id),
    ))
}

/// Layer 4 10–4000 s, layer 7 0–4000 s (behaviour/features.md section 3). The upper end is the type's.
fn check_idle_timeout(protocol: ListenerProtocol, seconds: u32) -> Result<(), Error> {
    match protocol.layer() {
        FlavorLayer::L4 if seconds < 10 => Err(Error::invalid(
            "keepalive_timeout",
            format!("is {seconds}; for TCP, UDP and TLS it must be from 10 to 4000"),
        )),
        FlavorLayer::L4 | FlavorLayer::L7 => Ok(()),
    }
}

#[cfg(test)]
mod layer4_tests;
#[cfg(test)]
mod layer7_tests;
#[cfg(test)]
mod tests;
