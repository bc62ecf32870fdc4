//! Policies of one host by path: exact paths by hash, prefixes and expressions (by what their matches begin with) by search.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{pattern::Pattern, prefixes::PrefixIndex};

/// Which paths some policies are for.
#[derive(Clone, Debug)]
pub(super) enum PathKey {
    /// This one.
    Exact(Vec<u8>),
    /// Those that begin so; with nothing all.
    Prefix(Vec<u8>),
    /// Those that match an expression.
    Pattern(Arc<Pattern>),
}

/// A policy at a place in the order in which policies are looked at.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its place; smaller wins.
    pub(super) rank: u32,
    /// Its index among the router's policies.
    pub(super) policy: u32,
    /// What the path must match.
    pub(super) pattern: Option<Arc<Pattern>>,
}

/// Entries by path.
#[derive(Debug)]
pub(super) struct PathIndex {
    /// Entries in order of rank.
    exact: HashMap<Box<[u8]>, Vec<Entry>>,
    /// Entries in order of rank.
    prefixes: PrefixIndex<Vec<Entry>>,
    first_rank: u32,
}

impl PathIndex {
    pub(super) fn new(entries: impl IntoIterator<Item = (PathKey, Entry)>) -> Self {
        let mut exact: HashMap<Box<[u8]>, Vec<Entry>> = HashMap::new();
        let mut prefixes: BTreeMap<Vec<u8>, Vec<Entry>> = BTreeMap::new();
        let mut first_rank = u32::MAX;
        for (key, entry) in entries {
            first_rank = first_rank.min(entry.rank);
            match key {
                PathKey::Exact(path) => exact.entry(path.into()).or_default().push(entry),
                PathKey::Prefix(prefix) => prefixes.entry(prefix).or_default().push(entry),
                PathKey::Pattern(pattern) => {
                    for prefix in &pattern.prefixes {
                        let entry = Entry { pattern: Some(Arc::clone(&pattern)), ..entry };
                        prefixes.entry(prefix.clone()).or_default().push(entry);
                    }
                }
            }
        }
        exact
            .values_mut()
            .chain(prefixes.values_mut())
            .for_each(|entries| entries.sort_by_key(|entry| entry.rank));
        Self { exact, prefixes: PrefixIndex::new(prefixes), first_rank }
    }

    /// The smallest rank of its entries.
    pub(super) fn first_rank(&self) -> u32 {
        self.first_rank
    }

    /// The entry of the smallest rank below `bound` whose path fits and for which `holds` says yes.
    pub(super) fn find(
        &self,
        path: &[u8],
        mut bound: u32,
        mut holds: impl FnMut(&Entry) -> bool,
    ) -> Option<&Entry> {
        let mut found = None;
        let exact = if self.exact.is_empty() { None } else { self.exact.get(path) };
        for entries in exact.into_iter().chain(self.prefixes.of(path)) {
            let better = entries.iter().take_while(|entry| entry.rank < bound);
            let mut fitting = better.filter(|entry| {
                entry.pattern.as_ref().is_none_or(|pattern| pattern.matches(path)) && holds(entry)
            });
            if let Some(entry) = fitting.next() {
                bound = entry.rank;
                found = Some(entry);
            }
        }
        found
    }
}
