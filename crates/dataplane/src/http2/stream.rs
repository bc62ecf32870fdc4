//! One stream of HTTP/2 in the place of a connection of HTTP/1.1.
//!
//! A client's stream is a connection on which one request comes; its end follows the request. A stream to a member is a
//! connection that takes one request, and is then closed.

use std::{
    io::{self, IoSlice},
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, client::ResponseFuture, server::SendResponse};
use http::{Response, StatusCode};

use super::{
    broken,
    client::Link,
    head,
    in_hand::{InHand, SMALL_BYTES_MAX, Turn},
    incoming::{Framing, Incoming},
    outgoing::{Begun, Outgoing},
    request::{Said, say_field},
    sending::Sending,
    server::Session,
};
use crate::{
    http::{ClientTls, EncoderRoom},
    worker::Worker,
};

/// One stream of HTTP/2.
pub(crate) struct H2Stream {
    worker: Rc<Worker>,
    incoming: Incoming<RecvStream>,
    outgoing: Outgoing<Sending>,
    role: Role,
    /// Its turn to send a head, where that has to wait.
    turn: Turn,
    /// What was offered and not taken, as its connection knows it.
    beside: usize,
    /// A call of gRPC.
    grpc: bool,
    /// It was reset by us.
    reset: bool,
}

enum Role {
    /// A client's.
    Server { respond: SendResponse<Bytes>, session: Rc<Session>, head_only: bool, accept: Option<Box<str>> },
    /// To a member.
    Client { link: Rc<Link>, response: Option<ResponseFuture>, head_only: bool },
}

impl H2Stream {
    /// A client's stream; `text` is the head of its request.
    pub(super) fn of_client(
        session: Rc<Session>,
        text: Vec<u8>,
        said: Said,
        body: RecvStream,
        respond: SendResponse<Bytes>,
    ) -> Self {
        session.begin();
        Self {
            worker: session.door.worker.clone(),
            incoming: Incoming::new(text, body, said.framing),
            outgoing: Outgoing::new(),
            role: Role::Server { respond, session, head_only: said.head_only, accept: said.accept },
            turn: Turn::default(),
            beside: 0,
            grpc: said.grpc,
            reset: false,
        }
    }

    /// A stream to a member.
    pub(super) fn to_member(worker: Rc<Worker>, link: Rc<Link>) -> Self {
        link.begin();
        Self {
            worker,
            incoming: Incoming::none(),
            outgoing: Outgoing::new(),
            role: Role::Client { link, response: None, head_only: false },
            turn: Turn::default(),
            beside: 0,
            grpc: false,
            reset: false,
        }
    }

