//! What the tests of this crate stand on: a data plane, members in threads, clients with plain sockets.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "each test file uses its part"
)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use dataplane::{Applied, Config, Dataplane, Inheritance};
use model::{
    ListenerId, MemberId, MonitorType, PoolId, PoolProtocol, ProbeInterval, ProbeThreshold, ProbeTimeout,
    Revision, TargetId, Timestamp,
    health_monitor::{ExpectedStatuses, HttpProbe, ProbeMethod, ProbePath},
    listener::InsertHeaders,
    target::ProbeSettings,
};
pub use plan::ListenerPlan;
use plan::{HttpPlan, MemberPlan, Plan, ServicePlan, TargetPlan};
use uuid::Uuid;

pub const PATIENCE: Duration = Duration::from_secs(10);

/// Shorter than every time limit of [`http_plan`] and of listeners: what ends sooner was ended by a limit that the test itself set.
pub const BEFORE_OTHER_LIMITS: Duration = Duration::from_secs(4);

/// A data plane with two workers.
pub struct Rig {
    pub dataplane: Dataplane,
    pub registry: telemetry::Registry,
    pub runtime: tokio::runtime::Runtime,
    revision: AtomicU64,
}

impl Rig {
    pub fn start() -> Self {
        Self::with_workers(2)
    }

    pub fn with_workers(workers: usize) -> Self {
        Self::with_config(Config { workers, ..Config::default() })
    }

    pub fn with_config(config: Config) -> Self {
        let registry = telemetry::Registry::default();
        let dataplane = dataplane::start(config, registry.clone(), now).unwrap();
        Self::of(dataplane, registry)
    }

    /// A data plane that takes over from another, and accepts nothing yet.
    pub fn taking_over(workers: usize, inheritance: Inheritance) -> Self {
        let registry = telemetry::Registry::default();
        let config = Config { workers, ..Config::default() };
        let dataplane = dataplane::take_over(config, registry.clone(), now, inheritance).unwrap();
        Self::of(dataplane, registry)
    }

    fn of(dataplane: Dataplane, registry: telemetry::Registry) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { dataplane, registry, runtime, revision: AtomicU64::new(0) }
    }

    /// Puts exactly these listeners in force.
    pub fn apply(&self, listeners: impl IntoIterator<Item = ListenerPlan>) -> Applied {
        let revision = Revision(self.revision.fetch_add(1, Ordering::Relaxed) + 1);
        let plan = Arc::new(Plan::of_listeners(revision, listeners));
        self.runtime.block_on(self.dataplane.apply(plan))
    }

    /// A data plane with this one listener in force.
    pub fn serving(listener: ListenerPlan) -> Self {
        let rig = Self::start();
        let applied = rig.apply([listener]);
        assert_eq!(applied, Applied::default());
        rig
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_millis(since.as_millis() as i64)
}

/// A port that nobody uses, on an address of this test process's own.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let host = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    let ip = [127, 100 + (process >> 8) as u8 % 100, process as u8, host as u8 % 250 + 1];
    TcpListener::bind(SocketAddr::from((ip, 0))).unwrap().local_addr().unwrap()
}

/// Distinct for the life of a test process.
pub fn number() -> u128 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed).into()
}

/// An HTTP listener before these members, with timeouts that a test can wait for.
pub fn http(address: SocketAddr, members: &[SocketAddr]) -> ListenerPlan {
    listener(address, members, ServicePlan::Http(http_plan()), PoolProtocol::Http)
}

/// A TCP listener before these members.
pub fn tcp(address: SocketAddr, members: &[SocketAddr]) -> ListenerPlan {
    listener(address, members, ServicePlan::Tcp, PoolProtocol::Tcp)
}

pub fn http_plan() -> HttpPlan {
    HttpPlan {
        request_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(5),
        insert_headers: InsertHeaders::default(),
        fixed_headers: "X-Forwarded-Proto: http\r\n".to_owned(),
        ..HttpPlan::by_hand()
    }
}

