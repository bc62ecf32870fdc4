//! The verbs of health monitors (huawei/behaviours.md sections 3 and 4).
//!
//! Both types of probe that there are, TCP and HTTP, are legal for both protocols of pools, so no rule pairs them yet.

use std::sync::Arc;

use identity::{Action, Caller, Verb};
use model::{
    HealthMonitor, HealthMonitorId, HealthMonitorPatch, MonitorType, NewHealthMonitor, Object, Pool,
    PoolProtocol, QuotaKey, target::ProbeSettings,
};
use uuid::Uuid;

use crate::{
    Control, Error, audit,
    command::{Draft, command},
};

/// Makes the health monitor of a pool.
pub async fn health_monitor_create(
    control: &Control,
    caller: &Caller,
    new: NewHealthMonitor,
) -> Result<Arc<HealthMonitor>, Error> {
    command(control, caller, action(Verb::Create), |draft| create(draft, new.clone())).await
}

/// Changes a health monitor.
pub async fn health_monitor_update(
    control: &Control,
    caller: &Caller,
    id: HealthMonitorId,
    patch: HealthMonitorPatch,
) -> Result<Arc<HealthMonitor>, Error> {
    command(control, caller, action(Verb::Put), |draft| update(draft, id, patch.clone())).await
}

/// Deletes a health monitor; its pool's members count as healthy from then on.
pub async fn health_monitor_delete(
    control: &Control,
    caller: &Caller,
    id: HealthMonitorId,
) -> Result<(), Error> {
    command(control, caller, action(Verb::Delete), |draft| delete(draft, id)).await
}

const fn action(verb: Verb) -> Action {
    Action::elb("healthmonitors", verb)
}

pub(crate) fn create(draft: &mut Draft<'_>, new: NewHealthMonitor) -> Result<Arc<HealthMonitor>, Error> {
    let project = draft.caller.project;
    let pool = draft.pool(new.pool)?;
    draft.quota_for_one_more(QuotaKey::Healthmonitor)?;
    if let Some(other) = draft.state.monitor_of(pool.id) {
        return Err(Error::InUse {
            what: format!("pool {}", pool.id),
            by: format!("it has the health monitor {}; update that one", other.id),
        });
    }
    check_kind(&pool, new.probe.kind)?;
    check_port(&pool, &new.probe)?;
    let made = Arc::new(HealthMonitor {
        id: HealthMonitorId::new(Uuid::new_v4()),
        pool: pool.id,
        project,
        name: new.name,
        admin_up: new.admin_up,
        probe: new.probe,
        created_at: draft.now,
        updated_at: draft.now,
    });
    draft.put(Object::HealthMonitor(made.clone()));
    audit::record(draft, "createHealthMonitor", "healthmonitor", made.id, made.name.as_str(), Some(&made));
    Ok(made)
}

pub(crate) fn update(
    draft: &mut Draft<'_>,
    id: HealthMonitorId,
    patch: HealthMonitorPatch,
) -> Result<Arc<HealthMonitor>, Error> {
    let mut monitor = HealthMonitor::clone(&*draft.health_monitor(id)?);
    let probe = &mut monitor.probe;
    probe.kind = patch.kind.unwrap_or(probe.kind);
    probe.interval = patch.interval.unwrap_or(probe.interval);
    probe.timeout = patch.timeout.unwrap_or(probe.timeout);
    probe.rise = patch.rise.unwrap_or(probe.rise);
    probe.fall = patch.fall.unwrap_or(probe.fall);
    patch.port.apply(&mut probe.port);
    probe.http.method = patch.method.unwrap_or(probe.http.method);
    patch.host.apply(&mut probe.http.host);
    if let Some(path) = patch.path {
        probe.http.path = path;
    }
    if let Some(expected) = patch.expected {
        probe.http.expected = expected;
    }
    let pool = draft.pool(monitor.pool)?;
    check_kind(&pool, probe.kind)?;
    check_port(&pool, probe)?;
    monitor.name = patch.name.unwrap_or(monitor.name);
    monitor.admin_up = patch.admin_up.unwrap_or(monitor.admin_up);
    monitor.updated_at = draft.now;
    let changed = Arc::new(monitor);
    draft.put(Object::HealthMonitor(changed.clone()));
    audit::record(draft, "updateHealthMonitor", "healthmonitor", id, changed.name.as_str(), Some(&changed));
    Ok(changed)
}

pub(crate) fn delete(draft: &mut Draft<'_>, id: HealthMonitorId) -> Result<(), Error> {
    let monitor = draft.health_monitor(id)?;
    remove(draft, &monitor);
    Ok(())
}

pub(crate) fn remove(draft: &mut Draft<'_>, monitor: &Arc<HealthMonitor>) {
    draft.delete(Object::HealthMonitor(monitor.clone()));
    let (id, name) = (monitor.id, monitor.name.as_str());
    audit::record(draft, "deleteHealthMonitor", "healthmonitor", id, name, audit::NOTHING);
}

