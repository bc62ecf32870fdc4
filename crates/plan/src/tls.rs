//! The TLS settings of a listener, as data: what is shown to whom, and what is agreed to. No cryptography happens here.
//!
//! Which certificate a client gets: [`TlsPlan::certificates_for`] names those for the name that it asked for (one per kind of
//! key); the data plane takes the first that the client can check. Source: behaviour/tls.md, "SNI".

use std::{collections::BTreeMap, fmt, sync::Arc};

use model::{CertificateId, TlsVersion, listener::SniMatch};
use serde::Serialize;

/// How a listener treats TLS.
#[derive(Debug, PartialEq, Serialize)]
pub struct TlsPlan {
    /// Every certificate that may be shown, each once.
    pub certificates: Vec<Arc<CertificatePlan>>,
    /// Those for clients that ask for no name, or one that none has: indices into [`TlsPlan::certificates`], ECC before RSA.
    pub default: Vec<usize>,
    /// Names in lower case, `*.` in front where there is one → the certificates that have them: indices, ECC before RSA.
    pub names: BTreeMap<String, Vec<usize>>,
    /// How names with `*.` are matched.
    pub sni_match: SniMatch,
    /// Where clients' certificates must come from; none: they are not asked for.
    pub client_ca: Option<Arc<ClientCaPlan>>,
    /// The versions that are agreed to; not empty.
    pub versions: Vec<TlsVersion>,
    /// The suites that are agreed to by OpenSSL's names, best first, of all versions.
    pub suites: Vec<String>,
    /// Whether HTTP/2 is offered (ALPN).
    pub alpn_h2: bool,
    /// Whether TLS 1.3 clients may send a request along with their first flight (0-RTT).
    pub early_data: bool,
}

impl TlsPlan {
    /// The certificates for a client that asks for this name (in any case), best first.
    ///
    /// The name itself beats `*.`; of several `*.` the longest wins. Under [`SniMatch::Wildcard`] `*` is exactly one label,
    /// under [`SniMatch::LongestSuffix`] one or more.
    pub fn certificates_for(&self, name: Option<&str>) -> &[usize] {
        name.and_then(|name| self.named(&name.trim_end_matches('.').to_ascii_lowercase()))
            .unwrap_or(&self.default)
    }

    fn named(&self, name: &str) -> Option<&[usize]> {
        if self.names.is_empty() {
            return None;
        }
        if let Some(exact) = self.names.get(name) {
            return Some(exact);
        }
        let mut rest = name;
        while let Some((label, suffix)) = rest.split_once('.') {
            if label.is_empty() {
                return None;
            }
            if let Some(found) = self.names.get(&format!("*.{suffix}")) {
                return Some(found);
            }
            match self.sni_match {
                SniMatch::Wildcard => return None,
                SniMatch::LongestSuffix => rest = suffix,
            }
        }
        None
    }
}

/// A certificate that is shown to clients.
#[derive(PartialEq, Serialize)]
pub struct CertificatePlan {
    /// Which one.
    pub id: CertificateId,
    /// The chain in DER, leaf first; not empty.
    #[serde(skip)]
    pub chain_der: Vec<Vec<u8>>,
    /// The key in DER: PKCS #8, PKCS #1 (RSA) or SEC 1 (EC). Secret: not in `Debug`, never serialised.
    #[serde(skip)]
    pub key_der: Vec<u8>,
}

impl fmt::Debug for CertificatePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificatePlan").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The authorities that clients' certificates must come from.
#[derive(PartialEq, Serialize)]
pub struct ClientCaPlan {
    /// Which certificate object they are from.
    pub id: CertificateId,
    /// The authorities in DER; not empty.
    #[serde(skip)]
    pub authorities_der: Vec<Vec<u8>>,
}

impl fmt::Debug for ClientCaPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCaPlan").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(sni_match: SniMatch, names: &[&str]) -> TlsPlan {
        TlsPlan {
            certificates: Vec::new(),
            default: vec![99],
            names: names.iter().enumerate().map(|(n, name)| ((*name).to_owned(), vec![n])).collect(),
            sni_match,
            client_ca: None,
            versions: vec![TlsVersion::V12],
            suites: Vec::new(),
            alpn_h2: false,
            early_data: false,
        }
    }

    #[test]
    fn the_certificate_for_a_name_is_the_exact_one_then_the_longest_wildcard_then_the_default() {
        use SniMatch::{LongestSuffix, Wildcard};
        let names = ["a.test.com", "*.test.com", "*.b.test.com", "plain.org"];
        for (why, how, asked, expect) in [
            ("no name", Wildcard, None, 99),
            ("exact beats wildcard", Wildcard, Some("a.test.com"), 0),
            ("case does not matter, nor a final dot", Wildcard, Some("A.Test.COM."), 0),
            ("one label", Wildcard, Some("x.test.com"), 1),
            ("not two labels", Wildcard, Some("x.y.test.com"), 99),
            ("the wildcard below", Wildcard, Some("x.b.test.com"), 2),
            ("not the bare name", Wildcard, Some("test.com"), 99),
            ("two labels by suffix", LongestSuffix, Some("x.y.test.com"), 1),
            ("the longer suffix wins", LongestSuffix, Some("x.y.b.test.com"), 2),
            ("one label by suffix", LongestSuffix, Some("b.test.com"), 1),
            ("an exact name has no suffix", LongestSuffix, Some("x.plain.org"), 99),
            ("an empty label is no name", LongestSuffix, Some(".test.com"), 99),
        ] {
            assert_eq!(plan(how, &names).certificates_for(asked), [expect], "{why}");
        }
    }

    #[test]
    fn a_key_shows_neither_in_debug_nor_in_json() {
        let plan = CertificatePlan {
            id: CertificateId::new(uuid::Uuid::from_u128(1)),
            chain_der: vec![vec![0x55; 3]],
            key_der: vec![0x55; 3],
        };
        let text = format!("{plan:?}{}", serde_json::to_string(&plan).unwrap());
        assert!(!text.contains("85"), "{text}");
    }
}
