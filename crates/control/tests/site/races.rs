//! Commands of two control planes that race keep the rules.

use std::{collections::HashSet, future::Future, sync::Arc};

use control::{Control, Error};
use model::{ListenerId, MemberPatch, Port};
use tokio::{sync::watch, task::JoinSet};

use crate::{Fixture, admin, new, open};

/// Commands per control plane.
const EACH: usize = 8;

/// The fixture's control plane, and another with a replica of its own on the same database.
async fn two() -> (Fixture, [Control; 2]) {
    let site = Fixture::new().await;
    let (_, facts) = watch::channel(Arc::default());
    let (other, _) = open(&site.dir, facts).await;
    let both = [site.control.clone(), other];
    (site, both)
}

/// Runs a command many times on both at once.
async fn race<T: Send + 'static, F>(
    both: &[Control; 2],
    command: impl Fn(Control, usize) -> F,
) -> Vec<Result<T, Error>>
where
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let mut racing = JoinSet::new();
    for number in 0..EACH {
        for (which, control) in both.iter().enumerate() {
            racing.spawn(command(control.clone(), 2 * number + which));
        }
    }
    racing.join_all().await
}

fn codes<T>(outcomes: &[Result<T, Error>]) -> HashSet<&'static str> {
    outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).map(Error::code).collect()
}

fn won<T>(outcomes: &[Result<T, Error>]) -> usize {
    outcomes.iter().filter(|outcome| outcome.is_ok()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_load_balancer_gets_an_address_of_its_own() {
    let (site, both) = two().await;
    let before = site.revision();
    let made = race(&both, |control, _| async move {
        control::load_balancer_create(&control, &admin(), new::load_balancer()).await
    })
    .await;
    let addresses: HashSet<_> = made.iter().map(|made| made.as_ref().unwrap().vip.unwrap().address).collect();
    assert_eq!(addresses.len(), 2 * EACH);
    let stored = site.control.store().snapshot().await.unwrap();
    assert_eq!(stored.revision.0, before.0 + 2 * EACH as u64, "one command, one revision");
    assert_eq!(stored.load_balancers().len(), 2 * EACH);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wanted_address_a_port_and_a_member_have_one_winner() {
    let (site, both) = two().await;
    let wanted = race(&both, |control, _| async move {
        let new =
            model::NewLoadBalancer { vip_address: Some([127, 88, 0, 77].into()), ..new::load_balancer() };
        control::load_balancer_create(&control, &admin(), new).await
    })
    .await;
    assert_eq!((won(&wanted), codes(&wanted)), (1, HashSet::from(["address_taken"])));
    let lb = wanted.into_iter().find_map(Result::ok).unwrap().id;

    let listeners = race(&both, move |control, _| async move {
        control::listener_create(&control, &admin(), new::listener(lb, 80)).await
    })
    .await;
    assert_eq!((won(&listeners), codes(&listeners)), (1, HashSet::from(["port_taken"])));
    let holder = listeners.iter().find_map(|made| made.as_ref().ok()).unwrap().id;
    let told: HashSet<ListenerId> = listeners
        .iter()
        .filter_map(|outcome| match outcome {
            Err(Error::PortTaken { holder, .. }) => Some(*holder),
            _ => None,
        })
        .collect();
    assert_eq!(told, HashSet::from([holder]), "the losers hear who has it");

    let pool = control::pool_create(&both[1], &admin(), new::pool(lb)).await.unwrap().id;
    let members = race(&both, move |control, _| async move {
        control::member_create(&control, &admin(), pool, new::member(1)).await
    })
    .await;
    assert_eq!((won(&members), codes(&members)), (1, HashSet::from(["member_exists"])));
    assert_eq!(site.control.store().snapshot().await.unwrap().members().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_knows_at_once_what_the_other_did() {
    let (site, [here, there]) = two().await;
    let lb = site.load_balancer().await;
    let vip = lb.vip.unwrap().address;
    let listener = control::listener_create(&there, &admin(), new::listener(lb.id, 80)).await.unwrap();
    control::listener_delete(&here, &admin(), listener.id).await.unwrap();
    control::listener_create(&there, &admin(), new::listener(lb.id, 80)).await.unwrap();

    let pool = site.pool(&lb).await.id;
    let member = control::member_create(&here, &admin(), pool, new::member(1)).await.unwrap();
    let moved = MemberPatch { port: Some(Port::of(81)), ..MemberPatch::default() };
    control::member_update(&there, &admin(), pool, member.id, moved).await.unwrap();
    control::member_create(&here, &admin(), pool, new::member(1)).await.unwrap();

    let all = control::Cascade { pools: control::CascadePools::Delete };
    control::load_balancer_delete_cascade(&there, &admin(), lb.id, all).await.unwrap();
    let again = model::NewLoadBalancer { vip_address: Some(vip), ..new::load_balancer() };
    control::load_balancer_create(&here, &admin(), again).await.unwrap();
    let stored = site.control.store().snapshot().await.unwrap();
    assert_eq!((stored.load_balancers().len(), stored.listeners().len(), stored.members().len()), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_is_not_overrun_by_racing() {
    let (site, both) = two().await;
    control::quota_update(&site.control, &admin(), vec![(model::QuotaKey::Loadbalancer, 5)]).await.unwrap();
    let made = race(&both, |control, _| async move {
        control::load_balancer_create(&control, &admin(), new::load_balancer()).await
    })
    .await;
    assert_eq!((won(&made), codes(&made)), (5, HashSet::from(["quota_exceeded"])));
    assert_eq!(site.control.store().snapshot().await.unwrap().load_balancers().len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_priority_and_an_access_log_have_one_winner() {
    let (site, both) = two().await;
    let lb = site.load_balancer().await.id;
    let listener = control::listener_create(&both[1], &admin(), new::web(lb, 80)).await.unwrap().id;
    let pool = control::pool_create(&both[0], &admin(), new::web_pool(lb)).await.unwrap().id;
    let wanted = race(&both, move |control, number| async move {
        let new = model::NewPolicy {
            priority: Some(model::Priority::of(7)),
            ..new::policy(listener, pool, &format!("/{number}"))
        };
        control::policy_create(&control, &admin(), new).await
    })
    .await;
    assert_eq!((won(&wanted), codes(&wanted)), (1, HashSet::from(["priority_taken"])));
    let next = race(&both, move |control, number| async move {
        control::policy_create(&control, &admin(), new::policy(listener, pool, &format!("/next/{number}")))
            .await
    })
    .await;
    let priorities: HashSet<_> = next.iter().map(|made| made.as_ref().unwrap().priority).collect();
    assert_eq!(priorities.len(), 2 * EACH, "each gets the next one");

    let logs = race(&both, move |control, _| async move {
        control::access_log_create(&control, &admin(), new::access_log(lb)).await
    })
    .await;
    assert_eq!((won(&logs), codes(&logs)), (1, HashSet::from(["in_use"])));
    assert_eq!(site.control.store().snapshot().await.unwrap().access_logs().len(), 1);
}
