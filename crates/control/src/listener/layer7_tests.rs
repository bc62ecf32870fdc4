//! The rules of HTTPS listeners, their certificates and access control, row by row.

use model::{
    CertificateId, IpGroupId, SecurityPolicyId, SystemSecurityPolicy,
    listener::{AccessControl, InsertHeadersPatch, SniMatch, TlsHeader, TlsHeaderPatch, TlsService},
};

use super::*;
use crate::testing::{World, http, https, new_certificate, new_client_ca, new_listener, white};

fn patch() -> ListenerPatch {
    ListenerPatch::default()
}

/// HTTPS with settings of one's own.
fn with_tls(certificate: CertificateId, adjust: impl FnOnce(&mut TlsService)) -> Service {
    let Service::Https(mut service) = https(certificate) else { panic!("https() is HTTPS") };
    adjust(&mut service.tls);
    Service::Https(service)
}

#[test]
fn certificates_are_there_and_of_the_right_kind() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let (server, ca) = (world.certificate(&[]).id, world.client_ca().id);
    let named = world.certificate(&["a.example.com"]).id;
    let sm = model::NewCertificate {
        kind: model::CertificateKind::ServerSm,
        ..new_certificate(&["b.example.com"])
    };
    let sm = world.run(|draft| crate::certificate::create(draft, sm)).unwrap().id;
    let gone = CertificateId::new(Uuid::nil());
    let cases = [
        ("a server's", server, vec![], None, "ok"),
        ("mutual TLS", server, vec![], Some(ca), "ok"),
        ("SNI", server, vec![named], None, "ok"),
        ("the default by SNI, too", named, vec![named], None, "ok"),
        ("one that is not there", gone, vec![], None, "not_found"),
        ("SNI that is not there", server, vec![gone], None, "not_found"),
        ("an authority as server", ca, vec![], None, "default_tls_container_ref"),
        ("a server as authority", server, vec![], Some(server), "client_ca_tls_container_ref"),
        ("Chinese algorithms", sm, vec![], None, "default_tls_container_ref"),
        ("Chinese algorithms by SNI", server, vec![sm], None, "sni_container_refs"),
        ("SNI without a domain", named, vec![server], None, "sni_container_refs"),
        ("SNI twice", server, vec![named, named], None, "sni_container_refs"),
    ];
    for (n, (why, certificate, sni_certificates, client_ca, expect)) in cases.into_iter().enumerate() {
        let service = with_tls(certificate, |tls| {
            (tls.sni_certificates, tls.client_ca) = (sni_certificates.clone(), client_ca);
        });
        let new = NewListener { service, ..new_listener(lb, 1000 + n as u16) };
        assert_eq!(world.blame(|draft| create(draft, new)), expect, "{why}, at creation");
        let id = world.listener_of(lb, 2000 + n as u16, https(server)).id;
        let said = ListenerPatch {
            certificate: Some(certificate),
            sni_certificates: Some(sni_certificates),
            client_ca: client_ca.map_or(Patch::Keep, Patch::Set),
            ..patch()
        };
        assert_eq!(world.blame(|draft| update(draft, id, said)), expect, "{why}, later");
    }
    world.as_other_project();
    let lb = world.load_balancer().id;
    let new = NewListener { service: https(server), ..new_listener(lb, 443) };
    assert_eq!(world.code(|draft| create(draft, new)), "not_found", "another project's");
}

