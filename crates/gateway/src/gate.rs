//! The gate that every request passes, so that the API can change hands without a request that fails.
//!
//! While it is closed, requests wait. Then either it is opened again, or another process serves the API, and what still comes on
//! connections of this one goes there: a client may always have a request on its way on a kept connection, which nobody could take
//! back. Such an answer asks the client to close, so the next request goes to the other process by itself.
//!
//! What it does not do: it forwards no client's address. The API is served on loopback addresses, so the client and this process
//! have the same one.

use std::{net::SocketAddr, sync::Arc};

use axum::{body::Body, extract::Request, response::Response};
use hyper::{
    StatusCode, Version,
    client::conn::http1,
    header::{CONNECTION, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock},
};

use crate::{Gateway, errors};

/// Who serves requests; none: this process. Each request under way here holds it.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<RwLock<Option<SocketAddr>>>);

/// A closed gate: requests wait. Dropping it opens it again.
pub struct Closed(OwnedRwLockWriteGuard<Option<SocketAddr>>);

/// Where a request that passed is served.
pub(crate) enum Passed {
    /// Here, as long as this is held.
    Here(#[expect(dead_code, reason = "held, never read")] OwnedRwLockReadGuard<Option<SocketAddr>>),
    /// By the process that listens there.
    There(SocketAddr),
}

impl Gateway {
    /// Lets no more requests in, and answers when those under way have been answered.
    pub async fn close(&self) -> Closed {
        Closed(self.gate.0.clone().write_owned().await)
    }
}

impl Closed {
    /// Opens the gate to the process that accepts on this address: requests go there, those that waited first.
    pub fn forward_to(mut self, address: SocketAddr) {
        *self.0 = Some(address);
    }
}

impl Gate {
    /// Waits while the gate is closed.
    pub(crate) async fn pass(&self) -> Passed {
        let here = self.0.clone().read_owned().await;
        match *here {
            None => Passed::Here(here),
            Some(address) => Passed::There(address),
        }
    }
}

/// The answer of another process to a request.
pub(crate) async fn forward(request: Request, to: SocketAddr) -> Response {
    let mut answer = match ask(request, to).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::warn!(%to, error, "a request could not be given to the process that serves the API now");
            errors::retry_after(errors::text(StatusCode::SERVICE_UNAVAILABLE, "connect again\n"), 1)
        }
    };
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

async fn ask(mut request: Request, to: SocketAddr) -> Result<Response, String> {
    let failed = |error: &dyn std::error::Error| error.to_string();
    let stream = TcpStream::connect(to).await.map_err(|error| failed(&error))?;
    let (mut asker, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    // It ends with the answer's body; how is told there.
    tokio::spawn(connection);
    *request.version_mut() = Version::HTTP_11;
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let answer = asker.send_request(request).await.map_err(|error| failed(&error))?;
    Ok(answer.map(Body::new))
}
