//! Members that send back what they get: bodies, and what comes on a WebSocket.

use std::{
    io::{BufReader, Read, Write},
    net::TcpStream,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use sha1::{Digest, Sha1};

use super::rig::{self, Member};

/// A member that agrees to a WebSocket, says `greeting` and then echoes.
pub(crate) fn websocket_member(greeting: &'static str) -> Member {
    Member::start(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let head = rig::read_head(&mut reader).unwrap();
        let key = rig::header(&head, "sec-websocket-key").unwrap_or_default();
        websocket(&mut stream, &mut reader, &key, greeting);
    })
}

/// Agrees to the WebSocket that was asked for with this key, and sends back what comes, without a look at its frames.
pub(crate) fn websocket(
    stream: &mut TcpStream,
    reader: &mut BufReader<TcpStream>,
    key: &str,
    greeting: &str,
) {
    let hash = Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = STANDARD.encode(hash.finalize());
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n{greeting}"
    )
    .unwrap();
    let mut piece = [0; 65536];
    while let Ok(bytes @ 1..) = reader.read(&mut piece) {
        if stream.write_all(&piece[..bytes]).is_err() {
            return;
        }
    }
}

/// A member that sends bodies back in chunks, with the trailer `X-Sum: 42`.
pub(crate) fn body_member() -> Member {
    Member::http(|request| {
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n".to_vec();
        for piece in request.body.chunks(1000) {
            wire::h1::push_chunk(&mut answer, piece);
        }
        answer.extend_from_slice(b"0\r\nX-Sum: 42\r\n\r\n");
        answer
    })
}

/// What such a member is sent: far more than any window.
pub(crate) fn long_body() -> Bytes {
    (0..3_000_000_u32).map(|n| (n % 251) as u8).collect()
}
