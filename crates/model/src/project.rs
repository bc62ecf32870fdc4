//! Projects and the domain (account) that owns them.

use serde::{Deserialize, Serialize};

use crate::{Description, DomainId, Name, ProjectId, Timestamp};

/// A domain: the account that owns projects and users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// Its id.
    pub id: DomainId,
    /// Its name, unique over the site.
    pub name: Name,
}

/// A project: the container of load balancers and all below them; the unit of isolation and of quotas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Its name, unique in the domain. The default project is named like the region, as SDKs look it up so.
    pub name: Name,
    /// The owning domain.
    pub domain: Domain,
    /// A remark.
    pub description: Description,
    /// A disabled project refuses logins; its traffic goes on.
    pub enabled: bool,
    /// Whether queries show the private keys of its certificates.
    #[serde(default = "on")]
    pub private_key_echo: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

fn on() -> bool {
    true
}
