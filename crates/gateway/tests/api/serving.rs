//! Health, unknown paths, limits, and the server on a real socket.

use std::{net::SocketAddr, time::Duration};

use axum::http::{Method, StatusCode};
use gateway::{BODY_MAX, Gateway, Limits, plain_http_allowed, serve};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use crate::site::{HOME, Site, operations, plain, send, signed};

#[tokio::test]
async fn health_readiness_and_metrics_need_no_credentials() {
    let site = Site::new();
    for (path, text, kind) in [
        ("/healthz", "ok\n", "text/plain; charset=utf-8"),
        ("/readyz", "ready\n", "text/plain; charset=utf-8"),
        ("/metrics", "# EOF\n", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ] {
        let answer = site.send(plain(Method::GET, path, "")).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, text), "{path}");
        assert_eq!(answer.headers["content-type"], kind, "{path}");
        let answer = site.send(plain(Method::POST, path, "")).await;
        assert_eq!(
            (answer.status, &answer.headers["allow"]),
            (StatusCode::METHOD_NOT_ALLOWED, &"GET, HEAD".parse().unwrap()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn before_it_is_opened_it_lives_but_is_not_ready() {
    let gateway = Gateway::new(operations());
    let list = format!("/v3/{HOME}/elb/pools");
    for (path, status) in [
        ("/healthz", StatusCode::OK),
        ("/metrics", StatusCode::OK),
        ("/readyz", StatusCode::SERVICE_UNAVAILABLE),
        ("/versions", StatusCode::SERVICE_UNAVAILABLE),
        ("/v3/auth/tokens", StatusCode::SERVICE_UNAVAILABLE),
        (&list, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let answer = send(&gateway, plain(Method::GET, path, "")).await;
        assert_eq!(answer.status, status, "{path}");
    }
}

#[tokio::test]
async fn not_ready_says_why() {
    let mut operations = operations();
    operations.ready = Box::new(|| Err("the node is behind".to_owned()));
    let answer = Site::with(operations).send(plain(Method::GET, "/readyz", "")).await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "the node is behind\n")
    );
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_in_json_with_a_request_id() {
    let site = Site::new();
    let below = format!("/v3/{HOME}/nothing");
    let pools = format!("/v3/{HOME}/elb/pools");
    for (why, request, status, code) in [
        ("of no part", plain(Method::GET, "/nothing", ""), StatusCode::NOT_FOUND, "ELB.8904"),
        ("the root", plain(Method::GET, "/", ""), StatusCode::NOT_FOUND, "ELB.8904"),
        (
            "unknown to the dialect",
            signed("AKADA", Method::GET, &below, ""),
            StatusCode::NOT_FOUND,
            "ELB.8904",
        ),
        ("a method", signed("AKADA", Method::PUT, &pools, ""), StatusCode::METHOD_NOT_ALLOWED, "ELB.8902"),
        (
            "unknown, without credentials",
            plain(Method::GET, &below, ""),
            StatusCode::UNAUTHORIZED,
            "SYS.0401",
        ),
    ] {
        let answer = site.send(request).await;
        assert_eq!(
            (answer.status, &answer.body["error_code"]),
            (status, &json!(code)),
            "{why}: {}",
            answer.text
        );
        assert_eq!(answer.body["request_id"], answer.headers["x-request-id"].to_str().unwrap(), "{why}");
        assert_eq!(answer.headers["content-type"], "application/json", "{why}");
    }
    let answer = site.send(signed("AKADA", Method::PUT, &pools, "")).await;
    assert!(answer.headers["allow"].to_str().unwrap().contains("POST"), "which methods there are");
}

#[tokio::test]
async fn the_list_of_versions_is_open_to_all() {
    let site = Site::new();
    let answer = site.send(plain(Method::GET, "/versions", "")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body["request_id"], answer.headers["x-request-id"].to_str().unwrap());
}

#[tokio::test]
async fn a_body_may_have_a_mebibyte_and_no_more() {
    let site = Site::new();
    let path = format!("/v3/{HOME}/elb/pools");
    let (fits, over) = ("x".repeat(BODY_MAX), "x".repeat(BODY_MAX + 1));
    assert_eq!(site.send(signed("AKADA", Method::POST, &path, &fits)).await.status, StatusCode::OK);
    let answer = site.send(signed("AKADA", Method::POST, &path, &over)).await;
    assert_eq!((answer.status, &answer.body["error_code"]), (StatusCode::BAD_REQUEST, &json!("ELB.8902")));
    let answer = site.send(plain(Method::POST, "/v3/auth/tokens", &over)).await;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!(413)));
}

#[test]
fn plain_http_is_for_loopback_only() {
    for (address, allowed) in [
        ("127.0.0.1:8780", true),
        ("127.9.9.9:1", true),
        ("[::1]:8780", true),
        ("[::ffff:127.0.0.1]:8780", true),
        ("0.0.0.0:8780", false),
        ("[::]:8780", false),
        ("10.0.0.1:8780", false),
    ] {
        let address: SocketAddr = address.parse().unwrap();
        assert_eq!(plain_http_allowed(address).is_ok(), allowed, "{address}");
    }
    let words = plain_http_allowed("10.0.0.1:1".parse().unwrap()).unwrap_err().to_string();
    assert!(words.contains("10.0.0.1:1") && words.contains("127.0.0.1"), "{words}");
}

/// A server on a free port; dropping or using the sender stops it.
async fn served(gateway: Gateway, limits: Limits) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, gateway, limits, async move {
        drop(stopped.await);
        Duration::ZERO
    }));
    (address, stop, server)
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await;
    read.expect("the connection ends in time").unwrap();
    String::from_utf8(bytes).unwrap()
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut piece = [0; 1024];
    while !text.ends_with(end) {
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut piece)).await;
        let length = read.expect("an answer in time").unwrap();
        assert!(length > 0, "the connection ended after: {text}");
        text.push_str(std::str::from_utf8(&piece[..length]).unwrap());
    }
    text
}

