//! How a command runs: decide on a draft, commit, wait for the node.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    future::Future,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use identity::{Action, Caller, authorize};
use model::{
    AccessLog, AccessLogId, Certificate, CertificateId, HealthMonitor, HealthMonitorId, IpGroup, IpGroupId,
    Kind, Listener, ListenerId, LoadBalancer, LoadBalancerId, Member, MemberId, Object, ObjectKey, Policy,
    PolicyId, Pool, PoolId, QuotaKey, Revision, Rule, RuleId, SecurityPolicy, SecurityPolicyId, Snapshot,
    Timestamp, Trace, Transport,
};
use store::{Batch, Claim, CommitError};

use crate::{Control, Error, Site, audit, control::Inner, relations};

/// A command while it is decided: the state as it will be, and what leads there.
///
/// `put` and `delete` change `state` as they go, so rules always look at the state as it will be. Deciding has no other effect,
/// because a command whose base was overtaken is decided again. What lands is the difference of `state` to the base: an object
/// that is made and removed by the same command never reaches the store.
pub(crate) struct Draft<'a> {
    pub(crate) state: Snapshot,
    pub(crate) caller: &'a Caller,
    pub(crate) site: &'a Site,
    pub(crate) now: Timestamp,
    base: Snapshot,
    /// The first object of each kind that was looked for.
    met: RefCell<BTreeMap<Kind, String>>,
    touched: BTreeSet<ObjectKey>,
    claims: BTreeMap<String, String>,
    releases: BTreeSet<String>,
    traces: Vec<Trace>,
}

/// Decides and lands a command, and waits until the local node runs on it.
pub(crate) async fn command<T>(
    control: &Control,
    caller: &Caller,
    action: Action,
    decide: impl Fn(&mut Draft<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let met = Mutex::default();
    let outcome = async {
        authorize(caller, action)?;
        let noting = |draft: &mut Draft<'_>| {
            let outcome = decide(draft);
            *met.lock().unwrap_or_else(PoisonError::into_inner) = draft.met.take();
            outcome
        };
        land(control, caller, noting).await
    };
    match outcome.await {
        Ok((outcome, revision)) => {
            control.applied(revision).await;
            Ok(outcome)
        }
        Err(error) => {
            let met = met.into_inner().unwrap_or_else(PoisonError::into_inner);
            audit::refused(control, caller, action, &met, &error);
            Err(error)
        }
    }
}

/// Decides and lands a command; answers when it is durable and the replica holds it.
pub(crate) async fn land<T>(
    control: &Control,
    caller: &Caller,
    decide: impl Fn(&mut Draft<'_>) -> Result<T, Error>,
) -> Result<(T, Revision), Error> {
    let parts = control.inner();
    let _turn = parts.turn.lock().await;
    for _ in 0..TRIES {
        let base = parts.replica.now();
        let mut draft = Draft::new(&base, caller, &parts.site, now());
        let outcome = match decide(&mut draft) {
            Ok(outcome) => outcome,
            Err(_) if was_overtaken(parts, base.revision).await => continue,
            Err(refusal) => return Err(refusal),
        };
        let batch = draft.finish();
        if changes_nothing(&batch) {
            return Ok((outcome, base.revision));
        }
        match parts.store.commit(batch).await {
            Ok(revision) => {
                if !in_time(parts.replica.at_least(revision)).await {
                    tracing::warn!(%revision, "the change is durable, but reads do not show it yet");
                }
                return Ok((outcome, revision));
            }
            Err(CommitError::Stale { current }) => {
                if !in_time(parts.replica.at_least(current)).await {
                    return Err(Error::Busy);
                }
            }
            Err(CommitError::ClaimTaken { key, holder }) => return Err(taken(&key, &holder)),
            Err(CommitError::Failed(error)) => return Err(Error::Store(error)),
        }
    }
    Err(Error::Busy)
}

/// Whether another control plane changed something that a refusal did not know of, so that it has to be decided again. What is
/// not refused needs no such look: its commit fails on an old base. A database that is away overtakes nobody.
async fn was_overtaken(parts: &Inner, base: Revision) -> bool {
    match tokio::time::timeout(LOOK_WAIT, parts.store.newest()).await {
        Ok(Ok(newest)) if newest > base => in_time(parts.replica.at_least(newest)).await,
        Ok(Ok(_) | Err(_)) | Err(_) => false,
    }
}

/// Waits for something of the replica, which stands still while the database is away.
async fn in_time<T>(wait: impl Future<Output = T>) -> bool {
    tokio::time::timeout(CATCH_UP_WAIT, wait).await.is_ok()
}

fn changes_nothing(batch: &Batch) -> bool {
    let Batch { based_on: _, puts, deletes, releases, claims, traces: _ } = batch;
    puts.is_empty() && deletes.is_empty() && releases.is_empty() && claims.is_empty()
}

/// What a claim that another object holds means to the caller. The rules look at the same facts before, so it takes a state
/// that somebody changed by hand to come here.
fn taken(key: &str, holder: &str) -> Error {
    let mut parts = key.splitn(4, '/');
    let error = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("vip"), Some(_), Some(address), None) => {
            address.parse::<IpAddr>().ok().map(crate::address::taken)
        }
        (Some("port"), Some(_), Some(transport), Some(ports)) => {
            let transport =
                [Transport::Tcp, Transport::Udp].into_iter().find(|one| one.as_str() == transport);
            let first = ports.split(['-', ',']).next().and_then(|port| port.parse::<i64>().ok());
            let port = first.and_then(|port| port.try_into().ok());
            let holder = holder.parse().ok();
            transport.zip(port).zip(holder).map(|((transport, port), holder)| Error::PortTaken {
                port,
                transport,
                holder,
            })
        }
        (Some("member"), Some(_), Some(address), None) => {
            Some(Error::MemberExists { address: address.to_owned() })
        }
        (Some("priority"), Some(_), Some(priority), None) => {
            let priority = priority.parse().ok().and_then(|priority: i64| priority.try_into().ok());
            priority
                .zip(holder.parse().ok())
                .map(|(priority, holder)| Error::PriorityTaken { priority, holder })
        }
        _ => None,
    };
    error.unwrap_or_else(|| Error::Taken { what: key.to_owned(), holder: holder.to_owned() })
}

