//! What policies do.

use model::{
    ListenerId, Patch, PoolId, PoolProtocol, QuotaKey, StickyMinutes,
    policy::{
        FixedResponse, FixedResponsePatch, Forward, PoolStickiness, UrlRedirect, UrlRedirectPatch,
        WeightedPool,
    },
};
use uuid::Uuid;

use super::*;
use crate::testing::{new_policy, prefix, to_pool, to_pools};

fn redirect(adjust: impl FnOnce(&mut UrlRedirect)) -> Action {
    let mut redirect = UrlRedirect {
        protocol: "${protocol}".to_owned(),
        host: "${host}".to_owned(),
        port: "${port}".to_owned(),
        path: "${path}".to_owned(),
        query: "${query}".to_owned(),
        status: 301,
        headers: Default::default(),
    };
    adjust(&mut redirect);
    Action::ToUrl(redirect)
}

fn fixed(adjust: impl FnOnce(&mut FixedResponse)) -> Action {
    let mut response = FixedResponse {
        status: 200,
        content_type: "text/plain".to_owned(),
        body: String::new(),
        headers: Default::default(),
        limit: None,
    };
    adjust(&mut response);
    Action::Fixed(response)
}

#[test]
fn a_forward_names_pools_that_fit() {
    let mut scene = Scene::enhanced();
    let (lb, good) = (scene.lb, scene.pool.id);
    let tcp = scene.world.pool_of(lb, PoolProtocol::Tcp).id;
    let grpc = scene.world.pool_of(lb, PoolProtocol::Grpc).id;
    let other_lb = scene.world.load_balancer().id;
    let elsewhere = scene.world.pool_of(other_lb, PoolProtocol::Http).id;
    let six: Vec<(PoolId, u16)> =
        (0..6).map(|_| (scene.world.pool_of(lb, PoolProtocol::Http).id, 1)).collect();
    let gone = PoolId::new(Uuid::nil());
    for (why, action, expect) in [
        ("a pool", to_pool(good), "ok"),
        ("no pool", Action::Forward(Forward::default()), "redirect_pool_id"),
        ("a TCP pool", to_pool(tcp), "redirect_pool_id"),
        ("a gRPC pool of an HTTP listener", to_pool(grpc), "redirect_pool_id"),
        ("one that is not there", to_pool(gone), "not_found"),
        ("an untyped pool of another load balancer", to_pool(elsewhere), "in_use"),
        ("several", to_pools(&six[..5]), "ok"),
        ("with no share", to_pools(&[(good, 0)]), "ok"),
        ("with the largest share", to_pools(&[(good, 100)]), "ok"),
        ("with too large a share", to_pools(&[(good, 101)]), "redirect_pools_config"),
        ("too many", to_pools(&six), "redirect_pools_config"),
        ("one twice", to_pools(&[(good, 1), (good, 2)]), "redirect_pools_config"),
        ("a TCP pool among them", to_pools(&[(good, 1), (tcp, 1)]), "redirect_pools_config"),
        ("one that is not there among them", to_pools(&[(good, 1), (gone, 1)]), "not_found"),
    ] {
        assert_eq!(scene.blame(action), expect, "{why}");
    }
}

#[test]
fn the_wide_set_needs_advanced_forwarding() {
    let mut scene = Scene::plain();
    let pool = scene.pool.id;
    let forward = |adjust: fn(&mut Forward)| {
        let mut forward = Forward { pool: Some(pool), ..Forward::default() };
        adjust(&mut forward);
        Action::Forward(forward)
    };
    for (why, action, expect) in [
        ("a pool", to_pool(pool), "ok"),
        ("shares", to_pools(&[(pool, 1)]), "redirect_pools_config"),
        (
            "stickiness",
            forward(|forward| {
                forward.stickiness = Some(PoolStickiness { enabled: true, minutes: StickyMinutes::MAX });
            }),
            "redirect_pools_sticky_session_config",
        ),
        (
            "extras",
            forward(|forward| forward.extras.headers.remove = vec!["a".to_owned()]),
            "redirect_pools_extend_config",
        ),
        ("a redirect", redirect(|it| it.path = "/a".to_owned()), "redirect_url_config"),
        ("a fixed response", fixed(|_| {}), "fixed_response_config"),
    ] {
        assert_eq!(scene.blame(action), expect, "{why}");
    }
}

