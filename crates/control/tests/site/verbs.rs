//! Coverage by list: each verb leaves an audit trace and is denied to a reader.

use std::{
    collections::BTreeSet,
    fs,
    future::Future,
    path::Path,
    pin::Pin,
    time::{Duration, Instant},
};

use control::{Cascade, CascadePools, Control, Error, MemberRef};
use identity::Caller;
use model::{
    AccessLogId, CertificateId, CertificatePatch, HealthMonitorId, HealthMonitorPatch, IpGroupId,
    IpGroupPatch, ListenerId, ListenerPatch, LoadBalancerId, LoadBalancerPatch, MemberId, MemberPatch,
    PolicyId, PolicyPatch, PoolId, PoolPatch, Priority, QuotaKey, Role, RuleId, RulePatch, RuleSubject,
    SecurityPolicyId, SecurityPolicyPatch, Trace, TraceRating,
};
use store::TraceFilter;

use crate::{Fixture, admin, caller, new, project};

/// Something for each verb to work on, new for each.
#[derive(Clone, Copy)]
struct Stage {
    /// Has a listener and a pool.
    busy: LoadBalancerId,
    /// Has nothing.
    empty: LoadBalancerId,
    /// Of `busy`, without a pool.
    listener: ListenerId,
    /// Of `busy`, with a member and a monitor.
    pool: PoolId,
    /// Of `busy`, with nothing.
    empty_pool: PoolId,
    /// Of `busy`.
    standby_pool: PoolId,
    member: MemberId,
    monitor: HealthMonitorId,
    /// Of `busy`, HTTP with advanced forwarding.
    web: ListenerId,
    /// Of `busy`, for `web`.
    web_pool: PoolId,
    /// Of `web`.
    policy: PolicyId,
    /// Of `policy`.
    rule: RuleId,
    certificate: CertificateId,
    security_policy: SecurityPolicyId,
    ip_group: IpGroupId,
    /// Of `busy`.
    access_log: AccessLogId,
}

async fn stage(site: &Fixture) -> Stage {
    let (busy, empty) = (site.load_balancer().await, site.load_balancer().await);
    let (pool, empty_pool) = (site.pool(&busy).await.id, site.pool(&busy).await.id);
    let on = &site.control;
    let listener = control::listener_create(on, &admin(), new::listener(busy.id, 80)).await.unwrap();
    let member = control::member_create(on, &admin(), pool, new::member(1)).await.unwrap();
    let monitor = control::health_monitor_create(on, &admin(), new::health_monitor(pool)).await.unwrap();
    let standby = control::standby_pool_create(on, &admin(), new::standby_pool(busy.id)).await.unwrap();
    let web = control::listener_create(on, &admin(), new::web(busy.id, 81)).await.unwrap().id;
    let web_pool = control::pool_create(on, &admin(), new::web_pool(busy.id)).await.unwrap().id;
    let policy = control::policy_create(on, &admin(), new::policy(web, web_pool, "/a")).await.unwrap().id;
    let rule = on.snapshot().rules_of(policy).next().unwrap().id;
    let certificate = control::certificate_create(on, &admin(), new::certificate()).await.unwrap().id;
    let security_policy =
        control::security_policy_create(on, &admin(), new::security_policy()).await.unwrap().id;
    let ip_group = control::ip_group_create(on, &admin(), new::ip_group()).await.unwrap().id;
    let access_log = control::access_log_create(on, &admin(), new::access_log(busy.id)).await.unwrap().id;
    Stage {
        web,
        web_pool,
        policy,
        rule,
        certificate,
        security_policy,
        ip_group,
        access_log,
        busy: busy.id,
        empty: empty.id,
        listener: listener.id,
        pool,
        empty_pool,
        standby_pool: standby.id,
        member: member.id,
        monitor: monitor.id,
    }
}

type Run = fn(Control, Caller, Stage) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

