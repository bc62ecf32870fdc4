//! The ports of a listener: one, or ranges of them.

use std::{fmt, ops::RangeInclusive};

use serde::{Deserialize, Serialize};

use crate::Port;

/// What carries a listener's traffic. Each has port numbers of its own: TCP 53 and UDP 53 are two ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP, and what runs over it: TLS, HTTP.
    #[default]
    Tcp,
    /// UDP, and what runs over it: QUIC.
    Udp,
}

impl Transport {
    /// `tcp` or `udp`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The ports that a listener listens on. Stored as a number, or as a list of pairs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Ports {
    /// One port.
    One(Port),
    /// Ranges; only listeners of layer 4 have them.
    Ranges(PortRanges),
}

impl Ports {
    /// The ranges; one port is a range of one.
    pub fn ranges(&self) -> impl Iterator<Item = PortRange> {
        let (one, ranges) = match self {
            Self::One(port) => (Some(PortRange { first: *port, last: *port }), &[][..]),
            Self::Ranges(ranges) => (None, ranges.as_slice()),
        };
        one.into_iter().chain(ranges.iter().copied())
    }

    /// The port, where it is one; none for ranges.
    pub fn one(&self) -> Option<Port> {
        match self {
            Self::One(port) => Some(*port),
            Self::Ranges(_) => None,
        }
    }

    /// The first port that is said.
    pub fn first(&self) -> Port {
        match self {
            Self::One(port) => *port,
            Self::Ranges(ranges) => ranges.0[0].first,
        }
    }

    /// Whether a port is among them.
    pub fn contains(&self, port: Port) -> bool {
        self.ranges().any(|range| range.contains(port))
    }

    /// A port that both have.
    pub fn shared_with(&self, other: &Self) -> Option<Port> {
        self.ranges().find_map(|range| other.ranges().find_map(|other| range.shared_with(other)))
    }
}

impl From<Port> for Ports {
    fn from(port: Port) -> Self {
        Self::One(port)
    }
}

/// As people write them: `80`, or `80-90,100-110`.
impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(port) => port.fmt(f),
            Self::Ranges(ranges) => {
                for (n, range) in ranges.0.iter().enumerate() {
                    let comma = if n > 0 { "," } else { "" };
                    write!(f, "{comma}{range}")?;
                }
                Ok(())
            }
        }
    }
}

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(Port, Port)", into = "(Port, Port)")]
pub struct PortRange {
    first: Port,
    last: Port,
}

impl PortRange {
    /// The range of these ends.
    ///
    /// # Errors
    /// When it ends before it begins.
    pub fn new(first: Port, last: Port) -> Result<Self, BadPorts> {
        if first <= last { Ok(Self { first, last }) } else { Err(BadPorts::Reversed { first, last }) }
    }
    /// Its first port.
    pub fn first(self) -> Port {
        self.first
    }
    /// Its last port.
    pub fn last(self) -> Port {
        self.last
    }
    /// All of it, as numbers.
    pub fn numbers(self) -> RangeInclusive<u16> {
        self.first.value()..=self.last.value()
    }
    /// Whether a port is in it.
    pub fn contains(self, port: Port) -> bool {
        (self.first..=self.last).contains(&port)
    }
    fn shared_with(self, other: Self) -> Option<Port> {
        let first = self.first.max(other.first);
        (first <= self.last.min(other.last)).then_some(first)
    }
}

impl TryFrom<(Port, Port)> for PortRange {
    type Error = BadPorts;
    fn try_from((first, last): (Port, Port)) -> Result<Self, BadPorts> {
        Self::new(first, last)
    }
}
impl From<PortRange> for (Port, Port) {
    fn from(range: PortRange) -> Self {
        (range.first, range.last)
    }
}
impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// One to ten ranges that do not overlap, in the order in which they were said (huawei/behaviours.md section 6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<PortRange>", into = "Vec<PortRange>")]
pub struct PortRanges(Vec<PortRange>);

impl PortRanges {
    /// Most ranges of a listener.
    pub const MAX: usize = 10;

    /// The ranges.
    pub fn as_slice(&self) -> &[PortRange] {
        &self.0
    }
}

