//! Opening the store, however long that takes while traffic flows without it.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail};
use store::{Location, MasterKey, Replica, Store};

use crate::{
    config::{Config, StoreLocation},
    credentials::Credentials,
};

/// An opened store with its snapshot in memory.
pub(super) struct Opened {
    pub(super) store: Store,
    pub(super) replica: Replica,
}

/// The environment variable of the master key; without it, the file `master.key` in the data directory.
const MASTER_KEY: &str = "FULCRUM_MASTER_KEY";

const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// Opens the store. Where it `waits`, because traffic is served from the last good plan, a failure is told and tried again; otherwise
/// there is nothing to keep alive, and it ends the start.
pub(super) async fn open(config: &Config, key: &MasterKey, waits: bool) -> anyhow::Result<Opened> {
    let mut pause = PAUSE_FIRST;
    loop {
        match attempt(config, key, waits).await {
            Ok(opened) => return Ok(opened),
            Err(error) if !waits => return Err(error),
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the store cannot be opened; traffic is served from the last good plan, trying again"
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

async fn attempt(config: &Config, key: &MasterKey, serving: bool) -> anyhow::Result<Opened> {
    let location = match &config.store.location {
        StoreLocation::File(path) => {
            refuse_to_begin_anew(path, &config.data, serving)?;
            Location::Sqlite(path.clone())
        }
        StoreLocation::Postgres(url) => Location::Postgres(url.clone()),
    };
    let store = Store::open(&location, key).await?;
    let replica = Replica::start(store.clone()).await?;
    Ok(Opened { store, replica })
}

/// The key that secrets at rest are sealed under.
pub(super) fn master_key(config: &Config) -> anyhow::Result<MasterKey> {
    Ok(match std::env::var(MASTER_KEY) {
        Ok(text) if !text.is_empty() => MasterKey::from_hex(&text).context(MASTER_KEY)?,
        _ => MasterKey::load_or_create(&config.data.join("master.key"))?,
    })
}

/// An empty database in place of a lost one would take every listener down. Whoever wants to begin anew empties the directory.
fn refuse_to_begin_anew(database: &Path, data: &Path, serving: bool) -> anyhow::Result<()> {
    if database.exists() || !(serving || Credentials::path(data).exists()) {
        return Ok(());
    }
    bail!(
        "the database {} is gone, though {} was in use; bring it back, or empty that directory to begin anew",
        database.display(),
        data.display()
    );
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_lost_database_is_not_made_anew() {
        let data = tempfile::tempdir().unwrap();
        let database = data.path().join("fulcrum.db");
        assert!(refuse_to_begin_anew(&database, data.path(), false).is_ok(), "the first start");
        assert!(
            refuse_to_begin_anew(&database, data.path(), true).is_err(),
            "a plan is there, the database is not"
        );
        fs::write(Credentials::path(data.path()), "{}").unwrap();
        let told = refuse_to_begin_anew(&database, data.path(), false).unwrap_err().to_string();
        assert!(told.contains("fulcrum.db") && told.contains("bring it back"), "{told}");
        fs::write(&database, "").unwrap();
        assert!(refuse_to_begin_anew(&database, data.path(), true).is_ok(), "it is there");
    }
}
