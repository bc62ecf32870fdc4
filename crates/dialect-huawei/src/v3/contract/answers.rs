//! Every answer has every field of its schema and no other, and looks as the golden files say.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
};

use control::{BatchCreated, BatchOutcome, View, statuses::load_balancer_status};
use model::{
    Algorithm, Facts, Fault, HealthMonitor, HealthMonitorId, Listener, ListenerId, LoadBalancer,
    LoadBalancerId, Member, MemberHealth, MemberId, Network, NetworkId, Pool, PoolId, PoolProtocol, Port,
    ProbeFailure, ProbeFailureCode, ProjectId, Snapshot, Subnet, SubnetId, Tag, TargetId, TargetOverride,
    Timestamp, Verdict, Weight, flavor,
    health_monitor::{ExpectedStatuses, HttpProbe, ProbeMethod, ProbePath},
    listener::{HttpService, InsertHeaders, Service},
    load_balancer::{Protection, Vip, WafFailure},
    pool::{Drain, SlowStart, Stickiness},
    range::{
        DrainTimeout, IdleTimeout, ProbeInterval, ProbeThreshold, ProbeTimeout, SlowStartDuration,
        StickyMinutes,
    },
    target::ProbeSettings,
};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::v3::{
    contract::tables, flavor as v3_flavor, health_monitor, listener, load_balancer, member as v3_member,
    member::batch, pool, quota, statuses, zone,
};

const AT: Timestamp = Timestamp::from_millis(1_627_267_591_000);

fn id(n: u128) -> Uuid {
    Uuid::from_u128(0xa000_0000_0000_4000_8000_0000_0000_0000 + n)
}
fn project() -> ProjectId {
    ProjectId::new(Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef))
}

/// A load balancer with an HTTP and a TCP listener, a pool, a monitor.
fn world() -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.put(
        Network {
            id: NetworkId::new(id(1)),
            name: "default".try_into().unwrap(),
            cidr: "127.0.0.0/8".parse().unwrap(),
            created_at: AT,
        }
        .into(),
    );
    snapshot.put(
        Subnet {
            id: SubnetId::new(id(2)),
            network: NetworkId::new(id(1)),
            name: "default".try_into().unwrap(),
            cidr: "127.88.0.0/16".parse().unwrap(),
            gateway: [127, 88, 0, 1].into(),
            public: false,
            created_at: AT,
        }
        .into(),
    );
    snapshot.put(load_balancer().into());
    snapshot.put(http_listener().into());
    snapshot.put(tcp_listener().into());
    snapshot.put(pool().into());
    snapshot.put(monitor().into());
    snapshot.put(member().into());
    snapshot
}

/// The world as its project sees it; the member is down.
fn view() -> View {
    let failure = ProbeFailure {
        code: ProbeFailureCode::ResponseMismatch,
        expected: "200".to_owned(),
        got: "503".to_owned(),
        detail: "the member answered 503".to_owned(),
    };
    let target = TargetId { listener: ListenerId::new(id(20)), pool: PoolId::new(id(30)) };
    let health = MemberHealth { verdict: Verdict::Down, since: AT, failure: Some(failure) };
    let fault = Fault { reason: "cannot listen on 127.88.0.2:9000: in use".to_owned(), since: AT };
    let facts = Facts {
        applied: Default::default(),
        faults: [(ListenerId::new(id(21)), fault)].into_iter().collect(),
        health: [((target, MemberId::new(id(50))), health)].into_iter().collect(),
    };
    View { snapshot: Arc::new(world()), facts: Arc::new(facts), project: project(), site: Default::default() }
}

fn member() -> Member {
    Member {
        id: MemberId::new(id(50)),
        pool: PoolId::new(id(30)),
        project: project(),
        name: "one".try_into().unwrap(),
        address: [127, 88, 9, 1].into(),
        port: Some(Port::of(8080)),
        weight: Weight::of(10),
        subnet: Some(SubnetId::new(id(2))),
        zone: None,
        admin_up: true,
        created_at: AT,
        updated_at: AT,
    }
}

