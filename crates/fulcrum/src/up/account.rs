//! The first account: made at the first start, found again at every other.
//!
//! `credentials.json` is written before the account is, so a crash in between leaves a file from which the next start makes the same
//! account, and never an account whose password nobody knows.

use std::net::SocketAddr;

use anyhow::Context;
use control::bootstrap::{self, Account};
use identity::password;
use model::{AccessKeyId, Domain, DomainId, Name, ProjectId, Role, Secret, Snapshot, User, UserId};
use uuid::Uuid;

use crate::{
    config::{Config, FIRST_ADMINISTRATOR, NetworkConfig},
    credentials::Credentials,
};

/// The domain of the first account; OpenStack clients take this name for granted.
const DOMAIN: &str = "Default";

/// The first account, from the credentials file, from the store, or new; and the credentials file brought up to date.
pub(super) fn first(
    config: &Config,
    endpoint: SocketAddr,
    snapshot: &Snapshot,
) -> anyhow::Result<(Account, Credentials)> {
    let file = Credentials::path(&config.data);
    let known = match file.exists() {
        true => from_file(&Credentials::read(&config.data)?, snapshot)
            .with_context(|| format!("{} is damaged; bring it back from a copy", file.display()))?,
        false => match from_store(config, snapshot)? {
            Some(known) => known,
            None => new(config)?,
        },
    };
    let credentials = credentials(config, endpoint, &known)?;
    let (path, password) = (&config.data, known.password);
    credentials.write(path).with_context(|| format!("{} cannot be written", file.display()))?;
    let mut account = known.account;
    if snapshot.user(account.user).is_none() {
        account.password_hash = password::hash(password.reveal(), &random()?);
    }
    Ok((account, credentials))
}

/// An account and what only its owner knows.
struct Known {
    account: Account,
    password: Secret,
}

fn from_file(file: &Credentials, snapshot: &Snapshot) -> anyhow::Result<Known> {
    let user: UserId = file.user_id.parse()?;
    let account = Account {
        domain: Domain { id: file.domain_id.parse()?, name: Name::try_from(file.domain_name.as_str())? },
        project: file.project_id.parse()?,
        project_name: Name::try_from(file.project_name.as_str())?,
        user,
        user_name: Name::try_from(file.user_name.as_str())?,
        password_hash: snapshot.user(user).and_then(|user| user.password_hash.clone()).unwrap_or_default(),
        access_key: file.access_key.parse()?,
        secret_key: file.secret_key.clone(),
    };
    Ok(Known { account, password: file.password.clone() })
}

/// The administrator of a store that another machine began, or whose credentials file was lost. The password cannot be found again, unless
/// the environment gives the right one; a lost access key is replaced by a new one.
fn from_store(config: &Config, snapshot: &Snapshot) -> anyhow::Result<Option<Known>> {
    let administers =
        |user: &User| user.roles.iter().find(|held| held.role == Role::Admin).map(|held| held.project);
    let mut users: Vec<_> = snapshot.users().values().filter(|user| user.enabled).collect();
    users.sort_by_key(|user| (user.name.as_str() != FIRST_ADMINISTRATOR, user.created_at));
    let found = users.into_iter().find_map(|user| Some((user, snapshot.project(administers(user)?)?)));
    let Some((user, project)) = found else { return Ok(None) };
    let fits = |given: &&Secret| {
        user.password_hash.as_ref().is_some_and(|hash| password::verify(given.reveal(), hash))
    };
    let password = config.first.password.as_ref().filter(fits).cloned();
    if password.is_none() {
        tracing::warn!(user = %user.name, "the password of this user is not known here, so credentials.json has none");
    }
    let key = snapshot.access_keys().values().find(|key| key.user == user.id && key.enabled);
    let (access_key, secret_key) = match key {
        Some(key) => (key.id.clone(), key.secret.clone()),
        None => (new_access_key()?, new_secret(40)?),
    };
    let account = Account {
        domain: user.domain.clone(),
        project: project.id,
        project_name: project.name.clone(),
        user: user.id,
        user_name: user.name.clone(),
        password_hash: user.password_hash.clone().unwrap_or_default(),
        access_key,
        secret_key,
    };
    Ok(Some(Known { account, password: password.unwrap_or_else(|| Secret::new("")) }))
}

fn new(config: &Config) -> anyhow::Result<Known> {
    let first = &config.first;
    let account = Account {
        domain: Domain { id: DomainId::new(Uuid::new_v4()), name: Name::try_from(DOMAIN)? },
        project: first.project.unwrap_or_else(|| ProjectId::new(Uuid::new_v4())),
        project_name: config.region.clone(),
        user: UserId::new(Uuid::new_v4()),
        user_name: Name::try_from(FIRST_ADMINISTRATOR)?,
        password_hash: String::new(),
        access_key: first.access_key.clone().map_or_else(new_access_key, Ok)?,
        secret_key: first.secret_key.clone().map_or_else(|| new_secret(40), Ok)?,
    };
    Ok(Known { account, password: first.password.clone().map_or_else(|| new_secret(24), Ok)? })
}

fn credentials(config: &Config, endpoint: SocketAddr, known: &Known) -> anyhow::Result<Credentials> {
    let Account { domain, project, project_name, user, user_name, access_key, secret_key, .. } =
        &known.account;
    let network: &NetworkConfig = config.networks.first().context("there is no network")?;
    let subnet = network.subnets.first().context("there is no subnet")?;
    Ok(Credentials {
        endpoint: format!("http://{endpoint}"),
        region: config.region.to_string(),
        domain_id: domain.id.simple(),
        domain_name: domain.name.to_string(),
        project_id: project.simple(),
        project_name: project_name.to_string(),
        user_id: user.simple(),
        user_name: user_name.to_string(),
        password: known.password.clone(),
        access_key: access_key.to_string(),
        secret_key: secret_key.clone(),
        vpc_id: bootstrap::network_id(&network.name).to_string(),
        subnet_id: bootstrap::subnet_id(&network.name, &subnet.name).to_string(),
    })
}

/// 20 capital letters and digits, as vendors' keys look.
fn new_access_key() -> anyhow::Result<AccessKeyId> {
    Ok(text(20, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")?.parse()?)
}

fn new_secret(length: usize) -> anyhow::Result<Secret> {
    Ok(Secret::new(text(length, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")?))
}

/// A random text. The alphabets have 32 and 64 characters, so a byte's remainder prefers none.
fn text(length: usize, alphabet: &[u8]) -> anyhow::Result<String> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).context("the system gives no randomness")?;
    Ok(bytes.iter().map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()])).collect())
}

pub(super) fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("the system gives no randomness")?;
    Ok(bytes)
}