impl<'a> Draft<'a> {
    pub(crate) fn new(base: &Snapshot, caller: &'a Caller, site: &'a Site, now: Timestamp) -> Self {
        Self {
            state: base.clone(),
            caller,
            site,
            now,
            base: base.clone(),
            met: RefCell::default(),
            touched: BTreeSet::new(),
            claims: BTreeMap::new(),
            releases: BTreeSet::new(),
            traces: Vec::new(),
        }
    }

    /// What is to be committed.
    pub(crate) fn finish(self) -> Batch {
        let Self { state, base, touched, claims, releases, traces, caller: _, site: _, now: _, met: _ } =
            self;
        let mut batch = Batch { based_on: base.revision, traces, ..Batch::default() };
        for key in touched {
            match (state.object(&key), base.object(&key)) {
                (Some(after), before) if before.as_ref() != Some(&after) => batch.puts.push(after),
                (None, Some(_)) => batch.deletes.push(key),
                (Some(_), _) | (None, None) => {}
            }
        }
        batch.claims = claims.into_iter().map(|(key, holder)| Claim { key, holder }).collect();
        batch.releases = releases.into_iter().collect();
        batch
    }

    /// Adds or replaces an object.
    pub(crate) fn put(&mut self, object: impl Into<Object>) {
        let object = object.into();
        self.touched.insert(object.key());
        self.state.put(object);
    }

    /// Removes an object.
    pub(crate) fn delete(&mut self, object: Object) {
        let key = object.key();
        self.state.remove(&key);
        self.touched.insert(key);
    }

    /// Takes something of which there is only one.
    pub(crate) fn claim(&mut self, key: String, holder: impl ToString) {
        self.claims.insert(key, holder.to_string());
    }

    /// Gives a claim up, be it of the base or of this command.
    pub(crate) fn release(&mut self, key: String) {
        self.claims.remove(&key);
        self.releases.insert(key);
    }

    /// Adds an audit record.
    pub(crate) fn trace(&mut self, trace: Trace) {
        self.traces.push(trace);
    }

    /// Refuses when the project would own one more of a kind than its quota allows.
    pub(crate) fn quota_for_one_more(&self, key: QuotaKey) -> Result<(), Error> {
        self.quota(key, crate::quota::used(&self.state, self.caller.project, key) + 1)
    }

    /// Refuses when there would be more than the project's quota allows; `owned` counts the new one too.
    pub(crate) fn quota(&self, key: QuotaKey, owned: usize) -> Result<(), Error> {
        let limit = crate::quota::limit(&self.state, self.site, self.caller.project, key);
        if limit >= 0 && owned as i64 > limit { Err(Error::QuotaExceeded { key, limit }) } else { Ok(()) }
    }

