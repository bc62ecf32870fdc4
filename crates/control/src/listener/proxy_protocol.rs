//! The rules of PROXY headers: who may take them, and whose members may be sent them.

use model::{ListenerProtocol, ProxyAccept, ProxyVersion, Transport};

use crate::Error;

/// Whether a listener of that protocol may take headers, and have its members sent them.
///
/// Taking them is an own setting, for all that begins with a TCP connection. Sending them is documented for listeners of layer 4 on TCP
/// (huawei/v3.json, `proxy_protocol_enable`): a connection there is one client's, as it need not be behind an HTTP listener.
pub(super) fn check(
    protocol: ListenerProtocol,
    accepted: Option<&ProxyAccept>,
    sent: Option<ProxyVersion>,
) -> Result<(), Error> {
    if accepted.is_some() && protocol.transport() != Transport::Tcp {
        return Err(Error::invalid("proxy_protocol_accept", "UDP and QUIC listeners take no PROXY headers"));
    }
    if sent.is_some() && !matches!(protocol, ListenerProtocol::Tcp | ListenerProtocol::Tls) {
        return Err(Error::invalid(
            "proxy_protocol_enable",
            "only members of TCP and TLS listeners can be sent PROXY headers",
        ));
    }
    Ok(())
}
