//! Members that are new in a pool begin with a small share.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod rig;

use model::SlowStartDuration;
use rig::{ListenerPlan, Member, Rig, again, free_address, get, http, member_plan, with_target};

/// How many of so many requests this member got.
fn share(address: std::net::SocketAddr, member: &Member, requests: usize) -> usize {
    let before = member.heads.lock().unwrap().len();
    for _ in 0..requests {
        assert_eq!(get(address).status(), 200);
    }
    member.heads.lock().unwrap().len() - before
}

#[test]
fn a_member_that_is_added_begins_with_a_small_share_where_its_pool_wants_that() {
    for (slow, least, most) in [(None, 45, 55), (Some(SlowStartDuration::of(1200)), 0, 10)] {
        let (old, new) = (Member::named("old"), Member::named("new"));
        let address = free_address();
        let slowly = |listener: ListenerPlan| with_target(listener, |target| target.slow_start = slow);
        let alone = slowly(http(address, &[old.address]));
        let rig = Rig::serving(again(&alone));
        assert_eq!(share(address, &old, 3), 3, "the first member has all at once");
        let both = with_target(again(&alone), |target| target.members.push(member_plan(new.address)));
        rig.apply([both]);
        let share = share(address, &new, 100);
        assert!((least..=most).contains(&share), "{share} of 100 with {slow:?}");
    }
}
