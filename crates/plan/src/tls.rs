//! The TLS settings of a listener, as data: what is shown to whom, and what is agreed to. No cryptography happens here: PEM is
//! read, and whether a key fits its certificate was checked by `control` and is checked again by who builds a configuration.
//!
//! Which certificate a client gets: [`TlsPlan::certificates_for`] names those for the name that it asked for (one per kind of
//! key); the data plane takes the first that the client can check. Source: behaviour/tls.md, "SNI".

use std::{collections::BTreeMap, fmt, sync::Arc};

use model::{
    Certificate, CertificateId, KeyKind, Snapshot, TlsVersion,
    listener::{HttpService, SniMatch, TlsService},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde::Serialize;

use crate::listener::same_or_new;

/// How a listener treats TLS.
#[derive(Debug, PartialEq, Serialize)]
pub struct TlsPlan {
    /// Every certificate that may be shown, each once. Empty when the listener's own certificate cannot be read: then nothing can
    /// be served, and [`crate::ListenerPlan::faults`] says why.
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
    /// Whether HTTP is spoken inside, which is then said by ALPN.
    pub http: bool,
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

impl TlsPlan {
    /// The plan of a listener's TLS settings, and what could not be read, in words. What is equal in the plan before is taken
    /// over from there.
    pub(crate) fn compile(
        snapshot: &Snapshot,
        http: Option<&HttpService>,
        tls: &TlsService,
        before: Option<&Arc<Self>>,
        known: &mut Certificates,
    ) -> (Arc<Self>, Vec<String>) {
        let mut faults = Vec::new();
        let (versions, suites) = agreed(snapshot, tls);
        let mut plan = Self {
            certificates: Vec::new(),
            default: Vec::new(),
            names: BTreeMap::new(),
            sni_match: tls.sni_match,
            client_ca: tls.client_ca.map(|id| ClientCaPlan::compile(snapshot, id, before, &mut faults)),
            versions,
            suites,
            http: http.is_some(),
            alpn_h2: http.is_some_and(|http| http.http2),
            early_data: tls.early_data,
        };
        match known.plan(snapshot, tls.certificate, before) {
            Ok(own) => {
                plan.certificates.push(own);
                plan.default.push(0);
                for &id in &tls.sni_certificates {
                    match known.plan(snapshot, id, before) {
                        Ok(certificate) => plan.offer(snapshot, certificate),
                        Err(fault) => faults.push(fault),
                    }
                }
                // After those of the list, so that a name that both have is theirs.
                plan.name(snapshot, tls.certificate, 0);
                plan.prefer_ecc(snapshot);
            }
            Err(fault) => faults.push(fault),
        }
        (same_or_new(before, plan), faults)
    }

    fn offer(&mut self, snapshot: &Snapshot, certificate: Arc<CertificatePlan>) {
        let id = certificate.id;
        let index = self.certificates.iter().position(|known| known.id == id).unwrap_or_else(|| {
            self.certificates.push(certificate);
            self.certificates.len() - 1
        });
        self.name(snapshot, id, index);
    }

    fn name(&mut self, snapshot: &Snapshot, id: CertificateId, index: usize) {
        for domain in snapshot.certificate(id).iter().flat_map(|certificate| &certificate.domains) {
            let indices = self.names.entry(domain.to_ascii_lowercase()).or_default();
            if !indices.contains(&index) {
                indices.push(index);
            }
        }
    }

    /// "ECC preferred when the client can" (behaviour/tls.md, SNI). A stable sort.
    fn prefer_ecc(&mut self, snapshot: &Snapshot) {
        let kind = |index: &usize| {
            let certificate = snapshot.certificate(self.certificates[*index].id);
            match certificate.map(|certificate| certificate.facts.key) {
                Some(KeyKind::Ecc) => 0,
                Some(KeyKind::Rsa) => 1,
                Some(KeyKind::Other) | None => 2,
            }
        };
        self.names.values_mut().for_each(|indices| indices.sort_by_key(kind));
    }
}

/// The versions and suites that a listener's security policy allows; the project's own policy wins over the system's.
fn agreed(snapshot: &Snapshot, tls: &TlsService) -> (Vec<TlsVersion>, Vec<String>) {
    match tls.security_policy.and_then(|id| snapshot.security_policy(id)) {
        Some(policy) => {
            (policy.versions.clone(), policy.suites.iter().map(|suite| suite.as_str().to_owned()).collect())
        }
        None => (
            tls.system_policy.versions().to_vec(),
            tls.system_policy.suites().split(':').map(str::to_owned).collect(),
        ),
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

impl CertificatePlan {
    fn read(certificate: &Certificate) -> Result<Self, String> {
        let fault = |what: &str| {
            let Certificate { id, name, .. } = certificate;
            format!("certificate {id} ({name}) cannot be shown: {what}; replace it by one that is whole")
        };
        let chain_der = read_chain(&certificate.pem).map_err(|error| fault(&error))?;
        let key = certificate.private_key.as_ref().ok_or_else(|| fault("it has no private key"))?;
        let key = PrivateKeyDer::from_pem_slice(key.reveal().as_bytes())
            .map_err(|_| fault("its private key is not PEM of PKCS #8, PKCS #1 or SEC 1"))?;
        Ok(Self { id: certificate.id, chain_der, key_der: key.secret_der().to_vec() })
    }
}

/// The certificates read in one compilation: many listeners may show the same.
#[derive(Default)]
pub(crate) struct Certificates(BTreeMap<CertificateId, Result<Arc<CertificatePlan>, String>>);

impl Certificates {
    fn plan(
        &mut self,
        snapshot: &Snapshot,
        id: CertificateId,
        before: Option<&Arc<TlsPlan>>,
    ) -> Result<Arc<CertificatePlan>, String> {
        let read = self.0.entry(id).or_insert_with(|| {
            let certificate = snapshot
                .certificate(id)
                .ok_or_else(|| format!("certificate {id} does not exist; give the listener another one"))?;
            CertificatePlan::read(certificate).map(Arc::new)
        });
        let former = before.and_then(|before| before.certificates.iter().find(|former| former.id == id));
        if let (Ok(new), Some(former)) = (&mut *read, former)
            && new == former
        {
            // Listeners that come later share it, too.
            *new = Arc::clone(former);
        }
        read.clone()
    }
}

/// The authorities that clients' certificates must come from.
#[derive(PartialEq, Serialize)]
pub struct ClientCaPlan {
    /// Which certificate object they are from.
    pub id: CertificateId,
    /// The authorities in DER. Empty when they cannot be read: then no client can be let in, and
    /// [`crate::ListenerPlan::faults`] says why.
    #[serde(skip)]
    pub authorities_der: Vec<Vec<u8>>,
}

impl ClientCaPlan {
    fn compile(
        snapshot: &Snapshot,
        id: CertificateId,
        before: Option<&Arc<TlsPlan>>,
        faults: &mut Vec<String>,
    ) -> Arc<Self> {
        let read = match snapshot.certificate(id) {
            Some(certificate) => read_chain(&certificate.pem),
            None => Err("it does not exist".to_owned()),
        };
        let authorities_der = read.unwrap_or_else(|error| {
            faults.push(format!(
                "CA certificate {id} lets no client in: {error}; give the listener another one"
            ));
            Vec::new()
        });
        same_or_new(before.and_then(|before| before.client_ca.as_ref()), Self { id, authorities_der })
    }
}

/// The certificates of a PEM text in DER, at least one.
pub(crate) fn read_chain(pem: &str) -> Result<Vec<Vec<u8>>, String> {
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|der| der.map(|der| der.to_vec()))
        .collect::<Result<Vec<_>, _>>();
    match chain {
        Ok(chain) if chain.is_empty() => Err("it holds no PEM certificate".to_owned()),
        Ok(chain) => Ok(chain),
        Err(error) => Err(format!("it is not PEM ({error})")),
    }
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
            http: true,
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
