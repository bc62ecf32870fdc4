//! A listener as the data plane wants it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use model::{ListenerId, LoadBalancerId, ProjectId};
use serde::Serialize;

use crate::{HttpPlan, TargetPlan};

/// One listener, compiled.
#[derive(Debug, PartialEq, Serialize)]
pub struct ListenerPlan {
    /// Which listener.
    pub id: ListenerId,
    /// The load balancer that it belongs to.
    pub load_balancer: LoadBalancerId,
    /// The project that owns it.
    pub project: ProjectId,
    /// Where it listens: its port on each VIP of its load balancer. Never empty.
    pub endpoints: Vec<Endpoint>,
    /// What is spoken there.
    pub service: ServicePlan,
    /// Where traffic goes that nothing sends elsewhere; none: HTTP answers 404 (x-router-code 40000), TCP closes.
    pub default_target: Option<Arc<TargetPlan>>,
    /// Connections without traffic for so long are ended; for HTTP: kept connections between two requests (zero: not kept).
    pub idle_timeout: Duration,
    /// How long a connection to a member may take to be made.
    pub connect_timeout: Duration,
}

/// A socket that a listener wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Endpoint {
    /// Address and port; the transport is TCP.
    pub address: SocketAddr,
}

/// What is spoken on a listener.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServicePlan {
    /// Bytes, relayed as they are.
    Tcp,
    /// HTTP/1 in clear.
    Http(HttpPlan),
}
