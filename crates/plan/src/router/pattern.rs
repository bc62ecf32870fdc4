//! Regular expressions of rules: compiled once, run in linear time, and always matched against the whole text
//! (behaviour/forwarding.md, the table of Conditions: `/elb` does not match `/elb/index.html`).

use std::{collections::HashMap, sync::Arc};

use model::RuleSubject;
use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::hir::literal::Extractor;

use crate::template::Captures;

/// Bytes that a compiled expression may take; one that would take more matches nothing, as one that is malformed. Four times what
/// `control` lets in: hosts grow by being compiled without regard to case.
pub const PATTERN_BYTES_MAX: usize = 1 << 22;
/// Bytes that a thread may keep to run one expression faster.
const CACHE_BYTES_MAX: usize = 1 << 18;

/// A regular expression that matches whole texts.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    /// Every text that matches begins with one of these; none begins with another.
    pub(super) prefixes: Vec<Vec<u8>>,
}

impl Pattern {
    /// None: it is malformed or too large, and matches nothing.
    fn new(text: &str, any_case: bool) -> Option<Self> {
        // By itself first: what is unbalanced might be balanced by what it is wrapped in.
        let syntax = regex_syntax::ParserBuilder::new()
            .utf8(false)
            .case_insensitive(any_case)
            .build()
            .parse(text)
            .ok()?;
        let regex = RegexBuilder::new(&format!(r"\A(?:{text})\z"))
            .case_insensitive(any_case)
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(CACHE_BYTES_MAX)
            .build()
            .ok()?;
        Some(Self { regex, prefixes: prefixes(&syntax) })
    }

    pub(super) fn matches(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// What groups 1 to 9 took.
    pub(super) fn captures(&self, text: &[u8]) -> Captures {
        let mut captures = Captures::default();
        if let Some(found) = self.regex.captures(text) {
            for group in 1..found.len().min(10) {
                if let Some(found) = found.get(group) {
                    captures.set(group, found.range());
                }
            }
        }
        captures
    }
}

fn prefixes(syntax: &regex_syntax::hir::Hir) -> Vec<Vec<u8>> {
    let sequence = Extractor::new().extract(syntax);
    let Some(literals) = sequence.literals() else { return vec![Vec::new()] };
    let mut prefixes: Vec<Vec<u8>> = literals.iter().map(|literal| literal.as_bytes().to_vec()).collect();
    prefixes.sort_unstable();
    prefixes.dedup_by(|longer, shorter| longer.starts_with(shorter));
    prefixes
}

/// The expressions of a router, each compiled once; those of the router before are taken over.
#[derive(Debug, Default)]
pub(super) struct Patterns(HashMap<(bool, String), Option<Arc<Pattern>>>);

impl Patterns {
    /// The expression of a rule; none: it matches nothing. Hosts have no case.
    pub(super) fn pattern(
        &mut self,
        subject: RuleSubject,
        text: &str,
        before: Option<&Self>,
    ) -> Option<Arc<Pattern>> {
        let any_case = subject == RuleSubject::Host;
        let key = (any_case, text.to_owned());
        if let Some(known) =
            self.0.get(&key).or_else(|| before.and_then(|before| before.0.get(&key))).cloned()
        {
            self.0.insert(key, known.clone());
            return known;
        }
        let made = Pattern::new(text, any_case).map(Arc::new);
        self.0.insert(key, made.clone());
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_matches_whole_texts_only() {
        for (text, subject, expect) in [
            (r"/elb[^\s]*", "/elb/index.html", true),
            ("/elb", "/elb/index.html", false),
            ("/index.html", "/elb/index.html", false),
            ("/a|/b", "/b", true),
            ("/a|/b", "/bc", false),
            ("/a|/b", "x/a", false),
            ("^/a$", "/a", true),
            ("(?i)/A", "/a", true),
        ] {
            assert_eq!(
                Pattern::new(text, false).unwrap().matches(subject.as_bytes()),
                expect,
                "{text} on {subject}"
            );
        }
    }

    #[test]
    fn what_is_malformed_or_too_large_is_none() {
        for text in ["(", "a)|(b", "[", r"(.{1000}){1000}", r"\1", "(?=a)"] {
            assert!(Pattern::new(text, false).is_none(), "{text}");
        }
    }

    #[test]
    fn the_texts_that_can_match_begin_with_the_prefixes() {
        for (text, any_case, expect) in [
            (r"/elb[^\s]*", false, &["/elb"][..]),
            ("/a/.*|/b/.*", false, &["/a/", "/b/"]),
            ("/a.*|/ab.*", false, &["/a"]),
            (".*", false, &[""]),
            (r"/v[12]/x\d+", false, &["/v1/x", "/v2/x"]),
            ("^/a$", false, &["/a"]),
            ("", false, &[""]),
        ] {
            let prefixes = Pattern::new(text, any_case).unwrap().prefixes;
            let expect: Vec<Vec<u8>> = expect.iter().map(|prefix| prefix.as_bytes().to_vec()).collect();
            let covered = |prefix: &Vec<u8>| expect.iter().any(|expect| prefix.starts_with(expect));
            assert!(prefixes.iter().all(covered), "{text}: {prefixes:?}");
        }
    }

    #[test]
    fn an_expression_that_can_match_nothing_has_no_prefix() {
        let pattern = Pattern::new(r"[a&&b]", false).unwrap();
        assert!(!pattern.matches(b"a"));
    }
}
