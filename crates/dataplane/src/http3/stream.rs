//! One stream of HTTP/3 in the place of a connection of HTTP/1.1: one request comes on it, and its end follows the request.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Response, StatusCode, header, request::Parts};
use quinn::{RecvStream, SendStream, StoppedError, VarInt};
use telemetry::{Outcome, OwnAnswer};
use wire::h3::Code;

use super::{
    connection::Session,
    message,
    receiver::{Fault, Receiver},
    sender::Sender,
};
use crate::{
    http as http1,
    http::{ClientTls, EncoderRoom},
    http2::{
        head,
        incoming::Incoming,
        outgoing::{Begun, Outgoing},
        request::{self, Said, Unsayable},
    },
    stream::Stream,
    table::{Seat, TICK},
};

/// One stream of HTTP/3.
pub(crate) struct H3Stream {
    session: Rc<Session>,
    incoming: Incoming<Receiver>,
    outgoing: Outgoing<Sender>,
    /// Until the head of a response with a body takes it along; and again when there is none.
    sender: Option<Sender>,
    /// What was offered and not taken, as its connection knows it.
    beside: usize,
    said: Said,
    /// It was reset by us.
    reset: bool,
    /// Tells when the client gave the stream up. Made when somebody asks.
    stopped: Option<Stopped>,
}

type Stopped = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>>>>;

/// Serves a stream to its end.
pub(super) async fn serve(session: Rc<Session>, send: SendStream, recv: RecvStream) {
    session.begin();
    let mut sender = Sender::new(session.door.worker.clone(), send, session.in_hand.clone());
    let mut receiver = Receiver::new(session.clone(), recv);
    let peer = session.connection.remote_address();
    let refused = match head(&session, &mut receiver).await {
        Ok((text, said)) => {
            let door = session.door.clone();
            let incoming = Incoming::new(text, receiver, said.framing);
            let stream = H3Stream {
                session,
                incoming,
                outgoing: Outgoing::new(),
                sender: Some(sender),
                beside: 0,
                said,
                reset: false,
                stopped: None,
            };
            return http1::serve_stream(door, Stream::H3(Box::new(stream)), peer).await;
        }
        Err(refused) => refused,
    };
    let counters = session.door.slot.service().counters.clone();
    let stop = match refused {
        Refused::Answered(status) => {
            counters.record(Outcome::Own(OwnAnswer::BadRequest));
            let mut response = Response::new(());
            *response.status_mut() = status;
            let (frame, _) = message::response_frame(&response);
            // Whoever is gone needs no answer.
            let _gone = sender.put(frame).and_then(|()| sender.finish());
            Code::NO_ERROR
        }
        Refused::Malformed(code) => {
            counters.record(Outcome::Own(OwnAnswer::BadRequest));
            session.note_cut();
            sender.reset(code);
            code
        }
        Refused::Gone(code) => {
            session.note_cut();
            sender.reset(code);
            code
        }
    };
    receiver.stop(stop);
    session.end(sender);
}

/// Why a request went no further.
enum Refused {
    /// It is answered by this status alone.
    Answered(StatusCode),
    /// The stream is reset, and that counts as an answer.
    Malformed(Code),
    /// The client went away, or never said anything whole.
    Gone(Code),
}

