//! A member at work in one worker: its counters and the idle connections kept to it.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
};

use balance::Streak;
use model::PoolProtocol;
use plan::MemberPlan;
use telemetry::MemberCounters;

use crate::{
    drain::Leaving,
    http2::Links,
    io as socket, source,
    stream::Stream,
    tls::{MemberTerms, MemberTls},
    worker::Worker,
};

/// A member of a target in one worker. Lives on over plans while its id, its address, how it is reached and verified stay the same, and with
/// it the connections kept to it.
pub(crate) struct Member {
    pub(crate) plan: MemberPlan,
    pub(crate) counters: Arc<MemberCounters>,
    /// Whether its work is to end. The same for all that a worker ever had of a member.
    pub(crate) leaving: Rc<Leaving>,
    /// How it is spoken to where it is verified.
    tls: Option<MemberTls>,
    /// Its failures in a row, where somebody counts them.
    pub(crate) streak: Cell<Streak>,
    /// When (in ticks) the log was last told of its certificate, and what was passed over since.
    told: Cell<(Option<u32>, u32)>,
    /// The newest last; it is taken first, so that those that are not needed grow old.
    idle: RefCell<Vec<Idle>>,
    /// Connections of HTTP/2, where the pool speaks it.
    pub(crate) links: Links,
}

/// A minute.
const TOLD_EVERY_TICKS: u32 = 600;

struct Idle {
    stream: Stream,
    /// When it was put here, in ticks.
    since: u32,
}

impl Member {
    /// A member of a pool of this protocol. `terms`: how it is verified; none: not at all.
    pub(crate) fn new(
        worker: &Rc<Worker>,
        (plan, protocol): (MemberPlan, PoolProtocol),
        terms: Option<&MemberTerms>,
        counters: Arc<MemberCounters>,
        leaving: Rc<Leaving>,
    ) -> Rc<Self> {
        Rc::new(Self {
            plan,
            counters,
            leaving,
            tls: terms.map(|terms| terms.member(worker.member_tls.of(protocol))),
            streak: Cell::default(),
            told: Cell::default(),
            idle: RefCell::default(),
            links: Links::new(worker),
        })
    }

    /// Whether it is what this plan says, weight apart.
    pub(crate) fn is_still(&self, plan: &MemberPlan) -> bool {
        let MemberPlan { id, address, transparent, .. } = &self.plan;
        (id, address, transparent) == (&plan.id, &plan.address, &plan.transparent)
    }

    /// Begins something to speak to it on, in the pool's protocol; whether a connection was made for it.
    pub(crate) fn open(&self, worker: &Worker, protocol: PoolProtocol) -> io::Result<(Stream, bool)> {
        match protocol {
            PoolProtocol::Grpc => self.links.open(self.plan.address),
            PoolProtocol::Https => {
                let session = self.tls(worker, protocol).connect(self.plan.address, worker.tls.clone())?;
                Ok((Stream::Tls(Box::new(session)), true))
            }
            // Datagrams have no connections; a plan that mixes them up finds a port that nobody listens on.
            PoolProtocol::Tcp | PoolProtocol::Http => {
                Stream::connect(self.plan.address).map(|stream| (stream, true))
            }
            // Of layer 4: [`Member::connect`].
            PoolProtocol::Udp | PoolProtocol::Tls | PoolProtocol::Quic => {
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    }

    /// Begins a connection of layer 4 to it at `address`, which begins with `header` in clear where the pool's protocol is TLS: there
    /// nobody but us can say something before the session. Elsewhere what is written first is first. It comes from `client`, where the
    /// member is to see that.
    pub(crate) fn connect(
        &self,
        worker: &Worker,
        protocol: PoolProtocol,
        client: SocketAddr,
        address: SocketAddr,
        header: &[u8],
    ) -> io::Result<Stream> {
        let tcp = match source::of(client, &self.plan, worker.config.transparent_client_address) {
            None => socket::connect(address)?,
            Some(client) => socket::connect_from(client, address)?,
        };
        match protocol {
            PoolProtocol::Tls => {
                let tls = self.tls(worker, protocol);
                let session = tls.secure_behind(header, tcp, address, worker.tls.clone())?;
                Ok(Stream::Tls(Box::new(session)))
            }
            PoolProtocol::Tcp
            | PoolProtocol::Udp
            | PoolProtocol::Quic
            | PoolProtocol::Http
            | PoolProtocol::Https
            | PoolProtocol::Grpc => Ok(tcp.into()),
        }
    }

    fn tls<'a>(&'a self, worker: &'a Worker, protocol: PoolProtocol) -> &'a MemberTls {
        self.tls.as_ref().unwrap_or_else(|| worker.member_tls.of(protocol))
    }

    /// Notes that nothing could be said on this stream to it. That its certificate does not verify is counted, and told in the log at
    /// most once in [`TOLD_EVERY_TICKS`].
    pub(crate) fn note_unreached(&self, worker: &Worker, stream: &Stream) {
        let Some(fault) = stream.certificate_fault() else { return };
        self.counters.unverified.inc();
        let now = worker.table.now();
        let (told, passed_over) = self.told.get();
        if told.is_some_and(|told| now.saturating_sub(told) < TOLD_EVERY_TICKS) {
            return self.told.set((told, passed_over.saturating_add(1)));
        }
        self.told.set((Some(now), 0));
        let (member, address) = (self.plan.id, self.plan.address);
        tracing::warn!(%member, %address, fault, passed_over, "a member's certificate does not verify");
    }

    /// A kept connection that is still silent and open, as far as is known without asking the system.
    #[inline]
    pub(crate) fn take_idle(&self) -> Option<Stream> {
        let mut idle = self.idle.borrow_mut();
        while let Some(mut kept) = idle.pop() {
            if kept.stream.is_quiet() {
                return Some(kept.stream);
            }
        }
        None
    }

    /// Keeps a connection on which nothing is under way.
    #[inline]
    pub(crate) fn keep_idle(&self, worker: &Worker, stream: Stream) {
        let mut idle = self.idle.borrow_mut();
        let is_wanted = !worker.is_draining() && !self.leaving.is_draining();
        if is_wanted && idle.len() < worker.config.upstream_idle_max {
            idle.push(Idle { stream, since: worker.table.now() });
        }
    }

    /// Closes kept connections that the member closed, or that were not used since `before` (in ticks); how many stay.
    pub(crate) fn sweep(&self, before: u32) -> usize {
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|kept| kept.since >= before && kept.stream.is_quiet());
        idle.len() + self.links.sweep(before)
    }

    /// Closes all kept connections.
    pub(crate) fn close_idle(&self) {
        self.idle.borrow_mut().clear();
        self.links.close();
    }
}
