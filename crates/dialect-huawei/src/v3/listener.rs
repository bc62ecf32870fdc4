//! The listener in v3 words.

pub(crate) mod insert_headers;

use axum::response::Response;
use control::View;
use http::StatusCode;
use identity::Verb;
use model::{
    ConnectTimeout, ExchangeTimeout, IdleTimeout, Listener, ListenerPatch, ListenerProtocol, LoadBalancerId,
    NewListener, Patch, PoolId, Port, TargetOverride,
    listener::{DesyncMode, HttpService, InsertHeaders, InsertHeadersPatch, Service},
};
use serde::Serialize;

use crate::v3::{
    answer::{self, Ref, Tag},
    call::Call,
    errors::Problem,
    fields::{Fields, Harmless, Refusal},
    list::{Filter, each, either, enterprise_project, maybe, nothing, one},
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
    port_ranges: [(); 0],
    admin_state_up: bool,
    default_pool_id: Option<String>,
    default_tls_container_ref: Option<String>,
    client_ca_tls_container_ref: Option<String>,
    sni_container_refs: [(); 0],
    sni_match_algo: &'static str,
    tls_ciphers_policy: Option<String>,
    security_policy_id: Option<String>,
    ssl_early_data_enable: bool,
    http2_enable: bool,
    quic_config: Option<String>,
    insert_headers: insert_headers::Wire,
    enable_member_retry: bool,
    keepalive_timeout: u32,
    client_timeout: Option<u32>,
    member_timeout: Option<u32>,
    ipgroup: Option<String>,
    transparent_client_ip_enable: bool,
    proxy_protocol_enable: bool,
    enhance_l7policy_enable: bool,
    gzip_enable: bool,
    connection_limit: i32,
    connection: u32,
    cps: u32,
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
    ("UDP", None),
    ("HTTPS", None),
    ("TERMINATED_HTTPS", None),
    ("QUIC", None),
    ("TLS", None),
    ("IP", None),
];
/// Most connections, and most new ones per second, that a listener can be limited to.
const LIMIT_MAX: i64 = 1_000_000;
const TCP_IDLE_DEFAULT: IdleTimeout = IdleTimeout::of(300);
const HTTP_IDLE_DEFAULT: IdleTimeout = IdleTimeout::of(60);

/// The body of a create.
pub(crate) fn decode_new(mut fields: Fields<'_>) -> Result<NewListener, Refusal> {
    marks::project(&mut fields)?;
    fields.only_true("admin_state_up")?;
    decode_later(&mut fields)?;
    fields.later("port_ranges", Harmless::NoItems)?;
    let load_balancer = fields.id::<LoadBalancerId>("loadbalancer_id")?;
    let load_balancer = fields.required("loadbalancer_id", load_balancer)?;
    let protocol = fields.choice("protocol", PROTOCOLS)?;
    let protocol = fields.required("protocol", protocol)?;
    let port = fields.integer("protocol_port", 0..=65535)?;
    let port = match fields.required("protocol_port", port)? {
        0 => {
            return Err(fields.refuse(
                "protocol_port",
                "0 (port ranges) is not supported yet; give a port from 1 to 65535",
            ));
        }
        port => fields.typed::<_, Port>("protocol_port", port)?,
    };
    let layer = decode_layer(&mut fields, protocol)?;
    let new = NewListener {
        load_balancer,
        name: marks::name(&mut fields)?.unwrap_or_default(),
        description: marks::description(&mut fields)?.unwrap_or_default(),
        admin_up: true,
        port,
        default_pool: fields.nullable_id::<PoolId>("default_pool_id")?.into_option(),
        target: TargetOverride::default(),
        idle_timeout: layer.idle_timeout.unwrap_or(match protocol {
            ListenerProtocol::Tcp => TCP_IDLE_DEFAULT,
            ListenerProtocol::Http | ListenerProtocol::Https => HTTP_IDLE_DEFAULT,
        }),
        connect_timeout: NewListener::CONNECT_TIMEOUT_DEFAULT,
        transparent_client_ip: true,
        connections_max: limit(&mut fields, "connection")?.unwrap_or(0),
        connections_per_second_max: limit(&mut fields, "cps")?.unwrap_or(0),
        protection: marks::protection(&mut fields)?,
        tags: marks::tags(&mut fields)?,
        access: None,
        service: match protocol {
            ListenerProtocol::Tcp => Service::Tcp,
            ListenerProtocol::Http | ListenerProtocol::Https => Service::Http(HttpService {
                request_timeout: layer.request_timeout.unwrap_or(HttpService::EXCHANGE_TIMEOUT_DEFAULT),
                response_timeout: layer.response_timeout.unwrap_or(HttpService::EXCHANGE_TIMEOUT_DEFAULT),
                member_retry: layer.member_retry.unwrap_or(true),
                insert_headers: layer.insert_headers.unwrap_or_default().apply(InsertHeaders::default()),
                gzip: layer.gzip.unwrap_or(false),
                http2: layer.http2.unwrap_or(false),
                enhanced_policies: layer.enhanced_policies.unwrap_or(false),
                desync: DesyncMode::default(),
            }),
        },
    };
    fields.done()?;
    Ok(new)
}

