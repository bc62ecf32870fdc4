//! Changing a snapshot: maps and indices together, which nothing else changes.

use imbl::OrdMap;

use crate::{Object, ObjectKey, PolicyId, Snapshot, listener::TlsService, policy::Action};

impl Snapshot {
    /// Adds an object or replaces the one of the same key.
    pub fn put(&mut self, object: Object) {
        self.remove(&object.key());
        if let Some(project) = object.project() {
            *self.owned.entry((project, object.kind())).or_insert(0) += 1;
        }
        match object {
            Object::LoadBalancer(o) => {
                for address in o.vips() {
                    self.by_address.insert(address, o.id);
                }
                self.load_balancers.insert(o.id, o);
            }
            Object::Listener(o) => {
                self.by_load_balancer.insert((o.load_balancer, o.id));
                if let Some(pool) = o.default_pool {
                    self.by_default_pool.insert((pool, o.id));
                }
                for certificate in o.tls().into_iter().flat_map(TlsService::certificates) {
                    self.by_certificate.insert((certificate, o.id));
                }
                if let Some(policy) = o.tls().and_then(|tls| tls.security_policy) {
                    self.by_security_policy.insert((policy, o.id));
                }
                for group in o.access.iter().flat_map(|access| &access.groups) {
                    self.by_ip_group.insert((*group, o.id));
                }
                if let Some(upgrade) = o.quic_upgrade() {
                    self.by_quic_listener.insert((upgrade.listener, o.id));
                }
                self.listeners.insert(o.id, o);
            }
            Object::Pool(o) => {
                if let Some(load_balancer) = o.load_balancer {
                    self.bound_pools.insert((load_balancer, o.id));
                }
                if let Some(tls) = &o.member_tls {
                    self.by_authority.insert((tls.authority, o.id));
                }
                self.pools.insert(o.id, o);
            }
            Object::Member(o) => {
                self.by_pool.insert((o.pool, o.id));
                self.by_pool_address.insert((o.pool, o.address, o.port), o.id);
                self.members.insert(o.id, o);
            }
            Object::HealthMonitor(o) => {
                self.monitor_by_pool.insert(o.pool, o.id);
                self.health_monitors.insert(o.id, o);
            }
            Object::Policy(o) => {
                self.by_listener.insert((o.listener, o.id));
                *self.policy_counts.entry(o.listener).or_insert(0) += 1;
                if let Some(priority) = o.priority {
                    self.by_priority.insert((o.listener, priority, o.id));
                }
                for pool in o.action.pools() {
                    self.by_policy_pool.insert((pool, o.id));
                    *self.pool_uses.entry((pool, o.listener)).or_insert(0) += 1;
                }
                if let Action::ToListener(listener) = o.action {
                    self.by_redirect.insert((listener, o.id));
                }
                let id = o.id;
                self.policies.insert(id, o);
                self.settle_likeness(id);
            }
            Object::Rule(o) => {
                let policy = o.policy;
                self.by_policy.insert((policy, o.id));
                self.rules.insert(o.id, o);
                self.settle_likeness(policy);
            }
            Object::Certificate(o) => {
                self.certificates.insert(o.id, o);
            }
            Object::SecurityPolicy(o) => {
                self.security_policies.insert(o.id, o);
            }
            Object::IpGroup(o) => {
                self.ip_groups.insert(o.id, o);
            }
            Object::AccessLog(o) => {
                self.log_by_load_balancer.insert(o.load_balancer, o.id);
                self.access_logs.insert(o.id, o);
            }
            Object::Network(o) => {
                self.networks.insert(o.id, o);
            }
            Object::Subnet(o) => {
                self.subnets.insert(o.id, o);
            }
            Object::Project(o) => {
                self.projects.insert(o.id, o);
            }
            Object::User(o) => {
                self.users.insert(o.id, o);
            }
            Object::AccessKey(o) => {
                self.access_keys.insert(o.id.clone(), o);
            }
            Object::Quota(o) => {
                self.quotas.insert(o.project, o);
            }
        }
    }

