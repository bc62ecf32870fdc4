//! A TLS session on a socket: what is read and written is plain, what the socket carries is not.
//!
//! Records are opened from the worker's buffer straight into the caller's, and sealed from the caller's straight into the
//! worker's; many go out with one call. An idle session owns two keys and no buffer.
//!
//! The handshake is part of the session: reading and waiting for writability carry it on, writing takes nothing before its end.
//! (So a connection to a member is used as a plain one is.) A fault of the peer is told to it by an alert, and every later call
//! fails. With a client that may speak early, there are words both ways before its end: [`TlsStream::is_early`].
//!
//! The end of what the peer says is its close_notify or the end of its stream: HTTP has lengths of its own, and clients
//! that leave without a word are many.
//!
//! Source: RFC 8446 sections 4.6, 5 and 6; RFC 5246 section 7.2.

use std::{
    io::{self, IoSlice},
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::net::TcpStream;

use super::{
    handshake::{Handshake, Keys, Progress},
    held::{Held, TlsScratch},
    info::TlsInfo,
    member::certificate_fault,
    record::{self, Cursor, DATA_BYTES_MAX, HEADER_BYTES, Kind, OVERHEAD_BYTES_MAX, RecordFault},
};
use crate::{http::ClientTls, io as socket, sys::rtt::rtt_micros};

/// A TLS session, made or being made.
pub(crate) struct TlsStream {
    tcp: TcpStream,
    scratch: Rc<TlsScratch>,
    phase: Phase,
    /// The beginning of a record that has not come whole; during the handshake, all that is not taken.
    incoming: Vec<u8>,
    /// The beginning of a message of TLS that did not come whole.
    message: Vec<u8>,
    /// Plain bytes that nobody has read.
    plain: Held,
    /// Records that the socket has not taken.
    sealed: Held,
    /// The peer has said all.
    ended: bool,
    finish: Finish,
    /// See [`TlsStream::is_early`].
    early: bool,
    /// Records without data in a row.
    empty: u8,
    /// Filled during the handshake, if it is wanted.
    pub(super) info: Option<Box<TlsInfo>>,
    /// What members and logs are told of it; set by whoever serves a client.
    pub(crate) client: Option<Rc<ClientTls>>,
}

enum Phase {
    Handshake(Box<Handshake>),
    Open(Box<Keys>),
    /// It failed; because of the peer's certificate, if there is a text, which says what is wrong with it.
    #[allow(clippy::box_collection, reason = "sessions that work shall not be longer for those that do not")]
    Broken(Option<Box<String>>),
}

/// How far our side's end is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finish {
    /// There is more to say.
    No,
    /// It is to be said when the handshake is over.
    Wanted,
    /// close_notify is sealed; the stream's end follows when it is gone.
    Sealed,
    /// It was said, or shall not be.
    Done,
}

/// Records without data in a row before a peer is taken for an attacker.
const EMPTY_MAX: u8 = 32;

/// Of messages of TLS that come when a session stands, the longest that is taken.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;

const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;
const HELLO_REQUEST: u8 = 0;
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;

impl TlsStream {
    /// A session whose handshake begins; `incoming` came before.
    pub(super) fn new(
        tcp: TcpStream,
        scratch: Rc<TlsScratch>,
        handshake: Handshake,
        incoming: Vec<u8>,
    ) -> Self {
        Self {
            tcp,
            scratch,
            phase: Phase::Handshake(Box::new(handshake)),
            incoming,
            message: Vec::new(),
            plain: Held::default(),
            sealed: Held::default(),
            ended: false,
            finish: Finish::No,
            early: false,
            empty: 0,
            info: None,
            client: None,
        }
    }

    /// What is known of the session that was made; to be taken once.
    pub(crate) fn take_info(&mut self) -> TlsInfo {
        self.info.take().map(|info| *info).unwrap_or_default()
    }

    /// See [`crate::stream::Stream::rtt_micros`].
    pub(crate) fn rtt_micros(&self) -> Option<u32> {
        rtt_micros(&self.tcp)
    }

    /// What is wrong with the peer's certificate, if no session was made because of it.
    pub(crate) fn certificate_fault(&self) -> Option<&str> {
        match &self.phase {
            Phase::Broken(fault) => fault.as_ref().map(|fault| fault.as_str()),
            Phase::Handshake(_) | Phase::Open(_) => None,
        }
    }

