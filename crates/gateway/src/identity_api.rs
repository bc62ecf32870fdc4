//! The identity API that SDKs and command-line clients log in with: a small part of Keystone v3 (huawei/auth.md sections 4 and 5).
//!
//! What is here: versions, login, checking a token, and the lists of the caller's projects and domains. Users,
//! projects and roles are not made here; the operator's configuration names them.

mod catalogue;
mod login;
mod projects;
mod tokens;

use axum::{extract::Request, http::request::Parts, response::Response};
use bytes::Bytes;
use hyper::{Method, StatusCode, header::HOST};
use identity::Origin;
use serde_json::json;

use crate::{
    Api,
    authenticate::{Known, Unauthenticated, authenticate},
    body, errors, throttle,
};

/// A request of the identity API, its body read.
struct Call<'a> {
    api: &'a Api,
    origin: &'a Origin,
    head: Parts,
    body: Bytes,
}

/// What went wrong, in the words for the caller.
#[derive(Debug)]
struct Refused(StatusCode, String);

impl Refused {
    /// The one answer for all wrong or missing credentials.
    fn unauthorized() -> Self {
        Self(StatusCode::UNAUTHORIZED, "The request you have made requires authentication.".to_owned())
    }
    fn bad(message: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, message.into())
    }
}

/// The answer to a request; `below` is its path behind the mount.
pub(crate) async fn answer(api: &Api, below: &str, request: Request, origin: &Origin) -> Response {
    let methods: &[Method] = match below {
        "" | "v3" | "v3/auth/projects" | "v3/auth/domains" | "v3/projects" => &[Method::GET, Method::HEAD],
        "v3/auth/tokens" => &[Method::GET, Method::HEAD, Method::POST],
        _ => return errors::keystone(StatusCode::NOT_FOUND, "The resource could not be found."),
    };
    if !methods.contains(request.method()) {
        let refused =
            errors::keystone(StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed for this resource.");
        return errors::allowing(refused, if methods.len() == 3 { "GET, HEAD, POST" } else { "GET, HEAD" });
    }
    let (head, body) = request.into_parts();
    let body = match body::read(body).await {
        Ok(body) => body,
        Err(error) => {
            let status = match error {
                body::BadBody::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
                body::BadBody::TooSlow => StatusCode::REQUEST_TIMEOUT,
                body::BadBody::Incomplete => StatusCode::BAD_REQUEST,
            };
            return errors::keystone(status, &error.to_string());
        }
    };
    let call = Call { api, origin, head, body };
    let answer = match below {
        "" => Ok(call.versions()),
        "v3" => Ok(call.version()),
        "v3/auth/tokens" if call.head.method == Method::POST => tokens::issue(&call).await,
        "v3/auth/tokens" => tokens::show(&call),
        "v3/auth/projects" => projects::mine(&call),
        "v3/auth/domains" => projects::my_domains(&call),
        _ => projects::list(&call),
    };
    answer.unwrap_or_else(|Refused(status, message)| match status {
        StatusCode::TOO_MANY_REQUESTS => {
            errors::retry_after(errors::keystone(status, &message), throttle::FORGIVE_EVERY.as_secs())
        }
        StatusCode::SERVICE_UNAVAILABLE => errors::retry_after(errors::keystone(status, &message), 1),
        _ => errors::keystone(status, &message),
    })
}

impl Call<'_> {
    fn known(&self) -> Result<Known, Refused> {
        authenticate(&self.api.snapshot(), &self.api.token_key, &self.head, &self.body, self.origin).map_err(
            |why| match why {
                Unauthenticated::Missing | Unauthenticated::Invalid => Refused::unauthorized(),
            },
        )
    }

    /// The address under which the client reached this server, as links must be reachable for the client. Only harmless characters are
    /// echoed.
    fn base(&self) -> String {
        let host = self.head.headers.get(HOST).and_then(|host| host.to_str().ok());
        let plain = |host: &&str| {
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b))
        };
        format!("http://{}", host.filter(plain).unwrap_or("127.0.0.1"))
    }

    /// The address of the identity API: with its prefix, if the client used it.
    fn identity_base(&self) -> String {
        let prefixed = self.head.uri.path().starts_with("/identity");
        format!("{}{}", self.base(), if prefixed { "/identity" } else { "" })
    }

    /// The decoded values of a query key.
    fn query(&self, key: &str) -> Option<String> {
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned()
        };
        let query = self.head.uri.query().unwrap_or_default();
        let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(name, _)| decode(name) == key).map(|(_, value)| decode(value))
    }

    /// Whether a flag of the query is on; a bare one is.
    fn flag(&self, key: &str) -> bool {
        self.query(key)
            .is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "0" | "false" | "no"))
    }

    fn version(&self) -> Response {
        errors::json_answer(StatusCode::OK, &json!({ "version": self.version_entry() }))
    }

    fn versions(&self) -> Response {
        let versions = json!({ "versions": { "values": [self.version_entry()] } });
        errors::json_answer(StatusCode::MULTIPLE_CHOICES, &versions)
    }

    fn version_entry(&self) -> serde_json::Value {
        let kind = "application/vnd.openstack.identity-v3+json";
        json!({
            "id": "v3.14",
            "status": "stable",
            "updated": "2020-04-07T00:00:00Z",
            "links": [{ "rel": "self", "href": format!("{}/v3/", self.identity_base()) }],
            "media-types": [{ "base": "application/json", "type": kind }],
        })
    }
}
