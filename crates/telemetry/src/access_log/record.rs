//! A record and its line (behaviour/access-log.md; the long format).

use std::net::SocketAddr;

use model::{ListenerId, LoadBalancerId, PoolId, ProjectId};
use uuid::Uuid;

/// What is known of a finished request. Everything is borrowed: a record lives for the writing of its line.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// When the record is written, milliseconds since the epoch.
    pub now_millis: u64,
    /// The log topic.
    pub topic: &'a str,
    /// The client.
    pub client: SocketAddr,
    /// The status that the client got; 499: it was gone before.
    pub status: u16,
    /// The method.
    pub method: &'a [u8],
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The host that was asked for.
    pub host: &'a [u8],
    /// Path and query as they came.
    pub target: &'a [u8],
    /// Such as `HTTP/1.1`.
    pub version: &'a str,
    /// Bytes of the request, head and body.
    pub request_bytes: u64,
    /// Bytes of the request's head.
    pub request_head_bytes: u64,
    /// Bytes sent to the client.
    pub sent_bytes: u64,
    /// The same without the answer's head.
    pub sent_body_bytes: u64,
    /// From the first byte of the request to the last of the answer, in milliseconds.
    pub took_millis: u64,
    /// What was tried on members, in order; empty: no member was reached.
    pub attempts: &'a [Attempt],
    /// `User-Agent` as received.
    pub user_agent: Option<&'a [u8]>,
    /// `Referer` as received.
    pub referer: Option<&'a [u8]>,
    /// `X-Forwarded-For` as received.
    pub forwarded_for: Option<&'a [u8]>,
    /// The load balancer.
    pub load_balancer: LoadBalancerId,
    /// The listener.
    pub listener: ListenerId,
    /// The pool that was sent to.
    pub pool: Option<PoolId>,
    /// What people call that pool; empty: nothing.
    pub pool_name: &'a str,
    /// The owning project.
    pub project: ProjectId,
    /// The address that the client reached.
    pub reached: SocketAddr,
    /// What the client's TLS was.
    pub tls: Option<Tls<'a>>,
    /// The round-trip time to the client in microseconds, as the system estimates it; none: not asked.
    pub rtt_micros: Option<u32>,
}

/// One attempt on a member.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Where.
    pub member: SocketAddr,
    /// Its status; what we made of it when it gave none.
    pub status: u16,
    /// How long the connection took to be made, in milliseconds; 0 on a kept one.
    pub connect_millis: u32,
    /// Until the head of its answer, in milliseconds; none: there was no head.
    pub header_millis: Option<u32>,
    /// Until the end of its answer, in milliseconds.
    pub response_millis: u32,
}

/// A client's TLS, as far as it is logged.
#[derive(Clone, Copy, Debug)]
pub struct Tls<'a> {
    /// Such as `TLSv1.3`.
    pub version: &'a str,
    /// The suite, by OpenSSL's name.
    pub cipher: &'a str,
    /// The name that the client asked for.
    pub sni: Option<&'a str>,
}

/// The moment of a record as text, remembered while the second lasts.
#[derive(Debug, Default)]
pub(super) struct Clock {
    second: u64,
    text: String,
}

impl Clock {
    fn text(&mut self, second: u64) -> &str {
        if self.second != second || self.text.is_empty() {
            self.second = second;
            let moment =
                i64::try_from(second).ok().and_then(|s| time::OffsetDateTime::from_unix_timestamp(s).ok());
            let moment = moment.unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
            self.text = format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}+00:00",
                moment.year(),
                u8::from(moment.month()),
                moment.day(),
                moment.hour(),
                moment.minute(),
                moment.second()
            );
        }
        &self.text
    }
}

