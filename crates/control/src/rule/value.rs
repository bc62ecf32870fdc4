//! What the values of rules may be (behaviour/forwarding.md, Conditions).

use ipnet::IpNet;
use model::{Compare, Rule, RuleSubject};
use regex::RegexBuilder;

use crate::{Error, policy::needs_enhanced};

/// Whether key and values fit what the rule looks at. `enhanced`: the wide set of conditions is on.
pub(super) fn check(rule: &Rule, enhanced: bool) -> Result<(), Error> {
    let simple = matches!(rule.subject, RuleSubject::Host | RuleSubject::Path);
    if !simple && !enhanced {
        return Err(needs_enhanced("type"));
    }
    if !rule.conditions.is_empty() && !enhanced {
        return Err(needs_enhanced("conditions"));
    }
    let compares: &[Compare] = match rule.subject {
        RuleSubject::Path => &[Compare::Equal, Compare::Prefix, Compare::Regex],
        RuleSubject::Host if enhanced => &[Compare::Equal, Compare::Regex],
        RuleSubject::Host
        | RuleSubject::Method
        | RuleSubject::Header
        | RuleSubject::Query
        | RuleSubject::SourceIp
        | RuleSubject::Cookie => &[Compare::Equal],
    };
    if !compares.contains(&rule.compare) {
        let reason = format!("a rule on {:?} compares by {compares:?}", rule.subject);
        return Err(Error::invalid("compare_type", reason));
    }
    check_conditions(rule)?;
    check_key(rule)?;
    // Beside conditions the value means nothing, but it is kept and shown.
    if rule.value.chars().count() > VALUE_MAX {
        return Err(Error::invalid("value", format!("has more than {VALUE_MAX} characters")));
    }
    let field = if rule.conditions.is_empty() { "value" } else { "conditions" };
    for value in rule.values() {
        check_value(rule.subject, rule.compare, value, enhanced).map_err(|reason| {
            let shown: String = value.chars().take(VALUE_MAX).collect();
            Error::invalid(field, format!("'{shown}' {reason}"))
        })?;
    }
    Ok(())
}

/// At most ten, with one key and distinct values.
fn check_conditions(rule: &Rule) -> Result<(), Error> {
    let conditions = &rule.conditions;
    if conditions.len() > CONDITIONS_MAX {
        return Err(Error::invalid("conditions", format!("at most {CONDITIONS_MAX} are allowed")));
    }
    for (n, condition) in conditions.iter().enumerate() {
        if condition.key != conditions[0].key {
            return Err(Error::invalid("conditions", "all of a rule must have the same key"));
        }
        if conditions[..n].iter().any(|other| other.value == condition.value) {
            return Err(Error::invalid(
                "conditions",
                format!("the value '{}' stands twice", condition.value),
            ));
        }
    }
    Ok(())
}

fn check_key(rule: &Rule) -> Result<(), Error> {
    let (max, fits): (usize, fn(&str) -> bool) = match rule.subject {
        RuleSubject::Host | RuleSubject::Path | RuleSubject::Method | RuleSubject::SourceIp => {
            return match rule.key() {
                None => Ok(()),
                Some(_) => Err(Error::invalid("key", format!("a rule on {:?} has none", rule.subject))),
            };
        }
        RuleSubject::Header => (HEADER_KEY_MAX, |key| {
            key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        }),
        RuleSubject::Query => (VALUE_MAX, |key| key.bytes().all(in_query)),
        // A token (RFC 6265 section 4.1.1, RFC 9110 section 5.6.2).
        RuleSubject::Cookie => (VALUE_MAX, |key| {
            key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
        }),
    };
    match rule.key() {
        Some(key) if (1..=max).contains(&key.chars().count()) && fits(key) => Ok(()),
        Some(_) => Err(Error::invalid(
            "key",
            format!("must have 1 to {max} characters of those that may stand there"),
        )),
        None => Err(Error::invalid("key", format!("a rule on {:?} needs one", rule.subject))),
    }
}

