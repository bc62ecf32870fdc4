//! The active/standby pool in v3 words: `master-slave-pools`. Pool, members and monitor in one; no update.

use axum::response::Response;
use control::{View, relations::load_balancers_of_pool};
use http::StatusCode;
use identity::Verb;
use model::{
    HealthMonitor, ListenerId, LoadBalancerId, Member, MemberRole, MonitorType, NewHealthMonitor, NewMember,
    NewPool, NewStandbyPool, Pool, PoolProtocol, Weight, pool::PoolKind,
};
use serde::Serialize;

use crate::v3::{
    answer::{self, Ref},
    call::Call,
    errors::Problem,
    fields::{Fields, Harmless, Refusal},
    health_monitor,
    list::{Filter, each, enterprise_project, maybe, nothing, one},
    load_balancer::PUBLIC_BORDER_GROUP,
    marks, member, pool,
    pool::{member_tls, settings, stickiness},
};

const WRAPPER: &str = "pool";
const RESOURCE: &str = "pools";

// ---- wire ----

/// An active/standby pool as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    id: String,
    name: String,
    description: String,
    project_id: String,
    enterprise_project_id: String,
    protocol: &'static str,
    lb_algorithm: &'static str,
    session_persistence: Option<stickiness::SessionPersistence>,
    member_tls: Option<member_tls::MemberTls>,
    member_proxy_protocol: Option<&'static str>,
    connection_drain: settings::ConnectionDrain,
    quic_cid_hash_strategy: Option<settings::QuicCidHashStrategy>,
    any_port_enable: bool,
    #[serde(rename = "type")]
    kind: &'static str,
    vpc_id: String,
    ip_version: &'static str,
    public_border_group: &'static str,
    listeners: Vec<Ref>,
    loadbalancers: Vec<Ref>,
    members: Vec<MemberWire>,
    healthmonitor: Option<MonitorWire>,
    created_at: String,
    updated_at: String,
}

/// One of its two members.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MemberWire {
    id: String,
    name: String,
    admin_state_up: bool,
    subnet_cidr_id: Option<String>,
    protocol_port: u16,
    address: String,
    ip_version: &'static str,
    device_owner: &'static str,
    device_id: &'static str,
    operating_status: &'static str,
    reason: Option<member::status::Reason>,
    member_type: &'static str,
    instance_id: &'static str,
    role: &'static str,
    status: Vec<member::status::OfListener>,
}

/// Its health monitor.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MonitorWire {
    id: String,
    name: String,
    admin_state_up: bool,
    #[serde(rename = "type")]
    kind: &'static str,
    delay: u32,
    timeout: u32,
    max_retries: u8,
    max_retries_down: u8,
    monitor_port: Option<u16>,
    domain_name: Option<String>,
    url_path: String,
    http_method: String,
    expected_codes: String,
}

// ---- decode ----

const PROTOCOLS: &[(&str, Option<PoolProtocol>)] = &[
    ("TCP", Some(PoolProtocol::Tcp)),
    ("UDP", Some(PoolProtocol::Udp)),
    ("QUIC", Some(PoolProtocol::Quic)),
    ("TLS", Some(PoolProtocol::Tls)),
];
const KINDS: &[(&str, Option<PoolKind>)] =
    &[("instance", Some(PoolKind::Instance)), ("ip", Some(PoolKind::Ip))];
const ROLES: &[(&str, Option<MemberRole>)] =
    &[("master", Some(MemberRole::Master)), ("slave", Some(MemberRole::Slave))];
const MONITORS: &[(&str, Option<MonitorType>)] = &[
    ("TCP", Some(MonitorType::Tcp)),
    ("UDP_CONNECT", Some(MonitorType::Udp)),
    ("HTTP", Some(MonitorType::Http)),
    ("HTTPS", Some(MonitorType::Https)),
];

