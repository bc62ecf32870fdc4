//! `fulcrum up`: everything in one process.
//!
//! The order is the promise "traffic does not depend on the control plane": data directory, API port, data plane with the last good
//! plan; only then the store, the account, the API. While the store cannot be opened, traffic flows and the API answers 503.
//!
//! A process that takes over from another goes the same way with what it inherits, but accepts nothing before all is in force
//! (`handover`).

mod account;
mod control_plane;
mod site;
mod store;
mod upgrade;

use std::{
    net::{SocketAddr, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use control_plane::ControlPlane;
use dataplane::Dataplane;
use gateway::{Gateway, Operations};
use model::{Facts, Snapshot, Timestamp};
use node::Node;
use telemetry::AccessLogs;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::Instant,
};

use crate::{
    cli,
    config::Config,
    control_socket::{self, Ask},
    data_dir::DataDir,
    demo,
    handover::{self, Heir, Inherited, Successor},
    logging, sd_notify,
    signals::{Asked, Signals, Stop},
};

/// Threads of everything but traffic.
const CONTROL_THREADS: usize = 2;
/// How long a connection of the API may bring another request, which is on its way, after another process took over.
const API_LINGER: Duration = Duration::from_secs(2);

/// Runs until a signal ends it, or another process takes over.
pub(crate) fn up(options: &cli::Up) -> anyhow::Result<()> {
    let heir = Heir::of_this_process()?;
    let done = begin(options, heir.as_ref());
    if let (Some(heir), Err(error)) = (&heir, &done) {
        heir.failed(format!("{error:#}"));
    }
    done
}

fn begin(options: &cli::Up, heir: Option<&Heir>) -> anyhow::Result<()> {
    let binary = handover::binary_of_this_process().context("the name of this program is not known")?;
    let overrides = cli::overrides(options.data.clone(), options.listen.clone());
    let config = Config::load(options.file.config.as_deref(), &overrides)?;
    logging::start(&config.log);
    let mut inherited = heir.map(Heir::take).transpose()?.unwrap_or_default();
    let data = match inherited.lock.take() {
        Some(lock) => DataDir::inherit(&config.data, lock)?,
        None => DataDir::open(&config.data)?,
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(CONTROL_THREADS).thread_name("control").enable_all().build()?;
    let done = runtime.block_on(async {
        let mut signals = Signals::new().context("signals cannot be received")?;
        let starting = Process::start(config, options.demo, data, binary, heir.map(|heir| (heir, inherited)));
        let process = match heir {
            None => starting.await?,
            // What it has is another process' until it has taken over.
            Some(_) => tokio::select! {
                process = starting => process?,
                _ = signals.next_stop() => bail!("ended by a signal before it took over"),
            },
        };
        process.run(&mut signals).await
    });
    // Whatever still runs was given its time.
    runtime.shutdown_timeout(Duration::from_millis(100));
    done
}

/// A process that serves.
struct Process {
    site: Arc<Site>,
    data: DataDir,
    /// What it was started from.
    binary: PathBuf,
    control_plane: ControlPlane,
    api: JoinHandle<()>,
    stop_api: oneshot::Sender<Duration>,
    asks: mpsc::Receiver<Ask>,
    asking: JoinHandle<()>,
}

/// What lasts as long as the process.
struct Site {
    config: Config,
    /// Where the API is served.
    address: SocketAddr,
    api_socket: TcpListener,
    control_socket: UnixListener,
    traffic: Traffic,
    gateway: Gateway,
    shown: Shown,
    sample: Option<demo::Members>,
}

impl Process {
    /// Starts, or takes over; then everything is accepted.
    async fn start(
        config: Config,
        demo: bool,
        data: DataDir,
        binary: PathBuf,
        heir: Option<(&Heir, Inherited)>,
    ) -> anyhow::Result<Self> {
        let (heir, mut inherited) = match heir {
            Some((heir, inherited)) => (Some(heir), inherited),
            None => (None, Inherited::default()),
        };
        let api_socket = api_socket(config.listen, inherited.api.take()).await?;
        let address = api_socket.local_addr()?;
        let control_socket = match inherited.control.take() {
            Some(socket) => UnixListener::from(socket),
            None => control_socket::bind(&config.data)?,
        };
        let sample = match (demo, config.networks.first().and_then(|network| network.subnets.first())) {
            (true, Some(subnet)) => {
                Some(demo::Members::serve(&subnet.cidr, std::mem::take(&mut inherited.samples)).await?)
            }
            (true, None) | (false, _) => None,
        };
        let api_was_open = inherited.api_open;
        let traffic = Traffic::start(&config, heir.map(|_| inherited)).await?;
        let shown = Shown::default();
        let gateway = Gateway::new(operations(&traffic, shown.clone()));
        let site = Site { config, address, api_socket, control_socket, traffic, gateway, shown, sample };
        let site = Arc::new(site);
        // While traffic is served from a last good plan, a store that is away is waited for; but a process that had it open keeps its
        // place if the next one cannot open it.
        let waits = site.traffic.node.restored().is_some() && !api_was_open;
        let mut control_plane = ControlPlane::open(site.clone(), waits);
        if let Some(heir) = heir {
            if api_was_open {
                control_plane.opened().await?;
            }
            heir.ready().await?;
            site.traffic.dataplane.accept().await;
        }
        let limits = gateway::Limits {
            connections: site.config.api.connections_max,
            head_timeout: site.config.api.head_timeout,
            ..gateway::Limits::default()
        };
        let (stop_api, stopped) = oneshot::channel();
        let stopped = async move { stopped.await.unwrap_or_default() };
        let listener = tokio::net::TcpListener::from_std(site.api_socket.try_clone()?)?;
        let api = tokio::spawn(gateway::serve(listener, site.gateway.clone(), limits, stopped));
        let (to, asks) = mpsc::channel(1);
        let serving = control_socket::serve(site.control_socket.try_clone()?, to);
        let asking = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the control socket failed; upgrade by SIGUSR2 instead");
            }
        });
        if let Some(heir) = heir {
            heir.serving();
        }
        if heir.is_some() || site.traffic.node.restored().is_some() {
            sd_notify::ready();
        }
        Ok(Self { site, data, binary, control_plane, api, stop_api, asks, asking })
    }

    /// Serves to the end.
    async fn run(mut self, signals: &mut Signals) -> anyhow::Result<()> {
        let stop = loop {
            let ask = tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Stop(stop) => break stop,
                    Asked::Upgrade => Ask::by_signal(),
                },
                Some(ask) = self.asks.recv() => ask,
                failed = self.control_plane.failed() => return Err(failed),
            };
            let done = tokio::select! {
                done = self.hand_over(ask.binary.as_deref()) => done,
                stop = signals.next_stop() => {
                    ask.answer(Err("it was asked to end".to_owned())).await;
                    break stop;
                }
            };
            match done {
                Ok(successor) => return self.leave(successor, ask, signals).await,
                Err(error) => {
                    let error = format!("{:#}", anyhow::Error::from(error));
                    tracing::error!(error, "not upgraded; this process serves on");
                    sd_notify::ready();
                    ask.answer(Err(error)).await;
                }
            }
        };
        self.stop(stop, signals).await
    }

    /// Ends, as nobody takes over.
    async fn stop(mut self, stop: Stop, signals: &mut Signals) -> anyhow::Result<()> {
        let traffic = &self.site.traffic;
        let limit = match stop {
            Stop::Drain => self.site.config.dataplane.drain,
            Stop::Hurry => Stop::HURRY,
        };
        tracing::info!(?stop, ?limit, "ending");
        sd_notify::stopping();
        self.asking.abort();
        let _ = self.stop_api.send(Duration::ZERO);
        let ended =
            async { tokio::join!(traffic.dataplane.drain(limit), tokio::time::timeout(limit, self.api)) };
        tokio::select! {
            _ = ended => {}
            _ = signals.next_stop() => tracing::warn!("a second signal: ending at once"),
        }
        traffic.node.rest().await;
        traffic.node.save().await;
        self.control_plane.close().await;
        traffic.write_access_logs().await
    }

    /// Ends after another process took over.
    async fn leave(self, successor: Successor, ask: Ask, signals: &mut Signals) -> anyhow::Result<()> {
        let Site { traffic, config, sample, .. } = &*self.site;
        let Successor { pid, version } = &successor;
        sd_notify::succeeded_by(*pid);
        self.asking.abort();
        if let Some(sample) = sample {
            sample.leave();
        }
        let limit = config.upgrade.drain;
        tracing::info!(pid, version, ?limit, "another process has taken over; ending what is open here");
        ask.answer(Ok(format!("upgraded to version {version}, process {pid}"))).await;
        let _ = self.stop_api.send(API_LINGER);
        let ended = async {
            tokio::join!(traffic.dataplane.drain_after_handover(limit), tokio::time::timeout(limit, self.api))
        };
        let mut ended = std::pin::pin!(ended);
        let mut stopping = None;
        loop {
            let over = async {
                match stopping {
                    Some(moment) => tokio::time::sleep_until(moment).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = &mut ended => break,
                () = over => break,
                stop = signals.next_stop() => match (stop, stopping) {
                    // The service ends: this process has no more time than the one that took over.
                    (Stop::Drain, None) => stopping = Some(Instant::now() + config.dataplane.drain),
                    (Stop::Drain, Some(_)) | (Stop::Hurry, _) => {
                        tracing::warn!("ending at once");
                        break;
                    }
                },
            }
        }
        tracing::info!("ended after the upgrade");
        traffic.write_access_logs().await
    }
}

