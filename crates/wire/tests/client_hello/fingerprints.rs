//! JA3 and JA4.

use crate::made::{Made, hello};

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
