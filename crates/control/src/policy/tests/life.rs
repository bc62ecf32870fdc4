//! Policies among their neighbours: quotas, listeners, pools, load balancers.

use model::{ListenerPatch, NewListener, Patch, PoolPatch, PoolProtocol, QuotaKey};

use super::*;
use crate::{
    Cascade, CascadePools, listener, load_balancer, member, pool, relations,
    testing::{new_listener, new_member, new_policy, prefix, to_pool, to_pools},
};

#[test]
fn only_http_listeners_have_policies() {
    let mut scene = Scene::plain();
    let tcp = scene.world.listener(scene.lb, 81).id;
    let pool = scene.pool.id;
    let new = new_policy(tcp, to_pool(pool), &[]);
    assert_eq!(scene.world.blame(|draft| create(draft, new)), "listener_id");
    let tls = scene.world.https_listener(scene.lb, 443).id;
    let new = new_policy(tls, to_pool(pool), &[]);
    assert_eq!(scene.world.blame(|draft| create(draft, new)), "ok");
}

#[test]
fn policies_have_quotas() {
    for key in [QuotaKey::L7policy, QuotaKey::L7policiesPerListener] {
        let mut scene = Scene::plain();
        scene.world.site.quotas.insert(key, 1);
        let pool = scene.pool.id;
        assert_eq!(scene.blame(to_pool(pool)), "ok");
        assert_eq!(scene.blame(to_pool(pool)), "quota_exceeded", "{key:?}");
        let other = scene.world.listener_of(scene.lb, 81, http()).id;
        let new = new_policy(other, to_pool(pool), &[]);
        let expect = if key == QuotaKey::L7policy { "quota_exceeded" } else { "ok" };
        assert_eq!(scene.world.code(|draft| create(draft, new)), expect, "{key:?} on another listener");
    }
}

#[test]
fn an_update_changes_what_was_said_and_nothing_else() {
    let mut scene = Scene::plain();
    let before = scene.world.policy(scene.listener.id, to_pool(scene.pool.id), &[prefix("/a")]);
    let rules = |scene: &Scene| {
        scene.world.state.rules_of(before.id).map(|rule| rule.value.clone()).collect::<Vec<_>>()
    };
    let said = PolicyPatch { name: Some("n".try_into().unwrap()), ..patch() };
    let after = scene.world.run(|draft| update(draft, before.id, said)).unwrap();
    let expect =
        Policy { name: "n".try_into().unwrap(), updated_at: after.updated_at, ..Policy::clone(&before) };
    assert_eq!(*after, expect);
    assert_eq!(rules(&scene), ["/a"]);
    let said = PolicyPatch { rules: Some(vec![prefix("/b")]), ..patch() };
    scene.world.run(|draft| update(draft, before.id, said)).unwrap();
    assert_eq!(rules(&scene), ["/b"], "rules replace all that were");
    let said = PolicyPatch { rules: Some(vec![]), ..patch() };
    scene.world.run(|draft| update(draft, before.id, said)).unwrap();
    assert!(rules(&scene).is_empty());
}

#[test]
fn a_refused_change_leaves_the_rules_as_they_were() {
    let mut scene = Scene::plain();
    let id = scene.world.policy(scene.listener.id, to_pool(scene.pool.id), &[prefix("/a")]).id;
    let said = PolicyPatch { rules: Some(vec![prefix("/b"), prefix("/c")]), ..patch() };
    assert_eq!(scene.world.blame(|draft| update(draft, id, said)), "type", "two on the path");
    assert_eq!(scene.world.state.rules_of(id).next().unwrap().value, "/a");
}

#[test]
fn a_pool_that_policies_name_stays() {
    let mut scene = Scene::enhanced();
    let weighted = scene.world.pool_of(scene.lb, PoolProtocol::Http).id;
    let (listener, first) = (scene.listener.id, scene.pool.id);
    let one = scene.world.policy(listener, to_pool(first), &[]).id;
    let two = scene.world.policy(listener, to_pools(&[(weighted, 1)]), &[]).id;
    for id in [first, weighted] {
        assert_eq!(scene.world.code(|draft| pool::delete(draft, id)), "in_use");
        assert_eq!(scene.world.code(|draft| pool::delete_cascade(draft, id)), "in_use");
        assert_eq!(scene.world.code(|draft| pool::delete_batch(draft, &[id])), "in_use");
    }
    scene.world.run(|draft| delete(draft, one)).unwrap();
    scene.world.run(|draft| delete(draft, two)).unwrap();
    for id in [first, weighted] {
        assert_eq!(scene.world.code(|draft| pool::delete(draft, id)), "ok");
    }
}

#[test]
fn a_pool_of_a_policy_serves_the_load_balancer_of_its_listener() {
    let mut scene = Scene::plain();
    let shared = scene.world.pool_with(|new| {
        new.protocol = PoolProtocol::Http;
        (new.kind, new.network) = (model::pool::PoolKind::Instance, Some(crate::testing::NETWORK));
    });
    let serves = |scene: &Scene| relations::load_balancers_of_pool(&scene.world.state, &shared);
    assert!(serves(&scene).is_empty());
    scene.world.policy(scene.listener.id, to_pool(shared.id), &[]);
    assert_eq!(serves(&scene).into_iter().collect::<Vec<_>>(), [scene.lb]);
    let lb = scene.world.state.load_balancer(scene.lb).unwrap();
    assert!(relations::pools_of_load_balancer(&scene.world.state, lb).contains(&shared.id));
}

