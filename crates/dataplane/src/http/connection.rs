//! A client's connection: its requests one after another.

use std::{
    future::poll_fn,
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use telemetry::OwnAnswer;
use tokio::net::TcpStream;
use wire::h1::{HeadError, HeadScan, Parsed, RequestHead, Tunnel, parse_request};

use super::{
    answer::{self, Own},
    exchange::{Ended, Exchange},
    flow::keep,
};
use crate::{
    acceptor::Door,
    io,
    layer4::Open,
    relay::{Counts, Relay, Way},
    service::Service,
    table::Seat,
};

/// What a read of a request asks for.
const WINDOW_BYTES: usize = 128 * 1024;

/// A client's connection. Its task lives as long as it does, so it is kept small; what a request needs is boxed apart.
pub(super) struct Connection {
    pub(super) door: Rc<Door>,
    pub(super) client: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) seat: Seat,
    /// Bytes that came for requests that have not begun; usually none, and then it owns nothing.
    pub(super) input: Vec<u8>,
    /// How far `input` was looked at for the end of a head; none: not at all.
    scan: Option<HeadScan>,
    /// Whether no request has ended yet.
    fresh: bool,
    _open: Open,
}

/// What comes of waiting for a request.
enum Next {
    /// It is on its way to a member.
    Request(Box<Exchange>),
    /// It is answered by us.
    Answer(Box<Own>),
    /// There is none.
    Close,
}

impl Connection {
    pub(super) fn new(door: Rc<Door>, client: TcpStream, peer: SocketAddr) -> Self {
        let seat = Seat::take(&door.worker.table, door.slot.group());
        let _open = Open::new(door.slot.service().counters.clone());
        Self { door, client, peer, seat, input: Vec::new(), scan: None, fresh: true, _open }
    }

    pub(super) async fn serve(mut self) {
        self.seat.occupy().await;
        self.expect_request();
        loop {
            let own = match poll_fn(|cx| self.poll_request(cx)).await {
                Next::Close => return,
                Next::Answer(own) => own,
                Next::Request(mut exchange) => match poll_fn(|cx| exchange.poll(cx, &mut self)).await {
                    Ended::Next => {
                        exchange.finish();
                        self.fresh = false;
                        self.expect_request();
                        continue;
                    }
                    Ended::Close => return exchange.finish(),
                    Ended::Linger => {
                        drop(exchange);
                        return Box::pin(answer::linger(self)).await;
                    }
                    Ended::Reset => return io::reset_on_close(&self.client),
                    Ended::Own(own) => Box::new(own),
                    Ended::Tunnel(tunnel) => return Box::pin(self.tunnel(exchange, tunnel)).await,
                },
            };
            match Box::pin(answer::send(self, *own)).await {
                Some(connection) => self = connection,
                None => return,
            }
            self.fresh = false;
            self.expect_request();
        }
    }

    /// Sets the deadline of the next request: its first byte is waited for.
    fn expect_request(&mut self) {
        let service = self.door.slot.service();
        self.seat.expire_after(if self.fresh {
            request_timeout(&service)
        } else {
            service.plan.idle_timeout
        });
    }

    /// Waits for a whole head, and acts on it.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let door = self.door.clone();
        let worker = &*door.worker;
        loop {
            let mut scratch = worker.buffers.scratch.borrow_mut();
            let mut length = self.input.len();
            if length == 0 || self.scan.is_some() {
                if worker.draining.get() && length == 0 && !self.fresh {
                    return Poll::Ready(Next::Close);
                }
                let bytes = match io::poll_read(&mut self.client, cx, &mut scratch[..WINDOW_BYTES]) {
                    Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(Next::Close),
                    Poll::Ready(Ok(bytes)) => bytes,
                    Poll::Pending => {
                        ready!(self.seat.poll_expired());
                        return Poll::Ready(self.expired());
                    }
                };
                if let Some(scan) = &mut self.scan {
                    self.input.extend_from_slice(&scratch[..bytes]);
                    if !scan.is_ready(&self.input, &worker.http.limits) {
                        continue;
                    }
                    length = self.input.len();
                } else {
                    length = bytes;
                }
            }
            if !self.input.is_empty() {
                // At most a head and one window, which the scratch buffer has room for.
                scratch[..length].copy_from_slice(&self.input);
                worker.buffers.give_back(std::mem::take(&mut self.input));
            }
            let mut table = worker.http.request.borrow_mut();
            match parse_request(&scratch[..length], &mut table, &worker.http.limits) {
                Ok(Parsed::Complete(head)) => {
                    self.scan = None;
                    return Poll::Ready(self.begin(head, &scratch[head.len()..length]));
                }
                Ok(Parsed::Partial(scan)) => {
                    keep(worker, &mut self.input, &scratch[..length]);
                    if self.scan.is_none() && !self.fresh {
                        // The time for the head runs from its first byte.
                        self.seat.expire_after(request_timeout(&door.slot.service()));
                    }
                    self.scan = Some(scan);
                }
                Err(error) => return Poll::Ready(self.refuse(error)),
            }
        }
    }

    /// Acts on a whole request head; `body` is what came behind it.
    fn begin(&mut self, head: RequestHead<'_>, body: &[u8]) -> Next {
        let service = self.door.slot.service();
        match Exchange::begin(self, service.clone(), head, body) {
            Ok(exchange) => Next::Request(exchange),
            Err(own) => Next::Answer(Box::new(own)),
        }
    }

    fn refuse(&mut self, error: HeadError) -> Next {
        tracing::debug!(client = %self.peer, code = error.code(), %error, "a request was refused");
        let answer = match error.status() {
            414 => OwnAnswer::UriTooLong,
            417 => OwnAnswer::ExpectationFailed,
            501 => OwnAnswer::NotImplemented,
            505 => OwnAnswer::VersionNotSupported,
            _ => OwnAnswer::BadRequest,
        };
        Next::Answer(Box::new(Own::closing(answer, self.door.slot.service())))
    }

    /// The deadline is over while a request was waited for.
    fn expired(&mut self) -> Next {
        if self.input.is_empty() {
            return Next::Close;
        }
        Next::Answer(Box::new(Own::closing(OwnAnswer::RequestTimeout, self.door.slot.service())))
    }

    /// Relays bytes both ways after the member agreed to another protocol, which [`Tunnel`] proves.
    async fn tunnel(self, exchange: Box<Exchange>, _agreed: Tunnel) {
        let Exchange { service, work, stream, early, .. } = *exchange;
        let Self { door, client, seat, input, _open, .. } = self;
        let idle = service.plan.idle_timeout.max(response_timeout(&service));
        seat.expire_after(idle);
        let (up, down) = (Way::holding(input), Way::holding(early));
        let mut relay = Relay { worker: door.worker.clone(), client, member: stream, up, down };
        let counts = Counts {
            from_client: &service.counters.bytes_in,
            to_client: &service.counters.bytes_out,
            from_member: &work.member().counters.bytes_in,
            to_member: &work.member().counters.bytes_out,
        };
        poll_fn(|cx| relay.poll(cx, &seat, idle, false, &counts)).await;
    }
}

/// How long a response may take to go on.
fn response_timeout(service: &Service) -> Duration {
    match &service.plan.service {
        plan::ServicePlan::Http(http) => http.response_timeout,
        plan::ServicePlan::Tcp => service.plan.idle_timeout,
    }
}

/// How long a request may take to come.
pub(super) fn request_timeout(service: &Service) -> Duration {
    match &service.plan.service {
        plan::ServicePlan::Http(http) => http.request_timeout,
        plan::ServicePlan::Tcp => service.plan.idle_timeout,
    }
}
