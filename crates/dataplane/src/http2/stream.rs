//! One stream of a client's connection, as `http` sees it: reading gives an HTTP/1.1 request, and what is written is an HTTP/1.1
//! response.
//!
//! Flow control is kept from end to end: a byte of the client's window is given back when `http` has read it, and `http` may write
//! what the client's window takes.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use wire::h1::{
    Body, Exchange, Framing, HeaderId, Headers, LAST_CHUNK, Limits, MethodKind, Parsed, ResponseFraming,
    SizeLine, parse_response,
};

use super::response;
use crate::http::ClientTls;

/// A stream of an HTTP/2 connection.
pub(crate) struct H2Stream {
    request: Request,
    answer: Answer,
    broken: bool,
    tls: Option<Rc<ClientTls>>,
}

/// What is read: the head, then the body.
struct Request {
    /// Bytes to be read before the frame.
    line: Vec<u8>,
    line_at: usize,
    /// What is left of a DATA frame.
    frame: Bytes,
    /// None: all was read.
    body: Option<RecvStream>,
    /// Frames are said as chunks.
    chunked: bool,
}

/// What is written.
struct Answer {
    /// Before the response's head: how it is sent.
    respond: SendResponse<Bytes>,
    /// Behind it: how its body is sent.
    send: Option<SendStream<Bytes>>,
    exchange: Exchange,
    /// For a WebSocket: what the member's Sec-WebSocket-Accept must be.
    websocket: Option<String>,
    /// Where a head's lines are noted; shared by the streams of a connection.
    tables: Rc<RefCell<Headers>>,
    /// A head that did not come whole.
    partial: Vec<u8>,
    state: State,
}

enum State {
    /// The head is waited for.
    Head,
    /// The body is.
    Body(Body),
    /// Bytes of another protocol.
    Tunnel,
    /// All was said.
    Ended,
}

/// What is asked for when there is something to send.
const RESERVED_BYTES: usize = 64 << 10;
/// A head that does not end by here never does.
const HEAD_BYTES_MAX: usize = 256 << 10;

impl H2Stream {
    /// On a connection over this TLS.
    pub(super) fn over(mut self, tls: Option<Rc<ClientTls>>) -> Self {
        self.tls = tls;
        self
    }

    /// What is known of the client's TLS.
    pub(crate) fn client_tls(&self) -> Option<&ClientTls> {
        self.tls.as_deref()
    }

    pub(super) fn new(
        head: Vec<u8>,
        framing: Framing,
        body: RecvStream,
        respond: SendResponse<Bytes>,
        method: MethodKind,
        websocket: Option<String>,
        tables: Rc<RefCell<Headers>>,
    ) -> Self {
        let has_body = framing != Framing::None || websocket.is_some();
        let exchange = match websocket {
            Some(_) => Exchange::for_websocket(),
            None => Exchange::new(method),
        };
        Self {
            request: Request {
                line: head,
                line_at: 0,
                frame: Bytes::new(),
                body: has_body.then_some(body),
                chunked: framing == Framing::Chunked,
            },
            answer: Answer {
                respond,
                send: None,
                exchange,
                websocket,
                tables,
                partial: Vec::new(),
                state: State::Head,
            },
            tls: None,
            broken: false,
        }
    }

    /// See [`crate::stream::Stream::poll_read`].
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.request.poll_read(cx, buffer)
    }

    /// See [`crate::stream::Stream::write`].
    pub(crate) fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut taken = 0;
        for piece in pieces {
            let bytes = self.answer.write(piece)?;
            taken += bytes;
            if bytes < piece.len() {
                break;
            }
        }
        Ok(taken)
    }

    /// See [`crate::stream::Stream::poll_writable`].
    pub(crate) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(send) = &mut self.answer.send else { return Poll::Ready(Ok(())) };
        if send.capacity() > 0 {
            return Poll::Ready(Ok(()));
        }
        send.reserve_capacity(RESERVED_BYTES);
        Poll::Ready(match ready!(send.poll_capacity(cx)) {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(io::Error::other(error)),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        })
    }

    /// Whether the client gave the stream up.
    pub(crate) fn is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        match (&mut self.answer.send, &self.answer.state) {
            (_, State::Ended) => false,
            (Some(send), _) => send.poll_reset(cx).is_ready(),
            (None, _) => self.answer.respond.poll_reset(cx).is_ready(),
        }
    }

    /// Nothing more is written. A response that is not whole cannot be made to look whole: then the stream is reset when it is dropped.
    pub(crate) fn finish(&mut self) {
        if let (State::Tunnel, Some(send)) = (&self.answer.state, &mut self.answer.send) {
            // A client that is gone need not be told.
            let _gone = send.send_data(Bytes::new(), true);
            self.answer.state = State::Ended;
        }
    }
}

