//! A pool: members that do the same work, and how new work is shared among them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    CidLength, CidOffset, Description, DrainTimeout, ListenerId, LoadBalancerId, MemberTls, Name, NetworkId,
    OutlierDetection, Patch, PoolId, ProjectId, ProxyVersion, SlowStartDuration, StickyMinutes, Timestamp,
    load_balancer::{Protection, ProtectionPatch},
};

/// A pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Its id.
    pub id: PoolId,
    /// The owning project.
    pub project: ProjectId,
    /// What people call it; need not be unique.
    pub name: Name,
    /// A remark.
    pub description: Description,
    /// Down: gets no traffic.
    pub admin_up: bool,
    /// What is spoken to members.
    pub protocol: PoolProtocol,
    /// Which member gets new work.
    pub algorithm: Algorithm,
    /// Whether and how clients stay with a member.
    pub stickiness: Option<Stickiness>,
    /// Which addresses members may have.
    pub ip_version: IpVersion,
    /// A growing share for new members.
    pub slow_start: Option<SlowStart>,
    /// True: members cannot be removed by any call.
    pub member_deletion_protection: bool,
    /// The network that members with a subnet live in; none until it is known.
    pub network: Option<NetworkId>,
    /// What kind of members are wanted.
    pub kind: PoolKind,
    /// Members are reached on the port that the client used.
    pub any_port: bool,
    /// How long existing connections of a leaving member may last.
    pub drain: Option<Drain>,
    /// With no healthy member, use all.
    pub all_down_forward: bool,
    /// How members prove who they are; none: they need not. Only for HTTPS.
    #[serde(default)]
    pub member_tls: Option<MemberTls>,
    /// The PROXY header that members are sent in front of what a client says; none: nothing.
    #[serde(default)]
    pub member_proxy_protocol: Option<ProxyVersion>,
    /// Which part of a connection id places a connection; only QUIC pools have it.
    #[serde(default)]
    pub quic_cid_hash: Option<QuicCidHash>,
    /// Active/standby: exactly two members, of which one serves and the other waits ([`crate::member::MemberRole`]). Never changes.
    #[serde(default)]
    pub standby: bool,
    /// Whether members that fail their work are left out for a while; none: not. Not for pools of datagrams.
    #[serde(default)]
    pub outlier_detection: Option<OutlierDetection>,
    /// The load balancer that the pool was created for; none for a pool that only listeners refer to.
    pub load_balancer: Option<LoadBalancerId>,
    /// A mark that consoles honour.
    pub protection: Protection,
    /// A grouping over regions; none is written "0".
    pub enterprise_project: Option<Uuid>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed by a caller.
    pub updated_at: Timestamp,
}

/// What is spoken to members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolProtocol {
    /// Bytes over TCP.
    Tcp,
    /// Datagrams.
    Udp,
    /// HTTP/1.1 in clear.
    Http,
    /// HTTP/1.1 over TLS; whether members' certificates are verified: [`Pool::member_tls`].
    Https,
    /// gRPC: HTTP/2 in clear.
    Grpc,
    /// Bytes over TLS.
    Tls,
    /// QUIC, passed on as it is.
    Quic,
}

impl PoolProtocol {
    /// Whether members are spoken to in requests (layer 7), not in bytes or datagrams (layer 4).
    pub const fn is_layer7(self) -> bool {
        match self {
            Self::Http | Self::Https | Self::Grpc => true,
            Self::Tcp | Self::Udp | Self::Tls | Self::Quic => false,
        }
    }
}

/// The part of a QUIC connection id by which connections are placed (behaviour/features.md section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuicCidHash {
    /// How many bytes.
    pub length: CidLength,
    /// The first of them.
    pub offset: CidOffset,
}

impl Default for QuicCidHash {
    /// 3 bytes behind the first one.
    fn default() -> Self {
        Self { length: CidLength::of(3), offset: CidOffset::of(1) }
    }
}

/// Which member gets new work (behaviour/features.md section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// In turn, in proportion to weight.
    RoundRobin,
    /// The member with the fewest connections for its weight.
    LeastConnections,
    /// By a consistent hash of the client's address; weights do not count, except that 0 takes no new work.
    SourceIp,
    /// By a consistent hash of the QUIC connection id; weights as for `SourceIp`. Only QUIC pools.
    QuicCid,
}

/// Which addresses members may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpVersion {
    /// IPv4 alone.
    V4,
    /// IPv4 and IPv6.
    Dualstack,
}

/// What kind of members a pool wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolKind {
    /// Any.
    #[default]
    Any,
    /// Servers of the pool's network: members with a subnet.
    Instance,
    /// Bare addresses: members without a subnet.
    Ip,
}

