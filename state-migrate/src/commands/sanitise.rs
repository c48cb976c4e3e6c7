//! `berth-migrate sanitise`.

use std::path::PathBuf;
use std::process::ExitCode;

use berth::frontend::{completion, print};
use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::progress::looking;
use super::whom::Whom;
use super::{Failure, exit_code};
use crate::look::Reading;
use crate::sanitise::{self, Wish};

const AFTER: &str = "\
What is removed: leases of containers that Podman does not know, or knows as not running and
without a network namespace, if no namespace with a process has the address; and what
contradicts itself, so that both indexes of the file agree afterwards. Whatever is in use, or
might be, stays: when in doubt, sanitise keeps the lease and says so.

How: it asks Podman; then it takes Podman's network lock (waiting 30 s at most), reads the file
and asks the kernel. If anything is dead, it frees the lock, and does all that again after 2 s.
It keeps a copy beside the file (ipam.db.berth-<time>), with its time and mode, changes the file
in place and reads it back. If it is killed, the file is either as it was or as planned. Running
containers notice nothing.

It does not change a damaged file: read that with --salvage into another file, stop all
containers, and put the new file in its place.

Exit codes:
  0  done, and nothing is left in doubt; with --dry-run, there is nothing to do
  1  something could not be done or is in doubt, or waits for `podman container cleanup`; with
     --dry-run, there is something to do
  2  the command line is wrong

Examples:
  berth-migrate sanitise --dry-run          what would be done, and why
  berth-migrate sanitise                    the repair; then start the service
  berth-migrate sanitise --cleanup --ghosts everything that dead containers left
  berth-migrate sanitise --without-podman   when Podman does not answer";

/// Arguments of `berth-migrate sanitise`.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Sanitise {
    /// Only this network, by name or id
    #[arg(long, value_name = "NETWORK", add = ArgValueCandidates::new(completion::all_networks))]
    network: Option<String>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Write the result to this new file, and change nothing
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Do not look twice, two seconds apart
    #[arg(long)]
    now: bool,
    /// Have Podman clean up after containers that do not run but have a namespace
    #[arg(long, conflicts_with_all = ["without_podman", "output"])]
    cleanup: bool,
    /// Also tear down what dead containers left elsewhere: interfaces, DNS names, firewall
    /// rules, namespace files
    #[arg(long, conflicts_with = "output")]
    ghosts: bool,
    /// Read what can be read of a damaged file
    #[arg(long, requires = "output")]
    salvage: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    whom: Whom,
}

/// Repairs, and reports what was done.
///
/// # Errors
/// If nothing could be done.
pub(super) fn run(arguments: &Sanitise) -> Result<ExitCode, Failure> {
    let mut site = arguments.whom.site()?;
    if let Some(asking) = &mut site.asking {
        asking.thorough = arguments.ghosts;
    }
    let wish = Wish {
        network: arguments.network.clone(),
        dry_run: arguments.dry_run,
        output: arguments.output.clone(),
        now: arguments.now,
        cleanup: arguments.cleanup,
        ghosts: arguments.ghosts,
        reading: Reading::of(arguments.salvage),
    };
    let report = looking(|| sanitise::sanitise(&site, &wish))?;
    print(&report, arguments.json)?;
    Ok(exit_code(report.is_clean()))
}
