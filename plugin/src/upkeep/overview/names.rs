//! What a command line may name: networks, containers and addresses, for a shell that
//! completes a word. What cannot be found out at once is left out.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use super::{WHO, records};
use crate::lifecycle::session::{SessionError, at_a_glance};
use crate::podman::{Podman, read_networks};
use crate::protocol::Network;
use crate::rules::lease::Tenant;
use crate::rules::options::Options;
use crate::store::Store;

/// How long to wait for the store's lock: a setup has it for a few hundred milliseconds,
/// and no one waits longer than that for a completion.
const PATIENCE: Duration = Duration::from_millis(200);

/// The names at one moment.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Every network that has a file, including Podman's own, sorted by name.
    pub networks: Vec<Network>,
    /// The holders of leases, sorted by the network's name.
    pub tenants: Vec<Tenant>,
}

impl Names {
    /// Reads the network files and, if its lock is free, the store. It is silent about what
    /// it cannot read.
    pub fn known(podman: &Podman) -> Self {
        let directory = podman.network_config_dir().ok();
        Self {
            networks: directory.map(networks).unwrap_or_default(),
            tenants: tenants(podman).unwrap_or_default(),
        }
    }

    /// Returns the addresses that `berth reserve` has reserved, each with its network.
    pub fn pledged(&self) -> impl Iterator<Item = (IpAddr, &Network)> {
        self.networks.iter().flat_map(|network| {
            let options = Options::parse(network).unwrap_or_default();
            let pledges = options.pledges.into_iter();
            pledges.map(move |pledge| (pledge.address, network))
        })
    }
}

fn networks(directory: &Path) -> Vec<Network> {
    let files = read_networks(directory).unwrap_or_default();
    files
        .into_iter()
        .filter_map(|file| file.network.ok())
        .collect()
}

fn tenants(podman: &Podman) -> Result<Vec<Tenant>, SessionError> {
    if !Store::exists(&podman.state_directory) {
        return Ok(Vec::new());
    }
    let read = at_a_glance(podman, WHO, PATIENCE, |locked| locked.read(records))?;
    let mut tenants = read.unwrap_or_default().tenants;
    tenants.sort_by(|one, other| one.request.network.name.cmp(&other.request.network.name));
    Ok(tenants)
}
