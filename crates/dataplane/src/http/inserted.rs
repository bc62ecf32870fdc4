//! Headers that a listener writes into requests for its members.
//!
//! A client's own copy of a header that is switched on never gets through, nor does a look-alike with `_`; one that is switched
//! off passes as it came (behaviour/features.md section 5).

use std::net::{IpAddr, SocketAddr};

use model::listener::{ForwardedFor, InsertHeaders, TlsHeader};
use plan::HttpPlan;
use wire::h1::{BadHeaderLine, HeaderId, HeaderLines, HeaderSet, RequestHead};

use super::client_tls::{ClientTls, usual_name};

/// What to insert, made once per plan.
#[derive(Default)]
pub(crate) struct Inserted {
    settings: InsertHeaders,
    /// Lines that are the same for every request.
    fixed: HeaderLines,
    /// Whether `fixed` has the address that clients reach.
    fixed_elb_ip: bool,
    /// Headers about the client's TLS, and their names.
    tls: Vec<(TlsHeader, Box<[u8]>)>,
    /// What is taken out of requests.
    pub(crate) drop: HeaderSet,
    /// The same of names that the codec does not know: those of `tls`, the usual ones and their aliases.
    pub(super) drop_names: Vec<Box<[u8]>>,
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
        let (mut tls, mut drop_names) = (Vec::new(), Vec::new());
        for (&header, switch) in settings.tls.iter().filter(|(_, switch)| switch.enabled) {
            let usual = usual_name(header);
            let name = switch.alias.as_deref().unwrap_or(usual);
            for name in [usual, name] {
                match HeaderId::of(name.as_bytes()) {
                    HeaderId::OTHER => drop_names.push(name.as_bytes().into()),
                    id => drop.insert(id),
                }
            }
            tls.push((header, name.as_bytes().into()));
        }
        drop_names.sort_unstable();
        drop_names.dedup();
        Self { settings: settings.clone(), fixed, fixed_elb_ip, tls, drop, drop_names }
    }

    /// Appends the lines for one request of `client`, who reached `address`, over `tls`.
    ///
    /// # Errors
    /// When a value that the client sent cannot be written; the parser lets none such through.
    pub(crate) fn write(
        &self,
        lines: &mut HeaderLines,
        head: &RequestHead<'_>,
        client: SocketAddr,
        address: SocketAddr,
        tls: Option<&ClientTls>,
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
        if let Some(tls) = tls {
            for (header, name) in &self.tls {
                // A value that no header can have is not told.
                let _left_out = tls.value(*header).map(|value| lines.push(name, value.as_bytes()));
            }
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
        // Divisors that are known when this is compiled cost no division.
        if number >= 10_000 {
            self.push_digit(number / 10_000);
        }
        if number >= 1000 {
            self.push_digit(number / 1000);
        }
        if number >= 100 {
            self.push_digit(number / 100);
        }
        if number >= 10 {
            self.push_digit(number / 10);
        }
        self.push_digit(number);
    }

    /// The last digit of a number.
    fn push_digit(&mut self, number: u16) {
        self.push(b'0' + (number % 10) as u8);
    }
}

#[cfg(test)]
mod tests {
    use model::{TlsVersion, listener::TlsHeaderSwitch};
    use wire::h1::{
        Authority, Edits, Headers, Limits, Parsed, RequestOut, UpstreamConnection, parse_request,
        write_request,
    };

    use super::{super::client_tls::TlsFacts, *};

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

    #[test]
    fn headers_about_tls_are_told_under_their_names_and_never_by_a_client() {
        let mut plan = HttpPlan::by_hand();
        let on = |alias: Option<&str>| TlsHeaderSwitch { enabled: true, alias: alias.map(str::to_owned) };
        plan.insert_headers.forwarded_for = ForwardedFor::Preserve;
        plan.insert_headers.tls = [
            (TlsHeader::Protocol, on(None)),
            (TlsHeader::Sni, on(Some("X-Asked-For"))),
            (TlsHeader::ClientSubject, on(None)),
            (TlsHeader::Cipher, TlsHeaderSwitch { enabled: false, alias: Some("X-Cipher".to_owned()) }),
        ]
        .into();
        let inserted = Inserted::new(&plan);
        let request = b"GET / HTTP/1.1\r\nHost: t\r\nx-forwarded-tls-protocol: mine\r\nX_Asked_For: mine\r\n\
            X-Forwarded-Tls-Sni: mine\r\nX-Forwarded-Clientcert-subjectdn: mine\r\nX-Cipher: mine\r\n\r\n";
        let mut headers = Headers::new();
        let Ok(Parsed::Complete(head)) = parse_request(request, &mut headers, &Limits::default()) else {
            panic!("a request");
        };
        let tls = ClientTls::new(TlsFacts {
            version: Some(TlsVersion::V12),
            server_name: Some("www.test".into()),
            ..TlsFacts::default()
        });
        let address: SocketAddr = "192.0.2.1:443".parse().unwrap();
        let mut lines = HeaderLines::new();
        inserted.write(&mut lines, &head, address, address, Some(&tls)).unwrap();
        assert_eq!(
            lines.as_bytes().escape_ascii().to_string(),
            b"X-Forwarded-TLS-Protocol: TLSv1.2\r\nX-Asked-For: www.test\r\n".escape_ascii().to_string()
        );
        let drop_names: Vec<&[u8]> = inserted.drop_names.iter().map(|name| &**name).collect();
        let how = RequestOut {
            host_default: Authority::parse(b"elb").unwrap(),
            host: None,
            target: None,
            connection: UpstreamConnection::KeepAlive,
            edits: Edits { drop: inserted.drop, drop_names: &drop_names, append: &lines },
        };
        let mut out = Vec::new();
        let _exchange = write_request(&mut out, &head, &how);
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.matches("mine").count(), 1, "only what is switched off passes: {out}");
        assert!(out.contains("X-Cipher: mine"), "{out}");
    }
}
