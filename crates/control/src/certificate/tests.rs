//! The rules of certificates, row by row. What a PEM text may be is tested in `pem::tests`.

use model::{KeyKind, ListenerPatch, NewListener, TraceRating};

use super::*;
use crate::{
    listener,
    testing::{
        AUTHORITY, RSA, SERVER, World, https, new_certificate, new_client_ca, new_listener, self_signed,
    },
};

fn patch() -> CertificatePatch {
    CertificatePatch::default()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_create_is_held_to_its_rules() {
    type Adjust = fn(&mut NewCertificate);
    let pair = || EncryptionPair { pem: SERVER.pem.clone(), private_key: Secret::new(SERVER.key.clone()) };
    for (why, adjust, expect) in [
        ("a server's", (|_| {}) as Adjust, "ok"),
        (
            "an RSA one",
            |new| (new.pem, new.private_key) = (RSA.pem.clone(), Some(Secret::new(RSA.key.clone()))),
            "ok",
        ),
        ("a server's without a key", |new| new.private_key = None, "pem_no_key"),
        ("another's key", |new| new.private_key = Some(Secret::new(RSA.key.clone())), "pem_key_mismatch"),
        ("an authority for clients", |new| *new = new_client_ca(), "ok"),
        (
            "an authority with a key, which is passed over",
            |new| *new = NewCertificate { private_key: Some(Secret::new("?")), ..new_client_ca() },
            "ok",
        ),
        (
            "an authority with a domain",
            |new| *new = NewCertificate { domains: texts(&["a.example.com"]), ..new_client_ca() },
            "domain",
        ),
        ("Chinese algorithms, kept", |new| new.kind = CertificateKind::ServerSm, "ok"),
        ("a service's id", |new| new.scm_id = Some("scm1".to_owned()), "ok"),
        ("an empty id", |new| new.scm_id = Some(String::new()), "scm_certificate_id"),
        (
            "a reason with markup",
            |new| {
                new.protection = model::load_balancer::Protection::Console { reason: "<".try_into().unwrap() }
            },
            "protection_reason",
        ),
    ] {
        let mut world = World::new();
        let mut new = new_certificate(&[]);
        adjust(&mut new);
        assert_eq!(world.blame(|draft| create(draft, new)), expect, "{why}");
    }
    for (kind, expect) in [(CertificateKind::ServerSm, "ok"), (CertificateKind::Server, "enc_certificate")] {
        let mut world = World::new();
        let new = NewCertificate { kind, encryption: Some(pair()), ..new_certificate(&[]) };
        assert_eq!(world.blame(|draft| create(draft, new)), expect, "{kind:?} with an encryption pair");
    }
}

#[test]
fn domains_are_names_with_a_star_only_in_front() {
    let long = format!("{}.com", "a".repeat(64));
    let hundred: Vec<String> = (0..101).map(|n| format!("a{n}.example.com")).collect();
    for (why, domains, expect) in [
        ("none", vec![], "ok"),
        ("a name", texts(&["www.example.com"]), "ok"),
        ("a wildcard", texts(&["*.example.com"]), "ok"),
        ("one label", texts(&["localhost"]), "ok"),
        ("an underscore", texts(&["_a.example.com"]), "ok"),
        ("a hundred", hundred[..100].to_vec(), "ok"),
        ("more", hundred.clone(), "domain"),
        ("63 characters", vec![format!("{}.com", "a".repeat(63))], "ok"),
        ("64 characters", vec![long], "domain"),
        ("more than 100 in all", vec![format!("{0}.{0}.com", "a".repeat(50))], "domain"),
        ("empty", texts(&[""]), "domain"),
        ("only a star", texts(&["*"]), "domain"),
        ("a star within", texts(&["a.*.example.com"]), "domain"),
        ("a star in a label", texts(&["a*.example.com"]), "domain"),
        ("two stars", texts(&["*.*.example.com"]), "domain"),
        ("a space", texts(&["a b.example.com"]), "domain"),
        ("a final dot", texts(&["example.com."]), "domain"),
        ("a hyphen at an end", texts(&["-a.example.com"]), "domain"),
        ("letters that are not ASCII", texts(&["bücher.example.com"]), "domain"),
    ] {
        let mut world = World::new();
        let new = NewCertificate { domains, ..new_certificate(&[]) };
        assert_eq!(world.blame(|draft| create(draft, new)), expect, "{why}");
    }
    let mut world = World::new();
    let made = world.certificate(&["WWW.Example.com", "www.example.com", "b.example.com"]);
    assert_eq!(made.domains, ["www.example.com", "b.example.com"], "lower case, each once");
}

#[test]
fn facts_come_from_the_certificate() {
    let mut world = World::new();
    let made = world.certificate(&[]);
    assert_eq!(made.facts.common_name, "www.example.com");
    assert_eq!(made.facts.alternative_names, ["www.example.com"]);
    assert_eq!(made.facts.key, KeyKind::Ecc);
    let other = self_signed(&["b.example.com", "127.0.0.1"]);
    let said =
        CertificatePatch { pem: Some(other.pem), private_key: Some(Secret::new(other.key)), ..patch() };
    let changed = world.run(|draft| update(draft, made.id, said)).unwrap();
    assert_eq!(changed.facts.common_name, "b.example.com");
    assert_eq!(changed.facts.alternative_names, ["b.example.com", "127.0.0.1"]);
    assert_ne!(changed.facts.fingerprint, made.facts.fingerprint);
}

#[test]
fn text_and_key_change_together_or_not_at_all() {
    let other = self_signed(&["b.example.com"]);
    let (pem, key) = (Some(other.pem), Some(Secret::new(other.key)));
    for (why, pem, key, expect) in [
        ("both", pem.clone(), key.clone(), "ok"),
        ("the text alone", pem, None, "pem_key_mismatch"),
        ("the key alone", None, key, "pem_key_mismatch"),
        ("neither", None, None, "ok"),
        ("the same text", Some(SERVER.pem.clone()), None, "ok"),
    ] {
        let mut world = World::new();
        let id = world.certificate(&[]).id;
        let said = CertificatePatch { pem, private_key: key, ..patch() };
        assert_eq!(world.code(|draft| update(draft, id, said)), expect, "{why}");
    }
}

#[test]
fn an_encryption_pair_is_whole() {
    let pem = || Some(SERVER.pem.clone());
    let key = || Some(Secret::new(SERVER.key.clone()));
    for (why, pem, key, expect) in [
        ("both", pem(), key(), "ok"),
        ("without a key", pem(), None, "enc_private_key"),
        ("without a certificate", None, key(), "enc_certificate"),
    ] {
        let mut world = World::new();
        let new = NewCertificate { kind: CertificateKind::ServerSm, ..new_certificate(&[]) };
        let id = world.run(|draft| create(draft, new)).unwrap().id;
        let said = CertificatePatch { encryption_pem: pem, encryption_key: key, ..patch() };
        assert_eq!(world.blame(|draft| update(draft, id, said)), expect, "{why}");
    }
}

#[test]
fn a_certificate_in_use_stays() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let (default, by_name, ca, free) = (
        world.certificate(&[]).id,
        world.certificate(&["a.example.com"]).id,
        world.client_ca().id,
        world.certificate(&[]).id,
    );
    let listener = world.listener_of(lb, 443, https(default)).id;
    let said = ListenerPatch {
        sni_certificates: Some(vec![by_name]),
        client_ca: Patch::Set(ca),
        ..Default::default()
    };
    world.run(|draft| listener::update(draft, listener, said)).unwrap();
    for (why, id, expect) in [
        ("the default", default, "in_use"),
        ("one of SNI", by_name, "in_use"),
        ("the authority", ca, "in_use"),
        ("a free one", free, "ok"),
        ("one that is gone", free, "not_found"),
    ] {
        assert_eq!(world.code(|draft| delete(draft, id)), expect, "{why}");
    }
    let outcome = world.run(|draft| delete_batch(draft, &[default, free])).unwrap();
    let codes: Vec<_> =
        outcome.iter().map(|(_, one)| one.as_ref().map_or_else(|error| error.code(), |()| "ok")).collect();
    assert_eq!(codes, ["in_use", "not_found"]);
    world.run(|draft| listener::delete(draft, listener)).unwrap();
    let outcome = world.run(|draft| delete_batch(draft, &[default, by_name, ca])).unwrap();
    assert!(outcome.iter().all(|(_, one)| one.is_ok()));
    assert_eq!(world.state.certificates().len(), 0);
    let many = vec![default; crate::BATCH_MAX + 1];
    assert_eq!(world.blame(|draft| delete_batch(draft, &many)), "certificates");
}

