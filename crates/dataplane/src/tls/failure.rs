//! Why a client's handshake failed, in the few words that are counted.

use std::io::{self, ErrorKind};

use ::openssl::{error, ssl};
use rustls::{Error, PeerIncompatible};
use telemetry::TlsFailure;

/// Why, for counting; none: we ended it, because we end.
pub(super) fn failure(error: &io::Error) -> Option<TlsFailure> {
    if let Some(inner) = error.get_ref() {
        return Some(match inner.downcast_ref::<Error>() {
            Some(error) => by_rustls(error),
            None => inner.downcast_ref::<ssl::Error>().map_or(TlsFailure::Other, by_openssl),
        });
    }
    match error.kind() {
        ErrorKind::ConnectionAborted => None,
        ErrorKind::TimedOut => Some(TlsFailure::Timeout),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            Some(TlsFailure::ClientGone)
        }
        // The policy allows nothing that this client speaks.
        ErrorKind::Unsupported => Some(TlsFailure::Version),
        _ => Some(TlsFailure::Other),
    }
}

pub(super) fn by_rustls(error: &Error) -> TlsFailure {
    match error {
        Error::PeerIncompatible(why) => match why {
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic => TlsFailure::Version,
            PeerIncompatible::KeyShareExtensionRequired
            | PeerIncompatible::NamedGroupsExtensionRequired
            | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon
            | PeerIncompatible::NoCipherSuitesInCommon
            | PeerIncompatible::NoEcPointFormatsInCommon
            | PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NoSignatureSchemesInCommon
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::UncompressedEcPointsRequired => TlsFailure::Suite,
            _ => TlsFailure::Other,
        },
        Error::NoCertificatesPresented => TlsFailure::NoClientCertificate,
        Error::InvalidCertificate(_) => TlsFailure::BadClientCertificate,
        Error::AlertReceived(_) => TlsFailure::ClientAlert,
        _ => TlsFailure::Other,
    }
}

/// OpenSSL's reasons (openssl/sslerr.h); those of alerts that came are 1000 and the alert's number.
fn by_openssl(error: &ssl::Error) -> TlsFailure {
    const NO_SUITABLE_KEY_SHARE: i32 = 101;
    const NO_SUITABLE_SIGNATURE_ALGORITHM: i32 = 118;
    const CERTIFICATE_VERIFY_FAILED: i32 = 134;
    const NO_SHARED_CIPHER: i32 = 193;
    const PEER_DID_NOT_RETURN_A_CERTIFICATE: i32 = 199;
    const UNSUPPORTED_PROTOCOL: i32 = 258;
    const UNEXPECTED_EOF_WHILE_READING: i32 = 294;
    const NO_SHARED_SIGNATURE_ALGORITHMS: i32 = 376;
    const VERSION_TOO_LOW: i32 = 396;
    const NO_SHARED_GROUPS: i32 = 410;
    let known = |error: &error::Error| match error.reason_code() {
        UNSUPPORTED_PROTOCOL | VERSION_TOO_LOW => Some(TlsFailure::Version),
        NO_SHARED_CIPHER
        | NO_SUITABLE_KEY_SHARE
        | NO_SHARED_GROUPS
        | NO_SHARED_SIGNATURE_ALGORITHMS
        | NO_SUITABLE_SIGNATURE_ALGORITHM => Some(TlsFailure::Suite),
        PEER_DID_NOT_RETURN_A_CERTIFICATE => Some(TlsFailure::NoClientCertificate),
        CERTIFICATE_VERIFY_FAILED => Some(TlsFailure::BadClientCertificate),
        UNEXPECTED_EOF_WHILE_READING => Some(TlsFailure::ClientGone),
        1000..=1255 => Some(TlsFailure::ClientAlert),
        _ => None,
    };
    match error.ssl_error() {
        Some(errors) => errors.errors().iter().find_map(known).unwrap_or(TlsFailure::Other),
        // The socket failed, or ended without a word.
        None => TlsFailure::ClientGone,
    }
}
