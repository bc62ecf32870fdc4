//! What policies do with requests, from the router to the wire.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../../../plan/tests/compile/objects.rs"]
mod objects;
#[path = "../rig/mod.rs"]
mod rig;
#[path = "../rig/site.rs"]
mod site;

mod mirrors;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use model::{
    Action, Compare, RequestRate, RuleSubject,
    policy::{
        Cors, Extras, FixedResponse, Forward, HeaderEdits, InsertedHeader, InsertedValue, PoolStickiness,
        RateLimit, Rewrite, SystemValue, UrlRedirect,
    },
};
use objects::{forward, https, listener_id, pool_id};
use rig::{Client, Member, Request, eventually, free_address, get};
use site::{Site, to_pools};

fn fixed(status: u16, body: &str) -> FixedResponse {
    FixedResponse {
        status,
        content_type: "text/plain".to_owned(),
        body: body.to_owned(),
        headers: HeaderEdits::default(),
        limit: None,
    }
}

fn to_url() -> UrlRedirect {
    let variable = |name: &str| format!("${{{name}}}");
    UrlRedirect {
        protocol: variable("protocol"),
        host: variable("host"),
        port: variable("port"),
        path: variable("path"),
        query: variable("query"),
        status: 302,
        headers: HeaderEdits::default(),
    }
}

fn insert(headers: &[(&str, InsertedValue)]) -> Vec<InsertedHeader> {
    let header = |(name, value): &(&str, InsertedValue)| InsertedHeader {
        name: (*name).to_owned(),
        value: value.clone(),
    };
    headers.iter().map(header).collect()
}

fn text(text: &str) -> InsertedValue {
    InsertedValue::Text(text.to_owned())
}

#[test]
fn a_request_goes_where_its_policy_says_and_else_to_the_default_pool() {
    let (usual, special) = (Member::named("usual"), Member::named("special"));
    let mut site = Site::new(free_address(), &[usual.address]);
    site.pool(2, &[special.address]);
    site.policy(1, "/special", forward(2));
    let rig = site.serve();
    let mut client = Client::connect(site.address);
    for (path, body) in
        [("/", "usual"), ("/special", "special"), ("/special?a", "special"), ("/specials", "usual")]
    {
        assert_eq!(client.get(path).text(), body, "{path}");
    }
    site.objects.remove_policy(1);
    site.objects.remove_rule(1);
    site.apply(&rig);
    assert_eq!(client.get("/special").text(), "usual", "the policy is gone");
}

#[test]
fn the_router_sees_hosts_headers_cookies_queries_methods_and_sources() {
    let usual = Member::named("usual");
    let mut site = Site::new(free_address(), &[usual.address]);
    for (n, subject, key, value) in [
        (1, RuleSubject::Host, None, "*.example.test"),
        (2, RuleSubject::Header, Some("X-Canary"), "yes"),
        (3, RuleSubject::Cookie, Some("canary"), "c*"),
        (4, RuleSubject::Query, Some("canary"), "1"),
        (5, RuleSubject::Method, None, "PUT"),
        (6, RuleSubject::Header, Some("User-Agent"), "canary/*"),
    ] {
        site.objects.policy(n, 1, |policy| policy.action = Action::Fixed(fixed(200, &n.to_string())));
        site.objects.rule_of(n, n, subject, Compare::Equal, key, &[value]);
    }
    site.objects.policy(7, 1, |policy| policy.action = Action::Fixed(fixed(200, "7")));
    site.objects.rule_of(7, 7, RuleSubject::SourceIp, Compare::Equal, None, &["127.0.0.1/32"]);
    site.objects.rule_of(8, 7, RuleSubject::Path, Compare::Equal, None, &["/source"]);
    let _rig = site.serve();
    let mut client = Client::connect(site.address);
    for (request, body) in [
        ("GET / HTTP/1.1\r\nHost: www.Example.test:80\r\n\r\n", "1"),
        ("GET / HTTP/1.1\r\nHost: t\r\nx-canary: yes\r\n\r\n", "2"),
        ("GET / HTTP/1.1\r\nHost: t\r\nCookie: a=b; canary=chirp\r\n\r\n", "3"),
        ("GET /?canary=1 HTTP/1.1\r\nHost: t\r\n\r\n", "4"),
        ("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n", "5"),
        ("GET / HTTP/1.1\r\nHost: t\r\nUser-Agent: canary/1.0\r\n\r\n", "6"),
        ("GET /source HTTP/1.1\r\nHost: t\r\n\r\n", "7"),
        ("GET / HTTP/1.1\r\nHost: t\r\n\r\n", "usual"),
    ] {
        assert_eq!(client.ask(request).text(), body, "{request}");
    }
}

