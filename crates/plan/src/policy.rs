//! A forwarding policy as the data plane wants it: an action with everything prepared (behaviour/forwarding.md, Actions, Extras).

use std::{sync::Arc, time::Duration};

use model::{
    Action, ListenerId, Policy, PolicyId, PoolId, Snapshot,
    policy::{FixedResponse, Forward, HeaderEdits, RateLimit, Rewrite, UrlRedirect},
};
use serde::Serialize;

use crate::{
    cors::CorsPlan,
    listener::same_or_new,
    template::{Template, TemplateValues},
};

/// One policy, compiled.
#[derive(Debug, PartialEq, Serialize)]
pub struct PolicyPlan {
    /// Which policy.
    pub id: PolicyId,
    /// What is done with the requests that it gets.
    pub action: ActionPlan,
    /// How many requests are let through; what is above gets 503. None: all.
    pub limit: Option<RateLimit>,
    /// Changes of headers: of the request for members where the policy forwards, else of the answer.
    pub headers: HeaderEdits,
}

/// What a policy does.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionPlan {
    /// To members.
    Forward(ForwardPlan),
    /// 301 to an HTTPS listener of the same load balancer; nothing else of the listener counts but its access control.
    ToListener(ListenerRedirectPlan),
    /// A redirect elsewhere.
    ToUrl(UrlRedirectPlan),
    /// An answer of the load balancer's own.
    Fixed(FixedPlan),
}

/// Sends requests to members of one or more pools.
#[derive(Debug, PartialEq, Serialize)]
pub struct ForwardPlan {
    /// The pools with their shares. Empty: the policy names none, or they are gone or switched off; then 404 (x-router-code
    /// 40001).
    pub pools: Vec<PoolShare>,
    /// The sum of the shares; 0 with pools: none takes work, which is answered as a pool whose members are all unavailable.
    pub shares: u32,
    /// For how long a client stays with one of several pools; none: each request is shared out anew.
    pub stickiness: Option<Duration>,
    /// What members see in place of the request's target; none: the target as it came.
    pub rewrite: Option<RewritePlan>,
    /// Who may read the answers across origins; none: headers of members pass as they are.
    pub cors: Option<CorsPlan>,
    /// Where a copy of each request goes.
    pub mirror: Option<MirrorPlan>,
}

impl ForwardPlan {
    /// The index in [`crate::ListenerPlan::targets`] of the pool that a number from 0 to `shares` - 1 falls to; none when no pool
    /// takes work. Numbers drawn evenly give each pool its share.
    pub fn pool_at(&self, mut number: u32) -> Option<usize> {
        for pool in &self.pools {
            match number.checked_sub(pool.share) {
                Some(rest) => number = rest,
                None => return Some(pool.target),
            }
        }
        None
    }
}

/// A pool of a policy, and its share of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PoolShare {
    /// Index in [`crate::ListenerPlan::targets`].
    pub target: usize,
    /// Its share; 0 takes none.
    pub share: u32,
}

/// What members see in place of the request's target.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct RewritePlan {
    /// The host; none: as it came.
    pub host: Option<Template>,
    /// The path; none: as it came.
    pub path: Option<Template>,
    /// The query; none: as it came.
    pub query: Option<Template>,
}

/// A copy of each request, whose answer is thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MirrorPlan {
    /// Index in [`crate::ListenerPlan::targets`].
    pub target: usize,
    /// Whether the body goes along.
    pub body: bool,
}

/// 301 to an HTTPS listener of the same load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ListenerRedirectPlan {
    /// Its port.
    pub port: u16,
}

/// A redirect elsewhere.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct UrlRedirectPlan {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    protocol: Template,
    host: Template,
    port: Template,
    path: Template,
    query: Template,
}

/// An answer of the load balancer's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FixedPlan {
    /// 200–299, 400–499 or 500–599.
    pub status: u16,
    /// The value of `Content-Type`.
    pub content_type: String,
    /// The body.
    pub body: String,
}

impl ListenerRedirectPlan {
    /// Appends the address of the same thing over HTTPS: `https://host[:port]/path[?query]`, the port where it is not 443.
    pub fn location(&self, values: &TemplateValues<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"https://");
        out.extend_from_slice(values.host);
        if self.port != 443 {
            out.extend_from_slice(format!(":{}", self.port).as_bytes());
        }
        out.extend_from_slice(values.path);
        push_query(values.query, out);
    }
}

