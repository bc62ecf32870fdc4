//! The pool in v3 words.

pub(crate) mod batch;
pub(crate) mod member_tls;
mod outlier_detection;
pub(crate) mod settings;
pub(crate) mod stickiness;

use axum::response::Response;
use control::{View, relations::load_balancers_of_pool};
use http::StatusCode;
use identity::Verb;
use model::{
    Algorithm, ListenerId, LoadBalancerId, NetworkId, NewPool, Pool, PoolPatch, PoolProtocol, Snapshot,
    pool::{IpVersion, PoolKind},
};
use serde::Serialize;

use crate::v3::{
    answer::{self, Ref},
    call::Call,
    errors::Problem,
    fields::{Fields, Refusal},
    list::{Filter, each, enterprise_project, maybe, nothing, one},
    load_balancer::PUBLIC_BORDER_GROUP,
    marks,
};

const WRAPPER: &str = "pool";
const RESOURCE: &str = "pools";

// ---- wire ----

/// A pool as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    id: String,
    name: String,
    description: String,
    project_id: String,
    enterprise_project_id: String,
    admin_state_up: bool,
    protocol: &'static str,
    lb_algorithm: &'static str,
    session_persistence: Option<stickiness::SessionPersistence>,
    slow_start: Option<settings::SlowStart>,
    connection_drain: settings::ConnectionDrain,
    pool_health: settings::PoolHealth,
    az_affinity: settings::AzAffinity,
    member_tls: Option<member_tls::MemberTls>,
    outlier_detection: Option<outlier_detection::OutlierDetection>,
    quic_cid_hash_strategy: Option<settings::QuicCidHashStrategy>,
    /// Ours.
    member_proxy_protocol: Option<&'static str>,
    any_port_enable: bool,
    member_deletion_protection_enable: bool,
    #[serde(rename = "type")]
    kind: &'static str,
    vpc_id: String,
    ip_version: &'static str,
    public_border_group: &'static str,
    listeners: Vec<Ref>,
    loadbalancers: Vec<Ref>,
    members: Vec<Ref>,
    healthmonitor_id: Option<String>,
    protection_status: &'static str,
    protection_reason: String,
    created_at: String,
    updated_at: String,
}

// ---- decode ----

const PROTOCOLS: &[(&str, Option<PoolProtocol>)] = &[
    ("TCP", Some(PoolProtocol::Tcp)),
    ("HTTP", Some(PoolProtocol::Http)),
    ("UDP", Some(PoolProtocol::Udp)),
    ("HTTPS", Some(PoolProtocol::Https)),
    ("GRPC", Some(PoolProtocol::Grpc)),
    ("QUIC", Some(PoolProtocol::Quic)),
    ("TLS", Some(PoolProtocol::Tls)),
    // Of load balancers that are gateways, as are the hashes of tuples; there are none here.
    ("IP", None),
];
pub(crate) const ALGORITHMS: &[(&str, Option<Algorithm>)] = &[
    ("ROUND_ROBIN", Some(Algorithm::RoundRobin)),
    ("LEAST_CONNECTIONS", Some(Algorithm::LeastConnections)),
    ("SOURCE_IP", Some(Algorithm::SourceIp)),
    ("QUIC_CID", Some(Algorithm::QuicCid)),
    ("2_TUPLE_HASH", None),
    ("3_TUPLE_HASH", None),
    ("5_TUPLE_HASH", None),
];
const KINDS: &[(&str, Option<PoolKind>)] =
    &[("", Some(PoolKind::Any)), ("instance", Some(PoolKind::Instance)), ("ip", Some(PoolKind::Ip))];
pub(crate) const IP_VERSIONS: &[(&str, Option<IpVersion>)] =
    &[("v4", Some(IpVersion::V4)), ("dualstack", Some(IpVersion::Dualstack))];