/// Fixed at creation (behaviours.md section 4).
pub(crate) const FIXED: &[&str] =
    &["loadbalancer_id", "protocol", "protocol_port", "port_ranges", "tags", "project_id"];

/// The body of an update of a listener of that protocol.
pub(crate) fn decode_patch(
    mut fields: Fields<'_>,
    protocol: ListenerProtocol,
) -> Result<ListenerPatch, Refusal> {
    fields.fixed(FIXED)?;
    fields.only_true("admin_state_up")?;
    decode_later(&mut fields)?;
    let layer = decode_layer(&mut fields, protocol)?;
    let patch = ListenerPatch {
        name: marks::name(&mut fields)?,
        description: marks::description(&mut fields)?,
        admin_up: None,
        default_pool: fields.nullable_id::<PoolId>("default_pool_id")?,
        idle_timeout: layer.idle_timeout,
        connect_timeout: None::<ConnectTimeout>,
        request_timeout: layer.request_timeout,
        response_timeout: layer.response_timeout,
        member_retry: layer.member_retry,
        insert_headers: layer.insert_headers,
        gzip: layer.gzip,
        http2: layer.http2,
        enhanced_policies: layer.enhanced_policies,
        transparent_client_ip: None,
        connections_max: limit(&mut fields, "connection")?,
        connections_per_second_max: limit(&mut fields, "cps")?,
        protection: marks::protection_patch(&mut fields)?,
        ..ListenerPatch::default()
    };
    fields.done()?;
    Ok(patch)
}

/// Fields of features that are not built, the same in create and update.
fn decode_later(fields: &mut Fields<'_>) -> Result<(), Refusal> {
    fields.later("default_tls_container_ref", Harmless::Empty)?;
    fields.later("client_ca_tls_container_ref", Harmless::Empty)?;
    fields.later("sni_container_refs", Harmless::NoItems)?;
    fields.later("sni_match_algo", Harmless::Default(SNI_MATCH_DEFAULT))?;
    fields.later("tls_ciphers_policy", Harmless::Default("tls-1-2"))?;
    fields.later("security_policy_id", Harmless::Empty)?;
    fields.later("ssl_early_data_enable", Harmless::Off)?;
    fields.later("quic_config", Harmless::NoFields)?;
    fields.later("ipgroup", Harmless::NoFields)?;
    fields.later("proxy_protocol_enable", Harmless::Off)?;
    fields.later("nat64_enable", Harmless::Off)?;
    // Load balancers of this kind are documented to know only true.
    fields.only_true("transparent_client_ip_enable")
}

/// What depends on the protocol; what the protocol does not have is none.
#[derive(Default)]
struct Layer {
    idle_timeout: Option<IdleTimeout>,
    request_timeout: Option<ExchangeTimeout>,
    response_timeout: Option<ExchangeTimeout>,
    member_retry: Option<bool>,
    insert_headers: Option<InsertHeadersPatch>,
    gzip: Option<bool>,
    http2: Option<bool>,
    enhanced_policies: Option<bool>,
}

