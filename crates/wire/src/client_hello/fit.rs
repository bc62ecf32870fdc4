//! Whether a server with given settings and this client would come to terms: who serves a connection is decided by it.
//!
//! It follows rustls 0.23 (`server::hs`), which first fixes the version, then needs a group, a signature scheme for one of its
//! keys and a suite for that key. Clients that get [`Misfit`] from rustls's settings are those that another TLS stack may be able
//! to serve: by an older version, a CBC or static RSA suite, or without the extensions that rustls insists on.
//!
//! Where there are certificates of several kinds, rustls tells its resolver only the schemes that go with a suite in common; so a
//! resolver that takes the first key with such a scheme finds the one that was found here, provided that rustls was given no suites
//! of versions that are not allowed.

use super::{ClientHello, TLS12, TLS13};
use crate::tls_suites::{self, Authentication};

/// What a server agrees to for the name that the client asks for.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Is TLS 1.2 allowed?
    pub tls12: bool,
    /// Is TLS 1.3 allowed?
    pub tls13: bool,
    /// Suites by IANA id, of both versions; only those that the server can do. For rustls see
    /// [`TlsSuite::in_rustls`](crate::tls_suites::TlsSuite::in_rustls).
    pub suites: &'a [u16],
    /// Groups for the key exchange by IANA id; only elliptic curves and hybrids with them, as in rustls.
    pub groups: &'a [u16],
    /// The kinds of keys for which there is a certificate.
    pub keys: &'a [KeyKind],
}

impl Offer<'_> {
    /// A version without any suite is as if it were not allowed.
    fn has_suite_of(&self, version: u16) -> bool {
        self.suites.iter().filter_map(|&id| tls_suites::by_id(id)).any(|suite| suite.fits(version))
    }
}

/// The kind of a certificate's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// RSA of any length.
    Rsa,
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// ECDSA on P-521.
    EcdsaP521,
    /// Ed25519.
    Ed25519,
}

impl KeyKind {
    /// Schemes that a key of this kind can sign with, by IANA id, as rustls 0.23 does. In TLS 1.3 RSA signs with PSS alone.
    fn schemes(self, version: u16) -> &'static [u16] {
        match self {
            Self::Rsa if version == TLS13 => &[0x0804, 0x0805, 0x0806],
            Self::Rsa => &[0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601],
            Self::EcdsaP256 => &[0x0403],
            Self::EcdsaP384 => &[0x0503],
            Self::EcdsaP521 => &[0x0603],
            Self::Ed25519 => &[0x0807],
        }
    }

    /// Does a suite go with a key of this kind?
    fn fits(self, suite: Authentication) -> bool {
        match suite {
            Authentication::Any => true,
            Authentication::Rsa => self == Self::Rsa,
            Authentication::Ecdsa => self != Self::Rsa,
            Authentication::Dss => false,
        }
    }
}

/// Why there is no way to come to terms; the first reason in the order of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Misfit {
    /// No version that both speak.
    #[error("no TLS version in common")]
    Version,
    /// The client insists on compression.
    #[error("the client insists on compression")]
    Compression,
    /// The client cannot read points as they are written today.
    #[error("the client reads no uncompressed points")]
    PointFormat,
    /// No group that both know, or the client named none.
    #[error("no key exchange group in common")]
    Group,
    /// No signature scheme for any of the keys, or the client named none.
    #[error("no signature scheme in common with any certificate")]
    Signature,
    /// No suite that both know for a key that the client can check.
    #[error("no cipher suite in common")]
    Suite,
}

impl Misfit {
    /// Stable name for logs, metrics and tests.
    pub fn code(self) -> &'static str {
        match self {
            Self::Version => "tls_no_version_in_common",
            Self::Compression => "tls_compression_required",
            Self::PointFormat => "tls_no_point_format_in_common",
            Self::Group => "tls_no_group_in_common",
            Self::Signature => "tls_no_signature_scheme_in_common",
            Self::Suite => "tls_no_suite_in_common",
        }
    }
}

impl ClientHello<'_> {
    /// Would this server and the client come to terms? Gives the version (0x0303 or 0x0304).
    ///
    /// A client that speaks TLS 1.3 with a server that does gets TLS 1.3 or nothing, as no server falls back. Allocates nothing.
    pub fn fits(&self, offer: &Offer<'_>) -> Result<u16, Misfit> {
        let version = match () {
            () if offer.tls13 && self.speaks(TLS13) && offer.has_suite_of(TLS13) => TLS13,
            () if offer.tls12 && self.speaks(TLS12) && offer.has_suite_of(TLS12) => TLS12,
            () => return Err(Misfit::Version),
        };
        if !self.null_compression {
            return Err(Misfit::Compression);
        }
        let formats = self.point_formats();
        if version == TLS12 && !formats.is_empty() && !formats.contains(&0) {
            return Err(Misfit::PointFormat);
        }
        if !self.groups().any(|group| offer.groups.contains(&group) && is_of(group, version)) {
            return Err(Misfit::Group);
        }
        let checked =
            |key: &&KeyKind| self.signature_schemes().any(|scheme| key.schemes(version).contains(&scheme));
        if !offer.keys.iter().any(|key| checked(&key)) {
            return Err(Misfit::Signature);
        }
        let keys = || offer.keys.iter().filter(checked);
        let mut suites =
            self.cipher_suites().filter(|id| offer.suites.contains(id)).filter_map(tls_suites::by_id);
        if !suites.any(|suite| suite.fits(version) && keys().any(|key| key.fits(suite.authentication))) {
            return Err(Misfit::Suite);
        }
        Ok(version)
    }

    /// Would this server serve the client? See [`ClientHello::fits`].
    pub fn is_served_by(&self, offer: &Offer<'_>) -> bool {
        self.fits(offer).is_ok()
    }
}

/// Can a group be used in a version? Those of post-quantum cryptography belong to TLS 1.3 (RFC 8446 §4.2.7 and its successors).
fn is_of(group: u16, version: u16) -> bool {
    version == TLS13 || group < 0x0100
}
