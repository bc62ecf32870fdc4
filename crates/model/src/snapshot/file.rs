//! A snapshot in a file.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    AccessLog, Certificate, HealthMonitor, IpGroup, Listener, LoadBalancer, Member, Object, Policy, Pool,
    Quota, Revision, Rule, SecurityPolicy, Snapshot,
};

/// The form in which a snapshot is written to a file: the data plane's objects only, no identities.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DataPlaneSnapshot {
    /// See [`Snapshot::revision`].
    pub revision: Revision,
    /// See [`Snapshot::load_balancers`].
    pub load_balancers: Vec<Arc<LoadBalancer>>,
    /// See [`Snapshot::listeners`].
    pub listeners: Vec<Arc<Listener>>,
    /// See [`Snapshot::pools`].
    pub pools: Vec<Arc<Pool>>,
    /// See [`Snapshot::members`].
    pub members: Vec<Arc<Member>>,
    /// See [`Snapshot::health_monitors`].
    pub health_monitors: Vec<Arc<HealthMonitor>>,
    /// See [`Snapshot::policies`].
    #[serde(default)]
    pub policies: Vec<Arc<Policy>>,
    /// See [`Snapshot::rules`].
    #[serde(default)]
    pub rules: Vec<Arc<Rule>>,
    /// See [`Snapshot::certificates`]; who writes them to a file seals their keys.
    #[serde(default)]
    pub certificates: Vec<Arc<Certificate>>,
    /// See [`Snapshot::security_policies`].
    #[serde(default)]
    pub security_policies: Vec<Arc<SecurityPolicy>>,
    /// See [`Snapshot::ip_groups`].
    #[serde(default)]
    pub ip_groups: Vec<Arc<IpGroup>>,
    /// See [`Snapshot::access_logs`].
    #[serde(default)]
    pub access_logs: Vec<Arc<AccessLog>>,
    /// See [`Snapshot::quotas`]: policies over their quota are not applied.
    #[serde(default)]
    pub quotas: Vec<Arc<Quota>>,
}

impl From<&Snapshot> for DataPlaneSnapshot {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            revision: snapshot.revision,
            load_balancers: snapshot.load_balancers.values().cloned().collect(),
            listeners: snapshot.listeners.values().cloned().collect(),
            pools: snapshot.pools.values().cloned().collect(),
            members: snapshot.members.values().cloned().collect(),
            health_monitors: snapshot.health_monitors.values().cloned().collect(),
            policies: snapshot.policies.values().cloned().collect(),
            rules: snapshot.rules.values().cloned().collect(),
            certificates: snapshot.certificates.values().cloned().collect(),
            security_policies: snapshot.security_policies.values().cloned().collect(),
            ip_groups: snapshot.ip_groups.values().cloned().collect(),
            access_logs: snapshot.access_logs.values().cloned().collect(),
            quotas: snapshot.quotas.values().cloned().collect(),
        }
    }
}

impl From<DataPlaneSnapshot> for Snapshot {
    fn from(file: DataPlaneSnapshot) -> Self {
        let mut snapshot = Snapshot { revision: file.revision, ..Snapshot::default() };
        file.load_balancers.into_iter().for_each(|o| snapshot.put(Object::LoadBalancer(o)));
        file.listeners.into_iter().for_each(|o| snapshot.put(Object::Listener(o)));
        file.pools.into_iter().for_each(|o| snapshot.put(Object::Pool(o)));
        file.members.into_iter().for_each(|o| snapshot.put(Object::Member(o)));
        file.health_monitors.into_iter().for_each(|o| snapshot.put(Object::HealthMonitor(o)));
        file.policies.into_iter().for_each(|o| snapshot.put(Object::Policy(o)));
        file.rules.into_iter().for_each(|o| snapshot.put(Object::Rule(o)));
        file.certificates.into_iter().for_each(|o| snapshot.put(Object::Certificate(o)));
        file.security_policies.into_iter().for_each(|o| snapshot.put(Object::SecurityPolicy(o)));
        file.ip_groups.into_iter().for_each(|o| snapshot.put(Object::IpGroup(o)));
        file.access_logs.into_iter().for_each(|o| snapshot.put(Object::AccessLog(o)));
        file.quotas.into_iter().for_each(|o| snapshot.put(Object::Quota(o)));
        snapshot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Revision,
        snapshot::relations::tests::{ids, member},
    };

    #[test]
    fn the_written_form_comes_back_whole() {
        let mut snapshot = Snapshot { revision: Revision(7), ..Default::default() };
        snapshot.put(member(1, 2).into());
        let text = serde_json::to_string(&DataPlaneSnapshot::from(&snapshot)).unwrap();
        let back: Snapshot = serde_json::from_str::<DataPlaneSnapshot>(&text).unwrap().into();
        assert!(
            back.revision == snapshot.revision
                && back.objects().eq(snapshot.objects())
                && ids(&back, 2) == [1]
        );
    }
}
