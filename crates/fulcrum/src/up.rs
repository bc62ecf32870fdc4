//! `fulcrum up`: everything in one process.
//!
//! The order is the promise "traffic does not depend on the control plane": data directory, API port, data plane with the last good
//! plan; only then the store, the account, the API. While the store cannot be opened, traffic flows and the API answers 503.

mod account;
mod site;
mod store;

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use control::{Control, bootstrap};
use dataplane::Dataplane;
use gateway::{Gateway, Operations, Parts};
use identity::token::TokenKey;
use model::{Facts, Snapshot, Timestamp};
use node::Node;
use telemetry::AccessLogs;
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
};

use crate::{
    cli,
    config::Config,
    data_dir::DataDir,
    demo, logging, say,
    signals::{Signals, Stop},
};

/// Threads of everything but traffic.
const CONTROL_THREADS: usize = 2;
/// How long the start waits for the node to run on what the store holds.
const APPLY_WAIT: Duration = Duration::from_secs(30);
/// How often old entries of the feed are removed.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

/// Runs until a signal ends it.
pub(crate) fn up(options: &cli::Up) -> anyhow::Result<()> {
    let overrides = cli::overrides(options.data.clone(), options.listen.clone());
    let config = Config::load(options.file.config.as_deref(), &overrides)?;
    logging::start(&config.log);
    let data = DataDir::open(&config.data)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(CONTROL_THREADS).thread_name("control").enable_all().build()?;
    let done = runtime.block_on(run(&config, options.demo));
    // Whatever still runs was given its time.
    runtime.shutdown_timeout(Duration::from_millis(100));
    drop(data);
    done
}

async fn run(config: &Config, demo: bool) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("signals cannot be received")?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("the API cannot listen on {}; is another program there?", config.listen))?;
    let address = listener.local_addr()?;
    let sample = match (demo, config.networks.first().and_then(|network| network.subnets.first())) {
        (true, Some(subnet)) => Some(demo::Members::serve(&subnet.cidr).await?),
        (true, None) | (false, _) => None,
    };
    let traffic = Traffic::start(config).await?;
    let replica = Arc::new(OnceLock::new());
    let gateway = Gateway::new(operations(&traffic, replica.clone()));
    let limits = gateway::Limits {
        connections: config.api.connections_max,
        head_timeout: config.api.head_timeout,
        ..gateway::Limits::default()
    };
    let (stop_api, stopped) = oneshot::channel::<()>();
    let api =
        tokio::spawn(gateway::serve(listener, gateway.clone(), limits, async move { drop(stopped.await) }));
    let control_plane = async {
        start_control_plane(config, address, &traffic, &replica, &gateway, sample).await?;
        std::future::pending::<anyhow::Result<()>>().await
    };
    let stop = tokio::select! {
        stop = signals.next() => stop,
        failed = control_plane => return failed,
    };
    let limit = match stop {
        Stop::Drain => config.dataplane.drain,
        Stop::Hurry => Stop::HURRY,
    };
    tracing::info!(?stop, ?limit, "ending");
    let _ = stop_api.send(());
    let ended = async { tokio::join!(traffic.dataplane.drain(limit), tokio::time::timeout(limit, api)) };
    tokio::select! {
        _ = ended => {}
        _ = signals.next() => tracing::warn!("a second signal: ending at once"),
    }
    traffic.node.save().await;
    let access_logs = traffic.access_logs.clone();
    tokio::task::spawn_blocking(move || access_logs.sync()).await.context("the access log's writer")?;
    Ok(())
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
    async fn start(config: &Config) -> anyhow::Result<Self> {
        let registry = telemetry::Registry::default();
        let access_logs = AccessLogs::start(config.data.join("logs"), config.access_log)
            .context("the access log's writer cannot start")?;
        let key = store::master_key(config)?;
        let settings = dataplane::Config {
            workers: config.dataplane.workers,
            sticky_key: dataplane::StickyKey::new(key.derive("sticky cookies")),
            ocsp_stapling: config.ocsp_stapling,
            access_logs: access_logs.clone(),
            ..dataplane::Config::default()
        };
        let dataplane =
            dataplane::start(settings, registry.clone(), now).context("the data plane cannot start")?;
        let node = node::Config { last_good: config.data.clone(), key: key.clone(), now };
        let (node, facts) = node::start(node, dataplane.clone()).await;
        Ok(Self { registry, dataplane, node, facts, key, access_logs })
    }
}

