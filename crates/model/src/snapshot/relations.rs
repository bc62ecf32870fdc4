//! Who belongs to whom, and who uses whom: the questions that the indices of a snapshot answer.

use std::{net::IpAddr, sync::Arc};

use imbl::OrdSet;

use super::Snapshot;
use crate::{
    AccessLog, CertificateId, HealthMonitor, IpGroupId, Kind, Listener, ListenerId, LoadBalancer,
    LoadBalancerId, Member, MemberId, Policy, PolicyId, Pool, PoolId, Port, Priority, ProjectId, Rule,
    RuleId, SecurityPolicyId,
};

impl Snapshot {
    /// The listeners of a load balancer, by id.
    pub fn listeners_of(&self, load_balancer: LoadBalancerId) -> impl Iterator<Item = &Arc<Listener>> {
        below(&self.by_load_balancer, load_balancer, ListenerId::new).filter_map(|id| self.listeners.get(&id))
    }

    /// The listeners whose default pool it is, by id.
    pub fn listeners_using(&self, pool: PoolId) -> impl Iterator<Item = &Arc<Listener>> {
        below(&self.by_default_pool, pool, ListenerId::new).filter_map(|id| self.listeners.get(&id))
    }

    /// The pools that were created for a load balancer, by id. Pools reached through its listeners alone are not among them.
    pub fn pools_bound_to(&self, load_balancer: LoadBalancerId) -> impl Iterator<Item = &Arc<Pool>> {
        below(&self.bound_pools, load_balancer, PoolId::new).filter_map(|id| self.pools.get(&id))
    }

    /// The members of a pool, by id.
    pub fn members_of(&self, pool: PoolId) -> impl Iterator<Item = &Arc<Member>> {
        below(&self.by_pool, pool, MemberId::new).filter_map(|id| self.members.get(&id))
    }

    /// How many members a pool has.
    pub fn member_count(&self, pool: PoolId) -> usize {
        below(&self.by_pool, pool, MemberId::new).count()
    }

    /// The member of a pool that has that address and port; none: a member without a port of its own.
    pub fn member_at(&self, pool: PoolId, address: IpAddr, port: Option<Port>) -> Option<&Arc<Member>> {
        self.by_pool_address.get(&(pool, address, port)).and_then(|id| self.members.get(id))
    }

    /// The health monitor of a pool.
    pub fn monitor_of(&self, pool: PoolId) -> Option<&Arc<HealthMonitor>> {
        self.monitor_by_pool.get(&pool).and_then(|id| self.health_monitors.get(id))
    }

    /// The policies of a listener, by id.
    pub fn policies_of(&self, listener: ListenerId) -> impl Iterator<Item = &Arc<Policy>> {
        below(&self.by_listener, listener, PolicyId::new).filter_map(|id| self.policies.get(&id))
    }

    /// How many policies a listener has.
    pub fn policy_count(&self, listener: ListenerId) -> usize {
        self.policy_counts.get(&listener).copied().unwrap_or(0)
    }

    /// The policies of a listener with that priority: one, but for moments of a change.
    pub fn policies_at(
        &self,
        listener: ListenerId,
        priority: Priority,
    ) -> impl Iterator<Item = &Arc<Policy>> {
        let (first, last) = (PolicyId::new(uuid::Uuid::nil()), PolicyId::new(uuid::Uuid::max()));
        let span = (listener, priority, first)..=(listener, priority, last);
        self.by_priority.range(span).filter_map(|(_, _, id)| self.policies.get(id))
    }

    /// The last priority that a policy of a listener has.
    pub fn last_priority(&self, listener: ListenerId) -> Option<Priority> {
        let (first, last) = (PolicyId::new(uuid::Uuid::nil()), PolicyId::new(uuid::Uuid::max()));
        let span = (listener, Priority::MIN, first)..=(listener, Priority::MAX, last);
        self.by_priority.range(span).next_back().map(|&(_, priority, _)| priority)
    }

    /// The other policies of a policy's listener whose rules may ask for the same as its own; all that do are among them. A policy
    /// without rules is like no other.
    pub fn policies_like(&self, policy: PolicyId) -> impl Iterator<Item = &Arc<Policy>> {
        let (first, last) = (PolicyId::new(uuid::Uuid::nil()), PolicyId::new(uuid::Uuid::max()));
        let own = self.likeness.get(&policy).into_iter();
        let like = own.flat_map(move |&(listener, likeness)| {
            self.by_likeness.range((listener, likeness, first)..=(listener, likeness, last))
        });
        like.map(|&(_, _, id)| id).filter(move |id| *id != policy).filter_map(|id| self.policies.get(&id))
    }