fn decode_layer(fields: &mut Fields<'_>, protocol: ListenerProtocol) -> Result<Layer, Refusal> {
    let shortest_idle = match protocol {
        ListenerProtocol::Tcp => 10,
        ListenerProtocol::Http | ListenerProtocol::Https => 0,
    };
    let idle = fields.integer("keepalive_timeout", shortest_idle..=4000)?;
    let layer = Layer {
        idle_timeout: idle.map(|seconds| fields.typed("keepalive_timeout", seconds)).transpose()?,
        request_timeout: exchange_timeout(fields, "client_timeout")?,
        response_timeout: exchange_timeout(fields, "member_timeout")?,
        member_retry: fields.flag("enable_member_retry")?,
        insert_headers: insert_headers::decode(fields)?,
        gzip: fields.flag("gzip_enable")?,
        http2: fields.flag("http2_enable")?,
        enhanced_policies: fields.flag("enhance_l7policy_enable")?,
    };
    match protocol {
        ListenerProtocol::Http | ListenerProtocol::Https => Ok(layer),
        ListenerProtocol::Tcp => {
            let misplaced = [
                ("client_timeout", layer.request_timeout.is_some()),
                ("member_timeout", layer.response_timeout.is_some()),
                ("enable_member_retry", layer.member_retry == Some(false)),
                (
                    "insert_headers",
                    layer.insert_headers.as_ref().is_some_and(insert_headers::changes_a_request),
                ),
                ("gzip_enable", layer.gzip == Some(true)),
                ("enhance_l7policy_enable", layer.enhanced_policies == Some(true)),
            ];
            match misplaced.iter().find(|(_, misplaced)| *misplaced) {
                Some((name, _)) => {
                    Err(fields.refuse(name, "only HTTP listeners have this setting; leave it out"))
                }
                None => Ok(Layer { idle_timeout: layer.idle_timeout, ..Layer::default() }),
            }
        }
    }
}

/// Null means the default, as the documents say of these two fields.
fn exchange_timeout(fields: &mut Fields<'_>, name: &str) -> Result<Option<ExchangeTimeout>, Refusal> {
    // The vendor's documents print both 300 and 3600 as the longest; the wider one is taken (open-questions.md row 12).
    match fields.nullable_integer(name, 1..=3600)? {
        Patch::Keep => Ok(None),
        Patch::Clear => Ok(Some(HttpService::EXCHANGE_TIMEOUT_DEFAULT)),
        Patch::Set(seconds) => fields.typed(name, seconds).map(Some),
    }
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
        protocol_port: listener.port.value(),
        port_ranges: [],
        admin_state_up: listener.admin_up,
        default_pool_id: listener.default_pool.map(|pool| pool.to_string()),
        default_tls_container_ref: None,
        client_ca_tls_container_ref: None,
        sni_container_refs: [],
        sni_match_algo: SNI_MATCH_DEFAULT,
        tls_ciphers_policy: None,
        security_policy_id: None,
        ssl_early_data_enable: false,
        http2_enable: http.is_some_and(|http| http.http2),
        quic_config: None,
        insert_headers: insert_headers::encode(http.map(|http| &http.insert_headers)),
        enable_member_retry: member_retry(listener),
        keepalive_timeout: listener.idle_timeout.value(),
        client_timeout: http.map(|http| http.request_timeout.value()),
        member_timeout: http.map(|http| http.response_timeout.value()),
        ipgroup: None,
        transparent_client_ip_enable: listener.transparent_client_ip,
        proxy_protocol_enable: false,
        enhance_l7policy_enable: http.is_some_and(|http| http.enhanced_policies),
        gzip_enable: http.is_some_and(|http| http.gzip),
        connection_limit: CONNECTION_LIMIT,
        connection: listener.connections_max,
        cps: listener.connections_per_second_max,
        nat64_enable: false,
        protection_status,
        protection_reason,
        tags: answer::tags(&listener.tags),
        created_at: answer::time(listener.created_at),
        updated_at: answer::time(listener.updated_at),
    }
}

const SNI_MATCH_DEFAULT: &str = "wildcard";
/// No limit; the field is obsolete.
const CONNECTION_LIMIT: i32 = -1;

fn protocol(protocol: ListenerProtocol) -> &'static str {
    match protocol {
        ListenerProtocol::Tcp => "TCP",
        ListenerProtocol::Http => "HTTP",
        ListenerProtocol::Https => "HTTPS",
    }
}

/// Listeners that know no retry show the default.
fn member_retry(listener: &Listener) -> bool {
    listener.http().is_none_or(|http| http.member_retry)
}

// ---- list ----

