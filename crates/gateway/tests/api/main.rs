//! The gateway as a client sees it: requests go in by [`gateway::Gateway::answer`] or over a socket, answers are looked at whole.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod authentication;
mod identity_api;
mod serving;
mod site;
