//! Reading an answer, and deciding whether it may be stapled.

use x509_parser::{
    asn1_rs::{BitString, FromDer},
    certificate::X509Certificate,
    error::X509Error,
    oid_registry::{OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA},
    time::ASN1Time,
    verify::verify_signature,
    x509::{AlgorithmIdentifier, SubjectPublicKeyInfo},
};

use super::{
    CertificateStatus, ENDLESS_SECONDS, LEFT_SECONDS_MIN, SHA1_OID, SKEW_SECONDS, Statement, Subject,
    der::{BITS, BOOLEAN, ENUMERATED, INTEGER, OCTETS, OID, Row, SEQUENCE, TIME, Unlike, Value},
    issued, read, sha1,
};

/// Why an answer must not be stapled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerFault {
    /// It is no basic OCSP answer in DER.
    #[error("the answer is not of OCSP")]
    Malformed,
    /// The responder does not want to, or cannot.
    #[error("the responder refuses: {}", refusal(*.0))]
    Refused(u8),
    /// It is about other certificates.
    #[error("the answer is about another certificate")]
    OtherCertificate,
    /// It has an extension that must be understood, and is not.
    #[error("the answer has a critical extension that is not known here")]
    CriticalExtension,
    /// The signer is neither the issuer nor somebody whom the issuer let sign.
    #[error("the answer is signed by nobody whom the issuer of the certificate lets sign")]
    Signer,
    /// The signature does not belong to the answer.
    #[error("the signature of the answer is wrong")]
    Signature,
    /// The signature is of a kind that is not believed, or not known.
    #[error("the answer is signed in a way that is not accepted (SHA-1, P-521, or unknown)")]
    SignatureKind,
    /// It is made for later.
    #[error("the answer holds from a later time on; are the clocks right?")]
    NotYet,
    /// It is out of date, or all but.
    #[error("the answer is out of date; is the responder fed, are the clocks right?")]
    Expired,
    /// The responder does not know the certificate.
    #[error("the responder does not know the certificate")]
    UnknownCertificate,
}

impl AnswerFault {
    /// A word for tests, logs and metrics; never changes.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "ocsp_answer_malformed",
            Self::Refused(_) => "ocsp_refused",
            Self::OtherCertificate => "ocsp_other_certificate",
            Self::CriticalExtension => "ocsp_critical_extension",
            Self::Signer => "ocsp_signer",
            Self::Signature => "ocsp_signature",
            Self::SignatureKind => "ocsp_signature_kind",
            Self::NotYet => "ocsp_not_yet",
            Self::Expired => "ocsp_expired",
            Self::UnknownCertificate => "ocsp_unknown_certificate",
        }
    }
}

/// RFC 6960 section 4.2.1, OCSPResponseStatus.
fn refusal(status: u8) -> &'static str {
    match status {
        1 => "malformedRequest",
        2 => "internalError",
        3 => "tryLater",
        5 => "sigRequired",
        6 => "unauthorized",
        _ => "a status that RFC 6960 does not know",
    }
}

impl From<Unlike> for AnswerFault {
    fn from(_: Unlike) -> Self {
        Self::Malformed
    }
}

pub(super) fn check(subject: &Subject, answer: &[u8], now: i64) -> Result<Statement, AnswerFault> {
    let basic = Basic::of(successful(answer)?)?;
    let single = basic.single(subject)?;
    basic.verify(subject, now)?;
    let valid_until = single.next_update.unwrap_or(single.this_update.saturating_add(ENDLESS_SECONDS));
    if single.this_update > now.saturating_add(SKEW_SECONDS) {
        return Err(AnswerFault::NotYet);
    }
    // No skew here: a client would have to have it, too.
    if valid_until < now.saturating_add(LEFT_SECONDS_MIN) {
        return Err(AnswerFault::Expired);
    }
    let status = single.status.ok_or(AnswerFault::UnknownCertificate)?;
    Ok(Statement { status, this_update: single.this_update, valid_until })
}

/// The content of a successful `OCSPResponse`: a `BasicOCSPResponse`.
fn successful(answer: &[u8]) -> Result<&[u8], AnswerFault> {
    let mut outer = Row::new(answer);
    let mut response = outer.sequence()?;
    outer.end()?;
    match response.of(ENUMERATED)?.content {
        [0] => {}
        [status] => return Err(AnswerFault::Refused(*status)),
        _ => return Err(AnswerFault::Malformed),
    }
    let mut explicit = response.explicit(0)?.ok_or(Unlike)?;
    response.end()?;
    let mut bytes = explicit.sequence()?;
    explicit.end()?;
    if bytes.of(OID)?.content != BASIC_OID {
        return Err(AnswerFault::Malformed);
    }
    let basic = bytes.of(OCTETS)?.content;
    bytes.end()?;
    Ok(basic)
}

