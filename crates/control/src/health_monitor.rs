//! The verbs of health monitors (huawei/behaviours.md sections 3 and 4).

use std::sync::Arc;

use identity::{Action, Caller, Verb};
use model::{
    HealthMonitor, HealthMonitorId, HealthMonitorPatch, MonitorType, NewHealthMonitor, Object, Pool,
    PoolProtocol, QuotaKey, health_monitor::ExpectedStatuses, target::ProbeSettings,
};
use uuid::Uuid;

use crate::{
    Control, Error, audit,
    command::{Draft, command},
    pool, standby_pool,
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
    let pool = pool::ordinary(draft, new.pool)?;
    add(draft, &pool, new)
}

/// Gives a pool its health monitor.
pub(crate) fn add(
    draft: &mut Draft<'_>,
    pool: &Pool,
    new: NewHealthMonitor,
) -> Result<Arc<HealthMonitor>, Error> {
    let project = draft.caller.project;
    draft.quota_for_one_more(QuotaKey::Healthmonitor)?;
    if let Some(other) = draft.state.monitor_of(pool.id) {
        return Err(Error::InUse {
            what: format!("pool {}", pool.id),
            by: format!("it has the health monitor {}; update that one", other.id),
        });
    }
    check(pool, &new.probe)?;
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
    let pool = draft.pool(monitor.pool)?;
    standby_pool::check_monitor_stays(&pool, &patch)?;
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
    patch.datagram.apply(&mut probe.datagram);
    match (patch.expected, probe.kind.codes()) {
        (Some(expected), _) => probe.http.expected = expected,
        // Codes of the former type would never come.
        (None, Some(kind)) if kind != probe.http.expected.kind() => {
            probe.http.expected = ExpectedStatuses::default_of(kind);
        }
        (None, _) => {}
    }
    check(&pool, probe)?;
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
    if draft.pool(monitor.pool)?.standby {
        return Err(Error::InUse {
            what: format!("health monitor {id}"),
            by: format!("pool {} changes over by it; it goes with the pool", monitor.pool),
        });
    }
    remove(draft, &monitor);
    Ok(())
}

pub(crate) fn remove(draft: &mut Draft<'_>, monitor: &Arc<HealthMonitor>) {
    draft.delete(Object::HealthMonitor(monitor.clone()));
    let (id, name) = (monitor.id, monitor.name.as_str());
    audit::record(draft, "deleteHealthMonitor", "healthmonitor", id, name, audit::NOTHING);
}

/// Whether a pool's members can be probed so.
pub(crate) fn check(pool: &Pool, probe: &ProbeSettings) -> Result<(), Error> {
    let kinds = kinds_of(pool.protocol);
    if !kinds.contains(&probe.kind) {
        return Err(Error::invalid(
            "type",
            format!(
                "members of a {:?} pool are probed by one of {kinds:?}, not by {:?}",
                pool.protocol, probe.kind
            ),
        ));
    }
    if probe.kind.codes().is_some_and(|kind| kind != probe.http.expected.kind()) {
        return Err(Error::invalid(
            "expected_codes",
            format!(
                "'{}' does not fit a {:?} probe: HTTP has codes from 200 to 599, gRPC from 0 to 99",
                probe.http.expected.as_str(),
                probe.kind
            ),
        ));
    }
    if probe.datagram.is_some() && probe.kind != MonitorType::Udp {
        return Err(Error::invalid("datagram", "only UDP probes have a text to send"));
    }
    if pool.any_port && probe.port.is_none() {
        return Err(Error::invalid("monitor_port", "is needed, because the pool keeps the client's port"));
    }
    Ok(())
}

