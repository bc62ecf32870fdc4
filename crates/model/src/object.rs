//! Objects as the store sees them: a kind, an id, an owner, a body.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    AccessKey, AccessLog, Certificate, HealthMonitor, IpGroup, Listener, LoadBalancer, Member, Network,
    Policy, Pool, Project, ProjectId, Quota, Rule, SecurityPolicy, Subnet, User,
};

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident($noun:ty) $text:literal |$object:ident| $key:expr;)+) => {
        /// The kinds of object that are stored.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind { $($(#[$doc])* $variant,)+ }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];
            /// The kind as written in the store.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $text,)+ } }
            /// The kind of that text.
            pub fn parse(text: &str) -> Option<Self> { Self::ALL.iter().copied().find(|kind| kind.as_str() == text) }
        }

        /// An object of any kind.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Object { $($(#[$doc])* $variant(Arc<$noun>),)+ }

        impl Object {
            /// Its kind.
            pub fn kind(&self) -> Kind { match self { $(Self::$variant(_) => Kind::$variant,)+ } }
            /// Its key; the id is in the form that the store writes.
            pub fn key(&self) -> ObjectKey {
                match self { $(Self::$variant($object) => ObjectKey { kind: Kind::$variant, id: $key },)+ }
            }
        }

        $(impl From<$noun> for Object { fn from(noun: $noun) -> Self { Self::$variant(Arc::new(noun)) } })+
    };
}

kinds! {
    /// A load balancer.
    LoadBalancer(LoadBalancer) "load_balancer" |o| o.id.to_string();
    /// A listener.
    Listener(Listener) "listener" |o| o.id.to_string();
    /// A pool.
    Pool(Pool) "pool" |o| o.id.to_string();
    /// A member.
    Member(Member) "member" |o| o.id.to_string();
    /// A health monitor.
    HealthMonitor(HealthMonitor) "health_monitor" |o| o.id.to_string();
    /// A policy.
    Policy(Policy) "policy" |o| o.id.to_string();
    /// A rule of a policy.
    Rule(Rule) "rule" |o| o.id.to_string();
    /// A certificate.
    Certificate(Certificate) "certificate" |o| o.id.to_string();
    /// A custom security policy.
    SecurityPolicy(SecurityPolicy) "security_policy" |o| o.id.to_string();
    /// An IP group.
    IpGroup(IpGroup) "ip_group" |o| o.id.to_string();
    /// The access log of a load balancer.
    AccessLog(AccessLog) "access_log" |o| o.id.to_string();
    /// A network.
    Network(Network) "network" |o| o.id.to_string();
    /// A subnet.
    Subnet(Subnet) "subnet" |o| o.id.to_string();
    /// A project.
    Project(Project) "project" |o| o.id.to_string();
    /// A user.
    User(User) "user" |o| o.id.to_string();
    /// An access key.
    AccessKey(AccessKey) "access_key" |o| o.id.to_string();
    /// A project's quota; its id is the project's.
    Quota(Quota) "quota" |o| o.project.to_string();
}

impl Object {
    /// The project that owns it; none for what belongs to the site or to a domain.
    pub fn project(&self) -> Option<ProjectId> {
        match self {
            Self::LoadBalancer(o) => Some(o.project),
            Self::Listener(o) => Some(o.project),
            Self::Pool(o) => Some(o.project),
            Self::Member(o) => Some(o.project),
            Self::HealthMonitor(o) => Some(o.project),
            Self::Policy(o) => Some(o.project),
            Self::Rule(o) => Some(o.project),
            Self::Certificate(o) => Some(o.project),
            Self::SecurityPolicy(o) => Some(o.project),
            Self::IpGroup(o) => Some(o.project),
            Self::AccessLog(o) => Some(o.project),
            Self::AccessKey(o) => Some(o.project),
            Self::Quota(o) => Some(o.project),
            Self::Network(_) | Self::Subnet(_) | Self::Project(_) | Self::User(_) => None,
        }
    }

    /// The id of the object that it hangs below, in the form that the store writes.
    pub fn parent(&self) -> Option<String> {
        match self {
            Self::Listener(o) => Some(o.load_balancer.to_string()),
            Self::Pool(o) => o.load_balancer.map(|id| id.to_string()),
            Self::Member(o) => Some(o.pool.to_string()),
            Self::HealthMonitor(o) => Some(o.pool.to_string()),
            Self::Subnet(o) => Some(o.network.to_string()),
            Self::Policy(o) => Some(o.listener.to_string()),
            Self::Rule(o) => Some(o.policy.to_string()),
            Self::AccessLog(o) => Some(o.load_balancer.to_string()),
            Self::AccessKey(o) => Some(o.user.to_string()),
            Self::LoadBalancer(_)
            | Self::Certificate(_)
            | Self::SecurityPolicy(_)
            | Self::IpGroup(_)
            | Self::Network(_)
            | Self::Project(_)
            | Self::User(_)
            | Self::Quota(_) => None,
        }
    }
}

/// Names an object of any kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// Its id in the form that the store writes: dashed lower-case UUID, or the access key's text.
    pub id: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.id)
    }
}
