//! Early data of TLS 1.3: what is served before the client's part of the handshake, what waits for it, and what never counts.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../rig/records.rs"]
mod records;
#[path = "../rig/mod.rs"]
mod rig;
#[path = "../rig/tls.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod secured;

mod http2;

use std::{
    io::{Cursor, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use model::listener::{TlsHeader, TlsHeaderSwitch};
use plan::TlsPlan;
use records::{logging, records};
use rig::{Member, PATIENCE, Request, Rig, eventually, free_address, header, http, ok, with_http};
use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};
use secured::{Authority, Like, TlsClient, certificate, client_config, over_tls, tls_plan};

const GET: &str = "GET / HTTP/1.1\r\nHost: t\r\n\r\n";
const POST: &str = "POST /post HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nbody";

/// Terms with early data.
fn early_plan() -> TlsPlan {
    TlsPlan { early_data: true, ..tls_plan(&certificate(&["t"]), &[]) }
}

/// A listener that takes early data.
fn serving(member: &Member) -> (Rig, SocketAddr) {
    let address = free_address();
    (Rig::serving(over_tls(http(address, &[member.address]), early_plan())), address)
}

/// Settings of clients that speak early where they may.
fn speaking_early(alpn: &[&str]) -> Arc<ClientConfig> {
    let mut config = client_config(Like::default());
    config.enable_early_data = true;
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// Settings of a client that was here before, with what it needs to speak early.
fn known(address: SocketAddr) -> Arc<ClientConfig> {
    let config = speaking_early(&[]);
    assert_eq!(TlsClient::connect(address, &config, "t").ask(GET).status(), 200);
    config
}

/// A client that says its part of the handshake only when it is told to.
struct Early {
    session: ClientConnection,
    socket: TcpStream,
    heard: Vec<u8>,
}

impl Early {
    /// Says hello and these bytes behind it, in one flight.
    fn saying(address: SocketAddr, config: &Arc<ClientConfig>, bytes: impl AsRef<[u8]>) -> Self {
        let (session, flight) = first_flight(config, bytes.as_ref());
        let mut early = Self { session, socket: connected(address), heard: Vec::new() };
        early.socket.write_all(&flight).unwrap();
        early
    }

    /// Hears once, and says nothing; false at the end of what the server says.
    fn hear(&mut self) -> bool {
        match self.session.read_tls(&mut self.socket) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return false,
            Err(error) => panic!("{error}"),
        }
        self.session.process_new_packets().unwrap();
        match self.session.reader().read_to_end(&mut self.heard) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => panic!("{error}"),
            Ok(_) | Err(_) => true,
        }
    }

    /// The next response.
    fn response(&mut self) -> Request {
        loop {
            if self.heard.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                let mut reader = Cursor::new(&self.heard);
                if let Some(response) = Request::read(&mut reader) {
                    let taken = usize::try_from(reader.position()).unwrap();
                    self.heard.drain(..taken);
                    return response;
                }
            }
            assert!(self.hear(), "the end instead of a response");
        }
    }

    /// Waits until the server said its part of the handshake.
    fn hear_handshake(&mut self) {
        while self.session.is_handshaking() {
            assert!(self.hear());
        }
    }

    /// Says what is to be said by now: at first, its own part of the handshake.
    fn go_on(&mut self) {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.socket).unwrap();
        }
    }

    /// Says what nobody sealed, in the place of its own part of the handshake; what the server says of that.
    fn break_off(&mut self) -> rustls::Error {
        self.socket.write_all(&[&[23, 3, 3, 0, 32][..], &[7; 32]].concat()).unwrap();
        loop {
            assert!(self.session.read_tls(&mut self.socket).unwrap() > 0, "the end without an alert");
            if let Err(error) = self.session.process_new_packets() {
                return error;
            }
        }
    }

    fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.session.writer().write_all(bytes.as_ref()).unwrap();
        self.go_on();
    }
}

fn connected(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// A session that begins, and the bytes of its first flight.
fn first_flight(config: &Arc<ClientConfig>, bytes: &[u8]) -> (ClientConnection, Vec<u8>) {
    let mut session = ClientConnection::new(config.clone(), ServerName::try_from("t").unwrap()).unwrap();
    session.early_data().expect("a ticket that allows it").write_all(bytes).unwrap();
    let mut flight = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut flight).unwrap();
    }
    (session, flight)
}

