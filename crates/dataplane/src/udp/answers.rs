//! What members say, on its way back to the clients.

use std::{
    future::poll_fn,
    io,
    rc::Rc,
    task::{Context, Poll},
};

use balance::FlowId;
use rustix::event::epoll;

use super::{
    Forwarder, OpenPort, PortIndex, TURN_BATCHES, TURN_ENDS, flows::Flows, passing::admit, upstream,
};
use crate::{
    clock,
    limits::Direction,
    sys::{
        datagrams::{Batch, PLACES},
        watched::Watched,
    },
    table::{Seat, TICK},
};

/// Answers that were taken and not yet sent: the first places of a batch, all for the same port.
struct Outgoing<'b> {
    batch: &'b mut Batch,
    filled: usize,
    port: PortIndex,
}

const NOW: rustix::event::Timespec = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };

impl Forwarder {
    /// Has the answers of a new flow told of.
    pub(super) fn hear(self: &Rc<Self>, flows: &mut Flows, id: FlowId) -> io::Result<()> {
        let Some(flow) = flows.table.value_mut(id) else { return Ok(()) };
        let mut answers = self.answers.borrow_mut();
        let answers = match &*answers {
            Some(answers) => answers,
            None => {
                let heard = Rc::new(Watched::new(epoll::create(epoll::CreateFlags::CLOEXEC)?)?);
                drop(tokio::task::spawn_local(self.clone().answer(heard.clone())));
                answers.insert(heard)
            }
        };
        let data = epoll::EventData::new_u64(id.to_bits());
        epoll::add(answers.get(), &flow.upstream, data, epoll::EventFlags::IN)?;
        Ok(())
    }

    /// Sends answers back and ends what must end, until there are no flows.
    async fn answer(self: Rc<Self>, heard: Rc<Watched>) {
        let seat = Seat::take(&self.worker.table, self.slot.group());
        seat.occupy().await;
        seat.expire_after(TICK);
        self.worker.sockets.set(self.worker.sockets.get() + 1);
        let mut events = Vec::with_capacity(PLACES);
        poll_fn(|cx| self.poll_answers(&heard, &seat, &mut events, cx)).await;
        self.worker.sockets.set(self.worker.sockets.get() - 1);
    }

    fn poll_answers(
        self: &Rc<Self>,
        heard: &Watched,
        seat: &Seat,
        events: &mut Vec<epoll::Event>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let now = clock::now_ms();
        let mut flows = self.flows.borrow_mut();
        if seat.expired() {
            flows.look_at_members(now);
            seat.expire_after(TICK);
        }
        if flows.end_some(now, TURN_ENDS) {
            cx.waker().wake_by_ref();
        }
        if flows.is_empty() {
            *self.answers.borrow_mut() = None;
            if self.worker.is_draining() {
                self.ports.borrow_mut().iter_mut().for_each(|port| self.shut(port));
            }
            return Poll::Ready(());
        }
        let turn = flows.next_turn();
        let mut batch = self.worker.datagrams.borrow_mut();
        let mut outgoing = Outgoing { batch: batch.get_or_insert_with(Batch::new), filled: 0, port: 0 };
        for _ in 0..TURN_BATCHES {
            let taken = heard.poll_take(cx, |epoll| {
                events.clear();
                epoll::wait(epoll, rustix::buffer::spare_capacity(events), Some(&NOW))?;
                // It tells of a flow until nothing is left there, so only silence is the end.
                Ok(((), !events.is_empty()))
            });
            match taken {
                Poll::Ready(Ok(())) => {
                    for event in &*events {
                        let id = FlowId::from_bits(event.data.u64());
                        self.take_answers(&mut flows, id, &mut outgoing, turn, now);
                    }
                }
                Poll::Ready(Err(error)) => tracing::error!(%error, "cannot hear of answers"),
                Poll::Pending => {
                    self.send_out(&flows, &mut outgoing);
                    return Poll::Pending;
                }
            }
        }
        self.send_out(&flows, &mut outgoing);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes what a flow's member has said, or a part of it.
    fn take_answers(&self, flows: &mut Flows, id: FlowId, outgoing: &mut Outgoing<'_>, turn: u16, now: u64) {
        let Some((key, _)) = flows.table.get(id) else { return };
        let client = key.client();
        let Some(port) = flows.table.value_mut(id).map(|flow| flow.port) else { return };
        if outgoing.filled == PLACES || (outgoing.filled > 0 && outgoing.port != port) {
            self.send_out(flows, outgoing);
        }
        let first = outgoing.filled;
        let Some(flow) = flows.table.value_mut(id) else { return };
        match flow.receive(outgoing.batch, first, turn) {
            Ok(count) => {
                let mut places = first..first + count;
                let Some(flow) = flows.table.handle_answer(now, id) else { return };
                flow.note_answers(outgoing.batch, places.clone());
                flow.look_at_member(outgoing.batch, places.clone(), now);
                outgoing.port = port;
                admit(&flows.service, outgoing.batch, &mut places, Direction::Out);
                outgoing.filled = places.end;
                places.for_each(|place| outgoing.batch.set_peer(place, client));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if upstream::is_refusal(&error) => self.break_off(flows, id, &error, now),
            Err(error) => tracing::debug!(%client, %error, "a member's datagram was lost"),
        }
    }

    /// Sends the gathered answers to their clients.
    fn send_out(&self, flows: &Flows, outgoing: &mut Outgoing<'_>) {
        let filled = std::mem::take(&mut outgoing.filled);
        let ports = self.ports.borrow();
        let Some(OpenPort { socket, .. }) =
            ports.get(outgoing.port as usize).and_then(|port| port.open.as_ref())
        else {
            return;
        };
        let counters = &flows.service.counters;
        let mut from = 0;
        while from < filled {
            match outgoing.batch.send_to(socket.get(), from..filled) {
                Ok(count) => {
                    let bytes: usize =
                        (from..from + count).map(|place| outgoing.batch.datagram(place).len()).sum();
                    counters.bytes_out.add(bytes as u64);
                    counters.datagrams_out.add(count as u64);
                    from += count.max(1);
                }
                // A queue that is full loses datagrams, as any queue on the way does.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Of this one client.
                Err(error) => {
                    tracing::debug!(%error, "an answer was lost");
                    from += 1;
                }
            }
        }
    }
}
