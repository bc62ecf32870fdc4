//! Members that have to prove who they are.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod rig;
#[path = "rig/tls.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod secured;

use std::{net::SocketAddr, sync::Arc};

use model::{PoolProtocol, ServerName};
use plan::{CertificatePlan, ListenerPlan, MemberTlsPlan};
use rig::{Client, Member, Rig, again, free_address, get, http, with_http, with_target};
use secured::{Authority, certificate, over_tls, tls_plan};

/// Something that speaks TLS before a member, and shows this certificate, or those to clients that ask for these names.
fn secure(
    member: &Member,
    default: &Arc<CertificatePlan>,
    named: &[(&str, &Arc<CertificatePlan>)],
) -> (Rig, SocketAddr) {
    let address = free_address();
    let listener = http(address, &[member.address]);
    (Rig::serving(over_tls(listener, tls_plan(default, named))), address)
}

fn verified(authority: &Authority, name: Option<&str>) -> Option<Arc<MemberTlsPlan>> {
    Some(Arc::new(MemberTlsPlan {
        authority: authority.plan.id,
        authorities_der: authority.plan.authorities_der.clone(),
        server_name: name.map(|name| ServerName::try_from(name).unwrap()),
    }))
}

fn verifying(
    address: SocketAddr,
    members: &[SocketAddr],
    member_tls: Option<Arc<MemberTlsPlan>>,
) -> ListenerPlan {
    with_target(http(address, members), |target| {
        target.protocol = PoolProtocol::Https;
        target.member_tls = member_tls;
    })
}

/// How often a listener's first member did not verify.
fn refusals(rig: &Rig, listener: &ListenerPlan) -> u64 {
    let target = listener.default_target.as_ref().unwrap();
    (0..2).map(|worker| rig.registry.member(target.id, target.members[0].id, worker).unverified.value()).sum()
}

#[test]
fn only_a_member_that_proves_who_it_is_gets_requests() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let host = "api.shop.internal";
    for (why, name, shown, expect) in [
        ("from the authority, with the name", Some(host), ours.member(&[host], false), 200),
        ("one of its names", Some(host), ours.member(&["a", host], false), 200),
        ("a wildcard", Some(host), ours.member(&["*.shop.internal"], false), 200),
        ("from an authority that ours made", Some(host), ours.below().member(&[host], false), 200),
        ("another authority", Some(host), theirs.member(&[host], false), 502),
        ("nobody's", Some(host), certificate(&[host]), 502),
        ("another name", Some(host), ours.member(&["api.external"], false), 502),
        ("its address alone", Some(host), ours.member(&["127.0.0.1"], false), 502),
        ("out of date", Some(host), ours.member(&[host], true), 502),
        ("a name, where its address is wanted", None, ours.member(&[host], false), 502),
        ("another address", None, ours.member(&["127.0.0.1"], false), 502),
    ] {
        let member = Member::named("inside");
        let (_member, secured) = secure(&member, &shown, &[]);
        let listener = verifying(free_address(), &[secured], verified(&ours, name));
        let rig = Rig::serving(again(&listener));
        let answer = get(listener.endpoints[0].address);
        assert_eq!(answer.status(), expect, "{why}");
        assert_eq!(member.heads.lock().unwrap().len(), usize::from(expect == 200), "{why}");
        assert_eq!(refusals(&rig, &listener), u64::from(expect == 502), "{why}");
    }
}

#[test]
fn a_member_without_a_name_is_known_by_its_address() {
    let authority = Authority::new();
    let member = Member::named("inside");
    let secured = free_address();
    let shown = authority.member(&[&secured.ip().to_string()], false);
    let plan = tls_plan(&shown, &[]);
    let _member = Rig::serving(over_tls(http(secured, &[member.address]), plan));
    let address = free_address();
    let _rig = Rig::serving(verifying(address, &[secured], verified(&authority, None)));
    assert_eq!(get(address).text(), "inside");
}