impl Record<'_> {
    /// Appends the line, with its end.
    pub(super) fn write(&self, clock: &mut Clock, line: &mut Vec<u8>) {
        let second = self.now_millis / 1000;
        seconds(line, self.now_millis);
        line.push(b' ');
        or_dash(line, self.topic.as_bytes());
        line.extend_from_slice(b" [");
        line.extend_from_slice(clock.text(second).as_bytes());
        line.extend_from_slice(b"] elb_01 ");
        address(line, self.client);
        line.push(b' ');
        number(line, self.status.into());
        line.extend_from_slice(b" \"");
        escaped(line, self.method);
        line.push(b' ');
        line.extend_from_slice(self.scheme.as_bytes());
        line.extend_from_slice(b"://");
        escaped(line, self.host);
        escaped(line, self.target);
        line.push(b' ');
        line.extend_from_slice(self.version.as_bytes());
        line.extend_from_slice(b"\" ");
        for bytes in [self.request_bytes, self.sent_bytes, self.sent_body_bytes] {
            number(line, bytes);
            line.push(b' ');
        }
        seconds(line, self.took_millis);
        self.each_attempt(line, |line, attempt| number(line, attempt.status.into()));
        self.each_attempt(line, |line, attempt| seconds(line, attempt.connect_millis.into()));
        self.each_attempt(line, |line, attempt| match attempt.header_millis {
            Some(millis) => seconds(line, millis.into()),
            None => line.push(b'-'),
        });
        self.each_attempt(line, |line, attempt| seconds(line, attempt.response_millis.into()));
        self.each_attempt(line, |line, attempt| address(line, attempt.member));
        for header in [self.user_agent, self.referer, self.forwarded_for] {
            line.extend_from_slice(b" \"");
            match header {
                Some(value) if !value.is_empty() => escaped(line, value),
                Some(_) | None => line.push(b'-'),
            }
            line.push(b'"');
        }
        line.extend_from_slice(b" loadbalancer_");
        dashed(line, self.load_balancer.uuid());
        line.extend_from_slice(b" listener_");
        dashed(line, self.listener.uuid());
        line.push(b' ');
        simple(line, self.listener.uuid());
        line.push(b' ');
        match self.pool {
            Some(pool) => {
                line.extend_from_slice(b"pool_");
                dashed(line, pool.uuid());
            }
            None => line.push(b'-'),
        }
        // The member's name is "not supported yet" in the format; its place stays.
        line.extend_from_slice(b" \"-\" ");
        simple(line, self.project.uuid());
        line.push(b' ');
        address(line, self.reached);
        self.each_attempt(line, |line, attempt| address(line, attempt.member));
        // The certificate's id is "not supported yet" in the format.
        line.extend_from_slice(b" - ");
        match self.tls {
            Some(tls) => {
                for word in [tls.version, tls.cipher, tls.sni.unwrap_or("")] {
                    or_dash(line, word.as_bytes());
                    line.push(b' ');
                }
            }
            None => line.extend_from_slice(b"- - - "),
        }
        match self.rtt_micros {
            Some(micros) => number(line, micros.into()),
            None => line.push(b'-'),
        }
        line.extend_from_slice(b" - ");
        number(line, self.request_head_bytes);
        line.extend_from_slice(b" - - \"");
        match self.pool_name {
            "" => line.push(b'-'),
            name => escaped(line, name.as_bytes()),
        }
        line.extend_from_slice(b"\"\n");
    }

    /// A quoted list with an item per attempt.
    fn each_attempt(&self, line: &mut Vec<u8>, mut item: impl FnMut(&mut Vec<u8>, &Attempt)) {
        line.extend_from_slice(b" \"");
        if self.attempts.is_empty() {
            line.push(b'-');
        }
        for (at, attempt) in self.attempts.iter().enumerate() {
            if at > 0 {
                line.extend_from_slice(b", ");
            }
            item(line, attempt);
        }
        line.push(b'"');
    }
}

fn number(line: &mut Vec<u8>, n: u64) {
    line.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// Milliseconds as seconds with three decimals.
fn seconds(line: &mut Vec<u8>, millis: u64) {
    number(line, millis / 1000);
    let rest = millis % 1000;
    let digit = |n: u64| b'0' + u8::try_from(n % 10).unwrap_or(0);
    line.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
}

fn address(line: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(v4) => {
            for (at, octet) in v4.ip().octets().into_iter().enumerate() {
                if at > 0 {
                    line.push(b'.');
                }
                number(line, octet.into());
            }
        }
        SocketAddr::V6(v6) => line.extend_from_slice(format!("[{}]", v6.ip()).as_bytes()),
    }
    line.push(b':');
    number(line, address.port().into());
}