/// The body of a create.
pub(crate) fn decode_new(mut fields: Fields<'_>) -> Result<NewPool, Refusal> {
    marks::project(&mut fields)?;
    fields.only_true("admin_state_up")?;
    settings::decode_later(&mut fields)?;
    fields.later("public_border_group", crate::v3::fields::Harmless::Default(PUBLIC_BORDER_GROUP))?;
    let protocol = fields.choice("protocol", PROTOCOLS)?;
    let protocol = fields.required("protocol", protocol)?;
    let algorithm = fields.choice("lb_algorithm", ALGORITHMS)?;
    let algorithm = fields.required("lb_algorithm", algorithm)?;
    let new = NewPool {
        name: marks::name(&mut fields)?.unwrap_or_default(),
        description: marks::description(&mut fields)?.unwrap_or_default(),
        admin_up: true,
        protocol,
        algorithm,
        stickiness: stickiness::decode(&mut fields, protocol, None)?.into_option(),
        ip_version: fields.choice("ip_version", IP_VERSIONS)?.unwrap_or_else(|| default_ip_version(protocol)),
        slow_start: settings::decode_slow_start(&mut fields, protocol, None)?.into_option(),
        member_deletion_protection: fields.flag("member_deletion_protection_enable")?.unwrap_or(false),
        network: network(&mut fields)?.flatten(),
        kind: fields.choice("type", KINDS)?.unwrap_or_default(),
        any_port: settings::decode_any_port(&mut fields, protocol)?.unwrap_or(false),
        drain: settings::decode_drain(&mut fields, None)?,
        all_down_forward: settings::decode_pool_health(&mut fields)?.unwrap_or(false),
        member_tls: member_tls::decode(&mut fields, None)?.into_option(),
        member_proxy_protocol: settings::decode_proxy_protocol(&mut fields)?.into_option(),
        quic_cid_hash: settings::decode_quic_cid_hash(&mut fields, None)?,
        outlier_detection: outlier_detection::decode(&mut fields, None)?.into_option(),
        load_balancer: fields.id::<LoadBalancerId>("loadbalancer_id")?,
        listener: fields.id::<ListenerId>("listener_id")?,
        protection: marks::protection(&mut fields)?,
        enterprise_project: marks::enterprise_project(&mut fields)?,
    };
    if new.load_balancer.is_none() && new.listener.is_none() && new.kind == PoolKind::Any {
        return Err(fields
            .refuse("loadbalancer_id", "at least one of loadbalancer_id, listener_id and type is required"));
    }
    fields.done()?;
    Ok(new)
}

/// `ip_version` where nothing is said.
pub(crate) fn default_ip_version(protocol: PoolProtocol) -> IpVersion {
    if protocol.is_layer7() { IpVersion::V4 } else { IpVersion::Dualstack }
}

/// Fixed at creation (behaviours.md section 4).
pub(crate) const FIXED: &[&str] = &[
    "protocol",
    "listener_id",
    "loadbalancer_id",
    "ip_version",
    "public_border_group",
    "project_id",
    "enterprise_project_id",
];

/// The body of an update of that pool; what the body leaves open inside a setting stays as the pool has it.
pub(crate) fn decode_patch(mut fields: Fields<'_>, pool: &Pool) -> Result<PoolPatch, Refusal> {
    fields.fixed(FIXED)?;
    fields.only_true("admin_state_up")?;
    settings::decode_later(&mut fields)?;
    let network = match network(&mut fields)? {
        Some(None) if pool.network.is_some() => {
            return Err(fields.refuse("vpc_id", "a network that is set cannot be changed or taken away"));
        }
        wish => wish.flatten(),
    };
    let drain = settings::decode_drain(&mut fields, pool.drain)?;
    let patch = PoolPatch {
        name: marks::name(&mut fields)?,
        description: marks::description(&mut fields)?,
        admin_up: None,
        algorithm: fields.choice("lb_algorithm", ALGORITHMS)?,
        stickiness: stickiness::decode(&mut fields, pool.protocol, pool.stickiness.as_ref())?,
        slow_start: settings::decode_slow_start(&mut fields, pool.protocol, pool.slow_start)?,
        member_deletion_protection: fields.flag("member_deletion_protection_enable")?,
        network,
        kind: fields.choice("type", KINDS)?,
        any_port: settings::decode_any_port(&mut fields, pool.protocol)?,
        drain: drain.map_or(model::Patch::Keep, model::Patch::Set),
        all_down_forward: settings::decode_pool_health(&mut fields)?,
        member_tls: member_tls::decode(&mut fields, pool.member_tls.as_ref())?,
        member_proxy_protocol: settings::decode_proxy_protocol(&mut fields)?,
        quic_cid_hash: settings::decode_quic_cid_hash(&mut fields, pool.quic_cid_hash)?,
        outlier_detection: outlier_detection::decode(&mut fields, pool.outlier_detection)?,
        protection: marks::protection_patch(&mut fields)?,
    };
    fields.done()?;
    Ok(patch)
}