#[test]
fn bare_addresses_are_refused_below_policies_too() {
    let mut scene = Scene::plain();
    let pool = scene.world.pool_with(|new| {
        (new.protocol, new.kind) = (PoolProtocol::Http, model::pool::PoolKind::Ip);
    });
    scene.world.policy(scene.listener.id, to_pool(pool.id), &[]);
    let new = model::NewMember { subnet: None, ..new_member("10.0.0.1", 80) };
    assert_eq!(scene.world.code(|draft| member::create(draft, pool.id, new)), "ip_targets_off");
}

#[test]
fn a_listener_with_policies_goes_by_force_alone() {
    let mut scene = Scene::enhanced();
    let (id, pool) = (scene.listener.id, scene.pool.id);
    scene.world.policy(id, to_pool(pool), &[prefix("/a")]);
    assert_eq!(scene.world.code(|draft| listener::delete(draft, id)), "in_use");
    let protect = |on| PoolPatch { member_deletion_protection: Some(on), ..Default::default() };
    scene.world.run(|draft| pool::update(draft, pool, protect(true))).unwrap();
    assert_eq!(scene.world.code(|draft| listener::delete_force(draft, id)), "member_protected");
    scene.world.run(|draft| pool::update(draft, pool, protect(false))).unwrap();
    scene.world.run(|draft| listener::delete_force(draft, id)).unwrap();
    assert_eq!((scene.world.state.policies().len(), scene.world.state.rules().len()), (0, 0));
    assert!(scene.world.state.pool(pool).is_some(), "pools stay");
}

#[test]
fn the_target_of_a_redirect_stays() {
    let mut scene = Scene::plain();
    let target = scene.world.https_listener(scene.lb, 443).id;
    let id = scene.world.policy(scene.listener.id, Action::ToListener(target), &[]).id;
    assert_eq!(scene.world.code(|draft| listener::delete(draft, target)), "in_use");
    assert_eq!(scene.world.code(|draft| listener::delete_force(draft, target)), "in_use");
    scene.world.run(|draft| delete(draft, id)).unwrap();
    assert_eq!(scene.world.code(|draft| listener::delete(draft, target)), "ok");
}

#[test]
fn a_cascade_takes_all_below_along() {
    for pools in [CascadePools::Delete, CascadePools::Unbind] {
        let mut scene = Scene::enhanced();
        let (lb, listener, pool) = (scene.lb, scene.listener.id, scene.pool.id);
        let target = scene.world.https_listener(lb, 443).id;
        scene.world.policy(listener, to_pool(pool), &[prefix("/a")]);
        scene.world.policy(listener, Action::ToListener(target), &[]);
        let log = model::NewAccessLog { load_balancer: lb, group: "g".to_owned(), topic: "t".to_owned() };
        scene.world.run(|draft| crate::access_log::create(draft, log)).unwrap();
        scene.world.run(|draft| load_balancer::delete_cascade(draft, lb, Cascade { pools })).unwrap();
        let state = &scene.world.state;
        let left = (state.listeners().len(), state.policies().len(), state.rules().len());
        assert_eq!((left, state.access_logs().len()), ((0, 0, 0), 0));
        assert_eq!(state.pools().len(), usize::from(pools == CascadePools::Unbind), "{pools:?}");
    }
}

#[test]
fn a_cascade_leaves_pools_that_another_load_balancers_policy_names() {
    let mut scene = Scene::plain();
    let shared = scene.world.pool_with(|new| {
        new.protocol = PoolProtocol::Http;
        (new.kind, new.network) = (model::pool::PoolKind::Instance, Some(crate::testing::NETWORK));
    });
    let other = scene.world.load_balancer().id;
    let elsewhere = scene.world.listener_of(other, 80, http()).id;
    scene.world.policy(scene.listener.id, to_pool(shared.id), &[]);
    scene.world.policy(elsewhere, to_pool(shared.id), &[]);
    let cascade = Cascade { pools: CascadePools::Delete };
    scene.world.run(|draft| load_balancer::delete_cascade(draft, scene.lb, cascade)).unwrap();
    assert!(scene.world.state.pool(shared.id).is_some());
    assert!(scene.world.state.pool(scene.pool.id).is_none());
}

#[test]
fn another_projects_policy_is_not_there() {
    let mut scene = Scene::plain();
    let id = scene.world.policy(scene.listener.id, to_pool(scene.pool.id), &[]).id;
    let new = new_policy(scene.listener.id, to_pool(scene.pool.id), &[]);
    scene.world.as_other_project();
    assert_eq!(scene.world.code(|draft| create(draft, new)), "not_found");
    assert_eq!(scene.world.code(|draft| update(draft, id, patch())), "not_found");
    assert_eq!(scene.world.code(|draft| delete(draft, id)), "not_found");
    let wishes = [(id, Priority::of(1))];
    assert_eq!(scene.world.code(|draft| update_priorities(draft, &wishes)), "not_found");
}

#[test]
fn a_listener_counts_once_for_a_pool_that_it_reaches_twice() {
    let mut scene = Scene::plain();
    scene.world.site.quotas.insert(QuotaKey::ListenersPerPool, 1);
    let pool = scene.pool.id;
    scene.world.policy(scene.listener.id, to_pool(pool), &[]);
    let said = ListenerPatch { default_pool: Patch::Set(pool), ..Default::default() };
    let id = scene.listener.id;
    assert_eq!(scene.world.code(|draft| listener::update(draft, id, said)), "ok");
    let new = NewListener { service: http(), default_pool: Some(pool), ..new_listener(scene.lb, 81) };
    assert_eq!(scene.world.code(|draft| listener::create(draft, new)), "quota_exceeded");
}
