//! What the policies of a listener do with a request: the way that it goes, or the answer that it gets.
//!
//! Order of work (behaviour/forwarding.md, Extras): match → limit → preflight → headers and rewrite → mirror → forward. A listener
//! without policies costs one comparison here.

use std::{borrow::Cow, collections::BTreeMap, net::SocketAddr, rc::Rc, sync::Arc};

use balance::{Dice, Stickiness, StickyKey, WeightedPools};
use model::{PolicyId, Weight};
use plan::{
    ActionPlan, ListenerPlan, PolicyPlan, RequestView, Router, TemplateValues, policy::ForwardPlan,
    router::HeaderLookup, template::Captures,
};
use telemetry::OwnAnswer;
use wire::{
    cookie,
    h1::{HeaderId, HeaderLines, HeaderSet, OriginForm, RequestHead},
};

use super::{
    answer::{Reply, RouterCode},
    connection::Connection,
    cors,
    edits::{HeaderChanges, Surroundings},
    sticky::{self, CookieDue},
};
use crate::{limits::PolicyLimit, service::Service, target::Target};

/// A policy's part that this side prepares once per plan.
pub(crate) struct PolicyWork {
    pub(super) changes: HeaderChanges,
    limit: Option<Arc<PolicyLimit>>,
    pools: WeightedPools,
    /// Over the pools, where a client stays with one of them.
    stickiness: Option<Stickiness>,
}

impl PolicyWork {
    pub(crate) fn new(
        listener: &ListenerPlan,
        policy: &PolicyPlan,
        limiters: &BTreeMap<PolicyId, Arc<PolicyLimit>>,
        key: &StickyKey,
    ) -> Self {
        let (mut pools, mut stickiness) = (WeightedPools::new([]), None);
        if let ActionPlan::Forward(forward) = &policy.action {
            let weight = |share: u32| Weight::try_from(i64::from(share)).unwrap_or(Weight::MAX);
            pools = WeightedPools::new(forward.pools.iter().map(|pool| weight(pool.share)));
            stickiness = forward.stickiness.map(|_| {
                let id = |target: usize| {
                    listener.targets.get(target).map_or([0; 16], |target| target.id.pool.uuid().into_bytes())
                };
                let members = forward.pools.iter().map(|pool| (id(pool.target), weight(pool.share)));
                Stickiness::new(key, policy.id.uuid().into_bytes(), members)
            });
        }
        let limit = limiters.get(&policy.id).cloned();
        Self { changes: HeaderChanges::new(&policy.headers), limit, pools, stickiness }
    }
}

/// Where a request goes.
pub(super) enum Way<'s> {
    /// To a member of a target.
    Forward {
        target: &'s Rc<Target>,
        /// How, where a policy says so.
        by: Option<By<'s>>,
    },
    /// It is answered.
    Answer(Reply, Option<RouterCode>),
}

/// A policy that forwards a request.
pub(super) struct By<'s> {
    pub(super) forward: &'s ForwardPlan,
    pub(super) work: &'s PolicyWork,
    pub(super) captures: Captures,
    /// The cookie that keeps the client on its pool, when it has none.
    pub(super) cookie: Option<CookieDue>,
}

/// An answer that a policy makes.
pub(super) struct PolicyAnswer {
    pub(super) status: u16,
    pub(super) lines: HeaderLines,
    /// What of the usual headers is left out.
    pub(super) omit: HeaderSet,
    /// The policy (by its place in the plan) whose fixed body goes with it; none: a page.
    pub(super) fixed: Option<usize>,
}

/// The way of a request that no policy has a say in.
#[inline]
pub(super) fn default_way(service: &Service) -> Way<'_> {
    match &service.target {
        Some(target) => Way::Forward { target, by: None },
        None => Way::Answer(OwnAnswer::NotFound.into(), Some(RouterCode::NoPool)),
    }
}