/// `vpc_id`: absent, the empty string for no network, or a network.
pub(crate) fn network(fields: &mut Fields<'_>) -> Result<Option<Option<NetworkId>>, Refusal> {
    match fields.string("vpc_id", 0..=36)? {
        None => Ok(None),
        Some(text) if text.is_empty() => Ok(Some(None)),
        Some(text) => match text.parse() {
            Ok(id) => Ok(Some(Some(id))),
            Err(_) => Err(fields.refuse("vpc_id", "must be an id (uuid) or empty")),
        },
    }
}

// ---- encode ----

/// The pool as answers show it.
pub(crate) fn encode(snapshot: &Snapshot, pool: &Pool) -> Wire {
    let (protection_status, protection_reason) = answer::protection(&pool.protection);
    Wire {
        id: pool.id.to_string(),
        name: pool.name.to_string(),
        description: pool.description.to_string(),
        project_id: pool.project.simple(),
        enterprise_project_id: answer::enterprise_project(pool.enterprise_project),
        admin_state_up: pool.admin_up,
        protocol: protocol(pool),
        lb_algorithm: algorithm(pool),
        session_persistence: pool.stickiness.as_ref().map(stickiness::encode),
        slow_start: pool.slow_start.map(settings::encode_slow_start),
        connection_drain: settings::encode_drain(pool.drain),
        pool_health: settings::encode_pool_health(pool.all_down_forward),
        az_affinity: settings::AzAffinity::OFF,
        member_tls: pool.member_tls.as_ref().map(member_tls::encode),
        outlier_detection: pool.outlier_detection.map(outlier_detection::encode),
        quic_cid_hash_strategy: pool.quic_cid_hash.map(settings::encode_quic_cid_hash),
        member_proxy_protocol: pool.member_proxy_protocol.map(settings::proxy_protocol),
        any_port_enable: pool.any_port,
        member_deletion_protection_enable: pool.member_deletion_protection,
        kind: kind(pool),
        vpc_id: pool.network.map(|network| network.to_string()).unwrap_or_default(),
        ip_version: ip_version(pool),
        public_border_group: PUBLIC_BORDER_GROUP,
        listeners: answer::refs(snapshot.listeners_reaching(pool.id).map(|listener| listener.id)),
        loadbalancers: answer::refs(load_balancers_of_pool(snapshot, pool)),
        members: answer::refs(snapshot.members_of(pool.id).map(|member| member.id)),
        healthmonitor_id: snapshot.monitor_of(pool.id).map(|monitor| monitor.id.to_string()),
        protection_status,
        protection_reason,
        created_at: answer::time(pool.created_at),
        updated_at: answer::time(pool.updated_at),
    }
}

pub(crate) fn protocol(pool: &Pool) -> &'static str {
    match pool.protocol {
        PoolProtocol::Tcp => "TCP",
        PoolProtocol::Udp => "UDP",
        PoolProtocol::Tls => "TLS",
        PoolProtocol::Quic => "QUIC",
        PoolProtocol::Http => "HTTP",
        PoolProtocol::Https => "HTTPS",
        PoolProtocol::Grpc => "GRPC",
    }
}

pub(crate) fn algorithm(pool: &Pool) -> &'static str {
    match pool.algorithm {
        Algorithm::RoundRobin => "ROUND_ROBIN",
        Algorithm::LeastConnections => "LEAST_CONNECTIONS",
        Algorithm::SourceIp => "SOURCE_IP",
        Algorithm::QuicCid => "QUIC_CID",
    }
}

pub(crate) fn kind(pool: &Pool) -> &'static str {
    match pool.kind {
        PoolKind::Any => "",
        PoolKind::Instance => "instance",
        PoolKind::Ip => "ip",
    }
}

pub(crate) fn ip_version(pool: &Pool) -> &'static str {
    match pool.ip_version {
        IpVersion::V4 => "v4",
        IpVersion::Dualstack => "dualstack",
    }
}

// ---- list ----

