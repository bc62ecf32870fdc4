//! The steps of layer 7.

use model::{
    Action, CertificatePatch, Compare, IpGroupPatch, ListenerPatch, NewAccessLog, NewCertificate,
    NewListener, NewPolicy, NewRule, Patch, PolicyPatch, PoolProtocol, Priority, RulePatch, RuleSubject,
    Secret, SecurityPolicyPatch, SystemSecurityPolicy,
    listener::{AccessControl, AccessMode, Service},
    policy::{ExtrasPatch, Mirror},
};

use super::{Step, nth, one_of};
use crate::{
    access_log, certificate, ip_group, listener, policy, rule, security_policy,
    testing::{
        RSA, SERVER, World, enhanced, entries, http, https, new_certificate, new_client_ca, new_ip_group,
        new_listener, new_policy, new_security_policy, prefix, rule as a_rule, to_pool, to_pools,
    },
};

/// Something to start with, so that short walks reach policies, too.
pub(super) fn furnish(world: &mut World) {
    let lb = world.load_balancer().id;
    let certificate = world.certificate(&["a.example.com"]).id;
    let target = world.listener_of(lb, 80, https(certificate)).id;
    let pool = world.pool_of(lb, PoolProtocol::Http).id;
    world.pool_of(lb, PoolProtocol::Http);
    world.pool_of(lb, PoolProtocol::Grpc);
    let wide = world.listener_of(lb, 81, enhanced()).id;
    let plain = world.listener_of(lb, 82, http()).id;
    for listener in [wide, plain] {
        world.policy(listener, to_pool(pool), &[prefix("/0")]);
        world.policy(listener, Action::ToListener(target), &[]);
    }
    world.ip_group(&["10.0.0.1"]);
    world.security_policy(&["TLSv1.3"], &["TLS_AES_128_GCM_SHA256"]);
    world.client_ca();
}

