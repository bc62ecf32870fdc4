//! A member that speaks WebSocket as far as the handshake.

use std::io::{BufReader, Read, Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

use super::rig::{self, Member};

/// A member that agrees to a WebSocket, says `greeting` and then echoes.
pub(crate) fn websocket_member(greeting: &'static str) -> Member {
    Member::start(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let head = rig::read_head(&mut reader).unwrap();
        let key = rig::header(&head, "sec-websocket-key").unwrap_or_default();
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
    })
}
