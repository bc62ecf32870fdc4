//! The names that a certificate serves when a listener picks it by SNI (behaviour/tls.md, Certificates).

use std::collections::BTreeSet;

use model::CertificateKind;

use crate::Error;

/// The names in lower case, each once, if all are good.
pub(super) fn checked(kind: CertificateKind, domains: Vec<String>) -> Result<Vec<String>, Error> {
    if kind == CertificateKind::ClientCa && !domains.is_empty() {
        return Err(Error::invalid("domain", "a certificate of type client has none"));
    }
    if domains.len() > DOMAINS_MAX {
        return Err(Error::invalid(
            "domain",
            format!("has {} names; at most {DOMAINS_MAX} are allowed", domains.len()),
        ));
    }
    let mut seen = BTreeSet::new();
    let mut names = Vec::with_capacity(domains.len());
    for domain in domains {
        if let Err(reason) = check(&domain) {
            let shown: String = domain.chars().take(NAME_MAX).collect();
            return Err(Error::invalid("domain", format!("'{shown}' {reason}")));
        }
        let name = domain.to_ascii_lowercase();
        if seen.insert(name.clone()) {
            names.push(name);
        }
    }
    Ok(names)
}

/// What is wrong with a name.
fn check(domain: &str) -> Result<(), String> {
    if domain.len() > NAME_MAX {
        return Err(format!("is longer than {NAME_MAX} characters"));
    }
    let name = domain.strip_prefix("*.").unwrap_or(domain);
    for label in name.split('.') {
        if label.is_empty() {
            return Err("has an empty label".to_owned());
        }
        if label.len() > LABEL_MAX {
            return Err(format!("has a label of more than {LABEL_MAX} characters"));
        }
        if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            return Err(
                "may hold only letters, digits, '-' and '_' between its dots, and '*.' in front".to_owned()
            );
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("has a label that begins or ends with '-'".to_owned());
        }
    }
    Ok(())
}

/// Names of one certificate.
const DOMAINS_MAX: usize = 100;
/// Characters of a name.
const NAME_MAX: usize = 100;
/// Characters of a label.
const LABEL_MAX: usize = 63;