/// 1.3.6.1.5.5.7.48.1.1
const BASIC_OID: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];

/// Most certificates of an answer that are looked at; one is usual.
const SIGNERS_MAX: usize = 4;

struct Basic<'a> {
    /// What is signed.
    signed: &'a [u8],
    algorithm: AlgorithmIdentifier<'a>,
    signature: BitString<'a>,
    /// In DER.
    certificates: Vec<&'a [u8]>,
    responder: ResponderId<'a>,
    singles: Row<'a>,
}

/// Who says that it signed.
enum ResponderId<'a> {
    /// Its name in DER.
    Name(&'a [u8]),
    /// The SHA-1 of its key.
    Key(&'a [u8]),
}

/// What is said of one certificate.
struct Single {
    /// None: the responder does not know it.
    status: Option<CertificateStatus>,
    this_update: i64,
    next_update: Option<i64>,
}

impl<'a> Basic<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, AnswerFault> {
        let mut outer = Row::new(bytes);
        let mut basic = outer.sequence()?;
        outer.end()?;
        let signed = basic.of(SEQUENCE)?;
        let algorithm = basic.of(SEQUENCE)?;
        let signature = basic.of(BITS)?;
        let certificates = match basic.explicit(0)? {
            None => Vec::new(),
            Some(mut explicit) => {
                let mut row = explicit.sequence()?;
                explicit.end()?;
                let mut found = Vec::new();
                while !row.is_empty() {
                    found.push(row.value()?.whole);
                }
                found
            }
        };
        basic.end()?;
        // `x509_parser` reads other types as OID, too.
        Row::new(algorithm.content).of(OID)?;
        let signature: BitString<'_> = whole(signature)?;
        if signature.unused_bits != 0 {
            return Err(AnswerFault::Malformed);
        }

        let mut data = Row::new(signed.content);
        if let Some(mut version) = data.explicit(0)? {
            // Version 1 is 0.
            if version.of(INTEGER)?.content != [0] {
                return Err(AnswerFault::Malformed);
            }
            version.end()?;
        }
        let responder = data.value()?;
        let mut inner = Row::new(responder.content);
        let responder = match responder.context() {
            Some(1) => ResponderId::Name(inner.value()?.whole),
            Some(2) => ResponderId::Key(inner.of(OCTETS)?.content),
            _ => return Err(AnswerFault::Malformed),
        };
        inner.end()?;
        // When it was made.
        seconds(data.of(TIME)?)?;
        let singles = data.sequence()?;
        if let Some(extensions) = data.explicit(1)? {
            refuse_critical(extensions)?;
        }
        data.end()?;
        Ok(Self {
            signed: signed.whole,
            algorithm: whole(algorithm)?,
            signature,
            certificates,
            responder,
            singles,
        })
    }

    /// What is said of the subject.
    fn single(&self, subject: &Subject) -> Result<Single, AnswerFault> {
        let mut row = self.singles;
        let mut found = None;
        while !row.is_empty() {
            let mut single = row.sequence()?;
            let about = is_about(single.sequence()?, subject)?;
            let status = single.value()?;
            let status = match status.context() {
                Some(0) => Some(CertificateStatus::Good),
                Some(1) => Some(CertificateStatus::Revoked),
                Some(2) => None,
                _ => return Err(AnswerFault::Malformed),
            };
            let this_update = seconds(single.of(TIME)?)?;
            let next_update = match single.explicit(0)? {
                None => None,
                Some(mut explicit) => {
                    let next = seconds(explicit.of(TIME)?)?;
                    explicit.end()?;
                    Some(next)
                }
            };
            if let Some(extensions) = single.explicit(1)? {
                refuse_critical(extensions)?;
            }
            single.end()?;
            if about && found.is_none() {
                found = Some(Single { status, this_update, next_update });
            }
        }
        found.ok_or(AnswerFault::OtherCertificate)
    }

    /// That the issuer said it, or somebody for it (RFC 6960 section 4.2.2.2).
    fn verify(&self, subject: &Subject, now: i64) -> Result<(), AnswerFault> {
        let issuer = read(&subject.issuer).ok_or(AnswerFault::Signer)?;
        let mut fault = AnswerFault::Signer;
        if self.names(&issuer) {
            match self.is_signed_with(issuer.public_key()) {
                Ok(()) => return Ok(()),
                Err(wrong) => fault = wrong,
            }
        }
        let others = self.certificates.iter().take(SIGNERS_MAX).filter_map(|der| read(der));
        for delegate in others.filter(|delegate| self.names(delegate)) {
            if !may_sign(&delegate, &issuer, now)? {
                continue;
            }
            match self.is_signed_with(delegate.public_key()) {
                Ok(()) => return Ok(()),
                Err(wrong) => fault = wrong,
            }
        }
        Err(fault)
    }

    fn names(&self, signer: &X509Certificate<'_>) -> bool {
        match self.responder {
            ResponderId::Name(name) => signer.subject().as_raw() == name,
            ResponderId::Key(hash) => sha1(&signer.public_key().subject_public_key.data) == hash,
        }
    }

    fn is_signed_with(&self, key: &SubjectPublicKeyInfo<'_>) -> Result<(), AnswerFault> {
        if is_sha1(&self.algorithm) {
            return Err(AnswerFault::SignatureKind);
        }
        verify_signature(key, &self.algorithm, &self.signature, self.signed).map_err(|error| match error {
            X509Error::SignatureUnsupportedAlgorithm => AnswerFault::SignatureKind,
            _ => AnswerFault::Signature,
        })
    }
}

