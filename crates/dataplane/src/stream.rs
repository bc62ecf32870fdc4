//! What a client or a member is heard and spoken to over: bytes in order, both ways.
//!
//! A [`Stream`] is a socket, or something that stands for one (TLS on a socket, one stream of an HTTP/2 or HTTP/3 connection), so that
//! there is one path for HTTP whatever lies below. Every operation takes `&mut self`: below a plain socket's there may be state.
//! A plain socket costs one comparison that the processor foresees.
//!
//! How to drive it: [`Stream::write`] until it takes nothing, then wait for [`Stream::poll_writable`] and write again. What was
//! taken may still be on its way: wait for [`Stream::poll_flush`] before the end is said or the stream is dropped, and whenever
//! all was said and nothing is read. ([`Stream::poll_read`] moves it on, too.)

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::net::TcpStream;

use crate::{
    http::{ClientTls, EncoderRoom},
    http2::H2Stream,
    http3::H3Stream,
    io as socket,
    sys::rtt::rtt_micros,
    tls::{OpensslStream, TlsStream},
};

/// A connection of a client or to a member, as HTTP sees it.
pub(crate) enum Stream {
    /// A socket.
    Plain(TcpStream),
    /// One stream of an HTTP/2 connection.
    H2(Box<H2Stream>),
    /// One stream of an HTTP/3 connection.
    H3(Box<H3Stream>),
    /// A TLS session.
    Tls(Box<TlsStream>),
    /// A TLS session with a client that is served by OpenSSL.
    Openssl(Box<OpensslStream>),
}

