//! The networks that exist: the configuration files, and the default network.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use ipnetwork::IpNetwork;
use serde::Deserialize;
use serde_json::Map;

use super::HostError;
use crate::podman::ContainersConf;
use crate::protocol::{Network, Subnet};
use crate::rules::network_config::{KnownNetwork, is_valid_name};
use crate::rules::options::Plumbing;
use crate::rules::pool::{Family, normalise, number};

/// The bridge of a default network that is not stored (`createDefaultNetwork`, 5.4).
const DEFAULT_BRIDGE: &str = "podman0";

/// Its id: "Important do not change this ID", they say there.
const DEFAULT_ID: &str = "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9";

/// A network configuration, as far as it concerns others. Less strict than
/// [`crate::protocol::Network`], so that the networks of another version or plugin
/// still count.
#[derive(Deserialize)]
struct Stored {
    name: String,
    id: String,
    driver: String,
    #[serde(default)]
    network_interface: Option<String>,
    #[serde(default)]
    subnets: Option<Vec<StoredSubnet>>,
    #[serde(default)]
    options: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct StoredSubnet {
    subnet: IpNetwork,
}

impl Stored {
    fn into_known(self) -> KnownNetwork {
        let plumbing = self
            .options
            .as_ref()
            .and_then(|options| options.get(crate::rules::options::DRIVER))
            .unwrap_or(&self.driver);
        let on_parent = [Plumbing::Macvlan, Plumbing::Ipvlan]
            .map(Plumbing::as_str)
            .contains(&plumbing.as_str());
        KnownNetwork {
            bridge: self
                .network_interface
                .filter(|name| !name.is_empty() && !on_parent),
            name: self.name,
            subnets: self
                .subnets
                .unwrap_or_default()
                .into_iter()
                .map(|subnet| subnet.subnet)
                .collect(),
        }
    }
}

/// Reads all network configurations of a directory, which need not exist. What
/// Podman would skip is skipped with a warning: it is no network to Podman either.
pub(super) fn read(dir: &Path) -> Result<Vec<KnownNetwork>, HostError> {
    let failed = |source| HostError::Read {
        path: dir.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut networks = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_none_or(|end| end != "json") || path.is_dir() {
            continue;
        }
        match read_one(&path) {
            Ok(network) => networks.push(network),
            Err(why) => log::warn!(
                "network config {} is skipped, its bridge and subnets count as free: {why}",
                path.display()
            ),
        }
    }
    networks.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(networks)
}

fn read_one(path: &Path) -> Result<KnownNetwork, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let stored: Stored = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    if path.file_stem().is_none_or(|stem| *stem != *stored.name) {
        return Err(format!(
            "network config name {:?} does not match the file name",
            stored.name
        ));
    }
    if !is_valid_name(&stored.name) {
        return Err(format!("invalid name: {:?}", stored.name));
    }
    if stored.id.len() != 64 {
        return Err(format!("invalid network ID {:?}", stored.id));
    }
    Ok(stored.into_known())
}

/// Adds the default network, unless it is stored: then Podman has it in memory only.
pub(super) fn add_default(
    networks: &mut Vec<KnownNetwork>,
    conf: &ContainersConf,
) -> Result<(), HostError> {
    if networks
        .iter()
        .any(|network| network.name == conf.default_network)
    {
        return Ok(());
    }
    networks.push(KnownNetwork {
        name: conf.default_network.clone(),
        bridge: Some(DEFAULT_BRIDGE.to_owned()),
        subnets: vec![default_subnet(conf)?],
    });
    Ok(())
}

fn default_subnet(conf: &ContainersConf) -> Result<IpNetwork, HostError> {
    conf.default_subnet
        .parse()
        .map_err(|_| HostError::DefaultSubnet {
            value: conf.default_subnet.clone(),
        })
}

