//! A trace: the audit record of one command (behaviour/audit.md). Written in the command's own transaction.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Domain, ProjectId, Timestamp, UserId};

/// One audit record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// Its id.
    pub id: Uuid,
    /// What was done, for example `createListener`.
    pub name: String,
    /// How it went.
    pub rating: TraceRating,
    /// The project that the command worked in.
    pub project: ProjectId,
    /// Who did it.
    pub user: UserId,
    /// Their login name at that time.
    pub user_name: String,
    /// Their domain.
    pub domain: Domain,
    /// Where the request came from; empty for the system itself.
    pub source_ip: String,
    /// The kind of object, in audit words, for example `listener`.
    pub resource_type: String,
    /// The object's id, as printed.
    pub resource_id: String,
    /// The object's name at that time; the id when it has none.
    pub resource_name: String,
    /// When.
    pub at: Timestamp,
    /// The API's version, for example `v3`.
    pub api_version: String,
    /// The request's id.
    pub request_id: String,
    /// What changed, as JSON text with secrets removed; empty for a delete.
    pub response: String,
}

/// How a command went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TraceRating {
    /// Done.
    Normal,
    /// Refused or failed.
    Warning,
}
