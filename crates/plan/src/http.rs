//! The HTTP settings of a listener, ready for use.

use std::time::Duration;

use model::listener::InsertHeaders;
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
    /// Header lines that are the same for every request (`X-Forwarded-Proto: http\r\n…`), ready to be copied.
    pub fixed_headers: String,
}
