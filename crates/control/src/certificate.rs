//! The verbs of certificates (huawei/behaviours.md sections 6 and 10, behaviour/tls.md). What makes a PEM text good is in `pem`.

mod domains;
mod pem;

use std::sync::Arc;

use identity::{Action, Caller, Verb};
use model::{
    Certificate, CertificateId, CertificateKind, CertificatePatch, KeyKind, Kind, Listener, ListenerProtocol,
    NewCertificate, Object, Patch, Project, QuotaKey, Secret, certificate::EncryptionPair,
};
use uuid::Uuid;

use pem::Leaf;
pub use pem::{PemFault, certificate_facts};

use crate::{
    Control, Error, audit,
    command::{Draft, command},
    listener::tls,
    member::check_batch,
    protection,
};

/// What became of each of several certificates that were to be deleted.
pub type CertificatesDeleted = Vec<(CertificateId, Result<(), Error>)>;

/// Makes a certificate.
pub async fn certificate_create(
    control: &Control,
    caller: &Caller,
    new: NewCertificate,
) -> Result<Arc<Certificate>, Error> {
    command(control, caller, action(Verb::Create), |draft| create(draft, new.clone())).await
}

/// Changes a certificate; listeners show the new one to those who connect from then on.
pub async fn certificate_update(
    control: &Control,
    caller: &Caller,
    id: CertificateId,
    patch: CertificatePatch,
) -> Result<Arc<Certificate>, Error> {
    command(control, caller, action(Verb::Put), |draft| update(draft, id, patch.clone())).await
}

/// Deletes a certificate that no listener and no pool names.
pub async fn certificate_delete(control: &Control, caller: &Caller, id: CertificateId) -> Result<(), Error> {
    command(control, caller, action(Verb::Delete), |draft| delete(draft, id)).await
}

/// Deletes those of several certificates that can be deleted, and says of each other why not. At most [`crate::BATCH_MAX`].
pub async fn certificate_delete_batch(
    control: &Control,
    caller: &Caller,
    ids: Vec<CertificateId>,
) -> Result<CertificatesDeleted, Error> {
    command(control, caller, action(Verb::Delete), |draft| delete_batch(draft, &ids)).await
}

/// Sets whether queries show the private keys of the caller's project ([`crate::View::private_key_echo`] reads it).
pub async fn private_key_echo_update(control: &Control, caller: &Caller, shown: bool) -> Result<(), Error> {
    command(control, caller, action(Verb::Put), |draft| update_echo(draft, shown)).await
}

const fn action(verb: Verb) -> Action {
    Action::elb("certificates", verb)
}

pub(crate) fn create(draft: &mut Draft<'_>, new: NewCertificate) -> Result<Arc<Certificate>, Error> {
    let project = draft.caller.project;
    draft.quota_for_one_more(QuotaKey::Certificate)?;
    protection::check(&new.protection)?;
    let made = checked(Certificate {
        id: CertificateId::new(Uuid::new_v4()),
        project,
        name: new.name,
        description: new.description,
        kind: new.kind,
        pem: new.pem,
        private_key: new.private_key,
        domains: new.domains,
        encryption: new.encryption,
        scm_id: new.scm_id,
        facts: Default::default(),
        protection: new.protection,
        enterprise_project: new.enterprise_project,
        created_at: draft.now,
        updated_at: draft.now,
    })?;
    let made = Arc::new(made);
    draft.put(Object::Certificate(made.clone()));
    record(draft, "createCertificate", &made);
    Ok(made)
}

pub(crate) fn update(
    draft: &mut Draft<'_>,
    id: CertificateId,
    patch: CertificatePatch,
) -> Result<Arc<Certificate>, Error> {
    let before = draft.certificate(id)?;
    let mut certificate = Certificate::clone(&before);
    certificate.pem = patch.pem.unwrap_or(certificate.pem);
    certificate.private_key = patch.private_key.or(certificate.private_key);
    certificate.domains = patch.domains.unwrap_or(certificate.domains);
    certificate.encryption = match (patch.encryption_pem, patch.encryption_key, certificate.encryption) {
        (None, None, now) => now,
        (pem, private_key, now) => {
            let (pem_now, key_now) = now.map(|pair| (pair.pem, pair.private_key)).unzip();
            match (pem.or(pem_now), private_key.or(key_now)) {
                (Some(pem), Some(private_key)) => Some(EncryptionPair { pem, private_key }),
                (Some(_), None) => {
                    return Err(Error::invalid("enc_private_key", "is needed with enc_certificate"));
                }
                (None, _) => return Err(Error::invalid("enc_certificate", "is needed with enc_private_key")),
            }
        }
    };
    match patch.scm_id {
        Patch::Keep => {}
        Patch::Clear => certificate.scm_id = None,
        Patch::Set(scm) => certificate.scm_id = Some(scm),
    }
    certificate.protection = protection::patched(&certificate.protection, patch.protection)?;
    certificate.name = patch.name.unwrap_or(certificate.name);
    certificate.description = patch.description.unwrap_or(certificate.description);
    certificate.updated_at = draft.now;
    let changed = Arc::new(checked(certificate)?);
    draft.put(Object::Certificate(changed.clone()));
    check_listeners(draft, &before, &changed)?;
    record(draft, "updateCertificate", &changed);
    Ok(changed)
}

