//! Layer 4: a connection of a client becomes a connection to a member.

use std::{
    future::poll_fn,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use model::{PoolProtocol, ProxyVersion};
use telemetry::{Attempt, ListenerCounters, TlsFailure};
use tokio::net::TcpStream;
use wire::proxy_protocol::{
    ClientCertificate, Endpoints, Extensions, Origin, TlsFacts, Transport, write_v1, write_v2,
};

use crate::{
    acceptor::Door,
    blame, io,
    limits::Counted,
    relay::{Counts, Ended, Passed, Relay, Way},
    rounds::{CONNECT_UNITS, Place},
    service::Service,
    stream::Stream,
    table::Seat,
    target::{Tried, Work},
    tls::{self, Accepted, TlsInfo},
};

/// Serves one connection to its end.
pub(crate) fn serve(
    door: Rc<Door>,
    client: TcpStream,
    peer: SocketAddr,
    open: Open,
) -> impl Future<Output = ()> {
    let seat = Seat::take(&door.worker.table, door.slot.group());
    let service = door.slot.service();
    let header = header(&service, peer, door.address, None);
    let mut link = Link::begin(door, service, client.into(), peer, seat, open, header);
    poll_fn(move |cx| match &mut link {
        Some(link) => link.poll(cx),
        None => Poll::Ready(()),
    })
}

/// As [`serve`], for a connection whose TLS ends here.
pub(crate) fn serve_secured(
    door: Rc<Door>,
    tcp: TcpStream,
    peer: SocketAddr,
    open: Open,
) -> impl Future<Output = ()> {
    let seat = Seat::take(&door.worker.table, door.slot.group());
    begin_secured(door, tcp, peer, seat, open)
}

async fn begin_secured(door: Rc<Door>, tcp: TcpStream, peer: SocketAddr, seat: Seat, open: Open) {
    let service = door.slot.service();
    seat.occupy().await;
    seat.expire_after(HANDSHAKE_TIME.min(service.plan.idle_timeout));
    let Some(terms) = &service.tls else {
        // Its terms cannot be carried out, which is a fault that its owner sees.
        service.counters.tls().failed(TlsFailure::Other);
        return io::reset_on_close(&tcp);
    };
    let mut accepting = Box::pin(tls::accept(&door, &service, terms, tcp, &seat, false));
    let mut place = Place::default();
    let accepted = poll_fn(|cx| {
        ready!(door.poll_turn(&mut place, cx));
        accepting.as_mut().poll(cx)
    });
    let accepted = accepted.await;
    drop(accepting);
    let (client, info) = match accepted {
        Ok(Accepted::Tls(stream, info)) => (Stream::Tls(stream), info),
        Ok(Accepted::Openssl(stream, info)) => (Stream::Openssl(stream), info),
        Ok(Accepted::Plain(tcp)) => return io::reset_on_close(&tcp),
        Err(error) => return tracing::debug!(client = %peer, %error, "a TLS handshake failed"),
    };
    let header = header(&service, peer, door.address, Some(&info));
    if let Some(mut link) = Link::begin(door, service, client, peer, seat, open, header) {
        poll_fn(|cx| link.poll(cx)).await;
    }
}

/// How long a client may take for its handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(60);

/// A client's connection and the member's that it became.
struct Link {
    door: Rc<Door>,
    service: Rc<Service>,
    peer: SocketAddr,
    relay: Relay,
    work: Work,
    tried: Tried,
    seat: Seat,
    seated: bool,
    /// What members of a TLS pool are told before their session.
    header: Box<[u8]>,
    /// The connection to the member was seen to stand.
    reached: bool,
    /// Its place among those who wait for a round of the worker.
    place: Place,
    _open: Open,
}

impl Link {
    /// Joins a client to a member; none when there is none, which the client is told by a reset. `header`: what the member is told
    /// before anything else.
    fn begin(
        door: Rc<Door>,
        service: Rc<Service>,
        mut client: Stream,
        peer: SocketAddr,
        seat: Seat,
        open: Open,
        header: Vec<u8>,
    ) -> Option<Self> {
        let target = service.target.as_ref();
        let secured = target.is_some_and(|target| target.shared.plan.protocol == PoolProtocol::Tls);
        let (up, header) =
            if secured { (Way::default(), header.into()) } else { (Way::holding(header), Box::default()) };
        let mut tried = Tried::default();
        let Some((work, member)) = begin(&door, &service, peer, &header, &mut tried) else {
            service.counters.unserved.inc();
            client.reset_on_close();
            return None;
        };
        seat.expire_after(connect_time(&service));
        let relay = Relay {
            worker: door.worker.clone(),
            client,
            member,
            up,
            down: Way::default(),
            connecting: true,
            passed: Passed::default(),
            ticket: 0,
        };
        Some(Self {
            door,
            service,
            peer,
            relay,
            work,
            tried,
            seat,
            seated: false,
            header,
            reached: false,
            place: Place::default(),
            _open: open,
        })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.seated {
            self.seat.occupy_with(cx.waker());
            self.seated = true;
        }
        ready!(self.door.poll_turn(&mut self.place, cx));
        loop {
            let (listener, member) = (&self.service.counters, &self.work.member().counters);
            // A limit that is changed holds for connections that are there, too.
            let caps = self.door.slot.byte_caps();
            let counts = Counts {
                from_client: &listener.bytes_in,
                to_client: &listener.bytes_out,
                from_member: &member.bytes_in,
                to_member: &member.bytes_out,
                waits: &listener.bandwidth_waits,
                caps: caps.as_deref(),
                share: self.door.slot.share(),
            };
            let idle = self.service.plan.idle_timeout;
            let stopped = self.door.slot.is_over() || self.work.is_over();
            let polled = self.relay.poll(cx, &self.seat, idle, stopped, &counts);
            if !self.reached && !self.relay.connecting {
                self.reached = true;
                self.work.note_reached();
            }
            let ended = ready!(polled);
            match ended {
                Ended::Idle if self.relay.connecting && self.relay.member.is_connected(cx) => {
                    // Both sides wait for the other to speak; the time so far was idle.
                    self.relay.connecting = false;
                    let rest = idle.saturating_sub(self.service.plan.connect_timeout);
                    if !rest.is_zero() {
                        self.seat.expire_after(rest);
                        continue;
                    }
                }
                Ended::Idle | Ended::MemberBroke if self.relay.connecting => {
                    if self.turn_to_another() {
                        continue;
                    }
                    self.service.counters.unserved.inc();
                }
                Ended::ClientBroke => self.service.counters.client_resets.inc(),
                Ended::MemberBroke => self.service.counters.member_resets.inc(),
                Ended::Complete | Ended::Idle | Ended::Stopped => {}
            }
            if ended != Ended::Complete {
                self.relay.reset();
            }
            return Poll::Ready(());
        }
    }

    /// The member cannot be reached: another one is tried, as nothing was sent. Whether there is one.
    fn turn_to_another(&mut self) -> bool {
        let failed = self.work.member();
        tracing::debug!(member = %failed.plan.address, "cannot reach a member");
        failed.note_unreached(&self.door.worker, &self.relay.member);
        self.work.record(Attempt::ConnectFailed);
        if !self.tried.add(self.work.index()) {
            return false;
        }
        let begun = begin(&self.door, &self.service, self.peer, &self.header, &mut self.tried);
        let Some((work, member)) = begun else { return false };
        self.seat.expire_after(connect_time(&self.service));
        self.relay.turn_to(member);
        self.work = work;
        true
    }
}

/// What tells members of the client; empty: nothing does.
fn header(service: &Service, client: SocketAddr, reached: SocketAddr, info: Option<&TlsInfo>) -> Vec<u8> {
    match service.target.as_ref().and_then(|target| target.shared.plan.proxy_protocol) {
        Some(version) => introduction(version, client, reached, info),
        None => Vec::new(),
    }
}

/// What tells a member of the client: the PROXY protocol.
fn introduction(
    version: ProxyVersion,
    client: SocketAddr,
    reached: SocketAddr,
    info: Option<&TlsInfo>,
) -> Vec<u8> {
    let endpoints = Endpoints { transport: Transport::Stream, source: client, destination: reached };
    let origin = Origin::Client(endpoints);
    let mut header = Vec::new();
    match version {
        ProxyVersion::V1 => write_v1(&origin, &mut header),
        ProxyVersion::V2 => write_v2(&origin, &info.map(extensions).unwrap_or_default(), &mut header),
    }
    header
}

/// What is known of a client by its TLS.
fn extensions(info: &TlsInfo) -> Extensions<'_> {
    let certificate = match info.client_certificate {
        None => ClientCertificate::None,
        Some(_) => ClientCertificate::Shown { verified: true, resumed: false, common_name: None },
    };
    Extensions {
        alpn: None,
        authority: info.server_name.as_ref().map(|name| name.as_bytes()),
        tls: info.version.map(|version| TlsFacts {
            version: version.as_str().as_bytes(),
            cipher: Some(info.suite.as_bytes()),
            certificate,
        }),
    }
}

