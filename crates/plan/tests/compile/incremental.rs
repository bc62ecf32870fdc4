//! A plan compiled from the plan before equals the plan compiled anew, and shares with it what did not change.

use std::sync::Arc;

use model::{
    Action, Algorithm, Compare, Kind, ListenerId, MemberRole, Object, PoolProtocol, Port, Priority, Revision,
    RuleSubject, SlowStartDuration, Snapshot, StickyMinutes, TlsVersion, Weight,
    listener::{AccessMode, Service},
    pool::{SlowStart, Stickiness},
};
use plan::{Plan, compile};
use proptest::prelude::*;

use crate::objects::{
    Objects, access, certificate_id, enhanced, forward, forward_and_mirror, https, https_upgrading_to,
    listener_id, ports, probe, quic, security_policy_id, verified_by,
};

/// One edit of a small world; numbers are small so that objects refer to each other, or to what is not there.
#[derive(Clone, Debug)]
enum Edit {
    LoadBalancer {
        n: u64,
        admin_up: bool,
        vip: bool,
    },
    Listener {
        n: u64,
        load_balancer: u64,
        pool: Option<u64>,
        variant: u8,
    },
    Pool {
        n: u64,
        variant: u8,
    },
    Member {
        n: u64,
        pool: u64,
        weight: u16,
        variant: u8,
    },
    // A pool has one monitor at most, so a monitor has its pool's number.
    Monitor {
        n: u64,
        variant: u8,
    },
    Policy {
        n: u64,
        listener: u64,
        variant: u8,
    },
    Rule {
        n: u64,
        policy: u64,
        value: usize,
    },
    /// What listeners refer to: a certificate, a security policy, an IP group, an access log, a quota.
    Referred {
        what: u8,
        n: u64,
        variant: u8,
    },
    Remove {
        kind: usize,
        n: usize,
    },
    /// A whole object written again, equal to what is there.
    Rewrite {
        kind: usize,
        n: usize,
    },
}

const KINDS: [Kind; 12] = [
    Kind::LoadBalancer,
    Kind::Listener,
    Kind::Pool,
    Kind::Member,
    Kind::HealthMonitor,
    Kind::Policy,
    Kind::Rule,
    Kind::Certificate,
    Kind::SecurityPolicy,
    Kind::IpGroup,
    Kind::AccessLog,
    Kind::Quota,
];

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        2 => (0..3u64, prop::bool::weighted(0.8), prop::bool::weighted(0.8))
            .prop_map(|(n, admin_up, vip)| Edit::LoadBalancer { n, admin_up, vip }),
        4 => (0..5u64, 0..4u64, prop::option::weighted(0.8, 0..4u64), 0..14u8)
            .prop_map(|(n, load_balancer, pool, variant)| Edit::Listener { n, load_balancer, pool, variant }),
        3 => (0..3u64, 0..9u8).prop_map(|(n, variant)| Edit::Pool { n, variant }),
        4 => (0..8u64, 0..4u64, 0..3u16, 0..4u8)
            .prop_map(|(n, pool, weight, variant)| Edit::Member { n, pool, weight, variant }),
        2 => (0..3u64, 0..3u8).prop_map(|(n, variant)| Edit::Monitor { n, variant }),
        4 => (0..5u64, 0..5u64, 0..8u8).prop_map(|(n, listener, variant)| Edit::Policy { n, listener, variant }),
        3 => (0..6u64, 0..5u64, 0..4usize).prop_map(|(n, policy, value)| Edit::Rule { n, policy, value }),
        4 => (0..5u8, 0..3u64, 0..3u8).prop_map(|(what, n, variant)| Edit::Referred { what, n, variant }),
        2 => (0..KINDS.len(), any::<usize>()).prop_map(|(kind, n)| Edit::Remove { kind, n }),
        1 => (0..KINDS.len(), any::<usize>()).prop_map(|(kind, n)| Edit::Rewrite { kind, n }),
    ]
}