    pub(crate) fn load_balancer(&self, id: LoadBalancerId) -> Result<Arc<LoadBalancer>, Error> {
        self.meet(Kind::LoadBalancer, id);
        let found = self.state.load_balancer(id).filter(|o| o.project == self.caller.project);
        found.cloned().ok_or_else(|| Error::not_found(Kind::LoadBalancer, id))
    }

    pub(crate) fn listener(&self, id: ListenerId) -> Result<Arc<Listener>, Error> {
        self.meet(Kind::Listener, id);
        let found = self.state.listener(id).filter(|o| o.project == self.caller.project);
        found.cloned().ok_or_else(|| Error::not_found(Kind::Listener, id))
    }

    pub(crate) fn pool(&self, id: PoolId) -> Result<Arc<Pool>, Error> {
        self.meet(Kind::Pool, id);
        let found = self.state.pool(id).filter(|o| o.project == self.caller.project);
        found.cloned().ok_or_else(|| Error::not_found(Kind::Pool, id))
    }

    pub(crate) fn member(&self, pool: PoolId, id: MemberId) -> Result<Arc<Member>, Error> {
        self.meet(Kind::Member, id);
        let found = self.state.member(id).filter(|o| o.project == self.caller.project && o.pool == pool);
        found.cloned().ok_or_else(|| Error::not_found(Kind::Member, id))
    }

    pub(crate) fn health_monitor(&self, id: HealthMonitorId) -> Result<Arc<HealthMonitor>, Error> {
        self.meet(Kind::HealthMonitor, id);
        let found = self.state.health_monitor(id).filter(|o| o.project == self.caller.project);
        found.cloned().ok_or_else(|| Error::not_found(Kind::HealthMonitor, id))
    }

    pub(crate) fn certificate(&self, id: CertificateId) -> Result<Arc<Certificate>, Error> {
        self.meet(Kind::Certificate, id);
        let found = self.state.certificate(id).filter(|o| o.project == self.caller.project);
        found.cloned().ok_or_else(|| Error::not_found(Kind::Certificate, id))
    }

    pub(crate) fn security_policy(&self, id: SecurityPolicyId) -> Result<Arc<SecurityPolicy>, Error> {
        self.meet(Kind::SecurityPolicy, id);
        let found = self.state.security_policy(id).filter(|o| o.project == self.caller.project);
        found.cloned().ok_or_else(|| Error::not_found(Kind::SecurityPolicy, id))
    }

    pub(crate) fn ip_group(&self, id: IpGroupId) -> Result<Arc<IpGroup>, Error> {
        self.meet(Kind::IpGroup, id);
        let found = self.state.ip_group(id).filter(|o| o.project == self.caller.project);
        found.cloned().ok_or_else(|| Error::not_found(Kind::IpGroup, id))
    }

    pub(crate) fn policy(&self, id: PolicyId) -> Result<Arc<Policy>, Error> {
        self.meet(Kind::Policy, id);
        let found = self.state.policy(id).filter(|o| o.project == self.caller.project);
        found.cloned().ok_or_else(|| Error::not_found(Kind::Policy, id))
    }

    pub(crate) fn rule(&self, policy: PolicyId, id: RuleId) -> Result<Arc<Rule>, Error> {
        self.meet(Kind::Rule, id);
        let found = self.state.rule(id).filter(|o| o.project == self.caller.project && o.policy == policy);
        found.cloned().ok_or_else(|| Error::not_found(Kind::Rule, id))
    }

    pub(crate) fn access_log(&self, id: AccessLogId) -> Result<Arc<AccessLog>, Error> {
        self.meet(Kind::AccessLog, id);
        let found = self.state.access_log(id).filter(|o| o.project == self.caller.project);
        found.cloned().ok_or_else(|| Error::not_found(Kind::AccessLog, id))
    }

    fn meet(&self, kind: Kind, id: impl ToString) {
        self.met.borrow_mut().entry(kind).or_insert_with(|| id.to_string());
    }

    /// The load balancers that a pool serves.
    pub(crate) fn load_balancers_of(&self, pool: &Pool) -> Vec<Arc<LoadBalancer>> {
        let ids = relations::load_balancers_of_pool(&self.state, pool);
        ids.into_iter().filter_map(|id| self.state.load_balancer(id).cloned()).collect()
    }
}

/// The time of now.
pub(crate) fn now() -> Timestamp {
    // A clock before 1970 is a broken machine; the epoch is as good an answer as any.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(since.as_millis() as i64)
}

