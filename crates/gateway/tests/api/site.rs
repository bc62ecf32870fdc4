//! A small site: two projects, four users, and a dialect that tells who called.

use std::{net::IpAddr, sync::Arc, time::SystemTime};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Request},
    http::{HeaderMap, Method, StatusCode},
    routing::get,
};
use gateway::{Gateway, Operations, Parts};
use http_body_util::BodyExt;
use identity::{Caller, Origin, password, signature, token::TokenKey};
use model::{
    AccessKey, Description, Domain, DomainId, Name, Project, ProjectId, Role, RoleAssignment, Secret,
    Snapshot, Timestamp, User, UserId,
};
use serde_json::{Value, json};
use tokio::sync::watch;

pub(crate) const HOME: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const AWAY: &str = "fedcba9876543210fedcba9876543210";
pub(crate) const CLOSED: &str = "00000000000000000000000000000003";
pub(crate) const PASSWORD: &str = "correct horse";
pub(crate) const TOKEN_KEY: TokenKey = TokenKey::new([9; 32]);

pub(crate) struct Site {
    pub(crate) gateway: Gateway,
    pub(crate) snapshots: watch::Sender<Arc<Snapshot>>,
}

impl Site {
    /// ada: admin at home; rita: reader at home, member away; otto: disabled; nora: a user without roles.
    /// Each has an access key (`AKADA`, …, secret `SK`) and the same password; `AKOFF` is a disabled key of ada.
    pub(crate) fn new() -> Self {
        Self::with(operations())
    }

    pub(crate) fn with(operations: Operations) -> Self {
        let mut snapshot = Snapshot::default();
        for (id, name, enabled) in [(HOME, "local-1", true), (AWAY, "away", true), (CLOSED, "closed", false)]
        {
            snapshot.put(project(id, name, enabled).into());
        }
        let hash = password::hash(PASSWORD, &[1; password::SALT_BYTES]);
        for (n, name, enabled, roles) in [
            (1, "ada", true, vec![(HOME, Role::Admin), (CLOSED, Role::Admin)]),
            (2, "rita", true, vec![(HOME, Role::Reader), (AWAY, Role::Member)]),
            (3, "otto", false, vec![(HOME, Role::Admin)]),
            (4, "nora", true, vec![]),
        ] {
            let roles =
                roles.into_iter().map(|(project, role)| RoleAssignment { project: id(project), role });
            let user = User {
                id: UserId::new(uuid::Uuid::from_u128(n)),
                name: Name::try_from(name).unwrap(),
                domain: domain(),
                password_hash: Some(hash.clone()),
                enabled,
                roles: roles.collect(),
                created_at: Timestamp::default(),
            };
            snapshot.put(key(&format!("AK{}", name.to_uppercase()), user.id, true).into());
            snapshot.put(user.into());
        }
        snapshot.put(key("AKOFF", UserId::new(uuid::Uuid::from_u128(1)), false).into());
        let (snapshots, receiver) = watch::channel(Arc::new(snapshot));
        let gateway = Gateway::new(operations);
        let parts = Parts {
            snapshots: receiver,
            token_key: TOKEN_KEY,
            region: "local-1".to_owned(),
            huawei: dialect(),
        };
        gateway.open(parts);
        Self { gateway, snapshots }
    }

    pub(crate) async fn send(&self, request: Request) -> Answer {
        send(&self.gateway, request).await
    }

