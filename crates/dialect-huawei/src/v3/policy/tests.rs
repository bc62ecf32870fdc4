//! How policies are read and shown, row by row.

use model::{
    PolicyId, ProjectId, Timestamp,
    policy::{Extras, FixedResponse, InsertedValue, SystemValue, UrlRedirect},
};
use serde_json::{Value, json};

use super::*;
use crate::v3::fields::tests::read;

const ID: &str = "0123abcd-0123-4567-89ab-0123456789ab";
const OTHER: &str = "0123abcd-0123-4567-89ab-0123456789ac";

/// A policy that sends to a pool.
pub(crate) fn policy() -> Policy {
    let at = Timestamp::from_millis(1_627_267_591_000);
    Policy {
        id: PolicyId::new(uuid::Uuid::from_u128(6)),
        project: ProjectId::new(uuid::Uuid::from_u128(1)),
        listener: ID.parse().unwrap(),
        name: Default::default(),
        description: Default::default(),
        position: 100,
        priority: None,
        action: Action::Forward(Forward { pool: Some(ID.parse().unwrap()), ..Default::default() }),
        faulty: false,
        created_at: at,
        updated_at: at,
    }
}

fn new(content: Value) -> Result<NewPolicy, String> {
    let mut all = json!({"listener_id": ID});
    all.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
    read(all, decode_new)
}

