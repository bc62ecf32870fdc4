//! Stickiness: the same client keeps its member, without anybody remembering clients.
//!
//! Everything follows from a key that all workers and nodes share, and from ids: so it survives restart, reload and moves between
//! workers and nodes. Three ways, all by one [`Stickiness`] per target:
//! - **load balancer cookie**: its value is [`Stickiness::cookie_value`], an opaque name of the member;
//! - **application cookie**: its value ends in [`Stickiness::mark`], a number that names the member;
//! - **source address**: no value at all.
//!
//! What names nobody is hashed: each member draws a number from the hash and its own seed, and the best draw wins (rendezvous, with
//! weights). Invariants (property tests below): equal keys and ids give equal answers, whatever the order of members; when a member
//! leaves, only its own clients move; when weights change, clients move only to members whose share grows or from those whose
//! share shrinks; members that are not usable or have weight 0 get nobody.
//!
//! It is also used over the pools of a policy ([`crate::WeightedPools`]): then the pools are the "members".
//!
//! What it does not do: it knows no expiry (a cookie's own Expires ends it; a source address never ends), and it reads and writes no
//! HTTP. A choice costs a binary search, or where it must hash, a look at each member.
//!
//! Source: behaviour/features.md section 6; open-questions.md row 3. Nothing of the network is in a value: who has no key learns
//! only whether two values name the same member.

use std::{fmt, net::IpAddr};

use hmac::{Hmac, Mac};
use model::Weight;
use sha2::Sha256;

use crate::{
    MEMBERS_MAX,
    mix::{mix, mix_address},
    selection::MemberIndex,
};

/// The secret that all values follow from; the same on every node.
#[derive(Clone, PartialEq, Eq)]
pub struct StickyKey([u8; 32]);

impl StickyKey {
    /// A key of random bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn hmac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.0).expect("an HMAC takes keys of any length")
    }
}

impl fmt::Debug for StickyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StickyKey(secret)")
    }
}

/// Where a client that brings something to stick by belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stick {
    /// To the member that its value names.
    Kept(MemberIndex),
    /// To the member that the hash of what it brings says; it brings nothing that names a usable member.
    Hashed(MemberIndex),
}

impl Stick {
    /// The member.
    pub const fn member(self) -> MemberIndex {
        match self {
            Self::Kept(member) | Self::Hashed(member) => member,
        }
    }

    /// Is a load balancer cookie due, as the client has none that names its member?
    pub const fn needs_cookie(self) -> bool {
        matches!(self, Self::Hashed(_))
    }
}

/// Length of a load balancer cookie's value in bytes.
pub const COOKIE_VALUE_BYTES: usize = 36;

/// The values of a group's members and who has which.
#[derive(Clone)]
pub struct Stickiness {
    members: Box<[Known]>,
    /// Sorted by value.
    by_value: Box<[([u8; 16], MemberIndex)]>,
    /// Sorted by mark.
    by_mark: Box<[(u64, MemberIndex)]>,
    equal_weights: bool,
    /// Under the key, and already fed with the group's id.
    hmac: Hmac<Sha256>,
}

#[derive(Clone, Copy)]
struct Known {
    text: [u8; COOKIE_VALUE_BYTES],
    mark: u64,
    /// What it draws with.
    seed: u64,
    weight: u16,
}

impl Stickiness {
    /// The values for the members of a group (a pool), by their ids; members that never work have weight 0. Only the first
    /// [`MEMBERS_MAX`] members count.
    pub fn new(
        key: &StickyKey,
        group: [u8; 16],
        members: impl IntoIterator<Item = ([u8; 16], Weight)>,
    ) -> Self {
        let mut hmac = key.hmac();
        hmac.update(&group);
        let digests: Vec<([u8; 32], u16)> = members
            .into_iter()
            .take(MEMBERS_MAX)
            .map(|(id, weight)| {
                (hmac.clone().chain_update(id).finalize().into_bytes().into(), weight.value())
            })
            .collect();
        let known = digests.iter().map(|(digest, weight)| Known {
            text: uuid_text(part(digest, 0)),
            mark: mark(&hmac, part(digest, 16)),
            seed: u64::from_be_bytes(part(digest, 24)),
            weight: *weight,
        });
        let members: Box<[Known]> = known.collect();
        let mut by_value: Box<[_]> =
            digests.iter().zip(0..).map(|((digest, _), member)| (part(digest, 0), member)).collect();
        by_value.sort_unstable();
        let mut by_mark: Box<[_]> =
            members.iter().zip(0..).map(|(known, member)| (known.mark, member)).collect();
        by_mark.sort_unstable();
        let mut weights = members.iter().map(|known| known.weight).filter(|&weight| weight > 0);
        let first = weights.next();
        let equal_weights = weights.all(|weight| Some(weight) == first);
        Self { members, by_value, by_mark, equal_weights, hmac }
    }

