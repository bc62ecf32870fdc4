//! A client of HTTP/2 in clear.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::{
    RecvStream,
    client::{Builder, SendRequest},
    ext::Protocol,
};
use http::{HeaderMap, Method, Request, Response, Version};

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

/// All of a response.
pub(crate) async fn whole(
    response: impl Future<Output = Result<Response<RecvStream>, h2::Error>>,
) -> (Response<()>, Vec<u8>, Option<HeaderMap>) {
    let (parts, mut body) = response.await.unwrap().into_parts();
    let mut bytes = Vec::new();
    while let Some(frame) = body.data().await {
        let frame = frame.unwrap();
        body.flow_control().release_capacity(frame.len()).unwrap();
        bytes.extend_from_slice(&frame);
    }
    let trailers = body.trailers().await.unwrap();
    (Response::from_parts(parts, ()), bytes, trailers)
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
