//! What is known of a connection's TLS: for headers that tell members, and for the access log.

use model::{CertificateId, TlsVersion};
use rustls::{CipherSuite, ProtocolVersion};

use super::{handshake::Handshake, terms::take_last};

/// What is known of a client's TLS session. Complete once the handshake is over, or the client has spoken early.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsInfo {
    /// The version that was agreed on; none before that.
    pub(crate) version: Option<TlsVersion>,
    /// The suite, by OpenSSL's name.
    pub(crate) suite: &'static str,
    /// The name that the client asked for, in lower case.
    pub(crate) server_name: Option<Box<str>>,
    /// It goes on from an earlier session.
    pub(crate) resumed: bool,
    /// The protocol that was agreed on by ALPN.
    pub(crate) alpn: Option<Alpn>,
    /// The certificate that was shown. (For a resumed session: that would have been.)
    pub(crate) certificate: Option<CertificateId>,
    /// The client's certificate in DER. It was verified: without that there is no session.
    pub(crate) client_certificate: Option<Box<[u8]>>,
    /// The records of the ClientHello as they came; empty unless someone wants them.
    pub(crate) client_hello: Box<[u8]>,
}

/// A protocol that may be agreed on by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alpn {
    Http11,
    H2,
    H3,
}

impl Alpn {
    /// As it is said in the handshake (RFC 7301, RFC 9113 section 3.2, RFC 9114 section 3.1).
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Http11 => "http/1.1",
            Self::H2 => "h2",
            Self::H3 => "h3",
        }
    }

    pub(super) fn of(name: &[u8]) -> Option<Self> {
        [Self::Http11, Self::H2, Self::H3].into_iter().find(|alpn| alpn.as_str().as_bytes() == name)
    }
}

impl TlsInfo {
    /// Notes what the client asked for and was shown, if that came to light just now.
    pub(super) fn note_shown(&mut self) {
        let (server_name, certificate) = take_last();
        if certificate.is_some() {
            (self.server_name, self.certificate) = (server_name, certificate);
        }
    }

    /// Notes what the handshake agreed on: we said so, even if the client has yet to say its part.
    pub(super) fn complete(&mut self, handshake: &Handshake) {
        if let Some((version, suite)) = handshake.agreed() {
            self.version = match version {
                ProtocolVersion::TLSv1_3 => Some(TlsVersion::V13),
                ProtocolVersion::TLSv1_2 => Some(TlsVersion::V12),
                _ => None,
            };
            self.suite = suite_name(suite.suite());
        }
        self.resumed = handshake.is_resumed();
        self.alpn = handshake.alpn().and_then(Alpn::of);
        self.client_certificate = handshake.peer_certificate().map(Into::into);
    }
}

/// Suites that rustls agrees to, by OpenSSL's names.
pub(super) const SUITES: [(&str, CipherSuite); 9] = [
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

pub(super) fn suite_name(suite: CipherSuite) -> &'static str {
    SUITES.iter().find(|(_, known)| *known == suite).map_or("", |(name, _)| name)
}
