//! Which policy gets a request (behaviour/forwarding.md, Matching order and Conditions).
//!
//! Both orders are one: every way in which a policy can match (one of its hosts with one of its paths) has a rank, and of all that
//! match a request the smallest rank wins. With priorities the rank is the policy's place; without, it is how special host and path
//! are. So an index may find the ways that can match at all (by host, then by path, then by a value that is asked for) in any order,
//! and only their other rules are asked, and only while they could still win. That costs about the same for ten rules and for ten thousand.
//!
//! A policy without rules matches nothing, except a redirect to a listener, which has none and matches all. A value that is
//! malformed (an expression that does not compile, an address that is none) holds for no request.
//!
//! What it does not do: it decodes nothing. Path, query and cookies are compared as they came on the wire.

mod candidates;
mod condition;
mod glob;
mod host;
mod path;
mod pattern;
mod prefixes;

use std::{cmp::Reverse, collections::BTreeMap, net::IpAddr, sync::Arc};

use model::{Compare, Rule, RuleSubject};
use serde::{Serialize, Serializer};

use candidates::{Asked, Entry};
use condition::Condition;
use host::{HOST_BYTES_MAX, HostIndex, HostKey};
use path::{PathIndex, PathKey};
use pattern::Patterns;

use crate::template::Captures;

pub use pattern::PATTERN_BYTES_MAX;

/// Finds the policy of a request.
#[derive(Debug)]
pub struct Router {
    order: Order,
    /// What it was made from.
    policies: Vec<Routed>,
    /// The rules of each policy that the index does not know.
    conditions: Vec<Vec<Condition>>,
    hosts: HostIndex,
    /// For the next router.
    patterns: Patterns,
}

/// What a router looks at. Everything is borrowed and raw, as it came on the wire.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    /// The host as in `Host` or `:authority`, with or without port, in any case; empty: none.
    pub host: &'a [u8],
    /// The path without query, beginning with `/`.
    pub path: &'a [u8],
    /// The query without its question mark; empty: none.
    pub query: &'a [u8],
    /// The method.
    pub method: &'a [u8],
    /// The headers.
    pub headers: &'a dyn HeaderLookup,
    /// The address of the TCP peer.
    pub source: IpAddr,
}

/// The headers of a request.
pub trait HeaderLookup {
    /// Whether one of the values of that header passes a test. The name is given in lower case and matches without regard to case;
    /// each line of the request is one value, without white space around it.
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

/// The policy that gets a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Its index in [`crate::ListenerPlan::policies`].
    pub policy: usize,
    /// What its path's regular expression captured, where its action needs that.
    pub captures: Captures,
}

/// How the places of policies are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// The special before the general; equals in the order in which they are given.
    Specificity,
    /// As they are given.
    Given,
}

/// A policy with what decides whether it gets a request.
#[derive(Clone, Debug)]
pub(crate) struct Routed {
    /// Whether it gets every request, and has no rules.
    pub(crate) all: bool,
    /// Whether its action needs what its path's regular expression captured.
    pub(crate) captures: bool,
    /// Its rules in order of id.
    pub(crate) rules: Vec<Arc<Rule>>,
}

impl Router {
    /// The router of these policies; that before, if it is of the same. Expressions of that before are not compiled again.
    pub(crate) fn compile(order: Order, policies: Vec<Routed>, before: Option<&Arc<Self>>) -> Arc<Self> {
        if let Some(before) = before.filter(|before| before.order == order && before.policies == policies) {
            return Arc::clone(before);
        }
        let mut patterns = Patterns::default();
        let known = before.map(|before| &before.patterns);
        let mut ways = Vec::new();
        let mut conditions = Vec::with_capacity(policies.len());
        for (place, policy) in (0..).zip(&policies) {
            let (found, others) = ways_of(place, policy, &mut patterns, known);
            ways.extend(found);
            conditions.push(others);
        }
        let hosts = index(order, ways, &conditions);
        Arc::new(Self { order, policies, conditions, hosts, patterns })
    }

