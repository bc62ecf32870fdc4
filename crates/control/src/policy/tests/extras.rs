//! What policies change on the way.

use model::{
    Patch, PoolId, PoolProtocol, RequestRate,
    policy::{
        Cors, Extras, ExtrasPatch, Forward, InsertedHeader, InsertedValue, Mirror, RateLimit, Rewrite,
        SystemValue,
    },
};

use super::*;
use crate::testing::{https, to_pool};

fn with(scene: &Scene, adjust: impl FnOnce(&mut Extras)) -> Action {
    let mut extras = Extras::default();
    adjust(&mut extras);
    Action::Forward(Forward { pool: Some(scene.pool.id), extras, ..Forward::default() })
}

fn text(name: &str, value: &str) -> InsertedHeader {
    InsertedHeader { name: name.to_owned(), value: InsertedValue::Text(value.to_owned()) }
}

fn limit(qps: u32, per_source: u32) -> RateLimit {
    RateLimit {
        qps: RequestRate::of(qps),
        per_source_qps: RequestRate::of(per_source),
        burst: RequestRate::of(0),
    }
}

fn cors(adjust: fn(&mut Cors)) -> Option<Cors> {
    let mut cors = Cors {
        allow_origin: vec!["*".to_owned()],
        allow_methods: vec!["GET".to_owned()],
        allow_headers: Vec::new(),
        expose_headers: Vec::new(),
        allow_credentials: false,
        max_age: 60,
    };
    adjust(&mut cors);
    Some(cors)
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn headers_that_carry_the_exchange_are_not_touched() {
    let names = |count: usize| (0..count).map(|n| format!("x-{n}")).collect::<Vec<_>>();
    let system = |value| InsertedHeader { name: "X-A".to_owned(), value: InsertedValue::System(value) };
    let copied =
        |from: &str| InsertedHeader { name: "X-A".to_owned(), value: InsertedValue::Header(from.to_owned()) };
    let cases: Vec<(&str, Vec<InsertedHeader>, Vec<String>, bool)> = vec![
        ("a text", vec![text("X-A", "b c")], vec![], true),
        ("two", vec![text("X-A", "b"), text("X-B", "b")], vec![], true),
        ("one twice", vec![text("X-A", "b"), text("x-a", "c")], vec![], false),
        ("a long name", vec![text(&"a".repeat(40), "b")], vec![], true),
        ("too long a name", vec![text(&"a".repeat(41), "b")], vec![], false),
        ("no name", vec![text("", "b")], vec![], false),
        ("a name with a colon", vec![text("a:", "b")], vec![], false),
        ("a long value", vec![text("X-A", &"b".repeat(128))], vec![], true),
        ("too long a value", vec![text("X-A", &"b".repeat(129))], vec![], false),
        ("no value", vec![text("X-A", "")], vec![], false),
        ("a new line", vec![text("X-A", "b\r\nX-B: c")], vec![], false),
        ("a space at the end", vec![text("X-A", "b ")], vec![], false),
        ("letters that are not ASCII", vec![text("X-A", "ü")], vec![], false),
        ("Host", vec![text("Host", "b")], vec![], false),
        ("X-Forwarded-For", vec![text("X-Forwarded-For", "b")], vec![], false),
        ("another header's value", vec![copied("User-Agent")], vec![], true),
        ("a value that is no header", vec![copied("a b")], vec![], false),
        ("the reserved word", vec![copied("Transparent")], vec![], false),
        ("the client's address", vec![system(SystemValue::ClientIp)], vec![], true),
        ("TLS where there is none", vec![system(SystemValue::TlsSni)], vec![], false),
        ("removed", vec![], texts(&["Server"]), true),
        ("removed twice", vec![], texts(&["Server", "server"]), false),
        ("removed, Transfer-Encoding", vec![], texts(&["Transfer-Encoding"]), false),
        ("twenty removed", vec![], names(20), true),
        ("too many removed", vec![], names(21), false),
    ];
    for (why, insert, remove, good) in cases {
        let mut scene = Scene::enhanced();
        let action = with(&scene, |extras| {
            (extras.headers.insert, extras.headers.remove) = (insert, remove);
        });
        let expect = if good { "ok" } else { "redirect_pools_extend_config" };
        assert_eq!(scene.blame(action), expect, "{why}");
    }
}

#[test]
fn https_listeners_know_about_tls() {
    let mut scene = Scene::plain();
    let certificate = scene.world.certificate(&[]).id;
    let model::listener::Service::Https(mut service) = https(certificate) else { panic!("it is HTTPS") };
    service.http.enhanced_policies = true;
    scene.listener = scene.world.listener_of(scene.lb, 443, model::listener::Service::Https(service));
    let header =
        InsertedHeader { name: "X-Sni".to_owned(), value: InsertedValue::System(SystemValue::TlsSni) };
    let action = with(&scene, |extras| extras.headers.insert = vec![header]);
    assert_eq!(scene.blame(action), "ok");
}

#[test]
fn a_rewrite_can_be_said() {
    let same =
        || Rewrite { host: "${host}".to_owned(), path: "${path}".to_owned(), query: "${query}".to_owned() };
    for (why, rewrite, good) in [
        ("as it was", Some(same()), true),
        ("a host of two labels", Some(Rewrite { host: "a.b".to_owned(), ..same() }), true),
        ("a host of one label", Some(Rewrite { host: "a".to_owned(), ..same() }), false),
        ("captures", Some(Rewrite { path: "/$1".to_owned(), ..same() }), true),
        ("a variable of redirects", Some(Rewrite { path: "/${port}".to_owned(), ..same() }), false),
        ("a path with a space", Some(Rewrite { path: "/ ".to_owned(), ..same() }), false),
        ("switched on without texts", None, false),
    ] {
        let mut scene = Scene::enhanced();
        let action = with(&scene, |extras| (extras.rewrite, extras.rewrite_enabled) = (rewrite, true));
        let expect = if good { "ok" } else { "redirect_pools_extend_config" };
        assert_eq!(scene.blame(action), expect, "{why}");
    }
}

#[test]
fn a_limit_per_source_is_below_the_limit_of_all() {
    for (why, wanted, good) in [
        ("no limits", limit(0, 0), true),
        ("one of all", limit(10, 0), true),
        ("one per source", limit(0, 10), true),
        ("below", limit(10, 9), true),
        ("the same", limit(10, 10), false),
        ("above", limit(10, 11), false),
    ] {
        let mut scene = Scene::enhanced();
        let action = with(&scene, |extras| extras.limit = Some(wanted));
        let expect = if good { "ok" } else { "redirect_pools_extend_config" };
        assert_eq!(scene.blame(action), expect, "{why}");
    }
}

#[test]
fn origins_methods_and_headers_can_be_said() {
    for (why, wanted, good) in [
        ("everybody", cors(|_| {}), true),
        ("an origin", cors(|cors| cors.allow_origin = texts(&["https://a.example.com"])), true),
        ("a port", cors(|cors| cors.allow_origin = texts(&["http://a.example.com:8080"])), true),
        ("one level of wildcard", cors(|cors| cors.allow_origin = texts(&["https://*.example.com"])), true),
        ("two", cors(|cors| cors.allow_origin = texts(&["https://*.*.example.com"])), false),
        ("everybody and an origin", cors(|cors| cors.allow_origin = texts(&["*", "https://a"])), false),
        ("nobody", cors(|cors| cors.allow_origin = Vec::new()), false),
        ("no scheme", cors(|cors| cors.allow_origin = texts(&["a.example.com"])), false),
        ("a path", cors(|cors| cors.allow_origin = texts(&["https://a.example.com/"])), false),
        ("port 0", cors(|cors| cors.allow_origin = texts(&["https://a:0"])), false),
        ("all methods", cors(|cors| cors.allow_methods = texts(&["*"])), true),
        ("an unknown method", cors(|cors| cors.allow_methods = texts(&["get"])), false),
        ("headers", cors(|cors| cors.allow_headers = texts(&["X-A", "*"])), true),
        ("a header with a space", cors(|cors| cors.expose_headers = texts(&["X A"])), false),
        ("never kept", cors(|cors| cors.max_age = -1), true),
        ("two days", cors(|cors| cors.max_age = 172_800), true),
        ("longer", cors(|cors| cors.max_age = 172_801), false),
        ("less than never", cors(|cors| cors.max_age = -2), false),
    ] {
        let mut scene = Scene::enhanced();
        let action = with(&scene, |extras| extras.cors = wanted);
        let expect = if good { "ok" } else { "redirect_pools_extend_config" };
        assert_eq!(scene.blame(action), expect, "{why}");
    }
}

#[test]
fn a_mirror_is_one_pool_that_fits() {
    let mut scene = Scene::enhanced();
    let good = scene.world.pool_of(scene.lb, PoolProtocol::Http).id;
    let tcp = scene.world.pool_of(scene.lb, PoolProtocol::Tcp).id;
    let gone = PoolId::new(Uuid::nil());
    for (why, pools, expect) in [
        ("one", vec![good], "ok"),
        ("none", vec![], "redirect_pools_extend_config"),
        ("two", vec![good, scene.pool.id], "redirect_pools_extend_config"),
        ("TCP", vec![tcp], "redirect_pools_extend_config"),
        ("not there", vec![gone], "not_found"),
    ] {
        let action = with(&scene, |extras| extras.mirror = Some(Mirror { pools, body: true }));
        assert_eq!(scene.blame(action), expect, "{why}");
    }
    assert_eq!(scene.world.code(|draft| crate::pool::delete(draft, good)), "in_use", "the mirror's");
}

#[test]
fn a_part_that_is_said_replaces_the_part_that_was() {
    let mut scene = Scene::enhanced();
    let id = scene.world.policy(scene.listener.id, to_pool(scene.pool.id), &[]).id;
    let change = |scene: &mut Scene, extras: Patch<ExtrasPatch>| {
        let said = PolicyPatch { extras, ..patch() };
        let changed = scene.world.run(|draft| update(draft, id, said)).unwrap();
        let Action::Forward(forward) = &changed.action else { panic!("the action stays") };
        forward.extras.clone()
    };
    let said = ExtrasPatch {
        insert_headers: Patch::Set(vec![text("X-A", "b")]),
        limit: Patch::Set(limit(10, 0)),
        ..Default::default()
    };
    change(&mut scene, Patch::Set(said));
    let said = ExtrasPatch {
        remove_headers: Patch::Set(texts(&["Server"])),
        limit: Patch::Clear,
        ..Default::default()
    };
    let extras = change(&mut scene, Patch::Set(said));
    assert_eq!((extras.headers.insert.len(), extras.headers.remove.len(), extras.limit), (1, 1, None));
    assert_eq!(change(&mut scene, Patch::Keep), extras);
    assert_eq!(change(&mut scene, Patch::Clear), Extras::default());
}
