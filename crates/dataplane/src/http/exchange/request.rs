//! The request's side of an exchange: its head to a member, its body behind it.

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use telemetry::OwnAnswer;
use wire::content_coding::{ContentCoding, negotiate};
use wire::h1::{
    Authority, Body, BodyError, Edits, Framing, HeaderId, MethodKind, OriginForm, RequestHead, RequestOut,
    Transfer, UpstreamConnection, Version, write_request,
};

use super::{
    AnswerChanges, Ended, Exchange, Logged, UpState,
    attempt::{Asked, Opened, open},
};
use crate::{
    acceptor::Door,
    http::{
        BODY_BYTES_MAX,
        answer::{Own, Reply, RouterCode},
        connection::Connection,
        cors, early,
        fault::Fault,
        flow::Flow,
        mirror,
        policy::{self, By, Way},
        sticky::{Stuck, look, unmark},
    },
    limits::Direction,
    rounds::CONNECT_UNITS,
    service::Service,
    target::{Target, Tried},
};

impl Exchange {
    /// Sends a request whose head is whole to a member; `rest` is what came behind it. `last`: no other request may follow on its
    /// connection.
    pub(in crate::http) fn begin(
        connection: &mut Connection,
        service: Rc<Service>,
        head: RequestHead<'_>,
        rest: &[u8],
        last: bool,
    ) -> Result<Box<Self>, Own> {
        let door = connection.door.clone();
        let worker = &*door.worker;
        let kept = !service.plan.idle_timeout.is_zero() && !door.is_leaving();
        let keep_alive = head.keep_alive() && kept && !last;
        let version = head.version();
        service.counters.bytes_in.add(head.len() as u64);
        if let Some(caps) = &service.caps {
            caps.owe(Direction::In, head.len() as u64);
        }
        let mut log = service.plan.access_log.is_some().then(|| worker.http.drafts.begin(&head));
        let bodiless = matches!(head.framing(), Framing::None | Framing::Length(0));
        let own = |(reply, router_code): (Reply, Option<RouterCode>),
                   rest: &[u8],
                   connection: &mut Connection,
                   log| {
            if bodiless && !rest.is_empty() {
                worker.buffers.add(&mut connection.input, rest);
            }
            let head_only = head.method_kind() == MethodKind::Head;
            // What follows a CONNECT may be meant for its tunnel.
            let keep_alive = keep_alive && bodiless && head.method_kind() != MethodKind::Connect;
            Own { reply, router_code, version, head_only, keep_alive, service: service.clone(), log }
        };
        let early = match (head.method_kind(), head.framing()) {
            (MethodKind::Connect, _) => Some(OwnAnswer::NotImplemented),
            (_, Framing::Length(length)) if length > BODY_BYTES_MAX => Some(OwnAnswer::BodyTooLong),
            _ => None,
        };
        if let Some(early) = early {
            return Err(own((early.into(), None), rest, connection, log));
        }
        if let Some(caps) = &service.caps
            && !caps.admits_request()
        {
            service.counters.limited.inc();
            return Err(own((OwnAnswer::Unavailable.into(), None), rest, connection, log));
        }
        let way = match &service.plan.router {
            None => policy::default_way(&service),
            Some(router) => policy::find_way(router, &service, connection, &head),
        };
        let (target, by) = match way {
            Way::Forward { target, by } => (target, by),
            Way::Answer(reply, code) => return Err(own((reply, code), rest, connection, log)),
        };
        let stuck = target.sticky.as_ref().map(|sticky| look(target, sticky, &head, connection.peer.ip()));

        let mut out = worker.buffers.head.borrow_mut();
        out.clear();
        let Ok(wire) = write_head(&mut out, connection, &service, &head, target, by.as_ref()) else {
            return Err(own((OwnAnswer::BadRequest.into(), None), rest, connection, log));
        };
        let wanted = stuck.as_ref().and_then(|stuck| stuck.member);
        let changes = answer_changes(&head, by.as_ref(), stuck);
        let compression = compression(&service, &head);
        let mut copy = by.as_ref().and_then(|by| copy(by, &service, connection, &head, wire));
        let head_alone = match &copy {
            Some((_, Bodies::Left)) => Some(worker.buffers.keep(&out)),
            _ => None,
        };
        let mut up = Flow::new(Body::for_request(head.framing()), Transfer::Relay);
        if let Some((_, Bodies::Sent)) = &copy {
            up.tap();
        }
        let (mut tried, mut opened, mut refused) = (Tried::default(), None, (OwnAnswer::BadRequest, None));
        let begun = up.begin(worker, &mut out, rest, |pieces, _all| {
            let asked = Asked { worker, service: &service, target, client: connection.peer, wanted };
            match open(&asked, &mut tried, false, pieces, &mut log) {
                Ok(open) => Ok(opened.insert(open).written),
                Err(why) => {
                    refused = why;
                    Err(Fault::Sink { cut: false })
                }
            }
        });
        let (Ok(mut taken), Some(mut opened)) = (begun, opened) else {
            let (answer, code) = refused;
            let code = match code {
                Some(RouterCode::NoPool) if by.is_some() => Some(RouterCode::NoPoolOfPolicy),
                code => code,
            };
            return Err(own((answer.into(), code), rest, connection, log));
        };
        let (mut up_state, mut down) = (UpState::Open, Flow::none());
        if !up.is_read() {
            match up.feed(worker, &rest[taken..], &mut opened.stream) {
                Ok(more) => taken += more,
                Err(Fault::Sink { cut }) => (up_state, down.cut) = (UpState::Refused, cut),
                Err(Fault::Source) => up_state = UpState::Refused,
                Err(Fault::Malformed(_)) => {
                    return Err(own((OwnAnswer::BadRequest.into(), None), rest, connection, log));
                }
            }
        }
        if taken < rest.len() && up_state == UpState::Open {
            worker.buffers.add(&mut connection.input, &rest[taken..]);
        }
        if up.is_done() {
            up_state = UpState::Sent;
        }
        let repeatable = bodiless && wire.method().is_idempotent();
        let replay = if repeatable { worker.buffers.keep(&out) } else { Vec::new() };
        drop(out);
        let Opened { work, stream, state, .. } = opened;
        if !state.kept {
            door.slot.share().charge(CONNECT_UNITS);
        }
        if let Some(head) = head_alone
            && let Some((copy, _)) = copy.take()
        {
            copy.send_head(&door, &service, &head);
            worker.buffers.give_back(head);
        }
        let mut copy = copy.map(|(copy, _)| copy);
        if up.is_read() {
            send_copy(&mut copy, &mut up, &door, &service);
        }
        let exchange = Self {
            copy,
            log,
            logged: Logged::default(),
            changes,
            compression,
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
            client_ended: false,
            down,
            early: Vec::new(),
            early_scan: None,
            status: 0,
            reusable: false,
            tunnel: None,
            ticket: 0,
        };
        connection.seat.expire_after(exchange.patience());
        Ok(Box::new(exchange))
    }

