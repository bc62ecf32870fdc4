//! A socket as quinn sees it, also while it changes hands.
//!
//! A process that took over sockets reads all that comes to them, and passes what is for connections of those who had them before
//! ([`Former`]). A process that left its sockets to another reads what that passes, and sends by the sockets as ever. Without an
//! upgrade nothing is looked at.

use std::{
    fmt,
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};

use super::{
    former::{self, Former},
    ids::{IdKey, destination},
};
use crate::sys::watched::Watched;

/// A worker's socket.
pub(super) struct Socket {
    inner: Arc<dyn AsyncUdpSocket>,
    key: Arc<IdKey>,
    here: IpAddr,
    state: Mutex<State>,
}

/// Only one thread ever asks, so the lock is free; quinn's types want it to be there.
struct State {
    from: Source,
    formers: Vec<Arc<Former>>,
    /// Our end of the way to the process that the socket was lent to.
    lent: Option<OwnedFd>,
    /// Whom it concerns when that changes.
    reader: Option<Waker>,
}

/// Where packets come from.
enum Source {
    Socket,
    /// They wait in the socket for now.
    Nowhere,
    /// From the process that the socket was left to.
    Heir(Watched),
}

impl Socket {
    pub(super) fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        key: Arc<IdKey>,
        formers: Vec<Arc<Former>>,
        held: bool,
    ) -> io::Result<Self> {
        let here = inner.local_addr()?.ip();
        let from = if held { Source::Nowhere } else { Source::Socket };
        let state = Mutex::new(State { from, formers, lent: None, reader: None });
        Ok(Self { inner, key, here, state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves packets in the socket from now on, or takes them again.
    pub(super) fn hold(&self, held: bool) {
        let mut state = self.state();
        if !matches!(state.from, Source::Heir(_)) {
            state.from = if held { Source::Nowhere } else { Source::Socket };
            state.wake();
        }
    }

    /// The way by which the process that the socket is lent to passes on what is for connections of this one.
    pub(super) fn lend(&self) -> io::Result<OwnedFd> {
        let (ours, theirs) = former::pair()?;
        self.state().lent = Some(ours);
        Ok(theirs)
    }

    /// Another process takes what comes to the socket from now on. False: it was lent to nobody.
    pub(super) fn leave(&self) -> io::Result<bool> {
        let mut state = self.state();
        let Some(lent) = state.lent.take() else { return Ok(false) };
        state.from = Source::Heir(Watched::new(lent)?);
        state.formers.clear();
        state.wake();
        Ok(true)
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Passes on what is for others, and leaves the rest in the buffer.
    fn pass_on(&self, key: &IdKey, buffer: &mut [u8], meta: &mut RecvMeta) {
        let whole = meta.len.min(buffer.len());
        let stride = meta.stride.max(1);
        let (mut at, mut kept) = (0, 0);
        while at < whole {
            let (length, passed) = self.pass_run(key, &buffer[at..whole], stride, meta);
            if !passed {
                buffer.copy_within(at..at + length, kept);
                kept += length;
            }
            at += length;
        }
        meta.len = kept;
    }

    /// The first packets, which are for the same id: how long they are together, and whether they were passed on.
    fn pass_run(&self, key: &IdKey, packets: &[u8], stride: usize, meta: &RecvMeta) -> (usize, bool) {
        let mut each = packets.chunks(stride);
        let id = each.next().and_then(destination);
        let same = 1 + each.take_while(|packet| destination(packet) == id).count();
        let length = (same * stride).min(packets.len());
        let Some(id) = id.filter(|id| !key.marked(id)) else { return (length, false) };
        let owner = self.formers.iter().filter(|former| !former.is_over()).find(|former| former.has(id));
        // Of a process that has ended nobody knows but we, who tell the client (RFC 9000 section 10.3).
        (length, owner.is_some_and(|former| former.pass(id, &packets[..length], meta)))
    }
}

/// Takes what another process passes on.
fn poll_heir(
    link: &Watched,
    cx: &mut Context<'_>,
    buffers: &mut [IoSliceMut<'_>],
    metas: &mut [RecvMeta],
    here: IpAddr,
) -> Poll<io::Result<usize>> {
    let taken = ready!(link.poll_take(cx, |link| {
        let mut count = 0;
        for (buffer, meta) in buffers.iter_mut().zip(&mut *metas) {
            match former::receive(link, buffer, here) {
                Ok(Some(message)) => *meta = message,
                // What came before is told first; an end is there for ever.
                Ok(None) | Err(_) if count > 0 => return Ok((Some(count), true)),
                Ok(None) => return Ok((None, true)),
                Err(error) => return Err(error),
            }
            count += 1;
        }
        Ok((Some(count), true))
    }));
    match taken {
        Ok(Some(count)) => Poll::Ready(Ok(count)),
        // Connections end when they hear nothing any more. An error would end the endpoint, and with it what it still has to say.
        Ok(None) => Poll::Pending,
        Err(error) => {
            tracing::warn!(%error, "what the new process passes on is not heard");
            Poll::Pending
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        if !state.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            state.reader = Some(cx.waker().clone());
        }
        match &state.from {
            Source::Socket => {}
            Source::Nowhere => return Poll::Pending,
            Source::Heir(link) => return poll_heir(link, cx, buffers, metas, self.here),
        }
        let count = ready!(self.inner.poll_recv(cx, buffers, metas))?;
        if !state.formers.is_empty() {
            state.formers.retain(|former| !former.is_over());
            for (buffer, meta) in buffers.iter_mut().zip(metas).take(count) {
                state.pass_on(&self.key, buffer, meta);
            }
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use quinn::ConnectionIdGenerator;

    use super::{
        super::ids::{Ids, draw_secret},
        *,
    };
    use crate::handover::QuicFormer;

    /// A packet of this length for a connection of the process with this key.
    fn packet(secret: [u8; 32], length: usize) -> Vec<u8> {
        let key = Arc::new(IdKey::new(secret));
        let id = Ids { key, place: Arc::default(), sockets: 1 }.generate_cid();
        let mut packet = [&[0x40], &id[..]].concat();
        packet.resize(length, 7);
        packet
    }

    #[test]
    fn of_packets_that_came_together_each_goes_to_the_process_of_its_connection() {
        let [ours, first, second, gone] = std::array::from_fn(|_| draw_secret().unwrap());
        let (links, mut ends): (Vec<_>, Vec<_>) = (0..3).map(|_| former::pair().unwrap()).unzip();
        drop(ends.pop());
        let formers = [first, second, gone].into_iter().zip(links);
        let formers =
            formers.map(|(id_secret, link)| Arc::new(QuicFormer { id_secret, links: vec![link] }.into()));
        let state = State { from: Source::Socket, formers: formers.collect(), lent: None, reader: None };
        let firsts = packet(first, 50);
        let new_client = [&[0xc0, 0, 0, 0, 1, 8][..], &[9; 44]].concat();
        let (mine, last, seconds) = (packet(ours, 50), packet(ours, 30), packet(second, 50));
        let lost = packet(gone, 50);
        let came = [&mine, &firsts, &firsts, &new_client, &seconds, &firsts, &lost, &last];
        let mut buffer: Vec<u8> = came.into_iter().flatten().copied().collect();
        let addr = "127.0.0.1:9".parse().unwrap();
        let mut meta = RecvMeta { addr, len: buffer.len(), stride: 50, ..RecvMeta::default() };
        state.pass_on(&IdKey::new(ours), &mut buffer, &mut meta);
        let kept = [&mine[..], &new_client, &lost, &last].concat();
        assert!(buffer[..meta.len] == kept, "ours, new ones, and those of whom nobody else knows any more");

        for (end, expected) in ends.iter().zip([vec![[&firsts[..], &firsts].concat(), firsts], vec![seconds]])
        {
            for packets in expected {
                let mut heard = [0; 200];
                let meta = former::receive(end, &mut heard, addr.ip()).unwrap().unwrap();
                assert_eq!((meta.addr, meta.stride), (addr, 50));
                assert!(heard[..meta.len] == packets);
            }
            assert!(former::receive(end, &mut [0; 9], addr.ip()).is_err(), "nothing else");
        }
    }
}
