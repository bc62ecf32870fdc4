//! Connections that begin with a PROXY header: somebody trusted says whom they are made for (model::ProxyAccept).
//!
//! No byte behind the header is read: the codec tells how many it needs at least, and no more are asked for. So what follows goes
//! the way of every connection.

use std::{future::poll_fn, net::SocketAddr, task::Poll, time::Duration};

use tokio::net::TcpStream;
use wire::proxy_protocol::{
    Origin, PROXY_HEADER_BYTES_MAX, ProxyHeader, ProxyParse, ProxyProtocolError, V1_BYTES_MAX,
};

use crate::table::Seat;

/// How long a header may take to come.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// Why nobody knows whose connection it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotIntroduced {
    /// What came is no header.
    #[error("what the connection began with is no PROXY header: {0}")]
    Malformed(#[from] ProxyProtocolError),
    /// The connection ended before its header did.
    #[error("the connection ended within its PROXY header")]
    Ended,
    /// It could not be read.
    #[error("the PROXY header could not be read: {0}")]
    Broken(#[from] std::io::Error),
    /// It did not come in time.
    #[error("no PROXY header came within {} s", HEADER_TIME.as_secs())]
    Late,
}

/// Reads the header of a connection; whom it is made for, `sender` itself where it says nobody.
pub(crate) async fn client_of(
    stream: &TcpStream,
    sender: SocketAddr,
    seat: &Seat,
) -> Result<SocketAddr, NotIntroduced> {
    seat.occupy().await;
    seat.expire_after(HEADER_TIME);
    let mut header = Vec::with_capacity(V1_BYTES_MAX);
    loop {
        let needed = match ProxyHeader::parse(&header)? {
            ProxyParse::Partial { needed } => needed.min(PROXY_HEADER_BYTES_MAX),
            ProxyParse::Complete(ProxyHeader { origin: Origin::Client(ends), .. }) => return Ok(ends.source),
            ProxyParse::Complete(_) => return Ok(sender),
        };
        let have = header.len();
        header.resize(needed.max(have + 1), 0);
        let read = poll_fn(|cx| {
            loop {
                if stream.poll_read_ready(cx)?.is_pending() {
                    return if seat.expired() {
                        Poll::Ready(Err(NotIntroduced::Late))
                    } else {
                        Poll::Pending
                    };
                }
                match stream.try_read(&mut header[have..]) {
                    Ok(0) => return Poll::Ready(Err(NotIntroduced::Ended)),
                    Ok(read) => return Poll::Ready(Ok(read)),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error.into())),
                }
            }
        })
        .await?;
        header.truncate(have + read);
    }
}
