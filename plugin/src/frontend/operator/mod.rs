//! The operator's commands, for people and timers: text or JSON on standard output, an
//! error in one line on standard error.
//!
//! Exit codes: 0 if it is done and all is well, 1 if something was found or could not be
//! done, 2 if the command line is wrong.

mod config;
mod doctor;
mod gc;
mod history;
mod host_wide;
mod inspect;
mod list;
mod map;
mod metrics;
mod rebuild;
mod release;
mod reserve;
mod share;
mod table;
mod template;
mod words;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use thiserror::Error;

use crate::frontend::{complain, finish};
use crate::podman::{Podman, PodmanError, StageError, enter_if_needed};
use crate::sharing::SharingError;
use crate::sight::ClockError;
use crate::upkeep::collect::CollectError;
use crate::upkeep::host_wide::SwitchError;
use crate::upkeep::overview::OverviewError;
use crate::upkeep::rebuild::RebuildError;
use crate::upkeep::release::ReleaseError;
use crate::upkeep::reserve::ReserveError;
use crate::upkeep::share::EvictError;

/// The exit code for a command line that is wrong. clap uses the same.
const WRONG_COMMAND_LINE: u8 = 2;

/// The operator's commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print what berth.conf sets, and where each value comes from
    ///
    /// Also shows what berth cannot understand in the files, and what it does not do until that
    /// is fixed.
    Config(config::Config),
    /// Check the lease store and the installation; exit code 1 if there is a problem
    Doctor(doctor::Doctor),
    /// Take back what dead containers hold: addresses, DNS names, interfaces, ports
    ///
    /// Looks twice, two seconds apart, and clears away what belonged to no container
    /// either time. A systemd timer runs this every minute; it may run beside anything else.
    Gc(gc::Gc),
    /// Tell who had an address, from when to when, and why it ended
    ///
    /// For a container or a network: which addresses it had, and who had them. Kept
    /// across restarts and reboots.
    History(history::History),
    /// Lease the addresses of every network on this host, without changing any of them
    ///
    /// Podman then runs berth under the name of netavark. Networks, compose files and
    /// quadlets stay as they are; containers keep running.
    HostWide(host_wide::HostWide),
    /// Print everything known about an address, a container or a network, as JSON
    ///
    /// With the verdict on the container that has the address, and the evidence for it.
    Inspect(inspect::Inspect),
    /// List who has which address, and whether the container is alive
    ///
    /// Reads the lease store, then looks at what runs; changes nothing.
    #[command(visible_alias = "ls")]
    List(list::List),
    /// Draw a network's addresses: who has which, what is free, what is wrong
    Map(map::Map),
    /// Print metrics for Prometheus, in its text format
    ///
    /// With --output, for the textfile collector of node_exporter.
    Metrics(metrics::Metrics),
    /// Make a new lease store from what runs, in the place of a damaged one
    ///
    /// The damaged store is kept beside it. With --engine, a sound one is moved to another
    /// engine. Running containers notice nothing.
    Rebuild(rebuild::Rebuild),
    /// Take one address back by hand, as a collection does
    ///
    /// Refuses while the container that has it is alive, or may be, and says what would
    /// break.
    Release(release::Release),
    /// Reserve an address for good, for one container or for none
    ///
    /// No other container gets it, whether it asks for the address or not.
    Reserve(reserve::Reserve),
    /// Look after a pool that several hosts lease from
    ///
    /// Its hosts agree through etcd; `[share.NAME]` in berth.conf says where that is.
    Share(share::Share),
    /// End a reservation that `berth reserve` has made
    Unreserve(reserve::Unreserve),
}

