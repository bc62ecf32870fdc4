//! The address of a responder, as a certificate says it.

use std::fmt;

/// Who answers for certificates: an `http://` address, in parts that may be written into a request as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Responder {
    authority: String,
    host: String,
    port: u16,
    target: String,
}

impl Responder {
    /// The responder of an URL; none if it is no `http://` URL of a host that a request can name. HTTPS is not spoken: its
    /// certificate would need an answer first (RFC 5280 section 8).
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        if !scheme.eq_ignore_ascii_case("http") || url.len() > URL_BYTES_MAX {
            return None;
        }
        let rest = rest.split('#').next()?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (host, port) = match authority.strip_prefix('[') {
            Some(address) => {
                let (address, port) = address.split_once(']')?;
                let address: std::net::Ipv6Addr = address.parse().ok()?;
                (address.to_string(), port.strip_prefix(':').or_else(|| port.is_empty().then_some(""))?)
            }
            None => {
                let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
                let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
                let fits = (1..=253).contains(&host.len()) && host.bytes().all(plain);
                (fits.then(|| host.to_owned())?, port)
            }
        };
        let port = match port {
            "" => 80,
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok().filter(|p| *p > 0)?,
            _ => return None,
        };
        if !target.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Some(Self { authority: authority.to_owned(), host, port, target: format!("{slash}{target}") })
    }

    /// A DNS name, or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 80 if none is said.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What goes into the field Host.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }
}

impl fmt::Display for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.target)
    }
}

const URL_BYTES_MAX: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_asked_by_http_is_a_responder() {
        for (why, url, expect) in [
            ("a name", "http://ocsp.example.com", Some(("ocsp.example.com", 80, "/"))),
            ("a path", "http://ocsp.example.com/r3/x", Some(("ocsp.example.com", 80, "/r3/x"))),
            ("a port", "http://o:8080/", Some(("o", 8080, "/"))),
            ("a query without a path", "http://o?ca=1", Some(("o", 80, "/?ca=1"))),
            ("a fragment stays here", "http://o/a#b", Some(("o", 80, "/a"))),
            ("the scheme in capitals", "HTTP://o/", Some(("o", 80, "/"))),
            ("an address", "http://192.0.2.1:81/", Some(("192.0.2.1", 81, "/"))),
            ("an address of IPv6", "http://[2001:db8::1]:81/a", Some(("2001:db8::1", 81, "/a"))),
            ("the same without a port", "http://[2001:db8::1]", Some(("2001:db8::1", 80, "/"))),
            ("no name in brackets", "http://[name]/", None),
            ("nothing behind brackets but a port", "http://[::1]x/", None),
            ("no HTTPS", "https://o/", None),
            ("no LDAP", "ldap://o/", None),
            ("no user", "http://user@o/", None),
            ("no host", "http:///x", None),
            ("no port of letters", "http://o:http/", None),
            ("no sign before the port", "http://o:+80/", None),
            ("no port 0", "http://o:0/", None),
            ("no port beyond all", "http://o:65536/", None),
            ("no line end in the path", "http://o/a\r\nX: y", None),
            ("no line end in the host", "http://o\r\nX: y/", None),
            ("no blank", "http://o/a b", None),
            ("no URL", "o", None),
        ] {
            let found = Responder::parse(url);
            let found = found.as_ref().map(|found| (found.host(), found.port(), found.target()));
            assert_eq!(found, expect, "{why}");
        }
    }
}
