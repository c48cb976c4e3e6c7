//! The networks that exist: their configuration files, and the default network, which may
//! exist only in Podman's memory.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use berth::podman::{ContainersConf, default_network, read_networks};
use berth::protocol::Network;
use berth::rules::pool::normalise;
use berth::sight;
use berth::sight::survey::{Lost, lost_networks};
use ipnetwork::IpNetwork;
use jiff::Timestamp;

use crate::site::Site;

/// The networks, and whether there may be others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Networks {
    pub(crate) all: BTreeMap<String, Network>,
    /// The name of the default network.
    pub(crate) default: String,
    /// Those that only netavark remembers.
    pub(crate) lost: Vec<Lost>,
    /// Why there may be others.
    pub(crate) doubt: Option<String>,
}

impl Networks {
    /// Reads the configurations of a Podman. A caller that changes anything must hold
    /// Podman's network lock.
    pub(crate) fn read(site: &Site) -> Self {
        let mut networks = Self::default();
        networks.add_files(&site.directory);
        networks.add_default(&site.conf);
        networks.add_lost(&site.podman.delegation.config);
        networks
    }

    /// Adds the networks that only netavark remembers. What cannot be read is left alone.
    fn add_lost(&mut self, run_directory: &Path) {
        let Ok(links) = sight::links() else {
            return;
        };
        if self.doubt.is_none() {
            let all = self.all.values();
            let named = all.map(|network| (network.id.clone(), network.name.clone()));
            let found = lost_networks(run_directory, &named.collect(), &links);
            self.lost = found.unwrap_or_default();
        }
    }

    /// Reads the configurations in a directory of a Podman on another host.
    pub(crate) fn of_directory(directory: &Path) -> Self {
        // Its default network is not known.
        let mut networks = Self::unseen("another host's networks");
        networks.add_files(directory);
        networks
    }

    /// Returns a value that knows nothing about any network.
    pub(crate) fn unseen(reason: &str) -> Self {
        Self {
            doubt: Some(reason.to_owned()),
            ..Self::default()
        }
    }

    /// Podman skips a file that it does not understand. berth keeps the leases of its
    /// network anyway.
    fn add_files(&mut self, directory: &Path) {
        let files = match read_networks(directory) {
            Ok(files) => files,
            Err(error) => {
                self.doubt = Some(berth::chain(&error));
                return;
            }
        };
        if files.is_empty() && !directory.is_dir() {
            self.doubt = Some(format!("there is no directory {}", directory.display()));
        }
        for file in files {
            match file.network {
                Ok(network) => drop(self.all.insert(network.name.clone(), network)),
                Err(fault) => self.doubt = Some(format!("{}: {fault}", file.path.display())),
            }
        }
    }

    fn add_default(&mut self, conf: &ContainersConf) {
        self.default.clone_from(&conf.default_network);
        if self.all.contains_key(&self.default) {
            return;
        }
        match default_network(conf) {
            Ok(network) => drop(self.all.insert(network.name.clone(), network)),
            Err(error) => self.doubt = Some(berth::chain(&error)),
        }
    }

    /// Returns a network, if it exists and Podman leases its addresses.
    pub(crate) fn allocated(&self, name: &str) -> Option<&Network> {
        self.all.get(name).filter(|network| is_allocated(network))
    }

    /// Returns whether a network certainly does not exist, or Podman does not lease its
    /// addresses. Never true for the default network.
    pub(crate) fn lacks(&self, name: &str) -> bool {
        self.doubt.is_none() && name != self.default && self.allocated(name).is_none()
    }

    /// Returns the subnets of a network whose addresses Podman leases.
    pub(crate) fn subnets(&self, name: &str) -> Vec<IpNetwork> {
        let network = self.allocated(name);
        let subnets = network.iter().flat_map(|network| &network.subnets);
        subnets.map(|subnet| normalise(subnet.subnet)).collect()
    }

    /// Returns when a network was made, in seconds since the Unix epoch; `None` if its
    /// file does not say, or there is no file, as for the default network.
    pub(crate) fn made(&self, name: &str) -> Option<i64> {
        let created = self.all.get(name)?.rest.get("created")?.as_str()?;
        let created: Timestamp = created.parse().ok()?;
        Some(created.as_second()).filter(|at| *at > 0)
    }

    /// Returns whether an address is a gateway of a network.
    pub(crate) fn is_gateway(&self, name: &str, address: IpAddr) -> bool {
        let network = self.all.get(name);
        let mut subnets = network.iter().flat_map(|network| &network.subnets);
        subnets.any(|subnet| subnet.gateway == Some(address))
    }
}

/// Returns whether Podman leases the addresses of a network (containers/common
/// `requiresIPAMAlloc`).
pub(crate) fn is_allocated(network: &Network) -> bool {
    network.is_podmans() && !network.subnets.is_empty()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_directory_that_cannot_be_read_whole_leaves_a_doubt() {
        let directory = tempfile::tempdir().unwrap();
        let mut networks = Networks::default();
        networks.add_files(directory.path());
        assert_eq!(networks.doubt, None);
        networks.add_default(&ContainersConf::default());
        assert!(networks.lacks("net") && !networks.lacks("podman"));
        let id = "1".repeat(64);
        let net = format!(
            r#"{{"name":"net","id":"{id}","driver":"bridge",
            "created":"2001-09-09T03:46:40.123456789+02:00",
            "subnets":[{{"subnet":"10.1.0.7/24","gateway":"10.1.0.1"}}]}}"#
        );
        fs::write(directory.path().join("net.json"), net).unwrap();
        networks.add_files(directory.path());
        assert_eq!(networks.doubt, None);
        assert!(!networks.lacks("net") && networks.lacks("other"));
        assert_eq!(networks.subnets("net"), ["10.1.0.0/24".parse().unwrap()]);
        assert_eq!(networks.made("net"), Some(1_000_000_000));
        assert!(networks.is_gateway("net", "10.1.0.1".parse().unwrap()));
        assert!(networks.is_gateway("podman", "10.88.0.1".parse().unwrap()));
        fs::write(directory.path().join("bad.json"), "{").unwrap();
        networks.add_files(directory.path());
        assert!(networks.doubt.is_some() && !networks.lacks("other"));
        networks.doubt = None;
        networks.add_files(&directory.path().join("none"));
        assert!(networks.doubt.is_some() && !networks.lacks("other"));
    }

    #[test]
    fn what_berth_leases_is_none_of_podmans() {
        let network = |driver: &str| {
            let text = json!({"name": "n", "id": "1", "driver": "bridge",
                "subnets": [{"subnet": "10.1.0.0/24"}], "ipam_options": {"driver": driver}});
            serde_json::from_value::<Network>(text).unwrap()
        };
        assert!(is_allocated(&network("")) && is_allocated(&network("host-local")));
        assert!(!is_allocated(&network("berth")) && !is_allocated(&network("none")));
    }
}
