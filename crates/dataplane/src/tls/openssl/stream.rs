//! A session of OpenSSL on a socket; used as [`super::super::TlsStream`] is, and in the same manner.
//!
//! OpenSSL reads from the socket itself and writes into memory, so that nothing that it sealed has to be said to it twice.

use std::{
    io::{self, IoSlice, Read, Write},
    rc::Rc,
    task::{Context, Poll, ready},
};

use ::openssl::ssl::{ErrorCode, ShutdownState, Ssl, SslStream};
use model::TlsVersion;
use tokio::net::TcpStream;
use wire::tls_suites;

use super::{
    super::{
        held::{Held, TlsScratch},
        info::{Alpn, TlsInfo},
        record::DATA_BYTES_MAX,
    },
    Fallback,
};
use crate::{http::ClientTls, io as socket, sys::rtt::rtt_micros};

/// A session by OpenSSL, made or being made.
pub(crate) struct OpensslStream {
    session: SslStream<Carrier>,
    scratch: Rc<TlsScratch>,
    finish: Finish,
    /// It failed; there is nothing more to be had from it.
    broken: bool,
    /// What members and logs are told of it; set by whoever serves the client.
    pub(crate) client: Option<Rc<ClientTls>>,
}

/// How far our side's end is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finish {
    /// There is more to say.
    No,
    /// close_notify is sealed; the stream's end follows when it is gone.
    Sealed,
    /// It was said, or shall not be.
    Done,
}

/// What OpenSSL reads from and writes to.
struct Carrier {
    tcp: TcpStream,
    /// What came before OpenSSL was asked.
    came: Held,
    /// Records that the socket has not taken.
    sealed: Held,
}

impl OpensslStream {
    /// A session whose handshake begins; `came` was read of it already.
    pub(in super::super) fn new(
        ssl: Ssl,
        tcp: TcpStream,
        came: &[u8],
        scratch: Rc<TlsScratch>,
    ) -> io::Result<Self> {
        let mut carrier = Carrier { tcp, came: Held::default(), sealed: Held::default() };
        carrier.came.extend(came);
        let session = SslStream::new(ssl, carrier).map_err(io::Error::other)?;
        Ok(Self { session, scratch, finish: Finish::No, broken: false, client: None })
    }

