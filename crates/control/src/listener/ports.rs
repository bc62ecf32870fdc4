//! The rules of a listener's ports (huawei/behaviours.md section 6).

use model::{Listener, ListenerProtocol, LoadBalancerId, Ports, Transport};

use crate::{Error, command::Draft};

/// Whether a new listener may have these ports: on its load balancer each is one listener's, per transport, and ranges are for layer 4.
pub(super) fn check(
    draft: &Draft<'_>,
    load_balancer: LoadBalancerId,
    protocol: ListenerProtocol,
    ports: &Ports,
) -> Result<(), Error> {
    let ranged = matches!(protocol, ListenerProtocol::Tcp | ListenerProtocol::Udp | ListenerProtocol::Tls);
    let transport = protocol.transport();
    match ports.one() {
        None if !ranged => {
            return Err(Error::invalid(
                "port_ranges",
                "only TCP, UDP and TLS listeners have ranges of ports",
            ));
        }
        Some(port) if transport == Transport::Udp && port.value() == VXLAN => {
            return Err(Error::invalid(
                "protocol_port",
                format!("UDP port {VXLAN} carries the network below (VXLAN); choose another"),
            ));
        }
        Some(_) | None => {}
    }
    let siblings = draft.state.listeners_of(load_balancer);
    let taken = siblings
        .filter(|other| other.protocol().transport() == transport)
        .find_map(|other| ports.shared_with(&other.ports).map(|port| (port, other.id)));
    match taken {
        None => Ok(()),
        Some((port, holder)) => Err(Error::PortTaken { port, transport, holder }),
    }
}

/// What a listener claims. Of ranges it is their text: that no port is in two of them is what [`check`] sees to, on a state that the
/// store holds still (ADR 2); the claim is the second lock, for one port.
pub(super) fn claim(load_balancer: LoadBalancerId, transport: Transport, ports: &Ports) -> String {
    format!("port/{load_balancer}/{transport}/{ports}")
}

/// The claim of a listener that is there.
pub(crate) fn claim_of(listener: &Listener) -> String {
    claim(listener.load_balancer, listener.protocol().transport(), &listener.ports)
}

/// May not be used by UDP (behaviour/features.md section 2). A range that holds it is accepted: the documents name the port alone.
const VXLAN: u16 = 4789;