fn carry_out(objects: &mut Objects, edit: Edit) {
    match edit {
        Edit::LoadBalancer { n, admin_up, vip } => objects.load_balancer(n, |load_balancer| {
            load_balancer.admin_up = admin_up;
            load_balancer.vip = load_balancer.vip.filter(|_| vip);
        }),
        Edit::Listener { n, load_balancer, pool, variant } => {
            objects.listener(n, load_balancer, pool, |listener| match variant {
                0 => {}
                1 => listener.admin_up = false,
                2 => listener.service = Service::Tcp,
                3 => listener.target.algorithm = Some(Algorithm::SourceIp),
                4 => listener.target.member_port = Some(Port::of(9)),
                5 => listener.target.monitor = Some(model::target::MonitorOverride::Off),
                6 => listener.service = enhanced(),
                7 => listener.service = Service::Https(https(0, &[1, 2]).into()),
                8 => {
                    let mut https = https(1, &[0]);
                    https.tls.client_ca = Some(certificate_id(2));
                    https.tls.security_policy = Some(security_policy_id(0));
                    listener.service = Service::Https(https.into());
                }
                9 => listener.access = Some(access(AccessMode::White, &[0, 1])),
                10 => (listener.service, listener.ports) = (Service::Udp, ports(&[(53, 53), (60, 70)])),
                11 => listener.service = quic(1),
                12 => listener.service = https_upgrading_to(n + 1, true),
                _ => listener.bits_per_second_max = 1000,
            });
        }
        Edit::Pool { n, variant } => objects.pool(n, |pool| match variant {
            0 => {}
            1 => pool.admin_up = false,
            2 => pool.algorithm = Algorithm::SourceIp,
            3 => pool.any_port = true,
            4 => pool.member_tls = Some(verified_by(n)),
            5 => pool.slow_start = Some(SlowStart { enabled: true, duration: SlowStartDuration::of(30) }),
            6 => pool.standby = true,
            7 => (pool.protocol, pool.algorithm) = (PoolProtocol::Quic, Algorithm::QuicCid),
            _ => pool.all_down_forward = true,
        }),
        Edit::Member { n, pool, weight, variant } => objects.member(n, pool, |member| {
            member.weight = Weight::of(weight);
            match variant {
                0 => {}
                1 => member.admin_up = false,
                2 => member.role = Some(if n % 2 == 0 { MemberRole::Master } else { MemberRole::Slave }),
                _ => member.port = None,
            }
        }),
        Edit::Monitor { n, variant } => objects.monitor(n, n, |monitor| match variant {
            0 => {}
            1 => monitor.admin_up = false,
            _ => monitor.probe.port = Some(Port::of(7)),
        }),
        Edit::Policy { n, listener, variant } => objects.policy(n, listener, |policy| match variant {
            0 => {}
            1 => policy.faulty = true,
            2 => policy.priority = Some(Priority::of(10 - n as u16)),
            3 => policy.action = Action::ToListener(listener_id(n)),
            4..=6 => policy.action = forward(u64::from(variant) - 4),
            _ => policy.action = forward_and_mirror(n % 3, (n + 1) % 3),
        }),
        Edit::Rule { n, policy, value } => {
            let value = ["/", "/a", "/a/b", "/.*"][value];
            let compare = if n < 3 { Compare::Regex } else { Compare::Prefix };
            objects.rule(n, policy, RuleSubject::Path, compare, value);
        }
        Edit::Referred { what, n, variant } => match what {
            0 => objects.certificate(n, ["a.com", "*.a.com", "b.com"][usize::from(variant)], |certificate| {
                if variant == 2 {
                    certificate.pem.clear();
                }
            }),
            1 => objects.security_policy(
                n,
                TlsVersion::V12,
                ["AES128-SHA", "AES256-SHA"][usize::from(variant) % 2],
            ),
            2 => objects.ip_group(n, &["10.0.0.0/8", "::/0", "192.0.2.1"][..usize::from(variant)]),
            // A load balancer has one log at most.
            3 => objects.access_log(n, n, ["a", "b", "c"][usize::from(variant)]),
            _ => objects.policies_max(i64::from(variant) * 2 - 1),
        },
        Edit::Remove { kind, n } => {
            if let Some(object) = nth(objects, kind, n) {
                objects.snapshot.remove(&object.key());
            }
        }
        Edit::Rewrite { kind, n } => {
            if let Some(object) = nth(objects, kind, n) {
                objects.snapshot.put(rewritten(object));
            }
        }
    }
    objects.snapshot.revision = objects.snapshot.revision.next();
}

fn nth(objects: &Objects, kind: usize, n: usize) -> Option<Object> {
    let all: Vec<_> = objects.of_kind(KINDS[kind]).collect();
    (!all.is_empty()).then(|| all[n % all.len()].clone())
}

/// The same in new memory, as the store reads it.
fn rewritten(object: Object) -> Object {
    match object {
        Object::LoadBalancer(o) => (*o).clone().into(),
        Object::Listener(o) => (*o).clone().into(),
        Object::Pool(o) => (*o).clone().into(),
        Object::Member(o) => (*o).clone().into(),
        Object::HealthMonitor(o) => (*o).clone().into(),
        Object::Policy(o) => (*o).clone().into(),
        Object::Rule(o) => (*o).clone().into(),
        Object::Certificate(o) => (*o).clone().into(),
        Object::SecurityPolicy(o) => (*o).clone().into(),
        Object::IpGroup(o) => (*o).clone().into(),
        Object::AccessLog(o) => (*o).clone().into(),
        Object::Quota(o) => (*o).clone().into(),
        other => other,
    }
}