#[test]
fn a_name_is_one_sni_certificates_of_a_kind() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let one = world.certificate(&["a.example.com", "*.example.com"]).id;
    let same = world.certificate(&["b.example.com", "A.example.com"]).id;
    let pair = crate::testing::RSA.clone();
    let rsa = model::NewCertificate {
        pem: pair.pem,
        private_key: Some(model::Secret::new(pair.key)),
        ..new_certificate(&["a.example.com"])
    };
    let rsa = world.run(|draft| crate::certificate::create(draft, rsa)).unwrap().id;
    for (n, (why, sni, expect)) in [
        ("ECC and RSA", vec![one, rsa], "ok"),
        ("ECC twice", vec![one, same], "sni_container_refs"),
        ("ECC twice and RSA", vec![one, rsa, same], "sni_container_refs"),
    ]
    .into_iter()
    .enumerate()
    {
        let service = with_tls(one, |tls| tls.sni_certificates = sni);
        let new = NewListener { service, ..new_listener(lb, 443 + n as u16) };
        assert_eq!(world.blame(|draft| create(draft, new)), expect, "{why}");
    }
}

#[test]
fn sni_certificates_and_their_names_have_limits() {
    for (why, certificates, names_each, expect) in [
        ("fifty", 50, 1, "ok"),
        ("fifty-one", 51, 1, "sni_container_refs"),
        ("200 names", 2, 100, "ok"),
        ("201 names", 3, 67, "sni_container_refs"),
    ] {
        let mut world = World::new();
        let lb = world.load_balancer().id;
        let ids: Vec<_> = (0..certificates)
            .map(|n| {
                let names: Vec<String> = (0..names_each).map(|m| format!("a{n}-{m}.example.com")).collect();
                world.certificate(&names.iter().map(String::as_str).collect::<Vec<_>>()).id
            })
            .collect();
        let service = with_tls(ids[0], |tls| tls.sni_certificates = ids);
        let new = NewListener { service, ..new_listener(lb, 443) };
        assert_eq!(world.blame(|draft| create(draft, new)), expect, "{why}");
    }
}

#[test]
fn early_data_needs_tls_1_3() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let with_13 = world.security_policy(&["TLSv1.3"], &["TLS_AES_128_GCM_SHA256"]).id;
    let without = world.security_policy(&["TLSv1.2"], &["AES128-GCM-SHA256"]).id;
    let id = world.https_listener(lb, 443).id;
    let gone = SecurityPolicyId::new(Uuid::nil());
    let steps: [(&str, ListenerPatch, &str); 8] = [
        (
            "the default has none",
            ListenerPatch { early_data: Some(true), ..patch() },
            "ssl_early_data_enable",
        ),
        (
            "one of the system's has",
            ListenerPatch {
                early_data: Some(true),
                system_policy: Some(SystemSecurityPolicy::Tls12FsWith13),
                ..patch()
            },
            "ok",
        ),
        (
            "the system's without it",
            ListenerPatch { system_policy: Some(SystemSecurityPolicy::Tls12), ..patch() },
            "ssl_early_data_enable",
        ),
        (
            "the project's own without it wins",
            ListenerPatch { security_policy: Patch::Set(without), ..patch() },
            "ssl_early_data_enable",
        ),
        (
            "the project's own with it wins",
            ListenerPatch {
                security_policy: Patch::Set(with_13),
                system_policy: Some(SystemSecurityPolicy::Tls12),
                ..patch()
            },
            "ok",
        ),
        (
            "back to the system's",
            ListenerPatch { security_policy: Patch::Clear, ..patch() },
            "ssl_early_data_enable",
        ),
        (
            "one that is not there",
            ListenerPatch { security_policy: Patch::Set(gone), ..patch() },
            "not_found",
        ),
        ("off", ListenerPatch { early_data: Some(false), security_policy: Patch::Clear, ..patch() }, "ok"),
    ];
    for (why, said, expect) in steps {
        assert_eq!(world.blame(|draft| update(draft, id, said)), expect, "{why}");
    }
}

