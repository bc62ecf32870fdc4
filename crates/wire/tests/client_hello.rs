//! ClientHello: what is read from real and made ones, what is refused, who is served, fingerprints.

use proptest::prelude::*;
use wire::client_hello::{
    CLIENT_HELLO_BYTES_MAX, ClientHello, ClientHelloError, EXTENSIONS_MAX, HelloParse, KeyKind, Misfit,
    NotTls, Offer, RECORDS_MAX, is_host_name,
};

// Made by OpenSSL 3.0.
const MODERN: &str = "1603010200010001fc0303657e7af7ee7ae5891f5b2b18b749eeffbbfd07d2b711967cb5dfa0b7127be9b8208de0eefef33a1e8d6b7e7bf43b491442b0c8ed4ca30bf09351e1732de62be5a40024130213031301c02cc030c02bc02fcca9cca8c024c028c023c027009f009e006b006700ff0100018f00000014001200000f7777772e6578616d706c652e636f6d000b000403000102000a00160014001d0017001e0019001801000101010201030104002300000010000e000c02683208687474702f312e310016000000170000000d002a0028040305030603080708080809080a080b080408050806040105010601030303010302040205020602002b00050403040303002d00020101003300260024001d002090fcc39a992b7d391ec8d90b659c40fce94e56070ebfdb933295a0fca1b18e14001500cc000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000";
const ONE_OLD_SUITE: &str = "16030100710100006d030342e0b13f27dd3f25449cff46777ea079cafd2efada6d2fa956b172be2c6296bd000004002f00ff01000040002300000016000000170000000d0030002e040305030603080708080809080a080b080408050806040105010601030302030301020103020202040205020602";
const TLS10: &str = "16030100970100009303011ad9006151b994ce10b4cdfbd2b81615c3ac571459859ba8fabdfd57b0db6fa200002ec00ac0140039003800880087c019003a0089c009c0130033003200450044c0180034004600350084002f004100ff0100003c00000014001200000f6f6c642e6578616d706c652e636f6d000b000403000102000a000c000a001d0017001e00190018002300000016000000170000";

fn hello(bytes: &[u8]) -> ClientHello<'_> {
    match ClientHello::parse(bytes) {
        Ok(HelloParse::Complete(hello)) => hello,
        other => panic!("{other:?}"),
    }
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

