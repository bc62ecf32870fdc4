//! The nouns of Fulcrum, and nothing but the nouns: what a load balancer, a listener, a pool … *is*.
//!
//! One neutral model, wide enough for all dialects (Huawei ELB, OpenStack Octavia, Alibaba SLB). A value of one of these types is
//! valid in itself: ranges are newtypes, parsed once at the edge. Rules *between* objects (references, port clashes, quotas)
//! live in `control`; vendors' words live in the dialects.
//!
//! This crate knows no socket, file, clock, thread or random source. Each noun has its own file, and beside the noun stand
//! `New…` (what a caller says to create one) and `…Patch` (what a caller says to change one).

pub mod access_key;
pub mod access_log;
pub mod certificate;
pub mod facts;
pub mod flavor;
pub mod health_monitor;
pub mod id;
pub mod ip_group;
pub mod listener;
pub mod load_balancer;
pub mod member;
pub mod member_check;
pub mod member_tls;
pub mod network;
pub mod object;
pub mod outlier_detection;
pub mod patch;
pub mod policy;
pub mod pool;
pub mod ports;
pub mod project;
pub mod proxy_protocol;
pub mod quota;
pub mod range;
pub mod rule;
pub mod secret;
pub mod security_policy;
pub mod snapshot;
pub mod standby_pool;
pub mod status;
pub mod subnet;
pub mod tag;
pub mod target;
pub mod text;
pub mod timestamp;
pub mod trace;
pub mod user;
pub mod zone;

pub use access_key::AccessKey;
pub use access_log::{AccessLog, AccessLogPatch, NewAccessLog};
pub use certificate::{
    Certificate, CertificateFacts, CertificateKind, CertificatePatch, KeyKind, NewCertificate,
};
pub use facts::{Facts, Fault, MemberHealth, ProbeFailure, ProbeFailureCode, Verdict};
pub use flavor::{Flavor, FlavorLayer};
pub use health_monitor::{HealthMonitor, HealthMonitorPatch, MonitorType, NewHealthMonitor};
pub use id::*;
pub use ip_group::{IpEntry, IpGroup, IpGroupPatch, IpSpan, NewIpGroup};
pub use listener::{Listener, ListenerPatch, ListenerProtocol, NewListener};
pub use load_balancer::{LoadBalancer, LoadBalancerPatch, NewLoadBalancer};
pub use member::{Member, MemberPatch, MemberRole, NewMember};
pub use member_check::MemberCheck;
pub use member_tls::{MemberTls, ServerName};
pub use network::Network;
pub use object::{Kind, Object, ObjectKey};
pub use outlier_detection::OutlierDetection;
pub use patch::Patch;
pub use policy::{Action, NewPolicy, Policy, PolicyPatch};
pub use pool::{Algorithm, NewPool, Pool, PoolPatch, PoolProtocol, QuicCidHash};
pub use ports::{PortRange, PortRanges, Ports, Transport};
pub use project::{Domain, Project};
pub use proxy_protocol::{ProxyAccept, ProxyVersion};
pub use quota::{Quota, QuotaKey};
pub use range::*;
pub use rule::{Compare, NewRule, Rule, RulePatch, RuleSubject};
pub use secret::Secret;
pub use security_policy::{
    CipherSuite, NewSecurityPolicy, SecurityPolicy, SecurityPolicyPatch, SystemSecurityPolicy, TlsVersion,
};
pub use snapshot::{Revision, Snapshot};
pub use standby_pool::NewStandbyPool;
pub use status::{OperatingStatus, ProvisioningStatus};
pub use subnet::Subnet;
pub use tag::Tag;
pub use target::{Target, TargetId, TargetOverride};
pub use text::{Description, Name};
pub use timestamp::Timestamp;
pub use trace::{Trace, TraceRating};
pub use user::{Role, RoleAssignment, User};
pub use zone::Zone;