impl H2Stream {
    /// The coming drop is no orderly end.
    pub(crate) fn reset_on_close(&mut self) {
        self.broken = true;
    }
}

impl Drop for H2Stream {
    fn drop(&mut self) {
        if !self.broken {
            // A tunnel whose both sides have said all ends so; anything else that is not whole is reset.
            self.finish();
        }
        match (&self.answer.state, &mut self.answer.send) {
            (State::Ended, _) => {}
            (_, Some(send)) => send.send_reset(Reason::INTERNAL_ERROR),
            (_, None) => self.answer.respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }
}

impl Request {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut filled = 0;
        loop {
            let line = &self.line[self.line_at..];
            if !line.is_empty() {
                let bytes = line.len().min(buffer.len() - filled);
                buffer[filled..filled + bytes].copy_from_slice(&line[..bytes]);
                (filled, self.line_at) = (filled + bytes, self.line_at + bytes);
            } else if self.frame.has_remaining() {
                let bytes = self.frame.len().min(buffer.len() - filled);
                self.frame.copy_to_slice(&mut buffer[filled..filled + bytes]);
                filled += bytes;
                if let Some(body) = &mut self.body {
                    // Fails when more is given back than came, which cannot be.
                    let _given = body.flow_control().release_capacity(bytes);
                }
                if self.chunked && self.frame.is_empty() {
                    self.say(b"\r\n");
                }
            } else {
                match self.poll_more(cx) {
                    Poll::Ready(Ok(true)) => {}
                    Poll::Pending if filled == 0 => return Poll::Pending,
                    Poll::Ready(Err(error)) if filled == 0 => return Poll::Ready(Err(error)),
                    // What went wrong is met again by the next read.
                    Poll::Ready(Ok(false) | Err(_)) | Poll::Pending => return Poll::Ready(Ok(filled)),
                }
            }
            if filled == buffer.len() {
                return Poll::Ready(Ok(filled));
            }
        }
    }

    /// Gets the next frame, or what ends the body. False: there is no more.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(false)) };
        match ready!(body.poll_data(cx)) {
            Some(Ok(frame)) => {
                if self.chunked && !frame.is_empty() {
                    self.say(SizeLine::open(frame.len() as u64).as_bytes());
                }
                self.frame = frame;
            }
            Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            None => {
                let trailers = ready!(body.poll_trailers(cx)).map_err(io::Error::other)?;
                self.body = None;
                match trailers {
                    _ if !self.chunked => return Poll::Ready(Ok(false)),
                    None => self.say(LAST_CHUNK),
                    Some(trailers) => {
                        self.say(b"0\r\n");
                        for (name, value) in &trailers {
                            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                                self.line.extend_from_slice(part);
                            }
                        }
                        self.line.extend_from_slice(b"\r\n");
                    }
                }
            }
        }
        Poll::Ready(Ok(true))
    }

    /// Replaces what was read by what is to be read next.
    fn say(&mut self, line: &[u8]) {
        self.line.clear();
        self.line.extend_from_slice(line);
        self.line_at = 0;
    }
}

