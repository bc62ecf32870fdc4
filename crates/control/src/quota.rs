//! Quotas: how much a project may own, and how much it does.

use identity::{Action, Caller, Verb};
use model::{Kind, ProjectId, Quota, QuotaKey, Snapshot};

use crate::{
    Control, Error, Site, View, audit,
    command::{Draft, command},
};

/// A project's limit: its own, else the site's, else the built-in one; -1 is no limit.
pub(crate) fn limit(state: &Snapshot, site: &Site, project: ProjectId, key: QuotaKey) -> i64 {
    let own = state.quota(project).and_then(|quota| quota.limits.get(&key));
    own.or_else(|| site.quotas.get(&key)).copied().unwrap_or_else(|| key.default_limit())
}

/// How much of a kind a project owns. Limits per parent (`members_per_pool` …) have no project-wide use: 0.
pub(crate) fn used(state: &Snapshot, project: ProjectId, key: QuotaKey) -> usize {
    let kind = match key {
        QuotaKey::Loadbalancer => Kind::LoadBalancer,
        QuotaKey::Listener => Kind::Listener,
        QuotaKey::Pool => Kind::Pool,
        QuotaKey::Member => Kind::Member,
        QuotaKey::Healthmonitor => Kind::HealthMonitor,
        QuotaKey::Ipgroup => Kind::IpGroup,
        QuotaKey::L7policy => Kind::Policy,
        QuotaKey::Certificate => Kind::Certificate,
        QuotaKey::SecurityPolicy => Kind::SecurityPolicy,
        QuotaKey::ListenersPerLoadbalancer
        | QuotaKey::ListenersPerPool
        | QuotaKey::MembersPerPool
        | QuotaKey::ConditionPerPolicy
        | QuotaKey::IpgroupBindings
        | QuotaKey::IpgroupMaxLength
        | QuotaKey::IpgroupsPerListener
        | QuotaKey::PoolsPerL7policy
        | QuotaKey::L7policiesPerListener
        | QuotaKey::FreeInstanceMembersPerPool
        | QuotaKey::FreeInstanceListenersPerLoadbalancer => return 0,
    };
    state.owned(project, kind)
}

/// Every limit of the view's project with its use: (what, most, used).
pub fn quota_usage(view: &View) -> Vec<(QuotaKey, i64, i64)> {
    let of = |&key| {
        let most = limit(&view.snapshot, &view.site, view.project, key);
        (key, most, used(&view.snapshot, view.project, key) as i64)
    };
    QuotaKey::ALL.iter().map(of).collect()
}

/// Sets limits of the caller's project; keys that are not named keep theirs. For administrators.
pub async fn quota_update(
    control: &Control,
    caller: &Caller,
    limits: Vec<(QuotaKey, i64)>,
) -> Result<(), Error> {
    command(control, caller, Action::elb("quotas", Verb::Put), |draft| update(draft, &limits)).await
}

pub(crate) fn update(draft: &mut Draft<'_>, limits: &[(QuotaKey, i64)]) -> Result<(), Error> {
    if let Some((key, limit)) = limits.iter().find(|(_, limit)| *limit < -1) {
        return Err(Error::invalid(
            "quota",
            format!("{} is {limit}; -1 is no limit, 0 and above a limit", key.as_str()),
        ));
    }
    let project = draft.caller.project;
    let own = draft.state.quota(project).map(|quota| Quota::clone(quota));
    let mut quota = own.unwrap_or(Quota { project, limits: Default::default() });
    quota.limits.extend(limits.iter().copied());
    audit::record(draft, "updateQuota", "quota", project, "", Some(&quota));
    draft.put(quota);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::World;

    fn limits(world: &World, key: QuotaKey) -> (i64, i64) {
        let view = View {
            snapshot: Arc::new(world.state.clone()),
            facts: Arc::default(),
            project: world.caller.project,
            site: Arc::new(world.site.clone()),
        };
        let usage = quota_usage(&view);
        assert_eq!(usage.len(), QuotaKey::ALL.len());
        usage.into_iter().find(|(it, ..)| *it == key).map(|(_, most, used)| (most, used)).unwrap()
    }

    #[test]
    fn a_projects_own_limit_goes_before_the_sites_and_that_before_the_built_in_one() {
        let mut world = World::new();
        assert_eq!(limits(&world, QuotaKey::Listener), (100, 0));
        world.site.quotas.insert(QuotaKey::Listener, 7);
        assert_eq!(limits(&world, QuotaKey::Listener), (7, 0));
        world.run(|draft| update(draft, &[(QuotaKey::Listener, 9), (QuotaKey::Pool, -1)])).unwrap();
        world.run(|draft| update(draft, &[(QuotaKey::Member, 0)])).unwrap();
        for (key, expect) in [(QuotaKey::Listener, 9), (QuotaKey::Pool, -1), (QuotaKey::Member, 0)] {
            assert_eq!(limits(&world, key), (expect, 0), "{key:?}");
        }
        world.as_other_project();
        assert_eq!(limits(&world, QuotaKey::Listener), (7, 0), "each project has its own");
    }

    #[test]
    fn use_is_counted_by_kind() {
        let mut world = World::new();
        let lb = world.load_balancer().id;
        let pool = world.pool(lb).id;
        world.listener_to(lb, 80, pool);
        world.monitor(pool);
        for last in 1..=3 {
            world.member(pool, &format!("127.88.1.{last}"), 80);
        }
        let used = |key| limits(&world, key).1;
        assert_eq!((used(QuotaKey::Loadbalancer), used(QuotaKey::Listener), used(QuotaKey::Pool)), (1, 1, 1));
        assert_eq!((used(QuotaKey::Member), used(QuotaKey::Healthmonitor)), (3, 1));
        assert_eq!(used(QuotaKey::MembersPerPool), 0, "a limit per pool has no use of the project");
    }

    #[test]
    fn a_limit_is_minus_one_or_more() {
        for (limit, expect) in [(-2, "quota"), (-1, "ok"), (0, "ok"), (i64::MAX, "ok")] {
            let mut world = World::new();
            assert_eq!(world.blame(|draft| update(draft, &[(QuotaKey::Pool, limit)])), expect, "{limit}");
        }
    }
}
