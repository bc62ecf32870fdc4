//! The first byte says what the rest is: the bytes of a connection (even), or the content of a ClientHello (odd), which is then
//! given its lengths and a record so that the fuzzer need not guess them.
#![no_main]

use fulcrum_fuzz::cut::{pieces, seed};
use libfuzzer_sys::fuzz_target;
use wire::client_hello::{
    CLIENT_HELLO_BYTES_MAX, ClientHello, ClientHelloError, HelloParse, KeyKind, NotTls, Offer, RECORDS_MAX,
    TLS12, TLS13, is_host_name,
};

fuzz_target!(|input: &[u8]| {
    let Some((&kind, rest)) = input.split_first() else { return };
    if kind % 2 == 0 {
        cuts_make_no_difference(rest);
        return;
    }
    let message = [&[1, 0][..], &(rest.len() as u16).to_be_bytes(), rest].concat();
    let whole = in_records(&[&message[..]]);
    cuts_make_no_difference(&whole);
    let pieces = pieces(&message, seed(&message));
    if pieces.len() < RECORDS_MAX {
        let (whole, cut) = (seen(&whole), seen(&in_records(&pieces)));
        // What is wrong may be seen before the hello is whole, but never what is right.
        assert_eq!(whole, cut, "records make a difference");
    }
});

#[derive(Debug, PartialEq)]
enum Seen {
    Hello(Vec<String>),
    Partial(usize),
    NotTls(NotTls),
    Bad(ClientHelloError),
}

fn seen(bytes: &[u8]) -> Seen {
    match ClientHello::parse(bytes) {
        Ok(HelloParse::Complete(hello)) => {
            let facts = facts(&hello);
            assert_eq!(facts, self::facts(&hello.into_owned()));
            Seen::Hello(facts)
        }
        Ok(HelloParse::Partial { needed }) => {
            assert!(needed > bytes.len() && needed <= CLIENT_HELLO_BYTES_MAX);
            Seen::Partial(needed)
        }
        Ok(HelloParse::NotTls(other)) => Seen::NotTls(other),
        Err(error) => Seen::Bad(error),
    }
}

fn facts(hello: &ClientHello<'_>) -> Vec<String> {
    let (ja3, ja4) = (hello.ja3(), hello.ja4());
    assert!(ja3.len() == 32 && ja4.len() == 36, "{ja3} {ja4}");
    assert!(ja4.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{ja4}");
    assert!(hello.sni().is_none_or(is_host_name));
    assert!(hello.alpn().all(|name| !name.is_empty()));
    assert!(hello.cipher_suites().count() > 0);
    let offer = Offer {
        tls12: true,
        tls13: true,
        suites: &[0x1301, 0xc02b, 0xc02f],
        groups: &[23, 29],
        keys: &[KeyKind::Rsa, KeyKind::EcdsaP256],
    };
    let fit = hello.fits(&offer);
    assert!(fit.is_err() || fit == Ok(TLS12) || fit == Ok(TLS13));
    assert!(fit.is_err() || fit.is_ok_and(|version| hello.speaks(version)));
    vec![
        hello.ja3_raw(),
        hello.ja4_raw(),
        format!("{:?} {:?} {fit:?}", hello.sni_bytes(), hello.alpn().collect::<Vec<_>>()),
        format!("{:?}", [hello.knows_tickets(), hello.has_ticket(), hello.has_psk(), hello.has_early_data()]),
    ]
}

/// A prefix is incomplete or has the outcome of the whole, and `needed` never asks for more than the hello has.
fn cuts_make_no_difference(bytes: &[u8]) {
    let whole = seen(bytes);
    let (mut end, mut needed) = (0, 0);
    for piece in pieces(bytes, seed(bytes)) {
        end += piece.len();
        match seen(&bytes[..end]) {
            Seen::Partial(now) => {
                assert!(now >= needed, "asks for less than before");
                needed = now;
            }
            early => {
                let legal = matches!(early, Seen::Hello(_) | Seen::NotTls(NotTls::Http));
                assert!(end >= needed || !legal, "was there before it was said to be");
                assert_eq!(early, whole, "after {end} bytes");
            }
        }
    }
}

fn in_records(pieces: &[&[u8]]) -> Vec<u8> {
    pieces
        .iter()
        .flat_map(|piece| [&[22, 3, 1][..], &(piece.len() as u16).to_be_bytes(), piece].concat())
        .collect()
}
