//! Quotas: how much a project may own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ProjectId;

/// A project's own limits; a key that is not set has its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Whose limits.
    pub project: ProjectId,
    /// The limits that differ from the default; -1 is no limit.
    pub limits: BTreeMap<QuotaKey, i64>,
}

macro_rules! quota_keys {
    ($($(#[$doc:meta])* $variant:ident $text:literal $default:literal;)+) => {
        /// What is limited, with the default of huawei/behaviours.md section 12 and behaviour/features.md section 12.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum QuotaKey { $($(#[$doc])* $variant,)+ }

        impl QuotaKey {
            /// Every key.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];
            /// The key as written in APIs.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $text,)+ } }
            /// The limit of a project that has none of its own; -1 is no limit.
            pub const fn default_limit(self) -> i64 { match self { $(Self::$variant => $default,)+ } }
        }
    };
}

quota_keys! {
    /// Load balancers of the project.
    Loadbalancer "loadbalancer" 50;
    /// Listeners of the project.
    Listener "listener" 100;
    /// IP groups of the project.
    Ipgroup "ipgroup" 50;
    /// Pools of the project.
    Pool "pool" 500;
    /// Members of the project.
    Member "member" 500;
    /// Health monitors of the project.
    Healthmonitor "healthmonitor" -1;
    /// Policies of the project.
    L7policy "l7policy" 500;
    /// Certificates of the project.
    Certificate "certificate" 120;
    /// Custom TLS security policies of the project.
    SecurityPolicy "security_policy" 50;
    /// Listeners of one load balancer; advice, not enforced.
    ListenersPerLoadbalancer "listeners_per_loadbalancer" 50;
    /// Listeners that use one pool.
    ListenersPerPool "listeners_per_pool" 50;
    /// Members of one pool.
    MembersPerPool "members_per_pool" 500;
    /// Conditions of one policy.
    ConditionPerPolicy "condition_per_policy" 10;
    /// Listeners bound to one IP group.
    IpgroupBindings "ipgroup_bindings" 50;
    /// Entries of one IP group.
    IpgroupMaxLength "ipgroup_max_length" 300;
    /// IP groups of one listener.
    IpgroupsPerListener "ipgroups_per_listener" 5;
    /// Pools of one policy.
    PoolsPerL7policy "pools_per_l7policy" 5;
    /// Policies of one listener.
    L7policiesPerListener "l7policies_per_listener" 100;
    /// Members of one pool of a free instance.
    FreeInstanceMembersPerPool "free_instance_members_per_pool" 50;
    /// Listeners of one free instance.
    FreeInstanceListenersPerLoadbalancer "free_instance_listeners_per_loadbalancer" 5;
}

impl Quota {
    /// A project's limit; -1 is no limit.
    pub fn limit(quota: Option<&Self>, key: QuotaKey) -> i64 {
        quota.and_then(|quota| quota.limits.get(&key).copied()).unwrap_or_else(|| key.default_limit())
    }
}
