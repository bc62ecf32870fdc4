//! What a connection of HTTP/2 or HTTP/3 holds for its peer, all of its streams together, and who may add to it.
//!
//! The windows of both protocols are the peer's to open: one that opens them all and reads nothing would be given everything that
//! members have to say, and all of that would be ours to keep. So a connection has so much in hand and no more
//! ([`IN_HAND_BYTES_MAX`]); a stream that wants to give more waits until bytes have gone out.
//!
//! - What the h2 crate was given is counted until it lets go of it, whether it was sent or dropped with its stream: the bytes know
//!   their account ([`InHand::count`]), so nothing of the crate's inner workings is guessed.
//! - The first small piece of a stream, and its trailers, are neither counted nor held back: with 128 streams they are less than what a
//!   whole answer needs, and a small answer is not to wait behind large ones.
//! - Whoever waits gets [`TURN_BYTES`] in the order of asking. Who is called and does not come, or goes away, holds nobody up.
//! - What waits outside (read from a member, and not taken) is counted beside it. It bounds how much is read at a time
//!   ([`InHand::ahead_max`]), never below a little for each stream: so all streams get on, and nothing waits for itself.
//!
//! All of a connection happens in one thread. The count is atomic only because `Bytes` wants its owner to be `Send`.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};

use crate::http::EncoderRoom;

/// What a connection may have in hand.
pub(crate) const IN_HAND_BYTES_MAX: usize = 1 << 20;

/// What somebody gets who waited.
const TURN_BYTES: usize = 64 << 10;

/// Less room than this is none: frames would get small.
const ROOM_BYTES_MIN: usize = 16 << 10;

/// What is read at a time for a stream, however much the connection holds.
const AHEAD_BYTES_MIN: usize = 8 << 10;

/// A piece of a body, or a head, up to this length may go uncounted.
pub(crate) const SMALL_BYTES_MAX: usize = 2 << 10;

/// What a piece costs beside its bytes: its frame in the queues of the h2 crate.
const PIECE_BYTES: usize = 256;

/// What one connection holds for its peer.
pub(crate) struct InHand {
    /// What was given and has not gone.
    given: Arc<AtomicUsize>,
    /// What waits to be given.
    beside: Cell<usize>,
    waiting: RefCell<VecDeque<Rc<Place>>>,
    /// The connection is over: nobody waits any more.
    over: Cell<bool>,
    /// For answers that are compressed on their way.
    pub(crate) encoders: Rc<EncoderRoom>,
}

/// A stream's place among those who wait. Made when it waits for the first time.
#[derive(Default)]
pub(crate) struct Turn(Option<Rc<Place>>);

struct Place {
    state: Cell<State>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Waiting,
    /// It may take what is there, whoever waits.
    Called,
}

/// Bytes that know where they are counted.
struct Counted {
    bytes: BytesMut,
    weight: usize,
    given: Arc<AtomicUsize>,
}

impl InHand {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            given: Arc::default(),
            beside: Cell::new(0),
            waiting: RefCell::default(),
            over: Cell::new(false),
            encoders: Rc::default(),
        })
    }

    /// Bytes that count until nobody has them any more.
    pub(crate) fn count(&self, bytes: BytesMut) -> Bytes {
        let weight = bytes.capacity() + PIECE_BYTES;
        self.given.fetch_add(weight, Relaxed);
        Bytes::from_owner(Counted { bytes, weight, given: self.given.clone() })
    }

    /// How much may be given now.
    pub(crate) fn room(&self, turn: &Turn) -> usize {
        if self.over.get() {
            return usize::MAX;
        }
        let free = self.free();
        if free < ROOM_BYTES_MIN {
            return 0;
        }
        match &turn.0 {
            Some(place) if place.state.get() == State::Called => {
                place.state.set(State::Idle);
                free.min(TURN_BYTES)
            }
            _ if self.waiting.borrow().is_empty() => free,
            _ => 0,
        }
    }

    /// Ready when there is room. Ask it when nothing else is waited for.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>, turn: &mut Turn) -> Poll<()> {
        let called = turn.is(State::Called);
        let others = !self.waiting.borrow().is_empty();
        if self.over.get() || self.free() >= ROOM_BYTES_MIN && (called || !others) {
            return Poll::Ready(());
        }
        let place = turn.0.get_or_insert_with(Place::new);
        place.waker.replace(Some(cx.waker().clone()));
        match place.state.replace(State::Waiting) {
            State::Waiting => {}
            // It came when it was called, and others had taken what was there.
            State::Called => self.waiting.borrow_mut().push_front(place.clone()),
            State::Idle => self.waiting.borrow_mut().push_back(place.clone()),
        }
        self.call();
        Poll::Pending
    }

    /// Calls those for whom there is room. To be asked whenever bytes may have gone.
    pub(crate) fn call(&self) {
        let mut free = self.free();
        while free >= TURN_BYTES {
            let Some(place) = self.waiting.borrow_mut().pop_front() else { return };
            place.call();
            free -= TURN_BYTES;
        }
    }

    /// Whoever has this turn does not want it any more.
    pub(crate) fn leave(&self, turn: &Turn) {
        let Some(place) = &turn.0 else { return };
        match place.state.replace(State::Idle) {
            State::Idle => {}
            State::Waiting => self.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, place)),
            State::Called => self.call(),
        }
    }

    /// The connection is over: whoever waits finds out from it.
    pub(crate) fn end(&self) {
        self.over.set(true);
        let waiting = self.waiting.take();
        waiting.iter().for_each(|place| place.call());
    }

    /// Takes note of what a stream has beside this: so much, where it had `before`.
    pub(crate) fn set_beside(&self, before: &mut usize, now: usize) {
        if *before != now {
            self.beside.set(self.beside.get() + now - *before);
            *before = now;
        }
    }

    /// How much should be read at a time for a stream.
    pub(crate) fn ahead_max(&self) -> usize {
        self.free().saturating_sub(self.beside.get()).max(AHEAD_BYTES_MIN)
    }

    fn free(&self) -> usize {
        IN_HAND_BYTES_MAX.saturating_sub(self.given.load(Relaxed))
    }
}

