//! The rules of TLS settings (huawei/behaviours.md section 6, behaviour/tls.md).

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Certificate, CertificateId, CertificateKind, KeyKind, ListenerPatch, TlsVersion,
    listener::{SniMatch, TlsService},
};

use crate::{Error, command::Draft};

/// Whether everything that the settings name is there and fits.
pub(super) fn check(draft: &Draft<'_>, tls: &TlsService) -> Result<(), Error> {
    of_kind(draft, tls.certificate, CertificateKind::Server, "default_tls_container_ref")?;
    if let Some(ca) = tls.client_ca {
        of_kind(draft, ca, CertificateKind::ClientCa, "client_ca_tls_container_ref")?;
    }
    check_names(draft, tls, "sni_container_refs")?;
    let versions = match tls.security_policy {
        None => tls.system_policy.versions().to_vec(),
        Some(policy) => draft.security_policy(policy)?.versions.clone(),
    };
    if tls.early_data && !versions.contains(&TlsVersion::V13) {
        return Err(Error::invalid(
            "ssl_early_data_enable",
            "needs a security policy with TLSv1.3, for example tls-1-2-fs-with-1-3",
        ));
    }
    Ok(())
}

/// Whether the SNI certificates tell clients apart: each has names, and no name stands twice, but that an RSA and an ECC certificate
/// may share one. `field` is what the caller is told.
pub(crate) fn check_names(draft: &Draft<'_>, tls: &TlsService, field: &'static str) -> Result<(), Error> {
    if tls.sni_certificates.len() > SNI_CERTIFICATES_MAX {
        let reason = format!("at most {SNI_CERTIFICATES_MAX} certificates are allowed");
        return Err(Error::invalid(field, reason));
    }
    let mut seen = BTreeSet::new();
    let mut domains: BTreeMap<String, Vec<(KeyKind, CertificateId)>> = BTreeMap::new();
    let mut total = 0;
    for &id in &tls.sni_certificates {
        if !seen.insert(id) {
            return Err(Error::invalid(field, format!("certificate {id} stands twice")));
        }
        let certificate = of_kind(draft, id, CertificateKind::Server, field)?;
        if certificate.domains.is_empty() {
            return Err(Error::invalid(
                field,
                format!("certificate {id} has no domain by which it could be picked; give it one first"),
            ));
        }
        total += certificate.domains.len();
        for domain in &certificate.domains {
            let holders = domains.entry(domain.clone()).or_default();
            if let Some((_, other)) = holders.iter().find(|(kind, _)| *kind == certificate.facts.key) {
                return Err(Error::invalid(
                    field,
                    format!("certificates {other} and {id} both have the domain {domain}"),
                ));
            }
            holders.push((certificate.facts.key, id));
        }
    }
    if total > SNI_DOMAINS_MAX {
        let reason = format!("the certificates have {total} domains; at most {SNI_DOMAINS_MAX} are allowed");
        return Err(Error::invalid(field, reason));
    }
    Ok(())
}

/// Applies the TLS part of a change.
pub(super) fn change(tls: &mut TlsService, patch: &ListenerPatch) {
    tls.certificate = patch.certificate.unwrap_or(tls.certificate);
    if let Some(certificates) = &patch.sni_certificates {
        tls.sni_certificates = certificates.clone();
    }
    tls.sni_match = patch.sni_match.unwrap_or(tls.sni_match);
    patch.client_ca.clone().apply(&mut tls.client_ca);
    tls.system_policy = patch.system_policy.unwrap_or(tls.system_policy);
    patch.security_policy.clone().apply(&mut tls.security_policy);
    tls.early_data = patch.early_data.unwrap_or(tls.early_data);
}

/// Refuses what only TLS listeners have. Saying that it is off, as it is, is no wish.
pub(super) fn refuse(patch: &ListenerPatch) -> Result<(), Error> {
    let said = [
        ("default_tls_container_ref", patch.certificate.is_some()),
        ("sni_container_refs", patch.sni_certificates.as_ref().is_some_and(|ids| !ids.is_empty())),
        ("sni_match_algo", patch.sni_match.is_some_and(|algorithm| algorithm != SniMatch::default())),
        ("client_ca_tls_container_ref", patch.client_ca.resolve(None).is_some()),
        ("tls_ciphers_policy", patch.system_policy.is_some()),
        ("security_policy_id", patch.security_policy.resolve(None).is_some()),
        ("ssl_early_data_enable", patch.early_data == Some(true)),
    ];
    match said.into_iter().find(|(_, said)| *said) {
        Some((field, _)) => Err(Error::invalid(field, "only HTTPS and TLS listeners have this setting")),
        None => Ok(()),
    }
}

/// The certificate, which must be of that kind. `field` is what the caller is told.
pub(crate) fn of_kind(
    draft: &Draft<'_>,
    id: CertificateId,
    wanted: CertificateKind,
    field: &'static str,
) -> Result<std::sync::Arc<Certificate>, Error> {
    let certificate = draft.certificate(id)?;
    let reason = match (certificate.kind, wanted) {
        (kind, wanted) if kind == wanted => return Ok(certificate),
        (CertificateKind::ServerSm, _) => {
            "is of type server_sm; certificates of Chinese algorithms are kept, but cannot be served here"
        }
        (_, CertificateKind::ClientCa) => "is of type server; a certificate of type client is needed here",
        (_, CertificateKind::Server | CertificateKind::ServerSm) => {
            "is of type client; a certificate of type server is needed here"
        }
    };
    Err(Error::invalid(field, format!("certificate {id} {reason}")))
}

/// SNI certificates of one listener (huawei/behaviours.md section 6).
const SNI_CERTIFICATES_MAX: usize = 50;
/// Domains of all SNI certificates of one listener.
const SNI_DOMAINS_MAX: usize = 200;
