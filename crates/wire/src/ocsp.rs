//! OCSP as a server that staples needs it: what to ask about its certificate, whom, and what an answer is worth.
//!
//! How to drive it: [`Subject::of`] a chain that is shown; send [`Subject::request`] to one of [`Subject::responders`] by POST
//! (RFC 6960 appendix A); give what came back to [`Subject::check`]. What it accepts may be stapled, byte for byte, until
//! [`Statement::valid_until`].
//!
//! Invariants, each held by a test or the fuzz target: an answer is accepted only if it is about this certificate, signed by its
//! issuer or by whom the issuer let sign, and in force; a byte more or less makes it no answer; input never panics.
//!
//! What it does not do: no nonce (answers are made in advance and kept, RFC 5019), no signature of the request, no look at whether a
//! delegated signer was revoked itself, no SHA-1 signatures, no P-521. Sources: RFC 6960, RFC 5019.

mod answer;
mod der;
mod responder;

use aws_lc_rs::digest;
use x509_parser::{
    certificate::X509Certificate,
    error::X509Error,
    extensions::{GeneralName, ParsedExtension},
    oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_OCSP,
    parse_x509_certificate,
};

pub use answer::AnswerFault;
pub use responder::Responder;

/// A certificate whose issuer names somebody who answers for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// In DER.
    issuer: Vec<u8>,
    id: CertId,
    responders: Vec<Responder>,
}

/// How a certificate is named (RFC 6960 section 4.1.1), with SHA-1 as every responder knows it (RFC 5019 section 2.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
struct CertId {
    issuer_name_hash: [u8; 20],
    issuer_key_hash: [u8; 20],
    /// The content of the INTEGER.
    serial: Vec<u8>,
}

/// Why nobody can be asked about a certificate that names a responder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectFault {
    /// The chain has no certificate of the issuer.
    #[error("its chain does not hold the certificate of its issuer; add it behind the certificate")]
    NoIssuer,
    /// No responder has an address that is spoken to.
    #[error("it names no responder with an http:// address")]
    NoResponder,
    /// The certificate is none.
    #[error("it is no X.509 certificate; replace it")]
    Unreadable,
}

impl SubjectFault {
    /// A word for tests, logs and metrics; never changes.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoIssuer => "ocsp_no_issuer",
            Self::NoResponder => "ocsp_no_responder",
            Self::Unreadable => "ocsp_unreadable_certificate",
        }
    }
}

/// What a responder says of a certificate; made by [`Subject::check`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Whether the certificate holds.
    pub status: CertificateStatus,
    /// Since when the responder knew it, in seconds of Unix time.
    pub this_update: i64,
    /// When clients stop to believe it, in seconds of Unix time.
    pub valid_until: i64,
}

/// Whether a certificate holds. (A responder that does not know the certificate makes no [`Statement`].)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateStatus {
    /// It does, as far as the responder knows.
    Good,
    /// It was taken back, for good or for now.
    Revoked,
}

impl Subject {
    /// What to ask about the first certificate of this chain (DER); none if it names no responder.
    ///
    /// # Errors
    /// When a responder is named and cannot be asked.
    pub fn of(chain: &[Vec<u8>]) -> Result<Option<Self>, SubjectFault> {
        let Some((leaf, above)) = chain.split_first() else { return Err(SubjectFault::Unreadable) };
        let leaf = read(leaf).ok_or(SubjectFault::Unreadable)?;
        let named = responders_of(&leaf);
        if named.is_empty() {
            return Ok(None);
        }
        let responders: Vec<_> =
            named.into_iter().filter_map(Responder::parse).take(RESPONDERS_MAX).collect();
        if responders.is_empty() {
            return Err(SubjectFault::NoResponder);
        }
        let (issuer, certificate) = above
            .iter()
            .filter_map(|der| Some((der, read(der)?)))
            .find(|(_, above)| issued(above, &leaf))
            .ok_or(SubjectFault::NoIssuer)?;
        let id = CertId {
            issuer_name_hash: sha1(certificate.subject().as_raw()),
            issuer_key_hash: sha1(&certificate.public_key().subject_public_key.data),
            serial: leaf.raw_serial().to_vec(),
        };
        Ok(Some(Self { issuer: issuer.clone(), id, responders }))
    }

    /// Whom to ask, in the order of the certificate; one answer is enough. At least one, at most [`RESPONDERS_MAX`].
    pub fn responders(&self) -> &[Responder] {
        &self.responders
    }

    /// What to ask: an `OCSPRequest` in DER, to be sent as `application/ocsp-request`.
    pub fn request(&self) -> Vec<u8> {
        let CertId { issuer_name_hash, issuer_key_hash, serial } = &self.id;
        let algorithm = der::sequence(&[&der::tlv(der::OID, SHA1_OID), &der::tlv(der::NULL, &[])]);
        let id = der::sequence(&[
            &algorithm,
            &der::tlv(der::OCTETS, issuer_name_hash),
            &der::tlv(der::OCTETS, issuer_key_hash),
            &der::tlv(der::INTEGER, serial),
        ]);
        // Certificate, request, list of requests, body, request without a signature.
        (0..4).fold(id, |inner, _| der::sequence(&[&inner]))
    }

    /// What an answer is worth at that moment (seconds of Unix time). Clocks may differ by [`SKEW_SECONDS`].
    ///
    /// # Errors
    /// When it must not be stapled, with the reason.
    pub fn check(&self, answer: &[u8], now: i64) -> Result<Statement, AnswerFault> {
        answer::check(self, answer, now)
    }
}

/// Most responders of a certificate that are asked.
pub const RESPONDERS_MAX: usize = 4;
/// How far the clocks of a responder and of this machine may be apart.
pub const SKEW_SECONDS: i64 = 300;
/// How long an answer holds that does not say when the next will come: such responders know news at any time.
pub const ENDLESS_SECONDS: i64 = 3600;
/// Answers that end sooner than this are not worth to be stapled: a handshake takes a moment.
pub const LEFT_SECONDS_MIN: i64 = 10;

/// 1.3.14.3.2.26
const SHA1_OID: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];

fn read(der: &[u8]) -> Option<X509Certificate<'_>> {
    let (rest, certificate) = parse_x509_certificate(der).ok()?;
    rest.is_empty().then_some(certificate)
}

fn responders_of<'a>(leaf: &X509Certificate<'a>) -> Vec<&'a str> {
    let access = leaf.extensions().iter().filter_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityInfoAccess(access) => Some(&access.accessdescs),
        _ => None,
    });
    let ocsp = access.flatten().filter(|one| one.access_method == OID_PKIX_ACCESS_DESCRIPTOR_OCSP);
    ocsp.filter_map(|one| match one.access_location {
        GeneralName::URI(uri) => Some(uri),
        _ => None,
    })
    .collect()
}

/// Whether one certificate issued the other. Where the kind of signature is not known here, the name decides; what the issuer says
/// is verified anyway.
fn issued(issuer: &X509Certificate<'_>, other: &X509Certificate<'_>) -> bool {
    let named = issuer.subject().as_raw() == other.issuer().as_raw();
    named
        && !matches!(
            other.verify_signature(Some(issuer.public_key())),
            Err(X509Error::SignatureVerificationError)
        )
}

fn sha1(bytes: &[u8]) -> [u8; 20] {
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    digest.as_ref().try_into().expect("SHA-1 has 20 bytes")
}