#[test]
fn names_of_certificates_in_use_go_on_telling_clients_apart() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let (a, b) = (world.certificate(&["a.example.com"]).id, world.certificate(&["b.example.com"]).id);
    let mut service = https(a);
    if let model::listener::Service::Https(https) = &mut service {
        https.tls.sni_certificates = vec![a, b];
    }
    let new = NewListener { service, ..new_listener(lb, 443) };
    world.run(|draft| listener::create(draft, new)).unwrap();
    let domains = |names: &[&str]| CertificatePatch { domains: Some(texts(names)), ..patch() };
    for (why, said, expect) in [
        ("emptied", domains(&[]), "in_use"),
        ("the other's name", domains(&["b.example.com"]), "domain"),
        ("a new name", domains(&["c.example.com"]), "ok"),
        ("nothing said", patch(), "ok"),
    ] {
        assert_eq!(world.blame(|draft| update(draft, a, said)), expect, "{why}");
    }
    let rsa = CertificatePatch {
        pem: Some(RSA.pem.clone()),
        private_key: Some(Secret::new(RSA.key.clone())),
        ..domains(&["b.example.com"])
    };
    assert_eq!(world.blame(|draft| update(draft, a, rsa)), "ok", "RSA beside ECC");
    let ecc = CertificatePatch {
        pem: Some(SERVER.pem.clone()),
        private_key: Some(Secret::new(SERVER.key.clone())),
        ..patch()
    };
    assert_eq!(world.blame(|draft| update(draft, a, ecc)), "domain", "now both are ECC");
}

