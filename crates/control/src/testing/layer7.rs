//! What layer 7 is made of: certificates, TLS, policies.

use std::sync::{Arc, LazyLock};

use model::{
    Action, Certificate, CertificateId, CertificateKind, Compare, IpEntry, IpGroup, Listener, ListenerId,
    LoadBalancerId, NewCertificate, NewIpGroup, NewListener, NewPolicy, NewRule, NewSecurityPolicy, Policy,
    Pool, PoolId, PoolProtocol, Port, PortRange, Ports, RuleSubject, Secret, SecurityPolicy,
    SystemSecurityPolicy,
    listener::{
        AccessControl, AccessMode, HttpService, HttpsService, QuicService, Service, SniMatch, TlsService,
    },
    load_balancer::Protection,
    policy::{Forward, WeightedPool},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_RSA_SHA256};

use super::{World, http, new_listener};
use crate::{certificate, ip_group, listener, policy, security_policy};

/// A certificate with its key, both in PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) pem: String,
    pub(crate) key: String,
}

/// A certificate of its own making for some names, with an ECC key.
pub(crate) fn self_signed(names: &[&str]) -> Pair {
    signed_by_itself(names, KeyPair::generate().unwrap())
}

/// The same with an RSA key, made once, as that takes long.
pub(crate) static RSA: LazyLock<Pair> = LazyLock::new(|| {
    signed_by_itself(&["rsa.example.com"], KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap())
});

fn signed_by_itself(names: &[&str], key: KeyPair) -> Pair {
    let made = params(names).self_signed(&key).unwrap();
    Pair { pem: made.pem(), key: key.serialize_pem() }
}

/// Certificate parameters whose common name is the first name.
pub(crate) fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names.clone()).unwrap();
    params.distinguished_name.push(DnType::CommonName, names.first().cloned().unwrap_or_default());
    params
}

/// An authority.
pub(crate) fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap()
}

