//! The caller of a request, once it is known who that is.

use std::net::IpAddr;

use model::{Domain, ProjectId, Role, UserId};

/// An authenticated caller, working in one project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub user: UserId,
    /// Their login name now; audit records keep it.
    pub user_name: String,
    /// The domain that the user belongs to.
    pub domain: Domain,
    /// The project that the request works in. The caller holds `role` there.
    pub project: ProjectId,
    /// The strongest role that the user holds in that project.
    pub role: Role,
    /// Which request this is and where it came from.
    pub origin: Origin,
}

/// Where a request came from, as audit records want it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The request's id: 32 hex digits, the same as in the answer's header `X-Request-Id`.
    pub request_id: String,
    /// The client's address; none for the system itself.
    pub source_ip: Option<IpAddr>,
    /// The version of the API that was called, for example `v3`.
    pub api_version: &'static str,
}
