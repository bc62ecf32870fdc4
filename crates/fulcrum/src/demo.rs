//! `--demo`: two sample members and a load balancer before them, so that a first look needs nothing else.
//!
//! The members are tiny servers inside this process, on two addresses at the end of the default subnet; each answers with its name. The
//! load balancer is made through `control` as the first administrator would make it, and kept: a second start finds it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use axum::Router;
use control::Control;
use identity::Caller;
use ipnet::IpNet;
use model::{
    Algorithm, ConnectTimeout, Description, Facts, IdleTimeout, Listener, LoadBalancer, Name,
    NewHealthMonitor, NewListener, NewLoadBalancer, NewMember, NewPool, Pool, PoolProtocol, Port, Ports,
    ProbeInterval, ProbeThreshold, ProbeTimeout, SubnetId, TargetId, TargetOverride, Weight,
    health_monitor::{ExpectedStatuses, HttpProbe, MonitorType, ProbeMethod, ProbePath},
    listener::{DesyncMode, HttpService, InsertHeaders, Service},
    load_balancer::{Protection, WafFailure},
    pool::{IpVersion, PoolKind},
    target::ProbeSettings,
};
use tokio::{net::TcpListener, sync::watch, task::AbortHandle};

/// The name of everything that the demo makes.
const NAME: &str = "demo";
/// The port of the demo's listener; above 1023, so that no privilege is needed.
const PORT: Port = Port::of(8080);
/// The port of the sample members.
const MEMBER_PORT: Port = Port::of(8081);
/// How long the first probes may take.
const PROBE_WAIT: Duration = Duration::from_secs(10);

/// The sample members, which answer as long as the process lives. They start before traffic does, so that their first probe finds them.
pub(crate) struct Members {
    addresses: [IpAddr; 2],
    sockets: Vec<(IpAddr, std::net::TcpListener)>,
    accepting: Vec<AbortHandle>,
}

impl Members {
    /// Serves them on two addresses near the end of the subnet, where automatic VIPs come last. The addresses must be this machine's
    /// without configuration. Sockets that a process before this one listened on are used again.
    pub(crate) async fn serve(subnet: &IpNet, mut inherited: Vec<(IpAddr, OwnedFd)>) -> anyhow::Result<Self> {
        let IpAddr::V4(broadcast) = subnet.broadcast() else {
            bail!("--demo needs an IPv4 subnet first in the configuration; there is {subnet}");
        };
        if !broadcast.is_loopback() || subnet.prefix_len() > 28 {
            bail!("--demo needs a first subnet of /28 or larger inside 127.0.0.0/8; it is {subnet}");
        }
        let addresses = [3, 2].map(|before| Ipv4Addr::from_bits(broadcast.to_bits() - before).into());
        let (mut sockets, mut accepting) = (Vec::new(), Vec::new());
        for (at, address) in addresses.into_iter().enumerate() {
            let place = inherited.iter().position(|(inherited, _)| *inherited == address);
            let socket = match place.map(|place| inherited.swap_remove(place).1) {
                Some(socket) => std::net::TcpListener::from(socket),
                None => listen(address).await?,
            };
            sockets.push((address, socket.try_clone()?));
            accepting.push(serve_member(socket, at + 1)?);
        }
        Ok(Self { addresses, sockets, accepting })
    }

    /// Other descriptors of the sockets, for a process that takes over.
    pub(crate) fn lend(&self) -> io::Result<Vec<(IpAddr, OwnedFd)>> {
        self.sockets.iter().map(|(address, socket)| Ok((*address, socket.try_clone()?.into()))).collect()
    }

    /// Accepts no more; another process does.
    pub(crate) fn leave(&self) {
        self.accepting.iter().for_each(AbortHandle::abort);
    }

    /// Makes the load balancer before them, as far as it is missing, and answers the command line that shows it.
    pub(crate) async fn balance(
        &self,
        control: &Control,
        caller: &Caller,
        subnet: SubnetId,
        zone: &str,
        facts: &watch::Receiver<Arc<Facts>>,
    ) -> anyhow::Result<String> {
        let load_balancer = load_balancer(control, caller, subnet, zone).await?;
        let listener = listener(control, caller, &load_balancer).await?;
        let pool = pool(control, caller, &load_balancer, &listener).await?;
        for (at, address) in self.addresses.iter().enumerate() {
            member(control, caller, &pool, subnet, *address, at + 1).await?;
        }
        first_verdicts(control, caller, TargetId { listener: listener.id, pool: pool.id }, facts).await;
        let Some(vip) = load_balancer.vips().next() else {
            bail!(
                "the demo load balancer has lost its address; give it one again, or delete it and start anew"
            );
        };
        Ok(format!("curl http://{}/", SocketAddr::new(vip, listener.ports.first().value())))
    }
}

/// Waits, for a while, until the members were probed: before that nobody would answer the line that is printed.
async fn first_verdicts(
    control: &Control,
    caller: &Caller,
    target: TargetId,
    facts: &watch::Receiver<Arc<Facts>>,
) {
    let snapshot = control.view(caller).snapshot;
    let members: Vec<_> = snapshot.members_of(target.pool).map(|member| member.id).collect();
    let mut facts = facts.clone();
    let probed = facts.wait_for(|facts| members.iter().all(|id| facts.health.contains_key(&(target, *id))));
    if tokio::time::timeout(PROBE_WAIT, probed).await.is_err() {
        tracing::warn!("the sample members are not probed yet");
    }
}

async fn listen(address: IpAddr) -> anyhow::Result<std::net::TcpListener> {
    let at = SocketAddr::new(address, MEMBER_PORT.value());
    let listener = TcpListener::bind(at).await.with_context(|| {
        format!("the sample member cannot listen on {at}; is another demo running? leave --demo out")
    })?;
    Ok(listener.into_std()?)
}

