//! The policies of one host and path. Many of them are told apart by a value: of a header, a query parameter, a cookie, or by the
//! method. Then those that ask for the same one are found by hash of the request's value.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    RequestView,
    condition::{Condition, Subject},
    pattern::Pattern,
};

/// So few policies are asked one by one.
const FEW: usize = 4;

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

/// A request, and the conditions that it may meet.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) request: &'a RequestView<'a>,
    /// Its host in lower case, without port.
    pub(super) host: &'a [u8],
    /// The conditions of each of the router's policies.
    pub(super) conditions: &'a [Vec<Condition>],
}

impl Asked<'_> {
    fn meets(&self, entry: &Entry) -> bool {
        let mut conditions = self.conditions[entry.policy as usize].iter();
        entry.pattern.as_ref().is_none_or(|pattern| pattern.matches(self.request.path))
            && conditions.all(|condition| condition.holds(self.request, self.host))
    }
}

/// Entries of one host and path.
#[derive(Debug)]
pub(super) struct Candidates {
    /// In order of rank.
    one_by_one: Vec<Entry>,
    by_value: Vec<ByValue>,
}

/// Entries that ask for certain values of one subject.
#[derive(Debug)]
struct ByValue {
    subject: Subject,
    first_rank: u32,
    /// In order of rank.
    entries: HashMap<Box<[u8]>, Vec<Entry>>,
}

impl Candidates {
    pub(super) fn new(mut entries: Vec<Entry>, conditions: &[Vec<Condition>]) -> Self {
        entries.sort_by_key(|entry| entry.rank);
        if entries.len() <= FEW {
            return Self { one_by_one: entries, by_value: Vec::new() };
        }
        let mut one_by_one = Vec::new();
        let mut by_value: BTreeMap<&Subject, Vec<(&[u8], Entry)>> = BTreeMap::new();
        for entry in entries {
            let of_policy = &conditions[entry.policy as usize];
            match of_policy.iter().find_map(|condition| Some((condition.subject(), condition.texts()?))) {
                Some((subject, texts)) => {
                    let values = by_value.entry(subject).or_default();
                    values.extend(texts.map(|text| (text, entry.clone())));
                }
                None => one_by_one.push(entry),
            }
        }
        let by_value = by_value.into_iter().map(|(subject, values)| ByValue::new(subject.clone(), values));
        Self { one_by_one, by_value: by_value.collect() }
    }

    /// The entry of the smallest rank below `bound` that the request meets.
    pub(super) fn find(&self, mut bound: u32, asked: &Asked<'_>) -> Option<&Entry> {
        let mut found = first(&self.one_by_one, bound, asked);
        bound = found.map_or(bound, |found| found.rank);
        for by_value in &self.by_value {
            if by_value.first_rank >= bound {
                continue;
            }
            by_value.subject.any(asked.request, asked.host, &mut |value| {
                if let Some(better) =
                    by_value.entries.get(value).and_then(|entries| first(entries, bound, asked))
                {
                    bound = better.rank;
                    found = Some(better);
                }
                false
            });
        }
        found
    }
}

impl ByValue {
    fn new(subject: Subject, values: Vec<(&[u8], Entry)>) -> Self {
        let first_rank = values.iter().map(|(_, entry)| entry.rank).min().unwrap_or(u32::MAX);
        let mut entries: HashMap<Box<[u8]>, Vec<Entry>> = HashMap::new();
        for (value, entry) in values {
            entries.entry(value.into()).or_default().push(entry);
        }
        Self { subject, first_rank, entries }
    }
}

fn first<'e>(entries: &'e [Entry], bound: u32, asked: &Asked<'_>) -> Option<&'e Entry> {
    entries.iter().take_while(|entry| entry.rank < bound).find(|entry| asked.meets(entry))
}
