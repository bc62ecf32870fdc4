//! A text that must not reach a log: it prints as stars.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A secret in clear text, in memory. `Debug` hides it. Serialisation writes it: only the store does that, and seals it there.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a text as secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    /// The clear text; the name makes its uses easy to find.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(******)")
    }
}
