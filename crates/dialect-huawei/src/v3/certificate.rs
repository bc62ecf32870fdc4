//! The certificate in v3 words. Its id is written without dashes.

pub(crate) mod batch;
pub(crate) mod echo;

use std::{fmt, str::FromStr};

use axum::response::Response;
use control::View;
use http::StatusCode;
use identity::Verb;
use model::{
    Certificate, CertificateId, CertificateKind, CertificatePatch, NewCertificate, Patch, Secret, Timestamp,
    certificate::EncryptionPair,
};
use serde::Serialize;

use crate::v3::{
    answer,
    call::Call,
    errors::Problem,
    fields::{Fields, Refusal},
    list::{Filter, each, enterprise_project, maybe, one},
    marks,
};

const WRAPPER: &str = "certificate";
const RESOURCE: &str = "certificates";

// ---- wire ----

/// A certificate as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    id: String,
    name: String,
    description: String,
    project_id: String,
    enterprise_project_id: String,
    admin_state_up: bool,
    #[serde(rename = "type")]
    kind: &'static str,
    domain: Option<String>,
    certificate: String,
    private_key: Option<String>,
    enc_certificate: Option<String>,
    enc_private_key: Option<String>,
    scm_certificate_id: Option<String>,
    source: &'static str,
    common_name: String,
    subject_alternative_names: Vec<String>,
    fingerprint: String,
    expire_time: String,
    protection_status: &'static str,
    protection_reason: String,
    /// Ours: what its owner should know, in words.
    warnings: Vec<String>,
    created_at: String,
    updated_at: String,
}

/// A certificate's id as markers write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ShownId(CertificateId);

