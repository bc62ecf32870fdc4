//! OCSP stapling: who gets a staple, which one, and that handshakes never wait for it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../../wire/tests/rig/ocsp.rs"]
mod authority;
mod rig;
#[path = "rig/tls.rs"]
#[allow(dead_code, reason = "this file uses its part")]
mod secured;

use std::{
    collections::VecDeque,
    io::{BufReader, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use authority::{Answer, Authority, REVOKED, UNKNOWN, refused};
use dataplane::{Config, OcspStapling};
use model::CertificateId;
use plan::CertificatePlan;
use rig::{Member, Request, Rig, eventually, free_address, http, number};
use rustls::{
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::{TLS12, TLS13},
};
use secured::{Like, TlsClient, client_config, over_tls, tls_plan};
use telemetry::Registry;
use uuid::Uuid;

/// A responder: says what it is told to, one thing after the other, the last one for ever; nothing: it hangs up.
struct Responder {
    url: String,
    /// Heads of requests.
    asked: Arc<Mutex<Vec<Request>>>,
    answers: Arc<Mutex<VecDeque<Vec<u8>>>>,
}

impl Responder {
    fn new(answers: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://localhost:{}/ocsp?x=1", listener.local_addr().unwrap().port());
        let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
        let answers: Arc<Mutex<VecDeque<Vec<u8>>>> = Arc::new(Mutex::new(answers.into_iter().collect()));
        let (heard, next) = (asked.clone(), answers.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(request) = Request::read(&mut BufReader::new(&mut stream)) else { continue };
                let answer = {
                    let mut next = next.lock().unwrap();
                    if next.len() > 1 { next.pop_front() } else { next.front().cloned() }
                };
                // The test looks at what was asked only when it was.
                heard.lock().unwrap().push(request);
                stream.write_all(&answer.unwrap_or_default()).unwrap();
            }
        });
        Self { url, asked, answers }
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn ok(answer: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
    [head.as_bytes(), answer].concat()
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// Shown by the authority to name that responder.
fn certificate(authority: &Authority, serial: u8, responders: &[&str]) -> Arc<CertificatePlan> {
    let issued = authority.server(serial, responders);
    Arc::new(CertificatePlan {
        id: CertificateId::new(Uuid::from_u128(number())),
        chain_der: vec![issued.der, authority.der.clone()],
        key_der: issued.key.serialize_der(),
    })
}

/// Where the answers go that clients get.
#[derive(Debug, Default)]
struct Seen(Mutex<Vec<u8>>);

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        staple: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = staple.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &known)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What a client that asks gets stapled; a request is served in any case.
fn staple(address: SocketAddr, version: &'static rustls::SupportedProtocolVersion) -> Vec<u8> {
    let seen = Arc::new(Seen::default());
    let mut config = client_config(Like { version, ..Like::default() });
    config.dangerous().set_certificate_verifier(seen.clone());
    let mut client = TlsClient::connect(address, &Arc::new(config), "t");
    assert_eq!(client.get("/").text(), "a");
    std::mem::take(&mut seen.0.lock().unwrap())
}

fn rig(local_responders: bool) -> Rig {
    let ocsp_stapling = Some(OcspStapling { local_responders });
    Rig::with_config(Config { workers: 2, ocsp_stapling, ..Config::default() })
}

fn failures(registry: &Registry, certificate: &CertificatePlan) -> u64 {
    registry.certificate(certificate.id).ocsp_failures.value()
}

fn valid_until(registry: &Registry, certificate: &CertificatePlan) -> u64 {
    registry.certificate(certificate.id).ocsp_valid_until.value()
}

#[test]
fn an_answer_is_stapled_for_every_version_as_soon_as_it_is_there() {
    let (member, authority, now) = (Member::named("a"), Authority::new("ours"), now());
    let answer = authority.answer(7, now).der();
    let responder = Responder::new([ok(&answer)]);
    let certificate = certificate(&authority, 7, &[&responder.url]);
    let (one, two) = (free_address(), free_address());
    let rig = rig(true);
    rig.apply(
        [one, two].map(|address| over_tls(http(address, &[member.address]), tls_plan(&certificate, &[]))),
    );
    eventually("a staple", || !staple(one, &TLS13).is_empty());
    for (address, version) in [(one, &TLS13), (one, &TLS12), (two, &TLS13), (two, &TLS12)] {
        assert_eq!(staple(address, version), answer, "{address} {version:?}");
    }
    assert_eq!(valid_until(&rig.registry, &certificate), u64::try_from(now + 3600).unwrap());
    assert_eq!(failures(&rig.registry, &certificate), 0);

    let asked = responder.asked.lock().unwrap();
    assert_eq!(asked.len(), 1, "listeners share what they show");
    let head = &asked[0].head;
    assert!(head.starts_with("POST /ocsp?x=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Content-Type: application/ocsp-request\r\n"), "{head}");
}

#[test]
fn what_cannot_be_believed_is_not_stapled_and_traffic_goes_on() {
    let (ours, other, now) = (Authority::new("ours"), Authority::new("other"), now());
    let good = ours.answer(7, now).der();
    let revoked = Answer { status: REVOKED, ..ours.answer(7, now) }.der();
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n{}", "x".repeat(70_000));
    let chunked = [
        format!(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
            good.len()
        )
        .as_bytes(),
        &good,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    let endless = [b"HTTP/1.0 200 OK\r\n\r\n", &good[..]].concat();
    let member = Member::named("a");
    for (why, said, stapled) in [
        ("good", ok(&good), Some(&good)),
        ("good in chunks, after an interim answer", chunked, Some(&good)),
        ("good until the connection ends", endless, Some(&good)),
        ("revoked is true", ok(&revoked), Some(&revoked)),
        ("unknown", ok(&Answer { status: UNKNOWN, ..ours.answer(7, now) }.der()), None),
        ("another certificate's", ok(&ours.answer(8, now).der()), None),
        ("another authority's", ok(&Answer { about: &ours, ..other.answer(7, now) }.der()), None),
        ("over", ok(&Answer { next_update: Some(now - 1), ..ours.answer(7, now) }.der()), None),
        ("try later", ok(&refused(3)), None),
        ("not found", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(), None),
        (
            "elsewhere",
            b"HTTP/1.1 302 Found\r\nLocation: http://localhost/\r\nContent-Length: 0\r\n\r\n".to_vec(),
            None,
        ),
        ("cut off", ok(&good)[..200].to_vec(), None),
        ("too long", long.into_bytes(), None),
        ("no HTTP", b"SSH-2.0-OpenSSH_9\r\n".to_vec(), None),
        ("nothing", Vec::new(), None),
    ] {
        let responder = Responder::new([said]);
        let certificate = certificate(&ours, 7, &[&responder.url]);
        let address = free_address();
        let rig = rig(true);
        rig.apply([over_tls(http(address, &[member.address]), tls_plan(&certificate, &[]))]);
        match stapled {
            Some(answer) => {
                eventually(why, || staple(address, &TLS13) == *answer);
                assert_eq!(failures(&rig.registry, &certificate), 0, "{why}");
            }
            None => {
                eventually(why, || failures(&rig.registry, &certificate) == 1);
                assert_eq!(staple(address, &TLS13), b"", "{why}");
                assert_eq!(valid_until(&rig.registry, &certificate), 0, "{why}");
            }
        }
    }
}

#[test]
fn a_staple_is_taken_off_before_it_ends() {
    let (member, authority, now) = (Member::named("a"), Authority::new("ours"), now());
    // Ten seconds before the end it is off.
    let short = Answer { next_update: Some(now + 13), ..authority.answer(7, now) }.der();
    let responder = Responder::new([ok(&short)]);
    let certificate = certificate(&authority, 7, &[&responder.url]);
    let address = free_address();
    let rig = rig(true);
    rig.apply([over_tls(http(address, &[member.address]), tls_plan(&certificate, &[]))]);
    eventually("a staple", || staple(address, &TLS13) == short);
    eventually("no staple", || staple(address, &TLS13).is_empty());
    assert_eq!(valid_until(&rig.registry, &certificate), 0);
    assert_eq!(responder.asked(), 1, "not twice within five minutes");
}

#[test]
fn the_next_responder_is_asked_when_the_first_fails() {
    let (member, authority) = (Member::named("a"), Authority::new("ours"));
    let answer = authority.answer(7, now()).der();
    let (dead, alive) = (Responder::new([]), Responder::new([ok(&answer)]));
    let certificate = certificate(&authority, 7, &[&dead.url, &alive.url]);
    let address = free_address();
    let rig = rig(true);
    rig.apply([over_tls(http(address, &[member.address]), tls_plan(&certificate, &[]))]);
    eventually("a staple", || staple(address, &TLS13) == answer);
    assert_eq!((dead.asked(), alive.asked()), (1, 1));
}

#[test]
fn a_responder_on_this_machine_is_not_asked_unless_that_is_allowed() {
    let (member, authority) = (Member::named("a"), Authority::new("ours"));
    let responder = Responder::new([ok(&authority.answer(7, now()).der())]);
    let certificate = certificate(&authority, 7, &[&responder.url]);
    let address = free_address();
    let rig = rig(false);
    rig.apply([over_tls(http(address, &[member.address]), tls_plan(&certificate, &[]))]);
    eventually("a failure", || failures(&rig.registry, &certificate) == 1);
    assert_eq!((staple(address, &TLS13).len(), responder.asked()), (0, 0));
}

#[test]
fn nobody_is_asked_when_stapling_is_off_or_the_issuer_is_not_in_the_chain() {
    let (member, authority) = (Member::named("a"), Authority::new("ours"));
    let responder = Responder::new([ok(&authority.answer(7, now()).der())]);
    let whole = certificate(&authority, 7, &[&responder.url]);
    let alone = Arc::new(CertificatePlan {
        id: whole.id,
        chain_der: whole.chain_der[..1].to_vec(),
        key_der: whole.key_der.clone(),
    });
    let address = free_address();
    let off = Rig::with_config(Config { workers: 1, ocsp_stapling: None, ..Config::default() });
    off.apply([over_tls(http(address, &[member.address]), tls_plan(&whole, &[]))]);
    assert_eq!(staple(address, &TLS13), b"");
    off.apply([]);

    let address = free_address();
    let rig = rig(true);
    rig.apply([over_tls(http(address, &[member.address]), tls_plan(&alone, &[]))]);
    eventually("a failure", || failures(&rig.registry, &alone) == 1);
    assert_eq!((staple(address, &TLS13).len(), responder.asked()), (0, 0));

    // The owner adds the issuer.
    rig.apply([over_tls(http(address, &[member.address]), tls_plan(&whole, &[]))]);
    eventually("a staple", || !staple(address, &TLS13).is_empty());
    assert_eq!(failures(&rig.registry, &whole), 0, "counted anew");
}

#[test]
fn a_new_certificate_gets_its_own_staple_and_one_that_is_gone_is_not_asked_about() {
    let (member, authority, now) = (Member::named("a"), Authority::new("ours"), now());
    let [first, second] = [7, 8].map(|serial| authority.answer(serial, now).der());
    let responder = Responder::new([ok(&first)]);
    let former = certificate(&authority, 7, &[&responder.url]);
    let address = free_address();
    let rig = rig(true);
    let show = |certificate: &Arc<CertificatePlan>| {
        rig.apply([over_tls(http(address, &[member.address]), tls_plan(certificate, &[]))]);
    };
    show(&former);
    eventually("the first staple", || staple(address, &TLS13) == first);

    *responder.answers.lock().unwrap() = [ok(&second)].into();
    let renewed = certificate(&authority, 8, &[&responder.url]);
    let renewed = Arc::new(CertificatePlan {
        id: former.id,
        chain_der: renewed.chain_der.clone(),
        key_der: renewed.key_der.clone(),
    });
    show(&renewed);
    let mut seen = Vec::new();
    eventually("the second staple", || {
        seen.push(staple(address, &TLS13));
        seen.last() == Some(&second)
    });
    assert!(!seen.contains(&first), "a staple of another certificate");
    assert_eq!(responder.asked(), 2);

    let counters = rig.registry.certificate(renewed.id);
    rig.apply([]);
    eventually("its series to end", || !Arc::ptr_eq(&counters, &rig.registry.certificate(renewed.id)));
}
