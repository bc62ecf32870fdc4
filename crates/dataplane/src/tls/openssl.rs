//! TLS by OpenSSL, for clients that rustls cannot serve though the listener's policy admits them: those of TLS 1.0 and 1.1, and
//! those that know only suites with CBC, static RSA, finite-field Diffie-Hellman or CCM.
//!
//! Everybody else is rustls' ([`super::terms`]); [`Fallback::serves`] decides on the ClientHello, before a byte is consumed. Such
//! sessions speak HTTP/1.1: HTTP/2 forbids their suites (RFC 9113 appendix A).
//!
//! Source: behaviour/tls.md, "Cipher groups" and "Rust note".

mod stream;

use std::sync::{Arc, OnceLock};

use ::openssl::{
    bn::BigNum,
    dh::Dh,
    error::ErrorStack,
    pkey::{PKey, Private},
    ssl::{
        AlpnError, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslVerifyMode,
        SslVersion,
    },
    stack::Stack,
    x509::{X509, store::X509StoreBuilder, verify::X509VerifyFlags},
};
use model::{CertificateId, TlsVersion};
use plan::{CertificatePlan, TlsPlan};
use wire::{client_hello::ClientHello, tls_suites};

use super::{ShownCertificate, info::Alpn, offer::ModernOffer, terms::TermsFault};

pub(crate) use stream::OpensslStream;

/// What OpenSSL may agree to for a listener. Made when the first such client comes: few listeners ever see one.
pub(super) struct Fallback {
    plan: Arc<TlsPlan>,
    /// Where staples come from, as [`TlsPlan::certificates`]; empty: from nowhere.
    stapled: Box<[Arc<ShownCertificate>]>,
    made: OnceLock<Option<Served>>,
}

/// A context of OpenSSL with what it shows.
struct Served {
    context: SslContext,
    /// As [`TlsPlan::certificates`].
    shown: Arc<[Shown]>,
}

struct Shown {
    id: CertificateId,
    leaf: X509,
    chain: Vec<X509>,
    key: PKey<Private>,
    /// Has its staple.
    stapled: Option<Arc<ShownCertificate>>,
}

impl Fallback {
    /// None when the policy allows nothing that rustls has not.
    pub(super) fn new(plan: &Arc<TlsPlan>, stapled: &[Arc<ShownCertificate>]) -> Option<Self> {
        let beyond = |version: TlsVersion| {
            let number = number(version);
            let old = number < wire::client_hello::TLS12;
            let mut known = plan.suites.iter().filter_map(|name| tls_suites::by_name(name));
            known.any(|suite| suite.fits(number) && (old || !suite.in_rustls()))
        };
        let wanted = plan.versions.iter().any(|version| beyond(*version));
        wanted.then(|| Self { plan: plan.clone(), stapled: stapled.into(), made: OnceLock::new() })
    }

    /// Makes it ready now, to learn whether it can be.
    pub(super) fn prepare(&self) -> Result<(), TermsFault> {
        let served = Served::new(&self.plan, &self.stapled)?;
        // Nobody else knows of it yet.
        let _first = self.made.set(served);
        if matches!(self.made.get(), Some(Some(_))) { Ok(()) } else { Err(TermsFault::Nothing) }
    }

    /// Whether this client is to be served here: rustls would refuse it.
    pub(super) fn serves(&self, hello: &ClientHello<'_>, modern: Option<&ModernOffer>) -> bool {
        let refused = modern.is_none_or(|modern| !modern.serves(&self.plan, hello));
        refused && self.made().is_some()
    }

    /// A session to be made with a client that [`Fallback::serves`] said yes to.
    pub(super) fn begin(&self, server_name: Option<&str>) -> Result<Ssl, ErrorStack> {
        let Some(served) = self.made() else { return Err(ErrorStack::get()) };
        let mut ssl = Ssl::new(&served.context)?;
        ssl.set_accept_state();
        for index in self.plan.certificates_for(server_name) {
            let Some(shown) = served.shown.get(*index) else { continue };
            ssl.set_certificate(&shown.leaf)?;
            ssl.set_private_key(&shown.key)?;
            for authority in &shown.chain {
                ssl.add_chain_cert(authority.clone())?;
            }
        }
        Ok(ssl)
    }

