//! Operations of the v3 API that are not built yet. They are known, so they answer 403 ELB.8962 with a clear sentence, not 404.

use axum::response::Response;
use http::Method;

use crate::v3::{call::Call, errors::Problem};

/// Method and path of every operation that is not built.
pub(crate) const OPERATIONS: &[(Method, &str)] = &[
    (Method::GET, "/v3/{project_id}/elb/feature/configs"),
    (Method::GET, "/v3/{project_id}/elb/jobs"),
    (Method::GET, "/v3/{project_id}/elb/jobs/{job_id}"),
    (Method::POST, "/v3/{project_id}/elb/listeners/batch-delete"),
    (Method::POST, "/v3/{project_id}/elb/listeners/{listener_id}/clone"),
    (Method::POST, "/v3/{project_id}/elb/loadbalancers/batch-create"),
    (Method::POST, "/v3/{project_id}/elb/loadbalancers/batch-delete"),
    (Method::POST, "/v3/{project_id}/elb/loadbalancers/change-charge-mode"),
    (Method::POST, "/v3/{project_id}/elb/loadbalancers/{loadbalancer_id}/availability-zone/batch-add"),
    (Method::POST, "/v3/{project_id}/elb/loadbalancers/{loadbalancer_id}/availability-zone/batch-remove"),
    (Method::POST, "/v3/{project_id}/elb/loadbalancers/{loadbalancer_id}/clone"),
    (Method::GET, "/v3/{project_id}/elb/loadbalancers/{loadbalancer_id}/dns/ips"),
    (Method::POST, "/v3/{project_id}/elb/loadbalancers/{loadbalancer_id}/dns/ips/batch-disable"),
    (Method::POST, "/v3/{project_id}/elb/loadbalancers/{loadbalancer_id}/dns/ips/batch-enable"),
    (Method::POST, "/v3/{project_id}/elb/loadbalancers/{loadbalancer_id}/dns/system-default-config"),
    (Method::POST, "/v3/{project_id}/elb/loadbalancers/{loadbalancer_id}/dns/user-defined-config"),
    (Method::GET, "/v3/{project_id}/elb/loadbalancers/{loadbalancer_id}/features"),
    (Method::GET, "/v3/{project_id}/elb/loadbalancers/{loadbalancer_id}/local-ports"),
    (Method::GET, "/v3/{project_id}/elb/loadbalancers/{loadbalancer_id}/topology"),
    (Method::POST, "/v3/{project_id}/elb/loadbalancers/{loadbalancer_id}/upgrade"),
    (Method::GET, "/v3/{project_id}/elb/preoccupy-ip-num"),
    (Method::GET, "/v3/{project_id}/elb/recycle-bin"),
    (Method::PUT, "/v3/{project_id}/elb/recycle-bin"),
    (Method::GET, "/v3/{project_id}/elb/recycle-bin/loadbalancers"),
    (Method::DELETE, "/v3/{project_id}/elb/recycle-bin/loadbalancers/{loadbalancer_id}"),
    (Method::PUT, "/v3/{project_id}/elb/recycle-bin/loadbalancers/{loadbalancer_id}/recover"),
    (Method::PUT, "/v3/{project_id}/elb/recycle-bin/policy"),
    (Method::GET, "/v3/{project_id}/listeners/tags"),
    (Method::GET, "/v3/{project_id}/listeners/{listener_id}/tags"),
    (Method::POST, "/v3/{project_id}/listeners/{listener_id}/tags/action"),
    (Method::GET, "/v3/{project_id}/loadbalancers/tags"),
    (Method::GET, "/v3/{project_id}/loadbalancers/{loadbalancer_id}/tags"),
    (Method::POST, "/v3/{project_id}/loadbalancers/{loadbalancer_id}/tags/action"),
];

/// The answer to all of them.
pub(crate) async fn refuse(_: Call) -> Result<Response, Problem> {
    Err(Problem::not_available())
}
