//! From sockets to answers: accepting, limits, and what happens to each request.

use std::{
    convert::Infallible,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use hyper::{
    HeaderMap, Method, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use identity::Origin;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tower::ServiceExt;

use crate::{
    Api, Gateway,
    authenticate::{self, Unauthenticated, authenticate},
    body, errors, gate, identity_api,
    mount::{Mount, mount},
};

/// Limits of the API server. They protect it from slow and from many clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections at a time; more wait in the listening socket's queue. Default 1024.
    pub connections: usize,
    /// How long a request's head may take to come, and how long an idle connection is kept. Default 60 s.
    pub head_timeout: Duration,
    /// How long requests may take to end after a stop was asked for. Default 5 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 1024, head_timeout: Duration::from_secs(60), drain: Duration::from_secs(5) }
    }
}

/// Most bytes of a request's head.
const HEAD_MAX: usize = 64 * 1024;

/// The API would be offered without TLS to other machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the API is served over plain HTTP, so it may only listen on a loopback address; {0} is none: listen on 127.0.0.1 and put a proxy that speaks TLS before it"
)]
pub struct NotLoopback(pub SocketAddr);

impl NotLoopback {
    /// The stable code of this error.
    pub const fn code(self) -> &'static str {
        "gateway_not_loopback"
    }
}

/// Whether plain HTTP may be served on an address: only on loopback, as passwords and tokens pass in clear.
pub fn plain_http_allowed(address: SocketAddr) -> Result<(), NotLoopback> {
    if address.ip().to_canonical().is_loopback() { Ok(()) } else { Err(NotLoopback(address)) }
}