    /// Carries the handshake with a client on. Ready when it is over, or when the client has spoken early: it is then answered, and
    /// the handshake goes on with reading.
    pub(super) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let made = self.poll_handshake(cx);
        if let (Poll::Pending, Phase::Handshake(handshake)) = (&made, &self.phase)
            && !self.plain.is_empty()
        {
            if let Some(info) = &mut self.info {
                info.complete(handshake);
            }
            self.early = true;
            return Poll::Ready(Ok(()));
        }
        made
    }

    /// Whether the client spoke before its part of the handshake came: somebody may only be repeating what it once said (RFC 8446
    /// section 8). Stays so when the handshake fails.
    pub(crate) fn is_early(&self) -> bool {
        self.early
    }

    /// Carries the handshake on. Ready when it is over.
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let Phase::Handshake(handshake) = &mut self.phase else {
                return Poll::Ready(self.standing());
            };
            let advanced = handshake.advance(&mut self.incoming, &mut self.plain, &mut self.sealed);
            if let Some(info) = &mut self.info {
                info.note_shown();
            }
            match advanced {
                Err(error) => {
                    self.phase = Phase::Broken(certificate_fault(&error).map(Box::new));
                    self.flush()?;
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                }
                Ok(Progress::Closed) => {
                    self.phase = Phase::Broken(None);
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(Progress::Complete { ended }) => {
                    self.ended = ended;
                    self.establish()?;
                    self.flush()?;
                    return Poll::Ready(Ok(()));
                }
                Ok(Progress::NeedsInput) => self.flush()?,
            }
            if !self.sealed.is_empty() && socket::poll_writable(&self.tcp, cx)?.is_ready() {
                continue;
            }
            let mut window = self.scratch.incoming();
            match ready!(socket::poll_read(&mut self.tcp, cx, &mut window))? {
                0 => {
                    self.phase = Phase::Broken(None);
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                bytes => self.incoming.extend_from_slice(&window[..bytes]),
            }
        }
    }

    fn establish(&mut self) -> io::Result<()> {
        let Phase::Handshake(handshake) = std::mem::replace(&mut self.phase, Phase::Broken(None)) else {
            return Ok(());
        };
        if let Some(info) = &mut self.info {
            info.complete(&handshake);
        }
        let keys = handshake.finish().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.phase = Phase::Open(Box::new(keys));
        self.early = false;
        if self.incoming.is_empty() {
            self.incoming = Vec::new();
        }
        if self.finish == Finish::Wanted {
            self.finish = Finish::No;
            self.finish();
        }
        Ok(())
    }

    fn standing(&self) -> io::Result<()> {
        match &self.phase {
            Phase::Broken(_) => Err(io::ErrorKind::ConnectionAborted.into()),
            Phase::Handshake(_) | Phase::Open(_) => Ok(()),
        }
    }

    /// See [`crate::stream::Stream::poll_read`].
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.sealed.is_empty() {
            self.flush()?;
            if !self.sealed.is_empty() {
                // It goes on when the socket takes more, whatever comes in.
                let _waits = socket::poll_writable(&self.tcp, cx)?;
            }
        }
        loop {
            if !self.plain.is_empty() {
                return Poll::Ready(Ok(self.plain.take(buffer)));
            }
            if self.ended {
                return Poll::Ready(Ok(0));
            }
            if let Phase::Handshake(_) = &self.phase {
                if self.poll_handshake(cx)?.is_pending() && self.plain.is_empty() {
                    return Poll::Pending;
                }
                continue;
            }
            self.standing()?;
            let filled = ready!(self.poll_records(cx, buffer))?;
            if filled > 0 {
                return Poll::Ready(Ok(filled));
            }
        }
    }

    /// Reads once, unless a whole record is there, and opens all that is whole; how much of `buffer` was filled. What does not
    /// fit is held.
    fn poll_records(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let whole = match record::body_bytes(&self.incoming) {
            Ok(Some(body)) => self.incoming.len() >= HEADER_BYTES + body,
            Ok(None) => false,
            Err(fault) => return Poll::Ready(Err(self.fail(fault))),
        };
        if whole {
            let mut incoming = std::mem::take(&mut self.incoming);
            let opened = self.open(&incoming, buffer);
            if let Ok((consumed, _)) = opened
                && consumed < incoming.len()
            {
                incoming.drain(..consumed);
                self.incoming = incoming;
            }
            return Poll::Ready(opened.map(|(_, filled)| filled));
        }
        let scratch = self.scratch.clone();
        let mut window = scratch.incoming();
        let before = self.incoming.len();
        window[..before].copy_from_slice(&self.incoming);
        let read = ready!(socket::poll_read(&mut self.tcp, cx, &mut window[before..]))?;
        if read == 0 {
            self.ended = true;
            return Poll::Ready(Ok(0));
        }
        Poll::Ready(self.open_and_keep(&window[..before + read], buffer))
    }

    /// Opens what is whole of `input`, which begins with all of `incoming`, and keeps the rest there.
    fn open_and_keep(&mut self, input: &[u8], buffer: &mut [u8]) -> io::Result<usize> {
        let (consumed, filled) = self.open(input, buffer)?;
        let rest = &input[consumed..];
        if rest.is_empty() {
            self.incoming = Vec::new();
        } else {
            self.incoming.clear();
            self.incoming.extend_from_slice(rest);
        }
        Ok(filled)
    }

    /// Opens every whole record of `input`; how much of it that was, and how much of `buffer` was filled.
    fn open(&mut self, input: &[u8], buffer: &mut [u8]) -> io::Result<(usize, usize)> {
        match self.try_open(input, buffer) {
            Ok(done) => Ok(done),
            Err(fault) => Err(self.fail(fault)),
        }
    }

    fn try_open(&mut self, input: &[u8], buffer: &mut [u8]) -> Result<(usize, usize), RecordFault> {
        let (mut consumed, mut filled) = (0, 0);
        while !self.ended {
            let rest = &input[consumed..];
            let Some(body_bytes) = record::body_bytes(rest)? else { break };
            let Some((header, body)) = rest
                .get(..HEADER_BYTES + body_bytes)
                .and_then(|record| record.split_first_chunk::<HEADER_BYTES>())
            else {
                break;
            };
            consumed += HEADER_BYTES + body_bytes;
            let Phase::Open(keys) = &mut self.phase else { return Err(RecordFault::Unexpected) };
            let room = keys.open.room_for(body_bytes)?;
            let fits = self.plain.is_empty() && buffer.len() - filled >= room;
            let out = if fits { &mut buffer[filled..filled + room] } else { self.plain.room_for(room) };
            let (kind, length) = keys.open.open(*header, body, out)?;
            if kind == Kind::Data {
                self.empty = if length == 0 { self.empty + 1 } else { 0 };
                if self.empty > EMPTY_MAX {
                    return Err(RecordFault::Unexpected);
                }
                if fits {
                    filled += length;
                } else {
                    self.plain.take_back(room - length);
                }
                continue;
            }
            let content = out[..length].to_vec();
            if !fits {
                self.plain.take_back(room);
            }
            match kind {
                Kind::Alert => self.handle_alert(&content)?,
                Kind::Handshake => self.handle_message(&content)?,
                Kind::ChangeCipherSpec | Kind::Data => return Err(RecordFault::Unexpected),
            }
        }
        Ok((consumed, filled))
    }

    fn handle_alert(&mut self, content: &[u8]) -> Result<(), RecordFault> {
        match *content {
            [_, CLOSE_NOTIFY] => {
                self.ended = true;
                Ok(())
            }
            [_, USER_CANCELED] => Ok(()),
            // TLS 1.2 has warnings that mean nothing to us (RFC 5246 section 7.2).
            [1, _] if !self.renews() => {
                self.empty += 1;
                if self.empty > EMPTY_MAX { Err(RecordFault::Unexpected) } else { Ok(()) }
            }
            [_, alert] => Err(RecordFault::Alert(alert)),
            _ => Err(RecordFault::Malformed),
        }
    }

    /// Whether the session is of TLS 1.3, in which keys are renewed.
    fn renews(&self) -> bool {
        matches!(&self.phase, Phase::Open(keys) if keys.renewal.is_some())
    }

    /// Takes messages of TLS that come when a session stands. There are few: new keys, tickets for us as a client; and we
    /// begin no handshake anew.
    fn handle_message(&mut self, content: &[u8]) -> Result<(), RecordFault> {
        if content.is_empty() {
            return Err(RecordFault::Unexpected);
        }
        self.message.extend_from_slice(content);
        let mut message = std::mem::take(&mut self.message);
        let mut at = 0;
        while let Some(&[kind, a, b, c]) = message[at..].first_chunk::<4>() {
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            if length > MESSAGE_BYTES_MAX {
                return Err(RecordFault::TooLong);
            }
            let Some(body) = message.get(at + 4..at + 4 + length) else { break };
            let is_last = at + 4 + length == message.len();
            let Phase::Open(keys) = &mut self.phase else { return Err(RecordFault::Unexpected) };
            match (kind, &mut keys.renewal) {
                // New keys begin with a record.
                (KEY_UPDATE, Some(renewal)) if is_last => {
                    let answer = match body {
                        [0] => false,
                        [1] => true,
                        _ => return Err(RecordFault::Malformed),
                    };
                    keys.open = renewal.next_to_open().ok_or(RecordFault::Unexpected)?;
                    self.empty += 1;
                    if self.empty > EMPTY_MAX {
                        return Err(RecordFault::Unexpected);
                    }
                    if answer {
                        self.renew()?;
                    }
                }
                (NEW_SESSION_TICKET, Some(renewal)) => {
                    if !renewal.keep_ticket(body) {
                        return Err(RecordFault::Unexpected);
                    }
                }
                // A server of TLS 1.2 may ask for a new handshake; it may also be ignored (RFC 5246 section 7.4.1.1).
                (HELLO_REQUEST, None) if length == 0 => {}
                _ => return Err(RecordFault::Unexpected),
            }
            at += 4 + length;
        }
        message.drain(..at);
        if !message.is_empty() {
            self.message = message;
        }
        Ok(())
    }

    /// Says that our keys change, and changes them.
    fn renew(&mut self) -> Result<(), RecordFault> {
        self.seal_small(Kind::Handshake, &[KEY_UPDATE, 0, 0, 1, 0])?;
        let Phase::Open(keys) = &mut self.phase else { return Err(RecordFault::Unexpected) };
        let next = keys.renewal.as_mut().and_then(|renewal| renewal.next_to_seal());
        keys.seal = next.ok_or(RecordFault::KeyWornOut)?;
        Ok(())
    }

    /// Seals a record of TLS' own behind what waits.
    fn seal_small(&mut self, kind: Kind, content: &[u8]) -> Result<(), RecordFault> {
        let Phase::Open(keys) = &mut self.phase else { return Err(RecordFault::Unexpected) };
        let room = content.len() + OVERHEAD_BYTES_MAX;
        let pieces = [IoSlice::new(content)];
        let out = self.sealed.room_for(room);
        let length = keys.seal.seal(kind, content.len(), &mut Cursor::new(&pieces), out)?;
        self.sealed.take_back(room - length);
        Ok(())
    }

    /// Ends a session that cannot go on; the error for the caller.
    fn fail(&mut self, fault: RecordFault) -> io::Error {
        if let Some(alert) = fault.alert() {
            // Whether the peer hears it changes nothing.
            let _unsaid = self.seal_small(Kind::Alert, &[2, alert]);
            let _unsent = self.flush();
        }
        self.phase = Phase::Broken(None);
        self.finish = Finish::Done;
        io::Error::new(io::ErrorKind::InvalidData, fault)
    }

    /// See [`crate::stream::Stream::write`].
    pub(crate) fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.standing()?;
        if self.finish != Finish::No {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.flush()?;
        if !self.sealed.is_empty() {
            return Ok(0);
        }
        if let Phase::Handshake(_) = &self.phase {
            return if self.early { self.write_early(pieces) } else { Ok(0) };
        }
        let scratch = self.scratch.clone();
        let mut out = scratch.outgoing();
        let mut cursor = Cursor::new(pieces);
        while cursor.left() > 0 {
            let mut length = 0;
            while cursor.left() > 0 && out.len() - length >= DATA_BYTES_MAX + OVERHEAD_BYTES_MAX {
                let Phase::Open(keys) = &mut self.phase else {
                    return Err(io::ErrorKind::NotConnected.into());
                };
                if keys.seal.is_worn() {
                    break;
                }
                let bytes = cursor.left().min(DATA_BYTES_MAX);
                length += match keys.seal.seal(Kind::Data, bytes, &mut cursor, &mut out[length..]) {
                    Ok(sealed) => sealed,
                    Err(fault) => return Err(self.fail(fault)),
                };
            }
            if length == 0 {
                // The keys are worn out.
                if let Err(fault) = self.renew() {
                    return Err(self.fail(fault));
                }
                self.flush()?;
                if !self.sealed.is_empty() {
                    break;
                }
                continue;
            }
            let written = socket::write(&self.tcp, &[IoSlice::new(&out[..length])])?;
            if written < length {
                self.sealed.extend(&out[written..length]);
                break;
            }
        }
        Ok(cursor.taken())
    }

    /// Writes before the client's part of the handshake came.
    fn write_early(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let Phase::Handshake(handshake) = &mut self.phase else { return Ok(0) };
        let mut said = Cursor::new(pieces);
        let spoken = handshake.speak(&mut self.incoming, &mut self.plain, &mut self.sealed, &mut said);
        match spoken {
            Ok(Progress::NeedsInput) => {}
            Ok(Progress::Complete { ended }) => {
                self.ended = ended;
                self.establish()?;
            }
            Ok(Progress::Closed) => return Err(self.break_off(io::ErrorKind::BrokenPipe.into())),
            Err(error) => return Err(self.break_off(io::Error::new(io::ErrorKind::InvalidData, error))),
        }
        self.flush()?;
        Ok(said.taken())
    }

    /// A handshake cannot go on; the peer is told what is sealed.
    fn break_off(&mut self, error: io::Error) -> io::Error {
        self.phase = Phase::Broken(None);
        // Whether the peer hears it changes nothing.
        let _unsent = self.flush();
        error
    }

    /// See [`crate::stream::Stream::poll_writable`].
    pub(crate) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Phase::Handshake(_) = &self.phase {
            let over = self.poll_handshake(cx)?;
            if over.is_pending() && !self.early {
                return Poll::Pending;
            }
        }
        self.poll_flush(cx)
    }

    /// See [`crate::stream::Stream::poll_flush`].
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.flush()?;
            if self.sealed.is_empty() {
                return Poll::Ready(Ok(()));
            }
            ready!(socket::poll_writable(&self.tcp, cx))?;
        }
    }

    /// Writes what the socket takes of what is sealed.
    fn flush(&mut self) -> io::Result<()> {
        while !self.sealed.is_empty() {
            match socket::write(&self.tcp, &[IoSlice::new(self.sealed.rest())])? {
                0 => return Ok(()),
                written => self.sealed.advance(written),
            }
        }
        if self.finish == Finish::Sealed {
            self.finish = Finish::Done;
            socket::finish(&self.tcp);
        }
        Ok(())
    }

    /// See [`crate::stream::Stream::is_quiet`]. Messages of TLS itself (tickets, new keys) are taken and break no silence.
    pub(crate) fn is_quiet(&mut self) -> bool {
        while self.plain.is_empty() && !self.ended && matches!(self.phase, Phase::Open(_)) {
            let scratch = self.scratch.clone();
            let mut window = scratch.incoming();
            let before = self.incoming.len();
            if before + HEADER_BYTES > window.len() {
                return false;
            }
            window[..before].copy_from_slice(&self.incoming);
            match self.tcp.try_read(&mut window[before..]) {
                Ok(0) => return false,
                Ok(bytes) => {
                    if self.open_and_keep(&window[..before + bytes], &mut []).is_err() {
                        return false;
                    }
                }
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock && before == 0,
            }
        }
        false
    }

    /// See [`crate::stream::Stream::finish`].
    pub(crate) fn finish(&mut self) {
        if self.finish == Finish::No && self.early && matches!(self.phase, Phase::Handshake(_)) {
            // Closing now, the client's part still to come, would reset the connection, and what we said might be lost.
            self.finish = Finish::Wanted;
            return;
        }
        if self.finish == Finish::No {
            self.finish = Finish::Sealed;
            // A session that never stood has nothing to close but its socket.
            let _unsaid = self.seal_small(Kind::Alert, &[1, CLOSE_NOTIFY]);
        }
        // A connection that is gone already is left alone.
        let _gone_already = self.flush();
    }

    /// See [`crate::stream::Stream::send_at_once`].
    pub(crate) fn send_at_once(&mut self) {
        socket::send_at_once(&self.tcp);
    }

    /// See [`crate::stream::Stream::reset_on_close`].
    pub(crate) fn reset_on_close(&mut self) {
        self.finish = Finish::Done;
        self.sealed = Held::default();
        socket::reset_on_close(&self.tcp);
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        if matches!(self.phase, Phase::Open(_)) {
            self.finish();
        }
    }
}
