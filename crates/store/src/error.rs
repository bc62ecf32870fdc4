//! Why the store did not do what it was asked.

use model::{Kind, Revision};

use crate::{key::KeyError, seal::BadSeal};

/// The database failed, or holds what we cannot read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A statement failed.
    #[error("the database did not answer as it should; is it running and its disk not full?")]
    Database(#[from] sqlx::Error),
    /// A row cannot be read.
    #[error("the stored {} {id} cannot be read; was it written by a newer version?", kind.as_str())]
    Body {
        /// The object's kind.
        kind: Kind,
        /// The object's id.
        id: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A stored secret does not open.
    #[error("a stored secret of {kind} {id} does not open with this master key")]
    Sealed {
        /// The object's kind.
        kind: &'static str,
        /// The object's id.
        id: String,
        /// Why.
        #[source]
        source: BadSeal,
    },
    /// A row names a kind that this version does not know.
    #[error("the database holds an object of the unknown kind '{0}'; it was written by a newer version")]
    UnknownKind(String),
    /// A trace cannot be read.
    #[error("a stored trace cannot be read")]
    Trace(#[source] serde_json::Error),
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database could not be reached or made.
    #[error("cannot open the database {location}; check the path or address and its rights")]
    Connect {
        /// Where it was looked for; without a password.
        location: String,
        /// What the driver said.
        #[source]
        source: sqlx::Error,
    },
    /// The tables could not be made or changed.
    #[error("cannot bring the tables of {location} to version {version}")]
    Migrate {
        /// Which database.
        location: String,
        /// The version that was being made.
        version: i64,
        /// What the driver said.
        #[source]
        source: sqlx::Error,
    },
    /// The database was written by a newer program.
    #[error(
        "the database has tables of version {found}, this program knows up to {known}; run the newer program"
    )]
    Newer {
        /// Version of the tables.
        found: i64,
        /// The newest version that we know.
        known: i64,
    },
    /// The database was written under another master key.
    #[error("the database was written under another master key; give the key that it was made with")]
    WrongKey,
    /// The master key could not be read or made.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Why a commit did not land. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Another command landed since; catch up and decide again.
    #[error("another command landed first (the newest revision is {current})")]
    Stale {
        /// The newest revision.
        current: Revision,
    },
    /// A claim belongs to another object.
    #[error("{key} is held by {holder}")]
    ClaimTaken {
        /// What was claimed.
        key: String,
        /// Who holds it.
        holder: String,
    },
    /// The database failed. Whether the commit landed is unknown if the connection broke at its very end.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<sqlx::Error> for CommitError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}
