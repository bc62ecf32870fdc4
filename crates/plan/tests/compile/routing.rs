//! Which policy a request gets: the examples of the documents.

mod documents;

use std::net::IpAddr;

use model::{Action, Compare, Priority, RuleSubject, listener::HttpService, listener::Service};
use plan::{ListenerPlan, Match, RequestView, compile, router::HeaderLookup};

use crate::objects::{Objects, enhanced, forward, http, listener_id, policy_id};

/// A request as a test says it.
#[derive(Clone, Debug)]
struct Request {
    method: String,
    host: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    source: IpAddr,
}

impl Request {
    fn get(host: &str, path: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            host: host.to_owned(),
            path: path.to_owned(),
            query: String::new(),
            headers: Vec::new(),
            source: "192.0.2.1".parse().unwrap(),
        }
    }

    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn view(&self) -> RequestView<'_> {
        RequestView {
            host: self.host.as_bytes(),
            path: self.path.as_bytes(),
            query: self.query.as_bytes(),
            method: self.method.as_bytes(),
            headers: self,
            source: self.source,
        }
    }
}

impl HeaderLookup for Request {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.headers.iter().any(|(other, value)| other.eq_ignore_ascii_case(name) && test(value.as_bytes()))
    }
}

/// A listener 1 whose policies have priorities, or have none.
fn world(with_priorities: bool) -> Objects {
    let mut objects = Objects::default();
    objects.load_balancer(1, |_| ());
    objects.listener(1, 1, None, |listener| {
        if with_priorities {
            listener.service = enhanced();
        }
    });
    objects
}

fn plan_of(objects: &Objects) -> std::sync::Arc<ListenerPlan> {
    compile(&objects.snapshot, None).listeners[&listener_id(1)].clone()
}

fn route(listener: &ListenerPlan, request: &Request) -> Option<Match> {
    listener.router.as_ref().and_then(|router| router.route(&request.view()))
}

/// The number of the policy that a request gets; 0: none.
fn routed(listener: &ListenerPlan, request: &Request) -> u64 {
    let id = route(listener, request).map(|found| listener.policies[found.policy].id);
    (1..100).find(|&n| Some(policy_id(n)) == id).unwrap_or_default()
}

/// The URL matching table that the guides print for the request path `/elb/index.html`.
const URL_MATCHING: [(Compare, [(&str, bool); 4]); 3] = [
    (
        Compare::Equal,
        [("/elb/index.html", true), ("/elb", false), (r"/elb[^\s]*", false), ("/index.html", false)],
    ),
    (
        Compare::Prefix,
        [("/elb/index.html", true), ("/elb", true), (r"/elb[^\s]*", false), ("/index.html", false)],
    ),
    (
        Compare::Regex,
        [("/elb/index.html", true), ("/elb", false), (r"/elb[^\s]*", true), ("/index.html", false)],
    ),
];

#[test]
fn the_url_matching_table_of_the_guides_holds_in_both_orders() {
    for with_priorities in [false, true] {
        for (compare, row) in URL_MATCHING {
            for (preset, expect) in row {
                let mut objects = world(with_priorities);
                objects.policy(1, 1, |policy| policy.priority = with_priorities.then(|| Priority::of(1)));
                objects.rule(1, 1, RuleSubject::Path, compare, preset);
                let found = routed(&plan_of(&objects), &Request::get("any.example.com", "/elb/index.html"));
                assert_eq!(found == 1, expect, "{compare:?} {preset}");
            }
        }
    }
}

