//! Availability zones in v3 words: one set, in which a load balancer may use any.

use axum::response::Response;
use http::StatusCode;
use identity::Verb;
use model::{LoadBalancerId, Zone};
use serde::Serialize;

use crate::v3::{
    call::Call,
    errors::Problem,
    fields::Refusal,
    flavor::CATEGORY,
    list::{Filter, filtered, one},
    load_balancer::PUBLIC_BORDER_GROUP,
};

const RESOURCE: &str = "availability-zones";
const WRAPPER: &str = "availability_zones";

// ---- wire ----

/// A zone as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    code: String,
    state: &'static str,
    protocol: [&'static str; 2],
    public_border_group: &'static str,
    category: u32,
    spec_code: Option<String>,
}

// ---- encode ----

/// The zone as answers show it.
pub(crate) fn encode(zone: &Zone) -> Wire {
    Wire {
        code: zone.code.clone(),
        state: "ACTIVE",
        protocol: ["L4", "L7"],
        public_border_group: PUBLIC_BORDER_GROUP,
        category: CATEGORY,
        spec_code: None,
    }
}

// ---- list ----

/// What the list can be filtered by, beside `loadbalancer_id`, which names a load balancer whose set is asked for.
pub(crate) const FILTERS: &[Filter<(), Zone>] =
    &[Filter::text("public_border_group", |_, _| one(PUBLIC_BORDER_GROUP))];

// ---- operations ----

/// `GET …/availability-zones`. There is one set, so a load balancer's set is that one.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::List)?;
    for text in call.query.values("loadbalancer_id") {
        let id: LoadBalancerId =
            text.parse().map_err(|_| Refusal::new("loadbalancer_id", "must be an id (uuid)"))?;
        view.load_balancer(id)?;
    }
    let zones = filtered(&call.query, &(), FILTERS, &view.site.zones)?;
    let set: Vec<_> = zones.into_iter().map(encode).collect();
    let sets = if set.is_empty() { Vec::new() } else { vec![set] };
    Ok(call.one(StatusCode::OK, WRAPPER, sets))
}
