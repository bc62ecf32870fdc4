//! From our errors to the vendor's: one table (behaviours.md section 14).

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use crate::v3::{answer, fields::Refusal};

/// An answer that is an error.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    /// For the caller.
    message: String,
    /// For the log only.
    cause: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    error_code: &'static str,
    error_msg: &'a str,
    request_id: &'a str,
}

impl Problem {
    const fn new(status: StatusCode, code: &'static str, message: String) -> Self {
        Self { status, code, message, cause: None }
    }

    /// A field or parameter cannot be taken as it is.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ELB.8902", message.into())
    }

    /// There is no such object, or it is another project's.
    pub(crate) fn not_found(kind: &str, id: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "ELB.8904", format!("{kind} {id} does not exist"))
    }

    /// There is no such path.
    pub(crate) fn unknown_uri(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "ELB.8904", format!("there is no {path}"))
    }

    /// The operation is known, but not built.
    pub(crate) fn not_available() -> Self {
        let message = "this operation is not available in this version".to_owned();
        Self::new(StatusCode::FORBIDDEN, "ELB.8962", message)
    }

    /// The path names another project than the credentials.
    pub(crate) fn other_project() -> Self {
        let message = "the credentials are not for the project in the path".to_owned();
        Self::new(StatusCode::FORBIDDEN, "ELB.8903", message)
    }

    /// Our own fault; what it was is for the log only.
    pub(crate) fn internal(cause: impl Into<String>) -> Self {
        let message = "internal error; the log names this request's id".to_owned();
        Self {
            cause: Some(cause.into()),
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, "ELB.8906", message)
        }
    }

    /// The vendor's code.
    pub(crate) const fn code(&self) -> &'static str {
        self.code
    }

    /// The answer.
    pub(crate) fn answer(&self, request_id: &str) -> Response {
        if let Some(cause) = &self.cause {
            tracing::error!(request_id, cause, "a request failed");
        }
        let body = Body { error_code: self.code, error_msg: &self.message, request_id };
        answer::json(self.status, &body, request_id)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::invalid(refusal.to_string())
    }
}

impl From<identity::Denied> for Problem {
    fn from(denied: identity::Denied) -> Self {
        Self::new(StatusCode::FORBIDDEN, "SYS.0403", denied.to_string())
    }
}

impl From<control::Error> for Problem {
    fn from(error: control::Error) -> Self {
        use control::Error;
        let (status, code) = match &error {
            Error::NotFound { .. } | Error::UnknownCheck { .. } => (StatusCode::NOT_FOUND, "ELB.8904"),
            Error::Denied(_) => (StatusCode::FORBIDDEN, "SYS.0403"),
            Error::Invalid { .. } | Error::Immutable { .. } | Error::Certificate { .. } => {
                (StatusCode::BAD_REQUEST, "ELB.8902")
            }
            Error::SubnetNotV6 { .. } => (StatusCode::BAD_REQUEST, "ELB.8932"),
            Error::MemberNotV4 { .. } => (StatusCode::BAD_REQUEST, "ELB.8933"),
            Error::IpTargetsOff { .. } => (StatusCode::BAD_REQUEST, "ELB.8939"),
            Error::InUse { .. }
            | Error::PortTaken { .. }
            | Error::PriorityTaken { .. }
            | Error::AddressTaken { .. }
            | Error::MemberExists { .. }
            | Error::Taken { .. }
            | Error::DeletionProtected { .. }
            | Error::MemberProtected { .. } => (StatusCode::CONFLICT, "ELB.8907"),
            Error::QuotaExceeded { .. } => (StatusCode::CONFLICT, "ELB.8905"),
            Error::Busy => (StatusCode::SERVICE_UNAVAILABLE, "ELB.8906"),
            Error::Store(cause) => return Self::internal(chain(cause)),
        };
        Self::new(status, code, error.to_string())
    }
}

/// An error with its causes, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use control::Error;
    use model::{Kind, ListenerId, Port, QuotaKey};

    use super::*;

    #[test]
    fn each_error_has_its_status_and_code() {
        let id = || "7".to_owned();
        let holder = ListenerId::new(uuid::Uuid::from_u128(7));
        for (error, status, code) in [
            (Error::NotFound { kind: Kind::Pool, id: id() }, 404, "ELB.8904"),
            (Error::UnknownCheck { id: id() }, 404, "ELB.8904"),
            (Error::Invalid { field: "weight", reason: id() }, 400, "ELB.8902"),
            (Error::Immutable { field: "type", reason: "" }, 400, "ELB.8902"),
            (Error::InUse { what: id(), by: id() }, 409, "ELB.8907"),
            (Error::PortTaken { port: Port::of(80), transport: Default::default(), holder }, 409, "ELB.8907"),
            (
                Error::PriorityTaken {
                    priority: model::Priority::of(7),
                    holder: model::PolicyId::new(uuid::Uuid::nil()),
                },
                409,
                "ELB.8907",
            ),
            (Error::AddressTaken { reason: id() }, 409, "ELB.8907"),
            (Error::MemberExists { address: id() }, 409, "ELB.8907"),
            (Error::DeletionProtected { id: id() }, 409, "ELB.8907"),
            (Error::MemberProtected { pool: id() }, 409, "ELB.8907"),
            (Error::QuotaExceeded { key: QuotaKey::Pool, limit: 7 }, 409, "ELB.8905"),
            (Error::SubnetNotV6 { subnet: model::SubnetId::new(uuid::Uuid::nil()) }, 400, "ELB.8932"),
            (
                Error::MemberNotV4 {
                    address: std::net::Ipv6Addr::LOCALHOST.into(),
                    pool: model::PoolId::new(uuid::Uuid::nil()),
                },
                400,
                "ELB.8933",
            ),
            (Error::IpTargetsOff { load_balancer: id() }, 400, "ELB.8939"),
            (Error::Busy, 503, "ELB.8906"),
        ] {
            let text = error.to_string();
            let problem = Problem::from(error);
            assert_eq!(
                (problem.status.as_u16(), problem.code, problem.message.as_str()),
                (status, code, text.as_str())
            );
        }
    }

    #[test]
    fn what_failed_inside_is_for_the_log_only() {
        let problem = Problem::internal("disk /dev/sdb is full");
        assert_eq!((problem.status.as_u16(), problem.code), (500, "ELB.8906"));
        assert!(!problem.message.contains("disk"));
    }

    #[tokio::test]
    async fn the_body_has_three_fields() {
        let response = Problem::invalid("listener.protocol_port: must be from 1 to 65535, is 0").answer("ab");
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-request-id"]),
            (400, &"ab".parse().unwrap())
        );
        let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let message = "listener.protocol_port: must be from 1 to 65535, is 0";
        assert_eq!(
            body,
            serde_json::json!({"error_code": "ELB.8902", "error_msg": message, "request_id": "ab"})
        );
    }
}
