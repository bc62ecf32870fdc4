//! A client's connection: its requests one after another.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use telemetry::OwnAnswer;
use wire::h1::{HeadError, HeadScan, Parsed, RequestHead, Tunnel, parse_request};

use super::{
    answer::{self, Own},
    desync::{self, Verdict},
    early,
    exchange::{Ended, Exchange},
};
use crate::{
    acceptor::Door,
    layer4::Open,
    limits::{Caps, Direction, Ticket},
    relay::{self, Counts, Passed, Relay, Way},
    rounds::Place,
    service::Service,
    stream::Stream,
    sys::rtt::RoundTrip,
    table::Seat,
    worker::DRAIN_GRACE,
};

/// What a read of a request asks for.
const WINDOW_BYTES: usize = 128 * 1024;

/// A client's connection. Its task lives as long as it does, so it is kept small; what a request needs is boxed apart.
pub(super) struct Connection {
    pub(super) door: Rc<Door>,
    pub(super) client: Stream,
    pub(super) peer: SocketAddr,
    pub(super) seat: Seat,
    /// Bytes that came for requests that have not begun; usually none, and then it owns nothing.
    pub(super) input: Vec<u8>,
    /// How far `input` was looked at for the end of a head; none: not at all.
    scan: Option<HeadScan>,
    /// Whether no request has ended yet.
    fresh: bool,
    seated: bool,
    /// What the request in `input` waits for.
    held: Option<Held>,
    /// Its place among those who wait for bandwidth.
    ticket: Ticket,
    /// Whether its deadline is already that of a draining worker.
    leaving: bool,
    /// Its place among those who wait for a round of the worker.
    place: Place,
    /// For the access log.
    pub(super) rtt: RoundTrip,
    exchange: Option<Box<Exchange>>,
    _open: Option<Open>,
}

/// What a whole head waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    /// The end of the client's handshake.
    Handshake,
    /// Its turn, as bandwidth is limited.
    Turn,
}

/// A connection's task. Ordinary requests are served by a plain poll; for what is rare, the connection moves into a boxed future
/// and maybe back.
pub(super) enum Life {
    /// It is served.
    Ordinary(Connection),
    /// Something rare is done with it.
    Rare(Rare),
    /// It has ended.
    Over,
}

/// Something rare that is done with a connection; it comes back from there if it goes on.
pub(super) struct Rare {
    door: Rc<Door>,
    /// Its place among those who wait for a round of the worker.
    place: Place,
    work: Pin<Box<dyn Future<Output = Option<Connection>>>>,
}

impl Life {
    /// A connection that begins with something rare.
    pub(super) fn rare(door: Rc<Door>, work: impl Future<Output = Option<Connection>> + 'static) -> Self {
        Self::Rare(Rare { door, place: Place::default(), work: Box::pin(work) })
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }
}

impl Future for Life {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let turn = match &mut *self {
                Self::Over => return Poll::Ready(()),
                Self::Ordinary(connection) => {
                    ready!(connection.door.poll_turn(&mut connection.place, cx));
                    ready!(connection.poll(cx))
                }
                Self::Rare(Rare { door, place, work }) => {
                    ready!(door.poll_turn(place, cx));
                    match ready!(work.as_mut().poll(cx)) {
                        Some(mut connection) => {
                            if connection.seated {
                                connection.expect_next();
                            }
                            self.set(Self::Ordinary(connection));
                        }
                        None => self.set(Self::Over),
                    }
                    continue;
                }
            };
            let Self::Ordinary(connection) = std::mem::replace(&mut *self, Self::Over) else { continue };
            let door = connection.door.clone();
            *self = match turn {
                Turn::Over => continue,
                Turn::Answer(own) => Self::rare(door, answer::send(connection, own)),
                Turn::Linger => Self::rare(door, answer::linger(connection)),
                Turn::Tunnel(exchange, agreed) => Self::rare(door, connection.tunnel(exchange, agreed)),
            };
        }
    }
}