#[test]
fn a_redirect_leads_elsewhere() {
    type Adjust = fn(&mut UrlRedirect);
    for (why, adjust, expect) in [
        ("nothing changes", (|_| {}) as Adjust, false),
        ("only the query changes", |it| it.query = "a=1".to_owned(), false),
        (
            "its own protocol and port",
            |it| (it.protocol, it.port) = ("HTTP".to_owned(), "80".to_owned()),
            false,
        ),
        ("its own protocol", |it| it.protocol = "HTTP".to_owned(), false),
        ("its own port", |it| it.port = "80".to_owned(), false),
        ("another protocol", |it| it.protocol = "HTTPS".to_owned(), true),
        ("another port", |it| it.port = "8080".to_owned(), true),
        ("another host", |it| it.host = "b.example.com".to_owned(), true),
        ("another path", |it| it.path = "/b".to_owned(), true),
        (
            "its own protocol and port, and another path",
            |it| (it.protocol, it.port, it.path) = ("HTTP".to_owned(), "80".to_owned(), "/b".to_owned()),
            true,
        ),
    ] {
        let expect = if expect { "ok" } else { "redirect_url_config" };
        assert_eq!(Scene::enhanced().blame(redirect(adjust)), expect, "{why}");
    }
}

#[test]
fn a_redirects_parts_can_be_said() {
    type Adjust = fn(&mut UrlRedirect);
    let long = "a".repeat(127);
    for (why, adjust, good) in [
        ("302", (|it| it.status = 302) as Adjust, true),
        ("308", |it| it.status = 308, true),
        ("304", |it| it.status = 304, false),
        ("200", |it| it.status = 200, false),
        ("lower case", |it| it.protocol = "https".to_owned(), false),
        ("the highest port", |it| it.port = "65535".to_owned(), true),
        ("port 0", |it| it.port = "0".to_owned(), false),
        ("a port too high", |it| it.port = "65536".to_owned(), false),
        ("a port with a plus", |it| it.port = "+80".to_owned(), false),
        ("a port with a zero in front", |it| it.port = "080".to_owned(), false),
        ("a host around the old one", |it| it.host = "new-${host}.example.com".to_owned(), true),
        ("no host", |it| it.host = String::new(), false),
        ("a host with a path", |it| it.host = "a/b".to_owned(), false),
        ("a host with a new line", |it| it.host = "a\r\nb".to_owned(), false),
        ("two dots", |it| it.host = "a..b".to_owned(), false),
        ("captures", |it| it.path = "/a/$1/$2".to_owned(), true),
        ("a path behind the old one", |it| it.path = "${path}/b".to_owned(), true),
        ("a path without a slash", |it| it.path = "b".to_owned(), false),
        ("a path with a space", |it| it.path = "/a b".to_owned(), false),
        ("a path with a query", |it| it.path = "/a?b".to_owned(), false),
        ("an unknown variable", |it| it.path = "/${user}".to_owned(), false),
        ("a query added", |it| it.query = "${query}&a=b".to_owned(), true),
        ("no query", |it| it.query = String::new(), true),
        ("a query with a hash", |it| it.query = "a#b".to_owned(), false),
    ] {
        let action = redirect(|it| {
            it.path = "/new".to_owned();
            adjust(it);
        });
        let expect = if good { "ok" } else { "redirect_url_config" };
        assert_eq!(Scene::enhanced().blame(action), expect, "{why}");
    }
    for (length, expect) in [(127, "ok"), (128, "redirect_url_config")] {
        let action = redirect(|it| it.path = format!("/{}", "a".repeat(length)));
        assert_eq!(Scene::enhanced().blame(action), expect, "{length} and a slash, {}", long.len());
    }
}

