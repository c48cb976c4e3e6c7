//! The commands: text or JSON on standard output, an error in one line on standard
//! error.

mod adopt;
mod consent;
mod dump;
mod inspect;
mod move_networks;
mod progress;
mod rollback;
mod sanitise;
mod whom;

use std::io::{self, Write};
use std::panic;
use std::process::ExitCode;

use clap::Subcommand;
use thiserror::Error;

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print what is in the file, as JSON
    Dump(dump::Dump),
    /// Show every lease, who holds it, and what is wrong
    Inspect(inspect::Inspect),
    /// Remove the leases of containers that are gone; running ones notice nothing
    Sanitise(sanitise::Sanitise),
    /// Move networks to berth while their containers run
    Adopt(adopt::Adopt),
    /// Move networks back to Podman's own allocation while their containers run
    Rollback(rollback::Rollback),
}

/// Why a command ends with an error. Each command adds its own.
#[derive(Debug, Error)]
enum Failure {
    /// It has said so itself.
    #[error("something could not be done")]
    Reported,
    /// Which Podman is meant.
    #[error(transparent)]
    Podman(#[from] berth::podman::PodmanError),
    /// The file.
    #[error(transparent)]
    File(#[from] crate::file::FileError),
    /// A network could not be moved.
    #[error(transparent)]
    Migration(#[from] crate::migration::MigrationError),
    /// Nobody has agreed.
    #[error(transparent)]
    Consent(#[from] consent::ConsentError),
    /// A look at it.
    #[error(transparent)]
    Look(#[from] crate::look::LookError),
    /// A repair.
    #[error(transparent)]
    Sanitise(#[from] crate::sanitise::SanitiseError),
    /// Nobody takes the output.
    #[error("failed to write to standard output")]
    Output(#[from] io::Error),
}

/// Runs a command to its end and returns the program's exit code.
pub fn run(command: &Command) -> ExitCode {
    let done = panic::catch_unwind(|| match command {
        Command::Dump(arguments) => dump::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Sanitise(arguments) => sanitise::run(arguments),
        Command::Adopt(arguments) => adopt::run(arguments),
        Command::Rollback(arguments) => rollback::run(arguments),
    });
    let message = match done {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(Failure::Reported)) => return ExitCode::FAILURE,
        Ok(Err(failure)) => berth::chain(&failure),
        Err(_) => "internal error, a bug in berth-migrate; its message is above".to_owned(),
    };
    // Nothing is left to be done if even that cannot be written.
    let _ = writeln!(io::stderr(), "Error: {message}");
    ExitCode::FAILURE
}
