//! Clients stay with their member, and nobody remembers them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod rig;

use std::{net::SocketAddr, time::Duration};

use dataplane::{Config, StickyKey};
use model::{StickyMinutes, pool::Stickiness};
use rig::{
    Client, ListenerPlan, Member, Request, Rig, again, free_address, header, http, tcp, with_http,
    with_target,
};

fn sticky(listener: ListenerPlan, by: Stickiness) -> ListenerPlan {
    with_target(listener, |target| target.stickiness = Some(by))
}

fn by_cookie() -> Stickiness {
    Stickiness::HttpCookie { minutes: StickyMinutes::of(20) }
}

fn by_session() -> Stickiness {
    Stickiness::AppCookie { name: "SESSION".to_owned() }
}

fn ask(client: &mut Client, cookie: &str) -> Request {
    client.ask(format!("GET / HTTP/1.1\r\nHost: t\r\nCookie: {cookie}\r\n\r\n"))
}

/// The name and value of the cookie that a response sets.
fn cookie_of(response: &Request) -> String {
    response.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned()
}

fn addresses(members: &[Member]) -> Vec<SocketAddr> {
    members.iter().map(|member| member.address).collect()
}

#[test]
fn the_load_balancers_cookie_brings_a_client_back_also_after_a_restart_and_to_another_worker() {
    let members = ["a", "b", "c"].map(Member::named);
    let listener = sticky(http(free_address(), &addresses(&members)), by_cookie());
    let address = listener.endpoints[0].address;
    let config = || Config { workers: 2, sticky_key: StickyKey::new([7; 32]), ..Config::default() };
    let rig = Rig::with_config(config());
    rig.apply([again(&listener)]);
    let first = rig::get(address);
    let set = first.header("Set-Cookie").unwrap();
    assert!(set.starts_with("name=") && set.contains("; path=/; Expires=") && set.ends_with(" GMT"), "{set}");
    let cookie = cookie_of(&first);
    assert_eq!(cookie.len(), "name=".len() + 36, "a UUID: {cookie}");
    for _ in 0..10 {
        let response = ask(&mut Client::connect(address), &cookie);
        assert_eq!((response.text(), response.header("Set-Cookie")), (first.text(), None));
    }
    drop(rig);
    let other = ListenerPlan { endpoints: vec![plan::Endpoint::tcp(free_address())], ..again(&listener) };
    let rig = Rig::with_config(config());
    rig.apply([again(&other)]);
    assert_eq!(ask(&mut Client::connect(other.endpoints[0].address), &cookie).text(), first.text());
}

#[test]
fn a_value_that_nobody_issued_sticks_too() {
    let members = ["a", "b", "c"].map(Member::named);
    let address = free_address();
    let _rig = Rig::serving(sticky(http(address, &addresses(&members)), by_cookie()));
    let first = ask(&mut Client::connect(address), "name=abcd");
    for _ in 0..10 {
        assert_eq!(ask(&mut Client::connect(address), "name=abcd").text(), first.text());
    }
    assert_eq!(ask(&mut Client::connect(address), &cookie_of(&first)).text(), first.text());
}

#[test]
fn a_client_whose_member_is_gone_gets_another_and_its_cookie() {
    let members = ["a", "b"].map(Member::named);
    let address = free_address();
    let rig = Rig::start();
    let listener = sticky(http(address, &addresses(&members)), by_cookie());
    rig.apply([again(&listener)]);
    let mut client = Client::connect(address);
    let first = client.get("/");
    let cookie = cookie_of(&first);
    let name = first.text().to_owned();
    rig.apply([with_target(again(&listener), |target| {
        target.members.retain(|member| {
            let gone = members.iter().find(|it| it.address == member.address).unwrap();
            (gone.address == members[0].address) != (name == "a")
        });
    })]);
    let second = ask(&mut client, &cookie);
    assert_ne!(second.text(), name);
    let moved = cookie_of(&second);
    assert_ne!(moved, cookie);
    rig.apply([again(&listener)]);
    assert_eq!(ask(&mut client, &moved).text(), second.text(), "it stays where it is now");
    assert_eq!(ask(&mut client, &cookie).text(), name, "and who still has the old cookie goes back");
}

#[test]
fn an_applications_cookie_is_marked_for_the_client_and_unmarked_for_the_member() {
    let members = ["a", "b", "c"].map(|name| {
        Member::http(move |_| {
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nSet-Cookie: other=1\r\nSet-Cookie: SESSION=s-{name}; HttpOnly\r\n\r\n{name}"
            )
            .into_bytes()
        })
    });
    let address = free_address();
    let _rig = Rig::serving(sticky(http(address, &addresses(&members)), by_session()));
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    let head = rig::read_head(&mut client.reader).unwrap();
    let mut name = [0];
    std::io::Read::read_exact(&mut client.reader, &mut name).unwrap();
    let name = std::str::from_utf8(&name).unwrap();
    let set: Vec<_> = head.lines().filter_map(|line| line.strip_prefix("Set-Cookie: ")).collect();
    assert_eq!(set[0], "other=1");
    let marked = set[1].strip_prefix("SESSION=").unwrap().strip_suffix("; HttpOnly").unwrap();
    assert!(marked.starts_with(&format!("s-{name}.")) && marked.len() == 3 + 17, "{marked}");
    for _ in 0..6 {
        client.send(format!("GET / HTTP/1.1\r\nHost: t\r\nCookie: x=y; SESSION={marked}; z=1\r\n\r\n"));
        rig::read_head(&mut client.reader).unwrap();
        let mut again = [0];
        std::io::Read::read_exact(&mut client.reader, &mut again).unwrap();
        assert_eq!(again, *name.as_bytes());
    }
    let heads: Vec<String> = members.iter().flat_map(|member| member.heads.lock().unwrap().clone()).collect();
    let cookies: Vec<_> = heads.iter().filter_map(|head| header(head, "Cookie")).collect();
    assert_eq!(cookies, vec![format!("x=y; SESSION=s-{name}; z=1"); 6]);
}

#[test]
fn a_client_stays_by_its_address_at_layer_7_and_4() {
    let members = ["a", "b", "c"].map(Member::named);
    let by_source = || Stickiness::SourceIp { minutes: StickyMinutes::of(1) };
    for listener in [http(free_address(), &addresses(&members)), tcp(free_address(), &addresses(&members))] {
        let address = listener.endpoints[0].address;
        let _rig = Rig::serving(sticky(listener, by_source()));
        let first = rig::get(address);
        for _ in 0..10 {
            let response = rig::get(address);
            assert_eq!((response.text(), response.header("Set-Cookie")), (first.text(), None));
        }
    }
}

#[test]
fn a_sticky_client_whose_member_does_not_answer_in_time_is_told_at_once() {
    let silent = || {
        Member::start(|mut stream| {
            // Reads for ever and says nothing.
            let _end = std::io::copy(&mut stream, &mut std::io::sink());
        })
    };
    let (one, two) = (silent(), silent());
    let listener = sticky(http(free_address(), &[one.address, two.address]), by_cookie());
    let address = listener.endpoints[0].address;
    let _rig = Rig::serving(with_http(listener, |http| http.response_timeout = Duration::from_millis(300)));
    assert_eq!(rig::get(address).status(), 504);
    assert_eq!(one.connection_count() + two.connection_count(), 1);
}
