//! The rules of QUIC listeners, and of HTTPS listeners that tell of one (behaviour/features.md section 2).

use model::{
    KeyKind, ListenerId, ListenerPatch, ListenerProtocol, LoadBalancerId,
    listener::{QuicService, QuicUpgrade},
};

use crate::{Error, command::Draft};

/// What a QUIC listener has not: clients' certificates, security policies, early data, HTTP before 2; and its certificates are RSA.
pub(super) fn check(draft: &Draft<'_>, quic: &QuicService) -> Result<(), Error> {
    let tls = &quic.tls;
    let not_had = [
        ("client_ca_tls_container_ref", tls.client_ca.is_some()),
        ("security_policy_id", tls.security_policy.is_some()),
        ("ssl_early_data_enable", tls.early_data),
        ("http2_enable", !quic.http.http2),
    ];
    if let Some((field, _)) = not_had.into_iter().find(|(_, had)| *had) {
        return Err(Error::invalid(field, "QUIC listeners do not have this setting; leave it out"));
    }
    for id in tls.certificates() {
        if draft.certificate(id)?.facts.key != KeyKind::Rsa {
            let field =
                if id == tls.certificate { "default_tls_container_ref" } else { "sni_container_refs" };
            return Err(Error::invalid(
                field,
                format!("certificate {id} is not RSA, and QUIC listeners show RSA certificates only"),
            ));
        }
    }
    Ok(())
}

/// What cannot be said of a QUIC listener at all.
pub(super) fn check_patch(patch: &ListenerPatch) -> Result<(), Error> {
    match patch.system_policy {
        None => Ok(()),
        Some(_) => {
            Err(Error::invalid("tls_ciphers_policy", "QUIC listeners have TLS 1.3 alone; leave it out"))
        }
    }
}

/// Whether an HTTPS listener of that load balancer may tell of a QUIC listener: only the port is told, so the host is the same.
pub(super) fn check_upgrade(
    draft: &Draft<'_>,
    load_balancer: LoadBalancerId,
    upgrade: QuicUpgrade,
) -> Result<(), Error> {
    let quic = draft.listener(upgrade.listener)?;
    let reason = match (quic.protocol(), quic.load_balancer == load_balancer) {
        (ListenerProtocol::Quic, true) => return Ok(()),
        (ListenerProtocol::Quic, false) => "belongs to another load balancer".to_owned(),
        (other, _) => format!("is {other:?}; a QUIC listener is needed here"),
    };
    Err(Error::invalid("quic_config", format!("listener {} {reason}", quic.id)))
}

/// A listener that others tell of stays.
pub(super) fn check_no_upgrades(draft: &Draft<'_>, id: ListenerId) -> Result<(), Error> {
    match draft.state.listeners_upgrading_to(id).next() {
        None => Ok(()),
        Some(https) => Err(Error::InUse {
            what: format!("listener {id}"),
            by: format!("listener {} tells its clients of it; change its quic_config first", https.id),
        }),
    }
}
