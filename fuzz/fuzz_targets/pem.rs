//! A chain in PEM, a NUL byte, a key: what a caller sends as a certificate.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::CertificateKind;

#[allow(dead_code, unreachable_pub, reason = "the control crate uses all of it")]
#[path = "../../crates/control/src/certificate/pem.rs"]
mod pem;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = str::from_utf8(input) else { return };
    let (chain, key) = text.split_once('\0').map_or((text, None), |(chain, key)| (chain, Some(key)));
    for kind in [CertificateKind::Server, CertificateKind::ClientCa, CertificateKind::ServerSm] {
        let facts = match pem::certificate_facts(kind, chain, key) {
            Ok(facts) => facts,
            Err(fault) => {
                assert!(fault.code().starts_with("pem_") && !fault.to_string().is_empty());
                continue;
            }
        };
        assert_eq!(facts.fingerprint.len(), 59, "twenty bytes in hex with colons");
        // How the text is set does not matter.
        if chain.len() < 16_384 && !chain.contains('\r') {
            let crlf = format!("a remark\n{}\n\nanother", chain.replace('\n', "\r\n"));
            assert_eq!(pem::certificate_facts(kind, &crlf, key), Ok(facts));
        }
        // A section that does not belong there is never passed over.
        let more = format!("{chain}\n-----BEGIN X-----\nAQID\n-----END X-----\n");
        assert!(pem::certificate_facts(kind, &more, key).is_err());
    }
});