/// How a command prints what it has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Why a command ends with exit code 1.
#[derive(Debug, Error)]
enum Failure {
    /// The command has reported the reason itself.
    #[error("something could not be done")]
    Reported,
    /// The request makes no sense.
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Podman(#[from] PodmanError),
    #[error(transparent)]
    Collect(#[from] CollectError),
    #[error(transparent)]
    Overview(#[from] OverviewError),
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error(transparent)]
    Reserve(#[from] ReserveError),
    #[error(
        "no share is configured on this host; add [share.NAME] with its endpoints to berth.conf"
    )]
    NoShare,
    #[error(transparent)]
    Sharing(#[from] SharingError),
    #[error(transparent)]
    Evict(#[from] EvictError),
    #[error(transparent)]
    Clock(#[from] ClockError),
    #[error(transparent)]
    Switch(#[from] SwitchError),
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error("failed to run berth-migrate")]
    Migrate(#[source] io::Error),
    #[error("failed to write to standard output")]
    Output(#[from] io::Error),
}

/// Which Podman a command is about: by default that of the user who runs it.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// Podman's network run directory, if it is not the default one (below the
    /// runroot for `podman --runroot`)
    #[arg(long, value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
    pub run_dir: Option<PathBuf>,
    /// Podman's network configuration directory, if it is not the default one (as
    /// in `podman --network-config-dir`)
    #[arg(long, value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
    pub config_dir: Option<PathBuf>,
}

impl Place {
    /// Starts an ordinary user's command again in the namespaces of that user's Podman. So
    /// call it before anything is locked or printed.
    ///
    /// # Errors
    /// As [`enter_if_needed`].
    pub fn enter(&self) -> Result<(), PodmanError> {
        let entered = enter_if_needed(self.run_dir.as_deref(), self.config_dir.as_deref());
        Ok(entered?)
    }

    /// Enters ([`Place::enter`]) and finds the Podman that the command is about.
    ///
    /// # Errors
    /// As [`enter_if_needed`] and [`Podman::find`]; also if a directory given on the
    /// command line does not exist.
    pub fn podman(&self) -> Result<Podman, PodmanError> {
        self.enter()?;
        self.podman_from_outside()
    }

    /// As [`Place::podman`], without entering.
    ///
    /// # Errors
    /// As [`Place::podman`], except for entering.
    pub fn podman_from_outside(&self) -> Result<Podman, PodmanError> {
        let run_dir = self.run_dir.as_deref().map(existing).transpose()?;
        let config_dir = self.config_dir.as_deref().map(existing).transpose()?;
        Podman::find(run_dir.as_deref(), config_dir.as_deref())
    }
}

/// Returns a directory given on the command line, as an absolute path. If it does not
/// exist, that is a typing error: berth would make a store there that nobody ever looks
/// into.
fn existing(path: &Path) -> Result<PathBuf, PodmanError> {
    let no_directory = |reason: io::Error| PodmanError::NoDirectory(path.to_owned(), reason);
    if !path.metadata().map_err(no_directory)?.is_dir() {
        return Err(no_directory(io::ErrorKind::NotADirectory.into()));
    }
    std::path::absolute(path).map_err(no_directory)
}

/// Runs a command to its end and returns the program's exit code.
pub fn run(command: &Command) -> ExitCode {
    let act = || {
        let done = match command {
            Command::Config(arguments) => config::run(arguments),
            Command::Doctor(arguments) => doctor::run(arguments),
            Command::Gc(arguments) => gc::run(arguments),
            Command::History(arguments) => history::run(arguments),
            Command::HostWide(arguments) => host_wide::run(arguments),
            Command::Inspect(arguments) => inspect::run(arguments),
            Command::List(arguments) => list::run(arguments),
            Command::Map(arguments) => map::run(arguments),
            Command::Metrics(arguments) => metrics::run(arguments),
            Command::Rebuild(arguments) => rebuild::run(arguments),
            Command::Release(arguments) => release::run(arguments),
            Command::Reserve(arguments) => reserve::reserve(arguments),
            Command::Share(arguments) => share::run(arguments),
            Command::Unreserve(arguments) => reserve::unreserve(arguments),
        };
        match done {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(Failure::Reported) => Ok(ExitCode::FAILURE),
            Err(Failure::Usage(message)) => {
                complain(&message);
                Ok(ExitCode::from(WRONG_COMMAND_LINE))
            }
            Err(failure) => Err(failure),
        }
    };
    finish("berth", act, complain)
}