/// Something that ends the ordinary service of a connection.
enum Turn {
    /// It has ended.
    Over,
    /// We answer.
    Answer(Box<Own>),
    /// It is to be closed while the client may still be sending.
    Linger,
    /// The member agreed to another protocol.
    Tunnel(Box<Exchange>, Tunnel),
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
    pub(super) fn new(door: Rc<Door>, client: Stream, peer: SocketAddr, open: Open) -> Self {
        Self { _open: Some(open), ..Self::of_stream(door, client, peer) }
    }

    /// One stream of a connection that is counted as open by itself.
    pub(super) fn of_stream(door: Rc<Door>, client: Stream, peer: SocketAddr) -> Self {
        let seat = Seat::take(&door.worker.table, door.slot.group());
        Self::seated(door, client, peer, seat, None)
    }

    /// A connection that has a seat already.
    pub(super) fn seated(
        door: Rc<Door>,
        client: Stream,
        peer: SocketAddr,
        seat: Seat,
        open: Option<Open>,
    ) -> Self {
        Self {
            door,
            client,
            peer,
            seat,
            input: Vec::new(),
            scan: None,
            fresh: true,
            seated: false,
            held: None,
            ticket: 0,
            leaving: false,
            place: Place::default(),
            rtt: RoundTrip::default(),
            exchange: None,
            _open: open,
        }
    }

