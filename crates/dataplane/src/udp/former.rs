//! Flows of processes that had the sockets before, and of this one after another took them.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    rc::Rc,
    task::{Context, Poll},
};

use balance::FlowKey;
use tokio::task::JoinHandle;

use super::{
    Forwarder, PortIndex, TURN_BATCHES,
    flows::Refusal,
    link,
    passing::{InFlow, Run},
};
use crate::{
    clock,
    handover::ListeningSocket,
    sys::{
        datagrams::{Batch, PLACES},
        watched::Watched,
    },
};
use model::Transport;

/// A process that had a socket before.
pub(super) struct Former {
    link: Rc<Watched>,
    /// Takes what it gives back.
    task: JoinHandle<()>,
}

impl Drop for Former {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Forwarder {
    pub(super) fn formers(
        self: &Rc<Self>,
        links: Vec<OwnedFd>,
        address: SocketAddr,
        port: PortIndex,
    ) -> io::Result<Vec<Former>> {
        let former = |link| {
            let link = Rc::new(Watched::new(link)?);
            let (forwarder, watched) = (self.clone(), link.clone());
            let task = tokio::task::spawn_local(async move {
                poll_fn(|cx| forwarder.poll_former(&watched, address, port, cx)).await;
            });
            Ok(Former { link, task })
        };
        links.into_iter().map(former).collect()
    }

    /// Asks a former process, the first or the one behind `asked`, whether it knows the flow of these datagrams. False: there is none to be
    /// asked. `run` holds what was not given to one.
    pub(super) fn ask_formers(&self, batch: &Batch, run: &mut Run, asked: Option<&Rc<Watched>>) -> bool {
        let ports = self.ports.borrow();
        let Run { places, key, port } = run;
        let open = ports.get(*port as usize).and_then(|port| port.open.as_ref());
        let formers = open.map(|open| &open.formers[..]).unwrap_or_default();
        let behind = asked.and_then(|asked| formers.iter().position(|one| Rc::ptr_eq(&one.link, asked)));
        for former in &formers[behind.map_or(0, |behind| behind + 1)..] {
            while places.start < places.end {
                match link::send(former.link.get(), batch.datagram(places.start), key.client()) {
                    Ok(()) => {}
                    // A queue that is full loses datagrams, as any queue on the way does.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // It has ended.
                    Err(_) => break,
                }
                places.start += 1;
            }
        }
        places.start == places.end
    }

    /// Takes what a former process gives back: it does not know the flow.
    fn poll_former(
        self: &Rc<Self>,
        link: &Rc<Watched>,
        address: SocketAddr,
        port: PortIndex,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut batch = self.worker.datagrams.borrow_mut();
        let batch = batch.get_or_insert_with(Batch::new);
        for _ in 0..TURN_BATCHES {
            let taken = link.poll_take(cx, |link| {
                let count = batch.receive(link, 0)?;
                Ok((count, count == PLACES))
            });
            let Poll::Ready(taken) = taken else { return Poll::Pending };
            let count = taken.unwrap_or(0);
            let now = clock::now_ms();
            let flows = &mut *self.flows.borrow_mut();
            for place in 0..count.max(1) {
                if count == 0 || batch.datagram(place).is_empty() {
                    tracing::debug!(%address, "a former process has no flows any more");
                    self.forget(link, port);
                    return Poll::Ready(());
                }
                let Some(client) = link::take(batch, place) else { continue };
                let mut run = Run { places: place..place + 1, key: FlowKey::new(client, address), port };
                let is_passed = match self.pass_in_flow(flows, batch, &mut run, now) {
                    InFlow::Passed => true,
                    InFlow::Refused => false,
                    InFlow::Unknown => self.ask_formers(batch, &mut run, Some(link)),
                };
                if !is_passed {
                    self.begin_here(flows, batch, run, now);
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn forget(&self, link: &Rc<Watched>, port: PortIndex) {
        let mut ports = self.ports.borrow_mut();
        if let Some(open) = ports.get_mut(port as usize).and_then(|port| port.open.as_mut()) {
            open.formers.retain(|former| !Rc::ptr_eq(&former.link, link));
        }
    }

    /// Adds other descriptors of its sockets, each with the ways to flows on it.
    pub(crate) fn lend(&self, lent: &mut Vec<ListeningSocket>) -> io::Result<()> {
        for port in self.ports.borrow_mut().iter_mut() {
            let Some(open) = &mut port.open else { continue };
            let (ours, theirs) = link::pair()?;
            open.lent = Some(Rc::new(Watched::new(ours)?));
            let mut links = vec![theirs];
            for former in &open.formers {
                links.push(former.link.get().try_clone()?);
            }
            let descriptor = open.socket.get().try_clone()?;
            lent.push(ListeningSocket {
                transport: Transport::Udp,
                address: port.address,
                descriptor,
                links,
            });
        }
        Ok(())
    }

    /// Another process takes what comes to the sockets: flows go on until they end, with what comes back from there, and none begins.
    pub(crate) fn leave(self: &Rc<Self>) {
        for port in self.ports.borrow_mut().iter_mut() {
            let Some(open) = &mut port.open else { continue };
            open.task.abort();
            open.formers.clear();
            if let Some(link) = open.lent.clone() {
                let (forwarder, address) = (self.clone(), port.address);
                open.task = tokio::task::spawn_local(async move {
                    poll_fn(|cx| forwarder.poll_heir(&link, address, cx)).await;
                });
            }
        }
        if self.flows.borrow().is_empty() {
            self.ports.borrow_mut().iter_mut().for_each(|port| self.shut(port));
        }
    }

    /// Sends on what the process that has the sockets asks for, or gives it back.
    fn poll_heir(self: &Rc<Self>, link: &Watched, address: SocketAddr, cx: &mut Context<'_>) -> Poll<()> {
        let mut batch = self.worker.datagrams.borrow_mut();
        let batch = batch.get_or_insert_with(Batch::new);
        for _ in 0..TURN_BATCHES {
            let taken = link.poll_take(cx, |link| {
                let count = batch.receive(link, 0)?;
                Ok((count, count == PLACES))
            });
            let Poll::Ready(taken) = taken else { return Poll::Pending };
            let Ok(count) = taken else { return Poll::Ready(()) };
            let now = clock::now_ms();
            let flows = &mut *self.flows.borrow_mut();
            for place in 0..count {
                if batch.datagram(place).is_empty() {
                    return Poll::Ready(());
                }
                let Some((length, client)) = link::open(batch.datagram(place)) else { continue };
                let key = FlowKey::new(client, address);
                match flows.table.handle_datagram(now, &key) {
                    Some((id, _, flow)) => {
                        batch.cut(place, length);
                        flow.look_at_client(batch, place..place + 1, now);
                        let refused = flow.send(batch, &mut (place..place + 1), &flows.service.counters);
                        if let Err(Refusal { error }) = refused {
                            self.break_off(flows, id, &error, now);
                        }
                    }
                    // Lost, if it does not go.
                    None => drop(link::send_back(link.get(), batch.datagram(place))),
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
