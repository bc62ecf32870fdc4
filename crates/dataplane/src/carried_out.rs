//! What a plan may say and this data plane does not do yet. A listener that needs it is not bound, and its fault says why.
//!
//! The API refuses all of it (docs/guide/limits.md); only a store that a newer version wrote leads here. Whoever builds a part takes
//! its line out.

use model::PoolProtocol;
use plan::{ListenerPlan, TargetPlan};

/// The first thing that is needed and not there, in words for the listener's owner.
pub(crate) fn missing(plan: &ListenerPlan) -> Option<String> {
    let what = plan.default_target.iter().chain(&plan.targets).find_map(|target| missing_of(target));
    what.map(|what| {
        format!("{what} are not carried out by this version; delete the listener, or update the node")
    })
}

fn missing_of(target: &TargetPlan) -> Option<&'static str> {
    match target.protocol {
        PoolProtocol::Tls => Some("TLS pools"),
        PoolProtocol::Tcp
        | PoolProtocol::Udp
        | PoolProtocol::Quic
        | PoolProtocol::Http
        | PoolProtocol::Https
        | PoolProtocol::Grpc => None,
    }
}

#[cfg(test)]
mod tests {
    use model::{ListenerId, PoolId, TargetId};
    use plan::{HttpPlan, ServicePlan};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_is_not_built_is_told_and_the_rest_is_served() {
        let (id, address) = (ListenerId::new(Uuid::nil()), "127.0.0.1:80".parse().unwrap());
        let target = |protocol| {
            TargetPlan::by_hand(TargetId { listener: id, pool: PoolId::new(Uuid::nil()) }, protocol, vec![])
        };
        let to = |target| ListenerPlan::by_hand(id, address, ServicePlan::Tcp, Some(target));
        let of = |service| ListenerPlan::by_hand(id, address, service, None);
        let http = || ServicePlan::Http(HttpPlan::by_hand());
        for (plan, expect) in [
            (of(http()), None),
            (to(target(PoolProtocol::Tcp)), None),
            (of(ServicePlan::Udp), None),
            (of(ServicePlan::Quic(HttpPlan::by_hand())), None),
            (to(target(PoolProtocol::Quic)), None),
            (to(target(PoolProtocol::Tls)), Some("TLS pools")),
        ] {
            let missing = missing(&plan);
            assert_eq!(missing.is_some(), expect.is_some(), "{missing:?}");
            assert!(missing.is_none_or(|missing| missing.starts_with(expect.unwrap())), "{expect:?}");
        }
    }
}
