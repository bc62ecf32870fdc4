//! The configuration: a TOML file, environment variables and options become one checked [`Config`], or a list of all mistakes.
//!
//! An option wins over an environment variable, that over the file, that over the default. Keys, defaults and legal values:
//! [`keys::KEYS`], printed in docs/guide/configuration.md.

mod keys;
mod names;
mod network;
mod reader;
mod user;

use std::{
    collections::BTreeMap,
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use dataplane::OcspStapling;
use model::{AccessKeyId, Name, ProjectId, QuotaKey, Secret};
use telemetry::access_log::Rotation;

pub(crate) use network::{NetworkConfig, SubnetConfig};
use reader::{Mistake, Mistakes, Section};
pub(crate) use user::{FIRST_ADMINISTRATOR, UserConfig};

/// Everything that can be configured, checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where the API is served; loopback only.
    pub(crate) listen: SocketAddr,
    /// The directory that holds everything that is kept.
    pub(crate) data: PathBuf,
    /// The region's name; also the name of the first project, as SDKs look projects up by region.
    pub(crate) region: Name,
    /// Codes of the zones.
    pub(crate) zones: Vec<String>,
    /// The log filter.
    pub(crate) log: String,
    /// Where objects are stored.
    pub(crate) store: StoreConfig,
    /// How the API behaves.
    pub(crate) api: ApiConfig,
    /// How traffic is served.
    pub(crate) dataplane: DataplaneConfig,
    /// Whether OCSP answers are stapled, and whom may be asked for them; none: they are not.
    pub(crate) ocsp_stapling: Option<OcspStapling>,
    /// How a new process takes the place of this one.
    pub(crate) upgrade: UpgradeConfig,
    /// When access log files are put aside, and how many are kept.
    pub(crate) access_log: Rotation,
    /// Limits of every project that has none of its own, where they differ from the default; -1 is no limit.
    pub(crate) quotas: BTreeMap<QuotaKey, i64>,
    /// Networks that VIPs come from; at least one, each with at least one subnet.
    pub(crate) networks: Vec<NetworkConfig>,
    /// Users beside the first administrator.
    pub(crate) users: Vec<UserConfig>,
    /// What the first start gives the first administrator in place of random values.
    pub(crate) first: FirstConfig,
}

/// Where objects are stored.
#[derive(Clone, Debug)]
pub(crate) struct StoreConfig {
    /// The database.
    pub(crate) location: StoreLocation,
    /// How many revisions of the feed are kept for readers that were away.
    pub(crate) keep_revisions: u64,
}

/// The database.
#[derive(Clone)]
pub(crate) enum StoreLocation {
    /// A file of SQLite.
    File(PathBuf),
    /// A database of PostgreSQL; the URL may hold a password.
    Postgres(String),
}

impl fmt::Debug for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Postgres(_) => f.write_str("Postgres(…)"),
        }
    }
}

/// How the API behaves.
#[derive(Clone, Debug)]
pub(crate) struct ApiConfig {
    /// Whether unknown fields of requests are refused.
    pub(crate) strict_fields: bool,
    /// Most connections at a time.
    pub(crate) connections_max: usize,
    /// How long a request's head may take, and an idle connection is kept.
    pub(crate) head_timeout: Duration,
}

/// How traffic is served.
#[derive(Clone, Debug)]
pub(crate) struct DataplaneConfig {
    /// Threads that serve traffic.
    pub(crate) workers: usize,
    /// How long existing work may last after SIGTERM.
    pub(crate) drain: Duration,
    /// Whether members of layer 4 see the clients' addresses.
    pub(crate) transparent_client_address: bool,
}

/// How a new process takes the place of this one.
#[derive(Clone, Debug)]
pub(crate) struct UpgradeConfig {
    /// How long existing work of the process that is replaced may last.
    pub(crate) drain: Duration,
    /// How long the new process may take until it is ready.
    pub(crate) ready: Duration,
}

/// What the first start gives the first administrator; none is drawn at random.
#[derive(Clone, Debug, Default)]
pub(crate) struct FirstConfig {
    /// `FULCRUM_PROJECT_ID`.
    pub(crate) project: Option<ProjectId>,
    /// `FULCRUM_ADMIN_PASSWORD`.
    pub(crate) password: Option<Secret>,
    /// `FULCRUM_ACCESS_KEY`.
    pub(crate) access_key: Option<AccessKeyId>,
    /// `FULCRUM_SECRET_KEY`.
    pub(crate) secret_key: Option<Secret>,
}

/// What the command line and the environment say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// `--data`.
    pub(crate) data: Option<PathBuf>,
    /// `--listen`.
    pub(crate) listen: Option<String>,
    /// Environment variables by name.
    pub(crate) environment: BTreeMap<String, String>,
}