    /// The policy of a request; none: the listener's default pool gets it.
    pub fn route(&self, request: &RequestView<'_>) -> Option<Match> {
        let mut buffer = [0; HOST_BYTES_MAX];
        let host = host::normal(request.host, &mut buffer);
        let asked = Asked { request, host, conditions: &self.conditions };
        let mut best: Option<&Entry> = None;
        self.hosts.each(host, |paths| {
            best = paths.find(best.map_or(u32::MAX, |best| best.rank), &asked).or(best);
            best.map_or(u32::MAX, |best| best.rank)
        });
        let policy = best?.policy as usize;
        let pattern = best?.pattern.as_ref().filter(|_| self.policies[policy].captures);
        Some(Match {
            policy,
            captures: pattern.map(|pattern| pattern.captures(request.path)).unwrap_or_default(),
        })
    }
}

/// One way in which a policy can match.
struct Way {
    host: HostKey,
    path: PathKey,
    rank: Rank,
}

/// What is smaller is looked at earlier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    host: HostRank,
    path: PathRank,
    place: u32,
}

/// "A policy with the request's domain wins over path-only ones"; of domains, the more special.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum HostRank {
    Exact,
    Wild(Reverse<usize>),
    Pattern,
    Any,
}

/// "exact > prefix > regex; same kind: longer path first".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PathRank {
    Exact,
    Prefix(Reverse<usize>),
    Pattern(Reverse<usize>),
}

/// The ways of a policy, and its rules beyond the first on hosts and the first on paths, which make them.
fn ways_of(
    place: u32,
    policy: &Routed,
    patterns: &mut Patterns,
    known: Option<&Patterns>,
) -> (Vec<Way>, Vec<Condition>) {
    let first = |subject| policy.rules.iter().find(|rule| rule.subject == subject);
    let (host_rule, path_rule) = (first(RuleSubject::Host), first(RuleSubject::Path));
    let hosts = host_rule
        .map_or_else(|| vec![(HostKey::Any, HostRank::Any)], |rule| host_keys(rule, patterns, known));
    // "Domain without path = prefix /", which every path begins with.
    let paths = path_rule.map_or_else(
        || vec![(PathKey::Prefix(Vec::new()), PathRank::Prefix(Reverse(1)))],
        |rule| path_keys(rule, patterns, known),
    );
    let indexed = |rule: &Arc<Rule>| {
        [host_rule, path_rule].into_iter().flatten().any(|indexed| Arc::ptr_eq(indexed, rule))
    };
    let others = policy.rules.iter().filter(|rule| !indexed(rule));
    let conditions = others
        .map(|rule| Condition::compile(rule, |text| patterns.pattern(rule.subject, text, known)))
        .collect();
    if policy.rules.is_empty() && !policy.all {
        return (Vec::new(), conditions);
    }
    let mut ways = Vec::with_capacity(hosts.len() * paths.len());
    for (host, host_rank) in hosts {
        for (path, path_rank) in paths.clone() {
            ways.push(Way {
                host: host.clone(),
                path,
                rank: Rank { host: host_rank, path: path_rank, place },
            });
        }
    }
    (ways, conditions)
}

fn host_keys(rule: &Rule, patterns: &mut Patterns, known: Option<&Patterns>) -> Vec<(HostKey, HostRank)> {
    let key = |value: &str| {
        let lower = value.to_ascii_lowercase().into_bytes();
        match rule.compare {
            Compare::Equal if glob::is_wild(&lower) => {
                let rank = HostRank::Wild(Reverse(lower.len()));
                Some((HostKey::Wild(lower), rank))
            }
            Compare::Equal => Some((HostKey::Exact(lower), HostRank::Exact)),
            // No API has prefixes of hosts; as a pattern they mean what they say.
            Compare::Prefix => {
                let rank = HostRank::Wild(Reverse(lower.len()));
                Some((HostKey::Wild([&lower[..], b"*"].concat()), rank))
            }
            Compare::Regex => {
                let pattern = patterns.pattern(RuleSubject::Host, value, known)?;
                Some((HostKey::Pattern(value.to_owned(), pattern), HostRank::Pattern))
            }
        }
    };
    rule.values().filter_map(key).collect()
}