/// Waits for the head of a request, and says it.
async fn head(session: &Rc<Session>, receiver: &mut Receiver) -> Result<(Vec<u8>, Said), Refused> {
    let refuse = |receiver: &mut Receiver, fault: Fault| match fault {
        Fault::TooLong => Refused::Answered(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        Fault::Lost(_) => Refused::Gone(Code::REQUEST_CANCELLED),
        fault => {
            let _told = receiver.fail(fault);
            Refused::Malformed(receiver.wrong().unwrap_or(Code::MESSAGE_ERROR))
        }
    };
    let worker = &session.door.worker;
    let seat = Seat::take(&worker.table, session.door.slot.group());
    seat.occupy().await;
    seat.expire_after(http1::request_timeout(&session.door.slot.service()));
    let head = poll_fn(|cx| match receiver.poll_head(cx) {
        Poll::Ready(head) => Poll::Ready(Some(head)),
        Poll::Pending => seat.poll_expired().map(|()| None),
    });
    let parts = match head.await {
        Some(Ok(parts)) => parts,
        Some(Err(fault)) => return Err(refuse(receiver, fault)),
        None => return Err(Refused::Gone(Code::REQUEST_INCOMPLETE)),
    };
    let tunnel = parts.method == Method::CONNECT;
    if tunnel {
        receiver.expect_tunnel();
    }
    // The end of a request without a body may come a little later than its head.
    seat.expire_after(if seldom_has_body(&parts) { END_TIME } else { Duration::ZERO });
    let bare = poll_fn(|cx| match receiver.poll_is_bare(cx) {
        Poll::Ready(bare) => Poll::Ready(bare),
        Poll::Pending if seldom_has_body(&parts) => seat.poll_expired().map(|()| Ok(false)),
        Poll::Pending => Poll::Ready(Ok(false)),
    });
    let bare = bare.await.map_err(|fault| refuse(receiver, fault))?;
    drop(seat);
    let mut text = worker.buffers.keep(b"");
    match request::say(&mut text, &parts, bare) {
        Ok(said) => {
            // That it is there once is certain by now; what is no number is refused by whoever reads what was said.
            let length = parts.headers.get(header::CONTENT_LENGTH);
            receiver.expect(length.and_then(|length| length.to_str().ok()?.parse().ok()));
            Ok((text, said))
        }
        Err(error) => {
            tracing::debug!(client = %session.peer, %error, "a request of HTTP/3 was refused");
            worker.buffers.give_back(text);
            Err(match error {
                Unsayable::UnknownProtocol => Refused::Answered(StatusCode::NOT_IMPLEMENTED),
                _ => Refused::Malformed(Code::MESSAGE_ERROR),
            })
        }
    }
}

/// Whether a request is of those whose body means nothing (RFC 9110 section 9.3), and says nothing of one.
fn seldom_has_body(parts: &Parts) -> bool {
    matches!(parts.method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS | Method::TRACE)
        && !parts.headers.contains_key(header::CONTENT_LENGTH)
}

/// How long the end of such a request is waited for. Then it goes on as one with a body.
const END_TIME: Duration = TICK;

impl H3Stream {
    /// See [`Stream::poll_read`].
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.incoming.poll_read(&self.session.door.worker.buffers, cx, buffer)
    }

    /// See [`Stream::write`].
    pub(crate) fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let Self { session, incoming, outgoing, sender, said, beside, .. } = self;
        let fields_max = session.fields_max();
        let taken = outgoing.write(&session.door.worker.buffers, pieces, |head| {
            send_response(sender, incoming, head, said, fields_max)
        })?;
        let offered: usize = pieces.iter().map(|piece| piece.len()).sum();
        session.in_hand.set_beside(beside, offered - taken);
        Ok(taken)
    }

    /// See [`Stream::read_max`].
    pub(crate) fn read_max(&self) -> usize {
        self.session.share()
    }

    /// See [`Stream::encoder_room`].
    pub(crate) fn encoder_room(&self) -> &Rc<EncoderRoom> {
        &self.session.in_hand.encoders
    }

    /// See [`Stream::ahead_max`].
    pub(crate) fn ahead_max(&self) -> usize {
        self.session.in_hand.ahead_max()
    }

    /// See [`Stream::poll_writable`].
    pub(crate) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_writable(cx)
    }

    /// See [`Stream::poll_flush`].
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sender().map_or(Poll::Ready(Ok(())), |sender| sender.poll_send(cx))
    }

    fn sender(&mut self) -> Option<&mut Sender> {
        match &mut self.sender {
            Some(sender) => Some(sender),
            None => self.outgoing.to(),
        }
    }

    /// See [`Stream::tunnel_status`].
    pub(crate) fn tunnel_status(&self) -> Option<u16> {
        // RFC 9220 section 3.
        self.outgoing.is_tunnel().then_some(200)
    }

    /// Whether the client gave the stream up, which shows although nothing is read from it.
    pub(crate) fn is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        if self.outgoing.is_done() {
            return false;
        }
        if self.stopped.is_none() {
            let stopped = self.sender().map(|sender| -> Stopped { Box::pin(sender.stream().stopped()) });
            self.stopped = stopped;
        }
        let Some(stopped) = &mut self.stopped else { return false };
        stopped.as_mut().poll(cx).is_ready()
    }

    /// See [`Stream::finish`].
    pub(crate) fn finish(&mut self) {
        self.outgoing.finish();
        if self.outgoing.is_done() {
            // All is said; what the client still sends is for nobody.
            self.incoming.close_unless_tunnel();
        }
    }

    /// See [`Stream::reset_on_close`].
    pub(crate) fn reset_on_close(&mut self) {
        if std::mem::replace(&mut self.reset, true) {
            return;
        }
        let wrong = self.incoming.body().and_then(|receiver| receiver.wrong());
        let code = wrong.unwrap_or(Code::INTERNAL_ERROR);
        if let Some(sender) = self.sender() {
            sender.reset(code);
        }
        if let Some(receiver) = self.incoming.body() {
            receiver.stop(code);
        }
    }

    /// Whether a client calls by gRPC.
    pub(crate) fn is_grpc(&self) -> bool {
        self.said.grpc
    }

    /// See [`Stream::is_early`].
    pub(crate) fn is_early(&self) -> bool {
        self.session.is_early()
    }

    /// See [`Stream::poll_handshake`].
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.poll_handshake(cx)
    }

    /// What is known of the client's TLS.
    pub(crate) fn client_tls(&self) -> Option<&ClientTls> {
        self.session.tls()
    }

    /// The round-trip time of the connection below.
    pub(crate) fn rtt_micros(&self) -> Option<u32> {
        u32::try_from(self.session.connection.rtt().as_micros()).ok()
    }
}

