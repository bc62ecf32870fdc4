//! OCSP: whom to ask what about which certificate, and which answers may be stapled.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "rig/ocsp.rs"]
mod rig;

use proptest::prelude::{ProptestConfig, any, proptest};
use rig::{Answer, Authority, GOOD, Issued, REVOKED, SHA256, UNKNOWN, refused};
use wire::ocsp::{AnswerFault, CertificateStatus, Statement, Subject, SubjectFault};

/// 2026-01-11.
const NOW: i64 = 1_768_089_600;
const URL: &str = "http://ocsp.example.com/x";

fn subject(authority: &Authority, serial: u8) -> Subject {
    Subject::of(&[authority.server(serial, &[URL]).der, authority.der.clone()]).unwrap().unwrap()
}

#[test]
fn an_answer_is_stapled_only_when_it_is_ours_true_and_in_force() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let namesake = Authority::new("ours");
    let signer = ours.signer(true, (0, 365));
    let no_signer = ours.signer(false, (0, 365));
    let former_signer = ours.signer(true, (0, 5));
    let later_signer = ours.signer(true, (20, 365));
    let strange_signer = other.signer(true, (0, 365));
    let namesakes_signer = namesake.signer(true, (0, 365));
    let by = |signer: &Issued| -> (Vec<u8>, Vec<u8>) {
        let signed = |by_name| {
            Answer { signer: Some(signer), by_name, certificates: vec![&signer.der], ..ours.answer(7, NOW) }
                .der()
        };
        (signed(false), signed(true))
    };
    let answer = || ours.answer(7, NOW);
    let flipped = |at: usize| {
        let mut bytes = answer().der();
        let at = bytes.len() - at;
        bytes[at] ^= 1;
        bytes
    };
    let fine = |status, until| Ok(Statement { status, this_update: NOW, valid_until: until });
    let good = fine(CertificateStatus::Good, NOW + 3600);
    let held = |from: i64, to: i64| {
        Ok(Statement { status: CertificateStatus::Good, this_update: from, valid_until: to })
    };
    let subject = subject(&ours, 7);
    for (why, bytes, expect) in [
        ("good, by the issuer", answer().der(), good),
        ("the issuer by its name", Answer { by_name: true, ..answer() }.der(), good),
        ("the issuer with its certificate", Answer { certificates: vec![&ours.der], ..answer() }.der(), good),
        ("a delegate by its key", by(&signer).0, good),
        ("a delegate by its name", by(&signer).1, good),
        (
            "revoked is said, too",
            Answer { status: REVOKED, ..answer() }.der(),
            fine(CertificateStatus::Revoked, NOW + 3600),
        ),
        ("another certificate first", Answer { other_first: true, ..answer() }.der(), good),
        ("an extension", Answer { extension: Some(false), ..answer() }.der(), good),
        ("no end: an hour", Answer { next_update: None, ..answer() }.der(), good),
        (
            "the responder's clock is 5 min ahead",
            Answer { this_update: NOW + 300, ..answer() }.der(),
            held(NOW + 300, NOW + 3600),
        ),
        (
            "old and in force",
            Answer { this_update: NOW - 9000, ..answer() }.der(),
            held(NOW - 9000, NOW + 3600),
        ),
        ("a moment is left", Answer { next_update: Some(NOW + 10), ..answer() }.der(), held(NOW, NOW + 10)),
        (
            "too little is left",
            Answer { next_update: Some(NOW + 9), ..answer() }.der(),
            Err(AnswerFault::Expired),
        ),
        ("over", Answer { next_update: Some(NOW - 1), ..answer() }.der(), Err(AnswerFault::Expired)),
        (
            "no end, and older than an hour",
            Answer { this_update: NOW - 3600, next_update: None, ..answer() }.der(),
            Err(AnswerFault::Expired),
        ),
        ("for later", Answer { this_update: NOW + 301, ..answer() }.der(), Err(AnswerFault::NotYet)),
        ("unknown", Answer { status: UNKNOWN, ..answer() }.der(), Err(AnswerFault::UnknownCertificate)),
        ("another serial number", ours.answer(8, NOW).der(), Err(AnswerFault::OtherCertificate)),
        ("another issuer's", Answer { about: &other, ..answer() }.der(), Err(AnswerFault::OtherCertificate)),
        ("a namesake's", Answer { about: &namesake, ..answer() }.der(), Err(AnswerFault::OtherCertificate)),
        (
            "named by another hash",
            Answer { hash: SHA256, ..answer() }.der(),
            Err(AnswerFault::OtherCertificate),
        ),
        (
            "signed by another authority",
            Answer { about: &ours, ..other.answer(7, NOW) }.der(),
            Err(AnswerFault::Signer),
        ),
        (
            "the same with its certificate",
            Answer { about: &ours, certificates: vec![&other.der], ..other.answer(7, NOW) }.der(),
            Err(AnswerFault::Signer),
        ),
        (
            "a namesake of the issuer",
            Answer { about: &ours, by_name: true, ..namesake.answer(7, NOW) }.der(),
            Err(AnswerFault::Signature),
        ),
        ("a delegate that may not", by(&no_signer).0, Err(AnswerFault::Signer)),
        ("a delegate no more", by(&former_signer).0, Err(AnswerFault::Signer)),
        ("a delegate not yet", by(&later_signer).0, Err(AnswerFault::Signer)),
        ("a delegate of another authority", by(&strange_signer).0, Err(AnswerFault::Signer)),
        ("a delegate of a namesake", by(&namesakes_signer).0, Err(AnswerFault::Signer)),
        (
            "a delegate that is not shown",
            Answer { signer: Some(&signer), ..answer() }.der(),
            Err(AnswerFault::Signer),
        ),
        (
            "a critical extension",
            Answer { extension: Some(true), ..answer() }.der(),
            Err(AnswerFault::CriticalExtension),
        ),
        ("a wrong signature", flipped(1), Err(AnswerFault::Signature)),
        ("try later", refused(3), Err(AnswerFault::Refused(3))),
        ("unauthorized", refused(6), Err(AnswerFault::Refused(6))),
        ("successful, and nothing more", refused(0), Err(AnswerFault::Malformed)),
        ("nothing", vec![], Err(AnswerFault::Malformed)),
        ("a page", b"<html>404</html>".to_vec(), Err(AnswerFault::Malformed)),
        ("something behind it", [answer().der(), vec![0]].concat(), Err(AnswerFault::Malformed)),
    ] {
        assert_eq!(subject.check(&bytes, NOW), expect, "{why}");
    }
}

