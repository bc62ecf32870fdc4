//! The listener in v3 words.

pub(crate) mod access;
mod filters;
mod insert_headers;
mod layer;
pub(crate) mod layer4;
#[cfg(test)]
pub(crate) mod tests;
mod tls;

pub(crate) use filters::FILTERS;

use axum::response::Response;
use http::StatusCode;
use identity::Verb;
use model::{
    FlavorLayer, IdleTimeout, Listener, ListenerPatch, ListenerProtocol, LoadBalancerId, NewListener, PoolId,
    TargetOverride,
    listener::{HttpsService, QuicService, Service},
};
use serde::Serialize;

use crate::v3::{
    answer::{self, Ref, Tag},
    call::Call,
    errors::Problem,
    fields::{Fields, Harmless, Refusal},
    marks,
};

const WRAPPER: &str = "listener";
const RESOURCE: &str = "listeners";

// ---- wire ----

/// A listener as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    id: String,
    name: String,
    description: String,
    project_id: String,
    enterprise_project_id: String,
    loadbalancers: Vec<Ref>,
    protocol: &'static str,
    protocol_port: u16,
    port_ranges: Vec<layer4::Range>,
    admin_state_up: bool,
    default_pool_id: Option<String>,
    default_tls_container_ref: Option<String>,
    client_ca_tls_container_ref: Option<String>,
    sni_container_refs: Vec<String>,
    sni_match_algo: &'static str,
    tls_ciphers_policy: Option<&'static str>,
    security_policy_id: Option<String>,
    ssl_early_data_enable: bool,
    http2_enable: bool,
    quic_config: Option<layer4::QuicConfig>,
    insert_headers: insert_headers::Wire,
    enable_member_retry: bool,
    keepalive_timeout: u32,
    client_timeout: Option<u32>,
    member_timeout: Option<u32>,
    ipgroup: Option<access::Wire>,
    transparent_client_ip_enable: bool,
    proxy_protocol_enable: bool,
    /// Ours.
    proxy_protocol_accept: Option<layer4::Accept>,
    enhance_l7policy_enable: bool,
    gzip_enable: bool,
    /// Ours.
    desync_mode: Option<&'static str>,
    connection_limit: i32,
    connection: u32,
    cps: u32,
    /// Ours.
    bandwidth: u64,
    nat64_enable: bool,
    protection_status: &'static str,
    protection_reason: String,
    tags: Vec<Tag>,
    created_at: String,
    updated_at: String,
}

// ---- decode ----

const PROTOCOLS: &[(&str, Option<ListenerProtocol>)] = &[
    ("TCP", Some(ListenerProtocol::Tcp)),
    ("HTTP", Some(ListenerProtocol::Http)),
    ("UDP", Some(ListenerProtocol::Udp)),
    ("HTTPS", Some(ListenerProtocol::Https)),
    // The name that load balancers of the other kind have for it; here it is stored as HTTPS.
    ("TERMINATED_HTTPS", Some(ListenerProtocol::Https)),
    ("QUIC", Some(ListenerProtocol::Quic)),
    ("TLS", Some(ListenerProtocol::Tls)),
    // Of load balancers that are gateways; there are none here.
    ("IP", None),
];
/// Most connections, and most new ones per second, that a listener can be limited to.
const LIMIT_MAX: i64 = 1_000_000;
const LAYER4_IDLE_DEFAULT: IdleTimeout = IdleTimeout::of(300);
const LAYER7_IDLE_DEFAULT: IdleTimeout = IdleTimeout::of(60);

