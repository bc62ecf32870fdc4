//! The harness's load for HTTP/3: `h3_load ADDRESS:PORT CERTIFICATE PATH CONNECTIONS STREAMS SECONDS` keeps that many requests under way on each
//! of that many connections, each of which has a socket of its own, and prints `REQUESTS ERRORS`. A request counts when its answer's
//! status is 200 and all of its body has come; what has not come [`PATIENCE`] after the end is an error. The first error is told on stderr.
//! The server has to show the certificate in that PEM file, for the name bench.test.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "that is what it is asked for")]

use std::{
    cell::Cell,
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Buf;
use h3::client::SendRequest;
use h3_quinn::OpenStreams;
use http::{Request, StatusCode};
use quinn::{ClientConfig, Endpoint, crypto::rustls::QuicClientConfig};
use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::task::LocalSet;

type Outcome<T> = Result<T, Box<dyn Error>>;
type Requests = SendRequest<OpenStreams, bytes::Bytes>;

/// What all requests share.
struct Load {
    path: String,
    until: Instant,
    done: Cell<u64>,
    errors: Cell<u64>,
}

impl Load {
    fn failed(&self, error: &dyn std::fmt::Display) {
        if self.errors.replace(self.errors.get() + 1) == 0 {
            eprintln!("{error}");
        }
    }
}

/// For what is still under way when the time is over.
const PATIENCE: Duration = Duration::from_secs(2);

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, certificate, path, connections, streams, seconds] = &arguments[..] else {
        return Err("usage: h3_load ADDRESS:PORT CERTIFICATE PATH CONNECTIONS STREAMS SECONDS".into());
    };
    let (address, path) = (address.parse()?, path.clone());
    let (connections, streams): (usize, usize) = (connections.parse()?, streams.parse()?);
    let lasts = Duration::from_secs(seconds.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let config = config(certificate)?;
    LocalSet::new().block_on(&runtime, run(address, config, path, connections, streams, lasts))
}

async fn run(
    address: SocketAddr,
    config: ClientConfig,
    path: String,
    connections: usize,
    streams: usize,
    lasts: Duration,
) -> Outcome<()> {
    let load = Load { path, until: Instant::now() + lasts, done: Cell::new(0), errors: Cell::new(0) };
    let load = Rc::new(load);
    let mut clients = Vec::new();
    for _ in 0..connections {
        let (load, config) = (load.clone(), config.clone());
        clients.push(tokio::task::spawn_local(async move {
            if let Err(error) = connection(&load, config, address, streams).await {
                load.failed(&error);
            }
        }));
    }
    for client in clients {
        client.await?;
    }
    println!("{} {}", load.done.get(), load.errors.get());
    Ok(())
}

/// One connection until the time is over.
async fn connection(
    load: &Rc<Load>,
    config: ClientConfig,
    address: SocketAddr,
    streams: usize,
) -> Outcome<()> {
    let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    endpoint.set_default_client_config(config);
    let quic = endpoint.connect(address, "bench.test")?.await?;
    // nginx 1.26 takes a frame of an unknown type behind a request for a request that is cut short.
    let mut client = h3::client::builder();
    let connection = h3_quinn::Connection::new(quic.clone());
    let (mut driver, requests) = client.send_grease(false).build(connection).await?;
    let driver = tokio::task::spawn_local(async move { driver.wait_idle().await });
    let mut asking = Vec::new();
    for _ in 0..streams {
        let (load, mut requests) = (load.clone(), requests.clone());
        asking.push(tokio::task::spawn_local(async move {
            while Instant::now() < load.until {
                match ask(&load.path, &mut requests).await {
                    Ok(()) => load.done.set(load.done.get() + 1),
                    Err(error) => return load.failed(&error),
                }
            }
        }));
    }
    let end = load.until + PATIENCE;
    for one in asking {
        tokio::time::timeout_at(end.into(), one).await??;
    }
    driver.abort();
    quic.close(0x100_u32.into(), b"");
    Ok(())
}

/// One request and the whole of its answer.
async fn ask(path: &str, requests: &mut Requests) -> Outcome<()> {
    let request = Request::get(format!("https://bench.test{path}")).body(())?;
    let mut stream = requests.send_request(request).await?;
    stream.finish().await?;
    let answer = stream.recv_response().await?;
    if answer.status() != StatusCode::OK {
        return Err(format!("status {}", answer.status()).into());
    }
    while let Some(mut part) = stream.recv_data().await? {
        part.advance(part.remaining());
    }
    Ok(())
}

/// What trusts this certificate and no other.
fn config(certificate: &str) -> Outcome<ClientConfig> {
    let mut trusted = rustls::RootCertStore::empty();
    trusted.add(CertificateDer::from_pem_file(certificate)?)?;
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    Ok(ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?)))
}