/// The socket of the API: the inherited one, if it is where the configuration wants it.
async fn api_socket(wanted: SocketAddr, inherited: Option<OwnedFd>) -> anyhow::Result<TcpListener> {
    if let Some(socket) = inherited.map(TcpListener::from) {
        let address = socket.local_addr()?;
        if address.ip() == wanted.ip() && [0, address.port()].contains(&wanted.port()) {
            return Ok(socket);
        }
    }
    let socket = tokio::net::TcpListener::bind(wanted)
        .await
        .with_context(|| format!("the API cannot listen on {wanted}; is another program there?"))?;
    Ok(socket.into_std()?)
}

/// What serves traffic; needs no store.
struct Traffic {
    registry: telemetry::Registry,
    dataplane: Dataplane,
    node: Node,
    facts: watch::Receiver<Arc<Facts>>,
    key: ::store::MasterKey,
    access_logs: AccessLogs,
}

impl Traffic {
    /// Serves the last good plan, where there is one. With an inheritance nothing is accepted yet.
    async fn start(config: &Config, inherited: Option<Inherited>) -> anyhow::Result<Self> {
        let registry = telemetry::Registry::default();
        let access_logs = AccessLogs::start(config.data.join("logs"), config.access_log)
            .context("the access log's writer cannot start")?;
        let key = store::master_key(config)?;
        let settings = dataplane::Config {
            workers: config.dataplane.workers,
            sticky_key: dataplane::StickyKey::new(key.derive("sticky cookies")),
            ocsp_stapling: config.ocsp_stapling,
            transparent_client_address: config.dataplane.transparent_client_address,
            access_logs: access_logs.clone(),
            ..dataplane::Config::default()
        };
        let (dataplane, health) = match inherited {
            None => (dataplane::start(settings, registry.clone(), now), Vec::new()),
            Some(mut inherited) => {
                let inheritance = inherited.traffic();
                (dataplane::take_over(settings, registry.clone(), now, inheritance), inherited.health)
            }
        };
        let dataplane = dataplane.context("the data plane cannot start")?;
        let node = node::Config { last_good: config.data.clone(), key: key.clone(), now, health };
        let (node, facts) = node::start(node, dataplane.clone()).await;
        Ok(Self { registry, dataplane, node, facts, key, access_logs })
    }

