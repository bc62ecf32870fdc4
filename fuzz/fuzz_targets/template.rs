//! The first line is a template, then come host, path and query, one a line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use template::{Captures, Template, TemplateValues};

// The one file in place of the crate `plan`: that takes a minute more to build.
#[allow(dead_code)]
#[path = "../../crates/plan/src/template.rs"]
mod template;

fuzz_target!(|input: &str| {
    let mut lines = input.split('\n');
    let text = lines.next().unwrap_or_default();
    let [host, path, query] = [0; 3].map(|_| lines.next().unwrap_or_default());
    // What an expression could have captured; a span beyond the path is nothing.
    let spans = [(1, 0..path.len() / 2), (2, path.len() / 2..path.len()), (9, 1..path.len() + 1)];
    let mut captured = Captures::default();
    spans.iter().for_each(|(group, span)| captured.set(*group, span.clone()));
    for captures in [false, true] {
        let template = Template::parse(text, captures);
        assert_eq!(template.to_string(), text, "it is written as it was read");
        let values = TemplateValues {
            protocol: "https",
            host: host.as_bytes(),
            port: 8443,
            path: path.as_bytes(),
            query: query.as_bytes(),
            captures: &captured,
        };
        let mut out = b"x".to_vec();
        template.expand(&values, &mut out);
        let mut words: Vec<(String, &[u8])> =
            [("protocol", "https"), ("host", host), ("port", "8443"), ("path", path), ("query", query)]
                .map(|(name, value)| (format!("${{{name}}}"), value.as_bytes()))
                .to_vec();
        if captures {
            words.extend((1..=9).map(|group| {
                let span = spans.iter().find(|(there, _)| *there == group).map(|(_, span)| span.clone());
                (format!("${group}"), path.as_bytes().get(span.unwrap_or(0..0)).unwrap_or_default())
            }));
        }
        assert_eq!(out[1..], expand(text, &words));
    }
});

/// The same from left to right, a character at a time.
fn expand(text: &str, words: &[(String, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = words.iter().find(|(written, _)| rest.starts_with(written));
        let length = word.map_or(first.len_utf8(), |(written, _)| written.len());
        out.extend_from_slice(word.map_or(&rest.as_bytes()[..length], |(_, value)| value));
        rest = &rest[length..];
    }
    out
}
