//! Texts with variables: what redirects and rewrites are made from (behaviour/forwarding.md, Actions and Extras).
//!
//! `${protocol}`, `${host}`, `${port}`, `${path}` and `${query}` stand for those of the request; `$1` to `$9` for what the groups
//! of the path's regular expression captured. Everything else, also a variable that does not exist, is text and stays.
//! What comes out was in the request or in the template: whoever writes it into a header checks that it fits there.

use std::{fmt, ops::Range};

use serde::{Serialize, Serializer};

/// A text with variables, parsed once.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Variable(Variable),
    /// 1 to 9.
    Capture(u8),
}

/// A part of the request that a template can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    Protocol,
    Host,
    Port,
    Path,
    Query,
}

impl Variable {
    const ALL: [Self; 5] = [Self::Protocol, Self::Host, Self::Port, Self::Path, Self::Query];

    const fn written(self) -> &'static str {
        match self {
            Self::Protocol => "${protocol}",
            Self::Host => "${host}",
            Self::Port => "${port}",
            Self::Path => "${path}",
            Self::Query => "${query}",
        }
    }
}

/// What a template's variables stand for in one request.
#[derive(Clone, Copy, Debug)]
pub struct TemplateValues<'a> {
    /// `http` or `https`, as the listener speaks.
    pub protocol: &'a str,
    /// The request's host without port.
    pub host: &'a [u8],
    /// The listener's port.
    pub port: u16,
    /// The path without query; captures are parts of it.
    pub path: &'a [u8],
    /// The query without its question mark; empty: none.
    pub query: &'a [u8],
    /// What the path's regular expression captured.
    pub captures: &'a Captures,
}

impl Template {
    /// Reads a text. `captures`: whether there is a regular expression whose groups `$1` to `$9` name; else they are text.
    pub fn parse(text: &str, captures: bool) -> Self {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            plain.push_str(&rest[..at]);
            rest = &rest[at..];
            let digit = rest.as_bytes().get(1).filter(|byte| captures && (b'1'..=b'9').contains(byte));
            let variable = Variable::ALL.into_iter().find(|variable| rest.starts_with(variable.written()));
            let (piece, length) = match (variable, digit) {
                (Some(variable), _) => (Piece::Variable(variable), variable.written().len()),
                (None, Some(digit)) => (Piece::Capture(digit - b'0'), 2),
                (None, None) => {
                    plain.push('$');
                    rest = &rest[1..];
                    continue;
                }
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain).into()));
            }
            pieces.push(piece);
            rest = &rest[length..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain.into()));
        }
        Self { pieces }
    }

    /// Appends the text with its variables replaced.
    pub fn expand(&self, values: &TemplateValues<'_>, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Variable(Variable::Protocol) => out.extend_from_slice(values.protocol.as_bytes()),
                Piece::Variable(Variable::Host) => out.extend_from_slice(values.host),
                Piece::Variable(Variable::Port) => out.extend_from_slice(values.port.to_string().as_bytes()),
                Piece::Variable(Variable::Path) => out.extend_from_slice(values.path),
                Piece::Variable(Variable::Query) => out.extend_from_slice(values.query),
                Piece::Capture(group) => out.extend_from_slice(values.captures.get(*group, values.path)),
            }
        }
    }

    /// Whether it names a group of a regular expression.
    pub fn uses_captures(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Capture(_)))
    }

    /// Whether it is nothing but the request's own host.
    pub fn is_host(&self) -> bool {
        self.is_only(Variable::Host)
    }

    /// Whether it is nothing but the request's own path.
    pub fn is_path(&self) -> bool {
        self.is_only(Variable::Path)
    }

    /// Whether it is nothing but the request's own query.
    pub fn is_query(&self) -> bool {
        self.is_only(Variable::Query)
    }

    fn is_only(&self, variable: Variable) -> bool {
        matches!(self.pieces[..], [Piece::Variable(only)] if only == variable)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Variable(variable) => f.write_str(variable.written()),
            Piece::Capture(group) => write!(f, "${group}"),
        })
    }
}
impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({self})")
    }
}
impl Serialize for Template {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// Where the groups of a path's regular expression matched; nowhere, when none is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captures {
    /// Of group 1 to 9; an empty span stands for a group that took no part.
    spans: [(u32, u32); 9],
}

impl Captures {
    /// The part of the path that a group (1–9) took; empty for one that took none.
    pub fn get<'p>(&self, group: u8, path: &'p [u8]) -> &'p [u8] {
        let span = usize::from(group).checked_sub(1).and_then(|group| self.spans.get(group));
        span.and_then(|&(from, to)| path.get(from as usize..to as usize)).unwrap_or_default()
    }

    /// Remembers what a group (1–9) took; others are not kept.
    pub(crate) fn set(&mut self, group: usize, span: Range<usize>) {
        if let (Some(slot), Ok(from), Ok(to)) = (
            group.checked_sub(1).and_then(|group| self.spans.get_mut(group)),
            u32::try_from(span.start),
            u32::try_from(span.end),
        ) {
            *slot = (from, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(template: &str, captures: bool, query: &str) -> String {
        let mut groups = Captures::default();
        groups.set(1, 1..4);
        groups.set(9, 4..9);
        let values = TemplateValues {
            protocol: "https",
            host: b"www.example.com",
            port: 8443,
            path: b"/old/page",
            query: query.as_bytes(),
            captures: &groups,
        };
        let mut out = Vec::new();
        Template::parse(template, captures).expand(&values, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn variables_are_replaced_and_all_else_stays() {
        for (why, template, expect) in [
            ("no variable", "/plain", "/plain"),
            ("nothing", "", ""),
            (
                "each variable",
                "${protocol}|${host}|${port}|${path}|${query}",
                "https|www.example.com|8443|/old/page|a=1",
            ),
            ("text around", "/new${path}.html", "/new/old/page.html"),
            ("twice", "${host}${host}", "www.example.comwww.example.com"),
            ("groups", "/$1/x$9", "/old/x/page"),
            ("a group that took no part", "/$2/", "//"),
            ("no group 0", "$0", "$0"),
            ("a digit after a group is text", "$12", "old2"),
            ("an unknown variable is text", "${Host}${hosts}${", "${Host}${hosts}${"),
            ("a lone dollar", "a$", "a$"),
            ("a dollar before a variable", "$${host}", "$www.example.com"),
        ] {
            assert_eq!(expand(template, true, "a=1"), expect, "{why}");
        }
        assert_eq!(expand("/$1", false, ""), "/$1", "without a regular expression a group is text");
    }

    #[test]
    fn a_template_is_written_as_it_was_read() {
        for text in ["", "/a", "${protocol}://${host}:${port}${path}?${query}&x=$1", "$", "$$1", "${x}"] {
            assert_eq!(Template::parse(text, true).to_string(), text);
        }
    }

    #[test]
    fn groups_beyond_the_ninth_or_beyond_the_path_are_empty() {
        let mut captures = Captures::default();
        captures.set(0, 0..3);
        captures.set(10, 0..3);
        captures.set(2, 2..30);
        for group in [0, 1, 2, 10, 255] {
            assert_eq!(captures.get(group, b"/path"), b"", "group {group}");
        }
    }
}
