//! Relaying bytes between a client and a member as they are: layer 4, and tunnels after an upgrade.
//!
//! - Small messages are copied through the worker's scratch buffer; when one read fills it, bulk is coming and the direction
//!   moves to splice(2), until the source pauses with the pipe empty.
//! - An end from one side is passed on as an end (half-close), and the other direction goes on. A reset is passed on as a reset.
//! - Backpressure: a direction reads only when all that it read before was taken.
//! - Under a limit of bandwidth a direction moves what it gets a turn for, and waits for the next; that time is not idle.
//!
//! Source: behaviour/features.md section 3 (idle timeout resets both sides).

use std::{
    io::IoSlice,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use telemetry::Counter;
use tokio::net::TcpStream;

use crate::{
    buffer::Pending,
    io,
    limits::{Caps, Direction, Ticket},
    pipe::{PIPE_BYTES, Pipe},
    rounds::{Share, TURN_BYTES},
    stream::Stream,
    table::Seat,
    worker::Worker,
};

/// What a copying read asks for; one that is filled means bulk.
const WINDOW_BYTES: usize = 64 * 1024;

/// What one asks for at least, however little may pass.
const WINDOW_BYTES_MIN: u64 = 4 * 1024;

/// A move of less than this speaks against bulk, and so many in a row end it: one small move may be the tail of a large message,
/// which the next one follows.
const BULK_BYTES_MIN: usize = 16 * 1024;
const BULK_CREDIT: u8 = 4;

/// A client and a member joined together.
pub(crate) struct Relay {
    pub(crate) worker: Rc<Worker>,
    pub(crate) client: Stream,
    pub(crate) member: Stream,
    pub(crate) up: Way,
    pub(crate) down: Way,
    /// The connection to the member was begun, and nothing shows yet that it stands.
    pub(crate) connecting: bool,
    pub(crate) passed: Passed,
    /// Its place among those who wait for bandwidth.
    pub(crate) ticket: Ticket,
}

/// Bytes that went through a relay: taken by the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    /// From the client to the member.
    pub(crate) up: u64,
    /// From the member to the client.
    pub(crate) down: u64,
}

/// How a relay ended. All but [`Ended::Complete`] call for [`Relay::reset`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Both sides had said all.
    Complete,
    /// Nothing moved for the idle time.
    Idle,
    /// The client broke the connection.
    ClientBroke,
    /// The member broke the connection; while it is being made: it cannot be reached.
    MemberBroke,
    /// The listener is gone, or the member, and with it the time that was left.
    Stopped,
}

/// Where a relay counts.
pub(crate) struct Counts<'a> {
    pub(crate) from_client: &'a Counter,
    pub(crate) to_client: &'a Counter,
    pub(crate) from_member: &'a Counter,
    pub(crate) to_member: &'a Counter,
    /// How often bytes waited for bandwidth.
    pub(crate) waits: &'a Counter,
    /// What bytes per second are allowed; none: they are not limited.
    pub(crate) caps: Option<&'a Caps>,
    /// Whose part of the worker's time it takes.
    pub(crate) share: &'a Share,
}