#[test]
fn a_fixed_response_can_be_said() {
    type Adjust = fn(&mut FixedResponse);
    for (why, adjust, good) in [
        ("200", (|_| {}) as Adjust, true),
        ("299", |it| it.status = 299, true),
        ("404", |it| it.status = 404, true),
        ("599", |it| it.status = 599, true),
        ("100", |it| it.status = 100, false),
        ("300", |it| it.status = 300, false),
        ("600", |it| it.status = 600, false),
        ("JSON", |it| it.content_type = "application/json".to_owned(), true),
        ("a picture", |it| it.content_type = "image/png".to_owned(), false),
        ("no type", |it| it.content_type = String::new(), false),
        ("a long body", |it| it.body = "a".repeat(1024), true),
        ("too long a body", |it| it.body = "a".repeat(1025), false),
        ("too many bytes", |it| it.body = "ü".repeat(513), false),
        ("lines", |it| it.body = "a\nb".to_owned(), true),
        ("a carriage return", |it| it.body = "a\r\nb".to_owned(), false),
    ] {
        let expect = if good { "ok" } else { "fixed_response_config" };
        assert_eq!(Scene::enhanced().blame(fixed(adjust)), expect, "{why}");
    }
}

#[test]
fn a_redirect_to_a_listener_goes_from_http_to_https_of_the_same_load_balancer() {
    let mut scene = Scene::plain();
    let target = scene.world.https_listener(scene.lb, 443).id;
    let (over_http, tcp) =
        (scene.world.listener_of(scene.lb, 81, http()).id, scene.world.listener(scene.lb, 82).id);
    let other_lb = scene.world.load_balancer().id;
    let elsewhere = scene.world.https_listener(other_lb, 443).id;
    for (why, action, expect) in [
        ("to HTTP", Action::ToListener(over_http), "redirect_listener_id"),
        ("to itself", Action::ToListener(scene.listener.id), "redirect_listener_id"),
        ("to TCP", Action::ToListener(tcp), "redirect_listener_id"),
        ("to another load balancer", Action::ToListener(elsewhere), "redirect_listener_id"),
        ("to nowhere", Action::ToListener(ListenerId::new(Uuid::nil())), "not_found"),
        ("to HTTPS", Action::ToListener(target), "ok"),
    ] {
        assert_eq!(scene.blame(action), expect, "{why}");
    }
    let second = scene.world.https_listener(scene.lb, 444).id;
    let new = new_policy(target, Action::ToListener(second), &[]);
    assert_eq!(scene.world.blame(|draft| create(draft, new)), "action", "from HTTPS");
    let new = new_policy(over_http, Action::ToListener(target), &[prefix("/")]);
    assert_eq!(scene.world.blame(|draft| create(draft, new)), "rules", "it has no rules");
    let id = scene.world.policy(over_http, Action::ToListener(target), &[]).id;
    assert_eq!(scene.world.blame(|draft| rule::create(draft, id, prefix("/"))), "rules");
    let said = PolicyPatch { to_listener: Some(second), ..patch() };
    let changed = scene.world.run(|draft| update(draft, id, said)).unwrap();
    assert_eq!(changed.action, Action::ToListener(second));
}

