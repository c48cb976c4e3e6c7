//! `berth doctor`: what is wrong, how it came about, what to do.

use std::io::{self, Write};

use clap::Args;

use super::{Failure, Place};
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

/// Examines, and says what was found.
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
    let text = if arguments.json {
        format!("{:#}\n", report.json())
    } else {
        report.to_string()
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())?;
    if report.is_clean() {
        Ok(())
    } else {
        Err(Failure::Reported)
    }
}
