//! How the members of an HTTPS pool are verified.
//!
//! Without it TLS towards members hides what is said and proves nobody's identity. What a pool may say more one day has its place
//! here: lists of revoked certificates, versions and suites (openstack/octavia-v2.md, pools: `crl_container_ref`, `tls_versions`,
//! `tls_ciphers`; what is here is its `ca_tls_container_ref`).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::CertificateId;

/// How members prove who they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberTls {
    /// The certificate of kind [`crate::CertificateKind::ClientCa`] to one of whose authorities a member's chain must lead.
    pub authority: CertificateId,
    /// The name that members' certificates must hold, and that members are told (SNI); none: each holds its member's address, and
    /// nothing is told.
    pub server_name: Option<ServerName>,
}

/// The name of a host as certificates hold it: at most 253 characters in labels of 1 to 63 letters, digits, `-` and `_`; no wildcard,
/// no final dot, and no address (RFC 6125 section 1.5). In lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerName(String);

/// A text that is no name of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be the name of a host: at most 253 letters, digits, '-', '_' and dots, no wildcard and no address; for members that are \
     known by their addresses leave it null"
)]
pub struct NoServerName;

impl ServerName {
    /// Most characters.
    pub const MAX: usize = 253;

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ServerName {
    type Error = NoServerName;
    fn try_from(text: String) -> Result<Self, NoServerName> {
        let lawful = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let is_address = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if text.len() > Self::MAX || is_address || !text.split('.').all(lawful) {
            return Err(NoServerName);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl TryFrom<&str> for ServerName {
    type Error = NoServerName;
    fn try_from(text: &str) -> Result<Self, NoServerName> {
        text.to_owned().try_into()
    }
}

impl From<ServerName> for String {
    fn from(name: ServerName) -> Self {
        name.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_name_is_a_host_and_nothing_else() {
        let long = |length: usize| format!("{}.a", "a.".repeat(length / 2 - 1));
        for (why, text, expect) in [
            ("a name", "api.example.com", Some("api.example.com")),
            ("case does not matter", "API.Example.com", Some("api.example.com")),
            ("one label", "backend", Some("backend")),
            ("an underscore and digits", "_a.4.b2", Some("_a.4.b2")),
            ("a long label", &format!("{}.a", "a".repeat(63)), Some(&*format!("{}.a", "a".repeat(63)))),
            ("a label too long", &"a".repeat(64), None),
            (
                "253 characters",
                &format!("{}aa", "a.".repeat(125) + "a"),
                Some(&*format!("{}aa", "a.".repeat(125) + "a")),
            ),
            ("more", &long(256), None),
            ("empty", "", None),
            ("a wildcard", "*.example.com", None),
            ("a final dot", "example.com.", None),
            ("an empty label", "a..b", None),
            ("a hyphen in front", "-a.b", None),
            ("a hyphen at the end", "a.b-", None),
            ("an address", "127.0.0.1", None),
            ("an address of version 6", "::1", None),
            ("a port", "a:443", None),
            ("a space", "a b", None),
            ("letters that are not ASCII", "bücher.example", None),
        ] {
            let name = ServerName::try_from(text);
            assert_eq!(name.as_ref().map(ServerName::as_str).ok(), expect, "{why}");
        }
    }
}
