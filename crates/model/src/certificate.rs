//! A certificate: what a TLS listener shows its clients, or what it checks theirs against.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    CertificateId, Description, Name, Patch, ProjectId, Secret, Timestamp,
    load_balancer::{Protection, ProtectionPatch},
};

/// A certificate with its chain and, for servers, its key. The store keeps the keys sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its id.
    pub id: CertificateId,
    /// The owning project.
    pub project: ProjectId,
    /// What people call it; need not be unique.
    pub name: Name,
    /// A remark.
    pub description: Description,
    /// What it is for; never changes.
    pub kind: CertificateKind,
    /// The chain in PEM as it was given, leaf first; for a client CA, the trusted authorities.
    pub pem: String,
    /// The key in PEM as it was given; none for a client CA.
    pub private_key: Option<Secret>,
    /// The names that it serves when a listener picks it by SNI, as the caller said; `*.` may lead a name. Lower case.
    pub domains: Vec<String>,
    /// The encryption half of a pair under Chinese algorithms; kept, as nothing here can serve it.
    pub encryption: Option<EncryptionPair>,
    /// The id that it has in the cloud's certificate store; only kept.
    pub scm_id: Option<String>,
    /// What is written in the (leaf) certificate.
    pub facts: CertificateFacts,
    /// A mark that consoles honour.
    pub protection: Protection,
    /// A grouping over regions; none is written "0".
    pub enterprise_project: Option<Uuid>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed by a caller.
    pub updated_at: Timestamp,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateKind {
    /// Shown to clients.
    Server,
    /// The authority that clients' certificates come from (mutual TLS), or members' ([`crate::MemberTls`]).
    ClientCa,
    /// A pair under Chinese algorithms (SM2); kept, and refused on listeners.
    ServerSm,
}

/// The encryption certificate and key of an SM2 pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncryptionPair {
    /// The certificate in PEM.
    pub pem: String,
    /// Its key in PEM.
    pub private_key: Secret,
}

/// What a certificate says of itself; read by `control` when it is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// The subject's common name; may be empty.
    pub common_name: String,
    /// The subject's alternative names (DNS names and addresses), in order.
    pub alternative_names: Vec<String>,
    /// SHA-1 over the DER form, hex with colons.
    pub fingerprint: String,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until; an expired certificate is served, too (behaviour/tls.md).
    pub not_after: Timestamp,
    /// The kind of key.
    pub key: KeyKind,
}

/// The kind of a certificate's public key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// RSA.
    #[default]
    Rsa,
    /// ECDSA or EdDSA.
    Ecc,
    /// Any other; it cannot be served.
    Other,
}

/// What a caller says to create a certificate.
#[derive(Clone, Debug)]
pub struct NewCertificate {
    /// See [`Certificate::name`].
    pub name: Name,
    /// See [`Certificate::description`].
    pub description: Description,
    /// See [`Certificate::kind`].
    pub kind: CertificateKind,
    /// See [`Certificate::pem`].
    pub pem: String,
    /// See [`Certificate::private_key`].
    pub private_key: Option<Secret>,
    /// See [`Certificate::domains`].
    pub domains: Vec<String>,
    /// See [`Certificate::encryption`].
    pub encryption: Option<EncryptionPair>,
    /// See [`Certificate::scm_id`].
    pub scm_id: Option<String>,
    /// See [`Certificate::protection`].
    pub protection: Protection,
    /// See [`Certificate::enterprise_project`].
    pub enterprise_project: Option<Uuid>,
}

/// What a caller says to change a certificate.
#[derive(Clone, Debug, Default)]
pub struct CertificatePatch {
    /// See [`Certificate::name`].
    pub name: Option<Name>,
    /// See [`Certificate::description`].
    pub description: Option<Description>,
    /// See [`Certificate::pem`].
    pub pem: Option<String>,
    /// See [`Certificate::private_key`].
    pub private_key: Option<Secret>,
    /// See [`Certificate::domains`].
    pub domains: Option<Vec<String>>,
    /// The certificate of [`Certificate::encryption`].
    pub encryption_pem: Option<String>,
    /// The key of [`Certificate::encryption`].
    pub encryption_key: Option<Secret>,
    /// See [`Certificate::scm_id`].
    pub scm_id: Patch<String>,
    /// See [`Certificate::protection`].
    pub protection: ProtectionPatch,
}
