//! A worker: one thread, one runtime, and everything that its connections share.
//!
//! Workers share nothing on the request path but plans, health bits and the counts of least connections. A worker hears of
//! changes by [`Order`]s; it carries an order out whole before the next and then says so.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::HashMap,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use model::{ListenerId, TargetId, Transport};
use plan::{ListenerPlan, ServicePlan};
use telemetry::Registry;
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{mpsc, oneshot},
};

use crate::{
    acceptor::Acceptor,
    buffer::Buffers,
    clock,
    config::Config,
    drain::{Drains, Here},
    handover::{ListeningSocket, Opened},
    http::HttpScratch,
    http3,
    limits::{Bounds, Limits},
    pipe::Pipes,
    service::{Service, Slot},
    sys::datagrams::Batch,
    table::{TICK, Table},
    target::{SharedTarget, Target},
    tls::{MemberTls, Terms, TlsScratch},
    udp::Forwarder,
};

/// What all connections of a worker share.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) config: Config,
    pub(crate) limits: Arc<Limits>,
    pub(crate) registry: Registry,
    pub(crate) table: Rc<Table>,
    pub(crate) buffers: Buffers,
    pub(crate) pipes: Rc<Pipes>,
    pub(crate) http: HttpScratch,
    pub(crate) access_log: RefCell<telemetry::access_log::Lane>,
    pub(crate) tls: Rc<TlsScratch>,
    pub(crate) member_tls: MemberTls,
    /// Since when (in ticks) there is no new work, and what is open ends when its present work ends.
    draining: Cell<Option<u32>>,
    /// Whether new connections are left in the kernel's queues for now.
    held: Cell<bool>,
    slots: RefCell<HashMap<ListenerId, Listening>>,
    targets: RefCell<HashMap<TargetId, Rc<Target>>>,
    drains: Drains,
    /// Those of which something may change by itself.
    followed: RefCell<Vec<Rc<Target>>>,
    groups: Cell<u32>,
    /// What datagrams are taken into; made when the first one comes. Never held while waiting.
    pub(crate) datagrams: RefCell<Option<Batch>>,
    /// Flows of UDP.
    flows: Cell<usize>,
    /// Listening sockets.
    pub(crate) sockets: Cell<usize>,
    /// Handshakes of QUIC under way.
    pub(crate) quic_handshakes: Cell<usize>,
    /// What QUIC needs of this worker; made when a listener of QUIC comes.
    quic_runtime: OnceCell<http3::Runtime>,
    /// Addresses of QUIC whose listeners are gone, while connections are served there.
    quic_left: RefCell<Vec<http3::Endpoint>>,
}

/// A listener in this worker.
struct Listening {
    slot: Rc<Slot>,
    acceptors: Vec<Acceptor>,
    /// Of a listener of UDP.
    forwarder: Option<Rc<Forwarder>>,
    /// Of a listener of QUIC.
    quic: Vec<http3::Endpoint>,
}

/// Changes to be carried out together.
pub(crate) struct Order {
    pub(crate) changes: Vec<Change>,
    /// Told when it is done.
    pub(crate) done: oneshot::Sender<()>,
}

/// One change.
pub(crate) enum Change {
    /// A listener is new or has another plan.
    Listener {
        plan: Arc<ListenerPlan>,
        /// The targets that the plan names, each once.
        targets: Vec<Arc<SharedTarget>>,
        /// What bounds its work.
        bounds: Bounds,
        /// The terms of its TLS, if it has TLS whose terms can be carried out.
        tls: Option<Arc<Terms>>,
        /// Sockets to accept from, in addition to those that stay.
        opened: Vec<(SocketAddr, Opened)>,
        /// The same of QUIC.
        opened_quic: Vec<Arc<http3::Sockets>>,
        /// Addresses to stop accepting from.
        closed: Vec<SocketAddr>,
    },
    /// A listener is gone.
    Removed(ListenerId),
    /// New connections are left in the kernel's queues from now on, or taken again.
    Hold(bool),
    /// Asks for other descriptors of all listening sockets.
    Lend(oneshot::Sender<io::Result<Vec<ListeningSocket>>>),
    /// No new work. Answered when the last connection has ended.
    Drain(Farewell),
}

/// What becomes of listening sockets when a worker drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Connections that the kernel has already made are taken, then nobody gets in any more.
    Close,
    /// They were lent to another process, which accepts from them.
    Leave,
}

