//! Logging in: what a client may prove who it is with, and whether it does.
//!
//! A login that fails says nothing about why: an unknown user costs the same time and gets the same answer as a wrong password.
//! Methods: `password`, `token` (another scope for a token, until that one's end), `hw_ak_sk` (an access key pair). Others of
//! Keystone are refused in words.

use std::{net::IpAddr, sync::Arc, time::Duration};

use hyper::StatusCode;
use identity::{password, signature, token};
use model::{AccessKeyId, Domain, Project, Secret, Snapshot, Timestamp, User};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::{Call, Refused};
use crate::authenticate;

/// How long a login may wait for its turn to be hashed.
const HASHING_WAIT: Duration = Duration::from_secs(10);

/// Most bytes of a password that are looked at.
const PASSWORD_MAX: usize = 4096;

/// What a client shows to prove who it is.
pub(super) enum Proof {
    Password(UserPart, Secret),
    Token(String),
    AccessKey(String, Secret),
}

/// Who logged in.
pub(super) struct Proved {
    pub(super) user: Arc<User>,
    /// By which methods, first the newest.
    pub(super) methods: Vec<String>,
    /// The end of the token that was shown; a new one does not outlive it.
    pub(super) expires: Option<Timestamp>,
}

/// The proof and the wished scope of a request.
pub(super) fn read(body: &[u8]) -> Result<(Proof, Option<ScopeWish>), Refused> {
    let Envelope { auth } = serde_json::from_slice(body)
        .map_err(|error| Refused::bad(format!("the body is not a login: {error}")))?;
    Ok((auth.identity.proof()?, auth.scope))
}

impl Proof {
    /// Who it proves; else the one answer for all failures, or 429 when too many failed.
    pub(super) async fn check(self, call: &Call<'_>, snapshot: &Snapshot) -> Result<Proved, Refused> {
        match self {
            Self::Password(user, secret) => {
                let name = user.id.clone().or_else(|| user.name.clone()).unwrap_or_default();
                let found = user.find(snapshot);
                let attempt = Attempt::begin(call, &name)?;
                let fits = fits(call, found.as_deref(), secret).await?;
                let user = attempt.end(call, found.filter(|_| fits))?;
                Ok(Proved { user, methods: vec!["password".to_owned()], expires: None })
            }
            Self::AccessKey(id, secret) => {
                let attempt = Attempt::begin(call, &id)?;
                let key = id.parse::<AccessKeyId>().ok().and_then(|id| snapshot.access_key(&id));
                let key = key.filter(|key| key.enabled && signature::is_secret(&key.secret, secret.reveal()));
                let user = attempt.end(call, key.and_then(|key| enabled(snapshot.user(key.user))))?;
                Ok(Proved { user, methods: vec!["hw_ak_sk".to_owned()], expires: None })
            }
            Self::Token(text) => {
                let claims = token::check(&call.api.token_key, authenticate::now(), &text)
                    .map_err(|_| Refused::unauthorized())?;
                let user = enabled(snapshot.user(claims.user)).ok_or_else(Refused::unauthorized)?;
                let mut methods = claims.methods;
                methods.retain(|method| method != "token");
                methods.insert(0, "token".to_owned());
                Ok(Proved { user, methods, expires: Some(claims.expires) })
            }
        }
    }
}

/// A login that is counted if it fails.
struct Attempt<'a> {
    source: Option<IpAddr>,
    name: &'a str,
}

impl<'a> Attempt<'a> {
    fn begin(call: &Call<'_>, name: &'a str) -> Result<Self, Refused> {
        let source = call.origin.source_ip;
        if call.api.logins.allow(source, name, Instant::now()) {
            Ok(Self { source, name })
        } else {
            Err(Refused(StatusCode::TOO_MANY_REQUESTS, "Too many failed logins; wait a little.".to_owned()))
        }
    }

    fn end(self, call: &Call<'_>, proved: Option<Arc<User>>) -> Result<Arc<User>, Refused> {
        let Self { source, name } = self;
        match proved {
            Some(user) => {
                call.api.logins.succeeded(source, name);
                Ok(user)
            }
            None => {
                call.api.logins.failed(source, name, Instant::now());
                let name: String = name.chars().take(64).collect();
                tracing::info!(request_id = call.origin.request_id, ?source, name, "login refused");
                Err(Refused::unauthorized())
            }
        }
    }
}

fn enabled(user: Option<&Arc<User>>) -> Option<Arc<User>> {
    user.filter(|user| user.enabled).cloned()
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
    token: Option<TokenPart>,
    hw_ak_sk: Option<AccessKeyPart>,
}

#[derive(Deserialize)]
struct PasswordPart {
    user: UserPart,
}

#[derive(Deserialize)]
struct TokenPart {
    id: String,
}

/// `{access:{key},secret:{key}}` (huawei/auth.md section 5).
#[derive(Deserialize)]
struct AccessKeyPart {
    access: KeyPart,
    secret: SecretPart,
}

#[derive(Deserialize)]
struct KeyPart {
    key: String,
}

#[derive(Deserialize)]
struct SecretPart {
    key: Secret,
}

/// Names a user, by id or by name.
#[derive(Deserialize)]
pub(super) struct UserPart {
    id: Option<String>,
    name: Option<String>,
    domain: Option<DomainPart>,
    password: Option<Secret>,
}

/// Names a domain, by id or by name.
#[derive(Deserialize)]
pub(super) struct DomainPart {
    id: Option<String>,
    name: Option<String>,
}

/// Names a project, by id or by name.
#[derive(Deserialize)]
pub(super) struct ProjectPart {
    id: Option<String>,
    name: Option<String>,
    domain: Option<DomainPart>,
}

/// The scope that a login asks for.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum ScopeWish {
    /// `"unscoped"`.
    Word(String),
    /// A project or a domain.
    Object { project: Option<ProjectPart>, domain: Option<DomainPart>, system: Option<Value> },
}

impl IdentityPart {
    fn proof(self) -> Result<Proof, Refused> {
        let methods: Vec<_> = self.methods.iter().map(String::as_str).collect();
        let missing = |what: &str| Refused::bad(format!("auth.identity.{what} is missing"));
        match methods[..] {
            ["password"] => {
                let mut user = self.password.ok_or_else(|| missing("password"))?.user;
                let secret = user.password.take().ok_or_else(|| missing("password.user.password"))?;
                if user.id.is_none() && user.name.is_none() {
                    return Err(Refused::bad("auth.identity.password.user needs an id or a name"));
                }
                if secret.reveal().len() > PASSWORD_MAX {
                    return Err(Refused::bad(format!("the password has more than {PASSWORD_MAX} bytes")));
                }
                Ok(Proof::Password(user, secret))
            }
            ["token"] => Ok(Proof::Token(self.token.ok_or_else(|| missing("token"))?.id)),
            ["hw_ak_sk"] => {
                let AccessKeyPart { access, secret } = self.hw_ak_sk.ok_or_else(|| missing("hw_ak_sk"))?;
                Ok(Proof::AccessKey(access.key, secret.key))
            }
            _ => Err(Refused::bad("auth.identity.methods must name one of password, token, hw_ak_sk")),
        }
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
    /// Whether a domain is meant.
    pub(super) fn names(&self, domain: &Domain) -> bool {
        match (&self.id, &self.name) {
            (Some(id), _) => id.parse() == Ok(domain.id),
            (None, Some(name)) => name == domain.name.as_str(),
            (None, None) => false,
        }
    }
}

impl ProjectPart {
    /// Whether a project is meant; a name without a domain is one of the user's own domain.
    pub(super) fn names(&self, project: &Project, user: &User) -> bool {
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
