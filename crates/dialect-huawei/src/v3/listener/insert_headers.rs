//! `insert_headers`: which headers a listener writes for its members (behaviour/features.md section 5).

use std::collections::BTreeMap;

use model::listener::{ForwardedFor, InsertHeaders, InsertHeadersPatch};
use serde::Serialize;

use crate::v3::fields::{Fields, Harmless, Refusal};

// ---- wire ----

/// The switches as answers show them; those that other protocols have are false.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Wire {
    #[serde(flatten)]
    http: Option<Http>,
}

#[derive(Clone, Debug, Serialize)]
struct Http {
    #[serde(rename = "X-Forwarded-ELB-IP")]
    elb_ip: bool,
    #[serde(rename = "X-Forwarded-ELB-ID")]
    elb_id: bool,
    #[serde(rename = "X-Forwarded-Port")]
    forwarded_port: bool,
    #[serde(rename = "X-Forwarded-For-Port")]
    forwarded_for_port: bool,
    #[serde(rename = "X-Forwarded-Host")]
    forwarded_host: bool,
    #[serde(rename = "X-Forwarded-Proto")]
    forwarded_proto: bool,
    #[serde(rename = "X-Real-IP")]
    real_ip: bool,
    #[serde(rename = "X-Forwarded-For-Processing-Mode")]
    forwarded_for: &'static str,
    #[serde(rename = "X-Forwarded-TLS-Certificate-ID")]
    tls_certificate_id: bool,
    #[serde(rename = "X-Forwarded-TLS-Protocol")]
    tls_protocol: bool,
    #[serde(rename = "X-Forwarded-TLS-Cipher")]
    tls_cipher: bool,
}

// ---- decode ----

const FORWARDED_FOR: &[(&str, Option<ForwardedFor>)] = &[
    ("append", Some(ForwardedFor::Append)),
    ("remove", Some(ForwardedFor::Remove)),
    ("preserve", Some(ForwardedFor::Preserve)),
];

/// Switches about TLS; on listeners without TLS they can only be off.
const TLS_SWITCHES: &[&str] = &[
    "X-Forwarded-TLS-Certificate-ID",
    "X-Forwarded-TLS-Protocol",
    "X-Forwarded-TLS-Cipher",
    "X-Forwarded-Clientcert-subjectdn-enable",
    "X-Forwarded-Clientcert-issuerdn-enable",
    "X-Forwarded-Clientcert-fingerprint-enable",
    "X-Forwarded-Clientcert-clientverify-enable",
    "X-Forwarded-Clientcert-serialnumber-enable",
    "X-Forwarded-Clientcert-enable",
    "X-Forwarded-Clientcert-ciphers-enable",
    "X-Forwarded-Clientcert-end-enable",
    "X-Forwarded-Tls-Alpn-Protocol-enable",
    "X-Forwarded-Tls-Sni-enable",
    "X-Forwarded-Tls-Ja3-enable",
    "X-Forwarded-Tls-Ja4-enable",
];

/// Names for the headers of those switches; they count only while the switch is on, which it cannot be.
const TLS_ALIASES: &[&str] = &[
    "X-Forwarded-TLS-Protocol-alias",
    "X-Forwarded-TLS-Cipher-alias",
    "X-Forwarded-Clientcert-subjectdn-alias",
    "X-Forwarded-Clientcert-issuerdn-alias",
    "X-Forwarded-Clientcert-fingerprint-alias",
    "X-Forwarded-Clientcert-clientverify-alias",
    "X-Forwarded-Clientcert-serialnumber-alias",
    "X-Forwarded-Clientcert-alias",
    "X-Forwarded-Clientcert-ciphers-alias",
    "X-Forwarded-Clientcert-end-alias",
    "X-Forwarded-Tls-Alpn-Protocol-alias",
    "X-Forwarded-Tls-Sni-alias",
    "X-Forwarded-Tls-Ja3-alias",
    "X-Forwarded-Tls-Ja4-alias",
];

/// The field `insert_headers` of a listener.
pub(crate) fn decode(listener: &mut Fields<'_>) -> Result<Option<InsertHeadersPatch>, Refusal> {
    let Some(mut fields) = listener.object("insert_headers")? else { return Ok(None) };
    for name in TLS_SWITCHES {
        fields.later(name, Harmless::Off)?;
    }
    for name in TLS_ALIASES {
        if let Some(alias) = fields.string(name, 1..=40)?
            && !alias.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            return Err(fields.refuse(name, "an alias holds letters, digits, '-' and '_' only"));
        }
    }
    let patch = InsertHeadersPatch {
        forwarded_for: fields.choice("X-Forwarded-For-Processing-Mode", FORWARDED_FOR)?,
        real_ip: fields.flag("X-Real-IP")?,
        forwarded_host: fields.flag("X-Forwarded-Host")?,
        forwarded_proto: fields.flag("X-Forwarded-Proto")?,
        forwarded_port: fields.flag("X-Forwarded-Port")?,
        forwarded_for_port: fields.flag("X-Forwarded-For-Port")?,
        elb_ip: fields.flag("X-Forwarded-ELB-IP")?,
        elb_id: fields.flag("X-Forwarded-ELB-ID")?,
        tls: BTreeMap::new(),
    };
    fields.done()?;
    Ok(Some(patch))
}

/// Whether the wish can only be kept by a listener that sees requests.
pub(crate) fn changes_a_request(patch: &InsertHeadersPatch) -> bool {
    let InsertHeadersPatch {
        forwarded_for,
        real_ip,
        forwarded_host,
        forwarded_proto,
        forwarded_port,
        forwarded_for_port,
        elb_ip,
        elb_id,
        tls: _,
    } = patch;
    let switches =
        [real_ip, forwarded_host, forwarded_proto, forwarded_port, forwarded_for_port, elb_ip, elb_id];
    switches.contains(&&Some(true)) || forwarded_for.is_some_and(|mode| mode != ForwardedFor::Append)
}

// ---- encode ----

/// The switches of an HTTP listener; other listeners have none.
pub(crate) fn encode(headers: Option<&InsertHeaders>) -> Wire {
    let http = headers.map(|headers| Http {
        elb_ip: headers.elb_ip,
        elb_id: headers.elb_id,
        forwarded_port: headers.forwarded_port,
        forwarded_for_port: headers.forwarded_for_port,
        forwarded_host: headers.forwarded_host,
        forwarded_proto: headers.forwarded_proto,
        real_ip: headers.real_ip,
        forwarded_for: match headers.forwarded_for {
            ForwardedFor::Append => "append",
            ForwardedFor::Remove => "remove",
            ForwardedFor::Preserve => "preserve",
        },
        tls_certificate_id: false,
        tls_protocol: false,
        tls_cipher: false,
    });
    Wire { http }
}