fn serve_member(socket: std::net::TcpListener, number: usize) -> anyhow::Result<AbortHandle> {
    let listener = TcpListener::from_std(socket)?;
    let app = Router::new().fallback(move || async move { format!("Hello from sample member {number}\n") });
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(serving.abort_handle())
}

async fn load_balancer(
    control: &Control,
    caller: &Caller,
    subnet: SubnetId,
    zone: &str,
) -> anyhow::Result<Arc<LoadBalancer>> {
    let view = control.view(caller);
    let mut ours = view.snapshot.load_balancers().values().filter(|found| found.project == caller.project);
    if let Some(found) = ours.find(|found| found.name.as_str() == NAME) {
        return Ok(found.clone());
    }
    let new = NewLoadBalancer {
        name: name(NAME)?,
        description: Description::try_from("made by fulcrum up --demo")?,
        admin_up: true,
        network: None,
        vip_subnet: Some(subnet),
        vip_address: None,
        vip_v6_subnet: None,
        vip_v6_address: None,
        zones: vec![zone.to_owned()],
        l4_flavor: None,
        l7_flavor: None,
        bits_per_second_max: 0,
        member_subnets: Vec::new(),
        ip_targets: false,
        deletion_protection: false,
        protection: Protection::None,
        waf_failure: WafFailure::Forward,
        enterprise_project: None,
        tags: Vec::new(),
    };
    Ok(control::load_balancer_create(control, caller, new).await?)
}

async fn listener(
    control: &Control,
    caller: &Caller,
    load_balancer: &LoadBalancer,
) -> anyhow::Result<Arc<Listener>> {
    let view = control.view(caller);
    if let Some(found) =
        view.snapshot.listeners_of(load_balancer.id).find(|found| found.name.as_str() == NAME)
    {
        return Ok(found.clone());
    }
    let service = Service::Http(HttpService {
        request_timeout: HttpService::EXCHANGE_TIMEOUT_DEFAULT,
        response_timeout: HttpService::EXCHANGE_TIMEOUT_DEFAULT,
        member_retry: true,
        insert_headers: InsertHeaders::default(),
        gzip: false,
        http2: false,
        enhanced_policies: false,
        desync: DesyncMode::default(),
    });
    let new = NewListener {
        load_balancer: load_balancer.id,
        name: name(NAME)?,
        description: Description::default(),
        admin_up: true,
        ports: Ports::One(PORT),
        service,
        default_pool: None,
        target: TargetOverride::default(),
        idle_timeout: IdleTimeout::of(60),
        connect_timeout: ConnectTimeout::of(5),
        transparent_client_ip: true,
        connections_max: 0,
        connections_per_second_max: 0,
        bits_per_second_max: 0,
        proxy_accept: None,
        access: None,
        protection: Protection::None,
        tags: Vec::new(),
    };
    Ok(control::listener_create(control, caller, new).await?)
}

async fn pool(
    control: &Control,
    caller: &Caller,
    load_balancer: &LoadBalancer,
    listener: &Listener,
) -> anyhow::Result<Arc<Pool>> {
    let view = control.view(caller);
    if let Some(found) = listener.default_pool.and_then(|id| view.snapshot.pool(id)) {
        return Ok(found.clone());
    }
    let new = NewPool {
        name: name(NAME)?,
        description: Description::default(),
        admin_up: true,
        protocol: PoolProtocol::Http,
        algorithm: Algorithm::RoundRobin,
        stickiness: None,
        ip_version: IpVersion::V4,
        slow_start: None,
        member_deletion_protection: false,
        network: None,
        kind: PoolKind::Any,
        any_port: false,
        drain: None,
        all_down_forward: false,
        member_tls: None,
        member_proxy_protocol: None,
        quic_cid_hash: None,
        outlier_detection: None,
        load_balancer: Some(load_balancer.id),
        listener: Some(listener.id),
        protection: Protection::None,
        enterprise_project: None,
    };
    let pool = control::pool_create(control, caller, new).await?;
    let probe = ProbeSettings {
        kind: MonitorType::Http,
        interval: ProbeInterval::of(5),
        timeout: ProbeTimeout::of(3),
        rise: ProbeThreshold::of(2),
        fall: ProbeThreshold::of(3),
        port: None,
        datagram: None,
        http: HttpProbe {
            method: ProbeMethod::Get,
            path: ProbePath::root(),
            host: None,
            expected: ExpectedStatuses::ok(),
        },
    };
    let new = NewHealthMonitor { pool: pool.id, name: name(NAME)?, admin_up: true, probe };
    control::health_monitor_create(control, caller, new).await?;
    Ok(pool)
}

async fn member(
    control: &Control,
    caller: &Caller,
    pool: &Pool,
    subnet: SubnetId,
    address: IpAddr,
    number: usize,
) -> anyhow::Result<()> {
    let view = control.view(caller);
    let is_there = |found: &Arc<model::Member>| found.address == address && found.port == Some(MEMBER_PORT);
    if view.snapshot.members_of(pool.id).any(is_there) {
        return Ok(());
    }
    let new = NewMember {
        name: name(&format!("{NAME}-{number}"))?,
        address,
        port: Some(MEMBER_PORT),
        weight: Weight::of(1),
        subnet: Some(subnet),
        zone: None,
        admin_up: true,
    };
    control::member_create(control, caller, pool.id, new).await?;
    Ok(())
}

fn name(text: &str) -> anyhow::Result<Name> {
    Ok(Name::try_from(text)?)
}
