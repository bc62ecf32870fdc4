//! `insert_headers`: which headers a listener writes for its members (behaviour/features.md section 5).

use std::collections::BTreeMap;

use model::{
    ListenerProtocol, Patch,
    listener::{ForwardedFor, InsertHeaders, InsertHeadersPatch, TlsHeader, TlsHeaderPatch},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::v3::fields::{Fields, Harmless, Refusal};

// ---- wire ----

/// The switches as answers show them: those of HTTP, and on HTTPS listeners those about TLS; other listeners have none.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Wire(Map<String, Value>);

/// A header about TLS, its switch, and the field that renames it.
struct TlsNames {
    header: TlsHeader,
    switch: &'static str,
    alias: Option<&'static str>,
}

const fn tls(header: TlsHeader, switch: &'static str, alias: &'static str) -> TlsNames {
    TlsNames { header, switch, alias: Some(alias) }
}

const TLS_NAMES: &[TlsNames] = &[
    TlsNames { header: TlsHeader::CertificateId, switch: "X-Forwarded-TLS-Certificate-ID", alias: None },
    tls(TlsHeader::Protocol, "X-Forwarded-TLS-Protocol", "X-Forwarded-TLS-Protocol-alias"),
    tls(TlsHeader::Cipher, "X-Forwarded-TLS-Cipher", "X-Forwarded-TLS-Cipher-alias"),
    tls(
        TlsHeader::ClientSubject,
        "X-Forwarded-Clientcert-subjectdn-enable",
        "X-Forwarded-Clientcert-subjectdn-alias",
    ),
    tls(
        TlsHeader::ClientIssuer,
        "X-Forwarded-Clientcert-issuerdn-enable",
        "X-Forwarded-Clientcert-issuerdn-alias",
    ),
    tls(
        TlsHeader::ClientFingerprint,
        "X-Forwarded-Clientcert-fingerprint-enable",
        "X-Forwarded-Clientcert-fingerprint-alias",
    ),
    tls(
        TlsHeader::ClientVerify,
        "X-Forwarded-Clientcert-clientverify-enable",
        "X-Forwarded-Clientcert-clientverify-alias",
    ),
    tls(
        TlsHeader::ClientSerial,
        "X-Forwarded-Clientcert-serialnumber-enable",
        "X-Forwarded-Clientcert-serialnumber-alias",
    ),
    tls(TlsHeader::ClientCertificate, "X-Forwarded-Clientcert-enable", "X-Forwarded-Clientcert-alias"),
    tls(
        TlsHeader::ClientCiphers,
        "X-Forwarded-Clientcert-ciphers-enable",
        "X-Forwarded-Clientcert-ciphers-alias",
    ),
    tls(TlsHeader::ClientEnd, "X-Forwarded-Clientcert-end-enable", "X-Forwarded-Clientcert-end-alias"),
    tls(TlsHeader::Alpn, "X-Forwarded-Tls-Alpn-Protocol-enable", "X-Forwarded-Tls-Alpn-Protocol-alias"),
    tls(TlsHeader::Sni, "X-Forwarded-Tls-Sni-enable", "X-Forwarded-Tls-Sni-alias"),
    tls(TlsHeader::Ja3, "X-Forwarded-Tls-Ja3-enable", "X-Forwarded-Tls-Ja3-alias"),
    tls(TlsHeader::Ja4, "X-Forwarded-Tls-Ja4-enable", "X-Forwarded-Tls-Ja4-alias"),
];

// ---- decode ----

const FORWARDED_FOR: &[(&str, Option<ForwardedFor>)] = &[
    ("append", Some(ForwardedFor::Append)),
    ("remove", Some(ForwardedFor::Remove)),
    ("preserve", Some(ForwardedFor::Preserve)),
];

/// The field `insert_headers` of a listener of that protocol.
pub(crate) fn decode(
    listener: &mut Fields<'_>,
    protocol: ListenerProtocol,
) -> Result<Option<InsertHeadersPatch>, Refusal> {
    let Some(mut fields) = listener.object("insert_headers")? else { return Ok(None) };
    let patch = InsertHeadersPatch {
        forwarded_for: fields.choice("X-Forwarded-For-Processing-Mode", FORWARDED_FOR)?,
        real_ip: fields.flag("X-Real-IP")?,
        forwarded_host: fields.flag("X-Forwarded-Host")?,
        forwarded_proto: fields.flag("X-Forwarded-Proto")?,
        forwarded_port: fields.flag("X-Forwarded-Port")?,
        forwarded_for_port: fields.flag("X-Forwarded-For-Port")?,
        elb_ip: fields.flag("X-Forwarded-ELB-IP")?,
        elb_id: fields.flag("X-Forwarded-ELB-ID")?,
        tls: decode_tls(&mut fields, protocol)?,
    };
    fields.done()?;
    Ok(Some(patch))
}

/// The switches about TLS. Without TLS they can only be off, and a name for a header that is off counts for nothing.
fn decode_tls(
    fields: &mut Fields<'_>,
    protocol: ListenerProtocol,
) -> Result<BTreeMap<TlsHeader, TlsHeaderPatch>, Refusal> {
    let mut patches = BTreeMap::new();
    for TlsNames { header, switch, alias } in TLS_NAMES {
        let alias = match alias {
            Some(name) => decode_alias(fields, name)?,
            None => Patch::Keep,
        };
        match protocol {
            ListenerProtocol::Https | ListenerProtocol::Quic => {
                let patch = TlsHeaderPatch { enabled: fields.flag(switch)?, alias };
                if patch != TlsHeaderPatch::default() {
                    patches.insert(*header, patch);
                }
            }
            ListenerProtocol::Tcp
            | ListenerProtocol::Udp
            | ListenerProtocol::Tls
            | ListenerProtocol::Http => {
                fields.only_harmless(switch, Harmless::Off, "only HTTPS listeners can write this header")?;
            }
        }
    }
    Ok(patches)
}

/// A header's name; null takes the usual one.
fn decode_alias(fields: &mut Fields<'_>, name: &str) -> Result<Patch<String>, Refusal> {
    let alias = fields.nullable_string(name, 1..=40)?;
    let lawful = |alias: &String| alias.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    match alias {
        Patch::Set(alias) if !lawful(&alias) => {
            Err(fields.refuse(name, "an alias holds letters, digits, '-' and '_' only"))
        }
        alias => Ok(alias),
    }
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

/// The switches of a listener of layer 7; other listeners have none.
pub(crate) fn encode(headers: Option<&InsertHeaders>, protocol: ListenerProtocol) -> Wire {
    let Some(headers) = headers else { return Wire::default() };
    let secure = matches!(protocol, ListenerProtocol::Https | ListenerProtocol::Quic);
    let mut wire = Map::new();
    let mut show = |name: &str, value: Value| wire.insert(name.to_owned(), value);
    show("X-Forwarded-ELB-IP", json!(headers.elb_ip));
    show("X-Forwarded-ELB-ID", json!(headers.elb_id));
    show("X-Forwarded-Port", json!(headers.forwarded_port));
    show("X-Forwarded-For-Port", json!(headers.forwarded_for_port));
    show("X-Forwarded-Host", json!(headers.forwarded_host));
    show("X-Forwarded-Proto", json!(headers.forwarded_proto));
    show("X-Real-IP", json!(headers.real_ip));
    let mode = match headers.forwarded_for {
        ForwardedFor::Append => "append",
        ForwardedFor::Remove => "remove",
        ForwardedFor::Preserve => "preserve",
    };
    show("X-Forwarded-For-Processing-Mode", json!(mode));
    for TlsNames { header, switch, alias } in TLS_NAMES {
        let now = headers.tls.get(header);
        let of_old = matches!(header, TlsHeader::CertificateId | TlsHeader::Protocol | TlsHeader::Cipher);
        if of_old || secure {
            show(switch, json!(now.is_some_and(|now| now.enabled)));
        }
        if let (Some(alias), true) = (alias, secure) {
            show(alias, json!(now.and_then(|now| now.alias.as_ref())));
        }
    }
    Wire(wire)
}
