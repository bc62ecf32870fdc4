//! The rules of verified members: an own setting, after Octavia's `ca_tls_container_ref` of pools (openstack/octavia-v2.md).

use model::{CertificateKind, Pool, PoolProtocol};

use crate::{Error, command::Draft, listener::tls};

/// Whether the setting belongs to the pool, and its authority is one.
pub(super) fn check(draft: &Draft<'_>, pool: &Pool) -> Result<(), Error> {
    let Some(member_tls) = &pool.member_tls else { return Ok(()) };
    if !matches!(pool.protocol, PoolProtocol::Https | PoolProtocol::Tls) {
        return Err(Error::invalid(
            "member_tls",
            "only members of HTTPS and TLS pools have certificates to verify",
        ));
    }
    tls::of_kind(draft, member_tls.authority, CertificateKind::ClientCa, "member_tls").map(drop)
}
