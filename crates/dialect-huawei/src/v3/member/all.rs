//! The members of all pools, in one list.

use axum::response::Response;
use control::{View, relations::load_balancers_of_pool};
use identity::Verb;
use model::Member;
use serde::Serialize;

use crate::v3::{
    answer::{self, Ref},
    call::Call,
    errors::Problem,
    list::{Filter, each, enterprise_project, maybe, one},
    member,
};

// ---- wire ----

/// A member as this list shows it: also where it belongs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    #[serde(flatten)]
    member: member::Wire,
    pool_id: String,
    loadbalancer_id: Option<String>,
    loadbalancers: Vec<Ref>,
    device_id: &'static str,
    device_owner: &'static str,
}

// ---- encode ----

/// The member as this list shows it.
pub(crate) fn encode(view: &View, member: &Member) -> Wire {
    let load_balancers = load_balancers(view, member);
    Wire {
        member: member::encode(view, member),
        pool_id: member.pool.to_string(),
        loadbalancer_id: load_balancers.first().cloned(),
        loadbalancers: answer::refs(load_balancers),
        device_id: "",
        device_owner: "",
    }
}

fn load_balancers(view: &View, member: &Member) -> Vec<String> {
    let pool = view.snapshot.pool(member.pool);
    pool.map(|pool| each(load_balancers_of_pool(&view.snapshot, pool))).unwrap_or_default()
}

// ---- list ----

/// What the list of all members can be filtered by.
pub(crate) const FILTERS: &[Filter<View, Member>] = &[
    Filter::text("id", |_, member| one(member.id)),
    Filter::text("name", |_, member| one(&member.name)),
    Filter::integer("weight", |_, member| one(member.weight)),
    Filter::flag("admin_state_up", |_, member| one(member.admin_up)),
    Filter::text("subnet_cidr_id", |_, member| maybe(member.subnet)),
    Filter::text("address", |_, member| one(member.address)),
    Filter::integer("protocol_port", |_, member| one(member::shown_port(member))),
    Filter::text("operating_status", |view, member| one(member::status::encode(view, member).overall)),
    Filter::text("enterprise_project_id", |view, member| {
        enterprise_project(view.snapshot.pool(member.pool).and_then(|pool| pool.enterprise_project))
    }),
    Filter::text("ip_version", |_, member| one(member::ip_version(member))),
    Filter::text("pool_id", |_, member| one(member.pool)),
    Filter::text("loadbalancer_id", load_balancers),
];

// ---- operations ----

/// `GET …/members`.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let view = call.view("members", Verb::List)?;
    let all = view.snapshot.members().values().map(AsRef::as_ref);
    let own = all.filter(|member: &&Member| member.project == view.project).collect();
    call.page("members", &view, FILTERS, |member| member.id, own, |member| encode(&view, member))
}
