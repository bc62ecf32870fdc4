//! PROXY protocol: what is read, what is refused, cuts, writing and reading again.

use std::net::SocketAddr;

use proptest::prelude::*;
use wire::proxy_protocol::{
    ClientCertificate, Endpoints, Extensions, Origin, PROXY_HEADER_BYTES_MAX, ProxyHeader, ProxyParse,
    ProxyProtocolError, TLV_BYTES_MAX, TlsFacts, Transport, V1_BYTES_MAX, Version, write_v1, write_v2,
};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn client(transport: Transport, source: &str, destination: &str) -> Origin {
    let address = |text: &str| text.parse().expect("an address");
    Origin::Client(Endpoints { transport, source: address(source), destination: address(destination) })
}
fn tcp(source: &str, destination: &str) -> Origin {
    client(Transport::Stream, source, destination)
}
fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    [SIGNATURE, &[command, family], &(body.len() as u16).to_be_bytes(), body].concat()
}
fn complete(bytes: &[u8]) -> ProxyHeader<'_> {
    match ProxyHeader::parse(bytes) {
        Ok(ProxyParse::Complete(header)) => header,
        other => panic!("{other:?} of {}", String::from_utf8_lossy(bytes)),
    }
}

const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 4, 0x01, 0xbb];

#[test]
fn the_origin_is_read() {
    let v6 =
        [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[1], &[0; 10], &[0xff, 0xff, 10, 0, 0, 1], &V4[8..]].concat();
    let client6 = |transport| client(transport, "[2001:db8::1]:56324", "[::ffff:10.0.0.1]:443");
    let client4 = |transport| client(transport, "192.0.2.1:56324", "198.51.100.7:443");
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(V1_BYTES_MAX - 16));
    assert_eq!(long.len(), V1_BYTES_MAX);
    for (why, bytes, origin) in [
        ("TCP4", &b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"[..], client4(Transport::Stream)),
        (
            "port 0",
            b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n",
            tcp("0.0.0.0:0", "255.255.255.255:65535"),
        ),
        ("TCP6", b"PROXY TCP6 2001:DB8::1 ::ffff:10.0.0.1 56324 443\r\n", client6(Transport::Stream)),
        ("unknown", b"PROXY UNKNOWN\r\n", Origin::Unknown),
        ("unknown, with anything", b"PROXY UNKNOWN ffff::1 ? 99999\0\r\n", Origin::Unknown),
        ("the longest line", long.as_bytes(), Origin::Unknown),
        ("binary TCP4", &v2(0x21, 0x11, &V4), client4(Transport::Stream)),
        ("binary UDP4", &v2(0x21, 0x12, &V4), client4(Transport::Datagram)),
        ("binary TCP6", &v2(0x21, 0x21, &v6), client6(Transport::Stream)),
        ("binary UDP6", &v2(0x21, 0x22, &v6), client6(Transport::Datagram)),
        ("binary UNIX", &v2(0x21, 0x31, &[b'/'; 216]), Origin::Unknown),
        ("unspecified", &v2(0x21, 0x00, b""), Origin::Unknown),
        ("unspecified, with bytes to skip", &v2(0x21, 0x00, b"anything"), Origin::Unknown),
        ("no transport", &v2(0x21, 0x10, &V4), Origin::Unknown),
        ("local", &v2(0x20, 0x00, b""), Origin::Local),
        ("local, with a family and addresses to ignore", &v2(0x20, 0x11, &V4), Origin::Local),
        ("local, with a family of no meaning", &v2(0x20, 0xff, b"anything"), Origin::Local),
    ] {
        let with_data = [bytes, b"GET / HTTP/1.1\r\n"].concat();
        let header = complete(&with_data);
        let version = if bytes[0] == b'P' { Version::V1 } else { Version::V2 };
        assert_eq!((header.origin, header.version), (origin, version), "{why}");
        assert_eq!(header.length, bytes.len(), "{why}: what is behind belongs to the connection");
        assert_eq!(header.tlvs().count(), 0, "{why}");
    }
}

