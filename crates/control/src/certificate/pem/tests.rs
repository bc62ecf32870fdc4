//! Each way in which a text can be wrong has its complaint.

use rcgen::{
    CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SigningKey,
    date_time_ymd,
};

use super::*;
use crate::testing::{AUTHORITY, RSA, SERVER, authority, authority_params, params, self_signed};

fn code(kind: CertificateKind, pem: &str, key: Option<&str>) -> &'static str {
    certificate_facts(kind, pem, key).map_or_else(|fault| fault.code(), |_| "ok")
}

fn server(pem: &str, key: &str) -> &'static str {
    code(CertificateKind::Server, pem, Some(key))
}

#[test]
fn a_text_is_certificates_and_nothing_else() {
    let (pem, key) = (SERVER.pem.as_str(), SERVER.key.as_str());
    let damaged = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
    for (why, text, expect) in [
        ("as made", pem.to_owned(), "ok"),
        ("with a remark in front", format!("subject=www\n{pem}"), "ok"),
        ("with Windows line ends", pem.replace('\n', "\r\n"), "ok"),
        ("with blank lines behind", format!("{pem}\n\n"), "ok"),
        ("empty", String::new(), "pem_no_certificate"),
        ("words", "no PEM".to_owned(), "pem_no_certificate"),
        ("a key", key.to_owned(), "pem_foreign_section"),
        ("a certificate and a key", format!("{pem}{key}"), "pem_foreign_section"),
        ("cut", pem[..pem.len() / 2].to_owned(), "pem_malformed"),
        ("no X.509", damaged.to_owned(), "pem_not_x509"),
        ("the second is no X.509", format!("{pem}{damaged}"), "pem_not_x509"),
        ("too long", format!("{pem}{}", "\n".repeat(CHAIN_LENGTH_MAX)), "pem_too_long"),
    ] {
        assert_eq!(server(&text, key), expect, "{why}");
    }
}

#[test]
fn a_key_is_one_readable_key_of_the_certificate() {
    let (pem, key) = (SERVER.pem.as_str(), SERVER.key.as_str());
    let section = |label: &str| format!("-----BEGIN {label}-----\nAQID\n-----END {label}-----\n");
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAQID\n-----END RSA PRIVATE KEY-----";
    for (why, text, expect) in [
        ("as made", key.to_owned(), "ok"),
        ("behind the name of its curve", format!("{}{key}", section("EC PARAMETERS")), "ok"),
        ("empty", String::new(), "pem_no_key"),
        ("twice", format!("{key}{key}"), "pem_several_keys"),
        ("encrypted", section("ENCRYPTED PRIVATE KEY"), "pem_encrypted_key"),
        ("encrypted in the old way", old.to_owned(), "pem_encrypted_key"),
        ("damaged", section("PRIVATE KEY"), "pem_unusable_key"),
        ("damaged RSA", section("RSA PRIVATE KEY"), "pem_unusable_key"),
        ("damaged EC", section("EC PRIVATE KEY"), "pem_unusable_key"),
        ("DSA", section("DSA PRIVATE KEY"), "pem_foreign_section"),
        ("a certificate", pem.to_owned(), "pem_foreign_section"),
        ("cut", key[..key.len() / 2].to_owned(), "pem_malformed"),
        ("another's of the same kind", self_signed(&["a"]).key, "pem_key_mismatch"),
        ("another's of another kind", RSA.key.clone(), "pem_key_mismatch"),
        ("too long", format!("{key}{}", "\n".repeat(KEY_LENGTH_MAX)), "pem_too_long"),
    ] {
        assert_eq!(server(pem, &text), expect, "{why}");
    }
    assert_eq!(code(CertificateKind::Server, pem, None), "pem_no_key");
    assert_eq!(code(CertificateKind::ServerSm, pem, None), "pem_no_key");
    assert_eq!(
        code(CertificateKind::ServerSm, pem, Some(&RSA.key)),
        "ok",
        "what it is for is not known here"
    );
    assert_eq!(code(CertificateKind::ClientCa, &AUTHORITY, None), "ok");
}

#[test]
fn keys_of_all_kinds_that_can_be_served_are_good() {
    for (algorithm, kind) in
        [(&PKCS_ECDSA_P384_SHA384, model::KeyKind::Ecc), (&PKCS_ED25519, model::KeyKind::Ecc)]
    {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let pem = params(&["a.example.com"]).self_signed(&key).unwrap().pem();
        let facts = certificate_facts(CertificateKind::Server, &pem, Some(&key.serialize_pem())).unwrap();
        assert_eq!(facts.key, kind, "{algorithm:?}");
    }
    let facts = certificate_facts(CertificateKind::Server, &RSA.pem, Some(&RSA.key)).unwrap();
    assert_eq!(facts.key, model::KeyKind::Rsa);
}