/// The body of a create.
pub(crate) fn decode_new(mut fields: Fields<'_>) -> Result<NewStandbyPool, Refusal> {
    marks::project(&mut fields)?;
    fields.later("public_border_group", Harmless::Default(PUBLIC_BORDER_GROUP))?;
    let protocol = fields.choice("protocol", PROTOCOLS)?;
    let protocol = fields.required("protocol", protocol)?;
    let algorithm = fields.choice("lb_algorithm", pool::ALGORITHMS)?;
    let kind = fields.choice("type", KINDS)?;
    let pool = NewPool {
        name: marks::name(&mut fields)?.unwrap_or_default(),
        description: marks::description(&mut fields)?.unwrap_or_default(),
        admin_up: true,
        protocol,
        algorithm: fields.required("lb_algorithm", algorithm)?,
        stickiness: stickiness::decode(&mut fields, protocol, None)?.into_option(),
        ip_version: fields
            .choice("ip_version", pool::IP_VERSIONS)?
            .unwrap_or_else(|| pool::default_ip_version(protocol)),
        slow_start: None,
        member_deletion_protection: false,
        network: pool::network(&mut fields)?.flatten(),
        kind: fields.required("type", kind)?,
        any_port: settings::decode_any_port(&mut fields, protocol)?.unwrap_or(false),
        drain: settings::decode_drain(&mut fields, None)?,
        all_down_forward: false,
        member_tls: member_tls::decode(&mut fields, None)?.into_option(),
        outlier_detection: None,
        member_proxy_protocol: settings::decode_proxy_protocol(&mut fields)?.into_option(),
        quic_cid_hash: settings::decode_quic_cid_hash(&mut fields, None)?,
        load_balancer: fields.id::<LoadBalancerId>("loadbalancer_id")?,
        listener: fields.id::<ListenerId>("listener_id")?,
        protection: Default::default(),
        enterprise_project: marks::enterprise_project(&mut fields)?,
    };
    let (master, slave) = decode_members(&mut fields, pool.any_port)?;
    let monitor = fields.object("healthmonitor")?;
    let monitor = decode_monitor(fields.required("healthmonitor", monitor)?)?;
    fields.done()?;
    Ok(NewStandbyPool { pool, master, slave, monitor_name: monitor.name, probe: monitor.probe })
}

/// The two members, one of each role, in any order.
fn decode_members(fields: &mut Fields<'_>, any_port: bool) -> Result<(NewMember, NewMember), Refusal> {
    let members = fields.objects("members", 2)?;
    let members = fields.required("members", members)?;
    let (mut master, mut slave) = (None, None);
    for item in members {
        let (role, new) = decode_member(item, any_port)?;
        let place = match role {
            MemberRole::Master => &mut master,
            MemberRole::Slave => &mut slave,
        };
        if place.replace(new).is_some() {
            return Err(fields.refuse("members", "one master and one slave are needed"));
        }
    }
    master.zip(slave).ok_or_else(|| fields.refuse("members", "one master and one slave are needed"))
}

/// One of the members.
pub(crate) fn decode_member(
    mut fields: Fields<'_>,
    any_port: bool,
) -> Result<(MemberRole, NewMember), Refusal> {
    let role = fields.choice("role", ROLES)?;
    let role = fields.required("role", role)?;
    let admin_up = fields.flag("admin_state_up")?.unwrap_or(true);
    let new = NewMember { admin_up, weight: WEIGHT, ..member::decode_place(&mut fields, any_port)? };
    fields.done()?;
    Ok((role, new))
}

/// The health monitor.
pub(crate) fn decode_monitor(fields: Fields<'_>) -> Result<NewHealthMonitor, Refusal> {
    health_monitor::decode_inner(fields, MONITORS)
}

/// Weights do not count; none is shown.
const WEIGHT: Weight = Weight::of(1);

// ---- encode ----

