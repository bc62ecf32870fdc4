//! What members, and policies, are told of a client's TLS (behaviour/features.md section 5).
//!
//! The documents name the headers and not all their forms; where they do not, the forms are nginx's, which members know: names in the
//! order and with the escapes of RFC 4514, the serial number in hex, the fingerprint by SHA-1, the end as OpenSSL prints it, `SUCCESS`
//! or `NONE` for the verification, the certificate in PEM with what a header cannot carry percent-encoded.
//!
//! A value is made when it is first asked for, once per connection.

use std::{borrow::Cow, cell::OnceCell, fmt::Write};

use model::{CertificateId, TlsVersion, listener::TlsHeader, policy::SystemValue};
use sha1::{Digest, Sha1};
use wire::{
    client_hello::{ClientHello, HelloParse},
    tls_suites,
};
use x509_parser::{
    objects::{oid_registry, oid2abbrev},
    prelude::{FromDer, X509Certificate, X509Name},
    time::ASN1Time,
};

/// What is known of a client's TLS session, and the values made of it.
#[derive(Default)]
pub(crate) struct ClientTls {
    pub(super) facts: TlsFacts,
    made: Made,
}

/// What is known of a client's TLS session.
#[derive(Default)]
pub(crate) struct TlsFacts {
    pub(crate) version: Option<TlsVersion>,
    /// The suite, by OpenSSL's name.
    pub(crate) suite: &'static str,
    /// The name that the client asked for.
    pub(crate) server_name: Option<Box<str>>,
    /// The protocol agreed by ALPN.
    pub(crate) alpn: Option<&'static str>,
    /// The certificate that was shown.
    pub(crate) certificate: Option<CertificateId>,
    /// The client's certificate in DER; it was verified.
    pub(crate) client_certificate: Option<Box<[u8]>>,
    /// The records of the ClientHello as they came; empty where nobody wanted them.
    pub(crate) client_hello: Box<[u8]>,
}

/// Values that cost something to make.
#[derive(Default)]
struct Made {
    client: OnceCell<Option<Client>>,
    certificate: OnceCell<Option<String>>,
    hello: OnceCell<Hello>,
    certificate_id: OnceCell<Option<String>>,
}

/// What a client's certificate says.
struct Client {
    subject: String,
    issuer: String,
    fingerprint: String,
    serial: String,
    end: String,
}

/// What a ClientHello says.
#[derive(Default)]
struct Hello {
    suites: String,
    ja3: String,
    ja4: String,
}

impl ClientTls {
    pub(crate) fn new(facts: TlsFacts) -> Self {
        Self { facts, made: Made::default() }
    }

    /// The value of a header; none: there is nothing to say.
    pub(super) fn value(&self, header: TlsHeader) -> Option<&str> {
        let value = match header {
            TlsHeader::CertificateId => {
                // As the API writes it.
                let id = || self.facts.certificate.map(|id| id.uuid().simple().to_string());
                self.made.certificate_id.get_or_init(id).as_deref()
            }
            TlsHeader::Protocol => self.facts.version.map(TlsVersion::as_str),
            TlsHeader::Cipher => Some(self.facts.suite),
            TlsHeader::ClientSubject => self.client().map(|client| &*client.subject),
            TlsHeader::ClientIssuer => self.client().map(|client| &*client.issuer),
            TlsHeader::ClientFingerprint => self.client().map(|client| &*client.fingerprint),
            TlsHeader::ClientVerify => {
                Some(if self.facts.client_certificate.is_some() { "SUCCESS" } else { "NONE" })
            }
            TlsHeader::ClientSerial => self.client().map(|client| &*client.serial),
            TlsHeader::ClientCertificate => {
                let pem = || self.facts.client_certificate.as_deref().map(pem);
                self.made.certificate.get_or_init(pem).as_deref()
            }
            TlsHeader::ClientCiphers => Some(&*self.hello().suites),
            TlsHeader::ClientEnd => self.client().map(|client| &*client.end),
            TlsHeader::Alpn => self.facts.alpn,
            TlsHeader::Sni => self.facts.server_name.as_deref(),
            TlsHeader::Ja3 => Some(&*self.hello().ja3),
            TlsHeader::Ja4 => Some(&*self.hello().ja4),
        };
        value.filter(|value| !value.is_empty())
    }

    fn client(&self) -> Option<&Client> {
        let read = || Client::read(self.facts.client_certificate.as_deref()?);
        self.made.client.get_or_init(read).as_ref()
    }

    fn hello(&self) -> &Hello {
        self.made.hello.get_or_init(|| match ClientHello::parse(&self.facts.client_hello) {
            Ok(HelloParse::Complete(hello)) => Hello::read(&hello),
            _ => Hello::default(),
        })
    }
}

