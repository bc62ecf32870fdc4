//! The rules of rules, row by row.

use model::{Compare, Patch, rule::Condition};

use super::*;
use crate::testing::{World, enhanced, http, prefix, rule, to_pool};

/// A policy without rules, on an HTTP listener.
fn scene(service: model::listener::Service) -> (World, PolicyId) {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let listener = world.listener_of(lb, 80, service).id;
    let pool = world.pool_of(lb, model::PoolProtocol::Http).id;
    let id = world.policy(listener, to_pool(pool), &[]).id;
    (world, id)
}

fn keyed(subject: RuleSubject, key: &str, value: &str) -> NewRule {
    NewRule { key: Some(key.to_owned()), ..rule(subject, Compare::Equal, value) }
}

fn conditions(keys_and_values: &[(&str, &str)]) -> Vec<Condition> {
    let one =
        |(key, value): &(&str, &str)| Condition { key: Some((*key).to_owned()), value: (*value).to_owned() };
    keys_and_values.iter().map(one).collect()
}

#[test]
fn values_are_as_documented() {
    use Compare::{Equal, Prefix, Regex};
    use RuleSubject::{Cookie, Header, Host, Method, Path, Query, SourceIp};
    let long = |n: usize| format!("/{}", "a".repeat(n - 1));
    let ok = ("ok", "ok");
    let wide = |field| (field, "ok");
    let never = ("value", "value");
    // What is said without and with advanced forwarding.
    for (new, (plain, advanced)) in [
        (rule(Host, Equal, "www.example.com"), ok),
        (rule(Host, Equal, "*.example.com"), wide("value")),
        (rule(Host, Equal, "www.*.com"), wide("value")),
        (rule(Host, Equal, "a?.example.com"), wide("value")),
        (rule(Host, Equal, ".example.com"), never),
        (rule(Host, Equal, "example.com."), never),
        (rule(Host, Equal, "a..b"), never),
        (rule(Host, Equal, "a b"), never),
        (rule(Host, Equal, ""), never),
        (rule(Host, Equal, &format!("{}.com", "a".repeat(63))), ok),
        (rule(Host, Equal, &format!("{}.com", "a".repeat(64))), never),
        (rule(Host, Prefix, "www."), ("compare_type", "compare_type")),
        (rule(Host, Regex, r"^a.*\.example\.com$"), wide("compare_type")),
        (rule(Host, Regex, "a(b"), ("compare_type", "value")),
        (rule(Host, Regex, "a{2}"), ("compare_type", "value")),
        (rule(Path, Equal, "/a"), ok),
        (rule(Path, Prefix, "/"), ok),
        (rule(Path, Equal, "a"), never),
        (rule(Path, Prefix, "*"), never),
        (rule(Path, Equal, "/a b"), never),
        (rule(Path, Equal, "/ü"), never),
        (rule(Path, Equal, "/<"), never),
        (rule(Path, Equal, "/_~';@^-%#$.*+?,=!:|\\/()[]{}"), ok),
        (rule(Path, Equal, &long(128)), ok),
        (rule(Path, Equal, &long(129)), never),
        (rule(Path, Regex, r"/elb[^\s]*"), ok),
        (rule(Path, Regex, "a)(b"), never),
        (rule(Path, Regex, "(?=a)b"), never),
        (rule(Path, Regex, r"(a)\1"), never),
        (rule(Path, Regex, "(a{999}){999}"), never),
        (rule(Method, Equal, "GET"), wide("type")),
        (rule(Method, Equal, "get"), ("type", "value")),
        (rule(Method, Equal, "CONNECT"), ("type", "value")),
        (rule(Method, Prefix, "GET"), ("type", "compare_type")),
        (keyed(Header, "X-A", "b*"), wide("type")),
        (keyed(Header, "X-A", "b c"), ("type", "value")),
        (keyed(Header, "X-A", "\""), ("type", "value")),
        (keyed(Header, "X A", "b"), ("type", "key")),
        (keyed(Header, &"a".repeat(40), "b"), wide("type")),
        (keyed(Header, &"a".repeat(41), "b"), ("type", "key")),
        (rule(Header, Equal, "b"), ("type", "key")),
        (keyed(Header, "", "b"), ("type", "key")),
        (keyed(Query, "a", "b"), wide("type")),
        (keyed(Query, "a=b", "b"), wide("type")),
        (keyed(Query, "a", "b&c"), ("type", "value")),
        (keyed(Query, "a%", "b"), ("type", "key")),
        (keyed(Cookie, "session", "b*"), wide("type")),
        (keyed(Cookie, "a=b", "b"), ("type", "key")),
        (keyed(Cookie, "a", "b;c"), ("type", "value")),
        (rule(SourceIp, Equal, "192.0.2.0/24"), wide("type")),
        (rule(SourceIp, Equal, "2001:db8::/32"), wide("type")),
        (rule(SourceIp, Equal, "192.0.2.1"), ("type", "value")),
        (rule(SourceIp, Equal, "192.0.2.0/33"), ("type", "value")),
        (keyed(Path, "key", "/a"), ("key", "key")),
        (keyed(Path, "", "/a"), ok),
    ] {
        for (service, expect) in [(http(), plain), (enhanced(), advanced)] {
            let (mut world, policy) = scene(service);
            let said = new.clone();
            assert_eq!(world.blame(|draft| create(draft, policy, said)), expect, "{new:?}");
        }
    }
}