/// The marks of the requests that the member saw.
fn marks(member: &Member) -> Vec<(String, Option<String>)> {
    let heads = member.heads.lock().unwrap();
    let line =
        |head: &String| head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    heads.iter().map(|head| (line(head), header(head, "Early-Data"))).collect()
}

fn mark(line: &str, value: Option<&str>) -> (String, Option<String>) {
    (line.to_owned(), value.map(str::to_owned))
}

#[test]
fn a_safe_request_is_answered_before_the_clients_part_and_members_are_told() {
    let member = Member::named("a");
    let address = free_address();
    let listener = with_http(http(address, &[member.address]), |http| {
        let on = TlsHeaderSwitch { enabled: true, alias: None };
        http.insert_headers.tls =
            [TlsHeader::Protocol, TlsHeader::Cipher, TlsHeader::Sni, TlsHeader::CertificateId]
                .into_iter()
                .map(|header| (header, on.clone()))
                .collect();
    });
    let _rig = Rig::serving(over_tls(listener, early_plan()));
    let config = known(address);
    let mut client = Early::saying(address, &config, GET);
    assert_eq!(client.response().text(), "a", "its part is not said yet");
    assert!(client.session.is_early_data_accepted());
    client.say("GET /2 HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().text(), "a");
    client.say(POST);
    assert_eq!(client.response().text(), "a");
    assert_eq!(
        marks(&member),
        [mark("GET /", None), mark("GET /", Some("1")), mark("GET /2", None), mark("POST /post", None)]
    );
    let heads = member.heads.lock().unwrap();
    for name in ["Protocol", "Cipher", "Sni", "Certificate-ID"] {
        let name = format!("X-Forwarded-TLS-{name}");
        let [usual, early] = [0, 1].map(|at| header(&heads[at], &name));
        assert!(early.is_some() && early == usual, "{name}: {early:?}");
    }
}

#[test]
fn what_may_not_be_said_twice_waits_for_the_clients_part() {
    let member = Member::named("a");
    let (_rig, address) = serving(&member);
    let config = known(address);
    for (why, request, line) in [
        ("a method that is not safe", POST, "POST /post"),
        ("the same without a body", "DELETE /d HTTP/1.1\r\nHost: t\r\n\r\n", "DELETE /d"),
        ("a body", "GET /b HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nb", "GET /b"),
        (
            "a body of unsaid length",
            "GET /c HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "GET /c",
        ),
    ] {
        member.heads.lock().unwrap().clear();
        // The answer to the first shows that the second was there to be judged.
        let mut client = Early::saying(address, &config, format!("{GET}{request}"));
        assert_eq!(client.response().text(), "a", "{why}");
        thread::park_timeout(Duration::from_millis(100));
        assert_eq!(marks(&member), [mark("GET /", Some("1"))], "{why}");
        client.go_on();
        assert_eq!(client.response().text(), "a", "{why}");
        assert_eq!(marks(&member), [mark("GET /", Some("1")), mark(line, None)], "{why}");
    }
}

#[test]
fn what_waits_is_forgotten_when_the_handshake_fails() {
    let member = Member::named("a");
    let (_rig, address) = serving(&member);
    let config = known(address);
    member.heads.lock().unwrap().clear();
    let mut client = Early::saying(address, &config, format!("{GET}{POST}"));
    assert_eq!(client.response().text(), "a");
    assert!(client.break_off().to_string().contains("BadRecordMac"));
    assert_eq!(marks(&member), [mark("GET /", Some("1"))]);
}

#[test]
fn a_flight_that_is_said_again_is_not_taken() {
    let member = Member::named("a");
    let address = free_address();
    let listener = over_tls(http(address, &[member.address]), early_plan());
    let rig = Rig::serving(listener.clone());
    let config = known(address);
    member.heads.lock().unwrap().clear();
    let (_, flight) = first_flight(&config, GET.as_bytes());
    for attempt in 0..6 {
        if attempt == 3 {
            // What was taken stays taken over changes of the listener.
            rig.apply([over_tls(rig::again(&listener), early_plan())]);
        }
        let mut socket = connected(address);
        socket.write_all(&flight).unwrap();
        // Its hello is answered in any case, and by then its early data was read or dropped.
        socket.read_exact(&mut [0; 5]).unwrap();
        eventually("the first is taken", || member.heads.lock().unwrap().len() == 1);
    }
    thread::park_timeout(Duration::from_millis(100));
    assert_eq!(marks(&member), [mark("GET /", Some("1"))]);
}

#[test]
fn a_flight_counts_once_whichever_process_it_comes_to() {
    let member = Member::named("a");
    let address = free_address();
    let listener = over_tls(http(address, &[member.address]), early_plan());
    let former = Rig::serving(listener.clone());
    let config = known(address);
    member.heads.lock().unwrap().clear();
    let (_, flight) = first_flight(&config, GET.as_bytes());
    let say = || {
        let mut socket = connected(address);
        socket.write_all(&flight).unwrap();
        socket.read_exact(&mut [0; 5]).unwrap();
        // Who goes away before the member is asked is not asked for.
        socket
    };
    let lent = former.runtime.block_on(former.dataplane.lend()).unwrap();
    let next = Rig::taking_over(2, lent);
    assert!(next.apply([listener]).faults.is_empty());
    // The next one could begin at any moment.
    drop(say());
    thread::park_timeout(Duration::from_millis(100));
    assert_eq!(marks(&member), [], "it counts no longer where it was promised");
    former.runtime.block_on(former.dataplane.hold());
    next.runtime.block_on(next.dataplane.accept());
    for _ in 0..3 {
        let _kept = say();
        eventually("the first is taken", || member.heads.lock().unwrap().len() == 1);
    }
    thread::park_timeout(Duration::from_millis(100));
    assert_eq!(marks(&member), [mark("GET /", Some("1"))]);
}

#[test]
fn whoever_is_refused_asks_again_after_the_handshake() {
    let member = Member::named("a");
    let (_rig, address) = serving(&member);
    let config = known(address);
    let (mut session, flight) = first_flight(&config, GET.as_bytes());
    // Who goes away before the member is asked is not asked for.
    let mut first = connected(address);
    first.write_all(&flight).unwrap();
    eventually("it is taken", || member.heads.lock().unwrap().len() == 2);
    let mut socket = connected(address);
    socket.write_all(&flight).unwrap();
    while session.is_handshaking() {
        session.read_tls(&mut socket).unwrap();
        session.process_new_packets().unwrap();
    }
    assert!(!session.is_early_data_accepted());
    let mut again = Early { session, socket, heard: Vec::new() };
    again.say(POST);
    assert_eq!(again.response().text(), "a");
    assert_eq!(marks(&member)[2..], [mark("POST /post", None)]);
}

#[test]
fn sessions_outlive_a_change_of_the_listener() {
    let member = Member::named("a");
    let address = free_address();
    let listener = over_tls(http(address, &[member.address]), early_plan());
    let rig = Rig::serving(listener.clone());
    let config = known(address);
    rig.apply([over_tls(rig::again(&listener), early_plan())]);
    let mut client = Early::saying(address, &config, GET);
    assert_eq!(client.response().text(), "a");
    assert_eq!(marks(&member)[1..], [mark("GET /", Some("1"))]);
}

#[test]
fn nothing_is_promised_where_it_is_off_or_not_for_http_or_clients_show_certificates() {
    let member = Member::named("a");
    let authority = Authority::new();
    for (why, plan, identity) in [
        ("off", tls_plan(&certificate(&["t"]), &[]), None),
        ("no HTTP", TlsPlan { http: false, ..early_plan() }, None),
        (
            "clients show certificates",
            TlsPlan { client_ca: Some(authority.plan.clone()), ..early_plan() },
            Some(authority.client()),
        ),
    ] {
        let address = free_address();
        let _rig = Rig::serving(over_tls(http(address, &[member.address]), plan));
        let mut config = client_config(Like { identity, ..Like::default() });
        config.enable_early_data = true;
        let config = Arc::new(config);
        for attempt in 0..2 {
            let mut client = TlsClient::connect(address, &config, "t");
            assert!(client.session().early_data().is_none(), "{why}, {attempt}");
            assert_eq!(client.ask(GET).text(), "a", "{why}");
        }
    }
    assert!(marks(&member).iter().all(|(_, mark)| mark.is_none()));
}

#[test]
fn switching_it_off_takes_what_was_promised_back() {
    let member = Member::named("a");
    let address = free_address();
    let listener = over_tls(http(address, &[member.address]), early_plan());
    let rig = Rig::serving(listener.clone());
    let config = known(address);
    rig.apply([over_tls(rig::again(&listener), TlsPlan { early_data: false, ..early_plan() })]);
    let mut client = Early::saying(address, &config, GET);
    client.hear_handshake();
    assert!(!client.session.is_early_data_accepted());
    client.say(POST);
    assert_eq!(client.response().text(), "a");
    assert_eq!(marks(&member)[1..], [mark("POST /post", None)]);
}

#[test]
fn a_large_answer_goes_out_before_and_after_the_clients_part() {
    let size = 6_000_000;
    let member = Member::http(move |_| ok(&"x".repeat(size)));
    let (_rig, address) = serving(&member);
    let config = known(address);
    let mut client = Early::saying(address, &config, GET);
    assert_eq!(client.response().body.len(), size, "all of it before");
    client.say(GET);
    assert_eq!(client.response().body.len(), size);
    let mut client = Early::saying(address, &config, GET);
    while client.heard.len() < size / 10 {
        assert!(client.hear());
    }
    client.go_on();
    assert!(client.response().body == vec![b'x'; size], "half of it before");
    client.say(GET);
    assert_eq!(client.response().body.len(), size);
}

#[test]
fn a_closing_answer_arrives_whole_and_the_end_is_said_by_tls() {
    let member = Member::named("a");
    let (_rig, address) = serving(&member);
    let config = known(address);
    for (request, status) in
        [("GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", 200), ("nonsense\r\n\r\n", 400)]
    {
        let mut client = Early::saying(address, &config, request);
        assert_eq!(client.response().status(), status);
        client.go_on();
        while client.hear() {}
        assert!(client.heard.is_empty());
        let at_its_end = client.session.reader().read(&mut [0; 1]);
        assert_eq!(at_its_end.unwrap(), 0, "close_notify came");
    }
}

#[test]
fn a_head_that_ends_after_the_handshake_is_an_ordinary_request() {
    let member = Member::named("a");
    let (_rig, address) = serving(&member);
    let config = known(address);
    let (begin, end) = GET.split_at(10);
    let mut client = Early::saying(address, &config, begin);
    client.hear_handshake();
    client.say(end);
    assert_eq!(client.response().text(), "a");
    assert_eq!(marks(&member)[1..], [mark("GET /", None)]);
}

#[test]
fn the_clients_own_mark_is_kept_and_never_doubled_and_425_is_its_own_affair() {
    let member = Member::http(|request| match request.header("Early-Data") {
        Some(_) => b"HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n".to_vec(),
        None => ok("a"),
    });
    let (_rig, address) = serving(&member);
    let config = known(address);
    let marked = "GET / HTTP/1.1\r\nHost: t\r\nearly-data: 1\r\n\r\n";
    let mut client = Early::saying(address, &config, marked);
    assert_eq!(client.response().status(), 425);
    client.say(marked);
    assert_eq!(client.response().status(), 425, "said by the client alone");
    client.say(GET);
    assert_eq!(client.response().status(), 200);
    assert_eq!(
        marks(&member)[1..],
        [mark("GET /", Some("1")), mark("GET /", Some("1")), mark("GET /", None)]
    );
}

#[test]
fn a_client_that_ends_with_its_part_gets_its_answer() {
    let member = Member::named("a");
    let (_rig, address) = serving(&member);
    let config = known(address);
    let mut client = Early::saying(address, &config, POST);
    client.hear_handshake();
    client.session.send_close_notify();
    client.go_on();
    assert_eq!(client.response().text(), "a");
}

#[test]
fn a_record_of_the_access_log_says_of_tls_what_it_always_says() {
    let member = Member::named("a");
    let address = free_address();
    let listener = over_tls(http(address, &[member.address]), early_plan());
    let (_rig, dir) = logging(listener);
    let config = known(address);
    let mut client = Early::saying(address, &config, "GET /early HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().text(), "a");
    let lines = records(&dir, 2);
    let early = lines
        .iter()
        .find(|line| line.contains("GET http://t/early "))
        .unwrap_or_else(|| panic!("{lines:#?}"));
    let usual = lines.iter().find(|line| !line.contains("/early")).unwrap();
    for part in [" TLSv1.3 ", " TLS_AES_128_GCM_SHA256 "] {
        assert!(early.contains(part) && usual.contains(part), "{part}: {lines:#?}");
    }
}

// -- HTTP/2