    /// Removes the object of that key; one that is not there stays away.
    pub fn remove(&mut self, key: &ObjectKey) {
        let there = self.object(key);
        if let Some(project) = there.as_ref().and_then(Object::project) {
            one_less(&mut self.owned, (project, key.kind));
        }
        match there {
            None => {}
            Some(Object::LoadBalancer(o)) => {
                for address in o.vips() {
                    if self.by_address.get(&address) == Some(&o.id) {
                        self.by_address.remove(&address);
                    }
                }
                self.load_balancers.remove(&o.id);
            }
            Some(Object::Listener(o)) => {
                self.by_load_balancer.remove(&(o.load_balancer, o.id));
                if let Some(pool) = o.default_pool {
                    self.by_default_pool.remove(&(pool, o.id));
                }
                for certificate in o.tls().into_iter().flat_map(TlsService::certificates) {
                    self.by_certificate.remove(&(certificate, o.id));
                }
                if let Some(policy) = o.tls().and_then(|tls| tls.security_policy) {
                    self.by_security_policy.remove(&(policy, o.id));
                }
                for group in o.access.iter().flat_map(|access| &access.groups) {
                    self.by_ip_group.remove(&(*group, o.id));
                }
                if let Some(upgrade) = o.quic_upgrade() {
                    self.by_quic_listener.remove(&(upgrade.listener, o.id));
                }
                self.listeners.remove(&o.id);
            }
            Some(Object::Pool(o)) => {
                if let Some(load_balancer) = o.load_balancer {
                    self.bound_pools.remove(&(load_balancer, o.id));
                }
                if let Some(tls) = &o.member_tls {
                    self.by_authority.remove(&(tls.authority, o.id));
                }
                self.pools.remove(&o.id);
            }
            Some(Object::Member(o)) => {
                self.by_pool.remove(&(o.pool, o.id));
                let place = (o.pool, o.address, o.port);
                if self.by_pool_address.get(&place) == Some(&o.id) {
                    self.by_pool_address.remove(&place);
                }
                self.members.remove(&o.id);
            }
            Some(Object::HealthMonitor(o)) => {
                if self.monitor_by_pool.get(&o.pool) == Some(&o.id) {
                    self.monitor_by_pool.remove(&o.pool);
                }
                self.health_monitors.remove(&o.id);
            }
            Some(Object::Policy(o)) => {
                self.by_listener.remove(&(o.listener, o.id));
                one_less(&mut self.policy_counts, o.listener);
                if let Some(priority) = o.priority {
                    self.by_priority.remove(&(o.listener, priority, o.id));
                }
                for pool in o.action.pools() {
                    self.by_policy_pool.remove(&(pool, o.id));
                    one_less(&mut self.pool_uses, (pool, o.listener));
                }
                if let Action::ToListener(listener) = o.action {
                    self.by_redirect.remove(&(listener, o.id));
                }
                self.policies.remove(&o.id);
                self.settle_likeness(o.id);
            }
            Some(Object::Rule(o)) => {
                self.by_policy.remove(&(o.policy, o.id));
                self.rules.remove(&o.id);
                self.settle_likeness(o.policy);
            }
            Some(Object::Certificate(o)) => {
                self.certificates.remove(&o.id);
            }
            Some(Object::SecurityPolicy(o)) => {
                self.security_policies.remove(&o.id);
            }
            Some(Object::IpGroup(o)) => {
                self.ip_groups.remove(&o.id);
            }
            Some(Object::AccessLog(o)) => {
                if self.log_by_load_balancer.get(&o.load_balancer) == Some(&o.id) {
                    self.log_by_load_balancer.remove(&o.load_balancer);
                }
                self.access_logs.remove(&o.id);
            }
            Some(Object::Network(o)) => {
                self.networks.remove(&o.id);
            }
            Some(Object::Subnet(o)) => {
                self.subnets.remove(&o.id);
            }
            Some(Object::Project(o)) => {
                self.projects.remove(&o.id);
            }
            Some(Object::User(o)) => {
                self.users.remove(&o.id);
            }
            Some(Object::AccessKey(o)) => {
                self.access_keys.remove(&o.id);
            }
            Some(Object::Quota(o)) => {
                self.quotas.remove(&o.project);
            }
        }
    }

    /// Looks again at what a policy's rules ask for, after it or they changed.
    fn settle_likeness(&mut self, id: PolicyId) {
        // A sum, because the order of rules says nothing.
        let likeness = self.rules_of(id).map(|rule| rule.likeness()).reduce(u64::wrapping_add);
        let now = self.policies.get(&id).map(|policy| policy.listener).zip(likeness);
        if self.likeness.get(&id).copied() == now {
            return;
        }
        if let Some((listener, likeness)) = self.likeness.remove(&id) {
            self.by_likeness.remove(&(listener, likeness, id));
        }
        if let Some((listener, likeness)) = now {
            self.likeness.insert(id, (listener, likeness));
            self.by_likeness.insert((listener, likeness, id));
        }
    }
}

/// Takes one from a count; a count of nothing is not kept.
fn one_less<K: Ord + Clone>(counts: &mut OrdMap<K, usize>, key: K) {
    match counts.get(&key).copied().unwrap_or(0) {
        0 | 1 => counts.remove(&key),
        count => counts.insert(key, count - 1),
    };
}