/// Which probes fit what a pool's members speak (huawei/behaviours.md section 3).
fn kinds_of(protocol: PoolProtocol) -> &'static [MonitorType] {
    use MonitorType::{Grpc, Http, Https, Tcp, Tls, Udp};
    match protocol {
        PoolProtocol::Udp | PoolProtocol::Quic => &[Udp],
        PoolProtocol::Tcp => &[Tcp, Http, Https],
        PoolProtocol::Http | PoolProtocol::Https | PoolProtocol::Grpc | PoolProtocol::Tls => {
            &[Tcp, Http, Https, Tls, Grpc]
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{
        Patch, PoolId, Port,
        health_monitor::{DatagramProbe, ProbeHost, ProbePath, ProbeText},
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
    fn a_probe_speaks_what_members_may_answer_to() {
        use MonitorType::{Grpc, Http, Https, Tcp, Tls, Udp};
        for (protocol, fit) in [
            (PoolProtocol::Tcp, &[Tcp, Http, Https][..]),
            (PoolProtocol::Udp, &[Udp]),
            (PoolProtocol::Quic, &[Udp]),
            (PoolProtocol::Tls, &[Tcp, Http, Https, Tls, Grpc]),
            (PoolProtocol::Http, &[Tcp, Http, Https, Tls, Grpc]),
            (PoolProtocol::Https, &[Tcp, Http, Https, Tls, Grpc]),
            (PoolProtocol::Grpc, &[Tcp, Http, Https, Tls, Grpc]),
        ] {
            let mut world = World::new();
            let lb = world.load_balancer().id;
            let sticky = Some(model::pool::Stickiness::SourceIp { minutes: model::StickyMinutes::MIN });
            let pool = world.pool_with(|new| {
                (new.load_balancer, new.protocol) = (Some(lb), protocol);
                new.stickiness = sticky.filter(|_| protocol == PoolProtocol::Quic);
            });
            for kind in [Tcp, Http, Https, Tls, Grpc, Udp] {
                let mut new = new_monitor(pool.id);
                new.probe.kind = kind;
                new.probe.http.expected =
                    kind.codes().map_or_else(ExpectedStatuses::ok, ExpectedStatuses::default_of);
                let expect = if fit.contains(&kind) { "ok" } else { "type" };
                assert_eq!(world.blame(|draft| create(draft, new)), expect, "{protocol:?} {kind:?}");
                if let Some(made) = world.state.monitor_of(pool.id).map(|monitor| monitor.id) {
                    world.run(|draft| delete(draft, made)).unwrap();
                }
            }
        }
    }

    #[test]
    fn expected_codes_are_those_of_the_probe() {
        let mut world = World::new();
        let lb = world.load_balancer().id;
        let pool = world.pool_with(|new| (new.load_balancer, new.protocol) = (Some(lb), PoolProtocol::Grpc));
        let id = world.monitor(pool.id).id;
        let codes = |text: &str| Some(text.parse::<ExpectedStatuses>().unwrap());
        for (why, kind, expected, blame, after) in [
            ("of TCP they do not matter", None, codes("12"), "ok", "12"),
            ("the default of HTTP", Some(MonitorType::Http), None, "ok", "200"),
            ("gRPC codes for HTTP", None, codes("0"), "expected_codes", "200"),
            ("the default of gRPC", Some(MonitorType::Grpc), None, "ok", "0"),
            ("HTTP codes for gRPC", None, codes("200-204"), "expected_codes", "0"),
            ("gRPC codes", None, codes("0,12"), "ok", "0,12"),
            ("both at once", Some(MonitorType::Https), codes("204"), "ok", "204"),
            ("kept for when they matter again", Some(MonitorType::Tcp), None, "ok", "204"),
        ] {
            let patch = HealthMonitorPatch { kind, expected, ..Default::default() };
            assert_eq!(world.blame(|draft| update(draft, id, patch)), blame, "{why}");
            assert_eq!(world.state.health_monitor(id).unwrap().probe.http.expected.as_str(), after, "{why}");
        }
    }

    #[test]
    fn only_a_udp_probe_sends_a_text() {
        let text = |text: &str| ProbeText::try_from(text.to_owned()).unwrap();
        let datagram = || Some(DatagramProbe { send: text("ping"), expect: text("pong") });
        let mut world = World::new();
        let lb = world.load_balancer().id;
        for (protocol, kind, expect) in
            [(PoolProtocol::Udp, MonitorType::Udp, "ok"), (PoolProtocol::Tcp, MonitorType::Tcp, "datagram")]
        {
            let pool = world.pool_with(|new| (new.load_balancer, new.protocol) = (Some(lb), protocol));
            let mut new = new_monitor(pool.id);
            (new.probe.kind, new.probe.datagram) = (kind, datagram());
            assert_eq!(world.blame(|draft| create(draft, new)), expect, "{kind:?}");
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