    /// The policies that name a pool (as one of their pools, or for a mirror), by id.
    pub fn policies_using(&self, pool: PoolId) -> impl Iterator<Item = &Arc<Policy>> {
        below(&self.by_policy_pool, pool, PolicyId::new).filter_map(|id| self.policies.get(&id))
    }

    /// The policies that redirect to a listener, by id.
    pub fn policies_redirecting_to(&self, listener: ListenerId) -> impl Iterator<Item = &Arc<Policy>> {
        below(&self.by_redirect, listener, PolicyId::new).filter_map(|id| self.policies.get(&id))
    }

    /// The listeners that send to a pool, by default or by a policy; each once, by id.
    pub fn listeners_reaching(&self, pool: PoolId) -> impl Iterator<Item = &Arc<Listener>> {
        let by_default = below(&self.by_default_pool, pool, ListenerId::new);
        let (first, last) = (ListenerId::new(uuid::Uuid::nil()), ListenerId::new(uuid::Uuid::max()));
        let by_policy =
            self.pool_uses.range((pool, first)..=(pool, last)).map(|(&(_, listener), _)| listener);
        let ids: std::collections::BTreeSet<ListenerId> = by_default.chain(by_policy).collect();
        ids.into_iter().filter_map(|id| self.listeners.get(&id))
    }

    /// The rules of a policy, by id.
    pub fn rules_of(&self, policy: PolicyId) -> impl Iterator<Item = &Arc<Rule>> {
        below(&self.by_policy, policy, RuleId::new).filter_map(|id| self.rules.get(&id))
    }

    /// The listeners that show a certificate or check clients against it, by id.
    pub fn listeners_with_certificate(
        &self,
        certificate: CertificateId,
    ) -> impl Iterator<Item = &Arc<Listener>> {
        below(&self.by_certificate, certificate, ListenerId::new).filter_map(|id| self.listeners.get(&id))
    }

    /// The pools whose members are verified against a certificate's authorities, by id.
    pub fn pools_with_authority(&self, certificate: CertificateId) -> impl Iterator<Item = &Arc<Pool>> {
        below(&self.by_authority, certificate, PoolId::new).filter_map(|id| self.pools.get(&id))
    }

    /// The listeners that a custom security policy holds for, by id.
    pub fn listeners_with_security_policy(
        &self,
        policy: SecurityPolicyId,
    ) -> impl Iterator<Item = &Arc<Listener>> {
        below(&self.by_security_policy, policy, ListenerId::new).filter_map(|id| self.listeners.get(&id))
    }

    /// The listeners whose access control names an IP group, by id.
    pub fn listeners_with_ip_group(&self, group: IpGroupId) -> impl Iterator<Item = &Arc<Listener>> {
        below(&self.by_ip_group, group, ListenerId::new).filter_map(|id| self.listeners.get(&id))
    }

    /// The HTTPS listeners that tell their clients of a QUIC listener, by id.
    pub fn listeners_upgrading_to(&self, quic: ListenerId) -> impl Iterator<Item = &Arc<Listener>> {
        below(&self.by_quic_listener, quic, ListenerId::new).filter_map(|id| self.listeners.get(&id))
    }

    /// The access log of a load balancer.
    pub fn access_log_of(&self, load_balancer: LoadBalancerId) -> Option<&Arc<AccessLog>> {
        self.log_by_load_balancer.get(&load_balancer).and_then(|id| self.access_logs.get(id))
    }

    /// The load balancer that an address is a VIP of, in whatever subnet: one machine may hold the VIPs of all.
    pub fn load_balancer_at(&self, address: IpAddr) -> Option<&Arc<LoadBalancer>> {
        self.by_address.get(&address).and_then(|id| self.load_balancers.get(id))
    }

    /// How many objects of a kind a project owns.
    pub fn owned(&self, project: ProjectId, kind: Kind) -> usize {
        self.owned.get(&(project, kind)).copied().unwrap_or(0)
    }
}

