//! The settings that only listeners with TLS have: certificates, security policies, early data.

use model::{
    CertificateId, Listener, ListenerProtocol, Patch, SecurityPolicyId, SystemSecurityPolicy,
    listener::{SniMatch, TlsService},
};

use crate::v3::fields::{Fields, Harmless, Refusal};

// ---- decode ----

/// What a request says about TLS.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) certificate: Option<CertificateId>,
    pub(super) sni_certificates: Option<Vec<CertificateId>>,
    pub(super) sni_match: Option<SniMatch>,
    pub(super) client_ca: Patch<CertificateId>,
    pub(super) system_policy: Option<SystemSecurityPolicy>,
    pub(super) security_policy: Patch<SecurityPolicyId>,
    pub(super) early_data: Option<bool>,
}

const SNI_MATCHES: &[(&str, Option<SniMatch>)] =
    &[("wildcard", Some(SniMatch::Wildcard)), ("longest_suffix", Some(SniMatch::LongestSuffix))];
/// Most certificates that a listener picks from by name.
const SNI_MAX: usize = 50;

/// The fields about TLS of a listener of that protocol. What it does not have may be said with values that say nothing.
pub(super) fn decode(fields: &mut Fields<'_>, protocol: ListenerProtocol) -> Result<Said, Refusal> {
    for (name, harmless) in not_had(protocol) {
        fields.only_harmless(
            name,
            *harmless,
            "listeners of this protocol do not have this setting; leave it out",
        )?;
    }
    // What was read above is not there any more.
    Ok(Said {
        certificate: fields.id("default_tls_container_ref")?,
        sni_certificates: fields.parsed_list("sni_container_refs", SNI_MAX, "a certificate's id")?,
        sni_match: fields.choice("sni_match_algo", SNI_MATCHES)?,
        client_ca: fields.nullable_id("client_ca_tls_container_ref")?,
        system_policy: system_policy(fields)?,
        security_policy: fields.nullable_id("security_policy_id")?,
        early_data: fields.flag("ssl_early_data_enable")?,
    })
}

type Setting = (&'static str, Harmless);
const EARLY_DATA: Setting = ("ssl_early_data_enable", Harmless::Off);
const CLIENT_CA: Setting = ("client_ca_tls_container_ref", Harmless::Empty);
const SECURITY_POLICY: Setting = ("security_policy_id", Harmless::Empty);
const SYSTEM_POLICY: Setting =
    ("tls_ciphers_policy", Harmless::Default(SystemSecurityPolicy::DEFAULT.as_str()));

/// The settings that listeners of a protocol do not have.
fn not_had(protocol: ListenerProtocol) -> &'static [Setting] {
    match protocol {
        ListenerProtocol::Https => &[],
        ListenerProtocol::Tls => &[EARLY_DATA],
        ListenerProtocol::Quic => &[EARLY_DATA, CLIENT_CA, SECURITY_POLICY, SYSTEM_POLICY],
        ListenerProtocol::Tcp | ListenerProtocol::Udp | ListenerProtocol::Http => &[
            EARLY_DATA,
            CLIENT_CA,
            SECURITY_POLICY,
            SYSTEM_POLICY,
            ("default_tls_container_ref", Harmless::Empty),
            ("sni_container_refs", Harmless::NoItems),
            ("sni_match_algo", Harmless::Default("wildcard")),
        ],
    }
}

fn system_policy(fields: &mut Fields<'_>) -> Result<Option<SystemSecurityPolicy>, Refusal> {
    let Some(name) = fields.string("tls_ciphers_policy", 1..=255)? else { return Ok(None) };
    name.parse().map(Some).map_err(|_| {
        let known: Vec<_> = SystemSecurityPolicy::ALL.iter().map(|policy| policy.as_str()).collect();
        fields.refuse("tls_ciphers_policy", format!("one of {} is accepted", known.join(", ")))
    })
}

impl Said {
    /// The settings of a new listener.
    pub(super) fn into_service(self, fields: &Fields<'_>) -> Result<TlsService, Refusal> {
        Ok(TlsService {
            certificate: fields.required("default_tls_container_ref", self.certificate)?,
            sni_certificates: self.sni_certificates.unwrap_or_default(),
            sni_match: self.sni_match.unwrap_or_default(),
            client_ca: self.client_ca.into_option(),
            system_policy: self.system_policy.unwrap_or(SystemSecurityPolicy::DEFAULT),
            security_policy: self.security_policy.into_option(),
            early_data: self.early_data.unwrap_or(false),
        })
    }
}

// ---- encode ----

/// The certificate shown to clients that name no other.
pub(super) fn certificate(listener: &Listener) -> Option<String> {
    listener.tls().map(|tls| tls.certificate.simple())
}

/// The authority of clients' certificates.
pub(super) fn client_ca(listener: &Listener) -> Option<String> {
    listener.tls().and_then(|tls| tls.client_ca).map(CertificateId::simple)
}

/// The certificates that are picked by name.
pub(super) fn sni_certificates(listener: &Listener) -> Vec<String> {
    let ids = listener.tls().map(|tls| tls.sni_certificates.as_slice()).unwrap_or_default();
    ids.iter().map(|id| id.simple()).collect()
}

/// How names are matched; listeners without TLS show the default.
pub(super) fn sni_match(listener: &Listener) -> &'static str {
    match listener.tls().map(|tls| tls.sni_match).unwrap_or_default() {
        SniMatch::Wildcard => "wildcard",
        SniMatch::LongestSuffix => "longest_suffix",
    }
}

/// The system's security policy; QUIC listeners have none.
pub(super) fn system_policy_name(listener: &Listener) -> Option<&'static str> {
    let tls = listener.tls().filter(|_| listener.protocol() != ListenerProtocol::Quic);
    tls.map(|tls| tls.system_policy.as_str())
}

/// The project's security policy.
pub(super) fn security_policy(listener: &Listener) -> Option<String> {
    listener.tls().and_then(|tls| tls.security_policy).map(|id| id.to_string())
}

/// Whether early data is taken.
pub(super) fn early_data(listener: &Listener) -> bool {
    listener.tls().is_some_and(|tls| tls.early_data)
}
