//! Finds which of many texts another text begins with.
//!
//! The keys are kept in order, each with the longest other key that it begins with. Every key that a text begins with is the
//! greatest key not above the text, or one that this key begins with: so one binary search and a walk up that chain finds all.
//!
//! Most of the search is done on numbers that lie side by side: the eight bytes of each key behind what all keys begin with. Keys
//! that all others begin with (such as `/`) are kept apart, so that they do not shorten that.

/// Values by key; looked up by texts that begin with keys.
#[derive(Debug)]
pub(super) struct PrefixIndex<T> {
    /// Keys that all later keys begin with, the shortest first.
    roots: Vec<(Box<[u8]>, T)>,
    /// What all `keys` begin with.
    common: Box<[u8]>,
    /// The [`head`] of each key behind `common`.
    heads: Vec<u64>,
    keys: Vec<Key>,
    /// All keys, one behind the other.
    text: Vec<u8>,
    values: Vec<T>,
}

#[derive(Debug)]
struct Key {
    start: u32,
    length: u32,
    /// The longest other key that it begins with; [`NO_PARENT`]: none but roots.
    parent: u32,
}

const NO_PARENT: u32 = u32::MAX;

impl<T> PrefixIndex<T> {
    /// From keys in rising order, each once.
    pub(super) fn new(rising: impl IntoIterator<Item = (Vec<u8>, T)>) -> Self {
        let mut rest: Vec<(Vec<u8>, T)> = rising.into_iter().collect();
        // In this order, what the first and the last begin with, all between begin with.
        let common = |keys: &[(Vec<u8>, T)]| match (keys.first(), keys.last()) {
            (Some((first, _)), Some((last, _))) => common_length(first, last),
            _ => 0,
        };
        let roots = (0..rest.len()).take_while(|&at| rest[at].0.len() == common(&rest[at..])).count();
        let mut index = Self {
            roots: rest.drain(..roots).map(|(key, value)| (key.into(), value)).collect(),
            common: rest.first().map(|(key, _)| key[..common(&rest)].into()).unwrap_or_default(),
            heads: Vec::with_capacity(rest.len()),
            keys: Vec::with_capacity(rest.len()),
            text: Vec::new(),
            values: Vec::with_capacity(rest.len()),
        };
        let mut chain: Vec<u32> = Vec::new();
        for (key, value) in rest {
            let at =
                (u32::try_from(index.text.len()), u32::try_from(key.len()), u32::try_from(index.keys.len()));
            // Four thousand million bytes of keys are far above every quota.
            let (Ok(start), Ok(length), Ok(at)) = at else { break };
            while let Some(&last) = chain.last()
                && !key.starts_with(slice(&index.text, &index.keys[last as usize]))
            {
                chain.pop();
            }
            index.keys.push(Key { start, length, parent: chain.last().copied().unwrap_or(NO_PARENT) });
            chain.push(at);
            index.heads.push(head(&key[index.common.len()..]));
            index.text.extend_from_slice(&key);
            index.values.push(value);
        }
        index
    }

    /// The values of all keys that `subject` begins with, the longest first.
    pub(super) fn of<'s, 't>(&'s self, subject: &'t [u8]) -> impl Iterator<Item = &'s T> + use<'s, 't, T> {
        let mut at = self.greatest_not_above(subject);
        let shared = at.map_or(0, |at| common_length(slice(&self.text, &self.keys[at]), subject));
        let below = std::iter::from_fn(move || {
            while let Some(index) = at {
                let key = &self.keys[index];
                at = Some(key.parent).filter(|&parent| parent != NO_PARENT).map(|parent| parent as usize);
                if key.length as usize <= shared {
                    return Some(&self.values[index]);
                }
            }
            None
        });
        let roots =
            self.roots.iter().rev().filter(|(key, _)| subject.starts_with(key)).map(|(_, value)| value);
        below.chain(roots)
    }

    /// None also when the subject begins with no key.
    fn greatest_not_above(&self, subject: &[u8]) -> Option<usize> {
        let number = head(subject.strip_prefix(&*self.common)?);
        // A smaller text never has a greater head.
        let first = self.heads.partition_point(|&head| head < number);
        let alike = self.heads[first..].partition_point(|&head| head == number);
        let keys = &self.keys[first..first + alike];
        (first + keys.partition_point(|key| slice(&self.text, key) <= subject)).checked_sub(1)
    }
}

/// The first eight bytes as a number that is ordered as they are; zeros stand for what is not there.
fn head(text: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = text.len().min(8);
    bytes[..length].copy_from_slice(&text[..length]);
    u64::from_be_bytes(bytes)
}

fn slice<'t>(text: &'t [u8], key: &Key) -> &'t [u8] {
    &text[key.start as usize..][..key.length as usize]
}

fn common_length(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_keys_that_a_text_begins_with_are_found_the_longest_first() {
        let keys = ["", "/", "/a", "/a/b", "/ab", "/b/c/d"];
        let index = PrefixIndex::new(keys.map(|key| (key.as_bytes().to_vec(), key)));
        for (subject, expect) in [
            ("/a/b/c", &["/a/b", "/a", "/", ""][..]),
            ("/abc", &["/ab", "/a", "/", ""]),
            ("/b/c", &["/", ""]),
            ("/a", &["/a", "/", ""]),
            ("", &[""]),
            ("x", &[""]),
        ] {
            assert_eq!(index.of(subject.as_bytes()).copied().collect::<Vec<_>>(), expect, "{subject}");
        }
        assert!(PrefixIndex::<u8>::new([]).of(b"/").next().is_none());
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_a_look_at_every_key_finds(
            keys in prop::collection::btree_set("[ab\\x00]{0,3}(bbbbbbb)?[ab\\x00]{0,3}", 0..20),
            subject in "[abc\\x00]{0,3}(bbbbbbb)?[ab\\x00]{0,5}",
        ) {
            let map: BTreeMap<Vec<u8>, String> = keys.iter().map(|key| (key.clone().into_bytes(), key.clone())).collect();
            let index = PrefixIndex::new(map);
            let found: Vec<&String> = index.of(subject.as_bytes()).collect();
            let mut expect: Vec<&String> = keys.iter().filter(|key| subject.starts_with(key.as_str())).collect();
            expect.sort_by_key(|key| std::cmp::Reverse(key.len()));
            prop_assert_eq!(found, expect);
        }
    }
}