impl Client {
    fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(Self {
            subject: distinguished_name(certificate.subject()),
            issuer: distinguished_name(certificate.issuer()),
            fingerprint: hex(&Sha1::digest(der), false),
            serial: hex(certificate.raw_serial(), true),
            end: moment(certificate.validity().not_after),
        })
    }
}

impl Hello {
    fn read(hello: &ClientHello<'_>) -> Self {
        let mut suites = String::new();
        for id in hello.cipher_suites() {
            if !suites.is_empty() {
                suites.push(':');
            }
            let _infallible = match tls_suites::by_id(id) {
                Some(suite) => write!(suites, "{}", suite.name),
                None => write!(suites, "0x{id:04x}"),
            };
        }
        Self { suites, ja3: hello.ja3(), ja4: hello.ja4() }
    }
}

/// The header of a value that policies can write; none: it is not about TLS.
pub(super) fn header_of(value: SystemValue) -> Option<TlsHeader> {
    Some(match value {
        SystemValue::TlsProtocol => TlsHeader::Protocol,
        SystemValue::TlsCipher => TlsHeader::Cipher,
        SystemValue::ClientcertSubjectdn => TlsHeader::ClientSubject,
        SystemValue::ClientcertIssuerdn => TlsHeader::ClientIssuer,
        SystemValue::ClientcertFingerprint => TlsHeader::ClientFingerprint,
        SystemValue::ClientcertClientverify => TlsHeader::ClientVerify,
        SystemValue::ClientcertSerialnumber => TlsHeader::ClientSerial,
        SystemValue::Clientcert => TlsHeader::ClientCertificate,
        SystemValue::ClientcertCiphers => TlsHeader::ClientCiphers,
        SystemValue::ClientcertEnd => TlsHeader::ClientEnd,
        SystemValue::TlsAlpnProtocol => TlsHeader::Alpn,
        SystemValue::TlsSni => TlsHeader::Sni,
        SystemValue::TlsJa3 => TlsHeader::Ja3,
        SystemValue::TlsJa4 => TlsHeader::Ja4,
        SystemValue::ClientPort
        | SystemValue::ClientIp
        | SystemValue::ElbProtocol
        | SystemValue::ElbId
        | SystemValue::ElbPort
        | SystemValue::ElbEip
        | SystemValue::ElbVip => return None,
    })
}

/// The usual name of a header.
pub(super) const fn usual_name(header: TlsHeader) -> &'static str {
    match header {
        TlsHeader::CertificateId => "X-Forwarded-TLS-Certificate-ID",
        TlsHeader::Protocol => "X-Forwarded-TLS-Protocol",
        TlsHeader::Cipher => "X-Forwarded-TLS-Cipher",
        TlsHeader::ClientSubject => "X-Forwarded-Clientcert-subjectdn",
        TlsHeader::ClientIssuer => "X-Forwarded-Clientcert-issuerdn",
        TlsHeader::ClientFingerprint => "X-Forwarded-Clientcert-fingerprint",
        TlsHeader::ClientVerify => "X-Forwarded-Clientcert-clientverify",
        TlsHeader::ClientSerial => "X-Forwarded-Clientcert-serialnumber",
        TlsHeader::ClientCertificate => "X-Forwarded-Clientcert",
        TlsHeader::ClientCiphers => "X-Forwarded-Clientcert-ciphers",
        TlsHeader::ClientEnd => "X-Forwarded-Clientcert-end",
        TlsHeader::Alpn => "X-Forwarded-Tls-Alpn-Protocol",
        TlsHeader::Sni => "X-Forwarded-Tls-Sni",
        TlsHeader::Ja3 => "X-Forwarded-Tls-Ja3",
        TlsHeader::Ja4 => "X-Forwarded-Tls-Ja4",
    }
}

/// A name as RFC 4514 writes it: the most special part first.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|rdn| {
            let pairs: Vec<String> = rdn
                .iter()
                .map(|attribute| {
                    let oid = attribute.attr_type();
                    let key = match oid2abbrev(oid, oid_registry()) {
                        Ok(short) => Cow::Borrowed(short),
                        Err(_) => Cow::Owned(oid.to_id_string()),
                    };
                    format!("{key}={}", escaped(attribute.as_str().unwrap_or_default()))
                })
                .collect();
            pairs.join("+")
        })
        .collect();
    parts.reverse();
    parts.join(",")
}

/// A value of a name (RFC 4514 section 2.4); what is no printable ASCII becomes `\XX`, as a header can carry it then.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (place, character) in value.chars().enumerate() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', character]),
            '#' if place == 0 => text.push_str("\\#"),
            ' ' if place == 0 || place == last => text.push_str("\\ "),
            other if !other.is_ascii() || other.is_ascii_control() => {
                let mut bytes = [0; 4];
                for byte in other.encode_utf8(&mut bytes).bytes() {
                    let _infallible = write!(text, "\\{byte:02X}");
                }
            }
            other => text.push(other),
        }
    }
    text
}

