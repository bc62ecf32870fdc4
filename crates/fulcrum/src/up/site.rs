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

/// Where the store keeps something else than the configuration says, in words. What exists is not changed by the configuration: VIPs
/// hang on it.
pub(super) fn differences(config: &Config, snapshot: &Snapshot) -> Vec<String> {
    let mut told = Vec::new();
    for NetworkConfig { name, cidr, subnets } in &config.networks {
        let kept = snapshot.network(bootstrap::network_id(name)).filter(|kept| kept.cidr != *cidr);
        told.extend(kept.map(|kept| format!("network {name} stays {}, not {cidr}", kept.cidr)));
        for wanted in subnets {
            let Some(kept) = snapshot.subnet(bootstrap::subnet_id(name, &wanted.name)) else { continue };
            if (kept.cidr, kept.gateway, kept.public) != (wanted.cidr, wanted.gateway, wanted.public) {
                told.push(format!(
                    "subnet {name}/{} stays {} with gateway {} ({}), as it was made",
                    wanted.name,
                    kept.cidr,
                    kept.gateway,
                    if kept.public { "public" } else { "private" }
                ));
            }
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use model::{Network, Subnet, Timestamp};

    use super::*;
    use crate::config::Overrides;

    #[test]
    fn a_subnet_that_was_made_otherwise_is_told() {
        let config = Config::parse("test", "", &Overrides::default()).unwrap();
        let NetworkConfig { name, cidr, subnets } = &config.networks[0];
        let network = bootstrap::network_id(name);
        let mut made = Subnet {
            id: bootstrap::subnet_id(name, &subnets[0].name),
            network,
            name: subnets[0].name.clone(),
            cidr: subnets[0].cidr,
            gateway: subnets[0].gateway,
            public: false,
            created_at: Timestamp::default(),
        };
        let mut snapshot = Snapshot::default();
        assert!(differences(&config, &snapshot).is_empty(), "nothing is there yet");
        let created_at = Timestamp::default();
        snapshot.put(Network { id: network, name: name.clone(), cidr: *cidr, created_at }.into());
        snapshot.put(made.clone().into());
        assert!(differences(&config, &snapshot).is_empty(), "all is as configured");
        made.gateway = "127.88.0.9".parse().unwrap();
        snapshot.put(made.into());
        let told = differences(&config, &snapshot);
        assert!(told.len() == 1 && told[0].contains("127.88.0.9"), "{told:?}");
    }
}
