//! An answer means: durable, visible, and running on the local node.

use std::{future::Future, sync::Arc, time::Duration};

use control::Control;
use model::{Facts, LoadBalancer, Revision};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::{Fixture, admin, new};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_is_visible_to_the_next_read_and_in_the_store() {
    let site = Fixture::new().await;
    let made = site.load_balancer().await;
    assert_eq!(*site.control.view(&admin()).load_balancer(made.id).unwrap(), made);
    let stored = site.control.store().snapshot().await.unwrap();
    assert_eq!(stored.load_balancer(made.id), Some(&made), "durable too");
    control::load_balancer_delete(&site.control, &admin(), made.id).await.unwrap();
    let gone = site.control.view(&admin()).load_balancer(made.id).unwrap_err();
    assert_eq!(gone.code(), "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_waits_until_the_node_reports_that_revision() {
    let (node, facts) = watch::channel(Arc::default());
    let site = Fixture::with(facts).await;
    let (before, next) = (site.revision(), site.revision().next());
    let mut answer = creation(&site.control);
    in_time(site.replica.at_least(next)).await;
    for (why, reported) in [("nothing reported since", None), ("the revision before", Some(before))] {
        reported.map(|revision| node.send_replace(facts_at(revision)));
        assert!(unanswered(&mut answer).await, "{why}");
    }
    node.send_replace(facts_at(next));
    in_time(answer).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_wait_for_the_node_do_not_hold_others_up() {
    let (node, facts) = watch::channel(Arc::default());
    let site = Fixture::with(facts).await;
    let both = Revision(site.revision().0 + 2);
    let (mut first, mut second) = (creation(&site.control), creation(&site.control));
    in_time(site.replica.at_least(both)).await;
    assert!(unanswered(&mut first).await && unanswered(&mut second).await);
    // One report may cover several commands.
    node.send_replace(facts_at(both));
    in_time(first).await.unwrap();
    in_time(second).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_command_answers_at_once_and_changes_nothing() {
    let (_node, facts) = watch::channel(Arc::default());
    let site = Fixture::with(facts).await;
    let before = site.revision();
    let nowhere = model::NewLoadBalancer { zones: vec!["nowhere".to_owned()], ..new::load_balancer() };
    let refused = in_time(control::load_balancer_create(&site.control, &admin(), nowhere)).await.unwrap_err();
    assert_eq!((refused.code(), site.revision()), ("invalid", before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_gone_does_not_hold_answers_back() {
    let (node, facts) = watch::channel(Arc::default());
    let site = Fixture::with(facts).await;
    let mut answer = creation(&site.control);
    in_time(site.replica.at_least(site.revision().next())).await;
    assert!(unanswered(&mut answer).await);
    drop(node);
    in_time(answer).await.unwrap();
}

fn creation(control: &Control) -> JoinHandle<Arc<LoadBalancer>> {
    let control = control.clone();
    tokio::spawn(async move {
        control::load_balancer_create(&control, &admin(), new::load_balancer()).await.unwrap()
    })
}

fn facts_at(applied: Revision) -> Arc<Facts> {
    Arc::new(Facts { applied, ..Facts::default() })
}

/// Whether no answer comes in a while in which one would have come if nothing held it.
async fn unanswered<T>(answer: &mut JoinHandle<T>) -> bool {
    timeout(Duration::from_millis(50), answer).await.is_err()
}

/// What must come, long before the wait for a node is given up.
async fn in_time<T>(wait: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(4), wait).await.expect("it should have come long ago")
}
