//! The first byte says what the rest is: a responder's answer about the certificate beside this file, a chain (the length of the leaf
//! in two bytes, the leaf, its issuer), or the address of a responder.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::ocsp::{AnswerFault, LEFT_SECONDS_MIN, RESPONDERS_MAX, Responder, SKEW_SECONDS, Subject};

fuzz_target!(|input: &[u8]| {
    let Some((&kind, rest)) = input.split_first() else { return };
    match kind % 3 {
        0 => answer(rest),
        1 => chain(rest),
        _ => {
            let Ok(url) = str::from_utf8(rest) else { return };
            if let Some(found) = Responder::parse(url) {
                sound(&found);
            }
        }
    }
});

/// 2026-01-11: all seeds are made for it.
const NOW: i64 = 1_768_089_600;

fn answer(bytes: &[u8]) {
    let chain =
        [&include_bytes!("../certificates/leaf.der")[..], include_bytes!("../certificates/issuer.der")];
    let subject = Subject::of(&chain.map(<[u8]>::to_vec));
    let subject = subject.expect("a chain").expect("with a responder");
    match subject.check(bytes, NOW) {
        Ok(statement) => {
            assert!(statement.this_update <= NOW + SKEW_SECONDS);
            assert!(statement.valid_until >= NOW + LEFT_SECONDS_MIN);
            assert_eq!(subject.check(bytes, statement.valid_until), Err(AnswerFault::Expired));
            assert!(subject.check(&[bytes, &[0]].concat(), NOW).is_err(), "something behind it");
            assert!(subject.check(&bytes[..bytes.len() - 1], NOW).is_err(), "cut off");
        }
        Err(fault) => assert!(fault.code().starts_with("ocsp_") && !fault.to_string().is_empty()),
    }
}

fn chain(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_at_checked(2) else { return };
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    let (leaf, issuer) = rest.split_at(length.min(rest.len()));
    match Subject::of(&[leaf.to_vec(), issuer.to_vec()]) {
        Ok(Some(subject)) => {
            assert!((1..=RESPONDERS_MAX).contains(&subject.responders().len()));
            subject.responders().iter().for_each(sound);
            assert!(subject.request().len() > 60 && subject.check(&subject.request(), NOW).is_err());
        }
        Ok(None) => {}
        Err(fault) => assert!(fault.code().starts_with("ocsp_")),
    }
}

/// It may be written into a request as it is, and is read again as it is written.
fn sound(responder: &Responder) {
    let words = [responder.authority(), responder.host(), responder.target()];
    assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_graphic())));
    assert!(responder.target().starts_with('/') && !responder.host().is_empty() && responder.port() > 0);
    assert_eq!(Responder::parse(&responder.to_string()).as_ref(), Some(responder));
}
