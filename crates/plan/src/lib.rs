//! The plan: the data plane's objects of one snapshot, compiled into an immutable, index-based form.
//!
//! `compile` takes the same path at start, after a change and after a crash. What did not change is the same `Arc` in the next
//! plan, so whoever follows plans compares pointers and never contents.
//!
//! What it does not do: it knows no socket and no health. Whether an address can be bound, and which members are up, is found
//! out by `dataplane`.

pub mod access_log;
pub mod acl;
mod compile;
pub mod cors;
pub mod http;
pub mod limits;
pub mod listener;
pub mod member_tls;
pub mod policy;
pub mod router;
pub mod target;
pub mod template;
pub mod tls;

use std::sync::Arc;

use imbl::OrdMap;
use model::{ListenerId, Revision, Snapshot};

pub use access_log::AccessLogPlan;
pub use acl::AclPlan;
pub use compile::compile;
pub use cors::CorsPlan;
pub use http::{HttpPlan, Scheme};
pub use limits::{FlavorLimits, Limits, ListenerLimits};
pub use listener::{Endpoint, ListenerPlan, ServicePlan};
pub use member_tls::MemberTlsPlan;
pub use policy::{ActionPlan, PolicyPlan};
pub use router::{Match, RequestView, Router};
pub use target::{MemberPlan, TargetPlan};
pub use template::{Template, TemplateValues};
pub use tls::{CertificatePlan, ClientCaPlan, TlsPlan};

/// Everything that a node serves at one revision. Cheap to clone.
#[derive(Clone, Default)]
pub struct Plan {
    /// The revision that it was compiled from.
    pub revision: Revision,
    /// The listeners that take traffic, by id. Listeners that are switched off, or whose load balancer is or has no VIP, are not here.
    pub listeners: OrdMap<ListenerId, Arc<ListenerPlan>>,
    /// What it was compiled from, for the next compilation to compare with; none: made by hand.
    source: Option<Snapshot>,
}

impl Plan {
    /// A plan made by hand, without a snapshot behind it: for tests and benches of the data plane. A later `compile` takes
    /// nothing over from it.
    #[doc(hidden)]
    pub fn of_listeners(revision: Revision, listeners: impl IntoIterator<Item = ListenerPlan>) -> Self {
        let listeners = listeners.into_iter().map(|listener| (listener.id, Arc::new(listener))).collect();
        Self { revision, listeners, source: None }
    }
}
