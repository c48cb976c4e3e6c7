//! The networks: which of them lease from berth, and whether berth understands those.

use std::collections::BTreeMap;
use std::path::Path;

use super::finding::Finding;
use super::programs::PLUGIN;
use crate::delegate;
use crate::podman::{Fault, NetworkFile, read_networks};
use crate::protocol::Network;
use crate::rules::bridge;
use crate::rules::options::{self, Options, Plumbing};
use crate::sight::Link;

const CHECK: &str = "network-file";
const BRIDGE: &str = "bridge";

/// Reads the network files of a directory, which need not exist.
///
/// # Errors
/// If it is there and cannot be read.
pub(super) fn read(directory: &Path) -> Result<Vec<NetworkFile>, Finding> {
    read_networks(directory).map_err(|error| {
        Finding::problem("networks", crate::chain(&error))
            .repair("run this as the user who runs podman")
    })
}

/// Returns the networks' names by their ids.
pub(super) fn names(files: &[NetworkFile]) -> Vec<(String, String)> {
    let networks = files.iter().filter_map(|file| file.network.as_ref().ok());
    networks
        .map(|network| (network.id.clone(), network.name.clone()))
        .collect()
}

/// Judges the network files. The default network may exist in Podman's memory only.
pub(super) fn judge(files: &[NetworkFile], default_network: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let (mut ours, mut podmans) = (Vec::new(), Vec::new());
    for file in files {
        match &file.network {
            Ok(network) if network.is_without_addresses() => {}
            Ok(network) if network.driver == PLUGIN || network.is_ours() => {
                ours.push(network.name.as_str());
                found.extend(judge_ours(&file.path, network));
            }
            Ok(network) if network.is_podmans() && Plumbing::named(&network.driver).is_some() => {
                podmans.push(network.name.as_str());
            }
            Ok(_) => {}
            Err(fault) => found.push(faulty(&file.path, fault)),
        }
    }
    let is_default = |file: &NetworkFile| {
        let stem = file.path.file_stem();
        stem.is_some_and(|stem| stem == default_network)
    };
    if !files.iter().any(is_default) {
        podmans.push(default_network);
    }
    found.extend(mixed(&ours, &podmans));
    found
}

/// Returns whether netavark looks for the plugin at a setup on one of these networks.
pub(super) fn need_plugin(files: &[NetworkFile]) -> bool {
    let mut networks = files.iter().filter_map(|file| file.network.as_ref().ok());
    networks.any(|network| network.driver == PLUGIN)
}

/// Judges whether anything serves the networks that need berth in front of netavark.
pub(super) fn unserved(files: &[NetworkFile], is_in_front: bool) -> Option<Finding> {
    let networks = files.iter().filter_map(|file| file.network.as_ref().ok());
    let plain = networks.filter(|network| network.is_plain());
    let names: Vec<_> = plain.map(|network| network.name.as_str()).collect();
    if is_in_front || names.is_empty() {
        return None;
    }
    let what = format!("no container can start on {}", names.join(", "));
    Some(
        Finding::problem("host-wide", what)
            .because("berth leases their addresses, and Podman does not run it as its netavark")
            .repair(
                "`berth host-wide on` puts it there; `berth-migrate rollback NETWORK` moves one \
                 back to Podman",
            ),
    )
}

/// Judges the bridges: two networks may not share one, unless each has its own VLAN.
pub(super) fn bridges(files: &[NetworkFile], host: &[Link]) -> Vec<Finding> {
    let networks = files.iter().filter_map(|file| file.network.as_ref().ok());
    let mut users = BTreeMap::<&str, Vec<&Network>>::new();
    for network in networks {
        if let Some(name) = bridge::managed(network).filter(|_| !bridge::is_shared(network)) {
            users.entry(name).or_default().push(network);
        }
    }
    let is_ours = |network: &&&Network| network.is_ours();
    users.retain(|_, users| users.iter().any(|network| network.is_ours()));
    let mut found = Vec::new();
    for (name, users) in &users {
        if let [one, other, ..] = users[..] {
            let what = format!(
                "networks {} and {} share the bridge {name}",
                one.name, other.name
            );
            found.push(
                Finding::problem(BRIDGE, what)
                    .because("whichever starts second has neither gateway nor DNS")
                    .repair("create one of them again with another --interface-name"),
            );
        }
        for network in users.iter().filter(is_ours) {
            if let Some(link) = bridge::other_than_bridge(network, host) {
                let what = format!(
                    "{name} is not a bridge, but network {} needs one",
                    network.name
                );
                found.push(
                    Finding::problem(BRIDGE, what)
                        .because(format!(
                            "it is another interface of this host ({})",
                            link.kind_or_hardware()
                        ))
                        .repair(
                            "no container can start on this network: create it again with another \
                             --interface-name",
                        ),
                );
            }
        }
    }
    found
}