/// What its list can be filtered by.
pub(crate) const FILTERS: &[Filter<View, Pool>] = &[
    Filter::text("id", |_, pool| one(pool.id)),
    Filter::text("name", |_, pool| one(&pool.name)),
    Filter::text("description", |_, pool| one(&pool.description)),
    Filter::flag("admin_state_up", |_, pool| one(pool.admin_up)),
    Filter::text("healthmonitor_id", |view, pool| {
        maybe(view.snapshot.monitor_of(pool.id).map(|monitor| monitor.id))
    }),
    Filter::text("loadbalancer_id", |view, pool| each(load_balancers_of_pool(&view.snapshot, pool))),
    Filter::text("listener_id", |view, pool| {
        each(view.snapshot.listeners_reaching(pool.id).map(|listener| listener.id))
    }),
    Filter::text("protocol", |_, pool| one(protocol(pool))),
    Filter::text("lb_algorithm", |_, pool| one(algorithm(pool))),
    Filter::text("enterprise_project_id", |_, pool| enterprise_project(pool.enterprise_project)),
    Filter::text("ip_version", |_, pool| one(ip_version(pool))),
    Filter::text("member_address", |view, pool| {
        each(view.snapshot.members_of(pool.id).map(|member| member.address))
    }),
    Filter::text("member_device_id", |_, _| nothing()),
    Filter::text("member_instance_id", |_, _| nothing()),
    Filter::flag("member_deletion_protection_enable", |_, pool| one(pool.member_deletion_protection)),
    Filter::text("vpc_id", |_, pool| one(pool.network.map(|id| id.to_string()).unwrap_or_default())),
    Filter::text("type", |_, pool| one(kind(pool))),
    Filter::text("protection_status", |_, pool| one(answer::protection(&pool.protection).0)),
    Filter::flag("connection_drain", |_, pool| one(pool.drain.unwrap_or_default().enabled)),
    Filter::pair("pool_health", |_, pool| {
        one(format!("minimum_healthy_member_count={}", u8::from(pool.all_down_forward)))
    }),
    Filter::flag("any_port_enable", |_, pool| one(pool.any_port)),
    Filter::text("public_border_group", |_, _| one(PUBLIC_BORDER_GROUP)),
    Filter::integer("quic_cid_len", |_, pool| maybe(pool.quic_cid_hash.map(|hash| hash.length))),
    Filter::integer("quic_cid_offset", |_, pool| maybe(pool.quic_cid_hash.map(|hash| hash.offset))),
    Filter::pair("az_affinity", |_, _| settings::AzAffinity::OFF.pairs()),
];

// ---- operations ----

/// `GET …/pools`.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::List)?;
    let all = view.snapshot.pools().values().map(AsRef::as_ref);
    let own = all.filter(|pool: &&Pool| pool.project == view.project && !pool.standby).collect();
    call.page(RESOURCE, &view, FILTERS, |pool| pool.id, own, |pool| encode(&view.snapshot, pool))
}

/// `POST …/pools`.
pub(crate) async fn create(call: Call) -> Result<Response, Problem> {
    let new = decode_new(call.fields(WRAPPER)?)?;
    let made = control::pool_create(call.control(), &call.caller, new).await?;
    Ok(call.one(StatusCode::CREATED, WRAPPER, encode(&call.now().snapshot, &made)))
}

/// `GET …/pools/{pool_id}`.
pub(crate) async fn show(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::Get)?;
    let found = view.pool(call.id("pool_id")?)?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(&view.snapshot, found)))
}

/// `PUT …/pools/{pool_id}`.
pub(crate) async fn update(call: Call) -> Result<Response, Problem> {
    let id = call.id("pool_id")?;
    let patch = decode_patch(call.fields(WRAPPER)?, call.now().pool(id)?)?;
    let changed = control::pool_update(call.control(), &call.caller, id, patch).await?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(&call.now().snapshot, &changed)))
}

/// `DELETE …/pools/{pool_id}`.
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    control::pool_delete(call.control(), &call.caller, call.id("pool_id")?).await?;
    Ok(call.gone())
}

/// `DELETE …/pools/{pool_id}/delete-cascade`.
pub(crate) async fn delete_cascade(call: Call) -> Result<Response, Problem> {
    control::pool_delete_cascade(call.control(), &call.caller, call.id("pool_id")?).await?;
    Ok(call.gone())
}

#[cfg(test)]
pub(crate) mod tests {
    use model::{PoolId, ProjectId, Timestamp, load_balancer::Protection};
    use serde_json::{Value, json};

    use super::*;
    use crate::v3::fields::tests::read;

    const ID: &str = "0123abcd-0123-4567-89ab-0123456789ab";

