//! The status tree: every kind of status, from what a node reports.

use std::sync::Arc;

use control::statuses::{LoadBalancerStatus, MemberStatus, load_balancer_status, member_status};
use model::{
    Facts, Fault, HealthMonitorPatch, ListenerId, LoadBalancerId, LoadBalancerPatch, MemberHealth, MemberId,
    MemberPatch, OperatingStatus, Patch, PoolId, PoolPatch, ProbeFailure, ProbeFailureCode,
    ProvisioningStatus, TargetId, TargetOverride, Timestamp, Verdict, target::MonitorOverride,
};
use tokio::sync::watch;

use crate::{Fixture, admin, new};

/// A load balancer with two listeners of one pool of two members, and a monitor.
struct Stage {
    site: Fixture,
    node: watch::Sender<Arc<Facts>>,
    lb: LoadBalancerId,
    listeners: [ListenerId; 2],
    pool: PoolId,
    members: [MemberId; 2],
}

impl Stage {
    async fn new() -> Self {
        let (node, facts) = watch::channel(Arc::default());
        let site = Fixture::with(facts).await;
        // A node that is always in time.
        let mut commits = site.control.store().revisions();
        let node_of = node.clone();
        tokio::spawn(async move {
            while commits.changed().await.is_ok() {
                let applied = *commits.borrow_and_update();
                node_of.send_modify(|facts| *facts = Arc::new(Facts { applied, ..Facts::clone(facts) }));
            }
        });
        let lb = site.load_balancer().await;
        let pool = site.pool(&lb).await.id;
        let on = &site.control;
        let mut listeners = Vec::new();
        for port in [80, 81] {
            let new = model::NewListener { default_pool: Some(pool), ..new::listener(lb.id, port) };
            listeners.push(control::listener_create(on, &admin(), new).await.unwrap().id);
        }
        let mut members = Vec::new();
        for last in [1, 2] {
            members.push(control::member_create(on, &admin(), pool, new::member(last)).await.unwrap().id);
        }
        control::health_monitor_create(on, &admin(), new::health_monitor(pool)).await.unwrap();
        Self {
            lb: lb.id,
            listeners: listeners.try_into().unwrap(),
            pool,
            members: members.try_into().unwrap(),
            site,
            node,
        }
    }

    /// A listener's probes of a member end so.
    fn probed(&self, listener: usize, member: usize, verdict: Verdict) {
        let failure = (verdict == Verdict::Down).then(|| ProbeFailure {
            code: ProbeFailureCode::ConnectRefused,
            expected: String::new(),
            got: String::new(),
            detail: "refused".to_owned(),
        });
        let key = (TargetId { listener: self.listeners[listener], pool: self.pool }, self.members[member]);
        let health = MemberHealth { verdict, since: Timestamp::default(), failure };
        self.node.send_modify(|facts| {
            Arc::make_mut(facts).health.insert(key, health);
        });
    }

    fn all_probed(&self, verdict: Verdict) {
        for (listener, member) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            self.probed(listener, member, verdict);
        }
    }

    fn tree(&self) -> LoadBalancerStatus {
        let view = self.site.control.view(&admin());
        load_balancer_status(&view, &view.load_balancer(self.lb).unwrap().clone())
    }

    fn member(&self, which: usize) -> MemberStatus {
        let view = self.site.control.view(&admin());
        member_status(&view, &view.member(self.pool, self.members[which]).unwrap().clone())
    }

    async fn patch_load_balancer(&self, admin_up: bool) {
        let patch = LoadBalancerPatch { admin_up: Some(admin_up), ..LoadBalancerPatch::default() };
        control::load_balancer_update(&self.site.control, &admin(), self.lb, patch).await.unwrap();
    }

    async fn patch_pool(&self, admin_up: bool) {
        let patch = PoolPatch { admin_up: Some(admin_up), ..PoolPatch::default() };
        control::pool_update(&self.site.control, &admin(), self.pool, patch).await.unwrap();
    }

    async fn patch_member(&self, which: usize, admin_up: bool) {
        let (id, on) = (self.members[which], &self.site.control);
        let patch = MemberPatch { admin_up: Some(admin_up), ..MemberPatch::default() };
        control::member_update(on, &admin(), self.pool, id, patch).await.unwrap();
    }
}

/// The tree in one line: load balancer | each listener (its pool: members) | its pools (members).
fn line(tree: &LoadBalancerStatus) -> String {
    let pool = |pool: &control::statuses::PoolStatus| {
        let members: Vec<_> = pool.members.iter().map(|(_, status)| short(*status)).collect();
        format!("{}({})", short(pool.operating), members.join(" "))
    };
    let listeners = tree.listeners.iter().map(|one| {
        let pools: Vec<_> = one.pools.iter().map(pool).collect();
        format!("{}:{}", short(one.operating), pools.join(" "))
    });
    let pools: Vec<_> = tree.pools.iter().map(pool).collect();
    format!("{} | {} | {}", short(tree.operating), listeners.collect::<Vec<_>>().join(" "), pools.join(" "))
}

