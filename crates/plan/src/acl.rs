//! Who may connect: the addresses of all IP groups of a listener in one table (behaviour/features.md section 11).
//!
//! The groups' spans are merged into rising intervals that do not touch, so an address is found by one binary search: four
//! steps for ten entries, fourteen for ten thousand, in memory that is read in order.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

use model::{
    IpGroupId, IpSpan, Snapshot,
    listener::{AccessControl, AccessMode},
};
use serde::{Serialize, Serializer};

/// An access control that is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AclPlan {
    /// What the groups say.
    pub mode: AccessMode,
    /// The groups, as the listener names them.
    pub groups: Vec<IpGroupId>,
    #[serde(serialize_with = "spans")]
    v4: Vec<(Ipv4Addr, Ipv4Addr)>,
    #[serde(serialize_with = "spans")]
    v6: Vec<(Ipv6Addr, Ipv6Addr)>,
}

impl AclPlan {
    /// The table of an access control; none when it is off. A group that is not there has no addresses.
    pub(crate) fn compile(snapshot: &Snapshot, access: &AccessControl) -> Option<Self> {
        let groups = || access.groups.iter().filter_map(|&group| snapshot.ip_group(group));
        let spans = groups().flat_map(|group| group.entries.iter().map(|entry| entry.span));
        access.enabled.then(|| Self::new(access.mode, access.groups.clone(), spans))
    }

    /// The table of these addresses.
    pub fn new(mode: AccessMode, groups: Vec<IpGroupId>, spans: impl IntoIterator<Item = IpSpan>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for span in spans {
            match (span.first(), span.last()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((first, last)),
                (IpAddr::V6(first), IpAddr::V6(last)) => v6.push((first, last)),
                (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
            }
        }
        let follows4 = |a: Ipv4Addr, b: Ipv4Addr| a.to_bits().checked_add(1) == Some(b.to_bits());
        let follows6 = |a: Ipv6Addr, b: Ipv6Addr| a.to_bits().checked_add(1) == Some(b.to_bits());
        Self { mode, groups, v4: merged(v4, follows4), v6: merged(v6, follows6) }
    }

    /// Whether a client of that address may connect. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) is an IPv4 address.
    pub fn admits(&self, client: IpAddr) -> bool {
        let listed = match client.to_canonical() {
            IpAddr::V4(client) => contains(&self.v4, client),
            IpAddr::V6(client) => contains(&self.v6, client),
        };
        match self.mode {
            AccessMode::White => listed,
            AccessMode::Black => !listed,
        }
    }
}

/// The same addresses in rising intervals with gaps between them.
fn merged<A: Copy + Ord>(mut spans: Vec<(A, A)>, follows: impl Fn(A, A) -> bool) -> Vec<(A, A)> {
    spans.sort_unstable();
    let mut merged: Vec<(A, A)> = Vec::with_capacity(spans.len());
    for (first, last) in spans {
        match merged.last_mut() {
            Some(before) if first <= before.1 || follows(before.1, first) => before.1 = before.1.max(last),
            Some(_) | None => merged.push((first, last)),
        }
    }
    merged.shrink_to_fit();
    merged
}

fn contains<A: Copy + Ord>(spans: &[(A, A)], address: A) -> bool {
    let after = spans.partition_point(|&(first, _)| first <= address);
    after.checked_sub(1).is_some_and(|at| RangeInclusive::new(spans[at].0, spans[at].1).contains(&address))
}

/// As `first-last`.
fn spans<A: ToString, S: Serializer>(spans: &[(A, A)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(spans.iter().map(|(first, last)| format!("{}-{}", first.to_string(), last.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(mode: AccessMode, spans: &[&str]) -> AclPlan {
        AclPlan::new(mode, Vec::new(), spans.iter().map(|span| span.parse().unwrap()))
    }

    #[test]
    fn white_lets_in_and_black_keeps_out() {
        let spans = ["10.0.0.0/8", "192.0.2.7", "198.51.100.10-198.51.100.20", "2001:db8::/32"];
        for (why, client, listed) in [
            ("in a network", "10.255.255.255", true),
            ("below a network", "9.255.255.255", false),
            ("above a network", "11.0.0.0", false),
            ("a single address", "192.0.2.7", true),
            ("its neighbour", "192.0.2.8", false),
            ("a range's first", "198.51.100.10", true),
            ("a range's last", "198.51.100.20", true),
            ("behind a range", "198.51.100.21", false),
            ("an IPv6 network", "2001:db8:ffff::1", true),
            ("another one", "2001:db9::", false),
            ("an IPv4 address written as IPv6", "::ffff:10.1.2.3", true),
        ] {
            let client = client.parse().unwrap();
            assert_eq!(table(AccessMode::White, &spans).admits(client), listed, "white: {why}");
            assert_eq!(table(AccessMode::Black, &spans).admits(client), !listed, "black: {why}");
        }
    }

    #[test]
    fn an_empty_white_list_is_nobody_and_an_empty_black_list_everybody() {
        for client in ["127.0.0.1", "::1"] {
            let client = client.parse().unwrap();
            assert!(!table(AccessMode::White, &[]).admits(client));
            assert!(table(AccessMode::Black, &[]).admits(client));
        }
    }

    #[test]
    fn spans_that_touch_become_one() {
        let acl = table(
            AccessMode::White,
            &["10.0.0.0/25", "10.0.0.128/25", "10.0.0.5", "10.0.1.0-10.0.1.9", "255.255.255.255"],
        );
        let json = serde_json::to_value(&acl).unwrap();
        assert_eq!(json["v4"], serde_json::json!(["10.0.0.0-10.0.1.9", "255.255.255.255-255.255.255.255"]));
    }

    /// Spans and addresses close to each other, and at the ends of the number line.
    fn address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            (0..40u32).prop_map(|n| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n))),
            (0..3u32).prop_map(|n| IpAddr::V4(Ipv4Addr::from_bits(u32::MAX - n))),
            (0..40u128).prop_map(|n| IpAddr::V6(Ipv6Addr::from_bits((0x2001 << 112) + n))),
            (0..3u128).prop_map(|n| IpAddr::V6(Ipv6Addr::from_bits(u128::MAX - n))),
        ]
    }

    fn span() -> impl Strategy<Value = IpSpan> {
        let range = (address(), address()).prop_filter_map("one version", |(a, b)| {
            (a.is_ipv4() == b.is_ipv4() && a != b).then(|| IpSpan::Range(a.min(b), a.max(b)))
        });
        let net = (address(), 0..8u8).prop_map(|(address, host)| {
            let length = if address.is_ipv4() { 32 } else { 128 } - host;
            format!("{address}/{length}").parse().unwrap()
        });
        prop_oneof![range, net]
    }

    proptest! {
        #[test]
        fn the_table_answers_as_a_look_at_every_span_would(
            spans in prop::collection::vec(span(), 0..12),
            clients in prop::collection::vec(address(), 1..12),
        ) {
            let acl = AclPlan::new(AccessMode::White, Vec::new(), spans.iter().copied());
            for client in clients {
                let listed = spans.iter().any(|span| {
                    span.first().is_ipv4() == client.is_ipv4() && span.first() <= client && client <= span.last()
                });
                prop_assert_eq!(acl.admits(client), listed, "{} in {:?}", client, spans);
            }
        }
    }
}