    /// Which certificate a session showed.
    pub(super) fn shown_by(&self, ssl: &::openssl::ssl::SslRef) -> Option<CertificateId> {
        let leaf = ssl.certificate()?;
        let served = self.made()?;
        let is_it = |shown: &&Shown| shown.leaf.as_ref() == leaf;
        served.shown.iter().find(is_it).map(|shown| shown.id)
    }

    fn made(&self) -> Option<&Served> {
        self.made
            .get_or_init(|| {
                Served::new(&self.plan, &self.stapled).unwrap_or_else(|error| {
                    tracing::warn!(%error, "old TLS clients of a listener are refused: OpenSSL cannot be set up for it");
                    None
                })
            })
            .as_ref()
    }
}

impl Served {
    /// None when OpenSSL has nothing of what the policy allows, either.
    fn new(plan: &TlsPlan, stapled: &[Arc<ShownCertificate>]) -> Result<Option<Self>, TermsFault> {
        let Some(mut builder) = agreed(plan).map_err(|error| TermsFault::Openssl(error.into()))? else {
            return Ok(None);
        };
        if let Some(ca) = &plan.client_ca {
            let fault = |error: ErrorStack| TermsFault::ClientCa { id: ca.id, source: error.into() };
            verify_clients(&mut builder, &ca.authorities_der).map_err(fault)?;
        }
        let fault = |error: ErrorStack| TermsFault::Openssl(error.into());
        let shown = plan
            .certificates
            .iter()
            .enumerate()
            .map(|(index, certificate)| Shown::new(certificate, stapled.get(index)).map_err(fault))
            .collect::<Result<Arc<[_]>, _>>()?;
        staple(&mut builder, shown.clone()).map_err(fault)?;
        Ok(Some(Self { context: builder.build(), shown }))
    }
}

impl Shown {
    fn new(
        certificate: &CertificatePlan,
        stapled: Option<&Arc<ShownCertificate>>,
    ) -> Result<Self, ErrorStack> {
        let mut chain =
            certificate.chain_der.iter().map(|der| X509::from_der(der)).collect::<Result<Vec<_>, _>>()?;
        let leaf = match chain.is_empty() {
            true => return Err(ErrorStack::get()),
            false => chain.remove(0),
        };
        let key = PKey::private_key_from_der(&certificate.key_der)?;
        Ok(Self { id: certificate.id, leaf, chain, key, stapled: stapled.cloned() })
    }
}

