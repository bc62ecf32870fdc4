//! The terms of a listener's TLS: what `plan` says, made ready for handshakes once per change and shared by all workers.

use std::{cell::RefCell, sync::Arc};

use model::{CertificateId, TlsVersion};
use plan::TlsPlan;
use rustls::{
    CipherSuite, RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::CertificateDer,
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
    version,
};

use super::{
    ShownCertificate, ShownCertificates,
    info::{Alpn, SUITES},
    offer::ModernOffer,
    openssl::Fallback,
    resumption::Resumption,
};

/// What a listener agrees to.
pub(crate) struct Terms {
    pub(crate) plan: Arc<TlsPlan>,
    /// For clients of TLS 1.2 and 1.3 with authenticated encryption; none: the policy allows nothing of it.
    pub(super) modern: Option<Modern>,
    /// For clients that are none of these; none: the policy admits no others.
    pub(super) fallback: Option<Fallback>,
    /// Of a listener of QUIC, which has nothing else.
    pub(super) quic: Option<Arc<ServerConfig>>,
    /// What sessions are resumed by.
    pub(crate) resumption: Resumption,
}

/// rustls' part of the terms.
pub(super) struct Modern {
    pub(super) config: Arc<ServerConfig>,
    pub(super) offer: ModernOffer,
}

/// Why a listener's TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TermsFault {
    /// A certificate or its key is nothing that we can show.
    #[error("certificate {id} cannot be served; replace it")]
    Certificate {
        /// Which one.
        id: CertificateId,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
    /// The authorities of clients are no certificates.
    #[error("the CA certificate {id} cannot be used to verify clients; replace it")]
    ClientCa {
        /// Which one.
        id: CertificateId,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The policy's versions and suites leave nothing to agree on.
    #[error(
        "the security policy allows nothing that can be served here; allow TLS 1.2 or 1.3 with an AES suite"
    )]
    Nothing,
    /// OpenSSL, which would have to serve all clients, takes a certificate or the policy not.
    #[error(
        "OpenSSL cannot be set up for what the security policy allows; replace the certificate or allow TLS 1.2 with AES-GCM"
    )]
    Openssl(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The system gives no random numbers, or the like.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

impl Terms {
    /// The terms of a plan. `former`: what sessions of the listener were resumed by until now.
    pub(crate) fn new(
        certificates: &ShownCertificates,
        plan: &Arc<TlsPlan>,
        former: Option<&Resumption>,
    ) -> Result<Arc<Self>, TermsFault> {
        let resumption = Resumption::next(takes_early_data(plan), plan, former).map_err(TermsFault::Setup)?;
        let shown: Result<Vec<_>, _> = plan.certificates.iter().map(|one| certificates.show(one)).collect();
        // What rustls cannot show, OpenSSL may.
        let fallback = Fallback::new(plan, shown.as_deref().unwrap_or_default());
        let modern = modern(plan, shown, &resumption)?;
        match (&modern, &fallback) {
            (Some(_), _) => {}
            (None, Some(fallback)) => fallback.prepare()?,
            (None, None) => return Err(TermsFault::Nothing),
        }
        Ok(Arc::new(Self { plan: plan.clone(), modern, fallback, quic: None, resumption }))
    }

    /// As [`Terms::new`], for a listener of QUIC: TLS 1.3 with all its suites, as QUIC has no other.
    pub(crate) fn of_quic(
        certificates: &ShownCertificates,
        plan: &Arc<TlsPlan>,
        former: Option<&Resumption>,
    ) -> Result<Arc<Self>, TermsFault> {
        let early = plan.early_data && plan.client_ca.is_none();
        let resumption = Resumption::next(early, plan, former).map_err(TermsFault::Setup)?;
        let shown =
            plan.certificates.iter().map(|one| certificates.show(one)).collect::<Result<Vec<_>, _>>()?;
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|suite| suite.tls13().is_some());
        let provider = Arc::new(provider);
        let mut config = config(plan, &provider, &[&version::TLS13], shown, &resumption)?;
        config.alpn_protocols = vec![Alpn::H3.as_str().as_bytes().to_vec()];
        if early {
            // How much may be said early is a matter of QUIC's windows; TLS may name nothing else (RFC 9001 section 4.6.1).
            config.max_early_data_size = u32::MAX;
        }
        let quic = Some(Arc::new(config));
        Ok(Arc::new(Self { plan: plan.clone(), modern: None, fallback: None, quic, resumption }))
    }
}

/// Whether clients may speak before the handshake is over. Never where nothing is known of what may be said twice, and never where
/// they have to show a certificate: what came early would be taken from whoever holds the session, before that client said anything
/// of its own.
fn takes_early_data(plan: &TlsPlan) -> bool {
    plan.early_data && plan.http && plan.client_ca.is_none()
}

