//! gRPC: calls over HTTP/2 to members that speak it, trailers from end to end, and errors of our own in its words.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod rig;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{
    RecvStream,
    client::{Builder, SendRequest},
    server::SendResponse,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use model::PoolProtocol;
use rig::{Rig, eventually, free_address, http as http_listener, with_http, with_target};

/// A member that speaks HTTP/2 in clear.
struct GrpcMember {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
    /// Of calls that were given up.
    reset: Arc<AtomicUsize>,
    fields: Arc<Mutex<HeaderMap>>,
}

impl GrpcMember {
    /// What it does depends on the path of a call. `streams_max`: at once on a connection.
    fn start(streams_max: u32) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let member = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            calls: Arc::default(),
            reset: Arc::default(),
            fields: Arc::default(),
        };
        let (connections, calls) = (member.connections.clone(), member.calls.clone());
        let (reset, fields) = (member.reset.clone(), member.fields.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (tcp, _) = listener.accept().await.unwrap();
                    connections.fetch_add(1, SeqCst);
                    let (calls, reset, fields) = (calls.clone(), reset.clone(), fields.clone());
                    tokio::task::spawn_local(async move {
                        let mut builder = h2::server::Builder::new();
                        builder.max_concurrent_streams(streams_max);
                        let Ok(mut connection) = builder.handshake(tcp).await else { return };
                        while let Some(Ok((request, respond))) = connection.accept().await {
                            calls.fetch_add(1, SeqCst);
                            *fields.lock().unwrap() = request.headers().clone();
                            tokio::task::spawn_local(answer(request, respond, calls.clone(), reset.clone()));
                        }
                    });
                }
            });
        });
        member
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    calls: Arc<AtomicUsize>,
    reset: Arc<AtomicUsize>,
) {
    let path = request.uri().path().to_owned();
    let mut body = request.into_body();
    let head = || Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    match &path[..] {
        "/silent" => {
            std::future::poll_fn(|cx| respond.poll_reset(cx)).await.unwrap();
            reset.fetch_add(1, SeqCst);
        }
        "/reset" => respond.send_reset(h2::Reason::REFUSED_STREAM),
        "/alone" => {
            let mut head = head();
            head.headers_mut().insert("grpc-status", HeaderValue::from_static("5"));
            respond.send_response(head, true).unwrap();
        }
        "/together" => {
            while calls.load(SeqCst) < 6 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            respond.send_response(head(), true).unwrap();
        }
        // An echo, piece by piece.
        _ => {
            let mut out = respond.send_response(head(), false).unwrap();
            while let Some(piece) = body.data().await {
                let Ok(piece) = piece else {
                    reset.fetch_add(1, SeqCst);
                    return;
                };
                body.flow_control().release_capacity(piece.len()).unwrap();
                out.send_data(piece, false).unwrap();
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            trailers.insert("grpc-message", HeaderValue::from_static("fine"));
            out.send_trailers(trailers).unwrap();
        }
    }
}

fn serving(members: &[SocketAddr]) -> (Rig, SocketAddr) {
    let address = free_address();
    let listener = with_http(http_listener(address, members), |http| {
        http.http2 = true;
        http.response_timeout = Duration::from_secs(1);
    });
    (Rig::serving(with_target(listener, |target| target.protocol = PoolProtocol::Grpc)), address)
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        tokio::time::timeout(rig::PATIENCE, test).await.expect("the test ends in time")
    })
}

async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let (client, connection) = Builder::new().handshake(tcp).await.unwrap();
    tokio::task::spawn_local(async move { drop(connection.await) });
    client.ready().await.unwrap()
}

fn call(path: &str) -> Request<()> {
    Request::builder()
        .method(Method::POST)
        .uri(format!("http://grpc.test{path}"))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .header("x-mine", "1")
        .body(())
        .unwrap()
}

/// A call of one piece: fields of the response, its body, the status wherever it was.
async fn unary(
    client: &mut SendRequest<Bytes>,
    path: &str,
    piece: &'static [u8],
) -> (HeaderMap, Vec<u8>, String) {
    let (response, mut up) = client.send_request(call(path), false).unwrap();
    up.send_data(piece.into(), true).unwrap();
    let (head, mut body) = response.await.unwrap().into_parts();
    assert_eq!(head.status.as_u16(), 200, "{path}");
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        bytes.extend_from_slice(&piece.unwrap());
    }
    let trailers = body.trailers().await.unwrap().unwrap_or_default();
    let status = trailers.get("grpc-status").or(head.headers.get("grpc-status")).unwrap();
    let status = status.to_str().unwrap().to_owned();
    (head.headers, bytes, status)
}

