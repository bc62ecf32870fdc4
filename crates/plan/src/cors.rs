//! Which origins may read answers across origins (behaviour/forwarding.md, Extras; the Fetch standard).

use model::policy::Cors;
use serde::Serialize;

/// Cross-origin sharing, ready for use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CorsPlan {
    /// Who may read.
    pub origins: Origins,
    /// The value of `Access-Control-Allow-Methods`.
    pub allow_methods: String,
    /// The value of `Access-Control-Allow-Headers`.
    pub allow_headers: String,
    /// The value of `Access-Control-Expose-Headers`; empty: not written.
    pub expose_headers: String,
    /// Whether cookies may be sent.
    pub allow_credentials: bool,
    /// Seconds that a preflight's answer may be kept; -1: not at all.
    pub max_age: i32,
}

/// A set of origins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origins {
    /// Every origin.
    Any,
    /// These, in lower case; `*` stands for one label (`https://*.example.com:8443`).
    Listed(Vec<String>),
}

impl CorsPlan {
    pub(crate) fn compile(cors: &Cors) -> Self {
        let origins = if cors.allow_origin.iter().any(|origin| origin == "*") {
            Origins::Any
        } else {
            Origins::Listed(cors.allow_origin.iter().map(|origin| origin.to_ascii_lowercase()).collect())
        };
        Self {
            origins,
            allow_methods: cors.allow_methods.join(", "),
            allow_headers: cors.allow_headers.join(", "),
            expose_headers: cors.expose_headers.join(", "),
            allow_credentials: cors.allow_credentials,
            max_age: cors.max_age,
        }
    }
}

impl Origins {
    /// Whether an `Origin` header's value is one of them. Schemes and hosts have no case.
    pub fn contains(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(listed) => listed.iter().any(|pattern| fits(pattern.as_bytes(), origin)),
        }
    }
}

/// Whether an origin fits a pattern in lower case, in which one `*` stands for one label.
fn fits(pattern: &[u8], origin: &[u8]) -> bool {
    let Some(star) = pattern.iter().position(|&byte| byte == b'*') else {
        return pattern.eq_ignore_ascii_case(origin);
    };
    let (before, after) = (&pattern[..star], &pattern[star + 1..]);
    let Some(label) = origin.len().checked_sub(before.len() + after.len()).filter(|&length| length > 0)
    else {
        return false;
    };
    let (head, rest) = origin.split_at(before.len());
    let (label, tail) = rest.split_at(label);
    head.eq_ignore_ascii_case(before)
        && tail.eq_ignore_ascii_case(after)
        && label
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || byte >= 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(origins: &[&str]) -> Origins {
        let cors = Cors {
            allow_origin: origins.iter().map(|&origin| origin.to_owned()).collect(),
            allow_methods: vec!["GET".to_owned(), "POST".to_owned()],
            allow_headers: Vec::new(),
            expose_headers: Vec::new(),
            allow_credentials: false,
            max_age: 60,
        };
        CorsPlan::compile(&cors).origins
    }

    #[test]
    fn an_origin_is_listed_wholly_or_by_one_wild_label() {
        let origins = listed(&["https://www.example.com", "http://*.Example.org:8080"]);
        for (why, origin, expect) in [
            ("listed", "https://www.example.com", true),
            ("no case", "HTTPS://WWW.example.COM", true),
            ("another scheme", "http://www.example.com", false),
            ("another port", "https://www.example.com:444", false),
            ("a name that goes on", "https://www.example.com.evil.net", false),
            ("a label", "http://a.example.org:8080", true),
            ("two labels", "http://a.b.example.org:8080", false),
            ("no label", "http://.example.org:8080", false),
            ("no label and no dot", "http://example.org:8080", false),
            ("the port of a wild name", "http://a.example.org", false),
            ("what is no label", "http://evil.net/a.example.org:8080", false),
            ("an opaque origin", "null", false),
            ("nothing", "", false),
        ] {
            assert_eq!(origins.contains(origin.as_bytes()), expect, "{why}");
        }
    }

    #[test]
    fn a_star_alone_is_everybody() {
        assert!(listed(&["https://a.example.com", "*"]).contains(b"null"));
        assert!(!listed(&[]).contains(b"https://a.example.com"));
    }
}
