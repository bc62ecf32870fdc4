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

#[cfg(test)]
mod tests {
    use model::{AccessKey, Description, Object, Project, RoleAssignment, Timestamp};

    use super::*;
    use crate::config::Overrides;

    const ENDPOINT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

    fn config(data: &std::path::Path, environment: &[(&str, &str)]) -> Config {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let overrides =
            Overrides { data: Some(data.to_owned()), listen: None, environment: environment.collect() };
        Config::parse("test", "", &overrides).unwrap()
    }

    /// The store after the account was made.
    fn stored(account: &Account) -> Snapshot {
        let created_at = Timestamp::default();
        let mut snapshot = Snapshot::default();
        snapshot.put(Object::from(Project {
            id: account.project,
            name: account.project_name.clone(),
            domain: account.domain.clone(),
            description: Description::default(),
            enabled: true,
            private_key_echo: true,
            created_at,
        }));
        snapshot.put(Object::from(User {
            id: account.user,
            name: account.user_name.clone(),
            domain: account.domain.clone(),
            password_hash: Some(account.password_hash.clone()),
            enabled: true,
            roles: vec![RoleAssignment { project: account.project, role: Role::Admin }],
            created_at,
        }));
        snapshot.put(Object::from(AccessKey {
            id: account.access_key.clone(),
            user: account.user,
            project: account.project,
            secret: account.secret_key.clone(),
            enabled: true,
            created_at,
        }));
        snapshot
    }

    #[test]
    fn the_first_start_draws_everything_and_the_next_finds_it_again() {
        let data = tempfile::tempdir().unwrap();
        let config = config(data.path(), &[]);
        let (account, credentials) = first(&config, ENDPOINT, &Snapshot::default()).unwrap();
        assert_eq!(credentials, Credentials::read(data.path()).unwrap());
        assert!(password::verify(credentials.password.reveal(), &account.password_hash));
        assert_eq!(
            (credentials.endpoint.as_str(), credentials.project_name.as_str()),
            ("http://127.0.0.1:1", "local-1")
        );
        assert_eq!((credentials.password.reveal().len(), credentials.secret_key.reveal().len()), (24, 40));
        assert_eq!(credentials.access_key.len(), 20);
        // The store did not get the account, as after a crash between file and commit: the same one is made.
        let (again, _) = first(&config, ENDPOINT, &Snapshot::default()).unwrap();
        assert_eq!(
            (again.user, again.project, &again.access_key),
            (account.user, account.project, &account.access_key)
        );
        assert!(password::verify(credentials.password.reveal(), &again.password_hash));
        // With the account in the store, only the endpoint is new, and nothing is hashed anew.
        let moved = SocketAddr::new(ENDPOINT.ip(), 2);
        let (again, after) = first(&config, moved, &stored(&account)).unwrap();
        assert_eq!(again.password_hash, account.password_hash);
        assert_eq!(after, Credentials { endpoint: "http://127.0.0.1:2".to_owned(), ..credentials });
    }

    #[test]
    fn two_sites_share_no_secret() {
        let [one, two] = [(); 2].map(|()| {
            let data = tempfile::tempdir().unwrap();
            first(&config(data.path(), &[]), ENDPOINT, &Snapshot::default()).unwrap().1
        });
        assert_ne!(one.password, two.password);
        assert_ne!(one.secret_key, two.secret_key);
        assert_ne!((one.access_key, one.project_id), (two.access_key, two.project_id));
    }

    #[test]
    fn the_environment_sets_the_first_account() {
        let data = tempfile::tempdir().unwrap();
        let project = "0123456789abcdef0123456789abcdef";
        let set = [
            ("FULCRUM_REGION", "eu-1"),
            ("FULCRUM_PROJECT_ID", project),
            ("FULCRUM_ADMIN_PASSWORD", "chosen password"),
            ("FULCRUM_ACCESS_KEY", "CHOSEN"),
            ("FULCRUM_SECRET_KEY", "chosen-secret"),
        ];
        let (_, found) = first(&config(data.path(), &set), ENDPOINT, &Snapshot::default()).unwrap();
        assert_eq!(
            (found.region.as_str(), found.project_name.as_str(), found.project_id.as_str()),
            ("eu-1", "eu-1", project)
        );
        let secrets = (found.password.reveal(), found.secret_key.reveal());
        assert_eq!((found.access_key.as_str(), secrets), ("CHOSEN", ("chosen password", "chosen-secret")));
    }

    #[test]
    fn a_lost_file_is_written_again_from_the_store_without_the_password() {
        let data = tempfile::tempdir().unwrap();
        let (account, before) = first(&config(data.path(), &[]), ENDPOINT, &Snapshot::default()).unwrap();
        let snapshot = stored(&account);
        for (why, given, expect) in [
            ("not known", None, ""),
            ("given rightly", Some(before.password.reveal()), before.password.reveal()),
            ("given wrongly", Some("another password"), ""),
        ] {
            std::fs::remove_file(Credentials::path(data.path())).unwrap();
            let set: Vec<_> = given.map(|given| ("FULCRUM_ADMIN_PASSWORD", given)).into_iter().collect();
            let (found, after) = first(&config(data.path(), &set), ENDPOINT, &snapshot).unwrap();
            assert_eq!(
                (found.user, found.password_hash),
                (account.user, account.password_hash.clone()),
                "{why}"
            );
            assert_eq!(after, Credentials { password: Secret::new(expect), ..before.clone() }, "{why}");
        }
    }

    #[test]
    fn a_damaged_file_stops_the_start_and_says_how_to_mend_it() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(Credentials::path(data.path()), "{").unwrap();
        let told = first(&config(data.path(), &[]), ENDPOINT, &Snapshot::default()).unwrap_err();
        assert!(format!("{told:#}").contains("removed"), "{told:#}");
    }
}
