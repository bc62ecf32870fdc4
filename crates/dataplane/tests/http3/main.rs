//! HTTP/3 of clients.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../rig/echo.rs"]
mod echo;
#[path = "../rig/h3.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod quic;
#[path = "../rig/mod.rs"]
mod rig;
#[path = "../rig/tls.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod secured;

mod bounds;
mod early;
mod life;
mod protocol;
mod requests;

use std::net::SocketAddr;

use plan::{ListenerPlan, ServicePlan};
use rig::{Rig, free_address, http, http_plan};
use secured::{certificate, over_tls, tls_plan};

/// A listener of HTTP/3 before these members.
fn listener(address: SocketAddr, members: &[SocketAddr]) -> ListenerPlan {
    let plain = http(address, members);
    over_tls(
        ListenerPlan { service: ServicePlan::Quic(http_plan()), ..plain },
        tls_plan(&certificate(&["t"]), &[]),
    )
}

/// A data plane of two workers with it in force.
fn serving(members: &[SocketAddr]) -> (Rig, SocketAddr) {
    let address = free_address();
    (Rig::serving(listener(address, members)), address)
}

/// The fields of a request without fields of its own.
const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "t"), (":path", "/")];