fn load_balancer() -> LoadBalancer {
    LoadBalancer {
        id: LoadBalancerId::new(id(10)),
        project: project(),
        name: "web".try_into().unwrap(),
        description: Default::default(),
        admin_up: true,
        network: NetworkId::new(id(1)),
        vip: Some(Vip {
            subnet: SubnetId::new(id(2)),
            address: Ipv4Addr::new(127, 88, 0, 2),
            port_id: id(11),
        }),
        vip_v6: None,
        zones: vec!["local-1a".to_owned()],
        l4_flavor: None,
        l7_flavor: Some(flavor::CATALOGUE[7].id),
        member_subnets: Vec::new(),
        ip_targets: false,
        deletion_protection: false,
        protection: Protection::Console { reason: "in use".try_into().unwrap() },
        waf_failure: WafFailure::Forward,
        enterprise_project: None,
        tags: vec![Tag::new("team".to_owned(), "a".to_owned()).unwrap()],
        created_at: AT,
        updated_at: AT,
    }
}

fn http_listener() -> Listener {
    Listener {
        id: ListenerId::new(id(20)),
        project: project(),
        load_balancer: LoadBalancerId::new(id(10)),
        name: "http".try_into().unwrap(),
        description: "front".try_into().unwrap(),
        admin_up: true,
        port: Port::of(80),
        service: Service::Http(HttpService {
            request_timeout: HttpService::EXCHANGE_TIMEOUT_DEFAULT,
            response_timeout: HttpService::EXCHANGE_TIMEOUT_DEFAULT,
            member_retry: true,
            insert_headers: InsertHeaders::default(),
            gzip: false,
            http2: false,
            enhanced_policies: false,
            desync: Default::default(),
        }),
        default_pool: Some(PoolId::new(id(30))),
        target: TargetOverride::default(),
        idle_timeout: IdleTimeout::of(60),
        connect_timeout: model::NewListener::CONNECT_TIMEOUT_DEFAULT,
        transparent_client_ip: true,
        connections_max: 0,
        connections_per_second_max: 0,
        access: None,
        protection: Protection::None,
        enterprise_project: None,
        tags: Vec::new(),
        created_at: AT,
        updated_at: AT,
    }
}

fn tcp_listener() -> Listener {
    Listener {
        id: ListenerId::new(id(21)),
        name: "tcp".try_into().unwrap(),
        port: Port::of(9000),
        service: Service::Tcp,
        default_pool: None,
        idle_timeout: IdleTimeout::of(300),
        ..http_listener()
    }
}

fn pool() -> Pool {
    Pool {
        id: PoolId::new(id(30)),
        project: project(),
        name: "servers".try_into().unwrap(),
        algorithm: Algorithm::LeastConnections,
        stickiness: Some(Stickiness::HttpCookie { minutes: StickyMinutes::of(1440) }),
        slow_start: Some(SlowStart { enabled: true, duration: SlowStartDuration::of(30) }),
        drain: Some(Drain { enabled: true, timeout: DrainTimeout::of(10) }),
        ..pool::tests::pool(PoolProtocol::Http)
    }
}

fn monitor() -> HealthMonitor {
    HealthMonitor {
        id: HealthMonitorId::new(id(40)),
        pool: PoolId::new(id(30)),
        project: project(),
        name: Default::default(),
        admin_up: true,
        probe: ProbeSettings {
            kind: model::MonitorType::Http,
            interval: ProbeInterval::of(5),
            timeout: ProbeTimeout::of(3),
            rise: ProbeThreshold::of(3),
            fall: ProbeThreshold::of(3),
            port: None,
            http: HttpProbe {
                method: ProbeMethod::Get,
                path: ProbePath::root(),
                host: None,
                expected: ExpectedStatuses::ok(),
            },
        },
        created_at: AT,
        updated_at: AT,
    }
}

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
        ("Listener", "listener_tcp", json(&listener::encode(&tcp_listener()))),
        ("Pool", "pool", json(&pool::encode(snapshot, &pool()))),
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
            json(&pool::batch::encode(PoolId::new(id(30)), BatchOutcome::NotFound)),
        ),
        ("LoadBalancerStatus", "statuses", json(&statuses::encode(&tree))["loadbalancer"].clone()),
        ("HealthMonitor", "health_monitor", json(&health_monitor::encode(&monitor()))),
        ("Flavor", "flavor_l4", json(&v3_flavor::encode(&flavor::CATALOGUE[0], project()))),
        ("Flavor", "flavor_l7_elastic", json(&v3_flavor::encode(&flavor::CATALOGUE[13], project()))),
        ("AvailabilityZone", "zone", json(&zone::encode(&model::Zone { code: "local-1a".to_owned() }))),
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
    // Ours: why a listener is in ERROR. In their schemas optional: the code of a success; switches of headers about TLS.
    shown.remove("provisioning_reason");
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