fn short(status: OperatingStatus) -> &'static str {
    match status {
        OperatingStatus::Online => "on",
        OperatingStatus::Degraded => "degraded",
        OperatingStatus::Disabled => "disabled",
        OperatingStatus::Offline => "off",
        OperatingStatus::NoMonitor => "none",
        OperatingStatus::Initial => "initial",
        OperatingStatus::Unknown => "unknown",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_rises_from_members_to_the_load_balancer() {
    let stage = Stage::new().await;
    assert_eq!(
        line(&stage.tree()),
        "on | on:on(initial initial) on:on(initial initial) | on(initial initial)",
        "nothing probed yet hurts nobody"
    );
    stage.all_probed(Verdict::Up);
    assert_eq!(line(&stage.tree()), "on | on:on(on on) on:on(on on) | on(on on)");
    stage.all_probed(Verdict::Down);
    assert_eq!(
        line(&stage.tree()),
        "degraded | degraded:degraded(off off) degraded:degraded(off off) | degraded(off off)"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_down_for_one_listener_shows_so_there_and_over_all() {
    let stage = Stage::new().await;
    stage.all_probed(Verdict::Up);
    stage.probed(0, 0, Verdict::Down);
    let tree = stage.tree();
    let of = |id| tree.listeners.iter().find(|one| one.listener.id == id).unwrap();
    let (hurt, well) = (of(stage.listeners[0]), of(stage.listeners[1]));
    assert_eq!((short(hurt.operating), short(well.operating)), ("degraded", "on"));
    assert_eq!((short(tree.operating), short(tree.pools[0].operating)), ("degraded", "degraded"));

    let member = stage.member(0);
    assert_eq!(short(member.operating), "off");
    let down = member.listeners.iter().find(|one| one.listener == stage.listeners[0]).unwrap();
    let up = member.listeners.iter().find(|one| one.listener == stage.listeners[1]).unwrap();
    assert_eq!((short(down.operating), short(up.operating)), ("off", "on"));
    let why = down.health.as_ref().and_then(|health| health.failure.as_ref()).unwrap();
    assert_eq!(why.code, ProbeFailureCode::ConnectRefused, "with the reason");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_nobody_probes_is_offline_while_its_pool_leaves_it_out() {
    let stage = Stage::new().await;
    let monitor = stage.site.control.view(&admin()).snapshot.monitor_of(stage.pool).unwrap().id;
    control::health_monitor_delete(&stage.site.control, &admin(), monitor).await.unwrap();
    stage.probed(0, 0, Verdict::Down);
    assert_eq!(short(stage.member(0).operating), short(OperatingStatus::NoMonitor), "a verdict of before");
    let patch = PoolPatch {
        outlier_detection: model::Patch::Set(model::OutlierDetection::default()),
        ..PoolPatch::default()
    };
    control::pool_update(&stage.site.control, &admin(), stage.pool, patch).await.unwrap();
    let (failing, other) = (stage.member(0), stage.member(1));
    assert_eq!(short(failing.operating), "off");
    assert_eq!(short(other.operating), short(OperatingStatus::NoMonitor));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_switched_off_is_disabled_with_all_below_it_even_when_it_is_down() {
    let stage = Stage::new().await;
    stage.all_probed(Verdict::Down);
    stage.patch_load_balancer(false).await;
    assert_eq!(
        line(&stage.tree()),
        "disabled | disabled:disabled(disabled disabled) disabled:disabled(disabled disabled) | disabled(disabled disabled)"
    );
    stage.patch_load_balancer(true).await;
    stage.patch_pool(false).await;
    assert_eq!(
        line(&stage.tree()),
        "on | on:disabled(disabled disabled) on:disabled(disabled disabled) | disabled(disabled disabled)"
    );
    stage.patch_pool(true).await;
    stage.patch_member(0, false).await;
    stage.patch_member(1, false).await;
    assert_eq!(
        line(&stage.tree()),
        "on | on:on(disabled disabled) on:on(disabled disabled) | on(disabled disabled)",
        "a member that is switched off hurts nobody"
    );
    assert_eq!(short(stage.member(0).operating), "off", "only the tree shows what is switched off");

    let patch = model::ListenerPatch { admin_up: Some(false), ..Default::default() };
    control::listener_update(&stage.site.control, &admin(), stage.listeners[0], patch).await.unwrap();
    let off = stage.tree().listeners.into_iter().find(|one| one.listener.id == stage.listeners[0]).unwrap();
    assert_eq!((short(off.operating), short(off.pools[0].operating)), ("disabled", "disabled"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_nobody_probes_have_no_monitor_or_are_unknown() {
    let stage = Stage::new().await;
    let on = &stage.site.control;
    let monitor = on.snapshot().monitor_of(stage.pool).unwrap().id;

    let off = HealthMonitorPatch { admin_up: Some(false), ..HealthMonitorPatch::default() };
    control::health_monitor_update(on, &admin(), monitor, off).await.unwrap();
    let none = "on | on:on(none none) on:on(none none) | on(none none)";
    assert_eq!(line(&stage.tree()), none, "the monitor is switched off");
    let up = HealthMonitorPatch { admin_up: Some(true), ..HealthMonitorPatch::default() };
    control::health_monitor_update(on, &admin(), monitor, up).await.unwrap();

    for listener in stage.listeners {
        let nowhere = model::ListenerPatch { default_pool: Patch::Clear, ..Default::default() };
        control::listener_update(on, &admin(), listener, nowhere).await.unwrap();
    }
    assert_eq!(line(&stage.tree()), "on | on: on: | on(unknown unknown)", "a pool that no listener uses");
    control::health_monitor_delete(on, &admin(), monitor).await.unwrap();
    assert_eq!(line(&stage.tree()), "on | on: on: | on(none none)", "and that has no monitor");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_may_switch_the_probes_of_its_target_off() {
    let stage = Stage::new().await;
    stage.all_probed(Verdict::Down);
    let target = TargetOverride { monitor: Some(MonitorOverride::Off), ..TargetOverride::default() };
    let new = model::NewListener { target, default_pool: Some(stage.pool), ..new::listener(stage.lb, 82) };
    let trusting = control::listener_create(&stage.site.control, &admin(), new).await.unwrap().id;
    let tree = stage.tree();
    let here = tree.listeners.iter().find(|one| one.listener.id == trusting).unwrap();
    let members: Vec<_> = here.pools[0].members.iter().map(|(_, status)| short(*status)).collect();
    assert_eq!((short(here.operating), members), ("on", vec!["none", "none"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_is_not_in_force_is_an_error_with_its_reason_and_degrades_the_load_balancer() {
    let stage = Stage::new().await;
    stage.all_probed(Verdict::Up);
    let fault = Fault { reason: "port 80 is another program's".to_owned(), since: Timestamp::default() };
    stage.node.send_modify(|facts| {
        Arc::make_mut(facts).faults.insert(stage.listeners[0], fault);
    });
    let tree = stage.tree();
    assert_eq!((tree.provisioning, short(tree.operating)), (ProvisioningStatus::Error, "degraded"));
    for one in &tree.listeners {
        let expect = if one.listener.id == stage.listeners[0] {
            (ProvisioningStatus::Error, "degraded", Some("port 80 is another program's"))
        } else {
            (ProvisioningStatus::Active, "on", None)
        };
        assert_eq!((one.provisioning, short(one.operating), one.fault.as_deref()), expect);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_of_policies_stand_below_the_listener_and_a_faulty_policy_degrades_it() {
    let stage = Stage::new().await;
    let on = &stage.site.control;
    let web = control::listener_create(on, &admin(), new::web(stage.lb, 90)).await.unwrap().id;
    let pool = control::pool_create(on, &admin(), new::web_pool(stage.lb)).await.unwrap().id;
    control::member_create(on, &admin(), pool, new::member(3)).await.unwrap();
    let policy = control::policy_create(on, &admin(), new::policy(web, pool, "/a")).await.unwrap().id;
    let of =
        |tree: LoadBalancerStatus| tree.listeners.into_iter().find(|one| one.listener.id == web).unwrap();
    let shown = of(stage.tree());
    assert_eq!((short(shown.operating), shown.pools.len(), shown.pools[0].pool.id), ("on", 1, pool));
    assert_eq!(shown.pools[0].members.len(), 1);
    let [one] = shown.policies.as_slice() else { panic!("one policy") };
    assert_eq!((one.policy.id, one.provisioning, one.rules.len()), (policy, ProvisioningStatus::Active, 1));
    assert!(stage.tree().pools.iter().any(|one| one.pool.id == pool), "it is the load balancer's, too");
    let view = on.view(&admin());
    let member = view.snapshot.members_of(pool).next().unwrap();
    let seen: Vec<_> = member_status(&view, member).listeners.into_iter().map(|one| one.listener).collect();
    assert_eq!(seen, [web]);

    let twin = control::policy_create(on, &admin(), new::policy(web, pool, "/a")).await.unwrap();
    assert!(twin.faulty);
    let shown = of(stage.tree());
    assert_eq!((short(shown.operating), shown.provisioning), ("degraded", ProvisioningStatus::Active));
    assert_eq!(shown.pools.len(), 1, "a pool that two policies name stands once");
    let errors = shown.policies.iter().filter(|one| one.provisioning == ProvisioningStatus::Error);
    assert_eq!(errors.map(|one| one.policy.id).collect::<Vec<_>>(), [twin.id]);
}
