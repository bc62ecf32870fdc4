//! Accepting connections from one listening socket.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use plan::ServicePlan;
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::Errno,
    net::SocketFlags,
};
use tokio::{net::TcpStream, task::JoinHandle};

use crate::{
    http, introduced,
    layer4::{self, Open},
    rounds::Place,
    service::Slot,
    sys::watched::Watched,
    table::Seat,
    worker::Worker,
};

/// How long accepting rests when the system has no descriptor or memory left, or the worker is full.
const REST: Duration = Duration::from_millis(100);

/// A listening socket of one worker.
pub(crate) struct Acceptor {
    door: Rc<Door>,
    socket: Rc<Watched>,
    held: Held,
    task: JoinHandle<()>,
}

/// The task that accepts, while accepting is held.
type Held = Rc<Cell<Option<Waker>>>;

/// What a connection knows about where it came in.
pub(crate) struct Door {
    pub(crate) worker: Rc<Worker>,
    pub(crate) slot: Rc<Slot>,
    /// The address that clients reached.
    pub(crate) address: SocketAddr,
}

impl Door {
    /// Whether what is open is to end when its present work ends: the process drains, or the listener is gone.
    #[inline]
    pub(crate) fn is_leaving(&self) -> bool {
        self.worker.is_draining() || self.slot.is_retired()
    }

    /// See [`Rounds::poll_turn`](crate::rounds::Rounds::poll_turn).
    #[inline]
    pub(crate) fn poll_turn(&self, place: &mut Place, cx: &Context<'_>) -> Poll<()> {
        self.worker.rounds.poll_turn(self.slot.share(), place, cx)
    }
}

impl Acceptor {
    /// Starts accepting. Must be called inside the worker's runtime.
    pub(crate) fn start(
        worker: Rc<Worker>,
        slot: Rc<Slot>,
        address: SocketAddr,
        socket: OwnedFd,
    ) -> io::Result<Self> {
        let door = Rc::new(Door { worker, slot, address });
        let socket = Rc::new(Watched::new(socket)?);
        door.worker.sockets.set(door.worker.sockets.get() + 1);
        let held = Held::default();
        let task = tokio::task::spawn_local(accept(door.clone(), socket.clone(), held.clone()));
        Ok(Self { door, socket, held, task })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.door.address
    }

    /// Another descriptor of the same socket.
    pub(crate) fn lend(&self) -> io::Result<OwnedFd> {
        self.socket.get().try_clone()
    }

    /// Goes on after [`Worker::is_held`] has ended.
    pub(crate) fn go_on(&self) {
        if let Some(task) = self.held.take() {
            task.wake();
        }
    }

    /// Stops accepting, and leaves the socket to the process that it was lent to.
    pub(crate) fn leave(self) {
        self.task.abort();
        let sockets = &self.door.worker.sockets;
        sockets.set(sockets.get() - 1);
    }

    /// Stops accepting; connections that the kernel has already made are still taken.
    pub(crate) fn stop(self) {
        self.task.abort();
        let sockets = &self.door.worker.sockets;
        sockets.set(sockets.get() - 1);
        while let Ok((stream, peer)) = take_one(self.socket.get()) {
            begin(&self.door, stream, peer);
        }
        // The task holds the socket until the runtime has ended it; from now on nobody shall come in by it.
        let _closed = rustix::net::shutdown(self.socket.get(), rustix::net::Shutdown::Both);
    }
}

/// Takes a connection out of the kernel's queue.
fn take_one(socket: &OwnedFd) -> io::Result<(TcpStream, SocketAddr)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (stream, peer) = rustix::net::acceptfrom_with(socket, flags)?;
    let peer =
        peer.and_then(|peer| SocketAddr::try_from(peer).ok()).ok_or(io::ErrorKind::ConnectionAborted)?;
    Ok((TcpStream::from_std(stream.into())?, peer))
}

