//! What can be read and shown and is not carried out yet: one list. Whoever builds a part in the data plane takes its lines out, here and
//! in docs/guide/limits.md.

use crate::v3::fields::{Fields, Harmless, Refusal};

/// Every field (`noun.field`), word (`noun.field=WORD`) and group of operations of that kind.
pub(crate) const CLOSED: &[&str] = &["pool.protocol=TLS"];

impl Fields<'_> {
    /// As [`Fields::choice`]; words on the list are refused as not built.
    pub(crate) fn gated_choice<T: Copy>(
        &mut self,
        noun: &str,
        name: &str,
        table: &[(&str, Option<T>)],
    ) -> Result<Option<T>, Refusal> {
        let open = |word: &str| !self.unknown.is_closed(&format!("{noun}.{name}={word}"));
        let table: Vec<_> =
            table.iter().map(|(word, meaning)| (*word, meaning.filter(|_| open(word)))).collect();
        self.choice(name, &table)
    }

    /// Whether a field is on the list; then it is read here, and only values that leave everything as it is are accepted.
    pub(crate) fn gated(&mut self, noun: &str, name: &str, harmless: Harmless) -> Result<bool, Refusal> {
        let closed = self.unknown.is_closed(&format!("{noun}.{name}"));
        if closed {
            self.later(name, harmless)?;
        }
        Ok(closed)
    }
}
