//! What rustls would agree to under a listener's terms, so that a client which it would refuse is known by its ClientHello.

use plan::TlsPlan;
use rustls::{
    SignatureAlgorithm, SignatureScheme, SupportedProtocolVersion, crypto::CryptoProvider,
    sign::CertifiedKey, version,
};
use wire::client_hello::{ClientHello, KeyKind, Offer};

/// The terms as [`ClientHello::is_served_by`] wants them.
pub(super) struct ModernOffer {
    tls12: bool,
    tls13: bool,
    suites: Vec<u16>,
    groups: Vec<u16>,
    /// Of each of [`TlsPlan::certificates`].
    kinds: Vec<Option<KeyKind>>,
}

impl ModernOffer {
    pub(super) fn new<'k>(
        provider: &CryptoProvider,
        versions: &[&'static SupportedProtocolVersion],
        keys: impl Iterator<Item = &'k CertifiedKey>,
    ) -> Self {
        let has = |wanted: &'static SupportedProtocolVersion| versions.contains(&wanted);
        Self {
            tls12: has(&version::TLS12),
            tls13: has(&version::TLS13),
            suites: provider.cipher_suites.iter().map(|suite| suite.suite().into()).collect(),
            groups: provider.kx_groups.iter().map(|group| group.name().into()).collect(),
            kinds: keys.map(kind).collect(),
        }
    }

    /// Whether rustls and this client come to terms.
    pub(super) fn serves(&self, plan: &TlsPlan, hello: &ClientHello<'_>) -> bool {
        let candidates = plan.certificates_for(hello.sni());
        let keys: Vec<KeyKind> = candidates.iter().filter_map(|index| *self.kinds.get(*index)?).collect();
        hello.is_served_by(&Offer {
            tls12: self.tls12,
            tls13: self.tls13,
            suites: &self.suites,
            groups: &self.groups,
            keys: &keys,
        })
    }
}

fn kind(certified: &CertifiedKey) -> Option<KeyKind> {
    let signs = |scheme| certified.key.choose_scheme(&[scheme]).is_some();
    match certified.key.algorithm() {
        SignatureAlgorithm::RSA => Some(KeyKind::Rsa),
        SignatureAlgorithm::ED25519 => Some(KeyKind::Ed25519),
        SignatureAlgorithm::ECDSA => [
            (SignatureScheme::ECDSA_NISTP256_SHA256, KeyKind::EcdsaP256),
            (SignatureScheme::ECDSA_NISTP384_SHA384, KeyKind::EcdsaP384),
            (SignatureScheme::ECDSA_NISTP521_SHA512, KeyKind::EcdsaP521),
        ]
        .into_iter()
        .find_map(|(scheme, kind)| signs(scheme).then_some(kind)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
