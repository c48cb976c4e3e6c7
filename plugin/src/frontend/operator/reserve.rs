//! `berth reserve` and `berth unreserve`: addresses that no other container gets, for
//! good.

use std::net::IpAddr;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::{Failure, Place};
use crate::frontend::{completion, print};
use crate::rules::pledge::Pledge;
use crate::upkeep::reserve;

const AFTER: &str = "\
It lasts as long as the network, across reboots: it is in the network's option ipam_reserve,
which `podman network create -o ipam_reserve=10.50.0.9=web` sets as well. `podman network rm`
ends it with the network, and so does `berth-migrate rollback`, which moves the network back
to Podman.

Examples:
  berth reserve 10.50.0.9 --network web --for db
  berth reserve 10.50.0.10 --network web --comment 'the printer in room 4'";

/// Arguments of `berth reserve`.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
#[group(id = "why", required = true, multiple = true, args = ["container", "comment"])]
pub struct Reserve {
    /// The address
    address: IpAddr,
    /// The network, by name or id
    #[arg(long, value_name = "NETWORK", add = ArgValueCandidates::new(completion::networks))]
    network: String,
    /// The name of the only container that gets the address, even if it does not ask for it
    #[arg(long = "for", value_name = "CONTAINER", add = ArgValueCandidates::new(completion::containers))]
    container: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `berth unreserve`.
#[derive(Debug, Args)]
pub struct Unreserve {
    /// The address
    #[arg(add = ArgValueCandidates::new(completion::reserved))]
    address: IpAddr,
    /// The network, by name or id
    #[arg(long, value_name = "NETWORK", add = ArgValueCandidates::new(completion::networks))]
    network: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Reserves, and prints what was done.
///
/// # Errors
/// If no container may have the address, or another one has it.
pub(super) fn reserve(arguments: &Reserve) -> Result<(), Failure> {
    let comment = arguments.comment.as_deref().unwrap_or_default();
    let pledge = Pledge::new(arguments.address, arguments.container.as_deref(), comment)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let podman = arguments.place.podman()?;
    let done = reserve::reserve(&podman, &arguments.network, &pledge)?;
    Ok(print(&done, arguments.json)?)
}

/// Ends a reservation, and prints what was done.
///
/// # Errors
/// If the address is not reserved.
pub(super) fn unreserve(arguments: &Unreserve) -> Result<(), Failure> {
    let podman = arguments.place.podman()?;
    let address = arguments.address.to_canonical();
    let done = reserve::unreserve(&podman, &arguments.network, address)?;
    Ok(print(&done, arguments.json)?)
}