    /// The load balancer cookie's value for a member: a UUID in lower case. None for an index outside the group.
    pub fn cookie_value(&self, member: MemberIndex) -> Option<&str> {
        let known = self.members.get(usize::from(member))?;
        std::str::from_utf8(&known.text).ok()
    }

    /// The number at the end of an application's cookie that names a member. None for an index outside the group.
    pub fn mark(&self, member: MemberIndex) -> Option<u64> {
        self.members.get(usize::from(member)).map(|known| known.mark)
    }

    /// Is this a number that we put behind an application's cookie, also for a member that is gone by now? It may then be cut
    /// off. One of 16 million that are not ours passes for ours.
    pub fn is_ours(&self, mark: u64) -> bool {
        self.marked(mark).is_some() || check(&self.hmac, mark >> 24) == mark & 0xff_ffff
    }

    /// The member for a client with this load balancer cookie. `usable`: who takes new work, weights apart.
    ///
    /// None when the cookie names a member that is not usable, or nobody is usable: choose anew and issue a cookie. (By hash, all
    /// clients of a member that went down would go to the same other one.) A value that we never issued is hashed together with
    /// the client's address.
    pub fn by_cookie(&self, value: &[u8], client: IpAddr, usable: impl Fn(usize) -> bool) -> Option<Stick> {
        let named = uuid(value).and_then(|value| find(&self.by_value, &value));
        if let Some(member) = named {
            return self.works(member, &usable).then_some(Stick::Kept(member));
        }
        self.draw(hash(value) ^ mix_address(client), usable).map(Stick::Hashed)
    }

    /// The member for a client with this application cookie: `session` is its value without a mark. None when nobody is usable.
    ///
    /// Where the mark names nobody usable, the value is hashed: a session stays together on another member.
    pub fn by_session(
        &self,
        session: &[u8],
        mark: Option<u64>,
        usable: impl Fn(usize) -> bool,
    ) -> Option<Stick> {
        let named = mark.and_then(|mark| self.marked(mark)).filter(|&member| self.works(member, &usable));
        named.map(Stick::Kept).or_else(|| self.draw(hash(session), usable).map(Stick::Hashed))
    }

    /// The member for a client by its address. None when nobody is usable.
    pub fn by_source(&self, client: IpAddr, usable: impl Fn(usize) -> bool) -> Option<MemberIndex> {
        self.draw(mix_address(client), usable)
    }

    fn marked(&self, mark: u64) -> Option<MemberIndex> {
        find(&self.by_mark, &mark)
    }

    fn works(&self, member: MemberIndex, usable: impl Fn(usize) -> bool) -> bool {
        let member = usize::from(member);
        self.members.get(member).is_some_and(|known| known.weight > 0) && usable(member)
    }

    /// The usable member with the best draw.
    fn draw(&self, hash: u64, usable: impl Fn(usize) -> bool) -> Option<MemberIndex> {
        let members = self.members.iter().enumerate();
        let drawing = members.filter(|(member, known)| known.weight > 0 && usable(*member));
        let draws = drawing.map(|(member, known)| (mix(known.seed ^ hash), known.weight, member));
        let best = match self.equal_weights {
            true => draws.max_by_key(|&(draw, _, _)| draw),
            // Weighted rendezvous: the time until the first of `weight` events per second, if chance is `draw`; the first wins.
            false => draws.min_by(|a, b| waiting(a.0, a.1).total_cmp(&waiting(b.0, b.1))),
        };
        best.map(|(_, _, member)| member as MemberIndex)
    }
}