#[test]
fn a_pool_that_cannot_serve_is_told_by_its_code() {
    let alive = Member::named("alive");
    let mut site = Site::new(free_address(), &[alive.address]);
    site.pool(2, &[]);
    site.pool(3, &[alive.address]);
    site.policy(1, "/empty", forward(2));
    site.policy(2, "/none", Action::Forward(Forward::default()));
    site.policy(3, "/nothing", to_pools(&[(3, 0)], Extras::default()));
    let _rig = site.serve();
    let mut client = Client::connect(site.address);
    for (path, status, code) in
        [("/empty", 404, "40001"), ("/none", 404, "40001"), ("/nothing", 503, "50000")]
    {
        let response = client.get(path);
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.header("x-router-code").as_deref(), Some(code), "{path}");
    }
    let mut site = Site::new(free_address(), &[]);
    site.objects.listener(1, 1, None, |listener| {
        listener.ports = model::Port::of(site.address.port()).into();
        listener.service = objects::enhanced();
    });
    site.pool(2, &[alive.address]);
    site.policy(1, "/there", forward(2));
    let _rig = site.serve();
    let response = get(site.address);
    assert_eq!(response.header("x-router-code").as_deref(), Some("40000"));
    assert_eq!(Client::connect(site.address).get("/there").text(), "alive");
}

#[test]
fn weighted_pools_get_their_shares() {
    let (few, many) = (Member::named("few"), Member::named("many"));
    let mut site = Site::new(free_address(), &[]);
    site.pool(2, &[few.address]);
    site.pool(3, &[many.address]);
    site.policy(1, "/", to_pools(&[(2, 20), (3, 80)], Extras::default()));
    let _rig = site.serve();
    let mut client = Client::connect(site.address);
    let count = (0..500).filter(|_| client.get("/").text() == "few").count();
    assert!((60..140).contains(&count), "{count} of 500");
}

#[test]
fn a_client_stays_with_its_pool_where_the_policy_says_so() {
    let (one, two) = (Member::named("one"), Member::named("two"));
    let mut site = Site::new(free_address(), &[]);
    site.pool(2, &[one.address]);
    site.pool(3, &[two.address]);
    let Action::Forward(pools) = to_pools(&[(2, 50), (3, 50)], Extras::default()) else { panic!() };
    let stickiness = Some(PoolStickiness { enabled: true, minutes: model::StickyMinutes::of(5) });
    site.policy(1, "/", Action::Forward(Forward { stickiness, ..pools }));
    let _rig = site.serve();
    let mut client = Client::connect(site.address);
    for _ in 0..10 {
        let first = client.get("/");
        let set = first.header("Set-Cookie").unwrap();
        assert!(set.starts_with("elb_pool=") && set.contains("; path=/; Expires="), "{set}");
        let cookie = set.split(';').next().unwrap().to_owned();
        for _ in 0..8 {
            let again = client.ask(format!("GET / HTTP/1.1\r\nHost: t\r\nCookie: x=y; {cookie}\r\n\r\n"));
            assert_eq!(again.text(), first.text());
            assert_eq!(again.header("Set-Cookie"), None);
        }
    }
}