/// A leaf, and above it so many authorities, leaf first.
fn chain(above: usize) -> (Vec<String>, String) {
    let mut issuers: Vec<CertifiedIssuer<'static, KeyPair>> = vec![authority("root")];
    for n in 1..above {
        let name = format!("authority {n}");
        let key = KeyPair::generate().unwrap();
        let next = CertifiedIssuer::signed_by(authority_params(&name), key, issuers.last().unwrap()).unwrap();
        issuers.push(next);
    }
    let key = KeyPair::generate().unwrap();
    let leaf = params(&["www.example.com"]).signed_by(&key, issuers.last().unwrap()).unwrap();
    let above = issuers.iter().rev().map(|issuer| issuer.pem());
    (std::iter::once(leaf.pem()).chain(above).collect(), key.serialize_pem())
}

#[test]
fn a_chain_goes_from_the_leaf_to_the_root() {
    let (pems, key) = chain(3);
    for (why, order, expect) in [
        ("whole", &[0, 1, 2, 3][..], "ok"),
        ("without the root", &[0, 1, 2], "ok"),
        ("the leaf alone", &[0], "ok"),
        ("one left out", &[0, 2, 3], "pem_chain_order"),
        ("the authorities the wrong way round", &[0, 2, 1, 3], "pem_chain_order"),
        ("a stranger behind", &[0, 3], "pem_chain_order"),
        ("the leaf twice", &[0, 0, 1], "pem_chain_order"),
        ("the leaf last", &[3, 2, 1, 0], "pem_chain_order"),
    ] {
        let text: String = order.iter().map(|&n| pems[n].as_str()).collect();
        assert_eq!(server(&text, &key), expect, "{why}");
    }
    let said = certificate_facts(CertificateKind::Server, &format!("{}{}", pems[0], pems[2]), Some(&key));
    assert_eq!(
        said,
        Err(PemFault::ChainOrder { number: 1, subject: "www.example.com".to_owned() }),
        "it says which one"
    );
}

#[test]
fn the_name_of_the_issuer_is_not_enough() {
    let (pems, key) = chain(1);
    let impostor = authority("root").pem();
    assert_eq!(server(&format!("{}{}", pems[0], pems[1]), &key), "ok");
    assert_eq!(server(&format!("{}{impostor}", pems[0]), &key), "pem_chain_order");
}

#[test]
fn a_chain_has_at_most_eleven_certificates() {
    for (above, expect) in [(10, "ok"), (11, "pem_chain_too_long")] {
        let (pems, key) = chain(above);
        assert_eq!(server(&pems.concat(), &key), expect, "{}", above + 1);
    }
}

#[test]
fn authorities_may_stand_in_any_order_but_must_be_authorities() {
    let (one, two) = (authority("one").pem(), authority("two").pem());
    let of = |ca: IsCa| {
        let mut params = params(&["client"]);
        params.is_ca = ca;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    };
    for (why, text, expect) in [
        ("two", format!("{one}{two}"), "ok"),
        ("one that does not say", of(IsCa::NoCa), "ok"),
        ("one that says that it is none", of(IsCa::ExplicitNoCa), "pem_not_authority"),
        ("the second is none", format!("{one}{}", of(IsCa::ExplicitNoCa)), "pem_not_authority"),
        ("none", String::new(), "pem_no_certificate"),
    ] {
        assert_eq!(code(CertificateKind::ClientCa, &text, None), expect, "{why}");
    }
}

fn made(params: &CertificateParams, key: &impl SigningKey) -> String {
    params.self_signed(key).unwrap().pem()
}

#[test]
fn an_expired_certificate_is_good_and_says_when_it_ended() {
    let key = KeyPair::generate().unwrap();
    let mut params = params(&["old.example.com"]);
    (params.not_before, params.not_after) = (date_time_ymd(2001, 2, 3), date_time_ymd(2002, 3, 4));
    let facts =
        certificate_facts(CertificateKind::Server, &made(&params, &key), Some(&key.serialize_pem())).unwrap();
    assert_eq!(facts.not_before.millis(), 981_158_400_000);
    assert_eq!(facts.not_after.millis(), 1_015_200_000_000);
}

