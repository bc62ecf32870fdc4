//! One request and its response: sent to a member, relayed back; sent again to another where that is safe.
//!
//! A request is repeated only when no byte of it was taken, or when it has no body, its method is idempotent and nothing of a
//! response was seen. A kept connection that turns out to be closed says nothing bad about its member: the repetition goes to a
//! new connection and needs no leave of the listener's.
//!
//! Source: behaviour/errors.md; features.md section 3 (timeouts, retry); RFC 9110 section 9.2.2, RFC 9112 section 9.3.1.

use std::{
    io::IoSlice,
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use telemetry::{Attempt, Outcome, OwnAnswer};
use tokio::net::TcpStream;
use wire::h1::{
    Authority, Body, BodyError, Edits, Framing, HeadScan, HeaderId, HeaderSet, MethodKind, Parsed,
    RequestHead, RequestOut, ResponseHead, ResponseOut, Transfer, Tunnel, UpstreamConnection, Version,
    parse_response, write_request, write_response,
};

use super::{
    BODY_BYTES_MAX,
    answer::{Own, RouterCode},
    connection::{Connection, request_timeout},
    flow::{Fault, Flow, WINDOW_BYTES, keep},
};
use crate::{
    acceptor::Door,
    io,
    service::Service,
    target::{Target, Tried, Unserved, Work},
};

/// A request under way.
pub(super) struct Exchange {
    door: Rc<Door>,
    pub(super) service: Rc<Service>,
    pub(super) work: Work,
    pub(super) stream: TcpStream,
    wire: wire::h1::Exchange,
    version: Version,
    /// Whether the client's connection goes on afterwards.
    keep_alive: bool,
    /// Whether the client waits for `100 Continue` with its body.
    awaits_continue: bool,
    attempt: State,
    tried: Tried,
    /// The head as it was sent, while it may be sent again.
    replay: Vec<u8>,
    up: Flow,
    up_state: UpState,
    down: Flow,
    /// The beginning of a response head; behind a 101, the beginning of the tunnel.
    pub(super) early: Vec<u8>,
    early_scan: Option<HeadScan>,
    /// The response's status; 0 until its head was read.
    status: u16,
    /// Whether the member's connection may be kept.
    reusable: bool,
    tunnel: Option<Tunnel>,
}

/// What is known of the present attempt.
#[derive(Clone, Copy)]
struct State {
    /// The connection does not stand yet.
    connecting: bool,
    /// It was a kept connection.
    kept: bool,
    /// The system has taken a byte.
    sent: bool,
}

/// How far the request is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UpState {
    /// Its body goes on.
    Open,
    /// All of it was sent.
    Sent,
    /// The member took no more.
    Refused,
}

/// How an exchange ended.
pub(super) enum Ended {
    /// The client may send another request.
    Next,
    /// The connection is to be closed.
    Close,
    /// It is to be closed while the client may still be sending.
    Linger,
    /// It is to be reset: the client did not get all.
    Reset,
    /// We answer.
    Own(Own),
    /// The member agreed to another protocol.
    Tunnel(Tunnel),
}

/// A connection to a member on which the beginning of a request was sent.
struct Opened {
    work: Work,
    stream: TcpStream,
    written: usize,
    state: State,
}

/// Why no member could be given the request.
type Refused = (OwnAnswer, Option<RouterCode>);

