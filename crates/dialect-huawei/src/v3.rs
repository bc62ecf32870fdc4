//! Elastic Load Balance v3 (`/v3/{project_id}/elb/…`, `/versions`).
//!
//! Each noun has a file with the same parts in the same order: wire structs, decode, encode, list, operations.
//! [`fields`] reads requests, [`answer`] writes answers, [`list`] filters and pages, [`errors`] is the one table from our errors
//! to the vendor's, [`call`] is what a handler gets.
//!
//! What does not map: what our model has beyond v3 (a listener's own algorithm, stickiness and monitor; the connect timeout)
//! is not shown and keeps its default. What v3 has beyond our model is shown with the value that means "off"; a request that
//! switches it on is refused, or the field is listed in docs/guide/limits.md.
//!
//! Sources: huawei/v3.json, huawei/behaviours.md.

pub(crate) mod access_log;
pub(crate) mod answer;
pub(crate) mod call;
pub(crate) mod certificate;
#[cfg(test)]
mod contract;
pub(crate) mod errors;
pub(crate) mod fields;
pub(crate) mod flavor;
pub(crate) mod health_monitor;
pub(crate) mod ip_group;
pub(crate) mod later;
pub(crate) mod list;
pub(crate) mod listener;
pub(crate) mod load_balancer;
pub(crate) mod marks;
pub(crate) mod master_slave_pool;
pub(crate) mod member;
pub(crate) mod policy;
pub(crate) mod pool;
pub(crate) mod quota;
pub(crate) mod rule;
pub(crate) mod security_policy;
pub(crate) mod statuses;
pub(crate) mod versions;
pub(crate) mod zone;

use std::sync::Arc;

use axum::{Router, extract::Request, response::Response, routing::get};
use http::Method;

use call::{App, Operation};
use errors::Problem;

/// The routes of this version.
pub(crate) fn router() -> Router<Arc<App>> {
    let router = Router::new().route("/versions", get(versions::list));
    operations().into_iter().fold(router, |router, operation| router.route(operation.path, operation.route))
}

/// The answer to a path that the dialect does not have.
pub(crate) async fn unknown_uri(request: Request) -> Response {
    let (parts, _) = request.into_parts();
    Problem::unknown_uri(parts.uri.path()).answer(&call::request_id(&parts))
}

