//! What we foretell of rustls and what it does, for real clients and for what policies may allow.

use std::{collections::BTreeMap, sync::Arc};

use model::{CertificateId, TlsVersion, listener::SniMatch};
use plan::{CertificatePlan, TlsPlan};
use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    PKCS_RSA_SHA256, SignatureAlgorithm,
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    crypto::aws_lc_rs::{self, kx_group},
    pki_types::ServerName,
    server::UnbufferedServerConnection,
    version::{TLS12, TLS13},
};
use uuid::Uuid;
use wire::client_hello::{ClientHello, HelloParse};

use super::super::{
    Terms,
    handshake::{Handshake, Progress},
    held::Held,
    shown::ShownCertificates,
    terms::Modern,
};

/// Clients and the records that they began with.
fn hellos() -> Vec<(String, Vec<u8>)> {
    let stored = include_str!("../../../tests/data/client_hellos.txt");
    let stored = stored.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (name, hex) = line.split_once('|').unwrap();
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (name.to_owned(), (0..hex.len()).step_by(2).map(byte).collect())
    });
    stored.chain(rustls_hellos()).collect()
}

/// Those of rustls itself, by version, group and suite.
fn rustls_hellos() -> Vec<(String, Vec<u8>)> {
    let mut hellos = Vec::new();
    let all = aws_lc_rs::default_provider();
    for (versions, said) in [(&[&TLS12, &TLS13][..], "both"), (&[&TLS12], "1.2"), (&[&TLS13], "1.3")] {
        let mut say = |what: String, provider: rustls::crypto::CryptoProvider| {
            let builder =
                ClientConfig::builder_with_provider(provider.into()).with_protocol_versions(versions);
            // A suite of the other version alone is nothing to begin with.
            let Ok(builder) = builder else { return };
            let config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
            let name = ServerName::try_from("app.example.com").unwrap();
            let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            hellos.push((format!("rustls {said} {what}"), bytes));
        };
        say("all".to_owned(), all.clone());
        for group in [kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1, kx_group::X25519MLKEM768] {
            let mut provider = all.clone();
            provider.kx_groups = vec![group];
            say(format!("{:?}", group.name()), provider);
        }
        for suite in &all.cipher_suites {
            let mut provider = all.clone();
            provider.cipher_suites = vec![*suite];
            say(format!("{:?}", suite.suite()), provider);
        }
    }
    hellos
}

fn certificate(algorithm: &'static SignatureAlgorithm) -> Arc<CertificatePlan> {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let certificate = CertificateParams::new(vec!["t".to_owned()]).unwrap().self_signed(&key).unwrap();
    Arc::new(CertificatePlan {
        id: CertificateId::new(Uuid::from_u128(1)),
        chain_der: vec![certificate.der().to_vec()],
        key_der: key.serialize_der(),
    })
}

/// Whether rustls answers with its part of a handshake, rather than with an alert.
fn goes_on(modern: &Modern, hello: &[u8]) -> bool {
    let server = UnbufferedServerConnection::new(modern.config.clone()).unwrap();
    let (mut incoming, mut sealed) = (hello.to_vec(), Held::default());
    match Handshake::Server(server).advance(&mut incoming, &mut Held::default(), &mut sealed) {
        Ok(progress) => {
            assert_eq!(progress, Progress::NeedsInput);
            assert!(!sealed.is_empty(), "it said something");
            true
        }
        Err(_) => false,
    }
}

#[test]
fn rustls_goes_on_with_exactly_the_clients_that_we_say_it_serves() {
    const ALL: &str = "ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-CHACHA20-POLY1305 \
        ECDHE-RSA-AES256-GCM-SHA384 ECDHE-RSA-AES128-GCM-SHA256 ECDHE-RSA-CHACHA20-POLY1305 \
        TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256";
    let hellos = hellos();
    let (rsa, p256) = (certificate(&PKCS_RSA_SHA256), certificate(&PKCS_ECDSA_P256_SHA256));
    let (p384, ed25519) = (certificate(&PKCS_ECDSA_P384_SHA384), certificate(&PKCS_ED25519));
    let shown = ShownCertificates::new(None);
    let (mut served, mut refused) = (0, 0);
    for certificates in [
        vec![&rsa],
        vec![&p256],
        vec![&p384],
        vec![&ed25519],
        vec![&p256, &rsa],
        vec![&rsa, &p384],
        vec![&ed25519, &p384],
    ] {
        for (versions, suites) in [
            (&[TlsVersion::V13, TlsVersion::V12][..], ALL),
            (&[TlsVersion::V13], ALL),
            (&[TlsVersion::V12], ALL),
            (&[TlsVersion::V13, TlsVersion::V12], "TLS_AES_256_GCM_SHA384 ECDHE-RSA-AES128-GCM-SHA256"),
            (
                &[TlsVersion::V13, TlsVersion::V12],
                "ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-RSA-AES256-GCM-SHA384",
            ),
            (&[TlsVersion::V12], "ECDHE-ECDSA-AES128-GCM-SHA256"),
            (&[TlsVersion::V13], "TLS_CHACHA20_POLY1305_SHA256"),
        ] {
            let plan = Arc::new(TlsPlan {
                certificates: certificates.iter().map(|one| Arc::clone(one)).collect(),
                default: (0..certificates.len()).collect(),
                names: BTreeMap::new(),
                sni_match: SniMatch::Wildcard,
                client_ca: None,
                versions: versions.to_vec(),
                suites: suites.split_whitespace().map(str::to_owned).collect(),
                http: true,
                alpn_h2: true,
                early_data: false,
            });
            let terms = Terms::new(&shown, &plan, None).unwrap();
            let modern = terms.modern.as_ref().unwrap();
            for (client, bytes) in &hellos {
                let says = match ClientHello::parse(bytes) {
                    Ok(HelloParse::Complete(hello)) => modern.offer.serves(&plan, &hello),
                    Ok(_) => panic!("{client}: not a whole hello"),
                    // rustls gets those, too, and has to refuse them.
                    Err(_) => false,
                };
                let kinds = &modern.offer.kinds;
                assert_eq!(
                    says,
                    goes_on(modern, bytes),
                    "client {client:?} for {versions:?} with {suites:?} and keys {kinds:?}"
                );
                *if says { &mut served } else { &mut refused } += 1;
            }
        }
    }
    assert!(served > 500 && refused > 500, "both are there in numbers: {served} and {refused}");
}
