//! A target as the data plane wants it: members by index, effective settings.

use std::{net::SocketAddr, sync::Arc};

use balance::Maglev;
use model::{Algorithm, MemberId, PoolProtocol, TargetId, Weight, pool::Drain, target::ProbeSettings};
use serde::Serialize;

/// One (listener, pool) pair, compiled. Members are named by their index here; an index means nothing outside its plan.
#[derive(Debug, PartialEq, Serialize)]
pub struct TargetPlan {
    /// Which pair.
    pub id: TargetId,
    /// What is spoken to members.
    pub protocol: PoolProtocol,
    /// Which member gets new work.
    pub algorithm: Algorithm,
    /// The members, in order of id. Members and pools that are switched off are not here.
    pub members: Vec<MemberPlan>,
    /// How members are probed; none: they count as healthy.
    pub probe: Option<ProbeSettings>,
    /// With no healthy member, use all.
    pub all_down_forward: bool,
    /// Deregistration delay; none: nothing was said.
    pub drain: Option<Drain>,
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