fn check_value(subject: RuleSubject, compare: Compare, value: &str, enhanced: bool) -> Result<(), String> {
    if !(1..=VALUE_MAX).contains(&value.chars().count()) {
        return Err(format!("must have 1 to {VALUE_MAX} characters"));
    }
    let all = |fits: fn(u8) -> bool, says: &str| {
        if value.bytes().all(fits) { Ok(()) } else { Err(says.to_owned()) }
    };
    match (subject, compare) {
        (RuleSubject::Host, Compare::Regex) => {
            all(in_host_regex, "holds characters that a host's expression may not")?;
            check_regex(value)
        }
        (RuleSubject::Host, Compare::Equal | Compare::Prefix) => check_host(value, enhanced),
        (RuleSubject::Path, Compare::Regex) => {
            all(in_path, "holds characters that a path may not")?;
            check_regex(value)
        }
        (RuleSubject::Path, Compare::Equal | Compare::Prefix) => {
            all(in_path, "holds characters that a path may not")?;
            if value.starts_with('/') { Ok(()) } else { Err("must begin with '/'".to_owned()) }
        }
        (RuleSubject::Method, _) => {
            if METHODS.contains(&value) {
                Ok(())
            } else {
                Err(format!("is none of {}", METHODS.join(", ")))
            }
        }
        (RuleSubject::Header, _) => {
            all(|byte| byte.is_ascii_graphic() && byte != b'"', "must be printable, without spaces or quotes")
        }
        (RuleSubject::Query, _) => all(in_query, "holds characters that a query parameter may not"),
        (RuleSubject::SourceIp, _) => match value.parse::<IpNet>() {
            Ok(_) => Ok(()),
            Err(_) => Err("is no network such as 192.0.2.0/24 or 2001:db8::/32".to_owned()),
        },
        // RFC 6265 section 4.1.1.
        (RuleSubject::Cookie, _) => all(
            |byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte),
            "must be printable, without spaces, quotes, commas, semicolons or backslashes",
        ),
    }
}

/// A name; with advanced forwarding `*` stands for any run of characters and `?` for one.
fn check_host(value: &str, enhanced: bool) -> Result<(), String> {
    let wildcard = |byte: u8| byte == b'*' || byte == b'?';
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte) || wildcard(byte);
    if !value.bytes().all(fits) {
        return Err("may hold letters, digits, '-', '_', '.', and the wildcards '*' and '?'".to_owned());
    }
    if !enhanced && value.bytes().any(wildcard) {
        return Err("has wildcards, which need enhance_l7policy_enable on the listener".to_owned());
    }
    if value.starts_with('.') || value.ends_with('.') || value.contains("..") {
        return Err("must not begin or end with a dot or have two in a row".to_owned());
    }
    if value.split('.').any(|label| label.len() > LABEL_MAX) {
        return Err(format!("has a label of more than {LABEL_MAX} characters"));
    }
    Ok(())
}

/// Expressions are matched in linear time, so what needs going back (look-around, back references) is none.
fn check_regex(value: &str) -> Result<(), String> {
    // Our own parentheses must not change what is compiled: `a)(b` is refused alone.
    let one = |text: &str| RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build();
    match one(value).and_then(|_| one(&format!("^(?:{value})$"))) {
        Ok(_) => Ok(()),
        Err(regex::Error::CompiledTooBig(_)) => {
            Err("is an expression that grows too large; use smaller counts".to_owned())
        }
        Err(_) => Err(
            "is no regular expression that can be matched in linear time (no look-around, no back references)"
                .to_owned(),
        ),
    }
}

fn in_host_regex(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || br".-?=~_+\^*!$&|()[]".contains(&byte)
}

fn in_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || br"_~';@^-%#&$.*+?,=!:|\/()[]{}".contains(&byte)
}

fn in_query(byte: u8) -> bool {
    byte.is_ascii_graphic() && !br##"[]{}<>\"#&|%~"##.contains(&byte)
}

/// Values of one rule.
const CONDITIONS_MAX: usize = 10;
/// Characters of a value.
const VALUE_MAX: usize = 128;
/// Characters of a host's label.
const LABEL_MAX: usize = 63;
/// Characters of a header's name.
const HEADER_KEY_MAX: usize = 40;
/// Methods that can be asked for.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];
/// Bytes of a compiled expression; far below what the matcher itself takes, as a listener may have a hundred.
const REGEX_BYTES_MAX: usize = 1 << 20;