#[test]
fn conditions_have_one_key_and_distinct_values() {
    let header = |conditions| NewRule { conditions, ..rule(RuleSubject::Header, Compare::Equal, "-") };
    let many = |n: usize| {
        let values: Vec<String> = (0..n).map(|n| n.to_string()).collect();
        conditions(&values.iter().map(|value| ("a", value.as_str())).collect::<Vec<_>>())
    };
    for (why, said, expect) in [
        ("two values", header(conditions(&[("a", "1"), ("a", "2")])), "ok"),
        ("two keys", header(conditions(&[("a", "1"), ("b", "2")])), "conditions"),
        ("a value twice", header(conditions(&[("a", "1"), ("a", "1")])), "conditions"),
        ("a bad value", header(conditions(&[("a", "1"), ("a", "2 3")])), "conditions"),
        ("no key", header(conditions(&[("", "1")])), "key"),
        ("ten", header(many(10)), "ok"),
        ("eleven", header(many(11)), "conditions"),
        (
            "a key where there is none",
            NewRule { conditions: conditions(&[("a", "/1")]), ..prefix("/") },
            "key",
        ),
        ("paths", NewRule { conditions: conditions(&[("", "/1"), ("", "/2")]), ..prefix("/") }, "ok"),
        (
            "a value that does not count",
            NewRule { conditions: conditions(&[("", "/1")]), ..prefix("nothing") },
            "ok",
        ),
        (
            "a value that does not count and is too long",
            NewRule { conditions: conditions(&[("", "/1")]), ..prefix(&"a".repeat(129)) },
            "value",
        ),
    ] {
        let (mut world, policy) = scene(enhanced());
        assert_eq!(world.blame(|draft| create(draft, policy, said.clone())), expect, "{why}");
        let (mut world, policy) = scene(http());
        assert_ne!(world.blame(|draft| create(draft, policy, said)), "ok", "{why}, not advanced");
    }
}