/// The way of a request, as the listener's policies have it.
pub(super) fn find_way<'s>(
    router: &Router,
    service: &'s Service,
    connection: &Connection,
    head: &RequestHead<'_>,
) -> Way<'s> {
    let host = head.host();
    let request = RequestView {
        host: host.as_ref().map_or(&b""[..], |host| host.as_bytes()),
        path: head.path(),
        query: head.query().unwrap_or_default(),
        method: head.method().as_bytes(),
        headers: &Lookup(head),
        source: connection.peer.ip(),
    };
    let Some(found) = router.route(&request) else { return default_way(service) };
    let (Some(policy), Some(work)) =
        (service.plan.policies.get(found.policy), service.policies.get(found.policy))
    else {
        return default_way(service);
    };
    if let Some(limit) = &work.limit
        && !limit.admits(connection.peer.ip())
    {
        service.counters.limited.inc();
        return Way::Answer(OwnAnswer::Unavailable.into(), None);
    }
    match &policy.action {
        ActionPlan::Forward(forward) => to_pool(service, forward, work, found.captures, connection, head),
        ActionPlan::ToListener(to) => {
            let mut location = Vec::new();
            to.location(
                &values(service, connection, head, &host_of(connection, head), &found.captures),
                &mut location,
            );
            redirect(301, &location, work, service, connection, head)
        }
        ActionPlan::ToUrl(to) => {
            let mut location = Vec::new();
            to.location(
                &values(service, connection, head, &host_of(connection, head), &found.captures),
                &mut location,
            );
            redirect(to.status, &location, work, service, connection, head)
        }
        ActionPlan::Fixed(fixed) => {
            let (lines, omit) = work.changes.for_answer(&surroundings(service, connection, head));
            answer(PolicyAnswer { status: fixed.status, lines, omit, fixed: Some(found.policy) })
        }
    }
}

fn to_pool<'s>(
    service: &'s Service,
    forward: &'s ForwardPlan,
    work: &'s PolicyWork,
    captures: Captures,
    connection: &Connection,
    head: &RequestHead<'_>,
) -> Way<'s> {
    if let Some(cors) = &forward.cors
        && let Some(lines) = cors::preflight(cors, head)
    {
        return answer(PolicyAnswer { status: 204, lines, omit: HeaderSet::EMPTY, fixed: None });
    }
    if forward.pools.is_empty() {
        return Way::Answer(OwnAnswer::NotFound.into(), Some(RouterCode::NoPoolOfPolicy));
    }
    let (pool, cookie) = choose_pool(forward, work, connection, head);
    let target =
        pool.and_then(|pool| forward.pools.get(pool)).and_then(|pool| service.targets.get(pool.target));
    match target {
        Some(target) => Way::Forward { target, by: Some(By { forward, work, captures, cookie }) },
        None => Way::Answer(OwnAnswer::Unavailable.into(), Some(RouterCode::NoneUsable)),
    }
}

/// The place of the pool for a request among those of its policy, and the cookie that is due to keep the client there.
fn choose_pool(
    forward: &ForwardPlan,
    work: &PolicyWork,
    connection: &Connection,
    head: &RequestHead<'_>,
) -> (Option<usize>, Option<CookieDue>) {
    let dice = &connection.door.worker.http.dice;
    let Some((stickiness, life)) = work.stickiness.as_ref().zip(forward.stickiness) else {
        return match forward.pools.len() {
            1 => ((forward.shares > 0).then_some(0), None),
            _ => (work.pools.pick(&mut dice.borrow_mut(), |_| true), None),
        };
    };
    let brought = cookie::find(head.values(HeaderId::COOKIE), sticky::POOL_COOKIE);
    let stick = brought.and_then(|value| stickiness.by_cookie(value, connection.peer.ip(), |_| true));
    let pool = match stick {
        Some(stick) => Some(usize::from(stick.member())),
        None => work.pools.pick(&mut dice.borrow_mut(), |_| true),
    };
    let due = stick.is_none_or(|stick| stick.needs_cookie());
    let value = pool.filter(|_| due).and_then(|pool| stickiness.cookie_value(pool as u16));
    (pool, value.map(|value| CookieDue::new(sticky::POOL_COOKIE, value, life)))
}

/// The target that members see: as the policy rewrites it. None: it stays.
pub(super) struct Rewritten {
    pub(super) host: Option<Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
}