impl Exchange {
    /// Sends a request whose head is whole to a member; `rest` is what came behind it.
    pub(super) fn begin(
        connection: &mut Connection,
        service: Rc<Service>,
        head: RequestHead<'_>,
        rest: &[u8],
    ) -> Result<Box<Self>, Own> {
        let door = connection.door.clone();
        let worker = &*door.worker;
        let keep_alive = head.keep_alive() && !service.plan.idle_timeout.is_zero() && !worker.is_draining();
        let version = head.version();
        service.counters.bytes_in.add(head.len() as u64);
        let bodiless = matches!(head.framing(), Framing::None | Framing::Length(0));
        let own = |(answer, router_code), rest: &[u8], connection: &mut Connection| {
            if bodiless && !rest.is_empty() {
                keep(worker, &mut connection.input, rest);
            }
            let head_only = head.method_kind() == MethodKind::Head;
            // What follows a CONNECT may be meant for its tunnel.
            let keep_alive = keep_alive && bodiless && head.method_kind() != MethodKind::Connect;
            Own { answer, router_code, version, head_only, keep_alive, service: service.clone() }
        };
        let early = match (head.method_kind(), head.framing(), &service.target) {
            (MethodKind::Connect, ..) => Some((OwnAnswer::NotImplemented, None)),
            (_, Framing::Length(length), _) if length > BODY_BYTES_MAX => {
                Some((OwnAnswer::BodyTooLong, None))
            }
            (_, _, None) => Some((OwnAnswer::NotFound, Some(RouterCode::NoPool))),
            _ => None,
        };
        if let Some(early) = early {
            return Err(own(early, rest, connection));
        }
        let Some(target) = &service.target else {
            return Err(own((OwnAnswer::NotFound, Some(RouterCode::NoPool)), rest, connection));
        };

        let mut out = worker.buffers.head.borrow_mut();
        out.clear();
        let Ok(wire) = write_head(&mut out, connection, &service, &head) else {
            return Err(own((OwnAnswer::BadRequest, None), rest, connection));
        };
        let mut up = Flow::new(Body::for_request(head.framing()), Transfer::Relay);
        let (mut tried, mut opened, mut refused) = (Tried::default(), None, (OwnAnswer::BadRequest, None));
        let begun = up.begin(worker, &mut out, rest, |pieces, _all| {
            match open(&service, target, connection.peer, &mut tried, false, pieces) {
                Ok(open) => Ok(opened.insert(open).written),
                Err(why) => {
                    refused = why;
                    Err(Fault::Sink)
                }
            }
        });
        let (Ok(mut taken), Some(opened)) = (begun, opened) else {
            return Err(own(refused, rest, connection));
        };
        let mut up_state = UpState::Open;
        if !up.is_read() {
            match up.feed(worker, &rest[taken..], &opened.stream) {
                Ok(more) => taken += more,
                Err(Fault::Sink | Fault::Source) => up_state = UpState::Refused,
                Err(Fault::Malformed(_)) => return Err(own((OwnAnswer::BadRequest, None), rest, connection)),
            }
        }
        if taken < rest.len() && up_state == UpState::Open {
            keep(worker, &mut connection.input, &rest[taken..]);
        }
        if up.is_done() {
            up_state = UpState::Sent;
        }
        let repeatable = bodiless && wire.method().is_idempotent();
        let replay = if repeatable { worker.buffers.keep(&out) } else { Vec::new() };
        drop(out);
        let Opened { work, stream, state, .. } = opened;
        let exchange = Self {
            door,
            service,
            work,
            stream,
            wire,
            version,
            keep_alive,
            awaits_continue: head.expect_continue() && up_state == UpState::Open && rest.is_empty(),
            attempt: state,
            tried,
            replay,
            up,
            up_state,
            down: Flow::none(),
            early: Vec::new(),
            early_scan: None,
            status: 0,
            reusable: false,
            tunnel: None,
        };
        connection.seat.expire_after(exchange.patience());
        Ok(Box::new(exchange))
    }

