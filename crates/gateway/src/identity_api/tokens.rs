//! Issuing a token to whoever proved who they are, and checking one.

use std::sync::Arc;

use axum::response::Response;
use hyper::{StatusCode, header::HeaderValue};
use identity::{
    access::role_name,
    token::{self, Claims, Scope},
};
use model::{Domain, Project, ProjectId, Role, Snapshot, Timestamp, User};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use super::{
    Call, Refused,
    catalogue::catalogue,
    login::{self, Proved, ScopeWish},
};
use crate::{
    authenticate::{self, AUTH_TOKEN},
    errors,
};

const SUBJECT_TOKEN: &str = "x-subject-token";

/// `POST /v3/auth/tokens`.
pub(super) async fn issue(call: &Call<'_>) -> Result<Response, Refused> {
    let (proof, scope) = login::read(&call.body)?;
    let snapshot = call.api.snapshot();
    let Proved { user, methods, expires } = proof.check(call, &snapshot).await?;
    let scope = scope_of(scope, &user, &snapshot)?;
    let issued = authenticate::now();
    let expires = expires.unwrap_or(Timestamp::from_millis(issued.millis() + token::LIFE_MS));
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    let claims = Claims { user: user.id, scope, methods, issued, expires, nonce };
    let token = token::issue(&call.api.token_key, &claims);
    let body = described(call, &claims, &user, &snapshot).ok_or_else(Refused::unauthorized)?;
    let mut answer = errors::json_answer(StatusCode::CREATED, &body);
    let value = HeaderValue::from_str(&token).expect("a token is base64url text");
    answer.headers_mut().insert(SUBJECT_TOKEN, value);
    answer.headers_mut().insert("vary", HeaderValue::from_static("X-Auth-Token"));
    Ok(answer)
}

/// `GET /v3/auth/tokens`: checks the token in X-Subject-Token. Everyone may check tokens of their own; an administrator of the
/// token's project may check others'. 404 if it is not valid or not theirs to check.
pub(super) fn show(call: &Call<'_>) -> Result<Response, Refused> {
    let known = call.known()?;
    let missing = || Refused(StatusCode::NOT_FOUND, "The token could not be found.".to_owned());
    let subject =
        call.head.headers.get(SUBJECT_TOKEN).ok_or_else(|| Refused::bad("X-Subject-Token is missing"))?;
    let subject = subject.to_str().map_err(|_| missing())?;
    let claims = token::check(&call.api.token_key, authenticate::now(), subject).map_err(|_| missing())?;
    let snapshot = call.api.snapshot();
    let user = snapshot.user(claims.user).filter(|user| user.enabled).ok_or_else(missing)?;
    let administers = match claims.scope {
        Scope::Project(project) => known.user.role_in(project) == Some(Role::Admin),
        Scope::Domain(_) | Scope::None => false,
    };
    if known.user.id != user.id && !administers {
        return Err(missing());
    }
    let body = described(call, &claims, user, &snapshot).ok_or_else(missing)?;
    let mut answer = errors::json_answer(StatusCode::OK, &body);
    let value = HeaderValue::from_str(subject).map_err(|_| missing())?;
    answer.headers_mut().insert(SUBJECT_TOKEN, value);
    answer.headers_mut().insert("vary", HeaderValue::from_name(AUTH_TOKEN.parse().expect("a header name")));
    Ok(answer)
}

/// The scope that was asked for, if the user holds a role there; without a wish, the first enabled project of the user.
fn scope_of(wish: Option<ScopeWish>, user: &User, snapshot: &Snapshot) -> Result<Scope, Refused> {
    let may_use = |project: &Arc<Project>| project.enabled && user.role_in(project.id).is_some();
    match wish {
        None => {
            let mut held = user.roles.iter().filter_map(|held| snapshot.project(held.project));
            Ok(held
                .find(|project| may_use(project))
                .map_or(Scope::None, |project| Scope::Project(project.id)))
        }
        Some(ScopeWish::Word(word)) if word == "unscoped" => Ok(Scope::None),
        Some(ScopeWish::Word(_)) => Err(Refused::bad("scope is a word other than 'unscoped'")),
        Some(ScopeWish::Object { project: Some(wish), domain: None, system: None }) => {
            let found =
                snapshot.projects().values().find(|project| may_use(project) && wish.names(project, user));
            found.map(|project| Scope::Project(project.id)).ok_or_else(Refused::unauthorized)
        }
        Some(ScopeWish::Object { project: None, domain: Some(wish), system: None }) => {
            if wish.names(&user.domain) {
                Ok(Scope::Domain(user.domain.id))
            } else {
                Err(Refused::unauthorized())
            }
        }
        Some(ScopeWish::Object { .. }) => Err(Refused::bad(
            "scope must name a project or a domain (one of them); system scope does not exist here",
        )),
    }
}

/// The body that describes a token; none if its scope is gone.
fn described(call: &Call<'_>, claims: &Claims, user: &User, snapshot: &Snapshot) -> Option<Value> {
    let domain = |domain: &Domain| json!({ "id": domain.id.simple(), "name": domain.name.as_str() });
    let mut token = json!({
        "methods": claims.methods,
        "issued_at": written(claims.issued),
        "expires_at": written(claims.expires),
        "audit_ids": [claims.nonce],
        "user": {
            "id": user.id.simple(),
            "name": user.name.as_str(),
            "domain": domain(&user.domain),
            "password_expires_at": null,
        },
    });
    let mut catalogue_for: Option<ProjectId> = None;
    match claims.scope {
        Scope::Project(id) => {
            let project = snapshot.project(id).filter(|project| project.enabled)?;
            token["project"] = json!({ "id": id.simple(), "name": project.name.as_str(), "domain": domain(&project.domain) });
            token["is_domain"] = json!(false);
            token["roles"] = roles(user.role_in(id)?);
            catalogue_for = Some(id);
        }
        Scope::Domain(_) => {
            token["domain"] = domain(&user.domain);
            token["roles"] = roles(user.roles.iter().map(|held| held.role).max()?);
        }
        Scope::None => return Some(json!({ "token": token })),
    }
    if !call.flag("nocatalog") {
        token["catalog"] = catalogue(&call.base(), &call.identity_base(), &call.api.region, catalogue_for);
    }
    Some(json!({ "token": token }))
}

/// A role and those that it implies, strongest first. Role ids are their names: unique, and they never change.
fn roles(strongest: Role) -> Value {
    let implied = [Role::Admin, Role::Member, Role::Reader].into_iter().filter(|role| *role <= strongest);
    implied.map(|role| json!({ "id": role_name(role), "name": role_name(role) })).collect()
}

/// `2020-01-04T09:08:49.965000Z`; clients insist on the fraction.
fn written(at: Timestamp) -> String {
    const FORM: &[BorrowedFormatItem<'static>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.millis()) * 1_000_000);
    at.ok().and_then(|at| at.format(FORM).ok()).unwrap_or_default()
}
