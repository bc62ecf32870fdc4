//! What every answer has in common: the envelope, ids of other objects, times, marks (behaviours.md section 1).

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use model::{Timestamp, load_balancer::Protection};
use serde::{Serialize, Serializer, ser::SerializeMap};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};
use uuid::Uuid;

use crate::v3::list::PageInfo;

/// One object: `{"listener": {…}, "request_id": "…"}`.
pub(crate) fn one(
    status: StatusCode,
    wrapper: &'static str,
    value: impl Serialize,
    request_id: &str,
) -> Response {
    json(status, &Envelope { wrapper, value, page_info: None, request_id: Some(request_id) }, request_id)
}

/// A page of objects: `{"listeners": […], "page_info": {…}, "request_id": "…"}`.
pub(crate) fn page(
    wrapper: &'static str,
    values: impl Serialize,
    info: PageInfo,
    request_id: &str,
) -> Response {
    let envelope = Envelope { wrapper, value: values, page_info: Some(info), request_id: Some(request_id) };
    json(StatusCode::OK, &envelope, request_id)
}

/// One object, without the request's id in the body.
pub(crate) fn bare(wrapper: &'static str, value: impl Serialize, request_id: &str) -> Response {
    json(StatusCode::OK, &Envelope { wrapper, value, page_info: None, request_id: None }, request_id)
}

/// 204, the answer to a delete.
pub(crate) fn gone(request_id: &str) -> Response {
    with_request_id(StatusCode::NO_CONTENT.into_response(), request_id)
}

/// Any JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl Serialize, request_id: &str) -> Response {
    let response = match serde_json::to_vec(body) {
        Ok(text) => {
            (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, request_id, "an answer could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    };
    with_request_id(response, request_id)
}

/// Clients read the id of a request from this header.
fn with_request_id(mut response: Response, request_id: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

struct Envelope<'a, T> {
    wrapper: &'static str,
    value: T,
    page_info: Option<PageInfo>,
    request_id: Option<&'a str>,
}

impl<T: Serialize> Serialize for Envelope<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.wrapper, &self.value)?;
        if let Some(info) = &self.page_info {
            map.serialize_entry("page_info", info)?;
        }
        if let Some(id) = self.request_id {
            map.serialize_entry("request_id", id)?;
        }
        map.end()
    }
}

/// Another object, named by its id: `{"id": "…"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Ref {
    id: String,
}

/// The references to some objects, in the given order.
pub(crate) fn refs(ids: impl IntoIterator<Item = impl ToString>) -> Vec<Ref> {
    ids.into_iter().map(|id| Ref { id: id.to_string() }).collect()
}

/// A tag, as it is written in both directions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Tag {
    key: String,
    value: String,
}

/// Tags as answers show them.
pub(crate) fn tags(tags: &[model::Tag]) -> Vec<Tag> {
    tags.iter().map(|tag| Tag { key: tag.key().to_owned(), value: tag.value().to_owned() }).collect()
}

/// `2021-07-26T02:46:31Z`: UTC, no fraction. A moment that no calendar writes so is the epoch.
pub(crate) fn time(at: Timestamp) -> String {
    const FORMAT: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    let moment = OffsetDateTime::from_unix_timestamp(at.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    moment.format(FORMAT).unwrap_or_else(|_| "1970-01-01T00:00:00Z".to_owned())
}

/// The id of an enterprise project; "0" is the default one.
pub(crate) fn enterprise_project(id: Option<Uuid>) -> String {
    id.map_or_else(|| "0".to_owned(), |id| id.hyphenated().to_string())
}

/// `protection_status` and `protection_reason`.
pub(crate) fn protection(mark: &Protection) -> (&'static str, String) {
    match mark {
        Protection::None => ("nonProtection", String::new()),
        Protection::Console { reason } => ("consoleProtection", reason.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_no_fraction_and_end_with_z() {
        for (millis, expect) in [
            (1_627_267_591_999, "2021-07-26T02:46:31Z"),
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (i64::MAX, "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(time(Timestamp::from_millis(millis)), expect);
        }
    }

    #[test]
    fn the_envelope_holds_the_object_and_the_requests_id() {
        let envelope =
            Envelope { wrapper: "pool", value: refs([7]), page_info: None, request_id: Some("ab") };
        let json = serde_json::to_value(&envelope).unwrap();
        assert_eq!(json, serde_json::json!({"pool": [{"id": "7"}], "request_id": "ab"}));
        let response = one(StatusCode::CREATED, "pool", (), "ab");
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()["x-request-id"], "ab");
        assert_eq!(response.headers()["content-type"], "application/json");
    }
}
