//! How the members of a target are verified, as data: authorities are read here, nothing is verified.

use std::{fmt, sync::Arc};

use model::{CertificateId, MemberTls, ServerName, Snapshot};
use serde::Serialize;

use crate::{listener::same_or_new, tls::read_chain};

/// How the members of a target prove who they are.
#[derive(PartialEq, Serialize)]
pub struct MemberTlsPlan {
    /// Which certificate object the authorities are from.
    pub authority: CertificateId,
    /// The authorities in DER. Empty when they cannot be read: then no member can be verified, and
    /// [`crate::ListenerPlan::faults`] says why.
    #[serde(skip)]
    pub authorities_der: Vec<Vec<u8>>,
    /// The name that members' certificates must hold, and that members are told; none: each member's address.
    pub server_name: Option<ServerName>,
}

impl MemberTlsPlan {
    /// The plan of a setting. What is equal in the plan before is taken over from there.
    pub(crate) fn compile(
        snapshot: &Snapshot,
        member_tls: &MemberTls,
        before: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        let authorities_der = read(snapshot, member_tls.authority).unwrap_or_default();
        let server_name = member_tls.server_name.clone();
        same_or_new(before, Self { authority: member_tls.authority, authorities_der, server_name })
    }

    /// What of it cannot be carried out, in words.
    pub(crate) fn fault(&self, snapshot: &Snapshot) -> Option<String> {
        if !self.authorities_der.is_empty() {
            return None;
        }
        let id = self.authority;
        let error = read(snapshot, id).err().unwrap_or_default();
        Some(format!("no member can be verified by CA certificate {id}: {error}; give the pool another one"))
    }
}

fn read(snapshot: &Snapshot, id: CertificateId) -> Result<Vec<Vec<u8>>, String> {
    let certificate = snapshot.certificate(id).ok_or("it does not exist")?;
    read_chain(&certificate.pem)
}

impl fmt::Debug for MemberTlsPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberTlsPlan")
            .field("authority", &self.authority)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}