fn hex(bytes: &[u8], upper: bool) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _infallible = if upper { write!(text, "{byte:02X}") } else { write!(text, "{byte:02x}") };
        text
    })
}

/// As OpenSSL prints it: `Feb  3 04:05:06 2031 GMT`.
fn moment(time: ASN1Time) -> String {
    let time = time.to_datetime();
    let month = &time.month().to_string()[..3];
    format!(
        "{month} {:>2} {:02}:{:02}:{:02} {} GMT",
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.year()
    )
}

/// A certificate in PEM, percent-encoded but for letters, digits and `-._~`.
fn pem(der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let bits =
                group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
            for place in 0..4 {
                let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
                text.push(if place <= group.len() { char::from(digit) } else { '=' });
            }
        }
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    let mut encoded = String::with_capacity(text.len() + 128);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            other => {
                let _infallible = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_certificate_is_told_as_openssl_tells_it() {
        let tls = ClientTls::new(TlsFacts {
            client_certificate: Some(certificate().into()),
            ..TlsFacts::default()
        });
        let name = r"CN=client one,O=M\C3\BCller\, S\C3\B6hne,C=DE";
        for (header, value) in [
            (TlsHeader::ClientSubject, Some(name)),
            (TlsHeader::ClientIssuer, Some(name)),
            (TlsHeader::ClientSerial, Some("0A1B2C")),
            (TlsHeader::ClientFingerprint, Some("356c4be609d219461ac25e4aaba3fb0aa9bc3074")),
            (TlsHeader::ClientEnd, Some("Oct 28 09:32:21 2126 GMT")),
            (TlsHeader::ClientVerify, Some("SUCCESS")),
            (TlsHeader::Sni, None),
            (TlsHeader::Ja3, None),
        ] {
            assert_eq!(tls.value(header), value, "{header:?}");
        }
        let pem = tls.value(TlsHeader::ClientCertificate).unwrap();
        assert!(pem.starts_with("-----BEGIN%20CERTIFICATE-----%0AMIIBvjCCAWSgAwIBAgIDChssMAoG"), "{pem}");
        assert!(pem.ends_with("VhpmYJ5WkxYRJ0827pXIvI4Y%0A-----END%20CERTIFICATE-----%0A"), "{pem}");
    }

    #[test]
    fn without_a_certificate_there_is_nothing_to_tell() {
        let tls = ClientTls::new(TlsFacts { version: Some(TlsVersion::V13), ..TlsFacts::default() });
        assert_eq!(tls.value(TlsHeader::ClientVerify), Some("NONE"));
        assert_eq!(tls.value(TlsHeader::ClientSubject), None);
        assert_eq!(tls.value(TlsHeader::Protocol), Some("TLSv1.3"));
        let broken =
            ClientTls::new(TlsFacts { client_certificate: Some([1, 2, 3].into()), ..TlsFacts::default() });
        assert_eq!(broken.value(TlsHeader::ClientSubject), None);
    }

    /// `openssl req -x509 -set_serial 0x0a1b2c -subj '/C=DE/O=Müller, Söhne/CN=client one' -utf8`
    fn certificate() -> Vec<u8> {
        let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
        let digits: Vec<u8> = CERTIFICATE.bytes().filter(u8::is_ascii_hexdigit).map(digit).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    const CERTIFICATE: &str = "\
    308201be30820164a00302010202030a1b2c300a06082a8648ce3d040302303c310b300906035504061302444531183016060355040a0c \
    0f4dc3bc6c6c65722c2053c3b6686e653113301106035504030c0a636c69656e74206f6e653020170d3236313132313039333232315a18 \
    0f32313236313032383039333232315a303c310b300906035504061302444531183016060355040a0c0f4dc3bc6c6c65722c2053c3b668 \
    6e653113301106035504030c0a636c69656e74206f6e653059301306072a8648ce3d020106082a8648ce3d0301070342000404a402f97d \
    fbd43ae43473392f07a532c72326e9b2c6b6852dd6e78215be43c59f3d1c0fa074d23623d62640bbeaacef1896b433239cf0a2971ee868 \
    4bd15f01a3533051301d0603551d0e041604145c5b4d1c8657592241027fa753ed420641f999ee301f0603551d230418301680145c5b4d \
    1c8657592241027fa753ed420641f999ee300f0603551d130101ff040530030101ff300a06082a8648ce3d0403020348003045022053c7 \
    25d46b6e41369bf2e4eb192d4975be07761aef0771fec93b37e11f9960ed02210094745ebcb68c3d2f47c0dbd9ec70561a66609e569316 \
    11274f36ee95c8bc8e18";
}
