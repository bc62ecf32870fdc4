//! What kind of client it is: JA3 and JA4.
//!
//! Values that clients invent at random (RFC 8701, GREASE) are left out of both.
//! Sources: JA3 by Salesforce ("TLS Fingerprinting with JA3 and JA3S", 2019); JA4 by FoxIO (ja4/technical_details/JA4.md).

use std::fmt::Write as _;

use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::{ClientHello, extensions, is_grease};

impl ClientHello<'_> {
    /// JA3: the MD5 of [`ClientHello::ja3_raw`] in hex.
    pub fn ja3(&self) -> String {
        hex::encode(Md5::digest(self.ja3_raw()))
    }

    /// What JA3 is the hash of: version, suites, extensions, groups and point formats, in decimal and in the client's order.
    pub fn ja3_raw(&self) -> String {
        let mut raw = self.legacy_version().to_string();
        let lists: [&mut dyn Iterator<Item = u16>; 4] = [
            &mut self.cipher_suites(),
            &mut self.extensions(),
            &mut self.groups(),
            &mut self.point_formats().iter().map(|&format| u16::from(format)),
        ];
        for list in lists {
            raw.push(',');
            let begin = raw.len();
            for value in list.filter(|&value| !is_grease(value)) {
                if raw.len() > begin {
                    raw.push('-');
                }
                // Writing to a string does not fail.
                let _ = write!(raw, "{value}");
            }
        }
        raw
    }

    /// JA4 for TLS over TCP, such as `t13d1516h2_8daaf6152771_e5627efa2ab1`.
    pub fn ja4(&self) -> String {
        let parts = Ja4::of(self);
        let mut behind = parts.extensions.clone();
        if !parts.schemes.is_empty() {
            behind.push('_');
            behind.push_str(&parts.schemes);
        }
        // Without extensions the hash is left out, whatever else there is.
        let behind = if parts.extensions.is_empty() { "" } else { &behind };
        format!("{}_{}_{}", parts.about, short_hash(&parts.suites), short_hash(behind))
    }

    /// JA4 with the lists in place of their hashes (FoxIO's `JA4_r`).
    pub fn ja4_raw(&self) -> String {
        let Ja4 { about, suites, extensions, schemes } = Ja4::of(self);
        let schemes = if schemes.is_empty() { schemes } else { format!("_{schemes}") };
        format!("{about}_{suites}_{extensions}{schemes}")
    }
}

/// The parts of a JA4 fingerprint.
struct Ja4 {
    /// Version, host name, numbers, protocol.
    about: String,
    /// Sorted.
    suites: String,
    /// Sorted, without those that `about` speaks of.
    extensions: String,
    /// In the client's order.
    schemes: String,
}

impl Ja4 {
    fn of(hello: &ClientHello<'_>) -> Self {
        let real = |value: &u16| !is_grease(*value);
        let mut suites: Vec<u16> = hello.cipher_suites().filter(real).collect();
        let mut extensions: Vec<u16> = hello.extensions().filter(real).collect();
        let version = hello.supported_versions().filter(real).max().unwrap_or(hello.legacy_version());
        let domain = if extensions.contains(&extensions::SERVER_NAME) { 'd' } else { 'i' };
        let [first, last] = protocol_mark(hello.alpn().next());
        let about = format!(
            "t{}{domain}{:02}{:02}{first}{last}",
            version_mark(version),
            suites.len().min(99),
            extensions.len().min(99),
        );
        suites.sort_unstable();
        extensions.retain(|&kind| kind != extensions::SERVER_NAME && kind != extensions::ALPN);
        extensions.sort_unstable();
        Self {
            about,
            suites: hex_list(suites.into_iter()),
            extensions: hex_list(extensions.into_iter()),
            schemes: hex_list(hello.signature_schemes().filter(real)),
        }
    }
}

fn version_mark(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// The first and the last character of a protocol; those of its hex form where one of them is no letter or digit.
fn protocol_mark(protocol: Option<&[u8]>) -> [char; 2] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let Some((&first, &last)) = protocol.and_then(|name| name.first().zip(name.last())) else {
        return ['0', '0'];
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [char::from(first), char::from(last)];
    }
    [char::from(HEX[usize::from(first >> 4)]), char::from(HEX[usize::from(last & 15)])]
}

/// Numbers of four hex digits with commas between.
fn hex_list(values: impl Iterator<Item = u16>) -> String {
    let mut list = String::new();
    for value in values {
        let comma = if list.is_empty() { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(list, "{comma}{value:04x}");
    }
    list
}

/// The first 12 hex digits of the SHA-256; zeros for nothing.
fn short_hash(list: &str) -> String {
    if list.is_empty() {
        return "000000000000".to_owned();
    }
    hex::encode(&Sha256::digest(list)[..6])
}
