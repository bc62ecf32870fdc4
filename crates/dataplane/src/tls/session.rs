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

mod incoming;
mod making;
#[cfg(test)]
mod tests;

use std::{
    io::{self, IoSlice},
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::net::TcpStream;

use super::{
    handshake::{Handshake, Keys},
    held::{Held, TlsScratch},
    info::TlsInfo,
    record::{Cursor, DATA_BYTES_MAX, HEADER_BYTES, Kind, OVERHEAD_BYTES_MAX, RecordFault},
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
    /// The peer has broken off, which only a write was told ([`socket::is_cut`]).
    cut: bool,
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

const CLOSE_NOTIFY: u8 = 0;
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
            cut: false,
            finish: Finish::No,
            early: false,
            empty: 0,
            info: None,
            client: None,
        }
    }

    /// The same session with bytes in clear that go out before its first record.
    pub(super) fn behind(mut self, said: &[u8]) -> Self {
        debug_assert!(self.sealed.is_empty(), "nothing was said yet");
        self.sealed.extend(said);
        self
    }

    /// See [`crate::stream::Stream::is_connected`]: the session stands.
    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
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

    fn standing(&self) -> io::Result<()> {
        match &self.phase {
            Phase::Broken(_) => Err(io::ErrorKind::ConnectionAborted.into()),
            Phase::Handshake(_) | Phase::Open(_) => Ok(()),
        }
    }

    /// See [`crate::stream::Stream::poll_read`].
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.sealed.is_empty() {
            match self.flush() {
                Err(_) if self.is_connected() => {
                    // Nobody takes it, but what the peer said before is still read.
                    self.sealed = Held::default();
                    self.finish = Finish::Done;
                }
                flushed => flushed?,
            }
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
            let written = socket::write(&self.tcp, &[IoSlice::new(&out[..length])]);
            let written = written.inspect_err(|error| self.cut |= socket::is_cut(error))?;
            if written < length {
                self.sealed.extend(&out[written..length]);
                break;
            }
        }
        Ok(cursor.taken())
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
            let written = socket::write(&self.tcp, &[IoSlice::new(self.sealed.rest())]);
            match written.inspect_err(|error| self.cut |= socket::is_cut(error))? {
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
