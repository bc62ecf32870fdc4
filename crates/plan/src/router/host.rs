//! Policies by host: exact hosts by hash, wildcards by what stands behind their last `*` or `?`, expressions one by one.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{glob, path::PathIndex, pattern::Pattern, prefixes::PrefixIndex};

/// Longest host that is looked at (RFC 1035 §2.3.4: 255); a longer one is no host of any rule.
pub(super) const HOST_BYTES_MAX: usize = 255;

/// Which hosts some policies are for.
#[derive(Clone, Debug)]
pub(super) enum HostKey {
    /// This one, in lower case.
    Exact(Vec<u8>),
    /// Those that fit a pattern, in lower case.
    Wild(Vec<u8>),
    /// Those that match an expression; with its text, as a name.
    Pattern(String, Arc<Pattern>),
    /// All.
    Any,
}

/// Patterns with one literal tail.
type Wilds = Vec<(Box<[u8]>, PathIndex)>;

/// Path indexes by host.
#[derive(Debug, Default)]
pub(super) struct HostIndex {
    exact: HashMap<Box<[u8]>, PathIndex>,
    /// By the reversed literal tail of the pattern.
    wild: Option<PrefixIndex<Wilds>>,
    patterns: Vec<(Arc<Pattern>, PathIndex)>,
    any: Option<PathIndex>,
}

impl HostIndex {
    /// Each key once, with what is found below it.
    pub(super) fn new(indexes: impl IntoIterator<Item = (HostKey, PathIndex)>) -> Self {
        let mut index = Self::default();
        let mut wild: BTreeMap<Vec<u8>, Wilds> = BTreeMap::new();
        for (key, paths) in indexes {
            match key {
                HostKey::Exact(host) => drop(index.exact.insert(host.into(), paths)),
                HostKey::Wild(pattern) => {
                    let tail = glob::literal_tail(&pattern).iter().rev().copied().collect();
                    wild.entry(tail).or_default().push((pattern.into(), paths));
                }
                HostKey::Pattern(_, pattern) => index.patterns.push((pattern, paths)),
                HostKey::Any => index.any = Some(paths),
            }
        }
        index.wild = (!wild.is_empty()).then(|| PrefixIndex::new(wild));
        // What can win goes first, so that the rest need not be tried.
        index.patterns.sort_by_key(|(_, paths)| paths.first_rank());
        index
    }

    /// Shows the path indexes of the keys that a host has. `see` answers with the best rank found so far: keys that have nothing
    /// better are passed over.
    pub(super) fn each<'i>(&'i self, host: &[u8], mut see: impl FnMut(&'i PathIndex) -> u32) {
        let mut best = u32::MAX;
        if let Some(paths) = self.exact.get(host) {
            best = see(paths);
        }
        if let Some(wild) = &self.wild {
            let mut buffer = [0; HOST_BYTES_MAX];
            let reversed = &mut buffer[..host.len().min(HOST_BYTES_MAX)];
            reversed.iter_mut().zip(host.iter().rev()).for_each(|(to, &byte)| *to = byte);
            for (pattern, paths) in wild.of(reversed).flatten() {
                if paths.first_rank() < best && glob::fits(pattern, host) {
                    best = see(paths);
                }
            }
        }
        for (pattern, paths) in &self.patterns {
            if paths.first_rank() >= best {
                break;
            }
            if pattern.matches(host) {
                best = see(paths);
            }
        }
        if let Some(paths) = self.any.as_ref().filter(|paths| paths.first_rank() < best) {
            see(paths);
        }
    }
}

/// A host as rules are compared with: in lower case, without port and final dot.
pub(super) fn normal<'b>(host: &[u8], buffer: &'b mut [u8; HOST_BYTES_MAX]) -> &'b [u8] {
    let end = match host.first() {
        // An IPv6 address; its colons are its own.
        Some(b'[') => host.iter().position(|&byte| byte == b']').map_or(host.len(), |at| at + 1),
        Some(_) | None => host.iter().position(|&byte| byte == b':').unwrap_or(host.len()),
    };
    let host = host[..end].strip_suffix(b".").unwrap_or(&host[..end]);
    let Some(lower) = buffer.get_mut(..host.len()) else { return &[] };
    lower.copy_from_slice(host);
    lower.make_ascii_lowercase();
    lower
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_compared_without_case_port_and_final_dot() {
        let long = "a".repeat(300);
        for (host, expect) in [
            ("www.example.com", "www.example.com"),
            ("WWW.Example.COM:8080", "www.example.com"),
            ("www.example.com.", "www.example.com"),
            ("www.example.com.:80", "www.example.com"),
            ("[2001:DB8::1]:443", "[2001:db8::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
            (long.as_str(), ""),
        ] {
            let mut buffer = [0; HOST_BYTES_MAX];
            assert_eq!(normal(host.as_bytes(), &mut buffer), expect.as_bytes(), "{host}");
        }
    }
}