/// How long a connection to a member may take to stand, with its session where the pool's protocol is TLS.
fn connect_time(service: &Service) -> Duration {
    service.plan.connect_timeout.min(service.plan.idle_timeout)
}

/// Begins a connection to some member that was not tried. `header`: see [`Member::connect`](crate::member::Member::connect).
fn begin(
    door: &Door,
    service: &Service,
    client: SocketAddr,
    header: &[u8],
    tried: &mut Tried,
) -> Option<(Work, Stream)> {
    let target = service.target.as_ref()?;
    loop {
        let work = target.begin(client.ip(), tried, None).ok()?;
        let address = work.member().plan.address_for(door.address.port());
        match work.member().connect(&door.worker, target.shared.plan.protocol, client, address, header) {
            Ok(stream) => {
                work.member().counters.connections.inc();
                door.slot.share().charge(CONNECT_UNITS);
                return Some((work, stream));
            }
            Err(error) => {
                tracing::debug!(member = %work.member().plan.address, %error, "cannot reach a member");
                work.record(blame::attempt(&error));
                if !tried.add(work.index()) {
                    return None;
                }
            }
        }
    }
}

/// Counts a connection as open until it is dropped.
pub(crate) struct Open {
    counters: Arc<ListenerCounters>,
    _counted: Option<Counted>,
}

impl Open {
    /// A connection, or a flow, that is new; none when the listener may take no more, which is counted.
    pub(crate) fn admit(service: &Service) -> Option<Self> {
        let counted = match &service.caps {
            None => None,
            Some(caps) => match caps.admit_connection() {
                Some(counted) => Some(counted),
                None => {
                    service.counters.over_limit.inc();
                    return None;
                }
            },
        };
        service.counters.connections.inc();
        service.counters.active.rise();
        Some(Self { counters: service.counters.clone(), _counted: counted })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.counters.active.fall();
    }
}
