//! The first start: the account that everything else is made with, and the site's networks. Every start runs it.
//!
//! Users of the configuration are brought up to date. The first account stays as it is, and so do networks and subnets, because
//! VIPs and members hang on them. What the configuration does not name any more stays.
//!
//! This is the system's own work, not a caller's command: no permission is asked and no audit record written.

use std::net::IpAddr;

use identity::{Caller, Origin};
use ipnet::IpNet;
use model::{
    AccessKey, AccessKeyId, Description, Domain, Name, Network, NetworkId, Project, ProjectId, Role,
    RoleAssignment, Secret, Subnet, SubnetId, User, UserId,
};
use uuid::Uuid;

use crate::{
    Control, Error,
    command::{Draft, land},
};

/// What must be there.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The first account.
    pub account: Account,
    /// Further users of the same domain, named by the operator's configuration.
    pub users: Vec<SiteUser>,
    /// The networks of the operator's configuration.
    pub networks: Vec<SiteNetwork>,
}

/// The first account: a domain, a project, an administrator and their access key. The caller keeps the clear secrets.
#[derive(Clone, Debug)]
pub struct Account {
    /// The domain.
    pub domain: Domain,
    /// The project's id.
    pub project: ProjectId,
    /// The project's name; SDKs look a project up by the region's name.
    pub project_name: Name,
    /// The administrator's id.
    pub user: UserId,
    /// The administrator's login name.
    pub user_name: Name,
    /// The argon2id hash of their password, in PHC form.
    pub password_hash: String,
    /// Their access key.
    pub access_key: AccessKeyId,
    /// Its secret half.
    pub secret_key: Secret,
}

/// A user of the configuration; brought up to date at each start.
#[derive(Clone, Debug)]
pub struct SiteUser {
    /// The login name, unique in the domain; the user's id follows from it.
    pub name: Name,
    /// The argon2id hash of the password, in PHC form; none: no login by password. Hashes of one password differ by their salt,
    /// so whoever starts us passes the stored hash again where it still fits ([`user_id`] finds it).
    pub password_hash: Option<String>,
    /// The project to work in, made when it is not there; none: the first account's.
    pub project: Option<Name>,
    /// What the user may do there.
    pub role: Role,
    /// An access key pair; a pair of another user's id is refused.
    pub access_key: Option<(AccessKeyId, Secret)>,
}

/// A network of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteNetwork {
    /// Its name, unique over the site; its id follows from it.
    pub name: Name,
    /// Its address space.
    pub cidr: IpNet,
    /// Its subnets.
    pub subnets: Vec<SiteSubnet>,
}

/// A subnet of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteSubnet {
    /// Its name, unique in its network; its id follows from both.
    pub name: Name,
    /// Its addresses.
    pub cidr: IpNet,
    /// The address kept free for a router.
    pub gateway: IpAddr,
    /// Whether it is a pool of public addresses.
    pub public: bool,
}

/// The id of a network of the configuration: the same on every start and on every control plane.
pub fn network_id(name: &Name) -> NetworkId {
    NetworkId::new(named("network", name))
}

/// The id of a subnet of the configuration.
pub fn subnet_id(network: &Name, name: &Name) -> SubnetId {
    SubnetId::new(Uuid::new_v5(
        &Uuid::NAMESPACE_OID,
        format!("fulcrum/network/{network}/subnet/{name}").as_bytes(),
    ))
}

/// The id of a user of the configuration.
pub fn user_id(name: &Name) -> UserId {
    UserId::new(named("user", name))
}

/// An id that follows from a name.
fn named(kind: &str, name: &Name) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("fulcrum/{kind}/{name}").as_bytes())
}

impl Account {
    /// The administrator as a caller, for what the system itself does in their name.
    pub fn caller(&self, request_id: &str) -> Caller {
        Caller {
            user: self.user,
            user_name: self.user_name.to_string(),
            domain: self.domain.clone(),
            project: self.project,
            role: Role::Admin,
            origin: Origin { request_id: request_id.to_owned(), source_ip: None, api_version: "v3" },
        }
    }
}

/// Makes what is missing, in one commit. Answers without waiting for a node: nothing here concerns traffic.
pub async fn ensure(control: &Control, wanted: &Wanted) -> Result<(), Error> {
    land(control, &wanted.account.caller("bootstrap"), |draft| decide(draft, wanted)).await?;
    Ok(())
}

