//! The HTTP settings of a listener, ready for use.

use std::time::Duration;

use model::{
    Listener,
    listener::{DesyncMode, HttpService, InsertHeaders},
};
use serde::Serialize;

/// How a listener treats HTTP.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HttpPlan {
    /// What clients speak.
    pub scheme: Scheme,
    /// Whether HTTP/2 is offered; only over TLS.
    pub http2: bool,
    /// Longest wait for the whole request head, and between two pieces of a request body; then 408.
    pub request_timeout: Duration,
    /// Longest wait for the response and between two pieces of it; then another member, finally 504.
    pub response_timeout: Duration,
    /// Whether a failed attempt goes to another member where that is safe.
    pub member_retry: bool,
    /// Whether answers are compressed.
    pub gzip: bool,
    /// What happens to requests that are odd without being wrong.
    pub desync: DesyncMode,
    /// Which headers are written for members.
    pub insert_headers: InsertHeaders,
    /// Header lines that are the same for every request (`X-Forwarded-Proto: http\r\n…`), ready to be copied: of those that
    /// [`HttpPlan::insert_headers`] switches on, X-Forwarded-Proto, X-Forwarded-Port and X-Forwarded-ELB-ID. The others depend
    /// on the request or its connection.
    pub fixed_headers: String,
    /// The value of `Alt-Svc` that answers get, in place of the members' own: where HTTP/3 is spoken. None: answers get none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alt_svc: Option<String>,
}

/// What clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// HTTP in clear.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// As in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl HttpPlan {
    pub(crate) fn compile(listener: &Listener, http: &HttpService, scheme: Scheme) -> Self {
        Self {
            scheme,
            http2: http.http2 && scheme == Scheme::Https,
            request_timeout: http.request_timeout.duration(),
            response_timeout: http.response_timeout.duration(),
            member_retry: http.member_retry,
            gzip: http.gzip,
            desync: http.desync,
            insert_headers: http.insert_headers.clone(),
            fixed_headers: fixed_headers(listener, scheme, &http.insert_headers),
            alt_svc: None,
        }
    }

    /// Settings in clear made by hand, for tests and benches of the data plane: a minute of patience, and no header but
    /// `X-Forwarded-For` is written.
    #[doc(hidden)]
    pub fn by_hand() -> Self {
        let insert_headers = InsertHeaders {
            real_ip: false,
            forwarded_host: false,
            forwarded_proto: false,
            ..InsertHeaders::default()
        };
        Self {
            scheme: Scheme::Http,
            http2: false,
            request_timeout: Duration::from_secs(60),
            response_timeout: Duration::from_secs(60),
            member_retry: true,
            gzip: false,
            desync: DesyncMode::default(),
            insert_headers,
            fixed_headers: String::new(),
            alt_svc: None,
        }
    }
}

/// Names and values: behaviour/features.md section 5.
fn fixed_headers(listener: &Listener, scheme: Scheme, insert: &InsertHeaders) -> String {
    let proto = insert.forwarded_proto.then(|| format!("X-Forwarded-Proto: {}\r\n", scheme.as_str()));
    let port = insert.forwarded_port.then(|| format!("X-Forwarded-Port: {}\r\n", listener.ports));
    let id = insert.elb_id.then(|| format!("X-Forwarded-ELB-ID: {}\r\n", listener.load_balancer));
    [proto, port, id].into_iter().flatten().collect()
}