/// What its list can be filtered by.
pub(crate) const FILTERS: &[Filter<View, Listener>] = &[
    Filter::text("id", |_, listener| one(listener.id)),
    Filter::text("name", |_, listener| one(&listener.name)),
    Filter::text("description", |_, listener| one(&listener.description)),
    Filter::text("protocol", |_, listener| one(protocol(listener.protocol()))),
    Filter::text("protocol_port", |_, listener| one(listener.port)),
    Filter::text("default_tls_container_ref", |_, _| nothing()),
    Filter::text("client_ca_tls_container_ref", |_, _| nothing()),
    Filter::flag("admin_state_up", |_, listener| one(listener.admin_up)),
    Filter::flag("include_recycle_bin", |_, _| either()),
    Filter::integer("connection_limit", |_, _| one(CONNECTION_LIMIT)),
    Filter::text("default_pool_id", |_, listener| maybe(listener.default_pool)),
    Filter::flag("http2_enable", |_, listener| one(listener.http().is_some_and(|http| http.http2))),
    Filter::text("loadbalancer_id", |_, listener| one(listener.load_balancer)),
    Filter::text("tls_ciphers_policy", |_, _| nothing()),
    Filter::text("member_address", |view, listener| {
        let members = listener.default_pool.map(|pool| view.snapshot.members_of(pool));
        each(members.into_iter().flatten().map(|member| member.address))
    }),
    Filter::text("member_device_id", |_, _| nothing()),
    Filter::text("member_instance_id", |_, _| nothing()),
    Filter::text("enterprise_project_id", |_, listener| enterprise_project(listener.enterprise_project)),
    Filter::flag("enable_member_retry", |_, listener| one(member_retry(listener))),
    Filter::integer("client_timeout", |_, listener| maybe(listener.http().map(|http| http.request_timeout))),
    Filter::integer("member_timeout", |_, listener| maybe(listener.http().map(|http| http.response_timeout))),
    Filter::integer("keepalive_timeout", |_, listener| one(listener.idle_timeout)),
    Filter::flag("transparent_client_ip_enable", |_, listener| one(listener.transparent_client_ip)),
    Filter::flag("proxy_protocol_enable", |_, _| one(false)),
    Filter::flag("enhance_l7policy_enable", |_, listener| {
        one(listener.http().is_some_and(|http| http.enhanced_policies))
    }),
    Filter::text("protection_status", |_, listener| one(answer::protection(&listener.protection).0)),
    Filter::flag("ssl_early_data_enable", |_, _| one(false)),
    Filter::flag("nat64_enable", |_, _| one(false)),
];

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
    let protocol = call.now().listener(id)?.protocol();
    let patch = decode_patch(call.fields(WRAPPER)?, protocol)?;
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

#[cfg(test)]
mod tests {
    use model::listener::ForwardedFor;
    use serde_json::{Value, json};

    use super::*;
    use crate::v3::fields::tests::read;

    const ID: &str = "0123abcd-0123-4567-89ab-0123456789ab";

    fn new(protocol: &str, field: &str, value: Value) -> Result<NewListener, String> {
        let mut content = json!({"loadbalancer_id": ID, "protocol": protocol, "protocol_port": 80});
        content[field] = value;
        read(content, decode_new)
    }

    #[test]
    fn defaults_depend_on_the_protocol() {
        let http = new("HTTP", "name", json!("x")).unwrap();
        assert_eq!(http.idle_timeout, IdleTimeout::of(60));
        let Service::Http(service) = http.service else { panic!("an HTTP listener") };
        assert_eq!(
            (service.request_timeout, service.response_timeout),
            (ExchangeTimeout::of(60), ExchangeTimeout::of(60))
        );
        assert!(service.member_retry && !service.gzip && !service.http2 && !service.enhanced_policies);
        assert_eq!(service.insert_headers, InsertHeaders::default());
        let tcp = new("TCP", "name", json!("x")).unwrap();
        assert_eq!((tcp.idle_timeout, tcp.service), (IdleTimeout::of(300), Service::Tcp));
        assert!(tcp.transparent_client_ip && tcp.admin_up);
    }

