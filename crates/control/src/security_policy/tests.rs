//! The rules of security policies, row by row.

use model::{ListenerPatch, Patch};

use super::*;
use crate::{
    listener,
    testing::{World, new_security_policy},
};

const OLD: &str = "AES128-SHA";
const AEAD: &str = "ECDHE-RSA-AES128-GCM-SHA256";
const NEW: &str = "TLS_AES_128_GCM_SHA256";

#[test]
fn every_version_has_a_suite_and_every_suite_a_version() {
    for (why, versions, suites, expect) in [
        ("one of each", &["TLSv1.2"][..], &[AEAD][..], "ok"),
        ("an old suite serves three versions", &["TLSv1", "TLSv1.1", "TLSv1.2"], &[OLD], "ok"),
        ("all", &["TLSv1", "TLSv1.2", "TLSv1.3"], &[NEW, AEAD, OLD], "ok"),
        ("no version", &[], &[AEAD], "protocols"),
        ("no suite", &["TLSv1.2"], &[], "ciphers"),
        ("a version without a suite", &["TLSv1.2", "TLSv1.3"], &[AEAD], "ciphers"),
        ("an old version with a new suite alone", &["TLSv1.1"], &[AEAD], "ciphers"),
        ("a suite without a version", &["TLSv1.2"], &[AEAD, NEW], "ciphers"),
        ("an old suite for 1.3 alone", &["TLSv1.3"], &[NEW, OLD], "ciphers"),
        ("a version twice", &["TLSv1.2", "TLSv1.2"], &[AEAD], "protocols"),
        ("a suite twice", &["TLSv1.2"], &[AEAD, AEAD], "ciphers"),
    ] {
        let mut world = World::new();
        let new = new_security_policy(versions, suites);
        assert_eq!(world.blame(|draft| create(draft, new.clone())), expect, "{why}, at creation");
        let id = world.security_policy(&["TLSv1.2"], &[AEAD]).id;
        let patch = SecurityPolicyPatch {
            versions: Some(new.versions),
            suites: Some(new.suites),
            ..Default::default()
        };
        assert_eq!(world.blame(|draft| update(draft, id, patch)), expect, "{why}, later");
    }
}

#[test]
fn a_policy_in_use_stays_and_keeps_what_its_listeners_need() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let id = world.security_policy(&["TLSv1.2", "TLSv1.3"], &[AEAD, NEW]).id;
    let listener = world.https_listener(lb, 443).id;
    let patch =
        ListenerPatch { security_policy: Patch::Set(id), early_data: Some(true), ..Default::default() };
    world.run(|draft| listener::update(draft, listener, patch)).unwrap();
    assert_eq!(world.code(|draft| delete(draft, id)), "in_use");
    let only_12 = || SecurityPolicyPatch {
        versions: Some(vec![TlsVersion::V12]),
        suites: Some(vec![AEAD.parse().unwrap()]),
        ..Default::default()
    };
    assert_eq!(world.code(|draft| update(draft, id, only_12())), "in_use", "early data needs TLS 1.3");
    let patch = ListenerPatch { early_data: Some(false), ..Default::default() };
    world.run(|draft| listener::update(draft, listener, patch)).unwrap();
    assert_eq!(world.code(|draft| update(draft, id, only_12())), "ok");
    let patch = ListenerPatch { security_policy: Patch::Clear, ..Default::default() };
    world.run(|draft| listener::update(draft, listener, patch)).unwrap();
    assert_eq!(world.code(|draft| delete(draft, id)), "ok");
    assert_eq!(world.code(|draft| delete(draft, id)), "not_found");
}

#[test]
fn policies_have_a_quota_and_are_a_projects_own() {
    let mut world = World::new();
    world.site.quotas.insert(QuotaKey::SecurityPolicy, 1);
    let id = world.security_policy(&["TLSv1.2"], &[AEAD]).id;
    let new = || new_security_policy(&["TLSv1.2"], &[AEAD]);
    assert_eq!(world.code(|draft| create(draft, new())), "quota_exceeded");
    world.as_other_project();
    assert_eq!(world.code(|draft| update(draft, id, SecurityPolicyPatch::default())), "not_found");
    assert_eq!(world.code(|draft| delete(draft, id)), "not_found");
}
