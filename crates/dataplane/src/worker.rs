//! A worker: one thread, one runtime, and everything that its connections share.
//!
//! Workers share nothing on the request path but plans, health bits and the counts of least connections. A worker hears of
//! changes by [`Order`]s; it carries an order out whole before the next and then says so.

mod listeners;
mod order;
mod targets;

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::HashMap,
    io,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use model::{ListenerId, TargetId};
use telemetry::Registry;
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::mpsc,
};

use self::listeners::Listening;
pub(crate) use self::order::{Change, Farewell, Lent, Order};
use crate::{
    buffer::Buffers,
    config::Config,
    drain::Drains,
    http::{HttpScratch, Runners},
    http3,
    limits::{Limits, Pacer},
    pipe::Pipes,
    rounds::Rounds,
    sys::datagrams::Batch,
    table::{TICK, Table},
    target::Target,
    tls::{AnyMemberTls, TlsScratch},
};

/// What all connections of a worker share.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) config: Config,
    pub(crate) limits: Arc<Limits>,
    pub(crate) registry: Registry,
    pub(crate) table: Rc<Table>,
    /// Whose turn it is.
    pub(crate) rounds: Rounds,
    /// Wakes those who wait for bandwidth.
    pub(crate) pacer: Rc<Pacer>,
    pub(crate) buffers: Buffers,
    pub(crate) pipes: Rc<Pipes>,
    pub(crate) http: HttpScratch,
    /// Tasks for streams.
    pub(crate) runners: Rc<Runners>,
    pub(crate) access_log: RefCell<telemetry::access_log::Lane>,
    pub(crate) tls: Rc<TlsScratch>,
    pub(crate) member_tls: AnyMemberTls,
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

/// Tasks run between two looks for events. A worker with many ready connections saves calls to the system by asking seldom; but what it
/// does not know of waits, and no round ([`Rounds`]) helps it.
const EVENT_INTERVAL: u32 = 64;

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
            rounds: Rounds::new(table.clone()),
            table,
            pacer: Rc::new(Pacer::new(index)?),
            buffers: Buffers::new(),
            pipes: Rc::default(),
            http: HttpScratch::new(index),
            runners: Rc::default(),
            tls: Rc::default(),
            member_tls: AnyMemberTls::new()?,
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
        let pacer = self.pacer.clone();
        tokio::task::spawn_local(async move { pacer.run().await });
        let worker = self.clone();
        tokio::task::spawn_local(async move { worker.rounds.run().await });
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

    /// What QUIC needs of this worker.
    pub(crate) fn quic_runtime(&self) -> io::Result<http3::Runtime> {
        if let Some(runtime) = self.quic_runtime.get() {
            return Ok(runtime.clone());
        }
        let runtime = http3::Runtime::new()?;
        Ok(self.quic_runtime.get_or_init(|| runtime).clone())
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

    /// Whether another connection may be opened; notes what is.
    pub(crate) fn may_accept(&self) -> bool {
        self.limits.note(self.index, self.table.taken() + self.flows.get(), self.sockets.get());
        self.limits.allows_another()
    }

    /// As [`Worker::may_accept`], for a flow of UDP.
    pub(crate) fn may_begin_flow(&self) -> bool {
        self.flows.get() < self.limits.flows_max() && self.may_accept()
    }

    async fn drain(&self, farewell: Farewell) {
        self.draining.set(Some(self.table.look()));
        self.rounds.end();
        self.close_listeners(farewell);
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
