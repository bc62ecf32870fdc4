//! A forwarding policy: what a listener does with the requests that its rules pick.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    Description, ListenerId, Name, Patch, PolicyId, PoolId, Priority, ProjectId, RequestRate, StickyMinutes,
    Timestamp, Weight, rule::NewRule,
};

/// A policy of an HTTP or HTTPS listener (behaviour/forwarding.md). Its rules are objects of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its id.
    pub id: PolicyId,
    /// The owning project, that of its listener.
    pub project: ProjectId,
    /// The listener whose requests it looks at.
    pub listener: ListenerId,
    /// What people call it; need not be unique.
    pub name: Name,
    /// A remark.
    pub description: Description,
    /// An obsolete order, only kept.
    pub position: u16,
    /// Its place among the policies of its listener; none: the order is computed.
    pub priority: Option<Priority>,
    /// What is done.
    pub action: Action,
    /// It had the rules of an older policy when it was made or last changed, and is not applied.
    #[serde(default)]
    pub faulty: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed by a caller.
    pub updated_at: Timestamp,
}

/// What a policy does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// To members of a pool.
    Forward(Forward),
    /// 301 to an HTTPS listener of the same load balancer.
    ToListener(ListenerId),
    /// A redirect elsewhere.
    ToUrl(UrlRedirect),
    /// An answer of its own.
    Fixed(FixedResponse),
}

impl Action {
    /// Every pool that it names, each once: its own (also those that do not count now) and those of a mirror.
    pub fn pools(&self) -> BTreeSet<PoolId> {
        let Self::Forward(forward) = self else { return BTreeSet::new() };
        let mirrors = forward.extras.mirror.iter().flat_map(|mirror| &mirror.pools).copied();
        forward
            .pool
            .into_iter()
            .chain(forward.pools.iter().map(|weighted| weighted.pool))
            .chain(mirrors)
            .collect()
    }
}

/// Sends requests to one or more pools.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The pool, where `pools` is empty; none: requests are answered 404 (x-router-code 40001).
    pub pool: Option<PoolId>,
    /// Pools with their shares; at most 5, none twice. They win over `pool`.
    pub pools: Vec<WeightedPool>,
    /// Whether a client stays with one of `pools`.
    pub stickiness: Option<PoolStickiness>,
    /// What is changed on the way.
    pub extras: Extras,
}

impl Forward {
    /// The pools that count, with their shares.
    pub fn pools(&self) -> impl Iterator<Item = WeightedPool> {
        let alone = self
            .pool
            .filter(|_| self.pools.is_empty())
            .map(|pool| WeightedPool { pool, weight: Weight::of(1) });
        alone.into_iter().chain(self.pools.iter().copied())
    }
}

/// A pool and its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightedPool {
    /// Which pool.
    pub pool: PoolId,
    /// Its share, 0–100; 0 takes none.
    pub weight: Weight,
}

/// Keeps a client on one of several pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolStickiness {
    /// Whether it is on.
    pub enabled: bool,
    /// For how long.
    pub minutes: StickyMinutes,
}

/// What a forwarding policy changes on the way (behaviour/forwarding.md, Extras).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extras {
    /// What members see in place of the request's target; kept also while `rewrite_enabled` is false.
    pub rewrite: Option<Rewrite>,
    /// Whether `rewrite` counts.
    pub rewrite_enabled: bool,
    /// Changes of headers.
    pub headers: HeaderEdits,
    /// How many requests are let through.
    pub limit: Option<RateLimit>,
    /// Who may read the answers across origins.
    pub cors: Option<Cors>,
    /// Where a copy of each request goes.
    pub mirror: Option<Mirror>,
}

/// The parts of the request's target that members see. Templates: `${host}`, `${path}`, `${query}`, `$1` to `$9` for what the path's
/// regular expression captured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrite {
    /// The host.
    pub host: String,
    /// The path.
    pub path: String,
    /// The query.
    pub query: String,
}

