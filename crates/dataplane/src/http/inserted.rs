//! Headers that a listener writes into requests for its members.
//!
//! A client's own copy of a header that is switched on never gets through, nor does a look-alike with `_`; one that is switched
//! off passes as it came (behaviour/features.md section 5).

use std::net::{IpAddr, SocketAddr};

use model::listener::{ForwardedFor, InsertHeaders};
use plan::HttpPlan;
use wire::h1::{BadHeaderLine, HeaderId, HeaderLines, HeaderSet, RequestHead};

/// What to insert, made once per plan.
#[derive(Default)]
pub(crate) struct Inserted {
    settings: InsertHeaders,
    /// Lines that are the same for every request.
    fixed: HeaderLines,
    /// Whether `fixed` has the address that clients reach.
    fixed_elb_ip: bool,
    /// What is taken out of requests.
    pub(crate) drop: HeaderSet,
}

impl Inserted {
    pub(crate) fn new(plan: &HttpPlan) -> Self {
        let settings = &plan.insert_headers;
        let mut fixed = HeaderLines::new();
        let mut drop = HeaderSet::EMPTY;
        for line in plan.fixed_headers.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            match fixed.push(name.as_bytes(), value.trim().as_bytes()) {
                Ok(()) => drop = drop.union(HeaderSet::of(&[HeaderId::of(name.as_bytes())])),
                Err(error) => tracing::error!(name, %error, "a plan has a header that cannot be written"),
            }
        }
        let fixed_elb_ip = drop.contains(HeaderId::X_FORWARDED_ELB_IP);
        for (on, id) in [
            (settings.forwarded_for != ForwardedFor::Preserve, HeaderId::X_FORWARDED_FOR),
            (settings.real_ip, HeaderId::X_REAL_IP),
            (settings.forwarded_host, HeaderId::X_FORWARDED_HOST),
            (settings.forwarded_proto, HeaderId::X_FORWARDED_PROTO),
            (settings.forwarded_port, HeaderId::X_FORWARDED_PORT),
            (settings.forwarded_for_port, HeaderId::X_FORWARDED_FOR_PORT),
            (settings.elb_ip, HeaderId::X_FORWARDED_ELB_IP),
            (settings.elb_id, HeaderId::X_FORWARDED_ELB_ID),
        ] {
            if on {
                drop = drop.union(HeaderSet::of(&[id]));
            }
        }
        Self { settings: settings.clone(), fixed, fixed_elb_ip, drop }
    }

    /// Appends the lines for one request of `client`, who reached `address`.
    ///
    /// # Errors
    /// When a value that the client sent cannot be written; the parser lets none such through.
    pub(crate) fn write(
        &self,
        lines: &mut HeaderLines,
        head: &RequestHead<'_>,
        client: SocketAddr,
        address: SocketAddr,
    ) -> Result<(), BadHeaderLine> {
        let ip = Decimal::ip(client.ip());
        if self.settings.forwarded_for == ForwardedFor::Append {
            lines.push_joined(b"X-Forwarded-For", head.values(HeaderId::X_FORWARDED_FOR), ip.as_bytes())?;
        }
        if self.settings.real_ip {
            lines.push(b"X-Real-IP", ip.as_bytes())?;
        }
        if self.settings.forwarded_host
            && let Some(host) = head.host()
        {
            lines.push(b"X-Forwarded-Host", host.as_bytes())?;
        }
        if self.settings.forwarded_for_port {
            lines.push(b"X-Forwarded-For-Port", Decimal::number(client.port()).as_bytes())?;
        }
        if self.settings.elb_ip && !self.fixed_elb_ip {
            lines.push(b"X-Forwarded-ELB-IP", Decimal::ip(address.ip()).as_bytes())?;
        }
        if !self.fixed.is_empty() {
            lines.extend(&self.fixed);
        }
        Ok(())
    }
}

/// A short text on the stack.
pub(super) struct Decimal {
    bytes: [u8; 48],
    length: usize,
}

impl Decimal {
    pub(super) fn ip(ip: IpAddr) -> Self {
        let mut text = Self { bytes: [0; 48], length: 0 };
        match ip.to_canonical() {
            IpAddr::V4(v4) => {
                for (place, octet) in v4.octets().into_iter().enumerate() {
                    if place > 0 {
                        text.push(b'.');
                    }
                    text.push_number(octet.into());
                }
            }
            IpAddr::V6(v6) => {
                use std::io::Write;
                let mut rest = &mut text.bytes[..];
                // 39 characters are the most that an address has.
                let _fits = write!(rest, "{v6}");
                text.length = 48 - rest.len();
            }
        }
        text
    }

    pub(super) fn number(number: u16) -> Self {
        let mut text = Self { bytes: [0; 48], length: 0 };
        text.push_number(number);
        text
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn push_number(&mut self, number: u16) {
        let mut unit = 10_000;
        while unit > 1 && number < unit {
            unit /= 10;
        }
        while unit > 0 {
            self.push(b'0' + (number / unit % 10) as u8);
            unit /= 10;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_numbers_are_written_as_everyone_writes_them() {
        for text in ["0.0.0.0", "127.0.0.1", "255.10.100.9", "2001:db8::1", "::"] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(Decimal::ip(ip).as_bytes(), text.as_bytes());
        }
        assert_eq!(Decimal::ip("::ffff:192.0.2.1".parse().unwrap()).as_bytes(), b"192.0.2.1");
        for number in [0, 9, 10, 99, 100, 8080, 65535] {
            assert_eq!(Decimal::number(number).as_bytes(), number.to_string().as_bytes());
        }
    }
}
