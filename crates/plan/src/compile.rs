//! From snapshot to plan, at the cost of what changed.
//!
//! The plan before keeps the snapshot that it was compiled from. Snapshots share structure, so their difference is found
//! without a walk over what they share; each changed object names the listeners that it concerns, and only those are compiled.
//! With no plan before, all are. Both ways give equal plans (property test in `tests/compile/incremental.rs`).

use std::{collections::BTreeSet, sync::Arc};

use imbl::{OrdMap, ordmap::DiffItem};
use model::{Listener, ListenerId, PolicyId, PoolId, Snapshot};

use crate::{ListenerPlan, Plan, listener::Shared};

/// The plan of a snapshot. Listeners and targets that are equal in `before` are the same `Arc` in the new plan.
pub fn compile(snapshot: &Snapshot, before: Option<&Plan>) -> Plan {
    let mut shared = Shared::default();
    let mut compiled = |listener: &Arc<Listener>, before: Option<&Plan>| {
        let before = before.and_then(|plan| plan.listeners.get(&listener.id));
        ListenerPlan::compile(snapshot, listener, before, &mut shared)
    };
    let listeners = match before.and_then(|plan| plan.source.as_ref().map(|source| (plan, source))) {
        None => {
            let all = snapshot.listeners().iter();
            all.filter_map(|(id, listener)| Some((*id, compiled(listener, None)?))).collect()
        }
        Some((plan, source)) => {
            let mut listeners = plan.listeners.clone();
            for id in concerned(source, snapshot) {
                match snapshot.listener(id).and_then(|listener| compiled(listener, before)) {
                    Some(listener) => listeners.insert(id, listener),
                    None => listeners.remove(&id),
                };
            }
            listeners
        }
    };
    Plan { revision: snapshot.revision, listeners, source: Some(snapshot.clone()) }
}

/// The listeners whose plan may differ between two snapshots.
fn concerned(old: &Snapshot, new: &Snapshot) -> BTreeSet<ListenerId> {
    let mut listeners = directly_concerned(old, new);
    let mut policies = BTreeSet::<PolicyId>::new();
    each_changed(old.rules(), new.rules(), |rule| {
        policies.insert(rule.policy);
    });
    each_changed(old.policies(), new.policies(), |policy| {
        listeners.insert(policy.listener);
    });
    listeners.extend(policies.iter().filter_map(|&id| new.policy(id)).map(|policy| policy.listener));
    each_changed(old.certificates(), new.certificates(), |certificate| {
        listeners.extend(new.listeners_with_certificate(certificate.id).map(|listener| listener.id));
    });
    each_changed(old.security_policies(), new.security_policies(), |policy| {
        listeners.extend(new.listeners_with_security_policy(policy.id).map(|listener| listener.id));
    });
    each_changed(old.ip_groups(), new.ip_groups(), |group| {
        listeners.extend(new.listeners_with_ip_group(group.id).map(|listener| listener.id));
    });
    each_changed(old.access_logs(), new.access_logs(), |log| {
        listeners.extend(new.listeners_of(log.load_balancer).map(|listener| listener.id));
    });
    each_changed(old.quotas(), new.quotas(), |quota| {
        // Rare, and only for listeners with policies.
        let policies = new.policies().values().filter(|policy| policy.project == quota.project);
        listeners.extend(policies.map(|policy| policy.listener));
    });
    listeners
}