#[test]
fn redirects_name_where_to_go() {
    let address = free_address();
    let mut site = Site::new(address, &[]);
    let to = |change: fn(&mut UrlRedirect)| {
        let mut redirect = to_url();
        change(&mut redirect);
        Action::ToUrl(redirect)
    };
    site.policy(1, "/host", to(|to| to.host = "www.example.com".to_owned()));
    site.policy(
        2,
        "/https",
        to(|to| {
            (to.protocol, to.port, to.status) = ("HTTPS".to_owned(), "443".to_owned(), 308);
        }),
    );
    site.policy(
        3,
        "/more",
        to(|to| {
            (to.path, to.query) = ("/other".to_owned(), "${query}&name=x".to_owned());
            to.headers.insert = insert(&[("X-Why", text("moved")), ("Server", text("mine"))]);
        }),
    );
    let _rig = site.serve();
    let mut client = Client::connect(address);
    let port = address.port();
    for (path, status, location) in [
        ("/host?a=b", 302, format!("http://www.example.com:{port}/host?a=b")),
        ("/https", 308, "https://test/https".to_owned()),
        ("/more?a=b", 302, format!("http://test:{port}/other?a=b&name=x")),
        ("/more", 302, format!("http://test:{port}/other?name=x")),
    ] {
        let response = client.get(path);
        assert_eq!((response.status(), response.header("Location")), (status, Some(location)), "{path}");
    }
    let response = client.get("/more");
    assert_eq!(response.header("X-Why").as_deref(), Some("moved"));
    assert_eq!(response.header("Server").as_deref(), Some("mine"));
}

