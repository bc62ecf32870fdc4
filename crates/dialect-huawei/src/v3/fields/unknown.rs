//! Fields that this version does not know.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use crate::v3::fields::Refusal;

/// What happens to fields that this version does not know: told once in the log and ignored, or refused.
#[derive(Debug)]
pub(crate) struct UnknownFields {
    strict: bool,
    pub(super) told: Mutex<BTreeSet<String>>,
}

impl UnknownFields {
    /// Most names that are remembered as told. A client that makes up names fills no memory and no log with them.
    pub(super) const TOLD_MAX: usize = 256;

    /// Refuses unknown fields if `strict`.
    pub(crate) fn new(strict: bool) -> Self {
        Self { strict, told: Mutex::default() }
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