/// What is equal in both plans is the same memory in both.
fn assert_shared(before: &Plan, after: &Plan) {
    for (id, new) in &after.listeners {
        let Some(old) = before.listeners.get(id) else { continue };
        assert_same_memory(Some(old), Some(new), "listener", id);
        assert_same_memory(old.tls.as_ref(), new.tls.as_ref(), "TLS", id);
        assert_same_memory(old.acl.as_ref(), new.acl.as_ref(), "access control", id);
        assert_same_memory(old.router.as_ref(), new.router.as_ref(), "router", id);
        assert_same_memory(old.access_log.as_ref(), new.access_log.as_ref(), "access log", id);
        assert_same_memory(old.default_target.as_ref(), new.default_target.as_ref(), "target", id);
        for target in &new.targets {
            let was = old.default_target.iter().chain(&old.targets).find(|was| was.id == target.id);
            assert_same_memory(was, Some(target), "target of a policy", id);
        }
        for policy in &new.policies {
            let was = old.policies.iter().find(|was| was.id == policy.id);
            assert_same_memory(was, Some(policy), "policy", id);
        }
        let tls = |listener: &plan::ListenerPlan| listener.tls.clone();
        let (old_tls, new_tls) = (tls(old), tls(new));
        for certificate in new_tls.iter().flat_map(|tls| &tls.certificates) {
            let mut all = old_tls.iter().flat_map(|tls| &tls.certificates);
            assert_same_memory(
                all.find(|was| was.id == certificate.id),
                Some(certificate),
                "certificate",
                id,
            );
        }
        let (Some(old), Some(new)) = (&old.default_target, &new.default_target) else { continue };
        // Tables of two pools may be alike, such as those without members.
        let (true, Some(old), Some(new)) = (old.id == new.id, &old.maglev, &new.maglev) else { continue };
        assert!(old != new || Arc::ptr_eq(old, new), "lookup table of {id}");
    }
}

fn assert_same_memory<T: PartialEq>(old: Option<&Arc<T>>, new: Option<&Arc<T>>, what: &str, id: &ListenerId) {
    let (Some(old), Some(new)) = (old, new) else { return };
    assert_eq!(old == new, Arc::ptr_eq(old, new), "{what} of {id}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn compiling_changes_gives_the_plan_that_compiling_anew_gives(
        turns in prop::collection::vec(prop::collection::vec(edit(), 1..6), 1..25),
    ) {
        let mut objects = Objects::default();
        let mut plan = compile(&objects.snapshot, None);
        for edits in turns {
            edits.into_iter().for_each(|edit| carry_out(&mut objects, edit));
            let next = compile(&objects.snapshot, Some(&plan));
            let anew = compile(&objects.snapshot, None);
            prop_assert_eq!(next.revision, objects.snapshot.revision);
            prop_assert!(next.listeners == anew.listeners, "{:#?}\nis not\n{:#?}", next.listeners, anew.listeners);
            assert_shared(&plan, &next);
            plan = next;
        }
    }
}

fn two_listeners() -> Objects {
    let mut objects = Objects::default();
    objects.load_balancer(1, |_| ());
    for n in [1, 2] {
        objects.pool(n, |pool| pool.algorithm = Algorithm::SourceIp);
        objects.listener(n, 1, Some(n), |_| ());
        (0..3).for_each(|member| objects.member(10 * n + member, n, |_| ()));
    }
    objects
}

#[test]
fn a_change_makes_new_only_what_differs() {
    let objects = two_listeners();
    let plan = compile(&objects.snapshot, None);
    type Change = fn(&mut Objects);
    for (why, change, listener_kept, target_kept, table_kept) in [
        (
            "nothing but a name",
            (|o| o.load_balancer(1, |l| l.name = "new".try_into().unwrap())) as Change,
            true,
            true,
            true,
        ),
        (
            "a timeout of the listener",
            |o| o.listener(1, 1, Some(1), |l| l.idle_timeout = model::IdleTimeout::of(9)),
            false,
            true,
            true,
        ),
        ("a monitor", |o| o.monitor(1, 1, |m| m.probe = probe()), false, false, true),
        ("a weight that is not 0", |o| o.member(10, 1, |m| m.weight = Weight::of(7)), false, false, true),
        ("a weight that is 0", |o| o.member(10, 1, |m| m.weight = Weight::of(0)), false, false, false),
        ("one member less", |o| o.remove_member(10), false, false, false),
    ] {
        let mut changed = objects.clone();
        change(&mut changed);
        let next = compile(&changed.snapshot, Some(&plan));
        let (old, new) = (&plan.listeners[&listener_id(1)], &next.listeners[&listener_id(1)]);
        assert_eq!(Arc::ptr_eq(old, new), listener_kept, "{why}: listener");
        let (old, new) = (old.default_target.as_ref().unwrap(), new.default_target.as_ref().unwrap());
        assert_eq!(Arc::ptr_eq(old, new), target_kept, "{why}: target");
        let (old, new) = (old.maglev.as_ref().unwrap(), new.maglev.as_ref().unwrap());
        assert_eq!(Arc::ptr_eq(old, new), table_kept, "{why}: lookup table");
        let (old, new) = (&plan.listeners[&listener_id(2)], &next.listeners[&listener_id(2)]);
        assert!(Arc::ptr_eq(old, new), "{why}: the other listener");
    }
}

