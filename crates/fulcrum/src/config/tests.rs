use model::Role;

use super::*;

fn parse(text: &str) -> Result<Config, BadConfig> {
    Config::parse("f.toml", text, &Overrides::default())
}
fn mistakes(text: &str) -> Vec<String> {
    parse(text).map_or_else(|bad| bad.to_string().lines().map(str::to_owned).collect(), |_| Vec::new())
}

/// Every key once, each with a value that is not its default.
const FULL: &str = r#"
listen = "[::1]:0"
data = "/var/lib/fulcrum"
region = "eu-1"
zones = ["eu-1x", "eu-1y"]
log = "warn,node=debug"

[store]
location = "postgres://u:p@db/fulcrum"
keep_revisions = 5000

[api]
strict_fields = true
connections_max = 10
head_timeout_s = 5

[dataplane]
workers = 3
transparent_client_address = true
drain_s = 0

[upgrade]
drain_s = 7
ready_s = 8

[tls]
ocsp_stapling = true
ocsp_local_responders = true

[access_log]
file_mib_max = 5
files_kept = 3

[quotas]
loadbalancer = -1
listener = 1
ipgroup = 2
pool = 3
member = 4
healthmonitor = 5
l7policy = 6
certificate = 7
security_policy = 8
listeners_per_loadbalancer = 9
listeners_per_pool = 10
members_per_pool = 11
condition_per_policy = 12
ipgroup_bindings = 13
ipgroup_max_length = 14
ipgroups_per_listener = 15
pools_per_l7policy = 16
l7policies_per_listener = 17
free_instance_members_per_pool = 18
free_instance_listeners_per_loadbalancer = 19

[[networks]]
name = "lab"
cidr = "127.0.0.0/8"
[[networks.subnets]]
name = "all"
cidr = "127.1.0.0/16"
gateway = "127.1.255.254"
public = true
[[networks.subnets]]
name = "more"
cidr = "127.2.3.4/16"

[[users]]
name = "rita"
password = "long enough"
project = "second"
role = "reader"
access_key = "AKRITA"
secret_key = "SK-of-rita-0123456789"
[[users]]
name = "otto"
"#;

#[test]
fn nothing_said_gives_the_documented_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8780");
    assert_eq!((config.data.to_str(), config.region.as_str()), (Some("data"), "local-1"));
    assert_eq!((config.zones, config.log.as_str()), (vec!["local-1a".to_owned()], "info"));
    assert!(matches!(&config.store.location, StoreLocation::File(path) if path.ends_with("data/fulcrum.db")));
    assert_eq!(config.store.keep_revisions, 100_000);
    assert!(!config.api.strict_fields && config.quotas.is_empty() && config.users.is_empty());
    assert!(config.dataplane.workers >= 1);
    assert_eq!(config.dataplane.drain, Duration::from_secs(30));
    assert!(!config.dataplane.transparent_client_address);
    let UpgradeConfig { drain, ready } = config.upgrade;
    assert_eq!((drain, ready), (Duration::from_secs(3600), Duration::from_secs(30)));
    assert!(config.ocsp_stapling.is_some_and(|stapling| !stapling.local_responders));
    let networks: Vec<_> = config
        .networks
        .iter()
        .flat_map(|network| {
            network.subnets.iter().map(|subnet| {
                (network.name.as_str(), subnet.name.as_str(), subnet.cidr.to_string(), subnet.public)
            })
        })
        .collect();
    assert_eq!(
        networks,
        [
            ("default", "default", "127.88.0.0/16".to_owned(), false),
            ("public", "public", "127.99.0.0/16".to_owned(), true),
        ]
    );
}