impl Answer {
    /// Takes a piece of the response; how much of it.
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let mut at = 0;
        while at < piece.len() {
            let rest = &piece[at..];
            let taken = match &mut self.state {
                State::Head if self.partial.is_empty() => self.write_head(rest)?,
                State::Head => {
                    let before = self.partial.len();
                    let mut whole = std::mem::take(&mut self.partial);
                    whole.extend_from_slice(rest);
                    let taken = self.write_head(&whole)?;
                    taken.saturating_sub(before)
                }
                State::Body(_) => self.write_body(rest)?,
                State::Tunnel => self.write_raw(rest)?,
                State::Ended => return Err(io::ErrorKind::BrokenPipe.into()),
            };
            if taken == 0 {
                break;
            }
            at += taken;
        }
        Ok(at)
    }

    /// Takes a head; one that is not whole is kept.
    fn write_head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let limits = Limits { head_bytes_max: HEAD_BYTES_MAX, ..Limits::default() };
        let tables = self.tables.clone();
        let mut headers = tables.borrow_mut();
        let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        let head = match parse_response(bytes, &mut headers, &limits, &self.exchange) {
            Ok(Parsed::Complete(head)) => head,
            Ok(Parsed::Partial(_)) => {
                self.partial = bytes.to_vec();
                return Ok(bytes.len());
            }
            Err(error) => return Err(bad(&error.to_string())),
        };
        let length = head.len();
        let switched = head.tunnel().is_some();
        let status = if switched { 200 } else { head.status() };
        let response =
            response::head(&head, &bytes[..length], status).ok_or_else(|| bad("HTTP/2 cannot say it"))?;
        if head.is_interim() {
            // One that cannot be sent is of no consequence.
            let _unsent = self.respond.send_informational(response);
            return Ok(length);
        }
        if let Some(accept) = &self.websocket
            && switched
            && head.header(HeaderId::SEC_WEBSOCKET_ACCEPT) != Some(accept.as_bytes())
        {
            return Err(bad("the member's Sec-WebSocket-Accept is not that of the key"));
        }
        let body = Body::for_response(head.framing());
        let bodiless = !switched && (head.framing() == ResponseFraming::None || body.is_done());
        let mut send = self.respond.send_response(response, bodiless).map_err(io::Error::other)?;
        self.state = match (switched, bodiless) {
            (true, _) => State::Tunnel,
            (false, true) => State::Ended,
            (false, false) => State::Body(body),
        };
        send.reserve_capacity(RESERVED_BYTES);
        self.send = Some(send);
        Ok(length)
    }

    fn write_body(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (State::Body(body), Some(send)) = (&mut self.state, &mut self.send) else { return Ok(0) };
        let part = match (room(send), body.opaque_remaining()) {
            // Between chunks there is no data, which one byte at a time cannot change; the end must not wait for a window.
            (0, Some(0)) => 1,
            (0, _) => return Ok(0),
            (room, _) => bytes.len().min(room),
        };
        let decoded = body.decode(&bytes[..part]).map_err(io::Error::other)?;
        if !decoded.done {
            if !decoded.data.is_empty() {
                send.send_data(Bytes::copy_from_slice(decoded.data), false).map_err(io::Error::other)?;
            }
            return Ok(decoded.consumed);
        }
        let consumed = decoded.consumed;
        let data = Bytes::copy_from_slice(decoded.data);
        match response::trailers(body) {
            None => send.send_data(data, true).map_err(io::Error::other)?,
            Some(trailers) => {
                if !data.is_empty() {
                    send.send_data(data, false).map_err(io::Error::other)?;
                }
                send.send_trailers(trailers).map_err(io::Error::other)?;
            }
        }
        self.state = State::Ended;
        Ok(consumed)
    }

    fn write_raw(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(send) = &mut self.send else { return Ok(0) };
        let taken = bytes.len().min(room(send));
        if taken > 0 {
            send.send_data(Bytes::copy_from_slice(&bytes[..taken]), false).map_err(io::Error::other)?;
        }
        Ok(taken)
    }
}

/// How much the client's window, and our own bound, take now.
fn room(send: &mut SendStream<Bytes>) -> usize {
    if send.capacity() == 0 {
        send.reserve_capacity(RESERVED_BYTES);
    }
    send.capacity()
}
