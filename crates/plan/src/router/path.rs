//! Policies of one host by path: exact paths by hash, prefixes and expressions (by what their matches begin with) by search.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    candidates::{Asked, Candidates, Entry},
    condition::Condition,
    pattern::Pattern,
    prefixes::PrefixIndex,
};

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

/// Entries by path.
#[derive(Debug)]
pub(super) struct PathIndex {
    exact: HashMap<Box<[u8]>, Candidates>,
    prefixes: PrefixIndex<Candidates>,
    first_rank: u32,
}

impl PathIndex {
    pub(super) fn new(
        entries: impl IntoIterator<Item = (PathKey, Entry)>,
        conditions: &[Vec<Condition>],
    ) -> Self {
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
        let candidates = |entries| Candidates::new(entries, conditions);
        Self {
            exact: exact.into_iter().map(|(path, entries)| (path, candidates(entries))).collect(),
            prefixes: PrefixIndex::new(
                prefixes.into_iter().map(|(prefix, entries)| (prefix, candidates(entries))),
            ),
            first_rank,
        }
    }

    /// The smallest rank of its entries.
    pub(super) fn first_rank(&self) -> u32 {
        self.first_rank
    }

    /// The entry of the smallest rank below `bound` that the request meets.
    pub(super) fn find(&self, mut bound: u32, asked: &Asked<'_>) -> Option<&Entry> {
        let path = asked.request.path;
        let mut found = None;
        let exact = if self.exact.is_empty() { None } else { self.exact.get(path) };
        for candidates in exact.into_iter().chain(self.prefixes.of(path)) {
            if let Some(better) = candidates.find(bound, asked) {
                bound = better.rank;
                found = Some(better);
            }
        }
        found
    }
}