/// The environment variables that are read.
pub(crate) const VARIABLES: &[&str] = &[
    "FULCRUM_REGION",
    "FULCRUM_PROJECT_ID",
    "FULCRUM_ADMIN_PASSWORD",
    "FULCRUM_ACCESS_KEY",
    "FULCRUM_SECRET_KEY",
];

/// Everything that is wrong with a configuration, one mistake a line.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the configuration is not legal:{}", lines(.0))]
pub(crate) struct BadConfig(Vec<Mistake>);

fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|mistake| format!("\n  {mistake}")).collect()
}

impl Config {
    /// The configuration of a file (none: defaults) under the overrides.
    pub(crate) fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Self, BadConfig> {
        let Some(path) = file else { return Self::parse("defaults", "", overrides) };
        let name = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&name, &text, overrides),
            Err(error) => {
                let mistakes = Mistakes::new(name.clone(), "");
                mistakes.in_place(name, format!("the file cannot be read: {error}"));
                Err(BadConfig(mistakes.finish()))
            }
        }
    }

    /// The configuration of a text.
    pub(crate) fn parse(file: &str, text: &str, overrides: &Overrides) -> Result<Self, BadConfig> {
        let mistakes = Mistakes::new(file, text);
        let config = read(Section::root(&mistakes), overrides, &mistakes);
        let found = mistakes.finish();
        match config {
            Some(config) if found.is_empty() => Ok(config),
            _ => Err(BadConfig(found)),
        }
    }
}

/// Reads everything before it gives up on anything. None comes only with a mistake noted.
fn read(mut root: Section<'_, '_>, overrides: &Overrides, mistakes: &Mistakes<'_>) -> Option<Config> {
    let listen = listen(&mut root, overrides, mistakes);
    let data = root.text("data", |text| (!text.is_empty()).then(|| PathBuf::from(text)));
    let data =
        overrides.data.clone().or(data.map(|data| data.value)).unwrap_or_else(|| PathBuf::from("data"));
    let region = root.text("region", names::name).map(|region| region.value);
    let region = variable(
        overrides,
        mistakes,
        "FULCRUM_REGION",
        "1 to 64 characters of a-z, A-Z, 0-9, '-', '_' and '.'",
        names::name,
    )
    .or(region)
    .unwrap_or_else(|| names::name("local-1").expect("the default is legal"));
    let zones = root.texts("zones", names::zones).unwrap_or_else(|| vec![format!("{region}a")]);
    let log = root.text("log", names::log_filter);
    let store = store(root.section("store"), &data);
    let api = api(root.section("api"));
    let dataplane = dataplane(root.section("dataplane"));
    let ocsp_stapling = tls(root.section("tls"));
    let upgrade = upgrade(root.section("upgrade"));
    let access_log = access_log(root.section("access_log"));
    let quotas = quotas(root.section("quotas"));
    let networks = network::read(&mut root);
    let users = user::read(&mut root);
    let first = first(overrides, mistakes);
    root.finish();
    let log = log.map_or_else(|| "info".to_owned(), |log| log.value);
    Some(Config {
        listen: listen?,
        data,
        region,
        zones,
        log,
        store,
        api,
        dataplane,
        ocsp_stapling,
        upgrade,
        access_log,
        quotas,
        networks: networks?,
        users,
        first,
    })
}

fn listen(root: &mut Section<'_, '_>, overrides: &Overrides, mistakes: &Mistakes<'_>) -> Option<SocketAddr> {
    let in_file = root.text("listen", |text| text.parse::<SocketAddr>().ok());
    if let Some(listen) = &in_file
        && let Err(error) = gateway::plain_http_allowed(listen.value)
    {
        root.mistake(listen.at, format!("listen: {error}"));
        return None;
    }
    let Some(text) = &overrides.listen else {
        return Some(in_file.map_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8780)), |listen| listen.value));
    };
    match text.parse::<SocketAddr>() {
        Err(_) => {
            mistakes.in_place(
                "--listen",
                format!("{text:?} is no ADDRESS:PORT, such as 127.0.0.1:8780 or [::1]:0"),
            );
            None
        }
        Ok(address) => match gateway::plain_http_allowed(address) {
            Err(error) => {
                mistakes.in_place("--listen", error.to_string());
                None
            }
            Ok(()) => Some(address),
        },
    }
}