    /// See [`crate::stream::Stream::poll_read`].
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Role::Client { response: waiting, head_only, link } = &mut self.role {
            match waiting {
                None if self.outgoing.is_at_head() => return Poll::Pending,
                None => {}
                Some(response) => {
                    let response = ready!(std::pin::Pin::new(response).poll(cx)).map_err(broken)?;
                    *waiting = None;
                    link.note_answer(true);
                    self.incoming = say_response(self.worker.buffers.keep(b""), response, *head_only)?;
                }
            }
        }
        self.incoming.poll_read(&self.worker.buffers, cx, buffer)
    }

    /// See [`crate::stream::Stream::write`].
    pub(crate) fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let Self { worker, incoming, outgoing, role, turn, beside, .. } = self;
        let taken = match role {
            Role::Server { respond, session, head_only, accept } => {
                let in_hand = &session.in_hand;
                if outgoing.is_at_head() && !is_small(pieces) && in_hand.room(turn) == 0 {
                    0
                } else {
                    outgoing.write(&worker.buffers, pieces, |head| {
                        send_response(respond, incoming, head, *head_only, accept, in_hand)
                    })?
                }
            }
            Role::Client { link, response, head_only } => {
                if outgoing.is_at_head() && !link.is_ready()? {
                    return Ok(0);
                }
                outgoing.write(&worker.buffers, pieces, |head| {
                    let head = head::request(&head)?;
                    *head_only = head.request.method() == http::Method::HEAD;
                    let (coming, to) = link.send_request(head.request, head.body.is_done())?;
                    *response = Some(coming);
                    Ok(if head.body.is_done() {
                        Begun::Ended
                    } else {
                        Begun::Body(head.body, Sending::new(to, link.in_hand.clone()))
                    })
                })?
            }
        };
        if let Role::Server { session, .. } = role {
            let offered: usize = pieces.iter().map(|piece| piece.len()).sum();
            session.in_hand.set_beside(beside, offered - taken);
        }
        Ok(taken)
    }

    /// See [`crate::stream::Stream::poll_writable`].
    pub(crate) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.role {
            Role::Client { link, .. } if self.outgoing.is_at_head() => link.poll_ready(cx),
            Role::Server { respond, session, .. } if self.outgoing.is_at_head() => {
                if session.in_hand.poll_room(cx, &mut self.turn).is_ready() {
                    return Poll::Ready(Ok(()));
                }
                let _why = ready!(respond.poll_reset(cx));
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            Role::Client { .. } | Role::Server { .. } => self.outgoing.poll_writable(cx),
        }
    }

    /// See [`crate::stream::Stream::read_max`].
    pub(crate) fn read_max(&self) -> usize {
        match &self.role {
            Role::Server { session, .. } => session.share(),
            Role::Client { .. } => usize::MAX,
        }
    }

    /// See [`crate::stream::Stream::ahead_max`].
    pub(crate) fn ahead_max(&self) -> usize {
        match &self.role {
            Role::Server { session, .. } => session.in_hand.ahead_max(),
            Role::Client { .. } => usize::MAX,
        }
    }

    /// See [`crate::stream::Stream::encoder_room`].
    pub(crate) fn encoder_room(&self) -> Option<&Rc<EncoderRoom>> {
        match &self.role {
            Role::Server { session, .. } => Some(&session.in_hand.encoders),
            Role::Client { .. } => None,
        }
    }

    /// Whether the client gave the stream up, which shows although nothing is read from it.
    pub(crate) fn is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        let Role::Server { respond, .. } = &mut self.role else { return false };
        if self.outgoing.is_done() {
            return false;
        }
        match self.outgoing.to() {
            Some(to) => to.poll_reset(cx).is_ready(),
            None => respond.poll_reset(cx).is_ready(),
        }
    }

    /// See [`crate::stream::Stream::tunnel_status`].
    pub(crate) fn tunnel_status(&self) -> Option<u16> {
        // Extended CONNECT is agreed to by 200 (RFC 8441 section 5).
        self.outgoing.is_tunnel().then_some(200)
    }

    /// Whether a begun stream to a member stands, as far as is known.
    pub(crate) fn is_connected(&self) -> bool {
        match &self.role {
            Role::Server { .. } => true,
            Role::Client { link, .. } => matches!(link.is_ready(), Ok(true)),
        }
    }

    /// Whether nothing came unexpectedly. A stream to a member serves once, so it is never quiet enough to be kept.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.role, Role::Server { .. })
    }

    /// See [`crate::stream::Stream::finish`].
    pub(crate) fn finish(&mut self) {
        self.outgoing.finish();
        if self.outgoing.is_done() && matches!(self.role, Role::Server { .. }) {
            // All is said; what the client still sends is for nobody.
            self.incoming.close_unless_tunnel();
        }
    }

    /// See [`crate::stream::Stream::reset_on_close`].
    pub(crate) fn reset_on_close(&mut self) {
        if std::mem::replace(&mut self.reset, true) {
            return;
        }
        match &mut self.role {
            Role::Server { respond, .. } => match self.outgoing.to() {
                Some(to) => to.send_reset(Reason::INTERNAL_ERROR),
                None => respond.send_reset(Reason::INTERNAL_ERROR),
            },
            Role::Client { .. } => {
                if let Some(to) = self.outgoing.to() {
                    to.send_reset(Reason::CANCEL);
                }
            }
        }
    }

    /// Whether a client calls by gRPC.
    pub(crate) fn is_grpc(&self) -> bool {
        self.grpc
    }

    /// See [`crate::stream::Stream::is_early`].
    pub(crate) fn is_early(&self) -> bool {
        match &self.role {
            Role::Server { session, .. } => session.socket.is_early(),
            Role::Client { .. } => false,
        }
    }

    /// See [`crate::stream::Stream::poll_handshake`].
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.role {
            Role::Server { session, .. } => session.poll_handshake(cx),
            Role::Client { .. } => Poll::Ready(Ok(())),
        }
    }

    /// What is known of the client's TLS.
    pub(crate) fn client_tls(&self) -> Option<&ClientTls> {
        match &self.role {
            Role::Server { session, .. } => session.tls.as_deref(),
            Role::Client { .. } => None,
        }
    }

    /// The round-trip time of the connection below.
    pub(crate) fn rtt_micros(&self) -> Option<u32> {
        match &self.role {
            Role::Server { session, .. } => session.socket.rtt_micros(),
            Role::Client { .. } => None,
        }
    }
}

