//! TLS towards members of HTTPS pools: the bytes are protected on the way, the member's certificate is not checked (as documented for
//! such pools; members are addressed by their address, for which they rarely have one).

use std::{io, net::SocketAddr, rc::Rc, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        UnbufferedClientConnection,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{TlsScratch, TlsStream, handshake::Handshake};
use crate::io as socket;

/// How members are spoken to over TLS. One for a worker; it remembers sessions, so that most handshakes are short.
pub(crate) struct MemberTls(Arc<ClientConfig>);

impl MemberTls {
    /// # Errors
    /// When the cryptography of this machine cannot be had.
    pub(crate) fn new() -> io::Result<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        config.enable_secret_extraction = true;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// Begins a connection and its session.
    pub(crate) fn connect(&self, address: SocketAddr, scratch: Rc<TlsScratch>) -> io::Result<TlsStream> {
        let tcp = socket::connect(address)?;
        let name = ServerName::IpAddress(address.ip().into());
        let handshake = UnbufferedClientConnection::new(self.0.clone(), name).map_err(io::Error::other)?;
        Ok(TlsStream::new(tcp, scratch, Handshake::Client(handshake), Vec::new()))
    }
}

/// Takes any certificate whose key the member has.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