impl Relay {
    /// Moves what can be moved. `stopped` ends the relay.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        seat: &Seat,
        idle: Duration,
        stopped: bool,
        counts: &Counts<'_>,
    ) -> Poll<Ended> {
        let turn = |way: &Way, direction| match counts.caps {
            Some(_) if way.state == State::Done => 0,
            Some(caps) => caps.turn(direction),
            None => TURN_BYTES,
        };
        let turns = (turn(&self.up, Direction::In), turn(&self.down, Direction::Out));
        let mut ends = Ends {
            worker: &self.worker,
            from: &mut self.client,
            to: &mut self.member,
            others_done: self.down.state == State::Done,
            connecting: self.connecting,
            cut: false,
            turn: turns.0,
            moved: 0,
        };
        let up = self.up.poll(cx, &mut ends);
        self.connecting = ends.connecting;
        let moved_up = ends.moved;
        let mut ends = Ends {
            worker: &self.worker,
            from: &mut self.member,
            to: &mut self.client,
            others_done: self.up.state == State::Done,
            connecting: false,
            cut: matches!(up, Err(Side::To { cut: true })),
            turn: turns.1,
            moved: 0,
        };
        let down = match up {
            // Nothing of this member is passed on, so another one may still take its place.
            Err(_) if self.connecting => Ok(()),
            _ => self.down.poll(cx, &mut ends),
        };
        let moved = Passed { up: moved_up, down: ends.moved };
        let mut waits = false;
        if let Some(caps) = counts.caps {
            caps.settle(Direction::In, turns.0, moved.up);
            caps.settle(Direction::Out, turns.1, moved.down);
            waits = (turns.0 == 0 && self.up.state != State::Done)
                || (turns.1 == 0 && self.down.state != State::Done);
            if waits {
                counts.waits.inc();
                caps.wait(&self.worker.pacer, &mut self.ticket, cx.waker());
            }
        }
        if moved.down > 0 || self.down.state != State::Open {
            self.connecting = false;
        }
        counts.from_client.add(moved.up);
        counts.to_member.add(moved.up);
        counts.from_member.add(moved.down);
        counts.to_client.add(moved.down);
        counts.share.charge_moved(moved.up + moved.down);
        self.passed.up += moved.up;
        self.passed.down += moved.down;
        let broken = match (up, down) {
            (Ok(()), Ok(())) => None,
            (_, Err(Side::From)) | (Err(Side::To { .. }), _) => Some(Ended::MemberBroke),
            (Err(Side::From), _) | (Ok(()), Err(Side::To { .. })) => Some(Ended::ClientBroke),
        };
        if let Some(ended) = broken {
            return Poll::Ready(ended);
        }
        if self.up.state == State::Done && self.down.state == State::Done {
            return Poll::Ready(Ended::Complete);
        }
        if stopped {
            return Poll::Ready(Ended::Stopped);
        }
        if moved != Passed::default() {
            seat.expire_after(idle);
        } else if !waits && seat.expired() {
            return Poll::Ready(Ended::Idle);
        }
        Poll::Pending
    }

    /// Makes the close of both sides a reset.
    pub(crate) fn reset(&mut self) {
        self.client.reset_on_close();
        self.member.reset_on_close();
    }

    /// Tries another member; what came from the client meanwhile goes to it. Only while `connecting`: then nothing was taken.
    pub(crate) fn turn_to(&mut self, member: Stream) {
        self.member = member;
        self.up.turns = Turns::None;
    }
}

/// One direction of a relay.
#[derive(Default)]
pub(crate) struct Way {
    pending: Pending,
    pipe: Option<Pipe>,
    /// Above zero: bytes come in bulk.
    bulk: u8,
    state: State,
    turns: Turns,
    /// The source was asked for bytes before.
    asked: bool,
}

/// How often a direction has written. A connection on which one thing is said and then closed does without TCP_NODELAY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Turns {
    #[default]
    None,
    One,
    Many,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The source has said all; what is left must still go out.
    Ending,
    /// The end was passed on.
    Done,
}

/// What a direction joins, and how that stands.
struct Ends<'r> {
    worker: &'r Worker,
    from: &'r mut Stream,
    to: &'r mut Stream,
    /// The other direction has passed its end on.
    others_done: bool,
    /// As [`Relay::connecting`], of `to`.
    connecting: bool,
    /// The connection of `from` broke off in the other direction: what it said may go on, but no end is its end.
    cut: bool,
    /// About how many bytes may move.
    turn: u64,
    /// Bytes that `to` has taken.
    moved: u64,
}

/// Which side of a direction failed.
enum Side {
    From,
    /// `cut`: see [`Stream::is_cut_by`].
    To {
        cut: bool,
    },
}

impl Side {
    fn to(stream: &Stream, error: &std::io::Error) -> Self {
        Self::To { cut: stream.is_cut_by(error) }
    }
}

impl Way {
    /// A direction with bytes that came before it began.
    pub(crate) fn holding(bytes: Vec<u8>) -> Self {
        Self { pending: bytes.into(), ..Self::default() }
    }