/// What a pool's members can be asked (behaviour/features.md section 8).
fn check_kind(pool: &Pool, kind: MonitorType) -> Result<(), Error> {
    use MonitorType::{Http, Https, Tcp, Tls, Udp};
    let fits: &[MonitorType] = match pool.protocol {
        PoolProtocol::Udp => &[Udp],
        PoolProtocol::Tcp => &[Tcp, Http, Https],
        PoolProtocol::Http | PoolProtocol::Https | PoolProtocol::Grpc => &[Tcp, Http, Https, Tls],
    };
    if fits.contains(&kind) {
        return Ok(());
    }
    let reason =
        format!("members of a {:?} pool are probed by one of {fits:?}, not by {kind:?}", pool.protocol);
    Err(Error::invalid("type", reason))
}

/// Members without a port of their own need to be told where they are probed.
fn check_port(pool: &Pool, probe: &ProbeSettings) -> Result<(), Error> {
    if pool.any_port && probe.port.is_none() {
        return Err(Error::invalid("monitor_port", "is needed, because the pool keeps the client's port"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::{
        MonitorType, Patch, PoolId, Port,
        health_monitor::{ProbeHost, ProbePath},
    };

    use super::*;
    use crate::testing::{World, new_monitor, probe};

    #[test]
    fn a_pool_has_one_monitor() {
        let mut world = World::new();
        let lb = world.load_balancer().id;
        let (pool, other) = (world.pool(lb).id, world.pool(lb).id);
        let first = world.monitor(pool).id;
        assert_eq!(world.code(|draft| create(draft, new_monitor(pool))), "in_use");
        assert_eq!(world.code(|draft| create(draft, new_monitor(other))), "ok");
        world.run(|draft| delete(draft, first)).unwrap();
        assert_eq!(world.code(|draft| create(draft, new_monitor(pool))), "ok");
        assert_eq!(world.code(|draft| create(draft, new_monitor(PoolId::new(Uuid::nil())))), "not_found");
        assert_eq!(world.code(|draft| delete(draft, first)), "not_found", "a second time");
    }

    #[test]
    fn any_port_pools_need_a_port_to_probe() {
        let mut world = World::new();
        let lb = world.load_balancer().id;
        let pool = world.pool_with(|new| (new.load_balancer, new.any_port) = (Some(lb), true)).id;
        assert_eq!(world.blame(|draft| create(draft, new_monitor(pool))), "monitor_port");
        let new = NewHealthMonitor { probe: probe(Some(81)), ..new_monitor(pool) };
        let id = world.run(|draft| create(draft, new)).unwrap().id;
        for (wish, expect) in
            [(Patch::Keep, "ok"), (Patch::Set(Port::of(82)), "ok"), (Patch::Clear, "monitor_port")]
        {
            let patch = HealthMonitorPatch { port: wish.clone(), ..Default::default() };
            assert_eq!(world.blame(|draft| update(draft, id, patch)), expect, "{wish:?}");
        }
    }

    #[test]
    fn an_update_changes_what_was_said_and_nothing_else() {
        let mut world = World::new();
        let lb = world.load_balancer().id;
        let pool = world.pool(lb).id;
        let before = world.monitor(pool);
        let host: ProbeHost = "example.com".to_owned().try_into().unwrap();
        let path: ProbePath = "/up".to_owned().try_into().unwrap();
        let patch = HealthMonitorPatch {
            kind: Some(MonitorType::Http),
            host: Patch::Set(host.clone()),
            path: Some(path.clone()),
            admin_up: Some(false),
            ..HealthMonitorPatch::default()
        };
        let after = world.run(|draft| update(draft, before.id, patch)).unwrap();
        let mut expect = HealthMonitor::clone(&before);
        expect.admin_up = false;
        expect.updated_at = after.updated_at;
        expect.probe.kind = MonitorType::Http;
        (expect.probe.http.host, expect.probe.http.path) = (Some(host), path);
        assert_eq!(*after, expect);
        let cleared = HealthMonitorPatch { host: Patch::Clear, ..Default::default() };
        assert_eq!(world.run(|draft| update(draft, before.id, cleared)).unwrap().probe.http.host, None);
    }

    #[test]
    fn monitors_have_no_limit_until_one_is_set() {
        let mut world = World::new();
        let lb = world.load_balancer().id;
        let (pool, other) = (world.pool(lb).id, world.pool(lb).id);
        world.monitor(pool);
        world.site.quotas.insert(QuotaKey::Healthmonitor, 1);
        assert_eq!(world.code(|draft| create(draft, new_monitor(other))), "quota_exceeded");
    }

    #[test]
    fn another_projects_monitor_is_not_there() {
        let mut world = World::new();
        let lb = world.load_balancer().id;
        let pool = world.pool(lb).id;
        let id = world.monitor(pool).id;
        world.as_other_project();
        assert_eq!(world.code(|draft| update(draft, id, HealthMonitorPatch::default())), "not_found");
        assert_eq!(world.code(|draft| delete(draft, id)), "not_found");
    }
}