#[test]
fn an_authority_of_rsa_is_believed_too() {
    let authority = Authority::with("rsa", &rcgen::PKCS_RSA_SHA256);
    let subject = subject(&authority, 7);
    assert!(subject.check(&authority.answer(7, NOW).der(), NOW).is_ok());
    let mut wrong = authority.answer(7, NOW).der();
    *wrong.last_mut().unwrap() ^= 1;
    assert_eq!(subject.check(&wrong, NOW), Err(AnswerFault::Signature));
}

/// Seeds of the fuzz target, made by Python's cryptography.
#[test]
fn answers_of_another_implementation_are_read() {
    let file =
        |name: &str| std::fs::read(format!("{}/../../fuzz/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let chain = [file("certificates/leaf.der"), file("certificates/issuer.der")];
    let subject = Subject::of(&chain).unwrap().unwrap();
    assert_eq!(subject.responders()[0].to_string(), "http://o/x");
    for (name, expect) in [
        ("good", Ok(CertificateStatus::Good)),
        ("by_name", Ok(CertificateStatus::Good)),
        ("delegate", Ok(CertificateStatus::Good)),
        ("nonce", Ok(CertificateStatus::Good)),
        ("no_end", Ok(CertificateStatus::Good)),
        ("revoked", Ok(CertificateStatus::Revoked)),
        ("unknown", Err(AnswerFault::UnknownCertificate)),
        ("expired", Err(AnswerFault::Expired)),
        ("another", Err(AnswerFault::OtherCertificate)),
        ("stranger", Err(AnswerFault::Signer)),
        ("try_later", Err(AnswerFault::Refused(3))),
    ] {
        // The first byte is for the fuzz target.
        let found = subject.check(&file(&format!("seeds/ocsp_answer/{name}"))[1..], NOW);
        assert_eq!(found.map(|statement| statement.status), expect, "{name}");
    }
}

#[test]
fn a_certificate_can_be_asked_about_when_it_names_a_responder_and_its_issuer_is_there() {
    let (ours, other, namesake) = (Authority::new("ours"), Authority::new("other"), Authority::new("ours"));
    let mute = ours.server(7, &[]).der;
    let named = |urls: &[&str]| ours.server(7, urls).der;
    let ours = ours.der.clone();
    let asks = |targets: &[&str]| Ok(Some(targets.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>()));
    let six = ["http://a/", "http://b/", "http://c/", "http://d/", "http://e/", "http://f/"];
    for (why, chain, expect) in [
        ("issuer behind", vec![named(&[URL]), ours.clone()], asks(&[URL])),
        ("issuer further behind", vec![named(&[URL]), other.der.clone(), ours.clone()], asks(&[URL])),
        ("behind a namesake", vec![named(&[URL]), namesake.der.clone(), ours.clone()], asks(&[URL])),
        (
            "two responders",
            vec![named(&["https://no", "http://a/", URL]), ours.clone()],
            asks(&["http://a/", URL]),
        ),
        ("too many responders", vec![named(&six), ours.clone()], asks(&six[..4])),
        ("no responder", vec![mute, ours.clone()], Ok(None)),
        ("no responder by HTTP", vec![named(&["https://no"]), ours.clone()], Err(SubjectFault::NoResponder)),
        ("no issuer", vec![named(&[URL])], Err(SubjectFault::NoIssuer)),
        ("another issuer", vec![named(&[URL]), other.der.clone()], Err(SubjectFault::NoIssuer)),
        ("a namesake of the issuer", vec![named(&[URL]), namesake.der.clone()], Err(SubjectFault::NoIssuer)),
        ("no certificate", vec![vec![1, 2, 3]], Err(SubjectFault::Unreadable)),
        ("nothing", vec![], Err(SubjectFault::Unreadable)),
    ] {
        let found = Subject::of(&chain).map(|subject| {
            subject.map(|subject| subject.responders().iter().map(ToString::to_string).collect::<Vec<_>>())
        });
        assert_eq!(found, expect, "{why}");
    }
}

#[test]
fn the_request_names_the_certificate_as_the_answer_does() {
    let authority = Authority::new("ours");
    let request = subject(&authority, 7).request();
    let answer = authority.answer(7, NOW).der();
    // SEQUENCE { SEQUENCE { SEQUENCE { SEQUENCE { CertID } } } }, all short.
    let (heads, id) = request.split_at(8);
    assert_eq!([heads[0], heads[2], heads[4], heads[6]], [0x30; 4]);
    assert_eq!(
        [heads[1], heads[3], heads[5], heads[7]].map(usize::from),
        [6, 4, 2, 0].map(|more| id.len() + more)
    );
    assert!(answer.windows(id.len()).any(|window| window == id));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) })]

    #[test]
    fn a_changed_answer_is_worth_nothing(at in any::<u16>(), bit in 0..8u8) {
        thread_local! {
            static MADE: (Subject, Vec<u8>) = {
                let ours = Authority::new("ours");
                (subject(&ours, 7), Answer { status: GOOD, ..ours.answer(7, NOW) }.der())
            };
        }
        MADE.with(|(subject, answer)| {
            let mut changed = answer.clone();
            let at = usize::from(at) % changed.len();
            changed[at] ^= 1 << bit;
            assert!(subject.check(&changed, NOW).is_err(), "byte {at}, bit {bit}");
            assert!(subject.check(&answer[..at], NOW).is_err(), "cut at {at}");
        });
    }
}