/// The pool as answers show it.
pub(crate) fn encode(view: &View, pool: &Pool) -> Wire {
    let snapshot = &view.snapshot;
    Wire {
        id: pool.id.to_string(),
        name: pool.name.to_string(),
        description: pool.description.to_string(),
        project_id: pool.project.simple(),
        enterprise_project_id: answer::enterprise_project(pool.enterprise_project),
        protocol: pool::protocol(pool),
        lb_algorithm: pool::algorithm(pool),
        session_persistence: pool.stickiness.as_ref().map(stickiness::encode),
        member_tls: pool.member_tls.as_ref().map(member_tls::encode),
        member_proxy_protocol: pool.member_proxy_protocol.map(settings::proxy_protocol),
        connection_drain: settings::encode_drain(pool.drain),
        quic_cid_hash_strategy: pool.quic_cid_hash.map(settings::encode_quic_cid_hash),
        any_port_enable: pool.any_port,
        kind: pool::kind(pool),
        vpc_id: pool.network.map(|network| network.to_string()).unwrap_or_default(),
        ip_version: pool::ip_version(pool),
        public_border_group: PUBLIC_BORDER_GROUP,
        listeners: answer::refs(snapshot.listeners_reaching(pool.id).map(|listener| listener.id)),
        loadbalancers: answer::refs(load_balancers_of_pool(snapshot, pool)),
        members: snapshot.members_of(pool.id).map(|member| encode_member(view, member)).collect(),
        healthmonitor: snapshot.monitor_of(pool.id).map(|monitor| encode_monitor(monitor)),
        created_at: answer::time(pool.created_at),
        updated_at: answer::time(pool.updated_at),
    }
}

fn encode_member(view: &View, member: &Member) -> MemberWire {
    let status = member::status::encode(view, member);
    MemberWire {
        id: member.id.to_string(),
        name: member.name.to_string(),
        admin_state_up: member.admin_up,
        subnet_cidr_id: member.subnet.map(|subnet| subnet.to_string()),
        protocol_port: member::shown_port(member),
        address: member.address.to_string(),
        ip_version: member::ip_version(member),
        device_owner: "",
        device_id: "",
        operating_status: status.overall,
        reason: status.reason,
        member_type: member::member_type(member),
        instance_id: "",
        role: match member.role {
            Some(MemberRole::Master) | None => "master",
            Some(MemberRole::Slave) => "slave",
        },
        status: status.of_listeners,
    }
}

fn encode_monitor(monitor: &HealthMonitor) -> MonitorWire {
    let probe = &monitor.probe;
    MonitorWire {
        id: monitor.id.to_string(),
        name: monitor.name.to_string(),
        admin_state_up: monitor.admin_up,
        kind: health_monitor::kind(probe.kind),
        delay: probe.interval.value(),
        timeout: probe.timeout.value(),
        max_retries: probe.rise.value(),
        max_retries_down: probe.fall.value(),
        monitor_port: probe.port.map(model::Port::value),
        domain_name: probe.http.host.as_ref().map(|host| host.as_str().to_owned()),
        url_path: probe.http.path.as_str().to_owned(),
        http_method: probe.http.method.to_string(),
        expected_codes: probe.http.expected.as_str().to_owned(),
    }
}

// ---- list ----

/// What its list can be filtered by.
pub(crate) const FILTERS: &[Filter<View, Pool>] = &[
    Filter::text("description", |_, pool| one(&pool.description)),
    Filter::text("healthmonitor_id", |view, pool| {
        maybe(view.snapshot.monitor_of(pool.id).map(|monitor| monitor.id))
    }),
    Filter::text("id", |_, pool| one(pool.id)),
    Filter::text("name", |_, pool| one(&pool.name)),
    Filter::text("loadbalancer_id", |view, pool| each(load_balancers_of_pool(&view.snapshot, pool))),
    Filter::text("protocol", |_, pool| one(pool::protocol(pool))),
    Filter::text("lb_algorithm", |_, pool| one(pool::algorithm(pool))),
    Filter::text("enterprise_project_id", |_, pool| enterprise_project(pool.enterprise_project)),
    Filter::text("ip_version", |_, pool| one(pool::ip_version(pool))),
    Filter::text("member_address", |view, pool| {
        each(view.snapshot.members_of(pool.id).map(|member| member.address))
    }),
    Filter::text("member_device_id", |_, _| nothing()),
    Filter::text("listener_id", |view, pool| {
        each(view.snapshot.listeners_reaching(pool.id).map(|listener| listener.id))
    }),
    Filter::text("member_instance_id", |_, _| nothing()),
    Filter::text("vpc_id", |_, pool| one(pool.network.map(|id| id.to_string()).unwrap_or_default())),
    Filter::text("type", |_, pool| one(pool::kind(pool))),
    Filter::flag("connection_drain", |_, pool| one(pool.drain.unwrap_or_default().enabled)),
    Filter::text("public_border_group", |_, _| one(PUBLIC_BORDER_GROUP)),
];

// ---- operations ----