/// Starts a worker's thread. `held`: it accepts nothing before [`Change::Hold`] says so.
pub(crate) fn start(
    index: usize,
    config: Config,
    limits: Arc<Limits>,
    registry: Registry,
    held: bool,
) -> io::Result<mpsc::UnboundedSender<Order>> {
    let (orders, inbox) = mpsc::unbounded_channel();
    // The runtime is made here so that its failure is ours to tell; a current-thread runtime may move before it runs.
    let (ready, started) = std::sync::mpsc::sync_channel(1);
    thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .event_interval(EVENT_INTERVAL)
            .build_local(LocalOptions::default());
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return drop(ready.send(Err(error))),
        };
        runtime.block_on(async move {
            let worker = match Worker::new(index, config, limits, registry, held) {
                Ok(worker) => Rc::new(worker),
                Err(error) => return drop(ready.send(Err(error))),
            };
            // The one who waits for this is gone only when the whole data plane is.
            let _ = ready.send(Ok(()));
            worker.run(inbox).await;
        });
    })?;
    started.recv().map_err(|_| io::Error::other("a worker ended before it began"))??;
    Ok(orders)
}

/// Tasks run between two looks for events. High, because a worker with many ready connections loses nothing by finishing a
/// round before it asks the system again.
const EVENT_INTERVAL: u32 = 256;

/// How long a connection on which nothing is under way may bring a request while its worker drains: it may be on its way.
pub(crate) const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// How often kept connections to members are looked through, in ticks.
const SWEEP_TICKS: u32 = 20;

impl Worker {
    fn new(
        index: usize,
        config: Config,
        limits: Arc<Limits>,
        registry: Registry,
        held: bool,
    ) -> io::Result<Self> {
        let table = Rc::new(Table::new()?);
        Ok(Self {
            index,
            access_log: RefCell::new(config.access_logs.lane()),
            config,
            limits,
            registry,
            drains: Drains::new(table.clone()),
            table,
            buffers: Buffers::new(),
            pipes: Rc::default(),
            http: HttpScratch::new(index),
            tls: Rc::default(),
            member_tls: MemberTls::new()?,
            draining: Cell::new(None),
            held: Cell::new(held),
            slots: RefCell::default(),
            targets: RefCell::default(),
            followed: RefCell::default(),
            groups: Cell::new(0),
            datagrams: RefCell::default(),
            flows: Cell::new(0),
            sockets: Cell::new(0),
            quic_handshakes: Cell::new(0),
            quic_runtime: OnceCell::new(),
            quic_left: RefCell::default(),
        })
    }

    async fn run(self: Rc<Self>, mut inbox: mpsc::UnboundedReceiver<Order>) {
        let worker = self.clone();
        tokio::task::spawn_local(async move {
            let idle_ticks = (worker.config.upstream_idle_timeout.as_millis() / TICK.as_millis()) as u32;
            let swept = Cell::new(0);
            let each_tick = |table: &Table| {
                let now = table.now();
                worker.access_log.borrow_mut().flush();
                worker.follow();
                let due = now - swept.get() >= SWEEP_TICKS;
                if !due && table.taken() > 0 {
                    return true;
                }
                swept.set(now);
                worker.sweep(now.saturating_sub(idle_ticks)) > 0
            };
            worker.table.run(each_tick).await;
        });
        while let Some(order) = inbox.recv().await {
            let mut drain = None;
            for change in order.changes {
                match change {
                    Change::Listener { plan, targets, bounds, tls, opened, opened_quic, closed } => {
                        let id = plan.id;
                        self.set_listener(plan, targets, &bounds, tls, opened, &closed);
                        self.set_quic(id, opened_quic, &closed);
                    }
                    Change::Removed(listener) => self.remove_listener(listener),
                    Change::Hold(held) => self.hold(held),
                    // Whoever asked may have stopped waiting.
                    Change::Lend(to) => drop(to.send(self.lend())),
                    Change::Drain(farewell) => drain = Some(farewell),
                }
            }
            if let Some(farewell) = drain {
                self.drain(farewell).await;
            }
            // Whoever gave the order may have stopped waiting.
            let _ = order.done.send(());
        }
    }