/// A comparison with a value, or no rule.
type OneRule = Option<(Compare, &'static str)>;

/// Policies of one host rule or none and one path rule or none, in the order of their making.
fn by_host_and_path(with_priorities: bool, policies: &[(OneRule, OneRule)]) -> Objects {
    let mut objects = world(with_priorities);
    for (n, (host, path)) in (1..).zip(policies) {
        objects.policy(n, 1, |policy| policy.priority = with_priorities.then(|| Priority::of(n as u16)));
        if let Some((compare, host)) = host {
            objects.rule(2 * n, n, RuleSubject::Host, *compare, host);
        }
        if let Some((compare, path)) = path {
            objects.rule(2 * n + 1, n, RuleSubject::Path, *compare, path);
        }
    }
    objects
}

#[test]
fn without_priorities_the_special_wins_over_the_general() {
    use Compare::{Equal, Prefix, Regex};
    for (why, policies, host, path, expect) in [
        (
            "the figure of the guide: a prefix before an expression",
            &[
                (None, Some((Equal, "/elb_gls"))),
                (None, Some((Prefix, "/elb"))),
                (None, Some((Regex, r"/elb[^\s]*"))),
            ][..],
            "www.example.com",
            "/elb_gls/glossary.html",
            2,
        ),
        (
            "a policy with the request's domain wins over path-only ones",
            &[(None, Some((Prefix, "/test"))), (Some((Equal, "www.elb.com")), None)],
            "www.elb.com",
            "/test",
            2,
        ),
        (
            "also over an exact path",
            &[(None, Some((Equal, "/test"))), (Some((Equal, "www.elb.com")), None)],
            "WWW.elb.com:80",
            "/test",
            2,
        ),
        (
            "where the domain has nothing for the path, path-only ones count",
            &[(Some((Equal, "www.elb.com")), Some((Equal, "/a"))), (None, Some((Prefix, "/")))],
            "www.elb.com",
            "/b",
            2,
        ),
        (
            "exact before prefix",
            &[(None, Some((Prefix, "/a/b"))), (None, Some((Equal, "/a/b")))],
            "h",
            "/a/b",
            2,
        ),
        (
            "the longer prefix",
            &[(None, Some((Prefix, "/a"))), (None, Some((Prefix, "/a/b")))],
            "h",
            "/a/b/c",
            2,
        ),
        (
            "the shorter one where the longer does not match",
            &[(None, Some((Prefix, "/a"))), (None, Some((Prefix, "/a/b")))],
            "h",
            "/a/c",
            1,
        ),
        ("a prefix is a string, not a folder", &[(None, Some((Prefix, "/elb")))], "h", "/elb_gls/x", 1),
        (
            "the longer expression",
            &[(None, Some((Regex, "/.*"))), (None, Some((Regex, "/a.*")))],
            "h",
            "/abc",
            2,
        ),
        (
            "of equally long ones the older",
            &[(None, Some((Regex, "/a.*"))), (None, Some((Regex, "/.*a")))],
            "h",
            "/aba",
            1,
        ),
        (
            "a domain without path is a prefix /",
            &[(Some((Equal, "h")), None), (Some((Equal, "h")), Some((Prefix, "/x")))],
            "h",
            "/x",
            2,
        ),
        (
            "and before an expression of the domain",
            &[(Some((Equal, "h")), Some((Regex, "/x.*"))), (Some((Equal, "h")), None)],
            "h",
            "/x",
            2,
        ),
        (
            "a whole domain before a wild one",
            &[(Some((Equal, "*.b.c")), Some((Equal, "/"))), (Some((Equal, "a.b.c")), None)],
            "a.b.c",
            "/",
            2,
        ),
        (
            "the longer wild domain",
            &[(Some((Equal, "*.c")), None), (Some((Equal, "*.b.c")), None)],
            "a.b.c",
            "/",
            2,
        ),
        ("no policy", &[(Some((Equal, "a")), None), (None, Some((Equal, "/a")))], "b", "/", 0),
    ] {
        let listener = plan_of(&by_host_and_path(false, policies));
        assert_eq!(routed(&listener, &Request::get(host, path)), expect, "{why}");
    }
}

#[test]
fn with_priorities_the_first_whose_rules_all_hold_wins() {
    use Compare::{Equal, Prefix, Regex};
    for (why, policies, host, path, expect) in [
        (
            "the example of the guide",
            &[(None, Some((Regex, r"/exa[^\s]*"))), (None, Some((Regex, "/exa/index.html")))][..],
            "h",
            "/exa/index.html",
            1,
        ),
        (
            "a path before a domain",
            &[(None, Some((Prefix, "/"))), (Some((Equal, "h")), Some((Equal, "/")))],
            "h",
            "/",
            1,
        ),
        (
            "a wild domain before a whole one",
            &[(Some((Equal, "*")), None), (Some((Equal, "h")), None)],
            "h",
            "/",
            1,
        ),
        (
            "an expression for domains",
            &[(Some((Regex, r"w\d+\.example\.com")), None)],
            "W17.EXAMPLE.com:8080",
            "/",
            1,
        ),
        ("as a whole", &[(Some((Regex, r"\d+\.example\.com")), None)], "w17.example.com", "/", 0),
        (
            "both must hold",
            &[(Some((Equal, "h")), Some((Equal, "/a"))), (None, None), (None, Some((Prefix, "/")))],
            "h",
            "/b",
            3,
        ),
    ] {
        let listener = plan_of(&by_host_and_path(true, policies));
        assert_eq!(routed(&listener, &Request::get(host, path)), expect, "{why}");
    }
}

#[test]
fn every_condition_looks_at_its_part_of_the_request() {
    use RuleSubject::{Cookie, Header, Host, Method, Query, SourceIp};
    let plain = || Request::get("www.example.com", "/");
    let query = |query: &str| Request { query: query.to_owned(), ..plain() };
    let from = |source: &str| Request { source: source.parse().unwrap(), ..plain() };
    for (why, subject, key, values, request, expect) in [
        (
            "a method",
            Method,
            None,
            &["POST", "PUT"][..],
            Request { method: "PUT".to_owned(), ..plain() },
            true,
        ),
        ("another method", Method, None, &["POST"], plain(), false),
        ("methods have case", Method, None, &["GET"], Request { method: "get".to_owned(), ..plain() }, false),
        (
            "a header, whose name has no case",
            Header,
            Some("X-Kind"),
            &["a"],
            plain().header("x-kind", "a"),
            true,
        ),
        ("its value has", Header, Some("X-Kind"), &["a"], plain().header("x-kind", "A"), false),
        (
            "a wild value",
            Header,
            Some("User-agent"),
            &["*curl/?.*"],
            plain().header("User-Agent", "curl/8.1"),
            true,
        ),
        ("one of several lines", Header, Some("a"), &["2"], plain().header("a", "1").header("A", "2"), true),
        ("no such header", Header, Some("a"), &["*"], plain(), false),
        ("a query parameter", Query, Some("a"), &["1", "2"], query("b=1&a=2"), true),
        ("its name has case", Query, Some("a"), &["1"], query("A=1"), false),
        ("a wild one", Query, Some("a"), &["*"], query("a"), true),
        ("no such parameter", Query, Some("a"), &["*"], query("aa=1"), false),
        ("a value with an equals sign", Query, Some("a"), &["b=c"], query("a=b=c"), true),
        ("a cookie", Cookie, Some("id"), &["7"], plain().header("Cookie", "x=1; id=7"), true),
        ("its name has case", Cookie, Some("id"), &["7"], plain().header("Cookie", "ID=7"), false),
        ("a network", SourceIp, None, &["192.0.2.0/24"], from("192.0.2.200"), true),
        ("outside of it", SourceIp, None, &["192.0.2.0/24", "10.0.0.0/8"], from("192.0.3.1"), false),
        ("an IPv6 network", SourceIp, None, &["2001:db8::/32"], from("2001:db8::7"), true),
        ("IPv4 written as IPv6", SourceIp, None, &["192.0.2.0/24"], from("::ffff:192.0.2.7"), true),
        ("what is no network", SourceIp, None, &["x"], from("192.0.2.7"), false),
        ("one of several hosts", Host, None, &["a.com", "www.*.com"], plain(), true),
    ] {
        let mut objects = world(true);
        objects.policy(1, 1, |policy| policy.priority = Some(Priority::of(1)));
        objects.rule_of(1, 1, subject, Compare::Equal, key, values);
        assert_eq!(routed(&plan_of(&objects), &request) == 1, expect, "{why}");
    }
}

#[test]
fn policies_that_are_faulty_or_over_the_quota_are_not_applied() {
    let mut objects = world(false);
    for n in 1..=3 {
        objects.policy(n, 1, |policy| policy.faulty = n == 1);
        objects.rule(n, n, RuleSubject::Path, Compare::Prefix, "/");
    }
    let request = Request::get("h", "/");
    assert_eq!(routed(&plan_of(&objects), &request), 2, "the first is faulty");
    objects.policies_max(2);
    assert_eq!(plan_of(&objects).policies.len(), 1, "one faulty, one over the quota");
    objects.policies_max(1);
    assert_eq!(routed(&plan_of(&objects), &request), 0);
    objects.policies_max(-1);
    assert_eq!(plan_of(&objects).policies.len(), 2);
}

#[test]
fn a_redirect_to_a_listener_gets_everything_while_its_listener_is_there() {
    for with_priorities in [false, true] {
        let mut objects = world(with_priorities);
        objects.listener(2, 1, None, |_| ());
        objects.policy(1, 1, |policy| policy.priority = Some(Priority::of(1)));
        objects.rule(1, 1, RuleSubject::Path, Compare::Equal, "/");
        objects.policy(2, 1, |policy| policy.action = Action::ToListener(listener_id(2)));
        let listener = plan_of(&objects);
        assert_eq!(listener.policies.len(), 1, "nothing else counts");
        assert_eq!(routed(&listener, &Request::get("h", "/")), 2);
        assert_eq!(routed(&listener, &Request::get("", "/anything")), 2);
        objects.remove_listener(2);
        assert_eq!(routed(&plan_of(&objects), &Request::get("h", "/")), 1);
    }
}

#[test]
fn captures_are_kept_for_the_actions_that_use_them() {
    let mut objects = world(true);
    objects.pool(1, |_| ());
    for n in [1, 2] {
        objects.policy(n, 1, |policy| {
            policy.priority = Some(Priority::of(n as u16));
            policy.action = forward(1);
            let Action::Forward(forward) = &mut policy.action else { return };
            forward.extras.rewrite_enabled = n == 1;
            forward.extras.rewrite = Some(model::policy::Rewrite {
                host: "${host}".to_owned(),
                path: "/$2/$1".to_owned(),
                query: "${query}".to_owned(),
            });
        });
        objects.rule(
            n,
            n,
            RuleSubject::Path,
            Compare::Regex,
            ["/one/(.*)-(x?)", "/two/(.*)"][n as usize - 1],
        );
    }
    let listener = plan_of(&objects);
    let found = route(&listener, &Request::get("h", "/one/a-x")).unwrap();
    let groups = [1, 2, 3].map(|group| found.captures.get(group, b"/one/a-x"));
    assert_eq!(groups, [&b"a"[..], b"x", b""]);
    let found = route(&listener, &Request::get("h", "/two/a")).unwrap();
    assert_eq!(found.captures, Default::default(), "nothing uses them");
}

#[test]
fn a_policy_that_is_changed_or_not_is_found_by_the_next_plan() {
    let mut objects = by_host_and_path(
        false,
        &[(Some((Compare::Equal, "h")), None), (None, Some((Compare::Regex, "/a.*")))],
    );
    let plan = compile(&objects.snapshot, None);
    let router = |plan: &plan::Plan| plan.listeners[&listener_id(1)].router.clone().unwrap();
    objects.listener(1, 1, None, |listener| {
        listener.service = Service::Http(HttpService { gzip: true, ..http() })
    });
    let next = compile(&objects.snapshot, Some(&plan));
    assert!(
        std::sync::Arc::ptr_eq(&router(&plan), &router(&next)),
        "nothing that the router looks at changed"
    );
    objects.rule(2, 1, RuleSubject::Host, Compare::Equal, "other");
    let changed = compile(&objects.snapshot, Some(&next));
    assert_eq!(routed(&changed.listeners[&listener_id(1)], &Request::get("other", "/")), 1);
    assert_eq!(routed(&changed.listeners[&listener_id(1)], &Request::get("h", "/ab")), 2);
}