#[test]
fn members_are_told_the_name_that_they_have_to_have() {
    let authority = Authority::new();
    let member = Member::named("inside");
    let (wrong, right) = (certificate(&["default"]), authority.member(&["api.internal"], false));
    let (_member, secured) = secure(&member, &wrong, &[("api.internal", &right)]);
    let address = free_address();
    let _rig = Rig::serving(verifying(address, &[secured], verified(&authority, Some("api.internal"))));
    assert_eq!(get(address).text(), "inside");
}

#[test]
fn another_member_gets_what_one_that_does_not_verify_must_not_see() {
    let authority = Authority::new();
    let (bad, good) = (Member::named("bad"), Member::named("good"));
    let (_bad, bad_address) = secure(&bad, &certificate(&["api"]), &[]);
    let (_good, good_address) = secure(&good, &authority.member(&["api"], false), &[]);
    let listener = verifying(free_address(), &[bad_address, good_address], verified(&authority, Some("api")));
    let address = listener.endpoints[0].address;
    let rig = Rig::serving(again(&listener));
    let post = "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nbody";
    for _ in 0..8 {
        // Nothing of it was sent, so it may be given to another member, whatever its method.
        assert_eq!(Client::connect(address).ask(post).text(), "good");
    }
    assert!(bad.heads.lock().unwrap().is_empty());
    assert!(refusals(&rig, &listener) > 0);

    let strict = with_http(again(&listener), |http| http.member_retry = false);
    let _ = rig.apply([strict]);
    let statuses: Vec<_> = (0..8).map(|_| Client::connect(address).ask(post).status()).collect();
    assert!(statuses.contains(&502) && statuses.contains(&200), "without retries: {statuses:?}");
}

#[test]
fn new_terms_count_from_the_next_request_on_and_kept_connections_are_not_used_again() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let member = Member::named("inside");
    let (_member, secured) = secure(&member, &ours.member(&["api"], false), &[]);
    let address = free_address();
    let first = verifying(address, &[secured], verified(&ours, Some("api")));
    let rig = Rig::with_workers(1);
    let set = |terms: Option<Arc<MemberTlsPlan>>| {
        let _ = rig.apply([with_target(again(&first), |target| target.member_tls = terms)]);
    };
    let _ = rig.apply([again(&first)]);
    let mut client = Client::connect(address);
    for (why, terms, expect) in [
        ("as they are", verified(&ours, Some("api")), 200),
        ("another authority", verified(&theirs, Some("api")), 502),
        ("the first again", verified(&ours, Some("api")), 200),
        ("another name", verified(&ours, Some("web")), 502),
        ("none", None, 200),
        ("an authority anew", verified(&theirs, None), 502),
    ] {
        set(terms);
        assert_eq!(client.get("/").status(), expect, "{why}");
    }
}

#[test]
fn connections_to_a_verified_member_are_kept_while_its_terms_are() {
    let authority = Authority::new();
    let member = Member::named("inside");
    let (_member, secured) = secure(&member, &authority.member(&["api"], false), &[]);
    let listener = verifying(free_address(), &[secured], verified(&authority, Some("api")));
    let rig = Rig::with_workers(1);
    let _ = rig.apply([again(&listener)]);
    let mut client = Client::connect(listener.endpoints[0].address);
    for _ in 0..3 {
        assert_eq!(client.get("/").status(), 200);
        // Equal terms that were read again, as after a change of something else.
        let _ = rig.apply([with_target(again(&listener), |target| {
            target.member_tls = verified(&authority, Some("api"));
            target.all_down_forward = !target.all_down_forward;
        })]);
    }
    assert_eq!(connections(&rig, &listener), 1);
}

/// How many connections were made to a listener's first member.
fn connections(rig: &Rig, listener: &ListenerPlan) -> u64 {
    let target = listener.default_target.as_ref().unwrap();
    rig.registry.member(target.id, target.members[0].id, 0).connections.value()
}