fn be(value: usize, bytes: usize) -> Vec<u8> {
    (value as u64).to_be_bytes()[8 - bytes..].to_vec()
}
/// A length of `width` bytes and the content.
fn with_length(width: usize, content: &[u8]) -> Vec<u8> {
    [be(content.len(), width), content.to_vec()].concat()
}
fn u16s(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

/// A hello to be made; each list that is there becomes an extension.
#[derive(Clone, Debug)]
struct Made {
    version: u16,
    suites: Vec<u16>,
    compression: Vec<u8>,
    extensions: Vec<(u16, Vec<u8>)>,
}

impl Made {
    fn new(version: u16, suites: &[u16]) -> Self {
        Self { version, suites: suites.to_vec(), compression: vec![0], extensions: Vec::new() }
    }
    fn with(mut self, kind: u16, body: Vec<u8>) -> Self {
        self.extensions.push((kind, body));
        self
    }
    fn name(self, name: &[u8]) -> Self {
        self.with(0, with_length(2, &[&[0][..], &with_length(2, name)].concat()))
    }
    fn groups(self, groups: &[u16]) -> Self {
        self.with(10, with_length(2, &u16s(groups)))
    }
    fn points(self, formats: &[u8]) -> Self {
        self.with(11, with_length(1, formats))
    }
    fn schemes(self, schemes: &[u16]) -> Self {
        self.with(13, with_length(2, &u16s(schemes)))
    }
    fn alpn(self, names: &[&[u8]]) -> Self {
        self.with(16, with_length(2, &names.iter().flat_map(|name| with_length(1, name)).collect::<Vec<_>>()))
    }
    fn versions(self, versions: &[u16]) -> Self {
        self.with(43, with_length(1, &u16s(versions)))
    }

    fn message(&self) -> Vec<u8> {
        let extensions: Vec<u8> = self
            .extensions
            .iter()
            .flat_map(|(kind, body)| [be(usize::from(*kind), 2), with_length(2, body)].concat())
            .collect();
        let body = [
            self.version.to_be_bytes().to_vec(),
            vec![7; 32],
            with_length(1, &[]),
            with_length(2, &u16s(&self.suites)),
            with_length(1, &self.compression),
            if self.extensions.is_empty() { Vec::new() } else { with_length(2, &extensions) },
        ]
        .concat();
        message(1, &body)
    }
    fn bytes(&self) -> Vec<u8> {
        records(&self.message(), &[])
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [vec![kind], with_length(3, body)].concat()
}

/// Handshake records of these lengths, then of the usual one until the message ends.
fn records(message: &[u8], lengths: &[usize]) -> Vec<u8> {
    let mut lengths = lengths.iter().copied().chain(std::iter::repeat(1 << 14));
    let mut rest = message;
    let mut out = Vec::new();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(lengths.next().unwrap_or(1).clamp(1, rest.len()));
        out.extend([22, 3, 1]);
        out.extend(with_length(2, now));
        rest = later;
    }
    out
}

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

// The lists in FoxIO's description of JA4, with values of RFC 8701 put in.
fn chrome() -> Made {
    let suites = [
        0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
        0x009c, 0x009d, 0x002f, 0x0035,
    ];
    Made::new(0x0303, &suites)
        .with(0x3a3a, vec![])
        .with(0x001b, vec![2, 0, 2])
        .name(b"example.com")
        .with(0x0033, vec![])
        .alpn(&[b"h2", b"http/1.1"])
        .with(0x4469, vec![])
        .with(0x0017, vec![])
        .with(0x002d, vec![1, 1])
        .schemes(&[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601])
        .with(0x0005, vec![1, 0, 0, 0, 0])
        .with(0x0023, vec![])
        .with(0x0012, vec![])
        .versions(&[0x6a6a, 0x0304, 0x0303])
        .with(0xff01, vec![0])
        .points(&[0])
        .groups(&[0x8a8a, 0x001d, 0x0017, 0x0018])
        .with(0xdada, vec![0])
        .with(0x0015, vec![0; 3])
}

#[test]
fn ja4_is_what_its_authors_say() {
    let bytes = chrome().bytes();
    let hello = hello(&bytes);
    assert_eq!(hello.ja4(), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    assert_eq!(
        hello.ja4_raw(),
        "t13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9\
         _0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01\
         _0403,0804,0401,0503,0805,0501,0806,0601"
    );

    let mut without_schemes = chrome();
    without_schemes.extensions.retain(|(kind, _)| *kind != 13);
    // Their second example has 000d in its list although no scheme is there: an unknown extension takes its place.
    let bytes = without_schemes.with(0x0099, vec![]).bytes();
    assert!(!self::hello(&bytes).ja4_raw().ends_with('_'));

    for (why, protocol, expect) in [
        ("http/1.1", &b"http/1.1"[..], "h1"),
        ("one character stands for both", b"a", "aa"),
        ("one byte in hex", b"\xab", "ab"),
        ("two bytes in hex", b"\xab\xcd", "ad"),
        ("a digit and a byte", b"\x30\xab", "3b"),
        ("longer", b"\x30\x31\xab\xcd", "3d"),
        ("both ends are digits", b"\x30\xab\xcd\x31", "01"),
    ] {
        let bytes = Made::new(0x0303, &[0x1301]).alpn(&[protocol]).bytes();
        assert_eq!(self::hello(&bytes).ja4()[8..10], *expect, "{why}");
    }
    let bytes = Made::new(0x0301, &[0x0a0a]).bytes();
    assert_eq!(self::hello(&bytes).ja4(), "t10i000000_000000000000_000000000000", "nothing to hash");
    let bytes = Made::new(0x0303, &(0..120).collect::<Vec<_>>()).name(b"a").bytes();
    assert!(self::hello(&bytes).ja4().starts_with("t12d990100_"), "99 is the most");
}

#[test]
fn ja3_is_what_its_authors_say() {
    let first = Made::new(769, &[47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4])
        .name(b"a.example")
        .groups(&[23, 24, 25])
        .points(&[0]);
    let second = Made::new(769, &[4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99]);
    for (made, raw, hash) in [
        (
            first,
            "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0",
            "ada70206e40642a3e4461f35503241d5",
        ),
        (second, "769,4-5-10-9-100-98-3-6-19-18-99,,,", "de350869b8c85de67a350c8d186f11e6"),
    ] {
        let bytes = made.bytes();
        let hello = hello(&bytes);
        assert_eq!((&hello.ja3_raw()[..], &hello.ja3()[..]), (raw, hash));
    }
    let bytes = chrome().bytes();
    let raw = hello(&bytes).ja3_raw();
    assert!(raw.starts_with("771,4865-4866-4867-"), "invented values are left out: {raw}");
    assert!(raw.ends_with(",27-0-51-16-17513-23-45-13-5-35-18-43-65281-11-10-21,29-23-24,0"), "{raw}");
}

const RUSTLS_SUITES: [u16; 9] = [0x1301, 0x1302, 0x1303, 0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9];

#[test]
fn a_client_is_served_by_the_modern_stack_when_it_can_do_what_that_does() {
    use KeyKind::{EcdsaP256, EcdsaP384, Rsa};
    const BOTH: (bool, bool) = (true, true);
    const ONLY12: (bool, bool) = (true, false);
    const ONLY13: (bool, bool) = (false, true);
    let tls12 = |suites: &[u16]| {
        Made::new(0x0303, suites).groups(&[29, 23]).points(&[0, 1]).schemes(&[0x0403, 0x0804, 0x0401])
    };
    let tls13 = |suites: &[u16]| tls12(suites).versions(&[0x0304, 0x0303]);
    let without = |mut made: Made, kind: u16| {
        made.extensions.retain(|(there, _)| *there != kind);
        made
    };
    for (why, made, versions, keys, expect) in [
        ("TLS 1.3", tls13(&[0x1301]), BOTH, &[Rsa][..], Ok(0x0304)),
        ("TLS 1.3 alone", tls13(&[0x1301]), ONLY13, &[EcdsaP256], Ok(0x0304)),
        ("it could do 1.3, we do not", tls13(&[0x1301, 0xc02f]), ONLY12, &[Rsa], Ok(0x0303)),
        ("only suites of 1.3 for 1.2", tls13(&[0x1301]), ONLY12, &[Rsa], Err(Misfit::Suite)),
        (
            "a suite of 1.3 that rustls has not: no way back to 1.2",
            tls13(&[0x1304, 0xc02f]),
            BOTH,
            &[Rsa],
            Err(Misfit::Suite),
        ),
        ("1.2 for a server of 1.3", tls12(&[0xc02f]), ONLY13, &[Rsa], Err(Misfit::Version)),
        ("1.2, GCM", tls12(&[0xc02f]), BOTH, &[Rsa], Ok(0x0303)),
        ("1.2, GCM behind CBC", tls12(&[0xc013, 0xc02f]), BOTH, &[Rsa], Ok(0x0303)),
        ("1.2, CBC alone", tls12(&[0xc013, 0x002f]), BOTH, &[Rsa], Err(Misfit::Suite)),
        ("1.2, static RSA", tls12(&[0x009c]), BOTH, &[Rsa], Err(Misfit::Suite)),
        ("the suite is for ECDSA, the key is RSA", tls12(&[0xc02b]), BOTH, &[Rsa], Err(Misfit::Suite)),
        ("the suite is for ECDSA, one key is", tls12(&[0xc02b]), BOTH, &[Rsa, EcdsaP256], Ok(0x0303)),
        (
            "ECDSA on a curve that it cannot check",
            tls12(&[0xc02b]),
            BOTH,
            &[EcdsaP384],
            Err(Misfit::Signature),
        ),
        (
            "ECDSA on that curve beside RSA without its suite",
            tls12(&[0xc02b]),
            BOTH,
            &[EcdsaP384, Rsa],
            Err(Misfit::Suite),
        ),
        ("PKCS #1 alone in 1.2", without(tls12(&[0xc02f]), 13).schemes(&[0x0401]), BOTH, &[Rsa], Ok(0x0303)),
        (
            "PKCS #1 alone in 1.3",
            without(tls13(&[0x1301]), 13).schemes(&[0x0401]),
            BOTH,
            &[Rsa],
            Err(Misfit::Signature),
        ),
        (
            "SHA-1 alone",
            without(tls12(&[0xc02f]), 13).schemes(&[0x0201]),
            BOTH,
            &[Rsa],
            Err(Misfit::Signature),
        ),
        ("no schemes named", without(tls12(&[0xc02f]), 13), BOTH, &[Rsa], Err(Misfit::Signature)),
        ("no groups named", without(tls12(&[0xc02f]), 10), BOTH, &[Rsa], Err(Misfit::Group)),
        ("no group in common", without(tls12(&[0xc02f]), 10).groups(&[25]), BOTH, &[Rsa], Err(Misfit::Group)),
        (
            "a hybrid group alone in 1.2",
            without(tls12(&[0xc02f]), 10).groups(&[0x11ec]),
            BOTH,
            &[Rsa],
            Err(Misfit::Group),
        ),
        (
            "a hybrid group alone in 1.3",
            without(tls13(&[0x1302]), 10).groups(&[0x11ec]),
            BOTH,
            &[Rsa],
            Ok(0x0304),
        ),
        ("no point formats named", without(tls12(&[0xc02f]), 11), BOTH, &[Rsa], Ok(0x0303)),
        (
            "compressed points alone",
            without(tls12(&[0xc02f]), 11).points(&[1]),
            BOTH,
            &[Rsa],
            Err(Misfit::PointFormat),
        ),
        (
            "compression",
            Made { compression: vec![1], ..tls12(&[0xc02f]) },
            BOTH,
            &[Rsa],
            Err(Misfit::Compression),
        ),
        ("TLS 1.1", Made { version: 0x0302, ..tls12(&[0xc013]) }, BOTH, &[Rsa], Err(Misfit::Version)),
        ("it says 1.1 in the list", tls12(&[0xc02f]).versions(&[0x0302]), BOTH, &[Rsa], Err(Misfit::Version)),
        ("no certificate", tls12(&[0xc02f]), BOTH, &[], Err(Misfit::Signature)),
    ] {
        let offer = Offer {
            tls12: versions.0,
            tls13: versions.1,
            suites: &RUSTLS_SUITES,
            groups: &[29, 23, 24, 0x11ec],
            keys,
        };
        let bytes = made.bytes();
        let hello = hello(&bytes);
        assert_eq!(hello.fits(&offer), expect, "{why}");
        assert_eq!(hello.is_served_by(&offer), expect.is_ok());
    }
    assert_eq!(Misfit::Suite.code(), "tls_no_suite_in_common");
}

#[test]
fn real_clients_are_told_apart() {
    for (why, bytes, suites, expect) in [
        ("a modern client", MODERN, &RUSTLS_SUITES[..], Ok(0x0304)),
        ("a policy with one suite of 1.2", MODERN, &[0xc02f], Ok(0x0303)),
        (
            "a policy with one suite of 1.3 that the client has not",
            MODERN,
            &[0x1304, 0xc02f],
            Err(Misfit::Suite),
        ),
        ("a policy without suites", MODERN, &[], Err(Misfit::Version)),
        ("a client with one old suite", ONE_OLD_SUITE, &RUSTLS_SUITES, Err(Misfit::Group)),
        ("a client of TLS 1.0", TLS10, &RUSTLS_SUITES, Err(Misfit::Version)),
    ] {
        let bytes = hex::decode(bytes).unwrap();
        let offer = Offer { tls12: true, tls13: true, suites, groups: &[29, 23, 24], keys: &[KeyKind::Rsa] };
        assert_eq!(hello(&bytes).fits(&offer), expect, "{why}");
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