/// `GET …/master-slave-pools`.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::List)?;
    let all = view.snapshot.pools().values().map(AsRef::as_ref);
    let own = all.filter(|pool: &&Pool| pool.project == view.project && pool.standby).collect();
    call.page("pools", &view, FILTERS, |pool| pool.id, own, |pool| encode(&view, pool))
}

/// `POST …/master-slave-pools`.
pub(crate) async fn create(call: Call) -> Result<Response, Problem> {
    let new = decode_new(call.fields(WRAPPER)?)?;
    let made = control::standby_pool_create(call.control(), &call.caller, new).await?;
    Ok(call.one(StatusCode::CREATED, WRAPPER, encode(&call.now(), &made)))
}

/// `GET …/master-slave-pools/{pool_id}`.
pub(crate) async fn show(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::Get)?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(&view, view.standby_pool(call.id("pool_id")?)?)))
}

/// `DELETE …/master-slave-pools/{pool_id}`.
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    control::standby_pool_delete(call.control(), &call.caller, call.id("pool_id")?).await?;
    Ok(call.gone())
}

#[cfg(test)]
mod tests {
    use model::{MemberTls, ProxyVersion};
    use serde_json::{Value, json};

    use super::*;
    use crate::v3::fields::tests::read;

    const ID: &str = "0123abcd-0123-4567-89ab-0123456789ab";

    fn member(role: &str, address: &str) -> Value {
        json!({"address": address, "protocol_port": 80, "role": role, "subnet_cidr_id": ID})
    }

    fn new(more: Value) -> Result<NewStandbyPool, String> {
        let mut all = json!({
            "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "type": "instance", "vpc_id": ID,
            "members": [member("slave", "127.88.1.2"), member("master", "127.88.1.1")],
            "healthmonitor": {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 3},
        });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        read(all, decode_new)
    }

    #[test]
    fn it_is_read_whole() {
        let made =
            new(json!({"any_port_enable": false, "connection_drain": {"enable": true, "timeout": 10}}))
                .unwrap();
        assert_eq!(made.master.address.to_string(), "127.88.1.1", "roles count, not their order");
        assert_eq!(made.slave.address.to_string(), "127.88.1.2");
        assert_eq!(made.pool.drain.unwrap().timeout.value(), 10);
        assert_eq!((made.probe.kind, made.probe.rise.value()), (MonitorType::Tcp, 3));
        assert_eq!((made.pool.member_tls, made.pool.member_proxy_protocol), (None, None));
        let told = json!({"protocol": "TLS", "member_proxy_protocol": "v2", "member_tls": {"ca_certificate_id": ID}});
        let made = new(told).unwrap().pool;
        let authority = ID.parse().unwrap();
        assert_eq!(made.member_tls, Some(MemberTls { authority, server_name: None }));
        assert_eq!(made.member_proxy_protocol, Some(ProxyVersion::V2));
        for (why, more, field) in [
            ("a protocol of layer 7", json!({"protocol": "HTTP"}), "protocol"),
            ("no type", json!({"type": ""}), "type"),
            (
                "two masters",
                json!({"members": [member("master", "127.88.1.1"), member("master", "127.88.1.2")]}),
                "members",
            ),
            ("one member", json!({"members": [member("master", "127.88.1.1")]}), "members"),
            (
                "three members",
                json!({"members": [member("master", "1.1.1.1"), member("slave", "1.1.1.2"), member("slave", "1.1.1.3")]}),
                "members",
            ),
            (
                "no part",
                json!({"members": [{"address": "127.88.1.1", "protocol_port": 80}]}),
                "members[0].role",
            ),
            (
                "a weight",
                json!({"members": [{"address": "127.88.1.1", "protocol_port": 80, "role": "master", "weight": 1}]}),
                "members[0].weight",
            ),
            (
                "a probe that it cannot have",
                json!({"healthmonitor": {"type": "GRPC", "delay": 5, "timeout": 3, "max_retries": 3}}),
                "healthmonitor.type",
            ),
            ("no probe", json!({"healthmonitor": null}), "healthmonitor"),
            ("no authority", json!({"protocol": "TLS", "member_tls": {}}), "member_tls.ca_certificate_id"),
        ] {
            assert_eq!(new(more).map(drop), Err(field.to_owned()), "{why}");
        }
    }
}
