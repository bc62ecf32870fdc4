//! Members of a target that fail their work are left out for a while: the one who decides it, and writes it into the health table.
//!
//! What the table holds is what probes say of a member, unless it is ejected. When nobody else is left (probes take members out at
//! any time), ejected members that probes find healthy get work all the same.

use std::sync::Arc;

use balance::{
    OutlierSettings, Outliers,
    outliers::{Sentence, WorkOutcome},
};
use model::{MemberHealth, MemberId, ProbeFailure, ProbeFailureCode, Timestamp, Verdict};

use crate::target::{Report, SharedTarget};

/// The members of a target, and who of them is ejected.
pub(super) struct Ejections {
    target: Arc<SharedTarget>,
    settings: OutlierSettings,
    outliers: Outliers,
    members: Vec<Standing>,
}

struct Standing {
    id: MemberId,
    /// Healthy as far as probes say; of a target that is not probed, always.
    sound: bool,
    /// What people are told while it is ejected.
    said: Option<MemberHealth>,
}

impl Ejections {
    /// For a target whose table holds what was in force before. `former`: of the target's plan before, whose ejections go on.
    pub(super) fn new(target: Arc<SharedTarget>, settings: OutlierSettings, former: Option<&Self>) -> Self {
        let before: Vec<Option<usize>> =
            target.plan.members.iter().map(|member| former?.position(member.id)).collect();
        let count = target.plan.members.len();
        let outliers = match former {
            Some(former) => former.outliers.with_members(settings, count, |member| before[member]),
            None => Outliers::new(settings, count),
        };
        let members = target.plan.members.iter().zip(&before).enumerate().map(|(member, (plan, old))| {
            let old = former.zip(*old).map(|(former, old)| &former.members[old]);
            let known = || old.map_or_else(|| target.health.is_usable(member), |old| old.sound);
            let sound = target.plan.probe.is_none() || known();
            Standing { id: plan.id, sound, said: old.and_then(|old| old.said.clone()) }
        });
        let members = members.collect();
        let ejections = Self { target, settings, outliers, members };
        ejections.settle();
        ejections
    }

    /// Ends it: the table then holds what probes say, for a target with another plan or without ejections from now on.
    pub(super) fn release(&self, target: &SharedTarget) {
        for (member, plan) in target.plan.members.iter().enumerate() {
            if let Some(old) = self.position(plan.id) {
                target.health.set_usable(member, target.plan.probe.is_none() || self.members[old].sound);
            }
        }
    }

    /// A verdict of a probe.
    pub(super) fn handle_verdict(&mut self, member: usize, healthy: bool, now_ms: u64) {
        let Some(standing) = self.members.get_mut(member) else { return };
        standing.sound = healthy;
        let usable = self.target.health.is_usable(member);
        self.target.handle_health(member, healthy, usable, now_ms);
        self.settle();
    }

    /// A row of failures that was long enough. Whether the member is ejected for it.
    pub(super) fn handle_report(&mut self, report: &Report, now_ms: u64, now: Timestamp) -> bool {
        let Some(member) = self.position(report.member) else { return false };
        let (plan, members) = (&self.target.plan, &self.members);
        let usable = |other: usize| members[other].sound && plan.members[other].weight.value() > 0;
        let sentence = self.outliers.handle_streak(member, now_ms, usable);
        let address = plan.members[member].address;
        let Sentence::Ejected { until_ms } = sentence else {
            tracing::debug!(member = %report.member, %address, ?sentence, "a member fails its work and stays");
            return false;
        };
        let failure = self.failure(report.failure, until_ms.saturating_sub(now_ms));
        tracing::warn!(member = %report.member, %address, detail = failure.detail, "a member is left out");
        self.members[member].said =
            Some(MemberHealth { verdict: Verdict::Down, since: now, failure: Some(failure) });
        self.settle();
        true
    }

    /// A member whose time is over; none: no more for now.
    pub(super) fn poll_return(&mut self, now_ms: u64) -> Option<MemberId> {
        let member = self.outliers.poll_return(now_ms)?;
        let standing = &mut self.members[member];
        standing.said = None;
        let id = standing.id;
        tracing::info!(member = %id, address = %self.target.plan.members[member].address, "a member gets work again");
        self.settle();
        Some(id)
    }

    /// When the next member returns.
    pub(super) fn poll_timeout(&self) -> Option<u64> {
        self.outliers.poll_timeout()
    }

    /// What people are told of a member because it is ejected; none: it is not.
    pub(super) fn said(&self, member: MemberId) -> Option<&MemberHealth> {
        self.members[self.position(member)?].said.as_ref()
    }

    /// Who is ejected.
    pub(super) fn ejected(&self) -> impl Iterator<Item = MemberId> {
        self.members.iter().filter(|standing| standing.said.is_some()).map(|standing| standing.id)
    }

    fn position(&self, member: MemberId) -> Option<usize> {
        self.members.iter().position(|standing| standing.id == member)
    }

    /// Writes who gets new work.
    fn settle(&self) {
        let stays = |member: usize| self.members[member].sound && !self.outliers.is_ejected(member);
        let plans = &self.target.plan.members;
        let somebody =
            plans.iter().enumerate().any(|(member, plan)| plan.weight.value() > 0 && stays(member));
        for (member, standing) in self.members.iter().enumerate() {
            self.target.health.set_usable(member, if somebody { stays(member) } else { standing.sound });
        }
    }