fn dashed(line: &mut Vec<u8>, id: Uuid) {
    line.extend_from_slice(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
}

fn simple(line: &mut Vec<u8>, id: Uuid) {
    line.extend_from_slice(id.simple().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
}

fn or_dash(line: &mut Vec<u8>, word: &[u8]) {
    match word {
        [] => line.push(b'-'),
        word => escaped(line, word),
    }
}

/// A client's words, so that a line stays one line and its quotes stay ours: `"`, `\`, control characters and bytes that are not ASCII
/// are written `\xNN`.
fn escaped(line: &mut Vec<u8>, words: &[u8]) {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    let mut rest = words;
    while let Some(at) = rest.iter().position(|byte| !plain(byte)) {
        line.extend_from_slice(&rest[..at]);
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        let byte = rest[at];
        line.extend_from_slice(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        rest = &rest[at + 1..];
    }
    line.extend_from_slice(rest);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn record<'a>() -> Record<'a> {
        let id = Uuid::from_u128;
        Record {
            now_millis: 1_644_819_836_370,
            topic: "eb11c5a9",
            client: "192.168.1.1:888".parse().unwrap(),
            status: 200,
            method: b"POST",
            scheme: "https",
            host: b"www.test.com",
            target: b"/example/?a=1",
            version: "HTTP/1.1",
            request_bytes: 1411,
            request_head_bytes: 129,
            sent_bytes: 251,
            sent_body_bytes: 3,
            took_millis: 11,
            attempts: &[],
            user_agent: Some(b"okhttp/3.13.1"),
            referer: None,
            forwarded_for: None,
            load_balancer: LoadBalancerId::new(id(1)),
            listener: ListenerId::new(id(2)),
            pool: None,
            pool_name: "",
            project: ProjectId::new(id(3)),
            reached: "121.64.212.1:443".parse().unwrap(),
            tls: None,
            rtt_micros: Some(56704),
        }
    }

    fn line(record: &Record<'_>) -> String {
        let mut line = Vec::new();
        record.write(&mut Clock::default(), &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn fields_stand_in_the_documented_order() {
        let attempt = |status, port| Attempt {
            member: ([192, 168, 1, 2], port).into(),
            status,
            connect_millis: 0,
            header_millis: (status == 200).then_some(11),
            response_millis: 11,
        };
        let attempts = [attempt(502, 8080), attempt(200, 8081)];
        let tls =
            Tls { version: "TLSv1.2", cipher: "ECDHE-RSA-AES256-GCM-SHA384", sni: Some("www.test.com") };
        let pool = Some(PoolId::new(Uuid::from_u128(4)));
        assert_eq!(
            line(&Record { attempts: &attempts, tls: Some(tls), pool, pool_name: "my \"pool\"", ..record() }),
            "1644819836.370 eb11c5a9 [2022-02-14T06:23:56+00:00] elb_01 192.168.1.1:888 200 \
             \"POST https://www.test.com/example/?a=1 HTTP/1.1\" 1411 251 3 0.011 \"502, 200\" \"0.000, 0.000\" \
             \"-, 0.011\" \"0.011, 0.011\" \"192.168.1.2:8080, 192.168.1.2:8081\" \"okhttp/3.13.1\" \"-\" \"-\" \
             loadbalancer_00000000-0000-0000-0000-000000000001 listener_00000000-0000-0000-0000-000000000002 \
             00000000000000000000000000000002 pool_00000000-0000-0000-0000-000000000004 \"-\" \
             00000000000000000000000000000003 121.64.212.1:443 \"192.168.1.2:8080, 192.168.1.2:8081\" - TLSv1.2 \
             ECDHE-RSA-AES256-GCM-SHA384 www.test.com 56704 - 129 - - \"my \\x22pool\\x22\"\n"
        );
    }

    #[test]
    fn what_never_happened_is_a_dash() {
        let text = line(&Record { topic: "", user_agent: None, rtt_micros: None, ..record() });
        let fields: Vec<&str> = text.trim_end().split(' ').collect();
        assert_eq!(fields[1], "-", "topic");
        assert_eq!(
            fields[13..21].join(" "),
            "\"-\" \"-\" \"-\" \"-\" \"-\" \"-\" \"-\" \"-\"",
            "upstream and headers: {text}"
        );
        assert_eq!(fields[28..].join(" "), "\"-\" - - - - - - 129 - - \"-\"", "{text}");
    }

    #[test]
    fn a_clients_words_cannot_break_a_line_or_a_quote() {
        let text = line(&Record { user_agent: Some(b"a\"b\\c\r\nd\xff e"), target: b"/\"", ..record() });
        assert_eq!(text.matches('\n').count(), 1);
        assert!(text.contains("\"a\\x22b\\x5Cc\\x0D\\x0Ad\\xFF e\""), "{text}");
        assert!(text.contains("www.test.com/\\x22 HTTP/1.1"), "{text}");
    }

    #[test]
    fn ipv6_addresses_stand_in_brackets() {
        assert!(
            line(&Record { client: "[2001:db8::1]:9".parse().unwrap(), ..record() })
                .contains(" [2001:db8::1]:9 200 ")
        );
    }
}
