//! What netavark remembers of containers, in files of its run directory:
//!
//! ```text
//! aardvark-dns/<network name>     and <network name>%int for internal networks
//!     first line: the servers' addresses
//!     further lines: container id, IPv4 addresses, IPv6 addresses, names [, servers];
//!     lists are joined by commas, fields by one space
//! firewall/ports/<network id>_<container id>    JSON, PortForwardConfig
//! ```
//!
//! (netavark 1.14 `dns/aardvark.rs`, `firewall/state.rs`.) After a crash, they mention
//! containers that are gone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::{NameFile, SurveyError};
use crate::protocol::Network;
use crate::rules::attachment::Attachment;
use crate::rules::lease::{ContainerId, InterfaceName, NetworkId};
use crate::sight;

/// What netavark remembers of a container on a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The container.
    pub container_id: ContainerId,
    /// Its names in the DNS; the first is its own, or its pod's.
    pub names: Vec<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its published ports, as netavark writes them; null if none.
    pub port_mappings: Value,
    /// The network's name, if ports were published on it.
    pub network_name: Option<String>,
}

impl Record {
    /// Returns what the container asked for on a network, as far as netavark remembers
    /// it.
    pub fn attachment(&self, network: &Network, interface: InterfaceName) -> Attachment {
        let container_id = self.container_id.clone();
        Attachment {
            container_name: self.names.first().map_or("", String::as_str).into(),
            port_mappings: self.port_mappings.clone(),
            ..Attachment::new(container_id, network.clone(), interface)
        }
    }

    /// Describes what is remembered: `DNS name web and published ports`.
    pub fn what(&self) -> String {
        let name = self.names.first().map(|name| format!("DNS name {name}"));
        match (name, self.port_mappings.is_array()) {
            (Some(name), true) => format!("{name} and published ports"),
            (Some(name), false) => name,
            (None, _) => "published ports".to_owned(),
        }
    }

    /// Returns the record of a container of which nothing is remembered.
    pub fn nothing(container_id: ContainerId) -> Self {
        Self {
            container_id,
            names: Vec::new(),
            addresses: Vec::new(),
            port_mappings: Value::Null,
            network_name: None,
        }
    }
}

/// Returns what netavark remembers of a network's containers, by container.
///
/// # Errors
/// If a file is there and cannot be read.
pub fn records(run_directory: &Path, network: &Network) -> Result<Vec<Record>, SurveyError> {
    let names = name_records(run_directory, network)?;
    let ports = port_records(run_directory, Some(&network.id))?.into_iter();
    Ok(merged(names, ports.map(|(_, record)| record)))
}

/// Returns what netavark remembers of the names of a network's containers.
///
/// # Errors
/// If a file is there and cannot be read.
pub fn name_records(run_directory: &Path, network: &Network) -> Result<Vec<Record>, SurveyError> {
    let mut records = Vec::new();
    // Under the same name, the network may have been internal before, or not.
    for suffix in ["", "%int"] {
        let name = format!("{}{suffix}", network.name);
        let path = NameFile::directory(run_directory).join(name);
        let failed = SurveyError::reading(&path);
        if let Some(file) = NameFile::read(path).map_err(failed)? {
            records.extend(file.entries().filter_map(name_record));
        }
    }
    Ok(records)
}

/// Returns what netavark remembers of published ports, each with the network's id, for
/// one network or for all.
///
/// # Errors
/// If a file is there and cannot be read.
pub fn port_records(
    run_directory: &Path,
    wanted: Option<&str>,
) -> Result<Vec<(NetworkId, Record)>, SurveyError> {
    let mut records = Vec::new();
    for (name, path) in entries(&run_directory.join("firewall/ports"))? {
        // Neither id contains a `_`.
        if let Some((network, container)) = name.rsplit_once('_')
            && wanted.is_none_or(|wanted| wanted == network)
            && let Some(text) = sight::read_text(&path).map_err(SurveyError::reading(&path))?
        {
            records.push((network.into(), ports_record(container, &text)));
        }
    }
    Ok(records)
}