    fn failure(&self, outcome: WorkOutcome, time_ms: u64) -> ProbeFailure {
        let OutlierSettings { connect_failures, server_errors, .. } = self.settings;
        let seconds = time_ms / 1000;
        match outcome {
            WorkOutcome::ConnectFailed | WorkOutcome::Served => ProbeFailure {
                code: ProbeFailureCode::ConnectFailed,
                expected: String::new(),
                got: String::new(),
                detail: format!(
                    "left out for {seconds} s by outlier detection: {connect_failures} connections in a row could not be made"
                ),
            },
            WorkOutcome::ServerError => ProbeFailure {
                code: ProbeFailureCode::ResponseMismatch,
                expected: "100-499".to_owned(),
                got: "500-599".to_owned(),
                detail: format!(
                    "left out for {seconds} s by outlier detection: {server_errors} answers in a row had a status of the 500s, broke \
                     off or did not come in time"
                ),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::{ListenerId, PoolId, PoolProtocol, TargetId};
    use plan::{MemberPlan, TargetPlan};
    use tokio::sync::mpsc;
    use uuid::Uuid;

    use super::*;

    const SETTINGS: OutlierSettings = OutlierSettings {
        connect_failures: 3,
        server_errors: 3,
        ejection_base: Duration::from_secs(10),
        ejection_max: Duration::from_secs(60),
        ejected_percent_max: 100,
    };

    fn id(number: u128) -> MemberId {
        MemberId::new(Uuid::from_u128(number))
    }

    /// A target of these members, who are not probed.
    fn target(members: &[u128], former: Option<&SharedTarget>) -> Arc<SharedTarget> {
        let members = members.iter().map(|&number| {
            let address = ([10, 0, 0, number as u8], 80).into();
            MemberPlan::by_hand(id(number), address)
        });
        let pair =
            TargetId { listener: ListenerId::new(Uuid::from_u128(1)), pool: PoolId::new(Uuid::from_u128(2)) };
        let plan = TargetPlan::by_hand(pair, PoolProtocol::Http, members.collect());
        SharedTarget::new(Arc::new(plan), 1, former, |_| true, &mpsc::unbounded_channel().0, 0)
    }

    fn fail(ejections: &mut Ejections, member: u128, now_ms: u64) -> bool {
        let report = Report {
            target: ejections.target.plan.id,
            member: id(member),
            failure: WorkOutcome::ServerError,
        };
        ejections.handle_report(&report, now_ms, Timestamp::default())
    }

    /// Who gets new work, by number.
    fn at_work(target: &SharedTarget) -> Vec<u128> {
        let members = target.plan.members.iter().enumerate();
        members
            .filter(|(at, _)| target.health.is_usable(*at))
            .map(|(_, plan)| plan.id.uuid().as_u128())
            .collect()
    }

    #[test]
    fn a_member_that_fails_is_left_out_for_its_time() {
        let target = target(&[1, 2, 3], None);
        let mut ejections = Ejections::new(target.clone(), SETTINGS, None);
        assert!(fail(&mut ejections, 2, 1000));
        assert_eq!(at_work(&target), [1, 3]);
        assert!(!fail(&mut ejections, 2, 1000), "another worker saw the same");
        let said = ejections.said(id(2)).unwrap();
        assert_eq!(said.verdict, Verdict::Down);
        assert!(said.failure.as_ref().unwrap().detail.contains("left out for 10 s"), "{said:?}");
        assert_eq!((ejections.poll_timeout(), ejections.poll_return(10_999)), (Some(11_000), None));
        assert_eq!((ejections.poll_return(11_000), ejections.poll_timeout()), (Some(id(2)), None));
        assert_eq!(at_work(&target), [1, 2, 3]);
        assert_eq!(ejections.said(id(2)), None);
    }

    #[test]
    fn somebody_always_has_the_work() {
        let target = target(&[1, 2, 3], None);
        let mut ejections = Ejections::new(target.clone(), SETTINGS, None);
        assert!(fail(&mut ejections, 1, 0) && fail(&mut ejections, 2, 0));
        assert!(!fail(&mut ejections, 3, 0), "the last one stays");
        assert_eq!(at_work(&target), [3]);
        ejections.handle_verdict(2, false, 1);
        assert_eq!(at_work(&target), [1, 2], "who fails now and then is better than nobody");
        ejections.handle_verdict(0, false, 2);
        assert_eq!(at_work(&target), [2], "but not who is down");
        ejections.handle_verdict(2, true, 3);
        assert_eq!(at_work(&target), [3]);
    }

    #[test]
    fn a_verdict_brings_nobody_back_before_its_time() {
        let target = target(&[1, 2], None);
        let mut ejections = Ejections::new(target.clone(), SETTINGS, None);
        assert!(fail(&mut ejections, 1, 0));
        ejections.handle_verdict(0, false, 1);
        ejections.handle_verdict(0, true, 2);
        assert_eq!(at_work(&target), [2]);
        ejections.handle_verdict(0, false, 3);
        assert_eq!(ejections.poll_return(10_000), Some(id(1)));
        assert_eq!(at_work(&target), [2], "its time is over, but it is down");
        ejections.handle_verdict(0, true, 10_001);
        assert_eq!(at_work(&target), [1, 2]);
    }

    #[test]
    fn ejections_go_on_over_changes_of_the_plan_and_end_with_the_setting() {
        let before = target(&[2, 3], None);
        let mut ejections = Ejections::new(before.clone(), SETTINGS, None);
        assert!(fail(&mut ejections, 3, 0));
        let after = target(&[1, 2, 3], Some(&before));
        let ejections = Ejections::new(after.clone(), SETTINGS, Some(&ejections));
        assert_eq!((at_work(&after), ejections.ejected().collect::<Vec<_>>()), (vec![1, 2], vec![id(3)]));
        assert_eq!(ejections.poll_timeout(), Some(10_000));
        let without = target(&[2, 3], Some(&after));
        ejections.release(&without);
        assert_eq!(at_work(&without), [2, 3]);
    }
}