/// Returns the default network as Podman makes it in memory when no file says
/// otherwise (`createDefaultNetwork`, 5.4), but for the time of its creation, which
/// is that of each podman's start.
///
/// # Errors
/// [`HostError::DefaultSubnet`] if containers.conf names none.
pub fn default_network(conf: &ContainersConf) -> Result<Network, HostError> {
    let subnet = normalise(default_subnet(conf)?);
    let gateway = Family::of(subnet.ip()).address(number(subnet.network()).saturating_add(1));
    Ok(Network {
        name: conf.default_network.clone(),
        id: DEFAULT_ID.to_owned(),
        driver: Plumbing::Bridge.as_str().to_owned(),
        network_interface: Some(DEFAULT_BRIDGE.to_owned()),
        subnets: vec![Subnet {
            subnet,
            gateway: Some(gateway),
            lease_range: None,
            rest: Map::new(),
        }],
        routes: Vec::new(),
        ipv6_enabled: subnet.is_ipv6(),
        internal: false,
        dns_enabled: false,
        network_dns_servers: Vec::new(),
        options: BTreeMap::new(),
        ipam_options: [("driver".to_owned(), "host-local".to_owned())].into(),
        rest: Map::new(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::podman::Environment;

    fn stored(name: &str, driver: &str, more: &str) -> String {
        let id = "a".repeat(64);
        format!(
            r#"{{"name":"{name}","id":"{id}","driver":"{driver}","network_interface":"{name}-if","future":1{more}}}"#
        )
    }

    fn known(name: &str, bridge: Option<&str>, subnets: &[&str]) -> KnownNetwork {
        KnownNetwork {
            name: name.to_owned(),
            bridge: bridge.map(str::to_owned),
            subnets: subnets.iter().map(|net| net.parse().unwrap()).collect(),
        }
    }

    fn check(files: &[(&str, &str)], expected: &[KnownNetwork]) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        assert_eq!(read(dir.path()).unwrap(), expected);
    }

    #[test]
    fn networks_of_all_drivers_count_and_parents_are_no_bridges() {
        let subnets =
            r#","subnets":[{"subnet":"10.1.0.0/24","gateway":"10.1.0.1"},{"subnet":"fd00::/64"}]"#;
        let blackhole = r#","routes":[{"destination":"10.9.0.0/24","route_type":"blackhole"}]"#;
        let macvlan = r#","options":{"driver":"macvlan"}"#;
        check(
            &[
                ("a.json", &stored("a", "bridge", subnets)),
                ("b.json", &stored("b", "berth", blackhole)),
                ("c.json", &stored("c", "macvlan", r#","subnets":null"#)),
                ("d.json", &stored("d", "berth", macvlan)),
            ],
            &[
                known("a", Some("a-if"), &["10.1.0.0/24", "fd00::/64"]),
                known("b", Some("b-if"), &[]),
                known("c", None, &[]),
                known("d", None, &[]),
            ],
        );
    }

    #[test]
    fn what_podman_skips_is_skipped() {
        check(
            &[
                ("a.json", &stored("b", "bridge", "")),
                ("broken.json", "{"),
                (
                    "short.json",
                    r#"{"name":"short","id":"1","driver":"bridge"}"#,
                ),
                ("-bad.json", &stored("-bad", "bridge", "")),
                ("not.conf", &stored("not", "bridge", "")),
            ],
            &[],
        );
        assert_eq!(read(Path::new("/nowhere/at/all")).unwrap(), []);
    }

    #[test]
    fn the_default_network_exists_even_when_no_file_says_so() {
        let root = tempfile::tempdir().unwrap();
        let environment = Environment::imagined(root.path(), 0, [("HOME", "/nowhere")]);
        let mut conf = ContainersConf::load(&environment).unwrap();
        let default = known("podman", Some("podman0"), &["10.88.0.0/16"]);
        let mut networks = Vec::new();
        add_default(&mut networks, &conf).unwrap();
        assert_eq!(networks, [default]);
        let mut networks = vec![known("podman", Some("br0"), &["10.1.0.0/16"])];
        add_default(&mut networks, &conf).unwrap();
        assert_eq!(networks.len(), 1);
        conf.default_subnet = "all".to_owned();
        let error = add_default(&mut Vec::new(), &conf).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid default_subnet \"all\" in containers.conf: give an IPv4 subnet like 10.88.0.0/16"
        );
    }
}
