//! Finding out who is calling: a signed request or a token, looked up in the snapshot (huawei/auth.md sections 2, 3, 7).
//!
//! With both, a valid signature wins. The caller of a failed request sees one of two answers (nothing was sent; what was sent is
//! not valid); why it is not valid stands in the log only. Users, keys and roles are looked up at every request, so a disabled one is
//! out at once.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::http::request::Parts;
use hyper::header::{AUTHORIZATION, HeaderMap};
use identity::{
    Caller, Origin,
    signature::{self, Authorization},
    token::{self, Claims, Scope, TokenKey},
};
use model::{Project, ProjectId, Secret, Snapshot, Timestamp, User};

/// The header of a token.
pub(crate) const AUTH_TOKEN: &str = "x-auth-token";

/// Who is calling, before it is known where.
#[derive(Debug)]
pub(crate) struct Known {
    /// The user, who is enabled.
    pub(crate) user: Arc<User>,
    /// By token: what it says. By signature: none, the user may work wherever they hold a role.
    pub(crate) claims: Option<Claims>,
}

/// The caller is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unauthenticated {
    /// Neither a signature nor a token was sent.
    Missing,
    /// What was sent is not valid.
    Invalid,
}

/// Why credentials are not valid; for the log.
#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("a credential header was sent twice or is not text")]
    Header,
    #[error(transparent)]
    Signature(#[from] signature::BadSignature),
    #[error("access key {0} is not known or disabled")]
    AccessKey(String),
    #[error(transparent)]
    Token(#[from] token::BadToken),
    #[error("user {0} is not known or disabled")]
    User(model::UserId),
}

/// Who sent a request.
pub(crate) fn authenticate(
    snapshot: &Snapshot,
    token_key: &TokenKey,
    head: &Parts,
    body: &[u8],
    origin: &Origin,
) -> Result<Known, Unauthenticated> {
    let now = now();
    let signed = one(&head.headers, AUTHORIZATION.as_str());
    let token = one(&head.headers, AUTH_TOKEN);
    let mut answer = Err(Unauthenticated::Missing);
    let attempts = [
        signed.map(|value| value.and_then(|value| by_signature(snapshot, value, head, body, now))),
        token.map(|value| value.and_then(|value| by_token(snapshot, token_key, value, now))),
    ];
    for attempt in attempts.into_iter().flatten() {
        match attempt {
            Ok(known) => return Ok(known),
            Err(cause) => {
                tracing::info!(
                    request_id = origin.request_id, source = ?origin.source_ip, path = head.uri.path(), %cause,
                    "credentials refused"
                );
                answer = Err(Unauthenticated::Invalid);
            }
        }
    }
    answer
}

/// Why a known user may not work in a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the caller may not work in this project: no role there, or the token is for another one")]
pub(crate) struct Forbidden;

impl Known {
    /// The caller in a project: the user must hold a role there, and a token must be for it. Whether the project exists is not told.
    pub(crate) fn caller_in(
        &self,
        snapshot: &Snapshot,
        project: &str,
        origin: Origin,
    ) -> Result<Caller, Forbidden> {
        let project: ProjectId = project.parse().map_err(|_| Forbidden)?;
        if self.claims.as_ref().is_some_and(|claims| claims.scope != Scope::Project(project)) {
            return Err(Forbidden);
        }
        if !snapshot.project(project).is_some_and(|project| project.enabled) {
            return Err(Forbidden);
        }
        let User { id, name, domain, .. } = &*self.user;
        let role = self.user.role_in(project).ok_or(Forbidden)?;
        Ok(Caller { user: *id, user_name: name.to_string(), domain: domain.clone(), project, role, origin })
    }

    /// The projects in which the user holds a role, by id; those of a project's token too, as clients ask for them to choose a scope.
    pub(crate) fn projects<'a>(&self, snapshot: &'a Snapshot) -> Vec<&'a Arc<Project>> {
        let mut ids: Vec<_> = self.user.roles.iter().map(|held| held.project).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().filter_map(|id| snapshot.project(id)).collect()
    }
}

/// The time now.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(since.as_millis().try_into().unwrap_or(i64::MAX))
}

/// The origin of a request that came from an address.
pub(crate) fn origin(source_ip: Option<IpAddr>, api_version: &'static str) -> Origin {
    Origin { request_id: uuid::Uuid::new_v4().simple().to_string(), source_ip, api_version }
}

fn by_signature(
    snapshot: &Snapshot,
    header: &str,
    head: &Parts,
    body: &[u8],
    now: Timestamp,
) -> Result<Known, Cause> {
    let authorization = Authorization::parse(header)?;
    let headers: Vec<(&str, &[u8])> =
        head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let request = signature::Request {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query().unwrap_or_default(),
        headers: &headers,
        body,
    };
    let key = snapshot.access_key(&authorization.access_key).filter(|key| key.enabled);
    // An unknown key costs what a known one does: its signature is checked against a secret that nobody has.
    let nobody = Secret::new("");
    let fits = signature::verify(&authorization, key.map_or(&nobody, |key| &key.secret), &request, now);
    let key = key.ok_or_else(|| Cause::AccessKey(authorization.access_key.to_string()))?;
    fits?;
    Ok(Known { user: enabled_user(snapshot, key.user)?, claims: None })
}

fn by_token(snapshot: &Snapshot, key: &TokenKey, token: &str, now: Timestamp) -> Result<Known, Cause> {
    let claims = token::check(key, now, token)?;
    Ok(Known { user: enabled_user(snapshot, claims.user)?, claims: Some(claims) })
}

fn enabled_user(snapshot: &Snapshot, id: model::UserId) -> Result<Arc<User>, Cause> {
    snapshot.user(id).filter(|user| user.enabled).cloned().ok_or(Cause::User(id))
}

/// The text of a header that may be sent once; none if it was not sent.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<Result<&'a str, Cause>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(match values.next() {
        None => first.to_str().map_err(|_| Cause::Header),
        Some(_) => Err(Cause::Header),
    })
}
