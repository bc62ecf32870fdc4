//! The listeners of a worker: what their changes mean for its sockets.

use std::{io, net::SocketAddr, rc::Rc, sync::Arc};

use model::{ListenerId, Transport};
use plan::{ListenerPlan, ServicePlan};

use super::{Farewell, Lent, Worker};
use crate::{
    acceptor::Acceptor,
    handover::{ListeningSocket, Opened},
    http3,
    limits::Bounds,
    service::{Service, Slot},
    target::SharedTarget,
    tls::Terms,
    udp::Forwarder,
};

/// A listener in this worker.
pub(super) struct Listening {
    pub(super) slot: Rc<Slot>,
    acceptors: Vec<Acceptor>,
    /// Of a listener of UDP.
    forwarder: Option<Rc<Forwarder>>,
    /// Of a listener of QUIC.
    quic: Vec<http3::Endpoint>,
}

impl Worker {
    pub(super) fn set_listener(
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
    pub(super) fn set_quic(
        self: &Rc<Self>,
        id: ListenerId,
        opened: Vec<Arc<http3::Sockets>>,
        closed: &[SocketAddr],
    ) {
        let mut slots = self.slots.borrow_mut();
        let Some(listening) = slots.get_mut(&id) else { return };
        let closed = listening.quic.extract_if(.., |endpoint| closed.contains(&endpoint.address()));
        closed.for_each(|endpoint| self.leave_quic(endpoint));
        listening.quic.iter().for_each(http3::Endpoint::follow);
        for sockets in opened {
            for index in (self.index..sockets.count()).step_by(self.config.workers) {
                let mut left = self.quic_left.borrow_mut();
                let known = left.iter().position(|endpoint| endpoint.is_on(&sockets, index));
                if let Some(known) = known {
                    let endpoint = left.swap_remove(known);
                    endpoint.lead_to(listening.slot.clone());
                    listening.quic.push(endpoint);
                    continue;
                }
                let slot = listening.slot.clone();
                match http3::Endpoint::start(self.clone(), slot, sockets.clone(), index) {
                    Ok(endpoint) => listening.quic.push(endpoint),
                    Err(error) => {
                        let address = sockets.address;
                        tracing::error!(%address, %error, "cannot serve QUIC on a socket that is bound");
                    }
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

    pub(super) fn hold(&self, held: bool) {
        self.held.set(held);
        if !held {
            let slots = self.slots.borrow();
            slots.values().flat_map(|listening| &listening.acceptors).for_each(Acceptor::go_on);
            slots.values().filter_map(|listening| listening.forwarder.as_ref()).for_each(|one| one.go_on());
        }
        let slots = self.slots.borrow();
        slots.values().flat_map(|listening| &listening.quic).for_each(|endpoint| endpoint.hold(held));
    }

    pub(super) fn lend(&self) -> io::Result<Lent> {
        let mut lent = Lent::default();
        for listening in self.slots.borrow().values() {
            for acceptor in &listening.acceptors {
                let (address, descriptor) = (acceptor.address(), acceptor.lend()?);
                let links = Vec::new();
                lent.sockets.push(ListeningSocket { transport: Transport::Tcp, address, descriptor, links });
            }
            if let Some(forwarder) = &listening.forwarder {
                forwarder.lend(&mut lent.sockets)?;
            }
            for endpoint in &listening.quic {
                lent.quic.push(endpoint.lend()?);
            }
        }
        Ok(lent)
    }

    pub(super) fn remove_listener(&self, id: ListenerId) {
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

    /// Takes leave of all listeners.
    pub(super) fn close_listeners(&self, farewell: Farewell) {
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
            for endpoint in listening.quic {
                match farewell {
                    Farewell::Close => endpoint.close(),
                    Farewell::Leave => endpoint.leave(),
                }
                if endpoint.is_busy() {
                    self.quic_left.borrow_mut().push(endpoint);
                }
            }
        }
    }
}