impl fmt::Debug for Stickiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stickiness({} members)", self.members.len())
    }
}

/// -ln(draw / 2^64) / weight. Orders as `draw` does for equal weights, up to rounding.
fn waiting(draw: u64, weight: u16) -> f64 {
    // The middle of the 2^11 draws that a float cannot tell apart, so never 0 and never 1.
    let chance = ((draw >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -chance.ln() / f64::from(weight)
}

/// A mark: 40 bits of the member, 24 bits that only the key can tell.
fn mark(hmac: &Hmac<Sha256>, of_member: [u8; 8]) -> u64 {
    let named = u64::from_be_bytes(of_member) >> 24;
    named << 24 | check(hmac, named)
}

fn check(hmac: &Hmac<Sha256>, named: u64) -> u64 {
    // Eight bytes behind the group's id, where a member has 16: no digest of the one kind is one of the other.
    let digest: [u8; 32] = hmac.clone().chain_update(named.to_be_bytes()).finalize().into_bytes().into();
    u64::from_be_bytes(part(&digest, 0)) >> 40
}

fn find<K: Ord>(sorted: &[(K, MemberIndex)], key: &K) -> Option<MemberIndex> {
    sorted.binary_search_by(|(there, _)| there.cmp(key)).ok().map(|place| sorted[place].1)
}

fn part<const N: usize>(digest: &[u8; 32], from: usize) -> [u8; N] {
    std::array::from_fn(|n| digest[from + n])
}

/// The hash of what a client sends. Not for hostile input, as [`crate::mix`] says; a client can ask for any member anyhow.
fn hash(value: &[u8]) -> u64 {
    let (chunks, rest) = value.as_chunks::<8>();
    let whole = chunks.iter().fold(value.len() as u64, |hash, chunk| mix(hash ^ u64::from_le_bytes(*chunk)));
    rest.iter().fold(whole, |hash, &byte| mix(hash ^ u64::from(byte)))
}

fn uuid_text(bytes: [u8; 16]) -> [u8; COOKIE_VALUE_BYTES] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; COOKIE_VALUE_BYTES];
    let places = (0..COOKIE_VALUE_BYTES).filter(|place| !DASHES.contains(place));
    let digits = bytes.into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    for (place, digit) in places.zip(digits) {
        text[place] = HEX[usize::from(digit)];
    }
    text
}

/// The bytes that a UUID in lower case spells.
fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let text: &[u8; COOKIE_VALUE_BYTES] = text.try_into().ok()?;
    let mut digits = [0u8; 32];
    let mut count = 0;
    for (place, &byte) in text.iter().enumerate() {
        let digit = match byte {
            b'-' if DASHES.contains(&place) => continue,
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        // A digit in a dash's place is one too many.
        *digits.get_mut(count)? = digit;
        count += 1;
    }
    let (pairs, _) = digits.as_chunks::<2>();
    (count == 32).then(|| std::array::from_fn(|n| pairs[n][0] << 4 | pairs[n][1]))
}

