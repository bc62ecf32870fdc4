//! The rules of access logs, row by row.

use super::*;
use crate::{load_balancer, testing::World};

fn new(load_balancer: LoadBalancerId) -> NewAccessLog {
    NewAccessLog { load_balancer, group: "group".to_owned(), topic: "topic".to_owned() }
}

#[test]
fn a_load_balancer_has_one_log() {
    let mut world = World::new();
    let (lb, other) = (world.load_balancer().id, world.load_balancer().id);
    let id = world.run(|draft| create(draft, new(lb))).unwrap().id;
    assert_eq!(world.code(|draft| create(draft, new(lb))), "in_use");
    assert_eq!(world.code(|draft| create(draft, new(other))), "ok");
    world.run(|draft| delete(draft, id)).unwrap();
    assert_eq!(world.code(|draft| create(draft, new(lb))), "ok");
    assert_eq!(world.code(|draft| delete(draft, id)), "not_found", "a second time");
    world.as_other_project();
    assert_eq!(world.code(|draft| create(draft, new(lb))), "not_found");
}

#[test]
fn a_log_goes_with_its_load_balancer() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    world.run(|draft| create(draft, new(lb))).unwrap();
    world.run(|draft| load_balancer::delete(draft, lb)).unwrap();
    assert_eq!(world.state.access_logs().len(), 0);
}

#[test]
fn names_are_short_and_of_one_line() {
    for (why, name, expect) in [
        ("36 characters", "a".repeat(36), "ok"),
        ("37 characters", "a".repeat(37), "log_topic_id"),
        ("none", String::new(), "log_topic_id"),
        ("a new line", "a\nb".to_owned(), "log_topic_id"),
    ] {
        let mut world = World::new();
        let lb = world.load_balancer().id;
        let wish = NewAccessLog { topic: name.clone(), ..new(lb) };
        assert_eq!(world.blame(|draft| create(draft, wish)), expect, "{why}, at creation");
        let before = world.run(|draft| create(draft, NewAccessLog { topic: "t".to_owned(), ..new(lb) }));
        let id = before.map_or_else(|_| world.state.access_log_of(lb).unwrap().id, |log| log.id);
        let patch = AccessLogPatch { topic: Some(name), ..Default::default() };
        assert_eq!(world.blame(|draft| update(draft, id, patch)), expect, "{why}, later");
    }
}

#[test]
fn an_update_changes_what_was_said() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let id = world.run(|draft| create(draft, new(lb))).unwrap().id;
    let patch = AccessLogPatch { group: Some("other".to_owned()), ..Default::default() };
    let after = world.run(|draft| update(draft, id, patch)).unwrap();
    assert_eq!((after.group.as_str(), after.topic.as_str()), ("other", "topic"));
    world.as_other_project();
    assert_eq!(world.code(|draft| update(draft, id, AccessLogPatch::default())), "not_found");
    assert_eq!(world.code(|draft| delete(draft, id)), "not_found");
}
