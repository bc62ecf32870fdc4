//! The target: a (listener, pool) pair, the unit of balancing.
//!
//! One dialect keeps algorithm, stickiness, health monitor and backend port on the listener (SLB), others on the pool (ELB,
//! Octavia). Both are honoured: what the listener sets wins, else the pool's setting holds (slb/mapping.md). Settings are never
//! copied into the pool, because one pool may serve several listeners with different checks; so health is keyed by
//! (target, member).

use serde::{Deserialize, Serialize};

use crate::{
    Algorithm, HealthMonitor, Listener, ListenerId, Member, Pool, PoolId, Port, ProxyVersion,
    health_monitor::{DatagramProbe, HttpProbe, MonitorType},
    pool::Stickiness,
    range::{ProbeInterval, ProbeThreshold, ProbeTimeout},
};

/// Names a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetId {
    /// The listener that sends.
    pub listener: ListenerId,
    /// The pool that receives.
    pub pool: PoolId,
}

/// What a listener sets in place of its pool's settings; everything unset comes from the pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetOverride {
    /// Which member gets new work.
    pub algorithm: Option<Algorithm>,
    /// Whether and how clients stay with a member; `Some(None)` switches the pool's stickiness off.
    pub stickiness: Option<Option<Stickiness>>,
    /// How members are probed.
    pub monitor: Option<MonitorOverride>,
    /// The port on every member, for members that have none of their own.
    pub member_port: Option<Port>,
    /// The PROXY header that members are sent.
    pub member_proxy_protocol: Option<ProxyVersion>,
}

/// A listener's own health monitor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MonitorOverride {
    /// Members are not probed and count as healthy.
    Off,
    /// Members are probed so.
    Probe(ProbeSettings),
}

/// How members are probed, wherever that was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeSettings {
    /// What a probe speaks.
    pub kind: MonitorType,
    /// Time between two probes of a member.
    pub interval: ProbeInterval,
    /// Time after which a probe without answer has failed.
    pub timeout: ProbeTimeout,
    /// Passed probes in a row that bring a member back.
    pub rise: ProbeThreshold,
    /// Failed probes in a row that take a member out.
    pub fall: ProbeThreshold,
    /// The port to probe; none: the port that traffic uses.
    pub port: Option<Port>,
    /// What a probe that speaks HTTP says and expects. Of gRPC probes, [`HttpProbe::path`] is the method that is called, `/` standing
    /// for `/grpc.health.v1.Health/Check`; of TLS probes, [`HttpProbe::host`] is the name that is asked for.
    pub http: HttpProbe,
    /// What a UDP probe sends and expects; none: anything, and silence is a good answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datagram: Option<DatagramProbe>,
}

/// A target with its effective settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which pair it is.
    pub id: TargetId,
    /// Which member gets new work.
    pub algorithm: Algorithm,
    /// Whether and how clients stay with a member.
    pub stickiness: Option<Stickiness>,
    /// How members are probed; none: they count as healthy.
    pub probe: Option<ProbeSettings>,
    /// The port on members that have none of their own; none: the port that the client used, of a listener with ranges of them.
    pub member_port: Option<Port>,
    /// The PROXY header that members are sent; none: nothing.
    pub proxy_protocol: Option<ProxyVersion>,
}

impl Target {
    /// The effective settings of a pair; `monitor` is the pool's.
    pub fn of(listener: &Listener, pool: &Pool, monitor: Option<&HealthMonitor>) -> Self {
        let set = &listener.target;
        Self {
            id: TargetId { listener: listener.id, pool: pool.id },
            algorithm: set.algorithm.unwrap_or(pool.algorithm),
            stickiness: set.stickiness.clone().unwrap_or_else(|| pool.stickiness.clone()),
            probe: match &set.monitor {
                Some(MonitorOverride::Off) => None,
                Some(MonitorOverride::Probe(probe)) => Some(probe.clone()),
                None => monitor.filter(|monitor| monitor.admin_up).map(|monitor| monitor.probe.clone()),
            },
            member_port: set.member_port.or(listener.ports.one()),
            proxy_protocol: set.member_proxy_protocol.or(pool.member_proxy_protocol),
        }
    }

    /// The port on which a member gets this target's traffic; none: the port that the client used.
    pub fn port_of(&self, member: &Member) -> Option<Port> {
        member.port.or(self.member_port)
    }
}
