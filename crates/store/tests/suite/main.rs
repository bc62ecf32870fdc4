//! One suite for both databases.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail there")]

mod postgres;

use std::{collections::HashSet, future::Future, pin::Pin, sync::Arc, time::Duration};

use model::{
    AccessKey, Domain, DomainId, Kind, Network, NetworkId, Object, ObjectKey, ProjectId, Revision, Secret,
    Snapshot, Timestamp, Trace, TraceRating, UserId,
};
use store::{Batch, Claim, CommitError, Feed, Location, MasterKey, OpenError, Replica, Store, TraceFilter};
use uuid::Uuid;

/// A fresh, empty database.
struct Fresh {
    location: Location,
    _dir: Option<tempfile::TempDir>,
}

impl Fresh {
    async fn open(&self) -> Store {
        Store::open(&self.location, &key()).await.unwrap()
    }
}

type Behaviour = fn(Fresh) -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! suite {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $name() { super::run(|fresh| Box::pin(super::$name(fresh)), super::sqlite_database()); })+
        }
        mod on_postgres {
            $(#[test] fn $name() { super::run(|fresh| Box::pin(super::$name(fresh)), super::postgres_database()); })+
        }
    };
}

suite! {
    a_commit_is_there_after_reopening,
    of_two_commits_on_one_base_only_the_first_lands,
    a_claim_has_one_holder_until_it_is_released,
    a_refused_commit_leaves_nothing_behind,
    the_feed_tells_what_changed_since_and_says_when_it_forgot,
    a_replica_equals_the_store_after_many_commits,
    racing_writers_all_land_and_revisions_have_no_gap,
    secrets_are_sealed_at_rest,
    another_master_key_is_refused,
    traces_land_with_their_command,
}

fn run(behaviour: Behaviour, fresh: Fresh) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(behaviour(fresh));
}

fn sqlite_database() -> Fresh {
    let dir = tempfile::tempdir().unwrap();
    // A path that must be escaped in a URL.
    Fresh { location: Location::Sqlite(dir.path().join("with space & #.db")), _dir: Some(dir) }
}

fn postgres_database() -> Fresh {
    Fresh { location: Location::Postgres(postgres::fresh_database()), _dir: None }
}

async fn a_commit_is_there_after_reopening(fresh: Fresh) {
    let store = fresh.open().await;
    assert_eq!(store.commit(put(0, &[network(1, "a"), network(2, "b")])).await.unwrap(), Revision(1));
    assert_eq!(
        store
            .commit(Batch { deletes: vec![network(2, "b").key()], ..put(1, &[network(1, "c")]) })
            .await
            .unwrap(),
        Revision(2)
    );
    drop(store);
    let snapshot = fresh.open().await.snapshot().await.unwrap();
    assert_eq!((snapshot.revision, names(&snapshot)), (Revision(2), vec!["c".to_owned()]));
}

async fn of_two_commits_on_one_base_only_the_first_lands(fresh: Fresh) {
    let store = fresh.open().await;
    store.commit(put(0, &[network(1, "first")])).await.unwrap();
    let late = store.commit(put(0, &[network(1, "second")])).await;
    assert!(matches!(late, Err(CommitError::Stale { current: Revision(1) })), "{late:?}");
    assert_eq!(names(&store.snapshot().await.unwrap()), ["first"]);
}

async fn a_claim_has_one_holder_until_it_is_released(fresh: Fresh) {
    let store = fresh.open().await;
    let claim = |holder: &str| vec![Claim { key: "vip/s/1".into(), holder: holder.into() }];
    store.commit(Batch { claims: claim("a"), ..put(0, &[]) }).await.unwrap();
    store.commit(Batch { claims: claim("a"), ..put(1, &[]) }).await.expect("its holder may claim again");
    let taken = store.commit(Batch { claims: claim("b"), ..put(2, &[]) }).await;
    assert!(matches!(&taken, Err(CommitError::ClaimTaken { holder, .. }) if holder == "a"), "{taken:?}");
    let swap = Batch { releases: vec!["vip/s/1".into()], claims: claim("b"), ..put(2, &[]) };
    assert_eq!(store.commit(swap).await.unwrap(), Revision(3), "the refused commit took no number");
}

