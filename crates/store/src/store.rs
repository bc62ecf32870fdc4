//! The store: reads a snapshot, reads the feed, commits.

use std::{sync::Arc, time::Duration};

use futures_util::TryStreamExt;
use model::{Kind, ObjectKey, Revision, Snapshot, Trace};
use sqlx::{Any, AnyPool, Row, Transaction, any::AnyRow, postgres::PgListener};
use tokio::sync::watch;

use crate::{
    Batch, Change, Claim, CommitError, Error, Feed, Location, MasterKey, OpenError, body, database::Database,
};

/// A database of ours. Clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    key: MasterKey,
    postgres: bool,
    newest: watch::Sender<Revision>,
}

impl Store {
    /// Opens the database, makes or updates its tables, and checks the key.
    pub async fn open(location: &Location, key: &MasterKey) -> Result<Self, OpenError> {
        let database = Database::open(location, key).await?;
        let (newest, _) = watch::channel(Revision::default());
        let postgres = matches!(location, Location::Postgres(_));
        let inner = Arc::new(Inner { database, key: key.clone(), postgres, newest });
        let store = Self { inner };
        let refused = |error| match error {
            Error::Database(source) => OpenError::Connect { location: location.display(), source },
            _ => OpenError::WrongKey,
        };
        store.newest().await.map_err(refused)?;
        tokio::spawn(watch_database(Arc::downgrade(&store.inner), location.clone()));
        Ok(store)
    }