#[test]
fn a_change_keeps_to_the_policys_action() {
    let mut scene = Scene::enhanced();
    let target = scene.world.https_listener(scene.lb, 443).id;
    let pool = scene.pool.id;
    let listener = scene.listener.id;
    let ids = [
        scene.world.policy(listener, to_pool(pool), &[]).id,
        scene.world.policy(listener, Action::ToListener(target), &[]).id,
        scene.world.policy(listener, redirect(|it| it.path = "/a".to_owned()), &[]).id,
        scene.world.policy(listener, fixed(|_| {}), &[]).id,
    ];
    let weighted = WeightedPool { pool, weight: model::Weight::of(1) };
    let said = [
        (PolicyPatch { pool: Patch::Set(pool), ..patch() }, 0, "redirect_pool_id"),
        (PolicyPatch { pools: Patch::Set(vec![weighted]), ..patch() }, 0, "redirect_pools_config"),
        (
            PolicyPatch { extras: Patch::Set(Default::default()), ..patch() },
            0,
            "redirect_pools_extend_config",
        ),
        (
            PolicyPatch {
                stickiness: Patch::Set(PoolStickiness { enabled: false, minutes: StickyMinutes::MAX }),
                ..patch()
            },
            0,
            "redirect_pools_sticky_session_config",
        ),
        (PolicyPatch { to_listener: Some(target), ..patch() }, 1, "redirect_listener_id"),
        (
            PolicyPatch {
                to_url: Some(UrlRedirectPatch { status: Some(302), ..Default::default() }),
                ..patch()
            },
            2,
            "redirect_url_config",
        ),
        (
            PolicyPatch {
                fixed: Some(FixedResponsePatch { status: Some(404), ..Default::default() }),
                ..patch()
            },
            3,
            "fixed_response_config",
        ),
    ];
    for (said, own, field) in said {
        for (n, id) in ids.into_iter().enumerate() {
            let expect = if n == own { "ok" } else { field };
            let said = said.clone();
            assert_eq!(scene.world.blame(|draft| update(draft, id, said)), expect, "{field} on {n}");
        }
    }
    for id in ids {
        let nulls =
            PolicyPatch { pools: Patch::Clear, stickiness: Patch::Clear, extras: Patch::Clear, ..patch() };
        assert_eq!(scene.world.blame(|draft| update(draft, id, nulls)), "ok", "null is no wish elsewhere");
    }
}

#[test]
fn a_change_is_held_to_the_rules_of_the_action() {
    let mut scene = Scene::enhanced();
    let (listener, pool) = (scene.listener.id, scene.pool.id);
    let tcp = scene.world.pool_of(scene.lb, PoolProtocol::Tcp).id;
    let id = scene.world.policy(listener, to_pool(pool), &[]).id;
    let said = PolicyPatch { pool: Patch::Set(tcp), ..patch() };
    assert_eq!(scene.world.blame(|draft| update(draft, id, said)), "redirect_pool_id");
    let said = PolicyPatch { pool: Patch::Clear, ..patch() };
    let changed = scene.world.run(|draft| update(draft, id, said)).unwrap();
    assert!(changed.action.pools().is_empty(), "null frees the pool");
    let id = scene.world.policy(listener, redirect(|it| it.path = "/a".to_owned()), &[]).id;
    let to_url = |path: &str| PolicyPatch {
        to_url: Some(UrlRedirectPatch { path: Some(path.to_owned()), ..Default::default() }),
        ..patch()
    };
    assert_eq!(scene.world.blame(|draft| update(draft, id, to_url("${path}"))), "redirect_url_config");
    let changed = scene.world.run(|draft| update(draft, id, to_url("/b"))).unwrap();
    assert_eq!(changed.action, redirect(|it| it.path = "/b".to_owned()));
    let id = scene.world.policy(listener, fixed(|it| it.body = "a".to_owned()), &[]).id;
    let said = PolicyPatch {
        fixed: Some(FixedResponsePatch { status: Some(503), ..Default::default() }),
        ..patch()
    };
    let changed = scene.world.run(|draft| update(draft, id, said)).unwrap();
    assert_eq!(changed.action, fixed(|it| (it.status, it.body) = (503, "a".to_owned())));
}

#[test]
fn pools_of_policies_have_quotas() {
    let mut scene = Scene::enhanced();
    let (first, second) = (scene.pool.id, scene.world.pool_of(scene.lb, PoolProtocol::Http).id);
    scene.world.site.quotas.insert(QuotaKey::PoolsPerL7policy, 1);
    assert_eq!(scene.blame(to_pools(&[(first, 1), (second, 1)])), "quota_exceeded");
    scene.world.site.quotas.insert(QuotaKey::ListenersPerPool, 1);
    assert_eq!(scene.blame(to_pool(first)), "ok");
    assert_eq!(scene.blame(to_pool(first)), "ok", "it counts listeners, not policies");
    let other = scene.world.listener_of(scene.lb, 81, http()).id;
    let new = new_policy(other, to_pool(first), &[]);
    assert_eq!(scene.world.code(|draft| create(draft, new)), "quota_exceeded");
}
