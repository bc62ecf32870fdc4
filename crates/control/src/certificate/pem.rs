//! What a certificate's text and key must be, with a complaint for each way in which they can be wrong (behaviour/tls.md, Certificates).
//!
//! An expired certificate is good: it is served like any other, and its facts say until when it was valid.
//!
//! Knows nothing of this crate and says where its parts are, so that the fuzz target `pem` is built from these files alone.

#[path = "pem/blocks.rs"]
mod blocks;
#[path = "pem/facts.rs"]
mod facts;
#[path = "pem/key.rs"]
mod key;

use model::{CertificateFacts, CertificateKind};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use x509_parser::{certificate::X509Certificate, error::X509Error};

/// What is wrong with the text of a certificate or key. Certificates are counted from 1, the leaf.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemFault {
    /// It is too long.
    #[error("has {length} characters; at most {max} are allowed")]
    TooLong {
        /// Characters given.
        length: usize,
        /// Characters allowed.
        max: usize,
    },
    /// It is not well-formed PEM.
    #[error("line {line} is not well-formed PEM: {reason}")]
    Malformed {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// Something else stands where certificates or a key should.
    #[error("holds a section '{label}', which does not belong there")]
    ForeignSection {
        /// The section's label.
        label: String,
    },
    /// There is no certificate in it.
    #[error("holds no certificate; one that begins with '-----BEGIN CERTIFICATE-----' is needed")]
    NoCertificate,
    /// A section is no X.509 certificate.
    #[error("certificate {number} of the chain is no X.509 certificate")]
    NotX509 {
        /// Which one.
        number: usize,
    },
    /// The chain is too long.
    #[error("the chain has {length} certificates; at most {max} are allowed")]
    ChainTooLong {
        /// Certificates given.
        length: usize,
        /// Certificates allowed.
        max: usize,
    },
    /// A certificate is not followed by the one that issued it.
    #[error(
        "certificate {number} of the chain ('{subject}') was not issued by the one after it; put the server's certificate first and behind each the one that issued it"
    )]
    ChainOrder {
        /// Which one.
        number: usize,
        /// Whose it is.
        subject: String,
    },
    /// A client CA that says of itself that it is none.
    #[error(
        "certificate {number} ('{subject}') says that it is no authority (CA:FALSE), so it can vouch for no client"
    )]
    NotAuthority {
        /// Which one.
        number: usize,
        /// Whose it is.
        subject: String,
    },
    /// There is no key.
    #[error("holds no private key; one in PEM (RSA PRIVATE KEY, EC PRIVATE KEY or PRIVATE KEY) is needed")]
    NoKey,
    /// There are several keys.
    #[error("holds {count} private keys; give the one of the certificate alone")]
    SeveralKeys {
        /// How many.
        count: usize,
    },
    /// The key is encrypted.
    #[error("the private key is encrypted; decrypt it first, for example with 'openssl pkey'")]
    EncryptedKey,
    /// The key cannot be read or is of a kind that cannot be served.
    #[error(
        "the private key is damaged or of a kind that cannot be served; RSA of 2048 to 8192 bits, P-256, P-384, P-521 and Ed25519 can"
    )]
    UnusableKey,
    /// The key is another certificate's.
    #[error("the private key does not match the certificate")]
    KeyMismatch,
}

impl PemFault {
    /// The fault's stable name.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "pem_too_long",
            Self::Malformed { .. } => "pem_malformed",
            Self::ForeignSection { .. } => "pem_foreign_section",
            Self::NoCertificate => "pem_no_certificate",
            Self::NotX509 { .. } => "pem_not_x509",
            Self::ChainTooLong { .. } => "pem_chain_too_long",
            Self::ChainOrder { .. } => "pem_chain_order",
            Self::NotAuthority { .. } => "pem_not_authority",
            Self::NoKey => "pem_no_key",
            Self::SeveralKeys { .. } => "pem_several_keys",
            Self::EncryptedKey => "pem_encrypted_key",
            Self::UnusableKey => "pem_unusable_key",
            Self::KeyMismatch => "pem_key_mismatch",
        }
    }
}

/// What a certificate says of itself, if text and key are good. A client CA needs no key, and none is looked at.
///
/// # Errors
/// The first thing that is wrong; the chain is looked at before the key.
pub fn certificate_facts(
    kind: CertificateKind,
    pem: &str,
    key: Option<&str>,
) -> Result<CertificateFacts, PemFault> {
    let leaf = Leaf::of(kind, pem)?;
    leaf.check_key(kind, key.unwrap_or_default())?;
    Ok(leaf.facts)
}

