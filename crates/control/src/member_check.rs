//! The verbs of checks on demand (huawei/v3.json, CreateMemberHealthCheckJob).
//!
//! A check looks at what is configured first, then has the local node probe the member once. It is not a command: nothing is changed,
//! nothing is stored. This process remembers the newest [`CHECKS_MAX`] for [`REMEMBERED`]; another one does not know them.

use std::{
    collections::VecDeque,
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use identity::{Action, Caller, Verb};
use model::{
    Facts, Kind, Listener, ListenerId, Member, MemberCheck, MemberCheckId, MemberId, Pool, Snapshot,
    TargetId,
    member_check::{CheckState, CheckSubject, Finding, ProbeOutcome, ProbeWish, Severity},
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::{Control, Error, command};

/// Where wishes for probes go: to the local node.
pub type Probes = mpsc::UnboundedSender<ProbeWish<oneshot::Sender<ProbeOutcome>>>;

/// The checks of this process.
#[derive(Default)]
pub(crate) struct Checks {
    probes: OnceLock<Probes>,
    known: Mutex<VecDeque<(Instant, MemberCheck)>>,
}

/// Begins a check of a member for a listener's traffic. It goes on by itself; [`member_check`] tells how far it is.
pub async fn member_check_create(
    control: &Control,
    caller: &Caller,
    listener: ListenerId,
    member: MemberId,
    subject: CheckSubject,
) -> Result<MemberCheck, Error> {
    identity::authorize(caller, Action::elb("members", Verb::Put))?;
    let view = control.view(caller);
    let listener = view.listener(listener)?.clone();
    let found = view.snapshot.member(member).filter(|member| member.project == view.project);
    let member = found.ok_or_else(|| Error::not_found(Kind::Member, member))?.clone();
    let pool = view.snapshot.pool(member.pool).cloned();
    let reaches = view.snapshot.listeners_reaching(member.pool).any(|reaching| reaching.id == listener.id);
    let Some(pool) = pool.filter(|_| reaches) else {
        return Err(Error::invalid(
            "listener_id",
            format!("listener {} does not send to the member's pool {}", listener.id, member.pool),
        ));
    };
    let now = command::now();
    let looks_at_config = matches!(subject, CheckSubject::All | CheckSubject::Config);
    let findings = match looks_at_config {
        true => findings(&view.snapshot, &view.facts, &listener, &pool, &member),
        false => Vec::new(),
    };
    let mut check = MemberCheck {
        id: MemberCheckId::new(Uuid::new_v4()),
        project: view.project,
        listener: listener.id,
        member: member.id,
        subject,
        state: if looks_at_config { CheckState::Running } else { CheckState::Done },
        findings,
        items_total: if looks_at_config { CONFIG_ITEMS + 1 } else { 0 },
        items_done: if looks_at_config { CONFIG_ITEMS } else { 0 },
        created_at: now,
        updated_at: now,
    };
    control.inner().checks.remember(check.clone());
    if looks_at_config {
        let target = TargetId { listener: listener.id, pool: pool.id };
        let (control, begun) = (control.clone(), check.clone());
        tokio::spawn(async move {
            let outcome = control.inner().checks.probe(target, begun.member).await;
            control.inner().checks.finish(begun.id, outcome);
        });
        check.state = CheckState::Running;
    }
    Ok(check)
}

/// A check of the caller's project that this process remembers.
pub fn member_check(control: &Control, caller: &Caller, id: MemberCheckId) -> Result<MemberCheck, Error> {
    identity::authorize(caller, Action::elb("members", Verb::Get))?;
    let found = control.inner().checks.find(id).filter(|check| check.project == caller.project);
    found.ok_or_else(|| Error::UnknownCheck { id: id.to_string() })
}

impl Checks {
    /// Says where wishes for probes go; the first time counts.
    pub(crate) fn set_probes(&self, probes: Probes) {
        let _ = self.probes.set(probes);
    }

    fn remember(&self, check: MemberCheck) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while known.len() >= CHECKS_MAX || known.front().is_some_and(|(at, _)| now - *at > REMEMBERED) {
            known.pop_front();
        }
        known.push_back((now, check));
    }

    fn find(&self, id: MemberCheckId) -> Option<MemberCheck> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .iter()
            .find(|(at, check)| check.id == id && at.elapsed() <= REMEMBERED)
            .map(|(_, check)| check.clone())
    }

    /// The outcome of a probe; an error in words when there is none in time.
    async fn probe(&self, target: TargetId, member: MemberId) -> Result<ProbeOutcome, &'static str> {
        let Some(probes) = self.probes.get() else { return Err("no node is connected that could probe it") };
        let (answer, outcome) = oneshot::channel();
        if probes.send(ProbeWish { target, member, answer }).is_err() {
            return Err("the node is stopping");
        }
        match tokio::time::timeout(PROBE_WAIT, outcome).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) => Err("the node gave up the probe; try again"),
            Err(_) => Err("the node did not answer in time; try again"),
        }
    }

    fn finish(&self, id: MemberCheckId, outcome: Result<ProbeOutcome, &'static str>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, check)) = known.iter_mut().find(|(_, check)| check.id == id) else { return };
        check.updated_at = command::now();
        check.state = CheckState::Done;
        check.items_done = check.items_total;
        let finding = |severity, reason| Finding { name: "probe", severity, reason };
        match outcome {
            Ok(Some(Ok(()))) => {}
            Ok(Some(Err(failure))) => check.findings.push(finding(Severity::Major, failure.detail)),
            Ok(None) => check.findings.push(finding(
                Severity::Minor,
                "the member is not probed, so nobody knows whether it answers; give its pool a health monitor"
                    .to_owned(),
            )),
            Err(why) => {
                check.state = CheckState::Failed;
                check.findings.push(finding(Severity::Minor, format!("the member could not be probed: {why}")));
            }
        }
    }
}

