//! Headers that a listener writes for its members.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Patch;

/// Headers that a listener writes for its members; a client's own copy of a header that is switched on never gets through
/// (behaviour/features.md section 5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsertHeaders {
    /// `X-Forwarded-For`.
    pub forwarded_for: ForwardedFor,
    /// `X-Real-IP`: the client's address.
    pub real_ip: bool,
    /// `X-Forwarded-Host`: the request's host.
    pub forwarded_host: bool,
    /// `X-Forwarded-Proto`: `http` or `https`.
    pub forwarded_proto: bool,
    /// `X-Forwarded-Port`: the listener's port.
    pub forwarded_port: bool,
    /// `X-Forwarded-For-Port`: the client's port.
    pub forwarded_for_port: bool,
    /// `X-Forwarded-ELB-IP`: the address on which the client reached the load balancer.
    pub elb_ip: bool,
    /// `X-Forwarded-ELB-ID`: the load balancer's id.
    pub elb_id: bool,
    /// Headers about a client's TLS; what is not here is off.
    #[serde(default)]
    pub tls: BTreeMap<TlsHeader, TlsHeaderSwitch>,
}

/// Headers about a client's TLS, for HTTPS listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsHeader {
    /// `X-Forwarded-TLS-Certificate-ID`: the id of the certificate that was shown.
    CertificateId,
    /// `X-Forwarded-TLS-Protocol`: such as `TLSv1.2`.
    Protocol,
    /// `X-Forwarded-TLS-Cipher`: the suite.
    Cipher,
    /// `X-Forwarded-Clientcert-subjectdn`.
    ClientSubject,
    /// `X-Forwarded-Clientcert-issuerdn`.
    ClientIssuer,
    /// `X-Forwarded-Clientcert-fingerprint`.
    ClientFingerprint,
    /// `X-Forwarded-Clientcert-clientverify`.
    ClientVerify,
    /// `X-Forwarded-Clientcert-serialnumber`.
    ClientSerial,
    /// `X-Forwarded-Clientcert`: the certificate in PEM.
    ClientCertificate,
    /// `X-Forwarded-Clientcert-ciphers`: the suites that the client offered.
    ClientCiphers,
    /// `X-Forwarded-Clientcert-end`: until when it is valid.
    ClientEnd,
    /// `X-Forwarded-Tls-Alpn-Protocol`.
    Alpn,
    /// `X-Forwarded-Tls-Sni`.
    Sni,
    /// `X-Forwarded-Tls-Ja3`.
    Ja3,
    /// `X-Forwarded-Tls-Ja4`.
    Ja4,
}

/// Whether a header is written, and under which name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsHeaderSwitch {
    /// Whether it is written.
    pub enabled: bool,
    /// Its name, 1–40 of letters, digits, `-`, `_`; none: the usual one.
    pub alias: Option<String>,
}

/// A change of one [`TlsHeaderSwitch`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsHeaderPatch {
    /// See [`TlsHeaderSwitch::enabled`].
    pub enabled: Option<bool>,
    /// See [`TlsHeaderSwitch::alias`].
    pub alias: Patch<String>,
}

impl Default for InsertHeaders {
    /// The defaults of open-questions.md row 9.
    fn default() -> Self {
        Self {
            forwarded_for: ForwardedFor::Append,
            real_ip: true,
            forwarded_host: true,
            forwarded_proto: true,
            forwarded_port: false,
            forwarded_for_port: false,
            elb_ip: false,
            elb_id: false,
            tls: BTreeMap::new(),
        }
    }
}

/// What happens to `X-Forwarded-For`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForwardedFor {
    /// The client's address is appended.
    #[default]
    Append,
    /// The header is removed.
    Remove,
    /// The header passes as it came.
    Preserve,
}

/// A change of [`InsertHeaders`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InsertHeadersPatch {
    /// See [`InsertHeaders::forwarded_for`].
    pub forwarded_for: Option<ForwardedFor>,
    /// See [`InsertHeaders::real_ip`].
    pub real_ip: Option<bool>,
    /// See [`InsertHeaders::forwarded_host`].
    pub forwarded_host: Option<bool>,
    /// See [`InsertHeaders::forwarded_proto`].
    pub forwarded_proto: Option<bool>,
    /// See [`InsertHeaders::forwarded_port`].
    pub forwarded_port: Option<bool>,
    /// See [`InsertHeaders::forwarded_for_port`].
    pub forwarded_for_port: Option<bool>,
    /// See [`InsertHeaders::elb_ip`].
    pub elb_ip: Option<bool>,
    /// See [`InsertHeaders::elb_id`].
    pub elb_id: Option<bool>,
    /// See [`InsertHeaders::tls`]; what is not said stays.
    pub tls: BTreeMap<TlsHeader, TlsHeaderPatch>,
}

impl InsertHeadersPatch {
    /// The headers after the change.
    pub fn apply(self, to: InsertHeaders) -> InsertHeaders {
        InsertHeaders {
            forwarded_for: self.forwarded_for.unwrap_or(to.forwarded_for),
            real_ip: self.real_ip.unwrap_or(to.real_ip),
            forwarded_host: self.forwarded_host.unwrap_or(to.forwarded_host),
            forwarded_proto: self.forwarded_proto.unwrap_or(to.forwarded_proto),
            forwarded_port: self.forwarded_port.unwrap_or(to.forwarded_port),
            forwarded_for_port: self.forwarded_for_port.unwrap_or(to.forwarded_for_port),
            elb_ip: self.elb_ip.unwrap_or(to.elb_ip),
            elb_id: self.elb_id.unwrap_or(to.elb_id),
            tls: {
                let mut tls = to.tls;
                for (header, patch) in self.tls {
                    let switch = tls.entry(header).or_default();
                    switch.enabled = patch.enabled.unwrap_or(switch.enabled);
                    patch.alias.apply(&mut switch.alias);
                }
                tls.retain(|_, switch| *switch != TlsHeaderSwitch::default());
                tls
            },
        }
    }
}
