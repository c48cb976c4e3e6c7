//! `berth release`: takes one address back by hand.

use std::net::IpAddr;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::{Failure, Place};
use crate::frontend::{completion, print};
use crate::upkeep::release::{self, Wish};

/// Arguments of `berth release`.
#[derive(Debug, Args)]
pub struct Release {
    /// The address
    #[arg(add = ArgValueCandidates::new(completion::leased))]
    address: IpAddr,
    /// The network, by name or id
    #[arg(long, value_name = "NETWORK", add = ArgValueCandidates::new(completion::networks))]
    network: String,
    /// Take it even from a container that is alive, or may be
    ///
    /// Its interface on this network is taken down, with the published ports and the names.
    #[arg(long)]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Releases, and prints what was taken from which container.
///
/// # Errors
/// If the address is not leased, or the holder may be alive; nothing is changed then.
pub(super) fn run(arguments: &Release) -> Result<(), Failure> {
    let wish = Wish {
        address: arguments.address.to_canonical(),
        network: arguments.network.clone(),
        force: arguments.force,
    };
    let released = release::release(&arguments.place.podman()?, &wish)?;
    Ok(print(&released, arguments.json)?)
}
