//! Every field of every request is read as the contract says: type, range, form, null, required, fixed.

use model::{CertificateKind, ListenerProtocol, PoolProtocol};
use serde_json::{Map, Value, json};

use crate::v3::{
    access_log, certificate,
    contract::tables,
    fields::{Fields, Refusal, UnknownFields},
    health_monitor, ip_group, listener, load_balancer, master_slave_pool, member, policy, pool, rule,
    security_policy,
};

type Decode = fn(Fields<'_>) -> Result<(), Refusal>;

/// A request schema of the contract, how it is decoded, and the least that it accepts.
fn schemas() -> Vec<(&'static str, Decode, Value)> {
    const ID: &str = "0123abcd-0123-4567-89ab-0123456789ab";
    vec![
        (
            "CreateLoadBalancerOption",
            |fields| load_balancer::decode_new(fields).map(drop),
            json!({"availability_zone_list": ["local-1a"], "vpc_id": ID}),
        ),
        ("UpdateLoadBalancerOption", |fields| load_balancer::decode_patch(fields).map(drop), json!({})),
        (
            "DeleteLoadBalancerCascadeOption",
            |fields| load_balancer::decode_cascade(fields).map(drop),
            json!({}),
        ),
        (
            "CreateListenerOption",
            |fields| listener::decode_new(fields).map(drop),
            json!({
                "loadbalancer_id": ID,
                "protocol": "HTTPS",
                "protocol_port": 443,
                "default_tls_container_ref": ID,
            }),
        ),
        (
            "UpdateListenerOption",
            |fields| {
                listener::decode_patch(fields, &listener::tests::listener(ListenerProtocol::Https)).map(drop)
            },
            json!({}),
        ),
        (
            "CreatePoolOption",
            |fields| pool::decode_new(fields).map(drop),
            json!({"loadbalancer_id": ID, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}),
        ),
        (
            "UpdatePoolOption",
            |fields| pool::decode_patch(fields, &pool::tests::pool(PoolProtocol::Http)).map(drop),
            json!({}),
        ),
        (
            "CreateMasterSlavePoolOption",
            |fields| master_slave_pool::decode_new(fields).map(drop),
            json!({
                "protocol": "TCP",
                "lb_algorithm": "ROUND_ROBIN",
                "type": "ip",
                "members": [
                    {"address": "127.88.1.1", "protocol_port": 80, "role": "master"},
                    {"address": "127.88.1.2", "protocol_port": 80, "role": "slave"},
                ],
                "healthmonitor": {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 3},
            }),
        ),
        (
            "CreateMasterSlaveHealthMonitorOption",
            |fields| master_slave_pool::decode_monitor(fields).map(drop),
            json!({"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 3}),
        ),
        (
            "CreateMasterSlaveMemberOption",
            |fields| master_slave_pool::decode_member(fields, false).map(drop),
            json!({"address": "127.88.1.1", "protocol_port": 80, "role": "master"}),
        ),
        (
            "CreateMemberHealthCheckJobOption",
            |fields| member::check::decode(fields).map(drop),
            json!({"listener_id": ID, "subject": "all"}),
        ),
        (
            "CreateMemberOption",
            |fields| member::decode_new(fields, &pool::tests::pool(PoolProtocol::Http)).map(drop),
            json!({"address": "127.88.1.1", "protocol_port": 80}),
        ),
        ("UpdateMemberOption", |fields| member::decode_patch(fields).map(drop), json!({})),
        (
            "BatchCreateMembersOption",
            |fields| member::batch::decode_new(fields, &pool::tests::pool(PoolProtocol::Http)).map(drop),
            json!({"address": "127.88.1.1", "protocol_port": 80}),
        ),
        (
            "BatchUpdateMembersOption",
            |fields| member::batch::decode_patch(fields).map(drop),
            json!({"id": ID}),
        ),
        (
            "CreateHealthMonitorOption",
            |fields| health_monitor::decode_new(fields).map(drop),
            json!({"pool_id": ID, "type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 3}),
        ),
        ("UpdateHealthMonitorOption", |fields| health_monitor::decode_patch(fields).map(drop), json!({})),
        (
            "CreateListenerIpGroupOption",
            |fields| listener::access::read(fields, None).map(drop),
            json!({"ipgroup_id": ID}),
        ),
        (
            "CreateL7PolicyOption",
            |fields| policy::decode_new(fields).map(drop),
            json!({"action": "REDIRECT_TO_POOL", "listener_id": ID, "redirect_pool_id": ID}),
        ),
        (
            "UpdateL7PolicyOption",
            |fields| policy::decode_patch(fields, &policy::tests::policy()).map(drop),
            json!({}),
        ),
        (
            "BatchUpdatePriorityRequestBody",
            |fields| policy::priorities::decode(fields).map(drop),
            json!({"id": ID, "priority": 7}),
        ),
        ("UpdateRedirectUrlConfig", |fields| policy::url::read(fields).map(drop), json!({})),
        (
            "UpdateFixtedResponseConfig",
            |fields| policy::fixed_response::read(fields, None).map(drop),
            json!({}),
        ),
        ("CreateRedirectPoolsExtendConfig", |fields| policy::extras::read(fields, None).map(drop), json!({})),
        (
            "CreateRuleOption",
            |fields| rule::decode_new(fields).map(drop),
            json!({"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"}),
        ),
        ("UpdateL7RuleOption", |fields| rule::decode_patch(fields).map(drop), json!({})),
        ("CreateRuleCondition", |fields| rule::decode_condition(fields).map(drop), json!({"value": "/"})),
        (
            "CreateCertificateOption",
            |fields| certificate::decode_new(fields).map(drop),
            json!({
                "certificate": "a chain",
                "private_key": "a key",
                "enc_certificate": "a chain",
                "enc_private_key": "a key",
                "scm_certificate_id": "scs1",
            }),
        ),
        (
            "UpdateCertificateOption",
            |fields| {
                let now = certificate::tests::certificate(CertificateKind::Server);
                certificate::decode_patch(fields, &now).map(drop)
            },
            json!({}),
        ),
        (
            "CreateCertificatePrivateKeyEchoRequestBody",
            |fields| certificate::echo::decode(fields).map(drop),
            json!({"private_key_echo": true}),
        ),
        (
            "CreateSecurityPolicyOption",
            |fields| security_policy::decode_new(fields).map(drop),
            json!({"protocols": ["TLSv1.2"], "ciphers": ["AES128-SHA"]}),
        ),
        ("UpdateSecurityPolicyOption", |fields| security_policy::decode_patch(fields).map(drop), json!({})),
        ("CreateIpGroupOption", |fields| ip_group::decode_new(fields).map(drop), json!({"ip_list": []})),
        ("UpdateIpGroupOption", |fields| ip_group::decode_patch(fields).map(drop), json!({})),
        (
            "CreateIpGroupIpOption",
            |fields| ip_group::entries::decode_one(fields).map(drop),
            json!({"ip": "::1"}),
        ),
        (
            "CreateLogtankOption",
            |fields| access_log::decode_new(fields).map(drop),
            json!({"loadbalancer_id": ID, "log_group_id": "g", "log_topic_id": "t"}),
        ),
        ("UpdateLogtankOption", |fields| access_log::decode_patch(fields).map(drop), json!({})),
    ]
}

/// Fields of features that are not built: values that mean "off" are accepted whatever the schema says of null and empty.
const LATER: &[&str] = &[
    "ipv6_bandwidth",
    "publicip",
    "publicip_ids",
    "prepaid_options",
    "billing_info",
    "autoscaling",
    "nat64_enable",
    "az_affinity",
    "public_border_group",
    "quic_cid_hash_strategy",
    "invert",
    "redirect_url",
];

/// Fields whose null is not marked in the schema and takes the setting away all the same: nothing else could.
const NULL_CLEARS: &[&str] = &[
    "quic_config",
    "rewrite_url_config",
    "insert_headers_config",
    "remove_headers_config",
    "traffic_limit_config",
    "cors_config",
    "traffic_mirror_config",
];

fn decode(decode: Decode, base: &Value, field: &str, value: Option<Value>) -> Result<(), Refusal> {
    let mut fields: Map<String, Value> = base.as_object().unwrap().clone();
    match value {
        Some(value) => fields.insert(field.to_owned(), value),
        None => fields.remove(field),
    };
    let unknown = UnknownFields::new(true);
    let body = json!({"noun": fields}).to_string();
    decode(Fields::open(body.as_bytes(), "noun", &unknown).unwrap())
}

/// Values that a field of that row of the contract must refuse, each with the reason.
fn bad_values(name: &str, row: &Value) -> Vec<(&'static str, Value)> {
    let later = LATER.contains(&name);
    let number = |key: &str| row[key].as_i64();
    let mut bad = Vec::new();
    match row["type"].as_str().unwrap() {
        "string" => bad.extend([("a number is no string", json!(7)), ("a list is no string", json!(["x"]))]),
        "boolean" => bad.extend([("a string is no boolean", json!("true")), ("1 is no boolean", json!(1))]),
        "integer" => bad.extend([
            ("a string is no integer", json!("80")),
            ("a fraction is no integer", json!(80.5)),
            ("80.0 is no integer", json!(80.0)),
            ("true is no integer", json!(true)),
        ]),
        list if list.starts_with("array") => {
            bad.extend([("an object is no list", json!({"a": 1})), ("a string is no list", json!("x"))]);
        }
        _ => bad.extend([("a list is no object", json!([1])), ("a string is no object", json!("x"))]),
    }
    if let Some(min) = number("min").filter(|_| !later) {
        bad.push(("below the range", json!(min - 1)));
    }
    if let Some(max) = number("max").filter(|_| !later) {
        // The vendor's documents print 300 and 3600 for these two; the wider one is taken (see `listener`).
        let max = if ["client_timeout", "member_timeout"].contains(&name) { 3600 } else { max };
        bad.push(("above the range", json!(max + 1)));
    }
    if row["type"] == "string" && !later {
        if number("minlen").is_some_and(|min| min > 0) && name != "project_id" {
            bad.push(("too short", json!("")));
        }
        // Of certificates they print 20,000 and 65,536.
        let is_chain = ["certificate", "enc_certificate"].contains(&name);
        let longest = number("maxlen").map(|max| if is_chain { certificate::PEM_MAX as i64 } else { max });
        if let Some(max) = longest {
            bad.push(("too long", json!("x".repeat(max as usize + 5))));
        }
        if row.get("enum").is_some() {
            bad.push(("no such word", json!("BOGUS")));
        }
        if row.get("format").is_some_and(|format| format != "date-time" && format != "pem") {
            bad.push(("not of the form", json!("nonsense")));
        }
    }
    // Not marked in the schema; the prose says that null is the default (timeouts), that it clears (behaviours.md section 4); it is
    // marked for pools of the other kind (stickiness).
    let null_in_prose =
        ["client_timeout", "member_timeout", "default_pool_id", "session_persistence"].contains(&name);
    if row["nullable"] != json!(true) && !later && !null_in_prose && !NULL_CLEARS.contains(&name) {
        bad.push(("null", Value::Null));
    }
    // How many entries an IP group has is a quota.
    if let Some(max) = number("maxitems").filter(|_| name != "ip_list") {
        let many: Vec<_> = (0..=max).map(|n| json!(format!("0123abcd-0123-4567-89ab-{n:012}"))).collect();
        bad.push(("too many items", Value::Array(many)));
    }
    bad
}

#[test]
fn a_value_that_does_not_fit_is_refused_by_the_name_of_its_field() {
    let contract = tables(include_str!("../../../tests/data/v3_options.json"));
    for (schema, how, base) in schemas() {
        decode(how, &base, "", None).unwrap_or_else(|refusal| panic!("{schema}: {refusal}"));
        for (name, row) in contract[schema].as_object().unwrap() {
            for (why, value) in bad_values(name, row) {
                let refusal = decode(how, &base, name, Some(value.clone()))
                    .expect_err(&format!("{schema}.{name} accepts {value}: {why}"));
                assert!(
                    refusal.field.starts_with(&format!("noun.{name}")),
                    "{schema}.{name} {value}: {refusal}"
                );
                assert!(!refusal.reason.contains("not known here"), "{schema}.{name} is not read: {refusal}");
            }
        }
    }
}

#[test]
fn a_missing_required_field_is_named() {
    let contract = tables(include_str!("../../../tests/data/v3_options.json"));
    for (schema, how, base) in schemas() {
        for (name, row) in contract[schema].as_object().unwrap() {
            if row["required"] == json!(true) {
                let refusal = decode(how, &base, name, None).expect_err(&format!("{schema} without {name}"));
                assert_eq!(refusal.field, format!("noun.{name}"), "{schema}");
            }
        }
    }
}

#[test]
fn null_is_accepted_where_the_contract_allows_it() {
    let contract = tables(include_str!("../../../tests/data/v3_options.json"));
    for (schema, how, base) in schemas() {
        for (name, row) in contract[schema].as_object().unwrap() {
            if row["nullable"] == json!(true) || LATER.contains(&name.as_str()) {
                decode(how, &base, name, Some(Value::Null))
                    .unwrap_or_else(|refusal| panic!("{schema}: {refusal}"));
            }
        }
    }
}

#[test]
fn every_word_of_an_enumeration_is_taken_or_said_to_come_later() {
    let contract = tables(include_str!("../../../tests/data/v3_options.json"));
    for (schema, how, base) in schemas() {
        for (name, row) in contract[schema].as_object().unwrap() {
            for word in row["enum"].as_array().into_iter().flatten() {
                let value = match row["type"].as_str().unwrap().starts_with("array") {
                    true => json!([word]),
                    false => word.clone(),
                };
                match decode(how, &base, name, Some(value)) {
                    Ok(()) => {}
                    // The word is taken, and something else does not fit to it.
                    Err(refusal) => assert!(
                        refusal.reason.contains("not supported yet")
                            || !refusal.field.starts_with(&format!("noun.{name}")),
                        "{schema}.{name}={word}: {refusal}"
                    ),
                }
            }
        }
    }
}

#[test]
fn what_creation_fixed_is_refused_in_an_update_by_name() {
    for (schema, fixed) in [
        ("UpdateLoadBalancerOption", load_balancer::FIXED),
        ("UpdateListenerOption", listener::FIXED),
        ("UpdatePoolOption", pool::FIXED),
        ("UpdateMemberOption", member::FIXED),
        ("UpdateHealthMonitorOption", health_monitor::FIXED),
        ("UpdateL7PolicyOption", policy::FIXED),
        ("UpdateL7RuleOption", rule::FIXED),
        ("UpdateCertificateOption", certificate::FIXED),
        ("UpdateSecurityPolicyOption", security_policy::FIXED),
        ("UpdateIpGroupOption", ip_group::FIXED),
        ("UpdateLogtankOption", access_log::FIXED),
    ] {
        let (_, how, _) = schemas().into_iter().find(|(name, ..)| *name == schema).unwrap();
        let contract = tables(include_str!("../../../tests/data/v3_options.json"));
        for name in fixed {
            for value in [json!("x"), Value::Null] {
                let refusal = decode(how, &json!({}), name, Some(value)).expect_err(name);
                assert_eq!(refusal.field, format!("noun.{name}"), "{schema}");
                assert!(refusal.reason.contains("set at creation"), "{schema}: {refusal}");
            }
            assert!(contract[schema].get(*name).is_none(), "{schema}.{name} can be updated");
        }
    }
}
