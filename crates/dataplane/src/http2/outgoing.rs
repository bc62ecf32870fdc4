//! Bytes of HTTP/1.1 sent on a stream of HTTP/2 or HTTP/3: a head, then DATA, then trailers.
//!
//! What is taken is what the peer's window and our buffer have room for, so nothing that was taken waits for the peer, and
//! whoever writes is held back by it.

use std::{
    io::{self, IoSlice},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use wire::h1::Body;

use super::head::invalid;
use crate::buffer::Buffers;

/// Where a body goes.
pub(crate) trait Sink {
    /// How much may be sent now, of what is wanted.
    fn room(&mut self, wanted: usize) -> usize;

    /// Sends data for which there is room; `end`: nothing follows.
    fn send_data(&mut self, data: BytesMut, end: bool) -> io::Result<()>;

    /// Sends trailers, which end the stream.
    fn send_trailers(&mut self, trailers: HeaderMap) -> io::Result<()>;

    /// Ready when there is room, or sending would tell a failure.
    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<()>>;
}

/// What goes out on a stream.
pub(crate) struct Outgoing<S> {
    /// The beginning of a head.
    head: Vec<u8>,
    phase: Phase,
    to: Option<S>,
    /// What the last write wanted and did not get room for.
    wanted: usize,
}

enum Phase {
    Head,
    Body(Body),
    Tunnel,
    Done,
}

/// What a head began.
pub(crate) enum Begun<S> {
    /// Another head follows.
    Interim,
    /// Nothing follows, and the peer knows.
    Ended,
    /// A body.
    Body(Body, S),
    /// Bytes of another protocol.
    Tunnel(S),
}

/// A head is never longer: `http` holds itself to 64 KiB and what it adds.
const HEAD_BYTES_MAX: usize = 1 << 20;

impl<S: Sink> Outgoing<S> {
    pub(crate) fn new() -> Self {
        Self { head: Vec::new(), phase: Phase::Head, to: None, wanted: 0 }
    }

    /// Whether all was said.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    /// Whether no head went out.
    pub(crate) fn is_at_head(&self) -> bool {
        matches!(self.phase, Phase::Head)
    }

    /// Whether bytes of another protocol go out.
    pub(crate) fn is_tunnel(&self) -> bool {
        matches!(self.phase, Phase::Tunnel)
    }

    /// Where data goes, once a head went.
    pub(crate) fn to(&mut self) -> Option<&mut S> {
        self.to.as_mut()
    }

    /// Where data went, when nothing more will.
    pub(crate) fn take(&mut self) -> Option<S> {
        self.to.take()
    }

    /// Takes what can be taken; `begin` sends a head.
    pub(crate) fn write(
        &mut self,
        buffers: &Buffers,
        pieces: &[IoSlice<'_>],
        mut begin: impl FnMut(Bytes) -> io::Result<Begun<S>>,
    ) -> io::Result<usize> {
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        let (mut taken, mut data, mut room) = (0, BytesMut::new(), None);
        'pieces: for piece in pieces {
            let mut input: &[u8] = piece;
            while !input.is_empty() {
                let used = match &mut self.phase {
                    Phase::Head => {
                        let (used, head) = take_head(buffers, &mut self.head, input)?;
                        if let Some(head) = head {
                            self.begun(begin(head)?);
                        }
                        used
                    }
                    // `http` writes nothing behind the end but to a connection that goes on, which a stream does not.
                    Phase::Done => return Err(io::ErrorKind::BrokenPipe.into()),
                    Phase::Body(_) | Phase::Tunnel => {
                        let Some(to) = &mut self.to else { return Err(io::ErrorKind::BrokenPipe.into()) };
                        let room = room.get_or_insert_with(|| to.room(total - taken));
                        let used = match &mut self.phase {
                            Phase::Body(body) => match take_body(body, input, *room - data.len())? {
                                None => break 'pieces,
                                Some((used, bytes)) => {
                                    put(buffers, &mut data, bytes, (total - taken).min(*room));
                                    used
                                }
                            },
                            _ => {
                                let used = input.len().min(*room - data.len());
                                put(buffers, &mut data, &input[..used], (total - taken).min(*room));
                                used
                            }
                        };
                        if used == 0 {
                            break 'pieces;
                        }
                        used
                    }
                };
                taken += used;
                input = &input[used..];
                if let Phase::Body(body) = &self.phase
                    && body.is_done()
                {
                    self.end_body(std::mem::take(&mut data))?;
                }
            }
        }
        self.wanted = total - taken;
        if !data.is_empty()
            && let Some(to) = &mut self.to
        {
            to.send_data(data, false)?;
        }
        Ok(taken)
    }

    fn begun(&mut self, begun: Begun<S>) {
        match begun {
            Begun::Interim => {}
            Begun::Ended => self.phase = Phase::Done,
            Begun::Body(body, to) => (self.phase, self.to) = (Phase::Body(body), Some(to)),
            Begun::Tunnel(to) => (self.phase, self.to) = (Phase::Tunnel, Some(to)),
        }
    }

    /// Sends the last data, and the trailers.
    fn end_body(&mut self, data: BytesMut) -> io::Result<()> {
        let (Phase::Body(body), Some(to)) = (std::mem::replace(&mut self.phase, Phase::Done), &mut self.to)
        else {
            return Ok(());
        };
        let mut trailers = HeaderMap::new();
        for line in body.trailers() {
            let name = HeaderName::from_bytes(line.name).map_err(invalid)?;
            trailers.append(name, HeaderValue::from_bytes(line.value).map_err(invalid)?);
        }
        if trailers.is_empty() {
            return to.send_data(data, true);
        }
        if !data.is_empty() {
            to.send_data(data, false)?;
        }
        to.send_trailers(trailers)
    }

    /// Nothing more is said: the end of a tunnel. A body that is not at its end stays so, and is known to be cut.
    pub(crate) fn finish(&mut self) {
        if let (Phase::Tunnel, Some(to)) = (&self.phase, &mut self.to) {
            let _gone_already = to.send_data(BytesMut::new(), true);
            self.phase = Phase::Done;
        }
    }

    /// Ready when more can be taken, or writing tells a failure.
    pub(crate) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (Phase::Body(_) | Phase::Tunnel, Some(to)) = (&self.phase, &mut self.to) else {
            return Poll::Ready(Ok(()));
        };
        to.poll_room(cx, self.wanted)
    }
}

