//! UDP: datagrams of a client become datagrams to a member, and its answers go back.
//!
//! What a client sends from one address and port to one address and port of a listener is a flow. It stays with its member until
//! neither side says anything for the listener's idle timeout. Every worker has a socket of its own for each address of a listener,
//! and the kernel gives all datagrams of a flow to the same one, so nothing of a flow is shared. Towards the member each flow has a
//! connected socket: answers find their way, and "port unreachable" is heard. Answers leave by the socket that the client sent to.
//!
//! Datagrams are taken and answered many at a time ([`Batch`]), and one descriptor (an epoll of the flows' sockets) tells of all
//! answers, so a flow has no task of its own. An idle flow takes about 200 bytes here, and its socket about 2.5 KiB in the kernel.
//!
//! **Limits.** A listener has at most [`FLOWS_MAX`] flows in a worker, and all flows of a worker may have half of its share of the
//! descriptors; ports of the node towards one member end with `net.ipv4.ip_local_port_range`, too. At any of these a new flow displaces
//! the listener's flow that was idle longest, first among those whose client has not gone on after an answer
//! ([`FlowTable`](balance::FlowTable)).
//!
//! **A member that refuses** (port unreachable): its flow ends, the datagram at hand goes to another member, and for [`REFUSED_REST_MS`]
//! new flows go to others if there are any, whatever the health monitor knows by then.
//!
//! **Members that leave**: see [`balance::drain`]. Health is looked at ten times a second.
//!
//! **After an upgrade** flows of the former process go on there ([`link`]).
//!
//! When a worker drains, flows go on until they are idle for [`DRAIN_IDLE_MS`], and none begins.
//!
//! QUIC in a pool for it is placed by connection id: see [`quic`].
//!
//! Source: behaviour/features.md sections 2, 3 and 7.

mod flows;
mod former;
mod link;
pub(crate) mod quic;
mod upstream;

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::SocketAddr,
    ops::Range,
    os::fd::OwnedFd,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use balance::{FlowId, FlowKey};
use rustix::event::epoll;
use telemetry::Attempt;
use tokio::task::JoinHandle;

use self::{
    flows::{Flows, Forwarding, Refusal},
    former::Former,
};
use crate::{
    clock,
    layer4::Open,
    service::{Service, Slot},
    sys::{
        datagrams::{Batch, PLACES},
        watched::Watched,
    },
    table::{Seat, TICK},
    target::{ATTEMPTS_MAX, Tried},
    worker::Worker,
};

/// Flows of one listener in one worker.
const FLOWS_MAX: u32 = 1 << 16;

/// For how long a member that refused gets no new flows while there are others.
const REFUSED_REST_MS: u64 = 1000;

/// How long a flow may be idle when its worker drains.
const DRAIN_IDLE_MS: u64 = 2000;

/// Full batches that are handled before others get their turn.
const TURN_BATCHES: usize = 4;

/// Flows that are ended before others get their turn, when many must end.
const TURN_ENDS: usize = 512;

/// A listener's datagrams in one worker.
pub(crate) struct Forwarder {
    worker: Rc<Worker>,
    slot: Rc<Slot>,
    ports: RefCell<Vec<Port>>,
    flows: RefCell<Flows>,
    /// The tasks that take datagrams, while that is held.
    held: RefCell<Vec<Waker>>,
    /// Tells of answers, while there are flows.
    answers: RefCell<Option<Rc<Watched>>>,
}

/// A place for a socket of the listener. It keeps its number when the socket is closed, and gets one of the same address again.
struct Port {
    address: SocketAddr,
    open: Option<OpenPort>,
}

struct OpenPort {
    socket: Rc<Watched>,
    task: JoinHandle<()>,
    /// The processes that had the socket before.
    formers: Vec<Former>,
    /// The way to the process that it was lent to.
    lent: Option<Rc<Watched>>,
}

/// The number of a port in its forwarder.
type PortIndex = u32;

impl Forwarder {
    /// A forwarder without a socket yet.
    pub(crate) fn new(worker: Rc<Worker>, slot: Rc<Slot>) -> Rc<Self> {
        let flows = RefCell::new(Flows::new(slot.service()));
        Rc::new(Self {
            worker,
            slot,
            ports: RefCell::default(),
            flows,
            held: RefCell::default(),
            answers: RefCell::default(),
        })
    }

