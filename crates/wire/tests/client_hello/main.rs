//! ClientHello: what is read from real and made ones, what is refused, who is served, fingerprints.

mod fingerprints;
mod fits;
mod made;

use made::{MODERN, Made, TLS10, hello, message, records};
use proptest::prelude::*;
use wire::client_hello::{
    CLIENT_HELLO_BYTES_MAX, ClientHello, ClientHelloError, EXTENSIONS_MAX, HelloParse, NotTls, RECORDS_MAX,
    is_host_name,
};

#[test]
fn a_modern_hello_is_read() {
    let bytes = hex::decode(MODERN).unwrap();
    let hello = hello(&bytes);
    assert_eq!(hello.legacy_version(), 0x0303);
    assert_eq!(hello.sni(), Some("www.example.com"));
    assert_eq!(hello.alpn().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
    assert_eq!(hello.supported_versions().collect::<Vec<_>>(), [0x0304, 0x0303]);
    assert_eq!(hello.cipher_suites().take(4).collect::<Vec<_>>(), [0x1302, 0x1303, 0x1301, 0xc02c]);
    assert_eq!(hello.cipher_suites().last(), Some(0x00ff));
    assert_eq!(hello.groups().take(2).collect::<Vec<_>>(), [29, 23]);
    assert_eq!(hello.signature_schemes().next(), Some(0x0403));
    assert_eq!(hello.point_formats(), [0, 1, 2]);
    assert_eq!(hello.extensions().collect::<Vec<_>>(), [0, 11, 10, 35, 16, 22, 23, 13, 43, 45, 51, 21]);
    assert!(hello.knows_tickets() && !hello.has_ticket() && !hello.has_psk() && !hello.has_early_data());
    assert!(hello.speaks(0x0304) && hello.speaks(0x0303) && !hello.speaks(0x0301));
}

#[test]
fn an_old_hello_is_read() {
    let bytes = hex::decode(TLS10).unwrap();
    let hello = hello(&bytes);
    assert_eq!(hello.legacy_version(), 0x0301);
    assert_eq!(hello.sni(), Some("old.example.com"));
    assert_eq!(
        hello.supported_versions().count() + hello.alpn().count() + hello.signature_schemes().count(),
        0
    );
    assert!(hello.speaks(0x0301) && !hello.speaks(0x0302) && !hello.speaks(0x0304));

    let bare = Made::new(0x0301, &[0x2f]).bytes();
    assert_eq!(
        seen(&bare),
        seen(&[bare.clone(), vec![1, 2, 3]].concat()),
        "what comes behind does not matter"
    );
    let hello = self::hello(&bare);
    assert_eq!((hello.extensions().count(), hello.sni()), (0, None));
}

#[test]
fn tickets_keys_and_early_data_are_seen() {
    for (why, kind, body, expect) in [
        ("an empty ticket", 35, vec![], [true, false, false, false]),
        ("a ticket", 35, vec![1, 2], [true, true, false, false]),
        ("a pre-shared key", 41, vec![0; 9], [false, false, true, false]),
        ("early data", 42, vec![], [false, false, false, true]),
    ] {
        let bytes = Made::new(0x0303, &[0x1301]).with(kind, body).bytes();
        let hello = hello(&bytes).into_owned();
        let flags = [hello.knows_tickets(), hello.has_ticket(), hello.has_psk(), hello.has_early_data()];
        assert_eq!(flags, expect, "{why}");
    }
}

#[test]
fn only_a_host_name_is_asked_for() {
    for (sent, expect) in [
        (&b"www.example.com"[..], Some("www.example.com")),
        (b"Example.COM.", Some("Example.COM")),
        (b"localhost", Some("localhost")),
        (b"_srv.a-b.example", Some("_srv.a-b.example")),
        (b"1.example", Some("1.example")),
        (b"", None),
        (b".", None),
        (b"a..b", None),
        (b"-a.example", None),
        (b"a-.example", None),
        (b"192.0.2.1", None),
        (b"2001:db8::1", None),
        (b"a b", None),
        (b"a\0.example", None),
        (b"\xc3\xa4.example", None),
        (b"*.example", None),
        (b"a/b", None),
    ] {
        let bytes = Made::new(0x0303, &[0x1301]).name(sent).bytes();
        let hello = hello(&bytes);
        assert_eq!(hello.sni(), expect, "{}", sent.escape_ascii());
        assert_eq!(hello.sni_bytes(), Some(sent));
    }
    let label = "a".repeat(63);
    assert!(is_host_name(&label) && !is_host_name(&format!("{label}a")));
    let long = [&label[..], &label, &label, &label[2..]].join(".");
    assert!(is_host_name(&long) && !is_host_name(&format!("a{long}")), "253 bytes and no more");
}

#[test]
fn what_is_no_tls_is_told_apart() {
    use Seen::{NotTls as Not, Partial};
    for (bytes, expect) in [
        (&b""[..], Partial),
        (b"G", Partial),
        (b"GET", Partial),
        (b"GET ", Not(NotTls::Http)),
        (b"POST /x HTTP/1.1\r\n", Not(NotTls::Http)),
        (b"P", Partial),
        (b"PRI * HTTP/2.0\r\n\r\nSM", Not(NotTls::Http)),
        (b"PRI \r\n", Not(NotTls::Other)),
        (b"GETTY", Not(NotTls::Other)),
        (b"get ", Not(NotTls::Other)),
        (b"SSH-2.0-x", Not(NotTls::Other)),
        (b"PROXY TCP4", Not(NotTls::Other)),
        (b"\x80\x2e\x01\x03\x01", Not(NotTls::Other)),
        (b"\x17", Partial),
        (b"\x17\x04", Not(NotTls::Other)),
        (b"\x17\x03\x03\x00\x01", Seen::Bad(ClientHelloError::UnexpectedRecord)),
        (b"\x16", Partial),
    ] {
        assert_eq!(seen(bytes), expect, "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_is_wrong_is_said_as_soon_as_it_is_seen() {
    use ClientHelloError::{
        BadLength, BadRecordVersion, EmptyRecord, NotClientHello, RecordTooLong, RepeatedExtension,
        RepeatedHostName, TooLong, TooManyExtensions, UnexpectedRecord,
    };
    let plain = Made::new(0x0303, &[0x1301]);
    let body = plain.message()[4..].to_vec();
    let extension = |kind: u16, body: &[u8]| plain.clone().with(kind, body.to_vec()).bytes();
    let many = |count: usize| {
        let mut made = plain.clone();
        made.extensions = (0..count).map(|n| (1000 + n as u16, Vec::new())).collect();
        made.bytes()
    };
    let resized = |body: &[u8]| records(&message(1, body), &[]);
    for (why, bytes, expect) in [
        (
            "another record inside the hello",
            [&records(&plain.message(), &[3])[..8], b"\x15\x03\x03\0\x02"].concat(),
            Some(UnexpectedRecord),
        ),
        ("SSL 2 in a record", b"\x16\x02".to_vec(), Some(BadRecordVersion)),
        ("a version to come", b"\x16\x03\x05".to_vec(), Some(BadRecordVersion)),
        ("an empty record", b"\x16\x03\x01\0\0".to_vec(), Some(EmptyRecord)),
        ("a long record", b"\x16\x03\x01\x40\x01".to_vec(), Some(RecordTooLong)),
        ("the longest record", b"\x16\x03\x01\x40\0\x01".to_vec(), None),
        ("a server's hello", b"\x16\x03\x01\0\x04\x02".to_vec(), Some(NotClientHello)),
        ("too long by declaration", b"\x16\x03\x01\0\x04\x01\x01\0\0".to_vec(), Some(TooLong)),
        ("no room for a random", resized(&body[..20]), Some(BadLength)),
        ("cut before the compressions", resized(&body[..body.len() - 2]), Some(BadLength)),
        ("a byte behind", resized(&[&body[..], &[0]].concat()), Some(BadLength)),
        ("no suites", Made::new(0x0303, &[]).bytes(), Some(BadLength)),
        ("no compression", Made { compression: vec![], ..plain.clone() }.bytes(), Some(BadLength)),
        (
            "a session id too long",
            resized(&[&body[..34], &[33], &[0; 33], &body[35..]].concat()),
            Some(BadLength),
        ),
        ("a byte behind the extensions", resized(&[&body[..], &[0, 0, 0]].concat()), Some(BadLength)),
        ("no extension in the block", resized(&[&body[..], &[0, 0]].concat()), None),
        (
            "the same extension twice",
            plain.clone().with(9999, vec![]).with(9999, vec![]).bytes(),
            Some(RepeatedExtension),
        ),
        ("as many extensions as may be", many(EXTENSIONS_MAX), None),
        ("one more", many(EXTENSIONS_MAX + 1), Some(TooManyExtensions)),
        (
            "an extension that ends beyond",
            resized(&[&body[..], &[0, 4, 0, 99, 0, 1]].concat()),
            Some(BadLength),
        ),
        ("no name in the list", extension(0, &[0, 0]), Some(BadLength)),
        ("two names", extension(0, &[0, 8, 0, 0, 1, b'a', 0, 0, 1, b'b']), Some(RepeatedHostName)),
        ("a name of another kind", extension(0, &[0, 4, 9, 0, 1, b'a']), None),
        ("half a group", extension(10, &[0, 3, 0, 29, 0]), Some(BadLength)),
        ("no group", extension(10, &[0, 0]), Some(BadLength)),
        ("bytes behind the groups", extension(10, &[0, 2, 0, 29, 0]), Some(BadLength)),
        ("no version", extension(43, &[0]), Some(BadLength)),
        ("half a version", extension(43, &[1, 3]), Some(BadLength)),
        ("no point format", extension(11, &[0]), Some(BadLength)),
        ("no scheme", extension(13, &[0, 0]), Some(BadLength)),
        ("no protocol", extension(16, &[0, 0]), Some(BadLength)),
        ("an empty protocol", extension(16, &[0, 1, 0]), Some(BadLength)),
        ("a protocol that ends beyond", extension(16, &[0, 2, 5, b'h']), Some(BadLength)),
    ] {
        match (seen(&bytes), expect) {
            (Seen::Bad(error), expect) => {
                assert_eq!(Some(error), expect, "{why}");
                assert!(
                    error.code().starts_with("hello_")
                        && error.alert() >= 10
                        && !error.to_string().is_empty()
                );
            }
            (_, None) => {}
            (other, Some(expect)) => panic!("{why}: {other:?}, not {expect:?}"),
        }
    }
}

#[test]
fn a_hello_has_bounds() {
    let ones = vec![1; CLIENT_HELLO_BYTES_MAX];
    let made = Made::new(0x0303, &[0x1301]).name(b"a.example");
    let longest = made.message().len().min(RECORDS_MAX);
    assert!(matches!(seen(&records(&made.message(), &ones[..longest])), Seen::Hello(_)), "many records");

    // Padded so that one byte per record needs too many of them.
    let long = made.clone().with(21, vec![0; RECORDS_MAX]).message();
    assert_eq!(seen(&records(&long, &ones)), Seen::Bad(ClientHelloError::TooManyRecords));

    let padded = |padding: usize| Made::new(0x0303, &[0x1301]).with(99, vec![0; padding]).bytes();
    let room = CLIENT_HELLO_BYTES_MAX - (padded(65_000).len() - 65_000);
    assert!(matches!(seen(&padded(room)), Seen::Hello(_)), "as long as may be");
    assert_eq!(seen(&padded(room + 1)), Seen::Bad(ClientHelloError::TooLong));
}

#[test]
fn waiting_takes_few_looks() {
    let bytes = records(&hex::decode(MODERN).unwrap()[5..], &[3, 100, 1]);
    let (mut have, mut looks) = (0, 0);
    loop {
        match ClientHello::parse(&bytes[..have]) {
            Ok(HelloParse::Partial { needed }) => have = needed,
            Ok(HelloParse::Complete(_)) => break,
            other => panic!("{other:?}"),
        }
        looks += 1;
    }
    assert_eq!(have, bytes.len(), "never more than there will be");
    assert!(looks <= 10, "{looks}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_made_hello_is_read_as_it_was_made(made in some_hello()) {
        let bytes = made.bytes();
        let hello = hello(&bytes);
        prop_assert_eq!(hello.legacy_version(), made.version);
        prop_assert_eq!(hello.cipher_suites().collect::<Vec<_>>(), made.suites);
        let kinds: Vec<_> = made.extensions.iter().map(|(kind, _)| *kind).collect();
        prop_assert_eq!(hello.extensions().collect::<Vec<_>>(), kinds);
    }

    #[test]
    fn records_and_cuts_make_no_difference(made in some_hello(), lengths in proptest::collection::vec(1usize..60, 0..20)) {
        let whole = seen(&made.bytes());
        prop_assert!(matches!(whole, Seen::Hello(_)));
        let cut = records(&made.message(), &lengths);
        prop_assert_eq!(seen(&cut), whole);
        for end in 0..cut.len() {
            prop_assert_eq!(seen(&cut[..end]), Seen::Partial, "{} of {}", end, cut.len());
        }
    }

    #[test]
    fn spoilt_hellos_do_no_harm_and_prefixes_agree(made in some_hello(), spoil in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        let mut bytes = made.bytes();
        for (place, byte) in spoil {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let whole = seen(&bytes);
        for end in 0..bytes.len() {
            let early = seen(&bytes[..end]);
            prop_assert!(early == Seen::Partial || early == whole, "{:?} then {:?}", early, whole);
        }
    }
}

fn some_hello() -> impl Strategy<Value = Made> {
    let lists =
        proptest::collection::vec((any::<u16>(), proptest::collection::vec(any::<u8>(), 0..20)), 0..8);
    let known = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (any::<u16>(), proptest::collection::vec(any::<u16>(), 1..40), lists, known).prop_map(
        |(version, suites, lists, (name, groups, alpn, versions))| {
            let mut made = Made::new(version, &suites);
            // Types that we look into have their own form.
            made.extensions = lists.into_iter().filter(|(kind, _)| *kind > 50).collect();
            made.extensions.sort();
            made.extensions.dedup_by_key(|(kind, _)| *kind);
            made = if name { made.name(b"a.example") } else { made };
            made = if groups { made.groups(&[29]).schemes(&[0x0403]) } else { made };
            made = if alpn { made.alpn(&[b"h2", b"x"]) } else { made };
            if versions { made.versions(&[0x0304]) } else { made }
        },
    )
}

/// What a parse gave, in a form that can be compared.
#[derive(Debug, PartialEq)]
enum Seen {
    Hello(Box<Facts>),
    Partial,
    NotTls(NotTls),
    Bad(ClientHelloError),
}

#[derive(Debug, PartialEq)]
struct Facts {
    version: u16,
    lists: [Vec<u16>; 5],
    sni: Option<Vec<u8>>,
    alpn: Vec<Vec<u8>>,
    flags: [bool; 4],
    fingerprints: [String; 4],
}

fn seen(bytes: &[u8]) -> Seen {
    match ClientHello::parse(bytes) {
        Ok(HelloParse::Complete(hello)) => Seen::Hello(Box::new(Facts {
            version: hello.legacy_version(),
            lists: [
                hello.supported_versions().collect(),
                hello.cipher_suites().collect(),
                hello.groups().collect(),
                hello.signature_schemes().collect(),
                hello.extensions().collect(),
            ],
            sni: hello.sni_bytes().map(<[u8]>::to_vec),
            alpn: hello.alpn().map(<[u8]>::to_vec).collect(),
            flags: [hello.knows_tickets(), hello.has_ticket(), hello.has_psk(), hello.has_early_data()],
            fingerprints: [hello.ja3_raw(), hello.ja3(), hello.ja4_raw(), hello.ja4()],
        })),
        Ok(HelloParse::Partial { needed }) => {
            assert!(needed > bytes.len(), "asks for more than there is");
            assert!(needed <= CLIENT_HELLO_BYTES_MAX);
            Seen::Partial
        }
        Ok(HelloParse::NotTls(other)) => Seen::NotTls(other),
        Err(error) => Seen::Bad(error),
    }
}
