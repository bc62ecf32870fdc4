//! One rule of a policy, compiled: whether it holds for a request.

use std::{net::IpAddr, sync::Arc};

use model::{Compare, IpSpan, Rule, RuleSubject};

use super::{RequestView, glob, pattern::Pattern};

/// A rule that is not found by the index, and so is asked.
#[derive(Debug)]
pub(super) struct Condition {
    subject: Subject,
    /// One of them must hold.
    tests: Vec<Test>,
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Host,
    Path,
    Method,
    /// Its name in lower case.
    Header(String),
    Query(String),
    Cookie(String),
    Source,
}

#[derive(Debug)]
enum Test {
    Text(Box<[u8]>),
    Glob(Box<[u8]>),
    Prefix(Box<[u8]>),
    Pattern(Arc<Pattern>),
    Source(IpSpan),
}

impl Condition {
    /// `pattern` compiles a regular expression. A value that is malformed holds for no request.
    pub(super) fn compile(rule: &Rule, mut pattern: impl FnMut(&str) -> Option<Arc<Pattern>>) -> Self {
        let key = rule.key().unwrap_or_default();
        let subject = match rule.subject {
            RuleSubject::Host => Subject::Host,
            RuleSubject::Path => Subject::Path,
            RuleSubject::Method => Subject::Method,
            RuleSubject::Header => Subject::Header(key.to_ascii_lowercase()),
            RuleSubject::Query => Subject::Query(key.to_owned()),
            RuleSubject::Cookie => Subject::Cookie(key.to_owned()),
            RuleSubject::SourceIp => Subject::Source,
        };
        // `*` and `?` are legal in paths, and no wildcards there (open-questions.md row 32).
        let wild = match rule.subject {
            RuleSubject::Host | RuleSubject::Header | RuleSubject::Query | RuleSubject::Cookie => true,
            RuleSubject::Path | RuleSubject::Method | RuleSubject::SourceIp => false,
        };
        let test = |value: &str| {
            let bytes = || match rule.subject {
                RuleSubject::Host => value.to_ascii_lowercase().into_bytes().into(),
                _ => value.as_bytes().into(),
            };
            match (rule.subject, rule.compare) {
                (RuleSubject::SourceIp, _) => value.parse().ok().map(Test::Source),
                (_, Compare::Equal) if wild && glob::is_wild(value.as_bytes()) => Some(Test::Glob(bytes())),
                (_, Compare::Equal) => Some(Test::Text(bytes())),
                (_, Compare::Prefix) => Some(Test::Prefix(bytes())),
                (_, Compare::Regex) => pattern(value).map(Test::Pattern),
            }
        };
        Self { subject, tests: rule.values().filter_map(test).collect() }
    }

    /// `host`: the request's, in lower case and without port.
    pub(super) fn holds(&self, request: &RequestView<'_>, host: &[u8]) -> bool {
        match &self.subject {
            Subject::Source => {
                let source = request.source.to_canonical();
                self.tests.iter().any(|test| test.has(source))
            }
            subject => subject.any(request, host, &mut |text| self.tests.iter().any(|test| test.fits(text))),
        }
    }

    pub(super) fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The values, one of which the subject must have; none: it is compared in other ways, too.
    pub(super) fn texts(&self) -> Option<impl Iterator<Item = &[u8]>> {
        let text = |test: &'_ Test| matches!(test, Test::Text(_));
        let texts = self.tests.iter().filter_map(|test| match test {
            Test::Text(text) => Some(&**text),
            Test::Glob(_) | Test::Prefix(_) | Test::Pattern(_) | Test::Source(_) => None,
        });
        self.tests.iter().all(text).then_some(texts)
    }
}

impl Subject {
    /// Whether one of its values in a request passes a test; a source has none.
    pub(super) fn any(
        &self,
        request: &RequestView<'_>,
        host: &[u8],
        test: &mut dyn FnMut(&[u8]) -> bool,
    ) -> bool {
        match self {
            Self::Host => test(host),
            Self::Path => test(request.path),
            Self::Method => test(request.method),
            Self::Header(name) => request.headers.any(name, test),
            Self::Query(key) => {
                pairs(request.query, b'&').any(|(name, value)| name == key.as_bytes() && test(value))
            }
            Self::Cookie(key) => request.headers.any("cookie", &mut |cookies| {
                pairs(cookies, b';')
                    .any(|(name, value)| name.trim_ascii() == key.as_bytes() && test(value.trim_ascii()))
            }),
            Self::Source => false,
        }
    }
}

impl Test {
    fn fits(&self, text: &[u8]) -> bool {
        match self {
            Self::Text(value) => **value == *text,
            Self::Glob(value) => glob::fits(value, text),
            Self::Prefix(value) => text.starts_with(value),
            Self::Pattern(pattern) => pattern.matches(text),
            Self::Source(_) => false,
        }
    }

    fn has(&self, source: IpAddr) -> bool {
        match self {
            Self::Source(span) => {
                span.first().is_ipv4() == source.is_ipv4() && span.first() <= source && source <= span.last()
            }
            Self::Text(_) | Self::Glob(_) | Self::Prefix(_) | Self::Pattern(_) => false,
        }
    }
}

/// `name=value` pairs; one without `=` has an empty value. As they came: nothing is decoded.
fn pairs(text: &[u8], between: u8) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split(move |&byte| byte == between).filter(|pair| !pair.is_empty()).map(|pair| {
        let equals = pair.iter().position(|&byte| byte == b'=');
        equals.map_or((pair, &[][..]), |at| (&pair[..at], &pair[at + 1..]))
    })
}
