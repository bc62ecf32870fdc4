//! What holds after every command, whatever it was.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use model::{
    Action, Algorithm, CertificateKind, KeyKind, Listener, ListenerProtocol, Policy, Pool, PoolProtocol,
    QuotaKey, TlsVersion,
    pool::{IpVersion, PoolKind, Stickiness},
};

use super::World;
use crate::{access_log, address, health_monitor, listener, member::claim, policy, quota, relations};

impl World {
    /// What holds after every command, whatever it was.
    pub(super) fn check_invariants(&self) {
        let mut claims = BTreeMap::new();
        for lb in self.state.load_balancers().values() {
            let v4 = lb.vip.map(|vip| (vip.subnet, IpAddr::V4(vip.address)));
            let v6 = lb.vip_v6.map(|vip| (vip.subnet, IpAddr::V6(vip.address)));
            for (subnet, at) in v4.into_iter().chain(v6) {
                claims.insert(address::claim(subnet, at), lb.id.to_string());
                let subnet = self.state.subnet(subnet).unwrap();
                assert!(subnet.offers(at) && !subnet.public && subnet.network == lb.network);
                assert_eq!(
                    self.state.load_balancer_at(at).unwrap().id,
                    lb.id,
                    "a VIP is one load balancer's"
                );
            }
        }
        for listener in self.state.listeners().values() {
            let lb = self.state.load_balancer(listener.load_balancer).unwrap();
            assert_eq!(lb.project, listener.project);
            claims.insert(listener::claim(listener), listener.id.to_string());
            self.check_service(listener);
            self.check_ports(listener);
            for pool in relations::pools_of_listener(&self.state, listener) {
                let pool = self.state.pool(pool).unwrap();
                check_pair(listener, pool);
                assert_eq!(pool.project, listener.project);
                assert!(pool.network.is_none_or(|network| network == lb.network));
                let bare = self.state.members_of(pool.id).any(|member| member.subnet.is_none());
                assert!(!bare || lb.ip_targets, "a load balancer that takes no bare addresses has none");
            }
        }
        self.check_indices();
        for pool in self.state.pools().values() {
            if let Some(lb) = pool.load_balancer {
                assert_eq!(self.state.load_balancer(lb).unwrap().project, pool.project);
            }
            if let Some(member_tls) = &pool.member_tls {
                let authority = self.state.certificate(member_tls.authority).unwrap();
                assert_eq!(
                    (authority.project, authority.kind),
                    (pool.project, CertificateKind::ClientCa),
                    "members are verified by an authority of the project's"
                );
                assert!(matches!(pool.protocol, PoolProtocol::Https | PoolProtocol::Tls));
            }
            check_pool(pool);
            let roles: BTreeSet<_> =
                self.state.members_of(pool.id).map(|member| member.role.map(|role| role as u8)).collect();
            match pool.standby {
                true => {
                    assert_eq!(
                        (roles.len(), self.state.member_count(pool.id)),
                        (2, 2),
                        "a master and a slave"
                    );
                    assert!(!roles.contains(&None) && self.state.monitor_of(pool.id).is_some());
                }
                false => assert!(roles.is_subset(&BTreeSet::from([None])), "members of others have no part"),
            }
            let servers = relations::load_balancers_of_pool(&self.state, pool);
            assert!(pool.kind != PoolKind::Any || servers.len() <= 1, "without a type it serves one");
            for (key, count) in [
                (QuotaKey::MembersPerPool, self.state.member_count(pool.id)),
                (QuotaKey::ListenersPerPool, self.state.listeners_reaching(pool.id).count()),
            ] {
                assert!(count as i64 <= quota::limit(&self.state, &self.site, pool.project, key), "{key:?}");
            }
        }
        for member in self.state.members().values() {
            let pool = self.state.pool(member.pool).unwrap();
            assert_eq!((pool.project, pool.any_port), (member.project, member.port.is_none()));
            if let Some(subnet) = member.subnet.map(|subnet| self.state.subnet(subnet).unwrap()) {
                assert!(subnet.cidr.contains(&member.address) && pool.network == Some(subnet.network));
            }
            let fits = match pool.kind {
                PoolKind::Any => true,
                PoolKind::Instance => member.subnet.is_some(),
                PoolKind::Ip => member.subnet.is_none(),
            };
            assert!(fits, "a pool with a type has members of that type");
            claims.insert(claim(member), member.id.to_string());
        }
        for monitor in self.state.health_monitors().values() {
            let pool = self.state.pool(monitor.pool).unwrap();
            assert_eq!(pool.project, monitor.project);
            health_monitor::check(pool, &monitor.probe).unwrap();
            assert!(!pool.standby || monitor.admin_up);
            assert_eq!(self.state.monitor_of(pool.id).unwrap().id, monitor.id, "a pool has one monitor");
        }
        for policy in self.state.policies().values() {
            self.check_policy(policy);
            if let Some(priority) = policy.priority {
                claims.insert(policy::claim(policy.listener, priority), policy.id.to_string());
            }
        }
        for rule in self.state.rules().values() {
            assert_eq!(self.state.policy(rule.policy).unwrap().project, rule.project);
        }
        for log in self.state.access_logs().values() {
            assert_eq!(self.state.load_balancer(log.load_balancer).unwrap().project, log.project);
            claims.insert(access_log::claim(log.load_balancer), log.id.to_string());
        }
        for group in self.state.ip_groups().values() {
            let spans: BTreeSet<_> = group.entries.iter().map(|entry| entry.span).collect();
            assert_eq!(spans.len(), group.entries.len(), "a span stands once");
            let bound = self.state.listeners_with_ip_group(group.id).count();
            for (key, count) in
                [(QuotaKey::IpgroupMaxLength, spans.len()), (QuotaKey::IpgroupBindings, bound)]
            {
                assert!(count as i64 <= quota::limit(&self.state, &self.site, group.project, key), "{key:?}");
            }
        }
        for policy in self.state.security_policies().values() {
            let (versions, suites) = (&policy.versions, &policy.suites);
            assert!(versions.iter().all(|version| suites.iter().any(|suite| suite.fits(*version))));
            assert!(suites.iter().all(|suite| versions.iter().any(|version| suite.fits(*version))));
        }
        assert_eq!(self.claims, claims, "what is claimed is what there is");
    }

