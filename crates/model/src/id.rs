//! Typed ids: a `PoolId` never fits where a `ListenerId` belongs.
//!
//! All are UUIDs except [`AccessKeyId`] (the public half of a key pair, chosen by us or by the operator). A dialect prints them
//! its own way: dashed (`Display`), or 32 hex digits ([`ProjectId::simple`], as project ids are written in URLs).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID; the caller says that it names this kind of object.
            pub const fn new(uuid: Uuid) -> Self { Self(uuid) }
            /// The bare UUID.
            pub const fn uuid(self) -> Uuid { self.0 }
            /// The form of 32 hex digits without dashes.
            pub fn simple(self) -> String { self.0.simple().to_string() }
        }
        impl From<Uuid> for $name { fn from(uuid: Uuid) -> Self { Self(uuid) } }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.hyphenated().fmt(f) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{}({})", stringify!($name), self.0) }
        }
        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> { parse(text).map(Self) }
        }
    )+};
}

uuid_ids! {
    /// Names a load balancer.
    LoadBalancerId;
    /// Names a listener.
    ListenerId;
    /// Names a pool.
    PoolId;
    /// Names a member; unique over all pools.
    MemberId;
    /// Names a check of a member on demand.
    MemberCheckId;
    /// Names a health monitor.
    HealthMonitorId;
    /// Names a policy.
    PolicyId;
    /// Names a rule of a policy.
    RuleId;
    /// Names a certificate; Huawei writes it without dashes.
    CertificateId;
    /// Names a custom TLS security policy.
    SecurityPolicyId;
    /// Names an IP group.
    IpGroupId;
    /// Names the access log of a load balancer.
    AccessLogId;
    /// Names a network (a VPC in cloud words).
    NetworkId;
    /// Names a subnet of a network.
    SubnetId;
    /// Names a flavor.
    FlavorId;
    /// Names a project; written without dashes in URLs.
    ProjectId;
    /// Names a domain, the account that owns projects and users.
    DomainId;
    /// Names a user.
    UserId;
}

/// The public half of an access key pair: 1–64 characters of `A-Za-z0-9_-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccessKeyId(String);

impl AccessKeyId {
    /// The text that a client sends.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl FromStr for AccessKeyId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if fits { Ok(Self(text.to_owned())) } else { Err(BadId(text.chars().take(64).collect())) }
    }
}
impl TryFrom<String> for AccessKeyId {
    type Error = BadId;
    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}
impl From<AccessKeyId> for String {
    fn from(id: AccessKeyId) -> Self {
        id.0
    }
}
impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no id of the wanted form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a valid id")]
pub struct BadId(pub String);

/// Accepts the dashed and the undashed form only; braces and URNs that the uuid crate also reads are no ids of any dialect.
fn parse(text: &str) -> Result<Uuid, BadId> {
    match text.len() {
        32 | 36 => Uuid::try_parse(text).map_err(|_| BadId(text.to_owned())),
        _ => Err(BadId(text.chars().take(64).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_written_forms_name_the_same_object_and_other_forms_name_none() {
        let dashed = "0123abcd-0123-4567-89ab-0123456789ab";
        let id: PoolId = dashed.parse().unwrap();
        assert_eq!(id.to_string(), dashed);
        assert_eq!(id.simple().parse::<PoolId>().unwrap(), id);
        for bad in ["", "x", "{0123abcd-0123-4567-89ab-0123456789ab}", "0123abcd_0123_4567_89ab_0123456789ab"]
        {
            assert!(bad.parse::<PoolId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn access_key_ids_hold_only_safe_characters() {
        assert!("AKTEST_1-b".parse::<AccessKeyId>().is_ok());
        for bad in ["", "a b", "a,b", "é", &"x".repeat(65)] {
            assert!(bad.parse::<AccessKeyId>().is_err(), "{bad}");
        }
    }
}
