//! The request's side of an exchange: its head to a member, its body behind it.

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use telemetry::OwnAnswer;
use wire::content_coding::{ContentCoding, negotiate};
use wire::h1::{
    Authority, Body, BodyError, Edits, Framing, HeaderId, MethodKind, RequestHead, RequestOut, Transfer,
    UpstreamConnection, Version, write_request,
};

use super::{
    Ended, Exchange, Logged, UpState,
    attempt::{Opened, open},
};
use crate::{
    http::{
        BODY_BYTES_MAX,
        answer::{Own, RouterCode},
        connection::Connection,
        flow::{Fault, Flow, keep},
    },
    service::Service,
    target::Tried,
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
        let kept = !service.plan.idle_timeout.is_zero() && !worker.is_draining();
        let keep_alive = head.keep_alive() && kept && !last;
        let version = head.version();
        service.counters.bytes_in.add(head.len() as u64);
        let mut log = service.plan.access_log.is_some().then(|| worker.http.drafts.begin(&head));
        let bodiless = matches!(head.framing(), Framing::None | Framing::Length(0));
        let own = |(answer, router_code), rest: &[u8], connection: &mut Connection, log| {
            if bodiless && !rest.is_empty() {
                keep(worker, &mut connection.input, rest);
            }
            let head_only = head.method_kind() == MethodKind::Head;
            // What follows a CONNECT may be meant for its tunnel.
            let keep_alive = keep_alive && bodiless && head.method_kind() != MethodKind::Connect;
            Own { answer, router_code, version, head_only, keep_alive, service: service.clone(), log }
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
            return Err(own(early, rest, connection, log));
        }
        let Some(target) = &service.target else {
            return Err(own((OwnAnswer::NotFound, Some(RouterCode::NoPool)), rest, connection, log));
        };

        let mut out = worker.buffers.head.borrow_mut();
        out.clear();
        let Ok(wire) = write_head(&mut out, connection, &service, &head) else {
            return Err(own((OwnAnswer::BadRequest, None), rest, connection, log));
        };
        let compression = compression(&service, &head);
        let mut up = Flow::new(Body::for_request(head.framing()), Transfer::Relay);
        let (mut tried, mut opened, mut refused) = (Tried::default(), None, (OwnAnswer::BadRequest, None));
        let begun = up.begin(worker, &mut out, rest, |pieces, _all| {
            match open(&service, target, connection.peer, &mut tried, false, pieces, &mut log) {
                Ok(open) => Ok(opened.insert(open).written),
                Err(why) => {
                    refused = why;
                    Err(Fault::Sink)
                }
            }
        });
        let (Ok(mut taken), Some(mut opened)) = (begun, opened) else {
            return Err(own(refused, rest, connection, log));
        };
        let mut up_state = UpState::Open;
        if !up.is_read() {
            match up.feed(worker, &rest[taken..], &mut opened.stream) {
                Ok(more) => taken += more,
                Err(Fault::Sink | Fault::Source) => up_state = UpState::Refused,
                Err(Fault::Malformed(_)) => {
                    return Err(own((OwnAnswer::BadRequest, None), rest, connection, log));
                }
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
            log,
            logged: Logged::default(),
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
}

/// Which coding the client takes; asked only where the listener compresses.
fn compression(service: &Service, head: &RequestHead<'_>) -> Option<Option<ContentCoding>> {
    let plan::ServicePlan::Http(http) = &service.plan.service else { return None };
    (http.gzip && head.version() == Version::Http11)
        .then(|| negotiate(head.values(HeaderId::ACCEPT_ENCODING)))
}

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
