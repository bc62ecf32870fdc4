//! Who is asked first, and twins.

use model::{Compare, ListenerPatch, RuleSubject};

use super::*;
use crate::{
    listener,
    testing::{new_policy, prefix, rule as a_rule, to_pool},
};

fn priority(value: u16) -> Priority {
    Priority::of(value)
}

/// A policy on a path of its own, with a wish for its place.
fn place(scene: &mut Scene, wanted: Option<u16>, path: &str) -> Result<Arc<Policy>, Error> {
    let new = new_policy(scene.listener.id, to_pool(scene.pool.id), &[prefix(path)]);
    let new = NewPolicy { priority: wanted.map(Priority::of), ..new };
    scene.world.run(|draft| create(draft, new))
}

fn places(scene: &Scene, ids: &[PolicyId]) -> Vec<Option<u16>> {
    ids.iter().map(|id| scene.world.state.policy(*id).unwrap().priority.map(Priority::value)).collect()
}

#[test]
fn without_advanced_forwarding_nobody_chooses() {
    let mut scene = Scene::plain();
    let refused = place(&mut scene, Some(1), "/a").unwrap_err();
    assert!(matches!(refused, Error::Invalid { field: "priority", .. }));
    let made = place(&mut scene, None, "/a").unwrap();
    assert_eq!(made.priority, None);
    let said = PolicyPatch { priority: Some(priority(1)), ..patch() };
    assert_eq!(scene.world.blame(|draft| update(draft, made.id, said)), "priority");
    let wishes = [(made.id, priority(1))];
    assert_eq!(scene.world.blame(|draft| update_priorities(draft, &wishes)), "priority");
}

#[test]
fn a_policy_comes_behind_those_that_are_there() {
    let mut scene = Scene::enhanced();
    let code = |outcome: Result<Arc<Policy>, Error>| match outcome {
        Ok(policy) => policy.priority.unwrap().value().to_string(),
        Err(Error::Invalid { field, .. }) => field.to_owned(),
        Err(error) => error.code().to_owned(),
    };
    for (why, wanted, expect) in [
        ("the first", None, "1"),
        ("the next", None, "2"),
        ("a place of one's own", Some(7), "7"),
        ("behind that", None, "8"),
        ("one that is taken", Some(7), "priority_taken"),
        ("one that is for redirects", Some(0), "priority"),
        ("the last", Some(10_000), "10000"),
        ("behind the last", None, "priority"),
        ("a gap", Some(3), "3"),
    ] {
        let path = format!("/{why}").replace(' ', "-").replace('\'', "");
        assert_eq!(code(place(&mut scene, wanted, &path)), expect, "{why}");
    }
    let target = scene.world.https_listener(scene.lb, 443).id;
    let made = scene.world.policy(scene.listener.id, Action::ToListener(target), &[]);
    assert_eq!(made.priority, Some(priority(0)), "a redirect to a listener goes first");
}

#[test]
fn policies_change_places_at_once_or_not_at_all() {
    let mut scene = Scene::enhanced();
    let ids: Vec<_> = ["/a", "/b", "/c"].map(|path| place(&mut scene, None, path).unwrap().id).to_vec();
    let gone = PolicyId::new(Uuid::nil());
    for (why, wishes, expect, after) in [
        ("swapped", vec![(ids[0], 2), (ids[1], 1)], "ok", [2, 1, 3]),
        ("rotated", vec![(ids[0], 3), (ids[1], 2), (ids[2], 1)], "ok", [3, 2, 1]),
        ("as it is", vec![(ids[0], 3)], "ok", [3, 2, 1]),
        ("taken by one that stays", vec![(ids[0], 2)], "priority_taken", [3, 2, 1]),
        ("two for one place", vec![(ids[0], 9), (ids[1], 9)], "priority_taken", [3, 2, 1]),
        ("one twice", vec![(ids[0], 8), (ids[0], 9)], "l7policies", [3, 2, 1]),
        ("one that is not there", vec![(ids[0], 8), (gone, 9)], "not_found", [3, 2, 1]),
        ("out of range", vec![(ids[0], 8), (ids[1], 0)], "priority", [3, 2, 1]),
        ("nothing", vec![], "ok", [3, 2, 1]),
    ] {
        let wishes: Vec<_> = wishes.into_iter().map(|(id, value)| (id, priority(value))).collect();
        assert_eq!(scene.world.blame(|draft| update_priorities(draft, &wishes)), expect, "{why}");
        assert_eq!(places(&scene, &ids), after.map(Some), "{why}");
    }
    let said = PolicyPatch { priority: Some(priority(2)), ..patch() };
    assert_eq!(scene.world.code(|draft| update(draft, ids[0], said)), "priority_taken", "one alone");
    let said = PolicyPatch { priority: Some(priority(4)), ..patch() };
    assert_eq!(scene.world.code(|draft| update(draft, ids[0], said)), "ok");
    scene.world.run(|draft| delete(draft, ids[0])).unwrap();
    assert_eq!(place(&mut scene, Some(4), "/d").unwrap().priority, Some(priority(4)), "free again");
    let many = vec![(ids[1], priority(1)); crate::BATCH_MAX + 1];
    assert_eq!(scene.world.blame(|draft| update_priorities(draft, &many)), "l7policies");
}