#[test]
fn other_listeners_refuse_what_only_tls_has() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let certificate = world.certificate(&["a.example.com"]).id;
    let custom = world.security_policy(&["TLSv1.2"], &["AES128-GCM-SHA256"]).id;
    let ca = world.client_ca().id;
    for (port, service) in [(80, http()), (81, Service::Tcp)] {
        let id = world.listener_of(lb, port, service).id;
        let header = |enabled| {
            let tls = [(TlsHeader::Sni, TlsHeaderPatch { enabled: Some(enabled), ..Default::default() })];
            Some(InsertHeadersPatch { tls: tls.into(), ..Default::default() })
        };
        for (said, expect) in [
            (ListenerPatch { certificate: Some(certificate), ..patch() }, "default_tls_container_ref"),
            (ListenerPatch { sni_certificates: Some(vec![certificate]), ..patch() }, "sni_container_refs"),
            (ListenerPatch { sni_certificates: Some(vec![]), ..patch() }, "ok"),
            (ListenerPatch { sni_match: Some(SniMatch::LongestSuffix), ..patch() }, "sni_match_algo"),
            (ListenerPatch { client_ca: Patch::Set(ca), ..patch() }, "client_ca_tls_container_ref"),
            (ListenerPatch { client_ca: Patch::Clear, ..patch() }, "ok"),
            (
                ListenerPatch { system_policy: Some(SystemSecurityPolicy::Tls12), ..patch() },
                "tls_ciphers_policy",
            ),
            (ListenerPatch { security_policy: Patch::Set(custom), ..patch() }, "security_policy_id"),
            (ListenerPatch { security_policy: Patch::Clear, ..patch() }, "ok"),
            (ListenerPatch { early_data: Some(true), ..patch() }, "ssl_early_data_enable"),
            (ListenerPatch { early_data: Some(false), ..patch() }, "ok"),
            (ListenerPatch { insert_headers: header(true), ..patch() }, "insert_headers"),
        ] {
            let why = format!("{said:?} on {port}");
            assert_eq!(world.blame(|draft| update(draft, id, said)), expect, "{why}");
        }
    }
    let id = world.https_listener(lb, 443).id;
    let named = |alias: &str| TlsHeaderPatch { enabled: Some(true), alias: Patch::Set(alias.to_owned()) };
    for (sni, ja4, expect) in [
        ("X-Sni", "X-Ja4", "ok"),
        ("X-Same", "x-same", "insert_headers"),
        ("", "X-Ja4", "insert_headers"),
        ("X Sni", "X-Ja4", "insert_headers"),
        ("Content-Length", "X-Ja4", "insert_headers"),
        ("X-Forwarded-Tls-Sni", "X-Ja4", "ok"),
    ] {
        let tls = [(TlsHeader::Sni, named(sni)), (TlsHeader::Ja4, named(ja4))];
        let headers = InsertHeadersPatch { tls: tls.into(), ..Default::default() };
        let said = ListenerPatch { insert_headers: Some(headers), ..patch() };
        assert_eq!(world.blame(|draft| update(draft, id, said)), expect, "'{sni}' and '{ja4}'");
    }
}

#[test]
fn pools_pair_with_listeners_as_documented() {
    use PoolProtocol::{Grpc, Http, Https, Tcp};
    for (pool, tcp, over_http, with_http2, without) in [
        (Tcp, "ok", "default_pool_id", "default_pool_id", "default_pool_id"),
        (Http, "default_pool_id", "ok", "ok", "ok"),
        (Https, "default_pool_id", "default_pool_id", "ok", "ok"),
        (Grpc, "default_pool_id", "default_pool_id", "ok", "default_pool_id"),
    ] {
        let mut world = World::new();
        let lb = world.load_balancer().id;
        let id = world.pool_of(lb, pool).id;
        let certificate = world.certificate(&[]).id;
        let Service::Https(mut h1) = https(certificate) else { panic!("https() is HTTPS") };
        h1.http.http2 = false;
        for (port, service, expect) in [
            (80, Service::Tcp, tcp),
            (81, http(), over_http),
            (82, https(certificate), with_http2),
            (83, Service::Https(h1), without),
        ] {
            let new = NewListener { service, default_pool: Some(id), ..new_listener(lb, port) };
            assert_eq!(world.blame(|draft| create(draft, new)), expect, "{pool:?} on {port}");
        }
    }
}