    /// Moves the request's body on; how the exchange ends, if that ends it.
    pub(super) fn advance_request(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
    ) -> Option<Ended> {
        let worker = &*self.door.worker;
        let up = self.up.poll(worker, cx, &mut connection.client, &mut self.stream, &mut connection.input);
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
                send_copy(&mut self.copy, &mut self.up, &self.door, &self.service);
                None
            }
            // The member may have answered before it closed: its answer is still read.
            Poll::Ready(Err(Fault::Sink { cut })) => {
                self.up_state = UpState::Refused;
                self.down.cut = cut;
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
}

/// Whether copies have bodies.
#[derive(Clone, Copy)]
enum Bodies {
    Sent,
    Left,
}

/// The copy of a request that its policy wants.
fn copy(
    by: &By<'_>,
    service: &Service,
    connection: &Connection,
    head: &RequestHead<'_>,
    wire: wire::h1::Exchange,
) -> Option<(Box<mirror::Copy>, Bodies)> {
    let plan = by.forward.mirror.filter(|_| head.upgrade().is_none())?;
    let target = service.targets.get(plan.target)?.clone();
    let bodies = if plan.body { Bodies::Sent } else { Bodies::Left };
    Some((Box::new(mirror::Copy { target, client: connection.peer, wire }), bodies))
}

/// Sends the copy of a request that is whole now, if one is due.
fn send_copy(copy: &mut Option<Box<mirror::Copy>>, up: &mut Flow, door: &Rc<Door>, service: &Rc<Service>) {
    if let Some((copy, tap)) = copy.take().zip(up.take_tap()) {
        copy.send(door, service, *tap);
    }
}

/// Which coding the client takes; asked only where the listener compresses.
fn compression(service: &Service, head: &RequestHead<'_>) -> Option<Option<ContentCoding>> {
    let http = service.plan.http()?;
    (http.gzip && head.version() == Version::Http11)
        .then(|| negotiate(head.values(HeaderId::ACCEPT_ENCODING)))
}

/// What becomes of the answer; none in the ordinary case.
fn answer_changes(
    head: &RequestHead<'_>,
    by: Option<&By<'_>>,
    stuck: Option<Stuck>,
) -> Option<Box<AnswerChanges>> {
    let cors = by.and_then(|by| by.forward.cors.as_ref());
    let cookie = by.and_then(|by| by.cookie.as_ref());
    if cors.is_none() && cookie.is_none() && stuck.is_none() {
        return None;
    }
    let mut lines = cors.map(|cors| cors::lines(cors, head.header(HeaderId::ORIGIN))).unwrap_or_default();
    if let Some(cookie) = cookie {
        cookie.push(&mut lines);
    }
    let drop_names = if cors.is_some() { cors::MEMBERS_OWN } else { &[] };
    Some(Box::new(AnswerChanges { lines, drop_names, stuck }))
}

/// Writes the head for the member.
fn write_head(
    out: &mut Vec<u8>,
    connection: &Connection,
    service: &Service,
    head: &RequestHead<'_>,
    target: &Target,
    by: Option<&By<'_>>,
) -> Result<wire::h1::Exchange, wire::h1::BadHeaderLine> {
    let door = &*connection.door;
    let mut lines = door.worker.http.lines.borrow_mut();
    lines.clear();
    let inserted = &service.inserted;
    inserted.write(&mut lines, head, connection.peer, door.address, connection.client.client_tls())?;
    // Only HTTP/1.0 requests may come without a host; they get the address that the client reached.
    let address = if head.host().is_none() { door.address.to_string() } else { String::new() };
    let host_default = head.host().map_or_else(|| Authority::parse(address.as_bytes()), Ok);
    let Ok(host_default) = host_default else { return Err(wire::h1::BadHeaderLine::Value) };
    let mut drop = service.inserted.drop;
    if let Some(sticky) = &target.sticky
        && unmark(sticky, head, &mut lines)
    {
        drop.insert(HeaderId::COOKIE);
    }
    let connection_wanted = head.upgrade().map_or(UpstreamConnection::KeepAlive, UpstreamConnection::Upgrade);
    let mut drop_names: Vec<&[u8]> = inserted.drop_names.iter().map(|name| &**name).collect();
    if connection.client.is_early() {
        lines.push(early::FIELD, early::VALUE)?;
        drop_names.push(early::FIELD);
    }
    let Some(by) = by else {
        let edits = Edits { drop, drop_names: &drop_names, append: &lines };
        let how = RequestOut { host_default, host: None, target: None, connection: connection_wanted, edits };
        return Ok(write_request(out, head, &how));
    };
    let rewritten =
        policy::rewrite(by, service, connection, head).map_err(|()| wire::h1::BadHeaderLine::Value)?;
    let host = rewritten.host.as_deref().map(Authority::parse).transpose();
    let Ok(host) = host else { return Err(wire::h1::BadHeaderLine::Value) };
    let changes = &by.work.changes;
    changes.write(&mut lines, &policy::surroundings(service, connection, head));
    drop_names.extend(changes.drop_names());
    let how = RequestOut {
        host_default,
        host,
        target: rewritten.target.as_deref().and_then(OriginForm::new),
        connection: connection_wanted,
        edits: Edits { drop: drop.union(changes.drop()), drop_names: &drop_names, append: &lines },
    };
    Ok(write_request(out, head, &how))
}