impl fmt::Display for ShownId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.simple())
    }
}
impl FromStr for ShownId {
    type Err = <CertificateId as FromStr>::Err;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

// ---- decode ----

const KINDS: &[(&str, Option<CertificateKind>)] = &[
    ("server", Some(CertificateKind::Server)),
    ("client", Some(CertificateKind::ClientCa)),
    ("server_sm", Some(CertificateKind::ServerSm)),
];
/// Where a certificate comes from: the cloud's certificate store, or the caller alone.
const SOURCES: &[(&str, Option<bool>)] = &[("scm", Some(true)), ("", Some(false))];
/// Characters of a certificate with its chain. The vendor's documents print 20,000 and 65,536; the wider one is taken.
pub(crate) const PEM_MAX: usize = 65_536;
/// Characters of a key.
const KEY_MAX: usize = 8192;
/// Characters of all names together.
const DOMAIN_MAX: usize = 10_000;

/// The body of a create.
pub(crate) fn decode_new(mut fields: Fields<'_>) -> Result<NewCertificate, Refusal> {
    marks::project(&mut fields)?;
    fields.only_true("admin_state_up")?;
    let kind = fields.choice("type", KINDS)?.unwrap_or(CertificateKind::Server);
    let pem = fields.string("certificate", 0..=PEM_MAX)?;
    let private_key = key(&mut fields, "private_key")?;
    let encryption_pem = fields.string("enc_certificate", 0..=PEM_MAX)?.filter(|pem| !pem.is_empty());
    let encryption_key = key(&mut fields, "enc_private_key")?;
    let encryption = match (encryption_pem, encryption_key) {
        (None, None) => None,
        (pem, key) => Some(EncryptionPair {
            pem: fields.required("enc_certificate", pem)?,
            private_key: fields.required("enc_private_key", key)?,
        }),
    };
    let scm_id = scm_id(&mut fields, None)?.into_option();
    let new = NewCertificate {
        name: marks::name(&mut fields)?.unwrap_or_default(),
        description: marks::description(&mut fields)?.unwrap_or_default(),
        kind,
        pem: fields.required("certificate", pem)?,
        // Documented as ignored for an authority.
        private_key: private_key.filter(|_| kind != CertificateKind::ClientCa),
        domains: domains(&mut fields)?.unwrap_or_default(),
        encryption,
        scm_id,
        protection: marks::protection(&mut fields)?,
        enterprise_project: marks::enterprise_project(&mut fields)?,
    };
    fields.done()?;
    Ok(new)
}

/// Fixed at creation (behaviours.md section 4).
pub(crate) const FIXED: &[&str] = &["type", "admin_state_up", "project_id", "enterprise_project_id"];

/// The body of an update of that certificate.
pub(crate) fn decode_patch(
    mut fields: Fields<'_>,
    certificate: &Certificate,
) -> Result<CertificatePatch, Refusal> {
    fields.fixed(FIXED)?;
    let private_key = key(&mut fields, "private_key")?;
    let patch = CertificatePatch {
        name: marks::name(&mut fields)?,
        description: marks::description(&mut fields)?,
        pem: fields.string("certificate", 0..=PEM_MAX)?,
        private_key: private_key.filter(|_| certificate.kind != CertificateKind::ClientCa),
        domains: domains(&mut fields)?,
        encryption_pem: fields.string("enc_certificate", 0..=PEM_MAX)?,
        encryption_key: key(&mut fields, "enc_private_key")?,
        scm_id: scm_id(&mut fields, certificate.scm_id.as_deref())?,
        protection: marks::protection_patch(&mut fields)?,
    };
    fields.done()?;
    Ok(patch)
}

/// A key; the empty string is none.
fn key(fields: &mut Fields<'_>, name: &str) -> Result<Option<Secret>, Refusal> {
    let key = fields.string(name, 0..=KEY_MAX)?;
    Ok(key.filter(|key| !key.is_empty()).map(Secret::new))
}

/// `domain`: names joined by commas.
fn domains(fields: &mut Fields<'_>) -> Result<Option<Vec<String>>, Refusal> {
    let text = fields.string("domain", 0..=DOMAIN_MAX)?;
    Ok(text.map(|text| match text.trim() {
        "" => Vec::new(),
        text => text.split(',').map(|name| name.trim().to_owned()).collect(),
    }))
}

/// `scm_certificate_id`, the empty string being no id, and `source`, which says whether there is one.
fn scm_id(fields: &mut Fields<'_>, now: Option<&str>) -> Result<Patch<String>, Refusal> {
    let id = match fields.string("scm_certificate_id", 0..=255)? {
        None => Patch::Keep,
        Some(id) if id.is_empty() => Patch::Clear,
        Some(id) => Patch::Set(id),
    };
    let stored = match &id {
        Patch::Keep => now.is_some(),
        Patch::Clear => false,
        Patch::Set(_) => true,
    };
    match fields.choice("source", SOURCES)? {
        Some(true) if !stored => Err(fields.refuse("source", "scm needs scm_certificate_id")),
        _ => Ok(id),
    }
}

// ---- encode ----

/// The certificate as answers show it at that moment; its keys as stars unless they may be shown.
pub(crate) fn encode(certificate: &Certificate, private_key_echo: bool, now: Timestamp) -> Wire {
    let (protection_status, protection_reason) = answer::protection(&certificate.protection);
    let shown = |key: &Secret| match private_key_echo {
        true => key.reveal().to_owned(),
        false => "******".to_owned(),
    };
    let encryption = certificate.encryption.as_ref();
    Wire {
        id: certificate.id.simple(),
        name: certificate.name.to_string(),
        description: certificate.description.to_string(),
        project_id: certificate.project.simple(),
        enterprise_project_id: answer::enterprise_project(certificate.enterprise_project),
        admin_state_up: true,
        kind: kind(certificate),
        domain: domain(certificate),
        certificate: certificate.pem.clone(),
        private_key: certificate.private_key.as_ref().map(shown),
        enc_certificate: encryption.map(|pair| pair.pem.clone()),
        enc_private_key: encryption.map(|pair| shown(&pair.private_key)),
        scm_certificate_id: certificate.scm_id.clone(),
        source: source(certificate),
        common_name: certificate.facts.common_name.clone(),
        subject_alternative_names: certificate.facts.alternative_names.clone(),
        fingerprint: certificate.facts.fingerprint.clone(),
        expire_time: answer::time(certificate.facts.not_after),
        protection_status,
        protection_reason,
        warnings: warnings(certificate, now),
        created_at: answer::time(certificate.created_at),
        updated_at: answer::time(certificate.updated_at),
    }
}

/// A certificate out of its time is served all the same (behaviour/tls.md).
fn warnings(certificate: &Certificate, now: Timestamp) -> Vec<String> {
    let facts = &certificate.facts;
    if facts.not_after < now {
        let ended = answer::time(facts.not_after);
        vec![format!("expired on {ended}; it is still shown to clients, which will refuse it")]
    } else if facts.not_before > now {
        let begins = answer::time(facts.not_before);
        vec![format!("not valid before {begins}; it is shown to clients, which will refuse it until then")]
    } else {
        Vec::new()
    }
}

fn kind(certificate: &Certificate) -> &'static str {
    match certificate.kind {
        CertificateKind::Server => "server",
        CertificateKind::ClientCa => "client",
        CertificateKind::ServerSm => "server_sm",
    }
}

