//! What goes out on one stream, as far as its peer's windows and what its connection has in hand leave room.

use std::{
    io,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use h2::{Reason, SendStream};
use http::HeaderMap;

use super::{
    broken,
    in_hand::{InHand, SMALL_BYTES_MAX, Turn},
    outgoing::Sink,
};

/// The sending half of a stream.
pub(super) struct Sending {
    stream: SendStream<Bytes>,
    in_hand: Rc<InHand>,
    turn: Turn,
    /// Something was sent.
    begun: bool,
}

impl Sending {
    pub(super) fn new(stream: SendStream<Bytes>, in_hand: Rc<InHand>) -> Self {
        Self { stream, in_hand, turn: Turn::default(), begun: false }
    }

    /// Ready when the peer gave the stream up.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_reset(cx).map(|_why| ())
    }

    /// The peer must not take what it has for all.
    pub(super) fn send_reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// Whether so much goes uncounted.
    fn is_free(&self, bytes: usize) -> bool {
        !self.begun && bytes <= SMALL_BYTES_MAX
    }
}

impl Sink for Sending {
    fn room(&mut self, wanted: usize) -> usize {
        self.stream.reserve_capacity(wanted);
        let window = self.stream.capacity();
        if window == 0 || self.is_free(wanted) { window } else { window.min(self.in_hand.room(&self.turn)) }
    }

    fn send_data(&mut self, data: BytesMut, end: bool) -> io::Result<()> {
        let data = match data.len() {
            0 => Bytes::new(),
            length if self.is_free(length) => data.freeze(),
            // Its own allocation: what small pieces are cut from would be held by each of them.
            length if length <= SMALL_BYTES_MAX => self.in_hand.count(BytesMut::from(&data[..])),
            _ => self.in_hand.count(data),
        };
        self.begun = true;
        self.stream.send_data(data, end).map_err(broken)
    }

    fn send_trailers(&mut self, trailers: HeaderMap) -> io::Result<()> {
        self.stream.send_trailers(trailers).map_err(broken)
    }

    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<()>> {
        self.stream.reserve_capacity(wanted.max(1));
        while self.stream.capacity() == 0 {
            let Poll::Ready(capacity) = self.stream.poll_capacity(cx) else {
                self.in_hand.leave(&self.turn);
                return Poll::Pending;
            };
            match capacity {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        if self.is_free(wanted) || self.in_hand.poll_room(cx, &mut self.turn).is_ready() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_reset(cx));
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.in_hand.leave(&self.turn);
    }
}
