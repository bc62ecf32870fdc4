//! A listener as the data plane wants it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use model::{
    Action, Compare, Listener, ListenerId, LoadBalancerId, Policy, PoolId, ProjectId, QuotaKey, RuleSubject,
    Snapshot, listener::Service,
};
use serde::Serialize;

use crate::{
    AccessLogPlan, AclPlan, ActionPlan, HttpPlan, PolicyPlan, Router, Scheme, TargetPlan, TlsPlan,
    router::{Order, Routed},
    target::Tables,
    tls::Certificates,
};

/// One listener, compiled.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    /// Who may connect; none: everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acl: Option<Arc<AclPlan>>,
    /// Finds the policy of a request; none: there is no policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub router: Option<Arc<Router>>,
    /// The policies that are applied, in the order in which they are looked at where their rules say nothing else. With a
    /// redirect to a listener, it alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Arc<PolicyPlan>>,
    /// The targets of all pools that `policies` name, also for mirrors; each pool once, in order of its id. A pool that is the
    /// default pool, too, has the same `Arc` as `default_target`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Arc<TargetPlan>>,
    /// Where traffic goes that nothing sends elsewhere; none: HTTP answers 404 (x-router-code 40000), TCP closes.
    pub default_target: Option<Arc<TargetPlan>>,
    /// What of it cannot be carried out, in words for its owner: certificates that cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// Whether members are told of the client by the PROXY protocol, version 2, before anything else.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub proxy_protocol: bool,
    /// Where requests are written down; none: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_log: Option<Arc<AccessLogPlan>>,
    /// Connections without traffic for so long are ended; for HTTP: kept connections between two requests (zero: not kept).
    pub idle_timeout: Duration,
    /// How long a connection to a member may take to be made.
    pub connect_timeout: Duration,
}

/// What the listeners of one compilation share.
#[derive(Default)]
pub(crate) struct Shared {
    tables: Tables,
    certificates: Certificates,
}

impl ListenerPlan {
    /// The plan of a listener; none when it takes no traffic: it or its load balancer is switched off, or there is no VIP.
    /// What is equal in the plan before is taken over from there.
    pub(crate) fn compile(
        snapshot: &Snapshot,
        listener: &Listener,
        before: Option<&Arc<Self>>,
        shared: &mut Shared,
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
        let (service, tls, mut faults) = match &listener.service {
            Service::Tcp => (ServicePlan::Tcp, None, Vec::new()),
            Service::Udp => (ServicePlan::Udp, None, Vec::new()),
            Service::Tls(offload) => {
                let tls_before = before.and_then(|before| before.tls.as_ref());
                let certificates = &mut shared.certificates;
                let (tls, faults) = TlsPlan::compile(snapshot, None, &offload.tls, tls_before, certificates);
                (ServicePlan::Tcp, Some(tls), faults)
            }
            Service::Http(http) => {
                (ServicePlan::Http(HttpPlan::compile(listener, http, Scheme::Http)), None, Vec::new())
            }
            Service::Https(https) => {
                let tls_before = before.and_then(|before| before.tls.as_ref());
                let certificates = &mut shared.certificates;
                let (tls, faults) =
                    TlsPlan::compile(snapshot, Some(&https.http), &https.tls, tls_before, certificates);
                let http = HttpPlan::compile(listener, &https.http, Scheme::Https);
                (ServicePlan::Http(http), Some(tls), faults)
            }
        };
        let applied = applied(snapshot, listener);
        let mut targets = Targets { snapshot, listener, before, shared };
        let default_target = listener.default_pool.and_then(|pool| targets.target(pool, None));
        let pools: BTreeSet<PoolId> = applied.iter().flat_map(|policy| policy.action.pools()).collect();
        let targets: Vec<_> =
            pools.into_iter().filter_map(|pool| targets.target(pool, default_target.as_ref())).collect();
        let unfit = default_target.iter().chain(&targets).filter_map(|target| target.member_tls.as_ref());
        faults.extend(unfit.filter_map(|member_tls| member_tls.fault(snapshot)));
        let (router, policies) = routing(snapshot, listener, &applied, &targets, before);
        let acl = listener.access.as_ref().and_then(|access| AclPlan::compile(snapshot, access));
        let log = snapshot.access_log_of(listener.load_balancer).filter(|_| listener.http().is_some());
        let plan = Self {
            id: listener.id,
            load_balancer: listener.load_balancer,
            project: listener.project,
            endpoints,
            service,
            tls,
            acl: acl.map(|acl| same_or_new(before.and_then(|before| before.acl.as_ref()), acl)),
            router,
            policies,
            targets,
            default_target,
            faults,
            proxy_protocol: matches!(&listener.service, Service::Tls(offload) if offload.proxy_protocol),
            access_log: log
                .map(|log| AccessLogPlan::compile(log, before.and_then(|before| before.access_log.as_ref()))),
            idle_timeout: listener.idle_timeout.duration(),
            connect_timeout: listener.connect_timeout.duration(),
        };
        Some(same_or_new(before, plan))
    }