#[test]
fn every_key_is_read() {
    let config = parse(FULL).unwrap();
    assert_eq!(config.listen.to_string(), "[::1]:0");
    assert_eq!((config.data.to_str(), config.region.as_str()), (Some("/var/lib/fulcrum"), "eu-1"));
    assert_eq!(
        (config.zones, config.log.as_str()),
        (vec!["eu-1x".to_owned(), "eu-1y".to_owned()], "warn,node=debug")
    );
    assert!(
        matches!(&config.store.location, StoreLocation::Postgres(url) if url == "postgres://u:p@db/fulcrum")
    );
    assert_eq!(config.store.keep_revisions, 5000);
    let ApiConfig { strict_fields, connections_max, head_timeout } = config.api;
    assert_eq!((strict_fields, connections_max, head_timeout), (true, 10, Duration::from_secs(5)));
    assert_eq!((config.dataplane.workers, config.dataplane.drain), (3, Duration::ZERO));
    assert!(config.dataplane.transparent_client_address);
    assert!(config.ocsp_stapling.is_some_and(|stapling| stapling.local_responders));
    let UpgradeConfig { drain, ready } = config.upgrade;
    assert_eq!((drain, ready), (Duration::from_secs(7), Duration::from_secs(8)));
    assert_eq!((config.access_log.bytes_max, config.access_log.kept), (5 << 20, 3));
    assert_eq!(config.quotas.len(), QuotaKey::ALL.len());
    assert_eq!(
        (
            config.quotas[&QuotaKey::Loadbalancer],
            config.quotas[&QuotaKey::FreeInstanceListenersPerLoadbalancer]
        ),
        (-1, 19)
    );
    let [network] = &config.networks[..] else { panic!("{:?}", config.networks) };
    assert_eq!((network.name.as_str(), network.cidr.to_string()), ("lab", "127.0.0.0/8".to_owned()));
    let [all, more] = &network.subnets[..] else { panic!("{:?}", network.subnets) };
    assert_eq!((all.gateway.to_string(), all.public), ("127.1.255.254".to_owned(), true));
    assert_eq!(
        (more.cidr.to_string(), more.gateway.to_string(), more.public),
        ("127.2.0.0/16".to_owned(), "127.2.0.1".to_owned(), false)
    );
    let [rita, otto] = &config.users[..] else { panic!("{:?}", config.users) };
    assert_eq!((rita.project.as_ref().map(Name::as_str), rita.role), (Some("second"), Role::Reader));
    assert_eq!(rita.key.as_ref().map(|pair| pair.access_key.as_str()), Some("AKRITA"));
    assert_eq!((otto.role, otto.password.is_none(), otto.key.is_none()), (Role::Member, true, true));
    for key in keys::KEYS {
        let last = key.name.rsplit('.').next().unwrap();
        let said = FULL.contains(&format!("{last} = ")) || FULL.contains(&format!("[{}]", key.name));
        assert!(said, "the sample of this test does not set {}", key.name);
    }
}

