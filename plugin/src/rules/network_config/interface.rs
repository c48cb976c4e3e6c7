//! The interface of a new network on the host: the bridge, or the parent.

use std::collections::BTreeSet;

use thiserror::Error;

use super::HostFacts;
use crate::protocol::Network;

/// Longest interface name, in bytes (`IFNAMSIZ` less the final NUL, netdevice(7)).
pub const MAX_INTERFACE_NAME: usize = 15;

/// The prefix of the names that we choose for bridges; a number from 1 follows. Podman does not
/// see the bridges of a plugin's networks, so this must be a prefix that Podman never chooses.
const BRIDGE_PREFIX: &str = "berth";

/// Highest number tried, as in Podman.
const LAST_BRIDGE: u32 = 999_999;

/// Why an interface name is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InterfaceError {
    #[error(
        "bridge name {name} already in use by network {network}; choose another --interface-name, or give this network a vlan"
    )]
    InUse { name: String, network: String },
    #[error(
        "bridge name {name} invalid: names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*: invalid argument"
    )]
    Invalid { name: String },
    #[error(
        "bridge name {name} invalid: interface name is too long: interface names must be {MAX_INTERFACE_NAME} characters or less"
    )]
    TooLong { name: String },
    #[error(
        "{name} is an interface of this host, but not a bridge: choose another --interface-name; \
         or, if {name} is to be the parent of the containers' interfaces, add --opt driver=macvlan"
    )]
    NotABridge { name: String },
    #[error("parent interface {name} does not exist; `ip link` lists those that do")]
    NoParent { name: String },
    #[error(
        "could not find free device name: {BRIDGE_PREFIX}1 to {BRIDGE_PREFIX}{LAST_BRIDGE} are all in use; choose an --interface-name"
    )]
    NoneFree,
}

/// Returns whether Podman takes this for the name of a network or bridge
/// (`types.NameRegex`).
pub fn is_valid_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// Checks the name of the bridge, or chooses the first one that is not in use: by no link, by
/// no network's bridge, and by no network, whose name might become its bridge's.
///
/// If `sharing`, the network may be on the same bridge as others.
pub(super) fn name_bridge(
    network: &mut Network,
    host: &HostFacts,
    sharing: bool,
) -> Result<(), InterfaceError> {
    let Some(name) = given(network) else {
        network.network_interface = Some(free_name(host)?);
        return Ok(());
    };
    let name = name.to_owned();
    if !sharing && let Some(other) = host.network_on(&name) {
        return Err(InterfaceError::InUse {
            name,
            network: other.name.clone(),
        });
    }
    if host.not_bridges.contains(&name) {
        return Err(InterfaceError::NotABridge { name });
    }
    if !is_valid_name(&name) {
        return Err(InterfaceError::Invalid { name });
    }
    // Podman 5.4 stores such a network, but no container can start on it.
    if name.len() > MAX_INTERFACE_NAME {
        return Err(InterfaceError::TooLong { name });
    }
    Ok(())
}

/// Checks that the parent exists, if one is named. If none is, netavark takes the interface of
/// the default route.
pub(super) fn check_parent(network: &Network, host: &HostFacts) -> Result<(), InterfaceError> {
    match given(network) {
        Some(name) if !host.links.iter().any(|link| link == name) => {
            Err(InterfaceError::NoParent {
                name: name.to_owned(),
            })
        }
        _ => Ok(()),
    }
}

fn given(network: &Network) -> Option<&str> {
    network
        .network_interface
        .as_deref()
        .filter(|name| !name.is_empty())
}

fn free_name(host: &HostFacts) -> Result<String, InterfaceError> {
    let taken: BTreeSet<&str> = host
        .networks
        .iter()
        .flat_map(|network| [Some(network.name.as_str()), network.bridge.as_deref()])
        .flatten()
        .chain(host.links.iter().map(String::as_str))
        .collect();
    (1..=LAST_BRIDGE)
        .map(|number| format!("{BRIDGE_PREFIX}{number}"))
        .find(|name| !taken.contains(name.as_str()))
        .ok_or(InterfaceError::NoneFree)
}
