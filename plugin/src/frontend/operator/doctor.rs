//! `berth doctor`: what is wrong, why, and what to do about it.

use std::io;

use clap::Args;

use super::{Failure, Place};
use crate::frontend::{print_json, say};
use crate::upkeep::doctor::{self, Visit};

/// The arguments of `berth doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    place: Place,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Repair what can be repaired without taking a lease from anybody who may be
    /// alive
    #[arg(long)]
    repair: bool,
}

/// Examines everything, and prints what was found.
///
/// # Errors
/// If a problem is left, or a user's Podman cannot be entered.
pub(super) fn run(arguments: &Doctor) -> Result<(), Failure> {
    arguments.place.enter()?;
    let report = doctor::examine(&Visit {
        run_directory: arguments.place.run_dir.as_deref(),
        network_config_dir: arguments.place.config_dir.as_deref(),
        repair: arguments.repair,
    });
    if arguments.json {
        print_json(&report.json())?;
    } else {
        say(&mut io::stdout().lock(), report.to_string().trim_end())?;
    }
    if report.is_clean() {
        Ok(())
    } else {
        Err(Failure::Reported)
    }
}
