//! TLS of QUIC: rustls makes the handshake and the keys, quinn carries both.
//!
//! quinn has such a session, too; this one also tells what our headers, access log and counters want to know.

use std::{any::Any, io::Cursor, sync::Arc};

use model::TlsVersion;
use quinn::{
    ConnectionId, Side, TransportErrorCode,
    crypto::{
        self, ExportKeyingMaterialError, KeyPair, Keys, PacketKey, ServerConfig as _, UnsupportedVersion,
        rustls::QuicServerConfig,
    },
};
use quinn_proto::{TransportError, crypto::HeaderKey, transport_parameters::TransportParameters};
use rustls::{
    HandshakeKind, ServerConfig,
    pki_types::CertificateDer,
    quic::{KeyChange, Secrets, ServerConnection, Version},
};
use telemetry::TlsFailure;

use super::{
    failure,
    info::{Alpn, TlsInfo, suite_name},
    terms::Terms,
};

/// What a QUIC listener agrees to, as quinn asks for it.
pub(crate) struct QuicTls {
    config: Arc<ServerConfig>,
    /// For what every handshake begins with, whose keys everybody knows.
    initial: Arc<QuicServerConfig>,
    /// Someone wants to know what the client's hello said.
    keep_hello: bool,
}

impl QuicTls {
    /// On these terms; none: they are not for QUIC.
    pub(crate) fn new(terms: &Terms, keep_hello: bool) -> Option<Self> {
        let config = terms.quic.clone()?;
        let initial = Arc::new(QuicServerConfig::try_from(config.clone()).ok()?);
        Some(Self { config, initial, keep_hello })
    }
}

impl crypto::ServerConfig for QuicTls {
    fn initial_keys(&self, version: u32, to: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.initial.initial_keys(version, to)
    }

    fn retry_tag(&self, version: u32, to: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.initial.retry_tag(version, to, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        params: &TransportParameters,
    ) -> Box<dyn crypto::Session> {
        let mut said = Vec::new();
        params.write(&mut said);
        // The endpoint speaks no other version.
        let tls = ServerConnection::new(self.config.clone(), Version::V1, said);
        Box::new(Session {
            terms: self,
            version,
            tls,
            told: false,
            next: None,
            info: TlsInfo::default(),
            failure: None,
        })
    }
}

/// What is told of a handshake, by [`quinn::Connection::handshake_data`].
#[derive(Clone, Debug)]
pub(crate) struct QuicHandshake {
    /// What headers and the access log tell.
    pub(crate) info: TlsInfo,
    /// Why it failed, if it did here.
    pub(crate) failure: Option<TlsFailure>,
}

struct Session {
    terms: Arc<QuicTls>,
    version: u32,
    /// An error: rustls does not take its own configuration, which no peer can bring about.
    tls: Result<ServerConnection, rustls::Error>,
    /// quinn knows that the handshake has something to tell.
    told: bool,
    next: Option<Secrets>,
    /// What came to light while the handshake went on.
    info: TlsInfo,
    failure: Option<TlsFailure>,
}

impl Session {
    fn tls(&self) -> Option<&ServerConnection> {
        self.tls.as_ref().ok()
    }
}

impl crypto::Session for Session {
    fn initial_keys(&self, to: &ConnectionId, _: Side) -> Keys {
        self.terms
            .initial
            .initial_keys(self.version, to)
            .expect("quinn asked for them before it began this session")
    }

    /// Of [`QuicHandshake`].
    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        let tls = self.tls()?;
        let mut info = self.info.clone();
        info.version = Some(TlsVersion::V13);
        info.suite = tls.negotiated_cipher_suite().map_or("", |suite| suite_name(suite.suite()));
        info.resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
        info.alpn = tls.alpn_protocol().and_then(Alpn::of);
        info.client_certificate =
            tls.peer_certificates().and_then(|chain| chain.first()).map(|der| der.as_ref().into());
        Some(Box::new(QuicHandshake { info, failure: self.failure }))
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        let chain = self.tls()?.peer_certificates()?;
        Some(Box::new(
            chain.iter().map(|der| der.clone().into_owned()).collect::<Vec<CertificateDer<'static>>>(),
        ))
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        let keys = self.tls()?.zero_rtt_keys()?;
        Some((Box::new(keys.header), Box::new(keys.packet)))
    }