/// Does a step; one that has nothing to work on does nothing.
pub(super) fn take(world: &mut World, (what, a, b, c, d): Step) {
    let state = world.state.clone();
    let lb = nth(state.load_balancers().keys().copied(), a);
    let a_listener = nth(state.listeners().keys().copied(), a);
    let target = nth(state.listeners().keys().copied(), b);
    let a_pool = nth(state.pools().keys().copied(), b);
    let other_pool = nth(state.pools().keys().copied(), c);
    let a_policy = nth(state.policies().values().cloned(), b);
    let other_policy = nth(state.policies().keys().copied(), c);
    let a_rule_of = nth(state.rules().values().cloned(), c);
    let a_certificate = nth(state.certificates().keys().copied(), b);
    let other_certificate = nth(state.certificates().keys().copied(), c);
    let a_security = nth(state.security_policies().keys().copied(), b);
    let group = nth(state.ip_groups().keys().copied(), b);
    let other_group = nth(state.ip_groups().keys().copied(), c);
    let log = nth(state.access_logs().keys().copied(), b);
    let port = 80 + u16::from(c % 5);
    let spans = [&["10.0.0.1"][..], &["10.0.0.1", "10.0.0.0/8", "::/0"], &[]];
    let domains = [&["a.example.com"][..], &["a.example.com", "*.example.com"], &["b.example.com"], &[]];
    let priority = Priority::of(u16::from(d % 4));
    match what % 26 {
        0 => {
            let new = match c % 4 {
                0 => new_client_ca(),
                1 => NewCertificate {
                    pem: RSA.pem.clone(),
                    private_key: Some(Secret::new(RSA.key.clone())),
                    ..new_certificate(one_of(&domains, d))
                },
                _ => new_certificate(one_of(&domains, d)),
            };
            let _ = world.run(|draft| certificate::create(draft, new));
        }
        1 => {
            let Some(id) = a_certificate else { return };
            let texts: Vec<String> = one_of(&domains, d).iter().map(|name| (*name).to_owned()).collect();
            let pair = if a % 2 == 0 { &*RSA } else { &*SERVER };
            let patch = CertificatePatch {
                domains: (c % 2 == 0).then_some(texts),
                pem: (c % 3 == 0).then(|| pair.pem.clone()),
                private_key: (c % 3 == 0).then(|| Secret::new(pair.key.clone())),
                ..CertificatePatch::default()
            };
            let _ = world.run(|draft| certificate::update(draft, id, patch));
        }
        2 => {
            let Some(id) = a_certificate else { return };
            let _ = world.run(|draft| certificate::delete_batch(draft, &[id]));
        }
        3 => {
            let suites = ["AES128-SHA", "ECDHE-RSA-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256"];
            let versions = ["TLSv1", "TLSv1.2", "TLSv1.3"];
            let new = new_security_policy(&versions[usize::from(c % 3)..], &suites[usize::from(c % 3)..]);
            let _ = world.run(|draft| security_policy::create(draft, new));
        }
        4 => {
            let Some(id) = a_security else { return };
            let patch = SecurityPolicyPatch {
                versions: Some(
                    one_of(
                        &[
                            &[model::TlsVersion::V12][..],
                            &[model::TlsVersion::V12, model::TlsVersion::V13],
                            &[model::TlsVersion::V13],
                        ],
                        c,
                    )
                    .to_vec(),
                ),
                ..SecurityPolicyPatch::default()
            };
            let _ = world.run(|draft| security_policy::update(draft, id, patch));
        }
        5 => {
            let Some(id) = a_security else { return };
            let _ = world.run(|draft| security_policy::delete(draft, id));
        }
        6 => drop(world.run(|draft| ip_group::create(draft, new_ip_group(one_of(&spans, d))))),
        7 => {
            let Some(id) = group else { return };
            let patch = IpGroupPatch { entries: Some(entries(one_of(&spans, d))), ..Default::default() };
            let _ = match c % 3 {
                0 => world.run(|draft| ip_group::update(draft, id, patch)),
                1 => world.run(|draft| ip_group::put_entries(draft, id, patch)),
                _ => world.run(|draft| ip_group::remove_entries(draft, id, &["10.0.0.1".parse().unwrap()])),
            };
        }
        8 => {
            let Some(id) = group else { return };
            let _ = world.run(|draft| ip_group::delete(draft, id));
        }
        9 | 10 => {
            let (Some(lb), Some(certificate)) = (lb, a_certificate) else { return };
            let mut service = https(certificate);
            if let (Service::Https(https), Some(other)) = (&mut service, other_certificate) {
                https.tls.sni_certificates = if d % 2 == 0 { vec![other] } else { vec![certificate, other] };
                https.http.enhanced_policies = d % 3 == 0;
            }
            let default_pool = a_pool.filter(|_| d % 4 == 0);
            let new = NewListener { service, default_pool, ..new_listener(lb, port) };
            let _ = world.run(|draft| listener::create(draft, new));
        }
        11 | 12 => {
            let Some(lb) = lb else { return };
            let service = if d % 2 == 0 { enhanced() } else { http() };
            let default_pool = a_pool.filter(|_| b % 2 == 0);
            let new = NewListener { service, default_pool, ..new_listener(lb, port) };
            let _ = world.run(|draft| listener::create(draft, new));
        }
        13 => {
            let Some(id) = a_listener else { return };
            let patch = ListenerPatch {
                enhanced_policies: (d % 3 == 0).then_some(true),
                http2: (d % 4 == 0).then_some(c % 2 == 0),
                ..ListenerPatch::default()
            };
            let _ = world.run(|draft| listener::update(draft, id, patch));
        }
        14 => {
            let Some(id) = a_listener else { return };
            let patch = ListenerPatch {
                certificate: a_certificate.filter(|_| d % 3 == 0),
                sni_certificates: other_certificate.filter(|_| d % 2 == 0).map(|id| vec![id]),
                client_ca: other_certificate.filter(|_| d % 5 == 0).map_or(Patch::Keep, Patch::Set),
                security_policy: a_security.filter(|_| d % 2 == 0).map_or(Patch::Clear, Patch::Set),
                system_policy: (d % 7 == 0).then_some(SystemSecurityPolicy::Tls12FsWith13),
                early_data: (c % 2 == 0).then_some(d % 3 == 0),
                ..ListenerPatch::default()
            };
            let _ = world.run(|draft| listener::update(draft, id, patch));
        }
        15 => {
            let (Some(id), Some(group)) = (a_listener, group) else { return };
            let groups = if d % 2 == 0 {
                vec![group]
            } else {
                [Some(group), other_group].into_iter().flatten().collect()
            };
            let access = AccessControl { groups, enabled: true, mode: AccessMode::Black };
            let access = if d % 5 == 0 { Patch::Clear } else { Patch::Set(access) };
            let patch = ListenerPatch { access, ..ListenerPatch::default() };
            let _ = world.run(|draft| listener::update(draft, id, patch));
        }
        16..=18 => {
            let (Some(listener), Some(target), Some(pool)) = (a_listener, target, a_pool) else { return };
            let action = match d % 5 {
                0 => Action::ToListener(target),
                1 => to_pools(&[(pool, 1)]),
                _ => to_pool(pool),
            };
            let new = NewPolicy {
                priority: (d % 6 == 0).then_some(priority),
                ..new_policy(listener, action, &rules(c))
            };
            let _ = world.run(|draft| policy::create(draft, new));
        }
        19 => {
            let Some(id) = a_policy.map(|policy| policy.id) else { return };
            let mirror = a_pool.map(|pool| ExtrasPatch {
                mirror: Patch::Set(Mirror { pools: vec![pool], body: false }),
                ..ExtrasPatch::default()
            });
            let patch = PolicyPatch {
                pool: other_pool.filter(|_| d % 2 == 0).map_or(Patch::Keep, Patch::Set),
                to_listener: target.filter(|_| d % 7 == 0),
                extras: mirror.filter(|_| d % 3 == 0).map_or(Patch::Keep, Patch::Set),
                priority: (d % 4 == 0).then_some(priority),
                rules: (c % 3 == 0).then(|| rules(d)),
                ..PolicyPatch::default()
            };
            let _ = world.run(|draft| policy::update(draft, id, patch));
        }
        20 => {
            let Some(id) = a_policy.map(|policy| policy.id) else { return };
            let _ = world.run(|draft| policy::delete(draft, id));
        }
        21 => {
            let (Some(one), Some(other)) = (a_policy.map(|policy| policy.id), other_policy) else { return };
            let next = Priority::of(u16::from(a % 4));
            let _ = world.run(|draft| policy::update_priorities(draft, &[(one, priority), (other, next)]));
        }
        22 => {
            let Some(id) = a_policy.map(|policy| policy.id) else { return };
            for new in rules(c) {
                let _ = world.run(|draft| rule::create(draft, id, new));
            }
        }
        23 => {
            let Some(found) = a_rule_of else { return };
            let patch = RulePatch { value: Some(format!("/{}", d % 3)), ..RulePatch::default() };
            let _ = world.run(|draft| rule::update(draft, found.policy, found.id, patch));
        }
        24 => {
            let Some(found) = a_rule_of else { return };
            let _ = world.run(|draft| rule::delete(draft, found.policy, found.id));
        }
        _ => {
            let new = |load_balancer| NewAccessLog {
                load_balancer,
                group: "group".to_owned(),
                topic: "topic".to_owned(),
            };
            let _ = match (lb, log) {
                (Some(lb), _) if d % 2 == 0 => {
                    world.run(|draft| access_log::create(draft, new(lb))).map(drop)
                }
                (_, Some(log)) => world.run(|draft| access_log::delete(draft, log)),
                _ => Ok(()),
            };
        }
    }
}

/// Rules that fit together, and some that do not.
fn rules(n: u8) -> Vec<NewRule> {
    let host = |name: &str| a_rule(RuleSubject::Host, Compare::Equal, name);
    let method = a_rule(RuleSubject::Method, Compare::Equal, "GET");
    match n % 6 {
        0 => vec![prefix("/0")],
        1 => vec![prefix("/1"), host("a.example.com")],
        2 => vec![host("a.example.com")],
        3 => vec![method],
        4 => vec![prefix("/0"), prefix("/1")],
        _ => Vec::new(),
    }
}
