//! The verbs of pools (huawei/behaviours.md section 7).

use std::sync::Arc;

use identity::{Action, Caller, Verb};
use model::{
    Kind, Listener, NewPool, Object, Patch, Pool, PoolId, PoolPatch, PoolProtocol, QuotaKey, StickyMinutes,
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

/// Deletes a pool that has neither members nor a health monitor. Listeners lose it as their default.
pub async fn pool_delete(control: &Control, caller: &Caller, id: PoolId) -> Result<(), Error> {
    command(control, caller, action(Verb::Delete), |draft| delete(draft, id)).await
}

/// Deletes a pool with its members and its health monitor.
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
        load_balancer: new.load_balancer,
        protection: new.protection,
        enterprise_project: new.enterprise_project,
        created_at: draft.now,
        updated_at: draft.now,
    });
    check(&made)?;
    if let Some(lb) = &lb {
        listener::check_reach(draft, lb, &made, "vpc_id")?;
    }
    draft.put(Object::Pool(made.clone()));
    if let Some(listener) = &listener {
        listener::adopt(draft, listener, made.id)?;
    }
    audit::record(draft, "createPool", "pool", made.id, made.name.as_str(), Some(&made));
    Ok(made)
}

pub(crate) fn update(draft: &mut Draft<'_>, id: PoolId, patch: PoolPatch) -> Result<Arc<Pool>, Error> {
    let mut pool = Pool::clone(&*draft.pool(id)?);
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
    pool.protection = protection::patched(&pool.protection, patch.protection)?;
    pool.name = patch.name.unwrap_or(pool.name);
    pool.description = patch.description.unwrap_or(pool.description);
    pool.admin_up = patch.admin_up.unwrap_or(pool.admin_up);
    pool.algorithm = patch.algorithm.unwrap_or(pool.algorithm);
    pool.member_deletion_protection =
        patch.member_deletion_protection.unwrap_or(pool.member_deletion_protection);
    pool.all_down_forward = patch.all_down_forward.unwrap_or(pool.all_down_forward);
    pool.updated_at = draft.now;
    check(&pool)?;
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
    let pool = draft.pool(id)?;
    let by = if draft.state.member_count(id) > 0 {
        "it has members; remove them first"
    } else if draft.state.monitor_of(id).is_some() {
        "it has a health monitor; delete that first"
    } else {
        remove(draft, &pool);
        return Ok(());
    };
    Err(Error::InUse { what: format!("pool {id}"), by: by.to_owned() })
}

pub(crate) fn delete_cascade(draft: &mut Draft<'_>, id: PoolId) -> Result<(), Error> {
    let pool = draft.pool(id)?;
    if pool.member_deletion_protection {
        return Err(Error::MemberProtected { pool: id.to_string() });
    }
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
    if pool.protocol == PoolProtocol::Http && pool.any_port {
        return Err(Error::invalid("any_port_enable", "only TCP pools can keep the client's port"));
    }
    if pool.protocol != PoolProtocol::Http && pool.slow_start.is_some() {
        return Err(Error::invalid("slow_start", "only HTTP pools have a slow start"));
    }
    Ok(())
}

/// The stickiness that a protocol has: on layer 4 every type acts as source IP, for at most an hour (huawei/behaviours.md section 7).
fn stickiness(protocol: PoolProtocol, wanted: Option<Stickiness>) -> Result<Option<Stickiness>, Error> {
    const LAYER4_MAX: u32 = 60;
    let Some(wanted) = wanted else { return Ok(None) };
    match (protocol, wanted) {
        (PoolProtocol::Tcp, Stickiness::SourceIp { minutes } | Stickiness::HttpCookie { minutes }) => {
            if minutes.value() > LAYER4_MAX {
                return Err(Error::invalid(
                    "session_persistence",
                    format!("persistence_timeout is {minutes}; for TCP it must be from 1 to {LAYER4_MAX}"),
                ));
            }
            Ok(Some(Stickiness::SourceIp { minutes }))
        }
        (PoolProtocol::Tcp, Stickiness::AppCookie { .. }) => {
            Ok(Some(Stickiness::SourceIp { minutes: StickyMinutes::MIN }))
        }
        (PoolProtocol::Http, Stickiness::SourceIp { .. }) => {
            Err(Error::invalid("session_persistence", "HTTP pools have HTTP_COOKIE or APP_COOKIE"))
        }
        (PoolProtocol::Http, cookie) => Ok(Some(cookie)),
    }
}