#[test]
fn no_key_gets_into_the_audit() {
    let mut world = World::new();
    let secret = SERVER.key.lines().nth(1).unwrap();
    let pair = EncryptionPair { pem: SERVER.pem.clone(), private_key: Secret::new(SERVER.key.clone()) };
    let new =
        NewCertificate { kind: CertificateKind::ServerSm, encryption: Some(pair), ..new_certificate(&[]) };
    let made = world.run(|draft| create(draft, new)).unwrap();
    assert!(made.private_key.as_ref().unwrap().reveal().contains(secret), "it is kept");
    world.run(|draft| update(draft, made.id, patch())).unwrap();
    let trace = &world.traces[0];
    assert_eq!((trace.name.as_str(), trace.rating), ("updateCertificate", TraceRating::Normal));
    assert!(!trace.response.contains(secret) && trace.response.contains("******"));
    assert!(!format!("{made:?}").contains(secret));
}

#[test]
fn certificates_have_a_quota_and_are_a_projects_own() {
    let mut world = World::new();
    world.site.quotas.insert(QuotaKey::Certificate, 1);
    let id = world.certificate(&[]).id;
    assert_eq!(world.code(|draft| create(draft, new_certificate(&[]))), "quota_exceeded");
    world.as_other_project();
    assert_eq!(world.code(|draft| update(draft, id, patch())), "not_found");
    assert_eq!(world.code(|draft| delete(draft, id)), "not_found");
    assert_eq!(world.code(|draft| create(draft, new_certificate(&[]))), "ok");
}

#[test]
fn keys_are_shown_until_the_project_says_otherwise() {
    let mut world = World::new();
    assert_eq!(world.code(|draft| update_echo(draft, false)), "not_found", "a project that is not there");
    let id = world.caller.project;
    world.state.put(
        Project {
            id,
            name: "p".try_into().unwrap(),
            domain: world.caller.domain.clone(),
            description: Default::default(),
            enabled: true,
            private_key_echo: true,
            created_at: Default::default(),
        }
        .into(),
    );
    for shown in [false, true, true] {
        world.run(|draft| update_echo(draft, shown)).unwrap();
        assert_eq!(world.state.project(id).unwrap().private_key_echo, shown);
    }
}

#[test]
fn an_update_of_an_authority_checks_what_it_is() {
    let mut world = World::new();
    let id = world.client_ca().id;
    let said = |pem: &str| CertificatePatch { pem: Some(pem.to_owned()), ..patch() };
    assert_eq!(world.code(|draft| update(draft, id, said(&AUTHORITY))), "ok");
    assert_eq!(world.code(|draft| update(draft, id, said("x"))), "pem_no_certificate");
}
