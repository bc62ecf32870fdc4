//! What the configuration says about the site, in the words of `control`.

use control::{
    Site,
    bootstrap::{self, Account, SiteNetwork, SiteSubnet, SiteUser, Wanted},
};
use identity::password;
use model::{Snapshot, Zone};

use super::account::random;
use crate::config::{Config, NetworkConfig, SubnetConfig, UserConfig};

/// The site that commands are checked against.
pub(super) fn site(config: &Config) -> Site {
    Site {
        region: config.region.to_string(),
        zones: config.zones.iter().map(|code| Zone { code: code.clone() }).collect(),
        quotas: config.quotas.clone(),
    }
}

/// What must be in the store.
pub(super) fn wanted(config: &Config, account: Account, snapshot: &Snapshot) -> anyhow::Result<Wanted> {
    let users = config.users.iter().map(|user| site_user(user, snapshot)).collect::<Result<_, _>>()?;
    Ok(Wanted { account, users, networks: config.networks.iter().map(network).collect() })
}

fn network(NetworkConfig { name, cidr, subnets }: &NetworkConfig) -> SiteNetwork {
    let subnet = |SubnetConfig { name, cidr, gateway, public }: &SubnetConfig| SiteSubnet {
        name: name.clone(),
        cidr: *cidr,
        gateway: *gateway,
        public: *public,
    };
    SiteNetwork { name: name.clone(), cidr: *cidr, subnets: subnets.iter().map(subnet).collect() }
}

fn site_user(user: &UserConfig, snapshot: &Snapshot) -> anyhow::Result<SiteUser> {
    let UserConfig { name, password, project, role, key } = user;
    // A password that still fits keeps its hash, so that a start without changes commits nothing.
    let stored = snapshot.user(bootstrap::user_id(name)).and_then(|user| user.password_hash.clone());
    let password_hash = match password {
        None => None,
        Some(password) => match stored.filter(|hash| password::verify(password.reveal(), hash)) {
            Some(hash) => Some(hash),
            None => Some(password::hash(password.reveal(), &random()?)),
        },
    };
    let access_key = key.as_ref().map(|pair| (pair.access_key.clone(), pair.secret_key.clone()));
    Ok(SiteUser { name: name.clone(), password_hash, project: project.clone(), role: *role, access_key })
}