macro_rules! verbs {
    ($($verb:ident($($argument:expr),* $(,)?) => $traces:expr;)+) => {
        /// Each public verb, a call of it, and the traces that it leaves.
        fn verbs() -> Vec<(&'static str, Run, &'static [&'static str])> {
            vec![$((
                stringify!($verb),
                |control, caller, stage| Box::pin(async move {
                    control::$verb(&control, &caller, $($argument(&stage)),*).await.map(drop)
                }),
                &$traces,
            ),)+]
        }
    };
}

fn one<T>(of: fn(&Stage) -> T) -> fn(&Stage) -> T {
    of
}

verbs! {
    load_balancer_create(one(|_| new::load_balancer())) => ["createLoadbalancer"];
    load_balancer_update(one(|s| s.busy), one(|_| LoadBalancerPatch::default())) => ["updateLoadbalancer"];
    load_balancer_delete(one(|s| s.empty)) => ["deleteLoadbalancer"];
    load_balancer_delete_cascade(one(|s| s.busy), one(|_| Cascade { pools: CascadePools::Delete })) => [
        "deleteHealthMonitor", "deleteHealthMonitor", "deleteL7policy", "deleteL7rule", "deleteListener",
        "deleteListener", "deleteLoadbalancer", "deleteLogtank", "deleteMember", "deleteMember", "deleteMember",
        "deletePool", "deletePool", "deletePool", "deletePool",
    ];
    listener_create(one(|s| new::listener(s.empty, 81))) => ["createListener"];
    listener_update(one(|s| s.listener), one(|_| ListenerPatch::default())) => ["updateListener"];
    listener_delete(one(|s| s.listener)) => ["deleteListener"];
    listener_delete_force(one(|s| s.listener)) => ["deleteListener"];
    pool_create(one(|s| new::pool(s.empty))) => ["createPool"];
    pool_update(one(|s| s.pool), one(|_| PoolPatch::default())) => ["updatePool"];
    pool_delete(one(|s| s.empty_pool)) => ["deletePool"];
    standby_pool_create(one(|s| new::standby_pool(s.empty))) =>
        ["createHealthMonitor", "createMember", "createMember", "createPool"];
    standby_pool_delete(one(|s| s.standby_pool)) =>
        ["deleteHealthMonitor", "deleteMember", "deleteMember", "deletePool"];
    pool_delete_batch(one(|s| vec![s.empty_pool])) => ["deletePool"];
    pool_delete_cascade(one(|s| s.pool)) => ["deleteHealthMonitor", "deleteMember", "deletePool"];
    member_create(one(|s| s.pool), one(|_| new::member(2))) => ["createMember"];
    member_update(one(|s| s.pool), one(|s| s.member), one(|_| MemberPatch::default())) => ["updateMember"];
    member_delete(one(|s| s.pool), one(|s| s.member)) => ["deleteMember"];
    member_create_batch(one(|s| s.pool), one(|_| vec![new::member(2), new::member(3)])) =>
        ["createMember", "createMember"];
    member_update_batch(one(|s| s.pool), one(|s| vec![(s.member, MemberPatch::default())])) => ["updateMember"];
    member_delete_batch(one(|s| s.pool), one(|s| vec![MemberRef::Id(s.member)])) => ["deleteMember"];
    health_monitor_create(one(|s| new::health_monitor(s.empty_pool))) => ["createHealthMonitor"];
    health_monitor_update(one(|s| s.monitor), one(|_| HealthMonitorPatch::default())) => ["updateHealthMonitor"];
    health_monitor_delete(one(|s| s.monitor)) => ["deleteHealthMonitor"];
    certificate_create(one(|_| new::certificate())) => ["createCertificate"];
    certificate_update(one(|s| s.certificate), one(|_| CertificatePatch::default())) => ["updateCertificate"];
    certificate_delete(one(|s| s.certificate)) => ["deleteCertificate"];
    certificate_delete_batch(one(|s| vec![s.certificate])) => ["deleteCertificate"];
    private_key_echo_update(one(|_| false)) => ["updatePrivateKeyEcho"];
    security_policy_create(one(|_| new::security_policy())) => ["createSecurityPolicy"];
    security_policy_update(one(|s| s.security_policy), one(|_| SecurityPolicyPatch::default())) =>
        ["updateSecurityPolicy"];
    security_policy_delete(one(|s| s.security_policy)) => ["deleteSecurityPolicy"];
    ip_group_create(one(|_| new::ip_group())) => ["createIpgroup"];
    ip_group_update(one(|s| s.ip_group), one(|_| IpGroupPatch::default())) => ["updateIpgroup"];
    ip_group_entries_put(one(|s| s.ip_group), one(|_| IpGroupPatch::default())) => ["updateIpgroup"];
    ip_group_entries_remove(one(|s| s.ip_group), one(|_| Vec::new())) => ["updateIpgroup"];
    ip_group_delete(one(|s| s.ip_group)) => ["deleteIpgroup"];
    policy_create(one(|s| new::policy(s.web, s.web_pool, "/b"))) => ["createL7policy", "createl7rule"];
    policy_update(one(|s| s.policy), one(|_| PolicyPatch::default())) => ["updateL7policy"];
    policy_delete(one(|s| s.policy)) => ["deleteL7policy", "deleteL7rule"];
    policy_priorities_update(one(|s| vec![(s.policy, Priority::of(9))])) => ["updateL7policy"];
    rule_create(one(|s| s.policy), one(|_| new::rule(RuleSubject::Host, "a.example.com"))) => ["createl7rule"];
    rule_update(one(|s| s.policy), one(|s| s.rule), one(|_| RulePatch::default())) => ["updateL7rule"];
    rule_delete(one(|s| s.policy), one(|s| s.rule)) => ["deleteL7rule"];
    access_log_create(one(|s| new::access_log(s.empty))) => ["createLogtank"];
    access_log_update(one(|s| s.access_log), one(|_| new::other_topic())) => ["updateLogtank"];
    access_log_delete(one(|s| s.access_log)) => ["deleteLogtank"];
    quota_update(one(|_| vec![(QuotaKey::Pool, 400)])) => ["updateQuota"];
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_verb_writes_its_traces_in_its_own_revision_and_is_denied_to_a_reader() {
    let site = Fixture::new().await;
    for (verb, run, expect) in verbs() {
        let stage = stage(&site).await;
        let before = site.revision();
        let denied = run(site.control.clone(), caller(Role::Reader, verb), stage).await.unwrap_err();
        assert_eq!((denied.code(), site.revision()), ("denied", before), "{verb}: {denied}");
        assert_eq!(traces(&site, verb).await, Vec::<String>::new(), "{verb}: denied");
        let refused = refusal(&site, verb).await;
        assert!(refused.response.contains("\"denied\""), "{verb}: {}", refused.response);
        assert!(KINDS.contains(&refused.resource_type.as_str()), "{verb}: {}", refused.resource_type);

        run(site.control.clone(), caller(Role::Admin, verb), stage).await.unwrap();
        assert_eq!(site.revision(), before.next(), "{verb}: one command, one revision");
        assert_eq!(traces(&site, verb).await, expect, "{verb}");
        // Quotas are per project, so what a verb was shown on makes place for the next.
        sweep(&site).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_a_project_do_all_but_set_quotas() {
    let site = Fixture::new().await;
    for (verb, run, _) in verbs() {
        let stage = stage(&site).await;
        let outcome = run(site.control.clone(), caller(Role::Member, verb), stage).await;
        assert_eq!(outcome.is_ok(), verb != "quota_update", "{verb}: {outcome:?}");
        sweep(&site).await;
    }
}

#[test]
fn the_list_names_every_public_verb() {
    let listed: BTreeSet<String> = verbs().into_iter().map(|(verb, ..)| verb.to_owned()).collect();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let public = re_exports(&fs::read_to_string(source.join("lib.rs")).unwrap());
    let all = sources(&source);
    let verbs: BTreeSet<_> =
        public.into_iter().filter(|name| all.contains(&format!("pub async fn {name}("))).collect();
    // A check on demand is no command: it changes nothing.
    let verbs: BTreeSet<_> = verbs.into_iter().filter(|verb| verb != "member_check_create").collect();
    assert!(verbs.len() > 20, "the scan finds the verbs: {verbs:?}");
    assert_eq!(verbs, listed);
}

/// The names of functions that `pub use` lines take up.
fn re_exports(lib: &str) -> BTreeSet<String> {
    let uses = lib.split("pub use ").skip(1).filter_map(|rest| rest.split(';').next());
    let names = uses.flat_map(|path| path.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')));
    names.filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase())).map(str::to_owned).collect()
}

/// All source text below a folder.
fn sources(folder: &Path) -> String {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| if path.is_dir() { sources(&path) } else { fs::read_to_string(path).unwrap() }).collect()
}

/// The names of the traces of a request, sorted. What they say is checked on the way.
async fn traces(site: &Fixture, request: &str) -> Vec<String> {
    let all = site.control.store().traces(TraceFilter { project: project(), limit: 1000 }).await.unwrap();
    let mut names = Vec::new();
    let done = |trace: &Trace| trace.request_id == request && trace.rating == TraceRating::Normal;
    for trace in all.into_iter().filter(done) {
        assert_eq!(
            (trace.user_name.as_str(), trace.source_ip.as_str(), trace.api_version.as_str()),
            ("ada", "127.0.0.1", "v3"),
            "{request}"
        );
        assert!(!trace.resource_id.is_empty() && !trace.resource_name.is_empty(), "{request}");
        let shown = serde_json::from_str::<serde_json::Value>(&trace.response).is_ok();
        assert_eq!(shown, !trace.name.starts_with("delete"), "{request}: {}", trace.response);
        names.push(trace.name);
    }
    names.sort();
    names
}

/// The trace of a request that was refused, of which there is one.
async fn refusal(site: &Fixture, request: &str) -> Trace {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let all = site.control.store().traces(TraceFilter { project: project(), limit: 1000 }).await.unwrap();
        let refused = |trace: &Trace| trace.request_id == request && trace.rating == TraceRating::Warning;
        let mut found: Vec<_> = all.into_iter().filter(refused).collect();
        assert!(found.len() <= 1, "{request}: {found:?}");
        if let Some(trace) = found.pop() {
            assert_eq!((trace.user_name.as_str(), trace.api_version.as_str()), ("ada", "v3"), "{request}");
            return trace;
        }
        assert!(Instant::now() < until, "{request}: a refusal leaves a trace");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_command_leaves_a_warning_that_names_its_object() {
    let site = Fixture::new().await;
    let stage = stage(&site).await;
    let before = site.revision();
    let (nobody, network) = (PoolId::new(crate::id(99)), model::NetworkId::new(crate::id(99)));
    let moved = || PoolPatch { network: Some(network), ..PoolPatch::default() };
    let with = |request| caller(Role::Member, request);
    let on = &site.control;
    control::pool_delete(on, &with("in use"), stage.pool).await.unwrap_err();
    control::pool_update(on, &with("unfit"), stage.pool, moved()).await.unwrap_err();
    control::pool_update(on, &with("not there"), nobody, PoolPatch::default()).await.unwrap_err();
    let unfit = new::listener(stage.busy, 80);
    control::listener_create(on, &with("taken"), unfit).await.unwrap_err();
    for (request, name, id, code) in [
        ("in use", "deletePool", stage.pool.to_string(), "in_use"),
        ("unfit", "updatePool", stage.pool.to_string(), "immutable"),
        ("not there", "updatePool", nobody.to_string(), "not_found"),
        ("taken", "createListener", String::new(), "port_taken"),
    ] {
        let trace = refusal(&site, request).await;
        assert_eq!((trace.name.as_str(), trace.resource_id), (name, id), "{request}");
        assert!(trace.response.contains(&format!("\"code\":\"{code}\"")), "{request}: {}", trace.response);
    }
    assert_eq!(site.revision(), before, "nothing was changed");
}

/// The types of objects in traces.
const KINDS: &[&str] = &[
    "certificate",
    "healthmonitor",
    "ipgroup",
    "l7policy",
    "l7rule",
    "listener",
    "loadbalancer",
    "logtank",
    "member",
    "pool",
    "quota",
    "security_policy",
];

async fn sweep(site: &Fixture) {
    let snapshot = site.control.snapshot();
    for lb in snapshot.load_balancers().keys() {
        let all = Cascade { pools: CascadePools::Delete };
        control::load_balancer_delete_cascade(&site.control, &admin(), *lb, all).await.unwrap();
    }
    let left = site.control.snapshot();
    for pool in left.pools().values() {
        match pool.standby {
            true => control::standby_pool_delete(&site.control, &admin(), pool.id).await.unwrap(),
            false => control::pool_delete_cascade(&site.control, &admin(), pool.id).await.unwrap(),
        }
    }
    let certificates = left.certificates().keys().copied().collect();
    control::certificate_delete_batch(&site.control, &admin(), certificates).await.unwrap();
    for policy in left.security_policies().keys() {
        control::security_policy_delete(&site.control, &admin(), *policy).await.unwrap();
    }
    for group in left.ip_groups().keys() {
        control::ip_group_delete(&site.control, &admin(), *group).await.unwrap();
    }
    // The switch is the project's, so it goes back for the next verb.
    let shown = left.project(project()).is_some_and(|project| project.private_key_echo);
    if !shown {
        control::private_key_echo_update(&site.control, &admin(), true).await.unwrap();
    }
}