/// The listener with other HTTP settings.
pub fn with_http(mut listener: ListenerPlan, change: impl FnOnce(&mut HttpPlan)) -> ListenerPlan {
    let ServicePlan::Http(http) = &mut listener.service else { panic!("no HTTP listener") };
    change(http);
    listener
}

/// The listener with another target.
pub fn with_target(mut listener: ListenerPlan, change: impl FnOnce(&mut TargetPlan)) -> ListenerPlan {
    let mut target = listener.default_target.take().expect("a target");
    let plain = Arc::get_mut(&mut target).expect("not shared yet");
    change(plain);
    listener.default_target = Some(target);
    listener
}

/// A probe every second, of which each counts. One that speaks HTTP asks for `/` and wants 200.
pub fn probe(kind: MonitorType) -> ProbeSettings {
    ProbeSettings {
        kind,
        interval: ProbeInterval::of(1),
        timeout: ProbeTimeout::of(1),
        rise: ProbeThreshold::of(1),
        fall: ProbeThreshold::of(1),
        port: None,
        datagram: None,
        http: HttpProbe {
            method: ProbeMethod::Get,
            path: ProbePath::root(),
            host: None,
            expected: ExpectedStatuses::ok(),
        },
    }
}

pub fn member_plan(address: SocketAddr) -> MemberPlan {
    MemberPlan::by_hand(MemberId::new(Uuid::from_u128(number())), address)
}

pub fn listener(
    address: SocketAddr,
    members: &[SocketAddr],
    service: ServicePlan,
    protocol: PoolProtocol,
) -> ListenerPlan {
    let id = ListenerId::new(Uuid::from_u128(number()));
    let target = TargetPlan::by_hand(
        TargetId { listener: id, pool: PoolId::new(Uuid::from_u128(number())) },
        protocol,
        members.iter().copied().map(member_plan).collect(),
    );
    ListenerPlan {
        idle_timeout: Duration::from_secs(30),
        ..ListenerPlan::by_hand(id, address, service, Some(target))
    }
}

/// A copy of a listener's plan under the same ids, for the next plan.
pub fn again(listener: &ListenerPlan) -> ListenerPlan {
    let default_target = listener.default_target.as_ref().map(|target| Arc::new(TargetPlan::clone(target)));
    ListenerPlan { default_target, ..listener.clone() }
}

/// A member: a thread per connection, which does what the test says.
pub struct Member {
    pub address: SocketAddr,
    /// Connections accepted.
    pub connections: Arc<AtomicU64>,
    /// Heads of requests seen by [`Member::http`].
    pub heads: Arc<Mutex<Vec<String>>>,
}

impl Member {
    /// A member that does this with each connection.
    pub fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), serve)
    }

    pub fn at(address: SocketAddr, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let socket = TcpListener::bind(address).unwrap();
        let address = socket.local_addr().unwrap();
        let connections = Arc::new(AtomicU64::new(0));
        let (serve, counted) = (Arc::new(serve), connections.clone());
        thread::spawn(move || {
            for stream in socket.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let serve = serve.clone();
                stream.set_read_timeout(Some(PATIENCE * 3)).unwrap();
                stream.set_nodelay(true).unwrap();
                thread::spawn(move || serve(stream));
            }
        });
        Self { address, connections, heads: Arc::default() }
    }

    /// A member that answers each request with these bytes, and keeps the connection until the client closes it.
    pub fn http(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = heads.clone();
        let member = Self::start(move |stream| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut writer = stream;
            while let Some(request) = Request::read(&mut reader) {
                seen.lock().unwrap().push(request.head.clone());
                if writer.write_all(&answer(&request)).is_err() {
                    return;
                }
            }
        });
        Self { heads, ..member }
    }

    /// A member that answers 200 with its name.
    pub fn named(name: &'static str) -> Self {
        Self::http(move |_| ok(name))
    }

    pub fn connection_count(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A listening socket whose queue is full: it drops what comes, so connections to it hang. They are refused after it was dropped.
pub struct FullQueue {
    pub address: SocketAddr,
    _listening: socket2::Socket,
    _queued: Vec<TcpStream>,
}

impl FullQueue {
    pub fn start() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            queued.push(stream);
            assert!(queued.len() < 100, "the queue never fills");
        }
        Self { address, _listening: socket, _queued: queued }
    }
}