#[tokio::test]
async fn a_connection_is_kept_and_ends_idle_when_the_server_stops() {
    let (address, stop, server) = served(Site::new().gateway, Limits::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let answer = read_until(&mut stream, "ok\n").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("x-request-id: "), "{answer}");
    }
    stop.send(()).unwrap();
    assert_eq!(read_all(&mut stream).await, "");
    tokio::time::timeout(Duration::from_secs(20), server).await.expect("it stops").unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "it listens no more");
}

#[tokio::test]
async fn a_slow_head_is_cut_off() {
    let limits = Limits { head_timeout: Duration::from_millis(200), ..Limits::default() };
    let (address, _stop, _server) = served(Site::new().gateway, limits).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHos").await.unwrap();
    assert!(!read_all(&mut stream).await.contains("200 OK"));
}

#[tokio::test]
async fn more_connections_than_the_limit_wait_their_turn() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let (address, _stop, _server) = served(Site::new().gateway, limits).await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(request).await.unwrap();
    read_until(&mut first, "ok\n").await;
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(request).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), second.readable()).await;
    assert!(early.is_err(), "the second waits");
    drop(first);
    read_until(&mut second, "ok\n").await;
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_server_goes_on() {
    let site = Site::new();
    let path = format!("/v3/{HOME}/panics");
    let token = site.token("ada", json!(null)).await;
    let (address, _stop, _server) = served(site.gateway, Limits::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = read_until(&mut stream, "}").await;
    assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("ELB.8906"), "{answer}");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(read_until(&mut stream, "ok\n").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_closed_gate_lets_requests_wait_and_those_under_way_end() {
    let gateway = Site::new().gateway;
    let (address, _stop, _server) = served(gateway.clone(), Limits::default()).await;
    let closed = gateway.close().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut byte)).await;
    assert!(early.is_err(), "it waits: {early:?}");
    drop(closed);
    let answer = read_until(&mut stream, "ok\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn what_waits_and_what_still_comes_is_answered_by_the_process_that_took_over() {
    let (former, next) = (Site::new(), Site::new());
    let (old, stop, server) = served(former.gateway.clone(), Limits::default()).await;
    let (new, _stop, _server) = served(next.gateway.clone(), Limits::default()).await;
    let mut kept = TcpStream::connect(old).await.unwrap();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    read_until(&mut kept, "ok\n").await;
    let closed = former.gateway.close().await;
    let mut waiting = TcpStream::connect(old).await.unwrap();
    let body = "x".repeat(100_000);
    let head = format!("POST /v3/auth/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    waiting.write_all(head.as_bytes()).await.unwrap();
    waiting.write_all(body.as_bytes()).await.unwrap();
    closed.forward_to(new);
    let answer = read_all(&mut waiting).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "the other process read it whole: {answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    drop((stop, kept));
    tokio::time::timeout(Duration::from_secs(20), server).await.expect("it stops").unwrap();
}

#[tokio::test]
async fn a_connection_that_lingers_may_bring_one_more_request() {
    let (former, next) = (Site::new(), Site::new());
    let (new, _stop, _server) = served(next.gateway.clone(), Limits::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let old = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let lingering = async move {
        drop(stopped.await);
        Duration::from_secs(10)
    };
    let server = tokio::spawn(serve(listener, former.gateway.clone(), Limits::default(), lingering));
    let mut kept = TcpStream::connect(old).await.unwrap();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    read_until(&mut kept, "ok\n").await;
    former.gateway.close().await.forward_to(new);
    stop.send(()).unwrap();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let answer = read_all(&mut kept).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    tokio::time::timeout(Duration::from_secs(5), server).await.expect("no connection is left").unwrap();
}