/// The body of a create.
pub(crate) fn decode_new(mut fields: Fields<'_>) -> Result<NewListener, Refusal> {
    marks::project(&mut fields)?;
    fields.only_true("admin_state_up")?;
    decode_later(&mut fields)?;
    let load_balancer = fields.id::<LoadBalancerId>("loadbalancer_id")?;
    let load_balancer = fields.required("loadbalancer_id", load_balancer)?;
    let protocol = fields.choice("protocol", PROTOCOLS)?;
    let protocol = fields.required("protocol", protocol)?;
    let layer = layer::decode(&mut fields, protocol)?;
    let tls = tls::decode(&mut fields, protocol)?;
    let new = NewListener {
        load_balancer,
        name: marks::name(&mut fields)?.unwrap_or_default(),
        description: marks::description(&mut fields)?.unwrap_or_default(),
        admin_up: true,
        ports: layer4::decode_ports(&mut fields)?,
        default_pool: fields.nullable_id::<PoolId>("default_pool_id")?.into_option(),
        target: TargetOverride {
            member_proxy_protocol: layer4::decode_proxy_sent(&mut fields, protocol)?.into_option(),
            ..TargetOverride::default()
        },
        idle_timeout: layer.idle_timeout.unwrap_or(match protocol.layer() {
            FlavorLayer::L4 => LAYER4_IDLE_DEFAULT,
            FlavorLayer::L7 => LAYER7_IDLE_DEFAULT,
        }),
        connect_timeout: NewListener::CONNECT_TIMEOUT_DEFAULT,
        transparent_client_ip: true,
        connections_max: limit(&mut fields, "connection")?.unwrap_or(0),
        connections_per_second_max: limit(&mut fields, "cps")?.unwrap_or(0),
        bits_per_second_max: layer4::decode_bandwidth(&mut fields)?.unwrap_or(0),
        proxy_accept: layer4::decode_proxy_accept(&mut fields)?.into_option(),
        access: access::decode(&mut fields, None)?.into_option(),
        protection: marks::protection(&mut fields)?,
        tags: marks::tags(&mut fields)?,
        service: match protocol {
            ListenerProtocol::Tcp => Service::Tcp,
            ListenerProtocol::Udp => Service::Udp,
            ListenerProtocol::Tls => Service::Tls(Box::new(tls.into_service(&fields)?)),
            ListenerProtocol::Http => Service::Http(layer.into_http(false)),
            ListenerProtocol::Quic => Service::Quic(Box::new(QuicService {
                http: layer.into_http(true),
                tls: tls.into_service(&fields)?,
            })),
            ListenerProtocol::Https => Service::Https(Box::new(HttpsService {
                http: layer.into_http(false),
                tls: tls.into_service(&fields)?,
                quic: layer4::decode_quic(&mut fields, None)?.into_option(),
            })),
        },
    };
    fields.done()?;
    Ok(new)
}

/// Fixed at creation (behaviours.md section 4).
pub(crate) const FIXED: &[&str] =
    &["loadbalancer_id", "protocol", "protocol_port", "port_ranges", "tags", "project_id"];

/// The body of an update of that listener; what the body leaves open inside a setting stays as the listener has it.
pub(crate) fn decode_patch(mut fields: Fields<'_>, listener: &Listener) -> Result<ListenerPatch, Refusal> {
    fields.fixed(FIXED)?;
    fields.only_true("admin_state_up")?;
    decode_later(&mut fields)?;
    let layer = layer::decode(&mut fields, listener.protocol())?;
    let tls = tls::decode(&mut fields, listener.protocol())?;
    let patch = ListenerPatch {
        name: marks::name(&mut fields)?,
        description: marks::description(&mut fields)?,
        admin_up: None,
        default_pool: fields.nullable_id::<PoolId>("default_pool_id")?,
        idle_timeout: layer.idle_timeout,
        connect_timeout: None,
        request_timeout: layer.request_timeout,
        response_timeout: layer.response_timeout,
        member_retry: layer.member_retry,
        insert_headers: layer.insert_headers,
        gzip: layer.gzip,
        http2: layer.http2,
        enhanced_policies: layer.enhanced_policies,
        desync: layer.desync,
        certificate: tls.certificate,
        sni_certificates: tls.sni_certificates,
        sni_match: tls.sni_match,
        client_ca: tls.client_ca,
        system_policy: tls.system_policy,
        security_policy: tls.security_policy,
        early_data: tls.early_data,
        quic: layer4::decode_quic(&mut fields, listener.quic_upgrade())?,
        access: access::decode(&mut fields, listener.access.as_ref())?,
        transparent_client_ip: None,
        connections_max: limit(&mut fields, "connection")?,
        connections_per_second_max: limit(&mut fields, "cps")?,
        bits_per_second_max: layer4::decode_bandwidth(&mut fields)?,
        proxy_accept: layer4::decode_proxy_accept(&mut fields)?,
        member_proxy_protocol: layer4::decode_proxy_sent(&mut fields, listener.protocol())?,
        protection: marks::protection_patch(&mut fields)?,
    };
    fields.done()?;
    Ok(patch)
}

/// Fields of features that are not built, the same in create and update.
fn decode_later(fields: &mut Fields<'_>) -> Result<(), Refusal> {
    fields.later("nat64_enable", Harmless::Off)?;
    // Load balancers of this kind are documented to know only true.
    fields.only_true("transparent_client_ip_enable")
}

fn limit(fields: &mut Fields<'_>, name: &str) -> Result<Option<u32>, Refusal> {
    let limit = fields.integer(name, 0..=LIMIT_MAX)?;
    limit.map(|limit| fields.typed(name, limit)).transpose()
}

// ---- encode ----