    /// Starts forwarding what comes to a socket. Must be called inside the worker's runtime.
    pub(crate) fn open(
        self: &Rc<Self>,
        address: SocketAddr,
        socket: OwnedFd,
        links: Vec<OwnedFd>,
    ) -> io::Result<()> {
        let socket = Rc::new(Watched::new(socket)?);
        let mut ports = self.ports.borrow_mut();
        let known = ports.iter().position(|port| port.address == address && port.open.is_none());
        let index = known.unwrap_or_else(|| {
            ports.push(Port { address, open: None });
            ports.len() - 1
        });
        let (forwarder, watched) = (self.clone(), socket.clone());
        let task = tokio::task::spawn_local(async move {
            poll_fn(|cx| forwarder.poll_port(&watched, address, index as PortIndex, cx)).await
        });
        let formers = self.formers(links, address, index as PortIndex)?;
        ports[index].open = Some(OpenPort { socket, task, formers, lent: None });
        self.worker.sockets.set(self.worker.sockets.get() + 1);
        Ok(())
    }

    /// Closes the sockets of an address; its flows end.
    pub(crate) fn close(&self, address: SocketAddr) {
        let mut ports = self.ports.borrow_mut();
        ports.iter_mut().filter(|port| port.address == address).for_each(|port| self.shut(port));
        self.flows.borrow_mut().doom_those_at(address);
        self.wake();
    }

    /// Goes on after [`Worker::is_held`] has ended.
    pub(crate) fn go_on(&self) {
        self.held.borrow_mut().drain(..).for_each(Waker::wake);
    }

    /// Takes in what changed in the listener.
    pub(crate) fn follow(&self) {
        let now = clock::now_ms();
        let service = self.slot.service();
        let mut flows = self.flows.borrow_mut();
        flows.change(service, now);
        // What goes beyond is ended by and by.
        flows.end_some(now, TURN_ENDS);
        self.wake();
    }

    /// Closes everything.
    pub(crate) fn stop(&self) {
        self.ports.borrow_mut().iter_mut().for_each(|port| self.shut(port));
        self.flows.borrow_mut().doom_all();
        self.wake();
    }

    /// No new flows from now on; when the last one has ended, the sockets are closed.
    pub(crate) fn drain(&self) {
        let mut flows = self.flows.borrow_mut();
        flows.drain();
        if flows.is_empty() {
            self.ports.borrow_mut().iter_mut().for_each(|port| self.shut(port));
        }
    }

    fn shut(&self, port: &mut Port) {
        if let Some(OpenPort { socket, task, formers, lent }) = port.open.take() {
            // The task holds the socket until the runtime has ended it. A datagram of this turn is lost, as on any way.
            task.abort();
            drop((socket, formers));
            // Whoever asks there sees the end at once, although a task has it, too.
            if let Some(lent) = lent {
                let _ended = rustix::net::shutdown(lent.get(), rustix::net::Shutdown::Both);
            }
            self.worker.sockets.set(self.worker.sockets.get() - 1);
        }
    }

    /// Has the present looked at soon.
    fn wake(&self) {
        self.worker.table.wake_group(self.slot.group());
    }

