//! A listener with much to do beside one with little: whose requests reach a member first.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "rig/h2.rs"]
#[allow(dead_code, reason = "each test file uses its part")]
mod client;
mod rig;

use std::{
    io::{BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use dataplane::Applied;
use http::Method;
use rig::{Client, Rig, eventually, free_address, http as http_listener, read_head, run, tcp, with_http};

/// How much comes at once to the listener that has much to do.
const MANY: usize = 120;

/// A member that takes its connections one after another, so that it knows in which order they were made. When the first one of the
/// listener with much to do comes, the other one is asked for something.
struct Witness {
    address: SocketAddr,
    /// Who came: "/many" or "/one".
    came: Arc<Mutex<Vec<String>>>,
    /// Asks the other listener.
    ask: Arc<Mutex<Option<TcpStream>>>,
}

impl Witness {
    fn start() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let (came, ask) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<Option<TcpStream>>>::default());
        let (seen, asked) = (came.clone(), ask.clone());
        thread::spawn(move || {
            for mut stream in socket.incoming().flatten() {
                if let Some(mut quiet) = asked.lock().unwrap().take() {
                    quiet.write_all(b"GET /one HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
                }
                let Some(head) = read_head(&mut BufReader::new(&stream)) else { continue };
                seen.lock().unwrap().push(head.split(' ').nth(1).unwrap().to_owned());
                // No connection is kept, so each request makes one.
                let _gone =
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        });
        Self { address, came, ask }
    }
}

const GET_MANY: &[u8] = b"GET /many HTTP/1.1\r\nHost: test\r\n\r\n";

/// Many streams of one connection.
fn streams(address: SocketAddr, answered: &dyn Fn() -> bool) {
    run(async {
        let mut client = client::connect(address).await.0;
        let asked: Vec<_> = (0..MANY)
            .map(|_| client.send_request(client::request(Method::GET, "/many"), true).unwrap().0)
            .collect();
        rig::eventually_async("all are answered", answered).await;
        drop(asked);
    });
}

/// Many connections that stand, of which each asks.
fn requests(address: SocketAddr, answered: &dyn Fn() -> bool) {
    let mut clients: Vec<_> = (0..MANY).map(|_| TcpStream::connect(address).unwrap()).collect();
    clients.iter_mut().for_each(|client| client.write_all(GET_MANY).unwrap());
    eventually("all are answered", answered);
}

/// Many connections that are made.
fn connections(address: SocketAddr, answered: &dyn Fn() -> bool) {
    let clients: Vec<_> = (0..MANY)
        .map(|_| {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(GET_MANY).unwrap();
            client
        })
        .collect();
    eventually("all are answered", answered);
    drop(clients);
}

#[test]
fn a_request_to_a_quiet_listener_is_served_before_all_that_came_to_a_busy_one() {
    type Burst = fn(SocketAddr, &dyn Fn() -> bool);
    for (why, kind, burst) in [
        ("streams of one connection of HTTP/2", "h2", streams as Burst),
        ("requests on connections that stand", "http", requests),
        ("connections of TCP", "tcp", connections),
    ] {
        let witness = Witness::start();
        let (busy, quiet) = (free_address(), free_address());
        let rig = Rig::with_workers(1);
        let members = [witness.address];
        let noisy = match kind {
            "h2" => with_http(http_listener(busy, &members), |http| http.http2 = true),
            "tcp" => tcp(busy, &members),
            _ => http_listener(busy, &members),
        };
        assert_eq!(rig.apply([noisy, http_listener(quiet, &members)]), Applied::default());
        // On a busy machine most of a burst may be served before the quiet client's words are there. Without rounds that is so every time.
        let passed_by = (0..20).any(|_| {
            let mut client = Client::connect(quiet);
            assert_eq!(client.get("/one").status(), 200);
            witness.came.lock().unwrap().clear();
            *witness.ask.lock().unwrap() = Some(client.stream.try_clone().unwrap());
            burst(busy, &|| witness.came.lock().unwrap().len() == MANY + 1);
            assert_eq!(client.response().status(), 200);
            let came = witness.came.lock().unwrap();
            let before = came.iter().position(|path| path == "/one").unwrap();
            println!("{why}: {before} of {MANY} came before");
            before < MANY / 3
        });
        assert!(passed_by, "{why}: the quiet listener's request was never served in time");
    }
}