    fn set_listener(
        self: &Rc<Self>,
        plan: Arc<ListenerPlan>,
        targets: Vec<Arc<SharedTarget>>,
        bounds: &Bounds,
        tls: Option<Arc<Terms>>,
        opened: Vec<(SocketAddr, Opened)>,
        closed: &[SocketAddr],
    ) {
        let id = plan.id;
        let before = self.slots.borrow().get(&id).map(|listening| listening.slot.service());
        let targets: Vec<_> = targets.into_iter().map(|shared| self.set_target(shared)).collect();
        if let Some(before) = &before {
            let stale = before.all_targets().filter(|old| targets.iter().all(|new| new.id() != old.id()));
            let here = self.here(id);
            stale.for_each(|stale| self.drop_target(stale, here));
        }
        let counters = match &before {
            Some(service) => service.counters.clone(),
            None => self.registry.listener(id, self.index),
        };
        let service = Service::new(plan, counters, &targets, bounds, &self.config.sticky_key, tls);
        let mut slots = self.slots.borrow_mut();
        let listening = slots.entry(id).or_insert_with(|| {
            self.groups.set(self.groups.get().wrapping_add(1));
            Listening {
                slot: Slot::new(service.clone(), self.groups.get()),
                acceptors: Vec::new(),
                forwarder: None,
                quic: Vec::new(),
            }
        });
        listening.slot.set_service(service);
        for acceptor in listening.acceptors.extract_if(.., |acceptor| closed.contains(&acceptor.address())) {
            acceptor.stop();
        }
        if let Some(forwarder) = &listening.forwarder {
            closed.iter().for_each(|address| forwarder.close(*address));
            forwarder.follow();
        }
        for (address, Opened { socket, links }) in opened {
            if let ServicePlan::Udp = listening.slot.service().plan.service {
                let made = || Forwarder::new(self.clone(), listening.slot.clone());
                if let Err(error) = listening.forwarder.get_or_insert_with(made).open(address, socket, links)
                {
                    tracing::error!(%address, %error, "cannot forward from a socket that is bound");
                }
                continue;
            }
            match Acceptor::start(self.clone(), listening.slot.clone(), address, socket) {
                Ok(acceptor) => listening.acceptors.push(acceptor),
                Err(error) => tracing::error!(%address, %error, "cannot accept from a socket that is bound"),
            }
        }
    }

    /// What a listener's change means for its addresses of QUIC.
    fn set_quic(self: &Rc<Self>, id: ListenerId, opened: Vec<Arc<http3::Sockets>>, closed: &[SocketAddr]) {
        let mut slots = self.slots.borrow_mut();
        let Some(listening) = slots.get_mut(&id) else { return };
        let closed = listening.quic.extract_if(.., |endpoint| closed.contains(&endpoint.address()));
        closed.for_each(|endpoint| self.leave_quic(endpoint));
        listening.quic.iter().for_each(http3::Endpoint::follow);
        for sockets in opened {
            let mut left = self.quic_left.borrow_mut();
            let place = left.iter().position(|endpoint| endpoint.is_on(&sockets));
            let address = sockets.address;
            let endpoint = match place.map(|place| left.swap_remove(place)) {
                Some(endpoint) => {
                    endpoint.lead_to(listening.slot.clone());
                    Ok(endpoint)
                }
                None => http3::Endpoint::start(self.clone(), listening.slot.clone(), sockets),
            };
            match endpoint {
                Ok(endpoint) => listening.quic.push(endpoint),
                Err(error) => {
                    tracing::error!(%address, %error, "cannot serve QUIC on a socket that is bound")
                }
            }
        }
    }

    /// Lets nobody in any more; those who are in are served.
    fn leave_quic(&self, endpoint: http3::Endpoint) {
        endpoint.close();
        if endpoint.is_busy() {
            self.quic_left.borrow_mut().push(endpoint);
        }
    }

    /// The last connection has ended on an address of QUIC whose listener is gone.
    pub(crate) fn forget_quic(&self, address: SocketAddr) {
        self.quic_left.borrow_mut().retain(|endpoint| endpoint.address() != address || endpoint.is_busy());
    }

    /// What QUIC needs of this worker.
    pub(crate) fn quic_runtime(&self) -> io::Result<http3::Runtime> {
        if let Some(runtime) = self.quic_runtime.get() {
            return Ok(runtime.clone());
        }
        let runtime = http3::Runtime::new()?;
        Ok(self.quic_runtime.get_or_init(|| runtime).clone())
    }

    /// The target as this worker runs it, taking over what its former self had.
    fn set_target(self: &Rc<Self>, shared: Arc<SharedTarget>) -> Rc<Target> {
        let mut targets = self.targets.borrow_mut();
        let former = targets.get(&shared.plan.id);
        if let Some(same) = former.filter(|former| Arc::ptr_eq(&former.shared, &shared)) {
            return same.clone();
        }
        let target = Target::new(self, shared, former.map(Rc::as_ref));
        if let Some(former) = former {
            target.drain_since(former, self.here(target.id().listener));
        }
        targets.insert(target.id(), target.clone());
        let mut followed = self.followed.borrow_mut();
        followed.retain(|other| other.id() != target.id());
        if target.shared.is_to_be_followed() {
            followed.push(target.clone());
        }
        target
    }

