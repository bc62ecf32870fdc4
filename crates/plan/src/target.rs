//! A target as the data plane wants it: members by index, effective settings.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use balance::{MEMBERS_MAX, Maglev, member_key};
use model::{
    Algorithm, Listener, Member, MemberId, Name, Pool, PoolId, PoolProtocol, Port, SlowStartDuration,
    Snapshot, Target, TargetId, Weight,
    pool::{Drain, Stickiness},
    target::ProbeSettings,
};
use serde::Serialize;

use crate::{MemberTlsPlan, listener::same_or_new};

/// One (listener, pool) pair, compiled. Members are named by their index here; an index means nothing outside its plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetPlan {
    /// Which pair.
    pub id: TargetId,
    /// What people call the pool.
    #[serde(skip_serializing_if = "Name::is_empty")]
    pub pool_name: Name,
    /// What is spoken to members.
    pub protocol: PoolProtocol,
    /// How members prove who they are; none: they need not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_tls: Option<Arc<MemberTlsPlan>>,
    /// Which member gets new work.
    pub algorithm: Algorithm,
    /// Whether and how a client stays with a member.
    pub stickiness: Option<Stickiness>,
    /// The members, in order of id. Members and pools that are switched off are not here, nor are members above
    /// [`balance::MEMBERS_MAX`] (far above every quota).
    pub members: Vec<MemberPlan>,
    /// How members are probed; none: they count as healthy.
    pub probe: Option<ProbeSettings>,
    /// With no healthy member, use all.
    pub all_down_forward: bool,
    /// Deregistration delay; none: nothing was said.
    pub drain: Option<Drain>,
    /// Over how long a new member's share grows to its weight; none: it has it at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<SlowStartDuration>,
    /// The lookup table of [`Algorithm::SourceIp`].
    #[serde(skip)]
    pub maglev: Option<Arc<Maglev>>,
}

/// One member, compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberPlan {
    /// Which member.
    pub id: MemberId,
    /// Where it is reached.
    pub address: SocketAddr,
    /// Where it is probed.
    pub probe_address: SocketAddr,
    /// Its share of new work; 0 takes none.
    pub weight: Weight,
}

impl TargetPlan {
    /// The plan of a pair; none when the pool is switched off. What is equal in the plan before is taken over from there.
    pub(crate) fn compile(
        snapshot: &Snapshot,
        listener: &Listener,
        pool: &Pool,
        before: Option<&Arc<Self>>,
        tables: &mut Tables,
    ) -> Option<Arc<Self>> {
        if !pool.admin_up {
            return None;
        }
        let target = Target::of(listener, pool, snapshot.monitor_of(pool.id).map(|monitor| &**monitor));
        // Members of an any-port pool get the port that the client used, even if one was given a port before the pool became
        // one (behaviour/features.md section 2).
        let port_of = |member: &Member| if pool.any_port { listener.port } else { target.port_of(member) };
        let probe_port = target.probe.as_ref().and_then(|probe| probe.port);
        let members: Vec<MemberPlan> = snapshot
            .members_of(pool.id)
            .filter(|member| member.admin_up)
            .take(MEMBERS_MAX)
            .map(|member| MemberPlan::compile(member, port_of(member), probe_port))
            .collect();
        let maglev = match target.algorithm {
            Algorithm::SourceIp => Some(tables.table(pool.id, &members, before)),
            Algorithm::RoundRobin | Algorithm::LeastConnections => None,
        };
        let grows = matches!(target.algorithm, Algorithm::RoundRobin | Algorithm::LeastConnections);
        let tls_before = before.and_then(|before| before.member_tls.as_ref());
        let plan = Self {
            id: target.id,
            pool_name: pool.name.clone(),
            protocol: pool.protocol,
            member_tls: pool
                .member_tls
                .as_ref()
                .map(|member_tls| MemberTlsPlan::compile(snapshot, member_tls, tls_before)),
            algorithm: target.algorithm,
            stickiness: target.stickiness.filter(|wanted| adds(target.algorithm, pool.protocol, wanted)),
            members,
            probe: target.probe,
            all_down_forward: pool.all_down_forward,
            drain: pool.drain,
            slow_start: pool.slow_start.filter(|slow| slow.enabled && grows).map(|slow| slow.duration),
            maglev,
        };
        Some(same_or_new(before, plan))
    }
}

/// Whether stickiness says more than the algorithm: the hash of the address keeps clients with their members by itself, and without
/// looking at weights (behaviour/features.md section 6).
fn adds(algorithm: Algorithm, protocol: PoolProtocol, stickiness: &Stickiness) -> bool {
    let by_address = protocol.is_layer4() || matches!(stickiness, Stickiness::SourceIp { .. });
    !(algorithm == Algorithm::SourceIp && by_address)
}

impl TargetPlan {
    /// A target made by hand, for tests and benches of the data plane: round robin over members that are not probed.
    #[doc(hidden)]
    pub fn by_hand(id: TargetId, protocol: PoolProtocol, members: Vec<MemberPlan>) -> Self {
        Self {
            id,
            pool_name: Name::default(),
            protocol,
            member_tls: None,
            algorithm: Algorithm::RoundRobin,
            stickiness: None,
            members,
            probe: None,
            all_down_forward: false,
            drain: None,
            slow_start: None,
            maglev: None,
        }
    }
}

impl MemberPlan {
    fn compile(member: &Member, port: Port, probe_port: Option<Port>) -> Self {
        let at = |port: Port| SocketAddr::new(member.address, port.value());
        Self {
            id: member.id,
            address: at(port),
            probe_address: at(probe_port.unwrap_or(port)),
            weight: member.weight,
        }
    }

    /// What it is known by in a lookup table; none: weight 0 is excluded from it.
    fn key(&self) -> Option<u64> {
        (self.weight.value() > 0).then(|| member_key(self.address))
    }
}

/// The lookup tables made in one compilation: listeners that share a pool mostly share its table, too.
#[derive(Default)]
pub(crate) struct Tables(BTreeMap<PoolId, (Vec<Option<u64>>, Arc<Maglev>)>);

impl Tables {
    fn table(
        &mut self,
        pool: PoolId,
        members: &[MemberPlan],
        before: Option<&Arc<TargetPlan>>,
    ) -> Arc<Maglev> {
        let keys = || members.iter().map(MemberPlan::key);
        let former = before.and_then(|before| Some((before, before.maglev.as_ref()?)));
        if let Some((_, table)) =
            former.filter(|(before, _)| keys().eq(before.members.iter().map(MemberPlan::key)))
        {
            return Arc::clone(table);
        }
        let made = match self.0.get(&pool) {
            Some((made_of, table)) if keys().eq(made_of.iter().copied()) => Arc::clone(table),
            Some(_) | None => Arc::new(Maglev::new(keys())),
        };
        // Members of weight 0 come and go without a change of the table.
        let table = former.map(|(_, table)| table).filter(|table| **table == made).cloned().unwrap_or(made);
        self.0.insert(pool, (keys().collect(), Arc::clone(&table)));
        table
    }
}
