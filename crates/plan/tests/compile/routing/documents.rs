//! The router answers as a matcher that follows the documents word by word.

use std::net::IpAddr;

use model::{Compare, Listener, Policy, Priority, Rule, RuleSubject};
use proptest::prelude::*;

use super::{Request, plan_of, route, world};
use crate::objects::{Objects, listener_id};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_router_answers_as_the_documents_say(
        with_priorities in any::<bool>(),
        policies in prop::collection::vec((prop::collection::vec(rule(), 0..4), prop::bool::weighted(0.1), any::<u8>()), 0..20),
        requests in prop::collection::vec(request(), 1..12),
    ) {
        let mut objects = world(with_priorities);
        let mut taken = std::collections::BTreeSet::new();
        for (n, (rules, faulty, priority)) in (1..).zip(&policies) {
            // No two the same.
            let mut priority = u16::from(*priority) + 1;
            while !taken.insert(priority) {
                priority += 1;
            }
            objects.policy(n, 1, |policy| {
                policy.faulty = *faulty;
                policy.priority = with_priorities.then(|| Priority::of(priority));
            });
            let mut seen = std::collections::BTreeSet::new();
            for (m, rule) in (0..).zip(rules) {
                let once = !matches!(rule.0, RuleSubject::Header | RuleSubject::Query | RuleSubject::Cookie);
                if seen.insert(rule.0) || !once {
                    put_rule(&mut objects, 10 * n + m, n, rule);
                }
            }
        }
        let listener = plan_of(&objects);
        let model = objects.snapshot.listener(listener_id(1)).unwrap();
        let all: Vec<_> = objects
            .snapshot
            .policies_of(listener_id(1))
            .map(|policy| (Policy::clone(policy), objects.snapshot.rules_of(policy.id).map(|rule| Rule::clone(rule)).collect()))
            .collect();
        for request in requests {
            let found = route(&listener, &request).map(|found| listener.policies[found.policy].id);
            prop_assert_eq!(found, naive::route(model, &all, &request), "{:?}", request);
        }
    }
}

const HOSTS: [&str; 6] = ["a.com", "b.a.com", "*.com", "*.a.com", "b.?.com", "*"];
const PATHS: [&str; 7] = ["/", "/a", "/a/", "/a/b", "/ab", "/b/a", "/a/b/c"];
const EXPRESSIONS: [&str; 6] = ["/.*", "/a[^/]*", "/(a|b)/.*", "/a/b", ".*/a", "/[ab]+"];

/// A rule by subject and number of comparison, with values by number.
type RuleSpec = (RuleSubject, u8, Vec<usize>);

fn rule() -> impl Strategy<Value = RuleSpec> {
    let subject = prop_oneof![
        4 => Just(RuleSubject::Host),
        6 => Just(RuleSubject::Path),
        1 => Just(RuleSubject::Method),
        1 => Just(RuleSubject::Header),
        1 => Just(RuleSubject::Query),
        1 => Just(RuleSubject::Cookie),
        1 => Just(RuleSubject::SourceIp),
    ];
    (subject, 0..3u8, prop::collection::vec(0..7usize, 1..3))
}

fn put_rule(objects: &mut Objects, n: u64, policy: u64, (subject, compare, values): &RuleSpec) {
    let pick = |from: &'static [&'static str]| {
        values.iter().map(|&value| from[value % from.len()]).collect::<Vec<_>>()
    };
    let (compare, key, values) = match (subject, compare) {
        (RuleSubject::Host, _) => (Compare::Equal, None, pick(&HOSTS)),
        (RuleSubject::Path, 0) => (Compare::Equal, None, pick(&PATHS)),
        (RuleSubject::Path, 1) => (Compare::Prefix, None, pick(&PATHS)),
        (RuleSubject::Path, _) => (Compare::Regex, None, pick(&EXPRESSIONS)),
        (RuleSubject::Method, _) => (Compare::Equal, None, pick(&["GET", "POST"])),
        (RuleSubject::SourceIp, _) => {
            (Compare::Equal, None, pick(&["192.0.2.0/30", "192.0.2.2/32", "0.0.0.0/0"]))
        }
        (RuleSubject::Header | RuleSubject::Query | RuleSubject::Cookie, _) => {
            (Compare::Equal, Some("k"), pick(&["v", "v*", "w"]))
        }
    };
    objects.rule_of(n, policy, *subject, compare, key, &values);
}