pub(crate) fn delete(draft: &mut Draft<'_>, id: CertificateId) -> Result<(), Error> {
    let certificate = draft.certificate(id)?;
    if let Some(listener) = draft.state.listeners_with_certificate(id).next() {
        return Err(Error::InUse {
            what: format!("certificate {id}"),
            by: format!("listener {} uses it; give that another one first", listener.id),
        });
    }
    if let Some(pool) = draft.state.pools_with_authority(id).next() {
        return Err(Error::InUse {
            what: format!("certificate {id}"),
            by: format!("members of pool {} are verified by it; give that another one first", pool.id),
        });
    }
    draft.delete(Object::Certificate(certificate.clone()));
    let name = certificate.name.as_str();
    audit::record(draft, "deleteCertificate", "certificate", id, name, audit::NOTHING);
    Ok(())
}

pub(crate) fn delete_batch(
    draft: &mut Draft<'_>,
    ids: &[CertificateId],
) -> Result<CertificatesDeleted, Error> {
    check_batch("certificates", ids.len())?;
    Ok(ids.iter().map(|&id| (id, delete(draft, id))).collect())
}

pub(crate) fn update_echo(draft: &mut Draft<'_>, shown: bool) -> Result<(), Error> {
    let id = draft.caller.project;
    let project = draft.state.project(id).ok_or_else(|| Error::not_found(Kind::Project, id))?;
    let changed = Project { private_key_echo: shown, ..Project::clone(project) };
    let (name, state) = (changed.name.clone(), [("private_key_echo", shown)]);
    draft.put(changed);
    let state = std::collections::BTreeMap::from(state);
    audit::record(draft, "updatePrivateKeyEcho", "certificate", id, name.as_str(), Some(&state));
    Ok(())
}

/// The certificate with what its text says of it, if text, keys and domains are as its kind wants them.
fn checked(mut certificate: Certificate) -> Result<Certificate, Error> {
    if certificate.kind == CertificateKind::ClientCa {
        // "private_key ignored" (behaviour/tls.md): a key that is not needed is better not kept.
        certificate.private_key = None;
    }
    if certificate.kind != CertificateKind::ServerSm && certificate.encryption.is_some() {
        return Err(Error::invalid("enc_certificate", "only certificates of type server_sm have it"));
    }
    if let Some(scm) = &certificate.scm_id
        && (scm.is_empty() || scm.chars().count() > SCM_ID_MAX)
    {
        return Err(Error::invalid("scm_certificate_id", format!("must have 1 to {SCM_ID_MAX} characters")));
    }
    let of = |field| move |fault| Error::Certificate { field, fault };
    let key = certificate.private_key.as_ref().map(Secret::reveal).unwrap_or_default();
    let leaf = Leaf::of(certificate.kind, &certificate.pem).map_err(of("certificate"))?;
    leaf.check_key(certificate.kind, key).map_err(of("private_key"))?;
    if let Some(pair) = &certificate.encryption {
        let leaf = Leaf::of(certificate.kind, &pair.pem).map_err(of("enc_certificate"))?;
        leaf.check_key(certificate.kind, pair.private_key.reveal()).map_err(of("enc_private_key"))?;
    }
    certificate.facts = leaf.facts;
    certificate.domains = domains::checked(certificate.kind, certificate.domains)?;
    Ok(certificate)
}

/// A certificate in use must go on fitting its listeners.
fn check_listeners(draft: &Draft<'_>, before: &Certificate, after: &Certificate) -> Result<(), Error> {
    let by_name = |listener: &&Arc<Listener>| {
        listener.tls().is_some_and(|tls| tls.sni_certificates.contains(&after.id))
    };
    for listener in draft.state.listeners_with_certificate(after.id).filter(by_name) {
        if after.domains.is_empty() && !before.domains.is_empty() {
            return Err(Error::InUse {
                what: format!("the domain of certificate {}", after.id),
                by: format!("listener {} picks the certificate by it; take it out there first", listener.id),
            });
        }
        if let Some(settings) = listener.tls() {
            tls::check_names(draft, settings, "domain")?;
        }
    }
    let quic =
        draft.state.listeners_with_certificate(after.id).find(|l| l.protocol() == ListenerProtocol::Quic);
    match quic {
        Some(listener) if after.facts.key != KeyKind::Rsa => Err(Error::InUse {
            what: format!("the RSA key of certificate {}", after.id),
            by: format!("listener {} speaks QUIC and shows RSA certificates only", listener.id),
        }),
        Some(_) | None => Ok(()),
    }
}

/// Writes the audit record; keys are stars in it.
fn record(draft: &mut Draft<'_>, name: &str, certificate: &Certificate) {
    let stars = || Secret::new("******");
    let shown = Certificate {
        private_key: certificate.private_key.as_ref().map(|_| stars()),
        encryption: certificate
            .encryption
            .as_ref()
            .map(|pair| EncryptionPair { pem: pair.pem.clone(), private_key: stars() }),
        ..certificate.clone()
    };
    audit::record(draft, name, "certificate", certificate.id, certificate.name.as_str(), Some(&shown));
}

/// The id is another service's and only kept; the bound is ours.
const SCM_ID_MAX: usize = 64;

#[cfg(test)]
mod tests;