    /// Moves what can be moved now, about as much as its turn says, and sees to it that the task is woken when more can be. Without a turn,
    /// somebody else sees to that.
    fn poll(&mut self, cx: &mut Context<'_>, ends: &mut Ends<'_>) -> Result<(), Side> {
        loop {
            if self.state == State::Done {
                return Ok(());
            }
            let Some(left) = ends.turn.checked_sub(ends.moved).filter(|&left| left > 0) else {
                if ends.turn > 0 {
                    cx.waker().wake_by_ref();
                }
                return Ok(());
            };
            if !self.flush(ends)? {
                // Readiness was cleared by the write that was refused; a failure shows at the next write.
                match ends.to.poll_writable(cx) {
                    Poll::Ready(_) => continue,
                    Poll::Pending => return Ok(()),
                }
            }
            ends.connecting &= ends.moved == 0;
            if ends.to.poll_flush(cx).map_err(|error| Side::to(ends.to, &error))?.is_pending() {
                return Ok(());
            }
            if self.state == State::Ending {
                if ends.cut {
                    return Err(Side::From);
                }
                if ends.connecting && ends.to.poll_writable(cx).is_pending() {
                    // To end a connection that is being made would be to give it up.
                    return Ok(());
                }
                if !ends.others_done {
                    ends.to.finish();
                }
                self.state = State::Done;
                continue;
            }
            let read = match (ends.from.plain(), ends.to.plain()) {
                (Some(source), Some(_)) if self.bulk > 0 => self.poll_splice(ends.worker, cx, source, left),
                _ => Poll::Ready(Ok(false)),
            };
            let read = match read {
                Poll::Ready(Ok(false)) => self.poll_copy(cx, ends, left),
                Poll::Ready(Ok(true)) => Poll::Ready(Ok(())),
                Poll::Ready(Err(side)) => Poll::Ready(Err(side)),
                Poll::Pending => Poll::Pending,
            };
            match read {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    // The source pauses: the pipe, which is empty, goes back meanwhile.
                    self.pipe = None;
                    return Ok(());
                }
            }
        }
    }

    /// Writes what waits; whether nothing waits any more.
    fn flush(&mut self, ends: &mut Ends<'_>) -> Result<bool, Side> {
        if !self.pending.is_empty() {
            let flushed = self.pending.flush(&ends.worker.buffers, ends.to);
            ends.moved += flushed.map_err(|error| Side::to(ends.to, &error))? as u64;
            if !self.pending.is_empty() {
                return Ok(false);
            }
        }
        if let Some(pipe) = &mut self.pipe {
            while pipe.held() > 0 {
                let Some(socket) = ends.to.plain() else { break };
                let written = io::empty(socket, pipe).map_err(|error| Side::to(ends.to, &error))?;
                if written == 0 {
                    return Ok(false);
                }
                ends.moved += written as u64;
            }
        }
        Ok(true)
    }

    /// Notes that something is written.
    fn take_turn(&mut self, to: &mut Stream) {
        self.turns = match self.turns {
            Turns::None => Turns::One,
            Turns::One => {
                to.send_at_once();
                Turns::Many
            }
            Turns::Many => Turns::Many,
        };
    }

    /// Moves bytes into the pipe; false when there is none to be had, so that bytes have to be copied.
    fn poll_splice(
        &mut self,
        worker: &Worker,
        cx: &mut Context<'_>,
        from: &TcpStream,
        left: u64,
    ) -> Poll<Result<bool, Side>> {
        if self.pipe.is_none() {
            self.pipe = worker.pipes.take();
        }
        let Some(pipe) = &mut self.pipe else {
            self.bulk = 0;
            return Poll::Ready(Ok(false));
        };
        let most = usize::try_from(left).map_or(PIPE_BYTES, |left| left.min(PIPE_BYTES));
        let filled = std::task::ready!(io::poll_fill(from, cx, pipe, most));
        match filled {
            Ok(0) => self.state = State::Ending,
            Ok(bytes) => self.bulk = if bytes >= BULK_BYTES_MIN { BULK_CREDIT } else { self.bulk - 1 },
            Err(_) => return Poll::Ready(Err(Side::From)),
        }
        Poll::Ready(Ok(true))
    }

    /// Reads once, about `left` at most, and writes that at once; what the socket does not take is kept.
    fn poll_copy(&mut self, cx: &mut Context<'_>, ends: &mut Ends<'_>, left: u64) -> Poll<Result<(), Side>> {
        let Ends { worker, from, to, connecting, moved, .. } = ends;
        let mut scratch = worker.buffers.scratch.borrow_mut();
        let window_bytes = left.clamp(WINDOW_BYTES_MIN, WINDOW_BYTES as u64) as usize;
        let window = &mut scratch[..window_bytes.min(from.read_max()).min(to.ahead_max())];
        let read = match std::mem::replace(&mut self.asked, true) || !*connecting {
            true => from.poll_read(cx, window),
            false => from.poll_first_read(cx, window),
        };
        let bytes = match std::task::ready!(read) {
            Ok(0) => {
                self.state = State::Ending;
                return Poll::Ready(Ok(()));
            }
            Ok(bytes) => bytes,
            Err(_) => return Poll::Ready(Err(Side::From)),
        };
        self.bulk = if bytes == WINDOW_BYTES { BULK_CREDIT } else { 0 };
        let piece = [IoSlice::new(&window[..bytes])];
        self.take_turn(to);
        let ended = bytes < window.len() && !*connecting && from.has_ended(cx);
        let written = if *connecting {
            to.write_at_once(&piece)
        } else if ended {
            self.state = State::Ending;
            to.write_last(&piece)
        } else {
            to.write(&piece)
        };
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                self.pending.keep(&worker.buffers, &piece, 0);
                return Poll::Ready(Err(Side::to(to, &error)));
            }
        };
        *connecting &= written == 0;
        *moved += written as u64;
        if written < bytes {
            self.pending.keep(&worker.buffers, &piece, written);
        }
        Poll::Ready(Ok(()))
    }
}