#[test]
fn some_subjects_stand_once_in_a_policy() {
    use RuleSubject::{Cookie, Header, Host, Method, Path, Query, SourceIp};
    for (first, second, expect) in [
        (rule(Host, Compare::Equal, "a.b"), rule(Host, Compare::Equal, "c.d"), "type"),
        (prefix("/a"), rule(Path, Compare::Equal, "/b"), "type"),
        (rule(Method, Compare::Equal, "GET"), rule(Method, Compare::Equal, "PUT"), "type"),
        (rule(SourceIp, Compare::Equal, "::/0"), rule(SourceIp, Compare::Equal, "10.0.0.0/8"), "type"),
        (keyed(Header, "a", "1"), keyed(Header, "a", "2"), "ok"),
        (keyed(Query, "a", "1"), keyed(Query, "b", "1"), "ok"),
        (keyed(Cookie, "a", "1"), keyed(Cookie, "b", "1"), "ok"),
        (prefix("/a"), rule(Host, Compare::Equal, "a.b"), "ok"),
    ] {
        let (mut world, policy) = scene(enhanced());
        world.run(|draft| create(draft, policy, first.clone())).unwrap();
        assert_eq!(world.blame(|draft| create(draft, policy, second)), expect, "{first:?}");
    }
}

#[test]
fn a_policy_has_ten_conditions() {
    let (mut world, policy) = scene(enhanced());
    let values: Vec<String> = (0..9).map(|n| format!("/{n}")).collect();
    let nine = conditions(&values.iter().map(|value| ("", value.as_str())).collect::<Vec<_>>());
    let path = NewRule { conditions: nine, ..prefix("/") };
    let path = world.run(|draft| create(draft, policy, path)).unwrap().id;
    let header = |n: u8| keyed(RuleSubject::Header, &format!("a{n}"), "1");
    assert_eq!(world.code(|draft| create(draft, policy, header(1))), "ok", "the tenth");
    assert_eq!(world.code(|draft| create(draft, policy, header(2))), "quota_exceeded");
    let one = RulePatch { conditions: Some(vec![]), value: Some("/a".to_owned()), ..Default::default() };
    world.run(|draft| update(draft, policy, path, one)).unwrap();
    assert_eq!(world.code(|draft| create(draft, policy, header(2))), "ok");
}

#[test]
fn an_update_changes_what_was_said_and_keeps_the_rules() {
    let (mut world, policy) = scene(enhanced());
    let before = world.run(|draft| create(draft, policy, keyed(RuleSubject::Header, "a", "1"))).unwrap();
    let said = RulePatch { value: Some("2".to_owned()), ..Default::default() };
    let after = world.run(|draft| update(draft, policy, before.id, said)).unwrap();
    let expect = Rule { value: "2".to_owned(), updated_at: after.updated_at, ..Rule::clone(&before) };
    assert_eq!(*after, expect);
    for (why, said, expect) in [
        ("no key", RulePatch { key: Patch::Clear, ..Default::default() }, "key"),
        ("another key", RulePatch { key: Patch::Set("b".to_owned()), ..Default::default() }, "ok"),
        ("a prefix", RulePatch { compare: Some(Compare::Prefix), ..Default::default() }, "compare_type"),
        ("a bad value", RulePatch { value: Some(" ".to_owned()), ..Default::default() }, "value"),
    ] {
        assert_eq!(world.blame(|draft| update(draft, policy, before.id, said)), expect, "{why}");
    }
}

#[test]
fn a_rule_is_found_by_its_policy_and_project() {
    let (mut world, policy) = scene(http());
    let id = world.run(|draft| create(draft, policy, prefix("/a"))).unwrap().id;
    let listener = world.state.policy(policy).unwrap().listener;
    let pool = world.state.pools().keys().next().copied().unwrap();
    let other = world.policy(listener, to_pool(pool), &[]).id;
    assert_eq!(world.code(|draft| update(draft, other, id, RulePatch::default())), "not_found");
    assert_eq!(world.code(|draft| delete(draft, other, id)), "not_found");
    world.as_other_project();
    assert_eq!(world.code(|draft| create(draft, policy, prefix("/b"))), "not_found");
    assert_eq!(world.code(|draft| update(draft, policy, id, RulePatch::default())), "not_found");
    assert_eq!(world.code(|draft| delete(draft, policy, id)), "not_found");
}