#[cfg(test)]
mod tests {
    use model::{
        Algorithm, ListenerId, LoadBalancerId, NetworkId, NewListener, SlowStartDuration,
        load_balancer::Protection,
        pool::{Drain, IpVersion, SlowStart},
    };

    use super::*;
    use crate::{
        health_monitor,
        testing::{
            NETWORK, OTHER_NETWORK, World, http, new_listener, new_member, new_monitor, new_pool, probe,
        },
    };

    const SLOW_START: SlowStart = SlowStart { enabled: true, duration: SlowStartDuration::of(30) };

    fn minutes(minutes: u32) -> StickyMinutes {
        StickyMinutes::of(minutes)
    }

    fn cookie() -> Stickiness {
        Stickiness::AppCookie { name: "session".to_owned() }
    }

    #[test]
    fn a_create_is_held_to_its_rules() {
        type Adjust = fn(&mut NewPool, LoadBalancerId);
        for (why, adjust, expect) in [
            ("for a load balancer", (|new, lb| new.load_balancer = Some(lb)) as Adjust, "ok"),
            ("for nothing", |_, _| {}, "type"),
            ("bare addresses", |new, _| new.kind = PoolKind::Ip, "ok"),
            (
                "bare addresses in a network",
                |new, _| (new.kind, new.network) = (PoolKind::Ip, Some(NETWORK)),
                "vpc_id",
            ),
            ("servers of no network", |new, _| new.kind = PoolKind::Instance, "vpc_id"),
            (
                "servers of a network",
                |new, _| (new.kind, new.network) = (PoolKind::Instance, Some(NETWORK)),
                "ok",
            ),
            (
                "of a network that is not there",
                |new, _| (new.kind, new.network) = (PoolKind::Instance, Some(NetworkId::new(Uuid::nil()))),
                "not_found",
            ),
            (
                "of another network than the load balancer",
                |new, lb| (new.load_balancer, new.network) = (Some(lb), Some(OTHER_NETWORK)),
                "vpc_id",
            ),
            (
                "for a load balancer that is not there",
                |new, _| new.load_balancer = Some(LoadBalancerId::new(Uuid::nil())),
                "not_found",
            ),
            (
                "for a listener that is not there",
                |new, _| new.listener = Some(ListenerId::new(Uuid::nil())),
                "not_found",
            ),
            ("any port, TCP", |new, lb| (new.load_balancer, new.any_port) = (Some(lb), true), "ok"),
            (
                "any port, HTTP",
                |new, lb| {
                    (new.load_balancer, new.any_port) = (Some(lb), true);
                    new.protocol = PoolProtocol::Http;
                },
                "any_port_enable",
            ),
            (
                "slow start, HTTP",
                |new, lb| {
                    (new.load_balancer, new.slow_start) = (Some(lb), Some(SLOW_START));
                    new.protocol = PoolProtocol::Http;
                },
                "ok",
            ),
            (
                "slow start, TCP",
                |new, lb| (new.load_balancer, new.slow_start) = (Some(lb), Some(SLOW_START)),
                "slow_start",
            ),
            (
                "a reason with markup",
                |new, lb| {
                    new.load_balancer = Some(lb);
                    new.protection = Protection::Console { reason: "<".try_into().unwrap() };
                },
                "protection_reason",
            ),
        ] {
            let mut world = World::new();
            let lb = world.load_balancer().id;
            let mut new = new_pool();
            adjust(&mut new, lb);
            assert_eq!(world.blame(|draft| create(draft, new)), expect, "{why}");
        }
    }

