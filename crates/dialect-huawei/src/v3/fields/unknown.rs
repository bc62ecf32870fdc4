//! Fields that this version does not know, or knows and does not carry out.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use crate::v3::fields::{Refusal, gate::CLOSED};

/// What happens to fields that this version does not know: told once in the log and ignored, or refused. And which of those that it
/// knows it does not carry out.
#[derive(Debug)]
pub(crate) struct UnknownFields {
    strict: bool,
    closed: &'static [&'static str],
    pub(super) told: Mutex<BTreeSet<String>>,
}

impl UnknownFields {
    /// Most names that are remembered as told. A client that makes up names fills no memory and no log with them.
    pub(super) const TOLD_MAX: usize = 256;

    /// Refuses unknown fields if `strict`.
    pub(crate) fn new(strict: bool) -> Self {
        Self::with_closed(strict, CLOSED)
    }

    /// The same with another list of what is not carried out.
    pub(crate) fn with_closed(strict: bool, closed: &'static [&'static str]) -> Self {
        Self { strict, closed, told: Mutex::default() }
    }

    /// Whether a field (`noun.field`), word (`noun.field=WORD`) or operation is not carried out.
    pub(crate) fn is_closed(&self, name: &str) -> bool {
        self.closed.contains(&name)
    }

    /// Deals with one; its path is told.
    pub(super) fn meet(&self, field: String) -> Result<(), Refusal> {
        if self.strict {
            return Err(Refusal::new(field, "this field is not known here"));
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < Self::TOLD_MAX && !told.contains(&field) {
            tracing::warn!(%field, "a client sends a field that is not known here; it is ignored");
            told.insert(field);
        }
        Ok(())
    }
}