fn source(certificate: &Certificate) -> &'static str {
    if certificate.scm_id.is_some() { "scm" } else { "" }
}

/// The names in one text; null without any.
fn domain(certificate: &Certificate) -> Option<String> {
    Some(certificate.domains.join(",")).filter(|domain| !domain.is_empty())
}

// ---- list ----

/// What its list can be filtered by.
pub(crate) const FILTERS: &[Filter<View, Certificate>] = &[
    Filter::text("id", |_, certificate| one(certificate.id.simple())),
    Filter::text("name", |_, certificate| one(&certificate.name)),
    Filter::text("description", |_, certificate| one(&certificate.description)),
    Filter::flag("admin_state_up", |_, _| one(true)),
    // A certificate of several names is found by each, and by all in one text as it shows them.
    Filter::text("domain", |_, certificate| {
        each(certificate.domains.iter().cloned().chain(domain(certificate)))
    }),
    Filter::text("type", |_, certificate| one(kind(certificate))),
    Filter::text("scm_certificate_id", |_, certificate| maybe(certificate.scm_id.as_ref())),
    Filter::text("common_name", |_, certificate| one(&certificate.facts.common_name)),
    Filter::text("fingerprint", |_, certificate| one(&certificate.facts.fingerprint)),
    Filter::text("source", |_, certificate| one(source(certificate))),
    Filter::text("protection_status", |_, certificate| one(answer::protection(&certificate.protection).0)),
    Filter::text("protection_reason", |_, certificate| one(answer::protection(&certificate.protection).1)),
    Filter::text("enterprise_project_id", |_, certificate| {
        enterprise_project(certificate.enterprise_project)
    }),
];

// ---- operations ----

/// `GET …/certificates`.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::List)?;
    let all = view.snapshot.certificates().values().map(AsRef::as_ref);
    let own = all.filter(|certificate: &&Certificate| certificate.project == view.project).collect();
    let id = |certificate: &Certificate| ShownId(certificate.id);
    let echo = view.private_key_echo();
    let now = call.moment();
    call.page(RESOURCE, &view, FILTERS, id, own, |certificate| encode(certificate, echo, now))
}

/// `POST …/certificates`.
pub(crate) async fn create(call: Call) -> Result<Response, Problem> {
    let new = decode_new(call.fields(WRAPPER)?)?;
    let made = control::certificate_create(call.control(), &call.caller, new).await?;
    Ok(call.one(StatusCode::CREATED, WRAPPER, encode(&made, call.now().private_key_echo(), call.moment())))
}

/// `GET …/certificates/{certificate_id}`.
pub(crate) async fn show(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::Get)?;
    let found = view.certificate(call.id("certificate_id")?)?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(found, view.private_key_echo(), call.moment())))
}

/// `PUT …/certificates/{certificate_id}`.
pub(crate) async fn update(call: Call) -> Result<Response, Problem> {
    let id = call.id("certificate_id")?;
    let patch = decode_patch(call.fields(WRAPPER)?, call.now().certificate(id)?)?;
    let changed = control::certificate_update(call.control(), &call.caller, id, patch).await?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(&changed, call.now().private_key_echo(), call.moment())))
}

/// `DELETE …/certificates/{certificate_id}`.
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    control::certificate_delete(call.control(), &call.caller, call.id("certificate_id")?).await?;
    Ok(call.gone())
}

#[cfg(test)]
pub(crate) mod tests {
    use model::{CertificateFacts, ProjectId, load_balancer::Protection};
    use serde_json::{Value, json};

    use super::*;
    use crate::v3::fields::tests::read;

    const AT: Timestamp = Timestamp::from_millis(1_627_267_591_000);