#[test]
fn stapling_can_be_turned_off() {
    let config = parse("[tls]\nocsp_stapling = false\nocsp_local_responders = true").unwrap();
    assert!(config.ocsp_stapling.is_none());
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_place() {
    let text = r#"lisen = "127.0.0.1:1"
data = 5
log = "shout"
[dataplane]
workers = 0
drain_s = "soon"
[api]
strict_fields = 1
[quotas]
loadbalancer = -2
[[users]]
name = "a b"
"#;
    let overrides = Overrides {
        listen: Some("0.0.0.0:80".to_owned()),
        environment: [("FULCRUM_PROJECT_ID".to_owned(), "secret".to_owned())].into(),
        ..Overrides::default()
    };
    let told = Config::parse("f.toml", text, &overrides).unwrap_err().to_string();
    for expect in [
        "f.toml:1: lisen is no known key; did you mean listen?",
        "f.toml:2: data = 5: it must be a directory",
        "f.toml:3: log = \"shout\": it must be a filter",
        "f.toml:5: dataplane.workers = 0: it must be 1 to 256 threads",
        "f.toml:6: dataplane.drain_s = \"soon\": it must be 0 to 3600 seconds",
        "f.toml:8: api.strict_fields = 1: it must be true or false",
        "f.toml:10: quotas.loadbalancer = -2: it must be -1 (no limit) to 1000000000",
        "f.toml:12: users.name = \"a b\": it must be 1 to 64 characters",
        "--listen: the API is served over plain HTTP",
        "FULCRUM_PROJECT_ID: it must be 32 hex digits",
    ] {
        assert!(told.contains(expect), "missing: {expect}\n{told}");
    }
    assert_eq!(told.lines().count(), 1 + 10, "{told}");
    assert!(!told.contains("secret"), "values of the environment are not shown");
}

#[test]
fn each_rule_has_its_own_words() {
    for (why, text, expect) in [
        ("an address of all interfaces", "listen = \"0.0.0.0:8780\"", "plain HTTP"),
        ("a number out of range", "[dataplane]\nworkers = 257", "1 to 256"),
        ("a float", "[dataplane]\nworkers = 1.5", "1.5"),
        ("another database", "[store]\nlocation = \"mysql://u:p@h/d\"", "postgres://"),
        ("a list that is none", "zones = \"a\"", "zones"),
        ("a zone twice", "zones = [\"a\", \"a\"]", "different"),
        ("no zone", "zones = []", "1 to 16"),
        ("a table that is none", "api = 1", "must be a table"),
        ("a repeated table that is none", "networks = 1", "[[networks]]"),
        ("a single table", "[networks]\nname = \"a\"", "[[networks]]"),
        ("a network without subnet", "[[networks]]\nname = \"a\"", "at least one"),
        (
            "a network without name",
            "[[networks]]\n[[networks.subnets]]\nname = \"s\"\ncidr = \"10.0.0.0/24\"",
            "networks.name is missing",
        ),
        ("a tiny subnet", &net("10.0.0.0/31", ""), "at least 4 addresses"),
        ("a gateway outside", &net("10.0.0.0/24", "gateway = \"10.0.1.1\""), "inside the block"),
        (
            "overlapping subnets",
            &format!(
                "{}\n[[networks.subnets]]\nname = \"t\"\ncidr = \"10.0.0.128/25\"",
                net("10.0.0.0/24", "")
            ),
            "overlaps 10.0.0.0/24",
        ),
        (
            "overlap with another network",
            &format!("{}\n{}", net("10.0.0.0/24", ""), net("10.0.0.0/8", "").replace("\"n\"", "\"m\"")),
            "overlaps",
        ),
        (
            "a subnet outside its network",
            &net("10.0.0.0/24", "").replace("name = \"n\"", "name = \"n\"\ncidr = \"11.0.0.0/8\""),
            "does not hold",
        ),
        ("a network twice", &format!("{}\n{}", net("10.0.0.0/24", ""), net("10.0.1.0/24", "")), "used twice"),
        ("an unknown key far down", &net("10.0.0.0/24", "gatway = 1"), "networks.subnets.gateway"),
        ("half a key pair", "[[users]]\nname = \"a\"\naccess_key = \"AK\"", "together"),
        ("a short password", "[[users]]\nname = \"a\"\npassword = \"short\"", "8 to 128"),
        ("an unknown role", "[[users]]\nname = \"a\"\nrole = \"root\"", "reader, member or admin"),
        ("a user twice", "[[users]]\nname = \"a\"\n[[users]]\nname = \"a\"", "used twice"),
        ("the first administrator", "[[users]]\nname = \"admin\"", "first administrator"),
        ("no TOML", "listen = \n", "no TOML"),
    ] {
        let told = mistakes(text);
        assert!(told.iter().any(|line| line.contains(expect)), "{why}: {told:?}");
    }
}

#[test]
fn secrets_are_not_in_messages() {
    let told = mistakes("[store]\nlocation = \"mysql://u:geheim@h/d\"\n[[users]]\nname = \"a\"\npassword = \"geheim\"\nsecret_key = \"geheim\"").join("\n");
    assert!(told.contains("users.password = …") && !told.contains("geheim"), "{told}");
    let debug = format!("{:?}", parse(FULL).unwrap());
    assert!(
        !debug.contains("u:p@") && !debug.contains("long enough") && !debug.contains("SK-of-rita"),
        "{debug}"
    );
}

#[test]
fn options_win_over_variables_over_the_file() {
    let overrides = Overrides {
        data: Some("/elsewhere".into()),
        listen: Some("127.0.0.1:1".to_owned()),
        environment: [
            ("FULCRUM_REGION", "env-1"),
            ("FULCRUM_PROJECT_ID", "0123456789abcdef0123456789abcdef"),
            ("FULCRUM_ADMIN_PASSWORD", "long enough"),
            ("FULCRUM_ACCESS_KEY", "AK"),
            ("FULCRUM_SECRET_KEY", "long-enough"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
    };
    let config =
        Config::parse("f", "listen = \"127.0.0.1:2\"\ndata = \"d\"\nregion = \"file-1\"", &overrides)
            .unwrap();
    assert_eq!(config.listen.port(), 1);
    assert_eq!(
        (config.data.to_str(), config.region.as_str(), &config.zones[..]),
        (Some("/elsewhere"), "env-1", &["env-1a".to_owned()][..])
    );
    assert!(matches!(&config.store.location, StoreLocation::File(path) if path.starts_with("/elsewhere")));
    assert!(config.first.project.is_some() && config.first.password.is_some());
    assert!(config.first.access_key.is_some() && config.first.secret_key.is_some());
    let half = Overrides {
        environment: [("FULCRUM_ACCESS_KEY".to_owned(), "AK".to_owned())].into(),
        ..Overrides::default()
    };
    assert!(Config::parse("f", "", &half).unwrap_err().to_string().contains("together"));
    let empty = Overrides {
        environment: [("FULCRUM_REGION".to_owned(), String::new())].into(),
        ..Overrides::default()
    };
    assert_eq!(
        Config::parse("f", "", &empty).unwrap().region.as_str(),
        "local-1",
        "an empty variable says nothing"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_said_so() {
    let told =
        Config::load(Some(Path::new("/nowhere/f.toml")), &Overrides::default()).unwrap_err().to_string();
    assert!(told.contains("/nowhere/f.toml: the file cannot be read"), "{told}");
}

/// The guide and the list of keys say the same, row by row.
#[test]
fn the_guide_lists_every_key_with_its_default_and_legal_values() {
    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/configuration.md"))
        .unwrap();
    let rows: Vec<_> = guide.lines().filter(|line| line.starts_with("| `")).collect();
    let expect: Vec<_> = keys::KEYS
        .iter()
        .filter(|key| key.legal != "a table")
        .map(|key| format!("| `{}` | {} | {} |", key.name, key.default, key.legal))
        .collect();
    for (row, expect) in rows.iter().zip(&expect) {
        assert!(row.starts_with(expect.as_str()), "the guide says\n{row}\nthe code says\n{expect}");
    }
    let of_keys = rows.iter().filter(|row| !row.contains("FULCRUM_")).count();
    assert_eq!(of_keys, expect.len());
    for variable in VARIABLES {
        assert!(guide.contains(&format!("| `{variable}` |")), "{variable}");
    }
}

fn net(cidr: &str, more: &str) -> String {
    format!("[[networks]]\nname = \"n\"\n[[networks.subnets]]\nname = \"s\"\ncidr = \"{cidr}\"\n{more}")
}
