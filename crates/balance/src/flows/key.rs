//! By what flows are found.

use std::net::SocketAddr;

/// Both addresses of a client's datagrams; the protocol is UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    client: SocketAddr,
    local: SocketAddr,
}

impl FlowKey {
    /// The key of a client's datagram to one of a listener's addresses and ports. An IPv4 client is the same by its IPv4-mapped
    /// address.
    pub fn new(client: SocketAddr, local: SocketAddr) -> Self {
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        Self { client: canonical(client), local: canonical(local) }
    }

    /// The client's address and port.
    pub fn client(&self) -> SocketAddr {
        self.client
    }

    /// The address and port that the client sends to.
    pub fn local(&self) -> SocketAddr {
        self.local
    }
}

/// The part of a QUIC connection id that places a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CidKey {
    bytes: [u8; Self::BYTES_MAX],
    length: u8,
}

impl CidKey {
    /// Longest connection id (RFC 9000 §17.2).
    pub const BYTES_MAX: usize = 20;

    /// The key of 1 to 20 bytes; none for others.
    pub fn new(part: &[u8]) -> Option<Self> {
        if part.is_empty() {
            return None;
        }
        let mut bytes = [0; Self::BYTES_MAX];
        bytes.get_mut(..part.len())?.copy_from_slice(part);
        Some(Self { bytes, length: part.len() as u8 })
    }

    /// The part itself.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}
