//! A listener as the data plane wants it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use model::{Listener, ListenerId, LoadBalancerId, ProjectId, Snapshot, listener::Service};
use serde::Serialize;

use crate::{HttpPlan, TargetPlan, TlsPlan, target::Tables};

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
    /// The TLS below it; none: it is spoken in clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Arc<TlsPlan>>,
    /// Where traffic goes that nothing sends elsewhere; none: HTTP answers 404 (x-router-code 40000), TCP closes.
    pub default_target: Option<Arc<TargetPlan>>,
    /// Connections without traffic for so long are ended; for HTTP: kept connections between two requests (zero: not kept).
    pub idle_timeout: Duration,
    /// How long a connection to a member may take to be made.
    pub connect_timeout: Duration,
}

impl ListenerPlan {
    /// The plan of a listener; none when it takes no traffic: it or its load balancer is switched off, or there is no VIP.
    /// What is equal in the plan before is taken over from there.
    pub(crate) fn compile(
        snapshot: &Snapshot,
        listener: &Listener,
        before: Option<&Arc<Self>>,
        tables: &mut Tables,
    ) -> Option<Arc<Self>> {
        let load_balancer = snapshot.load_balancer(listener.load_balancer)?;
        if !listener.admin_up || !load_balancer.admin_up {
            return None;
        }
        let port = listener.port.value();
        let endpoints: Vec<Endpoint> =
            load_balancer.vips().map(|vip| Endpoint { address: SocketAddr::new(vip, port) }).collect();
        if endpoints.is_empty() {
            return None;
        }
        let pool = listener.default_pool.and_then(|pool| snapshot.pool(pool));
        let target_before = before.and_then(|before| before.default_target.as_ref());
        let plan = Self {
            id: listener.id,
            load_balancer: listener.load_balancer,
            project: listener.project,
            endpoints,
            service: match &listener.service {
                Service::Tcp => ServicePlan::Tcp,
                Service::Http(http) => ServicePlan::Http(HttpPlan::compile(listener, http)),
                // Not served before its certificates are compiled.
                Service::Https(_) => return None,
            },
            tls: None,
            default_target: pool
                .and_then(|pool| TargetPlan::compile(snapshot, listener, pool, target_before, tables)),
            idle_timeout: listener.idle_timeout.duration(),
            connect_timeout: listener.connect_timeout.duration(),
        };
        Some(same_or_new(before, plan))
    }
}

/// The value of the plan before where nothing changed in it, so that who follows plans can compare pointers.
pub(crate) fn same_or_new<T: PartialEq>(before: Option<&Arc<T>>, new: T) -> Arc<T> {
    match before {
        Some(before) if **before == new => Arc::clone(before),
        _ => Arc::new(new),
    }
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
    /// HTTP.
    Http(HttpPlan),
}