    #[test]
    fn settings_belong_to_a_protocol() {
        for (why, protocol, field, value, fits) in [
            ("HTTP may close after each answer", "HTTP", "keepalive_timeout", json!(0), true),
            ("TCP idles for 10 s at least", "TCP", "keepalive_timeout", json!(9), false),
            ("TCP idles for 10 s at least", "TCP", "keepalive_timeout", json!(10), true),
            ("the longest request timeout", "HTTP", "client_timeout", json!(3600), true),
            ("null is the default", "HTTP", "client_timeout", json!(null), true),
            ("TCP has no requests", "TCP", "client_timeout", json!(60), false),
            ("TCP has no responses", "TCP", "member_timeout", json!(60), false),
            ("the default may be said", "TCP", "enable_member_retry", json!(true), true),
            ("TCP has no retry to switch off", "TCP", "enable_member_retry", json!(false), false),
            ("TCP has no headers", "TCP", "insert_headers", json!({"X-Real-IP": true}), false),
            ("nothing asked, nothing refused", "TCP", "insert_headers", json!({"X-Real-IP": false}), true),
            ("TCP has no policies", "TCP", "enhance_l7policy_enable", json!(true), false),
            ("TCP is not compressed", "TCP", "gzip_enable", json!(true), false),
            ("documented as without effect", "TCP", "http2_enable", json!(true), true),
            ("port ranges come later", "TCP", "protocol_port", json!(0), false),
            ("only true", "TCP", "transparent_client_ip_enable", json!(false), false),
            ("only true", "HTTP", "admin_state_up", json!(false), false),
        ] {
            let expect = if fits { Ok(()) } else { Err(field.to_owned()) };
            assert_eq!(new(protocol, field, value.clone()).map(drop), expect, "{why}: {field} {value}");
        }
    }

    #[test]
    fn headers_about_tls_need_tls() {
        for (content, expect) in [
            (json!({"X-Forwarded-TLS-Protocol": false, "X-Forwarded-Tls-Sni-enable": false}), Ok(())),
            (json!({"X-Forwarded-TLS-Protocol": true}), Err("insert_headers.X-Forwarded-TLS-Protocol")),
            (json!({"X-Forwarded-Tls-Ja4-enable": true}), Err("insert_headers.X-Forwarded-Tls-Ja4-enable")),
            (json!({"X-Forwarded-TLS-Protocol-alias": "x-tls_1"}), Ok(())),
            (
                json!({"X-Forwarded-TLS-Protocol-alias": "x tls"}),
                Err("insert_headers.X-Forwarded-TLS-Protocol-alias"),
            ),
            (
                json!({"X-Forwarded-TLS-Protocol-alias": ""}),
                Err("insert_headers.X-Forwarded-TLS-Protocol-alias"),
            ),
            (json!({"X-Forwarded-Port": "true"}), Err("insert_headers.X-Forwarded-Port")),
            (json!({"X-Forwarded-Unheard-Of": true}), Err("insert_headers.X-Forwarded-Unheard-Of")),
        ] {
            let read = new("HTTP", "insert_headers", content.clone()).map(drop);
            assert_eq!(read, expect.map_err(str::to_owned), "{content}");
        }
        let headers = json!({"X-Forwarded-Host": false, "X-Forwarded-Port": true, "X-Forwarded-For-Processing-Mode": "remove"});
        let Service::Http(service) = new("HTTP", "insert_headers", headers).unwrap().service else {
            panic!()
        };
        let expect = InsertHeaders {
            forwarded_host: false,
            forwarded_port: true,
            forwarded_for: ForwardedFor::Remove,
            ..Default::default()
        };
        assert_eq!(service.insert_headers, expect, "what is not named keeps its default");
    }

    #[test]
    fn an_update_tells_absent_null_and_a_value_apart() {
        let patch = |content| read(content, |fields| decode_patch(fields, ListenerProtocol::Http)).unwrap();
        assert_eq!(patch(json!({})).default_pool, Patch::Keep);
        assert_eq!(patch(json!({"default_pool_id": null})).default_pool, Patch::Clear);
        assert_eq!(patch(json!({"default_pool_id": ID})).default_pool, Patch::Set(ID.parse().unwrap()));
        let said = patch(
            json!({"client_timeout": null, "connection": 5, "insert_headers": {"X-Forwarded-Port": true}}),
        );
        assert_eq!(said.request_timeout, Some(HttpService::EXCHANGE_TIMEOUT_DEFAULT), "null is the default");
        assert_eq!((said.connections_max, said.connections_per_second_max), (Some(5), None));
        assert_eq!(said.insert_headers.as_ref().unwrap().forwarded_port, Some(true));
        assert_eq!(said.insert_headers.unwrap().forwarded_host, None);
    }
}