/// rustls' part of the terms; none when the policy allows nothing that it agrees to.
fn modern(
    plan: &Arc<TlsPlan>,
    shown: Result<Vec<Arc<ShownCertificate>>, TermsFault>,
    resumption: &Resumption,
) -> Result<Option<Modern>, TermsFault> {
    let all = aws_lc_rs::default_provider();
    let suites: Vec<_> = plan
        .suites
        .iter()
        .filter_map(|name| SUITES.iter().find(|(known, _)| known == name))
        .filter_map(|(_, id)| all.cipher_suites.iter().find(|suite| suite.suite() == *id).copied())
        .collect();
    let served = |v13| suites.iter().any(|suite| suite.tls13().is_some() == v13);
    let versions: Vec<&'static SupportedProtocolVersion> = plan
        .versions
        .iter()
        .filter_map(|version| match version {
            TlsVersion::V13 if served(true) => Some(&version::TLS13),
            TlsVersion::V12 if served(false) => Some(&version::TLS12),
            _ => None,
        })
        .collect();
    if versions.is_empty() {
        return Ok(None);
    }
    let provider = Arc::new(CryptoProvider { cipher_suites: suites, ..all });
    let shown = shown?;
    let keys: Vec<_> = shown.iter().map(|shown| shown.key()).collect();
    let offer = ModernOffer::new(&provider, &versions, keys.iter().map(AsRef::as_ref));
    let mut config = config(plan, &provider, &versions, shown, resumption)?;
    config.enable_secret_extraction = true;
    let offered: &[Alpn] = match (plan.http, plan.alpn_h2) {
        (true, true) => &[Alpn::H2, Alpn::Http11],
        (true, false) => &[Alpn::Http11],
        (false, _) => &[],
    };
    config.alpn_protocols = offered.iter().map(|alpn| alpn.as_str().as_bytes().to_vec()).collect();
    Ok(Some(Modern { config: Arc::new(config), offer }))
}

/// What rustls agrees to, but for ALPN.
fn config(
    plan: &Arc<TlsPlan>,
    provider: &Arc<CryptoProvider>,
    versions: &[&'static SupportedProtocolVersion],
    shown: Vec<Arc<ShownCertificate>>,
    resumption: &Resumption,
) -> Result<ServerConfig, TermsFault> {
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(TermsFault::Setup)?;
    let builder = match &plan.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let fault = |source| TermsFault::ClientCa { id: ca.id, source };
            let mut roots = RootCertStore::empty();
            for der in &ca.authorities_der {
                roots.add(CertificateDer::from(der.as_slice())).map_err(|error| fault(error.into()))?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| fault(error.into()))?)
        }
    };
    let v13 = versions.iter().any(|version| **version == version::TLS13);
    let suites = provider.cipher_suites.iter().map(|suite| suite.suite()).collect();
    let mut config =
        builder.with_cert_resolver(Arc::new(Shown { plan: plan.clone(), certificates: shown, v13, suites }));
    config.ignore_client_order = true;
    resumption.set_up(&mut config);
    Ok(config)
}

/// Picks the certificate that a client is shown.
struct Shown {
    plan: Arc<TlsPlan>,
    certificates: Vec<Arc<ShownCertificate>>,
    v13: bool,
    suites: Vec<CipherSuite>,
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shown").field("plan", &self.plan).finish_non_exhaustive()
    }
}

thread_local! {
    /// What the last handshake of this thread asked for and was shown: rustls tells nobody else.
    static LAST: RefCell<(Option<Box<str>>, Option<CertificateId>)> = const { RefCell::new((None, None)) };
}

/// The name that the last ClientHello of this thread asked for, and the certificate that it was shown.
pub(super) fn take_last() -> (Option<Box<str>>, Option<CertificateId>) {
    LAST.take()
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let candidates = self.plan.certificates_for(hello.server_name());
        let suites_fit = |index: usize| {
            let key = self.certificates.get(index)?.key();
            key.key.choose_scheme(hello.signature_schemes())?;
            Some(self.suites_in_common(&key, &hello))
        };
        // Which version is agreed on is not told here. Some clients that speak TLS 1.2 alone offer suites of 1.3 all the same, so a
        // key that goes with either is the safe choice. With none that fits, the first is tried: the handshake then says by
        // itself what is wrong.
        let find = |fits: fn(InCommon) -> bool| {
            candidates.iter().find(|index| suites_fit(**index).is_some_and(fits))
        };
        let index = find(|suites| suites.tls12 && suites.tls13)
            .or_else(|| find(|suites| suites.tls12 || suites.tls13))
            .or(candidates.first())
            .copied();
        let shown = index.and_then(|index| self.certificates.get(index));
        LAST.replace((
            hello.server_name().map(|name| name.to_ascii_lowercase().into()),
            shown.map(|certificate| certificate.id()),
        ));
        shown.map(|certificate| certificate.key())
    }
}

/// Whether there is a suite in common that goes with a key, by version.
#[derive(Clone, Copy, Default)]
struct InCommon {
    tls12: bool,
    tls13: bool,
}

impl Shown {
    /// The suites that the client offers for this kind of key. (Those of TLS 1.3 go with every kind.)
    fn suites_in_common(&self, key: &CertifiedKey, hello: &ClientHello<'_>) -> InCommon {
        let rsa = key.key.algorithm() == rustls::SignatureAlgorithm::RSA;
        let mut common = InCommon::default();
        for suite in hello.cipher_suites().iter().filter(|suite| self.suites.contains(suite)) {
            let name = SUITES.iter().find(|(_, id)| id == suite).map_or("", |(name, _)| name);
            match name.strip_prefix("ECDHE-") {
                None => common.tls13 |= self.v13,
                Some(rest) => common.tls12 |= rest.starts_with("RSA") == rsa,
            }
        }
        common
    }
}