    #[test]
    fn for_a_listener_it_becomes_the_default_pool_if_there_is_none() {
        let mut world = World::new();
        let (lb, other) = (world.load_balancer().id, world.load_balancer().id);
        let (tcp, over_http) = (
            world.listener(lb, 80).id,
            world
                .run(|draft| listener::create(draft, NewListener { service: http(), ..new_listener(lb, 81) }))
                .unwrap()
                .id,
        );
        for (why, listener, lb, expect) in [
            ("of another protocol", over_http, None, "default_pool_id"),
            ("of another load balancer", tcp, Some(other), "listener_id"),
            ("of its load balancer", tcp, Some(lb), "ok"),
            ("which has a pool now", tcp, None, "in_use"),
        ] {
            let new = NewPool { listener: Some(listener), load_balancer: lb, ..new_pool() };
            assert_eq!(world.blame(|draft| create(draft, new)), expect, "{why}");
        }
        let made = world.state.listener(tcp).unwrap().default_pool.unwrap();
        assert_eq!(world.state.pool(made).unwrap().load_balancer, Some(lb));
        assert_eq!(world.state.pools().len(), 1);
    }

    #[test]
    fn stickiness_is_what_the_protocol_has() {
        let source = |m| Stickiness::SourceIp { minutes: minutes(m) };
        let own = |m| Stickiness::HttpCookie { minutes: minutes(m) };
        for (protocol, wanted, expect) in [
            (PoolProtocol::Tcp, source(60), Some(source(60))),
            (PoolProtocol::Tcp, source(61), None),
            (PoolProtocol::Tcp, own(5), Some(source(5))),
            (PoolProtocol::Tcp, own(1440), None),
            (PoolProtocol::Tcp, cookie(), Some(source(1))),
            (PoolProtocol::Http, source(5), None),
            (PoolProtocol::Http, own(1440), Some(own(1440))),
            (PoolProtocol::Http, cookie(), Some(cookie())),
        ] {
            for algorithm in [Algorithm::RoundRobin, Algorithm::LeastConnections, Algorithm::SourceIp] {
                // With SOURCE_IP some consoles refuse it; the API does not (huawei/behaviours.md section 7).
                let mut world = World::new();
                let lb = world.load_balancer().id;
                let new = NewPool { load_balancer: Some(lb), protocol, algorithm, ..new_pool() };
                let sticky = NewPool { stickiness: Some(wanted.clone()), ..new.clone() };
                let made = world.run(|draft| create(draft, sticky)).ok().map(|pool| pool.stickiness.clone());
                assert_eq!(made, expect.clone().map(Some), "{protocol:?} {wanted:?}, at creation");
                let id = world.run(|draft| create(draft, new)).unwrap().id;
                let patch = PoolPatch { stickiness: Patch::Set(wanted.clone()), ..Default::default() };
                let after =
                    world.run(|draft| update(draft, id, patch)).ok().map(|pool| pool.stickiness.clone());
                assert_eq!(after, expect.clone().map(Some), "{protocol:?} {wanted:?}, later");
                let off = PoolPatch { stickiness: Patch::Clear, ..Default::default() };
                assert_eq!(world.run(|draft| update(draft, id, off)).unwrap().stickiness, None);
            }
        }
    }

    #[test]
    fn type_and_network_can_be_given_once() {
        let set = |kind, network| PoolPatch { kind, network, ..PoolPatch::default() };
        for (why, patch, expect) in [
            ("nothing", set(None, None), "ok"),
            ("servers of a network", set(Some(PoolKind::Instance), Some(NETWORK)), "ok"),
            ("servers of none", set(Some(PoolKind::Instance), None), "vpc_id"),
            ("bare addresses", set(Some(PoolKind::Ip), None), "ok"),
            ("bare addresses of a network", set(Some(PoolKind::Ip), Some(NETWORK)), "vpc_id"),
            ("a network", set(None, Some(NETWORK)), "ok"),
            ("another than its load balancer's", set(None, Some(OTHER_NETWORK)), "vpc_id"),
            ("one that is not there", set(None, Some(NetworkId::new(Uuid::nil()))), "not_found"),
        ] {
            let mut world = World::new();
            let lb = world.load_balancer().id;
            let id = world.pool(lb).id;
            assert_eq!(world.blame(|draft| update(draft, id, patch)), expect, "{why}");
        }
        let mut world = World::new();
        let id = world.shared_pool().id;
        for (why, patch, expect) in [
            ("the same again", set(Some(PoolKind::Instance), Some(NETWORK)), "ok"),
            ("another type", set(Some(PoolKind::Ip), None), "type"),
            ("no type", set(Some(PoolKind::Any), None), "type"),
            ("another network", set(None, Some(OTHER_NETWORK)), "vpc_id"),
        ] {
            assert_eq!(world.blame(|draft| update(draft, id, patch)), expect, "{why}");
        }
    }

