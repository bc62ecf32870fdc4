//! TLS cipher suites: OpenSSL's name, IANA's id, and what a suite goes with.
//!
//! It has every suite that contract `behaviour/tls.md` names, and no other. Source of ids: the IANA registry "TLS Cipher Suites".

/// A cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsSuite {
    /// OpenSSL's name, as security policies have it.
    pub name: &'static str,
    /// IANA's id.
    pub id: u16,
    /// Which versions it belongs to.
    pub era: Era,
    /// Which certificates it goes with.
    pub authentication: Authentication,
    /// How keys are exchanged.
    pub exchange: Exchange,
    /// Is the cipher one that authenticates what it encrypts (GCM, CCM, Poly1305)?
    pub aead: bool,
}

/// The versions that a suite belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// TLS 1.3 alone.
    Tls13,
    /// TLS 1.2 alone (SHA-256, SHA-384 or AEAD: RFC 5246, 5288, 5289, 7905).
    Tls12,
    /// TLS 1.0, 1.1 and 1.2.
    Old,
}

/// The key that a certificate must have for a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Any: TLS 1.3 settles that apart.
    Any,
    /// RSA.
    Rsa,
    /// ECDSA or EdDSA.
    Ecdsa,
    /// DSS, which nobody has.
    Dss,
}

/// How the keys of a connection come to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// TLS 1.3 settles it apart; always with forward secrecy.
    Any,
    /// Elliptic curves, with forward secrecy.
    Ecdhe,
    /// Finite fields, with forward secrecy.
    Dhe,
    /// Encrypted with the certificate's key: who has that can read old connections.
    StaticRsa,
}

impl TlsSuite {
    /// Can it be used in this version (0x0301 for TLS 1.0 up to 0x0304 for TLS 1.3)?
    pub fn fits(&self, version: u16) -> bool {
        match self.era {
            Era::Tls13 => version == 0x0304,
            Era::Tls12 => version == 0x0303,
            Era::Old => (0x0301..=0x0303).contains(&version),
        }
    }

    /// Does rustls 0.23 with aws-lc-rs have it? GCM and ChaCha20 with ECDHE, or in TLS 1.3.
    pub fn in_rustls(&self) -> bool {
        let ccm = self.name.contains("_CCM_");
        self.aead && !ccm && matches!(self.exchange, Exchange::Any | Exchange::Ecdhe)
    }
}

/// The suite that OpenSSL calls so; names are compared exactly.
pub fn by_name(name: &str) -> Option<&'static TlsSuite> {
    SUITES.iter().find(|suite| suite.name == name)
}

/// The suite that has this id.
pub fn by_id(id: u16) -> Option<&'static TlsSuite> {
    SUITES.iter().find(|suite| suite.id == id)
}

const fn suite(
    name: &'static str,
    id: u16,
    era: Era,
    exchange: Exchange,
    authentication: Authentication,
) -> TlsSuite {
    TlsSuite { name, id, era, authentication, exchange, aead: false }
}

const fn aead(suite: TlsSuite) -> TlsSuite {
    TlsSuite { aead: true, ..suite }
}