#[test]
fn switching_advanced_forwarding_on_keeps_the_computed_order() {
    let mut scene = Scene::plain();
    let host = |name: &str| a_rule(RuleSubject::Host, Compare::Equal, name);
    let path = |compare, value: &str| a_rule(RuleSubject::Path, compare, value);
    let rules: Vec<Vec<NewRule>> = vec![
        vec![path(Compare::Regex, "/longest-of-all.*")],
        vec![path(Compare::Prefix, "/a")],
        vec![path(Compare::Prefix, "/a/longer")],
        vec![path(Compare::Equal, "/a")],
        vec![host("www.example.com")],
        vec![host("www.example.com"), path(Compare::Equal, "/b")],
        vec![host("www.example.com"), path(Compare::Regex, "/c.*")],
    ];
    let target = scene.world.https_listener(scene.lb, 443).id;
    let mut ids = Vec::new();
    for rules in &rules {
        ids.push(scene.world.policy(scene.listener.id, to_pool(scene.pool.id), rules).id);
    }
    ids.push(scene.world.policy(scene.listener.id, Action::ToListener(target), &[]).id);
    assert_eq!(places(&scene, &ids), vec![None; ids.len()]);
    let said = ListenerPatch { enhanced_policies: Some(true), ..Default::default() };
    let id = scene.listener.id;
    scene.world.run(|draft| listener::update(draft, id, said.clone())).unwrap();
    assert_eq!(places(&scene, &ids), [7, 6, 5, 4, 2, 1, 3, 0].map(Some));
    scene.world.run(|draft| listener::update(draft, id, said)).unwrap();
    assert_eq!(places(&scene, &ids), [7, 6, 5, 4, 2, 1, 3, 0].map(Some), "once on, nothing moves");
}

#[test]
fn the_later_of_two_with_the_same_conditions_is_faulty() {
    let mut scene = Scene::plain();
    let (listener, pool) = (scene.listener.id, scene.pool.id);
    let host = |name: &str| a_rule(RuleSubject::Host, Compare::Equal, name);
    let first = scene.world.policy(listener, to_pool(pool), &[host("a.example.com"), prefix("/a")]);
    let twin = scene.world.policy(listener, to_pool(pool), &[prefix("/a"), host("A.example.com")]);
    let near = scene.world.policy(listener, to_pool(pool), &[prefix("/a")]);
    assert_eq!((first.faulty, twin.faulty, near.faulty), (false, true, false));
    scene.world.run(|draft| delete(draft, first.id)).unwrap();
    let faulty = |scene: &Scene| scene.world.state.policy(twin.id).unwrap().faulty;
    assert!(faulty(&scene), "it stays so when its twin goes");
    let said = || PolicyPatch { name: Some("n".try_into().unwrap()), ..patch() };
    scene.world.run(|draft| update(draft, twin.id, said())).unwrap();
    assert!(!faulty(&scene), "until it is changed");
    let host_rule =
        scene.world.state.rules_of(twin.id).find(|rule| rule.subject == RuleSubject::Host).cloned();
    scene.world.run(|draft| rule::delete(draft, twin.id, host_rule.unwrap().id)).unwrap();
    assert!(faulty(&scene), "a rule less makes it a twin of another one");
    scene.world.run(|draft| rule::create(draft, twin.id, host("b.example.com"))).unwrap();
    assert!(!faulty(&scene));
    let said = PolicyPatch { rules: Some(vec![prefix("/a")]), ..patch() };
    assert!(scene.world.run(|draft| update(draft, twin.id, said)).unwrap().faulty);
    let path = scene.world.state.rules_of(twin.id).next().unwrap().id;
    let said = model::RulePatch { value: Some("/z".to_owned()), ..Default::default() };
    scene.world.run(|draft| rule::update(draft, twin.id, path, said)).unwrap();
    assert!(!faulty(&scene));
}

#[test]
fn policies_without_conditions_are_not_twins_yet() {
    let mut scene = Scene::plain();
    let (listener, pool) = (scene.listener.id, scene.pool.id);
    for _ in 0..2 {
        assert!(!scene.world.policy(listener, to_pool(pool), &[]).faulty);
    }
    let target = scene.world.https_listener(scene.lb, 443).id;
    let redirect = Action::ToListener(target);
    assert!(!scene.world.policy(listener, redirect.clone(), &[]).faulty);
    assert!(scene.world.policy(listener, redirect, &[]).faulty, "a second redirect is never asked");
}
