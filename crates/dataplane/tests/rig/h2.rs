//! A client of HTTP/2 in clear.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::{
    client::{Builder, SendRequest},
    ext::Protocol,
};
use http::{Method, Request, Version};

use super::rig::PATIENCE;

/// Runs a test's client; it must end in time.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        tokio::time::timeout(PATIENCE, test).await.expect("the test ends in time")
    })
}

/// A connection; it is closed when it is aborted.
pub(crate) async fn connect(address: SocketAddr) -> (SendRequest<Bytes>, tokio::task::JoinHandle<()>) {
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let (client, connection) = Builder::new().handshake(tcp).await.unwrap();
    let connection = tokio::task::spawn_local(async move { drop(connection.await) });
    (client.ready().await.unwrap(), connection)
}

pub(crate) fn request(method: Method, path: &str) -> Request<()> {
    let uri = format!("http://example.test{path}");
    Request::builder().method(method).uri(uri).version(Version::HTTP_2).body(()).unwrap()
}

/// A request for a tunnel of WebSocket (RFC 8441).
pub(crate) async fn websocket(client: &SendRequest<Bytes>, path: &str) -> Request<()> {
    // The server says that it knows the extension in its first SETTINGS.
    while !client.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
    let mut connect = request(Method::CONNECT, path);
    connect.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
    connect.extensions_mut().insert(Protocol::from_static("websocket"));
    connect
}