#[test]
fn facts_are_what_openssl_says() {
    let facts = certificate_facts(CertificateKind::ClientCa, ISRG_ROOT_X2, None).unwrap();
    assert_eq!(facts.common_name, "ISRG Root X2");
    assert_eq!(facts.fingerprint, "BD:B1:B9:3C:D5:97:8D:45:C6:26:14:55:F8:DB:95:C7:5A:D1:53:AF");
    assert_eq!(facts.key, model::KeyKind::Ecc);
    assert!(facts.alternative_names.is_empty());
}

#[test]
fn a_certificate_of_version_1_is_good() {
    // 'openssl x509 -req' makes them when nobody asks for extensions.
    assert_eq!(server(VERSION_1, VERSION_1_KEY), "ok");
    assert_eq!(server(VERSION_1, &SERVER.key), "pem_key_mismatch");
}

/// For this test alone.
const VERSION_1: &str = "-----BEGIN CERTIFICATE-----\n\
    MIIBMTCB1wIUIkuAm3iZ0qDuKDEl4A1XudEHhUowCgYIKoZIzj0EAwIwGjEYMBYG\n\
    A1UEAwwPd3d3LmV4YW1wbGUuY29tMCAXDTI2MTEyMTA5MjgyMloYDzIxMjYxMDI4\n\
    MDkyODIyWjAaMRgwFgYDVQQDDA93d3cuZXhhbXBsZS5jb20wWTATBgcqhkjOPQIB\n\
    BggqhkjOPQMBBwNCAAQuNdF6Oy46INarDcWxcUATAo3CQz9yjU8BZCsTJUMvGNik\n\
    F3Dl4EZj00NGPzM3d3LZDWiG+fLkqtdYknFz4apdMAoGCCqGSM49BAMCA0kAMEYC\n\
    IQD42zpLFrt0sO5VBJSrZ81E2cAYEcM57jwEEKENp670DwIhAJrZ8d5HFFZzJArG\n\
    EYKKYfcdJw+3IqP2hrrzC5lE/exu\n\
    -----END CERTIFICATE-----";
const VERSION_1_KEY: &str = "-----BEGIN EC PRIVATE KEY-----\n\
    MHcCAQEEIEvr/NVkuQHhB0fG1/x3JCorPz0mln9lFbkThlLzFjEuoAoGCCqGSM49\n\
    AwEHoUQDQgAELjXRejsuOiDWqw3FsXFAEwKNwkM/co1PAWQrEyVDLxjYpBdw5eBG\n\
    Y9NDRj8zN3dy2Q1ohvny5KrXWJJxc+GqXQ==\n\
    -----END EC PRIVATE KEY-----";

/// A public root, so that another tool's word on it is known.
const ISRG_ROOT_X2: &str = "-----BEGIN CERTIFICATE-----\n\
    MIICGzCCAaGgAwIBAgIQQdKd0XLq7qeAwSxs6S+HUjAKBggqhkjOPQQDAzBPMQsw\n\
    CQYDVQQGEwJVUzEpMCcGA1UEChMgSW50ZXJuZXQgU2VjdXJpdHkgUmVzZWFyY2gg\n\
    R3JvdXAxFTATBgNVBAMTDElTUkcgUm9vdCBYMjAeFw0yMDA5MDQwMDAwMDBaFw00\n\
    MDA5MTcxNjAwMDBaME8xCzAJBgNVBAYTAlVTMSkwJwYDVQQKEyBJbnRlcm5ldCBT\n\
    ZWN1cml0eSBSZXNlYXJjaCBHcm91cDEVMBMGA1UEAxMMSVNSRyBSb290IFgyMHYw\n\
    EAYHKoZIzj0CAQYFK4EEACIDYgAEzZvVn4CDCuwJSvMWSj5cz3es3mcFDR0HttwW\n\
    +1qLFNvicWDEukWVEYmO6gbf9yoWHKS5xcUy4APgHoIYOIvXRdgKam7mAHf7AlF9\n\
    ItgKbppbd9/w+kHsOdx1ymgHDB/qo0IwQDAOBgNVHQ8BAf8EBAMCAQYwDwYDVR0T\n\
    AQH/BAUwAwEB/zAdBgNVHQ4EFgQUfEKWrt5LSDv6kviejM9ti6lyN5UwCgYIKoZI\n\
    zj0EAwMDaAAwZQIwe3lORlCEwkSHRhtFcP9Ymd70/aTSVaYgLXTWNLxBo1BfASdW\n\
    tL4ndQavEi51mI38AjEAi/V3bNTIZargCyzuFJ0nN6T5U6VR5CmD1/iQMVtCnwr1\n\
    /q4AaOeMSQ+2b1tbFfLn\n\
    -----END CERTIFICATE-----";
