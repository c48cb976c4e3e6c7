//! The contents of berth's store, read in the lab by `lab-store`.

use std::net::IpAddr;
use std::path::PathBuf;

use berth::rules::lease::{Phase, Reservation, Tenant};
use serde::Deserialize;

use crate::{Lab, Network};

/// The store's contents.
#[derive(Clone, Debug, Deserialize)]
pub struct Leases {
    /// The tenants of all networks.
    pub tenants: Vec<Tenant>,
    /// The reservations on the networks that were asked about.
    pub holds: Vec<HeldAddress>,
    /// Contradictions in the store.
    pub violations: Vec<String>,
    /// Where berth's commands look for all this.
    pub place: Place,
    /// The addresses that namespaces of this host have, or why berth cannot tell.
    pub seen: Result<Vec<IpAddr>, String>,
}

/// Where a user's Podman keeps things, as berth's commands find it.
#[derive(Clone, Debug, Deserialize)]
pub struct Place {
    /// The store's directory.
    pub store: PathBuf,
    /// The networks' directory.
    pub networks: PathBuf,
    /// Podman's network lock.
    pub lock: PathBuf,
}

/// A reserved address.
#[derive(Clone, Debug, Deserialize)]
pub struct HeldAddress {
    /// The network's id.
    pub network: String,
    /// The address.
    pub address: IpAddr,
    /// Why, and until when.
    pub hold: Reservation,
}

impl Lab {
    /// Returns the contents of berth's store: all tenants, and the reservations on a network.
    ///
    /// # Panics
    /// If the store cannot be read, or contradicts itself.
    #[track_caller]
    pub fn leases(&self, network: &Network) -> Leases {
        let text = self.cmd("lab-store").arg(&network.id).ok();
        let leases: Leases =
            serde_json::from_str(&text).unwrap_or_else(|err| panic!("{err} in `{text}`"));
        assert!(leases.violations.is_empty(), "{:#?}", leases.violations);
        leases
    }
}

impl Leases {
    /// Returns the tenants of a network, one line for each.
    pub fn of(&self, network: &Network) -> Vec<String> {
        let own = |tenant: &&Tenant| tenant.tenancy.network_id.as_str() == network.id;
        let line = |tenant: &Tenant| {
            let addresses: Vec<_> = tenant.leased.iter().map(|held| held.address).collect();
            let phase = match tenant.phase {
                Phase::Offered => "offered",
                Phase::Bound => "bound",
            };
            format!("{addresses:?} {phase} to {}", tenant.container_name)
        };
        self.tenants.iter().filter(own).map(line).collect()
    }
}
