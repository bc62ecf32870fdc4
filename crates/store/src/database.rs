//! Opening a database: where it is, its settings, and its tables.

use std::{path::PathBuf, time::Duration};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::{AnyPool, Executor, Row, any::AnyPoolOptions};

use crate::{BadSeal, MasterKey, OpenError, open, seal};

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file, made when it is not there. One process at a time uses it.
    Sqlite(PathBuf),
    /// The URL of a PostgreSQL database (`postgres://user:password@host/database`). Several control planes may share it.
    Postgres(String),
}

impl Location {
    /// The location without a password, for people.
    pub fn display(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::Postgres(url) => match url.rsplit_once('@') {
                Some((_, place)) => format!("postgres://…@{place}"),
                None => url.clone(),
            },
        }
    }

    fn url(&self) -> String {
        const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');
        match self {
            Self::Sqlite(path) => {
                format!("sqlite://{}?mode=rwc", utf8_percent_encode(&path.to_string_lossy(), PATH))
            }
            Self::Postgres(url) => url.clone(),
        }
    }

    fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }
}

/// The connections: one that writes, some that read.
pub(crate) struct Database {
    pub(crate) writer: AnyPool,
    pub(crate) readers: AnyPool,
}

impl Database {
    /// Connects and brings the tables up to date.
    pub(crate) async fn open(location: &Location, key: &MasterKey) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let writer = pool(location, 1).await?;
        migrate(location, &writer, key).await?;
        let readers = pool(location, READERS).await?;
        Ok(Self { writer, readers })
    }
}

async fn pool(location: &Location, connections: u32) -> Result<AnyPool, OpenError> {
    let sqlite = location.is_sqlite();
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                if sqlite {
                    connection.execute(SQLITE_SETTINGS).await?;
                }
                Ok(())
            })
        })
        .connect(&location.url())
        .await
        .map_err(|source| OpenError::Connect { location: location.display(), source })
}

/// Makes or changes the tables, one version after the other, each in its own transaction.
async fn migrate(location: &Location, writer: &AnyPool, key: &MasterKey) -> Result<(), OpenError> {
    let failed = |version| move |source| OpenError::Migrate { location: location.display(), version, source };
    let mut transaction = writer.begin().await.map_err(failed(0))?;
    transaction
        .execute("CREATE TABLE IF NOT EXISTS migrations (version BIGINT PRIMARY KEY)")
        .await
        .map_err(failed(0))?;
    if !location.is_sqlite() {
        // Two control planes may start at once on an empty database.
        transaction.execute("LOCK TABLE migrations IN EXCLUSIVE MODE").await.map_err(failed(0))?;
    }
    let found: i64 = sqlx::query("SELECT COALESCE(MAX(version), 0) FROM migrations")
        .fetch_one(&mut *transaction)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed(0))?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    for (version, statements) in (1..).zip(MIGRATIONS).skip(found as usize) {
        for statement in statements.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
            transaction.execute(statement).await.map_err(failed(version))?;
        }
        sqlx::query("INSERT INTO migrations (version) VALUES ($1)")
            .bind(version)
            .execute(&mut *transaction)
            .await
            .map_err(failed(version))?;
    }
    let check = sqlx::query("SELECT key_check FROM head")
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed(known))?;
    match check {
        Some(row) => {
            let sealed: String = row.try_get(0).map_err(failed(known))?;
            open(key, KEY_CHECK, &sealed).map_err(|_: BadSeal| OpenError::WrongKey)?;
        }
        None => {
            let sealed = seal(key, KEY_CHECK, KEY_CHECK).map_err(|_| OpenError::WrongKey)?;
            sqlx::query("INSERT INTO head (one, revision, pruned, key_check) VALUES (1, 0, 0, $1)")
                .bind(sealed)
                .execute(&mut *transaction)
                .await
                .map_err(failed(known))?;
        }
    }
    transaction.commit().await.map_err(failed(known))
}

/// Statements of version 1, 2, …; a landed one never changes.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001_tables.sql")];
/// What a database keeps sealed to tell at once whether it is opened with its own key.
const KEY_CHECK: &str = "key_check";
/// API reads come from memory; the database is read for the feed, the first snapshot and traces.
const READERS: u32 = 4;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// FULL: a commit is on disk before it is answered. The cache is 2 MiB per connection: reads come from memory, not from here.
const SQLITE_SETTINGS: &str = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=5000; \
     PRAGMA cache_size=-2048; PRAGMA foreign_keys=OFF;";
