//! A worker's end of a socket of HTTP/3: what comes in, and on which terms it is let in.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
    time::Duration,
};

use quinn::{EndpointConfig, IdleTimeout, Incoming, Runtime as _, ServerConfig, TransportConfig, VarInt};
use telemetry::TlsFailure;
use tokio::task::JoinHandle;

use super::{
    LentSocket, Sockets, connection, former,
    ids::{Ids, place_of},
    socket::Socket,
};
use crate::{
    acceptor::Door,
    http as http1,
    layer4::Open,
    service::{Service, Slot},
    sys::watched::Watched,
    tls::QuicTls,
    worker::Worker,
};

/// Streams that a client may have open at once, as in HTTP/2.
const STREAMS_MAX: u32 = 128;

/// Streams beside those of requests: control, two of QPACK, and a few that mean nothing.
const OTHER_STREAMS_MAX: u32 = 16;

/// What a client may send unasked: on a stream, on all together.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// What is kept of a connection's answers until they are acknowledged.
const SEND_WINDOW_BYTES: u64 = 2 << 20;

/// Handshakes under way in a worker above which clients have to show that they are where they say (RFC 9000 section 8.1.2).
const HANDSHAKES_UNPROVEN_MAX: usize = 256;

/// Handshakes under way in a worker above which nobody else may begin one.
const HANDSHAKES_MAX: usize = 4096;

/// A socket of HTTP/3 in one worker.
pub(crate) struct Endpoint {
    shared: Rc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    worker: Rc<Worker>,
    quic: quinn::Endpoint,
    sockets: Arc<Sockets>,
    socket: Arc<Socket>,
    /// Which of the sockets it is.
    index: usize,
    /// The place of the socket among all, as far as is known.
    place: Arc<AtomicU16>,
    /// Another process lets clients in.
    left: Cell<bool>,
    /// Where those who come go; none: nobody may come.
    door: RefCell<Option<Rc<Door>>>,
    connections: Cell<usize>,
    /// On which terms, for the listener's present service.
    terms: RefCell<Option<(Rc<Service>, Arc<ServerConfig>)>>,
}

impl Endpoint {
    /// Starts on one of the sockets. Must be called inside the worker's runtime.
    pub(crate) fn start(
        worker: Rc<Worker>,
        slot: Rc<Slot>,
        sockets: Arc<Sockets>,
        index: usize,
    ) -> io::Result<Self> {
        let mut config = EndpointConfig::new(sockets.reset_key());
        let place = Arc::new(AtomicU16::new(index as u16));
        let (key, places, count) = (sockets.id_key.clone(), place.clone(), sockets.count() as u16);
        config
            .cid_generator(move || Box::new(Ids { key: key.clone(), place: places.clone(), sockets: count }));
        config.supported_versions(vec![wire::quic::VERSION_1]);
        let runtime = worker.quic_runtime()?;
        let inner = runtime.wrap_udp_socket(sockets.get(index)?)?;
        let formers = sockets.formers().clone();
        let socket = Socket::new(inner, sockets.id_key.clone(), formers, worker.is_held())?;
        let socket = Arc::new(socket);
        // What is not let in has no use for terms; these are replaced for each who is.
        let quic =
            quinn::Endpoint::new_with_abstract_socket(config, None, socket.clone(), Arc::new(runtime))?;
        let mut tasks = watch_formers(&sockets, index)?;
        let shared = Rc::new(Shared {
            worker,
            quic,
            sockets,
            socket,
            index,
            place,
            left: Cell::new(false),
            door: RefCell::default(),
            connections: Cell::new(0),
            terms: RefCell::default(),
        });
        tasks.push(tokio::task::spawn_local(accept(shared.clone())));
        let endpoint = Self { shared, tasks };
        endpoint.lead_to(slot);
        Ok(endpoint)
    }