/// Changes of a message's headers: first removed, then written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderEdits {
    /// Headers that are written; each replaces what the message had of that name.
    pub insert: Vec<InsertedHeader>,
    /// Names of headers that are taken away.
    pub remove: Vec<String>,
}

/// A header that is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsertedHeader {
    /// Its name: 1–40 of letters, digits, `-`, `_`; not one of the forbidden ones.
    pub name: String,
    /// Where its value comes from.
    pub value: InsertedValue,
}

/// Where a written header's value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InsertedValue {
    /// This text.
    Text(String),
    /// The value of that header of the request; nothing is written when it has none.
    Header(String),
    /// What the load balancer knows.
    System(SystemValue),
}

/// Values that the load balancer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub enum SystemValue {
    /// The client's port.
    ClientPort,
    /// The client's address.
    ClientIp,
    /// `http` or `https`.
    ElbProtocol,
    /// The load balancer's id.
    ElbId,
    /// The listener's port.
    ElbPort,
    /// The public address; the VIP where there is none.
    ElbEip,
    /// The VIP.
    ElbVip,
    /// The TLS version, such as `TLSv1.3`.
    TlsProtocol,
    /// The TLS suite's name.
    TlsCipher,
    /// The client certificate's subject.
    ClientcertSubjectdn,
    /// The client certificate's issuer.
    ClientcertIssuerdn,
    /// The client certificate's fingerprint.
    ClientcertFingerprint,
    /// Whether a client certificate was checked.
    ClientcertClientverify,
    /// The client certificate's serial number.
    ClientcertSerialnumber,
    /// The client certificate in PEM.
    Clientcert,
    /// The suites that the client offered.
    ClientcertCiphers,
    /// The end of the client certificate's validity.
    ClientcertEnd,
    /// The protocol agreed by ALPN.
    TlsAlpnProtocol,
    /// The name that the client asked for.
    TlsSni,
    /// The JA3 fingerprint.
    TlsJa3,
    /// The JA4 fingerprint.
    TlsJa4,
}

/// How many requests are let through; what is above gets 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Requests per second of all clients.
    pub qps: RequestRate,
    /// Requests per second of one client address; below `qps` unless that is 0.
    pub per_source_qps: RequestRate,
    /// Requests of one client in excess of that.
    pub burst: RequestRate,
}

/// Cross-origin sharing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cors {
    /// `*`, or origins such as `https://*.example.com:8443`.
    pub allow_origin: Vec<String>,
    /// Methods.
    pub allow_methods: Vec<String>,
    /// Request headers.
    pub allow_headers: Vec<String>,
    /// Response headers that pages may read.
    pub expose_headers: Vec<String>,
    /// Whether cookies may be sent.
    pub allow_credentials: bool,
    /// Seconds that a preflight's answer may be kept, -1 to 172,800.
    pub max_age: i32,
}

/// Sends a copy of each request elsewhere, and throws the answer away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// The pools that get the copy; one.
    pub pools: Vec<PoolId>,
    /// Whether the body goes along.
    pub body: bool,
}

/// A redirect. Templates as in [`Rewrite`], and `${protocol}`, `${port}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlRedirect {
    /// `HTTP`, `HTTPS` or `${protocol}`.
    pub protocol: String,
    /// The host.
    pub host: String,
    /// A port or `${port}`.
    pub port: String,
    /// The path.
    pub path: String,
    /// The query.
    pub query: String,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Changes of the answer's headers.
    pub headers: HeaderEdits,
}

/// An answer of the load balancer's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedResponse {
    /// 200–299, 400–499 or 500–599.
    pub status: u16,
    /// `text/plain`, `text/css`, `text/html`, `application/javascript` or `application/json`.
    pub content_type: String,
    /// The body, at most 1,024 bytes.
    pub body: String,
    /// Changes of the answer's headers.
    pub headers: HeaderEdits,
    /// How many requests are answered so.
    pub limit: Option<RateLimit>,
}