async fn a_refused_commit_leaves_nothing_behind(fresh: Fresh) {
    let store = fresh.open().await;
    let claim = |key: &str, holder: &str| Claim { key: key.into(), holder: holder.into() };
    store.commit(Batch { claims: vec![claim("x", "a")], ..put(0, &[network(1, "a")]) }).await.unwrap();
    let refused = Batch {
        deletes: vec![network(1, "a").key()],
        claims: vec![claim("y", "b"), claim("x", "b")],
        traces: vec![trace(7)],
        ..put(1, &[network(2, "b")])
    };
    store.commit(refused).await.unwrap_err();
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!((snapshot.revision, names(&snapshot)), (Revision(1), vec!["a".to_owned()]));
    assert!(store.traces(filter()).await.unwrap().is_empty());
    store.commit(Batch { claims: vec![claim("y", "c")], ..put(1, &[]) }).await.expect("'y' is free");
}

async fn the_feed_tells_what_changed_since_and_says_when_it_forgot(fresh: Fresh) {
    let store = fresh.open().await;
    store.commit(put(0, &[network(1, "a")])).await.unwrap();
    store.commit(put(1, &[network(2, "b")])).await.unwrap();
    store.commit(Batch { deletes: vec![network(1, "a").key()], ..put(2, &[]) }).await.unwrap();
    let Feed::Changes { changes, upto } = store.changes_after(Revision(1)).await.unwrap() else {
        panic!("too old")
    };
    let told: Vec<_> = changes.iter().map(|c| (c.revision.0, c.key.id.clone(), c.object.is_some())).collect();
    assert_eq!(upto, Revision(3));
    assert_eq!(told, [(2, network(2, "").key().id, true), (3, network(1, "").key().id, false)]);
    assert!(
        matches!(store.changes_after(Revision(3)).await.unwrap(), Feed::Changes { changes, .. } if changes.is_empty())
    );
    store.prune(1).await.unwrap();
    assert!(matches!(store.changes_after(Revision(1)).await.unwrap(), Feed::TooOld));
    assert!(
        matches!(store.changes_after(Revision(2)).await.unwrap(), Feed::Changes { changes, .. } if changes.len() == 1)
    );
}

async fn a_replica_equals_the_store_after_many_commits(fresh: Fresh) {
    let store = fresh.open().await;
    let replica = Replica::start(store.clone()).await.unwrap();
    let mut revision = Revision(0);
    let mut state = 0x9e37_79b9_u64;
    for step in 0..60 {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let id = u128::from(state >> 60);
        let object = network(id, &format!("step {step}"));
        let batch = if state & 1 == 0 {
            put(revision.0, &[object])
        } else {
            Batch { deletes: vec![object.key()], ..put(revision.0, &[]) }
        };
        revision = store.commit(batch).await.unwrap();
        if step == 30 {
            store.prune(0).await.unwrap();
        }
    }
    let copy = replica.at_least(revision).await;
    assert!(copy.objects().eq(store.snapshot().await.unwrap().objects()));
}