fn forward(content: Value) -> Result<Forward, String> {
    let mut all = json!({"action": "REDIRECT_TO_POOL", "redirect_pool_id": ID});
    all.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
    match new(all)?.action {
        Action::Forward(forward) => Ok(forward),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_action_needs_its_own_part_and_refuses_those_of_others() {
    let url = json!({"host": "example.com", "status_code": "302"});
    let fixed = json!({"status_code": "418"});
    for (content, expect) in [
        (json!({"action": "REDIRECT_TO_POOL", "redirect_pool_id": ID}), Ok(())),
        (json!({"action": "REDIRECT_TO_POOL", "redirect_pools_config": [{"pool_id": ID}]}), Ok(())),
        (json!({"action": "REDIRECT_TO_POOL"}), Err("redirect_pool_id")),
        (json!({"action": "REDIRECT_TO_POOL", "redirect_pools_config": []}), Err("redirect_pool_id")),
        (json!({"action": "REDIRECT_TO_LISTENER", "redirect_listener_id": ID}), Ok(())),
        (json!({"action": "REDIRECT_TO_LISTENER"}), Err("redirect_listener_id")),
        (
            json!({"action": "REDIRECT_TO_LISTENER", "redirect_listener_id": ID, "redirect_pool_id": ID}),
            Err("redirect_pool_id"),
        ),
        (json!({"action": "REDIRECT_TO_URL", "redirect_url_config": url}), Ok(())),
        (json!({"action": "REDIRECT_TO_URL"}), Err("redirect_url_config")),
        (
            json!({"action": "REDIRECT_TO_URL", "redirect_url_config": {"host": "a.b"}}),
            Err("redirect_url_config.status_code"),
        ),
        (
            json!({"action": "REDIRECT_TO_URL", "redirect_url_config": url, "fixed_response_config": fixed}),
            Err("fixed_response_config"),
        ),
        (json!({"action": "FIXED_RESPONSE", "fixed_response_config": fixed}), Ok(())),
        (json!({"action": "FIXED_RESPONSE"}), Err("fixed_response_config")),
        (
            json!({"action": "FIXED_RESPONSE", "fixed_response_config": {"status_code": "302"}}),
            Err("fixed_response_config.status_code"),
        ),
        (json!({"action": "DROP"}), Err("action")),
        (
            json!({"action": "REDIRECT_TO_POOL", "redirect_pool_id": ID, "redirect_url": "x"}),
            Err("redirect_url"),
        ),
        (json!({"action": "REDIRECT_TO_POOL", "redirect_pool_id": ID, "position": 101}), Err("position")),
    ] {
        assert_eq!(new(content.clone()).map(drop), expect.map_err(str::to_owned), "{content}");
    }
}

#[test]
fn a_create_has_the_documented_defaults() {
    let made = new(json!({"action": "REDIRECT_TO_POOL", "redirect_pool_id": ID})).unwrap();
    assert_eq!((made.position, made.priority, made.rules.len()), (100, None, 0));
    let Action::Forward(forward) = made.action else { panic!() };
    assert_eq!(forward, Forward { pool: Some(ID.parse().unwrap()), ..Forward::default() });
    let url =
        json!({"action": "REDIRECT_TO_URL", "redirect_url_config": {"port": "8443", "status_code": "308"}});
    let expect = UrlRedirect {
        protocol: "${protocol}".to_owned(),
        host: "${host}".to_owned(),
        port: "8443".to_owned(),
        path: "${path}".to_owned(),
        query: "${query}".to_owned(),
        status: 308,
        headers: Default::default(),
    };
    assert_eq!(new(url).unwrap().action, Action::ToUrl(expect));
    let fixed = json!({"action": "FIXED_RESPONSE", "fixed_response_config": {"status_code": "503"}});
    let expect = FixedResponse {
        status: 503,
        content_type: "text/plain".to_owned(),
        body: String::new(),
        headers: Default::default(),
        limit: None,
    };
    assert_eq!(new(fixed).unwrap().action, Action::Fixed(expect));
}

#[test]
fn a_weight_is_a_number_or_its_digits() {
    let weight = |weight: Value| {
        forward(json!({"redirect_pools_config": [{"pool_id": ID, "weight": weight}]}))
            .map(|forward| forward.pools[0].weight.value())
    };
    for (said, expect) in
        [(json!(7), Some(7)), (json!("7"), Some(7)), (json!("0"), Some(0)), (json!("100"), Some(100))]
    {
        assert_eq!(weight(said.clone()).ok(), expect, "{said}");
    }
    for said in [json!(101), json!("101"), json!("-1"), json!(""), json!("7.0"), json!(true), json!(null)] {
        assert_eq!(weight(said.clone()), Err("redirect_pools_config[0].weight".to_owned()), "{said}");
    }
    let two = json!({"redirect_pools_config": [{"pool_id": ID}, {"pool_id": OTHER, "weight": "3"}],
        "redirect_pools_sticky_session_config": {"enable": true}});
    let forward = forward(two).unwrap();
    assert_eq!(forward.pools.iter().map(|pool| pool.weight.value()).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(forward.stickiness.map(|sticky| (sticky.enabled, sticky.minutes.value())), Some((true, 1440)));
}

#[test]
fn what_changes_on_the_way_comes_back_as_it_was_said() {
    let said = json!({
        "rewrite_url_enable": true,
        "rewrite_url_config": {"host": "${host}", "path": "/v2${path}", "query": "${query}"},
        "insert_headers_config": {"configs": [
            {"key": "x-a", "value_type": "USER_DEFINED", "value": "1"},
            {"key": "x-b", "value_type": "REFERENCE_HEADER", "value": "user-agent"},
            {"key": "x-c", "value_type": "SYSTEM_DEFINED", "value": "CLIENTCERT-SUBJECTDN"},
        ]},
        "remove_headers_config": {"configs": [{"key": "x-d"}]},
        "traffic_limit_config": {"qps": 100, "per_source_ip_qps": 10, "burst": 5},
        "cors_config": {
            "allow_origin": ["https://*.example.com"],
            "allow_methods": ["GET"],
            "allow_headers": ["x-a"],
            "expose_headers": [],
            "allow_credentials": true,
            "max_age": 60,
        },
        "traffic_mirror_config": {"target_ids": [OTHER], "mirror_request_body_enable": false},
    });
    let forward = forward(json!({"redirect_pools_extend_config": said})).unwrap();
    let system = &forward.extras.headers.insert[2].value;
    assert_eq!(*system, InsertedValue::System(SystemValue::ClientcertSubjectdn));
    assert_eq!(serde_json::to_value(extras::encode(&forward.extras)).unwrap(), said);
    assert!(extras::encode(&Extras::default()).is_none());
}

#[test]
fn a_value_of_the_system_that_is_not_known_is_named() {
    let header = json!({"key": "x", "value_type": "SYSTEM_DEFINED", "value": "MOON-PHASE"});
    let said = json!({"redirect_pools_extend_config": {"insert_headers_config": {"configs": [header]}}});
    let field = "redirect_pools_extend_config.insert_headers_config.configs[0].value";
    assert_eq!(forward(said), Err(field.to_owned()));
}

#[test]
fn an_update_keeps_what_it_leaves_open() {
    let limit = json!({"redirect_pools_extend_config": {"traffic_limit_config": {"qps": 9, "burst": 4}}});
    let now = Policy { action: Action::Forward(forward(limit).unwrap()), ..policy() };
    let patch = |content| read(content, |fields| decode_patch(fields, &now)).unwrap();
    let none = patch(json!({}));
    assert!(!none.pool.is_said() && !none.pools.is_said() && !none.extras.is_said() && none.rules.is_none());
    assert_eq!(patch(json!({"redirect_pool_id": null})).pool, Patch::Clear);
    let Patch::Set(said) =
        patch(json!({"redirect_pools_extend_config": {"traffic_limit_config": {"burst": 5}}})).extras
    else {
        panic!("the extras are said")
    };
    let Patch::Set(limit) = said.limit else { panic!("the limit is said") };
    assert_eq!((limit.qps.value(), limit.burst.value()), (9, 5), "the rate stays");
    assert!(!said.cors.is_said());
    let cleared = patch(json!({"redirect_pools_extend_config": {"traffic_limit_config": null}})).extras;
    assert_eq!(cleared.into_option().unwrap().limit, Patch::Clear);
    assert_eq!(patch(json!({"rules": []})).rules.map(|rules| rules.len()), Some(0), "all rules go");
}