/// All that are known, in no order that means anything but that the usual ones come first.
pub const SUITES: &[TlsSuite] = &{
    use Authentication::{Any, Dss, Ecdsa, Rsa};
    use Era::{Old, Tls12, Tls13};
    use Exchange::{Dhe, Ecdhe, StaticRsa};
    [
        aead(suite("TLS_AES_256_GCM_SHA384", 0x1302, Tls13, Exchange::Any, Any)),
        aead(suite("TLS_AES_128_GCM_SHA256", 0x1301, Tls13, Exchange::Any, Any)),
        aead(suite("TLS_CHACHA20_POLY1305_SHA256", 0x1303, Tls13, Exchange::Any, Any)),
        aead(suite("TLS_AES_128_CCM_SHA256", 0x1304, Tls13, Exchange::Any, Any)),
        aead(suite("TLS_AES_128_CCM_8_SHA256", 0x1305, Tls13, Exchange::Any, Any)),
        aead(suite("ECDHE-ECDSA-AES256-GCM-SHA384", 0xc02c, Tls12, Ecdhe, Ecdsa)),
        aead(suite("ECDHE-ECDSA-AES128-GCM-SHA256", 0xc02b, Tls12, Ecdhe, Ecdsa)),
        aead(suite("ECDHE-ECDSA-CHACHA20-POLY1305", 0xcca9, Tls12, Ecdhe, Ecdsa)),
        aead(suite("ECDHE-RSA-AES256-GCM-SHA384", 0xc030, Tls12, Ecdhe, Rsa)),
        aead(suite("ECDHE-RSA-AES128-GCM-SHA256", 0xc02f, Tls12, Ecdhe, Rsa)),
        aead(suite("ECDHE-RSA-CHACHA20-POLY1305", 0xcca8, Tls12, Ecdhe, Rsa)),
        suite("ECDHE-ECDSA-AES128-SHA256", 0xc023, Tls12, Ecdhe, Ecdsa),
        suite("ECDHE-ECDSA-AES256-SHA384", 0xc024, Tls12, Ecdhe, Ecdsa),
        suite("ECDHE-ECDSA-AES128-SHA", 0xc009, Old, Ecdhe, Ecdsa),
        suite("ECDHE-ECDSA-AES256-SHA", 0xc00a, Old, Ecdhe, Ecdsa),
        aead(suite("AES128-GCM-SHA256", 0x009c, Tls12, StaticRsa, Rsa)),
        aead(suite("AES256-GCM-SHA384", 0x009d, Tls12, StaticRsa, Rsa)),
        suite("ECDHE-RSA-AES128-SHA256", 0xc027, Tls12, Ecdhe, Rsa),
        suite("ECDHE-RSA-AES256-SHA384", 0xc028, Tls12, Ecdhe, Rsa),
        suite("AES128-SHA256", 0x003c, Tls12, StaticRsa, Rsa),
        suite("AES256-SHA256", 0x003d, Tls12, StaticRsa, Rsa),
        suite("ECDHE-RSA-AES128-SHA", 0xc013, Old, Ecdhe, Rsa),
        suite("ECDHE-RSA-AES256-SHA", 0xc014, Old, Ecdhe, Rsa),
        suite("AES128-SHA", 0x002f, Old, StaticRsa, Rsa),
        suite("AES256-SHA", 0x0035, Old, StaticRsa, Rsa),
        suite("DHE-RSA-AES128-SHA", 0x0033, Old, Dhe, Rsa),
        suite("DHE-RSA-AES256-SHA", 0x0039, Old, Dhe, Rsa),
        suite("DHE-DSS-AES128-SHA", 0x0032, Old, Dhe, Dss),
        suite("DHE-DSS-AES256-SHA", 0x0038, Old, Dhe, Dss),
        suite("CAMELLIA128-SHA", 0x0041, Old, StaticRsa, Rsa),
        suite("CAMELLIA256-SHA", 0x0084, Old, StaticRsa, Rsa),
        suite("DHE-RSA-CAMELLIA128-SHA", 0x0045, Old, Dhe, Rsa),
        suite("DHE-RSA-CAMELLIA256-SHA", 0x0088, Old, Dhe, Rsa),
        suite("DHE-DSS-CAMELLIA128-SHA", 0x0044, Old, Dhe, Dss),
        suite("DHE-DSS-CAMELLIA256-SHA", 0x0087, Old, Dhe, Dss),
        suite("DES-CBC3-SHA", 0x000a, Old, StaticRsa, Rsa),
        suite("EDH-RSA-DES-CBC3-SHA", 0x0016, Old, Dhe, Rsa),
        suite("EDH-DSS-DES-CBC3-SHA", 0x0013, Old, Dhe, Dss),
        suite("ECDHE-RSA-RC4-SHA", 0xc011, Old, Ecdhe, Rsa),
        suite("RC4-SHA", 0x0005, Old, StaticRsa, Rsa),
    ]
};