/// Judges name servers that still occupy their port but have lost their files.
pub(super) fn orphaned_servers(run_directory: &Path) -> Vec<Finding> {
    let orphans = delegate::orphaned_servers(run_directory).into_iter();
    let findings = orphans.map(|server| {
        let what = format!("aardvark-dns (pid {}) serves no names any more", server.pid);
        let cause = format!(
            "{} was removed",
            run_directory.join("aardvark-dns").display()
        );
        let finding = Finding::problem("dns", what).because(cause);
        finding.repair("the next container that starts on a network of berth's ends it")
    });
    findings.collect()
}

/// Judges at which addresses the names of our networks are served.
pub(super) fn servers(files: &[NetworkFile], run_directory: &Path) -> Vec<Finding> {
    let networks = files.iter().filter_map(|file| file.network.as_ref().ok());
    let ours = networks.filter(|network| network.is_ours() && network.dns_enabled);
    let wrong = ours.filter_map(|network| {
        let wrong = delegate::wrong_servers(run_directory, network).ok()??;
        let served: Vec<_> = wrong.servers().iter().map(ToString::to_string).collect();
        let what = format!("no container on network {} can resolve names", network.name);
        let cause = format!(
            "{} says that they are served at {}, which an earlier network of that name had",
            wrong.path.display(),
            served.join(", ")
        );
        let finding = Finding::problem("dns", what).because(cause);
        Some(finding.repair("`berth gc` puts that right"))
    });
    wrong.collect()
}

fn faulty(path: &Path, fault: &Fault) -> Finding {
    let repair = match fault {
        Fault::Malformed(_) => "Podman ignores this network: repair the file, or remove it",
        Fault::Unreadable(_) => "no network can be created meanwhile: make the file readable",
    };
    Finding::problem(CHECK, format!("{} cannot be read", path.display()))
        .because(fault.to_string())
        .repair(repair)
}

/// Judges the file of one of our networks.
fn judge_ours(path: &Path, network: &Network) -> Option<Finding> {
    let what = format!("berth cannot use {}", path.display());
    let finding = Finding::problem(CHECK, what).because(fault_of(network)?);
    Some(finding.repair(
        "no container can start on this network: repair the file, or create the network again",
    ))
}

/// Returns what a setup would refuse.
fn fault_of(network: &Network) -> Option<String> {
    if network.is_podmans() {
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

/// Reports which networks lease from berth and which from Podman.
fn mixed(ours: &[&str], podmans: &[&str]) -> Option<Finding> {
    if podmans.is_empty() {
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
            format!("networks on Podman's own allocator: {}", podmans.join(", ")),
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
        let directory = tempfile::tempdir().expect("a directory");
        let id = "a".repeat(64);
        for (name, more) in files {
            let text = format!(r#"{{"name":"{name}","id":"{id}",{more}}}"#);
            let path = directory.path().join(format!("{name}.json"));
            std::fs::write(path, text).expect("a file");
        }
        let found = judge(&read(directory.path()).expect("it is there"), "podman");
        found.iter().map(ToString::to_string).collect()
    }

    fn ours(more: &str) -> String {
        format!(r#""driver":"berth","ipam_options":{{"driver":"berth"}},{more}"#)
    }

    const SUBNET: &str = r#""subnets":[{"subnet":"10.0.0.0/24","gateway":"10.0.0.1"}]"#;

    #[test]
    fn networks_on_podmans_own_allocator_are_named() {
        let good = ours(SUBNET);
        let native = r#""driver":"bridge","ipam_options":{"driver":"host-local"}"#;
        let dhcp = r#""driver":"macvlan","ipam_options":{"driver":"dhcp"}"#;
        assert_eq!(
            lines(&[("a", &good), ("b", native), ("c", dhcp)]),
            [
                "note: networks on Podman's own allocator: b, podman (on berth: a); leases of those \
              can leak; `berth-migrate adopt NETWORK` moves one to berth while its containers run"
            ]
        );
        assert_eq!(lines(&[("podman", &good)]), [""; 0]);
        let host_wide = good.replace(r#""driver":"berth","ipam"#, r#""driver":"bridge","ipam"#);
        assert_eq!(lines(&[("podman", &host_wide)]), [""; 0]);
    }

    #[test]
    fn what_no_container_can_start_on_is_a_problem() {
        for (more, cause) in [
            ("\"".to_owned(), "EOF while parsing"),
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
            let lines = lines(&[("podman", &more)]);
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(
                lines[0].starts_with("problem: ") && lines[0].contains(cause),
                "{lines:?}"
            );
        }
    }
}
