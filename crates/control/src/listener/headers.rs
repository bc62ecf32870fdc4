//! The rules of the headers that a listener writes (behaviour/features.md section 5).

use model::listener::InsertHeaders;

use crate::Error;

/// Whether the switches fit: those about a client's TLS need TLS, and an alias is a header's name.
pub(super) fn check(headers: &InsertHeaders, tls: bool) -> Result<(), Error> {
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
    }
    Ok(())
}

/// Characters of an alias.
const ALIAS_MAX: usize = 40;