/// What a policy makes of the request's target for members; an error when what comes out is no host or no target.
pub(super) fn rewrite(
    by: &By<'_>,
    service: &Service,
    connection: &Connection,
    head: &RequestHead<'_>,
) -> Result<Rewritten, ()> {
    let Some(plan) = &by.forward.rewrite else { return Ok(Rewritten { host: None, target: None }) };
    let host = host_of(connection, head);
    let values = values(service, connection, head, &host, &by.captures);
    let host = plan.host.as_ref().map(|template| {
        let mut host = Vec::new();
        template.expand(&values, &mut host);
        host
    });
    if plan.path.is_none() && plan.query.is_none() {
        return Ok(Rewritten { host, target: None });
    }
    let mut target = Vec::new();
    match &plan.path {
        Some(path) => path.expand(&values, &mut target),
        None => target.extend_from_slice(values.path),
    }
    if target.first() != Some(&b'/') {
        target.insert(0, b'/');
    }
    let path_end = target.len();
    target.push(b'?');
    match &plan.query {
        Some(query) => query.expand(&values, &mut target),
        None => target.extend_from_slice(values.query),
    }
    if target.len() == path_end + 1 {
        target.truncate(path_end);
    }
    OriginForm::new(&target).ok_or(())?;
    Ok(Rewritten { host, target: Some(target) })
}

fn redirect(
    status: u16,
    location: &[u8],
    work: &PolicyWork,
    service: &Service,
    connection: &Connection,
    head: &RequestHead<'_>,
) -> Way<'static> {
    let (mut lines, omit) = work.changes.for_answer(&surroundings(service, connection, head));
    if !omit.contains(HeaderId::LOCATION) && lines.push(b"Location", location).is_err() {
        // Templates are checked when they are made, and requests when they are parsed.
        return Way::Answer(OwnAnswer::BadRequest.into(), None);
    }
    answer(PolicyAnswer { status, lines, omit, fixed: None })
}

fn answer(answer: PolicyAnswer) -> Way<'static> {
    Way::Answer(Reply::Policy(Box::new(answer)), None)
}

/// The host that a request is for, without port; where it names none (HTTP/1.0), the address that it reached.
fn host_of<'h>(connection: &Connection, head: &RequestHead<'h>) -> Cow<'h, [u8]> {
    match (head.host(), connection.door.address) {
        (Some(host), _) => Cow::Borrowed(host.host()),
        (None, SocketAddr::V4(reached)) => Cow::Owned(reached.ip().to_string().into_bytes()),
        (None, SocketAddr::V6(reached)) => Cow::Owned(format!("[{}]", reached.ip()).into_bytes()),
    }
}

/// What the templates' variables stand for.
fn values<'v>(
    service: &Service,
    connection: &Connection,
    head: &RequestHead<'v>,
    host: &'v [u8],
    captures: &'v Captures,
) -> TemplateValues<'v> {
    TemplateValues {
        protocol: scheme(service),
        host,
        port: connection.door.address.port(),
        path: head.path(),
        query: head.query().unwrap_or_default(),
        captures,
    }
}

pub(super) fn surroundings<'v>(
    service: &Service,
    connection: &'v Connection,
    head: &'v RequestHead<'v>,
) -> Surroundings<'v> {
    Surroundings {
        head,
        client: connection.peer,
        reached: connection.door.address,
        scheme: scheme(service),
        load_balancer: service.plan.load_balancer,
        tls: connection.client.client_tls(),
    }
}

fn scheme(service: &Service) -> &'static str {
    service.plan.http().map_or("", |http| http.scheme.as_str())
}

/// The headers of a request, as the router asks for them.
struct Lookup<'h>(&'h RequestHead<'h>);

impl HeaderLookup for Lookup<'_> {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        match HeaderId::of(name.as_bytes()) {
            HeaderId::OTHER => self.0.values_named(name.as_bytes()).any(test),
            id => self.0.values(id).any(test),
        }
    }
}

/// The dice of a worker. Workers roll different rows; which does not matter.
pub(super) fn dice(worker: usize) -> Dice {
    Dice::new(0x5eed ^ (worker as u64) << 32)
}
