//! The command line (design section 11: scripts rely on it).

use std::{env, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Overrides, VARIABLES};

/// Elastic load balancing for your own machines.
#[derive(Debug, Parser)]
#[command(name = "fulcrum", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve traffic and the API
    Up(Up),
    /// Replace a running server's process by one of a new version, without loss
    Upgrade(Upgrade),
    /// Check a configuration file and print all mistakes
    Check(ConfigFile),
    /// Print objects of a running server
    Get(Get),
    /// Print the version
    Version,
}

#[derive(Args, Debug)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// Where everything is kept [default: data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where the API is served; port 0 picks a free one [default: 127.0.0.1:8780]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<String>,
    /// Add two sample members and a load balancer, and print the command that shows it working
    #[arg(long)]
    pub(crate) demo: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Upgrade {
    /// The running server's data directory
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(crate) data: PathBuf,
    /// The new version's binary [default: the file that the server was started from]
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ConfigFile {
    /// The configuration file (TOML); without it, defaults
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Get {
    /// The kind of object: loadbalancers, listeners, pools, members, healthmonitors, flavors, availability-zones, quotas, vpcs, subnets or projects
    #[arg(value_name = "KIND")]
    pub(crate) kind: String,
    /// The object's id; without it, all are listed
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,
    /// The server's data directory, where its credentials are
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(crate) data: PathBuf,
    /// How lists are printed; a single object is printed as JSON
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Columns for people
    Table,
    /// The API's answer, for programs
    Json,
}

/// What the command line and the environment override.
pub(crate) fn overrides(data: Option<PathBuf>, listen: Option<String>) -> Overrides {
    let set = |name: &&str| Some(((*name).to_owned(), env::var(name).ok()?));
    Overrides { data, listen, environment: VARIABLES.iter().filter_map(set).collect() }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
