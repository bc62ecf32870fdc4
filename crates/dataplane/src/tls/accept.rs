//! A client's connection until its TLS session stands.

use std::{
    future::poll_fn,
    io,
    rc::Rc,
    task::{Context, Poll},
};

use rustls::server::UnbufferedServerConnection;
use tokio::net::TcpStream;
use wire::client_hello::{ClientHello, HelloParse, NotTls};

use super::{
    OpensslStream, Terms, TlsInfo, TlsStream, failure::failure, handshake::Handshake, openssl::Fallback,
};
use crate::{
    acceptor::Door, io as socket, rounds::HANDSHAKE_UNITS, service::Service, table::Seat, worker::Worker,
};

/// What a connection to a port of TLS turned out to be.
pub(crate) enum Accepted {
    /// A session.
    Tls(Box<TlsStream>, Box<TlsInfo>),
    /// A session with a client that is served by OpenSSL.
    Openssl(Box<OpensslStream>, Box<TlsInfo>),
    /// Something that is no TLS but might be HTTP.
    Plain(TcpStream),
}

/// Makes a session of a client's connection, before the seat's deadline, and counts what came of it. It may still be early: see
/// [`TlsStream::is_early`]. `keep_hello`: someone wants to know what its ClientHello said.
///
/// # Errors
/// When the client and the terms do not fit, the client breaks the protocol, goes away, or takes too long. It was told what TLS
/// has words for.
pub(crate) async fn accept(
    door: &Door,
    service: &Service,
    terms: &Terms,
    tcp: TcpStream,
    seat: &Seat,
    keep_hello: bool,
) -> io::Result<Accepted> {
    let accepted = make(door, terms, tcp, seat, keep_hello).await;
    match &accepted {
        Ok(Accepted::Tls(_, info) | Accepted::Openssl(_, info)) => {
            if let Some(version) = info.version {
                service.counters.tls().stands(version, info.resumed);
            }
        }
        // It is answered in its own words, and counted there.
        Ok(Accepted::Plain(_)) => {}
        Err(error) => {
            if let Some(why) = failure(error) {
                service.counters.tls().failed(why);
            }
        }
    }
    accepted
}

async fn make(
    door: &Door,
    terms: &Terms,
    mut tcp: TcpStream,
    seat: &Seat,
    keep_hello: bool,
) -> io::Result<Accepted> {
    let worker = &door.worker;
    let mut hello = Vec::new();
    loop {
        let bytes = poll_fn(|cx| {
            let mut scratch = worker.tls.incoming();
            let read = match hello.is_empty() {
                true => socket::poll_first_read(&mut tcp, cx, &mut scratch),
                false => socket::poll_read(&mut tcp, cx, &mut scratch),
            };
            match read {
                Poll::Ready(Ok(bytes)) => {
                    hello.extend_from_slice(&scratch[..bytes]);
                    Poll::Ready(Ok(bytes))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => poll_over(worker, seat, hello.is_empty(), cx),
            }
        })
        .await?;
        if bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match ClientHello::parse(&hello) {
            Ok(HelloParse::Partial { .. }) => {}
            Ok(HelloParse::NotTls(NotTls::Http)) => return Ok(Accepted::Plain(tcp)),
            Ok(HelloParse::Complete(said)) => {
                door.slot.share().charge(HANDSHAKE_UNITS);
                if let Some(fallback) = &terms.fallback
                    && fallback.serves(&said, terms.modern.as_ref().map(|modern| &modern.offer))
                {
                    let server_name = said.sni().map(str::to_owned);
                    return accept_by_openssl(worker, fallback, tcp, seat, hello, server_name, keep_hello)
                        .await;
                }
                break;
            }
            // What is no TLS, or is wrong, is told so by rustls in an alert.
            Ok(HelloParse::NotTls(NotTls::Other)) | Err(_) => break,
        }
    }
    let Some(modern) = &terms.modern else { return Err(io::ErrorKind::Unsupported.into()) };
    let handshake = UnbufferedServerConnection::new(modern.config.clone()).map_err(io::Error::other)?;
    let client_hello = if keep_hello { hello.as_slice().into() } else { Box::default() };
    let mut stream = TlsStream::new(tcp, worker.tls.clone(), Handshake::Server(handshake), hello);
    stream.info = Some(Box::new(TlsInfo { client_hello, ..TlsInfo::default() }));
    poll_fn(|cx| match stream.poll_accept(cx) {
        Poll::Ready(made) => Poll::Ready(made),
        Poll::Pending => poll_over(worker, seat, false, cx),
    })
    .await?;
    let info = Box::new(stream.take_info());
    Ok(Accepted::Tls(Box::new(stream), info))
}

async fn accept_by_openssl(
    worker: &Rc<Worker>,
    fallback: &Fallback,
    tcp: TcpStream,
    seat: &Seat,
    hello: Vec<u8>,
    server_name: Option<String>,
    keep_hello: bool,
) -> io::Result<Accepted> {
    let name = server_name.as_deref();
    let session = fallback.begin(name).map_err(io::Error::other)?;
    let mut stream = OpensslStream::new(session, tcp, &hello, worker.tls.clone())?;
    poll_fn(|cx| match stream.poll_handshake(cx) {
        Poll::Ready(made) => Poll::Ready(made),
        Poll::Pending => poll_over(worker, seat, false, cx),
    })
    .await?;
    let mut info = stream.info(fallback, name);
    if keep_hello {
        info.client_hello = hello.into();
    }
    Ok(Accepted::Openssl(Box::new(stream), Box::new(info)))
}

/// Ready when a handshake is to be waited for no longer.
fn poll_over<T>(worker: &Worker, seat: &Seat, silent: bool, cx: &Context<'_>) -> Poll<io::Result<T>> {
    if silent && worker.poll_drain_grace(cx).is_ready() {
        return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
    }
    seat.poll_expired().map(|()| Err(io::ErrorKind::TimedOut.into()))
}
