//! The networks there are: their configuration files, and the default network, which
//! may exist in Podman's memory only.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

use berth::podman::ContainersConf;
use berth::protocol::Network;
use berth::rules::pool::normalise;
use ipnetwork::IpNetwork;
use jiff::Timestamp;

use crate::site::Site;

/// The networks, and whether these are all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Networks {
    pub(crate) all: BTreeMap<String, Network>,
    /// The name of the default network.
    pub(crate) default: String,
    pub(crate) doubt: Option<String>,
}

impl Networks {
    /// Reads the configurations of a Podman. To be called with its network lock held, if
    /// anything is to be changed.
    pub(crate) fn read(site: &Site) -> Self {
        let mut networks = Self::default();
        if let Err(doubt) = networks.add_files(&site.directory) {
            networks.doubt = Some(doubt);
        }
        networks.add_default(&site.conf);
        networks
    }

    /// Reads the configurations in a directory, of a Podman that is not here.
    pub(crate) fn of_directory(directory: &Path) -> Self {
        let mut networks = Self::default();
        // Its default network is not known.
        let doubt = networks.add_files(directory).err();
        networks.doubt = Some(doubt.unwrap_or_else(|| "another host's networks".to_owned()));
        networks
    }

    /// Returns that nothing is known of any network.
    pub(crate) fn unseen(reason: &str) -> Self {
        Self {
            doubt: Some(reason.to_owned()),
            ..Self::default()
        }
    }

    fn add_files(&mut self, directory: &Path) -> Result<(), String> {
        let failed = |path: &Path, error: &dyn ToString| {
            format!("{}: {}", path.display(), error.to_string())
        };
        let entries = fs::read_dir(directory).map_err(|error| failed(directory, &error))?;
        let mut doubt = None;
        for entry in entries {
            let path = entry.map_err(|error| failed(directory, &error))?.path();
            if path.extension().is_none_or(|end| end != "json") || path.is_dir() {
                continue;
            }
            let text = match fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => {
                    doubt = Some(failed(&path, &error));
                    continue;
                }
            };
            // Podman skips a damaged one. Its leases are kept all the same.
            match serde_json::from_str::<Network>(&text) {
                Ok(network) => {
                    self.all.insert(network.name.clone(), network);
                }
                Err(error) => doubt = Some(failed(&path, &error)),
            }
        }
        doubt.map_or(Ok(()), Err)
    }

    fn add_default(&mut self, conf: &ContainersConf) {
        self.default.clone_from(&conf.default_network);
        if self.all.contains_key(&self.default) {
            return;
        }
        match berth::podman::default_network(conf) {
            Ok(network) => drop(self.all.insert(network.name.clone(), network)),
            Err(error) => self.doubt = Some(berth::chain(&error)),
        }
    }

    /// Returns a network, if it is there and Podman leases its addresses.
    pub(crate) fn allocated(&self, name: &str) -> Option<&Network> {
        self.all.get(name).filter(|network| is_allocated(network))
    }

    /// Returns whether a network is certainly not there, or not Podman's to allocate
    /// for. Never so of the default network.
    pub(crate) fn lacks(&self, name: &str) -> bool {
        self.doubt.is_none() && name != self.default && self.allocated(name).is_none()
    }

    /// Returns the subnets of a network that Podman leases addresses of.
    pub(crate) fn subnets(&self, name: &str) -> Vec<IpNetwork> {
        let network = self.allocated(name);
        let subnets = network.iter().flat_map(|network| &network.subnets);
        subnets.map(|subnet| normalise(subnet.subnet)).collect()
    }

    /// Returns when a network was made, in seconds since the Unix epoch; `None` where its
    /// file does not say, as of the default network that has none.
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
    use serde_json::json;

    use super::*;

    #[test]
    fn a_directory_that_cannot_be_read_whole_leaves_a_doubt() {
        let directory = tempfile::tempdir().unwrap();
        let mut networks = Networks::default();
        networks.add_files(directory.path()).unwrap();
        networks.add_default(&ContainersConf::default());
        assert!(networks.lacks("net") && !networks.lacks("podman"));
        let net = r#"{"name":"net","id":"1","driver":"bridge",
            "created":"2001-09-09T03:46:40.123456789+02:00",
            "subnets":[{"subnet":"10.1.0.7/24","gateway":"10.1.0.1"}]}"#;
        fs::write(directory.path().join("net.json"), net).unwrap();
        networks.add_files(directory.path()).unwrap();
        assert!(!networks.lacks("net") && networks.lacks("other"));
        assert_eq!(networks.subnets("net"), ["10.1.0.0/24".parse().unwrap()]);
        assert_eq!(networks.made("net"), Some(1_000_000_000));
        assert!(networks.is_gateway("net", "10.1.0.1".parse().unwrap()));
        assert!(networks.is_gateway("podman", "10.88.0.1".parse().unwrap()));
        fs::write(directory.path().join("bad.json"), "{").unwrap();
        assert!(networks.add_files(directory.path()).is_err());
        assert!(networks.add_files(&directory.path().join("none")).is_err());
        networks.doubt = Some("a doubt".to_owned());
        assert!(!networks.lacks("other"));
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