impl Stream {
    /// Begins a plain connection; see [`socket::connect`].
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        socket::connect(address).map(Self::Plain)
    }

    /// Reads once into `buffer`, which is not empty. `Ready(Ok(0))` is the end of what the peer says.
    #[inline]
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => socket::poll_read(tcp, cx, buffer),
            Self::H2(stream) => stream.poll_read(cx, buffer),
            Self::H3(stream) => stream.poll_read(cx, buffer),
            Self::Tls(tls) => tls.poll_read(cx, buffer),
            Self::Openssl(tls) => tls.poll_read(cx, buffer),
        }
    }

    /// As [`Stream::poll_read`], on a connection that nothing was heard of yet.
    #[inline]
    pub(crate) fn poll_first_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => socket::poll_first_read(tcp, cx, buffer),
            Self::H2(stream) => stream.poll_read(cx, buffer),
            Self::H3(stream) => stream.poll_read(cx, buffer),
            Self::Tls(tls) => tls.poll_read(cx, buffer),
            Self::Openssl(tls) => tls.poll_read(cx, buffer),
        }
    }

    /// Takes what can be taken now of these pieces; `Ok(0)` when that is nothing: then wait for [`Stream::poll_writable`].
    #[inline]
    pub(crate) fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => socket::write(tcp, pieces),
            Self::H2(stream) => stream.write(pieces),
            Self::H3(stream) => stream.write(pieces),
            Self::Tls(tls) => tls.write(pieces),
            Self::Openssl(tls) => tls.write(pieces),
        }
    }

    /// As [`Stream::write`], for the last bytes before [`Stream::finish`], which the caller says at once when all were taken.
    #[inline]
    pub(crate) fn write_last(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => socket::write_last(tcp, pieces),
            Self::H2(stream) => stream.write(pieces),
            Self::H3(stream) => stream.write(pieces),
            Self::Tls(tls) => tls.write(pieces),
            Self::Openssl(tls) => tls.write(pieces),
        }
    }

    /// As [`Stream::write`], on a connection that was just begun.
    #[inline]
    pub(crate) fn write_at_once(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => socket::write_at_once(tcp, pieces),
            Self::H2(stream) => stream.write(pieces),
            Self::H3(stream) => stream.write(pieces),
            Self::Tls(tls) => tls.write(pieces),
            Self::Openssl(tls) => tls.write(pieces),
        }
    }

    /// Whether an end that is read after a write that failed with this is none: the peer has broken off. All but sockets know by themselves
    /// which ends are true.
    pub(crate) fn is_cut_by(&self, written: &io::Error) -> bool {
        matches!(self, Self::Plain(_)) && socket::is_cut(written)
    }

    /// Ready when more may be taken, or writing would tell a failure.
    #[inline]
    pub(crate) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => socket::poll_writable(tcp, cx),
            Self::H2(stream) => stream.poll_writable(cx),
            Self::H3(stream) => stream.poll_writable(cx),
            Self::Tls(tls) => tls.poll_writable(cx),
            Self::Openssl(tls) => tls.poll_flush(cx),
        }
    }

    /// Ready when all that was taken has left us. A plain socket keeps nothing back.
    #[inline]
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            // What the connection frames is its own affair.
            Self::H2(_) => Poll::Ready(Ok(())),
            Self::H3(stream) => stream.poll_flush(cx),
            Self::Tls(tls) => tls.poll_flush(cx),
            Self::Openssl(tls) => tls.poll_flush(cx),
        }
    }

    /// How much is to be read from it at a time, as what its connection may bring is shared by its streams.
    #[inline]
    pub(crate) fn read_max(&self) -> usize {
        match self {
            Self::Plain(_) | Self::Tls(_) | Self::Openssl(_) => usize::MAX,
            Self::H2(stream) => stream.read_max(),
            Self::H3(stream) => stream.read_max(),
        }
    }

    /// How much is to be read for it at a time, as what its connection holds is shared by its streams. Never nothing.
    #[inline]
    pub(crate) fn ahead_max(&self) -> usize {
        match self {
            Self::Plain(_) | Self::Tls(_) | Self::Openssl(_) => usize::MAX,
            Self::H2(stream) => stream.ahead_max(),
            Self::H3(stream) => stream.ahead_max(),
        }
    }

    /// Whether nothing has come on a stream that is expected to be silent: no byte, no end, no error.
    #[inline]
    pub(crate) fn is_quiet(&mut self) -> bool {
        match self {
            Self::Plain(tcp) => socket::quiet(tcp),
            Self::H2(stream) => stream.is_quiet(),
            Self::H3(_) => true,
            Self::Tls(tls) => tls.is_quiet(),
            Self::Openssl(tls) => tls.is_quiet(),
        }
    }

    /// Whether nothing but the peer's end follows, after a read that did not fill its buffer. False when that is not known.
    #[inline]
    pub(crate) fn has_ended(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Plain(tcp) => socket::has_ended(tcp, cx),
            Self::H2(_) | Self::H3(_) => false,
            Self::Tls(_) | Self::Openssl(_) => false,
        }
    }

    /// Whether a begun connection stands, as far as is known; with TLS, whether its session does.
    pub(crate) fn is_connected(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Plain(tcp) => socket::is_connected(tcp, cx),
            Self::H2(stream) => stream.is_connected(),
            Self::H3(_) => true,
            Self::Tls(tls) => tls.is_connected(),
            Self::Openssl(_) => false,
        }
    }

    /// Lets small pieces go out without waiting for those before.
    pub(crate) fn send_at_once(&mut self) {
        match self {
            Self::Plain(tcp) => socket::send_at_once(tcp),
            Self::H2(_) | Self::H3(_) => {}
            Self::Tls(tls) => tls.send_at_once(),
            Self::Openssl(tls) => tls.send_at_once(),
        }
    }

    /// Says to the peer that nothing more comes. Reading goes on.
    pub(crate) fn finish(&mut self) {
        match self {
            Self::Plain(tcp) => socket::finish(tcp),
            Self::H2(stream) => stream.finish(),
            Self::H3(stream) => stream.finish(),
            Self::Tls(tls) => tls.finish(),
            Self::Openssl(tls) => tls.finish(),
        }
    }

    /// Makes the coming drop a reset: the peer learns that what it has is not all.
    pub(crate) fn reset_on_close(&mut self) {
        match self {
            Self::Plain(tcp) => socket::reset_on_close(tcp),
            Self::H2(stream) => stream.reset_on_close(),
            Self::H3(stream) => stream.reset_on_close(),
            Self::Tls(tls) => tls.reset_on_close(),
            Self::Openssl(tls) => tls.reset_on_close(),
        }
    }

    /// With which status a client that was sent 101 learned that its tunnel stands; none: it was refused, as what the member agreed to
    /// was not what the client asked for.
    pub(crate) fn tunnel_status(&self) -> Option<u16> {
        match self {
            Self::Plain(_) | Self::Tls(_) | Self::Openssl(_) => Some(101),
            Self::H2(stream) => stream.tunnel_status(),
            Self::H3(stream) => stream.tunnel_status(),
        }
    }

    /// Whether the peer is known to want no answer any more, though nothing was read or written. A socket does not tell.
    #[inline]
    pub(crate) fn is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Plain(_) | Self::Tls(_) | Self::Openssl(_) => false,
            Self::H2(stream) => stream.is_gone(cx),
            Self::H3(stream) => stream.is_gone(cx),
        }
    }

    /// Whether what came on it may be somebody repeating what the client once said: its handshake is not over (TLS 1.3's early data).
    #[inline]
    pub(crate) fn is_early(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Openssl(_) => false,
            Self::H2(stream) => stream.is_early(),
            Self::H3(stream) => stream.is_early(),
            Self::Tls(tls) => tls.is_early(),
        }
    }

    /// Ready when a client's handshake is over: from then on it is [`Stream::is_early`] no more.
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) | Self::Openssl(_) => Poll::Ready(Ok(())),
            Self::H2(stream) => stream.poll_handshake(cx),
            Self::H3(stream) => stream.poll_handshake(cx),
            Self::Tls(tls) => tls.poll_handshake(cx),
        }
    }

    /// Whether what came on it is a call of gRPC, so that its errors have to be those of gRPC.
    pub(crate) fn is_grpc(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Tls(_) | Self::Openssl(_) => false,
            Self::H2(stream) => stream.is_grpc(),
            Self::H3(stream) => stream.is_grpc(),
        }
    }

    /// The round-trip time of the connection below in microseconds, where it is known.
    pub(crate) fn rtt_micros(&self) -> Option<u32> {
        match self {
            Self::Plain(tcp) => rtt_micros(tcp),
            Self::H2(stream) => stream.rtt_micros(),
            Self::H3(stream) => stream.rtt_micros(),
            Self::Tls(tls) => tls.rtt_micros(),
            Self::Openssl(tls) => tls.rtt_micros(),
        }
    }

    /// Whether it is one stream of several on a connection.
    pub(crate) fn shares_connection(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Tls(_) | Self::Openssl(_) => false,
            Self::H2(_) | Self::H3(_) => true,
        }
    }

    /// The room for encoders of answers, where many may be under way at once.
    pub(crate) fn encoder_room(&self) -> Option<&Rc<EncoderRoom>> {
        match self {
            Self::Plain(_) | Self::Tls(_) | Self::Openssl(_) => None,
            Self::H2(stream) => stream.encoder_room(),
            Self::H3(stream) => Some(stream.encoder_room()),
        }
    }

    /// The version of HTTP that is spoken, where the connection says that and not the request.
    pub(crate) fn http_version(&self) -> Option<&'static str> {
        match self {
            Self::Plain(_) | Self::Tls(_) | Self::Openssl(_) => None,
            Self::H2(_) => Some("HTTP/2.0"),
            Self::H3(_) => Some("HTTP/3.0"),
        }
    }

    /// What is known of the client's TLS below; none: it speaks in clear.
    #[inline]
    pub(crate) fn client_tls(&self) -> Option<&ClientTls> {
        match self {
            Self::Plain(_) => None,
            Self::H2(stream) => stream.client_tls(),
            Self::H3(stream) => stream.client_tls(),
            Self::Tls(tls) => tls.client.as_deref(),
            Self::Openssl(tls) => tls.client.as_deref(),
        }
    }

    /// The same, for streams that share a connection.
    pub(crate) fn shared_tls(&self) -> Option<Rc<ClientTls>> {
        match self {
            Self::Plain(_) | Self::H2(_) | Self::H3(_) => None,
            Self::Tls(tls) => tls.client.clone(),
            Self::Openssl(tls) => tls.client.clone(),
        }
    }

    /// What is wrong with the peer's certificate, if no session was made because of it.
    pub(crate) fn certificate_fault(&self) -> Option<&str> {
        match self {
            Self::Plain(_) | Self::H2(_) | Self::H3(_) | Self::Openssl(_) => None,
            Self::Tls(tls) => tls.certificate_fault(),
        }
    }

    /// The socket, when nothing is between it and the bytes; bytes may then be moved past us (splice).
    #[inline]
    pub(crate) fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(tcp) => Some(tcp),
            Self::H2(_) | Self::H3(_) => None,
            Self::Tls(_) | Self::Openssl(_) => None,
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(tcp: TcpStream) -> Self {
        Self::Plain(tcp)
    }
}
