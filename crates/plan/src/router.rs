//! Which policy gets a request (behaviour/forwarding.md, Matching order and Conditions).

use std::net::IpAddr;

use serde::Serialize;

use crate::template::Captures;

/// Finds the policy of a request.
#[derive(Debug, PartialEq, Serialize)]
pub struct Router {}

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
    /// Whether one of the values of that header passes a test. The name is written in lower case and matches without regard to
    /// case; each line of the request is one value, without white space around it.
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

impl Router {
    /// The policy of a request; none: the listener's default pool gets it.
    pub fn route(&self, _request: &RequestView<'_>) -> Option<Match> {
        None
    }
}
