//! Whether a listener may use a pool, be it as its default or by a policy.

use std::{collections::BTreeSet, sync::Arc};

use model::{
    Listener, ListenerId, ListenerProtocol, LoadBalancer, Member, Pool, PoolId, PoolProtocol, QuotaKey,
    listener::Service,
    pool::{IpVersion, PoolKind},
};

use crate::{Error, command::Draft, relations};

/// The listener that wants a pool, as it will be.
pub(crate) struct User<'a> {
    /// Its load balancer.
    pub(crate) load_balancer: &'a LoadBalancer,
    /// What it speaks.
    pub(crate) service: &'a Service,
    /// Its id; none while it is being made.
    pub(crate) listener: Option<ListenerId>,
}

/// Whether a pool may take a listener's traffic: same project, protocols that pair, same network, members that the load balancer
/// takes, and not too many listeners. `field` is what brought them together.
pub(crate) fn check_pool(
    draft: &Draft<'_>,
    user: &User<'_>,
    id: PoolId,
    field: &'static str,
) -> Result<(), Error> {
    let pool = draft.pool(id)?;
    let protocol = user.service.protocol();
    let pairs: &[PoolProtocol] = match protocol {
        ListenerProtocol::Tcp => &[PoolProtocol::Tcp],
        ListenerProtocol::Udp => &[PoolProtocol::Udp, PoolProtocol::Quic],
        ListenerProtocol::Tls => &[PoolProtocol::Tls, PoolProtocol::Tcp],
        ListenerProtocol::Http => &[PoolProtocol::Http],
        ListenerProtocol::Https | ListenerProtocol::Quic => {
            &[PoolProtocol::Http, PoolProtocol::Https, PoolProtocol::Grpc]
        }
    };
    if !pairs.contains(&pool.protocol) {
        return Err(Error::invalid(
            field,
            format!("a {protocol:?} listener needs a pool of {pairs:?}; pool {id} is {:?}", pool.protocol),
        ));
    }
    if (protocol, pool.protocol, pool.ip_version)
        == (ListenerProtocol::Tls, PoolProtocol::Tcp, IpVersion::Dualstack)
    {
        return Err(Error::invalid(
            field,
            format!("pool {id} takes members of IPv6, too; a TLS listener needs a TCP pool of ip_version v4"),
        ));
    }
    let http2 = match user.service {
        Service::Https(https) => https.http.http2,
        Service::Quic(_) => true,
        Service::Tcp | Service::Udp | Service::Tls(_) | Service::Http(_) => false,
    };
    if pool.protocol == PoolProtocol::Grpc && !http2 {
        return Err(Error::invalid(
            field,
            format!("pool {id} is gRPC, which needs HTTP/2; set http2_enable on the listener first"),
        ));
    }
    check_members(draft, user.load_balancer, &pool, field)?;
    check_sole(draft, user.load_balancer, &pool)?;
    let others = draft.state.listeners_reaching(id).filter(|other| Some(other.id) != user.listener);
    draft.quota(QuotaKey::ListenersPerPool, others.count() + 1)
}

/// A pool that was made without a type serves one load balancer; one with a type any number (huawei/behaviours.md section 7).
fn check_sole(draft: &Draft<'_>, lb: &LoadBalancer, pool: &Pool) -> Result<(), Error> {
    let others = || relations::load_balancers_of_pool(&draft.state, pool).into_iter().find(|&id| id != lb.id);
    match pool.kind {
        PoolKind::Instance | PoolKind::Ip => Ok(()),
        PoolKind::Any => match others() {
            None => Ok(()),
            Some(other) => Err(Error::InUse {
                what: format!("pool {}", pool.id),
                by: format!(
                    "it serves load balancer {other}, and only a pool with a type may serve several; set its type first"
                ),
            }),
        },
    }
}

/// Whether a load balancer may use a pool with the members that it has. `field` is what brought them together.
pub(crate) fn check_members(
    draft: &Draft<'_>,
    lb: &LoadBalancer,
    pool: &Pool,
    field: &'static str,
) -> Result<(), Error> {
    if pool.network.is_some_and(|network| network != lb.network) {
        return Err(Error::invalid(
            field,
            format!("pool {} is in another VPC than load balancer {}", pool.id, lb.id),
        ));
    }
    let bare = |member: &Arc<Member>| member.subnet.is_none();
    if !lb.ip_targets && draft.state.members_of(pool.id).any(bare) {
        return Err(Error::IpTargetsOff { load_balancer: lb.id.to_string() });
    }
    Ok(())
}

/// The pools that a listener uses, by default and by its policies.
pub(crate) fn pools_of(draft: &Draft<'_>, listener: &Listener) -> BTreeSet<PoolId> {
    relations::pools_of_listener(&draft.state, listener).collect()
}
