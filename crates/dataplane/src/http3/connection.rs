//! A client's connection of HTTP/3: its handshake, its streams, its end.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use model::TlsVersion;
use quinn::{
    AcceptBi, AcceptUni, Connecting, Connection, ConnectionError, OpenUni, RecvStream, SendStream, VarInt,
    ZeroRttAccepted,
};
use telemetry::TlsFailure;
use wire::h3::{Code, kind, push_frame_header, push_settings, push_varint, stream_type};

use super::{
    control::{self, Opened},
    endpoint::Handshaking,
    message::FIELDS_BYTES_MAX,
    said,
    sender::Sender,
    stream,
};
use crate::{
    acceptor::Door,
    http as http1,
    http::{ClientTls, EarlyStreams},
    http2::{
        guard::Credit,
        in_hand::{IN_HAND_BYTES_MAX, InHand},
    },
    layer4::Open,
    table::{Seat, TICK},
    tls::QuicHandshake,
};

/// What the streams of a connection share.
pub(super) struct Session {
    pub(super) door: Rc<Door>,
    pub(super) connection: Connection,
    /// Where the client was at first.
    pub(super) peer: SocketAddr,
    pub(super) opened: Opened,
    tls: OnceCell<Rc<ClientTls>>,
    /// The client's part of the handshake is not over.
    early: Cell<bool>,
    /// Streams that wait for that.
    waiting: EarlyStreams,
    /// What is held for the client, beside what QUIC holds.
    pub(super) in_hand: Rc<InHand>,
    streams: Cell<usize>,
    /// When the last stream ended, in ticks.
    quiet_since: Cell<u32>,
    /// The longest list of fields that the client takes.
    fields_max: Cell<u64>,
    /// Streams of answers that were said whole and maybe not received.
    sent: RefCell<VecDeque<SendStream>>,
    /// Streams that may end before their time, and when that was restored last, in ticks.
    cut: RefCell<(Credit, u32)>,
    /// The task of the connection, when the end of a stream matters to it.
    wakes: RefCell<Option<Waker>>,
}

impl Session {
    pub(super) fn begin(&self) {
        self.streams.set(self.streams.get() + 1);
    }

    /// How much of a body one stream may have that its member did not take.
    pub(super) fn share(&self) -> usize {
        IN_HAND_BYTES_MAX / self.streams.get().max(1)
    }

    /// A stream ended before its time, whoever wanted that. A client that makes that happen all the time lets us work for nothing
    /// (CVE-2023-44487 is the same in HTTP/2).
    pub(super) fn note_cut(&self) {
        let now = self.door.worker.table.now();
        let (credit, restored) = &mut *self.cut.borrow_mut();
        credit.restore_for(now.saturating_sub(std::mem::replace(restored, now)));
        if !credit.spend() {
            self.fail(Code::EXCESSIVE_LOAD, "too many streams that end before their time");
        }
    }

    /// A stream has ended; what it sent may still be on its way.
    pub(super) fn end(&self, mut sender: Sender) {
        self.streams.set(self.streams.get() - 1);
        self.quiet_since.set(self.door.worker.table.now());
        if sender.is_sent() {
            self.forget_received();
            self.sent.borrow_mut().push_back(sender.into_stream());
        } else {
            drop(tokio::task::spawn_local(async move {
                // Whoever does not take it ends the connection, by its idle time at last.
                let _lost = poll_fn(|cx| sender.poll_send(cx)).await;
            }));
        }
        if let Some(waker) = self.wakes.take() {
            waker.wake();
        }
    }

    /// Forgets the answers that were received whole; whether all were.
    fn forget_received(&self) -> bool {
        let mut sent = self.sent.borrow_mut();
        // quinn forgets a stream when all of it was acknowledged.
        while sent.front().is_some_and(|stream| stream.priority().is_err()) {
            sent.pop_front();
        }
        sent.is_empty()
    }

    /// The client broke a rule, which ends the connection.
    pub(super) fn fail(&self, code: Code, why: &str) {
        tracing::debug!(client = %self.peer, code = code.0, why, "what a client sent ends its connection");
        self.connection.close(said(code), why.as_bytes());
    }

    pub(super) fn set_fields_max(&self, fields_max: Option<u64>) {
        self.fields_max.set(fields_max.unwrap_or(u64::MAX));
    }

    pub(super) fn fields_max(&self) -> u64 {
        self.fields_max.get()
    }

    /// What is known of the client's TLS: all of it, as streams come behind its hello.
    pub(super) fn tls(&self) -> Option<&ClientTls> {
        if self.tls.get().is_none()
            && let Some(handshake) = self.handshake()
        {
            let _first = self.tls.set(http1::client_tls(handshake.info));
        }
        self.tls.get().map(AsRef::as_ref)
    }

    fn handshake(&self) -> Option<QuicHandshake> {
        self.connection.handshake_data()?.downcast().ok().map(|handshake| *handshake)
    }

    pub(super) fn is_early(&self) -> bool {
        self.early.get()
    }

    /// For a stream: ready when the client's handshake is over.
    pub(super) fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.waiting.poll(cx, self.early.get())
    }
}

