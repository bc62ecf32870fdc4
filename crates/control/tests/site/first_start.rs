//! The first start and every later one.

use std::{sync::Arc, time::Duration};

use control::bootstrap::{self, SiteUser, Wanted, network_id, subnet_id, user_id};
use model::{Role, Secret};
use tokio::{sync::watch, time::timeout};

use crate::{Fixture, admin, name, new, project, site_subnet, subnet, wanted};

fn with_user(role: Role, password_hash: &str, secret: &str) -> Wanted {
    let user = SiteUser {
        name: name("grace"),
        password_hash: Some(password_hash.to_owned()),
        project: Some(name("research")),
        role,
        access_key: Some(("AK2".parse().unwrap(), Secret::new(secret))),
    };
    Wanted { users: vec![user], ..wanted() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_makes_the_account_and_the_networks_and_a_second_changes_nothing() {
    let site = Fixture::new().await;
    let made = site.control.snapshot();
    let user = made.user(admin().user).unwrap();
    assert_eq!((user.name.as_str(), user.role_in(project())), ("ada", Some(Role::Admin)));
    assert_eq!(made.project(project()).unwrap().name, name("local"), "SDKs look it up by the region's name");
    assert_eq!(made.access_key(&"AK1".parse().unwrap()).unwrap().secret, Secret::new("SK1"));
    assert_eq!(made.network(network_id(&name("default"))).unwrap().name, name("default"));
    assert_eq!(made.subnet(subnet()).unwrap().network, network_id(&name("default")));

    bootstrap::ensure(&site.control, &wanted()).await.unwrap();
    assert_eq!(site.revision(), made.revision, "nothing to do, nothing done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_account_stays_as_it_is_whatever_a_later_start_brings() {
    let site = Fixture::new().await;
    let before = site.control.snapshot();
    let mut other = wanted();
    other.account.password_hash = "$argon2id$other".to_owned();
    other.account.secret_key = Secret::new("other");
    bootstrap::ensure(&site.control, &other).await.unwrap();
    let after = site.control.snapshot();
    assert_eq!(after.user(admin().user), before.user(admin().user));
    assert_eq!(after.access_key(&"AK1".parse().unwrap()).unwrap().secret, Secret::new("SK1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_of_the_configuration_are_brought_up_to_date() {
    let site = Fixture::new().await;
    let hash = || Some("hash 1".to_owned());
    bootstrap::ensure(&site.control, &with_user(Role::Reader, "hash 1", "SK2")).await.unwrap();
    let made = site.control.snapshot();
    let user = made.user(user_id(&name("grace"))).unwrap();
    let research = user.roles[0].project;
    assert_eq!(made.project(research).unwrap().name, name("research"), "made with the user");
    assert_eq!((user.role_in(research), user.password_hash.clone()), (Some(Role::Reader), hash()));
    assert_eq!(user.role_in(project()), None);

    for (why, again, changes) in [
        ("the same", with_user(Role::Reader, "hash 1", "SK2"), false),
        ("another role", with_user(Role::Member, "hash 1", "SK2"), true),
        ("another password", with_user(Role::Member, "hash 2", "SK2"), true),
        ("not named any more", wanted(), false),
    ] {
        let before = site.revision();
        bootstrap::ensure(&site.control, &again).await.unwrap();
        assert_eq!(site.revision() != before, changes, "{why}");
    }
    let now = site.control.snapshot();
    let user = now.user(user_id(&name("grace"))).unwrap();
    assert_eq!((user.role_in(research), user.password_hash.as_deref()), (Some(Role::Member), Some("hash 2")));
    assert_eq!(now.projects().len(), 2, "the project is found again by its name");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_may_grow_at_a_later_start() {
    let site = Fixture::new().await;
    let mut grown = wanted();
    grown.networks[0].subnets.push(site_subnet("more", "127.88.200.0/24"));
    bootstrap::ensure(&site.control, &grown).await.unwrap();
    let more = subnet_id(&name("default"), &name("more"));
    let new = model::NewLoadBalancer { vip_subnet: Some(more), ..new::load_balancer() };
    let lb = control::load_balancer_create(&site.control, &admin(), new).await.unwrap();
    assert_eq!(
        lb.vip.unwrap().address,
        std::net::Ipv4Addr::new(127, 88, 200, 2),
        "the first is the gateway's"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_does_not_wait_for_a_node() {
    // The node is there and reports nothing, as before the first plan.
    let (node, facts) = watch::channel(Arc::default());
    let started = timeout(Duration::from_secs(4), Fixture::with(facts)).await;
    assert!(started.is_ok() && !node.is_closed());
}
