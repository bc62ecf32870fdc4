//! How listeners are read and shown, row by row.

use model::{
    ExchangeTimeout, Patch,
    listener::{
        AccessControl, AccessMode, DesyncMode, ForwardedFor, HttpService, InsertHeaders, SniMatch, TlsHeader,
    },
};
use serde_json::{Value, json};

use super::*;
use crate::v3::fields::tests::read;

const ID: &str = "0123abcd-0123-4567-89ab-0123456789ab";

fn new(protocol: &str, field: &str, value: Value) -> Result<NewListener, String> {
    let mut content = json!({"loadbalancer_id": ID, "protocol": protocol, "protocol_port": 80});
    if protocol == "HTTPS" || protocol == "TERMINATED_HTTPS" {
        content["default_tls_container_ref"] = json!(ID);
    }
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
        ("TCP has no requests that could be odd", "TCP", "desync_mode", json!("monitor"), false),
        ("a word that is known", "HTTP", "desync_mode", json!("strictest"), true),
        ("a word that is not known", "HTTP", "desync_mode", json!("off"), false),
        ("HTTP has no certificate", "HTTP", "default_tls_container_ref", json!(ID), false),
        ("nothing asked, nothing refused", "HTTP", "sni_container_refs", json!([]), true),
        ("HTTP has no early data", "HTTP", "ssl_early_data_enable", json!(true), false),
        ("an authority", "HTTPS", "client_ca_tls_container_ref", json!(ID), true),
        ("a policy of the system", "HTTPS", "tls_ciphers_policy", json!("tls-1-2-fs"), true),
        ("no policy of the system", "HTTPS", "tls_ciphers_policy", json!("tls-9"), false),
        ("a policy of the project", "HTTPS", "security_policy_id", json!(ID), true),
        ("early data", "HTTPS", "ssl_early_data_enable", json!(true), true),
        ("a mode that is not known", "HTTPS", "sni_match_algo", json!("first"), false),
        ("the certificate cannot be empty", "HTTPS", "default_tls_container_ref", json!(""), false),
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
        (json!({"X-Forwarded-TLS-Protocol-alias": ""}), Err("insert_headers.X-Forwarded-TLS-Protocol-alias")),
        (json!({"X-Forwarded-Port": "true"}), Err("insert_headers.X-Forwarded-Port")),
        (json!({"X-Forwarded-Unheard-Of": true}), Err("insert_headers.X-Forwarded-Unheard-Of")),
    ] {
        let read = new("HTTP", "insert_headers", content.clone()).map(drop);
        assert_eq!(read, expect.map_err(str::to_owned), "{content}");
    }
    let headers = json!({"X-Forwarded-Host": false, "X-Forwarded-Port": true, "X-Forwarded-For-Processing-Mode": "remove"});
    let Service::Http(service) = new("HTTP", "insert_headers", headers).unwrap().service else { panic!() };
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
    let patch =
        |content| read(content, |fields| decode_patch(fields, &listener(ListenerProtocol::Http))).unwrap();
    assert_eq!(patch(json!({})).default_pool, Patch::Keep);
    assert_eq!(patch(json!({"default_pool_id": null})).default_pool, Patch::Clear);
    assert_eq!(patch(json!({"default_pool_id": ID})).default_pool, Patch::Set(ID.parse().unwrap()));
    let said =
        patch(json!({"client_timeout": null, "connection": 5, "insert_headers": {"X-Forwarded-Port": true}}));
    assert_eq!(said.request_timeout, Some(HttpService::EXCHANGE_TIMEOUT_DEFAULT), "null is the default");
    assert_eq!((said.connections_max, said.connections_per_second_max), (Some(5), None));
    assert_eq!(said.insert_headers.as_ref().unwrap().forwarded_port, Some(true));
    assert_eq!(said.insert_headers.unwrap().forwarded_host, None);
}

/// A listener of that protocol with nothing set.
pub(crate) fn listener(protocol: ListenerProtocol) -> Listener {
    let new = new(super::protocol(protocol), "name", json!("x")).unwrap();
    Listener {
        id: ID.parse().unwrap(),
        project: model::ProjectId::new(uuid::Uuid::from_u128(1)),
        load_balancer: new.load_balancer,
        name: new.name,
        description: new.description,
        admin_up: new.admin_up,
        ports: new.ports,
        service: new.service,
        default_pool: new.default_pool,
        target: new.target,
        idle_timeout: new.idle_timeout,
        connect_timeout: new.connect_timeout,
        transparent_client_ip: new.transparent_client_ip,
        connections_max: new.connections_max,
        connections_per_second_max: new.connections_per_second_max,
        bits_per_second_max: new.bits_per_second_max,
        proxy_accept: new.proxy_accept,
        access: new.access,
        protection: new.protection,
        enterprise_project: None,
        tags: new.tags,
        created_at: Default::default(),
        updated_at: Default::default(),
    }
}

