//! What a listener may take at most: by its own settings, and together with others by its load balancer's.
//!
//! Each limit is a number of its own, and all of them hold: a connection is accepted when no limit forbids it. Over a limit, new
//! work is dropped and existing work goes on (behaviour/features.md section 9).

use model::{FlavorLayer, Listener, ListenerProtocol, LoadBalancer, flavor};
use serde::Serialize;

/// Upper ends; none: no limit. Never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Connections at a time; of UDP, flows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// New connections per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_per_second: Option<u64>,
    /// Requests per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u64>,
    /// Bits per second in each direction; the larger of both counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_per_second: Option<u64>,
}

/// The limits of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ListenerLimits {
    /// Of this listener alone.
    #[serde(skip_serializing_if = "is_default")]
    pub own: Limits,
    /// Of all listeners of its load balancer that are of the same layer, together; none: no flavor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flavor: Option<FlavorLimits>,
    /// Of all listeners of its load balancer together.
    #[serde(skip_serializing_if = "is_default")]
    pub load_balancer: Limits,
}

/// What the flavor of a layer allows all listeners of that layer together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FlavorLimits {
    /// Whose flavor. With [`crate::ListenerPlan::load_balancer`] it names what is shared.
    pub layer: FlavorLayer,
    /// What all of them may take.
    pub total: Limits,
    /// How much of [`Limits::connections_per_second`] a new connection of this listener takes: HTTPS counts tenfold.
    pub connection_cost: u64,
    /// How much of [`Limits::requests_per_second`] a request of this listener takes.
    pub request_cost: u64,
}

impl ListenerLimits {
    pub(crate) fn compile(listener: &Listener, load_balancer: &LoadBalancer) -> Self {
        Self {
            own: Limits {
                connections: some(listener.connections_max.into()),
                connections_per_second: some(listener.connections_per_second_max.into()),
                requests_per_second: None,
                bits_per_second: some(listener.bits_per_second_max),
            },
            flavor: FlavorLimits::compile(listener.protocol(), load_balancer),
            load_balancer: Limits {
                bits_per_second: some(load_balancer.bits_per_second_max),
                ..Limits::default()
            },
        }
    }
}

impl FlavorLimits {
    fn compile(protocol: ListenerProtocol, load_balancer: &LoadBalancer) -> Option<Self> {
        let layer = protocol.layer();
        let flavor = flavor::by_id(match layer {
            FlavorLayer::L4 => load_balancer.l4_flavor?,
            FlavorLayer::L7 => load_balancer.l7_flavor?,
        })?;
        // An elastic flavor takes what the machine gives.
        if flavor.elastic {
            return None;
        }
        let total = Limits {
            connections: some(flavor.connections),
            connections_per_second: some(flavor.connections_per_second),
            requests_per_second: flavor.requests_per_second,
            bits_per_second: some(flavor.bandwidth_mbit.saturating_mul(1_000_000)),
        };
        // The catalogue has a rate of its own for HTTPS; used together, one of HTTPS takes as much as this many of HTTP.
        let cost = |plain: Option<u64>, secure: Option<u64>| match (protocol, plain, secure) {
            (ListenerProtocol::Https | ListenerProtocol::Quic, Some(plain), Some(secure)) => {
                plain.checked_div(secure).unwrap_or(1).max(1)
            }
            _ => 1,
        };
        Some(Self {
            layer,
            total,
            connection_cost: cost(Some(flavor.connections_per_second), flavor.https_connections_per_second),
            request_cost: cost(flavor.requests_per_second, flavor.https_requests_per_second),
        })
    }
}

/// In the model 0 stands for no limit.
fn some(limit: u64) -> Option<u64> {
    (limit > 0).then_some(limit)
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