    /// No port is two listeners', and QUIC is told of where it is.
    fn check_ports(&self, listener: &Listener) {
        let transport = listener.protocol().transport();
        for other in self.state.listeners_of(listener.load_balancer) {
            if other.id != listener.id && other.protocol().transport() == transport {
                assert_eq!(listener.ports.shared_with(&other.ports), None, "a port is one listener's");
            }
        }
        if listener.ports.one().is_none() {
            assert!(listener.http().is_none(), "layer 7 has one port");
        }
        if let Some(upgrade) = listener.quic_upgrade() {
            let quic = self.state.listener(upgrade.listener).unwrap();
            assert_eq!(quic.load_balancer, listener.load_balancer);
            assert_eq!(quic.protocol(), ListenerProtocol::Quic);
        }
        if listener.protocol() == ListenerProtocol::Quic {
            for id in listener.tls().unwrap().certificates() {
                assert_eq!(self.state.certificate(id).unwrap().facts.key, KeyKind::Rsa);
            }
        }
    }

    /// What the snapshot knows without a look at all policies is what such a look finds.
    fn check_indices(&self) {
        let (state, all) = (&self.state, self.state.policies());
        for listener in state.listeners().keys().copied() {
            let own = || all.values().filter(|policy| policy.listener == listener);
            assert_eq!(state.policy_count(listener), own().count());
            assert_eq!(state.last_priority(listener), own().filter_map(|policy| policy.priority).max());
            for priority in own().filter_map(|policy| policy.priority) {
                let at = own().filter(|policy| policy.priority == Some(priority));
                assert!(state.policies_at(listener, priority).eq(at));
            }
        }
        for pool in state.pools().keys().copied() {
            let by_policy = all.values().filter(|policy| policy.action.pools().contains(&pool));
            let by_default =
                state.listeners().values().filter(|listener| listener.default_pool == Some(pool));
            let reaching: BTreeSet<_> = by_policy
                .map(|policy| policy.listener)
                .chain(by_default.map(|listener| listener.id))
                .collect();
            assert!(state.listeners_reaching(pool).map(|listener| listener.id).eq(reaching));
        }
    }

