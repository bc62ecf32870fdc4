//! Records of requests.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "rig/records.rs"]
mod records;
mod rig;

use std::net::SocketAddr;

use records::{logging, records};
use rig::{Client, Member, eventually, free_address, http, ok, with_http, with_target};

#[test]
fn each_request_gets_one_record_of_what_happened() {
    let member = Member::http(|_| ok("hello"));
    let address = free_address();
    let named = |target: &mut plan::TargetPlan| target.pool_name = "the shop".try_into().unwrap();
    let (_rig, dir) = logging(with_target(http(address, &[member.address]), named));
    let mut client = Client::connect(address);
    let asked = client.ask(
        "POST /a?b=c HTTP/1.1\r\nHost: example.test\r\nUser-Agent: tester \"1\"\r\nReferer: http://r/\r\nX-Forwarded-For: 192.0.2.1\r\n\
         Content-Length: 4\r\n\r\nbody",
    );
    assert_eq!(asked.status(), 200);
    client.get("/second");
    let records = records(&dir, 2);
    let first = records.iter().find(|line| line.contains("POST")).unwrap();
    let local = client.stream.local_addr().unwrap();
    for part in [
        &format!(" elb_01 {local} 200 \"POST http://example.test/a?b=c HTTP/1.1\" "),
        " topic [20",
        " \"200\" \"0.0",
        &format!(" \"{}\" \"tester \\x221\\x22\" \"http://r/\" \"192.0.2.1\" loadbalancer_", member.address),
        " 5 0.0",
        &format!(" {address} "),
    ] {
        assert!(first.contains(part), "{part:?} in {first}");
    }
    assert!(first.ends_with(" - - \"the shop\""), "the pool's name: {first}");
    let fields: Vec<&str> = first.trim_end_matches(" shop\"").split(' ').collect();
    let (request, sent, body): (usize, usize, usize) =
        (fields[9].parse().unwrap(), fields[10].parse().unwrap(), fields[11].parse().unwrap());
    assert_eq!(body, 5, "bytes of the answer's body: {first}");
    assert_eq!(sent, asked.head.len() + 5, "bytes sent: {first}");
    assert_eq!(
        request,
        fields[fields.len() - 4].parse::<usize>().unwrap() + 4,
        "head and body of the request: {first}"
    );
    assert!(records.iter().any(|line| line.contains("GET http://test/second HTTP/1.1")), "{records:#?}");
}

#[test]
fn answers_of_our_own_are_written_down_but_not_400() {
    let gone: SocketAddr = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let address = free_address();
    let (_rig, dir) = logging(http(address, &[gone]));
    assert_eq!(Client::connect(address).ask("GET / HTTP/1.1\r\n\r\n").status(), 400);
    assert_eq!(Client::connect(address).get("/nobody").status(), 502);
    let records = records(&dir, 1);
    assert!(records[0].contains(" 502 \"GET http://test/nobody HTTP/1.1\" "), "{records:?}");
    assert!(records[0].contains(&format!("\" \"{gone}\" ")), "{records:?}");
}

#[test]
fn every_attempt_is_in_the_record_of_its_request() {
    let gone: SocketAddr = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let member = Member::named("there");
    let address = free_address();
    let (_rig, dir) = logging(http(address, &[gone, member.address]));
    for _ in 0..4 {
        assert_eq!(rig::get(address).status(), 200);
    }
    let records = records(&dir, 4);
    let tried_twice = format!("\"{gone}, {}\"", member.address);
    let found = records
        .iter()
        .find(|line| line.contains(&tried_twice))
        .expect("one began with the member that is gone");
    assert!(
        found.contains(" 200 \"GET ") && found.contains(" \"502, 200\" \"") && found.contains("\" \"-, 0."),
        "{found}"
    );
}

#[test]
fn a_client_that_leaves_is_a_499_in_the_record_alone() {
    let member = Member::start(|stream| {
        // It never answers.
        let mut reader = std::io::BufReader::new(stream);
        while rig::Request::read(&mut reader).is_some() {}
    });
    let address = free_address();
    let listener = with_http(http(address, &[member.address]), |http| {
        http.response_timeout = std::time::Duration::from_secs(60)
    });
    let (_rig, dir) = logging(listener);
    let mut client = Client::connect(address);
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nhalf");
    eventually("the member has it", || member.connection_count() == 1);
    drop(client);
    let records = records(&dir, 1);
    assert!(records[0].contains(" 499 \"POST http://t/ HTTP/1.1\" "), "{records:?}");
}
