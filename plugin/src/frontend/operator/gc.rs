//! `berth gc`: takes back what dead containers hold.

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::{Failure, Place};
use crate::frontend::{completion, print};
use crate::podman::{ContainersConf, Environment, Podman};
use crate::upkeep::collect::{self, Wish};
use crate::upkeep::host_wide;

/// Arguments of `berth gc`.
#[derive(Debug, Args)]
pub struct Gc {
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Do not look twice, two seconds apart: trust that no container is just being
    /// started or stopped
    #[arg(long)]
    now: bool,
    /// Only this network, by name or id
    #[arg(long, value_name = "NETWORK", add = ArgValueCandidates::new(completion::networks))]
    network: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Collects, and prints what was done.
///
/// # Errors
/// If nothing could be done, or part of it could not.
pub(super) fn run(gc: &Gc) -> Result<(), Failure> {
    let wish = Wish {
        dry_run: gc.dry_run,
        now: gc.now,
        network: gc.network.clone(),
    };
    let podman = gc.place.podman()?;
    if !gc.dry_run && gc.network.is_none() {
        adopt(&podman);
    }
    let report = collect::collect(&podman, &wish)?;
    print(&report, gc.json)?;
    if report.failures.is_empty() {
        Ok(())
    } else {
        Err(Failure::Reported)
    }
}

/// Adopts the networks that a host-wide berth has not adopted yet. Even if that fails,
/// the collection goes on.
fn adopt(podman: &Podman) {
    let Ok(conf) = ContainersConf::load(&Environment::of_this_process()) else {
        return;
    };
    if host_wide::link(&conf).is_some()
        && let Err(error) = host_wide::adopt(podman)
    {
        log::warn!("{}", crate::chain(&error));
    }
}