    /// For an end at which nothing is lost.
    async fn write_access_logs(&self) -> anyhow::Result<()> {
        let access_logs = self.access_logs.clone();
        tokio::task::spawn_blocking(move || access_logs.sync()).await.context("the access log's writer")
    }
}

/// The replica that readiness and metrics look at, once there is one.
#[derive(Clone, Default)]
struct Shown(Arc<RwLock<Option<::store::Replica>>>);

impl Shown {
    fn set(&self, replica: ::store::Replica) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(replica);
    }

    fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(::store::Replica::now)
    }
}

fn operations(traffic: &Traffic, shown: Shown) -> Operations {
    let (facts, registry) = (traffic.facts.clone(), traffic.registry.clone());
    let access_logs = traffic.access_logs.clone();
    let (facts_too, shown_too) = (facts.clone(), shown.clone());
    let ready = move || {
        let wanted = shown_too.snapshot().map_or(model::Revision::default(), |snapshot| snapshot.revision);
        let applied = facts_too.borrow().applied;
        if applied >= wanted {
            Ok(())
        } else {
            Err(format!("traffic runs on revision {applied}, the newest is {wanted}"))
        }
    };
    let metrics = move || {
        let snapshot = shown.snapshot().unwrap_or_default();
        let facts = facts.borrow().clone();
        telemetry::render_openmetrics(&registry, &access_logs, &snapshot, &facts)
    };
    Operations { ready: Box::new(ready), metrics: Box::new(metrics) }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(since.as_millis().try_into().unwrap_or(i64::MAX))
}