/// Returns the files in a directory, which may be missing.
pub(super) fn entries(directory: &Path) -> Result<Vec<(String, PathBuf)>, SurveyError> {
    let paths = sight::list(directory).map_err(SurveyError::reading(directory))?;
    let named = |path: PathBuf| Some((path.file_name()?.to_str()?.to_owned(), path));
    Ok(paths.into_iter().filter_map(named).collect())
}

/// Adds what is known of published ports to what is known of the names of the same
/// containers.
pub(super) fn merged(
    mut records: Vec<Record>,
    ports: impl IntoIterator<Item = Record>,
) -> Vec<Record> {
    let mut places = HashMap::new();
    for (place, record) in records.iter().enumerate() {
        places.entry(record.container_id.clone()).or_insert(place);
    }
    for record in ports {
        match places.get(&record.container_id) {
            Some(place) => {
                let known = &mut records[*place];
                known.port_mappings = record.port_mappings;
                known.network_name = record.network_name;
            }
            None => {
                places.insert(record.container_id.clone(), records.len());
                records.push(record);
            }
        }
    }
    records
}

/// Reads a line of aardvark-dns.
fn name_record(line: &str) -> Option<Record> {
    let fields: Vec<&str> = line.split(' ').collect();
    let [container, v4, v6, names, ..] = fields[..] else {
        return None;
    };
    let addresses = [v4, v6].into_iter().flat_map(|list| list.split(','));
    Some(Record {
        container_id: container.into(),
        names: names.split(',').map(str::to_owned).collect(),
        addresses: addresses.filter_map(|text| text.parse().ok()).collect(),
        port_mappings: Value::Null,
        network_name: None,
    })
}

/// Reads a file of published ports. One that is not JSON still names a container.
fn ports_record(container: &str, text: &str) -> Record {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Ports {
        port_mappings: Value,
        network_name: Option<String>,
        container_ip_v4: Option<IpAddr>,
        container_ip_v6: Option<IpAddr>,
    }
    let ports: Ports = serde_json::from_str(text).unwrap_or_default();
    let addresses = [ports.container_ip_v4, ports.container_ip_v6];
    Record {
        container_id: container.into(),
        names: Vec::new(),
        addresses: addresses.into_iter().flatten().collect(),
        port_mappings: ports.port_mappings,
        network_name: ports.network_name,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_containers_names_addresses_and_ports_are_one_record() {
        let run = tempfile::tempdir().unwrap();
        let network: Network = serde_json::from_value(json!({
            "name": "net", "id": "n1", "driver": "berth"
        }))
        .unwrap();
        assert_eq!(records(run.path(), &network).unwrap(), []);
        let put = |path: &str, text: &str| {
            let path = run.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put(
            "aardvark-dns/net",
            "10.0.0.1,fd00::1\nc1 10.0.0.5 fd00::5 web,w 9.9.9.9\nbroken\nc2 10.0.0.6  db\n",
        );
        put("aardvark-dns/other", "10.1.0.1\nc9 10.1.0.5  far\n");
        let ports = json!({"container_ip_v4": "10.0.0.5", "port_mappings": [{"host_port": 80}]});
        put("firewall/ports/n1_c1", &ports.to_string());
        put("firewall/ports/n1_c3", "half a fi");
        put("firewall/ports/n2_c1", "{}");
        let mut found = records(run.path(), &network).unwrap();
        found.sort_by(|one, other| one.container_id.cmp(&other.container_id));
        let record = |id: &str, names: &[&str], addresses: &[&str], port_mappings| Record {
            container_id: id.into(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            port_mappings,
            network_name: None,
        };
        let expected = [
            record(
                "c1",
                &["web", "w"],
                &["10.0.0.5", "fd00::5"],
                json!([{"host_port": 80}]),
            ),
            record("c2", &["db"], &["10.0.0.6"], Value::Null),
            record("c3", &[], &[], Value::Null),
        ];
        assert_eq!(found, expected);
    }
}