/// The children of one parent in a set of (parent, child) pairs, in order.
fn below<P: Ord + Copy, C: Ord + Copy>(
    pairs: &OrdSet<(P, C)>,
    parent: P,
    child: fn(uuid::Uuid) -> C,
) -> impl Iterator<Item = C> {
    let span = (parent, child(uuid::Uuid::nil()))..=(parent, child(uuid::Uuid::max()));
    pairs.range(span).map(|&(_, child)| child)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{NetworkId, Object, SubnetId, Timestamp, Weight};

    fn uuid(n: u128) -> uuid::Uuid {
        uuid::Uuid::from_u128(n)
    }
    pub(in crate::snapshot) fn member(id: u128, pool: u128) -> Member {
        Member {
            id: MemberId::new(uuid(id)),
            pool: PoolId::new(uuid(pool)),
            project: ProjectId::new(uuid(1)),
            name: Default::default(),
            address: [127, 0, 0, 1].into(),
            port: None,
            weight: Weight::of(1),
            subnet: None,
            zone: None,
            admin_up: true,
            role: None,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        }
    }
    pub(in crate::snapshot) fn ids(snapshot: &Snapshot, pool: u128) -> Vec<u128> {
        snapshot.members_of(PoolId::new(uuid(pool))).map(|m| m.id.uuid().as_u128()).collect()
    }

    #[test]
    fn children_are_listed_by_parent_in_order_of_id() {
        let mut snapshot = Snapshot::default();
        for (id, pool) in [(9, 1), (3, 1), (5, 2)] {
            snapshot.put(member(id, pool).into());
        }
        assert_eq!((ids(&snapshot, 1), ids(&snapshot, 2), ids(&snapshot, 3)), (vec![3, 9], vec![5], vec![]));
    }

    #[test]
    fn replacing_and_removing_keep_the_indices_true() {
        let mut snapshot = Snapshot::default();
        snapshot.put(member(1, 1).into());
        let before = snapshot.clone();
        snapshot.put(member(1, 2).into());
        assert_eq!((ids(&snapshot, 1), ids(&snapshot, 2)), (vec![], vec![1]), "moved to the other pool");
        assert_eq!(ids(&before, 1), vec![1], "an older snapshot does not change");
        snapshot.remove(&Object::from(member(1, 2)).key());
        assert_eq!(snapshot.objects().count(), 0);
        assert!(ids(&snapshot, 2).is_empty());
    }

    #[test]
    fn a_member_is_found_by_its_address_and_port_in_its_pool_alone() {
        let (pool, address) = (PoolId::new(uuid(1)), member(1, 1).address);
        let port = |port| Some(Port::of(port));
        let mut snapshot = Snapshot::default();
        snapshot.put(Member { port: port(80), ..member(1, 1) }.into());
        snapshot.put(member(2, 1).into());
        snapshot.put(Member { port: port(80), ..member(3, 2) }.into());
        let at = |snapshot: &Snapshot, port| {
            snapshot.member_at(pool, address, port).map(|m| m.id.uuid().as_u128())
        };
        assert_eq!(
            (at(&snapshot, port(80)), at(&snapshot, None), at(&snapshot, port(81))),
            (Some(1), Some(2), None)
        );
        snapshot.put(Member { port: port(81), ..member(1, 1) }.into());
        assert_eq!(
            (at(&snapshot, port(80)), at(&snapshot, port(81)), snapshot.member_count(pool)),
            (None, Some(1), 2)
        );
    }

    #[test]
    fn what_a_project_owns_is_counted_through_adding_replacing_and_removing() {
        let project = |n| ProjectId::new(uuid(n));
        let mut snapshot = Snapshot::default();
        for member in
            [member(1, 1), member(2, 1), member(2, 3), Member { project: project(2), ..member(3, 1) }]
        {
            snapshot.put(member.into());
        }
        assert_eq!(
            (snapshot.owned(project(1), Kind::Member), snapshot.owned(project(2), Kind::Member)),
            (2, 1)
        );
        for _ in 0..2 {
            snapshot.remove(&Object::from(member(1, 1)).key());
        }
        snapshot.put(Member { project: project(1), ..member(3, 1) }.into());
        assert_eq!(
            (snapshot.owned(project(1), Kind::Member), snapshot.owned(project(2), Kind::Member)),
            (2, 0)
        );
        assert_eq!(snapshot.owned(project(1), Kind::Pool), 0);
    }

    #[test]
    fn an_address_leads_to_its_load_balancer_until_it_moves_or_goes() {
        let subnet = SubnetId::new(uuid(1));
        let vip =
            |last| crate::load_balancer::Vip { subnet, address: [127, 88, 0, last].into(), port_id: uuid(1) };
        let with = |vip| LoadBalancer {
            id: LoadBalancerId::new(uuid(7)),
            project: ProjectId::new(uuid(1)),
            name: Default::default(),
            description: Default::default(),
            admin_up: true,
            network: NetworkId::new(uuid(1)),
            vip,
            vip_v6: None,
            zones: Vec::new(),
            l4_flavor: None,
            l7_flavor: None,
            bits_per_second_max: 0,
            member_subnets: Vec::new(),
            ip_targets: false,
            deletion_protection: false,
            protection: Default::default(),
            waf_failure: Default::default(),
            enterprise_project: None,
            tags: Vec::new(),
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        let mut snapshot = Snapshot::default();
        let at =
            |snapshot: &Snapshot, last: u8| snapshot.load_balancer_at([127, 88, 0, last].into()).is_some();
        for (why, vip, expect) in [
            ("taken", Some(vip(2)), (true, false)),
            ("moved", Some(vip(3)), (false, true)),
            ("given up", None, (false, false)),
        ] {
            snapshot.put(with(vip).into());
            assert_eq!((at(&snapshot, 2), at(&snapshot, 3)), expect, "{why}");
        }
        snapshot.put(with(Some(vip(2))).into());
        snapshot.remove(&Object::from(with(None)).key());
        assert!(!at(&snapshot, 2), "gone");
    }

    #[test]
    fn policies_whose_rules_ask_for_the_same_are_alike_however_they_came() {
        let policy = |id| crate::Policy {
            id: PolicyId::new(uuid(id)),
            project: ProjectId::new(uuid(1)),
            listener: ListenerId::new(uuid(1)),
            name: Default::default(),
            description: Default::default(),
            position: 1,
            priority: None,
            action: crate::Action::ToListener(ListenerId::new(uuid(9))),
            faulty: false,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        let rule = |id, policy, values: &[&str]| crate::Rule {
            id: RuleId::new(uuid(id)),
            project: ProjectId::new(uuid(1)),
            policy: PolicyId::new(uuid(policy)),
            subject: crate::RuleSubject::Host,
            compare: crate::Compare::Equal,
            key: None,
            value: String::new(),
            conditions: values
                .iter()
                .map(|value| crate::rule::Condition { key: None, value: (*value).to_owned() })
                .collect(),
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        let mut snapshot = Snapshot::default();
        let like = |snapshot: &Snapshot, id| -> Vec<u128> {
            snapshot.policies_like(PolicyId::new(uuid(id))).map(|policy| policy.id.uuid().as_u128()).collect()
        };
        snapshot.put(policy(1).into());
        snapshot.put(rule(11, 1, &["a.org", "b.org"]).into());
        snapshot.put(rule(12, 1, &["c.org"]).into());
        // As another store may tell of it: rules before their policy, in another order, in other letters.
        snapshot.put(rule(13, 2, &["C.org"]).into());
        snapshot.put(rule(14, 2, &["B.org", "a.org"]).into());
        snapshot.put(policy(2).into());
        snapshot.put(policy(3).into());
        assert_eq!((like(&snapshot, 1), like(&snapshot, 2)), (vec![2], vec![1]));
        assert_eq!(like(&snapshot, 3), [0; 0], "without rules it is like none");
        snapshot.put(rule(13, 2, &["d.org"]).into());
        assert_eq!(like(&snapshot, 1), [0; 0], "a rule changed");
        snapshot.put(rule(13, 2, &["c.org"]).into());
        assert_eq!(like(&snapshot, 1), [2], "and back");
        snapshot.put(crate::Policy { listener: ListenerId::new(uuid(2)), ..policy(2) }.into());
        assert_eq!(like(&snapshot, 1), [0; 0], "another listener's");
        snapshot.put(policy(2).into());
        snapshot.remove(&Object::from(policy(2)).key());
        assert_eq!(like(&snapshot, 1), [0; 0], "gone");
        for object in [Object::from(rule(13, 2, &[])), rule(14, 2, &[]).into(), policy(1).into()] {
            snapshot.remove(&object.key());
        }
        for id in [11, 12] {
            snapshot.remove(&Object::from(rule(id, 1, &[])).key());
        }
        assert!(snapshot.likeness.is_empty() && snapshot.by_likeness.is_empty(), "nothing is left behind");
    }
}