    #[test]
    fn a_type_must_fit_the_members_that_there_are() {
        for (subnet, servers, bare) in [(true, "ok", "type"), (false, "type", "ok")] {
            for (kind, expect) in [(PoolKind::Instance, servers), (PoolKind::Ip, bare)] {
                let mut world = World::new();
                let lb = world.load_balancer_with(|new| new.ip_targets = true).id;
                let id = world.pool(lb).id;
                let mut new = new_member("127.88.1.1", 80);
                if !subnet {
                    new.subnet = None;
                }
                world.run(|draft| member::create(draft, id, new)).unwrap();
                let network = (kind == PoolKind::Instance).then_some(NETWORK);
                let patch = PoolPatch { kind: Some(kind), network, ..PoolPatch::default() };
                assert_eq!(
                    world.blame(|draft| update(draft, id, patch)),
                    expect,
                    "{kind:?}, subnet: {subnet}"
                );
            }
        }
    }

    #[test]
    fn any_port_goes_on_and_off_only_while_there_are_no_members() {
        let mut world = World::new();
        let lb = world.load_balancer().id;
        let id = world.pool(lb).id;
        let to = |any_port| PoolPatch { any_port: Some(any_port), ..PoolPatch::default() };
        let monitor = world.monitor(id).id;
        assert_eq!(
            world.blame(|draft| update(draft, id, to(true))),
            "any_port_enable",
            "the probes need a port"
        );
        world.run(|draft| health_monitor::delete(draft, monitor)).unwrap();
        let new = model::NewHealthMonitor { probe: probe(Some(81)), ..new_monitor(id) };
        world.run(|draft| health_monitor::create(draft, new)).unwrap();
        assert_eq!(world.blame(|draft| update(draft, id, to(true))), "ok");
        world.member(id, "127.88.1.1", 80);
        assert_eq!(world.blame(|draft| update(draft, id, to(false))), "any_port_enable");
        assert_eq!(world.blame(|draft| update(draft, id, to(true))), "ok", "as it is");
    }

    #[test]
    fn slow_start_and_drain_are_set_and_cleared() {
        let mut world = World::new();
        let lb = world.load_balancer().id;
        let tcp = world.pool(lb).id;
        let over_http =
            world.pool_with(|new| (new.load_balancer, new.protocol) = (Some(lb), PoolProtocol::Http)).id;
        let drain = Drain { enabled: true, timeout: model::DrainTimeout::of(10) };
        for (why, id, slow_start, expect) in [
            ("TCP has none", tcp, Patch::Set(SLOW_START), "slow_start"),
            ("clearing what is not there", tcp, Patch::Clear, "ok"),
            ("HTTP has one", over_http, Patch::Set(SLOW_START), "ok"),
        ] {
            let patch = PoolPatch { slow_start, drain: Patch::Set(drain), ..Default::default() };
            assert_eq!(world.blame(|draft| update(draft, id, patch)), expect, "{why}");
        }
        assert_eq!(world.state.pool(over_http).unwrap().slow_start, Some(SLOW_START));
        assert_eq!(world.state.pool(over_http).unwrap().drain, Some(drain));
        let off = PoolPatch { slow_start: Patch::Clear, drain: Patch::Clear, ..Default::default() };
        let after = world.run(|draft| update(draft, over_http, off)).unwrap();
        assert_eq!((after.slow_start, after.drain), (None, None));
    }

    #[test]
    fn an_update_changes_what_was_said_and_nothing_else() {
        let mut world = World::new();
        let before = world.pool_with(|new| {
            (new.kind, new.network) = (PoolKind::Instance, Some(NETWORK));
            new.stickiness = Some(Stickiness::SourceIp { minutes: minutes(7) });
            new.ip_version = IpVersion::V4;
        });
        let patch = PoolPatch {
            algorithm: Some(Algorithm::LeastConnections),
            all_down_forward: Some(true),
            ..PoolPatch::default()
        };
        let after = world.run(|draft| update(draft, before.id, patch)).unwrap();
        let expect = Pool {
            algorithm: Algorithm::LeastConnections,
            all_down_forward: true,
            updated_at: after.updated_at,
            ..Pool::clone(&before)
        };
        assert_eq!(*after, expect);
        assert!(after.updated_at > before.updated_at);
    }

