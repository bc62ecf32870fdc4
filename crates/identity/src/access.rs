//! What a caller may do: actions, and the rule that grants them to roles.
//!
//! An action is written `service:resource:verb` (behaviour/iam.md, "Actions"). Until policies come, three roles grant actions:
//!
//! | role | grants |
//! |---|---|
//! | `Reader` | `get` and `list` of everything |
//! | `Member` | the same, and every verb on `elb` and `vpc`, except that quotas are set by administrators |
//! | `Admin` | everything |
//!
//! It does not look at whose object is touched: that is decided by the project that the caller works in, and an object of another
//! project is not found rather than forbidden.

use std::fmt;

use model::Role;

use crate::Caller;

/// What a request does, in the words of permissions: `elb:listeners:create`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Action {
    /// The service, for example `elb`, `vpc`, `iam`.
    pub service: &'static str,
    /// The kind of object, in the plural, for example `listeners`.
    pub resource: &'static str,
    /// What is done with it.
    pub verb: Verb,
}

impl Action {
    /// An action on load balancing.
    pub const fn elb(resource: &'static str, verb: Verb) -> Self {
        Self { service: "elb", resource, verb }
    }
    /// An action on networks.
    pub const fn vpc(resource: &'static str, verb: Verb) -> Self {
        Self { service: "vpc", resource, verb }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.service, self.resource, self.verb.as_str())
    }
}

/// What is done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Make one.
    Create,
    /// See one.
    Get,
    /// See all.
    List,
    /// Change one.
    Put,
    /// Remove one.
    Delete,
}

impl Verb {
    /// Every verb.
    pub const ALL: &[Self] = &[Self::Create, Self::Get, Self::List, Self::Put, Self::Delete];

    /// The verb as written in actions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Get => "get",
            Self::List => "list",
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }

    /// Whether it changes nothing.
    pub const fn reads(self) -> bool {
        match self {
            Self::Get | Self::List => true,
            Self::Create | Self::Put | Self::Delete => false,
        }
    }
}

/// The caller's role does not grant the action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("user {user_name} may not do {action} with role {}; ask an administrator for a role that grants it", role_name(*.role))]
pub struct Denied {
    /// Who asked.
    pub user_name: String,
    /// What for.
    pub action: Action,
    /// The role held in the project.
    pub role: Role,
}

impl Denied {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        "denied"
    }
}

/// Whether the caller's role grants an action; the table is in the module's words.
pub fn authorize(caller: &Caller, action: Action) -> Result<(), Denied> {
    let grants = match caller.role {
        Role::Reader => action.verb.reads(),
        Role::Member => {
            let own_work = matches!(action.service, "elb" | "vpc") && action.resource != "quotas";
            action.verb.reads() || own_work
        }
        Role::Admin => true,
    };
    if grants {
        Ok(())
    } else {
        Err(Denied { user_name: caller.user_name.clone(), action, role: caller.role })
    }
}

/// A role's name, as APIs write it.
pub const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Reader => "reader",
        Role::Member => "member",
        Role::Admin => "admin",
    }
}

#[cfg(test)]
mod tests {
    use model::{Domain, DomainId, ProjectId, UserId};

    use super::*;
    use crate::Origin;

    fn caller(role: Role) -> Caller {
        let id = uuid::Uuid::from_u128(1);
        Caller {
            user: UserId::new(id),
            user_name: "ada".to_owned(),
            domain: Domain { id: DomainId::new(id), name: "default".try_into().unwrap() },
            project: ProjectId::new(id),
            role,
            origin: Origin { request_id: "0".repeat(32), source_ip: None, api_version: "v3" },
        }
    }

    #[test]
    fn roles_grant_what_the_table_says() {
        use Verb::{Create, Delete, Get, List, Put};
        let elb = |verb| Action::elb("listeners", verb);
        let users = |verb| Action { service: "iam", resource: "users", verb };
        for (why, action, reader, member) in [
            ("all may look", elb(Get), true, true),
            ("all may list", elb(List), true, true),
            ("readers make nothing", elb(Create), false, true),
            ("readers change nothing", elb(Put), false, true),
            ("readers delete nothing", elb(Delete), false, true),
            ("networks belong to a member's work", Action::vpc("subnets", Put), false, true),
            ("other services are the administrator's", users(Create), false, false),
            ("but may be looked at", users(List), true, true),
            ("usage may be seen", Action::elb("quotas", List), true, true),
            ("quotas are set by administrators", Action::elb("quotas", Put), false, false),
        ] {
            assert_eq!(authorize(&caller(Role::Reader), action).is_ok(), reader, "reader: {why}");
            assert_eq!(authorize(&caller(Role::Member), action).is_ok(), member, "member: {why}");
            assert!(authorize(&caller(Role::Admin), action).is_ok(), "admin: {why}");
        }
    }

    #[test]
    fn a_denial_says_who_what_and_how_to_mend_it() {
        let denied = authorize(&caller(Role::Reader), Action::elb("pools", Verb::Create)).unwrap_err();
        let text = denied.to_string();
        for part in ["ada", "elb:pools:create", "reader", "administrator"] {
            assert!(text.contains(part), "{part} in: {text}");
        }
        assert_eq!(denied.code(), "denied");
    }
}
