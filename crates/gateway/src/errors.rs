//! Error answers of the gateway itself, in the two shapes that clients read (huawei/behaviours.md section 14,
//! openstack/keystone-minimum.md section 3).

use axum::{
    body::{Body, HttpBody},
    response::{IntoResponse, Response},
};
use hyper::{
    Method, StatusCode,
    header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use serde_json::json;

/// `{"error_code","error_msg","request_id"}`, the shape of the Huawei dialect.
pub(crate) fn vendor(status: StatusCode, code: &str, message: &str, request_id: &str) -> Response {
    let body = json!({ "error_code": code, "error_msg": message, "request_id": request_id });
    json_answer(status, &body)
}

/// `{"error":{"code","title","message"}}`, the shape of the identity API.
pub(crate) fn keystone(status: StatusCode, message: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    json_answer(status, &json!({ "error": { "code": status.as_u16(), "title": title, "message": message } }))
}

/// A JSON answer.
pub(crate) fn json_answer(status: StatusCode, body: &serde_json::Value) -> Response {
    let mut response = (status, body.to_string()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Adds which methods the path knows.
pub(crate) fn allowing(mut response: Response, methods: &'static str) -> Response {
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

/// Adds when to come again.
pub(crate) fn retry_after(mut response: Response, seconds: u64) -> Response {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// Gives an error without a body (a dialect's router answers so for a path or method that it does not know) the vendor's body.
pub(crate) fn with_body(response: Response, method: &Method, path: &str, request_id: &str) -> Response {
    let status = response.status();
    let empty = response.body().size_hint().exact() == Some(0);
    if !empty || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (code, message) = match status {
        StatusCode::NOT_FOUND => ("ELB.8904", format!("there is no {path}")),
        StatusCode::METHOD_NOT_ALLOWED => ("ELB.8902", format!("{method} is not possible on {path}")),
        status if status.is_server_error() => ("ELB.8906", "internal error".to_owned()),
        status => ("ELB.8902", status.canonical_reason().unwrap_or("bad request").to_owned()),
    };
    let (parts, _) = response.into_parts();
    let mut with_body = vendor(status, code, &message, request_id);
    for (name, value) in &parts.headers {
        if *name != CONTENT_TYPE && *name != hyper::header::CONTENT_LENGTH {
            with_body.headers_mut().append(name, value.clone());
        }
    }
    with_body
}

/// An answer without body.
pub(crate) fn text(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = (status, text.into()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