fn path_keys(rule: &Rule, patterns: &mut Patterns, known: Option<&Patterns>) -> Vec<(PathKey, PathRank)> {
    let key = |value: &str| {
        let bytes = value.as_bytes().to_vec();
        let length = Reverse(value.len());
        match rule.compare {
            Compare::Equal => Some((PathKey::Exact(bytes), PathRank::Exact)),
            Compare::Prefix => Some((PathKey::Prefix(bytes), PathRank::Prefix(length))),
            Compare::Regex => {
                let pattern = patterns.pattern(RuleSubject::Path, value, known)?;
                Some((PathKey::Pattern(pattern), PathRank::Pattern(length)))
            }
        }
    };
    rule.values().filter_map(key).collect()
}

fn index(order: Order, mut ways: Vec<Way>, conditions: &[Vec<Condition>]) -> HostIndex {
    match order {
        Order::Specificity => ways.sort_by_key(|way| way.rank),
        Order::Given => ways.sort_by_key(|way| way.rank.place),
    }
    /// A key with its kind, since a host, a pattern and an expression may be written alike.
    type Name = (u8, Vec<u8>);
    let mut hosts: BTreeMap<Name, (HostKey, Vec<(PathKey, Entry)>)> = BTreeMap::new();
    for (rank, way) in (0..).zip(ways) {
        let name = match &way.host {
            HostKey::Exact(host) => (0, host.clone()),
            HostKey::Wild(pattern) => (1, pattern.clone()),
            HostKey::Pattern(text, _) => (2, text.clone().into_bytes()),
            HostKey::Any => (3, Vec::new()),
        };
        let entry = Entry { rank, policy: way.rank.place, pattern: None };
        hosts.entry(name).or_insert_with(|| (way.host, Vec::new())).1.push((way.path, entry));
    }
    HostIndex::new(hosts.into_values().map(|(host, entries)| (host, PathIndex::new(entries, conditions))))
}

impl PartialEq for Router {
    /// Whether both send every request to the same place: all else is made from this.
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order && self.policies == other.policies
    }
}

impl PartialEq for Routed {
    fn eq(&self, other: &Self) -> bool {
        let alike = |one: &Arc<Rule>, other: &Arc<Rule>| {
            Arc::ptr_eq(one, other)
                || one.subject == other.subject
                    && one.compare == other.compare
                    && one.key() == other.key()
                    && one.values().eq(other.values())
        };
        self.all == other.all
            && self.captures == other.captures
            && self.rules.len() == other.rules.len()
            && self.rules.iter().zip(&other.rules).all(|(one, other)| alike(one, other))
    }
}

/// The order and the rules, policy by policy.
impl Serialize for Router {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'a> {
            order: Order,
            policies: Vec<Vec<WrittenRule<'a>>>,
        }
        #[derive(Serialize)]
        struct WrittenRule<'a> {
            subject: RuleSubject,
            compare: Compare,
            #[serde(skip_serializing_if = "Option::is_none")]
            key: Option<&'a str>,
            values: Vec<&'a str>,
        }
        let policies = self.policies.iter().map(|policy| {
            policy
                .rules
                .iter()
                .map(|rule| WrittenRule {
                    subject: rule.subject,
                    compare: rule.compare,
                    key: rule.key(),
                    values: rule.values().collect(),
                })
                .collect()
        });
        Written { order: self.order, policies: policies.collect() }.serialize(to)
    }
}
