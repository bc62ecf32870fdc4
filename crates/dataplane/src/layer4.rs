//! Layer 4: a connection of a client becomes a connection to a member.

use std::{future::poll_fn, net::SocketAddr, rc::Rc, sync::Arc, task::Poll, time::Duration};

use telemetry::{Attempt, ListenerCounters};
use tokio::net::TcpStream;

use crate::{
    acceptor::Door,
    io,
    relay::{Counts, Ended, Relay, Way},
    table::Seat,
    target::{Target, Tried, Work},
};

/// Serves one connection to its end.
pub(crate) async fn serve(door: Rc<Door>, client: TcpStream, peer: SocketAddr) {
    let seat = Seat::take(&door.worker.table, door.slot.group());
    seat.occupy().await;
    let service = door.slot.service();
    let _open = Open::new(service.counters.clone());
    let connect_timeout = service.plan.connect_timeout;
    let found = match &service.target {
        Some(target) => connect(target, &door, &seat, peer, connect_timeout).await,
        None => None,
    };
    let Some((work, member)) = found else {
        service.counters.unserved.inc();
        io::reset_on_close(&client);
        return;
    };
    let idle = service.plan.idle_timeout;
    seat.expire_after(idle);
    let mut relay =
        Relay { worker: door.worker.clone(), client, member, up: Way::default(), down: Way::default() };
    let counts = Counts {
        from_client: &service.counters.bytes_in,
        to_client: &service.counters.bytes_out,
        from_member: &work.member().counters.bytes_in,
        to_member: &work.member().counters.bytes_out,
    };
    let ended = poll_fn(|cx| relay.poll(cx, &seat, idle, door.slot.is_retired(), &counts)).await;
    match ended {
        Ended::ClientBroke => service.counters.client_resets.inc(),
        Ended::MemberBroke => service.counters.member_resets.inc(),
        Ended::Complete | Ended::Idle | Ended::Stopped => {}
    }
}

/// A connection to some member; the next one is tried when a member cannot be reached, as nothing was sent yet.
async fn connect(
    target: &Rc<Target>,
    door: &Door,
    seat: &Seat,
    peer: SocketAddr,
    timeout: Duration,
) -> Option<(Work, TcpStream)> {
    let mut tried = Tried::default();
    loop {
        let work = target.begin(peer.ip(), &tried).ok()?;
        match connect_to(work.member().plan.address, seat, timeout).await {
            Ok(stream) => {
                work.member().counters.connections.inc();
                return Some((work, stream));
            }
            Err(_) if door.slot.is_retired() => return None,
            Err(error) => {
                tracing::debug!(member = %work.member().plan.address, %error, "cannot reach a member");
                work.member().counters.record(Attempt::ConnectFailed);
                if !tried.add(work.index()) {
                    return None;
                }
            }
        }
    }
}

/// A connection that stands, or why it does not: a timeout is `TimedOut`.
pub(crate) async fn connect_to(
    address: SocketAddr,
    seat: &Seat,
    timeout: Duration,
) -> std::io::Result<TcpStream> {
    let stream = io::connect(address)?;
    seat.expire_after(timeout);
    poll_fn(|cx| match io::poll_connected(&stream, cx) {
        Poll::Pending if seat.expired() => Poll::Ready(Err(std::io::ErrorKind::TimedOut.into())),
        other => other,
    })
    .await?;
    Ok(stream)
}

/// Counts a connection as open until it is dropped.
pub(crate) struct Open(Arc<ListenerCounters>);

impl Open {
    pub(crate) fn new(counters: Arc<ListenerCounters>) -> Self {
        counters.active.rise();
        Self(counters)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.active.fall();
    }
}
