//! The thin seam between the workers and the reactor: everything that touches a socket after it was made.
//!
//! Registration is edge-triggered and made once per connection. Reading clears the readiness when fewer bytes came than asked
//! for (the socket is drained), so no read is made only to learn that there is nothing; and whether an idle connection still
//! lives is known without a call to the system ([`quiet`]). Writing tries first and waits only when the socket is full.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    os::fd::AsFd,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags, SocketType, sockopt,
    },
};
use tokio::{
    io::{AsyncRead, Interest, ReadBuf},
    net::TcpStream,
};

use crate::{pipe::Pipe, source};

/// Reads once into `buffer`. `Ready(Ok(0))` is the end of the stream.
#[inline]
pub(crate) fn poll_read(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

/// As [`poll_read`], on a connection that the reactor has no news of yet: the system is asked once without looking at readiness,
/// because a client usually speaks at once.
pub(crate) fn poll_first_read(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    match rustix::net::recv(&*stream, &mut *buffer, RecvFlags::DONTWAIT) {
        Ok((bytes, _)) => Poll::Ready(Ok(bytes)),
        Err(Errno::AGAIN) => poll_read(stream, cx, buffer),
        Err(error) => Poll::Ready(Err(error.into())),
    }
}

/// Writes what the socket takes now of these pieces; `Ok(0)` when it takes nothing.
#[inline]
pub(crate) fn write(stream: &TcpStream, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let written = match pieces {
        [one] => stream.try_write(one),
        many => stream.try_write_vectored(many),
    };
    none_if_blocked(written)
}

/// As [`write`], for the last bytes before the end of the stream: the system keeps them back until the end is said (at once,
/// by the caller), so that both go in one packet.
pub(crate) fn write_last(stream: &TcpStream, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
    none_if_blocked(stream.try_io(Interest::WRITABLE, || match pieces {
        [one] => Ok(rustix::net::send(stream, one, flags)?),
        many => Ok(rustix::net::sendmsg(stream, many, &mut SendAncillaryBuffer::default(), flags)?),
    }))
}

/// Whether nothing but the end of the stream follows, after a read that did not fill its buffer: the peer has said all, and it
/// broke nothing. Known without a call to the system.
#[inline]
pub(crate) fn has_ended(stream: &TcpStream, cx: &mut Context<'_>) -> bool {
    // Readiness was cleared by the read, unless it cannot be: that of an end or a failure.
    stream.poll_read_ready(cx).is_ready() && end_without_failure(stream, cx)
}

#[cold]
fn end_without_failure(stream: &TcpStream, cx: &mut Context<'_>) -> bool {
    let ready = pin!(stream.ready(Interest::READABLE | Interest::ERROR));
    matches!(ready.poll(cx), Poll::Ready(Ok(ready)) if ready.is_read_closed() && !ready.is_error())
}

/// As [`write`], on a connection that the reactor has no news of yet: the system is asked without looking at readiness.
pub(crate) fn write_at_once(stream: &TcpStream, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let written = match pieces {
        [one] => rustix::net::send(stream, one, SendFlags::NOSIGNAL),
        many => rustix::io::writev(stream, many),
    };
    none_if_blocked(written.map_err(io::Error::from))
}

/// Ready when the socket may take more, or has failed (then writing tells).
#[inline]
pub(crate) fn poll_writable(stream: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    stream.poll_write_ready(cx)
}

/// Whether nothing has come on a connection that is expected to be silent: no byte, no end, no error.
/// Usually answered from what the reactor already knows.
pub(crate) fn quiet(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Moves bytes from a socket into an empty pipe; `Ready(Ok(0))` is the end of the stream.
pub(crate) fn poll_fill(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    pipe: &mut Pipe,
    bytes_max: usize,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_read_ready(cx))?;
        match stream.try_io(Interest::READABLE, || pipe.fill_from(stream.as_fd(), bytes_max)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            done => return Poll::Ready(done),
        }
    }
}

/// Moves bytes from a pipe into a socket; `Ok(0)` when it takes nothing.
pub(crate) fn empty(stream: &TcpStream, pipe: &mut Pipe) -> io::Result<usize> {
    none_if_blocked(stream.try_io(Interest::WRITABLE, || pipe.empty_into(stream.as_fd())))
}

/// Begins a connection to a member, from the node's address. It may be written to at once ([`write_at_once`]): a failure shows there or at readiness.
/// Must be called inside the worker's runtime.
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => TcpStream::from_std(socket.into()),
        Err(error) => Err(error.into()),
    }
}

/// As [`connect`], from a client's address (see [`source`]).
pub(crate) fn connect_from(client: SocketAddr, address: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::from_std(source::connect(client, address)?.into())
}

/// Lets small pieces go out without waiting for the acknowledgement of those before (TCP_NODELAY).
pub(crate) fn send_at_once(stream: &TcpStream) {
    let _gone_already = sockopt::set_tcp_nodelay(stream, true);
}

/// Whether a begun connection stands, as far as the reactor knows.
pub(crate) fn is_connected(stream: &TcpStream, cx: &mut Context<'_>) -> bool {
    stream.poll_write_ready(cx).is_ready() && matches!(stream.take_error(), Ok(None))
}

/// Says to the peer that nothing more comes. A connection that is gone already is left alone.
pub(crate) fn finish(stream: &TcpStream) {
    let _gone_already = rustix::net::shutdown(stream, Shutdown::Write);
}

/// Makes the coming close a reset: the peer learns that what it has is not all.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    let _gone_already = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

/// Whether a write that failed with this was the only one to be told that the connection broke off: a read shows an end after it, which is
/// none. (Linux tells a failure once. It is EPIPE where the peer had ended its stream before, as it should.)
pub(crate) fn is_cut(written: &io::Error) -> bool {
    written.kind() != io::ErrorKind::BrokenPipe
}

/// Whether an error is the peer's reset (or what follows one).
pub(crate) fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
    )
}

fn none_if_blocked(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
