//! Sessions whose connection breaks off.

use std::{future::poll_fn, io::Write, net::TcpListener, sync::Arc, thread, time::Duration};

use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::*;
use crate::tls::MemberTls;

const PATIENCE: Duration = Duration::from_secs(10);

fn server() -> ServerConnection {
    let key = KeyPair::generate().unwrap();
    let shown = CertificateParams::new(vec!["t".to_owned()]).unwrap().self_signed(&key).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![shown.der().clone()], key);
    ServerConnection::new(Arc::new(config.unwrap())).unwrap()
}

#[test]
fn an_end_after_a_reset_that_a_write_was_told_of_is_none() {
    let listening = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listening.local_addr().unwrap();
    let (break_off, told) = std::sync::mpsc::channel();
    let peer = thread::spawn(move || {
        let mut session = StreamOwned::new(server(), listening.accept().unwrap().0);
        session.write_all(b"part").and_then(|()| session.flush()).unwrap();
        told.recv().unwrap();
        socket2::SockRef::from(&session.sock).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut session = MemberTls::for_bytes().unwrap().connect(address, Rc::default()).unwrap();
        let mut part = [0; 9];
        assert_eq!(poll_fn(|cx| session.poll_read(cx, &mut part)).await.unwrap(), 4);
        break_off.send(()).unwrap();
        peer.join().unwrap();
        let refused = async {
            loop {
                match session.write(&[IoSlice::new(b"more")]) {
                    Ok(_) => tokio::task::yield_now().await,
                    Err(error) => break error,
                }
            }
        };
        let refused = tokio::time::timeout(PATIENCE, refused).await.expect("the reset arrives");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionReset);
        let end = poll_fn(|cx| session.poll_read(cx, &mut part)).await;
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    });
}