    /// A token got by password; `scope` is the JSON of `auth.scope`.
    pub(crate) async fn token(&self, user: &str, scope: Value) -> String {
        let answer = self.send(login(user, PASSWORD, scope)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.headers["x-subject-token"].to_str().unwrap().to_owned()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        self.snapshots.send_modify(|snapshot| change(Arc::make_mut(snapshot)));
    }
}

pub(crate) fn operations() -> Operations {
    Operations { ready: Box::new(|| Ok(())), metrics: Box::new(|| "# EOF\n".to_owned()) }
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
}

pub(crate) async fn send(gateway: &Gateway, request: Request) -> Answer {
    let (head, body) = gateway.answer(request, Some(IpAddr::from([127, 0, 0, 9]))).await.into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let body = serde_json::from_str(&text).unwrap_or_default();
    Answer { status: head.status, headers: head.headers, body, text }
}

/// A request with no credentials.
pub(crate) fn plain(method: Method, target: &str, body: &str) -> Request {
    Request::builder()
        .method(method)
        .uri(target)
        .header("host", "127.0.0.1:8780")
        .header("content-type", "application/json;charset=UTF-8")
        .body(Body::from(body.to_owned()))
        .unwrap()
}

/// A request signed now, as an SDK does it.
pub(crate) fn signed(access_key: &str, method: Method, target: &str, body: &str) -> Request {
    signed_with("SK", access_key, method, target, body)
}

pub(crate) fn signed_with(
    secret: &str,
    access_key: &str,
    method: Method,
    target: &str,
    body: &str,
) -> Request {
    let mut request = plain(method.clone(), target, body);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let date = signature::date(Timestamp::from_millis(now.try_into().unwrap()));
    request.headers_mut().insert("x-sdk-date", date.parse().unwrap());
    let headers: Vec<_> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let to_sign = signature::Request {
        method: method.as_str(),
        path: request.uri().path(),
        query: request.uri().query().unwrap_or_default(),
        headers: &headers,
        body: body.as_bytes(),
    };
    let header = signature::sign(&access_key.parse().unwrap(), &Secret::new(secret), &to_sign).unwrap();
    request.headers_mut().insert("authorization", header.parse().unwrap());
    request
}

pub(crate) fn with_token(method: Method, target: &str, token: &str) -> Request {
    let mut request = plain(method, target, "");
    request.headers_mut().insert("x-auth-token", token.parse().unwrap());
    request
}

pub(crate) fn login(user: &str, password: &str, scope: Value) -> Request {
    let user = json!({ "name": user, "password": password, "domain": { "name": "acme" } });
    let mut body =
        json!({ "auth": { "identity": { "methods": ["password"], "password": { "user": user } } } });
    if !scope.is_null() {
        body["auth"]["scope"] = scope;
    }
    plain(Method::POST, "/v3/auth/tokens", &body.to_string())
}

fn dialect() -> Router {
    async fn tell(
        caller: axum::Extension<Caller>,
        Path(path): Path<(String, String)>,
        body: Bytes,
    ) -> Json<Value> {
        Json(json!({
            "path_project": path.0,
            "project": caller.project.simple(),
            "user": caller.user_name,
            "role": identity::access::role_name(caller.role),
            "request_id": caller.origin.request_id,
            "source": caller.origin.source_ip,
            "version": caller.origin.api_version,
            "body": String::from_utf8(body.to_vec()).unwrap(),
        }))
    }
    async fn versions(origin: axum::Extension<Origin>) -> Json<Value> {
        Json(json!({ "versions": [], "request_id": origin.request_id }))
    }
    async fn panics() -> StatusCode {
        panic!("a bug")
    }
    Router::new()
        .route("/versions", get(versions))
        .route("/v3/{project_id}/elb/{*rest}", get(tell).post(tell))
        .route("/v3/{project_id}/panics", get(panics))
        .route("/v1/{project_id}/{*rest}", get(tell))
}

fn domain() -> Domain {
    Domain { id: DomainId::new(uuid::Uuid::from_u128(77)), name: "acme".try_into().unwrap() }
}

fn id(text: &str) -> ProjectId {
    text.parse().unwrap()
}

fn project(text: &str, name: &str, enabled: bool) -> Project {
    Project {
        private_key_echo: true,
        id: id(text),
        name: name.try_into().unwrap(),
        domain: domain(),
        description: Description::default(),
        enabled,
        created_at: Timestamp::default(),
    }
}

fn key(text: &str, user: UserId, enabled: bool) -> AccessKey {
    AccessKey {
        id: text.parse().unwrap(),
        user,
        project: id(HOME),
        secret: Secret::new("SK"),
        enabled,
        created_at: Timestamp::default(),
    }
}
