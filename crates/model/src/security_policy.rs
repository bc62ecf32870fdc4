//! TLS security policies: which versions and suites a listener agrees to. Those of the system have names; projects make their own.
//!
//! Suites are named as OpenSSL names them, in the server's order of preference (behaviour/tls.md).

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Description, Name, ProjectId, SecurityPolicyId, Timestamp};

/// A security policy of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityPolicy {
    /// Its id.
    pub id: SecurityPolicyId,
    /// The owning project.
    pub project: ProjectId,
    /// What people call it; need not be unique.
    pub name: Name,
    /// A remark.
    pub description: Description,
    /// The versions that it allows; never empty, each with a fitting suite.
    pub versions: Vec<TlsVersion>,
    /// The suites that it allows, best first; each fits a version.
    pub suites: Vec<CipherSuite>,
    /// A grouping over regions; none is written "0".
    pub enterprise_project: Option<Uuid>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed by a caller.
    pub updated_at: Timestamp,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.0.
    #[serde(rename = "TLSv1")]
    V10,
    /// TLS 1.1.
    #[serde(rename = "TLSv1.1")]
    V11,
    /// TLS 1.2.
    #[serde(rename = "TLSv1.2")]
    V12,
    /// TLS 1.3.
    #[serde(rename = "TLSv1.3")]
    V13,
}

impl TlsVersion {
    /// All of them, oldest first.
    pub const ALL: [Self; 4] = [Self::V10, Self::V11, Self::V12, Self::V13];
    /// As APIs and OpenSSL write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V10 => "TLSv1",
            Self::V11 => "TLSv1.1",
            Self::V12 => "TLSv1.2",
            Self::V13 => "TLSv1.3",
        }
    }
}
impl FromStr for TlsVersion {
    type Err = UnknownTls;
    fn from_str(text: &str) -> Result<Self, UnknownTls> {
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == text)
            .ok_or_else(|| UnknownTls(text.chars().take(64).collect()))
    }
}

/// A suite that a project's own policy may name, by OpenSSL's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CipherSuite(&'static str);