/// Those that refer to an object that changed, or are one; through load balancers, pools, and redirects.
fn directly_concerned(old: &Snapshot, new: &Snapshot) -> BTreeSet<ListenerId> {
    let mut listeners = BTreeSet::new();
    // A listener that moved from one parent to another is a changed listener itself, so the new references are enough.
    each_changed(old.listeners(), new.listeners(), |listener| {
        listeners.insert(listener.id);
        listeners.extend(new.policies_redirecting_to(listener.id).map(|policy| policy.listener));
        listeners.extend(new.listeners_upgrading_to(listener.id).map(|listener| listener.id));
    });
    each_changed(old.load_balancers(), new.load_balancers(), |load_balancer| {
        listeners.extend(new.listeners_of(load_balancer.id).map(|listener| listener.id));
    });
    let mut pools = BTreeSet::<PoolId>::new();
    each_changed(old.pools(), new.pools(), |pool| {
        pools.insert(pool.id);
    });
    each_changed(old.members(), new.members(), |member| {
        pools.insert(member.pool);
    });
    each_changed(old.health_monitors(), new.health_monitors(), |monitor| {
        pools.insert(monitor.pool);
    });
    each_changed(old.certificates(), new.certificates(), |certificate| {
        pools.extend(new.pools_with_authority(certificate.id).map(|pool| pool.id));
    });
    for pool in pools {
        listeners.extend(new.listeners_reaching(pool).map(|listener| listener.id));
    }
    listeners
}

/// Both sides of each difference: what an object was, and what it is.
fn each_changed<K: Ord, V: PartialEq>(
    old: &OrdMap<K, Arc<V>>,
    new: &OrdMap<K, Arc<V>>,
    mut see: impl FnMut(&V),
) {
    for difference in old.diff(new) {
        match difference {
            DiffItem::Add(_, value) | DiffItem::Remove(_, value) => see(value),
            DiffItem::Update { old: (_, was), new: (_, is) } => {
                see(was);
                see(is);
            }
        }
    }
}

#[cfg(test)]
#[path = "../tests/compile/objects.rs"]
mod objects;

#[cfg(test)]
mod tests {
    use super::*;

    use model::{
        Action, Compare, RuleSubject, TlsVersion,
        listener::{AccessMode, Service},
    };

    use super::objects::{Objects, listener_id, pool_id};