    /// Serves until the connection ends, or until something rare has to be done with it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        if !self.seated {
            self.seat.occupy_with(cx.waker());
            self.expect_request();
        }
        loop {
            if let Some(mut exchange) = self.exchange.take() {
                let ended = exchange.poll(cx, self);
                let Poll::Ready(ended) = ended else {
                    self.exchange = Some(exchange);
                    return Poll::Pending;
                };
                match ended {
                    Ended::Next => {
                        exchange.write_log(self.peer, &self.client, &self.rtt);
                        exchange.finish();
                        self.expect_next();
                    }
                    Ended::Close => {
                        exchange.write_log(self.peer, &self.client, &self.rtt);
                        exchange.finish();
                        return Poll::Ready(self.close());
                    }
                    Ended::Linger => {
                        exchange.write_log(self.peer, &self.client, &self.rtt);
                        exchange.finish();
                        return Poll::Ready(Turn::Linger);
                    }
                    Ended::Reset => {
                        exchange.write_log(self.peer, &self.client, &self.rtt);
                        self.client.reset_on_close();
                        return Poll::Ready(Turn::Over);
                    }
                    Ended::Own(own) => return Poll::Ready(Turn::Answer(Box::new(own))),
                    Ended::Tunnel(tunnel) => return Poll::Ready(Turn::Tunnel(exchange, tunnel)),
                }
            }
            match ready!(self.poll_request(cx)) {
                Next::Request(exchange) => self.exchange = Some(exchange),
                Next::Answer(own) => return Poll::Ready(Turn::Answer(own)),
                Next::Close => return Poll::Ready(self.close()),
            }
        }
    }

    /// All is said. A client that spoke early has yet to say its part of the handshake: that is waited for. (A stream of HTTP/2 or HTTP/3 leaves
    /// that to its connection.)
    fn close(&self) -> Turn {
        if self.client.is_early() && !self.client.shares_connection() { Turn::Linger } else { Turn::Over }
    }

    /// A request has ended and another may follow.
    fn expect_next(&mut self) {
        self.fresh = false;
        self.expect_request();
    }

    /// Sets the deadline of the next request: its first byte is waited for.
    fn expect_request(&mut self) {
        self.leaving = false;
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
            match self.held {
                None => {}
                Some(Held::Handshake) => match self.client.poll_handshake(cx) {
                    Poll::Ready(Ok(())) => self.held = None,
                    Poll::Ready(Err(_)) => return Poll::Ready(Next::Close),
                    Poll::Pending => {
                        ready!(self.seat.poll_expired());
                        return Poll::Ready(self.expired());
                    }
                },
                Some(Held::Turn) => match waits_for_turn(&door) {
                    None => self.held = None,
                    Some(caps) => {
                        door.slot.service().counters.bandwidth_waits.inc();
                        caps.wait(&worker.pacer, &mut self.ticket, cx.waker());
                        return Poll::Pending;
                    }
                },
            }
            let mut scratch = worker.buffers.scratch.borrow_mut();
            let mut length = self.input.len();
            if length == 0 || self.scan.is_some() {
                let window = &mut scratch[..WINDOW_BYTES];
                let read = match std::mem::replace(&mut self.seated, true) {
                    true => self.client.poll_read(cx, window),
                    false => self.client.poll_first_read(cx, window),
                };
                let bytes = match read {
                    Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(Next::Close),
                    Poll::Ready(Ok(bytes)) => bytes,
                    Poll::Pending => {
                        if length == 0 && door.slot.is_over() {
                            return Poll::Ready(Next::Close);
                        }
                        if length == 0 && worker.is_draining() {
                            // A request may be on its way, and would be lost if we closed at once.
                            if !std::mem::replace(&mut self.leaving, true) {
                                self.seat.expire_after(DRAIN_GRACE);
                            }
                        }
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
                    let held = if self.client.is_early() && !early::may_go(&head) {
                        Some(Held::Handshake)
                    } else {
                        waits_for_turn(&door).map(|_| Held::Turn)
                    };
                    if held.is_some() {
                        worker.buffers.add(&mut self.input, &scratch[..length]);
                        self.held = held;
                        continue;
                    }
                    return Poll::Ready(self.begin(head, &scratch[head.len()..length]));
                }
                Ok(Parsed::Partial(scan)) => {
                    worker.buffers.add(&mut self.input, &scratch[..length]);
                    if self.scan.is_none() && (self.leaving || !self.fresh) {
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
        let verdict = desync::judge(&service, &head);
        if verdict == Verdict::Refuse {
            return Next::Answer(Box::new(Own::closing(OwnAnswer::BadRequest, service)));
        }
        match Exchange::begin(self, service, head, body, verdict == Verdict::ServeLast) {
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
    async fn tunnel(self, mut exchange: Box<Exchange>, _agreed: Tunnel) -> Option<Self> {
        let record = exchange.take_record();
        let Exchange { service, work, stream, early, .. } = *exchange;
        let Self { door, client, peer, seat, input, rtt, _open, .. } = self;
        let idle = service.plan.idle_timeout.max(response_timeout(&service));
        seat.expire_after(idle);
        let (up, down) = (Way::holding(input), Way::holding(early));
        let worker = door.worker.clone();
        let passed = Passed::default();
        let mut relay =
            Relay { worker, client, member: stream, up, down, connecting: false, passed, ticket: 0 };
        let ended = poll_fn(|cx| {
            let caps = door.slot.byte_caps();
            let counts = Counts {
                from_client: &service.counters.bytes_in,
                to_client: &service.counters.bytes_out,
                from_member: &work.member().counters.bytes_in,
                to_member: &work.member().counters.bytes_out,
                waits: &service.counters.bandwidth_waits,
                caps: caps.as_deref(),
                share: door.slot.share(),
            };
            relay.poll(cx, &seat, idle, work.is_over(), &counts)
        });
        if ended.await != relay::Ended::Complete {
            relay.reset();
        }
        if let Some(record) = record {
            record.of_tunnel(relay.passed).write(&door, &service, peer, &relay.client, &rtt);
        }
        None
    }
}

/// The caps by which no request may begin now, as too much has come from clients.
#[inline]
fn waits_for_turn(door: &Door) -> Option<Rc<Caps>> {
    door.slot.byte_caps().filter(|caps| !caps.has_turn(Direction::In))
}

/// How long a response may take to go on.
pub(crate) fn response_timeout(service: &Service) -> Duration {
    service.plan.http().map_or(service.plan.idle_timeout, |http| http.response_timeout)
}

/// How long a request may take to come.
pub(crate) fn request_timeout(service: &Service) -> Duration {
    service.plan.http().map_or(service.plan.idle_timeout, |http| http.request_timeout)
}