    /// Moves both directions on, and keeps the deadline.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<Ended> {
        loop {
            let ended = self.advance(cx, connection);
            let moved = self.count();
            if ended.is_ready() {
                return ended;
            }
            if moved {
                connection.seat.expire_after(self.patience());
                return Poll::Pending;
            }
            ready!(connection.seat.poll_expired());
            if let Err(ended) = self.expire(connection) {
                return Poll::Ready(ended);
            }
            // Another member has it now.
            connection.seat.expire_after(self.patience());
        }
    }

    /// After [`Ended::Next`] or [`Ended::Close`]: keeps the member's connection where that is possible.
    pub(super) fn finish(self) {
        if self.reusable && self.early.is_empty() {
            self.work.member().keep_idle(&self.door.worker, self.stream);
        }
    }

    fn advance(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<Ended> {
        let door = self.door.clone();
        let worker = &*door.worker;
        loop {
            if self.attempt.connecting {
                let sent = self.up.poll_flush(worker, cx, &self.stream);
                if let Poll::Ready(Err(_)) = sent {
                    match self.failed(connection, Attempt::ConnectFailed, OwnAnswer::BadGateway) {
                        Ok(()) => continue,
                        Err(ended) => return Poll::Ready(ended),
                    }
                }
                if self.up.uncounted.1 > 0 {
                    (self.attempt.connecting, self.attempt.sent) = (false, true);
                }
                ready!(sent).ok();
            }
            if self.up_state == UpState::Open
                && let Some(ended) = self.advance_request(cx, connection)
            {
                return Poll::Ready(ended);
            }
            if self.status == 0 {
                match self.poll_head(cx, connection) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(HeadFault::Client)) => return Poll::Ready(self.client_gone()),
                    Poll::Ready(Err(HeadFault::Broken)) => {
                        match self.failed(connection, Attempt::Broken, OwnAnswer::BadGateway) {
                            Ok(()) => continue,
                            Err(ended) => return Poll::Ready(ended),
                        }
                    }
                    Poll::Ready(Err(HeadFault::Malformed)) => {
                        self.work.member().counters.record(Attempt::Broken);
                        return Poll::Ready(self.own(OwnAnswer::BadGateway, None));
                    }
                }
            }
            let mut surplus = std::mem::take(&mut self.early);
            let down = self.down.poll(worker, cx, &mut self.stream, &connection.client, &mut surplus);
            self.early = surplus;
            return match ready!(down) {
                Ok(()) => self.completed(&connection.client),
                Err(Fault::Sink) => Poll::Ready(self.client_gone()),
                Err(Fault::Source | Fault::Malformed(_)) => {
                    tracing::debug!(member = %self.work.member().plan.address, "a response broke off");
                    self.record(Outcome::Answered(self.status), Attempt::Broken);
                    Poll::Ready(Ended::Reset)
                }
            };
        }
    }

    /// Moves the request's body on; how the exchange ends, if that ends it.
    fn advance_request(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Option<Ended> {
        let worker = &*self.door.worker;
        let up = self.up.poll(worker, cx, &mut connection.client, &self.stream, &mut connection.input);
        self.attempt.sent |= self.up.uncounted.1 > 0;
        if self.up.read > 0 {
            self.awaits_continue = false;
        }
        if self.up.read > BODY_BYTES_MAX {
            return Some(self.give_up(OwnAnswer::BodyTooLong));
        }
        match up {
            Poll::Pending => None,
            Poll::Ready(Ok(())) => {
                self.up_state = UpState::Sent;
                None
            }
            // The member may have answered before it closed: its answer is still read.
            Poll::Ready(Err(Fault::Sink)) => {
                self.up_state = UpState::Refused;
                None
            }
            Poll::Ready(Err(Fault::Source | Fault::Malformed(BodyError::Truncated))) => {
                Some(self.client_gone())
            }
            Poll::Ready(Err(Fault::Malformed(error))) => {
                tracing::debug!(client = %connection.peer, code = error.code(), "a request body was refused");
                Some(self.give_up(OwnAnswer::BadRequest))
            }
        }
    }

    /// Reads the response's head, and sends it on with what came behind it.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
    ) -> Poll<Result<(), HeadFault>> {
        let door = self.door.clone();
        let worker = &*door.worker;
        let http = &worker.http;
        loop {
            let mut scratch = worker.buffers.scratch.borrow_mut();
            let bytes = match ready!(io::poll_read(&mut self.stream, cx, &mut scratch[..WINDOW_BYTES])) {
                Ok(0) | Err(_) => return Poll::Ready(Err(HeadFault::Broken)),
                Ok(bytes) => bytes,
            };
            let mut length = bytes;
            if let Some(scan) = &mut self.early_scan {
                self.early.extend_from_slice(&scratch[..bytes]);
                if !scan.is_ready(&self.early, &http.limits) {
                    continue;
                }
                length = self.early.len();
                // At most a head and one window, which the scratch buffer has room for.
                scratch[..length].copy_from_slice(&self.early);
                self.early_scan = None;
                worker.buffers.give_back(std::mem::take(&mut self.early));
            }
            let mut at = 0;
            while at < length {
                let mut table = http.response.borrow_mut();
                match parse_response(&scratch[at..length], &mut table, &http.limits, &self.wire) {
                    Err(error) => {
                        let member = self.work.member().plan.address;
                        tracing::debug!(%member, code = error.code(), %error, "a response was refused");
                        return Poll::Ready(Err(HeadFault::Malformed));
                    }
                    Ok(Parsed::Partial(scan)) => {
                        keep(worker, &mut self.early, &scratch[at..length]);
                        self.early_scan = Some(scan);
                        break;
                    }
                    Ok(Parsed::Complete(head)) => {
                        at += head.len();
                        self.down.uncounted.0 += head.len() as u64;
                        if head.is_interim() {
                            self.pass_interim(connection, &head)?;
                            continue;
                        }
                        return Poll::Ready(self.respond(connection, &head, &scratch[at..length], bytes));
                    }
                }
            }
        }
    }

    /// Passes a 1xx response on; a client of HTTP/1.0 would not understand it.
    fn pass_interim(&mut self, connection: &Connection, head: &ResponseHead<'_>) -> Result<(), HeadFault> {
        self.awaits_continue &= head.status() != 100;
        if self.version == Version::Http10 {
            return Ok(());
        }
        let worker = &*self.door.worker;
        let mut out = worker.buffers.head.borrow_mut();
        out.clear();
        let how = ResponseOut { downstream: self.version, keep_alive: true, edits: Edits::none() };
        let _bodiless = write_response(&mut out, head, &how);
        self.down.send_head(worker, &out, &connection.client).map_err(|_| HeadFault::Client)
    }

    /// Sends a response's head on, with the part of its body that is there.
    fn respond(
        &mut self,
        connection: &Connection,
        head: &ResponseHead<'_>,
        rest: &[u8],
        read: usize,
    ) -> Result<(), HeadFault> {
        let worker = &*self.door.worker;
        let mut out = worker.buffers.head.borrow_mut();
        out.clear();
        let edits = Edits { drop: SERVER, drop_names: &[], append: &worker.http.server };
        // A client that was not invited to send its body cannot say where its next request begins.
        let keep_alive = self.keep_alive && !self.awaits_continue && !worker.is_draining();
        let how = ResponseOut { downstream: self.version, keep_alive, edits };
        let delivery = write_response(&mut out, head, &how);
        self.status = head.status();
        self.keep_alive = delivery.keep_alive;
        self.reusable = head.keep_alive();
        self.tunnel = head.tunnel();
        worker.buffers.give_back(std::mem::take(&mut self.replay));
        self.down.follow_with(Body::for_response(head.framing()), delivery.transfer, read == WINDOW_BYTES);
        let client = &connection.client;
        let closes =
            !self.keep_alive && self.up_state == UpState::Sent && self.tunnel.is_none() && io::quiet(client);
        let send = |pieces: &[IoSlice<'_>], all| {
            let written =
                if all && closes { io::write_last(client, pieces) } else { io::write(client, pieces) };
            written.map_err(|_| Fault::Sink)
        };
        let begun = self.down.begin(worker, &mut out, rest, send).and_then(|taken| {
            let more =
                if self.down.is_read() { 0 } else { self.down.feed(worker, &rest[taken..], client)? };
            Ok(taken + more)
        });
        match begun {
            Ok(taken) if taken < rest.len() => keep(worker, &mut self.early, &rest[taken..]),
            Ok(_) => {}
            Err(Fault::Sink) => return Err(HeadFault::Client),
            // The head is out, so the body's fault shows when the body goes on.
            Err(fault @ (Fault::Source | Fault::Malformed(_))) => self.down.fail(fault),
        }
        Ok(())
    }

    /// The response was sent whole: what becomes of the rest.
    fn completed(&mut self, client: &TcpStream) -> Poll<Ended> {
        if let Some(tunnel) = self.tunnel.take() {
            self.record(Outcome::Answered(self.status), Attempt::Answered(self.status));
            return Poll::Ready(Ended::Tunnel(tunnel));
        }
        if self.up_state == UpState::Open && self.reusable && self.keep_alive {
            // The member answered early and may still be reading.
            return Poll::Pending;
        }
        self.record(Outcome::Answered(self.status), Attempt::Answered(self.status));
        if self.up_state != UpState::Sent {
            self.reusable = false;
            return Poll::Ready(Ended::Linger);
        }
        // Closing while something unread is there would reset the connection, and the client might lose the answer.
        Poll::Ready(match self.keep_alive {
            true => Ended::Next,
            false if io::quiet(client) => Ended::Close,
            false => Ended::Linger,
        })
    }

    /// An attempt failed before anything of a response was seen. `Ok`: another is under way.
    fn failed(&mut self, connection: &Connection, attempt: Attempt, answer: OwnAnswer) -> Result<(), Ended> {
        self.work.member().counters.record(attempt);
        let stale = self.attempt.kept && attempt == Attempt::Broken && self.early.is_empty();
        let untouched = !self.attempt.sent;
        let repeatable = (untouched || !self.replay.is_empty()) && self.early.is_empty();
        let allowed = stale || (self.may_retry() && self.tried.add(self.work.index()));
        if !repeatable || !allowed {
            return Err(self.own(answer, None));
        }
        let door = self.door.clone();
        let Some(target) = &self.service.target else { return Err(self.own(answer, None)) };
        let replay = std::mem::take(&mut self.replay);
        let pending = self.up.pending().take();
        let bytes = if untouched { &pending } else { &replay };
        let pieces = [IoSlice::new(bytes)];
        match open(&self.service, target, connection.peer, &mut self.tried, true, &pieces) {
            Ok(opened) => {
                self.service.counters.retries.inc();
                self.up.pending().keep(&door.worker.buffers, &pieces, opened.written);
                self.up.uncounted.1 += opened.written as u64;
                self.work = opened.work;
                self.stream = opened.stream;
                self.attempt = opened.state;
                self.replay = replay;
                if self.up.is_read() {
                    self.up_state = if self.up.is_done() { UpState::Sent } else { UpState::Open };
                }
                Ok(())
            }
            Err(_) => Err(self.own(answer, None)),
        }
    }

    fn may_retry(&self) -> bool {
        match &self.service.plan.service {
            plan::ServicePlan::Http(http) => http.member_retry,
            plan::ServicePlan::Tcp => false,
        }
    }

    /// The deadline is over. `Ok`: another attempt is under way.
    fn expire(&mut self, connection: &Connection) -> Result<(), Ended> {
        if self.attempt.connecting {
            return self.failed(connection, Attempt::ConnectFailed, OwnAnswer::GatewayTimeout);
        }
        if self.up_state == UpState::Open && self.up.starved {
            return Err(self.give_up(OwnAnswer::RequestTimeout));
        }
        if self.status == 0 {
            return self.failed(connection, Attempt::TimedOut, OwnAnswer::GatewayTimeout);
        }
        if self.down.starved {
            self.record(Outcome::Answered(self.status), Attempt::TimedOut);
            return Err(Ended::Reset);
        }
        Err(self.client_gone())
    }

    /// How long the exchange may go without anything moving.
    fn patience(&self) -> Duration {
        let plan = &self.service.plan;
        if self.attempt.connecting {
            return plan.connect_timeout;
        }
        match &plan.service {
            plan::ServicePlan::Http(http) if !(self.up_state == UpState::Open && self.up.starved) => {
                http.response_timeout
            }
            _ => request_timeout(&self.service),
        }
    }

    /// The client's request is at fault: it is answered, if no answer has begun.
    fn give_up(&mut self, answer: OwnAnswer) -> Ended {
        if self.status == 0 {
            self.work.member().counters.record(Attempt::Abandoned);
            return self.own(answer, None);
        }
        self.record(Outcome::Answered(self.status), Attempt::Abandoned);
        if self.down.is_done() { Ended::Linger } else { Ended::Reset }
    }

    fn client_gone(&mut self) -> Ended {
        self.record(Outcome::ClientGone, Attempt::Abandoned);
        Ended::Reset
    }

    fn own(&self, answer: OwnAnswer, router_code: Option<RouterCode>) -> Ended {
        Ended::Own(Own {
            answer,
            router_code,
            version: self.version,
            head_only: self.wire.method() == MethodKind::Head,
            keep_alive: self.keep_alive && self.up.is_read(),
            service: self.service.clone(),
        })
    }

    fn record(&self, outcome: Outcome, attempt: Attempt) {
        self.service.counters.record(outcome);
        self.work.member().counters.record(attempt);
    }

    /// Counts bytes; whether any moved since the last time.
    fn count(&mut self) -> bool {
        let (from_client, to_member) = std::mem::take(&mut self.up.uncounted);
        let (from_member, to_client) = std::mem::take(&mut self.down.uncounted);
        let (listener, member) = (&self.service.counters, &self.work.member().counters);
        listener.bytes_in.add(from_client);
        listener.bytes_out.add(to_client);
        member.bytes_in.add(from_member);
        member.bytes_out.add(to_member);
        from_client | to_member | from_member | to_client != 0
    }
}