/// Every operation in a project.
fn operations() -> Vec<Operation> {
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    const PUT: Method = Method::PUT;
    const DELETE: Method = Method::DELETE;
    let mut all = vec![
        Operation::new(GET, "/v3/{project_id}/elb/loadbalancers", load_balancer::list),
        Operation::new(POST, "/v3/{project_id}/elb/loadbalancers", load_balancer::create),
        Operation::new(GET, "/v3/{project_id}/elb/loadbalancers/{loadbalancer_id}", load_balancer::show),
        Operation::new(PUT, "/v3/{project_id}/elb/loadbalancers/{loadbalancer_id}", load_balancer::update),
        Operation::new(DELETE, "/v3/{project_id}/elb/loadbalancers/{loadbalancer_id}", load_balancer::delete),
        Operation::new(
            DELETE,
            "/v3/{project_id}/elb/loadbalancers/{loadbalancer_id}/force-elb",
            load_balancer::delete_force,
        ),
        Operation::new(
            POST,
            "/v3/{project_id}/elb/loadbalancers/{loadbalancer_id}/delete-cascade",
            load_balancer::delete_cascade,
        ),
        Operation::new(GET, "/v3/{project_id}/elb/loadbalancers/{loadbalancer_id}/statuses", statuses::show),
        Operation::new(GET, "/v3/{project_id}/elb/listeners", listener::list),
        Operation::new(POST, "/v3/{project_id}/elb/listeners", listener::create),
        Operation::new(GET, "/v3/{project_id}/elb/listeners/{listener_id}", listener::show),
        Operation::new(PUT, "/v3/{project_id}/elb/listeners/{listener_id}", listener::update),
        Operation::new(DELETE, "/v3/{project_id}/elb/listeners/{listener_id}", listener::delete),
        Operation::new(DELETE, "/v3/{project_id}/elb/listeners/{listener_id}/force", listener::delete_force),
        Operation::new(GET, "/v3/{project_id}/elb/pools", pool::list),
        Operation::new(POST, "/v3/{project_id}/elb/pools", pool::create),
        Operation::new(POST, "/v3/{project_id}/elb/pools/batch-delete", pool::batch::delete),
        Operation::new(GET, "/v3/{project_id}/elb/pools/{pool_id}", pool::show),
        Operation::new(PUT, "/v3/{project_id}/elb/pools/{pool_id}", pool::update),
        Operation::new(DELETE, "/v3/{project_id}/elb/pools/{pool_id}", pool::delete),
        Operation::new(DELETE, "/v3/{project_id}/elb/pools/{pool_id}/delete-cascade", pool::delete_cascade),
        Operation::new(GET, "/v3/{project_id}/elb/master-slave-pools", master_slave_pool::list),
        Operation::new(POST, "/v3/{project_id}/elb/master-slave-pools", master_slave_pool::create),
        Operation::new(GET, "/v3/{project_id}/elb/master-slave-pools/{pool_id}", master_slave_pool::show),
        Operation::new(
            DELETE,
            "/v3/{project_id}/elb/master-slave-pools/{pool_id}",
            master_slave_pool::delete,
        ),
        Operation::new(GET, "/v3/{project_id}/elb/members", member::all::list),
        Operation::new(POST, "/v3/{project_id}/elb/members/{member_id}/health-check", member::check::create),
        Operation::new(GET, "/v3/{project_id}/elb/members/check/jobs/{job_id}", member::check::show),
        Operation::new(GET, "/v3/{project_id}/elb/pools/{pool_id}/members", member::list),
        Operation::new(POST, "/v3/{project_id}/elb/pools/{pool_id}/members", member::create),
        Operation::new(POST, "/v3/{project_id}/elb/pools/{pool_id}/members/batch-add", member::batch::create),
        Operation::new(
            POST,
            "/v3/{project_id}/elb/pools/{pool_id}/members/batch-update",
            member::batch::update,
        ),
        Operation::new(
            POST,
            "/v3/{project_id}/elb/pools/{pool_id}/members/batch-delete",
            member::batch::delete,
        ),
        Operation::new(GET, "/v3/{project_id}/elb/pools/{pool_id}/members/{member_id}", member::show),
        Operation::new(PUT, "/v3/{project_id}/elb/pools/{pool_id}/members/{member_id}", member::update),
        Operation::new(DELETE, "/v3/{project_id}/elb/pools/{pool_id}/members/{member_id}", member::delete),
        Operation::new(GET, "/v3/{project_id}/elb/healthmonitors", health_monitor::list),
        Operation::new(POST, "/v3/{project_id}/elb/healthmonitors", health_monitor::create),
        Operation::new(GET, "/v3/{project_id}/elb/healthmonitors/{healthmonitor_id}", health_monitor::show),
        Operation::new(PUT, "/v3/{project_id}/elb/healthmonitors/{healthmonitor_id}", health_monitor::update),
        Operation::new(
            DELETE,
            "/v3/{project_id}/elb/healthmonitors/{healthmonitor_id}",
            health_monitor::delete,
        ),
        Operation::new(GET, "/v3/{project_id}/elb/l7policies", policy::list),
        Operation::new(POST, "/v3/{project_id}/elb/l7policies", policy::create),
        Operation::new(
            POST,
            "/v3/{project_id}/elb/l7policies/batch-update-priority",
            policy::priorities::update,
        ),
        Operation::new(GET, "/v3/{project_id}/elb/l7policies/rules", rule::all::list),
        Operation::new(GET, "/v3/{project_id}/elb/l7policies/{l7policy_id}", policy::show),
        Operation::new(PUT, "/v3/{project_id}/elb/l7policies/{l7policy_id}", policy::update),
        Operation::new(DELETE, "/v3/{project_id}/elb/l7policies/{l7policy_id}", policy::delete),
        Operation::new(GET, "/v3/{project_id}/elb/l7policies/{l7policy_id}/rules", rule::list),
        Operation::new(POST, "/v3/{project_id}/elb/l7policies/{l7policy_id}/rules", rule::create),
        Operation::new(GET, "/v3/{project_id}/elb/l7policies/{l7policy_id}/rules/{l7rule_id}", rule::show),
        Operation::new(PUT, "/v3/{project_id}/elb/l7policies/{l7policy_id}/rules/{l7rule_id}", rule::update),
        Operation::new(
            DELETE,
            "/v3/{project_id}/elb/l7policies/{l7policy_id}/rules/{l7rule_id}",
            rule::delete,
        ),
        Operation::new(GET, "/v3/{project_id}/elb/certificates", certificate::list),
        Operation::new(POST, "/v3/{project_id}/elb/certificates", certificate::create),
        Operation::new(POST, "/v3/{project_id}/elb/certificates/batch-delete", certificate::batch::delete),
        Operation::new(
            GET,
            "/v3/{project_id}/elb/certificates/settings/private-key-echo",
            certificate::echo::show,
        ),
        Operation::new(
            POST,
            "/v3/{project_id}/elb/certificates/settings/private-key-echo",
            certificate::echo::update,
        ),
        Operation::new(GET, "/v3/{project_id}/elb/certificates/{certificate_id}", certificate::show),
        Operation::new(PUT, "/v3/{project_id}/elb/certificates/{certificate_id}", certificate::update),
        Operation::new(DELETE, "/v3/{project_id}/elb/certificates/{certificate_id}", certificate::delete),
        Operation::new(GET, "/v3/{project_id}/elb/security-policies", security_policy::list),
        Operation::new(POST, "/v3/{project_id}/elb/security-policies", security_policy::create),
        Operation::new(
            GET,
            "/v3/{project_id}/elb/security-policies/{security_policy_id}",
            security_policy::show,
        ),
        Operation::new(
            PUT,
            "/v3/{project_id}/elb/security-policies/{security_policy_id}",
            security_policy::update,
        ),
        Operation::new(
            DELETE,
            "/v3/{project_id}/elb/security-policies/{security_policy_id}",
            security_policy::delete,
        ),
        Operation::new(GET, "/v3/{project_id}/elb/system-security-policies", security_policy::system::list),
        Operation::new(GET, "/v3/{project_id}/elb/ipgroups", ip_group::list),
        Operation::new(POST, "/v3/{project_id}/elb/ipgroups", ip_group::create),
        Operation::new(GET, "/v3/{project_id}/elb/ipgroups/{ipgroup_id}", ip_group::show),
        Operation::new(PUT, "/v3/{project_id}/elb/ipgroups/{ipgroup_id}", ip_group::update),
        Operation::new(DELETE, "/v3/{project_id}/elb/ipgroups/{ipgroup_id}", ip_group::delete),
        Operation::new(
            POST,
            "/v3/{project_id}/elb/ipgroups/{ipgroup_id}/iplist/create-or-update",
            ip_group::entries::put,
        ),
        Operation::new(
            POST,
            "/v3/{project_id}/elb/ipgroups/{ipgroup_id}/iplist/batch-delete",
            ip_group::entries::remove,
        ),
        Operation::new(
            GET,
            "/v3/{project_id}/elb/ipgroups/{ipgroup_id}/related-listeners",
            ip_group::related_listeners,
        ),
        Operation::new(GET, "/v3/{project_id}/elb/logtanks", access_log::list),
        Operation::new(POST, "/v3/{project_id}/elb/logtanks", access_log::create),
        Operation::new(GET, "/v3/{project_id}/elb/logtanks/{logtank_id}", access_log::show),
        Operation::new(PUT, "/v3/{project_id}/elb/logtanks/{logtank_id}", access_log::update),
        Operation::new(DELETE, "/v3/{project_id}/elb/logtanks/{logtank_id}", access_log::delete),
        Operation::new(GET, "/v3/{project_id}/elb/flavors", flavor::list),
        Operation::new(GET, "/v3/{project_id}/elb/flavors/{flavor_id}", flavor::show),
        Operation::new(GET, "/v3/{project_id}/elb/availability-zones", zone::list),
        Operation::new(GET, "/v3/{project_id}/elb/quotas", quota::show),
        Operation::new(GET, "/v3/{project_id}/elb/quotas/details", quota::details),
    ];
    all.extend(
        later::OPERATIONS.iter().map(|(method, path)| Operation::new(method.clone(), path, later::refuse)),
    );
    all
}