    /// What a listener names is there and fits.
    fn check_service(&self, listener: &Listener) {
        for group in listener.access.iter().flat_map(|access| &access.groups) {
            assert_eq!(self.state.ip_group(*group).unwrap().project, listener.project);
        }
        let Some(tls) = listener.tls() else { return };
        let kind = |id| {
            let certificate = self.state.certificate(id).unwrap();
            assert_eq!(certificate.project, listener.project);
            certificate.kind
        };
        assert_eq!(kind(tls.certificate), CertificateKind::Server);
        assert!(tls.client_ca.is_none_or(|ca| kind(ca) == CertificateKind::ClientCa));
        let mut names = BTreeSet::new();
        for &id in &tls.sni_certificates {
            assert_eq!(kind(id), CertificateKind::Server);
            let certificate = self.state.certificate(id).unwrap();
            assert!(!certificate.domains.is_empty(), "what is picked by name has one");
            for domain in &certificate.domains {
                let rsa = certificate.facts.key == KeyKind::Rsa;
                assert!(names.insert((domain.clone(), rsa)), "a name is one certificate's of a kind");
            }
        }
        let versions = match tls.security_policy {
            None => tls.system_policy.versions(),
            Some(policy) => &self.state.security_policy(policy).unwrap().versions,
        };
        assert!(!tls.early_data || versions.contains(&TlsVersion::V13));
    }

    fn check_policy(&self, policy: &Policy) {
        let listener = self.state.listener(policy.listener).unwrap();
        assert_eq!(listener.project, policy.project);
        let http = listener.http().unwrap();
        assert_eq!(http.enhanced_policies, policy.priority.is_some(), "who chooses the order");
        let rules: Vec<_> = self.state.rules_of(policy.id).collect();
        let conditions: usize = rules.iter().map(|rule| rule.values().count()).sum();
        let counts = [
            (QuotaKey::ConditionPerPolicy, conditions),
            (QuotaKey::L7policiesPerListener, self.state.policies_of(listener.id).count()),
        ];
        for (key, count) in counts {
            assert!(count as i64 <= quota::limit(&self.state, &self.site, policy.project, key), "{key:?}");
        }
        if let Action::ToListener(target) = &policy.action {
            let target = self.state.listener(*target).unwrap();
            assert_eq!(target.load_balancer, listener.load_balancer);
            assert_eq!(
                (listener.protocol(), target.protocol()),
                (ListenerProtocol::Http, ListenerProtocol::Https)
            );
            assert!(rules.is_empty());
        }
    }
}

/// What holds for a pool by itself.
fn check_pool(pool: &Pool) {
    let quic = pool.protocol == PoolProtocol::Quic;
    let by_address = matches!(pool.stickiness, Some(Stickiness::SourceIp { .. }));
    assert_eq!(pool.quic_cid_hash.is_some(), quic);
    assert!(quic || pool.algorithm != Algorithm::QuicCid);
    assert!(!quic || by_address, "QUIC pools stick by address");
    assert!(pool.stickiness.is_none() || by_address != pool.protocol.is_layer7());
    assert!(pool.slow_start.is_none() || pool.protocol.is_layer7());
    assert!(!pool.any_port || !pool.protocol.is_layer7() && pool.protocol != PoolProtocol::Tls);
    let proxied = matches!(pool.protocol, PoolProtocol::Tcp | PoolProtocol::Tls);
    assert!(proxied || pool.member_proxy_protocol.is_none());
}

fn check_pair(listener: &Listener, pool: &Pool) {
    use PoolProtocol::{Grpc, Http, Https, Quic, Tcp, Tls, Udp};
    let fits = match (listener.protocol(), pool.protocol) {
        (ListenerProtocol::Tcp, pool) => pool == Tcp,
        (ListenerProtocol::Udp, pool) => pool == Udp || pool == Quic,
        (ListenerProtocol::Tls, Tcp) => pool.ip_version == IpVersion::V4,
        (ListenerProtocol::Tls, pool) => pool == Tls,
        (ListenerProtocol::Http, pool) => pool == Http,
        (ListenerProtocol::Https | ListenerProtocol::Quic, Http | Https) => true,
        (ListenerProtocol::Https | ListenerProtocol::Quic, Grpc) => listener.http().unwrap().http2,
        (ListenerProtocol::Https | ListenerProtocol::Quic, Tcp | Udp | Tls | Quic) => false,
    };
    assert!(fits, "{:?} does not go to {:?}", listener.protocol(), pool.protocol);
}
