//! What clients say, on its way to the members.

use std::{
    net::SocketAddr,
    ops::Range,
    rc::Rc,
    task::{Context, Poll},
};

use balance::FlowKey;

use super::{
    Forwarder, PortIndex, REFUSED_REST_MS, TURN_BATCHES,
    flows::{Flows, Forwarding, Refusal},
    upstream,
};
use crate::{
    blame, clock,
    layer4::Open,
    limits::Direction,
    service::Service,
    source,
    sys::{
        datagrams::{Batch, PLACES},
        watched::Watched,
    },
    target::{ATTEMPTS_MAX, Tried},
};

/// Datagrams of one client to one socket, side by side in a batch.
pub(super) struct Run {
    pub(super) places: Range<usize>,
    /// Their flow's.
    pub(super) key: FlowKey,
    pub(super) port: PortIndex,
}

/// What became of datagrams in the flow that they belong to.
pub(super) enum InFlow {
    /// The flow goes on.
    Passed,
    /// Its member refused, and it has ended; the run holds what was not passed.
    Refused,
    /// There is none here.
    Unknown,
}

impl Forwarder {
    /// Passes on what came to a socket.
    pub(super) fn poll_port(
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
            let mut places = from..from + 1 + more;
            from = places.end;
            if let Some(client) = client {
                admit(&flows.service, batch, &mut places, Direction::In);
                if places.is_empty() {
                    continue;
                }
                let run = Run { places, key: FlowKey::new(client, address), port };
                self.pass_run(&mut flows, batch, run, now);
            }
        }
    }

    /// Passes on datagrams of one client.
    fn pass_run(self: &Rc<Self>, flows: &mut Flows, batch: &mut Batch, mut run: Run, now: u64) {
        match self.pass_in_flow(flows, batch, &mut run, now) {
            InFlow::Passed => {}
            InFlow::Refused | InFlow::Unknown => self.begin(flows, batch, run, now),
        }
    }

    /// Passes datagrams on in the flow that they belong to.
    #[inline]
    pub(super) fn pass_in_flow(
        &self,
        flows: &mut Flows,
        batch: &mut Batch,
        run: &mut Run,
        now: u64,
    ) -> InFlow {
        let Some((id, _, flow)) = flows.table.handle_datagram(now, &run.key) else {
            return InFlow::Unknown;
        };
        flow.look_at_client(batch, run.places.clone(), now);
        let refused = flow.send(batch, &mut run.places, &flows.service.counters);
        let Err(Refusal { error }) = refused else { return InFlow::Passed };
        self.break_off(flows, id, &error, now);
        InFlow::Refused
    }

    /// Begins a flow with these datagrams.
    fn begin(self: &Rc<Self>, flows: &mut Flows, batch: &mut Batch, mut run: Run, now: u64) {
        let service = flows.service.clone();
        if let Some(acl) = &service.plan.acl
            && !acl.admits(run.key.client().ip())
        {
            return service.counters.denied.add(run.places.len() as u64);
        }
        if self.slot.is_retired() || self.worker.is_draining() {
            return;
        }
        if self.ask_formers(batch, &mut run, None) {
            return;
        }
        self.begin_here(flows, batch, run, now);
    }

    /// As [`Forwarder::begin`], when no other process has the flow.
    pub(super) fn begin_here(self: &Rc<Self>, flows: &mut Flows, batch: &mut Batch, mut run: Run, now: u64) {
        let service = flows.service.clone();
        for _ in 0..ATTEMPTS_MAX {
            if service.target.is_none() {
                break;
            }
            let Some(open) = Open::admit(&service) else {
                // One of them is counted already.
                return service.counters.over_limit.add(run.places.len() as u64 - 1);
            };
            let first = batch.datagram(run.places.start);
            let Some(forwarding) = self.reach(flows, open, &run, first, now) else { break };
            let member = flows.slot_of(forwarding.work.member());
            let (id, displaced) = flows.table.begin(now, run.key, member, forwarding);
            if displaced.is_some() {
                service.counters.flows_displaced.inc();
            }
            if let Err(error) = self.hear(flows, id) {
                tracing::warn!(%error, "cannot wait for answers; a flow has not begun");
                flows.table.end(id);
                break;
            }
            let Some(flow) = flows.table.value_mut(id) else { break };
            match flow.send(batch, &mut run.places, &service.counters) {
                Ok(()) => return,
                Err(Refusal { error }) => self.break_off(flows, id, &error, now),
            }
        }
        service.counters.unserved.add(run.places.len() as u64);
    }

    /// A way to a member for a new flow; none: nobody can be reached.
    fn reach(
        &self,
        flows: &mut Flows,
        open: Open,
        run: &Run,
        datagram: &[u8],
        now: u64,
    ) -> Option<Forwarding> {
        let target = flows.service.target.clone()?;
        let client = run.key.client();
        let cids = target.shared.cids.as_ref();
        let part = cids.and_then(|cids| Some((cids, cids.of_client(datagram)?)));
        if !self.worker.may_begin_flow() {
            flows.displace(now)?;
        }
        for _ in 0..ATTEMPTS_MAX {
            let resting = flows.tried(now);
            let by_cid = part.as_ref().and_then(|(cids, part)| {
                cids.place(&target, now, part, &resting, |index| flows.keeps(index, now))
            });
            let work = match target.begin(client.ip(), &resting, by_cid) {
                Ok(work) => work,
                // Those who refused may be back by now.
                Err(_) if !resting.is_empty() => target.begin(client.ip(), &Tried::default(), None).ok()?,
                Err(_) => return None,
            };
            let address = work.member().plan.address_for(run.key.local().port());
            let shown = self.worker.config.transparent_client_address;
            let source = source::of(client, &work.member().plan, shown);
            let upstream = upstream::connect(source, address).or_else(|error| {
                // The node is out of descriptors or ports: an old flow has some.
                let can_be_mended = blame::is_exhaustion(&error) && flows.displace(now).is_some();
                if can_be_mended { upstream::connect(source, address) } else { Err(error) }
            });
            match upstream {
                Ok(upstream) => {
                    work.member().counters.connections.inc();
                    return Some(Forwarding::new(&self.worker, upstream, work, run.port, open));
                }
                Err(error) => {
                    tracing::debug!(member = %address, %error, "cannot reach a member");
                    work.record(blame::attempt(&error));
                    let slot = flows.slot_of(work.member());
                    flows.rest(slot, now + REFUSED_REST_MS);
                }
            }
        }
        None
    }
}

/// Leaves only as many datagrams as the bandwidth of the listener allows; the others are dropped. They have come together, so the last
/// ones go.
pub(super) fn admit(service: &Service, batch: &Batch, places: &mut Range<usize>, direction: Direction) {
    let Some(caps) = service.caps.as_ref().filter(|caps| caps.limit_bytes()) else { return };
    let length = |place| batch.datagram(place).len() as u64;
    let given = caps.take_bytes(direction, places.clone().map(length).sum());
    let mut passed = 0;
    let end = places.clone().find(|&place| {
        let more = length(place);
        let fits = passed + more <= given;
        passed += if fits { more } else { 0 };
        !fits
    });
    caps.give_back(direction, given - passed);
    if let Some(end) = end {
        service.counters.datagrams_over_limit.add((places.end - end) as u64);
        places.end = end;
    }
}