impl Drop for H3Stream {
    fn drop(&mut self) {
        if !self.reset {
            // A tunnel ends so; anything else that is not whole stays so.
            self.outgoing.finish();
        }
        if !self.outgoing.is_done() {
            // The client must not take what it has for all.
            self.reset_on_close();
        }
        if let Some(receiver) = self.incoming.body() {
            receiver.stop(Code::NO_ERROR);
        }
        if self.reset {
            self.session.note_cut();
        }
        self.session.in_hand.set_beside(&mut self.beside, 0);
        if let Some(sender) = self.sender.take().or_else(|| self.outgoing.take()) {
            self.session.end(sender);
        }
    }
}

/// Sends a response's head to a client.
fn send_response(
    sender: &mut Option<Sender>,
    incoming: &mut Incoming<Receiver>,
    head: Bytes,
    said: &mut Said,
    fields_max: u64,
) -> io::Result<Begun<Sender>> {
    let head::ResponseHead { mut response, body, accept: got } = head::response(&head, said.head_only)?;
    let Some(to) = sender else { return Err(io::ErrorKind::BrokenPipe.into()) };
    let mut send = |response: &Response<()>| {
        let (frame, bytes) = message::response_frame(response);
        if bytes as u64 > fields_max {
            return Err(head::invalid("the client takes no head as long as this"));
        }
        to.put(frame)
    };
    let status = response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        let agreed = said
            .accept
            .take()
            .is_some_and(|wanted| got.as_ref().is_some_and(|got| got.as_bytes() == wanted.as_bytes()));
        if !agreed {
            let mut refused = Response::new(());
            *refused.status_mut() = StatusCode::BAD_GATEWAY;
            send(&refused)?;
            to.finish()?;
            incoming.close();
            return Ok(Begun::Ended);
        }
        *response.status_mut() = StatusCode::OK;
        incoming.open_tunnel();
        send(&response)?;
        return sender.take().map(Begun::Tunnel).ok_or_else(|| io::ErrorKind::BrokenPipe.into());
    }
    send(&response)?;
    if status.is_informational() {
        return Ok(Begun::Interim);
    }
    if said.accept.take().is_some() {
        // No tunnel: what the client sends for it must never be read as anything else.
        incoming.close();
    }
    if body.is_done() {
        to.finish()?;
        return Ok(Begun::Ended);
    }
    sender.take().map(|sender| Begun::Body(body, sender)).ok_or_else(|| io::ErrorKind::BrokenPipe.into())
}
