//! The verbs of active/standby pools (huawei/behaviours.md sections 3 and 8).
//!
//! Pool, members and health monitor are made and deleted together, and nothing in between changes them: to the verbs of pools and of
//! members such a pool is not there. Its health monitor can be read and changed like any other, and not deleted.

use std::sync::Arc;

use identity::{Action, Caller, Verb};
use model::{
    HealthMonitorPatch, Kind, MemberRole, NewHealthMonitor, NewStandbyPool, Pool, PoolId, PoolProtocol,
    pool::PoolKind,
};

use crate::{
    Control, Error,
    command::{Draft, command},
    health_monitor, member, pool,
};

/// Makes an active/standby pool with its members and its health monitor; with a listener it becomes that listener's default pool.
pub async fn standby_pool_create(
    control: &Control,
    caller: &Caller,
    new: NewStandbyPool,
) -> Result<Arc<Pool>, Error> {
    command(control, caller, action(Verb::Create), |draft| create(draft, new.clone())).await
}

/// Deletes an active/standby pool with its members and its health monitor. Listeners lose it as their default.
pub async fn standby_pool_delete(control: &Control, caller: &Caller, id: PoolId) -> Result<(), Error> {
    command(control, caller, action(Verb::Delete), |draft| delete(draft, id)).await
}

const fn action(verb: Verb) -> Action {
    Action::elb("pools", verb)
}

pub(crate) fn create(draft: &mut Draft<'_>, new: NewStandbyPool) -> Result<Arc<Pool>, Error> {
    match new.pool.protocol {
        PoolProtocol::Tcp | PoolProtocol::Udp | PoolProtocol::Tls | PoolProtocol::Quic => {}
        PoolProtocol::Http | PoolProtocol::Https | PoolProtocol::Grpc => {
            return Err(Error::invalid("protocol", "active/standby pools are TCP, UDP, TLS or QUIC"));
        }
    }
    if new.pool.kind == PoolKind::Any {
        return Err(Error::invalid("type", "is needed: instance or ip"));
    }
    let made = pool::make(draft, new.pool, true)?;
    let monitor =
        NewHealthMonitor { pool: made.id, name: new.monitor_name, admin_up: true, probe: new.probe };
    for (member, role) in [(new.master, MemberRole::Master), (new.slave, MemberRole::Slave)] {
        member::add(draft, made.clone(), member, Some(role))?;
    }
    health_monitor::add(draft, &made, monitor)?;
    Ok(made)
}

pub(crate) fn delete(draft: &mut Draft<'_>, id: PoolId) -> Result<(), Error> {
    let pool = draft.pool(id)?;
    if !pool.standby {
        return Err(Error::not_found(Kind::Pool, id));
    }
    pool::remove(draft, &pool);
    Ok(())
}