    /// Everything, at one revision.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let mut transaction = self.read().await?;
        let (revision, _) = head(&mut transaction).await?;
        let mut snapshot = Snapshot::default();
        snapshot.revision = revision;
        // Row by row: all bodies at once would take more memory than the snapshot that is made of them.
        let mut rows = sqlx::query("SELECT kind, id, body FROM objects").fetch(&mut *transaction);
        while let Some(row) = rows.try_next().await? {
            let key = object_key(&row, 0, 1)?;
            snapshot.put(body::decode(&self.inner.key, &key, &row.try_get::<String, _>(2)?)?);
        }
        Ok(snapshot)
    }

    /// What changed after a revision.
    pub async fn changes_after(&self, from: Revision) -> Result<Feed, Error> {
        let mut transaction = self.read().await?;
        let (upto, pruned) = head(&mut transaction).await?;
        if from < pruned || from > upto {
            return Ok(Feed::TooOld);
        }
        let rows = sqlx::query(
            "SELECT c.kind, c.id, MAX(c.revision) AS revision, o.body FROM changes c \
             LEFT JOIN objects o ON o.kind = c.kind AND o.id = c.id \
             WHERE c.revision > $1 GROUP BY c.kind, c.id, o.body ORDER BY 3",
        )
        .bind(from.0 as i64)
        .fetch_all(&mut *transaction)
        .await?;
        let mut changes = Vec::with_capacity(rows.len());
        for row in &rows {
            let key = object_key(row, 0, 1)?;
            let object = match row.try_get::<Option<String>, _>(3)? {
                Some(text) => Some(body::decode(&self.inner.key, &key, &text)?),
                None => None,
            };
            changes.push(Change { revision: Revision(row.try_get::<i64, _>(2)? as u64), key, object });
        }
        Ok(Feed::Changes { changes, upto })
    }

    /// Lands a batch as the next revision, or leaves no trace of it. When this answers, the batch survives a crash.
    pub async fn commit(&self, batch: Batch) -> Result<Revision, CommitError> {
        // Encoded before the transaction, which other writers wait for.
        let mut bodies = Vec::with_capacity(batch.puts.len());
        for object in &batch.puts {
            bodies.push(body::encode(&self.inner.key, object)?);
        }
        let mut transaction = self.inner.database.writer.begin().await?;
        // Takes the write lock (SQLite) or the row lock (PostgreSQL), checks the base and numbers the revision, in one statement.
        let next =
            sqlx::query("UPDATE head SET revision = revision + 1 WHERE revision = $1 RETURNING revision")
                .bind(batch.based_on.0 as i64)
                .fetch_optional(&mut *transaction)
                .await?;
        let Some(next) = next else {
            let (current, _) = head(&mut transaction).await?;
            transaction.rollback().await?;
            self.inner.saw(current);
            return Err(CommitError::Stale { current });
        };
        let revision: i64 = next.try_get(0)?;
        for key in &batch.releases {
            sqlx::query("DELETE FROM claims WHERE key = $1").bind(key).execute(&mut *transaction).await?;
        }
        for claim in &batch.claims {
            take(&mut transaction, claim).await?;
        }
        for key in &batch.deletes {
            sqlx::query("DELETE FROM objects WHERE kind = $1 AND id = $2")
                .bind(key.kind.as_str())
                .bind(&key.id)
                .execute(&mut *transaction)
                .await?;
            note_change(&mut transaction, revision, key, "delete").await?;
        }
        for (object, text) in batch.puts.iter().zip(bodies) {
            let key = object.key();
            sqlx::query(
                "INSERT INTO objects (kind, id, project, parent, revision, body) VALUES ($1, $2, $3, $4, $5, $6) \
                 ON CONFLICT (kind, id) DO UPDATE SET project = excluded.project, parent = excluded.parent, \
                 revision = excluded.revision, body = excluded.body",
            )
            .bind(key.kind.as_str())
            .bind(&key.id)
            .bind(object.project().map(|id| id.to_string()))
            .bind(object.parent())
            .bind(revision)
            .bind(text)
            .execute(&mut *transaction)
            .await?;
            note_change(&mut transaction, revision, &key, "put").await?;
        }
        for trace in &batch.traces {
            note_trace(&mut transaction, revision, trace).await?;
        }
        if self.inner.postgres {
            sqlx::query("SELECT pg_notify('fulcrum', '')").execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        let revision = Revision(revision as u64);
        self.inner.saw(revision);
        Ok(revision)
    }

    /// Keeps traces of what changed nothing, beside the newest revision.
    pub async fn note(&self, traces: &[Trace]) -> Result<(), Error> {
        let mut transaction = self.inner.database.writer.begin().await?;
        let (revision, _) = head(&mut transaction).await?;
        for trace in traces {
            note_trace(&mut transaction, revision.0 as i64, trace).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Ends all use of the database: what is under way ends, everything later fails, also by clones. For a process that gives the
    /// database to another.
    pub async fn close(&self) {
        self.inner.database.writer.close().await;
        self.inner.database.readers.close().await;
    }

    /// The newest revision that this process heard of; wakes on every later one. It may run ahead of a [`Replica`](crate::Replica).
    pub fn revisions(&self) -> watch::Receiver<Revision> {
        self.inner.newest.subscribe()
    }

    /// Forgets all but the newest `keep` revisions of the feed. A follower further behind takes a new snapshot.
    pub async fn prune(&self, keep: u64) -> Result<(), Error> {
        let mut transaction = self.inner.database.writer.begin().await?;
        let (newest, pruned) = head(&mut transaction).await?;
        let upto = newest.0.saturating_sub(keep).max(pruned.0) as i64;
        sqlx::query("UPDATE head SET pruned = $1").bind(upto).execute(&mut *transaction).await?;
        sqlx::query("DELETE FROM changes WHERE revision <= $1").bind(upto).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The newest revision in the database, whoever committed it; wakes [`Store::revisions`] and with it replicas.
    pub async fn newest(&self) -> Result<Revision, Error> {
        let row = sqlx::query("SELECT revision FROM head").fetch_one(self.readers()).await?;
        let newest = Revision(row.try_get::<i64, _>(0)? as u64);
        self.inner.saw(newest);
        Ok(newest)
    }

    pub(crate) fn readers(&self) -> &AnyPool {
        &self.inner.database.readers
    }

    /// A transaction that sees one state, whatever is committed meanwhile. SQLite's always do.
    async fn read(&self) -> Result<Transaction<'static, Any>, Error> {
        let mut transaction = self.readers().begin().await?;
        if self.inner.postgres {
            sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut *transaction).await?;
        }
        Ok(transaction)
    }
}

impl Inner {
    fn saw(&self, revision: Revision) {
        self.newest.send_if_modified(|newest| {
            let newer = revision > *newest;
            if newer {
                *newest = revision;
            }
            newer
        });
    }
}

/// The newest revision, and the one up to which the feed is forgotten.
async fn head(transaction: &mut Transaction<'static, Any>) -> Result<(Revision, Revision), Error> {
    let row = sqlx::query("SELECT revision, pruned FROM head").fetch_one(&mut **transaction).await?;
    Ok((Revision(row.try_get::<i64, _>(0)? as u64), Revision(row.try_get::<i64, _>(1)? as u64)))
}

async fn take(transaction: &mut Transaction<'static, Any>, claim: &Claim) -> Result<(), CommitError> {
    sqlx::query("INSERT INTO claims (key, holder) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING")
        .bind(&claim.key)
        .bind(&claim.holder)
        .execute(&mut **transaction)
        .await?;
    let row = sqlx::query("SELECT holder FROM claims WHERE key = $1")
        .bind(&claim.key)
        .fetch_one(&mut **transaction)
        .await?;
    let holder: String = row.try_get(0)?;
    if holder == claim.holder {
        Ok(())
    } else {
        Err(CommitError::ClaimTaken { key: claim.key.clone(), holder })
    }
}

async fn note_trace(
    transaction: &mut Transaction<'static, Any>,
    revision: i64,
    trace: &Trace,
) -> Result<(), Error> {
    let text = serde_json::to_string(trace).map_err(Error::Trace)?;
    sqlx::query("INSERT INTO traces (id, revision, project, at_ms, body) VALUES ($1, $2, $3, $4, $5)")
        .bind(trace.id.to_string())
        .bind(revision)
        .bind(trace.project.to_string())
        .bind(trace.at.millis())
        .bind(text)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn note_change(
    transaction: &mut Transaction<'static, Any>,
    revision: i64,
    key: &ObjectKey,
    op: &'static str,
) -> Result<(), Error> {
    sqlx::query("INSERT INTO changes (revision, kind, id, op) VALUES ($1, $2, $3, $4) ON CONFLICT (revision, kind, id) DO UPDATE SET op = excluded.op")
        .bind(revision)
        .bind(key.kind.as_str())
        .bind(&key.id)
        .bind(op)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn object_key(row: &AnyRow, kind: usize, id: usize) -> Result<ObjectKey, Error> {
    let kind: String = row.try_get(kind)?;
    let kind = Kind::parse(&kind).ok_or(Error::UnknownKind(kind))?;
    Ok(ObjectKey { kind, id: row.try_get(id)? })
}

/// Hears of other processes' commits: by notification (PostgreSQL), and by a look now and then, which finds what a
/// notification lost. Ends with the store, or when it is closed.
async fn watch_database(inner: std::sync::Weak<Inner>, location: Location) {
    let mut listener = None;
    loop {
        if let (Location::Postgres(url), None) = (&location, &listener) {
            listener = listen(url).await;
        }
        match &mut listener {
            Some(notified) => {
                let heard = tokio::time::timeout(LOOK_EVERY, notified.recv()).await;
                if matches!(heard, Ok(Err(_))) {
                    listener = None;
                }
            }
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
        let Some(inner) = inner.upgrade() else { return };
        if inner.database.readers.is_closed() {
            return;
        }
        if let Err(error) = (Store { inner }).newest().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the database is away; reads go on from memory"
            );
        }
    }
}

async fn listen(url: &str) -> Option<PgListener> {
    let mut listener = PgListener::connect(url).await.ok()?;
    listener.listen("fulcrum").await.ok()?;
    Some(listener)
}

const LOOK_EVERY: Duration = Duration::from_secs(5);