    /// Passes on what came to a socket.
    fn poll_port(
        self: &Rc<Self>,
        socket: &Watched,
        address: SocketAddr,
        port: PortIndex,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.worker.is_held() {
            self.held.borrow_mut().push(cx.waker().clone());
            return Poll::Pending;
        }
        let mut batch = self.worker.datagrams.borrow_mut();
        let batch = batch.get_or_insert_with(Batch::new);
        for _ in 0..TURN_BATCHES {
            let taken = socket.poll_take(cx, |socket| {
                let count = batch.receive_from(socket)?;
                Ok((count, count == PLACES))
            });
            match taken {
                Poll::Ready(Ok(count)) => self.pass(batch, count, address, port),
                // What the network says of an answer that was sent before; it names no flow.
                Poll::Ready(Err(error)) => tracing::debug!(%address, %error, "a datagram was lost"),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Passes on the datagrams in the first places of a batch.
    fn pass(self: &Rc<Self>, batch: &mut Batch, count: usize, address: SocketAddr, port: PortIndex) {
        let now = clock::now_ms();
        let mut flows = self.flows.borrow_mut();
        let mut from = 0;
        while from < count {
            // Who says much at once has its datagrams side by side.
            let client = batch.peer(from);
            let more = (from + 1..count).take_while(|&place| batch.peer(place) == client).count();
            let places = from..from + 1 + more;
            from = places.end;
            if let Some(client) = client {
                self.pass_run(&mut flows, batch, places, FlowKey::new(client, address), port, now);
            }
        }
    }

    /// Passes on datagrams of one client.
    fn pass_run(
        self: &Rc<Self>,
        flows: &mut Flows,
        batch: &mut Batch,
        mut places: Range<usize>,
        key: FlowKey,
        port: PortIndex,
        now: u64,
    ) {
        if let Some((id, _, flow)) = flows.table.handle_datagram(now, &key) {
            flow.look_at_client(batch, places.clone(), now);
            let refused = flow.send(batch, &mut places, &flows.service.counters);
            let Err(Refusal { error }) = refused else { return };
            self.break_off(flows, id, &error, now);
        }
        self.begin(flows, batch, places, key, port, now);
    }

    /// Begins a flow with these datagrams.
    fn begin(
        self: &Rc<Self>,
        flows: &mut Flows,
        batch: &mut Batch,
        mut places: Range<usize>,
        key: FlowKey,
        port: PortIndex,
        now: u64,
    ) {
        let service = flows.service.clone();
        let count = places.len() as u64;
        if let Some(acl) = &service.plan.acl
            && !acl.admits(key.client().ip())
        {
            return service.counters.denied.add(count);
        }
        if self.slot.is_retired() || self.worker.is_draining() {
            return;
        }
        if self.ask_formers(batch, &mut places, key.client(), port, None) {
            return;
        }
        self.begin_here(flows, batch, places, key, port, now);
    }

    /// As [`Forwarder::begin`], when no other process has the flow.
    fn begin_here(
        self: &Rc<Self>,
        flows: &mut Flows,
        batch: &mut Batch,
        mut places: Range<usize>,
        key: FlowKey,
        port: PortIndex,
        now: u64,
    ) {
        let service = flows.service.clone();
        for _ in 0..ATTEMPTS_MAX {
            let first = batch.datagram(places.start);
            let Some(forwarding) = self.reach(flows, &service, &key, first, port, now) else { break };
            let member = flows.slot_of(forwarding.work.member());
            let (id, displaced) = flows.table.begin(now, key, member, forwarding);
            if displaced.is_some() {
                service.counters.flows_displaced.inc();
            }
            if let Err(error) = self.hear(flows, id) {
                tracing::warn!(%error, "cannot wait for answers; a flow has not begun");
                flows.table.end(id);
                break;
            }
            let Some(flow) = flows.table.value_mut(id) else { break };
            match flow.send(batch, &mut places, &service.counters) {
                Ok(()) => return,
                Err(Refusal { error }) => self.break_off(flows, id, &error, now),
            }
        }
        service.counters.unserved.add(places.len() as u64);
    }

    /// A way to a member for a new flow; none: nobody can be reached.
    fn reach(
        &self,
        flows: &mut Flows,
        service: &Service,
        key: &FlowKey,
        datagram: &[u8],
        port: PortIndex,
        now: u64,
    ) -> Option<Forwarding> {
        let target = service.target.as_ref()?;
        let client = key.client().ip();
        let cids = target.shared.cids.as_ref();
        let part = cids.and_then(|cids| Some((cids, cids.of_client(datagram)?)));
        if !self.worker.may_begin_flow() {
            flows.displace(now)?;
        }
        for _ in 0..ATTEMPTS_MAX {
            let resting = flows.tried(now);
            let by_cid = part.as_ref().and_then(|(cids, part)| {
                cids.place(target, now, part, &resting, |index| flows.keeps(index, now))
            });
            let work = match target.begin(client, &resting, by_cid) {
                Ok(work) => work,
                // Those who refused may be back by now.
                Err(_) if !resting.is_empty() => target.begin(client, &Tried::default(), None).ok()?,
                Err(_) => return None,
            };
            let address = work.member().plan.address_for(key.local().port());
            let upstream = upstream::connect(address).or_else(|error| {
                // The node is out of descriptors or ports: an old flow has some.
                let can_be_mended = upstream::is_ours(&error) && flows.displace(now).is_some();
                if can_be_mended { upstream::connect(address) } else { Err(error) }
            });
            match upstream {
                Ok(upstream) => {
                    let open = Open::admit(service)?;
                    work.member().counters.connections.inc();
                    return Some(Forwarding::new(&self.worker, upstream, work, port, open));
                }
                Err(error) => {
                    tracing::debug!(member = %address, %error, "cannot reach a member");
                    work.member().counters.record(Attempt::ConnectFailed);
                    let slot = flows.slot_of(work.member());
                    flows.rest(slot, now + REFUSED_REST_MS);
                }
            }
        }
        None
    }

    /// Has the answers of a new flow told of.
    fn hear(self: &Rc<Self>, flows: &mut Flows, id: FlowId) -> io::Result<()> {
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
        epoll::add(answers.get(), &flow.upstream, data, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
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
        let mut batch = self.worker.datagrams.borrow_mut();
        let mut outgoing = Outgoing { batch: batch.get_or_insert_with(Batch::new), filled: 0, port: 0 };
        for _ in 0..TURN_BATCHES {
            let taken = heard.poll_take(cx, |epoll| {
                events.clear();
                epoll::wait(epoll, rustix::buffer::spare_capacity(events), Some(&NOW))?;
                Ok(((), events.len() == events.capacity()))
            });
            match taken {
                Poll::Ready(Ok(())) => {
                    for event in &*events {
                        self.take_answers(
                            &mut flows,
                            FlowId::from_bits(event.data.u64()),
                            &mut outgoing,
                            now,
                        );
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

    /// Takes what a flow's member has said.
    fn take_answers(&self, flows: &mut Flows, id: FlowId, outgoing: &mut Outgoing<'_>, now: u64) {
        loop {
            let Some((key, _)) = flows.table.get(id) else { return };
            let client = key.client();
            let Some(flow) = flows.table.value_mut(id) else { return };
            if outgoing.filled == PLACES || (outgoing.filled > 0 && outgoing.port != flow.port) {
                self.send_out(flows, outgoing);
                continue;
            }
            let first = outgoing.filled;
            match outgoing.batch.receive(&flow.upstream, first) {
                Ok(count) => {
                    let places = first..first + count;
                    let Some(flow) = flows.table.handle_answer(now, id) else { return };
                    flow.count_answers(outgoing.batch, places.clone());
                    flow.look_at_member(outgoing.batch, places.clone(), now);
                    outgoing.port = flow.port;
                    outgoing.filled = places.end;
                    places.for_each(|place| outgoing.batch.set_peer(place, client));
                    if outgoing.filled < PLACES {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if upstream::is_refusal(&error) => {
                    return self.break_off(flows, id, &error, now);
                }
                Err(error) => return tracing::debug!(%client, %error, "a member's datagram was lost"),
            }
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

    /// A member has refused: its flow ends, and others are preferred for a while.
    fn break_off(&self, flows: &mut Flows, id: FlowId, error: &io::Error, now: u64) {
        let Some((_, slot)) = flows.table.get(id) else { return };
        let Some(flow) = flows.table.end(id) else { return };
        let member = flow.value.work.member();
        tracing::debug!(member = %member.plan.address, %error, "a member refuses datagrams");
        member.counters.record(Attempt::ConnectFailed);
        flows.rest(slot, now + REFUSED_REST_MS);
    }
}

/// Answers that were taken and not yet sent: the first places of a batch, all for the same port.
struct Outgoing<'b> {
    batch: &'b mut Batch,
    filled: usize,
    port: PortIndex,
}

const NOW: rustix::event::Timespec = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };

/// Where a flow's datagrams come from.
type Upstream = OwnedFd;