/// The first certificate of a good chain.
pub(super) struct Leaf {
    /// What it says of itself.
    pub(super) facts: CertificateFacts,
    /// Its public key, as it is written there.
    public_key: Vec<u8>,
}

impl Leaf {
    /// Reads a chain.
    pub(super) fn of(kind: CertificateKind, pem: &str) -> Result<Self, PemFault> {
        check_length(pem, CHAIN_LENGTH_MAX)?;
        let blocks = blocks::split(pem)?;
        // The label `X509 CERTIFICATE` of old tools is not read by the data plane, so it is foreign, too.
        if let Some(foreign) = blocks.iter().find(|block| block.label != "CERTIFICATE") {
            return Err(PemFault::ForeignSection { label: foreign.label.to_owned() });
        }
        if blocks.is_empty() {
            return Err(PemFault::NoCertificate);
        }
        if blocks.len() > CHAIN_MAX {
            return Err(PemFault::ChainTooLong { length: blocks.len(), max: CHAIN_MAX });
        }
        check_same_as_data_plane(pem, &blocks)?;
        let mut chain = Vec::with_capacity(blocks.len());
        for (n, block) in blocks.iter().enumerate() {
            match x509_parser::parse_x509_certificate(&block.der) {
                Ok(([], certificate)) => chain.push(certificate),
                Ok(_) | Err(_) => return Err(PemFault::NotX509 { number: n + 1 }),
            }
        }
        match kind {
            CertificateKind::Server | CertificateKind::ServerSm => check_order(&chain)?,
            CertificateKind::ClientCa => check_authorities(&chain)?,
        }
        let (first, leaf) = (&blocks[0], &chain[0]);
        let public_key = leaf.public_key().subject_public_key.data.to_vec();
        Ok(Self { facts: facts::of(&first.der, leaf), public_key })
    }

    /// Whether a text is the key of the certificate. Whether one of Chinese algorithms is cannot be told here.
    pub(super) fn check_key(&self, kind: CertificateKind, key: &str) -> Result<(), PemFault> {
        match kind {
            CertificateKind::Server => key::check(key, Some(&self.public_key)),
            CertificateKind::ServerSm => key::check(key, None),
            CertificateKind::ClientCa => Ok(()),
        }
    }
}

/// The data plane reads the text with another parser; what the two would read differently is refused here.
fn check_same_as_data_plane(pem: &str, blocks: &[blocks::Block<'_>]) -> Result<(), PemFault> {
    let theirs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let same = theirs.is_ok_and(|theirs| {
        theirs.len() == blocks.len() && theirs.iter().zip(blocks).all(|(theirs, ours)| **theirs == *ours.der)
    });
    if same { Ok(()) } else { Err(PemFault::Malformed { line: 1, reason: "two readers disagree on it" }) }
}

/// Each certificate must be issued by the next one: its issuer's name and, where the algorithm is known, signature.
fn check_order(chain: &[X509Certificate<'_>]) -> Result<(), PemFault> {
    for (n, pair) in chain.windows(2).enumerate() {
        let (issued, issuer) = (&pair[0], &pair[1]);
        let names = issued.issuer().as_raw() == issuer.subject().as_raw();
        let signed = || match issued.verify_signature(Some(issuer.public_key())) {
            Ok(()) | Err(X509Error::SignatureUnsupportedAlgorithm) => true,
            Err(_) => false,
        };
        if !names || !signed() {
            return Err(PemFault::ChainOrder { number: n + 1, subject: facts::shown(issued) });
        }
    }
    Ok(())
}

/// Old authorities say nothing about being one.
fn check_authorities(chain: &[X509Certificate<'_>]) -> Result<(), PemFault> {
    for (n, certificate) in chain.iter().enumerate() {
        if let Ok(Some(constraints)) = certificate.basic_constraints()
            && !constraints.value.ca
        {
            return Err(PemFault::NotAuthority { number: n + 1, subject: facts::shown(certificate) });
        }
    }
    Ok(())
}

fn check_length(text: &str, max: usize) -> Result<(), PemFault> {
    // A byte is at least one character, and good PEM has no others.
    if text.len() > max { Err(PemFault::TooLong { length: text.len(), max }) } else { Ok(()) }
}

/// Characters of a chain.
const CHAIN_LENGTH_MAX: usize = 65_536;
/// Certificates of a chain.
const CHAIN_MAX: usize = 11;
/// Characters of a key.
const KEY_LENGTH_MAX: usize = 8_192;

#[cfg(test)]
mod tests;
