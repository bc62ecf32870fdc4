//! The whole crate on a real store: SQLite in a directory of its own, and a node that the test plays by hand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail there")]

mod first_start;
mod new;
mod races;
mod statuses;
mod verbs;
mod waiting;

use std::{net::IpAddr, sync::Arc};

use control::{
    Control, Site,
    bootstrap::{self, Account, SiteNetwork, SiteSubnet, Wanted},
};
use identity::{Caller, Origin};
use model::{
    Domain, DomainId, Facts, LoadBalancer, Name, Pool, ProjectId, Revision, Role, Secret, SubnetId, UserId,
    Zone,
};
use store::{Location, MasterKey, Replica, Store};
use tempfile::TempDir;
use tokio::sync::watch;
use uuid::Uuid;

/// A control plane with a store of its own and the default account and network.
struct Fixture {
    control: Control,
    replica: Replica,
    dir: TempDir,
}

impl Fixture {
    /// Without a node: commands answer after their commit.
    async fn new() -> Self {
        let (_, facts) = watch::channel(Arc::default());
        Self::with(facts).await
    }

    /// With a node whose reports the caller sends.
    async fn with(facts: watch::Receiver<Arc<Facts>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (control, replica) = open(&dir, facts).await;
        bootstrap::ensure(&control, &wanted()).await.unwrap();
        Self { control, replica, dir }
    }

    fn revision(&self) -> Revision {
        self.control.snapshot().revision
    }

    async fn load_balancer(&self) -> Arc<LoadBalancer> {
        control::load_balancer_create(&self.control, &admin(), new::load_balancer()).await.unwrap()
    }

    /// A TCP pool made for a load balancer.
    async fn pool(&self, lb: &LoadBalancer) -> Arc<Pool> {
        control::pool_create(&self.control, &admin(), new::pool(lb.id)).await.unwrap()
    }
}

/// One more control plane on the same database.
async fn open(dir: &TempDir, facts: watch::Receiver<Arc<Facts>>) -> (Control, Replica) {
    let location = Location::Sqlite(dir.path().join("site.db"));
    let store = Store::open(&location, &MasterKey::new([7; 32])).await.unwrap();
    let replica = Replica::start(store.clone()).await.unwrap();
    let site = Site {
        region: "local".to_owned(),
        zones: vec![Zone { code: "local-1a".to_owned() }],
        ..Site::default()
    };
    (Control::new(store, replica.clone(), facts, site), replica)
}

fn name(text: &str) -> Name {
    text.try_into().unwrap()
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn project() -> ProjectId {
    ProjectId::new(id(1))
}

fn domain() -> Domain {
    Domain { id: DomainId::new(id(2)), name: name("default") }
}

fn admin() -> Caller {
    caller(Role::Admin, "request")
}

fn caller(role: Role, request_id: &str) -> Caller {
    Caller {
        user: UserId::new(id(3)),
        user_name: "ada".to_owned(),
        domain: domain(),
        project: project(),
        role,
        origin: Origin {
            request_id: request_id.to_owned(),
            source_ip: Some([127, 0, 0, 1].into()),
            api_version: "v3",
        },
    }
}

/// What the first start makes.
fn wanted() -> Wanted {
    Wanted {
        account: Account {
            domain: domain(),
            project: project(),
            project_name: name("local"),
            user: UserId::new(id(3)),
            user_name: name("ada"),
            password_hash: "$argon2id$none".to_owned(),
            access_key: "AK1".parse().unwrap(),
            secret_key: Secret::new("SK1"),
        },
        users: Vec::new(),
        networks: vec![SiteNetwork {
            name: name("default"),
            cidr: "127.88.0.0/16".parse().unwrap(),
            subnets: vec![site_subnet("main", "127.88.0.0/17")],
        }],
    }
}

fn site_subnet(called: &str, cidr: &str) -> SiteSubnet {
    let cidr: ipnet::IpNet = cidr.parse().unwrap();
    SiteSubnet { name: name(called), cidr, gateway: cidr.hosts().next().unwrap(), public: false }
}

fn subnet() -> SubnetId {
    bootstrap::subnet_id(&name("default"), &name("main"))
}

/// An address of a member, outside those that VIPs are given from first.
fn server(last: u8) -> IpAddr {
    [127, 88, 100, last].into()
}