    #[test]
    fn a_delete_needs_members_and_monitor_gone_and_clears_the_listeners_default() {
        let mut world = World::new();
        let lb = world.load_balancer().id;
        let id = world.pool(lb).id;
        let listener = world.listener_to(lb, 80, id).id;
        let (member, monitor) = (world.member(id, "127.88.1.1", 80).id, world.monitor(id).id);
        assert_eq!(world.code(|draft| delete(draft, id)), "in_use", "member and monitor");
        world.run(|draft| member::delete(draft, id, member)).unwrap();
        assert_eq!(world.code(|draft| delete(draft, id)), "in_use", "a monitor");
        world.run(|draft| health_monitor::delete(draft, monitor)).unwrap();
        assert_eq!(world.code(|draft| delete(draft, id)), "ok");
        assert_eq!(world.state.listener(listener).unwrap().default_pool, None);
        assert_eq!(world.code(|draft| delete(draft, id)), "not_found", "a second time");
    }

    #[test]
    fn a_cascade_takes_members_and_monitor_unless_members_are_protected() {
        let mut world = World::new();
        let lb = world.load_balancer().id;
        let id = world.pool(lb).id;
        let listener = world.listener_to(lb, 80, id).id;
        world.member(id, "127.88.1.1", 80);
        world.monitor(id);
        let protect = |on| PoolPatch { member_deletion_protection: Some(on), ..Default::default() };
        world.run(|draft| update(draft, id, protect(true))).unwrap();
        assert_eq!(world.code(|draft| delete_cascade(draft, id)), "member_protected");
        world.run(|draft| update(draft, id, protect(false))).unwrap();
        world.run(|draft| delete_cascade(draft, id)).unwrap();
        assert_eq!((world.state.members().len(), world.state.health_monitors().len()), (0, 0));
        assert_eq!(world.state.listener(listener).unwrap().default_pool, None);
    }

    #[test]
    fn a_batch_deletes_all_that_are_there_or_nothing() {
        let mut world = World::new();
        let lb = world.load_balancer().id;
        let (one, two, busy) = (world.pool(lb).id, world.pool(lb).id, world.pool(lb).id);
        let nobody = PoolId::new(Uuid::nil());
        world.member(busy, "127.88.1.1", 80);
        assert_eq!(world.code(|draft| delete_batch(draft, &[one, busy])), "in_use");
        assert_eq!(world.state.pools().len(), 3, "nothing changed");
        let outcomes = world.run(|draft| delete_batch(draft, &[one, nobody, two, one])).unwrap();
        let expect = [
            (one, BatchOutcome::Done),
            (nobody, BatchOutcome::NotFound),
            (two, BatchOutcome::Done),
            (one, BatchOutcome::NotFound),
        ];
        assert_eq!(outcomes, expect);
        assert_eq!(world.blame(|draft| delete_batch(draft, &[nobody; 201])), "pools");
        assert_eq!(world.blame(|draft| delete_batch(draft, &[nobody; 200])), "ok");
    }

    #[test]
    fn another_projects_pool_is_not_there() {
        let mut world = World::new();
        let id = world.shared_pool().id;
        world.as_other_project();
        assert_eq!(world.code(|draft| update(draft, id, PoolPatch::default())), "not_found");
        assert_eq!(world.code(|draft| delete(draft, id)), "not_found");
        assert_eq!(world.code(|draft| delete_cascade(draft, id)), "not_found");
        let outcome = world.run(|draft| delete_batch(draft, &[id])).unwrap();
        assert_eq!(outcome, [(id, BatchOutcome::NotFound)]);
        assert_eq!(world.code(|draft| health_monitor::create(draft, new_monitor(id))), "not_found");
        assert_eq!(world.code(|draft| member::create(draft, id, new_member("127.88.1.1", 80))), "not_found");
    }

    #[test]
    fn pools_count_towards_their_quota() {
        let mut world = World::new();
        world.site.quotas.insert(QuotaKey::Pool, 1);
        let lb = world.load_balancer().id;
        world.pool(lb);
        let new = NewPool { load_balancer: Some(lb), ..new_pool() };
        assert_eq!(world.code(|draft| create(draft, new)), "quota_exceeded");
    }
}
