//! The commands: text or JSON on standard output, an error in one line on standard
//! error.

mod adopt;
mod command_line;
mod consent;
mod dump;
mod inspect;
mod move_networks;
mod progress;
mod rollback;
mod sanitise;
mod whom;

use std::io;
use std::process::ExitCode;

use berth::frontend::{complain, finish};
use clap::Subcommand;
use thiserror::Error;

pub use command_line::CommandLine;

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

/// Why a command ends with an error.
#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Podman(#[from] berth::podman::PodmanError),
    #[error(transparent)]
    Work(#[from] crate::error::Error),
    #[error(transparent)]
    File(#[from] crate::file::FileError),
    #[error(transparent)]
    Consent(#[from] consent::ConsentError),
    #[error("failed to write to standard output")]
    Output(#[from] io::Error),
}

/// Runs a command to its end and returns the program's exit code.
pub fn run(command: &Command) -> ExitCode {
    let act = || match command {
        Command::Dump(arguments) => dump::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Sanitise(arguments) => sanitise::run(arguments),
        Command::Adopt(arguments) => adopt::run(arguments),
        Command::Rollback(arguments) => rollback::run(arguments),
    };
    finish("berth-migrate", act, complain)
}

/// Returns the exit code of a command that has printed everything itself.
fn exit_code(all_is_well: bool) -> ExitCode {
    if all_is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
