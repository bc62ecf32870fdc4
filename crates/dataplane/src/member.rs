//! A member at work in one worker: its counters and the idle connections kept to it.

use std::{cell::RefCell, io, rc::Rc, sync::Arc};

use model::PoolProtocol;
use plan::MemberPlan;
use telemetry::MemberCounters;

use crate::{http2::Links, stream::Stream, worker::Worker};

/// A member of a target in one worker. Lives on over plans while its id and address stay the same, and with it the
/// connections kept to it.
pub(crate) struct Member {
    pub(crate) plan: MemberPlan,
    pub(crate) counters: Arc<MemberCounters>,
    /// The newest last; it is taken first, so that those that are not needed grow old.
    idle: RefCell<Vec<Idle>>,
    /// Connections of HTTP/2, where the pool speaks it.
    pub(crate) links: Links,
}

struct Idle {
    stream: Stream,
    /// When it was put here, in ticks.
    since: u32,
}

impl Member {
    pub(crate) fn new(worker: &Rc<Worker>, plan: MemberPlan, counters: Arc<MemberCounters>) -> Rc<Self> {
        Rc::new(Self { plan, counters, idle: RefCell::default(), links: Links::new(worker) })
    }

    /// Begins something to speak to it on, in the pool's protocol; whether a connection was made for it.
    pub(crate) fn open(&self, worker: &Worker, protocol: PoolProtocol) -> io::Result<(Stream, bool)> {
        match protocol {
            PoolProtocol::Grpc => self.links.open(self.plan.address),
            PoolProtocol::Https => {
                let session = worker.member_tls.connect(self.plan.address, worker.tls.clone())?;
                Ok((Stream::Tls(Box::new(session)), true))
            }
            PoolProtocol::Tcp | PoolProtocol::Http => {
                Stream::connect(self.plan.address).map(|stream| (stream, true))
            }
        }
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
        if idle.len() < worker.config.upstream_idle_max && !worker.is_draining() {
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