    /// Where and when something of a listener drains.
    fn here(&self, listener: ListenerId) -> Here<'_> {
        let group = self.slots.borrow().get(&listener).map_or(0, |listening| listening.slot.group());
        Here { drains: &self.drains, group, now_ms: clock::now_ms() }
    }

    /// Forgets a target that nothing names any more; exchanges under way keep it to their end.
    fn drop_target(&self, target: &Target, here: Here<'_>) {
        target.drain_all(here);
        self.targets.borrow_mut().remove(&target.id());
        self.followed.borrow_mut().retain(|other| other.id() != target.id());
        target.close_idle();
    }

    /// Whether what is open is to end when its present work ends.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get().is_some()
    }

    /// For those who wait for the first words of a client: ready when this worker drains for longer than a client needs for
    /// sending what it was about to send. While it drains they are woken with every tick.
    pub(crate) fn poll_drain_grace(&self, cx: &Context<'_>) -> Poll<()> {
        let Some(since) = self.draining.get() else { return Poll::Pending };
        if TICK * self.table.now().saturating_sub(since) >= DRAIN_GRACE {
            return Poll::Ready(());
        }
        self.table.wake_with_tick(cx.waker());
        Poll::Pending
    }

    /// Whether new connections are left in the kernel's queues for now.
    pub(crate) fn is_held(&self) -> bool {
        self.held.get()
    }

    fn hold(&self, held: bool) {
        self.held.set(held);
        if !held {
            let slots = self.slots.borrow();
            slots.values().flat_map(|listening| &listening.acceptors).for_each(Acceptor::go_on);
            slots.values().filter_map(|listening| listening.forwarder.as_ref()).for_each(|one| one.go_on());
        }
    }

    fn lend(&self) -> io::Result<Vec<ListeningSocket>> {
        let mut lent = Vec::new();
        for listening in self.slots.borrow().values() {
            for acceptor in &listening.acceptors {
                let (address, descriptor) = (acceptor.address(), acceptor.lend()?);
                let links = Vec::new();
                lent.push(ListeningSocket { transport: Transport::Tcp, address, descriptor, links });
            }
            if let Some(forwarder) = &listening.forwarder {
                forwarder.lend(&mut lent)?;
            }
        }
        Ok(lent)
    }

    /// Whether another connection may be opened; notes what is.
    pub(crate) fn may_accept(&self) -> bool {
        self.limits.note(self.index, self.table.taken() + self.flows.get(), self.sockets.get());
        self.limits.allows_another()
    }

    /// As [`Worker::may_accept`], for a flow of UDP.
    pub(crate) fn may_begin_flow(&self) -> bool {
        self.flows.get() < self.limits.flows_max() && self.may_accept()
    }

    fn remove_listener(&self, id: ListenerId) {
        let here = self.here(id);
        let Some(listening) = self.slots.borrow_mut().remove(&id) else { return };
        for acceptor in listening.acceptors {
            acceptor.stop();
        }
        if let Some(forwarder) = listening.forwarder {
            forwarder.stop();
        }
        listening.quic.into_iter().for_each(|endpoint| self.leave_quic(endpoint));
        listening.slot.service().all_targets().for_each(|target| self.drop_target(target, here));
        listening.slot.retire(&self.drains, here.now_ms);
        self.table.wake_group(listening.slot.group());
    }

    async fn drain(&self, farewell: Farewell) {
        self.draining.set(Some(self.table.look()));
        for (_, listening) in self.slots.borrow_mut().drain() {
            listening.acceptors.into_iter().for_each(match farewell {
                Farewell::Close => Acceptor::stop,
                Farewell::Leave => Acceptor::leave,
            });
            if let Some(forwarder) = listening.forwarder {
                match farewell {
                    Farewell::Close => forwarder.drain(),
                    Farewell::Leave => forwarder.leave(),
                }
            }
            listening.quic.into_iter().for_each(|endpoint| self.leave_quic(endpoint));
        }
        for target in self.targets.borrow().values() {
            target.close_idle();
        }
        self.table.wake_all();
        let seat = crate::table::Seat::take(&self.table, 0);
        seat.occupy().await;
        // What was accepted just now has its seat when it was polled.
        tokio::task::yield_now().await;
        while self.table.taken() > 1 {
            seat.pause(Duration::from_millis(1)).await;
        }
        self.access_log.borrow_mut().flush();
    }

    /// Takes in what changes by itself.
    fn follow(&self) {
        self.drains.handle_tick(clock::now_ms);
        for target in self.followed.borrow().iter() {
            target.follow(self.here(target.id().listener));
        }
    }

    /// Closes connections to members that are not needed; how many are still kept.
    fn sweep(&self, before: u32) -> usize {
        self.targets.borrow().values().map(|target| target.sweep(before)).sum()
    }
}

/// Counts a flow of UDP until it is dropped.
pub(crate) struct FlowCount(Rc<Worker>);

impl FlowCount {
    pub(crate) fn new(worker: &Rc<Worker>) -> Self {
        worker.flows.set(worker.flows.get() + 1);
        Self(worker.clone())
    }
}

impl Drop for FlowCount {
    fn drop(&mut self) {
        self.0.flows.set(self.0.flows.get() - 1);
    }
}