impl CipherSuite {
    /// All that may be named.
    pub const ALL: [Self; 28] = [
        Self("ECDHE-ECDSA-AES256-GCM-SHA384"),
        Self("ECDHE-ECDSA-AES128-GCM-SHA256"),
        Self("ECDHE-ECDSA-AES128-SHA256"),
        Self("ECDHE-ECDSA-AES256-SHA384"),
        Self("ECDHE-ECDSA-AES128-SHA"),
        Self("ECDHE-ECDSA-AES256-SHA"),
        Self("ECDHE-RSA-AES256-GCM-SHA384"),
        Self("ECDHE-RSA-AES128-GCM-SHA256"),
        Self("AES128-GCM-SHA256"),
        Self("AES256-GCM-SHA384"),
        Self("ECDHE-RSA-AES128-SHA256"),
        Self("AES128-SHA256"),
        Self("AES256-SHA256"),
        Self("ECDHE-RSA-AES256-SHA384"),
        Self("ECDHE-RSA-AES128-SHA"),
        Self("ECDHE-RSA-AES256-SHA"),
        Self("AES128-SHA"),
        Self("AES256-SHA"),
        Self("TLS_AES_128_GCM_SHA256"),
        Self("TLS_AES_256_GCM_SHA384"),
        Self("TLS_CHACHA20_POLY1305_SHA256"),
        Self("TLS_AES_128_CCM_SHA256"),
        Self("TLS_AES_128_CCM_8_SHA256"),
        Self("CAMELLIA128-SHA"),
        Self("CAMELLIA256-SHA"),
        Self("DES-CBC3-SHA"),
        Self("ECDHE-RSA-CHACHA20-POLY1305"),
        Self("ECDHE-ECDSA-CHACHA20-POLY1305"),
    ];
    /// OpenSSL's name.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
    /// Whether the suite can be used in that version.
    pub fn fits(self, version: TlsVersion) -> bool {
        let of_13 = self.0.starts_with("TLS_");
        // SHA-256, SHA-384, GCM and ChaCha20 suites came with TLS 1.2 (RFC 5246, 5288, 5289, 7905).
        let of_12_alone = ["SHA256", "SHA384", "POLY1305"].iter().any(|end| self.0.ends_with(end));
        match version {
            TlsVersion::V13 => of_13,
            TlsVersion::V12 => !of_13,
            TlsVersion::V10 | TlsVersion::V11 => !of_13 && !of_12_alone,
        }
    }
}
impl FromStr for CipherSuite {
    type Err = UnknownTls;
    fn from_str(text: &str) -> Result<Self, UnknownTls> {
        Self::ALL
            .into_iter()
            .find(|suite| suite.0 == text)
            .ok_or_else(|| UnknownTls(text.chars().take(64).collect()))
    }
}
impl Serialize for CipherSuite {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0)
    }
}
impl<'de> Deserialize<'de> for CipherSuite {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A word that names no TLS version, suite or system policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not known")]
pub struct UnknownTls(pub String);

macro_rules! system_policies {
    ($($(#[$doc:meta])* $variant:ident $name:literal [$($version:ident)+] $suites:literal;)+) => {
        /// The system's policies.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum SystemSecurityPolicy { $($(#[$doc])* #[serde(rename = $name)] $variant,)+ }

        impl SystemSecurityPolicy {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];
            /// Its name.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $name,)+ } }
            /// The versions that it allows, newest first.
            pub const fn versions(self) -> &'static [TlsVersion] { match self { $(Self::$variant => &[$(TlsVersion::$version,)+],)+ } }
            /// The suites that it allows by OpenSSL's names, best first, joined by colons.
            pub const fn suites(self) -> &'static str { match self { $(Self::$variant => $suites,)+ } }
        }
    };
}

system_policies! {
    /// The widest, with suites that nobody should use.
    Tls10Inherit "tls-1-0-inherit" [V12 V11 V10]
        "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256:\
            ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-GCM-SHA384:\
            ECDHE-RSA-AES128-GCM-SHA256:AES128-GCM-SHA256:AES256-GCM-SHA384:ECDHE-RSA-AES128-SHA256:\
            AES128-SHA256:AES256-SHA256:ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA:DHE-RSA-AES128-SHA:\
            ECDHE-RSA-AES256-SHA:AES128-SHA:AES256-SHA:DHE-DSS-AES128-SHA:CAMELLIA128-SHA:EDH-RSA-DES-CBC3-SHA:\
            DES-CBC3-SHA:ECDHE-RSA-RC4-SHA:RC4-SHA:DHE-RSA-AES256-SHA:DHE-DSS-AES256-SHA:\
            DHE-RSA-CAMELLIA256-SHA:DHE-DSS-CAMELLIA256-SHA:CAMELLIA256-SHA:EDH-DSS-DES-CBC3-SHA:\
            DHE-RSA-CAMELLIA128-SHA:DHE-DSS-CAMELLIA128-SHA";
    /// TLS 1.0 and later to 1.2.
    Tls10 "tls-1-0" [V12 V11 V10]
        "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256:\
            ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-GCM-SHA384:\
            ECDHE-RSA-AES128-GCM-SHA256:AES128-GCM-SHA256:AES256-GCM-SHA384:ECDHE-RSA-AES128-SHA256:\
            AES128-SHA256:AES256-SHA256:ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA:\
            AES128-SHA:AES256-SHA";
    /// TLS 1.1 and 1.2.
    Tls11 "tls-1-1" [V12 V11]
        "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256:\
            ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-GCM-SHA384:\
            ECDHE-RSA-AES128-GCM-SHA256:AES128-GCM-SHA256:AES256-GCM-SHA384:ECDHE-RSA-AES128-SHA256:\
            AES128-SHA256:AES256-SHA256:ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA:\
            AES128-SHA:AES256-SHA";
    /// TLS 1.2.
    Tls12 "tls-1-2" [V12]
        "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256:\
            ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-GCM-SHA384:\
            ECDHE-RSA-AES128-GCM-SHA256:AES128-GCM-SHA256:AES256-GCM-SHA384:ECDHE-RSA-AES128-SHA256:\
            AES128-SHA256:AES256-SHA256:ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA:\
            AES128-SHA:AES256-SHA";
    /// TLS 1.2 without SHA-1.
    Tls12Strict "tls-1-2-strict" [V12]
        "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256:\
            ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:AES128-GCM-SHA256:\
            AES256-GCM-SHA384:ECDHE-RSA-AES128-SHA256:AES128-SHA256:AES256-SHA256:ECDHE-RSA-AES256-SHA384";
    /// TLS 1.2 with forward secrecy.
    Tls12Fs "tls-1-2-fs" [V12]
        "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256:\
            ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:\
            ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA384";
    /// TLS 1.0 to 1.3.
    Tls10With13 "tls-1-0-with-1-3" [V13 V12 V11 V10]
        "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256:\
            ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-GCM-SHA384:\
            ECDHE-RSA-AES128-GCM-SHA256:AES128-GCM-SHA256:AES256-GCM-SHA384:ECDHE-RSA-AES128-SHA256:\
            AES128-SHA256:AES256-SHA256:ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA:\
            AES128-SHA:AES256-SHA:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:\
            TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256";
    /// TLS 1.2 with forward secrecy, and TLS 1.3.
    Tls12FsWith13 "tls-1-2-fs-with-1-3" [V13 V12]
        "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256:\
            ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:\
            ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA384:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:\
            TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256";
    /// TLS 1.1 and 1.2; on some sites with Chinese suites, which are not here.
    Hybrid10 "hybrid-policy-1-0" [V12 V11]
        "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256:\
            ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-GCM-SHA384:\
            ECDHE-RSA-AES128-GCM-SHA256:AES128-GCM-SHA256:AES256-GCM-SHA384:ECDHE-RSA-AES128-SHA256:\
            AES128-SHA256:AES256-SHA256:ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA:\
            AES128-SHA:AES256-SHA";
    /// TLS 1.2 with authenticated encryption alone.
    Tls12StrictNoCbc "tls-1-2-strict-no-cbc" [V12]
        "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:\
            ECDHE-RSA-AES128-GCM-SHA256";
}

impl SystemSecurityPolicy {
    /// That of listeners that name none (huawei/behaviours.md section 6).
    pub const DEFAULT: Self = Self::Tls12;
}
impl FromStr for SystemSecurityPolicy {
    type Err = UnknownTls;
    fn from_str(text: &str) -> Result<Self, UnknownTls> {
        Self::ALL
            .iter()
            .copied()
            .find(|policy| policy.as_str() == text)
            .ok_or_else(|| UnknownTls(text.chars().take(64).collect()))
    }
}

/// What a caller says to create a security policy.
#[derive(Clone, Debug)]
pub struct NewSecurityPolicy {
    /// See [`SecurityPolicy::name`].
    pub name: Name,
    /// See [`SecurityPolicy::description`].
    pub description: Description,
    /// See [`SecurityPolicy::versions`].
    pub versions: Vec<TlsVersion>,
    /// See [`SecurityPolicy::suites`].
    pub suites: Vec<CipherSuite>,
    /// See [`SecurityPolicy::enterprise_project`].
    pub enterprise_project: Option<Uuid>,
}

/// What a caller says to change a security policy.
#[derive(Clone, Debug, Default)]
pub struct SecurityPolicyPatch {
    /// See [`SecurityPolicy::name`].
    pub name: Option<Name>,
    /// See [`SecurityPolicy::description`].
    pub description: Option<Description>,
    /// See [`SecurityPolicy::versions`].
    pub versions: Option<Vec<TlsVersion>>,
    /// See [`SecurityPolicy::suites`].
    pub suites: Option<Vec<CipherSuite>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_policy_has_a_suite_for_each_of_its_versions() {
        for policy in SystemSecurityPolicy::ALL {
            for version in policy.versions() {
                let known = policy.suites().split(':').filter_map(|suite| suite.parse::<CipherSuite>().ok());
                assert!(
                    known.into_iter().any(|suite| suite.fits(*version)),
                    "{} {}",
                    policy.as_str(),
                    version.as_str()
                );
            }
        }
    }
}