    fn early_data_accepted(&self) -> Option<bool> {
        None
    }

    fn is_handshaking(&self) -> bool {
        self.tls().is_none_or(|tls| tls.is_handshaking())
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        let tls = match &mut self.tls {
            Ok(tls) => tls,
            Err(error) => return Err(broken(TransportErrorCode::INTERNAL_ERROR, error)),
        };
        let read = tls.read_hs(bytes);
        if self.info.certificate.is_none() {
            self.info.note_shown();
        }
        if self.terms.keep_hello
            && !self.told
            && self.info.client_hello.len() < RECORD.len() + HELLO_BYTES_MAX
        {
            let mut hello = std::mem::take(&mut self.info.client_hello).into_vec();
            if hello.is_empty() {
                hello.extend_from_slice(RECORD);
            }
            let room = RECORD.len() + HELLO_BYTES_MAX - hello.len();
            hello.extend_from_slice(&bytes[..bytes.len().min(room)]);
            let length = (hello.len() - RECORD.len()) as u16;
            hello[RECORD.len() - 2..RECORD.len()].copy_from_slice(&length.to_be_bytes());
            self.info.client_hello = hello.into();
        }
        if let Err(error) = read {
            self.failure = Some(failure::by_rustls(&error));
            return Err(match tls.alert() {
                Some(alert) => broken(TransportErrorCode::crypto(alert.into()), &error),
                None => broken(TransportErrorCode::PROTOCOL_VIOLATION, &error),
            });
        }
        // Once ALPN is agreed on, the client's hello was read whole.
        let news = !self.told && (tls.alpn_protocol().is_some() || !tls.is_handshaking());
        self.told |= news;
        Ok(news)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let Some(said) = self.tls().and_then(|tls| tls.quic_transport_parameters()) else { return Ok(None) };
        Ok(Some(TransportParameters::read(Side::Server, &mut Cursor::new(said))?))
    }

    fn write_handshake(&mut self, out: &mut Vec<u8>) -> Option<Keys> {
        let keys = match self.tls.as_mut().ok()?.write_hs(out)? {
            KeyChange::Handshake { keys } => keys,
            KeyChange::OneRtt { keys, next } => {
                self.next = Some(next);
                keys
            }
        };
        Some(Keys {
            header: KeyPair { local: Box::new(keys.local.header), remote: Box::new(keys.remote.header) },
            packet: KeyPair { local: Box::new(keys.local.packet), remote: Box::new(keys.remote.packet) },
        })
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let keys = self.next.as_mut()?.next_packet_keys();
        Some(KeyPair { local: Box::new(keys.local), remote: Box::new(keys.remote) })
    }

    /// Only clients get such packets.
    fn is_valid_retry(&self, _: &ConnectionId, _: &[u8], _: &[u8]) -> bool {
        false
    }

    /// Nobody here asks for it.
    fn export_keying_material(
        &self,
        _: &mut [u8],
        _: &[u8],
        _: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        Err(ExportKeyingMaterialError)
    }
}

fn broken(code: TransportErrorCode, error: &rustls::Error) -> TransportError {
    TransportError { code, frame: None, reason: error.to_string() }
}

/// What would be in front of the hello on a connection of TCP, where those who look at it expect a record (RFC 8446 section 5.1).
const RECORD: &[u8] = &[22, 3, 1, 0, 0];

/// What is kept of a hello: a record's worth.
const HELLO_BYTES_MAX: usize = 1 << 14;