/// Serves until `stop` is done, then accepts nothing more, lets requests end within [`Limits::drain`], and returns. What `stop`
/// says is how long idle connections may bring another request.
pub async fn serve(
    listener: TcpListener,
    gateway: Gateway,
    limits: Limits,
    stop: impl Future<Output = Duration>,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    let linger = loop {
        let slot = tokio::select! {
            linger = &mut stop => break linger,
            slot = slots.clone().acquire_owned() => slot.expect("the semaphore is never closed"),
        };
        let accepted = tokio::select! {
            linger = &mut stop => break linger,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (gateway, stopped) = (gateway.clone(), stopped.clone());
                connections.spawn(async move {
                    connection(stream, peer, gateway, limits, stopped).await;
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of file descriptors, or the client is gone already. Pausing keeps the former from becoming a busy loop.
                tracing::warn!(%error, "cannot accept an API connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    };
    drop(listener);
    let mut all = pin!(async { while connections.join_next().await.is_some() {} });
    if tokio::time::timeout(linger, &mut all).await.is_ok() {
        return;
    }
    stopping.send_replace(true);
    if tokio::time::timeout(limits.drain, all).await.is_err() {
        tracing::warn!(limit = ?limits.drain, "API requests were cut off at the end of the drain");
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    gateway: Gateway,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) {
    // Answers are small and written whole; waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let source = peer.ip().to_canonical();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let gateway = gateway.clone();
        async move { Ok::<_, Infallible>(in_own_task(gateway, request.map(Body::new), source).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let stop = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "API connection ended early");
    }
}

/// The request in a task of its own: it runs to its end even when the client hangs up, and its panic is ours to answer.
async fn in_own_task(gateway: Gateway, request: Request, source: IpAddr) -> Response {
    let done = tokio::spawn(async move { gateway.answer(request, Some(source)).await });
    done.await.unwrap_or_else(|error| {
        let origin = authenticate::origin(Some(source), "");
        tracing::error!(request_id = origin.request_id, %error, "a request ended in a panic; this is a bug, please report it");
        let answer = errors::vendor(StatusCode::INTERNAL_SERVER_ERROR, "ELB.8906", "internal error", &origin.request_id);
        with_request_id(answer, &origin.request_id)
    })
}

impl Gateway {
    /// The answer to one request that came from `source`, as [`serve`] gives it.
    pub async fn answer(&self, request: Request, source: Option<IpAddr>) -> Response {
        match self.gate.pass().await {
            gate::Passed::There(address) => gate::forward(request, address).await,
            _here @ gate::Passed::Here(_) => self.answer_here(request, source).await,
        }
    }

    async fn answer_here(&self, request: Request, source: Option<IpAddr>) -> Response {
        let path = request.uri().path().to_owned();
        let method = request.method().clone();
        let mount = mount(&path);
        let version = match mount {
            Mount::Huawei { version, .. } => version,
            Mount::Identity(_) => "v3",
            Mount::HuaweiVersions | Mount::Health | Mount::Ready | Mount::Metrics | Mount::Unknown => "",
        };
        let origin = authenticate::origin(source, version);
        let request_id = origin.request_id.clone();
        let answer = match mount {
            Mount::Health => reading(&method, || errors::text(StatusCode::OK, "ok\n")),
            Mount::Ready => reading(&method, || self.ready()),
            Mount::Metrics => reading(&method, || self.metrics()),
            Mount::Unknown => StatusCode::NOT_FOUND.into_response(),
            Mount::Identity(below) => match self.api() {
                Some(api) => {
                    let mut answer = identity_api::answer(&api, below, request, &origin).await;
                    put(answer.headers_mut(), "x-iam-trace-id", &request_id);
                    answer
                }
                None => starting(errors::keystone(StatusCode::SERVICE_UNAVAILABLE, STARTING)),
            },
            Mount::Huawei { .. } | Mount::HuaweiVersions => match self.api() {
                Some(api) => api.huawei(mount, request, origin).await,
                None => starting(errors::vendor(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "ELB.8906",
                    STARTING,
                    &request_id,
                )),
            },
        };
        with_request_id(errors::with_body(answer, &method, &path, &request_id), &request_id)
    }

    fn ready(&self) -> Response {
        let ready = match self.api() {
            None => Err(STARTING.to_owned()),
            Some(_) => (self.operations.ready)(),
        };
        match ready {
            Ok(()) => errors::text(StatusCode::OK, "ready\n"),
            Err(why) => errors::text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        }
    }

    fn metrics(&self) -> Response {
        let mut answer = errors::text(StatusCode::OK, (self.operations.metrics)());
        let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        answer
    }
}

const STARTING: &str = "the control plane is not ready yet; traffic is served from the last good plan";

impl Api {
    /// A request of the Huawei dialect. Its body is read whole, as the signature covers it.
    async fn huawei(&self, mount: Mount<'_>, request: Request, origin: Origin) -> Response {
        let id = origin.request_id.clone();
        let (mut head, body) = request.into_parts();
        let body = match body::read(body).await {
            Ok(body) => body,
            Err(body::BadBody::TooSlow) => {
                return errors::vendor(
                    StatusCode::REQUEST_TIMEOUT,
                    "ELB.8902",
                    &body::BadBody::TooSlow.to_string(),
                    &id,
                );
            }
            Err(error) => {
                return errors::vendor(StatusCode::BAD_REQUEST, "ELB.8902", &error.to_string(), &id);
            }
        };
        if let Mount::Huawei { project, .. } = mount {
            let snapshot = self.snapshot();
            let known = match authenticate(&snapshot, &self.token_key, &head, &body, &origin) {
                Ok(known) => known,
                Err(Unauthenticated::Missing) => {
                    let words = "authentication required: sign the request or send X-Auth-Token";
                    return errors::vendor(StatusCode::UNAUTHORIZED, "SYS.0401", words, &id);
                }
                Err(Unauthenticated::Invalid) => {
                    let words =
                        "Incorrect IAM authentication information: the signature or token is not valid";
                    return errors::vendor(StatusCode::UNAUTHORIZED, "APIGW.0301", words, &id);
                }
            };
            match known.caller_in(&snapshot, project, origin.clone()) {
                Ok(caller) => drop(head.extensions.insert(caller)),
                Err(forbidden) => {
                    return errors::vendor(StatusCode::FORBIDDEN, "ELB.8903", &forbidden.to_string(), &id);
                }
            }
        }
        head.extensions.insert(origin);
        call(self.huawei.clone(), Request::from_parts(head, Body::from(body))).await
    }
}

async fn call(router: Router, request: Request) -> Response {
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn reading(method: &Method, answer: impl FnOnce() -> Response) -> Response {
    if *method == Method::GET || *method == Method::HEAD {
        answer()
    } else {
        errors::allowing(StatusCode::METHOD_NOT_ALLOWED.into_response(), "GET, HEAD")
    }
}

fn starting(answer: Response) -> Response {
    errors::retry_after(answer, 1)
}

fn with_request_id(mut answer: Response, id: &str) -> Response {
    put(answer.headers_mut(), "x-request-id", id);
    answer
}

fn put(headers: &mut HeaderMap, name: &'static str, id: &str) {
    let value = HeaderValue::from_str(id).expect("a request id is 32 hex digits");
    headers.insert(HeaderName::from_static(name), value);
}
