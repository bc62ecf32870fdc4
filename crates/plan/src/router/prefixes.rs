//! Finds which of many texts another text begins with.
//!
//! The keys are kept in order, each with the longest other key that it begins with. Every key that a text begins with is the
//! greatest key not above the text, or one that this key begins with: so one binary search and a walk up that chain finds all.

/// Values by key; looked up by texts that begin with keys.
#[derive(Debug)]
pub(super) struct PrefixIndex<T> {
    keys: Vec<Key>,
    /// All keys, one behind the other.
    text: Vec<u8>,
    values: Vec<T>,
}

#[derive(Debug)]
struct Key {
    start: u32,
    length: u32,
    /// The longest other key that it begins with; [`NO_PARENT`]: none.
    parent: u32,
}

const NO_PARENT: u32 = u32::MAX;

impl<T> PrefixIndex<T> {
    /// From keys in rising order, each once.
    pub(super) fn new(rising: impl IntoIterator<Item = (Vec<u8>, T)>) -> Self {
        let (mut keys, mut text, mut values) = (Vec::<Key>::new(), Vec::new(), Vec::new());
        let mut chain: Vec<u32> = Vec::new();
        for (key, value) in rising {
            // Four thousand million bytes of keys are far above every quota.
            let (Ok(start), Ok(at)) = (u32::try_from(text.len()), u32::try_from(keys.len())) else { break };
            let Ok(length) = u32::try_from(key.len()) else { continue };
            while let Some(&last) = chain.last()
                && !key.starts_with(slice(&text, &keys[last as usize]))
            {
                chain.pop();
            }
            keys.push(Key { start, length, parent: chain.last().copied().unwrap_or(NO_PARENT) });
            chain.push(at);
            text.extend_from_slice(&key);
            values.push(value);
        }
        Self { keys, text, values }
    }

    /// The values of all keys that `subject` begins with, the longest first.
    pub(super) fn of<'s>(&'s self, subject: &[u8]) -> impl Iterator<Item = &'s T> + use<'s, T> {
        let above = self.keys.partition_point(|key| slice(&self.text, key) <= subject);
        let mut at = above.checked_sub(1);
        let common = at.map_or(0, |at| common_length(slice(&self.text, &self.keys[at]), subject));
        std::iter::from_fn(move || {
            while let Some(index) = at {
                let key = &self.keys[index];
                at = Some(key.parent).filter(|&parent| parent != NO_PARENT).map(|parent| parent as usize);
                if key.length as usize <= common {
                    return Some(&self.values[index]);
                }
            }
            None
        })
    }
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
            keys in prop::collection::btree_set("[ab]{0,5}", 0..20),
            subject in "[abc]{0,8}",
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