/// What a caller says to create a policy.
#[derive(Clone, Debug)]
pub struct NewPolicy {
    /// See [`Policy::listener`].
    pub listener: ListenerId,
    /// See [`Policy::name`].
    pub name: Name,
    /// See [`Policy::description`].
    pub description: Description,
    /// See [`Policy::position`].
    pub position: u16,
    /// See [`Policy::priority`]; none: computed, or the next free one where priorities are on.
    pub priority: Option<Priority>,
    /// See [`Policy::action`].
    pub action: Action,
    /// Its rules.
    pub rules: Vec<NewRule>,
}

/// What a caller says to change a policy. The parts of another action than the policy's are refused by `control`.
#[derive(Clone, Debug, Default)]
pub struct PolicyPatch {
    /// See [`Policy::name`].
    pub name: Option<Name>,
    /// See [`Policy::description`].
    pub description: Option<Description>,
    /// See [`Policy::priority`].
    pub priority: Option<Priority>,
    /// See [`Forward::pool`].
    pub pool: Patch<PoolId>,
    /// See [`Forward::pools`].
    pub pools: Patch<Vec<WeightedPool>>,
    /// See [`Forward::stickiness`].
    pub stickiness: Patch<PoolStickiness>,
    /// See [`Forward::extras`]; a part that is said replaces the part that was.
    pub extras: Patch<ExtrasPatch>,
    /// See [`Action::ToListener`].
    pub to_listener: Option<ListenerId>,
    /// See [`Action::ToUrl`].
    pub to_url: Option<UrlRedirectPatch>,
    /// See [`Action::Fixed`].
    pub fixed: Option<FixedResponsePatch>,
    /// Replaces all rules.
    pub rules: Option<Vec<NewRule>>,
}

/// A change of [`Extras`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtrasPatch {
    /// See [`Extras::rewrite`].
    pub rewrite: Patch<Rewrite>,
    /// See [`Extras::rewrite_enabled`].
    pub rewrite_enabled: Option<bool>,
    /// See [`HeaderEdits::insert`].
    pub insert_headers: Patch<Vec<InsertedHeader>>,
    /// See [`HeaderEdits::remove`].
    pub remove_headers: Patch<Vec<String>>,
    /// See [`Extras::limit`].
    pub limit: Patch<RateLimit>,
    /// See [`Extras::cors`].
    pub cors: Patch<Cors>,
    /// See [`Extras::mirror`].
    pub mirror: Patch<Mirror>,
}

/// A change of [`UrlRedirect`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UrlRedirectPatch {
    /// See [`UrlRedirect::protocol`].
    pub protocol: Option<String>,
    /// See [`UrlRedirect::host`].
    pub host: Option<String>,
    /// See [`UrlRedirect::port`].
    pub port: Option<String>,
    /// See [`UrlRedirect::path`].
    pub path: Option<String>,
    /// See [`UrlRedirect::query`].
    pub query: Option<String>,
    /// See [`UrlRedirect::status`].
    pub status: Option<u16>,
    /// See [`HeaderEdits::insert`].
    pub insert_headers: Patch<Vec<InsertedHeader>>,
    /// See [`HeaderEdits::remove`].
    pub remove_headers: Patch<Vec<String>>,
}

/// A change of [`FixedResponse`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FixedResponsePatch {
    /// See [`FixedResponse::status`].
    pub status: Option<u16>,
    /// See [`FixedResponse::content_type`].
    pub content_type: Option<String>,
    /// See [`FixedResponse::body`].
    pub body: Option<String>,
    /// See [`HeaderEdits::insert`].
    pub insert_headers: Patch<Vec<InsertedHeader>>,
    /// See [`HeaderEdits::remove`].
    pub remove_headers: Patch<Vec<String>>,
    /// See [`FixedResponse::limit`].
    pub limit: Patch<RateLimit>,
}