pub(crate) fn decide(draft: &mut Draft<'_>, wanted: &Wanted) -> Result<(), Error> {
    account(draft, &wanted.account);
    for user in &wanted.users {
        self::user(draft, &wanted.account, user)?;
    }
    wanted.networks.iter().for_each(|network| self::network(draft, network));
    Ok(())
}

fn account(draft: &mut Draft<'_>, account: &Account) {
    project(draft, account, account.project, &account.project_name);
    let who = Who { id: account.user, name: &account.user_name, password_hash: Some(&account.password_hash) };
    person(draft, account, &who, account.project, Role::Admin);
    if draft.state.access_key(&account.access_key).is_none() {
        access_key(draft, &account.access_key, &account.secret_key, account.user, account.project);
    }
}

fn user(draft: &mut Draft<'_>, account: &Account, wanted: &SiteUser) -> Result<(), Error> {
    let in_project = match &wanted.project {
        None => account.project,
        Some(name) => {
            let same = draft.state.projects().values().find(|project| project.name == *name);
            let id = same.map_or_else(|| ProjectId::new(named("project", name)), |project| project.id);
            project(draft, account, id, name);
            id
        }
    };
    let who =
        Who { id: user_id(&wanted.name), name: &wanted.name, password_hash: wanted.password_hash.as_ref() };
    person(draft, account, &who, in_project, wanted.role);
    let roles = vec![RoleAssignment { project: in_project, role: wanted.role }];
    if let Some(there) = draft.state.user(who.id).cloned()
        && (there.roles != roles || there.password_hash != wanted.password_hash)
    {
        draft.put(User { roles, password_hash: wanted.password_hash.clone(), ..User::clone(&there) });
    }
    if let Some((id, secret)) = &wanted.access_key {
        match draft.state.access_key(id).cloned() {
            Some(there) if there.user != who.id => {
                return Err(Error::invalid(
                    "users.access_key",
                    format!("{id} of user {} is another user's already; choose another", wanted.name),
                ));
            }
            Some(there) if there.secret == *secret && there.project == in_project => {}
            Some(_) | None => access_key(draft, id, secret, who.id, in_project),
        }
    }
    Ok(())
}

fn project(draft: &mut Draft<'_>, account: &Account, id: ProjectId, name: &Name) {
    if draft.state.project(id).is_none() {
        draft.put(Project {
            private_key_echo: true,
            id,
            name: name.clone(),
            domain: account.domain.clone(),
            description: Description::default(),
            enabled: true,
            created_at: draft.now,
        });
    }
}

struct Who<'a> {
    id: UserId,
    name: &'a Name,
    password_hash: Option<&'a String>,
}

fn person(draft: &mut Draft<'_>, account: &Account, who: &Who<'_>, project: ProjectId, role: Role) {
    if draft.state.user(who.id).is_none() {
        draft.put(User {
            id: who.id,
            name: who.name.clone(),
            domain: account.domain.clone(),
            password_hash: who.password_hash.cloned(),
            enabled: true,
            roles: vec![RoleAssignment { project, role }],
            created_at: draft.now,
        });
    }
}

fn access_key(draft: &mut Draft<'_>, id: &AccessKeyId, secret: &Secret, user: UserId, project: ProjectId) {
    let secret = secret.clone();
    draft.put(AccessKey { id: id.clone(), user, project, secret, enabled: true, created_at: draft.now });
}

fn network(draft: &mut Draft<'_>, wanted: &SiteNetwork) {
    let (id, created_at) = (network_id(&wanted.name), draft.now);
    if draft.state.network(id).is_none() {
        draft.put(Network { id, name: wanted.name.clone(), cidr: wanted.cidr, created_at });
    }
    for subnet in &wanted.subnets {
        let made = Subnet {
            id: subnet_id(&wanted.name, &subnet.name),
            network: id,
            name: subnet.name.clone(),
            cidr: subnet.cidr,
            gateway: subnet.gateway,
            public: subnet.public,
            created_at,
        };
        if draft.state.subnet(made.id).is_none() {
            draft.put(made);
        }
    }
}