async fn racing_writers_all_land_and_revisions_have_no_gap(fresh: Fresh) {
    let store = fresh.open().await;
    let replica = Replica::start(store.clone()).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8_u128 {
        let (store, replica) = (store.clone(), replica.clone());
        writers.spawn(async move {
            let mut landed = Vec::new();
            for nth in 0..5_u128 {
                let mut base = replica.now().revision;
                loop {
                    match store.commit(put(base.0, &[network(writer * 100 + nth, "n")])).await {
                        Ok(revision) => break landed.push(revision.0),
                        Err(CommitError::Stale { current }) => {
                            base = replica.at_least(current).await.revision
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            landed
        });
    }
    let mut all: Vec<u64> = writers.join_all().await.into_iter().flatten().collect();
    all.sort_unstable();
    assert_eq!(all, (1..=40).collect::<Vec<_>>());
    assert_eq!(replica.at_least(Revision(40)).await.networks().len(), 40);
}

async fn secrets_are_sealed_at_rest(fresh: Fresh) {
    let store = fresh.open().await;
    let key = AccessKey {
        id: "AKTEST".parse().unwrap(),
        user: UserId::new(Uuid::from_u128(1)),
        project: project(),
        secret: Secret::new("very-secret-text"),
        enabled: true,
        created_at: Timestamp::default(),
    };
    store.commit(put(0, &[key.clone().into()])).await.unwrap();
    assert_eq!(**store.snapshot().await.unwrap().access_key(&key.id).unwrap(), key);
    match &fresh.location {
        Location::Sqlite(path) => {
            drop(store);
            for suffix in ["", "-wal"] {
                let bytes = std::fs::read(format!("{}{suffix}", path.display())).unwrap_or_default();
                assert!(
                    !bytes.windows(16).any(|part| part == b"very-secret-text"),
                    "clear text in the file{suffix}"
                );
            }
        }
        Location::Postgres(url) => assert!(!postgres::dump_objects(url).await.contains("very-secret-text")),
    }
}

async fn another_master_key_is_refused(fresh: Fresh) {
    drop(fresh.open().await);
    let refused = Store::open(&fresh.location, &MasterKey::new([9; 32])).await;
    assert!(matches!(refused.err(), Some(OpenError::WrongKey)));
}

async fn traces_land_with_their_command(fresh: Fresh) {
    let store = fresh.open().await;
    for n in 1..=3 {
        store.commit(Batch { traces: vec![trace(n)], ..put(n - 1, &[]) }).await.unwrap();
    }
    let read = store.traces(TraceFilter { limit: 2, ..filter() }).await.unwrap();
    assert_eq!(read, [trace(3), trace(2)], "newest first, no more than asked");
    store.note(&[trace(4), trace(5)]).await.unwrap();
    let read = store.traces(TraceFilter { limit: 3, ..filter() }).await.unwrap();
    assert_eq!(read, [trace(5), trace(4), trace(3)], "without a command");
    assert_eq!(store.newest().await.unwrap(), Revision(3), "which makes no revision");
}

/// PostgreSQL alone: a SQLite file belongs to one process.
#[test]
fn two_stores_on_one_database_hear_of_each_other() {
    run(|fresh| Box::pin(hear_of_each_other(fresh)), postgres_database());
}

async fn hear_of_each_other(fresh: Fresh) {
    let (one, other) = (fresh.open().await, fresh.open().await);
    let replica = Replica::start(other).await.unwrap();
    one.commit(put(0, &[network(1, "a")])).await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(20), replica.at_least(Revision(1))).await.unwrap();
    assert_eq!(names(&heard), ["a"]);
}

fn key() -> MasterKey {
    MasterKey::new([7; 32])
}

fn project() -> ProjectId {
    ProjectId::new(Uuid::from_u128(5))
}

fn filter() -> TraceFilter {
    TraceFilter { project: project(), limit: 100 }
}

fn put(based_on: u64, objects: &[Object]) -> Batch {
    Batch { based_on: Revision(based_on), puts: objects.to_vec(), ..Batch::default() }
}

fn network(id: u128, name: &str) -> Object {
    Object::Network(Arc::new(Network {
        id: NetworkId::new(Uuid::from_u128(id)),
        name: name.try_into().unwrap(),
        cidr: "127.88.0.0/16".parse().unwrap(),
        created_at: Timestamp::default(),
    }))
}

fn names(snapshot: &Snapshot) -> Vec<String> {
    assert_eq!(
        snapshot.objects().map(|o| o.key()).collect::<HashSet<ObjectKey>>().len(),
        snapshot.objects().count()
    );
    assert!(snapshot.objects().all(|object| object.kind() == Kind::Network));
    snapshot.networks().values().map(|network| network.name.to_string()).collect()
}

fn trace(n: u64) -> Trace {
    Trace {
        id: Uuid::from_u128(n.into()),
        name: "createListener".into(),
        rating: TraceRating::Normal,
        project: project(),
        user: UserId::new(Uuid::from_u128(1)),
        user_name: "admin".into(),
        domain: Domain { id: DomainId::new(Uuid::nil()), name: Default::default() },
        source_ip: "127.0.0.1".into(),
        resource_type: "listener".into(),
        resource_id: "x".into(),
        resource_name: "x".into(),
        at: Timestamp::from_millis(n as i64),
        api_version: "v3".into(),
        request_id: "r".into(),
        response: "{}".into(),
    }
}
