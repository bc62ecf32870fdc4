//! A client of HTTP/3.

use std::{net::SocketAddr, sync::Arc};

use bytes::{Buf, Bytes};
use h3::client::{RequestStream, SendRequest};
use http::{HeaderMap, Method, Request, Response};
use quinn::{
    ClientConfig, Connection, Endpoint, RecvStream, SendStream, TransportConfig, VarInt,
    crypto::rustls::QuicClientConfig,
};
use wire::h3::{kind, push_frame_header, push_varint, qpack::Packer};

use super::secured::{Like, client_config};

/// A client's settings of TLS.
pub(crate) fn trusting() -> rustls::ClientConfig {
    let mut config = client_config(Like::default());
    config.alpn_protocols = vec![b"h3".to_vec()];
    config
}

/// A client's settings, with a window of so many bytes on each stream.
pub(crate) fn settings(tls: rustls::ClientConfig, window: u32) -> ClientConfig {
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(VarInt::from_u32(window));
    config.transport_config(Arc::new(transport));
    config
}

/// A client on a socket of its own.
pub(crate) fn endpoint(config: ClientConfig) -> Endpoint {
    let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(config);
    endpoint
}

/// A connection without HTTP.
pub(crate) async fn raw(address: SocketAddr) -> (Endpoint, Connection) {
    let endpoint = endpoint(settings(trusting(), 1 << 20));
    let connection = endpoint.connect(address, "t").unwrap().await.unwrap();
    (endpoint, connection)
}

pub(crate) type Requests = SendRequest<h3_quinn::OpenStreams, Bytes>;
pub(crate) type Asked = RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;

/// A client of HTTP/3.
pub(crate) struct Client {
    pub(crate) endpoint: Endpoint,
    pub(crate) connection: Connection,
    pub(crate) requests: Requests,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::with(address, settings(trusting(), 1 << 20)).await
    }

    pub(crate) async fn with(address: SocketAddr, config: ClientConfig) -> Self {
        let endpoint = endpoint(config);
        let connection = endpoint.connect(address, "t").unwrap().await.unwrap();
        Self::over(endpoint, connection).await
    }

    pub(crate) async fn over(endpoint: Endpoint, connection: Connection) -> Self {
        let quic = h3_quinn::Connection::new(connection.clone());
        let (mut driver, requests) =
            h3::client::builder().enable_extended_connect(true).build(quic).await.unwrap();
        tokio::task::spawn_local(async move {
            let _ended = driver.wait_idle().await;
        });
        Self { endpoint, connection, requests }
    }

    /// Sends a request without a body.
    pub(crate) async fn send(&mut self, request: Request<()>) -> Asked {
        let mut asked = self.requests.send_request(request).await.unwrap();
        asked.finish().await.unwrap();
        asked
    }

    /// One GET, answered.
    pub(crate) async fn get(&mut self, path: &str) -> (Response<()>, Vec<u8>) {
        let mut asked = self.send(request(Method::GET, path)).await;
        let (head, body, _) = whole(&mut asked).await;
        (head, body)
    }
}

pub(crate) fn request(method: Method, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("https://example.test{path}")).body(()).unwrap()
}

/// All of a response.
pub(crate) async fn whole(asked: &mut Asked) -> (Response<()>, Vec<u8>, Option<HeaderMap>) {
    let response = asked.recv_response().await.unwrap();
    let mut body = Vec::new();
    while let Some(mut data) = asked.recv_data().await.unwrap() {
        while data.has_remaining() {
            let piece = data.chunk().len();
            body.extend_from_slice(data.chunk());
            data.advance(piece);
        }
    }
    let trailers = asked.recv_trailers().await.unwrap();
    (response, body, trailers)
}

/// A frame.
pub(crate) fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    push_frame_header(&mut frame, kind, payload.len() as u64);
    frame.extend_from_slice(payload);
    frame
}

/// The frame of these fields.
pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    let mut packer = Packer::new(&mut block);
    for (name, value) in fields {
        packer.push(name.as_bytes(), value.as_bytes());
    }
    frame(kind::HEADERS, &block)
}

/// Asks for a WebSocket (RFC 9220): its stream, and the block of fields of the answer.
pub(crate) async fn websocket(connection: &Connection) -> ((SendStream, RecvStream), Vec<u8>) {
    let (mut up, mut down) = connection.open_bi().await.unwrap();
    let connect = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "t"),
        (":path", "/chat"),
        ("sec-websocket-version", "13"),
    ];
    up.write_all(&fields(&connect)).await.unwrap();
    let mut head = [0; 2];
    down.read_exact(&mut head).await.unwrap();
    assert_eq!(u64::from(head[0]), kind::HEADERS);
    let mut block = vec![0; head[1].into()];
    down.read_exact(&mut block).await.unwrap();
    ((up, down), block)
}

/// The beginning of a stream of this type.
pub(crate) fn stream_of(kind: u64, rest: &[u8]) -> Vec<u8> {
    let mut begin = Vec::new();
    push_varint(&mut begin, kind);
    begin.extend_from_slice(rest);
    begin
}