/// How often a command whose base was overtaken by another process is decided again.
const TRIES: u32 = 50;
/// How long a refusal waits for the database to say whether it is of the newest state.
const LOOK_WAIT: Duration = Duration::from_secs(1);
/// How long the replica may take to show a revision that is committed.
const CATCH_UP_WAIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use model::{Name, Project};

    use super::*;
    use crate::testing::{World, caller};

    /// Runs some changes on an empty state and answers what would be committed.
    fn batch(base: &Snapshot, change: impl FnOnce(&mut Draft<'_>)) -> Batch {
        let (caller, site) = (caller(1, model::Role::Member), Site::default());
        let mut draft = Draft::new(base, &caller, &site, Timestamp::default());
        change(&mut draft);
        draft.finish()
    }

    fn project(name: &str) -> Project {
        let caller = caller(1, model::Role::Member);
        Project {
            private_key_echo: true,
            id: caller.project,
            name: Name::try_from(name).unwrap(),
            domain: caller.domain,
            description: Default::default(),
            enabled: true,
            created_at: Timestamp::default(),
        }
    }

    #[test]
    fn a_batch_is_the_difference_to_the_base() {
        let mut without = Snapshot::default();
        without.revision = Revision(7);
        let mut with = without.clone();
        with.put(project("a").into());
        let names = |batch: &Batch| (batch.puts.len(), batch.deletes.len());
        for (why, base, change, expect) in [
            ("added", &without, (|d| d.put(project("a"))) as fn(&mut Draft<'_>), (1, 0)),
            ("replaced", &with, |d| d.put(project("b")), (1, 0)),
            ("replaced twice", &with, |d| (d.put(project("b")), d.put(project("c"))).0, (1, 0)),
            ("put as it is", &with, |d| d.put(project("a")), (0, 0)),
            ("there and back", &with, |d| (d.put(project("b")), d.put(project("a"))).0, (0, 0)),
            ("removed", &with, |d| d.delete(project("a").into()), (0, 1)),
            (
                "removed, and added again",
                &with,
                |d| (d.delete(project("a").into()), d.put(project("b"))).0,
                (1, 0),
            ),
            (
                "added and removed",
                &without,
                |d| (d.put(project("a")), d.delete(project("a").into())).0,
                (0, 0),
            ),
            ("not there, removed", &without, |d| d.delete(project("a").into()), (0, 0)),
        ] {
            let batch = batch(base, change);
            assert_eq!((names(&batch), batch.based_on), (expect, Revision(7)), "{why}");
            assert_eq!(changes_nothing(&batch), expect == (0, 0), "{why}");
        }
    }

    #[test]
    fn a_claim_that_is_given_up_by_the_same_command_is_not_taken() {
        let key = || "port/x/tcp/80".to_owned();
        for (why, change, claims, releases) in [
            ("taken", (|d| d.claim("port/x/tcp/80".to_owned(), 1)) as fn(&mut Draft<'_>), 1, 0),
            ("given up", |d| d.release("port/x/tcp/80".to_owned()), 0, 1),
            (
                "taken and given up",
                |d| (d.claim("port/x/tcp/80".to_owned(), 1), d.release("port/x/tcp/80".to_owned())).0,
                0,
                1,
            ),
            (
                "given up and taken by another",
                |d| (d.release("port/x/tcp/80".to_owned()), d.claim("port/x/tcp/80".to_owned(), 2)).0,
                1,
                1,
            ),
        ] {
            let batch = batch(&Snapshot::default(), change);
            assert_eq!((batch.claims.len(), batch.releases.len()), (claims, releases), "{why}");
            assert!(batch.claims.iter().all(|claim| claim.key == key()), "{why}");
        }
    }

    #[test]
    fn a_taken_claim_is_told_in_the_callers_words() {
        let id = "0123abcd-0123-4567-89ab-0123456789ab";
        for (key, code) in [
            (format!("vip/{id}/127.88.0.2"), "address_taken"),
            (format!("vip/{id}/fd00::2"), "address_taken"),
            (format!("port/{id}/tcp/80"), "port_taken"),
            (format!("member/{id}/127.88.0.2:80"), "member_exists"),
            (format!("port/{id}/tcp/http"), "taken"),
            ("token/x".to_owned(), "taken"),
            (String::new(), "taken"),
        ] {
            assert_eq!(taken(&key, id).code(), code, "{key}");
        }
    }

    #[test]
    fn a_refused_command_leaves_the_state_as_it_was() {
        let mut world = World::new();
        let lb = world.load_balancer();
        let before = world.state.clone();
        let refused = world.run(|draft| {
            draft.delete(Object::LoadBalancer(lb.clone()));
            Err::<(), _>(Error::Busy)
        });
        assert_eq!(refused.unwrap_err().code(), "busy");
        assert!(world.state.objects().eq(before.objects()));
    }
}
