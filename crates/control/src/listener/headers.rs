//! The rules of the headers that a listener writes (behaviour/features.md section 5).

use std::collections::BTreeSet;

use model::listener::InsertHeaders;

use crate::Error;

/// Whether the switches fit: those about a client's TLS need TLS, and an alias is a header's name that nothing else needs.
pub(super) fn check(headers: &InsertHeaders, tls: bool) -> Result<(), Error> {
    let mut aliases = BTreeSet::new();
    for (header, switch) in &headers.tls {
        if switch.enabled && !tls {
            return Err(Error::invalid(
                "insert_headers",
                format!("{header:?} is about the client's TLS; only HTTPS listeners can write it"),
            ));
        }
        let fits = |alias: &str| {
            let name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            (1..=ALIAS_MAX).contains(&alias.len()) && alias.bytes().all(name)
        };
        if switch.alias.as_deref().is_some_and(|alias| !fits(alias)) {
            return Err(Error::invalid(
                "insert_headers",
                format!("the alias of {header:?} must have 1 to {ALIAS_MAX} letters, digits, '-' or '_'"),
            ));
        }
        let Some(alias) = switch.alias.as_deref().map(str::to_ascii_lowercase) else { continue };
        // Such a header would change where the request goes, where it ends or who sent it.
        if RESERVED.contains(&alias.as_str()) || !aliases.insert(alias) {
            return Err(Error::invalid(
                "insert_headers",
                format!("the alias of {header:?} is another header's name; choose one of your own"),
            ));
        }
    }
    Ok(())
}

/// Names that carry the exchange itself, or what we say of the client; ours, as the contract names none for aliases.
const RESERVED: [&str; 20] = [
    "authority",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-for-port",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];
/// Characters of an alias.
const ALIAS_MAX: usize = 40;