    /// Lets those who come in to this listener.
    pub(crate) fn lead_to(&self, slot: Rc<Slot>) {
        let Shared { worker, sockets, .. } = &*self.shared;
        let door = Rc::new(Door { worker: worker.clone(), slot, address: sockets.address });
        self.shared.door.replace(Some(door));
        self.shared.renew_terms();
        worker.sockets.set(worker.sockets.get() + 1);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.shared.sockets.address
    }

    /// Leaves packets in the socket from now on, or takes them again.
    pub(crate) fn hold(&self, held: bool) {
        self.shared.socket.hold(held);
    }

    /// What a process needs that takes the socket over.
    pub(crate) fn lend(&self) -> io::Result<LentSocket> {
        let Shared { sockets, socket, index, place, .. } = &*self.shared;
        let link = socket.lend()?;
        Ok(LentSocket { sockets: sockets.clone(), index: *index, place: place.load(Relaxed), link })
    }

    /// Another process took the socket over: connections go on with what it passes on.
    pub(crate) fn leave(&self) {
        match self.shared.socket.leave() {
            // Who comes by that way has begun here: it was asked to show where it is.
            Ok(true) => {
                let sockets = &self.shared.worker.sockets;
                sockets.set(sockets.get() - 1);
            }
            Ok(false) => self.close(),
            Err(error) => {
                tracing::error!(%error, "connections of QUIC cannot go on after an upgrade");
                self.close();
            }
        }
        self.shared.left.set(true);
    }

    /// Lets nobody in any more.
    pub(crate) fn close(&self) {
        let sockets = &self.shared.worker.sockets;
        if self.shared.door.take().is_some() {
            sockets.set(sockets.get() - 1);
        }
        self.shared.quic.set_server_config(None);
        self.shared.terms.take();
    }

    /// Whether it serves on this one of these sockets.
    pub(crate) fn is_on(&self, sockets: &Arc<Sockets>, index: usize) -> bool {
        Arc::ptr_eq(&self.shared.sockets, sockets) && self.shared.index == index
    }

    /// Whether connections of former clients are served on it.
    pub(crate) fn is_busy(&self) -> bool {
        self.shared.connections.get() > 0
    }

