//! A target as the data plane wants it: members by index, effective settings.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use balance::{DrainRules, MEMBERS_MAX, Maglev, Standby, drain::Traffic, member_key};
use model::{
    Algorithm, Listener, ListenerProtocol, Member, MemberId, MemberRole, Name, OutlierDetection, Pool,
    PoolId, PoolProtocol, Port, ProxyVersion, QuicCidHash, SlowStartDuration, Snapshot, Target, TargetId,
    Weight,
    pool::{Drain, Stickiness},
    target::ProbeSettings,
};
use serde::{Serialize, Serializer};

use crate::{MemberTlsPlan, limits::is_default, listener::same_or_new};

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
    /// Deregistration delay; none: nothing was said. What follows from it says [`TargetPlan::drain_rules`].
    pub drain: Option<Drain>,
    /// Over how long a new member's share grows to its weight; none: it has it at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<SlowStartDuration>,
    /// Of an active/standby pool, who serves and who waits; none: algorithm and weights decide. With it, they do not count.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "indices")]
    pub standby: Option<Standby>,
    /// The PROXY header that members are sent in front of what a client says; none: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyVersion>,
    /// The part of a connection id that places a connection; of [`Algorithm::QuicCid`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quic_cid_hash: Option<QuicCidHash>,
    /// Whether members that fail their work are left out for a while; none: not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlier_detection: Option<OutlierDetection>,
    /// The lookup table of [`Algorithm::SourceIp`] and [`Algorithm::QuicCid`].
    #[serde(skip)]
    pub maglev: Option<Arc<Maglev>>,
}

/// One member, compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberPlan {
    /// Which member.
    pub id: MemberId,
    /// Where it is reached. Port 0: on the port that the client used, which is one of a range; see [`MemberPlan::address_for`].
    pub address: SocketAddr,
    /// Where it is probed.
    pub probe_address: SocketAddr,
    /// Its share of new work; 0 takes none.
    pub weight: Weight,
    /// Whether it should see the client's address as the source of what it gets. Only at TCP and UDP listeners, and never for bare
    /// addresses (behaviour/features.md section 4). Whether a node may do so is the node's to know.
    #[serde(skip_serializing_if = "is_default")]
    pub transparent: bool,
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
        let port_of =
            |member: &Member| if pool.any_port { listener.ports.one() } else { target.port_of(member) };
        let transparent = listener.transparent_client_ip
            && matches!(listener.protocol(), ListenerProtocol::Tcp | ListenerProtocol::Udp);
        // Where the client's port counts, a port to probe is said; a store that somebody changed by hand may lack it.
        let probe_port = target.probe.as_ref().and_then(|probe| probe.port).unwrap_or(listener.ports.first());
        let probe_says = target.probe.as_ref().is_some_and(|probe| probe.port.is_some());
        let (members, roles): (Vec<MemberPlan>, Vec<Option<MemberRole>>) = snapshot
            .members_of(pool.id)
            .filter(|member| member.admin_up)
            .take(MEMBERS_MAX)
            .map(|member| {
                let port = port_of(member);
                let probed = port.filter(|_| !probe_says).unwrap_or(probe_port);
                (MemberPlan::compile(member, port, probed, transparent), member.role)
            })
            .unzip();
        let standby = pool.standby.then(|| standby(&roles)).flatten();
        let maglev = match target.algorithm {
            Algorithm::SourceIp | Algorithm::QuicCid if standby.is_none() => {
                Some(tables.table(pool.id, &members, before))
            }
            Algorithm::SourceIp
            | Algorithm::QuicCid
            | Algorithm::RoundRobin
            | Algorithm::LeastConnections => None,
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
            stickiness: target
                .stickiness
                .filter(|wanted| standby.is_none() && adds(target.algorithm, pool.protocol, wanted)),
            members,
            probe: target.probe,
            all_down_forward: pool.all_down_forward,
            drain: pool.drain,
            slow_start: pool
                .slow_start
                .filter(|slow| slow.enabled && grows && standby.is_none())
                .map(|slow| slow.duration),
            standby,
            proxy_protocol: target.proxy_protocol,
            quic_cid_hash: pool.quic_cid_hash.filter(|_| target.algorithm == Algorithm::QuicCid),
            outlier_detection: pool.outlier_detection.filter(|detection| detection.enabled),
            maglev,
        };
        Some(same_or_new(before, plan))
    }
}

/// Whether stickiness says more than the algorithm: the hash of the address keeps clients with their members by itself, and without
/// looking at weights (behaviour/features.md section 6).
fn adds(algorithm: Algorithm, protocol: PoolProtocol, stickiness: &Stickiness) -> bool {
    let by_address = !protocol.is_layer7() || matches!(stickiness, Stickiness::SourceIp { .. });
    !(algorithm == Algorithm::SourceIp && by_address)
}

/// Who serves and who waits. A slave without a master serves: the master may be switched off.
fn standby(roles: &[Option<MemberRole>]) -> Option<Standby> {
    let of =
        |wanted| roles.iter().position(|role| *role == Some(wanted)).and_then(|at| u16::try_from(at).ok());
    match (of(MemberRole::Master), of(MemberRole::Slave)) {
        (Some(master), slave) => Some(Standby { master, slave }),
        (None, Some(slave)) => Some(Standby { master: slave, slave: None }),
        (None, None) => None,
    }
}

/// The master's index, and the slave's if there is one.
fn indices<S: Serializer>(standby: &Option<Standby>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(standby.iter().flat_map(|standby| [Some(standby.master), standby.slave]).flatten())
}

impl TargetPlan {
    /// What becomes of the work of a member that gets no more. Where nothing was said, the delay is on (v3.json "ConnectionDrain").
    pub fn drain_rules(&self) -> DrainRules {
        let traffic = match self.protocol {
            PoolProtocol::Tcp | PoolProtocol::Tls => Traffic::Streams,
            PoolProtocol::Udp | PoolProtocol::Quic => Traffic::Datagrams,
            PoolProtocol::Http | PoolProtocol::Https | PoolProtocol::Grpc => Traffic::Requests,
        };
        let drain = self.drain.unwrap_or_default();
        DrainRules { traffic, delay: drain.enabled.then_some(drain.timeout) }
    }

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
            standby: None,
            proxy_protocol: None,
            quic_cid_hash: None,
            outlier_detection: None,
            maglev: None,
        }
    }
}

impl MemberPlan {
    fn compile(member: &Member, port: Option<Port>, probe_port: Port, transparent: bool) -> Self {
        let at = |port| SocketAddr::new(member.address, port);
        Self {
            id: member.id,
            address: at(port.map_or(0, Port::value)),
            probe_address: at(probe_port.value()),
            weight: member.weight,
            transparent: transparent && member.subnet.is_some(),
        }
    }

    /// A member made by hand, for tests and benches of the data plane: of weight 1, probed where it is reached.
    #[doc(hidden)]
    pub fn by_hand(id: MemberId, address: SocketAddr) -> Self {
        Self { id, address, probe_address: address, weight: Weight::of(1), transparent: false }
    }

    /// Where it is reached by a client that came to this port.
    #[inline]
    pub fn address_for(&self, client_port: u16) -> SocketAddr {
        match self.address.port() {
            0 => SocketAddr::new(self.address.ip(), client_port),
            _ => self.address,
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
