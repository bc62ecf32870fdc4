//! The versions of the API (behaviours.md section 15). Needs no credentials.

use axum::{Json, response::IntoResponse};
use serde::Serialize;

/// A version of the API.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Version {
    id: &'static str,
    status: &'static str,
}

/// The versions that the vendor's clients know.
pub(crate) const VERSIONS: [Version; 3] = [
    Version { id: "v3", status: "CURRENT" },
    Version { id: "v2", status: "STABLE" },
    Version { id: "v2.0", status: "STABLE" },
];

/// `GET /versions`.
pub(crate) async fn list() -> impl IntoResponse {
    Json(serde_json::json!({ "versions": VERSIONS }))
}