pub(crate) fn authority_params(name: &str) -> CertificateParams {
    let mut params = params(&[]);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// One certificate for all, as most tests do not look into it.
pub(crate) static SERVER: LazyLock<Pair> = LazyLock::new(|| self_signed(&["www.example.com"]));
pub(crate) static AUTHORITY: LazyLock<String> = LazyLock::new(|| authority("clients").pem());

/// A server certificate that SNI finds by those domains.
pub(crate) fn new_certificate(domains: &[&str]) -> NewCertificate {
    NewCertificate {
        name: Default::default(),
        description: Default::default(),
        kind: CertificateKind::Server,
        pem: SERVER.pem.clone(),
        private_key: Some(Secret::new(SERVER.key.clone())),
        domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
        encryption: None,
        scm_id: None,
        protection: Protection::None,
        enterprise_project: None,
    }
}

pub(crate) fn new_client_ca() -> NewCertificate {
    NewCertificate {
        kind: CertificateKind::ClientCa,
        pem: AUTHORITY.clone(),
        private_key: None,
        ..new_certificate(&[])
    }
}

/// HTTPS with that certificate, and HTTP/2.
pub(crate) fn https(certificate: CertificateId) -> Service {
    let Service::Http(http) = http() else { unreachable!("http() is HTTP") };
    let tls = TlsService {
        certificate,
        sni_certificates: Vec::new(),
        sni_match: SniMatch::Wildcard,
        client_ca: None,
        system_policy: SystemSecurityPolicy::DEFAULT,
        security_policy: None,
        early_data: false,
    };
    Service::Https(Box::new(HttpsService { http: HttpService { http2: true, ..http }, tls, quic: None }))
}

/// The settings of [`https`] for a TLS listener.
pub(crate) fn tls(certificate: CertificateId) -> Service {
    let Service::Https(https) = https(certificate) else { unreachable!("https() is HTTPS") };
    Service::Tls(Box::new(https.tls))
}

/// The settings of [`https`] for a QUIC listener.
pub(crate) fn quic(certificate: CertificateId) -> Service {
    let Service::Https(https) = https(certificate) else { unreachable!("https() is HTTPS") };
    Service::Quic(Box::new(QuicService { http: https.http, tls: https.tls }))
}

/// A listener of port ranges.
pub(crate) fn ports(ranges: &[(u16, u16)]) -> Ports {
    let range = |&(first, last): &(u16, u16)| PortRange::new(Port::of(first), Port::of(last)).unwrap();
    Ports::Ranges(ranges.iter().map(range).collect::<Vec<_>>().try_into().unwrap())
}

/// HTTP with advanced forwarding.
pub(crate) fn enhanced() -> Service {
    let Service::Http(http) = http() else { unreachable!("http() is HTTP") };
    Service::Http(HttpService { enhanced_policies: true, ..http })
}

/// A white list of groups.
pub(crate) fn white(groups: &[&Arc<IpGroup>]) -> AccessControl {
    AccessControl {
        groups: groups.iter().map(|group| group.id).collect(),
        enabled: true,
        mode: AccessMode::White,
    }
}

pub(crate) fn new_ip_group(spans: &[&str]) -> NewIpGroup {
    NewIpGroup {
        name: Default::default(),
        description: Default::default(),
        entries: entries(spans),
        enterprise_project: None,
    }
}

pub(crate) fn entries(spans: &[&str]) -> Vec<IpEntry> {
    let entry = |span: &&str| IpEntry { span: span.parse().unwrap(), description: Default::default() };
    spans.iter().map(entry).collect()
}

/// A security policy of versions and suites by their names.
pub(crate) fn new_security_policy(versions: &[&str], suites: &[&str]) -> NewSecurityPolicy {
    NewSecurityPolicy {
        name: Default::default(),
        description: Default::default(),
        versions: versions.iter().map(|version| version.parse().unwrap()).collect(),
        suites: suites.iter().map(|suite| suite.parse().unwrap()).collect(),
        enterprise_project: None,
    }
}

/// A policy of a listener, with rules.
pub(crate) fn new_policy(listener: ListenerId, action: Action, rules: &[NewRule]) -> NewPolicy {
    NewPolicy {
        listener,
        name: Default::default(),
        description: Default::default(),
        position: 100,
        priority: None,
        action,
        rules: rules.to_vec(),
    }
}

/// To one pool.
pub(crate) fn to_pool(pool: PoolId) -> Action {
    Action::Forward(Forward { pool: Some(pool), ..Forward::default() })
}

/// To several pools, with shares.
pub(crate) fn to_pools(pools: &[(PoolId, u16)]) -> Action {
    let weighted = |&(pool, weight): &(PoolId, u16)| WeightedPool { pool, weight: model::Weight::of(weight) };
    Action::Forward(Forward { pools: pools.iter().map(weighted).collect(), ..Forward::default() })
}

/// A rule without conditions.
pub(crate) fn rule(subject: RuleSubject, compare: Compare, value: &str) -> NewRule {
    NewRule { subject, compare, key: None, value: value.to_owned(), conditions: Vec::new() }
}

/// A rule on the beginning of the path.
pub(crate) fn prefix(path: &str) -> NewRule {
    rule(RuleSubject::Path, Compare::Prefix, path)
}

impl World {
    /// A server certificate for those domains.
    pub(crate) fn certificate(&mut self, domains: &[&str]) -> Arc<Certificate> {
        self.run(|draft| certificate::create(draft, new_certificate(domains))).unwrap()
    }

    /// The same with an RSA key.
    pub(crate) fn rsa_certificate(&mut self, domains: &[&str]) -> Arc<Certificate> {
        let new = NewCertificate {
            pem: RSA.pem.clone(),
            private_key: Some(Secret::new(RSA.key.clone())),
            ..new_certificate(domains)
        };
        self.run(|draft| certificate::create(draft, new)).unwrap()
    }

    pub(crate) fn client_ca(&mut self) -> Arc<Certificate> {
        self.run(|draft| certificate::create(draft, new_client_ca())).unwrap()
    }

    pub(crate) fn listener_of(&mut self, lb: LoadBalancerId, port: u16, service: Service) -> Arc<Listener> {
        let new = NewListener { service, ..new_listener(lb, port) };
        self.run(|draft| listener::create(draft, new)).unwrap()
    }

    /// An HTTPS listener with a certificate of its own.
    pub(crate) fn https_listener(&mut self, lb: LoadBalancerId, port: u16) -> Arc<Listener> {
        let certificate = self.certificate(&[]).id;
        self.listener_of(lb, port, https(certificate))
    }

    /// A pool of that protocol, for a load balancer.
    pub(crate) fn pool_of(&mut self, lb: LoadBalancerId, protocol: PoolProtocol) -> Arc<Pool> {
        self.pool_with(|new| (new.load_balancer, new.protocol) = (Some(lb), protocol))
    }

    pub(crate) fn ip_group(&mut self, spans: &[&str]) -> Arc<IpGroup> {
        self.run(|draft| ip_group::create(draft, new_ip_group(spans))).unwrap()
    }

    pub(crate) fn security_policy(&mut self, versions: &[&str], suites: &[&str]) -> Arc<SecurityPolicy> {
        self.run(|draft| security_policy::create(draft, new_security_policy(versions, suites))).unwrap()
    }

    pub(crate) fn policy(&mut self, listener: ListenerId, action: Action, rules: &[NewRule]) -> Arc<Policy> {
        self.run(|draft| policy::create(draft, new_policy(listener, action, rules))).unwrap()
    }
}
