//! TLS: handshakes and sessions, towards clients and towards members.
//!
//! - [`Terms`]: what a listener agrees to, made once per change and shared by all workers.
//! - [`ShownCertificate`]: what clients are shown, with its staple, shared by the listeners that show it.
//! - [`accept`]: a client's connection until its session stands.
//! - [`QuicTls`]: sessions below QUIC, which carries handshakes and sealed bytes itself.
//! - [`TlsStream`]: a session that stands (or is being made), used as a socket is.
//!
//! Handshakes are rustls', records our own (`record`), both on aws-lc. Clients that can do no better than what rustls left out
//! are served by OpenSSL ([`OpensslStream`]), where the listener's policy admits them. Nothing here knows HTTP.
//!
//! Source: behaviour/tls.md; design sections 7 and 12.

mod accept;
mod failure;
mod handshake;
mod held;
mod info;
mod member;
mod offer;
mod openssl;
mod quic;
mod record;
mod resumption;
mod session;
mod sessions;
mod shown;
mod terms;
mod tickets;

pub(crate) use accept::{Accepted, accept};
pub(crate) use held::TlsScratch;
pub(crate) use info::{Alpn, TlsInfo};
pub(crate) use member::{AnyMemberTls, MemberTerms, MemberTls};
pub(crate) use openssl::OpensslStream;
pub(crate) use quic::{QuicHandshake, QuicTls};
pub use resumption::LentResumption;
pub(crate) use resumption::Resumption;
pub(crate) use session::TlsStream;
pub(crate) use shown::{ShownCertificate, ShownCertificates, ShownChange};
pub(crate) use terms::Terms;
