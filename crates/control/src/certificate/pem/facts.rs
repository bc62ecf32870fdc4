//! What is written in a certificate.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_lc_rs::digest;
use model::{CertificateFacts, KeyKind, Timestamp};
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    oid_registry::{OID_KEY_TYPE_EC_PUBLIC_KEY, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519},
    time::ASN1Time,
};

/// The facts of a certificate.
///
/// The contract has a field `fingerprint` and does not say of which hash. It is SHA-1 over the DER form here, in upper-case hex with
/// colons, as `openssl x509 -fingerprint` prints it and browsers show it. Nothing is decided by it.
pub(super) fn of(der: &[u8], certificate: &X509Certificate<'_>) -> CertificateFacts {
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der);
    let fingerprint: Vec<String> = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    CertificateFacts {
        common_name: common_name(certificate).unwrap_or_default(),
        alternative_names: alternative_names(certificate),
        fingerprint: fingerprint.join(":"),
        not_before: timestamp(certificate.validity().not_before),
        not_after: timestamp(certificate.validity().not_after),
        key: key_kind(certificate),
    }
}

/// A certificate's subject for a complaint.
pub(super) fn shown(certificate: &X509Certificate<'_>) -> String {
    let subject = common_name(certificate).unwrap_or_else(|| certificate.subject().to_string());
    subject.chars().filter(|c| !c.is_control()).take(SUBJECT_MAX).collect()
}

fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let name = certificate.subject().iter_common_name().next()?;
    name.as_str().ok().map(str::to_owned)
}

/// DNS names and addresses, in order; other kinds of name do not concern a TLS server.
fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(text).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|octets| Ipv4Addr::from(octets).into());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|octets| Ipv6Addr::from(octets).into())).ok()
}

fn timestamp(time: ASN1Time) -> Timestamp {
    Timestamp::from_millis(time.timestamp().saturating_mul(1000))
}

fn key_kind(certificate: &X509Certificate<'_>) -> KeyKind {
    let algorithm = &certificate.public_key().algorithm.algorithm;
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        KeyKind::Rsa
    } else if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY || *algorithm == OID_SIG_ED25519 {
        KeyKind::Ecc
    } else {
        KeyKind::Other
    }
}

/// Characters of a subject in a complaint.
const SUBJECT_MAX: usize = 128;
