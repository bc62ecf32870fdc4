//! UDP: datagrams of a client become datagrams to a member, and its answers go back.
//!
//! What a client sends from one address and port to one address and port of a listener is a flow. It stays with its member until
//! neither side says anything for the listener's idle timeout. Every worker has a socket of its own for each address of a listener,
//! and the kernel gives all datagrams of a flow to the same one, so nothing of a flow is shared. Towards the member each flow has a
//! connected socket: answers find their way, and "port unreachable" is heard. Answers leave by the socket that the client sent to.
//!
//! Datagrams are taken and answered many at a time ([`Batch`](crate::sys::datagrams::Batch)), and one descriptor (an epoll of the flows' sockets) tells of all
//! answers, so a flow has no task of its own. An idle flow takes about 200 bytes here, and its socket about 2.5 KiB in the kernel.
//!
//! **Limits.** A listener has at most [`FLOWS_MAX`] flows in a worker, and all flows of a worker may have half of its share of the
//! descriptors; ports of the node towards one member end with `net.ipv4.ip_local_port_range`, too. At any of these a new flow displaces
//! the listener's flow that was idle longest, first among those whose client has not gone on after an answer
//! ([`FlowTable`](balance::FlowTable)).
//!
//! Datagrams beyond a limit of bandwidth are dropped, as any full link drops them: to keep them for later would only make them late. So are
//! those of clients that the listener, or its flavor, allows no more flows.
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

mod answers;
mod flows;
mod former;
mod link;
mod passing;
pub(crate) mod quic;
mod upstream;

use std::{cell::RefCell, future::poll_fn, io, net::SocketAddr, os::fd::OwnedFd, rc::Rc, task::Waker};

use balance::FlowId;
use tokio::task::JoinHandle;

use self::{flows::Flows, former::Former};
use crate::{blame, clock, service::Slot, sys::watched::Watched, worker::Worker};

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

    /// A member has refused: its flow ends, and others are preferred for a while.
    fn break_off(&self, flows: &mut Flows, id: FlowId, error: &io::Error, now: u64) {
        let Some((_, slot)) = flows.table.get(id) else { return };
        let Some(flow) = flows.table.end(id) else { return };
        let work = &flow.value.work;
        tracing::debug!(member = %work.member().plan.address, %error, "a member refuses datagrams");
        work.record(blame::attempt(error));
        flows.rest(slot, now + REFUSED_REST_MS);
    }
}

/// Where a flow's datagrams come from.
type Upstream = OwnedFd;