impl Turn {
    fn is(&self, state: State) -> bool {
        self.0.as_ref().is_some_and(|place| place.state.get() == state)
    }
}

impl Place {
    fn new() -> Rc<Self> {
        Rc::new(Self { state: Cell::new(State::Idle), waker: RefCell::default() })
    }

    fn call(&self) {
        self.state.set(State::Called);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.given.fetch_sub(self.weight, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(in_hand: &InHand, turn: &mut Turn) -> bool {
        in_hand.poll_room(&mut Context::from_waker(Waker::noop()), turn).is_ready()
    }

    fn bytes(length: usize) -> BytesMut {
        BytesMut::from(&vec![0; length][..])
    }

    /// An account in which nothing more has room, and what fills it.
    fn full() -> (Rc<InHand>, Vec<Bytes>) {
        let in_hand = InHand::new();
        let mut given = Vec::new();
        while in_hand.room(&Turn::default()) > 0 {
            given.push(in_hand.count(bytes(TURN_BYTES)));
        }
        (in_hand, given)
    }

    #[test]
    fn bytes_count_until_the_last_who_has_them_lets_go() {
        let in_hand = InHand::new();
        assert_eq!(in_hand.room(&Turn::default()), IN_HAND_BYTES_MAX);
        let mut given = in_hand.count(bytes(100_000));
        let left = in_hand.room(&Turn::default());
        assert!(left <= IN_HAND_BYTES_MAX - 100_000, "{left}");
        let part = given.split_to(10);
        drop(given);
        assert_eq!(in_hand.room(&Turn::default()), left, "a part keeps the whole");
        drop(part);
        assert_eq!(in_hand.room(&Turn::default()), IN_HAND_BYTES_MAX);
    }

    #[test]
    fn those_who_wait_are_called_in_their_order_and_nobody_overtakes() {
        let (in_hand, mut given) = full();
        let mut turns: Vec<_> = (0..4).map(|_| Turn::default()).collect();
        for turn in &mut turns {
            assert!(!poll(&in_hand, turn), "no room");
        }
        let is_called = |turns: &[Turn]| turns.iter().map(|turn| turn.is(State::Called)).collect::<Vec<_>>();
        given.truncate(given.len() - 3);
        in_hand.call();
        assert_eq!(is_called(&turns), [true, true, false, false]);
        assert_eq!(in_hand.room(&Turn::default()), 0, "a newcomer waits for those who wait");
        assert!(poll(&in_hand, &mut turns[0]));
        assert_eq!(in_hand.room(&turns[0]), TURN_BYTES);
        given.push(in_hand.count(bytes(TURN_BYTES)));
        in_hand.leave(&turns[1]);
        assert!(!turns[2].is(State::Waiting), "who goes away passes the call on");
        given.extend((0..2).map(|_| in_hand.count(bytes(TURN_BYTES))));
        assert!(!poll(&in_hand, &mut turns[2]), "somebody took what was there");
        given.clear();
        in_hand.call();
        assert_eq!(is_called(&turns), [false, false, true, true]);
        assert!(poll(&in_hand, &mut turns[3]), "the one before need not come");
        assert!(in_hand.room(&Turn::default()) > TURN_BYTES, "nobody waits any more");
    }

    #[test]
    fn nobody_waits_for_a_connection_that_is_over() {
        let (in_hand, _given) = full();
        let mut turn = Turn::default();
        assert!(!poll(&in_hand, &mut turn));
        in_hand.end();
        assert!(poll(&in_hand, &mut turn) && poll(&in_hand, &mut Turn::default()));
        assert_eq!(in_hand.room(&Turn::default()), usize::MAX);
    }

    #[test]
    fn what_is_read_ahead_shrinks_with_what_is_held_and_never_ends() {
        let (in_hand, given) = full();
        assert_eq!(in_hand.ahead_max(), AHEAD_BYTES_MIN);
        drop(given);
        let mut beside = 0;
        in_hand.set_beside(&mut beside, IN_HAND_BYTES_MAX - 100_000);
        assert_eq!(in_hand.ahead_max(), 100_000);
        in_hand.set_beside(&mut beside, 5 * IN_HAND_BYTES_MAX);
        assert_eq!(in_hand.ahead_max(), AHEAD_BYTES_MIN);
        in_hand.set_beside(&mut beside, 0);
        assert_eq!((in_hand.ahead_max(), beside), (IN_HAND_BYTES_MAX, 0));
    }
}
