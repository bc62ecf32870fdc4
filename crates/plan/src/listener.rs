//! A listener as the data plane wants it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

use model::{
    Action, Compare, Listener, ListenerId, LoadBalancer, LoadBalancerId, Policy, PoolId, ProjectId,
    ProxyAccept, QuotaKey, RuleSubject, Snapshot, Transport,
    listener::{HttpService, Service, TlsService},
};
use serde::Serialize;

use crate::{
    AccessLogPlan, AclPlan, ActionPlan, HttpPlan, ListenerLimits, PolicyPlan, Router, Scheme, TargetPlan,
    TlsPlan,
    limits::is_default,
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
    /// Where it listens: its ports on each VIP of its load balancer; an endpoint for each range of ports. Never empty.
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
    /// Where requests are written down; none: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_log: Option<Arc<AccessLogPlan>>,
    /// Connections without traffic for so long are ended; for HTTP: kept connections between two requests (zero: not kept).
    pub idle_timeout: Duration,
    /// How long a connection to a member may take to be made.
    pub connect_timeout: Duration,
    /// What it may take at most.
    #[serde(skip_serializing_if = "is_default")]
    pub limits: ListenerLimits,
    /// Whether those who connect begin with PROXY headers, and who; none: nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_accept: Option<ProxyAccept>,
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
        let endpoints = endpoints(listener, load_balancer);
        if endpoints.is_empty() {
            return None;
        }
        let tls_before = before.and_then(|before| before.tls.as_ref());
        let mut compile_tls = |tls: &TlsService, http: Option<&HttpService>| {
            TlsPlan::compile(snapshot, http, tls, tls_before, &mut shared.certificates)
        };
        let (service, secured) = match &listener.service {
            Service::Tcp => (ServicePlan::Tcp, None),
            Service::Udp => (ServicePlan::Udp, None),
            Service::Tls(tls) => (ServicePlan::Tls, Some(compile_tls(tls, None))),
            Service::Http(http) => (ServicePlan::Http(HttpPlan::compile(listener, http, Scheme::Http)), None),
            Service::Https(https) => {
                let http = HttpPlan {
                    alt_svc: alt_svc(snapshot, listener),
                    ..HttpPlan::compile(listener, &https.http, Scheme::Https)
                };
                (ServicePlan::Http(http), Some(compile_tls(&https.tls, Some(&https.http))))
            }
            Service::Quic(quic) => {
                let http = HttpPlan::compile(listener, &quic.http, Scheme::Https);
                (ServicePlan::Quic(http), Some(compile_tls(&quic.tls, None)))
            }
        };
        let (tls, mut faults) = secured.map_or((None, Vec::new()), |(tls, faults)| (Some(tls), faults));
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
            access_log: log
                .map(|log| AccessLogPlan::compile(log, before.and_then(|before| before.access_log.as_ref()))),
            idle_timeout: listener.idle_timeout.duration(),
            connect_timeout: listener.connect_timeout.duration(),
            limits: ListenerLimits::compile(listener, load_balancer),
            proxy_accept: listener.proxy_accept.clone(),
        };
        Some(same_or_new(before, plan))
    }

    /// The HTTP settings, of a listener that has them.
    pub fn http(&self) -> Option<&HttpPlan> {
        match &self.service {
            ServicePlan::Http(http) | ServicePlan::Quic(http) => Some(http),
            ServicePlan::Tcp | ServicePlan::Udp | ServicePlan::Tls => None,
        }
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
            endpoints: vec![Endpoint { transport: service.transport(), ..Endpoint::tcp(address) }],
            service,
            tls: None,
            acl: None,
            router: None,
            policies: Vec::new(),
            targets: Vec::new(),
            default_target: default_target.map(Arc::new),
            faults: Vec::new(),
            access_log: None,
            idle_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            limits: ListenerLimits::default(),
            proxy_accept: None,
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

/// A range of ports of an address, where a listener listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Endpoint {
    /// What carries it.
    #[serde(skip_serializing_if = "is_default")]
    pub transport: Transport,
    /// The address, and the port; of a range the first one.
    pub address: SocketAddr,
    /// The last port of a range; none: it is one port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_port: Option<u16>,
}

impl Endpoint {
    /// One port of TCP.
    pub const fn tcp(address: SocketAddr) -> Self {
        Self { transport: Transport::Tcp, address, last_port: None }
    }

    /// Its ports.
    pub fn ports(&self) -> RangeInclusive<u16> {
        self.address.port()..=self.last_port.unwrap_or(self.address.port())
    }

    /// Its sockets' addresses: one for each port.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let ip = self.address.ip();
        self.ports().map(move |port| SocketAddr::new(ip, port))
    }
}

fn endpoints(listener: &Listener, load_balancer: &LoadBalancer) -> Vec<Endpoint> {
    let transport = listener.protocol().transport();
    let on = |vip| {
        listener.ports.ranges().map(move |range| {
            let (first, last) = (range.first().value(), range.last().value());
            let address = SocketAddr::new(vip, first);
            Endpoint { transport, address, last_port: (last > first).then_some(last) }
        })
    };
    load_balancer.vips().flat_map(on).collect()
}

/// What the answers of an HTTPS listener say of its QUIC listener (RFC 7838 section 3); none: it has none that is at work.
fn alt_svc(snapshot: &Snapshot, listener: &Listener) -> Option<String> {
    let upgrade = listener.quic_upgrade().filter(|upgrade| upgrade.enabled)?;
    let quic = snapshot.listener(upgrade.listener)?;
    // Only the port is said, so it must be the same host.
    let serves = quic.load_balancer == listener.load_balancer
        && quic.admin_up
        && matches!(quic.service, Service::Quic(_));
    serves.then(|| format!("h3=\":{}\"; ma={ALT_SVC_SECONDS}", quic.ports.first()))
}

/// For how long clients may remember it: a day, the default of RFC 7838 section 3.1, said in words because caches differ.
const ALT_SVC_SECONDS: u32 = 86_400;

/// What is spoken on a listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServicePlan {
    /// Bytes, relayed as they are.
    Tcp,
    /// Datagrams, relayed as they are. To a target of [`model::PoolProtocol::Quic`] they are placed by connection id.
    Udp,
    /// Bytes; the clients' TLS ends here. [`ListenerPlan::tls`] is there.
    Tls,
    /// HTTP, over TLS where [`ListenerPlan::tls`] is there.
    Http(HttpPlan),
    /// HTTP/3. [`ListenerPlan::tls`] is there; of it the versions and suites do not count, as QUIC has TLS 1.3 alone.
    Quic(HttpPlan),
}

impl ServicePlan {
    /// What carries it.
    pub const fn transport(&self) -> Transport {
        match self {
            Self::Tcp | Self::Tls | Self::Http(_) => Transport::Tcp,
            Self::Udp | Self::Quic(_) => Transport::Udp,
        }
    }
}
