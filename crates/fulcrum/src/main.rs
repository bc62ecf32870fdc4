//! The Fulcrum binary: `fulcrum up` runs everything in one process; the other commands look at a configuration or at a running
//! server.
//!
//! This crate wires and starts; it decides nothing about load balancing.

mod cli;
mod client;
mod config;
mod control_socket;
mod credentials;
mod data_dir;
mod demo;
mod get;
mod handover;
mod logging;
mod sd_notify;
mod signals;
mod up;

use std::{io::Write, process::ExitCode};

use clap::Parser;

use crate::{
    cli::{Cli, Command},
    config::Config,
};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The causes stand behind the message, as each says one thing only.
            let _ = writeln!(std::io::stderr(), "fulcrum: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Check(file) => {
            Config::load(file.config.as_deref(), &cli::overrides(None, None))?;
            say("fulcrum: the configuration is fine")
        }
        Command::Get(wish) => get::get(&wish),
        Command::Up(options) => up::up(&options),
        Command::Upgrade(options) => control_socket::upgrade(&options),
        Command::Version => say(&format!("fulcrum {}", env!("CARGO_PKG_VERSION"))),
    }
}

/// Writes a line of a command's own output. A reader that has seen enough (`| head`) is no error.
fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