    /// The listener has another plan: those who come from now on get its terms.
    pub(crate) fn follow(&self) {
        self.shared.renew_terms();
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Notes when links of former processes end: a socket looks after its share of them.
fn watch_formers(sockets: &Arc<Sockets>, index: usize) -> io::Result<Vec<JoinHandle<()>>> {
    let mut tasks = Vec::new();
    for former in sockets.formers().iter() {
        for (place, link) in former.watched_by(index, sockets.count()) {
            let (link, former) = (Watched::new(link?)?, former.clone());
            tasks.push(tokio::task::spawn_local(async move {
                poll_fn(|cx| link.poll_take(cx, |link| Ok((former::ended(link)?, true))).map(drop)).await;
                former.note_over(place);
            }));
        }
    }
    Ok(tasks)
}

async fn accept(shared: Rc<Shared>) {
    while let Some(incoming) = shared.quic.accept().await {
        let door = shared.door.borrow().clone();
        match door {
            Some(door) => shared.clone().begin(door, incoming),
            None => incoming.refuse(),
        }
    }
}

impl Shared {
    fn begin(self: Rc<Self>, door: Rc<Door>, incoming: Incoming) {
        let service = door.slot.service();
        let peer = incoming.remote_address();
        if let Some(acl) = &service.plan.acl
            && !acl.admits(peer.ip())
        {
            // Whoever may not connect learns nothing (behaviour/features.md section 11).
            service.counters.denied.inc();
            return incoming.ignore();
        }
        if !incoming.remote_address_validated() && !self.sockets.inherited && !self.left.get() {
            // The kernel placed this packet by an id that its client made up, so it tells our place. Another process, whose sockets
            // were there before or went away, may have changed it.
            self.place.store(place_of(&incoming.orig_dst_cid(), self.sockets.count() as u16), Relaxed);
        }
        let under_way = self.worker.quic_handshakes.get();
        if under_way >= HANDSHAKES_UNPROVEN_MAX && !incoming.remote_address_validated() {
            // Who has shown it already cannot be asked, and is not.
            let _asked = incoming.retry();
            return;
        }
        if under_way >= HANDSHAKES_MAX || !self.worker.may_accept() {
            return incoming.refuse();
        }
        let Some(terms) = self.terms(&service) else {
            // Its terms cannot be carried out, which is a fault that its owner sees.
            service.counters.tls().failed(TlsFailure::Other);
            return incoming.refuse();
        };
        let Some(open) = Open::admit(&service) else {
            return incoming.refuse();
        };
        match incoming.accept_with(terms) {
            Ok(connecting) => {
                let handshaking = Handshaking::new(&self.worker);
                drop(tokio::task::spawn_local(async move {
                    let _counted = Counted::new(self);
                    connection::serve(door, connecting, peer, handshaking, open).await;
                }));
            }
            Err(error) => {
                tracing::debug!(client = %peer, %error, "a handshake of QUIC failed");
                service.counters.tls().failed(TlsFailure::Other);
            }
        }
    }

    /// On which terms those are let in who come now.
    fn terms(&self, service: &Rc<Service>) -> Option<Arc<ServerConfig>> {
        let mut known = self.terms.borrow_mut();
        if let Some((of, terms)) = &*known
            && Rc::ptr_eq(of, service)
        {
            return Some(terms.clone());
        }
        let terms = Arc::new(self.make_terms(service)?);
        *known = Some((service.clone(), terms.clone()));
        Some(terms)
    }

    /// quinn looks at no packet of a new client without terms, though each is let in on those of its moment.
    fn renew_terms(&self) {
        let door = self.door.borrow().clone();
        let terms = door.and_then(|door| self.terms(&door.slot.service()));
        self.quic.set_server_config(terms.map(|terms| ServerConfig::clone(&terms)));
    }

    fn make_terms(&self, service: &Service) -> Option<ServerConfig> {
        let tls = QuicTls::new(service.tls.as_ref()?, http1::wants_hello(service))?;
        let mut config = ServerConfig::new(Arc::new(tls), self.sockets.token_key());
        let mut transport = TransportConfig::default();
        // Longer than anything that we wait for on the other side; a connection that is merely kept ends sooner.
        let idle = service
            .plan
            .idle_timeout
            .max(http1::request_timeout(service))
            .max(http1::response_timeout(service))
            + SPARE_TIME;
        transport
            .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
            .max_concurrent_uni_streams(VarInt::from_u32(OTHER_STREAMS_MAX))
            .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
            .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
            .send_window(SEND_WINDOW_BYTES)
            .datagram_receive_buffer_size(None)
            .max_idle_timeout(IdleTimeout::try_from(idle).ok());
        config.transport_config(Arc::new(transport));
        Some(config)
    }
}

/// How long a connection may be silent beyond what else is waited for.
const SPARE_TIME: Duration = Duration::from_secs(5);

/// A connection on an endpoint.
struct Counted(Rc<Shared>);

impl Counted {
    fn new(shared: Rc<Shared>) -> Self {
        shared.connections.set(shared.connections.get() + 1);
        Self(shared)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let left = self.0.connections.get() - 1;
        self.0.connections.set(left);
        if left == 0 && (self.0.left.get() || self.0.door.borrow().is_none()) {
            self.0.worker.forget_quic(self.0.sockets.address);
        }
    }
}

/// A handshake under way, counted in its worker.
pub(super) struct Handshaking(Rc<Worker>);

impl Handshaking {
    fn new(worker: &Rc<Worker>) -> Self {
        worker.quic_handshakes.set(worker.quic_handshakes.get() + 1);
        Self(worker.clone())
    }
}

impl Drop for Handshaking {
    fn drop(&mut self) {
        let under_way = &self.0.quic_handshakes;
        under_way.set(under_way.get() - 1);
    }
}