/// Why no response head came.
enum HeadFault {
    /// The client broke the connection while an interim response, or the head, was sent to it.
    Client,
    /// The member broke the connection.
    Broken,
    /// What the member sent is no response.
    Malformed,
}

/// What is taken out of responses: ours goes in its place.
const SERVER: HeaderSet = HeaderSet::of(&[HeaderId::SERVER]);

/// Writes the head for the member.
fn write_head(
    out: &mut Vec<u8>,
    connection: &Connection,
    service: &Service,
    head: &RequestHead<'_>,
) -> Result<wire::h1::Exchange, wire::h1::BadHeaderLine> {
    let door = &*connection.door;
    let mut lines = door.worker.http.lines.borrow_mut();
    lines.clear();
    service.inserted.write(&mut lines, head, connection.peer, door.address)?;
    // Only HTTP/1.0 requests may come without a host; they get the address that the client reached.
    let hostless = head.version() == Version::Http10 && head.host().is_none();
    let address = if hostless { door.address.to_string() } else { String::new() };
    let host_default = Authority::parse(if hostless { address.as_bytes() } else { b"elb" });
    let Ok(host_default) = host_default else { return Err(wire::h1::BadHeaderLine::Value) };
    let how = RequestOut {
        host_default,
        host: None,
        target: None,
        connection: head.upgrade().map_or(UpstreamConnection::KeepAlive, UpstreamConnection::Upgrade),
        edits: Edits { drop: service.inserted.drop, drop_names: &[], append: &lines },
    };
    Ok(write_request(out, head, &how))
}

