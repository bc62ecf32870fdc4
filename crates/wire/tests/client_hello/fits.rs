//! Which clients the modern stack serves.

use wire::client_hello::{KeyKind, Misfit, Offer};

use crate::made::{MODERN, Made, ONE_OLD_SUITE, TLS10, hello};

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