/// How clients stay with a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stickiness {
    /// By the client's address.
    SourceIp {
        /// For how long after the last use.
        minutes: StickyMinutes,
    },
    /// By a cookie that the load balancer sets.
    HttpCookie {
        /// The cookie's life.
        minutes: StickyMinutes,
    },
    /// By a cookie that the members set.
    AppCookie {
        /// The cookie's name.
        name: String,
    },
}

/// A share that grows from nothing to the member's weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowStart {
    /// Whether it is on.
    pub enabled: bool,
    /// How long the growth takes.
    pub duration: SlowStartDuration,
}

/// Deregistration delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Off: connections of a removed member end at once.
    pub enabled: bool,
    /// How long they may last.
    pub timeout: DrainTimeout,
}

impl Default for Drain {
    /// What holds where nothing was said (v3.json "ConnectionDrain").
    fn default() -> Self {
        Self { enabled: true, timeout: DrainTimeout::of(300) }
    }
}

/// What a caller says to create a pool; defaults are already filled in by the dialect.
#[derive(Clone, Debug)]
pub struct NewPool {
    /// See [`Pool::name`].
    pub name: Name,
    /// See [`Pool::description`].
    pub description: Description,
    /// See [`Pool::admin_up`].
    pub admin_up: bool,
    /// See [`Pool::protocol`].
    pub protocol: PoolProtocol,
    /// See [`Pool::algorithm`].
    pub algorithm: Algorithm,
    /// See [`Pool::stickiness`].
    pub stickiness: Option<Stickiness>,
    /// See [`Pool::ip_version`].
    pub ip_version: IpVersion,
    /// See [`Pool::slow_start`].
    pub slow_start: Option<SlowStart>,
    /// See [`Pool::member_deletion_protection`].
    pub member_deletion_protection: bool,
    /// See [`Pool::network`].
    pub network: Option<NetworkId>,
    /// See [`Pool::kind`].
    pub kind: PoolKind,
    /// See [`Pool::any_port`].
    pub any_port: bool,
    /// See [`Pool::drain`].
    pub drain: Option<Drain>,
    /// See [`Pool::all_down_forward`].
    pub all_down_forward: bool,
    /// See [`Pool::member_tls`].
    pub member_tls: Option<MemberTls>,
    /// See [`Pool::member_proxy_protocol`].
    pub member_proxy_protocol: Option<ProxyVersion>,
    /// See [`Pool::quic_cid_hash`]; none: the default, for QUIC pools.
    pub quic_cid_hash: Option<QuicCidHash>,
    /// See [`Pool::outlier_detection`].
    pub outlier_detection: Option<OutlierDetection>,
    /// See [`Pool::load_balancer`].
    pub load_balancer: Option<LoadBalancerId>,
    /// The listener whose default pool the new pool becomes; it must have none.
    pub listener: Option<ListenerId>,
    /// See [`Pool::protection`].
    pub protection: Protection,
    /// See [`Pool::enterprise_project`].
    pub enterprise_project: Option<Uuid>,
}

/// What a caller says to change a pool.
#[derive(Clone, Debug, Default)]
pub struct PoolPatch {
    /// See [`Pool::name`].
    pub name: Option<Name>,
    /// See [`Pool::description`].
    pub description: Option<Description>,
    /// See [`Pool::admin_up`].
    pub admin_up: Option<bool>,
    /// See [`Pool::algorithm`].
    pub algorithm: Option<Algorithm>,
    /// See [`Pool::stickiness`].
    pub stickiness: Patch<Stickiness>,
    /// See [`Pool::slow_start`].
    pub slow_start: Patch<SlowStart>,
    /// See [`Pool::member_deletion_protection`].
    pub member_deletion_protection: Option<bool>,
    /// See [`Pool::network`]; may only be set while it is none.
    pub network: Option<NetworkId>,
    /// See [`Pool::kind`]; may only change away from [`PoolKind::Any`].
    pub kind: Option<PoolKind>,
    /// See [`Pool::any_port`].
    pub any_port: Option<bool>,
    /// See [`Pool::drain`].
    pub drain: Patch<Drain>,
    /// See [`Pool::all_down_forward`].
    pub all_down_forward: Option<bool>,
    /// See [`Pool::member_tls`].
    pub member_tls: Patch<MemberTls>,
    /// See [`Pool::member_proxy_protocol`].
    pub member_proxy_protocol: Patch<ProxyVersion>,
    /// See [`Pool::quic_cid_hash`].
    pub quic_cid_hash: Option<QuicCidHash>,
    /// See [`Pool::outlier_detection`].
    pub outlier_detection: Patch<OutlierDetection>,
    /// See [`Pool::protection`].
    pub protection: ProtectionPatch,
}