#[test]
fn calls_share_a_connection_and_trailers_come_through() {
    let member = GrpcMember::start(100);
    let (_rig, address) = serving(&[member.address]);
    run(async {
        let mut client = connect(address).await;
        for _ in 0..20 {
            let (head, body, status) = unary(&mut client, "/a.B/Echo", b"\0\0\0\0\x02hi").await;
            assert_eq!((&body[..], &status[..]), (&b"\0\0\0\0\x02hi"[..], "0"));
            assert_eq!(head["content-type"], "application/grpc");
        }
        let (_, body, status) = unary(&mut client, "/alone", b"x").await;
        assert_eq!((body.len(), &status[..]), (0, "5"));
    });
    assert_eq!(member.calls.load(SeqCst), 21);
    assert_eq!(member.connections.load(SeqCst), 1);
    let fields = member.fields.lock().unwrap();
    assert_eq!(
        (&fields["te"], &fields["x-mine"], &fields["x-forwarded-for"]),
        (
            &HeaderValue::from_static("trailers"),
            &HeaderValue::from_static("1"),
            &HeaderValue::from_static("127.0.0.1"),
        )
    );
    assert_eq!(fields["content-type"], "application/grpc+proto");
}

#[test]
fn both_sides_stream_at_once() {
    let member = GrpcMember::start(100);
    let (_rig, address) = serving(&[member.address]);
    run(async {
        let mut client = connect(address).await;
        let (response, mut up) = client.send_request(call("/stream"), false).unwrap();
        let mut down = response.await.unwrap().into_body();
        for piece in ["one", "two", "three"] {
            up.send_data(piece.into(), false).unwrap();
            assert_eq!(down.data().await.unwrap().unwrap(), piece);
        }
        up.send_data(Bytes::new(), true).unwrap();
        assert!(down.data().await.is_none());
        assert_eq!(down.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    });
}

#[test]
fn another_connection_is_made_when_a_member_allows_no_more_streams() {
    let member = GrpcMember::start(2);
    let (_rig, address) = serving(&[member.address]);
    run(async {
        let mut client = connect(address).await;
        // Then it is known how many the member allows.
        unary(&mut client, "/a", b"x").await;
        let calls: Vec<_> = (0..5)
            .map(|_| {
                let (response, mut up) = client.send_request(call("/together"), false).unwrap();
                up.send_data(Bytes::new(), true).unwrap();
                response
            })
            .collect();
        for response in calls {
            assert!(!response.await.unwrap().headers().contains_key("grpc-status"), "no error of ours");
        }
    });
    assert!(member.connections.load(SeqCst) >= 3);
}

#[test]
fn errors_of_our_own_are_statuses_of_grpc() {
    let member = GrpcMember::start(100);
    let nobody = free_address();
    for (why, members, path, status) in [
        ("no member", vec![], "/a", "14"),
        ("no member that can be reached", vec![nobody], "/a", "14"),
        ("a member that says no", vec![member.address], "/reset", "14"),
        ("a member that says nothing", vec![member.address], "/silent", "4"),
    ] {
        let (_rig, address) = serving(&members);
        run(async {
            let mut client = connect(address).await;
            let (head, body, got) = unary(&mut client, path, b"x").await;
            assert_eq!((&got[..], body.len()), (status, 0), "{why}");
            assert_eq!(head["content-type"], "application/grpc", "{why}");
        });
    }
    eventually("what was waited for in vain is given up", || member.reset.load(SeqCst) == 1);
}

#[test]
fn a_call_that_is_given_up_is_given_up_at_the_member() {
    let member = GrpcMember::start(100);
    let (_rig, address) = serving(&[member.address]);
    run(async {
        let mut client = connect(address).await;
        for path in ["/silent", "/stream"] {
            let before = member.calls.load(SeqCst);
            let (_response, mut up) = client.send_request(call(path), false).unwrap();
            while member.calls.load(SeqCst) == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            up.send_reset(h2::Reason::CANCEL);
        }
        while member.reset.load(SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The connection to the member goes on.
        unary(&mut client, "/a", b"x").await;
    });
    assert_eq!(member.connections.load(SeqCst), 1);
}

#[test]
fn a_connection_on_which_nothing_is_answered_gets_no_further_calls() {
    let member = GrpcMember::start(100);
    let (_rig, address) = serving(&[member.address]);
    run(async {
        let mut client = connect(address).await;
        let silent: Vec<_> = (0..3)
            .map(|_| {
                let (response, mut up) = client.send_request(call("/silent"), false).unwrap();
                up.send_data(Bytes::new(), true).unwrap();
                response
            })
            .collect();
        for response in silent {
            assert_eq!(response.await.unwrap().headers()["grpc-status"], "4");
        }
        assert_eq!(member.connections.load(SeqCst), 1);
        unary(&mut client, "/a", b"x").await;
    });
    assert_eq!(member.connections.load(SeqCst), 2);
}