    /// Carries the handshake on. Ready when it is over.
    pub(in super::super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let accepted = self.session.accept();
            self.flush()?;
            let Err(error) = accepted else { return Poll::Ready(Ok(())) };
            if error.code() != ErrorCode::WANT_READ {
                return Poll::Ready(Err(self.fail(error)));
            }
            if !self.carrier().sealed.is_empty() && socket::poll_writable(&self.carrier().tcp, cx)?.is_ready()
            {
                self.flush()?;
            }
            ready!(self.carrier().tcp.poll_read_ready(cx))?;
        }
    }

    /// What the handshake agreed on; `hello` is what it began with.
    pub(in super::super) fn info(&self, fallback: &Fallback, server_name: Option<&str>) -> TlsInfo {
        let ssl = self.session.ssl();
        let suite = ssl.current_cipher().and_then(|cipher| tls_suites::by_name(cipher.name()));
        TlsInfo {
            version: TlsVersion::ALL.into_iter().find(|version| version.as_str() == ssl.version_str()),
            suite: suite.map_or("", |suite| suite.name),
            server_name: server_name.map(|name| name.to_ascii_lowercase().into()),
            resumed: ssl.session_reused(),
            alpn: ssl.selected_alpn_protocol().and_then(Alpn::of),
            certificate: fallback.shown_by(ssl),
            client_certificate: ssl.peer_certificate().and_then(|leaf| leaf.to_der().ok()).map(Into::into),
            client_hello: Box::default(),
        }
    }

    /// See [`crate::stream::Stream::poll_read`].
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.standing()?;
        loop {
            let read = self.session.ssl_read(buffer);
            self.flush()?;
            if !self.carrier().sealed.is_empty() {
                // It goes on when the socket takes more, whatever comes in.
                let _waits = socket::poll_writable(&self.carrier().tcp, cx)?;
            }
            match read {
                Ok(bytes) => return Poll::Ready(Ok(bytes)),
                Err(error) => match error.code() {
                    ErrorCode::ZERO_RETURN => return Poll::Ready(Ok(0)),
                    ErrorCode::WANT_READ => ready!(self.carrier().tcp.poll_read_ready(cx))?,
                    _ => return Poll::Ready(Err(self.fail(error))),
                },
            }
        }
    }

    /// See [`crate::stream::Stream::write`].
    pub(crate) fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.standing()?;
        if self.finish != Finish::No {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.flush()?;
        let scratch = self.scratch.clone();
        let mut record = scratch.outgoing();
        let mut taken = 0;
        let mut rest = pieces.iter().map(|piece| &**piece);
        let mut piece: &[u8] = &[];
        while self.carrier().sealed.is_empty() {
            let mut filled = 0;
            while filled < DATA_BYTES_MAX {
                if piece.is_empty() {
                    let Some(next) = rest.next() else { break };
                    piece = next;
                }
                let bytes = piece.len().min(DATA_BYTES_MAX - filled);
                let (now, later) = piece.split_at(bytes);
                record[filled..filled + bytes].copy_from_slice(now);
                (piece, filled) = (later, filled + bytes);
            }
            if filled == 0 {
                break;
            }
            let mut said = 0;
            while said < filled {
                said += match self.session.ssl_write(&record[said..filled]) {
                    Ok(bytes) => bytes,
                    Err(error) => return Err(self.fail(error)),
                };
            }
            taken += filled;
            self.flush()?;
        }
        Ok(taken)
    }

    /// See [`crate::stream::Stream::poll_writable`] and [`crate::stream::Stream::poll_flush`]: nothing more is taken while
    /// something waits.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.flush()?;
            if self.carrier().sealed.is_empty() {
                return Poll::Ready(Ok(()));
            }
            ready!(socket::poll_writable(&self.carrier().tcp, cx))?;
        }
    }

    /// See [`crate::stream::Stream::is_quiet`].
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.session.ssl().pending() == 0
            && self.carrier().came.is_empty()
            && socket::quiet(&self.carrier().tcp)
    }

    /// See [`crate::stream::Stream::send_at_once`].
    pub(crate) fn send_at_once(&mut self) {
        socket::send_at_once(&self.carrier().tcp);
    }

    /// See [`crate::stream::Stream::finish`].
    pub(crate) fn finish(&mut self) {
        if self.finish == Finish::No && !self.broken {
            self.finish = Finish::Sealed;
            // What goes wrong now changes nothing: the socket's end follows.
            let _unsaid = self.session.shutdown();
        }
        let _gone_already = self.flush();
    }

    /// See [`crate::stream::Stream::reset_on_close`].
    pub(crate) fn reset_on_close(&mut self) {
        self.finish = Finish::Done;
        self.session.get_mut().sealed = Held::default();
        socket::reset_on_close(&self.carrier().tcp);
    }

    /// See [`crate::stream::Stream::rtt_micros`].
    pub(crate) fn rtt_micros(&self) -> Option<u32> {
        rtt_micros(&self.carrier().tcp)
    }

    fn carrier(&self) -> &Carrier {
        self.session.get_ref()
    }

    fn standing(&self) -> io::Result<()> {
        if self.broken { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// Writes what the socket takes of what is sealed.
    fn flush(&mut self) -> io::Result<()> {
        let carrier = self.session.get_mut();
        while !carrier.sealed.is_empty() {
            match socket::write(&carrier.tcp, &[IoSlice::new(carrier.sealed.rest())])? {
                0 => return Ok(()),
                written => carrier.sealed.advance(written),
            }
        }
        if self.finish == Finish::Sealed {
            self.finish = Finish::Done;
            socket::finish(&carrier.tcp);
        }
        Ok(())
    }

    /// Ends a session that cannot go on; OpenSSL has sealed the alert that tells the peer.
    fn fail(&mut self, error: ::openssl::ssl::Error) -> io::Error {
        self.broken = true;
        self.finish = Finish::Done;
        let _unsent = self.flush();
        error.into_io_error().unwrap_or_else(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl Drop for OpensslStream {
    fn drop(&mut self) {
        if self.session.ssl().is_init_finished() && !self.session.get_shutdown().contains(ShutdownState::SENT)
        {
            self.finish();
        }
    }
}

impl Read for Carrier {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.came.is_empty() {
            return Ok(self.came.take(buffer));
        }
        self.tcp.try_read(buffer)
    }
}

impl Write for Carrier {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sealed.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
