//! Authorities that issue certificates and answer for them, rightly or wrongly; everything is written by hand here, so that the
//! reader is not checked by itself.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "each test file uses its part"
)]

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, PublicKeyData, SerialNumber, SigningKey,
};

/// Who issues certificates.
pub struct Authority {
    pub der: Vec<u8>,
    name: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
pub struct Issued {
    pub der: Vec<u8>,
    pub name: String,
    pub key: KeyPair,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        Self::with(name, &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    pub fn with(name: &str, kind: &'static rcgen::SignatureAlgorithm) -> Self {
        let key = KeyPair::generate_for(kind).unwrap();
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { der, name: name.to_owned(), issuer: Issuer::new(params, key) }
    }

    /// A server's certificate with this serial number, that names these responders.
    pub fn server(&self, serial: u8, responders: &[&str]) -> Issued {
        let mut params = params("server");
        params.subject_alt_names = vec![rcgen::SanType::DnsName("t".try_into().unwrap())];
        params.serial_number = Some(SerialNumber::from_slice(&[serial]));
        if !responders.is_empty() {
            let access: Vec<u8> = responders
                .iter()
                .flat_map(|url| {
                    tlv(0x30, &[oid(&[43, 6, 1, 5, 5, 7, 48, 1]), tlv(0x86, url.as_bytes())].concat())
                })
                .collect();
            let extension =
                CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], tlv(0x30, &access));
            params.custom_extensions.push(extension);
        }
        self.issue("server", params)
    }

    /// Somebody who may, or may not, sign answers for the authority.
    pub fn signer(&self, may: bool, days: (i64, i64)) -> Issued {
        let mut params = params("signer");
        if may {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
        }
        let day = |days: i64| {
            rcgen::date_time_ymd(2026, 1, 1) + std::time::Duration::from_secs(86_400 * days.unsigned_abs())
        };
        (params.not_before, params.not_after) = (day(days.0), day(days.1));
        self.issue("signer", params)
    }

    fn issue(&self, name: &str, params: CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Issued { der, name: name.to_owned(), key }
    }

    /// An answer about a certificate with this serial number: good, for an hour from `now` on, signed by the authority itself.
    pub fn answer(&self, serial: u8, now: i64) -> Answer<'_> {
        Answer {
            authority: self,
            about: self,
            serial,
            hash: SHA1,
            status: GOOD,
            this_update: now,
            next_update: Some(now + 3600),
            by_name: false,
            signer: None,
            certificates: Vec::new(),
            extension: None,
            other_first: false,
        }
    }
}

pub const GOOD: &[u8] = &[0x80, 0];
pub const UNKNOWN: &[u8] = &[0x82, 0];
pub const REVOKED: &[u8] = b"\xa1\x11\x18\x0f20200101000000Z";
pub const SHA1: &[u8] = &[43, 14, 3, 2, 26];
pub const SHA256: &[u8] = &[96, 134, 72, 1, 101, 3, 4, 2, 1];

/// What an answer says, and who says it.
pub struct Answer<'a> {
    pub authority: &'a Authority,
    /// Whose certificate it is about.
    pub about: &'a Authority,
    pub serial: u8,
    /// The OID of the hash that names the certificate.
    pub hash: &'static [u8],
    pub status: &'static [u8],
    pub this_update: i64,
    pub next_update: Option<i64>,
    /// Whether the signer is named by its name rather than by its key.
    pub by_name: bool,
    /// None: the authority.
    pub signer: Option<&'a Issued>,
    pub certificates: Vec<&'a [u8]>,
    /// Whether there is an extension that nobody knows, and whether it is critical.
    pub extension: Option<bool>,
    /// Whether something is said about another certificate first.
    pub other_first: bool,
}

impl Answer<'_> {
    pub fn der(&self) -> Vec<u8> {
        let signed = self.signed();
        let key = self.key();
        let mut basic = vec![signed.clone(), algorithm(key)];
        basic.push(tlv(3, &[&[0][..], &key.sign(&signed).unwrap()].concat()));
        if !self.certificates.is_empty() {
            basic.push(tlv(0xa0, &tlv(0x30, &self.certificates.concat())));
        }
        successful(&tlv(0x30, &basic.concat()))
    }

    fn key(&self) -> &KeyPair {
        self.signer.map_or_else(|| self.authority.issuer.key(), |signer| &signer.key)
    }

    fn signed(&self) -> Vec<u8> {
        let name = self.signer.map_or(&self.authority.name, |signer| &signer.name);
        let responder = match self.by_name {
            true => tlv(0xa1, &distinguished(name)),
            false => tlv(0xa2, &tlv(4, &sha1(self.key().der_bytes()))),
        };
        let mut singles = self.single(self.serial, self.status);
        if self.other_first {
            singles = [self.single(99, REVOKED), singles].concat();
        }
        let mut data = vec![responder, time(self.this_update), tlv(0x30, &singles)];
        if let Some(critical) = self.extension {
            let critical = if critical { tlv(1, &[0xff]) } else { Vec::new() };
            let extension = tlv(0x30, &[oid(&[42, 3, 4]), critical, tlv(4, b"x")].concat());
            data.push(tlv(0xa1, &tlv(0x30, &extension)));
        }
        tlv(0x30, &data.concat())
    }

    fn single(&self, serial: u8, status: &[u8]) -> Vec<u8> {
        let name = sha1(&distinguished(&self.about.name));
        let key = sha1(self.about.issuer.key().der_bytes());
        let algorithm = tlv(0x30, &[oid(self.hash), tlv(5, &[])].concat());
        let id = tlv(0x30, &[algorithm, tlv(4, &name), tlv(4, &key), tlv(2, &[serial])].concat());
        let mut single = [id, status.to_vec(), time(self.this_update)].concat();
        if let Some(next) = self.next_update {
            single.extend(tlv(0xa0, &time(next)));
        }
        tlv(0x30, &single)
    }
}

/// An answer that says no more than a status.
pub fn refused(status: u8) -> Vec<u8> {
    tlv(0x30, &tlv(10, &[status]))
}

fn successful(basic: &[u8]) -> Vec<u8> {
    let bytes = tlv(0x30, &[oid(&[43, 6, 1, 5, 5, 7, 48, 1, 1]), tlv(4, basic)].concat());
    tlv(0x30, &[tlv(10, &[0]), tlv(0xa0, &bytes)].concat())
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A name of one common name in UTF-8.
fn distinguished(name: &str) -> Vec<u8> {
    tlv(0x30, &tlv(0x31, &tlv(0x30, &[oid(&[85, 4, 3]), tlv(12, name.as_bytes())].concat())))
}

fn algorithm(key: &KeyPair) -> Vec<u8> {
    let ecdsa = key.algorithm() == &rcgen::PKCS_ECDSA_P256_SHA256;
    match ecdsa {
        true => tlv(0x30, &oid(&[42, 134, 72, 206, 61, 4, 3, 2])),
        false => tlv(0x30, &[oid(&[42, 134, 72, 134, 247, 13, 1, 1, 11]), tlv(5, &[])].concat()),
    }
}

fn oid(content: &[u8]) -> Vec<u8> {
    tlv(6, content)
}

fn time(seconds: i64) -> Vec<u8> {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days to a date of the civil calendar.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    tlv(24, format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z").as_bytes())
}

fn sha1(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..=127 => vec![tag, length as u8],
        128..=255 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [&head[..], content].concat()
}