/// Whether the issuer lets this one sign answers now.
fn may_sign(
    delegate: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
    now: i64,
) -> Result<bool, AnswerFault> {
    if is_sha1(&delegate.signature_algorithm) {
        return Err(AnswerFault::SignatureKind);
    }
    let usage = delegate.extended_key_usage().ok().flatten();
    let signs = usage.is_some_and(|usage| usage.value.ocsp_signing);
    let valid = delegate.validity();
    let in_force = valid.not_before.timestamp() <= now.saturating_add(SKEW_SECONDS)
        && valid.not_after.timestamp() >= now.saturating_sub(SKEW_SECONDS);
    // Here the signature must be known, unlike that of the subject: nothing else binds the delegate to the issuer.
    let bound = issued(issuer, delegate) && delegate.verify_signature(Some(issuer.public_key())).is_ok();
    Ok(signs && in_force && bound)
}

fn is_sha1(algorithm: &AlgorithmIdentifier<'_>) -> bool {
    algorithm.algorithm == OID_PKCS1_SHA1WITHRSA || algorithm.algorithm == OID_SHA1_WITH_RSA
}

fn is_about(mut id: Row<'_>, subject: &Subject) -> Result<bool, AnswerFault> {
    let hash = id.sequence()?.of(OID)?.content;
    let (name, key, serial) = (id.of(OCTETS)?.content, id.of(OCTETS)?.content, id.of(INTEGER)?.content);
    id.end()?;
    let ours = &subject.id;
    Ok(hash == SHA1_OID
        && name == ours.issuer_name_hash
        && key == ours.issuer_key_hash
        && serial == ours.serial)
}

/// Extensions add to what is said; one that must be understood is refused, as none is.
fn refuse_critical(mut explicit: Row<'_>) -> Result<(), AnswerFault> {
    let mut extensions = explicit.sequence()?;
    explicit.end()?;
    while !extensions.is_empty() {
        let mut extension = extensions.sequence()?;
        extension.of(OID)?;
        let critical = extension.maybe(BOOLEAN)?.is_some_and(|value| value.content != [0]);
        extension.of(OCTETS)?;
        extension.end()?;
        if critical {
            return Err(AnswerFault::CriticalExtension);
        }
    }
    Ok(())
}

/// A GeneralizedTime in seconds of Unix time.
fn seconds(time: Value<'_>) -> Result<i64, AnswerFault> {
    Ok(whole::<ASN1Time, _>(time)?.timestamp())
}

/// A value that `x509_parser` reads, and nothing behind it.
fn whole<'a, T: FromDer<'a, E>, E>(value: Value<'a>) -> Result<T, AnswerFault> {
    match T::from_der(value.whole) {
        Ok(([], read)) => Ok(read),
        Ok(_) | Err(_) => Err(AnswerFault::Malformed),
    }
}
