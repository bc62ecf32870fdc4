//! TLS towards members of HTTPS and TLS pools: the bytes are protected on the way. The member's certificate is looked at where its
//! pool says how (`MemberTlsPlan`); elsewhere any will do (as documented for such pools; members are addressed by their address, for
//! which they rarely have one).
//!
//! A certificate is verified as RFC 5280 and RFC 9525 say: the chain leads to an authority of the pool's, every part of it is in date,
//! it may serve, and it holds the wanted name among its alternative names (the common name does not count). A session that is
//! resumed was verified when it began, under the same terms: sessions are remembered per member and per terms.

use std::{error::Error as _, io, net::SocketAddr, rc::Rc, sync::Arc};

use model::PoolProtocol;
use plan::MemberTlsPlan;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption, UnbufferedClientConnection,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use tokio::net::TcpStream;

use super::{TlsScratch, TlsStream, handshake::Handshake};
use crate::io as socket;

/// How the members of a worker are spoken to that are not verified.
pub(crate) struct AnyMemberTls {
    http: MemberTls,
    bytes: MemberTls,
}

impl AnyMemberTls {
    /// # Errors
    /// When the cryptography of this machine cannot be had.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { http: MemberTls::for_http()?, bytes: MemberTls::for_bytes()? })
    }

    /// For the members of a pool.
    pub(crate) fn of(&self, protocol: PoolProtocol) -> &MemberTls {
        if protocol.is_layer7() { &self.http } else { &self.bytes }
    }
}

/// How members are spoken to over TLS: one for all members of a worker that are not verified, one for each that is. It remembers
/// sessions, so that most handshakes are short.
pub(crate) struct MemberTls {
    config: Arc<ClientConfig>,
    /// Whom a member has to be; none: its address.
    name: Option<model::ServerName>,
}

impl MemberTls {
    /// Members may be anybody that speaks HTTP/1.1.
    ///
    /// # Errors
    /// When the cryptography of this machine cannot be had.
    pub(crate) fn for_http() -> io::Result<Self> {
        Self::new(vec![b"http/1.1".to_vec()])
    }

    /// Members may be anybody. What is said inside is not ours, so no protocol is agreed on.
    ///
    /// # Errors
    /// When the cryptography of this machine cannot be had.
    pub(crate) fn for_bytes() -> io::Result<Self> {
        Self::new(Vec::new())
    }

    fn new(alpn_protocols: Vec<Vec<u8>>) -> io::Result<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { provider, authorities: None }))
            .with_no_client_auth();
        config.enable_secret_extraction = true;
        config.alpn_protocols = alpn_protocols;
        Ok(Self { config: Arc::new(config), name: None })
    }

    /// Begins a connection and its session.
    pub(crate) fn connect(&self, address: SocketAddr, scratch: Rc<TlsScratch>) -> io::Result<TlsStream> {
        self.secure(socket::connect(address)?, address, scratch)
    }

    /// Begins a session on a connection to that address.
    pub(crate) fn secure(
        &self,
        tcp: TcpStream,
        address: SocketAddr,
        scratch: Rc<TlsScratch>,
    ) -> io::Result<TlsStream> {
        self.secure_behind(&[], tcp, address, scratch)
    }

    /// As [`MemberTls::secure`], where something is said in clear before the session begins.
    pub(crate) fn secure_behind(
        &self,
        said: &[u8],
        tcp: TcpStream,
        address: SocketAddr,
        scratch: Rc<TlsScratch>,
    ) -> io::Result<TlsStream> {
        let name = match &self.name {
            None => ServerName::IpAddress(address.ip().into()),
            Some(name) => ServerName::try_from(name.as_str().to_owned()).map_err(io::Error::other)?,
        };
        let handshake =
            UnbufferedClientConnection::new(self.config.clone(), name).map_err(io::Error::other)?;
        Ok(TlsStream::new(tcp, scratch, Handshake::Client(handshake), Vec::new()).behind(said))
    }
}

/// What the members of a target are verified by: what `plan` says, made ready once per change and shared by all workers.
pub(crate) struct MemberTerms {
    pub(crate) plan: Arc<MemberTlsPlan>,
    verifier: Arc<Verifier>,
}

impl MemberTerms {
    /// The terms of a plan. Authorities that are no certificates are passed over, with a word in the log.
    pub(crate) fn new(plan: &Arc<MemberTlsPlan>) -> Arc<Self> {
        let mut authorities = RootCertStore::empty();
        for der in &plan.authorities_der {
            if let Err(error) = authorities.add(CertificateDer::from(der.as_slice())) {
                tracing::warn!(certificate = %plan.authority, %error, "an authority cannot verify members");
            }
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(Verifier { provider, authorities: Some(authorities) });
        Arc::new(Self { plan: plan.clone(), verifier })
    }

    /// How one member is spoken to under these terms; otherwise as `unverified` says.
    pub(crate) fn member(&self, unverified: &MemberTls) -> MemberTls {
        let mut config = ClientConfig::clone(&unverified.config);
        config.dangerous().set_certificate_verifier(self.verifier.clone());
        config.resumption = Resumption::in_memory_sessions(1);
        MemberTls { config: Arc::new(config), name: self.plan.server_name.clone() }
    }
}

/// What is wrong with the member's certificate, if that is why a session was not made.
pub(super) fn certificate_fault(error: &Error) -> Option<String> {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            Some(other.source().map_or_else(|| error.to_string(), ToString::to_string))
        }
        Error::InvalidCertificate(fault) => Some(fault.to_string()),
        Error::NoCertificatesPresented => Some("it shows none".to_owned()),
        _ => None,
    }
}

/// Takes certificates whose key the member has: any, or those from the authorities.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    authorities: Option<RootCertStore>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(authorities) = &self.authorities {
            let shown = ParsedCertificate::try_from(shown)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&shown, authorities, chain, now, algorithms)?;
            verify_server_name(&shown, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
