//! Users and their roles.

use serde::{Deserialize, Serialize};

use crate::{Domain, Name, ProjectId, Timestamp, UserId};

/// What a user may do in a project. Finer policies come later and build on these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See everything, change nothing (ELB ReadOnlyAccess).
    Reader,
    /// See and change the project's load balancing (ELB FullAccess).
    Member,
    /// Also manage users, quotas and other projects' objects of the domain.
    Admin,
}

/// A role held in a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAssignment {
    /// Where it holds.
    pub project: ProjectId,
    /// What it allows.
    pub role: Role,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its login name, unique in the domain.
    pub name: Name,
    /// The domain that it belongs to.
    pub domain: Domain,
    /// The argon2id hash of its password in PHC form; none: no login by password.
    pub password_hash: Option<String>,
    /// A disabled user can do nothing.
    pub enabled: bool,
    /// Its roles.
    pub roles: Vec<RoleAssignment>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl User {
    /// The strongest role that the user holds in a project.
    pub fn role_in(&self, project: ProjectId) -> Option<Role> {
        self.roles.iter().filter(|held| held.project == project).map(|held| held.role).max()
    }
}