/// What is configured so that the member gets no traffic of the listener.
fn findings(
    snapshot: &Snapshot,
    facts: &Facts,
    listener: &Listener,
    pool: &Pool,
    member: &Member,
) -> Vec<Finding> {
    let load_balancer = snapshot.load_balancer(listener.load_balancer);
    let served = load_balancer.is_some_and(|lb| lb.admin_up && lb.vips().next().is_some());
    let fault = facts.faults.get(&listener.id).map(|fault| fault.reason.clone());
    let items: [(&'static str, Severity, Option<String>); CONFIG_ITEMS] = [
        (
            "load_balancer",
            Severity::Major,
            (!served).then(|| {
                format!("load balancer {} is switched off or has no address", listener.load_balancer)
            }),
        ),
        (
            "listener",
            Severity::Major,
            (!listener.admin_up).then(|| format!("listener {} is switched off", listener.id)).or(fault),
        ),
        ("pool", Severity::Major, (!pool.admin_up).then(|| format!("pool {} is switched off", pool.id))),
        (
            "member",
            Severity::Major,
            (!member.admin_up).then(|| "the member is switched off; set admin_state_up".to_owned()),
        ),
        (
            "weight",
            Severity::Minor,
            (member.weight.value() == 0 && !pool.standby)
                .then(|| "the member's weight is 0, so it gets no new work; give it a weight".to_owned()),
        ),
    ];
    let bad =
        |(name, severity, reason): (_, _, Option<String>)| Some(Finding { name, severity, reason: reason? });
    items.into_iter().filter_map(bad).collect()
}

/// Things that are looked at before the probe.
const CONFIG_ITEMS: usize = 5;
/// Checks that are remembered.
const CHECKS_MAX: usize = 1000;
/// For how long; ours, as the documents do not say.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// The longest timeout of a probe in the vendor's API is 50 s.
const PROBE_WAIT: Duration = Duration::from_secs(55);

impl Control {
    /// Has probes on demand made by whoever reads the other end; without it, checks end as failed.
    pub fn probe_by(&self, probes: Probes) {
        self.inner().checks.set_probes(probes);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{MemberPatch, ProbeFailure, ProbeFailureCode};

    use super::*;
    use crate::{
        member,
        testing::{World, new_member},
    };

    fn world() -> (World, Arc<Listener>, Arc<Pool>, Arc<Member>) {
        let mut world = World::new();
        let lb = world.load_balancer().id;
        let pool = world.pool(lb);
        let listener = world.listener_to(lb, 80, pool.id);
        let member = world.run(|draft| member::create(draft, pool.id, new_member("127.88.1.1", 80))).unwrap();
        let pool = world.state.pool(pool.id).unwrap().clone();
        (world, listener, pool, member)
    }

    #[test]
    fn what_is_switched_off_is_found() {
        let (mut world, listener, pool, member) = world();
        let names = |world: &World, listener: &Listener, pool: &Pool, member: &Member| -> Vec<&str> {
            let found = findings(&world.state, &Facts::default(), listener, pool, member);
            found.iter().map(|finding| finding.name).collect()
        };
        assert!(names(&world, &listener, &pool, &member).is_empty(), "all is well");
        let off = MemberPatch {
            weight: Some(model::Weight::of(0)),
            admin_up: Some(false),
            ..MemberPatch::default()
        };
        let member = world.run(|draft| member::update(draft, pool.id, member.id, off)).unwrap();
        let listener = Listener { admin_up: false, ..Listener::clone(&listener) };
        let pool = Pool { admin_up: false, ..Pool::clone(&pool) };
        assert_eq!(names(&world, &listener, &pool, &member), ["listener", "pool", "member", "weight"]);
    }

    fn check(id: u128) -> MemberCheck {
        MemberCheck {
            id: MemberCheckId::new(Uuid::from_u128(id)),
            project: model::ProjectId::new(Uuid::nil()),
            listener: ListenerId::new(Uuid::nil()),
            member: MemberId::new(Uuid::nil()),
            subject: CheckSubject::All,
            state: CheckState::Running,
            findings: Vec::new(),
            items_total: 6,
            items_done: 5,
            created_at: Default::default(),
            updated_at: Default::default(),
        }
    }

    #[test]
    fn a_probe_ends_a_check_with_its_reason() {
        let failure = ProbeFailure {
            code: ProbeFailureCode::ConnectRefused,
            expected: String::new(),
            got: String::new(),
            detail: "connection refused by 127.88.1.1:80".to_owned(),
        };
        for (outcome, state, found) in [
            (Ok(Some(Ok(()))), CheckState::Done, None),
            (Ok(Some(Err(failure))), CheckState::Done, Some("connection refused by 127.88.1.1:80")),
            (Ok(None), CheckState::Done, Some("the member is not probed")),
            (Err("away"), CheckState::Failed, Some("the member could not be probed: away")),
        ] {
            let checks = Checks::default();
            checks.remember(check(1));
            checks.finish(check(1).id, outcome);
            let ended = checks.find(check(1).id).unwrap();
            assert_eq!((ended.state, ended.items_done), (state, 6));
            let reason = ended.findings.first().map(|finding| finding.reason.as_str());
            assert_eq!(reason.is_some(), found.is_some());
            assert!(reason.is_none_or(|reason| reason.starts_with(found.unwrap())), "{reason:?}");
        }
    }

    #[test]
    fn only_so_many_checks_are_remembered() {
        let checks = Checks::default();
        (0..=CHECKS_MAX as u128).for_each(|n| checks.remember(check(n)));
        assert!(checks.find(check(0).id).is_none() && checks.find(check(1).id).is_some());
        assert_eq!(checks.known.lock().unwrap().len(), CHECKS_MAX);
    }

    #[tokio::test]
    async fn a_wish_reaches_the_node_and_its_answer_comes_back() {
        let checks = Checks::default();
        let target =
            TargetId { listener: ListenerId::new(Uuid::nil()), pool: model::PoolId::new(Uuid::nil()) };
        let member = MemberId::new(Uuid::from_u128(7));
        assert!(checks.probe(target, member).await.is_err(), "nobody probes");
        let (probes, mut wishes) = mpsc::unbounded_channel::<ProbeWish<oneshot::Sender<ProbeOutcome>>>();
        checks.set_probes(probes);
        let node = tokio::spawn(async move {
            let wish = wishes.recv().await.unwrap();
            let member = wish.member;
            wish.answer.send(Some(Ok(()))).unwrap();
            member
        });
        assert_eq!(checks.probe(target, member).await, Ok(Some(Ok(()))));
        assert_eq!(node.await.unwrap(), member);
        assert!(checks.probe(target, member).await.is_err(), "the node is gone");
    }
}
