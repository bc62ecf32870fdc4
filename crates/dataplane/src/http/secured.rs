//! A client's connection that begins with TLS. Once its session stands, it is served as any other.

use std::{net::SocketAddr, rc::Rc};

use model::{
    listener::TlsHeader,
    policy::{InsertedValue, SystemValue},
};
use telemetry::{OwnAnswer, TlsFailure};
use tokio::net::TcpStream;

use super::{
    answer::{self, Own},
    client_tls::{ClientTls, TlsFacts},
    connection::{Connection, request_timeout},
};
use crate::{
    acceptor::Door,
    http2, io as socket,
    layer4::Open,
    service::Service,
    stream::Stream,
    table::Seat,
    tls::{self, Accepted, Alpn, TlsInfo},
};

/// Makes a session of a client's connection; none when it has ended.
pub(super) async fn begin(
    door: Rc<Door>,
    tcp: TcpStream,
    peer: SocketAddr,
    seat: Seat,
    open: Open,
) -> Option<Connection> {
    let service = door.slot.service();
    seat.occupy().await;
    seat.expire_after(request_timeout(&service));
    let Some(terms) = &service.tls else {
        // Its terms cannot be carried out, which is a fault that its owner sees.
        service.counters.tls().failed(TlsFailure::Other);
        socket::reset_on_close(&tcp);
        return None;
    };
    match tls::accept(&door, &service, terms, tcp, &seat, wants_hello(&service)).await {
        Ok(Accepted::Tls(mut stream, info)) => {
            let alpn = info.alpn;
            stream.client = Some(client_tls(*info));
            let stream = Stream::Tls(stream);
            if alpn == Some(Alpn::H2) {
                http2::serve(door, stream, peer, seat, open).await;
                return None;
            }
            Some(Connection::seated(door, stream, peer, seat, Some(open)))
        }
        Ok(Accepted::Openssl(mut stream, info)) => {
            stream.client = Some(client_tls(*info));
            Some(Connection::seated(door, Stream::Openssl(stream), peer, seat, Some(open)))
        }
        Ok(Accepted::Plain(tcp)) => {
            tracing::debug!(client = %peer, "plain HTTP came to a port of TLS");
            let connection = Connection::seated(door, tcp.into(), peer, seat, Some(open));
            answer::send(connection, Box::new(Own::closing(OwnAnswer::BadRequest, service))).await
        }
        Err(error) => {
            tracing::debug!(client = %peer, %error, "a TLS handshake failed");
            None
        }
    }
}

/// What HTTP tells of a session.
pub(crate) fn client_tls(info: TlsInfo) -> Rc<ClientTls> {
    Rc::new(ClientTls::new(TlsFacts {
        version: info.version,
        suite: info.suite,
        server_name: info.server_name,
        alpn: info.alpn.map(Alpn::as_str),
        certificate: info.certificate,
        client_certificate: info.client_certificate,
        client_hello: info.client_hello,
    }))
}

/// Whether a header tells something of the client's first words.
pub(crate) fn wants_hello(service: &Service) -> bool {
    let header =
        |header: &TlsHeader| matches!(header, TlsHeader::ClientCiphers | TlsHeader::Ja3 | TlsHeader::Ja4);
    let value = |value: &InsertedValue| {
        matches!(
            value,
            InsertedValue::System(SystemValue::ClientcertCiphers | SystemValue::TlsJa3 | SystemValue::TlsJa4)
        )
    };
    let Some(http) = service.plan.http() else { return false };
    http.insert_headers.tls.iter().any(|(name, switch)| switch.enabled && header(name))
        || service
            .plan
            .policies
            .iter()
            .any(|policy| policy.headers.insert.iter().any(|edit| value(&edit.value)))
}
