//! The operator's commands, for people and timers: text or JSON on standard
//! output, an error in one line on standard error.
//!
//! Exit codes: 0 done and well, 1 something was found or could not be done, 2 the
//! command line is wrong.

mod doctor;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::podman::{Podman, PodmanError};

/// The operator's commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the lease store and the installation; exit code 1 if there is a problem
    Doctor(doctor::Doctor),
}

/// Which Podman a command is about: by default the one of whoever runs it.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// Podman's network run directory, if it is not the default one (below the
    /// runroot for `podman --runroot`)
    #[arg(long, value_name = "DIRECTORY")]
    run_dir: Option<PathBuf>,
    /// Podman's network configuration directory, if it is not the default one (as
    /// in `podman --network-config-dir`)
    #[arg(long, value_name = "DIRECTORY")]
    config_dir: Option<PathBuf>,
}

impl Place {
    /// Finds the Podman that is meant.
    ///
    /// # Errors
    /// As [`Podman::find`].
    pub fn podman(&self) -> Result<Podman, PodmanError> {
        Podman::find(self.run_dir.as_deref(), self.config_dir.as_deref())
    }
}

/// Runs a command to its end and returns the program's exit code.
pub fn run(command: &Command) -> ExitCode {
    let done = match command {
        Command::Doctor(arguments) => doctor::run(arguments),
    };
    done.unwrap_or_else(|message| {
        eprintln!("Error: {message}");
        ExitCode::FAILURE
    })
}