    #[test]
    fn a_change_concerns_only_the_listeners_that_depend_on_it() {
        // Listeners 1 and 2 of load balancer 1 use pool 1, listener 3 of load balancer 2 uses pool 2; listener 4 of it is HTTPS.
        // Policy 1 of listener 3 goes to pools 4 and 5, policy 2 of listener 2 to listener 1.
        let mut objects = Objects::default();
        for (id, load_balancer, pool) in [(1, 1, 1), (2, 1, 1), (3, 2, 2)] {
            objects.load_balancer(load_balancer, |_| ());
            objects.pool(pool, |_| ());
            objects.member(pool, pool, |_| ());
            objects.listener(id, load_balancer, Some(pool), |_| ());
        }
        objects.pool(3, |_| ());
        objects.pool(4, |_| ());
        objects.pool(5, |_| ());
        objects.member(5, 5, |_| ());
        objects.policy(1, 3, |policy| policy.action = objects::forward_and_mirror(4, 5));
        objects.rule(1, 1, RuleSubject::Path, Compare::Prefix, "/a");
        objects.policy(2, 2, |policy| policy.action = Action::ToListener(listener_id(1)));
        (1..=5).for_each(|n| objects.certificate(n, "a.example.com", |_| ()));
        objects.pool(4, |pool| pool.member_tls = Some(objects::verified_by(5)));
        objects.security_policy(1, TlsVersion::V12, "AES128-SHA");
        (1..=2).for_each(|n| objects.ip_group(n, &["10.0.0.0/8"]));
        objects.listener(4, 2, None, |listener| {
            let mut https = objects::https(1, &[2]);
            https.tls.client_ca = Some(objects::certificate_id(3));
            https.tls.security_policy = Some(objects::security_policy_id(1));
            listener.service = Service::Https(https.into());
            listener.access = Some(objects::access(AccessMode::White, &[1]));
        });
        objects.listener(5, 3, None, |listener| listener.service = objects::quic(6));
        objects.load_balancer(3, |_| ());
        objects.listener(6, 3, None, |listener| listener.service = objects::https_upgrading_to(5, true));
        objects.access_log(1, 1, "topic");
        type Change = fn(&mut Objects);
        for (why, change, expect) in [
            ("nothing", (|_| ()) as Change, &[][..]),
            ("an equal object written anew", |o| o.member(2, 2, |_| ()), &[]),
            ("a listener", |o| o.listener(3, 2, Some(2), |l| l.admin_up = false), &[3]),
            ("a listener's pool", |o| o.listener(1, 1, Some(3), |_| ()), &[1, 2]),
            ("a new listener", |o| o.listener(9, 1, None, |_| ()), &[9]),
            ("a load balancer", |o| o.load_balancer(2, |l| l.admin_up = false), &[3, 4]),
            ("a pool", |o| o.pool(2, |p| p.all_down_forward = true), &[3]),
            ("a pool that nobody uses", |o| o.pool(3, |p| p.all_down_forward = true), &[]),
            ("a new member", |o| o.member(7, 1, |_| ()), &[1, 2]),
            ("a member that is gone", |o| o.remove_member(2), &[3]),
            ("a member that moved to another pool", |o| o.member(2, 1, |_| ()), &[1, 2, 3]),
            ("a health monitor", |o| o.monitor(1, 1, |_| ()), &[1, 2]),
            ("a pool of a policy", |o| o.pool(4, |p| p.admin_up = false), &[3]),
            ("a member of a mirror", |o| o.remove_member(5), &[3]),
            ("a redirect's listener, and who redirects", |o| o.remove_listener(1), &[1, 2]),
            ("a policy", |o| o.policy(1, 3, |p| p.faulty = true), &[3]),
            ("a policy that moved", |o| o.policy(1, 1, |_| ()), &[1, 3]),
            ("a policy that is gone", |o| o.remove_policy(1), &[3]),
            ("a rule", |o| o.rule(1, 1, RuleSubject::Path, Compare::Prefix, "/b"), &[3]),
            ("a rule that is gone", |o| o.remove_rule(1), &[3]),
            ("a rule of no policy", |o| o.rule(9, 9, RuleSubject::Path, Compare::Prefix, "/b"), &[]),
            ("a certificate", |o| o.certificate(1, "b.example.com", |_| ()), &[4, 6]),
            ("one by name", |o| o.certificate(2, "b.example.com", |_| ()), &[4]),
            ("an authority", |o| o.certificate(3, "b.example.com", |_| ()), &[4]),
            ("a certificate that nobody shows", |o| o.certificate(4, "b.example.com", |_| ()), &[]),
            ("an authority of members", |o| o.certificate(5, "b.example.com", |_| ()), &[3]),
            ("a security policy", |o| o.security_policy(1, TlsVersion::V11, "AES128-SHA"), &[4]),
            ("an IP group", |o| o.ip_group(1, &["::/0"]), &[4]),
            ("an IP group that nobody names", |o| o.ip_group(2, &["::/0"]), &[]),
            (
                "a QUIC listener, and who tells of it",
                |o| o.listener(5, 2, None, |l| l.admin_up = false),
                &[5, 6],
            ),
            ("a listener that moved off it", |o| o.listener(6, 3, None, |_| ()), &[6]),
            ("an access log", |o| o.access_log(1, 1, "other"), &[1, 2]),
            ("an access log that moved", |o| o.access_log(1, 2, "topic"), &[1, 2, 3, 4]),
            ("an access log that is gone", |o| o.remove_access_log(1), &[1, 2]),
            ("how many policies there may be", |o| o.policies_max(0), &[2, 3]),
        ] {
            let mut changed = objects.clone();
            change(&mut changed);
            let expect: BTreeSet<_> = expect.iter().map(|&id| listener_id(id)).collect();
            assert_eq!(concerned(&objects.snapshot, &changed.snapshot), expect, "{why}");
        }
        assert!(objects.snapshot.pool(pool_id(3)).is_some());
    }
}