    /// A pool of that protocol with nothing set.
    pub(crate) fn pool(protocol: PoolProtocol) -> Pool {
        Pool {
            id: PoolId::new(uuid::Uuid::from_u128(3)),
            project: ProjectId::new(uuid::Uuid::from_u128(1)),
            name: Default::default(),
            description: Default::default(),
            admin_up: true,
            protocol,
            algorithm: Algorithm::RoundRobin,
            stickiness: None,
            ip_version: IpVersion::V4,
            slow_start: None,
            member_deletion_protection: false,
            network: None,
            kind: PoolKind::Any,
            any_port: false,
            drain: None,
            all_down_forward: false,
            member_tls: None,
            member_proxy_protocol: None,
            quic_cid_hash: None,
            standby: false,
            outlier_detection: None,
            load_balancer: None,
            protection: Protection::None,
            enterprise_project: None,
            created_at: Timestamp::from_millis(1_627_267_591_000),
            updated_at: Timestamp::from_millis(1_627_267_591_000),
        }
    }

    fn new(content: Value) -> Result<NewPool, String> {
        let mut all = json!({"protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"});
        all.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
        read(all, decode_new)
    }

    #[test]
    fn a_pool_belongs_to_a_load_balancer_a_listener_or_a_type() {
        for (content, fits) in [
            (json!({}), false),
            (json!({"type": ""}), false),
            (json!({"type": "ip"}), true),
            (json!({"type": "instance", "vpc_id": ID}), true),
            (json!({"loadbalancer_id": ID}), true),
            (json!({"listener_id": ID}), true),
        ] {
            assert_eq!(new(content.clone()).is_ok(), fits, "{content}");
        }
    }

    #[test]
    fn a_create_has_the_documented_defaults() {
        let tcp = new(json!({"loadbalancer_id": ID})).unwrap();
        assert_eq!((tcp.ip_version, tcp.kind, tcp.network), (IpVersion::Dualstack, PoolKind::Any, None));
        assert!(tcp.stickiness.is_none() && tcp.slow_start.is_none() && tcp.drain.is_none());
        assert!(!tcp.any_port && !tcp.all_down_forward && !tcp.member_deletion_protection);
        assert_eq!(
            new(json!({"loadbalancer_id": ID, "protocol": "HTTP"})).unwrap().ip_version,
            IpVersion::V4
        );
        assert_eq!(new(json!({"loadbalancer_id": ID, "vpc_id": ""})).unwrap().network, None);
    }

    #[test]
    fn protocols_of_layer_4_are_read_and_shown_and_those_of_gateways_refused() {
        for (protocol, algorithm) in
            [("TCP", "SOURCE_IP"), ("TLS", "ROUND_ROBIN"), ("UDP", "ROUND_ROBIN"), ("QUIC", "QUIC_CID")]
        {
            let content = json!({"loadbalancer_id": ID, "protocol": protocol, "lb_algorithm": algorithm});
            let made = read(content, decode_new).unwrap();
            let shown = Pool { algorithm: made.algorithm, ..pool(made.protocol) };
            let wire = serde_json::to_value(encode(&Snapshot::default(), &shown)).unwrap();
            assert_eq!((&wire["protocol"], &wire["lb_algorithm"]), (&json!(protocol), &json!(algorithm)));
            assert_eq!(made.ip_version, IpVersion::Dualstack);
        }
        for word in ["IP", "2_TUPLE_HASH"] {
            let content = json!({"loadbalancer_id": ID, "protocol": word, "lb_algorithm": word});
            assert!(read(content, decode_new).is_err(), "{word} is of gateways");
        }
    }

    #[test]
    fn a_network_can_be_set_once() {
        let free = pool(PoolProtocol::Http);
        let bound = Pool { network: Some(ID.parse().unwrap()), ..free.clone() };
        let patch = |content, pool: &Pool| {
            read(content, |fields| decode_patch(fields, pool)).map(|patch| patch.network)
        };
        assert_eq!(patch(json!({"vpc_id": ID}), &free), Ok(Some(ID.parse().unwrap())));
        assert_eq!(patch(json!({"vpc_id": ""}), &free), Ok(None));
        assert_eq!(patch(json!({"vpc_id": ""}), &bound), Err("vpc_id".to_owned()));
        assert_eq!(patch(json!({}), &bound), Ok(None));
    }
}