/// The listener as answers show it.
pub(crate) fn encode(listener: &Listener) -> Wire {
    let (protection_status, protection_reason) = answer::protection(&listener.protection);
    let http = listener.http();
    Wire {
        id: listener.id.to_string(),
        name: listener.name.to_string(),
        description: listener.description.to_string(),
        project_id: listener.project.simple(),
        enterprise_project_id: answer::enterprise_project(listener.enterprise_project),
        loadbalancers: answer::refs([listener.load_balancer]),
        protocol: protocol(listener.protocol()),
        protocol_port: layer4::port(listener),
        port_ranges: layer4::port_ranges(listener),
        admin_state_up: listener.admin_up,
        default_pool_id: listener.default_pool.map(|pool| pool.to_string()),
        default_tls_container_ref: tls::certificate(listener),
        client_ca_tls_container_ref: tls::client_ca(listener),
        sni_container_refs: tls::sni_certificates(listener),
        sni_match_algo: tls::sni_match(listener),
        tls_ciphers_policy: tls::system_policy_name(listener),
        security_policy_id: tls::security_policy(listener),
        ssl_early_data_enable: tls::early_data(listener),
        http2_enable: http.is_some_and(|http| http.http2),
        quic_config: layer4::quic(listener),
        insert_headers: insert_headers::encode(http.map(|http| &http.insert_headers), listener.protocol()),
        enable_member_retry: member_retry(listener),
        keepalive_timeout: listener.idle_timeout.value(),
        client_timeout: http.map(|http| http.request_timeout.value()),
        member_timeout: http.map(|http| http.response_timeout.value()),
        ipgroup: listener.access.as_ref().map(access::encode),
        transparent_client_ip_enable: listener.transparent_client_ip,
        proxy_protocol_enable: layer4::proxy_sent(listener),
        proxy_protocol_accept: layer4::proxy_accept(listener),
        enhance_l7policy_enable: http.is_some_and(|http| http.enhanced_policies),
        gzip_enable: http.is_some_and(|http| http.gzip),
        desync_mode: http.map(|http| layer::desync_mode(http.desync)),
        connection_limit: CONNECTION_LIMIT,
        connection: listener.connections_max,
        cps: listener.connections_per_second_max,
        bandwidth: layer4::bandwidth(listener.bits_per_second_max),
        nat64_enable: false,
        protection_status,
        protection_reason,
        tags: answer::tags(&listener.tags),
        created_at: answer::time(listener.created_at),
        updated_at: answer::time(listener.updated_at),
    }
}

/// No limit; the field is obsolete.
const CONNECTION_LIMIT: i32 = -1;

fn protocol(protocol: ListenerProtocol) -> &'static str {
    match protocol {
        ListenerProtocol::Tcp => "TCP",
        ListenerProtocol::Udp => "UDP",
        ListenerProtocol::Tls => "TLS",
        ListenerProtocol::Quic => "QUIC",
        ListenerProtocol::Http => "HTTP",
        ListenerProtocol::Https => "HTTPS",
    }
}

/// Listeners that know no retry show the default.
fn member_retry(listener: &Listener) -> bool {
    listener.http().is_none_or(|http| http.member_retry)
}

// ---- operations ----

/// `GET …/listeners`.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::List)?;
    let all = view.snapshot.listeners().values().map(AsRef::as_ref);
    let own = all.filter(|listener: &&Listener| listener.project == view.project).collect();
    call.page(RESOURCE, &view, FILTERS, |listener| listener.id, own, encode)
}

/// `POST …/listeners`.
pub(crate) async fn create(call: Call) -> Result<Response, Problem> {
    let new = decode_new(call.fields(WRAPPER)?)?;
    let made = control::listener_create(call.control(), &call.caller, new).await?;
    Ok(call.one(StatusCode::CREATED, WRAPPER, encode(&made)))
}

/// `GET …/listeners/{listener_id}`.
pub(crate) async fn show(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::Get)?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(view.listener(call.id("listener_id")?)?)))
}

/// `PUT …/listeners/{listener_id}`.
pub(crate) async fn update(call: Call) -> Result<Response, Problem> {
    let id = call.id("listener_id")?;
    let patch = decode_patch(call.fields(WRAPPER)?, call.now().listener(id)?)?;
    let changed = control::listener_update(call.control(), &call.caller, id, patch).await?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(&changed)))
}

/// `DELETE …/listeners/{listener_id}`.
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    control::listener_delete(call.control(), &call.caller, call.id("listener_id")?).await?;
    Ok(call.gone())
}

/// `DELETE …/listeners/{listener_id}/force`.
pub(crate) async fn delete_force(call: Call) -> Result<Response, Problem> {
    control::listener_delete_force(call.control(), &call.caller, call.id("listener_id")?).await?;
    Ok(call.gone())
}
