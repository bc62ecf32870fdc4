//! The HTTP settings of a listener, ready for use.

use std::time::Duration;

use model::{
    Listener,
    listener::{HttpService, InsertHeaders},
};
use serde::Serialize;

/// How a listener treats HTTP.
#[derive(Debug, PartialEq, Serialize)]
pub struct HttpPlan {
    /// Longest wait for the whole request head, and between two pieces of a request body; then 408.
    pub request_timeout: Duration,
    /// Longest wait for the response and between two pieces of it; then another member, finally 504.
    pub response_timeout: Duration,
    /// Whether a failed attempt goes to another member where that is safe.
    pub member_retry: bool,
    /// Which headers are written for members.
    pub insert_headers: InsertHeaders,
    /// Header lines that are the same for every request (`X-Forwarded-Proto: http\r\n…`), ready to be copied: of those that
    /// [`HttpPlan::insert_headers`] switches on, X-Forwarded-Proto, X-Forwarded-Port and X-Forwarded-ELB-ID. The others depend
    /// on the request or its connection.
    pub fixed_headers: String,
}

impl HttpPlan {
    pub(crate) fn compile(listener: &Listener, http: &HttpService) -> Self {
        Self {
            request_timeout: http.request_timeout.duration(),
            response_timeout: http.response_timeout.duration(),
            member_retry: http.member_retry,
            insert_headers: http.insert_headers.clone(),
            fixed_headers: fixed_headers(listener, &http.insert_headers),
        }
    }
}

/// Names and values: behaviour/features.md section 5.
fn fixed_headers(listener: &Listener, insert: &InsertHeaders) -> String {
    let proto = insert.forwarded_proto.then(|| "X-Forwarded-Proto: http\r\n".to_owned());
    let port = insert.forwarded_port.then(|| format!("X-Forwarded-Port: {}\r\n", listener.port));
    let id = insert.elb_id.then(|| format!("X-Forwarded-ELB-ID: {}\r\n", listener.load_balancer));
    [proto, port, id].into_iter().flatten().collect()
}