#[test]
fn a_snapshot_read_anew_from_elsewhere_changes_nothing() {
    let objects = two_listeners();
    let plan = compile(&objects.snapshot, None);
    let mut read = Snapshot::default();
    read.revision = Revision(9);
    objects.snapshot.objects().map(rewritten).for_each(|object| read.put(object));
    let next = compile(&read, Some(&plan));
    assert_eq!(next.revision, Revision(9));
    assert!(next.listeners.iter().all(|(id, listener)| Arc::ptr_eq(listener, &plan.listeners[id])));
}

#[test]
fn listeners_that_share_a_pool_share_its_lookup_table() {
    let mut objects = two_listeners();
    objects.listener(3, 1, Some(1), |_| ());
    objects.listener(4, 1, Some(1), |listener| listener.target.algorithm = Some(Algorithm::RoundRobin));
    let plan = compile(&objects.snapshot, None);
    let table = |n| plan.listeners[&listener_id(n)].default_target.as_ref().unwrap().maglev.as_ref();
    assert!(Arc::ptr_eq(table(1).unwrap(), table(3).unwrap()));
    assert!(!Arc::ptr_eq(table(1).unwrap(), table(2).unwrap()));
    assert!(table(4).is_none(), "only the hash needs one");
}

#[test]
fn listeners_that_show_one_certificate_share_it_and_get_the_next_one_together() {
    let mut objects = Objects::default();
    objects.load_balancer(1, |_| ());
    objects.certificate(1, "a.com", |_| ());
    objects.certificate(2, "b.com", |_| ());
    for n in [1, 2] {
        objects.listener(n, 1, None, |listener| listener.service = Service::Https(https(1, &[2]).into()));
    }
    let plan = compile(&objects.snapshot, None);
    let shown = |plan: &Plan, n, at: usize| {
        Arc::clone(&plan.listeners[&listener_id(n)].tls.as_ref().unwrap().certificates[at])
    };
    assert!(Arc::ptr_eq(&shown(&plan, 1, 0), &shown(&plan, 2, 0)));
    objects.certificate(2, "b.com", |certificate| certificate.pem = certificate.pem.replace("AQID", "AQIE"));
    let next = compile(&objects.snapshot, Some(&plan));
    for n in [1, 2] {
        assert!(Arc::ptr_eq(&shown(&plan, n, 0), &shown(&next, n, 0)), "this one did not change");
        assert_eq!(shown(&next, n, 1).chain_der, [[1, 2, 4]]);
    }
    assert!(Arc::ptr_eq(&shown(&next, 1, 1), &shown(&next, 2, 1)));
}

#[test]
fn stickiness_by_address_adds_nothing_to_the_hash_of_the_address() {
    let minutes = StickyMinutes::of(5);
    for (why, algorithm, protocol, stickiness, kept) in [
        ("in turn", Algorithm::RoundRobin, PoolProtocol::Tcp, Stickiness::SourceIp { minutes }, true),
        ("the hash", Algorithm::SourceIp, PoolProtocol::Tcp, Stickiness::SourceIp { minutes }, false),
        ("a cookie", Algorithm::SourceIp, PoolProtocol::Http, Stickiness::HttpCookie { minutes }, true),
    ] {
        let mut objects = Objects::default();
        objects.load_balancer(1, |_| ());
        objects.pool(1, |pool| {
            (pool.algorithm, pool.protocol, pool.stickiness) = (algorithm, protocol, Some(stickiness));
        });
        objects.listener(1, 1, Some(1), |_| ());
        let plan = compile(&objects.snapshot, None);
        let target = plan.listeners[&listener_id(1)].default_target.clone().unwrap();
        assert_eq!(target.stickiness.is_some(), kept, "{why}");
    }
}

#[test]
fn a_plan_made_by_hand_leaves_nothing_behind() {
    let compiled = compile(&two_listeners().snapshot, None);
    let listeners = compiled.listeners.values().map(|listener| {
        plan::ListenerPlan::by_hand(listener.id, listener.endpoints[0].address, plan::ServicePlan::Tcp, None)
    });
    let by_hand = Plan::of_listeners(Revision(1), listeners);
    assert!(compile(&Snapshot::default(), Some(&by_hand)).listeners.is_empty());
}