    /// A certificate of that kind with little in it.
    pub(crate) fn certificate(kind: CertificateKind) -> Certificate {
        Certificate {
            id: CertificateId::new(uuid::Uuid::from_u128(5)),
            project: ProjectId::new(uuid::Uuid::from_u128(1)),
            name: Default::default(),
            description: Default::default(),
            kind,
            pem: "a chain".to_owned(),
            private_key: (kind != CertificateKind::ClientCa).then(|| Secret::new("a key")),
            domains: Vec::new(),
            encryption: None,
            scm_id: None,
            facts: CertificateFacts { not_before: AT, not_after: AT, ..CertificateFacts::default() },
            protection: Protection::None,
            enterprise_project: None,
            created_at: AT,
            updated_at: AT,
        }
    }

    fn new(content: Value) -> Result<NewCertificate, String> {
        let mut all = json!({"certificate": "a chain", "private_key": "a key"});
        all.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
        read(all, decode_new)
    }

    #[test]
    fn a_create_has_the_documented_defaults() {
        let server = new(json!({})).unwrap();
        assert_eq!((server.kind, server.scm_id), (CertificateKind::Server, None));
        assert_eq!(server.private_key, Some(Secret::new("a key")));
        assert!(server.domains.is_empty() && server.encryption.is_none());
        let authority = new(json!({"type": "client"})).unwrap();
        assert_eq!(authority.private_key, None, "the key of an authority is ignored");
        let both = json!({"type": "server_sm", "enc_certificate": "c", "enc_private_key": "k"});
        assert_eq!(new(both).unwrap().encryption.unwrap().private_key, Secret::new("k"));
    }

    #[test]
    fn fields_that_belong_together_are_said_together() {
        for (why, content, expect) in [
            ("half of a pair", json!({"enc_certificate": "c"}), Err("enc_private_key")),
            ("half of a pair", json!({"enc_private_key": "k"}), Err("enc_certificate")),
            ("a store without an id", json!({"source": "scm"}), Err("source")),
            ("a store with an id", json!({"source": "scm", "scm_certificate_id": "scs1"}), Ok(())),
            ("an id says enough", json!({"source": "", "scm_certificate_id": "scs1"}), Ok(())),
            ("no store", json!({"source": ""}), Ok(())),
        ] {
            assert_eq!(new(content).map(drop), expect.map_err(str::to_owned), "{why}");
        }
    }

    #[test]
    fn names_are_joined_by_commas() {
        for (text, expect) in
            [("", &[][..]), (" ", &[]), ("a.com", &["a.com"]), ("a.com, *.b.com", &["a.com", "*.b.com"])]
        {
            assert_eq!(new(json!({"domain": text})).unwrap().domains, expect, "{text}");
        }
        let of_two = Certificate {
            domains: vec!["a.com".to_owned(), "*.b.com".to_owned()],
            ..certificate(CertificateKind::Server)
        };
        assert_eq!(encode(&of_two, true, AT).domain.as_deref(), Some("a.com,*.b.com"));
        assert_eq!(encode(&certificate(CertificateKind::ClientCa), true, AT).domain, None);
    }

    #[test]
    fn keys_are_stars_when_the_project_says_so() {
        let server = certificate(CertificateKind::Server);
        assert_eq!(encode(&server, true, AT).private_key.as_deref(), Some("a key"));
        assert_eq!(encode(&server, false, AT).private_key.as_deref(), Some("******"));
        assert_eq!(encode(&certificate(CertificateKind::ClientCa), false, AT).private_key, None);
    }

    #[test]
    fn a_certificate_out_of_its_time_warns() {
        let server = certificate(CertificateKind::Server);
        for (millis, expect) in
            [(-1, "not valid before 2021-07-26T02:46:31Z"), (0, ""), (1, "expired on 2021-07-26T02:46:31Z")]
        {
            let now = Timestamp::from_millis(1_627_267_591_000 + millis);
            let warnings = encode(&server, true, now).warnings;
            assert!(
                warnings.concat().starts_with(expect) && warnings.is_empty() == expect.is_empty(),
                "{warnings:?}"
            );
        }
    }

    #[test]
    fn ids_have_no_dashes_in_answers_and_markers() {
        let wire = encode(&certificate(CertificateKind::Server), true, AT);
        assert_eq!(wire.id, "00000000000000000000000000000005");
        let marker: ShownId = wire.id.parse().unwrap();
        assert_eq!(marker.to_string(), wire.id);
    }
}
