//! Sans-I/O protocol codecs. Pure: bytes in, facts out; no socket, no clock, no allocation on the hot path.
//!
//! Each codec is one module and says in its own documentation how it is driven:
//! - [`client_hello`]: what a TLS client says first; [`tls_suites`]: the names of cipher suites;
//! - [`content_coding`]: Accept-Encoding, and what is worth compressing;
//! - [`cookie`]: one cookie among many, found and changed;
//! - [`h1`]: HTTP/1.0 and HTTP/1.1, both directions;
//! - [`h2`]: what a client may say in HTTP/2, frame by frame;
//! - [`h3`]: the frames of HTTP/3 and its packed fields;
//! - [`ocsp`]: what is asked about a certificate, and what the answer is worth;
//! - [`proxy_protocol`]: whose connection it is, said by a load balancer in front or to a member;
//! - [`quic`]: what QUIC packets show to everybody, to place them by connection id.

pub mod client_hello;
pub mod content_coding;
pub mod cookie;
pub mod h1;
pub mod h2;
pub mod h3;
mod huffman;
pub mod ocsp;
pub mod proxy_protocol;
pub mod quic;
pub mod tls_suites;