/// Takes input up to the end of a head; the head, when it is whole.
fn take_head(buffers: &Buffers, begun: &mut Vec<u8>, input: &[u8]) -> io::Result<(usize, Option<Bytes>)> {
    if begun.is_empty()
        && let Some(end) = memchr::memmem::find(input, HEAD_END)
    {
        let end = end + HEAD_END.len();
        return Ok((end, Some(buffers.share(&input[..end]))));
    }
    let before = begun.len();
    begun.extend_from_slice(input);
    let from = before.saturating_sub(HEAD_END.len() - 1);
    match memchr::memmem::find(&begun[from..], HEAD_END) {
        Some(end) => {
            let end = from + end + HEAD_END.len();
            begun.truncate(end);
            Ok((end - before, Some(std::mem::take(begun).into())))
        }
        None if begun.len() > HEAD_BYTES_MAX => Err(io::ErrorKind::InvalidData.into()),
        None => Ok((input.len(), None)),
    }
}

/// Takes input of a body for which there is so much room: how much, and the data in it. None: there is no room.
fn take_body<'b>(body: &mut Body, input: &'b [u8], room: usize) -> io::Result<Option<(usize, &'b [u8])>> {
    // Framing needs no room: byte by byte, so that no data comes with it.
    let at_framing = matches!(body, Body::Chunked(_)) && body.opaque_remaining() == Some(0);
    let length = match room {
        0 if at_framing => 1,
        0 => return Ok(None),
        room => room.min(input.len()),
    };
    let decoded = body.decode(&input[..length]).map_err(invalid)?;
    Ok(Some((decoded.consumed, decoded.data)))
}

fn put(buffers: &Buffers, data: &mut BytesMut, bytes: &[u8], expected: usize) {
    if data.capacity() == 0 && !bytes.is_empty() {
        *data = buffers.room(expected.max(bytes.len()));
    }
    data.extend_from_slice(bytes);
}

const HEAD_END: &[u8] = b"\r\n\r\n";