/// Serves a client's connection to its end.
pub(super) async fn serve(
    door: Rc<Door>,
    connecting: Connecting,
    peer: SocketAddr,
    handshaking: Handshaking,
    _open: Open,
) {
    let seat = Seat::take(&door.worker.table, door.slot.group());
    let service = door.slot.service();
    seat.occupy().await;
    seat.expire_after(http1::request_timeout(&service));
    drop(service);
    // On our side this never fails; where nothing comes early, the first stream comes behind the handshake.
    let Ok((connection, shaken)) = connecting.into_0rtt() else { return };
    let session = Rc::new(Session {
        door,
        connection: connection.clone(),
        peer,
        opened: Opened::default(),
        tls: OnceCell::new(),
        early: Cell::new(true),
        waiting: EarlyStreams::default(),
        in_hand: InHand::new(),
        streams: Cell::new(0),
        quiet_since: Cell::new(0),
        fields_max: Cell::new(u64::MAX),
        sent: RefCell::default(),
        cut: RefCell::new((Credit::of_resets(), 0)),
        wakes: RefCell::default(),
    });
    let mut life = Life {
        session: session.clone(),
        seat,
        state: State::Handshake,
        handshaking: Some(handshaking),
        control: None,
        next: 0,
    };
    let (mut shaken, mut requests) = (pin!(shaken), pin!(connection.accept_bi()));
    let (mut others, mut opening) = (pin!(connection.accept_uni()), pin!(connection.open_uni()));
    poll_fn(|cx| {
        life.session.wakes.replace(Some(cx.waker().clone()));
        life.shake(cx, shaken.as_mut());
        life.open(cx, opening.as_mut());
        let taken = life
            .take_others(cx, &connection, others.as_mut())
            .and_then(|()| life.take_requests(cx, &connection, requests.as_mut()));
        if let Err(error) = taken {
            life.lost(&error);
            return Poll::Ready(());
        }
        life.look_after(cx)
    })
    .await;
    session.waiting.end();
}

/// A connection at work.
struct Life {
    session: Rc<Session>,
    seat: Seat,
    state: State,
    /// While it lasts, the handshake counts as one under way.
    handshaking: Option<Handshaking>,
    /// Our control stream.
    control: Option<Sender>,
    /// The id of the stream behind the last that was taken.
    next: u64,
}

enum State {
    /// The client has to say its part of the handshake.
    Handshake,
    Open,
    /// The client was told that the end is near; what it sent before it heard that is served.
    GoingAway,
    /// It was told that streams from this id on are not served.
    Gone(u64),
}

/// The greatest id of a request's stream.
const LAST_ID: u64 = (1 << 62) - 4;

/// How long the client may take for its end, when all was said.
const LAST_WORDS: Duration = Duration::from_secs(2);

impl Life {
    /// Takes note of the end of the handshake.
    fn shake(&mut self, cx: &mut Context<'_>, mut shaken: Pin<&mut ZeroRttAccepted>) {
        if !matches!(self.state, State::Handshake) || shaken.as_mut().poll(cx).is_pending() {
            return;
        }
        let session = &*self.session;
        if session.connection.close_reason().is_some() {
            return;
        }
        self.state = State::Open;
        drop(self.handshaking.take());
        session.early.set(false);
        session.waiting.wake(|| false);
        let service = session.door.slot.service();
        let resumed = session.handshake().is_some_and(|handshake| handshake.info.resumed);
        service.counters.tls().stands(TlsVersion::V13, resumed);
        session.quiet_since.set(session.door.worker.table.now());
        self.seat.expire_after(service.plan.idle_timeout.max(http1::request_timeout(&service)));
    }

    /// Opens our control stream and says our settings.
    fn open(&mut self, cx: &mut Context<'_>, opening: Pin<&mut OpenUni<'_>>) {
        if self.control.is_none()
            && let Poll::Ready(Ok(stream)) = opening.poll(cx)
        {
            let mut settings = Vec::new();
            push_varint(&mut settings, stream_type::CONTROL);
            push_settings(&mut settings, FIELDS_BYTES_MAX as u64);
            let Session { door, in_hand, .. } = &*self.session;
            let mut control = Sender::new(door.worker.clone(), stream, in_hand.clone());
            // The end of the connection shows elsewhere.
            let _lost = control.put(settings.into());
            self.control = Some(control);
        }
        if let Some(control) = &mut self.control {
            let _lost = control.poll_send(cx);
        }
    }

