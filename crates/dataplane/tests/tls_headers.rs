//! What members are told of a client's TLS.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod rig;
#[path = "rig/tls.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod secured;

use std::sync::Arc;

use model::listener::{TlsHeader, TlsHeaderSwitch};
use plan::TlsPlan;
use rig::{Member, Rig, free_address, header, http, with_http};
use rustls::version::{TLS12, TLS13};
use secured::{Authority, Like, TlsClient, certificate, client_config, over_tls, tls_plan};

#[test]
fn members_are_told_of_the_clients_tls_and_not_by_the_client() {
    let member = Member::named("a");
    let address = free_address();
    let (authority, shown) = (Authority::new(), certificate(&["t"]));
    let plan = TlsPlan { client_ca: Some(authority.plan.clone()), ..tls_plan(&shown, &[]) };
    let all = [
        TlsHeader::CertificateId,
        TlsHeader::Protocol,
        TlsHeader::Cipher,
        TlsHeader::ClientSubject,
        TlsHeader::ClientFingerprint,
        TlsHeader::ClientVerify,
        TlsHeader::ClientCertificate,
        TlsHeader::ClientCiphers,
        TlsHeader::ClientEnd,
        TlsHeader::Alpn,
        TlsHeader::Sni,
        TlsHeader::Ja3,
        TlsHeader::Ja4,
    ];
    let alias = |header| (header == TlsHeader::Sni).then(|| "X-Name".to_owned());
    let listener = with_http(http(address, &[member.address]), |http| {
        let switch = |header| (header, TlsHeaderSwitch { enabled: true, alias: alias(header) });
        http.insert_headers.tls = all.into_iter().map(switch).collect();
    });
    let _rig = Rig::serving(over_tls(listener, plan));
    for (version, protocol, ja4) in [(&TLS12, "TLSv1.2", "t12d"), (&TLS13, "TLSv1.3", "t13d")] {
        let identity = Some(authority.client());
        let config = Arc::new(client_config(Like { version, identity, ..Like::default() }));
        let mut client = TlsClient::connect(address, &config, "www.example.test");
        let response = client.ask(
            "GET / HTTP/1.1\r\nHost: t\r\nX-Forwarded-TLS-Protocol: mine\r\nX-Name: mine\r\nX-Forwarded-Tls-Sni: mine\r\n\
             X-Forwarded-Clientcert-serialnumber: off\r\n\r\n",
        );
        assert_eq!(response.status(), 200);
        let head = member.heads.lock().unwrap().pop().unwrap();
        let told = |name: &str| header(&head, name).unwrap_or_else(|| panic!("{name} in {head}"));
        assert_eq!(told("X-Forwarded-TLS-Protocol"), protocol);
        assert_eq!(told("X-Forwarded-TLS-Certificate-ID"), shown.id.simple());
        assert_eq!(told("X-Name"), "www.example.test");
        assert_eq!(header(&head, "X-Forwarded-Tls-Sni"), None);
        assert_eq!(told("X-Forwarded-Clientcert-clientverify"), "SUCCESS");
        assert!(told("X-Forwarded-Clientcert").starts_with("-----BEGIN%20CERTIFICATE-----%0A"));
        assert!(told("X-Forwarded-Clientcert-subjectdn").starts_with("CN="));
        assert!(told("X-Forwarded-Clientcert-end").ends_with(" GMT"));
        assert_eq!(told("X-Forwarded-Clientcert-fingerprint").len(), 40);
        assert_eq!(told("X-Forwarded-Tls-Ja3").len(), 32);
        assert!(told("X-Forwarded-Tls-Ja4").starts_with(ja4), "{head}");
        let suites = told("X-Forwarded-Clientcert-ciphers");
        assert!(suites.split(':').any(|suite| suite == told("X-Forwarded-TLS-Cipher")), "{head}");
        assert_eq!(
            told("X-Forwarded-Clientcert-serialnumber"),
            "off",
            "what is switched off passes as it came"
        );
    }
}
