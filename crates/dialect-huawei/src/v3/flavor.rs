//! Flavors in v3 words: a fixed catalogue, the same for every project.

use axum::response::Response;
use control::View;
use http::StatusCode;
use identity::Verb;
use model::{
    Flavor, FlavorId, FlavorLayer, ProjectId,
    flavor::{CATALOGUE, by_id},
};
use serde::Serialize;

use crate::v3::{
    call::Call,
    errors::Problem,
    list::{Filter, either, one},
    load_balancer::PUBLIC_BORDER_GROUP,
};

const RESOURCE: &str = "flavors";

// ---- wire ----

/// A flavor as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    id: String,
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    project_id: String,
    shared: bool,
    flavor_sold_out: bool,
    public_border_group: &'static str,
    category: u32,
    info: Info,
}

/// A flavor's limits.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Info {
    connection: u64,
    cps: u64,
    qps: Option<u64>,
    https_cps: Option<u64>,
    tls_connection: Option<u64>,
    tls_cps: Option<u64>,
    bandwidth: u64,
    lcu: Option<u64>,
}

// ---- encode ----

/// The flavor as answers show it to a project.
pub(crate) fn encode(flavor: &Flavor, project: ProjectId) -> Wire {
    Wire {
        id: flavor.id.to_string(),
        name: flavor.name,
        kind: kind(flavor),
        project_id: project.simple(),
        shared: true,
        flavor_sold_out: false,
        public_border_group: PUBLIC_BORDER_GROUP,
        category: CATEGORY,
        info: Info {
            connection: flavor.connections,
            cps: flavor.connections_per_second,
            qps: flavor.requests_per_second,
            https_cps: flavor.https_connections_per_second,
            tls_connection: None,
            tls_cps: None,
            bandwidth: flavor.bandwidth_mbit * KBIT_PER_MBIT,
            lcu: flavor.lcu,
        },
    }
}

/// The center; the vendor's other places (21, 41) are none of ours.
pub(crate) const CATEGORY: u32 = 0;
const KBIT_PER_MBIT: u64 = 1000;

fn kind(flavor: &Flavor) -> &'static str {
    match (flavor.layer, flavor.elastic) {
        (FlavorLayer::L4, false) => "L4",
        (FlavorLayer::L7, false) => "L7",
        (FlavorLayer::L4, true) => "L4_elastic_max",
        (FlavorLayer::L7, true) => "L7_elastic_max",
    }
}

// ---- list ----

/// What its list can be filtered by.
pub(crate) const FILTERS: &[Filter<View, Flavor>] = &[
    Filter::text("id", |_, flavor| one(flavor.id)),
    Filter::text("name", |_, flavor| one(flavor.name)),
    Filter::text("type", |_, flavor| one(kind(flavor))),
    Filter::flag("shared", |_, _| one(true)),
    Filter::text("public_border_group", |_, _| one(PUBLIC_BORDER_GROUP)),
    Filter::integer("category", |_, _| one(CATEGORY)),
    Filter::flag("list_all", |_, _| either()),
    Filter::flag("flavor_sold_out", |_, _| one(false)),
];

// ---- operations ----

/// `GET …/flavors`.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::List)?;
    let mut all: Vec<_> = CATALOGUE.iter().collect();
    all.sort_by_key(|flavor| flavor.id);
    call.page(RESOURCE, &view, FILTERS, |flavor| flavor.id, all, |flavor| encode(flavor, view.project))
}

/// `GET …/flavors/{flavor_id}`.
pub(crate) async fn show(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::Get)?;
    let id = call.id::<FlavorId>("flavor_id")?;
    let flavor = by_id(id).ok_or_else(|| Problem::not_found("flavor", id))?;
    Ok(call.one(StatusCode::OK, "flavor", encode(flavor, view.project)))
}
