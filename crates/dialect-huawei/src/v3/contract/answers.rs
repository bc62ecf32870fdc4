//! Every answer has every field of its schema and no other, and looks as the golden files say.

use std::collections::{BTreeMap, BTreeSet};

use control::{BatchCreated, BatchOutcome, statuses::load_balancer_status};
use model::{LoadBalancerId, Member, PoolId, SystemSecurityPolicy, flavor, member_check::CheckSubject};
use serde::Serialize;
use serde_json::Value;

use crate::v3::{
    access_log as v3_access_log, certificate as v3_certificate,
    contract::{tables, world::*},
    flavor as v3_flavor, health_monitor, ip_group as v3_ip_group, listener, load_balancer, master_slave_pool,
    member as v3_member,
    member::batch,
    policy as v3_policy, pool as v3_pool, quota, rule as v3_rule, security_policy as v3_security_policy,
    statuses, zone,
};

/// The schema, the golden file's name, what we answer.
fn answers() -> Vec<(&'static str, &'static str, Value)> {
    let view = view();
    let snapshot = &view.snapshot;
    let tree = load_balancer_status(&view, view.load_balancer(LoadBalancerId::new(id(10))).unwrap());
    let ip_target = Member { subnet: None, port: None, ..member() };
    let usage: Vec<_> = model::QuotaKey::ALL.iter().map(|key| (*key, key.default_limit(), 0)).collect();
    vec![
        ("LoadBalancer", "load_balancer", json(&load_balancer::encode(snapshot, &load_balancer()))),
        ("Listener", "listener_http", json(&listener::encode(&http_listener()))),
        ("Listener", "listener_https", json(&listener::encode(&https_listener()))),
        ("Listener", "listener_tcp", json(&listener::encode(&tcp_listener()))),
        ("Pool", "pool", json(&v3_pool::encode(snapshot, &pool()))),
        ("MasterSlavePool", "master_slave_pool", json(&master_slave_pool::encode(&view, &standby_pool()))),
        (
            "MemberCheckJobInfo",
            "member_check",
            json(&v3_member::check::encode(&v3_member::check::tests::check(CheckSubject::All))),
        ),
        ("Member", "member", json(&v3_member::encode(&view, &member()))),
        ("Member", "member_ip_target", json(&v3_member::encode(&view, &ip_target))),
        ("MemberInfo", "member_of_all", json(&v3_member::all::encode(&view, &member()))),
        (
            "BatchMember",
            "member_created",
            json(&batch::encode_created(&view, &member(), BatchCreated::Existed)),
        ),
        ("BatchUpdateMember", "member_updated", json(&batch::encode_updated(&view, &member()))),
        (
            "BatchDeleteMembersState",
            "member_deleted",
            json(&batch::encode_deleted(None, BatchOutcome::NotFound)),
        ),
        (
            "BatchDeletePoolsResp",
            "pool_not_deleted",
            json(&v3_pool::batch::encode(PoolId::new(id(30)), BatchOutcome::NotFound)),
        ),
        ("LoadBalancerStatus", "statuses", json(&statuses::encode(&tree))["loadbalancer"].clone()),
        ("HealthMonitor", "health_monitor", json(&health_monitor::encode(&monitor()))),
        ("Flavor", "flavor_l4", json(&v3_flavor::encode(&flavor::CATALOGUE[0], project()))),
        ("Flavor", "flavor_l7_elastic", json(&v3_flavor::encode(&flavor::CATALOGUE[13], project()))),
        ("AvailabilityZone", "zone", json(&zone::encode(&model::Zone { code: "local-1a".to_owned() }))),
        ("CertificateInfo", "certificate", json(&v3_certificate::encode(&certificate(), true, AT))),
        ("CertificateInfo", "certificate_without_echo", json(&v3_certificate::encode(&pair(), false, AT))),
        ("CertificateInfo", "certificate_authority", json(&v3_certificate::encode(&authority(), true, AT))),
        (
            "BatchDeleteCertificatesResp",
            "certificate_not_deleted",
            json(&v3_certificate::batch::encode(
                certificate().id,
                Err(control::Error::NotFound { kind: model::Kind::Certificate, id: String::new() }),
            )),
        ),
        (
            "SecurityPolicy",
            "security_policy",
            json(&v3_security_policy::encode(snapshot, &security_policy())),
        ),
        (
            "SystemSecurityPolicy",
            "system_security_policy",
            json(&v3_security_policy::system::encode(SystemSecurityPolicy::Tls12FsWith13, project())),
        ),
        ("IpGroup", "ip_group", json(&v3_ip_group::encode(snapshot, &ip_group()))),
        ("L7Policy", "policy", json(&v3_policy::encode(snapshot, &policy(), false))),
        ("L7Policy", "policy_to_url", json(&v3_policy::encode(snapshot, &policy_to_url(), false))),
        ("L7Policy", "policy_fixed", json(&v3_policy::encode(snapshot, &policy_fixed(), false))),
        ("L7Rule", "rule", json(&v3_rule::encode(snapshot, &rule()))),
        ("Logtank", "access_log", json(&v3_access_log::encode(&access_log()))),
        ("Quota", "quota", json(&quota::encode_limits(project(), &usage))),
        ("QuotaInfo", "quota_detail", json(&quota::encode_detail(&usage[0]))),
    ]
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Compares the keys of an answer, and of all objects in it, with their schemas.
fn same_keys(schemas: &BTreeMap<String, Value>, schema: &str, answer: &Value, at: &str) {
    let mut shown = keys(answer);
    // Ours: why a listener is in ERROR, how strict it is, how members are verified and left out, PROXY headers, bandwidth, what to know of a certificate. In their schemas optional: the code of a success; switches of headers about TLS.
    shown.remove("provisioning_reason");
    shown.remove("desync_mode");
    shown.remove("member_tls");
    shown.remove("outlier_detection");
    shown.remove("member_proxy_protocol");
    shown.remove("proxy_protocol_accept");
    if !schema.starts_with("Flavor") {
        shown.remove("bandwidth");
    }
    shown.remove("warnings");
    let optional = match schema {
        "ListenerInsertHeaders" => return,
        _ => BTreeSet::from(["ret_code"]),
    };
    let wanted = keys(&schemas[schema]);
    let missing: BTreeSet<_> = wanted.difference(&shown).filter(|key| !optional.contains(*key)).collect();
    let surplus: BTreeSet<_> = shown.difference(&wanted).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "{at}: missing {missing:?}, surplus {surplus:?}");
    for (field, row) in schemas[schema].as_object().unwrap() {
        let kind = row["type"].as_str().unwrap();
        let kind = kind.strip_prefix("array<").map_or(kind, |kind| kind.trim_end_matches('>'));
        let values = match &answer[field] {
            Value::Array(items) => items.iter().collect(),
            Value::Object(_) => vec![&answer[field]],
            _ => Vec::new(),
        };
        if schemas.contains_key(kind) {
            values.iter().for_each(|value| same_keys(schemas, kind, value, &format!("{at}.{field}")));
        }
    }
}

#[test]
fn an_answer_has_every_field_of_its_schema_and_no_other() {
    let schemas = tables(include_str!("../../../tests/data/v3_schemas.json"));
    for (schema, name, answer) in answers() {
        same_keys(&schemas, schema, &answer, name);
    }
}

#[test]
fn answers_look_as_the_golden_files_say() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/answers");
    for (_, name, answer) in answers() {
        let file = format!("{folder}/{name}.json");
        let golden = std::fs::read_to_string(&file).unwrap_or_default();
        let golden: Value = serde_json::from_str(&golden).unwrap_or_default();
        let shown = serde_json::to_string_pretty(&answer).unwrap();
        assert_eq!(answer, golden, "if this change is meant, {file} must be:\n{shown}");
    }
}
