//! Copies of requests for another pool.

use std::sync::{Arc, Mutex};

use model::{
    Action, Compare, RuleSubject,
    policy::{Extras, Forward, Mirror},
};

use crate::{
    objects::{listener_id, pool_id},
    rig::{self, Client, Member, eventually, free_address},
    site::Site,
};

/// A policy for every request to pool 2, with copies for pool 3.
fn mirroring(original: &Member, copies: &Member, body: bool) -> Site {
    let mut site = Site::new(free_address(), &[]);
    site.pool(2, &[original.address]);
    site.pool(3, &[copies.address]);
    let mirror = Some(Mirror { pools: vec![pool_id(3)], body });
    let extras = Extras { mirror, ..Extras::default() };
    site.objects.policy(1, 1, |policy| {
        policy.action = Action::Forward(Forward { pool: Some(pool_id(2)), extras, ..Forward::default() });
    });
    site.objects.rule(1, 1, RuleSubject::Path, Compare::Prefix, "/");
    site
}

/// Heads and bodies of requests.
type Seen = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A member that remembers whole requests.
fn remembering() -> (Member, Seen) {
    let seen = Seen::default();
    let remember = seen.clone();
    let member = Member::http(move |request| {
        remember.lock().unwrap().push((request.head.clone(), request.body.clone()));
        rig::ok("seen")
    });
    (member, seen)
}

#[test]
fn a_copy_is_what_the_member_got_and_its_answer_is_thrown_away() {
    let ((original, originals), (mirror, copies)) = (remembering(), remembering());
    let site = mirroring(&original, &mirror, true);
    let _rig = site.serve();
    let mut client = Client::connect(site.address);
    let long = "x".repeat(20_000);
    let requests = [
        "GET /a?b HTTP/1.1\r\nHost: t\r\n\r\n".to_owned(),
        format!("POST /b HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{long}", long.len()),
        "POST /c HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n".to_owned(),
    ];
    for (n, request) in requests.iter().enumerate() {
        // In two pieces, so that the body comes after the head.
        let (head, body) = request.split_at(request.find("\r\n\r\n").unwrap() + 4);
        client.send(head);
        std::thread::yield_now();
        assert_eq!(client.ask(body).text(), "seen");
        eventually("copied", || copies.lock().unwrap().len() == n + 1);
    }
    assert_eq!(*copies.lock().unwrap(), *originals.lock().unwrap());
    assert_eq!(mirror.connection_count(), 1, "connections for copies are kept, too");
}

#[test]
fn copies_go_without_bodies_where_the_policy_says_so_and_long_bodies_have_none() {
    let ((original, _), (mirror, copies)) = (remembering(), remembering());
    let site = mirroring(&original, &mirror, false);
    let rig = site.serve();
    let mut client = Client::connect(site.address);
    let body = "x".repeat(200_000);
    let long = format!("POST /b HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!(client.ask(&long).text(), "seen");
    eventually("copied", || copies.lock().unwrap().len() == 1);
    let (head, body) = copies.lock().unwrap()[0].clone();
    assert!(head.starts_with("POST /b HTTP/1.1\r\n") && body.is_empty(), "{head}");
    assert_eq!(rig::header(&head, "Content-Length").as_deref(), Some("0"));

    let site = mirroring(&original, &mirror, true);
    let other = site.serve();
    assert_eq!(Client::connect(site.address).ask(&long).text(), "seen");
    let left_out = || other.registry.listener(listener_id(1), 0).mirrors_left_out.value();
    eventually("left out", || left_out() == 1);
    assert_eq!(copies.lock().unwrap().len(), 1);
    drop(rig);
}

#[test]
fn a_mirror_that_hangs_breaks_or_is_away_is_not_noticed() {
    let original = Member::named("original");
    let hanging = Member::start(|stream| {
        let _end = std::io::copy(&mut &stream, &mut std::io::sink());
    });
    let breaking = Member::start(drop);
    let away = Member { address: free_address(), ..Member::named("away") };
    for mirror in [&hanging, &breaking, &away] {
        let site = mirroring(&original, mirror, true);
        let _rig = site.serve();
        let mut client = Client::connect(site.address);
        for _ in 0..20 {
            assert_eq!(
                client.ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc").text(),
                "original"
            );
        }
    }
}