impl Drop for H2Stream {
    fn drop(&mut self) {
        if !self.reset {
            // A tunnel ends so; anything else that is not whole stays so.
            self.outgoing.finish();
        }
        if matches!(self.role, Role::Server { .. }) && !self.outgoing.is_done() {
            // The client must not take what it has for all.
            self.reset_on_close();
        }
        match &self.role {
            Role::Server { session, .. } => {
                session.in_hand.leave(&self.turn);
                session.in_hand.set_beside(&mut self.beside, 0);
                session.end();
            }
            Role::Client { link, response, .. } => {
                link.end();
                if response.is_some() {
                    link.note_answer(false);
                }
            }
        }
    }
}

/// Whether what is to be written goes out uncounted: a head that is short, with what little body it has.
fn is_small(pieces: &[IoSlice<'_>]) -> bool {
    pieces.iter().map(|piece| piece.len()).sum::<usize>() <= SMALL_BYTES_MAX
}

/// Sends a response's head to a client. Its values keep `head`: a long one is counted.
fn send_response(
    respond: &mut SendResponse<Bytes>,
    incoming: &mut Incoming<RecvStream>,
    head: Bytes,
    head_only: bool,
    accept: &mut Option<Box<str>>,
    in_hand: &Rc<InHand>,
) -> io::Result<Begun<Sending>> {
    let counted = |head: &[u8]| in_hand.count(BytesMut::from(head));
    let head = if head.len() > SMALL_BYTES_MAX { counted(&head) } else { head };
    let head::ResponseHead { mut response, body, accept: got } = head::response(&head, head_only)?;
    let status = response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        let agreed = accept
            .take()
            .is_some_and(|wanted| got.as_ref().is_some_and(|got| got.as_bytes() == wanted.as_bytes()));
        if !agreed {
            let mut refused = Response::new(());
            *refused.status_mut() = StatusCode::BAD_GATEWAY;
            respond.send_response(refused, true).map_err(broken)?;
            incoming.close();
            return Ok(Begun::Ended);
        }
        *response.status_mut() = StatusCode::OK;
        incoming.open_tunnel();
        let to = respond.send_response(response, false).map_err(broken)?;
        return Ok(Begun::Tunnel(Sending::new(to, in_hand.clone())));
    }
    if status.is_informational() {
        // However short: any number of them may follow one another.
        let response = head::response(&counted(&head), head_only)?.response;
        return respond.send_informational(response).map_err(broken).map(|()| Begun::Interim);
    }
    if accept.take().is_some() {
        // No tunnel: what the client sends for it must never be read as anything else.
        incoming.close();
    }
    let ended = body.is_done();
    let to = respond.send_response(response, ended).map_err(broken)?;
    Ok(if ended { Begun::Ended } else { Begun::Body(body, Sending::new(to, in_hand.clone())) })
}

/// Says a member's response.
fn say_response(
    mut out: Vec<u8>,
    response: Response<RecvStream>,
    head_only: bool,
) -> io::Result<Incoming<RecvStream>> {
    let (head, body) = response.into_parts();
    let bodiless = head_only
        || body.is_end_stream()
        || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(head.status.as_str().as_bytes());
    // A stream serves once.
    out.extend_from_slice(b" \r\nconnection: close\r\n");
    for (name, value) in &head.headers {
        // Trailers may follow a body of any length, so it goes in chunks.
        let framing = *name == http::header::CONTENT_LENGTH && !head_only;
        if framing || super::request::is_of_one_connection(name) {
            continue;
        }
        say_field(&mut out, name, value).map_err(head::invalid)?;
    }
    let framing = match bodiless {
        true => {
            if !head_only && !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
                out.extend_from_slice(b"content-length: 0\r\n");
            }
            Framing::None
        }
        false => {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            Framing::Chunked
        }
    };
    out.extend_from_slice(b"\r\n");
    Ok(Incoming::new(out, body, framing))
}
