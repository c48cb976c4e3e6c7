//! The networks: which of them lease from berth, and whether it understands those.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::finding::Finding;
use super::programs::PLUGIN;
use crate::protocol::Network;
use crate::rules::options::{self, Options};

const CHECK: &str = "network-file";

/// The ipam driver of Podman's own allocator.
const HOST_LOCAL: &str = "host-local";

/// The network files, each with its text or why it cannot be read.
#[derive(Clone, Debug)]
pub(super) struct NetworkFacts {
    /// The default network, which Podman may have in memory only.
    default_network: String,
    files: Vec<(PathBuf, Result<String, String>)>,
}

impl NetworkFacts {
    /// Reads a directory, which need not exist.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub(super) fn gather(directory: &Path, default_network: &str) -> Result<Self, Finding> {
        let failed = |error: std::io::Error| {
            Finding::problem("networks", format!("cannot read {}", directory.display()))
                .because(error.to_string())
                .repair("run this as the user who runs podman")
        };
        let mut files = Vec::new();
        match fs::read_dir(directory) {
            Ok(entries) => {
                for entry in entries {
                    let path = entry.map_err(failed)?.path();
                    if path.extension().is_some_and(|end| end == "json") && !path.is_dir() {
                        let text = fs::read_to_string(&path).map_err(|error| error.to_string());
                        files.push((path, text));
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        files.sort();
        Ok(Self {
            default_network: default_network.to_owned(),
            files,
        })
    }
}

/// Returns the networks' names by their ids.
pub(super) fn names(facts: &NetworkFacts) -> Vec<(String, String)> {
    let texts = facts
        .files
        .iter()
        .filter_map(|(_, text)| text.as_ref().ok());
    let networks = texts.filter_map(|text| serde_json::from_str::<Value>(text).ok());
    let text = |network: &Value, key: &str| network[key].as_str().map(str::to_owned);
    networks
        .filter_map(|network| Some((text(&network, "id")?, text(&network, "name")?)))
        // As Podman makes them: nothing else is replaced by mistake.
        .filter(|(id, _)| id.len() == 64)
        .collect()
}

/// Judges the network files.
pub(super) fn judge(facts: &NetworkFacts) -> Vec<Finding> {
    let mut found = Vec::new();
    let (mut ours, mut host_local) = (Vec::new(), Vec::new());
    let mut default_is_stored = false;
    for (path, text) in &facts.files {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        default_is_stored |= stem == facts.default_network.as_str();
        let network = text.clone().and_then(|text| {
            serde_json::from_str::<Value>(&text).map_err(|error| error.to_string())
        });
        let network = match network {
            Ok(network) => network,
            Err(reason) => {
                found.push(
                    Finding::problem(CHECK, format!("{} cannot be read", path.display()))
                        .because(reason)
                        .repair("Podman ignores this network: repair the file, or remove it"),
                );
                continue;
            }
        };
        let ipam = network["ipam_options"]["driver"]
            .as_str()
            .unwrap_or_default();
        match network["driver"].as_str() {
            Some(PLUGIN) => {
                ours.push(stem.into_owned());
                found.extend(judge_ours(path, network));
            }
            Some("bridge" | "macvlan" | "ipvlan") if ipam.is_empty() || ipam == HOST_LOCAL => {
                host_local.push(stem.into_owned());
            }
            Some(_) | None => {}
        }
    }
    if !default_is_stored {
        host_local.push(facts.default_network.clone());
    }
    found.extend(mixed(&ours, &host_local));
    found
}

/// Judges the file of a network of ours.
fn judge_ours(path: &Path, network: Value) -> Option<Finding> {
    let fault = match serde_json::from_value::<Network>(network) {
        Err(error) => error.to_string(),
        Ok(network) => fault_of(&network)?,
    };
    let what = format!("berth cannot use {}", path.display());
    Some(Finding::problem(CHECK, what).because(fault).repair(
        "no container can start on this network: repair the file, or create the network again",
    ))
}

/// Returns what a setup would refuse.
fn fault_of(network: &Network) -> Option<String> {
    let ipam = network.ipam_options.get("driver").map(String::as_str);
    if ipam.is_none_or(|driver| driver == HOST_LOCAL) {
        return Some(format!(
            "its ipam driver is not {PLUGIN}, so Podman's own allocator chooses the addresses"
        ));
    }
    let options = match Options::parse(network) {
        Ok(options) => options,
        Err(error) => return Some(crate::chain(&error)),
    };
    match options::pools(network, &options) {
        Ok(pools) if pools.is_empty() => Some("it has no subnet".to_owned()),
        Ok(_) => None,
        Err(error) => Some(crate::chain(&error)),
    }
}

/// Tells who leases from whom.
fn mixed(ours: &[String], host_local: &[String]) -> Option<Finding> {
    if host_local.is_empty() {
        return None;
    }
    let on_berth = if ours.is_empty() {
        "none is on berth".to_owned()
    } else {
        format!("on berth: {}", ours.join(", "))
    };
    Some(
        Finding::note(
            "networks",
            format!(
                "networks on Podman's own allocator: {}",
                host_local.join(", ")
            ),
        )
        .because(on_berth)
        .repair(
            "leases of those can leak; `berth-migrate adopt NETWORK` moves one to berth while its \
             containers run",
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(files: &[(&str, &str)]) -> Vec<String> {
        let facts = NetworkFacts {
            default_network: "podman".into(),
            files: files
                .iter()
                .map(|(name, text)| (format!("/n/{name}.json").into(), Ok((*text).to_owned())))
                .collect(),
        };
        judge(&facts).iter().map(ToString::to_string).collect()
    }

    fn ours(more: &str) -> String {
        format!(
            r#"{{"name":"n","id":"i","driver":"berth","ipam_options":{{"driver":"berth"}},{more}}}"#
        )
    }

    const SUBNET: &str = r#""subnets":[{"subnet":"10.0.0.0/24","gateway":"10.0.0.1"}]"#;

    #[test]
    fn networks_on_host_local_are_named() {
        let good = ours(SUBNET);
        let native = r#"{"driver":"bridge","ipam_options":{"driver":"host-local"}}"#;
        let dhcp = r#"{"driver":"macvlan","ipam_options":{"driver":"dhcp"}}"#;
        assert_eq!(
            lines(&[("a", &good), ("b", native), ("c", dhcp)]),
            [
                "note: networks on Podman's own allocator: b, podman (on berth: a); leases of those \
              can leak; `berth-migrate adopt NETWORK` moves one to berth while its containers run"
            ]
        );
        assert_eq!(lines(&[("podman", &good)]), [""; 0]);
    }

    #[test]
    fn what_no_container_can_start_on_is_a_problem() {
        for (text, cause) in [
            ("{".to_owned(), "EOF while parsing"),
            (ours(r#""subnets":[{"subnet":"x"}]"#), "invalid address"),
            (ours(r#""subnets":[]"#), "it has no subnet"),
            (
                ours(&format!(r#"{SUBNET},"options":{{"ipam_hold":"x"}}"#)),
                "ipam_hold",
            ),
            (
                ours(&format!(r#"{SUBNET},"options":{{"ipam_what":"x"}}"#)),
                "ipam_what",
            ),
            (
                ours(
                    r#""subnets":[{"subnet":"10.0.0.0/24","lease_range":{"start_ip":"10.1.0.1"}}]"#,
                ),
                "10.1.0.1",
            ),
            (
                ours(SUBNET).replace(r#"{"driver":"berth"}"#, "{}"),
                "Podman's own allocator chooses",
            ),
        ] {
            let lines = lines(&[("podman", &text)]);
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(
                lines[0].starts_with("problem: ") && lines[0].contains(cause),
                "{lines:?}"
            );
        }
    }
}
