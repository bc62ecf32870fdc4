//! The beginning of a session: the handshake, and words both ways before its end.

use std::{
    io::{self, IoSlice},
    task::{Context, Poll, ready},
};

use super::{
    super::{handshake::Progress, member::certificate_fault, record::Cursor},
    Finish, Phase, TlsStream,
};
use crate::io as socket;

impl TlsStream {
    /// Carries the handshake with a client on. Ready when it is over, or when the client has spoken early: it is then answered, and
    /// the handshake goes on with reading.
    pub(in crate::tls) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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

    pub(super) fn establish(&mut self) -> io::Result<()> {
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

    /// Writes before the client's part of the handshake came.
    pub(super) fn write_early(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
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
}