/// Where a UUID has its dashes.
const DASHES: [usize; 4] = [8, 13, 18, 23];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: StickyKey = StickyKey::new([7; 32]);
    const GROUP: [u8; 16] = [1; 16];
    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn id(n: u8) -> [u8; 16] {
        [n; 16]
    }
    fn group(members: &[(u8, u16)]) -> Stickiness {
        Stickiness::new(&KEY, GROUP, members.iter().map(|&(n, weight)| (id(n), Weight::of(weight))))
    }
    fn client(n: u32) -> IpAddr {
        IpAddr::from(0x0a00_0000u32.wrapping_add(n).to_be_bytes())
    }

    #[test]
    fn the_values_are_the_same_in_every_release() {
        // Clients hold these for a day, other nodes and older releases issue them: they may never change.
        let group = group(&[(1, 1), (2, 1)]);
        assert_eq!(group.cookie_value(0), Some(EXPECTED.0));
        assert_eq!(group.mark(0), Some(EXPECTED.1));
        assert_eq!((group.cookie_value(2), group.mark(2)), (None, None));
    }

    const EXPECTED: (&str, u64) = ("338b3ba4-6c71-1ce6-37ca-d3635550e860", 0xb842_0908_3d73_a731);

    #[test]
    fn a_cookie_keeps_its_member_while_that_works() {
        let group = group(&[(1, 1), (2, 1), (3, 0), (4, 1)]);
        let value = |member| group.cookie_value(member).unwrap().as_bytes();
        for member in [0, 1, 3] {
            assert_eq!(group.by_cookie(value(member), CLIENT, |_| true), Some(Stick::Kept(member)));
        }
        assert_eq!(group.by_cookie(value(2), CLIENT, |_| true), None, "weight 0: choose anew");
        assert_eq!(group.by_cookie(value(0), CLIENT, |member| member != 0), None, "not usable: choose anew");
        assert!(!Stick::Kept(0).needs_cookie() && Stick::Hashed(0).needs_cookie());
    }

    #[test]
    fn a_value_that_was_never_issued_is_hashed() {
        let group = group(&[(1, 1), (2, 1), (3, 1), (4, 0)]);
        let other_group = Stickiness::new(&KEY, [2; 16], [(id(1), Weight::of(1))]);
        let other_key = Stickiness::new(&StickyKey::new([8; 32]), GROUP, [(id(1), Weight::of(1))]);
        let upper = group.cookie_value(0).unwrap().to_uppercase();
        let no_dashes = group.cookie_value(0).unwrap().replace('-', "");
        for (why, value) in [
            ("made up", "abcd"),
            ("nothing", ""),
            ("another group's", other_group.cookie_value(0).unwrap()),
            ("another key's", other_key.cookie_value(0).unwrap()),
            ("upper case", &upper),
            ("without dashes", &no_dashes),
            ("a digit for a dash", "00000000000000-0000-0000-000000000000"),
        ] {
            let first = group.by_cookie(value.as_bytes(), CLIENT, |_| true);
            assert!(matches!(first, Some(Stick::Hashed(0..=2))), "{why}: {first:?}");
            assert_eq!(group.by_cookie(value.as_bytes(), CLIENT, |_| true), first, "{why}");
            let member = usize::from(first.unwrap().member());
            let second = group.by_cookie(value.as_bytes(), CLIENT, |other| other != member);
            assert!(
                second.is_some_and(|second| second.needs_cookie() && usize::from(second.member()) != member)
            );
            assert_eq!(group.by_cookie(value.as_bytes(), CLIENT, |_| false), None, "{why}");
        }
    }

    #[test]
    fn clients_of_a_removed_member_spread_over_the_others() {
        let before = group(&[(1, 1), (2, 1), (3, 1), (4, 1)]);
        let after = group(&[(1, 1), (2, 1), (3, 1)]);
        let stale = before.cookie_value(3).unwrap().as_bytes();
        let mut got = [0; 3];
        (0..300).for_each(|n| {
            got[usize::from(after.by_cookie(stale, client(n), |_| true).unwrap().member())] += 1;
        });
        assert!(got.iter().all(|&count| count > 60), "{got:?}");
    }

    #[test]
    fn a_session_keeps_its_member_and_stays_together_elsewhere() {
        let group = group(&[(1, 1), (2, 1), (3, 1)]);
        let mark = group.mark(1);
        assert_eq!(group.by_session(b"abc", mark, |_| true), Some(Stick::Kept(1)));
        let elsewhere = group.by_session(b"abc", mark, |member| member != 1).unwrap();
        assert!(elsewhere.needs_cookie() && elsewhere.member() != 1);
        assert_eq!(group.by_session(b"abc", None, |member| member != 1), Some(elsewhere));
        assert_eq!(group.by_session(b"abc", Some(1), |member| member != 1), Some(elsewhere), "not ours");
        assert_eq!(group.by_session(b"abc", mark, |_| false), None);
    }

    #[test]
    fn marks_of_members_that_are_gone_are_still_ours() {
        let before = group(&[(1, 1), (2, 1)]);
        let after = group(&[(2, 1)]);
        assert!(after.is_ours(before.mark(0).unwrap()) && after.is_ours(before.mark(1).unwrap()));
        let stranger = Stickiness::new(&StickyKey::new([8; 32]), GROUP, [(id(1), Weight::of(1))]);
        assert!(!stranger.is_ours(before.mark(0).unwrap()));
        assert!((0..1000).all(|n| !after.is_ours(mix(n))), "an application's own end is left alone");
    }

    #[test]
    fn sources_spread_by_weight() {
        for weights in [&[1, 1, 1, 1][..], &[1, 2, 3, 4], &[100, 1], &[0, 5, 5], &[256, 1, 255]] {
            let members: Vec<_> = weights.iter().zip(1..).map(|(&weight, n)| (n, weight)).collect();
            let group = group(&members);
            let mut got = vec![0u32; weights.len()];
            (0..20_000).for_each(|n| got[usize::from(group.by_source(client(n), |_| true).unwrap())] += 1);
            let sum: u16 = weights.iter().sum();
            for (&got, &weight) in got.iter().zip(weights) {
                let exact = 20_000.0 * f64::from(weight) / f64::from(sum);
                assert!(
                    (f64::from(got) - exact).abs() <= 5.0 * exact.sqrt(),
                    "{weights:?}: {got}, not {exact}"
                );
            }
        }
    }

    #[test]
    fn neither_key_nor_values_show_in_debug() {
        assert_eq!(format!("{KEY:?} {:?}", group(&[(1, 1)])), "StickyKey(secret) Stickiness(1 members)");
    }

    fn members() -> impl Strategy<Value = Vec<(u8, u16)>> {
        proptest::collection::btree_map(any::<u8>(), 0u16..=100, 1..12)
            .prop_map(|members| members.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn order_and_time_of_making_do_not_matter(members in members(), clients in proptest::collection::vec(any::<u32>(), 1..50)) {
            let (one, again) = (group(&members), group(&members));
            let reversed: Vec<_> = members.iter().rev().copied().collect();
            let other = group(&reversed);
            let last = members.len() as u16 - 1;
            for n in clients {
                let picked = one.by_source(client(n), |_| true);
                prop_assert_eq!(again.by_source(client(n), |_| true), picked);
                prop_assert_eq!(other.by_source(client(n), |_| true), picked.map(|member| last - member));
            }
            for member in 0..=last {
                let value = one.cookie_value(member).unwrap().as_bytes();
                let stuck = other.by_cookie(value, CLIENT, |_| true);
                prop_assert_eq!(stuck, (members[usize::from(member)].1 > 0).then_some(Stick::Kept(last - member)));
            }
        }

        #[test]
        fn only_clients_of_the_member_that_leaves_move(members in members(), gone in any::<prop::sample::Index>()) {
            let gone = gone.index(members.len());
            let all = group(&members);
            let mut fewer = members.clone();
            fewer.remove(gone);
            let fewer = group(&fewer);
            for n in 0..100 {
                let before = all.by_source(client(n), |_| true).map(usize::from);
                let without = all.by_source(client(n), |member| member != gone).map(usize::from);
                let after = fewer.by_source(client(n), |_| true).map(usize::from);
                let after = after.map(|member| member + usize::from(member >= gone));
                prop_assert!(before == Some(gone) || after == before);
                prop_assert_eq!(without, after, "out for a while is as gone");
            }
        }

        #[test]
        fn a_weight_that_grows_only_draws_clients_in(members in members(), grows in any::<prop::sample::Index>(), by in 1u16..50) {
            let grows = grows.index(members.len());
            let mut heavier = members.clone();
            heavier[grows].1 += by;
            let (before, after) = (group(&members), group(&heavier));
            for n in 0..100 {
                let (before, after) = (before.by_source(client(n), |_| true), after.by_source(client(n), |_| true));
                prop_assert!(after == before || after.map(usize::from) == Some(grows));
            }
        }

        #[test]
        fn any_value_finds_whoever_works(members in members(), value in proptest::collection::vec(any::<u8>(), 0..50), out in any::<u16>()) {
            let group = group(&members);
            let usable = |member: usize| out >> member & 1 == 0;
            let works = |member: usize| members[member].1 > 0 && usable(member);
            let somebody = (0..members.len()).any(works);
            for stick in [group.by_cookie(&value, CLIENT, usable), group.by_session(&value, None, usable)] {
                prop_assert_eq!(stick.is_some(), somebody);
                prop_assert!(stick.is_none_or(|stick| works(usize::from(stick.member()))));
            }
        }
    }
}
