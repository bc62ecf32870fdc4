//! What finding a policy costs: `cargo run --release -p plan --example router`.
//!
//! Ten policies and ten thousand of each kind; each request is for a policy drawn at random, so that memory is as cold as it is
//! at work with that many policies.
#![allow(clippy::print_stdout, reason = "prints its table")]

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Instant,
};

use model::{Compare, IpSpan, Priority, RuleSubject, listener::AccessMode};
use plan::{AclPlan, RequestView, Router, compile, router::HeaderLookup};

#[path = "../tests/compile/objects.rs"]
mod objects;
use objects::{Objects, enhanced, listener_id};

const ROUTES: usize = 1_000_000;
const REQUESTS: usize = 4096;

/// `X-Tenant` with this value.
struct Tenant<'a>(&'a str);

impl HeaderLookup for Tenant<'_> {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        name == "x-tenant" && test(self.0.as_bytes())
    }
}

/// A request's policy, host, path and tenant.
type Request = (u64, String, String, String);

/// Makes the rules of policy `n`, whose request is that of [`request_of`].
type Rules = fn(&mut Objects, u64);

fn main() {
    let kinds: &[(&str, Rules)] = &[
        ("exact host", |objects, n| {
            objects.rule(n, n, RuleSubject::Host, Compare::Equal, &format!("h{n}.example.com"));
        }),
        ("exact host and exact path", |objects, n| {
            objects.rule(2 * n, n, RuleSubject::Host, Compare::Equal, &format!("h{n}.example.com"));
            objects.rule(2 * n + 1, n, RuleSubject::Path, Compare::Equal, &format!("/app/{n}/index.html"));
        }),
        ("wildcard host", |objects, n| {
            objects.rule(n, n, RuleSubject::Host, Compare::Equal, &format!("*{n}.example.com"));
        }),
        ("exact path", |objects, n| {
            objects.rule(n, n, RuleSubject::Path, Compare::Equal, &format!("/app/{n}/index.html"));
        }),
        ("path prefix", |objects, n| {
            objects.rule(n, n, RuleSubject::Path, Compare::Prefix, &format!("/app/{n}/"));
        }),
        ("path expression", |objects, n| {
            objects.rule(n, n, RuleSubject::Path, Compare::Regex, &format!(r"/app/{n}/[a-z]+\.html"));
        }),
        ("value of a header", |objects, n| {
            objects.rule_of(n, n, RuleSubject::Header, Compare::Equal, Some("X-Tenant"), &[&n.to_string()]);
        }),
    ];
    println!("{:<28} {:>12} {:>12} {:>12} {:>12}", "ns per route", "10", "10,000", "10 prio", "10,000 prio");
    for (name, rules) in kinds {
        let cost = |policies, priorities| {
            let router = router(policies, priorities, *rules);
            nanoseconds(&router, policies)
        };
        println!(
            "{name:<28} {:>12.0} {:>12.0} {:>12.0} {:>12.0}",
            cost(10, false),
            cost(10_000, false),
            cost(10, true),
            cost(10_000, true),
        );
    }
    println!("{:<28} {:>12.0} {:>12.0}", "spans of an access control", access(10), access(10_000));
    making();
}

/// What asking for an address costs with so many spans that do not touch.
fn access(spans: u32) -> f64 {
    let address = |n: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + 2 * n));
    let acl = AclPlan::new(AccessMode::White, Vec::new(), (0..spans).map(|n| IpSpan::Net(address(n).into())));
    let mut state = 1_u64;
    let clients: Vec<IpAddr> =
        (0..REQUESTS).map(|_| address(drawn(&mut state, u64::from(spans)) as u32)).collect();
    let begun = Instant::now();
    for at in 0..ROUTES {
        assert!(acl.admits(black_box(clients[at % REQUESTS])));
    }
    begun.elapsed().as_nanos() as f64 / ROUTES as f64
}

/// Below `bound`, without a pattern that a processor could learn.
fn drawn(state: &mut u64, bound: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % bound
}

/// What making the router of 10,000 policies costs, and making it again after a change of one rule.
fn making() {
    let mut objects = objects(10_000, false, |objects, n| {
        objects.rule(n, n, RuleSubject::Path, Compare::Regex, &format!(r"/app/{n}/[a-z]+\.html"));
    });
    let begun = Instant::now();
    let plan = compile(&objects.snapshot, None);
    let all = begun.elapsed();
    objects.rule(1, 1, RuleSubject::Path, Compare::Prefix, "/other");
    let begun = Instant::now();
    black_box(compile(&objects.snapshot, Some(&plan)));
    println!(
        "10,000 path expressions: compiled in {all:?}, again after a change of one in {:?}",
        begun.elapsed()
    );
}

fn router(policies: u64, priorities: bool, rules: Rules) -> Arc<Router> {
    let plan = compile(&objects(policies, priorities, rules).snapshot, None);
    plan.listeners[&listener_id(1)].router.clone().expect("policies")
}

fn objects(policies: u64, priorities: bool, rules: Rules) -> Objects {
    let mut objects = Objects::default();
    objects.load_balancer(1, |_| ());
    objects.listener(1, 1, None, |listener| {
        if priorities {
            listener.service = enhanced();
        }
    });
    objects.policies_max(-1);
    for n in 1..=policies {
        objects.policy(n, 1, |policy| {
            policy.priority = priorities.then(|| Priority::of(n as u16));
        });
        rules(&mut objects, n);
    }
    objects
}

fn nanoseconds(router: &Router, policies: u64) -> f64 {
    let mut state = 1_u64;
    let requests: Vec<Request> = (0..REQUESTS)
        .map(|_| {
            let n = drawn(&mut state, policies) + 1;
            (n, format!("h{n}.example.com"), format!("/app/{n}/index.html"), n.to_string())
        })
        .collect();
    let route = |(n, host, path, tenant): &Request| {
        let request = RequestView {
            host: host.as_bytes(),
            path: path.as_bytes(),
            query: b"",
            method: b"GET",
            headers: &Tenant(tenant),
            source: IpAddr::from([192, 0, 2, 1]),
        };
        let found = router.route(black_box(&request)).map(|found| found.policy as u64 + 1);
        assert!(found.is_some_and(|found| found <= *n), "request {n} went to {found:?}");
    };
    requests.iter().for_each(route);
    let begun = Instant::now();
    for at in 0..ROUTES {
        route(&requests[at % REQUESTS]);
    }
    begun.elapsed().as_nanos() as f64 / ROUTES as f64
}