/// Versions, suites and manners; none when no suite is known.
fn agreed(plan: &TlsPlan) -> Result<Option<SslContextBuilder>, ErrorStack> {
    let mut builder = SslContextBuilder::new(SslMethod::tls_server())?;
    // The policy decides what is strong enough, not the library: SHA-1 signatures of TLS 1.0 need level 0.
    builder.set_security_level(0);
    let (v13, older): (Vec<&str>, Vec<&str>) =
        plan.suites.iter().map(String::as_str).partition(|name| name.starts_with("TLS_"));
    let has_older = !older.is_empty() && builder.set_cipher_list(&older.join(":")).is_ok();
    let has_13 = !v13.is_empty() && builder.set_ciphersuites(&v13.join(":")).is_ok();
    let usable = |version: TlsVersion| if version == TlsVersion::V13 { has_13 } else { has_older };
    let versions: Vec<TlsVersion> =
        plan.versions.iter().copied().filter(|version| usable(*version)).collect();
    let (Some(oldest), Some(newest)) = (versions.iter().min(), versions.iter().max()) else {
        return Ok(None);
    };
    builder.set_min_proto_version(Some(ssl_version(*oldest)))?;
    builder.set_max_proto_version(Some(ssl_version(*newest)))?;
    let mut options = SslOptions::NO_COMPRESSION
        | SslOptions::NO_RENEGOTIATION
        | SslOptions::CIPHER_SERVER_PREFERENCE
        | SslOptions::SINGLE_DH_USE
        | SslOptions::IGNORE_UNEXPECTED_EOF;
    for (version, option) in [
        (TlsVersion::V10, SslOptions::NO_TLSV1),
        (TlsVersion::V11, SslOptions::NO_TLSV1_1),
        (TlsVersion::V12, SslOptions::NO_TLSV1_2),
        (TlsVersion::V13, SslOptions::NO_TLSV1_3),
    ] {
        if !versions.contains(&version) {
            options |= option;
        }
    }
    builder.set_options(options);
    builder.set_mode(
        SslMode::RELEASE_BUFFERS | SslMode::ENABLE_PARTIAL_WRITE | SslMode::ACCEPT_MOVING_WRITE_BUFFER,
    );
    let group = Dh::from_pqg(BigNum::get_rfc3526_prime_2048()?, None, BigNum::from_u32(2)?)?;
    builder.set_tmp_dh(&group)?;
    // Its memory of sessions has a lock, but only handshakes of such clients without tickets touch it.
    builder.set_session_id_context(b"fulcrum")?;
    builder.set_session_cache_size(SESSIONS_MAX);
    if plan.http {
        builder.set_alpn_select_callback(|_, offered| alpn(offered).ok_or(AlpnError::NOACK));
    }
    Ok(Some(builder))
}

/// Clients that ask get the present OCSP answer of the certificate that they are shown.
fn staple(builder: &mut SslContextBuilder, shown: Arc<[Shown]>) -> Result<(), ErrorStack> {
    builder.set_status_callback(move |ssl| {
        let is_it = |shown: &&Shown| ssl.certificate().is_some_and(|leaf| shown.leaf.as_ref() == leaf);
        let stapled = shown.iter().find(is_it).and_then(|shown| shown.stapled.as_ref());
        match stapled.and_then(|shown| shown.key().ocsp.clone()) {
            Some(answer) => ssl.set_ocsp_status(&answer).map(|()| true),
            None => Ok(false),
        }
    })
}

/// Sessions that a listener's context remembers for clients without tickets.
const SESSIONS_MAX: i32 = 1024;

/// HTTP/1.1 among the protocols that a client offers (RFC 7301 section 3.1).
fn alpn(offered: &[u8]) -> Option<&[u8]> {
    let mut rest = offered;
    while let Some((&length, behind)) = rest.split_first() {
        let (name, after) = behind.split_at_checked(usize::from(length))?;
        if name == Alpn::Http11.as_str().as_bytes() {
            return Some(name);
        }
        rest = after;
    }
    None
}

/// As rustls does it: any of the authorities is trusted by itself, and who shows no certificate is refused.
fn verify_clients(builder: &mut SslContextBuilder, authorities: &[Vec<u8>]) -> Result<(), ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    let mut names = Stack::new()?;
    for der in authorities {
        let authority = X509::from_der(der)?;
        names.push(authority.subject_name().to_owned()?)?;
        store.add_cert(authority)?;
    }
    store.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
    builder.set_verify_cert_store(store.build())?;
    builder.set_client_ca_list(names);
    builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    Ok(())
}

/// As handshakes write it.
fn number(version: TlsVersion) -> u16 {
    match version {
        TlsVersion::V10 => 0x0301,
        TlsVersion::V11 => 0x0302,
        TlsVersion::V12 => 0x0303,
        TlsVersion::V13 => 0x0304,
    }
}

fn ssl_version(version: TlsVersion) -> SslVersion {
    match version {
        TlsVersion::V10 => SslVersion::TLS1,
        TlsVersion::V11 => SslVersion::TLS1_1,
        TlsVersion::V12 => SslVersion::TLS1_2,
        TlsVersion::V13 => SslVersion::TLS1_3,
    }
}