#[test]
fn an_https_listener_has_a_certificate_and_the_documented_defaults() {
    for protocol in ["HTTPS", "TERMINATED_HTTPS"] {
        let new = new(protocol, "name", json!("x")).unwrap();
        assert_eq!(new.idle_timeout, IdleTimeout::of(60));
        let Service::Https(service) = new.service else { panic!("{protocol} is stored as HTTPS") };
        assert_eq!(service.tls.certificate, ID.parse().unwrap());
        assert_eq!(service.tls.system_policy.as_str(), "tls-1-2");
        assert_eq!((service.tls.sni_match, service.http.desync), (SniMatch::Wildcard, DesyncMode::Defensive));
        assert!(service.tls.sni_certificates.is_empty() && service.tls.client_ca.is_none());
        assert!(!service.tls.early_data && service.tls.security_policy.is_none() && !service.http.http2);
    }
    let none = json!({"loadbalancer_id": ID, "protocol": "HTTPS", "protocol_port": 443});
    assert_eq!(read(none, decode_new).map(drop), Err("default_tls_container_ref".to_owned()));
}

#[test]
fn https_listeners_write_headers_about_tls_under_names_of_the_callers_choice() {
    let said = json!({
        "X-Forwarded-TLS-Protocol": true,
        "X-Forwarded-TLS-Protocol-alias": "x-tls",
        "X-Forwarded-Tls-Ja4-enable": true,
        "X-Forwarded-Clientcert-alias": "x-cert",
    });
    let Service::Https(service) = new("HTTPS", "insert_headers", said).unwrap().service else { panic!() };
    let tls = &service.http.insert_headers.tls;
    let shown = |header| tls.get(&header).map(|switch| (switch.enabled, switch.alias.as_deref()));
    assert_eq!(shown(TlsHeader::Protocol), Some((true, Some("x-tls"))));
    assert_eq!(shown(TlsHeader::Ja4), Some((true, None)));
    assert_eq!(shown(TlsHeader::ClientCertificate), Some((false, Some("x-cert"))));
    assert_eq!(shown(TlsHeader::Sni), None);
    let wire = serde_json::to_value(insert_headers::encode(
        Some(&service.http.insert_headers),
        ListenerProtocol::Https,
    ))
    .unwrap();
    assert_eq!(wire["X-Forwarded-TLS-Protocol"], json!(true));
    assert_eq!(wire["X-Forwarded-TLS-Protocol-alias"], json!("x-tls"));
    assert_eq!(wire["X-Forwarded-Tls-Sni-enable"], json!(false));
    assert_eq!(wire["X-Forwarded-Tls-Sni-alias"], Value::Null);
}

#[test]
fn access_control_names_one_or_several_groups() {
    const OTHER: &str = "0123abcd-0123-4567-89ab-0123456789ac";
    let both = format!("{ID},{OTHER}");
    for (said, expect) in [
        (json!(null), Ok(None)),
        (json!({}), Ok(None)),
        (json!({"ipgroup_id": ID}), Ok(Some((1, true, AccessMode::White)))),
        (
            json!({"ipgroup_id": both, "enable_ipgroup": false, "type": "black"}),
            Ok(Some((2, false, AccessMode::Black))),
        ),
        (json!({"type": "black"}), Err("ipgroup.ipgroup_id")),
        (json!({"ipgroup_id": "x"}), Err("ipgroup.ipgroup_id")),
        (json!({"ipgroup_id": ""}), Err("ipgroup.ipgroup_id")),
        (json!({"ipgroup_id": ID, "type": "grey"}), Err("ipgroup.type")),
    ] {
        let access = new("TCP", "ipgroup", said.clone())
            .map(|new| new.access.map(|access| (access.groups.len(), access.enabled, access.mode)));
        assert_eq!(access, expect.map_err(str::to_owned), "{said}");
    }
    let now = AccessControl { groups: vec![ID.parse().unwrap()], enabled: true, mode: AccessMode::Black };
    let bound = Listener { access: Some(now.clone()), ..listener(ListenerProtocol::Tcp) };
    let patch = |content| read(content, |fields| decode_patch(fields, &bound)).unwrap().access;
    let off = AccessControl { enabled: false, ..now };
    assert_eq!(patch(json!({"ipgroup": {"enable_ipgroup": false}})), Patch::Set(off), "the rest stays");
    assert_eq!(patch(json!({"ipgroup": null})), Patch::Clear);
    assert_eq!(patch(json!({"ipgroup": {}})), Patch::Clear);
    assert_eq!(patch(json!({})), Patch::Keep);
}