impl UrlRedirectPlan {
    /// Appends the address that the client is sent to. A port that is the protocol's own is left out, so is an empty query; the
    /// `&` that `${query}&name=x` leaves where the request has no query is left out, too.
    pub fn location(&self, values: &TemplateValues<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        self.protocol.expand(values, out);
        out[start..].make_ascii_lowercase();
        let own_port: &[u8] = if &out[start..] == b"https" { b"443" } else { b"80" };
        out.extend_from_slice(b"://");
        self.host.expand(values, out);
        let colon = out.len();
        out.push(b':');
        self.port.expand(values, out);
        if out[colon + 1..].is_empty() || &out[colon + 1..] == own_port {
            out.truncate(colon);
        }
        let path = out.len();
        self.path.expand(values, out);
        if out.get(path) != Some(&b'/') {
            out.insert(path, b'/');
        }
        let mut query = Vec::new();
        self.query.expand(values, &mut query);
        push_query(query.strip_prefix(b"&").unwrap_or(&query), out);
    }
}

fn push_query(query: &[u8], out: &mut Vec<u8>) {
    if !query.is_empty() {
        out.push(b'?');
        out.extend_from_slice(query);
    }
}

impl PolicyPlan {
    /// The plan of a policy; none for a redirect to a listener that is gone: it is not applied. `captures`: whether a regular
    /// expression of its own matches the path. `target` gives the index of a pool's target; none: the pool takes no traffic.
    pub(crate) fn compile(
        snapshot: &Snapshot,
        policy: &Policy,
        captures: bool,
        target: impl Fn(PoolId) -> Option<usize>,
        before: Option<&Arc<Self>>,
    ) -> Option<Arc<Self>> {
        let (action, limit, headers) = match &policy.action {
            Action::Forward(forward) => (
                ActionPlan::Forward(forward_plan(forward, captures, target)),
                forward.extras.limit,
                forward.extras.headers.clone(),
            ),
            Action::ToListener(listener) => (
                ActionPlan::ToListener(listener_redirect(snapshot, *listener)?),
                None,
                HeaderEdits::default(),
            ),
            Action::ToUrl(redirect) => {
                (ActionPlan::ToUrl(url_redirect(redirect, captures)), None, redirect.headers.clone())
            }
            Action::Fixed(fixed) => {
                let FixedResponse { status, content_type, body, headers, limit } = fixed.clone();
                (ActionPlan::Fixed(FixedPlan { status, content_type, body }), limit, headers)
            }
        };
        // 0 means no limit (behaviour/forwarding.md, Limit).
        let limit = limit.filter(|limit| limit.qps.value() > 0 || limit.per_source_qps.value() > 0);
        Some(same_or_new(before, Self { id: policy.id, action, limit, headers }))
    }

    /// Whether the action needs what the groups of the path's regular expression captured.
    pub fn uses_captures(&self) -> bool {
        match &self.action {
            ActionPlan::Forward(forward) => forward.rewrite.as_ref().is_some_and(|rewrite| {
                [&rewrite.host, &rewrite.path, &rewrite.query]
                    .into_iter()
                    .flatten()
                    .any(Template::uses_captures)
            }),
            ActionPlan::ToUrl(to) => [&to.protocol, &to.host, &to.port, &to.path, &to.query]
                .into_iter()
                .any(Template::uses_captures),
            ActionPlan::ToListener(_) | ActionPlan::Fixed(_) => false,
        }
    }
}

fn forward_plan(forward: &Forward, captures: bool, target: impl Fn(PoolId) -> Option<usize>) -> ForwardPlan {
    let share = |pool: PoolId, share: u16| Some(PoolShare { target: target(pool)?, share: share.into() });
    let pools: Vec<_> = forward.pools().filter_map(|pool| share(pool.pool, pool.weight.value())).collect();
    let extras = &forward.extras;
    let mirror = extras.mirror.as_ref().and_then(|mirror| {
        Some(MirrorPlan { target: mirror.pools.first().copied().and_then(target)?, body: mirror.body })
    });
    ForwardPlan {
        shares: pools.iter().map(|pool| pool.share).sum(),
        pools,
        stickiness: forward
            .stickiness
            .filter(|stickiness| stickiness.enabled)
            .map(|stickiness| Duration::from_secs(60 * u64::from(stickiness.minutes.value()))),
        rewrite: extras
            .rewrite
            .as_ref()
            .filter(|_| extras.rewrite_enabled)
            .map(|rewrite| rewrite_plan(rewrite, captures)),
        cors: extras.cors.as_ref().map(CorsPlan::compile),
        mirror,
    }
}

fn rewrite_plan(rewrite: &Rewrite, captures: bool) -> RewritePlan {
    let parse = |text: &str| Template::parse(text, captures);
    RewritePlan {
        host: Some(parse(&rewrite.host)).filter(|host| !host.is_host()),
        path: Some(parse(&rewrite.path)).filter(|path| !path.is_path()),
        query: Some(parse(&rewrite.query)).filter(|query| !query.is_query()),
    }
}