#[test]
fn what_is_not_exactly_a_header_is_refused() {
    use ProxyProtocolError::*;
    let tlv = |tlv: &[u8]| v2(0x21, 0x11, &[&V4[..], tlv].concat());
    let mut too_long = v2(0x21, 0x11, &V4);
    too_long[14..16].copy_from_slice(&(PROXY_HEADER_BYTES_MAX as u16 - 15).to_be_bytes());
    let endless = "PROXY TCP4 ".to_string() + &"1".repeat(200);
    let one_too_long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(V1_BYTES_MAX - 15));
    for (why, bytes, expect) in [
        ("HTTP", &b"GET / HTTP/1.1\r\n"[..], NoHeader),
        ("HTTP that begins alike", b"POST / HTTP/1.1\r\n", NoHeader),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NoHeader),
        ("TLS", &[0x16, 3, 1, 0, 5], NoHeader),
        ("small letters", b"proxy TCP4 ", NoHeader),
        ("no space", b"PROXYTCP4 ", NoHeader),
        ("an empty line", b"\r\n\r\nGET", NoHeader),
        ("a signature with one other byte", b"\r\n\r\n\0\r\nQUIT\r", NoHeader),
        ("a line without end", endless.as_bytes(), LineTooLong),
        ("one byte too long", one_too_long.as_bytes(), LineTooLong),
        ("ended by LF", b"PROXY UNKNOWN\n", BadLineEnd),
        ("ended by CR", b"PROXY UNKNOWN\rGET", BadLineEnd),
        ("LF CR", b"PROXY UNKNOWN\n\r", BadLineEnd),
        ("another protocol", b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", BadLine),
        ("no protocol", b"PROXY \r\n", BadLine),
        ("a longer word", b"PROXY UNKNOWNS\r\n", BadLine),
        ("too few fields", b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", BadLine),
        ("too many fields", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", BadLine),
        ("a space at the end", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", BadLine),
        ("two spaces", b"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", BadLine),
        ("two spaces after the word", b"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n", BadLine),
        ("an empty field", b"PROXY TCP4  192.0.2.2 1 2\r\n", BadAddress),
        ("a tab", b"PROXY TCP4\t192.0.2.1 192.0.2.2 1 2\r\n", BadLine),
        ("IPv6 as TCP4", b"PROXY TCP4 ::1 ::2 1 2\r\n", BadAddress),
        ("IPv4 as TCP6", b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", BadAddress),
        ("octal", b"PROXY TCP4 192.0.02.1 192.0.2.2 1 2\r\n", BadAddress),
        ("half an address", b"PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n", BadAddress),
        ("a zone", b"PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n", BadAddress),
        ("brackets", b"PROXY TCP6 [::1] [::2] 1 2\r\n", BadAddress),
        ("not UTF-8", b"PROXY TCP4 \xff 192.0.2.2 1 2\r\n", BadAddress),
        ("a port too high", b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", BadPort),
        ("a leading zero", b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", BadPort),
        ("a sign", b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", BadPort),
        ("no number", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 http\r\n", BadPort),
        ("version 1 in binary", &v2(0x11, 0x11, &V4), BadVersion),
        ("version 3", &v2(0x31, 0x11, &V4), BadVersion),
        ("another command", &v2(0x22, 0x11, &V4), BadCommand),
        ("another family", &v2(0x21, 0x41, &V4), BadFamily),
        ("another protocol in binary", &v2(0x21, 0x13, &V4), BadFamily),
        ("longer than is read", &too_long, TooLong),
        ("too short for IPv4", &v2(0x21, 0x11, &V4[..11]), TooShort),
        ("too short for IPv6", &v2(0x21, 0x21, &[0; 35]), TooShort),
        ("too short for UNIX", &v2(0x21, 0x31, &[0; 215]), TooShort),
        ("one byte of a field", &tlv(&[4]), BadTlv),
        ("half a field's head", &tlv(&[4, 0]), BadTlv),
        ("a field beyond the end", &tlv(&[4, 0, 2, 0]), BadTlv),
        ("a rest after a field", &tlv(&[4, 0, 1, 0, 9]), BadTlv),
    ] {
        let outcome = ProxyHeader::parse(bytes);
        assert_eq!(outcome, Err(expect), "{why}");
        assert!(expect.code().starts_with("proxy_protocol_"), "{why}");
    }
}

#[test]
fn further_fields_are_there_to_be_read() {
    let body = [&V4[..], &[0x04, 0, 0], &[0x05, 0, 3, b'a', b'b', b'c'], &[0xee, 0, 1, 9]].concat();
    let bytes = v2(0x21, 0x11, &body);
    let fields: Vec<_> = complete(&bytes).tlvs().map(|tlv| (tlv.kind, tlv.value.to_vec())).collect();
    assert_eq!(fields, [(4, vec![]), (5, b"abc".to_vec()), (0xee, vec![9])]);
}

#[test]
fn headers_are_written() {
    let v1 = |origin: Origin| {
        let mut out = Vec::new();
        write_v1(&origin, &mut out);
        String::from_utf8(out).unwrap()
    };
    for (why, origin, expect) in [
        ("IPv4", tcp("192.0.2.1:1", "192.0.2.2:65535"), "PROXY TCP4 192.0.2.1 192.0.2.2 1 65535\r\n"),
        ("IPv6", tcp("[2001:db8::1]:1", "[::1]:2"), "PROXY TCP6 2001:db8::1 ::1 1 2\r\n"),
        (
            "IPv4 on a socket of both",
            tcp("[::ffff:192.0.2.1]:1", "192.0.2.2:2"),
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        ),
        (
            "two families",
            tcp("[2001:db8::1]:1", "192.0.2.2:2"),
            "PROXY TCP6 2001:db8::1 ::ffff:192.0.2.2 1 2\r\n",
        ),
        ("a zone is nobody else's", tcp("[fe80::1%5]:1", "[::1]:2"), "PROXY TCP6 fe80::1 ::1 1 2\r\n"),
        ("no word for UDP", client(Transport::Datagram, "192.0.2.1:1", "192.0.2.2:2"), "PROXY UNKNOWN\r\n"),
        ("no word for oneself", Origin::Local, "PROXY UNKNOWN\r\n"),
        ("unknown", Origin::Unknown, "PROXY UNKNOWN\r\n"),
    ] {
        assert_eq!(v1(origin), expect, "{why}");
        assert!(expect.len() <= V1_BYTES_MAX);
    }
    let mut out = b"before".to_vec();
    write_v2(&tcp("192.0.2.1:56324", "198.51.100.7:443"), &Extensions::default(), &mut out);
    assert_eq!(out, [b"before", &v2(0x21, 0x11, &V4)[..]].concat());
}

#[test]
fn members_are_told_of_tls() {
    let origin = tcp("192.0.2.1:56324", "198.51.100.7:443");
    let tls = |certificate| TlsFacts { version: b"TLSv1.3", cipher: Some(b"SUITE"), certificate };
    let shown = |verified, resumed| ClientCertificate::Shown { verified, resumed, common_name: Some(b"me") };
    let version = [&[0x21, 0, 7][..], b"TLSv1.3"].concat();
    let suite = [&[0x23, 0, 5][..], b"SUITE"].concat();
    for (why, certificate, head, name) in [
        ("no certificate", ClientCertificate::None, [0x01, 0, 0, 0, 1], &[][..]),
        ("a good one", shown(true, false), [0x07, 0, 0, 0, 0], &[0x22, 0, 2, b'm', b'e']),
        ("a good one, before", shown(true, true), [0x05, 0, 0, 0, 0], &[0x22, 0, 2, b'm', b'e']),
        ("a bad one", shown(false, false), [0x07, 0, 0, 0, 1], &[0x22, 0, 2, b'm', b'e']),
    ] {
        let extensions = Extensions {
            alpn: Some(b"h2"),
            authority: Some(b"www.example.com"),
            tls: Some(tls(certificate)),
        };
        let mut out = Vec::new();
        write_v2(&origin, &extensions, &mut out);
        let fields: Vec<_> = complete(&out).tlvs().map(|tlv| (tlv.kind, tlv.value.to_vec())).collect();
        let said = [&head[..], &version, name, &suite].concat();
        let expect = [(1, b"h2".to_vec()), (2, b"www.example.com".to_vec()), (0x20, said)];
        assert_eq!(fields, expect, "{why}");
    }
}

#[test]
fn all_that_can_be_said_fits_and_what_is_too_long_is_left_out() {
    let origin = client(Transport::Stream, "[2001:db8::1]:1", "[2001:db8::2]:2");
    for (length, fields) in [(TLV_BYTES_MAX, 3), (TLV_BYTES_MAX + 1, 1), (1 << 20, 1)] {
        let bytes = vec![b'x'; length];
        let long = Some(&bytes[..]);
        let certificate = ClientCertificate::Shown { verified: true, resumed: false, common_name: long };
        let tls = TlsFacts { version: &bytes, cipher: long, certificate };
        let mut out = Vec::new();
        write_v2(&origin, &Extensions { alpn: long, authority: long, tls: Some(tls) }, &mut out);
        assert!(out.len() <= PROXY_HEADER_BYTES_MAX, "{}", out.len());
        assert_eq!(complete(&out).tlvs().count(), fields, "{length}");
    }
}

/// Every prefix is incomplete or has the outcome of the whole, and none is whole before it was said to be.
fn cuts_make_no_difference(bytes: &[u8]) -> Result<(), TestCaseError> {
    let whole = ProxyHeader::parse(bytes);
    let mut needed = 0;
    for end in 0..=bytes.len() {
        match ProxyHeader::parse(&bytes[..end]) {
            Ok(ProxyParse::Partial { needed: now }) => {
                prop_assert!(
                    now > end && now >= needed && now <= PROXY_HEADER_BYTES_MAX,
                    "{} of {}",
                    now,
                    end
                );
                needed = now;
            }
            early => {
                prop_assert!(early.is_err() || end >= needed);
                prop_assert_eq!(early, whole);
            }
        }
    }
    Ok(())
}

fn addresses() -> impl Strategy<Value = SocketAddr> {
    (
        prop_oneof![
            any::<[u8; 4]>().prop_map(std::net::IpAddr::from),
            any::<[u8; 16]>().prop_map(Into::into)
        ],
        any::<u16>(),
    )
        .prop_map(SocketAddr::from)
}

fn origins() -> impl Strategy<Value = Origin> {
    let transport = prop_oneof![Just(Transport::Stream), Just(Transport::Datagram)];
    let client = (transport, addresses(), addresses()).prop_map(|(transport, source, destination)| {
        Origin::Client(Endpoints { transport, source, destination })
    });
    prop_oneof![1 => Just(Origin::Local), 1 => Just(Origin::Unknown), 6 => client]
}

/// What a reader is to find of what was written: both addresses in one family.
fn as_said(origin: Origin) -> Origin {
    let Origin::Client(Endpoints { transport, source, destination }) = origin else { return origin };
    let to_v6 = |address: SocketAddr| match address.ip() {
        std::net::IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()),
        std::net::IpAddr::V6(_) => address,
    };
    match source.is_ipv4() && destination.is_ipv4() {
        true => origin,
        false => {
            Origin::Client(Endpoints { transport, source: to_v6(source), destination: to_v6(destination) })
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_is_read_again(
        origin in origins(), alpn in proptest::option::of(any::<Vec<u8>>()), behind in any::<Vec<u8>>(),
    ) {
        let mut bytes = Vec::new();
        write_v2(&origin, &Extensions { alpn: alpn.as_deref(), ..Extensions::default() }, &mut bytes);
        let length = bytes.len();
        bytes.extend_from_slice(&behind);
        let header = complete(&bytes);
        prop_assert_eq!((header.origin, header.length), (as_said(origin), length));
        let told: Vec<_> = header.tlvs().map(|tlv| tlv.value.to_vec()).collect();
        let expect: Vec<_> = alpn.filter(|_| matches!(origin, Origin::Client(_))).into_iter().collect();
        prop_assert_eq!(told, expect);
        cuts_make_no_difference(&bytes)?;

        let mut line = Vec::new();
        write_v1(&origin, &mut line);
        prop_assert!(line.len() <= V1_BYTES_MAX);
        let expect = match as_said(origin) {
            stream @ Origin::Client(Endpoints { transport: Transport::Stream, .. }) => stream,
            _ => Origin::Unknown,
        };
        prop_assert_eq!(complete(&line).origin, expect);
        cuts_make_no_difference(&line)?;
    }

    #[test]
    fn broken_headers_have_one_outcome_however_they_arrive(
        origin in origins(), at in any::<prop::sample::Index>(), byte in any::<u8>(), binary in any::<bool>(), more in any::<Vec<u8>>(),
    ) {
        let mut bytes = Vec::new();
        match binary {
            true => write_v2(&origin, &Extensions::default(), &mut bytes),
            false => write_v1(&origin, &mut bytes),
        }
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.extend(more);
        cuts_make_no_difference(&bytes)?;
    }

    #[test]
    fn lines_of_the_right_letters_have_one_outcome(line in "PROXY (TCP4|TCP6|UNKNOWN)[ 0-9a-f.:\r\n]{0,120}") {
        cuts_make_no_difference(line.as_bytes())?;
    }

    #[test]
    fn bytes_behind_the_signature_have_one_outcome(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        cuts_make_no_difference(&[SIGNATURE, &[0x21, 0x11, 0], &bytes].concat())?;
    }
}