/// A response with a body and nothing else.
pub fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A request or response as read from a socket.
#[derive(Debug)]
pub struct Request {
    /// All lines up to the empty one.
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    /// Reads one message: head, then a body by Content-Length or chunks. None at the end of the connection.
    pub fn read(reader: &mut impl BufRead) -> Option<Self> {
        let head = read_head(reader)?;
        let body = match header(&head, "content-length") {
            Some(length) => read_exactly(reader, length.parse().unwrap())?,
            None if header(&head, "transfer-encoding").is_some() => read_chunks(reader)?,
            None => Vec::new(),
        };
        Some(Self { head, body })
    }

    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        header(&self.head, name)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub fn read_head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

pub fn header(head: &str, name: &str) -> Option<String> {
    let lines: Vec<_> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.to_owned())
        .collect();
    assert!(lines.len() <= 1, "{name} is there {} times: {head}", lines.len());
    lines.into_iter().next()
}

fn read_exactly(reader: &mut impl Read, length: usize) -> Option<Vec<u8>> {
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

fn read_chunks(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.trim_end(), 16).ok()?;
        if size == 0 {
            while line != "\r\n" {
                line.clear();
                if reader.read_line(&mut line).ok()? == 0 {
                    return None;
                }
            }
            return Some(body);
        }
        body.extend(read_exactly(reader, size)?);
        reader.read_line(&mut line).ok()?;
    }
}

/// A client's connection.
pub struct Client {
    pub stream: TcpStream,
    pub reader: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).unwrap())
    }

    /// A client with a connection that was made already.
    pub fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { reader: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends until nobody takes more.
    pub fn send_all_that_is_taken(&mut self) {
        self.stream.set_nonblocking(true).unwrap();
        let mut refused = 0;
        eventually("nobody takes more", || {
            match self.stream.write(&[7; 65536]) {
                Ok(_) => refused = 0,
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                    refused += 1;
                }
            }
            refused > 100
        });
        self.stream.set_nonblocking(false).unwrap();
    }

    /// Reads one response with its body.
    pub fn response(&mut self) -> Request {
        Request::read(&mut self.reader).expect("a response")
    }

    /// Sends a request and reads its response.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Request {
        self.send(request);
        self.response()
    }

    pub fn get(&mut self, path: &str) -> Request {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
    }

    /// Everything up to the end of the connection; panics when it does not end in time.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).unwrap();
        rest
    }

    /// Whether the connection ended with a reset.
    pub fn is_reset(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(_) => false,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// Runs the client of a test that waits for many things at once; it must end in time.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        tokio::time::timeout(3 * PATIENCE, test).await.expect("the test ends in time")
    })
}

/// A client of a member that says "part", then waits for `broken`, says "last" and breaks off, while bytes wait for it.
pub fn assert_no_end_when_broken_off(address: SocketAddr, broken: &Barrier) {
    let mut client = Client::connect(address);
    client.reader.read_exact(&mut [0; 4]).unwrap();
    client.send_all_that_is_taken();
    broken.wait();
    let mut last = [0; 4];
    client.reader.read_exact(&mut last).unwrap();
    assert_eq!(&last, b"last", "what it said before is passed on");
    assert!(client.is_reset(), "an end is not");
}

/// One GET on a connection of its own.
pub fn get(address: SocketAddr) -> Request {
    Client::connect(address).get("/")
}

/// Polls until it holds, or panics.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        thread::park_timeout(POLL_EVERY);
    }
}

/// As [`eventually`], for the client of [`run`].
pub async fn eventually_async(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// How often a condition is looked at again.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// Breaks a connection off: its peer gets a reset.
pub fn reset(client: Client) {
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
}
