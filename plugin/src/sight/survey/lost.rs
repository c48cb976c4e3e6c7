//! Networks that only netavark remembers: the network, or just its file, was removed while
//! something of it was still there.
//!
//! netavark keeps `firewall/networks/<network id>` from a network's first container to its
//! last (netavark 1.14 `firewall/state.rs`).

use std::collections::BTreeMap;
use std::path::Path;

use ipnetwork::IpNetwork;
use serde::Deserialize;
use serde_json::{Value, json};

use super::records::entries;
use super::{NameFile, Record, SurveyError, port_records};
use crate::protocol::Network;
use crate::sight::{self, Link};

/// A network that only netavark remembers.
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    /// The network as it can be taken down: its bridge, its subnets, and as gateways
    /// whatever addresses the bridge has.
    pub network: Network,
    /// What netavark remembers of its containers.
    pub records: Vec<Record>,
}

/// What netavark remembers of a network.
#[derive(Debug, Deserialize)]
struct Remembered {
    #[serde(default)]
    subnets: Vec<IpNetwork>,
    bridge_name: Option<String>,
    network_id: String,
}

/// Returns the networks that netavark remembers, apart from those that exist, whose names
/// are `known` by their ids. `host` are the host's interfaces, their bridges among them.
///
/// The file of DNS names has the network's name, which another network may have by now:
/// then the names in it belong to that one.
///
/// # Errors
/// If a file is there and cannot be read. A file that berth does not understand is left
/// alone.
pub fn lost_networks(
    run_directory: &Path,
    known: &BTreeMap<String, String>,
    host: &[Link],
) -> Result<Vec<Lost>, SurveyError> {
    let mut lost = Vec::new();
    for (id, path) in entries(&run_directory.join("firewall/networks"))? {
        if known.contains_key(&id) {
            continue;
        }
        let text = sight::read_text(&path).map_err(SurveyError::reading(&path))?;
        let text = text.unwrap_or_default();
        let remembered: Option<Remembered> = serde_json::from_str(&text).ok();
        let Some(remembered) = remembered.filter(|remembered| remembered.network_id == id) else {
            continue;
        };
        let ports = port_records(run_directory, Some(&id))?.into_iter();
        let mut records: Vec<_> = ports.map(|(_, record)| record).collect();
        let published = records
            .iter()
            .find_map(|record| record.network_name.clone());
        let name = match published {
            Some(name) => Some(name),
            None => name_of(run_directory, &remembered)?,
        };
        let Some(network) = network(&remembered, name.as_deref(), host) else {
            continue;
        };
        if !known.values().any(|name| *name == network.name) {
            records = super::records(run_directory, &network)?;
        }
        lost.push(Lost { network, records });
    }
    lost.sort_by(|one, other| one.network.id.cmp(&other.network.id));
    Ok(lost)
}

/// Returns the name of the file of DNS names that is served at an address of a network.
fn name_of(run_directory: &Path, remembered: &Remembered) -> Result<Option<String>, SurveyError> {
    for (name, path) in entries(&NameFile::directory(run_directory))? {
        let failed = SurveyError::reading(&path);
        let Some(file) = NameFile::read(path).map_err(failed)? else {
            continue;
        };
        let servers = file.servers();
        let mut subnets = remembered.subnets.iter();
        if subnets.any(|subnet| servers.iter().any(|server| subnet.contains(*server))) {
            let name = name.strip_suffix("%int").unwrap_or(&name);
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}

fn network(remembered: &Remembered, name: Option<&str>, host: &[Link]) -> Option<Network> {
    let id = &remembered.network_id;
    let bridge = remembered.bridge_name.as_deref();
    let link = host
        .iter()
        .find(|link| Some(&*link.name) == bridge && link.kind == "bridge");
    let subnets = remembered.subnets.iter().map(|subnet| {
        let mut addresses = link.iter().flat_map(|link| &link.addresses);
        let gateway = addresses.find(|address| subnet.contains(**address));
        json!({"subnet": subnet, "gateway": gateway})
    });
    let network = json!({
        "name": name.unwrap_or(id), "id": id, "driver": "bridge", "network_interface": bridge,
        "subnets": subnets.collect::<Vec<Value>>(), "dns_enabled": true,
        "ipam_options": {"driver": "host-local"},
    });
    serde_json::from_value(network).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_only_netavark_remembers_is_lost() {
        let run = tempfile::tempdir().unwrap();
        let mut known = BTreeMap::from([("aa".to_owned(), "web".to_owned())]);
        assert_eq!(lost_networks(run.path(), &known, &[]).unwrap(), []);
        for (path, text) in [
            (
                "firewall/networks/aa",
                r#"{"network_id":"aa","subnets":[]}"#,
            ),
            (
                "firewall/networks/bb",
                r#"{"network_id":"bb","subnets":["10.27.0.0/24"],"bridge_name":"podman1"}"#,
            ),
            ("firewall/networks/cc", r#"{"network_id":"another"}"#),
            ("firewall/networks/dd", "half a fi"),
            (
                "firewall/ports/bb_c1",
                r#"{"network_name":"m1","port_mappings":[],"container_ip_v4":"10.27.0.9"}"#,
            ),
            (
                "aardvark-dns/m1",
                "10.27.0.1\nc1 10.27.0.9  web\nc2 10.27.0.8  db\n",
            ),
        ] {
            let path = run.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let bridge = Link {
            name: "podman1".to_owned(),
            kind: "bridge".to_owned(),
            addresses: vec!["fe80::1".parse().unwrap(), "10.27.0.1".parse().unwrap()],
            ..Link::default()
        };
        let lost = |known: &_| {
            let host = std::slice::from_ref(&bridge);
            let mut lost = lost_networks(run.path(), known, host).unwrap();
            assert_eq!(lost.len(), 1);
            lost.remove(0)
        };
        let found = lost(&known);
        let network = &found.network;
        assert_eq!((&*network.name, &*network.id), ("m1", "bb"));
        assert_eq!(network.network_interface.as_deref(), Some("podman1"));
        let gateway = network.subnets[0].gateway;
        assert_eq!(gateway, Some("10.27.0.1".parse().unwrap()));
        assert_eq!(found.records.len(), 2);
        // The network was made again under its name: the DNS names are the new one's.
        known.insert("ee".to_owned(), "m1".to_owned());
        let records = lost(&known).records;
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].names, [""; 0]);
        // The name is also found where no ports were published.
        known.remove("ee");
        fs::remove_file(run.path().join("firewall/ports/bb_c1")).unwrap();
        assert_eq!(lost(&known).network.name, "m1");
        // A server of another network says nothing about this one.
        let other = run.path().join("aardvark-dns/a1");
        fs::write(other, "10.99.0.1 10.27.0.53\nc9 10.99.0.9  far\n").unwrap();
        assert_eq!(lost(&known).network.name, "m1");
    }
}