fn request() -> impl Strategy<Value = Request> {
    let value = || prop::option::of(prop::sample::select(vec!["v", "w", "vw"]));
    (
        prop::bool::ANY,
        prop::sample::select(vec!["a.com", "B.a.com", "c.b.a.com:80", "d.org", ""]),
        prop_oneof![2 => prop::sample::select(&PATHS[..]).prop_map(str::to_owned), 1 => "/[ab/]{0,5}"],
        value(),
        value(),
        value(),
        0..4u8,
    )
        .prop_map(|(get, host, path, header, query, cookie, source)| Request {
            method: if get { "GET" } else { "POST" }.to_owned(),
            host: host.to_owned(),
            path,
            query: query.map(|query| format!("x=1&k={query}")).unwrap_or_default(),
            headers: [
                header.map(|value| ("K", value.to_owned())),
                cookie.map(|value| ("Cookie", format!("x=1; k={value}"))),
            ]
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
            source: IpAddr::from([192, 0, 2, source]),
        })
}

/// Follows behaviour/forwarding.md word by word, one policy after the other.
mod naive {
    use std::{cell::RefCell, collections::HashMap};

    use super::*;

    pub(super) fn route(
        listener: &Listener,
        policies: &[(Policy, Vec<Rule>)],
        request: &Request,
    ) -> Option<model::PolicyId> {
        let mut applied: Vec<_> = policies.iter().filter(|(policy, _)| !policy.faulty).collect();
        applied.sort_by_key(|(policy, _)| policy.created_at);
        let matching = applied.into_iter().filter(|(_, rules)| {
            !rules.is_empty()
                && rules.iter().all(|rule| rule.values().any(|value| holds(rule, value, request)))
        });
        let place = |(policy, rules): &&(Policy, Vec<Rule>)| {
            if listener.http().is_some_and(|http| http.enhanced_policies) {
                // "ascending priority, smaller first".
                return (policy.priority.map_or(0, |priority| priority.value().into()), 0, 0);
            }
            let rule = |subject| rules.iter().find(|rule| rule.subject == subject);
            // "A policy with the request's domain wins over path-only ones."
            let host = match rule(RuleSubject::Host) {
                None => 10_000,
                Some(host) => {
                    let matching = host.values().filter(|value| holds(host, value, request));
                    let special = matching
                        .map(|value| if value.contains(['*', '?']) { 1_000 - value.len() as i64 } else { 0 });
                    special.min().unwrap()
                }
            };
            // "exact > prefix > regex; same kind: longer path first. Domain without path = prefix `/`."
            let (kind, length) = match rule(RuleSubject::Path) {
                None => (1, 1),
                Some(path) => {
                    let matching = path.values().filter(|value| holds(path, value, request));
                    let longest = matching.map(str::len).max().unwrap();
                    match path.compare {
                        Compare::Equal => (0, 0),
                        Compare::Prefix => (1, longest as i64),
                        Compare::Regex => (2, longest as i64),
                    }
                }
            };
            (host, kind, -length)
        };
        // The first of the smallest is the oldest.
        matching.min_by_key(place).map(|(policy, _)| policy.id)
    }

    fn holds(rule: &Rule, value: &str, request: &Request) -> bool {
        let key = rule.key().unwrap_or_default();
        match rule.subject {
            RuleSubject::Host => {
                let host = request.host.split(':').next().unwrap().to_lowercase();
                compare(rule.compare, &value.to_lowercase(), &host, true)
            }
            RuleSubject::Path => compare(rule.compare, value, &request.path, false),
            RuleSubject::Method => value == request.method,
            RuleSubject::Header => request.headers.iter().any(|(name, text)| {
                name.eq_ignore_ascii_case(key) && compare(rule.compare, value, text, true)
            }),
            RuleSubject::Query => request
                .query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .any(|(name, text)| name == key && compare(rule.compare, value, text, true)),
            RuleSubject::Cookie => request
                .headers
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case("cookie"))
                .flat_map(|(_, cookies)| cookies.split("; "))
                .filter_map(|pair| pair.split_once('='))
                .any(|(name, text)| name == key && compare(rule.compare, value, text, true)),
            RuleSubject::SourceIp => {
                let net: ipnet::IpNet = value.parse().unwrap();
                net.contains(&request.source)
            }
        }
    }

    thread_local! {
        static COMPILED: RefCell<HashMap<String, regex::Regex>> = RefCell::default();
    }

    fn compare(how: Compare, value: &str, text: &str, wild: bool) -> bool {
        let expression = match how {
            Compare::Prefix => return text.starts_with(value),
            Compare::Equal if !wild => return text == value,
            Compare::Equal => regex::escape(value).replace(r"\*", ".*").replace(r"\?", "."),
            Compare::Regex => value.to_owned(),
        };
        COMPILED.with_borrow_mut(|compiled| {
            let new = |expression: &String| regex::Regex::new(&format!("^(?:{expression})$")).unwrap();
            compiled.entry(expression).or_insert_with_key(new).is_match(text)
        })
    }
}
