//! `berth host-wide`: berth in front of netavark, for every network of the host.

use std::process::Command as Process;

use clap::{Args, Subcommand};

use super::{Failure, Place};
use crate::frontend::print;
use crate::upkeep::host_wide::{self, Status, berth_migrate};

/// Arguments of `berth host-wide`.
#[derive(Debug, Args)]
pub struct HostWide {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Put berth in front of netavark, then move every network to it
    On {
        /// Do not ask before the networks are moved
        #[arg(long, short)]
        yes: bool,
    },
    /// Move the networks back to Podman, then take berth away from the front of netavark
    Off {
        /// Do not ask before the networks are moved
        #[arg(long, short)]
        yes: bool,
    },
    /// Say whether it is on, and who leases the addresses of which network
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Switches the mode, or prints whether it is on.
///
/// # Errors
/// If it cannot be switched, or a network could not be moved.
pub(super) fn run(arguments: &HostWide) -> Result<(), Failure> {
    arguments.place.enter()?;
    match arguments.verb {
        Verb::On { yes } => {
            let podman = arguments.place.podman()?;
            // Otherwise berth-migrate does that, once the user has seen the plan and agreed.
            if yes || podman.delegation.rootless {
                host_wide::on(&podman)?;
            }
            let adopt = ["adopt", "--all", "--host-wide"].map(str::to_owned);
            migrate(arguments, &adopt, yes)?;
            Ok(host_wide::on(&podman)?)
        }
        Verb::Off { yes } => {
            let podman = arguments.place.podman()?;
            let plain = Status::of(&podman)?.plain;
            if !plain.is_empty() {
                migrate(arguments, &[vec!["rollback".into()], plain].concat(), yes)?;
            }
            Ok(host_wide::off(&podman)?)
        }
        Verb::Status { json } => {
            let podman = arguments.place.podman()?;
            Ok(print(&Status::of(&podman)?, json)?)
        }
    }
}

/// Runs berth-migrate at this terminal.
fn migrate(arguments: &HostWide, words: &[String], yes: bool) -> Result<(), Failure> {
    let mut process = Process::new(berth_migrate());
    process.args(words).args(yes.then_some("--yes"));
    let place = &arguments.place;
    for (option, directory) in [
        ("--run-dir", &place.run_dir),
        ("--config-dir", &place.config_dir),
    ] {
        if let Some(directory) = directory {
            process.arg(option).arg(directory);
        }
    }
    match process.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Failure::Reported),
        Err(error) => Err(Failure::Migrate(error)),
    }
}
