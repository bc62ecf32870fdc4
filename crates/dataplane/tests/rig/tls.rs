//! Certificates, plans of TLS, and clients that speak it.

use std::{
    collections::BTreeMap,
    io::{BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use model::{CertificateId, TlsVersion, listener::SniMatch};
use plan::{CertificatePlan, ClientCaPlan, ListenerPlan, TlsPlan};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
};
use uuid::Uuid;

use super::rig::{PATIENCE, Request, number};

/// The suites of the system policy that serves TLS 1.2 and 1.3 with forward secrecy, and ChaCha20.
pub(crate) const SUITES: &str = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:\
    ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:\
    TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

/// A certificate of its own for these names.
pub(crate) fn certificate(names: &[&str]) -> Arc<CertificatePlan> {
    certificate_with(names, &rcgen::PKCS_ECDSA_P256_SHA256)
}

/// As [`certificate`], with a key of RSA.
pub(crate) fn rsa_certificate(names: &[&str]) -> Arc<CertificatePlan> {
    certificate_with(names, &rcgen::PKCS_RSA_SHA256)
}

fn certificate_with(names: &[&str], algorithm: &'static rcgen::SignatureAlgorithm) -> Arc<CertificatePlan> {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    Arc::new(CertificatePlan {
        id: CertificateId::new(Uuid::from_u128(number())),
        chain_der: vec![certificate.der().to_vec()],
        key_der: key.serialize_der(),
    })
}

/// An authority for clients and members, and what those show that it knows.
pub(crate) struct Authority {
    pub(crate) plan: Arc<ClientCaPlan>,
    issuer: Issuer<'static, KeyPair>,
    /// What leads from here to who made it.
    chain: Vec<Vec<u8>>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let plan = ClientCaPlan {
            id: CertificateId::new(Uuid::from_u128(number())),
            authorities_der: vec![certificate.der().to_vec()],
        };
        Self { plan: Arc::new(plan), issuer: Issuer::new(params, key), chain: Vec::new() }
    }

    /// An authority that this one made; it is to be found by what it made itself.
    pub(crate) fn below(&self) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "below");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self {
            plan: self.plan.clone(),
            issuer: Issuer::new(params, key),
            chain: vec![certificate.der().to_vec()],
        }
    }

    /// A member's certificate for these names and addresses, which may have been in date in 1999 alone.
    pub(crate) fn member(&self, names: &[&str], expired: bool) -> Arc<CertificatePlan> {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        if expired {
            params.not_before = rcgen::date_time_ymd(1999, 1, 1);
            params.not_after = rcgen::date_time_ymd(1999, 12, 31);
        }
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Arc::new(CertificatePlan {
            id: CertificateId::new(Uuid::from_u128(number())),
            chain_der: [vec![certificate.der().to_vec()], self.chain.clone()].concat(),
            key_der: key.serialize_der(),
        })
    }

    pub(crate) fn client(&self) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

/// A plan for TLS 1.2 and 1.3: the first certificate is the default, the others are picked by these names.
pub(crate) fn tls_plan(default: &Arc<CertificatePlan>, named: &[(&str, &Arc<CertificatePlan>)]) -> TlsPlan {
    let mut certificates = vec![default.clone()];
    let mut names: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (name, certificate) in named {
        names.entry((*name).to_owned()).or_default().push(certificates.len());
        certificates.push((*certificate).clone());
    }
    TlsPlan {
        certificates,
        default: vec![0],
        names,
        sni_match: SniMatch::Wildcard,
        client_ca: None,
        versions: vec![TlsVersion::V13, TlsVersion::V12],
        suites: SUITES.split(':').map(str::to_owned).collect(),
        http: true,
        alpn_h2: false,
        early_data: false,
    }
}

/// The listener with TLS below it.
pub(crate) fn over_tls(listener: ListenerPlan, plan: TlsPlan) -> ListenerPlan {
    ListenerPlan { tls: Some(Arc::new(plan)), ..listener }
}

/// What a client is like.
pub(crate) struct Like {
    pub(crate) version: &'static rustls::SupportedProtocolVersion,
    /// By rustls' name; none: all.
    pub(crate) suite: Option<rustls::CipherSuite>,
    pub(crate) identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    pub(crate) schemes: Option<Vec<SignatureScheme>>,
}

impl Default for Like {
    fn default() -> Self {
        Self { version: &rustls::version::TLS13, suite: None, identity: None, schemes: None }
    }
}

/// A client's settings; connections made with one can resume each other's sessions.
pub(crate) fn client_config(like: Like) -> ClientConfig {
    let mut provider = aws_lc_rs::default_provider();
    if let Some(only) = like.suite {
        provider.cipher_suites.retain(|suite| suite.suite() == only);
    }
    let provider = Arc::new(provider);
    let verifier = Arc::new(Anybody { provider: provider.clone(), schemes: like.schemes });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[like.version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match like.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
    }
}

/// A client that speaks TLS.
pub(crate) struct TlsClient {
    pub(crate) reader: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl TlsClient {
    /// A connection; the handshake is made with the first bytes.
    pub(crate) fn connect(address: SocketAddr, config: &Arc<ClientConfig>, name: &'static str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let session = ClientConnection::new(config.clone(), ServerName::try_from(name).unwrap()).unwrap();
        Self { reader: BufReader::new(StreamOwned::new(session, stream)) }
    }

    /// Sends the ClientHello alone.
    pub(crate) fn say_hello(&mut self) {
        let stream = self.reader.get_mut();
        stream.conn.write_tls(&mut stream.sock).unwrap();
    }

    pub(crate) fn session(&mut self) -> &mut ClientConnection {
        &mut self.reader.get_mut().conn
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.reader.get_mut().write_all(bytes.as_ref())?;
        self.reader.get_mut().flush()
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    pub(crate) fn response(&mut self) -> Request {
        Request::read(&mut self.reader).expect("a response")
    }

    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Request {
        self.send(request);
        self.response()
    }

    pub(crate) fn get(&mut self, path: &str) -> Request {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
    }

    /// The certificate that was shown.
    pub(crate) fn shown(&mut self) -> Vec<u8> {
        self.session().peer_certificates().unwrap()[0].to_vec()
    }

    /// Everything up to the end, which must be said by TLS itself.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).unwrap();
        rest
    }
}

/// Trusts any server, but speaks only these schemes.
#[derive(Debug)]
struct Anybody {
    provider: Arc<CryptoProvider>,
    schemes: Option<Vec<SignatureScheme>>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let all = || self.provider.signature_verification_algorithms.supported_schemes();
        self.schemes.clone().unwrap_or_else(all)
    }
}