    /// A listener made by hand, for tests and benches of the data plane: on one address, with one target or none.
    #[doc(hidden)]
    pub fn by_hand(
        id: ListenerId,
        address: SocketAddr,
        service: ServicePlan,
        default_target: Option<TargetPlan>,
    ) -> Self {
        Self {
            id,
            load_balancer: LoadBalancerId::new(id.uuid()),
            project: ProjectId::new(id.uuid()),
            endpoints: vec![Endpoint { address }],
            service,
            tls: None,
            acl: None,
            router: None,
            policies: Vec::new(),
            targets: Vec::new(),
            default_target: default_target.map(Arc::new),
            faults: Vec::new(),
            proxy_protocol: false,
            access_log: None,
            idle_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
        }
    }
}

/// The policies of a listener that are applied, in the order in which they are looked at where their rules say nothing else
/// (behaviour/forwarding.md, Matching order).
fn applied<'s>(snapshot: &'s Snapshot, listener: &Listener) -> Vec<&'s Policy> {
    let Some(http) = listener.http() else { return Vec::new() };
    let mut policies: Vec<&Policy> = snapshot.policies_of(listener.id).map(|policy| &**policy).collect();
    policies.sort_by_key(|policy| (policy.created_at, policy.id));
    // Only a quota that was lowered leaves more than it allows; the newest are those over it. A project without a limit of its own has
    // the site's, which is kept when policies are made.
    let own =
        snapshot.quota(listener.project).and_then(|quota| quota.limits.get(&QuotaKey::L7policiesPerListener));
    if let Some(Ok(limit)) = own.map(|limit| usize::try_from(*limit)) {
        policies.truncate(limit);
    }
    policies.retain(|policy| !policy.faulty);
    let redirect = policies.iter().position(
        |policy| matches!(policy.action, Action::ToListener(to) if snapshot.listener(to).is_some()),
    );
    if let Some(redirect) = redirect {
        return vec![policies[redirect]];
    }
    policies.retain(|policy| !matches!(policy.action, Action::ToListener(_)));
    if http.enhanced_policies {
        // A stable sort: what has no priority, or the same, stays in the order of its making.
        policies.sort_by_key(|policy| policy.priority.map_or(u16::MAX, |priority| priority.value()));
    }
    policies
}

/// The plans of the applied policies, and the router that finds them.
fn routing(
    snapshot: &Snapshot,
    listener: &Listener,
    applied: &[&Policy],
    targets: &[Arc<TargetPlan>],
    before: Option<&Arc<ListenerPlan>>,
) -> (Option<Arc<Router>>, Vec<Arc<PolicyPlan>>) {
    let target = |pool| targets.binary_search_by_key(&pool, |target| target.id.pool).ok();
    let former: BTreeMap<_, _> =
        before.iter().flat_map(|before| &before.policies).map(|policy| (policy.id, policy)).collect();
    let compiled = applied.iter().filter_map(|policy| {
        let rules: Vec<_> = snapshot.rules_of(policy.id).cloned().collect();
        let captures =
            rules.iter().any(|rule| rule.subject == RuleSubject::Path && rule.compare == Compare::Regex);
        let plan = PolicyPlan::compile(snapshot, policy, captures, target, former.get(&policy.id).copied())?;
        let all = matches!(plan.action, ActionPlan::ToListener(_));
        Some((Routed { all, captures: plan.uses_captures(), rules }, plan))
    });
    let (routed, policies): (Vec<_>, Vec<_>) = compiled.unzip();
    let enhanced = listener.http().is_some_and(|http| http.enhanced_policies);
    let order = if enhanced { Order::Given } else { Order::Specificity };
    let router_before = before.and_then(|before| before.router.as_ref());
    let router = (!policies.is_empty()).then(|| Router::compile(order, routed, router_before));
    (router, policies)
}

/// Compiles the targets of one listener.
struct Targets<'a> {
    snapshot: &'a Snapshot,
    listener: &'a Listener,
    before: Option<&'a Arc<ListenerPlan>>,
    shared: &'a mut Shared,
}

impl Targets<'_> {
    /// The target of a pool; none: the pool is gone or switched off.
    fn target(&mut self, pool: PoolId, default: Option<&Arc<TargetPlan>>) -> Option<Arc<TargetPlan>> {
        if let Some(default) = default.filter(|default| default.id.pool == pool) {
            return Some(Arc::clone(default));
        }
        // Of another pool, at least the lookup table may be equal.
        let before = self.before.and_then(|before| {
            let mut targets = before.default_target.iter().chain(&before.targets);
            targets.find(|target| target.id.pool == pool).or(before.default_target.as_ref())
        });
        let pool = self.snapshot.pool(pool)?;
        TargetPlan::compile(self.snapshot, self.listener, pool, before, &mut self.shared.tables)
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
    /// Address and port; the transport is UDP for [`ServicePlan::Udp`], else TCP.
    pub address: SocketAddr,
}

/// What is spoken on a listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServicePlan {
    /// Bytes, relayed as they are; over TLS where [`ListenerPlan::tls`] is there.
    Tcp,
    /// Datagrams, relayed as they are.
    Udp,
    /// HTTP, over TLS where [`ListenerPlan::tls`] is there.
    Http(HttpPlan),
}