fn store(mut section: Section<'_, '_>, data: &Path) -> StoreConfig {
    let location = section.text("location", |text| {
        let url = text.starts_with("postgres://") || text.starts_with("postgresql://");
        match url {
            true => Some(StoreLocation::Postgres(text.to_owned())),
            // Anything else with a scheme is a mistake rather than a file name.
            false if text.is_empty() || text.contains("://") => None,
            false => Some(StoreLocation::File(data.join(text))),
        }
    });
    let keep_revisions = section.integer("keep_revisions", 1000..=100_000_000).unwrap_or(100_000);
    section.finish();
    StoreConfig {
        location: location
            .map_or_else(|| StoreLocation::File(data.join("fulcrum.db")), |location| location.value),
        keep_revisions: keep_revisions.unsigned_abs(),
    }
}

fn api(mut section: Section<'_, '_>) -> ApiConfig {
    let api = ApiConfig {
        strict_fields: section.boolean("strict_fields").unwrap_or(false),
        connections_max: count(section.integer("connections_max", 1..=65_536), 1024),
        head_timeout: seconds(section.integer("head_timeout_s", 1..=3600), 60),
    };
    section.finish();
    api
}

fn dataplane(mut section: Section<'_, '_>) -> DataplaneConfig {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(256));
    let dataplane = DataplaneConfig {
        workers: count(section.integer("workers", 1..=256), cores),
        drain: seconds(section.integer("drain_s", 0..=3600), 30),
        transparent_client_address: section.boolean("transparent_client_address").unwrap_or(false),
    };
    section.finish();
    dataplane
}

fn tls(mut section: Section<'_, '_>) -> Option<OcspStapling> {
    let stapled = section.boolean("ocsp_stapling").unwrap_or(true);
    let local_responders = section.boolean("ocsp_local_responders").unwrap_or(false);
    section.finish();
    stapled.then_some(OcspStapling { local_responders })
}

fn upgrade(mut section: Section<'_, '_>) -> UpgradeConfig {
    let upgrade = UpgradeConfig {
        drain: seconds(section.integer("drain_s", 0..=604_800), 3600),
        ready: seconds(section.integer("ready_s", 1..=600), 30),
    };
    section.finish();
    upgrade
}

fn access_log(mut section: Section<'_, '_>) -> Rotation {
    let rotation = Rotation {
        bytes_max: section
            .integer("file_mib_max", 1..=65_536)
            .and_then(|mib| u64::try_from(mib).ok())
            .map_or(Rotation::default().bytes_max, |mib| mib << 20),
        kept: section
            .integer("files_kept", 0..=1000)
            .and_then(|files| u32::try_from(files).ok())
            .unwrap_or(Rotation::default().kept),
    };
    section.finish();
    rotation
}

fn quotas(mut section: Section<'_, '_>) -> BTreeMap<QuotaKey, i64> {
    let mut quotas = BTreeMap::new();
    for key in QuotaKey::ALL {
        if let Some(limit) = section.integer(key.as_str(), -1..=1_000_000_000) {
            quotas.insert(*key, limit);
        }
    }
    section.finish();
    quotas
}

fn first(overrides: &Overrides, mistakes: &Mistakes<'_>) -> FirstConfig {
    let first = FirstConfig {
        project: variable(overrides, mistakes, "FULCRUM_PROJECT_ID", "32 hex digits", |text| {
            text.parse().ok()
        }),
        password: variable(
            overrides,
            mistakes,
            "FULCRUM_ADMIN_PASSWORD",
            "8 to 128 characters",
            names::password,
        ),
        access_key: variable(
            overrides,
            mistakes,
            "FULCRUM_ACCESS_KEY",
            "1 to 64 characters of A-Z, a-z, 0-9, '-' and '_'",
            |text| text.parse().ok(),
        ),
        secret_key: variable(
            overrides,
            mistakes,
            "FULCRUM_SECRET_KEY",
            "8 to 128 printable ASCII characters",
            names::secret_key,
        ),
    };
    if first.access_key.is_some() != first.secret_key.is_some() {
        mistakes.in_place("environment", "FULCRUM_ACCESS_KEY and FULCRUM_SECRET_KEY must be set together");
    }
    first
}

/// A variable that is set and not empty; an illegal one is a mistake. Values are not shown, as most are secrets.
fn variable<T>(
    overrides: &Overrides,
    mistakes: &Mistakes<'_>,
    name: &str,
    legal: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let text = overrides.environment.get(name).filter(|text| !text.is_empty())?;
    let value = parse(text);
    if value.is_none() {
        mistakes.in_place(name, format!("it must be {legal}"));
    }
    value
}

fn count(given: Option<i64>, default: usize) -> usize {
    given.and_then(|given| usize::try_from(given).ok()).unwrap_or(default)
}

fn seconds(given: Option<i64>, default: u64) -> Duration {
    Duration::from_secs(given.and_then(|given| u64::try_from(given).ok()).unwrap_or(default))
}

#[cfg(test)]
mod tests;