#[test]
fn a_redirect_to_a_listener_takes_every_request() {
    let member = Member::named("never");
    let address = free_address();
    let mut site = Site::new(address, &[member.address]);
    site.objects.certificate(1, "example.test", |_| ());
    site.objects.listener(2, 1, None, |listener| {
        listener.ports = model::Port::of(8443).into();
        listener.admin_up = false;
        listener.service = model::listener::Service::Https(Box::new(https(1, &[])));
    });
    site.objects.policy(1, 1, |policy| policy.action = Action::ToListener(listener_id(2)));
    let _rig = site.serve();
    let response = Client::connect(address)
        .ask("POST /a?b=c HTTP/1.1\r\nHost: example.test:80\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(response.status(), 301);
    assert_eq!(response.header("Location").as_deref(), Some("https://example.test:8443/a?b=c"));
    assert_eq!(response.header("Server").as_deref(), Some("elb"));
    assert_eq!(member.connection_count(), 0);
}

#[test]
fn fixed_answers_are_given_as_they_are_written() {
    let mut site = Site::new(free_address(), &[]);
    let headers = HeaderEdits {
        insert: insert(&[
            ("X-Client", InsertedValue::System(SystemValue::ClientIp)),
            ("X-Asked", InsertedValue::Header("X-Question".to_owned())),
            ("X-Not-Asked", InsertedValue::Header("X-Nothing".to_owned())),
        ]),
        remove: vec!["server".to_owned()],
    };
    site.policy(
        1,
        "/",
        Action::Fixed(FixedResponse {
            content_type: "application/json".to_owned(),
            headers,
            ..fixed(418, "{}")
        }),
    );
    let _rig = site.serve();
    let mut client = Client::connect(site.address);
    let response = client.ask("GET / HTTP/1.1\r\nHost: t\r\nX-Question: why?\r\n\r\n");
    assert_eq!((response.status(), response.text()), (418, "{}"));
    for (name, value) in [
        ("Content-Type", Some("application/json")),
        ("X-Client", Some("127.0.0.1")),
        ("X-Asked", Some("why?")),
        ("X-Not-Asked", None),
        ("Server", None),
    ] {
        assert_eq!(response.header(name).as_deref(), value, "{name}");
    }
    client.send("HEAD / HTTP/1.1\r\nHost: t\r\n\r\n");
    let head = rig::read_head(&mut client.reader).unwrap();
    assert!(head.contains("Content-Length: 2\r\n"), "{head}");
    assert_eq!(client.get("/").text(), "{}", "the connection goes on");
}

#[test]
fn members_see_what_the_policy_makes_of_a_request() {
    let member = Member::named("x");
    let mut site = Site::new(free_address(), &[]);
    site.pool(2, &[member.address]);
    let extras = Extras {
        rewrite: Some(Rewrite {
            host: "inner.example.test".to_owned(),
            path: "/v2/$1".to_owned(),
            query: "${query}&from=${host}".to_owned(),
        }),
        rewrite_enabled: true,
        headers: HeaderEdits {
            insert: insert(&[
                ("X-Text", text("a b")),
                ("X-Port", InsertedValue::System(SystemValue::ElbPort)),
                ("Accept", text("*/*")),
            ]),
            remove: vec!["X-Secret".to_owned(), "Referer".to_owned()],
        },
        ..Extras::default()
    };
    site.objects.policy(1, 1, |policy| {
        policy.action = Action::Forward(Forward { pool: Some(pool_id(2)), extras, ..Forward::default() });
    });
    site.objects.rule(1, 1, RuleSubject::Path, Compare::Regex, "/v1/(.*)");
    let _rig = site.serve();
    let response = Client::connect(site.address).ask(
        "GET /v1/things/7?a=b HTTP/1.1\r\nHost: example.test\r\nAccept: text/html\r\nX-Secret: s\r\nx_secret: s\r\n\
         X-Text: spoofed\r\nX_Text: spoofed\r\nReferer: http://r/\r\nX-Other: stays\r\n\r\n",
    );
    assert_eq!(response.status(), 200);
    let head = member.heads.lock().unwrap()[0].clone();
    assert!(head.starts_with("GET /v2/things/7?a=b&from=example.test HTTP/1.1\r\n"), "{head}");
    for (name, value) in [
        ("Host", Some("inner.example.test")),
        ("X-Forwarded-Host", Some("example.test")),
        ("X-Text", Some("a b")),
        ("X-Port", Some(&*site.address.port().to_string())),
        ("Accept", Some("*/*")),
        ("X-Secret", None),
        ("x_secret", None),
        ("X_Text", None),
        ("Referer", None),
        ("X-Other", Some("stays")),
    ] {
        assert_eq!(rig::header(&head, name).as_deref(), value, "{name}: {head}");
    }
}

#[test]
fn preflights_are_answered_and_answers_say_who_may_read_them() {
    let member = Member::http(|_: &Request| {
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: *\r\n\r\n".to_vec()
    });
    let mut site = Site::new(free_address(), &[]);
    site.pool(2, &[member.address]);
    let cors = Cors {
        allow_origin: vec!["https://*.example.test".to_owned()],
        allow_methods: vec!["GET".to_owned(), "PUT".to_owned()],
        allow_headers: vec!["X-A".to_owned()],
        expose_headers: vec!["X-B".to_owned()],
        allow_credentials: true,
        max_age: 600,
    };
    site.policy(1, "/", to_pools(&[(2, 1)], Extras { cors: Some(cors), ..Extras::default() }));
    let _rig = site.serve();
    let mut client = Client::connect(site.address);
    let ask = |method: &str, origin: &str, more: &str| {
        format!("{method} / HTTP/1.1\r\nHost: t\r\nOrigin: {origin}\r\n{more}\r\n")
    };
    let preflight = "Access-Control-Request-Method: PUT\r\n";
    for (why, request, forwarded, origin, methods) in [
        ("preflight", ask("OPTIONS", "https://a.example.test", preflight), false, true, Some("GET, PUT")),
        ("a stranger's preflight", ask("OPTIONS", "https://evil.test", preflight), false, false, None),
        ("an ordinary OPTIONS", ask("OPTIONS", "https://a.example.test", ""), true, true, None),
        ("a request", ask("GET", "https://a.example.test", ""), true, true, None),
        ("a stranger's request", ask("GET", "https://evil.test", ""), true, false, None),
    ] {
        let before = member.heads.lock().unwrap().len();
        let response = client.ask(&request);
        assert_eq!(member.heads.lock().unwrap().len() - before, usize::from(forwarded), "{why}");
        assert_eq!(response.status(), if forwarded { 200 } else { 204 }, "{why}");
        let allowed = origin.then_some("https://a.example.test");
        assert_eq!(response.header("Access-Control-Allow-Origin").as_deref(), allowed, "{why}");
        assert_eq!(response.header("Access-Control-Allow-Methods").as_deref(), methods, "{why}");
        assert_eq!(response.header("Vary").as_deref(), Some("Origin"), "{why}");
        let exposed = (origin && forwarded).then_some("X-B");
        assert_eq!(response.header("Access-Control-Expose-Headers").as_deref(), exposed, "{why}");
    }
}

#[test]
fn answers_of_policies_are_counted() {
    let mut site = Site::new(free_address(), &[]);
    site.policy(1, "/", Action::Fixed(fixed(200, "")));
    let rig = site.serve();
    get(site.address);
    let counters = rig.registry.listener(listener_id(1), 0);
    eventually("counted", || counters.policy_answers() == 1 && counters.requests() == 1);
    assert_eq!(counters.class(2), 1);
}

#[test]
fn what_is_over_a_policys_limit_is_unavailable_on_all_workers_together() {
    let mut site = Site::new(free_address(), &[]);
    let limit = |qps: u32, per_source: u32| RateLimit {
        qps: RequestRate::of(qps),
        per_source_qps: RequestRate::of(per_source),
        burst: RequestRate::of(0),
    };
    site.policy(1, "/all", Action::Fixed(FixedResponse { limit: Some(limit(5, 0)), ..fixed(200, "") }));
    site.policy(2, "/each", Action::Fixed(FixedResponse { limit: Some(limit(0, 3)), ..fixed(200, "") }));
    site.policy(3, "/free", Action::Fixed(fixed(200, "")));
    let rig = rig::Rig::with_workers(2);
    site.apply(&rig);
    let began = std::time::Instant::now();
    let served = |path: &str| {
        let statuses: Vec<u16> = (0..40).map(|_| Client::connect(site.address).get(path).status()).collect();
        assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
        statuses.iter().filter(|status| **status == 200).count()
    };
    let (all, each, free) = (served("/all"), served("/each"), served("/free"));
    let seconds = began.elapsed().as_secs_f64();
    assert!((5..=5 + (5.0 * seconds) as usize + 1).contains(&all), "{all} within {seconds} s");
    assert!((3..=3 + (3.0 * seconds) as usize + 1).contains(&each), "{each} within {seconds} s");
    assert_eq!(free, 40);
    // A change of something else gives nothing anew.
    let mut site = site;
    site.policy(4, "/new", Action::Fixed(fixed(200, "")));
    site.apply(&rig);
    assert_eq!(Client::connect(site.address).get("/new").status(), 200);
    let limited = (0..2).map(|worker| rig.registry.listener(listener_id(1), worker).limited.value());
    assert_eq!(limited.sum::<u64>() as usize, 80 - all - each);
}

#[test]
fn edits_of_policies_under_load_fail_no_request_and_close_no_connection() {
    let (one, two) = (Member::named("one"), Member::named("two"));
    let mut site = Site::new(free_address(), &[one.address]);
    site.pool(2, &[two.address]);
    let rig = rig::Rig::with_workers(2);
    site.apply(&rig);
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (stop, address) = (stop.clone(), site.address);
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut seen = [0u32; 2];
                while !stop.load(Ordering::Relaxed) {
                    let response = client.get("/moving");
                    assert_eq!(response.status(), 200, "{}", response.head);
                    seen[usize::from(response.text() == "two")] += 1;
                }
                seen
            })
        })
        .collect();
    for _ in 0..40 {
        site.policy(1, "/moving", forward(2));
        site.objects.ip_group(1, &["127.0.0.0/8"]);
        site.apply(&rig);
        assert_eq!(Client::connect(site.address).get("/moving").text(), "two");
        site.objects.remove_policy(1);
        site.objects.remove_rule(1);
        site.apply(&rig);
        assert_eq!(Client::connect(site.address).get("/moving").text(), "one");
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        let seen = client.join().unwrap();
        assert!(seen.iter().all(|count| *count > 0), "each client saw both, on one connection: {seen:?}");
    }
}

#[test]
fn a_request_without_a_host_is_sent_to_the_address_that_it_reached() {
    let mut site = Site::new(free_address(), &[]);
    site.policy(1, "/", Action::ToUrl(UrlRedirect { path: "/there".to_owned(), ..to_url() }));
    let _rig = site.serve();
    let response = Client::connect(site.address).ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(response.header("Location"), Some(format!("http://{}/there", site.address)));
}