fn listener_redirect(snapshot: &Snapshot, listener: ListenerId) -> Option<ListenerRedirectPlan> {
    snapshot.listener(listener).map(|listener| ListenerRedirectPlan { port: listener.ports.first().value() })
}

fn url_redirect(redirect: &UrlRedirect, captures: bool) -> UrlRedirectPlan {
    let parse = |text: &str| Template::parse(text, captures);
    UrlRedirectPlan {
        status: redirect.status,
        protocol: parse(&redirect.protocol),
        host: parse(&redirect.host),
        port: parse(&redirect.port),
        path: parse(&redirect.path),
        query: parse(&redirect.query),
    }
}

#[cfg(test)]
mod tests {
    use model::policy::HeaderEdits;

    use super::*;
    use crate::template::Captures;

    fn values<'a>(captures: &'a Captures, query: &'a str) -> TemplateValues<'a> {
        TemplateValues {
            protocol: "http",
            host: b"www.example.com",
            port: 8080,
            path: b"/old/page",
            query: query.as_bytes(),
            captures,
        }
    }

    /// A redirect with the API's defaults but for what a row says.
    fn redirect(protocol: &str, host: &str, port: &str, path: &str, query: &str) -> UrlRedirectPlan {
        let or = |text: &str, default: &str| if text.is_empty() { default } else { text }.to_owned();
        let redirect = UrlRedirect {
            protocol: or(protocol, "${protocol}"),
            host: or(host, "${host}"),
            port: or(port, "${port}"),
            path: or(path, "${path}"),
            query: or(query, "${query}"),
            status: 302,
            headers: HeaderEdits::default(),
        };
        url_redirect(&redirect, true)
    }

    #[test]
    fn a_redirect_leads_where_its_parts_say() {
        let mut captures = Captures::default();
        captures.set(1, 5..9);
        for (why, plan, query, expect) in [
            ("defaults", redirect("", "", "", "", ""), "a=1", "http://www.example.com:8080/old/page?a=1"),
            ("no query", redirect("", "", "", "", ""), "", "http://www.example.com:8080/old/page"),
            (
                "HTTPS on its own port",
                redirect("HTTPS", "", "443", "", ""),
                "",
                "https://www.example.com/old/page",
            ),
            (
                "HTTP on its own port",
                redirect("HTTP", "", "80", "", ""),
                "",
                "http://www.example.com/old/page",
            ),
            (
                "HTTPS on another's",
                redirect("HTTPS", "", "80", "", ""),
                "",
                "https://www.example.com:80/old/page",
            ),
            ("a group", redirect("", "", "80", "/new/$1", ""), "", "http://www.example.com/new/page"),
            ("a path without slash", redirect("", "", "80", "x", ""), "", "http://www.example.com/x"),
            (
                "a query that grows",
                redirect("", "", "80", "", "${query}&name=x"),
                "a=1",
                "http://www.example.com/old/page?a=1&name=x",
            ),
            (
                "from nothing",
                redirect("", "", "80", "", "${query}&name=x"),
                "",
                "http://www.example.com/old/page?name=x",
            ),
            (
                "another host",
                redirect("", "m.${host}", "80", "", ""),
                "",
                "http://m.www.example.com/old/page",
            ),
        ] {
            let mut out = b"Location: ".to_vec();
            plan.location(&values(&captures, query), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("Location: {expect}"), "{why}");
        }
    }

    #[test]
    fn a_redirect_to_a_listener_keeps_everything_but_scheme_and_port() {
        for (port, query, expect) in [
            (443, "a=1", "https://www.example.com/old/page?a=1"),
            (8443, "", "https://www.example.com:8443/old/page"),
        ] {
            let mut out = Vec::new();
            ListenerRedirectPlan { port }.location(&values(&Captures::default(), query), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expect);
        }
    }

    #[test]
    fn numbers_drawn_evenly_give_each_pool_its_share() {
        let pools = [(4, 0), (7, 2), (5, 0), (6, 3)].map(|(target, share)| PoolShare { target, share });
        let plan = ForwardPlan {
            pools: pools.to_vec(),
            shares: 5,
            stickiness: None,
            rewrite: None,
            cors: None,
            mirror: None,
        };
        let drawn: Vec<_> = (0..6).map(|number| plan.pool_at(number)).collect();
        assert_eq!(drawn, [Some(7), Some(7), Some(6), Some(6), Some(6), None]);
    }
}
