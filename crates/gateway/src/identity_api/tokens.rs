//! Logging in by password, and checking a token.
//!
//! A login that fails says nothing about why: an unknown user costs the same time and gets the same answer as a wrong password.
//! Other methods of Keystone (token, application credential, access key) are refused in words.

use std::{sync::Arc, time::Duration};

use axum::response::Response;
use hyper::{StatusCode, header::HeaderValue};
use identity::{
    access::role_name,
    password,
    token::{self, Claims, Scope},
};
use model::{Domain, Project, ProjectId, Role, Secret, Snapshot, Timestamp, User};
use serde::Deserialize;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};
use tokio::time::Instant;

use super::{Call, Refused, catalogue::catalogue};
use crate::{
    authenticate::{self, AUTH_TOKEN},
    errors,
};

const SUBJECT_TOKEN: &str = "x-subject-token";

/// How long a login may wait for its turn to be hashed.
const HASHING_WAIT: Duration = Duration::from_secs(10);

/// Most characters of a user name or password that is looked at.
const SECRET_MAX: usize = 4096;

/// `POST /v3/auth/tokens`.
pub(super) async fn issue(call: &Call<'_>) -> Result<Response, Refused> {
    let Envelope { auth } = serde_json::from_slice(&call.body)
        .map_err(|error| Refused::bad(format!("the body is not a login by password: {error}")))?;
    let (user, secret) = auth.identity.password_user()?;
    let snapshot = call.api.snapshot();
    let found = user.find(&snapshot);
    let user_name = user.id.as_deref().or(user.name.as_deref()).unwrap_or_default();
    let (source, logins) = (call.origin.source_ip, &call.api.logins);
    if let Err(wait) = logins.allow(source, user_name, Instant::now()) {
        let refused =
            errors::keystone(StatusCode::TOO_MANY_REQUESTS, "Too many failed logins; wait a little.");
        return Ok(errors::retry_after(refused, wait.as_secs()));
    }
    if !fits(call, found.as_deref(), secret).await? {
        logins.failed(source, user_name, Instant::now());
        tracing::info!(
            request_id = call.origin.request_id,
            ?source,
            user = user_name,
            known = found.is_some(),
            "login refused"
        );
        return Err(Refused::unauthorized());
    }
    let user = found.ok_or_else(Refused::unauthorized)?;
    logins.succeeded(source, user_name);
    let scope = scope_of(auth.scope, &user, &snapshot)?;
    let issued = authenticate::now();
    let claims = Claims {
        user: user.id,
        scope,
        methods: vec!["password".to_owned()],
        issued,
        expires: Timestamp::from_millis(issued.millis() + token::LIFE_MS),
        nonce: uuid::Uuid::new_v4().simple().to_string(),
    };
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

/// Whether a password is the user's; takes the same time when there is no user. Runs beside the event loop.
async fn fits(call: &Call<'_>, user: Option<&User>, secret: Secret) -> Result<bool, Refused> {
    let busy = || Refused(StatusCode::SERVICE_UNAVAILABLE, "Too many logins at once; try again.".to_owned());
    let hash = user.filter(|user| user.enabled).and_then(|user| user.password_hash.clone());
    let hash = hash.unwrap_or_else(|| password::NOBODY.to_owned());
    let turn = tokio::time::timeout(HASHING_WAIT, call.api.logins.hashing.acquire()).await;
    let _turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
    tokio::task::spawn_blocking(move || password::verify(secret.reveal(), &hash)).await.map_err(|_| busy())
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

#[derive(Deserialize)]
struct Envelope {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    identity: IdentityPart,
    scope: Option<ScopeWish>,
}

#[derive(Deserialize)]
struct IdentityPart {
    methods: Vec<String>,
    password: Option<PasswordPart>,
}

#[derive(Deserialize)]
struct PasswordPart {
    user: UserPart,
}

#[derive(Deserialize)]
struct UserPart {
    id: Option<String>,
    name: Option<String>,
    domain: Option<DomainPart>,
    password: Option<Secret>,
}

/// Names a domain, by id or by name.
#[derive(Deserialize)]
struct DomainPart {
    id: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct ProjectPart {
    id: Option<String>,
    name: Option<String>,
    domain: Option<DomainPart>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ScopeWish {
    Word(String),
    Object { project: Option<ProjectPart>, domain: Option<DomainPart>, system: Option<Value> },
}

impl IdentityPart {
    fn password_user(self) -> Result<(UserPart, Secret), Refused> {
        if self.methods != ["password"] {
            return Err(Refused::bad(
                "the only login method here is 'password'; put just that into auth.identity.methods",
            ));
        }
        let mut user = self.password.ok_or_else(|| Refused::bad("auth.identity.password is missing"))?.user;
        let missing = || Refused::bad("auth.identity.password.user needs a password, and an id or a name");
        let secret = user.password.take().ok_or_else(missing)?;
        if user.id.is_none() && user.name.is_none() {
            return Err(missing());
        }
        if secret.reveal().len() > SECRET_MAX {
            return Err(Refused::bad(format!("the password has more than {SECRET_MAX} bytes")));
        }
        Ok((user, secret))
    }
}

impl UserPart {
    /// The user that is named: by id, or by name within the domain named. Without a domain the name must be unique over all.
    fn find(&self, snapshot: &Snapshot) -> Option<Arc<User>> {
        if let Some(id) = &self.id {
            return snapshot.user(id.parse().ok()?).cloned();
        }
        let name = self.name.as_deref()?;
        let in_domain =
            |user: &&Arc<User>| self.domain.as_ref().is_none_or(|domain| domain.names(&user.domain));
        let mut named = snapshot.users().values().filter(|user| user.name.as_str() == name).filter(in_domain);
        let first = named.next()?;
        named.next().is_none().then(|| first.clone())
    }
}

impl DomainPart {
    fn names(&self, domain: &Domain) -> bool {
        match (&self.id, &self.name) {
            (Some(id), _) => id.parse() == Ok(domain.id),
            (None, Some(name)) => name == domain.name.as_str(),
            (None, None) => false,
        }
    }
}

impl ProjectPart {
    /// Whether a project is meant; a name without a domain is one of the user's own domain.
    fn names(&self, project: &Project, user: &User) -> bool {
        match (&self.id, &self.name, &self.domain) {
            (Some(id), _, _) => id.parse() == Ok(project.id),
            (None, Some(name), Some(domain)) => {
                name == project.name.as_str() && domain.names(&project.domain)
            }
            (None, Some(name), None) => name == project.name.as_str() && project.domain.id == user.domain.id,
            (None, None, _) => false,
        }
    }
}
