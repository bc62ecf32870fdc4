//! The data plane alone, for measuring: `proxy KIND LISTEN MEMBER [WORKERS]`, KIND one of `http`, `tcp`, `udp`, `many`.
//!
//! `many` reads `address:port,pool` lines from the file named LISTEN and gives each listener a pool of its own.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use dataplane::Config;
use model::{ListenerId, MemberId, PoolId, PoolProtocol, Revision, TargetId, Timestamp};
use plan::{HttpPlan, ListenerPlan, MemberPlan, Plan, ServicePlan, TargetPlan};
use uuid::Uuid;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, listen, member, rest @ ..] = &arguments[..] else {
        return Err("usage: proxy http|tcp|udp|many LISTEN MEMBER [WORKERS]".into());
    };
    let workers = rest.first().map_or(Ok(1), |text| text.parse())?;
    let member: SocketAddr = member.parse()?;
    let addresses: Vec<SocketAddr> = match kind.as_str() {
        "many" => std::fs::read_to_string(listen)?
            .lines()
            .filter_map(|line| line.split(',').next()?.parse().ok())
            .collect(),
        _ => vec![listen.parse()?],
    };
    let listeners =
        addresses.iter().enumerate().map(|(n, address)| listener(n as u128 + 1, kind, *address, member));
    let plan = Arc::new(Plan::of_listeners(Revision(1), listeners));
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let config = Config { workers, ..Config::default() };
        let dataplane =
            dataplane::start(config, telemetry::Registry::default(), || Timestamp::from_millis(0))?;
        let applied = dataplane.apply(plan).await;
        if let Some((_, fault)) = applied.faults.first() {
            return Err(fault.clone().into());
        }
        std::future::pending().await
    })
}

fn listener(n: u128, kind: &str, address: SocketAddr, member: SocketAddr) -> ListenerPlan {
    let id = ListenerId::new(Uuid::from_u128(n));
    let (protocol, service) = match kind {
        "tcp" => (PoolProtocol::Tcp, ServicePlan::Tcp),
        "udp" => (PoolProtocol::Udp, ServicePlan::Udp),
        _ => (PoolProtocol::Http, ServicePlan::Http(HttpPlan::by_hand())),
    };
    let member = MemberPlan::by_hand(MemberId::new(Uuid::from_u128(n)), member);
    let target_id = TargetId { listener: id, pool: PoolId::new(Uuid::from_u128(n)) };
    let target = TargetPlan::by_hand(target_id, protocol, vec![member]);
    ListenerPlan {
        idle_timeout: Duration::from_secs(300),
        ..ListenerPlan::by_hand(id, address, service, Some(target))
    }
}
