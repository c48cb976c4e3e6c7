//! `berth doctor`: what is wrong, how it came about, what to do.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

use super::Place;
use crate::doctor::{self, Visit};

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

/// Examines, prints the report, and returns whether a problem is left.
///
/// # Errors
/// If the report cannot be printed.
pub(super) fn run(arguments: &Doctor) -> Result<ExitCode, String> {
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
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| format!("failed to print the report: {error}"))?;
    Ok(if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