async fn start_control_plane(
    config: &Config,
    address: SocketAddr,
    traffic: &Traffic,
    shown: &OnceLock<::store::Replica>,
    gateway: &Gateway,
    sample: Option<demo::Members>,
) -> anyhow::Result<()> {
    let opened = store::open(config, &traffic.key, traffic.node.restored().is_some()).await?;
    let replica = &opened.replica;
    let _ = shown.set(replica.clone());
    traffic.node.follow(replica.clone());
    let control =
        Control::new(opened.store.clone(), replica.clone(), traffic.facts.clone(), site::site(config));
    let (account, credentials) = account::first(config, address, &replica.now())?;
    let wanted = site::wanted(config, account, &replica.now())?;
    bootstrap::ensure(&control, &wanted)
        .await
        .context("the first account and the networks cannot be made")?;
    for difference in site::differences(config, &replica.now()) {
        tracing::warn!("the configuration says otherwise, but {difference}");
    }
    tokio::spawn(prune(opened.store, config.store.keep_revisions));
    let options = dialect_huawei::Options { strict_fields: config.api.strict_fields };
    gateway.open(Parts {
        snapshots: replica.watch(),
        token_key: TokenKey::new(traffic.key.derive("token")),
        region: config.region.to_string(),
        huawei: dialect_huawei::router(control.clone(), options),
    });
    wait_applied(&traffic.facts, &replica.now()).await;
    say(&format!("fulcrum: ready {}", credentials.endpoint))?;
    if let (Some(sample), Some(zone)) = (sample, config.zones.first()) {
        let (subnet, caller) = (credentials.subnet_id.parse()?, wanted.account.caller("demo"));
        let line = sample.balance(&control, &caller, subnet, zone, &traffic.facts).await;
        let line = line.context("the demo cannot be set up")?;
        say(&format!("fulcrum: demo   {line}"))?;
    }
    Ok(())
}

/// Ready means that traffic runs on what the store holds. A node that does not get there is told, and readiness stays false
/// (`/readyz`), but the API helps to mend it.
async fn wait_applied(facts: &watch::Receiver<Arc<Facts>>, snapshot: &Snapshot) {
    let mut facts = facts.clone();
    let applied = facts.wait_for(|facts| facts.applied >= snapshot.revision);
    if tokio::time::timeout(APPLY_WAIT, applied).await.is_err() {
        tracing::error!(revision = %snapshot.revision, "traffic does not run on the newest revision yet");
    }
}

async fn prune(store: ::store::Store, keep: u64) {
    let mut turns = tokio::time::interval(PRUNE_EVERY);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        if let Err(error) = store.prune(keep).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "old entries of the change feed stay for now"
            );
        }
    }
}

fn operations(traffic: &Traffic, shown: Arc<OnceLock<::store::Replica>>) -> Operations {
    let (facts, registry) = (traffic.facts.clone(), traffic.registry.clone());
    let access_logs = traffic.access_logs.clone();
    let (facts_too, shown_too) = (facts.clone(), shown.clone());
    let ready = move || {
        let wanted = shown_too.get().map_or(model::Revision::default(), |replica| replica.now().revision);
        let applied = facts_too.borrow().applied;
        if applied >= wanted {
            Ok(())
        } else {
            Err(format!("traffic runs on revision {applied}, the newest is {wanted}"))
        }
    };
    let metrics = move || {
        let snapshot = shown.get().map_or_else(|| Arc::new(Snapshot::default()), ::store::Replica::now);
        let facts = facts.borrow().clone();
        telemetry::render_openmetrics(&registry, &access_logs, &snapshot, &facts)
    };
    Operations { ready: Box::new(ready), metrics: Box::new(metrics) }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(since.as_millis().try_into().unwrap_or(i64::MAX))
}