/// Gives the beginning of a request to a member: on a kept connection, unless `fresh` is wanted, or on a new one. The next
/// member is tried when one cannot be reached at once.
fn open(
    service: &Service,
    target: &Rc<Target>,
    client: SocketAddr,
    tried: &mut Tried,
    fresh: bool,
    pieces: &[IoSlice<'_>],
) -> Result<Opened, Refused> {
    loop {
        let work = match target.begin(client.ip(), tried) {
            Ok(work) => work,
            Err(Unserved::NoMembers) => return Err((OwnAnswer::NotFound, Some(RouterCode::NoPool))),
            Err(Unserved::NoneUsable) if tried.is_empty() => {
                return Err((OwnAnswer::Unavailable, Some(RouterCode::NoneUsable)));
            }
            Err(Unserved::NoneUsable) => return Err((OwnAnswer::BadGateway, None)),
        };
        let member = work.member();
        while let Some(stream) = if fresh { None } else { member.take_idle() } {
            // A kept connection that fails at once has taken nothing.
            if let Ok(written) = io::write(&stream, pieces) {
                let state = State { connecting: false, kept: true, sent: written > 0 };
                return Ok(Opened { work, stream, written, state });
            }
        }
        let opened = io::connect(member.plan.address).and_then(|stream| {
            io::send_at_once(&stream);
            io::write_at_once(&stream, pieces).map(|written| (stream, written))
        });
        match opened {
            Ok((stream, written)) => {
                member.counters.connections.inc();
                let state = State { connecting: written == 0, kept: false, sent: written > 0 };
                return Ok(Opened { work, stream, written, state });
            }
            Err(error) => {
                tracing::debug!(member = %member.plan.address, %error, "cannot reach a member");
                member.counters.record(Attempt::ConnectFailed);
                let retry = match &service.plan.service {
                    plan::ServicePlan::Http(http) => http.member_retry,
                    plan::ServicePlan::Tcp => false,
                };
                if !retry || !tried.add(work.index()) {
                    return Err((OwnAnswer::BadGateway, None));
                }
                service.counters.retries.inc();
            }
        }
    }
}
