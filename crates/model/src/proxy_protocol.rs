//! The PROXY protocol: a connection begins with a header that says who the client really is (haproxy.org, proxy-protocol.txt).
//!
//! Two questions, independent of each other: whether a listener takes such headers from those who connect to it ([`ProxyAccept`]),
//! and whether members are sent one ([`ProxyVersion`], of a pool, or of a listener in place of its pool's).

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Which header members are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyVersion {
    /// The line of text.
    V1,
    /// The binary one.
    V2,
}

/// That a listener takes PROXY headers, of either version, and from whom.
///
/// Who is trusted must begin with a header, and what it says of the client holds for everything after it: access control, balancing,
/// headers, logs. From others nothing is expected and nothing believed: their bytes are taken as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<IpNet>", into = "Vec<IpNet>")]
pub struct ProxyAccept {
    trusted: Vec<IpNet>,
}

impl ProxyAccept {
    /// Most prefixes.
    pub const TRUSTED_MAX: usize = 100;

    /// From whom headers are believed; empty: from everybody.
    pub fn trusted(&self) -> &[IpNet] {
        &self.trusted
    }

    /// Whether a header is expected of this address.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.is_empty() || self.trusted.iter().any(|prefix| prefix.contains(&address))
    }
}

impl TryFrom<Vec<IpNet>> for ProxyAccept {
    type Error = TooManyTrusted;
    fn try_from(trusted: Vec<IpNet>) -> Result<Self, TooManyTrusted> {
        if trusted.len() > Self::TRUSTED_MAX {
            return Err(TooManyTrusted(trusted.len()));
        }
        // What has bits behind its prefix means the whole prefix.
        let mut trusted: Vec<IpNet> = trusted.iter().map(IpNet::trunc).collect();
        trusted.sort_unstable();
        trusted.dedup();
        Ok(Self { trusted })
    }
}
impl From<ProxyAccept> for Vec<IpNet> {
    fn from(accept: ProxyAccept) -> Self {
        accept.trusted
    }
}

/// More trusted prefixes than a listener may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("has {0} prefixes; at most 100 are allowed")]
pub struct TooManyTrusted(usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_expected_of_whom_the_prefixes_name() {
        for (why, trusted, address, expect) in [
            ("everybody", &[][..], "192.0.2.1", true),
            ("inside", &["10.0.0.0/8"], "10.1.2.3", true),
            ("outside", &["10.0.0.0/8"], "192.0.2.1", false),
            ("IPv4 as a socket of both kinds shows it", &["10.0.0.0/8"], "::ffff:10.1.2.3", true),
            ("the other kind", &["::/0"], "10.0.0.1", false),
            ("bits behind the prefix", &["10.1.2.3/8"], "10.9.9.9", true),
        ] {
            let trusted: Vec<IpNet> = trusted.iter().map(|prefix| prefix.parse().unwrap()).collect();
            let accept = ProxyAccept::try_from(trusted).unwrap();
            assert_eq!(accept.trusts(address.parse().unwrap()), expect, "{why}");
        }
    }

    #[test]
    fn prefixes_are_kept_once_and_not_too_many() {
        let nets =
            |n: u8| -> Vec<IpNet> { (0..n).map(|n| format!("10.0.0.{n}/32").parse().unwrap()).collect() };
        assert!(ProxyAccept::try_from(nets(100)).is_ok());
        assert_eq!(ProxyAccept::try_from(nets(101)), Err(TooManyTrusted(101)));
        let twice = ["10.0.0.0/8", "10.1.0.0/8"].map(|prefix| prefix.parse().unwrap()).to_vec();
        assert_eq!(ProxyAccept::try_from(twice).unwrap().trusted().len(), 1);
    }
}