/// Whether the kernel's queue holds another. Asking is far cheaper than accepting in vain, for which the kernel makes a socket
/// and throws it away.
fn has_another(socket: &OwnedFd) -> bool {
    let mut asked = [PollFd::new(socket, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    !matches!(rustix::event::poll(&mut asked, Some(&now)), Ok(0))
}

async fn accept(door: Rc<Door>, socket: Rc<Watched>, held: Held) {
    let mut place = Place::default();
    loop {
        if !door.worker.may_accept() {
            rest(&door.worker).await;
            continue;
        }
        let take = |socket: &OwnedFd| take_one(socket).map(|taken| (taken, has_another(socket)));
        let next = poll_fn(|cx| {
            if door.worker.is_held() {
                held.set(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            ready!(socket.poll_takeable(cx))?;
            ready!(door.poll_turn(&mut place, cx));
            socket.poll_take(cx, take)
        });
        match next.await {
            Ok((stream, peer)) => begin(&door, stream, peer),
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::warn!(address = %door.address, %error, "cannot accept; new connections wait");
                rest(&door.worker).await;
            }
        }
    }
}

/// Whether accepting failed because of this one client or its network (accept(2), "Error handling"). All else, such as no
/// descriptor or memory left, meets the next one, too.
fn is_the_clients(error: &io::Error) -> bool {
    use Errno as E;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(
            E::CONNABORTED
                | E::INTR
                | E::PROTO
                | E::PERM
                | E::NETDOWN
                | E::NETUNREACH
                | E::HOSTDOWN
                | E::HOSTUNREACH
                | E::TIMEDOUT
        )
    )
}

async fn rest(worker: &Worker) {
    let seat = Seat::take(&worker.table, 0);
    seat.occupy().await;
    seat.pause(REST).await;
}

fn begin(door: &Rc<Door>, stream: TcpStream, peer: SocketAddr) {
    let service = door.slot.service();
    match &service.plan.proxy_accept {
        Some(accept) if accept.trusts(peer.ip()) => {
            let seat = Seat::take(&door.worker.table, door.slot.group());
            drop(tokio::task::spawn_local(begin_introduced(door.clone(), stream, peer, seat)));
        }
        _ => admit(door, stream, peer),
    }
}

/// Begins a connection whose header says whom it is made for.
async fn begin_introduced(door: Rc<Door>, stream: TcpStream, sender: SocketAddr, seat: Seat) {
    match introduced::client_of(&stream, sender, &seat).await {
        Ok(client) => admit(&door, stream, client),
        Err(error) => {
            tracing::debug!(%sender, %error, "a connection is closed");
            door.slot.service().counters.not_introduced.inc();
            crate::io::reset_on_close(&stream);
        }
    }
}

/// Begins a connection of a client, if it may.
fn admit(door: &Rc<Door>, stream: TcpStream, peer: SocketAddr) {
    let service = door.slot.service();
    if let Some(acl) = &service.plan.acl
        && !acl.admits(peer.ip())
    {
        // No HTTP answer, no TLS alert: whoever may not connect learns nothing (behaviour/features.md section 11).
        service.counters.denied.inc();
        return crate::io::reset_on_close(&stream);
    }
    let Some(open) = Open::admit(&service) else {
        return crate::io::reset_on_close(&stream);
    };
    match &service.plan.service {
        ServicePlan::Http(_) if service.plan.tls.is_some() => {
            drop(tokio::task::spawn_local(http::serve_secured(door.clone(), stream, peer, open)));
        }
        // Over TLS this is agreed on; in clear it is only for plans made by hand.
        ServicePlan::Http(http) if http.http2 => {
            drop(tokio::task::spawn_local(http::serve_http2(door.clone(), stream, peer, open)));
        }
        ServicePlan::Http(_) => {
            drop(tokio::task::spawn_local(http::serve(door.clone(), stream.into(), peer, open)))
        }
        ServicePlan::Tls => {
            drop(tokio::task::spawn_local(layer4::serve_secured(door.clone(), stream, peer, open)));
        }
        ServicePlan::Tcp => drop(tokio::task::spawn_local(layer4::serve(door.clone(), stream, peer, open))),
        // Connections do not come to sockets of datagrams.
        ServicePlan::Udp | ServicePlan::Quic(_) => {}
    }
}