    fn take_others<'c>(
        &mut self,
        cx: &mut Context<'_>,
        connection: &'c Connection,
        mut others: Pin<&mut AcceptUni<'c>>,
    ) -> Result<(), ConnectionError> {
        while let Poll::Ready(stream) = others.as_mut().poll(cx) {
            let stream = stream?;
            others.set(connection.accept_uni());
            drop(tokio::task::spawn_local(control::read(self.session.clone(), stream)));
        }
        Ok(())
    }

    fn take_requests<'c>(
        &mut self,
        cx: &mut Context<'_>,
        connection: &'c Connection,
        mut requests: Pin<&mut AcceptBi<'c>>,
    ) -> Result<(), ConnectionError> {
        while let Poll::Ready(stream) = requests.as_mut().poll(cx) {
            let (send, recv) = stream?;
            requests.set(connection.accept_bi());
            self.begin(send, recv);
        }
        Ok(())
    }

    /// Begins a request, unless it came too late.
    fn begin(&mut self, mut send: SendStream, mut recv: RecvStream) {
        let id = VarInt::from(send.id()).into_inner();
        if matches!(self.state, State::Gone(from) if id >= from) {
            let code = said(Code::REQUEST_REJECTED);
            // The client may have given it up meanwhile.
            let _closed = (send.reset(code), recv.stop(code));
            return;
        }
        self.next = self.next.max(id + 4);
        drop(tokio::task::spawn_local(stream::serve(self.session.clone(), send, recv)));
    }

    /// Drain, deadlines, the end.
    fn look_after(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let session = self.session.clone();
        let worker = &*session.door.worker;
        let busy = session.streams.get() > 0;
        let ends = session.door.is_leaving();
        match self.state {
            State::Handshake => {
                if worker.poll_drain_grace(cx).is_ready() {
                    session.connection.close(said(Code::NO_ERROR), b"");
                    return Poll::Ready(());
                }
                if self.seat.expired() {
                    session.door.slot.service().counters.tls().failed(TlsFailure::Timeout);
                    session.connection.close(said(Code::NO_ERROR), b"the handshake takes too long");
                    return Poll::Ready(());
                }
            }
            State::Open => {
                let idle = session.door.slot.service().plan.idle_timeout;
                let quiet = TICK * worker.table.now().saturating_sub(session.quiet_since.get());
                if ends || self.seat.expired() && !busy && quiet >= idle {
                    self.go_away(cx);
                } else if self.seat.expired() {
                    self.seat.expire_after(if busy { idle.max(TICK) } else { idle.saturating_sub(quiet) });
                }
            }
            State::GoingAway if self.seat.expired() => {
                self.state = State::Gone(self.next);
                self.say_goaway(cx, self.next);
                self.seat.expire_after(LAST_WORDS);
                return self.look_after(cx);
            }
            State::GoingAway => {}
            State::Gone(_) if busy => {
                // The streams keep their own deadlines.
                if self.seat.expired() {
                    self.seat.expire_after(LAST_WORDS);
                }
            }
            State::Gone(_) => {
                if session.forget_received() || self.seat.expired() && quiet_for(&session) >= LAST_WORDS {
                    session.connection.close(said(Code::NO_ERROR), b"");
                    return Poll::Ready(());
                }
                // What was sent shall be received before the end is said, as nothing is sent again behind it.
                self.seat.expire_after(TICK);
            }
        }
        Poll::Pending
    }

    /// Tells the client that the end is near, and lets it hear that before streams are refused.
    fn go_away(&mut self, cx: &mut Context<'_>) {
        self.state = State::GoingAway;
        self.say_goaway(cx, LAST_ID);
        self.seat.expire_after((2 * self.session.connection.rtt()).clamp(TICK, LAST_WORDS));
    }

    fn say_goaway(&mut self, cx: &mut Context<'_>, id: u64) {
        let Some(control) = &mut self.control else { return };
        let (mut payload, mut frame) = (Vec::new(), Vec::new());
        push_varint(&mut payload, id);
        push_frame_header(&mut frame, kind::GOAWAY, payload.len() as u64);
        frame.extend_from_slice(&payload);
        // The end of the connection shows elsewhere.
        let _lost = control.put(Bytes::from(frame));
        let _lost = control.poll_send(cx);
    }

    /// The connection has ended without us.
    fn lost(&self, error: &ConnectionError) {
        tracing::debug!(client = %self.session.peer, %error, "a connection of HTTP/3 ended");
        if !matches!(self.state, State::Handshake) {
            return;
        }
        let ours = self.session.handshake().and_then(|handshake| handshake.failure);
        let why = match error {
            _ if ours.is_some() => ours,
            ConnectionError::TimedOut => Some(TlsFailure::Timeout),
            ConnectionError::ConnectionClosed(close) => Some(match alert(close.error_code.into()) {
                true => TlsFailure::ClientAlert,
                false => TlsFailure::ClientGone,
            }),
            ConnectionError::ApplicationClosed(_) | ConnectionError::Reset => Some(TlsFailure::ClientGone),
            ConnectionError::LocallyClosed => None,
            ConnectionError::VersionMismatch
            | ConnectionError::TransportError(_)
            | ConnectionError::CidsExhausted => Some(TlsFailure::Other),
        };
        if let Some(why) = why {
            self.session.door.slot.service().counters.tls().failed(why);
        }
    }
}

/// How long no stream has ended.
fn quiet_for(session: &Session) -> Duration {
    TICK * session.door.worker.table.now().saturating_sub(session.quiet_since.get())
}

/// Whether a code of QUIC is an alert of TLS (RFC 9001 section 4.8).
fn alert(code: u64) -> bool {
    (0x100..0x200).contains(&code)
}