/// Refuses what would leave an active/standby pool without a verdict on its members.
pub(crate) fn check_monitor_stays(pool: &Pool, patch: &HealthMonitorPatch) -> Result<(), Error> {
    if pool.standby && patch.admin_up == Some(false) {
        return Err(Error::invalid(
            "admin_state_up",
            "an active/standby pool changes over by its health monitor, which must stay on",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::{
        Algorithm, MemberPatch, MemberTls, MonitorType, NewPool, PoolPatch, pool::Stickiness,
        range::StickyMinutes,
    };
    use uuid::Uuid;

    use super::*;
    use crate::{
        MemberRef, certificate, listener,
        member::batch,
        testing::{NETWORK, World, new_listener, new_member, new_pool, probe},
    };

    fn new() -> NewStandbyPool {
        NewStandbyPool {
            pool: NewPool { kind: PoolKind::Instance, network: Some(NETWORK), ..new_pool() },
            master: new_member("127.88.1.1", 80),
            slave: new_member("127.88.1.2", 80),
            monitor_name: Default::default(),
            probe: probe(None),
        }
    }

    #[test]
    fn it_is_made_whole_or_not_at_all() {
        type Adjust = fn(&mut NewStandbyPool);
        for (why, adjust, expect) in [
            ("plain", (|_| ()) as Adjust, "ok"),
            ("HTTP", |new| new.pool.protocol = PoolProtocol::Http, "protocol"),
            ("no type", |new| (new.pool.kind, new.pool.network) = (PoolKind::Any, None), "type"),
            ("the same member twice", |new| new.slave = new.master.clone(), "member_exists"),
            ("a probe that does not fit", |new| new.probe.kind = MonitorType::Grpc, "type"),
            ("UDP", |new| (new.pool.protocol, new.probe.kind) = (PoolProtocol::Udp, MonitorType::Udp), "ok"),
            ("any port without a port to probe", |new| new.pool.any_port = true, "monitor_port"),
            ("any port", |new| (new.pool.any_port, new.probe) = (true, probe(Some(7))), "ok"),
            ("a slave of no subnet", |new| new.slave.subnet = None, "subnet_cidr_id"),
            (
                "QUIC by connection id",
                |new| {
                    (new.pool.protocol, new.probe.kind) = (PoolProtocol::Quic, MonitorType::Udp);
                    new.pool.algorithm = Algorithm::QuicCid;
                    new.pool.stickiness = Some(Stickiness::SourceIp { minutes: StickyMinutes::MIN });
                },
                "ok",
            ),
        ] {
            let mut world = World::new();
            let mut wanted = new();
            adjust(&mut wanted);
            let before = world.state.objects().count();
            assert_eq!(world.blame(|draft| create(draft, wanted)), expect, "{why}");
            let made = world.state.objects().count() - before;
            assert_eq!(made, if expect == "ok" { 4 } else { 0 }, "{why}: a pool, two members, a monitor");
        }
    }

    #[test]
    fn other_verbs_do_not_take_it_apart() {
        let mut world = World::new();
        let id = world.run(|draft| create(draft, new())).unwrap().id;
        let plain = world.shared_pool().id;
        let member = world.state.members_of(id).next().unwrap().id;
        let monitor = world.state.monitor_of(id).unwrap().id;
        let off = HealthMonitorPatch { admin_up: Some(false), ..Default::default() };
        let slower = HealthMonitorPatch { interval: Some(model::ProbeInterval::of(9)), ..Default::default() };
        assert_eq!(world.code(|draft| pool::update(draft, id, PoolPatch::default())), "not_found");
        assert_eq!(world.code(|draft| pool::delete(draft, id)), "not_found");
        assert_eq!(world.code(|draft| pool::delete_cascade(draft, id)), "not_found");
        let third = new_member("127.88.1.3", 80);
        assert_eq!(world.code(|draft| member::create(draft, id, third)), "not_found");
        assert_eq!(
            world.code(|draft| member::update(draft, id, member, MemberPatch::default())),
            "not_found"
        );
        assert_eq!(world.code(|draft| member::delete(draft, id, member)), "not_found");
        let wish = [MemberRef::Id(member)];
        assert_eq!(world.code(|draft| batch::delete_batch(draft, id, &wish)), "not_found");
        assert_eq!(world.code(|draft| batch::create_batch(draft, id, &[])), "not_found");
        assert_eq!(world.code(|draft| health_monitor::delete(draft, monitor)), "in_use");
        assert_eq!(world.blame(|draft| health_monitor::update(draft, monitor, off)), "admin_state_up");
        assert_eq!(world.blame(|draft| health_monitor::update(draft, monitor, slower)), "ok");
        assert_eq!(world.code(|draft| delete(draft, plain)), "not_found", "an ordinary pool");
        assert_eq!(world.code(|draft| delete(draft, PoolId::new(Uuid::nil()))), "not_found");
    }

    #[test]
    fn its_members_can_be_verified_where_they_speak_tls() {
        let mut world = World::new();
        let (authority, server) = (world.client_ca().id, world.certificate(&[]).id);
        for (why, protocol, authority, expect) in [
            ("over TLS", PoolProtocol::Tls, authority, "ok"),
            ("by a server's certificate", PoolProtocol::Tls, server, "member_tls"),
            ("in clear", PoolProtocol::Tcp, authority, "member_tls"),
        ] {
            let member_tls = Some(MemberTls { authority, server_name: None });
            let pool = NewPool { protocol, member_tls, ..new().pool };
            let made = world.blame(|draft| create(draft, NewStandbyPool { pool, ..new() }));
            assert_eq!(made, expect, "{why}");
        }
        let verified = |pool: &&Arc<Pool>| pool.member_tls.is_some();
        let id = world.state.pools().values().find(verified).unwrap().id;
        assert_eq!(world.code(|draft| certificate::delete(draft, authority)), "in_use");
        world.run(|draft| delete(draft, id)).unwrap();
        assert_eq!(world.code(|draft| certificate::delete(draft, authority)), "ok", "the pool is gone");
    }

    #[test]
    fn it_goes_whole_and_listeners_lose_it() {
        let mut world = World::new();
        let lb = world.load_balancer().id;
        let empty = world.state.objects().count();
        let id = world.run(|draft| create(draft, new())).unwrap().id;
        let listener = world.listener_to(lb, 80, id).id;
        world.run(|draft| delete(draft, id)).unwrap();
        assert_eq!(world.state.listener(listener).unwrap().default_pool, None);
        world.run(|draft| listener::delete(draft, listener)).unwrap();
        assert_eq!(world.state.objects().count(), empty);
        let mut bound = new();
        bound.pool.listener =
            Some(world.run(|draft| listener::create(draft, new_listener(lb, 81))).unwrap().id);
        let made = world.run(|draft| create(draft, bound)).unwrap();
        assert_eq!(world.state.listeners_using(made.id).count(), 1, "it becomes the default pool");
    }
}
