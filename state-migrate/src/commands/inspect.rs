//! `berth-migrate inspect`.

use std::path::PathBuf;
use std::process::ExitCode;

use berth::frontend::{completion, print};
use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::progress::looking;
use super::whom::Whom;
use super::{Failure, exit_code};
use crate::inspection::Inspection;
use crate::look::{Look, Reading};
use crate::networks::Networks;

const AFTER: &str = "\
Verdicts:
  live     in use: a namespace with a process has the address, a process is at work for the
           container, or Podman says that it runs
  dead     not in use: `berth-migrate sanitise` removes it
  pending  not running, but Podman still has to clean up: podman container cleanup ID
  unknown  berth-migrate cannot tell; the lease is kept

Exit codes:
  0  every lease is live, and nothing is wrong with the file
  1  something was found, or could not be read
  2  the command line is wrong

Examples:
  berth-migrate inspect
  berth-migrate inspect --json | jq '.leases[] | select(.verdict != \"live\")'
  berth-migrate inspect /root/ipam.db.from-another-host";

/// Arguments of `berth-migrate inspect`.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Inspect {
    /// A copy of the file, from this or another machine: liveness is unknown then
    ///
    /// By default the ipam.db of this user's Podman. With --config-dir, the copy is
    /// compared with those networks.
    #[arg(conflicts_with_all = ["podman", "without_podman", "run_dir"])]
    file: Option<PathBuf>,
    /// Only this network, by name or id
    #[arg(long, value_name = "NETWORK", add = ArgValueCandidates::new(completion::all_networks))]
    network: Option<String>,
    /// Read what can be read of a damaged file
    #[arg(long)]
    salvage: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    whom: Whom,
}

/// Looks, and shows what was seen.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn run(arguments: &Inspect) -> Result<ExitCode, Failure> {
    let (path, look) = look(arguments)?;
    let inspection = Inspection::new(path, &look, arguments.network.as_deref());
    print(&inspection, arguments.json)?;
    Ok(exit_code(inspection.is_clean()))
}

fn look(arguments: &Inspect) -> Result<(PathBuf, Look), Failure> {
    let reading = Reading::of(arguments.salvage);
    if let Some(path) = &arguments.file {
        let networks = match &arguments.whom.place.config_dir {
            Some(directory) => Networks::of_directory(directory),
            None => Networks::unseen("the networks of a copy are not known"),
        };
        let look = looking(|| Look::of_copy(path, networks, reading))?;
        return Ok((path.clone(), look));
    }
    let mut site = arguments.whom.site()?;
    if let Some(asking) = &mut site.asking {
        asking.for_show = true;
    }
    let look = looking(|| site.glance(reading))?;
    Ok((site.ipam_db(), look))
}
