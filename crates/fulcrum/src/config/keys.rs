//! Every configuration key: the one list from which unknown keys are told apart and the guide is checked.

/// A key of the configuration file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// The full name; keys of repeated tables without their position (`networks.subnets.cidr`).
    pub(crate) name: &'static str,
    /// What holds when it is not set.
    pub(crate) default: &'static str,
    /// The legal values, with their unit.
    pub(crate) legal: &'static str,
}

const fn key(name: &'static str, default: &'static str, legal: &'static str) -> Key {
    Key { name, default, legal }
}

/// The key of that name.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The known name that is nearest to an unknown one, if any is near enough to be meant. The right key in the wrong table is near.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let score = |key: &Key| distance(name, key.name).min(1 + distance(&last(name), &last(key.name)));
    let (score, found) = KEYS.iter().map(|key| (score(key), key.name)).min()?;
    let allowed = if last(name).len() >= 8 { 3 } else { 2 };
    (score <= allowed).then_some(found)
}

/// Levenshtein distance in bytes; names are ASCII.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let next = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

const NAME: &str = "1 to 64 characters of a-z, A-Z, 0-9, '-', '_' and '.'";
const LIMIT: &str = "-1 (no limit) to 1000000000";

/// Every key, in the order of the guide. Tables stand before their keys.
pub(crate) const KEYS: &[Key] = &[
    key("listen", "127.0.0.1:8780", "a loopback address and a port; port 0 picks a free one"),
    key("data", "./data", "a directory; it is made if it is missing"),
    key("region", "local-1", NAME),
    key(
        "zones",
        "the region's name with 'a' added",
        "a list of 1 to 16 different names, each of 1 to 64 characters of a-z, A-Z, 0-9, '-', '_' and '.'",
    ),
    key("log", "info", "a filter such as 'info' or 'info,node=debug' (off, error, warn, info, debug)"),
    key("store", "", "a table"),
    key(
        "store.location",
        "fulcrum.db",
        "a file name (relative to data), or postgres://USER:PASSWORD@HOST/DATABASE",
    ),
    key("store.keep_revisions", "100000", "1000 to 100000000 revisions"),
    key("api", "", "a table"),
    key("api.strict_fields", "false", "true or false"),
    key("api.connections_max", "1024", "1 to 65536 connections"),
    key("api.head_timeout_s", "60", "1 to 3600 seconds"),
    key("dataplane", "", "a table"),
    key("dataplane.workers", "one per core", "1 to 256 threads"),
    key("dataplane.drain_s", "30", "0 to 3600 seconds"),
    key("dataplane.transparent_client_address", "false", "true or false"),
    key("upgrade", "", "a table"),
    key("upgrade.drain_s", "3600", "0 to 604800 seconds"),
    key("upgrade.ready_s", "30", "1 to 600 seconds"),
    key("tls", "", "a table"),
    key("tls.ocsp_stapling", "true", "true or false"),
    key("tls.ocsp_local_responders", "false", "true or false"),
    key("access_log", "", "a table"),
    key("access_log.file_mib_max", "64", "1 to 65536 MiB"),
    key("access_log.files_kept", "8", "0 to 1000 files"),
    key("quotas", "", "a table"),
    key("quotas.loadbalancer", "50", LIMIT),
    key("quotas.listener", "100", LIMIT),
    key("quotas.ipgroup", "50", LIMIT),
    key("quotas.pool", "500", LIMIT),
    key("quotas.member", "500", LIMIT),
    key("quotas.healthmonitor", "-1", LIMIT),
    key("quotas.l7policy", "500", LIMIT),
    key("quotas.certificate", "120", LIMIT),
    key("quotas.security_policy", "50", LIMIT),
    key("quotas.listeners_per_loadbalancer", "50", LIMIT),
    key("quotas.listeners_per_pool", "50", LIMIT),
    key("quotas.members_per_pool", "500", LIMIT),
    key("quotas.condition_per_policy", "10", LIMIT),
    key("quotas.ipgroup_bindings", "50", LIMIT),
    key("quotas.ipgroup_max_length", "300", LIMIT),
    key("quotas.ipgroups_per_listener", "5", LIMIT),
    key("quotas.pools_per_l7policy", "5", LIMIT),
    key("quotas.l7policies_per_listener", "100", LIMIT),
    key("quotas.free_instance_members_per_pool", "50", LIMIT),
    key("quotas.free_instance_listeners_per_loadbalancer", "5", LIMIT),
    key(
        "networks",
        "one: name 'default', its subnet 'default' 127.88.0.0/16, and the public pool 'public' 127.99.0.0/16",
        "tables [[networks]], each with at least one subnet",
    ),
    key("networks.name", "required", NAME),
    key(
        "networks.cidr",
        "the smallest block that holds the subnets",
        "a block such as 127.0.0.0/8 that holds the subnets",
    ),
    key("networks.subnets", "required", "tables [[networks.subnets]]"),
    key("networks.subnets.name", "required", NAME),
    key(
        "networks.subnets.cidr",
        "required",
        "a block such as 127.88.0.0/16 with at least 4 addresses, that overlaps no other subnet",
    ),
    key(
        "networks.subnets.gateway",
        "the first address; the last one where the first is 127.0.0.1",
        "an address inside the block; it is never given out",
    ),
    key("networks.subnets.public", "false", "true (VIPs from here are public) or false"),
    key("users", "none", "tables [[users]]; the first administrator is made without one"),
    key("users.name", "required", NAME),
    key("users.password", "none: no login by password", "8 to 128 characters"),
    key("users.project", "the first project", NAME),
    key("users.role", "member", "reader, member or admin"),
    key(
        "users.access_key",
        "none",
        "1 to 64 characters of A-Z, a-z, 0-9, '-' and '_', together with secret_key",
    ),
    key("users.secret_key", "none", "8 to 128 printable ASCII characters, together with access_key"),
];

#[cfg(test)]
mod tests {
    use model::QuotaKey;

    use super::*;

    #[test]
    fn the_nearest_key_is_the_one_that_was_meant() {
        for (unknown, expect) in [
            ("lisen", Some("listen")),
            ("dataplane.worker", Some("dataplane.workers")),
            ("workers", Some("dataplane.workers")),
            ("strict_fields", Some("api.strict_fields")),
            ("strict_field", Some("api.strict_fields")),
            ("quotas.listenr", Some("quotas.listener")),
            ("api.strictfields", Some("api.strict_fields")),
            ("networks.subnets.cdir", Some("networks.subnets.cidr")),
            ("quotas.load_balancer", Some("quotas.loadbalancer")),
            ("telemetry", None),
        ] {
            assert_eq!(nearest(unknown), expect, "{unknown}");
        }
    }

    #[test]
    fn quota_keys_and_defaults_are_those_of_the_model() {
        let listed: Vec<_> =
            KEYS.iter().filter_map(|key| Some((key.name.strip_prefix("quotas.")?, key.default))).collect();
        let model: Vec<_> =
            QuotaKey::ALL.iter().map(|key| (key.as_str(), key.default_limit().to_string())).collect();
        assert_eq!(listed, model.iter().map(|(name, default)| (*name, default.as_str())).collect::<Vec<_>>());
    }

    #[test]
    fn no_key_is_listed_twice() {
        let mut names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KEYS.len());
    }
}