impl TryFrom<Vec<PortRange>> for PortRanges {
    type Error = BadPorts;
    fn try_from(ranges: Vec<PortRange>) -> Result<Self, BadPorts> {
        if ranges.is_empty() || ranges.len() > Self::MAX {
            return Err(BadPorts::Count(ranges.len()));
        }
        for (n, one) in ranges.iter().enumerate() {
            if let Some(other) = ranges[..n].iter().find(|other| one.shared_with(**other).is_some()) {
                return Err(BadPorts::Overlap { one: *other, other: *one });
            }
        }
        Ok(Self(ranges))
    }
}
impl From<PortRanges> for Vec<PortRange> {
    fn from(ranges: PortRanges) -> Self {
        ranges.0
    }
}

/// Ranges of ports that a listener cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPorts {
    /// The last port is before the first.
    #[error("the range {first}-{last} ends before it begins")]
    Reversed {
        /// The first port.
        first: Port,
        /// The last port.
        last: Port,
    },
    /// None, or too many.
    #[error("{0} ranges are given; a listener has from 1 to 10")]
    Count(usize),
    /// Two ranges share a port.
    #[error("the ranges {one} and {other} overlap")]
    Overlap {
        /// One.
        one: PortRange,
        /// The other.
        other: PortRange,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u16, last: u16) -> PortRange {
        PortRange::new(Port::of(first), Port::of(last)).unwrap()
    }
    fn ranges(of: &[(u16, u16)]) -> Result<Ports, BadPorts> {
        let ranges: Vec<_> = of.iter().map(|&(first, last)| range(first, last)).collect();
        ranges.try_into().map(Ports::Ranges)
    }

    #[test]
    fn ranges_are_few_and_do_not_overlap() {
        for (why, of, fits) in [
            ("one", &[(1, 65535)][..], true),
            ("a range of one port", &[(7, 7)], true),
            ("neighbours", &[(20, 30), (10, 19)], true),
            ("none", &[], false),
            ("a port in both", &[(10, 20), (20, 30)], false),
            ("one inside another", &[(10, 30), (15, 16)], false),
            ("the same twice", &[(1, 2), (1, 2)], false),
        ] {
            assert_eq!(ranges(of).is_ok(), fits, "{why}");
        }
        let many = |n: u16| ranges(&(1..=n).map(|n| (n, n)).collect::<Vec<_>>());
        assert!(many(10).is_ok());
        assert_eq!(many(11), Err(BadPorts::Count(11)));
        assert!(PortRange::new(Port::of(2), Port::of(1)).is_err());
    }

    #[test]
    fn listeners_collide_where_they_share_a_port() {
        for (why, one, other, expect) in [
            ("the same port", &[(80, 80)][..], &[(80, 80)][..], Some(80)),
            ("a port of a range", &[(80, 80)], &[(70, 90)], Some(80)),
            ("two ranges", &[(1, 5), (10, 20)], &[(6, 9), (15, 99)], Some(15)),
            ("beside each other", &[(1, 5)], &[(6, 9)], None),
        ] {
            let (one, other) = (ranges(one).unwrap(), ranges(other).unwrap());
            assert_eq!(one.shared_with(&other).map(Port::value), expect, "{why}");
            assert_eq!(other.shared_with(&one).map(Port::value), expect, "{why}, the other way round");
        }
    }

    #[test]
    fn a_stored_port_is_a_number_and_ranges_are_pairs() {
        for (ports, json, text) in [
            (Ports::One(Port::of(80)), "80", "80"),
            (ranges(&[(80, 90), (100, 100)]).unwrap(), "[[80,90],[100,100]]", "80-90,100-100"),
        ] {
            assert_eq!(serde_json::to_string(&ports).unwrap(), json);
            assert_eq!(serde_json::from_str::<Ports>(json).unwrap(), ports);
            assert_eq!(ports.to_string(), text);
        }
        for bad in ["0", "[]", "[[2,1]]", "[[1,2],[2,3]]", "\"80\""] {
            assert!(serde_json::from_str::<Ports>(bad).is_err(), "{bad}");
        }
    }
}