#[test]
fn http2_stays_while_a_pool_needs_it() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let pool = world.pool_of(lb, PoolProtocol::Grpc).id;
    let id = world.https_listener(lb, 443).id;
    let off = || ListenerPatch { http2: Some(false), ..patch() };
    assert_eq!(world.blame(|draft| update(draft, id, off())), "ok");
    let to_grpc = ListenerPatch { default_pool: Patch::Set(pool), http2: Some(true), ..patch() };
    assert_eq!(world.blame(|draft| update(draft, id, to_grpc)), "ok", "both at once");
    assert_eq!(world.blame(|draft| update(draft, id, off())), "http2_enable");
    let away = ListenerPatch { default_pool: Patch::Clear, ..off() };
    assert_eq!(world.blame(|draft| update(draft, id, away)), "ok");
    let policy = crate::testing::new_policy(id, crate::testing::to_pool(pool), &[]);
    assert_eq!(
        world.blame(|draft| crate::policy::create(draft, policy.clone())),
        "redirect_pool_id",
        "by a policy, too"
    );
    let on = ListenerPatch { http2: Some(true), ..patch() };
    world.run(|draft| update(draft, id, on)).unwrap();
    world.run(|draft| crate::policy::create(draft, policy)).unwrap();
    assert_eq!(world.blame(|draft| update(draft, id, off())), "http2_enable");
}

#[test]
fn access_control_names_groups_of_the_project_within_its_quotas() {
    let mut world = World::new();
    world.site.quotas.extend([(QuotaKey::IpgroupsPerListener, 2), (QuotaKey::IpgroupBindings, 2)]);
    let lb = world.load_balancer().id;
    let groups: Vec<_> = (0..3).map(|_| world.ip_group(&[])).collect();
    let (a, b, c) = (&groups[0], &groups[1], &groups[2]);
    let gone = AccessControl { groups: vec![IpGroupId::new(Uuid::nil())], ..white(&[]) };
    for (port, (why, access, expect)) in (80..).zip([
        ("one", white(&[a]), "ok"),
        ("two", white(&[a, b]), "ok"),
        ("the third listener", white(&[a]), "quota_exceeded"),
        ("three", white(&[a, b, c]), "quota_exceeded"),
        ("none", white(&[]), "ipgroup"),
        ("one twice", white(&[b, b]), "ipgroup"),
        ("one that is not there", gone, "not_found"),
    ]) {
        let new = NewListener { access: Some(access.clone()), ..new_listener(lb, port) };
        assert_eq!(world.blame(|draft| create(draft, new)), expect, "{why}");
    }
    let id = world.listener(lb, 100).id;
    for (why, access, expect) in [
        ("bound", Patch::Set(white(&[c])), "ok"),
        ("bound again", Patch::Set(white(&[c])), "ok"),
        ("too many listeners", Patch::Set(white(&[a])), "quota_exceeded"),
        ("nothing said", Patch::Keep, "ok"),
        ("free", Patch::Clear, "ok"),
    ] {
        let said = ListenerPatch { access, ..patch() };
        assert_eq!(world.code(|draft| update(draft, id, said)), expect, "{why}");
    }
    assert_eq!(world.state.listener(id).unwrap().access, None);
    world.as_other_project();
    let lb = world.load_balancer().id;
    let new = NewListener { access: Some(white(&[c])), ..new_listener(lb, 80) };
    assert_eq!(world.code(|draft| create(draft, new)), "not_found");
}

#[test]
fn a_certificate_of_another_project_does_not_serve() {
    let mut world = World::new();
    let ca = world.run(|draft| crate::certificate::create(draft, new_client_ca())).unwrap().id;
    world.as_other_project();
    let lb = world.load_balancer().id;
    let id = world.https_listener(lb, 443).id;
    let said = ListenerPatch { client_ca: Patch::Set(ca), ..patch() };
    assert_eq!(world.code(|draft| update(draft, id, said)), "not_found");
}
