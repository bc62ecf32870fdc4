//! An IP group: addresses that listeners let in or keep out.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Description, IpGroupId, Name, ProjectId, Timestamp};

/// An IP group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpGroup {
    /// Its id.
    pub id: IpGroupId,
    /// The owning project.
    pub project: ProjectId,
    /// What people call it; need not be unique.
    pub name: Name,
    /// A remark.
    pub description: Description,
    /// Its addresses in the order given; no span twice.
    pub entries: Vec<IpEntry>,
    /// A grouping over regions; none is written "0".
    pub enterprise_project: Option<Uuid>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed by a caller.
    pub updated_at: Timestamp,
}

/// One line of an IP group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpEntry {
    /// Which addresses.
    pub span: IpSpan,
    /// A remark.
    pub description: Description,
}

/// Addresses in a row: one address, a network, or from one address to another. Two spellings of one span are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum IpSpan {
    /// A network; a single address is one of full prefix length. No host bits are set.
    Net(IpNet),
    /// From the first to the last, both of one version, the first below the last.
    Range(IpAddr, IpAddr),
}

impl IpSpan {
    /// The first address.
    pub fn first(&self) -> IpAddr {
        match self {
            Self::Net(net) => net.network(),
            Self::Range(first, _) => *first,
        }
    }
    /// The last address.
    pub fn last(&self) -> IpAddr {
        match self {
            Self::Net(IpNet::V4(net)) => net.broadcast().into(),
            Self::Net(IpNet::V6(net)) => net.broadcast().into(),
            Self::Range(_, last) => *last,
        }
    }
}

impl FromStr for IpSpan {
    type Err = BadSpan;
    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let bad = || BadSpan(text.chars().take(64).collect());
        if let Some((first, last)) = text.split_once('-') {
            let (first, last): (IpAddr, IpAddr) =
                (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
            return if first.is_ipv4() == last.is_ipv4() && first < last {
                Ok(Self::Range(first, last))
            } else {
                Err(bad())
            };
        }
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        net.map(|net| Self::Net(net.trunc())).map_err(|_| bad())
    }
}
impl TryFrom<String> for IpSpan {
    type Error = BadSpan;
    fn try_from(text: String) -> Result<Self, BadSpan> {
        text.parse()
    }
}
impl From<IpSpan> for String {
    fn from(span: IpSpan) -> Self {
        span.to_string()
    }
}
impl fmt::Display for IpSpan {
    /// A single address is written without its prefix length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Self::Net(net) => net.fmt(f),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
        }
    }
}

/// A text that is no address, network or range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no IP address, network (10.0.0.0/8) or rising range (10.0.0.1-10.0.0.9)")]
pub struct BadSpan(pub String);

/// What a caller says to create an IP group.
#[derive(Clone, Debug)]
pub struct NewIpGroup {
    /// See [`IpGroup::name`].
    pub name: Name,
    /// See [`IpGroup::description`].
    pub description: Description,
    /// See [`IpGroup::entries`]; a span that is said twice counts once, the first remark stays.
    pub entries: Vec<IpEntry>,
    /// See [`IpGroup::enterprise_project`].
    pub enterprise_project: Option<Uuid>,
}

/// What a caller says to change an IP group.
#[derive(Clone, Debug, Default)]
pub struct IpGroupPatch {
    /// See [`IpGroup::name`].
    pub name: Option<Name>,
    /// See [`IpGroup::description`].
    pub description: Option<Description>,
    /// See [`IpGroup::entries`]; replaces all.
    pub entries: Option<Vec<IpEntry>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_span_are_one() {
        for (text, canonical) in [
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.1/32", "10.0.0.1"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("::1/128", "::1"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("10.0.0.1-10.0.0.9", "10.0.0.1-10.0.0.9"),
        ] {
            let span: IpSpan = text.parse().unwrap();
            assert_eq!(span.to_string(), canonical);
            assert_eq!(canonical.parse::<IpSpan>().unwrap(), span);
            assert!(span.first() <= span.last());
        }
        for bad in
            ["", "10.0.0", "10.0.0.9-10.0.0.1", "10.0.0.1-10.0.0.1", "10.0.0.1-::1", "10.0.0.0/33", "a-b"]
        {
            assert!(bad.parse::<IpSpan>().is_err(), "{bad}");
        }
    }
}
